"""What is done with a rollout next. Only an explicit pass promotes, one stage at a time; a fail goes back; everything else holds and says
what it holds for (invariant 5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mlconsole.core.health import Question
from mlconsole.core.policies import AtDeadline, GuardKind, GuardRule, OnFail
from mlconsole.core.policy_lint import INFORMING
from mlconsole.core.rollouts import Decision, GuardResult, Rollout, RolloutState
from mlconsole.core.steering import slice_returned
from mlconsole.core.text import duration, neutralise
from mlconsole.core.verdicts import Verdict
from mlconsole.core.wording import clock, count, percent, told_together

_SOON = 60.0
"""s. Before that, no request yet is no finding."""

_WORST_FIRST = (Verdict.FAIL, Verdict.ERROR, Verdict.NO_DATA, Verdict.INCONCLUSIVE)

_Hold = tuple[str, str]
"""What it holds for: as the middle of a sentence, and as a line of its own."""


def decide(
    rollout: Rollout,
    results: Sequence[GuardResult],
    now: datetime,
    *,
    settled: bool,
    waited: float | None = None,
    seen: int | None = None,
    silent: float = 0.0,
    usual: float | None = None,
    failed: str = "",
    frozen: str = "",
) -> Decision:
    """What is to be done now; the order of `results` does not matter.

    `settled`: the change to the present stage (or back) is over and read back. `failed`: it went back by itself, and why. `waited`: seconds
    in the present stage by a clock that does not jump; left out, by the wall clock. `seen`: the new variant's requests (in a shadow stage:
    pairs) since the stage began; left out, the most that a guard has seen. `silent`: for so many seconds the endpoint had no request at
    all, where it usually has `usual`. `frozen`: the freeze that nothing may go forward in now, in words.

    A deadline is for reaching the bake: once all requests are the new variant's, it takes nothing back any more. A policy that is a dry run
    holds where it would go back.
    """
    if rollout.state.terminal:
        return Decision(None, f"{rollout.endpoint}'s rollout is over: {rollout.state}.")
    if rollout.state is RolloutState.GOING_BACK:
        return Decision(RolloutState.REVERTED if settled else None, rollout.why)
    if failed and rollout.state is RolloutState.SHIFTING:
        return Decision(RolloutState.FAILED, failed)
    judging = sorted((one for one in results if _judges(rollout, one)), key=lambda one: _order(rollout, one))
    fails = [one for one in judging if one.verdict is Verdict.FAIL]
    if fails and not rollout.policy.dry_run:
        return _back(rollout, fails)
    late = rollout.deadline is not None and now >= rollout.deadline and not rollout.present.bake
    if late and rollout.policy.at_deadline is AtDeadline.REVERT:
        return Decision(RolloutState.GOING_BACK, f"{_late(rollout, now)}.")
    if rollout.state is RolloutState.SHIFTING:
        if settled:
            return Decision(RolloutState.BAKING if rollout.present.bake else RolloutState.WAITING, f"{rollout.present.name} stands")
        return Decision(None, f"The change to {rollout.present.name} is under way.")
    if waited is None:
        waited = (now - rollout.stage_began).total_seconds() if rollout.stage_began else 0.0
    holds: list[_Hold] = []
    if late:
        holds.append((_late(rollout, now), "a person: the deadline is over"))
    if not settled or rollout.stage_began is None:
        holds.append((f"{rollout.present.name} is not read back", "the change to be read back"))
    if silent >= _SOON:
        than = "" if usual is None else f" (usual {count(usual)})"
        text = f"{rollout.endpoint} has had no request for {duration(silent)}{than}. That is a finding, not a pass: ask the callers"
        holds.append((text, f"requests: none for {duration(silent)}"))
    following = rollout.stages[rollout.stage + 1 : rollout.stage + 2]
    if frozen and following and not following[0].bake:
        holds.append((frozen, "the end of the freeze"))
    holds += _unanswered(rollout, judging, {one.guard for one in results}, max(0.0, waited))
    holds += _stage_wants(rollout, judging, max(0.0, waited), seen)
    if rollout.state is RolloutState.PAUSED:
        holds.append(("", "a person: it is paused"))
        return Decision(None, rollout.why or "Paused by a person.", waits_for=_lines(holds))
    if not holds:
        return _promoted(rollout, judging)
    doing = "Baking" if rollout.state is RolloutState.BAKING else f"Holding at {rollout.present.name}"
    return Decision(None, " ".join(filter(None, (f"{doing}: {holds[0][0]}.", _ready(judging)))), waits_for=_lines(holds))


def _judges(rollout: Rollout, one: GuardResult) -> bool:
    """Whether a result decides. In a policy that is a dry run all results are marked so; there only guards that are dry runs themselves, or
    only inform, are left out."""
    if one.judged and rollout.policy.dry_run:
        rule = _rule(rollout, one)
        return rule is None or not (rule.dry_run or rule.question in INFORMING)
    return one.judged and not one.dry_run


def _rule(rollout: Rollout, one: GuardResult) -> GuardRule | None:
    return next((rule for rule in rollout.policy.guards if rule.name == one.guard), None)


def _back(rollout: Rollout, fails: Sequence[GuardResult]) -> Decision:
    """Back with all of it; or with one slice, where the policy wants that and nothing fails but slices with stages of their own.

    What all requests together fail in does not count where such a slice fails in the same: it may be its doing. Paused, baking or
    shifting it goes back whole: a slice's way back is a shift of the stage that it waits in.
    """
    own = {stage.slice for stage in rollout.stages if stage.slice}
    alone = [one for one in fails if one.slice in own]
    theirs = {one.guard for one in alone}
    others = [one for one in fails if one.slice not in own and not (one.slice == "" and one.guard in theirs)]
    if rollout.policy.on_fail is OnFail.SLICE and rollout.state is RolloutState.WAITING and alone and not others:
        without = slice_returned(rollout, alone[0].slice)
        if without is not None:
            return Decision(RolloutState.SHIFTING, f"{_found(rollout, alone[0])}.", stage=without.stage, slice=alone[0].slice)
    more = f", and {len(fails) - 1} more" if len(fails) > 1 else ""
    return Decision(RolloutState.GOING_BACK, f"{_found(rollout, fails[0])}{more}.")


def _promoted(rollout: Rollout, judging: Sequence[GuardResult]) -> Decision:
    """One stage further, and never two: what was overdue while nobody drove is measured all the same."""
    slices = sorted({_label(one.slice) for one in judging if one.slice})
    why = "all guards passed" + (f" in {told_together(slices)}" if slices else "")
    following = rollout.stage + 1
    if following >= len(rollout.stages):
        return Decision(RolloutState.DONE, why)
    return Decision(RolloutState.BAKING if rollout.stages[following].bake else RolloutState.SHIFTING, why, stage=following)


def _unanswered(rollout: Rollout, judging: Sequence[GuardResult], spoke: set[str], waited: float) -> list[_Hold]:
    """The guards that do not say pass, worst first. One that says of everything that it can't be judged has spoken; silence is no pass."""
    open_ones = sorted(
        (one for one in judging if one.verdict is not Verdict.PASS), key=lambda one: (_WORST_FIRST.index(one.verdict), -_takes(one))
    )
    holds = [(_held(rollout, one, waited), _line(one, open_ones)) for one in open_ones]
    for rule in rollout.policy.guards:
        if not rule.dry_run and rule.name not in spoke:
            holds.append((f'"{rule.name}" has not answered yet', f'"{rule.name}": no answer yet'))
    if not any(one.verdict is Verdict.PASS for one in judging):
        holds.append(("no guard has said pass", "a guard that says pass"))
    return holds


