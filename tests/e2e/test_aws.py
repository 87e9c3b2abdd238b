"""A newcomer on AWS, by commands: an account that others set up, on both layouts; AWS that misbehaves; the console in a terminal.

The servers are real ones of AWS's protocols over HTTP, the containers real model servers; what came of it is asked of the `aws` command
line, and of what applications read.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from aws.account_kit import BUCKET, SAMPLE, Account, by_name
from aws.parts import Servers, aws, servers  # noqa: F401 - fixtures
from e2e.kit import PROGRAM, Console, ended, until
from e2e.terminal import Terminal
from mlconsole_aws_offline.addresses import PROFILE

pytestmark = [pytest.mark.real]

_GOLDEN = SAMPLE.parent / "golden" / "relevance.jsonl"


def program(made: Servers, root: Path) -> Console:
    """The program of somebody with credentials for these servers."""
    variables = {
        "AWS_CONFIG_FILE": str(made.config_file),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "XDG_STATE_HOME": str(root / "state"),
    }
    return Console(root, variables)


def workspace(made: Servers, root: Path) -> Console:
    """The workspace that `init --from aws` makes, given golden queries, everything taken over."""
    outside = program(made, root)
    outside.run("init", "--from", "aws", "--profile", PROFILE, "ws")
    console = Console(root / "ws", outside.variables)
    shutil.copy(_GOLDEN, console.root / "golden.jsonl")
    file = console.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  relevance: {}", "  relevance: {golden: golden.jsonl}"))
    return console


def version(console: Console, name: str, of: str) -> None:
    """Register a version of the sample workspace under a name of its own."""
    model, _, number = name.partition("@")
    folder = console.root / "artifacts" / number
    shutil.copytree(SAMPLE / of, folder)
    about = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(about.replace(f"version: '{of.rpartition('/v')[2]}'", f"version: '{number}'"))
    console.run("models", "register", f"{model}@{number}", str(folder))


def weights(account: Account, name: str) -> dict[str, float]:
    """Who gets which share, as the `aws` command line tells it."""
    variants = account.seen([name])[name]["variants"]
    total = sum(weight for _, weight, _ in variants.values())
    return {variant: round(100 * weight / total, 2) for variant, (_, weight, _) in variants.items()}


def config(account: Account, name: str) -> str:
    """The endpoint config that serves."""
    return str(account.servers.aws("sagemaker", "describe-endpoint", "--endpoint-name", name)["EndpointConfigName"])


@pytest.fixture
def shared(aws: Servers, tmp_path: Path) -> tuple[Account, Console]:  # noqa: F811
    """An endpoint of SageMaker's with one variant, taken over."""
    account = Account(aws)
    account.model("relevance-2024", of="relevance/v3")
    account.endpoint("relevance-prod", {"AllTraffic": ("relevance-2024", 1.0)})
    account.serverless("ocr")
    account.settled()
    console = workspace(aws, tmp_path)
    console.run("endpoints", "adopt", "--all")
    return account, console


def test_a_newcomer_on_a_shared_endpoint(shared: tuple[Account, Console]) -> None:
    account, console = shared
    found, before = account.seen(["relevance-prod"]), account.everything()
    assert "relevance-prod  AllTraffic 100 %" in console.run("status").out
    told = console.run("info").out
    assert account.servers.account in told
    assert "DescribeEndpoint" in told

    # A better version gets a tenth; it has answered its golden queries before.
    version(console, "relevance@8", "relevance/v4")
    deploy = ["deploy", "relevance@8", "--endpoint", "relevance-prod", "--traffic", "10"]
    plan = console.run(*deploy, code=2).out
    assert "only the guardian watches" in plan
    assert "an hour" in plan
    assert account.everything() == before
    done = console.run(*deploy, "--yes", "--confirm", "relevance-prod").out
    assert "golden queries" in done
    assert weights(account, "relevance-prod") == {"AllTraffic": 90.0, "v8": 10.0}
    [artifact] = account.servers.aws("s3api", "list-objects-v2", "--bucket", BUCKET, "--prefix", "mlconsole/")["Contents"]
    assert "/sha256/" in artifact["Key"]
    answer = console.json("endpoints", "invoke", "relevance-prod", "--variant", "v8")
    assert (answer["status"], answer["variant"]) == (200, "v8")
    assert 0 <= answer["outputs"]["score"] <= 1

    # One that is broken for German is stopped by them, and leaves nothing behind.
    version(console, "relevance@9", "relevance/v6")
    now = account.everything()
    stopped = console.run("deploy", "relevance@9", "--endpoint", "relevance-prod", "--yes", "--confirm", "relevance-prod", code=1)
    assert "golden queries differ" in stopped.err + stopped.out
    assert weights(account, "relevance-prod") == {"AllTraffic": 90.0, "v8": 10.0}
    assert account.everything() - now <= {f"EndpointConfigs/{config(account, 'relevance-prod')}"}

    console.run("traffic", "set", "relevance-prod", "v8=100", "--yes", "--confirm", "relevance-prod")
    assert weights(account, "relevance-prod") == {"AllTraffic": 0.0, "v8": 100.0}
    console.run("revert", "relevance-prod", "--yes")
    assert weights(account, "relevance-prod") == {"AllTraffic": 90.0, "v8": 10.0}
    console.run("revert", "relevance-prod", "--to", "1", "--yes")
    variants = account.seen(["relevance-prod"])["relevance-prod"]["variants"]
    assert {name: model for name, (model, _, _) in variants.items()} == {
        name: model for name, (model, _, _) in found["relevance-prod"]["variants"].items()
    }
    assert [one["kind"] for one in console.json("history", "list")["changes"]][-1] == "deploy"


