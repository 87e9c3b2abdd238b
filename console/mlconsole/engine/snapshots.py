"""Snapshots on disk: the last known state, written whole and read back in no time. Standard library only: a first frame waits for this."""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mlconsole.engine.views import Snapshot

T = TypeVar("T")

SCHEMA = 1


def path_of(state: Path, environment: str) -> Path:
    """Where an environment's last snapshot lies; `state` is the workspace's `.mlconsole`."""
    return state / f"snapshot-{environment}.json"


def keep(state: Path, snapshot: Snapshot) -> None:
    """Write the snapshot beside and move it in place (0600). A full disk costs the snapshot, nothing else."""
    path = path_of(state, snapshot.status.environment)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    body = json.dumps({"schema": SCHEMA, "snapshot": _plain(snapshot)}, separators=(",", ":"))
    with suppress(OSError):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(body)
        beside.replace(path)


def last(state: Path, environment: str) -> Snapshot | None:
    """The last snapshot; None when there is none, or one that this release can't read."""
    try:
        body = json.loads(path_of(state, environment).read_text(encoding="utf-8"))
        if body["schema"] != SCHEMA:
            return None
        return _value(Snapshot, body["snapshot"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
    if origin is tuple:
        return tuple(_made(typing.get_args(kind)[0], inner) for inner in body)
    if origin is not None and issubclass(origin, Mapping):
        return {key: _made(typing.get_args(kind)[1], inner) for key, inner in body.items()}
    if kind is datetime:
        return datetime.fromisoformat(body)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(body)
    return body
