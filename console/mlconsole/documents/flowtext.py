"""Changes of a document's text: what JSON and the flow style of YAML (`{a: 1}`, `[a, b]`) have in common."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlconsole.core.configdiff import aligned, same
from mlconsole.core.errors import UsageError
from mlconsole.core.models import Json
from mlconsole.core.pointers import REMOVE, Branches, Leaf, told
from mlconsole.documents.nodes import Node, Sort

_FIRST_BREAK = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Change:
    """A stretch of the text that becomes another one."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Added:
    """A member or an item that comes in behind the child number `after` (-1: before the first one)."""

    after: int
    name: str
    value: Json


def plain_json(value: Json, pointer: str) -> Json:
    """A value as JSON holds it.

    Raises:
        UsageError: JSON can't hold it.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"The new value of {told(pointer)} is nothing that JSON can hold.", next="Give a JSON value.") from error


def unsafe(what: str) -> UsageError:
    """The error for a text that can't be changed safely."""
    return UsageError(f"This can't be changed value by value: {what} Nothing was changed.", next="Change it in the text, with the editor.")


class Splicer(ABC):
    """Turns edits into changes of the text. What is the same in old and new value keeps its text, deep inside too."""

    def __init__(self, text: str, root: Node) -> None:
        self._text = text
        self._root = root
        self._changes: list[Change] = []
        found = _FIRST_BREAK.search(text)
        self._newline = found[0] if found else "\n"

    def text(self) -> str:
        """The text with all changes made."""
        parts: list[str] = []
        at = 0
        # What comes in at the same place stays in the order in which it was asked for: what is deeper inside was first. Only what goes
        # away may overlap: two lines that are removed share the break between them.
        for change in sorted(self._changes, key=lambda one: (one.start, one.end)):
            parts.append(self._text[at : max(at, change.start)])
            parts.append(change.text)
            at = max(at, change.end)
        return "".join([*parts, self._text[at:]])

    def apply(self, node: Node, parent: Node | None, old: Json, tree: Branches | Leaf) -> None:
        """Make the edits inside a node."""
        if isinstance(tree, Leaf):
            self._replace(node, parent, old, tree.new)
            return
        names = {name: index for index, name in enumerate(node.children)}
        removed: set[int] = set()
        added: list[Added] = []
        for part, branch in tree.items():
            index = names.get(part)
            if index is None:
                added.append(Added(len(names) - 1, part, branch.new))
            elif isinstance(branch, Leaf) and branch.new is REMOVE:
                removed.add(index)
            else:
                self.apply(node.children[part], node, _inside(old, part), branch)
        self._restructure(node, parent, removed, added)

    def _replace(self, node: Node, parent: Node | None, old: Json, new: Json) -> None:
        if same(old, new):
            return
        if old and new and isinstance(old, dict) and isinstance(new, dict) and old.keys() & new.keys():
            self._replace_members(node, parent, old, new)
        elif old and new and isinstance(old, list) and isinstance(new, list):
            self._replace_items(node, parent, old, new)
        else:
            self._whole(node, parent, new)

    def _replace_members(self, node: Node, parent: Node | None, old: Mapping[str, Json], new: Mapping[str, Json]) -> None:
        places = {name: index for index, name in enumerate(node.children)}
        added: list[Added] = []
        after = -1
        for name, value in new.items():
            if name in places:
                after = places[name]
                self._replace(node.children[name], node, old[name], value)
            else:
                added.append(Added(after, name, value))
        self._restructure(node, parent, {index for name, index in places.items() if name not in new}, added)

    def _replace_items(self, node: Node, parent: Node | None, old: Sequence[Json], new: Sequence[Json]) -> None:
        begin, end = aligned(old, new)
        paired = min(len(old), len(new)) - end
        for index in range(begin, paired):
            self._replace(node.children[str(index)], node, old[index], new[index])
        self._restructure(
            node,
            parent,
            set(range(paired, len(old) - end)),
            [Added(paired - 1, "", new[index]) for index in range(paired, len(new) - end)],
        )

    def _restructure(self, node: Node, parent: Node | None, removed: set[int], added: list[Added]) -> None:
        if not removed and not added:
            return
        if len(removed) == len(node.children):
            members = {one.name: one.value for one in added}
            self._whole(node, parent, members if node.sort is Sort.MAP else [one.value for one in added])
            return
        kept = [index for index in range(len(node.children)) if index not in removed]
        behind: dict[int, list[Added]] = {}
        for one in added:
            place = bisect_right(kept, one.after)
            behind.setdefault(kept[place - 1] if place else -1, []).append(one)
        self._members(node, removed, behind)

    def _change(self, start: int, end: int, text: str) -> None:
        self._changes.append(Change(start, end, text))

    @abstractmethod
    def _whole(self, node: Node, parent: Node | None, new: Json) -> None:
        """Write a value in place of all of a node."""

    @abstractmethod
    def _members(self, node: Node, removed: set[int], behind: Mapping[int, Sequence[Added]]) -> None:
        """Take children away and put others in; at least one stays. `behind`: by the child that stays before them, or -1."""

    @abstractmethod
    def _written(self, value: Json, indent: str, like: Node | None) -> str:
        """A value as text between brackets, in the manner of `like` where there is one; further lines begin with `indent`."""

    @abstractmethod
    def _named(self, node: Node, name: str) -> str:
        """The name of a new member of a node, and what comes between it and its value."""

    # What is between brackets: JSON, and flow style.

    def _flow_members(self, node: Node, removed: set[int], behind: Mapping[int, Sequence[Added]]) -> None:
        children = list(node.children.values())
        last = len(children) - 1
        for first, end in _runs(removed):
            if end <= last:
                self._change(children[first].begin, children[end].begin, "")
            else:
                self._change(children[first - 1].end, children[last].end, "")
        gap = self._gap(node, children)
        first_kept = min(set(range(len(children))) - removed)
        for after, added in behind.items():
            texts = [self._child(node, children, one) for one in added]
            if after < 0:
                at = children[first_kept].begin
                self._change(at, at, "".join(text + gap for text in texts))
            else:
                at = children[after].end
                self._change(at, at, "".join(gap + text for text in texts))

    def _child(self, node: Node, children: Sequence[Node], added: Added) -> str:
        name = self._named(node, added.name) if node.sort is Sort.MAP else ""
        return name + self._written(added.value, self._indent(children[0].begin), like(added, children))

    def _gap(self, node: Node, children: Sequence[Node]) -> str:
        """What stands between two children of a node: the comma, and what follows it."""
        if len(children) > 1:
            between = self._text[children[-2].end : children[-1].begin]
            if "#" not in between:
                return between
        before = self._text[node.start + 1 : children[0].begin]
        if "\n" in before or "\r" in before:
            return f",{self._newline}{self._indent(children[0].begin)}"
        return self._comma()

    def _comma(self) -> str:
        return ", "

    def _indent(self, at: int) -> str:
        """The blanks at the beginning of an offset's line."""
        start = line_start(self._text, at)
        end = start
        while end < len(self._text) and self._text[end] in " \t":
            end += 1
        return self._text[start:end]


