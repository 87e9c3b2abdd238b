"""Evidence: all that one endpoint is judged by, and how it is read: the recent past window by window, the usual as one summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlconsole.core.health import OTHER, Answer, Baseline, Settings
from mlconsole.core.summaries import APPLICATION, WINDOW, Key, Summary

HOUR = 3600
"""Seconds of the past that *usual* is taken from."""

LONGEST = 900
"""The longest recent stretch that is looked at (s); what has too few requests in it is pooled with others, or not judged."""

NEAR = 120
"""The usual ends so long before now (s): a trouble that is being judged must not have become usual yet. For what is so rare that a stretch
longer than this is needed, it ends `LONGEST` before."""

NEEDED_USUAL = 200
"""Requests from which a usual share is known well enough to compare with (field-notes §5: judge nothing below 200)."""

LEAST = 15
"""Requests from which a *fail* may be judged (field-notes §5). What can't have so many in `LONGEST` is small, and pooled."""

_JUST_NOW = 30
"""Seconds for which a variant that serves no more is still judged: its last requests may be under way."""

_BLOCKS = (600, 60)
"""Seconds of windows that are merged once and kept, so that the usual is the sum of a few blocks."""

_DRAWN = 86_400
"""Seconds for which a trend's values are kept."""

_KEPT = 30.0
"""Seconds for which a usual is not computed again: it changes slowly."""


@dataclass(frozen=True)
class Evidence:
    """All that one endpoint is judged by."""

    endpoint: str
    now: float
    """Epoch seconds."""
    windows: Mapping[Key, Mapping[int, Summary]]
    """Begin (epoch seconds, a multiple of `WINDOW`) → summary, of the last hour or so."""
    serving: Mapping[str, float] = field(default_factory=dict)
    """Variant → desired share, 0 to 1, of those that serve."""
    split_since: float | None = None
    """When the traffic last changed."""
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """Variant → its version's profile."""
    settings: Settings = field(default_factory=Settings)
    exclude: Sequence[tuple[float, float]] = ()
    """Stretches in which an alarm was firing: never usual."""
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Variant → what the backend says of its server: `memory`, `cpu`, `disk`."""


class Part(NamedTuple):
    """What is judged as one: some variants' requests of one slice. `variant` and `slice` are as an `Answer` has them."""

    variant: str
    slice: str
    keys: tuple[Key, ...]
    pooled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """What is usual: everything of a stretch of the past, and how long that stretch was without what is excluded from it."""

    summary: Summary
    seconds: float
    gap: float = 0.0
    """The longest time between two requests in it (s) while the endpoint had others, to the width of a window."""

    @property
    def known(self) -> bool:
        """Whether it is enough to compare with."""
        return self.summary.n >= NEEDED_USUAL

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.summary.n / self.seconds if self.seconds else 0.0


class _Kept(NamedTuple):
    at: float
    keys: tuple[Key, ...]
    until: int
    excluded: tuple[tuple[int, int], ...]
    reference: Reference


@dataclass
class Cache:
    """What need not be computed anew for each look. One for each endpoint; without it the answers are the same, and dearer."""

    blocks: dict[tuple[Key, int, int], tuple[tuple[int, ...], Summary]] = field(default_factory=dict)
    """A key, a begin, a length (s) → what was in the windows then, and their sum."""
    recent: dict[Part, tuple[tuple[int, ...], Summary]] = field(default_factory=dict)
    """A part (without its keys) → the same of what its figures are of, without the newest window."""
    usual: dict[tuple[Part, int], _Kept] = field(default_factory=dict)
    """A part (without its keys: variants come and go) and how long before now it ends → what was usual."""
    trends: dict[tuple[str, str, tuple[str, ...], int, int], tuple[tuple[tuple[int, ...], ...], float | None]] = field(default_factory=dict)
    """A trend's name, slice, variants, step and begin → what was in the windows then, and the value."""
    informing: tuple[float, object, tuple[Answer, ...]] | None = None
    """What only informs is asked less often: when, about what, what was answered."""
    pruned: float = -math.inf

    def prune(self, now: float) -> None:
        """Forget what is older than the hour; once a minute is enough."""
        if abs(now - self.pruned) < _BLOCKS[-1]:
            return
        self.pruned = now
        for old in [key for key in self.blocks if key[1] < now - 2 * HOUR]:
            del self.blocks[old]
        for past in [key for key in self.trends if key[-1] < now - _DRAWN]:
            del self.trends[past]
        for gone in [key for key, kept in self.usual.items() if abs(now - kept.at) > HOUR]:
            del self.usual[gone]


