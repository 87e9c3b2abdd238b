"""The file: who may read it, what stands in its way, and that every such thing is one clear sentence with a next step."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import Session

from mlconsole.core.clock import SystemClock
from mlconsole.core.errors import MLConsoleError
from mlconsole.plugin.errors import RegistryLocked, RegistryUnusable
from mlconsole.registry import Registry, failures, migrations, open_registry
from registry.samples import ENV, OLA, TOMEK, SetClock, files, plan, processes, version

NOBODY = 65_534


def refused(path: Path, match: str, *, read_only: bool = False, create: bool = True) -> MLConsoleError:
    """What opening and reading says; it must be told whole."""
    with (
        pytest.raises(RegistryUnusable, match=match) as told,
        open_registry(path, clock=SetClock(), deadline=0.2, read_only=read_only, create=create) as opened,
    ):
        opened.versions()
    assert str(path) in told.value.message
    assert told.value.message.endswith(".")
    assert told.value.next.strip()
    assert "\n" not in str(told.value)
    return told.value


def filled(path: Path) -> None:
    """A registry of many pages, closed and whole."""
    with open_registry(path, clock=SetClock()) as registry:
        for name in range(60):
            registry.add_version(version(str(name)))


def test_a_new_one_is_for_its_owner_alone(path: Path, registry: Registry) -> None:
    registry.add_version(version())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert modes == dict.fromkeys(["registry.db", "registry.db-wal", "registry.db-shm", "registry.db.lock"], 0o600)
    assert not registry.read_only
    assert registry.path == path


def test_the_set_up_is_the_one_that_loses_nothing(registry: Registry) -> None:
    def ask(session: Session) -> dict[str, object]:
        run = session.connection().exec_driver_sql
        names = ["journal_mode", "synchronous", "foreign_keys", "busy_timeout"]
        return {name: run(f"PRAGMA {name}").scalar_one() for name in names}

    assert registry._database.read(ask) == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    with closing(sqlite3.connect(registry.path, timeout=0)) as other:

        def work(session: Session) -> None:
            session.connection()  # has read and written nothing yet, and is alone already
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")

        registry._database.write(work)


def test_a_missing_one_is_made_only_when_that_is_wanted(path: Path) -> None:
    refused(path, "There is no registry", create=False)
    refused(path, "There is no registry", read_only=True)
    assert not path.parent.exists()


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1? ünd" / "registry.db"
    filled(path)
    with open_registry(path, clock=SetClock(), read_only=True) as registry:
        assert len(registry.versions()) == 60


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir(parents=True)
    refused(path, "is a folder")


def test_a_file_where_its_folder_should_be(path: Path) -> None:
    path.parent.write_text("")
    refused(path, "can't be reached: (not a directory|file exists)")


def test_garbage_in_its_place(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"these are no pages of a database" * 400)
    refused(path, "is not an SQLite database")
    refused(path, "is not an SQLite database", read_only=True)


def test_an_empty_file_is_a_loss_and_no_new_registry(path: Path) -> None:
    filled(path)
    path.write_bytes(b"")
    refused(path, r"is empty \(0 bytes\)")
    assert path.stat().st_size == 0


def test_another_programs_database(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE plan (id)")
    refused(path, "is another program's database")


@pytest.mark.parametrize("keep", [50, 100, 2000, 4096, 40_000])
def test_a_truncated_file(path: Path, keep: int) -> None:
    filled(path)
    assert path.stat().st_size > keep
    os.truncate(path, keep)
    refused(path, "is damaged|is not an SQLite database|can't be read or written")


def test_a_torn_page(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 200)
    refused(path, "is damaged")


def test_lost_tables(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE model_version")
    refused(path, "is damaged: no such table")


def test_a_newer_one_is_left_alone(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version=7")
    for read_only in (False, True):
        error = refused(path, rf"was written by a newer mlconsole \(schema 7, this one knows {migrations.known()}\)", read_only=read_only)
        assert "pgrade" in error.next


def test_one_that_becomes_newer_while_it_is_open(path: Path, registry: Registry) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version=7")
    with pytest.raises(RegistryUnusable, match="newer mlconsole"):
        registry.add_version(version())


def test_one_that_is_replaced_while_it_is_open(path: Path, registry: Registry) -> None:
    path.unlink()
    with pytest.raises(RegistryUnusable, match="no such file"):
        registry.add_version(version())
    for beside in path.parent.glob("registry.db-*"):
        beside.unlink()
    filled(path)
    with pytest.raises(RegistryUnusable, match="was replaced while"):
        registry.add_version(version())


def test_a_log_without_its_database_is_not_taken_in(path: Path, registry: Registry) -> None:
    registry.add_version(version())
    path.unlink()
    refused(path, "its write-ahead log registry.db-wal is still there")


def test_a_held_lock_is_waited_for_until_the_deadline(path: Path, registry: Registry) -> None:
    with (
        open_registry(path, clock=SetClock(), deadline=0.2) as hasty,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryLocked, match="locked by another process") as told:
            hasty.add_version(version())
        assert told.value.exit_code == 5
        assert hasty.versions() == []
        patient = threading.Thread(target=registry.add_version, args=(version(),))
        patient.start()
        other.execute("COMMIT")
        patient.join()
        assert len(hasty.versions()) == 1


def test_a_lock_longer_than_the_busy_timeout_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlconsole.registry.database.BUSY_TIMEOUT", 0.01)
    with open_registry(path, clock=SetClock(), deadline=10) as registry, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tries = 0

        def count(_seconds: float) -> None:
            nonlocal tries
            tries += 1
            if tries == 3:
                other.execute("COMMIT")

        monkeypatch.setattr("mlconsole.registry.database.time.sleep", count)
        assert registry.add_version(version())
        assert tries == 3


def test_a_registry_that_somebody_is_making(path: Path) -> None:
    path.parent.mkdir()
    with migrations.beside(path, ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RegistryLocked):
            open_registry(path, clock=SetClock(), deadline=0.05)


def test_an_empty_log_without_its_database_is_nothing(path: Path) -> None:
    path.parent.mkdir()
    migrations.beside(path, "-wal").write_bytes(b"")
    filled(path)
    assert files(path.parent) == {"registry.db", "registry.db.lock"}


def test_half_a_registry_is_made_again(path: Path) -> None:
    path.parent.mkdir()
    migrations.beside(path, ".new").write_bytes(b"left by a crash")
    filled(path)
    assert files(path.parent) == {"registry.db", "registry.db.lock"}


def test_a_full_disk(path: Path, registry: Registry) -> None:
    def no_more_pages(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=1")  # SQLite takes the pages that there are

    event.listen(registry._database.engine, "connect", no_more_pages)
    registry.close()  # so that the next use connects anew

    def add_many() -> None:
        for name in range(200):
            registry.add_version(version(str(name)))

    with pytest.raises(RegistryUnusable, match="can't grow: its disk is full") as told:
        add_many()
    assert "Make room" in told.value.next
    assert [one.version for one in registry.versions()] == [str(name) for name in range(len(registry.versions()))]


def test_a_full_disk_when_it_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrations, "_sync_folder", full)
    refused(path, "its disk is full")


def test_read_only_reads_and_writes_nothing(path: Path, registry: Registry) -> None:
    registry.add_version(version())
    with open_registry(path, clock=SetClock(), read_only=True) as reader:
        assert reader.read_only
        registry.add_version(version("5"))
        assert len(reader.versions()) == 2
        with pytest.raises(RegistryUnusable, match=r"can only be read: it was opened to be read only\. Nothing was changed"):
            reader.take_lease(ENV, "relevance", TOMEK, "x", "")
    with open_registry(path, clock=SetClock(), read_only=True) as reader:
        assert len(reader.versions()) == 2


def test_read_only_is_held_by_sqlite_too(path: Path) -> None:
    filled(path)
    with open_registry(path, clock=SetClock(), read_only=True) as reader:
        reader._database.why_read_only = ""
        with pytest.raises(RegistryUnusable, match="can only be read: its file or folder is read-only"):
            reader.add_version(version("new"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can come to; pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="mlconsole-registry-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(path: str, act: str) -> str:
    """Runs in a child that is no longer root: what opening, reading and writing says."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        with open_registry(Path(path), clock=SystemClock(), deadline=0.2) as registry:
            read = f"{len(registry.versions())} versions, read only {registry.read_only}"
            if act == "write":
                registry.add_version(version("new"))
            return read
    except MLConsoleError as error:
        return f"{type(error).__name__}: {error.message}"


