"""What AWS was asked today: how many requests of each kind, and how many it throttled, over all processes of the workspace.

Each process appends what it has asked since its last line to one file a day; a line is written at once, so that none is torn.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
import weakref
from collections import Counter
from contextlib import suppress
from datetime import date
from pathlib import Path

from mlconsole.core.clock import Clock

METRICS = "metrics"
"""Beside the operations: so many metrics were asked for, which is what CloudWatch charges."""

_WRITES = 30.0
"""Seconds between two lines of a process."""

_KEEPS = 7
"""Days that are kept."""


class Tally:
    """Counts of one environment. `calls` and `throttled` are this process's own, since it began."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.calls: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self._folder, self._clock = folder, clock
        self._unwritten: dict[str, list[int]] = {}
        self._lock = threading.Lock()
        self._written = time.monotonic()
        atexit.register(_write_last, weakref.ref(self))

    def add(self, operation: str, calls: int = 0, throttled: int = 0) -> None:
        """Count requests of `sagemaker:DescribeEndpoint`, or throttled ones."""
        with self._lock:
            self.calls[operation] += calls
            if throttled:
                self.throttled[operation] += throttled
            both = self._unwritten.setdefault(operation, [0, 0])
            both[0] += calls
            both[1] += throttled
            due = time.monotonic() - self._written > _WRITES
        if due:
            self.write()

    def write(self) -> None:
        """Append what is not yet written. Where the disk is full or read-only, it is kept in memory."""
        with self._lock:
            unwritten, self._unwritten = self._unwritten, {}
            self._written = time.monotonic()
        if not unwritten:
            return
        today = self._clock.now().date()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._file(today)
            if not path.exists():
                self._forget(today)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, (json.dumps(unwritten, sort_keys=True) + "\n").encode())
            finally:
                os.close(descriptor)
        except OSError:
            with self._lock:
                for operation, counts in unwritten.items():
                    both = self._unwritten.setdefault(operation, [0, 0])
                    both[:] = [one + other for one, other in zip(both, counts, strict=True)]

    def today(self) -> tuple[Counter[str], Counter[str]]:
        """Requests and throttled ones of this day (UTC), of all processes."""
        self.write()
        calls: Counter[str] = Counter()
        throttled: Counter[str] = Counter()
        try:
            lines = self._file(self._clock.now().date()).read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        with self._lock:
            lines.append(json.dumps(self._unwritten))
        for line in lines:
            with suppress(ValueError, TypeError, AttributeError):  # a line that a crash cut off
                for operation, (asked, refused) in json.loads(line).items():
                    calls[operation] += asked
                    if refused:
                        throttled[operation] += refused
        return calls, throttled

    def _file(self, day: date) -> Path:
        return self._folder / f"calls-{day.isoformat()}.jsonl"

    def _forget(self, today: date) -> None:
        for path in self._folder.glob("calls-*.jsonl"):
            with suppress(ValueError, OSError):
                if (today - date.fromisoformat(path.stem.removeprefix("calls-"))).days > _KEEPS:
                    path.unlink()


def _write_last(tally: weakref.ref[Tally]) -> None:
    there = tally()
    if there is not None:
        with suppress(OSError):  # the clock of a test may lie in a folder that is gone by now
            there.write()
