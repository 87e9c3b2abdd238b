"""The steps of a change as its journal has them: asked, read back, took. Read in a worker, and only when there can be something new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textual import work
from textual.message import Message

from mlconsole.core.errors import MLConsoleError
from mlconsole.core.text import duration
from mlconsole.engine.views import OperationView, StepView
from mlconsole.tui.pane import Span, line
from mlconsole.tui.signs import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Signs
from mlconsole.tui.table import Column, LiveTable, Row

_COLUMNS = (
    Column("sign", "", least=1, most=2, keep=100),
    Column("step", "STEP", least=8, most=22, keep=60),
    Column("asked", "ASKED FOR", least=14, most=200, grows=True, keep=90),
    Column("back", "READ BACK", least=9, most=40, keep=80),
    Column("took", "TOOK", right=True, least=6, keep=70),
)

_Mark = tuple[str, str, bool]


class Steps(LiveTable):
    """Follows one change: read anew whenever its state is another one, and all the time while it runs."""

    class Read(Message):
        """The journal was read."""

        def __init__(self, mark: _Mark, steps: Sequence[StepView], problem: str) -> None:
            super().__init__()
            self.mark, self.steps, self.problem = mark, steps, problem

    def __init__(self, read: Callable[[str], Sequence[StepView]], *, signs: Signs, **kwargs: Any) -> None:
        super().__init__(_COLUMNS, "steps", signs=signs, empty=[line(("no change yet", DIM))], **kwargs)
        self._read_steps = read
        self._wanted: OperationView | None = None
        self._mark: _Mark | None = None
        self._reading = False

    def follow(self, change: OperationView | None) -> None:
        """Show the steps of this change."""
        before, self._wanted = self._wanted, change
        if change is None:
            self._mark = None
            self.head("steps")
            self.fill([])
            return
        if before is None or before.id != change.id:
            self._mark = None
            self.fill([])
        self.head(line(("steps", BOLD), f" · {change.kind} #{change.release} · ", _state(change)))
        if not self._reading and (self._mark != _mark_of(change) or change.ended is None):
            self._reading = True
            self._fetch(change.id, _mark_of(change))

    @work(thread=True, exit_on_error=False, group="steps")
    def _fetch(self, change: str, mark: _Mark) -> None:
        try:
            self.post_message(self.Read(mark, self._read_steps(change), ""))
        except MLConsoleError as error:
            self.post_message(self.Read(mark, (), str(error)))
        except Exception as error:  # noqa: BLE001 - the edge: what was read before stays
            self.post_message(self.Read(mark, (), f"That failed: {type(error).__name__}: {error}."))

    def on_steps_read(self, message: Read) -> None:
        """Show them; what is wanted by now may be another change."""
        self._reading = False
        if self._wanted is None:
            return
        if message.mark[0] == self._wanted.id:
            self._mark = message.mark
            if message.problem:
                self.head(line(("steps", BOLD), (f" · can't be read: {message.problem}", YELLOW)))
            else:
                before = self.total
                self.fill([self._row(step) for step in message.steps])
                if self._wanted.ended is None and self.total > before:
                    self.move_end(first=False)  # the newest comes into sight; who reads an older one is left alone until then
        if self._mark != _mark_of(self._wanted):
            self.follow(self._wanted)

    def _row(self, step: StepView) -> Row:
        signs = self.signs
        shown: dict[str, Span] = {
            "done": (signs.ok, GREEN),
            "intended": (signs.changing, CYAN),
            "failed": (signs.failing, RED),
            "unknown": (signs.no_data, YELLOW),
        }
        back = (step.problem, RED) if step.problem else (step.read_back, "")
        return Row(
            f"{step.index}",
            {
                "sign": shown.get(step.state, (signs.no_data, DIM)),
                "step": f"{signs.back + ' ' if step.back else ''}{step.role} {step.action}",
                "asked": step.asked,
                "back": back,
                "took": duration(step.seconds) if step.seconds is not None else "",
            },
        )


def _mark_of(change: OperationView) -> _Mark:
    return change.id, change.state, change.interrupted


def _state(change: OperationView) -> Span:
    if change.interrupted:
        return "interrupted", YELLOW
    return change.state, {"done": "", "went back": RED}.get(change.state, CYAN)
