"""Whether a policy can work: guards that can never fire are worse than none, for somebody relies on them (trap 33)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mlconsole.core.health import Question
from mlconsole.core.policies import AtDeadline, GuardKind, GuardRule, OnFail, Policy
from mlconsole.core.text import did_you_mean, duration
from mlconsole.core.traffic import WHOLE, percent

ANSWERABLE = frozenset({Question.ERRORS, Question.IDENTICAL, Question.LATENCY, Question.SILENT, Question.SPLIT})
"""The questions that hold a new variant, or take it back."""

INFORMING = frozenset({Question.THROTTLED, Question.OVER_THRESHOLD, Question.SCORE_DRIFT})
"""Those that are measured and shown of it, and decide nothing."""

COUNTED = frozenset({Question.ERRORS, Question.LATENCY, Question.SILENT, Question.SPLIT, Question.THROTTLED})
"""The questions that figures of a backend answer, without any prediction being read."""

_SHARES = frozenset(
    {Question.ERRORS, Question.IDENTICAL, Question.LATENCY, Question.OVER_THRESHOLD, Question.THROTTLED},
)
"""Questions whose value goes from 0 to 1."""

_LIMITLESS = frozenset(
    {Question.SILENT, Question.SPLIT, Question.DEPENDENCY, Question.ALARM, Question.WATCHER, Question.IDLE, Question.RESOURCES}
)
"""Questions that are answered yes or no."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a policy, and what to do about it."""

    text: str
    next: str = ""
    guard: str = ""
    """The guard that it is about."""
    field: str = ""
    """The setting, as mlconsole.yaml calls it: `limit`, `stages`, …."""
    stops: bool = True
    """A rollout by this policy is refused; else it is only told."""


def lint(
    policy: Policy,
    *,
    questions: Collection[Question] = ANSWERABLE,
    probes: Collection[str] = (),
    golden: Collection[str] = (),
    actions: Collection[str] = (),
    predictions: bool = True,
    metrics: bool = False,
) -> tuple[Finding, ...]:
    """What is wrong with a policy where these questions can be answered, these probes and actions are there, and these models have golden
    queries. `predictions`: whether there is a role that reads predictions back; `metrics`: one that tells what a backend counted.
    """
    findings = [*_schedule(policy)]
    working = 0
    for rule in policy.guards:
        found = _subject(rule, questions, probes, golden, actions, predictions or (metrics and rule.question in COUNTED)) or _figures(rule)
        findings += found
        watched = rule.kind is not GuardKind.ALARM or predictions or metrics or bool(probes)
        asked = rule.kind is not GuardKind.QUESTION or rule.question in questions
        working += not rule.dry_run and watched and asked and not any(one.stops for one in found)
    if not working:
        why = "there is none" if not policy.guards else "each of them is a dry run, or asks what nobody answers here"
        findings.append(
            Finding(
                f"No guard of the policy {policy.name} can fire: {why}. Nothing would take a bad variant back, and nothing could say pass.",
                "Bind a predictions role, or name a guard that can be asked here.",
                field="guards",
            )
        )
    return tuple(findings)


def _schedule(policy: Policy) -> list[Finding]:
    findings = []
    shares = [stage.share for stage in policy.stages]
    if not shares:
        findings.append(Finding("There are no stages.", "Write stages: [1, 10, 50, 100].", field="stages"))
    elif any(after <= before for before, after in zip([0, *shares], shares, strict=False)) or max(shares) > WHOLE:
        told = " → ".join(percent(share) for share in shares)
        findings.append(Finding(f"The stages {told} % do not rise from above 0 to 100 %.", "Write them in rising order.", field="stages"))
    elif shares[-1] != WHOLE:
        text = f"The stages end at {percent(shares[-1])} %: the rollout would never be through."
        findings.append(Finding(text, "Let the last stage be 100.", field="stages"))
    for stage in policy.stages:
        if stage.wait <= 0 and stage.evidence <= 0:
            text = f"The stage {percent(stage.share)} % waits 0 s for 0 requests: nothing would be measured in it."
            findings.append(Finding(text, "Give it a wait or evidence.", field="stages"))
    if policy.shadow is not None and policy.shadow.sample <= 0:
        findings.append(Finding("The shadow stage copies 0 % of the requests.", "Give it a sample, up to 100.", field="shadow"))
    if policy.shadow is not None and policy.shadow.wait <= 0 and policy.shadow.evidence <= 0:
        findings.append(Finding("The shadow stage waits 0 s for 0 pairs.", "Give it a wait or evidence.", field="shadow"))
    waits = sum(stage.wait for stage in policy.stages) * (len(policy.order) + 1) + (policy.shadow.wait if policy.shadow else 0.0)
    if policy.deadline is not None and policy.deadline <= waits:
        then = "go back every time" if policy.at_deadline is AtDeadline.REVERT else "hold every time"
        text = f"The stages wait {duration(waits)} in all, and the deadline is {duration(policy.deadline)}: it would {then}."
        findings.append(Finding(text, "Set a later deadline, or wait less.", field="deadline"))
    if policy.on_fail is OnFail.SLICE and not policy.order:
        text = "on_fail is slice, and there is no order: all slices get it together, and all go back together."
        findings.append(Finding(text, "Write order: [de, en], or leave on_fail out.", field="on_fail"))
    if policy.bake <= 0:
        text = "There is no bake: with all requests on the new variant its guards stop asking."
        findings.append(Finding(text, "Give it a bake.", field="bake", stops=policy.stop_old))
    return findings


