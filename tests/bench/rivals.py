"""Rivals: how Flagger and Argo Rollouts would have gone on the same random requests, with what their documentation gives as defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MINUTE = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a rollout ended: `reverted`, `passed` (all of the traffic, and none comes back), or `held` until the simulated time was over."""

    end: str
    at: float
    """Seconds from the start."""
    bad: int
    """Requests that the new variant answered badly until then."""
    why: str = ""


class Traffic(Protocol):
    """Requests of which each would be answered by the new variant or by the stable one, according to its share then."""

    horizon: float

    def minute(self, begin: float, end: float, share: float) -> tuple[int, int, float]:
        """Of the new variant: requests, failed ones, and p99 (ms)."""
        ...

    def harmed(self, begin: float, end: float, share: float) -> int:
        """Requests that the new variant answered badly."""
        ...


def flagger(traffic: Traffic) -> Outcome:
    """Flagger's loop: interval 1 min, threshold 5, stepWeight 10, maxWeight 50, success rate ≥ 99 %, request duration (p99) ≤ 500 ms.

    (docs.flagger.app, "Metrics Analysis" and "Deployment Strategies".) A failed check halts the advancement; `threshold` of them, over
    the whole analysis, roll back. With maxWeight reached and a good check it promotes, and looks no more.
    """
    failed, weight, bad = 0, 0.10, 0
    for begin, end in _minutes(traffic):
        n, errors, p99 = traffic.minute(begin, end, weight)
        bad += traffic.harmed(begin, end, weight)
        # Without any request there is no value: the check fails.
        if n and errors <= 0.01 * n and p99 <= 500:
            if weight >= 0.5 - 1e-9:
                return Outcome("passed", end, bad)
            weight += 0.10
        else:
            failed += 1
            if failed >= 5:
                return Outcome("reverted", end, bad, "5 failed checks")
    return Outcome("held", traffic.horizon, bad)


def argo(traffic: Traffic) -> Outcome:
    """Argo Rollouts: the documented canary of 20, 40, 60, 80 % with pauses of 10 min, and its success-rate ≥ 0.95 in the background.

    (argo-rollouts, docs/features/analysis.md.) The example there measures every 5 min, from 40 % on, with `failureLimit: 3`. Here it is
    measured each minute, from the start, with the field's default `failureLimit: 0`: one bad measurement aborts. That favours it in what is
    caught, and in how soon. A measurement that can't be made is an error, and more than `consecutiveErrorLimit` (4) in a row abort.
    """
    bad = unmeasured = 0
    for begin, end in _minutes(traffic):
        weight = 0.2 * (1 + int(begin // 600))
        if weight > 0.81:
            return Outcome("passed", begin, bad)
        n, errors, _ = traffic.minute(begin, end, weight)
        bad += traffic.harmed(begin, end, weight)
        unmeasured = 0 if n else unmeasured + 1
        if unmeasured > 4:
            return Outcome("reverted", end, bad, "no measurement")
        if n and (n - errors) / n < 0.95:
            return Outcome("reverted", end, bad, "one bad measurement")
    return Outcome("held", traffic.horizon, bad)


def _minutes(traffic: Traffic) -> Iterator[tuple[float, float]]:
    at = 0.0
    while at + MINUTE <= traffic.horizon:
        yield at, at + MINUTE
        at += MINUTE
