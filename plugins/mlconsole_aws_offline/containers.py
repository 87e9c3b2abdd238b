"""Containers that really answer: the uploaded model.tar.gz behind a model server of its own, which knows nothing of AWS.

One process for each content: models with the same data and environment share it. A model without data is played by an echo.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlconsole_aws_offline.records import Json

SERVER = "mlconsole_local.server"
"""The module that serves an artifact: a program to start, as an image is one."""
CONNECTION = "CONNECTION_"
"""An environment variable CONNECTION_EMBEDDINGS=127.0.0.1:6379 is what the artifact calls the connection `embeddings`."""

_MOST = 12
_COMING_UP = 30.0


@dataclass(frozen=True)
class Said:
    """What a container answered."""

    status: int
    content_type: str
    body: bytes


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    ready: bool = False


class Containers:
    """Starts them when they are asked, at most `_MOST` at once; they end with this process."""

    def __init__(self, folder: Path, read: Callable[[str], bytes | None]) -> None:
        """`read`: what lies at an s3:// address."""
        self._folder = folder
        self._read = read
        self._lock = threading.Lock()
        self._starting: dict[str, threading.Lock] = {}
        self._running: OrderedDict[str, _Running] = OrderedDict()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="warm")

    def problem(self, container: Json) -> str | None:
        """Why it could not even be started, as its model data lie there; None: nothing that can be seen."""
        url = container.get("ModelDataUrl")
        if not url:
            return None
        data = self._read(url)
        if data is None:
            return f"the model data at {url} can't be read"
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
                names = {_plain(name) for name in archive.getnames()}
        except (tarfile.TarError, OSError, EOFError) as error:
            return f"the model data at {url} are no tar.gz: {error}"
        return None if _graph(names) else f"the model data at {url} hold no graph (model.onnx)"

    def warm(self, container: Json) -> None:
        """Start it beforehand, in the background."""
        if container.get("ModelDataUrl"):
            self._pool.submit(self._try, container)

    def ask(self, container: Json, body: bytes, content_type: str) -> Said:
        """One request."""
        if not container.get("ModelDataUrl"):
            return Said(200, content_type or "application/json", body)
        try:
            running = self._ensure(container)
            return _asked(running.port, "POST", "/v2/models/model/infer", body)
        except OSError as error:
            return Said(503, "application/json", f'{{"error": "the container does not answer: {error}"}}'.encode())

    def log(self, container: Json) -> list[str]:
        """What it has said so far."""
        with self._lock:
            running = self._running.get(self._key(container, self._read(container.get("ModelDataUrl") or "") or b""))
        if running is None:
            return []
        return (running.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()

    def _try(self, container: Json) -> None:
        with suppress(OSError):
            self._ensure(container)

    def _ensure(self, container: Json) -> _Running:
        data = self._read(container["ModelDataUrl"])
        if data is None:
            raise OSError("its model data are gone")
        key = self._key(container, data)
        with self._lock:
            starting = self._starting.setdefault(key, threading.Lock())
        with starting:
            with self._lock:
                running = self._running.get(key)
                if running is not None and running.process.poll() is None:
                    self._running.move_to_end(key)
                    return running
            running = self._start(key, data, container.get("Environment") or {})
            with self._lock:
                self._running[key] = running
                while len(self._running) > _MOST:
                    _, oldest = self._running.popitem(last=False)
                    _end(oldest)
            return running

    def _start(self, key: str, data: bytes, environment: Mapping[str, str]) -> _Running:
        folder = self._folder / key[:16]
        shutil.rmtree(folder, ignore_errors=True)
        artifact = folder / "artifact"
        artifact.mkdir(parents=True, mode=0o700)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extractall(artifact, filter="data")
        port = _free()
        connections = [
            f"--connection={name[len(CONNECTION) :].lower().replace('_', '-')}={value}"
            for name, value in environment.items()
            if name.startswith(CONNECTION)
        ]
        graph = _graph({path.name for path in artifact.iterdir()})
        served = artifact if graph == "model.onnx" else artifact / graph
        command = [sys.executable, "-m", "mlconsole_aws_offline.container", SERVER, "--artifact", str(served), "--digest", _digest(served)]
        command += ["--endpoint", "model", "--variant", "container", "--model", "model", "--version", "1", "--port", str(port)]
        command += ["--log", str(folder / "predictions.jsonl"), "--log-bytes", "1048576", *connections]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder)
        running = _Running(process, port, folder)
        deadline = time.monotonic() + _COMING_UP
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise OSError((folder / "log").read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2] or "it ended")
            with suppress(OSError):
                _asked(port, "GET", "/v2/health/live", b"")
                return running
            time.sleep(0.02)
        _end(running)
        raise OSError(f"it did not come up within {_COMING_UP:g} s")

    @staticmethod
    def _key(container: Json, data: bytes) -> str:
        said = sorted((container.get("Environment") or {}).items())
        return hashlib.sha256(repr(said).encode() + b"\0" + data).hexdigest()


def _asked(port: int, method: str, path: str, body: bytes) -> Said:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return Said(reply.status, reply.getheader("Content-Type", "application/json"), reply.read())
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}") from error
    finally:
        connection.close()


def _end(running: _Running) -> None:
    running.process.kill()
    running.process.wait(10)
    shutil.rmtree(running.folder, ignore_errors=True)


def _graph(names: set[str]) -> str:
    """The graph among an artifact's files: model.onnx, or the only .onnx there is; empty: none."""
    graphs = [name for name in names if name.endswith(".onnx") and "/" not in name]
    return "model.onnx" if "model.onnx" in graphs else graphs[0] if len(graphs) == 1 else ""


def _digest(artifact: Path) -> str:
    """As docs/artifact-format.md has it: what the server will hold the files against."""
    if artifact.is_file():
        return f"sha256:{hashlib.sha256(artifact.read_bytes()).hexdigest()}"
    digest = hashlib.sha256()
    for file in sorted((path for path in artifact.rglob("*") if path.is_file()), key=lambda path: path.relative_to(artifact).as_posix()):
        digest.update(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(artifact).as_posix()}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _free() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
