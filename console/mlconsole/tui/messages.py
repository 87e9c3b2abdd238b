"""What workers tell the app. Workers never touch widgets: thread → message → handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.message import Message

from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.views import Snapshot

if TYPE_CHECKING:
    from mlconsole.core.plans import Plan
    from mlconsole.engine.detached import Ended


class Taken(Message):
    """A new snapshot; of which round of looks it is (another environment begins a new one)."""

    def __init__(self, snapshot: Snapshot, of: int) -> None:
        super().__init__()
        self.snapshot, self.round = snapshot, of

    def can_replace(self, message: Message) -> bool:
        """Only the newest is of interest."""
        return isinstance(message, Taken)


class NotTaken(Message):
    """The state could not be looked at: the registry is locked, broken, or a bug."""

    def __init__(self, error: MLConsoleError, of: int) -> None:
        super().__init__()
        self.error, self.round = error, of


class Planned(Message):
    """A plan is ready to be shown; `glass` is what a reason would skip of it, `again` plans it so."""

    def __init__(self, plan: Plan, glass: str = "", again: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self.plan, self.glass, self.again = plan, glass, again


class Done(Message):
    """Something that was asked of the engine came back; `then` is called with it, in the app's own thread."""

    def __init__(self, result: Any, then: Callable[[Any], None]) -> None:
        super().__init__()
        self.result, self.then = result, then


class Refused(Message):
    """Something that was asked of the engine was refused, or failed; `again` asks it with a reason that may overrule that."""

    def __init__(self, error: MLConsoleError, again: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self.error, self.again = error, again


class ChangeEnded(Message):
    """A change that was begun here is over."""

    def __init__(self, ended: Ended) -> None:
        super().__init__()
        self.ended = ended
