"""Rollouts, driven whole on the simulator: forward only by an explicit pass, back by themselves, safe when their driver is gone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.conftest import ANNA, TOMEK
from engine.dying import dies
from engine.kit import deploy, revert, shift
from engine.rollout_kit import NAME, Died, World, at_write, breaks, copied_world, gone, once, reached, whole, world
from mlconsole.core.errors import UsageError
from mlconsole.core.rollouts import Control, RolloutState
from mlconsole.engine import changing, conducting, planning, rolling, rolloutplans, rolloutviews
from mlconsole.engine.conducting import Conductor
from mlconsole.plugin.errors import Conflict, Locked, NotAllowed, UnknownName
from mlconsole.plugin.simulator import Fault, FaultKind

BACK = [("traffic", 10.0), ("revert", 0.0)]


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("rollouts")).house.root


@pytest.fixture
def fresh(_template: Path, tmp_path: Path) -> Callable[[], World]:
    """Another house each time, just before a rollout begins."""
    made: list[World] = []

    def make() -> World:
        made.append(copied_world(_template, tmp_path / f"house-{len(made)}"))
        return made[-1]

    return make


@pytest.fixture
def made(fresh: Callable[[], World]) -> World:
    return fresh()


# Forward, and back by itself.


def test_a_good_version_goes_through_all_stages_by_ordinary_changes(made: World) -> None:
    before = made.content()
    rollout = made.begin(reason="better in de")
    assert (rollout.revert_to, rollout.stable, rollout.variant) == (before, ("v3",), "v4")
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE, made.events()
    assert made.kinds_of_releases() == [("traffic", 10.0), ("traffic", 50.0), ("traffic", 100.0)]
    operations = made.house.session().registry.operations("staging", NAME)[:3]
    assert all(one.actor == TOMEK for one in operations), "whoever drives it makes its changes"
    assert ended.release == made.house.session().registry.live_release("staging", NAME).release.number  # type: ignore[union-attr]
    assert set(made.content().names) == {"v3", "v4"}, "the old one stands by"
    assert [row.notice.title.removeprefix("STAGING relevance ") for row in made.notices()][:4] == [
        "v4 at 10 %",
        "v4 at 50 %",
        "v4 at 100 %",
        "v4 has all of it, bakes",
    ]
    assert made.notices()[-1].notice.title.startswith("STAGING relevance v4 is live, done in")
    whole(made)


@pytest.mark.parametrize(
    ("bad", "guard"),
    [
        ({"by_slice": {"language=de": {"refuses": {"*": "no German"}}}}, "errors: "),
        ({"error_rate": 0.5}, "errors: "),
        ({"constant": 0.5}, "identical"),
        ({"milliseconds": 200.0}, "latency: "),
    ],
    ids=["a slice fails", "half of all fail", "collapsed", "slow"],
)
def test_a_bad_version_goes_back_by_itself(made: World, bad: dict[str, Any], guard: str) -> None:
    from mlconsole.plugin.simulator.behaviour import Behaviour

    by_slice = {name: Behaviour(**how) for name, how in bad.pop("by_slice", {}).items()}
    before = made.content()
    number = made.begin(policy="unalarmed").revert_to_release
    made.happens.append(once(reached("waiting"), lambda one: one.house.behaves("4", **bad, by_slice=by_slice)))
    ended = made.drive(seconds=120)
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert guard in ended.why, ended.why
    assert made.content() == before
    assert made.kinds_of_releases() == BACK
    live = made.house.session().registry.live_release("staging", NAME)
    assert live is not None
    assert (ended.release, ended.revert_to_release) == (live.release.number, number)
    assert [row.notice.severity for row in made.notices()] == ["info", "page", "recovered"]
    assert made.events()[-1].text.startswith(f"back at #{number}: v3 100 %; v4 gets no request since ")
    view = rolloutviews.view_of(made.house.session(), ended)
    assert (view.state, view.over, view.controls) == ("reverted", True, ())
    whole(made)


def test_a_version_that_does_not_come_up_fails_and_the_stage_before_stands(made: World) -> None:
    made.begin()
    made.house.behaves("4", fails_to_load="out of memory \x1b[31m")
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.FAILED
    assert "out of memory \\x1b[31m" in ended.why
    assert made.share() == 0
    assert [row.notice.severity for row in made.notices()] == ["page"]
    whole(made)


def test_in_the_bake_guards_still_decide(made: World) -> None:
    made.begin()
    made.happens.append(once(reached("baking"), lambda one: one.house.behaves("4", error_rate=1.0)))
    ended = made.drive()
    assert ended is not None
    assert (ended.state, ended.present.bake) == (RolloutState.REVERTED, True)
    assert made.kinds_of_releases()[-1] == ("revert", 0.0)
    whole(made)


def held(world: World, seconds: float) -> None:
    """So long it changes nothing."""
    began = world.house.clock.elapsed()
    world.happens.append(once(lambda one: one.house.clock.elapsed() - began > seconds, World.stop))
    world.drive()


def test_no_data_holds_and_says_so(made: World) -> None:
    """Trap 6: without traffic nothing passes, and nothing fails."""
    made.begin()
    made.rate = 0
    held(made, 100)
    rollout = made.rollout()
    assert (rollout.state, rollout.stage) == (RolloutState.WAITING, 0)
    view = rolloutviews.view_of(made.house.session(), rollout)
    assert "no request for" in view.why
    assert any("requests: none for" in one for one in view.waits_for)
    made.rate = 60
    made.happens.clear()
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE
    whole(made)


def test_what_is_older_than_the_stage_never_counts(made: World) -> None:
    """Trap 7, and invariant 5: what was asked of the variant before its stage says nothing of it."""
    assert deploy(made.house.session(), "4", share=1000).done
    made.lives(60)
    made.begin()
    made.happens.append(once(reached("waiting"), lambda one: setattr(one, "rate", 0)))
    held(made, 40)
    rollout = made.rollout()
    assert (rollout.state, rollout.stage) == (RolloutState.WAITING, 0), "it has had enough requests before, and few since"
    view = rolloutviews.view_of(made.house.session(), rollout)
    assert not [one for one in view.guards if one.guard == "errors" and one.verdict == "pass"]
    assert max(one.n for one in view.guards if one.guard == "errors") <= 60 * 0.1 * 4


def test_the_time_in_a_stage_does_not_jump_with_the_wall_clock(made: World) -> None:
    made.begin(policy="waits")
    jumped = once(reached("waiting"), lambda one: one.house.clock.jump(3600.0))  # type: ignore[attr-defined]
    made.happens.append(jumped)
    held(made, 100)
    assert (made.rollout().state, made.rollout().stage) == (RolloutState.WAITING, 0)


# Steered.


def test_paused_it_never_promotes_and_still_goes_back(made: World) -> None:
    made.begin()
    made.happens.append(once(reached("waiting"), lambda one: one.ask("pause")))
    held(made, 60)
    rollout = made.rollout()
    assert (rollout.state, rollout.stage) == (RolloutState.PAUSED, 0)
    assert all(one.verdict == "pass" for one in rolloutviews.view_of(made.house.session(), rollout).guards if one.judged)
    assert rollout.why.startswith("paused by anna")
    made.happens.clear()
    made.house.behaves("4", error_rate=1.0)
    ended = made.drive(seconds=120)
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert "STAGING relevance v4: the rollout is paused" in [row.notice.title for row in made.notices()]
    whole(made)


def test_a_moved_slider_pauses_it_and_resumed_it_makes_its_own_stage_anew(made: World) -> None:
    made.begin()
    held(made, 20)
    made.ask("pause")
    held(made, 5)
    session = made.session()
    outcome = changing.run(session, planning.plan_traffic(session, NAME, {"v4": 3000}, reason="by hand"))
    assert outcome.done
    assert made.share() == 30.0
    assert made.rollout().state is RolloutState.PAUSED
    assert "slider" in made.kinds()
    made.ask("resume")
    ended = made.drive(seconds=600)
    assert ended is not None
    assert ended.state is RolloutState.DONE
    assert made.share() == 100.0
    whole(made)


def test_resumed_it_goes_on(made: World) -> None:
    made.begin()
    made.happens += [
        once(reached("waiting"), lambda one: one.ask("pause")),
        once(reached("paused"), lambda one: one.ask("resume")),
    ]
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE
    assert [kind for kind in made.kinds() if kind in ("pause", "resume")] == ["pause", "resume"]
    whole(made)


@pytest.mark.parametrize("control", ["next", "forward"])
def test_passing_over_evidence_wants_a_reason(made: World, control: str) -> None:
    made.begin()
    refused: list[str] = []

    def bare(one: World) -> None:
        with pytest.raises(UsageError, match=r"wants a reason\. Nothing was changed\."):
            one.ask(control)
        refused.append(control)
        one.ask(control, "I saw it myself")

    made.rate = 0
    made.happens.append(once(reached("waiting"), bare))
    made.happens.append(once(lambda one: one.rollout().stage > 0 and one.rollout().state is not RolloutState.SHIFTING, World.stop))
    made.drive(seconds=60)
    assert refused
    assert made.share() == (50 if control == "next" else 100)
    assert made.rollout().state is (RolloutState.WAITING if control == "next" else RolloutState.BAKING)
    assert any(one.kind == control and "I saw it myself" in one.text for one in made.events())


def test_a_person_takes_it_back(made: World) -> None:
    made.begin()
    made.happens.append(once(reached("waiting", 50), lambda one: one.ask("revert", "customers call")))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert ended.why.startswith("reverted by anna")
    assert "customers call" in ended.why
    assert [row.notice.severity for row in made.notices()][-2:] == ["info", "recovered"], "trap 26: told of by hand as well"
    with pytest.raises(Conflict, match="is over"):
        made.ask("resume")
    whole(made)


def test_asked_to_go_back_while_a_stage_is_under_way_it_goes_back_at_once(made: World) -> None:
    made.begin()
    asked = []

    def ask() -> None:
        asked.append(made.rollout().state)
        made.ask("revert")

    # The 6th write is within the change to the first stage.
    with at_write(made, 6, ask, after=True):
        ended = made.drive()
    assert asked == [RolloutState.SHIFTING]
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert made.share() == 0
    whole(made)


def test_what_cannot_be_asked_is_refused_and_changes_nothing(made: World) -> None:
    made.begin()
    held(made, 5)
    with pytest.raises(Conflict, match="can't be asked of it now"):
        made.ask("resume")
    with pytest.raises(UnknownName, match="relevance"):
        rolling.find(made.house.session(), "relevanze")
    made.ask("count shadow")
    made.happens.clear()
    made.happens.append(once(lambda one: "refused" in one.kinds(), World.stop))
    made.drive(seconds=60)
    assert "had no shadow stage" in next(one.text for one in made.events() if one.kind == "refused")


# Others.


def test_an_explicit_revert_elsewhere_makes_it_go_back(made: World) -> None:
    made.begin()
    made.happens.append(once(reached("waiting", 50), lambda one: revert(one.house.session(), to=1)))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert "anna" in ended.why
    assert made.share() == 0
    whole(made)


def test_another_change_supersedes_it_explicitly_and_it_is_told_once(made: World) -> None:
    assert deploy(made.house.session(), "4", share=2000).done
    assert shift(made.house.session(), v4=1000).done
    made.lives(10)
    rollout = made.begin("5")

    def elsewhere(one: World) -> None:
        with pytest.raises(Conflict, match="is in a rollout"):
            shift(one.house.session(), v3=6000, v4=3000, v5=1000)
        revert(one.house.session(), to=2)

    made.happens.append(once(reached("waiting"), elsewhere))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.SUPERSEDED
    assert "superseded by anna" in ended.why
    assert made.share("v4") == 20, "what superseded it stands, and nobody takes that back"
    assert [row.notice.key for row in made.notices()][-1].startswith(f"test:rollout:{rollout.id}:superseded")
    whole(made)


def test_a_second_rollout_is_refused(made: World) -> None:
    made.begin()
    with pytest.raises(Conflict, match="relevance is in a rollout already"):
        made.begin("5")


def test_it_refuses_to_begin_when_nobody_watches(made: World) -> None:
    registry = made.house.session().registry
    row = registry.watcher("staging")
    assert row is not None
    registry.unwatch("staging", row.token)
    session = made.house.session()
    plan = rolloutplans.plan_rollout(session, NAME, "4", policy="short")
    assert plan.watch == "NOBODY"
    with pytest.raises(NotAllowed, match="Nobody would watch this rollout"):
        rolling.begin(session, plan)
    assert registry.rollouts("staging") == []
    attended = rolloutplans.plan_rollout(session, NAME, "4", policy="short", attended=True)
    assert attended.refused == ""


def test_attended_it_is_watched_by_whoever_drives_it(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has to read predictions and alarms: without a guardian that is the process that stays with it."""
    from mlconsole.core.clock import SystemClock
    from mlconsole.engine import guarding

    for name in ("_LOOK", "_BEAT"):
        monkeypatch.setattr(guarding, name, 0.05)
    monkeypatch.setattr(conducting, "_LOOK", 0.05)
    house = copied_world(made.house.root, made.house.root.parent / "attended", clock=SystemClock())
    registry = house.house.session().registry
    row = registry.watcher("staging")
    if row is not None:
        registry.unwatch("staging", row.token)
    house.house.serve(50, 60)
    begun = house.begin(policy="quick", attended=True)
    broken = breaks()

    def meanwhile() -> None:
        house.house.serve(0.2, 300)
        broken(house)

    rolling.attend(house.house.session(), begun.id, house.said.append, meanwhile)
    ended = house.rollout()
    assert ended.state is RolloutState.REVERTED
    watcher = registry.watcher("staging")
    assert watcher is not None
    assert not watcher.alive, "given back at the end"
    whole(house)


