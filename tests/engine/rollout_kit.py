"""What the tests of rollouts share: a house in which time passes while a driver rests, with consumers who ask and somebody who looks."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.conftest import TOMEK, build
from engine.health_kit import HealthHouse, health_house
from engine.kit import until
from mlconsole.core.clock import Clock
from mlconsole.core.live import Transition, differences
from mlconsole.core.operations import OperationState, StepState
from mlconsole.core.releases import Content, Standing
from mlconsole.core.rollouts import Control, Rollout, RolloutState
from mlconsole.engine import rolling, rolloutplans
from mlconsole.engine.conducting import Conductor
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.registry.database import Database
from mlconsole.registry.outbox import OutboxRow
from mlconsole.registry.rollouts import RolloutEvent
from mlconsole.workspace import load

NAME = "relevance"
NEVER = 3000.0
"""Seconds after which a rollout that is not at its end never will be."""

LOOK = 3.0
"""Seconds between two looks of whoever watches."""

Happens = Callable[["World"], None]


class LivedClock:
    """The house's clock; whoever rests by it lets the world go on meanwhile."""

    def __init__(self, inner: Clock, goes_on: Callable[[], None]) -> None:
        self._inner, self._goes_on = inner, goes_on

    def now(self) -> datetime:
        return self._inner.now()

    def elapsed(self) -> float:
        return self._inner.elapsed()

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)
        self._goes_on()


@dataclass
class World:
    """A house with a policy, requests each second, and a guardian's eyes every other second."""

    house: HealthHouse
    rate: float = 60.0
    watch: HealthWatch | None = None
    slices: dict[str, Any] = field(default_factory=lambda: {"language": {"en": 0.7, "de": 0.3}})
    happens: list[Happens] = field(default_factory=list)
    """What is done each second while a driver rests; each is asked again and again."""
    said: list[str] = field(default_factory=list)
    conductor: Conductor | None = None
    _served: float | None = None
    _looked: float = 0.0
    _until: float = NEVER
    inside: bool = False
    """What happens just now is done by others, and not by the driver."""

    def session(self, **how: Any) -> Session:
        """One in which time passes with traffic while its driver rests."""
        return self.house.session(clock=LivedClock(self.house.clock, self.goes_on), **how)

    def goes_on(self) -> None:
        now = self.house.clock.elapsed()
        if self._served is None:
            self._served = now
        if now - self._served < 1.0:
            return
        seconds, self._served = now - self._served, now
        assert now < self._until, f"it never comes to its end: {self.said[-5:]} {self.rollout()}"
        self.inside = True
        try:
            self._others(now, seconds)
        finally:
            self.inside = False

    def _others(self, now: float, seconds: float) -> None:
        if self.rate:
            self.house.serve(seconds, self.rate, slices=self.slices)
        if now - self._looked >= LOOK:
            self._looked = now
            self.watch = self.watch or HealthWatch(self.house.session(TOMEK), guardian=True)
            self.watch.look()
        for one in list(self.happens):
            try:
                one(self)
            except MLConsoleError as error:  # the driver would take it for its own
                raise AssertionError(f"{type(error).__name__}: {error.message}") from error

    def lives(self, seconds: float) -> None:
        """Time passes, with traffic, and nobody drives."""
        self._until = self.house.clock.elapsed() + NEVER + seconds
        for _ in range(int(seconds)):
            self.house.passes(1.0)
            self.goes_on()

    def usual(self, seconds: float = 120.0) -> None:
        """The usual, of some minutes."""
        self.house.passes(seconds)
        self.house.serve(seconds, self.rate, slices=self.slices)

    def begin(self, version: str = "4", policy: str = "short", **how: Any) -> Rollout:
        session = self.house.session()
        plan = rolloutplans.plan_rollout(session, NAME, version, policy=policy, **how)
        return rolling.find(session, rolling.begin(session, plan, stays=plan.rollout.attended).id)

    def drive(self, *, seconds: float = NEVER, session: Session | None = None) -> Rollout | None:
        """Drive the rollout until it is over, or a happening stops it."""
        self._until = self.house.clock.elapsed() + seconds
        self.conductor = Conductor(session or self.session(who=TOMEK), self.rollout().id, self.said.append)
        return self.conductor.run()

    def stop(self) -> None:
        assert self.conductor is not None
        self.conductor.stop()

    def rollout(self) -> Rollout:
        return self.house.session().registry.rollouts("staging", limit=1)[0]

    def events(self) -> list[RolloutEvent]:
        return self.house.session().registry.rollout_events(self.rollout().id)

    def kinds(self) -> list[str]:
        return [one.kind for one in self.events()]

    def notices(self) -> list[OutboxRow]:
        """What is to be told of the rollout, oldest first."""
        rows = self.house.session().registry.notices("staging", limit=200)
        return [row for row in reversed(rows) if row.notice.key.startswith(f"test:rollout:{self.rollout().id}:")]

    def ask(self, control: Control | str, reason: str = "") -> None:
        rolling.control(self.house.session(), self.rollout().id, str(control), reason)

    def content(self) -> Content:
        recorded = self.house.session().registry.live_release("staging", NAME)
        assert recorded is not None
        return recorded.release.content

    def share(self, variant: str = "v4") -> float:
        traffic = self.content().traffic
        return traffic.share(variant) / 100 if traffic and variant in self.content().names else 0.0

    def kinds_of_releases(self) -> list[tuple[str, float]]:
        """The releases since the rollout began: kind, and what the new variant had then."""
        rollout = self.rollout()
        found = []
        for one in reversed(self.house.session().registry.releases("staging", NAME)):
            traffic = one.release.content.traffic
            if one.release.number > rollout.revert_to_release and traffic is not None:
                share = traffic.share(rollout.variant) / 100 if rollout.variant in one.release.content.names else 0.0
                found.append((str(one.release.kind), share))
        return found


