"""YAML texts → values and where they stand, as far as YAML is JSON with comments: no anchors, no tags, no merge keys, one document.

YAML is read as *events*, from which the values are put together here: `yaml.compose` recurses in C, and a few thousand nested brackets end
the process. Nothing is ever constructed from a tag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from mlconsole.core.models import Json
from mlconsole.core.pointers import join
from mlconsole.core.text import neutralise
from mlconsole.documents.finding import DEEPEST, MOST_DIGITS, Findings, Unreadable, check_number, check_text, quoted
from mlconsole.documents.nodes import CHILDLESS, Node, Places, Sort
from mlconsole.documents.yamlscalars import loses_digits, may_be_number, scalar, taken_otherwise

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_FILL = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*+")
_KEPT = re.compile(r"[|>][0-9]?\+")


def read_yaml(text: str) -> tuple[Json, Places, Findings]:
    """The value of a text, where its values stand, and what is wrong with it; with a finding that stops, the value is None."""
    root: Node | None = None
    places = Places(text, lambda: root)
    findings = Findings(places.lines)
    value: Json = None
    try:
        odd = _UNPRINTABLE.search(text)
        if odd:
            raise findings.end("syntax", f"The character U+{ord(odd[0]):04X} can't stand in YAML", odd.start())
        value, root = _Composer(text, findings).document()
    except Unreadable:
        pass
    return (None if findings.stopped else value), places, findings


class _Composer:
    """Puts YAML's events together."""

    def __init__(self, text: str, findings: Findings) -> None:
        import yaml

        self._yaml: Any = yaml
        self._text = text
        self._findings = findings
        self._events: Iterator[Any] = iter(())
        self._parts: list[str] = []
        self._known: dict[str, Json] = {}
        """What plain scalars are, where nothing has to be told of them: values repeat."""

        self._names: set[str] = set()
        """Names of which nothing has to be told."""

    def document(self) -> tuple[Json, Node]:
        """The value and the tree of the one document."""
        yaml = self._yaml
        # Wheels of PyYAML carry libyaml; a build without it reads the same, more slowly.
        self._events = iter(yaml.parse(self._text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        result: tuple[Json, Node] | None = None
        try:
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if result is not None:
                        second = "A second document begins here: one file is one document"
                        raise self._findings.end("documents", second, event.start_mark.index)
                    result = self._node(next(self._events))
        except yaml.YAMLError as error:
            raise self._syntax(error) from error
        if result is None or result[1].end == result[1].start:
            raise self._findings.empty()
        return result

    def _node(self, event: Any) -> tuple[Json, Node]:
        yaml = self._yaml
        kind = type(event)
        at = event.start_mark.index
        if kind is yaml.AliasEvent:
            self._stop("alias", f"The alias {quoted('*' + event.anchor)} is not allowed here: write the value out.", at)
            return None, Node(Sort.SCALAR, at, event.end_mark.index, CHILDLESS)
        if event.anchor is not None:
            self._stop("anchor", f"The anchor {quoted('&' + event.anchor)} is not allowed here: write the value out where it is used.", at)
        if event.tag is not None:
            self._stop("tag", f"The tag {quoted(event.tag)} is not allowed here: nothing is made from tags.", at)
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        if len(self._parts) >= DEEPEST:
            raise self._findings.end("depth", f"Values stand more than {DEEPEST} deep in each other", at)
        return self._list(event) if kind is yaml.SequenceStartEvent else self._map(event)

    def _scalar(self, event: Any) -> tuple[Json, Node]:
        start, end, text = event.start_mark.index, event.end_mark.index, event.value
        style = event.style or ""
        if style in ("|", ">"):
            end = self._block_end(start, end)
        node = Node(Sort.SCALAR, start, end, CHILDLESS, style)
        if style or event.tag is not None:
            check_text(self._findings, text, start, self._pointer())
            return text, node
        return self._plain(text, start), node

    def _plain(self, text: str, at: int) -> Json:
        if text in self._known:
            return self._known[text]
        if len(text) > MOST_DIGITS and may_be_number(text) and not text.strip("0123456789+-.eExXoabcdfABCDF"):
            self._stop("number", f"The number {quoted(text)} has {len(text)} characters: at most {MOST_DIGITS}.", at)
            return None
        value = scalar(text)
        if isinstance(value, str):
            check_text(self._findings, text, at)
        elif isinstance(value, float) and not math.isfinite(value) and "n" in text.lower():
            self._stop("number", f"{text} is no number that JSON knows.", at)
            return None
        elif isinstance(value, int | float) and not isinstance(value, bool) and (len(text) > 17 or "e" in text or "E" in text):
            check_number(self._findings, text, value, at, self._pointer())
        otherwise = taken_otherwise(text, value)
        if otherwise:
            shown = f"the text {quoted(text)}" if isinstance(value, str) else f"the number {value}"
            told = f"{neutralise(text)} is {shown} here, and {otherwise} for readers of YAML 1.1: "
            self._look("yaml-1.1", told + ("write it in quotes." if isinstance(value, str) else "write it so that both read the same."), at)
        elif loses_digits(self._parts[-1] if self._parts else "", text, value):
            self._look("yaml-version", f'{text} is the number {value} here: a version has to be in quotes, "{text}".', at)
        elif not isinstance(value, float):
            self._known[text] = value
        return value

    def _block_end(self, start: int, end: int) -> int:
        """Where a | or > scalar ends: before its last line break; what is kept by + belongs to it, other blank lines after it do not."""
        text = self._text[start:end]
        if _KEPT.match(text):
            return end - (2 if text.endswith("\r\n") else 1 if text.endswith(("\n", "\r")) else 0)
        return start + len(text.rstrip())

    def _list(self, event: Any) -> tuple[Json, Node]:
        end_event = self._yaml.SequenceEndEvent
        block = not event.flow_style
        node = Node(Sort.LIST, event.start_mark.index, event.end_mark.index, {}, "block" if block else "")
        items: list[Json] = []
        dash = node.start
        while type(child := next(self._events)) is not end_event:
            self._parts.append(str(len(items)))
            value, item = self._node(child)
            self._parts.pop()
            if block and items:
                # The events do not tell where dashes stand: each follows the item before it, past comments.
                fill = _FILL.match(self._text, node.end)
                dash = fill.end() if fill else node.end
            item.begin = item.name_end = dash if block else item.start
            node.children[str(len(items))] = item
            items.append(value)
            node.end = max(item.end, dash + 1 if block else 0)
        if not block:
            node.end = child.end_mark.index
        return items, node

    def _map(self, event: Any) -> tuple[Json, Node]:
        yaml = self._yaml
        block = not event.flow_style
        node = Node(Sort.MAP, event.start_mark.index, event.end_mark.index, {}, "block" if block else "")
        members: dict[str, Json] = {}
        while type(key := next(self._events)) is not yaml.MappingEndEvent:
            name = self._key(key, members, node)
            self._parts.append(name)
            members[name], child = self._node(next(self._events))
            self._parts.pop()
            child.begin, child.name_end = key.start_mark.index, key.end_mark.index
            node.children[name] = child
            node.end = max(child.name_end, child.end)
        if not block:
            node.end = key.end_mark.index
        return members, node

    def _key(self, event: Any, members: dict[str, Json], node: Node) -> str:
        yaml = self._yaml
        at = event.start_mark.index
        if type(event) is yaml.AliasEvent:
            raise self._findings.end("alias", f"The alias {quoted('*' + event.anchor)} is not allowed here: write the name out", at)
        if type(event) is not yaml.ScalarEvent:
            raise self._findings.end("key", "A name has to be a text, and here it is an object or a list", at)
        if event.anchor is not None or event.tag is not None:
            self._stop("tag", "A name may have no anchor and no tag here.", at)
        name: str = event.value
        if event.style or event.tag is not None:
            check_text(self._findings, name, at)
        elif name not in self._names:
            self._plain_name(name, at)
        if name in members:
            first = self._findings.line(node.children[name].begin)
            self._stop("duplicate", f"{quoted(name)} stands here and on line {first} already.", at)
        return name

    def _plain_name(self, name: str, at: int) -> None:
        value: Json = scalar(name) if len(name) <= MOST_DIGITS else name
        if name == "<<":
            self._stop("merge", "Merge keys (<<) are not allowed here: write the members out.", at)
        elif not isinstance(value, str):
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else "a number"
            self._stop("key", f'A name has to be a text, and {quoted(name)} is {shown}: write "{neutralise(name)}".', at)
        elif otherwise := taken_otherwise(name, name):
            told = f"The name {quoted(name)} is {otherwise} for readers of YAML 1.1: write it in quotes."
            self._look("yaml-1.1", told, at)
        else:
            self._names.add(name)

    def _pointer(self) -> str:
        return join(self._parts)

    def _stop(self, rule: str, text: str, at: int) -> None:
        self._findings.stop(rule, text, at, self._pointer())

    def _look(self, rule: str, text: str, at: int) -> None:
        self._findings.look(rule, text, at, self._pointer())

    def _syntax(self, error: Any) -> Unreadable:
        told = neutralise(str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read"))
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        at = min(mark.index, len(self._text)) if mark is not None else 0
        line = self._text[self._text.rfind("\n", 0, at) + 1 : at + 1]
        if "tab" in told or (line.endswith("\t") and not line.strip()):
            return self._findings.end("syntax", "A tab: YAML indents with blanks only", at)
        context, around = getattr(error, "context", None), getattr(error, "context_mark", None)
        begun = ""
        if context and around is not None and mark is not None and around.line < mark.line:
            begun = f" {neutralise(str(context))} that begins on line {self._findings.line(min(around.index, len(self._text)))}"
        return self._findings.end("syntax", f"This is no valid YAML: {told}{begun}", at)
