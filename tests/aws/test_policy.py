"""The least IAM policy: complete for every call that the plugin makes, nothing beside them, and as narrow as mlconsole.yaml is."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import mlconsole_aws
from aws.parts import Servers
from aws.parts import context as on_servers
from aws.scripted import ACCOUNT, REGION, context, profile_text
from mlconsole_aws.policy import OPERATIONS, policy

ROOM = Path(mlconsole_aws.__file__).parent
CHOKEPOINT = {"clients.py"}
"""Where boto3's own methods may be called by name."""

RAW = {("deployments.py", "appconfig"), ("uploading.py", "s3")}
"""Who takes a client by itself: to look at its metadata; to upload in parts (`s3:upload_fileobj`)."""

ROLES_OF = {
    "serving": "serving",
    "configstore": "config",
    "capture": "predictions",
    "metrics": "metrics",
    "alarms": "alarms",
    "catalog": "catalog",
    "discovery": "discovery",
}
"""The module of each role; what it imports is its own, and so on."""


@cache
def boto3_session() -> Any:
    import boto3

    return boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION)


@cache
def methods(service: str) -> dict[str, str]:
    """boto3's method → the operation's own name."""
    found: dict[str, str] = dict(boto3_session().client(service).meta.method_to_api_mapping)
    return found


@cache
def called() -> dict[str, dict[str, set[str]]]:
    """Module → service → operations: those that a call names, and, where it takes a variable, all names of operations in that module."""
    found: dict[str, dict[str, set[str]]] = {}
    for path in sorted(ROOM.glob("*.py")):
        if path.name in CHOKEPOINT or path.name == "policy.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        here = found.setdefault(path.stem, {})
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("call", "pages")):
                continue
            if len(node.args) < 2:
                continue
            service = node.args[0]
            assert isinstance(service, ast.Constant), f"{path.name}:{node.lineno}: which service?"
            operation = node.args[1]
            if isinstance(operation, ast.Constant):
                here.setdefault(str(service.value), set()).add(str(operation.value))
            else:
                here.setdefault(str(service.value), set()).update(texts & methods(str(service.value)).keys())
    return found


