"""Comparison: whether a new variant's share of bad requests may be more than the stable one's, by bounds that hold at every look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlconsole.core.evidence import LEAST, NEEDED_USUAL
from mlconsole.core.statistics import Interval, always_valid_difference, always_valid_multiplier
from mlconsole.core.verdicts import Verdict

PASS_ALPHA = 0.05
"""The chance that a guard passes what is beyond its margin. It is not divided: every guard has to pass, so a bad variant is promoted only
when the guard that sees it errs."""

SLACK = 1.5
"""A stage that asks for fewer than `NEEDED_USUAL` requests may pass with a margin that so few can prove at all: so many times the upper
bound that a variant exactly like the stable one would have. It shrinks with every further request, until it is the margin that was set."""

FURTHEST = 10_000_000
"""More requests than this nobody waits for."""


class Arms(NamedTuple):
    """Bad requests of the new variant and of the stable one, each of how many."""

    bad: int
    n: int
    stable_bad: int
    stable_n: int

    @property
    def share(self) -> float | None:
        """Of the new variant."""
        return self.bad / self.n if self.n else None

    @property
    def stable_share(self) -> float | None:
        """Of the stable variant."""
        return self.stable_bad / self.stable_n if self.stable_n else None


@dataclass(frozen=True)
class Bounds:
    """What is too much: `margin` above the stable variant's share, `limit` absolutely. Both from 0 to 1; None: not asked."""

    margin: float | None
    limit: float | None
    evidence: int
    """Requests of the new variant before it may pass."""


class Compared(NamedTuple):
    """How a share compares. `allowed` is the difference (or the absolute limit) that it was held against."""

    verdict: Verdict
    allowed: float
    need: int
    """More requests until it would pass with the shares as they are; 0: no number of them would be enough, or none is needed."""


def fails(arms: Arms, bounds: Bounds, alpha: float) -> bool:
    """Whether it is certainly too much: the lower bound lies above the margin, from 15 requests on."""
    if arms.n < LEAST:
        return False
    if bounds.limit is not None and share_bounds(arms.bad, arms.n, alpha).low > bounds.limit:
        return True
    return bounds.margin is not None and arms.stable_n > 0 and _difference(arms, alpha).low > bounds.margin


def failing(several: Sequence[tuple[Arms, Bounds]], alpha: float) -> set[int]:
    """Which of them fail together at the level `alpha`: Holm's steps, from the least likely one on."""
    found: set[int] = set()
    while len(found) < len(several):
        level = alpha / (len(several) - len(found))
        more = {i for i, (arms, bounds) in enumerate(several) if i not in found and fails(arms, bounds, level)}
        if not more:
            break
        found |= more
    return found


def compared(arms: Arms, bounds: Bounds, *, failed: bool) -> Compared:
    """The verdict on one share. `failed` is what `failing` found; a pass takes the evidence that was asked for and an upper bound that lies
    within the margin. What is between holds.
    """
    allowed = _allowed(arms, bounds)
    if failed:
        return Compared(Verdict.FAIL, bounds.margin if bounds.margin is not None else allowed, 0)
    if not arms.n or (bounds.margin is not None and not arms.stable_n):
        return Compared(Verdict.NO_DATA, allowed, max(bounds.evidence - arms.n, 0))
    if arms.n >= bounds.evidence and _passes(arms, bounds):
        return Compared(Verdict.PASS, allowed, 0)
    return Compared(Verdict.INCONCLUSIVE, allowed, _need(arms, bounds))


def share_bounds(bad: int, n: int, alpha: float) -> Interval:
    """One share with one-sided bounds that hold at every look, with one success and one failure added."""
    if n <= 0:
        return Interval(0.0, math.nan, 1.0)
    share = (bad + 1) / (n + 2)
    half = math.sqrt(share * (1 - share) / (n + 2)) * always_valid_multiplier(n, alpha, one_sided=True)
    return Interval(max(0.0, share - half), bad / n, min(1.0, share + half))


def _difference(arms: Arms, alpha: float) -> Interval:
    return always_valid_difference(arms.bad, arms.n, arms.stable_bad, arms.stable_n, alpha, one_sided=True)


def _passes(arms: Arms, bounds: Bounds) -> bool:
    if bounds.limit is not None and share_bounds(arms.bad, arms.n, PASS_ALPHA).high > bounds.limit:
        return False
    return bounds.margin is None or _difference(arms, PASS_ALPHA).high <= _allowed(arms, bounds)


def _allowed(arms: Arms, bounds: Bounds) -> float:
    """The margin; where the stage asks for fewer than `NEEDED_USUAL` requests, the wider one that so few can prove."""
    if bounds.margin is None:
        return bounds.limit if bounds.limit is not None else 0.0
    if bounds.evidence >= NEEDED_USUAL or not arms.stable_n:
        return bounds.margin
    n = max(arms.n, bounds.evidence, 1)
    grown = n / arms.n if arms.n else 1.0
    beside = Arms(0, 0, round(grown * arms.stable_bad), round(grown * arms.stable_n))
    alike = beside._replace(bad=round(n * arms.stable_bad / arms.stable_n), n=n)
    return max(bounds.margin, min(0.5, SLACK * _difference(alike, PASS_ALPHA).high))


def _need(arms: Arms, bounds: Bounds) -> int:
    """How many more until it passes, should the shares stay as they are: doubled until it would, then halved down."""
    floor = max(bounds.evidence, arms.n + 1)

    def enough(n: int) -> bool:
        factor = n / arms.n
        grown = Arms(round(arms.bad * factor), n, round(arms.stable_bad * factor), max(1, round(arms.stable_n * factor)))
        return _passes(grown, bounds)

    high = floor
    while not enough(high):
        high *= 2
        if high > FURTHEST:
            return max(bounds.evidence - arms.n, 0)
    low = floor if high == floor else high // 2
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - arms.n
