"""The one chokepoint (invariant 8): what may be done in this session is decided here, by an allowlist, and nowhere else."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from mlconsole.plugin.errors import NotAllowed

if TYPE_CHECKING:
    from mlconsole.workspace import Environment


class Deed(StrEnum):
    """What somebody wants to do. A new use case needs a new word here before it can change anything."""

    LOOK = "look"
    PLAN = "plan"
    ASK = "ask for a prediction"
    GO_FORWARD = "go forward"
    GO_BACK = "go back"
    RECOVER = "recover"
    REMOVE = "remove"
    ADOPT = "adopt"
    REGISTER = "register a version"
    SERVERS = "start or stop servers of this machine"
    WATCH = "watch, and keep what was seen"
    ACKNOWLEDGE = "acknowledge an alarm"
    ACT = "run an action"
    APPROVE = "approve, reject or withdraw a request"
    EDIT = "edit a draft"
    ALARM = "make or set off an alarm of the backend"


_IN_READ_ONLY = frozenset({Deed.LOOK, Deed.PLAN, Deed.ASK})


class Access:
    """What this session may do."""

    def __init__(self, environment: Environment, *, read_only: bool = False) -> None:
        self.read_only = read_only or environment.read_only
        self._by_session = read_only
        self._environment = environment.name

    def why_not(self, deed: Deed) -> NotAllowed | None:
        """The refusal that doing this would meet, for keys that say why they are off; None when it may be done."""
        if not self.read_only or deed in _IN_READ_ONLY:
            return None
        if self._by_session:
            return NotAllowed(
                "Read only: this session was started with --read-only. Nothing was changed.", next="Start it without --read-only."
            )
        return NotAllowed(
            f"Read only: environment {self._environment} is `read_only: true` in mlconsole.yaml. Nothing was changed.",
            next="Change it there, if that is meant.",
        )

    def require(self, deed: Deed) -> None:
        """Go on only if this may be done.

        Raises:
            NotAllowed: it may not.
        """
        refusal = self.why_not(deed)
        if refusal is not None:
            raise refusal
