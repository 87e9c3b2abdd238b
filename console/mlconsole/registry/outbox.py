"""The outbox: what people have to be told, each notice once for each channel, tried again for about an hour."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session, col, or_, select

from mlconsole.core.alarms import AlarmState
from mlconsole.core.text import neutralise
from mlconsole.plugin.roles import Notice
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.parts import Part, note_event
from mlconsole.registry.tables import AlarmTable, OutboxTable

TRIES = 12
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=10)
"""Between two tries: doubled each time, up to the longest. Twelve tries take about 50 minutes."""
CLAIMED = timedelta(minutes=2)
"""Whoever takes a notice out to send it has so long; then others may try: it died. A receiver knows a second copy by the notice's key."""


class OutboxState(StrEnum):
    """How far a notice is."""

    PENDING = "pending"
    SENT = "sent"
    GIVEN_UP = "given up"
    NOT_NEEDED = "not needed"
    """A reminder of something that somebody has by now."""


@dataclass(frozen=True)
class OutboxRow:
    """A notice for one channel, and how far it is."""

    id: int
    environment: str
    dedupe: str
    channel: str
    alarm: int | None
    notice: Notice
    state: OutboxState
    attempts: int
    next_try: datetime
    problem: str
    """Why it was not sent the last time; for people."""
    created: datetime
    sent: datetime | None
    claim: str = ""
    """Whose turn it is, while it is being sent."""


class Outbox(Part):
    """What still has to be told, and what was."""

    def enqueue(
        self,
        environment: str,
        dedupe: str,
        channel: str,
        notice: Notice,
        *,
        alarm: int | None = None,
        at: datetime | None = None,
        unless_acknowledged: bool = False,
    ) -> bool:
        """Have `notice` sent, at `at` or at once. False: that channel was given the same `dedupe` key before, and nothing was changed.

        With `unless_acknowledged` it is a reminder: sent only while its alarm fires and nobody has it.
        """
        # Looked at first without the lock: a reminder is put in at every look.
        return not self._database.read(lambda session: _is_there(session, environment, dedupe, channel)) and self._database.write(
            lambda session: put(session, environment, dedupe, channel, notice, self._clock.now(), alarm, at, unless_acknowledged)
        )

    def due_notices(self, environment: str, now: datetime, limit: int = 20) -> list[OutboxRow]:
        """Take out what is to be sent now, in order: nobody else is given it within `CLAIMED`. Each has to be reported with `notice_sent`
        or `notice_failed`.

        What was put in before for the same channel and alarm goes first, however long it should still have waited.
        """

        def work(session: Session) -> list[OutboxRow]:
            claim = secrets.token_hex(8)
            taken: list[OutboxRow] = []
            for row in _due(session, environment, now):
                if len(taken) == limit:
                    break
                row.claim, row.claimed_until = claim, moment(now + CLAIMED)
                session.add(row)
                taken.append(_value(row))
            return taken

        # Looked at first without the lock, which is asked for every second and almost never needed.
        return self._database.write(work) if self._database.read(lambda session: bool(_due(session, environment, now))) else []

    def notice_sent(self, row: OutboxRow, now: datetime) -> bool:
        """It was handed over. False: its time was over and somebody else has taken it; nothing was changed."""

        def work(session: Session) -> bool:
            there = _claimed(session, row)
            if there is None:
                return False
            there.state, there.sent, there.problem, there.claim, there.claimed_until = OutboxState.SENT.value, moment(now), "", "", None
            there.attempts += 1
            if row.alarm is not None:
                what = "paged" if row.notice.severity == "page" else "told"
                note_event(session, row.alarm, now, "told", f"{what} {neutralise(row.channel)}")
            return True

        return self._database.write(work)

    def notice_failed(self, row: OutboxRow, problem: str, again: bool, now: datetime) -> OutboxState:
        """It was not handed over. With `again` it is tried later, `TRIES` times in all; else it is given up, which is shown."""

        def work(session: Session) -> OutboxState:
            there = _claimed(session, row)
            if there is None:
                return OutboxState.PENDING
            there.attempts += 1
            there.problem = neutralise(problem)[:500]
            there.claim, there.claimed_until = "", None
            if again and there.attempts < TRIES:
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (there.attempts - 1))
                there.next_try = moment(now + wait)
            else:
                there.state = OutboxState.GIVEN_UP.value
                if row.alarm is not None:
                    note_event(session, row.alarm, now, "not told", f"{neutralise(row.channel)} was not reached: {there.problem}")
            return OutboxState(there.state)

        return self._database.write(work)

    def notices(self, environment: str, limit: int = 50) -> list[OutboxRow]:
        """The newest ones, sent or not; newest first."""
        statement = select(OutboxTable).where(OutboxTable.environment == environment).order_by(col(OutboxTable.seq).desc()).limit(limit)
        return self._database.read(lambda session: [_value(row) for row in session.exec(statement)])


