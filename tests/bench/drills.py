"""Each drill at 50 requests a second, the console closed and nobody but the guardian watching: seconds from the first bad request to the
page, beside what a plain alarm on 5 % errors would have said.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Say, at_most, none_of
from tests.bench.house import ENDPOINT, House, until

from mlconsole.engine import machine, starting, trusting
from mlconsole.plugin.roles import Observation
from mlconsole.workspace import load

_RATE = 50
_USUAL = 200.0
"""Seconds of good traffic before: what is usual ends two minutes before now."""
_PATIENCE = 180.0
"""Seconds after the drill within which a page has to come, to be counted as one at all."""
_PLAIN_SECONDS, _PLAIN_SHARE = 60.0, 0.05
_BOUND = 60.0

_PAGE = """\
import json, os, sys, time
line = {"time": time.time(), "severity": os.environ["MLCONSOLE_NOTICE_SEVERITY"], "text": sys.stdin.read()}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(line) + "\\n")
"""


@dataclass(frozen=True)
class Drill:
    """A drill; `bad` tells when the first bad request began (epoch seconds), `says` what its page has to speak of."""

    name: str
    bad: Callable[[Sequence[Observation]], float | None]
    says: str
    bound: float | None = None


@dataclass(frozen=True)
class Result:
    """What came of a drill: seconds from the first bad request, None for *never*."""

    drill: Drill
    paged: float | None
    title: str
    plain: float | None
    early: Sequence[str]
    """Pages before anything was broken."""
    trouble: str = ""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Those that an ordinary alarm never sees, side by side; with `long` the others too, the one that takes a whole core by itself."""
    groups = [_SHORT, _OTHERS, _HEAVY] if long else [_SHORT]
    table = [("drill", "first bad request → page", "5 % alarm", "the page")]
    before = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory(prefix="mlconsole-bench-state-") as state:
        os.environ["XDG_STATE_HOME"] = state  # Which workspaces are trusted is kept there, and is not the tester's.
        try:
            for drills in groups:
                say(f"{', '.join(drill.name for drill in drills)}: {_USUAL:.0f} s of good traffic, then the drill")
                with ThreadPoolExecutor(len(drills)) as pool:
                    for result in pool.map(_measured, drills):
                        table.append(_row(result))
                        yield from _figures(result)
        finally:
            if before is None:
                del os.environ["XDG_STATE_HOME"]
            else:
                os.environ["XDG_STATE_HOME"] = before
    widths = [max(len(row[place]) for row in table) for place in range(4)]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(result: Result) -> tuple[str, str, str, str]:
    return result.drill.name, _told(result.paged), _told(result.plain), result.title or result.trouble


