"""Operations: begun once, journaled step by step, ended for good; nobody writes without the newest lease."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlconsole.core.operations import LEGAL_EXITS, Cause, Operation, OperationState, StepState, Wanted
from mlconsole.core.releases import ReleaseKind, Standing
from mlconsole.plugin.errors import Conflict, Locked, PlanOutdated, UnknownName
from mlconsole.registry import Registry, open_registry
from registry.samples import ENV, OLA, TOMEK, SetClock, begun, content, plan, record, release


def standing(registry: Registry, number: int, endpoint: str = "relevance") -> Standing:
    found = registry.release(ENV, endpoint, number)
    assert found is not None
    return found.standing


def live(registry: Registry, endpoint: str = "relevance") -> int | None:
    return {row.name: row.live for row in registry.endpoints(ENV)}[endpoint]


def state(registry: Registry, operation: str = "7f3a") -> OperationState:
    found = registry.operation(operation)
    assert found is not None
    return found.state


def test_a_change_from_start_to_end(registry: Registry, clock: SetClock) -> None:
    registry.adopt(release())
    lease = registry.take_lease(ENV, "relevance", TOMEK, "7f3a", "deploying v4")
    operation = registry.start_operation(plan(), TOMEK, lease, content("3"), 1)
    assert operation == Operation("7f3a", plan(), 2, content("3"), 1, clock.now(), TOMEK)
    assert registry.operation("7f3a") == operation
    assert registry.unfinished() == registry.unfinished(ENV) == [operation]
    assert registry.unfinished("test") == []
    assert standing(registry, 2) is Standing.PENDING
    assert live(registry) == 1

    registry.intend_step(record("7f3a", 0), lease)
    assert registry.steps("7f3a") == [record("7f3a", 0)]
    done = record("7f3a", 0, state=StepState.DONE)
    registry.close_step(done, lease)
    assert registry.steps("7f3a") == [done]

    clock.sleep(12)
    ended = registry.finish("7f3a", OperationState.DONE, lease)
    assert ended == replace(operation, state=OperationState.DONE, ended=clock.now())
    assert registry.operations(ENV, "relevance") == registry.operations(ENV) == [ended]
    assert registry.unfinished() == []
    assert (live(registry), standing(registry, 2), standing(registry, 1)) == (2, Standing.LIVE, Standing.PAST)
    assert registry.leases() == []
    made = registry.release(ENV, "relevance", 2)
    assert made is not None
    assert (made.release.operation, made.release.content, made.release.reason) == ("7f3a", plan().then, "better on pl")


def test_a_change_that_goes_back(registry: Registry) -> None:
    registry.adopt(release())
    lease = begun(registry)
    registry.set_state("7f3a", OperationState.GOING_BACK, lease, Cause.GATE, "smoke: 3 of 3 failed")
    registry.intend_step(record("7f3a", 0, back=True), lease)
    registry.close_step(record("7f3a", 0, back=True, state=StepState.DONE), lease)
    ended = registry.finish("7f3a", OperationState.WENT_BACK, lease)
    assert (ended.cause, ended.problem) == (Cause.GATE, "smoke: 3 of 3 failed")
    assert (live(registry), standing(registry, 1), standing(registry, 2)) == (1, Standing.LIVE, Standing.FAILED)


def test_a_revert_leaves_the_former_release_reverted(registry: Registry) -> None:
    registry.adopt(release())
    registry.finish("7f3a", OperationState.DONE, begun(registry))
    lease = registry.take_lease(ENV, "relevance", TOMEK, "beef", "going back")
    back = replace(plan("beef", kind=ReleaseKind.REVERT), then=content("3"), equals=1)
    registry.start_operation(back, TOMEK, lease, content("4"), 2)
    registry.finish("beef", OperationState.DONE, lease, former=Standing.REVERTED)
    assert [standing(registry, number) for number in (1, 2, 3)] == [Standing.PAST, Standing.REVERTED, Standing.LIVE]
    assert [one.id for one in registry.operations(ENV)] == ["beef", "7f3a"]
    assert [one.id for one in registry.operations(ENV, limit=1)] == ["beef"]


def test_numbers_are_never_given_twice(registry: Registry) -> None:
    for place, plan_id in enumerate(["aa01", "aa02", "aa03"], 1):
        lease = begun(registry, plan_id)
        operation = registry.operation(plan_id)
        assert operation is not None
        assert operation.release == place
        registry.set_state(plan_id, OperationState.GOING_BACK, lease)
        registry.finish(plan_id, OperationState.WENT_BACK, lease)
    assert registry.adopt(release()).number == 4


def test_a_plan_runs_once(registry: Registry) -> None:
    registry.finish("7f3a", OperationState.DONE, begun(registry))
    lease = registry.take_lease(ENV, "relevance", TOMEK, "7f3a", "again")
    with pytest.raises(PlanOutdated, match="7f3a was run already"):
        registry.start_operation(plan(), TOMEK, lease, content("3"), None)
    assert len(registry.releases(ENV)) == 1


def test_no_change_begins_over_an_unfinished_one(registry: Registry) -> None:
    lease = begun(registry)
    registry.drop(lease)
    other = registry.take_lease(ENV, "relevance", OLA, "beef", "", takeover=True)
    with pytest.raises(Locked, match="7f3a"):
        registry.start_operation(plan("beef"), OLA, other, content("3"), None)
    assert not registry.plan_used("beef")


def test_a_lease_of_another_scope_is_no_right(registry: Registry) -> None:
    begun(registry)
    other = registry.take_lease(ENV, "category", TOMEK, "x", "")
    with pytest.raises(Conflict, match="is of relevance"):
        registry.intend_step(record("7f3a", 0), other)
    with pytest.raises(Conflict, match="is of relevance"):
        registry.start_operation(plan("beef"), TOMEK, other, content("3"), None)


def test_unknown_changes_are_told(registry: Registry) -> None:
    lease = registry.take_lease(ENV, "relevance", TOMEK, "x", "")
    with pytest.raises(UnknownName, match="nope"):
        registry.intend_step(record("nope", 0), lease)
    with pytest.raises(UnknownName, match="nope"):
        registry.ask("nope", Wanted.GO_BACK, TOMEK)
    assert registry.operation("nope") is None
    assert registry.wanted("nope") is None
    assert registry.heartbeat_age("nope") is None


def test_steps_are_closed_once_and_tries_are_lines_of_their_own(registry: Registry) -> None:
    lease = begun(registry)
    with pytest.raises(Conflict, match="was never intended"):
        registry.close_step(record("7f3a", 0, state=StepState.DONE), lease)
    registry.intend_step(record("7f3a", 0), lease)
    registry.close_step(record("7f3a", 0, state=StepState.UNKNOWN), lease)
    registry.intend_step(record("7f3a", 0), lease)
    registry.close_step(record("7f3a", 0, state=StepState.FAILED), lease)
    with pytest.raises(Conflict, match="is failed already"):
        registry.close_step(record("7f3a", 0, state=StepState.DONE), lease)
    registry.intend_step(record("7f3a", 0, back=True), lease)
    registry.close_step(record("7f3a", 0, back=True, state=StepState.UNKNOWN), lease)
    registry.close_step(record("7f3a", 0, back=True, state=StepState.DONE), lease)
    assert [(one.back, one.state) for one in registry.steps("7f3a")] == [
        (False, StepState.UNKNOWN),
        (False, StepState.FAILED),
        (True, StepState.DONE),
    ]


def test_whoever_lost_the_lease_writes_nothing(registry: Registry, clock: SetClock) -> None:
    old = begun(registry)
    registry.intend_step(record("7f3a", 0), old)
    clock.sleep(31)
    new = registry.take_lease(ENV, "relevance", OLA, "7f3a", "recovering", takeover=True)
    assert new.token == old.token + 1
    for write in (
        lambda: registry.start_operation(plan("beef"), TOMEK, old, content("3"), None),
        lambda: registry.intend_step(record("7f3a", 1), old),
        lambda: registry.close_step(record("7f3a", 0, state=StepState.DONE), old),
        lambda: registry.set_state("7f3a", OperationState.GOING_BACK, old),
        lambda: registry.finish("7f3a", OperationState.DONE, old),
        lambda: registry.renew(old),
    ):
        with pytest.raises(Conflict, match=r"taken over by ola@bastion-1.*recovering"):
            write()
    assert registry.drop(old) is False
    assert registry.steps("7f3a") == [record("7f3a", 0)]
    assert state(registry) is OperationState.RUNNING
    registry.close_step(record("7f3a", 0, state=StepState.DONE), new)
    registry.finish("7f3a", OperationState.DONE, new)
    with pytest.raises(Conflict, match="given up already"):
        registry.finish("7f3a", OperationState.DONE, new)


def test_terminal_stays_terminal(registry: Registry) -> None:
    registry.finish("7f3a", OperationState.DONE, begun(registry))
    lease = registry.take_lease(ENV, "relevance", TOMEK, "7f3a", "once more", takeover=True)
    for write in (
        lambda: registry.intend_step(record("7f3a", 0), lease),
        lambda: registry.close_step(record("7f3a", 0, state=StepState.DONE), lease),
        lambda: registry.set_state("7f3a", OperationState.GOING_BACK, lease),
        lambda: registry.set_state("7f3a", OperationState.RUNNING, lease),
        lambda: registry.finish("7f3a", OperationState.WENT_BACK, lease),
        lambda: registry.finish("7f3a", OperationState.DONE, lease),
        lambda: registry.ask("7f3a", Wanted.GO_BACK, TOMEK),
    ):
        with pytest.raises(Conflict, match="at its end already"):
            write()
    assert state(registry) is OperationState.DONE


def test_ends_and_other_states_have_methods_of_their_own(registry: Registry) -> None:
    lease = begun(registry)
    with pytest.raises(ValueError, match="finish"):
        registry.set_state("7f3a", OperationState.DONE, lease)
    with pytest.raises(ValueError, match="set_state"):
        registry.finish("7f3a", OperationState.GOING_BACK, lease)


@given(wanted=st.lists(st.sampled_from(OperationState), max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_legal_exits_are_taken(wanted: list[OperationState], quick_folder: Path) -> None:
    with open_registry(quick_folder / f"{os.urandom(8).hex()}.db", clock=SetClock()) as registry:
        lease = begun(registry)
        at = OperationState.RUNNING
        for state_ in wanted:
            change = registry.finish if state_.terminal else registry.set_state
            if state_ in LEGAL_EXITS[at]:
                at = change("7f3a", state_, lease).state
            else:
                with pytest.raises(Conflict):
                    change("7f3a", state_, lease)
            if at.terminal:
                lease = registry.take_lease(ENV, "relevance", TOMEK, "7f3a", "", takeover=True) if not registry.leases() else lease
            assert state(registry) is at
            assert bool(registry.unfinished()) is not at.terminal
            assert (live(registry) == 1) is (at is OperationState.DONE)


def test_asking_needs_no_lease_and_the_first_is_kept(registry: Registry) -> None:
    begun(registry)
    assert registry.wanted("7f3a") is None
    registry.ask("7f3a", Wanted.GO_BACK, OLA)
    registry.ask("7f3a", Wanted.GO_BACK, TOMEK)
    assert registry.wanted("7f3a") == (Wanted.GO_BACK, OLA)
