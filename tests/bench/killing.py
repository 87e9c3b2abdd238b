"""`kill -9` at every journal boundary of deploy, shift, shadow and revert, with traffic running; `recover`; and then: is all well?"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.bench.aftermath import History, history, live_content, problems
from tests.bench.figures import Figure, Say, median, none_of
from tests.bench.house import ENDPOINT, ROOT, House, house, variables
from tests.bench.killed import COMMITTED

from mlconsole.core.releases import Content

_RATE = 100
_MOST = 200
_PASSES = 3
_DELAYS = 0.25
"""Seconds: in a long run the kill comes up to so long after a commit, somewhere within the call to the backend."""


@dataclass(frozen=True)
class Change:
    """A command, and how the state is made that it starts from."""

    name: str
    command: tuple[str, ...]
    prepare: Callable[[House], object]


@dataclass
class Tally:
    """What was seen."""

    kills: int = 0
    new: int = 0
    back: int = 0
    untouched: int = 0
    recovering: list[float] = field(default_factory=list)


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Every boundary once; with `long` also several times with random delays after the commit."""
    wrong: list[str] = []
    seconds: list[float] = []
    with house() as made:
        made.replay(_RATE)
        before = made.replayed()
        dice = random.Random(9)
        for change in _changes():
            tally = Tally()
            for turn in range(1 + _PASSES if long else 1):
                say(f"{change.name}: kill -9 after each commit{' and a moment' if turn else ''}")
                wrong += _every_boundary(made, change, tally, dice if turn else None)
            seconds += tally.recovering
            told = f"{tally.kills} kills: {tally.new} ended new, {tally.back} back, {tally.untouched} before anything was begun"
            mine = [one for one in wrong if one.startswith(f"{change.name} ")]
            yield none_of(f"wrong after kill -9 and recover: {change.name}", mine, f"{len(mine)} ({told})", kills=tally.kills)
        time.sleep(1.5)  # the replay tells its counts once a second
        after = made.replayed()
    failed, sent = int(after["failed"]) - int(before["failed"]), int(after["sent"]) - int(before["sent"])
    found = [str(after["last_error"])] * failed
    yield none_of("failed requests in all of these", found, f"{failed} of {sent}", by_status=after["by_status"])
    told = f"median {median(seconds):.1f} s, longest {max(seconds):.1f} s, of {len(seconds)} (the whole command)"
    yield Figure("mlconsole recover takes", told, values={"median": median(seconds), "longest": max(seconds)})


def _changes() -> list[Change]:
    return [
        Change("deploy", ("deploy", f"{ENDPOINT}@4", "--traffic", "10"), _only_v3),
        Change("shift", ("traffic", "set", ENDPOINT, "v4=50"), _both),
        Change("shadow", ("traffic", "set", ENDPOINT, "v4=0", "--shadow", "v4=50"), _both),
        Change("revert", ("revert", ENDPOINT, "--to", "1"), _both),
    ]


def _only_v3(made: House) -> None:
    if live_content(made.session).names != ("v3",):
        made.revert(to=1)


def _both(made: House) -> None:
    """v3 with 90 %, v4 with 10 %, no shadow."""
    content = live_content(made.session)
    if "v4" not in content.names:
        made.deploy("4", 1000)
    elif content.traffic is not None and (content.traffic.shadow is not None or content.traffic.share("v4") != 1000):
        made.traffic({"v4": 1000}, end_shadow=content.traffic.shadow is not None)


def _every_boundary(made: House, change: Change, tally: Tally, dice: random.Random | None) -> list[str]:
    """Kill after the 1st commit, the 2nd …, until it comes to its end unharmed."""
    wrong: list[str] = []
    for number in range(1, _MOST):
        change.prepare(made)
        old = live_content(made.session)
        before = history(made.session)
        delay = dice.uniform(0.0, _DELAYS) if dice else 0.0
        told = _killed(made, change, number, delay)
        where = f"{change.name} killed {f'{1000 * delay:.0f} ms ' if delay else ''}after commit {number}"
        if told is None:
            return wrong
        tally.kills += 1
        began = time.monotonic()
        try:
            made.cli("recover", "--yes")
        except AssertionError as error:
            wrong.append(f"{where}: {error}")
            made.cli("recover", "--yes", codes=(0, 1, 5, 6, 8))
        tally.recovering.append(time.monotonic() - began)
        wrong += [f"{where}: {problem}" for problem in _judged(made, old, before, told, tally)]
    raise AssertionError(f"{change.name} does not end within {_MOST} commits")


def _judged(made: House, old: Content, before: History, told: Mapping[str, int], tally: Tally) -> list[str]:
    now = history(made.session)
    started = [operation for name, operation in now.operations.items() if name not in before.operations]
    new = started[0].plan.then if started else old
    found = problems(made, old, new, before, now)
    lost = {table: count for table, count in told.items() if now.rows[table] < count}
    found += [f"{count} rows of {table} were committed, {now.rows[table]} are there" for table, count in lost.items()]
    if not started:
        tally.untouched += 1
    elif live_content(made.session) == new:
        tally.new += 1
    else:
        tally.back += 1
    return found


def _killed(made: House, change: Change, number: int, delay: float) -> Mapping[str, int] | None:
    """Run the command in a child that ends itself; the rows that it saw committed just before. None: it came to its end."""
    command = [sys.executable, "-m", "tests.bench.killed", str(number), str(delay), str(made.root), *change.command, "--yes"]
    done = subprocess.run(command, cwd=ROOT, env=variables(), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return None
    if done.returncode != -signal.SIGKILL:
        raise AssertionError(f"{change.name}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    told = next(line for line in done.stdout.splitlines() if line.startswith(COMMITTED))
    counted: dict[str, int] = json.loads(told.removeprefix(COMMITTED))
    return counted
