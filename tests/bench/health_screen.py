"""The Health screen with forty endpoints whose figures change each second: bytes a changed cell, share of a core; shown, and hidden."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, Say, at_most
from tests.bench.health_app import FIGURES
from tests.bench.screens import processor_seconds, started
from tests.e2e.terminal import Terminal

_APP = str(Path(__file__).with_name("health_app.py"))
_WORKSPACE = "workspace: bench\ndefault_environment: staging\nenvironments: {staging: {serving: local}}\nmodels: {}\n"


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """From outside, through a pty of 120×40 in truecolor."""
    seconds = 30.0 if long else 10.0
    say(f"40 endpoints, {FIGURES} figures of each changing each second, for {seconds:g} s: Health shown, then Models")
    with TemporaryDirectory(prefix="mlconsole-bench-") as folder:
        root = Path(folder)
        (root / "mlconsole.yaml").write_text(_WORKSPACE, encoding="utf-8")
        with started([sys.executable, _APP, str(root)], root) as terminal:
            terminal.until("endpoint-00")
            terminal.press("5")
            terminal.settle(0.5, 3.0)
            rows = sum("endpoint-" in line for line in terminal.text.splitlines())
            _read(terminal, 3.0)
            written, share, looks = _measured(terminal, seconds)
            cells = round(looks) * max(1, rows - 1) * FIGURES
            told = f"{written / cells:.0f} ({rows} rows in sight, {written / seconds / 1024:.1f} KB/s)"
            yield at_most("Health: bytes a changed cell", written / cells, 120, told, cells=cells)
            yield at_most("Health: % of a core", share, 3.0, f"{share:.2f} %")
            terminal.press("1")
            terminal.settle(0.5, 3.0)
            _read(terminal, 2.0)
            written, share, _ = _measured(terminal, seconds)
            yield at_most("Health hidden: bytes written in a second", written / seconds, 100, f"{written / seconds:.0f}")
            told = f"{share:.2f} % (the snapshots themselves are made here too)"
            yield Figure("Health hidden: % of a core", told, values={"percent": share})
            terminal.press("q")
            terminal.left()


def _measured(terminal: Terminal, seconds: float) -> tuple[int, float, float]:
    """Bytes written, % of a core, and looks."""
    first, cpu, began = len(terminal.chunks), processor_seconds(terminal.child.pid), time.perf_counter()
    _read(terminal, seconds)
    took = time.perf_counter() - began
    share = 100 * (processor_seconds(terminal.child.pid) - cpu) / took
    return sum(len(data) for _, data in terminal.chunks[first:]), share, took


def _read(terminal: Terminal, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        terminal.pump(left)
