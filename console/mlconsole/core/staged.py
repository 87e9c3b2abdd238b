"""Staged: what is known of a rollout's present stage, read from its windows: the new variant and the stable one, slice by slice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from mlconsole.core.evidence import HOUR, LEAST, NEEDED_USUAL
from mlconsole.core.health import OTHER, Baseline, Settings
from mlconsole.core.rollouts import Rollout
from mlconsole.core.summaries import APPLICATION, WINDOW, Key, Summary

WINDOWS = HOUR // WINDOW
"""So many windows in which it answered are the stable variant's hour, where it has no traffic any more."""

DAY = 86_400.0
"""Seconds in which a slice has to reach its evidence where the rollout has no deadline; else it is pooled."""

_RATE_KNOWN = 60.0
"""Seconds of the stage from which its own rate is taken, and not that of the hour before."""

_INPUTS = 1000
"""Distinct inputs from which it is known well enough how alike a variant's outputs are."""


@dataclass(frozen=True)
class GuardEvidence:
    """All that a rollout's guards of kind `QUESTION` are judged by."""

    endpoint: str
    windows: Mapping[Key, Mapping[int, Summary]]
    """Begin (epoch seconds, a multiple of `WINDOW`) → summary, from an hour before the stage began up to now. Of what is older than the
    stage only the stable variant is read, and only where it has no traffic in the stage: then the new one is compared with the last hour
    in which it had, whenever that was. What begins after now was told by a clock that was set back since, and is not of this stage.
    """
    new: str
    stable: tuple[str, ...]
    stage_began: float
    """Epoch seconds: when the stage's traffic stood. A window that begins before it counts for nothing."""
    split: Mapping[str, Mapping[str, float]]
    """`""` for all requests, `KEY=VALUE` for a slice with a split of its own → variant → desired share, 0 to 1."""
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """Variant → its version's profile."""
    shadow: Mapping[Key, Mapping[int, Summary]] = field(default_factory=dict)
    """The windows of the shadow stage, copies and originals; they count where the rollout says so."""
    settings: Settings = field(default_factory=Settings)


