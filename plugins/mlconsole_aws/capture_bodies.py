"""Bodies of captured requests and answers: what a model was asked and what it said, as named columns. Pure.

SageMaker passes bodies on as they are, so a model's own way of writing them decides: the Open Inference Protocol, TensorFlow's
`instances` and `predictions`, MLflow's data frames, plain JSON objects, rows of JSON or of CSV. What is positional gets its names from the
version's signature.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlconsole.core.models import Field

Columns = dict[str, list[Any]]
"""Name → one value for each row."""

_NUMBERS = ("FP", "INT", "UINT")
_ONLY = "value"
"""The name of a value that nobody named."""


def text_of(part: Any) -> str | bytes | None:
    """A captured part's content: text, bytes where it is no text, None where nothing was captured.

    Raises:
        ValueError: it says Base64 and is none.
    """
    if not isinstance(part, Mapping) or part.get("data") is None:
        return None
    data = part["data"]
    if not isinstance(data, str):
        return json.dumps(data)
    if str(part.get("encoding", "")).upper() != "BASE64":
        return data
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError("no Base64") from error
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def columns_of(content: str | bytes | None, kind: str, fields: Sequence[Field]) -> Columns | None:
    """What a request or an answer says, by name; None where it is in no form that is known here.

    Args:
        kind: the content type that was observed (`text/csv; charset=utf-8`).
        fields: the inputs, or outputs, that the signature promises, in their order.
    """
    if content is None or isinstance(content, bytes) or not content.strip():
        return None
    if "csv" not in kind:
        found = _from_json(content, fields)
        if found is not None:
            return found
    return _from_csv(content, fields)


def _from_json(content: str, fields: Sequence[Field]) -> Columns | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) < 2:
            return None
        try:
            value = [json.loads(line) for line in lines]  # JSON lines
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Mapping):
        return _from_object(value, fields)
    return _from_rows(value if isinstance(value, list) else [value], fields)


def _from_object(value: Mapping[str, Any], fields: Sequence[Field]) -> Columns | None:
    for key in ("inputs", "outputs"):
        inside = value.get(key)
        if isinstance(inside, list) and inside and all(isinstance(one, Mapping) and "name" in one and "data" in one for one in inside):
            return {str(one["name"]): _protocol_rows(one) for one in inside}
        if isinstance(inside, Mapping):
            return _from_object(inside, fields)
        if inside is not None and len(value) == 1:
            return _from_rows(inside if isinstance(inside, list) else [inside], fields)
    for key in ("instances", "predictions", "dataframe_records"):
        if isinstance(value.get(key), list):
            return _from_rows(value[key], fields)
    frame = value.get("dataframe_split", value)
    if isinstance(frame, Mapping) and isinstance(frame.get("columns"), list) and isinstance(frame.get("data"), list):
        names = [str(name) for name in frame["columns"]]
        return _from_rows([dict(zip(names, row, strict=False)) for row in frame["data"] if isinstance(row, list)], fields)
    return {str(name): one if isinstance(one, list) else [one] for name, one in value.items()}


def _protocol_rows(tensor: Mapping[str, Any]) -> list[Any]:
    """The rows of one tensor: single values where it has one column, else lists."""
    data, shape = tensor["data"], tensor.get("shape")
    if not isinstance(data, list):
        return [data]
    flat = [value for row in data for value in row] if data and all(isinstance(row, list) for row in data) else data
    rows = shape[0] if isinstance(shape, list) and shape and isinstance(shape[0], int) else len(flat)
    width = len(flat) // rows if rows > 0 else 1
    if rows <= 0 or width <= 1 or rows * width != len(flat):
        return flat
    return [flat[place : place + width] for place in range(0, len(flat), width)]


def _from_rows(rows: Sequence[Any], fields: Sequence[Field]) -> Columns | None:
    if not rows:
        return None
    if all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(str(name) for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}
    if len(fields) > 1 and not any(isinstance(row, list | Mapping) for row in rows):
        rows = [list(rows)]  # one row, without the brackets around it
    if all(isinstance(row, list) for row in rows) and len(fields) != 1:
        return _named([list(column) for column in zip(*rows, strict=False)], fields)
    return {_name(0, fields): list(rows)}


def _from_csv(content: str, fields: Sequence[Field]) -> Columns | None:
    try:
        rows = [row for row in csv.reader(io.StringIO(content)) if row]
    except csv.Error:
        return None
    if not rows:
        return None
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=False)]
    kinds = [field.datatype for field in fields]
    return _named([[_cell(cell, kinds[place] if place < len(kinds) else "") for cell in one] for place, one in enumerate(columns)], fields)


def _named(columns: Sequence[list[Any]], fields: Sequence[Field]) -> Columns:
    return {_name(place, fields, len(columns)): column for place, column in enumerate(columns)}


def _name(place: int, fields: Sequence[Field], of: int = 1) -> str:
    if place < len(fields):
        return fields[place].name
    return _ONLY if of == 1 else str(place)


def _cell(text: str, datatype: str) -> Any:
    """A cell as the signature has it; where nothing is promised, a number if it reads like one."""
    if datatype == "BYTES":
        return text
    if datatype == "BOOL":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.casefold(), text)
    if text == "":
        return None
    if datatype == "" or datatype.startswith(_NUMBERS):
        try:
            number = float(text)
        except ValueError:
            return text
        whole = datatype.startswith(("INT", "UINT")) and number.is_integer()
        return (int(number) if whole else number) if math.isfinite(number) else None
    return text
