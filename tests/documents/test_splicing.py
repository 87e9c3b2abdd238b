"""Edits keep every other byte, in JSON and in YAML, and say what was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from documents.drawn import documents, edits_of, json_texts, scalars, unhurried, within, yaml_texts
from mlconsole.core.configdiff import same
from mlconsole.core.documents import Format
from mlconsole.core.errors import InvalidFile, UnknownName, UsageError
from mlconsole.core.pointers import REMOVE, edited, get
from mlconsole.documents import read, splice
from mlconsole.documents.reading import BOM

JSON, YAML = Format.JSON, Format.YAML


def untouched_stays(before: bytes, after: bytes, form: Format, edits: dict[str, Any]) -> None:
    """Every value that no edit is about has its very text still, unless it stands in a list whose items moved."""
    old, new = read(before, form), read(after, form)
    moved = {pointer.rpartition("/")[0] for pointer, value in edits.items() if value is REMOVE and pointer.rpartition("/")[2].isdigit()}
    for pointer, place in old.places.items():
        if any(within(pointer, one) or within(one, pointer) for one in [*edits, *moved]):
            continue
        there = new.places[pointer]
        assert new.text[there.start : there.end] == old.text[place.start : place.end]


@unhurried
@given(st.data())
def test_json_becomes_what_the_edits_say(data: st.DataObject) -> None:
    value = data.draw(documents)
    body = data.draw(json_texts(value)).encode()
    edits = data.draw(edits_of(value))
    assert same(read(body, JSON).value, value)
    spliced = splice(body, JSON, edits)
    assert same(read(spliced, JSON).value, edited(value, edits))
    untouched_stays(body, spliced, JSON, edits)


@unhurried
@given(st.data())
def test_yaml_becomes_what_the_edits_say_or_nothing_at_all(data: st.DataObject) -> None:
    value = data.draw(documents)
    body = data.draw(yaml_texts(value)).encode()
    edits = data.draw(edits_of(value))
    reading = read(body, YAML)
    assert same(reading.value, value), (body, reading.findings)
    try:
        spliced = splice(body, YAML, edits)
    except UsageError as error:
        # Rare, and only where somebody wrote comments between brackets.
        assert (b"# so" in body, "Nothing was changed." in str(error)) == (True, True), str(error)  # noqa: PT017
        return
    assert same(read(spliced, YAML).value, edited(value, edits))
    untouched_stays(body, spliced, YAML, edits)


@unhurried
@given(st.data(), st.sampled_from(Format))
def test_a_value_that_is_set_changes_its_own_bytes_only(data: st.DataObject, form: Format) -> None:
    value = data.draw(documents)
    body = data.draw((json_texts if form is JSON else yaml_texts)(value)).encode()
    reading = read(body, form)
    plain = [pointer for pointer in reading.places if not isinstance(get(value, pointer), dict | list)]
    assume(plain)
    pointer = data.draw(st.sampled_from(plain))
    new = data.draw(scalars)
    place = reading.places[pointer]
    text = splice(body, form, {pointer: new}).decode()
    assert text.startswith(reading.text[: place.start])
    assert text.endswith(reading.text[place.end :])


MODELS = """{
  "relevance": {
    "en": {"endpoint": "relevance", "fields": ["title", "body"], "threshold": 0.50},
    "de": {"endpoint": "relevance", "fields": ["title", "body"], "threshold": 0.52}
  }
}
"""


def test_a_threshold() -> None:
    assert splice(MODELS.encode(), JSON, {"/relevance/de/threshold": 0.48}) == MODELS.replace("0.52", "0.48").encode()


def test_what_is_the_same_keeps_its_spelling() -> None:
    assert splice(MODELS.encode(), JSON, {"/relevance/en/threshold": 0.5}) == MODELS.encode()
    whole = read(MODELS.encode(), JSON).value
    changed = edited(whole, {"/relevance/de/threshold": 1})
    assert splice(MODELS.encode(), JSON, {"": changed}) == MODELS.replace("0.52", "1").encode()


def test_members_come_in_the_manner_of_their_siblings() -> None:
    entry = {"endpoint": "relevance", "fields": ["title"], "threshold": 0.6}
    spliced = splice(MODELS.encode(), JSON, {"/relevance/fr": entry, "/relevance/en": REMOVE, "/other": {"x": {"y": []}}}).decode()
    assert spliced == (
        '{\n  "relevance": {\n'
        '    "de": {"endpoint": "relevance", "fields": ["title", "body"], "threshold": 0.52},\n'
        '    "fr": {"endpoint": "relevance", "fields": ["title"], "threshold": 0.6}\n'
        '  },\n  "other": {\n    "x": {"y": []}\n  }\n}\n'
    )


@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        ('{"a":1,"b":2,"c":3}', {"/b": REMOVE, "/c": REMOVE, "/d": 3}, '{"a":1,"d":3}'),
        ('{"a":1}', {"/a": REMOVE}, "{}"),
        ("{ }", {"/a": [1, 2]}, '{"a": [1, 2]}'),
        ('{"a":{}}', {"/a/b": [1]}, '{"a":{"b":[1]}}'),
        ("[1, 2, 3]\n", {"/0": REMOVE, "/-": 4}, "[2, 3, 4]\n"),
        ("[1, 2, 3]", {"": [1, 9, 2, 3]}, "[1, 9, 2, 3]"),
        ("[\n\t1,\n\t2\n]", {"/-": 3}, "[\n\t1,\n\t2,\n\t3\n]"),
        ('{\r\n  "a": 1\r\n}\r\n', {"/b": 2}, '{\r\n  "a": 1,\r\n  "b": 2\r\n}\r\n'),
        ('{"a": "\\u00fc"}', {"/a": "ö"}, '{"a": "\\u00f6"}'),
        ('{"a": "ü"}', {"/a": "ö"}, '{"a": "ö"}'),
        ('"x"\n', {"": None}, "null\n"),
        ('{"a/b": {"m~n": 1}}', {"/a~1b/m~0n": 2}, '{"a/b": {"m~n": 2}}'),
    ],
)
def test_json_by_example(before: str, edits: dict[str, Any], after: str) -> None:
    assert splice(before.encode(), JSON, edits).decode() == after


def test_a_byte_order_mark_stays() -> None:
    assert splice(BOM + b'{"a": 1}', JSON, {"/a": 2}) == BOM + b'{"a": 2}'
    assert splice(BOM + b"a: 1\n", YAML, {"/a": 2}) == BOM + b"a: 2\n"


RELEVANCE = """\
# per language
relevance:  # the model
  en:
    endpoint: "relevance"   # same for all
    fields: [title, body]
    threshold: 0.50

  # the German one
  de:
    endpoint: 'relevance'
    fields:
    - title
    - body   # long
    threshold: 0.52   # since May
