"""Who drives a rollout: one at a time, with a heartbeat and a token that rises for ever, which every write of the rollout wants."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from mlconsole.core.documents import target_told
from mlconsole.core.models import Actor
from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.errors import Locked
from mlconsole.registry import here
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.claims import held_driver, over, rollout_row
from mlconsole.registry.parts import Part, clock_time
from mlconsole.registry.tables import RolloutDriverTable

SILENT = 10.0
"""Seconds without a sign of life after which another driver may take a rollout (invariant 5)."""


@dataclass(frozen=True)
class DriverRow:
    """Whoever drives a rollout, or did so last."""

    rollout: str
    token: int
    holder: Actor
    pid: int
    since: datetime
    beat: datetime
    alive: bool
    age: float
    """Seconds since its last heartbeat."""
    dead_because: str = ""
    """Why it is not alive, for people; empty while it is."""


class Drivers(Part):
    """The drivers of rollouts."""

    def take_rollout(self, rollout_id: str, actor: Actor) -> int:
        """Drive a rollout from now on: the token that every write of it wants. It is taken from a driver that gave it up or is dead: of
        another boot, its process gone, or without a heartbeat for `SILENT` seconds.

        Raises:
            UnknownName: there is no such rollout.
            Conflict: it is over.
            Locked: another driver is alive; who and since when.
        """

        def work(session: Session) -> int:
            now = self._clock.now()
            row = rollout_row(session, rollout_id)
            if row.ended is not None:
                raise over(row, now)
            driver = session.get(RolloutDriverTable, rollout_id)
            if driver is None:
                driver = RolloutDriverTable(
                    rollout=rollout_id, token=0, held=False, holder="", place="", pid=0, boot="", since="", beat_at="", beat=0.0
                )
            elif not self._driver_dead(driver):
                who, since = neutralise(str(load(Actor, driver.holder))), clock_time(from_moment(driver.since), now)
                raise Locked(
                    f"The rollout of {target_told(row.endpoint)} is driven by {who} (pid {driver.pid}) since {since} "
                    f"(alive {duration(self._driver_age(driver))} ago). A second driver was not started.",
                    next=f"mlconsole rollout status {row.endpoint}",
                )
            driver.token += 1
            driver.held, driver.holder, driver.place, driver.pid, driver.boot = True, dump(actor), here.place(), os.getpid(), here.boot_id()
            driver.since = driver.beat_at = moment(now)
            driver.beat = self._clock.elapsed()
            session.add(driver)
            return driver.token

        return self._database.write(work)

    def beat_rollout(self, rollout_id: str, token: int) -> None:
        """Its driver is alive. Due at least every `SILENT` / 2 seconds.

        Raises:
            Conflict: it is not the newest any more, gave it up, or the rollout is over.
        """

        def work(session: Session) -> None:
            now = self._clock.now()
            driver = held_driver(session, rollout_row(session, rollout_id), token, now)
            driver.beat, driver.beat_at = self._clock.elapsed(), moment(now)
            session.add(driver)

        self._database.write(work)

    def drop_rollout(self, rollout_id: str, token: int) -> bool:
        """Give it up, on purpose: another may take it at once. False: it was not this driver's any more, and nothing was changed."""

        def work(session: Session) -> bool:
            driver = session.get(RolloutDriverTable, rollout_id)
            if driver is None or driver.token != token or not driver.held:
                return False
            driver.held = False
            session.add(driver)
            return True

        return self._database.write(work)

    def rollout_driver(self, rollout_id: str) -> DriverRow | None:
        """Who drives a rollout, or did so last; None: nobody ever did."""

        def work(session: Session) -> DriverRow | None:
            row = session.get(RolloutDriverTable, rollout_id)
            if row is None:
                return None
            why = self._driver_dead(row)
            since, beat = from_moment(row.since), from_moment(row.beat_at)
            return DriverRow(row.rollout, row.token, load(Actor, row.holder), row.pid, since, beat, not why, self._driver_age(row), why)

        return self._database.read(work)

    def _driver_dead(self, row: RolloutDriverTable) -> str:
        if not row.held:
            return "it gave it up"
        if row.boot != here.boot_id() or row.beat > self._clock.elapsed():  # the clock of one boot never goes back
            return "the machine was started again since"
        if row.place == here.place() and here.is_gone(row.pid):
            return f"its process {row.pid} is gone"
        age = self._driver_age(row)
        return f"no sign of life for {duration(age)}" if age >= SILENT else ""

    def _driver_age(self, row: RolloutDriverTable) -> float:
        now = self._clock.elapsed()
        if row.boot == here.boot_id() and row.beat <= now:
            return now - row.beat
        return max(0.0, (self._clock.now() - from_moment(row.beat_at)).total_seconds())
