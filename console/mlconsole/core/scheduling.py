"""The schedule of a rollout: what the endpoint is in each stage. Its timetable is in `timetables`, what is done next in `deciding`, what a
person may ask in `steering`, and whether a policy can work at all in `policy_lint`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from mlconsole.core.errors import InvalidTraffic, UsageError
from mlconsole.core.policies import Policy, Stage
from mlconsole.core.releases import Content, Variant
from mlconsole.core.rollouts import PlannedStage
from mlconsole.core.text import duration
from mlconsole.core.traffic import WHOLE, Shadow, Split, Traffic, give, percent
from mlconsole.core.transitions import deployed, shared


class Growth(StrEnum):
    """How shares grow from stage to stage, in the words of AWS AppConfig."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"


def growth(kind: Growth, factor: int) -> tuple[int, ...]:
    """The shares (bp) of all stages: linear min(100 %, k·G) for k = 1, 2, …; exponential min(100 %, G·2^N) for N = 0, 1, ….
    `factor` is G in bp.

    Raises:
        UsageError: the factor is no share above 0.
    """
    if not 0 < factor <= WHOLE:
        raise UsageError(f"A growth factor of {percent(factor)} % makes no stages: from 0.01 to 100 is wanted.")
    shares = [factor]
    while shares[-1] < WHOLE:
        shares.append(min(WHOLE, shares[-1] + factor if kind is Growth.LINEAR else shares[-1] * 2))
    return tuple(shares)


