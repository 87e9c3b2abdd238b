"""Evidence: the store's windows, kept in memory and read on, put together with what the registry knows of each endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlconsole.core.evidence import Cache, Evidence
from mlconsole.core.health import Baseline, Settings
from mlconsole.core.profiles import baseline_of
from mlconsole.core.releases import Content
from mlconsole.core.summaries import Key, Summary
from mlconsole.core.traffic import WHOLE
from mlconsole.engine import metering
from mlconsole.engine.observing import split_since

if TYPE_CHECKING:
    from mlconsole.core.alarms import Alarm
    from mlconsole.engine.remembering import Memory
    from mlconsole.engine.session import Session

HORIZON = 5400.0
"""Seconds of windows that are kept in memory: the hour that is usual, and what is judged."""

_MARGIN = 300.0


@dataclass
class Known:
    """What is kept of one endpoint between two looks."""

    windows: dict[Key, dict[int, Summary]] = field(default_factory=dict)
    cache: Cache = field(default_factory=Cache)
    former: dict[str, Baseline] = field(default_factory=dict)
    """Variants of earlier releases → their profiles."""
    unknown: set[str] = field(default_factory=set)
    """Variants of no release of ours."""


class Gathering:
    """The windows of an environment's endpoints, of the last `horizon` seconds, read on from the store at each look."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session, self._memory = session, memory
        self._known: dict[str, Known] = {}
        self._revision = 0
        self._from = float("inf")
        self._baselines: dict[tuple[str, str], Baseline] = {}
        self._until: Mapping[str, float] = {}
        """Endpoint → up to when a backend that counts itself has told its figures (epoch s)."""
        self.horizon = HORIZON
        self.near = False
        """Figures are asked for each period: what is older than that needs tells nothing of now."""

    def refresh(self) -> None:
        """Read what was written since the last look, and forget what is too old."""
        session = self._session
        now = session.clock.now().timestamp()
        since = now - self.horizon
        store = session.observations
        revision = self._revision
        if since < self._from - _MARGIN:  # a longer time is asked for than was read so far: all of it anew
            self._known, revision = {}, 0
            self._from = since
        self._until = metering.read_until(session)
        for stored in store.windows(session.environment.name, since, revision=revision):
            self._revision = max(self._revision, stored.revision)
            self._known.setdefault(stored.key.endpoint, Known()).windows.setdefault(stored.key, {})[stored.start] = stored.summary
        if since - self._from > _MARGIN:
            self._forget(since)
            self._from = since

    def as_of(self, endpoint: str) -> float:
        """The time that the endpoint is judged as of (epoch s): now, or where the backend counts itself, up to when its figures are known.

        Figures that are later than they usually are stand for nothing any more: time goes on then, and there is no request in it.
        """
        now = self._session.clock.now().timestamp()
        until = self._until.get(endpoint)
        if until is None:
            return now
        return min(now, max(until, now - metering.usual_lag(self._session, near=self.near)))

    def _forget(self, since: float) -> None:
        for known in self._known.values():
            for key, windows in list(known.windows.items()):
                for start in [start for start in windows if start < since]:
                    del windows[start]
                if not windows:
                    del known.windows[key]

    def seen(self) -> Sequence[str]:
        """Endpoints of which anything was seen in that time."""
        return [name for name, known in self._known.items() if known.windows]

    def newest(self) -> float | None:
        """When the newest prediction began that is known here (epoch s)."""
        return max(
            (
                summary.last
                for known in self._known.values()
                for key, windows in known.windows.items()
                if not key.slice and windows
                for summary in (windows[max(windows)],)
            ),
            default=None,
        )

    def cache(self, endpoint: str) -> Cache:
        """What is kept between two judgements of an endpoint."""
        return self._known.setdefault(endpoint, Known()).cache

    def evidence(
        self, endpoint: str, content: Content | None, alarms: Iterable[Alarm], resources: Mapping[str, Mapping[str, str]]
    ) -> Evidence:
        """All that the endpoint is judged by; `content` is what its live release wants, None where it is not ours."""
        session = self._session
        known = self._known.setdefault(endpoint, Known())
        since = self._memory.get(("split since", endpoint), lambda: split_since(session, endpoint))
        traffic = content.traffic if content else None
        serving = {name: traffic.share(name) / WHOLE for name in content.names if traffic.reaches(name)} if content and traffic else {}
        settings = session.workspace.endpoints.get(endpoint)
        return Evidence(
            endpoint=endpoint,
            now=self.as_of(endpoint),
            windows=known.windows,
            serving=serving,
            split_since=since.timestamp() if since else None,
            baselines=self._profiles(endpoint, known, content),
            settings=settings.health if settings else Settings(),
            exclude=tuple(_stretches(alarms, endpoint)),
            resources=resources,
        )

    def _profiles(self, endpoint: str, known: Known, content: Content | None) -> Mapping[str, Baseline]:
        """The profiles of the variants that are there, and of those that answered lately: a trend goes back to them."""
        found = {one.name: self._baseline(one.model, one.version) for one in content.variants} if content else {}
        gone = {key.variant for key in known.windows if key.variant} - found.keys() - known.unknown
        if gone - known.former.keys():
            for recorded in self._session.registry.releases(self._session.environment.name, endpoint, limit=50):
                for one in recorded.release.content.variants:
                    known.former.setdefault(one.name, self._baseline(one.model, one.version))
            known.unknown |= gone - known.former.keys()
        return {**{name: known.former[name] for name in gone & known.former.keys()}, **found}

    def _baseline(self, model: str, version: str) -> Baseline:
        """A version's profile: it never changes, and is read once."""
        key = (model, version)
        if key not in self._baselines:
            registered = self._session.registry.version(model, version)
            self._baselines[key] = baseline_of(registered) if registered else Baseline()
        return self._baselines[key]


def _stretches(alarms: Iterable[Alarm], endpoint: str) -> Iterable[tuple[float, float]]:
    """When something was wrong with the endpoint: what was predicted then was never usual."""
    for alarm in alarms:
        for finding in alarm.findings:
            if finding.endpoint == endpoint:
                ended = alarm.recovering or alarm.closed
                yield finding.since.timestamp(), ended.timestamp() if ended else float("inf")
