"""Health on a simulated backend: what is found, what is not, how it ends, what is told of it; and whoever else looks at the same time."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.conftest import TOMEK
from engine.health_kit import ENDPOINTS, LANGUAGES, PROBE, HealthHouse, copied, due, health_house, only
from engine.kit import NAME, deploy, shadow, shift, until
from mlconsole.core.alarms import Alarm, AlarmState, Finding
from mlconsole.core.health import Answer, EndpointHealth, Figures, Question, SliceHealth
from mlconsole.core.summaries import Summary
from mlconsole.core.text import neutralise
from mlconsole.core.verdicts import Verdict
from mlconsole.engine import changing, endpoints, healthviews, planning
from mlconsole.engine.alarming import acknowledge, affected, alarm_of, alarms_of, close_by_hand
from mlconsole.engine.backend import Backend
from mlconsole.engine.calls import Calls
from mlconsole.engine.health import HealthWatch, look
from mlconsole.engine.observing import tail
from mlconsole.engine.views import AlarmView, HealthView, State
from mlconsole.plugin.errors import NotAllowed, Unavailable, UnknownName, UsageError
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind
from mlconsole.registry import WatcherRow

TWO_CHANNELS = f"""\
    probes: {{{PROBE}}}
    notify:
      ops: {{kind: told, file: ops.jsonl}}
      pager: {{kind: told, file: pager.jsonl, only: [page]}}
