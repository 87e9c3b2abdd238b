"""Validating what a file says against declared options, with the line and column of everything that is wrong.

The values come in as `Located`, so that this module knows no file format: `mlconsole.workspace` makes them from YAML.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mlconsole.core.errors import InvalidFile
from mlconsole.core.text import did_you_mean, is_name, nearest, neutralise
from mlconsole.plugin.options import Kind, Option

if TYPE_CHECKING:
    from mlconsole.core.models import Json

_SHOWN = 60
"""So many characters of foreign text are quoted in an error."""

_COMPARABLE = 64
"""Longer texts are no misspelt names, and comparing them would take long."""


class Sort(StrEnum):
    """What the file's own format takes a value for, in the words of its error messages."""

    TEXT = "a text"
    NUMBER = "a number"
    FLAG = "a flag"
    DATE = "a date"
    NOTHING = "nothing"
    LIST = "a list"
    MAP = "a group of keys"


@dataclass(frozen=True)
class Located:
    """A value with the place in a file where it stands (from 1). Lists hold a tuple, maps a dict of further `Located`s."""

    sort: Sort
    value: Any
    """None for a number that is not plainly written (`0x1f`, `1_000`, `1:30`), and for nothing; a date stays its text."""
    line: int
    column: int
    path: str = ""
    """The dotted way to it: `environments.staging.serving`, empty for the whole file."""
    raw: str = ""
    """A scalar exactly as it was written, without quotes."""
    key: tuple[int, int] | None = None
    """Line and column of its key, where it has one."""

    def get(self, *names: str) -> Located | None:
        """The value under these keys, one in the other; None where there is none."""
        found: Located | None = self
        for name in names:
            found = found.value.get(name) if found is not None and found.sort is Sort.MAP else None
        return found

    def at(self, *names: str | int) -> Located:
        """The value under these keys and list positions, or the nearest value around it: a place for an error."""
        found = self
        for name in names:
            here = found.sort is Sort.MAP and name in found.value
            if not here and not (found.sort is Sort.LIST and isinstance(name, int) and name < len(found.value)):
                break
            found = found.value[name]
        return found


def empty_map(line: int = 1, column: int = 1, path: str = "") -> Located:
    """A group without keys, for what was left out."""
    return Located(Sort.MAP, {}, line, column, path)


