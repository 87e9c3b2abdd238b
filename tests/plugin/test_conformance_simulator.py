"""The conformance suite, run against the simulator in all its shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlconsole.core.live import VariantState
from mlconsole.core.models import Json
from mlconsole.plugin.conformance import Bench, ServingConformance
from mlconsole.plugin.roles import Invocation
from mlconsole.plugin.simulator import Behaviour, Shape, Simulated, simulated, simulated_version

ENDPOINT = "conformance"
VERSIONS = tuple(simulated_version(version=str(number)) for number in (1, 2, 3))
BROKEN = simulated_version(version="broken")


def bench_of(sim: Simulated) -> Bench:
    """The simulator on the suite's bench."""
    world = sim.world
    for version in VERSIONS:
        world.behave(version, Behaviour(refuses={"text=refuse": 'field "title" is missing'}))
    world.behave(BROKEN, Behaviour(fails_to_load="bad \x1b[31mmodel\u202e: no such operator"))

    def kill(name: str) -> None:
        world.change_outside(ENDPOINT, fail={name: "killed: out of memory"})
        assert next(each for each in world.live(ENDPOINT).variants if each.name == name).state is VariantState.FAILED

    return Bench(
        serving=sim.serving,
        clock=sim.clock,
        versions=VERSIONS,
        requests=[Invocation({"text": f"event {number}", "language": "pl"}, {"language": "pl"}) for number in range(10)],
        traffic=sim.traffic,
        predictions=sim.predictions,
        broken=BROKEN,
        refused=Invocation({"text": "refuse"}),
        endpoint=ENDPOINT,
        poll=max(0.5, sim.serving.settings.variant_seconds / 3, sim.serving.settings.traffic_seconds / 3),
        kill=kill,
        leftovers=lambda: [name for name in (ENDPOINT,) if f'"{name}": {{"name"' in world.path.read_text()],
        backend_calls=lambda: len(world.calls),
    )


SETUPS: dict[str, dict[str, Json]] = {
    "separate": {},
    "staged": {"shape": Shape.STAGED},
    "combined": {"shape": Shape.COMBINED, "variant_seconds": 300.0, "traffic_seconds": 60.0},
    "whole percents, one scope for all": {
        "share_granularity": 100,
        "slices": False,
        "shadow": False,
        "variants": 3,
        "scope": "application/production",
        "traffic_seconds": 600.0,
    },
    "at once, for somebody it knows": {
        "variant_seconds": 0,
        "traffic_seconds": 0,
        "stop_seconds": 0,
        "caller": "ops\x1b[31m",
        "account": "4711",
    },
}


class TestSimulator(ServingConformance):
    """Every check, for each way in which backends are shaped."""

    @pytest.fixture(params=SETUPS.values(), ids=SETUPS.keys())
    def bench(self, request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
        return bench_of(simulated(tmp_path, **request.param))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return simulated(tmp_path_factory.mktemp("backend"), shape=Shape.STAGED)


class TestOneBackendForAllChecks(ServingConformance):
    """As an adapter does whose backend is dear to make: what one check leaves, the next one finds."""

    @pytest.fixture
    def bench(self, backend: Simulated) -> Bench:
        return bench_of(backend)
