"""What mlconsole.yaml says of rollouts and freezes; what is wrong with it, and where."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidFile
from mlconsole.core.freezes import FreezeWindow
from mlconsole.core.health import Question
from mlconsole.core.policies import (
    BLUE_GREEN,
    CAREFUL,
    DEFAULT_GUARDS,
    AtDeadline,
    GuardKind,
    GuardRule,
    OnFail,
    Policy,
    ShadowStage,
    Stage,
)
from mlconsole.core.policy_lint import lint
from mlconsole.core.traffic import WHOLE
from mlconsole.workspace import Workspace, load, schema

SAMPLE = """\
workspace: sample
environments:
  staging: {serving: local, probes: {redis-embeddings: {kind: redis}}}
  production:
    serving: local
    freeze:
      - {from: 2026-11-27T18:00, until: 2026-11-30T08:00:00, reason: "Black Friday", by: tomek}
      - {from: "2026-12-24", until: 2026-12-27T08:00+01:00}
models:
  relevance: {golden: golden.jsonl}
  risk: {}
endpoints:
  relevance: {model: relevance, policy: quick}
actions:
  smoke: {run: [./smoke]}
policies:
  quick: {stages: [10, 50, 100], wait: 8, evidence: 60, bake: 20}
  slices:
    stages: [{share: 0.5, wait: 60, evidence: 20}, 12.50, {share: 100}]
    evidence: 99
    shadow: {sample: 50, wait: 900}
    guards:
      errors: {margin: 0.02}
      identical:
      latency: {limit: 0.3, dry_run: true}
      silent: {}
      my-probe: {probe: redis-embeddings}
      golden: {golden: relevance}
      smoke: {action: smoke}
      strict errors: {question: errors, limit: 0.05, by_slice: false}
      alarms: {}
    order: [de, language=en]
    on_fail: slice
    deadline: 14400
    at_deadline: revert
    stop_old: true
  doubling: {preset: blue-green, growth: {kind: exponential, factor: 20}, wait: 30}
  slow: {wait: 3600}
