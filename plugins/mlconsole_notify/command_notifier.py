"""The notifier `command`: a program of the workspace's choice, which gets the notice as text on its standard input. Never through a shell.

That somebody has allowed it (`mlconsole trust`) is seen to by who makes it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from typing import IO

from mlconsole.core.text import duration, neutralise
from mlconsole.plugin import Context
from mlconsole.plugin.errors import InvalidRequest, Refused, Unavailable
from mlconsole.plugin.roles import Notice
from mlconsole.plugin.wire import short

_TAIL = 4096
"""Bytes of what it says on stderr that are kept."""

_GRACE = 1.0
"""Seconds after its end in which what it said is read: a process that it left behind may hold the pipe."""

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|KEY|WEBHOOK|URL|CREDENTIAL|AUTH", re.IGNORECASE)


class Command:
    """See `plugin.roles.Notifier`."""

    def __init__(self, context: Context) -> None:
        self._run = [str(part) for part in context.options["run"]]
        self._timeout = float(context.options["timeout"])
        self._root = context.root
        self._environment = context.environment

    def send(self, notice: Notice, timeout: float) -> None:
        """Run it, and wait for its end."""
        if not self._run or not self._run[0]:
            raise InvalidRequest("The command names no program.", next="Write run: [PROGRAM, ARGUMENT] in mlconsole.yaml.")
        seconds = min(timeout, self._timeout)
        lines = [neutralise(line) for line in (notice.title, *notice.lines)]
        with tempfile.TemporaryFile() as text:
            # A file and no pipe: a program that does not read its input must not stop us.
            text.write("\n".join([*lines, ""]).encode("utf-8", "replace"))
            text.seek(0)
            try:
                process = subprocess.Popen(
                    self._run,
                    cwd=self._root,
                    env={**os.environ, **self._variables(notice, lines)},
                    stdin=text,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else "a NUL character in it"
                raise Refused(
                    f"The command {short(self._run[0])} can't be run: {reason}.", next="Look at `run:` in mlconsole.yaml."
                ) from None
        tail = bytearray()
        reader = threading.Thread(target=_drain, args=(process.stderr, tail), daemon=True, name="stderr of a notifier")
        reader.start()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            # Its whole group: what it started waits for the same thing.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Unavailable(
                f"The command {short(self._run[0])} was ended after {duration(seconds)}. Nobody may have been told."
            ) from None
        if code:
            reader.join(_GRACE)
            how = f"ended by signal {-code}" if code < 0 else f"failed with code {code}"
            said = _last_line(bytes(tail))
            raise Unavailable(f"The command {short(self._run[0])} {how}{f': {said}' if said else ''}.")

    def _variables(self, notice: Notice, lines: list[str]) -> dict[str, str]:
        return {
            "MLCONSOLE_WORKSPACE": str(self._root),
            "MLCONSOLE_ENV": self._environment,
            "MLCONSOLE_NOTICE_KEY": neutralise(notice.key),
            "MLCONSOLE_NOTICE_TITLE": lines[0],
            "MLCONSOLE_NOTICE_SEVERITY": neutralise(notice.severity),
            "MLCONSOLE_NOTICE_ENVIRONMENT": neutralise(notice.environment),
            "MLCONSOLE_NOTICE_ALARM": "" if notice.alarm is None else str(notice.alarm),
        }


def _drain(stream: IO[bytes] | None, tail: bytearray) -> None:
    """Read all that it says and keep the end: a command must never wait for its reader."""
    if stream is None:
        return
    with stream, suppress(OSError):
        while data := os.read(stream.fileno(), 65_536):
            tail += data
            del tail[:-_TAIL]


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    text = lines[-1] if lines else ""
    # Programs like to tell what they were given; what looks like a secret of ours does not go on from here.
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET.search(name):
            text = text.replace(value, "…")
    return short(text)
