"""Files of a workspace → located values: whatever bytes there are, the answer is a value or one clear line about what is wrong where.

YAML is read as *events*, from which the values are put together here. `yaml.compose` would do the same, but it recurses in C: a few
thousand nested brackets end the process. Nothing is ever constructed from a tag.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from mlconsole.core.errors import InvalidFile
from mlconsole.core.text import neutralise
from mlconsole.plugin.validation import Located, Sort, shown

MEGABYTE = 1_000_000
_DEEPEST = 64
_MOST = 50_000

# What YAML 1.1 and 1.2 together take a plain scalar for. Where the two differ about a number's value, it is refused where it is used.
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_FLAGS = {
    spelling: value
    for value, words in ((True, ("true", "yes", "on")), (False, ("false", "no", "off")))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})?(?:\.[0-9]{0,99})?(?:[eE][-+]?[0-9]{1,9})?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_OTHER_NUMBER = re.compile(
    r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(?::[0-5]?[0-9])*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)"
)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)?"
)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def called(path: Path) -> str:
    """How errors call a file: from here where it lies below here, else in full."""
    try:
        return neutralise(str(path.relative_to(Path.cwd())))
    except (ValueError, OSError):
        return neutralise(str(path))


def refuse(where: str, line: int, column: int, problem: str, next: str = "") -> NoReturn:  # noqa: A002 - the error's own word
    """Stop with one line about one place in a file."""
    raise InvalidFile(f"{where}:{line}:{column}: {problem}", next=next or f"Correct {where}.")


def read_text(path: Path, where: str, limit: int = MEGABYTE) -> str:
    """The text of a regular file, checked to be UTF-8.

    Raises:
        InvalidFile: it can't be read, is too large, or is no text.
    """
    return _decode(_read_bytes(path, where, limit), where)


def _decode(data: bytes, where: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        refuse(where, 1, 1, "the file is UTF-16.", "Save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        begin = data.rfind(b"\n", 0, error.start) + 1
        line, column = data.count(b"\n", 0, error.start) + 1, len(data[begin : error.start].decode("utf-8-sig", "replace")) + 1
        refuse(where, line, column, f"byte 0x{data[error.start]:02x} is not UTF-8: is this a text file?", "Save it as UTF-8.")
    if "\0" in text:
        line, column = _place(text, text.index("\0"))
        refuse(where, line, column, "a NUL character: is this a text file?")
    return text


def _place(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def read_yaml(path: Path, where: str, *, minimal: str) -> Located:
    """A YAML file's one document, which has to be a group of keys. `minimal` is told to who has an empty file.

    Raises:
        InvalidFile: it can't be read, is no YAML, or no group of keys.
    """
    return parse_yaml(_read_bytes(path, where, MEGABYTE), where, minimal=minimal)


def parse_yaml(data: bytes, where: str, *, minimal: str) -> Located:
    """As `read_yaml`, of bytes that are there already."""
    text = _decode(data, where)
    odd = _UNPRINTABLE.search(text)
    if odd:
        line, column = _place(text, odd.start())
        code = f"\\x{ord(odd[0]):02x}" if ord(odd[0]) < 0x100 else f"\\u{ord(odd[0]):04x}"
        refuse(where, line, column, f"the control character {code} can't stand here.", "Remove it.")
    node = _Composer(text, where).document()
    if node is None or node.sort is Sort.NOTHING:
        refuse(where, 1, 1, "the file is empty.", f"A minimal one is: {minimal}")
    if node.sort is not Sort.MAP:
        refuse(where, node.line, node.column, f"the file has to be a group of keys, and is {node.sort}.", f"A minimal one is: {minimal}")
    return node


def _read_bytes(path: Path, where: str, limit: int) -> bytes:
    try:
        # Without O_NONBLOCK, opening a pipe that somebody called mlconsole.yaml waits for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - pathlib opens no descriptors
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidFile(f"{where} is no regular file.", next="Name a file that holds text.")
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidFile(f"{where} can't be read: {neutralise(reason)}.", next="Check the path and its permissions.") from error
    if len(data) > limit:
        raise InvalidFile(f"{where} is larger than {limit // MEGABYTE} MB.", next="Is it the right file?")
    return data


def scalar(text: str) -> tuple[Sort, Any]:
    """What an unquoted YAML scalar is taken for, and its value."""
    if text in _NOTHING:
        return Sort.NOTHING, None
    if text in _FLAGS:
        return Sort.FLAG, _FLAGS[text]
    if _INTEGER.fullmatch(text):
        return Sort.NUMBER, int(text)
    if any(char in "0123456789" for char in text):
        if _FLOAT.fullmatch(text) and text.lstrip("+-.")[:1].isdecimal():
            return Sort.NUMBER, float(text)
        if _DATE.fullmatch(text):
            return Sort.DATE, text
        if _OTHER_NUMBER.fullmatch(text):
            return Sort.NUMBER, None
    if _NOT_FINITE.fullmatch(text):
        return Sort.NUMBER, float(text.replace(".", ""))
    return Sort.TEXT, text


class _Composer:
    """Puts YAML's events together, with bounds on depth and number: aliases may multiply a small file into a huge one."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._events: Iterator[Any] = iter(())
        self._anchors: dict[str, Located] = {}
        self._open: set[str] = set()
        self._count = 0

    def document(self) -> Located | None:
        """The one document of the text; None when there is none."""
        import yaml

        # Wheels of PyYAML carry libyaml; a build without it reads the same, more slowly.
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            self._events = iter(yaml.parse(self._text, Loader=loader))
            result: Located | None = None
            documents = 0
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._refuse(event.start_mark, "a second document begins here; one file is one document.")
                    result = self._node(next(self._events), "", 0, None)
            return result
        except yaml.YAMLError as error:
            self._syntax(error)

    def _node(self, event: Any, path: str, depth: int, key: tuple[int, int] | None) -> Located:
        import yaml

        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth, key)
        self._bound(mark, depth)
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._refuse(mark, f"the tag {shown(str(event.tag))} is not allowed here: plain YAML only.")
        anchor: str | None = event.anchor
        if anchor is not None:
            self._open.add(anchor)
        line, column = mark.line + 1, mark.column + 1
        node: Located
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0] and event.tag is None
            sort, value = scalar(event.value) if plain else (Sort.TEXT, event.value)
            node = Located(sort, value, line, column, path, event.value, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            items: list[Located] = []
            while not isinstance(child := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(child, f"{path}[{len(items)}]", depth + 1, None))
            node = Located(Sort.LIST, tuple(items), line, column, path, key=key)
        else:
            node = Located(Sort.MAP, self._pairs(path, depth), line, column, path, key=key)
        if anchor is not None:
            self._open.discard(anchor)
            self._anchors[anchor] = node
        return node

    def _pairs(self, path: str, depth: int) -> dict[str, Located]:
        import yaml

        pairs: dict[str, Located] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            mark = event.start_mark
            key = self._node(event, path, depth + 1, None)
            if key.sort in (Sort.LIST, Sort.MAP):
                self._refuse(mark, f"a key has to be a text, and is {key.sort}.")
            if key.sort is not Sort.TEXT:
                sort = "empty" if key.sort is Sort.NOTHING else f"{key.sort} in YAML"
                self._refuse(mark, f'the key {shown(key.raw)} is {sort}; write "{shown(key.raw)}".')
            name: str = key.value
            if name == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                self._refuse(mark, "merge keys (<<) are not understood here; write the keys out, or alias a whole value.")
            if name in pairs:
                first = pairs[name].key or (0, 0)
                self._refuse(mark, f'the key "{shown(name)}" stands here and on line {first[0]} already.', "Remove one of the two.")
            inside = f"{path}.{name}" if path else name
            pairs[name] = self._node(next(self._events), inside, depth + 1, (mark.line + 1, mark.column + 1))
        return pairs

    def _alias(self, event: Any, path: str, depth: int, key: tuple[int, int] | None) -> Located:
        name: str = event.anchor
        if name in self._open:
            self._refuse(event.start_mark, f"the alias *{shown(name)} stands inside of what it names.")
        if name not in self._anchors:
            self._refuse(event.start_mark, f"the alias *{shown(name)} names no anchor above it.")
        return self._copy(self._anchors[name], path, depth, key, event.start_mark)

    def _copy(self, node: Located, path: str, depth: int, key: tuple[int, int] | None, mark: Any) -> Located:
        self._bound(mark, depth)
        value = node.value
        if node.sort is Sort.MAP:
            value = {
                name: self._copy(child, f"{path}.{name}" if path else name, depth + 1, child.key, mark) for name, child in value.items()
            }
        elif node.sort is Sort.LIST:
            value = tuple(self._copy(child, f"{path}[{index}]", depth + 1, None, mark) for index, child in enumerate(value))
        return replace(node, value=value, path=path, key=key)

    def _bound(self, mark: Any, depth: int) -> None:
        self._count += 1
        if depth > _DEEPEST:
            self._refuse(mark, f"values nested more than {_DEEPEST} deep.")
        if self._count > _MOST:
            self._refuse(mark, f"more than {_MOST:,} values (an alias counts as what it names).".replace(",", " "))

    def _refuse(self, mark: Any, problem: str, then: str = "") -> NoReturn:
        refuse(self._where, mark.line + 1, mark.column + 1, problem, then)

    def _syntax(self, error: Exception) -> NoReturn:
        told = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read")
        mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None:
            refuse(self._where, 1, 1, f"not valid YAML: {shown(told)}.")
        lines = self._text.splitlines() or [""]
        # libyaml's end of the text lies on a line that no editor shows.
        at_end = mark.line >= len(lines)
        line, column = (len(lines), len(lines[-1]) + 1) if at_end else (mark.line + 1, mark.column + 1)
        before = lines[line - 1][:column]
        if "tab" in told or (before.endswith("\t") and not before.strip()):
            refuse(self._where, line, column, "a tab; YAML indents with blanks only.", "Replace the tab by blanks.")
        around: Any = getattr(error, "context_mark", None)
        context = shown(str(getattr(error, "context", None) or ""))
        begun = f" ({context} that begins on line {around.line + 1})" if context and around is not None and around.line + 1 < line else ""
        refuse(self._where, line, column, f"not valid YAML: {shown(told)}{' at the end' if at_end else ''}{begun}.")
