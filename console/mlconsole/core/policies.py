"""Policies: how a rollout goes: its stages, what is asked before each next one, and what happens when an answer is bad."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlconsole.core.health import Question


class OnFail(StrEnum):
    """What goes back when a slice fails in a rollout that goes slice by slice."""

    ALL = "all"
    SLICE = "slice"
    """Only the slice that failed; the others go on."""


class AtDeadline(StrEnum):
    """What happens when a rollout is not through in time."""

    HOLD = "hold"
    REVERT = "revert"


class GuardKind(StrEnum):
    """What a guard asks."""

    QUESTION = "question"
    """One of health's questions, of the new variant."""
    PROBE = "probe"
    ALARM = "alarm"
    """No alarm of the endpoint is open that began in this rollout."""
    GOLDEN = "golden"
    """The golden queries, asked of the new variant again."""
    ACTION = "action"
    """An action of the workspace ends well."""


@dataclass(frozen=True)
class GuardRule:
    """One guard. `limit` is absolute, `margin` relative to the stable variant; both in the question's own unit (shares from 0 to 1; latency
    as the share of requests slower than the stable variant's p95). Neither: the question's own default.
    """

    name: str
    kind: GuardKind
    question: Question | None = None
    subject: str = ""
    """The probe, the model of the golden queries, the action."""
    limit: float | None = None
    margin: float | None = None
    by_slice: bool = True
    slice_margin: float | None = None
    dry_run: bool = False
    """It measures and is shown, and neither holds nor reverts."""


@dataclass(frozen=True)
class Stage:
    """One entry of the schedule: the new variant's share (bp), how long it is waited at least (s), and how many of its requests are needed
    before its guards may pass."""

    share: int
    wait: float
    evidence: int


@dataclass(frozen=True)
class ShadowStage:
    """Copies first: the sample share (bp), the wait (s), and how many pairs are needed."""

    sample: int
    wait: float
    evidence: int


@dataclass(frozen=True)
class Policy:
    """How a rollout goes."""

    name: str
    stages: tuple[Stage, ...]
    """Rising shares; the last one is all of it."""
    guards: tuple[GuardRule, ...]
    shadow: ShadowStage | None = None
    bake: float = 600.0
    """Seconds after the last stage in which the old variant stands by and guards still decide."""
    order: tuple[str, ...] = ()
    """Slices (`KEY=VALUE`, or a value of the only slice) that get it one after the other, each through all stages; empty: all together."""
    on_fail: OnFail = OnFail.ALL
    deadline: float | None = None
    """Seconds from the start; None: it holds as long as it takes."""
    at_deadline: AtDeadline = AtDeadline.HOLD
    stop_old: bool = False
    """After the bake the old variant is taken away."""
    dry_run: bool = False


DEFAULT_GUARDS: tuple[GuardRule, ...] = (
    GuardRule("errors", GuardKind.QUESTION, Question.ERRORS, margin=0.01, slice_margin=0.10),
    GuardRule("identical", GuardKind.QUESTION, Question.IDENTICAL),
    GuardRule("latency", GuardKind.QUESTION, Question.LATENCY, margin=0.04, by_slice=False),
    GuardRule("answers in every slice", GuardKind.QUESTION, Question.SILENT),
    GuardRule("split as desired", GuardKind.QUESTION, Question.SPLIT, by_slice=False),
    GuardRule("alarms", GuardKind.ALARM),
)
"""What every rollout asks that says nothing else; the probes of the endpoint's dependencies are added by the engine."""

CAREFUL = Policy(
    "careful",
    (Stage(100, 600.0, 150), Stage(1000, 600.0, 150), Stage(5000, 600.0, 300), Stage(10_000, 600.0, 300)),
    DEFAULT_GUARDS,
    bake=3600.0,
)
"""The one good default: 1 → 10 → 50 → 100 %, ten minutes each at least, then an hour of bake."""

BLUE_GREEN = Policy("blue-green", (Stage(10_000, 60.0, 300),), DEFAULT_GUARDS, bake=3600.0)
"""All at once, with the old variant standing by: the same engine."""
