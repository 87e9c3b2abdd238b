"""The questions that inform and never page: throttling, over-threshold rate, drift of scores and of input fields, the split, the age of the
data, what the servers use."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mlconsole.core.evidence import LONGEST, NEAR, NEEDED_USUAL, Part, View, newest, percent
from mlconsole.core.health import OTHER, Answer, Question
from mlconsole.core.statistics import Psi, always_valid_difference, binomial_tail, psi, ratio_mismatch
from mlconsole.core.summaries import WINDOW, Summary
from mlconsole.core.text import duration
from mlconsole.core.trends import histogram_of
from mlconsole.core.verdicts import Verdict

_RARELY = 10.0
"""Seconds for which the answers are kept: drift is no matter of seconds, and it is dear to compute."""

_MOVED = 0.10
"""A share that differs by so much from the usual one has moved, where it is not chance."""

_TIMES, _LEAST_MORE = 3.0, 0.02
"""A rare share has moved when it is so many times the usual one, and so much more."""

_THROTTLED = 0.05
"""Share of throttled requests above the usual one that is told."""

_PSI_MOVED, _PSI_DRIFTED = 0.10, 0.25
"""The usual bands of PSI: above the first it moved a little, above the second it drifted (field-notes §5)."""

_MISMATCH, _MISMATCH_LEAST = 0.001, 0.01
"""Sample-ratio mismatch: the p-value below which a split is not as desired, and the difference of shares that is still nobody's trouble."""

_DISK = 1.0
"""GB free below which a disk is nearly full."""

_MEMORY = 90.0
"""% of the memory from which it is nearly full, where the backend tells it so."""

_BINS = 10
"""Bins that a field's numbers are put into, equally full in what they are compared with."""

_CATEGORIES = 20


def informing(view: View, parts: Sequence[Part]) -> tuple[Answer, ...]:
    """All of their answers."""
    about = (view.evidence.split_since, view.evidence.settings, tuple(parts))
    kept = view.cache.informing
    if kept and 0 <= view.now - kept[0] < _RARELY and kept[1] == about:
        return kept[2]
    answers = tuple(_asked(view, parts))
    view.cache.informing = (view.now, about, answers)
    return answers


def _asked(view: View, parts: Sequence[Part]) -> Iterator[Answer]:
    for part in parts:
        yield from _throttled(view, part)
        yield from _over_threshold(view, part)
    serving = [name for name, share in sorted(view.evidence.serving.items()) if share > 0]
    for variant in serving:
        yield from _score_drift(view, variant)
    yield from _field_drift(view)
    yield from _split(view, serving)
    for variant in serving:
        yield from _cutoff(view, variant)
    for variant, told in sorted(view.evidence.resources.items()):
        yield from _resources(variant, told)


def over(view: View, part: Part, total: Summary) -> float | None:
    """The share of scores at or over the threshold; None without scores, or where the variants' thresholds differ or are not known."""
    threshold = _threshold(view, part)
    scored = sum(total.scores.values())
    return total.over(threshold) / scored if threshold is not None and scored else None


def _threshold(view: View, part: Part) -> float | None:
    baselines = [view.evidence.baselines.get(name) for name in {key.variant for key in part.keys if key.variant}]
    thresholds = {one.threshold for one in baselines if one is not None}
    return thresholds.pop() if len(thresholds) == 1 else None


def _recent(view: View, part: Part) -> tuple[Summary, int]:
    """The shortest of some recent stretches with enough in it, and its length; the longest, if none has."""
    for seconds in (60, 300, LONGEST):
        total = view.between(part, newest(view.now) - seconds, newest(view.now) + WINDOW).summary
        if total.n >= NEEDED_USUAL or seconds == LONGEST:
            return total, seconds
    raise AssertionError("the longest is the last")


def _throttled(view: View, part: Part) -> Iterator[Answer]:
    total, seconds = _recent(view, part)
    if not total.throttled:
        return
    usual = view.usual(part, LONGEST if seconds > NEAR else NEAR)
    share = usual.summary.throttled / usual.summary.n if usual.known else 0.0
    limit = min(share + _THROTTLED, (1 + share) / 2)
    failed = total.throttled > total.n * limit and binomial_tail(total.throttled, total.n, limit) < _MISMATCH
    yield Answer(
        Question.THROTTLED,
        Verdict.FAIL if failed else Verdict.PASS,
        part.variant,
        part.slice,
        value=total.throttled / total.n,
        usual=share if usual.known else None,
        limit=limit,
        n=total.n,
        seconds=seconds,
        text=f"{percent(total.throttled / total.n)} ({total.throttled} of {total.n}) throttled, {_usual(share if usual.known else None)}",
    )


