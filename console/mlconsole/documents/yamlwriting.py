"""Scalars and names as YAML that every reader takes for the same: what could be read in two ways goes into quotes."""

from __future__ import annotations

import json
import re

from mlconsole.core.models import Json
from mlconsole.documents.yamlscalars import scalar, taken_otherwise

_PLAIN = re.compile(r"[^\W\d_][\w./+-]*(?: [\w./+-]+)*|_[\w./+-]*|/[\w./+-]*")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def text_written(text: str, quote: str) -> str:
    """A text in the quotes that are wished for (empty: none), or in double ones where it can't stand in those."""
    if quote == "" and _PLAIN.fullmatch(text) and isinstance(scalar(text), str) and not taken_otherwise(text, text):
        return text
    harmless = text.isprintable() and not _ESCAPED.search(text)
    if quote == "'" and harmless:
        return "'" + text.replace("'", "''") + "'"
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def scalar_written(value: Json, quote: str) -> str:
    """A value that is no list and no object; `quote` is for texts."""
    if isinstance(value, str):
        return text_written(value, quote)
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value)


def _number(value: float) -> str:
    """As YAML 1.1 and 1.2 both read it: with a point, and a sign in the exponent."""
    mantissa, exponent, power = repr(value).partition("e")
    if not exponent:
        return mantissa
    point = "" if "." in mantissa else ".0"
    sign = "" if power[0] in "+-" else "+"
    return f"{mantissa}{point}e{sign}{power}"


def literal(text: str, indent: str, newline: str) -> str | None:
    """A text of several lines in the `|` style; None when it can't stand there."""
    body = text.removesuffix("\n")
    lines = body.split("\n")
    printable = all(line.replace("\t", " ").isprintable() and not _ESCAPED.search(line) for line in lines)
    if not indent or len(lines) < 2 or not printable or not lines[-1].strip() or lines[0][:1] in ("", " ", "\t"):
        return None
    header = "|" if text.endswith("\n") else "|-"
    return newline.join([header, *(indent + line if line else "" for line in lines)])