# Policies.


def test_slices_go_one_after_the_other_and_one_goes_back_alone(made: World) -> None:
    from mlconsole.plugin.simulator.behaviour import Behaviour

    rollout = made.begin(policy="ordered")
    assert [stage.name for stage in rollout.stages][:4] == ["en 50 %", "en 100 %", "de 50 %", "de 100 %"]
    made.happens.append(once(reached("waiting"), lambda one: one.house.behaves("4", by_slice={"language=de": Behaviour(error_rate=1.0)})))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE, made.events()
    assert "slice back" in made.kinds()
    traffic = made.content().traffic
    assert traffic is not None
    assert traffic.slice_split("language", "de").get("v4", 0) == 0, "German stays with v3"
    assert traffic.slice_split("language", "en").get("v4", 0) == 10_000


def test_shadow_first_and_its_evidence_counts_when_somebody_says_so(made: World) -> None:
    rollout = made.begin(policy="shadowed")
    assert rollout.stages[0].name == "shadow"
    seen: list[float] = []
    made.happens += [
        once(reached("waiting"), lambda one: seen.append(one.share())),
        once(lambda one: one.rollout().stage == 1 and reached("waiting")(one), lambda one: one.ask("count shadow")),
    ]
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE
    assert seen == [0.0], "copies only"
    assert ended.shadow_counts
    traffic = made.content().traffic
    assert traffic is not None
    assert traffic.shadow is None, "trap 16: no mirror is left behind"
    assert "pairs" in rolloutviews.view_of(made.session(), ended).shadow_told, "what the shadow said stays to be read"
    whole(made)


