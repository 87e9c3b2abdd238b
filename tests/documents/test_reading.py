"""Bytes are read strictly: a value with the place of everything, or findings that say what is wrong where."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from documents.drawn import documents, json_texts, pointers_of, texts, unhurried, values, yaml_texts
from mlconsole.core.configdiff import same
from mlconsole.core.documents import MOST_BYTES, Format
from mlconsole.core.findings import Severity
from mlconsole.core.pointers import get
from mlconsole.documents import format_of, read
from mlconsole.documents.reading import BOM
from mlconsole.documents.yamlscalars import scalar, taken_otherwise

JSON, YAML = Format.JSON, Format.YAML


def stop(body: bytes | str, form: Format) -> str:
    """The one thing that stops, as `line: text`; there is no value then."""
    reading = read(body.encode() if isinstance(body, str) else body, form)
    found = [one for one in reading.findings if one.severity is Severity.STOP]
    assert len(found) == 1, found
    assert reading.value is None
    assert not reading.readable
    return f"{found[0].line}: {found[0].text}"


def looks(text: str) -> list[str]:
    """What a person has to look at, as `line pointer: text`."""
    reading = read(text.encode(), YAML)
    assert reading.readable, reading.findings
    return [f"{one.line} {one.pointer}: {one.text}" for one in reading.findings if one.severity is Severity.LOOK]


# Values and places.


@unhurried
@given(st.data())
def test_every_value_stands_where_its_place_says(data: st.DataObject) -> None:
    value = data.draw(documents)
    for form, drawn in ((JSON, json_texts), (YAML, yaml_texts)):
        text = data.draw(drawn(value))
        reading = read(text.encode(), form)
        assert same(reading.value, value), reading.findings
        assert list(reading.places) == pointers_of(value)
        assert len(reading.places) == len(pointers_of(value))
        for pointer, place in reading.places.items():
            before = re.split(r"\r\n|\n", text[: place.start])
            assert (place.line, place.column) == (len(before), len(before[-1]) + 1)
            piece = text[place.start : place.end]
            part = get(value, pointer)
            if form is JSON:
                assert same(json.loads(piece), part)
            elif not isinstance(part, dict | list):
                assert piece[:1] in ('"', "'", "|", "{", "[") or same(scalar(piece), part)


def test_places_by_example() -> None:
    text = '{\n  "ä😀": [1,\n    {"b": null}],\n  "c/d": {}\n}\n'
    places = read(text.encode(), JSON).places
    told = {pointer: (place.line, place.column, text[place.start : place.end]) for pointer, place in places.items()}
    assert told == {
        "": (1, 1, text.strip()),
        "/ä😀": (2, 9, '[1,\n    {"b": null}]'),
        "/ä😀/0": (2, 10, "1"),
        "/ä😀/1": (3, 5, '{"b": null}'),
        "/ä😀/1/b": (3, 11, "null"),
        "/c~1d": (4, 10, "{}"),
    }
    assert "/nope" not in places
    assert [places.at_line(line) for line in (0, 1, 2, 3, 4, 5, 6)] == ["", "", "/ä😀/0", "/ä😀/1/b", "/c~1d", "", ""]


def test_lines_of_a_block() -> None:
    reading = read(b"a:\n  b: 1\n  # why\n  c:\n  - x\n  - |\n    one\n    two\n\nd: 2\n", YAML)
    lines = [reading.places.at_line(line) for line in range(1, 11)]
    assert lines == ["/a", "/a/b", "/a", "/a/c", "/a/c/0", "/a/c/1", "/a/c/1", "/a/c/1", "", "/d"]
    assert (reading.line("/a/c/1"), reading.line("/d"), reading.line("/x")) == (6, 10, None)


def test_null_is_a_value() -> None:
    for form in Format:
        reading = read(b"null\n", form)
        assert reading.readable
        assert reading.value is None


def test_formats_by_name() -> None:
    assert [format_of(name) for name in ("config/models.json", "A.YML", "b.yaml", "c.toml", "json")] == [JSON, YAML, YAML, None, JSON]


# Bytes.


@pytest.mark.parametrize("form", Format)
def test_bytes_that_are_no_text(form: Format) -> None:
    assert stop(b"{\n \xff}", form) == "2: The byte 0xff at offset 3 is no UTF-8 (line 2, column 2): save it as UTF-8."
    assert stop(BOM + b"a\xc3\n", form) == "1: The byte 0xc3 at offset 4 is no UTF-8 (line 1, column 2): save it as UTF-8."
    assert stop('{"a": 1}'.encode("utf-16"), form) == "1: The document is UTF-16: save it as UTF-8."
    assert stop(b"1" * (MOST_BYTES + 1), form) == "None: The document has 1 000 001 bytes: at most 1 000 000 are possible."
    assert stop(b"", form) == stop(b" \n\n", form) == "1: The document is empty."


def test_a_byte_order_mark_is_told_in_json() -> None:
    assert read(BOM + b"a: 1\n", YAML).findings == ()
    reading = read(BOM + b'{"a": 1}', JSON)
    assert reading.value == {"a": 1}
    assert [(one.severity, one.rule, one.line) for one in reading.findings] == [(Severity.LOOK, "bom", 1)]
    assert reading.places["/a"].column == 7


@unhurried
@given(st.binary(max_size=60), st.sampled_from(Format))
def test_no_bytes_are_an_error(body: bytes, form: Format) -> None:
    reading = read(body, form)
    assert reading.readable or reading.value is None
    assert all(one.text and (one.line or 1) >= 1 for one in reading.findings)
    list(reading.places.items())


# JSON.


@unhurried
@given(st.text(st.sampled_from('{}[]:,"\\u0dab12.-+eE tfnrul\n\t\x01/é'), max_size=30))
def test_what_is_json_is_what_python_says_as_far_as_it_is_strict(text: str) -> None:
    class Twice(Exception):
        pass

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) != len(found):
            raise Twice
        return dict(found)

    def constant(word: str) -> None:
        raise ValueError(word)

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        json.dumps(value, ensure_ascii=False).encode()
        json.dumps(value, allow_nan=False)
        expected = "-0e" in text.lower() or "0.0e" in text.lower() or not re.search(r"[eE]-0*[0-9]{3}", text)
    except (ValueError, Twice):
        value, expected = None, False
    reading = read(text.encode(), JSON)
    if expected:
        assert reading.findings == () or reading.findings[0].rule == "number"
        assert reading.findings or same(reading.value, value)
    elif reading.readable:
        assert same(reading.value, value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "b": 2,\n "a": 3}', '2: "a" stands here and on line 1 already.'),
        ('{"a": {}, "\\u0061": 1}', '1: "a" stands here and on line 1 already.'),
        ('{"a": NaN}', "1: NaN is no JSON number (line 1, column 7)."),
        ('[1, -Infinity]', "1: -Infinity is no JSON number (line 1, column 5)."),
        ("[1e999]", '1: The number "1e999" is too large: numbers go up to 1.8e308.'),
        ("[1e-999]", '1: The number "1e-999" is too small: it would be read as 0.'),
        (f"[{2**63}]", f'1: The number "{2**63}" is too large: whole numbers go up to 2⁶³ − 1.'),
        (f"[{'9' * 5000}]", f'1: The number "{"9" * 40}…" has 5000 characters: at most 400.'),
        ("[" * 100_000, "1: Values stand more than 64 deep in each other (line 1, column 65)."),
        ('{"a":' * 65 + "1" + "}" * 65, "1: Values stand more than 64 deep in each other (line 1, column 321)."),
        ('{"a": 1,\n}', '2: JSON has no comma after the last one, and there is "}" (line 2, column 1).'),
        ("[1, 2\n 3]", '2: A comma or ] is expected here, where a list begins on line 1, and there is "3" (line 2, column 2).'),
        ('{"a" 1}', '1: A : is expected after "a", and there is "1" (line 1, column 6).'),
        ("{a: 1}", '1: A name in " is expected here, and there is "a" (line 1, column 2).'),
        ("{'a': 1}", """1: JSON wants " as quotation marks, and there is "'a'" (line 1, column 2)."""),
        ('{"a": }', '1: A value is expected here, and there is "}" (line 1, column 7).'),
        ('{"a": True}', '1: JSON writes true, and there is "True" (line 1, column 7).'),
        ('{"a": 1} // why', '1: JSON has no comments, and there is "//" (line 1, column 10).'),
        ('{"a": 1} {}', '1: The document ends before this: nothing may follow its value, and there is "{" (line 1, column 10).'),
        ("[007]", '1: "007" is no JSON number (line 1, column 2).'),
        ('["a\nb"]', "1: This string does not end on its line (line 1, column 2)."),
        ('["a\tb"]', '1: In a string, "\\x09" has to be written as \\t (line 1, column 4).'),
        ('["\\x41"]', '1: "\\x" begins nothing that JSON knows in a string (line 1, column 3).'),
        ('["a', "1: This string does not end (line 1, column 2)."),
        ('["\\ud800"]', "1: \\ud800 is half a character: its other half is missing."),
        ("[1,", "1: A value is expected here, and the text ends (line 1, column 4)."),
        ('["\x1b[31m', '1: In a string, "\\x1b" has to be written as \\u001b (line 1, column 3).'),
    ],
)  # fmt: skip
def test_bad_json(text: str, told: str) -> None:
    assert stop(text, JSON) == told


