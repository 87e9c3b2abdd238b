"""What would help and what would not: going back, and the repair of a dependency. By rule, each with its reason."""

from __future__ import annotations

from datetime import datetime

from mlconsole.core.facts import (
    JUST_BEFORE,
    SLACK,
    Change,
    EndpointFacts,
    Facts,
    Target,
    begun_of,
    failing_of,
    findings_of,
    involved,
    together_with,
)
from mlconsole.core.health import Question
from mlconsole.core.text import duration
from mlconsole.core.wording import told_together


def revert(facts: Facts) -> tuple[bool | None, str]:
    """Whether going back would help, and why; of several endpoints the one that it helps."""
    asked = [(one, *_revert_of(one, facts)) for one in involved(facts) if findings_of(facts, one.endpoint)]
    if not asked:
        return False, f"would NOT help: {_no_endpoint(facts)}."
    helped = [(one, why) for one, helps, why in asked if helps]
    if helped:
        names = "" if len(helped) == len(asked) else f"{told_together([one.endpoint for one, _ in helped])}: "
        return True, f"{names}would help: {helped[0][1]}."
    if all(helps is False for _, helps, _ in asked):
        return False, f"would NOT help: {asked[0][2]}."
    unsure = next(why for _, helps, why in asked if helps is None)
    return None, f"can't be told: {unsure}."


def _no_endpoint(facts: Facts) -> str:
    if facts.alarm.worst.question is Question.WATCHER:
        return "no release is at fault that nobody sees how the endpoints are"
    if facts.alarm.worst.question is Question.ALARM:
        return "which endpoint that alarm of the backend is about is not told"
    return "a dependency fails, not a release"


def _revert_of(one: EndpointFacts, facts: Facts) -> tuple[bool | None, str]:
    begun, change = begun_of(facts, one.endpoint), one.last_change
    before = change if change is not None and change.at <= begun + SLACK else None
    together = together_with(facts, one.endpoint)
    broke = f"{len(together) + 1} endpoints broke in the same minute" if together else ""
    if one.target is None:
        return False, "there is nothing to go back to"
    if shared := _shared(one.target, facts, begun):
        if before is None or begun - before.at > JUST_BEFORE:
            return False, _all(_not_released(one, facts, begun), broke, shared)
        return False, shared
    if only := _only_new(one, before, facts):
        return True, only
    if before is not None and begun - before.at <= JUST_BEFORE:
        after = f"{'it was changed outside' if before.outside else f'{before.what} went live'} {_shortly(begun, before.at)}"
        if before.document:  # one document is read by many endpoints: that several break at once speaks for it
            return True, f"{after}. Take it back: mlconsole config revert {before.document}"
        if together:
            return None, f"{after}, but {broke}"
        return True, after
    if not one.history:
        return (False, broke) if together else (None, "what was released before it is not known")
    return False, _all(_not_released(one, facts, begun), broke)


def _shortly(begun: datetime, at: datetime) -> str:
    seconds = (begun - at).total_seconds()
    return f"{duration(seconds)} before it began" if seconds >= 1 else "as it began"


def _only_new(one: EndpointFacts, change: Change | None, facts: Facts) -> str:
    """What the last change brought fails, and all else that serves is fine."""
    failed = {name for finding in findings_of(facts, one.endpoint) if not finding.well for name in finding.variants}
    rest = set(one.serving) - failed
    if change is None or not failed or not rest or not failed <= set(change.variants) or not rest <= one.fine:
        return ""
    brought = f"only {told_together(sorted(failed))} {'fail' if len(failed) > 1 else 'fails'}, which {change.what} brought"
    return f"{brought}; {told_together(sorted(rest))} {'are' if len(rest) > 1 else 'is'} fine"


def _shared(target: Target, facts: Facts, begun: datetime) -> str:
    for probe in failing_of(facts):
        if probe.name in target.depends and (probe.since is None or probe.since <= begun + SLACK):
            return f"{target.content} depends on {probe.name} too, which fails"
    return ""


def _not_released(one: EndpointFacts, facts: Facts, begun: datetime) -> str:
    if one.last_change is not None and one.last_change.at > begun + SLACK:
        return "it began before the last change"
    if one.last_change is None:
        return "nothing was released" if one.history else ""
    return f"nothing was released for {duration((begun - one.last_change.at).total_seconds())} before it"


def _all(*reasons: str) -> str:
    there = [reason for reason in reasons if reason]
    return ", and ".join([", ".join(there[:-1]), there[-1]] if len(there) > 1 else there)


def fix(facts: Facts) -> tuple[str, str]:
    failing = failing_of(facts)
    for probe in failing:
        if probe.repair:
            return probe.repair, probe.repair_told or f"repairs {probe.name}"
    if failing:
        return "", f"{failing[0].name} fails, and no repair of it is named in mlconsole.yaml"
    return "", ""
