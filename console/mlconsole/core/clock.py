"""The one clock. Rules never ask the system for the time; they are given a `Clock`, which tests set."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, in the two senses that matter."""

    def now(self) -> datetime:
        """The wall clock, UTC, for people and journals."""
        ...

    def elapsed(self) -> float:
        """Seconds since some fixed moment of this boot; goes on while the machine sleeps; never jumps. For deadlines and leases."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a test's clock moves forward instead."""
        ...


class SystemClock:
    """The machine's clock: `elapsed` is CLOCK_BOOTTIME where there is one (Linux), else the monotonic clock."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """Seconds since boot, comparable between the processes of one boot."""
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return time.clock_gettime(boottime) if boottime is not None else time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))
