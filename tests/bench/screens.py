"""A terminal program measured from outside: when what stands on its screen, what it writes, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte
from tests.bench.house import variables
from tests.e2e.terminal import Canvas, Terminal

COLUMNS, LINES = 120, 40


def environ(home: Path, **more: str) -> Mapping[str, str]:
    """A truecolor xterm, and nobody's own settings."""
    own = {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
    }
    return {**variables(), **own, **more}


def started(command: Sequence[str], home: Path, cwd: Path | None = None) -> Terminal:
    """A program on a screen of 120×40."""
    return Terminal(command, columns=COLUMNS, lines=LINES, environ=environ(home), cwd=cwd or home)


def moment(terminal: Terminal, there: Callable[[Canvas], bool]) -> float | None:
    """Milliseconds from the start until a condition held, found afterwards by playing the output again; None: it never did."""
    canvas = Canvas(*terminal.canvas.told)
    stream = pyte.ByteStream(canvas)
    for at, data in terminal.chunks:
        stream.feed(data)
        if there(canvas):
            return (at - terminal.began) * 1000
    return None


def says(*words: str) -> Callable[[Canvas], bool]:
    """All of these words are on the screen."""

    def there(canvas: Canvas) -> bool:
        text = "\n".join(canvas.display)
        return all(word in text for word in words)

    return there


def painted(canvas: Canvas) -> bool:
    """Nine tenths of the screen were drawn: the first full frame of a program that says nothing."""
    columns, lines = canvas.told
    drawn = sum(1 for y in range(lines) for x in canvas.buffer[y] if x < columns)
    return drawn >= 0.9 * columns * lines


def processor_seconds(pid: int) -> float:
    """Time that a process had on a processor, with all threads that it ever had, to the nanosecond (Linux)."""
    return time.clock_gettime((~pid << 3) | 2)


def peak_mebibytes(pid: int) -> float:
    """The most that a process ever had in memory."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
