"""The simulator: time, faults, outsiders, and what it shows of them."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from mlconsole.core.live import Live, Transition, VariantState, differences
from mlconsole.core.releases import NOTHING, Content
from mlconsole.core.steps import Step
from mlconsole.core.traffic import WHOLE, Shadow, Traffic
from mlconsole.plugin import ROLES, Context
from mlconsole.plugin.conformance import Driver
from mlconsole.plugin.errors import AuthFailed, Conflict, MLConsoleError, NotFound, Refused, Throttled, Unavailable
from mlconsole.plugin.options import json_schema
from mlconsole.plugin.roles import Examples, Identity, Invocation, Logs, Order, Predictions, Serving
from mlconsole.plugin.roles import Traffic as TrafficRole
from mlconsole.plugin.simulator import (
    Behaviour,
    Fault,
    FaultKind,
    ManualClock,
    Shape,
    Simulated,
    When,
    plugin,
    simulated,
    simulated_version,
    variant_of,
)
from plugin.test_conformance_simulator import ENDPOINT, VERSIONS, bench_of

V1, V2 = (variant_of(version) for version in VERSIONS[:2])
ONE = Content((V1,), Traffic({"v1": WHOLE}))
BOTH = Content((V1, V2), Traffic({"v1": WHOLE, "v2": 0}))


@pytest.fixture
def sim(tmp_path: Path) -> Simulated:
    return simulated(tmp_path)


def drive(sim: Simulated) -> Driver:
    return Driver(bench_of(sim))


def order(fence: int = 1) -> Order:
    return Order(fence, f"{ENDPOINT}@staging#1", {"v1": VERSIONS[0], "v2": VERSIONS[1]})


def first_step(sim: Simulated, target: Content = ONE) -> Step:
    return sim.serving.steps(sim.world.live(ENDPOINT), target)[0]


def advance(sim: Simulated, seconds: float) -> Live:
    sim.clock.sleep(seconds)
    return sim.world.live(ENDPOINT)


def test_it_plays_its_roles_as_any_plugin_does(tmp_path: Path) -> None:
    context = Context("staging", tmp_path, tmp_path / "state", {}, ManualClock())
    assert set(plugin.factories) <= set(ROLES)
    assert isinstance(plugin.factories["serving"](context), Serving)
    assert isinstance(plugin.factories["serving"](context), Logs)
    assert isinstance(plugin.factories["serving"](context), Examples)
    assert isinstance(plugin.factories["traffic"](context), TrafficRole)
    assert isinstance(plugin.factories["predictions"](context), Predictions)
    assert json_schema(plugin.options)["additionalProperties"] is False


def test_no_traffic_role_where_serving_splits(tmp_path: Path) -> None:
    context = Context("staging", tmp_path, tmp_path, {"shape": "combined"}, ManualClock())
    with pytest.raises(Refused):
        plugin.factories["traffic"](context)


def test_a_variant_takes_its_time(sim: Simulated) -> None:
    sim.serving.start(ENDPOINT, first_step(sim), order())
    assert advance(sim, 29.9).variants[0].state is VariantState.CREATING
    assert sim.world.live(ENDPOINT).transition is Transition.IN_PROGRESS
    live = advance(sim, 0.1)
    assert (live.variants[0].state, live.transition) == (VariantState.READY, Transition.SETTLED)


def test_a_combined_update_is_one_step_with_everything(tmp_path: Path) -> None:
    sim = simulated(tmp_path, shape="combined", cost_per_hour=0.5)
    it = drive(sim)
    it.reach(ONE)
    target = Content((V1, V2), Traffic({"v1": WHOLE, "v2": 0}, shadow=Shadow("v2", 1000)))
    (step,) = sim.serving.steps(it.live(), target)
    assert (step.ensures, step.traffic, step.cost_per_hour) == ((V1, V2), target.traffic, 0.5)
    it.reach(target)
    (weights,) = sim.serving.steps(it.live(), Content((V1, V2), Traffic({"v1": 9000, "v2": 1000})))
    assert weights.action == "UpdateEndpoint", "ending a shadow is another configuration, not another weight"
    it.reach(Content((V1, V2), Traffic({"v1": 9000, "v2": 1000})))
    (weights,) = sim.serving.steps(it.live(), Content((V1, V2), Traffic({"v1": 5000, "v2": 5000})))
    assert weights.action == "UpdateWeights"


def test_a_combined_backend_takes_one_update_at_a_time(tmp_path: Path) -> None:
    sim = simulated(tmp_path, shape="combined")
    it = drive(sim)
    it.reach(ONE)
    sim.serving.start(ENDPOINT, first_step(sim, BOTH), it.order(BOTH))
    sim.serving.start(ENDPOINT, first_step(sim, BOTH), it.order(BOTH))
    delete = sim.serving.steps(sim.world.live(ENDPOINT), NOTHING)[0]
    with pytest.raises(Conflict, match="second update"):
        sim.serving.start(ENDPOINT, delete, it.order(NOTHING))


def test_a_combined_update_fails_as_a_whole(tmp_path: Path) -> None:
    sim = simulated(tmp_path, shape="combined")
    it = drive(sim)
    it.reach(ONE)
    sim.world.inject(Fault(FaultKind.FAIL_VARIANT, "UpdateEndpoint", reason="no capacity"))
    sim.serving.start(ENDPOINT, first_step(sim, BOTH), it.order(BOTH))
    live = advance(sim, 30)
    assert (live.transition, live.reason) == (Transition.FAILED, "no capacity")
    assert [(variant.name, variant.state) for variant in live.variants] == [("v1", VariantState.READY), ("v2", VariantState.FAILED)]
    assert live.traffic == ONE.traffic
    assert it.reach(ONE).transition is Transition.SETTLED


def test_traffic_is_not_sent_to_what_is_not_ready_nor_taken_from_under_a_variant(sim: Simulated) -> None:
    it = drive(sim)
    it.reach(ONE)
    assert sim.traffic is not None
    (shift,) = sim.traffic.steps(it.live(), Content((V1, V2), Traffic({"v1": 0, "v2": WHOLE})))
    with pytest.raises(Refused, match="not ready"):
        sim.traffic.start(ENDPOINT, shift, it.order(BOTH))
    (stop,) = sim.serving.steps(it.live(), NOTHING)
    with pytest.raises(Refused, match="still gets requests"):
        sim.serving.start(ENDPOINT, stop, it.order(NOTHING))
    assert not differences(it.live(), ONE)


def test_an_old_token_is_refused_even_when_nothing_is_left_to_do(sim: Simulated) -> None:
    step = first_step(sim)
    sim.serving.start(ENDPOINT, step, order(5))
    advance(sim, 30)
    with pytest.raises(Conflict, match="token 4 is older than 5"):
        sim.serving.start(ENDPOINT, step, order(4))
    sim.serving.start(ENDPOINT, step, order(5))


def test_a_scope_may_be_wider_than_an_endpoint(tmp_path: Path) -> None:
    sim = simulated(tmp_path, scope="application/production")
    assert sim.traffic is not None
    assert sim.traffic.scope("a") == sim.traffic.scope("b") == "application/production"
    step = first_step(sim)
    sim.serving.start("a", step, order(5))
    with pytest.raises(Conflict):
        sim.serving.start("b", step, order(4))


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.THROTTLE, Throttled),
        (FaultKind.CONFLICT, Conflict),
        (FaultKind.REFUSE, Refused),
        (FaultKind.AUTH, AuthFailed),
        (FaultKind.TIMEOUT_BEFORE_EFFECT, Unavailable),
    ],
)
def test_a_fault_before_the_effect(sim: Simulated, kind: FaultKind, error: type[MLConsoleError]) -> None:
    sim.world.inject(Fault(kind, "serving.start", after=1, times=2))
    step = first_step(sim)
    sim.serving.start("other", step, order())
    for _ in range(2):
        with pytest.raises(error):
            sim.serving.start(ENDPOINT, step, order())
        assert not sim.world.live(ENDPOINT).exists
    sim.serving.start(ENDPOINT, step, order())
    assert sim.world.live(ENDPOINT).exists


def test_a_time_out_after_the_effect(sim: Simulated) -> None:
    sim.world.inject(Fault(FaultKind.TIMEOUT_AFTER_EFFECT, "serving.start"))
    with pytest.raises(Unavailable):
        sim.serving.start(ENDPOINT, first_step(sim), order())
    assert not differences(advance(sim, 30), Content((V1,)))


def test_a_fault_can_be_narrowed_to_an_action_an_endpoint_and_a_variant(sim: Simulated) -> None:
    sim.world.inject(Fault(FaultKind.REFUSE, "start variant", endpoint="conf*", variant="v2", times=None))
    steps = sim.serving.steps(Live(ENDPOINT), BOTH)
    sim.serving.start(ENDPOINT, steps[0], order())
    sim.serving.start("other", steps[1], order())
    with pytest.raises(Refused):
        sim.serving.start(ENDPOINT, steps[1], order())
    sim.world.clear_faults()
    sim.serving.start(ENDPOINT, steps[1], order())


@pytest.mark.parametrize("shape", list(Shape))
def test_a_silent_rollback(tmp_path: Path, shape: Shape) -> None:
    sim = simulated(tmp_path, shape=shape)
    it = drive(sim)
    it.reach(ONE)
    sim.world.inject(Fault(FaultKind.SILENT_ROLLBACK, "serving.start"))
    sim.serving.start(ENDPOINT, first_step(sim, BOTH), it.order(BOTH))
    assert sim.world.live(ENDPOINT).transition is Transition.IN_PROGRESS
    live = advance(sim, 30)
    assert live.transition is Transition.SETTLED
    assert not differences(live, ONE)


def test_stuck_until_it_is_unstuck(sim: Simulated) -> None:
    sim.world.inject(Fault(FaultKind.STUCK))
    sim.serving.start(ENDPOINT, first_step(sim), order())
    assert advance(sim, 86_400).transition is Transition.IN_PROGRESS
    sim.world.unstick(ENDPOINT)
    assert advance(sim, 0).variants[0].state is VariantState.READY


def test_a_stuck_variant_can_be_given_up(sim: Simulated) -> None:
    it = drive(sim)
    it.reach(ONE)
    sim.world.inject(Fault(FaultKind.STUCK))
    sim.serving.start(ENDPOINT, first_step(sim, BOTH), it.order(BOTH))
    it.reach(ONE)


def test_wrong_bytes_failures_and_deaths(sim: Simulated) -> None:
    sim.world.inject(Fault(FaultKind.WRONG_BYTES, variant="v1"), Fault(FaultKind.DIES, variant="v2", seconds=60, reason="out of memory"))
    for step in sim.serving.steps(Live(ENDPOINT), BOTH):
        sim.serving.start(ENDPOINT, step, order())
    live = advance(sim, 30)
    assert [variant.state for variant in live.variants] == [VariantState.READY, VariantState.READY]
    assert live.variants[0].digest not in (None, V1.digest)
    live = advance(sim, 60)
    assert (live.variants[1].state, live.variants[1].reason) == (VariantState.FAILED, "out of memory")
    assert any("out of memory" in line for line in sim.serving.logs(ENDPOINT, "v2", 10))


def test_late_reads_after_a_start_and_by_themselves(sim: Simulated) -> None:
    it = drive(sim)
    it.reach(ONE)
    assert sim.traffic is not None
    target = Content((V1, V2), Traffic({"v1": 0, "v2": WHOLE}))
    it.reach(BOTH)
    sim.world.inject(Fault(FaultKind.LATE_READ, "traffic.start", seconds=20))
    (shift,) = sim.traffic.steps(it.live(), target)
    sim.traffic.start(ENDPOINT, shift, it.order(target))
    sim.clock.sleep(10)
    assert sim.traffic.report(ENDPOINT).traffic == BOTH.traffic
    assert sim.world.live(ENDPOINT).traffic == target.traffic
    sim.clock.sleep(10)
    assert sim.traffic.report(ENDPOINT).traffic == target.traffic
    sim.world.inject(Fault(FaultKind.LATE_READ, "traffic.report"))
    assert sim.traffic.report(ENDPOINT).traffic == BOTH.traffic
    assert sim.traffic.report(ENDPOINT).traffic == target.traffic


def test_a_call_hangs_until_it_is_released_and_then_meets_the_fence(sim: Simulated) -> None:
    sim.world.inject(Fault(FaultKind.HANG, "serving.start"))
    step = first_step(sim)
    said: list[BaseException] = []

    def call() -> None:
        try:
            sim.serving.start(ENDPOINT, step, order(1))
        except MLConsoleError as error:
            said.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    while not sim.world.calls:
        thread.join(0.01)
    assert sim.world.calls[0].outcome is None
    sim.serving.start("other", step, order(1))
    sim.serving.start(ENDPOINT, step, order(2))
    sim.world.release()
    thread.join(10)
    assert [type(error) for error in said] == [Conflict]


def test_a_call_that_hangs_after_its_effect(sim: Simulated) -> None:
    sim.world.inject(Fault(FaultKind.HANG, "serving.start", when=When.AFTER, seconds=0.05))
    sim.serving.start(ENDPOINT, first_step(sim), order())
    assert sim.world.live(ENDPOINT).exists


def test_somebody_else_changes_it(sim: Simulated) -> None:
    it = drive(sim)
    it.reach(ONE)
    sim.world.change_outside(ENDPOINT, add=[V2], traffic=Traffic({"v1": 0, "v2": WHOLE}), remove=["v1"])
    live = it.live()
    assert [variant.name for variant in live.variants] == ["v2"]
    assert live.traffic == Traffic({"v2": WHOLE})
    it.reach(ONE)
    sim.world.change_outside(ENDPOINT, delete=True)
    assert not it.live().exists


def test_calls_are_recorded_with_their_outcome(sim: Simulated) -> None:
    sim.serving.describe(ENDPOINT)
    with pytest.raises(NotFound):
        sim.serving.invoke(ENDPOINT, Invocation({}))
    sim.serving.start(ENDPOINT, first_step(sim), order(7))
    assert [(call.name, call.outcome) for call in sim.world.calls] == [
        ("serving.describe", "ok"),
        ("serving.invoke", "not_found"),
        ("serving.start", "ok"),
    ]
    assert sim.world.calls[-1].fence == 7
    assert sim.world.started() == ("start variant",)


def test_answers_depend_on_bytes_and_inputs_only(sim: Simulated, tmp_path: Path) -> None:
    it = drive(sim)
    it.reach(BOTH)
    asked = Invocation({"text": "a truck is late", "language": "de"}, {"language": "de"})
    first = sim.serving.invoke(ENDPOINT, asked, "v1")
    again = sim.serving.invoke(ENDPOINT, asked, "v1", probe=True)
    assert (first.status, first.outputs) == (again.status, again.outputs)
    assert sim.serving.invoke(ENDPOINT, asked, "v2").outputs != first.outputs
    elsewhere = simulated(tmp_path / "elsewhere")
    drive(elsewhere).reach(ONE)
    assert elsewhere.serving.invoke(ENDPOINT, asked).outputs == first.outputs


def test_refusals_and_collapse_for_gates(sim: Simulated) -> None:
    drive(sim).reach(BOTH)
    sim.world.behave(VERSIONS[0], Behaviour(refuses={"language=de": 'field "title_de" is missing'}))
    sim.world.behave(VERSIONS[1], Behaviour(constant=0.42))
    refused = sim.serving.invoke(ENDPOINT, Invocation({"text": "a"}, {"language": "de"}), "v1")
    assert (refused.status, refused.error, refused.outputs) == (400, 'field "title_de" is missing', {})
    assert sim.serving.invoke(ENDPOINT, Invocation({"text": "a"}, {"language": "en"}), "v1").status == 200
    assert {sim.serving.invoke(ENDPOINT, Invocation({"text": str(n)}), "v2").outputs["score"] for n in range(5)} == {0.42}


def test_nobody_ready_is_the_gateways_503_for_consumers_and_unavailable_by_name(sim: Simulated) -> None:
    drive(sim).reach(BOTH)
    sim.world.change_outside(ENDPOINT, fail={"v1": "killed"})
    answer = sim.serving.invoke(ENDPOINT, Invocation({"text": "a"}))
    assert (answer.status, answer.variant) == (503, None)
    with pytest.raises(Unavailable):
        sim.serving.invoke(ENDPOINT, Invocation({"text": "a"}), "v1")


def test_a_version_can_have_real_bytes(tmp_path: Path) -> None:
    version = simulated_version("relevance", "9", folder=tmp_path / "artifacts")
    assert Path(version.artifact.location).is_file()
    assert version.artifact.digest == simulated_version("relevance", "9").artifact.digest


def test_logs_hold_foreign_text(sim: Simulated) -> None:
    drive(sim).reach(ONE)
    sim.world.write_log(ENDPOINT, "v1", "\x1b[2Jgone", "line")
    assert sim.serving.logs(ENDPOINT, "v1", 2) == ("\x1b[2Jgone", "line")
    assert sim.serving.logs(ENDPOINT, "v1", 0) == ()


def test_the_manual_clock() -> None:
    clock = ManualClock(auto=False)
    started, wall = clock.elapsed(), clock.now()
    waiter = threading.Thread(target=clock.sleep, args=(5,), daemon=True)
    waiter.start()
    clock.advance(4)
    waiter.join(0.05)
    assert waiter.is_alive()
    clock.advance(1)
    waiter.join(10)
    assert not waiter.is_alive()
    clock.jump(-3600)
    assert clock.elapsed() == started + 5
    assert (clock.now() - wall).total_seconds() == 5 - 3600


def test_two_clocks_over_one_file_are_one(tmp_path: Path) -> None:
    one, other = ManualClock(path=tmp_path / "clock"), ManualClock(path=tmp_path / "clock")
    one.advance(10.5)
    assert other.elapsed() == one.elapsed()
    other.jump(3)
    assert one.now() == other.now()


def test_credentials_that_ran_out_open_nothing(tmp_path: Path) -> None:
    sim = simulated(tmp_path, caller="ops")
    assert isinstance(sim.serving, Identity)
    assert sim.serving.identity().expires is None
    ends = sim.clock.now() + timedelta(seconds=60)
    sim.world.credentials_end(ends)
    assert sim.serving.identity().expires == ends
    step = first_step(sim)
    sim.clock.sleep(60)
    assert sim.traffic is not None
    for call in (
        sim.serving.identity,
        sim.serving.list,
        lambda: sim.serving.describe(ENDPOINT),
        lambda: sim.serving.start(ENDPOINT, step, order()),
        lambda: sim.predictions.read("byte:0"),
    ):
        with pytest.raises(AuthFailed, match="token expired"):
            call()
    assert sim.world.started() == ("start variant",), "asked, and refused"
    assert not sim.world.live(ENDPOINT).exists
    sim.world.credentials_end(None)
    sim.serving.start(ENDPOINT, step, order())