_SHORT = """\
policies:
  short:
    {stages: [50, 100], wait: 2, evidence: 40, bake: 2, guards: {errors: {by_slice: false}, identical: {by_slice: false}}}
"""


class Traffic:
    """Applications that ask an endpoint about real events, until the end of the block."""

    def __init__(self, account: Account, name: str) -> None:
        self._account, self._name = account, name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        runtime = self._account.servers.client("sagemaker-runtime")
        events = [json.loads(line)["inputs"] for line in (SAMPLE.parent / "events" / "replay.jsonl").read_text().splitlines()[:500]]
        for event in itertools.cycle(events):
            inputs = [{"name": name, "datatype": "BYTES", "shape": [1], "data": [value]} for name, value in event.items()]
            with suppress(Exception):  # what fails is counted by the servers
                runtime.invoke_endpoint(EndpointName=self._name, Body=json.dumps({"inputs": inputs}), ContentType="application/json")
            if self._over.wait(0.02):
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)


def test_a_rollout_goes_on_what_was_captured_and_a_collapsed_version_goes_back(shared: tuple[Account, Console]) -> None:
    account, console = shared
    account.client("s3").create_bucket(Bucket="captured", CreateBucketConfiguration={"LocationConstraint": account.servers.region})
    file = console.root / "mlconsole.yaml"
    text = (
        file.read_text()
        .replace("    metrics: aws", "    predictions: aws  #", 1)
        .replace("bucket:", "capture: s3://captured/all\n          bucket:")
    )
    text = text.replace("relevance-prod: {model: relevance}", "relevance-prod: {model: relevance, policy: short}")
    file.write_text(text + _SHORT)
    version(console, "relevance@8", "relevance/v4")
    version(console, "relevance@9", "relevance/v5")
    with Traffic(account, "relevance-prod"):
        begin = ["--endpoint", "relevance-prod", "--yes", "--confirm", "relevance-prod", "--attended"]
        console.run("rollout", "start", "relevance@8", *begin, seconds=400.0)
        assert weights(account, "relevance-prod") == {"AllTraffic": 0.0, "v8": 100.0}
        assert console.json("rollout", "status", "relevance-prod")["rollout"]["state"] == "done"
        console.run("rollout", "start", "relevance@9", *begin, "--break-glass", "a test", code=3, seconds=400.0)
    assert console.json("rollout", "status", "relevance-prod", code=3)["rollout"]["why"].startswith("identical: ")
    assert weights(account, "relevance-prod").get("v9", 0.0) == 0.0
    assert weights(account, "relevance-prod")["v8"] == 100.0


def test_an_update_that_sagemaker_rolls_back_without_a_word_is_told_as_one(shared: tuple[Account, Console]) -> None:
    account, console = shared
    version(console, "relevance@8", "relevance/v4")
    found, before = account.seen(["relevance-prod"]), account.everything()
    account.servers.control(fault="silent_rollback", fault_times=1)
    failed = console.run("deploy", "relevance@8", "--endpoint", "relevance-prod", "--yes", "--confirm", "relevance-prod", code=1)
    assert "rolled" in failed.out + failed.err
    account.servers.control()
    assert account.seen(["relevance-prod"]) == found
    assert account.everything() == before
    assert console.json("endpoints", "show", "relevance-prod")["release"] == 1
    [change] = console.json("history", "list")["changes"]
    assert change["state"] == "went back"


