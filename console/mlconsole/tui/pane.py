"""A pane: a titled box of lines, drawn by itself line by line, so that a changed line costs its own bytes and nothing else.

Built on Textual's Line API (`Widget.render_line`): `DataTable` repaints all it has when one cell changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mlconsole.core.text import neutralise
from mlconsole.tui.signs import BOLD, DIM, UNICODE, Signs, current

Span = tuple[str, str]
"""A piece of text and its style (`"bold red"`, `""`)."""

Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line of texts and (text, style) pairs. Foreign text in it is made harmless here (invariant 11)."""
    return tuple((neutralise(part), "") if isinstance(part, str) else (neutralise(part[0]), part[1]) for part in parts)


def width_of(spans: Iterable[Span]) -> int:
    """How many columns a line takes."""
    return sum(cell_len(text) for text, _ in spans)


def plained(spans: Line, signs: Signs) -> Line:
    """The line in a terminal's own characters."""
    return spans if signs is UNICODE else tuple((signs.plain(text), words) for text, words in spans)


def cut(spans: Line, most: int, signs: Signs) -> Line:
    """The line in at most so many columns; one that is cut says so."""
    if width_of(spans) <= most:
        return spans
    more = signs.more[: max(0, most)]
    left = max(0, most - len(more))
    kept: list[Span] = []
    for text, words in spans:
        wide = cell_len(text)
        kept.append((text if wide <= left else set_cell_size(text, left), words))
        left -= min(left, wide)
    return (*kept, (more, ""))


def fitted(text: str, width: int, signs: Signs, *, right: bool = False) -> str:
    """A text, made harmless, in exactly so many columns."""
    text = signs.plain(neutralise(text))
    wide = cell_len(text)
    if wide > width:
        more = signs.more[:width]
        return set_cell_size(text, width - len(more)) + more
    return " " * (width - wide) + text if right else text + " " * (width - wide)


@lru_cache(maxsize=256)
def style(text: str) -> Style:
    """A style by its words."""
    return Style.parse(text) if text else Style.null()


@lru_cache(maxsize=4096)
def strip_of(spans: Line, width: int, over: str = "") -> Strip:
    """A line as Textual draws it: cut or filled to `width`; with a style laid `over` all of it, in which colours would be blocks."""
    base = style(over)
    strip = Strip([Segment(text, base + style(words).without_color if over else style(words)) for text, words in spans if text])
    return strip.adjust_cell_length(width, base if over else None)


