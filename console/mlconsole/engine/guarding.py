"""The guardian: it watches the environments of a workspace when nobody looks, tells people, mends what was interrupted, and runs repairs.

Each environment has a watch of its own, with threads of its own: one that looks, one that gives the sign of life, one that delivers
notices, one that carries out what was asked for. A backend or a channel that hangs holds up its own, never a sign of life or another
environment.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlconsole.core.text import duration, neutralise
from mlconsole.engine import acting, changing
from mlconsole.engine.access import Deed
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.notifying import Postman, Pulse
from mlconsole.plugin.errors import Conflict, Locked, MLConsoleError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_LOOK = 2.0
"""Seconds between the end of one look and the begin of the next."""

_BEAT = 2.0
"""Seconds between two signs of life."""

_STALE = 30.0
"""Seconds without a finished look after which the sign of life says so."""


_DAY = 86_400.0


@dataclass(frozen=True)
class Rounds:
    """What one pass over everything brought: for `guardian --once`."""

    environment: str
    alarms: int
    told: int
    trouble: str


class Guard:
    """Watches one environment until it is told to stop."""

    def __init__(self, session: Session, say: Callable[[str], None]) -> None:
        session.access.require(Deed.WATCH)
        self._session = session
        self._say = say
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._health = HealthWatch(session, guardian=True)
        self._postman, self._pulse = Postman(session), Pulse(session)
        self._looked = session.clock.elapsed()
        self._trouble = ""
        self._token = 0
        self._pruned = -_DAY
        self._threads: list[threading.Thread] = []

    @property
    def environment(self) -> str:
        """The one that it watches."""
        return self._session.environment.name

    @property
    def lost(self) -> bool:
        """Somebody else watches now."""
        return self._lost.is_set()

    def begin(self) -> None:
        """Take the watch.

        Raises:
            Conflict: somebody else has it.
        """
        channels = tuple(self._session.environment.channels)
        self._token = self._session.registry.watch(self.environment, self._session.actor, os.getpid(), every=_BEAT, channels=channels)
        for work, every in ((self._look, _LOOK), (self._beat, _BEAT), (self._tell, 1.0), (self._work, 1.0)):
            thread = threading.Thread(target=self._repeat, args=(work, every), daemon=True, name=f"guardian {self.environment}")
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Give the watch back; what is being done is left where the journal knows it."""
        self._stop.set()
        for thread in self._threads:
            thread.join(3.0)
        if not self.lost:
            self._session.registry.unwatch(self.environment, self._token)
        self._session.close()

    def once(self) -> Rounds:
        """One pass: look, judge, tell, mend, carry out; for a timer instead of a process that stays."""
        self._look()
        self._work()
        told = self._postman.deliver()
        self._pulse.beat()
        view = self._health.view
        return Rounds(self.environment, len(view.open_alarms) if view else 0, told, self._problem())

    def _repeat(self, work: Callable[[], None], every: float) -> None:
        """`work` again and again, whatever goes wrong in it: only being told to stop ends a watch."""
        while not self._stop.is_set():
            try:
                work()
            except MLConsoleError as error:
                self._complain(error.message)
            except Exception as error:  # noqa: BLE001 - the edge: a watch that dies of a bug would be the worst of all
                self._complain(f"{type(error).__name__}: {error}")
            self._stop.wait(every)

    def _complain(self, text: str) -> None:
        text = neutralise(text)
        if text != self._trouble:
            self._trouble = text
            self._say(f"{self.environment}: {text}")

    def _look(self) -> None:
        before = {one.number: one.state for one in self._health.view.open_alarms} if self._health.view else {}
        view = self._health.look()
        self._looked = self._session.clock.elapsed()
        self._trouble = ""
        now = {one.number: one for one in view.alarms}
        for number, alarm in now.items():
            if before.get(number) != alarm.state and (alarm.state != "closed" or number in before):
                self._say(f"{self.environment}: alarm {number} {alarm.state}: {', '.join(alarm.endpoints)} {alarm.title}")

    def _beat(self) -> None:
        try:
            self._session.registry.beat(self.environment, self._token, self._problem())
        except Conflict as error:
            self._say(f"{self.environment}: {error.message}")
            self._lost.set()
            self._stop.set()

    def _tell(self) -> None:
        self._postman.deliver()
        if self._session.clock.elapsed() - self._looked < _STALE:
            # Whoever hears the outgoing sign of life trusts that somebody really looks.
            self._pulse.beat()

    def _problem(self) -> str:
        quiet = self._session.clock.elapsed() - self._looked
        late = f"the last look was {duration(quiet)} ago" if quiet > _STALE else ""
        return "; ".join(dict.fromkeys(one for one in (late, self._trouble, self._postman.trouble, self._pulse.trouble) if one))

    def _work(self) -> None:
        if self._session.clock.elapsed() - self._pruned > _DAY:
            self._pruned = self._session.clock.elapsed()
            self._session.registry.prune_health()
        for operation in self._session.registry.unfinished(self.environment):
            if not changing.is_alive(self._session, operation):
                self._say(f"{self.environment}: change {operation.id} of {operation.endpoint} was interrupted; ending it")
                try:
                    outcome = changing.recover(self._session, operation)
                    self._say(f"{self.environment}: {outcome.sentence}")
                except Locked:
                    continue  # somebody else was quicker
        for run in acting.carry_out_asked(self._session):
            self._say(f"{self.environment}: {run.action} {run.state}: {run.told}")


class Guardian:
    """The guards of several environments in one process."""

    def __init__(self, sessions: Sequence[Session], say: Callable[[str], None] = lambda text: None) -> None:
        self._guards = [Guard(session, say) for session in sessions]
        self._say = say
        self._stop = threading.Event()

    def stop(self) -> None:
        """End it; usable from a signal handler."""
        self._stop.set()

    def run(self) -> bool:
        """Watch until `stop`; False when the watch over all of them was lost to somebody else.

        Raises:
            Conflict: all of them are watched by somebody else already.
        """
        begun: list[Guard] = []
        refused: list[Conflict] = []
        for guard in self._guards:
            try:
                guard.begin()
                begun.append(guard)
                self._say(f"{guard.environment}: watching")
            except Conflict as error:
                refused.append(error)
                self._say(f"{guard.environment}: {error.message}")
        if not begun and refused:
            raise refused[0]
        try:
            while not self._stop.wait(0.5):
                if all(guard.lost for guard in begun):
                    return False
        finally:
            for guard in begun:
                guard.end()
        return True

    def once(self) -> list[Rounds]:
        """One pass over each environment."""
        return [guard.once() for guard in self._guards]
