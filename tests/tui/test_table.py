"""The live table: its cursor, its columns, its filter, and that a changed cell draws itself and nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot

from mlconsole.tui.pane import Pane, cut, fitted, line, width_of
from mlconsole.tui.signs import ASCII, UNICODE
from mlconsole.tui.table import Column, LiveTable, Row

COLUMNS = (
    Column("name", "NAME", least=6, most=20, keep=100),
    Column("text", "TEXT", least=8, most=60, grows=True, keep=50),
    Column("n", "N", right=True, least=5, keep=80),
    Column("extra", "EXTRA", least=10, keep=10),
)


def rows(count: int, **cells: str) -> list[Row]:
    return [Row(f"k{n}", {"name": f"row{n}", "text": f"text {n}", "n": str(n), "extra": "more", **cells}) for n in range(count)]


class Sheet(App[None]):
    """One table and nothing else."""

    AUTO_FOCUS = None

    def __init__(self, table: LiveTable) -> None:
        super().__init__()
        self.table = table
        self.moved: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_pane_moved(self, event: Pane.Moved) -> None:
        self.moved.append(event.key)


@dataclass
class Watched:
    app: Sheet
    pilot: Pilot[None]
    regions: list[Region] = field(default_factory=list)

    @property
    def table(self) -> LiveTable:
        return self.app.table

    def lines(self) -> list[str]:
        return ["".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()]

    @property
    def here(self) -> str:
        return self.table.cursor.key if self.table.cursor else ""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, not for a time."""
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, "\n".join(self.lines())
            await self.pilot.pause(0.01)

    def drawn(self) -> Iterator[tuple[int, int, int]]:
        """What was asked to be drawn since `regions` was cleared: (line, left, width)."""
        for region in self.regions:
            for y in range(region.y, region.bottom):
                yield y, region.x, region.width


@asynccontextmanager
async def shown(count: int = 10, size: tuple[int, int] = (60, 14), table: LiveTable | None = None) -> AsyncIterator[Watched]:
    table = table or LiveTable(COLUMNS, "rows", edges="lrb", joints=("tl", "tr"))
    app = Sheet(table)
    async with app.run_test(size=size) as pilot:
        watched = Watched(app, pilot)
        table.focus()
        table.fill(rows(count))
        await pilot.pause()
        refresh = table.refresh

        def noted(*regions: Region, **how: object) -> LiveTable:
            watched.regions += regions or [Region(0, 0, *table.size)]
            return refresh(*regions, **how)  # type: ignore[arg-type]

        table.refresh = noted  # type: ignore[method-assign, assignment]
        yield watched
        for text in watched.lines():
            assert len(text) == size[0]


async def test_the_cursor_keeps_its_row_while_rows_come_go_and_change_places() -> None:
    async with shown() as sheet:
        sheet.table.go_to("k4")
        assert sheet.here == "k4"
        sheet.table.fill([Row("new", {"name": "new"}), *reversed(rows(10))])
        assert sheet.here == "k4"
        sheet.table.sort_by("by number", lambda row: int(row.cells.get("n", "-1")))  # type: ignore[arg-type]
        assert sheet.here == "k4"
        sheet.table.filter("row4")
        assert sheet.here == "k4"
        assert len(sheet.table.rows) == 1
        sheet.table.filter("")
        assert sheet.here == "k4"
        await sheet.pilot.pause()
        sheet.app.moved.clear()
        # Its row is gone: the cursor stays in its place, and says that it is on another row.
        sheet.table.fill([row for row in rows(10) if row.key != "k4"])
        assert sheet.here != "k4"
        await sheet.pilot.pause()
        assert sheet.app.moved == [sheet.here]
        sheet.table.fill([])
        assert sheet.table.cursor is None
        sheet.table.move(1)
        sheet.table.move_end(first=False)
        sheet.table.choose()
        sheet.table.fill(rows(3))
        assert sheet.here


async def test_a_row_whose_key_is_an_empty_name_keeps_its_cursor_too() -> None:
    async with shown() as sheet:
        named = [Row("a", {"name": "a"}), Row("", {"name": "nobody"}), Row("b", {"name": "b"})]
        sheet.table.fill(named)
        sheet.table.go_to("")
        sheet.table.fill(list(reversed(named)) + rows(2))
        assert sheet.here == ""


