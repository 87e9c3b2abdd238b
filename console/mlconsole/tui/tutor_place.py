"""Where a person is who left the console at the tutor's last station (`.mlconsole/tutor-<user>.json`): the next console goes on there."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from mlconsole.tui.tutor import Left, Tutor


class TutorPlace:
    """One person's place. A file that can't be read or written costs the place, nothing else."""

    def __init__(self, state: Path, user: str, *, writes: bool = True) -> None:
        """`state` is the workspace's `.mlconsole`; a read-only session writes nothing."""
        self._path = state / f"tutor-{re.sub(r'[^A-Za-z0-9._-]', '_', user) or '_'}.json"
        self._writes = writes
        self._kept: Left | None = None

    def tutor(self, environment: str, opened: datetime) -> Tutor:
        """A tutor that goes on where the last one was left."""
        self._kept = self._read(environment)
        return Tutor(opened, self._kept)

    def keep(self, environment: str, left: Left | None) -> None:
        """What the next console has to know; None: nothing, it begins anew."""
        if not self._writes or left == self._kept:
            return
        self._kept = left
        with suppress(OSError):
            if left is None:
                self._path.unlink(missing_ok=True)
                return
            beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"environment": environment, "at": left.at, "stages": dict(left.stages)}, file)
            beside.replace(self._path)

    def _read(self, environment: str) -> Left | None:
        try:
            body = json.loads(self._path.read_text(encoding="utf-8"))
            if body["environment"] != environment:
                return None
            return Left(int(body["at"]), {str(name): int(stage) for name, stage in body["stages"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
