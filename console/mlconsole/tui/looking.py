"""The poller: one look at a time, whose latest snapshot all views render; and the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from textual import work

from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.patience import jittered
from mlconsole.engine.views import HealthView, Snapshot
from mlconsole.tui import frame
from mlconsole.tui.asking import Asking
from mlconsole.tui.messages import ChangeEnded, NotTaken, Taken
from mlconsole.tui.start import Start

if TYPE_CHECKING:
    from textual.timer import Timer

    from mlconsole.engine.watching import Watch

POLL = 1.0
"""Seconds between the end of one look and the begin of the next."""

_STILL = 10
"""After so many looks that found nothing new it is looked half as often, until something is new again."""


class Looking(Asking):
    """Looks, and shows what is new."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._watch: Watch | None = None
        self.health_minutes = 60.0
        """The time that trends are of."""
        self._looking = False
        self._round = 0
        """Which environment's looks count: another one begins a new round, whatever still hangs in the old."""
        self._next_look: Timer | None = None
        self._looked: datetime | None = None
        self.asleep = timedelta()
        """How long was not looked before the last look: a laptop that slept, a backend that hung."""
        self._ticked: tuple[int, bool] | None = None
        """What of the frame the clock alone has changed last: the minute, and whether the data are old."""

    def look(self) -> None:
        """Take a snapshot, unless one is being taken."""
        if not self._looking:
            self._looking = True
            self._take(self._round)

    def _look_in(self, seconds: float) -> None:
        """The next look; one is waited for, however many were asked for meanwhile."""
        if self._next_look is not None:
            self._next_look.stop()
        self._next_look = self.set_timer(jittered(seconds), self.look)

    @work(thread=True, exit_on_error=False, group="look")
    def _take(self, of: int) -> None:
        try:
            watch = self._watched()
            self._tell_what_is_drawn(watch)
            self.post_message(Taken(watch.take(), of))
        except MLConsoleError as error:
            self.post_message(NotTaken(error, of))
        except Exception as error:  # noqa: BLE001 - the edge: an adapter's or our own bug must leave the console alive
            self.post_message(NotTaken(MLConsoleError(f"Looking failed: {type(error).__name__}: {error}."), of))

    def on_taken(self, message: Taken) -> None:
        """A new state of the world."""
        if message.round != self._round:
            return
        self._looking = False
        self.asleep = message.snapshot.status.at - self._looked if self._looked is not None else timedelta()
        self._looked = message.snapshot.status.at
        before, trouble = self.snapshot, self.trouble
        self.snapshot, self.trouble = message.snapshot, None
        self._forget_what_is_live(message.snapshot)
        further = self.tutor is not None and self.tutor.see(message.snapshot)
        if self.tutor is not None and self.tutor_place is not None:
            self.tutor_place.keep(self.environment.name, self.tutor.leaves(message.snapshot))
        if self.tutor is not None and self.tutor.just_done:
            self.say(f"{self.signs.ok} {self.tutor.just_done}")
            self.tutor.just_done = ""
        if further or trouble is not None or before is None or not _nothing_new(before, message.snapshot):
            self.render_all()
        self._look_in(POLL * 2 if self._watch is not None and self._watch.still >= _STILL else POLL)

    def on_not_taken(self, message: NotTaken) -> None:
        """It could not be looked at; what was known stays, with its age."""
        if message.round != self._round:
            return
        self._looking = False
        self.trouble = message.error
        self.render_all()
        self._look_in(POLL * 2)

    def _tick(self) -> None:
        """Once a second: the clock, ages, and changes that may have ended. Nothing is drawn that did not change."""
        now, snapshot = self.now(), self.snapshot
        old = snapshot is not None and (bool(snapshot.blind) or (now - snapshot.status.at).total_seconds() >= frame.STALE)
        if (old or self._ticked != (now.minute, old)) and self._stands:
            self._ticked = now.minute, old
            self._render_frame()
        for change in list(self._begun):
            ended = change.ended()
            if ended is not None:
                self._begun.remove(change)
                if ended.exit_code != 0:
                    self._becoming.pop(change.endpoint, None)  # it never came to be: the draft stays
                self.post_message(ChangeEnded(ended))

    def watch_minutes(self, minutes: float) -> None:
        """Trends of so many minutes from the next look on, which is at once."""
        self.health_minutes = minutes
        self.look()

    def _tell_what_is_drawn(self, watch: Watch) -> None:
        """Trends, scores and pairs cost their time: only those of the endpoint that is looked at are wanted."""
        watch.minutes = self.health_minutes
        watch.drawn = frozenset({self.subject} if self._shown == "health" and self.subject else ())

    def _watched(self) -> Watch:
        if self._watch is None:
            from mlconsole.engine.watching import Watch

            self._watch = Watch(self.session())
        return self._watch


def _nothing_new(before: Snapshot, after: Snapshot) -> bool:
    """Whether only the time is another one: then a watch gives the very same parts."""
    return (
        after.status.endpoints is before.status.endpoints
        and after.changes is before.changes
        and after.releases is before.releases
        and after.versions is before.versions
        and (after.rollouts, after.policies, after.approvals) == (before.rollouts, before.policies, before.approvals)
        and after.documents == before.documents
        and (after.blind, after.caller) == (before.blind, before.caller)
        and (after.status.watcher, after.status.alarms) == (before.status.watcher, before.status.alarms)
        and _same_health(before.health, after.health)
    )


def _same_health(before: HealthView | None, after: HealthView | None) -> bool:
    """Whether only the time is another one."""
    if before is None or after is None or before is after:
        return before is after
    return replace(before, at=after.at) == after
