"""Documents for property tests: values as JSON has them, written in as many ways as people write them, and edits of them."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mlconsole.core.pointers import REMOVE, escaped, get, parse

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests that draw whole documents: on a busy machine one of them takes its time."""

TRICKY = [
    "", " ", "no", "on", "y", "null", "~", "true", "1.10", "010", "1e5", "0x1f", "12:30", "2024-01-01", "=", "<<", "a: b", "#x", "x #y",
    "- a", "it's", 'say "x"', "a, b", "[a]", "{a}", "!t", "&a", "*a", "| x", "%d", "@x", "ü", "😀", "\ttab", "a\\b", "\x7f", "\u2028",
    "\ufeff", "ends ", " begins", "---", "...", "?", "? a", ":", "a:", "-", "relevance v7", "x/y.z", "\x00",
]  # fmt: skip
LITERALS = ["two\nlines\n", "two\nlines", "# three\n  lines: here\n- yes\n", "tab\there\nno"]

texts = st.sampled_from(TRICKY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.sampled_from(["en", "de", "pl", "no", "share", "a/b", "m~n", "delay-risk", "1", "", "it's", "x y", "ä"]) | texts
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or abs(x) > 1e-300)
scalars = st.none() | st.booleans() | st.integers(-99, 999) | numbers | texts | st.sampled_from(LITERALS)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5), max_leaves=20)
documents = st.dictionaries(names, values, max_size=5) | st.lists(values, max_size=4)


@st.composite
def edits_of(draw: st.DrawFn, value: Any) -> dict[str, Any]:
    """Some edits of a value, none inside another: values set, removed, added."""
    found: dict[str, Any] = {}
    for _ in range(draw(st.integers(1, 4))):
        pointer = draw(st.sampled_from(sorted(pointers_of(value))))
        there = get(value, pointer)
        choices = ["set", "scalar"]
        if pointer:
            choices.append("remove")
        if isinstance(there, dict | list):
            choices += ["add", "add"]
        kind = draw(st.sampled_from(choices))
        if kind == "add":
            name = draw(names) if isinstance(there, dict) else "-"
            pointer = f"{pointer}/{escaped(name)}"
        new = REMOVE if kind == "remove" else draw(scalars if kind == "scalar" else values)
        if not any(within(pointer, other) or within(other, pointer) for other in found):
            found[pointer] = new
    return found


def within(inner: str, outer: str) -> bool:
    """Whether a pointer is another one, or stands inside it."""
    return parse(inner)[: len(parse(outer))] == parse(outer)


