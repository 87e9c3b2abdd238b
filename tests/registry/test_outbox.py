"""The outbox: each notice once for each channel, tried again for about an hour, by one process at a time, in order."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mlconsole.core.alarms import Alarm, AlarmState, Finding, Settlement
from mlconsole.core.health import Question
from mlconsole.plugin.roles import Notice
from mlconsole.registry import OutboxState, Registry, open_registry
from mlconsole.registry.outbox import TRIES
from registry.samples import ENV, START, TOMEK, SetClock, processes

NOTICE = Notice("k", "PROD relevance: ALL PREDICTIONS IDENTICAL", ("one",), "page", ENV, None, {"n": 3})


@pytest.fixture
def alarm(registry: Registry) -> int:
    finding = Finding(Question.ERRORS, "relevance", (), ("",), START, START, "")
    settled = Settlement((Alarm(0, ENV, AlarmState.FIRING, START, (finding,)),), ())
    return registry.settle_alarms(ENV, lambda _: settled, lambda alarm, key: None)[0].number


def test_the_same_key_once_for_each_channel(registry: Registry) -> None:
    assert registry.enqueue(ENV, "a", "ops", NOTICE)
    assert not registry.enqueue(ENV, "a", "ops", NOTICE)
    assert registry.enqueue(ENV, "a", "mail", NOTICE)
    assert registry.enqueue("staging", "a", "ops", NOTICE)
    assert [row.channel for row in registry.due_notices(ENV, START)] == ["ops", "mail"]
    assert registry.notices(ENV)[0].notice == Notice("k", NOTICE.title, ["one"], "page", ENV, None, {"n": 3})


def test_what_is_taken_out_is_given_to_nobody_else_until_its_time_is_over(registry: Registry) -> None:
    registry.enqueue(ENV, "a", "ops", NOTICE)
    (first,) = registry.due_notices(ENV, START)
    assert registry.due_notices(ENV, START + timedelta(seconds=119)) == []
    (second,) = registry.due_notices(ENV, START + timedelta(seconds=120))
    assert not registry.notice_sent(first, START)
    assert registry.notice_failed(first, "late", False, START) is OutboxState.PENDING
    assert registry.notice_sent(second, START)
    assert not registry.notice_sent(second, START)
    (row,) = registry.notices(ENV)
    assert (row.state, row.attempts, row.sent) == (OutboxState.SENT, 1, START)


def take(path: str, place: str) -> int:
    with open_registry(Path(path), clock=SetClock()) as registry:
        return len(registry.due_notices(ENV, START))


def test_several_processes_take_it_once(path: Path, clock: SetClock) -> None:
    with open_registry(path, clock=clock) as registry:
        registry.enqueue(ENV, "a", "ops", NOTICE)
    assert sorted(processes(take, [(str(path), str(place)) for place in range(6)])) == [0, 0, 0, 0, 0, 1]


def test_tried_again_ever_more_rarely_then_given_up_and_shown(registry: Registry, alarm: int) -> None:
    registry.enqueue(ENV, "a", "ops", NOTICE, alarm=alarm)
    now, waits = START, []
    for _ in range(TRIES):
        (row,) = registry.due_notices(ENV, now)
        state = registry.notice_failed(row, "no answer\x1b", True, now)
        following = registry.notices(ENV)[0].next_try
        if state is OutboxState.PENDING:
            assert registry.due_notices(ENV, following - timedelta(milliseconds=1)) == []
            waits.append((following - now).total_seconds())
            now = following
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]
    (row,) = registry.notices(ENV)
    assert (row.state, row.problem, row.attempts) == (OutboxState.GIVEN_UP, "no answer\\x1b", TRIES)
    assert registry.due_notices(ENV, now + timedelta(days=9)) == []
    assert [event.text for event in registry.alarm_events(alarm)] == ["ops was not reached: no answer\\x1b"]


def test_where_trying_again_does_not_help_it_is_given_up_at_once(registry: Registry) -> None:
    registry.enqueue(ENV, "a", "ops", NOTICE)
    (row,) = registry.due_notices(ENV, START)
    assert registry.notice_failed(row, "404", False, START) is OutboxState.GIVEN_UP


def test_what_was_put_in_first_goes_first_and_waits_no_longer_than_the_next(registry: Registry, alarm: int) -> None:
    registry.enqueue(ENV, "opened", "ops", NOTICE, alarm=alarm)
    registry.notice_failed(registry.due_notices(ENV, START)[0], "no", True, START)
    registry.enqueue(ENV, "closed", "ops", NOTICE, alarm=alarm)
    registry.enqueue(ENV, "closed", "mail", NOTICE, alarm=alarm)
    assert [(row.dedupe, row.channel) for row in registry.due_notices(ENV, START)] == [
        ("opened", "ops"),
        ("closed", "ops"),
        ("closed", "mail"),
    ]


def test_a_clock_that_was_set_back_holds_nothing_up(registry: Registry) -> None:
    registry.enqueue(ENV, "a", "ops", NOTICE)
    assert len(registry.due_notices(ENV, START - timedelta(hours=3))) == 1


def test_a_reminder_waits_for_its_time_and_for_an_alarm_that_fires(registry: Registry, alarm: int) -> None:
    registry.enqueue(ENV, "second", "phone", NOTICE, alarm=alarm, at=START + timedelta(minutes=10), unless_acknowledged=True)
    registry.enqueue(ENV, "again", "phone", NOTICE, alarm=alarm, at=START)
    (only,) = registry.due_notices(ENV, START)
    assert registry.notice_sent(only, START)
    (row,) = registry.due_notices(ENV, START + timedelta(minutes=10))
    assert row.dedupe == "second"
    registry.notice_failed(row, "busy", True, START)
    registry.close_alarm(ENV, alarm, TOMEK, START, "drill")
    assert registry.due_notices(ENV, START + timedelta(days=1)) == []
    assert registry.notices(ENV)[1].state is OutboxState.NOT_NEEDED
    assert next(event.text for event in registry.alarm_events(alarm)) == "paged phone"


def test_a_page_is_told_in_its_alarm(registry: Registry, alarm: int) -> None:
    registry.enqueue(ENV, "a", "ops", NOTICE, alarm=alarm)
    registry.notice_sent(registry.due_notices(ENV, START)[0], START + timedelta(seconds=2))
    assert [(event.at, event.kind, event.text) for event in registry.alarm_events(alarm)] == [
        (START + timedelta(seconds=2), "told", "paged ops")
    ]
