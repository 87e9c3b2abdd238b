"""Versions for what was found running: what a plugin says of where bytes come from, and how much of it is *unknown*."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.conftest import House
from engine.kit import NAME, deploy
from mlconsole.core.models import UNKNOWN, ModelVersion
from mlconsole.core.releases import Variant
from mlconsole.core.traffic import Traffic
from mlconsole.engine import adopting, endpoints, gates, models
from mlconsole.engine.backend import Backend
from mlconsole.plugin.discovering import Found, Origin
from mlconsole.plugin.errors import Conflict, Unavailable
from mlconsole.plugin.roles import Answer

_BYTES = {"green": "sha256:feed", "blue": "sha256:beef"}


class Knows:
    """A plugin that says of some variants from where they can be served again."""

    def __init__(self, **origins: Origin | Exception) -> None:
        self.origins = origins
        self.asked: list[str] = []

    def found(self) -> Found:
        raise NotImplementedError

    def origin(self, endpoint: str, variant: str) -> Origin | None:
        self.asked.append(variant)
        found = self.origins.get(variant)
        if isinstance(found, Exception):
            raise found
        return found


Given = Callable[..., Knows]


@pytest.fixture
def given(house: House, monkeypatch: pytest.MonkeyPatch) -> Given:
    """Two variants that somebody else made, and what is known of them."""
    variants = [Variant(name, "theirs", "9", digest) for name, digest in _BYTES.items()]
    house.sim.world.change_outside(NAME, add=variants, traffic=Traffic({"green": 3000, "blue": 7000}))

    def make(**origins: Origin | Exception) -> Knows:
        knows = Knows(**origins)
        monkeypatch.setattr(Backend, "played", lambda _, name: [knows] if name == "discovery" else [])
        return knows

    return make


def registered(house: House) -> dict[str, ModelVersion]:
    return {one.artifact.digest: one for one in house.session().registry.versions(NAME)}


def test_bytes_that_nobody_registered_become_versions_of_the_endpoints_model(house: House, given: Given) -> None:
    given(green=Origin("3", "there://green", 120, "as found: green"), blue=Origin("blue-2024", "there://blue"))
    before = set(registered(house))
    told = endpoints.adopt(house.session(), NAME)
    assert told.content == "green 30 · blue 70"
    recorded = house.session().registry.release("staging", NAME, 1)
    assert recorded is not None
    made = {digest: one for digest, one in registered(house).items() if digest not in before}
    assert {(one.name, one.model, one.digest) for one in recorded.release.content.variants} == {
        ("green", NAME, "sha256:feed"),
        ("blue", NAME, "sha256:beef"),
    }
    green = made["sha256:feed"]
    assert (green.artifact.location, green.artifact.size, green.description) == ("there://green", 120, "as found: green")
    assert {green.owner, green.preprocessing, green.data.reference, green.data.cutoff, green.metrics.evaluation_set} == {UNKNOWN}
    assert (green.signature.inputs, green.metrics.values, green.code.commit) == ((), {}, None)
    # What nobody knows compares with nothing, not even with itself.
    compared = models.compare(green, made["sha256:beef"])
    assert compared.why_not.startswith("what one of them was measured on is not known")


def test_looking_only_registers_nothing(house: House, given: Given) -> None:
    given(green=Origin("3", "there://green"))
    before = registered(house)
    assert endpoints.adopt(house.session(), NAME, only_look=True).number == 1
    assert registered(house) == before


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("3-from-there", "3-from-there"),
        (f"{NAME}-2024", "2024"),  # its own name says nothing
        ("latest", "found-latest"),  # it would mean other bytes tomorrow
        ("a b@c/d", "a-b-c-d"),
        ("\x1b[31m7", "[31m7"),
        ("x" * 300, "x" * 128),
        ("", "green"),
    ],
)
def test_a_version_is_called_so_that_it_is_one(house: House, given: Given, said: str, version: str) -> None:
    given(green=Origin(said, "there://green"))
    endpoints.adopt(house.session(), NAME)
    assert registered(house)["sha256:feed"].version == version


def test_a_name_that_is_taken_by_other_bytes_gets_a_sign(house: House, given: Given) -> None:
    given(green=Origin("3", "there://green"), blue=Origin("3", "there://blue"))
    house.register("3")
    endpoints.adopt(house.session(), NAME)
    names = {digest: one.version for digest, one in registered(house).items()}
    assert (names["sha256:feed"], names["sha256:beef"]) == ("3-feed", "3-beef")


def test_who_cannot_say_it_leaves_it_as_it_was_found(house: House, given: Given) -> None:
    knows = given(green=Unavailable("nobody answers."))
    before = registered(house)
    endpoints.adopt(house.session(), NAME)
    assert sorted(knows.asked) == ["blue", "green"]
    assert registered(house) == before
    recorded = house.session().registry.release("staging", NAME, 1)
    assert recorded is not None
    assert {one.model for one in recorded.release.content.variants} == {"theirs"}


def test_known_bytes_are_not_asked_about(house: House, given: Given) -> None:
    knows = given(green=Origin("3", "there://green"))
    [known] = house.register("8")
    house.session().registry.add_version(replace(known, version="9", artifact=replace(known.artifact, digest="sha256:beef")))
    endpoints.adopt(house.session(), NAME)
    assert knows.asked == ["green"]


def test_requests_to_a_variant_that_is_not_there_are_not_taken_over(house: House, given: Given) -> None:
    """What was seen is not all: a release of it could never stand."""
    given()
    live = replace(house.session().backend.describe(NAME), variants=())
    with pytest.raises(Conflict, match=f"green, blue of {NAME} get requests, and nothing of that name is there. Nothing was adopted"):
        adopting.require_known(live)


def test_all_of_them_each_for_itself(house: House, given: Given) -> None:
    given(green=Origin("3", "there://green"), blue=Origin("4", "there://blue"))
    house.sim.world.change_outside("others", add=[Variant("v1", "x", "1", "sha256:1")], traffic=Traffic({"v1": 10_000}))
    session = house.session()
    found = {one.endpoint: one for one in adopting.adopt_all(session)}
    assert found[NAME].release is not None
    assert found["others"].left, "mlconsole.yaml does not name it"
    again = {one.endpoint: one for one in adopting.adopt_all(session)}
    assert again[NAME].left
    assert again[NAME].problem is None
    session.workspace.endpoints.clear()  # type: ignore[attr-defined]
    everything = {one.endpoint: one for one in adopting.adopt_all(session, only_look=True)}
    assert everything["others"].release is not None


def test_a_gate_only_sees_that_what_was_found_answers(house: House, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what it takes, and there are no golden queries: a refusal of what it was asked says nothing against it."""
    given(green=Origin("77", "there://green"))
    endpoints.adopt(house.session(), NAME)
    house.register("8")
    monkeypatch.setattr(gates, "golden_queries", lambda *_: ())
    monkeypatch.setattr(gates, "_first_event", lambda _: None)
    monkeypatch.setattr(Backend, "invoke", lambda *_, **__: Answer(400, {}, None, 1.0, error="what is that?"))
    outcome = deploy(house.session(), "77", endpoint="second")
    assert outcome.done, outcome.sentence
    refused = deploy(house.session(), "8", endpoint="third")
    assert not refused.done
    assert "refuses a real query: 400 what is that?" in refused.sentence
