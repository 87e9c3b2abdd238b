"""Whether a reason speaks of a slice that the change does not touch: what is said so, and what only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.configlint import Known, ModelFacts, lint
from mlconsole.core.documents import Layout
from mlconsole.core.models import Json
from mlconsole.core.pointers import edited

LANGUAGES = ("de", "en", "es", "fr", "it", "no", "pl", "pt-BR")
REGIONS = ("EU", "US", "APAC")
LAYOUT = Layout(slices=(("relevance", "language"), ("delay-risk", "region")))
LIVE: dict[str, Json] = {
    "relevance": {name: {"threshold": 0.5} for name in LANGUAGES},
    "delay-risk": {name: {"threshold": 0.5} for name in REGIONS},
}


def speaks(reason: str, *touched: str, live: Json = LIVE) -> str:
    """What lint says of a change of these slices for that reason; empty: nothing."""
    where = {name: ("delay-risk" if name in REGIONS else "relevance") for name in touched}
    after = edited(live, {f"/{model}/{name}/threshold": 0.51 for name, model in where.items()})
    return "; ".join(one.text for one in lint(after, live, LAYOUT, Known(), reason=reason) if one.rule == "reason-slice")


@pytest.mark.parametrize(
    ("reason", "touched", "named"),
    [
        ("de misses too many", "pl", "de"),
        ("German events get lost", "pl", "de"),
        ("Deutsche Meldungen fehlen", "pl", "de"),
        ("za dużo alarmów: niemiecki", "pl", "de"),
        ("too many false alerts in Polish news", "de", "pl"),
        ("IT is too noisy", "pl", "it"),
        ("too noisy: language it", "pl", "it"),
        ('raise "no"', "pl", "no"),
        ("Norwegian is silent", "pl", "no"),
        ("Brazil: portuguese misses most", "de", "pt-BR"),
        ("pt-br misses most", "de", "pt-BR"),
        ("language=de fires too often", "pl", "de"),
        ("de-threshold too low", "pl", "de"),
        ("the German-language feed is new", "pl", "de"),
        ("looks like de misses some", "pl", "de"),
        ("de, fr: fewer alerts", "pl", "de and fr"),
        ("US is late", "EU", "US"),
        ("american ports are late", "EU", "US"),
        ("late in apac", "EU", "APAC"),
        ("APAC late", "pl", "APAC"),
        ("seuil trop haut pour DE", "fr", "de"),
    ],
)
def test_it_speaks_of_another_one(reason: str, touched: str, named: str) -> None:
    assert speaks(reason, touched) == f"the reason speaks of {named}, the change touches only {touched}"


@pytest.mark.parametrize(
    ("reason", "touched"),
    [
        ("", "pl"),
        ("pl misses too many", "pl"),
        ("Polish misses too many", "pl"),
        ("it is too noisy, no more of that", "pl"),
        ("no reason given", "pl"),
        ("It is what analysts want of us", "pl"),
        ("tell us when it fires", "EU"),
        ("polish the threshold", "de"),
        ("just to polish it", "de"),
        ("pl to the level of de", "pl"),
        ("same as de", "pl"),
        ("like in German", "pl"),
        ("lower than de", "pl"),
        ("not de", "pl"),
        ("de-facto standard", "pl"),
        ("de facto standard", "pl"),
        ("redeployed, ended, spelled", "pl"),
        ("le seuil de la langue est trop haut en production", "fr"),
        ("el umbral de la lista es demasiado alto", "fr"),
        ("de drempel voor een taal is te hoog", "fr"),
        ("RISK-231: MORE ALERTS, IT IS TOO QUIET", "pl"),
        ("see PR 12, agreed with risk desk", "pl"),
        ("ens, pls, den, Pole, Germane", "fr"),
    ],
)
def test_it_speaks_of_nothing_else(reason: str, touched: str) -> None:
    assert speaks(reason, touched) == ""


def test_one_named_beside_a_touched_one_was_forgotten() -> None:
    assert speaks("de and pl miss too many", "pl") == "the reason speaks of de too, the change touches only pl"
    assert speaks("pl, de: more alerts", "pl") == "the reason speaks of de too, the change touches only pl"
    assert speaks("de and pl miss too many", "pl", "de") == ""
    assert speaks("fr misses too many", "pl", "de") == "the reason speaks of fr, the change touches only de and pl"


def test_a_change_of_no_slice_at_all() -> None:
    live = {**LIVE, "timeout": 3}
    told = [one.text for one in lint({**live, "timeout": 4}, live, LAYOUT, Known(), reason="de is slow") if one.rule == "reason-slice"]
    assert told == ["the reason speaks of de, the change touches no slice"]
    assert [one for one in lint(live, live, LAYOUT, Known(), reason="de is slow") if one.rule == "reason-slice"] == []


def test_slices_that_the_signature_declares_count_too() -> None:
    known = Known({"relevance": ModelFacts((), {"language": ("pl", "hu")})})
    live = {"relevance": {"pl": {"threshold": 0.5}}}
    after = {"relevance": {"pl": {"threshold": 0.51}}}
    told = [one.text for one in lint(after, live, LAYOUT, known, reason="Hungarian fires too often") if one.rule == "reason-slice"]
    assert told == ["the reason speaks of hu, the change touches only pl"]


def test_a_removed_slice_is_touched() -> None:
    after = {**LIVE, "relevance": {name: LIVE["relevance"][name] for name in LANGUAGES if name != "de"}}
    assert [one for one in lint(after, LIVE, LAYOUT, Known(), reason="de is no longer read") if one.rule == "reason-slice"] == []


@given(st.text(max_size=60))
def test_no_reason_breaks_it(reason: str) -> None:
    speaks(reason, "pl")
