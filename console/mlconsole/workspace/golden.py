"""Golden queries from a file of JSON lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from mlconsole.core.errors import InvalidFile
from mlconsole.core.golden import GoldenQuery
from mlconsole.core.text import did_you_mean, neutralise
from mlconsole.plugin.validation import shown
from mlconsole.workspace.reading import MEGABYTE, called, read_text, refuse

_LARGEST = 32 * MEGABYTE
_DEEPEST = 64
_KEYS = ("id", "inputs", "expect", "tolerance")
_EXAMPLE = '{"id": "a", "inputs": {"title": "…"}, "expect": {"score": 0.93}, "tolerance": {"score": 0.25}}'


def read_golden(path: Path) -> tuple[GoldenQuery, ...]:
    """The golden queries of a file, one JSON object per line; blank lines are skipped.

    Raises:
        InvalidFile: with the line of what is wrong.
    """
    where = called(path)
    lines: dict[str, int] = {}
    queries: list[GoldenQuery] = []
    # Only \n ends a line: JSON texts may hold the other separators as they are.
    for number, text in enumerate(read_text(path, where, _LARGEST).split("\n"), start=1):
        if not text.strip():
            continue
        query = _Line(where, number).query(text)
        if query.id in lines:
            refuse(where, number, 1, f'the id "{shown(query.id)}" stands here and on line {lines[query.id]} already.')
        lines[query.id] = number
        queries.append(query)
    if not queries:
        raise InvalidFile(f"{where} is empty: there are no golden queries in it.", next=f"A line is: {_EXAMPLE}")
    return tuple(queries)


class _Line:
    """One line of the file, and how to refuse it."""

    def __init__(self, where: str, number: int) -> None:
        self._where = where
        self._number = number

    def query(self, text: str) -> GoldenQuery:
        """The golden query that the line holds."""
        given = self._json(text)
        if not isinstance(given, dict):
            self._refuse("a line has to be a JSON object.", next_=f"A line is: {_EXAMPLE}")
        for key in given:
            if key not in _KEYS:
                self._refuse(f'unknown key "{shown(key)}". {neutralise(did_you_mean(key[:64], _KEYS))}')
        name = given.get("id")
        if not isinstance(name, str) or not name:
            self._refuse('"id" has to be a text.' if "id" in given else '"id" is missing.')
        inputs, expect = self._group(given, "inputs"), self._group(given, "expect")
        tolerance = self._group(given, "tolerance") if given.get("tolerance") is not None else {}
        for key, value in tolerance.items():
            if key not in expect:
                self._refuse(f'tolerance for "{shown(key)}", which is not expected. {neutralise(did_you_mean(key[:64], expect))}')
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                self._refuse(f'the tolerance of "{shown(key)}" has to be a number, 0 or more.')
        return GoldenQuery(name, inputs, expect, {key: float(value) for key, value in tolerance.items()})

    def _group(self, given: dict[str, Any], key: str) -> dict[str, Any]:
        group = given.get(key)
        if not isinstance(group, dict):
            self._refuse(f'"{key}" has to be a JSON object.' if key in given else f'"{key}" is missing.')
        if not group and key == "expect":
            self._refuse('"expect" is empty: every answer would be right.')
        return group

    def _json(self, text: str) -> Any:
        try:
            value = json.loads(text, object_pairs_hook=self._pairs, parse_constant=self._constant)
        except json.JSONDecodeError as error:
            self._refuse(f"not valid JSON: {neutralise(error.msg)}.", column=error.colno)
        except RecursionError:
            self._refuse(f"values nested more than {_DEEPEST} deep.")
        except ValueError:  # an integer of thousands of digits
            self._refuse("a number that is too long.")
        self._sound(value, 0)
        return value

    def _sound(self, value: Any, depth: int) -> None:
        """Refuse what JSON can spell and nobody can store or compare."""
        if depth > _DEEPEST:
            self._refuse(f"values nested more than {_DEEPEST} deep.")
        if isinstance(value, dict):
            for name, part in value.items():
                self._sound(name, depth + 1)
                self._sound(part, depth + 1)
        elif isinstance(value, list):
            for part in value:
                self._sound(part, depth + 1)
        elif isinstance(value, str):
            if any("\ud800" <= char <= "\udfff" for char in value):
                self._refuse(f'"{shown(value)}" holds half a character (a lone surrogate).')
        elif isinstance(value, float | int) and not _finite(value):
            self._refuse("a number beyond what a computer's float holds.")

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            again = {name: index for index, (name, _) in enumerate(pairs)}
            twice = next(name for index, (name, _) in enumerate(pairs) if again[name] != index)
            self._refuse(f'the key "{shown(twice)}" stands here twice.')
        return found

    def _constant(self, text: str) -> NoReturn:
        self._refuse(f"{text} is no JSON number.")

    def _refuse(self, problem: str, next_: str = "", column: int = 1) -> NoReturn:
        refuse(self._where, self._number, column, problem, next_)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
