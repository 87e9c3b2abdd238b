"""Calls to a backend: each in a bounded pool of daemon threads of its own, with a deadline, so that one that hangs holds nobody up.

A `ThreadPoolExecutor` with a hung call would hold the process at exit; daemon threads don't.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import Any, TypeVar

from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.errors import BackendError, MLConsoleError, OutcomeUnknown, Unavailable

T = TypeVar("T")

_LOOK = 0.25
"""Seconds between two looks around while an attended call is waited for (invariant 5 asks for one each second at least)."""


class Calls:
    """The pool of one backend. `size` calls run at once; when all of them hang, further ones fail at once instead of queueing for ever."""

    def __init__(self, backend: str, size: int = 8) -> None:
        self._backend = backend
        self._size = size
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0
        """Calls that were handed in and have not come back, waited for or not: a thread for each, up to `size`."""
        self._hung = 0
        self._attending = threading.local()

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

    @contextmanager
    def attended(self, look: Callable[[], None]) -> Iterator[None]:
        """While in it, `look` is called several times a second whenever this thread waits for a call; what it raises ends the waiting.

        The call itself can't be ended: a changing one that is left so has an unknown outcome.
        """
        self._attending.look = look
        try:
            yield
        finally:
            self._attending.look = None

    def _call(self, call: Callable[[], T], deadline: float) -> T:
        future: Future[T] = Future()
        with self._lock:
            if self._hung >= self._size:
                raise Unavailable(f"{self._backend} answers nothing: {self._hung} calls hang.")
            self._busy += 1
            if self._busy > self._threads and self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._serve, name=f"backend {self._backend}", daemon=True).start()
        self._work.put((future, call))
        try:
            return self._waited(future, deadline)
        except MLConsoleError as error:
            error.message, error.next = neutralise(error.message), neutralise(error.next)  # foreign text (invariant 11)
            raise
        except TimeoutError:
            if future.cancelled():
                raise Unavailable(f"{self._backend} was not asked: {self._size} calls keep it busy.") from None
            if not future.done():
                raise  # the time is up
            raise Unavailable(f"{self._backend} did not answer: its adapter's own time was up.") from None
        except Exception as error:
            if not future.done() or future.cancelled():
                raise  # of whoever looks around meanwhile
            # An adapter's bug must not reach a person as a traceback, nor look like an answer.
            raise BackendError(f"The adapter for {self._backend} failed: {type(error).__name__}: {neutralise(str(error))}.") from error

    def _waited(self, future: Future[T], deadline: float) -> T:
        look: Callable[[], None] | None = getattr(self._attending, "look", None)
        until = time.monotonic() + deadline
        try:
            while True:
                left = until - time.monotonic()
                try:
                    return future.result(max(0.0, left if look is None else min(_LOOK, left)))
                except FutureTimeout:
                    if future.done() or look is None or left <= _LOOK:
                        raise
                look()
        finally:
            # Left behind: one that has not begun never will; one that has is counted until it comes back.
            if not future.done() and not future.cancel():
                with self._lock:
                    self._hung += 1
                future.add_done_callback(self._came_back)

    def _came_back(self, _: Future[Any]) -> None:
        with self._lock:
            self._hung -= 1

    def _serve(self) -> None:
        while True:
            future, call = self._work.get()
            try:
                if future.set_running_or_notify_cancel():
                    try:
                        result = call()
                    except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                        future.set_exception(error)
                    else:
                        future.set_result(result)
            finally:
                with self._lock:
                    self._busy -= 1
