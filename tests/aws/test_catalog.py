"""The Model Registry as a catalog: on moto's, with S3 beside it, and the `aws` command as a witness."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from aws.parts import PROFILE, Servers, context
from mlconsole.plugin.cataloguing import Approval, Catalog
from mlconsole.plugin.errors import Conflict, NotFound, Refused, UsageError
from mlconsole_aws import catalog_parsing as parsing
from mlconsole_aws.catalog import ModelRegistry

BUCKET = "models"
MODEL = b"not really a model" * 1000
DIGEST = f"sha256:{hashlib.sha256(MODEL).hexdigest()}"
REPORT = {
    "binary_classification_metrics": {
        "f1": {"value": 0.891, "standard_deviation": 0.01},
        "auc": {"value": 0.97, "standard_deviation": "NaN"},
        "confusion_matrix": {"0": {"0": 12, "1": 3}, "1": {"0": 1, "1": 9}},
        "receiver_operating_characteristic_curve": {"false_positive_rates": [0, 1], "true_positive_rates": [0, 1]},
    }
}
JOB = "relevance-2026-11-02"

Make = Callable[..., ModelRegistry]
Package = Callable[..., str]


@pytest.fixture
def s3(aws: Servers) -> Any:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.region})
    client.put_object(Bucket=BUCKET, Key="relevance/7/model.tar.gz", Body=MODEL)
    client.put_object(Bucket=BUCKET, Key="relevance/7/evaluation.json", Body=json.dumps(REPORT).encode())
    return client


@pytest.fixture
def make(aws: Servers, tmp_path: Path) -> Make:
    return lambda **options: ModelRegistry(context(aws, tmp_path, **options))


@pytest.fixture
def package(aws: Servers) -> Package:
    client = aws.client("sagemaker")

    def made(group: str = "relevance", approval: str = "PendingManualApproval", place: str = "relevance/7", **more: Any) -> str:
        if group not in {one["ModelPackageGroupName"] for one in client.list_model_package_groups()["ModelPackageGroupSummaryList"]}:
            client.create_model_package_group(ModelPackageGroupName=group, ModelPackageGroupDescription="scores events")
        described = {
            "ModelPackageDescription": "trained on \x1b[31mNovember",
            "InferenceSpecification": {
                "Containers": [{"Image": "acme/serve:3", "ModelDataUrl": f"s3://{BUCKET}/{place}/model.tar.gz"}],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            "MetadataProperties": {
                "CommitId": "8c1f2e0",
                "Repository": "git@example.org:models.git",
                "GeneratedBy": f"arn:aws:sagemaker:{aws.region}:{aws.account}:training-job/{JOB}",
                "ProjectId": "p-17",
            },
            "ModelMetrics": {
                "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": f"s3://{BUCKET}/{place}/evaluation.json"}}
            },
            "CustomerMetadataProperties": {"owner": "anna", "mlconsole:data.cutoff": "2026-11-02", "evaluation_set": "sha256:e41c09"},
        }
        return str(
            client.create_model_package(ModelPackageGroupName=group, ModelApprovalStatus=approval, **{**described, **more})[
                "ModelPackageArn"
            ]
        )

    return made


@pytest.fixture
def job(aws: Servers) -> None:
    aws.client("sagemaker").create_training_job(
        TrainingJobName=JOB,
        HyperParameters={"C": "1.5", "epochs": "20", "kind": '"linear"', "sagemaker_program": '"train.py"'},
        AlgorithmSpecification={"TrainingImage": "acme/train:3", "TrainingInputMode": "File"},
        RoleArn=f"arn:aws:iam::{aws.account}:role/training",
        InputDataConfig=[
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/events/2026-11"}}}
        ],
        OutputDataConfig={"S3OutputPath": "s3://models/"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )


def test_it_is_a_catalog(make: Make) -> None:
    assert isinstance(make(), Catalog)


def test_groups_and_packages_newest_first(make: Make, package: Package, s3: Any) -> None:
    first, second = package(), package(approval="Approved")
    package("acme-sentiment")
    role = make(registry={"groups": {"sentiment": "acme-sentiment"}})
    assert [(one.name, one.group, one.description) for one in role.models()] == [
        ("sentiment", "acme-sentiment", "scores events"),
        ("relevance", "relevance", "scores events"),
    ]
    found = role.versions("relevance")
    assert [(one.name, one.id, one.approval) for one in found] == [
        ("relevance@2", second, Approval.APPROVED),
        ("relevance@1", first, Approval.PENDING),
    ]
    assert found[0].description == "trained on \\x1b[31mNovember", "foreign text is data"
    assert found[0].created is not None
    assert found[0].created.tzinfo is UTC
    assert [one.name for one in role.versions("sentiment")] == ["sentiment@1"]
    assert [one.name for one in role.versions("relevance", 1)] == ["relevance@2"]
    assert list(role.versions("nobody")) == []


def test_more_packages_than_a_page_holds(make: Make, package: Package, s3: Any) -> None:
    for _ in range(12):
        package()
    assert [one.version for one in make().versions("relevance", 11)] == [str(number) for number in range(12, 1, -1)]


def test_everything_that_is_known_of_a_package(make: Make, package: Package, s3: Any, job: None) -> None:
    found = make().entry(package())
    assert (found.version.name, found.location, found.image) == ("relevance@1", f"s3://{BUCKET}/relevance/7/model.tar.gz", "acme/serve:3")
    assert (found.code.commit, found.code.repository, found.code.dirty) == ("8c1f2e0", "git@example.org:models.git", None)
    assert found.lineage["training job"].endswith(f":training-job/{JOB}")
    assert found.lineage["project"] == "p-17"
    assert found.parameters == {"C": 1.5, "epochs": 20, "kind": "linear"}
    assert list(found.data) == ["s3://data/events/2026-11"]
    assert found.metrics == {"f1": 0.891, "auc": 0.97}
    assert found.facts == {"owner": "anna", "data.cutoff": "2026-11-02", "evaluation_set": "sha256:e41c09"}
    assert found.metadata == ""
    assert [note for note in found.notes if "can't" in note] == []


def test_what_lies_beside_it_and_what_can_not_be_read(make: Make, package: Package, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="relevance/7/model.yaml", Body=b"owner: ola\n")
    s3.put_object(Bucket=BUCKET, Key="relevance/7/evaluation.json", Body=b"[1, 2]")
    found = make().entry(package())
    assert found.metadata == "owner: ola\n"
    assert found.metrics == {}
    assert any("its training job can't be read" in note for note in found.notes)
    assert any("its metrics can't be read" in note for note in found.notes)
    s3.put_object(Bucket=BUCKET, Key="relevance/7/model.yaml", Body=b"\xff\xfe")
    assert any("model.yaml beside its artifact" in note for note in make().entry(package()).notes)


def test_the_digest_is_of_the_bytes(make: Make, package: Package, s3: Any) -> None:
    role = make()
    entry = role.entry(package())
    assert role.measured(entry).digest == DIGEST
    assert (role.measured(entry).size, role.measured(entry).location) == (len(MODEL), entry.location)


def test_the_digest_that_s3_keeps_is_taken_without_reading(make: Make, package: Package, s3: Any, aws: Servers) -> None:
    s3.put_object(Bucket=BUCKET, Key="relevance/7/model.tar.gz", Body=MODEL, ChecksumAlgorithm="SHA256")
    role = make()
    entry = role.entry(package())
    before = aws.calls()
    assert role.measured(entry).digest == DIGEST
    new = {
        name: count - before.get(name, 0) for name, count in aws.calls().items() if name.startswith("s3:") and count != before.get(name, 0)
    }
    assert sum(new.values()) == 1, f"one head, nothing read: {new}"


def test_a_digest_of_parts_is_none(make: Make) -> None:
    from mlconsole_aws.catalog import _checksum

    whole = base64.b64encode(hashlib.sha256(MODEL).digest()).decode()
    assert f"sha256:{_checksum({'ChecksumSHA256': whole})}" == DIGEST
    assert _checksum({"ChecksumSHA256": whole, "ChecksumType": "FULL_OBJECT"})
    assert _checksum({"ChecksumSHA256": f"{whole}-3"}) == ""
    assert _checksum({"ChecksumSHA256": whole, "ChecksumType": "COMPOSITE"}) == ""
    assert _checksum({"ChecksumSHA256": "%%%"}) == ""
    assert _checksum({}) == ""


def test_what_we_put_there_lies_under_the_digest_of_what_it_was_made_from(make: Make, package: Package, s3: Any) -> None:
    place = f"mlconsole/sha256/{'ab' * 32}"
    s3.put_object(Bucket=BUCKET, Key=f"{place}/model.tar.gz", Body=MODEL)
    role = make(sagemaker={"bucket": BUCKET})
    entry = role.entry(package(place=place))
    assert role.measured(entry).digest == f"sha256:{'ab' * 32}"
    assert make().measured(entry).digest == DIGEST, "another bucket's key proves nothing"


def test_artifacts_that_have_no_one_digest(make: Make, package: Package, s3: Any) -> None:
    role = make()
    entry = role.entry(package())
    for location, error in (
        ("", Refused),
        (f"s3://{BUCKET}/relevance/", Refused),
        ("https://x/model.tar.gz", Refused),
        (f"s3://{BUCKET}/gone.tar.gz", NotFound),
    ):
        with pytest.raises(error):
            role.measured(replace(entry, location=location))


def test_approval_is_written_with_who_and_why_and_the_aws_command_sees_it(make: Make, package: Package, s3: Any, aws: Servers) -> None:
    arn = package()
    role = make()
    assert role.approval(arn)[0] is Approval.PENDING
    role.decide(arn, Approval.APPROVED, "mlconsole: approved by tomek@bastion:\nf1 is better", seen=Approval.PENDING)
    seen = aws.aws("sagemaker", "describe-model-package", "--model-package-name", arn)
    assert (seen["ModelApprovalStatus"], seen["ApprovalDescription"]) == ("Approved", "mlconsole: approved by tomek@bastion: f1 is better")
    assert role.approval(arn) == (Approval.APPROVED, "mlconsole: approved by tomek@bastion: f1 is better")
    aws.aws(
        "sagemaker",
        "update-model-package",
        "--model-package-arn",
        arn,
        "--model-approval-status",
        "Rejected",
        "--approval-description",
        "it leaks",
    )
    approval, told = role.approval(arn)
    assert approval is Approval.REJECTED
    assert told.endswith("it leaks")


def test_nothing_is_written_over_what_changed_meanwhile(make: Make, package: Package, s3: Any, aws: Servers) -> None:
    arn = package(approval="Rejected")
    with pytest.raises(Conflict, match="says rejected"):
        make().decide(arn, Approval.APPROVED, "x", seen=Approval.PENDING)
    with pytest.raises(UsageError):
        make().decide(arn, Approval.UNKNOWN, "x", seen=Approval.REJECTED)
    assert aws.aws("sagemaker", "describe-model-package", "--model-package-name", arn)["ModelApprovalStatus"] == "Rejected"
    assert "sagemaker:UpdateModelPackage" not in aws.calls()


def test_a_package_that_is_not_there(make: Make, aws: Servers) -> None:
    with pytest.raises(NotFound):
        make().entry(f"arn:aws:sagemaker:{aws.region}:{aws.account}:model-package/relevance/7")


CARD = {
    "training_details": {
        "training_job_details": {
            "training_arn": "arn:aws:sagemaker:eu-central-1:1:training-job/j",
            "training_datasets": ["s3://data/a"],
            "hyper_parameters": [{"name": "C", "value": "2"}, {"name": "", "value": "3"}, "x"],
        }
    },
    "evaluation_details": [
        {
            "name": "e",
            "metric_groups": [{"name": "g", "metric_data": [{"name": "f1", "type": "number", "value": 0.5}, {"name": "n", "value": "x"}]}],
        },
        "x",
    ],
}


def test_a_model_card_says_what_nothing_else_does() -> None:
    card = parsing.card_of({"ModelCard": {"ModelCardContent": json.dumps(CARD)}})
    assert parsing.card_parameters(card) == {"C": 2}
    assert parsing.card_data(card) == ("s3://data/a",)
    assert parsing.card_metrics(card) == {"f1": 0.5}
    assert parsing.training_job_name(parsing.lineage_of({}, card)) == "j"
    for content in ("", "no json", "[]", "null", '{"training_details": 3, "evaluation_details": {"a": 1}}'):
        strange = parsing.card_of({"ModelCard": {"ModelCardContent": content}})
        assert (parsing.card_parameters(strange), parsing.card_data(strange), parsing.card_metrics(strange)) == ({}, (), {})


def test_reports() -> None:
    assert parsing.report_metrics(b'{"regression_metrics": {"mse": {"value": 4.9}}, "rows": 12, "name": "x"}') == {"mse": 4.9, "rows": 12.0}
    assert parsing.report_metrics(b'{"f1": {"value": NaN}, "auc": true}') == {}
    for body in (b"", b"[]", b"3", b"\xff"):
        with pytest.raises(ValueError):
            parsing.report_metrics(body)


def mlconsole(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The command, as a process of its own."""
    environment = {**os.environ, "MLCONSOLE_WORKSPACE": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "mlconsole", *words, "--json"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_from_the_command_line(aws: Servers, package: Package, s3: Any, tmp_path: Path) -> None:
    """Looked at, imported, approved, rejected from outside, and refused: as a person does it."""
    options = {"region": aws.region, "account": aws.account, "profile": PROFILE, "config_file": str(aws.config_file)}
    body = {
        "workspace": "test",
        "default_environment": "production",
        "environments": {"production": {"production": True, "serving": "aws", "catalog": "aws", "options": {"aws": options}}},
        "models": {"relevance": {}},
    }
    (tmp_path / "mlconsole.yaml").write_text(json.dumps(body))
    arn = package()
    code, listed = mlconsole(tmp_path, "models", "catalog", "relevance")
    assert (code, [(one["version"], one["approval"], one["registered"]) for one in listed["versions"]]) == (
        0,
        [("relevance@1", "pending", None)],
    )
    code, wrong = mlconsole(tmp_path, "models", "catalog", "relevence")
    assert (code, wrong["error"]["code"]) == (2, "unknown_name")
    assert "relevance" in wrong["error"]["message"]
    code, missing = mlconsole(tmp_path, "models", "import", "relevance@1")
    assert code == 2
    assert "takes and gives" in missing["error"]["message"]
    metadata = tmp_path / "model.yaml"
    metadata.write_text("signature:\n  inputs: [{name: text, datatype: BYTES}]\n  outputs: [{name: score, datatype: FP32}]\n")
    code, done = mlconsole(tmp_path, "models", "import", arn, "--metadata", str(metadata))
    assert (code, done["new"], done["version"]["digest"], done["version"]["origin"]) == (0, True, DIGEST, arn)
    assert (done["version"]["owner"], done["version"]["preprocessing"]) == ("anna", "unknown")
    code, again = mlconsole(tmp_path, "models", "import", "relevance@1", "--metadata", str(metadata))
    assert (code, again["new"]) == (0, False)
    code, approved = mlconsole(tmp_path, "models", "approve", "relevance@1", "--reason", "f1 is better")
    assert (code, approved["catalog"]["approval"]) == (0, "approved")
    aws.aws(
        "sagemaker",
        "update-model-package",
        "--model-package-arn",
        arn,
        "--model-approval-status",
        "Rejected",
        "--approval-description",
        "it leaks",
    )
    code, refused = mlconsole(tmp_path, "models", "approve", "relevance@1", "--reason", "yet")
    assert (code, refused["error"]["code"]) == (7, "refused")
    code, shown = mlconsole(tmp_path, "models", "show", "relevance@1")
    assert (code, shown["version"]["catalog"]["approval"]) == (0, "rejected")
    code, plan = mlconsole(tmp_path, "deploy", "relevance@1", "--dry-run")
    assert (code, plan["error"]["code"]) == (7, "refused"), plan
    assert "it leaks" in plan["error"]["message"]
