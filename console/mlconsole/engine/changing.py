"""Changes: run a plan, apply one by its id, go back, recover. Faces call these; the driver does the work."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mlconsole.core.documents import document_of, target_named, target_told
from mlconsole.core.live import Transition, VariantState, fingerprint
from mlconsole.core.operations import Cause, Operation, OperationState, Wanted
from mlconsole.core.plans import Plan
from mlconsole.core.releases import ReleaseKind, describe_content
from mlconsole.core.rollouts import CONTROLS, Control, RolloutState
from mlconsole.core.text import did_you_mean, duration, neutralise
from mlconsole.engine import approving, glass
from mlconsole.engine.access import Deed
from mlconsole.engine.announcing import telling
from mlconsole.engine.artifacts import check_artifact
from mlconsole.engine.driving import Drive
from mlconsole.engine.holding import LEASE_SECONDS, LeftBetween, Stop
from mlconsole.engine.planning import find_version
from mlconsole.engine.telling import operation_view
from mlconsole.engine.views import Outcome
from mlconsole.plugin.errors import (
    ConfirmationNeeded,
    Conflict,
    Locked,
    MLConsoleError,
    PlanOutdated,
    StillRunning,
    UnknownName,
    UsageError,
)

if TYPE_CHECKING:
    from mlconsole.core.operations import Lease
    from mlconsole.engine.session import Session
    from mlconsole.registry import Permit

_PAUSES = 10.0
"""Seconds that a rollout's driver gets to pause; one that gives no sign of life for so long does not drive any more."""

_DEEDS = {ReleaseKind.REVERT: Deed.GO_BACK, ReleaseKind.REMOVE: Deed.REMOVE, ReleaseKind.DELETE: Deed.REMOVE}


def confirmed(plan: Plan, *, yes: bool, typed: str | None) -> None:
    """Whether a person has said enough for this plan: yes, or the name that it wants typed.

    Raises:
        ConfirmationNeeded: not yet; `next` says what to add.
    """
    if plan.confirm is None:
        if typed is not None and typed != plan.endpoint:
            raise ConfirmationNeeded(f'"{typed}" is not {target_told(plan.endpoint)}. Nothing has happened.', next="Add --yes.")
        if not yes and typed is None:
            raise ConfirmationNeeded(
                "Nobody said yes to this plan, and there is no terminal to ask. Nothing was changed.", next="Add --yes."
            )
        return
    if typed is None:
        where = "production" if plan.confirm == plan.endpoint and plan.kind is not ReleaseKind.DELETE else plan.confirm
        raise ConfirmationNeeded(
            f"This changes {where}: it wants the name {plan.confirm}. Nothing was changed.", next=f"Add --confirm {plan.confirm}."
        )
    if typed != plan.confirm:
        raise mistyped(plan.endpoint, typed, plan.confirm)


def mistyped(target: str, typed: str, wanted: str) -> ConfirmationNeeded:
    """Another name was typed than the one that is wanted: of a config document perhaps the slice that was really meant."""
    document = document_of(target)
    if document is None or wanted == document:
        return ConfirmationNeeded(f'"{typed}" is not {wanted}. Nothing has happened.', next=f"Add --confirm {wanted}.")
    return ConfirmationNeeded(
        f"You typed {neutralise(typed)}, this change is for {wanted}. Nothing was published.",
        next=f"Add --confirm {wanted}; where another slice was meant: mlconsole config move {document} POINTER SLICE",
    )


