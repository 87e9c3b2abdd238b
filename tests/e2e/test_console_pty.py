"""The console in a terminal of its own, by keyboard only, seen from outside: the whole story, odd terminals, and leaving."""

from __future__ import annotations

import re

import pytest

from e2e import story
from e2e.kit import PROGRAM, Console, Simulated, until
from e2e.terminal import Terminal

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("console")]

_COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


def shown(console: Console, *arguments: str, columns: int = 100, lines: int = 30, **variables: str) -> Terminal:
    """The console in a terminal of that size."""
    command = [str(PROGRAM), *arguments]
    return Terminal(command, columns=columns, lines=lines, environ=console.environ(COLORTERM="truecolor", **variables), cwd=console.root)


def changes(console: Console) -> list[dict[str, object]]:
    """The history, newest first."""
    found: list[dict[str, object]] = console.json("history", "list")["changes"]
    return found


# The story.


def test_deploy_shift_and_go_back_by_keyboard(demo: Console) -> None:
    before = len(changes(demo))
    with shown(demo) as terminal:
        story.opened(terminal)
        first = story.deploy(terminal)
        assert 0.0 < story.observed(terminal) < 40.0
        assert story.shift(terminal) == first + 1
        assert story.go_back(terminal) == first + 2
        terminal.press("6")
        terminal.until("[6 Activity]", "v3 → v3 90 · v4 10", "90/10 → ", f"#{first + 2}")
        story.quit_(terminal)
    history = changes(demo)
    assert [one["kind"] for one in history[: len(history) - before]] == ["revert", "traffic", "deploy"]
    assert all(one["state"] == "done" for one in history)
    demo.run("revert", "relevance", "--to", "1", "--yes")


def test_q_while_a_change_runs_says_that_it_goes_on_and_it_does(served: Simulated) -> None:
    world = served.hang("serving.start")
    with shown(served) as terminal:
        story.opened(terminal)
        story.plan_deploy(terminal)
        terminal.press("y")
        served.reached(world, "serving.start")
        terminal.until("under way")
        said = story.quit_(terminal)
    assert "goes on without you" in said
    assert changes(served)[0]["state"] not in ("done", "went back")
    world.release()
    until(lambda: changes(served)[0]["state"] == "done")
    with shown(served) as terminal:
        terminal.until("v3 90 · v4 10", "live")
        story.quit_(terminal)


# Terminals.


@pytest.mark.parametrize("term", ["linux", "xterm", "vt100", "screen", "tmux-256color"])
def test_the_first_screen_in_every_terminal(served: Simulated, term: str) -> None:
    with shown(served, columns=80, lines=24, TERM=term) as terminal:
        terminal.until("STAGING", "1 Models", "[2 Endpoints]", "3 Canary", "6 Activity", "relevance", "v3 100 %", "live")
        terminal.settle(0.3, 2.0)
        if term in ("linux", "vt100"):
            assert terminal.raw.isascii(), [char for char in terminal.text if not char.isascii()]
        terminal.press("1")
        terminal.until("[1 Models]", "relevance@5")
        story.quit_(terminal)


def test_no_color_writes_no_colour(served: Simulated) -> None:
    with shown(served, NO_COLOR="1") as terminal:
        story.opened(terminal)
        terminal.press("1")
        terminal.until("[1 Models]", "relevance@5")
        story.quit_(terminal)
    found = _COLOUR.search(terminal.raw)
    assert found is None, terminal.raw[max(0, found.start() - 80) : found.end() + 20]


def test_a_dumb_terminal_gets_one_line_and_the_commands(served: Simulated) -> None:
    with shown(served, TERM="dumb") as terminal:
        code, _ = terminal.left()
    assert code == 2
    assert b"\x1b" not in terminal.raw
    lines = terminal.raw.decode().strip().splitlines()
    assert len(lines) == 1
    assert "mlconsole status" in lines[0]


@pytest.mark.parametrize("inside", ["stdout", "stdin"])
def test_without_a_terminal_it_is_one_line_and_the_commands(served: Simulated, inside: str) -> None:
    """Half a terminal is none: with its output in a pipe, or its input from one."""
    assert "mlconsole status" in served.refused(code=2)
    redirected = {"stdout": f"{PROGRAM} | cat; exit ${{PIPESTATUS[0]}}", "stdin": f"true | {PROGRAM}"}[inside]
    with Terminal(["bash", "-c", redirected], environ=served.environ(), cwd=served.root) as terminal:
        code, _ = terminal.left()
    assert code == 2
    assert b"\x1b" not in terminal.raw
    assert len(terminal.raw.decode().strip().splitlines()) == 1


def test_another_size_and_back(served: Simulated) -> None:
    with shown(served, columns=140, lines=40) as terminal:
        story.opened(terminal)
        terminal.until("way back", "VARIANT")
        terminal.checked()
        terminal.resize(48, 20)
        terminal.press("3")
        terminal.until("relevance", "seen")
        assert not terminal.has("VARIANT")
        terminal.press("2")
        terminal.until("relevance", "req/s")
        terminal.checked()
        terminal.resize(140, 40)
        terminal.press("1", "2")
        terminal.until("[2 Endpoints]", "way back", "VARIANT", "what happened here")
        terminal.checked()
        story.quit_(terminal)


# What is behind it goes away. (The last test here: it stops the servers.)


def test_the_servers_go_and_come_back(demo: Console) -> None:
    with shown(demo) as terminal:
        story.opened(terminal)
        demo.run("local", "down")
        terminal.until("blind", "OLD", seconds=15.0)
        assert terminal.has("relevance", "v3")
        terminal.press("3")
        terminal.until("[3 Canary]")
        terminal.press("D")
        terminal.until("D is off")
        terminal.press("2")
        terminal.until("[2 Endpoints]")
        demo.run("local", "up")
        terminal.until("data live", without="blind")
        story.quit_(terminal)
