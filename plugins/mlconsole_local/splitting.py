"""The traffic role: Envoy's routes and weights."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlconsole.core.live import Live, traffic_differences
from mlconsole.core.releases import Content
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Traffic, names_in, percent
from mlconsole.plugin import Context
from mlconsole.plugin.errors import Refused, Unavailable
from mlconsole.plugin.roles import Limits, Order, TrafficReport
from mlconsole_local.gateway import Gateway
from mlconsole_local.routing import SLICES, EndpointRouting
from mlconsole_local.serving import LIMITS
from mlconsole_local.state import check_fence, locked
from mlconsole_local.variants import Variants

_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class LocalTraffic:
    """Shares, slices and the shadow at the gateway. See `plugin.roles.Traffic`."""

    def __init__(self, context: Context) -> None:
        self._root = context.state
        self._environment = context.environment
        self._gateway = Gateway(context.state)
        self._variants = Variants(context.state)

    def limits(self) -> Limits:
        """Shares to a hundredth of a percent, slices, a shadow."""
        return LIMITS

    def scope(self, endpoint: str) -> str:
        """Each endpoint by itself."""
        return endpoint

    def report(self, endpoint: str) -> TrafficReport:
        """What Envoy really does, read from itself, not from our files."""
        info = self._gateway.info()
        if info is None or not info.ready:
            why = f" ({info.reason})" if info and info.reason else ""
            raise Unavailable(
                f"The gateway of {self._environment} is not up{why}.", next=f"Start it: mlconsole local up --env {self._environment}"
            )
        routing = next((one for one in self._gateway.live() if one.endpoint == endpoint), None)
        return TrafficReport(routing.traffic if routing else None, url=info.url if routing else None)

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """One step: Envoy takes a whole routing at once."""
        if target.traffic is None:
            if live.traffic is None:
                return []
            return [Step("traffic", "unroute", "take the endpoint off the gateway", Phase.SHIFT, gone=True, seconds=0.2)]
        _check(target)
        if not traffic_differences(live.traffic, target.traffic):
            return []
        return [Step("traffic", "route", _told(target.traffic), Phase.SHIFT, traffic=target.traffic, seconds=0.2)]

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Clusters, then routes, each confirmed by Envoy; requests in flight are not touched."""
        with locked(self._root):
            check_fence(self._root, endpoint, order.fence)
            if step.traffic is None:
                self._gateway.remove_endpoint(endpoint)
            else:
                self._route(endpoint, step.traffic, order)

    def _route(self, endpoint: str, traffic: Traffic, order: Order) -> None:
        servers = {server.spec.variant: server for server in self._variants.list(endpoint)}
        missing = sorted(names_in(traffic) - set(servers))
        if missing:
            raise Refused(f"{', '.join(missing)} has no server: it gets no traffic.")
        present = next((one for one in self._gateway.desired() if one.endpoint == endpoint), None)
        former = present.traffic if present is not None else None
        gaining = [servers[name] for name in sorted(names_in(traffic)) if _gains(name, former, traffic)]
        for server, health in zip(gaining, self._variants.healths(gaining, seconds=2.0), strict=True):
            if not health.ready:  # Readiness before weight (trap 18).
                raise Refused(f"{server.spec.variant} is not ready ({health.reason}): it gets no traffic.")
        declared = sorted({one.key for version in order.versions.values() for one in version.signature.slices})
        keys = dict.fromkeys([*(entry.key for entry in traffic.by_slice), *declared])
        self._gateway.set_endpoint(
            EndpointRouting(
                endpoint=endpoint,
                ports={name: servers[name].port for name in names_in(traffic)},
                traffic=traffic,
                release=order.release,
                slice_keys=tuple(keys)[:SLICES],  # Which label is noted is all that a version with more of them loses.
            )
        )


def _gains(name: str, former: Traffic | None, traffic: Traffic) -> bool:
    """Whether the variant will get requests that it does not get now: in the split for all, or in that of any slice."""
    if former is None:
        return traffic.reaches(name)
    slices = {(entry.key, entry.value) for entry in (*former.by_slice, *traffic.by_slice)}
    pairs = [(former.split, traffic.split), *((former.slice_split(*one), traffic.slice_split(*one)) for one in slices)]
    return any(after.get(name, 0) > before.get(name, 0) for before, after in pairs)


def _check(target: Content) -> None:
    """Refuse traffic for a variant that is none of the content's, and slices that the gateway can't tell apart: it reads them from headers.

    Raises:
        Refused: a name that is none, or a key or value that no header carries.
    """
    traffic = target.traffic
    if traffic is None:
        return
    strangers = sorted(names_in(traffic) - set(target.names))
    if strangers:
        raise Refused(f"{', '.join(map(repr, strangers))} would get traffic, and is no variant of this release.")
    for entry in traffic.by_slice:
        if not _KEY.fullmatch(entry.key) or not entry.value.isprintable() or entry.value != entry.value.strip():
            raise Refused(f"{entry.key!r} = {entry.value!r} can't be read from a header, so no split can follow it.")


def _told(traffic: Traffic) -> str:
    text = "route " + ", ".join(f"{name} {percent(share)} %" for name, share in traffic.split.items())
    for entry in traffic.by_slice:
        text += f"; {entry.value}: " + ", ".join(f"{name} {percent(share)} %" for name, share in entry.split.items() if share)
    return text + (f"; copies of {percent(traffic.shadow.sample)} % to {traffic.shadow.variant}" if traffic.shadow else "")
