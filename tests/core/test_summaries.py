"""Summaries: they add up in any order, their buckets keep what they promise, and what is written is read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.summaries import (
    SAMPLE,
    Sameness,
    Summary,
    latency_bucket,
    latency_edge,
    merged,
    sameness,
    score_bucket,
    score_edge,
)

COUNTS = st.integers(1, 9)
BUCKETS = st.dictionaries(st.integers(-300, 300), COUNTS, max_size=8)
SUMMARIES = st.builds(
    Summary,
    n=COUNTS,
    failed=COUNTS,
    throttled=COUNTS,
    scored=COUNTS,
    first=st.floats(0, 1e9),
    last=st.floats(0, 1e9),
    latency=BUCKETS,
    scores=BUCKETS,
    sample=st.dictionaries(st.integers(0, 200), st.integers(0, 3), max_size=SAMPLE),
    errors=st.dictionaries(st.sampled_from(["reset", "timeout", "no\x1bfield"]), COUNTS),
    fields=st.dictionaries(st.sampled_from(["x", "y"]), st.dictionaries(st.sampled_from(["m", "n:3", "c:de"]), COUNTS, min_size=1)),
)


def copied(summary: Summary) -> Summary:
    return Summary.from_json(summary.to_json())


@given(SUMMARIES)
def test_what_is_written_is_read_back(summary: Summary) -> None:
    assert copied(summary) == summary
    assert copied(Summary()) == Summary()


@given(st.lists(SUMMARIES, max_size=6), st.randoms())
def test_the_order_of_merging_does_not_matter(summaries: list[Summary], random: object) -> None:
    shuffled = list(summaries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    half = len(shuffled) // 2
    whole = merged(summaries)
    assert merged(shuffled) == whole
    assert merged([merged(shuffled[half:]), merged(shuffled[:half])]) == whole
    assert whole.n == sum(one.n for one in summaries)
    assert whole.answered == sum(one.answered for one in summaries)


@given(SUMMARIES, SUMMARIES)
def test_merging_changes_the_one_that_is_told_to_only(one: Summary, other: Summary) -> None:
    before = copied(other)
    one.merge(other)
    one.latency[1] = one.errors["new"] = 7
    one.fields.setdefault("x", {})["m"] = 70
    assert other == before


@given(st.floats(-1e6, 1e6))
def test_a_score_lies_in_its_bucket(value: float) -> None:
    bucket = score_bucket(value)
    tolerance = 1e-6 * max(1.0, abs(value))
    assert score_edge(bucket) - tolerance <= value
    if -200 <= bucket < 200:
        assert value < score_edge(bucket + 1) + tolerance
    elif abs(value) > 1:
        assert abs(value - score_edge(bucket)) <= abs(value) * 0.0101 + tolerance


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_larger_score_has_no_smaller_bucket(one: float, other: float) -> None:
    assert score_bucket(min(one, other)) <= score_bucket(max(one, other))


@pytest.mark.parametrize("hundredths", range(-100, 101))
def test_a_threshold_of_two_decimals_is_a_border(hundredths: int) -> None:
    threshold = hundredths / 100
    scores = [threshold - 0.001, threshold, threshold + 0.001]
    counted = Summary(scores={})
    for score in scores:
        counted.scores[score_bucket(score)] = counted.scores.get(score_bucket(score), 0) + 1
    assert counted.over(threshold) == 2
    assert score_edge(score_bucket(threshold)) == pytest.approx(threshold)


@given(st.floats(0.011, 1e7))
def test_a_latency_lies_below_its_edge_and_near_it(milliseconds: float) -> None:
    edge = latency_edge(latency_bucket(milliseconds))
    assert milliseconds <= edge * (1 + 1e-9)
    assert edge <= milliseconds * 1.05 * (1 + 1e-9)


@given(st.lists(st.floats(0.02, 1e6), min_size=1, max_size=60), st.floats(0.01, 1))
def test_quantiles_are_within_a_bucket(latencies: list[float], share: float) -> None:
    summary = Summary()
    for one in latencies:
        summary.latency[latency_bucket(one)] = summary.latency.get(latency_bucket(one), 0) + 1
    exact = sorted(latencies)[max(0, math.ceil(share * len(latencies) - 1e-9) - 1)]
    found = summary.quantile(share)
    assert found is not None
    assert exact * (1 - 1e-9) <= found <= exact * 1.0501
    assert summary.slower_than(found) <= len(latencies) * (1 - share) + 1e-9


def test_of_nothing_there_is_no_quantile_and_no_sameness() -> None:
    assert Summary().quantile(0.95) is None
    assert sameness(Summary()) == (0, 0, 0)
    assert sameness(Summary()).same is None
    assert sameness(Summary(sample={1: 7})).same is None


def test_sameness_is_0_for_an_output_each_and_1_for_one_for_all() -> None:
    assert sameness(Summary(sample={1: 1, 2: 2, 3: 3})) == Sameness(3, 3, 1)
    assert sameness(Summary(sample={1: 1, 2: 2, 3: 3})).same == 0
    assert sameness(Summary(sample={1: 7, 2: 7, 3: 7})).same == 1
    assert sameness(Summary(sample={1: 7, 2: 7, 3: 8})) == Sameness(3, 2, 2)
    assert sameness(Summary(sample={1: 7, 2: 7, 3: 8})).same == 0.5


@given(st.lists(st.sets(st.integers(0, 400)), min_size=1, max_size=5))
def test_the_sample_is_of_the_smallest_hashes_of_all(parts: list[set[int]]) -> None:
    whole = merged(Summary(sample=dict.fromkeys(part, 1)).tidied() for part in parts)
    assert sorted(whole.sample) == sorted(set().union(*parts))[:SAMPLE]


def test_what_is_kept_is_bounded_and_no_number_is_cut_out() -> None:
    categories = {f"c:{number}": number + 1 for number in range(1000)}
    numbers = {f"n:{number}": 1 for number in range(400)}
    summary = Summary(errors={f"e{number}": number for number in range(100)}, fields={"x": {**categories, **numbers}}).tidied()
    assert next(iter(summary.errors)) == "e99"
    assert len(summary.errors) == 20
    kept = summary.fields["x"]
    assert {token: count for token, count in kept.items() if token.startswith("n:")} == numbers
    assert len(kept) == 400 + 200
    assert sum(kept.values()) == sum(categories.values()) + 400
    assert kept["c:999"] == 1000
    again = summary.tidied().fields["x"]
    assert again == kept
