"""Traffic: who gets which share of the requests, in basis points (bp, 1/100 of a percent) that sum to 10 000."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from mlconsole.core.errors import InvalidTraffic
from mlconsole.core.text import did_you_mean

WHOLE = 10_000
"""All of the traffic, in basis points."""

Split = Mapping[str, int]
"""Variant name → share in basis points. A variant at 0 is named too: it stands by and can be asked for by name."""

_PERCENT = re.compile(r"\d{1,3}(?:[.,]\d{1,2})?\s*%?")


@dataclass(frozen=True)
class SliceSplit:
    """The split for the requests whose slice `key` (a label such as *language*) has `value`."""

    key: str
    value: str
    split: Split


@dataclass(frozen=True)
class Shadow:
    """A variant that gets copies of a `sample` of the requests (bp); its answers reach nobody."""

    variant: str
    sample: int


@dataclass(frozen=True)
class Traffic:
    """The whole traffic of an endpoint: one split for all requests, others for named values of one slice, at most one shadow."""

    split: Split
    by_slice: tuple[SliceSplit, ...] = field(default=())
    shadow: Shadow | None = None

    def __post_init__(self) -> None:
        _check(self)

    def share(self, variant: str) -> int:
        """The variant's share of all requests (bp); 0 when it is not named."""
        return self.split.get(variant, 0)

    def reaches(self, variant: str) -> bool:
        """Whether any consumer's request can be answered by this variant, in any slice."""
        return self.share(variant) > 0 or any(entry.split.get(variant, 0) > 0 for entry in self.by_slice)

    def slice_split(self, key: str, value: str) -> Split:
        """The split that governs requests of that slice value: its own, else the one for all."""
        for entry in self.by_slice:
            if (entry.key, entry.value) == (key, value):
                return entry.split
        return self.split


def parse_percent(text: str) -> int:
    """A share as people write it (`10`, `12.5`, `0.25 %`) in basis points.

    Raises:
        InvalidTraffic: not a number with at most two places between 0 and 100.
    """
    cleaned = text.strip()
    if not _PERCENT.fullmatch(cleaned):
        raise InvalidTraffic(f'"{cleaned}" is not a share: a percentage from 0 to 100 with at most two places is wanted, like 10 or 12.5.')
    share = int(Decimal(cleaned.rstrip("% ").replace(",", ".")) * 100)
    if share > WHOLE:
        raise InvalidTraffic(f"{percent(share)} % is more than all of the traffic. Shares go from 0 to 100.")
    return share