def test_a_read_only_folder_is_read_all_the_same(open_folder: Path) -> None:
    path = open_folder / "registry.db"
    filled(path)
    path.chmod(0o444)
    open_folder.chmod(0o555)
    before = files(open_folder)
    read, written = processes(as_nobody, [(str(path), "read"), (str(path), "write")])
    assert read == "60 versions, read only True"
    assert written == f"RegistryUnusable: The registry {path} can only be read: its file can't be written. Nothing was changed."
    assert files(open_folder) == before


def test_a_read_only_folder_with_a_writable_file(open_folder: Path) -> None:
    path = open_folder / "registry.db"
    filled(path)
    path.chmod(0o666)
    open_folder.chmod(0o555)
    read, written = processes(as_nobody, [(str(path), "read"), (str(path), "write")])
    assert read == "60 versions, read only True"
    assert "can only be read: its folder can't be written" in written


def test_changes_that_are_only_in_the_log_are_not_left_out(open_folder: Path) -> None:
    path = open_folder / "registry.db"
    with open_registry(path, clock=SystemClock()) as registry:
        registry.add_version(version())
        copy = open_folder / "copy"
        copy.mkdir()
        for name in ("registry.db", "registry.db-wal"):
            shutil.copy(path.with_name(name), copy / name)
            (copy / name).chmod(0o444)
    copy.chmod(0o555)
    (said,) = processes(as_nobody, [(str(copy / "registry.db"), "read")])
    assert "its last changes are still in registry.db-wal" in said