def run(session: Session, plan: Plan, *, stop: Stop | None = None, rollout: str = "", driver: int = 0, supersedes: str = "") -> Outcome:
    """Carry a plan out: take the lease, look once more, journal, drive.

    A stage of a `rollout` shows its `driver`'s token; another change of an endpoint that is in one says which it `supersedes`.

    Raises:
        Locked: somebody else changes the scope.
        PlanOutdated: the live state is no longer the one that the plan was made from; nothing was changed.
        NotAllowed: read only; or nothing goes forward just now, and nobody broke the glass.
        ApprovalNeeded: the environment wants a colleague's word first; the request for it is made.
        StillRunning: the deadline ended while it was going back.
    """
    session.access.require(_DEEDS.get(plan.kind, Deed.GO_FORWARD))
    if plan.nothing_to_do:
        raise UsageError("Nothing to do.")
    _check_environment(session, f"Plan {plan.id}", plan.environment)
    if not rollout:  # whoever drives one heeds freezes at each stage
        glass.require_thawed(session, plan)
    _check_artifacts(session, plan)
    permit = None
    if not rollout and approving.covers(session, plan.kind):  # a rollout was approved when it began
        _check_state(session, plan)
        permit = approving.permit(session, plan)
    began = session.clock.elapsed()
    if not rollout and not supersedes and plan.kind is ReleaseKind.TRAFFIC:
        _pause_rollout(session, plan)
    purpose = f"{plan.kind} {target_told(plan.endpoint)}"
    leases = session.registry.take_leases(plan.environment, plan.scopes, session.actor, plan.id, purpose=purpose, seconds=LEASE_SECONDS)
    try:
        lease = next(one for one in leases if one.scope == plan.scope)
        operation = _begin(session, plan, lease, rollout, driver, supersedes, permit)
    except BaseException:
        for taken in leases:
            session.registry.drop(taken)
        raise
    ended = Drive(session, operation, leases, stop or Stop()).run()
    if ended.state is OperationState.DONE:
        _published(session, plan)
    return outcome(ended, session.clock.elapsed() - began)


def _published(session: Session, plan: Plan) -> None:
    """A draft that came to stand is none any more; what the version is expected to do is kept with it."""
    document = plan.then.document
    if document is None or plan.kind is ReleaseKind.REVERT:
        return
    from mlconsole.engine.forecasting import keep_quietly

    draft = session.registry.draft(plan.environment, document.name)
    if draft is not None and draft.base == document.before and draft.changed <= plan.made_at:
        with suppress(Conflict):  # somebody edits it on
            session.registry.drop_draft(plan.environment, document.name, draft.edition)
    keep_quietly(session, document)


def _pause_rollout(session: Session, plan: Plan) -> None:
    """Who moves the slider of an endpoint that is in a rollout pauses that: its driver obeys within a second, and the journal says so."""
    claim = session.registry.claim(plan.environment, plan.endpoint)
    if claim is None or Control.PAUSE not in CONTROLS[claim.state]:
        return
    session.registry.ask_control(claim.id, Control.PAUSE, session.actor, f"the slider was moved (change {plan.id})")
    session.tell("note", f"the rollout of {plan.endpoint} is paused by this; it goes on with: mlconsole rollout resume {plan.endpoint}")
    began = session.clock.elapsed()
    while session.clock.elapsed() - began < _PAUSES:
        now = session.registry.claim(plan.environment, plan.endpoint)
        if now is None or now.state is RolloutState.PAUSED:
            return
        session.clock.sleep(0.1)


def apply(session: Session, plan_id: str) -> Plan:
    """The stored plan of that id, if it can still be run: once, and on the state that it was made from.

    Raises:
        UnknownName: no such plan.
        PlanOutdated: it was run already, or the live state is another one.
    """
    plan = session.registry.plan(plan_id)
    if plan is None:
        known = [stored.id for stored in session.registry.plans(session.environment.name, limit=20)]
        raise UnknownName(f'There is no plan "{plan_id}". {did_you_mean(plan_id, known)}')
    _check_environment(session, f"Plan {plan.id}", plan.environment)
    if session.registry.plan_used(plan.id):
        raise PlanOutdated(
            f"Plan {plan.id} was run already; a plan runs once.", next=f"mlconsole history show {plan.id} tells how it went."
        )
    _check_state(session, plan)
    return plan


def interrupted_first(session: Session, endpoint: str, *, stop: Stop | None = None) -> Outcome | None:
    """Repair what an interrupted change left on the endpoint's scope, before another change is planned; None when nothing was left.

    Raises:
        Locked: a change is running there.
    """
    scope = session.backend.scope(endpoint)
    for operation in session.registry.unfinished(session.environment.name):
        if scope in operation.plan.scopes:
            if not is_alive(session, operation):
                session.tell("note", f"change {operation.id} of {target_told(operation.endpoint)} was interrupted; finishing it first")
            return recover(session, operation, stop=stop)
    return None


def recover(session: Session, operation: Operation, *, stop: Stop | None = None) -> Outcome:
    """End an interrupted change: fully new, or fully in its stored revert target.

    Raises:
        Locked: its driver is alive.
    """
    session.access.require(Deed.RECOVER)
    _check_environment(session, f"Change {operation.id}", operation.environment)
    began = session.clock.elapsed()
    leases = session.registry.take_leases(
        operation.environment,
        operation.plan.scopes,
        session.actor,
        operation.id,
        purpose=f"recovering {operation.plan.kind} {target_told(operation.endpoint)}",
        seconds=LEASE_SECONDS,
        takeover=True,
    )
    fresh = session.registry.operation(operation.id)
    if fresh is None or fresh.state.terminal:
        for lease in leases:
            session.registry.drop(lease)
        return outcome(fresh or operation, 0.0)
    ended = Drive(session, fresh, leases, stop or Stop()).resume()
    return outcome(ended, session.clock.elapsed() - began)


