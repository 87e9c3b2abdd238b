"""Rollouts: a durable schedule of stages, each an ordinary change; between two stages only evidence is gathered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mlconsole.core.models import Actor
from mlconsole.core.policies import Policy
from mlconsole.core.releases import Content
from mlconsole.core.verdicts import Verdict


class RolloutState(StrEnum):
    """Where a rollout is. The last four are terminal, and terminal is terminal (invariant 5)."""

    SHIFTING = "shifting"
    """The change to the present stage is under way."""
    WAITING = "waiting"
    """In a stage: evidence is gathered."""
    BAKING = "baking"
    PAUSED = "paused"
    """By a person: guards go on, and may revert; nothing promotes."""
    GOING_BACK = "going back"
    DONE = "done"
    REVERTED = "reverted"
    SUPERSEDED = "superseded"
    """Another change took its place."""
    FAILED = "failed"
    """A stage's change went back by itself, and the one before it stands."""

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self in (RolloutState.DONE, RolloutState.REVERTED, RolloutState.SUPERSEDED, RolloutState.FAILED)


class Control(StrEnum):
    """What a person may ask of a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    NEXT = "next"
    """Go to the next stage without the evidence; wants a reason."""
    REVERT = "revert"
    FORWARD = "forward"
    """All of the traffic to the new variant now, and bake (trap 12); wants a reason."""
    KEEP_OLD = "keep old"
    """Don't take the old variant away after the bake."""
    COUNT_SHADOW = "count shadow"
    """Evidence of the shadow stage counts for errors, latency and identical predictions."""


LEGAL_EXITS: Mapping[RolloutState, tuple[RolloutState, ...]] = {
    RolloutState.SHIFTING: (
        RolloutState.WAITING,
        RolloutState.BAKING,
        RolloutState.PAUSED,
        RolloutState.GOING_BACK,
        RolloutState.SUPERSEDED,
        RolloutState.FAILED,
    ),
    RolloutState.WAITING: (
        RolloutState.SHIFTING,
        RolloutState.BAKING,
        RolloutState.PAUSED,
        RolloutState.GOING_BACK,
        RolloutState.SUPERSEDED,
        RolloutState.DONE,
    ),
    RolloutState.BAKING: (RolloutState.DONE, RolloutState.PAUSED, RolloutState.GOING_BACK, RolloutState.SUPERSEDED),
    RolloutState.PAUSED: (
        RolloutState.WAITING,
        RolloutState.BAKING,
        RolloutState.SHIFTING,
        RolloutState.GOING_BACK,
        RolloutState.SUPERSEDED,
    ),
    RolloutState.GOING_BACK: (RolloutState.REVERTED,),
    RolloutState.DONE: (),
    RolloutState.REVERTED: (),
    RolloutState.SUPERSEDED: (),
    RolloutState.FAILED: (),
}
"""Which states may follow which."""

CONTROLS: Mapping[RolloutState, tuple[Control, ...]] = {
    RolloutState.SHIFTING: (Control.PAUSE, Control.REVERT, Control.KEEP_OLD),
    RolloutState.WAITING: (
        Control.PAUSE,
        Control.NEXT,
        Control.FORWARD,
        Control.REVERT,
        Control.KEEP_OLD,
        Control.COUNT_SHADOW,
    ),
    RolloutState.BAKING: (Control.PAUSE, Control.REVERT, Control.KEEP_OLD),
    RolloutState.PAUSED: (
        Control.RESUME,
        Control.NEXT,
        Control.FORWARD,
        Control.REVERT,
        Control.KEEP_OLD,
        Control.COUNT_SHADOW,
    ),
    RolloutState.GOING_BACK: (),
    RolloutState.DONE: (),
    RolloutState.REVERTED: (),
    RolloutState.SUPERSEDED: (),
    RolloutState.FAILED: (),
}
"""What may be asked in which state; the way back is open in every state that is not over."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage as it will be: its name, what the endpoint will be then, and what is waited for. `shadow` stages have copies only."""

    name: str
    """`shadow`, `10 %`, `de 10 %`, `bake`."""
    content: Content
    share: int
    """bp of the new variant, of the requests that the stage is about."""
    wait: float
    evidence: int
    slice: str = ""
    """`KEY=VALUE` where the stage is about one slice."""
    shadow: bool = False
    bake: bool = False


@dataclass(frozen=True)
class Rollout:
    """A rollout. Its revert target is the release before its first stage, stored when it starts."""

    id: str
    environment: str
    endpoint: str
    policy: Policy
    variant: str
    """The new one."""
    stable: tuple[str, ...]
    """Those that had the traffic before."""
    stages: tuple[PlannedStage, ...]
    revert_to: Content
    revert_to_release: int
    started: datetime
    actor: Actor
    reason: str = ""
    state: RolloutState = RolloutState.SHIFTING
    stage: int = 0
    """Index of the present one."""
    attempt: int = 1
    """Of the present stage: a new driver measures it again from its own begin."""
    stage_began: datetime | None = None
    """When the present stage's traffic stood; evidence older than that never counts."""
    shadow_counts: bool = False
    """Evidence of the shadow stage counts for errors, latency and identical predictions (`E`)."""
    keep_old: bool = False
    attended: bool = False
    """Somebody stays with it; nobody else watches."""
    ended: datetime | None = None
    why: str = ""
    """Why it is held, went back, failed, or was superseded; in one sentence."""
    release: int | None = None
    """The newest release that it made."""
    skipped_gates: tuple[str, ...] = ()

    @property
    def present(self) -> PlannedStage:
        """The stage that it is in."""
        return self.stages[min(self.stage, len(self.stages) - 1)]

    @property
    def deadline(self) -> datetime | None:
        """When it has to be through."""
        from datetime import timedelta

        return None if self.policy.deadline is None else self.started + timedelta(seconds=self.policy.deadline)


@dataclass(frozen=True)
class GuardResult:
    """What a guard says in the present stage, for one slice (`""`: all together)."""

    guard: str
    verdict: Verdict
    slice: str = ""
    new: float | None = None
    stable: float | None = None
    limit: float | None = None
    """As it was compared: the largest difference, or the absolute limit."""
    n: int = 0
    need: int = 0
    """How many more requests it takes; 0: none."""
    seconds: float | None = None
    """About how long that takes at the present traffic."""
    text: str = ""
    dry_run: bool = False
    judged: bool = True
    """False: too small to be judged in any useful time; pooled with others, and listed as *not judged*."""
    pooled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What is to be done with a rollout now. `to`: its next state; None: nothing changes."""

    to: RolloutState | None
    why: str
    stage: int | None = None
    """The stage that it goes to, with `SHIFTING`."""
    slice: str = ""
    """The slice that goes back alone."""
    waits_for: tuple[str, ...] = field(default=())
    """What it holds for, one line each: `de: 109 requests, about 1 h 09`."""
