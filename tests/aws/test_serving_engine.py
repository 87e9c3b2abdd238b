"""The whole engine over SageMaker: deploy, shift and revert read back; what fails goes back, and what was made for it is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aws.parts import Servers
from aws.serving_kit import V1, V2, broken, foreign, made, options, served, serving
from engine.conftest import ANNA
from engine.kit import NAME, deploy, revert, shift
from mlconsole.core.live import Live
from mlconsole.core.models import ModelVersion
from mlconsole.engine import changing, planning
from mlconsole.engine.session import Session
from mlconsole.workspace import load

pytestmark = pytest.mark.real

_FILE = """\
workspace: test
default_environment: staging
environments:
  staging:
    serving: aws
    options:
      aws: {options}
models:
  relevance: {{}}
"""


def session(servers: Servers, root: Path, *versions: ModelVersion, **more: Any) -> Session:
    """A workspace on these servers, with these versions registered."""
    serving(servers, root)  # its bucket
    said = {
        "region": servers.region,
        "account": servers.account,
        "profile": "mlconsole-test",
        "config_file": str(servers.config_file),
        **options(**more),
    }
    (root / "mlconsole.yaml").write_text(_FILE.format(options=json.dumps(said)))
    workspace = load(root)
    opened = Session(workspace, workspace.environments["staging"], actor=ANNA)
    for version in versions:
        opened.registry.add_version(version)
    return opened


def weights(servers: Servers) -> dict[str, float]:
    return {one["VariantName"]: one["CurrentWeight"] for one in served(servers, NAME)["ProductionVariants"]}


def test_deploy_shift_and_revert(aws: Servers, tmp_path: Path) -> None:
    one = session(aws, tmp_path, V1, V2)
    plan = planning.plan_deploy(one, NAME, "1")
    assert plan.cost_per_hour == 0.115
    assert changing.run(one, plan).done
    assert deploy(one, "2", 1250).done
    assert weights(aws) == {"v1": 8750.0, "v2": 1250.0}
    assert shift(one, v2=3333).done
    assert weights(aws) == {"v1": 6667.0, "v2": 3333.0}
    outcome = revert(one)
    assert outcome.done, outcome.sentence
    assert weights(aws) == {"v1": 8750.0, "v2": 1250.0}
    outcome = revert(one, to=1)
    assert outcome.done, outcome.sentence
    assert weights(aws) == {"v1": 10000.0}
    tags = aws.aws("sagemaker", "list-tags", "--resource-arn", served(aws, NAME)["EndpointArn"])["Tags"]
    told = {each["Key"]: each["Value"] for each in tags}
    assert told["mlconsole:registry"] == f"{tmp_path.name}/staging"
    assert told["mlconsole:release"].startswith("relevance@staging+")


@pytest.mark.parametrize("fault", ["silent_rollback", "no_capacity"])
def test_what_sagemaker_rolls_back_is_told_and_leaves_nothing(aws: Servers, tmp_path: Path, fault: str) -> None:
    one = session(aws, tmp_path, V1, V2)
    assert deploy(one, "1").done
    before = made(aws)
    aws.control(fault=fault)
    outcome = deploy(one, "2", 1000)
    aws.control()
    assert not outcome.done
    assert "rolled" in outcome.sentence
    assert ("InsufficientInstanceCapacity" in outcome.sentence) is (fault == "no_capacity")
    assert made(aws) == before
    assert weights(aws) == {"v1": 10000.0}
    assert deploy(one, "2", 1000).done, "the next one is not in its way"


def test_a_model_that_does_not_come_up_leaves_nothing_and_says_why(aws: Servers, tmp_path: Path) -> None:
    one = session(aws, tmp_path, V1, broken(tmp_path))
    assert deploy(one, "1").done
    before = made(aws)
    outcome = deploy(one, "broken", 1000)
    assert not outcome.done
    assert "ping health check" in outcome.sentence
    assert made(aws) == before


def test_an_answer_that_never_comes_is_asked_for(aws: Servers, tmp_path: Path) -> None:
    one = session(aws, tmp_path, V1, V2)
    assert deploy(one, "1").done
    aws.control(timeout_after_effect=1.0, operations=["UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"], times=2)
    outcome = deploy(one, "2", 1000)
    assert outcome.done, outcome.sentence
    assert weights(aws) == {"v1": 9000.0, "v2": 1000.0}


def test_an_endpoint_that_was_there_before_can_be_gone_back_to(aws: Servers, tmp_path: Path) -> None:
    """Its models are what it can be gone back to: they are never taken away."""
    foreign(aws, NAME, variants={"blue": 1.0})
    live: Live = serving(aws, tmp_path).describe(NAME)
    from dataclasses import replace

    digest = str(live.variants[0].digest)
    adopted = replace(V1, version="blue", artifact=replace(V1.artifact, location=f"sagemaker://model/{NAME}-blue", digest=digest))
    one = session(aws, tmp_path, adopted, V2)
    from mlconsole.engine import endpoints

    endpoints.adopt(one, NAME)
    outcome = deploy(one, "2", 10_000)
    assert outcome.done, outcome.sentence
    assert weights(aws) == {"blue": 0.0, "v2": 10000.0}
    assert revert(one).done
    assert weights(aws) == {"blue": 10000.0}