def test_good_json_at_the_borders() -> None:
    assert read(b'["\\ud83d\\ude00", 9223372036854775807, -9223372036854775808, 0e-999, 1e308]', JSON).findings == ()
    assert read(b"[" * 64 + b"]" * 64, JSON).readable
    assert read(b'{"a":' * 63 + b"[1]" + b"}" * 63, JSON).readable
    assert not read(b'{"a":' * 64 + b"[1]" + b"}" * 64, JSON).readable


def test_all_that_is_wrong_is_told_at_once() -> None:
    findings = read(b'{"a": 1, "a": 2,\n "b": 1e999,\n "c": "\\udc00"}', JSON).findings
    assert [(one.rule, one.line) for one in findings] == [("duplicate", 1), ("number", 2), ("surrogate", 3)]
    many = read(("[" + ",".join(["1e999"] * 500) + "]").encode(), JSON).findings
    assert len(many) == 21
    assert many[-1].text == "There are 480 more of this kind."


# YAML.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: &x 2\n", '2: The anchor "&x" is not allowed here: write the value out where it is used.'),
        ("a: *x\n", '1: The alias "*x" is not allowed here: write the value out.'),
        ("a: !!python/name:os [id]\n", '1: The tag "tag:yaml.org,2002:python/name:os" is not allowed here: nothing is made from tags.'),
        ("a: !!str 1\n", '1: The tag "tag:yaml.org,2002:str" is not allowed here: nothing is made from tags.'),
        ("a: 1\n---\nb: 2\n", "2: A second document begins here: one file is one document (line 2, column 1)."),
        ("a: 1\n1: b\n", '2: A name has to be a text, and "1" is a number: write "1".'),
        ("~: b\n", '1: A name has to be a text, and "~" is null: write "~".'),
        ("true: b\n", '1: A name has to be a text, and "true" is true: write "true".'),
        ("? [a]\n: b\n", "1: A name has to be a text, and here it is an object or a list (line 1, column 3)."),
        ("<<: {a: 1}\n", "1: Merge keys (<<) are not allowed here: write the members out."),
        ("a: 1\nb: 2\na: 3\n", '3: "a" stands here and on line 1 already.'),
        ("a: .nan\n", "1: .nan is no number that JSON knows."),
        (f"a: {'9' * 5000}\n", f'1: The number "{"9" * 40}…" has 5000 characters: at most 400.'),
        (f"a: {2**63}\n", f'1: The number "{2**63}" is too large: whole numbers go up to 2⁶³ − 1.'),
        ("[" * 100_000, "1: Values stand more than 64 deep in each other (line 1, column 65)."),
        ("- " * 100_000 + "x", "1: Values stand more than 64 deep in each other (line 1, column 129)."),
        ("a:\n\t- b\n", "2: A tab: YAML indents with blanks only (line 2, column 1)."),
        ("a: b: c\n", "1: This is no valid YAML: mapping values are not allowed in this context (line 1, column 5)."),
        (
            "a: [1\nb: 2\n",
            "2: This is no valid YAML: did not find expected ',' or ']' "
            "while parsing a flow sequence that begins on line 1 (line 2, column 2).",
        ),
        ("a: \x01\n", "1: The character U+0001 can't stand in YAML (line 1, column 4)."),
        ("# nothing\n", "1: The document is empty."),
        ("---\n", "1: The document is empty."),
    ],
)  # fmt: skip
def test_bad_yaml(text: str, told: str) -> None:
    assert stop(text, YAML) == told


