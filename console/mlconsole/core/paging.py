"""Shares that page: errors, slow answers. Each question walks back from now and answers with the shortest stretch that is conclusive, so
that what is plain is told within seconds, and what is rare is still told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from mlconsole.core.evidence import HOUR, LEAST, LONGEST, NEAR, Part, Reference, View, newest, percent
from mlconsole.core.health import Answer, Question
from mlconsole.core.statistics import binomial_tail, wilson
from mlconsole.core.summaries import APPLICATION, Summary
from mlconsole.core.text import duration
from mlconsole.core.verdicts import Verdict

ALPHA = 1e-7
"""The exact tail, against usual *plus* what is too much, below which a share is a fail; it is divided by how many parts are judged at once.
A day has 43 200 looks, each at several stretches, and clean traffic may page in 1 of 20 days of 24 hours at the most."""

SHORTEST = 10
"""Seconds below which a share is not judged: what is over after a moment wakes nobody."""

SLOW_SHORTEST = 20
"""The same for latency: the machine itself may pause for some seconds."""

USUAL_MOST = 0.25
"""No more failing than this is ever usual: who begins to watch a trouble that is an hour old has to hear of it."""

SLOW_LIMIT = 0.25
"""The share of requests slower than the limit that is too much; usual are fewer than 5 %, for the limit is at least twice the usual p95."""

SLOW_USUAL = 0.05
"""The share of requests slower than p95, by its name."""

SLOW_ABSOLUTE = 0.10
"""The same for a limit that was set: it is one for p95, so 5 % may be slower; twice that is clearly too many."""

SLOW_FACTOR, SLOW_LEAST = 2.0, 50.0
"""Slow is more than so many times the usual p95, and at least so many ms more."""


class Counted(NamedTuple):
    """Of one window: how many were bad, of how many."""

    bad: int
    n: int


Counter = Callable[[Summary], Counted]


class Rate(NamedTuple):
    """How a share was judged."""

    verdict: Verdict
    bad: int
    n: int
    at: int
    """Begin of the stretch."""
    usual: float
    limit: float
    known: bool
    """Whether a usual was there."""
    gap: int = NEAR
    """Which usual: that which ends so many seconds before now."""

    @property
    def share(self) -> float | None:
        """What was seen."""
        return self.bad / self.n if self.n else None


def errors(view: View, part: Part, alpha: float = ALPHA) -> Answer:
    """Whether clearly more requests fail than usual; throttled ones are not among them."""
    settings = view.evidence.settings
    margin = settings.slice_errors if part.slice else settings.errors

    def limit(gap: int) -> tuple[float, float, bool] | None:
        reference, own = reference_of(view, part, gap)
        if gap != NEAR and not (own and reference.known) and view.usual(part, NEAR).known:
            # It began not long ago, and what has been usual since then is the better measure; that one was asked already.
            return None
        if not reference.known:
            reference, own = reference_of(view, part, NEAR)
        counted = failures(reference.summary)
        share = min(counted.bad / counted.n, USUAL_MOST) if reference.known and counted.n else 0.0
        # A margin may be set so wide that it would never be reached.
        return share, min(share + margin, (1 + share) / 2), own and reference.known

    rate = judged(view, part, lambda gap: failures, limit, SHORTEST, alpha)
    answer = _answer(Question.ERRORS, view, part, rate, percent)
    if rate.verdict is not Verdict.FAIL:
        return answer
    since = onset(view, part, failures, rate.usual, rate.bad / rate.n) or float(rate.at)
    reference = before(view, part, since)
    if reference is not None:
        # What is told as usual is what was before it began; the limit was the milder one, with some of the trouble in it.
        counted = failures(reference.summary)
        answer = _answer(Question.ERRORS, view, part, rate._replace(usual=counted.bad / max(1, counted.n), known=True), percent)
    return replace(answer, since=since)


def failures(one: Summary) -> Counted:
    """What failed, of what was not throttled."""
    return Counted(one.failed, one.n - one.throttled)


class SlowLimit(NamedTuple):
    """What is slow for a part, and how that is known."""

    border: float | None
    """ms; None: it can't be told."""
    allowed: float
    """The share that may be slower."""
    usual: float | None
    """The usual p95 (ms)."""
    own: bool
    """Whether it is known of the part itself, and not only of all requests."""