"""


@pytest.fixture(scope="module")
def _usual(tmp_path_factory: pytest.TempPathFactory) -> HealthHouse:
    house = health_house(tmp_path_factory.mktemp("usual"))
    house.write(TWO_CHANNELS)
    house.usual()
    return house


@pytest.fixture
def house(_usual: HealthHouse, tmp_path: Path) -> HealthHouse:
    """Nine minutes of usual traffic, three languages, nobody has looked yet."""
    return copied(_usual, tmp_path / "house")


@pytest.fixture
def fresh(tmp_path: Path) -> HealthHouse:
    """v3 serves, and nobody has asked it anything."""
    return health_house(tmp_path)


def question(view: HealthView | None, name: str, slice_: str = "", endpoint: str = NAME) -> str:
    """The verdict on one question of one slice over all variants."""
    assert view is not None
    there = view.endpoint(endpoint)
    assert there is not None
    found = [one.verdict for one in there.answers if one.question == name and one.slice == slice_ and not one.variant]
    return found[0] if found else "not asked"


def slices_of(alarm: AlarmView, name: str) -> set[str]:
    return {each for one in alarm.findings if one.question == name for each in one.slices}


# What is found.


def test_usual_traffic_is_well_and_nobody_is_told(house: HealthHouse) -> None:
    watch = house.watch()
    view = house.lives(180, watch)
    assert view is not None
    there = view.endpoint(NAME)
    assert there is not None
    assert (there.verdict, there.title, there.alarm) == ("pass", "ok", None)
    assert {one.slice: one.verdict for one in there.slices if one.slice} == {f"language={each}": "pass" for each in LANGUAGES["language"]}
    assert view.alarms == ()
    assert view.trouble == ""
    assert due(house) == []
    assert [trend.name for trend in there.trends][:1] == ["same output"]
    status = endpoints.whole(house.session())
    assert [(one.state, one.finding) for one in status.endpoints if one.name == NAME] == [(State.OK, "")]


def test_identical_predictions_are_one_alarm_and_one_page_for_each_channel(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(30, watch)
    began = house.clock.now()
    house.behaves("3", constant=0.5)
    view = house.lives(120, watch)
    alarm = only(view)
    assert (alarm.question, alarm.title, alarm.endpoints) == ("identical", "ALL PREDICTIONS IDENTICAL", (NAME,))
    assert abs((alarm.since - began).total_seconds()) <= 10
    assert (alarm.opened - began).total_seconds() <= 60
    pages = [(channel, severity) for channel, severity, _ in due(house)]
    assert sorted(pages) == [("ops", "page"), ("pager", "page")]
    assert "IDENTICAL" in due(house)[0][2]
    there = endpoints.whole(house.session()).endpoints[0]
    assert there.state is State.FAILING
    assert there.next == "mlconsole health alarm 1"


def test_a_language_that_fails_is_named_and_the_others_are_well(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", by_slice={"language=de": Behaviour(error_rate=1.0)})
    view = house.lives(60, watch)
    alarm = only(view)
    assert (alarm.question, alarm.title) == ("errors", "errors in de")
    assert slices_of(alarm, "errors") - {""} == {"language=de"}
    assert question(view, "errors", "language=de") == "fail"
    assert question(view, "errors", "language=en") == "pass"
    assert dict(alarm.triage.lines)["languages"].startswith("de ✖")


def test_a_language_that_falls_silent(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    view = house.lives(90, watch, slices={"language": {"en": 0.6, "pl": 0.15}})
    alarm = only(view)
    assert (alarm.question, alarm.title) == ("silent", "de fell silent")
    assert slices_of(alarm, "silent") == {"language=de"}
    assert alarm.triage.effect == 0


def test_a_slow_version_wants_looking_at_and_does_not_fail(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", milliseconds=400.0)
    alarm = only(house.lives(90, watch))
    assert alarm.question == "latency"
    there = endpoints.whole(house.session()).endpoints[0]
    assert there.state is State.LOOK
    assert "slow" in there.finding


def test_the_same_input_again_says_nothing(fresh: HealthHouse) -> None:
    fresh.usual(slices={})
    watch = fresh.watch()
    fresh.lives(20, watch, slices={})
    view = None
    for _ in range(12):
        fresh.passes(10)
        fresh.seed = 700  # the very same request all the time
        fresh.serve(distinct=1, slices={})
        view = watch.look()
    assert view is not None
    assert view.alarms == ()
    assert question(view, "identical") in ("pass", "inconclusive")
    fresh.passes(1500)
    fresh.serve(300, distinct=1, slices={})
    assert question(watch.look(), "identical") == "inconclusive"


def test_no_request_is_no_data_and_idle_not_blind(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    view = house.lives(60, watch, rate=0)
    assert view is not None
    there = view.endpoint(NAME)
    assert there is not None
    assert there.verdict == "no_data"
    assert view.alarms == ()
    status = endpoints.whole(house.session())
    assert [(one.state, one.idle) for one in status.endpoints] == [(State.NO_DATA, True)]
    assert "no request for" in status.endpoints[0].finding
    assert not status.blind


def test_an_endpoint_that_nobody_ever_asked_has_no_data(fresh: HealthHouse) -> None:
    fresh.passes(60)
    view = fresh.watch().look()
    assert [(one.endpoint, one.verdict) for one in view.endpoints] == [(NAME, "no_data")]
    assert view.alarms == ()


# How it ends.


def recovering(house: HealthHouse) -> tuple[HealthWatch, AlarmView]:
    """All requests failed for a while; now they are answered again, and nothing is found any more. No German ones come."""
    house.write(TWO_CHANNELS, endpoints=ENDPOINTS.replace("delays:", "delays:").replace('["3"]}]}', '["3"]}], health: {silent: false}}'))
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", error_rate=1.0)
    assert only(house.lives(60, watch)).state == "firing"
    house.behaves("3")
    view = house.lives(30, watch, slices={"language": {"en": 0.6, "pl": 0.15}})
    for _ in range(30):
        if only(view).state == "recovering":
            break
        view = house.lives(10, watch, slices={"language": {"en": 0.6, "pl": 0.15}})
    alarm = only(view)
    assert alarm.state == "recovering"
    return watch, alarm


def proven(alarm: AlarmView) -> dict[str, int]:
    return {name: count for one in alarm.findings if one.question == "errors" for name, count in one.proven.items()}


def test_an_alarm_is_closed_only_when_each_slice_is_proven_well(house: HealthHouse) -> None:
    watch, _ = recovering(house)
    alarm = only(house.lives(300, watch, slices={"language": {"en": 0.6, "pl": 0.15}}))
    assert alarm.state == "recovering", "five minutes without a finding close nothing that is not proven"
    told = proven(alarm)
    assert told["language=en"] >= 30
    assert told["language=pl"] >= 30
    assert told["language=de"] == 0
    status = endpoints.whole(house.session())
    assert status.endpoints[0].state is State.LOOK
    assert status.endpoints[0].finding.startswith("recovering, ")
    alarm = only(house.lives(10, watch, rate=10))
    assert 0 < proven(alarm)["language=de"] < 30
    view = house.lives(60, watch)
    assert view is not None
    assert view.open_alarms == ()
    closed = view.alarms[0]
    assert (closed.state, closed.closed_by) == ("closed", "")
    assert proven(closed)["language=de"] >= 30
    assert [severity for channel, severity, _ in due(house) if channel == "ops"] == ["page", "info", "recovered"]
    assert [severity for channel, severity, _ in due(house) if channel == "pager"] == ["page"]


def test_what_is_closed_stays_closed(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", error_rate=1.0)
    assert only(house.lives(60, watch)).number == 1
    close_by_hand(house.session(), 1, "I know")
    alarm = only(house.lives(30, watch))
    assert alarm.number == 2, "it is found still: that is another alarm, and the first stays closed"
    first = next(one for one in alarms_of(house.session()) if one.number == 1)
    assert (first.state, first.closed_by) == ("closed", f"{house.session().actor}: I know")
    with pytest.raises(UsageError, match=r"Alarm 1 is closed already \(by anna@bastion-1: I know\)\. Nothing was changed\."):
        close_by_hand(house.session(), 1, "again")
    with pytest.raises(UsageError, match="Alarm 1 is closed already"):
        acknowledge(house.session(), 1, "me")


def test_somebody_has_it(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", error_rate=1.0)
    house.lives(60, watch)
    view = acknowledge(house.session(TOMEK), 1, "refilling")
    assert (view.acknowledged_by, view.acknowledged_text) == ("tomek@bastion-1", "refilling")
    alarm = only(house.lives(20, watch))
    assert alarm.acknowledged_by == "tomek@bastion-1"
    assert "acknowledged" in {kind for kind, _ in [(one.kind, 0) for one in house.session().registry.alarm_events(1)]}
    told = due(house)
    assert [title for channel, severity, title in told if channel == "ops" and severity == "info"] != []
    assert [severity for channel, severity, _ in told if channel == "pager"] == ["page"], "only pages go there"
    again = acknowledge(house.session(), 1, "I take over")
    assert again.acknowledged_by == "anna@bastion-1"
    assert any("taken over from tomek@bastion-1" in text for _, text in again.events)
    with pytest.raises(UnknownName, match=r"There is no alarm 7 in staging\. Nothing was changed\. Did you mean 1\?"):
        acknowledge(house.session(), 7, "x")
    with pytest.raises(UsageError, match="needs a reason"):
        close_by_hand(house.session(), 1, " ")


# Which predictions were wrong, what would help.


def test_affected_are_exactly_the_wrong_ones(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", by_slice={"language=de": Behaviour(error_rate=1.0)})
    house.lives(60, watch)
    house.behaves("3")
    house.lives(60, watch)
    wrong = {one.request_id for one in house.sim.world.observations() if one.status >= 400}
    assert len(wrong) > 30
    rows = list(affected(house.session(), 1))
    told = [row["request_id"] for row in rows]
    assert sorted(told) == sorted(wrong)
    assert {row["slice_language"] for row in rows} == {"de"}
    with pytest.raises(UnknownName, match="There is no alarm 9 in staging"):
        affected(house.session(), 9)


def test_affected_of_identical_predictions(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", constant=0.5)
    house.lives(60, watch)
    wrong = {one.request_id for one in house.sim.world.observations() if one.score == 0.5}
    assert {row["request_id"] for row in affected(house.session(), 1)} == wrong
    assert alarm_of(house.session(), 1).triage.effect == pytest.approx(len(wrong), abs=10)


def test_affected_of_a_slow_version_are_those_that_were_slow(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", by_slice={"language=de": Behaviour(milliseconds=900.0, jitter=0.1)})
    alarm = only(house.lives(90, watch))
    assert alarm.question == "latency"
    slow = {one.request_id for one in house.sim.world.observations() if one.milliseconds > 300}
    assert {row["request_id"] for row in affected(house.session(), 1)} == slow
    assert alarm.triage.effect == len(slow)


def test_affected_have_the_same_fields_whatever_endpoint_they_are_of(house: HealthHouse) -> None:
    """They are written as CSV."""
    house.register("1", model="delay-risk")
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, "delay-risk", "1")).done
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", error_rate=1.0)
    house.behaves("1", model="delay-risk", error_rate=1.0)
    for _ in range(6):
        house.lives(10)
        house.serve(endpoint="delays", slices={"port": {"a": 1}})
        view = watch.look()
    assert set(only(view).endpoints) == {NAME, "delays"}
    rows = list(affected(house.session(), 1))
    assert {row["endpoint"] for row in rows} == {NAME, "delays"}
    assert len({tuple(row) for row in rows}) == 1
    assert {row["slice_port"] for row in rows} == {"", "a"}


def test_going_back_helps_after_a_release(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("4", constant=0.5)
    assert deploy(house.session(), "4", share=10_000).done
    alarm = only(house.lives(60, watch))
    assert alarm.triage.revert_helps is True
    assert alarm.triage.revert.startswith("would help: ")
    assert "4" in dict(alarm.triage.lines)["last change"]


def test_going_back_does_not_help_when_a_dependency_failed(house: HealthHouse) -> None:
    house.write(
        f"    probes: {{{PROBE[:-1]}, repair: refill}}}}\n    notify: {{ops: {{kind: told, file: ops.jsonl}}}}",
        endpoints=ENDPOINTS.replace('[{probe: embeddings, versions: ["3"]}]', "[embeddings]"),
        actions="  refill: {summary: refills it, run: [refill], safe: true, time_limit: 30, check: {probe: embeddings}}",
    )
    assert deploy(house.session(), "4", share=10_000).done
    watch = house.watch()
    house.sees(ok=True, text="1 882 keys", value=1882, unit="keys")
    house.lives(600, watch)
    house.sees(ok=False, text="0 keys, wanted at least 1 338", value=0, unit="keys")
    house.behaves("4", constant=0.5)

    def seen() -> bool:
        house.lives(10, watch)
        return any(row.ok is False for row in house.session().registry.probes("staging"))

    until(seen, "the probe was looked at")
    view = house.lives(60, watch)
    alarm = only(view)
    assert {one.question for one in alarm.findings} == {"identical", "dependency"}
    assert alarm.triage.revert_helps is False
    assert "embeddings" in alarm.triage.revert
    assert alarm.triage.fix == "refill"
    assert "1 882 → 0 keys" in dict(alarm.triage.lines)["just before"]
    there = endpoints.whole(house.session()).endpoints[0]
    assert there.next == "mlconsole action run refill --env staging"


# Dependencies.


def looked(house: HealthHouse, watch: HealthWatch, ok: bool | None) -> HealthView:
    """Look until the probe has been collected with that result, and once more."""

    def seen() -> bool:
        house.lives(10, watch)
        return any(row.ok is ok for row in house.session().registry.probes("staging"))

    until(seen, f"the probe sees {ok}")
    view = house.lives(10, watch)
    assert view is not None
    return view


def test_a_failing_dependency_counts_only_while_a_version_that_serves_needs_it(house: HealthHouse) -> None:
    """And when no version needs it any more, what it broke is over: its alarm is closed though it fails on."""
    watch = house.watch()
    house.sees(ok=False, text="0 keys")
    view = looked(house, watch, False)
    alarm = only(view)
    assert (alarm.question, alarm.endpoints, alarm.title) == ("dependency", (NAME,), "embeddings failing")
    there = view.endpoint(NAME)
    assert there is not None
    assert (there.verdict, there.title) == ("fail", "embeddings failing")
    assert endpoints.whole(house.session()).endpoints[0].state is State.FAILING
    assert deploy(house.session(), "4", share=10_000).done
    view = house.lives(30, watch)
    assert view is not None
    there = view.endpoint(NAME)
    assert there is not None
    assert there.verdict == "pass"
    assert house.session().registry.probes("staging")[0].ok is False
    view = house.lives(120, watch)
    assert view is not None
    assert view.open_alarms == ()
    assert shift(house.session(), v3=10_000, v4=0).done
    assert only(house.lives(20, watch)).question == "dependency"


def test_a_probe_that_nobody_names_pages_for_the_environment(house: HealthHouse) -> None:
    house.write(endpoints="  relevance: {model: relevance}\n  delays: {model: delay-risk}\n")
    watch = house.watch()
    house.sees(ok=False, text="0 keys")
    alarm = only(looked(house, watch, False))
    assert (alarm.question, alarm.endpoints) == ("dependency", ())
    house.sees(ok=True, text="1882 keys")
    looked(house, watch, True)
    view = house.lives(120, watch)
    assert view is not None
    assert view.open_alarms == ()


@pytest.mark.parametrize("sighting", [{"ok": None, "text": "no permission"}, {"raises": "a bug"}])
def test_a_probe_that_cannot_ask_is_no_failure(house: HealthHouse, sighting: dict[str, object]) -> None:
    house.sees(**sighting)
    view = looked(house, house.watch(), None)
    assert view.alarms == ()
    [probe] = view.probes
    assert probe.ok is None
    assert probe.text in ("no permission", "the probe failed: RuntimeError: a bug")


def test_a_probe_that_hangs_holds_nobody_up_and_says_so(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.sees(hangs=True)
    try:
        view = house.lives(60, watch)
        assert view is not None
        [probe] = view.probes
        assert "the probe itself hangs since" in probe.text
        assert question(view, "errors") == "pass"
        assert view.alarms == ()
    finally:
        house.sees(ok=True, text="well")


def test_what_a_probe_saw_yesterday_says_nothing_of_now(house: HealthHouse) -> None:
    """Nobody watched for a day; the first look must not page for what was wrong then."""
    watch = house.watch()
    house.sees(ok=False, text="0 keys")
    looked(house, watch, False)
    close_by_hand(house.session(), 1, "for the test")
    house.sees(ok=True, text="well again")
    house.passes(86_400)
    view = house.watch().look()
    assert [one.number for one in view.open_alarms] == []
    house.sees(ok=False, text="0 keys")
    looked(house, watch, False)
    close_by_hand(house.session(), 2, "for the test")
    house.passes(86_400)
    view = HealthWatch(house.session(read_only=True)).look()
    there = view.endpoint(NAME)
    assert there is not None
    assert there.verdict == "no_data", "nobody has asked the probe for a day"
    assert view.probes[0].ok is None


# Several who look.


def counted(house: HealthHouse) -> int:
    """Predictions in the windows of all slices together."""
    total = Summary()
    for stored in house.session().observations.windows("staging", 0.0):
        if not stored.key.slice and not stored.key.shadow:
            total.merge(stored.summary)
    return total.n


def test_two_who_look_at_once_record_each_prediction_and_each_alarm_once(house: HealthHouse) -> None:
    house.behaves("3", constant=0.5)
    house.lives(60)
    watches = [house.watch(), house.watch(guardian=False)]
    barrier = threading.Barrier(2)
    failed: list[BaseException] = []

    def often(watch: HealthWatch) -> None:
        try:
            barrier.wait()
            for _ in range(5):
                watch.look()
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=often, args=(watch,)) for watch in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert counted(house) == sum(1 for one in house.sim.world.observations() if not one.probe)
    assert [one.number for one in alarms_of(house.session())] == [1]
    assert sorted(channel for channel, _, _ in due(house)) == ["ops", "pager"]


def test_while_a_guardian_lives_the_console_only_reads(house: HealthHouse) -> None:
    console = house.watch(guardian=False)
    token = house.session().registry.watch("staging", TOMEK, 1, every=1e6)
    house.behaves("3", constant=0.5)
    house.lives(60, console)
    assert counted(house) == 0
    assert console.view is not None
    assert console.view.alarms == ()
    assert console.view.watcher.alive
    guardian = house.watch()
    guardian.look()
    alarm = only(console.look())
    assert alarm.question == "identical"
    house.session().registry.unwatch("staging", token)
    house.lives(10, console)
    assert counted(house) == sum(1 for one in house.sim.world.observations() if not one.probe)


def test_a_read_only_session_looks_and_writes_nothing(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    house.behaves("3", error_rate=1.0)
    house.lives(40, watch)

    def written() -> list[tuple[str, int, int]]:
        files = [*sorted((house.root / ".mlconsole").glob("*.db")), *sorted((house.root / ".mlconsole").glob("*-wal"))]
        return [(file.name, (told := file.stat()).st_mtime_ns, told.st_size) for file in files]

    counted(house)
    before = written()
    calls = len(house.sim.world.calls)
    reader = HealthWatch(house.session(read_only=True))
    view = house.lives(30, reader)
    alarm = only(view)
    assert alarm.question == "errors"
    assert written() == before
    assert len(house.sim.world.calls) == calls, "a backend is asked for predictions only by who keeps them"
    for deed in (lambda: acknowledge(house.session(read_only=True), 1, "x"), lambda: close_by_hand(house.session(read_only=True), 1, "x")):
        with pytest.raises(NotAllowed, match="Read only"):
            deed()
    assert len(list(affected(house.session(read_only=True), 1))) > 0
    assert tail(house.session(read_only=True), NAME)


def test_a_read_only_session_where_nothing_was_ever_kept(fresh: HealthHouse) -> None:
    view = look(fresh.session(read_only=True))
    assert [(one.endpoint, one.verdict) for one in view.endpoints] == [(NAME, "no_data")]
    assert not view.watcher.alive
    assert not (fresh.root / ".mlconsole" / "observations.db").exists()


# What can't be seen.


@pytest.mark.parametrize("kind", [FaultKind.THROTTLE, FaultKind.TIMEOUT_BEFORE_EFFECT, FaultKind.AUTH, FaultKind.HANG])
def test_predictions_that_cannot_be_read(house: HealthHouse, kind: FaultKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The view says so and what is in the store is still told; after a minute it pages. A dependency is watched on."""
    ask = Calls.ask
    monkeypatch.setattr(Calls, "ask", lambda self, what, call, *, deadline=0.0: ask(self, what, call, deadline=min(deadline, 0.2)))
    watch = house.watch()
    house.lives(20, watch)
    house.sim.world.inject(Fault(kind, on="predictions.read", times=None, seconds=60))
    view = house.lives(40, watch)
    assert view is not None
    assert view.trouble.startswith("Predictions can't be read: ")
    there = view.endpoint(NAME)
    assert there is not None
    assert there.verdict == "no_data"
    assert view.alarms == ()
    alarm = only(house.lives(60, watch))
    assert (alarm.question, alarm.endpoints, alarm.title) == ("watcher", (), "predictions can't be read")
    house.sees(ok=False, text="0 keys")
    view = looked(house, watch, False)
    assert {one.question for one in view.open_alarms} == {"watcher", "dependency"}
    # Whoever looks anew while it lasts must not take that for its end.
    second = house.watch()
    assert {one.state for one in second.look().open_alarms} == {"firing"}
    house.sees(ok=True, text="well")
    house.sim.world.clear_faults()
    house.sim.world.release()
    looked(house, watch, True)
    view = house.lives(120, watch)
    assert view is not None
    assert view.trouble == ""
    assert view.open_alarms == ()