def once(when: Callable[[World], bool], do: Happens) -> Happens:
    """Something that happens once, when it is time."""
    done: list[bool] = []

    def happens(world: World) -> None:
        if not done and when(world):
            done.append(True)
            do(world)

    return happens


def reached(state: str, share: float | None = None) -> Callable[[World], bool]:
    """The rollout is in that state (and at that share)."""

    def true(world: World) -> bool:
        rollout = world.rollout()
        return str(rollout.state) == state and (share is None or rollout.present.share == share * 100)

    return true


def breaks(version: str = "4") -> Happens:
    """A version fails as soon as it has passed the gate and has traffic."""
    return once(reached("waiting"), lambda one: one.house.behaves(version, error_rate=1.0))


POLICIES = """\
policies:
  short: {stages: [10, 50, 100], wait: 5, evidence: 20, bake: 10}
  quick: {stages: [50, 100], wait: 3, evidence: 20, bake: 3, guards: {errors: {by_slice: false}}}
  unalarmed: {stages: [10, 50, 100], wait: 5, evidence: 20, bake: 10, guards: {errors: , identical: , latency: , answers in every slice: }}
  shortest: {stages: [100], wait: 1, evidence: 10, bake: 1, guards: {errors: {by_slice: false}}}
  waits: {stages: [10, 100], wait: 600, evidence: 20, bake: 10}
  ordered: {stages: [50, 100], wait: 3, evidence: 20, bake: 3, order: [en, de], on_fail: slice, guards: {errors: }}
  shadowed: {shadow: {sample: 50, wait: 5, evidence: 20}, stages: [10, 100], wait: 3, evidence: 20, bake: 3, guards: {errors: }}
  late-hold: {stages: [10, 100], wait: 5, evidence: 900, bake: 10, deadline: 60}
  late-back: {stages: [10, 100], wait: 5, evidence: 900, bake: 10, deadline: 60, at_deadline: revert}
  dry: {stages: [10, 100], wait: 5, evidence: 20, bake: 10, dry_run: true}
  dry-guard: {stages: [10, 100], wait: 5, evidence: 20, bake: 10, guards: {errors: {dry_run: true}, answers in every slice: }}
  stops: {stages: [50, 100], wait: 3, evidence: 20, bake: 3, stop_old: true, guards: {errors: {by_slice: false}}}
"""


