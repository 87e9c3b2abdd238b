"""The console's start beside an empty Textual app's: the last known state readable and keys answering; then what is new; with many versions."""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.figures import Figure, Say, at_most, median, percentile
from tests.bench.house import House, console, house
from tests.bench.screens import moment, painted, says, started
from tests.e2e.terminal import Terminal

from mlconsole.core.clock import SystemClock
from mlconsole.engine.snapshots import path_of
from mlconsole.engine.watching import Watch
from mlconsole.registry import open_registry

_VERSIONS = 10_000
_SECONDS = 60.0
_READABLE = ("STAGING", "1 Models", "[2 Endpoints]", "3 Canary", "6 Activity", "relevance", "v3 100 %")
_SCREENS = "[2 Endpoints]".encode()


@dataclass
class _Times:
    """Milliseconds of each start."""

    readable: list[float] = field(default_factory=list)
    answering: list[float] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Whole starts through a pty of 120×40, in turn; medians of the rounds' own ratios."""
    rounds = 41 if long else 15
    with house() as made:
        Watch(made.session).take()
        many = _with_many(made, say)
        say(f"{rounds} rounds: an empty app, the console, the console with {_VERSIONS} versions")
        empty, few, lots = _in_turn(made.root, many, rounds)
        shutil.rmtree(many.parent)
    own = median(empty)
    told = _told(few.readable, empty)
    yield at_most("start: readable / an empty app", _ratio(few.readable, empty), 1.4, told, milliseconds=median(few.readable), empty=own)
    told = _told(few.answering, empty)
    yield at_most("start: a key answered / an empty app", _ratio(few.answering, empty), 1.4, told, milliseconds=median(few.answering))
    told = _told(few.fresh, empty)
    yield at_most("start: fresh data / an empty app", _ratio(few.fresh, empty), 4.0, told, milliseconds=median(few.fresh))
    for name, one, other in (
        ("readable", lots.readable, few.readable),
        ("a key answered", lots.answering, few.answering),
        ("fresh data", lots.fresh, few.fresh),
    ):
        yield at_most(f"start with {_VERSIONS} versions: {name} / with few", _ratio(one, other), 1.1, _told(one, other))


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    return median([mine / its for mine, its in zip(one, other, strict=True)])


def _told(one: Sequence[float], other: Sequence[float]) -> str:
    quartiles = "–".join(f"{percentile(one, percent):.0f}" for percent in (25, 75))
    return f"{_ratio(one, other):.2f} ({median(one):.0f} / {median(other):.0f} ms, its quartiles {quartiles} ms)"


def _in_turn(root: Path, many: Path, rounds: int) -> tuple[list[float], _Times, _Times]:
    """The order of a round is shuffled, the first two rounds only warm up."""
    empty: list[float] = []
    few, lots = _Times(), _Times()
    dice = random.Random(20)
    for turn in range(rounds + 2):
        times = (empty, few, lots) if turn >= 2 else ([], _Times(), _Times())
        jobs = [lambda to=times[0]: to.append(_empty(root)), lambda to=times[1]: _console(root, to), lambda to=times[2]: _console(many, to)]
        dice.shuffle(jobs)
        for job in jobs:
            job()
    return empty, few, lots


def _empty(root: Path) -> float:
    with started([sys.executable, str(Path(__file__).with_name("empty_app.py"))], root) as terminal:
        terminal.settle(1.0, 10.0)
        found = moment(terminal, painted)
        terminal.send("\x11")
        terminal.left()
    assert found is not None
    return found


def _console(root: Path, times: _Times) -> None:
    """One start. A key goes in as soon as the frame came: cursor down, which shows at once."""
    _aged(root)
    with started(console(), root) as terminal:
        sent = _until(terminal, _SCREENS)
        terminal.send("?")
        _until(terminal, "what the keys do".encode(), b"esc")
        _until(terminal, b"data live")
        terminal.settle(0.1, 1.0)
        readable, fresh = moment(terminal, says(*_READABLE)), moment(terminal, says("data live"))
        answered = next((at for at, _ in terminal.chunks if at > sent), None)
        terminal.send("\x1b")
        terminal.settle(0.3, 0.3)
        terminal.send("q")
        terminal.left()
    assert readable is not None
    assert fresh is not None
    assert answered is not None
    times.readable.append(readable)
    times.answering.append((answered - terminal.began) * 1000)
    times.fresh.append(fresh)


def _until(terminal: Terminal, *words: bytes) -> float:
    deadline = time.perf_counter() + _SECONDS
    while not any(word in terminal.raw for word in words):
        assert time.perf_counter() < deadline, terminal.text
        terminal.pump(0.5)
    return terminal.chunks[-1][0]


def _aged(root: Path) -> None:
    """The last snapshot is of an hour ago: what is new can be told from it."""
    path = path_of(root / ".mlconsole", "staging")
    body = json.loads(path.read_text(encoding="utf-8"))
    then = datetime.now(UTC) - timedelta(hours=1)
    body["snapshot"]["status"]["at"] = then.isoformat()
    path.write_text(json.dumps(body, separators=(",", ":")), encoding="utf-8")


def _with_many(made: House, say: Say) -> Path:
    """The same workspace beside, with as many versions registered; it asks the same servers."""
    say(f"registering {_VERSIONS} versions")
    root = made.root.parent / "many" / made.root.name
    shutil.copytree(made.root, root, ignore=shutil.ignore_patterns("*.db-shm"))
    with open_registry(root / ".mlconsole" / "registry.db", clock=SystemClock()) as registry:
        one = registry.versions("relevance")[0]
        for number in range(_VERSIONS):
            registry.add_version(replace(one, version=f"0.{number}"))
    return root
