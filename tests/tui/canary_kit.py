"""What the tests of Canary share: the console opened on it, its rows, its drafts, and what is really live."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from mlconsole.engine.views import OperationView, Snapshot
from mlconsole.tui.screens.canary import CanaryView
from tui.kit import Driver, House, opened

NAME = "relevance"


@asynccontextmanager
async def at_canary(house: House, size: tuple[int, int] = (100, 30), **how: Any) -> AsyncIterator[Driver]:
    """The console on Canary, its first look taken."""
    async with opened(house, size, screen="3", **how) as driver:
        await driver.until(lambda: isinstance(driver.app.view, CanaryView) and driver.app.snapshot is not None, "the screen")
        await driver.pilot.pause()
        yield driver


def canary(driver: Driver) -> CanaryView:
    view = driver.app.view
    assert isinstance(view, CanaryView)
    return view


def staged(driver: Driver) -> dict[str, int] | None:
    """The staged split for all requests."""
    found = canary(driver)._drafts.get("staging", driver.app.subject)
    return dict(found.traffic.split) if found else None


def kept(house: House) -> dict[str, Any]:
    """What lies in the file of drafts."""
    files = list((house.root / ".mlconsole").glob("drafts-*.json"))
    assert len(files) <= 1
    return json.loads(files[0].read_text())["drafts"].get("staging", {}) if files else {}


def live(house: House) -> dict[str, int]:
    traffic = house.sim.world.live(NAME).traffic
    assert traffic is not None
    return dict(traffic.split)


def row(driver: Driver, name: str) -> str:
    """The first line of the sliders that begins with this."""
    for line in driver.lines[4:]:
        text = line.strip("│ ▸")
        if text.startswith(f"{name} "):
            return text.partition("│")[0]
    raise AssertionError(f"no row {name!r}\n{driver.text}")


async def quiet(driver: Driver) -> None:
    """No snapshot comes any more: what a test puts in its place stays."""
    await driver.until(lambda: not driver.app._looking, "no look under way")
    driver.app.look = lambda: None  # type: ignore[method-assign]
    await driver.until(lambda: not driver.app._looking, "no look under way")
    await driver.pilot.pause()


def show(driver: Driver, snapshot: Snapshot) -> None:
    driver.app.snapshot = snapshot
    driver.app.render_all()


def with_endpoint(snapshot: Snapshot, running: OperationView | None = None, **endpoint: Any) -> Snapshot:
    first, *rest = snapshot.status.endpoints
    status = replace(snapshot.status, endpoints=(replace(first, **endpoint), *rest), running=(running,) if running else ())
    return replace(snapshot, status=status)
