"""The watch of one environment: it looks when nobody does, tells people, mends what was interrupted, and runs repairs.

It has threads of its own: one that looks, one that gives the sign of life, one that delivers notices, one that ends interrupted changes,
one that carries out what was asked for, one for each rollout. A backend or a channel that hangs holds up its own, never a sign of life or
another environment. `engine.guardian` keeps the watches of a workspace.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlconsole.core.documents import target_told
from mlconsole.core.text import duration, neutralise
from mlconsole.engine import acting, changing
from mlconsole.engine.access import Deed
from mlconsole.engine.conducting import Conductor
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.identifying import credentials_told
from mlconsole.engine.notifying import Postman, Pulse, tell_of_gap
from mlconsole.engine.patience import jittered
from mlconsole.plugin.errors import AuthFailed, Conflict, Locked, MLConsoleError, RegistryNewer

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.plugin.roles import Caller

_LOOK = 2.0
"""Seconds between the end of one look and the begin of the next."""

_BEAT = 2.0
"""Seconds between two signs of life."""

_FORECAST = 20.0
"""Seconds between two looks at the forecasts of published versions."""

_IDENTIFY = 5.0
"""Seconds between two times that it is asked as whom it acts at the backend, which asks that more seldom."""

_STALE = 30.0
"""Seconds without a finished look after which the sign of life says so."""

_ENDS = 3.0
"""Seconds that what is under way gets when the watch ends."""

_DAY = 86_400.0


@dataclass(frozen=True)
class Rounds:
    """What one pass over everything brought: for `guardian --once`."""

    environment: str
    alarms: int
    told: int
    trouble: str


@dataclass
class _Means:
    """What a watch is kept with, from one state of mlconsole.yaml to the next."""

    session: Session
    health: HealthWatch = field(init=False)
    postman: Postman = field(init=False)
    pulse: Pulse = field(init=False)
    users: int = 0
    """Threads that work with it just now."""

    def __post_init__(self) -> None:
        self.health = HealthWatch(self.session, guardian=True)
        self.postman, self.pulse = Postman(self.session), Pulse(self.session)


class Guard:
    """Watches one environment until it is told to stop."""

    def __init__(self, session: Session, say: Callable[[str], None]) -> None:
        session.access.require(Deed.WATCH)
        self._means = _Means(session)
        self._lock = threading.Lock()
        self._say = say
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._clock = session.clock
        self._looked = session.clock.elapsed()
        self._trouble = ""
        self._states: dict[int, str] = {}
        """Each alarm that was open at the last look."""
        self._token = 0
        self._caller: Caller | None = None
        """As whom it acts at the backend, as far as that was told last."""
        self._refused = ""
        """Why the backend takes its credentials no more."""
        self._pruned = -_DAY
        self._threads: list[threading.Thread] = []
        self._conductors: dict[str, Conductor | None] = {}
        """Rollout → who drives it here; None: about to begin."""
        self.environment = session.environment.name
        """The one that it watches."""
        self.settings_problem = ""
        """Why mlconsole.yaml as it is now can't be used, so that the former one counts."""

    @property
    def session(self) -> Session:
        """What it watches with now."""
        return self._means.session

    @property
    def lost(self) -> bool:
        """Somebody else watches now."""
        return self._lost.is_set()

    def begin(self) -> None:
        """Take the watch. Where it was lost without a word for longer than a moment, people are told when nobody watched.

        Raises:
            Conflict: somebody else has it.
        """
        session = self._means.session
        former = session.registry.watcher(self.environment)
        channels = tuple(session.environment.channels)
        self._token = session.registry.watch(self.environment, session.actor, os.getpid(), every=_BEAT, channels=channels)
        if former is not None and tell_of_gap(session, former):
            self._say(f"{self.environment}: nobody watched since {former.beat.astimezone():%Y-%m-%d %H:%M:%S} ({former.dead_because})")
        for work, every in (
            (self._look, _LOOK),
            (self._beat, _BEAT),
            (self._identify, _IDENTIFY),
            (self._tell, 1.0),
            (self._mend, 1.0),
            (self._work, 1.0),
            (self._roll, 1.0),
            (self._forecast, _FORECAST),
        ):
            thread = threading.Thread(target=self._repeat, args=(work, every), daemon=True, name=f"guardian {self.environment}")
            self._threads.append(thread)
            thread.start()

    def renew(self, session: Session) -> None:
        """Watch on with what mlconsole.yaml says now. What is under way is ended with what it said before."""
        with self._lock:
            former, self._means = self._means, _Means(session)
            unused = former.users == 0
        self.settings_problem = ""
        if unused:
            former.session.close()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()
        for conductor in list(self._conductors.values()):
            if conductor is not None:
                conductor.stop()

    def end(self) -> None:
        """Give the watch back; what is being done is left where the journal knows it."""
        self.stop()
        until = time.monotonic() + _ENDS
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))
        session = self._means.session
        if self._token and not self.lost:
            try:
                session.registry.unwatch(self.environment, self._token)
            except MLConsoleError as error:
                self._say(f"{self.environment}: {error.message}")
        session.close()

    def once(self) -> Rounds:
        """One pass: look, judge, tell, mend, carry out; for a timer instead of a process that stays."""
        means = self._means
        self._look(means)
        self._mend(means)
        self._work(means)
        told = means.postman.deliver()
        means.pulse.beat()
        view = means.health.view
        return Rounds(self.environment, len(view.open_alarms) if view else 0, told, self._problem(means))

    @contextmanager
    def _held(self) -> Iterator[_Means]:
        """What is worked with now; given back when nobody works with it any more and there is a newer one."""
        with self._lock:
            means = self._means
            means.users += 1
        try:
            yield means
        finally:
            with self._lock:
                means.users -= 1
                over = means is not self._means and means.users == 0
            if over:
                means.session.close()

    def _repeat(self, work: Callable[[_Means], None], every: float) -> None:
        """`work` again and again, whatever goes wrong in it: only being told to stop ends a watch."""
        while not self._stop.is_set():
            try:
                with self._held() as means:
                    work(means)
            except MLConsoleError as error:
                self._complain(error.message)
            except Exception as error:  # noqa: BLE001 - the edge: a watch that dies of a bug would be the worst of all
                self._complain(f"{type(error).__name__}: {error}")
            self._stop.wait(jittered(every))

    def _complain(self, text: str) -> None:
        text = neutralise(text)
        if text != self._trouble:
            self._trouble = text
            self._say(f"{self.environment}: {text}")

    def _look(self, means: _Means) -> None:
        view = means.health.look()
        self._looked = self._clock.elapsed()
        self._trouble = ""
        for alarm in view.alarms:
            if self._states.get(alarm.number) != alarm.state and (alarm.state != "closed" or alarm.number in self._states):
                self._say(f"{self.environment}: alarm {alarm.number} {alarm.state}: {', '.join(alarm.endpoints)} {alarm.title}")
        self._states = {one.number: one.state for one in view.open_alarms}

    def _beat(self, means: _Means) -> None:
        session = means.session
        try:
            channels = tuple(session.environment.channels)
            session.registry.beat(self.environment, self._token, self._problem(means), channels, self._caller)
        except Conflict as error:
            self._say(f"{self.environment}: {error.message}")
            self._lost.set()
            self._stop.set()
        except RegistryNewer as error:
            # This program was replaced by a newer one: who keeps it running (systemd, a person) starts that.
            self._say(f"{self.environment}: {error.message} This guardian ends.")
            self._lost.set()
            self._stop.set()

    def _identify(self, means: _Means) -> None:
        refused = ""
        try:
            self._caller = means.session.backend.caller()
        except AuthFailed as error:  # until when they held is still known
            refused = neutralise(error.message)
        if refused and refused != self._refused:
            self._say(f"{self.environment}: {refused}")
        self._refused = refused

    def _tell(self, means: _Means) -> None:
        means.postman.deliver()
        if self._clock.elapsed() - self._looked < _STALE:
            # Whoever hears the outgoing sign of life trusts that somebody really looks.
            means.pulse.beat()

    def _problem(self, means: _Means) -> str:
        quiet = self._clock.elapsed() - self._looked
        late = f"the last look was {duration(quiet)} ago" if quiet > _STALE else ""
        each = (self.settings_problem, self._credentials(), late, self._trouble, means.postman.trouble, means.pulse.trouble)
        return "; ".join(dict.fromkeys(one for one in each if one))

    def _credentials(self) -> str:
        """What is wrong with the credentials; empty when nothing is."""
        now = self._clock.now()
        if self._caller is not None and self._caller.expires is not None and self._caller.expires <= now:
            return credentials_told(self._caller, now)
        return self._refused

    def _mend(self, means: _Means) -> None:
        session = means.session
        if self._clock.elapsed() - self._pruned > _DAY:
            self._pruned = self._clock.elapsed()
            session.registry.prune_health()
        for operation in session.registry.unfinished(self.environment):
            if not changing.is_alive(session, operation):
                self._say(f"{self.environment}: change {operation.id} of {target_told(operation.endpoint)} was interrupted; ending it")
                try:
                    outcome = changing.recover(session, operation)
                    self._say(f"{self.environment}: {outcome.sentence}")
                except Locked:
                    continue  # somebody else was quicker

    def _roll(self, means: _Means) -> None:
        """Take up the rollouts that nobody drives, each in a thread of its own: one that waits for a backend holds up no other."""
        registry = means.session.registry
        for rollout in registry.unfinished_rollouts(self.environment):
            driver = registry.rollout_driver(rollout.id)
            if rollout.id in self._conductors or (driver is not None and driver.alive) or self._stop.is_set():
                continue
            thread = threading.Thread(target=self._conduct, args=(rollout.id,), daemon=True, name=f"rollout {rollout.id}")
            self._conductors[rollout.id] = None
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def _conduct(self, rollout_id: str) -> None:
        try:
            with self._held() as means:
                conductor = self._conductors[rollout_id] = Conductor(means.session, rollout_id, self._say)
                if not self._stop.is_set():
                    conductor.run()
        except MLConsoleError as error:
            self._complain(error.message)
        except Exception as error:  # noqa: BLE001 - the edge: a rollout's own trouble ends nobody else's watch; it is taken up again
            self._complain(f"rollout {rollout_id}: {type(error).__name__}: {error}")
        finally:
            self._conductors.pop(rollout_id, None)

    def _forecast(self, means: _Means) -> None:
        """What published versions were said to do, beside what comes."""
        from mlconsole.engine.forecasting import look_again

        look_again(means.session)

    def _work(self, means: _Means) -> None:
        for run in acting.carry_out_asked(means.session):
            self._say(f"{self.environment}: {run.action} {run.state}: {run.told}")
