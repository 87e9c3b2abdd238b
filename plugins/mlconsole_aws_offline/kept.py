"""Processes that go on without us: started in the background, found again by whoever comes later, and ended. Each has a folder."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mlconsole.plugin.errors import Refused, Unavailable

_RECORD, _PID = "process.json", "pid"
# The shell writes the pid itself: were we killed a moment later, the process would be found all the same.
_LAUNCH = 'umask 077; "$@" & echo $! > pid.new && mv pid.new pid'

_EMPTY = 1.0
"""Seconds that a process may be without a command line: longer is a thread of the system's."""


@contextmanager
def locked(folder: Path, *, seconds: float = 30.0) -> Iterator[None]:
    """Alone in a folder, among all processes of this machine.

    Raises:
        Unavailable: somebody else took longer than `seconds`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a") as file:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Unavailable(f"Somebody else works in {folder}.", next="Wait a moment, then try again.") from None
                time.sleep(0.02)
        yield


def start(folder: Path, module: str, arguments: Sequence[str]) -> int:
    """Start a module of ours in the background, its output in `folder`/log; its pid. One that runs there already is left alone.

    Raises:
        Refused: it can't be started.
    """
    running = find(folder)
    if running is not None:
        return running
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = secrets.token_hex(8)
    (folder / _PID).unlink(missing_ok=True)
    (folder / _RECORD).write_text(json.dumps({"token": token}), encoding="utf-8")
    command = ["/bin/sh", "-c", _LAUNCH, "launcher", sys.executable, "-P", "-m", module, "--token", token, *arguments]
    # The caller's own account is none of its business, nor where the caller has it looked for.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(f"{module} can't be started: {error}.") from error
    finally:
        os.close(log)
    found = find(folder, seconds=5.0)
    if found is None:
        raise Refused(f"{module} ended at once: {last_line(folder)}", next=f"Look at {folder / 'log'}.")
    return found


def find(folder: Path, *, seconds: float = 0.0) -> int | None:
    """The pid of the folder's process, if it runs: it and no later one of the same pid, since its command line has our token."""
    began = time.monotonic()
    deadline = began + seconds
    while True:
        try:
            token = str(json.loads((folder / _RECORD).read_text(encoding="utf-8"))["token"])
            pid = int((folder / _PID).read_text(encoding="ascii"))
        except (OSError, ValueError, KeyError):
            return None
        command = _command(pid)
        if command is None:
            return None
        if token in command:
            return pid
        # For a moment it is still the shell's own copy, with another command line; while the system puts the program in its place, none.
        if time.monotonic() > (deadline if command else max(deadline, began + _EMPTY)):
            return None
        time.sleep(0.01)


def stop(folder: Path, *, grace: float = 5.0) -> bool:
    """End the folder's process: TERM, then KILL; whether one ran.

    Raises:
        Refused: it belongs to somebody else.
    """
    pid = find(folder)
    if pid is None:
        return False
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        try:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        except PermissionError as error:
            raise Refused(f"Process {pid} belongs to somebody else; it was not ended.") from error
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if find(folder) is None:
                return True
            time.sleep(0.02)
    return True


def write_json(path: Path, value: object) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(path)


def last_line(folder: Path) -> str:
    """The last line of its log. Foreign text."""
    try:
        lines = (folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _command(pid: int) -> str | None:
    """The command line of a process; empty while it is being put in place. None: there is none, or it has ended and waits to be noticed."""
    path = Path(f"/proc/{pid}")
    if Path("/proc/self/cmdline").exists():
        try:
            command = (path / "cmdline").read_text(encoding="utf-8", errors="replace")
            ended = not command and (path / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
        except (OSError, IndexError):
            return None
        return None if ended else command
    done = subprocess.run(["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
