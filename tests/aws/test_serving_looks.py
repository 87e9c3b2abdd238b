"""How often SageMaker is asked: a look at N endpoints is ⌈N/100⌉ lists and what is new, and nothing is stale of our own change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from aws.parts import Servers
from aws.serving_kit import IMAGE, ROLE, V1, V2, driver, order, served, serving
from mlconsole.core.live import Live, Transition
from mlconsole.core.releases import Content
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.plugin.conformance import as_variant
from mlconsole.plugin.simulator import ManualClock
from mlconsole_aws.looking import Looks, looks_of
from mlconsole_aws.serving import SageMakerServing

pytestmark = pytest.mark.real

ONE, TWO = as_variant(V1), as_variant(V2)
ALONE = Content((ONE,), Traffic({"v1": WHOLE}))
STANDBY = Content((ONE, TWO), Traffic({"v1": WHOLE, "v2": 0}))


def fleet(aws: Servers, names: list[str]) -> None:
    """Endpoints with two variants each, that share their two models."""
    sagemaker = aws.client("sagemaker")
    aws.control(updating_seconds=0)
    for model in ("blue", "green"):
        sagemaker.create_model(ModelName=model, PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=ROLE)
    for name in names:
        variants = [
            {"VariantName": model, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            for model in ("blue", "green")
        ]
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def look(role: SageMakerServing) -> dict[str, Live]:
    """As the engine does it: the list, then all side by side."""
    names = role.list()
    with ThreadPoolExecutor(16) as pool:
        return dict(zip(names, pool.map(role.describe, names), strict=True))


def asked(aws: Servers, before: dict[str, int]) -> Counter[str]:
    """Calls to SageMaker since then."""
    return Counter({key: count for key, count in (Counter(aws.calls()) - Counter(before)).items() if key.startswith("sagemaker:")})


@pytest.mark.parametrize("by_name", [False, True])
def test_a_first_look_and_a_later_one_cost_what_they_may(aws: Servers, tmp_path: Path, by_name: bool) -> None:
    fleet(aws, [f"relevance-v{n}" for n in range(1, 24)])
    role = serving(aws, tmp_path, by_name=by_name)
    calls = aws.calls()
    first = look(role)
    count = asked(aws, calls)
    assert count == {
        "sagemaker:ListEndpoints": 1, "sagemaker:DescribeEndpoint": 23, "sagemaker:DescribeEndpointConfig": 23, "sagemaker:DescribeModel": 2
    }  # fmt: skip
    assert sum(len(live.variants) for live in first.values()) == (23 if by_name else 46)
    calls = aws.calls()
    assert look(role) == first
    assert asked(aws, calls) == {"sagemaker:ListEndpoints": 1}
    aws.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="relevance-v7", DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredWeight": 3.0}]
    )
    served(aws, "relevance-v7")
    calls = aws.calls()
    now = look(role)
    count = asked(aws, calls)
    assert (count["sagemaker:ListEndpoints"], count["sagemaker:DescribeEndpoint"]) == (1, 1)
    assert by_name or now["relevance-v7"].traffic == Traffic({"blue": 7500, "green": 2500})


def test_more_than_a_hundred_are_listed_page_by_page(aws: Servers, tmp_path: Path) -> None:
    fleet(aws, [f"e{n}" for n in range(101)])
    role = serving(aws, tmp_path)
    look(role)
    calls = aws.calls()
    assert len(look(role)) == 101
    assert asked(aws, calls) == {"sagemaker:ListEndpoints": 2}


@pytest.mark.parametrize("by_name", [False, True])
def test_what_we_change_is_never_told_from_memory(aws: Servers, tmp_path: Path, by_name: bool) -> None:
    """Read-back is success: between the order and its end each look asks, and the first one after it sees it."""
    it = driver(aws, tmp_path, by_name=by_name)
    it.reach(ALONE)
    look(serving(aws, tmp_path, by_name=by_name))
    aws.control(updating_seconds=1.0)
    step = next(step for step in it.steps(it.live(), STANDBY) if step.role == "serving")
    it.bench.serving.start("relevance", step, order(V1, V2, fence=it.newest_fence()))
    assert it.live().transition is Transition.IN_PROGRESS
    it.wait(step)
    assert it.live().variant("v2") is not None


def test_what_others_change_is_seen_by_the_next_look(aws: Servers, tmp_path: Path) -> None:
    fleet(aws, ["one", "two"])
    role = serving(aws, tmp_path)
    look(role)
    aws.control(updating_seconds=30)
    sagemaker = aws.client("sagemaker")
    sagemaker.update_endpoint(EndpointName="one", EndpointConfigName="two")
    sagemaker.delete_endpoint(EndpointName="two")
    found = look(role)
    assert found["one"].transition is Transition.IN_PROGRESS
    assert "two" not in found or found["two"].transition is Transition.IN_PROGRESS
    calls = aws.calls()
    look(role)
    assert asked(aws, calls)["sagemaker:DescribeEndpoint"] >= 1, "what is in flight is asked for at each look"


def test_a_model_that_was_made_anew_under_its_name_is_seen(aws: Servers, tmp_path: Path) -> None:
    fleet(aws, ["one"])
    role = serving(aws, tmp_path)
    was = look(role)["one"].variant("blue")
    sagemaker = aws.client("sagemaker")
    sagemaker.delete_model(ModelName="blue")
    sagemaker.create_model(ModelName="blue", PrimaryContainer={"Image": IMAGE + "0"}, ExecutionRoleArn=ROLE)
    variants = sagemaker.describe_endpoint_config(EndpointConfigName="one")["ProductionVariants"]
    sagemaker.delete_endpoint_config(EndpointConfigName="one")
    sagemaker.create_endpoint_config(EndpointConfigName="one", ProductionVariants=variants)
    sagemaker.update_endpoint(EndpointName="one", EndpointConfigName="one")
    served(aws, "one")
    now = look(role)["one"].variant("blue")
    assert was is not None
    assert now is not None
    assert was.digest != now.digest


def test_many_who_ask_at_once_share_one_list(aws: Servers, tmp_path: Path) -> None:
    fleet(aws, [f"e{n}" for n in range(12)])
    role = serving(aws, tmp_path)
    look(role)
    role.list()
    calls = aws.calls()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(role.describe, [f"e{n}" for n in range(12)]))
    assert asked(aws, calls) == {}, "the list that was made a moment ago serves each of them once"
    role.describe("e0")
    assert asked(aws, calls) == {"sagemaker:ListEndpoints": 1}, "and none twice"
    assert looks_of(role._clients).recently_changed() == ()


class Late:
    """SageMaker says for a moment after it took an order that nothing is under way."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.weight = 1.0

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        same = {"EndpointName": "e", "EndpointStatus": "InService", "LastModifiedTime": datetime(2026, 1, 5, tzinfo=UTC)}
        if operation == "list_endpoints":
            return {"Endpoints": [same]}
        if operation == "describe_endpoint_config":
            return {"ProductionVariants": [{"VariantName": "v1"}]}
        return {
            **same,
            "EndpointArn": "arn",
            "EndpointConfigName": "c",
            "ProductionVariants": [{"VariantName": "v1", "CurrentWeight": self.weight}],
        }

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        yield from self.call(service, operation)[key]


def test_for_a_while_after_an_order_nothing_is_told_from_memory() -> None:
    clients = Late()
    looks = Looks(cast(Any, clients))

    def weight() -> float:
        seen = looks.seen("e")
        assert seen is not None
        return float(seen.endpoint["ProductionVariants"][0]["CurrentWeight"])

    assert weight() == 1.0
    looks.changed("e")
    assert weight() == 1.0
    clients.weight = 2.0
    assert weight() == 2.0
    clients.clock.sleep(120.0)
    clients.weight = 3.0
    assert weight() == 2.0, "later, what was not modified is not asked for"
