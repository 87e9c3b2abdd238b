"""Lint of config documents: what would break stops, what a person has to judge is shown, and a correct change is told nothing."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.configcase import Change, several, together
from mlconsole.core.configlint import Known, ModelFacts, lint
from mlconsole.core.documents import Layout, touches
from mlconsole.core.findings import Finding, Severity
from mlconsole.core.models import Json
from mlconsole.core.pointers import REMOVE, edited

INPUTS = ("title", "body", "language")
LAYOUT = Layout(slices=(("relevance", "language"), ("delay-risk", "region")), differ=("/threshold",))
COLUMNS = ("carrier", "region", "distance_km")
KNOWN = Known(
    models={
        "relevance": ModelFacts(INPUTS, {"language": ("de", "en", "fr", "pl")}, model="relevance"),
        "delay-risk": ModelFacts(COLUMNS, {"region": ("EU", "US")}, model="delay-risk"),
    },
    endpoints=("relevance", "relevance-v7", "delay-risk"),
)


def relevance(threshold: float) -> dict[str, Json]:
    return {"endpoint": "relevance", "share": 100, "fields": ["title", "body"], "threshold": threshold}


LIVE: dict[str, Json] = {
    "relevance": {"de": relevance(0.62), "en": relevance(0.58), "fr": relevance(0.60), "pl": relevance(0.57)},
    "delay-risk": {
        "EU": {"endpoint": "delay-risk", "share": 100, "fields": list(COLUMNS), "threshold": 0.50},
        "US": {"endpoint": "delay-risk", "share": 100, "fields": list(COLUMNS), "threshold": 0.50},
    },
}
PL = "/relevance/pl"


def said(edits: dict[str, Json], *, reason: str = "", known: Known = KNOWN, live: Json = LIVE, layout: Layout = LAYOUT) -> list[str]:
    """What lint says of edits of the live document, but for what is well."""
    return [
        f"{one.severity} {one.rule} {one.pointer} {one.text}" for one in found(edits, reason=reason, known=known, live=live, layout=layout)
    ]


def found(edits: dict[str, Json], *, reason: str = "", known: Known = KNOWN, live: Json = LIVE, layout: Layout = LAYOUT) -> list[Finding]:
    everything = lint(edited(copy.deepcopy(live), edits), live, layout, known, reason=reason)
    return [one for one in everything if one.severity is not Severity.OK]


def well(edits: dict[str, Json]) -> list[str]:
    return [one.text for one in lint(edited(LIVE, edits), LIVE, LAYOUT, KNOWN) if one.severity is Severity.OK]


def test_a_correct_change_is_told_only_what_was_checked() -> None:
    assert said({f"{PL}/threshold": 0.55}, reason="pl misses too many") == []
    assert well({f"{PL}/threshold": 0.55}) == ["endpoints exist", "fields exist in pl", "4 of 4 languages", "shares sum to 100"]
    assert "4 of 4 languages" in well({f"{PL}/threshold": 0.55, "/delay-risk/EU/threshold": 0.47})
    assert "2 of 2 regions" in well({f"{PL}/threshold": 0.55, "/delay-risk/EU/threshold": 0.47})


def test_the_first_version_has_no_history_and_is_judged_whole() -> None:
    first = lint(LIVE, None, LAYOUT, KNOWN, reason="de is new")
    assert [one.text for one in first] == ["endpoints exist", "fields exist", "4 of 4 languages", "2 of 2 regions", "shares sum to 100"]
    odd = edited(LIVE, {f"{PL}/threshold": 0.05})
    assert [one.rule for one in lint(odd, None, LAYOUT, KNOWN) if one.severity is Severity.LOOK] == ["far"]


def test_the_drawn_mistake() -> None:
    """screens.md: pl's threshold was set where de was meant."""
    live = edited(LIVE, {f"{PL}/threshold": 0.58, "/relevance/en/threshold": 0.59})
    known = Known(KNOWN.models, KNOWN.endpoints, history={f"{PL}/threshold": (0.55, 0.57, 0.58, 0.61)})
    assert said({f"{PL}/threshold": 0.48}, reason="de misses too many", known=known, live=live) == [
        f"look reason-slice {PL}/threshold the reason speaks of de, the change touches only pl",
        f"look far {PL}/threshold 0.48 lies outside the history of pl (0.55 – 0.61) and of its siblings (0.59 – 0.62)",
    ]


