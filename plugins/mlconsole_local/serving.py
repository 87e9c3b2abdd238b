"""The serving role: one model server for each variant of an endpoint."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mlconsole.core.live import Live, LiveVariant, Transition, VariantState
from mlconsole.core.releases import Content, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.transitions import check_limits
from mlconsole.plugin import Context
from mlconsole.plugin.errors import NotFound, Refused, Unavailable
from mlconsole.plugin.roles import Answer, HttpExample, Invocation, Limits, Order
from mlconsole_local.asking import ask, infer_body, infer_path, slice_headers
from mlconsole_local.gateway import Gateway
from mlconsole_local.naming import Named, Names
from mlconsole_local.resources import Resources
from mlconsole_local.routing import PROBE_HEADER, VARIANT_HEADER
from mlconsole_local.services import Services
from mlconsole_local.state import Layout, check_fence, locked
from mlconsole_local.store import keep
from mlconsole_local.variants import RESTART_GRACE, Health, Server, Spec, Variants

LIMITS = Limits(
    share_granularity=1,
    slices=True,
    shadow=True,
    variant_name=r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    endpoint_name=r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?",
)
_LOADING = 30.0
"""Seconds that a server may take to load before it counts as failed."""
_CONNECTING = 3.0
"""Seconds that what a loaded model reads from may take to answer for the first time: it was started before."""
_START_SECONDS = 1.5
_STOP_SECONDS = 0.5


class LocalServing:
    """Model servers on this machine. See `plugin.roles.Serving`."""

    def __init__(self, context: Context) -> None:
        self._root = context.state
        self._workspace = context.root
        self._variants = Variants(context.state)
        self._gateway = Gateway(context.state)
        self._services = Services(context.state)
        self._resources = Resources()
        self._log_bytes = int(context.options["log_megabytes"]) << 20
        self._names = Names(context.environment, self._gateway) if context.by_name else None

    def limits(self) -> Limits:
        """Shares to a hundredth of a percent, slices, a shadow."""
        return LIMITS

    def list(self) -> Sequence[str]:
        """Endpoints that have a server, running or not, or a route."""
        served = [server.spec.endpoint for server in self._variants.list()]
        return sorted({*served, *(routing.endpoint for routing in self._gateway.desired())})

    def describe(self, endpoint: str) -> Live:
        """The endpoint's servers as they are; the bytes are those that each says it loaded.

        Where applications ask by name, a server that the gateway does not know is of no use to anybody.
        """
        looked = self._variants.look(endpoint)
        named = self._names.seen(endpoint) if self._names is not None and looked else None
        variants = tuple(self._live(server, health, named) for server, health in looked)
        return Live(endpoint, variants, url=named.url if named is not None else None, transition=Transition.SETTLED)

    def packages(self, endpoint: str) -> Mapping[str, str]:
        """What is installed here: a server runs on the same Python."""
        from importlib.metadata import distributions

        return {str(found.metadata["Name"]): found.version for found in distributions() if found.metadata["Name"]}

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """Start what is wanted and missing, or ill and about to get requests; stop what is not wanted."""
        _check(live.endpoint, target)
        steps = [self._starting(live, variant) for variant in target.variants if _needs_start(live, target, variant)]
        wanted = set(target.names)
        for extra in live.variants:
            if extra.name not in wanted:
                steps.append(
                    Step(
                        role="serving",
                        action="stop server",
                        summary=f"stop {extra.name}",
                        phase=Phase.CLEAN,
                        removes=(extra.name,),
                        seconds=_STOP_SECONDS,
                    )
                )
        return steps

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Start or stop the step's servers; a server that starts is not waited for."""
        with locked(self._root):
            check_fence(self._root, endpoint, order.fence)
            if self._names is not None:
                self._names.require()
            for variant in step.ensures:
                self._ensure(endpoint, variant, order)
            for name in step.removes:
                self._retire(endpoint, name)

    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        """Through the gateway as a consumer, pinned to a variant, or (a probe) straight from the variant's server."""
        headers = slice_headers(request)
        if probe:
            headers[PROBE_HEADER] = "1"
            if variant is not None:
                server = self._server(endpoint, variant)
                return ask(server.port, endpoint, request, headers, answered_by=server.spec.variant)
        info = self._gateway.info()
        if info is None or not info.ready:
            raise Unavailable(f"The gateway is not up ({info.reason if info else 'never started'}).", next="Start it: mlconsole local up")
        routing = next((one for one in self._gateway.desired() if one.endpoint == endpoint), None)
        if variant is not None:
            self._server(endpoint, variant)
            if routing is None or variant not in routing.ports:
                raise NotFound(f"{variant} is not behind the gateway yet.", next=f"mlconsole endpoints show {endpoint}")
            headers[VARIANT_HEADER] = variant
        elif routing is None:
            raise NotFound(f'There is no endpoint "{endpoint}" behind this gateway.', next="mlconsole endpoints list")
        return ask(info.port, endpoint, request, headers)

    def example(self, endpoint: str, request: Invocation) -> HttpExample:
        """The request for curl."""
        headers = {"content-type": "application/json", **slice_headers(request)}
        if self._names is not None:
            names = [server.spec.variant for server in self._variants.list(endpoint)]
            # Any of them will do: an application puts in the one that it has chosen.
            headers.update({VARIANT_HEADER: names[-1]} if names else {})
        return HttpExample("POST", infer_path(endpoint), headers, infer_body(request))

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """What the variant's server wrote; also of one that was stopped."""
        if not Layout(self._root).variant(endpoint, variant).is_dir():
            raise NotFound(f'{endpoint} never had a variant "{variant}" here.', next=f"mlconsole endpoints show {endpoint}")
        return self._variants.logs(endpoint, variant, lines)

    def _live(self, server: Server, health: Health, named: Named | None) -> LiveVariant:
        nameless = health.ready and named is not None and named.ports.get(server.spec.variant) != server.port
        resources: dict[str, str] = {}
        if server.pid is not None:
            used = self._resources.of(server.pid)
            resources = {"pid": str(server.pid), "port": str(server.port), **used, **self._resources.disk(self._root)}
        return LiveVariant(
            name=server.spec.variant,
            state=VariantState.FAILED if nameless else state(server, health),
            model=server.spec.model,
            version=server.spec.version,
            digest=health.digest or server.spec.digest,
            reason="the gateway does not know it by its name" if nameless else "" if health.ready else why(server, health),
            resources=resources,
            since=datetime.fromtimestamp(server.since, UTC),
        )

    def _starting(self, live: Live, variant: Variant) -> Step:
        there = live.variant(variant.name)
        replaces = there is not None and there.digest != variant.digest
        return Step(
            role="serving",
            action="start server",
            summary=f"start {variant.name} ({variant.model}@{variant.version}, onnx server)",
            phase=Phase.PREPARE,
            ensures=(variant,),
            seconds=_START_SECONDS,
            deadline=_LOADING + 15.0,
            disrupts=f"{variant.name} runs other bytes now and is started again: its requests fail for a moment" if replaces else "",
        )

    def _ensure(self, endpoint: str, variant: Variant, order: Order) -> None:
        version = order.versions.get(variant.name)
        present = self._variants.find(endpoint, variant.name)
        same = present is not None and present.spec.digest == variant.digest
        if version is not None:
            # Before anything is stopped: an artifact that can't be had must not cost what serves.
            artifact = keep(self._root, self._workspace, version.artifact.location, variant.digest)
            spec = Spec(
                endpoint=endpoint,
                variant=variant.name,
                model=variant.model,
                version=variant.version,
                artifact=str(artifact),
                digest=variant.digest,
                slices={one.key: one.path for one in version.signature.slices},
                connections=self._services.connections(),
                log_bytes=self._log_bytes,
            )
        elif present is not None and same:
            spec = replace(present.spec, connections=self._services.connections())
        else:
            raise Refused(f"{variant.model}@{variant.version} is not registered, so nothing tells where its artifact is.")
        if present is not None and not same:
            self._variants.stop(endpoint, variant.name, grace=RESTART_GRACE)
        elif present is not None:
            self._variants.end_silent([present])
        server = self._variants.ensure(spec)
        reroute(self._gateway, server)
        if self._names is not None:
            self._names.add(server)

    def _retire(self, endpoint: str, name: str) -> None:
        if self._names is not None:
            self._names.remove(endpoint, name)
        if self._gateway.in_use(endpoint, name):
            routed = any(routing.endpoint == endpoint and name in routing.ports for routing in self._gateway.desired())
            if routed:
                raise Refused(f"{name} is still behind the gateway; it was not stopped.")
            if any(left.split("/")[:2] == [endpoint, name] for left in self._gateway.tidy(drain=1.0)):
                raise Unavailable(f"{name} still answers its last requests.")
        self._variants.retire(endpoint, name)

    def _server(self, endpoint: str, variant: str | None) -> Server:
        servers = self._variants.list(endpoint)
        if not servers:
            raise NotFound(f'There is no endpoint "{endpoint}" here.', next="mlconsole endpoints list")
        found = next((server for server in servers if server.spec.variant == variant), None)
        if found is None:
            raise NotFound(f'{endpoint} has no variant "{variant}".', next=f"mlconsole endpoints show {endpoint}")
        return found


