"""The two commands of Redis that a model server needs, spoken plainly: no client library in each server's memory."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from mlconsole_local.state import LOOPBACK


class RedisError(Exception):
    """Redis did not answer, or answered with an error."""


class Redis:
    """One connection, opened when first needed and again after a failure. Not for several threads at once."""

    def __init__(self, host: str, port: int, *, seconds: float = 1.0) -> None:
        """`seconds` is how long each answer may take."""
        self._address = (host or LOOPBACK, port)
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._buffer = b""

    def call(self, *arguments: bytes) -> bytes | int | list[bytes | None] | None:
        """One command and its reply.

        Raises:
            RedisError: no answer in time, or an error as the answer.
        """
        return self.pipeline([arguments])[0]

    def pipeline(self, commands: Sequence[Sequence[bytes]]) -> list[bytes | int | list[bytes | None] | None]:
        """Several commands in one go, and their replies in order.

        Raises:
            RedisError: no answer in time, or an error as one of the answers.
        """
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, self._seconds)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(b"".join(_encoded(command) for command in commands))
            return [self._reply() for _ in commands]
        except (OSError, ValueError) as error:
            self.close()
            raise RedisError(f"{self._address[0]}:{self._address[1]} does not answer ({error or type(error).__name__})") from error
        except RedisError:
            self.close()  # Replies of later commands may still come: this connection can't be trusted to be in step.
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count + 2:
            self._more()
        value, self._buffer = self._buffer[:count], self._buffer[count + 2 :]
        return value

    def _more(self) -> None:
        assert self._socket is not None
        received = self._socket.recv(1 << 16)
        if not received:
            raise ConnectionResetError("connection closed")
        self._buffer += received

    def _reply(self) -> bytes | int | list[bytes | None] | None:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest))
        if kind == b"*":
            values: list[bytes | None] = []
            for _ in range(max(0, int(rest))):
                value = self._reply()
                if not isinstance(value, (bytes, type(None))):
                    raise RedisError("an answer of an unexpected shape")
                values.append(value)
            return values
        raise RedisError(rest.decode("utf-8", errors="replace")[:200])


def _encoded(arguments: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%s\r\n" % (len(argument), argument) for argument in arguments)