def latency(view: View, part: Part, alpha: float = ALPHA) -> Answer:
    """Whether clearly more requests are slow than usual: a rate, so that it has an exact test, and one slow answer is none."""
    limits: dict[int, SlowLimit] = {}

    def limit(gap: int) -> tuple[float, float, bool] | None:
        found = limits[gap] = slow_limit(view, part, gap)
        return None if found.border is None else (SLOW_USUAL, found.allowed, found.own)

    def counter(gap: int) -> Counter:
        return slow_counter(limits[gap].border or math.inf)

    rate = judged(view, part, counter, limit, SLOW_SHORTEST, alpha)
    used = limits[rate.gap]
    if used.border is None:
        n = view.count(part)
        verdict = Verdict.INCONCLUSIVE if n else Verdict.NO_DATA
        told = "no usual yet to compare with" if n else ""
        return Answer(Question.LATENCY, verdict, part.variant, part.slice, n=n, seconds=LONGEST, text=told)
    p95 = _quantile(view, part, rate.at)
    told = f"p95 {_ms(p95)}" if p95 is not None else ""
    told += f", usual {_ms(used.usual)}" if used.usual is not None else ", no usual yet"
    if rate.verdict is Verdict.FAIL:
        told += f"; {percent(rate.bad / rate.n)} over {_ms(used.border)}"
    answer = replace(
        _answer(Question.LATENCY, view, part, rate, percent), value=p95, usual=used.usual, limit=used.border, text=told if rate.n else ""
    )
    if rate.verdict is not Verdict.FAIL:
        return answer
    if not used.own and view.evidence.settings.latency_ms is None:
        # It was compared with all slices together, and a slice may be slower by its nature: no limit of its own, no fail.
        return replace(answer, verdict=Verdict.INCONCLUSIVE, limit=None)
    return replace(answer, since=onset(view, part, slow_counter(used.border), SLOW_USUAL, rate.bad / rate.n) or float(rate.at))


def slow_limit(view: View, part: Part, gap: int) -> SlowLimit:
    """What is slow: what was set, else what is far above the usual."""
    reference, own = reference_of(view, part, gap)
    usual = reference.summary.quantile(0.95) if reference.known else None
    absolute = view.evidence.settings.latency_ms
    if absolute is not None:
        return SlowLimit(absolute, SLOW_ABSOLUTE, usual, own)
    return SlowLimit(None if usual is None else max(SLOW_FACTOR * usual, usual + SLOW_LEAST), SLOW_LIMIT, usual, own)


def before(view: View, part: Part, since: float | None) -> Reference | None:
    """What was usual before that time, if the usual that was used reaches into the trouble itself; None: it does not, or is not known."""
    if since is None or since >= view.now - NEAR or any(low <= since <= high for low, high in view.evidence.exclude):
        return None
    whole = view.part("", *(part.pooled or (part.slice,))) if part.variant != APPLICATION else part
    until = newest(since)
    reference = view.between(whole, newest(view.now) - HOUR, until)
    return reference if reference.known else None


def _quantile(view: View, part: Part, begin: int) -> float | None:
    """The p95 (ms) of the recent windows from `begin` on."""
    counts: dict[int, int] = {}
    for at, found in view.back(part):
        if at < begin:
            break
        for one in found:
            for bucket, count in one.latency.items():
                counts[bucket] = counts.get(bucket, 0) + count
    return Summary(latency=counts).quantile(0.95)


def _ms(milliseconds: float) -> str:
    return duration(milliseconds / 1000)


