"""Model servers as processes: one for each variant, started, found again, asked how it is, and stopped."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlconsole.plugin.errors import InvalidRequest, Unavailable
from mlconsole_local import processes
from mlconsole_local.state import (
    LOOPBACK,
    PREDICTION_LOG,
    READY,
    Layout,
    forget_port,
    port_for,
    port_is_free,
    private,
    read_json,
    write_json,
)

_SPEC, _LOG = "spec.json", "server.log"
RESTART_GRACE = 2.0
"""Seconds that a server whose requests nobody waits for any more gets to end by itself: the environment's lock is held meanwhile."""


@dataclass(frozen=True)
class Spec:
    """What a variant's server has to be: which bytes under which name. `connections`: name → `host:port`; `slices`: key → JSON pointer."""

    endpoint: str
    variant: str
    model: str
    version: str
    artifact: str
    digest: str
    slices: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[str, str] = field(default_factory=dict)
    log_bytes: int = 64 << 20


@dataclass(frozen=True)
class Server:
    """A variant's server as it is. `pid` None: it does not run, and `exit_code` and `reason` say why, where that is known."""

    spec: Spec
    port: int
    pid: int | None
    since: float
    """When it was last started, epoch seconds."""
    exit_code: int | None = None
    reason: str = ""
    """The last line of its log when it ended by itself (foreign text)."""
    stopped: bool = False
    """It was ended by us, not by a mishap."""
    served: bool = False
    """It has been ready once since it was started."""


@dataclass(frozen=True)
class Health:
    """What a server says of itself: `digest` is of the bytes that it really loaded.

    `loading`: it does not listen yet. `silent`: it listens, and says nothing.
    """

    ready: bool
    digest: str | None = None
    reason: str = ""
    loading: bool = False
    silent: bool = False


