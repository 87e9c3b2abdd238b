"""Metering: what a backend counted itself goes into the store of observations, each figure exactly once, by whoever looks.

Asking costs money, so it is asked for what somebody has in sight, what an alarm is open of and what a rollout is guarded by each period (a
minute), for the rest every five. How far each endpoint was read lies in the store, with what was counted of its last periods: a figure that
grows after it was read is counted again by what it grew. Two who read at once do no harm: only one of them moves the cursor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mlconsole.core.figures import windows_of
from mlconsole.core.summaries import WINDOW, Key, Summary
from mlconsole.core.text import neutralise
from mlconsole.engine.observing import METRICS
from mlconsole.engine.wanted import contents
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.measuring import Measured, Metrics, MetricSample, Resolution

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

REST = 300.0
"""Seconds between two times that is asked for what nobody looks at."""

IN_SIGHT = 20
"""So many endpoints a screen shows at once: where there are no more, an open console has all of them in sight."""

LATE = 5
"""So many periods before the last ones are asked for again: figures come late, and grow."""

_FIRST = 1800
"""Seconds before the first look that are read: what is usual is known from then on. One call costs the same for them as for a minute."""

_MOST = 3 * 3600
"""Seconds that are read at one look: who was away for long catches up bit by bit."""

_DEADLINE = 30.0
_RESTS = 15.0
"""Seconds for which a backend that did not tell is not asked again."""

_MARGIN = 30.0


class _Counted(NamedTuple):
    """What was told of one period, and how many of the requests were our own probes, which are not in the store."""

    requests: int = 0
    failed: int = 0
    throttled: int = 0
    probes: int = 0


@dataclass
class _State:
    """How far it was read; as JSON it is the source's cursor."""

    read: dict[str, int] = field(default_factory=dict)
    """Endpoint → up to when (epoch s)."""
    counted: dict[tuple[str, str, str, int], _Counted] = field(default_factory=dict)
    """Endpoint, variant, slice, begin → what of it is in the store, of the last periods."""

    def text(self) -> str:
        """As a cursor."""
        counted = [[*key, *figures] for key, figures in sorted(self.counted.items())]
        return json.dumps({"v": 1, "read": dict(sorted(self.read.items())), "counted": counted}, separators=(",", ":"))


def _state_of(cursor: str | None) -> _State | None:
    """What a cursor says; None: it is none of ours."""
    if cursor is None:
        return _State()
    try:
        body = json.loads(cursor)
        if body["v"] != 1:
            return None
        counted = {(one[0], one[1], one[2], int(one[3])): _Counted(*map(int, one[4:])) for one in body["counted"]}
        return _State({name: int(until) for name, until in body["read"].items()}, counted)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def bound(session: Session) -> bool:
    """Whether the environment's backend counts itself."""
    return METRICS in session.environment.roles


def read_until(session: Session) -> Mapping[str, float]:
    """Endpoint → up to when its figures are known (epoch s); nothing where no backend counts."""
    if not bound(session):
        return {}
    state = _state_of(session.observations.cursor(session.environment.name, METRICS))
    return dict(state.read) if state else {}


def resolution_of(session: Session) -> Resolution:
    """How fine and how late the figures are; the usual, where the role can't be made (whoever reads says so)."""
    try:
        role: Metrics | None = session.backend.role(METRICS)
        return role.resolution() if role is not None else Resolution()
    except MLConsoleError:
        return Resolution()


def usual_lag(session: Session, *, near: bool) -> float:
    """Seconds that the newest figures are usually behind, at the most: of what is asked for each period, or more seldom."""
    found = resolution_of(session)
    return found.settled + 2 * found.period + (0.0 if near else max(REST, found.period)) + _MARGIN


