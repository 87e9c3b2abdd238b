"""Our statistics against scipy's, against the literature's own figures, and against simulated draws."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlconsole.core.statistics import (
    always_valid_difference,
    always_valid_multiplier,
    binomial_tail,
    chi_squared_tail,
    holm,
    normal_quantile,
    poisson_tail,
    psi,
    ratio_mismatch,
    wilson,
)

stats = pytest.importorskip("scipy.stats")


@settings(max_examples=400)
@given(st.data())
def test_the_binomial_tail_is_scipys(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 200_000))
    k = data.draw(st.integers(0, n))
    p = data.draw(st.floats(1e-6, 1 - 1e-6))
    # Far out in the tail scipy itself is off by some 1e-7: exact arithmetic agrees with ours there.
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-6, abs=1e-290)


@settings(max_examples=400)
@given(st.integers(0, 5_000), st.floats(1e-3, 5_000.0))
def test_the_poisson_tail_is_scipys(k: int, mean: float) -> None:
    assert poisson_tail(k, mean) == pytest.approx(stats.poisson.sf(k - 1, mean), rel=1e-7, abs=1e-290)


def test_tails_at_their_ends() -> None:
    assert binomial_tail(0, 0, 0.5) == 1.0
    assert binomial_tail(1, 0, 0.5) == 0.0
    assert binomial_tail(3, 3, 1.0) == 1.0
    assert binomial_tail(1, 3, 0.0) == 0.0
    assert binomial_tail(15, 15, 0.1) == pytest.approx(1e-15)
    assert poisson_tail(0, 3.0) == 1.0
    assert poisson_tail(1, 0.0) == 0.0
    assert 1 - poisson_tail(1, 20.0) == pytest.approx(math.exp(-20), rel=1e-6)


@given(st.floats(0.01, 400.0), st.integers(1, 200))
def test_the_chi_squared_tail_is_scipys(x: float, df: int) -> None:
    assert chi_squared_tail(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-9, abs=1e-290)


@given(st.floats(1e-9, 1 - 1e-9))
def test_the_normal_quantile_is_scipys(p: float) -> None:
    assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), rel=1e-9, abs=1e-12)


@given(st.data())
def test_wilsons_interval_is_scipys(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 20_000))
    k = data.draw(st.integers(0, n))
    confidence = data.draw(st.sampled_from((0.9, 0.95, 0.99)))
    theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    mine = wilson(k, n, confidence)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert mine.low <= k / n <= mine.high


def test_of_nothing_a_share_may_be_anything() -> None:
    assert wilson(0, 0)[::2] == (0.0, 1.0)
    assert always_valid_difference(0, 0, 1, 10)[::2] == (-1.0, 1.0)


@pytest.mark.parametrize(("n", "multiplier"), [(200, 5.10), (1_000, 3.36), (5_000, 3.04), (50_000, 3.24)])
def test_the_confidence_sequence_has_the_known_widths(n: int, multiplier: float) -> None:
    """Field-notes §5."""
    assert always_valid_multiplier(n) == pytest.approx(multiplier, abs=0.005)
    assert always_valid_multiplier(n, one_sided=True) < always_valid_multiplier(n)


@pytest.mark.parametrize("one_sided", [False, True])
def test_looking_at_every_step_is_honest(one_sided: bool) -> None:
    """Two equal arms of 30 %: at all looks from 200 requests on together, at most 5 % of runs exclude the truth."""
    draw = random.Random(11)
    wrong = 0
    runs = 300
    for _ in range(runs):
        k = other = 0
        for n in range(1, 1_501):
            k += draw.random() < 0.3
            other += draw.random() < 0.3
            if n >= 100 and n % 10 == 0:
                found = always_valid_difference(k, n, other, n, one_sided=one_sided)
                if found.low > 0 or (not one_sided and found.high < 0):
                    wrong += 1
                    break
    assert binomial_tail(wrong, runs, 0.05) > 1e-4


def test_with_no_failures_the_interval_still_has_a_width() -> None:
    """A canary 2 points worse must not pass a guard of 1 point after a few clean requests (field-notes §5)."""
    found = always_valid_difference(0, 200, 0, 200)
    assert found.low < -0.02
    assert found.high > 0.02
    draw = random.Random(5)
    passed = 0
    for _ in range(200):
        k = other = 0
        for n in range(1, 1_201):
            k += draw.random() < 0.024
            other += draw.random() < 0.004
            if n >= 100 and n % 10 == 0 and always_valid_difference(k, n, other, n).high < 0.01:
                passed += 1
                break
    assert passed <= 2


def test_a_split_that_is_not_as_desired() -> None:
    assert ratio_mismatch([1782, 218], [0.9, 0.1]) == pytest.approx(stats.chisquare([1782, 218], [1800, 200]).pvalue)
    assert ratio_mismatch([70, 5], [0.9, 0.1]) is None, "fewer than 8 are expected in one arm"
    assert ratio_mismatch([100, 1], [1.0, 0.0]) == 0.0, "what has no share gets no request"
    assert ratio_mismatch([100], [1.0]) is None
    assert ratio_mismatch([], []) is None
    found = ratio_mismatch([5_000, 5_000], [0.9, 0.1])
    assert found is not None
    assert found < 1e-12


def test_holm_by_its_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_is_no_stricter_than_bonferroni(values: list[float]) -> None:
    found = holm(values)
    for mine, p in zip(found, values, strict=True):
        assert p <= mine <= min(1.0, len(values) * p) + 1e-12
    assert [i for _, i in sorted((p, i) for i, p in enumerate(values))] == [
        i for _, _, i in sorted((found[i], values[i], i) for i in range(len(values)))
    ]


@pytest.mark.parametrize(("n", "m"), [(200, 1_500), (1_000, 1_500), (20_000, 1_500)])
def test_psi_of_an_unchanged_model_is_what_chance_makes_of_it(n: int, m: int) -> None:
    """Without change the mean of the raw index is about (bins - 1)(1/n + 1/m), whatever n; what is left is next to nothing."""
    draw = random.Random(n)
    weights = [3, 5, 9, 12, 15, 14, 12, 10, 9, 11]
    raw = chance = 0.0
    highest = 0.0
    for _ in range(60):
        now, then = [0] * 10, [0] * 10
        for place in draw.choices(range(10), weights, k=n):
            now[place] += 1
        for place in draw.choices(range(10), weights, k=m):
            then[place] += 1
        found = psi(now, then)
        assert found is not None
        raw, chance, highest = raw + found.raw, chance + found.chance, max(highest, found.excess)
    assert raw / chance == pytest.approx(1.0, abs=0.25)
    assert highest < 0.1, "the lowest band is never reached by chance"


def test_psi_of_a_model_that_changed() -> None:
    found = psi([500, 300, 200], [200, 300, 500])
    assert found is not None
    assert found.raw == pytest.approx(2 * 0.3 * math.log(2.5), rel=0.01)
    assert found.excess == pytest.approx(found.raw - 2 * (1 / 1000 + 1 / 1000))
    same = psi([200, 300, 500], [200, 300, 500])
    assert same is not None
    assert same.excess == 0.0
    assert psi([0, 0], [1, 2]) is None
    small = psi([9, 1], [500, 500])
    assert small is not None
    assert small.excess < small.raw, "of ten scores nothing follows"
