"""What is decided of a rollout: only an explicit pass promotes, a fail goes back, everything else holds and says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rolling import NOW, passes, rollout
from mlconsole.core.deciding import decide
from mlconsole.core.health import Question
from mlconsole.core.policies import CAREFUL, DEFAULT_GUARDS, AtDeadline, GuardKind, GuardRule, OnFail, ShadowStage, Stage
from mlconsole.core.rollouts import CONTROLS, LEGAL_EXITS, Control, Decision, GuardResult, Rollout, RolloutState
from mlconsole.core.steering import advanced, slice_returned
from mlconsole.core.traffic import WHOLE
from mlconsole.core.verdicts import Verdict

LATER = NOW + timedelta(seconds=600)
STATES = list(RolloutState)


def with_result(*results: GuardResult, keep: bool = True) -> list[GuardResult]:
    """All guards pass but these."""
    named = {one.guard for one in results}
    return [*(one for one in passes() if keep and one.guard not in named), *results]


def decided(*results: GuardResult, at: Any = LATER, settled: bool = True, **changes: Any) -> Decision:
    given = {name: changes.pop(name) for name in ("waited", "seen", "silent", "usual", "failed", "frozen") if name in changes}
    return decide(rollout(**changes), with_result(*results), at, settled=settled, **given)


def test_all_pass_and_it_goes_one_stage_further() -> None:
    assert decided() == Decision(RolloutState.SHIFTING, "all guards passed", stage=2)
    assert decided(stage=3) == Decision(RolloutState.BAKING, "all guards passed", stage=4)
    baked = decided(state=RolloutState.BAKING, stage=4, at=NOW + timedelta(hours=1))
    assert baked == Decision(RolloutState.DONE, "all guards passed")
    assert decided(policy=replace(CAREFUL, bake=0), stage=3).to is RolloutState.DONE
    slices = [GuardResult("errors", Verdict.PASS, f"language={value}", n=200) for value in ("pl", "de")]
    assert decide(rollout(), passes() + slices, LATER, settled=True).why == "all guards passed in de and pl"


def test_after_days_without_a_driver_it_still_goes_one_stage_at_a_time() -> None:
    assert decided(stage=0, at=NOW + timedelta(days=9)).stage == 1


def test_a_fail_goes_back_with_what_was_found() -> None:
    failed = GuardResult("errors", Verdict.FAIL, "language=de", 1.0, 0.002, 0.01, 9, text="100 % (9 of 9), v6 0.2 %, limit +1 pt")
    decision = decided(failed)
    assert decision == Decision(RolloutState.GOING_BACK, "errors in de: 100 % (9 of 9), v6 0.2 %, limit +1 pt.")
    worse = replace(failed, guard="latency", text="", slice="")
    assert decided(worse, failed).why.endswith(", and 1 more.")
    assert decided(worse).why == "latency failed: 100 % on v7, 0.2 % on v6, n 9."
    for state in (RolloutState.SHIFTING, RolloutState.BAKING, RolloutState.PAUSED):
        assert decided(failed, state=state, settled=False).to is RolloutState.GOING_BACK
    assert decided(replace(failed, text="\x1b[31m")).why == r"errors in de: \x1b[31m."


def test_a_dry_run_and_what_is_not_judged_decide_nothing() -> None:
    for harmless in (GuardResult("errors", Verdict.FAIL, dry_run=True), GuardResult("errors", Verdict.FAIL, judged=False)):
        assert decided(harmless, seen=1000).to is RolloutState.SHIFTING
    policy = replace(CAREFUL, dry_run=True)
    dry = [replace(one, dry_run=True) for one in with_result(GuardResult("errors", Verdict.FAIL, text="9 %", dry_run=True))]
    held = decide(rollout(policy), dry, LATER, settled=True)
    assert (held.to, held.why) == (None, "Holding at 10 %: a dry run, which would go back: errors: 9 %.")
    assert decide(rollout(policy), [replace(one, dry_run=True) for one in passes()], LATER, settled=True).stage == 2
    informs = replace(policy, guards=(*CAREFUL.guards, GuardRule("drift", GuardKind.QUESTION, Question.SCORE_DRIFT)))
    drifted = [replace(one, dry_run=True) for one in (*passes(), GuardResult("drift", Verdict.FAIL))]
    assert decide(rollout(informs), drifted, LATER, settled=True).stage == 2


def test_too_few_requests_hold_and_say_how_long() -> None:
    ready = [GuardResult("errors", Verdict.PASS, f"language={value}", n=400) for value in ("pl", "en", "fr")]
    few = GuardResult("errors", Verdict.INCONCLUSIVE, "language=de", n=41, need=109, seconds=4140)
    fewer = GuardResult("identical", Verdict.INCONCLUSIVE, "language=de", n=41, need=20, seconds=700)
    decision = decided(few, fewer, *ready, GuardResult("errors", Verdict.PASS, n=1204))
    assert decision.to is None
    assert decision.why == (
        'Holding at 10 %: de has 41 of the 150 requests that "errors" needs, about 1 h 09 at this traffic. en fr pl are ready.'
    )
    assert decision.waits_for == ("de: 109 requests, about 1 h 09",)


def test_no_request_at_all_is_a_finding_and_no_pass() -> None:
    none = [GuardResult(rule.name, Verdict.NO_DATA, n=0, need=150) for rule in DEFAULT_GUARDS]
    decision = decide(rollout(stage=0), none, LATER, settled=True, waited=720, silent=720, usual=92)
    assert decision.why == (
        "Holding at 1 %: relevance has had no request for 12 min (usual 92). That is a finding, not a pass: ask the callers."
    )
    assert decision.waits_for[0] == "requests: none for 12 min"
    decision = decide(rollout(stage=0), none, LATER, settled=True, waited=720)
    assert decision.why == "Holding at 1 %: v7 has had no request for 12 min. That is a finding, not a pass: ask the callers."
    soon = decide(rollout(stage=0), none, LATER, settled=True, waited=8)
    assert soon.why == 'Holding at 1 %: v7 has had no request yet, which "errors" needs.'


@pytest.mark.parametrize(
    ("result", "why", "line"),
    [
        (
            GuardResult("alarms", Verdict.ERROR, text="connection refused"),
            '"alarms" could not be asked: connection refused',
            '"alarms": could not be asked',
        ),
        (GuardResult("alarms", Verdict.NO_DATA, text="not asked since"), '"alarms" has no data: not asked since', '"alarms": no data'),
        (
            GuardResult("errors", Verdict.INCONCLUSIVE, "language=de", 0.013, 0.002, n=400),
            '"errors" in de is too near to its limit to tell: 1.3 % on v7, 0.2 % on v6, n 400',
            '"errors" in de: cannot be told yet',
        ),
        (
            GuardResult("split as desired", Verdict.INCONCLUSIVE, n=400, text="7 % observed, 10 % desired: not by chance, so it holds"),
            '"split as desired": 7 % observed, 10 % desired: not by chance, so it holds',
            '"split as desired": cannot be told yet',
        ),
        (
            GuardResult("answers in every slice", Verdict.INCONCLUSIVE, n=400, need=3, seconds=90, text="3 of 4, none yet in de"),
            '"answers in every slice": 3 of 4, none yet in de',
            "all: 3 requests, about 90 s",
        ),
    ],
)
def test_everything_else_holds_too(result: GuardResult, why: str, line: str) -> None:
    decision = decided(result, seen=1000)
    assert (decision.to, decision.why, decision.waits_for) == (None, f"Holding at 10 %: {why}.", (line,))


def test_a_guard_that_says_nothing_holds() -> None:
    silent = [one for one in passes() if one.guard != "alarms"]
    held = decide(rollout(), silent, LATER, settled=True)
    assert (held.to, held.why) == (None, 'Holding at 10 %: "alarms" has not answered yet.')
    assert decide(rollout(replace(CAREFUL, guards=())), [], LATER, settled=True, seen=999).waits_for == ("a guard that says pass",)
    unjudged = [replace(one, judged=False) for one in passes()]
    assert decide(rollout(), unjudged, LATER, settled=True, seen=999).why == "Holding at 10 %: no guard has said pass."


def test_the_wait_and_the_evidence_of_the_stage() -> None:
    early = decided(at=NOW + timedelta(seconds=240))
    assert (early.to, early.why, early.waits_for) == (None, "Holding at 10 %: 4 min of 10 min are over.", ("6 min more",))
    assert decided(at=NOW - timedelta(days=1)).to is None
    assert decided(at=NOW + timedelta(days=1), waited=599.0).to is None  # a wall clock that jumped
    few = decided(seen=50)
    assert few.why == "Holding at 10 %: v7 has 50 of the 150 requests that this stage needs, about 20 min at this traffic."
    assert few.waits_for == ("all: 100 requests, about 20 min",)
    assert decided(stage_began=None).to is None
    shadow = replace(CAREFUL, shadow=ShadowStage(WHOLE, 60, 300))
    assert decided(policy=shadow, stage=0, seen=299).waits_for == ("all: 1 pair, about 2 s",)
    # What the splitter saw are requests of both variants, and what other slices saw is not this one's.
    split = [replace(one, n=10 if one.guard == "errors" else 0 if one.guard != "split as desired" else 9999) for one in passes()]
    assert decide(rollout(), split, LATER, settled=True).to is None
    assert decide(rollout(replace(CAREFUL, order=("de",))), passes(), LATER, settled=True).waits_for == ("de: 150 requests",)


def test_a_change_has_to_stand_first() -> None:
    assert decided(state=RolloutState.SHIFTING, settled=False) == Decision(None, "The change to 10 % is under way.")
    assert decided(state=RolloutState.SHIFTING).to is RolloutState.WAITING
    assert decided(state=RolloutState.SHIFTING, stage=4).to is RolloutState.BAKING
    assert decided(state=RolloutState.SHIFTING, failed="timed out") == Decision(RolloutState.FAILED, "timed out")
    assert decided(settled=False).waits_for == ("the change to be read back",)
    back = decided(state=RolloutState.GOING_BACK, settled=False, why="errors in de")
    assert back == Decision(None, "errors in de")
    assert decided(state=RolloutState.GOING_BACK, why="errors in de") == Decision(RolloutState.REVERTED, "errors in de")


def test_the_deadline_holds_or_reverts_until_it_bakes() -> None:
    policy = replace(CAREFUL, deadline=600.0)
    held = decided(policy=policy)
    assert (held.to, held.waits_for) == (None, ("a person: the deadline is over",))
    assert "relevance's rollout was to be through by" in held.why
    reverting = replace(policy, at_deadline=AtDeadline.REVERT)
    assert decided(policy=reverting).to is RolloutState.GOING_BACK
    assert decided(policy=reverting, state=RolloutState.PAUSED).to is RolloutState.GOING_BACK
    assert decided(policy=reverting, at=LATER - timedelta(seconds=1), waited=600).to is RolloutState.SHIFTING
    assert decided(policy=reverting, state=RolloutState.BAKING, stage=4, waited=3600).to is RolloutState.DONE


def test_a_freeze_holds_what_goes_forward_and_nothing_else() -> None:
    frozen = 'Frozen until Mon 08:00 ("Black Friday", by tomek)'
    held = decided(frozen=frozen)
    assert (held.to, held.why) == (None, f"Holding at 10 %: {frozen}.")
    assert held.waits_for == ("the end of the freeze",)
    assert decided(frozen=frozen, stage=3).to is RolloutState.BAKING
    assert decided(frozen=frozen, stage=4, state=RolloutState.BAKING, waited=3600).to is RolloutState.DONE
    assert decided(GuardResult("errors", Verdict.FAIL), frozen=frozen).to is RolloutState.GOING_BACK


def test_only_the_slice_goes_back_where_the_policy_wants_that() -> None:
    policy = replace(CAREFUL, stages=(Stage(1000, 60, 0), Stage(WHOLE, 60, 0)), order=("de", "en"), on_fail=OnFail.SLICE)
    german = GuardResult("errors", Verdict.FAIL, "language=de", text="9 of 9")
    english, everybody = replace(german, slice="language=en"), replace(german, slice="")
    at_en = rollout(policy, stage=2)
    decision = decide(at_en, with_result(german, everybody), LATER, settled=True)
    assert decision == Decision(RolloutState.SHIFTING, "errors in de: 9 of 9.", stage=2, slice="language=de")
    without = slice_returned(at_en, "language=de")
    assert without is not None
    assert [f"{stage.name}: {stage.content}" for stage in without.stages[2:]] == [
        "en 10 %: v6 100 · v7 0 · de: v6 100 · en: v6 90 · v7 10",
        "en 100 %: v6 100 · v7 0 · de: v6 100 · en: v7 100",
        "rest 10 %: v6 90 · v7 10 · de: v6 100 · en: v7 100",
        "rest 100 %: v6 0 · v7 100 · de: v6 100",
        "bake 60 min: v6 0 · v7 100 · de: v6 100",
    ]
    moved = advanced(without, RolloutState.SHIFTING, LATER, stage=2)
    assert (moved.attempt, moved.stage_began) == (2, None)
    own = slice_returned(at_en, "language=en")
    assert own is not None
    assert [stage.name for stage in own.stages[2:]] == ["en back", "rest 10 %", "rest 100 %", "bake 60 min"]
    # Nobody else has it yet: the next slice begins.
    first = slice_returned(rollout(policy, stage=0), "language=de")
    assert first is not None
    assert [stage.name for stage in first.stages] == ["en 10 %", "en 100 %", "rest 10 %", "rest 100 %", "bake 60 min"]
    assert slice_returned(without, "language=de") is None
    assert decide(at_en, with_result(english), LATER, settled=True).slice == "language=en"
    for whole, changes in (
        (everybody, {}),
        (replace(german, slice="language=pl"), {}),
        (german, {"state": RolloutState.PAUSED}),
        (german, {"state": RolloutState.BAKING, "stage": 6}),
        (german, {"policy": replace(policy, on_fail=OnFail.ALL)}),
        (english, {"stage": 1}),
    ):
        assert decide(replace(at_en, **changes), with_result(whole), LATER, settled=True).to is RolloutState.GOING_BACK


RESULT = st.builds(
    GuardResult,
    st.sampled_from([rule.name for rule in DEFAULT_GUARDS] + ["redis"]),
    st.sampled_from(Verdict),
    st.sampled_from(["", "language=de", "language=en", "other"]),
    n=st.integers(0, 500),
    need=st.sampled_from([0, 0, 10, 100]),
    seconds=st.sampled_from([None, 5.0, 4000.0]),
    dry_run=st.booleans(),
    judged=st.booleans(),
)
RESULTS = st.lists(RESULT, max_size=12) | st.lists(RESULT, max_size=2).map(lambda more: passes() + more)


def in_state(order: tuple[str, ...], state: RolloutState, stage: int, policy: dict[str, Any]) -> Rollout:
    """It bakes in the bake, and waits in any other stage."""
    made = rollout(replace(CAREFUL, **{"order": order, **policy}), state=state, why="because")
    last = len(made.stages) - 1
    return replace(made, stage=last if state is RolloutState.BAKING else min(stage, last - (state is RolloutState.WAITING)))


ROLLOUTS = st.builds(
    in_state,
    st.sampled_from([(), ("de",), ("de", "en")]),
    st.sampled_from(STATES),
    st.integers(0, 8),
    st.sampled_from(
        [{}, {"on_fail": OnFail.SLICE}, {"deadline": 300.0}, {"deadline": 300.0, "at_deadline": AtDeadline.REVERT}, {"dry_run": True}]
    ),
)


@given(ROLLOUTS, RESULTS, st.booleans(), st.integers(-100, 10**6), st.randoms())
def test_nothing_promotes_but_passes_and_the_order_decides_nothing(
    made: Rollout, results: list[GuardResult], settled: bool, seconds: int, random: Any
) -> None:
    at = NOW + timedelta(seconds=seconds)
    decision = decide(made, results, at, settled=settled)
    shuffled = list(results)
    random.shuffle(shuffled)
    assert decide(made, shuffled, at, settled=settled) == decision
    if made.state.terminal:
        assert decision.to is None
        return
    if decision.to is not None:
        assert decision.to in LEGAL_EXITS[made.state]
        advanced(made if not decision.slice else slice_returned(made, decision.slice) or made, decision.to, at, stage=decision.stage)
    if decision.stage is not None:
        assert decision.stage == made.stage + 1 or decision.slice
    forward = decision.to in (RolloutState.DONE, RolloutState.SHIFTING) or (
        decision.to is RolloutState.BAKING and made.state is not RolloutState.SHIFTING
    )
    if forward and not decision.slice:
        assert settled
        assert made.state in (RolloutState.WAITING, RolloutState.BAKING)
        assert seconds >= made.present.wait
        judged = [one for one in results if one.judged and (made.policy.dry_run or not one.dry_run)]
        assert judged
        assert all(one.verdict is Verdict.PASS for one in judged)
        assert {rule.name for rule in DEFAULT_GUARDS} <= {one.guard for one in results}
        assert made.deadline is None or made.present.bake or at < made.deadline
    if any(one.verdict is Verdict.FAIL and one.judged and not one.dry_run for one in results) and not made.policy.dry_run:
        assert decision.to in (RolloutState.GOING_BACK, RolloutState.REVERTED) or decision.slice or made.state is RolloutState.GOING_BACK


def test_what_the_states_promise() -> None:
    """Terminal is terminal, and until then there is a way back: by a guard, and by a person unless it is under way."""
    for state in STATES:
        assert (LEGAL_EXITS[state] == ()) == state.terminal
        assert not state.terminal or CONTROLS[state] == ()
        if not state.terminal and state is not RolloutState.GOING_BACK:
            assert RolloutState.GOING_BACK in LEGAL_EXITS[state]
            assert Control.REVERT in CONTROLS[state]
