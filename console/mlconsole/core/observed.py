"""Observed traffic: who really answered, counted from predictions and set beside what was wanted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlconsole.core.traffic import WHOLE


@dataclass(frozen=True)
class Seen:
    """One prediction as far as the split is concerned. `split` is `""` for the split for all requests, else `KEY=VALUE`."""

    variant: str | None
    shadow: bool
    pinned: bool
    probe: bool
    failed: bool
    split: str = ""


@dataclass(frozen=True)
class Shares:
    """Requests that one split decided over, by who answered them. `n` counts all of them, those that reached nobody too."""

    n: int = 0
    by_variant: Mapping[str, int] = field(default_factory=dict)

    def share(self, variant: str) -> float | None:
        """The observed share in basis points; None when there was no request (never 0, which would be a finding)."""
        return None if self.n == 0 else self.by_variant.get(variant, 0) * WHOLE / self.n


@dataclass(frozen=True)
class Observed:
    """What was seen of an endpoint during `seconds`: consumers' requests (`n`), those that `failed`, shares by split, and shadow copies."""

    seconds: float
    n: int = 0
    failed: int = 0
    by_split: Mapping[str, Shares] = field(default_factory=dict)
    copies: Mapping[str, int] = field(default_factory=dict)

    def shares(self, split: str = "") -> Shares:
        """The shares of one split; of the one for all requests by default."""
        return self.by_split.get(split, Shares())


def count(seen: Iterable[Seen], seconds: float) -> Observed:
    """Count predictions. The console's own probes count nowhere; who asked for a variant by name says nothing about the split."""
    n = failed = 0
    splits: dict[str, Counter[str]] = {}
    totals: Counter[str] = Counter()
    copies: Counter[str] = Counter()
    for one in seen:
        if one.probe:
            continue
        if one.shadow:
            copies[one.variant or ""] += 1
            continue
        n += 1
        failed += one.failed
        if one.pinned:
            continue
        totals[one.split] += 1
        if one.variant is not None:
            splits.setdefault(one.split, Counter())[one.variant] += 1
    shares = {split: Shares(total, dict(splits.get(split, {}))) for split, total in totals.items()}
    return Observed(seconds, n, failed, shares, dict(copies))


def beyond_chance(observed: Shares, variant: str, desired: int, errors: float = 4.0) -> bool:
    """Whether an observed share lies further from the desired one (bp) than `errors` standard errors of a fair split.

    A desired 0 or 100 % allows no request at all on the other side.
    """
    share = observed.share(variant)
    if share is None:
        return False
    wanted = desired / WHOLE
    standard_error = math.sqrt(wanted * (1 - wanted) / observed.n)
    return abs(share / WHOLE - wanted) > errors * standard_error + 1e-12
