"""Freeze windows: stretches in which nothing goes forward. Going back, pausing and acknowledging are never frozen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class FreezeWindow:
    """From `begin` up to `end`, both with their offset."""

    begin: datetime
    end: datetime
    reason: str = ""
    by: str = ""
    """Who wanted it."""

    def covers(self, moment: datetime) -> bool:
        """Whether nothing may go forward then."""
        return self.begin <= moment < self.end


def frozen(windows: Iterable[FreezeWindow], moment: datetime) -> FreezeWindow | None:
    """The window that a moment lies in; of several the one that ends last."""
    return max((window for window in windows if window.covers(moment)), key=lambda window: window.end, default=None)


def frozen_between(windows: Iterable[FreezeWindow], begin: datetime, end: datetime) -> FreezeWindow | None:
    """The first window that a change from `begin` to `end` would run into."""
    return min((window for window in windows if window.begin <= end and begin < window.end), key=lambda window: window.begin, default=None)