def test_a_billion_laughs_are_two_findings() -> None:
    text = "aa: &a [x, x]\n" + "".join(f"a{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20))
    reading = read(text.encode(), YAML)
    assert reading.value is None
    assert {one.rule for one in reading.findings} == {"anchor", "alias", "more"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: no\n", '1 /a: no is the text "no" here, and false for readers of YAML 1.1: write it in quotes.'),
        ("no: 1\n", '1 : The name "no" is false for readers of YAML 1.1: write it in quotes.'),
        ("a: [010]\n", "1 /a/0: 010 is the number 10 here, and the number 8 for readers of YAML 1.1: write it so that both read the same."),
        ("a: 0o17\n", "1 /a: 0o17 is the number 15 here, and a text for readers of YAML 1.1: write it so that both read the same."),
        ("a: 1e5\n", "1 /a: 1e5 is the number 100000.0 here, and a text for readers of YAML 1.1: write it so that both read the same."),
        ("a: 12:30\n", '1 /a: 12:30 is the text "12:30" here, and a number to the base 60 for readers of YAML 1.1: write it in quotes.'),
        ("a: 2026-10-05\n", '1 /a: 2026-10-05 is the text "2026-10-05" here, and a date for readers of YAML 1.1: write it in quotes.'),
        ("a: 1_000\n", '1 /a: 1_000 is the text "1_000" here, and a number for readers of YAML 1.1: write it in quotes.'),
        ("version: 2.0\n", '1 /version: 2.0 is the number 2.0 here: a version has to be in quotes, "2.0".'),
        ("a:\n  model: 1.10\n", '2 /a/model: 1.10 is the number 1.1 here: a version has to be in quotes, "1.10".'),
    ],
)
def test_what_readers_of_yaml_understand_differently(text: str, told: str) -> None:
    assert looks(text) == [told]


