"""Runs of actions: asked for by a person, claimed and carried out by the guardian, so that nobody has to stay connected."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session, col, select

from mlconsole.core.models import Actor, Json
from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.errors import Conflict, UnknownName
from mlconsole.registry import here
from mlconsole.registry.bodies import dump, load, moment
from mlconsole.registry.parts import Part, clock_time, note_event
from mlconsole.registry.tables import ActionRunTable

WAITS = timedelta(minutes=10)
"""So long a run waits for somebody to carry it out, while no other one is carried out."""


class RunState(StrEnum):
    """How far a run is; `DONE` and `FAILED` are its ends."""

    ASKED = "asked"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class ActionRun:
    """A run of an action of the workspace."""

    id: str
    environment: str
    action: str
    state: RunState
    actor: Actor
    """Who asked for it."""
    asked: datetime
    parameters: Mapping[str, Json] = field(default_factory=dict)
    alarm: int | None = None
    probe: str = ""
    reason: str = ""
    holder: Actor | None = None
    """Who carries it out."""
    pid: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    told: str = ""
    """What it did, or why it failed."""


class Runs(Part):
    """The runs of actions of each environment."""

    def ask_run(
        self,
        environment: str,
        action: str,
        parameters: Mapping[str, Json],
        actor: Actor,
        alarm: int | None = None,
        probe: str = "",
        reason: str = "",
    ) -> ActionRun:
        """Ask for a run; whoever watches the environment claims it.

        Raises:
            Conflict: the same action with the same parameters is asked for or running already.
        """

        def work(session: Session) -> ActionRun:
            now = self._clock.now()
            self._bury(session, environment, now)
            for row in _unfinished(session, environment):
                there = load(ActionRun, row.body)
                if there.action == action and there.parameters == dict(parameters):
                    since = clock_time(there.started or there.asked, now)
                    doing = "runs" if there.state is RunState.RUNNING else "is asked for"
                    raise Conflict(
                        f"{action} {doing} already since {since}, for {neutralise(str(there.actor))}. It was not asked for again.",
                        next=f"mlconsole action list tells how it goes (run {there.id}).",
                    )
            run = ActionRun(
                secrets.token_hex(4), environment, action, RunState.ASKED, actor, now, dict(parameters), alarm, probe, neutralise(reason)
            )
            row = ActionRunTable(
                id=run.id, environment=environment, action=action, state=run.state.value, asked=moment(now), body=dump(run)
            )
            session.add(row)
            _note(session, run, now, f"{actor} asked for {action}")
            return run

        return self._database.write(work)

    def claim_run(self, environment: str, holder: Actor) -> ActionRun | None:
        """Take the oldest run that nobody has, to carry it out in this process. Runs of processes that are gone are ended as failed."""

        def work(session: Session) -> ActionRun | None:
            now = self._clock.now()
            self._bury(session, environment, now)
            row = next((one for one in _unfinished(session, environment) if one.state == RunState.ASKED.value), None)
            if row is None:
                return None
            run = replace(load(ActionRun, row.body), state=RunState.RUNNING, holder=holder, pid=os.getpid(), started=now)
            row.place, row.pid, row.boot = here.place(), os.getpid(), here.boot_id()
            _save(session, row, run)
            return run

        # Looked at first without the lock: this is asked all the time, and there is almost never one.
        return self._database.write(work) if self._database.read(lambda session: bool(_unfinished(session, environment))) else None

    def end_run(self, run_id: str, state: RunState, told: str) -> ActionRun:
        """It came to an end. What ended already stays as it was.

        Raises:
            UnknownName: there is no such run.
        """

        def work(session: Session) -> ActionRun:
            row = session.exec(select(ActionRunTable).where(ActionRunTable.id == run_id)).first()
            if row is None:
                raise UnknownName(f"There is no run {neutralise(run_id)}. Nothing was changed.", next="mlconsole action list")
            run = load(ActionRun, row.body)
            if run.ended is None:
                run = _end(session, row, run, state, told, self._clock.now())
            return run

        return self._database.write(work)

    def run(self, run_id: str) -> ActionRun | None:
        """One run, or None."""

        def work(session: Session) -> ActionRun | None:
            row = session.exec(select(ActionRunTable).where(ActionRunTable.id == run_id)).first()
            return None if row is None else self._seen(row)

        return self._database.read(work)

    def runs(self, environment: str, limit: int = 50) -> list[ActionRun]:
        """The newest ones, newest first. One whose process is gone is told as failed, whether or not anybody has noted that yet."""
        statement = select(ActionRunTable).where(ActionRunTable.environment == environment).order_by(col(ActionRunTable.seq).desc())
        return self._database.read(lambda session: [self._seen(row) for row in session.exec(statement.limit(limit))])

    def _seen(self, row: ActionRunTable) -> ActionRun:
        run = load(ActionRun, row.body)
        return replace(run, state=RunState.FAILED, told=_lost(row)) if _is_lost(row) else run

    def _bury(self, session: Session, environment: str, now: datetime) -> None:
        """End what nobody will end any more. What was asked for long ago must not happen when somebody begins to watch at last."""
        unfinished = _unfinished(session, environment)
        runs = any(row.state == RunState.RUNNING.value and not _is_lost(row) for row in unfinished)
        for row in unfinished:
            run = load(ActionRun, row.body)
            if _is_lost(row):
                _end(session, row, run, RunState.FAILED, _lost(row), now)
            elif run.state is RunState.ASKED and not runs and now - run.asked > WAITS:
                _end(
                    session,
                    row,
                    run,
                    RunState.FAILED,
                    f"Nobody carried it out within {duration(WAITS.total_seconds())}. It was not run.",
                    now,
                )


def _unfinished(session: Session, environment: str) -> list[ActionRunTable]:
    statement = select(ActionRunTable).where(ActionRunTable.environment == environment, col(ActionRunTable.ended).is_(None))
    return list(session.exec(statement.order_by(col(ActionRunTable.seq))))


def _is_lost(row: ActionRunTable) -> bool:
    if row.state != RunState.RUNNING.value:
        return False
    return row.boot != here.boot_id() or (row.place == here.place() and here.is_gone(row.pid))


def _lost(row: ActionRunTable) -> str:
    why = "the machine was started again" if row.boot != here.boot_id() else f"its process {row.pid} is gone"
    return f"It was cut short: {why}. How far it came is not known; look before running it again."


def _end(session: Session, row: ActionRunTable, run: ActionRun, state: RunState, told: str, now: datetime) -> ActionRun:
    run = replace(run, state=state, ended=now, told=neutralise(told, keep_newlines=True))
    _save(session, row, run)
    _note(session, run, now, f"{run.action} {'done' if state is RunState.DONE else 'failed'}: {run.told.partition(chr(10))[0]}")
    return run


def _save(session: Session, row: ActionRunTable, run: ActionRun) -> None:
    row.state, row.body = run.state.value, dump(run)
    row.ended = None if run.ended is None else moment(run.ended)
    session.add(row)
    session.flush()


def _note(session: Session, run: ActionRun, now: datetime, text: str) -> None:
    if run.alarm is not None:
        note_event(session, run.alarm, now, "action", neutralise(text))
