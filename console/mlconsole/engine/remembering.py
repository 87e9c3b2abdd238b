"""Remembering: what was read from the registry is kept until something is written there, by whomever."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

T = TypeVar("T")


class Memory:
    """Answers of one session's registry, forgotten when its revision is another one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._revision: int | None = None
        self._kept: dict[Hashable, Any] = {}

    def refresh(self) -> bool:
        """Look whether something was written; True: it was, and everything is forgotten."""
        revision = self._session.registry.revision()
        if revision == self._revision:
            return False
        self._revision, self._kept = revision, {}
        return True

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """What was read under that key, or is read now."""
        if key not in self._kept:
            self._kept[key] = read()
        return cast("T", self._kept[key])
