"""Texts of a config document: differences, the text diff in one column or side by side, a whole file, and the report to paste. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from mlconsole.core.text import neutralise
from mlconsole.engine.documentviews import DifferenceView, DocumentView, DraftView, TextLineView, WhatIfRowView, WhatIfView
from mlconsole.tui.config_attention import draft_told
from mlconsole.tui.config_evidence import amount, change_told, rate, rows_shown
from mlconsole.tui.config_words import difference_told
from mlconsole.tui.pane import Line, Span, fitted, line, width_of
from mlconsole.tui.signs import BOLD, DIM, GREEN, RED, YELLOW, Signs

_STYLES = {"-": RED, "+": GREEN}
_TAB = "    "
_BESIDE = 34
"""Columns that each side has to have for two texts to be read side by side."""


def text_lines(lines: Sequence[TextLineView], width: int) -> list[Line]:
    """`214 -  "threshold": 0.58,        relevance › pl`."""
    numbers = max((len(str(_number(one))) for one in lines if _number(one) is not None), default=1)
    told: list[Line] = []
    where = ""
    begin = next((place for place, one in enumerate(lines) if one.sign != "…"), 0)
    for one in lines[begin:]:
        place = one.where if one.where != where else ""
        where = one.where or where
        spans: list[Span] = [(f"{_shown(_number(one)):>{numbers}} ", DIM), (f"{one.sign} {_plain(one.text)}".rstrip(), _style(one.sign))]
        gap = width - width_of(line(*spans)) - cell_len(place)
        told.append(line(*spans, (" " * gap, ""), (place, DIM)) if place and gap >= 2 else line(*spans))
    return told


def _style(sign: str) -> str:
    return _STYLES.get(sign, DIM if sign == "…" else "")


def _number(one: TextLineView) -> int | None:
    return one.new if one.sign == "+" or one.old is None else one.old


def _shown(number: int | None) -> str:
    return "" if number is None else str(number)


def _plain(text: str) -> str:
    return text.replace("\t", _TAB).rstrip("\r\n")


def side_by_side(lines: Sequence[TextLineView], width: int, signs: Signs) -> list[Line] | None:
    """The old text at the left, the new one at the right; None where one of them would have to be cut."""
    numbers = max((len(str(number)) for one in lines for number in (one.old, one.new) if number is not None), default=1)
    half = (width - 3) // 2
    room = half - numbers - 3
    if room < _BESIDE or any(cell_len(signs.plain(neutralise(_plain(one.text)))) > room for one in lines):
        return None
    told: list[Line] = []
    gone: list[TextLineView] = []
    come: list[TextLineView] = []

    def flush() -> None:
        for place in range(max(len(gone), len(come))):
            told.append(_pair(gone[place] if place < len(gone) else None, come[place] if place < len(come) else None, numbers, room, signs))
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
            told.append(_pair(one, one, numbers, room, signs))
    flush()
    return told


def _pair(left: TextLineView | None, right: TextLineView | None, numbers: int, room: int, signs: Signs) -> Line:
    spans: list[Span] = []
    for one, number, last in ((left, left.old if left else None, False), (right, right.new if right else None, True)):
        sign = one.sign if one is not None else " "
        spans.append((f"{_shown(number):>{numbers}} ", DIM))
        spans.append((f"{sign} {fitted(_plain(one.text) if one is not None else '', room, signs)}", _style(sign)))
        spans += [] if last else [(f" {signs.rule} ", DIM)]
    return line(*spans)


def compared_lines(found: Sequence[DifferenceView], text: Sequence[TextLineView], width: int, signs: Signs) -> list[Line]:
    """A comparison: value by value, then as text."""
    if not found and not any(one.sign in "-+" for one in text):
        return [line("They are equal, byte for byte." if not text else "They are equal.")]
    where = min(44, max((len(one.where) for one in found), default=0))
    lines = [line((f"{one.where or 'the whole document':<{where}}  ", BOLD), difference_told(one)) for one in found]
    if not found:
        lines.append(line(("Every value is equal; only the text is another.", DIM)))
    return [*lines, line(""), *(side_by_side(text, width, signs) or text_lines(text, width))]


def file_lines(text: str, changed: frozenset[int] = frozenset()) -> list[Line]:
    """A whole file with its line numbers; those of `changed` stand out."""
    parts = text.splitlines() or [""]
    numbers = len(str(len(parts)))
    told: list[Line] = []
    for number, part in enumerate(parts, 1):
        new = number in changed
        told.append(line((f"{number:>{numbers}} ", DIM), ("+ " if new else "  ", YELLOW), (_plain(part), YELLOW if new else "")))
    return told


def report(one: DocumentView, draft: DraftView, what_if: WhatIfView | None, environment: str) -> str:
    """The draft as plain text: for a colleague who approves it, or a chat."""
    texts = [f"config {one.name} ({environment}): {draft_told(one, draft).removeprefix('your ')}, by {draft.who}"]
    texts += [f'reason: "{draft.reason}"'] if draft.reason else []
    texts += [f"  {each.where or 'the whole document'}  {difference_told(each)}" for each in draft.differences]
    for each in draft.findings:
        if each.severity != "ok":
            texts.append(f"{'STOPS IT' if each.severity == 'stop' else 'look'}: {each.text}{_at(each.line, each.pointer)}")
    if what_if is not None:
        texts += [_what_if_told(row, what_if.days) for row in rows_shown(what_if, "") if row.touched]
    texts += [f"way back: {one.way_back}"] if one.way_back else []
    texts.append(f"mlconsole config diff {one.name} --env {environment}")
    return "\n".join(neutralise(text) for text in texts)


def _what_if_told(row: WhatIfRowView, days: float) -> str:
    if row.unknown:
        return f"what if {row.model} {row.slice}: {row.unknown}"
    flips = f"{amount(row.flips)} flips" if row.flips is not None else "flips not known"
    told = f"{rate(row.before)} → {rate(row.then)} alerts a day ({change_told(row)}), {flips} of {amount(row.n)} in {days:g} days"
    return f"what if {row.model} {row.slice}: {told}" + (f", {row.note}" if row.note else "")


def _at(number: int | None, pointer: str) -> str:
    told = " ".join(part for part in (f"line {number}" if number is not None else "", pointer) if part)
    return f" ({told})" if told else ""
