"""Alarms in the registry: settled and told in one transaction, by several at once, acknowledged, closed, and remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from mlconsole.core.alarms import NEEDED, Alarm, AlarmState, Finding, Settlement, Told, settle
from mlconsole.core.health import Answer, Question
from mlconsole.core.models import Actor
from mlconsole.core.verdicts import Verdict
from mlconsole.plugin.errors import UnknownName, UsageError
from mlconsole.plugin.roles import Notice
from mlconsole.registry import OutboxState, Registry, open_registry
from registry.samples import ENV, OLA, START, TOMEK, SetClock, processes


def fail(question: Question = Question.ERRORS, subject: str = "") -> Answer:
    return Answer(question, Verdict.FAIL, slice="language=de", subject=subject, value=1.0, n=9, since=START.timestamp())


def notice(alarm: Alarm, key: str) -> Notice:
    return Notice(f"{alarm.environment}/{alarm.number}/{key}", f"alarm {alarm.number} {key}", ("one", "two"), "page", ENV, alarm.number)


def look(
    registry: Registry, clock: SetClock, failing: Mapping[str, Sequence[Answer]], good: int = 0, channels: Sequence[str] = ("ops",)
) -> list[Alarm]:
    def decide(known: Sequence[Alarm]) -> Settlement:
        def proofs(finding: Finding) -> Mapping[str, int]:
            return dict.fromkeys(finding.slices, good)

        return settle(known, failing, proofs, clock.now(), environment=ENV, depends={})

    return registry.settle_alarms(ENV, decide, notice, channels)


def test_a_new_one_gets_a_number_a_notice_for_each_channel_and_a_line(registry: Registry, clock: SetClock) -> None:
    (alarm,) = look(registry, clock, {"relevance": [fail()]}, channels=("ops", "mail"))
    assert (alarm.number, alarm.state, alarm.environment) == (1, AlarmState.FIRING, ENV)
    assert registry.alarm(1) == alarm
    assert registry.alarms(ENV, open_only=True) == [alarm]
    assert registry.alarms("staging") == []
    assert {(row.channel, row.dedupe, row.alarm, row.notice.title) for row in registry.notices(ENV)} == {
        ("ops", "1:opened", 1, "alarm 1 opened"),
        ("mail", "1:opened", 1, "alarm 1 opened"),
    }
    assert [(event.kind, event.text, event.at) for event in registry.alarm_events(1)] == [("opened", "relevance: errors", START)]


def test_the_same_is_told_once_through_all_its_life(registry: Registry, clock: SetClock) -> None:
    for _ in range(6):  # flapping
        look(registry, clock, {"relevance": [fail()]})
        clock.sleep(5)
        look(registry, clock, {})
        clock.sleep(5)
    clock.sleep(61)
    look(registry, clock, {}, good=NEEDED - 1)
    assert registry.alarms(ENV)[0].state is AlarmState.RECOVERING
    assert look(registry, clock, {}, good=NEEDED) == []
    assert [row.dedupe for row in reversed(registry.notices(ENV))] == ["1:opened", "1:recovering", "1:closed"]
    assert [event.kind for event in registry.alarm_events(1)] == ["opened", "recovering", "closed"]
    (closed,) = registry.alarms(ENV)
    assert (closed.state, closed.closed, closed.closed_by) == (AlarmState.CLOSED, clock.now(), "")


def test_what_was_closed_shortly_before_stays_open_for_longer(registry: Registry, clock: SetClock) -> None:
    def once() -> Alarm:
        (alarm,) = look(registry, clock, {"relevance": [fail()]})
        look(registry, clock, {}, good=NEEDED)
        clock.sleep(70)
        look(registry, clock, {}, good=NEEDED)
        return alarm

    assert once().number == 1
    assert registry.alarms(ENV, open_only=True) == []
    assert [once().number for _ in range(3)] == [2, 2, 2]
    assert len(registry.notices(ENV)) == 5


def test_nothing_of_it_is_there_when_a_notice_can_not_be_made(registry: Registry, clock: SetClock) -> None:
    def broken(alarm: Alarm, key: str) -> Notice:
        raise RuntimeError(key)

    def decide(known: Sequence[Alarm]) -> Settlement:
        return settle(known, {"relevance": [fail()]}, lambda _: {}, clock.now(), environment=ENV, depends={})

    with pytest.raises(RuntimeError, match="opened"):
        registry.settle_alarms(ENV, decide, broken, ("ops",))
    assert registry.alarms(ENV) == []
    assert registry.notices(ENV) == []


def test_what_was_closed_meanwhile_is_not_opened_again(registry: Registry, clock: SetClock) -> None:
    (alarm,) = look(registry, clock, {"relevance": [fail()]})
    registry.close_alarm(ENV, 1, TOMEK, clock.now(), "a drill")
    late = Settlement((alarm,), (Told(0, "again:x"),))
    assert registry.settle_alarms(ENV, lambda _: late, notice, ("ops",)) == []
    (there,) = registry.alarms(ENV)
    assert (there.state, there.closed_by) == (AlarmState.CLOSED, "tomek@bastion-1: a drill")
    assert len(registry.notices(ENV)) == 1


def settle_in_a_process(path: str, place: str) -> int:
    with open_registry(Path(path), clock=SetClock()) as registry:
        return look(registry, SetClock(), {"relevance": [fail()]})[0].number


def test_several_watchers_at_once_make_one_alarm_and_one_notice(path: Path, clock: SetClock) -> None:
    open_registry(path, clock=clock).close()
    assert processes(settle_in_a_process, [(str(path), str(place)) for place in range(6)]) == [1] * 6
    with open_registry(path, clock=clock) as registry:
        assert [row.dedupe for row in registry.notices(ENV)] == ["1:opened"]


def test_acknowledged_taken_over_and_its_reminder_not_needed(registry: Registry, clock: SetClock) -> None:
    look(registry, clock, {"relevance": [fail()]})
    registry.enqueue(ENV, "1:second", "phone", notice(registry.alarms(ENV)[0], "second"), alarm=1, unless_acknowledged=True,
                     at=START + timedelta(minutes=10))  # fmt: skip
    alarm = registry.acknowledge(ENV, 1, TOMEK, START, "refilling redis")
    assert alarm.acknowledged is not None
    assert alarm.acknowledged.text == "refilling redis"
    assert {row.channel: row.state for row in registry.notices(ENV)} == {"ops": OutboxState.PENDING, "phone": OutboxState.NOT_NEEDED}
    registry.acknowledge(ENV, 1, OLA, START, "\x1b[2J")
    look(registry, clock, {"relevance": [fail()]})
    acknowledged = registry.alarms(ENV)[0].acknowledged
    assert acknowledged is not None
    assert acknowledged.who == OLA
    assert [event.text for event in registry.alarm_events(1)][1:] == [
        'tomek@bastion-1 has it: "refilling redis"',
        'ola@bastion-1 has it (taken over from tomek@bastion-1): "\\x1b[2J"',
    ]


def test_numbers_that_are_not_there_name_the_nearest(registry: Registry, clock: SetClock) -> None:
    with pytest.raises(UnknownName, match="There was none yet"):
        registry.acknowledge(ENV, 3, TOMEK, START, "")
    for endpoint in ("a", "b"):
        look(registry, clock, {endpoint: [fail()]})
        clock.sleep(1)
        registry.close_alarm(ENV, registry.alarms(ENV)[0].number, TOMEK, clock.now(), "drill")
    with pytest.raises(UnknownName, match=r"no alarm 7 in production.*Did you mean 1 or 2\?"):
        registry.acknowledge(ENV, 7, TOMEK, START, "")
    with pytest.raises(UnknownName, match="Alarm 2 is one of production, not of staging"):
        registry.close_alarm("staging", 2, TOMEK, START, "x")
    with pytest.raises(UsageError, match="Alarm 2 is closed already"):
        registry.acknowledge(ENV, 2, TOMEK, START, "")


def test_closing_without_proof_needs_a_reason(registry: Registry, clock: SetClock) -> None:
    look(registry, clock, {"relevance": [fail()]})
    with pytest.raises(UsageError, match="needs a reason"):
        registry.close_alarm(ENV, 1, Actor("tomek", "b"), START, "  ")
    assert registry.alarms(ENV)[0].state is AlarmState.FIRING


def test_what_is_closed_is_forgotten_after_ninety_days_and_what_is_open_never(registry: Registry, clock: SetClock) -> None:
    look(registry, clock, {"relevance": [fail()]})
    registry.close_alarm(ENV, 1, TOMEK, clock.now(), "drill")
    clock.sleep(3600)
    look(registry, clock, {"relevance": [fail(Question.LATENCY)]}, channels=())
    clock.sleep(89.9 * 86_400)
    registry.prune_health()
    assert [alarm.number for alarm in registry.alarms(ENV)] == [2, 1]
    clock.sleep(86_400)
    registry.prune_health()
    assert [alarm.number for alarm in registry.alarms(ENV)] == [2]
    assert registry.alarm_events(1) == []
    assert registry.notices(ENV) == []
    assert len(registry.alarm_events(2)) == 1