def slow_counter(border: float) -> Counter:
    """Counts the answers slower than that (ms)."""

    def count(one: Summary) -> Counted:
        return Counted(one.slower_than(border) if math.isfinite(border) else 0, sum(one.latency.values()))

    return count


def reference_of(view: View, part: Part, gap: int) -> tuple[Reference, bool]:
    """What a part is compared with, and whether that is its own: else the slice of all variants, else all requests."""
    if part.variant == APPLICATION:
        return view.usual(part, gap), True
    # A variant is compared with what the endpoint did: a slow version is not well because it always was slow.
    whole = view.part("", *(part.pooled or (part.slice,)))
    own = view.usual(whole, gap)
    return (own, True) if own.known or not part.slice else (view.usual(view.all, gap), False)


def judged(
    view: View,
    part: Part,
    counter: Callable[[int], Counter],
    limit: Callable[[int], tuple[float, float, bool] | None],
    shortest: int,
    alpha: float,
) -> Rate:
    """Judge a share: a fail at the first stretch whose exact tail leaves no doubt, a pass at the first whose bound is below the limit.

    First stretches up to `NEAR`, against the hour before that; if none is conclusive, longer ones against the hour before `LONGEST`.
    """
    last = Rate(Verdict.NO_DATA, 0, 0, int(view.now), 0.0, 0.0, False)
    for gap in (NEAR, LONGEST):
        found = limit(gap)
        if found is None:
            continue
        usual, allowed, known = found
        count = counter(gap)
        bad = n = 0
        for at, summaries in view.back(part, gap):
            for one in summaries:
                counted = count(one)
                bad += counted.bad
                n += counted.n
            seconds = view.now - at
            last = Rate(last.verdict, bad, n, at, usual, allowed, known, gap)
            if seconds < shortest or n < LEAST or not summaries:
                continue
            if bad > n * allowed:
                if binomial_tail(bad, n, allowed) < alpha:
                    return last._replace(verdict=Verdict.FAIL)
            elif wilson(bad, n).high < allowed:
                return last._replace(verdict=Verdict.PASS)
        if n < LEAST:
            verdict = Verdict.INCONCLUSIVE if n else Verdict.NO_DATA
        else:
            verdict = Verdict.PASS if bad <= n * allowed else Verdict.INCONCLUSIVE
        last = last._replace(verdict=verdict)
    return last


def _answer(question: Question, view: View, part: Part, rate: Rate, told: Callable[[float], str]) -> Answer:
    text = ""
    if rate.n:
        usual = f"usual {told(rate.usual)}" if rate.known else "no usual yet"
        text = f"{told(rate.bad / rate.n)} ({rate.bad} of {rate.n}), {usual}"
    return Answer(
        question,
        rate.verdict,
        part.variant,
        part.slice,
        value=rate.share,
        usual=rate.usual if rate.known else None,
        limit=rate.limit,
        n=rate.n,
        need=LEAST if rate.n < LEAST else 0,
        seconds=view.now - rate.at,
        text=text,
    )


def onset(view: View, part: Part, counter: Counter, before: float, now: float) -> float | None:
    """When a share changed from `before` to `now`: the begin that makes the windows since then likeliest (Hinkley, Biometrika 57, 1970)."""
    before = min(max(before, 0.001), 0.98)
    now = min(max(now, before + 0.01), 0.999)
    bad_weight, good_weight = math.log(now / before), math.log((1 - now) / (1 - before))
    total = best = 0.0
    since: float | None = None
    for _, found in view.back(part, HOUR):
        bad = n = 0
        for one in found:
            counted = counter(one)
            bad += counted.bad
            n += counted.n
        total += bad * bad_weight + (n - bad) * good_weight
        if bad and total > best:
            best, since = total, min(one.first for one in found)
        elif best and total < best - _GIVEN_UP:
            break
    return since


_GIVEN_UP = 50.0
"""Once the time before is so much (logarithm of a ratio of likelihoods) against the trouble's having begun earlier, it did not."""
