"""Lint that knows the domain: what in a config document would break, what a person has to judge, and which checks passed.

What was wrong before the change already, and is not touched by it, stops nobody: it is told as something to look at. What only has to be
looked at is not told again with every change.
"""

from __future__ import annotations

from dataclasses import replace

from mlconsole.core import configlint_signature, configlint_values
from mlconsole.core.configcase import Case, Change, Known, ModelFacts, case_of
from mlconsole.core.configdiff import touched
from mlconsole.core.configlint_reason import reason_speaks_of
from mlconsole.core.documents import Layout
from mlconsole.core.entries import malformed
from mlconsole.core.findings import Finding, Severity, worst_first
from mlconsole.core.models import Json

__all__ = ["Known", "ModelFacts", "lint"]

_BEFORE = " (it was so before this change)"


def lint(value: Json, parent_value: Json, layout: Layout, known: Known, *, reason: str = "") -> tuple[Finding, ...]:
    """What there is to say of a document that was made from `parent_value` (None: it is the first): what stops it first.

    `reason` is what its author says of the change.

    Raises:
        UsageError: the layout is none.
    """
    change = Change([""] if parent_value is None else touched(parent_value, value))
    case = case_of(value, layout, known, change, parent_value)
    shape = malformed(value, layout)
    broken = {finding.pointer for finding in shape}
    alone = [*shape, *_alone(case)]
    if parent_value is not None and any(finding.severity is not Severity.OK for finding in alone):
        earlier = case_of(parent_value, layout, known, Change(()))
        had = {(one.rule, one.pointer, one.text) for one in (*malformed(parent_value, layout), *_alone(earlier))}
        alone = [one for finding in alone if (one := _since(finding, had, change)) is not None]
    # What is no number at all is told once, and not that siblings have numbers there too.
    about = [finding for finding in configlint_values.judged(case) if not (finding.rule == "kind-differs" and finding.pointer in broken)]
    return worst_first([*reason_speaks_of(case, reason), *about, *configlint_signature.gone(case), *alone])


def _alone(case: Case) -> list[Finding]:
    rules = (configlint_values.keys, *configlint_signature.RULES)
    return [finding for rule in rules for finding in rule(case)]


def _since(finding: Finding, had: set[tuple[str, str, str]], change: Change) -> Finding | None:
    """A finding as it is told of a change; None where it is as old as the version before."""
    if finding.severity is Severity.OK or (finding.rule, finding.pointer, finding.text) not in had or change.replaces(finding.pointer):
        return finding
    return replace(finding, severity=Severity.LOOK, text=finding.text + _BEFORE) if finding.severity is Severity.STOP else None
