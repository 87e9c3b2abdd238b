"""What the tests of health share: a house with probes that see what a file says, channels that write down what they hear, and traffic."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.conftest import ANNA, House, build
from engine.kit import deploy
from mlconsole.core.clock import Clock
from mlconsole.core.models import Actor
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.session import Session
from mlconsole.engine.views import AlarmView, HealthView
from mlconsole.plugin import Context, Plugin, errors, simulator
from mlconsole.plugin.options import Kind, Option
from mlconsole.plugin.roles import Notice, Sighting
from mlconsole.plugin.simulator import Behaviour, Load, simulated_version
from mlconsole.workspace import load

LANGUAGES = {"language": {"en": 0.6, "de": 0.25, "pl": 0.15}}
STEP = 10.0
"""Seconds between two looks of `House.lives`, and of the traffic that is served between them."""


class Seen:
    """A probe that sees what lies in its file: a `Sighting` as JSON, `{"raises": text}`, or nothing."""

    def __init__(self, context: Context) -> None:
        self._file = context.root / str(context.options["file"])

    def look(self, timeout: float) -> Sighting:
        if not self._file.exists():
            return Sighting(True, "well")
        body = json.loads(self._file.read_text())
        while "hangs" in body:
            time.sleep(0.01)
            body = json.loads(self._file.read_text())
        if "raises" in body:
            raise RuntimeError(body["raises"])
        return Sighting(**body)


class Told:
    """A channel that writes down what it is told, one JSON line each; where `FILE.broken` names an error, it raises that."""

    def __init__(self, context: Context) -> None:
        self._file = context.root / str(context.options["file"])

    def send(self, notice: Notice, timeout: float) -> None:
        broken = self._file.with_suffix(".broken")
        if broken.exists():
            name, _, text = broken.read_text().partition(": ")
            raise getattr(errors, name)(text) if hasattr(errors, name) else RuntimeError(text)
        body = {"key": notice.key, "title": notice.title, "lines": list(notice.lines), "severity": notice.severity, "alarm": notice.alarm}
        with self._file.open("a") as file:
            file.write(json.dumps({**body, "pid": os.getpid()}) + "\n")


_FILE = (Option("file", Kind.TEXT, "where", required=True),)
PLUGINS = {
    "simulator": simulator.plugin,
    "seen": Plugin("seen", "1", "A probe that sees what a file says.", {"probe": Seen}, _FILE),
    "told": Plugin("told", "1", "A channel that writes down what it is told.", {"notifier": Told}, _FILE),
}

_WORKSPACE = """\
workspace: test
default_environment: staging
environments:
  staging:
    serving: simulator
    traffic: simulator
    predictions: simulator
    options: {{simulator: {{world: staging.json{options}}}}}
{staging}
  production:
    production: true
    serving: simulator
    traffic: simulator
    predictions: simulator
    options: {{simulator: {{world: production.json{options}}}}}
{production}
models:
  relevance: {{}}
  delay-risk: {{endpoint: delays}}
endpoints:
{endpoints}
actions:
{actions}
"""
PROBE = "embeddings: {kind: seen, file: embeddings.json, every: 5}"
ENDPOINTS = """\
  relevance: {model: relevance, depends_on: [{probe: embeddings, versions: ["3"]}]}
  delays: {model: delay-risk}
