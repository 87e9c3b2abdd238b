"""The backend's own alarms in health, in the guards of rollouts, made for an endpoint, and set off for a drill."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine.conftest import TOMEK
from engine.health_kit import LANGUAGES, PLUGINS, HealthHouse, copied, due, health_house, only
from engine.kit import NAME
from engine.rollout_kit import POLICIES, World, copied_world, once, reached, watched
from mlconsole.core.alarm_rules import AlarmRule, Comparison, Missing
from mlconsole.core.rollouts import RolloutState
from mlconsole.engine import nativealarms, rolloutplans, rolloutviews
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.watching import Watch
from mlconsole.plugin import Context, simulator
from mlconsole.plugin.errors import MLConsoleError, NotAllowed, NotFound, Unavailable, UsageError
from mlconsole.plugin.measuring import AlarmLimits, NativeAlarm, Signal
from mlconsole.tui.frame import watcher_told
from mlconsole.tui.signs import UNICODE


class Scripted:
    """Alarms that lie in a file: name → signal, reason, since, endpoint, variant."""

    def __init__(self, context: Context) -> None:
        self._file = context.root / f"{context.environment}-alarms.json"
        self._clock = context.clock

    def states(self, endpoints: Mapping[str, Sequence[str]]) -> Sequence[NativeAlarm]:
        body = self._read()
        if "raises" in body:
            raise Unavailable(body["raises"])
        return tuple(
            NativeAlarm(
                name,
                Signal(one["signal"]),
                one.get("reason", ""),
                datetime.fromisoformat(one["since"]) if "since" in one else None,
                one.get("endpoint", ""),
                one.get("variant", ""),
            )
            for name, one in body.items()
        )

    def rules(self, endpoint: str, variants: Sequence[str], limits: AlarmLimits) -> Sequence[AlarmRule]:
        how = (Comparison.ABOVE, limits.errors, 60, 3, 2, Missing.GOOD, 0.0, 1.0)
        return tuple(AlarmRule(f"{endpoint}-{name}", "errors", *how, variant=name) for name in variants)

    def create(self, endpoint: str, rule: AlarmRule) -> None:
        body = self._read()
        body[rule.name] = {"signal": "ok", "endpoint": endpoint, "variant": rule.variant, "at": rule.threshold}
        self._file.write_text(json.dumps(body))

    def drill(self, name: str, reason: str) -> None:
        body = self._read()
        if name not in body:
            raise NotFound(f"There is no alarm {name}.")
        body[name] |= {"signal": "alarm", "reason": reason, "since": self._clock.now().isoformat()}
        self._file.write_text(json.dumps(body))

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._file.read_text())) if self._file.exists() else {}


@pytest.fixture(autouse=True)
def _plays_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    plays = replace(simulator.plugin, factories={**simulator.plugin.factories, "alarms": Scripted})
    monkeypatch.setitem(PLUGINS, "simulator", plays)


def bind(house: HealthHouse) -> HealthHouse:
    own = "    alarms: simulator\n    notify: {ops: {kind: told, file: ops.jsonl}}"
    return house.write(
        own, production="    alarms: simulator", endpoints="  relevance: {model: relevance}\n  delays: {model: delay-risk}\n"
    )


def says(house: HealthHouse, environment: str = "staging", **alarms: Any) -> None:
    """How the alarms are from now on: NAME=signal, or NAME={…}; `raises` instead of all."""
    now = house.clock.now().isoformat()
    body: dict[str, Any] = {}
    for name, told in alarms.items():
        whole = told if isinstance(told, dict) or name == "raises" else {"signal": told}
        body[name.replace("_", "-")] = whole if name == "raises" else {"since": now, **whole}
    (house.root / f"{environment}-alarms.json").write_text(json.dumps(body))


@pytest.fixture(scope="module")
def _stood(tmp_path_factory: pytest.TempPathFactory) -> HealthHouse:
    house = health_house(tmp_path_factory.mktemp("alarms"))
    house.usual(600)
    return house


@pytest.fixture
def house(_stood: HealthHouse, tmp_path: Path) -> HealthHouse:
    return bind(copied(_stood, tmp_path / "house"))


def goes_on(house: HealthHouse, watch: HealthWatch, seconds: float) -> Any:
    return house.lives(seconds, watch)


# In health.


def test_an_alarm_of_the_backend_reaches_people_and_closes_when_it_is_ok(house: HealthHouse) -> None:
    watch = house.watch()
    says(house, five_hundreds={"signal": "ok", "endpoint": NAME})
    view = goes_on(house, watch, 40)
    assert view.open_alarms == ()
    assert [(one.name, one.kind, one.ok) for one in view.natives] == [("five-hundreds", "alarm", True)]
    says(house, five_hundreds={"signal": "alarm", "reason": "9 of \x1b[31m10 failed", "endpoint": NAME})
    view = goes_on(house, watch, 40)
    found = only(view)
    assert (found.title, found.endpoints) == ("five-hundreds in ALARM", (NAME,))
    assert view.endpoint(NAME).verdict == "fail"
    assert "\x1b" not in found.findings[0].text
    assert [(severity, "five-hundreds in ALARM" in title) for _, severity, title in due(house)] == [("page", True)]
    says(house, five_hundreds={"signal": "no data", "endpoint": NAME})
    assert only(goes_on(house, watch, 120)).state == "recovering", "no data is not OK"
    says(house, five_hundreds={"signal": "ok", "endpoint": NAME})
    assert goes_on(house, watch, 120).open_alarms == ()


def test_one_that_names_no_endpoint_is_the_environments(house: HealthHouse) -> None:
    says(house, anything="alarm")
    found = only(goes_on(house, house.watch(), 30))
    assert (found.title, found.endpoints) == ("anything in ALARM", ())


def test_alarms_that_can_not_be_read_are_told_and_nothing_is_closed_by_that(house: HealthHouse) -> None:
    watch = house.watch()
    says(house, five_hundreds={"signal": "alarm", "endpoint": NAME})
    assert only(goes_on(house, watch, 40)).state == "firing"
    says(house, raises="down for maintenance")
    view = goes_on(house, watch, 240)
    assert "Alarms of the backend can't be read: down for maintenance" in view.trouble
    assert only(view).state == "recovering"


def test_the_backend_is_asked_every_so_often_and_not_at_each_look(house: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    states = Scripted.states

    def noting(self: Scripted, endpoints: Mapping[str, Sequence[str]]) -> Sequence[NativeAlarm]:
        asked.append(self._clock.elapsed())
        assert dict(endpoints) == {NAME: ("v3",)}
        return states(self, endpoints)

    monkeypatch.setattr(Scripted, "states", noting)
    watch = house.watch()
    for _ in range(40):
        house.passes(2)
        watch.look()
    assert len(asked) == 4


# In a rollout.


@pytest.fixture
def made(_stood: HealthHouse, tmp_path: Path) -> World:
    world = copied_world(_stood.root, tmp_path / "world")
    world.slices = LANGUAGES
    bind(world.house)
    with (world.house.root / "mlconsole.yaml").open("a") as file:
        file.write(POLICIES)
    watched(world)
    return world


def test_one_that_is_set_off_in_a_rollout_takes_it_back(made: World) -> None:
    says(made.house, five_hundreds={"signal": "ok", "endpoint": NAME})

    def fires(one: World) -> None:
        says(one.house, five_hundreds={"signal": "alarm", "reason": "9 of 10 failed", "endpoint": NAME, "variant": "v4"})

    made.happens.append(once(reached("waiting"), fires))
    made.begin("4", policy="waits")
    made.drive()
    rollout = made.rollout()
    assert rollout.state is RolloutState.REVERTED
    assert "five-hundreds in ALARM" in rollout.why


@pytest.mark.parametrize(
    ("alarm", "words"),
    [
        ({"signal": "alarm", "endpoint": NAME}, "was in ALARM before it began"),
        ({"signal": "no data", "endpoint": NAME}, "it has no data"),
        ({"signal": "missing"}, "there is no alarm of that name"),
        (None, "the backend's alarms can't be read: down"),
    ],
)
def test_what_is_not_ok_holds(made: World, alarm: dict[str, Any] | None, words: str) -> None:
    """No reason to go back, and none to go forward."""
    says(made.house, five_hundreds=alarm) if alarm else says(made.house, raises="down")
    made.house.passes(60)
    began = made.house.clock.elapsed()
    made.happens.append(once(lambda one: one.house.clock.elapsed() > began + 120, lambda one: one.stop()))
    made.begin("4", policy="short")
    made.drive()
    rollout = made.rollout()
    assert (str(rollout.state), rollout.present.share) == ("waiting", 1000)
    told = [one.text for one in rolloutviews.shown(made.house.session())[0].guards if one.guard == "alarms"]
    assert words in told[0]


def test_a_plan_and_the_header_say_that_only_the_guardian_takes_shares_back(made: World) -> None:
    """The backend's alarms take nothing back: its weights know no alarms (invariant 6)."""
    says(made.house, five_hundreds={"signal": "ok", "endpoint": NAME}, other={"signal": "no data", "endpoint": NAME})
    plan = rolloutplans.plan_rollout(made.house.session(), NAME, "4", policy="short")
    assert any(note.startswith("guardian only: ") for note in plan.notes)
    snapshot = Watch(made.house.session()).take()
    now = made.house.clock.now()
    assert watcher_told(snapshot, now, UNICODE)[0] == "guardian ● alarms 1/2"
    made.begin("4", policy="short")
    assert watcher_told(Watch(made.house.session()).take(), now, UNICODE)[0] == "guardian only ● alarms 1/2"
    made.house.write()
    assert Watch(made.house.session()).take().guardian_only is False


