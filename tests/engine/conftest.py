"""A workspace whose two environments are simulated: the engine's use cases run against it whole, with faults."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from mlconsole.core.clock import Clock
from mlconsole.core.models import Actor, ModelVersion
from mlconsole.engine.session import Session
from mlconsole.engine.views import Progress
from mlconsole.plugin import simulator
from mlconsole.plugin.simulator import ManualClock, Simulated, simulated, simulated_version
from mlconsole.workspace import load

_FILE = """\
workspace: test
default_environment: staging
environments:
  staging:
    serving: simulator
    {traffic}
    predictions: simulator
    options: {{simulator: {{world: staging.json{options}}}}}
  production:
    production: true
    serving: simulator
    {traffic}
    predictions: simulator
    options: {{simulator: {{world: production.json{options}}}}}
models:
  relevance: {{}}
"""

ANNA = Actor("anna", "bastion-1", 1004)
TOMEK = Actor("tomek", "bastion-1", 1005)


@dataclass
class House:
    """A workspace, its simulated backend and its registry; `session()` opens it as somebody."""

    root: Path
    clock: Clock
    sims: dict[str, Simulated]
    told: list[Progress] = field(default_factory=list)

    def passes(self, seconds: float) -> None:
        """Let time pass, where it does not by itself."""
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(seconds)

    @property
    def sim(self) -> Simulated:
        return self.sims["staging"]

    def session(self, who: Actor = ANNA, environment: str = "staging", *, read_only: bool = False, deadline: float = 600.0) -> Session:
        workspace = load(self.root)
        return Session(
            workspace,
            workspace.environments[environment],
            actor=who,
            clock=self.clock,
            read_only=read_only,
            plugins={"simulator": simulator.plugin},
            tell=self.told.append,
            deadline=deadline,
        )

    def register(self, *versions: str, model: str = "relevance") -> list[ModelVersion]:
        session = self.session()
        made = [simulated_version(model, version) for version in versions]
        for version in made:
            session.registry.add_version(version)
        return made


def build(root: Path, shape: str = "separate", *, clock: Clock | None = None, **simulator_options: object) -> House:
    """A house in a folder, or the one that lies there already. Variants come up in 3 s unless told otherwise: less to poll."""
    # The time lies in a file too, so that a driver in another process lives in the same time.
    clock = clock or ManualClock(path=root / "time.json")
    options: dict[str, object] = {"variant_seconds": 3.0, **simulator_options}
    told = "".join(f", {key}: {value}" for key, value in options.items())
    traffic = "traffic: simulator" if shape == "separate" else "# the serving role splits traffic itself"
    (root / "mlconsole.yaml").write_text(_FILE.format(traffic=traffic, options=f", shape: {shape}{told}"))
    sims = {
        name: simulated(root, clock=clock, environment=name, world=str(root / f"{name}.json"), shape=shape, **options)
        for name in ("staging", "production")
    }
    return House(root, clock, sims)


@pytest.fixture
def make_house(tmp_path: Path) -> Callable[..., House]:
    return lambda shape="separate", **options: build(tmp_path, shape, **options)


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    made = make_house()
    made.register("3", "4", "5")
    return made


@pytest.fixture(scope="session")
def _stood(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    @cache
    def make(shape: str, change: str) -> Path:
        from engine.kit import ready_for

        root = tmp_path_factory.mktemp("stood")
        house = build(root, shape)
        house.register("3", "4", "5")
        session = house.session()
        ready_for(change, session)
        session.registry.close()
        return root

    return make


@pytest.fixture
def ready_house(_stood: Callable[[str, str], Path], tmp_path: Path) -> Callable[..., House]:
    """A house in which everything stands ready for one of `kit.PLANS`; each call gives a fresh copy of it."""
    copies = count()

    def make(change: str, shape: str = "separate") -> House:
        root = tmp_path / f"{change}-{next(copies)}"
        shutil.copytree(_stood(shape, change), root)
        return build(root, shape)

    return make
