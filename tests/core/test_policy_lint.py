"""Policies that can't work are refused before anybody relies on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlconsole.core import guards
from mlconsole.core.health import Question
from mlconsole.core.policies import BLUE_GREEN, CAREFUL, AtDeadline, GuardKind, GuardRule, OnFail, Policy, ShadowStage, Stage
from mlconsole.core.policy_lint import ANSWERABLE, INFORMING, lint
from mlconsole.core.traffic import WHOLE

ALARMS = CAREFUL.guards[-1]


def guarded(*rules: GuardRule) -> Policy:
    return replace(CAREFUL, guards=(*rules, ALARMS))


def question(asked: Question, **figures: Any) -> GuardRule:
    return GuardRule("mine", GuardKind.QUESTION, asked, **figures)


def test_the_presets_work() -> None:
    assert lint(CAREFUL) == lint(BLUE_GREEN) == ()


def test_lint_knows_what_guards_ask() -> None:
    assert guards.REVERTING | {Question.SPLIT} == ANSWERABLE
    assert INFORMING == guards.INFORMING


@pytest.mark.parametrize(
    ("rule", "words", "field"),
    [
        (question(Question.ERRORS, limit=5.0), "limit 5: a share goes from 0 to 1 and is never more, so that it can't fire", "limit"),
        (question(Question.ERRORS, limit=1.0), "so that it can't fire", "limit"),
        (question(Question.IDENTICAL, limit=1.0), "so that it can't fire", "limit"),
        (question(Question.ERRORS, margin=1.0), "margin 1: a share", "margin"),
        (question(Question.ERRORS, margin=0.01, slice_margin=10.0), "slice_margin 10: a share", "slice_margin"),
        (
            question(Question.ERRORS, margin=0.01, slice_margin=0.1, by_slice=False),
            "by_slice is false: it would be ignored",
            "slice_margin",
        ),
        (question(Question.LATENCY, limit=300.0), "slower than the stable variant's p95, from 0 to 1, and no time: it can't fire", "limit"),
        (question(Question.ERRORS, limit=-0.1), "it would always fail", "limit"),
        (question(Question.SILENT, limit=1.0), "answered yes or no: it would be ignored", "limit"),
        (replace(ALARMS, name="mine", margin=0.1), "answered yes or no", "margin"),
        (question(Question.WATCHER), 'asks "watcher", which nobody answers', "question"),
        (GuardRule("mine", GuardKind.QUESTION), "asks nothing, which nobody answers", "question"),
        (GuardRule("mine", GuardKind.PROBE, subject="redis-embedings"), 'asks the probe "redis-embedings", and there is none', "probe"),
        (GuardRule("mine", GuardKind.GOLDEN, subject="relevance"), "model with golden queries", "golden"),
        (GuardRule("mine", GuardKind.ACTION, subject="smoke"), 'asks the action "smoke"', "action"),
    ],
)
def test_guards_that_can_never_fire(rule: GuardRule, words: str, field: str) -> None:
    (finding,) = lint(guarded(rule), probes=["redis-embeddings"], golden=["delay-risk"])
    assert words in finding.text
    assert (finding.guard, finding.field, finding.stops) == ("mine", field, True)
    assert finding.next


def test_what_was_meant_is_said() -> None:
    assert lint(guarded(question(Question.ERRORS, limit=5.0)))[0].next == "5 % is 0.05."
    assert "latency_ms" in lint(guarded(question(Question.LATENCY, limit=0.3 * 1000)))[0].next
    assert lint(guarded(GuardRule("mine", GuardKind.PROBE, subject="redis")), probes=["redis-embeddings"])[0].next == (
        "Did you mean redis-embeddings?"
    )


def test_what_only_informs_is_told_and_guards_nothing() -> None:
    (finding,) = lint(guarded(question(Question.OVER_THRESHOLD)))
    assert not finding.stops
    assert lint(guarded(question(Question.OVER_THRESHOLD, dry_run=True))) == ()
    (nothing,) = lint(replace(CAREFUL, guards=(question(Question.OVER_THRESHOLD, dry_run=True),)))
    assert "can fire" in nothing.text


def test_without_predictions_questions_are_asked_of_nobody() -> None:
    found = lint(CAREFUL, predictions=False)
    assert [one.guard for one in found] == ["errors", "identical", "latency", "answers in every slice", "split as desired", ""]
    assert found[0].text == 'The guard "errors" asks "errors" of predictions, and no role reads predictions back here: it can\'t fire.'
    assert found[-1].text.startswith(
        "No guard of the policy careful can fire: each of them is a dry run, or asks what nobody answers here."
    )
    assert found[-1].field == "guards"
    with_probe = replace(CAREFUL, guards=(GuardRule("redis", GuardKind.PROBE, subject="redis"), ALARMS))
    assert lint(with_probe, predictions=False, probes=["redis"]) == ()
    assert "there is none" in lint(replace(CAREFUL, guards=()))[-1].text
    assert lint(replace(CAREFUL, guards=tuple(replace(rule, dry_run=True) for rule in CAREFUL.guards)))[-1].field == "guards"
    assert [one.guard for one in lint(CAREFUL, questions=[Question.ERRORS, Question.IDENTICAL, Question.LATENCY, Question.SPLIT])] == [
        "answers in every slice"
    ]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"stages": ()}, "stages", "no stages"),
        ({"stages": (Stage(1000, 1, 1),)}, "stages", "end at 10 %"),
        ({"stages": (Stage(1000, 1, 1), Stage(1000, 1, 1), Stage(WHOLE, 1, 1))}, "stages", "10 → 10 → 100 % do not rise"),
        ({"stages": (Stage(0, 1, 1), Stage(WHOLE, 1, 1))}, "stages", "do not rise"),
        ({"stages": (Stage(WHOLE, 1, 1), Stage(WHOLE + 100, 1, 1))}, "stages", "do not rise"),
        ({"stages": (Stage(1000, 0, 0), Stage(WHOLE, 1, 0))}, "stages", "The stage 10 % waits 0 s for 0 requests"),
        ({"shadow": ShadowStage(0, 1, 1)}, "shadow", "copies 0 %"),
        ({"shadow": ShadowStage(1, 0, 0)}, "shadow", "0 s for 0 pairs"),
        ({"deadline": 2400.0}, "deadline", "wait 40 min in all, and the deadline is 40 min: it would hold every time"),
        ({"deadline": 4800.0, "order": ("de",), "at_deadline": AtDeadline.REVERT}, "deadline", "go back every time"),
        ({"bake": 0.0, "stop_old": True}, "bake", "no bake"),
        ({"on_fail": OnFail.SLICE}, "on_fail", "order"),
    ],
)
def test_schedules_that_lead_nowhere(changes: dict[str, Any], field: str, words: str) -> None:
    (finding,) = lint(replace(CAREFUL, **changes))
    assert (finding.field, finding.guard, finding.stops) == (field, "", True)
    assert words in finding.text


def test_no_bake_is_told_and_allowed() -> None:
    (finding,) = lint(replace(CAREFUL, bake=0.0))
    assert (finding.field, finding.stops) == ("bake", False)
