"""Pairs: a shadow's answers beside those that consumers got, joined by request id as both come in, in whatever order.

What waits for its other half is bounded by age and by number, and what went unpaired is counted, so that a comparison never looks more
complete than it is.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mlconsole.core.health import OTHER
from mlconsole.core.models import Json
from mlconsole.core.summaries import score_bucket, score_edge

TOLERANCE = 0.05
"""Two scores that are no further apart agree."""

WAIT = 60.0
"""Seconds that a half waits for its other one, by the time of what comes in behind it."""

MOST = 100_000
"""So many halves wait at most; then the oldest go."""

WORST = 20

_SLICES = 200
_NANO = 1_000_000_000
_THROTTLED = 429


class Half(NamedTuple):
    """One answer: a consumer's, or the copy's (`shadow`). `time` is when the request began (epoch s)."""

    request_id: str
    shadow: bool
    variant: str
    time: float
    slices: Mapping[str, str]
    score: float | None
    output: Json
    status: int
    ms: float


class Pair(NamedTuple):
    """Both answers to one request. `distance` is how far the scores lie apart; 1 where outputs without a score differ."""

    distance: float
    live: Half
    shadow: Half
    flip: bool


@dataclass
class Tally:
    """What was counted of the pairs of one variant and one shadow.

    `compared`: both answered; all figures but the failures are of these. Differences are summed as whole nanos, so that the sum is the same
    in any order.
    """

    n: int = 0
    compared: int = 0
    agreed: int = 0
    scored: int = 0
    """Pairs of which both have a score."""
    failed: int = 0
    """Only the copy failed."""
    only_live_failed: int = 0
    both_failed: int = 0
    throttled: int = 0
    """One of both was turned away (429): that says nothing of either."""
    first: float = math.inf
    last: float = -math.inf
    flips: dict[str, list[int]] = field(default_factory=dict)
    """Slice (`""`: all) → flips over the threshold, pairs with scores."""
    slower: dict[int, int] = field(default_factory=dict)
    """The copy's latency less the original's (ms), by `score_bucket` → pairs."""
    worst: list[Pair] = field(default_factory=list)
    """Those that lie furthest apart, the worst first."""
    difference_nanos: int = 0

    @property
    def agree(self) -> float | None:
        """The share of compared pairs that agree; None of none."""
        return self.agreed / self.compared if self.compared else None

    @property
    def mean_difference(self) -> float | None:
        """How much higher the shadow scores, on average; None without scores."""
        return self.difference_nanos / _NANO / self.scored if self.scored else None

    @property
    def slower_ms(self) -> float | None:
        """Median of the copy's latency less the original's (ms), to the width of a bucket; None without pairs."""
        left = sum(self.slower.values()) / 2
        for bucket in sorted(self.slower):
            left -= self.slower[bucket]
            if left <= 0:
                return (score_edge(bucket) + score_edge(bucket + 1)) / 2
        return None


class Pairs:
    """Joins halves and counts pairs, as they come. An id that consumers use twice is joined in the order in which it comes."""

    def __init__(
        self, *, tolerance: float = TOLERANCE, threshold: float | None = None, wait: float = WAIT, most: int = MOST, worst: int = WORST
    ) -> None:
        """Without a `threshold` there are no flips."""
        self.tallies: dict[tuple[str, str], Tally] = {}
        """(variant, shadow) → what was counted."""
        self.originals = 0
        self.copies = 0
        self.unpaired_originals = 0
        """Originals whose copy did not come in time: with a sample of the requests copied, most of them are no loss."""
        self.unpaired_copies = 0
        """Copies whose original did not come in time."""
        self.dropped = 0
        """Halves that had to go before their time, since too many waited."""
        self._tolerance = tolerance + 1e-9
        self._threshold = threshold
        self._wait = wait
        self._most = most
        self._worst = worst
        self._waiting: dict[tuple[str, bool], list[Half]] = {}
        self._count = 0
        self._by_age: list[tuple[float, str, bool]] = []
        self._newest = -math.inf

    @property
    def waiting(self) -> int:
        """Halves whose other one may still come."""
        return self._count

    def add(self, half: Half) -> None:
        """Take in one answer; copies without a request id can't be joined and are unpaired."""
        if half.shadow:
            self.copies += 1
        else:
            self.originals += 1
        if not half.request_id:
            self._unpaired(half.shadow)
            return
        other = self._take(half.request_id, not half.shadow)
        if other is not None:
            self._count_pair(*((other, half) if half.shadow else (half, other)))
        else:
            self._waiting.setdefault((half.request_id, half.shadow), []).append(half)
            self._count += 1
            heapq.heappush(self._by_age, (half.time, half.request_id, half.shadow))
        self._newest = max(self._newest, half.time)
        self._let_go()

    def _take(self, request_id: str, shadow: bool) -> Half | None:
        halves = self._waiting.get((request_id, shadow))
        if not halves:
            return None
        half = halves.pop(0)
        if not halves:
            del self._waiting[request_id, shadow]
        self._count -= 1
        return half

    def _let_go(self) -> None:
        border = self._newest - self._wait
        while self._by_age and (self._by_age[0][0] < border or self._count > self._most):
            time, request_id, shadow = heapq.heappop(self._by_age)
            halves = self._waiting.get((request_id, shadow), [])
            if not any(half.time == time for half in halves):
                continue  # joined long ago
            halves.remove(next(half for half in halves if half.time == time))
            if not halves:
                del self._waiting[request_id, shadow]
            self._count -= 1
            if time < border:
                self._unpaired(shadow)
            else:
                self.dropped += 1
        if len(self._by_age) > 2 * self._count + 1000:  # mostly of those that were joined
            self._by_age = [(half.time, half.request_id, half.shadow) for halves in self._waiting.values() for half in halves]
            heapq.heapify(self._by_age)

    def _unpaired(self, shadow: bool) -> None:
        if shadow:
            self.unpaired_copies += 1
        else:
            self.unpaired_originals += 1

    def _count_pair(self, live: Half, shadow: Half) -> None:
        tally = self.tallies.setdefault((live.variant, shadow.variant), Tally())
        tally.n += 1
        tally.first, tally.last = min(tally.first, live.time), max(tally.last, live.time)
        if _THROTTLED in (live.status, shadow.status):
            tally.throttled += 1
            return
        live_well, shadow_well = 0 < live.status < 400, 0 < shadow.status < 400
        if not (live_well and shadow_well):
            tally.failed += live_well
            tally.only_live_failed += shadow_well
            tally.both_failed += not live_well and not shadow_well
            return
        tally.compared += 1
        slower = shadow.ms - live.ms
        if math.isfinite(slower):
            bucket = score_bucket(slower)
            tally.slower[bucket] = tally.slower.get(bucket, 0) + 1
        flip = False
        one, other = live.score, shadow.score
        if one is not None and other is not None and math.isfinite(one) and math.isfinite(other):
            distance = abs(other - one)
            tally.scored += 1
            tally.difference_nanos += round((other - one) * _NANO)
            if self._threshold is not None:
                flip = (one >= self._threshold) != (other >= self._threshold)
                self._count_flip(tally, {**shadow.slices, **live.slices}, flip)
        else:
            distance = 0.0 if one is None and other is None and live.output == shadow.output else 1.0
        tally.agreed += distance <= self._tolerance
        if distance > 0:
            insort(tally.worst, Pair(distance, live, shadow, flip), key=lambda pair: (-pair.distance, pair.live.request_id, pair.live.time))
            del tally.worst[self._worst :]

    @staticmethod
    def _count_flip(tally: Tally, slices: Mapping[str, str], flip: bool) -> None:
        for name in ("", *(f"{key}={value}" for key, value in slices.items())):
            if name not in tally.flips and len(tally.flips) > _SLICES:
                name = f"{name.partition('=')[0]}={OTHER}"  # noqa: PLW2901
            counts = tally.flips.setdefault(name, [0, 0])
            counts[0] += flip
            counts[1] += 1
