"""A workspace whose endpoints are simulated and whose config documents are in AppConfig: the whole engine, over HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlconsole_aws
from aws.appconfig_kit import APPLICATION, ENVIRONMENT, Place, place
from aws.parts import Servers
from engine.config_kit import ConfigHouse, first
from engine.conftest import ANNA, TOMEK
from mlconsole.core.clock import Clock
from mlconsole.core.documents import LiveDocument
from mlconsole.core.models import Actor
from mlconsole.engine import changing, planning
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.session import Session
from mlconsole.plugin import simulator
from mlconsole.plugin.simulator import Load, ManualClock, simulated, simulated_version
from mlconsole.workspace import load
from mlconsole_aws_offline.addresses import PROFILE

_FILE = """\
workspace: test
default_environment: staging
environments:
  staging:
    serving: simulator
    {split}
    predictions: simulator
    config: aws
    options:
      simulator: {{world: staging.json, variant_seconds: 3.0}}
      aws:
        region: {region}
        account: "{account}"
        profile: {profile}
        config_file: {config_file}
        appconfig: {{application: {application}, environment: {environment}, poll: 15, strategy: {strategy}}}
models:
  relevance: {{}}
  severity: {{}}
policies:
  short: {{stages: [20, 100], wait: 20, evidence: 100, bake: 20, guards: {{errors: {{margin: 0.05}}}}}}
  bare: {{stages: [20, 60, 100], wait: 5, evidence: 20, bake: 5, guards: {{errors: {{margin: 0.05, by_slice: no}}}}}}
configs:
  models:
    file: models.json
    slices: {{relevance: language, severity: language}}
    policy: short
"""

BODY = """\
{
  "relevance": {
    "en": {"endpoint": "relevance", "threshold": 0.50},
    "pl": {"endpoint": "relevance", "threshold": 0.48}
  },
  "severity": {
    "en": {"endpoint": "severity", "threshold": 0.40}
  },
  "owner": "anna"
}
"""


@dataclass
class AwsHouse(ConfigHouse):
    """A house whose document is in AppConfig."""

    place: Place | None = None

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
            plugins={"simulator": simulator.plugin, "aws": mlconsole_aws.plugin},
            tell=self.told.append,
            deadline=deadline,
        )

    @property
    def there(self) -> Place:
        """AppConfig, as others see it."""
        assert self.place is not None
        return self.place

    def published(self, environment: str = "staging") -> LiveDocument:
        return self.there.store(application=APPLICATION).report("models").document

    def text(self, environment: str = "staging") -> str:
        """What an application reads that asks now for the first time."""
        return self.there.read_by_applications().decode()

    def live(self, environment: str = "staging") -> Any:
        return json.loads(self.text())

    def edited_outside(self, old: str, new: str) -> None:
        """Somebody else changes a text of the document and publishes it, past mlconsole."""
        body = self.text()
        assert old in body
        self.there.publish_outside(body.replace(old, new).encode())


def aws_house(
    servers: Servers, root: Path, body: str = BODY, *, traffic_in: bool = True, strategy: str = "mlconsole.AllAtOnce"
) -> AwsHouse:
    """A house, and the application that it is for; nothing is published."""
    there = place(servers, root)
    (root / "models.json").write_text(BODY)
    split = "traffic_in: models" if traffic_in else "traffic: simulator"
    (root / "mlconsole.yaml").write_text(
        _FILE.format(
            split=split,
            region=servers.region,
            account=servers.account,
            profile=PROFILE,
            config_file=servers.config_file,
            application=APPLICATION,
            environment=ENVIRONMENT,
            strategy=strategy,
        )
    )
    clock = ManualClock(path=root / "time.json")
    sims = {"staging": simulated(root, clock=clock, environment="staging", world=str(root / "staging.json"), variant_seconds=3.0)}
    house = AwsHouse(root, clock, sims, place=there)
    session = house.session()
    for model in ("relevance", "severity"):
        for version in ("3", "4", "5"):
            session.registry.add_version(simulated_version(model, version))
    return house


def stands(house: AwsHouse) -> None:
    """The document is published; relevance and severity serve v3."""
    session = house.session()
    first(session)
    for model in ("relevance", "severity"):
        assert changing.run(session, planning.plan_deploy(session, model, "3")).done


class Applications:
    """Those that ask relevance by name, as the document says, while a driver rests; and a guardian's eyes."""

    def __init__(self, house: AwsHouse) -> None:
        self.house = house
        self.watch = HealthWatch(house.session(TOMEK), guardian=True)
        self.served = self.looked = house.clock.elapsed()
        self.seed = 0

    def go_on(self) -> dict[str, float]:
        """Ask for the seconds since the last time; who gets which percentage of the requests in pl."""
        split: dict[str, float] = self.house.live()["relevance"]["pl"].get("split", {})
        now = self.house.clock.elapsed()
        seconds, self.served = now - self.served, now
        assert now < 3000, "it never comes to its end"
        for name, share in split.items():
            self.seed += 1
            requests = int(60 * seconds * share / 100)
            if requests:
                load = Load(requests, seed=self.seed, seconds=seconds, slices={"language": {"en": 0.5, "pl": 0.5}}, variant=name)
                self.house.sim.world.serve("relevance", load)
        if now - self.looked > 3:
            self.looked = now
            self.watch.look()
        return split
