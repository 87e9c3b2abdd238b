"""The boxes of Config, laid out for the room that there is: the entries and the draft; or what is being published; or how one begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.documentviews import DocumentView, WhatIfView
from mlconsole.engine.views import RolloutView, Snapshot
from mlconsole.tui import config_evidence as evidence
from mlconsole.tui import config_text as texts
from mlconsole.tui import config_words as words
from mlconsole.tui.layout import Box, shared_out
from mlconsole.tui.matrix import Matrix
from mlconsole.tui.pane import Line, Pane, Under, line
from mlconsole.tui.rollout_guards import checked_told
from mlconsole.tui.rollout_words import folded, version_of, way_back_lines
from mlconsole.tui.signs import BOLD, DIM, YELLOW, Signs
from mlconsole.tui.table import LiveTable, Row

if TYPE_CHECKING:
    from mlconsole.tui.screens.config import ConfigView

BOXES = ("top", "what-if", "told", "findings", "forecast", "guards", "text", "versions")
"""From top to bottom; each is absent where it has nothing to tell."""

ABSENT = "-absent"
"""The class of a box that is not there. Not by `display`: on the phone's layout none of them is there."""

_FRAME = 6
"""Rows of the frame around a view."""

_LOW = 16
"""Rows of a screen below which one finding has to do, so that the change itself and what if keep their place."""

_TALL = 30
"""Rows of a screen on which the history has its place below a draft."""

_BACK, _WIDE_BACK = 36, 52
"""Columns of what publishing would do, where it stands beside; and on the widest screens."""


def compose(signs: Signs) -> Iterator[Widget]:
    """All boxes there may be."""
    with Horizontal(id="top"):
        with Vertical(id="left"):
            yield Matrix(words.MATRIX, "", id="main", cells=words.CELLS, signs=signs)
            yield Pane("", id="subject", signs=signs)
            yield Under("", id="under", focusable=False, signs=signs)
        yield Pane("if you publish it", id="going", edges="lr", joints=("t", "tr"), focusable=False, signs=signs)
    yield LiveTable(evidence.WHAT_IF, "what if", id="what-if", hint="enter reads the flips", signs=signs)
    yield Pane("what if", id="told", focusable=False, signs=signs)
    yield Pane("findings", id="findings", signs=signs)
    yield LiveTable(evidence.FORECAST, "forecast", id="forecast", hint="alerts per day", signs=signs)
    yield Pane("guards", id="guards", signs=signs)
    yield Pane("text", id="text", hint="v whole file", signs=signs)
    yield LiveTable(words.VERSIONS, "versions", id="versions", hint="enter: what it changed", signs=signs)


def back_width(width: int) -> int:
    """Columns of the box at the top right; none on narrow screens."""
    return 0 if width < 100 else _BACK if width < 140 else _WIDE_BACK


# No document.


def render_nothing(view: ConfigView) -> None:
    """How a document is added."""
    view.matrix.fill([])
    pane = view.query_one("#subject", Pane)
    pane.head("config")
    lay_out(view, [Box("top", 4, 99, 0)], subject=True, beside=0)
    pane.show(teaching(view.ui.size.width - 4))


def teaching(width: int) -> list[Line]:
    """What would have to be there."""
    lines = [line(("No config document in this environment yet.", BOLD)), line("")]
    lines += folded(
        "One is a JSON or YAML file that applications poll: which endpoint, which share, which fields, which threshold, slice by slice.",
        width,
    )
    lines += folded("In mlconsole.yaml, where the file lies, and who keeps what is published of it:", width)
    lines.append(line(("configs: {models: {file: config/models.json}}", DIM)))
    lines.append(line(("environments: {NAME: {config: local}}", DIM)))
    return [*lines, *folded("It has versions then, drafts, checks, and a way back. mlconsole config list shows them.", width)]


# The entries, and the draft.


