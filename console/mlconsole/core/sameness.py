"""Identical outputs: whether a model answers the same whatever the input. Judged over distinct inputs: the same one again says nothing."""

from __future__ import annotations

import math
from dataclasses import replace

from mlconsole.core.evidence import LEAST, LONGEST, NEAR, Part, View, percent
from mlconsole.core.health import Answer, Question
from mlconsole.core.paging import Counted, onset, reference_of
from mlconsole.core.statistics import binomial_tail, wilson
from mlconsole.core.summaries import Summary, sameness, score_edge
from mlconsole.core.verdicts import Verdict

SAME = 0.95
"""The share of distinct inputs with one and the same output that is *all* of them: a few may still be answered from before."""

SAME_ALPHA = 1e-6
"""What the usual model would give so many equal outputs with, at most, before they are called identical."""

SAME_UNKNOWN = 40
"""Distinct inputs it takes where nothing is known of what is usual."""

SAME_KNOWN = 15
"""Distinct inputs in the usual from which it says how alike outputs are."""

SAME_MOST = 300
"""More inputs than this it can't ask for: then identical outputs are usual, and the question has no answer."""


def identical(view: View, part: Part, alpha: float = SAME_ALPHA) -> Answer:
    """Whether all distinct inputs get the same output, where they usually don't. The same input again says nothing."""
    outputs: dict[int, int] = {}
    answered, begin, first = 0, int(view.now), math.inf
    likeliest: dict[int, float | None] = {}
    wanted = LEAST
    for at, found in view.back(part):
        for one in found:
            answered += max(one.answered, len(one.sample))  # of a sample nobody may have counted how many there were
            # The newest answer to an input counts.
            outputs = {**one.sample, **outputs}
            begin, first = at, min(first, one.first)
        if len(outputs) < LEAST or not found:
            continue
        gap = NEAR if view.now - at <= NEAR else LONGEST
        if gap not in likeliest:
            likeliest[gap] = _likeliest(view, part, gap)
        modal = _modal(outputs)
        if modal < SAME * len(outputs):
            return _same(view, part, Verdict.PASS, outputs, answered, begin)
        share = likeliest[gap]
        wanted = _needed(share, alpha)
        if wanted > SAME_MOST:
            break
        if len(outputs) >= wanted and (share is None or binomial_tail(modal, len(outputs), share) < alpha):
            return _same(view, part, Verdict.FAIL, outputs, answered, begin)
    if not answered:
        return Answer(Question.IDENTICAL, Verdict.NO_DATA, part.variant, part.slice, seconds=LONGEST)
    if len(outputs) > 1 and _modal(outputs) < SAME * len(outputs):
        return _same(view, part, Verdict.PASS, outputs, answered, begin)
    told = _same(view, part, Verdict.INCONCLUSIVE, outputs, answered, begin)
    if not outputs:
        return replace(told, limit=None, text="inputs are not told: unknown")
    if len(outputs) == 1:
        return replace(told, need=wanted, text="the same input again: unknown")
    if wanted > SAME_MOST:
        return replace(told, limit=None, text=f"{told.text}; equal outputs are usual here")
    return replace(told, need=wanted, text=f"{told.text}; {wanted} distinct inputs are needed")


def _modal(outputs: dict[int, int]) -> int:
    counts: dict[int, int] = {}
    for output in outputs.values():
        counts[output] = counts.get(output, 0) + 1
    return max(counts.values(), default=0)


def _needed(share: float | None, alpha: float) -> int:
    """Distinct inputs with one output that are no chance where the most frequent output has that share."""
    if share is None:
        return SAME_UNKNOWN
    if share >= 1:
        return SAME_MOST + 1
    return max(LEAST, math.ceil(math.log(alpha) / math.log(max(share, 1e-9))))


def _likeliest(view: View, part: Part, gap: int) -> float | None:
    """The largest share that the most frequent output usually has; None: nothing is known.

    The version's own profile decides; of n examples with k distinct outputs the most frequent one has n - k + 1 at the most, and no more
    than the fullest bin of scores. A profile that is collapsed itself proves nothing: then what the endpoint usually answered does.
    """
    variants = {key.variant for key in part.keys if key.variant}
    bounds = []
    for variant in variants:
        baseline = view.evidence.baselines.get(variant)
        if baseline is None or baseline.n < SAME_KNOWN or baseline.distinct_outputs is None:
            continue
        bound = 1 - baseline.distinct_outputs + 1 / baseline.n
        if sum(baseline.counts):
            bound = min(bound, max(baseline.counts) / sum(baseline.counts) + 1 / baseline.n)
        bounds.append(min(1.0, bound))
    if bounds and len(bounds) == len(variants) and _needed(max(bounds), SAME_ALPHA) <= SAME_MOST:
        return max(bounds)
    same = sameness(reference_of(view, part, gap)[0].summary)
    if same.inputs >= SAME_KNOWN:
        return wilson(same.modal, same.inputs, 0.99).high
    return max(bounds, default=None)


def _same(view: View, part: Part, verdict: Verdict, outputs: dict[int, int], answered: int, begin: int) -> Answer:
    distinct, modal = len(set(outputs.values())), _modal(outputs)
    value = None if len(outputs) < 2 else 1 - (distinct - 1) / (len(outputs) - 1)
    reference = reference_of(view, part, NEAR)[0]
    usual = sameness(reference.summary).same
    if usual is None:
        known = [
            one.distinct_outputs
            for key in part.keys
            if (one := view.evidence.baselines.get(key.variant)) and one.distinct_outputs is not None
        ]
        usual = 1 - min(known) if known else None
    told = f"{percent(value)} same" if value is not None else ""
    told += f" ({modal} of {len(outputs)} inputs), " + (f"usual {percent(usual)}" if usual is not None else "no usual yet")
    since = None
    if verdict is Verdict.FAIL:
        output = max(set(outputs.values()), key=list(outputs.values()).count)
        since = onset(view, part, lambda one: _equal(one, output), 0.05 if usual is None else min(usual, 0.5), SAME) or float(begin)
        told += _score(view, part, since)
    return Answer(
        Question.IDENTICAL,
        verdict,
        part.variant,
        part.slice,
        value=value,
        usual=usual,
        limit=SAME,
        n=len(outputs),
        seconds=view.now - begin,
        since=since,
        text=told if outputs else "",
    )


def _equal(one: Summary, output: int) -> Counted:
    return Counted(sum(other == output for other in one.sample.values()), len(one.sample))


def _score(view: View, part: Part, since: float | None) -> str:
    """The score that nearly all have now."""
    scores: dict[int, int] = {}
    for at, found in view.back(part, NEAR):
        if since is not None and at <= since:
            # In the window in which it began there are answers from before.
            break
        for one in found:
            for bucket, count in one.scores.items():
                scores[bucket] = scores.get(bucket, 0) + count
    if not scores:
        return ""
    most = max(scores, key=lambda bucket: scores[bucket])
    return f", all {score_edge(most):.2f}" if scores[most] >= SAME * sum(scores.values()) else ""
