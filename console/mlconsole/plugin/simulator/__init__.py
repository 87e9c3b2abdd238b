"""A backend that is not there: it plays serving, traffic, predictions, metrics, config and logs, and has injectable faults.

For tests, ours and a stranger's::

    sim = simulated(tmp_path)                             # or simulated(tmp_path, shape=Shape.COMBINED, share_granularity=100)
    sim.world.inject(Fault(FaultKind.SILENT_ROLLBACK, on="serving.start"))
    engine = …(plugins={"simulator": plugin}, options=sim.options, clock=sim.clock)

No entry point names it: a test hands `plugin` to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlconsole.core.clock import Clock
from mlconsole.core.models import Json
from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.errors import Refused
from mlconsole.plugin.simulator.behaviour import Behaviour
from mlconsole.plugin.simulator.clock import ManualClock
from mlconsole.plugin.simulator.configstore import SimulatedConfigStore
from mlconsole.plugin.simulator.faults import Fault, FaultKind, When
from mlconsole.plugin.simulator.metrics import SimulatedMetrics
from mlconsole.plugin.simulator.requests import Load
from mlconsole.plugin.simulator.roles import IdentifiedServing, SimulatedPredictions, SimulatedServing, SimulatedTraffic
from mlconsole.plugin.simulator.settings import OPTIONS, Settings, Shape, settings_from
from mlconsole.plugin.simulator.versions import simulated_version, variant_of
from mlconsole.plugin.simulator.world import Call, World


def world_of(context: Context) -> World:
    """The world of an environment: the file that the option `world` names (relative to the workspace), else one of its own."""
    named = context.options.get("world")
    return World(context.root / named if named else context.state / "world.json", context.clock)


def _serving(context: Context) -> SimulatedServing:
    settings = settings_from(context.options)
    return (IdentifiedServing if settings.caller else SimulatedServing)(world_of(context), settings)


def _traffic(context: Context) -> SimulatedTraffic:
    settings = settings_from(context.options)
    if settings.shape is not Shape.SEPARATE:
        raise Refused("This simulated backend splits its traffic itself.", next="Bind no traffic role, or use `shape: separate`.")
    return SimulatedTraffic(world_of(context), settings)


def _predictions(context: Context) -> SimulatedPredictions:
    return SimulatedPredictions(world_of(context))


def _metrics(context: Context) -> SimulatedMetrics:
    settings = settings_from(context.options)
    return SimulatedMetrics(world_of(context), settled=settings.metrics_settled, by_slice=settings.metrics_by_slice)


def _config(context: Context) -> SimulatedConfigStore:
    return SimulatedConfigStore(world_of(context), settings_from(context.options))


plugin = Plugin(
    "simulator",
    "1",
    "A simulated backend with injectable faults, for tests.",
    {"serving": _serving, "traffic": _traffic, "predictions": _predictions, "metrics": _metrics, "config": _config},
    OPTIONS,
)


@dataclass(frozen=True)
class Simulated:
    """One simulated environment: the world, and the roles that a context gives."""

    context: Context
    world: World
    serving: SimulatedServing
    traffic: SimulatedTraffic | None
    predictions: SimulatedPredictions
    config: SimulatedConfigStore
    clock: Clock

    @property
    def options(self) -> Mapping[str, Json]:
        """The plugin's options, with which another process (or an engine) finds the same world."""
        return self.context.options


def simulated(folder: Path, *, clock: Clock | None = None, environment: str = "staging", **options: Json) -> Simulated:
    """A simulated environment in a folder; `options` are the plugin's (shape, share_granularity, variant_seconds, …).

    Without a clock it gets a `ManualClock` of its own.
    """
    clock = clock or ManualClock()
    defaults = {option.name: option.default for option in OPTIONS}
    context = Context(environment, folder, folder / "state", {**defaults, "world": str(folder / "world.json"), **options}, clock)
    serving, predictions = _serving(context), _predictions(context)
    traffic = _traffic(context) if serving.settings.shape is Shape.SEPARATE else None
    return Simulated(context, world_of(context), serving, traffic, predictions, _config(context), clock)


__all__ = [
    "OPTIONS",
    "Behaviour",
    "Call",
    "Fault",
    "FaultKind",
    "Load",
    "ManualClock",
    "Settings",
    "Shape",
    "Simulated",
    "SimulatedConfigStore",
    "SimulatedMetrics",
    "SimulatedPredictions",
    "SimulatedServing",
    "SimulatedTraffic",
    "When",
    "World",
    "plugin",
    "simulated",
    "simulated_version",
    "variant_of",
]
