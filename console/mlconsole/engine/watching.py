"""Watching: one poller takes snapshots; all screens render from the latest. What was observed is read on, never read again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.live import Live, short_digest
from mlconsole.core.models import ModelVersion
from mlconsole.core.observed import Observed, Seen, Shares
from mlconsole.engine import history, metering, models
from mlconsole.engine.combining import with_health
from mlconsole.engine.documentviews import DocumentView
from mlconsole.engine.endpoints import Look, look, overview
from mlconsole.engine.identifying import Acting
from mlconsole.engine.observing import WINDOW, own_splits, seen_of, split_since
from mlconsole.engine.remembering import Memory
from mlconsole.engine.snapshots import keep, last
from mlconsole.engine.views import EndpointView, HealthView, OperationView, RolloutView, Snapshot, State, StatusView, VersionView
from mlconsole.plugin.errors import MLConsoleError

if TYPE_CHECKING:
    from mlconsole.engine.health import HealthWatch
    from mlconsole.engine.meteredtraffic import MeteredTraffic
    from mlconsole.engine.session import Session
    from mlconsole.plugin.roles import Observation, Predictions

_MOST_PAGES = 5
_CHANGES, _REQUESTS = 200, 50
_MOST_SLICES = 500
_FULL = 30.0
"""Seconds after which all is read again though nothing seems to have changed."""

_MANY = 500
"""From so many versions on the first look takes those that were known last time, and the second one reads them."""

_PATIENCE = 3.0
"""Seconds that a look waits for any endpoint: one that hangs must not hold up the rows of the others."""

_LONG_STILL = 10
"""Looks in a row that found nothing new, after which health is asked for half as often again."""

_DOCUMENTS = 5.0
"""Seconds for which config documents are not put together anew while nothing was written here: only outside, or slowly, can they change."""

_SLOW, _RESTS = 5.0, 30.0
"""Seconds that config documents may take to be asked for, and for which they are not asked again when it was longer."""

_KEEP = 3.0
"""Seconds between two snapshots on disk while only figures move."""

_QUIET_HEALTH = 10.0
"""Seconds between two looks at health while nothing moves: then only time itself can make something of it, as of a silence."""

RATE_SECONDS = 30.0
"""Requests a second and errors are told of so many seconds."""


@dataclass
class _Tally:
    """What was seen of one endpoint since its traffic last changed, and a short tail for rates."""

    since: datetime
    tail_since: datetime
    """From when on `recent` has all there was."""
    n: int = 0
    failed: int = 0
    by_split: dict[str, Counter[str]] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    recent: deque[tuple[datetime, bool]] = field(default_factory=deque)
    by_slice: dict[str, Counter[str]] = field(default_factory=dict)

    def add_slices(self, one: Observation) -> None:
        """Who answered the requests of each slice value; the labels are foreign, so that not more than so many are kept."""
        if one.probe or one.shadow:
            return
        for key, value in one.slices.items():
            label = f"{key}={value}"
            if label in self.by_slice or len(self.by_slice) < _MOST_SLICES:
                self.by_slice.setdefault(label, Counter())[one.variant or ""] += 1

    def add(self, one: Seen, time: datetime) -> None:
        if one.probe:
            return
        if not one.shadow:
            self.recent.append((time, one.failed))
        if time < self.since:
            return
        if one.shadow:
            self.copies[one.variant or ""] += 1
            return
        self.n += 1
        self.failed += one.failed
        if one.pinned:
            return
        self.totals[one.split] += 1
        if one.variant is not None:
            self.by_split.setdefault(one.split, Counter())[one.variant] += 1

    def observed(self, now: datetime) -> Observed:
        shares = {split: Shares(total, dict(self.by_split.get(split, {}))) for split, total in self.totals.items()}
        return Observed(max(0.0, (now - self.since).total_seconds()), self.n, self.failed, shares, dict(self.copies))


@dataclass(frozen=True)
class _Before:
    """The last look at everything."""

    snapshot: Snapshot
    names: list[str]
    since: Mapping[str, datetime | None]
    """When the traffic of each last changed."""
    looked: Look
    full: float


class Watch:
    """Takes snapshots of one environment. It keeps a cursor into the predictions, so that each look reads only what is new."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cursor: str | None = None
        self._tallies: dict[str, _Tally] = {}
        self._own: Mapping[str, frozenset[str] | None] = {}
        self._known: dict[str, EndpointView] | None = None
        """Each endpoint as it was when it was last seen, with the time of that."""
        self._views: dict[str, tuple[models.VersionLine, VersionView]] = {}
        self._versions: Sequence[VersionView] = ()
        self._registered: list[ModelVersion] = []
        self._place = 0
        """In the order of registration: up to where versions were read."""
        self._kept_states: tuple[tuple[str, State, int | None], ...] | None = None
        self._kept_at = 0.0
        self._due = True
        """The versions were not asked for yet."""
        self._kept_versions: Sequence[VersionView] | None = None
        """Those that were written to disk last."""
        self._documents_kept: tuple[DocumentView, ...] = ()
        self._documents_rest = 0.0
        """Until when the config documents are not asked for again (elapsed)."""
        self._documents_of: int | None = None
        """The revision of the registry that they were put together of; None: they rest whatever is written."""
        self._before: _Before | None = None
        self._arrived = False
        """Whether the last look brought predictions."""
        self._memory = Memory(session)
        self._acts = Acting(session)
        self._metered: MeteredTraffic | None = None
        self._health: HealthWatch | None = None
        self._health_view: HealthView | None = None
        self._health_looked = -_QUIET_HEALTH
        self.minutes = 60.0
        """How long the trends of health are."""
        self.drawn: frozenset[str] = frozenset()
        """The endpoints of which health's trends are wanted just now."""
        self.still = 0
        """So many looks in a row found nothing new: whoever asks may ask less often."""

    def take(self) -> Snapshot:
        """The state of the world now; also kept on disk as the last known one.

        Where nothing was written into the registry, the backend says the same and nobody was answered, it is the former one with another
        time: a console that is left open costs next to nothing.

        Raises:
            MLConsoleError: the registry itself can't be read; a backend that does not answer is part of the snapshot instead.
        """
        session, before = self._session, self._before
        unwritten = not self._memory.refresh() and before is not None
        if before is not None and unwritten:
            names, since = before.names, before.since
        else:
            names = [row.name for row in session.registry.endpoints(session.environment.name)]
            since = {name: split_since(session, name) for name in names}
            self._own = {name: own_splits(session, name) for name in names}
        began = session.clock.elapsed()
        self._acts.ask()
        observed = self._observe(names, since)
        looked = look(session, names, patience=_PATIENCE)
        unanswered = not self._arrived and (self._metered is not None or not any(tally.recent for tally in self._tallies.values()))
        still = before is not None and unwritten and unanswered and looked == before.looked
        health, told = self._look_at_health(looked, quiet=still)
        if before is not None and still and not told:
            self.still += 1
            if began - before.full < _FULL:
                now = session.clock.now()
                return replace(before.snapshot, status=replace(before.snapshot.status, at=now), seen=now, caller=self._acts.caller)
        else:
            self.still = 0
        status = overview(session, observed=observed, looked=looked)
        status = self._with_last_known(self._with_rates(status))
        if health is not None:
            status = with_health(status, health)
        blind = next((e for e in status.endpoints if e.state is State.NO_DATA), None) if status.blind else None
        limits = _limits(session)
        snapshot = Snapshot(
            status=status,
            versions=self._listed(),
            changes=self._changes(running=bool(status.running)),
            releases=self._memory.get("releases", lambda: tuple(history.releases(session, limit=_CHANGES))),
            environments=tuple(session.workspace.environments),
            who=str(session.actor),
            backend="/".join(dict.fromkeys(session.environment.roles.values())),
            blind=blind.finding if blind else status.trouble,
            blind_next=blind.next if blind else status.trouble_next,
            slices=limits[0],
            shadow=limits[1],
            health=health,
            rollouts=self._rollouts(),
            policies={name: one.policy for name, one in session.workspace.endpoints.items()},
            approvals=self._memory.get("approvals", lambda: tuple(history.requests(session, limit=_REQUESTS))),
            documents=self._documents(),
            caller=self._acts.caller,
            guardian_only=session.environment.guardian_only,
            seen=max((e.as_of for e in status.endpoints if e.as_of), default=None) if status.blind else status.at,
        )
        states = tuple((one.name, one.state, one.release) for one in status.endpoints)
        if not session.read_only and (states != self._kept_states or began - self._kept_at >= _KEEP):
            self._kept_states, self._kept_at = states, began
            keep(session.workspace.root / ".mlconsole", snapshot, versions=self._versions is not self._kept_versions)
            self._kept_versions = self._versions
        busy = bool(status.running) or any(not one.over for one in snapshot.rollouts)
        settled = not busy and not status.blind and isinstance(self._versions, tuple)
        self._before = _Before(snapshot, names, since, looked, began) if settled else None
        return snapshot

    def _documents(self) -> tuple[DocumentView, ...]:
        """The config documents; a store that does not answer is left in peace for a while, and does not hold up what else is looked at."""
        session = self._session
        if not session.workspace.configs or "config" not in session.environment.roles:
            return ()
        began = session.clock.elapsed()
        revision = session.registry.revision()
        if began < self._documents_rest and self._documents_of in (None, revision):
            return self._documents_kept
        from mlconsole.engine import configuring

        self._documents_kept = configuring.documents(session)
        slow = session.clock.elapsed() - began > _SLOW
        self._documents_of = None if slow else revision
        self._documents_rest = session.clock.elapsed() + _RESTS if slow else began + _DOCUMENTS
        return self._documents_kept

    def _rollouts(self) -> tuple[RolloutView, ...]:
        """Those that run are read at each look, for what their guards say changes all the time."""
        if self._memory.get("rollouts", lambda: bool(self._session.registry.rollouts(self._session.environment.name, limit=1))):
            from mlconsole.engine import rolloutviews

            return rolloutviews.shown(self._session)
        return ()

    def _look_at_health(self, looked: Look, *, quiet: bool) -> tuple[HealthView | None, bool]:
        """How everything really does, and whether that says something else than the last time; asked less often while nothing moves."""
        session = self._session
        if not session.environment.looked_at:
            return None, False
        now = session.clock.elapsed()
        if quiet and now - self._health_looked < _QUIET_HEALTH * (2 if self.still >= _LONG_STILL else 1):
            return self._health_view, False
        if self._health is None:
            from mlconsole.engine.health import HealthWatch

            self._health = HealthWatch(session)
        self._health.minutes, self._health.drawn = self.minutes, set(self.drawn)
        self._health.near = set(looked.live) if len(looked.live) <= metering.IN_SIGHT else set(self.drawn)
        self._health_looked = now
        before = self._health_view
        self._health_view = self._health.look({name: there for name, there in looked.live.items() if isinstance(there, Live)})
        return self._health_view, before is None or not _same(before, self._health_view)

    def _changes(self, *, running: bool) -> tuple[OperationView, ...]:
        """The latest changes. Whether somebody still drives a running one is written nowhere that a revision tells of."""
        session = self._session
        if running:
            return tuple(history.changes(session, limit=_CHANGES))
        return self._memory.get("changes", lambda: tuple(history.changes(session, limit=_CHANGES)))

    def _listed(self) -> Sequence[VersionView]:
        """All versions. A version never changes, so each is read once, and its view is made anew only when it runs elsewhere; when none
        did, it is the very same tuple, by which a screen with ten thousand of them sees that it has nothing to do.
        """
        if self._due:
            self._due = False
            before = last(self._session.workspace.root / ".mlconsole", self._session.environment.name)
            if before is not None and len(before.versions) > _MANY:
                self._versions = self._kept_versions = before.versions
                return self._versions
        new, self._place = self._session.registry.versions_after(self._place)
        if new:
            self._registered = sorted([*self._registered, *new], key=lambda version: version.model)
        views: dict[str, tuple[models.VersionLine, VersionView]] = {}
        for line in models.listed(self._session, registered=self._registered):
            name = line.version.name
            known = self._views.get(name)
            if known is None or (known[0].runs_in, known[0].ran) != (line.runs_in, line.ran):
                known = line, version_view(self._session, line)
            views[name] = known
        self._views = views
        versions = tuple(view for _, view in views.values())
        if len(versions) != len(self._versions) or any(new is not old for new, old in zip(versions, self._versions, strict=True)):
            self._versions = versions
        return self._versions

    def _with_last_known(self, status: StatusView) -> StatusView:
        """What can't be seen just now is shown as it was when it was last seen, and says so; what our own registry knows is of now."""
        if self._known is None:
            before = last(self._session.workspace.root / ".mlconsole", status.environment)
            self._known = {one.name: _seen_then(one, before.status.at) for one in before.status.endpoints} if before else {}
        endpoints = []
        for endpoint in status.endpoints:
            if endpoint.state is not State.NO_DATA:
                self._known[endpoint.name] = replace(endpoint, as_of=status.at)
                endpoints.append(endpoint)
                continue
            known = self._known.get(endpoint.name)
            if known is None or known.as_of is None:
                endpoints.append(endpoint)
                continue
            shown = endpoint if known.release != endpoint.release else known
            shown = replace(shown, finding=endpoint.finding, next=endpoint.next, operation=endpoint.operation)
            endpoints.append(replace(shown, state=State.NO_DATA, was=known.was or known.state, as_of=known.as_of))
        return replace(status, endpoints=tuple(endpoints))

    def _observe(self, names: Sequence[str], since: Mapping[str, datetime | None]) -> dict[str, Observed]:
        self._arrived = False
        sampled: dict[str, Observed] = {}
        try:
            predictions = self._session.backend.predictions()
            if predictions is not None:
                self._read(predictions, names, since)
                now = self._session.clock.now()
                sampled = {name: tally.observed(now) for name, tally in self._tallies.items() if name in names}
            if not metering.bound(self._session):
                return sampled
            # What the backend counted; the predictions are a sample of that.
            if self._metered is None:
                from mlconsole.engine.meteredtraffic import MeteredTraffic

                self._metered = MeteredTraffic(self._session)
            self._arrived = self._metered.look({name: since.get(name) for name in names}, sampled)
            return self._metered.observed()
        except MLConsoleError:
            return {}

    def _read(self, predictions: Predictions, names: Sequence[str], changed: Mapping[str, datetime | None]) -> None:
        now = self._session.clock.now()
        for name in names:
            since = changed.get(name) or now - timedelta(seconds=WINDOW)
            known = self._tallies.get(name)
            if known is None or since > known.since:
                begin = max(since, now - timedelta(seconds=WINDOW))
                # Requests a second go on over a change of traffic: what was answered before it counts on, and so does its time.
                self._tallies[name] = _Tally(begin, known.tail_since, recent=known.recent) if known else _Tally(begin, min(begin, now))
        if self._cursor is None:
            self._cursor = predictions.cursor_at(min((t.tail_since for t in self._tallies.values()), default=now))
        for _ in range(_MOST_PAGES):
            page = predictions.read(self._cursor)
            self._cursor = page.cursor
            self._arrived = self._arrived or bool(page.observations)
            for observation in page.observations:
                self._count(observation)
            if page.at_end:
                break
        for tally in self._tallies.values():
            while tally.recent and tally.recent[0][0] < now - timedelta(seconds=RATE_SECONDS):
                tally.recent.popleft()

    def _count(self, observation: Observation) -> None:
        tally = self._tallies.get(observation.endpoint)
        if tally is not None and observation.time >= tally.tail_since:
            seen = seen_of(observation, self._own.get(observation.endpoint))
            tally.add(seen, observation.time)
            if not seen.pinned and observation.time >= tally.since:
                tally.add_slices(observation)

    def _with_rates(self, status: StatusView) -> StatusView:
        """Requests a second and errors are of the last half minute, or of the newest figures where the backend counts itself; since the
        traffic last changed they would hide what is new."""
        endpoints = []
        for endpoint in status.endpoints:
            tally = self._tallies.get(endpoint.name)
            recent = list(tally.recent) if tally else []
            failed = sum(1 for _, wrong in recent if wrong)
            span = min(RATE_SECONDS, max(1.0, (status.at - tally.tail_since).total_seconds())) if tally else 0.0
            figures = len(recent), failed, span
            if self._metered is not None:
                told = self._metered.recent(endpoint.name)
                figures = (told.n, told.failed, told.seconds) if told is not None else (0, 0, 0.0)
            slices = {label: dict(counted) for label, counted in tally.by_slice.items()} if tally else {}
            n, bad, seconds = figures
            endpoints.append(replace(endpoint, recent=n, recent_failed=bad, recent_seconds=seconds, seen_by_slice=slices))
        return replace(status, endpoints=tuple(endpoints))


