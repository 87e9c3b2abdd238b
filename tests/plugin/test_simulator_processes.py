"""The simulated world survives kill -9, and two processes share it."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from pathlib import Path

import pytest

from mlconsole.core.live import Live, VariantState
from mlconsole.core.releases import Content
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.plugin.errors import Conflict
from mlconsole.plugin.roles import Order
from mlconsole.plugin.simulator import Fault, FaultKind, ManualClock, Simulated, When, simulated, simulated_version, variant_of

ONE = Content((variant_of(simulated_version()),), Traffic({"v1": WHOLE}))
FORK = multiprocessing.get_context("fork")


def here(folder: Path) -> Simulated:
    return simulated(folder, clock=ManualClock(path=folder / "clock"))


def start(folder: Path, endpoint: str, fence: int) -> None:
    sim = here(folder)
    step = sim.serving.steps(Live(endpoint), ONE)[0]
    sim.serving.start(endpoint, step, Order(fence, f"{endpoint}@staging#1", {}))


def start_many(folder: Path, name: str) -> None:
    for fence in range(1, 26):
        try:
            start(folder, "shared", fence)
        except Conflict:
            continue
        start(folder, f"{name}-{fence}", fence)


@pytest.mark.parametrize(("when", "exists"), [(When.BEFORE, False), (When.AFTER, True)])
def test_a_crash_at_a_call(tmp_path: Path, when: When, exists: bool) -> None:
    sim = here(tmp_path)
    sim.world.inject(Fault(FaultKind.CRASH, "serving.start", when=when))
    child = FORK.Process(target=start, args=(tmp_path, "relevance", 1))
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL
    assert sim.world.live("relevance").exists is exists
    assert sim.world.calls[-1].outcome is None
    start(tmp_path, "relevance", 2)  # the fault is used up, the lock is free
    sim.clock.sleep(30)
    assert sim.world.live("relevance").variants[0].state is VariantState.READY


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    sim = here(tmp_path)
    children = [FORK.Process(target=start_many, args=(tmp_path, name)) for name in ("a", "b")]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    calls = sim.world.calls
    taken = Counter(call.endpoint.partition("-")[0] for call in calls if call.outcome == "ok")
    endpoints = Counter(name.partition("-")[0] for name in sim.serving.list())
    assert endpoints["a"] == taken["a"]
    assert endpoints["b"] == taken["b"]
    assert len({call.number for call in calls}) == len(calls)
    fences = [call.fence or 0 for call in calls if call.endpoint == "shared" and call.outcome == "ok"]
    assert max(fences) == 25
