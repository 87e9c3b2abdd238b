"""Variants behind the gateway by their names: for applications that choose one themselves, by what a config document says.

No role splits requests there, so that nobody but the serving role tells the gateway of a variant: a route is there from the start of its
server until before its end, and none for requests that name nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlconsole.core.traffic import names_in
from mlconsole.plugin.errors import Unavailable
from mlconsole_local.gateway import Gateway
from mlconsole_local.routing import SLICES, EndpointRouting
from mlconsole_local.variants import Server


@dataclass(frozen=True)
class Named:
    """An endpoint as the gateway knows it: where it is asked, and the ports of the variants that can be asked for by name."""

    url: str
    ports: Mapping[str, int]


class Names:
    """The routes of variants that are asked for by name. What changes something is called holding `state.locked(root)`."""

    def __init__(self, environment: str, gateway: Gateway) -> None:
        self._environment, self._gateway = environment, gateway

    def seen(self, endpoint: str) -> Named:
        """What Envoy really does, read from itself, not from our files.

        Raises:
            Unavailable: it is not up.
        """
        url = self.require()
        routing = next((one for one in self._gateway.live() if one.endpoint == endpoint), None)
        return Named(url, dict(routing.ports) if routing else {})

    def require(self) -> str:
        """The gateway's address.

        Raises:
            Unavailable: it is not up; so nobody could ask for a variant.
        """
        info = self._gateway.info()
        if info is None or not info.ready:
            why = f" ({info.reason})" if info and info.reason else ""
            raise Unavailable(
                f"The gateway of {self._environment} is not up{why}.", next=f"Start it: mlconsole local up --env {self._environment}"
            )
        return info.url

    def add(self, server: Server) -> None:
        """Let that server be asked for by name; its slices are noted in the access log, so that a request that fails has them too."""
        spec = server.spec
        present = self._present(spec.endpoint) or EndpointRouting(spec.endpoint, {})
        keys = tuple(dict.fromkeys([*present.slice_keys, *sorted(spec.slices)]))[:SLICES]
        wanted = replace(present, ports={**present.ports, spec.variant: server.port}, slice_keys=keys)
        if wanted != present:
            self._gateway.set_endpoint(wanted)

    def remove(self, endpoint: str, variant: str) -> None:
        """Nobody can ask for it any more; with the last one the endpoint is gone from the gateway."""
        present = self._present(endpoint)
        if present is None or variant not in present.ports:
            return
        ports = {name: port for name, port in present.ports.items() if name != variant}
        if not ports:
            self._gateway.remove_endpoint(endpoint)
            return
        # Where the gateway split before, it goes on for applications that don't choose yet; without one of its variants it can't.
        traffic = present.traffic if present.traffic and variant not in names_in(present.traffic) else None
        self._gateway.set_endpoint(replace(present, ports=ports, traffic=traffic))

    def _present(self, endpoint: str) -> EndpointRouting | None:
        return next((one for one in self._gateway.desired() if one.endpoint == endpoint), None)
