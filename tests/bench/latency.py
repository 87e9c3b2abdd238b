"""What the gateway adds to a request: the same requests through it and straight to the server behind it, in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle, islice

from tests.bench.figures import Figure, Say, median, percentile
from tests.bench.house import ENDPOINT, House, house
from tests.bench.wire import Connection, requests

from mlconsole_local.routing import PROBE_HEADER

_WARM = 300


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """One consumer, one connection to each."""
    with house() as made:
        pairs = 10_000 if long else 3_000
        say(f"{pairs} pairs of requests, through the gateway and direct in turn")
        through, direct = _pairs(made, pairs)
    added = [one - other for one, other in zip(through, direct, strict=True)]
    figures = {
        f"{name}_{percent}": percentile(times, percent)
        for name, times in (("through", through), ("direct", direct), ("added", added))
        for percent in (50, 99)
    }
    for percent in (50, 99):
        mine, its = figures[f"through_{percent}"], figures[f"direct_{percent}"]
        yield Figure(
            f"latency that the gateway adds, p{percent}",
            f"{mine - its:.2f} ms ({mine:.2f} through it, {its:.2f} direct)",
            values={"milliseconds": mine - its, "through": mine, "direct": its},
        )
    yield Figure("the same, pair by pair, median", f"{median(added):.2f} ms", values={"milliseconds": median(added)})


def _pairs(made: House, pairs: int) -> tuple[list[float], list[float]]:
    # A direct request is marked as a probe: nobody counts it as a consumer's.
    asked = {
        "through": (Connection(made.port), requests(made.events, ENDPOINT)),
        "direct": (Connection(int(made.server("v3")["port"])), requests(made.events, ENDPOINT, {PROBE_HEADER: "1"})),
    }
    times: dict[str, list[float]] = {"through": [], "direct": []}
    both = list(zip(asked["through"][1], asked["direct"][1], strict=True))
    for turn, (via, straight) in enumerate(islice(cycle(both), pairs + _WARM)):
        request = {"through": via, "direct": straight}
        for way in ("through", "direct") if turn % 2 else ("direct", "through"):
            began = time.perf_counter()
            found = asked[way][0].ask(request[way])
            took = (time.perf_counter() - began) * 1000
            assert found.status == 200, f"{way}: {found.status}"
            if turn >= _WARM:
                times[way].append(took)
    for connection, _ in asked.values():
        connection.close()
    return times["through"], times["direct"]
