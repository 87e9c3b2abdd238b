"""Trends and histograms: what the Health screen draws of an endpoint."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import NamedTuple

from mlconsole.core.evidence import LONGEST, Cache, Evidence, View, mark_of, newest
from mlconsole.core.health import Baseline
from mlconsole.core.statistics import psi
from mlconsole.core.summaries import WINDOW, Summary, sameness, score_edge

TRENDS = ("same output", "errors", "over threshold", "p95", "requests")
"""What there is a trend of: shares from 0 to 1, p95 in ms, requests a second."""


def trend(
    evidence: Evidence,
    name: str,
    slice: str = "",  # noqa: A002  the design's word
    variants: Sequence[str] | None = None,
    step: float = 60.0,
    minutes: float = 60.0,
    cache: Cache | None = None,
) -> tuple[float | None, ...]:
    """One value for each `step` seconds (at least a window's) of the last `minutes`, oldest first; the last one's step contains now. None
    where nothing was. The first step begins at `trend_begin`. With the endpoint's `cache` only what is new is computed.

    Raises:
        ValueError: there is no trend of that name.
    """
    if name not in TRENDS:
        raise ValueError(f"there is no trend of {name}; there are {', '.join(TRENDS)}")
    view = View(evidence, cache)
    sources = [
        (key.variant, evidence.windows[key]) for key in view.live if key.slice == slice and (variants is None or key.variant in variants)
    ]
    kept = view.cache.trends
    first, whole = round(trend_begin(evidence.now, step, minutes)), _step(step)
    values: list[float | None] = []
    for begin in range(first, first + _steps(step, minutes) * whole, whole):
        place = (name, slice, tuple(variant for variant, _ in sources), whole, begin)
        mark = tuple(mark_of(windows, begin, begin + whole) for _, windows in sources)
        if place not in kept or kept[place][0] != mark:
            totals: dict[str, Summary] = {}
            for variant, windows in sources:
                for at in range(begin, begin + whole, WINDOW):
                    if at in windows:
                        _gather(name, totals.setdefault(variant, Summary()), windows[at])
            kept[place] = (mark, _value(evidence, name, totals, whole))
        values.append(kept[place][1])
    return tuple(values)


def trend_begin(now: float, step: float = 60.0, minutes: float = 60.0) -> float:
    """When the first value of a trend begins (epoch seconds): a multiple of the step."""
    whole = _step(step)
    return (math.floor(now / whole) + 1 - _steps(step, minutes)) * whole


def _step(step: float) -> int:
    return max(1, round(step / WINDOW)) * WINDOW


def _steps(step: float, minutes: float) -> int:
    return max(1, round(60 * minutes / _step(step)))


def _gather(name: str, total: Summary, one: Summary) -> None:
    """Add what the trend of that name needs, and no more: a screen draws many of them."""
    total.n += one.n
    total.failed += one.failed
    total.throttled += one.throttled
    if name == "same output":
        total.sample.update(one.sample)
    elif name in ("p95", "over threshold"):
        mine, its = (total.latency, one.latency) if name == "p95" else (total.scores, one.scores)
        for bucket, count in its.items():
            mine[bucket] = mine.get(bucket, 0) + count


def _value(evidence: Evidence, name: str, by_variant: dict[str, Summary], step: float) -> float | None:
    total = Summary()
    for one in by_variant.values():
        _gather(name, total, one)
    if not total.n:
        return None
    if name == "same output":
        return sameness(total).same
    if name == "errors":
        asked = total.n - total.throttled
        return total.failed / asked if asked else None
    if name == "p95":
        return total.quantile(0.95)
    if name == "requests":
        return total.n / step
    return over(evidence, by_variant)


def over(evidence: Evidence, by_variant: dict[str, Summary]) -> float | None:
    """The share of scores at or over the threshold, each variant by its own; None where no threshold or no score is known."""
    above = n = 0
    for variant, one in by_variant.items():
        baseline = evidence.baselines.get(variant)
        if baseline is None or baseline.threshold is None:
            continue
        above += one.over(baseline.threshold)
        n += sum(one.scores.values())
    return above / n if n else None


class Histogram(NamedTuple):
    """Scores now beside the baseline's: shares of each bin, how many scores there are now, and PSI corrected for their number."""

    edges: tuple[float, ...]
    now: tuple[float, ...]
    baseline: tuple[float, ...]
    n: int
    psi: float | None


def histogram(
    evidence: Evidence,
    variant: str,
    slice: str = "",  # noqa: A002  the design's word
    since: float | None = None,
) -> Histogram | None:
    """The scores of a variant since then, at most of the longest recent stretch; None without scores or without a baseline of them."""
    return histogram_of(View(evidence), variant, slice, since)


def histogram_of(view: View, variant: str, name: str = "", since: float | None = None) -> Histogram | None:
    """The same of evidence that is being read."""
    baseline = view.evidence.baselines.get(variant)
    if baseline is None or not sum(baseline.counts) or len(baseline.edges) != len(baseline.counts) + 1:
        return None
    earliest = newest(view.now) - LONGEST
    if since is not None:
        earliest = max(earliest, math.ceil(since / WINDOW) * WINDOW)
    scores = view.between(view.part(variant, name), earliest, newest(view.now) + WINDOW).summary.scores
    n = sum(scores.values())
    if not n:
        return None
    counts = binned(scores, baseline)
    found = psi(counts, baseline.counts)
    return Histogram(baseline.edges, _shares(counts), _shares(baseline.counts), n, found.excess if found else None)


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = sum(counts)
    return tuple(count / total for count in counts)


def binned(scores: dict[int, int], baseline: Baseline) -> list[int]:
    """Scores counted in the baseline's bins; what lies outside of them is in the outermost one."""
    counts = [0] * len(baseline.counts)
    for bucket, count in scores.items():
        # Its middle: a bucket's border may be the bin's, and the last digit of a float then decides.
        middle = (score_edge(bucket) + score_edge(bucket + 1)) / 2
        place = bisect.bisect_right(baseline.edges, middle) - 1
        counts[min(max(place, 0), len(counts) - 1)] += count
    return counts
