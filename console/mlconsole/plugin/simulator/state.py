"""The world's records, and how time changes them. Mutable, because they are only ever touched inside the world's critical section."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from mlconsole.core.live import Live, LiveVariant, Transition, VariantState
from mlconsole.core.models import Json
from mlconsole.core.steps import Step
from mlconsole.core.traffic import Shadow, SliceSplit, Traffic, names_in, without
from mlconsole.plugin.simulator import documents
from mlconsole.plugin.simulator.documents import DocumentRecord, document_from_json


@dataclass(frozen=True)
class Moment:
    """Now, on both clocks."""

    elapsed: float
    wall: datetime

    def at(self, elapsed: float) -> str:
        """The wall time, as text, when the other clock stood at `elapsed`."""
        return (self.wall - timedelta(seconds=self.elapsed - elapsed)).isoformat()


@dataclass
class VariantRecord:
    """A variant as the world has it."""

    name: str
    model: str
    version: str
    digest: str
    state: str
    since: str
    reason: str = ""
    dies_at: float | None = None
    dies_of: str = ""
    log: list[str] = field(default_factory=list)


@dataclass
class Pending:
    """A transition under way. `due` None: it is stuck."""

    role: str
    ensures: list[dict[str, Json]]
    removes: list[str]
    traffic: dict[str, Json] | None
    gone: bool
    due: float | None = None
    rolls_back: bool = False
    failures: dict[str, str] = field(default_factory=dict)
    wrong_bytes: bool = False
    dies_after: float | None = None
    dies_of: str = ""
    atomic: bool = False
    """One native call: if a part of it fails, all of it does."""
    release: str | None = None
    before: dict[str, Json] = field(default_factory=dict)

    @classmethod
    def of(cls, role: str, step: Step) -> Pending:
        """What a step wants, before it is known how it will go."""
        return cls(role, [asdict(variant) for variant in step.ensures], list(step.removes), traffic_to_json(step.traffic), step.gone)

    @property
    def names(self) -> set[str]:
        """The variants that it brings up or takes away."""
        return {*(variant["name"] for variant in self.ensures), *self.removes}

    def same(self, other: Pending) -> bool:
        """Whether both want the same."""
        mine, others = ((each.role, each.ensures, sorted(each.removes), _normal(each.traffic), each.gone) for each in (self, other))
        return mine == others

    def touches(self, other: Pending) -> bool:
        """Whether both change the same thing."""
        routes = [each.gone or each.traffic is not None for each in (self, other)]
        return bool(self.names & other.names) or all(routes)


@dataclass
class EndpointRecord:
    """An endpoint as the world has it."""

    name: str
    variants: dict[str, VariantRecord] = field(default_factory=dict)
    traffic: dict[str, Json] | None = None
    release: str | None = None
    problem: str = ""
    """Why the last native call failed as a whole."""
    pending: list[Pending] = field(default_factory=list)
    before: dict[str, Json] | None = None
    """What a late read sees: the state before the last start."""
    late_until: float = 0.0
    late: dict[str, Json] | None = None
    skew: dict[str, int] | None = None
    """How requests are really split, when that is not what is reported (trap 15)."""


@dataclass
class State:
    """Everything in the world's file."""

    endpoints: dict[str, EndpointRecord] = field(default_factory=dict)
    documents: dict[str, DocumentRecord] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    faults: list[dict[str, Json]] = field(default_factory=list)
    behaviours: dict[str, dict[str, Json]] = field(default_factory=dict)
    released: int = 0
    """How often hanging calls have been let go."""
    credentials_until: str | None = None
    """When everybody's credentials end; None: they don't."""


def state_from_json(body: Mapping[str, Json]) -> State:
    """The state that `asdict` wrote."""
    endpoints = {name: endpoint_from_json(record) for name, record in body["endpoints"].items()}
    papers = {name: document_from_json(record) for name, record in body.get("documents", {}).items()}
    return State(**{**body, "endpoints": endpoints, "documents": papers})


def endpoint_from_json(body: Mapping[str, Json]) -> EndpointRecord:
    """The record that `asdict` wrote."""
    variants = {name: VariantRecord(**variant) for name, variant in body["variants"].items()}
    return EndpointRecord(**{**body, "variants": variants, "pending": [Pending(**pending) for pending in body["pending"]]})


def traffic_to_json(traffic: Traffic | None) -> dict[str, Json] | None:
    """Traffic as the world's file keeps it."""
    return None if traffic is None else asdict(traffic)


def traffic_from_json(body: Mapping[str, Json] | None) -> Traffic | None:
    """The traffic that `traffic_to_json` wrote."""
    if body is None:
        return None
    slices = tuple(SliceSplit(**entry) for entry in body["by_slice"])
    return Traffic(body["split"], slices, Shadow(**body["shadow"]) if body["shadow"] else None)


def _normal(traffic: Mapping[str, Json] | None) -> Json:
    return traffic and {**traffic, "by_slice": sorted(traffic["by_slice"], key=lambda entry: (entry["key"], entry["value"]))}


