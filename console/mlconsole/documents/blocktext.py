"""Changes of YAML: its block style, where lines and indentation say what belongs to what, and its flow style inside of that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mlconsole.core.models import Json
from mlconsole.documents.flowtext import Added, Splicer, inside, like, line_start, sort_of, unsafe, walked
from mlconsole.documents.nodes import Node, Sort
from mlconsole.documents.yamlwriting import literal, scalar_written, text_written

_COLON = re.compile(r"[ \t]*:")
_BREAK = re.compile(r"\r\n|\n|\r")
_DASHES = re.compile(r"[ \t]*(?:-[ \t]+)+")
_FIRST_LINE = re.compile(r"[^\r\n]*(?:[ \t]*(?:\r\n|\n|\r))+([ \t]*)")
_NOTE = re.compile(r"[ \t]*(?P<comma>,?)[ \t]*(?P<note>#[^\r\n]*)?")


class YamlSplicer(Splicer):
    """Changes of YAML. Where the structure is written in a way that lines do not show, it says so and changes nothing."""

    def __init__(self, text: str, root: Node) -> None:
        super().__init__(text, root)
        self._unit = self._list_unit = 2
        self._plain_lists_spread = False
        self._learn(walked(root))

    def _learn(self, nodes: Sequence[Node]) -> None:
        """How the document is written: by how much objects are indented, and lists, and whether plain lists have a line for each item."""
        units: list[int] = []
        list_units: list[int] = []
        for outer in nodes:
            if outer.style == "block" and outer.sort is Sort.MAP:
                for inner in outer.children.values():
                    if inner.style == "block" and self._own_line(inner.start):
                        steps = units if inner.sort is Sort.MAP else list_units
                        steps.append(self._column(inner.start) - self._column(outer.start))
        lists = (node for node in nodes if node.sort is Sort.LIST and node.children)
        plain = next((node for node in lists if all(item.sort is Sort.SCALAR for item in node.children.values())), None)
        self._unit = units[0] if units else 2
        self._list_unit = list_units[0] if list_units else self._unit
        self._plain_lists_spread = plain is not None and plain.style == "block"

    # Places.

    def _column(self, at: int) -> int:
        return at - line_start(self._text, at)

    def _own_line(self, at: int) -> bool:
        """Whether nothing stands before an offset on its line."""
        return not self._text[line_start(self._text, at) : at].strip(" \t")

    def _line_end(self, at: int) -> int:
        """Where the line of an offset ends, before its break."""
        found = _BREAK.search(self._text, at)
        return found.start() if found else len(self._text)

    def _lines(self, start: int, end: int) -> tuple[int, int]:
        """The whole lines from one offset to another, with a break: the last one's, or where it has none the one before the first."""
        begin, stop = line_start(self._text, start), self._line_end(end)
        found = _BREAK.match(self._text, stop)
        return (begin, found.end()) if found else (self._break_before(start), stop)

    def _break_before(self, at: int) -> int:
        """Where the line before that of an offset ends."""
        begin = line_start(self._text, at)
        return max(0, begin - (2 if self._text[:begin].endswith("\r\n") else 1))

    def _colon(self, child: Node) -> int:
        """Where the value of a member may begin: after its colon."""
        found = _COLON.match(self._text, child.name_end)
        if not found:
            raise unsafe("a name stands without a colon after it, or with a question mark before it.")
        return found.end()

    # Values in place of others.

    def _whole(self, node: Node, parent: Node | None, new: Json) -> None:
        member = parent is not None and parent.sort is Sort.MAP
        if node.style == "block" and new and sort_of(new) is node.sort:
            self._change(node.start, node.end, self._block(new, self._column(node.start), node))
        elif node.style == "block" and parent is not None and self._own_line(node.start):
            at = self._colon(node) if member else node.begin + 1
            self._change(at, at, " " + self._written(new, "", None))
            # With the break before it, not the one after: at the end of its last line a sibling may come in.
            self._change(self._break_before(node.start), self._line_end(node.end), "")
        else:
            if member and node.start == node.end:
                self._colon(node)
            blank = " " if node.start == node.end and self._text[node.start - 1 : node.start] not in ("", " ", "\t", "\n", "\r") else ""
            self._change(node.start, node.end, blank + self._in_place(node, new))

    def _in_place(self, node: Node, new: Json) -> str:
        if isinstance(new, str) and node.style == "|":
            first = _FIRST_LINE.match(self._text, node.start, node.end)
            ends = self._line_end(node.end) < len(self._text)
            written = literal(new, first[1] if first else "", self._newline) if ends else None
            if written is not None:
                return written
        return self._written(new, "", node if node.sort is sort_of(new) else None)

    def _written(self, value: Json, indent: str, like: Node | None) -> str:
        """In the flow style, on one line."""
        if isinstance(value, dict):
            members = [f"{text_written(name, '')}: {self._written(item, indent, inside(like, name, item))}" for name, item in value.items()]
            return "{" + ", ".join(members) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self._written(item, indent, inside(like, str(index), item)) for index, item in enumerate(value)) + "]"
        return scalar_written(value, "" if like is None or like.style in ("|", ">") else like.style)

    # Children that go and come.

    def _members(self, node: Node, removed: set[int], behind: Mapping[int, Sequence[Added]]) -> None:
        children = list(node.children.values())
        if node.sort is Sort.MAP:
            for index in removed:
                self._colon(children[index])
        if node.style == "block":
            self._block_members(node, removed, behind)
            return
        if self._text[node.start] not in "{[":
            raise unsafe("an object stands without its brackets in a list.")
        edges = [node.start + 1, *(edge for child in children for edge in (child.begin, child.end)), node.end - 1]
        if any("#" in self._text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)):
            self._annotated(node, children, removed, behind)
        else:
            self._flow_members(node, removed, behind)

    def _named(self, node: Node, name: str) -> str:
        return text_written(name, self._name_quote(node)) + ": "

    def _name_quote(self, node: Node | None) -> str:
        """The quotes in which an object writes names: those of its last one."""
        child = next(reversed(node.children.values()), None) if node is not None and node.sort is Sort.MAP else None
        quote = self._text[child.begin] if child is not None else ""
        return quote if quote in ("'", '"') else ""

    def _annotated(self, node: Node, children: Sequence[Node], removed: set[int], behind: Mapping[int, Sequence[Added]]) -> None:
        """Children of brackets with comments between them: each has to have lines of its own, so that it is clear what belongs to what."""
        alone = [self._own_line(child.begin) and _NOTE.match(self._text, child.end) for child in children]
        for index in removed:
            note = alone[index]
            if not note or note.end() != self._line_end(children[index].end):
                raise unsafe("comments stand between brackets, and several values on one line.")
            self._change(*self._lines(children[index].begin, children[index].end), "")
        for after, added in behind.items():
            note = alone[after] if after >= 0 else alone[0]
            if not note or note.end() != self._line_end(children[max(after, 0)].end):
                raise unsafe("comments stand between brackets, and several values on one line.")
            indent = self._indent(children[0].begin)
            texts = [f"{self._child(node, children, one)}," for one in added]
            if after < 0:
                at = children[0].begin
                self._change(at, at, "".join(f"{text}{self._newline}{indent}" for text in texts))
                continue
            if not note["comma"]:
                self._change(children[after].end, children[after].end, ",")
            self._change(note.end(), note.end(), "".join(f"{self._newline}{indent}{text}" for text in texts))

    def _block_members(self, node: Node, removed: set[int], behind: Mapping[int, Sequence[Added]]) -> None:
        children = list(node.children.values())
        for child in children:
            self._check_begin(node, child)
        column = self._column(node.start)
        for index in removed:
            child = children[index]
            if self._own_line(child.begin):
                self._change(*self._lines(child.begin, max(child.end, child.name_end)), "")
            else:
                self._remove_first(children, index, removed)
        for after, added in behind.items():
            texts = [self._block_child(node, children, one, column) for one in added]
            if after < 0:
                at = children[0].begin
                self._change(at, at, "".join(f"{text}{self._newline}{' ' * column}" for text in texts))
            else:
                at = self._line_end(max(children[after].end, children[after].name_end))
                self._change(at, at, "".join(f"{self._newline}{' ' * column}{text}" for text in texts))

    def _check_begin(self, node: Node, child: Node) -> None:
        """Whether a child begins where lines show it: at the beginning of its line, or after the dashes of lists around it."""
        before = self._text[line_start(self._text, child.begin) : child.begin]
        if before.strip(" ") and not _DASHES.fullmatch(before):
            raise unsafe("values of a block stand on one line with something else.")
        if node.sort is Sort.LIST and self._text[child.begin : child.begin + 1] != "-":
            raise unsafe("an item of a list stands where its dash is not clear.")

    def _remove_first(self, children: Sequence[Node], index: int, removed: set[int]) -> None:
        """The first child of a block that begins behind the dash of the list around it: the next one takes its place."""
        kept = min(set(range(len(children))) - removed)
        if self._text[children[index].end : children[kept].begin].strip() == "" and kept == index + 1:
            self._change(children[index].begin, children[kept].begin, "")
        else:
            self._change(children[index].begin, max(children[index].end, children[index].name_end), "")

    # New values in the block style.

    def _block_child(self, node: Node, children: Sequence[Node], added: Added, column: int) -> str:
        template = like(added, children)
        if node.sort is Sort.LIST:
            return "- " + self._item(added.value, column, template)
        return self._named(node, added.name).removesuffix(" ") + self._member(added.value, column, template)

    def _member(self, value: Json, column: int, like: Node | None) -> str:
        """What follows the colon of a member whose object stands at a column."""
        if not self._spread(value, like):
            return " " + self._written(value, "", like)
        unit = self._list_unit if isinstance(value, list) else self._unit
        return f"{self._newline}{' ' * (column + unit)}{self._block(value, column + unit, like)}"

    def _item(self, value: Json, column: int, like: Node | None) -> str:
        """What follows the dash of an item at a column."""
        return self._block(value, column + 2, like) if self._spread(value, like) else self._written(value, "", like)

    def _spread(self, value: Json, like: Node | None) -> bool:
        """Whether a new list or object gets lines of its own."""
        if not value or not isinstance(value, dict | list):
            return False
        if like is not None and like.sort is sort_of(value) and like.children:
            return like.style == "block"
        plain = isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)
        return self._plain_lists_spread if plain else True

    def _block(self, value: Json, column: int, like: Node | None) -> str:
        """A list or an object whose first line begins at a column."""
        if isinstance(value, dict):
            quote = self._name_quote(like)
            lines = [f"{text_written(name, quote)}:{self._member(item, column, inside(like, name, item))}" for name, item in value.items()]
        else:
            lines = ["- " + self._item(item, column, inside(like, str(index), item)) for index, item in enumerate(value)]
        return f"{self._newline}{' ' * column}".join(lines)
