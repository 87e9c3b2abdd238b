"""Making the registry's file and bringing it up to date: numbered migrations over `PRAGMA user_version`, from the first on.

Plain sqlite3, no engine: this runs once in a registry's life, and a migration must stay what it was when the table classes move on.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlconsole.registry import failures

APPLICATION = 0x6D6C6363
"""`mlcc`: the application id in the file's header, by which another program's database is told from ours."""

_FIRST = (
    """CREATE TABLE model_version (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, body TEXT NOT NULL,
        UNIQUE (model, version))""",
    """CREATE TABLE endpoint (
        environment TEXT NOT NULL, name TEXT NOT NULL, live_release INTEGER, last_number INTEGER NOT NULL,
        PRIMARY KEY (environment, name))""",
    """CREATE TABLE "release" (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, endpoint TEXT NOT NULL, number INTEGER NOT NULL,
        standing TEXT NOT NULL, body TEXT NOT NULL,
        UNIQUE (environment, endpoint, number), FOREIGN KEY (environment, endpoint) REFERENCES endpoint (environment, name))""",
    """CREATE TABLE plan (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, environment TEXT NOT NULL, endpoint TEXT NOT NULL,
        used BOOLEAN NOT NULL, body TEXT NOT NULL)""",
    "CREATE INDEX plan_environment ON plan (environment)",
    """CREATE TABLE operation (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE REFERENCES plan (id), environment TEXT NOT NULL,
        endpoint TEXT NOT NULL, scope TEXT NOT NULL, "release" INTEGER NOT NULL, state TEXT NOT NULL, ended TEXT, body TEXT NOT NULL,
        FOREIGN KEY (environment, endpoint, "release") REFERENCES "release" (environment, endpoint, number))""",
    "CREATE INDEX operation_endpoint ON operation (environment, endpoint)",
    "CREATE INDEX operation_unfinished ON operation (environment, scope) WHERE ended IS NULL",
    """CREATE TABLE step (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL REFERENCES operation (id), back BOOLEAN NOT NULL,
        place INTEGER NOT NULL, phase TEXT NOT NULL, state TEXT NOT NULL, ended TEXT, body TEXT NOT NULL)""",
    "CREATE INDEX step_operation ON step (operation)",
    """CREATE TABLE lease (
        environment TEXT NOT NULL, scope TEXT NOT NULL, token INTEGER NOT NULL, held BOOLEAN NOT NULL, holder TEXT NOT NULL,
        place TEXT NOT NULL, pid INTEGER NOT NULL, boot TEXT NOT NULL, operation TEXT NOT NULL, purpose TEXT NOT NULL,
        seconds REAL NOT NULL, taken_at TEXT NOT NULL, taken REAL NOT NULL, renewed_at TEXT NOT NULL, renewed REAL NOT NULL,
        expires REAL NOT NULL, PRIMARY KEY (environment, scope))""",
    """CREATE TABLE control (
        operation TEXT NOT NULL PRIMARY KEY REFERENCES operation (id), wanted TEXT NOT NULL, actor TEXT NOT NULL,
        asked_at TEXT NOT NULL)""",
)


def _first(connection: sqlite3.Connection) -> None:
    """Versions, endpoints, releases, plans, the journal, leases, control."""
    for statement in _FIRST:
        connection.execute(statement)


_HEALTH = (
    """CREATE TABLE alarm (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, state TEXT NOT NULL, closed TEXT, body TEXT NOT NULL)""",
    "CREATE INDEX alarm_open ON alarm (environment) WHERE closed IS NULL",
    "CREATE INDEX alarm_closed ON alarm (environment, closed)",
    """CREATE TABLE alarm_event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, alarm INTEGER NOT NULL REFERENCES alarm (seq) ON DELETE CASCADE, at TEXT NOT NULL,
        kind TEXT NOT NULL, "key" TEXT, text TEXT NOT NULL, UNIQUE (alarm, "key"))""",
    """CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, dedupe TEXT NOT NULL, channel TEXT NOT NULL,
        alarm INTEGER REFERENCES alarm (seq) ON DELETE CASCADE, unless_acknowledged BOOLEAN NOT NULL, state TEXT NOT NULL,
        attempts INTEGER NOT NULL, next_try TEXT NOT NULL, claim TEXT NOT NULL, claimed_until TEXT, problem TEXT NOT NULL,
        created TEXT NOT NULL, sent TEXT, body TEXT NOT NULL, UNIQUE (environment, dedupe, channel))""",
    "CREATE INDEX outbox_pending ON outbox (environment, next_try) WHERE state = 'pending'",
    "CREATE INDEX outbox_alarm ON outbox (alarm)",
    """CREATE TABLE watcher (
        environment TEXT NOT NULL PRIMARY KEY, token INTEGER NOT NULL, holder TEXT NOT NULL, place TEXT NOT NULL, pid INTEGER NOT NULL,
        boot TEXT NOT NULL, since TEXT NOT NULL, beat_at TEXT NOT NULL, beat REAL NOT NULL, every REAL NOT NULL, ended TEXT,
        problem TEXT NOT NULL, channels TEXT NOT NULL)""",
    """CREATE TABLE action_run (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, environment TEXT NOT NULL, action TEXT NOT NULL,
        state TEXT NOT NULL, asked TEXT NOT NULL, ended TEXT, place TEXT NOT NULL, pid INTEGER NOT NULL, boot TEXT NOT NULL,
        body TEXT NOT NULL)""",
    "CREATE INDEX action_run_unfinished ON action_run (environment) WHERE ended IS NULL",
    """CREATE TABLE probe_state (
        environment TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, ok BOOLEAN, text TEXT NOT NULL, value REAL, unit TEXT NOT NULL,
        since TEXT NOT NULL, looked TEXT NOT NULL, PRIMARY KEY (environment, name))""",
    """CREATE TABLE probe_event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL, ok BOOLEAN, value REAL,
        text TEXT NOT NULL)""",
    "CREATE INDEX probe_event_at ON probe_event (environment, at)",
    "CREATE INDEX probe_event_name ON probe_event (environment, name)",
    """CREATE TABLE probe_value (
        environment TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (environment, name, at)
        ) WITHOUT ROWID""",
)


_REVISED = ("model_version", "endpoint", "release", "operation", "step", "control", "alarm", "alarm_event", "action_run", "probe_event")
"""What people look at and what changes seldom; signs of life, leases and figures of probes are not among it."""


def _health(connection: sqlite3.Connection) -> None:
    """Alarms, the outbox, watchers, action runs, probes; and a number that tells whether anything seldom has changed."""
    for statement in _HEALTH:
        connection.execute(statement)
    connection.execute("CREATE TABLE revision (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL)")
    connection.execute("INSERT INTO revision VALUES (1, 0)")
    for table in _REVISED:
        for event in ("INSERT", "UPDATE", "DELETE"):
            when = f'AFTER {event} ON "{table}"'
            connection.execute(f"CREATE TRIGGER revised_{table}_{event.lower()} {when} BEGIN UPDATE revision SET number = number + 1; END")


_ROLLOUTS = (
    """CREATE TABLE rollout (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, environment TEXT NOT NULL, endpoint TEXT NOT NULL,
        state TEXT NOT NULL, ended TEXT, body TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX rollout_claim ON rollout (environment, endpoint) WHERE ended IS NULL",
    "CREATE INDEX rollout_endpoint ON rollout (environment, endpoint)",
    """CREATE TABLE rollout_event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, rollout TEXT NOT NULL REFERENCES rollout (id), at TEXT NOT NULL, kind TEXT NOT NULL,
        "key" TEXT, text TEXT NOT NULL, UNIQUE (rollout, "key"))""",
    """CREATE TABLE rollout_control (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, rollout TEXT NOT NULL REFERENCES rollout (id), wanted TEXT NOT NULL, reason TEXT NOT NULL,
        actor TEXT NOT NULL, asked_at TEXT NOT NULL, done_at TEXT)""",
    "CREATE INDEX rollout_control_rollout ON rollout_control (rollout)",
    """CREATE TABLE rollout_driver (
        rollout TEXT NOT NULL PRIMARY KEY REFERENCES rollout (id), token INTEGER NOT NULL, held BOOLEAN NOT NULL, holder TEXT NOT NULL,
        place TEXT NOT NULL, pid INTEGER NOT NULL, boot TEXT NOT NULL, since TEXT NOT NULL, beat_at TEXT NOT NULL, beat REAL NOT NULL)""",
    """CREATE TABLE approval_request (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, endpoint TEXT NOT NULL, plan TEXT NOT NULL,
        rollout TEXT, effect TEXT NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL)""",
    "CREATE INDEX approval_request_endpoint ON approval_request (environment, endpoint)",
    """CREATE TABLE approval (
        request INTEGER NOT NULL REFERENCES approval_request (number), user TEXT NOT NULL, verdict TEXT NOT NULL, text TEXT NOT NULL,
        at TEXT NOT NULL, actor TEXT NOT NULL, PRIMARY KEY (request, user))""",
)


