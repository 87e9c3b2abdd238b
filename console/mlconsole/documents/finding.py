"""What is told about a document's text: findings with their line, of each kind so many and no more."""

from __future__ import annotations

import math
import re

from mlconsole.core.findings import Finding, Severity
from mlconsole.core.text import neutralise
from mlconsole.documents.nodes import Lines

DEEPEST = 64
"""How deep lists and objects may stand in each other."""

MOST_DIGITS = 400
"""A number that is written with more characters is a mistake."""

LARGEST = 2**63 - 1
"""Whole numbers beyond what 64 bits hold are read as something else by most readers."""

_MOST_TOLD = 20
_SHOWN = 40
_SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(Exception):
    """Reading ends here: what follows can't be told apart any more."""


class Findings:
    """Collects findings about one text; after `_MOST_TOLD` of a severity it only counts."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._found: list[Finding] = []
        self._counts = dict.fromkeys(Severity, 0)

    def stop(self, rule: str, text: str, at: int, pointer: str = "") -> None:
        """A finding because of which the document can't be read."""
        self._add(Severity.STOP, rule, text, at, pointer)

    def look(self, rule: str, text: str, at: int, pointer: str = "") -> None:
        """A finding that a person has to judge."""
        self._add(Severity.LOOK, rule, text, at, pointer)

    def end(self, rule: str, text: str, at: int) -> Unreadable:
        """Stop with a finding that names line and column: nothing after it can be read. To be raised."""
        place = self._lines.place(at)
        self.stop(rule, f"{text} (line {place.line}, column {place.column}).", at)
        return Unreadable()

    def empty(self) -> Unreadable:
        """There is nothing to read. To be raised."""
        self.stop("empty", "The document is empty.", 0)
        return Unreadable()

    def _add(self, severity: Severity, rule: str, text: str, at: int, pointer: str) -> None:
        self._counts[severity] += 1
        if self._counts[severity] <= _MOST_TOLD:
            self._found.append(Finding(severity, rule, text, pointer, self._lines.place(at).line))

    @property
    def stopped(self) -> bool:
        """Whether there is one that stops."""
        return self._counts[Severity.STOP] > 0

    def line(self, at: int) -> int:
        """The line of an offset."""
        return self._lines.place(at).line

    def all(self) -> tuple[Finding, ...]:
        """All of them in the order of the text, and how many more there are."""
        more = [
            Finding(severity, "more", f"There are {count - _MOST_TOLD} more of this kind.")
            for severity, count in self._counts.items()
            if count > _MOST_TOLD
        ]
        return (*sorted(self._found, key=lambda one: one.line or 0), *more)


def quoted(text: str) -> str:
    """Foreign text in a sentence: harmless, short, in quotation marks."""
    harmless = neutralise(text[: _SHOWN + 1])
    return f'"{harmless[:_SHOWN]}…"' if len(harmless) > _SHOWN else f'"{harmless}"'


def check_number(findings: Findings, text: str, value: float, at: int, pointer: str = "") -> None:
    """Tell of a number that most readers would take for another one."""
    if isinstance(value, int):
        if not -LARGEST - 1 <= value <= LARGEST:
            findings.stop("number", f"The number {quoted(text)} is too large: whole numbers go up to 2⁶³ − 1.", at, pointer)
    elif math.isinf(value):
        findings.stop("number", f"The number {quoted(text)} is too large: numbers go up to 1.8e308.", at, pointer)
    elif value == 0 and any(char in "123456789" for char in text.lower().partition("e")[0]):
        findings.stop("number", f"The number {quoted(text)} is too small: it would be read as 0.", at, pointer)


def check_text(findings: Findings, text: str, at: int, pointer: str = "") -> None:
    """Tell of a text that can't be written as UTF-8."""
    found = _SURROGATE.search(text)
    if found:
        code = f"\\u{ord(found[0]):04x}"
        findings.stop("surrogate", f"{code} is half a character: its other half is missing.", at, pointer)