def live_of(record: EndpointRecord | None, endpoint: str, *, roles: Iterable[str] = ("serving", "traffic")) -> Live:
    """The record as `describe` tells it, as the given roles see it."""
    if record is None:
        return Live(endpoint)
    wanted = set(roles)
    moving = any(pending.role in wanted for pending in record.pending)
    transition = Transition.IN_PROGRESS if moving else Transition.FAILED if record.problem else Transition.SETTLED
    return Live(
        endpoint,
        tuple(_live_variant(variant) for variant in record.variants.values()),
        traffic_from_json(record.traffic) if "traffic" in wanted else None,
        transition,
        record.problem,
        f"sim://{endpoint}",
        record.release,
    )


def _live_variant(record: VariantRecord) -> LiveVariant:
    return LiveVariant(
        record.name,
        VariantState(record.state),
        record.model,
        record.version,
        record.digest,
        record.reason,
        {"machines": "1 × sim.small"},
        datetime.fromisoformat(record.since),
    )


def advance(state: State, moment: Moment) -> None:
    """Let everything happen that is due by now, in the order in which it was due."""
    for record in list(state.endpoints.values()):
        due = sorted((pending for pending in record.pending if _is_due(pending, moment)), key=lambda pending: pending.due or 0.0)
        for pending in due:
            record.pending.remove(pending)
            _finish(record, pending, moment)
        for variant in record.variants.values():
            if variant.state == VariantState.READY and variant.dies_at is not None and variant.dies_at <= moment.elapsed:
                change(variant, VariantState.FAILED, moment.at(variant.dies_at), variant.dies_of or "killed: out of memory")
        if not record.variants and record.traffic is None and not record.pending:
            del state.endpoints[record.name]
    for document in state.documents.values():
        documents.advance(document, moment.elapsed)


def change(record: VariantRecord, to: VariantState, since: str, reason: str = "") -> None:
    """A variant's new state, with a line in its log."""
    record.state, record.since, record.reason = to.value, since, reason
    record.log.append(f"{since} {to}{f': {reason}' if reason else ''}")


def wrong_digest(digest: str) -> str:
    """What runs where the wrong bytes run."""
    return f"sha256:{hashlib.sha256(f'wrong {digest}'.encode()).hexdigest()}"


def drop(record: EndpointRecord, name: str) -> None:
    """Take a variant away, and its name out of the traffic where nobody reaches it."""
    record.variants.pop(name, None)
    traffic = traffic_from_json(record.traffic)
    if traffic is not None and name in names_in(traffic) and not traffic.reaches(name):
        record.traffic = traffic_to_json(without(traffic, name))


def _is_due(pending: Pending, moment: Moment) -> bool:
    return pending.due is not None and pending.due <= moment.elapsed


def _finish(record: EndpointRecord, pending: Pending, moment: Moment) -> None:
    since = moment.at(pending.due or moment.elapsed)
    if pending.rolls_back or (pending.failures and pending.atomic):
        _restore(record, pending)
        if not pending.rolls_back:
            record.problem = next(iter(pending.failures.values()))
            _fail_new(record, pending, since)
        return
    for wanted in pending.ensures:
        _bring_up(record, pending, wanted, since)
    if pending.traffic is not None:
        record.traffic = pending.traffic
    elif pending.gone:
        record.traffic, record.skew = None, None
    for name in pending.removes:
        drop(record, name)
    record.release = pending.release


def _bring_up(record: EndpointRecord, pending: Pending, wanted: Mapping[str, Json], since: str) -> None:
    name, digest = wanted["name"], wanted["digest"]
    there = record.variants.get(name)
    if there is not None and there.state == VariantState.READY and there.digest == digest:
        return
    runs = wrong_digest(digest) if pending.wrong_bytes else digest
    log = there.log if there is not None else []
    creating = VariantState.CREATING.value
    record.variants[name] = variant = VariantRecord(name, wanted["model"], wanted["version"], runs, creating, since, log=log)
    if name in pending.failures:
        change(variant, VariantState.FAILED, since, pending.failures[name])
        return
    change(variant, VariantState.READY, since)
    if pending.dies_after is not None:
        variant.dies_at, variant.dies_of = (pending.due or 0.0) + pending.dies_after, pending.dies_of


def _restore(record: EndpointRecord, pending: Pending) -> None:
    for name in pending.names:
        was = pending.before.get(name)
        if was is None:
            drop(record, name)
        else:
            record.variants[name] = VariantRecord(**was)


def _fail_new(record: EndpointRecord, pending: Pending, since: str) -> None:
    """Of an update that failed as a whole, what is new stays to be seen; what was replaced is the old one again."""
    for wanted in pending.ensures:
        name = wanted["name"]
        if name in pending.failures and name not in record.variants:
            record.variants[name] = variant = VariantRecord(
                name, wanted["model"], wanted["version"], wanted["digest"], VariantState.CREATING.value, since
            )
            change(variant, VariantState.FAILED, since, pending.failures[name])
