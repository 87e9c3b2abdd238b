"""Figures of a period that a backend counted itself, as the summaries of ten seconds that all else is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlconsole.core.summaries import WINDOW, Summary, latency_edge

_GROWTH = math.log(latency_edge(1) / latency_edge(0))

_LOWEST = 0.5
"""Of the lowest percentile that is told: so much of it is taken to be the fastest answer."""


def windows_of(
    begin: int, seconds: float, requests: int, failed: int, throttled: int, latency: Mapping[float, float]
) -> dict[int, Summary]:
    """The windows of one period: begin (epoch s) → summary, only those with a request.

    A backend tells one figure for a minute, and windows are of ten seconds. What was told late may be failures alone, of requests that were
    counted before: then more fail than are asked here. The requests are taken to have come evenly, the failed and
    throttled ones evenly among them, and each window to have been as fast as the whole: whoever adds the windows up again has exactly what
    was told, whoever reads them sees no burst that the backend did not tell of. The same figures always give the same windows.

    Latencies are made from the percentiles: between two of them evenly by the logarithm, beneath the lowest from half of it on, above the
    highest all at it, for how slow the slowest were is not known. So a percentile that was told is found again to the width of a bucket
    (5 %), and how many were slower than something between two percentiles is an estimate.
    """
    number = max(1, int(seconds // WINDOW))
    unasked = max(0, failed + throttled - requests)
    requests += unasked
    answered = [0] * number
    found: dict[int, Summary] = {}
    for place in range(number):
        low, high = requests * place // number, requests * (place + 1) // number
        if low == high:
            continue
        bad = _upto(high, failed, requests) - _upto(low, failed, requests)
        rest = requests - failed
        good_low, good_high = low - _upto(low, failed, requests), high - _upto(high, failed, requests)
        held = _upto(good_high, throttled, rest) - _upto(good_low, throttled, rest)
        at = begin + place * WINDOW
        answered[place] = high - low - bad - held
        found[at] = Summary(n=high - low, failed=bad, throttled=held, first=float(at), last=at + WINDOW - 0.001)
    for place, counts in enumerate(_dealt(histogram(sum(answered), latency), answered)):
        if counts:
            found[begin + place * WINDOW].latency = counts
    for one in found.values():
        less = min(one.n, unasked)
        one.n, unasked = one.n - less, unasked - less
    return found


def _upto(place: int, some: int, of: int) -> int:
    """How many of `some`, spread evenly among `of`, lie before that place."""
    return place * some // of if of else 0


def histogram(number: int, percentiles: Mapping[float, float]) -> dict[int, int]:
    """So many latencies, as the percentiles (0 to 100 → ms) tell them: bucket → count. Empty where none is told."""
    points = [(share / 100, ms) for share, ms in sorted(percentiles.items()) if 0 < share <= 100 and ms >= 0 and math.isfinite(ms)]
    if not points or number <= 0:
        return {}
    borders = [(0.0, _place(points[0][1] * _LOWEST))]
    for share, ms in points:
        borders.append((share, max(_place(ms), borders[-1][1])))  # a p99 below the p95 is nobody's
    highest = math.floor(borders[-1][1])
    counts: dict[int, int] = {}
    before = at = 0
    for bucket in range(math.floor(borders[0][1]), highest):
        while at + 1 < len(borders) and borders[at + 1][1] <= bucket + 1:
            at += 1
        share, begin = borders[at]
        if at + 1 < len(borders):
            further, end = borders[at + 1]
            share += (further - share) * max(0.0, bucket + 1 - begin) / (end - begin)
        upto = math.floor(number * share + 0.5)
        if upto > before:
            counts[bucket] = upto - before
            before = upto
    if number > before:
        counts[highest] = number - before
    return counts


def _place(milliseconds: float) -> float:
    """Where a latency lies among the buckets: bucket 3 goes from 3.0 to 4.0."""
    return math.log(max(milliseconds, 0.01)) / _GROWTH


def _dealt(counts: Mapping[int, int], rooms: list[int]) -> list[dict[int, int]]:
    """A histogram dealt out to windows that answered so many each: of each bucket every one of them gets what its size is worth."""
    total, number = sum(rooms), len(rooms)
    dealt: list[dict[int, int]] = [{} for _ in rooms]
    if not counts or not total:
        return dealt
    ordered = sorted(counts.items())
    for place, room in enumerate(rooms):
        # Whoever comes first rounds down longest, so that together they have what there is (Hermite's identity).
        own, had, upto, offset = dealt[place], 0, 0, (2 * place + 1) * total
        for bucket, count in ordered:
            upto += count
            gets = (2 * number * upto * room + offset) // (2 * number * total)
            if gets > had:
                own[bucket] = gets - had
                had = gets
    return dealt
