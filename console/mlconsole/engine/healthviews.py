"""Health's values as the faces are shown them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from mlconsole.core.alarms import NEEDED, Alarm, AlarmState, Finding
from mlconsole.core.health import PAGES, Answer, EndpointHealth, Figures, Question, SliceHealth
from mlconsole.core.text import neutralise
from mlconsole.core.verdicts import Verdict
from mlconsole.engine.identifying import caller_view
from mlconsole.engine.views import AnswerView, EndpointHealthView, FiguresView, FindingView, SliceView, WatcherView
from mlconsole.registry import WatcherRow

_QUESTIONS = {question: place for place, question in enumerate(Question)}


def moment_of(seconds: float | None) -> datetime | None:
    """Epoch seconds as a moment."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def figures_view(figures: Figures) -> FiguresView:
    """Figures for a face."""
    return FiguresView(
        figures.n,
        figures.seconds,
        figures.rate,
        figures.errors,
        figures.p95,
        figures.same,
        figures.over,
        figures.lowest,
        figures.highest,
    )


def answer_view(answer: Answer, endpoint: str, pages: frozenset[Question] = PAGES) -> AnswerView:
    """An answer for a face."""
    return AnswerView(
        question=str(answer.question),
        verdict=str(answer.verdict),
        pages=answer.question in pages,
        endpoint=endpoint,
        variant=neutralise(answer.variant),
        slice=neutralise(answer.slice),
        subject=neutralise(answer.subject),
        value=answer.value,
        usual=answer.usual,
        limit=answer.limit,
        n=answer.n,
        need=answer.need,
        seconds=answer.seconds,
        since=moment_of(answer.since),
        text=neutralise(answer.text),
    )


def slice_view(one: SliceHealth, endpoint: str, need: int) -> SliceView:
    """A slice for a face."""
    return SliceView(
        slice=neutralise(one.slice),
        verdict=str(one.verdict),
        figures=figures_view(one.figures),
        usual=figures_view(one.usual),
        worst=answer_view(one.worst, endpoint) if one.worst else None,
        pooled=tuple(neutralise(name) for name in one.pooled),
        need=need,
    )


def endpoint_view(health: EndpointHealth, alarm: Alarm | None) -> EndpointHealthView:
    """An endpoint's health for a face; trends, marks, histogram and pairs are put in by who has them."""
    failing = health.failing
    missing = _missing(health.endpoint, alarm)
    worst = failing[0] if failing else None
    return EndpointHealthView(
        endpoint=health.endpoint,
        verdict=str(health.verdict),
        title=_title(health, alarm, missing),
        figures=figures_view(health.figures),
        usual=figures_view(health.usual),
        slices=tuple(slice_view(one, health.endpoint, missing.get(one.slice, 0)) for one in health.slices),
        answers=tuple(answer_view(one, health.endpoint) for one in health.answers),
        variants={neutralise(name): figures_view(figures) for name, figures in health.variants.items()},
        alarm=alarm.number if alarm else None,
        since=alarm.named_since if alarm else moment_of(worst.since if worst else None),
    )


def _title(health: EndpointHealth, alarm: Alarm | None, missing: Mapping[str, int]) -> str:
    """How it does in one or two words."""
    failing = health.failing
    if failing:
        worst = min(failing, key=lambda one: _QUESTIONS[one.question])
        where = worst.slice.partition("=")[2] or worst.slice
        whole = any(one.question is worst.question and not one.slice and not one.variant for one in failing)
        match worst.question:
            case Question.DEPENDENCY:
                return neutralise(f"{worst.subject} failing")
            case Question.ALARM:
                return neutralise(f"{worst.subject} in ALARM")
            case Question.LATENCY:
                word = "slow"
            case _:
                word = str(worst.question)
        return neutralise(word if whole or not where else f"{word} {where}")
    if alarm is not None and alarm.state is AlarmState.RECOVERING:
        proven = sum(1 for count in missing.values() if count == 0)
        return f"recovering, {proven} of {len(missing)} proven" if missing else "recovering"
    if health.verdict is Verdict.NO_DATA:
        return "no data"
    if health.verdict is Verdict.PASS:
        note = any(one.verdict is Verdict.FAIL and one.question not in PAGES for one in health.answers)
        return "ok · note" if note else "ok"
    return "too few yet" if health.verdict is Verdict.INCONCLUSIVE else "can't be told"


def _missing(endpoint: str, alarm: Alarm | None) -> dict[str, int]:
    """Slice → good predictions that it still needs, while the endpoint's alarm recovers."""
    if alarm is None or alarm.state is not AlarmState.RECOVERING:
        return {}
    missing: dict[str, int] = {}
    for finding in alarm.findings:
        if finding.endpoint == endpoint:
            for name in finding.slices:
                left = 0 if finding.well else max(0, NEEDED - finding.proven.get(name, 0))
                missing[name] = max(missing.get(name, 0), left)
    return missing


def finding_view(finding: Finding) -> FindingView:
    """A finding for a face."""
    return FindingView(
        question=str(finding.question),
        endpoint=finding.endpoint,
        variants=tuple(neutralise(name) for name in finding.variants),
        slices=tuple(neutralise(name) for name in finding.slices),
        since=finding.since,
        seen=finding.seen,
        text=neutralise(finding.text),
        value=finding.value,
        usual=finding.usual,
        n=finding.n,
        well=finding.well,
        proven={neutralise(name): count for name, count in finding.proven.items()},
        subject=neutralise(finding.subject),
    )


def watcher_view(row: WatcherRow | None) -> WatcherView:
    """Who watches, for a face."""
    if row is None:
        return WatcherView(alive=False)
    who = neutralise(f"guardian {row.holder} (pid {row.pid})")
    if row.alive:
        return WatcherView(True, who, row.since, row.beat, tuple(row.channels), neutralise(row.problem), caller_view(row.caller))
    return WatcherView(False, who, row.ended or row.beat, row.beat, tuple(row.channels), neutralise(row.dead_because))