@pytest.mark.parametrize(
    ("pointer", "value", "expected"),
    [
        (
            "endpoint",
            "relevance-v8",
            "stop unknown-endpoint there is no endpoint relevance-v8 here. Did you mean relevance-v7 or relevance?",
        ),
        ("fields", ["titel", "body"], "stop unknown-field titel is no input of relevance. Did you mean title?"),
        ("fields", ["title", "body", "title"], "look field-twice title is named twice"),
        ("fields", ["title"], "look field-missing body is left out; de, en and fr fill it"),
        ("share", 90, "stop shares-sum the shares sum to 90 %, not 100 %: nobody gets the other 10 %"),
        ("split", {"v3": 90, "v4": 5}, "stop shares-sum the shares sum to 95 %, not 100 % (90 + 5)"),
        ("threshold", 57, "stop threshold-range 57 is outside of what relevance scores (0 – 1); did you mean 0.57?"),
        ("threshold", 1, "look threshold-range no score is above 1: nearly nothing would be an alert"),
        ("threshold", 0, "look threshold-range no score is below 0: every request of it would be an alert"),
        ("threshold", "0.5", 'stop malformed "0.5" is a text: a threshold is a number'),
        ("threshold", 0.05, "look far 0.05 lies outside the history of pl (0.57) and of its siblings (0.58 – 0.62)"),
        ("threshold", 0.95, "look far 0.95 lies outside the history of pl (0.57) and of its siblings (0.58 – 0.62)"),
        ("threshold", 0.60, "look copied 0.6 is the threshold of fr too, and languages have to differ in it"),
    ],
)
def test_one_mistake_is_one_finding(pointer: str, value: Json, expected: str) -> None:
    [one] = found({f"{PL}/{pointer}": value})
    assert f"{one.severity} {one.rule} {one.text}" == expected
    assert one.pointer.startswith(f"{PL}/{pointer}")


def test_a_field_that_is_missing_in_one_slice() -> None:
    facts = ModelFacts((*INPUTS, "summary"), {"language": ("de", "en", "fr", "pl")}, missing={"pl": ("summary",)})
    known = Known({**KNOWN.models, "relevance": facts}, KNOWN.endpoints)
    edits = {f"/relevance/{name}/fields": ["title", "summary"] for name in ("de", "en", "fr", "pl")}
    assert said(edits, known=known) == [
        "stop unknown-field /relevance/pl/fields/1 summary does not exist in pl; it does in de, en and fr",
    ]
    # What the slice does not have is not missing in it.
    assert said({**edits, f"{PL}/fields": ["title"]}, known=known) == []


def test_the_facts_are_those_of_the_endpoint_that_the_entry_points_to() -> None:
    known = Known(KNOWN.models, KNOWN.endpoints, serving={"delay-risk": KNOWN.models["delay-risk"]})
    rules = [one.rule for one in found({f"{PL}/endpoint": "delay-risk"}, known=known)]
    assert rules.count("unknown-field") == 2
    assert "endpoint-model" in rules
    assert said({f"{PL}/endpoint": "relevance-v7"}, known=known) == []


def test_variants_of_a_split() -> None:
    known = Known(KNOWN.models, KNOWN.endpoints, variants={"relevance": ("v3", "v4")})
    assert said({f"{PL}/split": {"v3": 90, "v4": 10}}, known=known) == []
    assert said({f"{PL}/split": {"v3": 90, "v5": 10}}, known=known) == [
        f"stop unknown-variant {PL}/split/v5 relevance has no variant v5. Did you mean v4 or v3?"
    ]
    # Splits between endpoints are splits, too.
    assert said({f"{PL}/split": {"relevance": 90, "relevance-v7": 10}}, known=known) == []


def test_slices_that_are_there_twice_missing_or_unknown() -> None:
    assert said({"/relevance/DE": relevance(0.61)}) == ['stop slice-twice /relevance/DE "de" and "DE" are one language, twice']
    assert said({"/relevance/de ": relevance(0.61)}) == ['stop slice-twice /relevance/de  "de" and "de " are one language, twice']
    assert said({PL: REMOVE}) == ["look slices-missing /relevance pl has no entry: 3 of 4 languages of relevance"]
    assert said({PL: REMOVE, "/relevance/pll": relevance(0.56)}) == [
        'look slice-unknown /relevance/pll "pll" is no language of relevance; did you mean pl?',
        "look slices-missing /relevance pl has no entry: 3 of 4 languages of relevance",
    ]
    assert said({PL: REMOVE, "/relevance/PL": relevance(0.56)}) == [
        'look slice-unknown /relevance/PL requests say "pl", this entry "PL": an application that compares them finds none'
    ]
    assert said({PL: REMOVE, "/relevance/default": relevance(0.56)}) == []


