"""As whom we act at a backend, and until when: no rollout begins whose driver could not take it back at its end."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.conftest import ANNA, TOMEK, House, build
from engine.health_kit import HealthHouse, health_house
from engine.kit import deploy, until
from engine.rollout_kit import NAME, POLICIES, World, copied_world, once, reached, world
from mlconsole.cli import rollout as cli
from mlconsole.core.clock import SystemClock
from mlconsole.core.wording import clock
from mlconsole.engine import endpoints, guarding, rolling, rolloutplans, rolloutviews
from mlconsole.engine.guardian import Guardian
from mlconsole.engine.healthviews import watcher_view
from mlconsole.engine.rolloutplans import RolloutPlan
from mlconsole.engine.session import Session
from mlconsole.engine.views import CallerView
from mlconsole.plugin.errors import AuthFailed, NotAllowed
from mlconsole.plugin.roles import Caller, Identity
from mlconsole.plugin.simulator import Fault, FaultKind, simulated
from mlconsole.plugin.simulator.roles import IdentifiedServing
from mlconsole.registry import WatcherRow

GUARDIAN = Caller("ops-guardian", "4711", "eu-central-1")
OPTIONS = ", variant_seconds: 0.05, traffic_seconds: 0.02, stop_seconds: 0.02, caller: ops-anna, account: '4711', region: eu-central-1"


# Asking.


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = build(tmp_path, caller="ops-anna", account="'4711'", region="eu-central-1")
    made.register("3", "4")
    return made


def test_it_is_told_as_whom_and_until_when(house: House) -> None:
    session = house.session()
    assert session.backend.caller() == Caller("ops-anna", "4711", "eu-central-1", None)
    until_ = house.clock.now() + timedelta(hours=1)
    house.sim.world.credentials_end(until_)
    house.passes(31)
    caller = session.backend.caller()
    assert caller is not None
    assert caller.expires == until_
    assert str(caller) == "ops-anna (4711, eu-central-1)"


def test_it_is_not_asked_all_the_time(house: House) -> None:
    backend = house.session().backend
    for _ in range(20):
        backend.caller()
    asked = [one for one in house.sim.world.calls if one.name == "serving.identity"]
    assert len(asked) == 1
    house.passes(31)
    backend.caller()
    assert len([one for one in house.sim.world.calls if one.name == "serving.identity"]) == 2


def test_silence_forgets_nothing(house: House) -> None:
    backend = house.session().backend
    known = backend.caller()
    house.passes(31)
    house.sim.world.inject(Fault(FaultKind.TIMEOUT_BEFORE_EFFECT, on="serving.identity", times=None))
    assert backend.caller() == known
    assert house.session().backend.caller() is None, "who never heard of it does not know"


def test_a_bug_in_telling_it_keeps_nobody_from_anything(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IdentifiedServing, "identity", lambda self: 1 / 0)
    session = house.session()
    assert session.backend.caller() is None
    assert deploy(session, "3").done


def test_credentials_that_ran_out_are_told_and_seen_anew_at_once(house: House) -> None:
    session = house.session()
    house.sim.world.credentials_end(house.clock.now())
    for call in (session.backend.caller, lambda: session.backend.describe(NAME)):
        with pytest.raises(AuthFailed, match="token expired"):
            call()
    assert session.acting() == ANNA, "nobody is kept from going back by it"
    house.sim.world.credentials_end(None)
    assert session.backend.caller() is not None


def test_most_backends_know_nobody(tmp_path: Path) -> None:
    made = build(tmp_path)
    assert made.session().backend.caller() is None
    assert made.session().acting() == ANNA
    assert not isinstance(made.sim.serving, Identity)
    assert isinstance(simulated(tmp_path / "other", caller="x").serving, Identity)


def test_what_a_backend_says_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(tmp_path, caller="x")
    told = Caller("ops\x1b[31m", "4711\n", "\u202eeu", datetime(2026, 1, 5, 10, 0))  # noqa: DTZ001
    monkeypatch.setattr(IdentifiedServing, "identity", lambda self: told)
    caller = made.session().backend.caller()
    assert caller is not None
    assert str(caller).isprintable()
    assert caller.expires == datetime(2026, 1, 5, 10, 0, tzinfo=UTC), "a time without a zone is UTC"


def test_the_journal_says_as_whom(house: House) -> None:
    session = house.session()
    outcome = deploy(session, "3")
    operation = session.registry.operation(outcome.operation.id)
    assert operation is not None
    assert operation.actor.identity == "ops-anna (4711, eu-central-1)"
    recorded = session.registry.live_release("staging", NAME)
    assert recorded is not None
    assert recorded.release.actor == operation.actor
    house.sim.world.credentials_end(datetime(2099, 1, 5, 18, 4, tzinfo=UTC))
    house.passes(31)
    assert house.session().acting().identity == "ops-anna (4711, eu-central-1), until 2099-01-05 18:04Z"
    assert endpoints.show(session, NAME).name == NAME


# Plans.


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("identified"), POLICIES, options=OPTIONS).house.root


@pytest.fixture
def made(_template: Path, tmp_path: Path) -> World:
    """A house whose requests somebody has seen, so that a plan can tell when it ends."""
    house = copied_world(_template, tmp_path / "house")
    house.lives(4)
    return house


def watched_as(made: World, caller: Caller | None) -> None:
    registry = made.house.session().registry
    row = registry.watcher("staging")
    assert row is not None
    registry.beat("staging", row.token, caller=caller)


def lasting(made: World, seconds: float) -> Caller:
    return Caller("ops-guardian", "4711", "eu-central-1", made.house.clock.now() + timedelta(seconds=seconds))


def plan(made: World, policy: str = "waits", *, attended: bool = False) -> RolloutPlan:
    """10 % for ten minutes, then 100 % and a bake of ten seconds."""
    return rolloutplans.plan_rollout(made.house.session(), NAME, "4", policy=policy, attended=attended)


def at(moment: datetime) -> str:
    return clock(moment, moment)


def test_a_plan_says_as_whom_its_guardian_acts(made: World) -> None:
    watched_as(made, None)
    assert plan(made).watch == f"guardian tomek@bastion-1 (pid {os.getpid()})", "where nobody knows nothing is said"
    watched_as(made, GUARDIAN)
    assert plan(made).watch == "guardian tomek@bastion-1 as ops-guardian (its credentials do not run out)"
    caller = lasting(made, 86_400)
    watched_as(made, caller)
    found = plan(made)
    assert caller.expires is not None
    assert (
        found.watch
        == f"guardian tomek@bastion-1 as ops-guardian (its credentials last until {clock(caller.expires, made.house.clock.now())})"
    )
    assert found.refused == ""


def test_it_refuses_where_the_guardians_credentials_end_before_the_bake(made: World) -> None:
    ends = plan(made).times[-1].ends
    assert ends is not None
    caller = lasting(made, 120)
    watched_as(made, caller)
    found = plan(made)
    assert caller.expires is not None
    assert found.refused.startswith(f"The guardian's credentials end {at(caller.expires)}, the bake ends {at(ends)}. Not started. ")
    assert "mlconsole guardian install" in found.refused
    assert "a shorter bake" in found.refused
    with pytest.raises(NotAllowed, match="The guardian's credentials end"):
        rolling.begin(made.house.session(), found)
    assert made.house.session().registry.claim("staging", NAME) is None
    watched_as(made, Caller("ops-guardian", expires=ends))
    assert plan(made).refused == "", "to the second"
    # One that ran out already drives nothing at all; break-glass is about gates, and helps nothing here.
    watched_as(made, lasting(made, -60))
    glass = rolloutplans.plan_rollout(made.house.session(), NAME, "4", policy="waits", break_glass="it burns")
    assert glass.refused.startswith("The guardian's credentials ran out at ")


def test_an_end_that_nobody_can_tell_is_no_sooner_than_the_waits(made: World) -> None:
    made.house.passes(7200)  # no request for so long that none is to be expected
    watched_as(made, lasting(made, 7200))
    assert plan(made).times[-1].ends is None
    assert plan(made).refused == ""
    watched_as(made, lasting(made, 300))
    assert re.search(r"the bake ends \d\d:\d\d at the earliest\. Not started\.", plan(made).refused)


def test_attended_it_is_about_ones_own_credentials(made: World) -> None:
    registry = made.house.session().registry
    row = registry.watcher("staging")
    assert row is not None
    registry.unwatch("staging", row.token)
    assert plan(made).refused.startswith("Nobody would watch this rollout.")
    found = plan(made, attended=True)
    assert found.watch == "you: keep this open, nobody else watches, as ops-anna (your credentials do not run out)"
    assert found.refused == ""
    made.house.sim.world.credentials_end(made.house.clock.now() + timedelta(seconds=120))
    found = plan(made, attended=True)
    assert found.refused.startswith("Your credentials end ")
    assert "or let a guardian drive it" in found.refused


# While it runs.


def test_a_rollout_says_that_its_drivers_credentials_end_before_it(made: World) -> None:
    watched_as(made, GUARDIAN)
    made.begin(policy="waits")

    def view() -> str:
        return rolloutviews.view_of(made.house.session(), made.rollout()).credentials

    assert view() == ""
    watched_as(made, lasting(made, 120))
    assert re.fullmatch(r"its driver's credentials end \d\d:\d\d, it ends \d\d:\d\d at the earliest", view())
    made.happens.append(once(reached("waiting"), World.stop))
    made.drive(seconds=60)
    watched_as(made, lasting(made, 120))
    made.happens[:] = [once(lambda one: one.house.clock.elapsed() > began + 5, World.stop)]
    began = made.house.clock.elapsed()
    made.drive(seconds=60)
    shown = rolloutviews.view_of(made.house.session(), made.rollout())
    assert re.fullmatch(r"its driver's credentials end \d\d:\d\d, it ends \d\d:\d\d", shown.credentials)
    assert f"  ▲ {shown.credentials}" in cli.told(shown)
    watched_as(made, lasting(made, 86_400))
    assert view() == ""
    watched_as(made, lasting(made, -60))
    assert view().startswith("its driver's credentials ran out at ")
    watched_as(made, None)
    assert view() == "", "nothing is known, and nothing said"


# The guardian.


@contextmanager
def kept(house: HealthHouse) -> Iterator[list[str]]:
    said: list[str] = []
    session: Session = house.session(TOMEK)
    guardian = Guardian([session], said.append)
    thread = threading.Thread(target=guardian.run, daemon=True)
    thread.start()
    try:
        yield said
    finally:
        guardian.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HealthHouse:
    """A house in real time, which a guardian looks at several times a second."""
    monkeypatch.setattr("mlconsole.engine.guardian._SETTINGS", 0.05)
    for name in ("_LOOK", "_BEAT", "_IDENTIFY"):
        monkeypatch.setattr(guarding, name, 0.05)
    monkeypatch.setattr("mlconsole.engine.identifying._AGAIN", 0.1)
    return health_house(tmp_path, clock=SystemClock()).write(options=OPTIONS)


def row_of(house: HealthHouse) -> WatcherRow:
    row = house.session().registry.watcher("staging")
    assert row is not None
    return row


def seen(house: HealthHouse, what: Callable[[WatcherRow], bool], why: str) -> WatcherRow:
    until(lambda: (row := house.session().registry.watcher("staging")) is not None and what(row), why, 30)
    return row_of(house)


def test_a_guardian_writes_as_whom_it_acts_with_its_heartbeat(real: HealthHouse) -> None:
    with kept(real) as said:
        row = seen(real, lambda one: one.caller is not None, "it knows as whom")
        assert row.caller == Caller("ops-anna", "4711", "eu-central-1")
        assert watcher_view(row).caller == CallerView("ops-anna", "4711", "eu-central-1")
        ends = real.clock.now() + timedelta(hours=1)
        real.sim.world.credentials_end(ends)
        row = seen(real, lambda one: one.caller is not None and one.caller.expires == ends, "and until when")
        assert row.problem == ""
        real.sim.world.inject(Fault(FaultKind.AUTH, on="serving.identity", times=None, reason="the role was taken away"))
        row = seen(real, lambda one: "the role was taken away" in one.problem, "it says so")
        assert row.alive
        assert row.caller is not None
        assert row.caller.expires == ends, "until when they held is still known"
        until(lambda: any("the role was taken away" in one for one in said), "in its own words, too")


def test_a_guardian_whose_credentials_ran_out_says_so_and_lives(real: HealthHouse) -> None:
    with kept(real):
        ends = real.clock.now() + timedelta(seconds=0.8)
        real.sim.world.credentials_end(ends)
        seen(real, lambda one: one.caller is not None and one.caller.expires == ends, "it knows until when")
        row = seen(real, lambda one: "credentials ran out at" in one.problem, "they ran out")
        assert row.alive
        real.sim.world.credentials_end(None)
        seen(real, lambda one: one.caller is not None and one.caller.expires is None and "credentials" not in one.problem, "renewed")


def test_one_that_hangs_delays_no_heartbeat(real: HealthHouse) -> None:
    real.sim.world.inject(Fault(FaultKind.HANG, on="serving.identity", times=None))
    try:
        with kept(real):
            first = seen(real, lambda one: one.alive, "it watches")
            seen(real, lambda one: one.beat > first.beat, "and goes on giving signs of life")
    finally:
        real.sim.world.clear_faults()
        real.sim.world.release()
