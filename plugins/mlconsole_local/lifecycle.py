"""`local up`, `down`, `status`: everything of one environment on this machine, found again after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlconsole.plugin import Context
from mlconsole.plugin.errors import Unavailable
from mlconsole.plugin.roles import Part
from mlconsole_local.gateway import Gateway
from mlconsole_local.replays import Replays
from mlconsole_local.services import Services
from mlconsole_local.serving import reroute
from mlconsole_local.state import LOOPBACK, locked
from mlconsole_local.variants import Server, Variants


class LocalLifecycle:
    """See `plugin.roles.Lifecycle`."""

    def __init__(self, context: Context) -> None:
        self._root = context.state
        self._workspace = context.root
        self._options = context.options
        self._gateway = Gateway(context.state, log_bytes=int(context.options["log_megabytes"]) << 20)
        self._variants = Variants(context.state)
        self._services = Services(context.state)
        self._replays = Replays(context.state)

    def up(self) -> Sequence[Part]:
        """Services first (servers read from them), then the gateway, then every server that should run."""
        with locked(self._root, seconds=30.0):
            for name, settings in self._options["services"].items():
                self._service(name, settings)
            self._gateway.ensure(port=self._options.get("port"))
            started = [self._variants.restart(server.spec.endpoint, server.spec.variant) for server in self._variants.list()]
            for server in started:
                if server is not None:
                    reroute(self._gateway, server)
        for server in started:
            if server is not None:
                self._wait(server)
        return self.parts()

    def down(self) -> Sequence[Part]:
        """Who asks first, who answers last: replays, gateway, servers, services."""
        stopped = [part for part in self.parts() if part.state != "stopped"]
        with locked(self._root, seconds=30.0):
            for replay in self._replays.list():
                self._replays.stop(replay.endpoint)
            self._gateway.stop()
            for server in self._variants.list():
                self._variants.stop(server.spec.endpoint, server.spec.variant)
            for service in self._services.list():
                self._services.stop(service.name)
        return stopped

    def parts(self) -> Sequence[Part]:
        """Gateway, servers, services, replays."""
        return [*self._gateway_part(), *self._server_parts(), *self._service_parts(), *self._replay_parts()]

    def _service(self, name: str, settings: Any) -> None:
        vectors = Path(settings["load"])
        self._services.ensure_redis(name, vectors if vectors.is_absolute() else self._workspace / vectors, prefix=settings["prefix"])

    def _wait(self, server: Server) -> None:
        """A server that does not come up is told by `parts`; it must not keep the others down."""
        try:
            self._variants.wait_ready(server, seconds=30.0)
        except Unavailable:
            return

    def _gateway_part(self) -> list[Part]:
        info = self._gateway.info()
        if info is None:
            return []
        if info.envoy is None and info.keeper is None:
            return [Part("gateway", "stopped", f"{LOOPBACK}:{info.port}", healthy=False)]
        again = f", started again {info.restarts} times" if info.restarts else ""
        detail = f"{LOOPBACK}:{info.port} (envoy pid {info.envoy}{again})"
        return [Part("gateway", "running" if info.ready else "not ready", detail if info.ready else info.reason, healthy=info.ready)]

    def _server_parts(self) -> list[Part]:
        parts = []
        for server in self._variants.list():
            name = f"{server.spec.endpoint} {server.spec.variant}"
            if server.pid is None:
                state = "stopped" if server.stopped else "dead"
                parts.append(Part(name, state, server.reason or f"{LOOPBACK}:{server.port}", healthy=False))
                continue
            health = self._variants.health(server)
            detail = f"pid {server.pid}, {LOOPBACK}:{server.port}"
            parts.append(Part(name, "running" if health.ready else "not ready", detail if health.ready else health.reason, health.ready))
        return parts

    def _service_parts(self) -> list[Part]:
        parts = []
        for service in self._services.list():
            if service.pid is None:
                parts.append(Part(service.name, "stopped", service.reason, healthy=False))
            elif service.keys is None:
                parts.append(Part(service.name, "not answering", service.reason, healthy=False))
            else:
                detail = f"redis pid {service.pid}, {service.address}, {service.keys} keys of {service.wanted}"
                parts.append(Part(service.name, "running", detail, healthy=service.keys >= service.wanted))
        return parts

    def _replay_parts(self) -> list[Part]:
        parts = []
        for replay in self._replays.list():
            if replay.pid is not None:
                detail = f"pid {replay.pid}, {replay.rate:g} a second, {replay.sent} sent, {replay.failed} failed"
                parts.append(Part(f"traffic to {replay.endpoint}", "running", detail, healthy=True))
        return parts
