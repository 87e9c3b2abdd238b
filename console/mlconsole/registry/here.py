"""Where this process is: the boot of the machine, the place whose process ids it can see, and which of those are gone."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """What tells this boot of the machine from the one before: a lease's times mean something within one boot only."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        pass
    try:  # macOS
        asked = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, timeout=2, check=True)
        return asked.stdout.strip() or "unknown"
    except (OSError, subprocess.SubprocessError):
        # Then a reboot shows in the clock that starts again (`leases` looks at that) and in processes that are gone.
        return "unknown"


@cache
def place() -> str:
    """Host and process-id namespace: only where both are the same does a process id mean the same process (containers share host names)."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{os.uname().nodename} {namespace}".strip()


def is_gone(pid: int) -> bool:
    """Whether no process of this place has that id any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is somebody else's, and alive
    return False
