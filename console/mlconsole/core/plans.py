"""Plans: a transition from the live release to another one, shown before anything happens and run at most once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlconsole.core.models import Actor
from mlconsole.core.releases import Content, ReleaseKind
from mlconsole.core.steps import Step


@dataclass(frozen=True)
class WayBack:
    """What going back means once this plan is done."""

    release: int | None
    """The release it leads to; None: there is none to go back to."""
    content: Content
    seconds: float
    """About how long going back takes."""
    warm: bool
    """Every variant it needs is running already."""


@dataclass(frozen=True)
class Plan:
    """What would happen, from which state, and how one gets back. Its id becomes the id of the operation that runs it."""

    id: str
    environment: str
    endpoint: str
    scope: str
    kind: ReleaseKind
    made_at: datetime
    made_by: Actor
    made_from: str
    """`core.live.fingerprint` of the live state it was made from: on another state it is not applied."""
    made_from_release: int | None
    now: Content
    then: Content
    steps: tuple[Step, ...]
    way_back: WayBack
    command: str
    """The same as a command line."""
    reason: str = ""
    equals: int | None = None
    """The earlier release that `then` equals, for a revert."""
    notes: tuple[str, ...] = ()
    """What a person should know before saying yes."""
    skipped_gates: tuple[str, ...] = ()
    confirm: str | None = None
    """The name that has to be typed; None: yes is enough."""
    also: str = ""
    """A second scope that it changes: that of the config document that goes with it; empty: none."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Everything that is locked while it runs."""
        return (self.scope, self.also) if self.also and self.also != self.scope else (self.scope,)

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        return sum(step.seconds for step in self.steps)

    @property
    def cost_per_hour(self) -> float | None:
        """What it adds to the bill per hour; None where no step knows."""
        known = [step.cost_per_hour for step in self.steps if step.cost_per_hour is not None]
        return sum(known) if known else None

    @property
    def nothing_to_do(self) -> bool:
        """The live state is already as wanted."""
        return not self.steps and self.now == self.then