def imported(module: str) -> set[str]:
    """The modules of this plugin that one imports, and those that they import, itself among them."""
    found: set[str] = set()
    left = [module]
    while left:
        name = left.pop()
        if name in found or not (ROOM / f"{name}.py").exists():
            continue
        found.add(name)
        for node in ast.walk(ast.parse((ROOM / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlconsole_aws"):
                inner = (node.module or "").removeprefix("mlconsole_aws").removeprefix(".")
                left += [inner] if inner else [alias.name for alias in node.names]
    return found


def test_every_operation_that_is_called_is_in_the_table() -> None:
    wanted = {f"{service}:{one}" for by_service in called().values() for service, ones in by_service.items() for one in ones}
    assert len(wanted) > 30
    assert wanted - OPERATIONS.keys() == set()


def test_nothing_is_in_the_table_that_nobody_calls() -> None:
    wanted = {f"{service}:{one}" for by_service in called().values() for service, ones in by_service.items() for one in ones}
    assert OPERATIONS.keys() - wanted == {"sts:get_caller_identity", "s3:upload_fileobj"}  # by the chokepoint, and by a client of its own


def test_nobody_else_calls_boto3_by_itself() -> None:
    found = set()
    for path in ROOM.glob("*.py"):
        if path.name in CHOKEPOINT:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "client":
                assert isinstance(node.args[0], ast.Constant)
                found.add((path.name, node.args[0].value))
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                assert not any(name.startswith("boto3") for name in names), path.name
    assert found == RAW


@pytest.mark.parametrize("module", sorted(ROLES_OF))
def test_each_role_may_do_what_its_own_modules_call(module: str) -> None:
    """Modules that a role shares with others are judged by the one whose name it has: what it does not reach costs nothing to allow."""
    role = ROLES_OF[module]
    own = {name for name in imported(module) if name.startswith(module)}
    assert module in own, "the role's module is there"
    for name in own:
        for service, operations in called().get(name, {}).items():
            for operation in operations:
                assert role in OPERATIONS[f"{service}:{operation}"].roles.split(), f"{name}: {service}:{operation}"


def test_actions_are_those_of_the_operations() -> None:
    """As the service models call them; S3 alone has permissions of other names."""
    for key, need in OPERATIONS.items():
        service, operation = key.split(":")
        if service in ("s3", "sts"):
            continue
        prefix = {"sagemaker-runtime": "sagemaker"}.get(service, service)
        assert need.actions == f"{prefix}:{methods(service)[operation]}"


ROLE = f"arn:aws:iam::{ACCOUNT}:role/sagemaker-execution"
SAGEMAKER = {"role": ROLE, "bucket": "acme-models", "names": "acme-{endpoint}", "capture": "s3://acme-captured/prod"}


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def statements(found: Any) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    for one in found["Statement"]:
        assert one["Effect"] == "Allow"
        for action in one["Action"]:
            yield action, one["Resource"], one.get("Condition", {})


def test_it_is_as_narrow_as_the_options_are(tmp_path: Path) -> None:
    made = context(tmp_path, profile_text("http://127.0.0.1:9"), sagemaker=SAGEMAKER)
    found = {action: (resources, condition) for action, resources, condition in statements(policy(made, ["serving"]))}
    assert not any("*" in action for action in found)
    assert found["sagemaker:UpdateEndpoint"][0] == [
        f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint-config/*",
        f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/acme-*",
        f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/*",
    ]
    mark = f"{tmp_path.name}/staging"
    assert found["sagemaker:UpdateEndpoint"][1] == {"StringEqualsIfExists": {"aws:ResourceTag/mlconsole:registry": mark}}
    assert found["sagemaker:DeleteModel"][1] == {"StringEquals": {"aws:ResourceTag/mlconsole:registry": mark}}
    assert found["iam:PassRole"] == ([ROLE], {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})
    assert found["s3:PutObject"][0] == ["arn:aws:s3:::acme-models/mlconsole/*"]
    assert "kms:CreateGrant" not in found
    assert not any(action.startswith("appconfig:") and "List" not in action for action in found)
    everywhere = {action for action, (resources, _) in found.items() if resources == ["*"]}
    assert everywhere == {
        "application-autoscaling:DescribeScalableTargets",
        "appconfig:ListApplications",
        "cloudtrail:LookupEvents",
        "sagemaker:ListEndpointConfigs",
        "sagemaker:ListEndpoints",
        "sagemaker:ListModels",
    }  # AWS knows no resources for these


def test_what_only_reads_may_change_nothing(tmp_path: Path) -> None:
    made = context(tmp_path, profile_text("http://127.0.0.1:9"), sagemaker=SAGEMAKER)
    found = list(statements(policy(made, ["predictions"])))
    assert {action for action, _, _ in found} == {"sagemaker:DescribeEndpoint", "s3:GetObject", "s3:ListBucket"}
    assert {one for action, resources, _ in found if action.startswith("s3:") for one in resources} == {
        "arn:aws:s3:::acme-captured",
        "arn:aws:s3:::acme-captured/prod/*",
    }
    assert next(condition for action, _, condition in found if action == "s3:ListBucket") == {"StringLike": {"s3:prefix": ["prod/*"]}}


def test_what_the_model_registry_and_alarms_need(tmp_path: Path) -> None:
    group = f"arn:aws:sagemaker:{REGION}:447100000000:model-package-group/shared"
    made = context(
        tmp_path,
        profile_text("http://127.0.0.1:9"),
        registry={"groups": {"relevance": group}, "buckets": ["acme-training"]},
        cloudwatch={"alarms": ["too-slow"]},
    )
    found = {action: resources for action, resources, _ in statements(policy(made, ["catalog", "alarms"]))}
    mine = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/*"
    assert found["sagemaker:DescribeModelPackage"] == [mine, f"arn:aws:sagemaker:{REGION}:447100000000:model-package/shared/*"]
    assert found["sagemaker:UpdateModelPackage"] == [mine]
    assert found["s3:GetObject"] == ["arn:aws:s3:::acme-training", "arn:aws:s3:::acme-training/*"]
    (ours,) = found["cloudwatch:PutMetricAlarm"]
    assert ours.startswith(f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:mlconsole-staging-")
    assert found["cloudwatch:SetAlarmState"] == [ours, f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:too-slow"]


def test_ids_that_the_workspace_does_not_say_are_looked_up_or_left_open(aws: Servers, tmp_path: Path) -> None:
    client = aws.client("appconfig")
    application = client.create_application(Name="nlp")["Id"]
    environment = client.create_environment(ApplicationId=application, Name="prod")["Id"]
    made = on_servers(aws, tmp_path, appconfig={"application": "nlp", "environment": "prod"})
    found = {action: resources for action, resources, _ in statements(policy(made, ["config"]))}
    place = f"arn:aws:appconfig:{aws.region}:{aws.account}:application/{application}"
    assert found["appconfig:StopDeployment"] == [f"{place}/environment/{environment}", f"{place}/environment/{environment}/deployment/*"]
    unknown = replace(made, options={**made.options, "appconfig": {"application": "gone", "environment": "prod"}})
    found = {action: resources for action, resources, _ in statements(policy(unknown, ["config"]))}
    everywhere = f"arn:aws:appconfig:{aws.region}:{aws.account}:application/*/environment/*"
    assert found["appconfig:StopDeployment"] == [everywhere, f"{everywhere}/deployment/*"]


def test_an_evaluator_of_somebody_elses_allows_ours_and_nothing_of_others(tmp_path: Path) -> None:
    """ministack's, which weighs actions, resources and conditions as IAM does."""
    from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document, validate_policy_document

    made = context(tmp_path, profile_text("http://127.0.0.1:9"), sagemaker=SAGEMAKER)
    document = policy(made, ["serving", "predictions", "config", "metrics", "alarms", "catalog"])
    assert validate_policy_document(json.dumps(document)) is None
    assert len(json.dumps(document, separators=(",", ":"))) < 6144  # what a managed policy may have
    parsed = parse_policy_document(json.dumps(document))
    mark = f"{tmp_path.name}/staging"

    def allowed(action: str, resource: str, **told: str) -> bool:
        keys = {name.replace("__", ":").replace("_tag", "tag/mlconsole:registry").lower(): value for name, value in told.items()}
        asked = EvalContext(f"arn:aws:iam::{ACCOUNT}:user/x", "User", ACCOUNT, action, resource, REGION, service_context=keys)
        return bool(evaluate(asked, [parsed]).decision == "Allow")

    here = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
    assert allowed("sagemaker:UpdateEndpoint", f"{here}:endpoint/acme-relevance")  # adopted: nobody's mark is on it
    assert allowed("sagemaker:UpdateEndpoint", f"{here}:endpoint/acme-relevance", aws__resource_tag=mark)
    assert not allowed("sagemaker:UpdateEndpoint", f"{here}:endpoint/acme-relevance", aws__resource_tag="other/production")
    assert not allowed("sagemaker:UpdateEndpoint", f"{here}:endpoint/checkout")
    assert not allowed("sagemaker:UpdateEndpoint", f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/acme-relevance")
    assert not allowed("sagemaker:UpdateEndpoint", f"arn:aws:sagemaker:{REGION}:447100000000:endpoint/acme-relevance")
    assert allowed("sagemaker:DeleteModel", f"{here}:model/m", aws__resource_tag=mark)
    assert not allowed("sagemaker:DeleteModel", f"{here}:model/m")  # nobody's: a revert may lead to it
    assert allowed("sagemaker:CreateModel", f"{here}:model/m", aws__request_tag=mark)
    assert not allowed("sagemaker:CreateModel", f"{here}:model/m")
    assert allowed("iam:PassRole", ROLE, iam__PassedToService="sagemaker.amazonaws.com")
    assert not allowed("iam:PassRole", ROLE, iam__PassedToService="ec2.amazonaws.com")
    assert not allowed("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", iam__PassedToService="sagemaker.amazonaws.com")
    assert allowed("s3:PutObject", "arn:aws:s3:::acme-models/mlconsole/sha256/x/model.tar.gz")
    assert not allowed("s3:PutObject", "arn:aws:s3:::acme-models/other")
    assert allowed("s3:ListBucket", "arn:aws:s3:::acme-captured", s3__prefix="prod/acme-relevance/")
    assert not allowed("s3:ListBucket", "arn:aws:s3:::acme-captured", s3__prefix="payroll/")
    for action in ("sagemaker:DeleteModelPackage", "iam:CreateUser", "appconfig:DeleteApplication", "s3:DeleteObject", "kms:Decrypt"):
        assert not allowed(action, "*")


def test_the_command_prints_it_for_the_environment(tmp_path: Path) -> None:
    options = {"region": REGION, "account": ACCOUNT, "sagemaker": SAGEMAKER}
    (tmp_path / "mlconsole.yaml").write_text(
        "workspace: acme\ndefault_environment: staging\nenvironments:\n"
        f"  staging:\n    serving: aws\n    predictions: aws\n    options:\n      aws: {json.dumps(options)}\n"
        "  local:\n    serving: local\n",
        encoding="utf-8",
    )

    def show(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlconsole", "plugins", "show", *words, "--policy", "--workspace", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    printed = show("aws")
    assert printed.returncode == 0, printed.stderr
    actions = {action for action, _, _ in statements(json.loads(printed.stdout))}
    assert {"sagemaker:UpdateEndpoint", "s3:GetObject"} <= actions
    assert "appconfig:StartDeployment" not in actions
    refused = show("aws", "--env", "local")
    assert refused.returncode == 2
    assert "aws plays no role in local" in refused.stderr
    assert "has no policy" in show("local", "--env", "local").stderr