"""

ERRORS, IDENTICAL, _, SILENT, _, ALARMS = DEFAULT_GUARDS


def sample(folder: Path, *changes: tuple[str, str]) -> Workspace:
    text = SAMPLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / "mlconsole.yaml"
    file.write_text(text)
    return load(file)


def told(folder: Path, *changes: tuple[str, str]) -> str:
    with pytest.raises(InvalidFile) as caught:
        sample(folder, *changes)
    assert caught.value.next
    assert caught.value.message.isprintable()
    return caught.value.message.partition("mlconsole.yaml:")[2]


def test_policies(tmp_path: Path) -> None:
    workspace = sample(tmp_path)
    quick, slices, doubling, slow = (workspace.policies[name] for name in ("quick", "slices", "doubling", "slow"))
    assert quick == Policy("quick", (Stage(1000, 8, 60), Stage(5000, 8, 60), Stage(WHOLE, 8, 60)), DEFAULT_GUARDS, bake=20)
    assert slices == Policy(
        "slices",
        (Stage(50, 60, 20), Stage(1250, 600, 99), Stage(WHOLE, 600, 99)),
        (
            replace(ERRORS, margin=0.02),
            IDENTICAL,
            GuardRule("latency", GuardKind.QUESTION, Question.LATENCY, limit=0.3, by_slice=False, dry_run=True),
            SILENT,
            GuardRule("my-probe", GuardKind.PROBE, subject="redis-embeddings", by_slice=False),
            GuardRule("golden", GuardKind.GOLDEN, subject="relevance", by_slice=False),
            GuardRule("smoke", GuardKind.ACTION, subject="smoke", by_slice=False),
            GuardRule("strict errors", GuardKind.QUESTION, Question.ERRORS, limit=0.05, by_slice=False),
            ALARMS,
        ),
        shadow=ShadowStage(5000, 900, 300),
        bake=3600,
        order=("de", "language=en"),
        on_fail=OnFail.SLICE,
        deadline=14400,
        at_deadline=AtDeadline.REVERT,
        stop_old=True,
    )
    assert [(stage.share, stage.wait, stage.evidence) for stage in doubling.stages] == [
        (2000, 30, 150),
        (4000, 30, 150),
        (8000, 30, 150),
        (WHOLE, 30, 150),
    ]
    assert [(stage.share, stage.wait, stage.evidence) for stage in slow.stages] == [
        (100, 3600, 150),
        (1000, 3600, 150),
        (5000, 3600, 300),
        (WHOLE, 3600, 300),
    ]
    assert (slow.guards, slow.bake, slow.shadow) == (DEFAULT_GUARDS, 3600, None)


def test_each_endpoint_has_a_policy(tmp_path: Path) -> None:
    workspace = sample(tmp_path)
    assert {name: one.policy for name, one in workspace.endpoints.items()} == {"relevance": "quick", "risk": "careful"}
    assert (workspace.policies["careful"], workspace.policies["blue-green"]) == (CAREFUL, BLUE_GREEN)
    assert sample(tmp_path, ("  slow:", "  careful:")).policies["careful"].stages[0].wait == 3600
    assert sample(tmp_path, ("policy: quick", "policy: blue-green")).endpoints["relevance"].policy == "blue-green"


def test_freezes(tmp_path: Path) -> None:
    workspace = sample(tmp_path)
    first, second = workspace.environments["production"].freezes
    assert first == FreezeWindow(datetime(2026, 11, 27, 18).astimezone(), datetime(2026, 11, 30, 8).astimezone(), "Black Friday", "tomek")
    assert (second.begin, second.end) == (datetime(2026, 12, 24).astimezone(), datetime.fromisoformat("2026-12-27T08:00+01:00"))
    assert workspace.environments["staging"].freezes == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("policy: quick", "policy: quik", '13:41: there is no policy "quik". Did you mean quick?'),
        ("[10, 50, 100], wait: 8", '["10", 50, 100], wait: 8', "17:20: policies.quick.stages"),
        ("[10, 50, 100]", "[10.125, 100]", '17:20: policies.quick.stages[0]: "10.125" is not a share'),
        ("[10, 50, 100]", "[0, 100]", "17:20: policies.quick.stages[0] is 0"),
        ("[10, 50, 100]", "[10, 500]", "17:24: policies.quick.stages[1]: 500 % is more than all of the traffic"),
        ("[10, 50, 100]", "[10, 50]", "17:19: policies.quick: The stages end at 50 %"),
        ("[10, 50, 100]", "[50, 10, 100]", "17:19: policies.quick: The stages 50 → 10 → 100 % do not rise"),
        ("[10, 50, 100]", "[]", "17:19: policies.quick: There are no stages."),
        ("[10, 50, 100]", "[{wait: 5}, 100]", "17:20: policies.quick.stages[0].share is missing"),
        ("[10, 50, 100]", "[{share: 5, wiat: 3}, 100]", '17:31: unknown key "wiat" in policies.quick.stages[0]. Did you mean wait?'),
        ("wait: 8, evidence: 60", "wait: 0, evidence: 0", "17:19: policies.quick: The stage 10 % waits 0 s for 0 requests"),
        ("wait: 8,", "wait: 8 min,", "policies.quick.wait has to be a number"),
        ("preset: blue-green", "preset: blue", 'policies.doubling.preset "blue" is not one of what it can be. Did you mean blue-green?'),
        ("kind: exponential", "kind: exponent", "Did you mean exponential?"),
        ("{preset: blue-green,", "{stages: [100],", "policies.doubling has stages and growth: one of them is wanted."),
        ("factor: 20}", "factor: 20.125}", 'policies.doubling.growth.factor: "20.125" is not a share'),
        ("identical:\n", "identcal:\n", "policies.slices.guards.identcal asks nothing"),
        ("margin: 0.02", "margin: 2", '23:24: policies.slices: The guard "errors" has the margin 2: a share'),
        ("limit: 0.05,", "limit: 5,", 'The guard "strict errors" has the limit 5: a share goes from 0 to 1'),
        ("margin: 0.02", "margin: 0.02, limit: 0.05", "has a limit and a margin: one of them is wanted."),
        ("probe: redis-embeddings}\n      golden", "probe: redis-embedings}\n      golden", 'asks the probe "redis-embedings"'),
        ("golden: relevance}", "golden: risk}", 'asks the model with golden queries "risk"'),
        ("action: smoke}", "action: smoke, probe: redis-embeddings}", "policies.slices.guards.smoke asks several things (probe, action)"),
        (
            "silent: {}",
            "answers in every slice: {}\n      silent: {}",
            'policies.slices.guards has the guard "answers in every slice" twice',
        ),
        ("question: errors", "question: eror", 'policies.slices.guards.strict errors.question "eror" is not one of what it can be.'),
        ("wait: 30}", "wait: 30, guards: {}}", "No guard of the policy doubling can fire: there is none."),
        ("wait: 30}", "wait: 30, guards: {errors: {dry_run: true}}}", "No guard of the policy doubling can fire"),
        ("[de, language=en]", "[de, de]", '32:17: policies.slices.order names "de" twice.'),
        ("[de, language=en]", "[de, =en]", "is neither a slice's value nor KEY=VALUE."),
        ("[de, language=en]", "[region=eu, language=en]", "goes by several slices at once (language, region)"),
        ("[de, language=en]", "[de, no]", 'write "no"'),
        ("order: [de, language=en]", "ordre: [de]", '32:5: unknown key "ordre" in policies.slices. Did you mean order?'),
        ("    order: [de, language=en]\n", "", "32:14: policies.slices: on_fail is slice, and there is no order"),
        ("deadline: 14400", "deadline: 10", "34:15: policies.slices: The stages wait"),
        ("at_deadline: revert", "at_deadline: pause", 'at_deadline "pause" is not one of what it can be.'),
        ("  slow:", "  -slow:", '38:3: "-slow" can\'t name a policy'),
        ("until: 2026-11-30T08:00:00", "until: 2026-11-30T25:00:00", 'until "2026-11-30T25:00:00" is no moment.'),
        ("until: 2026-11-30T08:00:00", "until: 2026-11-26", "environments.production.freeze[0] ends before it begins."),
        ("until: 2026-11-30T08:00:00", "to: 2026-11-30", "freeze[0]"),
        ("until: 2026-11-30T08:00:00", "until: [1]", "is no moment"),
        ("until: 2026-11-30T08:00:00", "until: 5", "is no moment"),
    ],
)
def test_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in told(tmp_path, (old, new))


def test_the_schema_says_what_a_policy_is() -> None:
    properties: Any = schema()["properties"]
    policy = properties["policies"]["additionalProperties"]
    assert properties["policies"]["propertyNames"]
    assert policy["not"] == {"required": ["stages", "growth"]}
    number, stage = policy["properties"]["stages"]["items"]["oneOf"]
    assert (number["maximum"], stage["required"]) == (100, ["share"])
    assert policy["properties"]["guards"]["additionalProperties"]["type"] == ["object", "null"]
    assert "errors" in policy["properties"]["guards"]["additionalProperties"]["properties"]["question"]["enum"]
    window = properties["environments"]["additionalProperties"]["properties"]["freeze"]["items"]
    assert (window["required"], window["properties"]["until"]["type"]) == (["from", "until"], "string")
    assert properties["endpoints"]["additionalProperties"]["properties"]["policy"]["default"] == "careful"
    json.dumps(schema())


LEAVES = st.none() | st.booleans() | st.integers(-1, 200) | st.floats(allow_nan=False) | st.sampled_from(["de", "10", "errors", "=", ""])
ANYTHING = st.recursive(
    LEAVES,
    lambda of: (
        st.lists(of, max_size=3)
        | st.dictionaries(st.sampled_from(["share", "wait", "kind", "factor", "probe", "limit", "errors", "from"]), of, max_size=3)
    ),
)
KEYS = ["stages", "growth", "guards", "shadow", "order", "wait", "evidence", "bake", "preset", "deadline", "on_fail"]


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4), ANYTHING)
def test_whatever_stands_there_is_a_policy_that_works_or_one_clear_line(policy: dict[str, Any], freeze: Any) -> None:
    said = {
        "workspace": "w",
        "environments": {"staging": {"serving": "local", "freeze": freeze}},
        "policies": {"mine": policy},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlconsole.yaml"
        file.write_text(json.dumps(said))
        try:
            made: Policy | None = load(file).policies["mine"]
        except InvalidFile as error:
            made, told_why = None, error
    if made is None:
        assert told_why.message.isprintable()
        assert told_why.next
    else:
        assert not [one for one in lint(made) if one.stops]
