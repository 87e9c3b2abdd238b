"""Invariants of design §3 that no single story shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.conftest import ANNA, House, build
from engine.dying import beside
from engine.health_kit import HealthHouse, health_house
from engine.kit import NAME, PLANS, deploy, lines, shift, told, whole
from mlconsole.core.clock import SystemClock
from mlconsole.core.errors import MLConsoleError
from mlconsole.core.operations import OperationState, StepState
from mlconsole.core.steps import Step
from mlconsole.engine import acting, alarming, changing, endpoints, guardian, guarding, health, hosting, notifying, planning, watching
from mlconsole.engine.backend import Backend
from mlconsole.engine.session import Session
from mlconsole.engine.views import Progress, State
from mlconsole.plugin import errors
from mlconsole.plugin.errors import Conflict, NotAllowed
from mlconsole.plugin.roles import Order
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind, Load, simulated_version, variant_of
from mlconsole.registry import open_registry


@pytest.mark.parametrize("change", PLANS)
@pytest.mark.parametrize("goes_back", [False, True])
def test_intent_is_on_disk_before_the_call(
    ready_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch, change: str, goes_back: bool
) -> None:
    """Invariant 1: seen by another process at the moment of each changing call, with the state that was found."""
    house = ready_house(change)
    session = house.session()
    plan = PLANS[change](session)
    start, seen = Backend.start, []

    def watched(self: Backend, endpoint: str, step: Step, order: Order) -> None:
        with open_registry(session.registry.path, clock=SystemClock(), read_only=True) as other:
            records = other.steps(plan.id)
            assert records, "nothing is written"
            assert records[-1].step == step
            assert records[-1].state is StepState.INTENDED
            assert records[-1].found["traffic"], "without the state it found"
            operation = other.operation(plan.id)
            assert operation is not None
            assert not operation.state.terminal
            assert records[-1].back == (operation.state is OperationState.GOING_BACK)
            seen.append(step)
        start(self, endpoint, step, order)

    monkeypatch.setattr(Backend, "start", watched)
    if goes_back:
        house.sim.world.inject(Fault(FaultKind.SILENT_ROLLBACK, on="traffic.start"))
    outcome = changing.run(session, plan)
    assert outcome.done is not goes_back
    assert seen


def test_steps_that_have_worked_are_not_done_again(ready_house: Callable[..., House]) -> None:
    """Invariant 2: described and compared before anything is asked for; somebody was quicker, and nothing is called."""
    house = ready_house("deploy")
    session = house.session()
    plan = PLANS["deploy"](session)
    [start] = [step for step in plan.steps if step.ensures]
    original = session.registry.start_operation

    def begun(*arguments: object, **named: object) -> object:
        house.sim.world.change_outside(NAME, add=start.ensures)
        return original(*arguments, **named)  # type: ignore[arg-type]

    session.registry.start_operation = begun  # type: ignore[method-assign, assignment]
    before = len(house.sim.world.started())
    outcome = changing.run(session, plan)
    assert outcome.done
    assert lines(session, outcome)[0].read_back == "already so"
    assert house.sim.world.started()[before:] == ("set traffic",)


def test_terminal_states_are_terminal(ready_house: Callable[..., House]) -> None:
    """Invariant 5, trap 11: what has ended is neither recovered, nor asked, nor revived."""
    house = ready_house("shift")
    session = house.session()
    stop = changing.Stop()
    stop.press()
    outcome = changing.run(session, PLANS["shift"](session), stop=stop)
    ended = session.registry.operation(outcome.operation.id)
    assert ended is not None
    calls = len(house.sim.world.started())
    again = changing.recover(session, ended)
    assert again.operation.state == "went back"
    assert len(house.sim.world.started()) == calls
    assert session.registry.leases("staging") == []
    assert changing.go_back_now(session, NAME) is None
    with pytest.raises(Conflict, match="at its end already"):
        session.registry.ask(ended.id, changing.Wanted.GO_BACK, ANNA)


def test_desired_reported_and_observed_are_three_columns(ready_house: Callable[..., House]) -> None:
    """Invariant 7, trap 15: nobody asked is *not observed*, not 0; and what is reported may be otherwise than what really happens."""
    house = ready_house("shift")
    session = house.session()
    view = endpoints.show(session, NAME)
    assert [(one.name, one.desired, one.reported, one.observed, one.observed_n) for one in view.variants] == [
        ("v3", 9000, 9000, None, 0),
        ("v4", 1000, 1000, None, 0),
    ]
    house.sim.world.skew(NAME, {"v3": 5000, "v4": 5000})
    house.passes(60)
    house.sim.world.serve(NAME, Load(2000, seconds=30))
    house.sim.world.serve(NAME, Load(500, seconds=30, variant="v4"))
    house.sim.world.serve(NAME, Load(500, seconds=30, variant="v4", probe=True))
    view = endpoints.show(session, NAME)
    assert [(one.desired, one.reported, one.observed_n) for one in view.variants] == [(9000, 9000, 2000), (1000, 1000, 2000)]
    assert view.variants[1].observed == pytest.approx(5000, abs=300)
    assert view.requests == 2500, "who asked for a variant by name is a consumer, but says nothing about the split"


def test_observed_without_predictions_is_not_observed(ready_house: Callable[..., House]) -> None:
    """Invariant 7: neither is it when they cannot be read just now."""
    house = ready_house("shift")
    house.passes(60)
    house.sim.world.serve(NAME, 100)
    house.sim.world.inject(Fault(FaultKind.THROTTLE, on="predictions.read", times=None))
    assert all(one.observed is None for one in endpoints.show(house.session(), NAME).variants)


def test_blind_is_said_and_never_green(ready_house: Callable[..., House]) -> None:
    house = ready_house("shift")
    house.sim.world.inject(Fault(FaultKind.AUTH, on="serving.describe", times=None, reason="The token has expired."))
    view = endpoints.show(house.session(), NAME)
    assert view.state is State.NO_DATA
    assert view.finding == "The token has expired."
    assert all(one.reported is None for one in view.variants)


def test_foreign_text_is_data(house: House) -> None:
    """Invariant 11: whatever a backend says, in the journal, in what is told, in every view."""
    nasty = "\x1b]0;owned\x07\x9b2J\u202egnp.exe\r\n"
    session = house.session()
    deploy(session, "3")
    house.sim.world.behave(simulated_version("relevance", "4"), Behaviour(fails_to_load=nasty))
    house.sim.world.inject(Fault(FaultKind.THROTTLE, on="*.describe", times=200, after=5, reason=nasty))
    outcome = deploy(session, "4", 1000)
    house.sim.world.clear_faults()
    house.sim.world.change_outside(NAME, fail={"v3": nasty})
    house.sim.world.write_log(NAME, "v3", nasty)
    view = endpoints.show(session, NAME)
    _, log = endpoints.logs(session, NAME, "v3", 10)
    texts = [outcome.sentence, view.finding, *(one.reason for one in view.variants), *log]
    texts += [record.problem for record in lines(session, outcome)]
    texts += [progress.text for progress in house.told]
    stored = session.registry.operation(outcome.operation.id)
    assert stored is not None
    texts.append(stored.problem)
    assert any("\\x1b]0;owned" in text for text in texts)
    for text in texts:
        assert not set(text) & set("\x1b\x07\x9b\u202e\r\n"), text


_NEVER = ("oops", "failed to", "are you sure", "traceback", "none")


def test_every_error_says_what_is_and_what_to_do_next(ready_house: Callable[..., House]) -> None:
    """Invariant 12: one sentence for the screen, stderr and JSON, with a code and what to do; never a traceback's words."""
    house = ready_house("shift")
    session = house.session()
    found: list[MLConsoleError] = []
    for wrong in (
        lambda: planning.plan_deploy(session, "relevence", "4"),
        lambda: planning.plan_deploy(session, NAME, "44"),
        lambda: planning.plan_deploy(session, NAME, "4", endpoint="a b"),
        lambda: planning.plan_deploy(session, NAME, "5", name="v3"),
        lambda: planning.plan_deploy(session, NAME, "5", name="not_possible"),
        lambda: planning.plan_traffic(session, NAME, {"v3": 100, "v4": 100}),
        lambda: planning.plan_remove(session, NAME, "v4"),
        lambda: planning.plan_revert(session, NAME, to=7),
        lambda: changing.apply(session, "ffff"),
        lambda: endpoints.show(session, "other"),
        lambda: endpoints.invoke(session, NAME, {}, variant="v9"),
    ):
        with pytest.raises(MLConsoleError) as error:
            wrong()
        found.append(error.value)
    for error_ in found:
        assert error_.message[0].isupper() or error_.message[0] in "\"'#" or error_.message.startswith((NAME, "v")), error_.message
        assert error_.message.endswith((".", "?")), error_.message
        assert not any(word in error_.message.lower() for word in ("oops", "failed to", "are you sure", "traceback", "none")), (
            error_.message
        )
        assert error_.code != "error"
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert kind.code != "error" or kind is MLConsoleError
        assert kind.exit_code in (1, 2, 4, 5, 6, 7, 8)


