"""Rollouts that guard themselves: how fast a bad variant is taken back on real servers, and what kill -9, SIGSTOP, a clock that jumps and a
registry that is locked make of them.

*Revert time*: from the end of the first request after which a guard says *fail*, found afterwards by judging the recorded predictions one
after the other as the guard does, until the last request that the bad variant got was sent, as the consumers themselves noted it.

*Faults on the simulator*: each rollout lives in a time of its own, which passes while its drivers rest; drivers are processes, and what is
killed, stopped and locked is real. *On real servers* the guardian is killed while requests are replayed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Say, at_most, median, none_of
from tests.bench.house import ENDPOINT, ROOT, House, house, until, variables
from tests.bench.load import Load, failures

from mlconsole.core.guards import GuardEvidence, results
from mlconsole.core.live import Transition, differences
from mlconsole.core.operations import StepState
from mlconsole.core.profiles import baseline_of
from mlconsole.core.releases import Standing
from mlconsole.core.rollouts import LEGAL_EXITS, Control, Rollout, RolloutState
from mlconsole.core.summaries import Key, Summary
from mlconsole.core.traffic import WHOLE
from mlconsole.core.verdicts import Verdict
from mlconsole.engine import conducting, rolling, rolloutplans
from mlconsole.engine.session import Session
from mlconsole.observations.summarising import digest
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.roles import Observation

if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from engine.conftest import TOMEK
from engine.rollout_kit import World, breaks, copied_world, world

_RATE = 100.0
_OVER = 240.0
"""Seconds within which a rollout on real servers has to be over."""

_POLICIES = """
  bench: {stages: [30, 100], wait: 5, evidence: 60, bake: 10, guards: {errors: , identical: , latency: , answers in every slice: }}
  killed: {stages: [30, 100], wait: 3, evidence: 30, bake: 3, guards: {errors: {by_slice: false}, identical: {by_slice: false}}}
"""
_BAD = ("5", "6", "7")


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Revert time, then faults."""
    yield from _simulated(1000 if long else 25, 30.0 if long else 3.0, say)
    with _real() as made:
        yield from _reverts(made, 9 if long else 2, say)
        yield from _killed(made, 50 if long else 2, say)


# On real servers.


@contextmanager
def _real() -> Iterator[House]:
    """v3 serves, the policy is there, and nothing of the tester's own trust is used."""
    with house() as made:
        file = made.root / "mlconsole.yaml"
        file.write_text(file.read_text().replace("policies:\n", "policies:" + _POLICIES, 1))
        del made.__dict__["session"]
        yield made


@contextmanager
def _guardian(made: House) -> Iterator[_Guardian]:
    keeper = _Guardian(made)
    try:
        keeper.start()
        yield keeper
    finally:
        keeper.stop()


