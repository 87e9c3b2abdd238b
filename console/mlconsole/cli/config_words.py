"""Config documents in lines and columns, for people: what is live, differences, findings, what-if, the forecast. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlconsole.cli.common import columns, width
from mlconsole.core.documents import config_target
from mlconsole.core.traffic import percent

if TYPE_CHECKING:
    from datetime import datetime

    from mlconsole.engine.documentviews import (
        DifferenceView,
        DocumentView,
        EntryView,
        FindingView,
        FlipView,
        ForecastRowView,
        ForecastView,
        TextLineView,
        WhatIfRowView,
        WhatIfView,
    )

_SIGNS = {"stop": "✖", "look": "▲", "ok": "✔"}
_VERDICTS = {"proven": "✔ ", "broken": "✖ ", "not touched": ""}
_TOUCHED = 4
"""Pointers that a version's row names, at most."""
_BESIDE = 34
"""Columns that each side has to have for two texts to be read side by side."""


def several(count: int, what: str) -> str:
    """`1 value`, `2 values`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def moment(when: datetime | None) -> str:
    """When, on the clock of whoever reads it."""
    return "–" if when is None else f"{when.astimezone():%d %b %H:%M:%S}"


# Documents and versions.


def list_told(views: Sequence[DocumentView]) -> list[str]:
    """Every document in a row, and below what is wrong with one."""
    rows = [["DOCUMENT", "LIVE", "CLIENTS", "LATEST", "DRAFT", "FINDINGS"]]
    for one in views:
        if one.problem:
            rows.append([one.name, "?", "?", "?", "?", ""])
            continue
        live = "–" if one.version is None else str(one.version)
        rows.append([one.name, live, clients(one), str(one.latest or "–"), _draft_short(one), _findings_short(one)])
    lines = columns(rows, frozenset({1, 3}), wide=4)
    lines += [f"? {one.name}: {one.problem}" for one in views if one.problem]
    return lines + [line for one in views for line in standing(one)]


def clients(one: DocumentView) -> str:
    """Which share of the clients reads the live version: `100 %`, `40 %, else 126`."""
    if one.version is None:
        return "–"
    return f"{percent(one.share)} %" + (f", else {one.before or 'none'}" if one.share < 10_000 else "")


def _draft_short(one: DocumentView) -> str:
    draft = one.draft
    if draft is None:
        return "–"
    values = several(len(draft.differences), "value") if one.version is not None else "the first version"
    return f"{values} by {draft.who}" + (f", on {draft.base}" if draft.base is not None else "")


def _findings_short(one: DocumentView) -> str:
    if one.draft is None:
        return ""
    counts = {sign: sum(1 for each in one.draft.findings if each.severity == severity) for severity, sign in _SIGNS.items()}
    return "  ".join(f"{count} {sign}" for sign, count in counts.items() if count and sign != "✔") or ("✔" if one.draft.findings else "")


def standing(one: DocumentView) -> list[str]:
    """What a person has to know of a document beside its version."""
    lines = []
    if one.outside:
        choice = f"Ours back: mlconsole config revert {one.name}; theirs kept: mlconsole config adopt {one.name}"
        lines.append(f"≠ {one.name}: {one.outside} {choice}")
    if one.moving:
        lines.append(f"~ {one.name}: {one.publication or 'it is being published'}")
        lines += [f"  {text}" for text in (one.told, one.watching) if text]
    elif one.share < 10_000:
        lines.append(f"~ {one.name} {one.version} is with a part of the clients: mlconsole rollout status {config_target(one.name)}")
    if one.told and not one.moving:
        lines.append(f"▲ {one.name}: {one.told}")
    if one.everywhere is not None:
        lines.append(f"~ {one.name} {one.version} is everywhere by {one.everywhere.astimezone():%H:%M:%S}: clients poll")
    if outdated(one):
        live = one.version or "nothing"
        base = one.draft.base if one.draft is not None else None
        lines.append(f"▲ the draft of {one.name} was begun on {base or 'nothing'}, live is {live}: mlconsole config rebase {one.name}")
    return lines


def outdated(one: DocumentView) -> bool:
    """Whether the draft was begun on another version than the one that is live."""
    return one.draft is not None and one.draft.base != one.version


def versions_told(one: DocumentView) -> list[str]:
    """One document: how it stands, and its versions, newest first."""
    if one.problem:
        return [f"? {one.name}: {one.problem}"]
    live = f"live {one.version}, {clients(one)} of the clients" if one.version is not None else "nothing is published yet"
    number = f" · #{one.release}" if one.release is not None else ""
    lines = [f"config {one.name} · {one.environment} · {live}{number} · grows by {one.policy}"]
    lines += standing(one)
    if one.draft is not None:
        lines.append(f"draft: {_draft_short(one)}, edition {one.draft.edition}{f', {one.draft.reason!r}' if one.draft.reason else ''}")
    rows = [["VERSION", "WHEN", "WHO", "WHY", "TOUCHED"]]
    for each in sorted(one.versions, key=lambda each: -each.number):
        touched = ", ".join(each.touched[:_TOUCHED]) + (f" and {len(each.touched) - _TOUCHED} more" if len(each.touched) > _TOUCHED else "")
        first = "the first one" if each.parent is None else "nothing"
        rows.append([f"{each.number}{' ✔' if each.live else ''}", moment(each.created), each.who, each.reason, touched or first])
    lines += columns(rows, wide=4) if len(rows) > 1 else []
    return lines + ([f"way back  {one.way_back}"] if one.way_back else [])


# Entries.


def entries_told(entries: Sequence[EntryView]) -> list[str]:
    """The matrix of model × slice; a changed cell as `0.58→0.48`."""
    rows = [["MODEL", "SLICE", "ENDPOINT", "SHARE", "FIELDS", "THRESHOLD", "LINE"]]
    for one in entries:
        cells = [_cell(one, column) for column in ("endpoint", "share", "fields", "threshold")]
        rows.append([one.model, one.slice or "all", *cells, "" if one.line is None else str(one.line)])
    return columns(rows, frozenset({6}), wide=4)


def _cell(one: EntryView, column: str) -> str:
    now = ",".join(one.fields) if column == "fields" else str(getattr(one, column))
    if column not in one.changed:
        return now or "–"
    return f"{one.changed[column].replace(', ', ',') or '–'}→{now or '–'}"


# Differences.


def difference_told(one: DifferenceView) -> str:
    """`0.58 → 0.48   (−17 %)`."""
    if one.kind == "added":
        return f"new: {one.new}"
    if one.kind == "removed":
        return f"gone: {one.old}"
    relative = f"   ({f'{100 * one.relative:+.0f} %'.replace('-', '−')})" if one.relative is not None else ""
    return f"{one.old} → {one.new}{relative}" + ("   another type" if one.kind == "type changed" else "")


def structure_told(found: Sequence[DifferenceView]) -> list[str]:
    """The differences value by value: where, from what to what, on which line."""
    rows = [[one.where or "the whole document", difference_told(one), f"line {one.line}" if one.line else "", one.pointer] for one in found]
    return columns(rows, wide=1)


def text_told(lines: Sequence[TextLineView]) -> list[str]:
    """The text diff: side by side where the terminal has room for both, else below each other."""
    room = width()
    return (_side_by_side(lines, room) if room is not None else None) or [_text_line(one, _digits(lines)) for one in lines]


def differ(lines: Sequence[TextLineView]) -> bool:
    """Whether two texts differ at all."""
    return any(one.sign in ("-", "+") for one in lines)


def _digits(lines: Sequence[TextLineView]) -> int:
    return max((len(str(number)) for one in lines for number in (one.old, one.new) if number is not None), default=1)


def _text_line(one: TextLineView, digits: int) -> str:
    number = one.new if one.sign == "+" or one.old is None else one.old
    return f"{'' if number is None else number:>{digits}} {one.sign} {_plain(one.text)}".rstrip()


def _plain(text: str) -> str:
    return text.replace("\t", "    ").rstrip("\r\n")


def _side_by_side(lines: Sequence[TextLineView], room: int) -> list[str] | None:
    """The old text at the left, the new one at the right; None where one of them would have to be cut."""
    digits = _digits(lines)
    side = (room - 3) // 2 - digits - 3
    if side < _BESIDE or any(len(_plain(one.text)) > side for one in lines):
        return None
    told: list[str] = []
    gone: list[TextLineView] = []
    come: list[TextLineView] = []

    def half(one: TextLineView | None, number: int | None) -> str:
        shown = "" if one is None else _plain(one.text)
        return f"{'' if number is None else number:>{digits}} {one.sign if one is not None else ' '} {shown:<{side}}"

    def flush() -> None:
        for place in range(max(len(gone), len(come))):
            left, right = (each[place] if place < len(each) else None for each in (gone, come))
            told.append(f"{half(left, left.old if left else None)} │ {half(right, right.new if right else None)}".rstrip())
        gone.clear()
        come.clear()

    for one in lines:
        if one.sign == "-":
            if come:
                flush()
            gone.append(one)
        elif one.sign == "+":
            come.append(one)
        else:
            flush()
            told.append(f"{half(one, one.old)} │ {half(one, one.new)}".rstrip())
    flush()
    return told


# Findings.


def findings_told(findings: Sequence[FindingView], *, passed: bool = True) -> list[str]:
    """What stops, what has to be looked at, each with its place; then, in one line, what `passed`."""
    lines = []
    for one in (each for wanted in ("stop", "look") for each in findings if each.severity == wanted):
        lines.append(f"{_SIGNS[one.severity]} {one.text}{place(one)}")
    well = [one.text for one in findings if one.severity == "ok"]
    return lines + ([" ".join(f"✔ {text} " for text in well).rstrip()] if well and passed else [])


def judged_told(what: str, stops: int, looks: int, beside: int | None) -> str:
    """Lint in one line: `▲ the draft of models, beside live 126: 2 to look at`."""
    told = [f"{several(stops, 'finding')} stop{'s' if stops == 1 else ''} it"] if stops else []
    told += [f"{looks} to look at"] if looks else []
    live = f", beside live {beside}" if beside is not None else ""
    return f"{'✖' if stops else '▲' if looks else '✔'} {what}{live}: {', '.join(told) or 'nothing stops it'}"


def place(one: FindingView) -> str:
    """`   line 214  /relevance/pl/threshold`."""
    told = "  ".join(part for part in (f"line {one.line}" if one.line is not None else "", one.pointer) if part)
    return f"   {told}" if told else ""


# What if, and what came.


def amount(number: float) -> str:
    """`525`, `158 k`, `3.2 M`."""
    if number < 10_000:
        return f"{number:,.0f}".replace(",", " ")
    return f"{number / 1000:.0f} k" if number < 999_500 else f"{number / 1e6:.1f} M"


def rate(value: float | None) -> str:
    """Alerts a day; what is not known is `?`, never 0."""
    if value is None:
        return "?"
    return f"{value:,.0f}".replace(",", " ") if value >= 10 or value == int(value) else f"{value:.1f}"


def times_told(row: WhatIfRowView) -> str:
    """`× 4.4`; `–` where it stays, `+ 97` where there was none."""
    if row.before is None or row.then is None:
        return "?"
    if row.before == row.then:
        return "–"
    if not row.before:
        return f"+ {rate(row.then)}"
    times = row.then / row.before
    return f"× {times:.2f}" if times < 1 else f"× {times:.1f}" if times < 100 else f"× {times:.0f}"


def what_if_told(view: WhatIfView, *, flips: bool) -> list[str]:
    """The touched slices beside their siblings; with `flips`, the predictions that would have been decided otherwise."""
    days = f"{view.days:g} days" if view.days != 1 else "day"
    lines = [f"what if · last {days} decided again · {several(view.n, 'prediction')}" + (f" · gaps: {view.gaps}" if view.gaps else "")]
    models = {row.model for row in view.rows if row.touched}
    rows = [row for row in view.rows if row.model in models]
    if not rows:
        return [*lines, "No entry is touched: nothing would be decided otherwise."]
    lines += columns([_HEADS, *map(_what_if, rows)], _FIGURES, wide=8)
    return lines + ([line for row in rows if row.touched for line in _flips(row)] if flips else [])


_HEADS = ["MODEL", "SLICE", "THRESHOLD", "ALERTS/DAY", "THEN", "CHANGE", "FLIPS", "n", ""]
_FIGURES = frozenset({3, 4, 5, 6, 7})


def _what_if(row: WhatIfRowView) -> list[str]:
    cells = [row.model, row.slice or "all", row.threshold]
    if row.unknown:
        return [*cells, "?", "?", "?", "?", amount(row.n), f"? {row.unknown}"]
    note = row.note or ("" if row.touched else "not touched")
    flips = "?" if row.flips is None else amount(row.flips)
    return [*cells, rate(row.before), rate(row.then), times_told(row), flips, amount(row.n), f"▲ {note}" if row.touched and note else note]


def _flips(row: WhatIfRowView) -> list[str]:
    if row.unknown or not row.flips:
        return []
    lines = ["", f"{row.model} · {row.slice or 'all'}: {amount(row.flips)} of {amount(row.n)} would be decided otherwise ({row.threshold})"]
    if not row.examples:
        return [*lines, "  None of them is kept to be read."]
    if row.flips > len(row.examples):
        lines.append(f"  {len(row.examples)} of them:")
    return lines + [f"  {line}" for line in columns([_flip(one) for one in row.examples], frozenset({1}), wide=3)]


def _flip(one: FlipView) -> list[str]:
    decided = {True: "alert", False: "no alert"}
    told = f"{decided[one.before]} → {decided[one.then]}"
    return [moment(one.at), f"{one.score:.3g}", told, one.text, one.request_id]


def forecast_told(view: ForecastView) -> list[str]:
    """What a version was forecast to do, beside what came."""
    broken = sum(1 for row in view.rows if row.verdict == "broken")
    proven = any(row.verdict == "proven" for row in view.rows)
    over = "proven" if proven else "nothing could be forecast"
    state = f"broken in {broken}" if broken else over if view.over else "looked at again until it is proven"
    lines = [f"forecast of {view.version}, published {moment(view.published)} · {state} · alerts a day"]
    rows = [["MODEL", "SLICE", "BEFORE", "FORECAST", "SO FAR", "VERDICT"], *map(_forecast, view.rows)]
    return lines + columns(rows, frozenset({2, 3, 4}), wide=5)


def _forecast(row: ForecastRowView) -> list[str]:
    sign = _VERDICTS.get(row.verdict, "? ")
    word = row.verdict if row.verdict in _VERDICTS else ""
    told = " ".join(part for part in (word, row.text if row.verdict != "not touched" else "") if part)
    so_far = f"{amount(row.alerts)} of {amount(row.n)}"
    return [row.model, row.slice or "all", rate(row.before), rate(row.forecast), so_far, f"{sign}{told or row.verdict}"]


# For scripts.


def document_json(view: DocumentView) -> dict[str, Any]:
    """A document for scripts: shares as percentages."""
    from mlconsole.cli.health import plain

    body: dict[str, Any] = plain(view)
    return {**body, "share": view.share / 100}
