"""The gateway of one environment: one Envoy on one loopback port, told by files what to route where."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlconsole.plugin.errors import InvalidRequest, OutcomeUnknown, Refused, Unavailable
from mlconsole_local import processes
from mlconsole_local.admin import Admin, Taken
from mlconsole_local.bootstrap import BOOTSTRAP, CLUSTERS_FILE, ROUTES_FILE, bootstrap, command, envoy_binary
from mlconsole_local.keeper import complaint, end_envoy, envoy_state
from mlconsole_local.routing import EndpointRouting, Resources, cluster_name, parse, ports_of, render
from mlconsole_local.state import ENVOY_LOG, LOOPBACK, Layout, forget_port, port_for, port_is_free, private, read_json, write_json

_LONGEST_SOCKET = 100  # AF_UNIX takes 107 bytes on Linux, 103 on macOS.
_PORT = "gateway"
_POLL = 0.003


@dataclass(frozen=True)
class GatewayInfo:
    """The gateway as it is. `restarts`: how often Envoy died since its keeper began; `reason`: why it does not serve."""

    port: int
    ready: bool
    keeper: int | None
    envoy: int | None
    restarts: int
    reason: str = ""

    @property
    def url(self) -> str:
        """Its address for consumers."""
        return f"http://{LOOPBACK}:{self.port}"


@dataclass(frozen=True)
class Applied:
    """A change that Envoy has taken. `draining`: clusters without a route whose last requests are still in flight."""

    version: str
    draining: tuple[str, ...] = ()


class Gateway:
    """The gateway under one root. What changes something is called holding `state.locked(root)`; what only looks needs no lock."""

    def __init__(self, root: Path, *, log_bytes: int = 64 << 20) -> None:
        """`log_bytes`: the size at which the access log is rotated."""
        self._layout = Layout(root)
        self._folder = self._layout.gateway
        self._log_bytes = log_bytes

    def ensure(self, *, port: int | None = None, seconds: float = 10.0) -> GatewayInfo:
        """Let it run, found again or started, on `port` or the one it had; returns when it serves.

        Raises:
            Refused: no Envoy on this platform, its port is taken, or it does not start.
        """
        if processes.find(self._folder) is None:
            self._start(port)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._admin().ready():
                return self._info()
            state = envoy_state(self._folder)
            if state is not None and state.restarts >= 3 and state.process is None:
                break
            time.sleep(_POLL)
        why = self._why() or "no reason in its log"
        raise Refused(f"The gateway (Envoy) does not start: {why}", next=f"Look at {self._folder / ENVOY_LOG}.")

    def info(self) -> GatewayInfo | None:
        """The gateway as it is; None when there is none."""
        return self._info() if self._port() is not None else None

    def desired(self) -> tuple[EndpointRouting, ...]:
        """What its files say: what it does, or will do as soon as it runs."""
        table, clusters = self._files()
        return parse(table, clusters)

    def live(self) -> tuple[EndpointRouting, ...]:
        """What Envoy really does, read from itself.

        Raises:
            Unavailable: it does not answer.
        """
        admin = self._admin()
        return parse(admin.routes(), admin.clusters())

    def set_endpoint(self, routing: EndpointRouting, *, seconds: float = 5.0, drain: float = 1.0) -> Applied:
        """Route one endpoint so, and leave the others; see `apply`."""
        others = [known for known in self.desired() if known.endpoint != routing.endpoint]
        return self.apply([*others, routing], seconds=seconds, drain=drain)

    def remove_endpoint(self, endpoint: str, *, seconds: float = 5.0, drain: float = 1.0) -> Applied:
        """Route one endpoint no more, and leave the others; see `apply`."""
        return self.apply([known for known in self.desired() if known.endpoint != endpoint], seconds=seconds, drain=drain)

    def apply(self, routings: Iterable[EndpointRouting], *, seconds: float = 5.0, drain: float = 1.0) -> Applied:
        """Make this the whole routing: clusters first, then routes, each confirmed by Envoy; then idle clusters without a route go.

        No request is lost: a cluster is there before and after any route to it. What is still in flight after `drain` seconds stays,
        is told in `Applied.draining`, and goes with a later `apply` or `tidy`.

        Raises:
            InvalidRequest: Envoy refused it; the former files are back in place, and the former routing never stopped.
            Unavailable: Envoy does not run; nothing was changed.
            OutcomeUnknown: it did not confirm within `seconds`.
        """
        admin = self._admin()
        before = admin.taken()
        wanted = list(routings)
        aim = render(wanted)
        keep = {name: port for name, port in ports_of(self._files()[1]).items() if name not in _names(aim)}
        widened = render(wanted, keep)
        self._swap(CLUSTERS_FILE, widened.clusters, lambda taken: taken.clusters, lambda taken: taken.clusters_rejected, before, seconds)
        self._swap(ROUTES_FILE, widened.routes, lambda taken: taken.routes, lambda taken: taken.routes_rejected, before, seconds)
        return Applied(aim.routes_version, self.tidy(seconds=seconds, drain=drain))

    def tidy(self, *, seconds: float = 5.0, drain: float = 0.0) -> tuple[str, ...]:
        """Take away the clusters that nothing is routed to and that are idle, waiting up to `drain` seconds for that; what is left.

        Raises:
            Unavailable: Envoy does not run.
            OutcomeUnknown: it did not confirm within `seconds`.
        """
        table, clusters = self._files()
        wanted = parse(table, clusters)
        names = _names(render(wanted))
        extra = {name: port for name, port in ports_of(clusters).items() if name not in names}
        if not extra:
            return ()
        admin = self._admin()
        deadline = time.monotonic() + drain
        busy = _busy(admin, extra)
        while busy and time.monotonic() < deadline:
            time.sleep(0.02)
            busy = _busy(admin, extra)
        before = admin.taken()
        if len(busy) < len(extra):
            document = render(wanted, {name: extra[name] for name in busy}).clusters
            self._swap(CLUSTERS_FILE, document, lambda taken: taken.clusters, lambda taken: taken.clusters_rejected, before, seconds)
        return tuple(sorted(busy))

    def in_use(self, endpoint: str, variant: str) -> bool:
        """Whether requests may still reach that variant's server: it may only be stopped when not."""
        names = ports_of(self._files()[1])
        return cluster_name(endpoint, variant) in names or cluster_name(endpoint, variant, shadow=True) in names

    def stop(self, *, grace: float = 8.0) -> bool:
        """End Envoy and its keeper; whether there was one. Its files stay, so that it comes back as it was."""
        stopped = processes.stop(self._folder, grace=grace) is not None
        orphan = self._orphan()
        if orphan is not None:
            end_envoy(orphan)
            stopped = True
        record = read_json(self._folder / "admin.json")
        if record and record.get("socket"):
            with suppress(OSError):  # A keeper that was killed left it behind.
                Path(str(record["socket"])).unlink()
        if record and record.get("made"):
            with suppress(OSError):
                Path(str(record["made"])).rmdir()
        with suppress(FileNotFoundError):
            (self._folder / "admin.json").unlink()
        return stopped

    def _start(self, port: int | None) -> None:
        binary = envoy_binary()
        private(self._folder)
        orphan = self._orphan()
        if orphan is not None and port not in (None, self._port()):
            end_envoy(orphan)
            orphan = None
        port = self._choose(port) if orphan is None else self._port() or 0
        for part in (CLUSTERS_FILE, ROUTES_FILE):
            private((self._folder / part).parent)
        empty = render(())
        for part, document in ((CLUSTERS_FILE, empty.clusters), (ROUTES_FILE, empty.routes)):
            if read_json(self._folder / part) is None:
                write_json(self._folder / part, document)
        socket = self._socket()
        fresh = bootstrap(self._folder, socket, port)
        if orphan is not None and read_json(self._folder / BOOTSTRAP) != fresh:
            end_envoy(orphan)  # It was started by another release of ours, or its socket had to move.
        write_json(self._folder / BOOTSTRAP, fresh)
        keeper = [sys.executable, "-P", "-m", "mlconsole_local.keeper", "--folder", str(self._folder), "--socket", str(socket)]
        keeper += ["--log-bytes", str(self._log_bytes), "--", *command(binary, self._folder)]
        processes.start(self._folder, keeper, self._folder / "keeper.log")

    def _choose(self, port: int | None) -> int:
        """Consumers know the port: it never changes by itself, and one that another process took in the meantime is said, not evaded."""
        root = self._layout.root
        known = self._port()
        wanted = port or known
        if wanted is None:
            return port_for(root, _PORT)
        deadline = time.monotonic() + 3.0
        while not port_is_free(wanted):  # An Envoy may just be ending.
            if time.monotonic() > deadline:
                raise Refused(
                    f"The gateway's port {wanted} on {LOOPBACK} is taken by another process.",
                    next="End that process, or give the gateway another port in mlconsole.yaml.",
                )
            time.sleep(0.02)
        if wanted != known:
            write_json(root / "ports.json", {**(read_json(root / "ports.json") or {}), _PORT: wanted})
        return wanted

    def forget(self) -> None:
        """Forget its port, for when the environment's folder goes."""
        forget_port(self._layout.root, _PORT)

    def _socket(self) -> Path:
        """Where the admin socket is: in our folder, or where that has too long a path, in a private folder that is remembered."""
        path = self._folder / "admin.sock"
        record = read_json(self._folder / "admin.json") or {}
        made = Path(str(record["made"])) if record.get("made") else None
        if len(os.fsencode(path)) > _LONGEST_SOCKET:
            if made is None or not _is_ours(made):
                base = os.environ.get("XDG_RUNTIME_DIR")
                made = Path(tempfile.mkdtemp(prefix="mlconsole-", dir=base if base and Path(base).is_dir() and len(base) < 60 else "/tmp"))
            path = made / "admin.sock"
            write_json(self._folder / "admin.json", {"socket": str(path), "made": str(made)})
        else:
            write_json(self._folder / "admin.json", {"socket": str(path)})
        return path

    def _admin(self) -> Admin:
        record = read_json(self._folder / "admin.json") or {}
        return Admin(Path(str(record.get("socket", self._folder / "admin.sock"))))

    def _port(self) -> int | None:
        port = (read_json(self._layout.root / "ports.json") or {}).get(_PORT)
        return None if port is None else int(port)

    def _info(self) -> GatewayInfo:
        keeper = processes.find(self._folder)
        state = envoy_state(self._folder)
        envoy = state.process if state and state.process and state.process.alive else None
        ready = envoy is not None and self._admin().ready()
        return GatewayInfo(
            self._port() or 0,
            ready,
            keeper.pid if keeper else None,
            envoy.pid if envoy else None,
            state.restarts if state else 0,
            "" if ready else self._why(),
        )

    def _orphan(self) -> processes.Process | None:
        """An Envoy that goes on serving though its keeper was killed."""
        state = envoy_state(self._folder)
        return state.process if state is not None and state.process is not None and state.process.alive else None

    def _why(self) -> str:
        if processes.find(self._folder) is None:
            return "it does not run"
        state = envoy_state(self._folder)
        return state.reason if state else "it is starting"

    def _files(self) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        routes = read_json(self._folder / ROUTES_FILE) or {}
        clusters = read_json(self._folder / CLUSTERS_FILE) or {}
        return next(iter(routes.get("resources", ())), {}), list(clusters.get("resources", ()))

    def _swap(
        self,
        part: Path,
        document: Mapping[str, Any],
        version: Callable[[Taken], str],
        rejected: Callable[[Taken], int],
        before: Taken,
        seconds: float,
    ) -> None:
        """Move a new file in place and wait until Envoy has taken it. A refused one is taken back: a new Envoy would start with it."""
        path = self._folder / part
        former = read_json(path)
        wanted = str(document["version_info"])
        admin = self._admin()
        if former is not None and former.get("version_info") == wanted and version(admin.taken()) == wanted:
            return
        write_json(path, document, durable=True)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(Unavailable):  # It may be starting again just now; then it starts with the new file.
                taken = admin.taken()
                if version(taken) == wanted:
                    return
                if rejected(taken) > rejected(before):
                    if former is not None:
                        write_json(path, former, durable=True)
                    why = complaint(self._folder / ENVOY_LOG) or "no reason given"
                    raise InvalidRequest(
                        f"The gateway (Envoy) refused the new {part.stem}: {why}. It goes on with the former ones.",
                        next=f"Look at {self._folder / ENVOY_LOG}.",
                    )
            time.sleep(_POLL)
        raise OutcomeUnknown(
            f"The gateway (Envoy) did not confirm the new {part.stem} within {seconds:g} s.", next="Look how it is: mlconsole local status."
        )


def _names(resources: Resources) -> set[str]:
    return {str(cluster["name"]) for cluster in resources.clusters["resources"]}


def _busy(admin: Admin, names: Iterable[str]) -> set[str]:
    """Which clusters still have a consumer's request: looked at twice, for one that chose its cluster just before the routes changed.

    A copy for a shadow is nobody's: it is not waited for.
    """
    first = admin.active()
    time.sleep(_POLL)
    second = admin.active()
    return {name for name in names if not name.endswith("/shadow") and (first.get(name) or second.get(name))}


def _is_ours(folder: Path) -> bool:
    """Whether a private folder outside of ours is still what we made: anybody may write to /tmp."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