def test_models_that_are_unknown_twice_or_gone() -> None:
    assert said({"/relevanse": {"de": relevance(0.6)}}) == [
        "stop unknown-model /relevanse there is no model relevanse. Did you mean relevance?"
    ]
    assert said({"/Relevance": {"de": relevance(0.6)}}) == [
        "stop model-twice /Relevance Relevance and relevance are one model, twice",
    ]
    assert said({"/delay-risk": REMOVE}) == ["look model-gone  delay-risk is gone, with 2 entries"]


def test_shares_that_are_samples_need_not_be_whole() -> None:
    live = edited(LIVE, {"/relevance/de/share": 20})
    assert said({f"{PL}/share": 50}, live=live) == []
    assert "stop shares-sum" in said({"/delay-risk/EU/share": 50}, live=live)[0]


def test_keys_that_are_misspelt_or_missing() -> None:
    misspelt = {**relevance(0.56), "treshold": 0.56}
    del misspelt["threshold"]
    assert said({PL: misspelt}) == [f'stop key-misspelt {PL}/treshold "treshold" is no key of its siblings; did you mean threshold?']
    assert said({f"{PL}/threshold": REMOVE}) == [f"look key-missing {PL} pl has no threshold; de, en and fr have one"]
    everywhere = edited(LIVE, {f"/relevance/{name}/min_words": 5 for name in ("de", "en", "fr", "pl")})
    assert said({f"{PL}/min_words": REMOVE, f"{PL}/minWords": 5}, live=everywhere) == [
        f'look key-misspelt {PL}/minWords "minWords" is no key of its siblings; did you mean min_words?'
    ]
    # A key that only this one has is its own business.
    assert said({f"{PL}/min_words": 5}) == []
    # Forgotten in one of four.
    assert said({f"/relevance/{name}/min_words": 5 for name in ("de", "en", "fr")}) == [
        f"look key-missing {PL} pl has no min_words; de, en and fr have one"
    ]


def test_a_value_of_another_kind_than_its_siblings_have() -> None:
    live = edited(LIVE, {f"/relevance/{name}/min_words": 5 for name in ("de", "en", "fr", "pl")})
    assert said({f"{PL}/min_words": "5"}, live=live) == [f'stop kind-differs {PL}/min_words "5" is a text; de, en and fr have a number']
    assert said({f"{PL}/min_words": {"at": 5}}, live=live) == [
        f'stop kind-differs {PL}/min_words {{"at": 5}} is an object; de, en and fr have a number'
    ]
    assert said({f"{PL}/min_words": None}, live=live) == [f"look kind-differs {PL}/min_words null is null; de, en and fr have a number"]
    alone = {"relevance": {"pl": {**relevance(0.5), "min_words": 5}}}
    told = said({f"{PL}/min_words": "5"}, live=alone, known=Known())
    assert told == [f'stop kind-differs {PL}/min_words "5" is a text; before it was a number']


def test_any_number_is_compared_with_its_siblings() -> None:
    live = edited(LIVE, {f"/relevance/{name}/min_words": 5 + place for place, name in enumerate(("de", "en", "fr", "pl"))})
    assert said({f"{PL}/min_words": 9}, live=live) == []
    assert said({f"{PL}/min_words": 700}, live=live) == [
        f"look far {PL}/min_words 700 lies outside the history of pl (8) and of its siblings (5 – 7)"
    ]
    # All of them together may go anywhere.
    assert said({f"/relevance/{name}/min_words": 700 + place for place, name in enumerate(("de", "en", "fr", "pl"))}, live=live) == []


def test_its_own_history_may_be_far_from_its_siblings() -> None:
    live = edited(LIVE, {f"{PL}/threshold": 0.30})
    history = {f"{PL}/threshold": (0.29, 0.30, 0.31, 0.30)}
    known = Known(KNOWN.models, KNOWN.endpoints, history)
    assert said({f"{PL}/threshold": 0.33}, known=known, live=live) == []
    assert said({f"{PL}/threshold": 0.59}, known=known, live=live) == [
        f"look far {PL}/threshold 0.59 lies outside the history of pl (0.29 – 0.31), though not of its siblings (0.58 – 0.62)"
    ]


def test_an_entry_copied_from_a_sibling() -> None:
    live = edited(LIVE, {"/relevance/fr": REMOVE})
    assert said({"/relevance/fr": relevance(0.62)}, live=live) == [
        "look copied /relevance/fr/threshold 0.62 is the threshold of de too, and languages have to differ in it"
    ]
    assert said({"/relevance/fr": relevance(0.61)}, live=live) == []
    # Those that were equal before may be so again, and two that are made equal are told once.
    assert said({"/delay-risk/EU/threshold": 0.48, "/delay-risk/US/threshold": 0.48}) == []
    assert len(said({f"{PL}/threshold": 0.64, "/relevance/fr/threshold": 0.64})) == 1


