"""The timetable of a rollout: when each stage ends at the earliest, which slice is slowest, and which can't be judged at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlconsole.core.evidence import NEEDED_USUAL
from mlconsole.core.policies import GuardKind, GuardRule
from mlconsole.core.rollouts import PlannedStage
from mlconsole.core.staged import DAY
from mlconsole.core.text import duration
from mlconsole.core.traffic import WHOLE, percent
from mlconsole.core.wording import clock, count, told_together


@dataclass(frozen=True)
class StageTime:
    """How long a stage takes at the present traffic."""

    name: str
    seconds: float | None
    """None: it would hold for ever, for there are no requests."""
    ends: datetime | None
    why: str
    """`150 requests in de at 10 % take 1 h 35`, or `waits 10 min`."""
    slowest: str = ""
    """The slice that takes longest, where it is one (`KEY=VALUE`)."""
    not_judged: tuple[str, ...] = ()
    """Slices that can't reach their evidence in any useful time."""


def timetable(
    stages: Sequence[PlannedStage],
    rates: Mapping[str, float],
    guards: Sequence[GuardRule],
    now: datetime,
    *,
    deadline: float | None = None,
    change: float = 0.0,
) -> tuple[StageTime, ...]:
    """When each stage ends at the earliest; the last one's `ends` is the end of all.

    `rates` are the endpoint's requests a second by slice (`KEY=VALUE`; `""`: all), `deadline` the policy's, and `change` the seconds that
    each stage's change takes. A slice that can't reach the stage's evidence until the deadline, or within a day, is not judged by itself;
    that is how `core.staged` sees it too.
    """
    if not stages:
        return ()
    new = _newcomer(stages)
    asking = [rule for rule in guards if rule.kind is GuardKind.QUESTION and not rule.dry_run]
    slices = tuple(sorted(one for one in rates if one)) if any(rule.by_slice for rule in asking) else ()
    times: list[StageTime] = []
    ends: datetime | None = now
    for stage in stages:
        left = None if deadline is None or ends is None else deadline - (ends - now).total_seconds()
        most = DAY if left is None else max(stage.wait, left)
        time = _time(stage, new, rates, slices, most, asked=bool(asking))
        takes = None if time.seconds is None else time.seconds + (0.0 if stage.bake else change)
        ends = None if takes is None or ends is None else ends + timedelta(seconds=takes)
        times.append(StageTime(stage.name, takes, ends, time.why, time.slowest, time.not_judged))
    return tuple(times)


def told(times: Sequence[StageTime], now: datetime) -> str:
    """The end in one line: `about 14:00; de is slowest (150 requests at 10 % take 1 h 35)`, and who is not judged."""
    stuck = next((time for time in times if time.ends is None), None)
    if not times:
        return ""
    if stuck is not None:
        text = f"never at the present traffic: {stuck.name} {stuck.why}"
    else:
        text = f"about {clock(times[-1].ends or now, now)}"
        slow = max((time for time in times if time.slowest), key=lambda time: time.seconds or 0.0, default=None)
        if slow is not None:
            value = _label(slow.slowest)
            text += f"; {value} is slowest ({slow.why.replace(f' in {value} ', ' ', 1)})"
    left_out = sorted({_label(one) for time in times for one in time.not_judged})
    return text + (f"; not judged in every stage: {told_together(left_out)}" if left_out else "")


def _time(
    stage: PlannedStage,
    new: str,
    rates: Mapping[str, float],
    slices: Sequence[str],
    most: float,
    *,
    asked: bool,
) -> StageTime:
    waits = f"waits {duration(stage.wait)}"
    rate = _rate(stage, new, rates, stage.slice)
    if asked and rate <= 0:
        return StageTime(stage.name, None, None, "has no requests now, and would hold until there are some", stage.slice)
    within = [one for one in slices if one != stage.slice] if not (stage.slice or stage.shadow) else []
    each: dict[str, float] = {}
    not_judged = []
    wanted = stage.evidence or (NEEDED_USUAL if asked else 0)
    for one in (stage.slice, *within):
        here = _rate(stage, new, rates, one)
        seconds = wanted / here if here > 0 else (most + 1 if wanted else 0.0)
        if one in within and seconds > most:
            not_judged.append(one)
        else:
            each[one] = seconds
    slowest = max(sorted(each), key=lambda one: each[one])
    if each[slowest] <= stage.wait:
        return StageTime(stage.name, stage.wait, None, waits, "", tuple(not_judged))
    if stage.shadow:
        why = f"{count(wanted)} pairs take {duration(each[slowest])}"
    else:
        inside = f" in {_label(slowest)}" if slowest else ""
        why = f"{count(wanted)} requests{inside} at {percent(stage.share)} % take {duration(each[slowest])}"
    return StageTime(stage.name, each[slowest], None, why, slowest, tuple(not_judged))


def _rate(stage: PlannedStage, new: str, rates: Mapping[str, float], one: str) -> float:
    """The new variant's requests a second in a stage, of a slice or (`""`) of all; copies in a shadow stage."""
    traffic = stage.content.traffic
    if stage.content.document is not None:
        return rates.get(one, 0.0)  # nobody knows which client made a request: all of them count
    if traffic is None:
        return 0.0
    total = rates.get("", 0.0)
    if stage.shadow:
        return rates.get(one, 0.0) * (traffic.shadow.sample if traffic.shadow else 0) / WHOLE
    by_slice = {f"{entry.key}={entry.value}": entry.split.get(new, 0) for entry in traffic.by_slice}
    if one in by_slice:
        return rates.get(one, 0.0) * by_slice[one] / WHOLE
    share = float(traffic.share(new))
    if total > 0 and (not one or {one.partition("=")[0]} != {other.partition("=")[0] for other in by_slice}):
        # A slice by another key is made of requests of all the values that have splits of their own.
        share += sum(rates.get(other, 0.0) / total * (theirs - traffic.share(new)) for other, theirs in by_slice.items())
    return max(0.0, rates.get(one, 0.0) * share / WHOLE)


def _newcomer(stages: Sequence[PlannedStage]) -> str:
    """Who has all of it in the end."""
    traffic = stages[-1].content.traffic
    return max(traffic.split, key=lambda name: traffic.split[name]) if traffic else ""


def _label(one: str) -> str:
    """The slice as people say it: `de`."""
    return one.partition("=")[2] or one
