"""Shares: they keep their proportions and always sum to the whole, and what makes no sense is refused (trap 14)."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidTraffic
from mlconsole.core.traffic import (
    WHOLE,
    Shadow,
    SliceSplit,
    Traffic,
    give,
    names_in,
    parse_percent,
    percent,
    same,
    set_shares,
    without,
)

NAMES = ["v3", "v4", "v5", "v6", "v7"]


@st.composite
def splits(draw: st.DrawFn) -> dict[str, int]:
    """A legal split of two to five variants, some of them at 0."""
    names = NAMES[: draw(st.integers(2, 5))]
    cuts = sorted(draw(st.lists(st.integers(0, WHOLE), min_size=len(names) - 1, max_size=len(names) - 1)))
    return {name: high - low for name, low, high in zip(names, [0, *cuts], [*cuts, WHOLE], strict=True)}


@given(splits(), st.integers(0, WHOLE), st.data())
def test_giving_a_share_keeps_the_sum_and_the_proportions(split: dict[str, int], share: int, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*split, "new"]))
    others = {other: bp for other, bp in split.items() if other != name}
    total = sum(others.values())
    assume(total > 0)
    given_ = give(split, name, share)
    assert sum(given_.values()) == WHOLE
    assert given_[name] == share
    assert set(given_) == {*split, name}
    for other, bp in others.items():
        exact = bp * (WHOLE - share) / total
        assert abs(given_[other] - exact) < 1, "rounded by more than one basis point"
        assert given_[other] >= 0
        assert bp or not given_[other], "a variant at 0 got requests"
    Traffic(given_)


@given(splits(), st.integers(0, WHOLE))
def test_giving_twice_is_giving_once(split: dict[str, int], share: int) -> None:
    assume(sum(bp for name, bp in split.items() if name != "v3") > 0)
    assume(share < WHOLE)
    once = give(split, "v3", share)
    assert give(once, "v3", share) == once


def test_the_rest_goes_to_the_only_other_one_even_if_it_stood_by() -> None:
    assert give({"v3": WHOLE, "v4": 0}, "v3", 9000) == {"v4": 1000, "v3": 9000}


def test_a_rest_that_nobody_could_take_is_refused() -> None:
    with pytest.raises(InvalidTraffic, match=r"v3 would get 50 %, and nobody the other 50 %"):
        give({"v3": WHOLE, "v4": 0, "v5": 0}, "v3", 5000)
    assert give({"v3": WHOLE, "v4": 0, "v5": 0}, "v3", WHOLE) == {"v4": 0, "v5": 0, "v3": WHOLE}
    with pytest.raises(InvalidTraffic):
        give({}, "v3", 5000)


@pytest.mark.parametrize(
    ("now", "named", "then"),
    [
        # Who is not named gets 0, but exactly one serving variant left unnamed takes the rest.
        ({"v3": 10_000, "v4": 0}, {"v4": 1000}, {"v3": 9000, "v4": 1000}),
        ({"v3": 9000, "v4": 1000}, {"v4": 10_000}, {"v3": 0, "v4": 10_000}),
        ({"v3": 9000, "v4": 1000}, {"v4": 0}, {"v3": 10_000, "v4": 0}),
        ({"v3": 5000, "v4": 3000, "v5": 2000}, {"v3": 4000, "v4": 6000}, {"v3": 4000, "v4": 6000, "v5": 0}),
        ({"v3": 5000, "v4": 3000, "v5": 2000}, {"v3": 4000, "v4": 1000}, {"v3": 4000, "v4": 1000, "v5": 5000}),
        # Two serving ones unnamed: the named have to sum to the whole.
        ({"v3": 5000, "v4": 3000, "v5": 2000}, {"v3": 10_000}, {"v3": 10_000, "v4": 0, "v5": 0}),
        # One that stands by takes nothing by itself.
        ({"v3": 10_000, "v4": 0}, {"v3": 10_000}, {"v3": 10_000, "v4": 0}),
    ],
)
def test_set_shares(now: dict[str, int], named: dict[str, int], then: dict[str, int]) -> None:
    """The rule of design §6, word for word."""
    assert set_shares(now, named) == then


@pytest.mark.parametrize(
    ("now", "named", "why"),
    [
        ({"v3": 10_000, "v4": 0}, {"v3": 9000}, "sum to 90 %, not 100 %"),
        ({"v3": 5000, "v4": 3000, "v5": 2000}, {"v3": 4000}, "sum to 40 %"),
        ({"v3": 9000, "v4": 1000}, {"v3": 6000, "v4": 6000}, "sum to 120 %"),
        ({"v3": 9000, "v4": 1000}, {"v3": 0, "v4": 0}, "sum to 0 %"),
        ({"v3": 9000, "v4": 1000}, {"v5": 1000}, 'no variant "v5" here. Did you mean'),
    ],
)
def test_shares_that_make_no_sense(now: dict[str, int], named: dict[str, int], why: str) -> None:
    """Trap 14: not summing, over 100, all zero, for somebody who is not there."""
    with pytest.raises(InvalidTraffic, match=why.replace(".", r"\.").replace("?", r"\?")):
        set_shares(now, named)


@given(splits(), st.dictionaries(st.sampled_from(NAMES), st.integers(0, WHOLE), min_size=1))
def test_setting_shares_gives_a_legal_split_or_refuses(split: dict[str, int], named: dict[str, int]) -> None:
    try:
        then = set_shares(split, named)
    except InvalidTraffic:
        return
    assert sum(then.values()) == WHOLE
    assert all(then[name] == share for name, share in named.items())
    Traffic(then)


@given(st.integers(0, WHOLE))
def test_a_percentage_comes_back_as_it_was_written(share: int) -> None:
    text = percent(share)
    assert parse_percent(text) == share
    assert parse_percent(f"{text} %") == share
    assert parse_percent(text.replace(".", ",")) == share
    assert not text.endswith((".", ".0"))


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0"), (1, "0.01"), (25, "0.25"), (1000, "10"), (1250, "12.5"), (9999, "99.99"), (10_000, "100")]
)
def test_percentages_without_needless_zeros(share: int, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("text", ["", "-1", "100.01", "101", "1.234", "nan", "inf", "1e2", "ten", "%", "1 0", "1000", "+5", "0x10"])
def test_what_is_no_percentage(text: str) -> None:
    with pytest.raises(InvalidTraffic):
        parse_percent(text)


@pytest.mark.parametrize(
    ("split", "by_slice", "shadow", "why"),
    [
        ({"v3": 9000}, (), None, "sum to 90 %"),
        ({}, (), None, "sum to 0 %"),
        ({"v3": 11_000, "v4": -1000}, (), None, "Shares go from 0 to 100"),
        ({"v3": 10_000}, (SliceSplit("language", "de", {"v4": 10_000}),), None, 'no variant "v4"'),
        ({"v3": 10_000}, (SliceSplit("language", "de", {"v3": 10_000}),) * 2, None, "two splits"),
        (
            {"v3": 10_000},
            (SliceSplit("language", "de", {"v3": 10_000}), SliceSplit("country", "de", {"v3": 10_000})),
            None,
            "not by several at once",
        ),
        ({"v3": 10_000}, (), Shadow("v4", 1000), 'no variant "v4"'),
        ({"v3": 10_000, "v4": 0}, (), Shadow("v4", 10_001), "0 to 100 %"),
        ({"v3": 9000, "v4": 1000}, (), Shadow("v4", 1000), "gets copies only"),
        ({"v3": 10_000, "v4": 0}, (SliceSplit("language", "de", {"v4": 10_000}),), Shadow("v4", 1000), "gets copies only"),
    ],
)
def test_traffic_that_cannot_be(split: dict[str, int], by_slice: tuple[SliceSplit, ...], shadow: Shadow | None, why: str) -> None:
    with pytest.raises(InvalidTraffic, match=why):
        Traffic(split, by_slice, shadow)


def test_who_is_named_and_how_traffic_is_without_one() -> None:
    traffic = Traffic(
        {"v3": 10_000, "v4": 0, "v5": 0}, (SliceSplit("language", "de", {"v3": 5000, "v4": 5000, "v5": 0}),), Shadow("v5", 1000)
    )
    assert names_in(traffic) == {"v3", "v4", "v5"}
    assert names_in(None) == set()
    assert traffic.reaches("v4")
    assert not traffic.reaches("v5")
    left = without(traffic, "v5")
    assert left.shadow is None
    assert names_in(left) == {"v3", "v4"}


def test_the_same_traffic_said_otherwise() -> None:
    one = Traffic({"v3": 10_000, "v4": 0}, (), Shadow("v4", 0))
    assert same(one, Traffic({"v3": 10_000}))
    assert not same(one, None)
    assert same(None, None)
    assert not same(one, Traffic({"v3": 9000, "v4": 1000}))