def test_readers_of_another_user_see_what_is_written_meanwhile(open_folder: Path) -> None:
    path = open_folder / "registry.db"
    with open_registry(path, clock=SystemClock()) as registry:
        registry.add_version(version())
        for one in open_folder.iterdir():
            one.chmod(0o644)
        (said,) = processes(as_nobody, [(str(path), "read")])
    assert said == "1 versions, read only True"


def test_permission_denied(open_folder: Path) -> None:
    path = open_folder / "registry.db"
    filled(path)
    path.chmod(0o600)
    if os.getuid() != 0:
        path.chmod(0o000)
    (said,) = processes(as_nobody, [(str(path), "read")])
    assert said.startswith(f"RegistryUnusable: The registry {path} can't be opened: unable to open database file.")
    open_folder.chmod(0o700 if os.getuid() == 0 else 0o000)
    (said,) = processes(as_nobody, [(str(path), "read")])
    assert "can't be reached: permission denied" in said


def test_a_folder_that_nothing_can_be_made_in(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    (said,) = processes(as_nobody, [(str(open_folder / "registry.db"), "read")])
    assert "can't be reached: permission denied" in said


def test_what_sqlite_says_otherwise_is_told_too(path: Path) -> None:
    told = failures.told(sqlite3.OperationalError("something new\nwith lines"), path)
    assert str(told) == f"The registry {path} can't be used: something new. Nothing was changed. Report this."
    known = RegistryUnusable("as it is.")
    assert failures.told(known, path) is known


def test_threads_share_one(registry: Registry) -> None:
    lease = registry.take_lease(ENV, "relevance", OLA, "x", "")
    problems: list[BaseException] = []

    def use(place: int) -> None:
        try:
            for turn in range(10):
                registry.renew(lease)
                registry.save_plan(plan(f"{place:x}{turn:x}aa"))
                registry.plans(ENV)
        except BaseException as error:  # noqa: BLE001 - looked at below
            problems.append(error)

    threads = [threading.Thread(target=use, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(registry.plans(ENV, limit=100)) == 60