@pytest.mark.parametrize("other", [{"endpoint": "delays"}, {"endpoint": NAME, "variant": "v3"}])
def test_what_is_about_something_else_does_not_concern_it(made: World, other: dict[str, str]) -> None:
    says(made.house, five_hundreds={"signal": "no data", **other}, fine={"signal": "ok", "endpoint": NAME})
    made.begin("4", policy="short")
    made.drive()
    assert made.rollout().state is RolloutState.DONE


# Making them, and drills.


def test_alarms_are_made_for_each_variant_by_the_limits(house: HealthHouse) -> None:
    session = house.session()
    several = nativealarms.wanted(session, NAME, errors=0.1)
    assert [(one.rule.name, one.rule.threshold, one.there) for one in several] == [("relevance-v3", 0.1, None)]
    nativealarms.create(session, several)
    again = nativealarms.wanted(session, NAME, errors=0.1)
    assert again[0].there is not None
    body = json.loads((house.root / "staging-alarms.json").read_text())
    assert body["relevance-v3"]["at"] == 0.1


def test_one_that_could_never_fire_is_not_made(house: HealthHouse) -> None:
    session = house.session()
    with pytest.raises(UsageError, match="can never fire"):
        nativealarms.create(session, nativealarms.wanted(session, NAME, errors=1.0))
    assert not (house.root / "staging-alarms.json").exists()


