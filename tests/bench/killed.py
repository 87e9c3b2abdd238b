"""The console, killed: `python -m tests.bench.killed N SECONDS WORKSPACE COMMAND…` runs a command that is SIGKILLed after its Nth commit.

The hook is here, not in the product: whatever the registry commits goes through `Database.write`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.aftermath import rows

from mlconsole.cli.main import run
from mlconsole.registry.database import Database

COMMITTED = "committed so far: "


def main() -> int:
    """Run the command; SIGKILL ends it, or its own exit code tells that it came to its end."""
    number, seconds, workspace = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    genuine: Callable[..., Any] = Database.write
    lock = threading.Lock()
    commits = 0

    def write(self: Database, *args: Any, **kwargs: Any) -> Any:
        nonlocal commits
        result = genuine(self, *args, **kwargs)
        with lock:
            commits += 1
            mine = commits
        if mine == number:
            os.write(1, f"{COMMITTED}{json.dumps(rows(workspace))}\n".encode())
            if seconds:
                # Where the command is through before, Python waits for this at its exit: then it is killed after its end.
                threading.Timer(seconds, _die).start()
            else:
                _die()
        return result

    Database.write = write  # type: ignore[method-assign]
    return run([*sys.argv[4:], "--workspace", str(workspace), "--json"])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
