"""The rows of Canary: what each variant gets of all requests and of each slice's, live and staged, reported and observed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlconsole.core.observed import Shares, beyond_chance
from mlconsole.core.traffic import Traffic, percent
from mlconsole.engine.views import EndpointView, Snapshot, VariantView
from mlconsole.tui.drafts import Slice, live_traffic, own_split, split_of, stable_of
from mlconsole.tui.pane import Span
from mlconsole.tui.screens.endpoints import observed_cell, share_text
from mlconsole.tui.signs import BOLD, DIM, MAGENTA, YELLOW
from mlconsole.tui.slider import BAR, Level
from mlconsole.tui.table import Row

SHADOW = "|copies"
"""The key of the shadow's row."""

_ENOUGH = 30
"""Requests from which on a share that is off is told by its colour."""


@dataclass(frozen=True)
class Target:
    """What a row's slider moves: a variant's share of all requests, or of one slice's; or the shadow's."""

    key: str
    variant: str
    where: Slice | None = None

    @property
    def text(self) -> str:
        """`v4`, `v4 in de`, `copies (shadow)`."""
        if self.key == SHADOW:
            return "copies (shadow)"
        return f"{self.variant} in {self.where[1]}" if self.where else self.variant


def targets(endpoint: EndpointView, snapshot: Snapshot, staged: Traffic | None, language: str = "") -> list[Target]:
    """The rows there are. Slices stand under each variant but the stable one, which has the rest in each; with a `language`, only that."""
    live = live_traffic(endpoint)
    stable = stable_of(live.split) if live else ""
    slices = list(_slices(endpoint, snapshot, live, staged)) if live and snapshot.slices else []
    found = []
    for one in endpoint.variants:
        found.append(Target(f"{one.name}|", one.name))
        if one.name != stable and live and one.name in live.split:
            found += [Target(f"{one.name}|{'='.join(where)}", one.name, where) for where in slices if language in ("", where[1])]
    if live and (snapshot.shadow or endpoint.shadow):
        shadow = (staged or live).shadow or live.shadow
        found.append(Target(SHADOW, shadow.variant if shadow else ""))
    return found


def _slices(endpoint: EndpointView, snapshot: Snapshot, live: Traffic, staged: Traffic | None) -> Iterator[Slice]:
    """The slices that the versions behind the endpoint declare, and those that have a split of their own."""
    running = {(one.model, one.version) for one in endpoint.variants}
    seen: dict[Slice, None] = {}
    for version in snapshot.versions:
        if (version.model, version.version) in running:
            seen |= {(key, value): None for key, values in version.slices.items() for value in values}
    for traffic in (live, staged):
        seen |= {(entry.key, entry.value): None for entry in (traffic.by_slice if traffic else ())}
    yield from seen


def row_of(target: Target, endpoint: EndpointView, live: Traffic | None, staged: Traffic | None) -> tuple[Row, Level | None]:
    """A row, and where its slider stands."""
    if target.key == SHADOW:
        return _shadow_row(endpoint, live, staged)
    one = next(one for one in endpoint.variants if one.name == target.variant)
    if target.where is not None and live is not None:
        return _slice_row(target, target.where, endpoint, live, staged or live)
    then = (staged or live).split.get(one.name, 0) if live else 0
    changing = endpoint.operation is not None
    cells: dict[str, str | Span] = {
        "name": (one.name, BOLD),
        "desired": _staged(one.desired, then) if live and one.desired is not None else share_text(one.desired),
        "reported": (share_text(one.reported), "" if changing else _off(one)),
        "observed": observed_cell(one),
        BAR: "",
    }
    if live is None or one.desired is None:
        return Row(target.key, cells), None
    stable = one.name == stable_of(live.split)
    return Row(target.key, cells), Level(one.desired, then, stable=stable, moves=len(live.split) > 1)


def _slice_row(target: Target, where: Slice, endpoint: EndpointView, live: Traffic, staged: Traffic) -> tuple[Row, Level | None]:
    name = target.variant
    was, will = split_of(live, where)[name], split_of(staged, where)[name]
    own, own_then = own_split(live, where) is not None, own_split(staged, where) is not None
    reported = endpoint.reported_by_slice.get(where[1], {}) if own else {}
    if own_then:
        desired = _staged(was, will) if own or was != will else (f"{percent(will)} %", YELLOW)
    else:
        desired = ("→ as for all", YELLOW) if own else ("as for all", DIM)
    cells: dict[str, str | Span] = {
        "name": f"  {where[1]}",
        "desired": desired,
        "reported": share_text(reported.get(name, 0) if reported else None) if own else ("–", DIM),
        "observed": _observed(endpoint, where, name, was),
        BAR: "",
    }
    return Row(target.key, cells), Level(was, will, stable=not (own or own_then))


def _shadow_row(endpoint: EndpointView, live: Traffic | None, staged: Traffic | None) -> tuple[Row, Level | None]:
    seen = endpoint.shadow
    was = live.shadow if live else None
    will = staged.shadow if staged else was
    name = will.variant if will else was.variant if was else ""
    old, new = (f"{percent(one.sample)} %" if one else "off" for one in (was, will))
    if was != will:
        other = f"{was.variant} " if was and will and was.variant != will.variant else ""
        desired: str | Span = (f"{other}{old} → {new}", YELLOW)
    else:
        desired = old
    reported = f"{percent(seen.reported)} %" if seen and seen.reported is not None else "off"
    observed = f"{seen.observed / 100:.1f} %" if seen and seen.observed is not None else ("none", DIM)
    cells: dict[str, str | Span] = {
        "name": f"copies {name}".strip(),
        "desired": desired,
        "reported": reported,
        "observed": observed,
        BAR: "",
    }
    level = Level(was.sample if was else 0, will.sample if will else 0) if name else None
    return Row(SHADOW, cells), level


def _staged(was: int, will: int) -> str | Span:
    return f"{percent(was)} %" if was == will else (f"{percent(was)} → {percent(will)} %", YELLOW)


def _off(one: VariantView) -> str:
    return MAGENTA if one.reported is not None and one.desired is not None and one.reported != one.desired else ""


def _observed(endpoint: EndpointView, where: Slice, variant: str, desired: int) -> Span:
    """Of that slice's requests, whichever split decided over them; magenta when it lies beyond chance."""
    counts = endpoint.seen_by_slice.get("=".join(where), {})
    seen = Shares(sum(counts.values()), counts)
    share = seen.share(variant)
    if share is None:
        return "–", DIM
    return f"{share / 100:.1f} %", MAGENTA if seen.n >= _ENOUGH and beyond_chance(seen, variant, desired) else ""
