"""What was released here, for roles that meet a variant's traces (its logs, captured data) and have to know what it is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mlconsole.core.documents import document_of
from mlconsole.engine.remembering import Memory

if TYPE_CHECKING:
    from mlconsole.core.models import ModelVersion
    from mlconsole.engine.session import Session

_REMEMBERED = 200
"""Releases that are looked through, beside those that are live."""


class Released:
    """The same for whoever asks again and again: read anew only when something was written."""

    def __init__(self, session: Session) -> None:
        self._session, self._memory = session, Memory(session)
        self._lock = threading.Lock()

    def __call__(self) -> dict[tuple[str, str], ModelVersion | None]:
        """Endpoint and variant → the version behind it."""
        with self._lock:
            self._memory.refresh()
            return self._memory.get("released", lambda: released_variants(self._session))


def released_variants(session: Session) -> dict[tuple[str, str], ModelVersion | None]:
    """Endpoint and variant → the version behind it, as far as it is registered; of a name that ran several, the newest."""
    registry, environment = session.registry, session.environment.name
    found: dict[tuple[str, str], ModelVersion | None] = {}
    recorded = registry.releases(environment, limit=_REMEMBERED)
    live = (registry.live_release(environment, row.name) for row in registry.endpoints(environment))
    for one in (*recorded, *(release for release in live if release is not None)):
        endpoint = one.release.endpoint
        for variant in one.release.content.variants if document_of(endpoint) is None else ():
            if (endpoint, variant.name) not in found:
                found[endpoint, variant.name] = registry.version(variant.model, variant.version)
    return found
