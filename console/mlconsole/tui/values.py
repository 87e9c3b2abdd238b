"""A value of a config document as a person writes it: JSON, or the plain text of a string. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

MISSING: Any = object()
"""There is no such value in the document."""

_TEXT_COLUMNS = ("endpoint",)
"""Columns whose values are texts, where there is none yet to tell by."""


class NotReadable(ValueError):
    """What was typed is no value; the message says why."""


def written(value: Any) -> str:
    """A value as it stands in the line to be changed: a plain text without its quotes."""
    if value is MISSING:
        return ""
    if isinstance(value, str) and value and not _looks_like_json(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def read_value(text: str, present: Any, column: str = "") -> Any:
    """What was typed, as a value of the sort that is there.

    Raises:
        NotReadable: it is no JSON, not finite, or of another sort than the present value.
    """
    wants_text = isinstance(present, str) or (present is MISSING and column in _TEXT_COLUMNS)
    if wants_text and not text.startswith('"'):
        if not text:
            raise NotReadable("A value is wanted.")
        return text
    try:
        value = json.loads(text, parse_constant=_refused)
    except NotReadable:
        raise
    except ValueError as error:
        raise NotReadable(f"This is no JSON: {error}.") from error
    except RecursionError as error:
        raise NotReadable("This is nested too deeply to be read.") from error
    if _not_finite(value):
        raise NotReadable("This number is too large to be one.")
    if present is not MISSING and present is not None and _sort(value) != _sort(present):
        raise NotReadable(f"It is {_sort(present)}, and this is {_sort(value)}. In the editor it can become another sort of value.")
    return value


def problem(text: str, present: Any, column: str = "") -> str:
    """What is wrong with what was typed; empty when nothing is."""
    try:
        read_value(text, present, column)
    except NotReadable as error:
        return str(error)
    return ""


def _refused(name: str) -> Any:
    raise NotReadable(f"{name} is no number in JSON.")


def _looks_like_json(text: str) -> bool:
    """Whether a text would be read as something else, or not at all, without its quotes."""
    return text.startswith('"') or text != text.strip() or not text.isprintable()


def _not_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_not_finite(inner) for inner in value.values())
    return isinstance(value, list) and any(_not_finite(inner) for inner in value)


def _sort(value: Any) -> str:
    if isinstance(value, bool):
        return "yes or no (true, false)"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "nothing (null)"
