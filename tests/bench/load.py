"""Consumers in a process of their own: so many connections that ask at a given rate, never try again, and note each answer."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench import wire
from tests.bench.house import ENDPOINT, ROOT, House, variables

_TIMEOUT = 30.0
_LONGEST = 900.0
_HANG_UP = 97
"""After so many answers whoever got the last one hangs up and calls again: consumers come and go."""


@dataclass(frozen=True)
class Answer:
    """What became of one request; `sent` is epoch seconds, `status` 0: no answer, and `error` says why."""

    sent: float
    milliseconds: float
    status: int
    variant: str
    release: str
    error: str = ""

    @property
    def done(self) -> float:
        """When it was answered, epoch seconds."""
        return self.sent + self.milliseconds / 1000

    @property
    def failed(self) -> bool:
        """Whether a consumer got no prediction."""
        return self.status != 200


class Load:
    """Consumers of one house, from entering to `stop` (or until `count` requests are answered)."""

    def __init__(self, house: House, *, connections: int = 8, rate: float = 0.0, count: int = 0) -> None:
        """`rate` in requests a second, 0: as fast as the connections can. `count` 0: until stopped."""
        self._house = house
        self._options = ["--connections", str(connections), "--rate", str(rate), "--count", str(count)]
        self._process: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Load:
        self._file = tempfile.NamedTemporaryFile(prefix="mlconsole-bench-load-")
        command = [sys.executable, "-m", "tests.bench.load", "--port", str(self._house.port), "--events", str(self._house.events)]
        command += ["--out", self._file.name, *self._options]
        self._process = subprocess.Popen(command, cwd=ROOT, env=variables(), stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"asking\n", "the load generator did not begin"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._file is not None:
            self._file.close()

    def stop(self) -> list[Answer]:
        """No more requests; every answer in the order of sending."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> list[Answer]:
        """Every answer, once all are there."""
        assert self._process is not None
        assert self._file is not None
        code = self._process.wait(_LONGEST)
        assert code == 0, f"the load generator ended with {code}"
        with Path(self._file.name).open(encoding="utf-8") as file:
            return [Answer(*row) for row in json.load(file)]


def failures(answers: Iterable[Answer]) -> list[str]:
    """Each failed request, in one line."""
    return [f"{answer.sent:.3f}: {answer.status or 'no answer'} {answer.error} {answer.variant}" for answer in answers if answer.failed]


def by_variant(answers: Iterable[Answer]) -> Counter[str]:
    """Who answered how many."""
    return Counter(answer.variant for answer in answers if not answer.failed)


class _Consumers:
    def __init__(self, port: int, requests: Sequence[bytes], rate: float, count: int) -> None:
        self._port, self._requests, self._rate, self._count = port, requests, rate, count
        self._taken = 0
        self._began = 0.0
        self._ending = False
        self.rows: list[tuple[float, float, int, str, str, str]] = []

    async def run(self, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        self._began = time.perf_counter()
        await asyncio.gather(*(self._consume() for _ in range(connections)))

    def _end(self) -> None:
        self._ending = True

    async def _consume(self) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while (number := self._next()) is not None:
            if self._rate and (ahead := self._began + number / self._rate - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
                if self._ending:
                    break
            sent, began = time.time(), time.perf_counter()
            found, error = wire.Head(0, {}), ""
            try:
                if connection is None:
                    connection = await asyncio.wait_for(asyncio.open_connection(wire.HOST, self._port), _TIMEOUT)
                found = await asyncio.wait_for(_ask(*connection, self._requests[number % len(self._requests)]), _TIMEOUT)
            except (OSError, ValueError, EOFError, TimeoutError) as problem:
                error = f"{type(problem).__name__}: {problem}"
            milliseconds = (time.perf_counter() - began) * 1000
            headers = found.headers
            self.rows.append((sent, milliseconds, found.status, headers.get(wire.VARIANT, ""), headers.get(wire.RELEASE, ""), error))
            if len(self.rows) == 1:
                print("asking", flush=True)
            if connection is not None and (error or found.closes or len(self.rows) % _HANG_UP == 0):
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    def _next(self) -> int | None:
        over = time.perf_counter() - self._began > _LONGEST
        if self._ending or over or (self._count and self._taken >= self._count):
            return None
        self._taken += 1
        return self._taken - 1


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> wire.Head:
    writer.write(request)
    found = wire.head(await reader.readuntil(b"\r\n\r\n"))
    await reader.readexactly(found.length)
    return found


def main() -> None:
    """Ask until SIGTERM, or `--count` times."""
    parser = argparse.ArgumentParser(prog="tests.bench.load", description=__doc__)
    for name, kind in (("port", int), ("events", Path), ("out", Path), ("connections", int), ("rate", float), ("count", int)):
        parser.add_argument(f"--{name}", required=True, type=kind)
    options = parser.parse_args()
    consumers = _Consumers(options.port, wire.requests(options.events, ENDPOINT), options.rate, options.count)
    asyncio.run(consumers.run(options.connections))
    options.out.write_text(json.dumps(sorted(consumers.rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
