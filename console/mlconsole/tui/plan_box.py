"""The plan box: the same for every change on every screen. Nothing has happened yet; Cancel has the focus; going back takes `y`."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from mlconsole.core.plans import Plan
from mlconsole.core.releases import NOTHING, ReleaseKind, describe_content
from mlconsole.core.text import duration
from mlconsole.tui.frame import Bar
from mlconsole.tui.pane import Line, Pane, Span, line
from mlconsole.tui.signs import BOLD, DIM, GREEN, YELLOW, Signs


class PlanBox(ModalScreen[str | None]):
    """Shows a plan and takes a person's word for it: the name that it wants typed, or `""` for yes; None: cancelled."""

    CSS = """
    PlanBox { align: center middle; background: transparent; }
    PlanBox > Vertical { width: 100%; max-width: 100; height: auto; max-height: 100%; background: $background; }
    PlanBox Input { border: none; height: 1; padding: 0 2; }
    """

    def __init__(self, plan: Plan, signs: Signs) -> None:
        super().__init__()
        self.plan, self._signs = plan, signs
        self._ready = False
        self._on_start = False
        self._told = ""

    def compose(self) -> ComposeResult:
        """The plan, what has to be said, and the two ways out."""
        with Vertical():
            yield Pane("", id="plan", edges="lrb", joints=("tl", "tr"), focusable=False, signs=self._signs)
            if self.plan.confirm is not None:
                yield Input(placeholder=f"type {self.plan.confirm}", compact=True, id="typed")
            yield Bar("answers")

    def on_mount(self) -> None:
        """Show it."""
        pane = self.query_one("#plan", Pane)
        pane.rule_style = YELLOW
        self._lay_out()
        if self.plan.confirm is not None:
            self.query_one(Input).focus()

    def on_resize(self) -> None:
        """Wrap the plan to the new width."""
        self._lay_out()

    def _lay_out(self) -> None:
        width = min(100, self.size.width) - 4
        lines = plan_lines(self.plan, self._signs, width)
        pane = self.query_one("#plan", Pane)
        # What has to be said and the two ways out stay in sight, however small the screen is.
        room = self.size.height - (2 if self.plan.confirm is not None else 1)
        pane.styles.height = min(len(lines) + 2, max(4, room))
        label = f"plan {self.plan.id} · {self.plan.endpoint}"
        hint = "nothing has happened yet" if width >= len(label) + 30 else "nothing done yet"
        if width >= len(label) + len(self.plan.environment) + 33:
            label += f" · {self.plan.environment}"
        pane.head(line((label, BOLD)), hint)
        pane.show(lines)
        self._answers(self._told)

    def on_key(self, event: events.Key) -> None:
        """y goes (where no name is wanted), esc leaves; tab and the arrows move between Cancel and Start."""
        typing = self.plan.confirm is not None and self.query_one(Input).has_focus
        if event.key == "escape":
            self.dismiss(None)
        elif event.key in ("tab", "shift+tab") or (event.key in ("left", "right") and not typing):
            self._on_start = not self._on_start
            self._answers()
        elif event.key in ("down", "up", "pagedown", "pageup"):
            self.query_one("#plan", Pane).scroll_lines(1 if event.key in ("down", "pagedown") else -1)
        elif event.key == "enter" and not typing:
            self._finish(start=self._on_start)
        elif typing:
            return
        elif event.key == "y" and self.plan.confirm is None:
            self._finish(start=True)
        elif event.key == "c":
            self.app.copy_to_clipboard(f"mlconsole apply {self.plan.id} --env {self.plan.environment}")
            self._answers("copied: the command that applies this plan")
        elif event.is_printable:
            self.dismiss(None)  # anything else: cancel
        else:
            return
        event.stop()
        event.prevent_default()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The name turns green when it matches."""
        self._ready = event.value.strip() == self.plan.confirm
        event.input.styles.color = "ansi_green" if self._ready else None
        self._answers()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter starts when the name matches, and says what is wrong when it does not."""
        if self._ready:
            self._finish(start=True)
        elif event.value.strip():
            self._answers(f'"{event.value.strip()}" is not {self.plan.confirm}. Nothing has happened.')

    def _finish(self, *, start: bool) -> None:
        if not start:
            self.dismiss(None)
        elif self.plan.confirm is None:
            self.dismiss("")
        elif self._ready:
            self.dismiss(self.plan.confirm)
        else:
            self._answers(f"Type {self.plan.confirm} first. Nothing has happened.")

    def _answers(self, said: str = "") -> None:
        cancel = ("[ Cancel ]", "" if self._on_start else "reverse")
        able = self.plan.confirm is None or self._ready
        start = ("[ Start ]", "reverse" if self._on_start else ("" if able else DIM))
        if self.plan.confirm is None:
            word = "y go back" if self.plan.kind is ReleaseKind.REVERT else "y do it"
            text = said or f"{word} {self._signs.dot} anything else: cancel"
        else:
            text = said or f"type {self.plan.confirm}, enter {self._signs.dot} esc cancel"
        self._told = said
        buttons: list[str | Span] = [] if said and len(said) + 26 > self.size.width else ["  ", cancel, "  ", start]
        self.query_one("#answers", Bar).show(line(*buttons, "  ", (self._signs.plain(text), YELLOW if said else "")))


