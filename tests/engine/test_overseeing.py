"""While a stage's own change runs, which may take minutes: guards go on, a person's word counts, and evidence stays where it belongs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.kit import until
from engine.rollout_kit import NAME, Happens, World, copied_world, once, reached, whole, world
from mlconsole.core.operations import Cause, Operation, OperationState
from mlconsole.core.rollouts import Decision, GuardResult, Rollout, RolloutState
from mlconsole.core.verdicts import Verdict
from mlconsole.engine import changing, conducting, overseeing, rolling, rolloutviews
from mlconsole.engine.overseeing import Beside
from mlconsole.engine.weighing import Weighed
from mlconsole.plugin.simulator.behaviour import Behaviour

SLOW = 60.0
"""Seconds that the backend takes to move traffic."""


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("overseen")).house.root


@pytest.fixture
def made(_template: Path, tmp_path: Path) -> World:
    """A house whose backend is slow, just before a rollout begins."""
    house = copied_world(_template, tmp_path / "house")
    settings = house.house.root / "mlconsole.yaml"
    settings.write_text(settings.read_text().replace("traffic_seconds: 0.02", f"traffic_seconds: {SLOW:g}"))
    return house


def changes_to(stage: int) -> Callable[[World], bool]:
    """The change to that stage runs."""

    def true(one: World) -> bool:
        rollout = one.rollout()
        running = one.house.session().registry.unfinished("staging")
        return rollout.state is RolloutState.SHIFTING and rollout.stage == stage and bool(running)

    return true


def breaks_in(stage: int, **how: Any) -> Happens:
    """The new version fails while the change to that stage runs."""
    return once(changes_to(stage), lambda one: one.house.behaves("4", **(how or {"error_rate": 1.0})))


def change(made: World, share: float) -> Operation:
    """The rollout's change that was to give the new variant that share."""
    rollout = made.rollout()
    for one in made.house.session().registry.operations("staging", NAME, limit=50):
        traffic = one.plan.then.traffic
        if one.rollout == rollout.id and traffic is not None and traffic.split.get("v4", 0) == share * 100:
            return one
    raise AssertionError(f"no change to {share} %: {made.events()}")


def forward(made: World, operation: Operation) -> float:
    """For how long (s) the change went forward."""
    records = made.house.session().registry.steps(operation.id)
    ended = [one.ended for one in records if not one.back and one.ended is not None]
    return (ended[-1] - operation.started).total_seconds() if ended else 0.0


def test_a_guard_that_fails_takes_the_change_back_and_then_the_rollout(made: World) -> None:
    made.begin()
    made.happens.append(breaks_in(1))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert "errors" in ended.why
    turned = change(made, 50)
    assert (turned.state, turned.cause) == (OperationState.WENT_BACK, Cause.GUARD)
    assert turned.problem == ended.why.rstrip(".")
    assert forward(made, turned) < SLOW / 2, "it was not waited for"
    assert not [one for one in made.events() if one.kind == "waiting" and one.text.startswith("50 %")]
    assert [row.notice.severity for row in made.notices()][-2:] == ["page", "recovered"]
    assert made.share() == 0
    whole(made)


def test_in_a_dry_run_it_goes_on(made: World) -> None:
    made.begin(policy="dry")
    made.happens += [breaks_in(1), once(reached("waiting", 100), World.stop)]
    made.drive(seconds=400)
    assert made.rollout().present.share == 10_000
    assert change(made, 100).state is OperationState.DONE


