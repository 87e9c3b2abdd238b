"""Environment files as lines NAME=value: `export`, quotes, comments; nothing in them is ever expanded or run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BEGIN = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")
_IDLE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_DOUBLE = re.compile(r'"(?P<inside>[^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_SINGLE = re.compile(r"'(?P<inside>[^']*+)'")
_REST = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_REFERENCE = re.compile(r"\$(?:\{[^}]*\}|[A-Za-z_])")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "`": "`"}


@dataclass(frozen=True)
class EnvLine:
    """One variable. `problem` says why it has no value; `name` is empty where not even that could be read."""

    name: str
    text: str
    line: int
    problem: str = ""
    refers: bool = False
    """Another variable is named in it (`${X}`), which a shell would put in."""


def env_lines(text: str) -> Iterator[EnvLine]:
    """The variables of an environment file in order; a text in quotes may go on over several lines."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    at, number = 0, 1
    while at < len(text):
        idle = _IDLE.match(text, at)
        if idle:
            end = idle.end()
        else:
            found, end = _variable(text, at, number)
            yield found
        number += text.count("\n", at, end)
        at = end


def _variable(text: str, at: int, number: int) -> tuple[EnvLine, int]:
    """The variable whose line begins here, and where the next line begins."""
    begin = _BEGIN.match(text, at)
    if begin is None:
        return EnvLine("", "", number, "this line is no NAME=value"), _line_end(text, at)
    name, start = begin["name"], begin.end()
    quote = text[start : start + 1]
    if quote not in ("'", '"') or not quote:
        end = _line_end(text, start)
        bare = _COMMENT.sub("", text[start:end].rstrip("\n")).strip()
        return EnvLine(name, bare, number, "", _REFERENCE.search(bare) is not None), end
    found = (_SINGLE if quote == "'" else _DOUBLE).match(text, start)
    if found is None:
        return EnvLine(name, "", number, "its quotation mark is never closed"), _line_end(text, start)
    idle = _IDLE.match(text, found.end())
    if idle is None:
        return EnvLine(name, "", number, "something stands behind its closing quotation mark"), _line_end(text, found.end())
    inside = found["inside"]
    refers = quote == '"' and _REFERENCE.search(inside) is not None
    if quote == '"':
        inside = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), inside)
    return EnvLine(name, inside, number, "", refers), idle.end()


def _line_end(text: str, at: int) -> int:
    rest = _REST.match(text, at)
    return min(len(text), rest.end() + 1) if rest else len(text)
