"""Start-up: what `--help` imports, and what `status --json` costs beside importing sqlmodel; whole processes, in turn, medians."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points

from tests.bench.figures import Figure, Say, at_most, median, none_of, percentile
from tests.bench.house import House, console, house, variables

_HEAVY = ("textual", "boto3", "sqlalchemy", "httpx")
_BOUND = 1.5
_LOADED = """
import sys
sys.argv = ["mlconsole", "--help"]
try:
    from mlconsole.__main__ import main
    main()
except SystemExit:
    pass
print("LOADED", *[name for name in {names!r} if name in sys.modules], file=sys.stderr)
"""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Imports, then times with one release and with many."""
    plugins = sorted({point.value.partition(":")[0] for point in entry_points(group="mlconsole.plugins")})
    names = [*_HEAVY, *plugins]
    loaded = _loaded(names)
    yield none_of("--help imports none of them", loaded, f"{', '.join(loaded) or 'none'} of {', '.join(names)}")
    rounds, releases = (61, 200) if long else (25, 30)
    with house() as made:
        say("timing whole processes in turn, one release in the registry")
        yield from _timed(made, 1, rounds)
        made.deploy("4", 1000)
        for turn in range(releases - 2):
            made.traffic({"v4": 1100 + turn})
        say(f"the same with {releases} releases")
        yield next(_timed(made, releases, rounds))


def _loaded(names: Sequence[str]) -> list[str]:
    done = subprocess.run([sys.executable, "-c", _LOADED.format(names=list(names))], capture_output=True, text=True, check=True)
    return done.stderr.rpartition("LOADED")[2].split()


def _timed(made: House, releases: int, rounds: int) -> Iterator[Figure]:
    commands = {
        "sqlmodel": [sys.executable, "-c", "import sqlmodel"],
        "status": made.command("status", "--json"),
        "help": [*console(), "--help"],
        "python": [sys.executable, "-c", "pass"],
    }
    times = _in_turn(commands, rounds)
    middle = {name: 1000 * median(found) for name, found in times.items()}
    ratio = _ratio(times["status"], times["sqlmodel"])
    spread = [1000 * percentile(times["status"], percent) for percent in (25, 75)]
    told = f"{ratio:.2f} ({middle['status']:.0f} / {middle['sqlmodel']:.0f} ms, status' quartiles {spread[0]:.0f}–{spread[1]:.0f} ms)"
    some = f"{releases} release{'s' * (releases > 1)}"
    yield at_most(f"status --json / import sqlmodel, {some}", ratio, _BOUND, told, milliseconds=middle, rounds=rounds)
    ratio = _ratio(times["help"], times["sqlmodel"])
    told = f"{ratio:.2f} ({middle['help']:.0f} ms; bare Python {middle['python']:.0f} ms)"
    yield Figure("--help / import sqlmodel", told, values={"value": ratio})


def _in_turn(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each command in each round; the order of a round is shuffled, the first two rounds only warm up."""
    order, dice = list(commands), random.Random(20)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 2):
        dice.shuffle(order)
        for name in order:
            began = time.perf_counter()
            subprocess.run(commands[name], stdout=subprocess.DEVNULL, env=variables(), check=True)
            if turn >= 2:
                times[name].append(time.perf_counter() - began)
    return times


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median of the rounds' own ratios: what is noisy for one is noisy for the other."""
    return median([mine / its for mine, its in zip(one, other, strict=True)])