_REVISED_TOO = ("rollout", "rollout_event", "rollout_control", "approval_request", "approval")
"""As `_REVISED`, of the third migration; who drives a rollout is a sign of life."""


def _rollouts(connection: sqlite3.Connection) -> None:
    """Rollouts, what happened in them, what is asked of them, who drives them; requests for approval and what colleagues said."""
    for statement in _ROLLOUTS:
        connection.execute(statement)
    for table in _REVISED_TOO:
        for event in ("INSERT", "UPDATE", "DELETE"):
            when = f'AFTER {event} ON "{table}"'
            connection.execute(f"CREATE TRIGGER revised_{table}_{event.lower()} {when} BEGIN UPDATE revision SET number = number + 1; END")


_DOCUMENTS = (
    "CREATE TABLE document_bytes (digest TEXT NOT NULL PRIMARY KEY, body BLOB NOT NULL)",
    """CREATE TABLE draft (
        environment TEXT NOT NULL, document TEXT NOT NULL, edition INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (environment, document))""",
    """CREATE TABLE forecast (
        environment TEXT NOT NULL, document TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (environment, document, version))""",
)


def _documents(connection: sqlite3.Connection) -> None:
    """Config documents: the bytes of their versions, drafts, forecasts."""
    for statement in _DOCUMENTS:
        connection.execute(statement)
    # How a forecast stands is counted anew all the time, as a probe's figures are: only drafts are revised.
    for event in ("INSERT", "UPDATE", "DELETE"):
        when = f"AFTER {event} ON draft"
        connection.execute(f"CREATE TRIGGER revised_draft_{event.lower()} {when} BEGIN UPDATE revision SET number = number + 1; END")


