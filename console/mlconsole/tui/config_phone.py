"""Config in one column of 46 characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlconsole.engine.documentviews import DocumentView, WhatIfView
from mlconsole.engine.views import RolloutView, Snapshot
from mlconsole.tui import config_evidence as evidence
from mlconsole.tui import config_words as words
from mlconsole.tui import rollout_guards as guards
from mlconsole.tui.config_panes import teaching
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.rollout_words import back_told, folded, next_told, stages_line, version_of
from mlconsole.tui.signs import BOLD, DIM, GREEN, RED, YELLOW

if TYPE_CHECKING:
    from mlconsole.tui.screens.config import ConfigView

WIDTH = 46
_ROWS = 5


def phone_lines(view: ConfigView, snapshot: Snapshot) -> list[Line]:
    """The entries around the cursor, what the draft does, the way back; or what is being published."""
    one, rollout = view.document(), view.publication()
    if one is None:
        return teaching(WIDTH)
    if rollout is not None and view.at_publication:
        return _publication(view, snapshot, one, rollout)
    lines = [words.title(one, snapshot.who), *_entries(view, one), line("")]
    if snapshot.blind:
        return [*lines, *folded(f"off: {snapshot.blind}", WIDTH)]
    if one.draft is None:
        return lines + words.quiet_lines(one, view.ui.now(), WIDTH, view.keys_by_action)
    lines += words.going_lines(one, one.draft, WIDTH, view.keys_by_action, view.signs, ())
    lines += words.finding_lines([each for each in one.draft.findings if each.severity != "ok"], WIDTH, view.signs)
    found = view.what_if(one)
    if isinstance(found, WhatIfView):
        lines += _what_if(found, view.ui.language)
    return lines


def _entries(view: ConfigView, one: DocumentView) -> list[Line]:
    """Some rows around the cursor; of each the column that the cursor is in, or what is changed."""
    rows, place, column = view.matrix.rows, view.matrix.place, view.matrix.cell
    by_pointer = {entry.pointer: entry for entry in one.entries}
    first = max(0, min(place - 2, len(rows) - _ROWS))
    lines: list[Line] = []
    for index, row in enumerate(rows[first : first + _ROWS], first):
        entry = by_pointer.get(row.key)
        if entry is None:
            continue
        text, style = words.cell_span(entry, column)
        here = index == place
        spans: list[Span] = [(view.signs.cursor if here else "*" if row.key in view.matrix.marked else " ", BOLD)]
        spans += [(f"{words.named(entry)[:22]:<22} ", BOLD if here else ""), (f"{column if here else ''}  ", DIM), (text, style)]
        lines.append(line(*spans))
    return lines or [line(("there is no entry here", DIM))]


def _what_if(found: WhatIfView, language: str) -> list[Line]:
    lines: list[Line] = []
    for row in evidence.rows_shown(found, language):
        if row.touched and row.unknown:
            lines += folded(f"what if {row.slice or row.model}: {row.unknown}", WIDTH, style=YELLOW)
        elif row.touched:
            told = f"{evidence.rate(row.before)} → {evidence.rate(row.then)} alerts a day ({evidence.change_told(row)})"
            lines += folded(f"what if {row.slice or row.model}: {told}", WIDTH, style=BOLD)
            lines += folded(row.note, WIDTH, style=YELLOW) if row.note else []
    return lines


def _publication(view: ConfigView, snapshot: Snapshot, one: DocumentView, rollout: RolloutView) -> list[Line]:
    now, signs, keys = snapshot.status.at, view.signs, view.keys_by_action
    title, turn = evidence.publication_title(one, rollout, view.changes(one, rollout)[0])
    lines = [title, line((turn, DIM)), stages_line(rollout, WIDTH, signs)]
    lines += [each for text in (one.publication, one.told) if text for each in folded(text, WIDTH)]
    if one.forecast is not None and evidence.forecast_rows(one.forecast, version_of(rollout), signs):
        for row in one.forecast.rows:
            if row.verdict != "not touched":
                style = GREEN if row.verdict == "proven" else RED if row.verdict == "broken" else YELLOW
                told = f"{evidence.rate(row.before)} → {evidence.rate(row.forecast)} a day; so far {row.alerts} of {row.n}"
                lines += folded(f"{row.slice or row.model}  {told}", WIDTH)
                lines += folded(f"{row.verdict}: {row.text}".rstrip(": "), WIDTH, style=style)
    lines += guards.phone_lines(rollout, signs, 2)
    lines += folded(next_told(rollout, now), WIDTH, style=BOLD)
    if "revert" in rollout.controls:
        lines += folded(back_told(rollout), WIDTH, first=f"{keys['go_back']}  ")
    if not rollout.driver:
        lines.append(line(("nobody drives it just now", RED)))
    return lines
