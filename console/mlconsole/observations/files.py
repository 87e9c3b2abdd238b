"""Reading lines of files that others write, rename, copy and truncate: each line once, as far as bytes can tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mlconsole.plugin.errors import Refused, Unavailable

_LONGEST = 1 << 20
"""Bytes of the longest line that is looked at."""
_CHECKED = 512
_MARGIN = 60.0
"""Seconds: a line is written when a request ends, so they are out of order by up to its duration."""
_REMEMBERED = 8
"""So many files stay known after they were last seen: one that is being renamed just now may be missed once."""
_TRIES = 50


class Place(NamedTuple):
    """How far one file was read: `head` tells its first line, `check` the bytes before `at`. `skipping`: in the middle of a line that is
    too long, whose rest is passed over."""

    head: str
    at: int = 0
    check: str = ""
    skipping: bool = False


@dataclass
class Batch:
    """Some whole lines without their ends; None for one that was too long. The places behind them, and whether there is nothing more."""

    lines: list[bytes | None]
    places: list[Place]
    at_end: bool


class File(NamedTuple):
    """A file that is open: its first line's hash, and how long it was when it was opened."""

    head: str
    size: int
    file: BinaryIO


@contextmanager
def opened(names: Iterable[str], since: float) -> Iterator[Sequence[File]]:
    """Those files that have a whole first line and were written to at or after `since`, the longest first.

    Raises:
        Refused: there are some, and none of them may be read.
        Unavailable: they can't be opened just now, such as too many at once: to pass over one would be to forget how far it was read.
    """
    denied = ""
    with ExitStack() as stack:
        files = []
        for name in map(Path, names):
            try:
                about = name.stat()
                if about.st_mtime < since:
                    continue
                file = stack.enter_context(name.open("rb"))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue  # it is being renamed, or is a folder
            except PermissionError:
                denied = str(name)
                continue
            except OSError as error:
                raise Unavailable(f"The log {name} can't be opened: {error.strerror or error}. Nothing was read.") from error
            size = os.fstat(file.fileno()).st_size
            first = file.readline(_LONGEST)
            if first.endswith(b"\n") or len(first) == _LONGEST:
                files.append(File(_hash(first), size, file))
        if denied and not files:
            raise Refused(f"The log {denied} may not be read. Nothing was read.", next=f"Look who may: ls -la {denied}")
        yield sorted(files, key=lambda one: -one.size)


def read(files: Sequence[File], places: Sequence[Place], limit: int) -> Batch:
    """The next lines behind `places`, at most `limit`; a last line without its end waits. Files take turns from one call to the next."""
    batch = Batch([], [], at_end=True)
    places = list(dict.fromkeys(places))  # two files that begin alike may have been read equally far
    claimed: dict[Place, File] = {}
    new: list[File] = []
    kept: list[File] = []
    for one in files:
        # The longest goes first: of a file and its copies it is the one that is still written to.
        if any(_is_copy(one, longer) for longer in kept):
            continue
        kept.append(one)
        found = max((place for place in places if place not in claimed and _fits(one, place)), key=lambda place: place.at, default=None)
        if found is None:
            new.append(one)
        else:
            claimed[found] = one
    done, waiting = [], []
    for place, one in [*((place, claimed[place]) for place in places if place in claimed), *((Place(one.head), one) for one in new)]:
        left = limit - len(batch.lines)
        if left > 0:
            done.append(_lines(one, place, left, batch))
        else:
            batch.at_end = batch.at_end and place.at >= one.size
            waiting.append(place)
    gone = [place for place in places if place not in claimed][-_REMEMBERED:]
    batch.places = [*gone, *waiting, *done]
    return batch


def places_at(files: Sequence[File], since: float, time_of: Callable[[bytes], float | None]) -> list[Place]:
    """Places behind which every line at or after `since` lies, where lines are in the order of their times, more or less."""
    places: list[Place] = []
    for one in files:
        low, high = 0, one.size
        while low < high:
            middle = (low + high) // 2
            begin = _line_after(one.file, middle)
            time = _first_time(one.file, begin, time_of)
            if time is None or time >= since - _MARGIN:
                high = middle
            else:
                low = max(middle + 1, begin + 1)
        at = min(_line_after(one.file, low), one.size) if low else 0
        places.append(Place(one.head, at, _check(one.file, at)))
    return places


def _lines(one: File, place: Place, limit: int, batch: Batch) -> Place:
    """Add lines to the batch; the place behind them."""
    file, at, skipping = one.file, place.at, place.skipping
    file.seek(at)
    count = 0
    while True:
        if count >= limit:
            batch.at_end = batch.at_end and at >= os.fstat(file.fileno()).st_size
            break
        raw = file.readline(_LONGEST)
        whole = raw.endswith(b"\n")
        if not whole and len(raw) < _LONGEST and not skipping:
            break  # its end is not written yet
        if not raw:
            break
        at += len(raw)
        if not whole:
            skipping = True
            continue
        batch.lines.append(None if skipping else raw[:-1])
        count += 1
        skipping = False
    return Place(one.head, at, _check(file, at), skipping)


def _fits(one: File, place: Place) -> bool:
    return one.head == place.head and one.size >= place.at and _check(one.file, place.at) == place.check


def _is_copy(one: File, longer: File) -> bool:
    """Whether all that a file holds stands at the same place in a longer one: it is a copy, perhaps still being made."""
    return one.head == longer.head and _check(one.file, one.size) == _check(longer.file, one.size)


def _check(file: BinaryIO, at: int) -> str:
    begin = max(0, at - _CHECKED)
    file.seek(begin)
    return _hash(file.read(at - begin)) if at else ""


def _hash(data: bytes) -> str:
    return blake2b(data, digest_size=9).hexdigest()


def _line_after(file: BinaryIO, offset: int) -> int:
    """Where the first line begins that begins at or after `offset`."""
    if offset == 0:
        return 0
    file.seek(offset - 1)
    while True:
        raw = file.readline(_LONGEST)
        if not raw or raw.endswith(b"\n"):
            return file.tell()


def _first_time(file: BinaryIO, begin: int, time_of: Callable[[bytes], float | None]) -> float | None:
    """The time of the first line from `begin` on that has one; None when there is none near."""
    file.seek(begin)
    for _ in range(_TRIES):
        raw = file.readline(_LONGEST)
        if not raw:
            return None
        time = time_of(raw)
        if time is not None:
            return time
    return None