def _stage_wants(rollout: Rollout, judging: Sequence[GuardResult], waited: float, seen: int | None) -> list[_Hold]:
    """What is left of the stage's own evidence and wait."""
    stage, holds = rollout.present, []
    have = seen
    if have is None:
        asked = {rule.name for rule in rollout.policy.guards if rule.kind is GuardKind.QUESTION and rule.question is not Question.SPLIT}
        have = max((one.n for one in judging if one.guard in asked and one.slice == stage.slice), default=0)
    if have < stage.evidence:
        what, missing = "pair" if stage.shadow else "request", stage.evidence - have
        about = f", about {duration(missing * waited / have)}" if have > 0 and waited > 0 else ""
        inside = f" in {_label(stage.slice)}" if stage.slice else ""
        text = f"{rollout.variant} has {count(have)} of the {count(stage.evidence)} {what}s{inside} that this stage needs"
        at = f"{about} at this traffic" if about else ""
        holds.append((f"{text}{at}", f"{_label(stage.slice) or 'all'}: {_many(missing, what)}{about}"))
    if waited < stage.wait:
        holds.append((f"{duration(waited)} of {duration(stage.wait)} are over", f"{duration(stage.wait - waited)} more"))
    return holds


def _held(rollout: Rollout, one: GuardResult, waited: float) -> str:
    rule, inside, text = _rule(rollout, one), _inside(one), neutralise(one.text)
    told = f": {text}" if text else ""
    match one.verdict:
        case Verdict.ERROR:
            return f'"{one.guard}"{inside} could not be asked{told}'
        case Verdict.NO_DATA if one.need or (one.n == 0 and one.new is None and not text):
            if waited < _SOON:
                return f'{rollout.variant} has had no request{inside} yet, which "{one.guard}" needs'
            return f"{rollout.variant} has had no request{inside} for {duration(waited)}. That is a finding, not a pass: ask the callers"
        case Verdict.NO_DATA:
            return f'"{one.guard}"{inside} has no data{told}'
        case Verdict.INCONCLUSIVE if one.need and (rule is None or rule.question not in (Question.SILENT, Question.SPLIT)):
            about = f", about {duration(one.seconds)} at this traffic" if one.seconds else ""
            who = _label(one.slice) or rollout.variant
            return f'{who} has {count(one.n)} of the {count(one.n + one.need)} requests that "{one.guard}" needs{about}'
        case Verdict.INCONCLUSIVE:
            return f'"{one.guard}"{inside}{told or f" is too near to its limit to tell{_figures(rollout, one)}"}'
        case _:
            return f"a dry run, which would go back: {_found(rollout, one)}"