def _subject(
    rule: GuardRule,
    questions: Collection[Question],
    probes: Collection[str],
    golden: Collection[str],
    actions: Collection[str],
    predictions: bool,
) -> list[Finding]:
    """Whether what it asks is there at all."""
    if rule.kind is GuardKind.QUESTION:
        if rule.question is None or rule.question not in questions:
            answered = ", ".join(sorted(questions))
            asked = f'"{rule.question}"' if rule.question else "nothing"
            if rule.question in INFORMING:
                text = f"asks {asked}, which only informs: it is measured and shown, and takes nothing back"
                return [] if rule.dry_run else [_about(rule, text, "Say so: dry_run: true.", "question", stops=False)]
            return [
                _about(rule, f"asks {asked}, which nobody answers of a variant here: it can't fire", f"Known here: {answered}.", "question")
            ]
        if not predictions:
            text = f'asks "{rule.question}" of predictions, and no role reads predictions back here: it can\'t fire'
            return [_about(rule, text, "Bind the predictions role, or leave the guard out.")]
        return []
    known_by_kind = {
        GuardKind.PROBE: ("probe", "probe", probes),
        GuardKind.GOLDEN: ("golden", "model with golden queries", golden),
        GuardKind.ACTION: ("action", "action", actions),
    }
    if rule.kind not in known_by_kind:
        return []
    field, what, known = known_by_kind[rule.kind]
    if rule.subject in known:
        return []
    text = f'asks the {what} "{rule.subject}", and there is none of that name here: it can\'t fire'
    return [_about(rule, text, did_you_mean(rule.subject, known), field)]


def _figures(rule: GuardRule) -> list[Finding]:
    """Whether its figures can ever be reached."""
    given = {"limit": rule.limit, "margin": rule.margin, "slice_margin": rule.slice_margin}
    figures = {name: value for name, value in given.items() if value is not None}
    findings = []
    if rule.kind is not GuardKind.QUESTION or rule.question in _LIMITLESS:
        for name in figures:
            findings.append(_about(rule, f"has a {name}, and is answered yes or no: it would be ignored", f"Leave {name} out.", name))
        return findings
    for name, value in figures.items():
        if value < 0:
            findings.append(
                _about(rule, f"has the {name} {value:g}: nothing is below 0, and it would always fail", "Write 0 or more.", name)
            )
        elif rule.question in _SHARES and value >= 1:
            findings.append(_about(rule, *_never(rule, name, value), name))
    if rule.slice_margin is not None and not rule.by_slice:
        findings.append(
            _about(rule, "has a slice_margin, and by_slice is false: it would be ignored", "Leave one of them out.", "slice_margin")
        )
    return findings


def _never(rule: GuardRule, name: str, value: float) -> tuple[str, str]:
    """A share can't be more than 1: what was meant?"""
    if rule.question is Question.LATENCY:
        text = f"has the {name} {value:g}: latency is the share of requests slower than the stable variant's p95, from 0 to 1, and no time"
        return f"{text}: it can't fire", "Write a share, like 0.2; a limit in ms is the endpoint's health: {latency_ms: …}."
    text = f"has the {name} {value:g}: a share goes from 0 to 1 and is never more, so that it can't fire"
    return text, f"{value:g} % is {value / 100:g}." if 1 < value <= 100 else "Write a share below 1, like 0.05."


def _about(rule: GuardRule, text: str, then: str, field: str = "", *, stops: bool = True) -> Finding:
    return Finding(f'The guard "{rule.name}" {text}.', then, rule.name, field, stops)