"""


@dataclass
class HealthHouse(House):
    """A house in which health is looked at."""

    seed: int = 0
    watches: dict[str, HealthWatch] = field(default_factory=dict)

    def session(
        self,
        who: Actor = ANNA,
        environment: str = "staging",
        *,
        read_only: bool = False,
        deadline: float = 600.0,
        clock: Clock | None = None,
    ) -> Session:
        workspace = load(self.root)
        return Session(
            workspace,
            workspace.environments[environment],
            actor=who,
            clock=clock or self.clock,
            read_only=read_only,
            plugins=PLUGINS,
            tell=self.told.append,
            deadline=deadline,
        )

    def write(
        self,
        staging: str = f"    probes: {{{PROBE}}}\n    notify: {{ops: {{kind: told, file: ops.jsonl}}}}",
        *,
        production: str = "",
        endpoints: str = ENDPOINTS,
        actions: str = "  {}",
        options: str = ", variant_seconds: 0.05, traffic_seconds: 0.02, stop_seconds: 0.02",
    ) -> HealthHouse:
        """Write mlconsole.yaml with this in it."""
        text = _WORKSPACE.format(staging=staging, production=production, endpoints=endpoints, actions=actions, options=options)
        # Replaced as an editor does it: whoever reads it meanwhile gets the one or the other.
        (self.root / "mlconsole.new").write_text(text)
        (self.root / "mlconsole.new").replace(self.root / "mlconsole.yaml")
        return self

    def watch(self, *, guardian: bool = True) -> HealthWatch:
        """The guardian's eyes."""
        watch = HealthWatch(self.session(), guardian=guardian)
        watch.drawn = None
        return watch

    def serve(self, seconds: float = STEP, rate: float = 5.0, *, endpoint: str = "relevance", **how: Any) -> None:
        """Requests of the last `seconds`, another input each."""
        self.seed += 1
        how.setdefault("slices", LANGUAGES)
        self.sim.world.serve(endpoint, Load(int(seconds * rate), seed=self.seed, seconds=seconds, **how))

    def lives(
        self,
        seconds: float,
        watch: HealthWatch | None = None,
        *,
        rate: float = 5.0,
        endpoints: tuple[str, ...] = ("relevance",),
        **how: Any,
    ) -> HealthView | None:
        """Time passes, with traffic, and with a look each `STEP`; the last one."""
        view = None
        for _ in range(int(seconds / STEP)):
            self.passes(STEP)
            for endpoint in endpoints:
                if rate:
                    self.serve(STEP, rate, endpoint=endpoint, **how)
            if watch is not None:
                view = watch.look()
        return view

    def usual(self, seconds: float = 540.0, **how: Any) -> None:
        """The usual, of some minutes, up to now."""
        self.passes(seconds)
        self.serve(seconds, **how)

    def behaves(self, version: str, model: str = "relevance", **how: Any) -> None:
        """A version answers otherwise from now on."""
        self.sim.world.behave(simulated_version(model, version), Behaviour(**how))

    def sees(self, name: str = "embeddings", **sighting: Any) -> None:
        """What a probe sees from now on."""
        beside = self.root / f"{name}.new"
        beside.write_text(json.dumps(sighting))
        beside.replace(self.root / f"{name}.json")

    def heard(self, channel: str = "ops") -> list[Mapping[str, Any]]:
        """What a channel was told."""
        file = self.root / f"{channel}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def health_house(root: Path, *versions: str, clock: Clock | None = None) -> HealthHouse:
    """A house with relevance@3 live (and 4, 5 registered), some channels, and a probe."""
    house = build(root, clock=clock, variant_seconds=0.05, traffic_seconds=0.02, stop_seconds=0.02)
    made = HealthHouse(house.root, house.clock, house.sims, house.told).write()
    made.register("3", "4", "5")
    assert deploy(made.session(), "3").done
    return made


def only(view: HealthView | None) -> AlarmView:
    """The one alarm that is open."""
    assert view is not None
    assert len(view.open_alarms) == 1, view.open_alarms
    return view.open_alarms[0]


def due(house: HealthHouse, environment: str = "staging") -> list[tuple[str, str, str]]:
    """What is in the outbox, oldest first: channel, severity, title."""
    rows = house.session(environment=environment).registry.notices(environment)
    return [(row.channel, row.notice.severity, row.notice.title) for row in reversed(rows)]


def copied(house: HealthHouse, root: Path) -> HealthHouse:
    """The same house again, somewhere else."""
    shutil.copytree(house.root, root)
    fresh = build(root, clock=None, variant_seconds=0.05, traffic_seconds=0.02, stop_seconds=0.02)
    text = (house.root / "mlconsole.yaml").read_text()
    (root / "mlconsole.yaml").write_text(text)
    return HealthHouse(root, fresh.clock, fresh.sims, seed=house.seed)
