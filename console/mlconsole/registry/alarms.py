"""Alarms: settled in one transaction with what has to be told of them, acknowledged, closed, and what happened in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, or_, select

from mlconsole.core import alarms as rules
from mlconsole.core.alarms import Alarm, AlarmState, Finding, Settlement
from mlconsole.core.health import Question
from mlconsole.core.models import Actor
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import UnknownName
from mlconsole.plugin.roles import Notice
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.outbox import OutboxState, drop_reminders, put
from mlconsole.registry.parts import Part, note_event
from mlconsole.registry.tables import ActionRunTable, AlarmEventTable, AlarmTable, OutboxTable, ProbeEventTable

KEPT = timedelta(days=90)
"""How long closed alarms, what happened in them, notices, runs and probe events are kept."""


@dataclass(frozen=True)
class AlarmEvent:
    """Something that happened in an alarm."""

    at: datetime
    kind: str
    """`opened`, `joined`, `again`, `acknowledged`, `told`, `not told`, `action`, `recovering`, `closed`."""
    text: str


class Alarms(Part):
    """The alarms of each environment. Their numbers are given out over all environments and never twice."""

    def settle_alarms(
        self,
        environment: str,
        decide: Callable[[Sequence[Alarm]], Settlement],
        notices: Callable[[Alarm, str], Notice | None],
        channels: Sequence[str] | Callable[[Notice], Sequence[str]] = (),
    ) -> list[Alarm]:
        """Decide on the alarms and put what has to be told into the outbox, all or nothing; the alarms that are then open, oldest first.

        `decide` is given those that are open and those that were closed within `core.alarms.REMEMBERED`; `notices` is asked once for each
        key that is new to its alarm, numbers given (None: nothing is sent); `channels` names those that it goes to. They may be called
        again when the lock was not got, and hold everybody up while they run: they ask nobody.
        """

        def work(session: Session) -> list[Alarm]:
            now = self._clock.now()
            settlement = decide(_remembered(session, environment, now))
            changed = [self._store(session, environment, alarm) for alarm in settlement.changed]
            for told in settlement.notices:
                alarm = changed[told.place]
                if alarm is None or not note_event(session, alarm.number, now, told.kind, _words(alarm, told.key), told.key):
                    continue
                notice = notices(alarm, told.key)
                if notice is not None:
                    for channel in channels(notice) if callable(channels) else channels:
                        put(session, environment, f"{alarm.number}:{told.key}", channel, notice, now, alarm=alarm.number)
            for alarm in changed:
                if alarm is not None and alarm.state is AlarmState.CLOSED:
                    drop_reminders(session, alarm.number, "it is closed")
            return _open(session, environment)

        return self._database.write(work)

    def alarms(self, environment: str, *, open_only: bool = False, limit: int = 50) -> list[Alarm]:
        """The environment's newest alarms, newest first."""
        statement = select(AlarmTable.body).where(AlarmTable.environment == environment).order_by(col(AlarmTable.seq).desc()).limit(limit)
        if open_only:
            statement = statement.where(col(AlarmTable.closed).is_(None))
        return self._database.read(lambda session: [load(Alarm, body) for body in session.exec(statement)])

    def alarm(self, number: int) -> Alarm | None:
        """One alarm of any environment, or None."""

        def work(session: Session) -> Alarm | None:
            row = session.get(AlarmTable, number)
            return None if row is None else load(Alarm, row.body)

        return self._database.read(work)

    def acknowledge(self, environment: str, number: int, who: Actor, at: datetime, text: str) -> Alarm:
        """Somebody has it: reminders that were still to be sent are not needed any more. It may be taken over from somebody else.

        Raises:
            UnknownName: the environment has no such alarm.
            UsageError: it is closed.
        """

        def work(session: Session) -> Alarm:
            row = _row(session, environment, number)
            before = load(Alarm, row.body)
            alarm = rules.acknowledge(before, who, at, text)
            row.body = dump(alarm)
            former = before.acknowledged
            taken = f" (taken over from {former.who})" if former is not None and str(former.who) != str(who) else ""
            note_event(session, number, at, "acknowledged", neutralise(f"{who} has it{taken}" + (f': "{text}"' if text else "")))
            drop_reminders(session, number, f"{who} has it")
            return alarm

        return self._database.write(work)

    def close_alarm(self, environment: str, number: int, who: Actor, at: datetime, reason: str) -> Alarm:
        """Somebody closes it without proof.

        Raises:
            UnknownName: the environment has no such alarm.
            UsageError: it is closed already, or no reason is given.
        """

        def work(session: Session) -> Alarm:
            row = _row(session, environment, number)
            alarm = rules.close_by_hand(load(Alarm, row.body), who, at, reason)
            _fill(row, alarm)
            note_event(session, number, at, "closed", neutralise(f"closed by {alarm.closed_by}"), "closed")
            drop_reminders(session, number, "it is closed")
            return alarm

        return self._database.write(work)

    def alarm_events(self, number: int) -> list[AlarmEvent]:
        """What happened in an alarm, oldest first."""
        statement = select(AlarmEventTable).where(AlarmEventTable.alarm == number).order_by(col(AlarmEventTable.seq))
        return self._database.read(lambda session: [AlarmEvent(from_moment(row.at), row.kind, row.text) for row in session.exec(statement)])

    def prune_health(self) -> None:
        """Forget what is older than `KEPT`; whoever watches does it once a day. Nothing that is open or still to be sent is forgotten."""

        def work(session: Session) -> None:
            before = moment(self._clock.now() - KEPT)
            session.exec(delete(AlarmTable).where(col(AlarmTable.closed) < before))
            session.exec(delete(OutboxTable).where(col(OutboxTable.created) < before, col(OutboxTable.state) != OutboxState.PENDING.value))
            session.exec(delete(ActionRunTable).where(col(ActionRunTable.ended) < before))
            session.exec(delete(ProbeEventTable).where(col(ProbeEventTable.at) < before))

        self._database.write(work)

    def _store(self, session: Session, environment: str, alarm: Alarm) -> Alarm | None:
        """An alarm as it is now, with its number; None where it was closed meanwhile: what is closed stays so."""
        alarm = replace(alarm, environment=environment)
        if alarm.number:
            row = session.get(AlarmTable, alarm.number)
            if row is None or row.environment != environment or row.closed is not None:
                return None
        else:
            row = AlarmTable(environment=environment, state=alarm.state.value, body="")
            session.add(row)
            session.flush()
            assert row.seq is not None
            alarm = replace(alarm, number=row.seq)
        _fill(row, alarm)
        session.flush()
        return alarm


