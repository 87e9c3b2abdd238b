"""What a backend can do to a change: whatever goes wrong in whichever step, it ends wholly new or wholly as before, or says that it
stands between and what finishes it. What was live is never touched by a version that fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from engine.conftest import House
from engine.kit import NAME, PLANS, deploy, lines, shift, stands, told, until, whole
from mlconsole.core.operations import OperationState, StepState
from mlconsole.core.releases import Standing
from mlconsole.engine import backend, changing, endpoints, planning
from mlconsole.engine.views import Outcome, State
from mlconsole.plugin.errors import StillRunning
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind, When

CHANGES = ("deploy", "shift", "shadow", "revert")
STARTS = {"deploy": 2, "shift": 1, "shadow": 1, "revert": 2}
"""How many native steps each change has in the separate shape."""

EACH_START = [(change, after) for change in CHANGES for after in range(STARTS[change])]


def run(house: House, change: str, *faults: Fault, deadline: float = 600.0) -> Outcome:
    session = house.session(deadline=deadline)
    plan = PLANS[change](session)
    house.sim.world.inject(*faults)
    return changing.run(session, plan)


@pytest.mark.parametrize(("change", "after"), EACH_START)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.THROTTLE, times=4),
        Fault(FaultKind.TIMEOUT_BEFORE_EFFECT, times=2),
        Fault(FaultKind.TIMEOUT_AFTER_EFFECT),
        Fault(FaultKind.LATE_READ, seconds=5.0),
        Fault(FaultKind.AUTH, times=3),
    ],
    ids=lambda fault: fault.kind.name.lower(),
)
def test_a_passing_trouble_passes(ready_house: Callable[..., House], change: str, after: int, fault: Fault) -> None:
    """Throttling is never a model's failure; after a time-out the endpoint is described before anything is sent again; reads may be late;
    credentials may be renewed in the middle. The change arrives all the same, and nothing is done twice that matters.
    """
    house = ready_house(change)
    outcome = run(house, change, Fault(**{**vars(fault), "after": after}))
    assert outcome.done, outcome.sentence
    whole(house, outcome.operation.id)


@pytest.mark.parametrize(("change", "after"), EACH_START)
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(FaultKind.SILENT_ROLLBACK), "settled, but rolled it back by itself"),
        (Fault(FaultKind.STUCK), "still not so"),
        (Fault(FaultKind.CONFLICT), "Somebody else is changing it"),
        (Fault(FaultKind.REFUSE, reason="no room \x1b[2J left"), r"no room \\x1b[2J left"),
    ],
    ids=lambda value: value.kind.name.lower() if isinstance(value, Fault) else "",
)
def test_what_does_not_work_goes_back_wholly(ready_house: Callable[..., House], change: str, after: int, fault: Fault, why: str) -> None:
    """Trap 1: *settled* is no success. Trap 4: a deadline ends what is stuck. What was live is untouched, what was created is gone, and the
    reason is told in the backend's own words, made harmless (invariant 11).
    """
    house = ready_house(change)
    before = house.session()
    if change == "revert" and fault.kind is FaultKind.CONFLICT:
        assert run(house, change, fault).done, "going back waits for whoever is busy there"
        return
    outcome = run(house, change, Fault(**{**vars(fault), "after": after}))
    assert not outcome.done
    assert outcome.exit_code == 1
    assert why.replace("\\\\", "\\") in outcome.sentence
    assert "\x1b" not in outcome.sentence
    assert ".." not in outcome.sentence
    assert whole(house, outcome.operation.id).state is OperationState.WENT_BACK
    assert [entry[2] for entry in told(before)] == ["past", "live", "failed"]


@pytest.mark.parametrize("shape", ["staged", "combined"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.SILENT_ROLLBACK),
        Fault(FaultKind.TIMEOUT_AFTER_EFFECT),
        Fault(FaultKind.STUCK),
        Fault(FaultKind.REFUSE, after=1),
    ],
    ids=lambda fault: fault.kind.name.lower(),
)
def test_the_other_shapes_too(ready_house: Callable[..., House], shape: str, change: str, fault: Fault) -> None:
    """Where one update of half a minute does everything, going back has to wait for it, and must not believe the state meanwhile."""
    house = ready_house(change, shape)
    if fault.kind is FaultKind.STUCK and shape == "combined":
        with pytest.raises(StillRunning):  # the backend takes no second update before the stuck one is over: said honestly (trap 4)
            run(house, change, fault, deadline=60.0)
        house.sim.world.unstick(NAME)
        operation = house.session().registry.unfinished("staging")[0]
        changing.recover(house.session(), operation)
        whole(house, operation)
        return
    whole(house, run(house, change, fault).operation.id)


def test_a_version_that_does_not_come_up_is_told_with_its_reason(house: House) -> None:
    session = house.session()
    deploy(session, "3")
    house.sim.world.behave(house.register("6")[0], Behaviour(fails_to_load="CannotStart: no \x1b[31mcode\u202e/inference.py"))
    outcome = deploy(session, "6", 1000)
    assert outcome.sentence == (
        "relevance did not become #2: v6 did not come up: CannotStart: no \\x1b[31mcode\\u202e/inference.py. "
        "It is as before (#1: v3 100 %); what was created is removed."
    )
    whole(house, outcome.operation.id)
    first = lines(session, outcome)[0]
    assert first.state is StepState.FAILED
    assert "\x1b" not in first.problem


def test_the_wrong_bytes_never_get_a_request(house: House) -> None:
    """Identity is the digest: ready under the right name is not enough."""
    session = house.session()
    deploy(session, "3")
    house.sim.world.inject(Fault(FaultKind.WRONG_BYTES))
    outcome = deploy(session, "4", 5000)
    assert not outcome.done
    assert "wanted digest" in outcome.sentence
    whole(house, outcome.operation.id)


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_version_that_dies_after_it_was_ready(house: House, seconds: float) -> None:
    """Between ready and weight, or right after: either way no release stands on a dead variant."""
    session = house.session()
    deploy(session, "3")
    house.sim.world.inject(Fault(FaultKind.DIES, seconds=seconds, reason="out of memory"))
    outcome = deploy(session, "4", 5000)
    if outcome.done:  # it died after the release stood; then that is seen
        house.passes(10)
        view = endpoints.show(session, NAME)
        assert view.state is State.FAILING
        assert "out of memory" in view.finding
        return
    whole(house, outcome.operation.id)


@pytest.mark.parametrize("change", CHANGES)
def test_a_backend_that_goes_on_refusing_is_left_with_a_word(ready_house: Callable[..., House], change: str) -> None:
    """Neither forward nor back is possible: StillRunning (exit 8) tells what finishes it, the journal where it stands; it is finished
    later, and nobody has to wait for a lock.
    """
    house = ready_house(change)
    after = STARTS[change] - 1
    stuck, refused = Fault(FaultKind.STUCK, after=after), Fault(FaultKind.REFUSE, after=after + 1, times=None, reason="No way.")
    with pytest.raises(StillRunning, match=r"relevance is not back yet after 60 s: .*No way") as error:
        run(house, change, stuck, refused, deadline=60.0)
    operation = house.session().registry.unfinished("staging")[0]
    assert error.value.exit_code == 8
    assert error.value.next.startswith(f"mlconsole recover {operation.id} --env staging")
    assert operation.state is OperationState.GOING_BACK
    assert house.session().registry.leases("staging") == []
    house.sim.world.clear_faults()
    recovered = changing.recover(house.session(), operation)
    assert not recovered.done
    whole(house, operation)


@pytest.mark.parametrize("on", ["*.describe", "*.report"])
def test_a_blind_moment_changes_nothing(house: House, on: str) -> None:
    """Reads that fail while a change runs are waited out (trap 24: within the deadline)."""
    for kind in (FaultKind.THROTTLE, FaultKind.AUTH, FaultKind.TIMEOUT_BEFORE_EFFECT):
        house.sim.world.inject(Fault(kind, on=on, after=4, times=3))
    session = house.session()
    deploy(session, "3")
    outcome = deploy(session, "4", 1000)
    assert outcome.done
    whole(house, outcome.operation.id)


def test_a_backend_that_tells_nothing_any_more(ready_house: Callable[..., House]) -> None:
    """Blind in the middle for longer than any deadline: not *done*, not *went back*, but told; and recovered once it answers."""
    house = ready_house("shift")
    session = house.session(deadline=30.0)
    plan = PLANS["shift"](session)
    house.sim.world.inject(Fault(FaultKind.AUTH, on="*.describe", after=4, times=None, reason="The token \x1b[2J has expired."))
    with pytest.raises(StillRunning) as error:
        changing.run(session, plan)
    assert "The token \\x1b[2J has expired" in error.value.message
    assert any(progress.kind == "waiting" for progress in house.told)
    operation = session.registry.unfinished("staging")[0]
    house.sim.world.clear_faults()
    changing.recover(house.session(), operation)
    whole(house, operation)


def test_an_adapter_with_a_bug_is_a_failure_that_goes_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback reaches a person (invariant 12), and a bug in the middle leaves nothing between."""
    session = house.session()
    deploy(session, "3")
    plan = planning.plan_deploy(session, NAME, "4", share=1000)
    calls = iter(range(100))
    role = session.backend._traffic()
    start = type(role).start

    def buggy(self: object, endpoint: str, step: object, order: object) -> None:
        if next(calls) == 0:
            raise KeyError("release")
        start(self, endpoint, step, order)  # type: ignore[arg-type]

    monkeypatch.setattr(type(role), "start", buggy)
    outcome = changing.run(session, plan)
    assert not outcome.done
    assert "The adapter for simulator (staging) failed: KeyError: 'release'" in outcome.sentence
    whole(house, outcome.operation.id)


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
@pytest.mark.parametrize("change", CHANGES)
def test_a_call_that_hangs_is_left_behind_and_can_change_nothing_later(
    ready_house: Callable[..., House], change: str, when: When, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design §2: a changing call past its deadline is *unknown*. It is described and asked again under a newer token; when the old call
    comes through at last, after the change is over, the backend refuses it.
    """
    house = ready_house(change)
    monkeypatch.setattr(backend, "CHANGE", 0.2)
    outcome = run(house, change, Fault(FaultKind.HANG, when=when))
    assert outcome.done, outcome.sentence
    ended = whole(house, outcome.operation.id)
    late_call_comes_through(house)
    stands(house, ended.plan.then)


def test_a_call_that_hangs_while_a_person_stops(ready_house: Callable[..., House]) -> None:
    """Invariant 5: abort is obeyed within a second even while a call hangs; the late call is fenced off though nothing had to be undone."""
    house = ready_house("shift")
    session = house.session()
    plan = PLANS["shift"](session)
    house.sim.world.inject(Fault(FaultKind.HANG))
    stop = changing.Stop()

    def press() -> None:
        until(lambda: hanging(house) == 1, "the call hangs")
        stop.press()

    threading.Thread(target=press, daemon=True).start()
    outcome = changing.run(session, plan, stop=stop)
    assert not outcome.done
    assert outcome.exit_code == 130
    ended = whole(house, outcome.operation.id)
    late_call_comes_through(house)
    stands(house, ended.revert_to)


def late_call_comes_through(house: House) -> None:
    """Let the call that hangs go on, and wait until the backend has dealt with it."""
    assert hanging(house) == 1
    house.sim.world.release()
    until(lambda: hanging(house) == 0, "the call that hung comes back")
    house.passes(100)


def hanging(house: House) -> int:
    return sum(1 for call in house.sim.world.calls if call.outcome is None and call.name.endswith(".start"))


def test_one_endpoint_that_hangs_holds_no_other_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call has its deadline, and the others their own threads."""
    monkeypatch.setattr(backend, "READ", 0.3)
    session = house.session()
    deploy(session, "3")
    changing.run(session, planning.plan_deploy(session, NAME, "4", endpoint="other"))
    house.sim.world.inject(Fault(FaultKind.HANG, on="serving.describe", endpoint="other", times=None))
    views = {view.name: view for view in endpoints.overview(session).endpoints}
    assert views[NAME].state is State.OK
    assert views["other"].state is State.NO_DATA
    assert views["other"].finding == "simulator (staging) did not answer within 300 ms (describing other)."
    assert shift_of_the_other_works(session)
    house.sim.world.clear_faults()
    house.sim.world.release()


def shift_of_the_other_works(session: object) -> bool:
    return deploy(session, "5", 1000).done  # type: ignore[arg-type]


def test_the_stable_version_is_dead_and_cannot_be_started(house: House) -> None:
    """Trap 12: rolling forward is always an exit, also when what is live is broken for good."""
    session = house.session()
    [broken] = house.register("6")
    assert changing.run(session, planning.plan_deploy(session, NAME, "6")).done
    house.sim.world.behave(broken, Behaviour(fails_to_load="gone for good"))
    house.sim.world.change_outside(NAME, fail={"v6": "killed"})
    assert endpoints.show(session, NAME).state is State.FAILING
    outcome = deploy(session, "4", 10_000)
    assert outcome.done, outcome.sentence
    assert house.sim.world.live(NAME).traffic == session.registry.live_release("staging", NAME).release.content.traffic  # type: ignore[union-attr]
    assert endpoints.show(session, NAME).state is State.LOOK  # v6 stands by and is ill: said, but no obstacle
    back = changing.run(session, planning.plan_revert(session, NAME))
    assert not back.done, "it can't be gone back to, and that is not called a success"
    assert "gone for good" in back.sentence
    recorded = session.registry.release("staging", NAME, back.operation.release)
    assert recorded is not None
    assert recorded.standing is Standing.FAILED
    assert house.sim.world.live(NAME).traffic is not None
    assert house.sim.world.live(NAME).traffic.reaches("v4")  # type: ignore[union-attr]


@pytest.mark.parametrize("shape", ["separate", "staged", "combined"])
def test_going_back_to_a_version_that_died_meanwhile_starts_it_again(make_house: Callable[..., House], shape: str) -> None:
    """What was ill before a step says nothing about the step."""
    house = make_house(shape)
    house.register("3", "4")
    session = house.session()
    deploy(session, "3")
    deploy(session, "4", 10_000)
    house.sim.world.change_outside(NAME, fail={"v3": "killed: out of memory"})
    plan = planning.plan_revert(session, NAME)
    assert any("v3 is not running: going back takes about" in note for note in plan.notes)
    outcome = changing.run(session, plan)
    assert outcome.done, outcome.sentence
    whole(house, outcome.operation.id)


def test_a_release_is_not_done_while_the_backend_still_changes(make_house: Callable[..., House]) -> None:
    """Invariant 3: equal but in motion is not equal. Asked to go back in the middle of a long update, the state still looks like the old
    one; believing that would end the change while the update goes on.
    """
    house = make_house("combined")
    house.register("3", "4")
    session = house.session()
    deploy(session, "3")
    deploy(session, "4", 1000)
    house.sim.world.inject(Fault(FaultKind.STUCK))
    plan = planning.plan_traffic(session, NAME, {"v4": 5000})
    stop = changing.Stop()
    watched: list[str] = []

    def press(progress: object) -> None:
        watched.append(str(progress))
        if len(watched) == 3:
            stop.press()
        if len(watched) == 5:
            house.sim.world.unstick(NAME)

    session._tell = press  # type: ignore[assignment]
    outcome = changing.run(session, plan, stop=stop)
    assert not outcome.done
    whole(house, outcome.operation.id)
    assert shift(session, v4=2000).done