def percent(share: int) -> str:
    """Basis points as a percentage without needless zeros: 1250 → `12.5`, 10 000 → `100`."""
    return f"{Decimal(share) / 100:f}".rstrip("0").rstrip(".") if share % 100 else str(share // 100)


def give(split: Split, variant: str, share: int) -> dict[str, int]:
    """`variant` gets `share`; the others keep their proportions in the rest, rounded by largest remainder so that the sum stays whole.

    Raises:
        InvalidTraffic: nobody else is there to take the rest.
    """
    others = {name: bp for name, bp in split.items() if name != variant}
    total = sum(others.values())
    rest = WHOLE - share
    if total == 0:
        if rest and len(others) != 1:
            raise InvalidTraffic(
                f"{variant} would get {percent(share)} %, and nobody the other {percent(rest)} %: no other variant serves.",
                next="Give it 100, or name the others: mlconsole traffic set.",
            )
        return {**dict.fromkeys(others, rest), variant: share}
    exact = {name: bp * rest / total for name, bp in others.items()}
    whole = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(others, key=lambda name: (whole[name] - exact[name], -others[name], name))
    for name in by_remainder[: rest - sum(whole.values())]:
        whole[name] += 1
    return {**{name: (whole[name] if name != variant else share) for name in split if name != variant}, variant: share}


def set_shares(now: Split, named: Mapping[str, int]) -> dict[str, int]:
    """The split after `named` shares were set: who is not named gets 0; but exactly one serving variant left unnamed takes the rest.

    *Serving* is a variant that has a share now.

    Raises:
        InvalidTraffic: an unknown variant, or shares that do not sum to 100 %.
    """
    for name in named:
        if name not in now:
            raise InvalidTraffic(f'There is no variant "{name}" here. {did_you_mean(name, now)}')
    total = sum(named.values())
    if total > WHOLE:
        raise InvalidTraffic(f"These shares sum to {percent(total)} %, not 100 %. Nothing was changed.")
    unnamed = [name for name, share in now.items() if share > 0 and name not in named]
    split = {name: named.get(name, 0) for name in now}
    if len(unnamed) == 1:
        split[unnamed[0]] = WHOLE - total
    elif total != WHOLE:
        raise InvalidTraffic(
            f"These shares sum to {percent(total)} %, not 100 %. Nothing was changed.",
            next="Only one serving variant may be left unnamed, to take the rest.",
        )
    return split


def names_in(traffic: Traffic | None) -> set[str]:
    """Every variant that the traffic names, in whatever way."""
    if traffic is None:
        return set()
    names = set(traffic.split)
    for entry in traffic.by_slice:
        names |= set(entry.split)
    return names | ({traffic.shadow.variant} if traffic.shadow else set())


def without(traffic: Traffic, variant: str) -> Traffic:
    """The same traffic without a variant that nobody reaches."""
    return Traffic(
        split=_drop(traffic.split, variant),
        by_slice=tuple(SliceSplit(entry.key, entry.value, _drop(entry.split, variant)) for entry in traffic.by_slice),
        shadow=traffic.shadow if traffic.shadow and traffic.shadow.variant != variant else None,
    )


def same(one: Traffic | None, other: Traffic | None) -> bool:
    """Whether two traffics send every request to the same place: zero shares and the order of slices do not matter."""
    if one is None or other is None:
        return one is other
    return _nonzero(one) == _nonzero(other)


def _nonzero(traffic: Traffic) -> tuple[object, ...]:
    slices = {(entry.key, entry.value): _positive(entry.split) for entry in traffic.by_slice}
    shadow = traffic.shadow if traffic.shadow and traffic.shadow.sample > 0 else None
    return _positive(traffic.split), slices, shadow


def _positive(split: Split) -> dict[str, int]:
    return {name: share for name, share in split.items() if share > 0}


def _drop(split: Split, variant: str) -> dict[str, int]:
    return {name: share for name, share in split.items() if name != variant}


def _check(traffic: Traffic) -> None:
    _check_split(traffic.split, "all requests")
    seen: set[tuple[str, str]] = set()
    for entry in traffic.by_slice:
        if (entry.key, entry.value) in seen:
            raise InvalidTraffic(f"{entry.key}={entry.value} has two splits.")
        seen.add((entry.key, entry.value))
        _check_split(entry.split, f"{entry.key}={entry.value}")
        _check_known(entry.split, traffic.split)
    if len({entry.key for entry in traffic.by_slice}) > 1:
        keys = ", ".join(sorted({entry.key for entry in traffic.by_slice}))
        raise InvalidTraffic(f"Splits may differ by one slice, not by several at once: {keys}.")
    if traffic.shadow is None:
        return
    if not 0 <= traffic.shadow.sample <= WHOLE:
        raise InvalidTraffic(f"A shadow's sample goes from 0 to 100 %, not {percent(traffic.shadow.sample)} %.")
    _check_known([traffic.shadow.variant], traffic.split)
    if traffic.reaches(traffic.shadow.variant):
        raise InvalidTraffic(
            f"{traffic.shadow.variant} answers requests already; a shadow gets copies only.",
            next=f"First take its traffic away: {traffic.shadow.variant}=0.",
        )


def _check_split(split: Split, what: str) -> None:
    for name, share in split.items():
        if not 0 <= share <= WHOLE:
            raise InvalidTraffic(f"{name} would get {percent(share)} % of {what}. Shares go from 0 to 100.")
    total = sum(split.values())
    if total != WHOLE:
        raise InvalidTraffic(f"The shares of {what} sum to {percent(total)} %, not 100 %.")


def _check_known(names: Iterable[str], split: Split) -> None:
    for name in names:
        if name not in split:
            raise InvalidTraffic(f'There is no variant "{name}" here. {did_you_mean(name, split)}')
