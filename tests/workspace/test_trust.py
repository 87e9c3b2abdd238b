"""Trust: what counts as a command, what makes trust lapse, and the file that it is kept in."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from mlconsole.workspace import Workspace, load
from mlconsole.workspace.trust import TrustUnusable, digest, executables, remember, runs_command, trust_file, trusted_digest

SAMPLE = """\
workspace: sample  # a comment
environments:
  staging:
    serving: local
    probes:
      redis: {kind: redis, address: "127.0.0.1:6379", keys: 1000, every: 5}
      odd: {kind: shell, run: ["./bin/look", "-q"], limit: 3, folder: bin}
    notify:
      ops: {kind: webhook, url_env: OPS_WEBHOOK}
      second: {kind: command, run: ["/usr/local/bin/page", "-"], timeout: 5, after: 10, only: [page]}
actions:
  refill: {uses: service-load, with: {service: redis}, safe: true}
  restart: {run: ["./bin/restart", "{name}"], parameters: {name: {help: which, default: a}}, summary: again, time_limit: 9}
"""


def sample(folder: Path, *changes: tuple[str, str]) -> Workspace:
    text = SAMPLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "mlconsole.yaml").write_text(text)
    return load(folder)


def test_what_a_workspace_brings(tmp_path: Path) -> None:
    workspace = sample(tmp_path)
    assert [(one.what, one.command) for one in executables(workspace)] == [
        ("the action restart", ("./bin/restart", "{name}")),
        ("the probe odd in staging", ("./bin/look", "-q")),
        ("the channel second in staging", ("/usr/local/bin/page", "-")),
    ]
    staging = workspace.environments["staging"]
    made = [*staging.probes.values(), *staging.channels.values()]
    assert [one.name for one in made if runs_command(one)] == ["odd", "second"]


@pytest.mark.parametrize(
    ("old", "new", "lapses"),
    [
        ("  # a comment", "", False),
        ("keys: 1000", "keys: 5", False),
        ("every: 5", "every: 60, repair: refill", False),
        ("after: 10, only: [page]", "after: 20", False),
        ("timeout: 5", "timeout: 50", False),
        ("limit: 3", "limit: 4", False),
        ("summary: again, time_limit: 9", "time_limit: 90, safe: true", False),
        ("help: which", "help: what", False),
        ("url_env: OPS_WEBHOOK", "url_env: OTHER", False),
        ("{service: redis}", "{service: other}", False),
        ("  ops:", "  chat:", False),
        ('"./bin/restart", "{name}"', '"./bin/restart", "{name}", "-f"', True),
        ("./bin/restart", "./bin/other", True),
        ("default: a", "default: '--all'", True),
        ('"-"', '"--"', True),
        ("kind: command", "kind: shell", True),
        ("folder: bin", "folder: /tmp", True),
        ("  second:", "  third:", True),
        ('["./bin/look", "-q"]', '["./bin/look -q"]', True),
        ("  refill: {", "  more: {run: [x]}\n  refill: {", True),
    ],
)
def test_trust_lapses_with_a_command_and_with_nothing_else(tmp_path: Path, old: str, new: str, lapses: bool) -> None:
    before = digest(executables(sample(tmp_path)))
    assert (digest(executables(sample(tmp_path, (old, new)))) != before) is lapses


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    found = executables(sample(tmp_path))
    assert digest(found) == digest(tuple(reversed(found)))


def test_where_it_is_kept(tmp_path: Path) -> None:
    assert trust_file({"XDG_STATE_HOME": "/state", "HOME": "/home/me"}) == Path("/state/mlconsole/trusted.json")
    for relative in ("", "state", "../state"):
        assert trust_file({"XDG_STATE_HOME": relative, "HOME": "/home/me"}) == Path("/home/me/.local/state/mlconsole/trusted.json")


def test_the_file(tmp_path: Path) -> None:
    file = tmp_path / "state" / "mlconsole" / "trusted.json"
    one, two = tmp_path / "one", tmp_path / "two"
    assert trusted_digest(file, one) is None
    remember(file, one, "sha256:1")
    remember(file, two, "sha256:2")
    assert (trusted_digest(file, one), trusted_digest(file, two)) == ("sha256:1", "sha256:2")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    remember(file, one, None)
    assert (trusted_digest(file, one), trusted_digest(file, two)) == (None, "sha256:2")
    assert sorted(path.name for path in file.parent.iterdir()) == ["trusted.json", "trusted.lock"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"trusted": 4}', "\x00", '"x"'])
def test_a_damaged_file_trusts_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "trusted.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(TrustUnusable, match="nothing was run"):
        trusted_digest(file, tmp_path)


def test_a_file_that_others_may_write_trusts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "trusted.json"
    file.write_text(json.dumps({"schema": 1, "trusted": {str(tmp_path): "sha256:1"}}))
    file.chmod(0o622)
    with pytest.raises(TrustUnusable, match="somebody else may write it"):
        trusted_digest(file, tmp_path)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(TrustUnusable, match="no regular file"):
        trusted_digest(file, tmp_path)


def _remember(file: Path, root: Path) -> None:
    remember(file, root, "sha256:1")


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "trusted.json"
    roots = [tmp_path / str(number) for number in range(8)]
    processes = [multiprocessing.get_context("fork").Process(target=_remember, args=(file, root)) for root in roots]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [trusted_digest(file, root) for root in roots] == ["sha256:1"] * 8
