"""How a rollout moves: by its driver, by a person's word, and when a slice goes back alone. Illegal moves are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mlconsole.core.errors import UsageError
from mlconsole.core.models import Actor
from mlconsole.core.releases import Content
from mlconsole.core.rollouts import CONTROLS, LEGAL_EXITS, Control, PlannedStage, Rollout, RolloutState
from mlconsole.core.text import neutralise
from mlconsole.core.traffic import SliceSplit, Traffic
from mlconsole.core.wording import clock

_WORDS = {
    Control.PAUSE: "pause",
    Control.RESUME: "resume",
    Control.NEXT: "go to the next stage",
    Control.REVERT: "revert",
    Control.FORWARD: "roll forward",
    Control.KEEP_OLD: "keep the old variant",
    Control.COUNT_SHADOW: "let shadow evidence count",
}


def advanced(
    rollout: Rollout, to: RolloutState, now: datetime, *, stage: int | None = None, why: str = "", release: int | None = None
) -> Rollout:
    """The rollout in its next state. A new stage begins with attempt 1, the same one shifted to again with the next attempt; its evidence
    begins when its traffic stands, which is when it waits or bakes.

    Raises:
        UsageError: that state can't follow, or the stage is an earlier one.
    """
    if to not in LEGAL_EXITS[rollout.state]:
        legal = ", ".join(LEGAL_EXITS[rollout.state])
        raise UsageError(
            f"{rollout.endpoint}'s rollout is {rollout.state}, and {to} can't follow: "
            + (f"only {legal} can." if legal else "nothing can.")
            + " Nothing was changed."
        )
    at = rollout.stage if stage is None else stage
    if not rollout.stage <= at < len(rollout.stages):
        raise UsageError(f"{rollout.endpoint}'s rollout is in stage {rollout.stage + 1} of {len(rollout.stages)}; {at + 1} can't follow.")
    began = rollout.stage_began
    if to is RolloutState.SHIFTING:
        began = None
    elif to in (RolloutState.WAITING, RolloutState.BAKING) and (began is None or at != rollout.stage):
        began = now
    return replace(
        rollout,
        state=to,
        stage=at,
        attempt=rollout.attempt + (to is RolloutState.SHIFTING) if at == rollout.stage else 1,
        stage_began=began,
        ended=now if to.terminal else None,
        why=why,
        release=rollout.release if release is None else release,
    )


def measured_again(rollout: Rollout, now: datetime) -> Rollout:
    """The rollout as a new driver takes it up: the present stage is measured again from now, and no overdue stage is caught up.

    A change that is under way, going back, or an end stays as it is.
    """
    if rollout.stage_began is None or rollout.state not in (RolloutState.WAITING, RolloutState.BAKING, RolloutState.PAUSED):
        return rollout
    return replace(rollout, attempt=rollout.attempt + 1, stage_began=now)


def controlled(rollout: Rollout, control: Control, who: Actor, reason: str, now: datetime) -> Rollout:
    """The rollout after a person's word. `NEXT` and `FORWARD` pass over evidence, and want a reason.

    Raises:
        UsageError: that can't be asked in this state (what can is named), or the reason is missing.
    """
    if control not in CONTROLS[rollout.state]:
        raise UsageError(f"{_refusal(rollout)} Nothing was changed.")
    if control in (Control.NEXT, Control.FORWARD) and not reason.strip():
        raise UsageError(
            f"To {_WORDS[control]} passes over what the guards still wait for: that wants a reason. Nothing was changed.",
            next='Say why: --reason "…".',
        )
    said = f"{who.user} at {clock(now, now)}{f': {neutralise(reason.strip())}' if reason.strip() else ''}"
    match control:
        case Control.PAUSE:
            return advanced(rollout, RolloutState.PAUSED, now, why=f"paused by {said}")
        case Control.RESUME:
            return advanced(rollout, _resumed(rollout), now, why=f"resumed by {said}")
        case Control.REVERT:
            return advanced(rollout, RolloutState.GOING_BACK, now, why=f"reverted by {said}")
        case Control.KEEP_OLD:
            return replace(rollout, keep_old=True)
        case Control.COUNT_SHADOW:
            if not any(stage.shadow for stage in rollout.stages[: rollout.stage]):
                raise UsageError(f"{rollout.endpoint}'s rollout had no shadow stage whose evidence could count. Nothing was changed.")
            return replace(rollout, shadow_counts=True)
        case Control.NEXT:
            return _jumped(rollout, rollout.stage + 1, now, f"next stage by {said}")
        case Control.FORWARD:
            return _jumped(rollout, len(rollout.stages) - 1, now, f"rolled forward by {said}")


def slice_returned(rollout: Rollout, one: str) -> Rollout | None:
    """The rollout without one slice (`KEY=VALUE`): from here on it is split as before the first stage, and its own stages to come are gone.

    In its own stage a stage `de back` takes that one's place, in which the slices that have the new variant already are measured again;
    where nobody else has it yet, the next slice begins. None where that can't be done, and all of it has to go back: the slice never had
    stages of its own, it is back already, or nothing but the bake would be left.
    """
    key, _, value = one.partition("=")
    before, present = rollout.revert_to.traffic, rollout.present
    now = present.content.traffic
    if before is None or now is None or not any(stage.slice == one for stage in rollout.stages):
        return None
    own = SliceSplit(key, value, before.slice_split(key, value))
    if not now.slice_split(key, value).get(rollout.variant, 0) > own.split.get(rollout.variant, 0):
        return None
    passed, to_come = rollout.stages[: rollout.stage], [stage for stage in rollout.stages[rollout.stage :] if stage.slice != one]
    if present.slice == one:
        back = PlannedStage(f"{value} back", _with_split(present, own), present.share, present.wait, 0)
        if back.content.traffic is not None and back.content.traffic.reaches(rollout.variant):
            to_come.insert(0, back)
    if all(stage.bake for stage in to_come):
        return None
    return replace(rollout, stages=(*passed, *(replace(stage, content=_with_split(stage, own)) for stage in to_come)))


def _with_split(stage: PlannedStage, own: SliceSplit) -> Content:
    traffic = stage.content.traffic
    if traffic is None:
        return stage.content
    split = {name: own.split.get(name, 0) for name in traffic.split}
    others = [entry for entry in traffic.by_slice if (entry.key, entry.value) != (own.key, own.value)]
    by_slice = sorted((*others, SliceSplit(own.key, own.value, split)), key=lambda entry: (entry.key, entry.value))
    return Content(stage.content.variants, Traffic(traffic.split, tuple(by_slice), traffic.shadow))


def _resumed(rollout: Rollout) -> RolloutState:
    """Where it was when it was paused: a change that did not come to stand is asked for again."""
    if rollout.stage_began is None:
        return RolloutState.SHIFTING
    return RolloutState.BAKING if rollout.present.bake else RolloutState.WAITING


def _jumped(rollout: Rollout, to: int, now: datetime, why: str) -> Rollout:
    last = len(rollout.stages) - 1
    if rollout.present.bake or (rollout.stage == last and rollout.state is RolloutState.PAUSED):
        raise UsageError(f"{rollout.endpoint}'s rollout is in its last stage: resume, revert or keep the old variant. Nothing was changed.")
    if rollout.stage == last:
        return advanced(rollout, RolloutState.DONE, now, why=why)
    # All of the requests are the new variant's already, and baking changes nothing more.
    stands = rollout.stages[to].bake and rollout.present.content == rollout.stages[to].content and rollout.stage_began is not None
    return advanced(rollout, RolloutState.BAKING if stands else RolloutState.SHIFTING, now, stage=to, why=why)


def _refusal(rollout: Rollout) -> str:
    whose = f"{rollout.endpoint}'s rollout"
    if rollout.state.terminal:
        return f"{whose} is over ({rollout.state}): nothing more can be asked of it."
    can = [_WORDS[one] for one in CONTROLS[rollout.state]]
    if not can:
        return f"{whose} is {rollout.state} already: that goes to its end by itself."
    return f"{whose} is {rollout.state}: {', '.join(can[:-1])} or {can[-1]}."