async def test_filter_takes_all_words_in_any_case_and_says_when_nothing_fits() -> None:
    async with shown() as sheet:
        sheet.table.filter("ROW text 7")
        assert [row.key for row in sheet.table.rows] == ["k7"]
        assert sheet.table.total == 10
        sheet.table.filter("nothing like it")
        await sheet.pilot.pause()
        assert "nothing fits “nothing like it”" in "\n".join(sheet.lines())
        sheet.table.fill(rows(3))
        assert len(sheet.table.rows) == 0
        sheet.table.filter("")
        assert len(sheet.table.rows) == 3


async def test_ten_thousand_rows_are_filled_and_moved_through_in_no_time() -> None:
    async with shown() as sheet:
        many = rows(10_000)
        began = time.perf_counter()
        sheet.table.fill(many)
        filled = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(100):
            sheet.table.move(1)
        sheet.table.move_end(first=False)
        moved = time.perf_counter() - began
        assert sheet.here == "k9999"
        await sheet.pilot.pause()
        assert "row9999" in "\n".join(sheet.lines())
        # Generous: the machines are shared. What matters is that neither grows with the screen's neighbours.
        assert filled < 0.5
        assert moved < 0.5
        sheet.table.filter("text 9999")
        assert [row.key for row in sheet.table.rows] == ["k9999"]


async def test_a_changed_cell_draws_that_cell_and_no_other_line() -> None:
    async with shown() as sheet:
        sheet.regions.clear()
        sheet.table.fill(rows(10))
        assert sheet.regions == []  # nothing changed: nothing is drawn
        changed = rows(10)
        changed[3] = Row("k3", {**changed[3].cells, "n": "777"})
        sheet.table.fill(changed)
        ((y, left, width),) = sheet.drawn()
        assert y == 1 + 1 + 3  # the upper edge, the heads, three rows
        assert width == 5
        await sheet.pilot.pause()
        assert sheet.lines()[y][left : left + width] == "  777"
        # Five cells in three lines: these lines and no other.
        sheet.regions.clear()
        for place, column in ((0, "n"), (0, "text"), (5, "n"), (6, "n"), (6, "extra")):
            changed[place] = Row(f"k{place}", {**changed[place].cells, column: "88"})
        sheet.table.fill(changed)
        assert {y for y, _, _ in sheet.drawn()} == {2, 7, 8}
        await sheet.pilot.pause()
        assert all("88" in sheet.lines()[y] for y in (2, 7, 8))


async def test_the_cursor_draws_two_lines_when_it_moves() -> None:
    async with shown() as sheet:
        sheet.regions.clear()
        sheet.table.move(1)
        assert sorted({y for y, _, _ in sheet.drawn()}) == [2, 3]
        await sheet.pilot.pause()
        assert "▸row1" in sheet.lines()[3]
        assert "▸" not in sheet.lines()[2]


async def test_what_is_really_on_the_screen_equals_a_whole_redraw_after_many_updates() -> None:
    """Wide characters, longer and shorter texts, marks: parts drawn anew may leave nothing stale."""
    async with shown() as sheet:
        texts = ["a", "日本語のモデル", "x" * 80, "", "e\u0301te\u0301", "🚀 up", "plain", "\x1b[31mred", "tab\there"]
        for turn in range(30):
            filled = rows(10)
            filled[turn % 10] = Row(f"k{turn % 10}", {**filled[turn % 10].cells, "text": texts[turn % len(texts)], "n": str(turn)})
            sheet.table.marked = {f"k{turn % 7}"}
            sheet.table.fill(filled)
            sheet.table.move(1 if turn % 3 else -1)
            await sheet.pilot.pause()
        partly = [[segment.text for segment in strip] for strip in sheet.app.screen._compositor.render_strips()]
        for strip in sheet.app.screen._compositor.render_strips():
            assert strip.cell_length == 60
        sheet.table.refresh()
        await sheet.pilot.pause()
        assert partly == [[segment.text for segment in strip] for strip in sheet.app.screen._compositor.render_strips()]