def _over_threshold(view: View, part: Part) -> Iterator[Answer]:
    threshold = _threshold(view, part)
    if threshold is None:
        return
    total, seconds = _recent(view, part)
    k, n = total.over(threshold), sum(total.scores.values())
    if not n:
        return
    reference = view.usual(part, LONGEST if seconds > NEAR else NEAR).summary
    known, of = reference.over(threshold), sum(reference.scores.values())
    if of < NEEDED_USUAL:
        known, of = _profile(view, part)
    answer = Answer(Question.OVER_THRESHOLD, Verdict.INCONCLUSIVE, part.variant, part.slice, value=k / n, n=n, seconds=seconds)
    if not of:
        yield _with(answer, Verdict.INCONCLUSIVE, f"{percent(k / n)} ({k} of {n}), no usual yet")
        return
    usual, found = known / of, always_valid_difference(k, n, known, of)
    moved = abs(k / n - usual) >= _MOVED or (k / n >= _TIMES * usual and k / n - usual >= _LEAST_MORE)
    verdict = Verdict.PASS
    if moved:
        verdict = Verdict.FAIL if found.low > 0 or found.high < 0 else Verdict.INCONCLUSIVE
    yield _with(answer, verdict, f"{percent(k / n)} ({k} of {n}), {_usual(usual)}", usual)


def _profile(view: View, part: Part) -> tuple[int, int]:
    """What the versions' profiles say is over the threshold: how many of how many."""
    known = n = 0
    for variant in {key.variant for key in part.keys}:
        baseline = view.evidence.baselines.get(variant)
        share = None
        if baseline is not None and part.slice != OTHER:
            share = baseline.over_threshold_by_slice.get(part.slice) if part.slice else baseline.over_threshold
        if baseline is not None and share is not None:
            known, n = known + round(share * baseline.n), n + baseline.n
    return known, n


def _score_drift(view: View, variant: str) -> Iterator[Answer]:
    found = histogram_of(view, variant)
    if found is None:
        return
    answer = Answer(Question.SCORE_DRIFT, Verdict.INCONCLUSIVE, variant, value=found.psi, limit=_PSI_DRIFTED, n=found.n, seconds=LONGEST)
    if found.n < NEEDED_USUAL or found.psi is None:
        yield _with(answer, Verdict.INCONCLUSIVE, f"{found.n} scores, {NEEDED_USUAL} are needed", need=NEEDED_USUAL)
        return
    yield _with(answer, _band(found.psi), f"PSI {found.psi:.2f} against the version's profile")


def _band(value: float) -> Verdict:
    if value >= _PSI_DRIFTED:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if value >= _PSI_MOVED else Verdict.PASS


def _field_drift(view: View) -> Iterator[Answer]:
    now = view.between(view.all, newest(view.now) - LONGEST, newest(view.now) + WINDOW).summary.fields
    if not now:
        return
    profiles = [one.fields for name in sorted(view.evidence.serving) if (one := view.evidence.baselines.get(name)) and one.fields]
    usual = view.usual(view.all, LONGEST).summary.fields
    labels = {key.slice.partition("=")[0] for key in view.live if key.slice}
    for name, tokens in sorted(now.items()):
        then: Mapping[str, int] = usual.get(name, {})
        against = "the usual"
        # What requests are sliced by is compared with the usual: a profile's set has as many of each on purpose.
        if name not in labels:
            then, against = next(((one[name], "the version's profile") for one in profiles if name in one), (then, against))
        n, m = sum(tokens.values()), sum(then.values())
        answer = Answer(Question.FIELD_DRIFT, Verdict.INCONCLUSIVE, subject=name, limit=_PSI_DRIFTED, n=n, seconds=LONGEST)
        if n < NEEDED_USUAL or m < NEEDED_USUAL:
            told = f"{n} values, {NEEDED_USUAL} are needed" if n < NEEDED_USUAL else "no usual yet"
            yield _with(answer, Verdict.INCONCLUSIVE, told, need=NEEDED_USUAL if n < NEEDED_USUAL else 0)
            continue
        found = field_psi(tokens, then)
        missing, before = tokens.get("m", 0) / n, then.get("m", 0) / m
        told = f"PSI {found.excess:.2f} against {against}"
        verdict = _band(found.excess)
        if abs(missing - before) >= _MOVED:
            verdict, told = Verdict.FAIL, f"{told}; missing {percent(missing)}, {_usual(before)}"
        yield _with(answer, verdict, told, value=found.excess)


def field_psi(now: Mapping[str, int], then: Mapping[str, int]) -> Psi:
    """PSI of an input field's tokens: missing is a bin, each frequent category is one, numbers and lengths go by deciles of `then`."""
    names = sorted((token for token in then if token.startswith("c:")), key=lambda token: (-then[token], token))[:_CATEGORIES]
    places: dict[str, int] = {"m": 0, **{name: 1 + i for i, name in enumerate(names)}}
    rest = len(places)
    borders: dict[str, list[int]] = {
        kind: _deciles({_number(t): c for t, c in then.items() if t.startswith(kind)}) for kind in ("n:", "l:")
    }
    size = rest + 1 + 2 * (_BINS + 1)

    def counted(tokens: Mapping[str, int]) -> list[int]:
        counts = [0] * size
        for token, count in tokens.items():
            kind = token[:2]
            if kind in borders:
                place = rest + 1 + (kind == "l:") * (_BINS + 1) + bisect.bisect_right(borders[kind], _number(token))
            else:
                place = places.get(token, rest)
            counts[place] += count
        return counts

    return psi(counted(now), counted(then)) or Psi(0.0, 0.0, 0.0)


