"""How rollouts move: what may follow what, and what a person may ask when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from core.rolling import ANNA, NOW, rollout
from mlconsole.core.errors import UsageError
from mlconsole.core.policies import CAREFUL, ShadowStage
from mlconsole.core.rollouts import CONTROLS, LEGAL_EXITS, Control, Rollout, RolloutState
from mlconsole.core.steering import advanced, controlled, measured_again
from mlconsole.core.traffic import WHOLE

LATER = NOW + timedelta(minutes=5)


SHADOWED = replace(CAREFUL, shadow=ShadowStage(WHOLE, 60, 100))


def asked(made: Rollout, control: Control, reason: str = "because") -> Rollout:
    return controlled(made, control, ANNA, reason, LATER)


@pytest.mark.parametrize(("state", "to"), list(product(RolloutState, RolloutState)))
def test_only_legal_states_follow(state: RolloutState, to: RolloutState) -> None:
    made = rollout(state=state)
    if to in LEGAL_EXITS[state]:
        moved = advanced(made, to, LATER, why="so")
        assert (moved.state, moved.why, moved.ended) == (to, "so", LATER if to.terminal else None)
    else:
        with pytest.raises(UsageError, match=f"relevance's rollout is {state}, and {to} can't follow"):
            advanced(made, to, LATER)


def test_evidence_begins_when_the_stage_stands() -> None:
    shifting = advanced(rollout(attempt=3), RolloutState.SHIFTING, LATER, stage=2, release=44)
    assert (shifting.stage, shifting.attempt, shifting.stage_began, shifting.release) == (2, 1, None, 44)
    waiting = advanced(shifting, RolloutState.WAITING, LATER)
    assert (waiting.stage_began, waiting.release) == (LATER, 44)
    baking = advanced(rollout(stage=3, attempt=2), RolloutState.BAKING, LATER, stage=4)
    assert (baking.stage, baking.attempt, baking.stage_began) == (4, 1, LATER)
    for stage in (0, 5):
        with pytest.raises(UsageError, match="stage 2 of 5"):
            advanced(rollout(), RolloutState.SHIFTING, LATER, stage=stage)


def test_a_new_driver_measures_the_stage_again() -> None:
    again = measured_again(rollout(), LATER)
    assert (again.stage, again.attempt, again.stage_began) == (1, 2, LATER)
    for made in (rollout(state=RolloutState.GOING_BACK), rollout(state=RolloutState.SHIFTING), rollout(stage_began=None)):
        assert measured_again(made, LATER) == made


@pytest.mark.parametrize(("state", "control"), list(product(RolloutState, Control)))
def test_each_state_takes_its_controls_and_no_other(state: RolloutState, control: Control) -> None:
    made = rollout(SHADOWED, state=state, stage=2)
    if control in CONTROLS[state]:
        assert asked(made, control) != made
    else:
        with pytest.raises(UsageError, match=r"^relevance's rollout is .* Nothing was changed\.$"):
            asked(made, control)


def test_a_refusal_names_what_can_be_asked() -> None:
    with pytest.raises(UsageError, match=r"^relevance's rollout is baking: pause, revert or keep the old variant\. Nothing"):
        asked(rollout(state=RolloutState.BAKING, stage=4), Control.NEXT)
    with pytest.raises(UsageError, match=r"is over \(reverted\): nothing more can be asked of it\."):
        asked(rollout(state=RolloutState.REVERTED), Control.RESUME)
    with pytest.raises(UsageError, match="is going back already"):
        asked(rollout(state=RolloutState.GOING_BACK), Control.PAUSE)


def test_paused_and_resumed_where_it_was() -> None:
    for made, to in (
        (rollout(), RolloutState.WAITING),
        (rollout(state=RolloutState.BAKING, stage=4), RolloutState.BAKING),
        (rollout(state=RolloutState.SHIFTING, stage_began=None), RolloutState.SHIFTING),
    ):
        paused = asked(made, Control.PAUSE, "lunch\x07")
        assert paused.why.startswith("paused by anna at ")
        assert paused.why.endswith(r": lunch\x07")
        resumed = asked(paused, Control.RESUME, "")
        assert (resumed.state, resumed.stage, resumed.stage_began) == (to, made.stage, made.stage_began)


def test_next_and_forward_want_a_reason() -> None:
    for control in (Control.NEXT, Control.FORWARD):
        with pytest.raises(UsageError, match="wants a reason"):
            asked(rollout(), control, "  ")
    following = asked(rollout(), Control.NEXT)
    assert (following.state, following.stage, following.stage_began) == (RolloutState.SHIFTING, 2, None)
    assert asked(rollout(stage=3), Control.NEXT).state is RolloutState.BAKING
    forward = asked(rollout(state=RolloutState.PAUSED), Control.FORWARD, "v6 is worse")
    assert (forward.state, forward.present.bake) == (RolloutState.SHIFTING, True)
    assert asked(rollout(stage=3), Control.FORWARD).state is RolloutState.BAKING
    assert asked(rollout(stage=3, stage_began=None, state=RolloutState.PAUSED), Control.FORWARD).state is RolloutState.SHIFTING
    unbaked = replace(CAREFUL, bake=0)
    assert asked(rollout(unbaked), Control.FORWARD).stage == 3
    assert asked(rollout(unbaked, stage=3), Control.NEXT).state is RolloutState.DONE
    for made in (rollout(stage=4, state=RolloutState.PAUSED), rollout(unbaked, stage=3, state=RolloutState.PAUSED)):
        with pytest.raises(UsageError, match="in its last stage"):
            asked(made, Control.NEXT)


def test_shadow_evidence_counts_where_there_is_some() -> None:
    counted = asked(rollout(SHADOWED), Control.COUNT_SHADOW)
    assert (counted.state, counted.shadow_counts) == (RolloutState.WAITING, True)
    for made in (rollout(), rollout(SHADOWED, stage=0)):
        with pytest.raises(UsageError, match="had no shadow stage"):
            asked(made, Control.COUNT_SHADOW)


def test_the_way_back_and_the_old_one() -> None:
    back = asked(rollout(state=RolloutState.PAUSED), Control.REVERT, "")
    assert back.state is RolloutState.GOING_BACK
    assert back.why.startswith("reverted by anna at ")
    kept = asked(rollout(), Control.KEEP_OLD)
    assert (kept.state, kept.keep_old) == (RolloutState.WAITING, True)
