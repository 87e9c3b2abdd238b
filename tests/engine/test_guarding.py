"""The guardian: it watches, tells, mends and repairs; it is seen while it lives, missed when it died, and heeds mlconsole.yaml as it is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from engine.conftest import ANNA, TOMEK
from engine.dying import beside, dies
from engine.health_kit import PROBE, HealthHouse, due, health_house, only
from engine.kit import deploy, shift, until, whole
from mlconsole.core.clock import SystemClock
from mlconsole.core.operations import OperationState
from mlconsole.engine import acting, guarding
from mlconsole.engine.alarming import acknowledge, close_by_hand
from mlconsole.engine.guardian import Guardian
from mlconsole.engine.health import look
from mlconsole.engine.notifying import Postman
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import Conflict, NotAllowed
from mlconsole.plugin.roles import Notice
from mlconsole.plugin.simulator import Fault, FaultKind
from mlconsole.registry import OutboxState, WatcherRow, open_registry
from mlconsole.workspace import load


class Kept:
    """A guardian in a thread of its own, and what it says."""

    def __init__(self, sessions: list[Session], again: Callable[[], list[Session]] | None = None) -> None:
        self.said: list[str] = []
        self.guardian = Guardian(sessions, self.said.append, again)
        self.ended: bool | BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.ended = self.guardian.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.ended = error

    def stop(self) -> None:
        self.guardian.stop()
        self.join()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def says(self, text: str) -> None:
        until(lambda: any(text in one for one in self.said), f"{text}: {self.said}", 30)


@contextmanager
def kept(house: HealthHouse, *environments: str, again: Callable[[], list[Session]] | None = None) -> Iterator[Kept]:
    """A guardian that watches; given back at the end."""
    watched = environments or ("staging",)
    keeper = Kept([house.session(TOMEK, one) for one in watched], again)
    for one in watched:
        until(lambda one=one: (row := row_of(house, one)) is not None and row.alive, f"{one} is watched")  # type: ignore[misc]
    try:
        yield keeper
    finally:
        keeper.stop()


def row_of(house: HealthHouse, environment: str = "staging") -> WatcherRow | None:
    return house.session().registry.watcher(environment)


def watcher(house: HealthHouse, environment: str = "staging") -> WatcherRow:
    with open_registry(house.root / ".mlconsole" / "registry.db", clock=house.clock, read_only=True) as registry:
        row = registry.watcher(environment)
    assert row is not None
    return row


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HealthHouse:
    """A house in real time, which a guardian looks at several times a second."""
    monkeypatch.setattr("mlconsole.engine.guardian._SETTINGS", 0.05)
    for name in ("_LOOK", "_BEAT"):
        monkeypatch.setattr(guarding, name, 0.05)
    return health_house(tmp_path, clock=SystemClock())


@pytest.fixture
def house(tmp_path: Path) -> HealthHouse:
    """A house whose time the test sets."""
    return health_house(tmp_path)


def broken(house: HealthHouse) -> None:
    """All requests of the last half minute failed."""
    house.behaves("3", error_rate=1.0)
    house.serve(30, rate=5)


# Who watches.


def test_it_is_seen_while_it_watches_and_says_when_it_ends(real: HealthHouse) -> None:
    broken(real)
    with kept(real) as keeper:
        first = watcher(real)
        assert (first.holder, first.pid, first.channels) == (TOMEK, os.getpid(), ("ops",))
        until(lambda: watcher(real).beat > first.beat, "another sign of life")
        until(lambda: real.heard() != [], "the page is out")
        keeper.says("staging: alarm 1 firing: relevance errors")
        view = look(real.session())
        assert view.watcher.alive
        assert only(view).told == (f"paged ops {real.session().registry.alarm_events(1)[-1].at.astimezone():%H:%M}",)
    assert keeper.ended is True
    row = watcher(real)
    assert (row.alive, row.dead_because) == (False, "it was ended")
    assert [one["severity"] for one in real.heard()] == ["page"]


def test_a_second_one_is_refused(real: HealthHouse) -> None:
    with kept(real):
        token = watcher(real).token
        second = Kept([real.session(ANNA)])
        second.join()
        assert isinstance(second.ended, Conflict)
        assert "staging is watched by tomek@bastion-1" in second.ended.message
        assert "A second one was not started." in second.ended.message
        assert watcher(real).token == token
        assert watcher(real).alive, "the second one must not give back what it never had"


def test_one_that_is_killed_is_missed_and_taken_over_from(real: HealthHouse) -> None:
    pid = beside(real, lambda session: Guardian([session]).run())
    until(lambda: (row := row_of(real)) is not None and row.pid == pid and row.alive, "the child watches")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    row = watcher(real)
    assert (row.alive, row.dead_because, row.ended) == (False, f"its process {pid} is gone", None)
    view = look(real.session(read_only=True))
    assert (view.watcher.alive, view.watcher.trouble) == (False, f"its process {pid} is gone")
    with kept(real):
        assert watcher(real).token == row.token + 1
        assert watcher(real).alive
        assert due(real) == [], "nobody is told of a gap of a moment"


def test_one_that_lost_its_watch_stops_and_takes_nothing_back(real: HealthHouse) -> None:
    with kept(real) as keeper:
        session = real.session()
        session.registry.unwatch("staging", watcher(real).token)
        token = session.registry.watch("staging", ANNA, os.getpid(), every=1e6)
        keeper.join()
        assert keeper.ended is False
        keeper.says("this one stops")
    assert (watcher(real).token, watcher(real).alive) == (token, True)


def test_an_environment_that_hangs_stops_nothing_of_another_one(real: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own sign of life goes on too, and says since when nothing was seen."""
    monkeypatch.setattr(guarding, "_STALE", 0.3)
    real.write(production="    probes: {production: {kind: seen, file: production.probe.json, every: 1}}")
    real.sim.world.inject(Fault(FaultKind.HANG, on="predictions.*", times=None, seconds=60))
    with kept(real, "staging", "production"):
        until(lambda: "the last look was" in watcher(real).problem, "staging says that it sees nothing")
        beat = watcher(real).beat
        until(lambda: watcher(real).beat > beat, "staging gives signs of life")
        assert watcher(real).alive
        (real.root / "production.probe.json").write_text('{"ok": false, "text": "gone"}')
        registry = real.session().registry
        until(lambda: len(registry.alarms("production", open_only=True)) == 1, "production is judged", 30)
        assert watcher(real, "production").problem == ""
        real.sim.world.clear_faults()
        real.sim.world.release()


