"""Applications that choose the variant themselves, by what a config document says: who is observed to get what, and who is waited for."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.config_kit import DOC, SPLIT, ConfigHouse, config_house, first
from engine.conftest import TOMEK
from engine.dying import dies
from mlconsole.core.clock import Clock
from mlconsole.core.operations import OperationState
from mlconsole.engine import changing, configuring, planning
from mlconsole.engine.endpoints import invoke, show
from mlconsole.engine.session import Session
from mlconsole.engine.views import EndpointView, Outcome
from mlconsole.engine.watching import Watch
from mlconsole.plugin.simulator import Fault, FaultKind, Load

NAME = "relevance"
LAG = 5.0
"""Seconds between two looks of an application at the document (config_poll)."""


class Applications:
    """Ask by name, as the document says that they have read; they look at it every `LAG` seconds."""

    def __init__(self, house: ConfigHouse) -> None:
        self.house, self.draw = house, random.Random(6)
        self.read: Any = None
        self.looked = -LAG
        self.asked: dict[str, int] = {}

    def ask(self, count: int) -> None:
        now = self.house.clock.elapsed()
        if now - self.looked >= LAG:
            self.looked, self.read = now, self.house.live()
        for slice_, entry in self.read[NAME].items():
            for name in self.draw.choices(list(entry["split"]), list(entry["split"].values()), k=count):
                self.house.sim.world.serve(NAME, Load(1, seconds=0.0, variant=name, slices={"language": {slice_: 1.0}}))
                self.asked[name] = self.asked.get(name, 0) + 1


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    """v3 serves, v4 stands by; applications read whom to ask in config 1."""
    made = config_house(tmp_path, SPLIT, traffic_in=True)
    session = made.session()
    first(session)
    assert deployed(session, "3").done
    assert deployed(session, "4").done
    made.passes(60.0)
    return made


def deployed(session: Session, version: str, share: int | None = None, **how: Any) -> Outcome:
    return changing.run(session, planning.plan_deploy(session, NAME, version, share=share, **how))


def shifted(session: Session, split: dict[str, int], slice_value: tuple[str, str] | None = None) -> None:
    assert changing.run(session, planning.plan_traffic(session, NAME, split, slice_value=slice_value)).done


def shares(view: EndpointView) -> dict[str, float | None]:
    return {one.name: one.observed for one in view.variants}


# What is observed.


def test_who_asks_by_name_has_obeyed_the_split_of_its_slice(house: ConfigHouse) -> None:
    shifted(house.session(), {"v4": 2000})
    shifted(house.session(), {"v4": 10_000}, ("language", "pl"))
    house.passes(LAG)
    applications = Applications(house)
    for _ in range(40):
        house.passes(1.0)
        applications.ask(5)
    for view in (show(house.session(), NAME), Watch(house.session()).take().status.endpoints[0]):
        assert view.requests == 600
        # pl goes to v4 alone, and is not in the split of all others.
        assert view.observed_by_slice == {"pl": {"v3": 0.0, "v4": 10_000.0}}
        assert shares(view)["v4"] == pytest.approx(2000, abs=400)
        assert next(one.observed_n for one in view.variants) == 400


def test_what_was_asked_before_everybody_had_read_it_says_nothing_of_the_new_split(house: ConfigHouse) -> None:
    applications = Applications(house)
    applications.ask(1)
    shifted(house.session(), {"v4": 10_000})
    watch = Watch(house.session())
    for _ in range(4):
        house.passes(1.0)
        applications.ask(10)
        watch.take()
    assert applications.asked["v3"] > 90
    view = show(house.session(), NAME)
    assert (view.requests, shares(view)) == (0, {"v3": None, "v4": None})
    seen = watch.take().status.endpoints[0]
    assert (seen.requests, seen.recent) == (0, 120)  # that they were answered is known all the same
    for _ in range(3):
        house.passes(LAG)
        applications.ask(10)
    assert shares(show(house.session(), NAME)) == {"v3": 0.0, "v4": 10_000.0}
    assert watch.take().status.endpoints[0].requests == 90


def test_asked_without_a_name_the_console_chooses_as_an_application_does(house: ConfigHouse) -> None:
    shifted(house.session(), {"v4": 10_000}, ("language", "pl"))
    house.passes(LAG)
    for language, wanted in (("pl", "v4"), ("en", "v3")):
        answer, _, _ = invoke(house.session(), NAME, {"text": "a strike", "length": 8.0, "language": language})
        assert (answer.status, answer.variant) == (200, wanted)


# Who is waited for.


class Lived(Clock):
    """While a driver rests, applications go on asking."""

    def __init__(self, house: ConfigHouse, applications: Applications) -> None:
        self._house, self._applications = house, applications
        self._failed = 0

    def now(self) -> Any:
        return self._house.clock.now()

    def elapsed(self) -> float:
        return self._house.clock.elapsed()

    def sleep(self, seconds: float) -> None:
        self._house.clock.sleep(seconds)
        self._applications.ask(1)


def failed(house: ConfigHouse) -> list[str]:
    return [f"{one.time} {one.variant} {one.error}" for one in house.sim.world.observations() if one.status >= 400 and not one.probe]


def test_a_variant_is_taken_away_only_when_nobody_can_ask_for_it_any_more(house: ConfigHouse) -> None:
    shifted(house.session(), {"v4": 10_000})
    applications = Applications(house)
    applications.ask(1)
    session = house.session(clock=Lived(house, applications))
    began = house.clock.elapsed()
    plan = planning.plan_revert(session, NAME, to=1)  # v3 alone: v4 goes, and everybody asks for it just now
    assert [step.removes for step in plan.steps if step.removes] == [("v4",)]
    assert changing.run(session, plan).done
    assert failed(house) == []
    assert house.clock.elapsed() - began >= LAG
    assert [one.name for one in session.backend.describe(NAME).variants] == ["v3"]
    assert house.live()[NAME]["pl"]["split"] == {"v3": 100}


def test_where_a_role_splits_nobody_is_waited_for(tmp_path: Path) -> None:
    made = config_house(tmp_path)
    session = made.session()
    assert deployed(session, "3").done
    assert deployed(session, "4", 10_000).done
    began = made.clock.elapsed()
    assert changing.run(session, planning.plan_revert(session, NAME)).done
    assert made.clock.elapsed() - began < LAG


def test_whoever_takes_a_change_over_waits_for_them_too(house: ConfigHouse) -> None:
    """Nobody knows when the driver that is gone wrote the shares: it may have been just now."""
    shifted(house.session(), {"v4": 10_000})
    applications = Applications(house)
    applications.ask(1)
    plan = planning.plan_revert(house.session(), NAME, to=1)
    house.sim.world.inject(Fault(FaultKind.CRASH, on="serving.start", times=1))
    assert dies(house, lambda session: changing.run(session, plan))
    assert house.live()[NAME]["pl"]["split"] == {"v3": 100}
    session = house.session(TOMEK, clock=Lived(house, applications))
    (operation,) = session.registry.unfinished("staging")
    began = house.clock.elapsed()
    changing.recover(session, operation)
    done = session.registry.operation(plan.id)
    assert done is not None
    assert done.state is OperationState.DONE
    assert house.clock.elapsed() - began >= LAG
    assert failed(house) == []


def test_with_its_endpoint_the_shares_are_gone_from_the_document(house: ConfigHouse) -> None:
    before = json.loads(json.dumps(house.live()))
    session = house.session()
    outcome = changing.run(session, planning.plan_delete(session, NAME))
    assert outcome.done, outcome.sentence
    assert not session.backend.describe(NAME).exists
    after = house.live()
    assert {name: entry["threshold"] for name, entry in after[NAME].items()} == {n: e["threshold"] for n, e in before[NAME].items()}
    assert all("split" not in entry for entry in after[NAME].values())
    assert configuring.document(session, DOC).outside == ""
