"""A config document that grows: by stages, weighed by what the endpoints do that it touches, back by itself when they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.config_kit import BODY, DOC, SPLIT, TARGET, ConfigHouse, config_house, edited, first
from engine.conftest import TOMEK
from engine.rollout_kit import LivedClock
from mlconsole.core.rollouts import Rollout, RolloutState
from mlconsole.engine import changing, configuring, planning, rolling
from mlconsole.engine.conducting import Conductor
from mlconsole.engine.growing import plan_config_rollout
from mlconsole.engine.health import HealthWatch
from mlconsole.plugin.errors import Conflict, MLConsoleError, UsageError
from mlconsole.plugin.simulator import Behaviour, Load, simulated_version

PL = "/relevance/pl/threshold"
SLICES = {"language": {"en": 0.6, "de": 0.2, "pl": 0.2}}


class Consumers:
    """Who asks while a driver rests: so many requests a second, some of which fail."""

    def __init__(self, house: ConfigHouse, *, rate: float = 20.0) -> None:
        self.house, self.rate, self.failing = house, rate, 0.0
        self.served = house.clock.elapsed()
        self.watch = HealthWatch(house.session(TOMEK), guardian=True)
        self.looked = 0.0
        self.acts: list[Any] = []
        self.shares: list[int] = []
        self.seed = 0

    def go_on(self) -> None:
        now = self.house.clock.elapsed()
        if now - self.served < 1.0:
            return
        seconds, self.served = now - self.served, now
        assert now < 5000, "it never comes to its end"
        self.shares.append(self.house.published().share)
        for act in list(self.acts):
            try:
                act(self)
            except MLConsoleError as error:  # the driver would take it for its own
                raise AssertionError(f"{type(error).__name__}: {error.message}") from error
        self.seed += 1
        for version in ("3", "4"):
            self.house.sim.world.behave(simulated_version("relevance", version), Behaviour(error_rate=self.failing))
        chosen = "v3" if self.house.session().environment.traffic_in else None  # applications choose by name what the document says
        load = Load(int(self.rate * seconds), seed=self.seed, seconds=seconds, slices=SLICES, variant=chosen)
        self.house.sim.world.serve("relevance", load)
        if now - self.looked > 3:
            self.looked = now
            self.watch.look()

    def usual(self, seconds: int = 120) -> None:
        for _ in range(seconds):
            self.house.passes(1.0)
            self.go_on()


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    made = config_house(tmp_path)
    session = made.session()
    first(session)
    assert changing.run(session, planning.plan_deploy(session, "relevance", "3")).done
    return made


def begun(house: ConfigHouse, **how: Any) -> Rollout:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6}, reason="pl alerts too often")
    plan = plan_config_rollout(session, DOC, attended=True, **how)
    return rolling.find(session, rolling.begin(session, plan, stays=True).id)


def driven(house: ConfigHouse, consumers: Consumers, rollout: Rollout) -> Rollout:
    session = house.session(TOMEK, clock=LivedClock(house.clock, consumers.go_on))
    ended = Conductor(session, rollout.id).run()
    assert ended is not None
    return ended


def test_it_grows_by_the_stages_of_its_policy_and_bakes(house: ConfigHouse) -> None:
    consumers = Consumers(house)
    consumers.usual()
    rollout = begun(house)
    assert [stage.name for stage in rollout.stages] == ["20 %", "100 %", "bake 20 s"]
    ended = driven(house, consumers, rollout)
    assert ended.state is RolloutState.DONE, ended.why
    assert house.text() == BODY.replace("0.48", "0.6")
    assert {2000, 10_000} <= set(consumers.shares)
    assert house.session().registry.draft("staging", DOC) is None


def test_errors_in_what_it_touches_take_it_back_by_itself(house: ConfigHouse) -> None:
    consumers = Consumers(house)
    consumers.usual()
    rollout = begun(house)

    def breaks(one: Consumers) -> None:
        one.failing = 0.5 if one.house.published().share == 2000 else 0.0

    consumers.acts.append(breaks)
    ended = driven(house, consumers, rollout)
    assert ended.state is RolloutState.REVERTED
    assert "errors" in ended.why
    assert house.text() == BODY
    assert house.published().share == 10_000


def test_without_requests_it_holds_and_says_so(house: ConfigHouse) -> None:
    consumers = Consumers(house)
    consumers.usual()
    rollout = begun(house)
    consumers.rate = 0.0

    def gives_up(one: Consumers) -> None:
        if one.house.clock.elapsed() - began > 120 and not asked:
            asked.append(1)
            rolling.control(one.house.session(), rollout.id, "revert")

    began = house.clock.elapsed()
    asked: list[int] = []
    consumers.acts.append(gives_up)
    ended = driven(house, consumers, rollout)
    assert ended.state is RolloutState.REVERTED
    assert max(consumers.shares) == 10_000
    assert 2000 in consumers.shares


def test_while_it_grows_nobody_publishes_beside_it(house: ConfigHouse) -> None:
    begun(house)
    session = house.session(TOMEK)
    with pytest.raises((Conflict, MLConsoleError)):
        edited(session, "/relevance/en/threshold", 0.4)
    with pytest.raises(Conflict, match="in a rollout already"):
        plan_config_rollout(session, DOC, attended=True)


def test_the_first_version_goes_to_all_at_once(tmp_path: Path) -> None:
    house = config_house(tmp_path)
    configuring.edit(house.session(), DOC, {})
    with pytest.raises(UsageError, match="published for the first time"):
        plan_config_rollout(house.session(), DOC, attended=True)


def test_going_back_with_the_key_ends_a_rollout_that_grows(house: ConfigHouse) -> None:
    consumers = Consumers(house)
    consumers.usual()
    rollout = begun(house)

    def back(one: Consumers) -> None:
        if one.house.published().share == 2000 and not asked:
            asked.append(1)
            rolling.control(one.house.session(), rollout.id, "revert", "enough")

    asked: list[int] = []
    consumers.acts.append(back)
    ended = driven(house, consumers, rollout)
    assert ended.state is RolloutState.REVERTED
    assert house.text() == BODY


@pytest.fixture
def held(tmp_path: Path) -> ConfigHouse:
    """The document says who gets which share, too: v3 75, v4 25."""
    made = config_house(tmp_path, SPLIT, traffic_in=True)
    session = made.session()
    first(session)
    assert changing.run(session, planning.plan_deploy(session, "relevance", "3")).done
    assert changing.run(session, planning.plan_deploy(session, "relevance", "4", share=1000)).done
    return made


def test_a_document_that_holds_shares_goes_to_all_at_once_and_is_watched(held: ConfigHouse) -> None:
    rollout = begun(held)
    assert [stage.name for stage in rollout.stages] == ["100 %", "bake 20 s"]


def test_going_back_leaves_the_shares_that_were_moved_meanwhile(held: ConfigHouse) -> None:
    consumers = Consumers(held)
    consumers.usual()
    rollout = begun(held)

    def moves(one: Consumers) -> None:
        if rolling.find(one.house.session(), rollout.id).state is RolloutState.WAITING and not asked:
            asked.append(1)
            session = one.house.session(TOMEK)
            assert changing.run(session, planning.plan_traffic(session, "relevance", {"v4": 2500})).done
            rolling.control(one.house.session(), rollout.id, "revert", "enough")

    asked: list[int] = []
    consumers.acts.append(moves)
    ended = driven(held, consumers, rollout)
    assert ended.state is RolloutState.REVERTED
    there = held.live()["relevance"]
    assert (there["pl"]["threshold"], there["pl"]["split"]) == (0.48, {"v3": 75, "v4": 25})
    assert configuring.document(held.session(), DOC).outside == ""


def test_shares_that_were_moved_meanwhile_do_not_make_it_publish_again(held: ConfigHouse) -> None:
    consumers = Consumers(held)
    consumers.usual()
    rollout = begun(held)

    def moves(one: Consumers) -> None:
        if rolling.find(one.house.session(), rollout.id).state is RolloutState.WAITING and not asked:
            asked.append(1)
            session = one.house.session(TOMEK)
            assert changing.run(session, planning.plan_traffic(session, "relevance", {"v4": 2500})).done
            rolling.control(one.house.session(), rollout.id, "pause")
        elif asked and rolling.find(one.house.session(), rollout.id).state is RolloutState.PAUSED:
            rolling.control(one.house.session(), rollout.id, "resume")

    asked: list[int] = []
    consumers.acts.append(moves)
    ended = driven(held, consumers, rollout)
    assert ended.state is RolloutState.DONE, ended.why
    there = held.live()["relevance"]
    assert (there["pl"]["threshold"], there["pl"]["split"]) == (0.6, {"v3": 75, "v4": 25})


def test_an_alarm_names_the_publication_that_came_just_before_it(house: ConfigHouse) -> None:
    consumers = Consumers(house)
    consumers.usual(180)
    assert edited(house.session(TOMEK), PL, 0.6).done
    consumers.failing = 0.6
    consumers.usual(60)
    view = consumers.watch.view
    assert view is not None
    triage = view.open_alarms[0].triage
    assert triage.revert_helps
    assert "config models 2 (relevance · pl · threshold) went live" in triage.revert


def test_a_forecast_is_kept_and_proven_or_broken_by_what_comes(house: ConfigHouse) -> None:
    from mlconsole.engine import forecasting

    consumers = Consumers(house, rate=40.0)
    consumers.usual(300)
    assert edited(house.session(), PL, 0.6).done
    view = configuring.document(house.session(), DOC).forecast
    assert view is not None
    assert {row.slice: row.verdict for row in view.rows} == {"en": "open", "de": "open", "pl": "open"}
    for _ in range(30):
        consumers.usual(30)
        forecasting.look_again(house.session(TOMEK))
    view = configuring.document(house.session(), DOC).forecast
    assert view is not None
    assert {row.slice: row.verdict for row in view.rows} == {"en": "not touched", "de": "not touched", "pl": "proven"}
    assert view.over
    assert TARGET == "config:models"
