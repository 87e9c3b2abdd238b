"""Keeping the store within its bound: whole hours of raw rows go first, oldest first, and summaries only when nothing else is left."""

from __future__ import annotations

import sqlite3


def hours_of(connection: sqlite3.Connection) -> list[int]:
    """The hours that there are raw rows of, oldest first."""
    return sorted(int(name[4:]) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name GLOB 'raw_*'"))


def make_room(connection: sqlite3.Connection, bound: int) -> int:
    """Drop the oldest hours until no more than `bound` bytes are used; when that is not enough, the oldest quarter of the summaries,
    again and again.
    """
    dropped = 0
    hours = hours_of(connection)
    while _used(connection) > bound:
        if hours:
            connection.execute(f'DROP TABLE "raw_{hours.pop(0)}"')
            dropped += 1
            continue
        count = int(connection.execute("SELECT count(*) FROM summary").fetchone()[0])
        if not count:
            break
        connection.execute("DELETE FROM summary WHERE start <= (SELECT start FROM summary ORDER BY start LIMIT 1 OFFSET ?)", (count // 4,))
    return dropped


def give_back(connection: sqlite3.Connection, bound: int) -> None:
    """Make the file as small as its bound, outside of any transaction: until it is larger, pages that were freed are used again."""
    pages, free, size = _pages(connection)
    beyond = min(free, pages - bound // size)
    while beyond > 0:
        step = min(beyond, 1000)  # others may write in between
        connection.executescript(f"PRAGMA incremental_vacuum({step})")  # `execute` would free one page only
        beyond -= step
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """How many pages the file has, how many of them are free, and a page's bytes."""
    pages, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))
    return pages, free, size


def _used(connection: sqlite3.Connection) -> int:
    pages, free, size = _pages(connection)
    return (pages - free) * size
