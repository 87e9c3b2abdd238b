"""Pairing: while an endpoint has a shadow, its answers are followed beside those that consumers got."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlconsole.core.pairs import TOLERANCE, Half, Pairs
from mlconsole.core.releases import Content
from mlconsole.core.text import neutralise
from mlconsole.engine.healthviews import moment_of
from mlconsole.engine.views import PairsView, PairView

if TYPE_CHECKING:
    from mlconsole.core.pairs import Pair
    from mlconsole.engine.session import Session

_BACK = 1800.0
"""Seconds of a shadow's past that are compared when somebody begins to look; from then on, all of it."""

_OVERLAP = 30.0
"""Rows are taken in by when they were logged, and read by when they began: what came late is looked for so far back (s)."""

_SHOWN = 10


@dataclass
class _Following:
    """A shadow that is followed."""

    shadow: str
    since: float
    pairs: Pairs
    read: float
    taken: dict[tuple[str, bool, float], None] = field(default_factory=dict)
    """The halves of the overlap, which are read again and must count once."""


class Pairing:
    """Follows the shadows of one environment."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._followed: dict[str, _Following] = {}

    def look(self, endpoint: str, content: Content) -> PairsView | None:
        """The shadow's answers beside the consumers' so far; None where there is no shadow."""
        traffic = content.traffic
        if traffic is None or traffic.shadow is None or not traffic.shadow.sample:
            self._followed.pop(endpoint, None)
            return None
        shadow = traffic.shadow.variant
        now = self._session.clock.now().timestamp()
        following = self._followed.get(endpoint)
        if following is None or following.shadow != shadow:
            changed = self._session.registry.traffic_since(self._session.environment.name, endpoint)
            since = max(now - _BACK, changed.timestamp() if changed else 0.0)
            variant = content.variant(shadow)
            registered = self._session.registry.version(variant.model, variant.version) if variant else None
            threshold = registered.signature.threshold if registered else None
            following = self._followed[endpoint] = _Following(shadow, since, Pairs(threshold=threshold), since)
        self._read(endpoint, following, now)
        leading = max(content.names, key=traffic.share)
        return _view(leading, following, now)

    def _read(self, endpoint: str, following: _Following, now: float) -> None:
        since = max(following.since, following.read - _OVERLAP)
        rows = self._session.observations.rows(self._session.environment.name, endpoint, since, now + 1)
        for row in rows:
            mark = (row.request_id, row.shadow, row.time)
            if mark in following.taken or row.application or row.pinned or (row.shadow and row.variant != following.shadow):
                continue
            following.taken[mark] = None
            following.pairs.add(
                Half(row.request_id, row.shadow, row.variant, row.time, row.slices, row.score, row.output, row.status, row.ms)
            )
        following.read = now
        for mark in [mark for mark in following.taken if mark[2] < now - 2 * _OVERLAP]:
            del following.taken[mark]


def _view(leading: str, following: _Following, now: float) -> PairsView:
    pairs = following.pairs
    tallies = {key: tally for key, tally in pairs.tallies.items() if key[1] == following.shadow}
    key = max(tallies, key=lambda name: tallies[name].n, default=(leading, following.shadow))
    tally = tallies.get(key)
    return PairsView(
        live=neutralise(key[0]),
        shadow=neutralise(key[1]),
        n=tally.n if tally else 0,
        seconds=max(0.0, now - following.since),
        agree=tally.agree if tally else None,
        tolerance=TOLERANCE,
        mean_difference=tally.mean_difference if tally else None,
        flips={neutralise(name): (flips, n) for name, (flips, n) in sorted(tally.flips.items())} if tally else {},
        slower_ms=tally.slower_ms if tally else None,
        unpaired=pairs.unpaired_copies + pairs.dropped,
        failed=tally.failed if tally else 0,
        worst=tuple(_pair(one) for one in tally.worst[:_SHOWN]) if tally else (),
    )


def _pair(pair: Pair) -> PairView:
    at = moment_of(pair.live.time)
    assert at is not None
    return PairView(
        request_id=neutralise(pair.live.request_id),
        time=at,
        slice=neutralise(" ".join(pair.live.slices.values())),
        live=pair.live.score,
        shadow=pair.shadow.score,
        live_ms=pair.live.ms,
        shadow_ms=pair.shadow.ms,
    )
