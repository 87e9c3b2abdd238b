"""Requests as bytes: what a consumer sends, and what it reads of the answer."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.house import SLICES

from mlconsole_local.replay import read_events

HOST = "127.0.0.1"
VARIANT, RELEASE = "x-mlconsole-variant", "x-mlconsole-release"


@dataclass(frozen=True)
class Head:
    """The head of an answer."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return int(self.headers.get("content-length", "0"))

    @property
    def closes(self) -> bool:
        """Whether the server ends the connection after this answer."""
        return self.headers.get("connection", "").lower() == "close"


def requests(events: Path, endpoint: str, extra: Mapping[str, str] | None = None) -> list[bytes]:
    """The recorded events as requests."""
    made = []
    for event in read_events(events, SLICES):
        lines = [f"POST /v2/models/{endpoint}/infer HTTP/1.1", f"host: {HOST}", "content-type: application/json"]
        lines += [f"content-length: {len(event.body)}", *(f"{name}: {value}" for name, value in (extra or {}).items())]
        head = "".join(f"{line}\r\n" for line in lines).encode()
        head += b"".join(name.encode() + b": " + value + b"\r\n" for name, value in event.headers.items())
        made.append(head + b"\r\n" + event.body)
    return made


def head(raw: bytes) -> Head:
    """The head of an answer, of its bytes up to the empty line."""
    first, *rest = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest if line)
    return Head(int(first.split(" ", 2)[1]), {name.strip().lower(): value.strip() for name, _, value in pairs})


class Connection:
    """One connection that stays open, asked and waited for in turn."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=30.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = self._socket.makefile("rb", buffering=1 << 16)

    def ask(self, request: bytes) -> Head:
        """Send one request and read its whole answer."""
        self._socket.sendall(request)
        lines = []
        while (line := self._read.readline()) not in (b"\r\n", b""):
            lines.append(line)
        if not lines:
            raise ConnectionError("the connection was closed instead of an answer")
        found = head(b"".join(lines))
        self._read.read(found.length)
        return found

    def close(self) -> None:
        """Hang up."""
        self._read.close()
        self._socket.close()
