"""What a config document says of endpoints: guessed where there is one reading only, told why not where there is none or are several."""

from __future__ import annotations

from typing import Any

import pytest

from mlconsole.core.entries import entries
from mlconsole_aws.discovery_layout import guess

ENDPOINTS = ["relevance-v3", "relevance-v4", "delay-risk-v1", "delay-risk-v2", "risk-v1"]


def split(*shares: tuple[str, float], at: str = "split", **more: Any) -> dict[str, Any]:
    return {at: dict(shares), **more}


BY_LANGUAGE = {
    "relevance": {"en": split(("v3", 80), ("v4", 20), threshold=0.5), "de": split(("v3", 100), ("v4", 0))},
    "delay-risk": {"en": split(("v1", 99.5), ("v2", 0.5))},
}


def test_model_and_language_with_the_endpoints_that_are_meant() -> None:
    found = guess(BY_LANGUAGE, ENDPOINTS)
    assert found.why == ""
    assert found.layout is not None
    assert (found.layout.entries, found.layout.split) == ("/{model}/{slice}", "/split")
    assert dict(found.layout.slices) == {"relevance": "language", "delay-risk": "language"}
    assert found.variants["delay-risk"] == {"v1": "delay-risk-v1", "v2": "delay-risk-v2"}
    assert found.names == "{endpoint}-{variant}"
    # What it finds is what the console then reads.
    assert {(one.model, one.slice): dict(one.split or {}) for one in entries(BY_LANGUAGE, found.layout)}[("delay-risk", "en")] == {
        "v1": 9950,
        "v2": 50,
    }


@pytest.mark.parametrize(
    ("document", "way", "field", "names"),
    [
        (
            {"models": {"relevance": {"languages": {"en": split(("v3", 100), at="traffic")}}}},
            "/models/{model}/languages/{slice}",
            "/traffic",
            None,
        ),
        ({"de": {"relevance": split(("v3", 1), ("v4", 99)), "delay-risk": split(("v1", 100))}}, "/{slice}/{model}", "/split", None),
        ({"relevance": split(("v3", 100)), "delay-risk": split(("v1", 100))}, "/{model}", "/split", None),
        ({"relevance": {"en": {"serving": split(("relevance-v4", 100))}}}, "/{model}/{slice}", "/serving/split", "{variant}"),
        ({"relevance": {"de-AT": split(("v3", 100)), "*": split(("v4", 100))}}, "/{model}/{slice}", "/split", None),
        ({"relevance": {"gold": split(("v3", 100)), "silver": split(("v4", 100))}}, "/{model}/{slice}", "/split", None),
        ({"a/b": {"relevance": split(("v3", 100)), "risk": split(("v1", 100))}}, "/a~1b/{model}", "/split", None),
    ],
)
def test_where_entries_stand(document: Any, way: str, field: str, names: str | None) -> None:
    found = guess(document, ENDPOINTS)
    assert found.layout is not None, found.why
    assert (found.layout.entries, found.layout.split) == (way, field)
    assert found.names == (names or "{endpoint}-{variant}")
    assert sum(bool(one.split) for one in entries(document, found.layout)) == str(document).count(field.rpartition("/")[2])


def test_a_slice_that_is_no_language_has_no_key_of_its_own() -> None:
    found = guess({"relevance": {"gold": split(("v3", 100)), "silver": split(("v4", 100))}}, ENDPOINTS)
    assert found.layout is not None
    assert found.layout.slices == ()


def test_documents_that_name_endpoints_and_split_nothing() -> None:
    document = {
        "relevance": {"en": {"target": {"name": "relevance-v3", "percent": 100}}, "de": {"target": {"name": "relevance-v4", "percent": 50}}}
    }
    found = guess(document, ENDPOINTS)
    assert found.layout is not None
    assert (found.layout.entries, found.layout.endpoint, found.layout.share) == ("/{model}/{slice}", "/target/name", "/target/percent")
    assert [(one.slice, one.endpoint, one.share) for one in entries(document, found.layout)] == [
        ("en", "relevance-v3", 10_000),
        ("de", "relevance-v4", 5_000),
    ]
    assert (found.splits, found.variants) == (False, {})


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"relevance": {"en": {"v3": 80, "v4": 20}, "de": {"v3": 100}}}, "the percentages stand in the entry itself"),
        ({"relevance": [{"endpoint": "relevance-v3", "percent": 100}]}, "inside lists"),
        ({"relevance": {"en": split(("v3", 100))}, "delay-risk": split(("v1", 100))}, "at different depths"),
        (
            {"relevance": {"en": {"eu": split(("v3", 100)), "us": split(("v3", 100))}, "de": {"eu": split(("v4", 100))}}},
            "more than model and one",
        ),
        ({"relevance": {"en": split(("v3", 100)), "de": split(("v9", 100))}}, "shares to what is no endpoint"),
        ({"search": {"en": split(("v3", 100))}}, "which part of it names the model"),
    ],
)
def test_what_is_not_clear_is_told_and_not_guessed(document: Any, why: str) -> None:
    found = guess(document, ENDPOINTS)
    assert found.variants == {}
    assert why in found.why


def test_one_of_several_is_meant_by_the_environment_or_not_at_all() -> None:
    there = ["relevance-v3-prod", "relevance-v3-dev", "relevance-v4-prod"]
    document = {"relevance": {"en": split(("v3", 60), ("v4", 40))}}
    unclear = guess(document, there)
    assert unclear.variants == {}
    assert 'which endpoint is meant by "v3" of relevance is not clear (relevance-v3-dev, relevance-v3-prod)' in unclear.why
    clear = guess(document, there, ("prod", "production"))
    assert clear.variants == {"relevance": {"v3": "relevance-v3-prod", "v4": "relevance-v4-prod"}}
    assert clear.names == "{endpoint}-{variant}-prod"


@pytest.mark.parametrize("document", [{"banner": {"text": "hello"}}, {"thresholds": {"en": 60, "de": 40}}, [], None, 3, {"a": {"b": {}}}])
def test_a_document_of_something_else_names_no_endpoint(document: Any) -> None:
    found = guess(document, ENDPOINTS)
    assert (found.layout, found.why, found.splits) == (None, "", False)
