"""Silence: a slice of which nothing comes any more, an endpoint without requests, and when nothing can be said at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from mlconsole.core.evidence import HOUR, LONGEST, NEAR, Part, View
from mlconsole.core.health import Answer, Question
from mlconsole.core.statistics import wilson
from mlconsole.core.text import duration
from mlconsole.core.verdicts import Verdict

EXPECTED = 20.0
"""Requests expected of a slice in which none came, from which it is silent: by chance that happens once in e^20 ≈ 5·10⁸ looks."""

ABSENT = 10
"""Seconds without any request after which an endpoint that usually has one a second has no data: reading them takes a second or two."""

SILENT_SHORTEST = 20
"""Seconds a slice must be without any request, however many were expected."""

SILENT_GAPS = 2.0
"""And so many times longer than its longest gap in the usual hour: some consumers come in bursts."""


def silent(view: View, part: Part) -> Answer | None:
    """Whether a slice of which requests were expected has none, while the endpoint has others. None: too few come of it to tell."""
    last: float | None = None
    others = 0
    begin = int(view.now)
    for at, found in view.back(part):
        if found:
            last = max(one.last for one in found)
            break
        others += sum(one.n for key in view.all.keys if (one := view.evidence.windows[key].get(at)))
        begin = at
    gap = NEAR if view.now - begin <= NEAR else LONGEST
    reference, whole = view.usual(part, gap), view.usual(view.all, gap)
    if not whole.known or not reference.summary.n:
        return None
    # The lower bound: a share that was estimated from few requests promises less.
    share = wilson(min(reference.summary.n, whole.summary.n), whole.summary.n).low
    answer = Answer(Question.SILENT, Verdict.PASS, part.variant, part.slice, value=0.0, usual=share * others, limit=EXPECTED)
    seconds = view.now - (last if last is not None else begin)
    if last is not None and view.now - last < SILENT_SHORTEST:
        return replace(
            answer, value=float(view.count(part, NEAR)), usual=None, seconds=NEAR, n=others, text=f"last {duration(seconds)} ago"
        )
    told = f"no request for {duration(seconds)}, expected {share * others:.0f}"
    failed = share * others >= EXPECTED and seconds > SILENT_GAPS * reference.gap
    # Half of what it takes is no chance either: not well, not yet a finding.
    doubtful = share * others >= EXPECTED / 2 and seconds > reference.gap
    verdict = Verdict.FAIL if failed else Verdict.INCONCLUSIVE if doubtful else Verdict.PASS
    return replace(answer, verdict=verdict, n=others, seconds=seconds, since=_fell_silent(view, part) if failed else None, text=told)


def _fell_silent(view: View, part: Part) -> float | None:
    """When the last request of the part came."""
    for _, found in view.back(part, HOUR):
        if found:
            return max(one.last for one in found)
    return None


def quiet(view: View) -> Iterator[Answer]:
    """Whether the endpoint as a whole has no request where it usually has: that informs, for consumers may rest."""
    if not view.all.keys:
        return
    seconds, rate = view.now - view.last, usual_rate(view)
    failed = seconds >= SILENT_SHORTEST and rate * seconds >= EXPECTED
    told = f"no request for {duration(seconds)}, usual {rate:.1f} a second" if failed else f"last request {duration(max(0.0, seconds))} ago"
    yield Answer(
        Question.IDLE,
        Verdict.FAIL if failed else Verdict.PASS,
        value=0.0 if failed else None,
        usual=rate * max(0.0, seconds),
        limit=EXPECTED,
        seconds=max(0.0, seconds),
        since=view.last if failed else None,
        text=told,
    )


def usual_rate(view: View) -> float:
    """Requests a second of the endpoint, as it usually is; before that is known, as it was as long as it had any."""
    reference = view.usual(view.all)
    if reference.known:
        return reference.rate
    begins = [min(view.evidence.windows[key]) for key in view.all.keys]
    n = sum(one.n for key in view.all.keys for one in view.evidence.windows[key].values())
    return n / max(10.0, view.last - min(begins)) if begins else 0.0


def no_data(view: View) -> str:
    """Why nothing can be said of the endpoint now; empty where something can."""
    if not view.all.keys or not math.isfinite(view.last):
        return "no request yet"
    seconds, rate = view.now - view.last, usual_rate(view)
    if seconds > LONGEST or (seconds >= ABSENT and (rate >= 1 or rate * seconds >= EXPECTED)):
        return f"no request for {duration(seconds)}, usual {rate:.1f} a second" if rate >= 0.05 else f"no request for {duration(seconds)}"
    return ""
