"""Asking once for many: every endpoint of a document that says the shares asks for the same report, all at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")

_PATIENCE = 10.0
"""Seconds after which nobody waits for another's question any longer, and asks by himself."""


class Together(Generic[_T]):
    """Who asks while an answer is on its way gets the next one, with all others who wait: no answer is older than its question."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._running = False
        self._answer: Callable[[], _T] | None = None

    def ask(self, call: Callable[[], _T]) -> _T:
        """What `call` gives, or what another's call gave that began after this question."""
        with self._changed:
            mine = self._begun + 1
            while self._running and self._done < mine and self._changed.wait(_PATIENCE):
                pass
            if self._done >= mine and self._answer is not None:
                return self._answer()
            self._running, self._begun = True, self._begun + 1
            mine = self._begun
        answer = _asked(call)
        with self._changed:
            if mine > self._done:
                self._done, self._answer = mine, answer
            self._running = self._begun > self._done
            self._changed.notify_all()
        return answer()


def _asked(call: Callable[[], _T]) -> Callable[[], _T]:
    try:
        found = call()
    except Exception as error:  # noqa: BLE001 - whatever it is, all who waited for it get it
        raised = error

        def fail() -> _T:
            raise raised

        return fail
    return lambda: found
