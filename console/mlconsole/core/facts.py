"""What triage goes by: everything that is known of an alarm's endpoints, their changes, their dependencies, their way back. Values, and how
they are looked through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlconsole.core.alarms import Alarm, Finding
from mlconsole.core.health import Figures, Question

JUST_BEFORE = timedelta(minutes=15)
"""What moved within this before it began may be its cause."""
SAME_MINUTE = timedelta(seconds=60)
SLACK = timedelta(seconds=60)
"""Clocks and windows are not exact: a change that is so much younger than what was found may still be before it."""


@dataclass(frozen=True)
class Change:
    """A change of an endpoint: a release of ours, or one made outside."""

    at: datetime
    what: str
    """`#43 v6 → v7`, `config 118`."""
    who: str = ""
    endpoint: str = ""
    variants: tuple[str, ...] = ()
    """Those that it brought, or gave traffic to for the first time."""
    outside: bool = False
    document: str = ""
    """The config document that was published, where it was one."""


@dataclass(frozen=True)
class Event:
    """Something that moved shortly before. `kind`: `change`, `outside`, `probe`, `action`."""

    at: datetime
    kind: str
    text: str
    """`redis-embeddings 1 214 883 → 0 keys`."""


@dataclass(frozen=True)
class ProbeFact:
    """A dependency of the alarm's endpoints, and what mends it."""

    name: str
    ok: bool | None
    text: str
    since: datetime | None = None
    endpoints: tuple[str, ...] = ()
    """Those that depend on it."""
    repair: str = ""
    repair_told: str = ""
    """`about 6 min, and checks it`."""


@dataclass(frozen=True)
class Target:
    """What going back would lead to."""

    release: int | None
    content: str
    """`v5 100 %`."""
    running: bool
    seconds: float
    depends: tuple[str, ...] = ()
    """The probes that it depends on, too."""


@dataclass(frozen=True)
class EndpointFacts:
    """What is known of one endpoint of the alarm. `fine` names variants and slices (`KEY=VALUE`) that were asked the same and are well."""

    endpoint: str
    serving: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Variant → model@version, share of the traffic from 0 to 1."""
    slices: tuple[str, ...] = ()
    """All that are known."""
    fine: frozenset[str] = frozenset()
    now: Figures = field(default_factory=Figures)
    usual: Figures = field(default_factory=Figures)
    wrong: int = 0
    """Predictions that were wrong, or requests that failed, since it began."""
    over: int | None = None
    """Decisions over the threshold since it began."""
    over_usual: float | None = None
    """How many are usual in that time."""
    last_change: Change | None = None
    target: Target | None = None
    history: bool = True
    """Whether its changes are known; without them nothing is said of what was or was not released."""


@dataclass(frozen=True)
class Facts:
    """All that triage goes by."""

    alarm: Alarm
    now: datetime
    endpoints: Mapping[str, EndpointFacts] = field(default_factory=dict)
    last_change: Change | None = None
    """The environment's."""
    events: Sequence[Event] = ()
    probes: Sequence[ProbeFact] = ()
    others: Mapping[str, datetime] = field(default_factory=dict)
    """Endpoints that fail in other alarms → since when."""
    well: int = 0
    """How many endpoints are well."""


def involved(facts: Facts) -> list[EndpointFacts]:
    """The alarm's endpoints in its own order; the one that names it first."""
    worst = facts.alarm.worst.endpoint
    names = dict.fromkeys([worst, *facts.alarm.endpoints])
    return [facts.endpoints[name] for name in names if name in facts.endpoints]


def findings_of(facts: Facts, endpoint: str) -> list[Finding]:
    return [one for one in facts.alarm.findings if one.endpoint == endpoint and one.question not in (Question.DEPENDENCY, Question.WATCHER)]


def begun_of(facts: Facts, endpoint: str) -> datetime:
    return min((one.since for one in findings_of(facts, endpoint)), default=facts.alarm.named_since)


def failing_of(facts: Facts) -> list[ProbeFact]:
    """The dependencies that fail, the oldest trouble first."""
    return sorted((one for one in facts.probes if one.ok is False), key=lambda one: (one.since or facts.now, one.name))


def broken_of(facts: Facts) -> dict[str, datetime]:
    """Every endpoint that fails → since when."""
    mine = {name: begun_of(facts, name) for name in facts.alarm.endpoints if findings_of(facts, name)}
    return {**facts.others, **mine}


def together_with(facts: Facts, endpoint: str) -> list[str]:
    """The other endpoints that broke in the same minute."""
    begun = begun_of(facts, endpoint)
    return [name for name, since in broken_of(facts).items() if name != endpoint and abs(since - begun) <= SAME_MINUTE]
