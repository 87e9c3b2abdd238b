"""Questions: what health asks of an endpoint, answered. The rules are in `paging`, `sameness` and `silence` (those that page) and in
`drift` (those that inform).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mlconsole.core import drift, paging, sameness, silence
from mlconsole.core.evidence import LEAST, LONGEST, NEAR, NEEDED_USUAL, Cache, Evidence, Part, View, newest
from mlconsole.core.health import OTHER, PAGES, Answer, EndpointHealth, Figures, Question, SliceHealth
from mlconsole.core.summaries import WINDOW, Summary, score_edge
from mlconsole.core.summaries import sameness as sameness_of
from mlconsole.core.trends import histogram, trend
from mlconsole.core.verdicts import Verdict

__all__ = ["Cache", "Evidence", "histogram", "judge", "proven", "trend"]

_FIGURES = ((60, 50), (300, 50), (LONGEST, 0))
"""Seconds that a row's figures are of, and how many requests must be in them for that."""

_ORDER = {
    verdict: place for place, verdict in enumerate((Verdict.FAIL, Verdict.ERROR, Verdict.NO_DATA, Verdict.INCONCLUSIVE, Verdict.PASS))
}
_QUESTIONS = {question: place for place, question in enumerate(Question)}


def judge(evidence: Evidence, cache: Cache | None = None) -> EndpointHealth:
    """How an endpoint is. With a `cache` of its own, kept from look to look, the answers are the same and cheaper."""
    view = View(evidence, cache)
    parts = _parts(view)
    answers = _answers(view, parts)
    nothing = silence.no_data(view)
    if nothing:
        answers = [_unknown(one, nothing) for one in answers]
    return EndpointHealth(
        evidence.endpoint,
        _verdict(evidence, answers, bool(nothing)),
        tuple(sorted(answers, key=_worst)),
        _slices(view, parts, answers),
        _figures(view, view.all),
        _usual(view, view.all),
        {name: _figures(view, view.part(name, "")) for name in sorted({*evidence.serving, *view.variants()})},
    )


def _parts(view: View) -> list[Part]:
    """All requests, then each slice; slices that can't have enough requests to be judged are pooled in one."""
    parts: list[Part] = [view.all]
    small: list[Part] = []
    for name in view.slices:
        part = view.part("", name)
        (small if _small(view, part) else parts).append(part)
    if len(small) == 1:
        # Alone it has nobody to be pooled with: it is judged as far as it goes, under the name that says so.
        return [*parts, small[0]._replace(slice=OTHER, pooled=(small[0].slice,))]
    return [*parts, view.part("", *(part.slice for part in small))] if small else parts


def _small(view: View, part: Part) -> bool:
    """Whether so few requests come of a slice that it has fewer than `LEAST` in the longest stretch, by what is usual and by what came."""
    n = 0
    for _, found in view.back(part):
        n += sum(_told_of(one) for one in found)
        if n >= LEAST:
            return False
    begins = [min(view.evidence.windows[key]) for key in view.all.keys]
    lasted = max(WINDOW, view.now - min(begins, default=view.now))
    n = sum(_told_of(one) for key in part.keys for one in view.evidence.windows[key].values())
    return max(view.usual(part).rate, n / lasted) * LONGEST < LEAST


def _told_of(one: Summary) -> int:
    """Requests that something is known of: those that were counted, or the inputs of a sample of which nobody counted by slice."""
    return max(one.n, len(one.sample))


def _answers(view: View, parts: Sequence[Part]) -> list[Answer]:
    variants = view.variants()
    several = variants if len(variants) > 1 else []
    applications = view.application()
    alpha = paging.ALPHA / max(1, (len(parts) + len(applications)) * (1 + len(several)))
    same_alpha = sameness.SAME_ALPHA / max(1, len(parts) * (1 + len(several)))
    answers: list[Answer] = []
    for part in parts:
        answers += [paging.errors(view, part, alpha), sameness.identical(view, part, same_alpha), paging.latency(view, part, alpha)]
        if part.slice not in ("", OTHER) and view.evidence.settings.silent and not part.slice.endswith(f"={OTHER}"):
            found = silence.silent(view, part)
            answers += [found] if found else []
        for variant in several:
            # A variant with a small share may be broken without its being seen in the whole.
            own = view.part(variant, *(part.pooled or (part.slice,)))._replace(slice=part.slice, pooled=part.pooled)
            if not own.keys:
                continue
            found_own = [paging.errors(view, own, alpha), sameness.identical(view, own, same_alpha), paging.latency(view, own, alpha)]
            answers += [one for one in found_own if not part.slice or one.verdict is Verdict.FAIL]
    answers += [paging.errors(view, part, alpha) for part in applications]
    if view.evidence.settings.silent:
        answers += silence.quiet(view)
    answers += drift.informing(view, parts)
    return answers


def _unknown(answer: Answer, why: str) -> Answer:
    """Where no requests come, nothing passes; what failed last still did."""
    if answer.question in PAGES and answer.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.NO_DATA):
        return replace(answer, verdict=Verdict.NO_DATA, text=why)
    return answer


def _verdict(evidence: Evidence, answers: Iterable[Answer], nothing: bool) -> Verdict:
    """The worst of what pages."""
    counted = [one for one in answers if one.question in evidence.settings.pages and _counts(one)]
    worst = min((one.verdict for one in counted), key=_ORDER.__getitem__, default=Verdict.NO_DATA)
    return Verdict.NO_DATA if nothing and worst is not Verdict.FAIL else worst


