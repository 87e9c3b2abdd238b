"""Replays as processes: started, found again, told, and stopped; one for each endpoint."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlconsole.plugin.errors import InvalidRequest
from mlconsole_local import processes
from mlconsole_local.replay import Filter
from mlconsole_local.state import Layout, private, read_json, write_json, write_text

_SPEC, _STATUS, _LOG, _FILTER, _OFF = "spec.json", "status.json", "replay.log", "filter.json", "off"


@dataclass(frozen=True)
class ReplayStatus:
    """How a replay is: counts since it began, its rate in requests per second. `time`: when it last said so, epoch seconds."""

    endpoint: str
    pid: int | None
    rate: float = 0.0
    sent: int = 0
    failed: int = 0
    late: int = 0
    by_status: Mapping[str, int] = field(default_factory=dict)
    last_error: str = ""
    time: float = 0.0
    reason: str = ""
    """Why it does not run (foreign text)."""
    left_out: Filter = field(default_factory=Filter)


@dataclass(frozen=True)
class Source:
    """What a replay sends, how fast (requests per second), and the slices (key → the input that it is read from) that it declares."""

    events: Path
    rate: float
    slices: Mapping[str, str]


class Replays:
    """The replays under one root. What changes something is called holding `state.locked(root)`."""

    def __init__(self, root: Path) -> None:
        """`root` is the environment's state folder."""
        self._layout = Layout(root)

    def ensure(
        self, endpoint: str, events: Path, url: str, *, rate: float, slices: Mapping[str, str], left_out: Filter | None = None
    ) -> ReplayStatus:
        """`start`, unless exactly that runs already. What is left out changes while it runs: nothing else stops for that."""
        folder = self._layout.replay_of(endpoint)
        running = self.status(endpoint)
        if running is None or running.pid is None or read_json(folder / _SPEC) != _spec(events, url, rate, slices):
            return self.start(endpoint, events, url, rate=rate, slices=slices, left_out=left_out)
        self._leave_out(folder, left_out or Filter())
        return self.status(endpoint) or running

    def again(self, url: str) -> Sequence[ReplayStatus]:
        """Let those run again that nobody switched off: a crash or `local down` ended them."""
        back = []
        for status in self.list():
            folder, source = self._layout.replay_of(status.endpoint), self.source(status.endpoint)
            if status.pid is None and source is not None and source.events.is_file() and not (folder / _OFF).exists():
                left_out = status.left_out
                back.append(self.start(status.endpoint, source.events, url, rate=source.rate, slices=source.slices, left_out=left_out))
        return back

    def source(self, endpoint: str) -> Source | None:
        """What the endpoint's replay sends, or sent when it ran last; None when there never was one."""
        record = read_json(self._layout.replay_of(endpoint) / _SPEC)
        return Source(Path(record["events"]), float(record["rate"]), dict(record["slices"])) if record else None

    def start(
        self,
        endpoint: str,
        events: Path,
        url: str,
        *,
        rate: float,
        slices: Mapping[str, str] | None = None,
        left_out: Filter | None = None,
    ) -> ReplayStatus:
        """Send the events of a file to the endpoint at `rate` requests per second until stopped; one that runs already is ended first.

        Raises:
            InvalidRequest: no such file, or no sensible rate.
            Refused: it can't be started.
        """
        if not events.is_file():
            raise InvalidRequest(f"There are no events at {events}.")
        if not 0 < rate <= 1000:
            raise InvalidRequest(f"{rate:g} requests per second can't be sent: more than 0 and at most 1000 are wanted.")
        folder = private(self._layout.replay_of(endpoint))
        self.stop(endpoint)
        for name in (_STATUS, _OFF):
            (folder / name).unlink(missing_ok=True)
        self._leave_out(folder, left_out or Filter())
        write_json(folder / _SPEC, _spec(events, url, rate, slices or {}))
        arguments = [
            sys.executable,
            "-P",
            "-m",
            "mlconsole_local.replay",
            "--events",
            str(events.resolve()),
            "--url",
            url,
            "--endpoint",
            endpoint,
        ]
        arguments += ["--rate", str(rate), "--status", str(folder / _STATUS), "--filter", str(folder / _FILTER)]
        arguments += ["--slices", ",".join(f"{key}={name}" for key, name in (slices or {}).items())]
        processes.start(folder, arguments, folder / _LOG)
        return self.status(endpoint) or ReplayStatus(endpoint, None)

    def status(self, endpoint: str) -> ReplayStatus | None:
        """How the endpoint's replay is, or was when it ended; None when there never was one."""
        folder = self._layout.replay_of(endpoint)
        process = processes.find(folder)
        record = read_json(folder / _STATUS) or {}
        if process is None and not record and processes.ended(folder) is None:
            return None
        return ReplayStatus(
            endpoint,
            process.pid if process else None,
            float(record.get("rate") or (read_json(folder / _SPEC) or {}).get("rate", 0.0)),
            int(record.get("sent", 0)),
            int(record.get("failed", 0)),
            int(record.get("late", 0)),
            dict(record.get("by_status") or {}),
            str(record.get("last_error", "")),
            float(record.get("time", 0.0)),
            "" if process else processes.last_line(folder / _LOG),
            Filter.read(folder / _FILTER),
        )

    def list(self) -> tuple[ReplayStatus, ...]:
        """All replays, running or ended, by endpoint."""
        found = [self.status(folder.name) for folder in sorted(self._layout.replay.glob("*")) if folder.is_dir()]
        return tuple(status for status in found if status is not None)

    def stop(self, endpoint: str, *, off: bool = False) -> bool:
        """End the endpoint's replay; whether it ran. Switched `off`, it stays so until it is started again by name."""
        folder = self._layout.replay_of(endpoint)
        if off and folder.is_dir():
            write_text(folder / _OFF, "")
        return processes.stop(folder, grace=5.0) is not None

    def _leave_out(self, folder: Path, left_out: Filter) -> None:
        if Filter.read(folder / _FILTER) != left_out:
            write_json(folder / _FILTER, {"without": left_out.without, "only": left_out.only})


def _spec(events: Path, url: str, rate: float, slices: Mapping[str, str]) -> dict[str, Any]:
    return {"events": str(events.resolve()), "url": url, "rate": rate, "slices": dict(slices)}
