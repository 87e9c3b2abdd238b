"""Hosting the guardian: as a service of systemd, as a process of its own, and what on this host would end it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.engine.access import Deed
from mlconsole.plugin.errors import MLConsoleError, Refused, Unavailable, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.workspace import Workspace

_STARTS = 15.0
"""Seconds that a guardian gets to give its first sign of life."""

_ENDS = 10.0


@dataclass(frozen=True)
class Installed:
    """What was done, and what a person still has to know or do."""

    unit: Path
    done: tuple[str, ...]
    warnings: tuple[str, ...]


def command_of(workspace: Workspace, environments: Sequence[str]) -> list[str]:
    """The command line of a guardian in the foreground."""
    words = [sys.executable, "-m", "mlconsole", "guardian", "run", "--workspace", str(workspace.root)]
    for name in environments:
        words += ["--env", name]
    return words


def unit_name(workspace: Workspace) -> str:
    """The name of its systemd unit."""
    return f"mlconsole-guardian-{workspace.name}.service"


def unit_text(workspace: Workspace, environments: Sequence[str]) -> str:
    """A systemd user unit. Secrets come from a file that only its owner reads, never from the unit."""
    command = " ".join(_quoted(word) for word in command_of(workspace, environments))
    return f"""\
[Unit]
Description=mlconsole guardian of {workspace.name}
After=network-online.target

[Service]
ExecStart={command}
WorkingDirectory={_escaped(str(workspace.root))}
# What `notify:` and `ping:` name with url_env: lines of NAME=VALUE, chmod 600.
EnvironmentFile=-{_escaped(str(workspace.root))}/.mlconsole/guardian.env
Restart=always
RestartSec=5
# A running change is left to the journal and taken up again: nothing has to be waited for.
TimeoutStopSec=15

[Install]
WantedBy=default.target
"""


def install(workspace: Workspace, environments: Sequence[str]) -> Installed:
    """Write the user unit, enable and start it.

    Raises:
        Refused: there is no systemd for this user; what to do instead.
    """
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    unit = folder / unit_name(workspace)
    if shutil.which("systemctl") is None or not _systemctl("show-environment"):
        raise Refused(
            "systemd does not run for this user here, so that nothing was installed.",
            next="mlconsole guardian start keeps it running until the machine ends; "
            "mlconsole guardian unit prints the unit for another host; "
            f"cron can start it: @reboot {' '.join(command_of(workspace, environments))}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    unit.write_text(unit_text(workspace, environments), encoding="utf-8")
    done = [f"wrote {unit}"]
    for words in (("daemon-reload",), ("enable", "--now", unit.name), ("restart", unit.name)):
        if not _systemctl(*words):
            raise MLConsoleError(f"systemctl --user {' '.join(words)} failed.", next=f"journalctl --user -u {unit.name}")
    done.append(f"enabled and started {unit.name}")
    return Installed(unit, tuple(done), tuple(ends_at_logout()))


def uninstall(workspace: Workspace) -> Installed:
    """Stop, disable and remove the user unit."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    unit = folder / unit_name(workspace)
    if not unit.exists():
        raise UsageError(f"Nothing to do: {unit} is not there.")
    _systemctl("disable", "--now", unit.name)
    unit.unlink()
    _systemctl("daemon-reload")
    return Installed(unit, (f"removed {unit}",), ())


def ends_at_logout() -> list[str]:
    """What on this host would end a guardian when its user logs out, and what helps; empty where nothing would.

    Source: logind.conf(5) `KillUserProcesses`, loginctl(1) `enable-linger`: without lingering a user's manager, and all that it runs, ends
    with the last session.
    """
    if shutil.which("loginctl") is None:
        return []
    user = str(os.getuid())
    linger = _asked("loginctl", "show-user", user, "--property=Linger", "--value")
    kills = _asked("loginctl", "show", "--property=KillUserProcesses", "--value") or _asked(
        "busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "KillUserProcesses"
    )
    warnings = []
    if linger is not None and linger.strip() != "yes":
        warnings.append("This host ends the guardian when you log out: nobody would watch then. Run once: loginctl enable-linger")
    if kills is not None and ("yes" in kills or "true" in kills):
        warnings.append("logind kills what a user leaves running (KillUserProcesses=yes): only a lingering user's services stay.")
    return warnings


def start(session: Session, environments: Sequence[str]) -> int:
    """A guardian in a process of its own, which outlives this one; its pid, once it gave a sign of life in this session's environment.

    Raises:
        Unavailable: it did not come up; with its last line.
        NotAllowed: read only.
    """
    session.access.require(Deed.WATCH)
    workspace = session.workspace
    log = workspace.root / ".mlconsole" / "guardian.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            command_of(workspace, environments),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            close_fds=True,
            env={key: value for key, value in os.environ.items() if key not in ("MLCONSOLE_WORKSPACE", "MLCONSOLE_ENV")},
        )
    finally:
        os.close(descriptor)
    began = session.clock.elapsed()
    while session.clock.elapsed() - began < _STARTS:
        row = session.registry.watcher(session.environment.name)
        if row is not None and row.alive and row.pid == process.pid:
            return process.pid
        if process.poll() is not None:
            break
        session.clock.sleep(0.05)
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise Unavailable(f"The guardian did not come up: {lines[-1] if lines else 'it said nothing'}", next=f"Its log is {log}.")
    raise Unavailable("The guardian did not come up.", next=f"Its log is {log}.")


def stop(session: Session, pid: int) -> bool:
    """End a guardian of this host; whether it is gone.

    Raises:
        NotAllowed: read only.
    """
    session.access.require(Deed.WATCH)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    began = time.monotonic()
    while time.monotonic() - began < _ENDS:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # it may be our own child
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        session.clock.sleep(0.05)
    return False


def is_guardian(pid: int) -> bool:
    """Whether that process of this host is a guardian: one that gives no sign of life any more may still be there."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = (_asked("ps", "-o", "command=", "-p", str(pid)) or "").split()
    return "guardian" in words and "mlconsole" in words


def _systemctl(*words: str) -> bool:
    return _asked("systemctl", "--user", *words) is not None


def _asked(*words: str) -> str | None:
    """What a command says; None where it fails or is not there."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _quoted(word: str) -> str:
    escaped = _escaped(word)
    return f'"{escaped}"' if any(char in escaped for char in " ;\t'\"") else escaped


def _escaped(text: str) -> str:
    """For a unit file: `%` begins a specifier, `\\` an escape (systemd.unit(5))."""
    return text.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"')