def world(root: Path, policies: str = POLICIES, *, clock: Clock | None = None, **settings: str) -> World:
    """A house with relevance@3 live, that is watched, with some minutes of the usual behind it."""
    house = health_house(root, clock=clock)
    settings.setdefault("staging", "    notify: {ops: {kind: told, file: ops.jsonl}}")
    settings.setdefault("endpoints", "  relevance: {model: relevance}\n  delays: {model: delay-risk}\n")
    house.write(**settings)
    with (house.root / "mlconsole.yaml").open("a") as file:
        file.write(policies)
    load(house.root)
    made = World(house)
    watched(made)
    if clock is None:
        made.usual()
    return made


def copied_world(template: Path, root: Path, *, clock: Clock | None = None) -> World:
    """The same world again, somewhere else."""
    shutil.copytree(template, root)
    fresh = build(root, clock=clock, variant_seconds=0.05, traffic_seconds=0.02, stop_seconds=0.02)
    shutil.copyfile(template / "mlconsole.yaml", root / "mlconsole.yaml")
    return World(HealthHouse(root, fresh.clock, fresh.sims, seed=10))


def watched(made: World) -> int:
    """Somebody watches, for ever."""
    registry = made.house.session().registry
    return registry.watch("staging", TOMEK, os.getpid(), every=1e6)


class Died(BaseException):
    """The driver's process is gone."""


def gone(made: World) -> None:
    """Wait until the threads of a driver that died in this process are gone as well, as they are when its process is."""
    name = f"rollout {made.rollout().id}"
    until(lambda: not any(one.name == name for one in threading.enumerate()), "its heart stands still")


@contextmanager
def at_write(made: World, number: int, do: Callable[[], None], *, after: bool) -> Iterator[list[int]]:
    """Do something at the driver's n-th write into the registry; how many there were. A driver that died in it writes nothing more."""
    write, driver, seen = Database.write, threading.get_ident(), [0]
    dead: list[bool] = []

    def counted(self: Database, work: Callable[[Any], Any]) -> Any:
        if made.inside or threading.get_ident() != driver:
            return write(self, work)
        if dead:
            raise Died
        seen[0] += 1
        here = seen[0] == number
        result = write(self, work) if after or not here else None
        if here:
            made.inside = True
            try:
                do()
            except Died:
                dead.append(True)
                raise
            finally:
                made.inside = False
        return result if after or not here else write(self, work)

    Database.write = counted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Database.write = write  # type: ignore[method-assign]


def whole(made: World) -> None:
    """What has to be true of a rollout that is over: a legal path, its journal whole, the endpoint really as it says, nothing held, one
    notice for each of its transitions."""
    session = made.house.session()
    registry, rollout = session.registry, made.rollout()
    assert rollout.state.terminal
    assert rollout.ended is not None
    assert registry.claim("staging", NAME) is None
    assert registry.controls(rollout.id) == []
    driver = registry.rollout_driver(rollout.id)
    assert driver is None or not driver.alive
    live = made.house.sim.world.live(NAME)
    content = made.content()
    assert differences(live, content) == ()
    assert live.transition is not Transition.IN_PROGRESS
    if rollout.state is RolloutState.DONE:
        assert content.traffic is not None
        assert content.traffic.share(rollout.variant) == 10_000
    elif rollout.state is RolloutState.REVERTED:
        assert content == rollout.revert_to
    recorded = registry.releases("staging", NAME)
    assert [one.release.number for one in reversed(recorded)] == list(range(1, len(recorded) + 1))
    assert [one.standing for one in recorded].count(Standing.LIVE) == 1
    assert Standing.PENDING not in {one.standing for one in recorded}
    for operation in registry.operations("staging", NAME, limit=100):
        assert operation.state in (OperationState.DONE, OperationState.WENT_BACK)
        assert all(one.state is not StepState.INTENDED and one.ended is not None for one in registry.steps(operation.id))
    assert registry.leases("staging") == []
    keys = [row.notice.key for row in made.notices()]
    assert len(keys) == len(set(keys))
