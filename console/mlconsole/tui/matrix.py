"""A live table whose cursor stands on one cell: moved by arrows in both directions. What does not fit below says how much it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events

from mlconsole.tui.pane import Line, line, plained
from mlconsole.tui.signs import BOLD, CURSOR, DIM
from mlconsole.tui.table import LiveTable


class Matrix(LiveTable):
    """Rows with cells that can be chosen: those of the columns in `cells`."""

    _spare = -1  # blanks after the last column are none: a cell more may fit

    def __init__(self, *args: Any, cells: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cells = cells
        self._cell = cells[-1]
        self.changed: frozenset[str] = frozenset()
        """The keys of the rows that are told of where they are out of sight."""

    @property
    def cell(self) -> str:
        """The column that the cursor is in: one that is shown."""
        there = self._shown_cells()
        return self._cell if self._cell in there or not there else there[-1]

    def _shown_cells(self) -> list[str]:
        return [column.key for column in self._columns if column.key in self._cells and (not self._widths or column.key in self._widths)]

    def nothing(self, lines: Sequence[Line]) -> None:
        """What is said where there is no row at all."""
        if list(lines) != self._empty:
            self._empty = list(lines)
            self.redraw()

    def go_to_cell(self, row: str, column: str) -> None:
        """Put the cursor on a cell."""
        self._cell = column if column in self._cells else self._cell
        self.go_to(row)
        self.redraw()

    def move_cell(self, by: int) -> None:
        """The cursor, so many cells to the right; at the ends it stays."""
        there = self._shown_cells()
        if there:
            self._cell = there[max(0, min(len(there) - 1, there.index(self.cell) + by))]
            self.redraw()
            if self.cursor is not None:
                self.post_message(self.Moved(self, self.cursor.key))

    def on_click(self, event: events.Click) -> None:
        """A click chooses the cell under the mouse; on the cursor's own cell it enters, as in any table."""
        left = ("l" in self._edges) + 2
        for column, width in self._widths.items():
            if column in self._cells and left <= event.x < left + width and column != self.cell:
                self._cell = column
                self.redraw()
                if event.y - 1 - self._heads + self._top == self._cursor:
                    event.prevent_default()
            left += width + 2

    # Drawing.

    @property
    def _room(self) -> int:
        """Rows in sight: one less where the last line tells of the others."""
        room = super()._room
        return room - 1 if len(self._rows) > room > 1 else room

    def _laid_out(self) -> list[tuple[Line, str]]:
        drawn = super()._laid_out()
        out_of_sight = [*self._rows[: self._top], *self._rows[self._top + self._room :]]
        if out_of_sight and self._rows:
            changed = sum(1 for row in out_of_sight if row.key in self.changed)
            above = f", {self._top} of them above" if self._top else ""
            told = f"{changed} of them changed" if changed else "none changed"
            drawn.append((plained(line((f"  … {len(out_of_sight)} more{above}, {told}", DIM)), self.signs), ""))
        return drawn

    def _row_line(self, index: int, widths: Any) -> tuple[Line, str]:
        spans, over = super()._row_line(index, widths)
        if not over:
            return spans, over
        # Of the cursor's row only the cell is reversed; where the keys are elsewhere it is told by the sign before the row alone.
        place = 1 + 2 * list(widths).index(self.cell) if self.cell in widths else -1
        return tuple((text, f"{words}\0" if each == place else words) for each, (text, words) in enumerate(spans)), ""

    def line_at(self, place: int) -> tuple[Line, str]:
        """A line of the visible part; the cursor's cell stands out only where the keys are."""
        spans, _ = super().line_at(place)
        own = CURSOR if self.has_focus else BOLD
        return tuple((text, f"{words[:-1]} {own}".strip() if words.endswith("\0") else words) for text, words in spans), ""
