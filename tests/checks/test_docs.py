"""The example of docs/probes-and-notifiers.md, as it stands there: the probe is made of the YAML, and looks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mlconsole.core.clock import SystemClock
from mlconsole.core.errors import InvalidFile
from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.loading import load as load_plugin
from mlconsole.workspace import Workspace, check_plugins, kind_options, load

DOCS = Path(__file__).parents[2] / "docs" / "probes-and-notifiers.md"


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "mlconsole.yaml").write_text(block("yaml"))
    return load(tmp_path)


@pytest.fixture
def disk() -> Plugin:
    names: dict[str, Any] = {}
    exec(compile(block("python"), str(DOCS), "exec"), names)
    plugin = names["plugin"]
    assert isinstance(plugin, Plugin)
    return plugin


def test_the_probe_of_the_example_looks(workspace: Workspace, disk: Plugin) -> None:
    settings = workspace.environments["staging"].probes["room"]
    options = dict(kind_options(settings, disk))
    assert options == {"path": "/", "free": 0.01}

    def look(**changed: Any) -> Any:
        context = Context("staging", workspace.root, workspace.root, {**options, **changed}, SystemClock())
        return disk.factories["probe"](context).look(5.0)

    assert look(free=0).ok is True
    ill = look(free=1.0)
    assert ill.ok is False
    assert ill.text.endswith("free, wanted at least 100%")
    assert look(path="none").ok is None


def test_all_the_example_uses_is_there(workspace: Workspace) -> None:
    check_plugins(workspace, ["local", "redis", "disk", "webhook", "command"])
    staging = workspace.environments["staging"]
    made = [*staging.probes.values(), *staging.channels.values()]
    for settings in made:
        if settings.kind != "disk":
            kind_options(settings, load_plugin(settings.kind))
    assert {settings.kind for settings in made} == {"redis", "disk", "webhook", "command"}


def test_what_the_tables_name_are_options() -> None:
    text = DOCS.read_text()
    for kind in ("http", "tcp", "redis", "webhook", "command"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{kind}` |"))
        told = set(re.findall(r"`([a-z_]+)`", row)) - {kind, "text", "mlconsole"}
        declared = {option.name for option in load_plugin(kind).options} - {"timeout"}
        assert told == declared, kind


def test_a_misspelt_option_is_told_with_its_place(workspace: Workspace) -> None:
    file = workspace.file
    file.write_text(block("yaml").replace("sentinel:", "sentinal:"))
    settings = load(file).environments["staging"].probes["redis-embeddings"]
    with pytest.raises(InvalidFile, match=r'mlconsole.yaml:7:81: unknown key "sentinal".* Did you mean sentinel\?'):
        kind_options(settings, load_plugin("redis"))


def test_a_plugin_is_found_again_after_it_was_used(workspace: Workspace) -> None:
    """A module of the plugin's own name beside it would take its place in the package as soon as one is made."""
    from checks.kit import made

    for kind, options in (
        ("http", {"url": "http://127.0.0.1/"}),
        ("tcp", {"address": "@none"}),
        ("redis", {"address": "@none"}),
        ("webhook", {}),
        ("command", {"run": ["true"]}),
    ):
        made(load_plugin(kind), **options)
        assert load_plugin(kind).name == kind
