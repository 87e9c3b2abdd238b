"""Drafts: a staged traffic beside the live one. Nothing has happened; it is found again after leaving, and after closing the console.

What a slider does is here too, as pure functions: what one variant gains another one loses, so that every split stays whole.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlconsole.core.errors import InvalidTraffic
from mlconsole.core.traffic import WHOLE, Shadow, SliceSplit, Split, Traffic, parse_percent, percent, same
from mlconsole.engine.views import EndpointView

Slice = tuple[str, str]
"""A label and one of its values, `("language", "de")`."""

_SCHEMA = 1


@dataclass(frozen=True)
class Draft:
    """A staged traffic, and the number of the release that was live when it was made."""

    release: int
    traffic: Traffic


def live_traffic(endpoint: EndpointView) -> Traffic | None:
    """The traffic that the live release wants; None where there is none that could be staged against."""
    split = {one.name: one.desired for one in endpoint.variants if one.desired is not None}
    slices = tuple(SliceSplit(endpoint.slice_key, value, own) for value, own in endpoint.by_slice.items())
    shadow = endpoint.shadow
    try:
        return Traffic(split, slices, Shadow(shadow.variant, shadow.desired) if shadow and shadow.desired else None)
    except InvalidTraffic:
        return None


# What a slider does.


def stable_of(split: Split) -> str:
    """The variant with the largest share; of equal ones the first."""
    return max(split, key=lambda name: split[name])


def order_of(live: Split, variant: str) -> list[str]:
    """Who gives to `variant` when it gains, in this order: the largest live share first. The first one also takes what it loses."""
    others = [name for name in live if name != variant]
    return sorted(others, key=lambda name: -live[name])


def moved(split: Split, variant: str, share: int, order: list[str]) -> dict[str, int]:
    """`variant` gets `share` (bp, kept within 0–100 %); what it gains the others lose in their order, what it loses the first one gains."""
    share = max(0, min(WHOLE, share))
    after = dict(split)
    wanted = share - after[variant]
    if not order:
        return after
    if wanted < 0:
        after[order[0]] -= wanted
    left = max(0, wanted)
    for name in order:
        given = min(after[name], left)
        after[name] -= given
        left -= given
    after[variant] = share
    return after


def own_split(traffic: Traffic, where: Slice) -> Split | None:
    """A slice's own split; None: it is served as all are."""
    return next((entry.split for entry in traffic.by_slice if (entry.key, entry.value) == where), None)


def split_of(traffic: Traffic, where: Slice | None) -> dict[str, int]:
    """The split that governs a slice's requests, or all requests; every variant is named in it."""
    governing = traffic.split if where is None else traffic.slice_split(*where)
    return {name: governing.get(name, 0) for name in traffic.split}


def slid(now: Traffic, live: Traffic, variant: str, share: int, where: Slice | None = None) -> Traffic:
    """The staged traffic after a slider was moved. A slice that is moved gets a split of its own; moved back to where all are, it loses
    it again, unless it has one live. A variant that is reached is no shadow any more.

    Raises:
        InvalidTraffic: another label splits already; splits may differ by one.
    """
    split = moved(split_of(now, where), variant, share, order_of(split_of(live, where), variant))
    if where is None:
        return _checked(split, now.by_slice, now.shadow)
    kept = tuple(entry for entry in now.by_slice if (entry.key, entry.value) != where)
    if split != dict(now.split) or own_split(live, where) is not None:
        kept = (*kept, SliceSplit(*where, split))
    return _checked(now.split, kept, now.shadow)


def as_for_all(now: Traffic, where: Slice) -> Traffic:
    """The staged traffic without that slice's own split."""
    return _checked(now.split, tuple(entry for entry in now.by_slice if (entry.key, entry.value) != where), now.shadow)


def with_shadow(now: Traffic, shadow: Shadow | None) -> Traffic:
    """The staged traffic with another shadow, or none.

    Raises:
        InvalidTraffic: no such variant, or it answers requests itself.
    """
    return replace(now, shadow=shadow if shadow and shadow.sample else None)


def parse_shadow(text: str, now: Traffic) -> Shadow | None:
    """A shadow as it is written: `v5=20`, `20` for the one that is there, `none`.

    Raises:
        InvalidTraffic: something else.
    """
    name, equals, share = (part.strip() for part in text.partition("="))
    if not equals and name.lower() in ("none", "off", "0"):
        return None
    if equals:
        return Shadow(name, parse_percent(share))
    if now.shadow is None:
        raise InvalidTraffic(f'"{text}" names no variant: VARIANT=PERCENT or none is wanted, like {list(now.split)[-1]}=20.')
    return Shadow(now.shadow.variant, parse_percent(name))


