"""What mlconsole.yaml says of approvals and gates; what is wrong with it, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlconsole.core.approvals import ApprovalPolicy, Covered
from mlconsole.core.errors import InvalidFile
from mlconsole.core.evaluation import EvaluationGate
from mlconsole.workspace import Environment, load, schema


def staging(folder: Path, *lines: str) -> Environment:
    told = "".join(f"    {line}\n" for line in lines)
    (folder / "mlconsole.yaml").write_text(f"workspace: sample\nenvironments:\n  staging:\n    serving: local\n{told}")
    return load(folder).environments["staging"]


def test_off_until_it_is_written(tmp_path: Path) -> None:
    found = staging(tmp_path)
    assert found.approvals is None
    assert found.evaluation == EvaluationGate()


def test_what_is_written(tmp_path: Path) -> None:
    found = staging(
        tmp_path,
        "approvals: {needed: 2, who: [tomek, ola], author_may: true, for: [rollout, deploy], checklist: [read the 20 worst pairs]}",
        "gates: {evaluation: stop, margin: 0.01}",
    )
    covers = (Covered.DEPLOY, Covered.ROLLOUT)
    assert found.approvals == ApprovalPolicy(2, ("tomek", "ola"), True, covers, ("read the 20 worst pairs",))
    assert found.evaluation == EvaluationGate(stops=True, margin=0.01)


def test_an_empty_group_is_the_usual_rule_for_all_that_goes_forward(tmp_path: Path) -> None:
    assert staging(tmp_path, "approvals: {}").approvals == ApprovalPolicy(1, (), False, tuple(Covered), ())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("approvals:", "5:5: environments.staging.approvals is empty"),
        ("approvals: true", "5:16: environments.staging.approvals has to be a group of keys"),
        ("approvals: {needed: 3, who: [tomek, ola]}", "5:25: environments.staging.approvals needs 3 approvals, and only 2"),
        ("approvals: {needed: 0}", "5:25: environments.staging.approvals.needed 0 is too small"),
        ("approvals: {who: [tomek, tomek]}", '5:30: environments.staging.approvals.who names "tomek" twice'),
        ('approvals: {checklist: [""]}', "5:29: environments.staging.approvals.checklist[0] is empty"),
        ("approvals: {for: []}", "5:22: environments.staging.approvals is for nothing"),
        ("approvals: {for: [revert]}", '5:23: environments.staging.approvals.for[0] "revert" is not one'),
        ("approvals: {need: 2}", "5:17: "),
        ("gates: {evaluation: halt}", "5:25: environments.staging.gates.evaluation"),
        ("gates: {margin: -1}", "5:21: environments.staging.gates.margin -1 is too small"),
    ],
)
def test_what_is_wrong_and_where(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        staging(tmp_path, line)
    assert told in caught.value.message
    assert caught.value.next
    assert caught.value.message.isprintable()


def test_the_schema_knows_it() -> None:
    properties: Any = schema()["properties"]
    environment = properties["environments"]["additionalProperties"]["properties"]
    approvals = environment["approvals"]["properties"]
    assert set(approvals) == {"needed", "who", "author_may", "for", "checklist"}
    assert approvals["for"]["items"]["enum"] == [str(one) for one in Covered]
    assert environment["gates"]["properties"]["evaluation"]["enum"] == ["ask", "stop"]
