"""What mlconsole.yaml says an environment wants before something goes forward: a colleague's word, and figures that are no worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlconsole.core.approvals import ApprovalPolicy, Covered
from mlconsole.core.evaluation import EvaluationGate
from mlconsole.plugin.validation import Located, Problems, Sort, shown


def build_approvals(given: Mapping[str, Any], node: Located, problems: Problems) -> ApprovalPolicy | None:
    """The environment's rule; None: the file says nothing of it, and nobody has to approve anything."""
    said = node.get("approvals")
    if said is None:
        return None
    if said.sort is Sort.NOTHING:
        # Whoever left it empty wanted something to be approved: that must not come to nothing.
        problems.add(said, f"{shown(said.path)} is empty.", next="Write approvals: {} for the usual rule, or leave it out.", key=True)
    if said.sort is not Sort.MAP:
        return None
    values = given["approvals"]
    for key in ("who", "for", "checklist"):
        _each_once(values[key], said, key, problems)
    if not values["for"]:
        problems.add(said.at("for"), f"{shown(said.path)} is for nothing.", next="Leave approvals out where nobody has to approve.")
    who = tuple(dict.fromkeys(values["who"]))
    if who and values["needed"] > len(who):
        text = f"{shown(said.path)} needs {values['needed']} approvals, and only {len(who)} may give one."
        problems.add(said.at("needed"), text, next="Name more users under who, or need fewer.")
    return ApprovalPolicy(
        values["needed"],
        who,
        values["author_may"],
        tuple(one for one in Covered if one in values["for"]),
        tuple(values["checklist"]),
    )


def build_gates(given: Mapping[str, Any]) -> EvaluationGate:
    """What an environment wants of a version's figures."""
    return EvaluationGate(given["gates"]["evaluation"] == "stop", float(given["gates"]["margin"]))


def _each_once(values: list[str], node: Located, key: str, problems: Problems) -> None:
    for place, one in enumerate(values):
        at = node.at(key, place)
        if not str(one).strip():
            problems.add(at, f"{shown(at.path)} is empty.")
        elif one in values[:place]:
            problems.add(at, f'{shown(node.path)}.{key} names "{shown(one)}" twice.')
