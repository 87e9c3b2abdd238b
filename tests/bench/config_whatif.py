"""What-if: a million stored observations decided again, by the clock; then again under another threshold, and with an hour more."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from tests.bench.figures import Figure, Say, at_most

from mlconsole.core.entries import Entry
from mlconsole.core.redeciding import Observation, added, columns, decide
from mlconsole.core.whatif import what_if

_N = 1_000_000
_BEGIN, _END = 1_800_000_000.0, 1_800_000_000.0 + 7 * 86_400
_SLICES = {"en": 0.70, "pl": 0.15, "fr": 0.12, "de": 0.03}
_OLD = {"en": 0.58, "pl": 0.58, "fr": 0.60, "de": 0.62}
_BOUND = 2.0
_ROUNDS = 3


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Whole: columns are made of the observations, and all entries decided; the best of three, for the machine has other work, too."""
    rows = _drawn(_N)
    before = [_entry(name, threshold) for name, threshold in _OLD.items()]
    then = [_entry(name, 0.48 if name == "pl" else threshold) for name, threshold in _OLD.items()]
    covered, wanted = {"relevance": [(_BEGIN, _END)]}, (_BEGIN, _END)
    took, again = [], []
    for _ in range(10 if long else _ROUNDS):
        started = time.perf_counter()
        stored = {"relevance": columns(rows)}
        found = what_if(before, then, stored, covered, wanted)
        took.append(time.perf_counter() - started)
        started = time.perf_counter()
        what_if(before, [_entry(name, threshold + 0.01) for name, threshold in _OLD.items()], stored, covered, wanted)
        again.append(time.perf_counter() - started)
    pl = next(row for row in found.rows if row.slice == "pl")
    right = sum(row[2] is not None and 0.48 <= row[2] < 0.58 for row in rows if row[1] == "pl")
    seconds = min(took)
    yield at_most(f"{_N:,} observations decided again (s)", seconds, _BOUND, f"{seconds:.2f} s", all=took)
    yield Figure("its flips are those counted one by one", f"{pl.flips}", f"{right}", pl.flips == right, {"value": pl.flips})
    yield Figure("again under other thresholds", f"{min(again):.2f} s", values={"value": min(again)})
    hour = [row for row in rows if row[0] >= _END - 3600 and row[1] == "pl"]
    tally = decide(stored["relevance"]["pl"], 0.58, 0.48, [(_BEGIN, _END - 3600)])
    started = time.perf_counter()
    whole = added(tally, decide(columns(hour)["pl"], 0.58, 0.48, [(_END - 3600, _END)]), 0.48)
    more = time.perf_counter() - started
    yield Figure("with an hour more of one slice", f"{1000 * more:.1f} ms", f"{right} flips", whole.flips == right, {"value": more})


def _drawn(n: int) -> list[Observation]:
    draw = random.Random(20)
    values = draw.choices(list(_SLICES), list(_SLICES.values()), k=n)
    step = (_END - _BEGIN) / n
    return [(_BEGIN + place * step, value, draw.betavariate(1.2, 6.0), f"r{place}", "") for place, value in enumerate(values)]


def _entry(name: str, threshold: float) -> Entry:
    return Entry("relevance", name, f"/relevance/{name}", "relevance", 10_000, None, ("title", "body"), threshold)
