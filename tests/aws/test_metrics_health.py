"""From CloudWatch to what people are told: a workspace whose figures and alarms are CloudWatch's, looked at by health and by commands."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mlconsole_aws
from aws.parts import Servers
from aws.test_metrics import Writer, application
from engine.conftest import ANNA
from engine.kit import NAME, deploy
from mlconsole.__main__ import main
from mlconsole.core.clock import SystemClock
from mlconsole.engine import session as sessions
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.session import Session
from mlconsole.plugin import simulator
from mlconsole.plugin.simulator import simulated_version
from mlconsole.workspace import load

_FILE = """\
workspace: test
default_environment: staging
environments:
  staging:
    serving: simulator
    metrics: aws
    alarms: aws
    options:
      simulator: {{world: world.json, shape: staged, variant_seconds: 0, traffic_seconds: 0, stop_seconds: 0}}
      aws:
        region: {region}
        account: "{account}"
        profile: mlconsole-test
        config_file: {config}
        cloudwatch: {cloudwatch}
models:
  relevance: {{}}
"""
CLOUDWATCH = {
    "alarms": ["theirs"],
    "application": {
        "namespace": "Shop",
        "requests": "Requests",
        "errors": "Errors",
        "dimensions": {"endpoint": "Endpoint", "language": "Lang"},
    },
}

Open = Callable[[], Session]


@pytest.fixture
def opened(aws: Servers, tmp_path: Path) -> Open:
    """relevance@3 serves; CloudWatch has half an hour of its figures."""
    text = _FILE.format(region=aws.region, account=aws.account, config=aws.config_file, cloudwatch=json.dumps(CLOUDWATCH))
    (tmp_path / "mlconsole.yaml").write_text(text)

    def session() -> Session:
        workspace = load(tmp_path)
        plugins = {"simulator": simulator.plugin, "aws": mlconsole_aws.plugin}
        return Session(workspace, workspace.environments["staging"], actor=ANNA, clock=SystemClock(), plugins=plugins)

    first = session()
    first.registry.add_version(simulated_version("relevance", "3"))
    assert deploy(first, "3").done
    writer = Writer(aws)
    for minute in range(30, -2, -1):  # what is not whole yet is there, too; nobody may read it
        writer.minute("relevance", "v3", at(minute), 60)
        application(writer, at(minute), 40, 0, Endpoint="relevance", Lang="en")
        application(writer, at(minute), 20, 0, Endpoint="relevance", Lang="de")
    return session


def at(minutes_ago: int) -> datetime:
    return datetime.fromtimestamp(int(datetime.now(UTC).timestamp() // 60) * 60, UTC) - timedelta(minutes=minutes_ago)


def look(session: Session) -> Any:
    watch = HealthWatch(session, guardian=True)
    watch.near = None
    return watch.look()


def test_usual_figures_are_well(opened: Open) -> None:
    view = look(opened())
    there = view.endpoint(NAME)
    assert there.verdict == "pass", there
    assert view.trouble == ""
    assert there.figures.rate == pytest.approx(1.0, rel=0.25)
    assert there.figures.p95 == pytest.approx(205.0, rel=0.06)
    assert {one.slice for one in there.slices} == {"", "language=de", "language=en"}


def test_one_language_that_fails_is_found_and_told(opened: Open, aws: Servers) -> None:
    session = opened()
    writer = Writer(aws)
    for minute in (3, 4, 5):
        application(writer, at(minute), 20, 20, Endpoint="relevance", Lang="de")
    view = look(session)
    (alarm,) = view.open_alarms
    assert (alarm.title, alarm.endpoints) == ("errors in de", (NAME,))


def test_a_variant_that_fails_is_found_and_told(opened: Open, aws: Servers) -> None:
    writer = Writer(aws)
    for minute in (3, 4):
        writer.minute("relevance", "v3", at(minute), 30, failed=60)
    (alarm,) = look(opened()).open_alarms
    assert alarm.title == "errors"


def test_an_alarm_of_cloudwatch_is_told(opened: Open, aws: Servers) -> None:
    cloudwatch = aws.client("cloudwatch")
    own = [{"Name": "EndpointName", "Value": "relevance"}, {"Name": "VariantName", "Value": "v3"}]
    cloudwatch.put_metric_alarm(
        AlarmName="theirs", Namespace="AWS/SageMaker", MetricName="CPUUtilization", Dimensions=own, Statistic="Average", Period=60,
        EvaluationPeriods=1, Threshold=90.0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName="theirs", StateValue="ALARM", StateReason="the processors are busy")
    view = look(opened())
    (alarm,) = view.open_alarms
    assert (alarm.title, alarm.endpoints) == ("theirs in ALARM", (NAME,))
    assert "the processors are busy" in alarm.findings[0].text


def test_the_commands(
    opened: Open, aws: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`health native`, `arm`, `drill`: what they say, and how they end."""
    backend = opened().backend
    monkeypatch.setattr(sessions.Session, "backend", property(lambda _: backend))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["mlconsole", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out + told.err

    code, told = run("health", "native")
    assert code == 1, told
    assert 'names the alarm "theirs", and there is none of that name' in told
    code, told = run("health", "arm", "relevance", "--dry-run")
    assert (code, told.count("makes  mlconsole-")) == (0, 2)
    assert aws.client("cloudwatch").describe_alarms(AlarmNamePrefix="mlconsole-")["MetricAlarms"] == []
    code, told = run("health", "arm", "relevance")
    assert (code, "Nobody said yes" in told) == (2, True)
    code, told = run("health", "arm", "relevance", "--errors", "2", "--yes")
    assert code == 0, told
    names = [one["AlarmName"] for one in aws.aws("cloudwatch", "describe-alarms", "--alarm-name-prefix", "mlconsole-")["MetricAlarms"]]
    assert len(names) == 2
    code, told = run("health", "arm", "relevance", "--errors", "100", "--yes")
    assert (code, "can never fire" in told) == (2, True)
    code, told = run("health", "drill", names[0], "--yes")
    assert code == 0, told
    code, told = run("health", "native", "--json")
    assert code == 1
    body = json.loads(told)
    assert {one["name"]: one["ok"] for one in body["alarms"]}[names[0]] is False
    code, told = run("health", "drill", "nobody's", "--yes")
    assert code == 2 or "no alarm" in told
    assert "AWS_ACCESS_KEY_ID" not in os.environ or os.environ["AWS_ACCESS_KEY_ID"] not in told
