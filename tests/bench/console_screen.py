"""The console on the screen: what a live table and a moved cursor cost, what an open console costs while nothing happens, its memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, Say, at_most, median, percentile
from tests.bench.house import console, house
from tests.bench.screens import LINES, peak_mebibytes, processor_seconds, started
from tests.bench.table_app import FIGURES
from tests.e2e.terminal import KEYS, Terminal

_TABLE = str(Path(__file__).with_name("table_app.py"))
_VISIBLE = LINES - 2
"""Rows in sight: the whole screen but the title and the heads."""

_OTHERS = "posting 82 MiB, harlequin 132 MiB, as ../shared/terminal.md has them"


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """From outside, through a pty of 120×40 in truecolor."""
    seconds = 30.0 if long else 10.0
    with TemporaryDirectory(prefix="mlconsole-bench-") as folder:
        say(f"40 rows, 5 columns changing each second, for {seconds:g} s")
        yield from _live(Path(folder), seconds)
        say("cursor down")
        yield from _cursor(Path(folder), 120 if long else 60)
    with house() as made:
        say(f"the console, nothing changing: from 12 s after its start on, for {2 * seconds:g} s")
        yield from _idle(made.root, 2 * seconds)


def _live(home: Path, seconds: float) -> Iterator[Figure]:
    with started([sys.executable, _TABLE], home) as terminal:
        terminal.until("endpoint-00")
        _read(terminal, 2.5)
        first, cpu, began = len(terminal.chunks), processor_seconds(terminal.child.pid), time.perf_counter()
        _read(terminal, seconds)
        took = time.perf_counter() - began
        share = 100 * (processor_seconds(terminal.child.pid) - cpu) / took
        written = sum(len(data) for _, data in terminal.chunks[first:])
        terminal.checked()
        terminal.send("\x11")
        terminal.left()
    cells = round(took) * _VISIBLE * len(FIGURES)
    yield at_most(
        "live table: bytes a changed cell", written / cells, 120, f"{written / cells:.0f} ({written / took / 1024:.1f} KB/s)", cells=cells
    )
    yield at_most("live table: % of a core", share, 3.0, f"{share:.2f} %")


def _cursor(home: Path, presses: int) -> Iterator[Figure]:
    times, sizes, down = [], [], True
    with started([sys.executable, _TABLE, "still"], home) as terminal:
        terminal.until("endpoint-00")
        terminal.settle(1.0, 5.0)
        for number in range(presses):
            if number % 30 == 0 and number:
                down = not down
            first = len(terminal.chunks)
            at = terminal.send(KEYS["down" if down else "up"])
            assert terminal.pump(2.0), terminal.text
            terminal.settle(0.1, 1.0)
            new = terminal.chunks[first:]
            times.append(1000 * (new[0][0] - at))
            sizes.append(sum(len(data) for _, data in new))
        terminal.send("\x11")
        terminal.left()
    told = f"{median(sizes):.0f} (longest {max(sizes)}, of {len(sizes)} presses)"
    yield at_most("cursor down: bytes, median", median(sizes), 1500, told)
    told = f"{median(times):.1f} (quickest {min(times):.1f}, p95 {percentile(times, 95):.1f})"
    yield at_most("cursor down: ms to the first byte, median", median(times), 4.0, told)


def _idle(root: Path, seconds: float) -> Iterator[Figure]:
    with started(console(), root) as terminal:
        terminal.until("data live")
        _read(terminal, 12.0)
        # The clock in row 1 is a change: within one minute there is none.
        left = 59.0 - time.time() % 60
        if left < seconds:
            _read(terminal, left + 2.0)
        first, cpu, began = len(terminal.chunks), processor_seconds(terminal.child.pid), time.perf_counter()
        _read(terminal, seconds)
        share = 100 * (processor_seconds(terminal.child.pid) - cpu) / (time.perf_counter() - began)
        written = sum(len(data) for _, data in terminal.chunks[first:])
        for key in ("1", "3", "6", "2"):
            terminal.press(key)
            terminal.settle(0.5, 3.0)
        peak = peak_mebibytes(terminal.child.pid)
        terminal.press("q")
        terminal.left()
    yield at_most("idle: bytes written", written, 0, f"{written} in {seconds:g} s")
    yield at_most("idle: % of a core", share, 0.5, f"{share:.2f} %")
    yield Figure("peak memory of the console, each screen once", f"{peak:.0f} MiB ({_OTHERS})", values={"mebibytes": peak})


def _read(terminal: Terminal, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        terminal.pump(left)
