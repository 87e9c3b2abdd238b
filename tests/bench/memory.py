"""Memory: the gateway, one model server, and a `status` at its peak."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, Say, median
from tests.bench.house import House, house, variables
from tests.bench.load import Load

from mlconsole.engine import machine

_REQUESTS = 2_000
_MEBIBYTE = 1 << 20
_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Resident memory after a few thousand requests."""
    with house() as made:
        requests = _REQUESTS * (10 if long else 1)
        say(f"resident memory after {requests} requests")
        with Load(made, count=requests) as load:
            load.wait()
        parts = " ".join(part.detail for part in machine.parts(made.session))
        envoy = re.search(r"envoy pid (\d+)", parts)
        assert envoy is not None, parts
        for name, pid in (("the gateway", int(envoy[1])), ("one model server", int(made.server("v3")["pid"]))):
            resident = _resident(pid)
            yield Figure(f"memory of {name}", f"{resident:.0f} MiB", values={"mebibytes": resident})
        peaks = [_peak(made) for _ in range(5)]
        yield Figure("peak memory of status --json", f"{median(peaks):.0f} MiB", values={"mebibytes": median(peaks)})


def _resident(pid: int) -> float:
    pages = Path(f"/proc/{pid}/statm")
    if pages.exists():
        return int(pages.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MEBIBYTE
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return int(told) * 1024 / _MEBIBYTE


def _peak(made: House) -> float:
    """Started by a small process: on Linux what a process is started from counts into its peak."""
    command = [sys.executable, "-c", _PEAK, *made.command("status", "--json")]
    told = subprocess.run(command, capture_output=True, text=True, env=variables(), check=True).stdout
    return int(told) * (1 if sys.platform == "darwin" else 1024) / _MEBIBYTE
