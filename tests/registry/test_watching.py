"""Who watches, runs of actions, and what probes saw."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from mlconsole.plugin.errors import Conflict, UnknownName
from mlconsole.plugin.roles import Caller, Sighting
from mlconsole.registry import Registry, RunState, here
from mlconsole.registry.probes import EVENTS
from registry.samples import ENV, OLA, START, TOMEK, SetClock

SINCE = START.astimezone().strftime("%H:%M")


@pytest.fixture
def gone() -> int:
    """The id of a process that was."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_watcher_is_refused_and_told_who_watches(registry: Registry, clock: SetClock) -> None:
    assert registry.watcher(ENV) is None
    token = registry.watch(ENV, TOMEK, os.getpid(), channels=("ops",))
    clock.sleep(3)
    with pytest.raises(Conflict) as refused:
        registry.watch(ENV, OLA, os.getpid())
    assert str(refused.value).startswith(f"production is watched by tomek@bastion-1 (pid {os.getpid()}) since {SINCE} (alive 3 s ago).")
    registry.beat(ENV, token, "ops answers 500\x1b", channels=("ops", "mail"))
    row = registry.watcher(ENV)
    assert row is not None
    assert (row.alive, row.age, row.since, row.beat) == (True, 0.0, START, clock.now())
    assert (row.problem, row.channels) == ("ops answers 500\\x1b", ("ops", "mail"))
    assert registry.watch("staging", OLA, os.getpid()) == 1


def test_as_whom_it_acts_comes_with_its_heartbeat(registry: Registry, clock: SetClock) -> None:
    token = registry.watch(ENV, TOMEK, os.getpid())

    def caller() -> Caller | None:
        row = registry.watcher(ENV)
        assert row is not None
        return row.caller

    assert caller() is None
    acts = Caller("ops-guardian", "4711", "eu-central-1", clock.now() + timedelta(hours=1))
    registry.beat(ENV, token, caller=acts)
    assert caller() == acts
    registry.beat(ENV, token, caller=Caller("for ever"))
    assert caller() == Caller("for ever")
    registry.beat(ENV, token)
    assert caller() is None, "it does not know any more"
    registry.beat(ENV, token, caller=acts)
    registry.unwatch(ENV, token)
    assert caller() == acts, "as whom it acted"
    registry.watch(ENV, OLA, os.getpid())
    assert caller() is None, "that was another one"


def test_one_without_a_heartbeat_is_followed_by_another_and_stops(registry: Registry, clock: SetClock) -> None:
    first = registry.watch(ENV, TOMEK, os.getpid())
    clock.sleep(15)
    row = registry.watcher(ENV)
    assert row is not None
    assert (row.alive, row.dead_because, row.beat) == (False, "no sign of life for 15 s", START)
    second = registry.watch(ENV, OLA, os.getpid())
    assert second > first
    with pytest.raises(Conflict, match=r"watched by ola@bastion-1 .* this one stops"):
        registry.beat(ENV, first)
    assert not registry.unwatch(ENV, first)
    registry.beat(ENV, second)


def test_one_that_ended_or_whose_process_is_gone_watches_no_more(registry: Registry, clock: SetClock, gone: int) -> None:
    token = registry.watch(ENV, TOMEK, os.getpid())
    clock.sleep(1)
    assert registry.unwatch(ENV, token)
    row = registry.watcher(ENV)
    assert row is not None
    assert (row.alive, row.ended) == (False, clock.now())
    with pytest.raises(Conflict, match="watches production no more"):
        registry.beat(ENV, token)
    registry.watch(ENV, TOMEK, gone)
    row = registry.watcher(ENV)
    assert row is not None
    assert row.dead_because == f"its process {gone} is gone"
    registry.watch(ENV, OLA, os.getpid())


