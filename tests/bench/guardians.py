"""Processes that drive rollouts on real servers: begun, frozen and killed as often as one likes; and how a rollout is begun there."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.bench.house import ENDPOINT, House, house, until, variables

from mlconsole.core.rollouts import Rollout
from mlconsole.engine import rolling, rolloutplans
from mlconsole.engine.session import Session

OVER = 240.0
"""Seconds within which a rollout on real servers has to be over."""

_POLICIES = """
  bench: {stages: [30, 100], wait: 5, evidence: 60, bake: 10, guards: {errors: , identical: , latency: , answers in every slice: }}
  killed: {stages: [30, 100], wait: 3, evidence: 30, bake: 3, guards: {errors: {by_slice: false}, identical: {by_slice: false}}}
"""


@contextmanager
def real() -> Iterator[House]:
    """v3 serves on real servers, the policies are there, and nothing of the tester's own trust is used."""
    with house() as made:
        file = made.root / "mlconsole.yaml"
        file.write_text(file.read_text().replace("policies:\n", "policies:" + _POLICIES, 1))
        del made.__dict__["session"]
        yield made


class Process:
    """A process of this program in a house; its output goes into the house's log."""

    def __init__(self, made: House, *words: str) -> None:
        self._made, self._words = made, words
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Begin it, without waiting for anything."""
        with (self._made.root / "processes.log").open("ab") as log:
            command = self._made.command(*self._words)
            self._process = subprocess.Popen(command, env=variables(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    def watches(self) -> bool:
        """Whether this is the one that watches the environment."""
        session = self._made.session
        row = session.registry.watcher(session.environment.name)
        return self._process is not None and row is not None and row.alive and row.pid == self.pid

    def drives(self, rollout: str) -> bool:
        """Whether this is the one that drives a rollout."""
        row = self._made.session.registry.rollout_driver(rollout)
        return self._process is not None and row is not None and row.alive and row.pid == self.pid

    def tell(self, number: signal.Signals) -> None:
        """A signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> bool:
        """kill -9; whether it was there to be killed."""
        assert self._process is not None
        there = self.runs
        self._process.kill()
        self._process.wait()
        return there

    def left(self, seconds: float) -> int | None:
        """Its exit code, waited for."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def stop(self) -> None:
        """End it as a person does; frozen as it may be."""
        if self.runs:
            self.tell(signal.SIGCONT)
            self.tell(signal.SIGTERM)
            if self.left(20) is None:
                self.kill()


class Guardian(Process):
    """A guardian's process."""

    def __init__(self, made: House) -> None:
        super().__init__(made, "guardian", "run")

    def start(self) -> None:
        """Begin one, and wait until it watches."""
        self.begin()
        until("a guardian that watches", 30.0, self.watches)


@contextmanager
def guardian(made: House) -> Iterator[Guardian]:
    """One that watches, ended afterwards."""
    keeper = Guardian(made)
    try:
        keeper.start()
        yield keeper
    finally:
        keeper.stop()


def begin(session: Session, version: str, policy: str = "bench") -> Rollout:
    """A rollout, through the engine."""
    plan = rolloutplans.plan_rollout(session, ENDPOINT, version, policy=policy, break_glass="a measurement")
    return rolling.find(session, rolling.begin(session, plan).id)


def ended(session: Session, rollout: Rollout, seconds: float = OVER) -> Rollout:
    """The rollout at its end, waited for.

    Raises:
        AssertionError: it has none in time; how it stands.
    """
    try:
        until(f"the end of rollout {rollout.id}", seconds, lambda: rolling.find(session, rollout.id).state.terminal)
    except AssertionError as error:
        now = rolling.find(session, rollout.id)
        raise AssertionError(f"{error}: {now.state} at {now.present.name}: {now.why}") from None
    return rolling.find(session, rollout.id)
