"""Operations: the journal of one change, and the few states it can be in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mlconsole.core.models import Actor, Json
from mlconsole.core.plans import Plan
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step


class OperationState(StrEnum):
    """Where a change is. The last two are terminal, and terminal is terminal (invariant 5)."""

    RUNNING = "running"
    GOING_BACK = "going back"
    DONE = "done"
    """Read back: the live state is the new release."""
    WENT_BACK = "went back"
    """Read back: the live state is the stored revert target."""

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self in (OperationState.DONE, OperationState.WENT_BACK)


LEGAL_EXITS: Mapping[OperationState, tuple[OperationState, ...]] = {
    OperationState.RUNNING: (OperationState.DONE, OperationState.GOING_BACK),
    # Going back may find that everything had arrived already; it is then asked to go back by a release of its own.
    OperationState.GOING_BACK: (OperationState.WENT_BACK,),
    OperationState.DONE: (),
    OperationState.WENT_BACK: (),
}
"""Which states may follow which."""


class Cause(StrEnum):
    """Why an operation went back."""

    GATE = "gate"
    STEP = "step"
    ASKED = "asked"
    INTERRUPTED = "interrupted"
    TIMEOUT = "timeout"
    GUARD = "guard"
    """A guard of the rollout whose stage it is failed while it ran, or that rollout's deadline was over."""


class Wanted(StrEnum):
    """What people ask of a running operation; a row that needs no lease."""

    GO_BACK = "go back"


class StepState(StrEnum):
    """What the journal knows of a step."""

    INTENDED = "intended"
    """Committed before the call (invariant 1); after a crash: perhaps it happened, perhaps not."""
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The call went past its deadline; only describing again tells."""


@dataclass(frozen=True)
class Operation:
    """One journaled change. The revert target is stored here when it starts, and never worked out later (trap 17)."""

    id: str
    plan: Plan
    release: int
    revert_to: Content
    revert_to_release: int | None
    started: datetime
    actor: Actor
    state: OperationState = OperationState.RUNNING
    ended: datetime | None = None
    cause: Cause | None = None
    problem: str = ""
    """Why it went back, in one sentence."""
    rollout: str = ""
    """The rollout that it is a stage of, or the way back of; empty: of none."""

    @property
    def environment(self) -> str:
        """Where it happens."""
        return self.plan.environment

    @property
    def endpoint(self) -> str:
        """To what."""
        return self.plan.endpoint


@dataclass(frozen=True)
class StepRecord:
    """One line of the journal: what was found before, what was asked, what was read back."""

    operation: str
    index: int
    step: Step
    back: bool
    """Part of going back, not of going forward."""
    found: Mapping[str, Json]
    started: datetime
    state: StepState = StepState.INTENDED
    ended: datetime | None = None
    read_back: str = ""
    problem: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Lease:
    """The right to change one scope. `token` rises with every taking: a backend refuses an older one. Times are CLOCK_BOOTTIME seconds."""

    environment: str
    scope: str
    holder: Actor
    pid: int
    operation: str
    token: int
    boot: str
    taken_at: datetime
    taken: float
    expires: float
    purpose: str = ""
