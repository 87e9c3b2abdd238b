"""Identifying: as whom we act at a backend, until when those credentials hold, and whether that is long enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlconsole.core.clock import Clock
from mlconsole.core.text import neutralise
from mlconsole.core.wording import clock
from mlconsole.engine.calls import Calls
from mlconsole.engine.views import CallerView
from mlconsole.plugin.errors import AuthFailed, MLConsoleError
from mlconsole.plugin.roles import Caller, Identity

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_AGAIN = 30.0
"""Seconds for which an answer counts: who logs in again is seen soon enough, and a driver asks all the time."""

_FIRST = 0.5
"""Seconds that a first look waits for it."""

_ANSWERS = 3.0
"""Seconds that an answer is waited for: nothing may hang on it."""


class Identifying:
    """Asks the first of a backend's roles that knows as whom we act there.

    Args:
        roles: all of them, made when they are asked for.
        calls: the backend's pool.
    """

    def __init__(self, roles: Callable[[], Iterable[Any]], calls: Calls, clock: Clock) -> None:
        self._roles, self._calls, self._clock = roles, calls, clock
        self._caller: Caller | None = None
        self._asked: float | None = None

    def caller(self) -> Caller | None:
        """Whose credentials are used. None: no role knows. One that does not answer is no reason to forget what it said before.

        Raises:
            AuthFailed: they are missing, wrong, or have run out.
        """
        now = self._clock.elapsed()
        if self._asked is not None and now - self._asked < _AGAIN:
            return self._caller
        self._asked = now
        try:
            role = next((one for one in self._roles() if isinstance(one, Identity)), None)
            if role is not None:
                self._caller = _harmless(self._calls.ask("asking as whom we act", role.identity, deadline=_ANSWERS))
        except AuthFailed:
            self._asked = None  # whoever logs in again is seen at once
            raise
        except Exception:  # noqa: BLE001, S110 - a part that is broken, or an adapter's own bug, must keep nobody from going back
            pass
        return self._caller


class Acting:
    """As whom a session acts, for who looks all the time: asked in the background, so that no look waits for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._caller: CallerView | None = None
        self._asked: float | None = None
        self._answered = threading.Event()

    def ask(self) -> None:
        """Begin to ask, unless that was done a moment ago."""
        now = self._session.clock.elapsed()
        if self._asked is None or (now - self._asked >= _AGAIN and self._answered.is_set()):
            self._asked = now
            self._answered.clear()
            threading.Thread(target=self._ask, name="asking as whom we act", daemon=True).start()

    @property
    def caller(self) -> CallerView | None:
        """What was said last; only the first time it is waited for, for a moment."""
        if self._caller is None:
            self._answered.wait(_FIRST)
        return self._caller

    def _ask(self) -> None:
        try:
            self._caller = caller_view(self._session.backend.caller())
        except MLConsoleError:
            self._asked = None  # whoever logs in again is seen at once; until when they held is still known
        finally:
            self._answered.set()


def _harmless(caller: Caller) -> Caller:
    """As a backend told it, with nothing in it that a terminal would obey; a time without a zone is UTC."""
    expires = caller.expires
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    return replace(
        caller, name=neutralise(caller.name), account=neutralise(caller.account), region=neutralise(caller.region), expires=expires
    )


def caller_view(caller: Caller | None) -> CallerView | None:
    """A caller for a face."""
    return None if caller is None else CallerView(caller.name, caller.account, caller.region, caller.expires)


def credentials_told(caller: Caller | CallerView, now: datetime, whose: str = "its") -> str:
    """`its credentials do not run out`, `… last until 18:30`, `… ran out at 07:58`."""
    if caller.expires is None:
        return f"{whose} credentials do not run out"
    over = caller.expires <= now
    return f"{whose} credentials {'ran out at' if over else 'last until'} {clock(caller.expires, now)}"


def too_short(caller: Caller | None, ends: datetime, now: datetime, *, whose: str, what: str, about: str = "") -> str:
    """`The guardian's credentials end 12:40, the bake ends 14:00`; empty where they last that long, or nobody knows."""
    if caller is None or caller.expires is None or caller.expires >= ends:
        return ""
    end = "ran out at" if caller.expires <= now else "end"
    return f"{whose} credentials {end} {clock(caller.expires, now)}, {what} ends {clock(ends, now)}{about}"
