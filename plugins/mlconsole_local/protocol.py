"""The Open Inference Protocol v2 as JSON: a request checked and turned into named columns, and a reply made of them. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlconsole_local.artifact import Column

FLOATS = frozenset({"FP16", "FP32", "FP64"})
INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_DATATYPES = FLOATS | INTEGERS | {"BOOL", "BYTES"}
_MAX_ROWS = 10_000


class BadRequest(Exception):
    """The caller's request is wrong; the text says how, without repeating the caller's data."""


@dataclass(frozen=True)
class Request:
    """A checked request: `columns` holds flat values by input, `rows` of them × `widths` (1 where not named)."""

    columns: Mapping[str, Sequence[Any]]
    widths: Mapping[str, int]
    rows: int
    identity: str | None
    wanted: tuple[str, ...]
    """The outputs that were asked for by name; none: all."""


def parse(body: bytes, declared: Mapping[str, Column]) -> Request:
    """A request's body, checked against the declared inputs. Others are ignored, so that versions with fewer fields still answer.

    Raises:
        BadRequest: malformed, of a wrong type, or columns of different lengths.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not JSON") from error
    inputs = message.get("inputs") if isinstance(message, dict) else None
    if not isinstance(inputs, list):
        raise BadRequest('"inputs" is missing: a list of {name, datatype, shape, data} is wanted')
    columns, widths, rows = dict[str, Sequence[Any]](), dict[str, int](), -1
    for entry in inputs:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise BadRequest("an input has no name")
        name = entry["name"]
        if name in columns:
            raise BadRequest(f'input "{_short(name)}" is there twice')
        column = declared.get(name)
        if column is None:
            continue
        count, width, values = _values(entry, column)
        if rows not in (-1, count):
            raise BadRequest(f'input "{name}" has {count} rows, the others {rows}')
        columns[name], rows = values, count
        if width != 1:
            widths[name] = width
    if rows < 0:
        raise BadRequest(f"no known input: wanted are {', '.join(declared)}")
    identity = message.get("id")
    return Request(columns, widths, rows, identity if isinstance(identity, str) else None, _wanted(message.get("outputs")))


def reply(model: str, version: str, identity: str | None, outputs: Sequence[Mapping[str, Any]]) -> bytes:
    """The body of an answer."""
    body: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if identity is not None:
        body["id"] = identity
    return encoded(body)


def encoded(body: Any) -> bytes:
    """A value as compact JSON. Half a surrogate pair, which UTF-8 can't carry, stays the escape that it came as."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def finite(values: Sequence[Any]) -> list[Any]:
    """The values, NaN and infinities as None: JSON has no word for them."""
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]


def _wanted(outputs: Any) -> tuple[str, ...]:
    if outputs is None:
        return ()
    if not isinstance(outputs, list) or not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in outputs):
        raise BadRequest('"outputs" is not a list of {name}')
    return tuple(entry["name"] for entry in outputs)


def _values(entry: Mapping[str, Any], column: Column) -> tuple[int, int, Sequence[Any]]:
    name, datatype, shape, data = column.name, entry.get("datatype"), entry.get("shape"), entry.get("data")
    if datatype not in _DATATYPES:
        raise BadRequest(f'input "{name}" has no known datatype: {column.datatype} is wanted')
    if not isinstance(shape, list) or not 1 <= len(shape) <= 2 or any(type(size) is not int for size in shape):
        raise BadRequest(f'input "{name}": shape is not [n] or [n, 1]')
    if not isinstance(data, list):
        raise BadRequest(f'input "{name}" has no data')
    if data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise BadRequest(f'input "{name}": data is not of its shape')
        data = [value for row in data for value in row]
    rows, width = shape[0], shape[1] if len(shape) == 2 else 1
    if rows < 1 or width < 1 or rows * width != len(data):
        raise BadRequest(f'input "{name}": shape {shape} does not fit {len(data)} values')
    if rows > _MAX_ROWS:
        raise BadRequest(f'input "{name}" has {rows} rows; at most {_MAX_ROWS} are taken at once')
    _check_types(name, column.datatype, data)
    return rows, width, data


def _check_types(name: str, datatype: str, data: Sequence[Any]) -> None:
    """JSON's own types decide: a caller may say INT64 where FP32 is declared, since every integer is a number."""
    for value in data:
        if value is None:
            raise BadRequest(f'field "{name}" is missing')
        kind = type(value)
        if datatype == "BYTES":
            fits = kind is str and (value.isascii() or _is_unicode(value))
        elif datatype == "BOOL":
            fits = kind is bool
        elif datatype in FLOATS:
            fits = kind is int or kind is float
        else:
            fits = kind is int or (kind is float and value.is_integer())
        if not fits:
            raise BadRequest(f'field "{name}" is not of type {datatype}')


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(name: str) -> str:
    return name if len(name) <= 64 else f"{name[:64]}…"