def plan_lines(plan: Plan, signs: Signs, width: int) -> list[Line]:
    """A plan in lines of at most `width` characters."""
    rows: list[tuple[str, str, str]] = []
    number = f"#{plan.made_from_release}  " if plan.made_from_release else ""
    rows.append(("now", f"{number}{describe_content(plan.now)}", ""))
    then = "deleted" if plan.then == NOTHING else describe_content(plan.then)
    rows.append(("then", then + (f"   equals #{plan.equals}" if plan.equals else ""), BOLD))
    for place, step in enumerate(plan.steps):
        rows.append(("path" if place == 0 else "", step.summary, ""))
    rows.append(("takes", f"about {duration(plan.seconds)}", ""))
    if plan.cost_per_hour is not None:
        rows.append(("costs", f"{plan.cost_per_hour:+.2f} an hour", ""))
    rows.append(("back", _way_back(plan), ""))
    rows.append(("watch", "this console; the change goes on when you leave, and goes back by itself when a step or a gate fails", ""))
    rows += [("", f"{signs.look} {note}", YELLOW) for note in plan.notes]
    rows += [("", f"{signs.look} skipped gate: {gate}", YELLOW) for gate in plan.skipped_gates]
    rows += [("", f"{signs.look} {step.summary}: cannot be undone", YELLOW) for step in plan.steps if step.irreversible]
    rows += [("", f"{signs.look} {step.disrupts}", YELLOW) for step in plan.steps if step.disrupts]
    rows.append(("same as", plan.command, DIM))
    lines: list[Line] = []
    for label, text, words in rows:
        pieces = _wrapped(signs.plain(text), max(10, width - 9))
        lines.append(line((f"{label:<8} ", DIM), (pieces[0], words)))
        lines += [line(" " * 9, (piece, words)) for piece in pieces[1:]]
    lines.append(line(""))
    if plan.confirm is not None:
        what = "Cannot be undone." if plan.kind is ReleaseKind.DELETE else f"This changes {plan.environment}."
        lines += [line((piece, BOLD)) for piece in _wrapped(f"{what} Type {plan.confirm} to start it.", max(10, width))]
    elif plan.kind is ReleaseKind.REVERT:
        lines.append(line((f"Go back to #{plan.equals}?", BOLD), ("  y", GREEN)))
    return lines


def _way_back(plan: Plan) -> str:
    back = plan.way_back
    if back.release is None:
        return "none: this is the first release; X removes it"
    warm = "all of it is running" if back.warm else "has to be started again"
    return f"u at any time: to #{back.release} {describe_content(back.content)}, {warm}, about {duration(back.seconds)}"


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, break_long_words=True) or [""]
