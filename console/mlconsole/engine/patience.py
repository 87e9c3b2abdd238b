"""What a driver keeps going while it waits: its lease, its patience, and the people who watch."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from mlconsole.core.clock import Clock
from mlconsole.core.text import duration

_POLL = (0.02, 0.5)
"""Seconds between two looks at a transition: from the first, doubling, to the second unless told otherwise."""

_CALM = (20.0, 2.5)
"""What has taken long is looked at more seldom: after a time for a part of that, at most so many seconds."""


def jittered(seconds: float) -> float:
    """About as long: consoles and guardians that began together do not ask a backend together for ever."""
    return seconds * random.uniform(0.9, 1.1)


class Heart:
    """Beats each second, in a thread of its own, for as long as `beat` says that there is something to renew."""

    def __init__(self, beat: Callable[[], bool]) -> None:
        self._beat_once = beat
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(5.0)

    def _beat(self) -> None:
        while not self._stopped.wait(1.0):
            if not self._beat_once():
                return


class Patience:
    """How long something may take, how long to rest between two looks, and when to say that one still waits."""

    def __init__(self, clock: Clock, seconds: float, *, longest: float = _POLL[1]) -> None:
        self._clock = clock
        self._longest = longest
        self._began = self._clock.elapsed()
        self._seconds = seconds
        self._rest = _POLL[0]
        self._told = self._began

    def over(self) -> bool:
        """Whether the time is up."""
        return self._clock.elapsed() - self._began > self._seconds

    def told(self) -> str:
        """How long it has taken, of how much."""
        return f"{duration(self._clock.elapsed() - self._began)}, at most {duration(self._seconds)}"

    def worth_telling(self) -> bool:
        """At most every 5 s, and not in the first two: nothing is silent for longer than that."""
        now = self._clock.elapsed()
        if now - self._began < 2.0 or now - self._told < 5.0:
            return False
        self._told = now
        return True

    def rest(self, look: Callable[[], None] = lambda: None) -> None:
        """Wait a little, each time longer; in a longer rest `look` is called every half a second."""
        left = self._rest
        while left > _POLL[1]:
            self._clock.sleep(_POLL[1])
            look()
            left -= _POLL[1]
        self._clock.sleep(left)
        calm = min(_CALM[1], (self._clock.elapsed() - self._began) / _CALM[0])
        self._rest = min(self._rest * 2, max(self._longest, jittered(calm)))
