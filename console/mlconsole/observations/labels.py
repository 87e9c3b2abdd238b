"""The labels that an endpoint's requests are counted by: few enough that what is kept of them stays small, whatever consumers send."""

from __future__ import annotations

import sqlite3

from mlconsole.core.health import OTHER
from mlconsole.observations.summarising import Labels

KEYS = 4
VALUES = 50
"""At most so many slice keys of an endpoint are counted by, with so many values each; further values count as `KEY=other`."""


class KnownLabels:
    """Which labels of an endpoint are counted by; loaded and extended under the write lock."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
        """(environment, endpoint) → key → value → the last hour that it was seen in."""

    def slices(self, connection: sqlite3.Connection, environment: str, endpoint: str, labels: Labels, hour: int) -> tuple[str, ...]:
        """The slices that these labels count in; new labels are noted while there is room for them."""
        keys = self._of.get((environment, endpoint))
        if keys is None:
            keys = self._of[environment, endpoint] = {}
            for key, value, seen in connection.execute(
                "SELECT key, value, hour FROM label WHERE environment = ? AND endpoint = ?", (environment, endpoint)
            ):
                keys.setdefault(key, {})[value] = seen
        slices = []
        for key, value in labels:
            values = keys.get(key)
            if values is None:
                if len(keys) >= KEYS:
                    continue
                values = keys[key] = {}
            own = value if value in values or len(values) - (OTHER in values) < VALUES else OTHER
            if values.get(own, -1) < hour:
                values[own] = hour
                connection.execute("INSERT OR REPLACE INTO label VALUES (?, ?, ?, ?, ?)", (environment, endpoint, key, own, hour))
            slices.append(f"{key}={own}")
        return tuple(slices)
