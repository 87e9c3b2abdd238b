"""Stored observations decided again under other thresholds: in columns, one slice at a time, nothing decided twice.

An observation is an alert when its score is at or above the threshold. Rates are alerts per day of *covered* time: the stretches in which
observations were really captured, and in which the model that answers now was the one that answered. What was observed outside of them
counts neither above nor below the line.
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, starmap
from operator import le
from typing import NamedTuple

from mlconsole.core.text import neutralise

DAY = 86_400.0

EXAMPLES = 20
"""So many flips are kept to be read."""

_FULL = 0.99
"""A day of which so much is covered is a full one."""

Span = tuple[float, float]
"""Begin and end (epoch s)."""

Observation = tuple[float, str, float | None, str, str]
"""Time (epoch s), slice value, score, request id, text."""


class Flip(NamedTuple):
    """One observation that would be decided otherwise. `before` and `then`: whether it is an alert."""

    at: float
    request_id: str
    slice: str
    score: float
    before: bool
    then: bool
    text: str = ""


class Column:
    """The stored observations of one model × slice, in the order of time; it may grow. A score that is none is not a number in `scores`."""

    def __init__(self, rows: Iterable[Observation] = ()) -> None:
        self.rows: list[Observation] = list(rows)
        self._times, self._scores = array("d"), array("d")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def times(self) -> array[float]:
        """When each observation was made (epoch s), in order."""
        self._settle()
        return self._times

    @property
    def scores(self) -> array[float]:
        """The score of each."""
        self._settle()
        return self._scores

    def _settle(self) -> None:
        """Put what was added since into the columns; what comes late makes them anew."""
        done = len(self._times)
        if done == len(self.rows):
            return
        self._times.extend([row[0] for row in islice(self.rows, done, None)])
        if not all(starmap(le, pairwise(islice(self._times, max(0, done - 1), None)))):
            self.rows.sort(key=lambda row: row[0])
            self._times, self._scores = array("d", [row[0] for row in self.rows]), array("d")
        scores = [math.nan if row[2] is None else row[2] for row in islice(self.rows, len(self._scores), None)]
        if math.inf in scores or -math.inf in scores:
            scores = [score if math.isfinite(score) else math.nan for score in scores]
        self._scores.extend(scores)


def columns(observations: Iterable[Observation], into: dict[str, Column] | None = None) -> dict[str, Column]:
    """The observations of one model in a column for each slice value; with `into` they are added to those that are there."""
    found = {} if into is None else into
    for row in observations:
        column = found.get(row[1])
        if column is None:
            column = found[row[1]] = Column()
        column.rows.append(row)
    return found


@dataclass(frozen=True)
class Tally:
    """Observations of covered time, decided under two thresholds. Two tallies of different times under the same thresholds add up."""

    n: int = 0
    """Those with a score."""
    unscored: int = 0
    before: int | None = 0
    """Alerts under the first threshold; None where there is no such threshold."""
    then: int | None = 0
    """Alerts under the second one."""
    flips: int = 0
    by_day: Mapping[int, int] = field(default_factory=dict)
    """Day (since the epoch, as its offset says) → alerts under the first threshold."""
    examples: tuple[Flip, ...] = ()
    covered: tuple[Span, ...] = ()

    @property
    def days(self) -> float:
        """The covered time."""
        return sum(end - begin for begin, end in self.covered) / DAY

    def a_day(self, alerts: int | None) -> float | None:
        """So many alerts as a rate; None where it is not known."""
        return alerts / self.days if alerts is not None and self.days else None

    def record(self, offset: float = 0.0) -> int | None:
        """The most alerts of any full day under the first threshold; None: there was no full day. `offset`: how far local time is ahead of
        UTC (s)."""
        full = full_days(self.covered, offset) if self.before is not None else ()
        return max(self.by_day.get(day, 0) for day in full) if full else None


def decide(
    column: Column, before: float | None, then: float | None, covered: Sequence[Span], *, most: int = EXAMPLES, offset: float = 0.0
) -> Tally:
    """Decide a column under two thresholds.

    Examples are the flips nearest to the second threshold: the doubtful ones. Where these are decided rightly, those further away are.
    """
    spans = merged(covered)
    times, scores = column.times, column.scores
    n = seen = before_alerts = then_alerts = flips = 0
    by_day: Counter[int] = Counter()
    examples: list[Flip] = []
    for begin, end in spans:
        first, last = bisect_left(times, begin), bisect_left(times, end)
        part = scores[first:last]
        seen += last - first
        n += sum(map(math.isfinite, part))
        if then is not None:
            then_alerts += sum(map(then.__le__, part))
        if before is None:
            continue
        alerts = [place for place, score in enumerate(part, first) if score >= before]
        before_alerts += len(alerts)
        by_day.update(_by_day(times, alerts, offset))
        if then is not None and before != then:
            low, high = min(before, then), max(before, then)
            flipped = [place for place, score in enumerate(part, first) if low <= score < high]
            flips += len(flipped)
            nearest = heapq.nsmallest(most, flipped, key=lambda place: (abs(scores[place] - then), -times[place]))
            examples += [_flip(column.rows[place], before, then) for place in nearest]
    return Tally(
        n,
        seen - n,
        None if before is None else before_alerts,
        None if then is None else then_alerts,
        flips,
        by_day,
        _nearest(examples, then, most),
        spans,
    )


def added(one: Tally, other: Tally, then: float | None, *, most: int = EXAMPLES) -> Tally:
    """Two tallies as one: of what was decided before and of what came since (under the same thresholds), or of two slices.

    So nothing is decided twice: an hour that is over is decided once, and added.
    """
    return Tally(
        one.n + other.n,
        one.unscored + other.unscored,
        None if one.before is None or other.before is None else one.before + other.before,
        None if one.then is None or other.then is None else one.then + other.then,
        one.flips + other.flips,
        Counter(one.by_day) + Counter(other.by_day),
        _nearest([*one.examples, *other.examples], then, most),
        merged((*one.covered, *other.covered)),
    )


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Stretches of time in order, those that touch or overlap as one."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if not begin < end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


def within(covered: Iterable[Span], wanted: Span) -> tuple[Span, ...]:
    """The part of the covered time that lies in a stretch."""
    return merged((max(begin, wanted[0]), min(end, wanted[1])) for begin, end in covered)


def gaps(covered: Iterable[Span], wanted: Span) -> tuple[Span, ...]:
    """What of a stretch is not covered."""
    borders = [wanted[0], *(border for span in within(covered, wanted) for border in span), wanted[1]]
    return tuple((begin, end) for begin, end in zip(borders[::2], borders[1::2], strict=True) if begin < end)


def full_days(covered: Iterable[Span], offset: float = 0.0) -> tuple[int, ...]:
    """The days (since the epoch) that are covered whole, but for a hundredth."""
    seconds: dict[int, float] = {}
    for begin, end in merged(covered):
        day = math.floor((begin + offset) / DAY)
        while day * DAY - offset < end:
            inside = min(end, (day + 1) * DAY - offset) - max(begin, day * DAY - offset)
            seconds[day] = seconds.get(day, 0.0) + inside
            day += 1
    return tuple(sorted(day for day, length in seconds.items() if length >= _FULL * DAY))


def _by_day(times: array[float], places: Sequence[int], offset: float) -> dict[int, int]:
    """How many of these observations each day has: they are in order, so that a day is found by its ends."""
    found = {}
    at = 0
    while at < len(places):
        day = math.floor((times[places[at]] + offset) / DAY)
        end = bisect_right(places, bisect_left(times, (day + 1) * DAY - offset) - 1, at)
        found[day] = end - at
        at = end
    return found


def _flip(row: Observation, before: float, then: float) -> Flip:
    at, value, score, request_id, text = row
    assert score is not None  # it lies between the thresholds
    return Flip(at, neutralise(request_id), neutralise(value), score, score >= before, score >= then, neutralise(text))


def _nearest(flips: Iterable[Flip], then: float | None, most: int) -> tuple[Flip, ...]:
    """The flips nearest to the threshold, of equally near ones the newest."""
    return tuple(heapq.nsmallest(most, flips, key=lambda flip: (abs(flip.score - (then or 0.0)), -flip.at)))
