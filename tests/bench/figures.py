"""What a measurement tells: a figure with its bound, and the small statistics behind it."""

from __future__ import annotations

import math
import os
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.house import ROOT


@dataclass(frozen=True)
class Figure:
    """One line of the table. `held` None: it is told, and has no bound."""

    name: str
    told: str
    bound: str = ""
    held: bool | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    """The same as numbers, and what does not fit into a line."""


Say = Callable[[str], None]
Measurement = Callable[[bool, Say], Iterator[Figure]]
"""Takes `long` and where to tell progress; yields each figure as soon as it is known."""


def at_most(name: str, value: float, bound: float, told: str, **values: Any) -> Figure:
    """A figure that must not be above its bound."""
    return Figure(name, told, f"≤ {bound:g}", value <= bound, {"value": value, "bound": bound, **values})


def none_of(name: str, found: Sequence[str], told: str, **values: Any) -> Figure:
    """A figure that counts what must not happen; the first few are kept."""
    return Figure(name, told, "0", not found, {"value": len(found), "bound": 0, "found": list(found[:20]), **values})


def median(values: Sequence[float]) -> float:
    """The median; 0 of nothing would be a lie, so of nothing it is not a number."""
    return statistics.median(values) if values else math.nan


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the values do not exceed."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def machine() -> dict[str, Any]:
    """What it was measured on."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "commit": commit.stdout.strip(),
    }