def test_the_revert_target_is_stored_when_the_change_starts(ready_house: Callable[..., House]) -> None:
    """Trap 17: it is read from the operation, and never worked out again from a history that has moved on."""
    house = ready_house("deploy")
    session = house.session()
    outcome = changing.run(session, PLANS["deploy"](session))
    operation = session.registry.operation(outcome.operation.id)
    assert operation is not None
    assert operation.revert_to_release == 2
    assert operation.revert_to == session.registry.release("staging", NAME, 2).release.content  # type: ignore[union-attr]
    assert told(session)[-1][0] == 3


def test_a_revert_target_stays_where_it_can_be_gone_back_to(ready_house: Callable[..., House]) -> None:
    """Trap 3: what still answers, or gets copies, is not removed; and what is removed can be brought up again from its release."""
    house = ready_house("shift")
    session = house.session()
    with pytest.raises(MLConsoleError, match=r"v4 still answers requests \(10 % of all\)\. Nothing was removed"):
        planning.plan_remove(session, NAME, "v4")
    with pytest.raises(MLConsoleError, match="v3 still answers"):
        planning.plan_remove(session, NAME, "v3")
    assert shift(session, v4=10_000).done
    plan = planning.plan_remove(session, NAME, "v3")
    assert plan.notes == ("v3 is what answers in #2, where going back leads now. Without it, that has to start it again first.",)
    assert plan.confirm == "v3"
    assert changing.run(session, plan).done
    assert changing.run(session, planning.plan_revert(session, NAME, to=2)).done


