"""Two consoles at once, and a person's hand on the brake: one change at a time, abort always wins, who lost the lock touches nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.conftest import ANNA, TOMEK, House, build
from engine.dying import dies, freezes
from engine.kit import NAME, PLANS, Running, deploy, lines, ready, shift, stands, until, whole
from mlconsole.core.clock import SystemClock
from mlconsole.core.errors import MLConsoleError
from mlconsole.core.operations import OperationState, StepState
from mlconsole.engine import changing, planning
from mlconsole.engine.holding import LeftBetween, Stop
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import Conflict, Locked, PlanOutdated, StillRunning
from mlconsole.plugin.simulator import Fault, FaultKind


@pytest.fixture
def real(tmp_path: Path) -> House:
    """A house in real time, as two threads need it; v3 is live, and whatever comes next gets stuck coming up."""
    house = build(tmp_path, clock=SystemClock(), variant_seconds=0.05, traffic_seconds=0.02, stop_seconds=0.02)
    house.register("3", "4", "5")
    assert deploy(house.session(), "3").done
    house.sim.world.inject(Fault(FaultKind.STUCK))
    return house


def stuck(house: House) -> Running:
    """A deployment that is on its way and does not arrive."""
    session = house.session()
    running = Running(session, planning.plan_deploy(session, NAME, "4", share=1000))
    until(lambda: len(house.sim.world.started(NAME)) == 3, "the start of v4 is asked for")
    return running


def test_the_loser_is_told_who_changes_what_since_when(real: House) -> None:
    """Invariant 4."""
    other = planning.plan_deploy(real.session(TOMEK), NAME, "5", share=1000)
    running = stuck(real)
    with pytest.raises(Locked) as error:
        changing.run(real.session(TOMEK), other)
    assert error.value.exit_code == 5
    message = error.value.message
    assert message.startswith("relevance is locked by anna@bastion-1 since ")
    assert "(deploy relevance, step 1 of 3, alive" in message
    assert error.value.next == "Wait: mlconsole wait relevance."
    with pytest.raises(Locked, match=r"relevance is locked by anna@bastion-1 since \d\d:\d\d \(deploy relevance, alive .* ago\)"):
        deploy(real.session(TOMEK), "5")
    with pytest.raises(Locked):
        changing.interrupted_first(real.session(TOMEK), NAME)
    with pytest.raises(Locked):
        changing.recover(real.session(TOMEK), real.session().registry.unfinished("staging")[0])
    assert not any("was interrupted" in progress.text for progress in real.told), "it is alive"
    running.stop.press()
    running.join()
    assert running.outcome is not None
    assert running.outcome.exit_code == 130
    whole(real, running.plan.id)


def test_the_lease_is_kept_alive_while_it_runs(real: House) -> None:
    """The heart beats each second, however long a step takes."""
    running = stuck(real)
    registry = real.session().registry
    first = registry.leases("staging")[0].lease.expires
    until(lambda: registry.leases("staging")[0].lease.expires > first, "the lease is renewed", seconds=5)
    running.stop.press()
    running.join()


def test_a_running_driver_obeys_within_a_second(real: House) -> None:
    """Invariant 5: control is a row that needs no lease."""
    running = stuck(real)
    registry = real.session().registry
    asked = time.monotonic()
    back: list[object] = []
    other = threading.Thread(target=lambda: back.append(changing.go_back_now(real.session(TOMEK), NAME)), daemon=True)
    other.start()
    until(lambda: registry.wanted(running.plan.id) is not None, "it is asked")
    until(lambda: registry.operation(running.plan.id).state is not OperationState.RUNNING, "it obeys")  # type: ignore[union-attr]
    assert time.monotonic() - asked < 2.0, "a second, and some for a busy machine"
    running.join()
    other.join(10)
    assert running.outcome is not None
    assert not running.outcome.done
    assert "tomek@bastion-1 asked to go back" in running.outcome.sentence
    assert running.outcome.exit_code == 1
    assert back[0].operation.id == running.plan.id  # type: ignore[attr-defined]
    whole(real, running.plan.id)


def test_a_person_may_stop_waiting_for_it(real: House) -> None:
    """Ctrl-C while somebody else's driver goes back: it goes on without the one who asked."""
    running = stuck(real)
    real.sim.world.inject(Fault(FaultKind.THROTTLE, times=None))
    stop = Stop()
    stop.press()
    with pytest.raises(LeftBetween, match="was asked to go back, and does that without you") as error:
        changing.go_back_now(real.session(TOMEK), NAME, stop=stop)
    assert error.value.exit_code == 130
    real.sim.world.clear_faults()
    running.join()
    whole(real, running.plan.id)


