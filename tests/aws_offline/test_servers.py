"""The servers come up, answer on loopback only, and go with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aws.parts import Servers, context, until
from mlconsole_aws_offline.addresses import Addresses

pytestmark = [pytest.mark.real, pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")]


def test_every_service_answers_at_one_address(aws: Servers) -> None:
    assert aws.client("sts").get_caller_identity()["Account"] == aws.account
    assert aws.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    strategies = aws.client("appconfig").list_deployment_strategies()["Items"]
    assert "AppConfig.AllAtOnce" in {one["Id"] for one in strategies}


def test_the_command_line_finds_them_too(aws: Servers) -> None:
    assert aws.aws("sts", "get-caller-identity")["Account"] == aws.account
    assert aws.aws("sagemaker", "list-endpoints") == {"Endpoints": []}


def test_a_role_finds_them_by_its_options(aws: Servers, tmp_path: Path) -> None:
    from mlconsole_aws.clients import clients_of

    clients = clients_of(context(aws, tmp_path, sagemaker={"bucket": "models"}))
    assert clients.call("sts", "get_caller_identity")["Account"] == aws.account
    assert clients.section("sagemaker")["prefix"] == "mlconsole"
    assert aws.calls()["sts:GetCallerIdentity"] >= 1


def test_reset_forgets_everything(aws: Servers) -> None:
    aws.client("s3").create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": aws.region})
    aws.client("appconfig").create_application(Name="shop")
    aws.control(expired=True)
    aws.reset()
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("appconfig").list_applications()["Items"] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_who_started_it(tmp_path: Path, number: signal.Signals) -> None:
    """A stand-in for pytest starts them, and is killed."""
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'mlconsole_aws_offline.server', '--folder', {str(tmp_path)!r}, '--lifeline'],"
        " stdin=subprocess.PIPE)\n"
        "time.sleep(600)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code])
    try:
        found = until(lambda: Addresses.read(tmp_path / "ready.json"), 30)
        children = _children(found.pid)
        assert children
    finally:
        os.kill(starter.pid, number)
        starter.wait(10)
    until(lambda: not any(_runs(pid) for pid in [found.pid, *children]))


def test_they_listen_on_loopback_only(aws: Servers) -> None:
    pid = next(int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _is_server(path, aws))
    listening = set()
    for one in [pid, *_children(pid)]:
        sockets = {str(link.readlink()) for link in Path(f"/proc/{one}/fd").iterdir() if link.is_symlink()}
        for line in Path(f"/proc/{one}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.add(fields[1].partition(":")[0])
        assert not [line for line in Path(f"/proc/{one}/net/tcp6").read_text().splitlines()[1:] if f"socket:[{line.split()[9]}]" in sockets]
    assert listening == {"0100007F"}


def _is_server(path: Path, aws: Servers) -> bool:
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return False
    return b"mlconsole_aws_offline.server" in words and str(aws.config_file.parent).encode() in words


def _children(pid: int) -> list[int]:
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
