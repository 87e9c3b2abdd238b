"""What is wanted of each endpoint: what its live release says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlconsole.core.releases import NOTHING, Content

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def contents(session: Session) -> dict[str, Content]:
    """What the live release of each endpoint wants; those that were deleted are not there."""
    found = {}
    for row in session.registry.endpoints(session.environment.name):
        recorded = session.registry.live_release(session.environment.name, row.name)
        if recorded is not None and recorded.release.content != NOTHING:
            found[row.name] = recorded.release.content
    return found
