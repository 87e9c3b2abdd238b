"""Rollouts on real servers with faults, under traffic: kill -9 of guardian and console, two who would drive, one that is frozen beyond its
lease and goes on, a locked registry, and the connection cut.

A guardian that another one relieves is what a service manager starts again; here a process that stays with the rollout (`rollout drive`)
stands by. The connection is a real sshd's on loopback, and its client is killed.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

from tests.bench.figures import Figure, Say, at_most, median, none_of
from tests.bench.guardians import OVER, Guardian, Process, begin, ended, guardian, real
from tests.bench.house import ENDPOINT, House, until, variables
from tests.bench.rollout_problems import problems, risen
from tests.e2e.sshd import Server, missing, sshd

from mlconsole.core.rollouts import Control, Rollout, RolloutState
from mlconsole.engine import rolling
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.registry import drivers, watchers

_RATE = 50
_KILLS, _SAMPLE = 50, 2
_GOOD, _BAD = "4", "5"
_FROZEN = 20.0
"""s that a driver is stopped: longer than any lease."""
_TAKES_UP = 3.0
"""s from a lease's end to the next look of whoever stands by, on a busy machine."""
_LOCKED, _LOCKED_SAMPLE = 30.0, 12.0


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Kills first; then two who would drive, the locked registry, and the connection."""
    with real() as made:
        made.replay(_RATE)
        before = made.replayed()
        yield from _killed(made, _KILLS if long else _SAMPLE, say)
        yield from _two(made, 5 if long else 1, say)
        yield from _locked(made, _LOCKED if long else _LOCKED_SAMPLE, say)
        yield from _cut(made, long, say)
        time.sleep(1.5)  # the replay tells its counts once a second
        after = made.replayed()
    failed, sent = int(after["failed"]) - int(before["failed"]), int(after["sent"]) - int(before["sent"])
    yield none_of("real servers: failed requests in all of these", [str(after["last_error"])] * failed, f"{failed} of {sent}")


# What is wrong afterwards.


class Tokens:
    """Who drives a rollout, as the registry tells it from moment to moment: the fencing tokens in their order."""

    def __init__(self, made: House, rollout: str) -> None:
        self._made, self._rollout = made, rollout
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: list[tuple[int, int, float]] = []
        """Token, process, since when (monotonic)."""

    def __enter__(self) -> Tokens:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _watch(self) -> None:
        registry = self._made.session.again().registry
        while not self._over.wait(0.05):
            with suppress(MLConsoleError):  # the registry is locked just now
                row = registry.rollout_driver(self._rollout)
                if row is not None and row.alive and (not self.seen or self.seen[-1][:2] != (row.token, row.pid)):
                    self.seen.append((row.token, row.pid, time.monotonic()))

    def wrong(self) -> list[str]:
        """A token that is older than the one before, or that two processes had."""
        found = risen([(token, f"what process {pid} drove") for token, pid, _ in self.seen])
        owners = Counter(token for token, pid in {(token, pid) for token, pid, _ in self.seen})
        return found + [f"{count} processes had token {token}" for token, count in owners.items() if count > 1]

    def next_after(self, moment: float, pid: int) -> float | None:
        """Seconds from a moment until another process drove."""
        return next((at - moment for _, other, at in self.seen if at >= moment and other != pid), None)


def _wrong(made: House, rollout: Rollout, wanted: set[RolloutState]) -> list[str]:
    found = problems(made.session, rollout)
    if rollout.state not in wanted:
        found.append(f"{rollout.variant} is {rollout.state}: {rollout.why}")
    return [f"rollout {rollout.id}: {one}" for one in found]


def _from_the_start(made: House) -> None:
    """v3 serves alone."""
    recorded = made.session.registry.live_release(made.session.environment.name, ENDPOINT)
    if recorded is None or recorded.release.content.names != ("v3",):
        made.revert(to=1)


def _guarded(made: House, what: str, wrong: list[str], say: Say, work: Callable[[], list[str]]) -> None:
    """One rollout; what breaks off is wrong too, and the next one begins from the start."""
    try:
        found = work()
    except (AssertionError, MLConsoleError, subprocess.SubprocessError) as error:
        found = [f"{type(error).__name__}: {error}"]
    for one in found:
        say(f"wrong: {what}: {one[:400]}")
    wrong += [f"{what}: {one}" for one in found]
    _tidied(made)


def _tidied(made: House) -> None:
    """Whatever is left of a rollout is taken back, and v3 serves alone."""
    session = made.session
    left = session.registry.claim(session.environment.name, ENDPOINT)
    if left is not None:
        with guardian(made):
            with suppress(MLConsoleError):
                rolling.control(session, left.id, str(Control.REVERT), "what is left of a measurement")
            ended(session, left)
    _from_the_start(made)


# Kills.


@dataclass
class _Tally:
    guardians: int = 0
    consoles: int = 0
    where: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.guardians + self.consoles


def _killed(made: House, kills: int, say: Say) -> Iterator[Figure]:
    """Rollouts of good and bad versions by turns, guardian or console killed at random moments."""
    tally, dice = _Tally(), random.Random(31)
    wrong: list[str] = []
    turn = 0
    while tally.kills < kills:
        say(f"kill -9, rollout {turn + 1} on real servers, {tally.kills} of {kills} kills, {len(wrong)} wrong")
        version = _GOOD if turn % 2 == 0 else _BAD
        _guarded(made, f"rollout {turn + 1} (v{version})", wrong, say, partial(_one_killed, made, version, tally, dice))
        turn += 1
    told = f"{len(wrong)} in {turn} rollouts with {tally.kills} kills ({tally.guardians} of a guardian, {tally.consoles} of a console; "
    told += f"{_told(tally.where)}); {_told(tally.ends)}"
    yield none_of("real servers: wrong after kill -9", wrong, told, ends=dict(tally.ends), where=dict(tally.where), kills=tally.kills)
    if tally.takeovers:
        told = f"median {median(tally.takeovers):.1f} s, longest {max(tally.takeovers):.1f} s, of {len(tally.takeovers)}"
        yield Figure("the next guardian begun → it drives the rollout", told, values={"seconds": tally.takeovers})


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _one_killed(made: House, version: str, tally: _Tally, dice: random.Random) -> list[str]:
    session = made.session
    with guardian(made) as keeper:
        begun = _begun_by_a_console(made, version, tally, dice)
        asked = set[str]()
        with Tokens(made, begun.id) as tokens:
            for _ in range(dice.choice((2, 3, 4))):
                time.sleep(dice.uniform(0.2, 7.0))  # a random moment, wherever it is then
                state = rolling.find(session, begun.id).state
                if state.terminal:
                    break
                if dice.random() < 0.7:
                    if keeper.kill():
                        tally.guardians += 1
                        tally.where[str(state)] += 1
                    time.sleep(dice.uniform(0.0, 2.0))  # nobody drives for a random while
                    keeper.start()
                    since = time.monotonic()
                    if not rolling.find(session, begun.id).state.terminal:
                        with suppress(AssertionError):
                            until("who drives", 15.0, lambda: keeper.drives(begun.id) or rolling.find(session, begun.id).state.terminal)
                        tally.takeovers.append(time.monotonic() - since)
                else:
                    word = dice.choice(("pause", "resume", "keep", "revert"))
                    asked.add(word)
                    if _console_killed(made, ("rollout", word, ENDPOINT), dice):
                        tally.consoles += 1
                        tally.where[str(state)] += 1
            _resumed(session, begun)
            over = ended(session, begun)
    tally.ends[f"v{version} {over.state}"] += 1
    wanted = {RolloutState.DONE if version == _GOOD else RolloutState.REVERTED}
    return [*_wrong(made, over, wanted | ({RolloutState.REVERTED} if "revert" in asked else set())), *tokens.wrong()]


def _begun_by_a_console(made: House, version: str, tally: _Tally, dice: random.Random) -> Rollout:
    """`rollout start`, killed on its way at times; then it has begun wholly or not at all."""
    session = made.session
    words = ("rollout", "start", f"{ENDPOINT}@{version}", "--policy", "killed", "--break-glass", "a measurement", "--yes")
    if dice.random() < 0.25 and _console_killed(made, words, dice):
        tally.consoles += 1
        tally.where["begin"] += 1
    claim = session.registry.claim(session.environment.name, ENDPOINT)
    return claim if claim is not None else begin(session, version, "killed")


def _console_killed(made: House, words: tuple[str, ...], dice: random.Random) -> bool:
    """A command, killed at a random moment; whether it was still there."""
    console = Process(made, *words)
    console.begin()
    time.sleep(dice.uniform(0.2, 1.5))
    return console.kill()


def _resumed(session: Session, rollout: Rollout) -> None:
    """Lift a pause, where one was asked for."""
    for _ in range(20):
        now = rolling.find(session, rollout.id)
        if now.state is RolloutState.PAUSED and not session.registry.controls(rollout.id):
            with suppress(MLConsoleError):
                rolling.control(session, rollout.id, str(Control.RESUME))
        elif not session.registry.controls(rollout.id):
            return
        time.sleep(0.5)


# Two who would drive.


def _two(made: House, times: int, say: Say) -> Iterator[Figure]:
    """One drives, the other stands by; the first is killed, or frozen beyond its lease and let go on."""
    wrong: list[str] = []
    dice = random.Random(7)
    for how, bound in (("killed", drivers.SILENT), ("frozen", max(drivers.SILENT, watchers.SILENT))):
        seconds: list[float] = []
        for turn in range(times):
            version = _GOOD if turn % 2 == 0 else _BAD
            say(f"two who would drive v{version}, the first is {how}")
            _guarded(made, f"{how}, v{version}", wrong, say, partial(_relieved, made, version, how, seconds, dice))
        told = f"median {median(seconds):.1f} s, longest {max(seconds, default=0.0):.1f} s, of {len(seconds)}"
        yield at_most(f"the driver {how} → another one drives (s)", max(seconds, default=999.0), bound + _TAKES_UP, told, all=seconds)
    yield none_of("real servers: wrong with two who would drive", wrong, f"{len(wrong)} in {2 * times} rollouts")


def _relieved(made: House, version: str, how: str, seconds: list[float], dice: random.Random) -> list[str]:
    session, found = made.session, list[str]()
    with guardian(made) as first:
        begun = begin(session, version, "killed")
        other, second = Guardian(made), Process(made, "rollout", "drive", begun.id)
        try:
            with Tokens(made, begun.id) as tokens:
                other.begin()
                second.begin()
                until("the first guardian drives", 15.0, lambda: first.drives(begun.id))
                if other.left(20.0) != 5:
                    found.append("a second guardian was not refused")
                time.sleep(dice.uniform(0.0, 2.0))  # a random moment
                if rolling.find(session, begun.id).state.terminal:
                    return [*found, "it was over before anybody was killed"]
                found += _gone(made, first, how, tokens, seconds)
                over = ended(session, begun)
                second.left(20.0)
                if how == "frozen":  # it watches other environments too, and this one again when nobody else does
                    until("who lost the watch takes it up again", 30.0, first.watches)
        finally:
            second.stop()
            other.stop()
    if [pid for pid, _ in groupby(pid for _, pid, _ in tokens.seen)] != [first.pid, second.pid]:
        found.append(f"it was driven by {tokens.seen}")
    return [*found, *_wrong(made, over, {RolloutState.DONE if version == _GOOD else RolloutState.REVERTED}), *tokens.wrong()]


def _gone(made: House, first: Guardian, how: str, tokens: Tokens, seconds: list[float]) -> list[str]:
    """The driver is killed, or frozen and let go on; how long it took until another one drove."""
    since = time.monotonic()
    if how == "killed":
        first.kill()
    else:
        since = _frozen(made, first)
    with suppress(AssertionError):
        until("another one drives", _FROZEN, lambda: tokens.next_after(since, first.pid) is not None)
    if how == "frozen":
        time.sleep(max(0.0, since + _FROZEN - time.monotonic()))  # it stays frozen for so long, whatever the other does
        first.tell(signal.SIGCONT)
    took = tokens.next_after(since, first.pid)
    if took is None:
        return ["nobody took it over"]
    seconds.append(took)
    return []


def _frozen(made: House, first: Guardian) -> float:
    """Freeze it; since when. Not in the middle of a write: SQLite's lock would be frozen with it, and nobody could take anything over."""
    for _ in range(100):
        first.tell(signal.SIGSTOP)
        since = time.monotonic()
        connection = sqlite3.connect(made.root / ".mlconsole" / "registry.db", timeout=0.5, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            return since
        except sqlite3.OperationalError:
            first.tell(signal.SIGCONT)
            time.sleep(0.05)
        finally:
            connection.close()
    raise AssertionError("the registry is always locked")


# The registry.


def _locked(made: House, seconds: float, say: Say) -> Iterator[Figure]:
    """Somebody holds the registry's lock in the middle of a rollout."""
    wrong: list[str] = []
    say(f"the registry is locked for {seconds:g} s in the middle of a rollout on real servers")

    def work() -> list[str]:
        with guardian(made):
            begun = begin(made.session, _GOOD, "killed")
            time.sleep(3.0)  # in the middle of it, wherever it is then
            connection = sqlite3.connect(made.root / ".mlconsole" / "registry.db", timeout=30, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(seconds)  # the lock is held for so long: that is the fault
                connection.execute("ROLLBACK")
            finally:
                connection.close()
            return _wrong(made, ended(made.session, begun), {RolloutState.DONE})

    _guarded(made, "locked", wrong, say, work)
    yield none_of("real servers: wrong after a locked registry", wrong, f"{len(wrong)}, locked for {seconds:g} s")


# The connection.


_Case = Callable[[House, Server, str, float], list[str]]


class Line:
    """A command at the other end of ssh; cut, its client is killed."""

    def __init__(self, made: House, server: Server, *words: str) -> None:
        environ = {name: value for name, value in variables().items() if name in ("PATH", "PYTHONPATH")}
        command = server.command(made.command(*words), cwd=made.root, environ={**environ, "LC_ALL": "C.UTF-8"})
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log)

    def cut(self) -> None:
        """The connection is gone from one moment to the next."""
        self._process.kill()
        self._process.wait()

    def said(self) -> str:
        """What came through so far."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Whatever it is, it is over."""
        self.cut()
        self._log.close()


@contextmanager
def _line(made: House, server: Server, *words: str) -> Iterator[Line]:
    line = Line(made, server, *words)
    try:
        yield line
    finally:
        line.close()


def _cut(made: House, long: bool, say: Say) -> Iterator[Figure]:
    """The connection cut in the middle of a rollout that is driven over it; in a long run also of one that is driven elsewhere, or by a
    process that dies with the connection."""
    if why_not := missing():
        say(f"left out: {why_not}")
        return
    dice, times = random.Random(11), 3 if long else 1
    with tempfile.TemporaryDirectory(prefix="mlconsole-bench-") as folder, sshd(Path(folder)) as server:
        cases: tuple[tuple[str, _Case], ...] = (
            ("a guardian begun over it", _cut_from_guardian),
            ("attended, nobody else", _cut_attended),
            ("a guardian on the host", _cut_with_guardian),
            ("attended, and the process dies with it", _cut_and_dead),
        )
        for name, work in cases if long else cases[:2]:
            wrong: list[str] = []
            for turn in range(times):
                say(f"the connection is cut: {name}")
                version = _GOOD if turn % 2 == 0 else _BAD
                _guarded(made, f"{name}, v{version}", wrong, say, partial(work, made, server, version, dice.uniform(0.0, 6.0)))
            yield none_of(f"connection cut, {name}: wrong", wrong, f"{len(wrong)} in {times} rollouts")


def _start(version: str, *more: str) -> tuple[str, ...]:
    return "rollout", "start", f"{ENDPOINT}@{version}", "--policy", "killed", "--break-glass", "a measurement", "--yes", *more


def _claimed(made: House, line: Line) -> Rollout:
    """The rollout that was begun at the other end."""
    session = made.session
    try:
        until("the rollout's begin", 40.0, lambda: session.registry.claim(session.environment.name, ENDPOINT) is not None)
    except AssertionError as error:
        raise AssertionError(f"{error}: {line.said()[-400:]}") from None
    claim = session.registry.claim(session.environment.name, ENDPOINT)
    assert claim is not None
    return claim


def _end_of(version: str) -> set[RolloutState]:
    return {RolloutState.DONE if version == _GOOD else RolloutState.REVERTED}


def _cut_with_guardian(made: House, server: Server, version: str, seconds: float) -> list[str]:
    """Begun and watched over ssh, driven by the host's guardian: it goes on."""
    with guardian(made), _line(made, server, *_start(version)) as line:
        begun = _claimed(made, line)
        with _line(made, server, "rollout", "watch", ENDPOINT) as watching:
            time.sleep(seconds)  # the line is cut after so long, wherever it is then
            line.cut()
            watching.cut()
            return _wrong(made, ended(made.session, begun), _end_of(version))


def _cut_from_guardian(made: House, server: Server, version: str, seconds: float) -> list[str]:
    """The guardian itself runs at the other end, in the foreground: it goes on."""
    session = made.session
    with _line(made, server, "guardian", "run") as line:
        row = lambda: session.registry.watcher(session.environment.name)  # noqa: E731
        until("a guardian that watches", 40.0, lambda: (one := row()) is not None and one.alive)
        watcher = row()
        assert watcher is not None
        begun = begin(session, version, "killed")
        time.sleep(seconds)  # as above
        line.cut()
        try:
            found = _wrong(made, ended(session, begun), _end_of(version))
            driver = session.registry.rollout_driver(begun.id)
            if driver is None or driver.pid != watcher.pid:
                found.append("another one drove it")
            return found
        finally:
            made.cli("guardian", "stop")


def _cut_attended(made: House, server: Server, version: str, seconds: float) -> list[str]:
    """Driven by the command at the other end: nobody else is there, so it goes on without its terminal."""
    with _line(made, server, *_start(version, "--attended")) as line:
        begun = _claimed(made, line)
        time.sleep(seconds)  # as above
        line.cut()
        return _wrong(made, ended(made.session, begun), _end_of(version))


def _cut_and_dead(made: House, server: Server, version: str, seconds: float) -> list[str]:
    """The command at the other end is killed as well: it stays where it is, status says so, and the next guardian takes it up."""
    session, found = made.session, list[str]()
    with _line(made, server, *_start(version, "--attended")) as line:
        begun = _claimed(made, line)
        until("somebody drives it", 20.0, lambda: (one := session.registry.rollout_driver(begun.id)) is not None and one.alive)
        time.sleep(seconds)  # as above
        driver = session.registry.rollout_driver(begun.id)
        assert driver is not None
        line.cut()
        subprocess.run(["kill", "-9", str(driver.pid)], check=False)
        time.sleep(1.0)  # whatever is left of it could still do something: that it does not is no condition to wait for
    told = made.cli("rollout", "status", ENDPOINT, codes=(0, 1, 3))["rollout"]
    states = {str(one) for one in RolloutState}
    if told["state"] not in states or (told["driver"] and not RolloutState(told["state"]).terminal):
        found.append(f"status tells {told['state']}, driven by {told['driver']}")
    with guardian(made):
        return [*found, *_wrong(made, ended(session, begun, OVER), _end_of(version))]
