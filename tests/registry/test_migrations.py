"""Schema numbers: tables and migrations agree; an older registry is copied, then brought up to date, once."""

from __future__ import annotations

import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect
from sqlmodel import SQLModel, create_engine

from mlconsole.core.models import Actor
from mlconsole.plugin.errors import RegistryUnusable
from mlconsole.registry import migrations, open_registry, tables
from registry.samples import SetClock, files, processes, version


def note(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE note (text TEXT)")
    connection.execute("INSERT INTO note SELECT 'from ' || count(*) FROM model_version")


def break_off(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE half (text TEXT)")
    raise sqlite3.OperationalError("the machine caught fire")


@pytest.fixture
def old(path: Path) -> Path:
    """A registry of today with one version in it, for the migrations of tomorrow."""
    with open_registry(path, clock=SetClock()) as registry:
        registry.add_version(version())
    return path


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def test_tables_and_migrations_agree(old: Path) -> None:
    inspected = inspect(create_engine(f"sqlite:///{old}"))
    ours = {name: table for name, table in SQLModel.metadata.tables.items() if table is not None}
    declared = {model.__tablename__ for model in vars(tables).values() if isinstance(model, type) and model.__module__ == tables.__name__}
    assert set(inspected.get_table_names()) == declared
    for name in declared:
        there = {column["name"]: column for column in inspected.get_columns(str(name))}
        wanted = ours[str(name)].columns
        assert list(there) == [column.name for column in wanted]
        for column in wanted:
            assert there[column.name]["nullable"] == bool(column.nullable) or column.name == "seq", (name, column.name)
            assert bool(there[column.name]["primary_key"]) == column.primary_key, (name, column.name)


def test_a_new_one_has_our_mark_and_the_newest_schema(old: Path) -> None:
    assert ask(old, "PRAGMA user_version") == [(migrations.known(),)]
    assert ask(old, "PRAGMA application_id") == [(migrations.APPLICATION,)]
    assert ask(old, "PRAGMA integrity_check") == [("ok",)]
    assert files(old.parent) == {"registry.db", "registry.db.lock"}


def test_an_older_one_is_copied_then_migrated(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrations.known()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, note, note_more))
    with open_registry(old, clock=SetClock()) as registry:
        assert len(registry.versions()) == 1
        assert registry.add_version(version("5"))
    assert ask(old, "SELECT * FROM note") == [("from 1",), ("more",)]
    for number in (known + 1, known + 2):
        copy = old.with_name(f"registry.db.before-{number}")
        assert ask(copy, "PRAGMA user_version") == [(number - 1,)]
        assert ask(copy, "SELECT version FROM model_version") == [("4",)]
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    before = files(old.parent)
    open_registry(old, clock=SetClock()).close()
    assert files(old.parent) == before
    assert not [name for name in before if re.search(r"part|new", name)]


def note_more(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO note VALUES ('more')")


def test_a_copy_can_be_put_back(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as tomorrow:
        tomorrow.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, note))
        open_registry(old, clock=SetClock()).close()
    with pytest.raises(RegistryUnusable, match="newer mlconsole"):
        open_registry(old, clock=SetClock())
    old.with_name(f"registry.db.before-{migrations.known() + 1}").replace(old)
    with open_registry(old, clock=SetClock()) as registry:
        assert registry.add_version(version("5"))


def test_a_migration_that_breaks_off_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as tomorrow:
        tomorrow.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, break_off))
        with pytest.raises(RegistryUnusable, match="caught fire"):
            open_registry(old, clock=SetClock())
    with open_registry(old, clock=SetClock()) as registry:
        assert len(registry.versions()) == 1
    assert ("half",) not in ask(old, "SELECT name FROM sqlite_master")


def test_read_only_an_older_one_is_not_migrated(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, note))
    with pytest.raises(RegistryUnusable, match="older mlconsole"):
        open_registry(old, clock=SetClock(), read_only=True)
    assert not list(old.parent.glob("registry.db.before-*"))
    assert ask(old, "PRAGMA user_version") == [(migrations.known() - 1,)]


def add_after_opening(path: str, name: str) -> bool:
    with open_registry(Path(path), clock=SetClock()) as registry:
        return registry.add_version(version(name))


def test_many_make_and_migrate_one_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes(add_after_opening, [(str(path), str(place)) for place in range(6)]) == [True] * 6
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, note))
    assert processes(add_after_opening, [(str(path), str(place)) for place in range(6, 12)]) == [True] * 6
    assert len(ask(path, "SELECT * FROM model_version")) == 12
    assert ask(path, "SELECT * FROM note") == [("from 6",)]


def test_one_of_before_health_is_copied_and_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as past:
        past.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
        with open_registry(path, clock=SetClock()) as registry:
            registry.add_version(version())
    with pytest.raises(RegistryUnusable, match="older mlconsole"):
        open_registry(path, clock=SetClock(), read_only=True)
    with open_registry(path, clock=SetClock()) as registry:
        assert len(registry.versions()) == 1
        assert registry.alarms("production") == []
        assert registry.watcher("production") is None
    copy = path.with_name("registry.db.before-2")
    assert ask(copy, "PRAGMA user_version") == [(1,)]
    assert ("alarm",) not in ask(copy, "SELECT name FROM sqlite_master")
    assert ask(path, "PRAGMA foreign_key_check") == []


def test_who_watched_before_callers_were_known_still_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, before = SetClock(), migrations.MIGRATIONS.index(migrations._callers)
    with monkeypatch.context() as past:
        past.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:before])
        open_registry(path, clock=clock).close()
    columns = "environment, token, holder, place, pid, boot, since, beat_at, beat, every, ended, problem, channels"
    holder = '{"user": "anna", "host": "bastion-1"}'
    moment = clock.now().isoformat(timespec="microseconds")
    with closing(sqlite3.connect(path)) as connection, connection:
        row = ("production", 3, holder, "", 1, "", moment, moment, 0.0, 5.0, moment, "", "[]")
        connection.execute(f"INSERT INTO watcher ({columns}) VALUES ({', '.join('?' * len(row))})", row)
    with open_registry(path, clock=clock) as registry:
        there = registry.watcher("production")
        assert there is not None
        assert (there.token, there.caller, there.dead_because) == (3, None, "it was ended")
        assert registry.watch("production", Actor("anna", "bastion-1"), 1) == 4


def test_the_revision_rises_with_what_changes_seldom_only(old: Path) -> None:
    with open_registry(old, clock=SetClock()) as registry:
        before = registry.revision()
        token = registry.watch("staging", Actor("anna", "bastion-1"), 1)
        registry.beat("staging", token)
        assert registry.revision() == before
        registry.add_version(version("9", digest="b"))
        assert registry.revision() > before
