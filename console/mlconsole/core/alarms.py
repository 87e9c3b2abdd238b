"""Alarms: findings that page, put together into one trouble, followed until each slice is proven well again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mlconsole.core.health import Question
from mlconsole.core.models import Actor


class AlarmState(StrEnum):
    """How far an alarm is."""

    FIRING = "firing"
    RECOVERING = "recovering"
    """Nothing is found any more; not every slice is proven well yet."""
    CLOSED = "closed"


@dataclass(frozen=True)
class Finding:
    """One question that failed for one endpoint (`""`: for the environment, as a probe that no endpoint names), with what it is about.

    `slices` are those that failed (`KEY=VALUE`), `""` among them when all requests together did; `proven` those that were proven well again.
    """

    question: Question
    endpoint: str
    variants: tuple[str, ...]
    slices: tuple[str, ...]
    since: datetime
    """When what it found began."""
    seen: datetime
    """When it was found last."""
    text: str
    value: float | None = None
    usual: float | None = None
    n: int = 0
    subject: str = ""
    """The probe, for a dependency."""
    proven: Mapping[str, int] = field(default_factory=dict)
    """Slice → how many good predictions since it was found last; a slice is well when its number reaches `NEEDED`."""
    well: bool = False
    """Proven well again in every slice."""


NEEDED = 30
"""Good predictions (over distinct inputs, where it was identical outputs) that prove a slice well again."""


@dataclass(frozen=True)
class Acknowledgement:
    """Who has it, since when, and what they said they do."""

    who: Actor
    at: datetime
    text: str


@dataclass(frozen=True)
class Alarm:
    """One trouble. It has a number that people say to each other; its first finding named it, worse ones may have joined."""

    number: int
    environment: str
    state: AlarmState
    opened: datetime
    findings: tuple[Finding, ...]
    acknowledged: Acknowledgement | None = None
    recovering: datetime | None = None
    """Since when nothing is found any more."""
    closed: datetime | None = None
    closed_by: str = ""
    """`""`: proven well again; else who closed it, and why."""

    @property
    def worst(self) -> Finding:
        """The finding that names it."""
        order = {question: place for place, question in enumerate(Question)}
        return min(self.findings, key=lambda one: (one.well, order[one.question], one.since, one.endpoint))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Those it is about, in the order in which they were found."""
        return tuple(dict.fromkeys(one.endpoint for one in self.findings if one.endpoint))

    @property
    def since(self) -> datetime:
        """When the earliest of it began."""
        return min(one.since for one in self.findings)
