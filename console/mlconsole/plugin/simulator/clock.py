"""A clock that tests set: nothing really waits, and two processes can share one."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

_START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
_WIDTH = 64
"""Bytes of the file."""
_BOOTED_FOR = 1000.0  # not 0, so that "no time" and "time zero" can't be taken for each other


class ManualClock:
    """A `core.clock.Clock` that moves only when it is told to; safe for many threads.

    `sleep` moves the clock forward by itself (`auto`), or, with `auto=False`, really blocks until another thread calls `advance`: for
    tests in which a heartbeat thread sleeps in a loop and must not run the time away. With a `path` the time lives in that file and is
    shared by every process that opens it.
    """

    def __init__(self, start: datetime = _START, *, path: Path | None = None, auto: bool = True) -> None:
        self._start = start
        self._path = path
        self._auto = auto
        self._changed = threading.Condition()
        self._elapsed, self._wall = _BOOTED_FOR, 0.0
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def now(self) -> datetime:
        """The wall clock, UTC."""
        with self._held():
            return self._start + timedelta(seconds=self._elapsed - _BOOTED_FOR + self._wall)

    def elapsed(self) -> float:
        """Seconds since the pretended boot."""
        with self._held():
            return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Move forward by `seconds` (≥ 0), or wait until somebody else has."""
        if self._auto:
            self.advance(max(0.0, seconds))
            time.sleep(0)  # lets other threads have a turn, as a real sleep would
            return
        until = self.elapsed() + seconds
        while self.elapsed() < until:
            with self._changed:
                self._changed.wait(0.02)  # polls: another process may be the one that advances

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, on both clocks."""
        with self._held():
            self._elapsed += seconds
            self._changed.notify_all()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back (NTP, an operator), while no time passes."""
        with self._held():
            self._wall += seconds

    @contextmanager
    def _held(self) -> Iterator[None]:
        with self._changed:
            if self._path is None:
                yield
                return
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                stored = os.read(descriptor, 200)
                if stored:
                    self._elapsed, self._wall = json.loads(stored)
                yield
                written = json.dumps([self._elapsed, self._wall]).encode().ljust(_WIDTH)
                if written != stored:
                    # In one piece, and never shorter: a process that is killed here leaves one time or the other.
                    os.pwrite(descriptor, written, 0)
            finally:
                os.close(descriptor)
