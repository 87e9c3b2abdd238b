"""Alarms, as people deal with them: shown, acknowledged, closed by hand; and the predictions that were wrong.

`health` makes alarms and closes what is proven well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from mlconsole.core.alarms import Alarm
from mlconsole.core.models import Json
from mlconsole.engine.access import Deed
from mlconsole.engine.effects import affected_rows
from mlconsole.engine.health import look
from mlconsole.engine.ingesting import Ingest
from mlconsole.engine.triaging import Look, Triaging
from mlconsole.engine.views import AlarmView
from mlconsole.plugin.errors import MLConsoleError, UnknownName

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def acknowledge(session: Session, number: int, text: str) -> AlarmView:
    """Somebody has it: paging stops, and everybody is shown who.

    Raises:
        UnknownName: there is no such alarm here.
        UsageError: it is closed.
    """
    session.access.require(Deed.ACKNOWLEDGE)
    now = session.clock.now()
    alarm = session.registry.acknowledge(session.environment.name, number, session.actor, now, text)
    _tell_all(session, alarm, f"acknowledged:{now:%Y-%m-%dT%H:%M:%S}")
    return Triaging(session).alarm_view(alarm, _unlooked(session))


def close_by_hand(session: Session, number: int, reason: str) -> AlarmView:
    """Close an alarm though not every slice is proven well.

    Raises:
        UnknownName: there is no such alarm here.
        UsageError: it is closed already.
    """
    session.access.require(Deed.ACKNOWLEDGE)
    alarm = session.registry.close_alarm(session.environment.name, number, session.actor, session.clock.now(), reason)
    _tell_all(session, alarm, "closed")
    return Triaging(session).alarm_view(alarm, _unlooked(session))


def _tell_all(session: Session, alarm: Alarm, key: str) -> None:
    """What a person did about an alarm, for everybody who was paged."""
    notice = Triaging(session).notice(alarm, key, Look(()))
    for channel in session.environment.channels.values():
        if channel.after_minutes is None and channel.takes(notice.severity):
            session.registry.enqueue(session.environment.name, f"{alarm.number}:{key}", channel.name, notice, alarm=alarm.number)


def alarm_of(session: Session, number: int) -> AlarmView:
    """One alarm as it is now.

    Raises:
        UnknownName: there is no such alarm here.
    """
    view = look(session)
    shown = next((one for one in view.alarms if one.number == number), None)
    if shown is not None:
        return shown
    return Triaging(session).alarm_view(_alarm(session, number), _unlooked(session))


def alarms_of(session: Session, *, limit: int = 20) -> list[AlarmView]:
    """The newest alarms, newest first."""
    triaging, seen = Triaging(session), _unlooked(session)
    return [triaging.alarm_view(one, seen) for one in session.registry.alarms(session.environment.name, limit=limit)]


def affected(session: Session, number: int) -> Iterator[Mapping[str, Json | datetime]]:
    """The wrong predictions of an alarm, one by one, as far as they are stored.

    Raises:
        UnknownName: there is no such alarm here.
    """
    alarm = _alarm(session, number)
    if not session.read_only:
        with suppress(MLConsoleError):
            Ingest(session).run()
    return affected_rows(session, alarm)


def _unlooked(session: Session) -> Look:
    """What is known without a look: what the probes saw last."""
    return Look(session.registry.probes(session.environment.name))


def _alarm(session: Session, number: int) -> Alarm:
    alarm = session.registry.alarm(number)
    if alarm is None or alarm.environment != session.environment.name:
        known = ", ".join(str(one.number) for one in session.registry.alarms(session.environment.name, limit=5))
        hint = f"The last ones: {known}." if known else "There was none yet."
        raise UnknownName(f"There is no alarm {number} in {session.environment.name}. {hint}", next="mlconsole health alarms shows them.")
    return alarm
