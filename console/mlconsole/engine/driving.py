"""The driver: carries a plan out step by step, journaled and read back; goes back to the stored revert target when it does not stand.

Intent is committed before each effect (invariant 1); every step is described, compared, started, polled and read back (2); success is the
live state equal to the release, and at rest (3); the row of control is read before each step and at least every second (5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.documents import target_told
from mlconsole.core.live import Difference, Live, Transition, VariantState, as_live, differences, fingerprint
from mlconsole.core.models import ModelVersion
from mlconsole.core.operations import Cause, Lease, Operation, OperationState, StepState
from mlconsole.core.plans import Plan
from mlconsole.core.releases import Content, ReleaseKind, Standing, describe_content
from mlconsole.core.steps import Phase, Step, after, outstanding
from mlconsole.core.text import duration, neutralise
from mlconsole.engine.carrying import bytes_for, carried
from mlconsole.engine.gates import run_gate
from mlconsole.engine.holding import LEASE_SECONDS, GoBack, Hold, LeftBetween, Stop
from mlconsole.engine.journaling import StepLines
from mlconsole.engine.lagging import Readers
from mlconsole.engine.patience import Patience
from mlconsole.engine.planning import in_steps
from mlconsole.plugin.errors import (
    AuthFailed,
    BackendError,
    Conflict,
    MLConsoleError,
    OutcomeUnknown,
    RegistryUnusable,
    StillRunning,
    Throttled,
    Unavailable,
)
from mlconsole.plugin.roles import Order

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_DIFFERS = 30.0
"""Seconds that a live state at rest may differ from the release before that counts: it may have been read late."""

_SURE = 3
"""How many looks in a row have to find that a backend undid a step by itself: a single one may have read an old state."""


class Drive:
    """One operation under one lease. `run` and `resume` end in a terminal state, or raise and leave the journal telling where it stands."""

    def __init__(self, session: Session, operation: Operation, leases: Sequence[Lease], stop: Stop) -> None:
        self._session, self._registry, self._backend = session, session.registry, session.backend
        self._clock = session.clock
        self._began = session.clock.elapsed()
        self.operation = operation
        self._plan: Plan = operation.plan
        self._hold = Hold(session, operation, leases, stop)
        self._lines = StepLines(session, operation.id, self._hold)
        self._readers = Readers(session)
        self._document = carried(self._plan)
        self._blind = ""
        """Why the live state could not be read when it was last looked at."""
        self._taken: list[Step] = []
        """Steps that the backend took, and whose effect was not seen (yet)."""
        self._unknown: list[Step] = []
        """Steps whose call never came back: it may still do something."""

    def run(self) -> Operation:
        """Go forward; on any failure, or when asked, go back."""
        with self._driving():
            try:
                self._forward()
            except GoBack as why:
                self._go_back(why)
        return self._after()

    def resume(self) -> Operation:
        """End a change whose driver is gone: fully new if it had arrived (or is a revert itself), else fully back. Never between."""
        self._readers.told()
        with self._driving():
            self._close_open_steps()
            try:
                if self._going_back:
                    self._back_until_there()
                elif self._arrived():
                    self._finish(OperationState.DONE)
                elif self._plan.kind is ReleaseKind.REVERT:
                    self._forward()
                else:
                    raise GoBack(Cause.INTERRUPTED, "whoever drove it was gone before it had come to stand")
            except GoBack as why:
                self._go_back(why)
        return self._after()

    @property
    def _longest(self) -> float:
        """Seconds that going back, and coming to rest, are waited for: unless somebody said how long, at least twice what the backend says
        its steps take. One that needs minutes for each has to end the step that is under way before it can take the one back.
        """
        session = self._session
        return session.deadline if session.limit is not None else max(session.deadline, 2 * sum(step.seconds for step in self._plan.steps))

    @contextmanager
    def _driving(self) -> Iterator[None]:
        try:
            with self._hold, self._backend.attended(self._obey):
                yield
        except RegistryUnusable as error:
            one = self.operation
            message = error.message.removesuffix(" Nothing was changed.")
            raise type(error)(
                f"{message} Change {one.id} of {target_told(one.endpoint)} stopped where it was; nobody drives it now.",
                next=f"{error.next} Then mlconsole recover {one.id} --env {one.environment} finishes it.".strip(),
            ) from error

    # Forward.

    def _forward(self) -> None:
        steps = self._plan.steps
        done = self._lines.ended(StepState.DONE)
        for number, step in enumerate(steps, 1):
            if step.phase is Phase.CHECK and step in done:
                continue
            self._obey()
            self._session.tell("step", step.summary, number, len(steps))
            self._carry_out(step, back=False)
        self._settle(self._plan.then)
        self._finish(OperationState.DONE)

    def _settle(self, wanted: Content) -> None:
        """Read the whole release back: an operation succeeds only when the live state equals it, and nothing is under way any more."""
        differs, moves = Patience(self._clock, _DIFFERS), Patience(self._clock, self._longest)
        while True:
            self._obey()
            live = self._describe()
            if live is None:
                differs = Patience(self._clock, _DIFFERS)  # throttled or not answered: that says nothing of what is live
            left = differences(live, wanted) if live is not None else ()
            moving = live is not None and live.transition is Transition.IN_PROGRESS
            if live is not None and not left and not moving:
                return
            if (moves if moving or live is None else differs).over():
                told = _told(left) or self._blind or "the backend is still changing it"
                raise GoBack(Cause.STEP, f"the live state is not what was asked for: {told}")
            (moves if live is None else differs).rest(self._obey)

    # One step.

    def _carry_out(self, step: Step, *, back: bool, again: bool = False) -> None:
        """Journal, start, poll and read back one step. `again`: start it though its effect is there."""
        self._readers.wait(step, self._obey)
        live = self._described(step.deadline)
        record = self._lines.intend(step, live, back=back)
        try:
            read_back = self._gate(step) if step.role == "gate" else self._native(step, live, again=again)
        except GoBack as why:
            # Who is asked to go back in the middle of a step does not know what came of it.
            self._lines.close(
                record, StepState.UNKNOWN if why.cause in (Cause.ASKED, Cause.GUARD) else StepState.FAILED, problem=why.problem
            )
            raise
        except MLConsoleError as error:
            if error is not self._hold.lost:
                self._lines.close(record, StepState.UNKNOWN, problem=error.message)
            raise
        self._lines.close(record, StepState.DONE, read_back=read_back)
        if step.traffic is not None or step.gone:
            self._readers.told()
        self._session.tell("done", f"{step.summary}: {read_back}")

    def _gate(self, step: Step) -> str:
        try:
            result = run_gate(self._session, self.operation.endpoint, step, self._obey)
        except (LeftBetween, RegistryUnusable):
            raise
        except MLConsoleError as error:
            if error is self._hold.lost:
                raise
            raise GoBack(Cause.GATE, f"{step.summary}: {error.message}") from error
        if not result.passed:
            raise GoBack(Cause.GATE, result.problem)
        return result.text

    def _native(self, step: Step, before: Live, *, again: bool) -> str:
        """Start the step unless its effect is there already, and poll until it is."""
        if not again and not outstanding(step, before):
            return "already so"
        patience = Patience(self._clock, step.deadline)
        started = progressed = False
        may_start = True
        undone = 0
        problem = ""
        while True:
            if not started and may_start:
                started, problem = self._start(step)
            self._obey()
            seen = self._describe()
            # After a call with an unknown outcome nothing is sent again before the endpoint was seen at rest.
            may_start = seen is not None and seen.transition is not Transition.IN_PROGRESS
            if seen is not None:
                left = outstanding(step, seen)
                if not left and (started or not again):
                    self._taken = [other for other in self._taken if other is not step]
                    return in_steps(step)
                progressed = progressed or (started and not may_start)
                self._check_failed(step, before, seen, started=started, progressed=progressed)
                undone = undone + 1 if progressed and seen.transition is Transition.SETTLED else 0
                if undone >= _SURE:
                    reason = f" Its reason: {seen.reason}" if seen.reason else ""
                    what = f"the backend says it is settled, but rolled it back by itself ({_told(left)})"
                    raise GoBack(Cause.STEP, f"{step.summary}: {what}.{reason}")
                problem = _told(left) if started else problem or _told(left)
            else:
                problem = self._blind
            if patience.over():
                raise GoBack(Cause.TIMEOUT, f"{step.summary}: after {duration(step.deadline)} still not so ({problem.rstrip('.')})")
            if patience.worth_telling():
                self._session.tell("waiting", f"{step.summary}: {neutralise(problem)} ({patience.told()})")
            patience.rest(self._obey)

    def _start(self, step: Step) -> tuple[bool, str]:
        """Whether the backend took the step. Not taken is not failed: an unreachable or throttling backend is described and asked again."""
        back = self._going_back or self._plan.kind is ReleaseKind.REVERT
        order = Order(self._hold.token(step.role), self._release_name(), self._versions(), bytes_for(self._registry, step), back=back)
        try:
            self._backend.start(self.operation.endpoint, step, order)
        except GoBack:
            self._abandon(step)
            raise
        except OutcomeUnknown as error:
            self._abandon(step)
            return False, error.message
        except (Throttled, Unavailable, AuthFailed) as error:
            return False, error.message
        except Conflict as error:
            if error is self._hold.lost:
                raise
            # Perhaps somebody took this change over; then this driver ends and touches nothing more.
            self._hold.renew()
            if self._going_back or self._plan.kind is ReleaseKind.REVERT:
                return False, error.message  # the backend is busy; there is no other way than to wait
            raise GoBack(Cause.STEP, f"{step.summary}: {error.message}") from error
        except BackendError as error:
            raise GoBack(Cause.STEP, f"{step.summary}: {error.message}") from error
        self._unknown = [other for other in self._unknown if other.role != step.role]
        self._taken.append(step)
        return True, ""

    def _abandon(self, step: Step) -> None:
        self._unknown.append(step)
        self._hold.renew_fence()

    def _check_failed(self, step: Step, before: Live, seen: Live, *, started: bool, progressed: bool) -> None:
        """Whether the step is seen to have failed. What was ill before it says nothing until the step had its turn."""
        over = progressed and seen.transition is not Transition.IN_PROGRESS
        for wanted in step.ensures:
            there, was = seen.variant(wanted.name), before.variant(wanted.name)
            if there is None or there.state is not VariantState.FAILED:
                continue
            if over or was is None or was.state is not VariantState.FAILED or was.since != there.since:
                raise GoBack(Cause.STEP, f"{wanted.name} did not come up: {there.reason or 'the backend gives no reason'}")
        if started and seen.transition is Transition.FAILED and (over or before.transition is not Transition.FAILED):
            raise GoBack(Cause.STEP, f"{step.summary}: the backend says it failed: {seen.reason or 'it gives no reason'}")

    # Back.

    def _go_back(self, why: GoBack) -> None:
        state = OperationState.GOING_BACK
        self.operation = replace(self.operation, state=state, cause=why.cause, problem=why.problem)
        self._hold.write(
            lambda lease: self._registry.set_state(self.operation.id, state, lease, cause=why.cause, problem=why.problem),
        )
        self._session.tell("going back", f"{why.problem}. Going back to {describe_content(self.operation.revert_to)}")
        self._back_until_there()

    def _back_until_there(self) -> None:
        target = self.operation.revert_to
        in_place = fingerprint(as_live(target, self.operation.endpoint))
        patience = Patience(self._clock, self._longest)
        again = Patience(self._clock, self._longest, longest=10.0)  # what was refused is not asked for twice a second
        trouble = ""
        while True:
            self._obey()
            live = self._describe()
            if live is not None:
                left = differences(live, target)
                moving = live.transition is Transition.IN_PROGRESS
                # What was ill before, or cannot be mended from here, is told and not hidden; but everything is in its place again.
                if left and not (trouble and fingerprint(live) == in_place):
                    trouble = self._round(live, target)
                elif moving or self._unknown:
                    trouble = self._forestall(live, target, moving=moving) or trouble
                else:
                    if left:
                        self.operation = replace(self.operation, problem=f"{self.operation.problem}; {trouble}")
                    return self._finish(OperationState.WENT_BACK)
            why = neutralise(trouble or self._blind or "the backend is still changing it").rstrip(".")
            if patience.over():
                raise StillRunning(
                    f"{target_told(self.operation.endpoint)} is not back yet after {duration(self._longest)}: {why}. "
                    f"Nobody drives change {self.operation.id} now.",
                    next=f"mlconsole recover {self.operation.id} --env {self.operation.environment} goes on with it.",
                )
            if patience.worth_telling():
                self._session.tell("waiting", f"going back: {why} ({patience.told()})")
            (again if trouble else patience).rest(self._obey)

    def _round(self, live: Live, target: Content, *, only: str | None = None) -> str:
        """Carry out what leads from a live state to the target; what went wrong, if anything. `only`: the steps of that role, and started
        even though their effect is there.
        """
        try:
            for step in self._backend.steps(live, target, back=True):
                if only in (None, step.role):
                    self._obey()
                    self._session.tell("step", f"back: {step.summary}")
                    self._carry_out(step, back=True, again=only is not None)
        except GoBack as why:
            return why.problem
        except BackendError as error:
            if error is self._hold.lost:
                raise
            return error.message
        return ""

    def _forestall(self, live: Live, target: Content, *, moving: bool) -> str:
        """Everything is in its place, but a step may yet come true: it is under way, or its call never came back. What it would do is
        undone in advance, under a newer token; from then on the backend refuses the older call. What went wrong with that, if anything.
        """
        steps = [*self._unknown, *(self._taken if moving else ())]
        self._unknown = []
        trouble = [told for step in steps if (told := self._round(after(step, live), target, only=step.role))]
        if not trouble:
            self._taken = []
        return "; ".join(trouble)

    # Around.

    def _finish(self, state: OperationState) -> None:
        if state is OperationState.WENT_BACK:
            self._tidy()
        undone = self._plan.kind is ReleaseKind.REVERT and self._plan.now != self._plan.then
        was, becomes = self._plan.now.document, self._plan.then.document
        if undone and was is not None and becomes is not None and not self._plan.then.variants:
            undone = becomes.digest == was.before_digest  # else an earlier change was taken back, and the live one stays
        former = Standing.REVERTED if undone else Standing.PAST
        one = self.operation
        published = self._backend.published(one.endpoint, self._document)
        self._hold.end(
            lambda lease: self._registry.finish(
                one.id, state, lease, cause=one.cause, problem=one.problem, former=former, published=published
            ),
        )

    def _tidy(self) -> None:
        """Have what was created for the release that did not come to stand taken away; what can't be now stays there, and harms nobody."""
        one = self.operation
        try:
            self._backend.tidy(one.endpoint, f"{one.endpoint}@{one.environment}#{one.release}")
        except BackendError as error:
            if error is self._hold.lost:
                raise
            self._session.tell("waiting", f"what was created for #{one.release} is still there: {neutralise(error.message)}")

    def _after(self) -> Operation:
        stored = self._registry.operation(self.operation.id)
        return stored if stored is not None else self.operation

    def _arrived(self) -> bool:
        """Whether an interrupted change had come to stand: every gate passed, nobody asked to go back, the live state is as wanted."""
        self._obey()
        passed = self._lines.ended(StepState.DONE)
        if any(step.phase is Phase.CHECK and step not in passed for step in self._plan.steps):
            return False
        live = self._described(60.0)
        return live.transition is not Transition.IN_PROGRESS and not differences(live, self._plan.then)

    def _close_open_steps(self) -> None:
        if records := self._lines.open():
            live: Live | None = None
            with suppress(GoBack):  # asked for, or not described: either way it is looked at again in a moment
                live = self._described(60.0)
            self._lines.close_found(records, live)
        self._taken, self._unknown = self._lines.ended(StepState.FAILED), self._lines.ended(StepState.UNKNOWN)

    def _describe(self) -> Live | None:
        """The live state; None when the backend does not tell it just now, and `_blind` why."""
        try:
            live = self._backend.describe(self.operation.endpoint, document=self._document)
        except BackendError as error:
            if error is self._hold.lost:
                raise
            self._blind = error.message
            return None
        self._blind = ""
        return live

    def _described(self, seconds: float) -> Live:
        """The live state, waited for; nothing is started blindly (invariant 2)."""
        patience = Patience(self._clock, seconds)
        while (live := self._describe()) is None:
            if patience.over():
                target = target_told(self.operation.endpoint)
                raise GoBack(Cause.TIMEOUT, f"for {duration(seconds)} nobody could tell how {target} is: {self._blind}")
            if patience.worth_telling():
                self._session.tell("waiting", f"{neutralise(self._blind)} ({patience.told()})")
            self._obey()
            patience.rest(self._obey)
        return live

    @property
    def _going_back(self) -> bool:
        return self.operation.state is OperationState.GOING_BACK

    def _obey(self) -> None:
        self._hold.look(going_back=self._going_back)
        limit = self._session.limit
        if limit is not None and not self._going_back and self._clock.elapsed() - self._began > limit:
            raise GoBack(Cause.TIMEOUT, f"it did not come to stand within {duration(limit)}")

    def _release_name(self) -> str:
        number = self.operation.revert_to_release if self._going_back else self.operation.release
        return f"{self.operation.endpoint}@{self.operation.environment}#{number if number is not None else 0}"

    def _versions(self) -> Mapping[str, ModelVersion]:
        variants = {variant.name: variant for variant in (*self.operation.revert_to.variants, *self._plan.then.variants)}
        found = {name: self._registry.version(variant.model, variant.version) for name, variant in variants.items()}
        return {name: version for name, version in found.items() if version is not None}


def _told(left: tuple[Difference, ...]) -> str:
    return "; ".join(str(difference) for difference in left)


__all__ = ["LEASE_SECONDS", "Drive", "LeftBetween", "Stop"]