def newest(now: float) -> int:
    """The begin of the window that now lies in."""
    return math.floor(now / WINDOW) * WINDOW


class View:
    """One endpoint's evidence, read: its parts, the recent windows of a part, and what is usual for it."""

    def __init__(self, evidence: Evidence, cache: Cache | None = None) -> None:
        self.evidence = evidence
        self.now = evidence.now
        self.cache = cache if cache is not None else Cache()
        self.cache.prune(self.now)
        # Copies for a shadow are no consumer's requests, and an application's own log tells of the same requests once more.
        self.live = {
            key: windows
            for key, windows in evidence.windows.items()
            if not key.shadow and key.variant != APPLICATION and key.endpoint == evidence.endpoint and windows
        }
        # The last request lies in the newest window that there is: the others need not be looked at.
        self.last = max((windows[max(windows)].last for key, windows in self.live.items() if not key.slice), default=-math.inf)
        """When the newest request of a consumer began."""
        slices = {key.slice for key in self.live if key.slice}
        if evidence.exclude:
            # A slice that has been silent for longer than the evidence reaches back is silent still.
            slices |= {part.slice for part, _ in self.cache.usual if "=" in part.slice and not part.variant}
        self.slices = sorted(slices)
        self.all = self.part("", "")

    def part(self, variant: str, *slices: str) -> Part:
        """The requests of these slices that this variant answered; `""`: of all variants, and of none."""
        keys = tuple(key for key in self.live if key.slice in slices and (not variant or key.variant == variant))
        if len(slices) == 1:
            return Part(variant, slices[0], keys)
        return Part(variant, OTHER, keys, tuple(slices))

    def application(self) -> list[Part]:
        """What an application logged itself, over all and by slice."""
        mine = [
            key for key in self.evidence.windows if key.variant == APPLICATION and key.endpoint == self.evidence.endpoint and not key.shadow
        ]
        return [Part(APPLICATION, name, tuple(key for key in mine if key.slice == name)) for name in sorted({key.slice for key in mine})]

    def variants(self) -> list[str]:
        """Those that serve and were reached in the longest stretch, and those that were reached just now, by name.

        What a variant did that gets no requests any more is over: it must neither page nor hold an alarm open.
        """
        oldest, just_now = newest(self.now) - LONGEST, newest(self.now) - _JUST_NOW
        serving = self.evidence.serving
        return sorted(
            {
                key.variant
                for key, windows in self.live.items()
                if key.variant and not key.slice and max(windows) >= (oldest if not serving or key.variant in serving else just_now)
            }
        )

    def back(self, part: Part, seconds: float = LONGEST) -> Iterator[tuple[int, list[Summary]]]:
        """The windows of a part with their begins, newest first, empty ones too, so many seconds back from the one that now lies in."""
        sources = [self.evidence.windows[key] for key in part.keys]
        begin = newest(self.now)
        for at in range(begin, begin - math.ceil(seconds / WINDOW) * WINDOW - 1, -WINDOW):
            found = []
            for windows in sources:
                one = windows.get(at)
                if one is not None:
                    found.append(one)
            yield at, found

    def count(self, part: Part, seconds: float = LONGEST) -> int:
        """Requests in the recent past."""
        return sum(one.n for _, found in self.back(part, seconds) for one in found)

    def usual(self, part: Part, gap: int = NEAR) -> Reference:
        """What was usual for a part in the hour up to `gap` seconds before now."""
        name = (part._replace(keys=()), gap)
        kept = self.cache.usual.get(name)
        fresh = kept is not None and 0 <= self.now - kept.at < _KEPT and kept.keys == part.keys
        if kept and fresh and kept.excluded == self._excluded(kept.until - HOUR + gap, kept.until):
            return kept.reference
        until = newest(self.now) - gap
        begin = until + gap - HOUR
        excluded = self._excluded(begin, until)
        reference = self.between(part, begin, until, excluded)
        if not reference.known and excluded:
            # The whole hour is one trouble: what was usual before it still is, if it is in the evidence, or was kept.
            oldest = min((min(windows) for windows in self.live.values()), default=until)
            reference = self.between(part, oldest, until, self._excluded(oldest, until))
            if not reference.known and kept and kept.reference.known:
                reference = kept.reference
        self.cache.usual[name] = _Kept(self.now, part.keys, until, excluded, reference)
        return reference

    def _excluded(self, begin: int, until: int) -> tuple[tuple[int, int], ...]:
        """The excluded stretches, in whole windows, as far as they lie in the time from `begin` to `until`."""
        result = []
        for first, last in self.evidence.exclude:
            low = max(begin, math.floor(first / WINDOW) * WINDOW)
            high = min(until, math.ceil(last / WINDOW) * WINDOW if math.isfinite(last) else until)
            if low < high:
                result.append((low, high))
        return tuple(sorted(result))

    def between(self, part: Part, begin: int, until: int, excluded: Iterable[tuple[int, int]] = ()) -> Reference:
        """Everything of a part in the windows that begin in [begin, until), without what is excluded."""
        gone = {at for low, high in excluded for at in range(low, high, WINDOW)}
        known = [min(self.evidence.windows[key]) for key in (*self.all.keys, *part.keys)] or [until]
        first = max(begin, min(known) // WINDOW * WINDOW)
        total = Summary()
        seconds = 0
        longest = current = 0
        begun = False
        others = [self.evidence.windows[key] for key in self.all.keys]
        sources = [(key, self.evidence.windows[key]) for key in part.keys]
        at = first
        while at < until:
            size = next(
                (size for size in _BLOCKS if at % size == 0 and at + size <= until and gone.isdisjoint(range(at, at + size, WINDOW))), 0
            )
            end = at + (size or WINDOW)
            if size:
                for key, windows in sources:
                    total.merge(self._block(key, windows, at, size))
            elif at not in gone:
                for _, windows in sources:
                    if at in windows:
                        total.merge(windows[at])
            for window in range(at, end, WINDOW):
                if window in gone:
                    current = 0
                    continue
                seconds += WINDOW
                if any(window in windows for _, windows in sources):
                    longest, current, begun = max(longest, current), 0, True
                elif begun and any(window in windows for windows in others):
                    current += WINDOW
            at = end
        return Reference(total, seconds, longest)

    def recent(self, part: Part, begin: int) -> Summary:
        """Everything of a part in the windows from `begin` on. Those that are over are added up once: only the newest one still grows."""
        latest = newest(self.now)
        sources = [self.evidence.windows[key] for key in part.keys]
        mark = sum((mark_of(windows, begin, latest) for windows in sources), start=())
        name = part._replace(keys=())
        kept = self.cache.recent.get(name)
        if kept is None or kept[0] != mark:
            over = Summary()
            for windows in sources:
                for at in range(begin, latest, WINDOW):
                    if at in windows:
                        over.merge(windows[at])
            kept = self.cache.recent[name] = (mark, over)
        total = Summary()
        total.merge(kept[1])
        for windows in sources:
            if latest in windows:
                total.merge(windows[latest])
        return total

    def _block(self, key: Key, windows: Mapping[int, Summary], at: int, size: int) -> Summary:
        """The sum of some minutes. It is made again when more was ingested for them than when it was made."""
        mark = mark_of(windows, at, at + size)
        kept = self.cache.blocks.get((key, at, size))
        if kept and kept[0] == mark:
            return kept[1]
        total = Summary()
        if size == _BLOCKS[-1]:
            for begin in range(at, at + size, WINDOW):
                if begin in windows:
                    total.merge(windows[begin])
        else:
            smaller = _BLOCKS[_BLOCKS.index(size) + 1]
            for begin in range(at, at + size, smaller):
                total.merge(self._block(key, windows, begin, smaller))
        self.cache.blocks[key, at, size] = (mark, total)
        return total


def mark_of(windows: Mapping[int, Summary], begin: int, until: int) -> tuple[int, ...]:
    """What tells whether the windows that begin in [begin, until) are as they were: they only ever grow."""
    count = n = more = 0
    for at in range(begin, until, WINDOW):
        one = windows.get(at)
        if one is not None:
            count, n, more = count + 1, n + one.n, more + one.failed + one.scored + len(one.sample)
    return begin, until, count, n, more


def percent(share: float) -> str:
    """`0.2 %`, `12 %`; `100 %` and `0 %` only where it is exactly that."""
    value = 100 * share
    if 0 < value < 0.1:
        return "< 0.1 %"
    if value < 9.95:
        return f"{value:.1f} %".replace(".0 %", " %")
    return f"{min(value, 99.9):.1f} %" if 99.5 <= value < 100 else f"{value:.0f} %"
