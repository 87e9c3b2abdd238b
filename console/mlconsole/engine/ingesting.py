"""Ingesting: predictions are read from where they were logged into the workspace's own store, each exactly once, by whoever looks.

The cursor is moved in the transaction that stores what was read, and only from where it was read: two who ingest at once do no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mlconsole.core.text import neutralise
from mlconsole.engine.metering import Metering, bound
from mlconsole.engine.observing import METRICS
from mlconsole.plugin.errors import InvalidRequest, MLConsoleError
from mlconsole.plugin.roles import Coverage

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.observations.applog import ApplicationLog
    from mlconsole.plugin.roles import Predictions

PREDICTIONS = "predictions"
"""The source that the environment's predictions role is; an application's log is `application NAME`."""

_FIRST = timedelta(minutes=10)
"""What was predicted before the first look, and is read all the same."""

_MOST_PAGES = 20
"""Pages that are read at one look: who was away for long catches up bit by bit, and shows meanwhile how old its data are."""

_PRUNE = 60.0
"""Seconds between two looks at the store's size."""


_COVERS = 10.0
"""Seconds between two looks at what the predictions role says of what it could read."""


@dataclass(frozen=True)
class Ingested:
    """What one look at the sources brought: observations stored, whether all of it is read, and why a source could not be read."""

    stored: int
    caught_up: bool
    trouble: tuple[MLConsoleError, ...] = ()
    passed: tuple[str, ...] = ()
    """What of an application's log could not be understood, in words."""
    unread: str = "predictions"
    """What it is that can't be read: predictions, or metrics."""


class Ingest:
    """Reads the sources of one environment into the store."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pruned: float | None = None
        self._logs: dict[str, ApplicationLog] | None = None
        self._metering = Metering(session)
        self._covered: tuple[float, Coverage] | None = None

    def run(self, near: Collection[str] | None = ()) -> Ingested:
        """Read what is new. `near`: the endpoints whose metrics are asked for each period; None: all of them.

        Raises:
            MLConsoleError: the store itself can't be written. A source that can't be read is part of the answer instead.
        """
        stored, caught_up = 0, True
        trouble: list[MLConsoleError] = []
        for source, reader in self._sources(trouble):
            try:
                count, to_the_end = self._read(source, reader)
                stored += count
                caught_up = caught_up and to_the_end
            except MLConsoleError as error:
                trouble.append(error)
        unread = PREDICTIONS if trouble else METRICS
        stored += self._metering.run(near)
        if self._metering.trouble is not None:
            trouble.append(self._metering.trouble)
        caught_up = caught_up and self._metering.caught_up
        now = self._session.clock.elapsed()
        if self._pruned is None or now - self._pruned >= _PRUNE:
            self._pruned = now
            self._session.observations.prune(self._session.clock.now().timestamp())
        return Ingested(stored, caught_up, tuple(trouble), tuple(self._passed()), unread if trouble else PREDICTIONS)

    def coverage(self) -> Coverage:
        """What the predictions role says of what was read so far, by whomever."""
        now = self._session.clock.elapsed()
        if self._covered is None or now - self._covered[0] >= _COVERS:
            found = Coverage()
            with suppress(MLConsoleError):  # what can't be read is told as trouble already
                cursor = self._session.observations.cursor(self._session.environment.name, PREDICTIONS)
                found = self._session.backend.coverage(cursor) if cursor is not None else found
            self._covered = now, Coverage(tuple(map(neutralise, found.notes)), tuple(map(neutralise, found.trouble)))
        return self._covered[1]

    def meter(self, near: Collection[str] | None) -> None:
        """Ask for the metrics of what is in sight here; the rest is read by whoever watches.

        Raises:
            MLConsoleError: the store can't be written.
        """
        self._metering.run(near, only_near=True)

    def _passed(self) -> Iterator[str]:
        for source, reader in (self._logs or {}).items():
            cursor = self._session.observations.cursor(self._session.environment.name, source)
            garbage = reader.passed(cursor).garbage if cursor is not None else 0
            if garbage:
                yield f"{garbage} lines of {source} could not be understood (no JSON, or no time)"

    def _sources(self, trouble: list[MLConsoleError]) -> Iterator[tuple[str, Predictions]]:
        """What is read; an adapter that can't be made is noted in `trouble`, and holds up no other source."""
        try:
            predictions = self._session.backend.predictions()
        except MLConsoleError as error:
            predictions = None
            trouble.append(error)
        if predictions is not None:
            yield PREDICTIONS, predictions
        if self._logs is None:
            from mlconsole.observations.applog import ApplicationLog

            self._logs = {
                f"application {name}": ApplicationLog(log.endpoint, log.files, log.fields, log.slices, clock=self._session.clock)
                for name, log in self._session.environment.application_logs.items()
            }
        yield from self._logs.items()

    def _read(self, source: str, reader: Predictions) -> tuple[int, bool]:
        store, environment = self._session.observations, self._session.environment.name
        stored = 0
        # Where the backend counts itself, what it keeps of the requests is a sample of them: it must not count them again.
        counted = source != PREDICTIONS or not bound(self._session)
        after = store.cursor(environment, source)
        cursor = after if after is not None else reader.cursor_at(self._session.clock.now() - _FIRST)
        for _ in range(_MOST_PAGES):
            try:
                page = reader.read(cursor)
            except InvalidRequest as error:
                # Another plugin's cursor, or another release's: what was predicted meanwhile is not known to be complete, which is said.
                self._session.tell("note", f"{source} is read anew from now on: {neutralise(error.message)}")
                cursor = reader.cursor_at(self._session.clock.now())
                page = reader.read(cursor)
            if page.observations or page.cursor != after:
                if not store.ingest(environment, source, page.observations, after=after, cursor=page.cursor, counted=counted):
                    return stored, page.at_end  # somebody else was faster; the next look goes on from there
                stored += len(page.observations)
            after = cursor = page.cursor
            if page.at_end:
                return stored, True
        return stored, False
