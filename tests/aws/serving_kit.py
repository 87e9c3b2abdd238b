"""The serving role on the offline servers: tiny real models for it to serve, and applications that choose a variant by a document."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aws.parts import Servers, context, until
from local.backend import version
from local.kit import DATA
from mlconsole.core.clock import SystemClock
from mlconsole.core.live import Live, VariantState, traffic_differences
from mlconsole.core.models import ModelVersion, variant_name
from mlconsole.core.releases import Content
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.conformance import Bench, Driver
from mlconsole.plugin.errors import Conflict, Refused
from mlconsole.plugin.roles import Answer, Invocation, Limits, Order, Serving, TrafficReport
from mlconsole_aws.serving import SageMakerServing

BUCKET = "models"
ROLE = "arn:aws:iam::123456789012:role/serving"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/onnx@sha256:" + "ab" * 32
REQUEST = Invocation({"x": 2.0})
V1, V2 = version("1", "double.onnx"), version("2", "triple.onnx")


def third(folder: Path) -> ModelVersion:
    """A version whose artifact is a folder: other bytes around the same graph."""
    made = folder / "third"
    made.mkdir(parents=True, exist_ok=True)
    (made / "model.onnx").write_bytes((DATA / "double.onnx").read_bytes())
    (made / "serving.json").write_text('{"schema": 1, "score": "score"}')
    return version("3", made)


def broken(folder: Path) -> ModelVersion:
    """A version without a model in it: its container never answers a ping."""
    made = folder / "broken"
    made.mkdir(parents=True, exist_ok=True)
    (made / "notes.txt").write_text("no model")
    return version("broken", made)


def options(**more: Any) -> dict[str, Any]:
    """What mlconsole.yaml would say; times as the offline servers have them."""
    said = {"image": IMAGE, "instance_type": "ml.m5.large", "instance_count": 1, "role": ROLE, "bucket": BUCKET}
    times = {"update_seconds": 0.5, "weights_seconds": 0.4, "deadline_seconds": 20.0}
    return {"sagemaker": {**said, **times, **more.pop("sagemaker", {})}, **more}


def serving(servers: Servers, folder: Path, *, by_name: bool = False, **more: Any) -> SageMakerServing:
    """The role, with a bucket for its artifacts."""
    s3 = servers.client("s3")
    if BUCKET not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": servers.region})
    return SageMakerServing(context(servers, folder, by_name=by_name, **options(**more)))


def leftovers(servers: Servers, endpoint: str) -> list[str]:
    """SageMaker endpoints that are still there. Models and configs stay: a revert of the deletion may lead to them."""
    found = servers.client("sagemaker").list_endpoints(NameContains=endpoint, MaxResults=100)["Endpoints"]
    return [one["EndpointName"] for one in found]


class Document:
    """A traffic role: a document that says who gets which share, read by applications. Published at once, to all."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._lock = threading.Lock()
        self._said: dict[str, Traffic] = {}
        self._fences: dict[str, int] = {}

    def limits(self) -> Limits:
        return Limits(share_granularity=1, slices=True, shadow=False)

    def scope(self, endpoint: str) -> str:
        return "document"

    def report(self, endpoint: str) -> TrafficReport:
        return TrafficReport(self._said.get(endpoint))

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        if target.traffic is not None and target.traffic.shadow is not None:
            raise Refused("the document knows no copies")
        if not traffic_differences(live.traffic, target.traffic):
            return ()
        return (Step("traffic", "publish", "publish", Phase.SHIFT, traffic=target.traffic, gone=target.traffic is None),)

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        with self._lock:
            if order.fence < self._fences.get(endpoint, 0):
                raise Conflict("somebody newer publishes")
            self._fences[endpoint] = order.fence
            live = self._serving.describe(endpoint)
            for name in step.traffic.split if step.traffic is not None else ():
                there = live.variant(name)
                if step.traffic is not None and step.traffic.reaches(name) and (there is None or there.state is not VariantState.READY):
                    raise Refused(f"{name} is not there")  # trap 18
            if step.traffic is None:
                self._said.pop(endpoint, None)
            else:
                self._said[endpoint] = step.traffic


class Applications:
    """The serving role as those see it who read the document and choose by it."""

    def __init__(self, inner: SageMakerServing, document: Document) -> None:
        self.inner, self._document = inner, document
        self._random = random.Random(7)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        traffic = self._document.report(endpoint).traffic
        if variant is None and traffic is not None:
            key = traffic.by_slice[0].key if traffic.by_slice else ""
            split = traffic.slice_split(key, request.slices.get(key, ""))
            variant = self._random.choices(list(split), list(split.values()))[0]
        return self.inner.invoke(endpoint, request, variant, probe=probe)


def renamed(one: ModelVersion, **changes: Any) -> ModelVersion:
    """A version with something of its artifact other than it is."""
    return replace(one, artifact=replace(one.artifact, **changes))


def driver(servers: Servers, folder: Path, *, by_name: bool = False, endpoint: str = "relevance", **more: Any) -> Driver:
    """Goes from release to release, as the engine would."""
    role = serving(servers, folder, by_name=by_name, **more)
    document = Document(role) if by_name else None
    return Driver(
        Bench(
            serving=Applications(role, document) if document is not None else role,
            clock=SystemClock(),
            versions=[V1, V2, third(folder)],
            requests=[Invocation({"x": float(number)}) for number in range(10)],
            broken=broken(folder),
            traffic=document,
            endpoint=endpoint,
            poll=0.05,
        )
    )


def foreign(servers: Servers, name: str = "events", *, variants: Mapping[str, float] | None = None, **config: Any) -> dict[str, Any]:
    """An endpoint that somebody else made, with weights of their own; as DescribeEndpoint tells it when it serves."""
    sagemaker = servers.client("sagemaker")
    weights = variants or {"blue": 1.0, "green": 3.0}
    for variant in weights:
        sagemaker.create_model(
            ModelName=f"{name}-{variant}", PrimaryContainer={"Image": IMAGE, "Environment": {"SIDE": variant}}, ExecutionRoleArn=ROLE
        )
    sagemaker.create_endpoint_config(
        EndpointConfigName=f"{name}-config",
        **{
            "ProductionVariants": [
                {
                    "VariantName": variant,
                    "ModelName": f"{name}-{variant}",
                    "InstanceType": "ml.c5.xlarge",
                    "InitialInstanceCount": 2,
                    "InitialVariantWeight": weight,
                    "ContainerStartupHealthCheckTimeoutInSeconds": 300,
                }
                for variant, weight in weights.items()
            ],
            **config,
        },
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")
    return served(servers, name)


def served(servers: Servers, name: str) -> dict[str, Any]:
    """An endpoint as soon as nothing is under way any more."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = servers.client("sagemaker").describe_endpoint(EndpointName=name)
        return found if found["EndpointStatus"] not in ("Creating", "Updating", "RollingBack") else None

    found = until(look)
    assert found is not None
    return found


def made(servers: Servers) -> tuple[list[str], list[str]]:
    """The names of all models and all endpoint configs."""
    sagemaker = servers.client("sagemaker")
    models = [one["ModelName"] for one in sagemaker.list_models(MaxResults=100)["Models"]]
    configs = [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]]
    return sorted(models), sorted(configs)


def order(*versions: ModelVersion, fence: int | None = None, release: str = "relevance@staging#7") -> Order:
    """What goes with a step."""
    return Order(next(_TOKENS) if fence is None else fence, release, {variant_name(one.version): one for one in versions})


_TOKENS = itertools.count(1)