def like(added: Added, children: Sequence[Node]) -> Node | None:
    """The sibling in whose manner a new child is written: the last one of its sort."""
    wanted = sort_of(added.value)
    return next((child for child in reversed(children) if child.sort is wanted and (child.children or wanted is Sort.SCALAR)), None)


def inside(node: Node | None, name: str, value: Json) -> Node | None:
    """In whose manner a child of a new value is written: the counterpart in what the new value is like."""
    if node is None:
        return None
    wanted = sort_of(value)
    found = node.children.get(name)
    if found is not None and found.sort is wanted:
        return found
    return next((child for child in node.children.values() if child.sort is wanted), None)


def sort_of(value: Json) -> Sort:
    """What a value will be in a tree."""
    return Sort.MAP if isinstance(value, dict) else Sort.LIST if isinstance(value, list) else Sort.SCALAR


def line_start(text: str, at: int) -> int:
    """Where the line of an offset begins."""
    begin = text.rfind("\n", 0, at) + 1
    # Only from there: without a CR in the text, looking for one would go back to its beginning each time.
    return max(begin, text.rfind("\r", begin, at) + 1)


def _inside(value: Json, part: str) -> Json:
    return value[part] if isinstance(value, dict) else value[int(part)]


def _runs(indices: set[int]) -> list[tuple[int, int]]:
    """Neighbouring numbers as (first, the one after the last)."""
    runs: list[tuple[int, int]] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


