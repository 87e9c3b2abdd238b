"""Pairs: joined whatever the order, and nothing that was not compared looks as if it had been."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.pairs import Half, Pairs, Tally


def half(request: str = "a", *, shadow: bool = False, **more: Any) -> Half:
    values: dict[str, Any] = {
        "request_id": request, "shadow": shadow, "variant": "v4" if shadow else "v3", "time": 100.0, "slices": {"language": "de"},
        "score": 0.5, "output": None, "status": 200, "ms": 8.0 if shadow else 5.0,
    }  # fmt: skip
    return Half(**{**values, **more})


def compared(live: dict[str, Any], shadow: dict[str, Any], **more: Any) -> Tally:
    pairs = Pairs(**{"threshold": 0.6, **more})
    pairs.add(half(**live))
    pairs.add(half(shadow=True, **shadow))
    return pairs.tallies["v3", "v4"]


def test_scores_within_the_tolerance_agree() -> None:
    assert compared({}, {"score": 0.55}).agree == 1
    assert compared({}, {"score": 0.551}).agree == 0
    assert compared({}, {"score": 0.7}, tolerance=0.2).agree == 1
    assert compared({"score": 0.5}, {"score": 0.4}).mean_difference == pytest.approx(-0.1)


def test_without_scores_the_outputs_have_to_be_equal() -> None:
    live = {"score": None, "output": {"a": [1], "b": 2}}
    assert compared(live, {"score": None, "output": {"b": 2, "a": [1]}}).agree == 1
    apart = compared(live, {"score": None, "output": {"b": 3}})
    assert (apart.agree, apart.mean_difference, apart.scored, apart.flips) == (0, None, 0, {})
    assert [pair.distance for pair in apart.worst] == [1.0]
    assert compared({}, {"score": float("nan")}).agree == 0
    assert compared({"score": None}, {}).agree == 0


def test_flips_are_counted_by_slice() -> None:
    pairs = Pairs(threshold=0.6)
    for number, (language, score) in enumerate([("de", 0.6), ("de", 0.599), ("pl", 0.5)]):
        pairs.add(half(str(number), slices={"language": language}, score=0.59))
        pairs.add(half(str(number), shadow=True, slices={}, score=score))
    tally = pairs.tallies["v3", "v4"]
    assert tally.flips == {"": [1, 3], "language=de": [1, 2], "language=pl": [0, 1]}
    assert compared({"score": 0.1}, {"score": 0.9}, threshold=None).flips == {}


def test_who_failed_is_told_apart_and_not_compared() -> None:
    for live, shadow, told in [
        (200, 500, (1, 0, 0, 0)),
        (503, 200, (0, 1, 0, 0)),
        (500, 0, (0, 0, 1, 0)),
        (200, 429, (0, 0, 0, 1)),
        (429, 500, (0, 0, 0, 1)),
    ]:
        tally = compared({"status": live}, {"status": shadow})
        assert (tally.failed, tally.only_live_failed, tally.both_failed, tally.throttled) == told
        assert (tally.n, tally.compared, tally.agree, tally.slower_ms, tally.worst) == (1, 0, None, None, [])


def test_the_median_of_what_the_copy_took_longer() -> None:
    pairs = Pairs()
    for number, slower in enumerate([-50.0, 3.0, 3.01, 2.99, 4000.0]):
        pairs.add(half(str(number), ms=60.0))
        pairs.add(half(str(number), shadow=True, ms=60.0 + slower))
    assert pairs.tallies["v3", "v4"].slower_ms == pytest.approx(3.0, rel=0.02)


def test_each_variant_has_pairs_of_its_own_and_the_worst_are_kept() -> None:
    pairs = Pairs(worst=3)
    for number in range(50):
        pairs.add(half(f"{number:02}", variant=f"v{number % 2}", score=0.0))
        pairs.add(half(f"{number:02}", shadow=True, score=number / 100, output=number))
    assert {name: tally.n for name, tally in pairs.tallies.items()} == {("v0", "v4"): 25, ("v1", "v4"): 25}
    assert [pair.shadow.output for pair in pairs.tallies["v1", "v4"].worst] == [49, 47, 45]


def test_what_waited_too_long_is_unpaired() -> None:
    pairs = Pairs()
    pairs.add(half("original", time=100))
    pairs.add(half("copy", shadow=True, time=100))
    pairs.add(half("", shadow=True, time=100))
    pairs.add(half("later", time=160))
    assert (pairs.waiting, pairs.unpaired_originals, pairs.unpaired_copies) == (3, 0, 1)
    pairs.add(half("last", time=160.1))
    assert (pairs.waiting, pairs.unpaired_originals, pairs.unpaired_copies) == (2, 1, 2)
    pairs.add(half("original", shadow=True, time=160.1))
    assert (pairs.tallies, pairs.waiting, pairs.originals, pairs.copies, pairs.dropped) == ({}, 3, 3, 3, 0)


def test_when_too_many_wait_the_oldest_go_and_are_counted() -> None:
    pairs = Pairs(most=3)
    for number in range(5):
        pairs.add(half(str(number), time=100 + number))
    assert (pairs.waiting, pairs.dropped) == (3, 2)
    for number in (4, 3, 2, 1, 0):
        pairs.add(half(str(number), shadow=True, time=100 + number))
    assert (pairs.tallies["v3", "v4"].n, pairs.waiting, pairs.dropped) == (3, 2, 2)


def test_memory_does_not_grow_with_what_was_joined() -> None:
    pairs = Pairs()
    for number in range(5000):
        pairs.add(half(str(number)))
        pairs.add(half(str(number), shadow=True))
    assert pairs.waiting == 0
    assert len(pairs._by_age) <= 1001
    assert len(pairs._waiting) == 0


HALVES = st.lists(
    st.builds(
        half,
        st.integers(0, 12).map(str),
        shadow=st.booleans(),
        variant=st.sampled_from(["a", "b"]),
        time=st.floats(100, 160),
        slices=st.dictionaries(st.just("language"), st.sampled_from(["de", "en"])),
        score=st.one_of(st.none(), st.floats(-1, 1), st.just(float("inf"))),
        output=st.sampled_from([None, 1, [2]]),
        status=st.sampled_from([200, 200, 200, 429, 500, 0]),
        ms=st.floats(0, 1e4),
    ),
    unique_by=lambda one: (one.request_id, one.shadow),
)


@given(HALVES, st.randoms())
def test_the_order_of_halves_does_not_matter(halves: list[Half], random: Any) -> None:
    told = []
    for _ in range(2):
        pairs = Pairs(threshold=0.3, worst=4)
        for one in halves:
            pairs.add(one)
        told.append(({name: asdict(tally) for name, tally in pairs.tallies.items()}, pairs.waiting, pairs.originals, pairs.copies))
        random.shuffle(halves)
    assert told[0] == told[1]
    ids = [{one.request_id for one in halves if one.shadow is shadow} for shadow in (False, True)]
    assert sum(tally["n"] for tally in told[0][0].values()) == len(ids[0] & ids[1])


@given(st.lists(st.builds(half, st.integers(0, 4).map(str), shadow=st.booleans(), time=st.floats(0, 500)), max_size=60), st.integers(1, 9))
def test_every_half_is_in_a_pair_or_waits_or_is_counted_as_lost(halves: list[Half], most: int) -> None:
    pairs = Pairs(most=most)
    for one in halves:
        pairs.add(one)
        assert pairs.waiting <= most
    joined = sum(tally.n for tally in pairs.tallies.values())
    assert 2 * joined + pairs.waiting + pairs.unpaired_originals + pairs.unpaired_copies + pairs.dropped == len(halves)
    assert pairs.waiting == sum(len(waiting) for waiting in pairs._waiting.values())
    for tally in pairs.tallies.values():
        assert tally.n == tally.compared + tally.failed + tally.only_live_failed + tally.both_failed + tally.throttled
