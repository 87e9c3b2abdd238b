"""JSON pointers: where something stands, and documents with other values there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.drawn import documents, edits_of, names, pointers_of, unhurried, within
from mlconsole.core.errors import UnknownName, UsageError
from mlconsole.core.pointers import MISSING, REMOVE, edited, get, join, parse, put, remove, told

# The examples of RFC 6901, section 5.
RFC = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}
EXAMPLES = {
    "": RFC, "/foo": ["bar", "baz"], "/foo/0": "bar", "/": 0, "/a~1b": 1, "/c%d": 2, "/e^f": 3, "/g|h": 4, "/i\\j": 5, '/k"l': 6, "/ ": 7,
    "/m~0n": 8,
}  # fmt: skip


@pytest.mark.parametrize("pointer", EXAMPLES)
def test_the_examples_of_the_rfc(pointer: str) -> None:
    assert get(RFC, pointer) == EXAMPLES[pointer]


@unhurried
@given(st.lists(names))
def test_parts_and_back(parts: list[str]) -> None:
    assert parse(join(parts)) == tuple(parts)


@pytest.mark.parametrize("pointer", ["a", "a/b", "~", "/~", "/~2", "/a~"])
def test_what_is_no_pointer(pointer: str) -> None:
    with pytest.raises(UsageError, match="is no JSON pointer"):
        parse(pointer)


@pytest.mark.parametrize("pointer", ["/x", "/foo/2", "/foo/-", "/foo/00", "/foo/-1", "/foo/0/x", "/a~1b/x", "/foo/ 1", "/foo/999999999999"])
def test_where_nothing_is(pointer: str) -> None:
    assert get(RFC, pointer) is MISSING
    assert get(RFC, pointer, None) is None


def test_as_people_read_them() -> None:
    assert told("/relevance/pl/threshold") == "relevance · pl · threshold"
    assert told("/a~1b/0") == "a/b · 0"
    assert told("/a\x1b[31m/") == 'a\\x1b[31m · ""'
    assert told("") == "the whole document"


def test_putting_and_removing_copies() -> None:
    before = {"a": [1, {"b": 2}], "c": {"d": 3}}
    kept = copy.deepcopy(before)
    assert put(before, "/a/1/b", 9) == {"a": [1, {"b": 9}], "c": {"d": 3}}
    assert put(before, "/a/-", 9) == put(before, "/a/2", 9) == {"a": [1, {"b": 2}, 9], "c": {"d": 3}}
    assert put(before, "/c/e", None) == {"a": [1, {"b": 2}], "c": {"d": 3, "e": None}}
    assert put(before, "", 1) == 1
    assert remove(before, "/a/0") == {"a": [{"b": 2}], "c": {"d": 3}}
    assert before == kept
    assert put(before, "/a/0", 9)["c"] is before["c"]
    assert edited(5, {}) == 5


def test_all_edits_are_made_at_once() -> None:
    """Each pointer is one into the document as it was: taking away the first item does not move the others under an edit."""
    assert edited([1, 2, 3], {"/0": REMOVE, "/1": REMOVE, "/2": 9, "/-": 4}) == [9, 4]


@pytest.mark.parametrize(
    ("edits", "error", "words"),
    [
        ({"/x/y": 1}, UnknownName, "no x in the document"),
        ({"/x": REMOVE}, UnknownName, "no x in the document"),
        ({"/list/5": 1}, UnknownName, "no item 5 in list: it has 2"),
        ({"/list/-": REMOVE}, UnknownName, "no item - in list"),
        ({"/list/-": 1, "/list/2": 2}, UnknownName, "no item 2 in list"),
        ({"/list/-/x": 1}, UnknownName, "no item - in list"),
        ({"/list/a": 1}, UnknownName, "no item a in list"),
        ({"/flag/x": 1}, UsageError, "flag is no object and no list: it has no x"),
        ({"": REMOVE}, UsageError, "can't be removed"),
        ({"": 1, "/flag": 2}, UsageError, "no room for others"),
        ({"/list": 1, "/list/0": 2}, UsageError, "about list · 0: one stands inside the other"),
        ({"/list/0": 2, "/list": 1}, UsageError, "about list: one stands inside the other"),
    ],
)
def test_edits_that_make_no_sense(edits: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        edited({"list": [1, 2], "flag": True}, edits)


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(UnknownName) as caught:
        remove({"threshold": 1, "share": 2}, "/treshold")
    assert caught.value.next == "Did you mean threshold?"


@unhurried
@given(st.data())
def test_edits_change_what_they_name_and_nothing_else(data: st.DataObject) -> None:
    value = data.draw(documents)
    kept = copy.deepcopy(value)
    edits = data.draw(edits_of(value))
    after = edited(value, edits)
    assert value == kept
    moved = {pointer.rpartition("/")[0] for pointer, new in edits.items() if new is REMOVE and pointer.rpartition("/")[2].isdigit()}
    for pointer in pointers_of(value):
        if not any(within(pointer, one) or within(one, pointer) for one in [*edits, *moved]):
            assert get(after, pointer) is get(value, pointer)
    for pointer, new in edits.items():
        if not any(within(pointer, one) for one in moved) and not pointer.endswith("/-"):
            assert get(after, pointer) == (MISSING if new is REMOVE else new)
