"""What a server uses of this machine, told coarsely and steadily: looks are compared, and nothing may differ for nothing."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mlconsole_local import processes

_REST = 5.0
"""Seconds between two samples: over less the clock of the system (10 ms) is too coarse, and `ps` too dear."""
_CPU, _MEMORY = 5.0, 5.0
"""Steps: % of a core, MB."""


@dataclass
class _Sample:
    """A process as it was last looked at: processor seconds in all, memory in MB, when (monotonic), and what was told of it."""

    start: str
    used: float
    at: float
    cpu: float
    memory: float


class Resources:
    """Keeps the last sample of each process, so that the processor's share is that of the time since then; at first it is of its life."""

    def __init__(self) -> None:
        self._samples: dict[int, _Sample] = {}
        self._free: dict[Path, float] = {}

    def of(self, pid: int) -> dict[str, str]:
        """`cpu` (% of one core) and `memory` (RSS) of a process; empty where the system does not tell."""
        now, known = time.monotonic(), self._samples.get(pid)
        if known is not None and now - known.at < _REST:
            return _told(known)
        found = _look(pid)
        if found is None:
            self._samples.pop(pid, None)
            return {}
        start, used, age, memory = found
        if known is None or known.start != start:
            sample = _Sample(start, used, now, _steady(None, 100 * used / max(age, 1.0), _CPU), _steady(None, memory, _MEMORY))
        else:
            share = 100 * (used - known.used) / (now - known.at)
            sample = _Sample(start, used, now, _steady(known.cpu, share, _CPU), _steady(known.memory, memory, _MEMORY))
        if age >= _REST:  # One that is coming up is another process at each look, and so it is told.
            self._samples[pid] = sample
        return _told(sample)

    def disk(self, folder: Path) -> dict[str, str]:
        """`disk`: what is free on the folder's file system for who is not root; empty where the folder is not there."""
        try:
            found = os.statvfs(folder)
        except OSError:
            return {}
        free = found.f_bavail * found.f_frsize / 1e9
        step = 1.0 if free >= 10 else 0.1
        told = self._free[folder] = _steady(self._free.get(folder), free, step)
        return {"disk": f"{told:.0f} GB free" if told >= 10 else f"{told:.1f} GB free"}


def _told(sample: _Sample) -> dict[str, str]:
    return {"cpu": f"{sample.cpu:.0f} %", "memory": f"{sample.memory:.0f} MB"}


def _steady(before: float | None, value: float, step: float) -> float:
    """The value in whole steps; the former one as long as it is less than a step away, so that a value on a border does not flicker."""
    if before is not None and abs(value - before) < step:
        return before
    return max(0.0, round(value / step) * step)


def _look(pid: int) -> tuple[str, float, float, float] | None:
    """Start, processor seconds, age in seconds, memory in MB."""
    if not Path("/proc/self/stat").exists():
        return _ask_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()
        running = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        memory = processes.resident_bytes(pid)
    except (OSError, ValueError, IndexError):
        return None
    if len(fields) < 20 or fields[0] in ("Z", "X") or memory is None:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return fields[19], (int(fields[11]) + int(fields[12])) / ticks, running - int(fields[19]) / ticks, memory / (1 << 20)


def _ask_ps(pid: int) -> tuple[str, float, float, float] | None:
    """The same from `ps`, as on macOS."""
    asked = ["/bin/ps", "-o", "rss=,time=,etime=,lstart=", "-p", str(pid)]
    words = subprocess.run(asked, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}).stdout.split(maxsplit=3)
    try:
        return words[3].strip(), _seconds(words[1]), _seconds(words[2]), int(words[0]) / 1024
    except (IndexError, ValueError):
        return None


def _seconds(text: str) -> float:
    """`[[DD-]HH:]MM:SS[.ss]` as `ps` writes a length of time."""
    days, _, rest = text.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = 60 * total + float(part)
    return total + 86_400 * float(days or 0)