def reroute(gateway: Gateway, server: Server) -> None:
    """Let the gateway find a server that came back on another port than the one that its route knows."""
    for routing in gateway.desired():
        known = routing.ports.get(server.spec.variant) if routing.endpoint == server.spec.endpoint else None
        if known is not None and known != server.port:
            gateway.set_endpoint(replace(routing, ports={**routing.ports, server.spec.variant: server.port}))


def _check(endpoint: str, target: Content) -> None:
    """Refuse what we can't express."""
    if target.variants and not re.fullmatch(LIMITS.endpoint_name, endpoint):
        raise Refused(f"{endpoint!r} can't name an endpoint here: {LIMITS.endpoint_name} is wanted.")
    check_limits(
        target,
        granularity=LIMITS.share_granularity,
        slices=LIMITS.slices,
        shadow=LIMITS.shadow,
        variant_pattern=LIMITS.variant_name,
        most_variants=LIMITS.variants,
    )


def _needs_start(live: Live, target: Content, variant: Variant) -> bool:
    there = live.variant(variant.name)
    if there is None or there.digest != variant.digest or there.state in (VariantState.CREATING, VariantState.STOPPING):
        return True
    if there.state is VariantState.READY:
        return False
    traffic = target.traffic
    copies = traffic is not None and traffic.shadow is not None and traffic.shadow.variant == variant.name
    return traffic is None or traffic.reaches(variant.name) or copies


def state(server: Server, health: Health) -> VariantState:
    """A server that was ready once and is not any more has failed; one that never was may still be coming up."""
    if health.ready:
        return VariantState.READY
    patience = _LOADING if health.loading or health.silent else _CONNECTING
    if server.pid is not None and not server.served and time.time() - server.since < patience:
        return VariantState.CREATING
    return VariantState.FAILED


def why(server: Server, health: Health) -> str:
    """Why a server is not ready; what its log said last is foreign text."""
    if server.pid is not None:
        late = health.loading and not server.served and time.time() - server.since > _LOADING
        return f"{health.reason}, for more than {_LOADING:g} s now" if late else health.reason
    if server.stopped:
        return "it was stopped"
    code = server.exit_code
    how = "ended" if code is None else f"was killed by signal {code - 128}" if code > 128 else f"ended with code {code}"
    return f"its server {how}{f': {server.reason}' if server.reason else ''}"
