"""Small dialogs: a text to read, one of several to choose, one line to write. All leave with `esc`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from mlconsole.tui.frame import Bar
from mlconsole.tui.pane import Line, Pane, line
from mlconsole.tui.signs import DIM
from mlconsole.tui.table import Column, LiveTable, Row

_BOX = """
{name} {{ align: center middle; background: transparent; }}
{name} > Vertical {{ width: 96%; max-width: {width}; height: {height}; background: $background; }}
"""


class TextBox(ModalScreen[None]):
    """Lines to read: logs, help, everything that is known of something. `y` copies them."""

    CSS = _BOX.format(name="TextBox", width=118, height="90%")

    def __init__(self, title: str, lines: Sequence[Line], *, end: bool = False) -> None:
        super().__init__()
        self._title, self._lines, self._end = title, list(lines), end

    def compose(self) -> ComposeResult:
        """The lines, and the keys below."""
        with Vertical():
            yield Pane(self._title, id="text", edges="lrb", joints=("tl", "tr"))
            yield Bar("dialog-keys")

    def on_mount(self) -> None:
        """Show them."""
        pane = self.query_one("#text", Pane)
        pane.show(self._lines)
        pane.focus()
        if self._end:
            self.call_after_refresh(pane.scroll_lines, len(self._lines))
        self.query_one(Bar).show(line((" ↑↓ scroll  y copy │ esc close", DIM)))

    def on_key(self, event: events.Key) -> None:
        """Scroll, copy, close."""
        pane = self.query_one("#text", Pane)
        steps = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": pane.inner_height, "pageup": -pane.inner_height}
        steps |= {"home": -len(self._lines), "end": len(self._lines), "space": pane.inner_height}
        if event.key in steps:
            pane.scroll_lines(steps[event.key])
        elif event.key in ("escape", "q", "enter", "question_mark"):
            self.dismiss(None)
        elif event.key == "y":
            text = "\n".join("".join(part for part, _ in spans) for spans in self._lines)
            self.app.copy_to_clipboard(text)
            self.query_one(Bar).show(line((" copied", DIM)))
        event.stop()


@dataclass(frozen=True)
class Option:
    """One thing to choose: its key, what it is, what it does, and why it is off."""

    key: str
    name: str
    text: str = ""
    off: str = ""


class Choice(ModalScreen[str | None]):
    """One of several; typing filters. The palette, `x`, which version."""

    CSS = _BOX.format(name="Choice", width=90, height="70%")

    def __init__(self, title: str, options: Sequence[Option], *, free: Callable[[str], str | None] | None = None) -> None:
        """`free` takes what was typed when nothing fits (a command line): what it returns is the choice."""
        super().__init__()
        self._title, self._options, self._free = title, list(options), free

    def compose(self) -> ComposeResult:
        """What is typed, and what fits it."""
        with Vertical():
            yield Input(placeholder="type to narrow, enter to choose, esc to leave", compact=True, id="typed")
            columns = (Column("name", "", most=34, keep=100), Column("text", "", grows=True, most=200, keep=50))
            yield LiveTable(columns, self._title, id="options", edges="lrb", joints=("tl", "tr"), heads=False)

    def on_mount(self) -> None:
        """Show all of them."""
        self.query_one("#options", LiveTable).fill([self._row(option) for option in self._options])
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow."""
        self.query_one("#options", LiveTable).filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Choose the cursor's row, or what was typed."""
        table = self.query_one("#options", LiveTable)
        free = self._free(event.value.strip()) if self._free and event.value.strip() else None
        if free is not None:
            self.dismiss(free)
        elif table.cursor is not None:
            self._choose(table.cursor.key)

    def on_pane_chosen(self, event: Pane.Chosen) -> None:
        """Choose by the mouse."""
        self._choose(event.key)

    def on_key(self, event: events.Key) -> None:
        """The cursor moves while one types."""
        table = self.query_one("#options", LiveTable)
        if event.key in ("down", "up"):
            table.move(1 if event.key == "down" else -1)
        elif event.key in ("pagedown", "pageup"):
            table.move_page(1 if event.key == "pagedown" else -1)
        elif event.key == "escape":
            self.dismiss(None)
        else:
            return
        event.stop()
        event.prevent_default()

    def _choose(self, key: str) -> None:
        option = next(option for option in self._options if option.key == key)
        if option.off:
            self.query_one("#options", LiveTable).head(option.off)
        else:
            self.dismiss(key)

    def _row(self, option: Option) -> Row:
        words = DIM if option.off else ""
        return Row(option.key, {"name": (option.name, words), "text": (option.off or option.text, DIM)})


class Ask(ModalScreen[str | None]):
    """One line to write; `check` says what is wrong with it, and then it stays."""

    CSS = _BOX.format(name="Ask", width=80, height="auto")

    def __init__(self, title: str, said: Sequence[Line] = (), *, value: str = "", check: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self._title, self._said, self._value, self._check = title, list(said), value, check

    def compose(self) -> ComposeResult:
        """What is asked, the line, and what is wrong with it."""
        with Vertical():
            pane = Pane(self._title, id="said", edges="lrb", joints=("tl", "tr"), focusable=False)
            pane.styles.height = len(self._said) + 2
            yield pane
            yield Input(value=self._value, compact=True, id="typed")
            yield Bar("wrong")

    def on_mount(self) -> None:
        """Ask."""
        self.query_one("#said", Pane).show(self._said)
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it, if nothing is wrong with it."""
        wrong = self._check(event.value.strip()) if self._check else ""
        if wrong:
            self.query_one("#wrong", Bar).show(line((f" {wrong}", "yellow")))
        else:
            self.dismiss(event.value.strip())

    def on_key(self, event: events.Key) -> None:
        """Leave."""
        if event.key == "escape":
            self.dismiss(None)
            event.stop()
