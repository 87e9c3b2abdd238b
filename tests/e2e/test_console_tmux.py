"""The console inside tmux, on a server of the test's own: the whole story, with the person away from her desk in the middle of it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import story
from e2e.kit import PROGRAM, Console
from e2e.terminal import Terminal

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("console"),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

_DETACH = "\x02d"


@pytest.fixture
def tmux(demo: Console) -> Iterator[list[str]]:
    """tmux with a socket and settings of the test's own; its server is ended."""
    with tempfile.TemporaryDirectory(prefix="mlc-tmux-") as folder:  # a socket's path has to be short
        settings = Path(folder) / "tmux.conf"
        settings.write_text("set -g status off\nset -sg escape-time 10\nset -g default-terminal tmux-256color\nset -g remain-on-exit off\n")
        command = ["tmux", "-S", f"{folder}/socket", "-f", str(settings)]
        yield command
        subprocess.run([*command, "kill-server"], capture_output=True, check=False)


def attached(demo: Console, tmux: list[str], *arguments: str, columns: int = 100, lines: int = 30) -> Terminal:
    """A client in a terminal of its own."""
    environ = demo.environ(COLORTERM="truecolor")
    environ.pop("TMUX", None)
    return Terminal([*tmux, *arguments], columns=columns, lines=lines, environ=environ, cwd=demo.root)


def test_deploy_shift_and_go_back_in_tmux_detached_in_between(demo: Console, tmux: list[str]) -> None:
    with attached(demo, tmux, "new-session", "-s", "console", str(PROGRAM)) as terminal:
        story.opened(terminal)
        story.plan_deploy(terminal)
        terminal.press("y")
        terminal.until("under way")
        terminal.send(_DETACH)
        terminal.left()
    # Nobody looks. The change ends, and so does tmux not.
    with attached(demo, tmux, "attach-session", "-t", "console") as terminal:
        deployed = int(terminal.until_matches(r"relevance is #(\d+): v3 90 · v4 10")[1])
        terminal.press("3")
        assert story.observed(terminal) > 0.0
        assert story.shift(terminal) == deployed + 1
        assert story.go_back(terminal) == deployed + 2
        # From a phone, into the same session.
        terminal.resize(48, 20)
        terminal.until("relevance", "seen", without="DESIRED")
        pane = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout.splitlines()
        assert len(pane) <= 20
        assert max(map(len, pane)) <= 48
        terminal.press("q")
        terminal.left()
    kinds = [one["kind"] for one in demo.json("history", "list")["changes"][:3]]
    assert kinds == ["revert", "traffic", "deploy"]
    demo.run("revert", "relevance", "--to", "1", "--yes")
