"""Many processes on one registry: nothing is lost, nobody is told *locked*, a plan runs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlconsole.core.clock import SystemClock
from mlconsole.core.operations import OperationState
from mlconsole.core.releases import ReleaseKind
from mlconsole.plugin.errors import Locked, PlanOutdated
from mlconsole.registry import open_registry
from registry.samples import ENV, TOMEK, SetClock, content, plan, processes, release, version

TRANSACTIONS = 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """On a real disk: here its waiting belongs to what is tested."""
    return tmp_path / "registry.db"


def work_hard(path: str, place: int) -> int:
    """100 read-then-writes, all processes on the same endpoint row: a lost update would give a number twice."""
    with open_registry(Path(path), clock=SystemClock()) as registry:
        numbers = [
            registry.adopt(release(content(str(place)), kind=ReleaseKind.KEPT)).number
            if turn % 2
            else registry.take_lease(ENV, f"scope-{place}-{turn}", TOMEK, "x", "").token
            for turn in range(TRANSACTIONS)
        ]
        return sum(numbers[1::2])


def test_eight_processes_lose_nothing(path: Path) -> None:
    with open_registry(path, clock=SetClock()) as registry:
        registry.add_version(version())
    answers = processes(work_hard, [(str(path), place) for place in range(8)])
    assert all(isinstance(one, int) for one in answers), answers
    count = 8 * TRANSACTIONS // 2
    assert sum(answers) == count * (count + 1) // 2
    with open_registry(path, clock=SystemClock()) as registry:
        assert [one.release.number for one in registry.releases(ENV, limit=10_000)] == list(range(count, 0, -1))
        assert len(registry.leases()) == count


def run_plan(path: str, place: int) -> str:
    with open_registry(Path(path), clock=SystemClock()) as registry:
        found = registry.plan("7f3a")
        assert found is not None
        try:
            lease = registry.take_lease(ENV, "relevance", TOMEK, "7f3a", f"process {place}")
            registry.start_operation(found, TOMEK, lease, content("3"), None)
            registry.finish("7f3a", OperationState.DONE, lease)
        except (Locked, PlanOutdated) as error:
            return type(error).__name__
        return "ran"


@pytest.mark.parametrize("again", range(4))
def test_a_plan_runs_once_in_a_race(path: Path, again: int) -> None:
    with open_registry(path, clock=SetClock()) as registry:
        registry.save_plan(plan())
    answers = processes(run_plan, [(str(path), place) for place in range(3)])
    assert answers.count("ran") == 1, answers
    assert set(answers) <= {"ran", "Locked", "PlanOutdated"}
    with open_registry(path, clock=SetClock()) as registry:
        assert len(registry.operations(ENV)) == len(registry.releases(ENV)) == 1


def start_with(path: str, token: int) -> str:
    """Two that hold the same lease (a forked driver, say) and run the same plan."""
    with open_registry(Path(path), clock=SystemClock()) as registry:
        lease = next(row.lease for row in registry.leases() if row.lease.token == token)
        try:
            registry.start_operation(plan(), TOMEK, lease, content("3"), None)
        except PlanOutdated:
            return "outdated"
        return "ran"


def test_a_plan_runs_once_even_under_one_lease(path: Path) -> None:
    with open_registry(path, clock=SystemClock()) as registry:
        token = registry.take_lease(ENV, "relevance", TOMEK, "7f3a", "").token
    assert sorted(processes(start_with, [(str(path), token)] * 2)) == ["outdated", "ran"]


def take_over(path: str, place: int) -> int | str:
    with open_registry(Path(path), clock=SystemClock()) as registry:
        try:
            return registry.take_lease(ENV, "relevance", TOMEK, "7f3a", f"recovering {place}", takeover=True).token
        except Locked:
            return "locked"


def test_one_of_many_takes_over(path: Path) -> None:
    with open_registry(path, clock=SystemClock()) as registry:
        lease = registry.take_lease(ENV, "relevance", TOMEK, "7f3a", "", seconds=0)
        registry.start_operation(plan(), TOMEK, lease, content("3"), None)
    answers = processes(take_over, [(str(path), place) for place in range(4)])
    # Who took it may have gone again (its process ends) before the next one asks; then that one takes it from the dead.
    taken = sorted(one for one in answers if isinstance(one, int))
    assert taken == list(range(2, 2 + len(taken)))
    assert taken
