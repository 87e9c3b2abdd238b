"""The gateway's keeper: `python -m mlconsole_local.keeper --folder … -- ENVOY …` starts Envoy, and again when it died.

An Envoy that was started by another keeper, which was killed, is adopted and goes on serving. (It outlives its starter only because it
runs without hot restart; with it, it asks the kernel to die with the *thread* that started it.) The keeper also rotates Envoy's logs. On
SIGTERM it ends Envoy, and then itself.
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlconsole_local.processes import Process, identity, send, tail, wait_gone
from mlconsole_local.rotation import rotate
from mlconsole_local.state import ACCESS_LOG, ENVOY_LOG, ENVOY_RECORD, read_json, write_json

_TICK = 2.0
_ADOPTED_TICK = 0.5
_STEADY = 30.0
_LONGEST_WAIT = 10.0
_GRACE = 5.0
_STAMP = re.compile(r"^(\[[^\]]*\])+\s*(\[[^\]]*\]\s*)?")


@dataclass(frozen=True)
class EnvoyState:
    """The Envoy of a keeper: `started` is epoch seconds, `restarts` counts since the keeper began, `reason` says why it does not run."""

    process: Process | None
    restarts: int
    started: float
    reason: str = ""


def envoy_state(folder: Path) -> EnvoyState | None:
    """What the keeper last noted; None when there never was one."""
    record = read_json(folder / ENVOY_RECORD)
    if record is None:
        return None
    process = None
    if record.get("pid"):
        process = Process(int(record["pid"]), str(record["start"]), str(record["boot"]), "")
    return EnvoyState(process, int(record.get("restarts", 0)), float(record.get("started", 0.0)), str(record.get("reason", "")))


def complaint(log: Path) -> str:
    """What Envoy last said that was wrong, as one short sentence; empty when it said nothing. Foreign text."""
    said = [line for line in tail(log, 400) if any(word in line for word in ("[critical]", "[error]", "rejected", "failed"))]
    if not said:
        return ""
    before, _, cause = said[-1].rpartition(" | caused by ")
    if not before:
        cause = _STAMP.sub("", cause)
    return " ".join(cause.split())[:300].strip(": )")


class Keeper:
    """Keeps one Envoy."""

    def __init__(self, folder: Path, command: Sequence[str], socket: Path, log_bytes: int) -> None:
        """`log_bytes`: the size at which the access log is rotated; looked at every two seconds."""
        self._folder = folder
        self._command = list(command)
        self._socket = socket
        self._log_bytes = log_bytes
        self._ending = False
        self._child: subprocess.Popen[bytes] | None = None
        self._envoy: Process | None = None
        self._restarts = -1

    def run(self) -> None:
        """Until SIGTERM."""
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        waiting = selectors.DefaultSelector()
        waiting.register(wake, selectors.EVENT_READ)
        self._adopt()
        pause, next_start, began = 0.1, 0.0, time.monotonic()
        while not self._ending:
            now = time.monotonic()
            if self._envoy is None and now >= next_start:
                began = now
                self._start()
            elif self._envoy is not None and not self._runs():
                pause = 0.1 if now - began > _STEADY else min(_LONGEST_WAIT, pause * 2)
                next_start = now + pause
                self._note_end()
            self._rotate()
            idle = _TICK if self._child is not None else _ADOPTED_TICK
            waiting.select(idle if self._envoy is not None else max(0.0, min(_TICK, next_start - now)))
            with suppress(BlockingIOError):
                os.read(wake, 512)
        self._stop()

    def _end(self, *_: object) -> None:
        self._ending = True

    def _adopt(self) -> None:
        """An Envoy that outlived its keeper goes on serving: nobody's request is dropped because a keeper was killed."""
        state = envoy_state(self._folder)
        if state is not None and state.process is not None and state.process.alive:
            self._envoy, self._restarts = state.process, state.restarts

    def _runs(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._envoy is not None and self._envoy.alive

    def _start(self) -> None:
        self._restarts += 1
        with suppress(FileNotFoundError):
            self._socket.unlink()
        try:
            self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, cwd=self._folder)
        except OSError as error:
            self._note({"pid": None, "reason": f"it can't be started: {error.strerror}"})
            self._ending = True
            return
        start, boot = identity(self._child.pid) or ("", "")
        self._envoy = Process(self._child.pid, start, boot, "")
        self._note({"pid": self._child.pid, "start": start, "boot": boot, "started": time.time()})

    def _note_end(self) -> None:
        code = self._child.returncode if self._child is not None else None
        how = "ended" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        why = complaint(self._folder / ENVOY_LOG) if code != 0 else ""
        self._child = self._envoy = None
        print(f"envoy: {how} {why}", file=sys.stderr, flush=True)
        self._note({"pid": None, "reason": f"{how}: {why}" if why else how})

    def _note(self, record: dict[str, object]) -> None:
        try:
            write_json(self._folder / ENVOY_RECORD, {**record, "restarts": max(0, self._restarts)})
        except OSError as error:  # A full disk must not take the gateway down.
            print(f"{ENVOY_RECORD} can't be written: {error.strerror}", file=sys.stderr, flush=True)

    def _rotate(self) -> None:
        if self._envoy is None:
            return
        for name in (ACCESS_LOG, ENVOY_LOG):
            path = self._folder / name
            try:
                if path.stat().st_size >= self._log_bytes:
                    rotate(path)
                    # As the admin interface's /reopen_logs. Until then Envoy goes on writing to the renamed file, which readers follow.
                    send(self._envoy, signal.SIGUSR1)
            except FileNotFoundError:
                continue
            except OSError as error:
                print(f"{name} can't be rotated: {error.strerror}", file=sys.stderr, flush=True)

    def _stop(self) -> None:
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        elif self._envoy is not None:
            end_envoy(self._envoy)
        self._note({"pid": None, "reason": "ended as asked"})
        with suppress(OSError):
            self._socket.unlink()


def end_envoy(envoy: Process) -> None:
    """End an Envoy that is nobody's child any more."""
    if send(envoy, signal.SIGTERM) and not wait_gone(envoy, _GRACE):
        send(envoy, signal.SIGKILL)
        wait_gone(envoy, _GRACE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep an Envoy."""
    parser = argparse.ArgumentParser(prog="mlconsole_local.keeper", description=__doc__)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--socket", required=True, type=Path, help="Envoy's admin socket")
    parser.add_argument("--log-bytes", type=int, default=64 << 20, help="rotate the access log at this size")
    parser.add_argument("command", nargs="+", help="Envoy and its arguments, behind --")
    options = parser.parse_args(arguments)
    Keeper(options.folder, options.command, options.socket, options.log_bytes).run()


if __name__ == "__main__":
    main()
