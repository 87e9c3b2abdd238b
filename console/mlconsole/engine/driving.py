"""The driver: carries a plan out step by step, journaled and read back; goes back to the stored revert target when it does not stand.

Intent is committed before each effect (invariant 1); every step is described, compared, started, polled and read back (2); success is the
live state equal to the release (3); the row of control is read before each step and at least every second (5).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlconsole.core.live import Live, Transition, VariantState, differences, fingerprint
from mlconsole.core.models import Json, ModelVersion
from mlconsole.core.operations import Cause, Lease, Operation, OperationState, StepRecord, StepState, Wanted
from mlconsole.core.plans import Plan
from mlconsole.core.releases import Content, ReleaseKind, Standing, describe_content
from mlconsole.core.steps import Phase, Step, outstanding
from mlconsole.core.text import duration, neutralise
from mlconsole.engine.gates import run_gate
from mlconsole.engine.patience import Heart, Patience
from mlconsole.engine.planning import as_live, in_steps
from mlconsole.plugin.errors import AuthFailed, Conflict, MLConsoleError, StillRunning, Throttled, Unavailable
from mlconsole.plugin.roles import Order

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

LEASE_SECONDS = 10.0
"""A lease not renewed for so long is dead, and whoever asked to go back takes it (invariant 5)."""


class Stop:
    """How a person interrupts a running change: the first time it goes back, the second time it is left as it is."""

    def __init__(self) -> None:
        self.times = 0

    def press(self) -> None:
        """Ask once more."""
        self.times += 1


class LeftBetween(MLConsoleError):
    """A person left a change unfinished; nothing watches it now."""

    code = "interrupted"
    exit_code = 130


@dataclass
class _GoBack(Exception):
    cause: Cause
    problem: str


class Drive:
    """One operation under one lease. `run` and `resume` end in a terminal state, or raise and leave the journal telling where it stands."""

    def __init__(self, session: Session, operation: Operation, lease: Lease, stop: Stop) -> None:
        self._session, self._registry, self._backend = session, session.registry, session.backend
        self._clock = session.clock
        self.operation, self._lease, self._stop = operation, lease, stop
        self._plan: Plan = operation.plan
        self._next_index = len(self._registry.steps(operation.id))
        self._lost: MLConsoleError | None = None
        self._ended = threading.Event()

    def run(self) -> Operation:
        """Go forward; on any failure, or when asked, go back."""
        with self._heart():
            try:
                self._forward()
            except _GoBack as why:
                self._go_back(why.cause, why.problem)
        return self._after()

    def resume(self) -> Operation:
        """End a change whose driver is gone: fully new if it had arrived (or is a revert itself), else fully back. Never between."""
        with self._heart():
            self._close_open_steps()
            try:
                if self._going_back:
                    self._back_until_there()
                elif self._arrived():
                    self._finish(OperationState.DONE)
                elif self._plan.kind is ReleaseKind.REVERT:
                    self._forward()
                else:
                    raise _GoBack(Cause.INTERRUPTED, "whoever drove it was gone before it had come to stand")
            except _GoBack as why:
                self._go_back(why.cause, why.problem)
        return self._after()

    # Forward.

    def _forward(self) -> None:
        steps = self._plan.steps
        done = self._steps_done()
        for number, step in enumerate(steps, 1):
            if step.phase is Phase.CHECK and step in done:
                continue
            self._obey()
            self._session.tell("step", step.summary, number, len(steps))
            self._carry_out(step, back=False)
        self._settle(self._plan.then)
        self._finish(OperationState.DONE)

    def _settle(self, wanted: Content) -> None:
        """Read the whole release back: an operation succeeds only when the live state equals it."""
        waited = Patience(self._clock, 30.0)
        while True:
            self._obey()
            live = self._describe()
            left = differences(live, wanted) if live is not None else ()
            if live is not None and not left:
                return
            if waited.over():
                told = "; ".join(str(difference) for difference in left) or "the backend did not answer"
                raise _GoBack(Cause.STEP, f"the live state is not what was asked for: {neutralise(told)}")
            waited.rest()

    # One step.

    def _carry_out(self, step: Step, *, back: bool) -> None:
        live = self._described(step)
        record = StepRecord(
            operation=self.operation.id,
            index=self._next_index,
            step=step,
            back=back,
            found=_found(live),
            started=self._clock.now(),
        )
        self._next_index += 1
        self._registry.intend_step(record, self._lease)
        try:
            read_back = self._gate(step) if step.role == "gate" else self._native(step, live)
        except _GoBack as why:
            self._close(record, StepState.FAILED, problem=why.problem)
            raise
        except MLConsoleError as error:
            if error is not self._lost:
                self._close(record, StepState.UNKNOWN, problem=error.message)
            raise
        self._close(record, StepState.DONE, read_back=read_back)
        self._session.tell("done", f"{step.summary}: {read_back}")

    def _gate(self, step: Step) -> str:
        result = run_gate(self._session, self.operation.endpoint, step)
        if not result.passed:
            raise _GoBack(Cause.GATE, result.problem)
        return result.text

    def _native(self, step: Step, live: Live) -> str:
        """Start the step unless its effect is there already, and poll until it is."""
        if not outstanding(step, live):
            return "already so"
        patience = Patience(self._clock, step.deadline)
        started = progressed = False
        may_start = True
        problem = ""
        while True:
            if not started and may_start:
                started, problem = self._start(step)
            if not self._going_back:
                self._obey()
            seen = self._describe()
            # After a call with an unknown outcome nothing is sent again before the endpoint was seen at rest.
            may_start = seen is not None and seen.transition is not Transition.IN_PROGRESS
            if seen is not None:
                left = outstanding(step, seen)
                if not left:
                    return _told(step)
                progressed = progressed or seen.transition is Transition.IN_PROGRESS
                if started:
                    self._check_failed(step, seen, progressed)
                problem = "; ".join(str(difference) for difference in left)
            if patience.over():
                raise _GoBack(Cause.STEP, f"{step.summary}: after {duration(step.deadline)} still not so ({neutralise(problem)})")
            if patience.worth_telling():
                self._session.tell("waiting", f"{step.summary}: {neutralise(problem) or 'the backend does not answer'} ({patience.told()})")
            patience.rest()

    def _start(self, step: Step) -> tuple[bool, str]:
        """Whether the backend took the step. Not taken is not failed: an unreachable or throttling backend is described and asked again."""
        order = Order(self._lease.token, self._release_name(), self._versions())
        try:
            self._backend.start(self.operation.endpoint, step, order)
        except (Throttled, Unavailable) as error:
            return False, error.message
        except Conflict as error:
            self._hold_lease(error)
            raise _GoBack(Cause.STEP, f"{step.summary}: {error.message}") from error
        except MLConsoleError as error:
            raise _GoBack(Cause.STEP, f"{step.summary}: {error.message}") from error
        return True, ""

    def _check_failed(self, step: Step, seen: Live, progressed: bool) -> None:
        for wanted in step.ensures:
            there = seen.variant(wanted.name)
            if there is not None and there.state is VariantState.FAILED:
                why = neutralise(there.reason) or "the backend gives no reason"
                raise _GoBack(Cause.STEP, f"{wanted.name} did not come up: {why}")
        if seen.transition is Transition.FAILED:
            raise _GoBack(Cause.STEP, f"{step.summary}: the backend says it failed: {neutralise(seen.reason)}")
        if progressed and seen.transition is Transition.SETTLED:
            left = "; ".join(str(difference) for difference in outstanding(step, seen))
            reason = f" Its reason: {neutralise(seen.reason)}" if seen.reason else ""
            raise _GoBack(Cause.STEP, f"{step.summary}: the backend says it is settled, but rolled it back by itself ({left}).{reason}")

    # Back.

    def _go_back(self, cause: Cause, problem: str) -> None:
        self.operation = replace(self.operation, state=OperationState.GOING_BACK, cause=cause, problem=problem)
        self._registry.set_state(self.operation.id, OperationState.GOING_BACK, self._lease, cause=cause, problem=problem)
        self._session.tell("going back", f"{problem}. Going back to {describe_content(self.operation.revert_to)}")
        self._back_until_there()

    def _back_until_there(self) -> None:
        target = self.operation.revert_to
        patience = Patience(self._clock, self._session.deadline)
        trouble = ""
        while True:
            self._obey_going_back()
            live = self._describe()
            if live is not None:
                if not differences(live, target):
                    return self._finish(OperationState.WENT_BACK)
                if trouble and fingerprint(live) == fingerprint(as_live(target, live.endpoint)):
                    # Everything is in its place again; what was ill before, or cannot be mended from here, is told and not hidden.
                    self.operation = replace(self.operation, problem=f"{self.operation.problem}; {trouble}")
                    return self._finish(OperationState.WENT_BACK)
                trouble = self._one_round_back(live, target)
            if patience.over():
                raise StillRunning(
                    f"{self.operation.endpoint} is not back yet after {duration(self._session.deadline)}: "
                    f"{trouble or 'the backend does not answer'}.",
                    next=f"mlconsole recover {self.operation.id} goes on with it.",
                )
            patience.rest()

    def _one_round_back(self, live: Live, target: Content) -> str:
        """Carry out what is left on the way back; what went wrong, if anything."""
        try:
            for step in self._backend.steps(live, target):
                self._obey_going_back()
                self._session.tell("step", f"back: {step.summary}")
                self._carry_out(step, back=True)
        except _GoBack as why:
            return why.problem
        except (Throttled, Unavailable) as error:
            return error.message
        return ""

    # Around.

    def _finish(self, state: OperationState) -> None:
        undone = self._plan.kind is ReleaseKind.REVERT and self._plan.now != self._plan.then
        former = Standing.REVERTED if undone else Standing.PAST
        self._ended.set()
        self._registry.finish(
            self.operation.id,
            state,
            self._lease,
            cause=self.operation.cause,
            problem=self.operation.problem,
            former=former,
        )

    def _after(self) -> Operation:
        stored = self._registry.operation(self.operation.id)
        return stored if stored is not None else self.operation

    def _arrived(self) -> bool:
        """Whether an interrupted change had come to stand: every gate passed, and the live state is the new release."""
        passed = self._steps_done()
        if any(step.phase is Phase.CHECK and step not in passed for step in self._plan.steps):
            return False
        live = self._described(None)
        return not differences(live, self._plan.then)

    def _steps_done(self) -> list[Step]:
        """The steps forward that the journal knows to be done."""
        records = self._registry.steps(self.operation.id) if self._next_index else []
        return [record.step for record in records if record.state is StepState.DONE and not record.back]

    def _close_open_steps(self) -> None:
        """Steps that were intended when the driver died: perhaps they happened. Say which, from the live state."""
        open_steps = [record for record in self._registry.steps(self.operation.id) if record.state is StepState.INTENDED]
        live = self._described(None) if open_steps else None
        for record in open_steps:
            happened = record.step.role != "gate" and live is not None and not outstanding(record.step, live)
            state = StepState.DONE if happened else StepState.UNKNOWN
            self._close(
                record, state, read_back="found so after an interruption" if happened else "", problem="" if happened else "interrupted"
            )

    def _close(self, record: StepRecord, state: StepState, *, read_back: str = "", problem: str = "") -> None:
        self._registry.close_step(replace(record, state=state, ended=self._clock.now(), read_back=read_back, problem=problem), self._lease)

    def _describe(self) -> Live | None:
        """The live state; None when the backend does not answer just now."""
        try:
            return self._backend.describe(self.operation.endpoint)
        except (Throttled, Unavailable, AuthFailed):
            return None

    def _described(self, step: Step | None) -> Live:
        """The live state, waited for; nothing is started blindly (invariant 2)."""
        patience = Patience(self._clock, step.deadline if step else 60.0)
        while True:
            try:
                return self._backend.describe(self.operation.endpoint)
            except (Throttled, Unavailable) as error:
                if patience.over():
                    raise
                if patience.worth_telling():
                    self._session.tell("waiting", f"{neutralise(error.message)} ({patience.told()})")
            if not self._going_back:
                self._obey()
            patience.rest()

    @property
    def _going_back(self) -> bool:
        return self.operation.state is OperationState.GOING_BACK

    def _obey(self) -> None:
        """Read control: a lost lease ends this driver, somebody who wants to go back is obeyed."""
        if self._lost is not None:
            raise self._lost
        if self._stop.times > 0:
            raise _GoBack(Cause.ASKED, f"stopped by {self._session.actor}")
        asked = self._registry.wanted(self.operation.id)
        if asked is not None and asked[0] is Wanted.GO_BACK:
            raise _GoBack(Cause.ASKED, f"{asked[1]} asked to go back")

    def _obey_going_back(self) -> None:
        if self._lost is not None:
            raise self._lost
        if self._stop.times >= 2:
            with suppress(MLConsoleError):
                self._registry.drop(self._lease)
            raise LeftBetween(
                f"Left as it is: change {self.operation.id} of {self.operation.endpoint} is neither done nor back. Nobody drives it now.",
                next=f"mlconsole recover {self.operation.id} --env {self.operation.environment} finishes it.",
            )

    def _hold_lease(self, error: MLConsoleError) -> None:
        """A conflict at the backend may mean that somebody took this change over; then this driver ends and touches nothing more."""
        try:
            self._lease = self._registry.renew(self._lease)
        except Conflict as lost:
            self._lost = lost
            raise lost from error

    def _release_name(self) -> str:
        number = self.operation.revert_to_release if self._going_back else self.operation.release
        return f"{self.operation.endpoint}@{self.operation.environment}#{number if number is not None else 0}"

    def _versions(self) -> Mapping[str, ModelVersion]:
        variants = {variant.name: variant for variant in (*self.operation.revert_to.variants, *self._plan.then.variants)}
        found = {name: self._registry.version(variant.model, variant.version) for name, variant in variants.items()}
        return {name: version for name, version in found.items() if version is not None}

    def _heart(self) -> Heart:
        return Heart(self._beat)

    def _beat(self) -> bool:
        """Renew the lease once; False when there is nothing more to renew."""
        try:
            self._lease = self._registry.renew(self._lease)
        except Conflict as error:
            if not self._ended.is_set():
                self._lost = error
            return False
        except MLConsoleError:
            return True  # the registry is locked just now; the lease holds for a while yet
        return True


def _found(live: Live) -> Mapping[str, Json]:
    """What the journal keeps of the state before a step."""
    traffic = live.traffic
    return {
        "variants": {variant.name: f"{variant.state} {variant.digest or 'unknown bytes'}" for variant in live.variants},
        "traffic": dict(traffic.split) if traffic else None,
        "by_slice": {f"{entry.key}={entry.value}": dict(entry.split) for entry in traffic.by_slice} if traffic else {},
        "shadow": {traffic.shadow.variant: traffic.shadow.sample} if traffic and traffic.shadow else {},
        "transition": str(live.transition),
    }


def _told(step: Step) -> str:
    return in_steps(step)