class JsonSplicer(Splicer):
    """Changes of JSON: as the document is written, on one line or over many, with this indentation or that."""

    def __init__(self, text: str, root: Node) -> None:
        super().__init__(text, root)
        self._ascii = text.isascii() and "\\u" in text
        containers = [node for node in walked(root) if node.children]
        members = next((node for node in containers if node.sort is Sort.MAP), None)
        member = next(iter(members.children.values())) if members else None
        self._colon = text[member.name_end : member.start] if member else ": "
        self._pretty = bool(containers) and self._spread(containers[0])
        plain = (node for node in containers if node.sort is Sort.LIST and all(not item.children for item in node.children.values()))
        first_list = next(plain, None)
        self._lists_spread = first_list is not None and self._spread(first_list)
        self._unit = self._step(containers)

    def _step(self, containers: Sequence[Node]) -> str:
        """By how much an object's members are indented."""
        for node in containers:
            if self._spread(node):
                outer, inner = self._indent(node.start), self._indent(next(iter(node.children.values())).begin)
                if inner.startswith(outer) and inner != outer:
                    return inner[len(outer) :]
        return "  "

    def _spread(self, node: Node) -> bool:
        """Whether a node's children stand on lines of their own."""
        return _FIRST_BREAK.search(self._text, node.start, next(iter(node.children.values())).begin) is not None

    def _comma(self) -> str:
        return "," if self._colon == ":" else ", "

    def _whole(self, node: Node, parent: Node | None, new: Json) -> None:
        template = node if node.children and node.sort is sort_of(new) else None
        self._change(node.start, node.end, self._written(new, self._indent(node.start), template))

    def _members(self, node: Node, removed: set[int], behind: Mapping[int, Sequence[Added]]) -> None:
        self._flow_members(node, removed, behind)

    def _named(self, node: Node, name: str) -> str:
        return json.dumps(name, ensure_ascii=self._ascii) + self._colon

    def _written(self, value: Json, indent: str, like: Node | None) -> str:
        if not isinstance(value, dict | list) or not value:
            return json.dumps(value, ensure_ascii=self._ascii)
        members = value.items() if isinstance(value, dict) else [("", item) for item in value]
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        if like is not None and like.children:
            spread = self._spread(like)
        elif isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
            spread = self._pretty and self._lists_spread
        else:
            spread = self._pretty
        inner = indent + self._unit if spread else indent
        texts = [
            (json.dumps(name, ensure_ascii=self._ascii) + self._colon if isinstance(value, dict) else "")
            + self._written(member, inner, inside(like, name, member))
            for name, member in members
        ]
        if not spread:
            return opening + self._comma().join(texts) + closing
        lines = f",{self._newline}{inner}".join(texts)
        return f"{opening}{self._newline}{inner}{lines}{self._newline}{indent}{closing}"


def walked(root: Node) -> list[Node]:
    """All nodes in the order of the text."""
    found: list[Node] = []
    left = [root]
    while left:
        node = left.pop()
        found.append(node)
        left += reversed(node.children.values())
    return found
