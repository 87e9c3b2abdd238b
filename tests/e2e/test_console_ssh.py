"""The console at the other end of a real SSH connection: the whole story, and the connection cut in the middle of a change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e import story
from e2e.kit import PROGRAM, Console, until
from e2e.sshd import Server, missing, sshd
from e2e.terminal import Terminal

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("console"), pytest.mark.skipif(bool(missing()), reason=missing() or "it is there")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An sshd for this module's tests."""
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def far_away(demo: Console, server: Server, *, columns: int = 100, lines: int = 30) -> Terminal:
    """The console at the other end."""
    command = server.command([str(PROGRAM)], cwd=demo.root, environ={"LC_ALL": "C.UTF-8"})
    return Terminal(command, columns=columns, lines=lines, environ=demo.environ(), cwd=Path("/"))


def test_deploy_shift_and_go_back_over_ssh_cut_in_the_middle(demo: Console, server: Server) -> None:
    before = demo.json("history", "list")["changes"]
    with far_away(demo, server) as terminal:
        story.opened(terminal)
        story.plan_deploy(terminal)
        terminal.press("y")
        terminal.until("under way")
        cut = datetime.now(UTC)
        terminal.cut()

    # The change is nobody's window's: it goes on to its end, and the history has all of it.
    def deployed() -> dict[str, str]:
        newest: dict[str, str] = demo.json("history", "list")["changes"][0]
        return newest if newest["kind"] == "deploy" and newest["id"] != before[0]["id"] and newest["ended"] else {}

    change = until(deployed)
    assert change["state"] == "done"
    assert datetime.fromisoformat(change["ended"]) > cut
    told = demo.json("history", "show", change["id"])
    assert all(step["state"] == "done" for step in told["steps"]), told
    assert len(demo.json("history", "list")["changes"]) == len(before) + 1

    # A new console shows it, and takes it from there.
    with far_away(demo, server) as terminal:
        story.opened(terminal)
        terminal.until("v3 90 · v4 10")
        story.to_row(terminal, "relevance")
        assert story.observed(terminal) > 0.0
        shifted = story.shift(terminal)
        assert story.go_back(terminal) == shifted + 1
        terminal.press("6")
        terminal.until("[6 Activity]", "v3 → v3 90 · v4 10", "90/10 → ", f"#{shifted + 1}")
        story.quit_(terminal)
    assert len(demo.json("history", "list")["changes"]) == len(before) + 3
    demo.run("revert", "relevance", "--to", "1", "--yes")
