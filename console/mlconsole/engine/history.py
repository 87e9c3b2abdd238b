"""History: which changes, requests for approval and releases there were, and what each step asked and read back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from mlconsole.engine import approving
from mlconsole.engine.changing import find_operation, is_alive
from mlconsole.engine.telling import operation_view, release_view, step_view
from mlconsole.engine.views import ApprovalView, OperationView, ReleaseView, StepView

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def changes(session: Session, endpoint: str | None = None, *, limit: int = 50) -> list[OperationView]:
    """The latest changes, newest first."""
    found = session.registry.operations(session.environment.name, endpoint, limit=limit)
    if endpoint is not None and not found and endpoint not in session.known_targets():
        raise session.unknown_endpoint(endpoint)
    return [operation_view(operation, alive=operation.state.terminal or is_alive(session, operation)) for operation in found]


def change(session: Session, what: str) -> tuple[OperationView, list[StepView]]:
    """One change with its steps, by its id, release (`relevance#43`) or endpoint (the latest)."""
    operation = find_operation(session, what)
    alive = operation.state.terminal or is_alive(session, operation)
    return operation_view(operation, alive=alive), [step_view(record) for record in session.registry.steps(operation.id)]


def requests(session: Session, endpoint: str | None = None, *, limit: int = 50) -> list[ApprovalView]:
    """The newest requests for approval, open or over, newest first."""
    return approving.requests(session, endpoint, open_only=False, limit=limit)


def entries(session: Session, endpoint: str | None = None, *, limit: int = 50) -> list[OperationView | ApprovalView]:
    """The latest changes and requests for approval, by when they were begun or asked for, newest first."""
    found: list[OperationView | ApprovalView] = [*changes(session, endpoint, limit=limit), *requests(session, endpoint, limit=limit)]
    return sorted(found, key=began, reverse=True)[:limit]


def began(one: OperationView | ApprovalView) -> datetime:
    """When a change was begun, or a request asked for."""
    return one.started if isinstance(one, OperationView) else one.asked


def request(session: Session, what: str) -> ApprovalView | None:
    """The request that is meant by its number, or as the history calls it (`request 12`); None where a change is meant.

    Raises:
        UnknownName: `request 12` is meant, and there is none of that number.
    """
    name = what.removeprefix("request ").strip()
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        return None
    if name == what and (session.registry.operation(what) is not None or session.registry.approval(int(name)) is None):
        return None  # a change's id may be all digits
    return approving.view(session, int(name))


def approval_of(session: Session, what: str) -> ApprovalView | None:
    """The approval that a change, or the rollout that it is a stage of, was begun with; None where it needed none."""
    operation = find_operation(session, what)
    used = {operation.id, operation.rollout} - {""}
    return next((one for one in requests(session, operation.endpoint, limit=1000) if one.used in used), None)


def releases(session: Session, endpoint: str | None = None, *, limit: int = 50) -> list[ReleaseView]:
    """The releases of an endpoint, or of all, newest first."""
    found = session.registry.releases(session.environment.name, endpoint, limit=limit)
    if endpoint is not None and not found and endpoint not in session.known_targets():
        raise session.unknown_endpoint(endpoint)
    return [release_view(recorded.release, recorded.standing) for recorded in found]
