"""The plan box: the same for every change on every screen. Nothing has happened yet; Cancel has the focus; going back takes `y`."""

from __future__ import annotations

from collections.abc import Sequence

from mlconsole.core.documents import target_told
from mlconsole.core.plans import Plan
from mlconsole.core.releases import NOTHING, ReleaseKind, describe_content
from mlconsole.core.text import duration
from mlconsole.tui.confirm import ConfirmBox
from mlconsole.tui.pane import Line, line
from mlconsole.tui.signs import BOLD, DIM, GREEN, YELLOW, Signs


class PlanBox(ConfirmBox):
    """Shows a plan."""

    command_told = "the command that applies this plan"

    def __init__(self, plan: Plan, signs: Signs, *, notes: Sequence[str] = (), glass: str = "") -> None:
        """`notes`: what the plan itself can't know, of what runs besides; `glass`: what a reason would skip of it."""
        super().__init__(signs, confirm=plan.confirm, yes="y go back" if plan.kind is ReleaseKind.REVERT else "y do it", glass=glass)
        self.plan, self._notes = plan, notes

    def heading(self, width: int) -> tuple[Line, str]:
        """Which plan it is, as far as there is room, and that nothing has happened."""
        label = f"plan {self.plan.id} · {target_told(self.plan.endpoint)}"
        hint = "nothing has happened yet" if width >= len(label) + 30 else "nothing done yet"
        if width >= len(label) + len(self.plan.environment) + 33:
            label += f" · {self.plan.environment}"
        return line((label, BOLD)), hint

    def told(self, width: int) -> list[Line]:
        """The plan."""
        return plan_lines(self.plan, self._signs, width, self._notes, self.question(), self.glass)

    def question(self) -> str:
        """What is asked before a name is typed."""
        what = "Cannot be undone." if self.plan.kind is ReleaseKind.DELETE else f"This changes {self.plan.environment}."
        return f"{what} Type {self.plan.confirm} to start it."

    def command(self) -> str:
        """The command that applies it."""
        return f"mlconsole apply {self.plan.id} --env {self.plan.environment}"


def plan_lines(plan: Plan, signs: Signs, width: int, notes: Sequence[str], question: str, glass: str = "") -> list[Line]:
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
    rows += [("", f"{signs.look} {note}", YELLOW) for note in (*plan.notes, *notes)]
    rows += [("", f"{signs.look} skipped gate: {gate}", YELLOW) for gate in plan.skipped_gates]
    rows += [("", f"{signs.look} {step.summary}: cannot be undone", YELLOW) for step in plan.steps if step.irreversible]
    rows += [("", f"{signs.look} {step.disrupts}", YELLOW) for step in plan.steps if step.disrupts]
    if glass:
        rows.append(("glass", glass_told(glass, typed=plan.confirm is not None), DIM))
    rows.append(("same as", plan.command, DIM))
    lines: list[Line] = []
    for label, text, words in rows:
        pieces = _wrapped(signs.plain(text), max(10, width - 9))
        lines.append(line((f"{label:<8} ", DIM), (pieces[0], words)))
        lines += [line(" " * 9, (piece, words)) for piece in pieces[1:]]
    lines.append(line(""))
    if plan.confirm is not None:
        lines += [line((piece, BOLD)) for piece in _wrapped(question, max(10, width))]
    elif plan.kind is ReleaseKind.REVERT:
        lines.append(line((f"Go back to #{plan.equals}?", BOLD), ("  y", GREEN)))
    return lines


def glass_told(glass: str, *, typed: bool) -> str:
    """How what stops it is overruled, and that this stays in sight."""
    return f"{'tab to Break glass' if typed else 'b'}: without the {glass}, for a reason that stays visible on the release"


def _way_back(plan: Plan) -> str:
    back = plan.way_back
    if back.release is None:
        return "none: this is the first release; X removes it"
    warm = "all of it is running" if back.warm else "has to be started again"
    return f"u at any time: to #{back.release} {describe_content(back.content)}, {warm}, about {duration(back.seconds)}"


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, break_long_words=True) or [""]
