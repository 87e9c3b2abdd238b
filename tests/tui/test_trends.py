"""Trends, and how the lines of a screen are shared out: pure rules, over whatever comes."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as some

from mlconsole.engine.views import MarkView, TrendView
from mlconsole.tui.figures import count, figure, moment, score, share
from mlconsole.tui.layout import Box, shared_out
from mlconsole.tui.pane import line, plained, width_of
from mlconsole.tui.signs import ASCII, UNICODE
from mlconsole.tui.trends import LEVELS, _differing, sampled, trend_lines
from tui.health_kit import MARKS, NOW, trends

VALUES = some.lists(some.none() | some.floats(0, 1), max_size=300)


@given(VALUES, some.integers(1, 120))
def test_each_cell_has_the_largest_of_its_values_and_a_gap_where_there_was_none(values: list[float | None], cells: int) -> None:
    found = sampled(values, cells)
    assert len(found) == cells
    known = [value for value in values if value is not None]
    if not known:
        assert found == [None] * cells
    elif len(values) >= cells:
        assert max(value for value in found if value is not None) == max(known)
    assert set(found) <= {*values, None}


@given(VALUES, some.integers(40, 140), some.integers(1, 8), some.sampled_from(["%", "ms", "", "x"]))
def test_no_row_is_wider_than_its_pane_and_what_is_not_there_is_never_low(
    values: list[float | None], width: int, room: int, unit: str
) -> None:
    one = TrendView("same output", unit, NOW, 60.0, tuple(values), 0.03)
    lines = trend_lines([one] * 4, MARKS, width, room, UNICODE)
    assert len(lines) <= room
    assert all(width_of(spans) <= width for spans in lines if "▲" not in "".join(text for text, _ in spans))
    if not any(value is not None for value in values):
        assert not any(level in text for spans in lines for text, _ in spans for level in LEVELS)
        assert "?" in "".join(text for text, _ in lines[0])


@given(some.integers(0, 90))
def test_a_mark_stands_below_its_moment(minutes: int) -> None:
    first = trends()[0]
    mark = MarkView(first.begin + timedelta(minutes=minutes), "change", "deploy #4")
    told = "".join(text for text, _ in trend_lines([first], [mark], 100, 2, UNICODE)[-1])
    if minutes < 74:
        assert "deploy #4" in told
        row = "".join(text for text, _ in trend_lines([first], (), 100, 2, UNICODE)[0])
        cells = sum(1 for char in row if char in LEVELS)
        assert told.index("▲") == 15 + int(minutes / 74 * cells)


@given(some.text(max_size=30), some.text(max_size=30))
def test_what_is_drawn_anew_is_what_differs(old: str, new: str) -> None:
    first, size = _differing(line(old), line(new))
    before, after = (line(text)[0][0] for text in (old, new))
    assert (size == 0) == (before.rstrip(" ") == after.rstrip(" "))
    if before.isascii() and after.isascii():
        assert before[:first] == after[:first]
        assert before[first + size :].strip() == after[first + size :].strip()


def test_blocks_have_ascii_of_their_own() -> None:
    assert plained(((LEVELS, ""),), ASCII) == (("_,-=+*%#", ""),)


@given(some.integers(0, 60), some.lists(some.tuples(some.integers(1, 9), some.integers(0, 20), some.integers(0, 9)), max_size=8))
def test_lines_are_shared_out_and_none_is_lost(room: int, wanted: list[tuple[int, int, int]]) -> None:
    boxes = [Box(str(place), least, most, rank) for place, (least, most, rank) in enumerate(wanted)]
    given_out = shared_out(room, boxes)
    assert sum(given_out.values()) == (room if given_out else 0)
    for box in boxes:
        if box.name in given_out:
            assert given_out[box.name] >= min(box.least, box.most) > 0
        else:
            assert box.most == 0 or room - sum(given_out.values()) < box.least


def test_figures_are_told_as_people_read_them() -> None:
    assert [share(value) for value in (None, 0.0, 0.002, 0.03, 0.514, 0.997, 0.9999, 0.0001, 1.0)] == [
        *("?", "0 %", "0.2 %", "3 %", "51 %", "99.7 %", "> 99.9 %", "< 0.1 %", "100 %")
    ]
    assert (count(1_214_883), count(0.5), figure(31.4, "ms"), figure(None, "ms")) == ("1 214 883", "0.5", "31 ms", "?")
    assert [score(value) for value in (0.73, 1.0, 0.0, None)] == [".73", "1.00", "0.00", "?"]
    assert moment(NOW, NOW) == "09:14"
    assert moment(NOW - timedelta(days=30), NOW)[0].isdigit()
    assert moment(None, NOW) == ""
