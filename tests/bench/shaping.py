"""A slow line on loopback: a TCP proxy that passes on so many bytes a second, so late, in each direction, and counts them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 512
"""Bytes that are passed on at once: on a slow line nothing arrives all of a sudden."""

_QUEUE = 16 * 1024
"""Bytes that wait inside; then whoever sends has to wait, as for a modem's buffer."""


@dataclass
class Line:
    """A line and what went over it: `up` from the client, `down` to it."""

    bits: float
    delay: float
    """Seconds in one direction."""
    port: int = 0
    bytes: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})


@contextmanager
def shaped(to: int, *, bits: float = 64_000, round_trip: float = 0.3) -> Iterator[Line]:
    """A line to a port of this machine, from entering to leaving, in a thread of its own."""
    line = Line(bits, round_trip / 2)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        async def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            further, back = await asyncio.open_connection("127.0.0.1", to)
            with suppress(asyncio.CancelledError):
                await asyncio.gather(_pass_on(line, "up", reader, back), _pass_on(line, "down", further, writer))

        server = await asyncio.start_server(called, "127.0.0.1", 0, limit=_PIECE)
        line.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stop.wait()
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield line
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def _pass_on(line: Line, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUE // _PIECE)

    async def take() -> None:
        free = 0.0  # when the line has sent what it was given so far
        while data := await reader.read(_PIECE):
            line.bytes[way] += len(data)
            free = max(free, time.monotonic()) + len(data) * 8 / line.bits
            await queue.put((free + line.delay, data))
        await queue.put((0.0, b""))

    taking = asyncio.create_task(take())
    with suppress(ConnectionError):
        while (item := await queue.get())[1]:
            await asyncio.sleep(max(0.0, item[0] - time.monotonic()))
            writer.write(item[1])
            await writer.drain()
    taking.cancel()
    with suppress(ConnectionError):
        writer.close()
