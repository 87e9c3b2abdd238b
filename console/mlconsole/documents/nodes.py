"""Where the values of a document stand in its text: a tree of nodes, and the places that are made of it when somebody asks."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from mlconsole.core.pointers import escaped, parse


class Sort(Enum):
    """What a node is."""

    MAP = "an object"
    LIST = "a list"
    SCALAR = "a value"


@dataclass(slots=True)
class Node:
    """A value's stretch of text. Where a block of YAML ends is where its last value ends, without the line break."""

    sort: Sort
    start: int
    end: int
    children: dict[str, Node]
    """Members by name, items by number: "0", "1", …; of a scalar `CHILDLESS`."""
    style: str = ""
    """Of a scalar in YAML: its quote, `|` or `>`; of a list or object in YAML that is no flow one: `block`."""
    begin: int = 0
    """Where what it is in what it stands in begins: a member's name, the dash of an item in a block, of another item the item itself."""
    name_end: int = 0
    """Where the name ends; for an item the same as `begin`."""


CHILDLESS: dict[str, Node] = {}
"""One for all scalars: there are a hundred thousand of them. Nothing is ever put in."""


@dataclass(frozen=True)
class Place:
    """Where a value stands in the decoded text: line and column of its first character from 1, and its offsets."""

    line: int
    column: int
    start: int
    end: int


_BREAK = re.compile(r"\r\n|\n|\r")


class Lines:
    """The lines of a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def starts(self) -> list[int]:
        """The offset at which each line begins."""
        if "\r" not in self._text:
            # As fast as it gets without a pattern: the places of a document of 1 MB are asked for while somebody waits.
            starts, at = [0], self._text.find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = self._text.find("\n", at + 1)
            return starts
        return [0, *(found.end() for found in _BREAK.finditer(self._text))]

    def place(self, start: int, end: int | None = None) -> Place:
        """An offset as a place."""
        line = bisect_right(self.starts, start)
        return Place(line, start - self.starts[line - 1] + 1, start, start if end is None else end)


class Places(Mapping[str, Place]):
    """The places of all values by JSON pointer; the text is gone through when the first one is asked for."""

    def __init__(self, text: str, grow: Callable[[], Node | None]) -> None:
        self._grow = grow
        self.lines = Lines(text)

    @cached_property
    def root(self) -> Node | None:
        """The tree; None where the text can't be read."""
        return self._grow()

    def node(self, pointer: str) -> Node | None:
        """The node at a pointer; None when there is none."""
        node = self.root
        for part in parse(pointer):
            node = node.children.get(part) if node else None
        return node

    def __getitem__(self, pointer: str) -> Place:
        node = self.node(pointer)
        if node is None:
            raise KeyError(pointer)
        return self.lines.place(node.start, node.end)

    def __iter__(self) -> Iterator[str]:
        left = [("", self.root)] if self.root else []
        while left:
            pointer, node = left.pop()
            yield pointer
            if node:
                left += [(f"{pointer}/{escaped(name)}", child) for name, child in reversed(node.children.items())]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def at_line(self, line: int) -> str:
        """The pointer of the innermost value that a line belongs to: of a member its key's line does, of an object each line inside."""
        starts = self.lines.starts
        if self.root is None or not 1 <= line <= len(starts):
            return ""
        begin = starts[line - 1]
        end = starts[line] if line < len(starts) else self.root.end + 1
        pointer, node = "", self.root
        while True:
            for name, child in node.children.items():
                if child.begin < end and begin <= child.end:
                    pointer, node = f"{pointer}/{escaped(name)}", child
                    break
            else:
                return pointer
