"""Sliders: a live table whose rows have a bar that is moved by keys, or by the mouse. It knows shares, and nothing of traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual import events
from textual.message import Message
from textual.strip import Strip

from mlconsole.core.traffic import WHOLE
from mlconsole.tui.pane import Line, Span, cut, plained
from mlconsole.tui.signs import CURSOR, CYAN, DIM, YELLOW, Signs
from mlconsole.tui.table import LiveTable, Row

BAR = "bar"
"""The key of the column that the bar is drawn in."""


@dataclass(frozen=True)
class Level:
    """Where a slider stands, live and staged (bp). A stable one is dim; one that `moves` can be set by the mouse."""

    live: int
    staged: int
    stable: bool = False
    moves: bool = True


def bar(level: Level, width: int, signs: Signs) -> list[Span]:
    """A bar of `width` characters in half steps: live in cyan, what is staged above it or taken from it in yellow, the rest dim."""
    low, high = sorted((_halves(level.live, width), _halves(level.staged, width)))
    gains = level.staged > level.live
    solid = DIM if level.stable else CYAN
    spans: list[Span] = []
    for place in range(width):
        below, above = (min(2, max(0, end - 2 * place)) for end in (low, high))
        char = (signs.empty, signs.half, signs.full)[above if gains else below]
        words = solid if below and (below == above or not gains) else YELLOW if above else DIM
        if spans and spans[-1][1] == words:
            spans[-1] = (spans[-1][0] + char, words)
        else:
            spans.append((char, words))
    return spans


def _halves(share: int, width: int) -> int:
    """A share in half characters. Little is never drawn as nothing, and not quite all never as all."""
    if share in (0, WHOLE):
        return 2 * width if share else 0
    return max(1, min(2 * width - 1, round(share * 2 * width / WHOLE)))


class Sliders(LiveTable):
    """A live table with a slider in each row that has a `Level`."""

    class Slid(Message):
        """The mouse put a slider somewhere; `share` is in basis points, whole percents."""

        def __init__(self, pane: Sliders, key: str, share: int) -> None:
            super().__init__()
            self.pane, self.key, self.share = pane, key, share

        def can_replace(self, message: Message) -> bool:
            """Only the newest place of the mouse is of interest."""
            return isinstance(message, Sliders.Slid) and message.pane is self.pane and message.key == self.key

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._levels: dict[str, Level] = {}
        self._dragged = ""
        self._was_dragged = False
        self._lead: Line = ()

    def lead(self, told: Line) -> None:
        """Another line in place of the upper edge: the sliders belong to the box above. An empty one: their own edge."""
        told = plained(told, self.signs)
        if told != self._lead:
            self._lead = told
            self.refresh()

    def _rule(self) -> Strip:
        return self._framed(cut(self._lead, self.inner_width, self.signs), "") if self._lead else super()._rule()

    def set_levels(self, rows: Sequence[tuple[Row, Level | None]], *, dimmed: bool = False) -> None:
        """Other rows and other places of their sliders."""
        self._levels = {row.key: level for row, level in rows if level is not None}
        self.fill([row for row, _ in rows], dimmed=dimmed)

    def _row_line(self, index: int, widths: Any) -> tuple[Line, str]:
        spans, over = super()._row_line(index, widths)
        place = list(widths).index(BAR) if BAR in widths else -1
        level = self._levels.get(self._rows[index].key)
        drawn = bar(level, widths[BAR], self.signs) if level is not None and place >= 0 else None
        if not over and drawn is None:
            return spans, over
        # The cursor's row is reversed but for its bar: reversed, full would be drawn as empty.
        before, inside, after = (spans[: 1 + 2 * place], [spans[1 + 2 * place]], spans[2 + 2 * place :]) if place >= 0 else (spans, [], ())
        if over:
            before, after = _reversed(before), _reversed(after)
        return (*before, *(drawn or inside), *after), ""

    # The mouse.

    def _on_bar(self, x: int, y: int) -> tuple[int, int] | None:
        """The row under the mouse and the share that its place on the bar means."""
        index = y - 1 - (1 if self._heads else 0) + self._top
        if not 0 <= index < len(self._rows) or BAR not in self._widths:
            return None
        if not self._bar_left <= x < self._bar_left + self._widths[BAR]:
            return None
        level = self._levels.get(self._rows[index].key)
        return (index, self._share_at(x)) if level is not None and level.moves else None

    @property
    def _bar_left(self) -> int:
        before = list(self._widths)[: list(self._widths).index(BAR)]
        return ("l" in self._edges) + 2 + sum(self._widths[name] + 2 for name in before)

    def _share_at(self, x: int) -> int:
        cells = max(1, self._widths[BAR] - 1)
        return max(0, min(100, round(100 * (x - self._bar_left) / cells))) * 100

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of a slider."""
        self._was_dragged = False
        found = self._on_bar(event.x, event.y)
        if found is not None:
            index, share = found
            self._move_to(index)
            self._dragged, self._was_dragged = self._rows[index].key, True
            self.capture_mouse()
            self.post_message(self.Slid(self, self._dragged, share))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag it, wherever the mouse is."""
        if self._dragged and BAR in self._widths:
            self.post_message(self.Slid(self, self._dragged, self._share_at(event.x)))

    def on_mouse_up(self) -> None:
        """Let it go."""
        if self._dragged:
            self._dragged = ""
            self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """The end of a drag is no click on the row."""
        if self._was_dragged:
            self._was_dragged = False
            event.prevent_default()


def _reversed(spans: Line) -> Line:
    return tuple((text, f"{words} {CURSOR}".strip()) for text, words in spans)
