"""The whole story over a bad line: the console at the other end of `ssh -C` with 64 kbit/s and 300 ms; its bytes, and the longest wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, Say, median
from tests.bench.house import console, house
from tests.bench.screens import environ
from tests.bench.shaping import shaped
from tests.e2e import story
from tests.e2e.sshd import missing, sshd
from tests.e2e.terminal import Terminal

_RATE = 50
_WAIT = 120.0


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Once; with `long` without compression too."""
    why_not = missing()
    if why_not:
        say(f"left out: {why_not}")
        return
    with house() as made, TemporaryDirectory(prefix="mlconsole-bench-") as folder, sshd(Path(folder)) as server:
        made.replay(_RATE)
        for compressed in (True, False) if long else (True,):
            how = "ssh -C" if compressed else "ssh"
            say(f"deploy, shift and go back over {how}, 64 kbit/s and 300 ms there and back")
            with shaped(server.port) as line:
                program = [*console(), "--workspace", str(made.root)]
                command = server.command(
                    program, cwd=made.root, environ={"LC_ALL": "C.UTF-8", "COLORTERM": "truecolor"}, compressed=compressed, port=line.port
                )
                with Terminal(command, columns=100, lines=30, environ=environ(Path(folder)), cwd=Path(folder)) as terminal:
                    waits, seconds = _story(terminal)
                sent, came = line.bytes["up"], line.bytes["down"]
            made.revert(1)
            longest = max(waits, key=lambda name: waits[name])
            told = f"{came / 1024:.0f} KB to the screen, {sent / 1024:.0f} KB from it, {seconds:.0f} s"
            yield Figure(f"the story over {how} on a bad line", told, values={"down": came, "up": sent, "seconds": seconds})
            told = f"{1000 * waits[longest]:.0f} ms ({longest}); median {1000 * median(list(waits.values())):.0f} ms"
            each = {name: round(1000 * wait) for name, wait in waits.items()}
            yield Figure(f"longest wait for a key's echo, {how}", told, values={"milliseconds": each})


def _story(terminal: Terminal) -> tuple[dict[str, float], float]:
    """What a person does, with the time from a key to what it shows."""
    waits: dict[str, float] = {}

    def shows(name: str, key: str, there: Callable[[], bool]) -> None:
        began = terminal.send(key)
        while not there():
            assert time.perf_counter() - began < _WAIT, f"{name}\n{terminal.text}"
            terminal.pump(0.5)
        waits[name] = time.perf_counter() - began

    terminal.patience = 1.0
    began = time.perf_counter()
    story.opened(terminal, _WAIT)
    shows("the first Models", "1", lambda: terminal.has("[1 Models]"))
    story.choose(terminal, story.BETTER, _WAIT)
    shows("cursor down on Models", "j", lambda: not terminal.has(f"▸{story.BETTER}"))
    shows("cursor up on Models", "k", lambda: terminal.has(f"▸{story.BETTER}"))
    shows("D asks for the share", "D", lambda: terminal.has(f"deploy {story.BETTER}"))
    shows("the plan box", "\r", lambda: terminal.has("nothing has happened yet"))
    shows("y", "y", lambda: not terminal.has("nothing has happened yet"))
    shows("cursor down while it deploys", "j", lambda: not terminal.has(f"▸{story.BETTER}"))
    shows("Canary while it deploys", "3", lambda: terminal.has("[3 Canary]"))
    terminal.until("v3 90 · v4 10", seconds=_WAIT)
    story.observed(terminal, _WAIT)
    story.to_row(terminal, "v4", _WAIT)
    shows("a slider moved", "\x1b[C", lambda: terminal.has("v4 10 → "))
    shows("T", "T", lambda: terminal.has("nothing has happened yet"))
    shows("y for the shift", "y", lambda: not terminal.has("nothing has happened yet"))
    terminal.until_matches(r"relevance is #\d+: v3", _WAIT)
    terminal.until("no change", seconds=_WAIT)
    shows("u", "u", lambda: terminal.has("Go back to #"))
    shows("y to go back", "y", lambda: not terminal.has("Go back to #"))
    terminal.until("went back: #", seconds=_WAIT)
    shows("Activity", "6", lambda: terminal.has("[6 Activity]"))
    shows("Endpoints again", "2", lambda: terminal.has("[2 Endpoints]"))
    terminal.settle(1.5, 6.0)
    story.quit_(terminal, _WAIT)
    return waits, time.perf_counter() - began