def test_credentials_that_end_in_the_middle_are_waited_for(shared: tuple[Account, Console]) -> None:
    account, console = shared
    version(console, "relevance@8", "relevance/v4")
    account.servers.control(expired=True)
    blind = console.run("status", code=6)
    assert "run out" in blind.out
    assert "aws configure" in blind.out
    assert "run out" in console.run("endpoints", "show", "relevance-prod", code=6).out
    version(console, "relevance@9", "relevance/v4")
    sentence = console.refused("deploy", "relevance@9", "--endpoint", "relevance-prod", code=6)
    assert "run out" in sentence
    assert "aws configure" in sentence
    account.servers.control(updating_seconds=1.5)
    words = ["deploy", "relevance@8", "--endpoint", "relevance-prod", "--traffic", "10", "--yes", "--confirm", "relevance-prod"]
    with console.started(*words) as deploying:
        until(lambda: status(account, "relevance-prod") == "Updating", 60.0)
        account.servers.control(updating_seconds=1.5, expired=True)
        assert "AWS credentials" in heard(deploying, "run out")
        account.servers.control()
        result = ended(deploying)
    assert result.code == 0, result
    assert weights(account, "relevance-prod") == {"AllTraffic": 90.0, "v8": 10.0}


def status(account: Account, name: str) -> str:
    """How SageMaker itself says it is."""
    return str(account.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"])


def heard(process: subprocess.Popen[bytes], word: str) -> str:
    """Wait until it says so on stderr; the line."""
    assert process.stderr is not None
    over = threading.Timer(90.0, process.kill)
    over.start()
    try:
        for line in process.stderr:
            if word in line.decode():
                return line.decode()
    finally:
        over.cancel()
    raise AssertionError(f"it never said {word}")


def test_what_is_only_to_look_at_says_so_and_is_refused(shared: tuple[Account, Console]) -> None:
    account, console = shared
    before = account.everything()
    shown = console.run("endpoints", "show", "ocr").out
    assert "only to look at: it is serverless" in shown
    version(console, "relevance@8", "relevance/v4")
    refused = console.refused("deploy", "relevance@8", "--endpoint", "ocr", "--yes", "--confirm", "ocr", code=1)
    assert "serverless" in refused
    assert account.everything() == before


def test_a_newcomer_whose_applications_split_traffic_by_a_document(aws: Servers, tmp_path: Path) -> None:  # noqa: F811
    account, body = by_name(aws)
    console = workspace(aws, tmp_path)
    console.run("endpoints", "adopt", "--all")
    console.run("config", "adopt", "models")
    before = account.everything()

    # A version of one's own becomes a SageMaker endpoint of its own, and a tenth of the requests in every language.
    version(console, "relevance@8", "relevance/v4")
    console.run("deploy", "relevance@8", "--traffic", "10", "--yes", "--confirm", "relevance")
    assert "Endpoints/relevance-v8" in account.everything()
    read = json.loads(account.read("acme", "production", "models"))
    assert read["relevance"]["de"]["split"] == {"v3": 72, "v4": 18, "v8": 10}
    assert read["relevance"]["de"]["threshold"] == 0.45
    assert console.json("endpoints", "invoke", "relevance", "--variant", "v8")["status"] == 200

    # In Polish all of it; somebody else changes a threshold by hand meanwhile; going back leaves that.
    console.run("traffic", "set", "relevance", "v8=100", "--slice", "language=pl", "--yes", "--confirm", "relevance")
    theirs = json.loads(account.read("acme", "production", "models"))
    assert theirs["relevance"]["pl"]["split"]["v8"] == 100
    console.run("config", "edit", "models", "delay-risk.de.threshold=0.35", "--reason", "too many in de")
    console.run("config", "publish", "models", "--at-once", "--yes", "--confirm", "de")
    console.run("revert", "relevance", "--to", "1", "--yes")
    after = json.loads(account.read("acme", "production", "models"))
    assert after["relevance"] == json.loads(body)["relevance"]
    assert after["delay-risk"]["de"]["threshold"] == 0.35
    console.run("config", "revert", "models", "--yes")
    assert account.read("acme", "production", "models") == body
    left = {name for name in account.everything() - before if name.startswith("Endpoints/")}
    assert left <= {"Endpoints/relevance-v8"}


def test_the_console_in_a_terminal_says_who_one_is_and_what_is_only_to_look_at(shared: tuple[Account, Console]) -> None:
    account, console = shared
    with Terminal([str(PROGRAM)], columns=80, lines=24, environ=console.environ(COLORTERM="truecolor"), cwd=console.root) as terminal:
        terminal.until("PRODUCTION", f"…{account.servers.account[-4:]}", "moto", "relevance-prod", "data live")
        if "▸ocr" not in terminal.text:
            terminal.press("down")
        terminal.until("▸ocr", "only to look at: it is serverless")
        account.servers.control(expired=True)
        terminal.until("run out", seconds=60.0)
        assert terminal.has("relevance-prod")  # the last state stays
        account.servers.control()
        terminal.until("data live", seconds=60.0)
        terminal.press("q")
        terminal.left()
