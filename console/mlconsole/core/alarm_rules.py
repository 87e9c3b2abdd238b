"""Rules of a backend's own alarms, and whether they can work: one that never fires is worse than none, as somebody relies on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlconsole.core.text import duration

LONGEST = 86_400
"""Seconds that an alarm may look back at the most."""

SLOW = 900.0
"""An alarm that needs longer than this until it fires comes when nobody needs it any more (s)."""


class Comparison(StrEnum):
    """How a figure is held against the threshold."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


class Missing(StrEnum):
    """What a period without a figure counts as."""

    NO_DATA = "missing"
    GOOD = "not breaching"
    BAD = "breaching"
    AS_IT_WAS = "ignore"


@dataclass(frozen=True)
class AlarmRule:
    """An alarm that compares one figure with a threshold. `lowest` and `highest` are what the figure can be at all, None: not bounded."""

    name: str
    figure: str
    """`errors`, `p95 latency`, `Average of InvocationModelErrors`: for people. Foreign text where the alarm is."""
    comparison: Comparison
    threshold: float
    period: int
    """Seconds that one figure is of."""
    periods: int
    """So many of them are looked at,"""
    bad: int
    """and so many of these have to be bad."""
    missing: Missing = Missing.NO_DATA
    lowest: float | None = None
    highest: float | None = None
    unit: str = ""
    variant: str = ""
    """The variant that it watches; `""`: not one of ours."""
    told: bool = True
    """It notifies somebody."""
    enabled: bool = True
    """What it notifies is switched on."""

    @property
    def condition(self) -> str:
        """`errors > 0.05, 3 of 3 × 60 s`."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.figure} {self.comparison} {self.threshold:g}{unit}, {self.bad} of {self.periods} × {duration(self.period)}"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with an alarm, and what to do. `stops`: it can't do what it is for."""

    text: str
    next: str = ""
    stops: bool = True


def lint(rule: AlarmRule) -> tuple[Finding, ...]:
    """Why an alarm can never fire, always would, or would tell nobody."""
    found = [*_range(rule), *_periods(rule), *_missing(rule)]
    if not rule.enabled:
        found.append(Finding("It is there, and what it would notify is switched off.", "Enable its actions.", stops=False))
    elif not rule.told:
        found.append(Finding("It notifies nobody by itself: only who reads its state hears of it.", "Give it an action.", stops=False))
    return tuple(found)


def _range(rule: AlarmRule) -> list[Finding]:
    low, high, at = rule.lowest, rule.highest, rule.threshold
    never = {
        Comparison.ABOVE: high is not None and at >= high,
        Comparison.AT_LEAST: high is not None and at > high,
        Comparison.BELOW: low is not None and at <= low,
        Comparison.AT_MOST: low is not None and at < low,
    }[rule.comparison]
    always = {
        Comparison.ABOVE: low is not None and at < low,
        Comparison.AT_LEAST: low is not None and at <= low,
        Comparison.BELOW: high is not None and at > high,
        Comparison.AT_MOST: high is not None and at >= high,
    }[rule.comparison]
    unit = f" {rule.unit}" if rule.unit else ""
    if never:
        bound = f"at most {high:g}{unit}" if rule.comparison in (Comparison.ABOVE, Comparison.AT_LEAST) else f"at least {low:g}{unit}"
        text = f"It can never fire: {rule.figure} is {bound}, and it waits for {rule.comparison} {at:g}{unit}."
        share = " A share is written as 0.05, or take the Sum." if high == 1 else ""
        return [Finding(text, f"Set another threshold.{share}")]
    if always:
        return [Finding(f"It always fires: {rule.figure} is {rule.comparison} {at:g}{unit} whatever happens.", "Set another threshold.")]
    return []


def _periods(rule: AlarmRule) -> list[Finding]:
    found = []
    if rule.bad > rule.periods or rule.bad < 1:
        text = f"It can never fire: {rule.bad} of {rule.periods} periods would have to be bad."
        found.append(Finding(text, f"Write 1 to {rule.periods}."))
    if rule.period * rule.periods > LONGEST:
        text = f"It looks back {duration(rule.period * rule.periods)}; the backend keeps to {duration(LONGEST)}."
        found.append(Finding(text, "Take fewer or shorter periods."))
    elif rule.period * rule.bad > SLOW:
        text = f"It fires after {duration(rule.period * rule.bad)} at the earliest."
        found.append(Finding(text, "Take fewer or shorter periods.", stops=False))
    return found


def _missing(rule: AlarmRule) -> list[Finding]:
    falls = rule.comparison in (Comparison.BELOW, Comparison.AT_MOST)
    if falls and rule.missing in (Missing.GOOD, Missing.AS_IT_WAS):
        text = (
            f'It waits for too little, and counts what is missing as "{rule.missing}": when nothing comes at all there is no figure, '
            "and it does not fire."
        )
        return [Finding(text, f"Count what is missing as {Missing.BAD}.", stops=False)]
    if not falls and rule.missing is Missing.BAD:
        text = "It fires whenever no request comes: what is missing counts as bad."
        return [Finding(text, f"Count what is missing as {Missing.GOOD}.", stops=False)]
    if not falls and rule.missing is Missing.AS_IT_WAS:
        text = "Once it fired it stays so while no request comes: what is missing leaves it as it was."
        return [Finding(text, f"Count what is missing as {Missing.GOOD}.", stops=False)]
    return []