def test_an_applications_log_is_judged_while_predictions_cannot_be_read(house: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the adapter itself can't be made: one source that is broken hides no other."""
    log = "{endpoint: delays, files: app.jsonl, fields: {time: ts, request_id: rid, status: code}}"
    house.write(TWO_CHANNELS + f"    application_logs: {{frontend: {log}}}")
    watch = house.watch()

    def broken(_: object) -> None:
        raise Unavailable("The adapter can't be made.")

    monkeypatch.setattr(Backend, "predictions", broken)
    house.passes(60)
    at = house.clock.now().timestamp()
    rows = [{"ts": at - 60 + number, "rid": f"a{number}", "code": 500} for number in range(60)]
    (house.root / "app.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    view = watch.look()
    assert view.trouble == "Predictions can't be read: The adapter can't be made."
    alarm = only(view)
    assert (alarm.question, alarm.endpoints) == ("errors", ("delays",))
    assert sorted(str(row["request_id"]) for row in affected(house.session(), 1)) == sorted(str(row["rid"]) for row in rows)


def test_one_endpoint_that_cannot_be_described_hides_no_other(house: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    session = house.session()
    house.register("1", model="delay-risk")
    assert changing.run(session, planning.plan_deploy(session, "delay-risk", "1")).done
    monkeypatch.setattr("mlconsole.engine.backend.READ", 0.2)
    house.lives(60, None, endpoints=(NAME, "delays"))
    house.sim.world.inject(Fault(FaultKind.HANG, on="serving.describe", endpoint="delays", times=None, seconds=60))
    status = endpoints.whole(house.session())
    house.sim.world.clear_faults()
    house.sim.world.release()
    states = {one.name: one.state for one in status.endpoints}
    assert states == {NAME: State.OK, "delays": State.NO_DATA}
    assert next(one for one in status.endpoints if one.name == "delays").idle is False


# Shadows.


def test_pairs_of_a_shadow_are_counted_once(house: HealthHouse) -> None:
    watch = house.watch()
    house.lives(20, watch)
    view = watch.look()
    there = view.endpoint(NAME)
    assert there is not None
    assert there.pairs is None
    assert deploy(house.session(), "4", share=0).done
    assert shadow(house.session(), "v4", 5000).done
    view2 = house.lives(90, watch)
    assert view2 is not None
    there = view2.endpoint(NAME)
    assert there is not None
    assert there.pairs is not None
    copies = {one.request_id for one in house.sim.world.observations() if one.shadow}
    assert (there.pairs.live, there.pairs.shadow, there.pairs.n) == ("v3", "v4", len(copies))
    watch.look()
    assert watch.view is not None
    there = watch.view.endpoint(NAME)
    assert there is not None
    assert there.pairs is not None
    assert there.pairs.n == len(copies), "another look over the same time counts nothing twice"
    assert set(there.pairs.flips) >= {f"language={each}" for each in LANGUAGES["language"]}
    assert len(there.pairs.worst) == 10


# Foreign text (invariant 11).

NASTY = "\x1b]0;owned\x07\x9b2J\u202egnp.exe\r\n"


def texts(value: object) -> list[str]:
    """Every text in a view."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in texts(each)]
    if isinstance(value, tuple | list):
        return [text for each in value for text in texts(each)]
    if hasattr(value, "__dataclass_fields__"):
        return [text for name in value.__dataclass_fields__ for text in texts(getattr(value, name))]
    return []


def test_foreign_text_is_data(house: HealthHouse) -> None:
    """Invariant 11: in errors, in the values of slices, in what a probe says, in what a person wrote; in views, events and notices."""
    watch = house.watch()
    odd = {"language": {"en": 0.5, f"de{NASTY}": 0.5}}
    house.lives(300, watch, slices=odd)
    house.behaves("3", refuses={"*": NASTY})
    house.sees(ok=False, text=NASTY, value=0.0, unit=NASTY)
    looked(house, watch, False)
    view = house.lives(60, watch, slices=odd)
    assert view is not None
    acknowledge(house.session(), view.open_alarms[0].number, NASTY)
    house.sim.world.inject(Fault(FaultKind.THROTTLE, on="predictions.read", times=None, reason=NASTY))
    house.lives(90, watch, rate=0)
    said = texts(watch.look())
    for row in house.session().registry.notices("staging"):
        said += [row.notice.title, *row.notice.lines]
    said += tail(house.session(), NAME)
    said += texts([vars(one) for one in endpoints.whole(house.session()).endpoints])
    assert any(neutralise(NASTY)[:8] in text for text in said)
    for text in said:
        assert not set(text) & set("\x1b\x07\x9b\u202e\r\n"), text


def test_views_neutralise_whatever_stands_in_the_values() -> None:
    """Invariant 11, where it is shown: not only where it was taken in."""
    now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    answer = Answer(Question.ERRORS, Verdict.FAIL, NASTY, NASTY, NASTY, text=NASTY, since=now.timestamp())
    slice_ = SliceHealth(NASTY, Verdict.FAIL, Figures(), Figures(), answer, (NASTY,))
    finding = Finding(Question.ERRORS, NAME, (NASTY,), (NASTY,), now, now, NASTY, subject=NASTY, proven={NASTY: 3})
    alarm = Alarm(1, "staging", AlarmState.RECOVERING, now, (finding,))
    there = EndpointHealth(NAME, Verdict.FAIL, (answer,), (slice_,), Figures(), Figures(), {NASTY: Figures()})
    row = WatcherRow("staging", TOMEK, 1, 1, now, now, 2.0, False, 0.0, problem=NASTY, dead_because=NASTY)
    odd = replace(TOMEK, user=NASTY)
    views: list[object] = [healthviews.endpoint_view(there, alarm), healthviews.endpoint_view(replace(there, answers=()), alarm)]
    views += [
        healthviews.finding_view(finding),
        healthviews.watcher_view(row),
        healthviews.watcher_view(replace(row, holder=odd, alive=True)),
    ]
    said = texts(views)
    assert sum(neutralise(NASTY)[:8] in text for text in said) > 15
    for text in said:
        assert not set(text) & set("\x1b\x07\x9b\u202e\r\n"), text
