"""What holds of every evidence: found by hypothesis, and by counting false alarms on seeded draws."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bench.false_pages import simulated

from core.drawn import ENDPOINT, NOW, Drawn, Kind, Windows, evidence
from mlconsole.core.evidence import LEAST, NEAR, Cache, View
from mlconsole.core.health import PAGES, Question, Settings
from mlconsole.core.questions import judge, proven
from mlconsole.core.statistics import binomial_tail
from mlconsole.core.summaries import WINDOW, Key, Summary
from mlconsole.core.verdicts import Verdict

ALL, DE = Key(ENDPOINT, "v3", False, ""), Key(ENDPOINT, "v3", False, "language=de")
BEGIN = int(NOW) // WINDOW * WINDOW


@st.composite
def summaries(draw: st.DrawFn, begin: int) -> Summary:
    """Any window's counts."""
    n = draw(st.integers(1, 200))
    failed = draw(st.integers(0, n))
    throttled = draw(st.integers(0, n - failed))
    inputs = draw(st.integers(0, min(20, n - failed - throttled)))
    outputs = draw(st.sampled_from((1, 2, 1_000)))
    return Summary(
        n=n,
        failed=failed,
        throttled=throttled,
        first=begin,
        last=begin + 9,
        latency={draw(st.integers(40, 140)): n},
        sample={begin * 1_000 + i: i % outputs for i in range(inputs)},
    )


@st.composite
def windows(draw: st.DrawFn, oldest: int = 360, newest: int = 0) -> Windows:
    """An hour with any windows in it, of all requests and of one slice."""
    found: Windows = {}
    for key in (ALL, DE):
        places = draw(st.lists(st.integers(newest, oldest), unique=True, max_size=25))
        for place in places:
            begin = BEGIN - place * WINDOW
            found.setdefault(key, {})[begin] = draw(summaries(begin))
    return found


def verdicts(found: Windows, question: Question, now: float = NOW + 5) -> dict[str, Verdict]:
    return {one.slice: one.verdict for one in judge(evidence(found, now)).answers if one.question is question}


@settings(max_examples=150, deadline=None)
@given(windows(), st.data())
def test_more_errors_never_turn_a_fail_into_a_pass(found: Windows, data: st.DataObject) -> None:
    before = verdicts(found, Question.ERRORS)
    worse: Windows = {}
    for key, mine in found.items():
        worse[key] = {}
        for at, one in mine.items():
            # What is judged, not what it is compared with: more errors in the usual are more usual errors.
            more = data.draw(st.integers(0, one.answered)) if at >= BEGIN - NEAR else 0
            worse[key][at] = replace(one, failed=one.failed + more)
    after = verdicts(worse, Question.ERRORS)
    order = [Verdict.PASS, Verdict.NO_DATA, Verdict.INCONCLUSIVE, Verdict.FAIL]
    for name, verdict in before.items():
        if verdict is Verdict.FAIL:
            assert after[name] is Verdict.FAIL
        if after[name] is Verdict.PASS:
            assert verdict is Verdict.PASS
        assert order.index(after[name]) >= order.index(verdict)


@settings(max_examples=100, deadline=None)
@given(windows(newest=91))
def test_no_data_never_passes(found: Windows) -> None:
    """Nothing came in the longest stretch that is looked at."""
    health = judge(evidence(found, NOW + 5))
    assert health.verdict is Verdict.NO_DATA
    assert not [one for one in health.answers if one.question in PAGES and one.verdict is Verdict.PASS]
    assert all(row.verdict is not Verdict.PASS for row in health.slices)


@settings(max_examples=150, deadline=None)
@given(windows(), st.floats(0, 30))
def test_every_answer_can_be_read(found: Windows, later: float) -> None:
    now = NOW + later
    health = judge(evidence(found, now, settings=Settings(latency_ms=100.0)))
    assert health.slices[0].slice == ""
    assert (health.verdict is Verdict.FAIL) == bool(health.failing)
    for one in health.answers:
        assert one.seconds >= 0
        if one.verdict is Verdict.FAIL and one.question in (Question.ERRORS, Question.LATENCY, Question.IDENTICAL):
            assert one.n >= LEAST, "a fail may be judged from 15"
            assert one.since is not None
            assert one.since <= now
            assert one.text
        if one.verdict is Verdict.INCONCLUSIVE:
            assert one.text
    named = [row.slice for row in health.slices]
    assert len(named) == len(set(named))


