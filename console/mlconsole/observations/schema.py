"""The store's file: how it is made and opened, and how what SQLite says becomes an error that a person can act on.

It is made under the same care as the registry (under a file lock, under another name, then renamed), but it is no truth: what it holds is
read again from the logs as far as they reach, so that a damaged one may be moved away.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from mlconsole.core.errors import MLConsoleError
from mlconsole.plugin.errors import StoreLocked, StoreUnusable

APPLICATION_ID = 0x6D6C636F
"""`mlco`: the application id in the file's header, by which another program's database is told from ours."""

SCHEMA = 1

BUSY_TIMEOUT = 10.0
"""Seconds that SQLite waits for another process's lock."""

_LOG_LIMIT = 16 << 20
"""Bytes of the write-ahead log that stay on disk after a checkpoint."""

_TABLES = (
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL)",
    "INSERT INTO state VALUES (1, 0)",
    """CREATE TABLE source (
        environment TEXT NOT NULL, source TEXT NOT NULL, cursor TEXT NOT NULL, PRIMARY KEY (environment, source)) WITHOUT ROWID""",
    "CREATE TABLE environment (name TEXT PRIMARY KEY, newest REAL NOT NULL) WITHOUT ROWID",
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY, environment TEXT NOT NULL, endpoint TEXT NOT NULL, variant TEXT NOT NULL, shadow INTEGER NOT NULL,
        slice TEXT NOT NULL, UNIQUE (environment, endpoint, variant, shadow, slice))""",
    """CREATE TABLE label (
        environment TEXT NOT NULL, endpoint TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, hour INTEGER NOT NULL,
        PRIMARY KEY (environment, endpoint, key, value)) WITHOUT ROWID""",
    """CREATE TABLE summary (
        start INTEGER NOT NULL, series INTEGER NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (start, series))""",
    "CREATE INDEX summary_revision ON summary (revision)",
)

RAW = """CREATE TABLE IF NOT EXISTS "raw_{hour}" (
    time REAL NOT NULL, series INTEGER NOT NULL, request_id TEXT NOT NULL, status INTEGER NOT NULL, ms REAL,
    pinned INTEGER NOT NULL, slices TEXT, score REAL, output TEXT, input_hash TEXT, error TEXT)"""
"""One table for each hour, without any index: it is written in passing, read rarely, and dropped whole."""

_ANEW = "Move it away ({name}, {name}-wal, {name}-shm): a new one is made, and filled from the logs that are still there."


def create(path: Path) -> None:
    """Make a new store at `path`, all or nothing; no-op when somebody was faster.

    Raises:
        OSError, sqlite3.Error, StoreLocked: it can't be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path):
        if path.exists():
            return
        new = _beside(path, ".new")
        # A write-ahead log without its database would be taken into the new one.
        for leftover in (_beside(path, "-wal"), _beside(path, "-shm"), new, _beside(new, "-wal"), _beside(new, "-shm")):
            leftover.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table, or it is ignored
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA}")
            connection.execute("COMMIT")
        new.replace(path)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection to an existing store, found to be one that we know; usable from any thread, by one at a time.

    Raises:
        FileNotFoundError: there is none.
        StoreUnusable, sqlite3.Error: it can't be used.
    """
    if path.is_dir():
        raise _not_ours(path, "is a folder")
    if path.stat().st_size == 0:
        raise _not_ours(path, "is empty (0 bytes)")  # a new one is renamed into its place when it is whole
    if not read_only:
        return _opened(path, "mode=rw")
    try:
        return _opened(path, "mode=ro")
    except sqlite3.OperationalError:
        log = _beside(path, "-wal")
        if log.exists() and log.stat().st_size:
            raise
        # SQLite could not make the files that readers share: read it as one that nobody changes.
        return _opened(path, "immutable=1")


def _opened(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{how}", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the header alone may be whole
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID or found < 1:
            raise _not_ours(path, "is another program's database")
        if found > SCHEMA:
            raise StoreUnusable(
                f"The observations {path} were written by a newer mlconsole (schema {found}, this one knows {SCHEMA}). "
                "Nothing was read or changed.",
                next="Upgrade mlconsole here: pip install --upgrade mlconsole.",
            )
        if how == "mode=rw":
            # Not FULL, as the registry has: a power cut may take the last transactions, but rows, summaries and cursor go together, so that
            # the same observations are read from the logs again. Nothing is lost or counted twice, and no ingest waits for the disk.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA journal_size_limit={_LOG_LIMIT}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite and the system raise inside becomes one of our errors."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _told(error, path) from error


def replaced(path: Path) -> StoreUnusable:
    """Another file lies where the open one was."""
    return StoreUnusable(
        f"The observations {path} were removed or replaced while this program had them open. Nothing was written.", next="Start it again."
    )


def damaged(path: Path, words: str) -> StoreUnusable:
    """What is in the file can't be what was written."""
    return StoreUnusable(f"The observations {path} are damaged: {words}. Nothing was written.", next=_ANEW.format(name=path.name))


def only_read(path: Path) -> StoreUnusable:
    """A change was asked of a store that was opened to be read."""
    return StoreUnusable(f"The observations {path} were opened to be read only. Nothing was changed.", next="Report this.")


def _told(error: sqlite3.Error | OSError, path: Path) -> MLConsoleError:
    look = f"Look who may read and write it: ls -la {path.parent}"
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _full(path)
        why = error.strerror or str(error)
        return StoreUnusable(f"The observations {path} can't be reached: {why[:1].lower()}{why[1:]}. Nothing was written.", next=look)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    words = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _locked(path)
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code == sqlite3.SQLITE_NOTADB:
        return _not_ours(path, "is not an SQLite database")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT) or "no such table" in words or "no such column" in words:
        return damaged(path, words)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return StoreUnusable(f"The observations {path} can't be opened or written: {words}. Nothing was written.", next=look)
    return StoreUnusable(
        f"The observations {path} can't be used: {words}. Nothing was written.",
        next=f"Look at its disk and its size: df {path.parent}; ls -la {path.parent}",
    )


def _not_ours(path: Path, what: str) -> StoreUnusable:
    return StoreUnusable(
        f"The file {path} {what}, so these are no observations of mlconsole. Nothing was changed.", next=_ANEW.format(name=path.name)
    )


def _full(path: Path) -> StoreUnusable:
    return StoreUnusable(
        f"The observations {path} can't grow: the disk is full. Nothing was written.", next=f"Make room: df {path.parent}, then try again."
    )


def _locked(path: Path) -> StoreLocked:
    return StoreLocked(
        f"The observations {path} are locked by another process for longer than {BUSY_TIMEOUT:g} s. Nothing was written.",
        next=f"Try again. Who has them open: fuser {path}",
    )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two processes never make it at once."""
    until = time.monotonic() + BUSY_TIMEOUT
    lock = os.open(_beside(path, ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise _locked(path) from error
                time.sleep(0.02)
        yield
    finally:
        os.close(lock)
