"""Names, foreign text, nearest names, durations, observed shares, golden answers: small rules that everything leans on."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import UsageError
from mlconsole.core.golden import GoldenQuery
from mlconsole.core.models import check_version, parse_version_name, variant_name
from mlconsole.core.observed import Seen, Shares, beyond_chance, count
from mlconsole.core.operations import LEGAL_EXITS, OperationState
from mlconsole.core.text import did_you_mean, duration, is_name, nearest, neutralise


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("3", "v3"),
        ("v3", "v3"),
        ("V3", "V3"),
        ("1.10", "v1-10"),
        ("2024-05-01", "v2024-05-01"),
        ("a_b+c", "va-b-c"),
        ("vorläufig", "vorl-ufig"),
    ],
)
def test_a_variants_name_follows_from_its_version(version: str, name: str) -> None:
    """Issue 2: `v` before it unless it has one, every character outside [A-Za-z0-9-] becoming `-`."""
    assert variant_name(version) == name


@given(st.text(min_size=1, max_size=40))
def test_a_variants_name_has_nothing_else_in_it(version: str) -> None:
    assert all(char.isascii() and (char.isalnum() or char == "-") for char in variant_name(version))
    assert variant_name(version)[0] in "vV"


@pytest.mark.parametrize("version", ["latest", "LATEST", "Stable", "head", "", " ", "a b", "a/b", "a@b", "x" * 129, "a\x1b[31m", "a\nb"])
def test_what_is_no_version(version: str) -> None:
    """`latest` would mean other bytes tomorrow."""
    with pytest.raises(UsageError) as told:
        check_version(version)
    assert "\x1b" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_version_stays_the_string_it_is() -> None:
    assert parse_version_name("relevance@1.10") == ("relevance", "1.10")
    for text in ("relevance", "@3", "relevance@", ""):
        with pytest.raises(UsageError, match="names no model version"):
            parse_version_name(text)


@given(st.text())
def test_foreign_text_can_do_nothing_to_a_terminal(text: str) -> None:
    """Invariant 11: whatever a backend says, no control, bidirectional or line-breaking character reaches a screen."""
    harmless = neutralise(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in harmless)
    assert not set(harmless) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert neutralise(harmless) == harmless
    harmless.encode()


def test_the_escape_is_seen() -> None:
    assert neutralise("\x1b[2Jgone\r\x9b31m\u202eevil\u2028\x7f") == "\\x1b[2Jgone\\x0d\\x9b31m\\u202eevil\\u2028\\x7f"
    assert neutralise("a\n\tb\x1b", keep_newlines=True) == "a\n\tb\\x1b"
    assert neutralise("Grüße, 東京 ✔") == "Grüße, 東京 ✔"


def test_the_nearest_names() -> None:
    known = ["relevance", "severity", "Category", "relevance-batch"]
    assert nearest("relevence", known)[0] == "relevance"
    assert nearest("category", known) == ["Category"]
    assert nearest("rel", known) == ["relevance", "relevance-batch"]
    assert nearest("zzz", known) == []
    assert did_you_mean("relevence", known).startswith("Did you mean relevance")
    assert did_you_mean("zzz", ["a", "b"]) == "Known: a, b."
    assert did_you_mean("zzz", "abcdefgh") == "Known: a, b, c, d, e, f, …."
    assert did_you_mean("zzz", []) == "There is none yet."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.004, "4 ms"),
        (0.9996, "1 s"),
        (1, "1 s"),
        (119.7, "2 min"),
        (12, "12 s"),
        (180, "3 min"),
        (3599, "1 h 00"),
        (4140, "1 h 09"),
        (432_000, "5 d"),
        (-1, "0 ms"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names() -> None:
    assert all(is_name(name) for name in ("a", "relevance", "a.b-c_d", "x" * 64))
    assert not any(is_name(name) for name in ("", "-a", "a-", "a b", "x" * 65, "ä", "a\n", "../a"))


def seen(
    variant: str | None = "v3", *, shadow: bool = False, pinned: bool = False, probe: bool = False, failed: bool = False, split: str = ""
) -> Seen:
    return Seen(variant, shadow, pinned, probe, failed, split)


def test_who_was_really_asked() -> None:
    """Trap 15: probes count nowhere, who asked for a variant by name says nothing about the split, copies are no requests, and a request
    that reached nobody is one all the same.
    """
    observed = count(
        [
            *[seen()] * 6,
            *[seen("v4")] * 2,
            seen(None, failed=True),
            seen("v4", pinned=True, failed=True),
            *[seen("v5", shadow=True)] * 3,
            seen("v4", probe=True, failed=True),
            seen("v4", split="language=de"),
        ],
        60.0,
    )
    assert (observed.n, observed.failed) == (11, 2)
    assert observed.shares() == Shares(9, {"v3": 6, "v4": 2})
    assert observed.shares().share("v4") == pytest.approx(2222.2, abs=0.1)
    assert observed.shares("language=de") == Shares(1, {"v4": 1})
    assert observed.copies == {"v5": 3}


def test_without_requests_nothing_was_observed() -> None:
    """Invariant 7: not 0, which would be a finding."""
    assert count([], 60.0).shares().share("v3") is None
    assert not beyond_chance(Shares(), "v3", 1000)


def test_a_share_beyond_chance() -> None:
    assert not beyond_chance(Shares(10_000, {"v4": 1080}), "v4", 1000)
    assert beyond_chance(Shares(10_000, {"v4": 1130}), "v4", 1000)
    assert beyond_chance(Shares(1_000_000, {"v4": 1}), "v4", 0), "a desired 0 allows no request at all"
    assert beyond_chance(Shares(100, {"v3": 99}), "v3", 10_000)
    assert not beyond_chance(Shares(100, {"v3": 100}), "v3", 10_000)


@given(st.integers(1, 9999), st.integers(1, 5000))
def test_a_fair_split_is_within_chance(desired: int, n: int) -> None:
    fair = round(n * desired / 10_000)
    if abs(fair / n - desired / 10_000) * math.sqrt(n) <= 4 * math.sqrt(desired / 10_000 * (1 - desired / 10_000)):
        assert not beyond_chance(Shares(n, {"v4": fair}), "v4", desired)


def test_terminal_is_terminal() -> None:
    """Invariant 5, trap 11: nothing follows an end, and who goes back does not go forward again."""
    for state in OperationState:
        assert state.terminal == (not LEGAL_EXITS[state])
    assert OperationState.DONE not in LEGAL_EXITS[OperationState.GOING_BACK]


@pytest.mark.parametrize(
    ("expect", "answer", "right"),
    [
        ({"score": 0.5}, {"score": 0.5 + 5e-7}, True),
        ({"score": 0.5}, {"score": 0.5 + 5e-6}, False),
        ({"score": 0.5}, {"score": float("nan")}, False),
        ({"score": float("nan")}, {"score": float("nan")}, False),
        ({"score": 0.5}, {}, False),
        ({"score": 0.5}, {"score": 0.5, "more": 1}, True),
        ({"flag": True}, {"flag": 1}, False),
        ({"list": [1, 2]}, {"list": [1, 2, 3]}, False),
        ({"group": {"a": 1.0}}, {"group": {"a": 1.0, "b": 2}}, True),
    ],
)
def test_golden_answers(expect: dict[str, object], answer: dict[str, object], right: bool) -> None:
    assert (not GoldenQuery("q", {}, expect).differences(answer)) is right
