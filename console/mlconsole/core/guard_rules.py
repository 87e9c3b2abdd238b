"""Guard rules: how each of health's questions is asked of a new variant, beside the stable one, since the stage began."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mlconsole.core.comparison import Arms, Bounds, Compared, compared, failing
from mlconsole.core.evidence import percent
from mlconsole.core.paging import SLOW_FACTOR, SLOW_LEAST, SLOW_LIMIT, SLOW_USUAL, failures
from mlconsole.core.policies import GuardRule
from mlconsole.core.rollouts import GuardResult
from mlconsole.core.staged import Part, Staged
from mlconsole.core.statistics import psi
from mlconsole.core.text import duration
from mlconsole.core.verdicts import Verdict

ERRORS_MARGIN, ERRORS_SLICE_MARGIN = 0.01, 0.10
LATENCY_MARGIN = 0.04
"""Nearly twice as many requests slower than the stable variant's p95 as it has itself: what a p95 that is about 13 % higher makes of them,
where latencies spread as they mostly do."""

FELT = 5.0
"""ms: a p95 that is no more above the stable variant's is no slower, whatever the shares say: a machine's own noise is as large."""

Judged = tuple[Part, Arms, Bounds]


def errors(staged: Staged, rule: GuardRule, alpha: float) -> list[GuardResult]:
    """Whether more requests fail than at the stable variant; throttled ones are not among them."""
    judged: list[Judged] = []
    settings = staged.evidence.settings
    for part in parts_of(staged, rule):
        margin = _margin(staged, rule, part, ERRORS_MARGIN, ERRORS_SLICE_MARGIN)
        if margin is not None and not staged.beside(part):
            # The stable variant's share is that of another hour: what health lets pass is no reason to go back.
            margin = max(margin, settings.slice_errors if part is not staged.whole else settings.errors)
        new, stable = failures(staged.new(part)), failures(staged.stable(part))
        judged.append((part, Arms(new.bad, new.n, stable.bad, stable.n), Bounds(margin, rule.limit, staged.needed)))
    return _compare(staged, rule, judged, alpha, {})


def latency(staged: Staged, rule: GuardRule, alpha: float) -> list[GuardResult]:
    """Whether more requests than 5 % and the margin are slower than the stable variant's p95: a share, so that it has bounds.

    Where the stable variant has no traffic any more its p95 is of another hour, and slow is what health calls so: twice that p95.
    """
    judged: list[Judged] = []
    told: dict[str, str] = {}
    for part in parts_of(staged, rule):
        margin = _margin(staged, rule, part, LATENCY_MARGIN, LATENCY_MARGIN)
        new, stable = staged.new(part), staged.stable(part)
        p95, own = stable.quantile(0.95), new.quantile(0.95)
        # Within the bucket whose edge it is: those in the buckets above are slower.
        border = math.inf if p95 is None else p95 / 1.02
        if p95 is not None and not staged.beside(part):
            border = max(SLOW_FACTOR * p95, p95 + SLOW_LEAST)
            margin = None if margin is None else max(margin, SLOW_LIMIT - SLOW_USUAL)
        elif p95 is not None and own is not None and own <= p95 + FELT:
            border = p95 + FELT
        slower = 0 if math.isinf(border) else new.slower_than(border)
        other = 0 if math.isinf(border) else stable.slower_than(border)
        n, m = sum(new.latency.values()), sum(stable.latency.values())
        judged.append((part, Arms(slower, n, other, m), Bounds(margin, rule.limit, staged.needed)))
        if own is not None and p95 is not None:
            told[part.slice] = f"p95 {duration(own / 1000)}, {_names(staged)} {duration(p95 / 1000)}; "
    return _compare(staged, rule, judged, alpha, told)


def throttled(staged: Staged, rule: GuardRule, alpha: float) -> list[GuardResult]:
    """Whether more requests are throttled than at the stable variant."""
    judged: list[Judged] = []
    for part in parts_of(staged, rule):
        new, stable = staged.new(part, shadow=False), staged.stable(part, shadow=False)
        margin = _margin(staged, rule, part, ERRORS_MARGIN, ERRORS_SLICE_MARGIN)
        judged.append((part, Arms(new.throttled, new.n, stable.throttled, stable.n), Bounds(margin, rule.limit, staged.needed)))
    return _compare(staged, rule, judged, alpha, {})


def over_threshold(staged: Staged, rule: GuardRule, alpha: float) -> list[GuardResult]:
    """Whether more scores are over the threshold than the stable variant has: twice as many, where no margin is set."""
    baselines = staged.evidence.baselines
    threshold = next((one.threshold for name in (staged.evidence.new, *staged.evidence.stable) if (one := baselines.get(name))), None)
    if threshold is None:
        return [unasked(rule, "no threshold is known")]
    judged: list[Judged] = []
    for part in parts_of(staged, rule):
        new, stable = staged.new(part, shadow=False), staged.stable(part, shadow=False)
        arms = Arms(new.over(threshold), new.scored, stable.over(threshold), stable.scored)
        margin = _margin(staged, rule, part, arms.stable_share or 0.0, arms.stable_share or 0.0)
        judged.append((part, arms, Bounds(margin, rule.limit, staged.needed)))
    return _compare(staged, rule, judged, alpha, {})


def score_drift(staged: Staged, rule: GuardRule) -> list[GuardResult]:
    """How far the scores' distribution lies from the stable variant's (PSI, what chance makes of so few taken off)."""
    found = []
    for part in parts_of(staged, rule):
        new, stable = staged.new(part, shadow=False), staged.stable(part, shadow=False)
        bins = [math.floor(bucket / 10) for bucket in (*new.scores, *stable.scores)]
        names = sorted(set(bins))
        moved = psi([_in(new.scores, name) for name in names], [_in(stable.scores, name) for name in names])
        limit = rule.limit if rule.limit is not None else 0.25
        verdict = Verdict.NO_DATA
        if moved is not None:
            enough = new.scored >= staged.needed
            verdict = Verdict.INCONCLUSIVE if not enough else Verdict.FAIL if moved.excess > limit else Verdict.PASS
        value = None if moved is None else moved.excess
        text = "no scores" if value is None else f"PSI {value:.2f}"
        found.append(
            GuardResult(rule.name, verdict, part.slice, value, None, limit, new.scored, text=text, judged=part.decides, pooled=part.pooled)
        )
    return found


def unasked(rule: GuardRule, why: str) -> GuardResult:
    """A question that cannot be asked here: it is listed, and nobody waits for it."""
    return GuardResult(rule.name, Verdict.NO_DATA, text=why, dry_run=rule.dry_run, judged=False)


def parts_of(staged: Staged, rule: GuardRule) -> Sequence[Part]:
    """What a guard judges."""
    return staged.parts if rule.by_slice else (staged.whole,)


def _margin(staged: Staged, rule: GuardRule, part: Part, default: float, slice_default: float) -> float | None:
    """The margin that holds for a part; None where only an absolute limit was set."""
    if part is not staged.whole or staged.stage.slice:
        if rule.slice_margin is not None:
            return rule.slice_margin
        if rule.margin is None and rule.limit is not None:
            return None
        return max(slice_default, rule.margin or 0.0)
    if rule.margin is None:
        return None if rule.limit is not None else default
    return rule.margin


def _compare(staged: Staged, rule: GuardRule, judged: Sequence[Judged], alpha: float, told: Mapping[str, str]) -> list[GuardResult]:
    failed = failing([(arms, bounds) for _, arms, bounds in judged], alpha)
    return [
        _result(staged, rule, part, arms, compared(arms, bounds, failed=place in failed), bounds, told.get(part.slice, ""))
        for place, (part, arms, bounds) in enumerate(judged)
    ]


def _result(staged: Staged, rule: GuardRule, part: Part, arms: Arms, found: Compared, bounds: Bounds, told: str) -> GuardResult:
    rate = staged.part_rate(part)
    seconds = found.need / rate if found.need and rate > 0 else None
    text = told + (f"{percent(arms.share)} ({arms.bad} of {arms.n})" if arms.share is not None else "no request yet")
    if bounds.margin is not None:
        text += f", {_names(staged)} {percent(arms.stable_share)}" if arms.stable_share is not None else f", {_names(staged)} has none"
        text += f", limit {_points(found.allowed)}"
        if found.allowed > bounds.margin:
            text += f" (as near to {_points(bounds.margin)} as so few can prove)"
    else:
        text += f", limit {percent(found.allowed)}"
    if found.verdict is Verdict.INCONCLUSIVE and not found.need:
        text += ": too near to it"
    judged = part.decides or found.verdict is Verdict.FAIL
    if not judged and part.pooled:
        text = f"not judged: too few in {', '.join(part.pooled)}; {text}"
    return GuardResult(
        rule.name,
        found.verdict,
        part.slice,
        arms.share,
        arms.stable_share,
        found.allowed,
        arms.n,
        found.need,
        seconds,
        more(found.need, seconds, text),
        judged=judged,
        pooled=part.pooled,
    )


def _names(staged: Staged) -> str:
    return " ".join(staged.evidence.stable) or "the stable one"


def _points(share: float) -> str:
    return f"+{100 * share:.1f}".removesuffix(".0") + " pt"


def more(need: int, seconds: float | None, text: str) -> str:
    """The text with what is still needed: `…; 109 more, about 1 h 09`."""
    if not need:
        return text
    return f"{text}; {need} more" + (f", about {duration(seconds)}" if seconds is not None else ", and none come")


def _in(scores: Mapping[int, int], name: int) -> int:
    return sum(count for bucket, count in scores.items() if math.floor(bucket / 10) == name)
