"""Triage: what an alarm is about, what moved just before it, and what would help and what would not. By rule, and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlconsole.core.alarms import Alarm, Finding
from mlconsole.core.facts import (
    JUST_BEFORE,
    SAME_MINUTE,
    SLACK,
    Change,
    EndpointFacts,
    Event,
    Facts,
    ProbeFact,
    Target,
    broken_of,
    failing_of,
    findings_of,
    involved,
)
from mlconsole.core.health import Question
from mlconsole.core.remedies import fix, revert
from mlconsole.core.text import duration, neutralise
from mlconsole.core.wording import clock, count, percent, told_together

__all__ = ["Change", "EndpointFacts", "Event", "Facts", "ProbeFact", "Target", "Triage", "narrowed", "title", "triage"]

PLAIN_ERRORS, PLAIN_MS = 0.05, 1000.0
"""The ordinary alarm that ours is compared with: more than 5 % of all requests fail, or p95 is over a second."""


@dataclass(frozen=True)
class Triage:
    """An alarm in words; the engine's `TriageView` has the same fields."""

    title: str
    lines: tuple[tuple[str, str], ...]
    revert_helps: bool | None
    revert: str
    fix: str = ""
    fix_told: str = ""
    effect: int = 0
    ordinary: str = ""


def triage(facts: Facts) -> Triage:
    """The alarm by rule: what it is about, what moved before it, what would help."""
    helps, why = revert(facts)
    told = {
        "since": _since(facts),
        "versions": _versions(facts),
        **_slices(facts),
        "endpoints": _endpoints(facts),
        "dependency": "; ".join(_dependency(probe, facts) for probe in failing_of(facts)),
        "usual": _usual(facts),
        "effect": _effect(facts),
        "last change": _last_change(facts, helps),
        "just before": _just_before(facts),
    }
    repair, repair_told = fix(facts)
    return Triage(
        title=title(facts.alarm, {name: one.slices for name, one in facts.endpoints.items()}),
        lines=tuple((what, neutralise(text)) for what, text in told.items() if text),
        revert_helps=helps,
        revert=neutralise(why),
        fix=neutralise(repair),
        fix_told=neutralise(repair_told),
        effect=sum(one.wrong for one in involved(facts)),
        ordinary=_ordinary(facts),
    )


def title(alarm: Alarm, slices: Mapping[str, Sequence[str]] | None = None) -> str:
    """The alarm in a few words: `ALL PREDICTIONS IDENTICAL`, `errors in de`. `slices`: endpoint → all that are known of it."""
    worst = alarm.worst
    known = (slices or {}).get(worst.endpoint, ())
    where = ", ".join(_value(one) for one in narrowed(worst, known))
    if worst.question is Question.IDENTICAL and "" in worst.slices:
        # All requests together are: a slice that is not named has had too few yet to be told.
        told = "ALL PREDICTIONS IDENTICAL"
    elif worst.question is Question.IDENTICAL:
        told = f"IDENTICAL PREDICTIONS in {where}" if where else "ALL PREDICTIONS IDENTICAL"
    elif worst.question is Question.SILENT:
        told = f"{where} fell silent" if where else "fell silent"
    elif worst.question is Question.LATENCY:
        told = f"slow in {where}" if where else "slow"
    elif worst.question is Question.DEPENDENCY:
        told = f"{worst.subject} failing"
    elif worst.question is Question.ALARM:
        told = f"{worst.subject} in ALARM"
    elif worst.question is Question.WATCHER:
        told = f"{worst.subject} can't be read" if worst.subject else "nobody watches"
    else:
        told = f"{worst.question.value} in {where}" if where else worst.question.value
    return neutralise(told)


