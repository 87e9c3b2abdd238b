"""Watchers: who looks at an environment's health and tells people, with a heartbeat that everybody can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from mlconsole.core.models import Actor
from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.errors import Conflict
from mlconsole.plugin.roles import Caller
from mlconsole.registry import here
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.parts import Part, clock_time
from mlconsole.registry.tables import WatcherTable

SILENT = 15.0
"""Seconds without a heartbeat (or three of its intervals, when that is longer) after which nobody watches."""


@dataclass(frozen=True)
class WatcherRow:
    """Whoever watches an environment, or did so last."""

    environment: str
    holder: Actor
    pid: int
    token: int
    since: datetime
    beat: datetime
    every: float
    """Seconds between two heartbeats."""
    alive: bool
    age: float
    """Seconds since its last heartbeat."""
    ended: datetime | None = None
    """When it said that it ends; None where it did not."""
    problem: str = ""
    """What keeps it from watching wholly."""
    channels: tuple[str, ...] = ()
    """Whom it would tell."""
    dead_because: str = ""
    """Why it is not alive, for people; empty while it is."""
    caller: Caller | None = None
    """As whom it acts at the backend, and until when; None: it does not know."""


class Watchers(Part):
    """Who watches what."""

    def watch(self, environment: str, actor: Actor, pid: int, *, every: float = 5.0, channels: Sequence[str] = ()) -> int:
        """Begin to watch: the token that `beat` and `unwatch` want.

        Raises:
            Conflict: another one watches, alive; who and since when.
        """

        def work(session: Session) -> int:
            row = session.get(WatcherTable, environment)
            wall = self._clock.now()
            if row is not None and not self._watcher_dead(row):
                who, since = neutralise(str(load(Actor, row.holder))), clock_time(from_moment(row.since), wall)
                raise Conflict(
                    f"{environment} is watched by {who} (pid {row.pid}) since {since} (alive {duration(self._watcher_age(row))} ago). "
                    "A second one was not started.",
                    next="mlconsole guardian status",
                )
            if row is None:
                row = WatcherTable(environment=environment, token=0, holder="", place="", pid=0, boot="", since="", beat_at="", beat=0.0,
                                   every=every, problem="", channels="[]")  # fmt: skip
            row.token += 1
            row.holder, row.place, row.pid, row.boot = dump(actor), here.place(), pid, here.boot_id()
            row.since = row.beat_at = moment(wall)
            row.beat, row.every = self._clock.elapsed(), every
            row.ended, row.problem, row.channels, row.caller = None, "", json.dumps(list(channels)), ""
            session.add(row)
            return row.token

        return self._database.write(work)

    def beat(
        self, environment: str, token: int, problem: str = "", channels: Sequence[str] | None = None, caller: Caller | None = None
    ) -> None:
        """It is alive, what keeps it from watching wholly, and as whom it acts at the backend.

        Raises:
            Conflict: it is not the newest any more, or said that it ends.
        """

        def work(session: Session) -> None:
            row = self._mine(session, environment, token)
            row.beat, row.beat_at, row.problem = self._clock.elapsed(), moment(self._clock.now()), neutralise(problem)[:500]
            row.caller = "" if caller is None else dump(caller)
            if channels is not None:
                row.channels = json.dumps(list(channels))
            session.add(row)

        self._database.write(work)

    def unwatch(self, environment: str, token: int) -> bool:
        """It ends, on purpose. False: it was not the newest any more, and nothing was changed."""

        def work(session: Session) -> bool:
            row = session.get(WatcherTable, environment)
            if row is None or row.token != token or row.ended is not None:
                return False
            row.ended = moment(self._clock.now())
            session.add(row)
            return True

        return self._database.write(work)

    def watcher(self, environment: str) -> WatcherRow | None:
        """Who watches, or watched last; None: nobody ever did."""

        def work(session: Session) -> WatcherRow | None:
            row = session.get(WatcherTable, environment)
            return None if row is None else self._watcher_row(row)

        return self._database.read(work)

    def _mine(self, session: Session, environment: str, token: int) -> WatcherTable:
        row = session.get(WatcherTable, environment)
        if row is not None and row.token == token and row.ended is None:
            return row
        if row is None or row.token == token:
            lost = f"This guardian said already that it watches {environment} no more"
        else:
            since = clock_time(from_moment(row.since), self._clock.now())
            lost = f"{environment} is watched by {neutralise(str(load(Actor, row.holder)))} (pid {row.pid}) since {since}"
        raise Conflict(f"{lost}; this one stops.", next="mlconsole guardian status")

    def _watcher_row(self, row: WatcherTable) -> WatcherRow:
        why = self._watcher_dead(row)
        return WatcherRow(
            environment=row.environment,
            holder=load(Actor, row.holder),
            pid=row.pid,
            token=row.token,
            since=from_moment(row.since),
            beat=from_moment(row.beat_at),
            every=row.every,
            alive=not why,
            age=self._watcher_age(row),
            ended=None if row.ended is None else from_moment(row.ended),
            problem=row.problem,
            channels=tuple(json.loads(row.channels)),
            dead_because=why,
            caller=load(Caller, row.caller) if row.caller else None,
        )

    def _watcher_dead(self, row: WatcherTable) -> str:
        if row.ended is not None:
            return "it was ended"
        if row.boot != here.boot_id() or row.beat > self._clock.elapsed():  # the clock of one boot never goes back
            return "the machine was started again since"
        if row.place == here.place() and here.is_gone(row.pid):
            return f"its process {row.pid} is gone"
        age = self._watcher_age(row)
        return f"no sign of life for {duration(age)}" if age >= max(SILENT, 3 * row.every) else ""

    def _watcher_age(self, row: WatcherTable) -> float:
        now = self._clock.elapsed()
        if row.boot == here.boot_id() and row.beat <= now:
            return now - row.beat
        return max(0.0, (self._clock.now() - from_moment(row.beat_at)).total_seconds())
