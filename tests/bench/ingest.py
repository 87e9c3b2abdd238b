"""Ingest: observations a second on one core with the raw store written, memory that stays flat, a store that stays within its bound."""

from __future__ import annotations

import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Say, at_most
from tests.bench.house import ROOT, variables

from mlconsole.core.clock import SystemClock
from mlconsole.observations import open_store
from mlconsole.plugin.roles import Observation

_WANTED = 50_000
_BEGIN = datetime(2026, 3, 14, tzinfo=UTC)
_PAGE = 10_000
_RATE = 28
"""Observations a second of their own time: an hour's raw table has 100 000."""
_GROWTH = 16.0
_MEBIBYTE = 1 << 20


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """300 000 observations into a store of at most 40 MiB; with `long` 10 million into one of 512 MiB."""
    count, bound = (10_000_000, 512 * _MEBIBYTE) if long else (300_000, 40 * _MEBIBYTE)
    say(f"{count:,} observations in a process of their own".replace(",", " "))
    command = [sys.executable, "-m", "tests.bench.ingest", str(count), str(bound)]
    done = subprocess.run(command, cwd=ROOT, env=variables(), stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    per_second = told["count"] / told["seconds"]
    yield Figure(
        "observations a second on one core, raw rows written",
        f"{per_second:,.0f} ({told['ratio']:.1f} × as long as json.dumps of them)".replace(",", " "),
        f"≥ {_WANTED}",
        per_second >= _WANTED,
        {"value": per_second, "bound": _WANTED, "ratio": told["ratio"], "seconds": told["seconds"], "count": told["count"]},
    )
    grown = told["peak"] - told["peak_early"]
    yield at_most(
        "memory grown over the last nine tenths, MiB", grown, _GROWTH, f"{grown:.1f} (peak {told['peak']:.0f})", peak=told["peak"]
    )
    largest, room = told["largest"] / _MEBIBYTE, bound / _MEBIBYTE
    left = f"{told['hours']} of {told['all_hours']} hours of raw rows are left, log {told['log'] / _MEBIBYTE:.1f}"
    yield at_most("the store at its largest, MiB", largest, room, f"{largest:.1f} ({left})", hours=told["hours"], log=told["log"])
    wrong = abs(told["counted"] - told["count"])
    yield at_most("observations too few or too many in the summaries", wrong, 0, f"{wrong}")


def _run(count: int, bound: int) -> dict[str, Any]:
    """Processor time of `ingest` alone: what is read from logs, and how, is the source's affair."""
    random.seed(7)
    folder = Path(tempfile.mkdtemp(prefix="mlconsole-bench-"))
    seconds = dumps = 0.0
    largest = log = 0
    peak_early = 0.0
    path = folder / "observations.db"
    try:
        with open_store(path, clock=SystemClock(), keep_bytes=bound, keep_days=365_000) as store:
            cursor: str | None = None
            for number, page in enumerate(_pages(count)):
                began = time.process_time()
                taken = store.ingest("production", "predictions", page, after=cursor, cursor=str(number))
                seconds += time.process_time() - began
                assert taken
                cursor = str(number)
                largest = max(largest, path.stat().st_size)
                log = max(log, store.size() - path.stat().st_size)
                if number % 10 == 0:
                    rows = [{**asdict(one), "time": one.time.timestamp()} for one in page[:1000]]
                    began = time.process_time()
                    for row in rows:
                        json.dumps(row)
                    dumps += (time.process_time() - began) / len(rows)
                    store.prune(_BEGIN.timestamp())
                if peak_early == 0 and (number + 1) * _PAGE >= count / 10:
                    peak_early = _peak()
            peak = _peak()
            counted, since = 0, _BEGIN.timestamp()
            while since < _BEGIN.timestamp() + count / _RATE + 1:
                windows = store.windows("production", since, since + 3600)
                counted += sum(window.summary.n for window in windows if not window.key.slice)
                since += 3600
            rows_left = store.rows("production", "relevance", 0, 1e12)
            hours = len({int(row.time // 3600) for row in rows_left})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    per_dump = dumps / ((count // _PAGE + 9) // 10)
    return {
        "count": count,
        "seconds": seconds,
        "ratio": seconds / count / per_dump,
        "peak_early": peak_early,
        "peak": peak,
        "largest": largest,
        "log": log,
        "hours": hours,
        "all_hours": int((since - _BEGIN.timestamp()) // 3600),
        "counted": counted,
    }


def _pages(count: int) -> Iterator[list[Observation]]:
    """As the local backend tells them: an own id each, three languages, two variants and copies, one in a hundred fails."""
    for begin in range(0, count, _PAGE):
        page = []
        for number in range(begin, min(count, begin + _PAGE)):
            chance = random.random()
            failed = chance < 0.01
            score = None if failed else round(chance, 6)
            page.append(
                Observation(
                    "relevance",
                    ("v3", "v4")[number % 10 == 0],
                    f"{random.getrandbits(128):032x}",
                    _BEGIN + timedelta(seconds=number / _RATE),
                    500 if failed else 200,
                    1 + random.expovariate(0.2),
                    shadow=number % 20 == 10,
                    slices={"language": ("en", "en", "de", "pl")[number & 3]},
                    score=score,
                    output=None if failed else {"score": score},
                    input_hash=f"{random.getrandbits(50):016x}",
                    fields={"title": {"length": number % 97}, "body": {"length": number % 611}, "language": "de"},
                    error="the model failed" if failed else "",
                )
            )
        yield page


def _peak() -> float:
    """The largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (_MEBIBYTE if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(_run(int(sys.argv[1]), int(sys.argv[2]))))
