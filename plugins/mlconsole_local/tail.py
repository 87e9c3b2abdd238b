"""Reading growing, rotated logs of JSON lines: each line once, wherever its file has been renamed to.

A file is known by a hash of its first line, which never changes, whatever it is called and whichever inode it got.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mlconsole_local.rotation import family

Offsets = dict[str, int]
"""File → how many of its bytes have been read."""

_FIRST = 1 << 18
_REMEMBERED = 8
"""So many files stay known after they were last seen: one that is being renamed just now may be missed once."""


@dataclass(frozen=True)
class Line:
    """A whole line: the file it is of, where it begins and ends (bytes), and its object."""

    file: str
    begin: int
    end: int
    value: Mapping[str, Any]

    @property
    def time(self) -> float:
        """When, as the line says (epoch seconds)."""
        return float(self.value["time"])


@dataclass
class Batch:
    """Some lines, oldest file first, the offsets behind them, and whether that is all there is just now."""

    lines: list[Line]
    offsets: Offsets
    at_end: bool

    def give_back(self, first: int) -> None:
        """Leave the lines from index `first` on for the next time."""
        for line in reversed(self.lines[first:]):
            self.offsets[line.file] = line.begin
        if first < len(self.lines):
            self.at_end = False
        del self.lines[first:]


def read(path: Path, offsets: Mapping[str, int], limit: int, until: float = float("inf")) -> Batch:
    """The next lines of a log behind `offsets`: at most `limit`, and none later than `until` (epoch seconds).

    A last line without its end is left for the next time; one that is no JSON object with a time is skipped.
    """
    batch = Batch([], dict(offsets), at_end=True)
    with ExitStack() as stack:
        for identity, file in _opened(path, stack):
            batch.offsets[identity] = batch.offsets.pop(identity, 0)  # Last seen, last dropped.
            for line in _lines(identity, file, batch.offsets[identity]):
                if len(batch.lines) >= limit or line.time > until:
                    batch.at_end = False
                    break
                batch.lines.append(line)
                batch.offsets[identity] = line.end
            if not batch.at_end:
                break
    for identity in list(batch.offsets)[:-_REMEMBERED]:
        del batch.offsets[identity]
    return batch


def offsets_at(path: Path, time: float) -> Offsets:
    """Offsets behind which every line with a time at or after `time` lies, provided that lines are in the order of their times."""
    offsets: Offsets = {}
    with ExitStack() as stack:
        for identity, file in _opened(path, stack):
            low, high = 0, os.fstat(file.fileno()).st_size
            while low < high:
                middle = (low + high) // 2
                line = next(_lines(identity, file, _line_after(file, middle)), None)
                if line is None or line.time >= time:
                    high = middle
                else:
                    low = line.end
            offsets[identity] = _line_after(file, low) if low else 0
    return offsets


def _opened(path: Path, stack: ExitStack) -> Iterator[tuple[str, BinaryIO]]:
    known = set()
    for name in family(path):
        try:
            file = stack.enter_context(name.open("rb"))
        except FileNotFoundError:
            continue
        first, newline, _ = file.read(_FIRST).partition(b"\n")
        identity = hashlib.blake2b(first, digest_size=12).hexdigest()
        if newline and identity not in known:
            known.add(identity)
            yield identity, file


def _line_after(file: BinaryIO, offset: int) -> int:
    """Where the first line begins that begins at or after `offset`."""
    if offset == 0:
        return 0
    file.seek(offset - 1)
    file.readline()
    return file.tell()


def _lines(identity: str, file: BinaryIO, offset: int) -> Iterator[Line]:
    """Whole lines from `offset` on that are JSON objects with a time; others are passed over."""
    file.seek(offset)
    for raw in file:
        if not raw.endswith(b"\n"):
            return
        end = offset + len(raw)
        try:
            value = json.loads(raw)
            if not isinstance(value, dict):
                raise ValueError
            float(value["time"])
        except (ValueError, KeyError, TypeError):
            value = None
        if value is not None:
            yield Line(identity, offset, end, value)
        offset = end
