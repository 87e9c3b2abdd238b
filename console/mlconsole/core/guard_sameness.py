"""Guard: identical outputs of a new variant, beside its profile or the stable variant. The rule is health's, over the stage alone."""

from __future__ import annotations

import math
from dataclasses import replace

from mlconsole.core.evidence import LEAST
from mlconsole.core.guard_rules import more, parts_of
from mlconsole.core.policies import GuardRule
from mlconsole.core.rollouts import GuardResult
from mlconsole.core.sameness import SAME, SAME_ALPHA, SAME_KNOWN, SAME_MOST, SAME_UNKNOWN
from mlconsole.core.staged import Part, Staged
from mlconsole.core.statistics import binomial_tail, wilson
from mlconsole.core.summaries import sameness
from mlconsole.core.verdicts import Verdict


def identical(staged: Staged, rule: GuardRule, alpha: float) -> list[GuardResult]:
    """Whether all distinct inputs get the same output where those of its profile, or of the stable variant, do not.

    The newest windows that have enough inputs decide, so that a collapse in the middle of a stage is seen at once.
    """
    parts = parts_of(staged, rule)
    return [_identical(staged, rule, part, min(SAME_ALPHA, alpha) / len(parts)) for part in parts]


def _identical(staged: Staged, rule: GuardRule, part: Part, alpha: float) -> GuardResult:
    limit = rule.limit if rule.limit is not None else SAME
    usual = _likeliest(staged, part, limit, alpha)
    wanted = _inputs(usual, limit, alpha)
    outputs: dict[int, int] = {}
    answered = 0
    for found in staged.newest(part):
        for one in found:
            answered += one.answered
            outputs = {**one.sample, **outputs}
        if len(outputs) >= min(wanted, SAME_MOST):
            break
    counts: dict[int, int] = {}
    for output in outputs.values():
        counts[output] = counts.get(output, 0) + 1
    modal, n = max(counts.values(), default=0), len(outputs)
    share = modal / n if n > 1 else None
    stable = sameness(staged.stable(part))
    known = stable.modal / stable.inputs if stable.inputs > 1 else None

    def said(verdict: Verdict, text: str, need: int = 0) -> GuardResult:
        rate = staged.part_rate(part)
        seconds = need / rate if need and rate > 0 else None
        shown = more(need, seconds, text)
        judged = verdict is Verdict.FAIL or part.decides
        return GuardResult(rule.name, verdict, part.slice, share, known, limit, n, need, seconds, shown, judged=judged, pooled=part.pooled)

    if not n:
        return said(Verdict.NO_DATA, "inputs are not told: unknown" if answered else "no answer yet", 0 if answered else LEAST)
    told = f"{modal} of {n} inputs have one output"
    # Few inputs that are asked again and again may show that outputs differ; that they do not takes `LEAST`.
    if modal < limit * n and (n >= LEAST or (n > 1 and wilson(modal, n).high < limit)):
        return said(Verdict.PASS, told)
    if wanted > SAME_MOST:
        # Nothing can be told apart here, and nobody is to wait for it; that an endpoint has no guard that works is for the lint to say.
        return replace(said(Verdict.INCONCLUSIVE, f"{told}; equal outputs are usual here"), judged=False)
    if n >= wanted and modal >= limit * n and (usual is None or binomial_tail(modal, n, usual) < alpha):
        return said(Verdict.FAIL, told)
    if n == 1:
        told = "the same input again: unknown"
    return said(Verdict.INCONCLUSIVE, told, max(0, min(wanted, SAME_MOST) - n))


def _likeliest(staged: Staged, part: Part, limit: float, alpha: float) -> float | None:
    """The largest share that the most frequent output usually has, by the version's profile, else by the stable variant; None: unknown.

    A profile that is collapsed itself proves nothing.
    """
    baseline = staged.evidence.baselines.get(staged.evidence.new)
    if baseline is not None and baseline.n >= SAME_KNOWN and baseline.distinct_outputs is not None:
        bound = 1 - baseline.distinct_outputs + 1 / baseline.n
        if sum(baseline.counts):
            bound = min(bound, max(baseline.counts) / sum(baseline.counts) + 1 / baseline.n)
        if _inputs(min(1.0, bound), limit, alpha) <= SAME_MOST:
            return bound
    for candidate in (part, staged.whole):
        stable = sameness(staged.stable(candidate))
        if stable.inputs >= SAME_KNOWN:
            return wilson(stable.modal, stable.inputs, 0.99).high
    return None


def _inputs(usual: float | None, limit: float, alpha: float) -> int:
    """Distinct inputs that it takes until so many equal outputs are no chance."""
    if usual is None:
        return SAME_UNKNOWN
    tried: tuple[int, ...] = (*range(LEAST, 60), *range(60, SAME_MOST + 1, 20))
    for n in tried:
        if binomial_tail(math.ceil(limit * n), n, usual) < alpha:
            return n
    return SAME_MOST + 1