def test_a_drill_is_heard_and_never_in_production(house: HealthHouse) -> None:
    says(house, five_hundreds={"signal": "ok", "endpoint": NAME})
    session = house.session(TOMEK)
    nativealarms.drill(session, "five-hundreds")
    told = nativealarms.look(session)
    assert told.alarms is not None
    assert (told.alarms[0].signal, "by tomek" in told.alarms[0].reason) == (Signal.ALARM, True)
    says(house, "production", five_hundreds="ok")
    with pytest.raises(NotAllowed, match="production"):
        nativealarms.drill(house.session(environment="production"), "five-hundreds")
    assert json.loads((house.root / "production-alarms.json").read_text())["five-hundreds"]["signal"] == "ok"


@pytest.mark.parametrize("deed", ["create", "drill"])
def test_read_only_nothing_is_made_or_set_off(house: HealthHouse, deed: str) -> None:
    says(house, five_hundreds="ok")
    session = house.session(read_only=True)
    with pytest.raises(NotAllowed):
        nativealarms.drill(session, "five-hundreds") if deed == "drill" else nativealarms.create(
            session, nativealarms.wanted(session, NAME)
        )
    assert list(json.loads((house.root / "staging-alarms.json").read_text())) == ["five-hundreds"]


def test_without_the_role_it_says_what_to_bind(house: HealthHouse) -> None:
    house.write()
    with pytest.raises(MLConsoleError) as refused:
        nativealarms.drill(house.session(), "five-hundreds")
    assert "alarms:" in refused.value.next
