"""This machine's own servers: bringing up, taking down, looking; and the actions that plugins offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlconsole.core.models import Json
from mlconsole.engine.access import Deed
from mlconsole.plugin.errors import UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.plugin.roles import Lifecycle, Part


def up(session: Session) -> Sequence[Part]:
    """Start what should run on this machine for the environment and does not.

    Raises:
        UsageError: nothing of this environment lives here.
        Refused: the platform can't, a port is taken, the disk is full.
    """
    session.access.require(Deed.SERVERS)
    return _lifecycle(session).up()


def down(session: Session) -> Sequence[Part]:
    """Stop all of it and leave nothing behind."""
    session.access.require(Deed.SERVERS)
    return _lifecycle(session).down()


def parts(session: Session) -> Sequence[Part]:
    """What there is and how it is."""
    return _lifecycle(session).parts()


def run_action(session: Session, name: str, parameters: Mapping[str, str]) -> Mapping[str, Json]:
    """Run an action that a plugin of the environment offers; what it did."""
    session.access.require(Deed.SERVERS)
    return session.backend.action(name).run(parameters)


def _lifecycle(session: Session) -> Lifecycle:
    lifecycle = session.backend.lifecycle()
    if lifecycle is None:
        raise UsageError(
            f"Nothing of {session.environment.name} lives on this machine (its serving role is {session.environment.roles.get('serving')})."
        )
    return lifecycle
