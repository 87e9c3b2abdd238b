"""Health: the questions that are asked of an endpoint, its variants and its slices, and what an answer says. Values only; the rules that
answer are in `questions`, those that make alarms of answers in `alarms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlconsole.core.verdicts import Verdict


class Question(StrEnum):
    """What health asks, in the order in which people have to hear of it."""

    IDENTICAL = "identical"
    ERRORS = "errors"
    SILENT = "silent"
    LATENCY = "latency"
    DEPENDENCY = "dependency"
    ALARM = "alarm"
    """One of the backend's own."""
    WATCHER = "watcher"
    # From here on they inform and never page.
    THROTTLED = "throttled"
    OVER_THRESHOLD = "over threshold"
    SCORE_DRIFT = "score drift"
    FIELD_DRIFT = "field drift"
    SPLIT = "split"
    CUTOFF = "data cut-off"
    IDLE = "idle"
    RESOURCES = "resources"


PAGES = frozenset(
    {Question.IDENTICAL, Question.ERRORS, Question.SILENT, Question.LATENCY, Question.DEPENDENCY, Question.ALARM, Question.WATCHER}
)
"""Those that wake somebody; the others are shown only."""


@dataclass(frozen=True)
class Answer:
    """One question answered, about one thing, for one stretch of time.

    `variant` is `""` for all of them together; `slice` is `""` for all requests, `KEY=VALUE`, or `OTHER` for the small ones pooled.
    `subject` names a probe, a server or an input field where the question is about one. `value`, `usual` and `limit` are in the question's
    own unit: a share from 0 to 1 (errors, identical, over threshold, split), ms (latency), PSI (drift), s (cut-off), requests (silent:
    seen, expected).
    """

    question: Question
    verdict: Verdict
    variant: str = ""
    slice: str = ""
    subject: str = ""
    value: float | None = None
    usual: float | None = None
    limit: float | None = None
    n: int = 0
    need: int = 0
    """How many it takes to answer, where that was too few."""
    seconds: float = 0.0
    """The time it speaks of, up to now."""
    since: float | None = None
    """A fail: when what it found began (epoch seconds), as far as that can be told."""
    text: str = ""
    """The finding in words, without the names of endpoint and slice: `100 % (9 of 9), usual 0.2 %`."""


OTHER = "other"
"""The slice that all small slices of a key are pooled in."""


@dataclass(frozen=True)
class Figures:
    """What a row of a table shows of an endpoint, a variant or a slice; None is *no data* and never 0."""

    n: int = 0
    seconds: float = 0.0
    rate: float | None = None
    """Requests a second."""
    errors: float | None = None
    p95: float | None = None
    """ms."""
    same: float | None = None
    over: float | None = None
    """Share of scores at or over the threshold."""
    lowest: float | None = None
    highest: float | None = None
    """The range of scores."""


@dataclass(frozen=True)
class SliceHealth:
    """How one slice of an endpoint is, over all of its serving variants. `pooled` names the small slices inside `OTHER`."""

    slice: str
    verdict: Verdict
    figures: Figures
    usual: Figures
    worst: Answer | None = None
    pooled: tuple[str, ...] = ()


@dataclass(frozen=True)
class EndpointHealth:
    """How an endpoint is: every question's answers, and its slices by worst. The worst slice decides; `NO_DATA` is an answer of its own."""

    endpoint: str
    verdict: Verdict
    answers: tuple[Answer, ...]
    slices: tuple[SliceHealth, ...]
    figures: Figures
    usual: Figures
    variants: Mapping[str, Figures] = field(default_factory=dict)

    @property
    def failing(self) -> tuple[Answer, ...]:
        """What pages."""
        return tuple(one for one in self.answers if one.verdict is Verdict.FAIL and one.question in PAGES)


@dataclass(frozen=True)
class Settings:
    """What an endpoint's health is judged by; every one can be set under `endpoints: NAME: health:` in mlconsole.yaml."""

    errors: float = 0.02
    """Share of failed requests above the usual one that is too much, over all requests."""
    slice_errors: float = 0.10
    """The same for a slice."""
    latency_ms: float | None = None
    """An absolute limit for p95; None: twice the usual p95, and at least 50 ms above it."""
    cutoff_days: float | None = None
    """The data of the serving version may be so old; None: their age is told and judged by nobody."""
    silent: bool = True
    """Whether a slice, or the endpoint, that falls silent is a finding."""
    pages: frozenset[Question] = PAGES
    """Which questions page for this endpoint."""


@dataclass(frozen=True)
class Baseline:
    """What a model version's profile says of it: see docs/artifact-format.md. Edges and counts are those of its scores on that set."""

    n: int = 0
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    distinct_outputs: float | None = None
    over_threshold: float | None = None
    over_threshold_by_slice: Mapping[str, float] = field(default_factory=dict)
    """`KEY=VALUE` → share."""
    fields: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """An input field → token → count, as `summaries.Summary.fields` has them; empty where the profile says nothing of inputs."""
    threshold: float | None = None
    cutoff: str = ""
