"""Which native steps are left, worked out purely from a live state and what is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlconsole.core.live import Live, VariantState, traffic_differences, variant_differences
from mlconsole.core.releases import Content, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Traffic, percent
from mlconsole.plugin.errors import Refused
from mlconsole.plugin.simulator.settings import Settings

START, STOP, SPLIT, UNSPLIT = "start variant", "stop variant", "set traffic", "end traffic"
CREATE, UPDATE, WEIGHTS, DELETE = "CreateEndpoint", "UpdateEndpoint", "UpdateWeights", "DeleteEndpoint"


def variant_steps(settings: Settings, live: Live, target: Content) -> Iterator[Step]:
    """One step for each variant to bring up, and one for each to take away.

    Raises:
        Refused: it can't express the target.
    """
    check_variants(settings, live.endpoint, target)
    for variant in _wanted(live, target):
        if variant_differences(live, (variant,)):
            there = live.variant(variant.name)
            replaced = there is not None and there.digest != variant.digest
            yield Step(
                "serving",
                START,
                f"start {variant.name} ({variant.model}@{variant.version})",
                Phase.PREPARE,
                ensures=(variant,),
                seconds=settings.variant_seconds,
                deadline=_deadline(settings.variant_seconds),
                cost_per_hour=settings.cost_per_hour,
                disrupts=f"{variant.name} does not answer while it is replaced" if replaced else "",
            )
    for extra in live.variants:
        if extra.name not in target.names:
            yield Step(
                "serving",
                STOP,
                f"stop {extra.name}",
                Phase.CLEAN,
                removes=(extra.name,),
                seconds=settings.stop_seconds,
                deadline=_deadline(settings.stop_seconds),
            )


def traffic_steps(settings: Settings, role: str, live: Live, target: Content) -> Iterator[Step]:
    """The one step that sets the split, the slices and the shadow; or that ends all traffic.

    Raises:
        Refused: it can't express the target.
    """
    check_traffic(settings, target)
    if not traffic_differences(live.traffic, target.traffic):
        return
    seconds, deadline = settings.traffic_seconds, _deadline(settings.traffic_seconds)
    if target.traffic is None:
        yield Step(role, UNSPLIT, "end all traffic", Phase.SHIFT, gone=True, seconds=seconds, deadline=deadline)
        return
    summary = f"set traffic {_told(target.traffic)}"
    yield Step(role, SPLIT, summary, Phase.SHIFT, traffic=target.traffic, seconds=seconds, deadline=deadline)


def combined_steps(settings: Settings, live: Live, target: Content) -> Iterator[Step]:
    """At most one step: an update that does everything at once, or one of weights only.

    Raises:
        Refused: it can't express the target.
    """
    check_variants(settings, live.endpoint, target)
    check_traffic(settings, target)
    seconds, deadline = settings.variant_seconds, _deadline(settings.variant_seconds)
    extra = tuple(variant.name for variant in live.variants if variant.name not in target.names)
    if target.traffic is None:
        if target.variants:
            raise Refused("Variants behind an endpoint always share its traffic here: there is none without.")
        if live.exists:
            stop, late = settings.stop_seconds, _deadline(settings.stop_seconds)
            yield Step("serving", DELETE, "delete the endpoint", Phase.SHIFT, removes=extra, gone=True, seconds=stop, deadline=late)
        return
    wanted = _wanted(live, target)
    if not live.exists or variant_differences(live, wanted) or extra or _shadow(live.traffic) != _shadow(target.traffic):
        action = UPDATE if live.exists else CREATE
        added = [variant for variant in target.variants if live.variant(variant.name) is None]
        cost = None if settings.cost_per_hour is None else settings.cost_per_hour * len(added)
        yield Step(
            "serving",
            action,
            f"{action}: {', '.join(target.names)}; {_told(target.traffic)}",
            Phase.SHIFT,
            ensures=wanted,
            removes=extra,
            traffic=target.traffic,
            seconds=seconds,
            deadline=deadline,
            cost_per_hour=cost,
        )
    elif traffic_differences(live.traffic, target.traffic):
        pace = settings.traffic_seconds
        summary = f"set weights {_told(target.traffic)}"
        yield Step("serving", WEIGHTS, summary, Phase.SHIFT, traffic=target.traffic, seconds=pace, deadline=_deadline(pace))


def check_variants(settings: Settings, endpoint: str, target: Content) -> None:
    """Refuse variants that this backend can't express."""
    limits = settings.limits
    if re.fullmatch(limits.endpoint_name, endpoint) is None:
        raise Refused(f"{endpoint!r} can't name an endpoint here: {limits.endpoint_name} is wanted.")
    for name in target.names:
        if re.fullmatch(limits.variant_name, name) is None:
            raise Refused(f"{name!r} can't name a variant here: {limits.variant_name} is wanted.")
    if len(target.variants) > limits.variants:
        raise Refused(f"At most {limits.variants} variants can be behind an endpoint here, not {len(target.variants)}.")


def check_traffic(settings: Settings, target: Content) -> None:
    """Refuse a split that this backend can't express."""
    traffic = target.traffic
    if traffic is None:
        return
    if traffic.by_slice and not settings.slices:
        raise Refused("This backend splits all requests alike: no slice can have a split of its own.")
    if traffic.shadow and not settings.shadow:
        raise Refused("This backend has no shadow.")
    grain = settings.share_granularity
    shares = [*traffic.split.values(), *(share for entry in traffic.by_slice for share in entry.split.values())]
    for share in shares:
        if share % grain:
            raise Refused(f"{percent(share)} % can't be expressed here: shares are multiples of {percent(grain)} %.")
    for name in traffic.split:
        if target.variant(name) is None:
            raise Refused(f'The traffic names "{name}", which is no variant of this release.')


def _wanted(live: Live, target: Content) -> tuple[Variant, ...]:
    """The variants that have to be ready. One that stands by, has the right bytes and is ill is left alone: it may be the stable one that
    broke, and the way forward must not wait for it (trap 12).
    """
    return tuple(variant for variant in target.variants if not _ill_standby(live, target, variant))


def _ill_standby(live: Live, target: Content, variant: Variant) -> bool:
    there, traffic = live.variant(variant.name), target.traffic
    if there is None or there.digest != variant.digest or there.state is not VariantState.FAILED or traffic is None:
        return False
    return not traffic.reaches(variant.name) and _shadow(traffic) != variant.name


def _deadline(seconds: float) -> float:
    return max(60.0, 5 * seconds)


def _shadow(traffic: Traffic | None) -> str | None:
    return traffic.shadow.variant if traffic and traffic.shadow and traffic.shadow.sample else None


def _told(traffic: Traffic) -> str:
    parts = [f"{name} {percent(share)} %" for name, share in traffic.split.items()]
    parts += [f"{entry.value}: own split" for entry in traffic.by_slice]
    return ", ".join(parts + ([f"shadow {traffic.shadow.variant}"] if traffic.shadow else []))
