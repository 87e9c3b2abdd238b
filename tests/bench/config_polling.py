"""Publish and revert under polling clients, while the publisher is killed again and again: what do the clients see?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench.config_worker import DOCUMENT, body_of, store_in
from tests.bench.figures import Figure, Say, none_of, percentile
from tests.bench.house import ROOT, variables

from mlconsole.plugin.errors import MLConsoleError

_CLIENTS = 3
_PATIENCE = 600.0


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """200 changes and 20 kills; with `long` 1 000 and 100."""
    changes, kills = (1000, 100) if long else (200, 20)
    folder = Path(tempfile.mkdtemp(prefix="mlconsole-bench-"))
    try:
        say(f"{changes} changes, {kills} kill -9, {_CLIENTS} clients that poll without a pause")
        told, clients = _run(folder, changes, kills)
        lost = _lost(folder)
        say("beside it: a file that is written in place")
        plain = _worker("plain", str(folder / "plain.json"), str(changes))
        torn = json.loads(plain.communicate(timeout=_PATIENCE)[0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield from _figures(told, clients, lost)
    yield Figure(
        "beside it: the same from a file written in place, torn",
        f"{torn['torn']} of {torn['looks']} looks, over {torn['changes']} changes",
        values=torn,
    )


def _figures(told: dict[str, Any], clients: Sequence[dict[str, Any]], lost: Sequence[str]) -> Iterator[Figure]:
    wrong = [f"client {place}: {text}" for place, one in enumerate(clients) for text in one["wrong"] + _out_of_order(one, told)]
    looks, seen = sum(one["looks"] for one in clients), sum(len(one["seen"]) for one in clients)
    yield none_of(
        f"part, invalid or out of order, {len(told['published'])} changes",
        wrong,
        f"{len(wrong)} of {seen} publications seen in {looks} looks of {len(clients)} clients",
        changes=len(told["published"]),
        seen=seen,
        looks=looks,
    )
    within = sum(told["killed_within"])
    yield none_of(
        f"not whole after {len(told['killed_within'])} kill -9",
        told["broken"],
        f"{len(told['broken'])} ({within} of them while it was publishing)",
        kills=len(told["killed_within"]),
        within=within,
    )
    yield none_of("versions lost or changed", lost, f"{len(lost)} of {told['latest']}", versions=told["latest"])
    took = [1000 * seconds for seconds in told["took"]]
    lag = [
        (at - told["published"][str(publication)][0]) / 1e6
        for one in clients
        for publication, _, at in one["seen"]
        if _known(told, publication)
    ]
    p50, p99 = percentile(took, 50), percentile(took, 99)
    yield Figure("a change takes, ms", f"p50 {p50:.1f}, p99 {p99:.1f}", values={"p50": p50, "p99": p99})
    p50, p99 = percentile(lag, 50), percentile(lag, 99)
    told_lag = f"p50 {p50:.1f}, p99 {p99:.1f}, longest {max(lag):.1f} (of {len(lag)})"
    yield Figure(
        "until a client that polls without a pause has read it, ms", told_lag, values={"p50": p50, "p99": p99, "longest": max(lag)}
    )


def _known(told: dict[str, Any], publication: int) -> bool:
    return str(publication) in told["published"]


def _out_of_order(client: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """Publications that came after a newer one, versions that were not in that publication, and an end that was not reached."""
    found = []
    last = 0
    for publication, version, _ in client["seen"]:
        if publication <= last:
            found.append(f"publication {publication} after {last}")
        last = max(last, publication)
        if _known(told, publication) and version not in told["published"][str(publication)][1:]:
            found.append(f"publication {publication} gave version {version}, and is of {told['published'][str(publication)][1:]}")
    return found if client["reached_the_end"] else [*found, f"it never read the last publication, only {last}"]


def _run(folder: Path, changes: int, kills: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the publisher told, and what each client did."""
    publisher = _worker("publish", str(folder), str(changes), str(kills))
    clients: list[subprocess.Popen[str]] = []
    try:
        _ready(publisher)
        clients = [_worker("read", str(folder), f"client-{place}") for place in range(_CLIENTS)]
        for client in clients:
            _ready(client)
        assert publisher.stdin is not None
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
        told = json.loads(publisher.communicate(timeout=_PATIENCE)[0])
        return told, [json.loads(client.communicate(timeout=_PATIENCE)[0]) for client in clients]
    finally:
        for process in (publisher, *clients):
            process.kill()
            process.wait()


def _worker(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.bench.config_worker", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=variables(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ready(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    assert line == "ready\n", f"a worker said {line!r} in place of being ready"


def _lost(folder: Path) -> list[str]:
    """Every version that is not there as it was added."""
    store, found = store_in(folder), []
    latest = store.report(DOCUMENT).document.latest
    for number in range(1, latest + 1):
        try:
            if store.read(DOCUMENT, number) != body_of(number, last=number == latest):
                found.append(f"version {number} has other bytes")
        except MLConsoleError as error:
            found.append(str(error))
    return found
