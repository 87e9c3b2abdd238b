"""One HTTP request for probes and notifiers: one deadline for all of it, a bound on what is read, and no redirect followed.

`http.client` and not `urllib`: that follows redirects, opens `file:` as well, and takes as long as the server drips.
"""

from __future__ import annotations

import base64
import http.client
import io
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

from mlconsole.plugin.wire import Deadline, Unanswered, Unasked, connect, encrypted, short, told


@dataclass(frozen=True)
class Reply:
    """What came back. All of it is foreign."""

    status: int
    headers: Mapping[str, str]
    """Their names in lower case."""
    body: bytes
    whole: bool
    """False: there was more than was wanted, and it was left."""


def ask(
    method: str,
    url: str,
    deadline: Deadline,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    most: int = 1_000_000,
    proxies: bool = False,
) -> Reply:
    """Send one request and read its answer, at most `most` bytes of it; a redirect is an answer like any other. No error repeats the URL.

    With `proxies` it goes through the one that HTTPS_PROXY names, NO_PROXY excepted, where the URL is https.

    Raises:
        Unasked: the URL or a header is none, or nobody knows the host.
        Unanswered: no answer in time, or none that is HTTP.
    """
    parts = split(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    # Asked for by path only, as in origin form; what stands behind # never leaves here.
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    proxy = _proxy(host) if proxies and parts.scheme == "https" else None
    connection = _Connection(host, port, deadline, tls=parts.scheme == "https", proxy=proxy)
    try:
        connection.request(method, target, body, {"user-agent": "mlconsole", "accept": "*/*", "connection": "close", **(headers or {})})
        response = connection.getresponse()
        content = b"" if method == "HEAD" else response.read(most + 1)
        if response.length and len(content) <= most:
            raise http.client.IncompleteRead(b"")
        found = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, found, content[:most], len(content) <= most)
    except (http.client.InvalidURL, UnicodeError, ValueError):
        # Python's own words would repeat what was sent, and that may be a secret.
        raise Unasked("the URL or a header holds characters that can't be sent") from None
    except http.client.IncompleteRead:
        raise Unanswered("the answer was cut off") from None
    except http.client.RemoteDisconnected:
        raise Unanswered("connection closed without an answer") from None
    except http.client.HTTPException as error:
        raise Unanswered(f"what it answers is no HTTP ({type(error).__name__})") from None
    except OSError as error:
        raise Unanswered(told(error, deadline)) from None
    finally:
        connection.end()


def split(url: str) -> SplitResult:
    """The parts of an http or https URL.

    Raises:
        Unasked: it is none, or holds a user or a password.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise Unasked("the URL is none: http://HOST/PATH or https://HOST/PATH is wanted") from None
    if not good:
        raise Unasked("the URL is none: http://HOST/PATH or https://HOST/PATH is wanted")
    if "@" in parts.netloc:
        raise Unasked("the URL holds a user or a password: send them as a header, from an environment variable")
    return parts


def variable(name: str) -> str:
    """What an environment variable holds.

    Raises:
        Unasked: it is not set, or empty.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise Unasked(f"the environment variable {name} is not set")
    return value


class _Timed(io.RawIOBase):
    """Reads from a socket until the deadline, however small the pieces are that come."""

    def __init__(self, under: socket.socket, deadline: Deadline) -> None:
        self._socket = under
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv_into(buffer)


class _Wire:
    """What `http.client` needs of a socket."""

    def __init__(self, under: socket.socket, deadline: Deadline) -> None:
        self._socket = under
        self._deadline = deadline

    def sendall(self, data: Any) -> None:
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> BinaryIO:
        return io.BufferedReader(_Timed(self._socket, self._deadline))

    def close(self) -> None:
        """`http.client` lets go of the socket while the answer is still to be read: `_Connection.end` closes it."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, port: int, deadline: Deadline, *, tls: bool, proxy: SplitResult | None) -> None:
        super().__init__(host, port)
        self.default_port = 443 if tls else 80
        self._deadline = deadline
        self._tls = tls
        self._proxy = proxy
        self._under: socket.socket | None = None

    def connect(self) -> None:
        proxy = self._proxy
        host, port = (self.host, self.port) if proxy is None else (proxy.hostname or "", proxy.port or 3128)
        self._under = connect(host, port, self._deadline)
        if proxy is not None:
            _tunnel(self._under, proxy, f"{self.host}:{self.port}", self._deadline)
        if self._tls:
            self._under = encrypted(self._under, self.host, self._deadline)
        self.sock = _Wire(self._under, self._deadline)

    def end(self) -> None:
        self.close()
        if self._under is not None:
            self._under.close()


def _proxy(host: str) -> SplitResult | None:
    """The proxy through which that host is reached over https, as the usual environment variables say it."""
    from urllib.request import getproxies_environment, proxy_bypass

    url = getproxies_environment().get("https")
    if not url or proxy_bypass(host):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise Unasked("HTTPS_PROXY names no proxy: http://HOST:PORT is wanted")
    return parts


def _tunnel(under: socket.socket, proxy: SplitResult, target: str, deadline: Deadline) -> None:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    under.settimeout(deadline.left())
    under.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    answer = b""
    # Byte by byte: what follows belongs to TLS.
    while not answer.endswith(b"\r\n\r\n"):
        under.settimeout(deadline.left())
        piece = under.recv(1)
        if not piece or len(answer) > 16_384:
            raise Unanswered("the proxy does not open a way there")
        answer += piece
    status = answer.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or status[1] != b"200":
        raise Unanswered(f"the proxy does not open a way there ({short(answer[:60].decode('latin-1'), 40)})")
