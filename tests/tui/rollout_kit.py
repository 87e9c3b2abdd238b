"""What the tests of rollouts share: rollouts built by hand, put into the console's snapshot, and an engine that only takes notes."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from mlconsole import engine
from mlconsole.engine.views import GuardView, RolloutView, Snapshot, StageView, WatcherView
from tui.canary_kit import at_canary, quiet, show
from tui.kit import Driver, House

NAME = "relevance"
SIZES = ((140, 40), (100, 30), (80, 24), (48, 20))
STAGES = ("shadow", "1 %", "10 %", "50 %", "100 %", "bake 60 min")
GUARDIAN = WatcherView(alive=True, who="guardian@bastion-1 (pid 4188)")
CONTROLS = {
    "waiting": ("pause", "next", "forward", "revert", "keep old", "count shadow"),
    "shifting": ("pause", "revert", "keep old"),
    "baking": ("pause", "revert", "keep old"),
    "paused": ("resume", "next", "forward", "revert", "keep old", "count shadow"),
}


def guard(name: str, verdict: str = "pass", slice_: str = "", **given: Any) -> GuardView:
    return GuardView(name, verdict, slice_, **given)


HOLD = guard("errors", "inconclusive", "language=de", new=0.0, stable=0.002, limit=0.01, n=41, need=109, seconds=4140.0)
GUARDS = (
    guard("errors", new=0.003, stable=0.002, limit=0.01, n=1204),
    guard("errors", slice_="language=en", new=0.002, stable=0.002, limit=0.01, n=900),
    guard("errors", slice_="language=fr", new=0.004, stable=0.002, limit=0.01, n=150),
    HOLD,
    guard("latency", new=0.05, stable=0.05, limit=0.04, n=1204),
    guard("identical", new=0.03, limit=0.5, n=1190),
    guard("answers in every slice", new=4.0, stable=4.0, n=1204, text="4 of 4"),
    guard("over threshold", "fail", new=0.006, stable=0.002, limit=0.02, n=181, dry_run=True),
    guard("errors", "inconclusive", "other", new=0.0, n=9, judged=False, pooled=("language=pl", "language=cs")),
)
FAILED = guard(
    "errors", "fail", "language=de", new=1.0, stable=0.002, limit=0.01, n=9, text='100 % (9 of 9), 400 "field title_de is missing"'
)
WHY = "errors in de: 100 % (9 of 9) on v4."


def rollout(now: datetime, state: str = "waiting", stage: int = 2, **given: Any) -> RolloutView:
    """A rollout v3 → v4 in one of its stages; what is not given is as on an ordinary Tuesday."""
    stages = tuple(
        StageView(
            name,
            (0, 100, 1000, 5000, 10_000, 10_000)[place],
            "done" if place < stage else "now" if place == stage else "to come",
            now + timedelta(minutes=20 * (place - stage)) if place < stage else now + timedelta(minutes=69 * (place - stage + 1)),
        )
        for place, name in enumerate(STAGES)
    )
    over = state in ("done", "reverted", "superseded", "failed")
    made: dict[str, Any] = {
        "policy": "careful",
        "variant": "v4",
        "stable": ("v3",),
        "started": now - timedelta(minutes=82),
        "who": "anna@bastion-1",
        "why": 'Holding at 10 %: de has 41 of the 150 requests that "errors" needs, about 1 h 09 at this traffic.',
        "waits_for": ("de: 109 requests, about 1 h 09",),
        "guards": GUARDS,
        "controls": CONTROLS.get(state, ()),
        "way_back": "to #1: v3 100 %",
        "done_about": now + timedelta(hours=2, minutes=38),
        "checked": now - timedelta(seconds=6),
        "driver": "guardian@bastion-1 (pid 4188)",
        "shadow_told": "97.1 % within 0.05 · flips over threshold de 0.2 %",
        "events": (
            (now - timedelta(minutes=82), "begun by anna"),
            (now - timedelta(minutes=40), "1 %: all guards passed"),
            (now - timedelta(minutes=20), "10 %: all guards passed"),
        ),
        "release": 2,
        "back_to": 1,
        "ended": now if over else None,
    }
    return RolloutView("r1", NAME, "staging", state, stage=stage, **{**made, "stages": stages, **given})


def going_back(now: datetime, state: str = "going back", **given: Any) -> RolloutView:
    """One that a guard takes back."""
    passed = guard("errors", slice_="language=en", new=0.002, stable=0.002, limit=0.01, n=900)
    told = {"guards": (FAILED, passed), "why": WHY, "waits_for": ()}
    events = (
        (now - timedelta(minutes=9), "10 %: 10 % stands"),
        (now - timedelta(minutes=2), WHY),
    )
    return rollout(now, state, **{**told, "events": events, **given})


def with_rollouts(snapshot: Snapshot, *rollouts: RolloutView, watched: bool = True, **status: Any) -> Snapshot:
    if watched:
        status = {"watcher": GUARDIAN, **status}
    return replace(snapshot, rollouts=rollouts, policies={NAME: "careful"}, status=replace(snapshot.status, **status))


@asynccontextmanager
async def at_rollout(
    house: House, size: tuple[int, int], make: Any = rollout, *, watched: bool = True, **given: Any
) -> AsyncIterator[Driver]:
    """The console on Canary, with this rollout in its snapshot and no look that would take it away."""
    where = {name: given.pop(name) for name in ("environment", "read_only") if name in given}
    async with at_canary(house, size, **where) as driver:
        await quiet(driver)
        driver.app._take = lambda of: None  # type: ignore[method-assign]  # not even one that a timer asks for
        driver.app._round += 1  # and none that is under way
        snapshot = driver.app.snapshot
        assert snapshot is not None
        show(driver, with_rollouts(snapshot, make(snapshot.status.at, **given), watched=watched))
        await driver.pilot.pause()
        yield driver


@dataclass(frozen=True)
class Made:
    """A plan of a rollout as the engine makes it."""

    id: str = "7f3a"
    endpoint: str = NAME
    environment: str = "staging"
    production: bool = False
    confirm: str | None = None
    now: str = "#2  v3 90 · v4 10"
    then: str = "v5 100 %"
    path: str = "shadow 30 min → 10 → 50 → 100 % → bake 60 min"
    ends: str = "about 14:00; de is slowest (150 requests at 10 % take 1 h 35)"
    back: str = "u at any time: to #2, v3 stays warm"
    alone: str = "any FAIL goes back by itself"
    watch: str = "guardian@bastion-1 (pid 4188)"
    guards: str = "errors, same output, latency"
    notes: tuple[str, ...] = ("evaluation: the sets differ, so the numbers do not compare",)
    command: str = "mlconsole rollout start relevance@5"
    findings: tuple[str, ...] = ('"latency" measures nothing here',)
    refused: str = ""
    glass: str = ""


@dataclass
class Asked:
    """What was asked of the engine, in order."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    plan: Made = field(default_factory=Made)
    view: RolloutView | None = None

    @property
    def controls(self) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == "control"]


