"""Rollouts on the simulator with faults: kill -9 of guardian and console, SIGSTOP beyond the lease, a clock that jumps, a registry that is
locked. Each rollout lives in a time of its own, which passes while its drivers rest; drivers and consoles are processes, begun from a clean
one that has no registry open, and what is killed, stopped and locked is real.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Say, none_of
from tests.bench.house import ROOT
from tests.bench.rollout_problems import problems, risen

from mlconsole.core.rollouts import Control, Rollout, RolloutState
from mlconsole.engine import changing, rolling
from mlconsole.engine.planning import plan_traffic
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.simulator import ManualClock, simulated

if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from engine.conftest import TOMEK
from engine.health_kit import HealthHouse
from engine.rollout_kit import NAME, World, breaks, copied_world, world

_KILLS, _SAMPLE = 1000, 30
_LOCKED, _LOCKED_SAMPLE = 30.0, 3.0
"""s that somebody holds the registry."""
_LOCK_EVERY = 40
"""Each so manieth rollout meets a locked registry."""
_RATE = 40
_SERVED = 5400.0
"""s of traffic before the first rollout: where the clock is set back an hour, the stable variant answered then too."""
_OPTIONS: dict[str, Any] = {"variant_seconds": 0.05, "traffic_seconds": 0.02, "stop_seconds": 0.02}
_WORDS = ("pause", "next", "revert", "keep old", "slider")
_WHILE, _LONGEST = 20.0, 8.0
"""s between two faults: of the rollout's time, and of ours at most."""
_AGAIN = 8
"""So often somebody unharmed takes it up at the end, and lifts a pause."""

_clean = multiprocessing.get_context("forkserver")
_clean.set_forkserver_preload(["tests.bench.faults_simulated"])


@dataclass
class Seen:
    """What was done to the rollouts, and where."""

    rollouts: int = 0
    guardians: int = 0
    """Killed while they drove or stood by, the rollout not over."""
    consoles: int = 0
    """Killed in the middle of what they were asked."""
    stops: int = 0
    locks: int = 0
    jumps: int = 0
    asked: int = 0
    where: Counter[str] = field(default_factory=Counter)
    """The rollout's state → kills."""
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def kills(self) -> int:
        """Of both."""
        return self.guardians + self.consoles


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """As many rollouts as it takes for all the kills."""
    yield from _figures(_KILLS if long else _SAMPLE, _LOCKED if long else _LOCKED_SAMPLE, say)


def _figures(kills: int, locked: float, say: Say) -> Iterator[Figure]:
    wrong: list[str] = []
    unserved = requests = 0
    seen, dice = Seen(), random.Random(53)
    with tempfile.TemporaryDirectory(prefix="mlconsole-bench-rolling-") as folder:
        template = _template(Path(folder) / "template")
        say(f"rollouts on the simulator until {kills} processes were killed in them")
        while seen.kills < kills:
            turn = seen.rollouts
            seen.rollouts += 1
            place = Path(folder) / "now"
            made = copied_world(template, place)
            made.rate = _RATE
            made.house.seed = 1000 * turn
            before = len(made.house.sim.world.observations())
            try:
                found = _faulty(made, dice, seen, locked if turn % _LOCK_EVERY == 5 else 0.0)
            except (AssertionError, MLConsoleError) as error:
                found = [f"{type(error).__name__}: {error}"]
            wrong += [f"rollout {turn}: {one}" for one in found]
            if found:
                say(f"rollout {turn} is wrong: {found[0][:300]}")
                _kept(place, turn)
            observations = made.house.sim.world.observations()[before:]
            requests += len(observations)
            unserved += sum(one.error == "no healthy upstream" for one in observations)
            shutil.rmtree(place)
            if seen.rollouts % 25 == 0:
                say(f"{seen.rollouts} rollouts, {seen.kills} kills, {len(wrong)} wrong")
    told = f"{len(wrong)} in {seen.rollouts} rollouts with {seen.kills} kills ({seen.guardians} of a guardian, {seen.consoles} of a "
    told += f"console; {_told(seen.where)}), {seen.stops} stopped for longer than the lease, {seen.jumps} jumps of the clock, "
    told += f"{seen.locks} times a locked registry ({locked:g} s), {seen.asked} times something asked; {_told(seen.ends)}"
    values = {"kills": seen.kills, "guardians": seen.guardians, "consoles": seen.consoles, "where": dict(seen.where)}
    yield none_of("simulator: wrong after faults", wrong, told, ends=dict(seen.ends), **values)
    yield none_of("simulator: requests that found no server", ["no healthy upstream"] * unserved, f"{unserved} of {requests}")


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _kept(place: Path, turn: int) -> None:
    """What was wrong is kept beside the results, to be looked into."""
    kept = ROOT / "bench-results" / f"rollout-{turn}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(place, kept, ignore=shutil.ignore_patterns("*.predictions.jsonl", "observations.db*"))


