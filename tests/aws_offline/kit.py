"""What the tests of our SageMaker part ask, with every answer held against botocore's model."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from aws.parts import Servers, until
from mlconsole_aws_offline import shapes

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/serve:1.7"
SAMPLES = Path(__file__).parents[2] / "sample_workspace"
BUCKET = "models"


class Sage:
    """SageMaker on the offline servers, for tests."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.client = servers.client("sagemaker")
        self.runtime = servers.client("sagemaker-runtime")
        self.s3 = servers.client("s3")
        self.wrong: list[str] = []
        """What in any answer so far was not as botocore's model has it."""
        self.client.meta.events.register("after-call.sagemaker", self._check)

    def _check(self, http_response: Any, model: Any, **_: Any) -> None:
        if http_response.status_code == 200 and http_response.content:
            self.wrong += [
                f"{model.name}: {one}" for one in shapes.output_problems("sagemaker", model.name, json.loads(http_response.content))
            ]

    def model(self, name: str, **more: Any) -> None:
        """A model; without data its container is an echo."""
        self.client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, **more})

    def upload(self, model: str, version: str, key: str) -> str:
        """A sample model's artifact in S3."""
        if not self.s3.list_buckets()["Buckets"]:
            self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": self.servers.region})
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in sorted((SAMPLES / "models" / model / version / "artifact").iterdir()):
                archive.add(path, path.name)
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=packed.getvalue())
        return f"s3://{BUCKET}/{key}"

    def config(self, name: str, *variants: tuple[str, float], count: int = 1, model: str = "m", **more: Any) -> None:
        """An endpoint config: variant and initial weight."""
        self.client.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[production(*one, count, model) for one in variants], **more
        )

    def serve(self, *variants: tuple[str, float], endpoint: str = "e", count: int = 1, **more: Any) -> None:
        """An endpoint in service, from nothing."""
        self.model("m")
        self.config("c1", *variants, count=count, **more)
        self.client.create_endpoint(EndpointName=endpoint, EndpointConfigName="c1")
        self.settled(endpoint)

    def describe(self, endpoint: str = "e") -> dict[str, Any]:
        """The endpoint."""
        found: dict[str, Any] = self.client.describe_endpoint(EndpointName=endpoint)
        return found

    def settled(self, endpoint: str = "e") -> tuple[dict[str, Any], list[str]]:
        """The endpoint once nothing moves, and the statuses seen on the way."""
        seen: list[str] = []

        def look() -> dict[str, Any] | None:
            found = self.describe(endpoint)
            if not seen or seen[-1] != found["EndpointStatus"]:
                seen.append(found["EndpointStatus"])
            return found if found["EndpointStatus"] in ("InService", "Failed", "UpdateRollbackFailed") else None

        found = until(look)
        assert found is not None
        return found, seen

    def weights(self, endpoint: str = "e") -> dict[str, tuple[float, int]]:
        """Variant → its weight and count of now."""
        return {
            one["VariantName"]: (one["CurrentWeight"], one["CurrentInstanceCount"]) for one in self.describe(endpoint)["ProductionVariants"]
        }

    def invoke(self, body: Any = "{}", endpoint: str = "e", **more: Any) -> dict[str, Any]:
        """One request; its answer with the body read."""
        text = body if isinstance(body, str) else json.dumps(body)
        found: dict[str, Any] = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=text, ContentType="application/json", **more)
        found["Body"] = found["Body"].read()
        return found


def production(variant: str, weight: float, count: int = 1, model: str = "m") -> dict[str, Any]:
    """A ProductionVariant."""
    return {
        "VariantName": variant,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
    }


def query(model: str, index: int = 0) -> dict[str, Any]:
    """A recorded event as an Open Inference request."""
    name = "replay.jsonl" if model == "relevance" else f"replay-{model}.jsonl"
    event = json.loads((SAMPLES / "events" / name).read_text(encoding="utf-8").splitlines()[index])
    return {
        "inputs": [
            {"name": key, "datatype": "BYTES" if isinstance(value, str) else "FP32", "shape": [1], "data": [value]}
            for key, value in event["inputs"].items()
        ]
    }
