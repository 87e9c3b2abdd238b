"""JSON texts → values, strictly, and the tree of where they stand.

`json.loads` reads a good document in a few milliseconds, and tells neither of members that stand there twice nor where anything stands. So
it reads; only where something is wrong, or somebody asks for places, the text is gone through here, token by token.
"""

from __future__ import annotations

import json
import re
from typing import Any

from mlconsole.core.models import Json
from mlconsole.documents.finding import DEEPEST, LARGEST, MOST_DIGITS, Findings, Unreadable, check_number, check_text, quoted
from mlconsole.documents.nodes import CHILDLESS, Lines, Node, Places, Sort

_BLANKS = r"[ \t\n\r]*+"
_TEXT = r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?(?![0-9A-Za-z_.+-])"
_WORDS = r"(?:true|false|null)(?![0-9A-Za-z_.+-])"

# Most of a document are members with a plain value, and plain items: each is one match.
_MEMBER = re.compile(rf"{_BLANKS}({_TEXT}){_BLANKS}:{_BLANKS}(?:({_TEXT})|({_NUMBER})|({_WORDS})|(?=[\[{{]))")
_ITEM = re.compile(rf"{_BLANKS}(?:({_TEXT})|({_NUMBER})|({_WORDS})|(?=[\[{{]))")
_FOLLOWS = re.compile(rf"{_BLANKS}([,\]}}])")
_TOKEN = re.compile(rf"{_BLANKS}(?:(?P<text>{_TEXT})|(?P<number>{_NUMBER})|(?P<word>{_WORDS})|(?P<sign>[{{}}\[\],:]))")
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_BLANK = re.compile(_BLANKS)
_WORD = re.compile(r"[^\s{}\[\],:\"]+|.", re.DOTALL)

# What a value may look like although it is read as another one; which of them it is, and where, the scan tells.
_SUSPICIOUS = re.compile(r"\\u[dD][89a-fA-F]|[eE]-0*[0-9]{3}|[0-9]{300}")
_NO_JSON = {"NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"}
_SPELT = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false", "None": "null", "NULL": "null", "Null": "null", "nil": "null"}


class _Suspicious(Exception):
    """The fast way is left: something has to be told, and where."""


def read_json(text: str) -> tuple[Json, Places, Findings]:
    """The value of a text, where its values stand, and what is wrong with it; with a finding that stops, the value is None."""
    places = Places(text, lambda: _scan(text, Findings(Lines(text))))
    findings = Findings(places.lines)
    try:
        return _fast(text), places, findings
    except (_Suspicious, ValueError, RecursionError):
        # What is wrong: the scan says it, in our words. A pair of surrogates, or a number of 300 digits in a string, is nothing wrong.
        root = _scan(text, findings)
        places = Places(text, lambda: root)
        return (None if findings.stopped else json.loads(text)), places, findings


def _fast(text: str) -> Json:
    if _SUSPICIOUS.search(text):
        raise _Suspicious
    value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    left, depth = [value], 0
    while left:
        depth += 1
        inside: list[Any] = []
        for one in left:
            kind = type(one)
            if kind is dict:
                inside += one.values()
            elif kind is list:
                inside += one
            elif (kind is int and not -LARGEST - 1 <= one <= LARGEST) or (kind is float and one - one != 0):
                raise _Suspicious
        left = inside
    # The values themselves are the last level.
    if depth > DEEPEST:
        raise _Suspicious
    return value


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Suspicious
    return members


def _constant(word: str) -> Json:
    raise _Suspicious(word)


def _scan(text: str, findings: Findings) -> Node | None:
    try:
        return _Scanner(text, findings).document()
    except Unreadable:
        return None