@pytest.mark.parametrize(("policy", "state"), [("late-hold", RolloutState.WAITING), ("late-back", RolloutState.REVERTED)])
def test_a_deadline_holds_or_reverts(made: World, policy: str, state: RolloutState) -> None:
    made.begin(policy=policy)
    held(made, 90)
    rollout = made.rollout()
    assert rollout.state is state
    view = rolloutviews.view_of(made.house.session(), rollout)
    assert "was to be through by" in view.why
    assert made.share() == (10 if state is RolloutState.WAITING else 0)


def freezes(made: World, begin: float, end: float) -> None:
    """Frozen from so many seconds from now."""
    now = made.house.clock.now()
    moments = [(now + timedelta(seconds=one)).isoformat() for one in (begin, end)]
    file = made.house.root / "mlconsole.yaml"
    text = file.read_text()
    line = f'    freeze: [{{from: "{moments[0]}", until: "{moments[1]}", reason: launch}}]\n'
    file.write_text(text.replace("  staging:\n", f"  staging:\n{line}", 1))


def test_a_freeze_holds_promotion_and_never_the_way_back(made: World) -> None:
    made.begin()
    freezes(made, 5, 10_000)
    held(made, 60)
    rollout = made.rollout()
    assert (rollout.state, rollout.stage) == (RolloutState.WAITING, 0)
    assert "frozen until" in rolloutviews.view_of(made.house.session(), rollout).why
    for word in ("next", "forward"):
        with pytest.raises(NotAllowed, match="Frozen until"):
            made.ask(word, "hurry")
    made.ask("pause")
    made.happens.clear()
    made.house.behaves("4", error_rate=1.0)
    ended = made.drive(seconds=120)
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    whole(made)