def render_document(view: ConfigView, snapshot: Snapshot, one: DocumentView) -> None:
    """The matrix beside what publishing would do; the draft's evidence below; else the history."""
    ui, signs, now = view.ui, view.signs, view.ui.now()
    width, room = ui.size.width, ui.size.height - _FRAME
    dimmed, inner = bool(snapshot.blind), width - 4
    beside = back_width(width)
    draft, change = one.draft, view.change()
    shown = words.entries_shown(one, ui.language, changed_only=ui.faults_only)
    matrix = view.matrix
    matrix.changed = frozenset(entry.pointer for entry in shown if entry.changed)
    matrix.set_columns(words.columns_of(one.entries))
    matrix.nothing(words.no_entry_lines(one, ui.language, view.keys_by_action))
    matrix.fill([words.entry_row(entry) for entry in shown], dimmed=dimmed)
    doing = evidence.doing_told(change.kind, change.step, change.steps, change.state) if change is not None else ""
    matrix.head(words.title(one, snapshot.who, doing), f"{len(matrix.marked)} marked, esc unmarks" if matrix.marked else "")
    going = _going(view, snapshot, one, now, (beside or width) - 4)
    answer = view.what_if(one)
    rows = evidence.rows_shown(answer, ui.language) if isinstance(answer, WhatIfView) else []
    told = [] if rows or draft is None or not draft.differences else _told(answer, inner, signs)
    found = words.finding_lines(draft.findings, inner, signs) if draft is not None else []
    text = texts.text_lines(draft.text, inner) if draft is not None else []
    forecast = evidence.forecast_rows(one.forecast, one.version, signs, ui.language)
    under = [] if beside else _short(view, one, going, inner)
    versions = words.version_rows(one, now, signs)
    entries = max(1, len(matrix.rows))
    boxes = [
        Box("top", 5 + len(under), max(min(entries + 2, room * 2 // 5) + len(under), len(going) + 1 if beside else 0), 0),
        Box("what-if", 3, min(len(rows) + 2, room // 3 + 1) if rows else 0, 2, eager=True),
        Box("told", 2, len(told) + 1 if told else 0, 2),
        Box("findings", 2, min(len(found) + 1, room // 3 if room >= _LOW else 3) if found else 0, 1, eager=True),
        Box("forecast", 3, len(forecast) + 2 if forecast else 0, 3),
        Box("text", min(3, len(text) + 1), len(text) + 1 if text else 0, 4),
        Box("versions", 4, len(versions) + 2 if versions and (draft is None or room >= _TALL) else 0, 5 if draft is not None else 1),
    ]
    given = lay_out(view, boxes, subject=False, beside=beside, under=len(under))
    pane = view.query_one("#going", Pane)
    begins = one.version is None and draft is None
    pane.head("how it begins" if begins else "if you publish it" if draft is not None else "your choice" if one.outside else "way back")
    if draft is not None and len(going) > given["top"] - 1:  # what it changes and the way back stay in sight, not how it grows
        going = _going(view, snapshot, one, now, (beside or width) - 4, brief=True)
    pane.show(going, dimmed=dimmed)
    view.query_one("#under", Under).show(under)
    _fill_what_if(view, answer, rows, dimmed=dimmed)
    view.query_one("#told", Pane).show(told)
    view.query_one("#findings", Pane).show(found)
    _fill_forecast(view, one, forecast, dimmed=dimmed)
    view.query_one("#text", Pane).show(text if "text" in given else [])
    table = view.query_one("#versions", LiveTable)
    table.head(f"versions of {one.name}", "enter: what it changed")
    table.fill(versions, dimmed=dimmed)


def _going(view: ConfigView, snapshot: Snapshot, one: DocumentView, now: datetime, width: int, *, brief: bool = False) -> list[Line]:
    """What publishing would do; without a draft how one begins, and the way back."""
    keys, change = view.keys_by_action, view.change()
    if snapshot.blind:
        return folded(f"off: {snapshot.blind}", width)
    if one.problem:
        return folded(f"it can't be read: {one.problem}", width, style=YELLOW)
    if change is not None:
        doing = folded(change.doing or change.state, width)
        return [*doing, *folded(f"stops it and goes back to {change.back_to or 'what was live'}", width, first=f"{keys['go_back']}  ")]
    if one.draft is None:
        return words.quiet_lines(one, now, width, keys)
    grows = one.version is not None and not brief and not words.stopping(one.draft)
    policy = view.ui.workspace.policies.get(one.policy) if grows else None
    return words.going_lines(one, one.draft, width, keys, view.signs, words.schedule_told(policy, one.poll_lag, now))


def _short(view: ConfigView, one: DocumentView, going: Sequence[Line], width: int) -> list[Line]:
    """The same in two lines, where it has no place beside."""
    keys, draft = view.keys_by_action, one.draft
    back = words.way_back_told(one)
    last = line(("way back  ", BOLD), f"{keys['go_back']}  {back}" if back else "nothing to go back to")
    if view.snapshot is not None and view.snapshot.blind:
        return [line(("way back  ", BOLD), f"off: {view.snapshot.blind}")]
    if one.problem or view.change() is not None:
        return [*going[:2]]
    if one.outside:
        return [
            line((words.outside_told(one), YELLOW)),
            line(f"{keys['go_back']}  puts ours back   {keys['keep']}  keeps theirs, with a reason"),
        ]
    if draft is None:
        begins = "begins with the file in your editor" if one.version is None else "opens it in your editor; enter changes a value"
        return [line((f"{keys['edit']}  {begins}: a draft, nothing happens", DIM)), last]
    stops = words.stopping(draft)
    if stops:
        return [line((f"{view.signs.failing} can't be published: {stops[0].text}", "red")), last]
    about = draft.about or f"{len(draft.differences)} values change"
    then = line(("way back  ", BOLD), words.back_then(one, draft, keys))
    return [line((f"{keys['publish']}  ", BOLD), about, (f' · "{draft.reason}"' if draft.reason else "", DIM)), then]


def _told(answer: WhatIfView | MLConsoleError | None, width: int, signs: Signs) -> list[Line]:
    """What if, where there are no figures: why."""
    if answer is None:
        return [line(("deciding what was predicted again …", DIM))]
    if isinstance(answer, MLConsoleError):
        return folded(f"{signs.no_data} it can't be told: {answer}", width, style=YELLOW)
    gaps = f" Not captured: {answer.gaps}." if answer.gaps else ""
    return folded(f"No decision of the last {answer.days:g} days depends on what changes.{gaps}", width, style=DIM)


def _fill_what_if(view: ConfigView, answer: WhatIfView | MLConsoleError | None, rows: Sequence[object], *, dimmed: bool) -> None:
    table = view.query_one("#what-if", LiveTable)
    if not isinstance(answer, WhatIfView) or not rows:
        table.fill([])
        return
    shown = evidence.rows_shown(answer, view.ui.language)
    table.set_columns(evidence.what_if_columns(shown, evidence.WHAT_IF))
    first = not table.rows
    table.head(evidence.what_if_title(answer), "enter reads the flips")
    table.fill(evidence.what_if_rows(shown, view.signs), dimmed=dimmed)
    touched = next((row for row in shown if row.touched), None)
    if first and touched is not None:
        table.go_to(touched.pointer or f"{touched.model}/{touched.slice}")


def _fill_forecast(view: ConfigView, one: DocumentView, rows: Sequence[Row], *, dimmed: bool) -> None:
    if one.forecast is not None and rows:
        table = view.query_one("#forecast", LiveTable)
        table.set_columns(evidence.what_if_columns(one.forecast.rows, evidence.FORECAST))
        table.head(evidence.forecast_title(one.forecast), "alerts per day")
        table.fill(rows, dimmed=dimmed)


# What is being published.


def render_publication(view: ConfigView, snapshot: Snapshot, one: DocumentView, rollout: RolloutView) -> None:
    """Its stages; the forecast against what comes; its guards; the way back; who published it."""
    ui, signs, now = view.ui, view.signs, view.ui.now()
    width = ui.size.width
    dimmed, inner, beside = bool(snapshot.blind), width - 4, back_width(width)
    keys = view.keys_by_action
    view.matrix.fill([words.entry_row(entry) for entry in words.entries_shown(one, ui.language, changed_only=False)], dimmed=dimmed)
    differences, diff = view.changes(one, rollout)
    lines = evidence.publication_lines(one, rollout, inner - (beside - 1 if beside else 0), keys, signs, now, way_back=not beside)
    back = way_back_lines(rollout, beside - 4, keys, now) if beside else []
    forecast = evidence.forecast_rows(one.forecast, version_of(rollout), signs, ui.language)
    equal = evidence.equal_line(one, rollout, differences, signs)
    found = [*evidence.guard_lines(rollout, inner, signs, ui.language), *([equal] if equal else [])]
    last = [line(""), evidence.begun_line(rollout, now)]
    text = texts.text_lines(diff, inner)
    boxes = [
        Box("top", min(7, len(lines) + 1), max(len(lines), len(back)) + 1, 0),
        Box("forecast", 3, min(len(forecast) + 2, (ui.size.height - _FRAME) // 2) if forecast else 0, 1, eager=True),
        Box("guards", 3, len(found) + len(last) + 1, 2, eager=True),
        Box("text", 2, len(text) + 1 if text else 0, 3),
    ]
    given = lay_out(view, boxes, subject=True, beside=beside, grows="text" if text else "guards")
    subject = view.query_one("#subject", Pane)
    title, hint = evidence.publication_title(one, rollout, differences)
    subject.head(title, hint)
    subject.show(lines, dimmed=dimmed)
    pane = view.query_one("#going", Pane)
    pane.head("way back")
    pane.show(back, dimmed=dimmed)
    _fill_forecast(view, one, forecast, dimmed=dimmed)
    guards = view.query_one("#guards", Pane)
    guards.head("guards", checked_told(rollout, now))
    spare = given.get("guards", 0) - 1 - len(found) - 1
    guards.show([*found, *last[1 if spare < 1 else 0 :]], dimmed=dimmed)
    view.query_one("#text", Pane).show(text)


# Laying out.


def lay_out(view: ConfigView, boxes: list[Box], *, subject: bool, beside: int, under: int = 0, grows: str = "top") -> dict[str, int]:
    """Give each box its lines; boxes that get none are absent. What borders on what is drawn so."""
    given = shared_out(view.ui.size.height - _FRAME - 1, boxes, grows)
    names = list(given)
    last, width = names[-1], view.ui.size.width
    for name in BOXES:
        widget = view.query_one(f"#{name}")
        widget.set_class(name not in given, ABSENT)
        if name not in given:
            continue
        widget.styles.height = given[name] + (name == last)
        if isinstance(widget, Pane):
            ends = width - beside if beside and len(names) > 1 and name == names[1] else None
            widget.edged("lrb" if name == last else "lr", ("l", "r"), ends=ends)
    bottom = "b" if last == "top" else ""
    for name, there in (("subject", subject), ("main", not subject)):
        pane = view.query_one(f"#{name}", Pane)
        pane.set_class(not there, ABSENT)
        pane.edged(("l" if beside else "lr") + ("" if under else bottom), ("tl", "" if beside else "tr"))
    below = view.query_one("#under", Under)
    below.set_class(not under, ABSENT)
    below.styles.height = max(1, under)
    side = view.query_one("#going", Pane)
    side.set_class(not beside, ABSENT)
    side.styles.width = max(1, beside)
    side.edged("lr" + bottom, ("t", "tr"))
    return given
