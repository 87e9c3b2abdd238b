"""The boxes before a rollout begins and before one is told something: of the same shape as the plan box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from textual import events

from mlconsole.core.documents import target_told
from mlconsole.tui.confirm import ConfirmBox
from mlconsole.tui.pane import Line, line
from mlconsole.tui.plan_box import glass_told
from mlconsole.tui.rollout_words import folded
from mlconsole.tui.signs import BOLD, DIM, RED, YELLOW, Signs

_LABEL = 9
ATTENDED = "\0attended"
"""What a box is left with whose rollout nobody would watch, when a person says that they stay with it: no name is written so."""


class PlannedRollout(Protocol):
    """What is shown of a rollout before it begins (`engine.rolloutplans.RolloutPlan`)."""

    @property
    def id(self) -> str:
        """The plan's."""

    @property
    def endpoint(self) -> str:
        """Whose rollout."""

    @property
    def environment(self) -> str:
        """Where."""

    @property
    def confirm(self) -> str | None:
        """The name that has to be typed."""

    @property
    def command(self) -> str:
        """The command that does the same."""

    @property
    def refused(self) -> str:
        """Why it can't begin; empty when it can."""

    @property
    def glass(self) -> str:
        """What a reason would overrule, or skip; empty: nothing."""


_ROWS = (("now", ""), ("then", BOLD), ("path", ""), ("ends", ""), ("back", ""), ("alone", ""), ("watch", ""), ("guards", ""))


class RolloutBox(ConfirmBox):
    """Shows a rollout that could begin. One that is refused is shown all the same, and can't be started."""

    command_told = "the command that begins this rollout"

    def __init__(self, plan: PlannedRollout, signs: Signs, *, attended: bool = False) -> None:
        super().__init__(signs, confirm=None if plan.refused else plan.confirm, yes="y start it", glass=plan.glass)
        self.plan = plan
        self._may_attend = bool(plan.refused) and "--attended" in plan.refused and not attended

    def heading(self, width: int) -> tuple[Line, str]:
        """Which rollout, as far as there is room, and that nothing has happened."""
        label = f"rollout {target_told(self.plan.endpoint)}"
        hint = "nothing has happened yet" if width >= len(label) + 30 else "nothing done yet"
        if width >= len(label) + len(self.plan.id) + len(self.plan.environment) + 40:
            label = f"plan {self.plan.id} · {label} · {self.plan.environment}"
        return line((label, BOLD)), hint

    def told(self, width: int) -> list[Line]:
        """The plan; what speaks against it; why it can't begin."""
        lines: list[Line] = []
        for name, style in _ROWS:
            text = str(getattr(self.plan, name, "") or "")
            lines += _row(name, text, width, style) if text else []
        for text in (*getattr(self.plan, "findings", ()), *getattr(self.plan, "notes", ())):
            lines += _row("", f"{self._signs.look} {text}", width, YELLOW)
        if self.glass and not self.plan.refused:
            lines += _row("glass", glass_told(self.glass, typed=self.confirm is not None), width, DIM)
        lines += _row("same as", self.plan.command, width, DIM) if self.plan.command else []
        lines.append(line(""))
        if self.plan.refused:
            lines += folded(f"{self._signs.failing} {self.plan.refused}", width, style=RED)
        elif self.confirm is not None:
            lines += folded(self.question(), width, style=BOLD)
        return lines

    def question(self) -> str:
        """What is asked before a name is typed."""
        return f"This changes {self.plan.environment}. Type {self.confirm} to start it."

    def command(self) -> str:
        """The command that begins it."""
        return self.plan.command

    def on_key(self, event: events.Key) -> None:
        """A refused one is read and left; nothing starts it."""
        if self._may_attend and event.key == "a":
            self.dismiss(ATTENDED)
            event.stop()
            event.prevent_default()
            return
        if self.plan.refused and event.key in ("y", "enter", "tab", "shift+tab", "left", "right"):
            self._answers()
            event.stop()
            event.prevent_default()
            return
        super().on_key(event)

    def _answers(self, said: str = "") -> None:
        if self.plan.refused and not said:
            more = " a: you stay with it, plan again." if self._may_attend else ""
            more += " b: break the glass, for a reason." if self.glass else ""
            said = f"Start is off.{more} esc leaves."
        super()._answers(said)


class ControlBox(ConfirmBox):
    """Shows what a running rollout would be told, and takes a person's word for it."""

    def __init__(
        self, label: str, rows: Sequence[tuple[str, str]], signs: Signs, *, confirm: str | None, yes: str, environment: str, command: str
    ) -> None:
        super().__init__(signs, confirm=confirm, yes=yes)
        self._label, self._rows, self._environment, self._command = label, rows, environment, command

    def heading(self, width: int) -> tuple[Line, str]:
        """What, and that nothing has happened."""
        return line((self._label, BOLD)), "nothing has happened yet" if width >= len(self._label) + 30 else ""

    def told(self, width: int) -> list[Line]:
        """Now, then, and what that means."""
        lines = []
        for name, text in self._rows:
            lines += _row(name, text, width, BOLD if name == "then" else YELLOW if not name else "")
        lines += _row("same as", self._command, width, DIM) if self._command else []
        lines.append(line(""))
        if self.confirm is not None:
            lines += folded(f"This changes {self._environment}. Type {self.confirm} to do it.", width, style=BOLD)
        return lines

    def command(self) -> str:
        """The command that says the same."""
        return self._command


def _row(name: str, text: str, width: int, style: str) -> list[Line]:
    pieces = folded(text, max(10, width - _LABEL), style=style)
    return [line((f"{name if place == 0 else '':<{_LABEL}}", DIM), *piece[1:]) for place, piece in enumerate(pieces)]
