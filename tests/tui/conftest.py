"""Stories under Pilot are async functions; changes that the console begins run in a thread, since the simulator is no installed plugin."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from mlconsole.core.traffic import Traffic
from mlconsole.engine import detached
from mlconsole.plugin.simulator import Fault, FaultKind, simulated_version, variant_of
from tui import kit


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run async tests; no plugin is needed for that."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
    return True


@pytest.fixture(autouse=True)
def _own_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own keys, colours or signs: the same everywhere."""
    for name in ("NO_COLOR", "MLCONSOLE_ASCII", "MLCONSOLE_KEYS", "MLCONSOLE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def make_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`kit.house_with`, and what the console begins runs there."""

    def make(*models: str, **options: object) -> kit.House:
        house = kit.house_with(tmp_path / "ws", models or ("relevance",), **options)
        monkeypatch.setattr(kit.Threaded, "house", house, raising=False)
        monkeypatch.setattr(kit.Threaded, "running", [], raising=False)
        monkeypatch.setattr(detached, "Detached", kit.Threaded)
        return house

    return make


@pytest.fixture
def house(make_house) -> kit.House:
    """`relevance`: #1 v3 alone, #2 v4 beside it with 10 %; requests of the last half minute."""
    house = make_house()
    kit.changed(house, ("relevance", "deploy", "3"), ("relevance", "deploy", "4", "1000"))
    house.clock.advance(60)
    house.sim.world.serve("relevance", kit.Load(400, seconds=20, slices={"language": {"en": 0.7, "de": 0.2, "pl": 0.1}}))
    return house


@pytest.fixture
def busy(make_house) -> kit.House:
    """Six endpoints: two well, one changed outside, one whose variant died, one that nobody here made, one unanswered."""
    house = make_house("relevance", "severity", "category", "dedupe", "sentiment")
    for name in ("relevance", "severity", "category", "dedupe", "sentiment"):
        kit.changed(house, (name, "deploy", "3"), (name, "deploy", "4", "1000"))
    world = house.sim.world
    house.clock.advance(60)
    for name in ("relevance", "severity"):  # somebody asks them; who is never asked has no data
        world.serve(name, kit.Load(400, seconds=20, slices={"language": {"en": 0.7, "de": 0.2, "pl": 0.1}}))
    world.change_outside("category", traffic=Traffic({"v3": 5000, "v4": 5000}))
    world.change_outside("dedupe", fail={"v3": "out of memory"})
    found = variant_of(simulated_version("entity", "7"))
    world.change_outside("entity", add=[found], traffic=Traffic({found.name: 10_000}))
    world.inject(Fault(FaultKind.THROTTLE, on="serving.describe", endpoint="sentiment", times=None))
    return house
