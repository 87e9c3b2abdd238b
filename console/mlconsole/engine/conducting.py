"""Conducting: the driver of a rollout. One at a time, by a lease with a token; each stage is an ordinary change; between two stages
nothing is changed and only evidence is gathered.

Whoever takes a rollout up measures its present stage again: overdue stages are never caught up, and evidence that nobody saw never counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from mlconsole.core.deciding import decide
from mlconsole.core.freezes import frozen
from mlconsole.core.live import as_live
from mlconsole.core.operations import Cause
from mlconsole.core.plans import Plan
from mlconsole.core.releases import Content, Release, ReleaseKind, describe_content
from mlconsole.core.rollouts import Control, Decision, Rollout, RolloutState
from mlconsole.core.steering import advanced, controlled, measured_again, slice_returned
from mlconsole.core.text import duration, neutralise
from mlconsole.core.transitions import removed
from mlconsole.engine import changing
from mlconsole.engine.planning import current, make_plan
from mlconsole.engine.views import Outcome
from mlconsole.engine.weighing import Weighed, Weighing
from mlconsole.plugin.errors import Conflict, Locked, MLConsoleError
from mlconsole.plugin.roles import Notice

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_BEAT = 2.0
"""Seconds between two signs of life."""

_LOOK = 1.0
"""Seconds between two looks at the guards: the evaluation interval."""

_PROOF = 15.0
"""Seconds that going back waits for the proof that nobody reaches the bad variant any more."""

_QUIET = 2.0
"""Seconds without a request after which a variant gets none."""


class Lost(Exception):
    """Somebody else drives it now."""


class Conductor:
    """Drives one rollout to its end, or until it is told to stop."""

    def __init__(self, session: Session, rollout_id: str, say: Callable[[str], None] = lambda text: None) -> None:
        self._session, self._registry = session, session.registry
        self._id = rollout_id
        self._say = say
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._token = 0
        self._weighing = Weighing(session)
        self._asked_back = False
        """Whether the last change that did not come to stand was asked to go back by a person."""
        self._mark: tuple[int, int] | None = None
        self._marked = 0.0
        """When the present stage was first looked at, by the clock that does not jump."""

    def stop(self) -> None:
        """Give it up after what is being done; another takes it up."""
        self._stop.set()

    def run(self) -> Rollout | None:
        """Drive it. What it is when this ends; None where somebody else drives it.

        Raises:
            Locked: another driver is alive.
        """
        self._token = self._registry.take_rollout(self._id, self._session.actor)
        beating = threading.Thread(target=self._beat, daemon=True, name=f"rollout {self._id}")
        beating.start()
        try:
            rollout = self._rollout()
            again = measured_again(rollout, self._session.clock.now())
            if again is not rollout:
                taken = ("taken up", f"{self._session.actor} drives it; {rollout.present.name} is measured again", None)
                rollout = self._save(again, taken, moved=False)
            while not rollout.state.terminal and not self._stop.is_set():
                try:
                    rollout = self._step(self._obeyed(rollout))
                except (Conflict, Locked) as error:
                    self._say(f"rollout {self._id} of {rollout.endpoint}: {error.message}")
                    if self._lost.is_set():
                        return None
                    self._wait(_LOOK)
                    rollout = self._rollout()
                except MLConsoleError as error:
                    # A backend that does not answer, a registry that is locked for long: it holds where it is, and says so.
                    self._say(f"rollout {self._id} of {rollout.endpoint} holds: {error.message}")
                    self._wait(_LOOK)
                    rollout = self._rollout()
            if rollout.state is RolloutState.SUPERSEDED:
                self._tell_elsewhere(rollout)
            return rollout
        except Lost:
            return None
        finally:
            self._stop.set()
            with suppress(MLConsoleError):
                self._registry.drop_rollout(self._id, self._token)

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT):
            try:
                self._registry.beat_rollout(self._id, self._token)
            except Conflict:
                self._lost.set()
                return
            except MLConsoleError:
                continue

    def _wait(self, seconds: float) -> None:
        if self._lost.is_set():
            raise Lost
        self._session.clock.sleep(seconds)

    def _rollout(self) -> Rollout:
        rollout = self._registry.rollout(self._id)
        if rollout is None:
            raise Lost
        return rollout

    def _save(self, rollout: Rollout, event: tuple[str, str, str | None], *, moved: bool = True) -> Rollout:
        """Write it down, with what happened; people are told of it where it `moved` to another state."""
        if self._lost.is_set():
            raise Lost
        notice = notice_of(self._session, rollout, event) if moved else None
        saved = self._registry.save_rollout(rollout, self._token, event, notice, self._channels)
        self._say(f"{saved.environment}: rollout {saved.id} of {saved.endpoint}: {event[1]}")
        return saved

    def _channels(self, notice: Notice) -> list[str]:
        channels = self._session.environment.channels.values()
        return [one.name for one in channels if one.after_minutes is None and one.takes(notice.severity)]

    def _tell_elsewhere(self, rollout: Rollout) -> None:
        """Somebody else's change moved it, and wrote that down: people are told of it as of any other, once."""
        event = next((one for one in reversed(self._registry.rollout_events(rollout.id)) if one.kind == str(rollout.state)), None)
        if event is None or event.key is None or not event.key.startswith(("back:", "superseded:")):
            return
        notice = notice_of(self._session, rollout, (event.kind, event.text, event.key))
        for channel in self._channels(notice) if notice is not None else ():
            assert notice is not None
            self._registry.enqueue(rollout.environment, f"rollout:{rollout.id}:{event.key}", channel, notice)

    # One step.

    def _obeyed(self, rollout: Rollout) -> Rollout:
        """What people asked, in order."""
        for asked in self._registry.controls(self._id):
            now, former = self._session.clock.now(), rollout.state
            try:
                before, rollout = rollout, controlled(rollout, asked.control, asked.actor, asked.reason, now)
                if asked.control is Control.RESUME and rollout.state is not RolloutState.SHIFTING and not self._stands(rollout):
                    # Somebody moved the slider meanwhile: its own stage is made anew, and measured from then on.
                    rollout = advanced(before, RolloutState.SHIFTING, now, why=rollout.why)
            except MLConsoleError as error:
                self._registry.note_rollout(self._id, self._token, "refused", f"{asked.control}: {error.message}")
            else:
                text = f"{asked.control} by {asked.actor.user}{f': {asked.reason}' if asked.reason else ''}"
                told = (str(asked.control), neutralise(text), f"control {asked.seq}")
                rollout = self._save(rollout, told, moved=rollout.state is not former)
            if not rollout.state.terminal:
                self._registry.control_done(asked.seq, self._token)
        return rollout

    def _stands(self, rollout: Rollout) -> bool:
        """Whether the live release is what the present stage wants."""
        recorded = self._registry.live_release(rollout.environment, rollout.endpoint)
        return recorded is not None and recorded.release.content == rollout.present.content

    def _step(self, rollout: Rollout) -> Rollout:
        match rollout.state:
            case RolloutState.SHIFTING:
                return self._shift(rollout)
            case RolloutState.GOING_BACK:
                return self._back(rollout)
            case _:
                return self._hold(rollout)

    def _shift(self, rollout: Rollout) -> Rollout:
        """Bring the present stage about: an ordinary change, or nothing where it stands already."""
        self._asked_back = False
        failed, release = self._reach(
            rollout, rollout.present.content, ReleaseKind.TRAFFIC, f"{rollout.policy.name}: {rollout.present.name}"
        )
        fresh = self._rollout()
        if fresh.state is not RolloutState.SHIFTING:  # somebody took the endpoint back meanwhile
            return fresh
        pending = {one.control for one in self._registry.controls(self._id)}
        if failed and Control.REVERT in pending:
            return fresh  # it went back because it was asked to; the word itself is obeyed next
        now = self._session.clock.now()
        if failed and self._asked_back:  # who takes a stage's change back wants none of it, and not the stage before
            return self._obey(rollout, Decision(RolloutState.GOING_BACK, neutralise(f"reverted by hand: {failed}")), None)
        decision = decide(rollout, (), now, settled=not failed, failed=failed)
        return self._obey(rollout, decision, release)

    def _hold(self, rollout: Rollout) -> Rollout:
        """Look at the guards, and go on where all of them say so."""
        weighed = self._weighing.look(rollout)
        now = self._session.clock.now()
        mark = rollout.stage, rollout.attempt
        if self._mark != mark:
            self._mark, self._marked = mark, self._session.clock.elapsed()
        window = frozen(self._session.environment.freezes, now) if not rollout.skipped_gates else None
        decision = decide(
            rollout,
            weighed.results,
            now,
            settled=True,
            waited=self._session.clock.elapsed() - self._marked,
            seen=weighed.seen,
            silent=weighed.silent,
            usual=weighed.usual,
            frozen=f"frozen until {window.end.astimezone():%a %d %b %H:%M}" if window is not None else "",
        )
        keep_seen(self._session, rollout, weighed, decision)
        if decision.slice:
            returned = slice_returned(rollout, decision.slice)
            if returned is not None:
                text = f"{decision.slice.partition('=')[2]} goes back alone: {decision.why}"
                return self._save(
                    advanced(returned, RolloutState.SHIFTING, now, why=decision.why), ("slice back", text, f"slice {decision.slice}")
                )
        if decision.to is None:
            self._wait(_LOOK)
            return self._rollout()
        if decision.to is RolloutState.DONE:
            self._stop_old(rollout)
        return self._obey(rollout, decision, None)

    def _obey(self, rollout: Rollout, decision: Decision, release: int | None) -> Rollout:
        if decision.to is None:
            self._wait(_LOOK)
            return self._rollout()
        now = self._session.clock.now()
        moved = advanced(rollout, decision.to, now, stage=decision.stage, why=decision.why, release=release)
        kind = str(decision.to)
        text = f"{moved.present.name}: {decision.why}" if decision.to in (RolloutState.WAITING, RolloutState.SHIFTING) else decision.why
        return self._save(moved, (kind, text or kind, f"{kind} {moved.stage} {moved.attempt}"))

    def _back(self, rollout: Rollout) -> Rollout:
        """Go back to what was before the first stage, and prove that nobody reaches the new variant any more."""
        failed, release = self._reach(rollout, rollout.revert_to, ReleaseKind.REVERT, rollout.why or "the rollout goes back")
        if failed:
            self._say(f"rollout {self._id} of {rollout.endpoint} is not back yet: {failed}")
            self._wait(_LOOK)
            return self._rollout()
        since = self._session.clock.now()
        began = self._session.clock.elapsed()
        last: float | None = None
        self._tell_elsewhere(rollout)
        while self._session.clock.elapsed() - began < _PROOF:
            last = self._weighing.last_new(rollout)
            if last is None or self._session.clock.now().timestamp() - last >= _QUIET:
                break
            self._wait(0.25)
        proven = last is None or last <= since.timestamp() + _QUIET
        gets = (
            f"{rollout.variant} gets no request since {since.astimezone():%H:%M:%S}" if proven else f"{rollout.variant} still gets requests"
        )
        now = self._session.clock.now()
        moved = advanced(rollout, RolloutState.REVERTED, now, why=rollout.why, release=release)
        back = f"back at #{rollout.revert_to_release}: {describe_content(rollout.revert_to)}; {gets}"
        return self._save(moved, ("reverted", f"{back}. {rollout.why}", "reverted"))

    def _stop_old(self, rollout: Rollout) -> None:
        """After the bake the old variants go, where the policy says so and nobody said otherwise."""
        if not rollout.policy.stop_old or rollout.keep_old:
            return
        for name in rollout.stable:
            recorded = self._registry.live_release(rollout.environment, rollout.endpoint)
            content = recorded.release.content if recorded else Content()
            if content.variant(name) is not None and content.traffic is not None and not content.traffic.reaches(name):
                failed, _ = self._reach(rollout, removed(content, name), ReleaseKind.REMOVE, f"{name} stood by until the bake was over")
                if failed:
                    self._say(f"rollout {self._id}: {name} could not be taken away: {failed}")

    def _reach(self, rollout: Rollout, wanted: Content, kind: ReleaseKind, reason: str) -> tuple[str, int | None]:
        """Let the endpoint become `wanted`, by an ordinary change of this rollout; why it did not (empty: it did), and its release."""
        session = self._session
        changing.interrupted_first(session, rollout.endpoint)
        recorded = self._registry.live_release(rollout.environment, rollout.endpoint)
        live = session.backend.describe(rollout.endpoint)
        if recorded is not None and recorded.release.content == wanted and not session.backend.steps(live, wanted):
            return "", recorded.release.number
        if kind is ReleaseKind.REVERT:
            plan = self._plan_back(rollout, wanted, recorded.release if recorded else None, reason)
        else:
            live, record = current(session, rollout.endpoint)
            glass = "the rollout was begun so" if rollout.skipped_gates else ""
            plan = make_plan(session, rollout.endpoint, kind, live, record, wanted, words=[], reason=reason, gated=True, break_glass=glass)
        try:
            outcome: Outcome = changing.run(session, plan, rollout=rollout.id, driver=self._token)
        except Conflict:
            if self._lost.is_set():
                raise Lost from None
            raise
        if not outcome.done:
            ended = self._registry.operation(outcome.operation.id)
            self._asked_back = ended is not None and ended.cause is Cause.ASKED
        return ("" if outcome.done else outcome.sentence), outcome.operation.release if outcome.done else None

    def _plan_back(self, rollout: Rollout, wanted: Content, record: Release | None, reason: str) -> Plan:
        """Going back is planned from whatever there is."""
        session = self._session
        live = session.backend.describe(rollout.endpoint)
        return make_plan(
            session,
            rollout.endpoint,
            ReleaseKind.REVERT,
            live if live.exists else as_live(Content(), rollout.endpoint),
            record,
            wanted,
            words=[],
            reason=reason,
            equals=rollout.revert_to_release,
        )


