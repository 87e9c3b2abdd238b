"""A look at 100 endpoints with two variants each: how often SageMaker is asked, and how long that takes, beside a plain boto3 loop.

Each call takes `_LATENCY` on the servers, about what one over a network takes. The loop is what one writes for the same table: a list, then
for each endpoint its description, its config's, and its models'; it knows of no look before.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench import aws_house
from tests.bench.aws_house import Servers
from tests.bench.figures import Figure, Say, at_most

from aws.serving_kit import IMAGE, ROLE, serving
from mlconsole_aws.serving import SageMakerServing

_ENDPOINTS, _VARIANTS = 100, ("blue", "green")
_MODELS = 20
_LATENCY = 0.02
_AT_ONCE = 16
"""As the engine describes endpoints side by side."""
_BOUND = 1 + 2 * _ENDPOINTS + _MODELS
"""⌈100/100⌉ list, a description of each endpoint, config and distinct model."""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """A first look, later ones, one after somebody changed an endpoint; the loop."""
    with tempfile.TemporaryDirectory(prefix="mlconsole-refresh-") as name, aws_house.servers() as servers:
        _fill(servers)
        role = serving(servers, Path(name))
        servers.control(delay_seconds=_LATENCY)
        role.identity()  # whose account it is, is asked once for each process
        first, first_calls, rows = _counted(servers, lambda: _look(role))
        later, later_calls, again = _counted(servers, lambda: _look(role))
        loop, loop_calls, theirs = _counted(servers, lambda: _loop(servers))
        assert rows == again == theirs, "the tables differ"
        _somebody(servers)
        changed, changed_calls, _ = _counted(servers, lambda: _look(role))
    told = f"{first_calls} calls, {first * 1000:.0f} ms"
    yield at_most(f"first look at {_ENDPOINTS} endpoints, calls", first_calls, _BOUND, told, seconds=first, calls=first_calls)
    yield at_most("a later one, calls", later_calls, 1, f"{later_calls} call, {later * 1000:.0f} ms", seconds=later)
    # What was changed: its list, endpoint, config and two models.
    yield at_most(
        "a later one after somebody changed an endpoint, calls", changed_calls, 5, f"{changed_calls} calls, {changed * 1000:.0f} ms"
    )
    ratio = later_calls / loop_calls
    told = f"{loop_calls} of the loop ({loop * 1000:.0f} ms) against {later_calls}: {loop_calls / later_calls:.0f} times fewer"
    yield at_most("calls of a later look, beside a plain boto3 loop", ratio, 1 / 20, told, loop_calls=loop_calls, loop_seconds=loop)
    yield at_most("time of a first look, beside that loop", first / loop, 1.0, f"{first * 1000:.0f} ms against {loop * 1000:.0f} ms")


def _counted(servers: Servers, look: Callable[[], Any]) -> tuple[float, int, Any]:
    """Seconds, calls to SageMaker, and what it gave."""
    before = Counter(servers.calls())
    began = time.perf_counter()
    found = look()
    seconds = time.perf_counter() - began
    calls = Counter(servers.calls()) - before
    return seconds, sum(count for key, count in calls.items() if key.startswith("sagemaker:")), found


def _look(role: SageMakerServing) -> dict[str, dict[str, int]]:
    """As the engine does it."""
    names = role.list()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lives = list(pool.map(role.describe, names))
    assert all(one.digest for live in lives for one in live.variants)
    return {live.endpoint: dict(live.traffic.split) if live.traffic else {} for live in lives}


def _loop(servers: Servers) -> dict[str, dict[str, int]]:
    """Without any of our code."""
    sagemaker = servers.client("sagemaker")
    rows: dict[str, dict[str, int]] = {}
    for page in sagemaker.get_paginator("list_endpoints").paginate(MaxResults=100):
        for one in page["Endpoints"]:
            endpoint = sagemaker.describe_endpoint(EndpointName=one["EndpointName"])
            config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
            for variant in config["ProductionVariants"]:
                sagemaker.describe_model(ModelName=variant["ModelName"])
            total = sum(variant["CurrentWeight"] for variant in endpoint["ProductionVariants"])
            rows[one["EndpointName"]] = {
                variant["VariantName"]: round(variant["CurrentWeight"] / total * 10_000) for variant in endpoint["ProductionVariants"]
            }
    return rows


def _fill(servers: Servers) -> None:
    sagemaker = servers.client("sagemaker")
    servers.control(updating_seconds=0)
    for number in range(_MODELS):
        sagemaker.create_model(ModelName=f"model-{number}", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=ROLE)
    for number in range(_ENDPOINTS):
        machine = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        variants = [
            {"VariantName": name, "ModelName": f"model-{(number + at) % _MODELS}", "InitialVariantWeight": 9.0 - 8 * at, **machine}
            for at, name in enumerate(_VARIANTS)
        ]
        sagemaker.create_endpoint_config(EndpointConfigName=f"e{number:03}", ProductionVariants=variants)
        sagemaker.create_endpoint(EndpointName=f"e{number:03}", EndpointConfigName=f"e{number:03}")


def _somebody(servers: Servers) -> None:
    servers.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="e007", DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredWeight": 1.0}]
    )
