"""The store's file: within its bound, its owner's alone, and one clear sentence for each thing that stands in its way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlconsole.core.summaries import merged
from mlconsole.observations import Store, open_store
from mlconsole.plugin.errors import StoreUnusable
from observations.samples import ENV, T0, SetClock, all_windows, feed, one, seen

# ---- the bound


def test_hours_and_summaries_that_are_too_old_go(path: Path) -> None:
    with open_store(path, clock=SetClock(), keep_days=2 / 24) as store:
        feed(store, [seen(hour * 3600 + 1, slices={"language": f"l{hour}"}) for hour in range(5)])
        assert store.prune(T0 + 5 * 3600) == 3
        assert [row.time - T0 for row in store.rows(ENV, "relevance", 0, 1e12)] == [3 * 3600 + 1, 4 * 3600 + 1]
        assert {start for start, _ in all_windows(store)} == {T0 + 3 * 3600, T0 + 4 * 3600}
        assert store.labels(ENV, "relevance") == {"language": ("l3", "l4")}
        feed(store, [seen(4 * 3600 + 2, slices={"language": "l0"})])
        assert store.labels(ENV, "relevance") == {"language": ("l0", "l3", "l4")}
        assert store.prune(T0 + 5 * 3600) == store.prune() == 0


def test_the_file_stays_within_its_bound_while_it_is_fed_for_hours(path: Path) -> None:
    bound = 2_000_000
    with open_store(path, clock=SetClock(), keep_bytes=bound) as store:
        for step in range(60):
            feed(store, [seen(step * 600 + number / 2, error="x" * 400, status=500) for number in range(300)])
            if step % 10 == 9:
                store.prune(T0 + step * 600)
            assert path.stat().st_size <= bound * 1.1
        rows = [row.time for row in store.rows(ENV, "relevance", 0, 1e12)]
        assert rows[-1] == T0 + 59 * 600 + 149.5
        assert rows[0] > T0 + 10 * 600
        assert len(all_windows(store)) == 60 * 15 * 2


def test_one_hour_that_is_larger_than_the_bound_goes_too_and_summaries_last_of_all(path: Path) -> None:
    with open_store(path, clock=SetClock(), keep_bytes=400_000) as store:
        for _ in range(20):
            feed(store, [seen(number / 20, error="x" * 400, status=500) for number in range(1000)])
            assert path.stat().st_size <= 1_300_000
        assert merged(summary for (_, key), summary in all_windows(store).items() if not key.slice).n == 20_000
        feed(store, [seen(number * 10, score=number / 3000) for number in range(3000)])
        assert store.prune(T0) == 9
        assert path.stat().st_size <= 400_000
        left = {start for start, _ in all_windows(store)}
        assert T0 + 29_990 in left
        assert T0 not in left


# ---- the file


def test_only_its_owner_may_read_it(store: Store, path: Path) -> None:
    feed(store, [seen(1)])
    assert {file.name: file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == dict.fromkeys(
        [path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}.lock"], 0
    )
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert store.size() > 0


def test_what_was_written_is_there_after_opening_again(path: Path) -> None:
    with open_store(path, clock=SetClock()) as store:
        feed(store, [seen(1)])
        before, revision = all_windows(store), store.revision()
    with open_store(path, clock=SetClock()) as store:
        assert (all_windows(store), store.revision(), store.cursor(ENV)) == (before, revision, "None+1")


def test_a_store_to_be_read_that_is_not_there_is_empty_and_not_made(path: Path) -> None:
    with open_store(path, clock=SetClock(), read_only=True) as reading:
        assert (reading.cursor(ENV), reading.newest(ENV), reading.revision(), reading.size()) == (None, None, 0, 0)
        assert (list(reading.windows(ENV, 0)), list(reading.rows(ENV, "relevance", 0, 1e12)), reading.labels(ENV, "r")) == ([], [], {})
        assert not path.parent.exists()
        with pytest.raises(StoreUnusable, match="read only"):
            reading.ingest(ENV, "predictions", [seen(1)], after=None, cursor="1")
        with pytest.raises(StoreUnusable, match="read only"):
            reading.prune(0)
        with open_store(path, clock=SetClock()) as writing:
            feed(writing, [seen(1)])
        assert one(reading).n == 1
        for file in path.parent.iterdir():
            file.unlink()
        assert reading.cursor(ENV) is None
        with open_store(path, clock=SetClock()) as writing:
            feed(writing, [seen(1), seen(2)])
            assert one(reading).n == 2


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000, None])
def test_what_is_no_store_is_one_clear_error(path: Path, content: bytes | None) -> None:
    path.parent.mkdir()
    if content is None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (a)")
    else:
        path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(StoreUnusable, match="no observations of mlconsole") as told:
            open_store(path, clock=SetClock(), read_only=read_only)
        assert str(path) in told.value.message
        assert "Move it away" in told.value.next


def test_a_damaged_one_and_a_newer_one_are_told(path: Path) -> None:
    with open_store(path, clock=SetClock()) as store:
        feed(store, [seen(number) for number in range(500)])
    body = path.read_bytes()
    path.write_bytes(body[:8192] + b"\xff" * (len(body) - 8192))
    with open_store(path, clock=SetClock()) as store:
        with pytest.raises(StoreUnusable, match="damaged"):
            feed(store, [seen(1)])
        with pytest.raises(StoreUnusable, match="damaged"):
            store.windows(ENV, 0)
    path.unlink()
    with open_store(path, clock=SetClock()):
        pass
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version=99")
    with pytest.raises(StoreUnusable, match="newer mlconsole"):
        open_store(path, clock=SetClock())


def test_a_damaged_summary_is_told(store: Store, path: Path) -> None:
    feed(store, [seen(1)])
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE summary SET body = 'nonsense'")
    for asked in (lambda: store.windows(ENV, 0), lambda: feed(store, [seen(2)])):
        with pytest.raises(StoreUnusable, match="damaged"):
            asked()


def test_nothing_is_written_into_a_file_that_was_replaced(store: Store, path: Path) -> None:
    feed(store, [seen(1)])
    path.rename(path.with_name("elsewhere.db"))
    with pytest.raises(StoreUnusable, match="removed or replaced"):
        store.ingest(ENV, "predictions", [seen(2)], after="None+1", cursor="2")


def test_a_left_over_log_is_not_taken_into_a_new_store(path: Path) -> None:
    with open_store(path, clock=SetClock()) as store:
        feed(store, [seen(1)])
        log = path.with_name(f"{path.name}-wal").read_bytes()
    for file in path.parent.iterdir():
        file.unlink()
    path.with_name(f"{path.name}-wal").write_bytes(log)
    with open_store(path, clock=SetClock()) as store:
        assert all_windows(store) == {}
