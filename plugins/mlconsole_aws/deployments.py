"""Deployments of an AppConfig environment, one at a time: which are there, what is deployed *then*, and starting and stopping them.

What is told is what the service reports: states, percentages and events are never worked out from a strategy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import Conflict, InvalidRequest, OutcomeUnknown, Refused
from mlconsole_aws.clients import Clients
from mlconsole_aws.profiles import Places, Profile
from mlconsole_aws.strategies import Strategy

RUNNING = frozenset({"DEPLOYING", "BAKING", "VALIDATING", "ROLLING_BACK"})
TAKEN_BACK = frozenset({"ROLLED_BACK", "REVERTED"})
COMPLETE, BAKING, ROLLING_BACK = "COMPLETE", "BAKING", "ROLLING_BACK"

FENCE_TAG = "mlconsole:fence"
"""On a deployment that was stopped or reverted: a newer token than its description has."""

_MARK = re.compile(r"(?P<release>.*) by mlconsole \((?P<registry>.*), fence (?P<fence>[0-9]+)\)", re.DOTALL)
_ALARM = re.compile(r":alarm:(?P<name>[^\s,;]+(?: [^\s,;]+)*)")
_MOST_DESCRIPTION = 1024
_LOOK_BACK = 50
"""Deployments that are read to find the newest of ours; the lease of the scope is older than no more."""


@dataclass(frozen=True)
class Mark:
    """What we write into a deployment's description: whose it is, for which release, under which token."""

    registry: str
    fence: int
    release: str

    def __str__(self) -> str:
        return f"{self.release} by mlconsole ({self.registry}, fence {self.fence})"[:_MOST_DESCRIPTION]


@dataclass(frozen=True)
class Event:
    """One event of a deployment, in the service's words."""

    kind: str
    by: str
    text: str
    at: str = ""

    @property
    def alarm(self) -> str:
        """The alarm that it was, where the service names one."""
        found = _ALARM.search(self.text) if self.by == "CLOUDWATCH_ALARM" else None
        return found["name"] if found else ""


@dataclass(frozen=True)
class Deployment:
    """One deployment, as a listing tells it."""

    number: int
    state: str
    version: str
    """A hosted version's number, or whatever the profile's own store calls its versions."""
    percent: float
    profile: str
    """The profile's id; empty where the listing names only its name."""
    name: str
    completed: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether the environment is taken by it."""
        return self.state in RUNNING

    @property
    def told(self) -> str:
        """`DEPLOYING 40 % (deployment 66)`: in the service's own figures."""
        grows = f" {self.percent:g} %" if self.state == "DEPLOYING" else ""
        return f"{self.state}{grows} (deployment {self.number})"


@dataclass(frozen=True)
class Detail:
    """What only the deployment itself tells: its description, and its events, newest first."""

    description: str
    profile: str
    events: tuple[Event, ...]
    started: str = ""

    @property
    def mark(self) -> Mark | None:
        """Ours; None: somebody else's."""
        found = _MARK.fullmatch(self.description)
        return None if found is None else Mark(found["registry"], int(found["fence"]), found["release"])


@dataclass(frozen=True)
class Overview:
    """An environment's deployments as far as they are about one profile."""

    newest: Deployment | None = None
    """Of whichever profile: its number is the lock."""
    running: Deployment | None = None
    own: Deployment | None = None
    """The newest of the profile, whatever became of it."""
    deployed: Deployment | None = None
    """What applications read once nothing is under way: the newest of the profile that is COMPLETE."""
    seen: tuple[Deployment, ...] = ()
    """The newest ones of all profiles, as far as they were looked at."""


