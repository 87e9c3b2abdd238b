"""The box before anything that goes forward: what would be done, and a person's word for it. Cancel has the focus."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from mlconsole.tui.frame import Bar
from mlconsole.tui.pane import Line, Pane, Span, line
from mlconsole.tui.signs import DIM, YELLOW, Signs

_START, _GLASS = 1, 2
_WIDE = 80

GLASS = "\0glass"
"""What a box is left with when a person wants it planned again with a reason that overrules what stops it: no name is written so."""


class ConfirmBox(ModalScreen[str | None]):
    """Shows what would be done and takes a person's word for it: the name that it wants typed, or `""` for yes; `GLASS`: with a reason;
    None: cancelled.
    """

    DEFAULT_CSS = """
    ConfirmBox { align: center middle; background: transparent; }
    ConfirmBox > Vertical { width: 100%; max-width: 100; height: auto; max-height: 100%; background: $background; }
    ConfirmBox Input { border: none; height: 1; padding: 0 2; }
    """

    command_told: ClassVar[str] = "the command that does the same"

    def __init__(self, signs: Signs, *, confirm: str | None, yes: str, glass: str = "") -> None:
        """`confirm`: the name that has to be typed; None: `y` does it, which `yes` says (`y go back`). `glass`: what a reason would
        overrule; then `b`, or the third answer, asks for one.
        """
        super().__init__()
        self.glass = glass
        self.confirm, self._yes, self._signs = confirm, yes, signs
        self._ready = False
        self._on = 0
        """The answer that enter gives: Cancel, Start, Break glass."""
        self._told = ""

    def compose(self) -> ComposeResult:
        """The plan, what has to be said, and the two ways out."""
        with Vertical():
            yield Pane("", id="plan", edges="lrb", joints=("tl", "tr"), focusable=False, signs=self._signs)
            if self.confirm is not None:
                yield Input(placeholder=f"type {self.wanted}", compact=True, id="typed")
            yield Bar("answers")

    def on_mount(self) -> None:
        """Show it."""
        pane = self.query_one("#plan", Pane)
        pane.rule_style = YELLOW
        self._lay_out()
        if self.confirm is not None:
            self.query_one(Input).focus()

    def on_resize(self) -> None:
        """Wrap the plan to the new width."""
        self._lay_out()

    def _lay_out(self) -> None:
        width = min(100, self.size.width) - 4
        lines = self.told(width)
        pane = self.query_one("#plan", Pane)
        # What has to be said and the two ways out stay in sight, however small the screen is.
        room = self.size.height - (2 if self.confirm is not None else 1)
        pane.styles.height = min(len(lines) + 2, max(4, room))
        pane.head(*self.heading(width))
        pane.show(lines)
        self._answers(self._told)

    def on_key(self, event: events.Key) -> None:
        """y goes (where no name is wanted), esc leaves; tab and the arrows move between Cancel and Start."""
        typing = self.confirm is not None and self.query_one(Input).has_focus
        if event.key == "escape":
            self.dismiss(None)
        elif event.key in ("tab", "shift+tab") or (event.key in ("left", "right") and not typing):
            self._on = (self._on + (1 if event.key in ("tab", "right") else -1)) % (3 if self.glass else 2)
            self._answers()
        elif event.key in ("down", "up", "pagedown", "pageup"):
            self.query_one("#plan", Pane).scroll_lines(1 if event.key in ("down", "pagedown") else -1)
        elif event.key == "enter" and not typing:
            self._entered()
        elif typing:
            return
        elif event.key == "y" and self.confirm is None:
            self._finish(start=True)
        elif event.key == "b" and self.glass:
            self.dismiss(GLASS)
        elif event.key == "c":
            self.app.copy_to_clipboard(self.command())
            self._answers(f"copied: {self.command_told}")
        elif event.is_printable:
            self.dismiss(None)  # anything else: cancel
        else:
            return
        event.stop()
        event.prevent_default()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The name turns green when it matches."""
        self._ready = event.value.strip() == self.confirm
        event.input.styles.color = "ansi_green" if self._ready else None
        self._answers()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter starts when the name matches, and says what is wrong when it does not; on the third answer it asks for a reason."""
        if self._on == _GLASS:
            self._entered()
        elif self._ready:
            self._finish(start=True)
        elif event.value.strip():
            self._answers(self.mismatch(event.value.strip()))

    def _entered(self) -> None:
        if self._on == _GLASS:
            self.dismiss(GLASS)
        else:
            self._finish(start=self._on == _START)

    def _finish(self, *, start: bool) -> None:
        if not start:
            self.dismiss(None)
        elif self.confirm is None:
            self.dismiss("")
        elif self._ready:
            self.dismiss(self.confirm)
        else:
            self._answers(f"Type {self.wanted} first. Nothing has happened.")

    def _answers(self, said: str = "") -> None:
        cancel = ("[ Cancel ]", "" if self._on else "reverse")
        able = self.confirm is None or self._ready
        start = ("[ Start ]", "reverse" if self._on == _START else ("" if able else DIM))
        if self.confirm is None:
            text = said or f"{self._yes} {self._signs.dot} anything else: cancel"
        else:
            text = said or f"type {self.wanted}, enter {self._signs.dot} esc cancel"
        self._told = said
        buttons: list[str | Span] = [] if said and len(said) + 26 > min(100, self.size.width) else ["  ", cancel, "  ", start]
        if self.glass and buttons:
            buttons += ["  ", ("[ Break glass ]" if self.size.width >= _WIDE else "[ Glass ]", "reverse" if self._on == _GLASS else "")]
        self.query_one("#answers", Bar).show(line(*buttons, "  ", (self._signs.plain(text), YELLOW if said else "")))

    # What it is about.

    @property
    def wanted(self) -> str:
        """What has to be typed, as a person is told."""
        return self.confirm or ""

    def question(self) -> str:
        """What is asked before it is typed."""
        return f"Type {self.wanted} to start it."

    def mismatch(self, typed: str) -> str:
        """What is said to something else than what had to be typed."""
        return f'"{typed}" is not {self.confirm}. Nothing has happened.'

    def heading(self, width: int) -> tuple[Line, str]:
        """The title of the box, and what stands at its right."""
        raise NotImplementedError

    def told(self, width: int) -> list[Line]:
        """What would be done, in lines of at most `width` characters."""
        raise NotImplementedError

    def command(self) -> str:
        """The command that does the same."""
        raise NotImplementedError
