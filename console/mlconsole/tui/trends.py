"""Figures over time in block characters: one row for each, its value and what is usual beside it, and beneath when what happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len
from textual.geometry import Region

from mlconsole.engine.views import MarkView, TrendView
from mlconsole.tui.figures import clock, figure
from mlconsole.tui.pane import Line, Pane, Span, fitted, line, plained
from mlconsole.tui.signs import BOLD, DIM, RED, Signs

LEVELS = "▁▂▃▄▅▆▇█"
GAP = " "
"""Nothing was there: neither much nor little."""

_NAME, _VALUE, _USUAL = 15, 10, 19
_FLOOR = 0.1
"""Shares below it look small, however small all of them are."""

_MANY = 0.5
"""A share that lies so far above the usual one is drawn in red."""


class Trends(Pane):
    """Rows of block characters. Only the part of a row that differs is drawn anew."""

    def show(self, lines: Sequence[Line], *, dimmed: bool = False) -> None:
        """Other lines."""
        before = self._lines
        if dimmed != self.dimmed or len(before) != len(lines):
            self._lines = []
            super().show(lines, dimmed=dimmed)
            self.refresh()
            return
        self._lines = [plained(each, self.signs) for each in lines]
        for place, (old, new) in enumerate(zip(before, self._lines, strict=True)):
            if old != new and place < self.inner_height:
                left, width = _differing(old, new)
                self.refresh(Region(1 + ("l" in self._edges) + left, place + 1, width, 1))


def _differing(old: Line, new: Line) -> tuple[int, int]:
    """The columns in which two lines differ: where it begins, and how many."""
    cells = [[(char, words) for text, words in spans for char in text for _ in range(cell_len(char))] for spans in (old, new)]
    size = max(len(each) for each in cells)
    first, second = (each + [(" ", "")] * (size - len(each)) for each in cells)
    places = [place for place in range(size) if first[place] != second[place]]
    return (places[0], places[-1] + 1 - places[0]) if places else (0, 0)


def trend_lines(trends: Sequence[TrendView], marks: Sequence[MarkView], width: int, room: int, signs: Signs) -> list[Line]:
    """The rows, in at most `room` lines of `width` characters; the marks are the last one."""
    if not trends or room < 1:
        return []
    usual = _USUAL if width >= 76 else 13 if width >= 56 else 0
    cells = max(4, width - _NAME - _VALUE - usual - 1)
    shown = list(trends[: max(1, room - bool(marks))])
    lines = [_row(one, cells, usual, signs) for one in shown]
    if marks and room > len(shown):
        lines.append(_marks(marks, shown[0], cells, width - _NAME, signs))
    return lines


def _row(one: TrendView, cells: int, usual: int, signs: Signs) -> Line:
    values = sampled(one.values, cells)
    top = max([value for value in values if value is not None] + [_least_top(one)])
    spans: list[Span] = [(fitted(one.name, _NAME - 1, signs) + " ", "")]
    for value in values:
        char = GAP if value is None else LEVELS[max(0, min(7, round(value / top * 7)))] if top > 0 else LEVELS[0]
        words = RED if one.unit == "%" and value is not None and value - (one.usual or 0.0) >= _MANY else ""
        if len(spans) > 1 and spans[-1][1] == words:
            spans[-1] = (spans[-1][0] + char, words)
        else:
            spans.append((char, words))
    last = one.values[-1] if one.values else None
    spans.append((fitted(figure(last, one.unit), _VALUE - 2, signs, right=True) + "  ", BOLD if last is not None else DIM))
    if usual:
        spans.append((fitted(_beside(one, last), usual, signs), DIM))
    return line(*spans)


def _beside(one: TrendView, last: float | None) -> str:
    """What is usual; of a dependency what it was."""
    if one.usual is not None:
        return f"usual {figure(one.usual, one.unit)}"
    most = max((value for value in one.values if value is not None), default=None)
    return f"was {figure(most, one.unit)}" if one.unit not in ("%", "ms") and most != last else ""


def _least_top(one: TrendView) -> float:
    """What the highest block stands for at least."""
    if one.unit == "%":
        return max(_FLOOR, 4 * (one.usual or 0.0))
    return 2 * one.usual if one.unit == "ms" and one.usual else 0.0


def sampled(values: Sequence[float | None], cells: int) -> list[float | None]:
    """The values in so many cells: the largest of those that fall into one, since what is bad is large."""
    count = len(values)
    if not count:
        return [None] * cells
    found: list[float | None] = []
    for cell in range(cells):
        begin = cell * count // cells
        inside = [value for value in values[begin : max(begin + 1, (cell + 1) * count // cells)] if value is not None]
        found.append(max(inside) if inside else None)
    return found


def _marks(marks: Sequence[MarkView], trend: TrendView, cells: int, width: int, signs: Signs) -> Line:
    """A sign below each moment, and what they were, behind the last one or, where there is no room, before the first."""
    span = trend.step * len(trend.values) or 1.0
    at = [(max(0.0, (mark.at - trend.begin).total_seconds()) / span, mark) for mark in sorted(marks, key=lambda mark: mark.at)]
    places = [(min(cells - 1, int(part * cells)), mark) for part, mark in at if part <= 1.0]
    row = [" "] * cells
    for place, _ in places:
        row[place] = "▲"
    told = " · ".join(dict.fromkeys(f"{clock(mark.at)} {mark.text}" for _, mark in places))
    signed = "".join(row)
    tail = signed.rstrip()
    first = len(tail) - len(tail.lstrip())
    if width - len(tail) - 1 >= len(told) or width - len(tail) >= first:
        text = f"{tail} {told}"
    else:
        text = f"{fitted(told, first - 1, signs, right=True)} {tail.lstrip()}"
    return line(" " * _NAME, (text, DIM))


def span_told(trends: Sequence[TrendView]) -> str:
    """`08:00 – 09:14`."""
    if not trends:
        return ""
    begin: datetime = trends[0].begin
    end = begin.timestamp() + trends[0].step * len(trends[0].values)
    return f"{clock(begin)} – {clock(datetime.fromtimestamp(end, begin.tzinfo))}"
