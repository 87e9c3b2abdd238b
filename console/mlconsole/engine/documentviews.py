"""Config documents as faces are shown them: frozen values, standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class EntryView:
    """One entry of the document, model × slice. `changed` is column → the value before, for what a draft (or a comparison) changes."""

    model: str
    slice: str
    """The slice's value (`de`); empty where the model has one entry for all."""
    endpoint: str
    share: str
    """As people read it: `100 %`, or `v3 90 · v4 10` of a split."""
    fields: tuple[str, ...]
    threshold: str
    pointer: str
    line: int | None = None
    changed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DifferenceView:
    """One difference. `where` is the pointer as people read it (`relevance · pl · threshold`); values are short JSON texts."""

    pointer: str
    where: str
    kind: str
    """`changed`, `type changed`, `added`, `removed`."""
    old: str = ""
    new: str = ""
    relative: float | None = None
    """(new − old) / |old| for numbers."""
    line: int | None = None


@dataclass(frozen=True)
class FindingView:
    """What lint says. `severity` is `stop` (can't be published), `look` (a person has to judge) or `ok` (a check that passed)."""

    severity: str
    rule: str
    text: str
    pointer: str = ""
    line: int | None = None


@dataclass(frozen=True)
class TextLineView:
    """One line of a text diff: `sign` is ` `, `-`, `+`, or `…` where equal lines are left out."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None
    where: str = ""


@dataclass(frozen=True)
class FlipView:
    """One stored prediction that would have been decided otherwise. `text` is its declared input fields, short."""

    at: datetime
    request_id: str
    slice: str
    score: float
    before: bool
    then: bool
    text: str = ""


@dataclass(frozen=True)
class WhatIfRowView:
    """One model × slice, decided again. Rates are alerts a day. Where it can't be known, `unknown` says why and the figures are None."""

    model: str
    slice: str
    pointer: str
    threshold: str
    """`0.58 → 0.48`, or the one threshold where it stays."""
    before: float | None
    then: float | None
    flips: int | None
    n: int
    touched: bool
    note: str = ""
    """`not touched`, `its record is 31`."""
    unknown: str = ""
    examples: tuple[FlipView, ...] = ()


@dataclass(frozen=True)
class WhatIfView:
    """The stored observations of `days`, decided again under other bytes."""

    days: float
    rows: tuple[WhatIfRowView, ...]
    gaps: str = ""
    """What of the time was not captured; empty: nothing is missing."""
    n: int = 0


@dataclass(frozen=True)
class ForecastRowView:
    """A forecast beside what really came: alerts a day before and as forecast, and how many of how many so far."""

    model: str
    slice: str
    before: float | None
    forecast: float | None
    alerts: int
    n: int
    verdict: str
    """`proven`, `broken`, `open`, `not touched`, `unknown`."""
    text: str = ""


@dataclass(frozen=True)
class ForecastView:
    """The forecast that a version was published with."""

    version: int
    published: datetime
    rows: tuple[ForecastRowView, ...]
    over: bool = False
    """Every touched row is proven or broken."""


@dataclass(frozen=True)
class VersionView:
    """One version in the document's history."""

    number: int
    created: datetime | None
    who: str
    reason: str
    parent: int | None
    touched: tuple[str, ...]
    """The pointers that differ from the parent, as people read them."""
    live: bool = False
    digest: str = ""


@dataclass(frozen=True)
class DraftView:
    """The draft of a document, judged."""

    base: int | None
    edition: int
    who: str
    changed: datetime
    reason: str
    differences: tuple[DifferenceView, ...]
    findings: tuple[FindingView, ...]
    text: tuple[TextLineView, ...]
    confirm: str = ""
    """What has to be typed to publish it in production: the slice, where it changes one; else the document's name."""
    about: str = ""
    """What it is about, for people: `1 value changes for one language of relevance`."""


@dataclass(frozen=True)
class DocumentView:
    """One config document: what is live, what it says, and what would change it."""

    name: str
    environment: str
    version: int | None
    digest: str
    latest: int
    share: int = 10_000
    """bp of the clients that read `version`; the others read `before`."""
    before: int | None = None
    publication: str = ""
    moving: bool = False
    outside: str = ""
    """How it was changed outside mlconsole; empty: it was not."""
    release: int | None = None
    poll_lag: float = 0.0
    everywhere: datetime | None = None
    """When every client has read what was published last; None: they have."""
    entries: tuple[EntryView, ...] = ()
    versions: tuple[VersionView, ...] = ()
    draft: DraftView | None = None
    way_back: str = ""
    policy: str = ""
    slice_word: str = "slice"
    """What its slices are called: `language`."""
    problem: str = ""
    """Why it can't be read just now, in one sentence."""
    forecast: ForecastView | None = None
    told: str = ""
    """What its store tells beside that: who triggered what happened last, which alarm took a version back."""
    watching: str = ""
    """What the store itself watches while it publishes; empty: nothing."""
