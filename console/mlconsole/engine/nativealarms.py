"""The backend's own alarms: looked at with the rest of health, guards of rollouts, made for what a policy needs, set off for a drill."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlconsole.core.alarm_rules import AlarmRule, Finding, lint
from mlconsole.core.health import Answer, Question
from mlconsole.core.rollouts import Rollout
from mlconsole.core.text import neutralise
from mlconsole.core.triage import PLAIN_ERRORS, PLAIN_MS
from mlconsole.core.verdicts import Verdict
from mlconsole.engine.access import Deed
from mlconsole.engine.views import ProbeView
from mlconsole.engine.wanted import contents
from mlconsole.plugin.errors import MLConsoleError, NotAllowed, UsageError
from mlconsole.plugin.measuring import AlarmLimits, Alarms, NativeAlarm, Signal

if TYPE_CHECKING:
    from mlconsole.engine.backend import Backend
    from mlconsole.engine.session import Session

ALARMS = "alarms"

EVERY = 20.0
"""Seconds between two times that the backend is asked."""

_STALE = 90.0
"""What was told longer ago says nothing of now (s)."""


@dataclass(frozen=True)
class Told:
    """How the alarms are; `alarms` None: nobody could tell lately, and `trouble` says why."""

    alarms: tuple[NativeAlarm, ...] | None
    trouble: str = ""


@dataclass
class _Kept:
    lock: threading.Lock
    asked: float = -math.inf
    at: float = -math.inf
    alarms: tuple[NativeAlarm, ...] = ()
    trouble: str = ""


_kept: weakref.WeakKeyDictionary[Backend, _Kept] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def bound(session: Session) -> bool:
    """Whether the backend has alarms that can be read."""
    return ALARMS in session.environment.roles


def look(session: Session, *, anew: bool = False) -> Told:
    """How they are; the backend is asked every so often, once for all who look in this process. Nothing where no role is bound."""
    if not bound(session):
        return Told(())
    with _making:
        kept = _kept.setdefault(session.backend, _Kept(threading.Lock()))
    with kept.lock:
        now = session.clock.elapsed()
        if anew or now - kept.asked >= EVERY:
            kept.asked = now
            try:
                role: Alarms = session.backend.role(ALARMS)
                endpoints = {name: content.names for name, content in contents(session).items()}
                kept.alarms = tuple(session.backend.asked("reading alarms", lambda: role.states(endpoints)))
                kept.at, kept.trouble = now, ""
            except MLConsoleError as error:
                kept.trouble = error.message
        fresh = now - kept.at <= _STALE
        return Told(kept.alarms if fresh else None, kept.trouble)


def answers(told: Told) -> Mapping[str, list[Answer]]:
    """What pages: endpoint (`""`: it names none of ours) → those in ALARM."""
    found: dict[str, list[Answer]] = {}
    for one in told.alarms or ():
        if one.signal is Signal.ALARM:
            since = one.since.timestamp() if one.since else None
            answer = Answer(
                Question.ALARM, Verdict.FAIL, one.variant, subject=neutralise(one.name), since=since, text=neutralise(one.reason)
            )
            found.setdefault(one.endpoint, []).append(answer)
    return found


def well(told: Told, subject: str) -> bool:
    """Whether the alarm of that name is OK again, or nobody watches one of that name any more."""
    if told.alarms is None:
        return False
    mine = [one for one in told.alarms if neutralise(one.name) == subject]
    return all(one.signal in (Signal.OK, Signal.MISSING) for one in mine)


def views(told: Told) -> tuple[ProbeView, ...]:
    """The alarms as the faces show what is looked at."""
    order = {Signal.ALARM: 0, Signal.MISSING: 1, Signal.NO_DATA: 2, Signal.OK: 3}
    oks = {Signal.OK: True, Signal.ALARM: False}
    return tuple(
        ProbeView(
            neutralise(one.name),
            "alarm",
            oks.get(one.signal),
            neutralise(_text(one)),
            one.since,
            None,
            (one.endpoint,) if one.endpoint else (),
        )
        for one in sorted(told.alarms or (), key=lambda alarm: (order[alarm.signal], alarm.name))
    )


def _text(one: NativeAlarm) -> str:
    stops = next((finding.text for finding in one.findings if finding.stops), "")
    state = {Signal.OK: "OK", Signal.ALARM: "ALARM", Signal.NO_DATA: "no data", Signal.MISSING: "missing"}[one.signal]
    return f"{state}: {one.reason or (one.rule.condition if one.rule else '')}".removesuffix(": ") + (f" · {stops}" if stops else "")


def guarding(told: Told, rollout: Rollout, endpoints: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """What they say of a rollout: those that were set off in it, those that are not OK for another reason, and how many were asked.

    One that was in ALARM before it began, or has no data, is no reason to go back, and none to go forward either.
    """
    opened: list[str] = []
    held: list[str] = []
    mine = [
        one
        for one in told.alarms or ()
        if (not one.endpoint or one.endpoint in endpoints) and (not one.variant or one.variant == rollout.variant)
    ]
    for one in mine:
        name = neutralise(one.name)
        if one.signal is Signal.ALARM and (one.since is None or one.since >= rollout.started):
            opened.append(f"{name} in ALARM: {neutralise(one.reason)}".removesuffix(": "))
        elif one.signal is Signal.ALARM:
            held.append(f"{name} was in ALARM before it began")
        elif one.signal is not Signal.OK:
            held.append(f"{name}: {'there is no alarm of that name' if one.signal is Signal.MISSING else 'it has no data'}")
    return tuple(opened), tuple(held), len(mine)


# Making them, and drills.


@dataclass(frozen=True)
class Wanted:
    """An alarm that the limits of an endpoint want."""

    endpoint: str
    rule: AlarmRule
    there: NativeAlarm | None
    findings: tuple[Finding, ...]


def wanted(session: Session, endpoint: str, *, errors: float | None = None, latency_ms: float | None = None) -> Sequence[Wanted]:
    """The alarms for each variant of an endpoint: by its health's limits where none are said.

    Raises:
        UsageError: the environment has no alarms, or the endpoint no variants.
    """
    role = _role(session)
    content = contents(session).get(endpoint)
    if content is None:
        raise (
            session.unknown_endpoint(endpoint)
            if endpoint not in session.known_endpoints()
            else UsageError(f"Nothing serves {endpoint} in {session.environment.name}: there is nothing that an alarm could watch.")
        )
    settings = session.workspace.endpoints.get(endpoint)
    known = settings.health if settings else None
    limits = AlarmLimits(errors if errors is not None else PLAIN_ERRORS, latency_ms or (known.latency_ms if known else None) or PLAIN_MS)
    there = {one.name: one for one in look(session, anew=True).alarms or ()}
    return tuple(Wanted(endpoint, rule, there.get(rule.name), lint(rule)) for rule in role.rules(endpoint, content.names, limits))


def create(session: Session, several: Sequence[Wanted]) -> None:
    """Make them, or bring them up to date.

    Raises:
        UsageError: one of them could never fire.
        NotAllowed: nothing may be changed in this session.
    """
    session.access.require(Deed.ALARM)
    stopped = [f"{one.rule.name}: {finding.text}" for one in several for finding in one.findings if finding.stops]
    if stopped:
        raise UsageError(f"{stopped[0]} Nothing was made.", next="Set another limit.")
    role = _role(session)
    for one in several:
        session.backend.changed(f"making the alarm {one.rule.name}", lambda one=one: role.create(one.endpoint, one.rule))  # type: ignore[misc]
    look(session, anew=True)


def drill(session: Session, name: str) -> None:
    """Set an alarm off, to see who hears of it: never in production.

    Raises:
        NotAllowed: it is production, or nothing may be changed in this session.
        NotFound: there is none of that name.
    """
    session.access.require(Deed.ALARM)
    if session.environment.production:
        raise NotAllowed(
            f"{session.environment.name} is production: an alarm is set off there by trouble only. Nothing was changed.",
            next="Drill it in another environment: mlconsole --env ENVIRONMENT health drill NAME",
        )
    role = _role(session)
    session.backend.changed(f"setting off the alarm {name}", lambda: role.drill(name, f"by {session.actor}, nothing is wrong"))
    look(session, anew=True)


def _role(session: Session) -> Alarms:
    if not bound(session):
        raise UsageError(
            f"Environment {session.environment.name} has no alarms of a backend.", next="Bind a role in mlconsole.yaml: `alarms: aws`."
        )
    role: Alarms = session.backend.role(ALARMS)
    return role


def findings(told: Told) -> Iterator[tuple[NativeAlarm, Finding]]:
    """What is wrong with those that are watched."""
    for one in told.alarms or ():
        for finding in one.findings:
            yield one, finding
