"""A value as a person writes it in the dialog: by example and by property."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.tui.values import MISSING, NotReadable, problem, read_value, written

_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_what_stands_in_the_line_is_read_as_the_same_value(value: Any) -> None:
    text = written(value)
    assert "\n" not in text
    again = read_value(text.strip(), value)
    assert again == value
    assert type(again) is type(value)


@given(st.text(), _JSON)
def test_whatever_is_typed_is_a_value_of_the_same_sort_or_told_to_be_wrong(text: str, present: Any) -> None:
    if problem(text, present):
        with pytest.raises(NotReadable):
            read_value(text, present)
        return
    value = read_value(text, present)
    if present is None:
        return
    number = isinstance(present, int | float) and not isinstance(present, bool)
    assert isinstance(value, int | float) and not isinstance(value, bool) if number else type(value) is type(present)
    assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    ("text", "present", "value"),
    [
        ("0.48", 0.58, 0.48),
        ("1", 0.58, 1),
        ("relevance-v8", "relevance-v7", "relevance-v8"),
        ('"0.4"', "x", "0.4"),
        ("true", False, True),
        ('["title"]', ["title", "body"], ["title"]),
        ("null", None, None),
        ("0.5", MISSING, 0.5),
    ],
)
def test_what_can_be_written(text: str, present: Any, value: Any) -> None:
    assert read_value(text, present) == value


@pytest.mark.parametrize(
    ("text", "present", "why"),
    [
        ("NaN", 0.5, "NaN is no number in JSON."),
        ("-Infinity", 0.5, "-Infinity is no number in JSON."),
        ("1e999", 0.5, "too large"),
        ("[1e999]", [1], "too large"),
        ("[" * 100_000, [1], "nested too deeply"),
        ("0,5", 0.5, "This is no JSON"),
        ("", "relevance-v7", "A value is wanted."),
        ("true", 1, "It is a number, and this is yes or no"),
        ("5", ["title"], "It is a list, and this is a number"),
        ("{}", 5, "It is a number, and this is an object"),
    ],
)
def test_what_can_not(text: str, present: Any, why: str) -> None:
    assert why in problem(text, present)


def test_an_endpoint_that_is_not_there_yet_is_a_text() -> None:
    assert read_value("relevance-v8", MISSING, "endpoint") == "relevance-v8"
    assert "This is no JSON" in problem("relevance-v8", MISSING, "threshold")