def test_in_a_freeze_none_begins(made: World) -> None:
    freezes(made, -5, 100)
    session = made.house.session()
    plan = rolloutplans.plan_rollout(session, NAME, "4", policy="short")
    with pytest.raises(NotAllowed, match=r"Frozen until .*launch"):
        rolling.begin(session, plan)
    assert rolloutplans.plan_rollout(session, NAME, "4", policy="short", break_glass="a fix for an outage").refused == ""


@pytest.mark.parametrize("policy", ["dry-guard", "dry"])
def test_dry_run_guards_measure_and_never_revert(made: World, policy: str) -> None:
    made.begin(policy=policy)
    made.happens.append(once(reached("waiting"), lambda one: one.house.behaves("4", error_rate=0.6)))
    made.happens.append(once(lambda one: one.rollout().stage > 0, World.stop))
    held(made, 60)
    rollout = made.rollout()
    assert not rollout.state.terminal
    assert rollout.state is not RolloutState.GOING_BACK
    if policy == "dry-guard":
        assert rollout.stage > 0, "a guard that only informs holds nothing"
    else:
        assert rollout.stage == 0, "a policy that is a dry run holds where it would go back"
        guards = rolloutviews.view_of(made.house.session(), rollout).guards
        assert any(one.verdict == "fail" and one.dry_run for one in guards)