class _Scanner:
    """Goes through a text once. A syntax error ends it; whatever else is wrong is told, and it goes on."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._text = text
        self._findings = findings
        self._at = 0
        self._kind = ""
        self._start = 0
        self._token = ""

    def document(self) -> Node:
        """The tree of all values."""
        text = self._text
        if not text.strip(" \t\n\r"):
            raise self._findings.empty()
        root = self._value(_ITEM, 1)
        open_nodes = [root] if root.sort is not Sort.SCALAR else []
        while open_nodes:
            node = open_nodes[-1]
            found = _FOLLOWS.match(text, self._at)
            if found and found[1] == ("}" if node.sort is Sort.MAP else "]"):
                self._at = node.end = found.end()
                open_nodes.pop()
                continue
            if node.children:
                self._comma(node, found)
            if node.sort is Sort.MAP:
                value = self._value(_MEMBER, 2)
                name = self._name(node, value)
            else:
                value = self._value(_ITEM, 1)
                value.begin = value.name_end = value.start
                name = str(len(node.children))
            node.children[name] = value
            if value.sort is not Sort.SCALAR:
                open_nodes.append(value)
                if len(open_nodes) > DEEPEST:
                    raise self._findings.end("depth", f"Values stand more than {DEEPEST} deep in each other", value.start)
        self._next()
        if self._token:
            raise self._wrong("the document ends before this: nothing may follow its value")
        return root

    def _value(self, pattern: re.Pattern[str], group: int) -> Node:
        """The next value, with the name before it where the pattern wants one."""
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._not_there(named=group > 1)
        begin, name_end = found.span(1) if group > 1 else (0, 0)
        kind = found.lastindex or 0
        if kind < group:
            start = found.end()
            self._at = start + 1
            return Node(Sort.MAP if self._text[start] == "{" else Sort.LIST, start, start, {}, "", begin, name_end)
        start, self._at = found.span(kind)
        if kind == group:
            if "\\u" in found[kind]:
                check_text(self._findings, json.loads(found[kind]), start)
        elif kind == group + 1:
            self._number(found[kind], start)
        return Node(Sort.SCALAR, start, self._at, CHILDLESS, "", begin, name_end)

    def _name(self, node: Node, value: Node) -> str:
        """The name of a member that was just read."""
        name = self._text[value.begin + 1 : value.name_end - 1]
        if "\\" in name:
            name = str(json.loads(self._text[value.begin : value.name_end]))
            check_text(self._findings, name, value.begin)
        if name in node.children:
            first = self._findings.line(node.children[name].begin)
            self._findings.stop("duplicate", f"{quoted(name)} stands here and on line {first} already.", value.begin)
        return name

    def _comma(self, node: Node, found: re.Match[str] | None) -> None:
        """Past the comma between two members or items."""
        closing = "}" if node.sort is Sort.MAP else "]"
        if found is None or found[1] != ",":
            self._next()
            begun = f"{node.sort.value} begins on line {self._findings.line(node.start)}"
            raise self._wrong(f"a comma or {closing} is expected here, where {begun}")
        self._at = found.end()
        found = _FOLLOWS.match(self._text, self._at)
        if found and found[1] == closing:
            self._next()
            raise self._wrong("JSON has no comma after the last one")

    def _not_there(self, *, named: bool) -> Unreadable:
        """What is wrong where no value is, or no member."""
        self._next()
        if named:
            if self._kind != "text":
                return self._wrong('a name in " is expected here')
            name = json.loads(self._token)
            self._next()
            if self._token != ":":
                return self._wrong(f"a : is expected after {quoted(name)}")
            self._next()
        return self._wrong("a value is expected here")

    def _number(self, token: str, at: int) -> None:
        if len(token) < 18 and "e" not in token and "E" not in token:
            return
        if len(token) > MOST_DIGITS:
            self._findings.stop("number", f"The number {quoted(token)} has {len(token)} characters: at most {MOST_DIGITS}.", at)
            return
        check_number(self._findings, token, int(token) if token.lstrip("-").isdigit() else float(token), at)

    def _next(self) -> None:
        """The next token; at the end an empty one, and one of no kind where there is none that JSON knows."""
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            blank = _BLANK.match(self._text, self._at)
            assert blank is not None  # it matches nothing, too
            self._start = blank.end()
            word = _WORD.match(self._text, self._start)
            self._kind, self._token, self._at = "", word[0] if word else "", word.end() if word else len(self._text)
            return
        self._kind = found.lastgroup or ""
        self._start, self._at = found.span(self._kind)
        self._token = found[self._kind]

    def _wrong(self, expected: str) -> Unreadable:
        """The finding for the present token, which is not what is expected here."""
        token, at = self._token, self._start
        if self._kind:
            shown = quoted(token[1:-1] if self._kind == "text" else token)
            return self._findings.end("syntax", f"{_sentence(expected)}, and there is {shown}", at)
        if not token:
            return self._findings.end("syntax", f"{_sentence(expected)}, and the text ends", at)
        if token == '"':
            return self._broken_text(at)
        if token in _NO_JSON:
            return self._findings.end("number", f"{token} is no JSON number", at)
        if token in _SPELT:
            return self._findings.end("syntax", f"JSON writes {_SPELT[token]}, and there is {quoted(token)}", at)
        if token[0] in "/#":
            return self._findings.end("syntax", f"JSON has no comments, and there is {quoted(token)}", at)
        if token[0] in "'`“”‘’":
            return self._findings.end("syntax", f'JSON wants " as quotation marks, and there is {quoted(token)}', at)
        if token[0] in "0123456789.+-":
            return self._findings.end("syntax", f"{quoted(token)} is no JSON number", at)
        return self._findings.end("syntax", f"{_sentence(expected)}, and there is {quoted(token)}", at)

    def _broken_text(self, start: int) -> Unreadable:
        """Why the string that begins here is none."""
        at = start + 1
        while at < len(self._text) and self._text[at] != '"':
            char = self._text[at]
            if char in "\r\n":
                return self._findings.end("syntax", "This string does not end on its line", start)
            if char < " ":
                written = "\\t" if char == "\t" else f"\\u{ord(char):04x}"
                return self._findings.end("syntax", f"In a string, {quoted(char)} has to be written as {written}", at)
            if char == "\\":
                if not _ESCAPE.match(self._text, at):
                    return self._findings.end("syntax", f"{quoted(self._text[at : at + 2])} begins nothing that JSON knows in a string", at)
                at += 1
            at += 1
        return self._findings.end("syntax", "This string does not end", start)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