def _same(before: HealthView, after: HealthView) -> bool:
    """Whether it says the same; spans of time and a probe's figures (`connected in 3 ms`) are never twice the same, and say nothing new."""
    return _marks(before) == _marks(after)


def _marks(view: HealthView) -> tuple[object, ...]:
    return (
        view.as_of,
        [(one.endpoint, one.verdict, one.title, one.alarm, one.since, one.figures.n, one.figures.rate) for one in view.endpoints],
        [(one.number, one.state, one.title, one.acknowledged_by, len(one.events)) for one in view.alarms],
        [(one.name, one.ok, one.since) for one in (*view.probes, *view.natives)],
        replace(view.watcher, beat=None),
        view.runs,
        view.trouble,
        view.minutes,
    )


def version_view(session: Session, line: models.VersionLine) -> VersionView:
    """A registered version for people."""
    version: ModelVersion = line.version
    signature = version.signature
    return VersionView(
        model=version.model,
        version=version.version,
        digest=short_digest(version.artifact.digest),
        size=version.artifact.size,
        owner=version.owner,
        description=version.description,
        commit=version.code.commit,
        dirty=version.code.dirty,
        data_reference=version.data.reference,
        data_cutoff=version.data.cutoff,
        preprocessing=version.preprocessing,
        evaluation_set=version.metrics.evaluation_set,
        metrics=dict(version.metrics.values),
        parameters={name: str(value) for name, value in version.parameters.items()},
        dependencies=version.dependencies,
        inputs=tuple(f"{one.name} {one.datatype}" for one in signature.inputs),
        outputs=tuple(f"{one.name} {one.datatype}" for one in signature.outputs),
        slices={one.key: one.values for one in signature.slices},
        threshold=signature.threshold,
        registered=version.registered_at,
        registered_by=str(version.registered_by),
        origin=version.origin,
        runs_in=dict(line.runs_in),
        ran=line.ran,
        endpoint=session.workspace.endpoint_for(version.model),
    )


def _seen_then(endpoint: EndpointView, at: datetime) -> EndpointView:
    return endpoint if endpoint.as_of or endpoint.state is State.NO_DATA else replace(endpoint, as_of=at)


def _limits(session: Session) -> tuple[bool, bool]:
    try:
        limits = session.backend.limits()
    except MLConsoleError:
        return False, False
    return limits.slices, limits.shadow
