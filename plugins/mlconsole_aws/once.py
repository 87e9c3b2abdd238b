"""Asked once, however many want to know at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """Values by key that are kept until they are dropped; who comes while one is being asked for waits for that answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[K, Future[V]] = {}

    def get(self, key: K, ask: Callable[[], V]) -> V:
        """The value of that key, asked for where it is not known. An error is told to all who wait for it, and not kept."""
        with self._lock:
            future = self._kept.get(key)
            mine = future is None
            if future is None:
                future = self._kept[key] = Future()
        if mine:
            try:
                future.set_result(ask())
            except BaseException as error:
                with self._lock:
                    if self._kept.get(key) is future:
                        del self._kept[key]
                future.set_exception(error)
                raise
        return future.result()

    def drop(self, key: K) -> None:
        """It is asked for anew the next time."""
        with self._lock:
            self._kept.pop(key, None)
