"""Findings: what a check of a config document says, where, and whether it stops a publication."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding means for whoever wants to publish."""

    STOP = "stop"
    """It can't be published so."""
    LOOK = "look"
    """A person has to judge it."""
    OK = "ok"
    """A check that was made and passed."""


@dataclass(frozen=True)
class Finding:
    """One finding. `rule` is its short, stable name (`shares-sum`); `pointer` says where in the document, `line` where in its text."""

    severity: Severity
    rule: str
    text: str
    pointer: str = ""
    line: int | None = None


def stops(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that stop a publication."""
    return tuple(one for one in findings if one.severity is Severity.STOP)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What stops, what has to be looked at, what is well; in each the order in which they were found."""
    order = {severity: place for place, severity in enumerate(Severity)}
    return tuple(sorted(findings, key=lambda one: order[one.severity]))
