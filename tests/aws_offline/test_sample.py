"""The sample workspace on AWS: a file of its own that the plain sample does not see."""

from __future__ import annotations

from pathlib import Path

from mlconsole.engine import starting
from mlconsole.workspace import load
from mlconsole.workspace.settings import options_for
from mlconsole_aws import plugin as aws_plugin
from mlconsole_aws_offline import plugin as offline_plugin


def test_the_plain_sample_is_as_before(tmp_path: Path) -> None:
    starting.create(tmp_path / "plain", sample=True)
    assert "serving: local" in (tmp_path / "plain" / "mlconsole.yaml").read_text(encoding="utf-8")
    assert not list((tmp_path / "plain").glob("mlconsole.*.yaml"))


def test_on_aws_both_layouts_are_there_and_the_two_plugins_agree(tmp_path: Path) -> None:
    starting.create(tmp_path / "aws", sample=True, kind="aws")
    workspace = load(tmp_path / "aws" / "mlconsole.yaml")
    staging, production = workspace.environments["staging"], workspace.environments["production"]
    assert (staging.traffic_in, production.traffic_in) == ("models", None)
    assert "traffic" not in production.roles
    for one in (staging, production):
        assert {one.roles[role] for role in ("serving", "predictions", "config", "alarms")} == {"aws"}
        assert one.roles["lifecycle"] == "aws-offline"
        aws, offline = options_for(one, aws_plugin), options_for(one, offline_plugin)
        assert [aws[name] for name in ("config_file", "profile", "account", "region")] == [
            offline[name] for name in ("config_file", "profile", "account", "region")
        ]
        assert aws["appconfig"]["application"] == offline["application"]
        assert [aws["appconfig"]["environment"]] == offline["environments"]
        assert {aws["sagemaker"]["bucket"], aws["sagemaker"]["capture"].split("/")[2]} <= set(offline["buckets"])
        assert aws["appconfig"]["poll"] == offline["poll"]
    assert staging.options["aws"] is not production.options["aws"]