def _number(token: str) -> int:
    """The bucket in a token `n:BUCKET` or `l:BUCKET`."""
    try:
        return int(token[2:])
    except ValueError:
        return 0


def _deciles(counts: Mapping[int, int]) -> list[int]:
    """The borders that part these buckets into at most ten bins, each about as full; a bucket is in one bin only."""
    total, passed, borders = sum(counts.values()), 0, list[int]()
    for bucket in sorted(counts):
        if passed and passed * _BINS >= total * (len(borders) + 1) and len(borders) < _BINS - 1:
            borders.append(bucket)
        passed += counts[bucket]
    return borders


def _split(view: View, serving: Sequence[str]) -> Iterator[Answer]:
    """Whether the variants get the shares that were asked for. Requests for a named variant can't be told from the others here."""
    if len(serving) < 2:
        return
    since = view.evidence.split_since
    begin = newest(since) + WINDOW if since is not None else newest(view.now) - LONGEST
    counts = [view.between(view.part(name, ""), begin, newest(view.now) + WINDOW).summary.n for name in serving]
    n, shares = sum(counts), [view.evidence.serving[name] for name in serving]
    total = sum(shares)
    p = ratio_mismatch(counts, shares)
    off = max(range(len(serving)), key=lambda i: abs(counts[i] / n - shares[i] / total)) if n else 0
    seen = counts[off] / n if n else None
    answer = Answer(
        Question.SPLIT, Verdict.INCONCLUSIVE, serving[off], value=seen, usual=shares[off] / total, n=n, seconds=view.now - begin
    )
    if seen is None:
        yield _with(answer, Verdict.NO_DATA, "", usual=answer.usual)
    elif p is None:
        yield _with(answer, Verdict.INCONCLUSIVE, f"{n} requests since the traffic changed, too few to tell", usual=answer.usual)
    else:
        failed = p < _MISMATCH and abs(seen - shares[off] / total) >= _MISMATCH_LEAST
        told = f"{percent(seen)} of {n}, desired {percent(shares[off] / total)}" + (
            " (requests for a named variant included)" if failed else ""
        )
        yield _with(answer, Verdict.FAIL if failed else Verdict.PASS, told, usual=answer.usual)


def _cutoff(view: View, variant: str) -> Iterator[Answer]:
    baseline, days = view.evidence.baselines.get(variant), view.evidence.settings.cutoff_days
    if baseline is None or not baseline.cutoff:
        if days is not None:
            yield Answer(Question.CUTOFF, Verdict.NO_DATA, variant, text="the version does not say until when its data are")
        return
    try:
        until = datetime.fromisoformat(baseline.cutoff)
    except ValueError:
        yield Answer(Question.CUTOFF, Verdict.INCONCLUSIVE, variant, text=f"no date: {baseline.cutoff}")
        return
    age = view.now - (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp()
    failed = days is not None and age > days * 86_400
    told = f"data until {baseline.cutoff}, {duration(max(0.0, age))} old" + (f", limit {days:g} d" if failed else "")
    limit = days * 86_400 if days is not None else None
    yield Answer(Question.CUTOFF, Verdict.FAIL if failed else Verdict.PASS, variant, value=age, limit=limit, text=told)


def _resources(variant: str, told: Mapping[str, str]) -> Iterator[Answer]:
    parts = [f"{name} {told[name]}" for name in ("cpu", "memory", "disk") if told.get(name)]
    if not parts:
        return
    free, memory = _figure(told.get("disk", ""), "GB free"), _figure(told.get("memory", ""), "%")
    full = [
        name for name, bad in (("disk", free is not None and free < _DISK), ("memory", memory is not None and memory >= _MEMORY)) if bad
    ]
    yield Answer(Question.RESOURCES, Verdict.FAIL if full else Verdict.PASS, variant, subject=", ".join(full), text=", ".join(parts))


def _figure(text: str, unit: str) -> float | None:
    found = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*{re.escape(unit)}\s*", text)
    return float(found.group(1)) if found else None


def _usual(share: float | None) -> str:
    return "no usual yet" if share is None else f"usual {percent(share)}"


def _with(answer: Answer, verdict: Verdict, text: str, usual: float | None = None, *, value: float | None = None, need: int = 0) -> Answer:
    return replace(answer, verdict=verdict, text=text, usual=usual, need=need, value=answer.value if value is None else value)
