"""Triage: what the registry and the predictions say about an alarm, put together for the rules in `core.triage`, and told in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.alarms import Alarm, AlarmState
from mlconsole.core.documents import config_target
from mlconsole.core.evidence import Evidence
from mlconsole.core.facts import JUST_BEFORE, SLACK, Change, EndpointFacts, Event, Facts, ProbeFact, Target
from mlconsole.core.health import EndpointHealth, Figures, Question
from mlconsole.core.live import as_live
from mlconsole.core.operations import OperationState
from mlconsole.core.pages import PageFacts, words_for
from mlconsole.core.pointers import told
from mlconsole.core.releases import Content, Release, Standing, describe_content
from mlconsole.core.text import duration, neutralise
from mlconsole.core.transitions import revert_target
from mlconsole.core.triage import Triage, title, triage
from mlconsole.core.verdicts import Verdict
from mlconsole.engine.effects import effect
from mlconsole.engine.healthviews import finding_view, moment_of
from mlconsole.engine.remembering import Memory
from mlconsole.engine.views import AlarmView, TriageView
from mlconsole.plugin.errors import MLConsoleError, UsageError
from mlconsole.plugin.roles import Notice

if TYPE_CHECKING:
    from mlconsole.core.operations import Operation
    from mlconsole.engine.session import Session
    from mlconsole.registry import ProbeRow

_LEAST = 15
"""Predictions from which a variant that has not failed counts as fine."""


@dataclass(frozen=True)
class Look:
    """What one look saw: by endpoint how it was judged, on what evidence, and the probes it can't do without; and what the probes saw.

    Empty but for the probes where nobody looked just now: an alarm in a list, or one that somebody acknowledges.
    """

    probes: Sequence[ProbeRow]
    judged: Mapping[str, EndpointHealth] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    depends: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Triaging:
    """Tells the alarms of one environment."""

    def __init__(self, session: Session, memory: Memory | None = None) -> None:
        self._session = session
        self._memory = memory or Memory(session)

    def alarm_view(self, alarm: Alarm, look: Look) -> AlarmView:
        """An alarm for a face, with its triage."""
        told = self._triage(alarm, look)
        events = self._memory.get(("events", alarm.number), lambda: self._session.registry.alarm_events(alarm.number))
        has = alarm.acknowledged
        return AlarmView(
            number=alarm.number,
            environment=alarm.environment,
            state=str(alarm.state),
            title=told.title,
            question=str(alarm.worst.question),
            endpoints=tuple(neutralise(name) for name in alarm.endpoints),
            since=alarm.named_since,
            opened=alarm.opened,
            findings=tuple(finding_view(one) for one in alarm.findings),
            triage=TriageView(**asdict(told)),
            acknowledged_by=neutralise(str(has.who)) if has else "",
            acknowledged_at=has.at if has else None,
            acknowledged_text=neutralise(has.text) if has else "",
            closed=alarm.closed,
            closed_by=neutralise(alarm.closed_by),
            told=tuple(f"{one.text} {one.at.astimezone():%H:%M}" for one in events if one.kind == "told"),
            events=tuple((one.at, one.text) for one in events),
        )

    def notice(self, alarm: Alarm, key: str, look: Look, waited: float | None = None) -> Notice:
        """What people are sent about an alarm; `key` as `core.alarms.Told` has it, or `reminder`, `acknowledged`.

        Where its triage fails of a bug of ours, a bare page goes out all the same: nobody sleeps through an alarm for want of its words.
        """
        try:
            return self._notice(alarm, key, look, waited)
        except MLConsoleError as error:
            problem = error.message
        except Exception as error:  # noqa: BLE001 - see above
            problem = f"{type(error).__name__}: {error}"
        title = neutralise(f"{alarm.environment}: {', '.join(alarm.endpoints)} {alarm.worst.question} (alarm {alarm.number})")
        lines = (f"mlconsole health alarm {alarm.number} --env {alarm.environment}", neutralise(f"its triage failed: {problem}"))
        return Notice(self._key(alarm, key), title, lines, "page", alarm.environment, alarm.number)

    def _key(self, alarm: Alarm, key: str) -> str:
        return f"{self._session.workspace.name}:{alarm.environment}:{alarm.number}:{key}"

    def _notice(self, alarm: Alarm, key: str, look: Look, waited: float | None) -> Notice:
        session, now = self._session, self._session.clock.now()
        told = self._triage(alarm, look)
        events = session.registry.alarm_events(alarm.number) if key == "reminder" else []
        page = PageFacts(
            now=now,
            host=session.actor.host,
            next_page=_next_page(session, alarm) if key.partition(":")[0] in ("opened", "joined", "again") else None,
            told=tuple(f"{one.text} {one.at.astimezone():%H:%M}" for one in events if one.kind == "told"),
            waited=waited,
        )
        words = words_for("second" if key == "reminder" else key, alarm, told, page)
        return Notice(
            key=self._key(alarm, key),
            title=words.title,
            lines=words.lines,
            severity=words.severity,
            environment=alarm.environment,
            alarm=alarm.number,
            fields={
                "state": str(alarm.state),
                "question": str(alarm.worst.question),
                "endpoints": list(alarm.endpoints),
                "since": alarm.since.isoformat(),
            },
        )

    def _triage(self, alarm: Alarm, look: Look) -> Triage:
        session = self._session
        now = session.clock.now()
        endpoints = {
            name: self._endpoint(name, alarm, look.judged.get(name), look.evidence[name])
            for name in alarm.endpoints
            if name in look.evidence
        }
        recent = self._memory.get("operations", lambda: session.registry.operations(session.environment.name, limit=20))
        told = triage(
            Facts(
                alarm=alarm,
                now=now,
                endpoints=endpoints,
                last_change=next((_change(one) for one in recent if one.state is OperationState.DONE), None),
                events=tuple(self._events(alarm, recent)),
                probes=tuple(self._probes(alarm, look)),
                others={
                    name: moment
                    for name, health in look.judged.items()
                    if name not in alarm.endpoints and health.failing and (moment := moment_of(health.failing[0].since)) is not None
                },
                well=sum(1 for health in look.judged.values() if health.verdict is Verdict.PASS),
            )
        )
        if endpoints or not alarm.endpoints:
            return told
        # Nobody looked just now (a list, somebody acknowledges): it is called as when it was found, and what would help is not known.
        known = {name: self._slices(name) for name in alarm.endpoints}
        return replace(told, title=title(alarm, known), revert_helps=None, revert="")

    def _slices(self, endpoint: str) -> tuple[str, ...]:
        """All slices of an endpoint that were ever seen."""
        store, environment = self._session.observations, self._session.environment.name
        labels = self._memory.get(("labels", endpoint), lambda: store.labels(environment, endpoint))
        return tuple(f"{key}={value}" for key, values in labels.items() for value in values)

    def _endpoint(self, name: str, alarm: Alarm, health: EndpointHealth | None, evidence: Evidence) -> EndpointFacts:
        session = self._session
        recorded = self._memory.get(("live", name), lambda: session.registry.live_release(session.environment.name, name))
        content = recorded.release.content if recorded else Content()
        findings = [one for one in alarm.findings if one.endpoint == name]
        until = (alarm.recovering or alarm.closed or session.clock.now()).timestamp()
        wrong, over = effect(findings, evidence, until)
        since = min((one.since.timestamp() for one in findings), default=until)
        last = self._last_change(name, since)
        usual_over = None
        if health is not None and health.usual.over is not None and health.usual.rate is not None:
            usual_over = health.usual.over * health.usual.rate * (until - since)
        return EndpointFacts(
            endpoint=name,
            serving={
                one.name: (f"{one.model}@{one.version}", evidence.serving.get(one.name, 0.0))
                for one in content.variants
                if one.name in evidence.serving
            },
            slices=tuple(sorted({key.slice for key in evidence.windows if key.slice and not key.shadow})),
            fine=frozenset(_fine(health)) if health else frozenset(),
            # Of what is over nothing is compared with now.
            now=health.figures if health and alarm.state is not AlarmState.CLOSED else Figures(),
            usual=health.usual if health and alarm.state is not AlarmState.CLOSED else Figures(),
            wrong=wrong,
            over=over,
            over_usual=usual_over,
            last_change=last,
            target=_config_before(last, since) or self._memory.get(("target", name), lambda: self._target(name, content)),
        )

    def _last_change(self, name: str, since: float) -> Change | None:
        """The last change that went live before it began; where there was none, the first one after."""
        session = self._session
        environment = session.environment.name
        operations = self._memory.get(("operations", name), lambda: session.registry.operations(environment, name, limit=20))
        shifted = self._memory.get(("since", name), lambda: session.registry.traffic_since(environment, name))
        changes = [_change(one) for one in operations if one.state is OperationState.DONE]
        if changes and shifted is not None:
            changes[0] = replace(changes[0], at=shifted)
        published = self._memory.get("published", lambda: tuple(self._published()))
        changes += [replace(change, endpoint=name) for change, touched in published if name in touched]
        changes.sort(key=lambda one: one.at, reverse=True)
        before = [one for one in changes if one.at.timestamp() <= since + SLACK.total_seconds()]
        return before[0] if before else changes[-1] if changes else None

    def _published(self) -> Iterator[tuple[Change, tuple[str, ...]]]:
        """The last changes of config documents, and which endpoints each touched: a value that is wrong there breaks what reads it."""
        session = self._session
        if not session.workspace.configs:
            return
        from mlconsole.engine import documenting

        for document in session.workspace.configs:
            target = config_target(document)
            for one in session.registry.operations(session.environment.name, target, limit=20):
                wanted = one.plan.then.document
                if one.state is not OperationState.DONE or wanted is None:
                    continue
                try:
                    touched = documenting.endpoints_touched(session, document, wanted.pointers, wanted.digest)
                except MLConsoleError:
                    continue
                values = ", ".join(told(pointer) or "all of it" for pointer in wanted.pointers[:2])
                more = f" and {len(wanted.pointers) - 2} more" if len(wanted.pointers) > 2 else ""
                what = neutralise(f"config {document} {wanted.version} ({values}{more})")
                yield Change(one.ended or one.started, what, neutralise(one.actor.user), document=document), touched

    def _target(self, name: str, content: Content) -> Target | None:
        """Where going back would lead."""
        session = self._session
        history = [(entry.release, entry.standing) for entry in session.registry.releases(session.environment.name, name, limit=200)]
        target = _back(history)
        if target is None:
            return None
        traffic = target.content.traffic
        serving = [one for one in target.content.variants if traffic and traffic.reaches(one.name)]
        running = {one.digest for one in content.variants}
        try:
            seconds = sum(step.seconds for step in session.backend.steps(as_live(content, name), target.content))
        except MLConsoleError:
            seconds = 0.0
        settings = session.workspace.endpoints.get(name)
        return Target(
            release=target.number,
            content=describe_content(target.content),
            running=all(one.digest in running for one in serving),
            seconds=seconds,
            depends=settings.probes(one.version for one in serving) if settings else (),
        )

    def _events(self, alarm: Alarm, recent: Sequence[Operation]) -> Iterator[Event]:
        session = self._session
        earliest = alarm.since - JUST_BEFORE
        for one in recent:
            if one.endpoint in alarm.endpoints and one.started >= earliest:
                yield Event(one.started, "change", neutralise(f"{one.endpoint} {describe_content(one.plan.then)} ({one.plan.kind})"))
        events = self._memory.get(("probe events", alarm.number), lambda: session.registry.probe_events(session.environment.name, earliest))
        for seen in events:
            if seen.ok and "→" not in seen.text:
                continue  # that it answers again, or for the first time, explains nothing
            yield Event(seen.at, "probe", neutralise(f"{seen.name} {seen.text}"))
        for run in self._memory.get("runs", lambda: session.registry.runs(session.environment.name, limit=20)):
            if run.asked >= earliest:
                yield Event(run.asked, "action", neutralise(f"action {run.action} by {run.actor}"))

    def _probes(self, alarm: Alarm, look: Look) -> Iterator[ProbeFact]:
        """Those that the alarm's endpoints need, and those that it is about."""
        session = self._session
        wanted = {name for endpoint in alarm.endpoints for name in look.depends.get(endpoint, ())} | {
            one.subject for one in alarm.findings if one.question is Question.DEPENDENCY
        }
        for row in look.probes:
            settings = session.environment.probes.get(row.name)
            if row.name not in wanted or settings is None:
                continue
            repair = session.workspace.actions.get(settings.repair or "")
            told = f"at most {duration(repair.time_limit)}" if repair else ""
            checks = (
                " and ".join([*([repair.check_probe] if repair.check_probe else []), *(["golden queries"] if repair.check_golden else [])])
                if repair
                else ""
            )
            yield ProbeFact(
                name=row.name,
                ok=row.ok,
                text=row.text,
                since=row.since,
                endpoints=tuple(name for name, names in look.depends.items() if row.name in names),
                repair=settings.repair or "",
                repair_told=f"{told}, and checks {checks}" if told and checks else told,
            )