def _template(root: Path) -> Path:
    made = world(root)
    watch = made.house.watch()
    watch.look()
    made.house.passes(_SERVED)
    made.house.serve(_SERVED, 0.5, slices=made.slices)
    made.usual()
    watch.look()
    return made.house.root


# One rollout.


def _faulty(made: World, dice: random.Random, seen: Seen, locked: float) -> list[str]:
    """One rollout with faults; what is wrong afterwards."""
    bad, asked = dice.random() < 0.4, set[str]()
    rollout = made.begin(policy="quick")
    registry = made.house.session().registry
    state = lambda: registry.rollout(rollout.id).state  # type: ignore[union-attr]  # noqa: E731
    drivers = [_begun(_drives, made, bad, dice) for _ in range(dice.choice((1, 1, 2)))]
    try:
        if locked:
            seen.locks += 1
            _locks(made, locked)
        for _ in range(dice.choice((3, 5, 8))):
            _goes_on(made, dice)
            if state().terminal:
                break
            what = dice.choice(("kill", "kill", "kill", "kill", "stop", "jump", "console"))
            if what == "kill":
                victim, at = drivers.pop(dice.randrange(len(drivers))), state()
                if _killed(victim) and not at.terminal:
                    seen.guardians += 1
                    seen.where[str(at)] += 1
                drivers.append(_begun(_drives, made, bad, dice))
            elif what == "stop":
                frozen = dice.choice(drivers)
                if frozen.is_alive() and frozen.pid is not None:
                    seen.stops += 1
                    _freeze(made, frozen.pid)
                    made.house.passes(11)
                    drivers.append(_begun(_drives, made, bad, dice))
                    time.sleep(dice.uniform(0.1, 1.0))  # the other drives for a random while before this one wakes
                    os.kill(frozen.pid, signal.SIGCONT)
            elif what == "jump":
                seen.jumps += 1
                made.house.clock.jump(dice.choice((-3600.0, 3600.0)))  # type: ignore[attr-defined]
            elif what == "console":
                word = dice.choice(_WORDS)
                seen.asked += 1
                asked.add(word)
                asker, at = _begun(_asks, made, rollout.id, word), state()
                if dice.random() < 0.7:
                    time.sleep(dice.uniform(0.02, 0.25))  # killed at a random moment of its asking
                    if _killed(asker) and not at.terminal:
                        seen.consoles += 1
                        seen.where[str(at)] += 1
                _over(asker)
    finally:
        for one in drivers:
            _over(one)
    return _brought_to_its_end(made, bad, asked, rollout, seen)


def _goes_on(made: World, dice: random.Random) -> None:
    """A random while: a moment of ours, for what takes only moments; or of the rollout's own time, which gets it through a stage or two,
    however busy the machine is."""
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0.0, 0.6))
        return
    end, until = made.house.clock.elapsed() + dice.uniform(0.0, _WHILE), time.monotonic() + _LONGEST
    while made.house.clock.elapsed() < end and time.monotonic() < until:
        time.sleep(0.01)


def _brought_to_its_end(made: World, bad: bool, asked: set[str], rollout: Rollout, seen: Seen) -> list[str]:
    """Whoever comes last, unharmed, ends it; a pause that somebody asked for is lifted."""
    session, dice = made.house.session(), random.Random(rollout.id)
    for _ in range(_AGAIN):
        now = rolling.find(session, rollout.id)
        if now.state.terminal:
            break
        made.house.passes(11)
        with suppress(MLConsoleError):
            if now.state is RolloutState.PAUSED:
                made.ask(Control.RESUME)
        _over(_begun(_drives, made, bad, dice))
    ended = rolling.find(session, rollout.id)
    seen.ends[str(ended.state)] += 1
    found = [*problems(session, ended), *_fences(made)]
    if bad and ended.state is RolloutState.DONE and "next" not in asked:
        found.append("a version that fails has all of the requests")
    if not bad and ended.state is RolloutState.REVERTED and "revert" not in asked:
        found.append(f"a good version went back: {ended.why}")
    return found