def test_nothing_is_silent_for_long(ready_house: Callable[..., House]) -> None:
    """Whoever waits is told for what, and how long at most."""
    house = ready_house("shift")
    session = house.session()
    house.sim.world.inject(Fault(FaultKind.STUCK))
    changing.run(session, PLANS["shift"](session))
    waiting = [progress for progress in house.told if progress.kind == "waiting"]
    assert waiting
    assert waiting[0].text.startswith("set traffic v3 75 %, v4 25 %: share of v3: wanted 75 %, found 90 %")
    assert waiting[0].text.endswith("at most 60 s)")
    gaps = [(after.at - before.at).total_seconds() for before, after in zip(house.told, house.told[1:], strict=False)]
    assert max(gaps) <= 10


def test_the_whole_release_is_read_back_and_not_only_its_steps(ready_house: Callable[..., House]) -> None:
    """Invariant 3: every step was seen to work, and yet the live state is not the release."""
    house = ready_house("shift")
    session = house.session()
    plan = PLANS["shift"](session)

    def meddle(progress: Progress) -> None:
        if progress.text == "set traffic v3 75 %, v4 25 %: v3 75 % v4 25 %":
            house.sim.world.change_outside(NAME, add=[variant_of(simulated_version("relevance", "9"))])

    session._tell = meddle
    outcome = changing.run(session, plan)
    assert not outcome.done
    assert "the live state is not what was asked for: variant v9: wanted none, found ready" in outcome.sentence
    whole(house, plan.id)


