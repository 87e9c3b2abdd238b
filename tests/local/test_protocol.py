"""Requests checked, inputs prepared, inputs reduced, lines written: without a server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from local.kit import DATA, body
from mlconsole.plugin.artifacts import measure
from mlconsole_local.artifact import BadArtifact, Column, load, parse_serving
from mlconsole_local.model import Model
from mlconsole_local.predlog import PredictionLog, Reducer, input_hash
from mlconsole_local.protocol import BadRequest, parse

WORDS = Model(load(DATA / "words"), {})
DOUBLE = Model(load(DATA / "double.onnx"), {})


def one(**entry: Any) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0], **entry}]}).encode()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "not JSON"),
        (b"[]", '"inputs" is missing'),
        (b'{"inputs": [1]}', "no name"),
        (b'{"inputs": []}', "no known input"),
        (one(name="y"), "no known input: wanted are x"),
        (one(datatype="FLOAT"), "FP32 is wanted"),
        (one(shape=[2]), "does not fit 1 values"),
        (one(shape=["1"]), "shape"),
        (one(shape=[True]), "shape"),
        (one(data=["1.0"]), 'field "x" is not of type FP32'),
        (one(data=[True]), 'field "x" is not of type FP32'),
        (one(data=[None]), 'field "x" is missing'),
        (one(data=1), "no data"),
        (one(data=[[1], 2], shape=[2]), "not of its shape"),
        (one(shape=[1, 2], data=[1, 2]), "2 values in a row, not 1"),
        (json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}] * 2}).encode(), "twice"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(sent: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said.replace("[", r"\[")):
        DOUBLE.predict(DOUBLE.parse(sent))


def test_rows_come_back_in_order_whatever_the_shape() -> None:
    for shape, data in (([3], [1, 2, 3]), ([3, 1], [1, 2, 3]), ([3, 1], [[1], [2], [3]])):
        found = DOUBLE.predict(DOUBLE.parse(one(shape=shape, data=data)))
        assert found.outputs[0]["data"] == [2.0, 4.0, 6.0]
        assert (found.score, found.output) == (2.0, {"score": 2.0})


def test_infinite_answers_are_null() -> None:
    found = DOUBLE.predict(DOUBLE.parse(one(data=[3.4e38])))
    assert found.outputs[0]["data"] == [None]
    assert found.score is None


def test_required_fields_depend_on_the_slice() -> None:
    english = {"title": "flood", "body": "port", "language": "en"}
    assert WORDS.predict(WORDS.parse(body(english))).score == pytest.approx(0.9)
    assert WORDS.parse(body({**english, "unknown": "ignored"})).rows == 1
    with pytest.raises(BadRequest, match=r'^field "title_de" is missing$'):
        WORDS.parse(body({**english, "language": "de"}))
    with pytest.raises(BadRequest, match=r'^field "body" is missing$'):
        WORDS.parse(body({"title": "flood"}))
    with pytest.raises(BadRequest, match="not of type BYTES"):
        WORDS.parse(b'{"inputs": [{"name": "title", "datatype": "BYTES", "shape": [1], "data": ["\\ud800"]}]}')
    rows = [
        {"name": name, "datatype": "BYTES", "shape": [2], "data": data}
        for name, data in {"title": ["a", "b"], "body": ["", ""], "language": ["en", "de"]}.items()
    ]
    with pytest.raises(BadRequest, match="title_de"):
        WORDS.parse(json.dumps({"inputs": rows}).encode())


def test_the_digest_is_the_registrys() -> None:
    for name in ("double.onnx", "words", "vectors"):
        assert load(DATA / name).digest == measure(DATA / name).digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "not JSON"),
        (b"{}", "schema 1"),
        (b'{"schema": 1, "preprocess": {"kind": "magic"}}', "magic"),
        (b'{"schema": 1, "preprocess": {"kind": "join"}}', "fields is missing"),
        (b'{"schema": 1, "inputs": [{"name": "a"}]}', "datatype"),
        (b'{"schema": 1, "inputs": [{"name": "a", "datatype": "BYTES"}], "required": {"*": ["b"]}}', '"b", which is no input'),
    ],
)
def test_a_bad_serving_file_is_told_what_is_wrong(text: bytes, said: str) -> None:
    with pytest.raises(BadArtifact, match=said):
        parse_serving(text)


def test_texts_are_reduced_to_lengths_unless_they_are_categories() -> None:
    columns = [Column("name", "BYTES"), Column("lang", "BYTES"), Column("mode", "BYTES"), Column("n", "FP32")]
    reducer = Reducer(columns, {"lang"})
    for number in range(120):
        told = reducer.fields({"name": [f"anna{number}"], "lang": ["de"], "mode": ["air" if number % 2 else "sea"], "n": [1.5]})
    assert told == {"name": {"length": 7}, "lang": "de", "mode": "air", "n": 1.5}
    assert Reducer(columns, ()).fields({"mode": ["air"]}) == {
        "name": {"missing": True}, "lang": {"missing": True}, "mode": {"length": 3}, "n": {"missing": True},
    }  # fmt: skip


def test_equal_inputs_have_equal_hashes() -> None:
    assert input_hash({"a": ["x"], "b": [1]}) == input_hash({"b": [1], "a": ["x"]}) != input_hash({"a": ["x"], "b": [2]})


def test_the_log_rotates_and_mends_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"torn')
    log = PredictionLog(path, limit=100)
    for number in range(20):
        log.write({"time": number, "n": number})
    log.close()
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["p.jsonl", "p.jsonl.1", "p.jsonl.2"]
    assert path.with_suffix(".jsonl").stat().st_size <= 100
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_full_disk_costs_lines_not_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = PredictionLog(tmp_path / "p.jsonl")
    real = os.write

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        for number in range(5):
            log.write({"time": number})
    assert capsys.readouterr().err.count("No space left") == 3  # The 1st, 2nd and 4th.
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, data: real(file, data[:5]))
        log.write({"time": 5})
    log.write({"time": 6})
    log.close()
    assert (tmp_path / "p.jsonl").read_text().splitlines()[-1] == '{"time":6}'


def test_parse_knows_only_what_is_declared() -> None:
    with pytest.raises(BadRequest):
        parse(one(), {})