def test_the_same_plan_twice_at_once_runs_once(real: House) -> None:
    real.sim.world.clear_faults()
    plan = planning.plan_deploy(real.session(), NAME, "4", share=1000)
    both = [Running(real.session(who), plan) for who in (ANNA, TOMEK)]
    for running in both:
        running.join()
    assert sum(running.outcome is not None for running in both) == 1
    [error] = [running.error for running in both if running.error is not None]
    assert isinstance(error, Locked | PlanOutdated)
    whole(real, plan.id)


def test_nothing_runs_there(house: House) -> None:
    deploy(house.session(), "3")
    assert changing.go_back_now(house.session(), NAME) is None
    assert changing.interrupted_first(house.session(), NAME) is None


def test_a_change_that_has_just_arrived_is_not_gone_back_from_by_its_name(real: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, not a success: whoever asked has to plan the way back, and sees to what."""
    real.sim.world.clear_faults()
    session = real.session(TOMEK)
    outcome = deploy(real.session(), "4", 1000)
    ended = session.registry.operation(outcome.operation.id)
    monkeypatch.setattr(session.registry, "unfinished", lambda environment: [ended])
    assert changing.go_back_now(session, NAME) is None


def test_a_revert_that_was_interrupted_is_seen_to_its_end(ready_house: Callable[..., House]) -> None:
    """Whoever types `revert` again after a lost connection wants to arrive where the first one led, not where it came from."""
    house = ready_house("revert")
    session = house.session()
    plan = PLANS["revert"](session)
    session.registry.close()
    house.sim.world.inject(Fault(FaultKind.CRASH, on="*.start", after=1))
    assert dies(house, lambda session: changing.run(session, plan))
    outcome = changing.go_back_now(house.session(TOMEK), NAME)
    assert outcome is not None
    assert outcome.done
    assert outcome.sentence == "relevance went back: #3 equals #1: v3 100 %, read back."
    whole(house, plan.id)


def test_going_back_by_ctrl_c(house: House) -> None:
    """Design §6: the first one stops and goes back, exit 130."""
    session = house.session()
    deploy(session, "3")
    stop = Stop()
    stop.press()
    outcome = changing.run(session, planning.plan_deploy(session, NAME, "4", share=1000), stop=stop)
    assert (outcome.done, outcome.exit_code) == (False, 130)
    assert "stopped by anna@bastion-1" in outcome.sentence
    whole(house, outcome.operation.id)


def test_the_second_ctrl_c_leaves_it(real: House) -> None:
    """Exit 130, with the command that finishes it; obeyed in the middle of a step of the way back, too."""
    running = stuck(real)
    real.sim.world.inject(Fault(FaultKind.STUCK, times=None))
    running.stop.press()
    until(lambda: real.sim.world.started(NAME)[-1] == "stop variant", "it goes back")
    running.stop.press()
    pressed = time.monotonic()
    running.join()
    assert time.monotonic() - pressed < 2.0
    assert isinstance(running.error, LeftBetween)
    assert running.error.exit_code == 130
    assert running.error.next == f"mlconsole recover {running.plan.id} --env staging finishes it."
    registry = real.session().registry
    assert registry.leases("staging") == []
    assert registry.unfinished("staging")[0].state is OperationState.GOING_BACK
    assert all(record.state is not StepState.INTENDED for record in registry.steps(running.plan.id))
    real.sim.world.clear_faults()
    real.sim.world.unstick(NAME)
    outcome = changing.recover(real.session(TOMEK), registry.unfinished("staging")[0])
    assert not outcome.done
    whole(real, running.plan.id)


@pytest.mark.parametrize("where", ["between the intent and the call", "while it polls"])
def test_a_frozen_driver_that_was_taken_over_changes_nothing_more(ready_house: Callable[..., House], tmp_path: Path, where: str) -> None:
    """Invariant 4 and the fence: stopped (a laptop's lid, SIGSTOP) for longer than its lease, its change is brought to an end by somebody
    else; woken up, it meets a newer token, at the backend as in the registry, and ends with a clear error.
    """
    house = ready_house("shift")
    session = house.session()
    plan = PLANS["shift"](session)
    session.registry.close()
    world = house.sim.world
    world.inject(Fault(FaultKind.STUCK))
    said = tmp_path / "said"

    def work(session: Session) -> None:
        try:
            said.write_text(changing.run(session, plan).sentence)
        except MLConsoleError as error:
            said.write_text(f"{type(error).__name__} {error.exit_code} {error.message} | {error.next}")

    # The commits are: the lease, the operation, the intent of its only step.
    pid = freezes(house, work, after_commit=3 if where.startswith("between") else None)
    try:
        called = [call for call in world.calls if call.name.endswith(".start") and call.pid == pid]
        assert len(called) == (0 if where.startswith("between") else 1)
        with pytest.raises(Locked):
            changing.recover(house.session(TOMEK), house.session().registry.unfinished("staging")[0])
        house.passes(11)
        outcome = changing.go_back_now(house.session(TOMEK), NAME)
        assert outcome is not None
        assert not outcome.done
        assert "tomek@bastion-1 asked to go back" in outcome.sentence
        whole(house, plan.id)
    finally:
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
    house.passes(100)
    stands(house, plan.now)
    whole(house, plan.id)
    text = said.read_text()
    assert text.startswith("Conflict 5 The lock on relevance was "), text
    assert text.endswith("what this change still wanted to record was not written. | See what became of it: mlconsole history."), text
    late = [call for call in world.calls if call.name.endswith(".start") and call.pid == pid][len(called) :]
    assert [call.outcome for call in late] == (["conflict"] if where.startswith("between") else [])


def test_a_dead_driver_is_taken_over_at_once(ready_house: Callable[..., House]) -> None:
    """Abort always wins: nobody waits ten seconds for a process that is gone."""
    house = ready_house("deploy")
    session = house.session()
    plan = PLANS["deploy"](session)
    session.registry.close()
    house.sim.world.inject(Fault(FaultKind.CRASH, on="traffic.start"))
    assert dies(house, lambda session: changing.run(session, plan))
    began = house.clock.elapsed()
    outcome = changing.go_back_now(house.session(TOMEK), NAME)
    assert outcome is not None
    assert not outcome.done
    assert house.clock.elapsed() - began < 10
    whole(house, plan.id)


def test_one_scope_one_change_whatever_the_endpoint(make_house: Callable[..., House]) -> None:
    """Where a backend says that several endpoints share a scope (AppConfig's environment), they wait for each other (trap 5)."""
    house = make_house(scope="application")
    house.register("3", "4")
    session = house.session()
    deploy(session, "3")
    plan = planning.plan_deploy(session, NAME, "4", share=1000)
    other = planning.plan_deploy(session, NAME, "3", endpoint="other")
    session.registry.close()
    house.sim.world.inject(Fault(FaultKind.CRASH, on="traffic.start"))
    assert dies(house, lambda session: changing.run(session, plan))
    with pytest.raises(Locked, match=f"relevance, which shares its lock with other, has a change that was interrupted, {plan.id}"):
        planning.plan_deploy(house.session(), NAME, "4", endpoint="other")
    with pytest.raises(Locked, match="application is locked by"):
        changing.run(house.session(), other)
    repaired = changing.interrupted_first(house.session(), "other")
    assert repaired is not None
    assert repaired.operation.endpoint == NAME
    whole(house, plan.id)
    assert changing.run(house.session(), other).done


def test_waiting_for_a_change(real: House) -> None:
    """`wait` ends with the change, or says that it goes on (exit 8), and whether anybody drives it."""
    running = stuck(real)
    with pytest.raises(StillRunning, match=rf"Change {running.plan.id} of relevance is still running after 0 ms\.") as error:
        changing.wait(real.session(), NAME, timeout=0)
    assert error.value.exit_code == 8
    assert error.value.next == f"mlconsole wait {running.plan.id} --env staging"
    running.stop.press()
    outcome = changing.wait(real.session(), running.plan.id, timeout=20)
    assert outcome.operation.id == running.plan.id
    assert not outcome.done
    running.join()
    assert changing.wait(real.session(), "relevance#2", timeout=0).operation.id == running.plan.id


def test_the_journal_that_cannot_be_written_stops_the_change_where_it_is(
    ready_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle: nothing is done that can't be written down (invariant 1), and the error says what became of the change."""
    from mlconsole.plugin.errors import RegistryUnusable

    house = ready_house("shift")
    session = house.session()
    plan = PLANS["shift"](session)

    def full(*_: object) -> None:
        raise RegistryUnusable("The registry x can't grow: its disk is full. Nothing was changed.", next="Make room.")

    monkeypatch.setattr(session.registry, "close_step", full)
    with pytest.raises(RegistryUnusable) as error:
        changing.run(session, plan)
    assert error.value.message == (
        f"The registry x can't grow: its disk is full. Change {plan.id} of relevance stopped where it was; nobody drives it now."
    )
    assert error.value.next == f"Make room. Then mlconsole recover {plan.id} --env staging finishes it."
    assert session.registry.leases("staging") == []
    changing.recover(house.session(), house.session().registry.unfinished("staging")[0])
    whole(house, plan.id)


def test_a_listener_that_is_gone_ends_no_change(house: House) -> None:
    """A dropped terminal, a closed pipe."""
    session = house.session()

    def gone(_: object) -> None:
        raise BrokenPipeError

    session._tell = gone
    assert deploy(session, "3").done
    outcome = deploy(session, "4", 1000)
    assert outcome.done
    assert len(lines(session, outcome)) == 3
    assert ready(house, "v4")
    assert shift(session, v4=2000).done


def test_conflict_is_a_conflict() -> None:
    """Scripts can tell *somebody else was there* from *it failed*: exit 5."""
    assert {Conflict.exit_code, Locked.exit_code, PlanOutdated.exit_code} == {5}
