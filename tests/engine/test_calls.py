"""Calls to a backend: deadlines, threads of their own, and what a hung call may still do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from engine.kit import until
from mlconsole.engine.calls import Calls
from mlconsole.plugin.errors import BackendError, OutcomeUnknown, Refused, Unavailable


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What calls in these tests hang on; let go at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_an_answer_and_an_error_come_through() -> None:
    calls = Calls("sim")
    assert calls.ask("x", lambda: 42) == 42

    def refuse() -> None:
        raise Refused("No room.")

    with pytest.raises(Refused, match=r"No room\."):
        calls.change("x", refuse)


def test_a_bug_in_an_adapter_is_no_traceback_and_no_answer() -> None:
    def buggy() -> None:
        raise ValueError("a\x1b[2Jb")

    with pytest.raises(BackendError, match=r"The adapter for sim failed: ValueError: a\\x1b\[2Jb\."):
        Calls("sim").ask("x", buggy)

    def impatient() -> None:
        raise TimeoutError("socket")

    with pytest.raises(Unavailable, match="its adapter's own time was up"):
        Calls("sim").change("x", impatient)


def test_reading_that_hangs_is_unavailable_and_changing_is_unknown(gate: threading.Event) -> None:
    calls = Calls("sim")
    with pytest.raises(Unavailable, match=r"sim did not answer within 50 ms \(listing\)"):
        calls.ask("listing", gate.wait, deadline=0.05)
    with pytest.raises(OutcomeUnknown, match="It may have worked or not"):
        calls.change("start v4", gate.wait, deadline=0.05)


def test_one_that_hangs_holds_no_other_up(gate: threading.Event) -> None:
    """Also when a thread seems to be free: two calls at once never share one."""
    calls = Calls("sim")
    assert calls.ask("warm up", lambda: 1) == 1
    threading.Thread(target=lambda: calls.ask("hangs", gate.wait, deadline=20.0), daemon=True).start()
    until(lambda: calls._busy == 1, "it hangs")
    began = time.monotonic()
    assert calls.ask("x", lambda: 2, deadline=3.0) == 2
    assert time.monotonic() - began < 1.0


def test_when_all_hang_the_next_one_fails_at_once_and_works_again_later(gate: threading.Event) -> None:
    calls = Calls("sim", size=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            calls.ask("x", gate.wait, deadline=0.02)
    with pytest.raises(Unavailable, match="sim answers nothing: 2 calls hang"):
        calls.ask("x", lambda: 1)
    gate.set()
    until(lambda: calls._hung == 0, "they come back")
    assert calls.ask("x", lambda: 1) == 1


def test_a_call_that_was_never_begun_never_is(gate: threading.Event) -> None:
    """Queued behind others and given up: it must not change something an hour later."""
    calls = Calls("sim", size=1)
    done: list[int] = []
    first = threading.Thread(target=lambda: calls.ask("slow", gate.wait, deadline=10.0), daemon=True)
    first.start()
    until(lambda: calls._busy == 1, "the only thread is busy")
    with pytest.raises(Unavailable, match="sim was not asked: 1 calls keep it busy") as error:
        calls.change("x", lambda: done.append(1), deadline=0.05)
    assert not isinstance(error.value, OutcomeUnknown)
    gate.set()
    first.join(5)
    assert calls.ask("after it", lambda: 3) == 3
    assert done == []


def test_whoever_waits_looks_around(gate: threading.Event) -> None:
    """Invariant 5: at least each second, while a call takes its time; what the look raises ends the waiting."""
    calls = Calls("sim")
    looks: list[float] = []

    class GoBack(Exception):
        pass

    def look() -> None:
        looks.append(time.monotonic())
        if len(looks) == 2:
            raise GoBack

    began = time.monotonic()
    with calls.attended(look), pytest.raises(GoBack):
        calls.change("hangs", gate.wait, deadline=20.0)
    assert looks[-1] - began < 2.0
    assert calls._hung == 1
    assert calls.ask("not attended any more", lambda: 1) == 1


def test_a_hung_call_keeps_no_process(gate: threading.Event) -> None:
    """Threads are daemons: a `ThreadPoolExecutor` would hold the program at its exit."""
    calls = Calls("sim")
    with pytest.raises(Unavailable):
        calls.ask("x", gate.wait, deadline=0.02)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("backend sim"))
