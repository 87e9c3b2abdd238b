"""Health: what is predicted is ingested, dependencies are asked, every endpoint is judged by its worst slice, and alarms are kept of it.

Whoever looks does the same: the guardian all the time, the console while it is open, a command once. While a guardian is alive the others
leave writing to it and read what it wrote. The rules are in `core`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mlconsole.core.alarms import NEEDED, Alarm, AlarmState, Finding, settle
from mlconsole.core.evidence import Evidence
from mlconsole.core.health import Answer, EndpointHealth, Figures, Question
from mlconsole.core.questions import judge, proven
from mlconsole.core.text import duration
from mlconsole.core.verdicts import Verdict
from mlconsole.engine import metering, nativealarms
from mlconsole.engine.acting import view_of
from mlconsole.engine.drawing import Drawing, histogram_view
from mlconsole.engine.evidencing import HORIZON, Gathering
from mlconsole.engine.healthviews import endpoint_view, moment_of, watcher_view
from mlconsole.engine.ingesting import Ingest, Ingested
from mlconsole.engine.pairing import Pairing
from mlconsole.engine.probing import Prober
from mlconsole.engine.remembering import Memory
from mlconsole.engine.triaging import Look, Triaging
from mlconsole.engine.views import AlarmView, EndpointHealthView, HealthView, ProbeView
from mlconsole.engine.wanted import contents
from mlconsole.plugin.errors import MLConsoleError

if TYPE_CHECKING:
    from mlconsole.core.live import Live
    from mlconsole.core.releases import Content
    from mlconsole.engine.session import Session
    from mlconsole.registry import ActionRun, ProbeRow
    from mlconsole.workspace.health import ProbeSettings

_RECENT = timedelta(days=1)
"""Alarms that were closed, and actions that were run, are shown for so long."""

_UNREADABLE = 60.0
"""Seconds without readable predictions after which nobody really watches: that pages."""

_TOLD_BY = 60.0
"""Seconds in which somebody has usually been told of an alarm; its reminders wait for that, for they say who it was."""

_STALE_PROBE = 60.0
"""A sighting older than this, or than five intervals of its probe, tells nothing of now (s)."""

_WORST = {Verdict.FAIL: 0, Verdict.NO_DATA: 2, Verdict.ERROR: 1, Verdict.INCONCLUSIVE: 3, Verdict.PASS: 4}


class HealthWatch:
    """Looks at one environment again and again; each look reads only what is new."""

    def __init__(self, session: Session, *, guardian: bool = False) -> None:
        self._session = session
        self._guardian = guardian
        self._ingest, self._prober = Ingest(session), Prober(session)
        self._pairing = Pairing(session)
        self._memory = Memory(session)
        self._gathering = Gathering(session, self._memory)
        self._triaging = Triaging(session, self._memory)
        self._drawing = Drawing(session, self._memory, self._gathering)
        self._ingested = Ingested(0, True)
        """What came of the last ingest; where others watch, none is made."""
        self._unreadable: float | None = None
        """Since when predictions can't be read (elapsed)."""
        self._told = nativealarms.Told(())
        """How the backend's own alarms are."""
        self._first = True
        self._reminded: set[tuple[int, str]] = set()
        """The alarms and second channels whose reminders are in the outbox."""
        self.minutes = 60.0
        """How long trends are."""
        self.drawn: set[str] | None = set()
        """The endpoints that trends, histograms and pairs are wanted of, besides those with an alarm; None: all."""
        self.near: set[str] | None = set()
        """The endpoints that somebody looks at here, whose metrics are asked for each period; None: all."""
        self.view: HealthView | None = None
        """The last look."""

    def look(self, live: Mapping[str, Live] | None = None) -> HealthView:
        """How everything is now. `live`: what the backend says of the endpoints, where somebody has asked it just now.

        Raises:
            MLConsoleError: registry or store can't be read. A backend or a source that does not answer is part of the view instead.
        """
        session = self._session
        environment = session.environment.name
        watcher = session.registry.watcher(environment)
        watched = watcher is not None and watcher.alive
        active = not session.read_only and (self._guardian or not watched)
        if active:
            self._take_in()
        elif not session.read_only and self.near != set():
            self._take_in_near()
        self._gathering.horizon = max(HORIZON, 60 * self.minutes + 600)
        self._gathering.refresh()
        self._memory.refresh()
        found = self._memory.get("contents", lambda: contents(session))
        alarms = self._alarms()
        judged: dict[str, EndpointHealth] = {}
        evidence: dict[str, Evidence] = {}
        for name in dict.fromkeys([*found, *self._gathering.seen()]):
            there = live.get(name) if live else None
            resources = {one.name: one.resources for one in there.variants} if there else {}
            evidence[name] = self._gathering.evidence(name, found.get(name), alarms, resources)
            judged[name] = self._judged(evidence[name])
        self._told = nativealarms.look(session)
        probes = [self._of_now(row) for row in session.registry.probes(environment)]
        depends = {name: dependencies(session, name, content) for name, content in found.items()}
        failing = self._failing(judged, probes, depends, alarms)
        for name, answers in failing.items():
            if name in judged:
                judged[name] = _with(judged[name], answers)
        seen = Look(probes, judged, evidence, depends)
        if active:
            paging = {name: [one for one in answers if self._pages(name, one)] for name, answers in failing.items()}
            self._settle(paging, seen)
            self._memory.refresh()
            alarms = self._alarms()
        now = session.clock.now()
        shown = [one for one in alarms if one.closed is None or one.closed > now - _RECENT]
        views = tuple(self._triaging.alarm_view(one, seen) for one in shown)
        self.view = HealthView(
            at=now,
            as_of=moment_of(self._gathering.newest()),
            endpoints=tuple(self._endpoints(seen, alarms, found)),
            alarms=tuple(sorted(views, key=_alarm_order)),
            probes=tuple(self._probes(seen)),
            watcher=watcher_view(watcher),
            runs=tuple(view_of(run) for run in self._runs() if run.ended is None or run.ended > now - _RECENT),
            trouble=self._trouble(),
            natives=nativealarms.views(self._told),
            notes=tuple(self._ingest.coverage().notes),
            minutes=self.minutes,
        )
        return self.view

    def _judged(self, evidence: Evidence) -> EndpointHealth:
        """How an endpoint is. What is in one's predictions and was never thought of must not blind us for all the others."""
        try:
            return judge(evidence, self._gathering.cache(evidence.endpoint))
        except Exception as error:  # noqa: BLE001 - see above
            text = f"it can't be judged: {type(error).__name__}: {error}"
            answer = Answer(Question.ERRORS, Verdict.ERROR, text=text)
            return EndpointHealth(evidence.endpoint, Verdict.ERROR, (answer,), (), Figures(), Figures())

    def _alarms(self) -> list[Alarm]:
        """The newest ones, open and closed."""
        return self._memory.get("alarms", lambda: self._session.registry.alarms(self._session.environment.name, limit=50))

    def _runs(self) -> list[ActionRun]:
        """The newest runs of actions; one that runs may die without anybody writing that down."""
        registry, environment = self._session.registry, self._session.environment.name
        runs = self._memory.get("runs", lambda: registry.runs(environment, limit=20))
        return registry.runs(environment, limit=20) if any(run.ended is None for run in runs) else runs

    def _take_in(self) -> None:
        """Predictions into the store, sightings into the registry."""
        try:
            self._ingested = self._ingest.run(self._asked_often())
        except MLConsoleError as error:
            self._ingested = Ingested(0, False, (error,))
        elapsed = self._session.clock.elapsed()
        if self._ingested.trouble:
            self._unreadable = elapsed if self._unreadable is None else self._unreadable
        else:
            self._unreadable = None
        # The first look waits for what the probes see: what they saw when somebody watched last may be long over. Later ones collect it
        # the next time.
        self._prober.run(wait=self._first)
        self._first = False

    def _asked_often(self) -> set[str] | None:
        """The endpoints whose metrics are asked for each period: those in sight here, in trouble, or in a rollout."""
        if self.near is None or not metering.bound(self._session):
            return self.near
        environment = self._session.environment.name
        rollouts = self._memory.get("rollouts", lambda: self._session.registry.unfinished_rollouts(environment))
        troubled = {name for alarm in self._alarms() if alarm.closed is None for name in alarm.endpoints}
        return self.near | troubled | {one.endpoint for one in rollouts}

    def _take_in_near(self) -> None:
        """Metrics of what is in sight here; all else is taken in by the guardian, which does not know what that is."""
        with suppress(MLConsoleError):  # the store is locked: the next look tries again
            self._ingest.meter(self.near)

    def _pages(self, endpoint: str, answer: Answer) -> bool:
        settings = self._session.workspace.endpoints.get(endpoint)
        return settings is None or answer.question in settings.health.pages

    def _of_now(self, row: ProbeRow) -> ProbeRow:
        """What a probe saw; what it saw long ago tells nothing of now, neither that something fails nor that it is well."""
        settings = self._session.environment.probes.get(row.name)
        return row if settings is None or _age(self._session, settings, row) is None else replace(row, ok=None)

    def _failing(
        self,
        judged: Mapping[str, EndpointHealth],
        probes: Sequence[ProbeRow],
        depends: Mapping[str, Sequence[str]],
        alarms: Sequence[Alarm],
    ) -> dict[str, list[Answer]]:
        """What is found, by endpoint; a dependency that fails counts for each endpoint that can't do without it just now."""
        failing: dict[str, list[Answer]] = {name: list(health.failing) for name, health in judged.items() if health.failing}
        named = {one.probe for endpoint in self._session.workspace.endpoints.values() for one in endpoint.depends_on}
        for row in probes:
            if row.ok is not False or row.name not in self._session.environment.probes:
                continue
            answer = Answer(
                Question.DEPENDENCY, Verdict.FAIL, subject=row.name, value=row.value, since=row.since.timestamp(), text=row.text
            )
            needing = [endpoint for endpoint, names in depends.items() if row.name in names]
            for endpoint in needing or ([] if row.name in named else [""]):
                failing.setdefault(endpoint, []).append(answer)
        for endpoint, answers in nativealarms.answers(self._told).items():
            failing.setdefault(endpoint, []).extend(answers)
        # Who begins to look while that lasts has not seen for how long; what is found already goes on.
        found = any(one.question is Question.WATCHER and not one.well for alarm in alarms if alarm.closed is None for one in alarm.findings)
        if self._unreadable is not None and (found or self._session.clock.elapsed() - self._unreadable > _UNREADABLE):
            since = self._session.clock.now().timestamp() - (self._session.clock.elapsed() - self._unreadable)
            why = self._ingested.trouble[0].message if self._ingested.trouble else ""
            what = self._ingested.unread
            answer = Answer(Question.WATCHER, Verdict.FAIL, subject=what, since=since, text=f"{what} can't be read: {why}")
            failing.setdefault("", []).append(answer)
        return failing

    def _settle(self, failing: Mapping[str, Sequence[Answer]], seen: Look) -> None:
        """Make alarms of it, in one transaction with what has to be told."""
        session = self._session
        environment, now = session.environment, session.clock.now()
        states = {row.name: row for row in seen.probes}

        def proofs(finding: Finding) -> Mapping[str, int]:
            if finding.question is Question.DEPENDENCY:
                row = states.get(finding.subject)
                # The workspace names it no more, or no version that serves needs it.
                gone = finding.subject not in environment.probes
                gone = gone or (finding.endpoint != "" and finding.subject not in seen.depends.get(finding.endpoint, ()))
                return {"": NEEDED} if gone or (row is not None and row.ok) else {}
            if finding.question is Question.WATCHER:
                return {"": NEEDED} if self._unreadable is None else {}
            if finding.question is Question.ALARM:
                return dict.fromkeys(finding.slices, NEEDED) if nativealarms.well(self._told, finding.subject) else {}
            there = seen.evidence.get(finding.endpoint)
            if there is None or not there.serving:  # the endpoint is gone: there is nothing left to prove
                return dict.fromkeys(finding.slices, NEEDED)
            cache = self._gathering.cache(finding.endpoint)
            return proven(there, finding.question, finding.slices, finding.seen.timestamp(), cache)

        if failing or any(alarm.closed is None for alarm in self._alarms()):
            # Who was woken by a second channel hears there that it is over.
            later = {one.name for one in environment.channels.values() if one.after_minutes is not None}
            sent = session.registry.notices(environment.name, limit=200) if later else []
            told = {(one.alarm, one.channel) for one in sent if one.channel in later and one.sent is not None}
            session.registry.settle_alarms(
                environment.name,
                lambda alarms: settle(alarms, failing, proofs, now, environment=environment.name, depends=seen.depends),
                lambda alarm, key: self._triaging.notice(alarm, key, seen),
                lambda notice: [
                    one.name
                    for one in environment.channels.values()
                    if one.takes(notice.severity)
                    and (one.after_minutes is None or (notice.severity == "recovered" and (notice.alarm, one.name) in told))
                ],
            )
            self._remind(seen)

    def _remind(self, seen: Look) -> None:
        """Second channels hear of what fires and nobody has after their time; each once for an alarm."""
        registry, environment = self._session.registry, self._session.environment
        later = [channel for channel in environment.channels.values() if channel.after_minutes is not None]
        if not later:
            return
        now = self._session.clock.now()
        for alarm in registry.alarms(environment.name, open_only=True):
            if alarm.acknowledged is not None or alarm.state is not AlarmState.FIRING:
                continue
            told = any(one.kind == "told" for one in registry.alarm_events(alarm.number))
            for channel in later:
                minutes = channel.after_minutes or 0.0
                at = alarm.opened + timedelta(minutes=minutes)
                # It says who was told before, and is put in before its time all the same: it goes out though the next look fails.
                soon = now - alarm.opened < timedelta(seconds=min(_TOLD_BY, 60 * minutes)) and not told
                if soon or (alarm.number, channel.name) in self._reminded:
                    continue
                self._reminded.add((alarm.number, channel.name))
                notice = self._triaging.notice(alarm, "reminder", seen, waited=60 * minutes)
                registry.enqueue(
                    environment.name,
                    f"{alarm.number}:reminder:{channel.name}",
                    channel.name,
                    notice,
                    alarm=alarm.number,
                    at=at,
                    unless_acknowledged=True,
                )

    # What is shown.

    def _endpoints(self, seen: Look, alarms: Sequence[Alarm], found: Mapping[str, Content]) -> Iterator[EndpointHealthView]:
        runs = self._runs()
        self._drawing.minutes = self.minutes
        for health in sorted(seen.judged.values(), key=lambda one: (_WORST[one.verdict], one.endpoint)):
            alarm = next((one for one in alarms if one.closed is None and health.endpoint in one.endpoints), None)
            view = endpoint_view(health, alarm)
            if self.drawn is None or alarm is not None or health.endpoint in self.drawn:
                evidence, content = seen.evidence[health.endpoint], found.get(health.endpoint)
                view = replace(
                    view,
                    trends=self._drawing.trends(evidence, health),
                    marks=self._drawing.marks(health.endpoint, alarms, runs),
                    histogram=histogram_view(evidence),
                    pairs=self._pairing.look(health.endpoint, content) if content else None,
                )
            yield view

    def _probes(self, seen: Look) -> Iterator[ProbeView]:
        known = {row.name: row for row in seen.probes}
        for settings in self._session.environment.probes.values():
            endpoints = tuple(name for name, names in seen.depends.items() if settings.name in names)
            row = known.get(settings.name)
            if row is None:
                yield ProbeView(settings.name, settings.kind, None, "not asked yet", None, None, endpoints, settings.repair or "")
                continue
            age = _age(self._session, settings, row)
            text = row.text if age is None else f"{row.text} ({duration(age)} ago)"
            yield ProbeView(
                settings.name,
                settings.kind,
                row.ok,
                text,
                row.since,
                row.looked,
                endpoints,
                settings.repair or "",
                row.value,
                row.unit,
            )

    def _trouble(self) -> str:
        if self._ingested.trouble:
            return f"{self._ingested.unread.capitalize()} can't be read: {self._ingested.trouble[0].message}"
        if not self._ingested.caught_up:
            newest = moment_of(self._gathering.newest())
            return (
                f"Catching up: predictions are read up to {newest.astimezone():%H:%M:%S}"
                if newest
                else "Catching up with what was predicted."
            )
        alarms = (f"Alarms of the backend can't be read: {self._told.trouble}",) if self._told.trouble else ()
        return "; ".join((*alarms, *self._ingested.passed, *self._ingest.coverage().trouble))


