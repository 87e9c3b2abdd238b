"""Recorded events as real traffic: `python -m mlconsole_local.replay --events FILE --url URL --endpoint NAME --rate 50 --status FILE`.

It sends the events in their order, over and over, at a steady rate whatever the answers are, as a consumer would: through the gateway,
over connections that stay open. It never tries again: what failed is counted as failed.

Events can be left out while it runs (`--filter FILE`, looked at each second): their places in time stay empty, so that the others go on at
their old rate.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlconsole_local.state import read_json, write_json

_WORKERS = 8
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Event:
    """A request to be sent: who it is of, its body, its headers."""

    identity: str
    body: bytes
    headers: Mapping[str, bytes]
    labels: Mapping[str, str] = field(default_factory=dict)
    """What it can be left out by: its slices, and its inputs by their names."""


@dataclass(frozen=True)
class Filter:
    """Which events are sent: those with one of `only` (any, when it is empty) and none of `without`; pairs of a label and its value."""

    without: tuple[tuple[str, str], ...] = ()
    only: tuple[tuple[str, str], ...] = ()

    def passes(self, event: Event) -> bool:
        """Whether it is sent."""
        has = event.labels.items()
        return not any(pair in has for pair in self.without) and (not self.only or any(pair in has for pair in self.only))

    @staticmethod
    def read(path: Path) -> Filter:
        """What that file says; nothing is left out where there is none."""
        found = read_json(path) or {}
        return Filter(*(tuple((str(key), str(value)) for key, value in found.get(name) or ()) for name in ("without", "only")))


@dataclass
class Counts:
    """What became of the requests. `late`: not sent, since all connections were waiting for answers."""

    sent: int = 0
    failed: int = 0
    late: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    last_error: str = ""


class Replay:
    """One replay."""

    def __init__(self, events: Sequence[Event], url: str, endpoint: str, rate: float, left_out: Path | None = None) -> None:
        """`rate` in requests per second; `url` is the gateway's; `left_out` is where a `Filter` may be written while it runs."""
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._path = f"/v2/models/{endpoint}/infer"
        self._events = events
        self._rate = rate
        self._left_out = left_out
        self._run = secrets.token_hex(4)
        self._queue: queue.Queue[tuple[str, Event] | None] = queue.Queue(maxsize=max(_WORKERS, int(rate)))
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._counts = Counts()

    def run(self, status: Path) -> None:
        """Until `end` is called; `status` is written each second."""
        workers = [threading.Thread(target=self._work, daemon=True) for _ in range(_WORKERS)]
        for worker in workers:
            worker.start()
        began, written, chosen = time.time(), 0.0, Filter()
        for number, due in self._schedule():
            if due - written >= 1.0 or not number:
                written = due
                chosen = Filter.read(self._left_out) if self._left_out is not None else chosen
                self._tell(status, "running", began)
            event = self._events[number % len(self._events)]
            if not chosen.passes(event):
                continue
            try:
                self._queue.put_nowait((f"replay-{self._run}-{number}-{event.identity}"[:128], event))
            except queue.Full:
                with self._lock:
                    self._counts.late += 1
        for _ in workers:
            with suppress(queue.Full):
                self._queue.put(None, timeout=1.0)
        for worker in workers:
            worker.join(2.0)
        self._tell(status, "ended", began)

    def end(self) -> None:
        """Send nothing more."""
        self._ending.set()

    def _schedule(self) -> Iterator[tuple[int, float]]:
        number, began = 0, time.monotonic()
        while True:
            due = began + number / self._rate
            if self._ending.wait(max(0.0, due - time.monotonic())):
                return
            yield number, due
            number += 1
            if time.monotonic() - due > 5.0:  # The machine slept: what was missed is not made up for in one burst.
                began = time.monotonic() - number / self._rate

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT)
        while (item := self._queue.get()) is not None:
            identity, event = item
            try:
                connection.request(
                    "POST", self._path, event.body, {**event.headers, "x-request-id": identity, "content-type": "application/json"}
                )
                response = connection.getresponse()
                answer = response.read()
                status = response.status
                self._count(str(status), "" if status == 200 else answer[:200].decode("utf-8", "replace"), failed=status != 200)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._count("no answer", f"{type(error).__name__}: {error}", failed=True)
        connection.close()

    def _count(self, status: str, error: str, *, failed: bool) -> None:
        with self._lock:
            self._counts.sent += 1
            self._counts.failed += failed
            self._counts.by_status[status] = self._counts.by_status.get(status, 0) + 1
            self._counts.last_error = error or self._counts.last_error

    def _tell(self, path: Path, state: str, began: float) -> None:
        with self._lock:
            counts = self._counts
            body: dict[str, Any] = {
                "schema": 1,
                "state": state,
                "pid": os.getpid(),
                "began": began,
                "time": time.time(),
                "rate": self._rate,
                "sent": counts.sent,
                "failed": counts.failed,
                "late": counts.late,
                "by_status": dict(counts.by_status),
                "last_error": counts.last_error,
            }
        try:
            write_json(path, body)
        except OSError as error:
            print(f"{path.name} can't be written: {error.strerror}", file=sys.stderr, flush=True)


def read_events(path: Path, slices: Mapping[str, str]) -> list[Event]:
    """The events of a file of JSON lines (`{"id", "inputs", "label"}`); `slices`: key → the input that it is read from.

    Raises:
        ValueError: not of the format; the text names the line.
    """
    events = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                inputs = [_input(name, value) for name, value in record["inputs"].items() if value is not None]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number}: an event with id and inputs is wanted") from error
            headers = {f"x-slice-{key}": str(record["inputs"][name]).encode() for key, name in slices.items() if record["inputs"].get(name)}
            headers = {key: value for key, value in headers.items() if value.isascii() and b"\n" not in value and b"\r" not in value}
            labels = {name: str(value) for name, value in record["inputs"].items() if value is not None}
            labels |= {key: labels[name] for key, name in slices.items() if name in labels}
            body = json.dumps({"inputs": inputs}, ensure_ascii=False).encode()
            events.append(Event(str(record.get("id", number)), body, headers, labels))
    if not events:
        raise ValueError(f"{path} has no events")
    return events


def _input(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        datatype = "BOOL"
    elif isinstance(value, str):
        datatype = "BYTES"
    elif isinstance(value, int):
        datatype = "INT64"
    elif isinstance(value, float):
        datatype = "FP64"
    else:
        raise TypeError(f"{name} is neither text nor number")
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay until SIGTERM."""
    parser = argparse.ArgumentParser(prog="mlconsole_local.replay", description=__doc__)
    parser.add_argument("--events", required=True, type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--rate", required=True, type=float, help="requests per second")
    parser.add_argument("--slices", default="", help="KEY=INPUT, several with commas")
    parser.add_argument("--filter", type=Path, default=None, help="a file that says which events are left out")
    parser.add_argument("--status", required=True, type=Path)
    options = parser.parse_args(arguments)
    pairs = [pair.partition("=") for pair in options.slices.split(",") if pair]
    try:
        events = read_events(options.events, {key: name for key, _, name in pairs})
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(2)
    replay = Replay(events, options.url, options.endpoint, options.rate, options.filter)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: replay.end())
    replay.run(options.status)


if __name__ == "__main__":
    main()
