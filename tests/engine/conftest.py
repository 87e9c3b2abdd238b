"""A workspace whose two environments are simulated: the engine's use cases run against it whole, with faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

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
    clock: ManualClock
    sims: dict[str, Simulated]
    told: list[Progress] = field(default_factory=list)

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


@pytest.fixture
def make_house(tmp_path: Path) -> Callable[..., House]:
    def make(shape: str = "separate", options: str = "", **simulator_options: object) -> House:
        clock = ManualClock()
        told = "".join(f", {key}: {value}" for key, value in simulator_options.items())
        traffic = "traffic: simulator" if shape == "separate" else "# the serving role splits traffic itself"
        (tmp_path / "mlconsole.yaml").write_text(_FILE.format(traffic=traffic, options=f", shape: {shape}{told}{options}"))
        sims = {
            name: simulated(tmp_path, clock=clock, environment=name, world=str(tmp_path / f"{name}.json"), shape=shape, **simulator_options)
            for name in ("staging", "production")
        }
        return House(tmp_path, clock, sims)

    return make


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    made = make_house()
    made.register("3", "4", "5")
    return made