def _fill(row: AlarmTable, alarm: Alarm) -> None:
    row.state = alarm.state.value
    row.closed = None if alarm.closed is None else moment(alarm.closed)
    row.body = dump(alarm)


def _open(session: Session, environment: str) -> list[Alarm]:
    statement = select(AlarmTable.body).where(AlarmTable.environment == environment, col(AlarmTable.closed).is_(None))
    return [load(Alarm, body) for body in session.exec(statement.order_by(col(AlarmTable.seq)))]


def _remembered(session: Session, environment: str, now: datetime) -> list[Alarm]:
    recently = moment(now - rules.REMEMBERED)
    statement = select(AlarmTable.body).where(
        AlarmTable.environment == environment, or_(col(AlarmTable.closed).is_(None), col(AlarmTable.closed) >= recently)
    )
    return [load(Alarm, body) for body in session.exec(statement.order_by(col(AlarmTable.seq)))]


def _row(session: Session, environment: str, number: int) -> AlarmTable:
    row = session.get(AlarmTable, number)
    if row is not None and row.environment == environment:
        return row
    if row is not None:
        raise UnknownName(
            f"Alarm {number} is one of {row.environment}, not of {environment}. Nothing was changed.", next=f"--env {row.environment}"
        )
    known = session.exec(
        select(AlarmTable.seq).where(AlarmTable.environment == environment).order_by(col(AlarmTable.seq).desc()).limit(1000)
    ).all()
    near = sorted(sorted((one for one in known if one is not None), key=lambda one: abs(one - number))[:3])
    hint = f"Did you mean {' or '.join(map(str, near))}?" if near else "There was none yet."
    raise UnknownName(f"There is no alarm {number} in {environment}. Nothing was changed. {hint}", next="mlconsole health")


def _words(alarm: Alarm, key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "opened":
        return "; ".join(_found(one) for one in alarm.findings)
    if kind == "joined":
        news = {tuple(one.split(":", 1)) for one in rest.split(",")}
        return "; ".join(_found(one) for one in alarm.findings if (one.question.value, one.endpoint or one.subject) in news)
    return {
        "again": f"found again: {', '.join(_found(one) for one in alarm.findings if not one.well)}",
        "recovering": "nothing is found any more",
        "closed": "every slice is proven well again",
    }.get(kind, rest)


def _found(finding: Finding) -> str:
    if finding.question is Question.WATCHER and finding.text:
        return neutralise(finding.text)
    what = {
        Question.DEPENDENCY: f"{finding.subject} failing",
        Question.ALARM: f"{finding.subject} in ALARM",
    }.get(finding.question, finding.question.value)
    where = f"{finding.endpoint}: " if finding.endpoint else ""
    return neutralise(f"{where}{what}{f', {finding.text}' if finding.text else ''}")
