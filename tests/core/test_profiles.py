"""Profiles: what is said becomes the baseline, what is malformed becomes nothing, and what is measured is what the log will show."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlconsole.core.health import Baseline
from mlconsole.core.models import Actor, Artifact, Data, Field, Metrics, ModelVersion, Signature, Slice
from mlconsole.core.profiles import baseline_of, is_token, measured_fields
from mlconsole.core.summaries import score_bucket
from mlconsole.observations.summarising import token
from mlconsole.workspace.metadata import read_metadata
from mlconsole_local.artifact import Column
from mlconsole_local.predlog import Reducer

SAMPLE = Path(__file__).parents[2] / "sample_workspace"
LANGUAGE, REGION = Slice("language", "/language", ("en", "de")), Slice("region", "/region", ("EU", "de"))


def version(baseline: Any, *slices: Slice) -> ModelVersion:
    return ModelVersion(
        "relevance",
        "1",
        Artifact("a", "sha256:a", 1),
        Signature((Field("title", "BYTES"),), (Field("score", "FP32"),), "score", 0.4, slices),
        "tests",
        Data("none", "2026-01-01"),
        Metrics("sha256:none", {}),
        {},
        baseline,
        "none",
        datetime(2026, 1, 5, tzinfo=UTC),
        Actor("tests", "localhost"),
    )


FULL = {
    "n": 10,
    "score": {"edges": [0, 0.5, 1.0], "counts": [7, 3]},
    "distinct_outputs": 0.9,
    "over_threshold": 0.3,
    "by_slice": {"en": {"n": 5, "over_threshold": 0.2}, "language=fr": {"over_threshold": 1}},
    "fields": {"title": {"m": 1, "l:540": 9, "c:gone": 0}},
    "mine": "own",
}


def test_what_is_said_becomes_the_baseline() -> None:
    assert baseline_of(version(FULL, LANGUAGE, REGION)) == Baseline(
        10, (0.0, 0.5, 1.0), (7, 3), 0.9, 0.3, {"language=en": 0.2, "language=fr": 1.0}, {"title": {"m": 1, "l:540": 9}}, 0.4, "2026-01-01"
    )
    assert baseline_of(version({})) == Baseline(threshold=0.4, cutoff="2026-01-01")
    assert baseline_of(version({"score": FULL["score"]})).n == 10


@pytest.mark.parametrize(
    ("slices", "found"),
    [((LANGUAGE, REGION), {}), ((LANGUAGE,), {"language=de": 0.5}), ((Slice("any", "/any"),), {"any=de": 0.5}), ((), {})],
)
def test_a_value_that_several_slices_have_names_none(slices: tuple[Slice, ...], found: dict[str, float]) -> None:
    assert baseline_of(version({"by_slice": {"de": {"over_threshold": 0.5}}}, *slices)).over_threshold_by_slice == found


@pytest.mark.parametrize(
    "score",
    [
        {"edges": [0, 1]},
        {"edges": [0, 1, 2], "counts": [1]},
        {"edges": [0, 1, 1], "counts": [1, 1]},
        {"edges": [0, float("nan"), 1], "counts": [1, 1]},
        {"edges": [0, True, 2], "counts": [1, 1]},
        {"edges": [0, 1, 2], "counts": [1, -1]},
        {"edges": [0, 1, 2], "counts": [1, 0.5]},
        {"edges": [0], "counts": []},
        {"edges": "012", "counts": "12"},
        "0.3",
    ],
)
def test_what_is_no_histogram_is_absent(score: Any) -> None:
    found = baseline_of(version({**FULL, "score": score}))
    assert (found.edges, found.counts, found.over_threshold) == ((), (), 0.3)


@pytest.mark.parametrize("tokens", [{"l:x": 1}, {"word": 1}, {"m": -1}, {"m": 1.5}, {"m": True}, {}, [], None, {1: 2}])
def test_a_field_that_is_malformed_anywhere_is_absent(tokens: Any) -> None:
    found = baseline_of(version({**FULL, "fields": {"title": tokens, "body": {"m": 2}}}))
    assert found.fields == {"body": {"m": 2}}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


# In a fresh clone hypothesis makes its table of all characters at the first text: that is slow once, and says nothing of this test.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(FULL)), anything))
def test_no_profile_stops_anybody(said: dict[str, Any]) -> None:
    found = baseline_of(version(said, LANGUAGE))
    assert len(found.edges) == (len(found.counts) + 1 if found.counts else 0)
    for share in (found.distinct_outputs, found.over_threshold, *found.over_threshold_by_slice.values()):
        assert share is None or 0 <= share <= 1


VALUES = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats() | st.text(max_size=80)


@given(st.lists(VALUES, max_size=20), st.booleans())
def test_what_is_measured_is_counted_as_the_log_is(values: list[Any], category: bool) -> None:
    """Each value becomes the token that its entry in the prediction log becomes; nothing gets lost."""
    found = measured_fields([{"x": value} for value in values], ["x"], ["x"] if category else [])["x"]
    assert sum(found.values()) == len(values)
    assert all(is_token(name) for name in found)
    for value in values:
        logged = value[:64] if category and isinstance(value, str) else {"length": len(value)} if isinstance(value, str) else value
        if not isinstance(value, str) or value.isprintable():
            assert token(logged) in found


@pytest.mark.parametrize(
    ("model", "events", "names"),
    [
        ("relevance", "evaluation.jsonl", ["body", "title"]),
        ("delay-risk", "evaluation-delay-risk.jsonl", ["carrier", "distance_km", "weekday"]),
    ],
)
def test_the_sample_says_what_its_servers_will_log(model: str, events: str, names: list[str]) -> None:
    """The profile in model.yaml is that of the evaluation set, as a server that has seen enough reduces it."""
    told = read_metadata(SAMPLE / "models" / model / "v3")
    assert told.baseline is not None
    assert told.signature is not None
    rows = [json.loads(line)["inputs"] for line in (SAMPLE / "events" / events).read_text("utf-8").splitlines()]
    columns = [Column(one.name, one.datatype) for one in told.inputs]
    reducer = Reducer(columns, {one.path.strip("/") for one in told.slices})
    requests = [{name: [value] for name, value in row.items()} for row in rows]
    for request in requests[:200]:
        reducer.fields(request)
    logged = [reducer.fields(request) for request in requests]
    found = baseline_of(replace(version(told.baseline, *told.slices), signature=told.signature)).fields
    assert set(names) <= set(found)
    for name, tokens in found.items():
        seen = [token(entry[name]) for entry in logged]
        assert tokens == {one: seen.count(one) for one in set(seen)}
    assert not {one.path.strip("/") for one in told.slices} & set(found)


def test_words_that_come_back_are_a_category_and_texts_are_not() -> None:
    rows = [{"mode": ("sea", "air")[n % 2], "title": f"event {n}", "few": "x y"} for n in range(100)]
    found = measured_fields(rows, ["mode", "title", "few", "none"])
    assert found["mode"] == {"c:air": 50, "c:sea": 50}
    assert found["title"] == {f"l:{score_bucket(7)}": 10, f"l:{score_bucket(8)}": 90}
    assert found["few"] == {f"l:{score_bucket(3)}": 100}
    assert found["none"] == {"m": 100}
    assert measured_fields(rows[:99], ["mode"])["mode"] == {f"l:{score_bucket(3)}": 99}
