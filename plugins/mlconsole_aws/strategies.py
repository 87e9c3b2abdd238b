"""Deployment strategies: how a deployment grows, and how long it bakes. Ours is there for whoever wants neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlconsole.core.text import duration
from mlconsole.plugin.errors import NotFound, Refused
from mlconsole_aws.clients import Clients

OURS = "mlconsole.AllAtOnce"
"""To all at once, no bake: a stage of a rollout waits by itself, and going back is quick."""

_TAKES = 15.0
"""Seconds that a deployment takes beside what its strategy says."""
_LATE = 600.0


@dataclass(frozen=True)
class Strategy:
    """A deployment strategy. Minutes are minutes of the service."""

    id: str
    name: str
    minutes: float = 0.0
    bake: float = 0.0
    growth: str = "LINEAR"
    factor: float = 100.0

    @property
    def seconds(self) -> float:
        """How long a deployment usually takes until it is COMPLETE."""
        return _TAKES + 60 * (self.minutes + self.bake)

    @property
    def deadline(self) -> float:
        """When a deployment counts as stuck (s)."""
        return self.seconds + _LATE

    @property
    def told(self) -> str:
        """For people: `linear 20 % over 30 min, bake 30 min`; `all at once, no bake`."""
        grows = "all at once" if not self.minutes else f"{self.growth.lower()} {self.factor:g} % over {duration(60 * self.minutes)}"
        return f"{grows}, {f'bake {duration(60 * self.bake)}' if self.bake else 'no bake'}"


ALL_AT_ONCE = Strategy(OURS, OURS)
PREDEFINED = {
    one.id: one
    for one in (
        Strategy("AppConfig.AllAtOnce", "AppConfig.AllAtOnce", 0, 10),
        Strategy("AppConfig.Canary10Percent20Minutes", "AppConfig.Canary10Percent20Minutes", 20, 10, "EXPONENTIAL", 10),
        Strategy("AppConfig.Linear20PercentEvery6Minutes", "AppConfig.Linear20PercentEvery6Minutes", 30, 30, "LINEAR", 20),
        Strategy("AppConfig.Linear50PercentEvery30Seconds", "AppConfig.Linear50PercentEvery30Seconds", 1, 1, "LINEAR", 50),
    )
}


class Strategies:
    """The account's strategies, by name or id."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._wanted = str(clients.section("appconfig").get("strategy") or OURS)
        self._found: dict[str, Strategy] = {}

    @property
    def known(self) -> Strategy | None:
        """The one that mlconsole.yaml names, as far as it is known without a call."""
        return ALL_AT_ONCE if self._wanted == OURS else PREDEFINED.get(self._wanted) or self._found.get(self._wanted)

    def chosen(self) -> Strategy:
        """The one that mlconsole.yaml names, with its id.

        Raises:
            NotFound: there is none of that name.
        """
        return self.at_once() if self._wanted == OURS else self._named(self._wanted)

    def at_once(self) -> Strategy:
        """Ours; created where it is not there.

        Raises:
            Refused: somebody changed it, so that it would not be at once any more.
        """
        try:
            found = self._named(OURS)
        except NotFound:
            found = self._created()
        if found.minutes or found.bake:
            del self._found[OURS]
            raise Refused(
                f"The deployment strategy {OURS} is not what it was made as any more: {found.told}. Nothing was changed.",
                next=f"Set it back: aws appconfig update-deployment-strategy --deployment-strategy-id {found.id} "
                "--deployment-duration-in-minutes 0 --final-bake-time-in-minutes 0 --growth-factor 100",
            )
        return found

    def look(self) -> None:
        """Ask for the one that mlconsole.yaml names where nothing is known of it yet, so that plans can tell how long it takes."""
        if self.known is None:
            self._named(self._wanted)

    def forget(self) -> None:
        """Look all of them up anew."""
        self._found.clear()

    def _named(self, wanted: str) -> Strategy:
        if wanted in PREDEFINED:
            return PREDEFINED[wanted]
        if wanted not in self._found:
            there = list(self._clients.pages("appconfig", "list_deployment_strategies", "Items"))
            mine = [_read(one) for one in there if wanted in (one["Id"], one["Name"])]
            if not mine:
                names = ", ".join(sorted({one["Name"] for one in there} | set(PREDEFINED)))
                raise NotFound(
                    f"AppConfig has no deployment strategy {wanted}. It has: {names}.",
                    next="Change `strategy:` under options: aws: appconfig: in mlconsole.yaml.",
                )
            if wanted != OURS and len(mine) > 1:
                raise Refused(f"AppConfig has several deployment strategies called {wanted}.", next="Say which by its id.")
            # Two consoles may have made ours at the same time: either will do.
            self._found[wanted] = min(mine, key=lambda one: one.id)
        return self._found[wanted]

    def _created(self) -> Strategy:
        made = self._clients.call(
            "appconfig",
            "create_deployment_strategy",
            change=True,
            Name=OURS,
            Description="To all at once, no bake: mlconsole's own stages wait by themselves.",
            DeploymentDurationInMinutes=0,
            FinalBakeTimeInMinutes=0,
            GrowthFactor=100.0,
            GrowthType="LINEAR",
            ReplicateTo="NONE",
        )
        self._found[OURS] = _read(made)
        return self._found[OURS]


def _read(one: Mapping[str, Any]) -> Strategy:
    return Strategy(
        str(one["Id"]),
        str(one["Name"]),
        float(one.get("DeploymentDurationInMinutes") or 0),
        float(one.get("FinalBakeTimeInMinutes") or 0),
        str(one.get("GrowthType") or "LINEAR"),
        float(one.get("GrowthFactor") or 100.0),
    )