def _line(one: GuardResult, open_ones: Sequence[GuardResult]) -> str:
    """One line for a slice, of the guard that takes longest there."""
    if one.verdict in (Verdict.INCONCLUSIVE, Verdict.NO_DATA) and one.need:
        longest = max(
            (other for other in open_ones if other.slice == one.slice and other.need), key=lambda other: (_takes(other), other.need)
        )
        about = f", about {duration(longest.seconds)}" if longest.seconds else ""
        return f"{_label(one.slice) or 'all'}: {_many(longest.need, 'request')}{about}"
    what = {
        Verdict.ERROR: "could not be asked",
        Verdict.NO_DATA: "no data",
        Verdict.INCONCLUSIVE: "cannot be told yet",
        Verdict.FAIL: "failed, in a dry run",
    }
    return f'"{one.guard}"{_inside(one)}: {what[one.verdict]}'


def _ready(judging: Sequence[GuardResult]) -> str:
    """`en fr pl are ready.`: the slices of which every guard says pass, while others hold."""
    slices = {one.slice for one in judging if one.slice}
    ready = sorted(_label(one) for one in slices - {one.slice for one in judging if one.verdict is not Verdict.PASS})
    return f"{' '.join(ready)} {'is' if len(ready) == 1 else 'are'} ready." if ready else ""


def _found(rollout: Rollout, one: GuardResult) -> str:
    """`errors in de: 100 % (9 of 9)`."""
    text = neutralise(one.text)
    return f"{one.guard}{_inside(one)}: {text}" if text else f"{one.guard}{_inside(one)} failed{_figures(rollout, one)}"


def _figures(rollout: Rollout, one: GuardResult) -> str:
    parts = []
    if one.new is not None:
        parts.append(f"{percent(one.new)} on {rollout.variant}")
    if one.stable is not None:
        parts.append(f"{percent(one.stable)} on {told_together(rollout.stable) or 'the stable one'}")
    if one.n:
        parts.append(f"n {count(one.n)}")
    return f": {', '.join(parts)}" if parts else ""


def _late(rollout: Rollout, now: datetime) -> str:
    when = clock(rollout.deadline or now, now)
    return f"{rollout.endpoint}'s rollout was to be through by {when}, and is at {rollout.present.name}"


def _takes(one: GuardResult) -> float:
    return one.seconds if one.seconds is not None else float("inf")


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _lines(holds: Sequence[_Hold]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for _, line in holds))


def _order(rollout: Rollout, one: GuardResult) -> tuple[int, str, str, str]:
    """By the policy's order of guards, then by slice; the rest only so that equal ones have an order too."""
    names = [rule.name for rule in rollout.policy.guards]
    return names.index(one.guard) if one.guard in names else len(names), one.guard, one.slice, repr(one)


def _inside(one: GuardResult) -> str:
    return f" in {_label(one.slice)}" if one.slice else ""


def _label(slice_: str) -> str:
    """The slice as people say it: `de`."""
    return slice_.partition("=")[2] or slice_
