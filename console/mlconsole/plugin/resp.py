"""Redis' protocol, spoken plainly, for probes and model servers: no client library in each server's memory."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from mlconsole.plugin.wire import Deadline, Unanswered, Unasked, connect, encrypted, told

_MOST = 1 << 29
"""Bytes: Redis' own bound for one value."""

_LINE = 1 << 16
_DEPTH = 8


class RedisError(Exception):
    """Redis did not answer, or answered with an error. What it said itself is foreign text."""


class RedisRefusal(RedisError):
    """Redis answered with an error, which begins with its code: `NOAUTH Authentication required.`"""


class Redis:
    """One connection, opened when first needed and again after a failure. Not for several threads at once."""

    def __init__(
        self, host: str, port: int, *, seconds: float = 1.0, deadline: Deadline | None = None, most: int = _MOST, tls: bool = False
    ) -> None:
        """`seconds` is how long each piece of an answer may take, `deadline` when all has to be over, `most` the bytes of one answer."""
        self._address = (host or "127.0.0.1", port)
        self._seconds = seconds
        self._deadline = deadline
        self._most = most
        self._tls = tls
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._room = most

    def call(self, *arguments: bytes) -> Any:
        """One command and its reply: bytes, a number, None, or a list of those.

        Raises:
            RedisError: no answer in time, or an error as the answer.
        """
        return self.pipeline([arguments])[0]

    def pipeline(self, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        """Several commands in one go, and their replies in order.

        Raises:
            RedisError: no answer in time, or an error as one of the answers.
        """
        try:
            if self._socket is None:
                self.open()
            self._ready().sendall(b"".join(_encoded(command) for command in commands))
            return [self._next() for _ in commands]
        except (Unasked, Unanswered) as error:
            raise RedisError(str(error)) from error
        except (OSError, ValueError) as error:
            self.close()
            raise RedisError(f"{self._address[0]}:{self._address[1]} does not answer ({self._told(error)})") from error
        except RedisError:
            self.close()  # Replies of later commands may still come: this connection can't be trusted to be in step.
            raise

    def open(self) -> None:
        """Connect, if that was not done yet: what is asked for connects by itself, too, and can't tell so well what is in the way.

        Raises:
            Unasked: nobody knows the host.
            Unanswered: nobody takes the connection.
        """
        if self._socket is None:
            deadline = self._deadline or Deadline.after(self._seconds)
            made = connect(*self._address, deadline)
            self._socket = encrypted(made, self._address[0], deadline) if self._tls else made

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, bytearray()

    def _told(self, error: Exception) -> str:
        return told(error, self._deadline or Deadline.after(self._seconds))

    def _ready(self) -> socket.socket:
        """The socket, which waits no longer than it may."""
        assert self._socket is not None
        self._socket.settimeout(self._seconds if self._deadline is None else min(self._seconds, self._deadline.left()))
        return self._socket

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LINE:
                raise ValueError("a line without an end")
            self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _exactly(self, count: int) -> bytes:
        if not 0 <= count <= self._room:
            raise ValueError("a larger answer than is wanted")
        self._room -= count
        while len(self._buffer) < count + 2:
            self._more()
        value = bytes(self._buffer[:count])
        del self._buffer[: count + 2]
        return value

    def _more(self) -> None:
        received = self._ready().recv(1 << 16)
        if not received:
            raise ConnectionResetError
        self._buffer += received

    def _next(self) -> Any:
        self._room = self._most
        return self._reply(_DEPTH)

    def _reply(self, depth: int) -> Any:
        line = self._line()
        self._room -= len(line)
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest))
        if kind == b"*":
            count = int(rest)
            if depth == 0 or count > self._room:
                raise ValueError("a larger answer than is wanted")
            return None if count < 0 else [self._reply(depth - 1) for _ in range(count)]
        if kind == b"-":
            raise RedisRefusal(rest.decode("utf-8", errors="replace")[:1000])
        raise ValueError("what it answers is not Redis' protocol")


def _encoded(arguments: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%s\r\n" % (len(argument), argument) for argument in arguments)
