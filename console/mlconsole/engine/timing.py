"""Reading predictions with deadlines: one that hangs is left in peace for a while."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from mlconsole.core.clock import Clock
from mlconsole.core.text import duration
from mlconsole.engine.bound import READ
from mlconsole.engine.calls import Calls
from mlconsole.plugin.errors import Unavailable
from mlconsole.plugin.roles import Page, Predictions

T = TypeVar("T")

_RESTS = 30.0
"""Seconds for which predictions are not asked for again after they did not answer: a look must not wait for them each time."""


class TimedPredictions:
    """A predictions role whose calls have deadlines."""

    def __init__(self, role: Predictions, calls: Calls, clock: Clock) -> None:
        self._predictions, self._calls, self._clock = role, calls, clock
        self._silent: float | None = None
        """When it did not answer in time (elapsed)."""

    def cursor_at(self, time: datetime) -> str:
        return self._asked("finding predictions", lambda: self._predictions.cursor_at(time), READ)

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        return self._asked("reading predictions", lambda: self._predictions.read(cursor, limit), 30.0)

    def _asked(self, what: str, call: Callable[[], T], deadline: float) -> T:
        now = self._clock.elapsed()
        if self._silent is not None and now - self._silent < _RESTS:
            text = f"Predictions did not answer {duration(now - self._silent)} ago ({what})."
            raise Unavailable(text, next="They are asked again by themselves.")
        try:
            result = self._calls.ask(what, call, deadline=deadline)
        except Unavailable:
            # Only one that hangs costs time: one that says at once that it can't is asked again at once.
            self._silent = self._clock.elapsed() if self._clock.elapsed() - now >= deadline else None
            raise
        self._silent = None
        return result