def go_back_now(session: Session, endpoint: str, *, stop: Stop | None = None) -> Outcome | None:
    """Make a change that is running, or was interrupted, on this endpoint go back. Abort always wins: a driver that does not obey within
    10 s is taken over. None when there is none, or when it came to stand before it could be asked: going back is a plan of its own then.

    Raises:
        LeftBetween: a person stopped waiting for it.
        StillRunning: it is going back, but not there yet when the deadline ended.
    """
    session.access.require(Deed.GO_BACK)
    running = next((one for one in session.registry.unfinished(session.environment.name) if one.endpoint == endpoint), None)
    if running is None:
        return None
    goes_back = running.plan.kind is ReleaseKind.REVERT  # then it is what was asked for, and is only seen to its end
    with suppress(Conflict):  # it came to its end just now; the loop sees to which
        if not goes_back:
            session.registry.ask(running.id, Wanted.GO_BACK, session.actor)
            session.tell("note", f"asked change {running.id} to go back to {describe_content(running.revert_to)}")
    began = session.clock.elapsed()
    while session.clock.elapsed() - began < session.deadline:
        now = session.registry.operation(running.id) or running
        if now.state.terminal:
            arrived = now.state is OperationState.DONE and not goes_back
            return None if arrived else outcome(now, session.clock.elapsed() - began)
        if not is_alive(session, now):
            try:
                return recover(session, now, stop=stop)
            except Locked:
                pass  # somebody else was quicker
        if stop is not None and stop.times:
            raise LeftBetween(
                f"Change {running.id} of {target_told(endpoint)} was asked to go back, and does that without you.",
                next=f"mlconsole wait {running.id} --env {running.environment}",
            )
        session.clock.sleep(0.2)
    raise StillRunning(
        f"{target_told(endpoint)} is still going back after {duration(session.deadline)}.",
        next=f"mlconsole wait {running.id} --env {running.environment}",
    )


def is_alive(session: Session, operation: Operation) -> bool:
    """Whether somebody drives the operation: its lease is held, and renewed within 10 s."""
    return any(row.alive and row.lease.operation == operation.id for row in session.registry.leases(operation.environment))


def wait(session: Session, what: str, *, timeout: float) -> Outcome:
    """Wait for a change (its id) or for whatever runs on an endpoint (its name).

    Raises:
        UnknownName: no such change or endpoint.
        StillRunning: the time ran out while the work goes on.
    """
    operation = find_operation(session, what)
    began = session.clock.elapsed()
    while True:
        if operation.state.terminal:
            return outcome(operation, session.clock.elapsed() - began)
        if session.clock.elapsed() - began >= timeout:
            alive = is_alive(session, operation)
            raise StillRunning(
                f"Change {operation.id} of {target_told(operation.endpoint)} is still {operation.state} after {duration(timeout)}"
                f"{'' if alive else ', and nobody drives it'}.",
                next=f"mlconsole {'wait' if alive else 'recover'} {operation.id} --env {operation.environment}",
            )
        session.clock.sleep(0.2)
        operation = session.registry.operation(operation.id) or operation


def find_operation(session: Session, what: str) -> Operation:
    """A change by its id, by its release (`relevance#43`), or the latest one of an endpoint.

    Raises:
        UnknownName: nothing of that name.
        UsageError: that change is of another environment.
    """
    environment, what = session.environment.name, target_named(what)
    operation = session.registry.operation(what)
    if operation is not None:
        _check_environment(session, f"Change {operation.id}", operation.environment)
        return operation
    endpoint, hash_sign, number = what.partition("#")
    if hash_sign and number.isdigit():
        recorded = session.registry.release(environment, endpoint, int(number))
        if recorded is not None and recorded.release.operation:
            operation = session.registry.operation(recorded.release.operation)
    elif operations := session.registry.operations(environment, what, limit=1):
        operation = operations[0]
    if operation is None:
        recent = session.registry.operations(environment, limit=50)
        known = [*(one.id for one in recent), *(one.endpoint for one in recent)]
        raise UnknownName(
            f'There is no change "{what}" in {environment}. {did_you_mean(what, known)}', next="mlconsole history list shows them."
        )
    return operation