def test_what_all_read_the_same_needs_no_look() -> None:
    text = 'a: 0.50\nb: -1\nc: true\nd: ~\ne: "no"\nf: \'1.10\'\ng: relevance-v7\nh: 1.0e+5\ni: 0x1F\nj: 1.0\nk: [x, .5]\nl: "2026-10-05"\n'
    assert looks(text) == []
    assert read(text.encode(), YAML).value == yaml.safe_load(text)


_SPELLINGS = st.text(st.sampled_from("0123456789+-._:eExobynaftrul~= TZ"), min_size=1, max_size=9)


@unhurried
@given(_SPELLINGS | texts)
def test_a_plain_scalar_that_needs_no_look_is_the_same_for_pyyaml(text: str) -> None:
    """PyYAML is a reader of YAML 1.1, and here the oracle."""
    try:
        event = list(yaml.parse(text, Loader=yaml.SafeLoader))[2:3]
        if not (
            event and isinstance(event[0], yaml.ScalarEvent) and event[0].implicit[0] and event[0].value == text and not event[0].style
        ):
            return
        theirs = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return
    ours = scalar(text)
    if not taken_otherwise(text, ours):
        assert type(ours) is type(theirs) or {type(ours), type(theirs)} == {int, float}
        assert ours == theirs or (isinstance(ours, float) and math.isnan(ours) and math.isnan(theirs))


@unhurried
@given(values)
def test_what_pyyaml_writes_is_read_as_it_was(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
    reading = read(text.encode(), YAML)
    # Some it writes with anchors, or with characters that it does not read again itself.
    if "&id" not in text and "\ufeff" not in text and same(yaml.load(text, yaml.CSafeLoader), value):
        # `1e5` is a text for it, and not in quotes: there a person is asked to look, or it is no name.
        assert same(reading.value, value) or {"yaml-1.1", "key"} & {one.rule for one in reading.findings}, (text, reading.findings)


# What it costs.


def large() -> bytes:
    entry = {"endpoint": "relevance", "share": 100, "fields": ["title", "body"], "threshold": 0.5}
    body = json.dumps({f"m{i}": {f"s{j}": entry for j in range(20)} for i in range(500)}).encode()
    assert 900_000 < len(body) <= MOST_BYTES
    return body


def test_a_document_of_1_mb_is_read_quickly() -> None:
    body = large()
    seconds = []
    for _ in range(5):
        began = time.process_time()
        assert read(body, JSON).readable
        seconds.append(time.process_time() - began)
    # 0.04 s here; ten times that, before anybody worries.
    assert min(seconds) < 0.4


def test_reading_json_loads_no_yaml_and_no_schema() -> None:
    code = (
        "import sys\nfrom mlconsole.documents import read, splice\nfrom mlconsole.core.documents import Format\n"
        "assert splice(b'{\"a\": 1}', Format.JSON, {'/a': 2}) == b'{\"a\": 2}'\n"
        "print([name for name in ('yaml', 'jsonschema', 'referencing') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
