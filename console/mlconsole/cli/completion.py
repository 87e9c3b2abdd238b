"""Shell completion of names that only the workspace knows. Whatever goes wrong, it offers nothing and stays silent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def _session() -> Session:
    from mlconsole.engine.session import Session
    from mlconsole.workspace import environment, find_workspace, load

    workspace = load(find_workspace(None, os.environ, Path.cwd()))
    return Session(workspace, environment(workspace, None, os.environ), read_only=True, deadline=2.0)


def _complete(begun: str, names: Callable[[Session], Iterable[str]]) -> list[str]:
    try:
        return [name for name in names(_session()) if name.startswith(begun)]
    except Exception:  # noqa: BLE001 - a completion that fails must not spoil the line that is being typed
        return []


def complete_endpoint(incomplete: str) -> list[str]:
    """Endpoints of the environment."""
    return _complete(incomplete, lambda session: session.known_endpoints())


def complete_target(incomplete: str) -> list[str]:
    """Endpoints of the environment, and its config documents as targets (`config:models`)."""
    return _complete(incomplete, lambda session: session.known_targets())


def complete_document(incomplete: str) -> list[str]:
    """Config documents of the workspace."""
    return _complete(incomplete, lambda session: session.workspace.configs)


def complete_version(incomplete: str) -> list[str]:
    """Registered versions as MODEL@VERSION."""
    return _complete(incomplete, lambda session: [version.name for version in session.registry.versions()])


def complete_model(incomplete: str) -> list[str]:
    """Models."""
    return _complete(incomplete, lambda session: session.registry.models())


def complete_operation(incomplete: str) -> list[str]:
    """Recent changes, by id."""
    return _complete(incomplete, lambda session: [one.id for one in session.registry.operations(session.environment.name, limit=20)])


def complete_action(incomplete: str) -> list[str]:
    """Actions that can be run here."""
    from mlconsole.engine.acting import actions

    return _complete(incomplete, lambda session: [one.name for one in actions(session)])
