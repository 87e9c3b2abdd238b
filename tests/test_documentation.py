"""What the documentation tells people to type can be typed, and what it tells them to write down can be read."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mlconsole.cli.app import app
from mlconsole.core.documents import Format
from mlconsole.core.entries import entries
from mlconsole.core.findings import Severity
from mlconsole.documents import read
from mlconsole.engine import trusting
from mlconsole.engine.session import Session
from mlconsole.engine.validating import own_findings
from mlconsole.workspace import load, options_for
from mlconsole_aws import plugin as aws
from mlconsole_aws.naming import Names

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> Iterator[str]:
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                told = line.partition("  #")[0].strip()
                if told.startswith("mlconsole ") and ">" not in told:
                    yield told


def test_there_are_commands_to_be_checked() -> None:
    assert len(set(commands())) >= 20


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_a_documented_command_can_be_typed(line: str) -> None:
    """It is parsed as the program would, up to the point where it would begin to do something."""
    group: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context: Any = None
    while hasattr(group, "commands"):
        context = group.make_context(words[0] if words else "mlconsole", list(words), parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, group, words = group.resolve_command(context, rest)
        assert group is not None, f"{line}: there is no command {name}"
    group.make_context(group.name, list(words), parent=context)


def test_the_policies_can_be_read(tmp_path: Path) -> None:
    [told] = blocks(ROOT / "docs" / "rollouts.md", "yaml")
    (tmp_path / "mlconsole.yaml").write_text(told, encoding="utf-8")
    workspace = load(tmp_path)
    policy = workspace.policies[workspace.endpoints["relevance"].policy]
    assert [stage.share for stage in policy.stages] == [100, 1000, 5000, 10_000]
    assert policy.shadow is not None
    assert workspace.environments["production"].freezes[0].reason == "Black Friday"


def test_the_settings_of_health_can_be_read(tmp_path: Path) -> None:
    [told] = blocks(ROOT / "docs" / "health.md", "yaml")
    (tmp_path / "mlconsole.yaml").write_text(told, encoding="utf-8")
    workspace = load(tmp_path)
    assert workspace.endpoints["relevance"].health.latency_ms == 300
    assert workspace.environments["staging"].application_logs["frontend"].slices == {"language": "lang"}


def test_the_settings_of_config_documents_can_be_read(tmp_path: Path) -> None:
    whole, traffic = blocks(ROOT / "docs" / "config.md", "yaml")
    (tmp_path / "mlconsole.yaml").write_text(whole, encoding="utf-8")
    workspace = load(tmp_path)
    models = workspace.configs["models"]
    assert (models.policy, models.layout.differ, models.before_traffic) == ("slowly", ("/threshold",), True)
    assert [one.name for one in models.validators] == ["{python} checks/thresholds.py", "our_checks.config:thresholds"]
    (tmp_path / "mlconsole.yaml").write_text(traffic, encoding="utf-8")
    assert load(tmp_path).environments["production"].traffic_in == "models"


def test_the_settings_of_both_layouts_on_aws_can_be_read(tmp_path: Path) -> None:
    """By the workspace, and by the plugin that they are for; and the document is what its settings say."""
    for place, told in enumerate(blocks(ROOT / "docs" / "aws.md", "yaml")):
        (tmp_path / "mlconsole.yaml").write_text(told, encoding="utf-8")
        workspace = load(tmp_path)
        [environment] = workspace.environments.values()
        options = options_for(environment, aws)
        names = Names.of(options["sagemaker"], by_name=environment.traffic_in is not None)
        if place == 0:
            assert (environment.traffic_in, names.native("relevance", "v8")) == ("models", "relevance-v8")
            assert names.reading("relevance-eu-2024") == ("relevance", "v3")
            assert names.reading("playground-3") is None
            [document] = blocks(ROOT / "docs" / "aws.md", "json")
            found = entries(json.loads(document), workspace.configs["models"].layout)
            assert [dict(one.split or {}) for one in found] == [{"v3": 8000, "v4": 2000}, {"v3": 10_000}]
        else:
            assert (environment.traffic_in, names.native("fraud-prod", "v8")) == (None, "fraud-prod")
            assert workspace.endpoints["fraud-prod"].model == "fraud"


def test_the_findings_of_a_validator_are_taken_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page lets a check print is printed by one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    [told] = blocks(ROOT / "docs" / "config.md", "json")
    (tmp_path / "said.json").write_text(told, encoding="utf-8")
    check = """validators: [{run: ["{python}", "-c", "print(open('said.json').read())"]}]"""
    (tmp_path / "mlconsole.yaml").write_text(
        "workspace: w\n"
        "environments: {staging: {serving: local, config: local}}\n"
        f"configs: {{models: {{file: models.json, {check}}}}}\n",
        encoding="utf-8",
    )
    workspace = load(tmp_path)
    trusting.allow(workspace)
    config = workspace.configs["models"]
    session = Session(workspace, workspace.environments["staging"])
    [found] = own_findings(session, config.validators[0], config, b"{}", read(b"{}", Format.JSON))
    assert (found.severity, found.rule, found.pointer) == (Severity.STOP, "legal", "/relevance/pl/threshold")
    assert found.text == "0.2 is below what legal allows"
