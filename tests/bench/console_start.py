"""The console's start beside an empty Textual app's: the last state readable and keys answering; then what is new; with many versions."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.figures import Figure, Say, at_most, median, percentile
from tests.bench.house import House, console, house
from tests.bench.screens import moment, painted, says, started
from tests.e2e.terminal import Terminal

from mlconsole.engine.snapshots import path_of
from mlconsole.engine.watching import Watch
from mlconsole.registry.bodies import dump
from mlconsole.registry.tables import VersionTable

_VERSIONS = 10_000
_SECONDS = 60.0
_READABLE = ("STAGING", "1 Models", "[2 Endpoints]", "3 Canary", "6 Activity", "relevance", "v3 100 %")
_SCREENS = b"[2 Endpoints]"


@dataclass
class _Times:
    """Milliseconds of each start."""

    readable: list[float] = field(default_factory=list)
    answering: list[float] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Whole starts through a pty of 120×40, in turn; medians of the rounds' own ratios."""
    rounds = 41 if long else 15
    with house() as made, TemporaryDirectory(prefix="mlconsole-bench-") as folder:
        few, many = Path(folder) / "few", Path(folder) / "many"
        _looked(made, few)
        say(f"registering {_VERSIONS} versions")
        _register(made)
        _looked(made, many)
        say(f"{rounds} rounds: an empty app, the console, the console with {_VERSIONS} versions")
        empty, with_few, with_many = _in_turn(made.root, few, many, rounds)
        _put(few, made.root)
    own = median(empty)
    told = _told(with_few.readable, empty)
    yield at_most(
        "start: readable / an empty app", _ratio(with_few.readable, empty), 1.4, told, milliseconds=median(with_few.readable), empty=own
    )
    told = _told(with_few.answering, empty)
    yield at_most(
        "start: a key answered / an empty app", _ratio(with_few.answering, empty), 1.4, told, milliseconds=median(with_few.answering)
    )
    told = _told(with_few.fresh, empty)
    yield at_most("start: fresh data / an empty app", _ratio(with_few.fresh, empty), 4.0, told, milliseconds=median(with_few.fresh))
    for name, one, other in (
        ("readable", with_many.readable, with_few.readable),
        ("a key answered", with_many.answering, with_few.answering),
        ("fresh data", with_many.fresh, with_few.fresh),
    ):
        yield at_most(f"start with {_VERSIONS} versions: {name} / with few", _ratio(one, other), 1.1, _told(one, other))


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    return median([mine / its for mine, its in zip(one, other, strict=True)])


def _told(one: Sequence[float], other: Sequence[float]) -> str:
    quartiles = "–".join(f"{percentile(one, percent):.0f}" for percent in (25, 75))
    return f"{_ratio(one, other):.2f} ({median(one):.0f} / {median(other):.0f} ms, its quartiles {quartiles} ms)"


def _in_turn(root: Path, few: Path, many: Path, rounds: int) -> tuple[list[float], _Times, _Times]:
    """The order of a round is shuffled, the first two rounds only warm up."""
    empty: list[float] = []
    with_few, with_many = _Times(), _Times()
    dice = random.Random(20)
    for turn in range(rounds + 2):
        to = (empty, with_few, with_many) if turn >= 2 else ([], _Times(), _Times())
        jobs = [partial(_empty, root, to[0]), partial(_console, root, few, to[1]), partial(_console, root, many, to[2])]
        dice.shuffle(jobs)
        for job in jobs:
            job()
    return empty, with_few, with_many


def _empty(root: Path, times: list[float]) -> None:
    with started([sys.executable, str(Path(__file__).with_name("empty_app.py"))], root) as terminal:
        terminal.settle(1.0, 10.0)
        found = moment(terminal, painted)
        terminal.send("\x11")
        terminal.left()
    assert found is not None
    times.append(found)


def _console(root: Path, state: Path, times: _Times) -> None:
    """One start. A key goes in as soon as the screens have their names: going back, which says why it can't."""
    _put(state, root)
    with started(console(), root) as terminal:
        _until(terminal, _SCREENS)
        terminal.send("u")
        answered = _until(terminal, b"u is off")
        _until(terminal, b"data live")
        terminal.settle(0.1, 1.0)
        readable, fresh = moment(terminal, says(*_READABLE)), moment(terminal, says("data live"))
        terminal.send("q")
        terminal.left()
    assert readable is not None
    assert fresh is not None
    times.readable.append(readable)
    times.answering.append((answered - terminal.began) * 1000)
    times.fresh.append(fresh)


def _until(terminal: Terminal, words: bytes) -> float:
    """Read until these words were written; when that was."""
    deadline = time.perf_counter() + _SECONDS
    while words not in terminal.raw:
        assert time.perf_counter() < deadline, terminal.text
        terminal.pump(0.5)
    return terminal.chunks[-1][0]


def _looked(made: House, to: Path) -> None:
    """Let the console's own poller look twice, close the registry, and keep what lies on disk then, with a last snapshot of an hour ago."""
    watch = Watch(made.session)
    watch.take()
    watch.take()
    made.session.registry.close()
    del made.session  # the next one who asks opens another
    to.mkdir()
    for file in _files(made.root / ".mlconsole"):
        shutil.copy2(file, to)
    path = path_of(to, "staging")
    body = json.loads(path.read_text(encoding="utf-8"))
    body["snapshot"]["status"]["at"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    path.write_text(json.dumps(body, separators=(",", ":")), encoding="utf-8")


def _files(state: Path) -> list[Path]:
    return [file for file in state.iterdir() if file.is_file() and file.name.startswith(("registry.db", "snapshot-", "versions-"))]


def _put(state: Path, root: Path) -> None:
    """What lay on disk then lies there again; nobody has it open."""
    for file in _files(root / ".mlconsole"):
        file.unlink()
    for file in _files(state):
        shutil.copy2(file, root / ".mlconsole")


def _register(made: House) -> None:
    """Ten thousand versions, like one that there is; at once, which the product has no need to be able to."""
    one = made.session.registry.versions("relevance")[0]
    rows = [(one.model, f"0.{number}", one.artifact.digest, dump(replace(one, version=f"0.{number}"))) for number in range(_VERSIONS)]
    with sqlite3.connect(made.session.registry.path) as connection:
        connection.executemany(f"INSERT INTO {VersionTable.__tablename__} (model, version, digest, body) VALUES (?, ?, ?, ?)", rows)
    connection.close()
