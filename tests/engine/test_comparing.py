"""Two versions beside each other: what is better, what has to be judged, what does not compare."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlconsole.engine.comparing import (
    Judgement,
    beside,
    commit_text,
    figure,
    headline,
    lower_is_better,
    metric_label,
    short_label,
    size_text,
)
from mlconsole.engine.views import VersionView

ONE = VersionView(
    model="relevance",
    version="6",
    digest="77ab91000000",
    size=1000,
    owner="risk",
    description="",
    commit="77ab910fff",
    dirty=False,
    data_reference="events",
    data_cutoff="2026-01-01",
    preprocessing="artifact",
    evaluation_set="sha256:" + "a" * 64,
    metrics={"f1": 0.88, "brier": 0.10, "f1/de": 0.87},
    parameters={"C": "1.0"},
    dependencies=("numpy==2.4.6", "scipy==1.17"),
    inputs=("title BYTES", "length FP32"),
    outputs=("score FP32",),
    slices={"language": ("en", "de")},
    threshold=0.5,
    registered=datetime(2026, 1, 5, tzinfo=UTC),
    registered_by="anna@bastion",
)
OTHER = replace(ONE, version="7", digest="8c1f2e000000")


@pytest.mark.parametrize(
    "name", ["brier", "loss", "log_loss", "logloss", "error_rate", "latency_ms", "p95", "RMSE", "brier/de", "val_loss"]
)
def test_less_is_better(name: str) -> None:
    assert lower_is_better(name)


@pytest.mark.parametrize("name", ["f1", "auc", "accuracy", "precision", "recall", "terror_recall", "glossary_hits", "f1/loss", "r2"])
def test_more_is_better(name: str) -> None:
    assert not lower_is_better(name)


def _judged(what: str, **other: object) -> tuple[Judgement, str]:
    line = next(line for line in beside(ONE, replace(OTHER, **other)) if line.what == what)  # type: ignore[arg-type]
    return line.judgement, line.difference or line.why


def test_figures() -> None:
    metrics = {"f1": 0.90, "brier": 0.12, "f1/de": 0.8701}
    assert _judged("F1", metrics=metrics) == (Judgement.BETTER, "+0.020")
    assert _judged("brier", metrics=metrics) == (Judgement.WORSE, "+0.020")
    assert _judged("F1 · de", metrics=metrics) == (Judgement.WELL, "the same")
    assert _judged("auc".upper(), metrics={**metrics, "auc": 0.5}) == (Judgement.NONE, "only one of them has it")
    assert _judged("F1", metrics={"f1": float("nan")}) == (Judgement.LOOK, "no figure that could be compared")
    assert beside(ONE, OTHER, "de")[0].what == "F1 · de"
    assert beside(ONE, OTHER, "xx")[0].why == "none of xx"


def test_another_evaluation_set_has_no_figures() -> None:
    lines = beside(ONE, replace(OTHER, evaluation_set="sha256:" + "b" * 64))
    assert lines[0].judgement is Judgement.LOOK
    assert (lines[0].one, lines[0].other) == ("", "")
    assert not any(line.what.startswith("F1") for line in lines)


@pytest.mark.parametrize(
    ("what", "other", "judgement", "why"),
    [
        ("fields it reads", {"inputs": ("length FP32", "title BYTES")}, Judgement.WELL, "the same"),
        ("fields it reads", {"inputs": ("title BYTES", "length FP32", "body BYTES")}, Judgement.LOOK, "callers have to send body"),
        ("fields it reads", {"inputs": ("title BYTES", "length INT64")}, Judgement.LOOK, "length is INT64, was FP32"),
        ("what it gives", {"outputs": ()}, Judgement.LOOK, "callers lose score"),
        ("slices", {"slices": {"language": ("en",)}}, Judgement.LOOK, "does not know de"),
        ("slices", {"slices": {"language": ("en", "de", "pl")}}, Judgement.WELL, "pl too"),
        ("code", {"dirty": True}, Judgement.LOOK, "made from what was not committed"),
        ("code", {"commit": None, "dirty": None}, Judgement.LOOK, "from an unknown commit"),
        ("data until", {"data_cutoff": "2026-03-01"}, Judgement.WELL, "59 days fresher"),
        ("data until", {"data_cutoff": "2025-12-01"}, Judgement.LOOK, "31 days older"),
        ("data until", {"data_cutoff": "last week"}, Judgement.NONE, ""),
        ("size, digest", {"digest": ONE.digest}, Judgement.LOOK, "the very same bytes"),
        ("size, digest", {"size": 3000}, Judgement.NONE, "3.0 times as large; the plan checks the bytes"),
        ("preprocessing", {"preprocessing": "server"}, Judgement.LOOK, "prepared otherwise: the same request may mean another"),
        ("threshold", {"threshold": 0.4}, Judgement.LOOK, "it says yes from another score"),
    ],
)
def test_what_a_person_has_to_judge(what: str, other: dict[str, object], judgement: Judgement, why: str) -> None:
    assert _judged(what, **other) == (judgement, why)


def test_only_what_differs_of_parameters_and_dependencies() -> None:
    lines = beside(ONE, replace(OTHER, parameters={"C": "3.0", "seed": "7"}, dependencies=("numpy==2.4.6", "onnx")))
    told = {line.what: (line.one, line.other) for line in lines}
    assert told["C"] == ("1.0", "3.0")
    assert told["seed"] == ("–", "7")
    assert told["needs scipy"] == ("1.17", "–")
    assert told["needs onnx"] == ("–", "any")
    assert "needs numpy" not in told


def test_headline_and_texts() -> None:
    assert headline(ONE) == ("f1", 0.88)
    assert headline(ONE, "de") == ("f1/de", 0.87)
    assert headline(ONE, "pl") is None
    assert headline(replace(ONE, metrics={})) is None
    assert metric_label("accuracy/de") == "accuracy · de"
    assert [short_label(name) for name in ("f1/de", "accuracy", "brier")] == ["F1 de", "acc.", "brier"]
    assert [figure(value) for value in (None, 0.12345, 41234.5)] == ["–", "0.123", "4.123e+04"]
    assert [size_text(value) for value in (10, 2048, 5 << 20, 3 << 30)] == ["10 B", "2 KB", "5.0 MB", "3.0 GB"]
    assert [commit_text(one) for one in (ONE, replace(ONE, dirty=True), replace(ONE, commit=None))] == [
        "77ab910",
        "77ab910 dirty",
        "unknown",
    ]
