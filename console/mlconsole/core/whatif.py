"""What if: what a change of a config document would do to each of its entries. What can't be known is said, and why; nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlconsole.core.configcase import REST, same_name
from mlconsole.core.documents import Layout
from mlconsole.core.entries import Entry
from mlconsole.core.pointers import parse
from mlconsole.core.redeciding import DAY, EXAMPLES, Column, Flip, Span, Tally, added, columns, decide, gaps, within
from mlconsole.core.text import duration, neutralise
from mlconsole.core.wording import count

__all__ = ["LEAST", "Column", "Flip", "Row", "Span", "Stored", "WhatIf", "columns", "gaps_told", "what_if"]

LEAST = 200
"""Observations below which nothing is said of a rate (field-notes §5: judge nothing below 200)."""

LEAST_COVERED = 60.0
"""Seconds of covered time below which nothing is said of a day."""

_UNSCORED = 0.01
"""More observations without a score than this share are told."""

_WORDS = frozenset({"comment", "comments", "description", "note", "notes", "owner", "reason"})
"""Keys of an entry that only people read."""


@dataclass(frozen=True)
class Row:
    """One entry, decided again. Rates are alerts a day; where one can't be known it is None, and `unknown` says why."""

    model: str
    slice: str
    pointer: str
    old: float | None
    """The threshold before; None: there is no such entry, or no threshold in it."""
    new: float | None
    before: float | None = None
    then: float | None = None
    flips: int | None = None
    n: int = 0
    touched: bool = False
    record: int | None = None
    """The most alerts of any full day so far, under the threshold before."""
    days: float = 0.0
    """How much time that was really observed."""
    note: str = ""
    unknown: str = ""
    examples: tuple[Flip, ...] = ()


@dataclass(frozen=True)
class WhatIf:
    """All entries. `gaps` says what of the time is not covered for some model; empty: nothing is missing."""

    rows: tuple[Row, ...]
    gaps: str = ""
    n: int = 0


Stored = Mapping[str, Mapping[str, Column]]
"""Model → slice value → its observations; requests without a slice are under `""`."""


def what_if(
    before: Sequence[Entry],
    then: Sequence[Entry],
    stored: Stored,
    covered: Mapping[str, Sequence[Span]],
    wanted: Span,
    *,
    pointers: Sequence[str] = (),
    layout: Layout | None = None,
    most: int = EXAMPLES,
    offset: float = 0.0,
) -> WhatIf:
    """Decide the stored observations of a stretch of time again.

    `before` and `then` are the entries of both versions, `covered` the time of each model in which observations are there and were
    answered by what answers now, `pointers` what the change touches (so that a key nobody here understands makes a row unknown), `offset`
    how far local time is ahead of UTC (s), for the days of a record.
    """
    layout = layout or Layout()
    old = {entry.pointer: entry for entry in before}
    new = {entry.pointer: entry for entry in then}
    named: dict[str, set[str]] = {}
    for entry in (*before, *then):
        named.setdefault(entry.model, set()).add(same_name(entry.slice))
    rows = []
    for pointer in dict.fromkeys([*new, *old]):
        was, becomes = old.get(pointer), new.get(pointer)
        entry = new.get(pointer) or old[pointer]
        spans = within(covered.get(entry.model, ()), wanted)
        mine = _columns(entry, stored.get(entry.model, {}), named[entry.model])
        rows.append(_row(entry, was, becomes, mine, spans, _unread(pointers, pointer, layout), most, offset))
    told = dict.fromkeys(gaps_told(covered.get(model, ()), wanted) for model in named)
    return WhatIf(tuple(rows), "; ".join(text for text in told if text), sum(row.n for row in rows))


def gaps_told(covered: Sequence[Span], wanted: Span) -> str:
    """What of a stretch was not captured: `5 h 12 of 7 d were not captured, in 2 gaps`; empty: nothing is missing."""
    missing = gaps(covered, wanted)
    seconds = sum(end - begin for begin, end in missing)
    if seconds < 1.0:
        return ""
    where = "" if len(missing) == 1 else f", in {len(missing)} gaps"
    return f"{duration(seconds)} of {duration(wanted[1] - wanted[0])} were not captured{where}"