class _Guardian:
    """A guardian's process, begun and killed as often as one likes."""

    def __init__(self, made: House) -> None:
        self._made = made
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin one, and wait until it watches."""
        with (self._made.root / "guardian.log").open("ab") as log:
            command = self._made.command("guardian", "run")
            self._process = subprocess.Popen(command, env=variables(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("a guardian that watches", 30.0, self._watches)

    def _watches(self) -> bool:
        session = self._made.session
        row = session.registry.watcher(session.environment.name)
        return self._process is not None and row is not None and row.alive and row.pid == self._process.pid

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it as a person does."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            if self._process.poll() is None:
                self._process.kill()


def _begin(session: Session, version: str, policy: str = "bench") -> Rollout:
    plan = rolloutplans.plan_rollout(session, ENDPOINT, version, policy=policy, break_glass="a measurement")
    return rolling.find(session, rolling.begin(session, plan).id)


def _ended(session: Session, rollout: Rollout) -> Rollout:
    until(f"the end of rollout {rollout.id}", _OVER, lambda: rolling.find(session, rollout.id).state.terminal)
    return rolling.find(session, rollout.id)


def _reverts(made: House, times: int, say: Say) -> Iterator[Figure]:
    session, seconds, wrong, sent = made.session, [], list[str](), 0
    failed: list[str] = []
    say(f"{times} rollouts of bad versions under {_RATE:g} requests a second")
    with _guardian(made):
        for turn in range(times):
            # What refuses German and what is slow fail requests by themselves; only a collapsed one never does.
            version = _BAD[turn % 3] if times > 3 else "5" if turn % 2 == 0 else "7"
            with Load(made, rate=_RATE) as load:
                time.sleep(3.0)
                begun = _begin(session, version)
                ended = _ended(session, begun)
                time.sleep(1.0)
                answers = load.stop()
            sent += len(answers)
            if ended.state is not RolloutState.REVERTED:
                wrong.append(f"v{version}: {ended.state}: {ended.why}")
                continue
            if version != "6":
                failed += failures(answers)
            decided = _decided(session, ended)
            last = max((one.sent for one in answers if one.variant == ended.variant), default=None)
            if decided is None or last is None:
                wrong.append(f"v{version}: {'nothing decides' if decided is None else 'no request was seen'}: {ended.why}")
                continue
            say(f"v{version}: {last - decided:.2f} s ({ended.why[:80]})")
            seconds.append(last - decided)
    bound = conducting._LOOK + 0.5
    told = f"median {median(seconds):.2f} s, longest {max(seconds, default=float('nan')):.2f} s, of {len(seconds)}"
    yield at_most("first deciding prediction → last request that the bad variant got", max(seconds, default=99.0), bound, told, all=seconds)
    yield none_of("bad versions that were not taken back", wrong, f"{len(wrong)} of {times}")
    yield none_of("failed requests in these", failed, f"{len(failed)} of {sent}")


def _decided(session: Session, rollout: Rollout) -> float | None:
    """The end of the first request after which a guard says fail, by what was recorded."""
    began = rollout.stage_began
    assert began is not None
    since = began.timestamp() - 700.0
    found: list[Observation] = []
    predictions = session.backend.predictions()
    assert predictions is not None
    cursor = predictions.cursor_at(datetime.fromtimestamp(since, UTC))
    while True:
        page = predictions.read(cursor)
        cursor = page.cursor
        found += [one for one in page.observations if one.endpoint == ENDPOINT and not one.probe]
        if page.at_end:
            break
    found.sort(key=_end)
    version = session.registry.version(ENDPOINT, rollout.variant.removeprefix("v"))
    windows: dict[Key, dict[int, Summary]] = {}
    baselines = {rollout.variant: baseline_of(version)} if version is not None else {}
    traffic = rollout.present.content.traffic
    assert traffic is not None
    split = {"": {name: share / WHOLE for name, share in traffic.split.items()}}
    for one in found:
        _put(windows, one)
        if _end(one) < began.timestamp() or one.variant != rollout.variant:
            continue
        evidence = GuardEvidence(ENDPOINT, windows, rollout.variant, rollout.stable, began.timestamp(), split, baselines)
        if any(each.verdict is Verdict.FAIL and each.judged for each in results(rollout, evidence, _end(one))):
            return _end(one)
    return None


def _end(one: Observation) -> float:
    return one.time.timestamp() + one.milliseconds / 1000


def _put(windows: dict[Key, dict[int, Summary]], one: Observation) -> None:
    """Count it where the store would."""
    for (start, key), summary in digest([one], lambda _, labels, __: tuple(f"{name}={value}" for name, value in labels)).summaries.items():
        windows.setdefault(key, {}).setdefault(start, Summary()).merge(summary)


def _killed(made: House, times: int, say: Say) -> Iterator[Figure]:
    """Rollouts of good and bad versions, the guardian killed once or twice in each at a random moment."""
    session, dice = made.session, random.Random(31)
    wrong: list[str] = []
    ends: Counter[str] = Counter()
    made.replay(50)
    before = made.replayed()
    for turn in range(times):
        version = "4" if turn % 2 == 0 else "5"
        say(f"kill -9 of the guardian, rollout {turn + 1} of {times} on real servers")
        with _guardian(made) as keeper:
            begun = _begin(session, version, "killed")
            for _ in range(dice.choice((1, 1, 2))):
                time.sleep(dice.uniform(0.2, 20.0))
                keeper.kill()
                time.sleep(dice.uniform(0.0, 2.0))
                keeper.start()
            ended = _ended(session, begun)
        ends[f"v{version} {ended.state}"] += 1
        wanted = RolloutState.DONE if version == "4" else RolloutState.REVERTED
        if ended.state is not wanted:
            wrong.append(f"v{version} is {ended.state}: {ended.why}")
        wrong += _problems(session, ended)
        if ended.state is RolloutState.DONE:
            made.revert(to=1)
    time.sleep(1.5)
    after = made.replayed()
    failed, sent = int(after["failed"]) - int(before["failed"]), int(after["sent"]) - int(before["sent"])
    yield none_of("real servers: wrong after kill -9 of the guardian", wrong, f"{len(wrong)} in {times} rollouts", ends=dict(ends))
    yield none_of("real servers: failed requests in these", [str(after["last_error"])] * failed, f"{failed} of {sent}")


# On the simulator.


@dataclass
class _Seen:
    kills: int = 0
    stops: int = 0
    locks: int = 0
    jumps: int = 0
    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)


def _simulated(times: int, locked: float, say: Say) -> Iterator[Figure]:
    wrong: list[str] = []
    unserved = requests = 0
    seen, dice = _Seen(), random.Random(53)
    with tempfile.TemporaryDirectory(prefix="mlconsole-bench-rolling-") as folder:
        template = world(Path(folder) / "template").house.root
        say(f"{times} rollouts on the simulator, with faults")
        for turn in range(times):
            place = Path(folder) / "now"
            made = copied_world(template, place)
            made.rate = 40
            made.house.seed = 1000 * turn
            try:
                wrong += [f"rollout {turn}: {one}" for one in _faulty(made, dice, seen, locked if turn % 8 == 5 else 0.0)]
            except (AssertionError, MLConsoleError) as error:
                wrong.append(f"rollout {turn}: {type(error).__name__}: {error}")
            observations = made.house.sim.world.observations()
            requests += len(observations)
            unserved += sum(one.error == "no healthy upstream" for one in observations)
            shutil.rmtree(place)
    told = (
        f"{len(wrong)} in {times} rollouts: {seen.kills} kills, {seen.stops} stopped for longer than the lease, {seen.jumps} jumps of the "
    )
    told += f"clock, {seen.locks} times a locked registry ({locked:g} s), {seen.asked} times something asked; {_told(seen.ends)}"
    yield none_of("simulator: wrong after faults", wrong, told, ends=dict(seen.ends))
    yield none_of("simulator: requests that found no server", ["no healthy upstream"] * unserved, f"{unserved} of {requests}")


def _told(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(ends.items()))


def _faulty(made: World, dice: random.Random, seen: _Seen, locked: float) -> list[str]:
    """One rollout with faults; what is wrong afterwards."""
    bad = dice.random() < 0.4
    rollout = made.begin(policy="quick")
    drivers = [_driver(made, bad, turn) for turn in range(dice.choice((1, 1, 2)))]
    try:
        if locked:
            seen.locks += 1
            _locks(made, locked)
        for _ in range(dice.choice((1, 2, 3))):
            time.sleep(dice.uniform(0.05, 1.5))
            what = dice.choice(("kill", "kill", "kill", "stop", "jump", "console"))
            if what == "kill" and drivers:
                victim = drivers.pop(dice.randrange(len(drivers)))
                os.kill(victim, signal.SIGKILL)
                os.waitpid(victim, 0)
                seen.kills += 1
                drivers.append(_driver(made, bad, dice.randrange(1000)))
            elif what == "stop" and drivers:
                seen.stops += 1
                frozen = dice.choice(drivers)
                os.kill(frozen, signal.SIGSTOP)
                made.house.passes(11)
                drivers.append(_driver(made, bad, dice.randrange(1000)))
                time.sleep(dice.uniform(0.1, 1.0))
                os.kill(frozen, signal.SIGCONT)
            elif what == "jump":
                seen.jumps += 1
                made.house.clock.jump(dice.choice((-3600.0, 3600.0)))  # type: ignore[attr-defined]
            elif what == "console":
                seen.asked += 1
                asker = _child(partial(_asks, made, rollout.id, dice.choice(("pause", "next", "revert", "keep old"))))
                if dice.random() < 0.5:
                    time.sleep(dice.uniform(0.0, 0.1))
                    with suppress(ProcessLookupError):
                        os.kill(asker, signal.SIGKILL)
                os.waitpid(asker, 0)
    finally:
        for one in drivers:
            with suppress(ChildProcessError):
                _waited(one)
    return _brought_to_its_end(made, bad, rollout, seen)


def _brought_to_its_end(made: World, bad: bool, rollout: Rollout, seen: _Seen) -> list[str]:
    """Whoever comes last, unharmed, ends it; a pause that somebody asked for is lifted."""
    for turn in range(4):
        now = made.house.session().registry.rollout(rollout.id)
        assert now is not None
        if now.state.terminal:
            break
        made.house.passes(11)
        with suppress(MLConsoleError):
            if now.state is RolloutState.PAUSED:
                made.ask(Control.RESUME)
        _waited(_driver(made, bad, 5000 + turn))
    ended = made.house.session().registry.rollout(rollout.id)
    assert ended is not None
    seen.ends[str(ended.state)] += 1
    session = made.house.session()
    return [*_problems(session, ended), *_fences(made)]


def _driver(made: World, bad: bool, seed: int) -> int:
    """A process that drives it as a guardian does: as soon as nobody else is, again and again until it is over."""

    def drives() -> None:
        made.house.seed += 100_000 + 1000 * seed
        if bad:
            made.happens.append(breaks())
        end = time.monotonic() + 60
        while not made.rollout().state.terminal and time.monotonic() < end:
            if made.rollout().state is RolloutState.PAUSED:
                return  # it is not ours to lift, and there is nothing to see here any more
            paused = lambda one: one.stop() if one.rollout().state is RolloutState.PAUSED else None  # noqa: E731
            made.happens.append(paused)
            with suppress(MLConsoleError):
                made.drive(seconds=3000, session=made.session(who=TOMEK))
            made.happens.remove(paused)
            time.sleep(0.05)

    return _child(drives)


def _asks(made: World, rollout: str, word: str) -> None:
    with suppress(MLConsoleError):
        rolling.control(made.house.session(), rollout, word, "a measurement")


def _child(work: Callable[[], Any]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child must never go on as the measurement
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def _waited(pid: int) -> None:
    """Until it is over; one that does not end is killed, and that is told."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.WIFEXITED(status), f"a driver ended with {status}"
            assert os.WEXITSTATUS(status) == 0, "a driver failed; see above"
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("a driver does not end")