def test_a_text_that_names_another_slice() -> None:
    live = edited(LIVE, {f"/relevance/{name}/model_file": f"relevance-{name}.onnx" for name in ("de", "en", "fr", "pl")})
    assert said({f"{PL}/model_file": "relevance-de.onnx"}, live=live) == [
        f'look other-slice {PL}/model_file "relevance-de.onnx" names de, and this is the entry of pl'
    ]
    assert said({f"{PL}/model_file": "relevance-pl-2.onnx"}, live=live) == []
    assert said({f"{PL}/model_file": "relevance-all.onnx"}, live=live) == []
    inputs = tuple(f"title_{name}" for name in ("de", "en", "fr", "pl"))
    known = Known({"relevance": ModelFacts(inputs, {"language": ("de", "en", "fr", "pl")})})
    own = {"relevance": {name: {"fields": [f"title_{name}"]} for name in ("de", "en", "fr", "pl")}}
    assert said({f"{PL}/fields": ["title_pl", "title_de"]}, live=own, known=known) == [
        f'look other-slice {PL}/fields "title_de" names de, and this is the entry of pl'
    ]


def test_what_was_wrong_before_stops_nobody_and_is_not_told_again() -> None:
    live = edited(LIVE, {"/relevance/de/endpoint": "gone-since", "/relevance/en/fields": ["title", "title", "body"]})
    assert said({f"{PL}/threshold": 0.56}, live=live) == [
        "look unknown-endpoint /relevance/de/endpoint there is no endpoint gone-since here. "
        "Known: delay-risk, relevance, relevance-v7 (it was so before this change)"
    ]
    assert [one.severity for one in found({"/relevance/de/endpoint": "gone-too"}, live=live)] == [Severity.STOP]
    # Nothing of that is well, though.
    assert "endpoints exist" not in [one.text for one in lint(live, live, LAYOUT, KNOWN)]


def test_what_is_not_known_is_not_asked() -> None:
    odd = {"anything": {"xx": {"endpoint": "nowhere", "fields": ["what"], "threshold": 700}}}
    assert [one.text for one in lint(odd, None, Layout(), Known())] == []
    unknown = Known({"anything": ModelFacts(("what",), score=None)})
    assert [one.text for one in lint(odd, None, Layout(), unknown)] == ["fields exist in xx"]


def test_the_document_may_be_anything() -> None:
    for value in (None, 3, "x", [], {}, {"relevance": None}, {"relevance": {"pl": None}}, {"relevance": {"": {}}}):
        assert isinstance(lint(value, LIVE, LAYOUT, KNOWN, reason="de"), tuple)
        assert isinstance(lint(LIVE, value, LAYOUT, KNOWN, reason="de"), tuple)


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "endpoint": st.sampled_from(["relevance", "x", 3]),
        "share": st.sampled_from([100, 50, "1"]),
        "fields": st.lists(st.sampled_from(["title", "body", "x"]), max_size=3),
        "threshold": st.sampled_from([0.5, 0.6, 2, None]),
        "x": st.sampled_from([1, "relevance-de", {"y": 1}, [1]]),
    },
)
_DOCUMENTS = st.dictionaries(
    st.sampled_from(["relevance", "delay-risk", "$x"]), st.dictionaries(st.sampled_from(["de", "DE", "pl", "EU"]), _FIELDS, max_size=4)
)


@given(_DOCUMENTS, _DOCUMENTS)
def test_of_no_change_nothing_stops_and_of_every_change_the_places_are_in_it(before: Json, after: Json) -> None:
    assert not [one for one in lint(before, before, LAYOUT, KNOWN, reason="de and pl") if one.severity is Severity.STOP]
    for one in lint(after, before, LAYOUT, KNOWN, reason="x"):
        assert one.pointer == "" or one.pointer.startswith("/")
        assert one.text


@given(
    st.lists(st.sampled_from(["", "/a", "/a/b", "/a/b/c", "/ab", "/a/c"]), max_size=3), st.sampled_from(["/a", "/a/b", "/ab/c", "/a/b/d"])
)
def test_what_a_change_touches_is_what_documents_say(pointers: list[str], pointer: str) -> None:
    assert Change(pointers).touches(pointer) == touches(pointers, pointer)


def test_words() -> None:
    assert [several(word) for word in ("language", "country", "key", "class")] == ["languages", "countries", "keys", "classes"]
    assert [together(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"], list("abcdef"))] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c, d and 2 more",
    ]