# Health.


@pytest.fixture
def healthy(tmp_path: Path) -> HealthHouse:
    """A house in which health is looked at, with alarm 1 open."""
    house = health_house(tmp_path)
    house.behaves("3", error_rate=1.0)
    house.passes(30)
    house.serve(30)
    assert [one.number for one in house.watch().look().open_alarms] == [1]
    return house


def test_someone_is_watching_or_every_view_says_that_nobody_is(healthy: HealthHouse) -> None:
    """Invariant 6: never begun, alive, ended, silent, killed; a command, the console's snapshots (also while nothing else changes)."""
    console = watching.Watch(healthy.session())
    reader = watching.Watch(healthy.session(read_only=True))

    def told() -> set[bool]:
        healthy.passes(20)  # longer than a quiet console waits between two looks at health
        views = [health.look(healthy.session(read_only=True)).watcher, endpoints.whole(healthy.session(read_only=True)).watcher]
        for watch in (console, reader):
            for _ in range(2):
                views.append(watch.take().status.watcher)
        return {one.alive for one in views}

    registry = healthy.session().registry
    assert told() == {False}
    token = registry.watch("staging", ANNA, os.getpid(), every=100.0)
    assert told() == {True}
    registry.unwatch("staging", token)
    assert told() == {False}
    registry.watch("staging", ANNA, os.getpid(), every=2.0)
    healthy.passes(60)
    assert told() == {False}, "it is there, and gives no sign of life"
    pid = beside(healthy, lambda session: session.registry.watch("staging", ANNA, os.getpid(), every=1e6))
    os.waitpid(pid, 0)
    assert told() == {False}, "it promised much, and is gone"


def test_a_console_in_which_nothing_moves_sees_a_watcher_die(tmp_path: Path) -> None:
    """Invariant 6: no endpoint, no probe, nothing written; only the signs of life end."""
    house = build(tmp_path)
    console = watching.Watch(house.session(read_only=True))
    house.session().registry.watch("staging", ANNA, os.getpid(), every=2.0)
    for _ in range(3):
        assert console.take().status.watcher.alive
        house.passes(4)
    house.passes(12)
    assert not console.take().status.watcher.alive


@pytest.mark.parametrize(
    "deed",
    [
        lambda session: alarming.acknowledge(session, 1, "x"),
        lambda session: alarming.close_by_hand(session, 1, "x"),
        lambda session: acting.ask(session, "mend"),
        acting.carry_out_asked,
        lambda session: notifying.try_channel(session, "ops"),
        lambda session: guarding.Guard(session, print),
        lambda session: guardian.Guardian([session]),
        lambda session: hosting.start(session, []),
        lambda session: hosting.stop(session, 1 << 30),
    ],
    ids=["acknowledge", "close", "ask", "carry out", "trial", "guard", "guardian", "start", "stop"],
)
@pytest.mark.parametrize("by", ["session", "environment"])
def test_whoever_may_only_look_does_nothing_about_health(healthy: HealthHouse, deed: Callable[[Session], object], by: str) -> None:
    """Invariant 8: each of them asks the chokepoint before anything else, and nothing has happened."""
    healthy.write(actions='  mend: {run: ["true"]}')
    if by == "environment":
        text = (healthy.root / "mlconsole.yaml").read_text()
        (healthy.root / "mlconsole.yaml").write_text(text.replace("  staging:\n", "  staging:\n    read_only: true\n"))
    before = everything(healthy)
    with pytest.raises(NotAllowed, match="Read only"):
        deed(healthy.session(read_only=by == "session"))
    assert everything(healthy) == before
    assert healthy.heard() == []


def everything(house: HealthHouse) -> object:
    """All that is in the registry about health."""
    with open_registry(house.root / ".mlconsole" / "registry.db", clock=house.clock, read_only=True) as registry:
        return (
            registry.alarms("staging"),
            registry.alarm_events(1),
            registry.notices("staging"),
            registry.runs("staging"),
            registry.watcher("staging"),
        )
