"""Golden queries: read with their lines, compared by one rule."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidFile
from mlconsole.core.golden import GoldenQuery, compare
from mlconsole.core.text import neutralise
from mlconsole.workspace import read_golden

LINE = '{"id": "a", "inputs": {"title": "t"}, "expect": {"score": 0.93}, "tolerance": {"score": 0.25}}'


def read(folder: Path, data: str | bytes) -> tuple[GoldenQuery, ...]:
    file = folder / "golden.jsonl"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_golden(file)


def test_lines_are_queries(tmp_path: Path) -> None:
    found = read(tmp_path, f'{LINE}\r\n\n{{"id": "b", "inputs": {{}}, "expect": {{"label": "x\u2028y"}}}}')
    assert found == (
        GoldenQuery("a", {"title": "t"}, {"score": 0.93}, {"score": 0.25}),
        GoldenQuery("b", {}, {"label": "x\u2028y"}, {}),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "golden.jsonl is empty: there are no golden queries in it."),
        (f"{LINE}\n{{]", "golden.jsonl:2:2: not valid JSON: Expecting property name"),
        (f"{LINE}\n\n[1]", "golden.jsonl:3:1: a line has to be a JSON object."),
        (f"{LINE}\n{LINE}", 'golden.jsonl:2:1: the id "a" stands here and on line 1 already.'),
        (LINE.replace("expect", "expects"), 'golden.jsonl:1:1: unknown key "expects". Did you mean expect?'),
        (LINE.replace('"id": "a", ', ""), 'golden.jsonl:1:1: "id" is missing.'),
        (LINE.replace('"a"', "4"), 'golden.jsonl:1:1: "id" has to be a text.'),
        (LINE.replace('{"title": "t"}', "[]"), 'golden.jsonl:1:1: "inputs" has to be a JSON object.'),
        ('{"id": "a", "inputs": {}}', 'golden.jsonl:1:1: "expect" is missing.'),
        ('{"id": "a", "inputs": {}, "expect": {}}', 'golden.jsonl:1:1: "expect" is empty: every answer would be right.'),
        (LINE.replace("0.93", "NaN"), "golden.jsonl:1:1: NaN is no JSON number."),
        (LINE.replace("0.93", "1e999"), "golden.jsonl:1:1: a number beyond what a computer's float holds."),
        (LINE.replace("0.93", "1" * 5000), "golden.jsonl:1:1: a number that is too long."),
        (LINE.replace("0.93", "1" * 400), "golden.jsonl:1:1: a number beyond what a computer's float holds."),
        (LINE.replace("0.25", "-1"), 'golden.jsonl:1:1: the tolerance of "score" has to be a number, 0 or more.'),
        (LINE.replace("0.25", "true"), 'golden.jsonl:1:1: the tolerance of "score" has to be a number, 0 or more.'),
        (
            LINE.replace('{"score": 0.25}', '{"scor": 1}'),
            'golden.jsonl:1:1: tolerance for "scor", which is not expected. Did you mean score?',
        ),
        (LINE.replace('"title": "t"', '"t": 1, "t": 2'), 'golden.jsonl:1:1: the key "t" stands here twice.'),
        (LINE.replace('"t"}', '"\\ud800"}'), "golden.jsonl:1:1: "),
        (LINE.replace('"t"}', "[" * 500 + "]" * 500 + "}"), "golden.jsonl:1:1: values nested more than 64 deep."),
        ("[" * 100_000, "golden.jsonl:1:1: values nested more than 64 deep."),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        read(tmp_path, text)
    message = caught.value.message
    assert message[message.index("golden.jsonl") :].startswith(expected)
    assert message.isprintable()
    assert caught.value.next


def differences(expect: Any, answer: Any, tolerance: float | None = None) -> list[str]:
    return [str(one) for one in compare({"x": expect}, {} if tolerance is None else {"x": tolerance}, {"x": answer})]


@pytest.mark.parametrize(
    ("expect", "answer", "tolerance"),
    [
        (0.93, 0.9300005, None),
        (0.93, 1.18, 0.25),
        (0.93, 0.68, 0.25),
        (1, 1.0, None),
        (1, 1.0, 0),
        (10**400, 10**400, None),
        ("a", "a", None),
        (None, None, None),
        (True, True, None),
        ([1, [2.0]], [1.0000001, (2,)], None),
        ({"a": 1}, {"a": 1.1, "b": 2}, 0.2),
    ],
)
def test_right_answers(expect: Any, answer: Any, tolerance: float | None) -> None:
    assert differences(expect, answer, tolerance) == []


@pytest.mark.parametrize(
    ("expect", "answer", "told"),
    [
        (0.93, 0.94, "x: wanted 0.93 ± 1e-06, found 0.94"),
        (0.93, float("nan"), "x: wanted 0.93 ± 1e-06, found NaN"),
        (float("nan"), float("nan"), "x: wanted NaN ± 1e-06, found NaN"),
        (float("inf"), float("inf"), "x: wanted Infinity ± 1e-06, found Infinity"),
        (1, True, "x: wanted 1, found true"),
        (True, 1, "x: wanted true, found 1"),
        ("1", 1, 'x: wanted "1", found 1'),
        (0, None, "x: wanted 0, found null"),
        ([1, 2], [1], "x: wanted 2 values, found 1 values"),
        ([1, 2], [1, 3], "x[1]: wanted 2 ± 1e-06, found 3"),
        ([1], 1, "x: wanted [1], found 1"),
        ({"a": 1}, {}, "x.a: wanted 1, found not there"),
        (0.5, 10**400, "x: wanted 0.5 ± 1e-06, found 1000"),
        ("a", "\x1b[2J", 'x: wanted "a", found "\\u001b[2J"'),
        ("a", "\x9b2J", 'x: wanted "a", found "\\x9b2J"'),
    ],
)
def test_wrong_answers(expect: Any, answer: Any, told: str) -> None:
    (found,) = differences(expect, answer)
    assert found.startswith(told)
    assert found.isprintable()
    assert len(found) < 200


def test_a_field_that_is_missing_is_a_difference_and_one_too_many_is_none() -> None:
    query = GoldenQuery("a", {}, {"score": 0.5, "label": "x"})
    assert [str(one) for one in query.differences({"score": 0.5, "more": 1})] == ['label: wanted "x", found not there']


def harmless(error: InvalidFile) -> None:
    assert neutralise(str(error)) == str(error)
    assert error.next


TEMPORARY = tempfile.TemporaryDirectory(prefix="mlconsole-golden-")
FOLDER = Path(TEMPORARY.name)


@given(st.binary(max_size=100) | st.text('{}[]":,0123eE.-anulltrufs\\ \n', max_size=60).map(str.encode))
def test_arbitrary_bytes_are_queries_or_one_error(data: bytes) -> None:
    for written in (data, LINE.encode() + b"\n" + data):
        try:
            read(FOLDER, written)
        except InvalidFile as error:
            harmless(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.tuples(st.dictionaries(st.text("abc"), VALUES), st.dictionaries(st.text("abc"), VALUES, min_size=1)), min_size=1, max_size=4
    )
)
def test_what_is_written_is_read_and_equals_itself(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    lines = [json.dumps({"id": str(index), "inputs": inputs, "expect": expect}) for index, (inputs, expect) in enumerate(pairs)]
    found = read(FOLDER, "\n".join(lines))
    assert [(query.inputs, query.expect) for query in found] == pairs
    assert all(query.differences(query.expect) == () for query in found)
