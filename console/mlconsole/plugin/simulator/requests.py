"""Consumers' requests: who answers them by the routing that is really in effect, and what is written down about it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlconsole.core.live import VariantState
from mlconsole.core.models import Json
from mlconsole.core.traffic import Split
from mlconsole.plugin.errors import NotFound
from mlconsole.plugin.roles import Observation
from mlconsole.plugin.simulator.behaviour import Behaviour, behaviour_from_json, input_hash, reply
from mlconsole.plugin.simulator.state import EndpointRecord, State, traffic_from_json

Inputs = Callable[[int, random.Random], Mapping[str, Json]]
"""The inputs of the n-th request."""


@dataclass(frozen=True)
class Load:
    """Many requests at once.

    They begin evenly over the last `seconds`. `slices` gives each key its values with their weights; the label is an input too. `variant`
    pins all of them. `distinct` repeats the same so many inputs; `keys` gives them so many assignment keys, each of which always goes to
    the same variant (sticky). `inputs` makes their inputs.
    """

    count: int
    seed: int = 0
    seconds: float = 60.0
    slices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    variant: str | None = None
    probe: bool = False
    distinct: int | None = None
    keys: int | None = None
    inputs: Inputs | None = None


@dataclass(frozen=True)
class Request:
    """One request: which it is, when it began, what it asks, and the random number that routes it (0–1)."""

    id: str
    time: datetime
    inputs: Mapping[str, Json]
    slices: Mapping[str, str]
    point: float
    shadow_point: float
    variant: str | None = None
    probe: bool = False


def require(state: State, endpoint: str, variant: str | None = None) -> EndpointRecord:
    """The endpoint's record.

    Raises:
        NotFound: no such endpoint or variant.
    """
    record = state.endpoints.get(endpoint)
    if record is None:
        raise NotFound(f'There is no endpoint "{endpoint}" here.')
    if variant is not None and variant not in record.variants:
        raise NotFound(f'There is no variant "{variant}" behind {endpoint}.')
    return record


def requests_of(load: Load, first: int, now: datetime) -> Iterator[Request]:
    """The requests of a load; the same for the same seed. Their ids count on from `first`."""
    chance = random.Random(f"load {load.seed}")
    for index in range(load.count):
        which = index if load.distinct is None else index % load.distinct
        row = random.Random(f"row {load.seed} {which}")
        slices = {key: row.choices(list(values), list(values.values()))[0] for key, values in load.slices.items()}
        made = load.inputs(which, row) if load.inputs else {"text": f"event {which}", "length": round(row.gauss(100, 20), 2)}
        point, shadow_point = chance.random(), chance.random()
        if load.keys is not None:
            point = random.Random(f"key {index % load.keys}").random()
        time = now - timedelta(seconds=load.seconds * (1 - (index + 1) / load.count))
        yield Request(f"r{first + index:010d}", time, {**slices, **made}, slices, point, shadow_point, load.variant, load.probe)


def answered(state: State, record: EndpointRecord, request: Request) -> tuple[Observation, ...]:
    """What is written down about a request: first the answer that the consumer got, then the shadow's copy, if it got one."""
    traffic = traffic_from_json(record.traffic)
    if request.variant is not None or traffic is None:
        return (_observed(state, record, request, request.variant, ""),)
    split, label = traffic.split if record.skew is None else record.skew, ""
    for key, value in request.slices.items():
        for entry in traffic.by_slice:
            if (entry.key, entry.value) == (key, value):
                split, label = entry.split, f"{key}={value}"
    first = _observed(state, record, request, _pick(split, request.point), label)
    shadow = traffic.shadow
    if shadow is None or request.shadow_point * 10_000 >= shadow.sample:
        return (first,)
    return first, _observed(state, record, request, shadow.variant, label, shadow=True)


def _pick(split: Split, point: float) -> str | None:
    left = point * sum(split.values())
    for name, share in split.items():
        left -= share
        if left < 0:
            return name
    return None


def _observed(state: State, record: EndpointRecord, request: Request, name: str | None, label: str, *, shadow: bool = False) -> Observation:
    variant = record.variants.get(name) if name else None
    common = Observation(
        record.name,
        None,
        request.id,
        request.time,
        503,
        1.0,
        shadow=shadow,
        pinned=request.variant is not None and not request.probe,
        probe=request.probe,
        slices=dict(request.slices),
        split=label,
        input_hash=input_hash(request.inputs),
        fields={key: value for key, value in request.inputs.items() if isinstance(value, int | float) or key in request.slices},
        error="no healthy upstream",
    )
    if variant is None or variant.state != VariantState.READY:
        return common
    stored = state.behaviours.get(variant.digest)
    behaviour = behaviour_from_json(stored) if stored is not None else Behaviour()
    said = reply(variant.digest, behaviour, request.inputs, request.slices)
    return Observation(
        **{
            **vars(common),
            "variant": name,
            "status": said.status,
            "milliseconds": said.milliseconds,
            "score": said.score,
            "output": None if said.score is None else {"score": said.score},
            "error": said.error,
        }
    )
