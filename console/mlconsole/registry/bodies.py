"""JSON bodies of rows: core dataclasses to text and back, validated. The core stays standard library only, so the adapters live here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from mlconsole.plugin.errors import InvalidRequest, RegistryUnusable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # Built when first used: a reading command needs two or three of them, and each costs milliseconds.
    adapter = _adapters.get(kind)
    if adapter is None:
        from pydantic import TypeAdapter

        adapter = _adapters[kind] = TypeAdapter(kind)
    return adapter


def dump(value: object) -> str:
    """A core dataclass as JSON text that `load` takes back. Numbers that are not finite stay so where the core says *float*.

    Raises:
        InvalidRequest: something in it (a plugin's `details`, say) is no JSON, or not what the core declares.
    """
    adapter = _adapter(type(value))
    try:
        body = json.dumps(adapter.dump_python(value, mode="json", warnings="none"), ensure_ascii=False, separators=(",", ":"))
        # Foreign text may hold half a character (a lone surrogate), which no JSON reader takes back.
        body = body.encode("utf-8", "replace").decode("utf-8")
        # Read back before it is written: a row that can't be read later would take the journal with it.
        adapter.validate_json(body)
    except (ValueError, TypeError) as error:  # pydantic's errors are ValueErrors
        raise InvalidRequest(
            f"This {type(value).__name__} can't be recorded: {_first_line(error)}. Nothing was written.",
            next="It is a fault of the program or plugin that made it; report it.",
        ) from error
    return body


def load(kind: type[T], body: str) -> T:
    """The core dataclass that `body` holds.

    Raises:
        RegistryUnusable: it holds something else.
    """
    try:
        value: T = _adapter(kind).validate_json(body)
    except ValueError as error:
        raise RegistryUnusable(
            f"The registry holds a {kind.__name__} that can't be read: {_first_line(error)}.",
            next="Somebody wrote into the registry by other means; go back to a copy of it (registry.db.before-…), or report it.",
        ) from error
    return value


def moment(when: datetime) -> str:
    """A time as rows hold it: UTC, six places, so that text order is time order."""
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def from_moment(text: str) -> datetime:
    """The time that a row holds."""
    return datetime.fromisoformat(text)


def _first_line(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if callable(errors):
        first = errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return str(error).partition("\n")[0].rstrip(".")
