"""Guards: the stories a rollout has to survive, and what each of them says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.drawn import ENDPOINT, NOW, Kind
from tests.core.staging import DE, Stage, evidence, rollout, summary, the, windows

from mlconsole.core.guards import action_result, alarm_result, golden_result, probe_result, results
from mlconsole.core.health import OTHER, Baseline, Question
from mlconsole.core.live import Difference
from mlconsole.core.policies import CAREFUL, GuardKind, GuardRule
from mlconsole.core.rollouts import GuardResult
from mlconsole.core.summaries import APPLICATION, Key, Summary
from mlconsole.core.verdicts import Verdict

ERRORS = GuardRule("errors", GuardKind.QUESTION, Question.ERRORS, margin=0.01, slice_margin=0.10)
SILENT, SPLIT = "answers in every slice", "split as desired"


def of_v4(kind: Kind | None, name: str = ""):  # type: ignore[no-untyped-def]
    """v4 is like that, in that slice."""
    return lambda variant, part, at: kind if variant == "v4" and part.endswith(name) else Kind()


def ask(new: dict[str, Summary], stable: dict[str, Summary], *, share: float = 0.1, seconds: float = 600.0, stage: int = 1000, **changes):  # type: ignore[no-untyped-def]
    """What the guards say of such a stage, with nothing before it."""
    return results(rollout(stage), evidence(windows(new, stable), share, **changes), NOW + seconds)


# The stories.


def test_a_language_of_two_percent_that_fails_wholly_is_found_with_fifteen_requests() -> None:
    seconds, found = Stage(of_v4(Kind(errors=1.0), DE)).fails_after("errors", 400)
    assert (found.slice, found.n, found.new, found.judged) == (DE, 15, 1.0, True), found
    assert seconds < 300


def test_a_collapsed_version_is_found_within_seconds() -> None:
    seconds, found = Stage(of_v4(Kind(collapsed=True))).fails_after("identical", 60)
    assert seconds <= 6
    assert found.n >= 15
    assert found.new == 1.0


def test_a_collapse_in_the_middle_of_a_stage_is_not_hidden_by_what_was_before_it() -> None:
    stage = Stage(lambda variant, name, at: Kind(collapsed=variant == "v4" and at > NOW + 300))
    assert not [one for one in stage.until(NOW + 300) if one.verdict is Verdict.FAIL]
    assert any(one.guard == "identical" and one.verdict is Verdict.FAIL for one in stage.until(NOW + 312))


def test_a_slow_version_is_found_within_seconds() -> None:
    seconds, found = Stage(of_v4(Kind(milliseconds=60.0))).fails_after("latency", 60)
    assert seconds <= 10
    assert found.new is not None
    assert found.new > 0.9


def test_a_language_that_gets_no_answer_is_found_when_twenty_were_to_be_expected() -> None:
    seconds, found = Stage(of_v4(None, DE)).fails_after(SILENT, 600)
    assert found.slice == DE, found
    assert 150 < seconds < 300


def test_a_version_that_is_as_good_passes_and_de_holds_for_its_evidence_with_the_time_it_takes() -> None:
    stage = Stage(of_v4(Kind()))
    found = stage.until(NOW + 600)
    held = [one for one in found if one.judged and one.verdict is not Verdict.PASS]
    assert [(one.guard, one.slice) for one in held] == [("errors", DE)]
    assert held[0].n + held[0].need == 150
    assert held[0].seconds == pytest.approx(held[0].need / 0.1, rel=0.2)
    assert "more, about" in held[0].text
    assert all(one.verdict is Verdict.PASS for one in stage.until(NOW + 1900) if one.judged)


def test_errors_that_began_before_the_stage_count_for_nothing_nor_does_a_window_that_straddles_its_begin() -> None:
    old = windows({DE: summary(500, 500)}, {DE: summary(5000)}, at=NOW - 10)
    assert all(one.verdict is not Verdict.FAIL for one in results(rollout(), evidence(old), NOW + 5))
    assert any(one.verdict is Verdict.FAIL for one in results(rollout(), evidence(old, stage_began=NOW - 10), NOW + 5))


# What each guard says.


def test_nothing_is_said_below_fifteen_requests_and_nothing_passes_below_the_evidence() -> None:
    found = ask({DE: summary(14, 14)}, {DE: summary(126)})
    assert the(found, "errors", DE).verdict is Verdict.INCONCLUSIVE
    found = ask({DE: summary(149)}, {DE: summary(1350)})
    one = the(found, "errors", DE)
    assert (one.verdict, one.need) == (Verdict.INCONCLUSIVE, 1)
    assert the(ask({DE: summary(150)}, {DE: summary(1350)}), "errors", DE).verdict is Verdict.PASS


def test_no_failures_at_all_are_no_proof_of_one_percent() -> None:
    # The plain standard error of 0 of 250 is 0; by the raw formula this would pass.
    found = results(rollout(evidence=200), evidence(windows({"": summary(250)}, {"": summary(2250)})), NOW + 60)
    one = the(found, "errors")
    assert one.verdict is Verdict.INCONCLUSIVE
    assert one.limit == 0.01
    assert 0 < one.need < 1000


def test_only_failures_in_both_arms_fail_nobody() -> None:
    found = ask({"": summary(300, 300)}, {"": summary(2700, 2700)})
    assert the(found, "errors").verdict is not Verdict.FAIL


def test_a_stage_that_asks_for_few_says_with_which_margin_they_are_content() -> None:
    found = results(rollout(evidence=60), evidence(windows({"": summary(60)}, {"": summary(540)})), NOW + 60)
    one = the(found, "errors")
    assert one.verdict is Verdict.PASS
    assert one.limit is not None
    assert 0.05 < one.limit < 0.15
    assert "as near to +1 pt as so few can prove" in one.text
    more = the(results(rollout(evidence=60), evidence(windows({"": summary(3000, 6)}, {"": summary(27_000, 54)})), NOW + 60), "errors")
    assert (more.verdict, more.limit) == (Verdict.PASS, 0.01), "with more requests the margin is the one that was set"


def test_an_absolute_limit_needs_no_stable_variant() -> None:
    rule = replace(ERRORS, margin=None, slice_margin=None, limit=0.05)
    policy = replace(CAREFUL, guards=(rule,))
    for failed, verdict in ((60, Verdict.FAIL), (10, Verdict.INCONCLUSIVE), (0, Verdict.PASS)):
        found = results(rollout(policy=policy), evidence(windows({"": summary(300, failed)}, {})), NOW + 60)
        assert the(found, "errors").verdict is verdict, failed


def test_throttled_requests_are_no_errors() -> None:
    busy = summary(300)
    busy.throttled = 200
    assert the(ask({"": busy}, {"": summary(2700)}), "errors").n == 100


def test_latency_is_the_share_slower_than_the_stable_p95_and_a_few_milliseconds_are_nothing() -> None:
    slow = ask({"": summary(1000, slow=300)}, {"": summary(9000, slow=100)})
    assert the(slow, "latency").verdict is Verdict.FAIL
    stage = Stage(of_v4(Kind(milliseconds=13.5)))
    assert the(stage.until(NOW + 400), "latency").verdict is Verdict.PASS


def test_a_slice_too_small_for_its_evidence_is_pooled_and_listed_as_not_judged_but_may_fail() -> None:
    new = {"language=en": summary(5000), "language=fi": summary(1), "language=mt": summary(0)}
    stable = {"language=en": summary(45_000), "language=fi": summary(9), "language=mt": summary(6)}
    found = ask(new, stable, seconds=86_400.0)
    one = the(found, "errors", OTHER)
    assert (one.judged, one.pooled) == (False, ("language=fi", "language=mt"))
    assert "not judged" in one.text
    assert not [two for two in found if two.slice in ("language=fi", "language=mt")]
    worse = ask({**new, "language=fi": summary(20, 20)}, {**stable, "language=fi": summary(90)}, seconds=86_400.0)
    assert [(two.slice, two.judged) for two in worse if two.verdict is Verdict.FAIL and two.guard == "errors"] == [(OTHER, True)]


def test_a_deadline_makes_the_time_short_that_a_slice_has_and_its_coming_near_does_not() -> None:
    soon = replace(CAREFUL, deadline=1800.0)
    held = evidence(windows({DE: summary(6)}, {DE: summary(54)}))
    assert the(results(rollout(policy=soon), held, NOW + 60), "errors", DE).judged, "0.1 a second make 180 in half an hour"
    assert the(results(rollout(policy=soon, evidence=200), held, NOW + 60), "errors", OTHER).judged is False
    late = evidence(windows({DE: summary(140)}, {DE: summary(1260)}))
    assert the(results(rollout(policy=soon), late, NOW + 1_390), "errors", DE).judged


def test_the_same_input_again_is_unknown_and_a_usual_that_is_equal_is_not_judged() -> None:
    again = summary(300)
    again.sample = {1: 1}
    one = the(ask({"": again}, {"": summary(2700)}), "identical")
    assert one.verdict is Verdict.INCONCLUSIVE
    assert "unknown" in one.text
    assert one.need
    flat = {"": summary(300, outputs=1)}
    one = the(ask(flat, {"": summary(2700, outputs=1)}, baselines={"v4": Baseline(n=500, distinct_outputs=0.002)}), "identical")
    assert (one.verdict, one.judged) == (Verdict.INCONCLUSIVE, False)
    untold = summary(300)
    untold.sample = {}
    assert the(ask({"": untold}, {"": summary(2700)}), "identical").verdict is Verdict.NO_DATA


def test_without_any_profile_the_stable_variant_says_what_is_usual() -> None:
    one = the(ask({"": summary(300, outputs=1)}, {"": summary(2700)}, baselines={}), "identical")
    assert one.verdict is Verdict.FAIL
    assert one.stable == pytest.approx(1 / 48)


def test_a_wrong_split_holds_and_never_reverts() -> None:
    one = the(ask({"": summary(600)}, {"": summary(2400)}), SPLIT)
    assert one.verdict is Verdict.INCONCLUSIVE
    assert "not by chance" in one.text
    assert the(ask({"": summary(300)}, {"": summary(2700)}), SPLIT).verdict is Verdict.PASS
    few = the(ask({"": summary(3)}, {"": summary(30)}), SPLIT)
    assert few.verdict is Verdict.INCONCLUSIVE
    assert few.need == 47, "8 in the smaller arm are 80 in all"


def test_where_a_slice_has_a_split_of_its_own_each_is_compared_with_its_own() -> None:
    new, stable = {"": summary(1000), DE: summary(1000)}, {"": summary(10_000), DE: summary(1000)}
    split = {"": {"v3": 1.0, "v4": 0.0}, DE: {"v3": 0.5, "v4": 0.5}}
    found = results(rollout(), evidence(windows(new, stable), split=split), NOW + 300)
    assert the(found, SPLIT, DE).verdict is Verdict.PASS
    wrong = windows({**new, DE: summary(300)}, stable)
    assert the(results(rollout(), evidence(wrong, split=split), NOW + 300), SPLIT, DE).verdict is Verdict.INCONCLUSIVE


def test_requests_to_a_variant_that_shall_get_none_hold_and_an_applications_own_log_is_no_such_request() -> None:
    def say(name: str, n: int) -> Verdict:
        seen = {**windows({"": summary(3000)}, {}), Key(ENDPOINT, name, False, ""): {int(NOW): summary(n)}}
        return the(results(rollout(10_000), evidence(seen, 1.0, split={"": {"v4": 1.0}}), NOW + 60), SPLIT).verdict

    assert say("v3", 300) is Verdict.INCONCLUSIVE
    assert say("v3", 1) is Verdict.PASS, "one asked for it by name"
    assert say(APPLICATION, 300) is Verdict.PASS


def test_in_a_stage_of_one_slice_that_slice_decides() -> None:
    now = rollout()
    stages = (*now.stages[:1], replace(now.stages[1], slice=DE), *now.stages[2:])
    split = {"": {"v3": 1.0}, DE: {"v3": 0.9, "v4": 0.1}}
    held = evidence(windows({DE: summary(20, 20)}, {DE: summary(180), "language=en": summary(9000)}), split=split)
    found = results(replace(now, stages=stages), held, NOW + 200)
    assert {one.slice for one in found if one.guard == "errors"} == {DE}
    assert the(found, "errors", DE).verdict is Verdict.FAIL


def test_at_all_of_the_traffic_the_hour_before_is_what_it_is_compared_with_more_mildly() -> None:
    before = {Key(ENDPOINT, "v3", False, ""): {int(NOW) - 600: summary(20_000, 40, slow=600)}}

    def say(new: Summary) -> tuple[GuardResult, ...]:
        held = evidence({**before, Key(ENDPOINT, "v4", False, ""): {int(NOW): new}}, 1.0, split={"": {"v4": 1.0}})
        return results(rollout(10_000), held, NOW + 300)

    assert all(one.verdict is Verdict.PASS for one in say(summary(3000, 6, slow=100)))
    assert the(say(summary(3000, 300)), "errors").verdict is Verdict.FAIL
    assert the(say(summary(3000, 6, slow=1500)), "latency").verdict is Verdict.FAIL
    before.clear()
    assert the(say(summary(3000, 300)), "errors").verdict is Verdict.NO_DATA, "nothing to compare with is no pass"


def test_copies_count_only_where_the_rollout_says_so_and_for_errors_latency_and_identical_alone() -> None:
    shadow = {
        Key(ENDPOINT, "v4", True, DE): {int(NOW) - 4000: summary(471)},
        Key(ENDPOINT, "v3", False, DE): {int(NOW) - 4000: summary(471)},
    }
    live = windows({DE: summary(41)}, {DE: summary(369)})
    held = evidence(live, shadow=shadow)
    assert the(results(rollout(), held, NOW + 400), "errors", DE).verdict is Verdict.INCONCLUSIVE
    found = results(rollout(shadow_counts=True), held, NOW + 400)
    one = the(found, "errors", DE)
    assert (one.verdict, one.n) == (Verdict.PASS, 512)
    assert the(found, SPLIT).n == 410


def test_in_a_shadow_stage_the_copies_are_judged() -> None:
    now = rollout(100)
    stages = (replace(now.stages[0], share=0, shadow=True), *now.stages[1:])
    held = evidence(
        {Key(ENDPOINT, "v4", True, ""): {int(NOW): summary(400, 100)}, Key(ENDPOINT, "v3", False, ""): {int(NOW): summary(4000)}},
        split={"": {"v3": 1.0}},
    )
    found = results(replace(now, stages=stages), held, NOW + 100)
    assert the(found, "errors").verdict is Verdict.FAIL
    assert not the(found, SPLIT).judged
    assert not the(found, SILENT).judged


def test_a_dry_run_measures_and_the_informing_questions_are_one() -> None:
    over = GuardRule("over threshold", GuardKind.QUESTION, Question.OVER_THRESHOLD)
    drift = GuardRule("score drift", GuardKind.QUESTION, Question.SCORE_DRIFT)
    policy = replace(CAREFUL, guards=(replace(ERRORS, dry_run=True), over, drift))
    found = results(rollout(policy=policy), evidence(windows({"": summary(300, 150)}, {"": summary(2700)})), NOW + 60)
    assert all(one.dry_run for one in found)
    assert the(found, "errors").verdict is Verdict.FAIL
    assert {one.guard for one in found} == {"errors", "over threshold", "score drift"}
    whole = results(rollout(policy=replace(CAREFUL, dry_run=True)), evidence(windows({"": summary(300)}, {"": summary(2700)})), NOW + 60)
    assert all(one.dry_run for one in whole)


def test_a_question_that_is_not_of_one_variant_is_listed_and_not_judged() -> None:
    rule = GuardRule("age of data", GuardKind.QUESTION, Question.CUTOFF)
    (one,) = results(rollout(policy=replace(CAREFUL, guards=(rule,))), evidence({}), NOW + 60)
    assert not one.judged
    assert one.verdict is Verdict.NO_DATA


def test_a_silent_slice_holds_without_a_stable_variant_beside_it() -> None:
    before = {
        Key(ENDPOINT, "v3", False, name): {int(NOW) - 600: summary(n)} for name, n in (("", 20_600), (DE, 600), ("language=en", 20_000))
    }
    new = {Key(ENDPOINT, "v4", False, name): {int(NOW): summary(9000)} for name in ("", "language=en")}
    found = results(rollout(10_000), evidence({**before, **new}, 1.0, split={"": {"v4": 1.0}}), NOW + 300)
    assert the(found, SILENT, DE).verdict is Verdict.INCONCLUSIVE


def test_the_deadline_is_counted_from_the_begin_of_the_rollout() -> None:
    late = rollout(policy=replace(CAREFUL, deadline=60.0))
    assert late.deadline == late.started + timedelta(seconds=60)
    # Even so a slice has the stage's own wait.
    assert the(results(late, evidence(windows({DE: summary(200)}, {DE: summary(1800)})), NOW + 60), "errors", DE).judged


# What the engine is told, and passes on.


def test_only_what_was_asked_and_was_well_passes() -> None:
    rule = GuardRule("g", GuardKind.PROBE, subject="redis", dry_run=True)
    assert [probe_result(rule, ok, "").verdict for ok in (True, False, None)] == [Verdict.PASS, Verdict.FAIL, Verdict.NO_DATA]
    assert probe_result(rule, True, "1 214 883 keys", 1_214_883, 1e6) == GuardResult(
        "g", Verdict.PASS, new=1_214_883, limit=1e6, text="1 214 883 keys", dry_run=True
    )
    assert [alarm_result(rule, one).verdict for one in ((), ("errors in de",), None)] == [Verdict.PASS, Verdict.FAIL, Verdict.NO_DATA]
    assert alarm_result(rule, (), 3).text == "3 of 3 OK"
    assert [golden_result(rule, *one).verdict for one in ((40, 40), (39, 40), (0, 0))] == [Verdict.PASS, Verdict.FAIL, Verdict.NO_DATA]
    wrong = golden_result(rule, 39, 40, Difference("score", "0.7", "0.2"), "q17")
    assert wrong.text == "39 of 40; q17: score is 0.2, expected 0.7"
    assert [action_result(rule, one, "").verdict for one in (Verdict.PASS, Verdict.FAIL, Verdict.ERROR, None)] == [
        Verdict.PASS, Verdict.FAIL, Verdict.ERROR, Verdict.NO_DATA,
    ]  # fmt: skip