def _fences(made: World) -> list[str]:
    """Whether any step was taken with a token older than one that the backend had seen."""
    calls = made.house.sim.world.calls
    starts = [one for one in calls if one.name.endswith(".start") and one.endpoint == NAME and one.outcome == "ok"]
    return risen([(one.fence, one.action) for one in starts if one.fence is not None])


# In processes of their own.


def _there(root: Path) -> World:
    """The world that lies there."""
    clock = ManualClock(path=root / "time.json")
    sims = {
        name: simulated(root, clock=clock, environment=name, world=str(root / f"{name}.json"), shape="separate", **_OPTIONS)
        for name in ("staging", "production")
    }
    return World(HealthHouse(root, clock, sims), rate=_RATE)


def _drives(root: Path, bad: bool, seed: int) -> None:
    """Drive it as a guardian does: as soon as nobody else does, again and again until it is over; ends what others left interrupted."""
    made = _there(root)
    made.house.seed = seed
    if bad:
        made.happens.append(breaks())
    registry, rollout = made.house.session().registry, made.rollout().id
    paused = lambda: (now := registry.rollout(rollout)) is not None and now.state is RolloutState.PAUSED  # noqa: E731
    # A pause is not its own to lift, and there is nothing to see here any more.
    made.happens.append(lambda one: one.stop() if paused() else None)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        session = made.session(who=TOMEK)
        with suppress(MLConsoleError):
            _mends(made.house.session(TOMEK))
        now = made.rollout()
        if now.state.terminal or (now.state is RolloutState.PAUSED and not session.registry.controls(now.id)):
            return
        with suppress(MLConsoleError):
            made.drive(seconds=3000, session=session)
        time.sleep(0.05)


def _mends(session: Session) -> None:
    for operation in session.registry.unfinished(session.environment.name):
        if not changing.is_alive(session, operation):
            changing.recover(session, operation)


def _asks(root: Path, rollout: str, word: str) -> None:
    """A console in which something is asked of a rollout, or its slider moved."""
    session = _there(root).house.session()
    with suppress(MLConsoleError):
        if word == "slider":
            changing.run(session, plan_traffic(session, NAME, {"v3": 6000, "v4": 4000}))
        else:
            rolling.control(session, rollout, word, "a measurement")


def _begun(work: Callable[..., None], made: World, *given: Any) -> Any:
    """A process that does this there; dice become a seed."""
    plain = [one.randrange(1, 10**9) if isinstance(one, random.Random) else one for one in given]
    process = _clean.Process(target=work, args=(made.house.root, *plain), daemon=True)
    process.start()
    return process


def _killed(process: Any) -> bool:
    """kill -9; whether that is what ended it."""
    process.kill()
    process.join()
    return bool(process.exitcode == -signal.SIGKILL)


def _freeze(made: World, pid: int) -> None:
    """SIGSTOP, and not while it holds a lock of the world that we live in, or of the registry: both would stand still with it."""
    root = made.house.root
    for _ in range(100):
        os.kill(pid, signal.SIGSTOP)
        if all(_free(root / name) for name in ("time.json", "staging.lock")) and _unlocked(root / ".mlconsole" / "registry.db"):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("what is to be frozen always holds a lock")


def _free(file: Path) -> bool:
    """Whether nobody holds it just now, or only for a moment."""
    with file.open("rb") as opened:
        for _ in range(10):
            with suppress(BlockingIOError):
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(0.01)
    return False


def _unlocked(database: Path) -> bool:
    connection = sqlite3.connect(database, timeout=0.5, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def _over(process: Any) -> None:
    """Wait until it is over; one that does not end is killed, and that is told."""
    process.join(90)
    if process.exitcode is None:
        _killed(process)
        raise AssertionError("a process does not end")
    assert process.exitcode in (0, -signal.SIGKILL), "a process failed; see above"


def _locks(made: World, seconds: float) -> None:
    """Somebody holds the registry's lock for so long."""
    connection = sqlite3.connect(made.house.root / ".mlconsole" / "registry.db", timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
