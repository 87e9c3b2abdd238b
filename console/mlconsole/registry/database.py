"""The database under the registry: how it is opened, and how one transaction is run.

The set-up is the one that lost nothing in 8 processes × 500 transactions (design §2): no transactions of the driver's own,
`BEGIN IMMEDIATE` before every read-then-write, WAL, `synchronous=FULL`.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlmodel import Session, create_engine

from mlconsole.core.errors import MLConsoleError
from mlconsole.registry import failures, migrations

T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds that SQLite itself waits for a lock; after that the whole transaction is tried again, until the deadline."""


class Database:
    """One registry file, open. Usable from several threads; not across a fork."""

    def __init__(self, path: Path, engine: Engine, *, deadline: float, why_read_only: str = "") -> None:
        self.path = path
        self.engine = engine
        self.why_read_only = why_read_only
        self._deadline = deadline
        self._writing = engine.execution_options(mlconsole_immediate=True)
        self._inode = path.stat().st_ino

    def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` on one consistent state of the registry.

        Raises:
            RegistryUnusable: it can't be read.
        """
        return self._run(self.engine, work)

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` alone: nobody else writes between its first read and its commit. It may be run again when the lock was not got.

        Raises:
            RegistryUnusable: it can't be written; then nothing of `work` is in it.
            RegistryLocked: another process held the lock for longer than the deadline.
        """
        if self.why_read_only:
            raise failures.read_only(self.path, self.why_read_only)
        return self._run(self._writing, lambda session: self._checked(session, work))

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def _run(self, engine: Engine, work: Callable[[Session], T]) -> T:
        # The system's own clock: this waits for other processes, for whom a test's clock does not move.
        until = time.monotonic() + self._deadline
        while True:
            try:
                with Session(engine) as session, session.begin():
                    return work(session)
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                if failures.is_busy(error) and time.monotonic() < until:
                    time.sleep(random.uniform(0.005, 0.05))
                    continue
                raise failures.told(error, self.path) from error

    def _checked(self, session: Session, work: Callable[[Session], T]) -> T:
        # A long-lived process must not go on writing into a file that was deleted or replaced under it, nor into a schema it doesn't know.
        if self.path.stat().st_ino != self._inode:
            raise failures.not_ours(self.path, "was replaced while this program had the registry open")
        found = session.connection().exec_driver_sql("PRAGMA user_version").scalar_one()
        if found != migrations.known():
            raise failures.newer(self.path, found, migrations.known())
        return work(session)


def open_database(path: Path, *, read_only: bool, deadline: float, create: bool) -> Database:
    """Open the registry's file; make it, or bring it up to date, where that is allowed.

    Raises:
        RegistryUnusable: it can't be used; the message says why.
        RegistryLocked: another process makes or migrates it for longer than `deadline` seconds.
    """
    path = path.absolute()
    try:
        return _open(path, read_only=read_only, deadline=deadline, create=create)
    except MLConsoleError:
        raise
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise failures.told(error, path) from error


def _open(path: Path, *, read_only: bool, deadline: float, create: bool) -> Database:
    if path.is_dir():
        raise failures.not_ours(path, "is a folder")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if read_only or not create:
            raise failures.missing(path) from None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        migrations.create(path, deadline)
        size = path.stat().st_size
    if size == 0:
        # A new one is renamed into its place when it is whole: an empty file is a lost registry, never a fresh one.
        raise failures.not_ours(path, "is empty (0 bytes)")
    why = _why_read_only(path, read_only)
    if why:
        return _open_read_only(path, why, deadline)
    database, found = _look_at(path, "mode=rw", deadline)
    if found < migrations.known():
        database.close()
        migrations.migrate(path, deadline)
    return database


def _open_read_only(path: Path, why: str, deadline: float) -> Database:
    try:
        database, found = _look_at(path, "mode=ro", deadline, why)
    except MLConsoleError as error:
        # SQLite could not make the files that it shares with other readers: read the file as one that nobody changes.
        if not failures.is_unopenable(error.__cause__):
            raise
        log = migrations.beside(path, "-wal")
        if log.exists() and log.stat().st_size:
            raise failures.read_only(path, f"{why}, and its last changes are still in {log.name}, which can't be read so") from error
        database, found = _look_at(path, "immutable=1", deadline, why)
    if found < migrations.known():
        database.close()
        raise failures.older(path, found, migrations.known())
    return database


def _why_read_only(path: Path, asked: bool) -> str:
    if asked:
        return "it was opened to be read only"
    if not os.access(path, os.W_OK):
        return "its file can't be written"
    return "" if os.access(path.parent, os.W_OK) else "its folder can't be written"


def _look_at(path: Path, how: str, deadline: float, why_read_only: str = "") -> tuple[Database, int]:
    """The file opened in that way, with the schema that it has, which is not newer than what we know."""

    def look(session: Session) -> tuple[int, int]:
        connection = session.connection()
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()  # the header alone may be whole
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        return application, connection.exec_driver_sql("PRAGMA user_version").scalar_one()

    database = Database(path, _engine(path, how, deadline), deadline=deadline, why_read_only=why_read_only)
    try:
        application, found = database.read(look)
        if application != migrations.APPLICATION or found < 1:
            raise failures.not_ours(path, "is another program's database")
        if found > migrations.known():
            raise failures.newer(path, found, migrations.known())
    except BaseException:
        database.close()
        raise
    return database, found


def _engine(path: Path, how: str, deadline: float) -> Engine:
    uri = f"file:{quote(str(path))}?{how}"
    timeout = min(BUSY_TIMEOUT, deadline)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_timeout=max(1.0, deadline))

    def set_up(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={round(timeout * 1000)}")
        if how == "mode=rw":
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # One pool, two kinds of transaction: a writing one takes the lock before its first read, so that it can't be turned away later.
    immediate = connection.get_execution_options().get("mlconsole_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
