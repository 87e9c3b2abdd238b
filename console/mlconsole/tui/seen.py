"""Up to when a person has seen what happened (`.mlconsole/seen-<user>.json`), and what happened since: *while you were away*."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlconsole.tui.screens.changes import Happening

_WRITE = timedelta(minutes=1)


class Seen:
    """One person's place in the history of each environment. A file that can't be read or written costs the memory, nothing else."""

    def __init__(self, state: Path, who: str, *, writes: bool = True) -> None:
        """`state` is the workspace's `.mlconsole`, `who` is `user@host`; a read-only session writes nothing."""
        user = re.sub(r"[^A-Za-z0-9._-]", "_", who.partition("@")[0]) or "_"
        self._path = state / f"seen-{user}.json"
        self._writes = writes

    def until(self, environment: str) -> datetime | None:
        """Up to when this person has seen that environment's changes; None: they never looked."""
        try:
            time = datetime.fromisoformat(self._read()[environment])
        except (KeyError, TypeError, ValueError):
            return None
        return time if time.tzinfo else None

    def keep(self, environment: str, time: datetime) -> None:
        """Seen up to then; other environments' places stay as they are."""
        if not self._writes:
            return
        body = {**self._read(), environment: time.isoformat()}
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(body, file)
            beside.replace(self._path)

    def _read(self) -> dict[str, str]:
        try:
            body = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return body if isinstance(body, dict) else {}


class Away:
    """What one person has not seen. What comes while they are there and have read the rest is seen at once; what comes while they are
    away (or on another screen) is new until they say that they have read it. One's own changes are never new.
    """

    def __init__(self, seen: Seen, environment: str, who: str) -> None:
        self._seen, self._environment, self.who = seen, environment, who
        # Who never looked has not been away: it begins now.
        self.read = self._written = seen.until(environment)
        self.unseen: set[str] = set()
        self._caught_up = self.read is None

    def look(self, every: Iterable[Happening], now: datetime, *, there: bool, fresh: bool = True) -> None:
        """The state of the world is this now; is a person there to see it? One from the disk is not fresh: somebody else saw it."""
        if not fresh:
            self.unseen = {one.key for one in every if self.read is not None and self._is_new(one, self.read)}
            return
        seeing = self._caught_up and (there or self.read is None)
        if seeing:
            self.read = now
        read = self.read
        self.unseen = {one.key for one in every if read is not None and self._is_new(one, read)}
        if seeing and (self._written is None or now - self._written > _WRITE):
            self._remember()
        self._caught_up = not self.unseen

    def mark_read(self, now: datetime) -> None:
        """All of it is read."""
        self.read, self.unseen, self._caught_up = now, set(), True
        self._remember()

    def leave(self) -> None:
        """Another screen, or the end: what was seen stays seen, what happens meanwhile is new."""
        if self._caught_up:
            self._remember()
            self._caught_up = False

    def _is_new(self, one: Happening, read: datetime) -> bool:
        # What is outside is no event with a time: it is still so, and stands on top until somebody chooses.
        return one.outside is None and not one.is_by(self.who) and max(one.at, one.over or one.at) > read

    def _remember(self) -> None:
        if self.read is not None:
            self._seen.keep(self._environment, self.read)
            self._written = self.read
