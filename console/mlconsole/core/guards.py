"""Guards: what a rollout asks in its present stage. `results` answers those that ask health's questions of the new variant; the others the
engine asks, and says here what it was told.

How errors and latency are decided (`comparison`): always-valid bounds, one success and one failure added to each arm, so that one may look
as often as one likes. A *fail* takes 15 requests and a lower bound above the margin. The chance of a false one in a whole rollout is
`ALPHA`, divided over its guards, its stages and the attempts at one, and by Holm's steps over the slices. A *pass* takes as many requests
as the stage asks for (200 where it asks for none) and an upper bound within the margin; a stage that asks for fewer than 200 is content
with the margin that so few can prove, and the text says which one that was. Everything else holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mlconsole.core import guard_presence, guard_rules, guard_sameness
from mlconsole.core.health import Question
from mlconsole.core.live import Difference
from mlconsole.core.policies import GuardKind, GuardRule
from mlconsole.core.rollouts import GuardResult, Rollout
from mlconsole.core.staged import GuardEvidence, Staged
from mlconsole.core.verdicts import Verdict

__all__ = ["ALPHA", "GuardEvidence", "action_result", "alarm_result", "golden_result", "probe_result", "results"]

ALPHA = 0.05
"""Of rollouts without any true difference at most so many go back."""

REVERTING = frozenset({Question.ERRORS, Question.LATENCY, Question.IDENTICAL, Question.SILENT})
"""The questions that may revert."""

INFORMING = frozenset({Question.THROTTLED, Question.OVER_THRESHOLD, Question.SCORE_DRIFT})
"""Those that are measured and shown, as a dry run is."""

_Rule = Callable[[Staged, GuardRule, float], list[GuardResult]]

_RULES: Mapping[Question, _Rule] = {
    Question.ERRORS: guard_rules.errors,
    Question.LATENCY: guard_rules.latency,
    Question.IDENTICAL: guard_sameness.identical,
    Question.SILENT: lambda staged, rule, _: guard_presence.silent(staged, rule),
    Question.SPLIT: lambda staged, rule, _: guard_presence.split(staged, rule),
    Question.THROTTLED: guard_rules.throttled,
    Question.OVER_THRESHOLD: guard_rules.over_threshold,
    Question.SCORE_DRIFT: lambda staged, rule, _: guard_rules.score_drift(staged, rule),
}


def results(rollout: Rollout, evidence: GuardEvidence, now: float) -> tuple[GuardResult, ...]:
    """What the guards of kind `QUESTION` say of the present stage, each for all requests and by slice; in the order of the policy."""
    rules = [rule for rule in rollout.policy.guards if rule.kind is GuardKind.QUESTION and rule.question is not None]
    dry = rollout.policy.dry_run
    deciding = sum(rule.question in REVERTING and not rule.dry_run for rule in rules)
    # By attempts 1/2, 1/6, 1/12 …: they add up to one, however often a driver begins a stage anew.
    alpha = ALPHA / max(1, deciding) / max(1, len(rollout.stages)) / (rollout.attempt * (rollout.attempt + 1))
    staged = Staged(rollout, evidence, now)
    found: list[GuardResult] = []
    for rule in rules:
        informs = dry or rule.dry_run or rule.question in INFORMING
        ask = _RULES.get(rule.question) if rule.question else None
        answers = ask(staged, rule, alpha) if ask else [guard_rules.unasked(rule, "asked of the endpoint, not of one variant")]
        found += [replace(one, dry_run=True) for one in answers] if informs else answers
    return tuple(found)


def probe_result(rule: GuardRule, ok: bool | None, text: str, value: float | None = None, limit: float | None = None) -> GuardResult:
    """What a probe said; None: it has not been asked, or not since the stage began."""
    verdict = Verdict.NO_DATA if ok is None else Verdict.PASS if ok else Verdict.FAIL
    return GuardResult(rule.name, verdict, new=value, limit=limit, text=text, dry_run=rule.dry_run)


def alarm_result(
    rule: GuardRule, opened: tuple[str, ...] | None, known: int = 0, held: tuple[str, ...] = (), why: str = "alarms are not being looked at"
) -> GuardResult:
    """The endpoint's alarms that began in this rollout and are open, as a person reads them; None: nobody could tell, and `why`. `known`:
    how many alarms there are that were asked (of the backend), where that can be said. `held`: what of these is not OK, and is no reason to
    go back: one that was set off before the rollout began, or has no data.
    """
    if opened is None:
        return GuardResult(rule.name, Verdict.NO_DATA, text=f"nobody can tell: {why}", dry_run=rule.dry_run)
    if opened:
        return GuardResult(rule.name, Verdict.FAIL, n=len(opened), text="; ".join(opened), dry_run=rule.dry_run)
    if held:
        return GuardResult(rule.name, Verdict.INCONCLUSIVE, n=known, text="; ".join(held), dry_run=rule.dry_run)
    return GuardResult(rule.name, Verdict.PASS, n=known, text=f"{known} of {known} OK" if known else "none is open", dry_run=rule.dry_run)


def golden_result(rule: GuardRule, right: int, asked: int, first: Difference | None = None, query: str = "") -> GuardResult:
    """How many golden queries the new variant answered rightly; of none asked nothing is known."""
    verdict = Verdict.NO_DATA if not asked else Verdict.PASS if right == asked else Verdict.FAIL
    text = f"{right} of {asked}" if asked else "none was asked"
    if first is not None and verdict is Verdict.FAIL:
        text += f"; {query + ': ' if query else ''}{first.what} is {first.found}, expected {first.wanted}"
    share = right / asked if asked else None
    return GuardResult(rule.name, verdict, new=share, limit=1.0, n=asked, text=text, dry_run=rule.dry_run)


def action_result(rule: GuardRule, state: Verdict | None, told: str) -> GuardResult:
    """How an action of the workspace ended: `PASS` well, `FAIL` not, `ERROR` it could not be run; None: it is running, or was not begun."""
    return GuardResult(rule.name, Verdict.NO_DATA if state is None else state, text=told, dry_run=rule.dry_run)