def _checked(split: Split, by_slice: tuple[SliceSplit, ...], shadow: Shadow | None) -> Traffic:
    plain = Traffic(split, by_slice)
    return replace(plain, shadow=shadow) if shadow and not plain.reaches(shadow.variant) else plain


def told(live: Traffic, then: Traffic) -> list[str]:
    """What is staged, against live: `v4 10 → 25 %`, `de v4 10 → 30 %`, `pl as for all`, `copies off → v5 20 %`."""
    lines = _split_told("", split_of(live, None), split_of(then, None))
    slices = dict.fromkeys((entry.key, entry.value) for entry in (*live.by_slice, *then.by_slice))
    for where in slices:
        if own_split(then, where) is None:
            lines.append(f"{where[1]} as for all")
        else:
            own = _split_told(f"{where[1]} ", split_of(live, where), split_of(then, where))
            lines += own or ([f"{where[1]} a split of its own"] if own_split(live, where) is None else [])
    if live.shadow != then.shadow:
        lines.append(f"copies {_copies(live.shadow)} → {_copies(then.shadow)}")
    return lines


def _split_told(label: str, old: Split, new: Split) -> list[str]:
    stable = stable_of(old)
    changed = [name for name in new if new[name] != old.get(name, 0)]
    others = [name for name in changed if name != stable] or changed
    return [f"{label}{name} {percent(old.get(name, 0))} → {percent(new[name])} %" for name in others]


def _copies(shadow: Shadow | None) -> str:
    return f"{shadow.variant} {percent(shadow.sample)} %" if shadow else "off"


# Where drafts are kept.


class Drafts:
    """One person's drafts, by environment and endpoint, in a file of their own. Without one they last as long as the console."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._drafts = _read(path)
        self._kept = True

    def get(self, environment: str, endpoint: str) -> Draft | None:
        """The draft for an endpoint."""
        return self._drafts.get((environment, endpoint))

    def put(self, environment: str, endpoint: str, draft: Draft | None) -> None:
        """Keep a draft; None: there is none any more. Another console's drafts stay; a full disk costs the keeping only."""
        if self._drafts.get((environment, endpoint)) == draft:
            return
        self.again()
        if draft is None:
            self._drafts.pop((environment, endpoint), None)
        else:
            self._drafts[environment, endpoint] = draft
        self._kept = self._path is None or _write(self._path, self._drafts)

    def again(self) -> None:
        """Read the file again: another console of the same person may have written it."""
        if self._path is not None and self._kept:
            self._drafts = _read(self._path)


def path_of(state: Path, user: str) -> Path:
    """Where a person's drafts lie; `state` is the workspace's `.mlconsole`."""
    return state / f"drafts-{re.sub(r'[^A-Za-z0-9._-]', '_', user)}.json"


def differs(draft: Draft, live: Traffic) -> bool:
    """Whether a draft says anything else than what is live."""
    return not same(draft.traffic, live)


def _read(path: Path | None) -> dict[tuple[str, str], Draft]:
    """The drafts that can be read; a damaged file has none, and a damaged draft is none."""
    if path is None:
        return {}
    found: dict[tuple[str, str], Draft] = {}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        body = json.loads(path.read_text(encoding="utf-8"))
        for environment, endpoints in body["drafts"].items() if body["schema"] == _SCHEMA else ():
            for endpoint, one in endpoints.items():
                with suppress(InvalidTraffic, KeyError, TypeError, ValueError, AttributeError):
                    found[environment, endpoint] = _draft(one)
    return found


def _draft(body: Mapping[str, Any]) -> Draft:
    slices = tuple(SliceSplit(str(key), str(value), _split(split)) for key, value, split in body["by_slice"])
    shadow = body["shadow"]
    copies = Shadow(str(shadow[0]), int(shadow[1])) if shadow else None
    return Draft(int(body["release"]), Traffic(_split(body["split"]), slices, copies))


def _split(body: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(share) for name, share in body.items()}


def _write(path: Path, drafts: Mapping[tuple[str, str], Draft]) -> bool:
    body: dict[str, dict[str, Any]] = {}
    for (environment, endpoint), draft in drafts.items():
        traffic = draft.traffic
        body.setdefault(environment, {})[endpoint] = {
            "release": draft.release,
            "split": dict(traffic.split),
            "by_slice": [[entry.key, entry.value, dict(entry.split)] for entry in traffic.by_slice],
            "shadow": [traffic.shadow.variant, traffic.shadow.sample] if traffic.shadow else None,
        }
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"schema": _SCHEMA, "drafts": body}, file)
        beside.replace(path)
        return True
    return False
