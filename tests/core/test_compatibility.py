"""Which config versions and which code a model version works with: ranges, commits, and the nearest that fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.compatibility import (
    WorksWith,
    compatible,
    judge,
    nearest_config,
    nearest_model,
    parse_versions,
    works_with,
)
from mlconsole.core.errors import UsageError
from mlconsole.core.models import Json


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (">=112", [112, 113, 200]),
        (">112", [113, 200]),
        ("<=113", [1, 111, 112, 113]),
        ("<112", [1, 111]),
        ("112-113", [112, 113]),
        ("112 – 113", [112, 113]),
        ("112, 200", [112, 200]),
        ("1, 112-113, >=200", [1, 112, 113, 200]),
        (112, [112]),
        ([1, "200"], [1, 200]),
        (">=1", [1, 111, 112, 113, 200]),
    ],
)
def test_ranges(text: Json, numbers: list[int]) -> None:
    versions = parse_versions(text)
    assert [number for number in (1, 111, 112, 113, 200) if number in versions] == numbers


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("", "is no range"),
        ("latest", "is no range"),
        ("112-", "is no range"),
        ("120-112", "no version at all"),
        ("<1", "no version at all"),
        ("0", "no version at all"),
        (">=112, <=120", "every version fits"),
        ("1-500, >=3", "every version fits"),
        (">=112 <=120", 'a range is written "112-120"'),
        (1.5, "version numbers are wanted"),
        (True, "version numbers are wanted"),
        (None, "version numbers are wanted"),
        ({}, "version numbers are wanted"),
        (["a"], "is no range"),
        ("1" * 5_000, "is no range"),
    ],
)
def test_what_is_no_range_is_refused_with_what_is(wrong: Json, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_versions(wrong, "works_with.config.models")
    assert says in raised.value.message
    assert raised.value.message.startswith("works_with.config.models is ")
    assert raised.value.next
    assert len(raised.value.message) < 300


@given(st.integers(1, 500), st.integers(0, 100), st.integers(1, 700))
def test_a_range_holds_both_its_ends(low: int, length: int, number: int) -> None:
    assert (number in parse_versions(f"{low}-{low + length}")) == (low <= number <= low + length)


def test_a_declaration() -> None:
    declared = works_with({"config": {"models": ">=112", "other": 3}, "code": ["4F2C91A", "b81e"]})
    assert declared.config["models"].text == ">=112"
    assert declared.code == ("4f2c91a", "b81e")
    assert works_with(None) == works_with({}) == WorksWith()
    assert works_with({"code": "4f2c"}).code == ("4f2c",)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("models", "config and code are wanted"),
        ({"configs": {}}, "Did you mean config"),
        ({"config": [112]}, "each config document is named"),
        ({"config": {"models": "x"}}, "works_with.config.models is"),
        ({"code": 1234567}, "a list of commits is wanted"),
        ({"code": [1234567]}, "which is no text"),
        ({"code": ["v1.2"]}, "a commit, or its first 4"),
        ({"code": ["4f"]}, "a commit, or its first 4"),
    ],
)
def test_a_declaration_that_is_none_is_refused(wrong: Json, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        works_with(wrong)


NEW = works_with({"config": {"models": ">=112"}, "code": ["4f2c"]})
CODE = "4f2c91aa00"


def test_a_pair_that_works_one_that_does_not_and_one_nobody_knows() -> None:
    assert compatible(NEW, {"models": 112}, CODE).ok is True
    old = compatible(NEW, {"models": 111}, CODE, model="relevance@7")
    assert (old.ok, old.document) == (False, "models")
    assert old.text == "relevance@7 does not work with config models 111: it declares >=112"
    other = compatible(NEW, {"models": 112}, "deadbeef01", model="relevance@7")
    assert (other.ok, other.text) == (False, "relevance@7 does not work with the code deadbeef01: it declares 4f2c")
    unknown = compatible(NEW, {"models": 112}, None, model="relevance@7")
    assert (unknown.ok, unknown.text) == (None, "relevance@7 works with the code 4f2c only, and which code runs is not known")
    assert "has no published version" in compatible(NEW, {"models": None}, CODE).text
    assert "is not known here" in compatible(NEW, {}, CODE).text
    # What is known not to work is so, whatever else is not known.
    assert compatible(NEW, {"models": 111}, None).ok is False
    assert compatible(NEW, {}, "deadbeef01").ok is False
    assert compatible(WorksWith(), {"models": 1}, None).ok is True


def test_commits_are_compared_by_what_both_have() -> None:
    long = works_with({"code": ["4f2c91aa00bb"]})
    assert compatible(long, {}, "4f2c91a").ok is True
    assert compatible(long, {}, "4F2C91AA00BBCC").ok is True
    assert compatible(long, {}, "4f2c").ok is False  # too short to be the same for sure
    assert compatible(long, {}, "4f2c91b").ok is False


def test_the_nearest_config() -> None:
    versions = parse_versions("100-105, >=112")
    assert nearest_config(versions, range(90, 120), 108) == 105
    assert nearest_config(versions, range(90, 120), 111) == 112
    assert nearest_config(parse_versions("100, 104"), range(90, 120), 102) == 104  # of two the newer
    assert nearest_config(versions, [108], 108) is None


DECLARED = {
    "4": works_with({"config": {"models": "<=111"}}),
    "5": works_with({"config": {"models": "<=120"}}),
    "6": WorksWith(),
    "7": works_with({"config": {"models": ">=112"}}),
    "8": works_with({"config": {"models": ">=130"}}),
}
ORDER = ("4", "5", "6", "7", "8")


def test_the_nearest_model_version() -> None:
    assert nearest_model(DECLARED, ORDER, {"models": 115}, None, "8") == "7"
    assert nearest_model(DECLARED, ORDER, {"models": 115}, None, "4") == "5"
    assert nearest_model(DECLARED, ORDER, {"models": 105}, None, "8") == "5"
    assert nearest_model(DECLARED, ORDER, {"models": 125}, None, "4") == "7"
    assert nearest_model({"4": DECLARED["4"], "6": WorksWith()}, ("4", "6"), {"models": 112}, None, "4") == "6"
    assert nearest_model({"4": DECLARED["4"]}, ("4",), {"models": 112}, None, "4") is None


def test_promoting_and_reverting_are_judged_alike() -> None:
    available = {"models": range(100, 126)}

    def judged(version: str, models: int) -> tuple[bool | None, str, str]:
        found = judge(DECLARED, ORDER, version, {"models": models}, None, model="relevance", available=available)
        return found.ok, found.text, found.next

    assert judged("7", 120)[0] is True
    assert judged("6", 120) == (True, "declares nothing", "")
    assert judged("7", 108) == (
        False,
        "relevance@7 does not work with config models 108: it declares >=112",
        "The nearest: config models 112 works with it; relevance@5 works with what is live.",
    )
    assert judged("8", 125) == (
        False,
        "relevance@8 does not work with config models 125: it declares >=130",
        "The nearest: no version of config models does; relevance@7 works with what is live.",
    )
    back = judge({"4": DECLARED["4"]}, ("4",), "4", {"models": 126}, None, model="relevance", available={"models": [111, 126]})
    assert back.next == "The nearest: config models 111 works with it; no other version of relevance does."
    code = judge({"4": works_with({"code": ["abcd"]}), "6": WorksWith()}, ("4", "6"), "4", {}, "ffff0000", model="relevance")
    assert (code.ok, code.next) == (False, "The nearest: relevance@6 declares nothing.")


def test_foreign_texts_are_told_harmless() -> None:
    with pytest.raises(UsageError) as raised:
        works_with({"config": {"\x1b[31m": "x\x07"}})
    assert raised.value.message.isprintable()
