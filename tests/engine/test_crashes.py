"""kill -9 at every journal boundary and around every changing call: after recovery wholly new or wholly back, the history whole, nobody
waits for a lock (invariants 1 and 2, trap 25).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.conftest import TOMEK, House
from engine.dying import dies
from engine.kit import NAME, PLANS, deploy, shift, stands, told, whole
from mlconsole.core.operations import OperationState
from mlconsole.core.plans import Plan
from mlconsole.engine import changing, endpoints, history, planning
from mlconsole.engine.views import State
from mlconsole.plugin.errors import Locked
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind, When, simulated_version

READY = Callable[..., House]


def planned(house: House, change: str) -> Plan:
    session = house.session()
    plan = PLANS[change](session)
    session.registry.close()
    return plan


def repaired(house: House, plan: Plan, *, by_the_next_change: bool) -> None:
    """Whoever comes next brings it to its end; before that, looking at it says so and changes nothing."""
    session = house.session(TOMEK)
    left = session.registry.unfinished("staging")
    if left:
        started = len(house.sim.world.started())
        view = endpoints.show(session, NAME)
        assert view.state is State.LOOK
        assert f"change {plan.id} " in view.finding
        assert view.next == f"mlconsole recover {plan.id}"
        assert [one.id for one in history.changes(session) if one.interrupted] == [plan.id]
        assert len(house.sim.world.started()) == started, "looking repaired"
        if by_the_next_change:
            assert changing.interrupted_first(session, NAME) is not None
        else:
            changing.recover(session, left[0])
    if session.registry.operation(plan.id) is None:
        stands(house, plan.now)  # it had not begun
        changing.run(session, plan)
    whole(house, plan.id)
    session.registry.close()


@pytest.mark.parametrize("change", PLANS)
def test_killed_after_any_commit(ready_house: READY, change: str) -> None:
    ends, boundary = set(), 0
    while True:
        boundary += 1
        house = ready_house(change)
        plan = planned(house, change)
        if not dies(house, lambda session, plan=plan: changing.run(session, plan), after_commit=boundary):  # type: ignore[misc]
            break
        repaired(house, plan, by_the_next_change=bool(boundary % 2))
        ended = house.session().registry.operation(plan.id)
        assert ended is not None
        ends.add(ended.state)
    whole(house, plan.id)
    assert boundary > len(plan.steps) * 2 + 2, "not every boundary was met"
    both = {OperationState.DONE, OperationState.WENT_BACK}
    assert ends == ({OperationState.DONE} if change == "revert" else both)


def test_killed_after_any_commit_where_one_update_does_everything(ready_house: READY) -> None:
    boundary = 0
    while True:
        boundary += 1
        house = ready_house("deploy", "combined")
        plan = planned(house, "deploy")
        if not dies(house, lambda session, plan=plan: changing.run(session, plan), after_commit=boundary):  # type: ignore[misc]
            break
        repaired(house, plan, by_the_next_change=bool(boundary % 2))


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("change", PLANS)
def test_killed_around_any_changing_call(ready_house: READY, change: str, when: When) -> None:
    """Between the intent and the call, and between the call and what is known of it."""
    call = 0
    while True:
        house = ready_house(change)
        plan = planned(house, change)
        house.sim.world.inject(Fault(FaultKind.CRASH, on="*.start", after=call, when=when))
        if not dies(house, lambda session, plan=plan: changing.run(session, plan)):  # type: ignore[misc]
            break
        repaired(house, plan, by_the_next_change=bool(call % 2))
        call += 1
    assert call == sum(1 for step in plan.steps if step.role != "gate")


@pytest.mark.parametrize("shape", ["separate", "combined"])
@pytest.mark.parametrize("after", [2, 3, 5, 9, 14])
def test_killed_while_it_only_looks(ready_house: READY, shape: str, after: int) -> None:
    """While it polls, the backend may be in the middle of a transition; whoever repairs waits for that, and believes nothing before."""
    house = ready_house("deploy", shape)
    plan = planned(house, "deploy")
    house.sim.world.inject(Fault(FaultKind.CRASH, on="serving.describe", after=after))
    assert dies(house, lambda session: changing.run(session, plan))
    repaired(house, plan, by_the_next_change=False)


@pytest.mark.parametrize("shape", ["separate", "combined"])
def test_killed_in_a_gate(ready_house: READY, shape: str) -> None:
    """A gate that was not passed in the journal is not passed, even where the live state is the new release already (trap 8)."""
    house = ready_house("deploy", shape)
    session = house.session()
    plan = planning.plan_deploy(session, NAME, "5")
    session.registry.close()
    house.sim.world.inject(Fault(FaultKind.CRASH, on="serving.invoke", when=When.AFTER))
    assert dies(house, lambda session: changing.run(session, plan))
    if shape == "combined":
        stands(house, plan.then)
    repaired(house, plan, by_the_next_change=False)
    assert told(house.session())[-1][2] == "failed"


def test_killed_on_the_way_back(ready_house: READY) -> None:
    """A change that goes back keeps going back, whoever drives it (trap 11)."""
    boundary = 0
    while True:
        boundary += 1
        house = ready_house("deploy")
        house.sim.world.behave(simulated_version("relevance", "5"), Behaviour(refuses={"*": "no"}))
        plan = planned(house, "deploy")
        if not dies(house, lambda session, plan=plan: changing.run(session, plan), after_commit=boundary):  # type: ignore[misc]
            break
        repaired(house, plan, by_the_next_change=bool(boundary % 2))
        if boundary > 1:
            assert told(house.session())[2][2] == "failed"
    assert boundary > 9


def test_killed_while_it_recovers(ready_house: READY) -> None:
    """Whoever repairs may be killed too, at any commit; the next one ends it."""
    boundary = 0
    while True:
        boundary += 1
        house = ready_house("deploy")
        plan = planned(house, "deploy")
        house.sim.world.inject(Fault(FaultKind.CRASH, on="*.start", after=1, when=When.AFTER))
        assert dies(house, lambda session, plan=plan: changing.run(session, plan))  # type: ignore[misc]
        left = house.session().registry.unfinished("staging")[0]
        if not dies(house, lambda session, left=left: changing.recover(session, left), after_commit=boundary):  # type: ignore[misc]
            break
        repaired(house, plan, by_the_next_change=bool(boundary % 2))
    assert boundary > 3


def test_a_change_that_was_asked_to_go_back_before_its_driver_died_goes_back(ready_house: READY) -> None:
    """Invariant 5: abort always wins, also over having arrived."""
    house = ready_house("shift")
    plan = planned(house, "shift")
    commits = 4  # lease, operation, intent, step done: everything but the end is written
    assert dies(house, lambda session: changing.run(session, plan), after_commit=commits)
    stands(house, plan.then)
    outcome = changing.go_back_now(house.session(), NAME)
    assert outcome is not None
    assert not outcome.done
    stands(house, plan.now)
    whole(house, plan.id)


def test_nothing_goes_forward_over_an_interrupted_change(ready_house: READY) -> None:
    """One at a time (invariant 4): a plan that was made before, or by somebody who did not look, is refused with what to do first."""
    house = ready_house("shift")
    plan, other = planned(house, "shift"), planned(house, "shadow")
    house.sim.world.inject(Fault(FaultKind.CRASH, on="*.start"))
    assert dies(house, lambda session: changing.run(session, plan))
    with pytest.raises(Locked, match=rf"Its change {plan.id} stopped in step 1 of 1") as error:
        changing.run(house.session(TOMEK), other)
    assert error.value.exit_code == 5
    assert "mlconsole recover" in error.value.next
    with pytest.raises(Locked, match=rf"has a change that was interrupted, {plan.id}"):
        planned(house, "deploy")
    changing.recover(house.session(), house.session().registry.unfinished("staging")[0])
    assert shift(house.session(), v4=3000).done
    assert deploy(house.session(), "5").done