def test_what_is_seen_meanwhile_belongs_to_the_stage_before(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []
    look = Beside.look

    def looked(self: Beside, rollout: Rollout) -> Weighed | None:
        asked.append((rollout.stage, str(rollout.state)))
        return look(self, rollout)

    monkeypatch.setattr(Beside, "look", looked)
    shown: dict[str, int] = {}

    def sees(one: World) -> None:
        rollout = one.rollout()
        view = rolloutviews.view_of(one.house.session(), rollout)
        n = max((guard.n for guard in view.guards), default=0)
        shown[f"{rollout.state} {rollout.stage}"] = max(n, shown.get(f"{rollout.state} {rollout.stage}", 0))

    made.begin()
    made.happens += [sees, once(reached("waiting", 50), World.stop)]
    made.drive(seconds=400)
    ended = change(made, 50).ended
    began = made.rollout().stage_began
    assert ended is not None
    assert began is not None
    assert began >= ended, "the stage's own evidence begins when its traffic stands"
    assert shown["shifting 0"] == 0, "a variant without traffic is not judged"
    assert set(asked) == {(0, "waiting")}
    assert shown["shifting 1"] > 200, "the guards are seen while the change runs"
    assert shown["waiting 1"] == 0, "and what they said is not shown as the new stage's own"


def test_what_was_seen_while_the_change_ran_is_not_shown_as_the_stages_own(made: World) -> None:
    rollout, session = made.begin(), made.house.session()
    seen = Weighed((GuardResult("errors", Verdict.FAIL, n=30),), 30, 0.0, None, {}, None)

    def shown(state: RolloutState) -> int:
        return len(rolloutviews.view_of(session, replace(rollout, state=state)).guards)

    rolloutviews.write_seen(session, rollout, seen, Decision(None, ""))
    assert (shown(RolloutState.SHIFTING), shown(RolloutState.GOING_BACK), shown(RolloutState.WAITING)) == (1, 1, 0)
    waiting = replace(rollout, state=RolloutState.WAITING, stage_began=session.clock.now())
    rolloutviews.write_seen(session, waiting, seen, Decision(None, ""))
    assert (shown(RolloutState.SHIFTING), shown(RolloutState.GOING_BACK), shown(RolloutState.WAITING)) == (0, 1, 1)


def test_a_slice_that_fails_meanwhile_goes_back_alone(made: World) -> None:
    made.begin(policy="ordered")
    bad = {"by_slice": {"language=de": Behaviour(error_rate=1.0)}}
    made.happens.append(breaks_in(3, **bad))  # while German goes from 50 to 100 %
    ended = made.drive(seconds=1500)
    assert ended is not None
    assert ended.state is RolloutState.DONE, made.events()
    assert made.kinds().count("slice back") == 1
    causes = [one.cause for one in made.house.session().registry.operations("staging", NAME, limit=50) if one.cause is not None]
    assert causes == [Cause.GUARD], "and the way back itself, as slow, was left alone"
    traffic = made.content().traffic
    assert traffic is not None
    assert traffic.slice_split("language", "de").get("v4", 0) == 0
    assert traffic.slice_split("language", "en").get("v4", 0) == 10_000
    whole(made)


def test_a_driver_that_takes_it_up_in_the_change_measures_what_stands(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made.begin()
    shift = conducting.Conductor._shift

    def dies(self: conducting.Conductor, rollout: Rollout) -> Rollout:
        if rollout.stage == 1:
            raise conducting.Lost
        return shift(self, rollout)

    with monkeypatch.context() as first:
        first.setattr(conducting.Conductor, "_shift", dies)
        assert made.drive() is None
    assert (made.rollout().state, made.rollout().stage) == (RolloutState.SHIFTING, 1)
    made.happens.append(breaks_in(1))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert change(made, 50).cause is Cause.GUARD
    assert forward(made, change(made, 50)) < SLOW / 2
    whole(made)


def test_the_deadline_is_heeded_while_a_change_runs(made: World) -> None:
    made.begin(policy="late-back")  # 60 s, of which the first change alone takes all
    settings = made.house.root / "mlconsole.yaml"
    settings.write_text(settings.read_text().replace(f"traffic_seconds: {SLOW:g}", "traffic_seconds: 500"))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert "was to be through by" in ended.why
    assert change(made, 10).cause is Cause.GUARD
    assert forward(made, change(made, 10)) < 70


def test_what_fails_at_the_very_end_of_a_change_counts(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overseeing.Overseer, "look", lambda self: None)  # nobody looks before it stands
    made.begin()
    made.happens.append(breaks_in(1))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert change(made, 50).state is OperationState.DONE
    assert not [one for one in made.events() if one.kind == "waiting" and one.text.startswith("50 %")]
    whole(made)


# A person's word.


@pytest.mark.parametrize("before", [True, False], ids=["just before it begins", "while it runs"])
def test_asked_back_the_change_does_not_go_on(made: World, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    run, asked = changing.run, []

    def asks(one: World) -> None:
        asked.append(True)
        one.inside = True
        one.ask("revert", "customers call")
        one.inside = False

    def wrapped(session: Any, plan: Any, **how: Any) -> Any:
        if before and not asked and made.rollout().stage == 1:
            asks(made)
        return run(session, plan, **how)

    monkeypatch.setattr(changing, "run", wrapped)
    if not before:
        made.happens.append(once(changes_to(1), asks))
    made.begin()
    ended = made.drive()
    assert asked
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert "customers call" in ended.why
    assert change(made, 50).cause is Cause.ASKED
    assert forward(made, change(made, 50)) < 10
    whole(made)


def test_asked_back_while_the_old_variant_is_taken_away_it_goes_back(made: World) -> None:
    settings = made.house.root / "mlconsole.yaml"
    settings.write_text(settings.read_text().replace("stop_seconds: 0.02", "stop_seconds: 30"))

    def removing(one: World) -> bool:
        return any(str(each.plan.kind) == "remove" for each in one.house.session().registry.unfinished("staging"))

    made.begin(policy="stops")
    made.happens.append(once(removing, lambda one: one.ask("revert", "not so fast")))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED, made.events()
    assert "not so fast" in ended.why
    assert made.share("v3") == 100
    whole(made)


# Who asks the guards.


class Slow:
    """Guards that answer when they are let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.asked = 0

    def look(self, rollout: Rollout) -> Weighed:
        self.asked += 1
        assert self.let.wait(30)
        if rollout.reason == "breaks":
            raise RuntimeError("a bug")
        return Weighed((), self.asked, 0.0, None, {}, None)


def test_guards_that_hang_hold_nothing_up_and_are_asked_once(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overseeing, "_WAITS", 0.01)
    rollout, slow = made.begin(), Slow()
    beside = Beside(lambda: slow)  # type: ignore[arg-type,return-value]
    assert beside.look(rollout) is None
    assert beside.look(rollout) is None
    slow.let.set()
    found: list[Weighed] = []

    def answered() -> bool:
        weighed = beside.look(rollout)
        found.extend([weighed] if weighed is not None else [])
        return bool(found)

    until(answered, "they have answered")
    assert found[0].seen == 1


def test_what_was_asked_of_another_stage_is_no_answer(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overseeing, "_WAITS", 0.01)
    rollout, slow = made.begin(), Slow()
    beside = Beside(lambda: slow)  # type: ignore[arg-type,return-value]
    assert beside.look(rollout) is None
    slow.let.set()
    other = replace(rollout, stage=1)
    found: list[int] = []

    def asked() -> bool:
        weighed = beside.look(other)
        found.extend([weighed.seen] if weighed is not None else [])
        return bool(found)

    until(asked, "the other stage is asked")
    assert found == [2], "the first answer is of the stage before, and was dropped"


def test_guards_with_a_bug_take_nothing_back(made: World) -> None:
    rollout, slow = replace(made.begin(), reason="breaks"), Slow()
    slow.let.set()
    beside = Beside(lambda: slow)  # type: ignore[arg-type,return-value]
    until(lambda: beside.look(rollout) is None and slow.asked >= 2, "asked again")


def test_nothing_is_left_running(made: World) -> None:
    made.begin()
    made.happens.append(breaks_in(1))
    with suppress(AssertionError):
        made.drive()
    name = f"guards of {made.rollout().id}"
    until(lambda: not any(one.name == name for one in threading.enumerate()), "its thread ends")
    assert rolling.find(made.house.session(), NAME).state is RolloutState.REVERTED