def _config_before(last: Change | None, since: float) -> Target | None:
    """Where going back leads when a config document was what moved last before it began: every version of it is there still."""
    if last is None or not last.document or not 0 <= since - last.at.timestamp() + SLACK.total_seconds() <= JUST_BEFORE.total_seconds():
        return None
    return Target(None, f"config {last.document} as it was: mlconsole config revert {last.document}", running=True, seconds=0.0)


def _fine(health: EndpointHealth) -> Iterator[str]:
    """Variants and slices that were asked enough and are well."""
    for one in health.slices:
        if one.slice and one.verdict is Verdict.PASS:
            yield one.slice
    failing = {one.variant for one in health.failing}
    for name, figures in health.variants.items():
        if name and name not in failing and figures.n >= _LEAST:
            yield name


def _change(operation: Operation) -> Change:
    before, after = operation.plan.now, operation.plan.then
    reached = {one.name for one in after.variants if after.traffic and after.traffic.reaches(one.name)}
    former = {one.name for one in before.variants if before.traffic and before.traffic.reaches(one.name)}
    return Change(
        at=operation.ended or operation.started,
        what=neutralise(f"#{operation.release} {describe_content(before)} → {describe_content(after)}"),
        who=neutralise(operation.actor.user),
        endpoint=operation.endpoint,
        variants=tuple(sorted(reached - former)),
    )


def _back(history: Sequence[tuple[Release, Standing]]) -> Release | None:
    """Where going back leads; after a revert, the last one that stood before it (a person would have to name it)."""
    try:
        return revert_target(history)
    except UsageError:
        return next((release for release, standing in history if standing is Standing.PAST and release.content.variants), None)


def _next_page(session: Session, alarm: Alarm) -> tuple[str, datetime] | None:
    later = [
        (channel.name, alarm.opened + timedelta(minutes=channel.after_minutes))
        for channel in session.environment.channels.values()
        if channel.after_minutes is not None
    ]
    return min(later, key=lambda pair: pair[1], default=None)
