"""Observations, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlconsole.core.summaries import Key, Summary
from mlconsole.observations import Store
from mlconsole.plugin.roles import Observation

ENV = "staging"
T0 = 1_700_000_000 // 3600 * 3600
"""The begin of an hour (epoch s)."""


class SetClock:
    """Stands still."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(T0, UTC)

    def elapsed(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps here")


def seen(at: float = 0.0, **more: Any) -> Observation:
    """A good prediction of v3 in German, `at` seconds after `T0`."""
    values: dict[str, Any] = {
        "endpoint": "relevance", "variant": "v3", "request_id": f"id{at:g}", "time": datetime.fromtimestamp(T0 + at, UTC), "status": 200,
        "milliseconds": 5.0, "slices": {"language": "de"}, "score": 0.5, "output": {"score": 0.5}, "input_hash": f"hash{at:g}",
    }  # fmt: skip
    return Observation(**{**values, **more})


def feed(store: Store, observations: Sequence[Observation], source: str = "predictions") -> None:
    """Ingest as whoever reads alone does."""
    before = store.cursor(ENV, source)
    assert store.ingest(ENV, source, observations, after=before, cursor=f"{before}+{len(observations)}")


def all_windows(store: Store) -> Mapping[tuple[int, Key], Summary]:
    """Everything there is, without the revisions."""
    return {(window.start, window.key): window.summary for window in store.windows(ENV, -(1 << 40))}


def one(store: Store, slice_: str = "", variant: str = "v3", *, shadow: bool = False, start: int = T0) -> Summary:
    """One summary."""
    return all_windows(store)[start, Key("relevance", variant, shadow, slice_)]
