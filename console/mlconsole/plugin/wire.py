"""Connections for probes and notifiers: to an address, within a deadline that holds for all of it, names and slow drips included."""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlconsole.core.text import neutralise

if TYPE_CHECKING:
    import ssl


class Unasked(Exception):
    """It could not even be asked: an address that is none, a name that nobody knows. The text is harmless."""


class Unanswered(Exception):
    """Nobody answered in time, or with something that can't be understood. The text is harmless."""


@dataclass(frozen=True)
class Deadline:
    """A moment by which everything has to be over."""

    at: float
    """`time.monotonic`, s."""
    seconds: float
    """How long it was at first."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def short(text: str, most: int = 120) -> str:
    """Foreign text as a sentence may hold it: in one line, harmless, cut."""
    line = " ".join(text[: 4 * most].split())
    return neutralise(line if len(line) <= most else f"{line[:most]}…")


def parse_address(text: str, port: int | None = None) -> tuple[str, int]:
    """`host:port`, `[::1]:port`; without a port, `port`.

    Raises:
        Unasked: it is no address, or an `@service` that nobody could resolve.
    """
    if text.startswith("@"):
        raise Unasked(f'there is no service "{short(text[1:])}" here')
    host, colon, digits = text.rpartition(":")
    if not colon or "]" in digits or (":" in host and not host.startswith("[")):
        # No port at all: a bare name, or a bare IPv6 address.
        host, digits = text, "" if port is None else str(port)
    if not digits.isascii() or not digits.isdecimal() or not 0 < int(digits[:6]) < 65_536:
        raise Unasked(f'"{short(text)}" is no address: HOST:PORT is wanted')
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or any(char in host for char in "/@[] \0"):
        raise Unasked(f'"{short(text)}" is no address: HOST:PORT is wanted')
    return host, int(digits)


def connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    """A connection to the first address of that name which takes one.

    Raises:
        Unasked: nobody knows the name.
        Unanswered: nobody takes the connection in time.
    """
    where = f"{short(host)}:{port}"
    reason = "no address"
    addresses = _addresses(host, port, deadline)
    for place, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            # An address that swallows everything leaves some of the time to the ones after it.
            seconds = deadline.left() / (len(addresses) - place)
            made = socket.socket(family, kind, protocol)
        except TimeoutError:
            break
        try:
            made.settimeout(seconds)
            made.connect(address)
            with suppress(OSError):
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        except OSError as error:
            made.close()
            reason = told(error, deadline)
    raise Unanswered(f"{where} takes no connection ({reason})")


def encrypted(plain: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
    """TLS over a connection, the server's certificate checked against `host`.

    Raises:
        Unanswered: the server speaks none, or shows a certificate that is not good.
    """
    import ssl

    try:
        plain.settimeout(deadline.left())
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise Unanswered(f"its certificate is not good ({short(error.verify_message)})") from None
    except (OSError, ValueError) as error:
        plain.close()
        raise Unanswered(f"no TLS ({told(error, deadline)})") from None


def told(error: BaseException, deadline: Deadline) -> str:
    """Why a connection failed, in harmless words."""
    if isinstance(error, TimeoutError):
        return f"no answer within {deadline.seconds:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "connection closed"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return short(reason) or type(error).__name__


def _addresses(host: str, port: int, deadline: Deadline) -> list[Any]:
    with suppress(OSError, UnicodeError):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    # A resolver knows no deadline: it is left behind when it takes too long.
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=ask, daemon=True, name="resolving").start()
    try:
        answer = found.get(timeout=deadline.left())
    except (queue.Empty, TimeoutError):
        raise Unasked(f"nobody says within {deadline.seconds:g} s where {short(host)} is") from None
    if isinstance(answer, Exception):
        raise Unasked(f"the name {short(host)} is not known ({told(answer, deadline)})") from None
    addresses: list[Any] = answer
    return addresses
