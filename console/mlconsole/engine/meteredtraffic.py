"""Observed traffic where the backend counts itself: its figures tell who answered; a sample of predictions does not tell how many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mlconsole.core.observed import Observed, Shares
from mlconsole.core.summaries import APPLICATION, Summary
from mlconsole.engine import metering
from mlconsole.engine.observing import WINDOW, own_splits

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


@dataclass(frozen=True)
class Recent:
    """What the newest period had: for requests a second, and errors."""

    n: int
    failed: int
    seconds: float


class MeteredTraffic:
    """Reads the figures again and again; what was not written since is not read again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mark: object = None
        self._observed: dict[str, Observed] = {}
        self._recent: dict[str, Recent] = {}

    def look(self, since: Mapping[str, datetime | None], sampled: Mapping[str, Observed]) -> bool:
        """Read what there is of these endpoints since their traffic last changed; True: it is not what it was.

        `sampled`: what a sample of predictions tells. It decides over splits of slices, where the backend does not count by slice.
        """
        session = self._session
        revision = session.observations.revision()
        mark = revision, dict(since), {name: (one.n, dict(one.copies)) for name, one in sampled.items()}
        if mark == self._mark:
            return False
        self._mark = mark
        until = metering.read_until(session)
        period = metering.resolution_of(session).period
        self._observed, self._recent = {}, {}
        for name, changed in since.items():
            upto = until.get(name)
            if upto is None:
                continue  # never read: not observed
            earliest = upto - WINDOW
            # A period's figures are of all of it: one that began before the change tells of what was before it, too.
            begin = max(earliest, math.ceil(changed.timestamp() / period) * period) if changed else earliest
            found = _windows(session, name, min(begin, upto - period), upto)
            self._observed[name] = _observed(found, begin, upto, own_splits(session, name), sampled.get(name))
            newest = [one for (variant, copies, label, at), one in found.items() if at >= upto - period and not copies and not label]
            self._recent[name] = Recent(sum(one.n for one in newest), sum(one.failed for one in newest), float(period))
        return True

    def observed(self) -> dict[str, Observed]:
        """Endpoint → what was seen of it since its traffic last changed; nothing of one that was not read yet."""
        return dict(self._observed)

    def recent(self, endpoint: str) -> Recent | None:
        """What its newest period had."""
        return self._recent.get(endpoint)


def metered(session: Session, since: Mapping[str, datetime | None], sampled: Mapping[str, Observed]) -> dict[str, Observed]:
    """The same once: for commands."""
    traffic = MeteredTraffic(session)
    traffic.look(since, sampled)
    return traffic.observed()


def _windows(session: Session, endpoint: str, begin: float, until: float) -> dict[tuple[str, bool, str, int], Summary]:
    """Variant, copies or not, slice, begin → what is known."""
    return {
        (one.key.variant, one.key.shadow, one.key.slice, one.start): one.summary
        for one in session.observations.windows(session.environment.name, begin, until, endpoint=endpoint)
        if one.key.variant != APPLICATION
    }


def _observed(
    windows: Mapping[tuple[str, bool, str, int], Summary],
    begin: float,
    until: float,
    own: frozenset[str] | None,
    sampled: Observed | None,
) -> Observed:
    n = failed = 0
    copies: Counter[str] = Counter()
    splits: dict[str, Counter[str]] = {}
    for (variant, copied, label, at), one in windows.items():
        if at < begin or not one.n:
            continue
        if copied:
            copies[variant] += 0 if label else one.n
            continue
        if not label:
            n, failed = n + one.n, failed + one.failed
        if not label or label in (own or ()):
            splits.setdefault(label, Counter())[variant] += one.n
    missing = [label for label in own or () if label not in splits]
    shares = {label: Shares(sum(counted.values()), dict(counted)) for label, counted in splits.items()}
    if missing:
        # What went by splits of their own is in the count of all requests: only a sample tells them apart.
        shares = dict(sampled.by_split) if sampled is not None else {}
    elif own:
        for label in own:
            for variant, count in splits[label].items():
                splits[""][variant] -= count
        rest = {variant: max(0, count) for variant, count in splits.get("", Counter()).items()}
        shares[""] = Shares(sum(rest.values()), rest)
    return Observed(max(0.0, until - begin), n, failed, shares, dict(copies))
