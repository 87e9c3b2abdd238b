"""Calls to a backend: each in a bounded pool of daemon threads of its own, with a deadline, so that one that hangs holds nobody up.

A `ThreadPoolExecutor` with a hung call would hold the process at exit; daemon threads don't.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.errors import BackendError, MLConsoleError, OutcomeUnknown, Unavailable

T = TypeVar("T")


class Calls:
    """The pool of one backend. `size` calls run at once; when all of them hang, further ones fail at once instead of queueing for ever."""

    def __init__(self, backend: str, size: int = 8) -> None:
        self._backend = backend
        self._size = size
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._hung = 0

    def ask(self, what: str, call: Callable[[], T], *, deadline: float = 10.0) -> T:
        """A reading call.

        Raises:
            Unavailable: it did not answer within `deadline` seconds.
            BackendError: what the backend said.
        """
        try:
            return self._call(call, deadline)
        except FutureTimeout:
            raise Unavailable(
                f"{self._backend} did not answer within {duration(deadline)} ({what}).",
                next="It is asked again by itself; nothing was changed.",
            ) from None

    def change(self, what: str, call: Callable[[], T], *, deadline: float = 30.0) -> T:
        """A changing call.

        Raises:
            OutcomeUnknown: it did not return within `deadline` seconds: only describing again tells what it did.
            BackendError: what the backend said.
        """
        try:
            return self._call(call, deadline)
        except FutureTimeout:
            raise OutcomeUnknown(
                f"{self._backend} did not return within {duration(deadline)} from: {what}. It may have worked or not."
            ) from None

    def _call(self, call: Callable[[], T], deadline: float) -> T:
        future: Future[T] = Future()
        with self._lock:
            if self._hung >= self._size:
                raise Unavailable(f"{self._backend} answers nothing: {self._hung} calls hang.")
            if self._idle == 0 and self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._serve, name=f"backend {self._backend}", daemon=True).start()
        self._work.put((future, call))
        try:
            return future.result(deadline)
        except FutureTimeout:
            with self._lock:
                self._hung += 1
            future.add_done_callback(self._came_back)
            raise
        except MLConsoleError:
            raise
        except Exception as error:
            # An adapter's bug must not reach a person as a traceback, nor look like an answer.
            raise BackendError(f"The adapter for {self._backend} failed: {type(error).__name__}: {neutralise(str(error))}.") from error

    def _came_back(self, _: Future[Any]) -> None:
        with self._lock:
            self._hung -= 1

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            future, call = self._work.get()
            with self._lock:
                self._idle -= 1
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                future.set_exception(error)
            else:
                future.set_result(result)
