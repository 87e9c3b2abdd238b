"""Drawing: an endpoint's trends, the marks on them and its histogram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.alarms import Alarm
from mlconsole.core.evidence import Evidence
from mlconsole.core.health import EndpointHealth
from mlconsole.core.summaries import APPLICATION
from mlconsole.core.trends import histogram, trend, trend_begin
from mlconsole.engine.healthviews import moment_of
from mlconsole.engine.views import HistogramView, MarkView, TrendView

if TYPE_CHECKING:
    from mlconsole.engine.evidencing import Gathering
    from mlconsole.engine.remembering import Memory
    from mlconsole.engine.session import Session
    from mlconsole.registry import ActionRun

_DRAWN = 5.0
"""Seconds for which a drawn trend is kept: its last value is of a minute."""


class Drawing:
    """Draws the endpoints of one environment, `minutes` back."""

    def __init__(self, session: Session, memory: Memory, gathering: Gathering) -> None:
        self._session, self._memory, self._gathering = session, memory, gathering
        self._kept: dict[str, tuple[float, float, tuple[TrendView, ...]]] = {}
        """Endpoint → when they were drawn (elapsed), how long they are, the trends."""
        self.minutes = 60.0

    def trends(self, evidence: Evidence, health: EndpointHealth) -> tuple[TrendView, ...]:
        """How the endpoint's figures and those of its probes went."""
        now = self._session.clock.elapsed()
        kept = self._kept.get(health.endpoint)
        if kept is None or kept[1] != self.minutes or now - kept[0] >= _DRAWN:
            kept = self._kept[health.endpoint] = now, self.minutes, tuple(self._trends(evidence, health))
        return kept[2]

    def _trends(self, evidence: Evidence, health: EndpointHealth) -> Iterator[TrendView]:
        step = max(10.0, self.minutes * 60 / 60)
        begin = moment_of(trend_begin(evidence.now, step, self.minutes))
        if begin is None:
            return
        usual, cache = health.usual, self._gathering.cache(health.endpoint)
        for name, unit, value in (
            ("same output", "%", usual.same),
            ("errors", "%", usual.errors),
            ("over threshold", "%", usual.over),
            ("p95", "ms", usual.p95),
        ):
            values = trend(evidence, name, step=step, minutes=self.minutes, cache=cache)
            if any(one is not None for one in values):
                yield TrendView(name, unit, begin, step, values, value)
        for probe in self._named(health.endpoint):
            points = self._session.registry.probe_values(self._session.environment.name, probe, begin)
            if points:
                yield TrendView(probe, "", begin, step, _stepped(points, begin, step, len(values)), None)

    def marks(self, endpoint: str, alarms: Sequence[Alarm], runs: Sequence[ActionRun]) -> tuple[MarkView, ...]:
        """What happened while the trends ran, oldest first: changes, what its probes saw, alarms, actions run for one."""
        registry, environment = self._session.registry, self._session.environment.name
        since = self._session.clock.now() - timedelta(minutes=self.minutes)
        operations = self._memory.get(("operations", endpoint), lambda: registry.operations(environment, endpoint, limit=20))
        # The events of one drawing serve the next ones as well, as long as nothing is written: `since` only moves on.
        events = self._memory.get(("probe events", self.minutes), lambda: registry.probe_events(environment, since))
        named = self._named(endpoint)
        marks = [MarkView(one.started, "change", f"{one.plan.kind} #{one.release}", endpoint) for one in operations]
        marks += [MarkView(one.at, "probe", f"{one.name} {one.text}", endpoint) for one in events if one.name in named]
        marks += [MarkView(one.opened, "alarm", f"alarm {one.number}", endpoint) for one in alarms if endpoint in one.endpoints]
        marks += [MarkView(run.started or run.asked, "action", run.action, endpoint) for run in runs if run.alarm is not None]
        return tuple(sorted((mark for mark in marks if mark.at >= since), key=lambda mark: mark.at))

    def _named(self, endpoint: str) -> Sequence[str]:
        """The probes that the endpoint's settings name, whichever version serves."""
        settings = self._session.workspace.endpoints.get(endpoint)
        return [one.probe for one in settings.depends_on if one.probe in self._session.environment.probes] if settings else []


def histogram_view(evidence: Evidence) -> HistogramView | None:
    """The scores of the variant with most of the traffic; None where nothing is to be drawn."""
    leading = max(evidence.serving, key=lambda name: evidence.serving[name], default=None)
    found = histogram(evidence, leading) if leading is not None and leading != APPLICATION else None
    if found is None:
        return None
    return HistogramView(tuple(found.edges), tuple(found.now), tuple(found.baseline), found.n, found.psi)


def _stepped(points: Sequence[tuple[datetime, float]], begin: datetime, step: float, count: int) -> tuple[float | None, ...]:
    """A probe's figures in the steps of a trend: the last one of each step; where none was taken, none."""
    values: list[float | None] = [None] * count
    for at, value in points:
        place = int((at - begin).total_seconds() // step)
        if 0 <= place < count:
            values[place] = value
    return tuple(values)