@settings(max_examples=60, deadline=None)
@given(windows(), st.lists(st.integers(0, 200), max_size=4), st.data())
def test_a_cache_changes_no_answer(found: Windows, steps: list[int], data: st.DataObject) -> None:
    """Whatever was asked before, and whatever came late: a minute later all that is kept has been made anew."""
    cache, now = Cache(), NOW + 5
    for step in steps:
        judge(evidence(found, now), cache)
        now += step
    late = BEGIN - data.draw(st.integers(12, 300)) * WINDOW
    found.setdefault(ALL, {})[late] = data.draw(summaries(late))
    now += 60
    assert judge(evidence(found, now), cache) == judge(evidence(found, now))


@settings(max_examples=60, deadline=None)
@given(windows(), st.sampled_from([Question.ERRORS, Question.IDENTICAL, Question.LATENCY, Question.SILENT]), st.integers(0, 300))
def test_nobody_proves_more_than_came(found: Windows, question: Question, ago: int) -> None:
    since = NOW - ago
    counted = proven(evidence(found, NOW + 5), question, ["", "language=de"], since)
    for name, key in (("", ALL), ("language=de", DE)):
        came = [one for at, one in found.get(key, {}).items() if at >= since]
        most = sum(one.n if question is Question.LATENCY else one.answered for one in came)
        assert 0 <= counted[name] <= most


def test_at_the_limit_itself_hardly_anybody_is_woken() -> None:
    """The worst that is still allowed: errors of exactly usual + 10 points in a slice. Of 200 independent looks none may fail."""
    draw = random.Random(2)
    usual = {BEGIN - at: Summary(n=10, first=BEGIN - at, last=BEGIN - at + 9) for at in range(1_000, 3_500, WINDOW)}
    failed = 0
    for _ in range(200):
        now = {
            BEGIN - at: Summary(n=10, failed=sum(draw.random() < 0.1 for _ in range(10)), first=BEGIN - at, last=BEGIN - at + 9)
            for at in range(0, 1_000, WINDOW)
        }
        found: Windows = {DE: {**usual, **now}, ALL: {**usual, **now}}
        failed += verdicts(found, Question.ERRORS)["language=de"] is Verdict.FAIL
    assert failed == 0


def test_clean_traffic_wakes_nobody() -> None:
    """A quarter of an hour of what the bench counts for days; and that count can count."""
    looks, paged = simulated(seed=7, hours=0.25)
    assert looks == 105
    assert paged == []
    _, paged = simulated(seed=7, hours=0.05, errors=0.3)
    assert any("errors" in one for one in paged)


def test_one_language_in_a_hundred_draws_is_always_found() -> None:
    """Each request of 2 % of the traffic fails: found within 60 s whatever the draw."""
    slowest = 0.0
    for seed in range(12):
        found: Windows = {}
        drawn = Drawn(
            seed=seed, rate=50.0, kind=lambda variant, name, at: Kind(errors=1.0 if at > NOW and name == "language=de" else 0.002)
        )
        drawn.fill(found, NOW - 400, NOW + seed % 10)
        now, cache = NOW + seed % 10, Cache()
        while "language=de" not in {one.slice for one in judge(evidence(found, now), cache).failing}:
            drawn.fill(found, now, now + 2)
            now += 2
            assert now < NOW + 70, "never found"
        slowest = max(slowest, now - NOW)
    assert slowest <= 60


def test_the_usual_ends_where_what_is_judged_begins() -> None:
    """The exact windows: nothing is in both."""
    found: Windows = {ALL: {BEGIN - at: Summary(n=1, first=BEGIN - at, last=BEGIN - at) for at in range(0, 3_600, WINDOW)}}
    view = View(evidence(found, NOW + 5))
    for gap in (NEAR, 900):
        judged = sum(one.n for _, mine in view.back(view.all, gap) for one in mine)
        usual = view.usual(view.all, gap)
        assert judged + usual.summary.n <= 360
        assert judged == gap // WINDOW + 1
        assert usual.seconds == usual.summary.n * WINDOW
    assert binomial_tail(LEAST, LEAST, 0.102) < 1e-14