"""


def test_yaml_keeps_comments_and_quotes() -> None:
    edits = {
        "/relevance/en/endpoint": "other",
        "/relevance/de/endpoint": "it's",
        "/relevance/de/threshold": 0.6,
        "/relevance/de/fields/0": "no",
    }
    expected = RELEVANCE
    for old, new in (('"relevance"', '"other"'), ("'relevance'", "'it''s'"), ("0.52", "0.6"), ("- title", '- "no"')):
        expected = expected.replace(old, new)
    assert splice(RELEVANCE.encode(), YAML, edits).decode() == expected


def test_yaml_members_come_and_go_with_their_lines() -> None:
    fr = {"endpoint": "relevance", "fields": ["title"], "threshold": 1e-7}
    spliced = splice(RELEVANCE.encode(), YAML, {"/relevance/en": REMOVE, "/relevance/fr": fr, "/relevance/de/fields/-": "tags"}).decode()
    assert spliced == (
        "# per language\nrelevance:  # the model\n\n  # the German one\n  de:\n    endpoint: 'relevance'\n    fields:\n    - title\n"
        "    - body   # long\n    - tags\n    threshold: 0.52   # since May\n"
        "  fr:\n    endpoint: 'relevance'\n    fields:\n    - title\n    threshold: 1.0e-07\n"
    )


@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        ("a: 1\nb: 2", {"/b": REMOVE}, "a: 1"),
        ("a: 1\nb: 2", {"/c": 3}, "a: 1\nb: 2\nc: 3"),
        ("a: 1\r\nb:\r\n  c: 2\r\n", {"/b/d": 3, "/a": REMOVE}, "b:\r\n  c: 2\r\n  d: 3\r\n"),
        ("a:  # why\n  b: 1\nc: 2\n", {"/a/b": REMOVE}, "a: {}  # why\nc: 2\n"),
        ("a:\n- 1\n- 2\n", {"/a/0": REMOVE, "/a/1": REMOVE}, "a: []\n"),
        ("a:\n  b: 1\n", {"/a": "gone"}, "a: gone\n"),
        ("a:\n  b: 1\n# end\n", {"/a": None, "/c": 1}, "a: null\nc: 1\n# end\n"),
        ("a: x\n", {"/a": {"b": [1, "no"]}}, 'a: {b: [1, "no"]}\n'),
        ("a:\nb: 1\n", {"/a": 5}, "a: 5\nb: 1\n"),
        ("- a: 1\n  b: 2\n", {"/0/a": REMOVE}, "- b: 2\n"),
        ("- a: 1  # one\n  b: 2\n", {"/0/a": REMOVE}, "-   # one\n  b: 2\n"),
        ("- - 1\n  - 2\n", {"/0": [0, 1, 2]}, "- - 0\n  - 1\n  - 2\n"),
        ("- a: 1\n- a: 2\n", {"/-": {"a": 3, "b": {"c": []}}}, "- a: 1\n- a: 2\n- a: 3\n  b:\n    c: []\n"),
        ("a: |\n  one\n  two\n\nb: 1\n", {"/a": "new\nlines\n"}, "a: |\n  new\n  lines\n\nb: 1\n"),
        ("a: |\n  one\n  two\n", {"/a": "short"}, "a: short\n"),
        ("a: |+\n  one\n\n\n", {"/b": 1}, "a: |+\n  one\n\n\nb: 1\n"),
        ("a: {b: 1}\n", {"/a/c": [2]}, "a: {b: 1, c: [2]}\n"),
        ("{}\n", {"/a": 1}, "{a: 1}\n"),
        ("f: [\n  a,  # one\n  b   # two\n]\n", {"/f/-": "c"}, "f: [\n  a,  # one\n  b,   # two\n  c,\n]\n"),
        ("f: [\n  a,  # one\n  b   # two\n]\n", {"/f/0": REMOVE}, "f: [\n  b   # two\n]\n"),
        ("a: 1.5\n", {"/a": "1.10"}, 'a: "1.10"\n'),
        ("? a\n: 1\n", {"/a": 2}, "? a\n: 2\n"),
        ("a: 1\n...\n", {"/b": 2}, "a: 1\nb: 2\n...\n"),
    ],
)  # fmt: skip
def test_yaml_by_example(before: str, edits: dict[str, Any], after: str) -> None:
    assert splice(before.encode(), YAML, edits).decode() == after


@pytest.mark.parametrize(
    ("text", "edits", "words"),
    [
        ("? a\n: 1\n? b\n: 2\n", {"/a": REMOVE}, "question mark"),
        ("{a, b: 1}\n", {"/a": 1}, "without a colon"),
        ("[a: 1]\n", {"/0/b": 1}, "without its brackets"),
        ("f: [a, b  # two\n]\n", {"/f/-": "c"}, "comments stand between brackets"),
    ],
)
def test_what_lines_do_not_show_is_left_alone(text: str, edits: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        splice(text.encode(), YAML, edits)
    assert "Nothing was changed" in caught.value.message
    assert "editor" in caught.value.next


def test_a_text_that_would_say_something_else_is_not_given_out() -> None:
    # Without what stands between, the blank lines would belong to the text above them.
    with pytest.raises(UsageError, match="says something else"):
        splice(b"a: |+\n  x\nb: 1\n\n\nc: 2\n", YAML, {"/b": REMOVE})


@pytest.mark.parametrize(
    ("edits", "error", "words"),
    [
        ({"/relevance/fr/threshold": 1}, UnknownName, "no relevance · fr in the document"),
        ({"/relevance/fr": REMOVE}, UnknownName, "no relevance · fr in the document"),
        ({"/relevance/en/fields/7": "x"}, UnknownName, "no item 7"),
        ({"/relevance/en/threshold/x": 1}, UsageError, "is no object and no list"),
        ({"/relevance": {}, "/relevance/en": {}}, UsageError, "one stands inside the other"),
        ({"": REMOVE}, UsageError, "can't be removed"),
        ({"relevance": 1}, UsageError, "begin with /"),
        ({"/x": float("nan")}, UsageError, "nothing that JSON can hold"),
        ({"/x": object()}, UsageError, "nothing that JSON can hold"),
        ({"/x": 2**63}, UsageError, "too large"),
        ({"/x": "\ud800"}, UsageError, "half a character"),
        ({"/x": "y" * 1_000_001}, UsageError, "at most 1 000 000"),
    ],
)
def test_edits_that_make_no_sense(edits: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        splice(MODELS.encode(), JSON, edits)


def test_a_value_too_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    with pytest.raises(UsageError, match="64 deep"):
        splice(b'{"a": 1}', JSON, {"/a": deep})


def test_a_document_that_can_t_be_read_is_not_spliced() -> None:
    with pytest.raises(InvalidFile, match="on line 1 already"):
        splice(b'{"a": 1, "a": 2}', JSON, {"/a": 3})
