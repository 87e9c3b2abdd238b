"""Serving on SageMaker: what is there is told as it is, what is changed keeps what it was not asked to change, and nothing is left over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aws.parts import Servers, until
from aws.serving_kit import (
    BUCKET,
    IMAGE,
    ROLE,
    V1,
    V2,
    driver,
    foreign,
    made,
    order,
    renamed,
    served,
    serving,
)
from mlconsole.core.live import Transition, VariantState
from mlconsole.core.releases import Content, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.plugin.conformance import as_variant
from mlconsole.plugin.errors import BackendError, Conflict, Refused, Unavailable
from mlconsole_aws import naming, uploading

pytestmark = pytest.mark.real

ONE, TWO = as_variant(V1), as_variant(V2)
ALONE = Content((ONE,), Traffic({"v1": WHOLE}))
CANARY = Content((ONE, TWO), Traffic({"v1": 9000, "v2": 1000}))


def adding(variant: Variant) -> Step:
    return Step("serving", "UpdateEndpoint", f"add {variant.name}", Phase.PREPARE, ensures=(variant,))


# What is there.


def test_an_endpoint_that_somebody_else_made_is_told_as_it_is(aws: Servers, tmp_path: Path) -> None:
    foreign(aws)
    role = serving(aws, tmp_path)
    assert role.list() == ["events"]
    live = role.describe("events")
    assert live.traffic == Traffic({"blue": 2500, "green": 7500})
    assert live.transition is Transition.SETTLED
    blue = live.variant("blue")
    assert blue is not None
    assert blue.state is VariantState.READY
    assert blue.resources["machines"] == "2 × ml.c5.xlarge"
    assert blue.resources["image"] == IMAGE
    described = aws.client("sagemaker").describe_model(ModelName="events-blue")
    assert blue.digest == naming.native_digest(described)
    assert live.variant("green").digest != blue.digest  # type: ignore[union-attr]
    assert live.url == "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/events/invocations"


def test_an_endpoint_that_is_not_there_is_nothing(aws: Servers, tmp_path: Path) -> None:
    """SageMaker says that by a ValidationException."""
    assert not serving(aws, tmp_path).describe("nobody").exists


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"ProductionVariants": [{"VariantName": "a", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}]
          }, "it is serverless"),
        ({"ProductionVariants": [{"VariantName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}], "ExecutionRoleArn": ROLE},
         "inference components"),
        ({"ProductionVariants": [{"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
          "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://out/x"}}}, "asynchronously"),
        ({"ProductionVariants": [{"VariantName": "a", "ModelName": "multi", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]},
         "several models"),
        ({"ProductionVariants": [{"VariantName": "a", "ModelName": "chain", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]},
         "several containers"),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_is_shown_as_what_it_is_and_not_changed(
    aws: Servers, tmp_path: Path, config: dict[str, Any], why: str
) -> None:
    sagemaker, container = aws.client("sagemaker"), {"Image": IMAGE}
    sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    sagemaker.create_model(ModelName="multi", PrimaryContainer={**container, "Mode": "MultiModel"}, ExecutionRoleArn=ROLE)
    sagemaker.create_model(ModelName="chain", Containers=[container, container], ExecutionRoleArn=ROLE)
    sagemaker.create_endpoint_config(EndpointConfigName="c", **config)
    sagemaker.create_endpoint(EndpointName="relevance", EndpointConfigName="c")
    served(aws, "relevance")
    role = serving(aws, tmp_path)
    live = role.describe("relevance")
    assert why in live.variants[0].resources["read-only"]
    with pytest.raises(Refused, match=why):
        role.steps(live, ALONE)
    before = made(aws)
    with pytest.raises(Refused, match=why):
        role.start("relevance", adding(ONE), order(V1))
    assert made(aws) == before


def test_a_guarded_swap_of_somebody_else_is_told_and_nothing_goes_between(aws: Servers, tmp_path: Path) -> None:
    foreign(aws, "relevance", variants={"v1": 1.0})
    sagemaker = aws.client("sagemaker")
    config = sagemaker.describe_endpoint_config(EndpointConfigName="relevance-config")["ProductionVariants"]
    sagemaker.create_endpoint_config(EndpointConfigName="next", ProductionVariants=[{**config[0], "InitialInstanceCount": 3}])
    aws.control(updating_seconds=30)
    policy = {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            "WaitIntervalInSeconds": 60,
        }
    }
    sagemaker.update_endpoint(EndpointName="relevance", EndpointConfigName="next", DeploymentConfig={"BlueGreenUpdatePolicy": policy})
    role = serving(aws, tmp_path)
    live = role.describe("relevance")
    assert live.transition is Transition.IN_PROGRESS
    assert live.variants[0].resources["guardrails"] == "canary"
    before = made(aws)
    with pytest.raises(Conflict, match="Updating"):
        role.start("relevance", adding(TWO), order(V2))
    assert made(aws) == before


def test_a_variant_that_scales_by_itself_says_so_and_is_not_taken_away(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(Content((ONE, TWO), Traffic({"v1": WHOLE, "v2": 0})))
    aws.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/relevance/variant/v2",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=4,
    )
    other = serving(aws, tmp_path / "other")
    live = other.describe("relevance")
    assert live.variant("v2").resources["autoscaling"] == "1 to 4"  # type: ignore[union-attr]
    with pytest.raises(Refused, match="scaled by itself"):
        other.steps(live, ALONE)
    assert other.steps(live, CANARY), "weights may move"


def test_unknown_statuses_of_the_service_itself_are_waited_for(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    aws.control(force={"relevance": "SystemUpdating"})
    role = serving(aws, tmp_path / "other")
    assert role.describe("relevance").transition is Transition.IN_PROGRESS
    with pytest.raises(Unavailable, match="SystemUpdating"):
        it.bench.serving.start("relevance", adding(TWO), order(V2, fence=it.newest_fence()))
    aws.control(force={"relevance": "OutOfService"})
    assert role.describe("relevance").variants[0].state is VariantState.FAILED


# Changing it.


def test_an_update_keeps_weights_and_counts_that_others_set_since(aws: Servers, tmp_path: Path) -> None:
    """Trap 2: without RetainAllVariantProperties live weights and counts become the new config's."""
    foreign(aws, "relevance", variants={"blue": 1.0, "green": 1.0})
    sagemaker = aws.client("sagemaker")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="relevance",
        DesiredWeightsAndCapacities=[
            {"VariantName": "blue", "DesiredWeight": 7.0, "DesiredInstanceCount": 5},
            {"VariantName": "green", "DesiredWeight": 1.0},
        ],
    )
    served(aws, "relevance")
    role = serving(aws, tmp_path)
    role.start("relevance", adding(ONE), order(V1))
    seen = served(aws, "relevance")
    now = {one["VariantName"]: (one["CurrentWeight"], one["CurrentInstanceCount"]) for one in seen["ProductionVariants"]}
    assert now == {"blue": (7.0, 5), "green": (1.0, 2), "v1": (0.0, 1)}
    config = sagemaker.describe_endpoint_config(EndpointConfigName=seen["EndpointConfigName"])["ProductionVariants"]
    kept = next(one for one in config if one["VariantName"] == "blue")
    assert kept["ContainerStartupHealthCheckTimeoutInSeconds"] == 300, "what was declared of it otherwise stays declared"
    assert (kept["InitialVariantWeight"], kept["InitialInstanceCount"]) == (7.0, 5), "the next one who forgets to retain resets nothing"


