"""What the tests of the local plugin share: tiny models, waiting for conditions, asking over HTTP, load that counts what was dropped."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mlconsole_local.artifact import load
from mlconsole_local.gateway import Gateway
from mlconsole_local.routing import EndpointRouting
from mlconsole_local.state import locked
from mlconsole_local.variants import Server, Spec, Variants

DATA = Path(__file__).parent / "data"
T = TypeVar("T")
NUMBER = {"x": 2.0}


def until(condition: Callable[[], T], seconds: float = 10.0) -> T:
    """Wait for a condition and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.005)
    return value


def spec(variant: str, artifact: str = "double.onnx", **more: Any) -> Spec:
    """A variant of the endpoint `rel`."""
    path = DATA / artifact
    return Spec("rel", variant, "relevance", variant.removeprefix("v"), str(path), load(path).digest, **more)


def body(inputs: Mapping[str, Any]) -> bytes:
    """One row as the protocol wants it."""
    rows = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP32", "data": [value]}
        for name, value in inputs.items()
    ]
    return json.dumps({"inputs": rows}).encode()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def who(self) -> str | None:
        return self.headers.get("x-mlconsole-variant")


class Client:
    """A keep-alive connection to a loopback port."""

    def __init__(self, port: int, endpoint: str = "rel") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        self._path = f"/v2/models/{endpoint}"

    def infer(self, inputs: Mapping[str, Any] | bytes = NUMBER, headers: Mapping[str, str] | None = None) -> Reply:
        sent = inputs if isinstance(inputs, bytes) else body(inputs)
        return self.ask("POST", f"{self._path}/infer", sent, headers)

    def ask(self, method: str, path: str, sent: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        try:
            self._connection.request(method, path, sent, dict(headers or {}))
            response = self._connection.getresponse()
            content = response.read()
        except BaseException:
            self._connection.close()
            raise
        found = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, found, json.loads(content) if content else None)


class Load:
    """Consumers that ask without a pause until told to stop, and count who answered; anything but 200 is a drop."""

    def __init__(self, port: int, consumers: int = 3) -> None:
        self._port = port
        self._ending = threading.Event()
        self.who: Counter[str] = Counter()
        self.dropped: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(consumers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        return self.who.total() + len(self.dropped)

    def more(self, count: int) -> None:
        """Wait until so many more requests have been made."""
        aim = self.sent + count
        until(lambda: self.sent >= aim)

    def _run(self) -> None:
        client = Client(self._port)
        while not self._ending.is_set():
            try:
                reply = client.infer()
            except (OSError, http.client.HTTPException) as error:
                self.dropped.append(repr(error))
                continue
            if reply.status == 200:
                self.who[reply.who or "?"] += 1
            else:
                self.dropped.append(f"{reply.status} {reply.body}")


class Held:
    """An upstream that answers only when it is let go: for requests that are in flight just when something changes."""

    def __init__(self) -> None:
        self.seen = threading.Semaphore(0)
        self.go = threading.Event()
        held = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                held.seen.release()
                held.go.wait(15)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


class Place:
    """One environment under a root: gateway and variants, with everything ended at the end."""

    def __init__(self, root: Path, **gateway: Any) -> None:
        self.root = root
        self.gateway = Gateway(root, **gateway)
        self.variants = Variants(root)

    def up(self, specs: Sequence[Spec] = (), routing: Callable[[Mapping[str, int]], EndpointRouting] | None = None) -> dict[str, Server]:
        with locked(self.root):
            self.gateway.ensure()
            servers = {one.variant: self.variants.ensure(one) for one in specs}
        for server in servers.values():
            self.variants.wait_ready(server)
        if routing is not None:
            with locked(self.root):
                self.gateway.set_endpoint(routing({name: server.port for name, server in servers.items()}))
        return servers

    def route(self, routing: EndpointRouting, **more: Any) -> Any:
        with locked(self.root):
            return self.gateway.set_endpoint(routing, **more)

    @property
    def port(self) -> int:
        info = self.gateway.info()
        assert info is not None
        return info.port

    def client(self) -> Client:
        return Client(self.port)

    def down(self) -> None:
        with locked(self.root):
            self.gateway.stop()
            for server in self.variants.list():
                self.variants.stop(server.spec.endpoint, server.spec.variant, grace=1.0)
