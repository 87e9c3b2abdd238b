"""Real servers for probes: sockets that do as they are told, and a real Redis."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlconsole.core.clock import SystemClock
from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.resp import Redis, RedisError, RedisRefusal
from mlconsole.plugin.validation import Located, Sort, validate
from mlconsole_local.services import redis_binary

Handler = Callable[[socket.socket, threading.Event], None]


def located(value: Any, path: str = "") -> Located:
    """A plain value as a file would give it."""
    if isinstance(value, Mapping):
        return Located(Sort.MAP, {name: located(one, f"{path}.{name}" if path else name) for name, one in value.items()}, 1, 1, path)
    if isinstance(value, (list, tuple)):
        return Located(Sort.LIST, tuple(located(one, path) for one in value), 1, 1, path)
    sort = Sort.FLAG if isinstance(value, bool) else Sort.NUMBER if isinstance(value, (int, float)) else Sort.TEXT
    return Located(sort, value, 1, 1, path, str(value))


def made(plugin: Plugin, root: Path | None = None, **options: Any) -> Any:
    """What a plugin of ours makes of these options, which it has validated."""
    values = validate(plugin.options, located(options), "test")
    (factory,) = plugin.factories.values()
    folder = root or Path("/")
    return factory(Context("staging", folder, folder / "state", values, SystemClock()))


@contextmanager
def serving(handler: Handler) -> Iterator[int]:
    """A socket on loopback that gives each connection to `handler`, with an event that is set at the end; its port."""
    ending = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def each(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handler(connection, ending)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                thread = threading.Thread(target=each, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        ending.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(10)


def answering(answer: bytes) -> Handler:
    """Read something, then answer this and close."""

    def handle(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    return handle


def hanging(connection: socket.socket, ending: threading.Event) -> None:
    """Take the connection, and never answer."""
    ending.wait(60)


def dripping(begin: bytes) -> Handler:
    """Answer `begin`, then a byte every 20 ms for ever."""

    def handle(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(begin)
        while not ending.wait(0.02):
            connection.sendall(b"x")

    return handle


def flooding(begin: bytes) -> Handler:
    """Answer `begin`, then as much as is taken for ever."""

    def handle(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(begin)
        while not ending.is_set():
            connection.sendall(b"x" * 65_536)

    return handle


def certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of one's own for `localhost`, and what a server needs to show it."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


def secure(context: ssl.SSLContext, handler: Handler) -> Handler:
    """The same over TLS."""

    def handle(connection: socket.socket, ending: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            handler(wrapped, ending)

    return handle


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def redis_server(folder: Path, *arguments: str) -> Iterator[int]:
    """A real Redis; its port."""
    port = free_port()
    command = [str(redis_binary()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None, "Redis does not start"
            assert time.monotonic() < deadline, "Redis does not answer"
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    client = Redis("127.0.0.1", port)
    try:
        client.call(b"PING")
    except RedisRefusal:
        return True  # It wants a password: it is there.
    except RedisError:
        return False
    finally:
        client.close()
    return True
