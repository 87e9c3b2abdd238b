"""The prediction log: one JSON line for each request that a server answered, and the inputs reduced to what may be kept."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlconsole_local.artifact import Column
from mlconsole_local.protocol import encoded
from mlconsole_local.rotation import rotate

_ENOUGH = 100
_ENUMERATION = 20
_WORDLIKE = re.compile(r"[\w.+:/-]{0,24}")


class PredictionLog:
    """Appends lines with one write each, so that a killed server leaves whole lines; rotates by size."""

    def __init__(self, path: Path, *, limit: int = 64 << 20) -> None:
        """`limit` in bytes."""
        self._path = path
        self._limit = limit
        self._lost = 0
        self._broken = False
        self._open()

    def write(self, line: Mapping[str, Any]) -> None:
        """One line. A full disk loses the line, never the prediction."""
        data = encoded(line) + b"\n"
        if self._broken:
            data = b"\n" + data
        try:
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
            written = os.write(self._file, data)
        except OSError as error:
            written = 0
            self._complain(error)
        self._broken = 0 < written < len(data)
        self._size += written

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        # The last writer may have met a full disk in the middle of a line.
        self._broken = self._size > 0 and os.pread(self._file, 1, self._size - 1) != b"\n"

    def _rotate(self) -> None:
        rotate(self._path)
        os.close(self._file)
        self._open()

    def _complain(self, error: OSError) -> None:
        self._lost += 1
        if self._lost & (self._lost - 1) == 0:  # The 1st, 2nd, 4th, 8th …: a full disk does not fill the other log.
            with suppress(OSError):
                print(f"{self._path.name}: {error.strerror}; {self._lost} lines lost so far", file=sys.stderr, flush=True)


class Reducer:
    """Reduces inputs to numbers, categories, lengths and missing flags, so that no text of a consumer is kept.

    A text is shown as it is only where it is a category: the artifact says so, a slice is read from it, or at least 100 requests have
    shown at most 20 different short words without blanks. Before that, and for everything else, its length stands for it.
    """

    def __init__(self, columns: Collection[Column], categories: Collection[str]) -> None:
        """`categories`: inputs that are known to be short enumerations."""
        self._columns = list(columns)
        self._sure = set(categories) | {column.name for column in columns if column.category}
        self._seen: dict[str, set[str] | None] = {column.name: set() for column in columns if column.datatype == "BYTES"}
        self._count = dict.fromkeys(self._seen, 0)

    def fields(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """The first row's inputs, reduced: a number, a truth value, a category, or `{"length": n}`; `{"missing": true}` where none came."""
        reduced: dict[str, Any] = {}
        for column in self._columns:
            values = columns.get(column.name)
            if not values:
                reduced[column.name] = {"missing": True}
            elif column.datatype != "BYTES":
                reduced[column.name] = values[0]
            else:
                text = str(values[0])
                reduced[column.name] = text[:64] if self._is_category(column.name, text) else {"length": len(text)}
        return reduced

    def _is_category(self, name: str, text: str) -> bool:
        if name in self._sure:
            return True
        seen = self._seen.get(name)
        if seen is None:
            return False
        if not _WORDLIKE.fullmatch(text) or len(seen) > _ENUMERATION:
            self._seen[name] = None
            return False
        seen.add(text)
        self._count[name] += 1
        return self._count[name] >= _ENOUGH and len(seen) <= _ENUMERATION


def input_hash(columns: Mapping[str, Sequence[Any]]) -> str:
    """A hash of all inputs that does not depend on their order: equal inputs are told from equal outputs by it."""
    return hashlib.blake2b(encoded(sorted((name, list(values)) for name, values in columns.items())), digest_size=8).hexdigest()
