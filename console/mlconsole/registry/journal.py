"""The journal: operations, their steps, and what people ask of them. Whoever writes shows the newest lease, in the same transaction."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import CursorResult
from sqlmodel import Session, col, select, update

from mlconsole.core.documents import Document, config_target
from mlconsole.core.models import Actor
from mlconsole.core.operations import LEGAL_EXITS, Cause, Lease, Operation, OperationState, StepRecord, StepState, Wanted
from mlconsole.core.plans import Plan
from mlconsole.core.releases import Content, Release, Standing
from mlconsole.plugin.errors import Conflict, Locked, PlanOutdated, UnknownName
from mlconsole.registry.approvals import Permit, spend
from mlconsole.registry.bodies import dump, load, moment
from mlconsole.registry.claims import Telling, admit
from mlconsole.registry.parts import Part, endpoint_row, held_row, make_live, release_row, steps_of, unfinished_on
from mlconsole.registry.plans import plan_row
from mlconsole.registry.tables import ControlTable, OperationTable, PlanTable, ReleaseTable, StepTable


class Journal(Part):
    """Every change, from its intent to its end."""

    def start_operation(
        self,
        plan: Plan,
        actor: Actor,
        lease: Lease,
        revert_to: Content,
        revert_to_release: int | None,
        *,
        rollout: str = "",
        driver: int = 0,
        supersedes: str = "",
        approval: Permit | None = None,
        tell: Telling | None = None,
    ) -> Operation:
        """Begin the one operation that this plan may have: its release gets a number and is pending, its revert target is stored.

        The plan is kept if it was not yet. A change of a `rollout` shows its newest `driver`'s token. On an endpoint that is in a rollout
        others may only go back, or say which rollout they supersede: that ends it. What becomes of a rollout by it people are told in the
        same transaction, as `tell` says. With `approval` that is used up by it.

        Raises:
            Conflict: the lease is not the newest any more, or not of this plan's scope; the endpoint's claim does not let it begin; the
                approval does not hold.
            PlanOutdated: the plan was run before.
            Locked: another change of the scope is not at its end.
        """
        plan_body = dump(plan)

        def work(session: Session) -> Operation:
            row = held_row(session, lease)
            _check_scope(lease, plan.environment, plan.scope, plan.id)
            self._use(session, plan, plan_body)
            other = unfinished_on(session, plan.environment, plan.scope)
            if other is not None:
                raise Locked(
                    f"{plan.scope} has a change that is not at its end ({other.id}). Nothing was changed.",
                    next=f"Finish it one way or the other first: mlconsole recover --env {plan.environment}.",
                )
            now = self._clock.now()
            admit(session, plan, actor, now, rollout=rollout, driver=driver, supersedes=supersedes, tell=tell)
            if approval is not None:
                spend(session, approval, plan.environment, plan.endpoint, plan.id, now)
            release = self._pending(session, plan, actor, rollout)
            operation = Operation(plan.id, plan, release.number, revert_to, revert_to_release, now, actor, rollout=rollout)
            session.add(
                OperationTable(
                    id=operation.id,
                    environment=plan.environment,
                    endpoint=plan.endpoint,
                    scope=plan.scope,
                    release=release.number,
                    state=operation.state,
                    body=dump(operation),
                )
            )
            row.operation = operation.id
            session.add(row)
            return operation

        return self._database.write(work)

    def intend_step(self, record: StepRecord, lease: Lease) -> None:
        """Write down a step before its call (invariant 1). Intending a step again is another try of it, on a line of its own.

        Raises:
            Conflict: the lease is not the newest any more, or the operation is at its end.
        """
        body = dump(record)

        def work(session: Session) -> None:
            _open_operation(session, record.operation, lease)
            session.add(
                StepTable(
                    operation=record.operation,
                    back=record.back,
                    place=record.index,
                    phase=record.step.phase,
                    state=record.state,
                    ended=None if record.ended is None else moment(record.ended),
                    body=body,
                )
            )

        self._database.write(work)

    def close_step(self, record: StepRecord, lease: Lease) -> None:
        """Write down what came of the newest try of that step. An *unknown* one may be closed again; *done* and *failed* stay.

        Raises:
            Conflict: the lease is not the newest any more, the operation is at its end, or no such step is open.
        """
        body = dump(record)

        def work(session: Session) -> None:
            _open_operation(session, record.operation, lease)
            row = session.exec(
                select(StepTable)
                .where(StepTable.operation == record.operation, StepTable.place == record.index, StepTable.back == record.back)
                .order_by(col(StepTable.seq).desc())
            ).first()
            if row is None or row.state not in (StepState.INTENDED, StepState.UNKNOWN):
                what = "was never intended" if row is None else f"is {row.state} already"
                raise Conflict(f"Step {record.index} of change {record.operation} {what}. Nothing was changed.", next="Report this.")
            row.phase, row.state, row.body = record.step.phase, record.state, body
            row.ended = None if record.ended is None else moment(record.ended)
            session.add(row)

        self._database.write(work)

    def set_state(self, operation_id: str, state: OperationState, lease: Lease, cause: Cause | None = None, problem: str = "") -> Operation:
        """An operation that goes on in another state: it is going back, and why. `finish` ends it.

        Raises:
            Conflict: the lease is not the newest any more, or that state may not follow.
        """
        if state.terminal:
            raise ValueError(f"{state} is an end: finish() writes that")

        def work(session: Session) -> Operation:
            row, operation = _open_operation(session, operation_id, lease)
            return _moved(session, row, operation, state, cause, problem)

        return self._database.write(work)

    def finish(
        self,
        operation_id: str,
        state: OperationState,
        lease: Lease,
        cause: Cause | None = None,
        problem: str = "",
        former: Standing = Standing.PAST,
        published: Document | None = None,
    ) -> Operation:
        """End an operation, all in one: its release is live (and the one before it `former`), or failed; the lease is given back.

        A cause or problem that is not given stays as `set_state` wrote it. `published`: the config document as the operation left it, where
        an endpoint's change published one; the document gets a release of its own by that.

        Raises:
            Conflict: the lease is not the newest any more, or that end may not follow.
        """
        if not state.terminal:
            raise ValueError(f"{state} is no end: set_state() writes that")

        def work(session: Session) -> Operation:
            row, operation = _open_operation(session, operation_id, lease)
            ended = _moved(session, row, replace(operation, ended=self._clock.now()), state, cause, problem)
            release = release_row(session, row.environment, row.endpoint, row.release)
            assert release is not None  # a foreign key
            if state is OperationState.DONE:
                make_live(session, release, former)
            else:
                release.standing = Standing.FAILED
                session.add(release)
            if published is not None:
                self._published(session, ended, published)
            held = held_row(session, lease)
            held.held = False
            session.add(held)
            return ended

        return self._database.write(work)

    def operation(self, operation_id: str) -> Operation | None:
        """One operation, or None."""

        def work(session: Session) -> Operation | None:
            row = _row(session, operation_id)
            return None if row is None else load(Operation, row.body)

        return self._database.read(work)

    def operations(self, environment: str, endpoint: str | None = None, limit: int = 50) -> list[Operation]:
        """The newest `limit` operations of an endpoint, or of the whole environment; newest first."""
        statement = select(OperationTable.body).where(OperationTable.environment == environment)
        if endpoint is not None:
            statement = statement.where(OperationTable.endpoint == endpoint)
        statement = statement.order_by(col(OperationTable.seq).desc()).limit(limit)
        return self._database.read(lambda session: [load(Operation, body) for body in session.exec(statement)])

    def unfinished(self, environment: str | None = None) -> list[Operation]:
        """The operations that are not at their end, oldest first; whether somebody still drives them, the leases tell."""
        statement = select(OperationTable.body).where(col(OperationTable.ended).is_(None)).order_by(col(OperationTable.seq))
        if environment is not None:
            statement = statement.where(OperationTable.environment == environment)
        return self._database.read(lambda session: [load(Operation, body) for body in session.exec(statement)])

    def steps(self, operation_id: str) -> list[StepRecord]:
        """The operation's steps in the order of intent, every try of its own, those of going back too."""
        return self._database.read(lambda session: steps_of(session, operation_id))

    def ask(self, operation_id: str, wanted: Wanted, by: Actor) -> None:
        """Ask something of a running operation; no lease is needed, and who asked first is kept.

        Raises:
            UnknownName: there is no such operation.
            Conflict: it is at its end already.
        """
        actor = dump(by)

        def work(session: Session) -> None:
            row = _row(session, operation_id)
            if row is None:
                raise UnknownName(f'There is no change "{operation_id}".', next="See which there are: mlconsole history.")
            if row.ended is not None:
                raise Conflict(
                    f"Change {operation_id} is at its end already ({row.state}). Nothing was changed.",
                    next=f"Go back with a change of its own: mlconsole revert {row.endpoint}.",
                )
            there = session.get(ControlTable, operation_id)
            if there is None:
                session.add(ControlTable(operation=operation_id, wanted=wanted, actor=actor, asked_at=moment(self._clock.now())))
            elif there.wanted != wanted:
                there.wanted, there.actor, there.asked_at = wanted, actor, moment(self._clock.now())
                session.add(there)

        self._database.write(work)

    def wanted(self, operation_id: str) -> tuple[Wanted, Actor] | None:
        """What was asked of the operation and by whom; None: nothing."""

        def work(session: Session) -> tuple[Wanted, Actor] | None:
            row = session.get(ControlTable, operation_id)
            return None if row is None else (Wanted(row.wanted), load(Actor, row.actor))

        return self._database.read(work)

    def _published(self, session: Session, operation: Operation, document: Document) -> None:
        plan, target = operation.plan, config_target(document.name)
        row = endpoint_row(session, plan.environment, target)
        before = release_row(session, plan.environment, target, row.live_release) if row.live_release is not None else None
        if before is not None and load(Release, before.body).content.document == document:
            return
        row.last_number += 1
        session.add(row)
        release = Release(
            environment=plan.environment,
            endpoint=target,
            number=row.last_number,
            content=Content(document=document),
            kind=plan.kind,
            created=self._clock.now(),
            actor=operation.actor,
            reason=plan.reason,
            made_from=None if before is None else before.number,
            rollout=operation.rollout,
            by=f"{plan.endpoint}#{operation.release}",
        )
        new = ReleaseTable(
            environment=plan.environment, endpoint=target, number=release.number, standing=Standing.PENDING, body=dump(release)
        )
        session.add(new)
        session.flush()
        make_live(session, new, Standing.PAST)

    def _use(self, session: Session, plan: Plan, body: str) -> None:
        if session.exec(select(PlanTable.id).where(PlanTable.id == plan.id)).first() is None:
            session.add(plan_row(plan, body))
            session.flush()
        result = session.exec(update(PlanTable).where(col(PlanTable.id) == plan.id, ~col(PlanTable.used)).values(used=True))
        assert isinstance(result, CursorResult)
        if result.rowcount != 1:
            raise PlanOutdated(
                f"Plan {plan.id} was run already; a plan runs once. Nothing was changed.", next=f"Make it again: {plan.command}"
            )

    def _pending(self, session: Session, plan: Plan, actor: Actor, rollout: str) -> Release:
        endpoint = endpoint_row(session, plan.environment, plan.endpoint)
        endpoint.last_number += 1
        session.add(endpoint)
        release = Release(
            environment=plan.environment,
            endpoint=plan.endpoint,
            number=endpoint.last_number,
            content=plan.then,
            kind=plan.kind,
            created=self._clock.now(),
            actor=actor,
            reason=plan.reason,
            made_from=plan.made_from_release,
            equals=plan.equals,
            operation=plan.id,
            skipped_gates=plan.skipped_gates,
            rollout=rollout,
        )
        session.add(
            ReleaseTable(
                environment=plan.environment, endpoint=plan.endpoint, number=release.number, standing=Standing.PENDING, body=dump(release)
            )
        )
        session.flush()
        return release