def ordered(order: Sequence[str], keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """A policy's order as slice keys with values: a bare value is one of the only slice key that there is.

    Raises:
        UsageError: no such key, more than one that a bare value could be of, a slice named twice, or slices of several keys.
    """
    found: list[tuple[str, str]] = []
    for one in order:
        key, separator, value = one.partition("=")
        if not separator:
            if len(keys) != 1:
                have = f"requests have the slices {', '.join(sorted(keys))}" if keys else "requests have no slices here"
                raise UsageError(f'The policy\'s order names "{one}", and {have}.', next="Write it as KEY=VALUE in the policy's order.")
            key, value = keys[0], one
        if keys and key not in keys:
            raise UsageError(f'The policy\'s order names "{one}"; there is no slice {key}. Known: {", ".join(sorted(keys))}.')
        if not key or not value or (key, value) in found:
            raise UsageError(f'The policy\'s order names "{one}" {"twice" if (key, value) in found else "without key or value"}.')
        found.append((key, value))
    if len({key for key, _ in found}) > 1:
        raise UsageError("The policy's order goes by one slice, not by several at once: " + ", ".join(order) + ".")
    return tuple(found)


def planned(
    policy: Policy, now: Content, variant: Variant, share_granularity: int = 1, *, slice_keys: Sequence[str] = ()
) -> tuple[PlannedStage, ...]:
    """All stages of a rollout of `variant` from the live content, in order.

    What the new variant gets is taken from the stable ones in proportion, in the split for all requests and in those of slices alike; with
    an `order`, one slice after the other goes through all shares, then the rest of the requests. When everything is the new variant's,
    slices lose their own splits. Where it has a share already, the stages begin there. `slice_keys` are those that requests have.

    Raises:
        UsageError: the endpoint serves nothing yet, or only this variant; its name is taken; the shadow is somebody else's; the order
            names what is not there; the stages do not rise to 100 %.
        InvalidTraffic: a share between the backend's steps.
    """
    name = variant.name
    if now.traffic is None:
        raise UsageError(
            "This endpoint serves nothing yet: its first version gets all requests at once, and a rollout has nothing to compare it with.",
            next="Deploy it: mlconsole deploy MODEL@VERSION.",
        )
    _check_stages(policy, share_granularity)
    ready = deployed(now, variant, None)
    traffic = _traffic(ready)
    if all(split.get(name, 0) == WHOLE for split in (traffic.split, *(entry.split for entry in traffic.by_slice))):
        raise UsageError(f"{name} has all requests already: there is nothing to roll out.")
    elsewhere = traffic.shadow if traffic.shadow and traffic.shadow.variant != name else None
    stages: list[PlannedStage] = []
    if policy.shadow is not None and not traffic.reaches(name):
        if elsewhere is not None:
            raise UsageError(
                f"{elsewhere.variant} gets the copies that the policy's shadow stage wants for {name}: there is one shadow at a time.",
                next="End it first: mlconsole traffic set … --shadow none.",
            )
        copies = replace(traffic, shadow=Shadow(name, policy.shadow.sample))
        stages.append(
            PlannedStage(
                "shadow",
                Content(ready.variants, copies),
                0,
                policy.shadow.wait,
                policy.shadow.evidence,
                shadow=True,
            )
        )
    content = Content(ready.variants, replace(traffic, shadow=elsewhere))
    order = ordered(policy.order, slice_keys)
    for key, value in order:
        has = _traffic(content).slice_split(key, value).get(name, 0)
        for stage in _from(policy, has) if has < WHOLE else ():
            own = _given(traffic.slice_split(key, value), name, stage.share, share_granularity)
            content = shared(content, own, (key, value))
            stages.append(_stage(stage, content, f"{value} {percent(stage.share)} %", f"{key}={value}"))
    prefix = "rest " if order else ""
    for stage in _from(policy, _traffic(content).share(name)):
        content = _whole(content, name) if stage.share == WHOLE else _raised(content, traffic, name, stage.share, share_granularity)
        stages.append(_stage(stage, content, f"{prefix}{percent(stage.share)} %"))
    if policy.bake > 0:
        stages.append(PlannedStage(f"bake {_length(policy.bake)}", content, WHOLE, policy.bake, 0, bake=True))
    return tuple(stages)


def _check_stages(policy: Policy, granularity: int) -> None:
    shares = [stage.share for stage in policy.stages]
    rising = all(before < after for before, after in zip([0, *shares], shares, strict=False))
    if not shares or not rising or shares[-1] != WHOLE:
        told_shares = " → ".join(percent(share) for share in shares) or "none"
        raise UsageError(
            f"The stages of the policy {policy.name} are {told_shares} %: they have to rise, and to end at 100 %.",
            next="Correct them in mlconsole.yaml under policies.",
        )
    for share in [*shares, *([policy.shadow.sample] if policy.shadow else [])]:
        if share % granularity:
            below = share - share % granularity
            raise InvalidTraffic(
                f"This backend splits in steps of {percent(granularity)} %; {percent(share)} % in the policy {policy.name} is between two.",
                next=f"{percent(below)} or {percent(min(WHOLE, below + granularity))} is possible.",
            )


def _from(policy: Policy, has: int) -> tuple[Stage, ...]:
    """The stages that take nothing away of what it has already."""
    return tuple(stage for stage in policy.stages if stage.share >= has)


def _stage(stage: Stage, content: Content, name: str, slice_: str = "") -> PlannedStage:
    return PlannedStage(name, content, stage.share, stage.wait, stage.evidence, slice_)


def _given(split: Split, name: str, share: int, granularity: int) -> dict[str, int]:
    """`core.traffic.give` in the backend's steps: what is left between two steps goes to the largest."""
    given = give(split, name, share)
    if granularity > 1:
        others = [other for other in given if other != name]
        for other in others:
            given[other] -= given[other] % granularity
        if others:
            given[max(others, key=lambda other: (given[other], other))] += WHOLE - sum(given.values())
    return given


def _raised(content: Content, before: Traffic, name: str, share: int, granularity: int) -> Content:
    """Where the new variant has less than `share` it gets that, in the split for all and in those of slices. The others' proportions are
    those of `before`, so that nothing is lost to rounding from stage to stage."""
    traffic = _traffic(content)
    if traffic.share(name) < share:
        content = shared(content, _given(before.split, name, share, granularity))
    for entry in traffic.by_slice:
        if entry.split.get(name, 0) < share:
            content = shared(
                content, _given(before.slice_split(entry.key, entry.value), name, share, granularity), (entry.key, entry.value)
            )
    return content


def _whole(content: Content, name: str) -> Content:
    """All of it for the new variant, the others standing by at 0, and no slice with a split of its own."""
    traffic = _traffic(content)
    return Content(content.variants, Traffic({**dict.fromkeys(traffic.split, 0), name: WHOLE}, (), traffic.shadow))


def _traffic(content: Content) -> Traffic:
    assert content.traffic is not None  # planned refuses an endpoint that serves nothing
    return content.traffic


def _length(seconds: float) -> str:
    """`60 min` where people plan in minutes, `bake 60 min` and not `bake 1 h 00`."""
    return f"{round(seconds / 60)} min" if 120 <= seconds <= 7200 and seconds % 60 == 0 else duration(seconds)