def look(session: Session, *, minutes: float = 60.0) -> HealthView:
    """One look, everything drawn: for commands."""
    watch = HealthWatch(session)
    watch.minutes, watch.drawn, watch.near = minutes, None, None
    return watch.look()


def dependencies(session: Session, endpoint: str, content: Content) -> tuple[str, ...]:
    """The probes whose failing this endpoint can't do without just now: those of all versions, and those of a version that serves."""
    settings = session.workspace.endpoints.get(endpoint)
    if settings is None or content.traffic is None:
        return ()
    serving = [one.version for one in content.variants if content.traffic.reaches(one.name)]
    return tuple(name for name in settings.probes(serving) if name in session.environment.probes)


def _age(session: Session, settings: ProbeSettings, row: ProbeRow) -> float | None:
    """How old a sighting is (s), where that is so old that it tells nothing of now; else None."""
    age = (session.clock.now() - row.looked).total_seconds()
    return age if age > max(_STALE_PROBE, 5 * settings.every) else None


def _with(health: EndpointHealth, answers: Sequence[Answer]) -> EndpointHealth:
    """An endpoint's health with what its dependencies and the backend's alarms add: one of them makes it fail though its own answers are
    well."""
    extra = tuple(one for one in answers if one.question in (Question.DEPENDENCY, Question.ALARM))
    return replace(health, verdict=Verdict.FAIL, answers=(*extra, *health.answers)) if extra else health


def _alarm_order(alarm: AlarmView) -> tuple[int, float]:
    return {"firing": 0, "recovering": 1}.get(alarm.state, 2), -alarm.opened.timestamp()