@pytest.mark.parametrize("keep", [False, True])
def test_the_old_variant_is_taken_away_after_the_bake_unless_kept(made: World, keep: bool) -> None:
    made.begin(policy="stops")
    if keep:
        made.happens.append(once(reached("waiting", 100), lambda one: one.ask("keep old")))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE
    assert set(made.content().names) == ({"v3", "v4"} if keep else {"v4"})
    whole(made)


# Interrupted.


def taken_up(made: World) -> None:
    """The former driver is gone; another one takes the rollout up and sees it to its end."""
    gone(made)
    made.house.passes(11)
    registry = made.house.session().registry
    before = made.rollout()
    overdue = before.state in (RolloutState.WAITING, RolloutState.BAKING)
    if overdue:
        made.house.passes(120)
        made.house.serve(100, 5, slices=made.slices)
    stages: list[tuple[int, float]] = []
    made.happens.append(lambda one: stages.append((one.rollout().stage, one.house.clock.elapsed())))
    began = made.house.clock.elapsed()
    if not before.state.terminal:
        ended = made.drive(seconds=200)
        assert ended is not None
    if overdue:
        # Never caught up: the stage's own wait and evidence are seen again, whatever time has passed.
        assert all(stage == before.stage for stage, at in stages if at - began < 2.5), stages
        assert any(one.kind == "taken up" for one in made.events())
    assert made.rollout().state.terminal
    assert registry.unfinished("staging") == []
    whole(made)


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_a_driver_dies_between_any_two_writes(fresh: Callable[[], World], bad: bool) -> None:
    number, ends = 0, Counter[RolloutState]()
    while True:
        number += 1
        made = fresh()
        made.rate = 40
        made.begin(policy="shortest")
        broken = breaks()
        if bad:
            made.happens.append(broken)

        def dead() -> None:
            raise Died

        died = False
        with at_write(made, number, dead, after=bool(number % 2)):
            try:
                made.drive(seconds=200)
            except Died:
                died = True
        made.happens = [broken] if bad else []
        if died:
            taken_up(made)
        ended = made.rollout()
        ends[ended.state] += 1
        assert ended.state is (RolloutState.REVERTED if bad else RolloutState.DONE), (number, made.events())
        shares = [share for kind, share in made.kinds_of_releases() if kind != "revert"]
        assert shares == sorted(shares)
        keys = [row.notice.key for row in made.notices()]
        assert len(keys) == len(set(keys)), keys
        if not died:
            break
    assert number > 10, "not every boundary was met"


@pytest.mark.parametrize("boundary", [3, 8, 14])
def test_a_driver_that_is_killed_is_taken_over_from(made: World, boundary: int) -> None:
    made.begin(policy="quick")
    assert dies(made.house, lambda _: Conductor(made.session(), made.rollout().id).run(), after_commit=boundary)
    made.house.seed += 1000
    taken_up(made)
    assert made.rollout().state is RolloutState.DONE