def test_one_of_another_boot_watches_no_more(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.watch(ENV, TOMEK, os.getpid())
    monkeypatch.setattr(here, "boot_id", lambda: "another")
    row = registry.watcher(ENV)
    assert row is not None
    assert not row.alive


def test_a_run_is_asked_for_claimed_once_and_ended_once(registry: Registry, clock: SetClock) -> None:
    assert registry.claim_run(ENV, TOMEK) is None
    asked = registry.ask_run(ENV, "refill-embeddings", {"keys": 3}, OLA, probe="redis-embeddings", reason="empty")
    assert registry.runs(ENV) == [asked]
    with pytest.raises(Conflict, match=rf"refill-embeddings is asked for already since {SINCE}, for ola@bastion-1"):
        registry.ask_run(ENV, "refill-embeddings", {"keys": 3}, TOMEK)
    registry.ask_run("staging", "refill-embeddings", {"keys": 3}, TOMEK)
    clock.sleep(1)
    claimed = registry.claim_run(ENV, TOMEK)
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.holder, claimed.started, claimed.parameters) == (
        asked.id, RunState.RUNNING, TOMEK, clock.now(), {"keys": 3})  # fmt: skip
    assert registry.claim_run(ENV, OLA) is None
    with pytest.raises(Conflict, match="runs already"):
        registry.ask_run(ENV, "refill-embeddings", {"keys": 3}, TOMEK)
    clock.sleep(9)
    ended = registry.end_run(asked.id, RunState.DONE, "1 214 883 keys\ngolden 40 of 40\x1b")
    assert (ended.state, ended.ended, ended.told) == (RunState.DONE, clock.now(), "1 214 883 keys\ngolden 40 of 40\\x1b")
    assert registry.end_run(asked.id, RunState.FAILED, "late") == ended
    assert registry.run(asked.id) == ended
    with pytest.raises(UnknownName):
        registry.end_run("nope", RunState.DONE, "")


def test_a_run_whose_process_is_gone_is_told_as_failed_and_may_be_asked_for_again(
    registry: Registry, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = registry.ask_run(ENV, "restart", {}, OLA)
    with monkeypatch.context() as there:
        there.setattr(os, "getpid", lambda: gone)
        registry.claim_run(ENV, TOMEK)
    (seen,) = registry.runs(ENV)
    assert seen.state is RunState.FAILED
    assert f"its process {gone} is gone. How far it came is not known" in seen.told
    again = registry.ask_run(ENV, "restart", {}, OLA)
    assert again.id != run.id
    former = registry.run(run.id)
    assert former is not None
    assert former.ended is not None


def keys(value: float, ok: bool | None = True) -> Sighting:
    return Sighting(ok, f"{value:.0f} keys, wanted at least 1000", value, "keys")


def test_a_probe_tells_since_when_and_what_happened(registry: Registry, clock: SetClock) -> None:
    def seen(sighting: Sighting, seconds: float = 5) -> bool:
        clock.sleep(seconds)
        return registry.probe_seen(ENV, "redis", "redis", sighting, clock.now())

    assert not seen(keys(1_214_883))
    well = clock.now()
    assert not seen(keys(1_214_880))
    assert registry.probes(ENV)[0].since == well
    assert seen(keys(0, ok=False))
    emptied = clock.now()
    assert not seen(keys(0, ok=False))
    row = registry.probes(ENV)[0]
    assert (row.ok, row.since, row.looked, row.value, row.kind) == (False, emptied, clock.now(), 0, "redis")
    assert seen(Sighting(None, "no permission\x1b"))
    assert seen(Sighting(False, "no answer"))
    assert [(event.text, event.ok) for event in registry.probe_events(ENV, START)] == [
        ("1 214 880 → 0 keys", False),
        ("no permission\\x1b", None),
        ("no answer", False),
    ]
    assert next(event.at for event in registry.probe_events(ENV, emptied + timedelta(seconds=1))) > emptied
    assert registry.probes("staging") == []


def test_a_first_sighting_that_fails_is_an_event(registry: Registry) -> None:
    events = registry.probes_seen(ENV, [("a", "tcp", Sighting(False, "refused")), ("b", "tcp", Sighting(True, "2 ms", 2.0, "ms"))], START)
    assert [event.name for event in events] == ["a"]


def test_a_trend_has_one_figure_each_ten_seconds_for_a_day(registry: Registry, clock: SetClock) -> None:
    for second in range(0, 60, 5):
        registry.probe_seen(ENV, "redis", "redis", keys(second + 1), START + timedelta(seconds=second))
    assert [value for _, value in registry.probe_values(ENV, "redis", START)] == [1, 11, 21, 31, 41, 51]
    registry.probe_seen(ENV, "redis", "redis", keys(7), START + timedelta(days=1, seconds=30))
    assert [value for _, value in registry.probe_values(ENV, "redis", START)] == [31, 41, 51, 7]


def test_a_probe_that_flaps_keeps_its_last_events(registry: Registry) -> None:
    for place in range(EVENTS // 100 + 3):
        each = [("redis", "redis", Sighting(bool(turn % 2), f"{place} {turn}")) for turn in range(100)]
        registry.probes_seen(ENV, each, START)
    kept = registry.probe_events(ENV, START, limit=10_000)
    assert len(kept) == EVENTS
    assert kept[-1].text == f"{EVENTS // 100 + 2} 99"