class Deployments:
    """The deployments of one environment."""

    def __init__(self, clients: Clients, places: Places, registry: str) -> None:
        self._clients, self._places, self.registry = clients, places, registry
        self._details: dict[tuple[int, str], Detail] = {}
        """Of those that are over, by number and state: they never change any more but from COMPLETE to REVERTED."""

    # Looking.

    def overview(self, profile: Profile) -> Overview:
        """The environment as it is now, for a profile."""
        newest = running = own = None
        seen: list[Deployment] = []
        for one in self._listed():
            seen.append(one)
            newest = newest or one
            running = running or (one if one.running else None)
            if not self._is_of(one, profile):
                continue
            own = own or one
            if one.state == COMPLETE:
                return Overview(newest, running, own, one, tuple(seen))
        return Overview(newest, running, own, None, tuple(seen))

    def before(self, profile: Profile, deployed: Deployment) -> Deployment | None:
        """What was deployed of the profile before that: what a revert by the service leads to."""
        there = (one for one in self._listed() if one.number < deployed.number and one.state == COMPLETE)
        return next((one for one in there if self._is_of(one, profile)), None)

    def detail(self, one: Deployment) -> Detail:
        """Description and events of a deployment."""
        key = one.number, one.state
        if key not in self._details:
            found = self._clients.call("appconfig", "get_deployment", **self._where(), DeploymentNumber=one.number)
            read = _detail(found)
            if one.running or found.get("State") != one.state:
                return read
            self._details[key] = read
        return self._details[key]

    def is_ours(self, one: Deployment) -> bool:
        """Whether this registry started it."""
        mark = self.detail(one).mark
        return mark is not None and mark.registry == self.registry

    def fence(self, there: Overview) -> int:
        """The newest token of this registry that the environment has seen; 0: none."""
        for one in islice(self._all(there), _LOOK_BACK):
            mark = self.detail(one).mark
            if mark is not None and mark.registry == self.registry:
                return max(mark.fence, self._tagged(one.number))
        return 0

    def _all(self, there: Overview) -> Iterator[Deployment]:
        """Those that were seen, and only then those before them."""
        yield from there.seen
        if there.seen:
            yield from (one for one in self._listed() if one.number < there.seen[-1].number)

    # Changing.

    def begin(self, profile: Profile, version: int, strategy: Strategy, mark: Mark, newest: int) -> None:
        """Deploy a version, if `newest` is still the newest deployment of the environment.

        Raises:
            Conflict: somebody deployed, or deploys, meanwhile.
            Refused: the profile's validators do not take that version.
            OutcomeUnknown: AWS did not answer, and no such deployment is there (yet).
        """
        lock = {"LatestDeploymentNumber": newest} if newest else {}
        try:
            self._clients.call(
                "appconfig",
                "start_deployment",
                change=True,
                **self._where(),
                DeploymentStrategyId=strategy.id,
                ConfigurationProfileId=profile.id,
                ConfigurationVersion=str(version),
                Description=str(mark),
                **lock,
            )
        except (Conflict, OutcomeUnknown):
            # What did not answer in time may have worked, and then the request that botocore sent again met our own deployment.
            if self._began(profile, version, mark, newest):
                return
            raise
        except InvalidRequest as error:
            raise _judged(error, f"version {version} of {profile.name}") from error

    def stop(self, one: Deployment, fence: int) -> None:
        """Stop what is under way, or take a complete one back. The newer token is noted before: who has an older one finds it there."""
        self._tag(one.number, fence)
        revert = {"AllowRevert": True} if one.state in (BAKING, COMPLETE) else {}
        try:
            self._clients.call("appconfig", "stop_deployment", change=True, **self._where(), DeploymentNumber=one.number, **revert)
        except (InvalidRequest, Refused) as error:
            raise Conflict(
                f"AppConfig does not stop deployment {one.number}, which was {one.state}: {error.message}",
                next="Look again, then decide.",
            ) from error

    def _began(self, profile: Profile, version: int, mark: Mark, newest: int) -> bool:
        for one in self._listed():
            if one.number <= newest:
                return False
            if self._is_of(one, profile) and one.version == str(version) and self.detail(one).mark == mark:
                return True
        return False

    def _listed(self) -> Iterator[Deployment]:
        """All deployments, newest first."""
        for page in self._pages():
            yield from sorted((_deployment(one) for one in page), key=lambda one: one.number, reverse=True)

    def _pages(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        parameters = self._where()
        while True:
            page = self._clients.call("appconfig", "list_deployments", **parameters)
            yield page.get("Items") or ()
            if not page.get("NextToken"):
                return
            parameters["NextToken"] = page["NextToken"]

    def _is_of(self, one: Deployment, profile: Profile) -> bool:
        """A listing need not tell the profile's id, and names may be those of several."""
        if one.profile or one.name != profile.name:
            return one.profile == profile.id
        return self.detail(one).profile == profile.id

    def _where(self) -> dict[str, Any]:
        return {"ApplicationId": self._places.application(), "EnvironmentId": self._places.environment()}

    def _arn(self, number: int) -> str:
        partition = self._clients.client("appconfig").meta.partition
        application, environment = self._places.application(), self._places.environment()
        where = f"application/{application}/environment/{environment}/deployment/{number}"
        return f"arn:{partition}:appconfig:{self._clients.region}:{self._clients.account}:{where}"

    def _tag(self, number: int, fence: int) -> None:
        self._clients.call("appconfig", "tag_resource", change=True, ResourceArn=self._arn(number), Tags={FENCE_TAG: str(fence)})

    def _tagged(self, number: int) -> int:
        found = self._clients.call("appconfig", "list_tags_for_resource", ResourceArn=self._arn(number)).get("Tags") or {}
        fence = str(found.get(FENCE_TAG, ""))
        return int(fence) if fence.isdecimal() else 0


def _deployment(one: Mapping[str, Any]) -> Deployment:
    return Deployment(
        int(one["DeploymentNumber"]),
        str(one.get("State") or ""),
        str(one.get("ConfigurationVersion") or ""),
        float(one.get("PercentageComplete") or 0.0),
        str(one.get("ConfigurationProfileId") or ""),
        str(one.get("ConfigurationName") or ""),
        _time(one.get("CompletedAt")),
    )


def _detail(found: Mapping[str, Any]) -> Detail:
    events = tuple(
        Event(
            str(one.get("EventType") or ""),
            str(one.get("TriggeredBy") or ""),
            neutralise(str(one.get("Description") or "")),
            "" if (at := _time(one.get("OccurredAt"))) is None else f"{at:%H:%M:%S}",
        )
        for one in found.get("EventLog") or ()
    )
    return Detail(str(found.get("Description") or ""), str(found.get("ConfigurationProfileId") or ""), events)


def _time(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _judged(error: InvalidRequest, what: str) -> Refused:
    """What the profile's validators said, each finding with where it is."""
    response = getattr(error.__cause__, "response", None) or {}
    details = (response.get("Details") or {}).get("InvalidConfiguration") or ()
    said = str((response.get("Error") or {}).get("Message") or error.message)
    places = [f"{one.get('Reason') or one.get('Constraint') or '?'}{_at(one)}" for one in details]
    told = "; ".join(places[:5]) + (f" and {len(places) - 5} more" if len(places) > 5 else "")
    text = f"AppConfig does not take {what}: {said.rstrip('.')}{f': {told}' if told else ''}. It is stored, and not published."
    return Refused(text, next="Correct it, and publish again.")


def _at(one: Mapping[str, Any]) -> str:
    return f" at {one['Location']}" if one.get("Location") else ""
