"""Metrics and alarms: what a backend has counted itself, and what watches there when nobody of ours does.

Two roles beside those of `roles`, with the same rules: plain synchronous calls, errors of `mlconsole.plugin.errors`, no waiting.

- `Metrics` tells figures by minute (or what the backend's period is), for many endpoints in one call: it is asked all the time, and is
  often paid for. Where it is bound, what a predictions role reads is a *sample*: how many there were, and how many failed, is told here.
- `Alarms` tells how the backend's own alarms are, makes those that a policy needs, and sets one off for a drill.

Nothing that is not known is 0: a figure that is missing is left out, and one that is not complete yet is not told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from mlconsole.core.alarm_rules import AlarmRule, Finding


@dataclass(frozen=True)
class Resolution:
    """How fine figures are, and how late."""

    period: int = 60
    """Seconds that one figure is of; figures begin at multiples of it (epoch)."""
    settled: float = 120.0
    """Seconds after its end from which a figure is taken to be whole. One that grows later all the same is counted then: see `Metrics`."""


@dataclass(frozen=True)
class MetricSample:
    """What one variant did in one period. Counts are whole numbers of that period, not rates."""

    endpoint: str
    variant: str
    slice: str
    """`""` for all of its requests, else `KEY=VALUE`. A slice's requests are among those of `""` too."""
    begin: datetime
    """UTC; a multiple of the period."""
    seconds: float
    requests: int
    """All of them, failed and throttled ones too."""
    failed: int
    """Every answer that is no prediction; throttled ones are never among them."""
    throttled: int = 0
    latency: Mapping[float, float] = field(default_factory=dict)
    """Percentile (50, 95, 99, …) → ms. Empty: not known."""


@dataclass(frozen=True)
class Measured:
    """What a call told. A period without a sample had no request; of an `incomplete` endpoint nothing is known, and it is asked again."""

    samples: Sequence[MetricSample]
    incomplete: Sequence[str] = ()
    """Endpoints of which not everything came; no sample is told of them."""
    by_slice: bool = False
    """Whether slices are told here at all; where they are not, errors by slice are *no data*."""


@runtime_checkable
class Metrics(Protocol):
    """Figures that a backend keeps. Asked each minute for what somebody looks at or a rollout is guarded by, for the rest every five.

    The engine asks for some periods before the last ones again, and counts what has been added since: a role just tells what it finds.
    """

    def resolution(self) -> Resolution:
        """How fine and how late; no call to the backend."""
        ...

    def samples(self, endpoints: Mapping[str, Sequence[str]], since: datetime, until: datetime) -> Measured:
        """The figures of these variants (endpoint → names) in the periods that begin in [since, until), in as few calls as the backend
        allows. Of what does not exist there, there are none.

        Raises:
            Unavailable, Throttled, AuthFailed: nothing could be read; it is asked again.
        """
        ...


class Signal(StrEnum):
    """How an alarm of the backend is."""

    OK = "ok"
    ALARM = "alarm"
    NO_DATA = "no data"
    """It has too little to judge by. It is not OK."""
    MISSING = "missing"
    """The workspace names it, and there is none of that name."""


@dataclass(frozen=True)
class NativeAlarm:
    """An alarm of the backend as it is now. Texts are foreign."""

    name: str
    signal: Signal
    reason: str = ""
    since: datetime | None = None
    """Since when it is as it is, UTC."""
    endpoint: str = ""
    """The endpoint that it watches, in our words; `""`: it can't be told, or is about more than one."""
    variant: str = ""
    rule: AlarmRule | None = None
    """What it goes by, as far as that can be said in these words."""
    ours: bool = False
    """It was made here."""
    findings: tuple[Finding, ...] = ()
    """Why it can never fire, or always would (trap 33)."""


@dataclass(frozen=True)
class AlarmLimits:
    """What an alarm of ours is made for: a share of failed requests, and ms that p95 may be."""

    errors: float
    latency_ms: float


@runtime_checkable
class Alarms(Protocol):
    """The backend's own alarms."""

    def states(self, endpoints: Mapping[str, Sequence[str]]) -> Sequence[NativeAlarm]:
        """Those that the workspace's options name, and those that were made here for these endpoints' variants. Few calls: it is asked
        again and again.

        Raises:
            Unavailable, Throttled, AuthFailed: it can't be told. That is not OK.
        """
        ...

    def rules(self, endpoint: str, variants: Sequence[str], limits: AlarmLimits) -> Sequence[AlarmRule]:
        """Pure: the alarms that these limits want for these variants."""
        ...

    def create(self, endpoint: str, rule: AlarmRule) -> None:
        """Make one of `rules`, or bring it up to date; sending it again is harmless.

        Raises:
            Refused: somebody else's alarm has that name.
        """
        ...

    def drill(self, name: str, reason: str) -> None:
        """Set it off, without anything being wrong. It ends by itself, when the backend looks at its figures again.

        Raises:
            NotFound: there is none of that name.
            Refused: this one can't be set off.
        """
        ...
