"""The gateway under load while weights change and a variant comes and goes: no request may fail. When do new weights begin?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from tests.bench.figures import Figure, Say, median, none_of, percentile
from tests.bench.house import ENDPOINT, House, house
from tests.bench.load import Answer, Load, by_variant, failures

from mlconsole.engine.views import Outcome

_ROUNDS = 20
_CHANGES = 50
_RATE = 400.0


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """50 changes of weights and 20 comings and goings in the engine; a few more through the command line."""
    times = 4 if long else 1
    with house() as made:
        say(f"{_RATE:g} requests a second, {_CHANGES * times} changes of weights, {_ROUNDS * times} times a variant comes and goes")
        with Load(made, connections=16, rate=_RATE) as load:
            began = time.monotonic()
            outcomes = [one for _ in range(times) for one in _all_changes(made)]
            seconds = time.monotonic() - began
            say("a few of them through the command line")
            by_hand = _by_hand(made)
            answers = load.stop()
    found = failures(answers)
    shifts = len(outcomes)
    told = f"{len(found)} of {len(answers)} ({shifts} changes of weights, v4 came and went {_ROUNDS * times} times, in {seconds:.0f} s)"
    yield none_of("failed requests while everything changes", found, told, answered=dict(by_variant(answers)))
    p50, p99 = (percentile([answer.milliseconds for answer in answers], percent) for percent in (50, 99))
    yield Figure("latency meanwhile, p50 and p99", f"{p50:.1f} and {p99:.1f} ms", values={"p50": p50, "p99": p99})
    delays = _delays(outcomes, answers)
    if len(delays) < shifts:
        yield none_of("changes of weights that no request ever saw", ["?"] * (shifts - len(delays)), f"{shifts - len(delays)}")
    told = f"median {median(delays):.0f} ms, longest {max(delays):.0f} ms, of {len(delays)}"
    yield Figure("traffic set accepted → first answer under it", told, values={"median": median(delays), "longest": max(delays)})
    typed = [1000 * (first - at) for at, name in by_hand if (first := _first(answers, name, at)) is not None]
    told = f"median {median(typed):.0f} ms, longest {max(typed):.0f} ms, of {len(typed)}"
    yield Figure("the same, from starting the command `traffic set`", told, values={"median": median(typed), "longest": max(typed)})


def _all_changes(made: House) -> Iterator[Outcome]:
    """Twenty rounds: v4 comes with 10 %, gets other shares, at last 0, and goes. Together fifty changes of weights."""
    for turn in range(_ROUNDS):
        made.deploy("4", 1000)
        shares = [5000, 0] if turn % 2 else [3300, 9000, 0]
        for share in shares:
            yield made.traffic({"v4": share})
        made.remove("v4")


def _by_hand(made: House) -> list[tuple[float, str]]:
    """`traffic set` as a command: when it was started, and the name of the release that it made."""
    made.cli("deploy", f"{ENDPOINT}@4", "--traffic", "10", "--yes")
    begun = []
    for share in ("25", "50", "75", "100"):
        at = time.time()
        answer = made.cli("traffic", "set", ENDPOINT, f"v4={share}", "--yes")
        begun.append((at, f"{ENDPOINT}@{answer['environment']}#{answer['release']}"))
    return begun


def _delays(outcomes: Sequence[Outcome], answers: Sequence[Answer]) -> list[float]:
    """Milliseconds from the start of each change, as the journal has it, to the first answer that names its release."""
    delays = []
    for outcome in outcomes:
        operation = outcome.operation
        at = operation.started.timestamp()
        first = _first(answers, f"{operation.endpoint}@{operation.environment}#{operation.release}", at)
        if first is not None:
            delays.append(1000 * (first - at))
    return delays


def _first(answers: Sequence[Answer], release: str, at: float) -> float | None:
    return min((answer.done for answer in answers if answer.sent > at - 1.0 and answer.release == release), default=None)
