"""Remembering: what was read from the registry is kept until something is written there, by whomever."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

T = TypeVar("T")


_TOO_FRESH = 2.0
"""Seconds for which a file that was written may be written again without its time of change telling so."""


class Memory:
    """Answers of one session's registry, forgotten when its revision is another one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._revision: int | None = None
        self._stamped: tuple[tuple[int, int, int], ...] | None = None
        self._kept: dict[Hashable, Any] = {}

    def refresh(self) -> bool:
        """Look whether something was written; True: it was, and everything is forgotten."""
        stamp = self._stamp()
        if stamp is not None and stamp == self._stamped:
            return False  # the file itself was not written to: cheaper than to ask
        self._stamped = stamp
        revision = self._session.registry.revision()
        if revision == self._revision:
            return False
        self._revision, self._kept = revision, {}
        return True

    def _stamp(self) -> tuple[tuple[int, int, int], ...] | None:
        """What tells that the registry's file was written to; None where it was so lately that its time of change may not tell it."""
        found: list[tuple[int, int, int]] = []
        path = self._session.registry.path
        for file in (path, path.with_name(f"{path.name}-wal")):
            with suppress(OSError):
                told = file.stat()
                found.append((told.st_mtime_ns, told.st_size, told.st_ino))
        newest = max((changed for changed, _, _ in found), default=0) / 1e9
        return tuple(found) if found and abs(time.time() - newest) > _TOO_FRESH else None

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """What was read under that key, or is read now."""
        if key not in self._kept:
            self._kept[key] = read()
        return cast("T", self._kept[key])