def outcome(operation: Operation, seconds: float) -> Outcome:
    """How a change ended, in one sentence, with the exit code of design §6."""
    plan, target = operation.plan, target_told(operation.plan.endpoint)
    done = operation.state is OperationState.DONE
    if done:
        text = f"{target} is #{operation.release}: {describe_content(plan.then)}, read back in {duration(seconds)}."
        if plan.kind is ReleaseKind.REVERT and plan.equals:
            text = f"{target} went back: #{operation.release} equals #{plan.equals}: {describe_content(plan.then)}, read back."
        elif plan.kind is ReleaseKind.DELETE:
            text = f"{plan.endpoint} is deleted, read back."
        return Outcome(operation_view(operation), True, text, 0, seconds)
    document = document_of(plan.endpoint) is not None
    nothing, left = ("nothing published", "") if document else ("no such endpoint", "; what was created is removed")
    where = f"#{operation.revert_to_release}: {describe_content(operation.revert_to)}" if operation.revert_to_release else nothing
    text = f"{target} did not become #{operation.release}: {operation.problem}. It is as before ({where}){left}."
    return Outcome(operation_view(operation), False, text, 130 if _by_hand(operation) else 1, seconds)


def _by_hand(operation: Operation) -> bool:
    return operation.cause is Cause.ASKED and operation.problem.startswith("stopped by")


def _begin(session: Session, plan: Plan, lease: Lease, rollout: str, driver: int, supersedes: str, permit: Permit | None) -> Operation:
    unfinished = [one for one in session.registry.unfinished(plan.environment) if set(one.plan.scopes) & set(plan.scopes)]
    if unfinished:
        raise Locked(
            f"{target_told(plan.endpoint)} has an unfinished change, {unfinished[0].id}. Nothing was changed.",
            next=f"mlconsole recover {unfinished[0].id} --env {plan.environment}",
        )
    _check_state(session, plan)
    return session.registry.start_operation(
        plan,
        session.acting(),
        lease,
        plan.now,
        plan.made_from_release,
        rollout=rollout,
        driver=driver,
        supersedes=supersedes,
        approval=permit,
        tell=telling(session),
    )


def _check_environment(session: Session, what: str, environment: str) -> None:
    if environment != session.environment.name:
        raise UsageError(
            f"{what} is for {environment}, this is {session.environment.name}. Nothing was changed.", next=f"Add --env {environment}."
        )


def _check_state(session: Session, plan: Plan) -> None:
    live = session.backend.describe(plan.endpoint)
    recorded = session.registry.live_release(plan.environment, plan.endpoint)
    number, target = recorded.release.number if recorded else None, target_told(plan.endpoint)
    if number != plan.made_from_release:
        made_from, now = (f"#{one}" if one else "no release" for one in (plan.made_from_release, number))
        raise PlanOutdated(
            f"Plan {plan.id} was made from another state of {target} ({made_from}; live is now {now}). Nothing was changed.",
            next=f"Plan it again: {plan.command}",
        )
    if fingerprint(live) != plan.made_from:
        raise PlanOutdated(
            f"{target} was changed outside mlconsole since plan {plan.id} was made. Nothing was changed.",
            next=f"Plan it again: {plan.command}",
        )
    if live.transition is Transition.IN_PROGRESS and plan.kind is not ReleaseKind.REVERT:
        raise Conflict(f"{target} is changing at the backend just now. Nothing was changed.", next="Try again when it is settled.")


def _check_artifacts(session: Session, plan: Plan) -> None:
    """A version that has to be brought up must still be the bytes that were registered; going back is never held up by it, nor is what
    runs already (one update of a backend may name that, too).
    """
    if plan.kind is ReleaseKind.REVERT:
        return
    wanted = {variant.name: variant for step in plan.steps for variant in step.ensures}
    live = session.backend.describe(plan.endpoint) if wanted else None
    for variant in wanted.values():
        there = live.variant(variant.name) if live else None
        if there is None or there.state is not VariantState.READY or there.digest != variant.digest:
            check_artifact(session, find_version(session, variant.model, variant.version))


__all__ = [
    "MLConsoleError",
    "apply",
    "confirmed",
    "find_operation",
    "go_back_now",
    "interrupted_first",
    "is_alive",
    "outcome",
    "recover",
    "run",
    "wait",
]
