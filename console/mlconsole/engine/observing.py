"""Observing: who really answered, read from predictions since the traffic last changed; and the newest of them, line by line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.observed import Observed, Seen, count
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.roles import Observation

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

WINDOW = 600.0
"""Seconds back that are looked at, at most; less when the traffic changed since."""

METRICS = "metrics"
"""The role of a backend that counts itself: what is predicted is a sample then."""

_MOST = 50_000
"""Observations that are read for one look, at most."""


def observe(session: Session, endpoints: Iterable[str], *, window: float = WINDOW) -> Mapping[str, Observed]:
    """What was seen of each endpoint since its traffic last changed, at most `window` seconds back.

    Without a predictions role, or when it does not answer, the result says nothing of an endpoint (it is missing): *not observed*.
    """
    names = list(endpoints)
    sampled = _predicted(session, names, window) if names else {}
    if not names or METRICS not in session.environment.roles:
        return sampled
    from mlconsole.engine.meteredtraffic import metered

    try:
        return metered(session, {name: split_since(session, name) for name in names}, sampled)
    except MLConsoleError:
        return {}


def _predicted(session: Session, names: Sequence[str], window: float) -> Mapping[str, Observed]:
    """The same from predictions."""
    predictions = session.backend.predictions()
    if predictions is None:
        return {}
    now = session.clock.now()
    since = {name: max(split_since(session, name) or now - timedelta(seconds=window), now - timedelta(seconds=window)) for name in names}
    own = {name: own_splits(session, name) for name in names}
    seen: dict[str, list[Seen]] = {name: [] for name in names}
    try:
        cursor = predictions.cursor_at(min(now, *since.values()))
        read = 0
        while read < _MOST:
            page = predictions.read(cursor)
            for observation in page.observations:
                begun = since.get(observation.endpoint)
                if begun is not None and observation.time >= begun:
                    seen[observation.endpoint].append(seen_of(observation, own[observation.endpoint]))
            read += len(page.observations)
            cursor = page.cursor
            if page.at_end:
                break
    except MLConsoleError:
        return {}
    return {name: count(seen[name], max(0.0, (now - since[name]).total_seconds())) for name in names}


def tail(session: Session, endpoint: str, limit: int = 20) -> list[str]:
    """The newest predictions of an endpoint, one line each, newest last."""
    now = session.clock.now().timestamp()
    rows = list(session.observations.rows(session.environment.name, endpoint, now - 600, now + 60))[-limit:]
    lines = []
    for row in rows:
        labels = " ".join(row.slices.values())
        score = "–" if row.score is None else f"{row.score:.3f}"
        at = datetime.fromtimestamp(row.time).astimezone()
        who = "copy to " * row.shadow + (row.variant or "nobody")
        lines.append(
            f"{at:%H:%M:%S} {row.status} {row.ms:6.0f} ms  {score:>6}  {who:<12} {labels:<6} {row.request_id} {row.error}".rstrip()
        )
    return lines


def seen_of(observation: Observation, own: Collection[str] | None = None) -> Seen:
    """A prediction as far as the split is concerned. Every answer that is not a prediction counts as failed. `own`: see `own_splits`."""
    split = observation.split
    if own is not None:
        split = next((label for key, value in observation.slices.items() if (label := f"{key}={value}") in own), "")
    return Seen(
        variant=observation.variant,
        shadow=observation.shadow,
        pinned=observation.pinned and own is None,
        probe=observation.probe,
        failed=observation.status == 0 or observation.status >= 400,
        split=split,
    )


def own_splits(session: Session, endpoint: str) -> frozenset[str] | None:
    """Where applications choose the variant themselves, by what a config document says: the slices (`KEY=VALUE`) that have a split of their
    own. Who asks for a variant by its name has obeyed it there, and only the request's slices tell which split that was. None: requests are
    split by a role, which tells.
    """
    if session.environment.traffic_in is None:
        return None
    live = session.registry.live_release(session.environment.name, endpoint)
    traffic = live.release.content.traffic if live is not None else None
    return frozenset(f"{one.key}={one.value}" for one in traffic.by_slice) if traffic is not None else frozenset()


def split_since(session: Session, endpoint: str) -> datetime | None:
    """Since when every request goes where the live release says; None: nobody knows. It may be to come: see `Backend.reading_lag`."""
    since: datetime | None = session.registry.traffic_since(session.environment.name, endpoint)
    return None if since is None else since + timedelta(seconds=session.backend.reading_lag())
