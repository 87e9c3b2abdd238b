"""What the tests of config documents share: a house with a document in two environments, and what is asked of it in one word."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.conftest import ANNA, House
from mlconsole.core.clock import Clock
from mlconsole.core.documents import LiveDocument, config_target
from mlconsole.core.models import Actor
from mlconsole.engine import changing, configuring, publishing
from mlconsole.engine.session import Session
from mlconsole.engine.views import Outcome
from mlconsole.plugin import simulator
from mlconsole.plugin.simulator import ManualClock, simulated, simulated_version
from mlconsole.workspace import load

DOC = "models"
TARGET = config_target(DOC)

_FILE = """\
workspace: test
default_environment: staging
environments:
  staging:
    serving: simulator
    {split}
    predictions: simulator
    config: simulator
    options: {{simulator: {{world: staging.json, variant_seconds: 3.0, config_poll: 5{options}}}}}
  production:
    production: true
    serving: simulator
    {split}
    predictions: simulator
    config: simulator
    options: {{simulator: {{world: production.json, variant_seconds: 3.0, config_poll: 5{options}}}}}
models:
  relevance: {{}}
policies:
  short: {{stages: [20, 100], wait: 20, evidence: 100, bake: 20, guards: {{errors: {{margin: 0.05}}}}}}
configs:
  models:
    file: models.json
    slices: {{relevance: language}}
    policy: short
{more}
"""

BODY = """\
{
  "relevance": {
    "en": {"endpoint": "relevance", "share": 100, "threshold": 0.50},
    "de": {"endpoint": "relevance", "share": 100, "threshold": 0.52},
    "pl": {"endpoint": "relevance", "share": 100, "threshold": 0.48}
  }
}
"""

SPLIT = """\
{
  "relevance": {
    "en": {"endpoint": "relevance", "threshold": 0.50},
    "de": {"endpoint": "relevance", "threshold": 0.52},
    "pl": {"endpoint": "relevance", "threshold": 0.48}
  }
}
"""


@dataclass
class ConfigHouse(House):
    """A house with one config document."""

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
            plugins={"simulator": simulator.plugin},
            tell=self.told.append,
            deadline=deadline,
        )

    def published(self, environment: str = "staging") -> LiveDocument:
        return self.sims[environment].config.report(DOC).document

    def live(self, environment: str = "staging") -> Any:
        there = self.published(environment)
        assert there.version is not None
        return json.loads(self.sims[environment].config.read(DOC, there.version))

    def text(self, environment: str = "staging") -> str:
        there = self.published(environment)
        assert there.version is not None
        return self.sims[environment].config.read(DOC, there.version).decode()


def config_house(root: Path, body: str = BODY, *, traffic_in: bool = False, more: str = "", **options: object) -> ConfigHouse:
    clock = ManualClock(path=root / "time.json")
    told = "".join(f", {key}: {value}" for key, value in options.items())
    split = "traffic_in: models" if traffic_in else "traffic: simulator"
    (root / "models.json").write_text(body)
    (root / "mlconsole.yaml").write_text(_FILE.format(split=split, options=told, more=more))
    sims = {
        name: simulated(
            root, clock=clock, environment=name, world=str(root / f"{name}.json"), variant_seconds=3.0, config_poll=5, **options
        )
        for name in ("staging", "production")
    }
    house = ConfigHouse(root, clock, sims)
    session = house.session()
    for version in ("3", "4", "5"):
        session.registry.add_version(simulated_version("relevance", version))
    return house


def publish(session: Session, reason: str = "", **how: Any) -> Outcome:
    return changing.run(session, publishing.plan_publish(session, DOC, reason=reason, **how))


def first(session: Session) -> None:
    """Version 1 of the document, out of the file that mlconsole.yaml names."""
    configuring.edit(session, DOC, {})
    assert publish(session, "the first").done


def edited(session: Session, pointer: str, value: Any, reason: str = "") -> Outcome:
    """One value changed and published."""
    configuring.edit(session, DOC, {pointer: value}, reason=reason)
    return publish(session, reason)


def back(session: Session, **how: Any) -> Outcome:
    return changing.run(session, publishing.plan_config_revert(session, DOC, **how))
