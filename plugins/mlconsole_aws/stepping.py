"""The native calls that lead from a live state to a wanted one. Pure: what has to be known stands in the live state and in the options.

Staged is the rule: an update adds what is new at weight 0 (minutes, nobody is sent there), gates ask it by name, weights move (which takes
no alarms: only the guardian watches), a last update takes away what stood by. All at once is for what can't be had otherwise: a first
endpoint, a shadow, and other bytes under a name that gets requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlconsole.core.live import Live, LiveVariant, VariantState, traffic_differences, variant_differences
from mlconsole.core.releases import Content, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Shadow, Traffic, percent
from mlconsole.plugin.errors import Refused
from mlconsole_aws import prices
from mlconsole_aws.describing import READ_ONLY, SCALING, STATUS, machines_of
from mlconsole_aws.limits import check
from mlconsole_aws.machines import machine
from mlconsole_aws.naming import Names
from mlconsole_aws.weights import weights

CREATE, UPDATE, WEIGHTS, DELETE = "CreateEndpoint", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities", "DeleteEndpoint"

NO_GUARD = "SageMaker takes no alarms with it: only the guardian watches"


@dataclass(frozen=True)
class Pace:
    """How long things take, and what they cost, as the options say."""

    names: Names
    sagemaker: Mapping[str, Any]
    prices: Mapping[str, float]

    @property
    def update(self) -> tuple[float, float]:
        """Seconds of an update, and after which it counts as stuck."""
        usual = float(self.sagemaker.get("update_seconds", 420.0))
        return usual, max(usual, float(self.sagemaker.get("deadline_seconds", 3600.0)))

    @property
    def weights(self) -> tuple[float, float]:
        """Seconds of moving weights, and after which that counts as stuck."""
        usual = float(self.sagemaker.get("weights_seconds", 60.0))
        return usual, max(usual, float(self.sagemaker.get("deadline_seconds", 3600.0)))


def steps(pace: Pace, live: Live, target: Content) -> tuple[Step, ...]:
    """What is left; nothing when nothing is.

    Raises:
        Refused: SageMaker can't express the target, or the endpoint is of a kind that is not changed from here.
    """
    check(pace.names, live.endpoint, target)
    found = tuple(_by_name(pace, live, target) if pace.names.by_name else _shared(pace, live, target))
    if found:
        _changeable(live, found)
    return found


# One endpoint for all variants.


def _shared(pace: Pace, live: Live, target: Content) -> Iterator[Step]:
    usual, late = pace.update
    extra = tuple(there.name for there in live.variants if target.variant(there.name) is None)
    if target.traffic is None:
        if target.variants:
            raise Refused("Variants behind a SageMaker endpoint always share its requests: there is none without a share or a 0.")
        if live.exists:
            yield _deleting(pace, live, Phase.SHIFT)
        return
    weights(target.traffic.split)
    if not live.exists or _lost(live):
        if live.exists:
            yield _deleting(pace, live, Phase.SHIFT)
        told = _told(target.traffic)
        yield Step(
            "serving", CREATE, f"create the endpoint with {', '.join(target.names)}: {told}", Phase.SHIFT,
            ensures=target.variants, traffic=target.traffic, seconds=usual, deadline=late,
            cost_per_hour=_cost(pace, target.variants, ()),
        )  # fmt: skip
        return
    wanted = tuple(variant for variant in target.variants if not _ill_standby(live, target, variant))
    missing = tuple(variant for variant in wanted if variant_differences(live, (variant,)))
    if _at_once(live, target, missing):
        gone = [there for there in live.variants if there.name in extra or _replaced(live, missing, there.name)]
        yield Step(
            "serving", UPDATE, f"update the endpoint to {', '.join(target.names)}: {_told(target.traffic)}, all at once", Phase.SHIFT,
            ensures=wanted, removes=extra, traffic=target.traffic, seconds=usual, deadline=late,
            cost_per_hour=_cost(pace, [one for one in missing if _new_fleet(live, one)], gone),
            disrupts="no gate asks it before it gets requests" if missing and _new_reached(target.traffic, missing) else "",
        )  # fmt: skip
        return
    if missing:
        replaced = [there for there in live.variants if _replaced(live, missing, there.name)]
        named = ", ".join(f"{one.name} ({one.model}@{one.version})" for one in missing)
        yield Step(
            "serving", UPDATE, f"add {named} at 0 %", Phase.PREPARE, ensures=missing, seconds=usual, deadline=late,
            cost_per_hour=_cost(pace, [one for one in missing if _new_fleet(live, one)], replaced),
        )  # fmt: skip
    # Until the last step takes them away, those that leave are named at 0 %.
    whole = Traffic({**target.traffic.split, **dict.fromkeys(extra, 0)}, shadow=target.traffic.shadow)
    now = live.traffic
    if now is None or traffic_differences(Traffic({**dict.fromkeys(target.names, 0), **now.split}, shadow=now.shadow), whole):
        usual_, late_ = pace.weights
        yield Step(
            "serving", WEIGHTS, f"move weights: {_told(target.traffic)} ({NO_GUARD})", Phase.SHIFT, traffic=whole,
            seconds=usual_, deadline=late_,
        )  # fmt: skip
    if extra:
        gone = [there for there in live.variants if there.name in extra]
        yield Step(
            "serving", UPDATE, f"take {', '.join(extra)} away", Phase.CLEAN, removes=extra, seconds=usual, deadline=late,
            cost_per_hour=_cost(pace, (), gone),
        )  # fmt: skip


def _at_once(live: Live, target: Content, missing: Sequence[Variant]) -> bool:
    """Whether only one update for everything leads there."""
    assert target.traffic is not None
    if _shadow(live.traffic) != _shadow(target.traffic):
        return True
    if _shadow(target.traffic) is not None:
        # Beside a shadow there is room for one production variant: whatever changes, changes at once.
        return bool(missing) or any(target.variant(there.name) is None for there in live.variants)
    return any(
        _replaced(live, missing, one.name) and (target.traffic.reaches(one.name) or (live.traffic and live.traffic.reaches(one.name)))
        for one in missing
    )


# Each variant an endpoint of its own.


def _by_name(pace: Pace, live: Live, target: Content) -> Iterator[Step]:
    usual, late = pace.update
    for variant in target.variants:
        if _ill_standby(live, target, variant) or not variant_differences(live, (variant,)):
            continue
        there = live.variant(variant.name)
        reached = live.traffic is not None and live.traffic.reaches(variant.name)
        lost = there is not None and there.resources.get(STATUS) in ("Failed", "OutOfService", "UpdateRollbackFailed")
        if there is not None and lost:
            yield _stopping(pace, live.endpoint, there, Phase.PREPARE)
        swap = there is not None and not lost
        added = [variant] if there is None or lost or there.digest != variant.digest else []
        yield Step(
            "serving",
            UPDATE if swap else CREATE,
            f"{'let ' if swap else 'create '}{pace.names.native(live.endpoint, variant.name)} "
            f"{'serve' if swap else 'for'} {variant.name} ({variant.model}@{variant.version})",
            Phase.SHIFT if swap and reached else Phase.PREPARE,
            ensures=(variant,),
            seconds=usual,
            deadline=late,
            cost_per_hour=_cost(pace, added, [there] if there is not None and swap and added else ()),
            disrupts="no gate asks it before it gets requests" if swap and reached else "",
        )
    for extra in live.variants:
        if target.variant(extra.name) is None:
            yield _stopping(pace, live.endpoint, extra, Phase.CLEAN)


def _stopping(pace: Pace, endpoint: str, there: LiveVariant, phase: Phase) -> Step:
    usual, late = pace.weights
    summary = f"delete {pace.names.native(endpoint, there.name)} ({there.name})"
    cost = _cost(pace, (), [there])
    return Step("serving", DELETE, summary, phase, removes=(there.name,), seconds=usual, deadline=late, cost_per_hour=cost)


# Both.


def _deleting(pace: Pace, live: Live, phase: Phase) -> Step:
    usual, late = pace.weights
    names = tuple(there.name for there in live.variants)
    cost = _cost(pace, (), live.variants)
    return Step("serving", DELETE, "delete the endpoint", phase, removes=names, gone=True, seconds=usual, deadline=late, cost_per_hour=cost)


def _changeable(live: Live, found: Sequence[Step]) -> None:
    """Refuse to change what is only shown here. Weights of what scales by itself may move; SageMaker lets nobody take such a variant away
    or exchange its machines before its scaling is deregistered."""
    for there in live.variants:
        touched = not found[0].gone and any(there.name in step.removes or _replaces(step, there) for step in found)
        why = there.resources.get(READ_ONLY)
        if why:
            raise Refused(
                f"{live.endpoint} is shown and not changed from here: {why}. Nothing was changed.",
                next="Change it where it was made.",
            )
        if there.resources.get(SCALING) and touched:
            raise Refused(
                f"{there.name} is scaled by itself ({there.resources[SCALING]} instances), and SageMaker takes it away only without that. "
                "Nothing was changed.",
                next=f"Deregister it first: aws application-autoscaling deregister-scalable-target ({there.name} of {live.endpoint}).",
            )


def _replaces(step: Step, there: LiveVariant) -> bool:
    return any(variant.name == there.name and variant.digest != there.digest for variant in step.ensures)


def _lost(live: Live) -> bool:
    """Whether the endpoint can only be deleted: it never came up, or is out of service."""
    return bool(live.variants) and all(there.resources.get(STATUS) in ("Failed", "OutOfService") for there in live.variants)


def _replaced(live: Live, missing: Sequence[Variant], name: str) -> bool:
    there = live.variant(name)
    return there is not None and any(one.name == name and one.digest != there.digest for one in missing)


def _new_fleet(live: Live, variant: Variant) -> bool:
    there = live.variant(variant.name)
    return there is None or there.digest != variant.digest


def _new_reached(traffic: Traffic, missing: Sequence[Variant]) -> bool:
    return any(traffic.reaches(one.name) for one in missing)


def _ill_standby(live: Live, target: Content, variant: Variant) -> bool:
    """One that stands by, has the right bytes and is ill is left alone: it may be the stable one that broke (trap 12)."""
    there, traffic = live.variant(variant.name), target.traffic
    if there is None or there.digest != variant.digest or there.state is not VariantState.FAILED or traffic is None:
        return False
    shadow = _shadow(traffic)
    return not traffic.reaches(variant.name) and (shadow is None or shadow.variant != variant.name)


def _shadow(traffic: Traffic | None) -> Shadow | None:
    return traffic.shadow if traffic is not None and traffic.shadow is not None and traffic.shadow.sample else None


def _cost(pace: Pace, added: Sequence[Variant], removed: Sequence[LiveVariant]) -> float | None:
    """What it adds to the bill an hour; None where a machine or its price is not known, or nothing comes or goes."""
    coming, going = [], []
    for variant in added:
        needed = machine(pace.sagemaker, variant.model, variant.version)
        if needed is None:
            return None
        coming.append((needed.instance_type, needed.instance_count))
    for there in removed:
        found = machines_of(there)
        if found is None:
            return None
        going.append(found)
    return prices.delta(coming, going, pace.prices) if coming or going else None


def _told(traffic: Traffic) -> str:
    parts = [f"{name} {percent(share)} %" for name, share in traffic.split.items()]
    return ", ".join(parts + ([f"shadow {traffic.shadow.variant} {percent(traffic.shadow.sample)} %"] if traffic.shadow else []))
