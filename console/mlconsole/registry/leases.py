"""Leases: the right to change one scope. One holder at a time, a token that rises for ever, and who holds it told to the others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import CursorResult, Update
from sqlmodel import Session, col, select, update

from mlconsole.core.models import Actor
from mlconsole.core.operations import Lease, Operation, OperationState, StepRecord, StepState
from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.errors import Locked
from mlconsole.registry import here
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.parts import LeaseRow, Part, clock_time, held_row, lost_meanwhile, steps_of, unfinished_on
from mlconsole.registry.tables import LeaseTable, OperationTable

SILENT = 10.0
"""Seconds without a sign of life after which whoever goes back may take the lease over (invariant 5)."""


class Leases(Part):
    """Who may change what just now."""

    def take_lease(
        self, environment: str, scope: str, holder: Actor, operation: str, purpose: str, seconds: float = 30, *, takeover: bool = False
    ) -> Lease:
        """`take_leases` for one scope."""
        return self.take_leases(environment, (scope,), holder, operation, purpose, seconds, takeover=takeover)[0]

    def take_leases(
        self,
        environment: str,
        scopes: Iterable[str],
        holder: Actor,
        operation: str,
        purpose: str,
        seconds: float = 30,
        *,
        takeover: bool = False,
    ) -> tuple[Lease, ...]:
        """Take the leases on all `scopes`, or none; in name order. They last `seconds` from their last renewal.

        A lease whose holder is dead (run out, of another boot, its process gone) is taken, unless it left a change that is not at its end:
        that has to be recovered first. With `takeover`, which is for recovering and going back, it is taken all the same, and also from a
        holder without a sign of life for more than `SILENT` seconds.

        Raises:
            Locked: who holds which since when, doing what; nothing was taken.
        """
        names = sorted(set(scopes))

        def work(session: Session) -> tuple[Lease, ...]:
            return tuple(self._take(session, environment, scope, holder, operation, purpose, seconds, takeover) for scope in names)

        return self._database.write(work)

    def renew(self, lease: Lease) -> Lease:
        """The holder is alive: the lease lasts its whole time again. The returned one has the new end.

        Raises:
            Conflict: it is no longer the newest, or was dropped.
        """

        def work(session: Session) -> Lease:
            row = held_row(session, lease)
            now = self._clock.elapsed()
            renewed = {"renewed": now, "renewed_at": moment(self._clock.now()), "expires": now + row.seconds}
            if _changed(session, _newest(lease).values(**renewed)) != 1:
                raise lost_meanwhile(lease)
            return replace(lease, expires=now + row.seconds)

        return self._database.write(work)

    def drop(self, lease: Lease) -> bool:
        """Give a lease back. False: it was not this holder's any more, and nothing was changed."""
        return self._database.write(lambda session: _changed(session, _newest(lease).values(held=False)) == 1)

    def leases(self, environment: str | None = None) -> list[LeaseRow]:
        """The leases that are held, dead ones too, by environment and scope."""
        statement = select(LeaseTable).where(col(LeaseTable.held)).order_by(col(LeaseTable.environment), col(LeaseTable.scope))
        if environment is not None:
            statement = statement.where(LeaseTable.environment == environment)
        return self._database.read(lambda session: [self._lease_row(row) for row in session.exec(statement)])

    def heartbeat_age(self, operation_id: str) -> float | None:
        """Seconds since the last sign of life of whoever holds the lease on the operation's scope; None: nobody does."""

        def work(session: Session) -> float | None:
            key = session.exec(select(OperationTable.environment, OperationTable.scope).where(OperationTable.id == operation_id)).first()
            row = None if key is None else session.get(LeaseTable, tuple(key))
            return self._age(row) if row is not None and row.held else None

        return self._database.read(work)

    def _take(
        self, session: Session, environment: str, scope: str, holder: Actor, operation: str, purpose: str, seconds: float, takeover: bool
    ) -> Lease:
        row = session.get(LeaseTable, (environment, scope))
        held = row if row is not None and row.held else None
        if held is not None and not self._dead_because(held) and not (takeover and self._age(held) > SILENT):
            raise Locked(self._told_alive(session, held), next=f"Wait: mlconsole wait {scope}.")
        stopped = None if takeover else unfinished_on(session, environment, scope)
        if stopped is not None:
            raise Locked(
                self._told_stopped(session, scope, stopped, held),
                next=f"Finish it one way or the other first: mlconsole recover --env {environment}.",
            )
        now, wall = self._clock.elapsed(), self._clock.now()
        token = 1 if row is None else row.token + 1
        values: dict[str, Any] = {
            "token": token,
            "held": True,
            "holder": dump(holder),
            "place": here.place(),
            "pid": os.getpid(),
            "boot": here.boot_id(),
            "operation": operation,
            "purpose": purpose,
            "seconds": seconds,
            "taken_at": moment(wall),
            "taken": now,
            "renewed_at": moment(wall),
            "renewed": now,
            "expires": now + seconds,
        }
        if row is None:
            row = LeaseTable(environment=environment, scope=scope, **values)
            session.add(row)
            session.flush()
        else:
            mine = update(LeaseTable).where(
                col(LeaseTable.environment) == environment, col(LeaseTable.scope) == scope, col(LeaseTable.token) == row.token
            )
            if _changed(session, mine.values(**values)) != 1:
                raise Locked(
                    f"{scope} was locked by somebody else meanwhile. Nothing was changed.", next="mlconsole status tells what runs."
                )
            session.refresh(row)
        return _lease(row)

    def _lease_row(self, row: LeaseTable) -> LeaseRow:
        why = self._dead_because(row)
        return LeaseRow(_lease(row), alive=not why, age=self._age(row), dead_because=why)

    def _dead_because(self, row: LeaseTable) -> str:
        now = self._clock.elapsed()
        if row.boot != here.boot_id() or row.taken > now:  # the clock of one boot never goes back
            return "the machine was started again since"
        if row.place == here.place() and here.is_gone(row.pid):
            return f"its process {row.pid} is gone"
        if now >= row.expires:
            return "it ran out"
        return ""

    def _age(self, row: LeaseTable) -> float:
        now = self._clock.elapsed()
        if row.boot == here.boot_id() and row.renewed <= now:
            return now - row.renewed
        return max(0.0, (self._clock.now() - from_moment(row.renewed_at)).total_seconds())

    def _told_alive(self, session: Session, row: LeaseTable) -> str:
        doing = [neutralise(row.purpose)] if row.purpose else []
        operation = unfinished_on(session, row.environment, row.scope)
        if operation is not None and (at := _at_step(session, operation)):
            doing.append(at)
        doing.append(f"alive {duration(self._age(row))} ago")
        since = clock_time(from_moment(row.taken_at), self._clock.now())
        return f"{row.scope} is locked by {neutralise(str(load(Actor, row.holder)))} since {since} ({', '.join(doing)})."

    def _told_stopped(self, session: Session, scope: str, operation: Operation, row: LeaseTable | None) -> str:
        who = operation.actor if row is None else load(Actor, row.holder)
        since = clock_time(operation.started if row is None else from_moment(row.taken_at), self._clock.now())
        doing = [neutralise(row.purpose)] if row is not None and row.purpose else [f"change {operation.id}"]
        if row is not None:
            doing.append(f"last sign of life {duration(self._age(row))} ago")
        where = _stopped_where(session, operation)
        return f"{scope} is locked by {neutralise(str(who))} since {since} ({', '.join(doing)}). Its change {operation.id} stopped {where}."