def _row(
    entry: Entry,
    was: Entry | None,
    becomes: Entry | None,
    mine: Sequence[Column],
    spans: Sequence[Span],
    unread: str,
    most: int,
    offset: float,
) -> Row:
    old, new = was.threshold if was else None, becomes.threshold if becomes else None
    touched = was != becomes or bool(unread)
    tally = _tally(mine, old, new, spans, most, offset)
    known = _known(tally, mine)
    why = known or _other_scores(was, becomes) or unread
    if not why and was is not None and becomes is not None and (old is None or new is None):
        why = "it has no threshold" if new is None else "it had no threshold before"
    half = bool(why)
    return Row(
        entry.model,
        entry.slice,
        entry.pointer,
        old,
        new,
        before=None if known else tally.a_day(tally.before),
        then=None if half else tally.a_day(tally.then),
        flips=None if half or was is None or becomes is None else tally.flips,
        n=tally.n,
        touched=touched,
        record=None if known else tally.record(offset),
        days=tally.days,
        note=_note(tally, touched, was, becomes, bool(why), offset),
        unknown=why,
        examples=() if half else tally.examples,
    )


def _columns(entry: Entry, stored: Mapping[str, Column], named: set[str]) -> list[Column]:
    """The observations that an entry is about: those of its slice, or all that no other entry names."""
    name = same_name(entry.slice)
    if not entry.slice:
        return list(stored.values())
    if name in REST:
        return [column for value, column in stored.items() if same_name(value) not in named]
    return [column for value, column in stored.items() if same_name(value) == name]


def _tally(mine: Sequence[Column], old: float | None, new: float | None, spans: Sequence[Span], most: int, offset: float) -> Tally:
    if not mine:
        return Tally(covered=tuple(spans))
    tallies = [decide(column, old, new, spans, most=most, offset=offset) for column in mine]
    total = tallies[0]
    for one in tallies[1:]:
        total = added(total, one, new, most=most)
    return total


def _known(tally: Tally, mine: Sequence[Column]) -> str:
    """Why nothing is known of its rates at all."""
    if not any(len(column) for column in mine):
        return "no prediction of it is stored"
    if not tally.n and tally.unscored:
        return f"none of its {count(tally.unscored)} predictions has a score"
    if not tally.n:
        return "none of its stored predictions is of the time in which this model answered"
    if tally.n < LEAST:
        return f"only {tally.n} predictions are stored, {LEAST} are needed"
    if tally.days * DAY < LEAST_COVERED:
        return f"only {duration(tally.days * DAY)} are stored, {duration(LEAST_COVERED)} are needed"
    return ""


def _other_scores(was: Entry | None, becomes: Entry | None) -> str:
    """Why the scores would be others than those that are stored."""
    if was is None or becomes is None:
        return ""
    if was.endpoint != becomes.endpoint:
        return f"another model would answer ({_endpoint(was)} → {_endpoint(becomes)}): its scores are not stored"
    if was.split != becomes.split:
        return "the split changes: which model would have answered is not known"
    if was.fields != becomes.fields:
        return "other fields: the model would score otherwise"
    if was.share != becomes.share:
        return "the share changes: which requests would have come is not known"
    return ""


def _endpoint(entry: Entry) -> str:
    return neutralise(entry.endpoint or "none")


def _unread(pointers: Sequence[str], pointer: str, layout: Layout) -> str:
    """What the change touches in an entry that nobody here understands."""
    read = {parse(own)[0] for own in (layout.endpoint, layout.share, layout.split, layout.fields, layout.threshold) if own}
    inside = [parse(one[len(pointer) :])[0] for one in pointers if one.startswith(f"{pointer}/")]
    strange = [name for name in inside if name not in read and name.casefold() not in _WORDS and not name.startswith(("$", "_", "//"))]
    return f"{neutralise(strange[0])} changes too: what that does to alerts is not known" if strange else ""


def _note(tally: Tally, touched: bool, was: Entry | None, becomes: Entry | None, unknown: bool, offset: float) -> str:
    told = []
    if not touched:
        told.append("not touched")
    elif was is None:
        told.append("new")
    elif becomes is None:
        told.append("goes away")
    record, then = tally.record(offset), tally.a_day(tally.then)
    if touched and not unknown and record is not None and then is not None and then > record:
        told.append(f"its record is {count(record)}")
    if tally.unscored > _UNSCORED * (tally.n + tally.unscored) and tally.n:
        told.append(f"{count(tally.unscored)} without a score left out")
    if 0 < tally.days < 1 and not unknown:
        told.append(f"of {duration(tally.days * DAY)} only")
    return " · ".join(told)
