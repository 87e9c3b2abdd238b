"""The alarms that an AppConfig environment watches while it deploys, and takes a deployment back for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlconsole.plugin.errors import Refused
from mlconsole_aws.clients import Clients
from mlconsole_aws.profiles import Places

_MINUTE = 60.0
OK, ALARM = "OK", "ALARM"
_ARN = re.compile(r"arn:[^:]*:cloudwatch:(?P<region>[^:]*):(?P<account>[^:]*):alarm:(?P<name>.+)")


@dataclass(frozen=True)
class Monitor:
    """One alarm, and how it is; no state: nobody could tell."""

    name: str
    state: str = ""


class Monitors:
    """The monitors of one environment."""

    def __init__(self, clients: Clients, places: Places) -> None:
        self._clients, self._places = clients, places
        self._lately: tuple[float, tuple[str, ...]] | None = None

    def names(self) -> tuple[str, ...]:
        """Which alarms there are."""
        found = self._clients.call(
            "appconfig", "get_environment", ApplicationId=self._places.application(), EnvironmentId=self._places.environment()
        )
        return tuple(_name(str(one["AlarmArn"])) for one in found.get("Monitors") or ())

    def lately(self, now: float) -> tuple[str, ...]:
        """The same, asked at most once a minute (`now`: elapsed seconds), for screens."""
        if self._lately is None or now - self._lately[0] >= _MINUTE:
            self._lately = now, self.names()
        return self._lately[1]

    def states(self) -> tuple[Monitor, ...]:
        """The alarms, and how each is now."""
        names = self.names()
        if not names:
            return ()
        found = self._clients.call("cloudwatch", "describe_alarms", AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        told = [*(found.get("MetricAlarms") or ()), *(found.get("CompositeAlarms") or ())]
        states = {str(one["AlarmName"]): str(one.get("StateValue") or "") for one in told}
        return tuple(Monitor(name, states.get(name, "")) for name in names)

    def require(self) -> None:
        """A deployment is watched from its first second, or it is not begun.

        Raises:
            Refused: an alarm is not OK.
        """
        wrong = [one for one in self.states() if one.state != OK]
        if wrong:
            named = ", ".join(f"{one.name} ({one.state or 'nobody knows how it is'})" for one in wrong)
            firing = any(one.state == ALARM for one in wrong)
            why = "AppConfig would take it back at once" if firing else "nobody would watch it"
            raise Refused(
                f"The environment's monitors are not OK: {named}: {why}. Nothing was changed.",
                next="Look why; going back is possible all the same.",
            )


def _name(arn: str) -> str:
    found = _ARN.fullmatch(arn)
    return found["name"] if found else arn
