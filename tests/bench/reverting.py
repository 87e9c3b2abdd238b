"""How long a revert takes a consumer: until the first answer of the variant that comes back, until the last of the one that goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.figures import Figure, Say, median, none_of
from tests.bench.house import ENDPOINT, House, house
from tests.bench.load import Answer, Load, failures

_RATE = 300.0


@dataclass(frozen=True)
class _Revert:
    """One revert, in epoch seconds: the command was started, the journal began, everything is over and v4 has nothing since a while."""

    typed: float
    accepted: float
    over: float


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """v4 has all of the traffic, v3 stands by; `mlconsole revert`, several times, under load."""
    times = 20 if long else 6
    with house() as made:
        made.deploy("4")
        say(f"{times} reverts under {_RATE:g} requests a second")
        with Load(made, rate=_RATE) as load:
            reverts = [_revert(made) for _ in range(times)]
            answers = load.stop()
    firsts = [1000 * (_first(answers, one) - one.accepted) for one in reverts]
    lasts = [1000 * (_last(answers, one) - one.accepted) for one in reverts]
    typed = [1000 * (_last(answers, one) - one.typed) for one in reverts]
    yield Figure("revert accepted → first answer of the old variant", _told(firsts), values={"median": median(firsts), "all": firsts})
    yield Figure("revert accepted → last answer of the reverted one", _told(lasts), values={"median": median(lasts), "all": lasts})
    yield Figure("the same, from starting the command `revert`", _told(typed), values={"median": median(typed), "all": typed})
    found = failures(answers)
    yield none_of("failed requests in these reverts", found, f"{len(found)} of {len(answers)}")


def _revert(made: House) -> _Revert:
    made.traffic({"v4": 10_000})
    time.sleep(0.3)  # so that v4 answers before it is reverted; the consumers tell what they got only at their end
    typed = time.time()
    release = made.cli("revert", ENDPOINT, "--yes")["release"]
    operations = made.session.registry.operations(made.session.environment.name, ENDPOINT, limit=5)
    accepted = next(one for one in operations if one.release == release).started.timestamp()
    time.sleep(0.3)  # a late answer of v4, where there is one, is to be caught: that none comes is no condition to wait for
    return _Revert(typed, accepted, time.time())


def _first(answers: Sequence[Answer], revert: _Revert) -> float:
    return min(answer.done for answer in answers if answer.variant == "v3" and revert.typed <= answer.sent < revert.over)


def _last(answers: Sequence[Answer], revert: _Revert) -> float:
    return max(answer.done for answer in answers if answer.variant == "v4" and revert.typed <= answer.sent < revert.over)


def _told(milliseconds: Sequence[float]) -> str:
    return f"median {median(milliseconds):.0f} ms, longest {max(milliseconds):.0f} ms, of {len(milliseconds)}"