class Metering:
    """Reads the figures of one environment into the store."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rests = -math.inf
        """Until when the backend is not asked (elapsed)."""
        self.trouble: MLConsoleError | None = None
        """Why figures can't be read; it lasts until they are."""
        self.caught_up = True
        """Whether all that is settled was read, of what was due."""
        self._nothing: tuple[int, frozenset[str] | None] | None = None
        """Up to when, and for whom, nothing was due at the last look: nothing is until time goes on."""

    def run(self, near: Collection[str] | None = (), *, only_near: bool = False) -> int:
        """Ask for what is due, and store it; how many periods had something new.

        `near` is what is asked for each period; None: everything. `only_near`: the rest is somebody else's to read.

        Raises:
            MLConsoleError: the store can't be written. A backend that does not tell is `trouble` instead.
        """
        session = self._session
        if not bound(session) or session.clock.elapsed() < self._rests:
            return 0
        try:
            role: Metrics = session.backend.role(METRICS)
            resolution = role.resolution()
        except MLConsoleError as error:
            self._failed(error)
            return 0
        mark = self._whole(resolution), None if near is None else frozenset(near)
        if mark == self._nothing:
            return 0
        store, environment = session.observations, session.environment.name
        after = store.cursor(environment, METRICS)
        state = _state_of(after)
        if state is None:
            # Of what is in the store nobody knows any more how far it goes: what is counted begins now, and the gap is said.
            session.tell("note", "metrics are read anew from now on: the place up to which they were read can't be understood")
            # What was read of the last periods is not known either: they are not asked for again.
            state = _State(dict.fromkeys(_variants(session, _State()), self._whole(resolution) + LATE * resolution.period))
            if not store.ingest(environment, METRICS, (), after=after, cursor=state.text()):
                return 0
            after = state.text()
        variants = _variants(session, state)
        asked = self._due(variants, state, resolution, near, only_near)
        if not asked:
            self._nothing = mark
            if not variants:
                self.trouble = None
            return 0
        begin, end = min(since for since, _ in asked.values()), max(until for _, until in asked.values())
        wanted = {name: variants[name] for name in asked}
        times = datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC)
        try:
            measured = session.backend.asked("reading metrics", lambda: role.samples(wanted, *times), deadline=_DEADLINE)
        except MLConsoleError as error:
            self._failed(error)
            return 0
        known = {name: span for name, span in asked.items() if name not in measured.incomplete}
        copies = _copies(session)
        figures, number = self._new(measured, known, variants, state, copies, resolution)
        for name, (_, until) in known.items():
            state.read[name] = until
        state.read = {name: until for name, until in state.read.items() if name in variants}
        keep = LATE * resolution.period
        state.counted = {key: one for key, one in state.counted.items() if key[3] >= state.read.get(key[0], math.inf) - keep}
        store.ingest(environment, METRICS, (), after=after, cursor=state.text(), figures=figures)  # False: somebody else was faster
        if measured.incomplete and not known:
            self._rests = session.clock.elapsed() + _RESTS
        self.trouble = None
        return number

    def _failed(self, error: MLConsoleError) -> None:
        self.trouble, self._rests = error, self._session.clock.elapsed() + _RESTS

    def _whole(self, resolution: Resolution) -> int:
        """Up to when figures are whole now."""
        now = self._session.clock.now().timestamp()
        return int((now - resolution.settled) // resolution.period) * resolution.period

    def _due(
        self,
        variants: Mapping[str, Sequence[str]],
        state: _State,
        resolution: Resolution,
        near: Collection[str] | None,
        only_near: bool,
    ) -> dict[str, tuple[int, int]]:
        """Endpoint → from when and up to when it is asked for now."""
        until, period = self._whole(resolution), resolution.period
        spans: dict[str, tuple[int, int]] = {}
        for name in variants:
            close = near is None or name in near
            if only_near and not close:
                continue
            last = state.read.get(name)
            if last is None:
                spans[name] = int((until - _FIRST) // period) * period, until
            elif until > last and (close or until - last >= max(REST, period)):
                spans[name] = last - LATE * period, until
        if not spans:
            self.caught_up = True
            return {}
        # All of them in one call: who was away for long is caught up with in several looks, the others wait for that.
        end = min(since for since, _ in spans.values()) + _MOST
        found = {name: (since, min(upto, end)) for name, (since, upto) in spans.items() if since < end}
        self.caught_up = all(upto == until for _, upto in found.values()) and len(found) == len(spans)
        return found

    def _new(
        self,
        measured: Measured,
        asked: Mapping[str, tuple[int, int]],
        variants: Mapping[str, Sequence[str]],
        state: _State,
        copies: Mapping[str, str],
        resolution: Resolution,
    ) -> tuple[dict[tuple[int, Key], Summary], int]:
        """What is not counted yet of what was told, as summaries; `state` knows it from then on."""
        figures: dict[tuple[int, Key], Summary] = {}
        number = 0
        for sample in measured.samples:
            begin = int(sample.begin.timestamp())
            span = asked.get(sample.endpoint)
            # Whatever an adapter tells that was not asked for, or is of no whole period, is not counted.
            if span is None or sample.variant not in variants[sample.endpoint] or begin % resolution.period or begin % WINDOW:
                continue
            if not span[0] <= begin < span[1]:
                continue
            own = sample.endpoint, sample.variant, neutralise(sample.slice), begin
            before = state.counted.get(own, _Counted())
            probes = 0 if sample.slice else self._session.backend.probed(sample.endpoint, sample.variant, begin, sample.seconds)
            told = _told(sample, max(probes, before.probes))
            more = _Counted(*(max(0, now - then) for now, then in zip(told, before, strict=True)))
            if not any(more):
                continue
            state.counted[own] = _Counted(*map(max, told, before))
            if not any(more[:3]):
                continue
            number += 1
            key = Key(neutralise(sample.endpoint), neutralise(sample.variant), copies.get(sample.endpoint) == sample.variant, own[2])
            for at, summary in windows_of(begin, sample.seconds, more.requests, more.failed, more.throttled, sample.latency).items():
                figures.setdefault((at, key), Summary()).merge(summary)
        return figures, number


def _told(sample: MetricSample, probes: int) -> _Counted:
    """What a sample tells, brought into order where it can't be meant so. Our own probes, which the backend counted with the rest, are no
    consumer's requests, and are taken off what went well: a stage must not have its evidence from those who guard it."""
    failed, throttled = max(0, int(sample.failed)), max(0, int(sample.throttled))
    return _Counted(max(int(sample.requests) - probes, failed + throttled), failed, throttled, probes)


def _variants(session: Session, state: _State) -> dict[str, tuple[str, ...]]:
    """Endpoint → the variants that its live release has, those that a running change brings, and those that had requests just now."""
    found: dict[str, dict[str, None]] = {name: dict.fromkeys(content.names) for name, content in contents(session).items()}
    for operation in session.registry.unfinished(session.environment.name):
        for content in (operation.plan.now, operation.plan.then):
            if content.variants:
                found.setdefault(operation.endpoint, {}).update(dict.fromkeys(content.names))
    for endpoint, variant, _, _ in state.counted:
        if endpoint in found:
            found[endpoint].setdefault(variant)
    return {name: tuple(names) for name, names in found.items() if names}


def _copies(session: Session) -> Mapping[str, str]:
    """Endpoint → the variant that gets copies only: what it did reached nobody."""
    found = {}
    for name, content in contents(session).items():
        shadow = content.traffic.shadow if content.traffic else None
        if shadow is not None and content.traffic is not None and not content.traffic.share(shadow.variant):
            found[name] = shadow.variant
    return found