def _counts(answer: Answer) -> bool:
    """Whether an answer decides about the endpoint. Every fail does. A variant's or a pooled slice's *too little* is shown and holds nobody
    up, nor does what has no limit (no usual yet, inputs that are not told). That nothing comes of one slice is for `silent` to judge.
    """
    if answer.verdict is Verdict.FAIL:
        return True
    if answer.variant or answer.slice == OTHER:
        return False
    if answer.verdict is Verdict.NO_DATA:
        return not answer.slice
    return answer.verdict is not Verdict.INCONCLUSIVE or answer.limit is not None


def _worst(answer: Answer) -> tuple[bool, int, int, str, str]:
    """What pages before what informs; then by verdict, by question, all requests before a slice."""
    return answer.question not in PAGES, _ORDER[answer.verdict], _QUESTIONS[answer.question], answer.slice, answer.variant


def _slices(view: View, parts: Sequence[Part], answers: Iterable[Answer]) -> tuple[SliceHealth, ...]:
    pages = view.evidence.settings.pages
    by_slice: dict[str, list[Answer]] = {}
    for one in answers:
        if one.question in pages and (one.verdict is Verdict.FAIL or not one.variant):
            by_slice.setdefault(one.slice, []).append(one)
    rows = []
    for part in parts:
        mine = by_slice.get(part.slice, [])
        worst = min(mine, key=_worst, default=None)
        verdict = worst.verdict if worst else Verdict.NO_DATA
        rows.append(SliceHealth(part.slice, verdict, _figures(view, part), _usual(view, part), worst, part.pooled))
    return tuple(sorted(rows, key=lambda row: (bool(row.slice), _ORDER[row.verdict], row.slice == OTHER, row.slice)))


def _figures(view: View, part: Part) -> Figures:
    """What a row shows: of the last minute, or of as much more as it takes to have some."""
    n, at = 0, newest(view.now)
    ends = iter(_FIGURES)
    seconds, least = next(ends)
    for begin, found in view.back(part):
        if view.now - begin > seconds + WINDOW and n >= least:
            break
        while view.now - begin > seconds + WINDOW:
            seconds, least = next(ends, (LONGEST + WINDOW, 0))
        at = begin
        n += sum(one.n for one in found)
    return _shown(view, part, view.recent(part, at), max(view.now - at, 1.0))


def _add(total: Summary, one: Summary) -> None:
    """Merge what a row shows of: input fields are not in it."""
    total.n += one.n
    total.failed += one.failed
    total.throttled += one.throttled
    for mine, its in ((total.latency, one.latency), (total.scores, one.scores)):
        for bucket, count in its.items():
            mine[bucket] = mine.get(bucket, 0) + count
    total.sample.update(one.sample)


def _usual(view: View, part: Part) -> Figures:
    reference = view.usual(part)
    return _shown(view, part, reference.summary, reference.seconds) if reference.summary.n else Figures()


def _shown(view: View, part: Part, total: Summary, seconds: float) -> Figures:
    counted = paging.failures(total)
    over = drift.over(view, part, total)
    return Figures(
        n=total.n,
        seconds=seconds,
        rate=total.n / seconds if total.n else None,
        errors=counted.bad / counted.n if counted.n else None,
        p95=total.quantile(0.95),
        same=sameness_of(total).same,
        over=over,
        lowest=score_edge(min(total.scores)) if total.scores else None,
        highest=score_edge(max(total.scores) + 1) if total.scores else None,
    )


def proven(evidence: Evidence, question: Question, slices: Sequence[str], since: float, cache: Cache | None = None) -> Mapping[str, int]:
    """Slice → good predictions in the windows that began after `since`; distinct inputs, where outputs were identical. 0: it is not well.

    `OTHER` is those that are pooled now; a slice of which nothing came is 0, which is no proof.
    """
    view = View(evidence, cache)
    pooled = next((part for part in _parts(view) if part.slice == OTHER), None)
    result = {}
    for name in slices:
        part = pooled if name == OTHER else view.part("", name)
        result[name] = _proof(view, question, part, since) if part else 0
    return result


def _proof(view: View, question: Question, part: Part, since: float) -> int:
    total = Summary()
    border = paging.slow_limit(view, part, LONGEST).border or paging.slow_limit(view, part, NEAR).border
    slow = timed = 0
    oldest = min((min(evidence_of) for key in part.keys if (evidence_of := view.evidence.windows[key])), default=since)
    for at, found in view.back(part, max(0.0, view.now - max(since, oldest))):
        if at < since:
            break
        for one in found:
            _add(total, one)
            if question is Question.LATENCY and border is not None:
                counted = paging.slow_counter(border)(one)
                slow, timed = slow + counted.bad, timed + counted.n
    if not total.n and not total.sample:
        return 0
    settings = view.evidence.settings
    if question is Question.IDENTICAL:
        same = sameness_of(total)
        return same.inputs if same.inputs > 1 and same.modal < sameness.SAME * same.inputs else 0
    if question is Question.LATENCY:
        return timed - slow if border is not None and slow <= paging.SLOW_LIMIT * timed else 0
    counted = paging.failures(total)
    usual = paging.failures(view.usual(part).summary)
    known = min(usual.bad / usual.n, paging.USUAL_MOST) if usual.n >= NEEDED_USUAL else 0.0
    allowed = known + (settings.slice_errors if part.slice else settings.errors)
    return total.answered if counted.n and counted.bad <= allowed * counted.n else 0
