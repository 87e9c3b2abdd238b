"""Entries of a config document, by its layout, and what is not as the layout says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.documents import Layout
from mlconsole.core.entries import Entry, entries, malformed, number, spots
from mlconsole.core.errors import UsageError
from mlconsole.core.findings import Severity
from mlconsole.core.models import Json
from mlconsole.core.pointers import get

LAYOUT = Layout()
PL = {"endpoint": "relevance", "share": 100, "fields": ["title", "body"], "threshold": 0.48}


def told(value: Json, layout: Layout = LAYOUT) -> list[str]:
    return [f"{one.severity} {one.pointer} {one.text}" for one in malformed(value, layout)]


def test_the_entries_stand_in_the_order_of_the_document() -> None:
    document = {"relevance": {"pl": PL, "de": {"endpoint": "r2", "split": {"v3": 90, "v4": 10}}}, "severity": {"de": {}}}
    assert entries(document, LAYOUT) == (
        Entry("relevance", "pl", "/relevance/pl", "relevance", 10_000, None, ("title", "body"), 0.48),
        Entry("relevance", "de", "/relevance/de", "r2", None, {"v3": 9000, "v4": 1000}, None, None),
        Entry("severity", "de", "/severity/de"),
    )
    assert malformed(document, LAYOUT) == ()


def test_layouts_of_other_shapes() -> None:
    nested = {"version": 3, "models": {"a/b": {"languages": {"de": {"serve": {"at": "r"}, "limit": 2}}}}}
    layout = Layout(entries="/models/{model}/languages/{slice}", endpoint="/serve/at", threshold="/limit", share="")
    assert entries(nested, layout) == (Entry("a/b", "de", "/models/a~1b/languages/de", "r", None, None, None, 2.0),)
    one = Layout(entries="/{model}")
    assert [(entry.model, entry.slice, entry.threshold) for entry in entries({"relevance": PL}, one)] == [("relevance", "", 0.48)]
    turned = Layout(entries="/{slice}/{model}")
    assert [(entry.model, entry.slice, entry.pointer) for entry in entries({"de": {"relevance": PL}}, turned)] == [
        ("relevance", "de", "/de/relevance")
    ]
    assert [spot.group for spot in spots(nested, layout)] == ["/models/a~1b"]


@pytest.mark.parametrize("pattern", ["", "/{slice}", "/{model}/{model}", "/x-{model}", "{model}", "/{model}/{slice}/{slice}", "/~{model}"])
def test_a_layout_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        entries({}, Layout(entries=pattern))


@pytest.mark.parametrize(
    ("share", "bp"),
    [(100, 10_000), (0, 0), (12.5, 1250), (33.33, 3333), (0.01, 1), (100.0, 10_000)],
)
def test_shares_are_percent(share: float, bp: int) -> None:
    assert entries({"m": {"de": {"share": share}}}, LAYOUT)[0].share == bp
    assert entries({"m": {"de": {"split": {"v3": share}}}}, LAYOUT)[0].split == {"v3": bp}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("share", "12.5 %", '"12.5 %" is a text: a share is a number of percent, from 0 to 100'),
        ("share", True, "true is true or false: a share is a number of percent, from 0 to 100"),
        ("share", 101, "101 % is no share: from 0 to 100 is wanted"),
        ("share", -1, "-1 % is no share: from 0 to 100 is wanted"),
        ("share", 12.345, "12.345 % has more than two places after the point"),
        ("share", None, "null is null: a share is a number of percent, from 0 to 100"),
        ("split", [90, 10], "[90, 10] is a list: a split is an object, variant to percent"),
        ("fields", "title", '"title" is a text: fields are a list of names'),
        ("threshold", "0.5", '"0.5" is a text: a threshold is a number'),
        ("threshold", 10**400, "a threshold is a number"),
        ("endpoint", 3, "3 is a number: an endpoint is named by a text"),
        ("endpoint", " ", '" " is empty: an endpoint is named by a text'),
    ],
)
def test_a_malformed_field_is_told_and_left_out(field: str, value: Json, text: str) -> None:
    document = {"m": {"de": {**PL, field: value}}}
    [found] = malformed(document, LAYOUT)
    assert (found.severity, found.rule, found.pointer) == (Severity.STOP, "malformed", f"/m/de/{field}")
    assert found.text.endswith(text)
    assert getattr(entries(document, LAYOUT)[0], field) is None


def test_what_is_wrong_inside_of_a_field_has_its_own_pointer() -> None:
    document = {"m": {"de": {"split": {"v/3": "90", "v4": 10}, "fields": ["title", 3]}}}
    assert told(document) == [
        'stop /m/de/split/v~13 "90" is a text: a share is a number of percent, from 0 to 100',
        "stop /m/de/fields/1 3 is a number: a field is named by a text",
    ]


def test_what_does_not_fit_the_layout_is_told() -> None:
    document = {"$schema": "x", "version": 3, "relevance": {"de": "relevance-v7", "$comment": "y"}}
    assert told(document) == [
        "look /version 3 is a number: an object of slices is looked for here",
        'stop /relevance/de "relevance-v7" is a text: an entry is an object',
    ]
    assert entries(document, LAYOUT) == ()
    assert told([PL]) == [
        'look  [{"endpoint": "relevance", "share": 100… is a list: an object of models is looked for here',
    ]
    assert told({"other": {}}, Layout(entries="/models/{model}")) == ['look  there is no "models" here, where entries are looked for']


def test_foreign_values_are_told_harmless_and_short() -> None:
    [found] = malformed({"m": {"de": {"threshold": "\x1b[31m" + "x" * 500}}}, LAYOUT)
    assert "\x1b" not in found.text
    assert len(found.text) < 100


@pytest.mark.parametrize(("value", "is_one"), [(1, 1.0), (0.5, 0.5), (True, None), ("1", None), (math.nan, None), (math.inf, None)])
def test_numbers(value: Json, is_one: float | None) -> None:
    assert number(value) == is_one


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["endpoint", "share", "split", "fields", "threshold", "de", "a/b", "$c", ""]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_VALUES)
def test_no_document_breaks_it_and_every_field_is_read_or_told(value: Json) -> None:
    stopped = {one.pointer for one in malformed(value, LAYOUT)}
    for entry in entries(value, LAYOUT):
        raw = get(value, entry.pointer)
        for name in ("endpoint", "share", "split", "fields", "threshold"):
            if name in raw:
                inside = any(pointer.startswith(f"{entry.pointer}/{name}") for pointer in stopped)
                assert (getattr(entry, name) is None) == inside