def test_what_is_over_stays_over(made: World) -> None:
    """Traps 10 and 11."""
    made.begin(policy="quick")
    made.happens.append(breaks())
    made.drive(seconds=120)
    started = len(made.house.sim.world.started())
    with pytest.raises(Conflict, match="is over"):
        made.drive()
    for control in Control:
        with pytest.raises(Conflict, match="is over"):
            made.ask(control, "why not")
    assert len(made.house.sim.world.started()) == started
    whole(made)


# Two.


def test_a_second_conductor_is_refused(made: World) -> None:
    made.begin()
    refused: list[str] = []

    def second(one: World) -> None:
        assert one.conductor is not None
        registry = one.house.session().registry
        driver = registry.rollout_driver(one.rollout().id)
        assert driver is not None
        registry.beat_rollout(one.rollout().id, driver.token)
        with pytest.raises(Locked, match="is driven by tomek"):
            Conductor(one.house.session(), one.rollout().id).run()
        refused.append("second")

    made.happens.append(once(reached("waiting", 50), second))
    ended = made.drive()
    assert refused == ["second"]
    assert ended is not None
    assert ended.state is RolloutState.DONE
    whole(made)


def test_a_driver_that_lost_its_lease_writes_nothing_more(fresh: Callable[[], World], monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen (SIGSTOP) before any of its writes, for longer than its lease, while another takes over: it begins no change and writes
    nothing."""
    monkeypatch.setattr(conducting, "_BEAT", 0.02)
    thawed, genuine = threading.Event(), Conductor._beat

    def beats(self: Conductor) -> None:
        while not thawed.wait(0.02) and not self._stop.is_set():
            pass
        genuine(self)

    monkeypatch.setattr(Conductor, "_beat", beats)
    number = 1  # the first write is taking it
    while True:
        number += 1
        thawed.clear()
        made = fresh()
        made.rate = 40
        made.begin(policy="shortest")
        seen: dict[str, Any] = {}

        def overtaken(made: World = made, seen: dict[str, Any] = seen) -> None:
            made.house.passes(11)
            registry = made.house.session().registry
            seen["token"] = registry.take_rollout(made.rollout().id, ANNA)
            seen.update(state(made))
            thawed.set()

        with at_write(made, number, overtaken, after=False), suppress(Conflict):
            made.drive(seconds=400)
        if not seen:
            break
        after = state(made)
        assert after["rollout"] == seen["rollout"], number
        assert after["events"] == seen["events"], number
        # A change that it had begun before may come to its end: that has a lease of its own.
        assert set(after["operations"]) - set(seen["operations"]) == set(), number
        driver = made.house.session().registry.rollout_driver(made.rollout().id)
        assert driver is not None
        assert (driver.token, driver.holder) == (seen["token"], ANNA)
    assert number > 10


def state(made: World) -> dict[str, Any]:
    registry = made.house.session().registry
    return {
        "rollout": made.rollout(),
        "events": made.events(),
        "operations": [one.id for one in registry.operations("staging", NAME, limit=100)],
    }


# A backend in trouble.


def test_a_backend_that_does_not_answer_is_held_through(made: World) -> None:
    made.begin()
    world = made.house.sim.world
    made.happens.append(once(reached("waiting"), lambda one: world.inject(Fault(FaultKind.THROTTLE, on="serving.describe", times=20))))
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE
    whole(made)


def test_a_way_back_that_does_not_go_at_once_is_tried_until_it_does(made: World) -> None:
    made.begin()
    world = made.house.sim.world
    made.happens += [
        breaks(),
        once(reached("waiting"), lambda one: world.inject(Fault(FaultKind.THROTTLE, on="*.start", times=3))),
    ]
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert made.share() == 0
    whole(made)


def test_going_back_asks_no_guard_any_more(made: World) -> None:
    """Golden queries and actions of a variant that is going away cost time, and nobody wants their answers."""
    made.begin()
    made.happens.append(breaks())
    asked: list[str] = []
    from mlconsole.engine import weighing

    genuine = weighing.Weighing._others

    def others(self: Any, rollout: Any) -> Any:
        asked.append(str(rollout.state))
        return genuine(self, rollout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighing.Weighing, "_others", others)
        made.drive(seconds=120)
    assert asked
    assert "going back" not in asked
