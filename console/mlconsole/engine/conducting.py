"""Conducting: the driver of a rollout. One at a time, by a lease with a token; each stage is an ordinary change; between two stages
nothing is changed and only evidence is gathered.

Whoever takes a rollout up measures its present stage again: overdue stages are never caught up, and evidence that nobody saw never counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mlconsole.core.deciding import decide
from mlconsole.core.documents import document_of, target_told
from mlconsole.core.freezes import frozen
from mlconsole.core.live import as_live
from mlconsole.core.operations import Cause
from mlconsole.core.plans import Plan
from mlconsole.core.releases import Content, Release, ReleaseKind, describe_content
from mlconsole.core.rollouts import Control, Decision, Rollout, RolloutState
from mlconsole.core.steering import advanced, controlled, measured_again, slice_returned
from mlconsole.core.text import neutralise
from mlconsole.core.transitions import removed
from mlconsole.engine import changing, metering, publishing
from mlconsole.engine.announcing import channels_for, notice_of
from mlconsole.engine.gates import GOLDEN
from mlconsole.engine.growing import weighing_for
from mlconsole.engine.holding import Stop
from mlconsole.engine.overseeing import Beside, Overseer, keep_seen
from mlconsole.engine.planning import current, make_plan
from mlconsole.engine.views import Outcome
from mlconsole.plugin.errors import Conflict, Locked, MLConsoleError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_BEAT = 2.0
"""Seconds between two signs of life."""

_LOOK = 1.0
"""Seconds between two looks at the guards: the evaluation interval."""

_PROOF = 15.0
"""Seconds that going back waits for the proof that nobody reaches the bad variant any more."""

_SET_BACK = 10.0
"""Seconds in the future from which a stage's begin was told by a clock that was set back since: nothing would count before that."""

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
        known = session.registry.rollout(rollout_id)
        target = known.endpoint if known is not None else ""
        self._weighing, self._beside = weighing_for(session, target), Beside(lambda: weighing_for(session, target))
        self._stood: Rollout | None = None
        """As it was when a stage of it stood last: what is seen while the change to the next one runs belongs to that."""
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
                if rollout.stage_began is not None:
                    self._stood = rollout
                try:
                    rollout = self._step(self._obeyed(rollout))
                except (Conflict, Locked) as error:
                    self._say(f"rollout {self._id} of {target_told(rollout.endpoint)}: {error.message}")
                    if self._lost.is_set():
                        return None
                    self._wait(_LOOK)
                    rollout = self._rollout()
                except MLConsoleError as error:
                    # A backend that does not answer, a registry that is locked for long: it holds where it is, and says so.
                    self._say(f"rollout {self._id} of {target_told(rollout.endpoint)} holds: {error.message}")
                    self._wait(_LOOK)
                    rollout = self._rollout()
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

    def _save(self, rollout: Rollout, event: tuple[str, str, str | None], *, moved: bool = True, yields: bool = False) -> Rollout:
        """Write it down, with what happened; people are told of it where it `moved` to another state. `yields`: not where somebody wants
        it back.
        """
        if self._lost.is_set():
            raise Lost
        notice = notice_of(self._session, rollout, event) if moved else None
        channels = channels_for(self._session, notice) if notice is not None else ()
        saved = self._registry.save_rollout(rollout, self._token, event, notice, channels, yields=yields)
        self._say(f"{saved.environment}: rollout {saved.id} of {target_told(saved.endpoint)}: {event[1]}")
        return saved

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
        wanted = rollout.present.content.document
        if wanted is not None:  # endpoints may have written their shares into it since
            return publishing.stands(self._session, wanted)
        recorded = self._registry.live_release(rollout.environment, rollout.endpoint)
        return recorded is not None and recorded.release.content.served == rollout.present.content

    def _step(self, rollout: Rollout) -> Rollout:
        match rollout.state:
            case RolloutState.SHIFTING:
                return self._shift(rollout)
            case RolloutState.GOING_BACK:
                return self._back(rollout)
            case _:
                return self._hold(rollout)

    def _shift(self, rollout: Rollout) -> Rollout:
        """Bring the present stage about: an ordinary change, or nothing where it stands already. Meanwhile the guards go on."""
        self._asked_back = False
        overseer = Overseer(self._session, rollout, self._stood or self._standing(rollout), self._beside)
        kind = ReleaseKind.TRAFFIC if document_of(rollout.endpoint) is None else ReleaseKind.PUBLISH
        failed, release = self._reach(rollout, rollout.present.content, kind, f"{rollout.policy.name}: {rollout.present.name}", overseer)
        fresh = self._rollout()
        if fresh.state is not RolloutState.SHIFTING:  # somebody took the endpoint back meanwhile
            return fresh
        pending = {one.control for one in self._registry.controls(self._id)}
        if failed and Control.REVERT in pending:
            return fresh  # it went back because it was asked to; the word itself is obeyed next
        turned = overseer.end()
        if turned is not None:
            alone = self._slice_back(rollout, turned) if turned.slice else None
            return alone if alone is not None else self._obey(rollout, Decision(RolloutState.GOING_BACK, turned.why), release)
        now = self._session.clock.now()
        if failed and self._asked_back:  # who takes a stage's change back wants none of it, and not the stage before
            return self._obey(rollout, Decision(RolloutState.GOING_BACK, neutralise(f"reverted by hand: {failed}")), None)
        decision = decide(rollout, (), now, settled=not failed, failed=failed)
        return self._obey(rollout, decision, release)

    def _standing(self, rollout: Rollout) -> Rollout | None:
        """The rollout in the stage that stands while the change to the present one runs, for a driver that did not see it: from now on."""
        recorded = self._registry.live_release(rollout.environment, rollout.endpoint)
        for place, stage in reversed(list(enumerate(rollout.stages[: rollout.stage]))):
            if recorded is not None and recorded.release.content.served == stage.content:
                began = self._session.clock.now()
                return replace(rollout, state=RolloutState.WAITING, stage=place, attempt=2, stage_began=began)
        return None

    def _hold(self, rollout: Rollout) -> Rollout:
        """Look at the guards, and go on where all of them say so."""
        began, now = rollout.stage_began, self._session.clock.now()
        if began is not None and (began - now).total_seconds() > _SET_BACK:
            text = f"the clock was set back; {rollout.present.name} is measured again"
            return self._save(measured_again(rollout, now), ("measured again", text, None), moved=False)
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
        alone = self._slice_back(rollout, decision) if decision.slice else None
        if alone is not None:
            return alone
        if decision.to is None:
            self._wait(_LOOK)
            return self._rollout()
        if decision.to is RolloutState.DONE:
            self._stop_old(rollout)
        return self._obey(rollout, decision, None, yields=decision.to is RolloutState.DONE)

    def _slice_back(self, rollout: Rollout, decision: Decision) -> Rollout | None:
        """One slice goes back alone; None where that can't be done. What is seen meanwhile decides nothing."""
        returned = slice_returned(rollout, decision.slice)
        if returned is None:
            return None
        if rollout.state is RolloutState.SHIFTING:
            moved = replace(returned, attempt=returned.attempt + 1, why=decision.why)
        else:
            moved = advanced(returned, RolloutState.SHIFTING, self._session.clock.now(), why=decision.why)
        text = f"{decision.slice.partition('=')[2]} goes back alone: {decision.why}"
        return self._save(moved, ("slice back", text, f"slice {decision.slice}"))

    def _obey(self, rollout: Rollout, decision: Decision, release: int | None, *, yields: bool = False) -> Rollout:
        if decision.to is None:
            self._wait(_LOOK)
            return self._rollout()
        now = self._session.clock.now()
        moved = advanced(rollout, decision.to, now, stage=decision.stage, why=decision.why, release=release)
        kind = str(decision.to)
        text = f"{moved.present.name}: {decision.why}" if decision.to in (RolloutState.WAITING, RolloutState.SHIFTING) else decision.why
        return self._save(moved, (kind, text or kind, f"{kind} {moved.stage} {moved.attempt}"), yields=yields)

    def _back(self, rollout: Rollout) -> Rollout:
        """Go back to what was before the first stage, and prove that nobody reaches the new variant any more."""
        wanted, published = rollout.revert_to, rollout.stages[-1].content.document
        if published is not None:
            wanted = publishing.before_it(self._session, published, wanted)
        failed, release = self._reach(rollout, wanted, ReleaseKind.REVERT, rollout.why or "the rollout goes back")
        if failed:
            self._say(f"rollout {self._id} of {target_told(rollout.endpoint)} is not back yet: {failed}")
            self._wait(_LOOK)
            return self._rollout()
        since = self._session.clock.now()
        began = self._session.clock.elapsed()
        last: float | None = None
        while self._session.clock.elapsed() - began < _PROOF:
            last = self._weighing.last_new(rollout)
            if last is None or self._session.clock.now().timestamp() - last >= _QUIET:
                break
            self._wait(0.25)
        proven = last is None or last <= since.timestamp() + _QUIET
        gets = (
            f"{rollout.variant} gets no request since {since.astimezone():%H:%M:%S}" if proven else f"{rollout.variant} still gets requests"
        )
        if metering.bound(self._session):  # what comes now is told in some minutes
            by = since + timedelta(seconds=metering.usual_lag(self._session, near=True))
            gets = f"that {rollout.variant} gets no request any more is seen by {by.astimezone():%H:%M:%S}"
        if published is not None:  # nobody knows which client made a request: when all of them have polled is known
            by = since + timedelta(seconds=self._session.backend.config().limits().poll_lag)
            gets = f"every client has read that by {by.astimezone():%H:%M:%S}"
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

    def _reach(self, rollout: Rollout, wanted: Content, kind: ReleaseKind, reason: str, stop: Stop | None = None) -> tuple[str, int | None]:
        """Let the endpoint become `wanted`, by an ordinary change of this rollout; why it did not (empty: it did), and its release."""
        session = self._session
        changing.interrupted_first(session, rollout.endpoint)
        recorded = self._registry.live_release(rollout.environment, rollout.endpoint)
        live = session.backend.describe(rollout.endpoint)
        if recorded is not None and _same(recorded.release.content, wanted) and not session.backend.steps(live, wanted):
            return "", recorded.release.number
        if kind is ReleaseKind.REVERT:
            plan = self._plan_back(rollout, wanted, recorded.release if recorded else None, reason)
        else:
            live, record = current(session, rollout.endpoint)
            glass = (rollout.reason or "the rollout was begun so") if rollout.skipped_gates else ""
            plan = make_plan(
                session,
                rollout.endpoint,
                kind,
                live,
                record,
                wanted,
                words=[],
                reason=reason,
                gated=True,
                break_glass=glass,
                # What was overruled as a whole stays visible on the release of each stage; golden queries are asked of what is brought up.
                skipped=tuple(gate for gate in rollout.skipped_gates if not gate.startswith(GOLDEN)),
                staged=True,
            )
        try:
            outcome: Outcome = changing.run(session, plan, stop=stop, rollout=rollout.id, driver=self._token)
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
            staged=True,
        )


def _same(there: Content, wanted: Content) -> bool:
    """Whether a release's content is the wanted one already; of a config document the bytes and their readers count."""
    one, two = there.document, wanted.document
    if one is not None and two is not None and not wanted.variants:
        return (one.digest, one.share) == (two.digest, two.share)
    return there.served == wanted