def _locks(made: World, seconds: float) -> None:
    """Somebody holds the registry's lock for so long."""
    connection = sqlite3.connect(made.house.root / ".mlconsole" / "registry.db", timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()


# What has to be true afterwards.


def _problems(session: Session, rollout: Rollout) -> list[str]:
    """A legal end by a legal path, the journal whole, the endpoint as its live release says, nothing held, nobody told twice."""
    registry, environment = session.registry, session.environment.name
    found = []
    if not rollout.state.terminal or rollout.ended is None:
        found.append(f"it is {rollout.state}: {rollout.why}")
        return found
    events = registry.rollout_events(rollout.id)
    states = [RolloutState.SHIFTING, *(RolloutState(one.kind) for one in events if one.kind in set(RolloutState))]
    for before, after in pairwise(states):
        # Between two of them a word of somebody's may lie, which is noted under that word.
        reach = {before, *LEGAL_EXITS[before]}
        if after not in reach | {one for step in reach for one in LEGAL_EXITS[step]}:
            found.append(f"{after} followed {before}")
    keys = [one.key for one in events if one.key]
    found += [f"{key} is noted twice" for key, count in Counter(keys).items() if count > 1]
    live = session.backend.describe(rollout.endpoint)
    recorded = registry.live_release(environment, rollout.endpoint)
    content = recorded.release.content if recorded else rollout.revert_to
    found += [f"live: {one}" for one in differences(live, content)]
    if live.transition is Transition.IN_PROGRESS:
        found.append("the backend is still changing it")
    if rollout.state is RolloutState.REVERTED and content != rollout.revert_to:
        found.append("it is not what it was before the first stage")
    if rollout.state is RolloutState.DONE and (content.traffic is None or content.traffic.share(rollout.variant) != WHOLE):
        found.append("it is done, and the new variant has not all of it")
    releases = registry.releases(environment, rollout.endpoint, limit=100_000)
    if sorted(one.release.number for one in releases) != list(range(1, len(releases) + 1)):
        found.append("releases are missing")
    standing = Counter(one.standing for one in releases)
    if standing[Standing.LIVE] != 1 or standing[Standing.PENDING]:
        found.append(f"releases stand as {dict(standing)}")
    for operation in registry.operations(environment, rollout.endpoint, limit=100_000):
        if not operation.state.terminal or operation.ended is None:
            found.append(f"change {operation.id} is {operation.state}")
        found += [f"step {one.index} of {operation.id} is open" for one in registry.steps(operation.id) if one.state is StepState.INTENDED]
    if registry.claim(environment, rollout.endpoint) is not None or registry.controls(rollout.id):
        found.append("the claim, or something that was asked, is still there")
    rows = registry.notices(environment, limit=100_000)
    told = Counter((row.channel, row.notice.key) for row in rows)
    found += [f"{channel} was told {key} {count} times" for (channel, key), count in told.items() if count > 1]
    return found


def _fences(made: World) -> list[str]:
    """Whether any step was taken with a token older than one that the backend had seen."""
    newest, found = 0, []
    for call in made.house.sim.world.calls:
        if call.name.endswith(".start") and call.endpoint == "relevance" and call.fence is not None and call.outcome == "ok":
            if call.fence < newest:
                found.append(f"{call.action} was done with token {call.fence} after {newest}")
            newest = max(newest, call.fence)
    return found
