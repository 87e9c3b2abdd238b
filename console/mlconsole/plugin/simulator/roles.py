"""The roles that the simulator plays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from mlconsole.core.live import Live
from mlconsole.core.models import Json
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step
from mlconsole.plugin.errors import InvalidRequest
from mlconsole.plugin.roles import Answer, Caller, HttpExample, Invocation, Limits, Order, Page, TrafficReport
from mlconsole.plugin.simulator import records
from mlconsole.plugin.simulator.effects import begin, body_of, check_fence
from mlconsole.plugin.simulator.faults import Fault, FaultKind
from mlconsole.plugin.simulator.requests import require
from mlconsole.plugin.simulator.settings import Settings, Shape
from mlconsole.plugin.simulator.state import endpoint_from_json, live_of
from mlconsole.plugin.simulator.steps import combined_steps, traffic_steps, variant_steps
from mlconsole.plugin.simulator.world import World


class SimulatedServing:
    """The serving role (and `Logs`, `Examples`), in the shape that the settings say."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.settings = settings

    def limits(self) -> Limits:
        """What it can express."""
        return self.settings.limits

    def list(self) -> Sequence[str]:
        """The names of all endpoints."""
        with self.world.call("serving.list") as faults, self.world.section() as state:
            return () if _has(faults, FaultKind.EMPTY) else tuple(sorted(state.endpoints))

    def describe(self, endpoint: str) -> Live:
        """The endpoint as it is; where a traffic role splits, without its traffic."""
        roles = ("serving",) if self.settings.shape is Shape.SEPARATE else ("serving", "traffic")
        return _read(self.world, "serving.describe", endpoint, roles)

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """The native steps that are left."""
        if self.settings.shape is Shape.COMBINED:
            return tuple(combined_steps(self.settings, live, target))
        steps = tuple(variant_steps(self.settings, live, target))
        return steps if self.settings.shape is Shape.SEPARATE else (*steps, *traffic_steps(self.settings, "serving", live, target))

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step."""
        _start(self.world, self.settings, "serving.start", endpoint, step, order)

    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        """One prediction. What nobody ready answers through the endpoint's address is a 503 of its gateway."""
        with self.world.call("serving.invoke", endpoint, variants=(variant,) if variant else ()):
            seen = self.world.ask(endpoint, request, variant, probe=probe)[0]
        outputs: dict[str, Json] = {} if seen.score is None else {"score": seen.score}
        return Answer(seen.status, outputs, seen.variant, seen.milliseconds, seen.request_id, seen.error)

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """The last lines that a variant wrote."""
        with self.world.call("serving.logs", endpoint, variants=(variant,)), self.world.section() as state:
            return tuple(require(state, endpoint, variant).variants[variant].log[-lines:] if lines > 0 else ())

    def example(self, endpoint: str, request: Invocation) -> HttpExample:
        """What a request over HTTP would look like, if there were anybody to answer it."""
        headers = {"content-type": "application/json", **{f"x-slice-{key}": value for key, value in request.slices.items()}}
        rows = [{"name": name, "datatype": "BYTES", "shape": [1], "data": [value]} for name, value in request.inputs.items()]
        body = json.dumps({"inputs": rows})
        return HttpExample("POST", f"/v2/models/{quote(endpoint)}/infer", headers, body)


class IdentifiedServing(SimulatedServing):
    """One that knows as whom it takes who calls (`Identity`)."""

    def identity(self) -> Caller:
        """The caller of the settings, with credentials that end when the world says so."""
        with self.world.call("serving.identity"), self.world.section() as state:
            until = state.credentials_until
        own = self.settings
        return Caller(own.caller or "", own.account, own.region, None if until is None else datetime.fromisoformat(until))


class SimulatedTraffic:
    """The traffic role of the separate shape."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.settings = settings

    def limits(self) -> Limits:
        """What it can express."""
        return self.settings.limits

    def scope(self, endpoint: str) -> str:
        """What is locked while the endpoint's traffic changes."""
        return self.settings.scope_of(endpoint)

    def report(self, endpoint: str) -> TrafficReport:
        """The traffic as it is."""
        live = _read(self.world, "traffic.report", endpoint, ("traffic",))
        return TrafficReport(live.traffic, live.transition, live.reason, live.url)

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """The native steps that are left for the traffic of `target`."""
        return tuple(traffic_steps(self.settings, "traffic", live, target))

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step."""
        _start(self.world, self.settings, "traffic.start", endpoint, step, order)


class SimulatedPredictions:
    """The predictions role: what the world wrote down about the requests that were made in it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def cursor_at(self, time: datetime) -> str:
        """A cursor behind which every observation at or after `time` lies."""
        with self.world.call("predictions.cursor_at"):
            return records.cursor_at(self.world.predictions, time)

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        """The next observations."""
        with self.world.call("predictions.read") as faults:
            if _has(faults, FaultKind.EMPTY):
                return Page((), cursor, at_end=True)
            late = [self.world.clock.now() - timedelta(seconds=fault.seconds) for fault in faults if fault.kind is FaultKind.LATE_READ]
            return records.page(self.world.predictions, cursor, limit, min(late) if late else None)


def _has(faults: Sequence[Fault], kind: FaultKind) -> bool:
    return any(fault.kind is kind for fault in faults)


def _read(world: World, name: str, endpoint: str, roles: Sequence[str]) -> Live:
    with world.call(name, endpoint) as faults, world.section() as state:
        record = state.endpoints.get(endpoint)
        if record is None:
            return live_of(None, endpoint)
        older = body_of(record, faults, world.moment())
        return live_of(record if older is None else endpoint_from_json(older), endpoint, roles=roles)


def _start(world: World, settings: Settings, name: str, endpoint: str, step: Step, order: Order) -> None:
    role = name.partition(".")[0]
    if step.role != role:
        raise InvalidRequest(f"A step of the {step.role} role was given to the {role} role.")
    names = (*(variant.name for variant in step.ensures), *step.removes)
    with world.call(name, endpoint, action=step.action, variants=names, fence=order.fence) as faults, world.section() as state:
        check_fence(state, settings.scope_of(endpoint), order.fence)
        begin(state, settings, endpoint, step, order, faults, world.moment())
