"""Config documents in mlconsole.yaml: what they begin with, how applications read them, and each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlconsole.core.documents import Format
from mlconsole.plugin.errors import InvalidFile
from mlconsole.workspace import Workspace, load

BASE = """\
workspace: test
environments:
  staging: {{serving: local, config: local{environment}}}
models: {{relevance: }}
configs:
  models: {{{given}}}
"""


def workspace(folder: Path, given: str, environment: str = "") -> Workspace:
    (folder / "mlconsole.yaml").write_text(BASE.format(given=given, environment=environment))
    return load(folder)


def test_a_file_is_enough(tmp_path: Path) -> None:
    found = workspace(tmp_path, "file: config/models.yaml").configs["models"]
    assert (found.file, found.format, found.schema, found.policy) == (tmp_path / "config/models.yaml", Format.YAML, None, "careful")
    assert found.layout.entries == "/{model}/{slice}"
    assert found.before_traffic


def test_everything_that_may_be_said(tmp_path: Path) -> None:
    found = workspace(
        tmp_path,
        'file: m.json, schema: s.json, entries: "/models/{model}", slices: {relevance: language}, fields: {threshold: /limit}, '
        "differ: [/limit], policy: blue-green, order: after, validators: [{run: [check]}, {call: 'team.checks:limits', time_limit: 3}]",
    ).configs["models"]
    assert (found.layout.slice_key("relevance"), found.layout.slice_key("other")) == ("language", "slice")
    assert (found.layout.threshold, found.layout.share, found.layout.differ) == ("/limit", "/share", ("/limit",))
    assert [one.name for one in found.validators] == ["check", "team.checks:limits"]
    assert (found.before_traffic, found.policy, found.schema) == (False, "blue-green", tmp_path / "s.json")


@pytest.mark.parametrize(
    ("given", "environment", "why"),
    [
        ("file: models.txt", "", r"mlconsole.yaml:6:\d+.*has to end in .json"),
        ("file: m.json, policy: carefull", "", 'there is no policy "carefull".*careful'),
        ("file: m.json, slices: {relevanse: language}", "", 'there is no model "relevanse".*relevance'),
        ("file: m.json, entries: '/{slice}'", "", "a JSON pointer with {model}"),
        ("file: m.json, fields: {threshold: threshold}", "", "a JSON pointer inside an entry: /threshold"),
        ("file: m.json, validators: [{run: [a], call: 'a:b'}]", "", "one of the two"),
        ("file: m.json, validators: [{call: nonsense}]", "", "package.module:function"),
        ("file: m.json", ", traffic_in: modles", 'there is no config document "modles".*models'),
        ("file: m.json", ", traffic_in: models, traffic: local", "in place of a traffic role"),
        ("file: m.json, fields: {split: ''}", ", traffic_in: models", "no place for a split"),
    ],
)
def test_each_mistake_is_told_with_its_line(tmp_path: Path, given: str, environment: str, why: str) -> None:
    with pytest.raises(InvalidFile, match=why):
        workspace(tmp_path, given, environment)
