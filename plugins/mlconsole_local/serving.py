"""The serving role: one model server for each variant of an endpoint."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlconsole.core.live import Live, LiveVariant, Transition, VariantState
from mlconsole.core.models import Json
from mlconsole.core.releases import Content, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.text import neutralise
from mlconsole.plugin import Context
from mlconsole.plugin.errors import NotFound, Refused, Unavailable
from mlconsole.plugin.roles import Answer, HttpExample, Invocation, Limits, Order
from mlconsole_local.gateway import Gateway
from mlconsole_local.routing import PROBE_HEADER, SLICE_HEADER, VARIANT_HEADER
from mlconsole_local.services import Services
from mlconsole_local.state import LOOPBACK, Layout, check_fence, locked
from mlconsole_local.store import keep
from mlconsole_local.variants import Health, Server, Spec, Variants

LIMITS = Limits(
    share_granularity=1,
    slices=True,
    shadow=True,
    variant_name=r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    endpoint_name=r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?",
)
_LOADING = 30.0
"""Seconds that a server may take to load before it counts as failed."""
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
        self._log_bytes = int(context.options["log_megabytes"]) << 20

    def limits(self) -> Limits:
        """Shares to a hundredth of a percent, slices, a shadow."""
        return LIMITS

    def list(self) -> Sequence[str]:
        """Endpoints that have a server, running or not, or a route."""
        served = [server.spec.endpoint for server in self._variants.list()]
        return sorted({*served, *(routing.endpoint for routing in self._gateway.desired())})

    def describe(self, endpoint: str) -> Live:
        """The endpoint's servers as they are; the bytes are those that each says it loaded."""
        return Live(endpoint, tuple(self._live(server) for server in self._variants.list(endpoint)), transition=Transition.SETTLED)

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """Start what is wanted and missing, or ill and about to get requests; stop what is not wanted."""
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
            for variant in step.ensures:
                self._ensure(endpoint, variant, order)
            for name in step.removes:
                self._retire(endpoint, name)

    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        """Through the gateway as a consumer, pinned to a variant, or (a probe) straight from the variant's server."""
        headers = {"content-type": "application/json", **_slice_headers(request)}
        if probe:
            server = self._server(endpoint, variant)
            return _ask(server.port, endpoint, _body(request), {**headers, PROBE_HEADER: "1"}, answered_by=server.spec.variant)
        info = self._gateway.info()
        if info is None or not info.ready:
            raise Unavailable(f"The gateway is not up ({info.reason if info else 'never started'}).", next="Start it: mlconsole local up")
        if variant is not None:
            self._server(endpoint, variant)
            headers[VARIANT_HEADER] = variant
        elif not any(routing.endpoint == endpoint for routing in self._gateway.desired()):
            raise NotFound(f'There is no endpoint "{endpoint}" behind this gateway.', next="mlconsole endpoints list")
        return _ask(info.port, endpoint, _body(request), headers)

    def example(self, endpoint: str, request: Invocation) -> HttpExample:
        """The request for curl."""
        return HttpExample("POST", _path(endpoint), {"content-type": "application/json", **_slice_headers(request)}, _body(request))

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """What the variant's server wrote; also of one that was stopped."""
        if not Layout(self._root).variant(endpoint, variant).is_dir():
            raise NotFound(f'{endpoint} never had a variant "{variant}" here.', next=f"mlconsole endpoints show {endpoint}")
        return self._variants.logs(endpoint, variant, lines)

    def _live(self, server: Server) -> LiveVariant:
        health = self._variants.health(server)
        resources = {"pid": str(server.pid), "port": str(server.port)} if server.pid is not None else {}
        memory = self._variants.memory(server)
        if memory is not None:
            resources["memory"] = f"{memory / (1 << 20):.0f} MB"
        return LiveVariant(
            name=server.spec.variant,
            state=_state(server, health),
            model=server.spec.model,
            version=server.spec.version,
            digest=health.digest or server.spec.digest,
            reason="" if health.ready else _why(server, health),
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
        if version is None:
            if present is None or present.spec.digest != variant.digest:
                raise Refused(f"{variant.model}@{variant.version} is not registered, so nothing tells where its artifact is.")
            self._variants.ensure(present.spec)
            return
        if present is not None and present.spec.digest != variant.digest:
            self._variants.stop(endpoint, variant.name)
        artifact = keep(self._root, self._workspace, version.artifact.location, variant.digest)
        spec = Spec(
            endpoint=endpoint,
            variant=variant.name,
            model=variant.model,
            version=variant.version,
            artifact=str(artifact),
            digest=variant.digest,
            slices={one.key: one.path for one in version.signature.slices},
            connections={service.name: service.address for service in self._services.list()},
            log_bytes=self._log_bytes,
        )
        reroute(self._gateway, self._variants.ensure(spec))

    def _retire(self, endpoint: str, name: str) -> None:
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


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: Any


def reroute(gateway: Gateway, server: Server) -> None:
    """Let the gateway find a server that came back on another port than the one that its route knows."""
    for routing in gateway.desired():
        known = routing.ports.get(server.spec.variant) if routing.endpoint == server.spec.endpoint else None
        if known is not None and known != server.port:
            from dataclasses import replace

            gateway.set_endpoint(replace(routing, ports={**routing.ports, server.spec.variant: server.port}))


def _needs_start(live: Live, target: Content, variant: Variant) -> bool:
    there = live.variant(variant.name)
    if there is None or there.digest != variant.digest or there.state in (VariantState.CREATING, VariantState.STOPPING):
        return True
    if there.state is VariantState.READY:
        return False
    traffic = target.traffic
    copies = traffic is not None and traffic.shadow is not None and traffic.shadow.variant == variant.name
    return traffic is None or traffic.reaches(variant.name) or copies


def _state(server: Server, health: Health) -> VariantState:
    if health.ready:
        return VariantState.READY
    if server.pid is not None and time.time() - server.since < _LOADING:
        return VariantState.CREATING
    return VariantState.FAILED


def _why(server: Server, health: Health) -> str:
    if server.pid is not None:
        return health.reason
    if server.stopped:
        return "it was stopped"
    code = server.exit_code
    how = "ended" if code is None else f"was killed by signal {code - 128}" if code > 128 else f"ended with code {code}"
    return f"its server {how}{f': {server.reason}' if server.reason else ''}"


def _slice_headers(request: Invocation) -> dict[str, str]:
    """Slices as headers; a value that a header can't carry stays in the body only, where the server reads it all the same."""
    return {f"{SLICE_HEADER}{key}": value for key, value in request.slices.items() if value.isascii() and value.isprintable()}


def _path(endpoint: str) -> str:
    return f"/v2/models/{endpoint}/infer"


def _body(request: Invocation) -> str:
    inputs = [{"name": name, "shape": [1], "datatype": _datatype(value), "data": [value]} for name, value in request.inputs.items()]
    return json.dumps({"inputs": inputs}, ensure_ascii=False)


def _datatype(value: Json) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "FP64" if isinstance(value, float) else "BYTES"


def _ask(port: int, endpoint: str, body: str, headers: Mapping[str, str], *, answered_by: str | None = None) -> Answer:
    began = time.perf_counter()
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=25.0)
    try:
        connection.request("POST", _path(endpoint), body.encode(), dict(headers))
        response = connection.getresponse()
        raw = response.read()
    except (OSError, http.client.HTTPException) as error:
        who = answered_by or endpoint
        raise Unavailable(f"{who} does not answer on {LOOPBACK}:{port}: {error or type(error).__name__}.") from error
    finally:
        connection.close()
    milliseconds = (time.perf_counter() - began) * 1000
    reply = _Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, _json(raw))
    return Answer(
        status=reply.status,
        outputs=_outputs(reply.body) if reply.status == 200 else {},
        variant=reply.headers.get(VARIANT_HEADER, answered_by),
        milliseconds=milliseconds,
        request_id=reply.headers.get("x-request-id"),
        error="" if reply.status == 200 else _error(reply.body, raw),
    )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _outputs(body: Any) -> dict[str, Json]:
    """One value for each output: one row was asked."""
    found: dict[str, Json] = {}
    for output in body.get("outputs", ()) if isinstance(body, dict) else ():
        data = output.get("data")
        found[str(output.get("name"))] = data[0] if isinstance(data, list) and len(data) == 1 else data
    return found


def _error(body: Any, raw: bytes) -> str:
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        return str(body["error"])
    return neutralise(raw[:200].decode("utf-8", "replace"))
