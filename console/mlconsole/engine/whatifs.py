"""What-if: the stored observations decided again under another configuration, and what can't be known of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from mlconsole.core.configdiff import touched
from mlconsole.core.entries import entries
from mlconsole.core.redeciding import DAY, Column, Flip, Span, columns, merged
from mlconsole.core.summaries import WINDOW
from mlconsole.core.text import neutralise
from mlconsole.core.whatif import Row, WhatIf, what_if
from mlconsole.documents import read
from mlconsole.engine import documenting
from mlconsole.engine.documentviews import FlipView, WhatIfRowView, WhatIfView

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_QUIET = 300.0
"""Seconds without any prediction that count as not captured, unless an endpoint is asked more seldom than that."""

_EXAMPLES = 12


def decided_again(session: Session, name: str, before: bytes | None, then: bytes, days: float) -> WhatIfView:
    """The observations of the last `days` under both documents, for a face."""
    found = rows_of(session, name, before, then, days)
    return WhatIfView(days, tuple(_row(session, row) for row in found.rows), found.gaps, found.n)


def rows_of(session: Session, name: str, before: bytes | None, then: bytes, days: float) -> WhatIf:
    """The observations of the last `days` under both documents."""
    known = documenting.settings(session, name)
    until = session.clock.now().timestamp()
    wanted = (until - days * DAY, until)
    one = read(before, known.format).value if before is not None else None
    two = read(then, known.format).value
    was = entries(one, known.layout) if one is not None else ()
    becomes = entries(two, known.layout) if two is not None else ()
    stored: dict[str, dict[str, Column]] = {}
    covered: dict[str, Sequence[Span]] = {}
    for model in dict.fromkeys(entry.model for entry in (*was, *becomes)):
        stored[model], covered[model] = captured(session, model, known.layout.slice_key(model), wanted)
    pointers = touched(one, two) if one is not None and two is not None else ()
    offset = session.clock.now().astimezone().utcoffset()
    return what_if(
        was,
        becomes,
        stored,
        covered,
        wanted,
        pointers=pointers,
        layout=known.layout,
        most=_EXAMPLES,
        offset=offset.total_seconds() if offset is not None else 0.0,
    )


def captured(session: Session, model: str, key: str, wanted: Span) -> tuple[dict[str, Column], Sequence[Span]]:
    """What a model that serves now was seen to answer, by the value of its slice, and the time of which that is known to be all: that
    in which the variants that answer now were the only ones that did.
    """
    endpoint = session.workspace.endpoint_for(model)
    live = session.registry.live_release(session.environment.name, endpoint)
    content = live.release.content if live is not None else None
    if content is None or content.traffic is None:
        return {}, ()
    serving = [one.name for one in content.variants if content.traffic.reaches(one.name)]
    store, environment = session.observations, session.environment.name
    by_variant = store.starts(environment, endpoint, wanted[0])
    others = {start for variant, starts in by_variant.items() if variant not in serving for start in starts}
    mine = sorted({start for variant in serving for start in by_variant.get(variant, ())} - others)
    return _by_slice(store.scored(environment, endpoint, serving, *wanted), key), _spans(mine, wanted)


def _by_slice(rows: Iterable[tuple[float, str, float | None, str, str]], key: str) -> dict[str, Column]:
    """Rows come with their labels as texts, of which there are few: they are read once each, and not once a row."""
    found: dict[str, Column] = {}
    for labels, column in columns(rows).items():
        value = str(json.loads(labels).get(key, "")) if labels else ""
        if value in found:
            found[value].rows.extend(column.rows)
        else:
            found[value] = column
    return found


def _spans(starts: Sequence[int], wanted: Span) -> tuple[Span, ...]:
    """Windows in which there were predictions as stretches: a pause that is usual for this endpoint is no gap."""
    if not starts:
        return ()
    pauses = sorted(after - before for before, after in pairwise(starts))
    usual = pauses[len(pauses) // 2] if pauses else WINDOW
    quiet = max(_QUIET, 20.0 * usual)
    spans: list[Span] = []
    begin = last = float(starts[0])
    for start in starts[1:]:
        if start - last > quiet:
            spans.append((begin, last + WINDOW))
            begin = float(start)
        last = float(start)
    spans.append((begin, last + WINDOW))
    return tuple((max(one, wanted[0]), min(two, wanted[1])) for one, two in merged(spans))


def _row(session: Session, row: Row) -> WhatIfRowView:
    old, new = (None if one is None else f"{one:g}" for one in (row.old, row.new))
    return WhatIfRowView(
        neutralise(row.model),
        neutralise(row.slice),
        row.pointer,
        (new or "–") if old == new else f"{old or '–'} → {new or '–'}",
        row.before,
        row.then,
        row.flips,
        row.n,
        row.touched,
        row.note,
        row.unknown,
        tuple(_flip(session, row, flip) for flip in row.examples),
    )


def _flip(session: Session, row: Row, flip: Flip) -> FlipView:
    request_id, output = session.observations.found(flip.request_id)
    text = output if len(output) <= 80 else f"{output[:79]}…"
    return FlipView(
        datetime.fromtimestamp(flip.at, UTC), request_id, neutralise(row.slice), flip.score, flip.before, flip.then, neutralise(text)
    )
