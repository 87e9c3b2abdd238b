"""What our SageMaker part remembers: models, endpoint configs, endpoints with what is moving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Record:
    """A model or an endpoint config: what was sent, which never changes, and when."""

    name: str
    arn: str
    body: Json
    created: float
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Variant:
    """A variant of a fleet: as its config says, and the weights and counts of now."""

    body: Json
    weight: float
    wanted_weight: float
    count: int
    wanted_count: int
    container: Json | None = None
    """What its model runs; kept here, since a model may be deleted and its endpoint goes on."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["VariantName"])

    @property
    def serverless(self) -> bool:
        """Whether it has no instances of its own."""
        return "ServerlessConfig" in self.body


@dataclass
class Fleet:
    """What runs behind an endpoint."""

    config: str
    production: list[Variant]
    shadow: list[Variant]
    capture: Json | None = None
    asynchronous: Json | None = None

    def variants(self) -> list[Variant]:
        """All of them."""
        return [*self.production, *self.shadow]


@dataclass
class Phase:
    """A status for some time; `until` may be infinity."""

    status: str
    until: float
    share: float = 0.0
    """The part of the requests that goes to the coming fleet meanwhile (a canary)."""


@dataclass
class Move:
    """A change under way: the statuses that it goes through, and what is true in the end."""

    kind: str
    phases: list[Phase]
    end: Callable[[], None]
    coming: Fleet | None = None
    began: float = 0.0
    alarms: tuple[str, ...] = ()
    looked: float = 0.0
    back: Callable[[str], None] | None = None
    """Go back, for a reason: an alarm went off."""


@dataclass
class Endpoint:
    """An endpoint. `fleet` is what answers: None until it was created for the first time."""

    name: str
    arn: str
    status: str
    created: float
    modified: float
    config: str
    fleet: Fleet | None = None
    reason: str = ""
    deployment: Json | None = None
    move: Move | None = None
    tags: dict[str, str] = field(default_factory=dict)
