"""Guards: what holds for any numbers."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.drawn import NOW
from tests.core.staging import evidence, rollout, summary, the, windows

from mlconsole.core.comparison import Arms, Bounds, compared, failing, fails, share_bounds
from mlconsole.core.guards import results
from mlconsole.core.statistics import always_valid_difference, always_valid_multiplier
from mlconsole.core.verdicts import Verdict

_counts = st.integers(0, 4000)
_margins = st.sampled_from((0.0, 0.01, 0.05, 0.10, 0.5))
_evidences = st.sampled_from((15, 60, 150, 200, 300, 1000))


@st.composite
def _arms(draw: st.DrawFn) -> Arms:
    n, m = draw(_counts), draw(_counts)
    return Arms(draw(st.integers(0, n)), n, draw(st.integers(0, m)), m)


def _verdict(arms: Arms, bounds: Bounds) -> Verdict:
    return compared(arms, bounds, failed=0 in failing([(arms, bounds)], 0.01)).verdict


@given(_arms(), _margins, _evidences, st.integers(1, 500))
def test_more_errors_never_turn_a_fail_into_a_pass_nor_fewer_a_pass_into_a_fail(arms: Arms, margin: float, wanted: int, more: int) -> None:
    bounds = Bounds(margin, None, wanted)
    worse = arms._replace(bad=min(arms.n, arms.bad + more))
    if _verdict(arms, bounds) is Verdict.FAIL:
        assert _verdict(worse, bounds) is Verdict.FAIL
    if _verdict(worse, bounds) is Verdict.PASS:
        assert _verdict(arms, bounds) is not Verdict.FAIL


@given(_arms(), _margins, st.sampled_from((None, 0.02, 0.2)), _evidences)
def test_a_pass_takes_the_evidence_and_an_estimate_within_what_is_allowed(
    arms: Arms, margin: float, limit: float | None, wanted: int
) -> None:
    found = compared(arms, Bounds(margin, limit, wanted), failed=False)
    assert found.allowed >= margin
    if found.verdict is Verdict.PASS:
        assert arms.n >= wanted
        assert arms.share is not None
        assert arms.stable_share is not None
        assert arms.share - arms.stable_share <= found.allowed
        if wanted >= 200:
            assert found.allowed == margin
            assert always_valid_difference(*arms, one_sided=True).high <= margin
    else:
        assert found.verdict in (Verdict.INCONCLUSIVE, Verdict.NO_DATA)


@given(st.integers(0, 5000), st.integers(0, 5000), _margins, _evidences)
def test_no_data_never_passes(n: int, bad: int, margin: float, wanted: int) -> None:
    for arms in (Arms(0, 0, min(n, bad), n), Arms(min(n, bad), n, 0, 0), Arms(0, 0, 0, 0)):
        found = compared(arms, Bounds(margin, None, wanted), failed=fails(arms, Bounds(margin, None, wanted), 0.05))
        assert found.verdict is Verdict.NO_DATA


@given(st.integers(0, 14), _margins)
def test_fewer_than_fifteen_fail_nobody(n: int, margin: float) -> None:
    assert not fails(Arms(n, n, 0, 100_000), Bounds(margin, 0.01, 200), 0.05)


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from((0.0, 1.0)))
def test_bounds_have_a_width_where_nothing_or_everything_fails(n: int, m: int, share: float) -> None:
    found = always_valid_difference(round(n * share), n, round(m * share), m, one_sided=True)
    assert found.low < 0 < found.high
    one = share_bounds(round(n * share), n, 0.05)
    assert one.low < one.high


@given(st.lists(st.tuples(_arms(), st.sampled_from((0.01, 0.10))), min_size=1, max_size=6))
def test_holms_steps_find_at_least_what_equal_parts_of_the_level_find_and_no_more_than_the_level_itself(
    several: list[tuple[Arms, float]],
) -> None:
    judged = [(arms, Bounds(margin, None, 150)) for arms, margin in several]
    found = failing(judged, 0.01)
    assert {i for i, (arms, bounds) in enumerate(judged) if fails(arms, bounds, 0.01 / len(judged))} <= found
    assert found <= {i for i, (arms, bounds) in enumerate(judged) if fails(arms, bounds, 0.01)}


@given(st.integers(15, 3000), st.integers(0, 40), st.integers(1, 20), _evidences)
def test_with_so_many_more_as_it_asks_for_it_passes_should_the_shares_stay(n: int, bad: int, times: int, wanted: int) -> None:
    arms, bounds = Arms(min(n, bad), n, round(times * bad / 3), times * n), Bounds(0.05, None, wanted)
    found = compared(arms, bounds, failed=False)
    if found.verdict is Verdict.PASS or found.need <= max(0, wanted - n):
        return
    factor = (n + found.need) / n
    grown = Arms(round(arms.bad * factor), n + found.need, round(arms.stable_bad * factor), round(arms.stable_n * factor))
    assert compared(grown, bounds, failed=False).verdict is Verdict.PASS


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.integers(0, 6000), st.data())
def test_worse_traffic_never_looks_better_and_the_results_of_one_look_are_its_own(n: int, m: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, n))
    held = evidence(windows({"": summary(n, bad)}, {"": summary(m)}))
    found, again = results(rollout(), held, NOW + 100), results(rollout(), held, NOW + 100)
    assert found == again
    one = the(found, "errors")
    if not n or not m:
        assert one.verdict is Verdict.NO_DATA
    worse = the(results(rollout(), evidence(windows({"": summary(n, n)}, {"": summary(m)})), NOW + 100), "errors")
    if one.verdict is Verdict.FAIL:
        assert worse.verdict is Verdict.FAIL


def test_looking_at_every_request_a_variant_that_is_two_points_worse_never_passes_one_point() -> None:
    # Field-notes §5: by the raw formula 74 % of such runs pass.
    draw = random.Random(5)
    passed = 0
    for _ in range(60):
        bad = stable_bad = 0
        for n in range(1, 1500):
            bad += draw.random() < 0.024
            stable_bad += draw.random() < 0.004
            if n % 25 == 0 and _verdict(Arms(bad, n, stable_bad, n), Bounds(0.01, None, 200)) is Verdict.PASS:
                passed += 1
                break
    assert passed == 0


def test_the_multiplier_is_that_of_the_field_notes() -> None:
    found = [round(always_valid_multiplier(n), 2) for n in (200, 1000, 5000, 50_000)]
    assert found == [5.10, 3.36, 3.04, 3.24]
