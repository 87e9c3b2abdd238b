"""Snapshots on disk: the last known state, written whole and read back in no time. Standard library only: a first frame waits for this.

The versions lie in a file of their own: they can be ten thousand, hardly ever change, and are read when somebody asks for them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

from mlconsole.engine.views import Snapshot, VersionView

T = TypeVar("T")

SCHEMA = 2

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


def path_of(state: Path, environment: str) -> Path:
    """Where an environment's last snapshot lies; `state` is the workspace's `.mlconsole`."""
    return state / f"snapshot-{environment}.json"


def _versions_of(state: Path, environment: str) -> Path:
    return state / f"versions-{environment}.json"


def keep(state: Path, snapshot: Snapshot, *, versions: bool = True) -> None:
    """Keep the snapshot as the last known one; without `versions` those that lie there stay. A full disk costs it, nothing else."""
    with suppress(OSError):
        if versions:
            _write(_versions_of(state, snapshot.status.environment), [_plain(version) for version in snapshot.versions])
        body = {field.name: _plain(getattr(snapshot, field.name)) for field in dataclasses.fields(snapshot) if field.name != "versions"}
        _write(path_of(state, snapshot.status.environment), {**body, "versions": len(snapshot.versions)})


def _write(path: Path, body: Any) -> None:
    """Beside, then moved in place (0600)."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps({"schema": SCHEMA, "snapshot": body}, separators=(",", ":")))
    beside.replace(path)


def _read(path: Path) -> Any:
    body = json.loads(path.read_text(encoding="utf-8"))
    if body["schema"] != SCHEMA:
        raise ValueError("of another release")
    return body["snapshot"]


class KeptVersions(Sequence[VersionView]):
    """The versions of the last snapshot: how many there are is known, the rest is read when it is asked for."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count

    @cached_property
    def _versions(self) -> tuple[VersionView, ...]:
        try:
            return tuple(_value(VersionView, one) for one in _read(self._path))
        except _UNREADABLE:
            return ()

    def __len__(self) -> int:
        return self._count if "_versions" not in self.__dict__ else len(self._versions)

    @overload
    def __getitem__(self, place: int) -> VersionView: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[VersionView, ...]: ...
    def __getitem__(self, place: int | slice) -> VersionView | tuple[VersionView, ...]:
        return self._versions[place]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, tuple | KeptVersions) and len(self) == len(other) and self._versions == tuple(other))

    __hash__ = None  # type: ignore[assignment]


def last(state: Path, environment: str) -> Snapshot | None:
    """The last snapshot; None when there is none, or one that this release can't read."""
    try:
        body = _read(path_of(state, environment))
        count = int(body.pop("versions"))
        return dataclasses.replace(
            _value(Snapshot, {**body, "versions": []}), versions=KeptVersions(_versions_of(state, environment), count)
        )
    except _UNREADABLE:
        return None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(kind: type[T], body: Any) -> T:
    return typing.cast("T", _made(kind, body))


def _made(kind: Any, body: Any) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: _made(hints[name], inner) for name, inner in body.items() if name in hints})
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return None if body is None else _made(next(part for part in typing.get_args(kind) if part is not type(None)), body)
    if origin is tuple and typing.get_args(kind)[-1] is not Ellipsis:
        return tuple(_made(part, inner) for part, inner in zip(typing.get_args(kind), body, strict=True))
    if origin in (tuple, Sequence):
        return tuple(_made(typing.get_args(kind)[0], inner) for inner in body)
    if origin is not None and issubclass(origin, Mapping):
        return {key: _made(typing.get_args(kind)[1], inner) for key, inner in body.items()}
    if kind is datetime:
        return datetime.fromisoformat(body)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(body)
    return body
