"""Serving on SageMaker, afterwards: what is left of what failed, what is captured and logged, and endpoints of others by their names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aws.parts import Servers, until
from aws.serving_kit import (
    REQUEST,
    V1,
    V2,
    broken,
    driver,
    foreign,
    made,
    order,
    served,
    serving,
    third,
)
from mlconsole.core.live import Transition, VariantState
from mlconsole.core.releases import NOTHING, Content, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.plugin.conformance import as_variant
from mlconsole.plugin.errors import NotFound, Refused
from mlconsole_aws.looking import looks_of

pytestmark = pytest.mark.real

ONE, TWO = as_variant(V1), as_variant(V2)
ALONE = Content((ONE,), Traffic({"v1": WHOLE}))
CANARY = Content((ONE, TWO), Traffic({"v1": 9000, "v2": 1000}))


def adding(variant: Variant) -> Step:
    return Step("serving", "UpdateEndpoint", f"add {variant.name}", Phase.PREPARE, ensures=(variant,))


# What is left over.


def test_only_what_a_failed_change_made_is_taken_away(aws: Servers, tmp_path: Path) -> None:
    """Trap 3: what may still be a revert target stays, whatever else is tidied."""
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    it.reach(CANARY)
    it.reach(ALONE)
    before = made(aws)
    aws.control(fault="silent_rollback")
    role = it.bench.serving
    third_one = as_variant(third(tmp_path))
    role.start("relevance", adding(third_one), replace(it.order(ALONE), versions={"v3": third(tmp_path)}, release="relevance@staging#9"))
    it.settled(20.0)
    added = [set(after) - set(first) for after, first in zip(made(aws), before, strict=True)]
    assert [len(each) for each in added] == [1, 1]
    aws.control()
    assert role.tidy("relevance", "relevance@staging#8") == (), "of another release"
    assert role.tidy("duplicates", "relevance@staging#9") == (), "of another endpoint"
    assert set(role.tidy("relevance", "relevance@staging#9")) == {*added[0], *added[1]}
    assert made(aws) == before
    assert not set(role.tidy("relevance", "relevance@conformance#1")) & _serving_now(aws)
    it.reach(ALONE)


def _serving_now(aws: Servers) -> set[str]:
    seen = served(aws, "relevance")
    config = aws.client("sagemaker").describe_endpoint_config(EndpointConfigName=seen["EndpointConfigName"])
    return {seen["EndpointConfigName"], *(one["ModelName"] for one in config["ProductionVariants"])}


def test_what_serves_is_not_tidied_even_if_its_release_is_said_to_have_failed(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(CANARY)
    now = _serving_now(aws)
    it.bench.serving.tidy("relevance", "relevance@conformance#1")
    assert now <= {*made(aws)[0], *made(aws)[1]}


# Asking.


def test_probes_and_pinned_requests_are_marked_in_captured_data(aws: Servers, tmp_path: Path) -> None:
    aws.client("s3").create_bucket(Bucket="captured", CreateBucketConfiguration={"LocationConstraint": aws.region})
    it = driver(aws, tmp_path, sagemaker={"capture": "s3://captured/live"})
    it.reach(CANARY)
    role = it.bench.serving
    answers = [
        role.invoke("relevance", REQUEST),
        role.invoke("relevance", REQUEST, "v2"),
        role.invoke("relevance", REQUEST, "v2", probe=True),
    ]
    assert [answer.status for answer in answers] == [200] * 3
    assert answers[0].outputs["score"] in (4.0, 6.0)
    assert [answer.outputs["score"] for answer in answers[1:]] == [6.0, 6.0]
    s3 = aws.client("s3")

    def lines() -> list[dict[str, Any]]:
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket="captured", Prefix="live/relevance/").get("Contents", [])]
        found = [s3.get_object(Bucket="captured", Key=key)["Body"].read().decode() for key in keys]
        return [json.loads(line) for text in found for line in text.splitlines()]

    captured = until(lambda: lines() if len(lines()) == 3 else None) or []
    ids = sorted(one["eventMetadata"]["inferenceId"] for one in captured)
    assert ids == sorted(str(answer.request_id) for answer in answers)
    assert sum(one.startswith("mlconsole-probe-") for one in ids) == 1
    assert sum(one.startswith("mlconsole-pinned-") for one in ids) == 1


def test_a_models_refusal_is_an_answer_and_stands_in_its_log(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    aws.control(model_errors={"v1": 1.0})
    answer = it.bench.serving.invoke("relevance", REQUEST)
    assert (answer.status, answer.error) == (500, "broken, as it was asked to be")
    role = it.bench.serving
    assert any("500" in line for line in until(lambda: role.logs("relevance", "v1", 20)))  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        role.logs("relevance", "v9", 20)  # type: ignore[attr-defined]


def test_a_failed_creation_says_why_and_is_made_anew(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    ill = as_variant(broken(tmp_path))
    target = Content((ill,), Traffic({ill.name: WHOLE}))
    (step,) = it.steps(it.live(), target)
    it.begin(step, target)
    live = it.settled(20.0)
    assert (live.transition, live.variants[0].state) == (Transition.FAILED, VariantState.FAILED)
    assert "ping health check" in live.variants[0].reason
    it.reach(ALONE)
    it.reach(NOTHING)


def test_looking_is_shared_by_all_who_look(aws: Servers, tmp_path: Path) -> None:
    one, other = serving(aws, tmp_path), serving(aws, tmp_path)
    assert looks_of(one._clients) is looks_of(other._clients)


# Endpoints of others, each a variant.


def test_an_adopted_endpoint_is_the_variant_that_the_workspace_calls_it(aws: Servers, tmp_path: Path) -> None:
    foreign(aws, "events-de", variants={"primary": 1.0})
    adopted = {"relevance": {"v1": "events-de"}}
    it = driver(aws, tmp_path, by_name=True, sagemaker={"adopted": adopted})
    assert it.bench.serving.list() == ["relevance"]
    live = it.live()
    assert [one.name for one in live.variants] == ["v1"]
    assert live.variants[0].resources["endpoint"] == "events-de"
    it.reach(Content((ONE, TWO), Traffic({"v1": WHOLE, "v2": 0})))
    seen = served(aws, "events-de")
    assert [one["VariantName"] for one in seen["ProductionVariants"]] == ["primary"], "it keeps what it calls its one variant"
    assert served(aws, "relevance-v2")["EndpointStatus"] == "InService"
    assert it.ask("v1").outputs == {"score": 0.0}
    it.reach(Content((TWO,), Traffic({"v2": WHOLE})))
    with pytest.raises(NotFound):
        it.ask("v1")


def test_what_serves_several_variants_of_its_own_is_shown_and_not_changed(aws: Servers, tmp_path: Path) -> None:
    foreign(aws, "relevance-v1")
    role = serving(aws, tmp_path, by_name=True)
    live = role.describe("relevance")
    assert live.variants[0].resources["read-only"] == "it has 2 variants of its own"
    assert live.variants[0].digest is None
    with pytest.raises(Refused, match="2 variants"):
        role.start("relevance", adding(ONE), order(V1))
