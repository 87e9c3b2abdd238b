"""Processes that outlive the console, and are found again after it was killed at any moment.

How nothing gets lost: before anything is started, an *intent* with a fresh token is written. A small shell, in a session of its own,
first *claims* the intent by renaming it (exactly one can win: this shell, or a later console that gives the intent up), then writes its
own pid and start time, and becomes the program by `exec`, so that both stay true. A second shell waits for it and writes how it ended.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlconsole.plugin.errors import Refused, Unavailable
from mlconsole_local.state import private, read_json, write_json

_INTENT, _CLAIM, _RECORD, _EXIT, _ASKED = "process.intent.", "process.claim", "process.json", "process.exit", "process.asked"

# $1 token, $2… the program. The working folder is the process's own. Both shells ignore the hang-up of a terminal that closes.
# What the second one would say of a killed program ("Killed") must not stand where the program's own last words are looked for.
_LAUNCH = """
umask 077; trap '' HUP
(
  exec 3>&2 2>/dev/null
  (exec sh -c '
    token=$1; shift
    mv "process.intent.$token" process.claim 2>/dev/null || exit 75
    boot=; start=
    if [ -r /proc/self/stat ]; then
      read -r boot < /proc/sys/kernel/random/boot_id
      read -r line < /proc/$$/stat; line=${line##*) }
      start=$(set -- $line; shift 19; echo "$1")
    else start=$(LC_ALL=C ps -o lstart= -p $$); fi
    line="{\\"pid\\": $$, \\"start\\": \\"$start\\", \\"boot\\": \\"$boot\\", \\"token\\": \\"$token\\"}"
    printf "%s\\n" "$line" > process.new
    mv process.new process.json; rm -f process.claim
    exec "$@"
  ' starter "$@" 2>&3 3>&-)
  code=$?
  grep -q "$1" process.json 2>/dev/null || exit 0
  printf "{\\"code\\": %s, \\"token\\": \\"%s\\"}\\n" $code "$1" > process.exit.new
  mv process.exit.new process.exit
) &
"""

_NOTED_WITHIN = 0.2  # Seconds: the waiting shell notes the exit code a moment after the end.
# The servers need none of the console's own variables; cloud credentials above all stay where they are.
_PASSED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "PYTHONPATH", "LD_LIBRARY_PATH"})


@dataclass(frozen=True)
class Process:
    """A process of ours: `start` and `boot` tell it from a later one with the same pid."""

    pid: int
    start: str
    boot: str
    token: str

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        return identity(self.pid) == (self.start, self.boot)


@dataclass(frozen=True)
class Ended:
    """How the last process of a folder ended: its exit code (128 + n after signal n), None where nobody saw it. `asked`: we ended it."""

    code: int | None
    asked: bool = False


def start(folder: Path, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, seconds: float = 10.0) -> Process:
    """Start a program in the background with `folder` as its working folder; its output is appended to `log` (0600).

    A process that runs there already is returned as it is. Call it holding `locked(root)`. It waits until the process is recorded, not
    until it is ready.

    Raises:
        Refused: it can't be started at all.
        Unavailable: the machine took longer than `seconds` to start it.
    """
    running = find(folder)
    if running is not None:
        return running
    private(folder)
    for name in (_CLAIM, _EXIT, _ASKED, _RECORD):
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    token = secrets.token_hex(8)
    write_json(folder / f"{_INTENT}{token}", {"token": token})
    variables = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith("LC_")}
    variables.update(env or {})
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        subprocess.run(
            ["/bin/sh", "-c", _LAUNCH, "launcher", token, *argv],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        _give_up(folder)
        raise Refused(f"{Path(argv[0]).name} can't be started: {error}.") from error
    finally:
        os.close(output)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process = _recorded(folder)
        if process is not None and process.token == token:
            return process
        time.sleep(0.002)
    _give_up(folder)
    raise Unavailable(f"{Path(argv[0]).name} did not start within {seconds:g} s.", next=f"Look at {log}.")


def find(folder: Path) -> Process | None:
    """The process of that folder, if it runs: also one whose starter was killed before it could note it."""
    if _intents(folder) or (folder / _CLAIM).exists():
        _settle(folder)
    process = _recorded(folder)
    return process if process is not None and process.alive else None


def ended(folder: Path) -> Ended | None:
    """How the folder's process ended; None when none was ever started there, or it runs."""
    process = _recorded(folder)
    if process is None or process.alive:
        return None
    asked = (read_json(folder / _ASKED) or {}).get("token") == process.token
    deadline = time.monotonic() + _NOTED_WITHIN
    while True:
        record = read_json(folder / _EXIT)
        if record is not None and record.get("token") == process.token:
            return Ended(None if record["code"] is None else int(record["code"]), asked)
        if time.monotonic() > deadline:
            _note_unseen(folder, process)
            return Ended(None, asked)
        time.sleep(0.002)


def stop(folder: Path, *, grace: float = 10.0) -> Ended | None:
    """End the folder's process: TERM, up to `grace` seconds, then KILL. None when none was running.

    Raises:
        Refused: it belongs to somebody else.
    """
    return stop_all([folder], grace=grace).get(folder)


def stop_all(folders: Iterable[Path], *, grace: float = 10.0) -> dict[Path, Ended]:
    """End the processes of several folders side by side, as `stop` does; those that ran.

    Raises:
        Refused: one belongs to somebody else.
    """
    running = {folder: process for folder in folders if (process := find(folder)) is not None}
    for folder, process in running.items():
        with suppress(OSError):  # A full disk must not keep anything alive.
            write_json(folder / _ASKED, {"token": process.token})
        if send(process, signal.SIGTERM):
            send(process, signal.SIGCONT)  # One that was halted could not even end.
    deadline = time.monotonic() + grace
    slow = [process for process in running.values() if not wait_gone(process, max(0.0, deadline - time.monotonic()))]
    for process in slow:
        send(process, signal.SIGKILL)
    for process in slow:
        wait_gone(process, 5.0)
    return {folder: ended(folder) or Ended(None, asked=True) for folder in running}


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone already.

    Raises:
        Refused: it belongs to somebody else.
    """
    if not process.alive:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise Refused(f"Process {process.pid} belongs to somebody else; it was not ended.") from error
    return True


def wait_gone(process: Process, seconds: float) -> bool:
    """Wait until the process has ended; whether it has."""
    deadline = time.monotonic() + seconds
    while process.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def identity(pid: int) -> tuple[str, str] | None:
    """What tells a process from a later one with the same pid: start time and boot. None when it does not run."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return None if not fields or fields[0] in ("Z", "X") else (fields[19], boot)
    listed = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    ).stdout
    state, _, started = listed.strip().partition(" ")
    return None if not state or state.startswith("Z") else (started.strip(), "")


def resident_bytes(pid: int) -> int | None:
    """The memory that a process occupies now (RSS) in bytes; None where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def last_line(log: Path, size: int = 4096) -> str:
    """The last line that is not blank in a log, for an error's sentence; empty when there is none. Foreign text."""
    lines = tail(log, 1, size)
    return lines[-1] if lines else ""


def tail(log: Path, lines: int, size: int = 1 << 18) -> list[str]:
    """The last lines of a log, oldest first, of at most its last `size` bytes. Foreign text."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def _recorded(folder: Path) -> Process | None:
    record = read_json(folder / _RECORD)
    if record is None:
        return None
    try:
        return Process(int(record["pid"]), str(record["start"]).strip(), str(record["boot"]), str(record["token"]))
    except (KeyError, ValueError):
        return None


def _note_unseen(folder: Path, process: Process) -> None:
    """Nobody saw it end, so nobody waits for that again. Should its shell be only late, it writes over this."""
    with suppress(OSError):
        descriptor = os.open(folder / _EXIT, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f'{{"code": null, "token": "{process.token}"}}\n')


def _settle(folder: Path) -> None:
    """An intent without a process: its shell is about to claim it, or its console died before starting one."""
    deadline = time.monotonic() + 1.0
    while _intents(folder) and time.monotonic() < deadline:
        time.sleep(0.005)
    _give_up(folder)
    deadline = time.monotonic() + 5.0
    while (folder / _CLAIM).exists() and time.monotonic() < deadline:
        time.sleep(0.005)  # The shell has won the claim: its pid follows within moments.
    with suppress(FileNotFoundError):
        (folder / _CLAIM).unlink()


def _give_up(folder: Path) -> None:
    for intent in _intents(folder):
        with suppress(FileNotFoundError):
            intent.rename(folder / "process.dropped")


def _intents(folder: Path) -> list[Path]:
    return list(folder.glob(f"{_INTENT}*"))
