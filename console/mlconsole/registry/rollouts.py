"""Rollouts: the claim on an endpoint, what happened, and what people ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from mlconsole.core.documents import target_told
from mlconsole.core.errors import UsageError
from mlconsole.core.models import Actor
from mlconsole.core.rollouts import CONTROLS, Control, Rollout, RolloutState
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import AlreadyExists, Conflict, Locked
from mlconsole.plugin.roles import Notice
from mlconsole.registry.approvals import Permit, spend
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.claims import claim_row, claimed, held_driver, move, note_rollout, over, rollout_row, told, where_it_is
from mlconsole.registry.parts import Part
from mlconsole.registry.tables import (
    EndpointTable,
    OperationTable,
    RolloutControlTable,
    RolloutEventTable,
    RolloutTable,
)

_WANT_A_REASON = (Control.NEXT, Control.FORWARD)


@dataclass(frozen=True)
class RolloutEvent:
    """Something that happened in a rollout."""

    at: datetime
    kind: str
    text: str
    key: str | None = None


@dataclass(frozen=True)
class RolloutControl:
    """Something that a person asked of a rollout."""

    seq: int
    rollout: str
    control: Control
    actor: Actor
    reason: str
    asked: datetime
    done: datetime | None = None
    """When a driver had obeyed, or the rollout was over; None: it is still to be done."""


class Rollouts(Part):
    """The rollouts of each environment, at most one unfinished for each endpoint."""

    def begin_rollout(
        self, rollout: Rollout, *, approval: Permit | None = None, notice: Notice | None = None, channels: Sequence[str] = ()
    ) -> Rollout:
        """Begin a rollout: from now on the endpoint carries its claim. With `approval` that is used up by it.

        `notice` is sent to each of `channels`, once.

        Raises:
            Conflict: the endpoint has a claim already, is not what the rollout was planned from, or the approval does not hold.
            Locked: a change of the endpoint is not at its end.
            AlreadyExists: a rollout of that id was begun before.
        """
        if rollout.state.terminal:
            raise ValueError(f"{rollout.state} is an end")
        body = dump(rollout)

        def work(session: Session) -> Rollout:
            now = self._clock.now()
            there = claim_row(session, rollout.environment, rollout.endpoint)
            if there is not None:
                raise claimed(load(Rollout, there.body), now)
            if session.exec(select(RolloutTable.seq).where(RolloutTable.id == rollout.id)).first() is not None:
                raise AlreadyExists(f"Rollout {rollout.id} was begun already. Nothing was changed.", next="Make its plan again.")
            _nothing_else(session, rollout)
            if approval is not None:
                spend(session, approval, rollout.environment, rollout.endpoint, rollout.id, now)
            session.add(
                RolloutTable(
                    id=rollout.id, environment=rollout.environment, endpoint=rollout.endpoint, state=rollout.state.value, body=body
                )
            )
            session.flush()
            by = f"{where_it_is(rollout)}, policy {rollout.policy.name}, by {rollout.actor}"
            self._told(session, rollout, ("started", f'{by}: "{rollout.reason}"' if rollout.reason else by, "started"), notice, channels)
            return rollout

        return self._database.write(work)

    def rollout(self, rollout_id: str) -> Rollout | None:
        """One rollout, or None."""

        def work(session: Session) -> Rollout | None:
            body = session.exec(select(RolloutTable.body).where(RolloutTable.id == rollout_id)).first()
            return None if body is None else load(Rollout, body)

        return self._database.read(work)

    def rollouts(self, environment: str, endpoint: str | None = None, limit: int = 50) -> list[Rollout]:
        """The newest `limit` rollouts of an endpoint, or of the whole environment; newest first."""
        statement = select(RolloutTable.body).where(RolloutTable.environment == environment)
        if endpoint is not None:
            statement = statement.where(RolloutTable.endpoint == endpoint)
        statement = statement.order_by(col(RolloutTable.seq).desc()).limit(limit)
        return self._database.read(lambda session: [load(Rollout, body) for body in session.exec(statement)])

    def unfinished_rollouts(self, environment: str | None = None) -> list[Rollout]:
        """The rollouts that are not over, oldest first; whether somebody drives them, `rollout_driver` tells."""
        statement = select(RolloutTable.body).where(col(RolloutTable.ended).is_(None)).order_by(col(RolloutTable.seq))
        if environment is not None:
            statement = statement.where(RolloutTable.environment == environment)
        return self._database.read(lambda session: [load(Rollout, body) for body in session.exec(statement)])

    def claim(self, environment: str, endpoint: str) -> Rollout | None:
        """The rollout that the endpoint is in, or None."""

        def work(session: Session) -> Rollout | None:
            row = claim_row(session, environment, endpoint)
            return None if row is None else load(Rollout, row.body)

        return self._database.read(work)

    def save_rollout(
        self,
        rollout: Rollout,
        token: int,
        event: tuple[str, str, str | None] | None = None,
        notice: Notice | Callable[[Rollout], Notice | None] | None = None,
        channels: Sequence[str] | Callable[[Notice], Sequence[str]] = (),
        *,
        yields: bool = False,
    ) -> Rollout:
        """Write down how a rollout is now, with what happened (kind, text, key) and whom to tell of it: all or nothing.

        `notice` goes to each of `channels` once for each `key` in the life of the rollout; an event whose key was noted before is not noted
        again. At its end `ended` is set, the claim and the driver's right are given back, and what was still asked counts as done. With
        `yields` nothing is written where somebody asked to go back meanwhile: abort always wins.

        Raises:
            Conflict: the driver's token is not the newest any more, or that state may not follow (terminal is terminal); it yields.
            UnknownName: there is no such rollout.
        """

        def work(session: Session) -> Rollout:
            now = self._clock.now()
            row = rollout_row(session, rollout.id)
            if row.ended is not None:
                raise over(row, now)
            held_driver(session, row, token, now)
            if yields and any(one.control is Control.REVERT for one in _controls(session, rollout.id)):
                told_ = target_told(row.endpoint)
                raise Conflict(f"The rollout of {told_} was asked to go back just now: that comes first. Nothing was changed.")
            _same_one(load(Rollout, row.body), rollout)
            moved = move(session, row, rollout, now)
            if event is not None:
                self._told(session, moved, event, notice, channels)
            return moved

        return self._database.write(work)

    def note_rollout(self, rollout_id: str, token: int, kind: str, text: str, key: str | None = None) -> bool:
        """Note something that changes no state. False: that `key` was noted before.

        Raises:
            Conflict: the driver's token is not the newest any more.
        """

        def work(session: Session) -> bool:
            now = self._clock.now()
            held_driver(session, rollout_row(session, rollout_id), token, now)
            return note_rollout(session, rollout_id, now, kind, text, key)

        return self._database.write(work)

    def rollout_events(self, rollout_id: str) -> list[RolloutEvent]:
        """What happened in a rollout, oldest first."""
        statement = select(RolloutEventTable).where(RolloutEventTable.rollout == rollout_id).order_by(col(RolloutEventTable.seq))

        def work(session: Session) -> list[RolloutEvent]:
            return [RolloutEvent(from_moment(row.at), row.kind, row.text, row.key) for row in session.exec(statement)]

        return self._database.read(work)

    def ask_control(self, rollout_id: str, control: Control, actor: Actor, reason: str = "") -> RolloutControl:
        """Ask something of a rollout; no lease is needed. What was asked last and is not done yet, asked again, is one.

        Raises:
            UnknownName: there is no such rollout.
            Conflict: it is over, or that can't be asked in its state.
            UsageError: a reason is wanted and none is given.
        """
        if control in _WANT_A_REASON and not reason.strip():
            raise UsageError(f'"{control}" wants a reason. Nothing was changed.', next="Add --reason.")

        def work(session: Session) -> RolloutControl:
            now = self._clock.now()
            row = rollout_row(session, rollout_id)
            if row.ended is not None:
                raise over(row, now)
            pending = _controls(session, rollout_id)
            if pending and pending[-1].control is control:
                return pending[-1]
            _check_askable(row, control, pending)
            asked = RolloutControlTable(
                rollout=rollout_id, wanted=control.value, reason=neutralise(reason.strip()), actor=dump(actor), asked_at=moment(now)
            )
            session.add(asked)
            session.flush()
            return _control(asked)

        return self._database.write(work)

    def controls(self, rollout_id: str, *, pending: bool = True) -> list[RolloutControl]:
        """What people ask of a rollout and is still to be done, in the order in which they asked; without `pending` all of it."""
        return self._database.read(lambda session: _controls(session, rollout_id, pending))

    def control_done(self, seq: int, token: int) -> bool:
        """A driver has obeyed (or it made no sense any more). False: it was done before, or there is no such line.

        Raises:
            Conflict: the driver's token is not the newest any more.
        """

        def work(session: Session) -> bool:
            row = session.get(RolloutControlTable, seq)
            if row is None or row.done_at is not None:
                return False
            now = self._clock.now()
            held_driver(session, rollout_row(session, row.rollout), token, now)
            row.done_at = moment(now)
            session.add(row)
            return True

        return self._database.write(work)

    def _told(
        self,
        session: Session,
        rollout: Rollout,
        event: tuple[str, str, str | None],
        notice: Notice | Callable[[Rollout], Notice | None] | None,
        channels: Sequence[str] | Callable[[Notice], Sequence[str]],
    ) -> None:
        found = notice(rollout) if callable(notice) else notice
        takers = () if found is None else channels(found) if callable(channels) else channels
        told(session, rollout, event, found, takers, self._clock.now())


def _nothing_else(session: Session, rollout: Rollout) -> None:
    busy = session.exec(
        select(OperationTable.id).where(
            OperationTable.environment == rollout.environment,
            OperationTable.endpoint == rollout.endpoint,
            col(OperationTable.ended).is_(None),
        )
    ).first()
    if busy is not None:
        raise Locked(
            f"{target_told(rollout.endpoint)} is being changed (change {busy}), so no rollout begins. Nothing was changed.",
            next=f"Wait: mlconsole wait {rollout.endpoint}.",
        )
    endpoint = session.get(EndpointTable, (rollout.environment, rollout.endpoint))
    if endpoint is not None and endpoint.live_release is not None and endpoint.live_release != rollout.revert_to_release:
        raise Conflict(
            f"{target_told(rollout.endpoint)} is #{endpoint.live_release} by now; this rollout was planned from "
            f"#{rollout.revert_to_release}, and would go back to that. Nothing was changed.",
            next="Plan it again.",
        )


def _same_one(before: Rollout, after: Rollout) -> None:
    """What is stored when a rollout starts is never worked out later (trap 17)."""
    for name in ("environment", "endpoint", "variant", "revert_to", "revert_to_release", "started"):
        if getattr(before, name) != getattr(after, name):
            raise ValueError(f"the {name} of a rollout does not change")


def _check_askable(row: RolloutTable, control: Control, pending: Sequence[RolloutControl]) -> None:
    state = RolloutState(row.state)
    may = set(CONTROLS[state])
    # What is asked already and not done yet counts: who asked to pause may ask to resume before the driver looked.
    asked = [one.control for one in pending if one.control in (Control.PAUSE, Control.RESUME)]
    if asked and asked[-1] is Control.PAUSE:
        may |= set(CONTROLS[RolloutState.PAUSED])
    elif asked:
        may.add(Control.PAUSE)
    if control in may:
        return
    open_ones = [one.value for one in Control if one in may]
    raise Conflict(
        f'The rollout of {target_told(row.endpoint)} is {state}: "{control}" can\'t be asked of it now. Nothing was changed.',
        next=f"What can be: {', '.join(open_ones)}." if open_ones else f"Wait: mlconsole wait {row.id}.",
    )


def _controls(session: Session, rollout_id: str, pending: bool = True) -> list[RolloutControl]:
    statement = select(RolloutControlTable).where(RolloutControlTable.rollout == rollout_id)
    if pending:
        statement = statement.where(col(RolloutControlTable.done_at).is_(None))
    return [_control(row) for row in session.exec(statement.order_by(col(RolloutControlTable.seq)))]


def _control(row: RolloutControlTable) -> RolloutControl:
    assert row.seq is not None
    return RolloutControl(
        seq=row.seq,
        rollout=row.rollout,
        control=Control(row.wanted),
        actor=load(Actor, row.actor),
        reason=row.reason,
        asked=from_moment(row.asked_at),
        done=None if row.done_at is None else from_moment(row.done_at),
    )
