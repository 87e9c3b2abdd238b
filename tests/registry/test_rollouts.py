"""Rollouts in the registry: one claim on an endpoint, one driver at a time, what is asked in order, and terminal is terminal."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlconsole.core.clock import SystemClock
from mlconsole.core.models import Actor
from mlconsole.core.operations import Operation, OperationState
from mlconsole.core.plans import Plan
from mlconsole.core.policies import CAREFUL
from mlconsole.core.releases import ReleaseKind
from mlconsole.core.rollouts import LEGAL_EXITS, Control, PlannedStage, Rollout, RolloutState
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.errors import AlreadyExists, Conflict, Locked, UnknownName, UsageError
from mlconsole.plugin.roles import Notice
from mlconsole.registry import Registry, Telling, open_registry
from mlconsole.registry.bodies import dump, load
from mlconsole.registry.journal import Journal
from registry.samples import ENV, OLA, START, TOMEK, SetClock, begun, content, plan, processes, release

ANNA = Actor("anna", "bastion-1")
STAGES = tuple(
    PlannedStage(f"{share // 100} %", replace(content("3", "4"), traffic=Traffic({"v3": 10_000 - share, "v4": share})), share, 600, 150)
    for share in (100, 1000, 5000, 10_000)
)
BACK = replace(content("3", "4"), traffic=Traffic({"v3": 10_000, "v4": 0}))


def rollout(rollout_id: str = "r1", endpoint: str = "relevance") -> Rollout:
    return Rollout(rollout_id, ENV, endpoint, CAREFUL, "v4", ("v3",), STAGES, BACK, 1, START, ANNA, reason="fresher data")


def driven(registry: Registry, of: Rollout | None = None) -> tuple[Rollout, int]:
    made = registry.begin_rollout(of or rollout())
    return made, registry.take_rollout(made.id, ANNA)


def at(before: Rollout, state: RolloutState, **more: object) -> Rollout:
    return replace(before, state=state, **more)  # type: ignore[arg-type]


def notice(key: str) -> Notice:
    return Notice(key, f"rollout {key}", (), "info", ENV)


def start(registry: Registry, of: Plan, **how: object) -> Operation:
    lease = registry.take_lease(of.environment, of.scope, OLA, of.id, "")
    try:
        return registry.start_operation(of, OLA, lease, content("3"), None, **how)  # type: ignore[arg-type]
    except BaseException:
        registry.drop(lease)
        raise


def stored(registry: Registry, rollout_id: str = "r1") -> Rollout:
    found = registry.rollout(rollout_id)
    assert found is not None
    return found


REVERT = replace(plan("bacc", kind=ReleaseKind.REVERT), then=BACK)


# the claim


def test_begun_it_is_the_endpoints_claim(registry: Registry) -> None:
    before = registry.revision()
    made = registry.begin_rollout(rollout(), notice=notice("started"), channels=("ops",))
    assert registry.revision() > before
    assert registry.claim(ENV, "relevance") == registry.rollout("r1") == made
    assert registry.claim(ENV, "category") is registry.claim("staging", "relevance") is registry.rollout("r2") is None
    assert registry.unfinished_rollouts(ENV) == registry.rollouts(ENV, "relevance") == [made]
    assert [(one.kind, one.text) for one in registry.rollout_events("r1")] == [
        ("started", 'v3 → v4, 1 %, stage 1 of 4, policy careful, by anna@bastion-1: "fresher data"')
    ]
    assert [(row.channel, row.dedupe) for row in registry.notices(ENV)] == [("ops", "rollout:r1:started")]


def test_a_second_one_is_told_which_runs(registry: Registry) -> None:
    registry.begin_rollout(rollout())
    with pytest.raises(Conflict, match=r"relevance is in a rollout \(v3 → v4, 1 %, stage 1 of 4\) by anna since ") as told:
        registry.begin_rollout(rollout("r2"))
    assert told.value.exit_code == 5
    assert told.value.next.startswith("Pause it, go back, or supersede it: ")
    registry.begin_rollout(rollout("r2", "category"))
    assert [one.id for one in registry.unfinished_rollouts(ENV)] == ["r1", "r2"]
    assert [one.id for one in registry.rollouts(ENV)] == ["r2", "r1"]
    assert [one.id for one in registry.rollouts(ENV, limit=1)] == ["r2"]


def test_it_is_not_begun_amid_a_change_or_from_another_release_or_twice(registry: Registry) -> None:
    lease = begun(registry)
    with pytest.raises(Locked, match="is being changed"):
        registry.begin_rollout(rollout())
    registry.finish("7f3a", OperationState.DONE, lease)
    registry.adopt(release(content("5"), kind=ReleaseKind.KEPT))
    with pytest.raises(Conflict, match="is #2 by now; this rollout was planned from #1"):
        registry.begin_rollout(rollout())
    made, token = driven(registry, replace(rollout(), revert_to_release=2))
    registry.save_rollout(at(made, RolloutState.FAILED), token)
    with pytest.raises(AlreadyExists):
        registry.begin_rollout(replace(rollout(), revert_to_release=2))


def begin(path: str, place: int) -> str:
    with open_registry(Path(path), clock=SystemClock()) as registry:
        try:
            return registry.begin_rollout(rollout(f"r{place}")).id
        except Conflict as error:
            return str(error)


@pytest.mark.parametrize("again", range(3))
def test_of_racing_processes_one_begins(path: Path, again: int) -> None:
    open_registry(path, clock=SystemClock()).close()
    answers = processes(begin, [(str(path), place) for place in range(4)])
    assert sum(one in ("r0", "r1", "r2", "r3") for one in answers) == 1, answers
    assert sum("is in a rollout" in one for one in answers) == 3, answers
    with open_registry(path, clock=SystemClock()) as registry:
        assert len(registry.rollouts(ENV)) == 1


def test_the_file_itself_takes_no_second_claim(registry: Registry) -> None:
    registry.begin_rollout(rollout())
    with closing(sqlite3.connect(registry.path)) as connection, pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute(
            "INSERT INTO rollout (id, environment, endpoint, state, body) SELECT 'r2', environment, endpoint, 'x', '' FROM rollout"
        )


# other changes of an endpoint that has one


def test_no_other_change_begins(registry: Registry) -> None:
    made, _ = driven(registry)
    before = registry.rollout_events("r1")
    with pytest.raises(Conflict, match="relevance is in a rollout") as told:
        start(registry, plan())
    assert "--supersede r1" in told.value.next
    with pytest.raises(Conflict, match="is in a rollout"):
        registry.adopt(release())
    assert registry.operations(ENV) == []
    assert registry.releases(ENV) == []
    assert not registry.plan_used("7f3a")
    assert stored(registry) == made
    assert registry.rollout_events("r1") == before
    assert start(registry, plan("beef", endpoint="category")).rollout == ""


def test_its_own_stages_do_and_history_tells_them_apart(registry: Registry) -> None:
    _, token = driven(registry)
    operation = start(registry, plan(), rollout="r1", driver=token)
    assert operation.rollout == "r1"
    assert registry.operation("7f3a") == operation
    assert registry.releases(ENV)[0].release.rollout == "r1"
    before = dump(operation).replace(',"rollout":"r1"', "")  # as written by the program of before
    assert "rollout" not in before
    assert load(Operation, before) == replace(operation, rollout="")


@pytest.mark.parametrize("driver", [0, 2])
def test_a_stage_wants_the_newest_drivers_token(registry: Registry, driver: int) -> None:
    driven(registry)
    with pytest.raises(Conflict, match="is driven by anna@bastion-1"):
        start(registry, plan(), rollout="r1", driver=driver)
    assert registry.operations(ENV) == []


@pytest.mark.parametrize("state", [RolloutState.WAITING, RolloutState.PAUSED, RolloutState.GOING_BACK])
def test_a_stage_does_not_begin_out_of_turn_but_going_back_does(registry: Registry, state: RolloutState) -> None:
    made, token = driven(registry)
    registry.save_rollout(at(made, state), token)
    with pytest.raises(Conflict, match=f"is {state} by now"):
        start(registry, plan(), rollout="r1", driver=token)
    assert start(registry, REVERT, rollout="r1", driver=token).rollout == "r1"


def test_a_stage_is_of_its_own_endpoint_and_not_after_the_end(registry: Registry) -> None:
    made, token = driven(registry)
    with pytest.raises(Conflict, match="is of relevance in production; this change is of category"):
        start(registry, plan(endpoint="category"), rollout="r1", driver=token)
    registry.save_rollout(at(made, RolloutState.FAILED, why="v4 did not start"), token)
    with pytest.raises(Conflict, match=r"is over since .*: failed \(v4 did not start\)"):
        start(registry, plan(), rollout="r1", driver=token)
    with pytest.raises(UnknownName, match='no rollout "r9"'):
        start(registry, plan(), rollout="r9", driver=token)


def test_who_goes_back_makes_the_rollout_go_back(registry: Registry) -> None:
    made, token = driven(registry)
    waiting = registry.save_rollout(at(made, RolloutState.WAITING), token)
    assert start(registry, REVERT).rollout == ""
    now = stored(registry)
    assert (now.state, now.ended) == (RolloutState.GOING_BACK, None)
    assert "ola@bastion-1" in now.why
    for late in (at(waiting, RolloutState.SHIFTING, stage=1), replace(waiting, attempt=2)):
        with pytest.raises(Conflict, match="can't follow"):
            registry.save_rollout(late, token)
    registry.save_rollout(at(now, RolloutState.REVERTED), token)
    assert registry.claim(ENV, "relevance") is None


def test_going_back_is_never_forbidden_and_elsewhere_takes_its_place(registry: Registry) -> None:
    made, token = driven(registry)
    elsewhere = replace(REVERT, id="e15e", then=content("2"), equals=7)
    registry.save_rollout(at(made, RolloutState.GOING_BACK), token)
    start(registry, elsewhere)
    assert stored(registry).state is RolloutState.GOING_BACK
    made, _ = driven(registry, rollout("r2", "category"))
    start(registry, replace(elsewhere, id="face", endpoint="category", scope="category"))
    assert stored(registry, "r2").state is RolloutState.SUPERSEDED


def test_superseded_in_the_same_transaction(registry: Registry, clock: SetClock) -> None:
    made, token = driven(registry)
    registry.ask_control("r1", Control.PAUSE, OLA)
    with pytest.raises(Conflict, match="is in a rollout"):
        start(registry, plan(), supersedes="another")
    start(registry, plan(), supersedes="r1")
    over = stored(registry)
    assert (over.state, over.ended) == (RolloutState.SUPERSEDED, clock.now())
    assert over.why == "superseded by ola@bastion-1: deploy (change 7f3a)"
    assert registry.rollout_events("r1")[-1].kind == "superseded"
    assert registry.claim(ENV, "relevance") is None
    assert registry.controls("r1") == []
    for late in (lambda: registry.beat_rollout("r1", token), lambda: registry.save_rollout(made, token)):
        with pytest.raises(Conflict, match=r"is over since .*: superseded \(superseded by ola@bastion-1"):
            late()
    driver = registry.rollout_driver("r1")
    assert driver is not None
    assert not driver.alive


TELL = Telling(lambda of, event: replace(notice(str(event[2])), title=str(of.state)), lambda _: ["ops", "mail"])


def told(registry: Registry) -> list[tuple[str, str, str]]:
    return [(row.dedupe, row.channel, row.notice.title) for row in reversed(registry.notices(ENV))]


def test_who_supersedes_it_tells_people_in_the_same_transaction(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    driven(registry)
    with monkeypatch.context() as broken:
        broken.setattr(Journal, "_pending", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            start(registry, plan(), supersedes="r1", tell=TELL)
    assert told(registry) == [], "a change that does not begin tells nobody"
    start(registry, plan(), supersedes="r1", tell=TELL)
    assert told(registry) == [("rollout:r1:superseded:7f3a", name, "superseded") for name in ("ops", "mail")]


def test_who_takes_it_back_tells_people_only_where_it_was_not_going_back(registry: Registry) -> None:
    made, token = driven(registry)
    start(registry, REVERT, tell=TELL)
    assert told(registry) == [(f"rollout:r1:back:{REVERT.id}", name, "going back") for name in ("ops", "mail")]
    made, token = driven(registry, rollout("r2", "category"))
    registry.save_rollout(at(made, RolloutState.GOING_BACK), token)
    start(registry, replace(REVERT, id="face", endpoint="category", scope="category"), tell=TELL)
    assert len(told(registry)) == 2
    assert registry.rollout_events("r2")[-1].key == "back:face"


def test_keeping_what_is_there_tells_as_well(registry: Registry) -> None:
    registry.begin_rollout(rollout())
    registry.adopt(release(kind=ReleaseKind.KEPT), supersedes="r1", tell=TELL)
    assert told(registry) == [("rollout:r1:superseded:kept", name, "superseded") for name in ("ops", "mail")]


def test_one_that_yields_does_not_end_where_somebody_wants_it_back(registry: Registry) -> None:
    made, token = driven(registry)
    waiting = registry.save_rollout(at(made, RolloutState.WAITING), token)
    registry.ask_control("r1", Control.REVERT, OLA)
    with pytest.raises(Conflict, match="asked to go back just now"):
        registry.save_rollout(at(waiting, RolloutState.DONE), token, yields=True)
    assert stored(registry).state is RolloutState.WAITING
    back = registry.save_rollout(at(waiting, RolloutState.GOING_BACK), token)
    assert back.state is RolloutState.GOING_BACK


def test_what_is_over_or_going_back_is_not_superseded(registry: Registry) -> None:
    with pytest.raises(Conflict, match="not in the rollout r1 any more"):
        start(registry, plan(), supersedes="r1")
    made, token = driven(registry)
    registry.save_rollout(at(made, RolloutState.GOING_BACK), token)
    with pytest.raises(Conflict, match="is going back; superseded can't follow"):
        start(registry, plan(), supersedes="r1")
    assert registry.operations(ENV) == []


def test_a_change_that_does_not_begin_supersedes_nothing(registry: Registry) -> None:
    registry.begin_rollout(rollout())
    lease = registry.take_lease(ENV, "relevance", OLA, "7f3a", "")
    registry.drop(lease)
    with pytest.raises(Conflict, match="given up"):
        registry.start_operation(plan(), OLA, lease, content("3"), None, supersedes="r1")
    assert stored(registry).state is RolloutState.SHIFTING


def test_keeping_what_is_there_supersedes_only_when_it_says_so(registry: Registry) -> None:
    registry.begin_rollout(rollout())
    kept = registry.adopt(release(kind=ReleaseKind.KEPT), supersedes="r1")
    assert kept.number == 1
    assert stored(registry).state is RolloutState.SUPERSEDED
    with pytest.raises(Conflict, match="not in the rollout r1 any more"):
        registry.adopt(release(content("5"), kind=ReleaseKind.KEPT), supersedes="r1")


# drivers


def test_one_driver_at_a_time(registry: Registry, clock: SetClock) -> None:
    made, token = driven(registry)
    assert token == 1
    before = registry.revision()
    clock.sleep(9)
    registry.beat_rollout("r1", token)
    assert registry.revision() == before
    clock.sleep(9)
    with pytest.raises(Locked, match=r"is driven by anna@bastion-1 \(pid \d+\) since .* \(alive 9 s ago\)"):
        registry.take_rollout("r1", OLA)
    driver = registry.rollout_driver("r1")
    assert driver is not None
    assert (driver.holder, driver.token, driver.alive, driver.age) == (ANNA, 1, True, 9.0)
    clock.sleep(1)
    assert registry.take_rollout("r1", OLA) == 2
    stale: list[Callable[[], object]] = [
        lambda: registry.beat_rollout("r1", token),
        lambda: registry.save_rollout(at(made, RolloutState.WAITING), token),
        lambda: registry.note_rollout("r1", token, "note", "late"),
    ]
    for write in stale:
        with pytest.raises(Conflict, match="is driven by ola@bastion-1"):
            write()
    assert stored(registry) == made
    assert not registry.drop_rollout("r1", token)
    registry.save_rollout(at(made, RolloutState.WAITING), 2)


def test_dropped_or_dead_it_is_taken_at_once(registry: Registry, monkeypatch: pytest.MonkeyPatch, clock: SetClock) -> None:
    _, token = driven(registry)
    assert registry.drop_rollout("r1", token)
    assert not registry.drop_rollout("r1", token)
    with pytest.raises(Conflict, match="gave it up already"):
        registry.beat_rollout("r1", token)
    assert registry.take_rollout("r1", OLA) == 2
    with monkeypatch.context() as gone:
        gone.setattr("mlconsole.registry.here.is_gone", lambda pid: True)
        assert registry.take_rollout("r1", ANNA) == 3
    with monkeypatch.context() as rebooted:
        rebooted.setattr("mlconsole.registry.here.boot_id", lambda: "another")
        found = registry.rollout_driver("r1")
        assert found is not None
        assert found.dead_because == "the machine was started again since"
        assert registry.take_rollout("r1", ANNA) == 4
    clock.wall += timedelta(days=400)  # a wall clock that jumps kills nobody
    assert registry.take_rollout("r1", ANNA) == 5
    clock.wall -= timedelta(days=900)
    with pytest.raises(Locked):
        registry.take_rollout("r1", OLA)


def test_nobody_drives_what_is_over_or_was_never_there(registry: Registry) -> None:
    made, token = driven(registry)
    registry.save_rollout(at(made, RolloutState.FAILED), token)
    with pytest.raises(Conflict, match="is over"):
        registry.take_rollout("r1", OLA)
    with pytest.raises(UnknownName):
        registry.take_rollout("r9", OLA)
    assert registry.rollout_driver("r9") is None


def drive(path: str, place: int) -> str:
    with open_registry(Path(path), clock=SystemClock()) as registry:
        try:
            token = registry.take_rollout("r1", OLA)
            now = stored(registry)
            registry.save_rollout(at(now, RolloutState.WAITING if now.state is RolloutState.SHIFTING else RolloutState.SHIFTING), token)
        except Conflict as error:
            return type(error).__name__
        return str(token)


def test_racing_drivers_get_rising_tokens(path: Path) -> None:
    with open_registry(path, clock=SystemClock()) as registry:
        registry.begin_rollout(rollout())
    answers = processes(drive, [(str(path), place) for place in range(4)])
    # Who took it may be gone (its process ends) before the next one asks; then that one takes it from the dead.
    taken = sorted(int(one) for one in answers if one.isdigit())
    assert taken == list(range(1, 1 + len(taken))), answers
    assert taken
    assert set(answers) - {str(one) for one in taken} <= {"Locked", "Conflict"}


# states, events, notices


def test_a_transition_is_told_once_for_each_channel(registry: Registry) -> None:
    made, token = driven(registry)
    moved = made
    for _ in range(2):
        for state in (RolloutState.WAITING, RolloutState.SHIFTING):
            event = (state.value, f"1 → 10 %\x1b, {state}", f"stage 1:{state}")
            moved = registry.save_rollout(at(moved, state), token, event, lambda one: notice(one.state.value), lambda told: ("ops", "mail"))
    assert [(one.kind, one.text) for one in registry.rollout_events("r1")][1:] == [
        ("waiting", "1 → 10 %\\x1b, waiting"),
        ("shifting", "1 → 10 %\\x1b, shifting"),
    ]
    assert len(registry.notices(ENV)) == 4
    assert {row.dedupe for row in registry.notices(ENV)} == {"rollout:r1:stage 1:waiting", "rollout:r1:stage 1:shifting"}
    registry.save_rollout(moved, token, ("note", "a", None), notice("x"), ("ops",))
    registry.save_rollout(moved, token, ("note", "b", "k"), lambda one: None, ("ops",))
    assert [one.text for one in registry.rollout_events("r1")][-2:] == ["a", "b"]
    assert registry.notices(ENV)[0].dedupe == "rollout:r1:x"
    assert registry.note_rollout("r1", token, "held", "de", "held:1")
    assert not registry.note_rollout("r1", token, "held", "de", "held:1")


def test_what_is_refused_writes_no_event_and_tells_nobody(registry: Registry) -> None:
    made, token = driven(registry)
    with pytest.raises(Conflict, match="is shifting; done can't follow"):
        registry.save_rollout(at(made, RolloutState.DONE), token, ("done", "", "done"), notice("done"), ("ops",))
    assert len(registry.rollout_events("r1")) == 1
    assert registry.notices(ENV) == []
    with pytest.raises(ValueError, match="revert_to of a rollout"):
        registry.save_rollout(replace(made, revert_to=content("9")), token)


def test_its_end_gives_everything_back(registry: Registry, clock: SetClock) -> None:
    made, token = driven(registry)
    waiting = registry.save_rollout(at(made, RolloutState.WAITING, ended=clock.now()), token)
    assert waiting.ended is None
    asked = registry.ask_control("r1", Control.PAUSE, OLA)
    clock.sleep(60)
    done = registry.save_rollout(at(waiting, RolloutState.DONE), token)
    assert done.ended == clock.now()
    assert registry.controls("r1") == registry.unfinished_rollouts() == []
    assert not registry.control_done(asked.seq, token)
    registry.begin_rollout(rollout("r2"))


SERIAL = count()


@given(path_of=st.lists(st.sampled_from(RolloutState), min_size=1, max_size=8), late=st.sampled_from(RolloutState))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_legal_states_follow_and_terminal_is_terminal(registry: Registry, path_of: list[RolloutState], late: RolloutState) -> None:
    name = f"h{next(SERIAL)}"
    now, token = driven(registry, rollout(name, name))
    for state in path_of:
        legal = not now.state.terminal and (state is now.state or state in LEGAL_EXITS[now.state])
        if legal:
            now = registry.save_rollout(at(now, state), token)
        else:
            with pytest.raises(Conflict):
                registry.save_rollout(at(now, state), token)
        assert stored(registry, name) == now
        assert (registry.claim(ENV, name) is None) == now.state.terminal == (now.ended is not None)
    if now.state.terminal:
        attempts: list[Callable[[], object]] = [
            lambda: registry.save_rollout(at(now, late), token),
            lambda: registry.take_rollout(name, OLA),
            lambda: registry.ask_control(name, Control.REVERT, OLA),
            lambda: start(registry, plan(name, endpoint=name), rollout=name, driver=token),
            lambda: start(registry, plan(name, endpoint=name), supersedes=name),
        ]
        for attempt in attempts:
            with pytest.raises(Conflict):
                attempt()
        start(registry, replace(plan(name, endpoint=name, kind=ReleaseKind.REVERT), then=BACK))
        assert stored(registry, name) == now


# control


def test_what_is_asked_is_read_in_order_and_done_once(registry: Registry, clock: SetClock) -> None:
    made, token = driven(registry)
    waiting = registry.save_rollout(at(made, RolloutState.WAITING), token)
    before = registry.revision()
    first = registry.ask_control("r1", Control.PAUSE, OLA)
    assert registry.revision() > before
    assert registry.ask_control("r1", Control.PAUSE, TOMEK) == first
    clock.sleep(1)
    registry.ask_control("r1", Control.RESUME, TOMEK)  # before the driver looked
    registry.ask_control("r1", Control.PAUSE, TOMEK)
    registry.ask_control("r1", Control.REVERT, OLA, " wrong\x1b ")
    asked = registry.controls("r1")
    assert [one.control for one in asked] == [Control.PAUSE, Control.RESUME, Control.PAUSE, Control.REVERT]
    assert (asked[0].actor, asked[3].reason) == (OLA, "wrong\\x1b")
    with pytest.raises(Conflict, match="is driven by"):
        registry.control_done(first.seq, token + 1)
    assert registry.control_done(first.seq, token)
    assert not registry.control_done(first.seq, token)
    assert not registry.control_done(99, token)
    assert registry.controls("r1") == asked[1:]
    assert [one.done for one in registry.controls("r1", pending=False)] == [clock.now(), None, None, None]
    assert stored(registry) == waiting


def test_who_asked_to_resume_may_pause_again_before_the_driver_looked(registry: Registry) -> None:
    made, token = driven(registry)
    registry.save_rollout(at(made, RolloutState.PAUSED), token)
    with pytest.raises(Conflict, match='is paused: "pause"'):
        registry.ask_control("r1", Control.PAUSE, OLA)
    for control in (Control.RESUME, Control.PAUSE, Control.RESUME):
        registry.ask_control("r1", control, OLA)
    assert [one.control for one in registry.controls("r1")] == [Control.RESUME, Control.PAUSE, Control.RESUME]


def test_what_can_be_asked_depends_on_the_state(registry: Registry) -> None:
    made, token = driven(registry)
    with pytest.raises(Conflict, match='is shifting: "next" can\'t be asked') as told:
        registry.ask_control("r1", Control.NEXT, OLA, "I looked")
    assert told.value.next == "What can be: pause, revert, keep old."
    for control in (Control.NEXT, Control.FORWARD):
        with pytest.raises(UsageError, match="wants a reason"):
            registry.ask_control("r1", control, OLA, "  ")
    going = registry.save_rollout(at(made, RolloutState.GOING_BACK), token)
    with pytest.raises(Conflict, match="is going back"):
        registry.ask_control("r1", Control.PAUSE, OLA)
    registry.save_rollout(at(going, RolloutState.REVERTED, why="errors in de"), token)
    with pytest.raises(Conflict, match=r"is over since .*: reverted \(errors in de\)"):
        registry.ask_control("r1", Control.REVERT, OLA)
    with pytest.raises(UnknownName):
        registry.ask_control("r9", Control.REVERT, OLA)