class Variants:
    """The model servers under one root. What changes something is called holding `state.locked(root)`; what only looks needs no lock."""

    def __init__(self, root: Path) -> None:
        """`root` is the environment's state folder."""
        self._root = root
        self._layout = Layout(root)

    def ensure(self, spec: Spec) -> Server:
        """Let that server run: returned as it is when it runs with the same bytes, else started. It does not wait for the model.

        Raises:
            InvalidRequest: the name serves other bytes already.
            Refused: it can't be started.
        """
        folder = private(self._layout.variant(spec.endpoint, spec.variant))
        present = self.find(spec.endpoint, spec.variant)
        if present is not None and present.pid is not None:
            if present.spec.digest != spec.digest:
                raise InvalidRequest(
                    f"{spec.endpoint}/{spec.variant} serves other bytes already ({present.spec.digest}).",
                    next="Give the new one another name.",
                )
            if present.spec == spec:
                return present
            processes.stop(folder, grace=RESTART_GRACE)  # The same bytes with another connection or slice: a restart is all it takes.
        port = self._port(spec)
        write_json(folder / _SPEC, {**asdict(spec), "port": port, "since": time.time()}, durable=True)
        (folder / READY).unlink(missing_ok=True)
        arguments = [
            sys.executable,
            "-P",
            "-m",
            "mlconsole_local.server",
            "--artifact",
            str(Path(spec.artifact).absolute()),
            "--digest",
            spec.digest,
        ]
        arguments += ["--endpoint", spec.endpoint, "--variant", spec.variant, "--model", spec.model, "--version", spec.version]
        arguments += ["--port", str(port), "--log", str(folder / PREDICTION_LOG), "--log-bytes", str(spec.log_bytes)]
        arguments += ["--slices", json.dumps(dict(spec.slices))]
        for name, address in spec.connections.items():
            arguments += ["--connection", f"{name}={address}"]
        # One thread for each server is enough, and numpy's own pool would cost memory in each.
        processes.start(folder, arguments, folder / _LOG, env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
        found = self.find(spec.endpoint, spec.variant)
        assert found is not None
        return found

    def find(self, endpoint: str, variant: str) -> Server | None:
        """The server of that name, running or not; None when there is none."""
        return _found(self._layout.variant(endpoint, variant))

    def list(self, endpoint: str | None = None) -> tuple[Server, ...]:
        """All servers, or those of one endpoint, running or not, by name."""
        folders = sorted(self._layout.variants.glob("*/*"))
        found = [_found(folder) for folder in folders if endpoint is None or folder.parent.name == endpoint]
        return tuple(server for server in found if server is not None)

    def health(self, server: Server, *, seconds: float = 2.0) -> Health:
        """Whether it is ready, asked of itself. What it reads from counts too: a Redis that is away makes it not ready."""
        if server.pid is None:
            return Health(ready=False, reason=server.reason or "it does not run")
        connection = http.client.HTTPConnection(LOOPBACK, server.port, timeout=seconds)
        try:
            connection.request("GET", "/v2/health/ready")
            response = connection.getresponse()
            body: Any = json.loads(response.read())
            if response.status == 200:
                return Health(ready=True, digest=body.get("digest"))
            return Health(ready=False, digest=response.getheader("x-mlconsole-digest"), reason=str(body.get("error", "")))
        except ConnectionRefusedError:
            return Health(ready=False, reason="it is loading" if not server.served else "it listens no more", loading=True)
        except TimeoutError:
            return Health(ready=False, reason=f"it does not answer (for {seconds:g} s)", silent=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Health(ready=False, reason=f"it does not answer ({error or type(error).__name__})")
        finally:
            connection.close()

    def healths(self, servers: Sequence[Server], *, seconds: float = 0.8) -> Sequence[Health]:
        """`health` of several servers side by side: one that hangs delays the answer by `seconds`, however many do."""
        if len(servers) < 2:
            return [self.health(server, seconds=seconds) for server in servers]
        with ThreadPoolExecutor(len(servers), thread_name_prefix="health") as pool:
            return list(pool.map(lambda server: self.health(server, seconds=seconds), servers))

    def look(self, endpoint: str | None = None) -> Sequence[tuple[Server, Health]]:
        """All servers, or those of one endpoint, and how each is. One that was just dying when it was asked is told as dead."""
        servers = self.list(endpoint)
        found = []
        for server, health in zip(servers, self.healths(servers), strict=True):
            ill = server.pid is not None and not health.ready
            now = self.find(server.spec.endpoint, server.spec.variant) if ill else server
            if now is not None:
                found.append((now, health))
        return found

    def end_silent(self, servers: Sequence[Server]) -> None:
        """End those that were ready once and have fallen silent: only a new start helps them.

        One whose model waits for a connection answers, and is left alone.
        """
        healths = self.healths(servers, seconds=2.0)
        silent = [server.spec for server, health in zip(servers, healths, strict=True) if server.served and health.silent]
        processes.stop_all([self._layout.variant(one.endpoint, one.variant) for one in silent], grace=RESTART_GRACE)

    def wait_ready(self, server: Server, *, seconds: float = 30.0) -> Health:
        """Wait until it is ready.

        Raises:
            Unavailable: it ended, or was not ready within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            health = self.health(server)
            if health.ready:
                return health
            present = self.find(server.spec.endpoint, server.spec.variant)
            if present is None or present.pid is None or time.monotonic() > deadline:
                why = present.reason if present is not None and present.pid is None else health.reason
                raise Unavailable(f"{server.spec.endpoint}/{server.spec.variant} is not ready: {why}", next="mlconsole endpoints logs")
            time.sleep(0.01)

    def stop(self, endpoint: str, variant: str, *, grace: float = 20.0) -> bool:
        """End a server; it finishes what is in flight. Its folder stays, with its logs. Whether it ran."""
        folder = self._layout.variant(endpoint, variant)
        return processes.stop(folder, grace=grace) is not None

    def remove(self, endpoint: str, variant: str) -> None:
        """End a server and forget it, with its logs: predictions that nobody has read yet are gone."""
        self.stop(endpoint, variant)
        folder = self._layout.variant(endpoint, variant)
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()
        forget_port(self._root, _port_name(endpoint, variant))

    def stop_all(self, *, grace: float) -> None:
        """End all servers side by side."""
        processes.stop_all([self._layout.variant(one.spec.endpoint, one.spec.variant) for one in self.list()], grace=grace)

    def retire(self, endpoint: str, variant: str, *, grace: float = RESTART_GRACE) -> None:
        """End a server for good, but leave its prediction log, so that a reader who is behind still gets everything."""
        self.stop(endpoint, variant, grace=grace)
        with suppress(FileNotFoundError):
            (self._layout.variant(endpoint, variant) / _SPEC).unlink()
        forget_port(self._root, _port_name(endpoint, variant))

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """The last lines that the server wrote, oldest first: foreign text."""
        return processes.tail(self._layout.variant(endpoint, variant) / _LOG, lines)

    def _port(self, spec: Spec) -> int:
        """The port it had, if it can have it again: then the gateway's cluster still fits."""
        name = _port_name(spec.endpoint, spec.variant)
        known = (read_json(self._root / "ports.json") or {}).get(name)
        deadline = time.monotonic() + 1.0
        while known is not None and not port_is_free(int(known)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return port_for(self._root, name)


def _port_name(endpoint: str, variant: str) -> str:
    return f"{endpoint}/{variant}"


def _found(folder: Path) -> Server | None:
    record = read_json(folder / _SPEC)
    if record is None:
        return None
    port, since = int(record.pop("port")), float(record.pop("since"))
    spec = Spec(**record)
    process = processes.find(folder)
    if process is not None:
        return Server(spec, port, process.pid, since, served=_has_served(folder, process.pid))
    ended = processes.ended(folder)
    code = ended.code if ended else None
    stopped = code == 0 or (ended is not None and ended.asked)
    return Server(spec, port, None, since, code, "" if stopped else processes.last_line(folder / _LOG), stopped)


def _has_served(folder: Path, pid: int) -> bool:
    try:
        return (folder / READY).read_text(encoding="ascii").strip() == str(pid)
    except (OSError, ValueError):
        return False
