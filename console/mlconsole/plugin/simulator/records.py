"""Observations as lines of a file: written once, read along a cursor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from mlconsole.plugin.errors import InvalidRequest
from mlconsole.plugin.roles import Observation, Page


def append(path: Path, observations: Sequence[Observation]) -> None:
    """Write observations behind the others. The caller holds the world's lock."""
    lines = [json.dumps({**asdict(observation), "time": observation.time.isoformat()}) for observation in observations]
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def page(path: Path, cursor: str, limit: int, until: datetime | None = None) -> Page:
    """The next `limit` observations behind a cursor, those that began after `until` not being there yet.

    Raises:
        InvalidRequest: that is no cursor of this file.
    """
    place = _place(cursor)
    found: list[Observation] = []
    for observation, behind in _lines(path, place):
        if len(found) == limit or (until is not None and observation.time > until):
            break
        found.append(observation)
        place = behind
    # A page that is not full is the end, for now; a full one may be, and the next one tells.
    return Page(tuple(found), f"byte:{place}", len(found) < limit)


def cursor_at(path: Path, time: datetime) -> str:
    """A cursor before the first observation that began at or after `time`."""
    place = 0
    for observation, behind in _lines(path, 0):
        if observation.time >= time:
            break
        place = behind
    return f"byte:{place}"


def all_of(path: Path) -> tuple[Observation, ...]:
    """Everything in the file."""
    return tuple(observation for observation, _ in _lines(path, 0))


def size(path: Path) -> int:
    """How long the file is, in bytes: a number that is never the same again once a line was written."""
    return path.stat().st_size if path.exists() else 0


def _place(cursor: str) -> int:
    kind, _, place = cursor.partition(":")
    if kind != "byte" or not place.isdecimal():
        raise InvalidRequest(f"{cursor!r} is no cursor of this prediction log.")
    return int(place)


def _lines(path: Path, place: int) -> Iterator[tuple[Observation, int]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(place)
        for line in file:
            if not line.endswith(b"\n"):
                return  # is being written just now
            place += len(line)
            body = json.loads(line)
            yield Observation(**{**body, "time": datetime.fromisoformat(body["time"])}), place