def narrowed(finding: Finding, known: Iterable[str]) -> tuple[str, ...]:
    """The slices that tell where it is, when it is not everywhere: those of the key of which the smallest part failed."""
    keys: dict[str, list[str]] = {}
    for one in finding.slices:
        if one:
            keys.setdefault(_key(one), []).append(one)
    all_known = list(known)
    best: tuple[float, tuple[str, ...]] | None = None
    for key, failed in keys.items():
        there = {one for one in all_known if _key(one) == key} | set(failed)
        part = len(failed) / len(there)
        # A key whose every slice fails says nothing of where, unless nothing failed as a whole and nothing else is known.
        if (part < 1 or ("" not in finding.slices and not all_known)) and (best is None or part < best[0]):
            best = (part, tuple(failed))
    return best[1] if best else ()


def _key(name: str) -> str:
    return name.partition("=")[0] if "=" in name else ""


def _value(name: str) -> str:
    return name.partition("=")[2] or name


def _since(facts: Facts) -> str:
    worst = facts.alarm.worst
    return f"{clock(facts.alarm.named_since, facts.now, seconds=True)}" + (f" · {worst.text}" if worst.text else "")


def _versions(facts: Facts) -> str:
    told = []
    each = involved(facts)
    for one in each:
        failed = {name for finding in findings_of(facts, one.endpoint) if not finding.well for name in finding.variants}
        if not one.serving:
            continue
        if len(one.serving) == 1:
            text = f"{next(iter(one.serving))} ✖  the only one that answers"
        else:
            text = "  ".join(f"{name} {_sign(name, failed, one.fine)} {percent(share)}" for name, (_, share) in one.serving.items())
        told.append(f"{one.endpoint} {text}" if len(each) > 1 else text)
    return " · ".join(told)


def _sign(name: str, failed: Iterable[str], fine: Iterable[str]) -> str:
    return "✖" if name in failed else "✔" if name in fine else "?"


def _slices(facts: Facts) -> dict[str, str]:
    """The slices of the endpoint that names it, a line for each key: which failed, which are fine, of which nothing can be told."""
    worst = facts.alarm.worst
    one = facts.endpoints.get(worst.endpoint)
    if one is None:
        return {}
    failed = {name for finding in findings_of(facts, one.endpoint) if finding.question is worst.question for name in finding.slices}
    keys: dict[str, list[str]] = {}
    for name in dict.fromkeys([*one.slices, *sorted(failed)]):
        if name:
            keys.setdefault(_key(name), []).append(name)
    told: dict[str, str] = {}
    for key, names in keys.items():
        bad = [name for name in names if name in failed]
        together = "all of them together" if not bad and "" in failed else ""
        tail = "all of them" if len(bad) == len(names) > 1 else together
        signs = "  ".join(
            f"{_value(name)} {_sign(name, failed, one.fine)}" for name in (bad + [name for name in names if name not in failed])[:12]
        )
        more = f"  … {len(names) - 12} more" if len(names) > 12 else ""
        told[neutralise(f"{key}s" if key else "slices")] = f"{signs}{more}   {tail}".rstrip()
    return told


def _endpoints(facts: Facts) -> str:
    broken = dict(sorted(broken_of(facts).items(), key=lambda each: each[1]))
    if not broken:
        return ""
    if len(broken) == 1:
        return f"{next(iter(broken))} only" + (f"; {facts.well} others are well" if facts.well else "")
    first, last = min(broken.values()), max(broken.values())
    when = "same minute" if last - first <= SAME_MINUTE else f"from {clock(first, facts.now)} to {clock(last, facts.now)}"
    return f"{'  '.join(f'{name} ✖' for name in broken)}   {when}"


def _dependency(probe: ProbeFact, facts: Facts) -> str:
    since = f", since {clock(probe.since, facts.now)}" if probe.since else ""
    who = told_together(probe.endpoints)
    verb = "depend" if len(probe.endpoints) > 1 else "depends"
    return f"{probe.name} failing: {probe.text}{since}" + (f"; {who} {verb} on it" if who else "")


