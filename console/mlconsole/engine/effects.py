"""What a failure did: how many predictions were wrong, and which."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mlconsole.core.alarms import Alarm, Finding
from mlconsole.core.evidence import Evidence
from mlconsole.core.health import OTHER, Question
from mlconsole.core.models import Json
from mlconsole.core.paging import SLOW_FACTOR, SLOW_LEAST, slow_counter
from mlconsole.core.summaries import APPLICATION, Summary
from mlconsole.engine.healthviews import moment_of

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.observations import Row

_NO_PREDICTIONS = frozenset({Question.SILENT, Question.DEPENDENCY, Question.ALARM, Question.WATCHER})
"""Questions that name no prediction that was wrong."""


def effect(findings: Sequence[Finding], evidence: Evidence, until: float) -> tuple[int, int | None]:
    """How many predictions were wrong since it began, and how many decisions were over the threshold."""
    wrong = over = 0
    scored = False
    for finding in findings:
        if finding.question in _NO_PREDICTIONS:
            continue
        since = finding.since.timestamp() - 10
        border = _border(finding, evidence.settings.latency_ms)
        names = ("",) if "" in finding.slices else finding.slices
        for key, windows in evidence.windows.items():
            if key.shadow or key.slice not in names or (any(finding.variants) and key.variant not in finding.variants):
                continue
            baseline = evidence.baselines.get(key.variant)
            for start, summary in windows.items():
                if not since <= start <= until:
                    continue
                wrong += _wrong(finding.question, summary, border)
                if finding.question is Question.IDENTICAL and baseline is not None and baseline.threshold is not None:
                    scored = True
                    over += summary.over(baseline.threshold)
    return wrong, over if scored else None


def affected_rows(session: Session, alarm: Alarm) -> Iterator[Mapping[str, Json | datetime]]:
    """The wrong predictions of an alarm among those that are stored, each once; all with the same fields."""
    store, environment = session.observations, session.environment.name
    keys = sorted({key for endpoint in alarm.endpoints for key in store.labels(environment, endpoint)})
    told: set[tuple[str, str, float]] = set()
    until = (alarm.closed or session.clock.now()).timestamp() + 60
    for finding in alarm.findings:
        if not finding.endpoint or finding.question in _NO_PREDICTIONS:
            continue
        last = min(until, finding.seen.timestamp() + 10)
        settings = session.workspace.endpoints.get(finding.endpoint)
        border = _border(finding, settings.health.latency_ms if settings else None)
        for name in finding.slices if "" not in finding.slices else ("",):
            wanted = "" if name == OTHER else name

            def rows(wanted: str = wanted, finding: Finding = finding, last: float = last) -> Iterator[Row]:
                found = store.rows(environment, finding.endpoint, finding.since.timestamp(), last, shadow=False, slice=wanted)
                # An application tells of the same requests once more.
                return (row for row in found if not row.application or APPLICATION in finding.variants)

            modal = _modal(rows()) if finding.question is Question.IDENTICAL else None
            for row in rows():
                if finding.variants and any(finding.variants) and row.variant not in finding.variants:
                    continue
                failed = row.status == 0 or (row.status >= 400 and row.status != 429)
                wrong = {
                    Question.ERRORS: failed,
                    Question.IDENTICAL: not failed and _output(row) == modal,
                    Question.LATENCY: not failed and row.ms > border,
                }.get(finding.question, False)
                mark = (finding.endpoint, row.request_id, row.time)
                if not wrong or mark in told:
                    continue
                told.add(mark)
                yield {
                    "request_id": row.request_id,
                    "time": moment_of(row.time),
                    "endpoint": finding.endpoint,
                    "variant": row.variant,
                    **{f"slice_{key}": row.slices.get(key, "") for key in keys},
                    "status": row.status,
                    "milliseconds": None if math.isnan(row.ms) else round(row.ms, 3),
                    "score": row.score,
                    "why": str(finding.question),
                    "error": row.error,
                }


def _output(row: Row) -> object:
    return round(row.score, 6) if row.score is not None else json.dumps(row.output, sort_keys=True, default=str)


def _modal(rows: Iterable[Row]) -> object:
    counts: dict[object, int] = {}
    for row in rows:
        if 0 < row.status < 400:
            output = _output(row)
            counts[output] = counts.get(output, 0) + 1
    return max(counts, key=lambda output: counts[output], default=None)


def _border(finding: Finding, absolute: float | None) -> float:
    """What was slow (ms), as it was judged: what was set, else what is far above the usual. Without either, nothing was."""
    if absolute is not None:
        return absolute
    usual = finding.usual
    return math.inf if usual is None else max(SLOW_FACTOR * usual, usual + SLOW_LEAST)


def _wrong(question: Question, summary: Summary, border: float) -> int:
    if question is Question.ERRORS:
        return summary.failed
    return slow_counter(border)(summary).bad if question is Question.LATENCY else summary.answered
