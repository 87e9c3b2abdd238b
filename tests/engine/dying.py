"""A driver in a process of its own that is killed, or stopped, at an exact moment of its work."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlconsole.engine.patience import Patience
from mlconsole.engine.session import Session
from mlconsole.registry.database import Database

if TYPE_CHECKING:
    from engine.conftest import House


def dies(house: House, work: Callable[[Session], object], *, after_commit: int | None = None) -> bool:
    """Whether `work`, in a child, was killed: after its n-th commit, or by a fault that kills it. False: it came to its end."""
    pid = _child(house, work, (lambda: _after_commit(after_commit, signal.SIGKILL)) if after_commit is not None else None)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the driver in the child failed; see its output"
    return False


def freezes(house: House, work: Callable[[Session], object], *, after_commit: int | None) -> int:
    """Let `work` freeze in a child: after its n-th commit, or (None) when it first rests; the child's id, to wake it up again."""
    pid = _child(house, work, (lambda: _after_commit(after_commit, signal.SIGSTOP)) if after_commit is not None else _in_rest)
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return pid


def _child(house: House, work: Callable[[Session], object], prepare: Callable[[], None] | None) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            if prepare is not None:
                prepare()
            work(house.session())
        except BaseException:  # noqa: BLE001 - a child of a test must never go on as pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def _after_commit(commits: int, number: signal.Signals) -> None:
    write, driver, seen = Database.write, threading.get_ident(), [0]

    def counted(self: Database, work: Callable[[Any], Any]) -> Any:
        result = write(self, work)
        if threading.get_ident() == driver:  # the heartbeat commits too, whenever it likes
            seen[0] += 1
            if seen[0] == commits:
                os.kill(os.getpid(), number)
        return result

    Database.write = counted  # type: ignore[method-assign]


def _in_rest() -> None:
    rest, seen = Patience.rest, [0]

    def frozen(self: Patience, *args: Any) -> None:
        seen[0] += 1
        if seen[0] == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        rest(self, *args)

    Patience.rest = frozen  # type: ignore[method-assign]


def beside(house: House, work: Callable[[Session], object]) -> int:
    """Let `work` run in a child beside the test; the child's id."""
    return _child(house, work, None)