class Pane(Widget, can_focus=True):
    """A box of lines with a title in its upper edge, what belongs at the right of that edge, and a cursor where lines can be chosen.

    A pane draws its own edges, so that neighbours share them: `edges` says which of `l`, `r`, `b` it draws, and `joints` which corner
    signs stand at the ends of its upper edge.
    """

    DEFAULT_CSS = "Pane { height: 1fr; width: 1fr; }"

    class Chosen(Message):
        """The cursor's line was entered (`enter`, or a click on it)."""

        def __init__(self, pane: Pane, key: str) -> None:
            super().__init__()
            self.pane, self.key = pane, key

    class Moved(Message):
        """The cursor is on another line."""

        def __init__(self, pane: Pane, key: str) -> None:
            super().__init__()
            self.pane, self.key = pane, key

        def can_replace(self, message: Message) -> bool:
            """Only the newest place of a cursor is of interest."""
            return isinstance(message, Pane.Moved) and message.pane is self.pane

    def __init__(
        self,
        title: str = "",
        *,
        id: str | None = None,  # noqa: A002 - Textual's word
        hint: str = "",
        edges: str = "lr",
        joints: tuple[str, str] = ("l", "r"),
        focusable: bool = True,
        signs: Signs | None = None,
    ) -> None:
        super().__init__(id=id)
        self.can_focus = focusable
        self.signs = signs or current()
        self._title: Line = plained(line((title, BOLD)), self.signs)
        self._hint = hint
        self._edges, self._joints = edges, joints
        self._lines: list[Line] = []
        self._top = 0
        self.dimmed = False
        self.rule_style = ""
        self._ends: int | None = None

    # What is shown.

    def head(self, title: Line | str, hint: str = "") -> None:
        """Another title and hint; drawn anew only when they differ."""
        spans = plained(line((title, BOLD)) if isinstance(title, str) else title, self.signs)
        if (spans, hint) != (self._title, self._hint):
            self._title, self._hint = spans, hint
            self.refresh(Region(0, 0, self.size.width, 1))

    def edged(self, edges: str, joints: tuple[str, str], *, ends: int | None = None) -> None:
        """Other edges, where another layout has other neighbours; at column `ends` of the upper edge a line from above comes to its end."""
        if (edges, joints, ends) != (self._edges, self._joints, self._ends):
            self._edges, self._joints, self._ends = edges, joints, ends
            self.refresh()

    def show(self, lines: Sequence[Line], *, dimmed: bool = False) -> None:
        """Other lines; only those that differ are drawn anew."""
        before, self._lines = self._lines, [plained(each, self.signs) for each in lines]
        if dimmed != self.dimmed:
            self.dimmed = dimmed
            self.refresh()
            return
        height = self.inner_height
        self._top = max(0, min(self._top, len(self._lines) - height))
        for place in range(height):
            index = self._top + place
            old = before[index] if index < len(before) else ()
            new = self._lines[index] if index < len(self._lines) else ()
            if old != new:
                self.refresh(Region(0, place + 1, self.size.width, 1))

    @property
    def inner_height(self) -> int:
        """Lines between the edges."""
        return max(0, self.size.height - 1 - ("b" in self._edges))

    @property
    def inner_width(self) -> int:
        """Columns between the edges, without the blank beside each."""
        return max(0, self.size.width - ("l" in self._edges) - ("r" in self._edges) - 2)

    def line_at(self, place: int) -> tuple[Line, str]:
        """The line at a place of the visible part, and a style laid over it."""
        index = self._top + place
        return (cut(self._lines[index], self.inner_width, self.signs) if index < len(self._lines) else ()), ""

    def scroll_lines(self, by: int) -> None:
        """Move the visible part."""
        top = max(0, min(self._top + by, len(self._lines) - self.inner_height))
        if top != self._top:
            self._top = top
            self.refresh()

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        if y == 0:
            return self._rule()
        if "b" in self._edges and y == self.size.height - 1:
            corners, across = self.signs.corners, self.signs.across
            left = corners["b" if self._joints[0] == "t" else "bl"]  # its left edge may be a neighbour's right one
            right = corners["br"] if "r" in self._edges else across
            return strip_of(((left + across * (self.size.width - 2) + right, self._edge_style),), self.size.width)
        spans, over = self.line_at(y - 1)
        return self._framed(spans, over)

    @property
    def _edge_style(self) -> str:
        return self.rule_style or DIM

    def _framed(self, spans: Line, over: str) -> Strip:
        left = strip_of(((self.signs.down, self._edge_style),), 1) if "l" in self._edges else Strip.blank(0)
        right = strip_of(((self.signs.down, self._edge_style),), 1) if "r" in self._edges else Strip.blank(0)
        middle = strip_of((("" if over else " ", ""), *spans) if not over else ((" ", ""), *spans), self.inner_width + 2, over)
        if self.dimmed:
            middle = strip_of(tuple((text, DIM) for text, _ in ((" ", ""), *spans)), self.inner_width + 2)
        return Strip.join([left, middle, right])

    def _rule(self) -> Strip:
        across, corners = self.signs.across, self.signs.corners
        width = self.size.width
        left = corners[self._joints[0]] if self._joints[0] else ""
        right = corners[self._joints[1]] if self._joints[1] else ""
        most = width - len(left) - len(right)
        title: Line = cut(((" ", ""), *self._title, (" ", "")), most, self.signs) if width_of(self._title) else ()
        hint = self.signs.plain(f" {self._hint} ") if self._hint else ""
        room = most - width_of(title)
        if len(hint) > room - 1:
            hint = ""
        fill = across * max(0, room - len(hint) - (1 if hint else 0))
        begin = len(left) + width_of(title)
        if self._ends is not None and 0 <= self._ends - begin < len(fill):
            fill = fill[: self._ends - begin] + corners["b"] + fill[self._ends - begin + 1 :]
        tail = across if hint else ""
        edge = self._edge_style
        focused = self.has_focus and self.can_focus
        spans: Line = (
            (left, edge),
            *(tuple((text, f"{words} reverse".strip()) if focused and text.strip() else (text, words) for text, words in title)),
            (fill, edge),
            (hint, DIM),
            (tail + right, edge),
        )
        return strip_of(spans, width)

    def on_focus(self) -> None:
        """The title says who has the keys."""
        self.refresh(Region(0, 0, self.size.width, 1))

    def on_blur(self) -> None:
        """The title says who has the keys."""
        self.refresh(Region(0, 0, self.size.width, 1))

    def on_mouse_scroll_down(self) -> None:
        """The wheel."""
        self.scroll_lines(3)

    def on_mouse_scroll_up(self) -> None:
        """The wheel."""
        self.scroll_lines(-3)


class Under(Pane):
    """Lines that belong to the box above: no edge of their own over them."""

    def show(self, lines: Sequence[Line], *, dimmed: bool = False) -> None:
        """Other lines; drawn when they differ."""
        del dimmed
        shown = [plained(each, self.signs) for each in lines]
        if shown != self._lines:
            self._lines = shown
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """A line, beginning at the first row."""
        return self._framed(cut(self._lines[y], self.inner_width, self.signs) if y < len(self._lines) else (), "")