def _row(session: Session, operation_id: str) -> OperationTable | None:
    return session.exec(select(OperationTable).where(OperationTable.id == operation_id)).first()


def _open_operation(session: Session, operation_id: str, lease: Lease) -> tuple[OperationTable, Operation]:
    held_row(session, lease)
    row = _row(session, operation_id)
    if row is None:
        raise UnknownName(f'There is no change "{operation_id}".', next="See which there are: mlconsole history.")
    _check_scope(lease, row.environment, row.scope, operation_id)
    operation = load(Operation, row.body)
    if row.ended is not None or operation.state.terminal:
        raise Conflict(
            f"Change {operation_id} is at its end already ({operation.state}). Nothing was changed.", next="See: mlconsole history."
        )
    return row, operation


def _check_scope(lease: Lease, environment: str, scope: str, operation_id: str) -> None:
    if (lease.environment, lease.scope) != (environment, scope):
        raise Conflict(
            f"Change {operation_id} is of {scope} in {environment}; the lock that was shown is on {lease.scope} in {lease.environment}. "
            "Nothing was changed.",
            next="Report this.",
        )


def _moved(
    session: Session, row: OperationTable, operation: Operation, state: OperationState, cause: Cause | None, problem: str
) -> Operation:
    if state not in LEGAL_EXITS[operation.state]:
        raise Conflict(f"Change {operation.id} is {operation.state}; {state} can't follow that. Nothing was changed.", next="Report this.")
    moved = replace(operation, state=state, cause=cause or operation.cause, problem=problem or operation.problem)
    row.state, row.body = moved.state, dump(moved)
    row.ended = None if moved.ended is None else moment(moved.ended)
    session.add(row)
    return moved
