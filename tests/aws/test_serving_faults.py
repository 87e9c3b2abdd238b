"""What SageMaker does when it goes wrong: each is told as what it is, and whoever sends the same step again does no harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aws.parts import Servers, until
from aws.serving_kit import V1, V2, driver, leftovers, made, order, served, serving
from mlconsole.core.live import Transition, differences
from mlconsole.core.releases import NOTHING, Content
from mlconsole.core.steps import Phase, Step, outstanding
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.plugin.conformance import as_variant
from mlconsole.plugin.errors import Conflict, OutcomeUnknown, Throttled, Unavailable
from mlconsole_aws.describing import transition_of

pytestmark = pytest.mark.real

ONE, TWO = as_variant(V1), as_variant(V2)
ALONE = Content((ONE,), Traffic({"v1": WHOLE}))
STANDBY = Content((ONE, TWO), Traffic({"v1": WHOLE, "v2": 0}))
CANARY = Content((ONE, TWO), Traffic({"v1": 9000, "v2": 1000}))
WAYS = {"CreateEndpoint": (NOTHING, ALONE), "UpdateEndpoint": (ALONE, STANDBY), "UpdateEndpointWeightsAndCapacities": (STANDBY, CANARY)}


@pytest.mark.parametrize("action", ["UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"])
def test_a_silent_rollback_is_settled_and_does_not_have_what_was_asked(aws: Servers, tmp_path: Path, action: str) -> None:
    """Trap 1: SageMaker says InService and gives no reason at all; only config and weights tell."""
    before, then = WAYS[action]
    it = driver(aws, tmp_path)
    it.reach(before)
    aws.control(fault="silent_rollback")
    (step,) = it.steps(it.live(), then)
    it.begin(step, then)
    live = it.settled(20.0)
    assert live.transition is Transition.SETTLED
    assert outstanding(step, live)
    assert not differences(live, before)


def test_a_rollback_with_a_reason_has_failed_for_whoever_asked_and_is_a_remark_for_all_others(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    aws.control(fault="no_capacity")
    (step,) = it.steps(it.live(), STANDBY)
    it.begin(step, STANDBY)
    live = it.settled(20.0)
    assert live.transition is Transition.FAILED
    assert "rolled the last update back: Unable to provision" in live.reason
    other = serving(aws, tmp_path / "other").describe("relevance")
    assert other.transition is Transition.SETTLED
    assert "InsufficientInstanceCapacity" in other.reason
    aws.control()
    assert it.reach(STANDBY).reason == "", "what has worked since leaves no remark"


def test_a_rollback_that_failed_is_told_and_only_ends_with_the_endpoint(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    aws.control(fault="update_rollback_failed", fault_times=1)
    (step,) = it.steps(it.live(), STANDBY)
    it.begin(step, STANDBY)
    live = it.settled(20.0)
    assert live.transition is Transition.FAILED
    assert live.reason.startswith("UpdateRollbackFailed: ")
    it.reach(NOTHING)


def test_what_is_stuck_takes_nothing_else_and_says_so(aws: Servers, tmp_path: Path) -> None:
    """Trap 4: nobody can stop or delete it; deadlines are the engine's, honesty is ours."""
    it = driver(aws, tmp_path)
    aws.control(fault="stuck")
    (step,) = it.steps(it.live(), ALONE)
    it.begin(step, ALONE)
    assert it.live().transition is Transition.IN_PROGRESS
    delete = Step("serving", "DeleteEndpoint", "delete", Phase.SHIFT, removes=("v1",), gone=True)
    with pytest.raises(Conflict, match="Nobody can stop that"):
        it.bench.serving.start("relevance", delete, order(fence=it.newest_fence()))
    it.start(step, it.order(ALONE))  # it leads there: sending it again is harmless


def test_the_step_after_the_one_that_is_under_way_waits_in_the_same_change(aws: Servers, tmp_path: Path) -> None:
    """Weights may be seen before SageMaker is through; with a token of its own the next step is somebody else's, with the same it waits."""
    it = driver(aws, tmp_path)
    it.reach(STANDBY)
    aws.control(updating_seconds=5)
    token = it.newest_fence()
    shift, clean = it.steps(it.live(), Content((TWO,), Traffic({"v2": WHOLE})))
    it.bench.serving.start("relevance", shift, order(V1, V2, fence=token))
    with pytest.raises(Unavailable):
        it.bench.serving.start("relevance", clean, order(V1, V2, fence=token))
    with pytest.raises(Conflict):
        it.bench.serving.start("relevance", clean, order(V1, V2, fence=token + 1))


@pytest.mark.parametrize(
    "operation", ["CreateModel", "CreateEndpointConfig", "AddTags", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"]
)
def test_a_call_whose_answer_never_came_is_unknown_and_sent_again_harmlessly(aws: Servers, tmp_path: Path, operation: str) -> None:
    """None of these calls carries a token: the names say what is in them, and the endpoint is described before anything is sent again."""
    before, then = (STANDBY, CANARY) if operation.endswith("Capacities") else (ALONE, STANDBY)
    it = driver(aws, tmp_path)
    it.reach(before)
    models, configs = made(aws)
    aws.control(timeout_after_effect=1.0, operations=[operation], times=1)
    (step,) = it.steps(it.live(), then)
    with pytest.raises(OutcomeUnknown):
        it.start(step, it.order(then))
    it.reach(then)
    new = 0 if operation.endswith("Capacities") else 1
    assert [len(each) for each in made(aws)] == [len(models) + new, len(configs) + new], "nothing was made twice"


@pytest.mark.parametrize(("operation", "before", "then"), [("CreateEndpoint", NOTHING, ALONE), ("DeleteEndpoint", ALONE, NOTHING)])
@pytest.mark.parametrize("by_name", [False, True])
def test_coming_and_going_survives_silence(
    aws: Servers, tmp_path: Path, operation: str, before: Content, then: Content, by_name: bool
) -> None:
    it = driver(aws, tmp_path, by_name=by_name)
    it.reach(before)
    aws.control(timeout_after_effect=1.0, operations=[operation], times=1)
    step = next(step for step in it.steps(it.live(), then) if step.action == operation)
    with pytest.raises(OutcomeUnknown):
        it.start(step, it.order(then))
    it.reach(then)
    assert bool(leftovers(aws, "relevance")) is (then is not NOTHING)


def test_throttling_is_never_a_failure(aws: Servers, tmp_path: Path) -> None:
    """A third of all calls are refused for coming too often; everything arrives, and nothing is there twice."""
    it = driver(aws, tmp_path)
    aws.control(throttle=0.3, seed=7)

    def gone_to(target: Content) -> bool:
        try:
            it.reach(target)
        except Throttled:
            return False
        return True

    for target in (ALONE, CANARY):
        until(lambda target=target: gone_to(target), 60.0)
    aws.control()
    assert [one["VariantName"] for one in served(aws, "relevance")["ProductionVariants"]] == ["v1", "v2"]


def test_foreign_words_are_kept_as_data(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    seen = it.bench.serving._looks.fresh("relevance")  # type: ignore[attr-defined]
    ill = replace(seen, endpoint={**seen.endpoint, "FailureReason": "\x1b[2Jboo"})
    assert "\x1b[2J" in transition_of(ill, rolled_back_is_failed=False)[1], "told as it is; whoever shows it neutralises it"
