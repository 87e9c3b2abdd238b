"""One registry under eight processes: what they wrote is all there, nobody was told *locked*, and readers hardly wait."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Say, at_most, none_of, percentile
from tests.bench.house import ROOT, variables
from tests.bench.registry_worker import SHARED, own
from tests.registry.samples import ENV

from mlconsole.core.clock import SystemClock
from mlconsole.core.operations import OperationState, StepState
from mlconsole.registry import open_registry

_PROCESSES = 8
_BOUND = 50.0


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """8 × 100 transactions; with `long` 8 × 500. Each is followed by a read that is timed."""
    transactions = 500 if long else 100
    folder = Path(tempfile.mkdtemp(prefix="mlconsole-bench-"))
    try:
        path = folder / "registry.db"
        say(f"{_PROCESSES} processes, {transactions} transactions each")
        told, seconds = _run(path, transactions)
        lost = _lost(path, told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    count = sum(one["writes"] for one in told)
    yield none_of(f"lost in {_PROCESSES} × {transactions} transactions", lost, f"{len(lost)} of {count}", transactions=count)
    locked = [text for one in told for text in one["errors"]]
    yield none_of('processes told "locked", or any other error', locked, f"{len(locked)}")
    reads = [time for one in told for time in one["reads"]]
    writes = [time for one in told for time in one["took"]]
    p50, p99 = percentile(reads, 50), percentile(reads, 99)
    yield at_most("a read meanwhile, p99 in ms", p99, _BOUND, f"{p99:.1f} (p50 {p50:.1f}, of {len(reads)})", p50=p50, longest=max(reads))
    yield Figure(
        "transactions a second, all together",
        f"{count / seconds:.0f} (one takes p50 {percentile(writes, 50):.1f}, p99 {percentile(writes, 99):.1f} ms)",
        values={"per_second": count / seconds, "p50": percentile(writes, 50), "p99": percentile(writes, 99)},
    )


def _run(path: Path, transactions: int) -> tuple[list[dict[str, Any]], float]:
    """What each worker told, and the seconds from the common start to the last one's end."""
    workers = []
    for place in range(_PROCESSES):
        command = [sys.executable, "-m", "tests.bench.registry_worker", str(path), str(place), str(transactions)]
        workers.append(subprocess.Popen(command, cwd=ROOT, env=variables(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        began = time.monotonic()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        told = [json.loads(worker.communicate(timeout=600)[0]) for worker in workers]
        return told, time.monotonic() - began
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _lost(path: Path, told: Sequence[dict[str, Any]]) -> list[str]:
    """Everything that a worker was told is written, and is not there."""
    lost = []
    with open_registry(path, clock=SystemClock()) as registry:
        for place, one in enumerate(told):
            endpoint = own(place)
            found = {operation.id: operation for operation in registry.operations(ENV, endpoint, limit=100_000)}
            for operation in one["finished"]:
                if operation not in found or found[operation].state is not OperationState.DONE:
                    lost.append(f"change {operation} is not done")
                elif [step.state for step in registry.steps(operation)] != [StepState.DONE]:
                    lost.append(f"a step of change {operation}")
            numbers = sorted(entry.release.number for entry in registry.releases(ENV, endpoint, limit=100_000))
            if numbers != list(range(1, one["started"] + 1)):
                lost.append(f"a release of {endpoint}: {one['started']} were made, {len(numbers)} are there")
        given = Counter(number for one in told for number in one["numbers"])
        lost += [f"release #{number} of {SHARED} was given out {times} times" for number, times in given.items() if times > 1]
        there = {entry.release.number for entry in registry.releases(ENV, SHARED, limit=100_000)}
        lost += [f"release #{number} of {SHARED}" for number in sorted(given.keys() - there)]
        tokens = sorted(token for one in told for token in one["tokens"])
        if tokens != list(range(1, len(tokens) + 1)):
            lost.append(f"a lease: {len(tokens)} were given out, the tokens are not 1 to {len(tokens)}")
    with sqlite3.connect(path) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    return lost if whole == "ok" else [*lost, f"the file is damaged: {whole}"]
