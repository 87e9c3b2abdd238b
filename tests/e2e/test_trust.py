"""`mlconsole trust` as a stranger meets it: what is shown, what is asked, what is kept, and what lapses."""

from __future__ import annotations

from pathlib import Path

import pexpect
import pytest

from e2e.kit import NASTY, PROGRAM, Console
from mlconsole.engine.session import Session
from mlconsole.engine.trusting import require_made, require_trust
from mlconsole.plugin.errors import NotAllowed
from mlconsole.workspace import load

FILE = """\
workspace: w
environments:
  staging:
    serving: local
    notify:
      chat: {kind: webhook, url_env: CHAT}
      pager: {kind: command, run: ["./bin/page", "a b"], after: 10}
actions:
  restart: {run: ["./bin/restart", "{name}"], parameters: {name: {}}}
"""


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A workspace that brings two commands, and a state folder of the test's own."""
    root = tmp_path / "ws"
    root.mkdir()
    (root / "mlconsole.yaml").write_text(FILE)
    return Console(root, {"XDG_STATE_HOME": str(tmp_path / "state")})


def kept(console: Console) -> Path:
    return Path(console.variables["XDG_STATE_HOME"]) / "mlconsole" / "trusted.json"


def test_it_is_shown_asked_kept_and_taken_back(console: Console) -> None:
    before = console.json("trust", "--dry-run")
    assert (before["trusted"], before["lapsed"]) == (False, False)
    assert before["commands"] == [
        {"what": "the action restart", "command": ["./bin/restart", "{name}"]},
        {"what": "the channel pager in staging", "command": ["./bin/page", "a b"]},
    ]
    assert "wants to run 2 commands, and nobody said yes. Nothing was allowed." in console.run("trust", code=2).err
    assert console.run("trust", "--json", code=2).error["code"] == "confirmation_needed"
    assert not kept(console).exists()
    out = console.run("trust", "--yes").out
    assert "mlconsole.yaml brings 2 commands (not trusted):" in out
    assert "./bin/page 'a b'" in out
    assert kept(console).stat().st_mode & 0o777 == 0o600
    assert "Nothing to do: they are trusted, and may run." in console.run("trust").out
    assert console.json("trust", "--dry-run")["trusted"] is True
    assert "none of them runs any more" in console.run("trust", "--revoke").out
    assert console.json("trust", "--dry-run")["trusted"] is False


def test_it_lapses_with_a_command_and_not_with_a_threshold(console: Console) -> None:
    console.run("trust", "--yes")
    file = console.root / "mlconsole.yaml"
    file.write_text(FILE.replace("after: 10", "after: 20") + "# a comment\n")
    assert console.json("trust", "--dry-run")["trusted"] is True
    file.write_text(FILE.replace("a b", "a c"))
    assert console.json("trust", "--dry-run")["lapsed"] is True
    assert "(changed since they were trusted)" in console.run("trust", "--dry-run").out
    assert console.json("trust", "--yes")["trusted"] is True


def test_somebody_else_s_workspace_is_not_trusted(console: Console, tmp_path: Path) -> None:
    console.run("trust", "--yes")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlconsole.yaml").write_text(FILE)
    assert Console(other, console.variables).json("trust", "--dry-run")["trusted"] is False


def test_read_only_changes_nothing(console: Console) -> None:
    assert "Read only: who is trusted was not changed." in console.refused("trust", "--yes", "--read-only", code=7)
    assert not kept(console).exists()


def test_a_workspace_without_commands(console: Console) -> None:
    (console.root / "mlconsole.yaml").write_text("workspace: w\nenvironments: {staging: {serving: local}}\n")
    assert "Nothing to do: this workspace brings no commands." in console.run("trust").out
    assert console.json("trust")["trusted"] is True


def test_foreign_text_in_a_command_is_shown_and_not_obeyed(console: Console) -> None:
    quoted = NASTY.encode("unicode_escape").decode()
    (console.root / "mlconsole.yaml").write_text(FILE.replace("a b", quoted))
    assert r"\x1b[31mred" in console.run("trust", "--dry-run").out


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_a_person_is_asked(console: Console, answer: str, code: int) -> None:
    child = pexpect.spawn(str(PROGRAM), ["trust"], cwd=console.root, env=console.environ(), encoding="utf-8", timeout=60)
    child.expect("y allows it, anything else cancels: ")
    assert "./bin/restart" in child.before
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    assert kept(console).exists() is (code == 0)


def test_nothing_runs_without_it(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", console.variables["XDG_STATE_HOME"])

    def session() -> Session:
        workspace = load(console.root)
        return Session(workspace, workspace.environments["staging"])

    chat, pager = session().environment.channels.values()
    require_made(session(), chat)
    with pytest.raises(NotAllowed) as caught:
        require_trust(session(), "the action restart")
    assert caught.value.exit_code == 7
    assert caught.value.message == (
        "The action restart would run `./bin/restart '{name}'`, and nobody has trusted this workspace here. Nothing was run."
    )
    assert "mlconsole trust" in caught.value.next
    with pytest.raises(NotAllowed, match=r"The channel pager in staging would run `./bin/page 'a b'`"):
        session().made(pager, "notifier")
    console.run("trust", "--yes")
    require_trust(session(), "the action restart")
    session().made(pager, "notifier")
    file = console.root / "mlconsole.yaml"
    file.write_text(FILE.replace("./bin/restart", "./bin/other"))
    with pytest.raises(NotAllowed, match="which changed since this workspace was trusted"):
        require_made(session(), pager)