def _told(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def _figures(result: Result) -> Iterator[Figure]:
    drill = result.drill
    values = {"page": result.paged, "plain": result.plain, "title": result.title, "trouble": result.trouble}
    told = f"{_told(result.paged)}; plain 5 % alarm: {_told(result.plain)}"
    name = f"{drill.name}: first bad request → page"
    if result.trouble or result.paged is None:
        yield Figure(name, result.trouble or told, f"≤ {drill.bound or _PATIENCE:g}", False, values)
    elif drill.bound is not None:
        yield at_most(name, round(result.paged, 1), drill.bound, told, **values)
        heard = [] if result.plain is None else [f"after {result.plain:.0f} s"]
        yield none_of(f"{drill.name}: the plain alarm", heard, _told(result.plain))
    else:
        yield Figure(name, told, values=values)
    wrong = [] if drill.says.casefold() in result.title.casefold() or result.paged is None else [result.title]
    yield none_of(f"{drill.name}: its page speaks of something else", wrong, result.title or "no page")
    yield none_of(f"{drill.name}: pages before it", result.early, f"{len(result.early)} in {_USUAL:.0f} s")


def _measured(drill: Drill) -> Result:
    try:
        with _place() as made:
            return _drilled(made, drill)
    except Exception as error:  # noqa: BLE001  whatever it is: the others are measured, and this one is told
        return Result(drill, None, "", None, (), f"broke off: {type(error).__name__}: {error}".splitlines()[0])


def _drilled(made: House, drill: Drill) -> Result:
    time.sleep(_USUAL)  # what is usual is measured of real time, which has to be lived through
    early = [page["text"].splitlines()[0] for page in _pages(made)]
    seen = _Seen(made)
    began = time.time()
    made.cli("action", "run", f"drill-{drill.name}", "--yes")
    deadline = time.time() + _PATIENCE
    while time.time() < deadline and len(_pages(made)) == len(early):
        seen.read()
        time.sleep(0.5)
    pages = _pages(made)[len(early) :]
    # The plain alarm gets its own minute, and as long again.
    deadline = time.time() + 2 * _PLAIN_SECONDS
    while time.time() < deadline:
        seen.read()
        time.sleep(1.0)
    bad = drill.bad([one for one in seen.found if one.time.timestamp() >= began - _PLAIN_SECONDS])
    if bad is None:
        return Result(drill, None, "", None, early, "not one bad request was seen")
    plain = _plain(seen.found)
    paged = pages[0]["time"] - bad if pages else None
    title = pages[0]["text"].splitlines()[0] if pages else ""
    return Result(drill, paged, title, None if plain is None else plain - bad, early)


class _Seen:
    """What consumers were really answered, read on."""

    def __init__(self, made: House) -> None:
        predictions = made.session.backend.predictions()
        assert predictions is not None
        self._predictions = predictions
        self._cursor = predictions.cursor_at(datetime.fromtimestamp(time.time() - _PLAIN_SECONDS, UTC))
        self.found: list[Observation] = []

    def read(self) -> None:
        while True:
            page = self._predictions.read(self._cursor)
            self._cursor = page.cursor
            self.found += [one for one in page.observations if one.endpoint == ENDPOINT and not one.shadow and not one.probe]
            if page.at_end:
                return


def _plain(found: Sequence[Observation]) -> float | None:
    """When the share of failed requests over a minute first reached 5 %."""
    window: deque[tuple[float, bool]] = deque()
    failed = 0
    for at, bad in sorted((one.time.timestamp() + one.milliseconds / 1000, _failed(one)) for one in found):
        window.append((at, bad))
        failed += bad
        while window[0][0] < at - _PLAIN_SECONDS:
            failed -= window.popleft()[1]
        if failed >= _PLAIN_SHARE * len(window) and len(window) >= _RATE:
            return at
    return None


def _failed(one: Observation) -> bool:
    return one.status >= 400 and one.status != 429


def _first(found: Sequence[Observation], true: Callable[[Observation], bool]) -> float | None:
    return min((one.time.timestamp() for one in found if true(one)), default=None)


def _answered_by(variant: str) -> Callable[[Sequence[Observation]], float | None]:
    return lambda found: _first(found, lambda one: one.variant == variant)


def _after_the_last_german(found: Sequence[Observation]) -> float | None:
    """When the next one would have come, by the time between the last ones."""
    times = sorted(one.time.timestamp() for one in found if one.slices.get("language") == "de")
    return times[-1] + (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None


def _without_vectors(found: Sequence[Observation]) -> float | None:
    """The first answer of the legacy version from which on it says the same of everything."""
    answers = sorted((one.time.timestamp(), one.score) for one in found if one.variant == "v2" and one.score is not None)
    if not answers:
        return None
    same, often = Counter(score for _, score in answers[-50:]).most_common(1)[0]
    before = [at for at, score in answers if score != same]
    return _first(found, lambda one: one.variant == "v2" and one.time.timestamp() > max(before, default=0.0)) if often > 40 else None


_SHORT = (
    Drill("collapsed-version", _answered_by("v5"), "identical", _BOUND),
    Drill("broken-language", lambda found: _first(found, _failed), "errors in de", _BOUND),
    Drill("silent-language", _after_the_last_german, "de fell silent", _BOUND),
)
_OTHERS = (
    Drill("emptied-redis", _without_vectors, ENDPOINT),
    Drill("dead-server", lambda found: _first(found, _failed), ENDPOINT),
)
_HEAVY = (Drill("slow-version", _answered_by("v7"), ENDPOINT),)


@contextmanager
def _place() -> Iterator[House]:
    """A demo's workspace with its traffic, whose guardian pages into a file."""
    made = House(Path(tempfile.mkdtemp(prefix="mlconsole-bench-")) / "workspace")
    folder = made.root.parent
    guarded = False
    try:
        starting.create(made.root, sample=True)
        (folder / "page.py").write_text(_PAGE)
        _notify(made.root / "mlconsole.yaml", [sys.executable, str(folder / "page.py"), str(folder / "pages.jsonl")])
        trusting.allow(load(made.root / "mlconsole.yaml"))
        starting.register_all(made.session)
        machine.up(made.session)
        made.deploy("3")
        made.replay(_RATE)
        made.cli("guardian", "run", "--detach", "--env", made.session.environment.name)
        guarded = True
        until("somebody watches", 20.0, lambda: _watched(made))
        yield made
    finally:
        if guarded:
            with suppress(AssertionError):
                made.cli("guardian", "stop")
        if (made.root / "mlconsole.yaml").exists():
            made.close()
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _watched(made: House) -> bool:
    watcher = made.session.registry.watcher(made.session.environment.name)
    return watcher is not None and watcher.alive


def _notify(file: Path, command: Sequence[str]) -> None:
    """Let the default environment page by that command; it is the first one in the sample's file."""
    text = file.read_text(encoding="utf-8")
    mark = "  staging:\n"
    assert text.count(mark) == 1, "the sample's mlconsole.yaml has another shape"
    file.write_text(
        text.replace(mark, f"{mark}    notify: {{bench: {{kind: command, run: {json.dumps(list(command))}}}}}\n"), encoding="utf-8"
    )


def _pages(made: House) -> list[dict[str, Any]]:
    """The pages so far; what is told besides is none."""
    try:
        lines = (made.root.parent / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [page for page in map(json.loads, lines) if page["severity"] == "page"]
