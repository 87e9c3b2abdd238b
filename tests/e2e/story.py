"""The whole story by keyboard: deploy a version, shift traffic to it, go back. Told to any terminal, wherever the console runs."""

from __future__ import annotations

import time

if __package__ == "e2e":
    from e2e.terminal import Terminal
else:
    from tests.e2e.terminal import Terminal

ENDPOINT, BETTER = "relevance", "relevance@4"


def opened(terminal: Terminal, seconds: float = 30.0) -> None:
    """The console stands, and has looked."""
    terminal.until("[2 Endpoints]", ENDPOINT, "live", seconds=seconds)


def to_row(terminal: Terminal, name: str, seconds: float = 30.0) -> None:
    """The table's cursor down to the row of that name, a row at a time."""
    deadline = time.monotonic() + seconds
    while (at := terminal.until_matches(r"[▸>](\S+)", seconds)[1]) != name:
        terminal.press("down")
        while terminal.until_matches(r"[▸>](\S+)", seconds)[1] == at:
            assert time.monotonic() < deadline, terminal.text
            terminal.pump(0.1)


def choose(terminal: Terminal, version: str, seconds: float = 30.0) -> None:
    """On Models, the cursor on a version."""
    terminal.press("1")
    terminal.until("[1 Models]", version, seconds=seconds)
    terminal.settle(terminal.patience, 4.0)
    terminal.press("home")
    terminal.settle(terminal.patience, 4.0)
    to_row(terminal, version, seconds)


def plan_deploy(terminal: Terminal, version: str = BETTER, seconds: float = 30.0) -> None:
    """Up to the plan box: nothing has happened yet."""
    choose(terminal, version, seconds)
    terminal.press("D")
    terminal.until(f"deploy {version}", seconds=seconds)
    terminal.press("enter")
    terminal.until("nothing has happened yet", "same as", seconds=seconds)


def deploy(terminal: Terminal, seconds: float = 30.0) -> int:
    """A better version gets a tenth; the number of its release."""
    plan_deploy(terminal, seconds=seconds)
    terminal.press("y")
    return _ended(terminal, rf"{ENDPOINT} is #(\d+): v3 90 · v4 10", seconds)


def observed(terminal: Terminal, seconds: float = 30.0) -> float:
    """On Canary, what v4 really got: percent, once anybody was seen to get anything from it."""
    terminal.press("3")
    terminal.until("[3 Canary]", seconds=seconds)
    found = terminal.until_matches(r"v4 .*\s(\d+\.\d) %", seconds)
    while float(found[1]) == 0.0:
        terminal.pump(0.2)
        found = terminal.until_matches(r"v4 .*\s(\d+\.\d) %", seconds)
    return float(found[1])


def shift(terminal: Terminal, seconds: float = 30.0) -> int:
    """One step to the right, then the plan of what is staged; the number of its release. The console shows Canary."""
    # On a slow line the cursor of the screen before is still to be seen for a moment: it would be taken for this one's.
    terminal.settle(terminal.patience, 4.0)
    to_row(terminal, "v4", seconds)
    terminal.settle(terminal.patience, 4.0)
    terminal.press("right")
    terminal.until("staged", "15 %", seconds=seconds)
    terminal.press("T")
    terminal.until("nothing has happened yet", "same as", seconds=seconds)
    terminal.press("y")
    return _ended(terminal, rf"{ENDPOINT} is #(\d+): v3 85 · v4 15", seconds)


def go_back(terminal: Terminal, seconds: float = 30.0) -> int:
    """To before the shift, by two letters; the number of its release."""
    # While the change before is still shown as running, `u` would stop that one, without a plan: it leads to the same place.
    terminal.until("no change", seconds=seconds)
    terminal.press("u")
    terminal.until("nothing has happened yet", "Go back to #", seconds=seconds)
    terminal.press("y")
    return _ended(terminal, rf"{ENDPOINT} went back: #(\d+) equals", seconds)


def quit_(terminal: Terminal, seconds: float = 20.0) -> str:
    """Leave; what it says at last. Until then nothing was wider than the screen."""
    terminal.checked()
    terminal.press("q")
    code, said = terminal.left(seconds)
    assert code == 0, said
    return said


def _ended(terminal: Terminal, pattern: str, seconds: float) -> int:
    return int(terminal.until_matches(pattern, seconds)[1])