def test_whoever_may_not_watch_does_not(house: HealthHouse) -> None:
    """Invariant 8: the chokepoint is asked before anything is taken."""
    with pytest.raises(NotAllowed, match="Read only"):
        Guardian([house.session(read_only=True)])
    text = (house.root / "mlconsole.yaml").read_text()
    (house.root / "mlconsole.yaml").write_text(text.replace("  staging:\n", "  staging:\n    read_only: true\n"))
    with pytest.raises(NotAllowed, match="environment staging is `read_only: true`"):
        Guardian([house.session()])
    assert row_of(house) is None


def test_a_bug_in_what_it_does_ends_no_watch(real: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding.HealthWatch, "look", lambda *_: 1 // 0)
    with kept(real):
        until(lambda: "ZeroDivisionError" in watcher(real).problem, "the sign of life says so")
        beat = watcher(real).beat
        until(lambda: watcher(real).beat > beat, "it goes on")


# What it mends and carries out.


def test_an_interrupted_change_is_ended(house: HealthHouse) -> None:
    assert dies(house, lambda session: deploy(session, "4", share=1000), after_commit=6)
    [operation] = house.session().registry.unfinished("staging")
    said: list[str] = []
    [rounds] = Guardian([house.session(TOMEK)], said.append).once()
    assert rounds.trouble == ""
    assert whole(house, operation).state in (OperationState.DONE, OperationState.WENT_BACK)
    assert any(f"change {operation.id} of relevance was interrupted; ending it" in one for one in said)


def test_a_running_change_is_left_alone(real: HealthHouse) -> None:
    real.sim.world.inject(Fault(FaultKind.STUCK))
    from engine.test_two_drivers import stuck

    running = stuck(real)
    with kept(real) as keeper:
        beat = watcher(real).beat
        until(lambda: watcher(real).beat > beat + timedelta(seconds=1.5), "it looked often enough")
        assert not any("was interrupted" in one for one in keeper.said)
        running.stop.press()
        running.join()


def test_an_action_is_carried_out_by_it(real: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlconsole.engine import trusting

    real.write(actions='  mend: {summary: mends, run: ["{python}", "-c", "import os; print(os.getppid())"], safe: true, time_limit: 30}')
    monkeypatch.setenv("XDG_STATE_HOME", str(real.root / "home"))
    trusting.allow(load(real.root))
    with kept(real) as keeper:
        asked = acting.ask(real.session(), "mend")
        done = acting.wait(real.session(), asked.id, 30)
        assert done.state == "done"
        assert done.told.split(" ")[0] == str(os.getpid()), "in the guardian's process, here the test's own"
        keeper.says("staging: mend done")


# Telling.


def page(number: int = 1, severity: str = "page") -> Notice:
    return Notice(f"key:{number}", f"notice {number}", ("a line",), severity, "staging")


def test_two_who_deliver_tell_each_thing_once(real: HealthHouse) -> None:
    registry = real.session().registry
    for number in range(60):
        registry.enqueue("staging", str(number), "ops", page(number))

    def delivers(session: Session) -> None:
        postman = Postman(session)
        while any(row.state is OutboxState.PENDING for row in session.registry.notices("staging", limit=100)):
            postman.deliver()

    pids = [beside(real, delivers) for _ in range(2)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    assert sorted(one["key"] for one in real.heard()) == sorted(f"key:{number}" for number in range(60))


def test_a_channel_that_fails_is_tried_again_less_and_less_often_and_given_up(house: HealthHouse) -> None:
    (house.root / "ops.broken").write_text("Unavailable: it is down \x1b[31m")
    session = house.session()
    broken(house)
    house.watch().look()
    postman = Postman(session)
    waits = []
    for _ in range(12):
        assert postman.deliver() == 0
        [row] = session.registry.notices("staging")
        waits.append((row.next_try - session.clock.now()).total_seconds())
        if row.state is OutboxState.PENDING:
            house.passes(waits[-1] - 0.5)
            assert postman.deliver() == 0
            assert session.registry.notices("staging")[0].attempts == row.attempts, "not before its time"
            house.passes(1)
    assert waits[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert row.state is OutboxState.GIVEN_UP
    assert row.attempts == 12
    assert postman.trouble == "ops: it is down \\x1b[31m"
    assert ("not told", "ops was not reached: ops: it is down \\x1b[31m") in {
        (one.kind, one.text) for one in session.registry.alarm_events(1)
    }
    assert house.heard() == []
    (house.root / "ops.broken").unlink()
    session.registry.enqueue("staging", "next", "ops", page(2))
    assert postman.deliver() == 1
    assert postman.trouble == ""


@pytest.mark.parametrize(("said", "state"), [("Refused: wrong address", "given up"), ("ValueError: its own bug", "pending")])
def test_a_channel_that_refuses_is_not_tried_again(house: HealthHouse, said: str, state: str) -> None:
    (house.root / "ops.broken").write_text(said)
    session = house.session()
    session.registry.enqueue("staging", "1", "ops", page())
    session.registry.enqueue("staging", "2", "gone", page(2))
    Postman(session).deliver()
    assert {row.channel: str(row.state) for row in session.registry.notices("staging")} == {"ops": state, "gone": "given up"}


SECOND = f"""\
    probes: {{{PROBE}}}
    notify:
      ops: {{kind: told, file: ops.jsonl}}
      second: {{kind: told, file: second.jsonl, after: 10}}
"""


@pytest.mark.parametrize("taken", [False, True])
def test_a_second_channel_hears_of_what_nobody_takes(house: HealthHouse, taken: bool) -> None:
    house.write(SECOND)
    broken(house)
    watch, postman = house.watch(), Postman(house.session())
    watch.look()
    postman.deliver()
    assert [one["severity"] for one in house.heard()] == ["page"]
    for _ in range(9):
        house.passes(60)
        house.serve(60, 2)
        watch.look()
        postman.deliver()
    assert house.heard("second") == []
    if taken:
        acknowledge(house.session(), 1, "I look at it")
    for _ in range(4):
        house.passes(60)
        house.serve(60, 2)
        watch.look()
        postman.deliver()
    assert len(only(watch.view).endpoints) == 1
    assert [one["severity"] for one in house.heard("second")] == ([] if taken else ["page"])
    if not taken:
        assert "nobody has taken it for 10 min (paged ops " in house.heard("second")[0]["lines"][0]


# One pass.


def test_one_pass_does_everything_once(house: HealthHouse) -> None:
    broken(house)
    house.usual(30)
    rounds = Guardian([house.session()]).once()
    assert [(one.environment, one.alarms, one.told, one.trouble) for one in rounds] == [("staging", 1, 1, "")]
    assert len(house.heard()) == 1
    assert row_of(house) is None, "it does not stay, and does not say so"
    assert [(one.alarms, one.told) for one in Guardian([house.session()]).once()] == [(1, 0)]


# Nobody watched.


def died(house: HealthHouse) -> WatcherRow:
    """A guardian watched and died without a word, as if its machine lost power; a moment later."""
    pid = beside(house, lambda session: session.registry.watch("staging", TOMEK, os.getpid(), every=2.0))
    os.waitpid(pid, 0)
    return watcher(house)


def begins(house: HealthHouse, who: Callable[[HealthHouse], Session] = lambda house: house.session()) -> list[str]:
    said: list[str] = []
    guard = guarding.Guard(who(house), said.append)
    guard.begin()
    guard.end()
    return said


def test_people_are_told_when_nobody_watched(house: HealthHouse) -> None:
    former = died(house)
    house.passes(3600)
    said = begins(house)
    [(channel, severity, title)] = due(house)
    now = house.clock.now().astimezone()
    assert (channel, severity) == ("ops", "info")
    assert title == f"nobody watched staging from {former.beat.astimezone():%H:%M} to {now:%H:%M}"
    assert any("nobody watched since" in one for one in said)
    [row] = house.session().registry.notices("staging")
    assert any(f"its process {former.pid} is gone" in line for line in row.notice.lines)
    begins(house)
    house.passes(3600)
    begins(house)
    assert len(due(house)) == 1, "those that began since said goodbye"


@pytest.mark.parametrize("seconds", [20, 60])
def test_a_moment_without_a_watcher_is_told_to_nobody(house: HealthHouse, seconds: float) -> None:
    died(house)
    house.passes(seconds)
    begins(house)
    assert due(house) == []


def test_it_is_a_page_when_something_was_open(house: HealthHouse) -> None:
    house.write(SECOND)
    broken(house)
    house.watch().look()
    died(house)
    house.passes(600)
    begins(house)
    told = [(channel, severity) for channel, severity, title in due(house) if title.startswith("nobody watched")]
    assert told == [("ops", "page")], "the second channel hears only of what nobody takes"
    [row] = [row for row in house.session().registry.notices("staging") if row.notice.title.startswith("nobody watched")]
    assert "open: alarm 1, relevance errors" in row.notice.lines
    close_by_hand(house.session(), 1, "for the test")


def test_it_is_a_page_when_a_change_ran_meanwhile(house: HealthHouse) -> None:
    assert deploy(house.session(), "4", share=1000).done
    house.passes(60)
    died(house)
    house.passes(100)
    begins(house)
    assert [severity for _, severity, _ in due(house)] == ["info"], "what was over before"
    died(house)
    house.passes(30)
    assert shift(house.session(), v4=5000).done
    house.passes(100)
    begins(house)
    assert [severity for _, severity, _ in due(house)] == ["info", "page"]


def test_who_is_refused_tells_nobody(house: HealthHouse) -> None:
    """The former one is silent, not dead yet."""
    house.session().registry.watch("staging", TOMEK, os.getpid(), every=100.0)
    house.passes(70)
    with pytest.raises(Conflict):
        guarding.Guard(house.session(), lambda text: None).begin()
    assert due(house) == []


# What mlconsole.yaml says now.


def anew(house: HealthHouse, *environments: str) -> Callable[[], list[Session]]:
    """As the command does it."""

    def sessions() -> list[Session]:
        workspace = load(house.root)
        return [house.session(TOMEK, one.name) for one in workspace.environments.values() if one.watch]

    return sessions


OTHER = f"    probes: {{{PROBE}}}\n    notify: {{ops: {{kind: told, file: ops.jsonl}}, other: {{kind: told, file: other.jsonl}}}}"


def test_what_the_file_says_counts_from_then_on(real: HealthHouse) -> None:
    with kept(real, again=anew(real)) as keeper:
        row = watcher(real)
        real.write(OTHER)
        keeper.says("mlconsole.yaml changed: it counts from now on")
        until(lambda: watcher(real).channels == ("ops", "other"), "the sign of life names the new channel")
        assert (watcher(real).token, watcher(real).since) == (row.token, row.since), "the same watch goes on"
        broken(real)
        until(lambda: real.heard("other") != [], "the new channel is paged", 30)
        assert [one["key"] for one in real.heard("ops")] == [one["key"] for one in real.heard("other")]
        until(lambda: watcher(real, "production").alive, "production wants watching by now")
        text = (real.root / "mlconsole.yaml").read_text()
        (real.root / "mlconsole.yaml").write_text(text.replace("    production: true\n", "    production: true\n    watch: false\n"))
        keeper.says("production: it is not to be watched any more")
        assert not watcher(real, "production").alive
        assert watcher(real).alive


def test_a_file_that_cannot_be_used_leaves_the_former_settings(real: HealthHouse) -> None:
    with kept(real, again=anew(real)) as keeper:
        good = (real.root / "mlconsole.yaml").read_text()
        (real.root / "mlconsole.yaml").write_text(good.replace("predictions: simulator", "predictionz: simulator", 1))
        until(lambda: "mlconsole.yaml:7:" in watcher(real).problem, "the sign of life says file and line")
        assert "predictionz" in watcher(real).problem
        broken(real)
        until(lambda: real.heard() != [], "it watches and tells as before", 30)
        # What only the plugin knows to be wrong is found before it counts, too.
        (real.root / "mlconsole.yaml").write_text(good.replace("file: ops.jsonl", "fill: ops.jsonl"))
        until(lambda: "fill" in watcher(real).problem, "an option of a channel")
        (real.root / "mlconsole.yaml").unlink()
        until(lambda: "fill" not in watcher(real).problem and "the former settings count" in watcher(real).problem, "it is gone")
        assert watcher(real).alive
        (real.root / "mlconsole.yaml").write_text(good)
        until(lambda: watcher(real).problem == "", "all is well again")
        assert len([one for one in keeper.said if "can't be used" in one]) >= 3


def test_what_is_under_way_ends_with_what_the_file_said_before(real: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that runs while the file changes is seen to its end and told."""
    from mlconsole.engine import trusting

    monkeypatch.setenv("XDG_STATE_HOME", str(real.root / "home"))
    (real.root / "waits.py").write_text("import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('went')\n")
    command = '  mend: {summary: mends, run: ["{python}", "waits.py"], safe: true, time_limit: 60}'
    real.write(actions=command)
    trusting.allow(load(real.root))
    with kept(real, again=anew(real)) as keeper:
        asked = acting.ask(real.session(), "mend")
        until(lambda: (run := real.session().registry.run(asked.id)) is not None and run.state == "running", "it runs")
        real.write(OTHER)
        keeper.says("it counts from now on")
        until(lambda: watcher(real).channels == ("ops", "other"), "it counts")
        (real.root / "go").touch()
        done = acting.wait(real.session(), asked.id, 30)
        assert (done.state, done.told.split(" ")[0]) == ("done", "went")


def test_when_nothing_is_to_be_watched_any_more_it_waits(real: HealthHouse) -> None:
    with kept(real, again=anew(real)) as keeper:
        good = (real.root / "mlconsole.yaml").read_text()
        (real.root / "mlconsole.yaml").write_text(good.replace("    serving: simulator\n", "    watch: false\n    serving: simulator\n"))
        keeper.says("staging: it is not to be watched any more")
        assert not watcher(real).alive
        (real.root / "mlconsole.yaml").write_text(good)
        until(lambda: watcher(real).alive, "staging is watched again")
        assert due(real) == [], "it had said goodbye"
