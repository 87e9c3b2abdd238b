"""The environment's own servers: brought up, found again, brought up anew after a crash, taken down with nothing left; and traffic."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from aws.parts import until
from aws_offline.kit import IMAGE, ROLE, production
from mlconsole.core.clock import SystemClock
from mlconsole.plugin import Context
from mlconsole.plugin.errors import InvalidRequest, NotFound, Refused, Unavailable
from mlconsole.plugin.validation import validate
from mlconsole.workspace.reading import parse_yaml
from mlconsole_aws_offline import kept
from mlconsole_aws_offline.account import session
from mlconsole_aws_offline.addresses import Addresses
from mlconsole_aws_offline.lifecycle import OfflineLifecycle
from mlconsole_aws_offline.options import OPTIONS
from mlconsole_aws_offline.traffic import OfflineActions

pytestmark = [pytest.mark.real, pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")]

SAID = {
    "config_file": "aws.config",
    "updating_seconds": 0.1,
    "buckets": ["sample-models"],
    "application": "sample",
    "environments": ["staging"],
    "profiles": {"models": "schema.json"},
    "names": "{endpoint}-{variant}",
    "metrics": "Sample",
}


class Place:
    """A workspace's folder with an environment on the offline servers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "schema.json").write_text('{"type": "object"}', encoding="utf-8")
        lines = [{"id": str(index), "inputs": {"language": "de" if index % 2 else "en", "title": "x"}} for index in range(10)]
        (root / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        options = validate(OPTIONS, parse_yaml(json.dumps(SAID).encode(), "options", minimal="{}"), "options")
        self.context = Context("staging", root, root / "state", options, SystemClock())

    @property
    def lifecycle(self) -> OfflineLifecycle:
        """A fresh one each time, as another process would have."""
        return OfflineLifecycle(self.context)

    def client(self, service: str) -> Any:
        return session(self.root / "aws.config", "mlconsole-offline").client(service)

    def act(self, name: str, **parameters: str) -> Any:
        return next(one for one in OfflineActions(self.context).actions() if one.name == name).run(parameters)

    def pid(self) -> int:
        found = Addresses.read(self.root / "state" / "servers" / "ready.json")
        assert found is not None
        return found.pid

    def publish(self, document: Any) -> None:
        """A first version, deployed to everybody."""
        client = self.client("appconfig")
        application = client.list_applications()["Items"][0]["Id"]
        profile = client.list_configuration_profiles(ApplicationId=application)["Items"][0]["Id"]
        environment = client.list_environments(ApplicationId=application)["Items"][0]["Id"]
        where = {"ApplicationId": application, "ConfigurationProfileId": profile}
        content = json.dumps(document).encode()
        version = client.create_hosted_configuration_version(Content=content, ContentType="application/json", **where)["VersionNumber"]
        strategy = client.create_deployment_strategy(
            Name="at-once", DeploymentDurationInMinutes=0, GrowthFactor=100, FinalBakeTimeInMinutes=0, ReplicateTo="NONE"
        )["Id"]
        client.start_deployment(EnvironmentId=environment, ConfigurationVersion=str(version), DeploymentStrategyId=strategy, **where)

    def endpoint(self, name: str) -> None:
        """An endpoint that echoes, in service."""
        client = self.client("sagemaker")
        client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
        client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[production("AllTraffic", 1, 1, name)])
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
        until(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.lifecycle.down()


def test_up_makes_what_an_account_has_and_is_found_again(place: Place) -> None:
    (part,) = place.lifecycle.up()
    assert (part.name, part.state, part.healthy) == ("aws", "running", True)
    assert [one["Name"] for one in place.client("s3").list_buckets()["Buckets"]] == ["sample-models"]
    client = place.client("appconfig")
    application = client.list_applications()["Items"][0]["Id"]
    (profile,) = client.list_configuration_profiles(ApplicationId=application)["Items"]
    assert profile["Name"] == "models"
    assert (place.root / "aws.config").stat().st_mode & 0o777 == 0o600
    pid = place.pid()
    place.client("s3").put_object(Bucket="sample-models", Key="k", Body=b"kept")
    again = place.lifecycle.up()
    assert place.pid() == pid
    assert f"pid {pid}" in again[0].detail
    assert place.client("s3").get_object(Bucket="sample-models", Key="k")["Body"].read() == b"kept"
    assert place.lifecycle.address("aws") == again[0].detail.partition(" ")[0]
    assert place.lifecycle.address("other") is None


def test_the_callers_own_account_and_addresses_are_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    place.lifecycle.up()
    assert b"AKIAREAL" not in Path(f"/proc/{place.pid()}/environ").read_bytes()


def test_down_leaves_nothing_running_and_nothing_behind(place: Place) -> None:
    place.lifecycle.up()
    pid, children = place.pid(), _children(place.pid())
    assert children
    assert [part.name for part in place.lifecycle.down()] == ["aws"]
    until(lambda: not any(_runs(one) for one in (pid, *children)))
    assert not (place.root / "aws.config").exists()
    assert place.lifecycle.parts() == []
    assert place.lifecycle.down() == []


def test_servers_that_died_are_told_and_started_anew_at_their_address(place: Place) -> None:
    where = place.lifecycle.up()[0].detail.partition(" ")[0]
    children = _children(place.pid())
    os.kill(place.pid(), signal.SIGKILL)
    until(lambda: not any(_runs(one) for one in children))
    (part,) = place.lifecycle.parts()
    assert (part.state, part.healthy) == ("dead", False)
    assert "all it held is gone" in part.detail
    (part,) = place.lifecycle.up()
    assert part.state == "running"
    assert part.detail.partition(" ")[0] == where
    assert place.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_a_stranger_with_its_pid_is_left_alone(place: Place) -> None:
    place.lifecycle.up()
    place.lifecycle.down()
    folder = place.root / "state" / "servers"
    folder.mkdir(parents=True)
    (folder / "process.json").write_text('{"token": "0123456789abcdef"}', encoding="utf-8")
    (folder / "pid").write_text(str(os.getpid()), encoding="utf-8")
    assert kept.find(folder) is None
    assert kept.stop(folder) is False


def test_what_is_not_installed_is_one_line_with_the_command(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "moto" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    with pytest.raises(Refused) as caught:
        place.lifecycle.up()
    assert caught.value.message == "moto is not installed, so there is no AWS on this machine."
    assert caught.value.next == "pip install 'mlconsole[demo-aws]'"
    assert not (place.root / "state" / "servers").exists()


def test_an_application_asks_whom_its_configuration_names(place: Place) -> None:
    with pytest.raises(Unavailable, match="not up"):
        place.act("traffic-start", endpoint="relevance", events="events.jsonl")
    place.lifecycle.up()
    for name in ("relevance-v1", "relevance-v2"):
        place.endpoint(name)
    entry = {"endpoint": "relevance", "fields": ["title"], "threshold": 0.5}
    place.publish({"relevance": {"en": {**entry, "split": {"v1": 100, "v2": 0}}, "de": {**entry, "split": {"v1": 0, "v2": 100}}}})
    place.act("traffic-start", endpoint="relevance", events="events.jsonl", rate="50", slices="language=language")
    status = until(lambda: (found := place.act("traffic-status", endpoint="relevance"))["sent"] >= 60 and found)
    assert status["failed"] == 0
    assert status["by_status"] == {"200": status["sent"]}
    assert str(status["reads"]).startswith("sha256:")
    names = {part.name: part.state for part in place.lifecycle.parts()}
    assert names == {"aws": "running", "traffic relevance": "running"}
    watch = place.client("cloudwatch")

    def told() -> set[tuple[str, str]]:
        found = watch.list_metrics(Namespace="Sample", MetricName="Requests")["Metrics"]
        dimensions = [{one["Name"]: one["Value"] for one in metric["Dimensions"]} for metric in found]
        return {(one["Language"], one["Variant"]) for one in dimensions}

    assert until(told) == {("en", "v1"), ("de", "v2")}
    stopped = place.act("traffic-stop", endpoint="relevance")
    assert stopped["pid"] is None
    place.lifecycle.up()
    assert place.act("traffic-status", endpoint="relevance")["pid"] is None


def test_traffic_goes_on_after_down_and_up_unless_it_was_stopped(place: Place) -> None:
    place.lifecycle.up()
    first = place.act("traffic-start", endpoint="relevance", events="events.jsonl", rate="5", slices="language=language")["pid"]
    assert place.act("traffic-start", endpoint="relevance")["pid"] == first
    place.lifecycle.down()
    assert place.act("traffic-status", endpoint="relevance")["pid"] is None
    place.lifecycle.up()
    again = place.act("traffic-status", endpoint="relevance")["pid"]
    assert again not in (None, first)


def test_what_can_not_be_replayed_is_said(place: Place) -> None:
    place.lifecycle.up()
    with pytest.raises(InvalidRequest, match=r"no events at nothing\.jsonl"):
        place.act("traffic-start", endpoint="relevance", events="nothing.jsonl")
    with pytest.raises(InvalidRequest, match="0 requests a second"):
        place.act("traffic-start", endpoint="relevance", events="events.jsonl", rate="0")
    with pytest.raises(InvalidRequest, match="no parameter speed"):
        place.act("traffic-start", endpoint="relevance", speed="1")
    with pytest.raises(NotFound, match="No traffic is replayed"):
        place.act("traffic-status", endpoint="relevance")


def _children(pid: int) -> list[int]:
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