def pointers_of(value: Any, pointer: str = "") -> list[str]:
    """All pointers of a value."""
    found = [pointer]
    if isinstance(value, dict):
        for name, member in value.items():
            found += pointers_of(member, f"{pointer}/{escaped(name)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += pointers_of(item, f"{pointer}/{index}")
    return found


@st.composite
def json_texts(draw: st.DrawFn, value: Any) -> str:
    """A value as JSON, in one of the ways that programs write it, or as a person left it."""
    way = draw(st.sampled_from(["compact", "line", "indented", "tabs", "wild"]))
    ascii_only = draw(st.booleans())
    if way == "wild":
        text = draw(_wild_json(value))
    else:
        indent = {"compact": None, "line": None, "indented": draw(st.integers(1, 4)), "tabs": "\t"}[way]
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=(",", ":") if way == "compact" else None)
    text += draw(st.sampled_from(["", "\n"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@st.composite
def _wild_json(draw: st.DrawFn, value: Any) -> str:
    def gap() -> str:
        return draw(st.sampled_from(["", " ", "\n", "\n  ", "\t", " \n "]))

    if isinstance(value, dict):
        members = [f"{gap()}{json.dumps(name)}{gap()}:{gap()}{draw(_wild_json(member))}{gap()}" for name, member in value.items()]
        return "{" + (",".join(members) or gap()) + "}"
    if isinstance(value, list):
        return "[" + (",".join(f"{gap()}{draw(_wild_json(item))}{gap()}" for item in value) or gap()) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


_PLAIN = re.compile(r"[a-zA-Z][a-zA-Z0-9/._-]*(?: [a-zA-Z0-9]+)*")
_LITERAL = re.compile(r"[!-~][ -~]*(?:\n[!-~][ -~]*)+\n?")
_WORDS = {"no", "on", "y", "n", "yes", "off", "null", "true", "false"}


@st.composite
def yaml_texts(draw: st.DrawFn, value: Any) -> str:
    """A value as YAML: blocks and brackets, with quotes and without, with comments where comments may stand."""
    step = draw(st.sampled_from([2, 2, 4]))
    text = draw(st.sampled_from(["", "# all of it\n", "---\n"])) + draw(_yaml(value, 0, step, top=True))
    # A text in a `|` block has its last line break only where the document has one there, too.
    cut = [] if "|\n" in text else [""]
    text += draw(st.sampled_from(["\n", *cut, "\n# the end\n"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@st.composite
def _yaml(draw: st.DrawFn, value: Any, column: int, step: int, *, top: bool = False) -> str:
    """What stands at a column; further lines are indented to it."""
    if not isinstance(value, dict | list) or not value or (not top and draw(st.integers(0, 3)) == 0):
        return draw(_flow(value))
    lines = []
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        head = f"{draw(_quoted(name))}:" if isinstance(value, dict) else "-"
        block = isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)) > 0
        if block and (isinstance(value, dict) or draw(st.booleans())):
            indent = column + (step if isinstance(inner, dict) or isinstance(value, list) else draw(st.sampled_from([0, step])))
            note = draw(st.sampled_from(["", "", "  # note", f"\n{' ' * indent}# above"]))
            line = f"{head}{note}\n{' ' * indent}{draw(_yaml(inner, indent, step, top=True))}"
        elif block:
            line = f"- {draw(_yaml(inner, column + 2, step, top=True))}"
        elif isinstance(inner, str) and _LITERAL.fullmatch(inner) and draw(st.booleans()):
            indent = " " * (column + step)
            chomped = "|" if inner.endswith("\n") else "|-"
            line = f"{head} {chomped}\n" + "\n".join(indent + part for part in inner.removesuffix("\n").split("\n"))
        elif isinstance(inner, dict | list) and inner and draw(st.booleans()):
            line = f"{head} {draw(_spread(inner, column + step))}"
        else:
            line = f"{head} {draw(_flow(inner))}" + draw(st.sampled_from(["", "", "  # why"]))
        lines.append(line + draw(st.sampled_from(["", "", "", "\n", f"\n{' ' * column}# between"])))
    return f"\n{' ' * column}".join(lines)


@st.composite
def _spread(draw: st.DrawFn, value: Any, column: int) -> str:
    """In brackets, over several lines, with comments between."""
    indent = " " * column
    members = value.items() if isinstance(value, dict) else [(None, item) for item in value]
    lines = []
    for number, (name, inner) in enumerate(members, 1):
        comma = "," if number < len(value) or draw(st.booleans()) else ""
        head = "" if name is None else f"{draw(_quoted(name))}: "
        lines.append(f"{indent}{head}{draw(_flow(inner))}{comma}" + draw(st.sampled_from(["", "", "  # so"])))
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, *lines, f"{' ' * (column - 1)}{closing}"])


@st.composite
def _flow(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, dict):
        gap = draw(st.sampled_from(["", " "]))
        return "{" + gap + ", ".join(f"{draw(_quoted(name))}: {draw(_flow(member))}" for name, member in value.items()) + gap + "}"
    if isinstance(value, list):
        return "[" + ", ".join([draw(_flow(item)) for item in value]) + draw(st.sampled_from(["", ","] if value else [""])) + "]"
    if isinstance(value, str):
        return draw(_quoted(value))
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return (
            mantissa if not exponent else f"{mantissa}{'' if '.' in mantissa else '.0'}e{'' if power[0] == '-' else '+'}{power.lstrip('+')}"
        )
    return json.dumps(value)


@st.composite
def _quoted(draw: st.DrawFn, text: str) -> str:
    ways = ['"']
    if text.isprintable() and text.isascii():
        ways.append("'")
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        ways += ["", ""]
    way = draw(st.sampled_from(ways))
    if way == "'":
        return "'" + text.replace("'", "''") + "'"
    return text if not way else json.dumps(text) if text.isascii() or not any(ord(char) > 0xFFFF for char in text) else _wide(text)


def _wide(text: str) -> str:
    """JSON writes a character beyond 16 bits as a pair; YAML knows no pairs."""
    return '"' + "".join(f"\\U{ord(char):08x}" if ord(char) > 0xFFFF else json.dumps(char)[1:-1] for char in text) + '"'
