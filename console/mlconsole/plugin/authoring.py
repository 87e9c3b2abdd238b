"""Who changed something past us: what a backend's own journal says, which is often late and sometimes silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Authored:
    """Somebody else's change, as a backend's journal has it. All texts are foreign."""

    name: str
    """`admin/jan`: a role and its session, a user."""
    when: datetime
    """UTC."""
    what: str
    """`UpdateEndpointWeightsAndCapacities`: in the backend's own words."""
    source: str = ""
    """`the AWS console`, `Terraform`: with what, as far as that is told."""


@runtime_checkable
class Authors(Protocol):
    """A role that knows who changed what. It is asked in the background, once for each change that is seen, again while it is silent."""

    def author(self, target: str, since: datetime) -> Authored | None:
        """Who changed an endpoint, or a config document (`config:NAME`), last, at or after `since`, and was not this workspace.

        None: it does not say, or does not say yet.

        Raises:
            Unavailable, Throttled, AuthFailed, Refused: it could not be asked.
        """
        ...

    def silence(self) -> str:
        """Why it may say nothing yet, for people: `CloudTrail says nothing yet, it lags up to 15 min`."""
        ...