def _newest(lease: Lease) -> Update:
    return update(LeaseTable).where(
        col(LeaseTable.environment) == lease.environment,
        col(LeaseTable.scope) == lease.scope,
        col(LeaseTable.token) == lease.token,
        col(LeaseTable.held),
    )


def _changed(session: Session, statement: Update) -> int:
    result = session.exec(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def _lease(row: LeaseTable) -> Lease:
    return Lease(
        environment=row.environment,
        scope=row.scope,
        holder=load(Actor, row.holder),
        pid=row.pid,
        operation=row.operation,
        token=row.token,
        boot=row.boot,
        taken_at=from_moment(row.taken_at),
        taken=row.taken,
        expires=row.expires,
        purpose=row.purpose,
    )


def _at_step(session: Session, operation: Operation) -> str:
    if operation.state is OperationState.GOING_BACK:
        return "going back"
    at = _place(operation, [record for record in steps_of(session, operation.id) if not record.back])
    return f"step {at} of {len(operation.plan.steps)}" if at else ""


def _stopped_where(session: Session, operation: Operation) -> str:
    if operation.state is OperationState.GOING_BACK:
        return "while it went back"
    records = [record for record in steps_of(session, operation.id) if not record.back]
    at = _place(operation, records)
    if not at:
        return "before its first step"
    if records[-1].state is not StepState.DONE:
        return f"in step {at} of {len(operation.plan.steps)}"
    return f"between step {at} and {at + 1}" if at < len(operation.plan.steps) else "after its last step"


def _place(operation: Operation, forward: list[StepRecord]) -> int:
    """Which step of the plan was begun last, from 1; 0: none. A step that was tried again has an index of its own, but one place."""
    steps = operation.plan.steps
    return steps.index(forward[-1].step) + 1 if forward and forward[-1].step in steps else 0