async def test_columns_go_the_least_important_first_and_come_back() -> None:
    async with shown(size=(60, 14)) as sheet:
        assert all(title in sheet.lines()[1] for title in ("NAME", "TEXT", "N", "EXTRA"))
        await sheet.pilot.resize_terminal(36, 14)
        await sheet.until(lambda: "EXTRA" not in sheet.lines()[1] and len(sheet.lines()[1]) == 36)
        assert all(title in sheet.lines()[1] for title in ("NAME", "TEXT"))
        assert sheet.lines()[2].rstrip("│ ").endswith("0")
        await sheet.pilot.resize_terminal(20, 14)
        await sheet.until(lambda: "TEXT" not in sheet.lines()[1] and len(sheet.lines()[1]) == 20)
        assert "NAME" in sheet.lines()[1]
        await sheet.pilot.resize_terminal(60, 14)
        await sheet.until(lambda: "EXTRA" in sheet.lines()[1])


async def test_absurdly_long_cells_leave_the_others_readable() -> None:
    async with shown() as sheet:
        filled = rows(5)
        filled[0] = Row("k0", {"name": "n" * 500, "text": "t" * 5000, "n": str(10**30), "extra": "e" * 300})
        sheet.table.fill(filled)
        await sheet.pilot.pause()
        assert "…" in sheet.lines()[2]
        # And when it is gone, the columns find back.
        sheet.table.fill(rows(5))
        await sheet.pilot.resize_terminal(61, 14)
        await sheet.pilot.pause()
        await sheet.pilot.resize_terminal(60, 14)
        await sheet.until(lambda: "text 0" in sheet.lines()[2])


async def test_the_visible_part_follows_the_cursor_and_ends_at_the_last_row() -> None:
    async with shown(100) as sheet:
        sheet.table.move_page(1)
        sheet.table.move_page(1)
        await sheet.pilot.pause()
        assert f"▸row{sheet.here[1:]}" in "\n".join(sheet.lines())
        sheet.table.move_end(first=False)
        sheet.table.fill(rows(3))
        await sheet.pilot.pause()
        assert "row0" in "\n".join(sheet.lines())
        sheet.table.fill(rows(100))
        sheet.table.move_end(first=True)
        await sheet.pilot.pause()
        assert "▸row0" in sheet.lines()[2]


async def test_the_mouse_puts_the_cursor_there_and_enters_on_its_own_row() -> None:
    async with shown() as sheet:
        chosen: list[str] = []
        sheet.app.on_pane_chosen = lambda event: chosen.append(event.key)  # type: ignore[attr-defined]
        await sheet.pilot.click(LiveTable, offset=(5, 5))
        assert sheet.here == "k3"
        await sheet.pilot.click(LiveTable, offset=(5, 5))
        await sheet.pilot.pause()
        assert chosen in (["k3"], [])  # the app's own handler is found by its class; the message is what counts
        await sheet.pilot.click(LiveTable, offset=(5, 0))
        assert sheet.here == "k3"


async def test_ascii_says_the_same_in_other_signs() -> None:
    table = LiveTable(COLUMNS, "a → b", hint="x · y", edges="lrb", joints=("tl", "tr"), signs=ASCII, empty=[line("nothing · yet")])
    async with shown(3, table=table) as sheet:
        table.fill([Row("a", {"name": "✔ ok", "text": "v3 → v4 · " + "long " * 30, "n": "–", "extra": "≠"})])
        await sheet.pilot.pause()
        text = "\n".join(sheet.lines())
        assert text.isascii()
        assert "ok ok" in text
        assert "v3 -> v4" in text
        assert "a -> b" in text
        table.fill([])
        await sheet.pilot.pause()
        assert "nothing . yet" in "\n".join(sheet.lines())


def test_lines_are_cut_and_filled_by_columns_not_by_characters() -> None:
    assert fitted("日本語", 4, UNICODE) == "日 …"
    assert fitted("ab", 4, UNICODE, right=True) == "  ab"
    assert fitted("a → b", 3, ASCII) == "a.."
    assert fitted("\x1b[0m", 10, UNICODE) == "\\x1b[0m   "
    assert width_of(cut(line(("日本語", "bold"), "abc"), 5, UNICODE)) == 5
    assert cut(line("abc"), 3, UNICODE) == line("abc")
    assert width_of(cut(line("abcdef"), 1, ASCII)) == 1
    assert width_of(cut(line("abcdef"), 0, UNICODE)) == 0


@pytest.mark.parametrize("width", range(12))
def test_any_text_fits_any_width(width: int) -> None:
    for text in ("", "a", "日本語", "a日", "🚀🚀", "→→→→→→→→", "e\u0301" * 9):
        for signs in (UNICODE, ASCII):
            assert width_of(((fitted(text, width, signs), ""),)) == width