def keep_seen(session: Session, rollout: Rollout, weighed: Weighed, decision: Decision) -> None:
    """Leave what the guards said where faces read it: a small file beside the snapshots, moved in place; a full disk costs it."""
    from mlconsole.engine.rolloutviews import write_seen

    with suppress(OSError):
        write_seen(session, rollout, weighed, decision)


def notice_of(session: Session, rollout: Rollout, event: tuple[str, str, str | None]) -> Notice | None:
    """What people are told of a transition; taking up and holding tell nobody."""
    kind, text, key = event
    asked = kind == str(Control.REVERT) or (key or "").startswith("back:")
    told = {
        RolloutState.WAITING: "info",
        RolloutState.BAKING: "info",
        # Who asks for it knows; when guards do it somebody has to look.
        RolloutState.GOING_BACK: "info" if asked else "page",
        RolloutState.REVERTED: "recovered",
        RolloutState.DONE: "info",
        RolloutState.FAILED: "page",
        RolloutState.SUPERSEDED: "info",
        RolloutState.PAUSED: "info",
    }
    severity, state = told.get(rollout.state), str(rollout.state)
    if severity is None:
        return None
    where = "PROD" if session.environment.production else rollout.environment.upper()
    stable = " + ".join(rollout.stable)
    took = duration((session.clock.now() - rollout.started).total_seconds())
    titles = {
        "waiting": f"{rollout.variant} at {rollout.present.name}",
        "baking": f"{rollout.variant} has all of it, bakes",
        "going back": f"{rollout.variant} → going back to {stable}",
        "reverted": f"{rollout.variant} → reverted to {stable}",
        "done": f"{rollout.variant} is live, done in {took}",
        "failed": f"{rollout.variant}: stage {rollout.present.name} failed",
    }
    title = neutralise(f"{where} {rollout.endpoint} {titles.get(state, f'{rollout.variant}: the rollout is {state}')}")
    more = f"Read: ssh {session.actor.host} mlconsole rollout status {rollout.endpoint} --env {rollout.environment}"
    return Notice(
        key=f"{session.workspace.name}:rollout:{rollout.id}:{key or kind}",
        title=title,
        lines=(neutralise(text), more),
        severity=severity,
        environment=rollout.environment,
        fields={"rollout": rollout.id, "endpoint": rollout.endpoint, "state": state},
    )
