"""Lines of captured data: every way in which requests and answers are written, and what must never be shown or believed."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mlconsole.core.models import Field, Signature, Slice
from mlconsole.plugin.simulator import simulated_version
from mlconsole_aws.capture_lines import Garbage, Stream, observed

LATEST = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
SIGNATURE = Signature(
    inputs=(Field("title", "BYTES"), Field("language", "BYTES"), Field("price", "FP32"), Field("seen", "INT64", required=False)),
    outputs=(Field("label", "INT64"), Field("score", "FP32")),
    score="score",
    slices=(Slice("language", "/language", ("de", "en")), Slice("tenant", "/tenant/name"), Slice("shop", "/shop")),
)
VERSION = replace(
    simulated_version("relevance", "7"), signature=SIGNATURE, baseline={"fields": {"title": {"l:20": 3}, "price": {"n:1": 4}}}
)
STREAM = Stream("relevance", "v7", VERSION, probes="mlconsole-probe-", chosen="mlconsole-pinned-")


def line(
    request: Any = None,
    answer: Any = None,
    *,
    kind: str = "application/json",
    encoding: str = "JSON",
    time: str = "2026-11-20T15:59:02Z",
    **event: Any,
) -> bytes:
    """A line as SageMaker writes it."""

    def part(mode: str, content: Any) -> dict[str, Any]:
        raw = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode()
        data = base64.b64encode(raw).decode() if encoding == "BASE64" else raw.decode()
        return {"observedContentType": kind, "mode": mode, "data": data, "encoding": encoding}

    captured = {}
    if request is not None:
        captured["endpointInput"] = part("INPUT", request)
    if answer is not None:
        captured["endpointOutput"] = part("OUTPUT", answer)
    metadata = {"eventId": "5d1c", "inferenceTime": time, **event}
    return json.dumps({"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}).encode()


PROTOCOL = {
    "inputs": [
        {"name": "title", "datatype": "BYTES", "shape": [1], "data": ["A parcel is late"]},
        {"name": "language", "datatype": "BYTES", "shape": [1], "data": ["de"]},
        {"name": "price", "datatype": "FP32", "shape": [1], "data": [2.5]},
    ]
}
ANSWER = {
    "outputs": [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]},
        {"name": "score", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75]},
    ]
}
ROW = {"title": "A parcel is late", "language": "de", "price": 2.5}

REQUESTS = {
    "protocol": PROTOCOL,
    "object": ROW,
    "instances": {"instances": [ROW]},
    "rows": [["A parcel is late", "de", 2.5, None]],
    "one row": ["A parcel is late", "de", 2.5, None],
    "frame": {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}},
    "records": {"dataframe_records": [ROW]},
    "named": {"inputs": {name: [value] for name, value in ROW.items()}},
}


@pytest.mark.parametrize("form", REQUESTS)
@pytest.mark.parametrize("encoding", ["JSON", "BASE64"])
def test_each_form_of_a_request_says_the_same(form: str, encoding: str) -> None:
    one = observed(line(REQUESTS[form], ANSWER, encoding=encoding), STREAM, LATEST)
    assert one.slices == {"language": "de"}
    assert one.fields == {"title": {"length": 16}, "language": "de", "price": 2.5, "seen": {"missing": True}}
    assert (one.score, one.output) == (0.75, {"label": 1, "score": [0.25, 0.75]})
    assert (one.endpoint, one.variant, one.status, one.request_id) == ("relevance", "v7", 200, "5d1c")
    assert one.time == datetime(2026, 11, 20, 15, 59, 2, tzinfo=UTC)
    assert math.isnan(one.milliseconds), "captured data tell nothing of it; 0 ms would be a figure"


def test_csv_gets_its_names_and_types_from_the_signature() -> None:
    one = observed(line('"late, again",en,2.5,7\n', "1,0.9\n", kind="text/csv; charset=utf-8", encoding="CSV"), STREAM, LATEST)
    assert one.fields == {"title": {"length": 11}, "language": "en", "price": 2.5, "seen": 7}
    assert (one.score, one.output, one.slices) == (0.9, {"label": 1, "score": 0.9}, {"language": "en"})


def test_without_a_signature_what_is_plain_is_told_and_no_text_is_kept() -> None:
    unknown = Stream("relevance", "v7")
    one = observed(line("69,0,hello", "0.0254181120544672", kind="text/csv", encoding="CSV"), unknown, LATEST)
    assert (one.score, one.fields, one.slices) == (0.0254181120544672, {"0": 69.0, "1": 0.0, "2": {"length": 5}}, {})
    assert observed(line(ROW, {"score": 0.5}), unknown, LATEST).score == 0.5
    assert "hello" not in repr(one)


def test_other_ways_of_answering() -> None:
    only = replace(VERSION, signature=replace(SIGNATURE, outputs=(Field("score", "FP32"),)))
    stream = replace(STREAM, version=only)
    for answer in ({"predictions": [0.5]}, {"predictions": [[0.1, 0.5]]}, [0.5], 0.5, {"score": 0.5}, {"predictions": [{"score": 0.5}]}):
        assert observed(line(ROW, answer), stream, LATEST).score == 0.5, answer
    assert observed(line(ROW, {"score": float("nan")}), stream, LATEST).score is None
    assert observed(line(ROW, {"score": "high"}), stream, LATEST).score is None
    assert observed(line(ROW, {"score": True}), stream, LATEST).score is None


def test_the_hash_is_of_what_was_asked_and_not_of_how() -> None:
    first = observed(line(ROW, ANSWER), STREAM, LATEST).input_hash
    turned = dict(reversed(ROW.items()))
    assert first is not None
    assert observed(line(turned, ANSWER), STREAM, LATEST).input_hash == first
    assert observed(line({**ROW, "price": 3.5}, ANSWER), STREAM, LATEST).input_hash != first
    assert observed(line(b"\xff\x00picture", ANSWER, encoding="BASE64"), STREAM, LATEST).input_hash is not None


def test_labels_go_inside_and_may_come_beside_the_body() -> None:
    body = {**ROW, "tenant": {"name": "acme"}}
    one = observed(line(body, ANSWER, customAttributes=["shop=17", "language=en; x"]), STREAM, LATEST)
    assert one.slices == {"language": "de", "tenant": "acme", "shop": "17"}, "the body counts before the attributes"


def test_whose_question_it_was() -> None:
    def marked(identity: str, stream: Stream = STREAM) -> tuple[str, bool, bool]:
        one = observed(line(ROW, ANSWER, inferenceId=identity), stream, LATEST)
        return one.request_id, one.probe, one.pinned

    assert marked("order-17") == ("order-17", False, False)
    assert marked("mlconsole-probe-1") == ("mlconsole-probe-1", True, False)
    assert marked("mlconsole-pinned-1") == ("mlconsole-pinned-1", False, True)
    assert marked("order-17", replace(STREAM, pinned=True)) == ("order-17", False, True)


def test_copies() -> None:
    assert observed(line(ROW, ANSWER), replace(STREAM, shadow=True), LATEST).shadow
    assert observed(line(ROW, ANSWER, invocationSource="ShadowExperiment"), STREAM, LATEST).shadow
    assert not observed(line(ROW, ANSWER, invocationSource="Production"), STREAM, LATEST).shadow


def test_only_one_side_captured() -> None:
    asked, answered = observed(line(ROW), STREAM, LATEST), observed(line(None, ANSWER), STREAM, LATEST)
    assert (asked.output, asked.score, asked.fields["price"]) == (None, None, 2.5)
    assert (answered.score, answered.fields, answered.input_hash) == (0.75, {}, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b"{}",
        b'{"captureData": null, "eventMetadata": {"inferenceTime": "2026-11-20T15:00:00Z"}}',
        b'{"captureData": {}, "eventMetadata": {"inferenceTime": "2026-11-20T15:00:00Z"}}',
        b'{"captureData": {"endpointInput": "x"}, "eventMetadata": {"inferenceTime": "2026-11-20T15:00:00Z"}}',
        line(ROW, ANSWER, time="yesterday"),
        line(ROW, ANSWER, time="2026-11-20T17:30:00Z"),
        line(ROW, ANSWER).replace(b'"inferenceTime"', b'"inferredAt"'),
        b'{"captureData":{"endpointInput":{"data":"%%%","encoding":"BASE64"}},"eventMetadata":{"inferenceTime":"2026-11-20T15:00:00Z"}}',
        b"[" * 100_000,
    ],
)
def test_what_tells_of_no_prediction_is_garbage(raw: bytes) -> None:
    with pytest.raises(Garbage):
        observed(raw, STREAM, LATEST)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json {",
        "[",
        "{}",
        "[]",
        '{"inputs": []}',
        '{"inputs": [{"name": "title"}]}',
        '{"inputs":[{"name":"price","shape":[0],"data":[]}]}',
        '{"instances": [1, {"a": 2}]}',
        '{"dataframe_split":{"columns":["a"],"data":[1]}}',
        "[" * 5000,
        "\x00\x00,\x00",
        "NaN",
    ],
)
def test_a_strange_body_costs_its_own_figures_and_nothing_else(body: str) -> None:
    one = observed(line(body, ANSWER), STREAM, LATEST)
    assert one.score == 0.75
    assert json.dumps(one.fields, allow_nan=False)