def put(
    session: Session,
    environment: str,
    dedupe: str,
    channel: str,
    notice: Notice,
    now: datetime,
    alarm: int | None = None,
    at: datetime | None = None,
    unless_acknowledged: bool = False,
) -> bool:
    """Put a notice into the outbox. False: it was there before."""
    if _is_there(session, environment, dedupe, channel):
        return False
    session.add(
        OutboxTable(
            environment=environment,
            dedupe=dedupe,
            channel=channel,
            alarm=alarm,
            unless_acknowledged=unless_acknowledged,
            state=OutboxState.PENDING.value,
            next_try=moment(at or now),
            created=moment(now),
            body=dump(notice),
        )
    )
    session.flush()
    return True


def drop_reminders(session: Session, alarm: int, why: str) -> None:
    """Reminders of an alarm that nobody needs any more."""
    statement = select(OutboxTable).where(
        OutboxTable.alarm == alarm, OutboxTable.state == OutboxState.PENDING.value, col(OutboxTable.unless_acknowledged)
    )
    for row in session.exec(statement).all():
        row.state, row.problem, row.claim, row.claimed_until = OutboxState.NOT_NEEDED.value, neutralise(why), "", None
        session.add(row)


def _is_there(session: Session, environment: str, dedupe: str, channel: str) -> bool:
    same = select(OutboxTable.seq).where(
        OutboxTable.environment == environment, OutboxTable.dedupe == dedupe, OutboxTable.channel == channel
    )
    return session.exec(same).first() is not None


def _due(session: Session, environment: str, now: datetime) -> list[OutboxTable]:
    at = moment(now)
    statement = (
        select(OutboxTable)
        .where(
            OutboxTable.environment == environment,
            OutboxTable.state == OutboxState.PENDING.value,
            or_(col(OutboxTable.claimed_until).is_(None), col(OutboxTable.claimed_until) <= at, col(OutboxTable.created) > at),
        )
        .order_by(col(OutboxTable.seq))
        .limit(1000)
    )
    rows = session.exec(statement).all()
    # Made later than now: the wall clock was set back since, and the time of the next try means nothing.
    due = [row for row in rows if (row.next_try <= at or row.created > at) and (not row.unless_acknowledged or _still_wanted(session, row))]
    last: dict[tuple[str, int | None], int] = {(row.channel, row.alarm): row.seq or 0 for row in due if row.alarm is not None}
    before = [row for row in rows if not row.unless_acknowledged and (row.seq or 0) < last.get((row.channel, row.alarm), 0)]
    return sorted({row.seq: row for row in [*due, *before]}.values(), key=lambda row: row.seq or 0)


def _still_wanted(session: Session, row: OutboxTable) -> bool:
    alarm = session.get(AlarmTable, row.alarm)
    return alarm is not None and alarm.state == AlarmState.FIRING.value


def _claimed(session: Session, row: OutboxRow) -> OutboxTable | None:
    there = session.get(OutboxTable, row.id)
    return there if there is not None and row.claim and there.claim == row.claim else None


def _value(row: OutboxTable) -> OutboxRow:
    assert row.seq is not None
    return OutboxRow(
        id=row.seq,
        environment=row.environment,
        dedupe=row.dedupe,
        channel=row.channel,
        alarm=row.alarm,
        notice=load(Notice, row.body),
        state=OutboxState(row.state),
        attempts=row.attempts,
        next_try=from_moment(row.next_try),
        problem=row.problem,
        created=from_moment(row.created),
        sent=None if row.sent is None else from_moment(row.sent),
        claim=row.claim,
    )
