"""Leases: one holder, a rising token, the others told who; the dead found out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mlconsole.core.models import Actor
from mlconsole.core.operations import Lease, OperationState, StepState
from mlconsole.plugin.errors import Conflict, Locked
from mlconsole.registry import Registry, here, open_registry
from registry.samples import ENV, OLA, START, TOMEK, SetClock, begun, content, plan, record

SINCE = START.astimezone().strftime("%H:%M")


def test_the_second_is_told_who_since_when_doing_what(registry: Registry, clock: SetClock) -> None:
    lease = begun(registry, purpose="publishing config 128")
    for index in (0, 1):
        registry.intend_step(record("7f3a", index), lease)
    clock.sleep(3)
    with pytest.raises(Locked) as refused:
        registry.take_lease(ENV, "relevance", OLA, "beef", "")
    assert str(refused.value) == (
        f"relevance is locked by tomek@bastion-1 since {SINCE} (publishing config 128, step 2 of 4, alive 3 s ago). "
        "Wait: mlconsole wait relevance."
    )
    assert (refused.value.exit_code, refused.value.code) == (5, "locked")
    registry.set_state("7f3a", OperationState.GOING_BACK, lease)
    with pytest.raises(Locked, match="going back"):
        registry.take_lease(ENV, "relevance", OLA, "beef", "")


def test_a_step_that_is_tried_again_is_told_as_the_same_step(registry: Registry) -> None:
    lease = begun(registry)
    for index, place in enumerate([0, 1, 2, 0, 1]):
        registry.intend_step(record("7f3a", index, place=place), lease)
    with pytest.raises(Locked, match="step 2 of 4"):
        registry.take_lease(ENV, "relevance", OLA, "beef", "")


def test_a_lease_of_yesterday_is_told_with_its_date(registry: Registry, clock: SetClock) -> None:
    lease = registry.take_lease(ENV, "relevance", TOMEK, "x", "", seconds=1e6)
    clock.sleep(2 * 86_400)
    registry.renew(lease)
    with pytest.raises(Locked, match=rf"since {START.astimezone():%Y-%m-%d %H:%M} \(alive 0 ms ago\)"):
        registry.take_lease(ENV, "relevance", OLA, "y", "")


def test_foreign_text_in_a_lease_is_harmless(registry: Registry) -> None:
    registry.take_lease(ENV, "relevance", TOMEK, "x", "\x1b[2Jbad")
    with pytest.raises(Locked) as refused:
        registry.take_lease(ENV, "relevance", OLA, "y", "")
    assert "\x1b" not in refused.value.message


def test_several_are_taken_in_name_order_or_none(registry: Registry) -> None:
    assert [one.scope for one in registry.take_leases(ENV, ["c", "a", "c"], TOMEK, "x", "")] == ["a", "c"]
    with pytest.raises(Locked, match="c is locked"):
        registry.take_leases(ENV, ["b", "c", "d"], OLA, "y", "")
    assert [row.lease.scope for row in registry.leases(ENV)] == ["a", "c"]
    assert registry.leases("test") == []
    assert registry.take_lease("test", "a", OLA, "y", "").token == 1


def test_the_token_rises_for_ever(registry: Registry) -> None:
    tokens = []
    for _ in range(3):
        lease = registry.take_lease(ENV, "relevance", TOMEK, "x", "")
        tokens.append(lease.token)
        assert registry.drop(lease) is True
        assert registry.drop(lease) is False
    assert tokens == [1, 2, 3]


def test_renewing_is_the_heartbeat(registry: Registry, clock: SetClock) -> None:
    lease = begun(registry)
    assert lease.expires == lease.taken + 30
    clock.sleep(4)
    assert registry.heartbeat_age("7f3a") == 4
    renewed = registry.renew(lease)
    assert (renewed.expires, renewed.token) == (lease.expires + 4, lease.token)
    assert registry.heartbeat_age("7f3a") == 0
    clock.sleep(29)
    row = registry.leases()[0]
    assert (row.alive, row.age, row.lease) == (True, 29, renewed)
    registry.drop(lease)
    assert registry.heartbeat_age("7f3a") is None
    with pytest.raises(Conflict, match="given up"):
        registry.renew(lease)


def test_one_that_ran_out_is_taken_when_it_left_nothing_behind(registry: Registry, clock: SetClock) -> None:
    old = registry.take_lease(ENV, "relevance", TOMEK, "x", "")
    clock.sleep(30)
    assert registry.leases()[0].dead_because == "it ran out"
    new = registry.take_lease(ENV, "relevance", OLA, "y", "")
    assert new.token == old.token + 1
    with pytest.raises(Conflict, match="taken over by ola"):
        registry.renew(old)


def test_the_holder_may_renew_one_that_ran_out_and_nobody_took(registry: Registry, clock: SetClock) -> None:
    lease = registry.take_lease(ENV, "relevance", TOMEK, "x", "")
    clock.sleep(500)
    registry.renew(lease)
    assert registry.leases()[0].alive


def test_a_stopped_change_is_recovered_first(registry: Registry, clock: SetClock) -> None:
    old = begun(registry)
    for index in (0, 1):
        registry.intend_step(record("7f3a", index), old)
        registry.close_step(record("7f3a", index, state=StepState.DONE), old)
    clock.sleep(41 * 60)
    with pytest.raises(Locked) as refused:
        registry.take_lease(ENV, "relevance", OLA, "beef", "")
    assert str(refused.value) == (
        f"relevance is locked by tomek@bastion-1 since {SINCE} (deploying v4, last sign of life 41 min ago). "
        "Its change 7f3a stopped between step 2 and 3. Finish it one way or the other first: mlconsole recover --env production."
    )
    new = registry.take_lease(ENV, "relevance", OLA, "7f3a", "recovering", takeover=True)
    assert new.token == old.token + 1
    registry.finish("7f3a", OperationState.DONE, new)
    assert registry.take_lease(ENV, "relevance", OLA, "beef", "").token == new.token + 1


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ([], "before its first step"),
        ([StepState.DONE, StepState.INTENDED], "in step 2 of 4"),
        ([StepState.DONE] * 4, "after its last step"),
    ],
)
def test_where_a_change_stopped(registry: Registry, steps: list[StepState], where: str) -> None:
    lease = begun(registry)
    for index, state in enumerate(steps):
        registry.intend_step(record("7f3a", index), lease)
        if state is not StepState.INTENDED:
            registry.close_step(record("7f3a", index, state=state), lease)
    registry.drop(lease)
    with pytest.raises(Locked, match=rf"\(change 7f3a\)\. Its change 7f3a stopped {where}"):
        registry.take_lease(ENV, "relevance", OLA, "beef", "")


def test_taking_over_waits_for_silence(registry: Registry, clock: SetClock) -> None:
    lease = begun(registry)
    clock.sleep(10)
    with pytest.raises(Locked, match="alive 10 s ago"):
        registry.take_lease(ENV, "relevance", OLA, "7f3a", "", takeover=True)
    clock.sleep(0.1)
    assert registry.leases()[0].alive
    assert registry.take_lease(ENV, "relevance", OLA, "7f3a", "", takeover=True).token == lease.token + 1
    with pytest.raises(Locked, match="ola"):
        registry.take_lease(ENV, "relevance", TOMEK, "7f3a", "", takeover=True)


def test_another_boot_ends_all_leases(registry: Registry, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(registry)
    clock.sleep(90)
    clock.seconds = 3.0  # the clock began again
    assert not registry.leases()[0].alive
    clock.seconds = 1005.0
    assert registry.leases()[0].alive
    monkeypatch.setattr(here, "boot_id", lambda: "another")
    row = registry.leases()[0]
    assert (row.alive, row.age) == (False, 90)
    assert "started again" in row.dead_because
    assert registry.heartbeat_age("7f3a") == 90
    registry.take_lease(ENV, "relevance", OLA, "7f3a", "recovering", takeover=True)


def test_a_process_that_is_gone_is_found_out(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    monkeypatch.setattr(os, "getpid", lambda: gone.pid)
    registry.take_lease(ENV, "relevance", TOMEK, "x", "")
    monkeypatch.undo()
    row = registry.leases()[0]
    assert (row.alive, row.dead_because) == (False, f"its process {gone.pid} is gone")
    monkeypatch.setattr(here, "place", lambda: "in a container, which has its own process ids")
    assert registry.leases()[0].alive
    monkeypatch.undo()
    assert registry.take_lease(ENV, "relevance", OLA, "y", "").token == 2


def test_where_we_are() -> None:
    assert here.boot_id() == here.boot_id() != ""
    assert os.uname().nodename in here.place()
    assert not here.is_gone(os.getpid())
    assert not here.is_gone(1)


class Holders(RuleBasedStateMachine):
    """Whatever two holders and the clock do: at most one may write, and that is the one with the newest token."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.clock = SetClock()
        self.registry = open_registry(self.folder / f"{os.urandom(8).hex()}.db", clock=self.clock)
        first = self.registry.take_lease(ENV, "s", TOMEK, "7f3a", "")
        self.registry.start_operation(plan(scope="s"), TOMEK, first, content("3"), None)
        self.all: list[Lease] = [first]

    def teardown(self) -> None:
        self.registry.close()

    @rule(who=st.sampled_from([TOMEK, OLA]), takeover=st.booleans())
    def take(self, who: Actor, takeover: bool) -> None:
        held = self.registry.leases()
        try:
            lease = self.registry.take_lease(ENV, "s", who, "7f3a", "", takeover=takeover)
        except Locked:
            assert not takeover or (held[0].alive and held[0].age <= 10)
        else:
            assert takeover
            assert lease.token == self.all[-1].token + 1
            self.all.append(lease)

    @rule(seconds=st.sampled_from([1, 9, 11, 31]))
    def wait(self, seconds: int) -> None:
        self.clock.sleep(seconds)

    @rule(place=st.integers(-3, -1))
    def renew(self, place: int) -> None:
        lease = self.all[max(place, -len(self.all))]
        may = self.may_write() is lease
        try:
            self.registry.renew(lease)
            assert may
        except Conflict:
            assert not may

    @rule(place=st.integers(-3, -1))
    def drop(self, place: int) -> None:
        lease = self.all[max(place, -len(self.all))]
        may = self.may_write() is lease
        assert self.registry.drop(lease) is may

    def may_write(self) -> Lease | None:
        return self.all[-1] if self.registry.leases() else None

    @invariant()
    def only_the_newest_writes(self) -> None:
        for lease in self.all:
            try:
                self.registry.intend_step(record("7f3a", 0), lease)
                assert lease is self.may_write()
            except Conflict:
                assert lease is not self.may_write()


def test_at_most_one_may_write(quick_folder: Path) -> None:
    machine = type("HoldersHere", (Holders,), {"folder": quick_folder})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=15, deadline=None))
