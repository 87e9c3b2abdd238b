"""Which calls lead from a live state to a target: staged where that can be, all at once where not, refused where SageMaker can't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlconsole.core.live import Live, LiveVariant, Transition, VariantState, as_live
from mlconsole.core.releases import NOTHING, Content, Variant
from mlconsole.core.steps import Phase, Step, after
from mlconsole.core.traffic import WHOLE, Shadow, SliceSplit, Traffic
from mlconsole.plugin.errors import BackendError, UsageError
from mlconsole_aws.naming import Names
from mlconsole_aws.stepping import CREATE, DELETE, UPDATE, WEIGHTS, Pace, steps

V6, V7, V8 = (Variant(f"v{number}", "relevance", str(number), f"sha256:{number}") for number in (6, 7, 8))
ALONE = Content((V6,), Traffic({"v6": WHOLE}))
STANDBY = Content((V6, V7), Traffic({"v6": WHOLE, "v7": 0}))
CANARY = Content((V6, V7), Traffic({"v6": 9000, "v7": 1000}))
NEXT = Content((V7,), Traffic({"v7": WHOLE}))
SHADOWED = Content((V6, V7), Traffic({"v6": WHOLE, "v7": 0}, shadow=Shadow("v7", 5000)))


def pace(*, by_name: bool = False, prices: dict[str, float] | None = None, **said: Any) -> Pace:
    options = {"instance_type": "ml.m5.large", "instance_count": 2, **said}
    return Pace(Names.of(options, by_name=by_name), options, prices or {})


def live(content: Content, **resources: str) -> Live:
    """It stands, on two ml.m5.large each."""
    found = as_live(content, "relevance")
    told = {"machines": "2 × ml.m5.large", **resources}
    return replace(found, variants=tuple(replace(one, resources=told) for one in found.variants))


def told(found: tuple[Step, ...]) -> list[tuple[str, str]]:
    return [(step.action, step.phase.value) for step in found]


@pytest.mark.parametrize(
    ("before", "then", "calls"),
    [
        (NOTHING, ALONE, [(CREATE, "shift")]),
        (ALONE, STANDBY, [(UPDATE, "prepare")]),
        (ALONE, CANARY, [(UPDATE, "prepare"), (WEIGHTS, "shift")]),
        (STANDBY, CANARY, [(WEIGHTS, "shift")]),
        (CANARY, ALONE, [(WEIGHTS, "shift"), (UPDATE, "clean")]),
        (STANDBY, ALONE, [(UPDATE, "clean")]),
        (ALONE, NEXT, [(UPDATE, "prepare"), (WEIGHTS, "shift"), (UPDATE, "clean")]),
        (ALONE, SHADOWED, [(UPDATE, "shift")]),
        (SHADOWED, ALONE, [(UPDATE, "shift")]),
        (SHADOWED, CANARY, [(UPDATE, "shift")]),
        (CANARY, NOTHING, [(DELETE, "shift")]),
        (CANARY, CANARY, []),
        (SHADOWED, SHADOWED, []),
        (NOTHING, NOTHING, []),
    ],
)
def test_the_calls_from_one_release_to_another(before: Content, then: Content, calls: list[tuple[str, str]]) -> None:
    assert told(steps(pace(), live(before), then)) == calls


@pytest.mark.parametrize("then", [ALONE, STANDBY, CANARY, NEXT, SHADOWED, NOTHING])
@pytest.mark.parametrize("before", [NOTHING, ALONE, STANDBY, CANARY, NEXT, SHADOWED])
def test_wherever_one_stops_the_rest_leads_there(before: Content, then: Content) -> None:
    """A driver may be gone after any step; whoever comes after it works the rest out anew."""
    now = live(before)
    for _ in range(5):
        left = steps(pace(), now, then)
        if not left:
            break
        now = after(left[0], now)
        if now.traffic is not None:  # as SageMaker: whoever is there is named, whoever is gone is not
            names = [one.name for one in now.variants]
            now = replace(now, traffic=replace(now.traffic, split={name: now.traffic.split.get(name, 0) for name in names}))
    assert steps(pace(), now, then) == ()


def test_other_bytes_under_a_name_that_gets_requests_are_one_update() -> None:
    other = Variant("v6", "relevance", "9", "sha256:9")
    (step,) = steps(pace(), live(ALONE), Content((other,), Traffic({"v6": WHOLE})))
    assert (step.action, step.phase, step.ensures, step.traffic) == (UPDATE, Phase.SHIFT, (other,), Traffic({"v6": WHOLE}))
    assert "no gate" in step.disrupts


def test_other_bytes_that_stand_by_are_prepared() -> None:
    other = Variant("v7", "relevance", "9", "sha256:9")
    (step,) = steps(pace(), live(STANDBY), Content((V6, other), Traffic({"v6": WHOLE, "v7": 0})))
    assert (step.action, step.phase) == (UPDATE, Phase.PREPARE)
    assert step.cost_per_hour == 0.0


def test_moving_weights_says_that_only_the_guardian_watches() -> None:
    """Invariant 6: the call takes no alarms."""
    (step,) = steps(pace(), live(STANDBY), CANARY)
    assert "only the guardian" in step.summary


def test_while_what_leaves_is_still_there_the_weights_name_it_at_nothing() -> None:
    shift = steps(pace(), live(STANDBY), NEXT)[0]
    assert shift.traffic == Traffic({"v7": WHOLE, "v6": 0})


def test_the_price_of_each_step_is_what_comes_and_goes() -> None:
    found = steps(pace(), live(ALONE), NEXT)
    assert [step.cost_per_hour for step in found] == [0.23, None, -0.23]
    assert steps(pace(prices={"ml.m5.large": 1.0}), live(ALONE), STANDBY)[0].cost_per_hour == 2.0
    assert steps(pace(machines={"relevance@7": {"instance_count": 1}}), live(ALONE), STANDBY)[0].cost_per_hour == 0.115
    assert steps(pace(instance_type="ml.p9.huge"), live(ALONE), STANDBY)[0].cost_per_hour is None


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Content((V6, V7, V8), Traffic({"v6": WHOLE, "v7": 0, "v8": 0}, shadow=Shadow("v8", WHOLE))), "exactly one other"),
        (Content((V6, V7), Traffic({"v6": WHOLE, "v7": 0}, (SliceSplit("language", "de", {"v7": WHOLE}),))), "by slice"),
        (Content((replace(V6, name="v_6"),), Traffic({"v_6": WHOLE})), "v_6"),
        (Content(tuple(replace(V6, name=f"n{n}") for n in range(11)), Traffic({"n0": WHOLE, **{f"n{n}": 0 for n in range(1, 11)}})), "11"),
        (Content((V6,), Traffic({"v6": WHOLE, "v7": 0})), "no variant"),
        (Content((V6,), None), "share"),
    ],
)
def test_what_sagemaker_cannot_express_is_refused_in_the_plan(target: Content, why: str) -> None:
    with pytest.raises((BackendError, UsageError), match=why):
        steps(pace(), Live("relevance"), target)


@pytest.mark.parametrize("kind", ["it is serverless", "its models are inference components", "it answers asynchronously"])
def test_what_is_only_shown_here_is_not_changed(kind: str) -> None:
    there = live(ALONE, **{"read-only": kind})
    assert steps(pace(), there, ALONE) == ()
    for target in (STANDBY, NOTHING):
        with pytest.raises(BackendError, match=kind):
            steps(pace(), there, target)


def test_a_variant_that_scales_by_itself_takes_weights_and_is_not_taken_away() -> None:
    there = live(STANDBY, autoscaling="1 to 4")
    assert told(steps(pace(), there, CANARY)) == [(WEIGHTS, "shift")]
    with pytest.raises(BackendError, match=r"Deregister it first|scaled by itself"):
        steps(pace(), there, ALONE)


def test_an_endpoint_that_never_came_up_is_deleted_and_made_anew() -> None:
    """SageMaker takes nothing else of it."""
    sick = LiveVariant("v6", VariantState.FAILED, digest="sha256:6", reason="no ping", resources={"status": "Failed"})
    there = Live("relevance", (sick,), transition=Transition.FAILED, reason="no ping")
    assert told(steps(pace(), there, ALONE)) == [(DELETE, "shift"), (CREATE, "shift")]
    assert told(steps(pace(), there, NOTHING)) == [(DELETE, "shift")]


# Each variant an endpoint of its own.


@pytest.mark.parametrize(
    ("before", "then", "calls"),
    [
        (NOTHING, ALONE, [(CREATE, "prepare")]),
        (ALONE, CANARY, [(CREATE, "prepare")]),
        (STANDBY, CANARY, []),
        (CANARY, NEXT, [(DELETE, "clean")]),
        (CANARY, NOTHING, [(DELETE, "clean"), (DELETE, "clean")]),
    ],
)
def test_by_name_variants_come_and_go_and_nobody_moves_weights(before: Content, then: Content, calls: list[tuple[str, str]]) -> None:
    assert told(steps(pace(by_name=True), live(before), then)) == calls


def test_by_name_other_bytes_where_requests_go_are_no_preparation() -> None:
    other = Variant("v6", "relevance", "9", "sha256:9")
    target = Content((other,), Traffic({"v6": WHOLE}))
    (step,) = steps(pace(by_name=True), live(ALONE), target)
    assert (step.action, step.phase) == (UPDATE, Phase.SHIFT)
    (step,) = steps(pace(by_name=True), replace(live(ALONE), traffic=None), target)
    assert (step.action, step.phase) == (UPDATE, Phase.PREPARE)


def test_by_name_one_that_never_came_up_is_deleted_and_made_anew() -> None:
    sick = LiveVariant("v6", VariantState.FAILED, digest="sha256:6", resources={"status": "Failed"})
    assert told(steps(pace(by_name=True), Live("relevance", (sick,)), ALONE)) == [(DELETE, "prepare"), (CREATE, "prepare")]


@pytest.mark.parametrize(("endpoint", "variant"), [("relevance", "de-v6"), ("relevance-v1", "v6"), ("a" * 40, "b" * 23)])
def test_by_name_a_name_that_could_not_be_read_back_is_refused(endpoint: str, variant: str) -> None:
    one = replace(V6, name=variant)
    with pytest.raises((BackendError, UsageError)):
        steps(pace(by_name=True), Live(endpoint), Content((one,), Traffic({variant: WHOLE})))
