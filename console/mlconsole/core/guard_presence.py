"""Guards of presence: whether every slice is answered by a new variant, and whether requests go where they shall."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlconsole.core.evidence import percent
from mlconsole.core.guard_rules import more, unasked
from mlconsole.core.health import OTHER
from mlconsole.core.policies import GuardRule
from mlconsole.core.rollouts import GuardResult
from mlconsole.core.silence import EXPECTED
from mlconsole.core.staged import Staged
from mlconsole.core.statistics import ratio_mismatch
from mlconsole.core.verdicts import Verdict

MISMATCH = 0.001
"""The p-value of a split below which it is not the desired one (field-notes §5)."""

SPLIT_LEAST = 8
SPLIT_SECONDS = 900.0
"""The split is judged over so many of the stage's last seconds, so that what was wrong and was mended is forgotten."""

STRAY = 0.005
"""A variant that shall get nothing may get this share still: who asks for it by name decides for himself."""


def silent(staged: Staged, rule: GuardRule) -> list[GuardResult]:
    """Whether each slice that the stable variant answers got an answer of the new one as well, once `EXPECTED` were to be expected."""
    if staged.stage.shadow:
        return [unasked(rule, "copies are nobody's requests")]
    named = [part for part in staged.parts if part.slice and part.slice != OTHER] if rule.by_slice else [staged.whole]
    found: list[GuardResult] = []
    answered, waits, lacking = 0, [], []
    for part in named:
        new, stable = staged.new(part, shadow=False), staged.stable(part, shadow=False)
        share, other = staged.share(part.slice), staged.stable_share(part.slice)
        expected = stable.n * share / other if other > 0 else staged.rate(part.slice) * staged.seconds
        if new.answered:
            answered += 1
        elif other > 0 and stable.answered and expected >= EXPECTED:
            lacking.append(part.slice)
            text = f"no answer, {expected:.0f} expected"
            found.append(GuardResult(rule.name, Verdict.FAIL, part.slice, 0.0, None, EXPECTED, new.n, text=text))
        elif part.decides:
            # Without the stable variant beside it nobody knows whether consumers still ask: that holds, and never reverts.
            need = max(0, math.ceil(EXPECTED - expected))
            rate = staged.rate(part.slice)
            waits.append((part.slice, need, need / rate if rate > 0 else None))
    if not named:
        if rule.by_slice and any(part.pooled for part in staged.parts) and not any(staged.stable(part).n for part in staged.parts[1:]):
            return [unasked(rule, "requests are not counted by slice here")]
        anything = staged.new(staged.whole, shadow=False)
        verdict = Verdict.PASS if anything.answered else Verdict.NO_DATA
        return [GuardResult(rule.name, verdict, n=anything.n, text="no slices" if anything.answered else "no answer yet")]
    n = staged.new(staged.whole, shadow=False).n
    text = f"{answered} of {len(named)}"
    if lacking:
        return found
    if waits:
        # Told of the slice that takes longest.
        name, need, seconds = max(waits, key=lambda one: one[2] if one[2] is not None else math.inf)
        verdict = Verdict.INCONCLUSIVE if n else Verdict.NO_DATA
        text = more(need, seconds, f"{text}, none yet in {name}")
        return [GuardResult(rule.name, verdict, name, float(answered), float(len(named)), None, 0, need, seconds, text)]
    return [GuardResult(rule.name, Verdict.PASS, "", float(answered), float(len(named)), None, n, text=text)]


def split(staged: Staged, rule: GuardRule) -> list[GuardResult]:
    """Whether the requests go where they shall. A wrong split holds and never reverts: the router is at fault then, not the new variant,
    and with less traffic the new one would be no better known.
    """
    if staged.stage.shadow:
        return [unasked(rule, "copies are not split")]
    desired = staged.evidence.split
    own = [name for name in desired if name]
    seen = {name: staged.counts(name, SPLIT_SECONDS) for name in desired}
    if staged.stage.slice and staged.stage.slice in desired:
        names = [staged.stage.slice]
    else:
        names = list(desired)
        # Slices with a split of their own are in the count of all requests too.
        whole = seen.get("", {})
        for name in own:
            for variant, count in seen[name].items():
                whole[variant] = whole.get(variant, 0) - count
    # Where the new variant shall get nothing it is not waited for.
    results = [_split(staged, rule, name, seen[name], desired[name]) for name in names if staged.share(name) > 0]
    waiting = [one for one in results if one.verdict is not Verdict.PASS]
    if not results:
        return [unasked(rule, "no split is known")]
    return [waiting[0] if waiting else max(results, key=lambda one: (0 < (one.limit or 0) < 1, one.n))]


def _split(staged: Staged, rule: GuardRule, name: str, seen: Mapping[str, int], desired: Mapping[str, float]) -> GuardResult:
    total, shares = sum(max(0, count) for count in seen.values()), sum(desired.values())
    want = desired.get(staged.evidence.new, 0.0) / shares if shares else 0.0
    observed = max(0, seen.get(staged.evidence.new, 0)) / total if total else None

    def said(verdict: Verdict, text: str, need: int = 0) -> GuardResult:
        rate = staged.rate(name) / want if want else 0.0
        seconds = need / rate if need and rate > 0 else None
        return GuardResult(rule.name, verdict, name, observed, None, want, total, need, seconds, more(need, seconds, text))

    if not total or observed is None:
        return said(Verdict.NO_DATA, "no request yet")
    told = f"{percent(observed)} observed, {percent(want)} desired"
    serving = {variant: share for variant, share in desired.items() if share > 0}
    lately = staged.counts(name, 120.0) if name or len(staged.evidence.split) == 1 else {}
    stray = sum(count for variant, count in lately.items() if variant not in serving)
    if stray > STRAY * sum(lately.values()) + 1:
        return said(Verdict.INCONCLUSIVE, f"{stray} requests in 2 min went to a variant that shall get none")
    counts = [max(0, seen.get(variant, 0)) for variant in serving]
    if len(serving) > 1:
        smallest = min(serving.values()) / sum(serving.values())
        if sum(counts) * smallest < SPLIT_LEAST:
            return said(Verdict.INCONCLUSIVE, told, math.ceil(SPLIT_LEAST / smallest) - sum(counts))
        p = ratio_mismatch(counts, list(serving.values()))
        if p is not None and p < MISMATCH:
            return said(Verdict.INCONCLUSIVE, f"{told}: not by chance, so it holds")
    return said(Verdict.PASS, told)