def _usual(facts: Facts) -> str:
    told = []
    each = involved(facts)
    for one in each[:3]:
        usual, now = one.usual, one.now
        figures = (
            ("equal", usual.same, now.same),
            ("errors", usual.errors, now.errors),
            ("over threshold", usual.over, now.over),
        )
        pairs = [(name, percent(then), percent(here)) for name, then, here in figures if then is not None and here is not None]
        if usual.p95 is not None and now.p95 is not None:
            pairs.append(("p95", f"{usual.p95:.0f} ms", f"{now.p95:.0f} ms"))
        moved = [pair for pair in pairs if pair[1] != pair[2]]
        if moved:
            text = f"{', '.join(f'{then} {name}' for name, then, _ in moved)}. Now {', '.join(here for _, _, here in moved)}"
            told.append(f"{one.endpoint} {text}" if len(each) > 1 else text)
    return "; ".join(told)


def _effect(facts: Facts) -> str:
    told = []
    each = involved(facts)
    for one in each:
        asked = {finding.question for finding in findings_of(facts, one.endpoint)}
        if not one.wrong and one.over is None:
            continue
        what = (
            "requests failed"
            if asked == {Question.ERRORS}
            else "predictions were slow"
            if asked == {Question.LATENCY}
            else "predictions were wrong"
        )
        text = f"{count(one.wrong)} {what}"
        if one.over is not None and one.over_usual is not None and round(one.over) != round(one.over_usual):
            text += f", {count(one.over)} decisions over the threshold (usual: {count(one.over_usual)})"
        told.append(f"{one.endpoint} {text}" if len(each) > 1 else text)
    return "; ".join(told)


def _last_change(facts: Facts, helps: bool | None) -> str:
    own = [one.last_change for one in involved(facts) if one.last_change is not None]
    known = own if helps or facts.last_change is None else [*own, facts.last_change]
    if not known:
        return "none is known" if facts.alarm.endpoints else ""
    since = facts.alarm.named_since
    # The last one before it began; where there is none, what came after it tells that it was not the cause.
    change = max(known, key=lambda one: (one.at <= since + SLACK, one.at))
    by = f" by {change.who}" if change.who else ""
    elsewhere = bool(change.endpoint) and change.endpoint not in facts.alarm.endpoints
    where = f", {change.endpoint}" if elsewhere else ""
    tail = {True: "   most likely this", False: "   not this", None: ""}[helps]
    if elsewhere and abs(since - change.at) <= JUST_BEFORE:
        tail = ""  # what is shared between endpoints is not known here
    return f"{_ago(change, facts)} ({change.what}{where}{by}){tail}"


def _ago(change: Change, facts: Facts) -> str:
    seconds = (facts.alarm.named_since - change.at).total_seconds()
    if seconds < 0:
        return f"{duration(-seconds)} after it began"
    return f"{duration(seconds)} before" if seconds < 3600 else f"{duration((facts.now - change.at).total_seconds())} ago"


def _just_before(facts: Facts) -> str:
    since = facts.alarm.named_since
    near = sorted((one for one in facts.events if since - JUST_BEFORE <= one.at <= since + SLACK), key=lambda one: one.at, reverse=True)
    if not near:
        return "nothing that is known" if facts.alarm.endpoints else ""
    more = f"; {len(near) - 3} more" if len(near) > 3 else ""
    return "; ".join(f"{clock(one.at, facts.now)} {one.text}" for one in near[:3]) + more


def _ordinary(facts: Facts) -> str:
    each = [one.now for one in involved(facts)]
    errors = max((one.errors for one in each if one.errors is not None), default=None)
    p95 = max((one.p95 for one in each if one.p95 is not None), default=None)
    told = ", ".join([*([] if errors is None else [f"errors {percent(errors)}"]), *([] if p95 is None else [f"p95 {p95:.0f} ms"])])
    if not told:
        return ""
    if (errors or 0.0) >= PLAIN_ERRORS or (p95 or 0.0) > PLAIN_MS:
        return f"{told}: an ordinary alarm sees it too"
    return f"{told}: every ordinary alarm says OK"
