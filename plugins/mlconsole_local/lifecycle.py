"""`local up`, `down`, `status`: everything of one environment on this machine, found again after a crash."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlconsole.core.live import VariantState
from mlconsole.plugin import Context
from mlconsole.plugin.errors import BackendError
from mlconsole.plugin.roles import Part
from mlconsole_local.bootstrap import envoy_binary
from mlconsole_local.gateway import Gateway
from mlconsole_local.replays import Replays
from mlconsole_local.services import Service, Services
from mlconsole_local.serving import reroute, state, why
from mlconsole_local.state import LOOPBACK, locked
from mlconsole_local.store import kept
from mlconsole_local.variants import Server, Spec, Variants

_GRACE = 5.0
"""Seconds that servers get to end: the gateway is down by then, so nobody waits for an answer of theirs."""
_COMING_UP = 30.0
"""Seconds that all servers together get to come up."""
_POLL = 0.02
_GATEWAY = "gateway"


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
        """Services first (servers read from them), then the gateway, then every server that should run.

        One service or server that can't be had keeps nothing else down: it is told when the rest is up.
        """
        envoy_binary()  # Where there is none, nothing is started.
        lost: BackendError | None = None
        with locked(self._root, seconds=30.0):
            configured = self._options["services"]
            for service in self._services.list():
                if service.name not in configured:
                    self._services.remove(service.name)
            for name, settings in configured.items():
                try:
                    ensure_service(self._services, self._workspace, name, settings)
                except BackendError as error:
                    lost = lost or error
            self._gateway.ensure(port=self._options.get("port"))
            found, servers = self._variants.list(), []
            self._variants.end_silent(found)
            for present in found:
                try:
                    server = self._variants.ensure(self._now(present.spec))
                    reroute(self._gateway, server)
                    servers.append(server)
                except BackendError as error:
                    lost = lost or error
        self._wait(servers)
        self._replay_again()
        if lost is not None:
            raise type(lost)(f"{lost.message.rstrip('.')}. Everything else is up.", next=lost.next)
        return self.parts()

    def down(self) -> Sequence[Part]:
        """Who asks first, who answers last: replays, gateway, servers, services."""
        stopped = [part for part in self.parts() if part.state != "stopped"]
        with locked(self._root, seconds=30.0):
            for replay in self._replays.list():
                self._replays.stop(replay.endpoint)
            self._gateway.stop()
            self._variants.stop_all(grace=_GRACE)
            for service in self._services.list():
                self._services.stop(service.name)
        return stopped

    def address(self, service: str) -> str | None:
        """See `plugin.roles.Addresses`: of a companion service (`127.0.0.1:6379`), also of one that does not answer just now; and of the
        gateway, unless a service is called so."""
        known = self._services.connections().get(service)
        if known is None and service == _GATEWAY:
            info = self._gateway.info()
            return f"{LOOPBACK}:{info.port}" if info is not None else None
        return known

    def parts(self) -> Sequence[Part]:
        """Gateway, servers, services, replays."""
        return [*self._gateway_part(), *self._server_parts(), *self._service_parts(), *self._replay_parts()]

    def _replay_again(self) -> None:
        """Traffic that nobody switched off goes on, once there are servers that can answer it."""
        info = self._gateway.info()
        if info is not None and info.ready:
            with locked(self._root, seconds=30.0):
                self._replays.again(info.url)

    def _now(self, spec: Spec) -> Spec:
        """What that server has to be today: services may have moved, and so may the workspace with our copies in it."""
        copy = kept(self._root, spec.digest)
        return replace(spec, connections=self._services.connections(), artifact=str(copy) if copy.exists() else spec.artifact)

    def _wait(self, servers: Sequence[Server]) -> None:
        """Until none is coming up any more. One that does not is told by `parts`; it must not keep the others down."""
        deadline = time.monotonic() + _COMING_UP
        coming = list(servers)
        while coming and time.monotonic() < deadline:
            found = [self._variants.find(server.spec.endpoint, server.spec.variant) for server in coming]
            now = [server for server in found if server is not None]
            healths = self._variants.healths(now)
            coming = [server for server, health in zip(now, healths, strict=True) if state(server, health) is VariantState.CREATING]
            if coming:
                time.sleep(_POLL)

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
        for server, health in self._variants.look():
            name = f"{server.spec.endpoint} {server.spec.variant}"
            if server.pid is None:
                how = "stopped" if server.stopped else "dead"
                parts.append(Part(name, how, f"{LOOPBACK}:{server.port}" if server.stopped else why(server, health), healthy=False))
                continue
            detail = f"pid {server.pid}, {LOOPBACK}:{server.port}"
            how = "running" if health.ready else "not answering" if health.silent else "not ready"
            parts.append(Part(name, how, detail if health.ready else f"{detail}: {health.reason}", health.ready))
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


def ensure_service(services: Services, workspace: Path, name: str, settings: Mapping[str, Any], *, again: bool = False) -> Service:
    """Let a companion service run as the workspace configures it; with `again` it is filled even when it is full. See `ensure_redis`."""
    return services.ensure_redis(name, workspace / settings["load"], prefix=settings["prefix"], again=again)