def test_an_update_keeps_even_what_others_set_in_the_moment_before_it(
    aws: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autoscaling asks nobody: between our look and our call the count is another one."""
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    role = serving(aws, tmp_path)
    making = role._changing._making
    plain = making.config

    def slow(*arguments: Any) -> str:
        config = plain(*arguments)
        said = [{"VariantName": "v1", "DesiredWeight": 5.0, "DesiredInstanceCount": 6}]
        aws.client("sagemaker").update_endpoint_weights_and_capacities(EndpointName="relevance", DesiredWeightsAndCapacities=said)
        served(aws, "relevance")
        return config

    monkeypatch.setattr(making, "config", slow)
    role.start("relevance", adding(TWO), order(V2, fence=it.newest_fence()))
    now = {
        one["VariantName"]: (one["CurrentWeight"], one["CurrentInstanceCount"]) for one in served(aws, "relevance")["ProductionVariants"]
    }
    assert now == {"v1": (5.0, 6), "v2": (0.0, 1)}


def test_what_another_registry_changes_is_refused(aws: Servers, tmp_path: Path) -> None:
    driver(aws, tmp_path / "theirs").reach(ALONE)
    before = made(aws)
    role = serving(aws, tmp_path / "ours")
    for step in (adding(TWO), Step("serving", "DeleteEndpoint", "delete", Phase.SHIFT, removes=("v1",), gone=True)):
        with pytest.raises(Refused, match="theirs/staging"):
            role.start("relevance", step, order(V1, V2))
    assert made(aws) == before
    assert served(aws, "relevance")["EndpointStatus"] == "InService"


def test_a_driver_that_another_process_has_overtaken_changes_nothing(aws: Servers, tmp_path: Path) -> None:
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    other = serving(aws, tmp_path)
    other._changing._owning._newest.clear()  # as in a process of its own, which has seen no token yet
    before = made(aws)
    with pytest.raises(Conflict, match="taken over"):
        other.start("relevance", adding(TWO), order(V2, fence=1))
    assert made(aws) == before


def test_a_driver_that_was_overtaken_here_makes_nothing_new(aws: Servers, tmp_path: Path) -> None:
    """Of an endpoint that is not there yet no tag can tell."""
    role, create = serving(aws, tmp_path), Step("serving", "CreateEndpoint", "create", Phase.SHIFT, ensures=(ONE,), traffic=ALONE.traffic)
    role.start("relevance", Step("serving", "DeleteEndpoint", "delete", Phase.SHIFT, gone=True), order(fence=8))
    with pytest.raises(Conflict, match="taken over"):
        role.start("relevance", create, order(V1, fence=7))
    assert made(aws) == ([], [])


@pytest.mark.parametrize(
    ("said", "version", "why"),
    [
        ({"instance_type": None}, V2, "no type of instance"),
        ({"image": None}, V2, "which image"),
        ({"role": None}, V2, "which role"),
        ({"bucket": None}, V2, "which bucket"),
        ({}, renamed(V2, location="/nowhere/model.onnx"), "no artifact"),
        ({}, renamed(V2, location=V1.artifact.location), "not the bytes"),
        ({}, renamed(V2, location="s3://models/nowhere.tar.gz"), "no artifact"),
        ({}, renamed(V2, location="sagemaker://model/nobody"), "has been deleted"),
        ({}, renamed(V2, location="https://somewhere/model.onnx"), "can't read"),
        ({}, None, "not registered"),
    ],
)
def test_what_is_missing_is_refused_before_anything_is_made(
    aws: Servers, tmp_path: Path, said: dict[str, Any], version: Any, why: str
) -> None:
    driver(aws, tmp_path).reach(ALONE)
    before, config = made(aws), served(aws, "relevance")["EndpointConfigName"]
    role = serving(aws, tmp_path, sagemaker={key: value for key, value in said.items() if value is not None} | _left_out(said))
    with pytest.raises(BackendError, match=why):
        role.start("relevance", adding(TWO), order(*([version] if version else [])))
    assert made(aws) == before
    assert served(aws, "relevance")["EndpointConfigName"] == config


def _left_out(said: dict[str, Any]) -> dict[str, Any]:
    return {key: "" for key, value in said.items() if value is None}


def test_what_the_account_has_no_room_for_leaves_nothing_behind(aws: Servers, tmp_path: Path) -> None:
    driver(aws, tmp_path).reach(ALONE)
    before = made(aws)
    aws.control(limits={"ml.m5.large": 1})
    with pytest.raises(Refused, match=r"limit.*ml\.m5\.large"):
        serving(aws, tmp_path).start("relevance", adding(TWO), order(V2, fence=10**16))
    assert made(aws) == before, "the model and the config that were made for it are gone again"


def test_a_sagemaker_model_that_somebody_made_is_used_as_it_is_and_never_deleted(aws: Servers, tmp_path: Path) -> None:
    """An adopted endpoint can be gone back to: its models can't change, so they are the versions."""
    foreign(aws, "relevance", variants={"blue": 1.0})
    role = serving(aws, tmp_path)
    blue = role.describe("relevance").variants[0]
    version = replace(
        V1, version="blue", artifact=replace(V1.artifact, location="sagemaker://model/relevance-blue", digest=str(blue.digest))
    )
    it = driver(aws, tmp_path)
    adopted = Variant("blue", "relevance", "blue", str(blue.digest))
    it.bench = replace(it.bench, versions=[version, V2])
    it.reach(Content((TWO,), Traffic({"v2": WHOLE})))
    assert "relevance-blue" in made(aws)[0]
    live = it.reach(Content((adopted,), Traffic({"blue": WHOLE})))
    assert live.variants[0].resources["model"] == "relevance-blue"
    sagemaker = aws.client("sagemaker")
    it.reach(Content((TWO,), Traffic({"v2": WHOLE})))
    sagemaker.delete_model(ModelName="relevance-blue")
    sagemaker.create_model(ModelName="relevance-blue", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=ROLE)
    with pytest.raises(Refused, match="another one than was registered"):
        role.start("relevance", adding(adopted), replace(order(), versions={"blue": version}, fence=10**16))


def test_weights_are_not_moved_to_who_is_not_there(aws: Servers, tmp_path: Path) -> None:
    """Trap 18."""
    it = driver(aws, tmp_path)
    it.reach(ALONE)
    step = Step("serving", "UpdateEndpointWeightsAndCapacities", "move", Phase.SHIFT, traffic=Traffic({"v1": 0, "v2": WHOLE}))
    with pytest.raises(Refused, match="v2 is not there"):
        it.bench.serving.start("relevance", step, order(V1, V2, fence=it.newest_fence()))
    it.reach(CANARY)
    gone = Step("serving", "UpdateEndpoint", "take v1 away", Phase.CLEAN, removes=("v1",))
    with pytest.raises(Refused, match="v1 still gets requests"):
        it.bench.serving.start("relevance", gone, order(V1, V2, fence=it.newest_fence()))
    gone = Step("serving", "UpdateEndpoint", "take v2 away", Phase.CLEAN, removes=("v2",))
    with pytest.raises(Refused, match="v2 still gets requests"):
        it.bench.serving.start("relevance", gone, order(V1, V2, fence=it.newest_fence()))


def test_an_artifact_is_uploaded_once_and_a_slow_one_is_told(aws: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "_PATIENCE", 0.05)
    aws.control(services=["s3"], delay_seconds=0.3)
    role, create = serving(aws, tmp_path), Step("serving", "CreateEndpoint", "create", Phase.SHIFT, ensures=(ONE,), traffic=ALONE.traffic)
    token = order(V1)

    def started() -> bool:
        try:
            role.start("relevance", create, token)
        except Unavailable as error:
            waited.append(error.message)
            return False
        return True

    waited: list[str] = []
    until(started)
    assert "on its way to s3://models" in waited[0]
    aws.control()
    key = f"mlconsole/sha256/{V1.artifact.digest[7:]}/model.tar.gz"
    first = aws.client("s3").head_object(Bucket=BUCKET, Key=key)["LastModified"]
    served(aws, "relevance")
    driver(aws, tmp_path / "other", endpoint="second").reach(ALONE)
    assert aws.client("s3").head_object(Bucket=BUCKET, Key=key)["LastModified"] == first
