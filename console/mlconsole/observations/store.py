"""The store of observations: one raw table for each hour, and mergeable summaries of ten seconds, in one SQLite file.

One ingest is one transaction that also moves the source's cursor, and it is taken only when the cursor is still where the caller read from:
so each observation counts exactly once, whoever reads, however often somebody dies in between.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from mlconsole.core.clock import Clock
from mlconsole.core.health import OTHER
from mlconsole.core.models import Json
from mlconsole.core.summaries import APPLICATION, Key, Summary
from mlconsole.observations import schema
from mlconsole.observations.labels import KnownLabels
from mlconsole.observations.packing import packed, unpacked
from mlconsole.observations.room import give_back, hours_of, make_room
from mlconsole.observations.summarising import Digest, Labels, add, digest
from mlconsole.plugin.roles import Observation

_HOUR = 3600
_DAY = 86_400
_BATCH = 2000
_RESERVE = 500
"""Bytes for each observation that an ingest makes room for before it writes, so that the file does not grow beyond its bound even once."""


class Row(NamedTuple):
    """One observation as it is kept. `variant` is that of `core.summaries.Key`; `error` and `request_id` are neutralised."""

    time: float
    variant: str
    shadow: bool
    request_id: str
    status: int
    ms: float
    """Not a number where it is not known."""
    pinned: bool
    slices: Mapping[str, str]
    score: float | None
    output: Json
    input_hash: str | None
    error: str
    application: bool


class StoredWindow(NamedTuple):
    """A summary of the ten seconds from `start` (epoch s) on, as of `revision`."""

    key: Key
    start: int
    summary: Summary
    revision: int


class Store:
    """One store, open; usable from several threads and by several processes at once, not across a fork."""

    def __init__(self, path: Path, *, clock: Clock, read_only: bool, keep_days: float, keep_bytes: int) -> None:
        """See `open_store`, which makes it."""
        self.path = path
        self._clock = clock
        self._read_only = read_only
        self._keep_days = keep_days
        self._keep_bytes = keep_bytes
        self._reading, self._writing = RLock(), RLock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._inode = 0
        self._labels = KnownLabels()
        self._seen_revision = -1
        if not read_only:
            if not path.exists():
                schema.create(path)
            self._writer = schema.connect(path, read_only=False)
            self._inode = path.stat().st_ino
        with schema.told(path):
            self._open_reader()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self, environment: str, source: str = "predictions") -> str | None:
        """How far that source was read; None: never."""
        found = self._all("SELECT cursor FROM source WHERE environment = ? AND source = ?", (environment, source))
        return str(found[0][0]) if found else None

    def ingest(
        self,
        environment: str,
        source: str,
        observations: Sequence[Observation],
        *,
        after: str | None,
        cursor: str,
        figures: Mapping[tuple[int, Key], Summary] | None = None,
        counted: bool = True,
    ) -> bool:
        """Take in what was read between the cursors `after` and `cursor`, all or nothing: rows, summaries, labels and the cursor.

        `figures`: what a backend counted itself, by begin and key, added to the summaries that are there. `counted`: see `digest`.
        False: the stored cursor is not `after` any more, since somebody else was faster; nothing was written.

        Raises:
            StoreUnusable: it can't be written; nothing was.
        """
        if not observations and not figures and cursor == after:
            return self.cursor(environment, source) == after
        with self._transaction() as connection:
            if self._stored_cursor(connection, environment, source) != after:
                return False
            revision = int(connection.execute("SELECT revision FROM state").fetchone()[0])
            if revision != self._seen_revision:
                self._labels = KnownLabels()  # another process may have added some, or dropped them
            make_room(connection, max(self._keep_bytes // 2, self._keep_bytes - _RESERVE * len(observations)))
            known = self._labels

            def slices_of(endpoint: str, labels: Labels, hour: int) -> tuple[str, ...]:
                return known.slices(connection, environment, endpoint, labels, hour)

            done = digest(observations, slices_of, counted=counted)
            if figures:
                add(done, figures, slices_of)
            if done.summaries:
                revision += 1
                self._write(connection, environment, done, revision)
            connection.execute("INSERT OR REPLACE INTO source VALUES (?, ?, ?)", (environment, source, cursor))
            self._seen_revision = revision
        return True

    def windows(
        self, environment: str, since: float, until: float | None = None, *, endpoint: str | None = None, revision: int = 0
    ) -> Sequence[StoredWindow]:
        """The summaries that begin in [since, until), oldest first; with `revision` only those written after that one, so that who watches
        reads only what is new (and asks for `revision()` first: what is written in between comes twice then, and is never missed).
        """
        how = "INDEXED BY summary_revision" if revision else ""
        found = self._all(
            f"""SELECT series.endpoint, variant, shadow, slice, start, body, revision
            FROM summary {how} CROSS JOIN series ON series.id = summary.series
            WHERE start >= ? AND start < ? AND revision > ? AND environment = ? AND (? IS NULL OR endpoint = ?)
            ORDER BY start, series.id""",
            (since, 1 << 60 if until is None else until, revision, environment, endpoint, endpoint),
        )
        keys: dict[tuple[str, str, int, str], Key] = {}
        windows = []
        for name, variant, shadow, label, start, body, written in found:
            own = (name, variant, shadow, label)
            key = keys.get(own) or keys.setdefault(own, Key(name, variant, bool(shadow), label))
            windows.append(StoredWindow(key, start, self._summary(body), written))
        return windows

    def revision(self) -> int:
        """The number of the newest ingest that wrote summaries; it only rises."""
        found = self._all("SELECT revision FROM state")
        return int(found[0][0]) if found else 0

    def newest(self, environment: str) -> float | None:
        """When the newest observation began (epoch s)."""
        found = self._all("SELECT newest FROM environment WHERE name = ?", (environment,))
        return float(found[0][0]) if found else None

    def rows(
        self,
        environment: str,
        endpoint: str,
        since: float,
        until: float,
        *,
        shadow: bool | None = None,
        variant: str | None = None,
        slice: str = "",  # noqa: A002 - the field's word
    ) -> Iterator[Row]:
        """The raw observations of [since, until), hour by hour in the order in which they were taken in."""
        series = {
            number: (str(name), bool(copies))
            for number, name, copies in self._all(
                "SELECT id, variant, shadow FROM series WHERE environment = ? AND endpoint = ? AND slice = ''", (environment, endpoint)
            )
            if shadow in (None, bool(copies)) and variant in (None, name)
        }
        if not series:
            return
        among = ",".join(str(number) for number in series)
        key, _, label = slice.partition("=")
        known = set(self.labels(environment, endpoint).get(key, ())) if label == OTHER else set()
        parsed: dict[str | None, Mapping[str, str]] = {None: {}}
        for hour in self._hours():
            if hour < since // _HOUR or hour > until // _HOUR:
                continue
            last = 0
            while True:
                batch = self._batch(hour, last, since, until, among)
                for _, time, own, request_id, status, ms, pinned, labels, score, output, input_hash, error in batch:
                    if labels not in parsed:
                        if len(parsed) > _BATCH:
                            parsed = {None: {}}
                        parsed[labels] = json.loads(labels)
                    slices = parsed[labels]
                    if slice and not (
                        slices.get(key) == label or (label == OTHER and key in slices and slices[key] not in known)
                    ):  # fmt: skip
                        continue
                    name, copied = series[own]
                    yield Row(
                        time, name, copied, request_id, status, math.nan if ms is None else ms, bool(pinned), slices, score,
                        None if output is None else json.loads(output), input_hash, error or "", name == APPLICATION,
                    )  # fmt: skip
                if len(batch) < _BATCH:
                    break
                last = batch[-1][0]

    def scored(
        self, environment: str, endpoint: str, variants: Sequence[str], since: float, until: float
    ) -> list[tuple[float, str, float | None, str, str]]:
        """What these variants answered consumers in [since, until), as much as deciding it again takes: time, labels (JSON text), score,
        where it lies (for `found`), nothing. Failed requests are left out: they decided nothing.
        """
        among = self._among(environment, endpoint, variants)
        rows: list[tuple[float, str, float | None, str, str]] = []
        for hour in self._hours() if among else ():
            if hour < since // _HOUR or hour > until // _HOUR or hour not in self._hours():
                continue
            rows += self._all(
                f"""SELECT time, coalesce(slices, ''), score, '{hour}:' || rowid, '' FROM "raw_{hour}"
                WHERE time >= ? AND time < ? AND series IN ({among}) AND status < 400 AND status > 0""",
                (since, until),
            )
        return rows

    def found(self, place: str) -> tuple[str, str]:
        """The request id and the output (JSON text) of an observation that `scored` gave; both empty when its hour is gone since."""
        hour, _, row = place.partition(":")
        if int(hour) not in self._hours():
            return "", ""
        rows = self._all(f"""SELECT request_id, coalesce(output, '') FROM "raw_{int(hour)}" WHERE rowid = ?""", (int(row),))
        return (str(rows[0][0]), str(rows[0][1])) if rows else ("", "")

    def starts(self, environment: str, endpoint: str, since: float) -> Mapping[str, tuple[int, ...]]:
        """Variant → the beginnings of the ten-second windows in which it answered consumers, in order; summaries outlive raw rows."""
        rows = self._all(
            """SELECT variant, start FROM summary JOIN series ON series.id = summary.series
            WHERE environment = ? AND endpoint = ? AND slice = '' AND shadow = 0 AND start >= ? ORDER BY start""",
            (environment, endpoint, int(since)),
        )
        found: dict[str, list[int]] = {}
        for variant, start in rows:
            found.setdefault(variant, []).append(start)
        return {variant: tuple(starts) for variant, starts in found.items()}

    def _among(self, environment: str, endpoint: str, variants: Sequence[str]) -> str:
        rows = self._all(
            "SELECT id, variant FROM series WHERE environment = ? AND endpoint = ? AND slice = '' AND shadow = 0", (environment, endpoint)
        )
        return ",".join(str(number) for number, name in rows if name in variants)

    def labels(self, environment: str, endpoint: str) -> Mapping[str, tuple[str, ...]]:
        """Slice key → the values that are counted by; `other` among them where there were more."""
        found: dict[str, list[str]] = {}
        for key, value in self._all(
            "SELECT key, value FROM label WHERE environment = ? AND endpoint = ? ORDER BY key, value", (environment, endpoint)
        ):
            found.setdefault(key, []).append(value)
        return {key: tuple(values) for key, values in found.items()}

    def prune(self, now: float | None = None) -> int:
        """Drop what is too old (`keep_days`), then the oldest hours while the file holds more than `keep_bytes`: raw rows first, and
        summaries when there is nothing else left. How many hours of raw rows went.

        Raises:
            StoreUnusable: it can't be written.
        """
        moment = self._clock.now().timestamp() if now is None else now
        border = moment - self._keep_days * _DAY
        dropped = 0
        with self._transaction() as connection:
            for hour in hours_of(connection):
                if (hour + 1) * _HOUR <= border:
                    connection.execute(f'DROP TABLE "raw_{hour}"')
                    dropped += 1
            connection.execute("DELETE FROM summary WHERE start < ?", (border,))
            dropped += make_room(connection, self._keep_bytes)
            if connection.execute("DELETE FROM label WHERE hour < ?", (border // _HOUR,)).rowcount:
                # By this, whoever ingests sees that it has to look at the labels again; no summary has this revision.
                connection.execute("UPDATE state SET revision = revision + 1")
        with self._writing, schema.told(self.path):
            if self._writer is not None:
                give_back(self._writer, self._keep_bytes)
        return dropped

    def size(self) -> int:
        """Bytes on disk, with the write-ahead log."""
        total = 0
        for suffix in ("", "-wal"):
            try:
                total += self.path.with_name(self.path.name + suffix).stat().st_size
            except FileNotFoundError:
                continue
        return total

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    # ---- reading

    def _open_reader(self) -> sqlite3.Connection | None:
        """None: it is only to be read, and there is nothing yet. A reader follows a store that was made anew; a writer is told of it."""
        if self._read_only:
            try:
                inode = self.path.stat().st_ino
            except FileNotFoundError:
                inode = 0
            if inode != self._inode and self._reader is not None:
                self._reader.close()
                self._reader = None
            self._inode = inode
            if not inode:
                return None
        if self._reader is None:
            self._reader = schema.connect(self.path, read_only=True)
        return self._reader

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with schema.told(self.path), self._reading:
            connection = self._open_reader()
            return [] if connection is None else connection.execute(statement, values).fetchall()

    def _summary(self, body: bytes) -> Summary:
        try:
            return unpacked(body)
        except (ValueError, TypeError) as error:
            raise schema.damaged(self.path, "a summary is none") from error

    def _hours(self) -> list[int]:
        with schema.told(self.path), self._reading:
            connection = self._open_reader()
            return [] if connection is None else hours_of(connection)

    def _batch(self, hour: int, after: int, since: float, until: float, series: str) -> list[Any]:
        """Some rows at a time, so that a slow reader neither holds all of them in memory nor keeps the write-ahead log from shrinking."""
        if hour not in self._hours():
            return []  # dropped meanwhile
        return self._all(
            f"""SELECT rowid, time, series, request_id, status, ms, pinned, slices, score, output, input_hash, error FROM "raw_{hour}"
            WHERE rowid > ? AND time >= ? AND time < ? AND series IN ({series}) ORDER BY rowid LIMIT {_BATCH}""",
            (after, since, until),
        )

    # ---- writing

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Alone, all or nothing: what leaves it by `return` before the end is committed as well, and has written nothing."""
        with self._writing, schema.told(self.path):
            connection = self._writer
            if connection is None:
                raise schema.only_read(self.path)
            try:
                inode = self.path.stat().st_ino
            except FileNotFoundError:
                inode = 0
            if inode != self._inode:
                raise schema.replaced(self.path)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._seen_revision = -1  # labels that are known here may not be there
                raise

    @staticmethod
    def _stored_cursor(connection: sqlite3.Connection, environment: str, source: str) -> str | None:
        found = connection.execute("SELECT cursor FROM source WHERE environment = ? AND source = ?", (environment, source)).fetchone()
        return None if found is None else found[0]

    def _write(self, connection: sqlite3.Connection, environment: str, done: Digest, revision: int) -> None:
        numbers: dict[Key, int] = {}
        for _, key in done.summaries:
            if key not in numbers:
                numbers[key] = _series(connection, environment, key)
        for hour, rows in done.rows.items():
            connection.execute(schema.RAW.format(hour=hour))
            connection.executemany(
                f'INSERT INTO "raw_{hour}" VALUES (?,?,?,?,?,?,?,?,?,?,?)', ((row[0], numbers[row[1]], *row[2:]) for row in rows)
            )
        for (start, key), summary in done.summaries.items():
            own = (start, numbers[key])
            found = connection.execute("SELECT body FROM summary WHERE start = ? AND series = ?", own).fetchone()
            if found is None:
                connection.execute("INSERT INTO summary VALUES (?, ?, ?, ?)", (*own, revision, packed(summary)))
                continue
            before = self._summary(found[0])
            before.merge(summary)
            connection.execute(
                "UPDATE summary SET revision = ?, body = ? WHERE start = ? AND series = ?", (revision, packed(before.tidied()), *own)
            )
        connection.execute("UPDATE state SET revision = ?", (revision,))
        connection.execute(
            "INSERT INTO environment VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET newest = max(newest, excluded.newest)",
            (environment, done.newest),
        )


def open_store(path: Path, *, clock: Clock, read_only: bool = False, keep_days: float = 7.0, keep_bytes: int = 2 << 30) -> Store:
    """Open the store, or make it. To be read only, nothing is made: a store that is not there yet is an empty one.

    Raises:
        StoreUnusable: there is something that can't be used; the message says why.
    """
    path = path.absolute()
    with schema.told(path):
        return Store(path, clock=clock, read_only=read_only, keep_days=keep_days, keep_bytes=keep_bytes)


def _series(connection: sqlite3.Connection, environment: str, key: Key) -> int:
    own = (environment, key.endpoint, key.variant, key.shadow, key.slice)
    found = connection.execute(
        "SELECT id FROM series WHERE environment = ? AND endpoint = ? AND variant = ? AND shadow = ? AND slice = ?", own
    ).fetchone()
    if found is None:
        found = (connection.execute("INSERT INTO series VALUES (NULL, ?, ?, ?, ?, ?)", own).lastrowid,)
    return int(found[0])