def shown(text: str) -> str:
    """Foreign text as errors quote it: harmless and short."""
    return neutralise(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. The nearest of `known` to `meant` is looked for only when the problem is told."""

    line: int
    column: int
    text: str
    next: str = ""
    meant: str | None = None
    known: tuple[str, ...] = ()


@dataclass
class Problems:
    """Everything found wrong in one file, `where` being how the file is called."""

    where: str
    found: list[Problem] = field(default_factory=list)

    def add(
        self,
        node: Located,
        text: str,
        *,
        next: str = "",  # noqa: A002 - the error's own word
        meant: str | None = None,
        known: Iterable[str] = (),
        key: bool = False,
    ) -> None:
        """Note that `text` (already harmless) is wrong at the node, or at its key."""
        line, column = node.key if key and node.key else (node.line, node.column)
        self.found.append(Problem(line, column, text, next, meant, tuple(known)))

    def raise_first(self) -> None:
        """Stop here if anything is wrong.

        Raises:
            InvalidFile: the first problem in the order of the file, and how many more there are.
        """
        if not self.found:
            return
        first = min(self.found, key=lambda problem: (problem.line, problem.column))
        message = f"{neutralise(self.where)}:{first.line}:{first.column}: {first.text}"
        then = first.next
        if first.meant is not None:
            known = tuple(name for name in first.known if len(name) <= _COMPARABLE)
            name = first.meant[:_COMPARABLE]
            closest = nearest(name, known, 1)
            message += f" {neutralise(did_you_mean(name, closest or known))}"
            if closest and not then:
                then = neutralise(f"Known here: {', '.join(known[:20])}{', …' if len(known) > 20 else ''}.")
        more = len(self.found) - 1
        raise InvalidFile(message + (f" (and {more} more)" if more else ""), next=then or f"Correct {neutralise(self.where)}.")


def validate(options: tuple[Option, ...], node: Located | None, where: str) -> Mapping[str, Json]:
    """The values of a group of options: what `node` says, checked, and defaults for the rest.

    Raises:
        InvalidFile: the first problem with its place, and how many more there are.
    """
    problems = Problems(where)
    values = check(options, node if node is not None else empty_map(), problems)
    problems.raise_first()
    return values


def check(
    options: tuple[Option, ...],
    node: Located,
    problems: Problems,
    *,
    open: bool = False,  # noqa: A002 - the option's own word
) -> dict[str, Json]:
    """As `validate`, but what is wrong is noted in `problems`; a value that is wrong becomes its default. Further keys are left alone where
    it is `open`."""
    if node.sort is Sort.NOTHING:
        node = replace(node, sort=Sort.MAP, value={})
    if node.sort is not Sort.MAP:
        _wrong_sort(node, "a group of keys", problems)
        return {option.name: _default(option) for option in options}
    known = [option.name for option in options]
    required = [option.name for option in options if option.required and option.name not in node.value]
    misspelt: set[str] = set()
    for name, child in node.value.items():
        if name not in known and not open:
            # A misspelt key that has to be there is one mistake, not two.
            misspelt.update(nearest(name[:_COMPARABLE], required)[:1] if len(misspelt) < len(required) else ())
            inside = f" in {shown(node.path)}" if node.path else ""
            problems.add(child, f'unknown key "{shown(name)}"{inside}.', meant=name, known=known, key=True)
    result = {}
    for option in options:
        child = node.value.get(option.name)
        if child is None or child.sort is Sort.NOTHING:
            # `key:` with nothing behind it is what stays when somebody comments out the lines below it: it is as if left out.
            if option.required and option.name not in misspelt:
                name = f"{node.path}.{option.name}" if node.path else option.name
                missing = f"{shown(name)} is missing: {neutralise(option.help)}"
                problems.add(child or node, missing if missing.endswith(".") else f"{missing}.", next=f"Write {option.name}: … there.")
            result[option.name] = _default(option)
        else:
            result[option.name] = _value(option, child, problems)
    return result


def plain(node: Located, problems: Problems) -> Json:
    """The value as JSON holds it; a date becomes its text, numbers that JSON has not are problems."""
    if node.sort is Sort.MAP:
        return {name: plain(child, problems) for name, child in node.value.items()}
    if node.sort is Sort.LIST:
        return [plain(child, problems) for child in node.value]
    if node.sort is Sort.NUMBER:
        return _number(node, problems)
    return node.value


def _default(option: Option) -> Json:
    if option.default is not None:
        return copy.deepcopy(option.default)
    if option.kind is Kind.LIST:
        return []
    if option.kind is Kind.MAP:
        return {}
    if option.kind is Kind.GROUP and not any(part.required for part in option.fields):
        return {part.name: _default(part) for part in option.fields}
    return None


def _value(option: Option, node: Located, problems: Problems) -> Json:
    before = len(problems.found)
    value = _checked(option, node, problems)
    return value if len(problems.found) == before else _default(option)


def _checked(option: Option, node: Located, problems: Problems) -> Json:
    match option.kind:
        case Kind.GROUP:
            return check(option.fields, node, problems, open=option.open)
        case Kind.MAP:
            return _map(option, node, problems)
        case Kind.LIST:
            return _list(option, node, problems)
        case Kind.INTEGER | Kind.NUMBER:
            return _bounded(option, node, problems)
        case Kind.FLAG:
            if node.sort is not Sort.FLAG:
                quoted = node.sort is Sort.TEXT and node.raw in ("true", "false")
                _wrong_sort(node, "true or false", problems, hint="without quotes" if quoted else "")
            return node.value
        case Kind.TEXT | Kind.NAME | Kind.PATH:
            return _text(option, node, problems)
        case Kind.ANY:
            return plain(node, problems)


def _map(option: Option, node: Located, problems: Problems) -> Json:
    if node.sort is not Sort.MAP:
        return _wrong_sort(node, "a group of names with their values", problems)
    of = option.of
    result = {}
    for name, child in node.value.items():
        if not name:
            problems.add(child, f"an empty key in {shown(node.path)}.", key=True)
        elif of is None:
            result[name] = plain(child, problems)
        elif child.sort is Sort.NOTHING and of.kind not in (Kind.GROUP, Kind.MAP, Kind.LIST, Kind.ANY):
            problems.add(child, f"{shown(child.path)} has no value.", key=True)
        else:
            result[name] = _checked(of, child, problems)
    return result


def _list(option: Option, node: Located, problems: Problems) -> Json:
    if node.sort is not Sort.LIST:
        return _wrong_sort(node, "a list", problems)
    of = option.of
    return [plain(child, problems) if of is None else _checked(of, child, problems) for child in node.value]


def _bounded(option: Option, node: Located, problems: Problems) -> Json:
    whole = option.kind is Kind.INTEGER
    if node.sort is not Sort.NUMBER:
        return _wrong_sort(node, "a whole number" if whole else "a number", problems)
    value = _number(node, problems)
    if value is None:
        return None
    what = f"{shown(node.path)} {shown(node.raw)}"
    if whole and not isinstance(value, int):
        problems.add(node, f"{what} is no whole number.")
    elif option.minimum is not None and value < option.minimum:
        problems.add(node, f"{what} is too small: at least {option.minimum:g}.")
    elif option.maximum is not None and value > option.maximum:
        problems.add(node, f"{what} is too large: at most {option.maximum:g}.")
    return value


def _number(node: Located, problems: Problems) -> Json:
    if node.value is None:
        problems.add(
            node,
            f"{shown(node.path)} {shown(node.raw)} is a number that not every reader takes for the same; "
            f'write it with decimal digits only, or "{shown(node.raw)}" if it is a text.',
        )
    elif isinstance(node.value, float) and not math.isfinite(node.value):
        problems.add(node, f"{shown(node.path)} {shown(node.raw)} is no finite number.")
    else:
        return node.value
    return None


def _text(option: Option, node: Located, problems: Problems) -> Json:
    what, raw = shown(node.path), shown(node.raw)
    if node.sort in (Sort.NUMBER, Sort.FLAG, Sort.DATE):
        loses = isinstance(node.value, float) and math.isfinite(node.value) and "e" not in raw.lower() and raw.endswith("0")
        lost = " and would lose its last digit" if loses else ""
        problems.add(node, f'{what} {raw} is {node.sort} in YAML{lost}; write "{raw}".', next=f'Put it in quotes: "{raw}".')
        return None
    if node.sort is not Sort.TEXT:
        return _wrong_sort(node, "a name" if option.kind is Kind.NAME else "a path" if option.kind is Kind.PATH else "a text", problems)
    value: str = node.value
    if option.choices and value not in option.choices:
        problems.add(node, f'{what} "{raw}" is not one of what it can be.', meant=value, known=option.choices)
    elif option.kind is Kind.NAME and not is_name(value):
        problems.add(
            node, f'{what} "{raw}" is no name: letters, digits, dot, dash and underscore, at most 64, a letter or digit at both ends.'
        )
    elif option.kind is Kind.PATH and (not value or "\0" in value):
        problems.add(node, f'{what} "{raw}" is no path: {"it holds a NUL character" if value else "it is empty"}.')
    return value


def _wrong_sort(node: Located, wanted: str, problems: Problems, *, hint: str = "") -> None:
    what = shown(node.path) or "the file"
    if not hint and node.sort is Sort.TEXT and wanted.endswith("number") and node.raw.strip("+-").replace(".", "", 1).isdecimal():
        hint = "without quotes"
    found = f'{node.sort} ("{shown(node.raw)}")' if node.raw else str(node.sort)
    problems.add(node, f"{what} has to be {wanted}{f' {hint}' if hint else ''}, and is {found}.")
