"""The live table: cursor, sort, filter, ten thousand rows, updates by cell. Used on every screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.geometry import Region

from mlconsole.core.text import neutralise
from mlconsole.tui.pane import Line, Pane, Span, fitted, line, plained
from mlconsole.tui.signs import BOLD, CURSOR, DIM, Signs

_SAMPLE = 400
"""Rows that column widths are worked out from: the visible ones and the first few hundred."""


@dataclass(frozen=True)
class Column:
    """A column: `right` aligns figures; `most` bounds its width; the first column whose `grows` is set takes what is left over;
    `keep` is how much it matters: of columns that do not fit, those with the smallest `keep` go first.
    """

    key: str
    title: str
    right: bool = False
    least: int = 0
    most: int = 60
    grows: bool = False
    keep: int = 10


@dataclass(frozen=True)
class Row:
    """A row: a stable key, cells by column (text, or text and style), and what it sorts and filters by.

    `under`: lines below it that belong to it (a reason).
    """

    key: str
    cells: Mapping[str, str | Span]
    order: tuple[Any, ...] = ()
    text: str = ""
    """What a filter looks in; else its cells."""
    style: str = ""


class LiveTable(Pane):
    """Rows under column heads. It keeps its cursor on the same key while rows come, go and change places."""

    _spare = 1
    """Columns that its cells leave free, the two blanks after the last of them counted as its own."""

    def __init__(
        self,
        columns: Sequence[Column],
        title: str = "",
        *,
        id: str | None = None,  # noqa: A002 - Textual's word
        hint: str = "",
        edges: str = "lr",
        joints: tuple[str, str] = ("l", "r"),
        heads: bool = True,
        empty: Sequence[Line] = (),
        signs: Signs | None = None,
    ) -> None:
        super().__init__(title, id=id, hint=hint, edges=edges, joints=joints, signs=signs)
        self._columns = tuple(columns)
        self._heads = heads
        self._empty = list(empty)
        self._all: list[Row] = []
        self._rows: list[Row] = []
        self._filter = ""
        self._filled = False
        """Something is known; before, an empty table does not say that there is nothing."""
        self._sort: tuple[str, Callable[[Row], Any]] | None = None
        self._cursor = 0
        self._widths: dict[str, int] = {}
        self._drawn: list[tuple[Line, str]] = []
        self._drawn_in = (0, 0)
        """The room for which `_drawn` was made."""
        self._longest: Mapping[str, int] | None = None
        """How long the cells of each column are, of the first few hundred rows; None: the rows are others since."""
        self.marked: set[str] = set()

    # Rows.

    def fill(self, rows: Sequence[Row], *, dimmed: bool = False) -> None:
        """Other rows; only the cells that differ on screen are drawn anew."""
        self._all, self._filled = list(rows), True
        redraw = dimmed != self.dimmed
        self.dimmed = dimmed
        self._arrange(redraw=redraw)

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Other columns, for other rows: what the next `fill` brings."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._widths, self._longest = {}, None

    def filter(self, text: str) -> None:
        """Only rows that have each word of `text` in them."""
        if text != self._filter:
            self._filter = text
            self._arrange()

    def sort_by(self, name: str, key: Callable[[Row], Any] | None) -> None:
        """Rows by `key`; None: as they were given."""
        self._sort = (name, key) if key else None
        self._arrange()

    @property
    def rows(self) -> Sequence[Row]:
        """The rows that are shown, in their order."""
        return self._rows

    @property
    def total(self) -> int:
        """How many there are without the filter."""
        return len(self._all)

    @property
    def cursor(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def place(self) -> int:
        """Which of the shown rows the cursor is on."""
        return self._cursor

    def go_to(self, key: str) -> bool:
        """Put the cursor on a row; whether it is there."""
        place = next((index for index, row in enumerate(self._rows) if row.key == key), None)
        if place is None:
            return False
        self._move_to(place)
        return True

    def mark(self) -> None:
        """Mark the cursor's row, or take its mark away."""
        row = self.cursor
        if row is not None:
            self.marked ^= {row.key}
            self._draw()

    def redraw(self) -> None:
        """What the rows say of themselves is another: marks, ages."""
        self._draw()

    def _arrange(self, *, redraw: bool = False) -> None:
        held = self.cursor.key if self.cursor else None
        words = self._filter.casefold().split()
        rows = [row for row in self._all if not words or all(word in _text(row) for word in words)]
        if self._sort is not None:
            rows.sort(key=self._sort[1])
        self._rows, self._longest = rows, None
        place = next((index for index, row in enumerate(rows) if row.key == held), None) if held is not None else None
        before = held
        self._cursor = place if place is not None else min(self._cursor, max(0, len(rows) - 1))
        self._keep_in_sight()
        self._draw(all_of_it=redraw)
        now = self.cursor.key if self.cursor else None
        if now is not None and now != before:
            self.post_message(self.Moved(self, now))

    # Drawing.

    @property
    def _room(self) -> int:
        return max(0, self.inner_height - (1 if self._heads else 0))

    def on_resize(self, _: events.Resize) -> None:
        """Other widths, another part in sight. Where it was drawn in its new size already, nothing is drawn twice."""
        if self._fit():
            self.refresh()

    def _fit(self) -> bool:
        """Lay the rows out for the size that there is now; whether it is another one."""
        if self._drawn_in == (self.inner_width, self._room):
            return False
        self._keep_in_sight()
        self._widths = self._measured({})
        self._drawn = self._laid_out()
        return True

    def line_at(self, place: int) -> tuple[Line, str]:
        """A line of the visible part; the cursor's stands out only where the keys are."""
        self._fit()
        spans, over = self._drawn[place] if place < len(self._drawn) else ((), "")
        return spans, over if self.has_focus else ""

    def _draw(self, *, all_of_it: bool = False) -> None:
        widths = self._measured(self._widths)
        before, self._widths, all_of_it = self._drawn, widths, all_of_it or widths != self._widths
        drawn = self._drawn = self._laid_out()
        if all_of_it:
            self.refresh()
            return
        for place in range(max(len(drawn), len(before))):
            old = before[place] if place < len(before) else ((), "")
            new = drawn[place] if place < len(drawn) else ((), "")
            if old != new:
                left, width = _changed(old, new, self.inner_width)
                self.refresh(Region(("l" in self._edges) + left, place + 1, width, 1))

    def _laid_out(self) -> list[tuple[Line, str]]:
        widths = self._widths
        drawn: list[tuple[Line, str]] = []
        if self._heads and (self._rows or not self._empty):
            drawn.append((self._head_line(widths), ""))
        if not self._rows:
            drawn += [(plained(text, self.signs), "") for text in self._nothing()]
        for index in range(self._top, min(self._top + self._room, len(self._rows))):
            drawn.append(self._row_line(index, widths))
        self._drawn_in = (self.inner_width, self._room)
        return drawn

    def _nothing(self) -> Sequence[Line]:
        if not self._filled:
            return []
        return self._empty if not self._all else [line((f"nothing fits “{self._filter}”", DIM))]

    def _lengths(self, rows: Sequence[Row]) -> Mapping[str, int]:
        plain = self.signs.plain
        return {
            column.key: max((cell_len(plain(neutralise(_span(row.cells.get(column.key, ""))[0]))) for row in rows), default=0)
            for column in self._columns
        }

    def _measured(self, least: Mapping[str, int]) -> dict[str, int]:
        """How wide each column is: as its cells want it, and no narrower than `least`, so that nothing jumps while rows go by."""
        if self._longest is None:
            self._longest = self._lengths(self._rows[:_SAMPLE])
        below = max(self._top, _SAMPLE)
        seen = self._lengths(self._rows[below : self._top + self._room])
        wanted: dict[str, int] = {}
        for column in self._columns:
            longest = max(self._longest[column.key], seen[column.key])
            wanted[column.key] = min(column.most, max(column.least, len(column.title), longest, least.get(column.key, 0)))
        room = self.inner_width - self._spare
        growing = next((column for column in self._columns if column.grows), None)
        # What does not fit: first the column that grows gives way, down to a readable rest; then columns go, the least important first.
        if growing is not None and _total(wanted) > room:
            wanted[growing.key] = max(growing.least, 8, wanted[growing.key] - (_total(wanted) - room))
        for column in sorted(self._columns, key=lambda column: column.keep):
            if _total(wanted) <= room or len(wanted) == 1:
                break
            if column.keep < 100:
                del wanted[column.key]
        if growing is not None and growing.key in wanted:
            wanted[growing.key] = max(4, wanted[growing.key] + room - _total(wanted))
        elif _total(wanted) > room:
            first = next(iter(wanted))
            wanted[first] = max(4, wanted[first] - (_total(wanted) - room))
        return wanted

    def _head_line(self, widths: Mapping[str, int]) -> Line:
        spans: list[Span] = [(" ", "")]
        for column in self._columns:
            if column.key in widths:
                spans.append((fitted(column.title, widths[column.key], self.signs, right=column.right) + "  ", DIM))
        return tuple(spans)

    def _row_line(self, index: int, widths: Mapping[str, int]) -> tuple[Line, str]:
        row = self._rows[index]
        here = index == self._cursor
        spans: list[Span] = [(self.signs.cursor if here else "*" if row.key in self.marked else " ", BOLD if here else "")]
        for column in self._columns:
            if column.key in widths:
                text, words = _span(row.cells.get(column.key, ""))
                spans.append((fitted(text, widths[column.key], self.signs, right=column.right), words or row.style))
                spans.append(("  ", ""))
        return tuple(spans), CURSOR if here else ""

    def on_focus(self) -> None:
        """The cursor's row shows who has the keys."""
        self._show_cursor()

    def on_blur(self) -> None:
        """The cursor's row shows who has the keys."""
        self._show_cursor()

    def _show_cursor(self) -> None:
        # Textual calls this before `has_focus` changes, and the pane's own handler besides: the line is worked out when it is drawn.
        place = self._cursor - self._top + self._heads
        if 0 <= place < len(self._drawn):
            self.refresh(Region(0, place + 1, self.size.width, 1))

    # The cursor.

    def move(self, by: int) -> None:
        """The cursor, so many rows down."""
        self._move_to(max(0, min(self._cursor + by, len(self._rows) - 1)))

    def move_page(self, pages: int) -> None:
        """The cursor, so many pages down."""
        self.move(pages * max(1, self._room - 1))

    def move_end(self, *, first: bool) -> None:
        """The cursor to the first or the last row."""
        self._move_to(0 if first else len(self._rows) - 1)

    def _move_to(self, place: int) -> None:
        if not self._rows or place == self._cursor:
            return
        self._cursor = place
        top = self._top
        self._keep_in_sight()
        self._draw(all_of_it=top != self._top)
        self.post_message(self.Moved(self, self._rows[place].key))

    def _keep_in_sight(self) -> None:
        room = max(1, self._room)
        self._top = max(0, min(self._top, self._cursor, max(0, len(self._rows) - room)))
        if self._cursor >= self._top + room:
            self._top = self._cursor - room + 1

    def scroll_lines(self, by: int) -> None:
        """The wheel moves the cursor: it is always in sight."""
        self.move(by)

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there; on the cursor's own row it enters."""
        place = event.y - 1 - (1 if self._heads else 0) + self._top
        if 0 <= place < len(self._rows):
            if place == self._cursor:
                self.post_message(self.Chosen(self, self._rows[place].key))
            self._move_to(place)

    def choose(self) -> None:
        """Enter the cursor's row."""
        row = self.cursor
        if row is not None:
            self.post_message(self.Chosen(self, row.key))


def _text(row: Row) -> str:
    return (row.text or " ".join(_span(cell)[0] for cell in row.cells.values())).casefold()


def _span(cell: str | Span) -> Span:
    return (cell, "") if isinstance(cell, str) else cell


def _total(widths: Mapping[str, int]) -> int:
    return sum(width + 2 for width in widths.values())


def _changed(old: tuple[Line, str], new: tuple[Line, str], width: int) -> tuple[int, int]:
    """The part of a line that differs, as (left, width) counted from inside the edge; the whole line when its shape differs.

    One part, however many cells changed: for each part Textual writes the line anew from its beginning to the end of that part.
    """
    if old[1] != new[1] or [cell_len(text) for text, _ in old[0]] != [cell_len(text) for text, _ in new[0]]:
        return 0, width + 2
    first, end, left = -1, 0, 1
    for before, after in zip(old[0], new[0], strict=True):
        right = left + cell_len(after[0])
        if before != after:
            first, end = (left if first < 0 else first), right
        left = right
    return max(0, first), end - max(0, first)
