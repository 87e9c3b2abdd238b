"""Options: one declaration of a setting serves its validation, its schema and `plugins show`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlconsole.core.models import Json


class Kind(StrEnum):
    """What an option's value is. TEXT never takes a bare YAML number: `version: 1.10` would lose its last digit."""

    TEXT = "text"
    NAME = "name"
    """A name of ours (`core.text.is_name`)."""
    PATH = "path"
    """A path, relative to the workspace."""
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    LIST = "list"
    """A list of `of`."""
    MAP = "map"
    """Names of one's own → `of`."""
    GROUP = "group"
    """Fixed keys, declared by `fields`; others too, where it is `open`."""
    ANY = "any"


@dataclass(frozen=True)
class Option:
    """One setting. `minimum` and `maximum` bound numbers; `choices` lists the only texts allowed."""

    name: str
    kind: Kind
    help: str
    default: Json = None
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    of: Option | None = None
    fields: tuple[Option, ...] = field(default=())
    open: bool = False
    """A group may hold further keys, which somebody else validates: a plugin's own options beside ours."""


def json_schema(options: tuple[Option, ...]) -> Mapping[str, Json]:
    """The JSON Schema (2020-12) of a group of options, for editors that complete YAML."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {option.name: _schema(option) for option in options},
        "required": [option.name for option in options if option.required],
    }


_TYPES = {
    Kind.TEXT: "string",
    Kind.NAME: "string",
    Kind.PATH: "string",
    Kind.INTEGER: "integer",
    Kind.NUMBER: "number",
    Kind.FLAG: "boolean",
}


def _schema(option: Option) -> dict[str, Json]:
    schema: dict[str, Json] = {"description": option.help}
    if option.kind is Kind.GROUP:
        schema.update(json_schema(option.fields))
        schema["additionalProperties"] = option.open
    elif option.kind is Kind.LIST:
        schema.update(type="array", **({"items": _schema(option.of)} if option.of else {}))
    elif option.kind is Kind.MAP:
        schema.update(type="object", **({"additionalProperties": _schema(option.of)} if option.of else {}))
    elif option.kind in _TYPES:
        schema["type"] = _TYPES[option.kind]
    if option.choices:
        schema["enum"] = list(option.choices)
    if option.minimum is not None:
        schema["minimum"] = option.minimum
    if option.maximum is not None:
        schema["maximum"] = option.maximum
    if option.default is not None:
        schema["default"] = option.default
    return schema
