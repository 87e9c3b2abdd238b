"""Who changed something past us: asked in the background of whichever role knows, once for each change that is seen, and then kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.clock import Clock
from mlconsole.core.live import Live, fingerprint
from mlconsole.core.releases import Release
from mlconsole.core.text import neutralise
from mlconsole.core.wording import clock as clock_told
from mlconsole.engine.calls import Calls
from mlconsole.plugin.authoring import Authored, Authors
from mlconsole.plugin.errors import ChangedOutside, MLConsoleError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_AGAIN = 60.0
"""Seconds after which a silent journal is asked again."""

_LAGS = timedelta(minutes=20)
"""So long after a change was first seen its author may still become known; later nobody is asked."""

_MOST = 200
"""Changes whose authors are kept."""

REFUSING = 3.0
"""Seconds that a refusal waits for the name; a look waits for nothing."""


@dataclass
class _Asked:
    first: datetime
    author: Authored | None = None
    asked: float | None = None
    done: threading.Event = field(default_factory=threading.Event)
    running: bool = False


class Authoring:
    """The authors of one backend's outside changes.

    Args:
        roles: those that know, made when they are first asked for.
        calls: the backend's pool.
    """

    def __init__(self, roles: Callable[[], Sequence[Authors]], calls: Calls, clock: Clock) -> None:
        self._roles, self._calls, self._clock = roles, calls, clock
        self._known: dict[tuple[str, str], _Asked] = {}
        self._lock = threading.Lock()
        self._silence = ""

    def author(self, target: str, state: str, since: datetime, *, wait: float = 0.0) -> Authored | None:
        """Who made `target` be in `state`, after `since`; None: not known, or not yet. For `wait` seconds at most it is waited for."""
        with self._lock:
            one = self._known.setdefault((target, state), _Asked(self._clock.now()))
            while len(self._known) > _MOST:
                self._known.pop(next(iter(self._known)))
            now = self._clock.elapsed()
            due = one.asked is None or (now - one.asked >= _AGAIN and self._clock.now() - one.first < _LAGS)
            if one.author is None and due and not one.running:
                one.running, one.asked = True, now
                one.done.clear()
                threading.Thread(target=self._ask, args=(one, target, since), name="asking who changed it", daemon=True).start()
        if wait > 0 and one.author is None:
            one.done.wait(wait)
        return one.author

    def told(self, target: str, state: str, since: datetime, *, wait: float = 0.0) -> str:
        """`by alice (UpdateEndpoint, 14:02)`, or that it is not known yet; empty where nobody here would know."""
        found = self.author(target, state, since, wait=wait)
        if found is not None:
            parts = [found.what, clock_told(found.when, self._clock.now()), *([found.source] if found.source else [])]
            return f"by {found.name} ({', '.join(parts)})"
        one = self._known.get((target, state))
        waiting = self._silence and one is not None and self._clock.now() - one.first < _LAGS
        return f"by somebody ({self._silence})" if waiting else ""

    def _ask(self, one: _Asked, target: str, since: datetime) -> None:
        try:
            for role in self._roles():
                found = self._calls.ask("asking who changed it", lambda role=role: role.author(target, since), deadline=10.0)  # type: ignore[misc]
                if found is not None:
                    one.author = _harmless(found)
                    return
                self._silence = neutralise(role.silence())
        except MLConsoleError:
            pass  # that nobody can say who it was is no trouble of its own
        except Exception:  # noqa: BLE001, S110 - a thread's edge: an adapter's own bug may keep nobody from choosing
            pass
        finally:
            one.running = False
            one.done.set()


def _harmless(found: Authored) -> Authored:
    """As a backend told it, with nothing in it that a terminal would obey."""
    when = found.when if found.when.tzinfo is not None else found.when.replace(tzinfo=UTC)
    return replace(found, name=neutralise(found.name), when=when, what=neutralise(found.what), source=neutralise(found.source))


def told_of(session: Session, release: Release, live: Live, *, wait: float = 0.0) -> str:
    """Who made a release's target be as it is live, in words; empty where nobody here would know."""
    authoring = session.backend.authoring
    return authoring.told(release.endpoint, fingerprint(live), release.created, wait=wait) if authoring is not None else ""


def signed(session: Session, outside: ChangedOutside, release: Release, live: Live, *, wait: float = REFUSING) -> ChangedOutside:
    """The same refusal, with who it was where that is known within `wait` seconds."""
    who = told_of(session, release, live, wait=wait)
    if not who:
        return outside
    return ChangedOutside(outside.message.replace("changed outside mlconsole", f"changed outside mlconsole {who}", 1), next=outside.next)
