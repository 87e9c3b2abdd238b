"""What a native call does to the world. Runs inside the world's critical section, fence check and effect together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase

from mlconsole.core.live import VariantState
from mlconsole.core.models import Json
from mlconsole.core.releases import Variant
from mlconsole.core.steps import Step, outstanding
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.errors import Conflict, Refused
from mlconsole.plugin.roles import Order
from mlconsole.plugin.simulator.behaviour import behaviour_from_json
from mlconsole.plugin.simulator.faults import Fault, FaultKind
from mlconsole.plugin.simulator.settings import Settings, Shape
from mlconsole.plugin.simulator.state import (
    EndpointRecord,
    Moment,
    Pending,
    State,
    VariantRecord,
    change,
    live_of,
    traffic_from_json,
)


def check_fence(state: State, scope: str, fence: int) -> None:
    """Keep the highest token seen for a scope.

    Raises:
        Conflict: a newer one has been here.
    """
    newest = state.fences.get(scope, 0)
    if fence < newest:
        raise Conflict(
            f"The lease on {scope} has been taken by somebody else: token {fence} is older than {newest}.",
            next="mlconsole status tells what runs.",
        )
    state.fences[scope] = fence


def begin(state: State, settings: Settings, endpoint: str, step: Step, order: Order, faults: Sequence[Fault], moment: Moment) -> None:
    """Take an order: note what changes when, or nothing where it is so already, or under way.

    Raises:
        Conflict: another change of the endpoint is under way, and this backend can't do two.
        Refused: it would send requests to what does not run, or stop what still answers.
    """
    record = state.endpoints.get(endpoint) or EndpointRecord(endpoint)
    pending = replace(Pending.of(step.role, step), atomic=settings.shape is Shape.COMBINED, release=order.release)
    overlapping = [other for other in record.pending if other.touches(pending)]
    if any(other.same(pending) for other in overlapping):
        return
    live = live_of(record, endpoint)
    if not overlapping and not outstanding(step, live):
        return
    if pending.atomic and record.pending:
        raise Conflict(f"{endpoint} is being updated already; it takes no second update before that is over.")
    _check_routes(record, step)
    before = asdict(record)
    before["before"] = before["late"] = None
    new = tuple(variant for variant in step.ensures if _is_new(record, variant))
    pending.before = {name: asdict(record.variants[name]) for name in pending.names if name in record.variants}
    pending.due = moment.elapsed + _seconds(settings, step, new)
    _spoil(pending, new, faults, state)
    record.pending = [other for other in record.pending if other not in overlapping]
    record.problem = ""
    record.before = before
    for fault in faults:
        if fault.kind is FaultKind.LATE_READ:
            record.late, record.late_until = before, moment.elapsed + fault.seconds
    _show(record, pending, new, step.removes, moment)
    record.pending.append(pending)
    state.endpoints[endpoint] = record


def _check_routes(record: EndpointRecord, step: Step) -> None:
    """Readiness before weight (trap 18), and weight away before stopping."""
    brought = {variant.name for variant in step.ensures}
    if step.traffic is not None:
        for name in step.traffic.split:
            there = record.variants.get(name)
            wanted = step.traffic.reaches(name) or _is_shadow(step.traffic, name)
            if wanted and name not in brought and (there is None or there.state != VariantState.READY):
                raise Refused(f"{name} is not ready: no requests are sent to it. Nothing was changed.")
    traffic = step.traffic if step.traffic is not None else None if step.gone else traffic_from_json(record.traffic)
    for name in step.removes:
        if traffic is not None and (traffic.reaches(name) or _is_shadow(traffic, name)):
            raise Refused(f"{name} still gets requests: it is not stopped. Nothing was changed.", next="Take its traffic away first.")


def _is_shadow(traffic: Traffic, name: str) -> bool:
    return traffic.shadow is not None and traffic.shadow.variant == name and traffic.shadow.sample > 0


def _is_new(record: EndpointRecord, variant: Variant) -> bool:
    there = record.variants.get(variant.name)
    return there is None or there.state != VariantState.READY or there.digest != variant.digest


def _seconds(settings: Settings, step: Step, new: tuple[Variant, ...]) -> float:
    if new or (settings.shape is Shape.COMBINED and step.ensures):
        return settings.variant_seconds
    return settings.stop_seconds if step.removes else settings.traffic_seconds


def _spoil(pending: Pending, new: tuple[Variant, ...], faults: Sequence[Fault], state: State) -> None:
    for variant in new:
        behaviour = state.behaviours.get(variant.digest)
        if behaviour is not None and (reason := behaviour_from_json(behaviour).fails_to_load):
            pending.failures[variant.name] = reason
    for fault in faults:
        match fault.kind:
            case FaultKind.STUCK:
                pending.due = None
            case FaultKind.SILENT_ROLLBACK:
                pending.rolls_back = True
            case FaultKind.WRONG_BYTES:
                pending.wrong_bytes = True
            case FaultKind.DIES:
                pending.dies_after, pending.dies_of = fault.seconds, fault.reason
            case FaultKind.FAIL_VARIANT:
                reason = fault.reason or "the container did not pass its health check"
                failing = [variant.name for variant in new if fnmatchcase(variant.name, fault.variant)]
                pending.failures.update(dict.fromkeys(failing, reason))
            case _:
                pass


def _show(record: EndpointRecord, pending: Pending, new: tuple[Variant, ...], removes: tuple[str, ...], moment: Moment) -> None:
    """What can be seen of it at once. An atomic update leaves alone what runs until the new fleet has come up."""
    since = moment.at(moment.elapsed)
    for variant in new:
        there = record.variants.get(variant.name)
        if there is None or not pending.atomic:
            record.variants[variant.name] = fresh(variant, since, there.log if there else [])
    for name in () if pending.atomic else removes:
        if name in record.variants:
            change(record.variants[name], VariantState.STOPPING, since)


def fresh(variant: Variant, since: str, log: list[str]) -> VariantRecord:
    """A variant that has just been asked for."""
    record = VariantRecord(variant.name, variant.model, variant.version, variant.digest, VariantState.CREATING.value, since, log=log)
    change(record, VariantState.CREATING, since)
    return record


def body_of(record: EndpointRecord, faults: Sequence[Fault], moment: Moment) -> dict[str, Json] | None:
    """The older state that a read gets in place of the present one; None: it gets the present one."""
    if record.late is not None and moment.elapsed < record.late_until:
        return record.late
    if record.before is not None and any(fault.kind is FaultKind.LATE_READ for fault in faults):
        return record.before
    return None