class Part(NamedTuple):
    """What is judged as one: all requests, a slice, or the small ones together."""

    slice: str
    pooled: tuple[str, ...]
    decides: bool
    """Whether the stage waits for it; it may fail in any case."""

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices of the keys that it is made of."""
        return self.pooled or (self.slice,)


class Staged:
    """A stage's evidence, read once for each look."""

    def __init__(self, rollout: Rollout, evidence: GuardEvidence, now: float) -> None:
        self.rollout, self.evidence, self.now = rollout, evidence, now
        self.stage = rollout.present
        self.seconds = max(0.0, now - evidence.stage_began)
        self.needed = self.stage.evidence or NEEDED_USUAL
        """Requests of the new variant that a guard wants before it passes."""
        self._sums: dict[tuple[str, tuple[str, ...]], Summary] = {}
        self._rates: dict[str, float] = {}

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What is judged: all requests, and each slice; in a stage that is about one slice that one decides, and others only
        fail."""
        if self.stage.slice:
            own = Part(self.stage.slice, (), True)
            moved = [name for name in self.slices if name != own.slice and self.share(name) > 0 and _key(name) == _key(own.slice)]
            return (own, *(Part(name, (), False) for name in moved))
        parts, small = [Part("", (), True)], []
        for name in self.slices:
            if self.share(name) <= 0 and not self.stage.shadow:
                continue
            if self.reachable(name):
                parts.append(Part(name, (), True))
            else:
                small.append(name)
        return (*parts, Part(OTHER, tuple(small), False)) if small else tuple(parts)

    @property
    def whole(self) -> Part:
        """What the stage is about, undivided."""
        return self.parts[0]

    @cached_property
    def slices(self) -> list[str]:
        """Those that either variant has had requests of, in the stage or in the hour before it."""
        mine = {self.evidence.new, *self.evidence.stable}
        return sorted({key.slice for key, windows in self.evidence.windows.items() if key.slice and key.variant in mine and windows})

    def share(self, name: str) -> float:
        """The new variant's desired share of a slice's requests."""
        return self._desired(name).get(self.evidence.new, 0.0)

    def stable_share(self, name: str) -> float:
        """The stable variants' desired share of a slice's requests."""
        desired = self._desired(name)
        return sum(desired.get(variant, 0.0) for variant in self.evidence.stable)

    def _desired(self, name: str) -> Mapping[str, float]:
        return self.evidence.split.get(name) or self.evidence.split.get("", {})

    def beside(self, part: Part) -> bool:
        """Whether the stable variant answers at the same time; else the new one is compared with what was before the stage."""
        return self.stage.shadow or any(self.stable_share(name) > 0 for name in part.slices)

    def new(self, part: Part, *, shadow: bool = True) -> Summary:
        """What the new variant did in the stage; copies too, where they count (and `shadow` is asked)."""
        counts = shadow and self.rollout.shadow_counts and not self.stage.shadow
        return self._total("new with copies" if counts else "new", part)

    def stable(self, part: Part, *, shadow: bool = True) -> Summary:
        """What the stable variant did: in the stage, or in the hour before it where it has no traffic any more."""
        counts = shadow and self.rollout.shadow_counts and not self.stage.shadow
        name = "before" if not self.beside(part) else "stable with originals" if counts else "stable"
        return self._total(name, part)

    def newest(self, part: Part) -> Iterator[list[Summary]]:
        """The new variant's windows of the stage, the newest first; copies that count come last."""
        sources = [(self.evidence.windows, self.stage.shadow, self.evidence.stage_began)]
        if self.rollout.shadow_counts and not self.stage.shadow:
            sources.append((self.evidence.shadow, True, -math.inf))
        for windows, copies, begin in sources:
            mine = [windows[key] for key in self._keys((self.evidence.new,), part, copies) if key in windows]
            for at in sorted({at for one in mine for at in one if begin <= at <= self.now}, reverse=True):
                yield [one[at] for one in mine if at in one]

    def rate(self, name: str) -> float:
        """Requests a second that the new variant gets of a slice, by the traffic of all variants and its desired share."""
        if name not in self._rates:
            self._rates[name] = self._rate(name)
        return self._rates[name]

    def _rate(self, name: str) -> float:
        variants = (self.evidence.new, *self.evidence.stable)
        began, oldest = self.evidence.stage_began, self.evidence.stage_began - HOUR
        part = Part(name, (), True)
        if self.stage.shadow:
            return self.new(part).n / self.seconds if self.seconds else 0.0
        inside = before = 0
        first = began
        for key in self._keys(variants, part, copies=False):
            for at, one in self.evidence.windows.get(key, {}).items():
                if began <= at <= self.now:
                    inside += one.n
                elif oldest <= at < began:
                    before += one.n
                    first = min(first, at)
        if (self.seconds >= _RATE_KNOWN and inside >= LEAST) or not before:
            rate = inside / self.seconds if self.seconds else 0.0
        else:
            rate = (inside + before) / (self.now - first)
        return rate * self.share(name)

    def part_rate(self, part: Part) -> float:
        """The same of all that a part is made of."""
        return sum(self.rate(name) for name in part.slices)

    def reachable(self, name: str) -> bool:
        """Whether a slice can have the evidence that the stage asks for: until the deadline, or within a day.

        The time is that from the stage's begin, so that nothing becomes *not judged* because the deadline comes near.
        """
        deadline = self.rollout.deadline
        seconds = DAY if deadline is None else max(self.stage.wait, deadline.timestamp() - self.evidence.stage_began)
        return self.new(Part(name, (), True)).n >= self.needed or self.rate(name) * seconds >= self.needed

    def counts(self, name: str, seconds: float) -> dict[str, int]:
        """Variant → consumers' requests of a slice in the last seconds of the stage."""
        begin = max(self.evidence.stage_began, self.now - seconds)
        found: dict[str, int] = {}
        for key, windows in self.evidence.windows.items():
            if key.endpoint == self.evidence.endpoint and key.slice == name and not key.shadow and key.variant not in ("", APPLICATION):
                found[key.variant] = found.get(key.variant, 0) + sum(one.n for at, one in windows.items() if begin <= at <= self.now)
        return found

    def _total(self, what: str, part: Part) -> Summary:
        known = self._sums.get((what, part.slices))
        if known is not None:
            return known
        total, began = Summary(), self.evidence.stage_began
        variants = (self.evidence.new,) if what.startswith("new") else self.evidence.stable
        copies = what.startswith("new") and self.stage.shadow
        low, high = (self._last_hour, began) if what == "before" else (began, math.nextafter(self.now, math.inf))
        for key in self._keys(variants, part, copies):
            for at, one in self.evidence.windows.get(key, {}).items():
                if low <= at < high:
                    _add(total, one)
        if "with" in what:
            for key in self._keys(variants, part, copies=what.startswith("new")):
                for one in self.evidence.shadow.get(key, {}).values():
                    _add(total, one)
        self._sums[what, part.slices] = total
        return total

    @cached_property
    def _last_hour(self) -> float:
        """When the last hour began in which the stable variant answered consumers before the stage; counted in windows, and not by a clock
        that may have been set."""
        began, whole = self.evidence.stage_began, Part("", (), True)
        mine = [self.evidence.windows.get(key, {}) for key in self._keys(self.evidence.stable, whole, copies=False)]
        answered = sorted({at for one in mine for at in one if at < began}, reverse=True)[:WINDOWS]
        return answered[-1] if answered else began

    def _keys(self, variants: tuple[str, ...], part: Part, copies: bool) -> list[Key]:
        return [Key(self.evidence.endpoint, variant, copies, name) for variant in variants for name in part.slices]


def _key(name: str) -> str:
    return name.partition("=")[0]


def _add(total: Summary, one: Summary) -> None:
    """Merge what guards ask of: the input fields and the texts of errors are not in it."""
    total.n += one.n
    total.failed += one.failed
    total.throttled += one.throttled
    total.scored += one.scored
    total.first, total.last = min(total.first, one.first), max(total.last, one.last)
    for mine, its in ((total.latency, one.latency), (total.scores, one.scores)):
        for bucket, count in its.items():
            mine[bucket] = mine.get(bucket, 0) + count
    if len(total.sample) < _INPUTS:
        total.sample.update(one.sample)