def _callers(connection: sqlite3.Connection) -> None:
    """As whom a watcher acts at the backend, and until when."""
    connection.execute("ALTER TABLE watcher ADD COLUMN caller TEXT NOT NULL DEFAULT ''")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _health, _rollouts, _documents, _callers)
"""Number n (from 1) leads from schema n-1 to n; each runs in one transaction and is never edited after its release."""


def known() -> int:
    """The schema that this program reads and writes."""
    return len(MIGRATIONS)


def create(path: Path, deadline: float) -> None:
    """Make a new registry at `path`, all or nothing: it is built under another name, then renamed. No-op when somebody was faster.

    Raises:
        RegistryUnusable: there is a left-over write-ahead log, which a new file would wrongly take in; or the folder can't be written.
        RegistryLocked: another process is making or migrating it for longer than `deadline` seconds.
    """
    with _alone(path, deadline):
        if path.exists():
            return
        log = beside(path, "-wal")
        if log.exists() and log.stat().st_size:
            raise failures.not_ours(path, "is gone, but its write-ahead log registry.db-wal is still there")
        new = beside(path, ".new")
        for leftover in (log, beside(path, "-shm"), new, beside(new, "-wal"), beside(new, "-shm"), beside(new, "-journal")):
            leftover.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(_connect(new, deadline)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute("BEGIN IMMEDIATE")
            for migration in MIGRATIONS:
                migration(connection)
            connection.execute(f"PRAGMA user_version={known()}")
            connection.execute("COMMIT")
        new.replace(path)
        _sync_folder(path.parent)


def migrate(path: Path, deadline: float) -> None:
    """Bring an existing registry up to date, a copy `registry.db.before-N` first for each migration N.

    Raises:
        RegistryLocked: somebody uses it for longer than `deadline` seconds.
    """
    with _alone(path, deadline), closing(_connect(path, deadline)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        while (found := _schema(connection)) < known():
            # The write lock is held while the copy is made, so that nothing falls between the copy and the migration.
            connection.execute("BEGIN IMMEDIATE")
            if _schema(connection) != found:
                connection.execute("ROLLBACK")
                continue
            try:
                _copy(path, beside(path, f".before-{found + 1}"), deadline)
                MIGRATIONS[found](connection)
                connection.execute(f"PRAGMA user_version={found + 1}")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def beside(path: Path, suffix: str) -> Path:
    """The file of that name with `suffix` after it."""
    return path.with_name(path.name + suffix)


def _schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _connect(path: Path, deadline: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=deadline, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _copy(path: Path, to: Path, deadline: float) -> None:
    part = beside(to, ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(_connect(path, deadline)) as source, closing(_connect(part, deadline)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file that stands by itself
    part.replace(to)
    _sync_folder(to.parent)


@contextmanager
def _alone(path: Path, deadline: float) -> Iterator[None]:
    """The file lock beside the registry: two processes never make or migrate it at once."""
    until = time.monotonic() + deadline
    lock = os.open(beside(path, ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise failures.locked(path) from error
                time.sleep(0.02)
        yield
    finally:
        os.close(lock)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
