"""One of the processes that change a registry together: `python -m tests.bench.registry_worker PATH PLACE TRANSACTIONS`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from tests.registry.samples import ENV, TOMEK, content, plan, record, release

from mlconsole.core.clock import SystemClock
from mlconsole.core.operations import OperationState, StepState
from mlconsole.core.releases import ReleaseKind
from mlconsole.plugin.errors import Locked, MLConsoleError
from mlconsole.registry import Registry, open_registry

SHARED = "shared"
T = TypeVar("T")


def own(place: int) -> str:
    """The endpoint that only this worker changes."""
    return f"relevance-{place}"


class Worker:
    """Takes leases, starts changes, journals steps, ends changes; writes releases that all write; reads after each transaction."""

    def __init__(self, registry: Registry, place: int, transactions: int) -> None:
        self._registry, self._place, self._transactions = registry, place, transactions
        lists: dict[str, Any] = {name: [] for name in ("finished", "numbers", "tokens", "errors", "reads", "took")}
        self.told: dict[str, Any] = {"writes": 0, "started": 0, **lists}

    def run(self) -> None:
        """All of them, in rounds of eight."""
        for turn in count():
            for step in self._round(turn):
                if self.told["writes"] >= self._transactions:
                    return
                try:
                    self._timed("took", step)
                except MLConsoleError as error:
                    self.told["errors"].append(f"{type(error).__name__}: {error.message}")
                self.told["writes"] += 1
                self._timed("reads", self._read(self.told["writes"]))

    def _round(self, turn: int) -> list[Callable[[], object]]:
        name, endpoint, registry, told = f"{self._place:02x}{turn:04x}", own(self._place), self._registry, self.told
        lease = {}
        shared = {}

        def take() -> None:
            lease["own"] = registry.take_lease(ENV, endpoint, TOMEK, name, f"round {turn}")

        def start() -> None:
            registry.start_operation(plan(name, endpoint=endpoint), TOMEK, lease["own"], content("3"), None)
            told["started"] += 1

        def finish() -> None:
            registry.finish(name, OperationState.DONE, lease["own"])
            told["finished"].append(name)

        def write_down() -> None:
            told["numbers"].append(registry.adopt(release(content(str(self._place)), endpoint=SHARED, kind=ReleaseKind.KEPT)).number)

        def take_shared() -> None:
            try:
                shared["lease"] = registry.take_lease(ENV, "one for all", TOMEK, name, f"round {turn}")
                told["tokens"].append(shared["lease"].token)
            except Locked:
                pass  # somebody else has it: that is the answer that is wanted

        def drop_shared() -> None:
            if "lease" in shared:
                registry.drop(shared["lease"])
            else:
                take_shared()
                if "lease" in shared:
                    registry.drop(shared["lease"])

        return [
            take,
            start,
            lambda: registry.intend_step(record(name, 0), lease["own"]),
            lambda: registry.close_step(record(name, 0, state=StepState.DONE), lease["own"]),
            finish,
            write_down,
            take_shared,
            drop_shared,
        ]

    def _read(self, turn: int) -> Callable[[], object]:
        endpoint, registry = own(self._place), self._registry
        reads: list[Callable[[], object]] = [
            lambda: registry.live_release(ENV, endpoint),
            lambda: registry.unfinished(ENV),
            lambda: registry.leases(ENV),
            lambda: registry.endpoints(ENV),
            lambda: registry.releases(ENV, endpoint, limit=10),
        ]
        return reads[turn % len(reads)]

    def _timed(self, kind: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        try:
            work()
        finally:
            self.told[kind].append((time.perf_counter() - began) * 1000)


def main() -> None:
    """Wait for the common start, work, tell."""
    path, place, transactions = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with open_registry(path, clock=SystemClock()) as registry:
        registry.endpoints(ENV)
        print("ready", flush=True)
        sys.stdin.readline()
        worker = Worker(registry, place, transactions)
        worker.run()
    print(json.dumps(worker.told), flush=True)


if __name__ == "__main__":
    main()