def faked(monkeypatch: pytest.MonkeyPatch, **plan: Any) -> Asked:
    """In place of `engine.rolling`, `rolloutplans` and `rolloutviews`: it takes notes."""
    asked = Asked(plan=replace(Made(), **plan))

    def plan_rollout(session: Any, endpoint: str, version: str, **more: Any) -> Made:
        asked.calls.append(("plan", endpoint, version, more))
        return replace(asked.plan, refused="") if more.get("attended") else asked.plan

    def begin(session: Any, made: Made) -> RolloutView:
        asked.calls.append(("begin", made.id))
        return rollout(session.clock.now(), "shifting", 0, variant="v5")

    def control(session: Any, rollout_id: str, what: str, reason: str = "") -> RolloutView:
        asked.calls.append(("control", rollout_id, what, reason))
        return rollout(session.clock.now())

    def let_shadow_count(session: Any, rollout_id: str) -> RolloutView:
        asked.calls.append(("shadow", rollout_id))
        return rollout(session.clock.now())

    def shown(session: Any) -> tuple[RolloutView, ...]:
        return ()

    rooms: Mapping[str, tuple[Any, ...]] = {
        "rolling": (begin, control, let_shadow_count),
        "rolloutplans": (plan_rollout,),
        "rolloutviews": (shown,),
    }
    for name, parts in rooms.items():
        module = ModuleType(f"mlconsole.engine.{name}")
        for part in parts:
            setattr(module, part.__name__, part)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(engine, name, module, raising=False)
    return asked
