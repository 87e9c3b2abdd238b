"""History: which changes and releases there were, and what each step asked and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlconsole.engine.changing import find_operation, is_alive
from mlconsole.engine.telling import operation_view, release_view, step_view
from mlconsole.engine.views import OperationView, ReleaseView, StepView

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def changes(session: Session, endpoint: str | None = None, *, limit: int = 50) -> list[OperationView]:
    """The latest changes, newest first."""
    found = session.registry.operations(session.environment.name, endpoint, limit=limit)
    if endpoint is not None and not found and endpoint not in session.known_endpoints():
        raise session.unknown_endpoint(endpoint)
    return [operation_view(operation, alive=operation.state.terminal or is_alive(session, operation)) for operation in found]


def change(session: Session, what: str) -> tuple[OperationView, list[StepView]]:
    """One change with its steps, by its id, release (`relevance#43`) or endpoint (the latest)."""
    operation = find_operation(session, what)
    alive = operation.state.terminal or is_alive(session, operation)
    return operation_view(operation, alive=alive), [step_view(record) for record in session.registry.steps(operation.id)]


def releases(session: Session, endpoint: str | None = None, *, limit: int = 50) -> list[ReleaseView]:
    """The releases of an endpoint, or of all, newest first."""
    found = session.registry.releases(session.environment.name, endpoint, limit=limit)
    if endpoint is not None and not found and endpoint not in session.known_endpoints():
        raise session.unknown_endpoint(endpoint)
    return [release_view(recorded.release, recorded.standing) for recorded in found]
