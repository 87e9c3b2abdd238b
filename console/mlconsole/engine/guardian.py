"""The guardian: one process that keeps the watches of a workspace's environments, and follows what mlconsole.yaml says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mlconsole.core.text import neutralise
from mlconsole.engine.access import Deed
from mlconsole.engine.guarding import Guard, Rounds
from mlconsole.plugin.errors import Conflict, MLConsoleError

if TYPE_CHECKING:
    from pathlib import Path

    from mlconsole.engine.session import Session

_SETTINGS = 1.0
"""Seconds between two looks at whether mlconsole.yaml changed."""


class Guardian:
    """The guards of several environments in one process.

    Args:
        sessions: the environments, one session each.
        say: is told what happens.
        again: the sessions anew, of those environments that want watching by now: asked when mlconsole.yaml changed. None: it is not
            looked at any more.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        say: Callable[[str], None] = lambda text: None,
        again: Callable[[], Sequence[Session]] | None = None,
    ) -> None:
        self._guards = {session.environment.name: Guard(session, say) for session in sessions}
        self._elsewhere: dict[str, Session] = {}
        """Environments that somebody else watches; when nobody does any more it is done here."""
        self._say = say
        self._again = again
        self._file = sessions[0].workspace.file if sessions else None
        self._stamp = _stamp(self._file)
        self._stop = threading.Event()

    def stop(self) -> None:
        """End it; usable from a signal handler."""
        self._stop.set()

    def run(self) -> bool:
        """Watch until `stop`; False when the watch over all of them was lost to somebody else.

        Raises:
            Conflict: all of them are watched by somebody else already.
        """
        refused = [error for guard in list(self._guards.values()) if (error := self._begin(guard)) is not None]
        if not self._guards and refused:
            raise refused[0]
        due = 0.0
        try:
            while not self._stop.wait(0.5):
                if self._guards and all(guard.lost for guard in self._guards.values()):
                    return False
                if time.monotonic() >= due:
                    due = time.monotonic() + _SETTINGS
                    self._look_at_settings()
                    self._stand_by()
        finally:
            for guard in self._guards.values():
                guard.stop()
            for guard in self._guards.values():
                guard.end()
            self._forget_elsewhere()
        return True

    def once(self) -> list[Rounds]:
        """One pass over each environment."""
        return [guard.once() for guard in self._guards.values()]

    def _begin(self, guard: Guard) -> Conflict | None:
        """Begin one watch; where somebody else has it, why."""
        try:
            guard.begin()
        except Conflict as error:
            self._say(f"{guard.environment}: {error.message}")
            self._leave(guard)
            return error
        self._say(f"{guard.environment}: watching")
        return None

    def _leave(self, guard: Guard) -> None:
        """Somebody else watches it; this one stands by."""
        del self._guards[guard.environment]
        self._elsewhere[guard.environment] = guard.session.again()
        guard.end()

    def _stand_by(self) -> None:
        """Watch what somebody else did, and nobody does any more."""
        for guard in [one for one in self._guards.values() if one.lost]:
            if not all(one.lost for one in self._guards.values()):
                self._leave(guard)
        for name, session in list(self._elsewhere.items()):
            with suppress(MLConsoleError):  # the registry is locked just now: asked again
                row = session.registry.watcher(name)
                if row is None or not row.alive:
                    self._guards[name] = Guard(session, self._say)
                    del self._elsewhere[name]
                    self._begin(self._guards[name])

    def _forget_elsewhere(self) -> None:
        for session in self._elsewhere.values():
            session.close()
        self._elsewhere.clear()

    def _look_at_settings(self) -> None:
        """Watch on with what mlconsole.yaml says now, where it changed; where it can't be used, with what it said before, and say so."""
        stamp = _stamp(self._file)
        if self._again is None or stamp == self._stamp:
            return
        self._stamp = stamp
        fresh: Sequence[Session] = ()
        try:
            fresh = self._again()
            for session in fresh:
                session.access.require(Deed.WATCH)
                session.check()
        except Exception as error:  # noqa: BLE001 - whatever is in the file, or in a plugin that it names: the watch goes on
            problem = error.message if isinstance(error, MLConsoleError) else f"{type(error).__name__}: {error}"
            for guard in self._guards.values():
                guard.settings_problem = neutralise(f"the former settings count: {problem}")
            self._say(neutralise(f"mlconsole.yaml changed and can't be used, the former settings count: {problem}"))
            for session in fresh:
                session.close()
            return
        self._say("mlconsole.yaml changed: it counts from now on")
        self._forget_elsewhere()
        wanted = {session.environment.name: session for session in fresh}
        for name in [name for name, guard in self._guards.items() if name not in wanted or guard.lost]:
            self._guards.pop(name).end()
            if name not in wanted:
                self._say(f"{name}: it is not to be watched any more")
        for name, session in wanted.items():
            if name in self._guards:
                self._guards[name].renew(session)
            else:
                self._guards[name] = Guard(session, self._say)
                self._begin(self._guards[name])


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    """What tells that a file was written or replaced; None: it is not there."""
    try:
        told = file.stat() if file is not None else None
    except OSError:
        return None
    return (told.st_mtime_ns, told.st_size, told.st_ino) if told is not None else None
