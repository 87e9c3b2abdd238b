"""The whole conformance suite against SageMaker's protocol, in both layouts, over HTTP, with models that really answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aws.parts import Servers
from aws.serving_kit import V1, V2, Applications, Document, broken, leftovers, serving, third
from mlconsole.core.clock import SystemClock
from mlconsole.plugin.conformance import Bench, ServingConformance
from mlconsole.plugin.roles import Invocation

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("aws-conformance-serving")]

ENDPOINT = "conformance"


@pytest.fixture(scope="module")
def folder(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace, on servers as new: one for all checks of a layout, so that what one leaves behind, the next one trips over."""
    servers.reset()
    servers.control(updating_seconds=0.15, deleting_seconds=0.05)
    return tmp_path_factory.mktemp("workspace")


def bench_of(servers: Servers, folder: Path) -> Bench:
    return Bench(
        serving=serving(servers, folder),
        clock=SystemClock(),
        versions=[V1, V2, third(folder)],
        requests=[Invocation({"x": float(number)}, {"language": "pl"}) for number in range(10)],
        broken=broken(folder),
        refused=Invocation({"x": "no number"}),
        endpoint=ENDPOINT,
        poll=0.1,
        # SageMaker has no compare-and-set: a tag is read, compared, and only then comes the call.
        fenced=False,
        leftovers=lambda: leftovers(servers, ENDPOINT),
        backend_calls=lambda: sum(servers.calls().values()),
    )


class TestShared(ServingConformance):
    """One SageMaker endpoint for all variants, which splits by weights."""

    @pytest.fixture
    def bench(self, servers: Servers, folder: Path) -> Bench:
        return bench_of(servers, folder)


class TestByName(ServingConformance):
    """Each variant a SageMaker endpoint of its own; applications choose by what a document says."""

    @pytest.fixture
    def bench(self, servers: Servers, folder: Path) -> Bench:
        role = serving(servers, folder, by_name=True)
        document = Document(role)
        return replace(bench_of(servers, folder), serving=Applications(role, document), traffic=document)


def test_the_aws_command_sees_what_was_made(aws: Servers, tmp_path: Path) -> None:
    """Another program, which shares no line with ours, is the witness."""
    from mlconsole.core.releases import Content
    from mlconsole.core.traffic import Traffic
    from mlconsole.plugin.conformance import Driver, as_variant

    it = Driver(bench_of(aws, tmp_path))
    it.reach(Content((as_variant(V1), as_variant(V2)), Traffic({"v1": 8750, "v2": 1250})))
    seen = aws.aws("sagemaker", "describe-endpoint", "--endpoint-name", ENDPOINT)
    assert {one["VariantName"]: one["CurrentWeight"] for one in seen["ProductionVariants"]} == {"v1": 8750.0, "v2": 1250.0}
    config = aws.aws("sagemaker", "describe-endpoint-config", "--endpoint-config-name", seen["EndpointConfigName"])
    models = {one["VariantName"]: one["ModelName"] for one in config["ProductionVariants"]}
    described = aws.aws("sagemaker", "describe-model", "--model-name", models["v2"])
    assert described["PrimaryContainer"]["Environment"]["MLCONSOLE_DIGEST"] == V2.artifact.digest
    assert described["PrimaryContainer"]["ModelDataUrl"].endswith(f"/sha256/{V2.artifact.digest[7:]}/model.tar.gz")
    tags = aws.aws("sagemaker", "list-tags", "--resource-arn", seen["EndpointArn"])["Tags"]
    assert {one["Key"]: one["Value"] for one in tags}["mlconsole:registry"] == f"{tmp_path.name}/staging"
    assert json.dumps(config).count("InitialVariantWeight") == 2
