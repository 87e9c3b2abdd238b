"""`init --from aws` and `endpoints adopt`: an account that others set up becomes a workspace whose first change can be reverted.

Everything goes through the real command line; how things are afterwards is asked of the `aws` command line, and of what applications read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aws.account_kit import BUCKET, DOCUMENT, IMAGE, ROLE, Account, by_name
from aws.parts import Servers
from e2e.kit import Console
from mlconsole.workspace import load, options_for
from mlconsole_aws import plugin
from mlconsole_aws_offline.addresses import PROFILE

pytestmark = [pytest.mark.real]

BY_NAME = ["relevance-v3", "relevance-v4", "delay-risk-v1", "delay-risk-v2"]
DIRECT = ["churn", "eta", "fraud-prod", "ocr-serverless", "parts"]


@pytest.fixture
def console(aws: Servers, tmp_path: Path) -> Console:
    """The program, in a folder without a workspace, with credentials for these servers in a file of boto3's own."""
    return Console(tmp_path, variables(aws, tmp_path))


def variables(aws: Servers, home: Path) -> dict[str, str]:
    return {
        "AWS_CONFIG_FILE": str(aws.config_file),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "XDG_STATE_HOME": str(home / "state"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def found(aws: Servers, console: Console) -> tuple[Account, bytes, Console]:
    """The account, the bytes of its document, and the program in the workspace that was made of it."""
    account, body = by_name(aws)
    console.run("init", "--from", "aws", "--profile", PROFILE, "ws")
    return account, body, Console(console.root / "ws", console.variables)


def test_what_is_there_becomes_a_workspace(aws: Servers, console: Console) -> None:
    _, body = by_name(aws)
    dry = console.run("init", "--from", "aws", "--profile", PROFILE, "ws", "--dry-run")
    assert "Nothing has happened" in dry.out
    assert not (console.root / "ws").exists()

    told = console.run("init", "--from", "aws", "--profile", PROFILE, "ws").out
    assert "production: 2 endpoints, shares in config models" in told
    assert "shared: 3 endpoints, 2 more only to look at" in told
    assert "mlconsole endpoints adopt --all" in told
    assert "banner" in told  # left out, and that is told

    root = console.root / "ws"
    text = (root / "mlconsole.yaml").read_text()
    assert all(line in dry.out.splitlines() for line in text.splitlines() if "Made by" not in line)
    workspace = load(root)
    assert (root / "config" / "models.json").read_bytes() == body
    assert set(workspace.environments) == {"production", "shared"}
    production, shared = (workspace.environments[name] for name in ("production", "shared"))
    assert (production.traffic_in, production.production, shared.production) == ("models", True, True)
    assert production.roles["config"] == production.roles["serving"] == "aws"
    assert "config" not in shared.roles
    assert shared.roles["catalog"] == "aws"
    assert set(workspace.endpoints) == {"relevance", "delay-risk", "eta", "fraud-prod", "churn", "ocr-serverless", "parts"}
    assert workspace.endpoints["fraud-prod"].model == "fraud"
    assert workspace.endpoints["churn"].model == "churn-group"
    layout = workspace.configs["models"].layout
    assert (layout.entries, layout.split, layout.slice_key("relevance")) == ("/{model}/{slice}", "/split", "language")
    for environment in (production, shared):
        options = options_for(environment, plugin)
        assert (options["account"], options["region"], options["profile"]) == (aws.account, aws.region, PROFILE)
        assert (options["sagemaker"]["role"], options["sagemaker"]["bucket"]) == (ROLE, BUCKET)
        assert (options["sagemaker"]["image"], options["sagemaker"]["instance_type"]) == (IMAGE, "ml.m5.large")
    assert options_for(production, plugin)["sagemaker"]["adopted"] == {
        "relevance": {"v3": "relevance-v3", "v4": "relevance-v4"},
        "delay-risk": {"v1": "delay-risk-v1", "v2": "delay-risk-v2"},
    }
    assert options_for(shared, plugin)["sagemaker"]["machines"]["eta"]["instance_type"] == "ml.c5.xlarge"
    # A container's variables may hold secrets: their names are told, their values nowhere.
    assert "API_TOKEN" in text
    assert all("tok-s3cr3t" not in file.read_text(errors="replace") for file in root.rglob("*") if file.is_file())

    refused = console.refused("init", "--from", "aws", "--profile", PROFILE, "ws")
    assert "is a workspace already; nothing was changed" in refused
    assert (root / "mlconsole.yaml").read_text() == text


def test_it_is_told_to_scripts_and_changes_nothing_at_aws(aws: Servers, console: Console) -> None:
    account, _ = by_name(aws)
    before = account.everything()
    body = console.json("init", "--from", "aws", "--profile", PROFILE, "ws")
    assert body["environments"] == ["production", "shared"]
    assert body["documents"] == ["models"]
    assert body["endpoints"] == sorted(["relevance", "delay-risk", *DIRECT])
    assert account.everything() == before


def test_the_first_shift_of_a_shared_endpoint_goes_back_to_what_was_found(found: tuple[Account, bytes, Console]) -> None:
    account, _, console = found
    there, before = account.seen(["eta"]), account.everything()
    told = console.run("endpoints", "adopt", "--all", "--env", "shared", "--dry-run").out
    assert "Nothing has happened" in told
    assert console.json("endpoints", "adopt", "--all", "--env", "shared", "--dry-run")["plans"][0]["release"] == 1
    body = console.json("endpoints", "adopt", "--all", "--env", "shared")
    assert {one["endpoint"]: one["kind"] for one in body["releases"]} == dict.fromkeys(
        ["churn", "eta", "fraud-prod", "ocr-serverless"], "as found"
    )
    assert set(body["left"]) == {"parts"}
    assert body["failed"] == []
    assert account.everything() == before

    console.run("traffic", "set", "eta", "green=60", "--env", "shared", "--yes", "--confirm", "eta")
    shifted = account.seen(["eta"])["eta"]["variants"]
    weights = {name: weight for name, (_, weight, _) in shifted.items()}
    assert weights["green"] / sum(weights.values()) == pytest.approx(0.6)
    console.run("revert", "eta", "--env", "shared", "--yes")
    back = account.seen(["eta"])["eta"]
    assert {name: model for name, (model, _, _) in back["variants"].items()} == {
        name: model for name, (model, _, _) in there["eta"]["variants"].items()
    }
    share = back["variants"]["green"][1] / sum(weight for _, weight, _ in back["variants"].values())
    assert share == pytest.approx(0.1)
    assert account.everything() == before


def test_a_variant_that_was_found_and_taken_away_comes_back_from_the_same_model(found: tuple[Account, bytes, Console]) -> None:
    account, _, console = found
    console.run("endpoints", "adopt", "eta", "--env", "shared")
    versions = {one["version"]: one for one in console.json("models", "list", "eta", "--env", "shared")["versions"]}
    assert {one["location"] for one in versions.values()} == {"sagemaker://model/eta-2024", "sagemaker://model/eta-2025"}
    assert set(versions) == {"2024", "2025"}
    console.run("traffic", "set", "eta", "blue=100", "--env", "shared", "--yes", "--confirm", "eta")
    console.run("endpoints", "remove", "eta", "green", "--env", "shared", "--yes", "--confirm", "green")
    assert set(account.seen(["eta"])["eta"]["variants"]) == {"blue"}
    assert "eta-2025" in {name.partition("/")[2] for name in account.everything()}  # it may be a revert target for ever
    console.run("revert", "eta", "--to", "1", "--env", "shared", "--yes")
    back = account.seen(["eta"])["eta"]["variants"]
    assert {name: model for name, (model, _, _) in back.items()} == {"blue": "eta-2024", "green": "eta-2025"}
    assert back["green"][1] / (back["green"][1] + back["blue"][1]) == pytest.approx(0.1)


def test_the_first_shift_in_a_document_goes_back_byte_for_byte(found: tuple[Account, bytes, Console]) -> None:
    account, body, console = found
    there, before = account.seen(BY_NAME), account.everything()
    adopted = console.json("endpoints", "adopt", "--all")
    assert {one["endpoint"] for one in adopted["releases"]} == {"relevance", "delay-risk"}
    assert console.json("config", "adopt", "models")["release"]["kind"] == "as found"
    shown = console.json("endpoints", "show", "relevance")
    assert {one["name"]: one["reported"] for one in shown["variants"]} == {"v3": 80.0, "v4": 20.0}
    assert {(one["model"], one["version"]) for one in shown["variants"]} == {("relevance", "3"), ("relevance", "4")}
    assert shown["status"] != "failing"

    console.run("traffic", "set", "relevance", "v4=50", "--yes", "--confirm", "relevance")
    read = json.loads(account.read("acme", "production", "models"))
    assert read["relevance"]["en"]["split"] == {"v3": 50, "v4": 50}
    assert read["delay-risk"] == DOCUMENT["delay-risk"]
    console.run("revert", "relevance", "--yes")
    assert account.read("acme", "production", "models") == body

    console.run("config", "edit", "models", "relevance.pl.threshold=0.6", "--reason", "pl misses some")
    console.run("config", "publish", "models", "--at-once", "--yes", "--confirm", "pl")
    assert json.loads(account.read("acme", "production", "models"))["relevance"]["pl"]["threshold"] == 0.6
    console.run("config", "revert", "models", "--yes")
    assert account.read("acme", "production", "models") == body
    assert account.seen(BY_NAME) == there
    assert account.everything() == before


def test_a_version_that_was_found_says_what_is_unknown(found: tuple[Account, bytes, Console]) -> None:
    _, _, console = found
    console.run("endpoints", "adopt", "--all", "--env", "shared")
    told = console.run("models", "show", "eta@2024", "--env", "shared").out
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in told.splitlines() if line.split()}
    assert {rows[name].split(",")[0] for name in ("owner", "data", "preprocessing", "takes", "gives")} == {"unknown"}
    assert "as found: SageMaker model eta-2024" in told
    compared = console.run("models", "compare", "eta@2024", "eta@2025", "--env", "shared").out
    assert "not known" in compared
    churn = console.json("models", "list", "churn-group", "--env", "shared")["versions"]
    assert [one["version"] for one in churn] == ["1"]  # the package's number


def test_what_cannot_be_looked_at_is_one_clear_line(aws: Servers, console: Console, tmp_path: Path) -> None:
    empty = console.refused("init", "--from", "aws", "--profile", PROFILE, "ws", code=1)
    assert empty.startswith(f"There is no SageMaker endpoint in account {aws.account}, {aws.region}. Nothing was made.")
    by_name(aws)
    assert "no-such-profile" in console.refused("init", "--from", "aws", "--profile", "no-such-profile", "ws", code=6)
    (tmp_path / "none").write_text("[profile bare]\naws_access_key_id = A\naws_secret_access_key = b\n")
    bare = {"AWS_CONFIG_FILE": str(tmp_path / "none")}
    assert "No region is set" in console.refused("init", "--from", "aws", "--profile", "bare", "ws", code=1, environ=bare)
    aws.control(expired=True)
    expired = console.refused("init", "--from", "aws", "--profile", PROFILE, "ws", code=6)
    assert "run out" in expired
    assert "aws configure" in expired
    aws.control(denied=True, services=["appconfig"])
    told = console.run("init", "--from", "aws", "--profile", PROFILE, "ws").out
    assert "AppConfig could not be looked at" in told
    aws.control()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from", "aws", "--sample", "x"], "--sample and --from are two workspaces"),
        (["--profile", "p", "x"], "--profile and --region say where --from looks"),
        (["--from", "awz", "x"], 'There is no plugin "awz". Did you mean aws'),
        (["--from", "local", "x"], "The plugin local can't tell what is there"),
        ([], "Missing argument 'DIR'"),
    ],
)
def test_what_is_asked_wrongly(console: Console, words: list[str], told: str) -> None:
    assert told in console.refused("init", *words)
    assert not (console.root / "x").exists()


def test_a_document_in_the_way_is_not_overwritten(aws: Servers, console: Console) -> None:
    by_name(aws)
    (console.root / "ws" / "config").mkdir(parents=True)
    mine = console.root / "ws" / "config" / "models.json"
    mine.write_text("mine")
    assert "is there already; nothing was made" in console.refused("init", "--from", "aws", "--profile", PROFILE, "ws")
    assert mine.read_text() == "mine"
    assert not (console.root / "ws" / "mlconsole.yaml").exists()


def test_adopt_wants_one_or_all(found: tuple[Account, bytes, Console]) -> None:
    _, _, console = found
    assert "Which endpoint?" in console.refused("endpoints", "adopt", "--env", "shared")
    assert "one of the two" in console.refused("endpoints", "adopt", "eta", "--all", "--env", "shared")
