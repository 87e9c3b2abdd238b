"""The config role on AWS AppConfig: hosted versions of a configuration profile, deployed to an environment one at a time.

Both optimistic locks are sent, and what they lock is compared before as well. A deployment always ends with all clients or none: no share
can be held. The fence token stands in a deployment's description, and is compared under the number of the newest one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from mlconsole.core.documents import MOST_BYTES, WHOLE, Document, LiveDocument, digest_of
from mlconsole.core.live import Transition, document_differences
from mlconsole.core.steps import Phase, Step
from mlconsole.core.text import is_name
from mlconsole.core.traffic import percent
from mlconsole.plugin import Context
from mlconsole.plugin.errors import BackendError, Conflict, InvalidRequest, NotFound, Refused
from mlconsole.plugin.roles import ConfigLimits, DocumentReport, Order, StoredVersion
from mlconsole_aws.clients import clients_of
from mlconsole_aws.configstore_together import Together
from mlconsole_aws.configstore_words import begun, busy, report_of
from mlconsole_aws.deployments import COMPLETE, ROLLING_BACK, Deployment, Deployments, Mark, Overview
from mlconsole_aws.deployments_watched import ALARM, Monitors
from mlconsole_aws.profiles import Places, Profile, Versions
from mlconsole_aws.strategies import ALL_AT_ONCE, Strategies

_REVERTIBLE = timedelta(hours=72)
"""So long after it the service takes a complete deployment back."""


class AppConfigStore:
    """Documents in AppConfig. See `plugin.roles.ConfigStore`, and docs/roles.md for what is done with which call."""

    def __init__(self, context: Context) -> None:
        self._clients = clients_of(context)
        self._clock = context.clock
        self._places = Places(self._clients)
        self._versions = Versions(self._clients, self._places)
        self._strategies = Strategies(self._clients)
        self._deployments = Deployments(self._clients, self._places, f"{context.root.name}/{context.environment}")
        self._monitors = Monitors(self._clients, self._places)
        poll = float(self._clients.section("appconfig").get("poll") or 60.0)
        self._limits = ConfigLimits(growth=False, share_granularity=WHOLE, most_bytes=MOST_BYTES, poll_lag=poll)
        self._reports: dict[str, Together[DocumentReport]] = {}

    # What is there.

    def limits(self) -> ConfigLimits:
        """To all or none; everywhere once the slowest application has looked."""
        return self._limits

    def list(self) -> Sequence[str]:
        """The application's profiles."""
        return self._places.documents()

    def scope(self, document: str) -> str:
        """The environment: it takes one deployment at a time, of whichever document."""
        return self._places.scope

    def report(self, document: str) -> DocumentReport:
        """What is deployed once nothing is under way, and what is under way, in the service's words."""
        return self._reports.setdefault(document, Together()).ask(lambda: self._report(document))

    def versions(self, document: str, limit: int = 100) -> Sequence[StoredVersion]:
        """The newest hosted versions."""
        profile = self._places.profile(document)
        if profile is None or profile.why_not:
            return []
        return [StoredVersion(one.number, one.digest, one.size, one.created, one.note) for one in self._versions.listed(profile, limit)]

    def read(self, document: str, number: int) -> bytes:
        """A version's bytes, as they were added."""
        profile = self._places.profile(document)
        if profile is None or number < 1:
            raise NotFound(
                f"There is no version {number} of config {document} in AppConfig.", next="mlconsole config show tells which there are."
            )
        if profile.why_not:
            raise Refused(f"Config {document} can't be read from here: {profile.why_not}.")
        return self._versions.read(profile, number)

    # What a store may tell besides.

    def schemas(self, document: str) -> Sequence[bytes]:
        """The JSON Schemas (draft 4) that the profile's validators have, so that what they would refuse is known before."""
        profile = self._places.profile(document)
        if profile is None:
            return []
        return [_draft_4(str(one["Content"])) for one in self._places.validators(profile) if one.get("Type") == "JSON_SCHEMA"]

    def watching(self, document: str) -> str:
        """What the service itself watches while it deploys, for a plan; empty: nothing."""
        names = self._monitors.lately(self._clock.elapsed())
        strategy = self._strategies.chosen() if self._strategies.known is None else self._strategies.known
        if not names or not (strategy.minutes or strategy.bake):
            return ""
        return f"AppConfig takes it back by itself on {', '.join(names)}, until it is baked ({strategy.told})"

    # Publishing.

    def steps(self, live: LiveDocument, target: Document) -> Sequence[Step]:
        """One deployment at most."""
        _check(target)
        if not document_differences(live, target):
            return []
        # An earlier version is gone back to: at once, whatever forward takes.
        strategy = ALL_AT_ONCE if target.version < (live.version or 0) else self._strategies.known
        told = f" by {strategy.name} ({strategy.told})" if strategy is not None else ""
        verb = "deploy again" if target.version <= live.latest else "store and deploy"
        chosen = strategy or ALL_AT_ONCE
        return [
            Step(
                "config",
                "StartDeployment",
                f"{verb} {target.name} {target.version} to all clients{told}",
                Phase.SHIFT,
                document=target,
                seconds=chosen.seconds,
                deadline=chosen.deadline if strategy is not None else 2 * 86_400.0,
            )
        ]

    def start(self, document: str, step: Step, order: Order) -> None:
        """Store the version where it is not there yet, then deploy it; or stop what is under way, or take back what was deployed last."""
        wanted = step.document
        if wanted is None or wanted.name != document:
            raise InvalidRequest(f"A step that publishes {wanted.name if wanted else 'nothing'} was given for config {document}.")
        _check(wanted)
        try:
            profile = self._places.needed(document)
            there = self._deployments.overview(profile)
            seen = self._deployments.fence(there)
            if order.fence < seen:
                raise Conflict(
                    f"Somebody took this change over: token {order.fence} is older than {seen}. Nothing was changed.",
                    next="Look again, then decide.",
                )
            if self._under_way(profile, there, wanted, order):
                return
            # Already so, but under a newer token, it is deployed once more: a call that may still come then meets the lock.
            if not self._is(profile, there.deployed, wanted) or seen < order.fence:
                self._deploy(profile, there, wanted, order, at_once=order.at_once or step.traffic is not None)
        except NotFound:
            self._places.forget()  # made again under the same name, perhaps
            self._strategies.forget()
            raise

    def _under_way(self, profile: Profile, there: Overview, wanted: Document, order: Order) -> bool:
        """Whether what is under way leads to what is wanted, after it was stopped if need be.

        Raises:
            Conflict: it does not, or it is somebody else's.
        """
        running = there.running
        if running is None:
            return False
        goes_back_to_it = self._is(profile, there.deployed, wanted)
        if running.state == ROLLING_BACK:
            if goes_back_to_it:
                return True
        elif self._is(profile, running, wanted):
            return True
        ours = self._deployments.is_ours(running)
        if goes_back_to_it and ours and there.own == running and running.state != ROLLING_BACK:
            self._deployments.stop(running, order.fence)
            return True
        raise Conflict(busy(running, self._deployments.detail(running), ours=ours), next="It is tried again when that is over.")

    def _deploy(self, profile: Profile, there: Overview, wanted: Document, order: Order, *, at_once: bool) -> None:
        deployed = there.deployed
        if not order.back:
            _require_base(wanted, deployed)
        backwards = order.back or (deployed is not None and wanted.version < _number(deployed))
        if not backwards:
            self._monitors.require()
        elif deployed is not None and self._firing() and self._revertible(profile, there, wanted):
            self._deployments.stop(deployed, order.fence)
            return
        strategy = self._strategies.at_once() if backwards or at_once else self._strategies.chosen()
        self._stored(profile, wanted, deployed, order)
        mark = Mark(self._deployments.registry, order.fence, order.release)
        self._deployments.begin(profile, wanted.version, strategy, mark, there.newest.number if there.newest is not None else 0)

    def _firing(self) -> bool:
        """Whether a new deployment would be taken back at once. Going back waits for nobody who can't tell."""
        with suppress(BackendError):
            return any(one.state == ALARM for one in self._monitors.states())
        return False

    def _revertible(self, profile: Profile, there: Overview, wanted: Document) -> bool:
        """Whether the service's own revert leads to what is wanted: nothing else was deployed since, and not too long ago. It looks at no
        alarm, and locks nothing: it is for when a new deployment would be taken back at once."""
        deployed = there.deployed
        if deployed is None or there.newest is None or there.newest.number != deployed.number or deployed.completed is None:
            return False
        if self._clock.now() - deployed.completed > _REVERTIBLE:
            return False
        return self._is(profile, self._deployments.before(profile, deployed), wanted)

    def _is(self, profile: Profile, one: Deployment | None, wanted: Document) -> bool:
        """Whether that deployment is of the wanted bytes."""
        if one is None or one.version != str(wanted.version):
            return False
        try:
            return (
                self._deployments.detail(one).profile == profile.id and self._versions.identity(profile, wanted.version)[0] == wanted.digest
            )
        except NotFound:
            return False

    def _stored(self, profile: Profile, wanted: Document, deployed: Deployment | None, order: Order) -> None:
        """The version is there with these bytes, added if it is the next one.

        Raises:
            Conflict: that number has other bytes, or it is not the next one (the optimistic lock).
            Refused: the bytes were not given, or are none that could be published.
        """
        what, latest = f"Version {wanted.version} of config {wanted.name}", self._versions.latest(profile)
        if wanted.version <= latest:
            try:
                digest, _ = self._versions.identity(profile, wanted.version)
            except NotFound as error:
                raise Refused(f"{what} is no longer in AppConfig. Nothing was changed.", next="Publish it as a new version.") from error
            if digest != wanted.digest:
                raise Conflict(f"{what} is there already, with other bytes. Nothing was changed.", next=_ON_TOP)
            return
        if wanted.version != latest + 1:
            raise Conflict(
                f"The next version of config {wanted.name} is {latest + 1}, not {wanted.version}. Nothing was changed.", next=_ON_TOP
            )
        _require_base(wanted, deployed)
        body = order.documents.get(wanted.digest)
        if body is None or digest_of(body) != wanted.digest:
            raise Refused(f"{what} was given without its bytes, or with others. Nothing was changed.")
        if not body:
            raise Refused(f"{what} is empty: no client would take it for a configuration. Nothing was changed.")
        if len(body) > self._limits.most_bytes:
            text = f"{what} has {len(body):,} bytes; at most {self._limits.most_bytes:,} are taken. Nothing was changed."
            raise Refused(text.replace(",", " "))
        self._versions.add(profile, wanted.version, body, order.release, self._clock.now())

    # Reporting.

    def _report(self, document: str) -> DocumentReport:
        profile = self._places.profile(document)
        if profile is None:
            return DocumentReport(LiveDocument(document))
        if profile.why_not:
            return DocumentReport(LiveDocument(document), Transition.FAILED, profile.why_not)
        with suppress(BackendError):
            self._strategies.look()
        latest = self._versions.latest(profile)
        there = self._deployments.overview(profile)
        live, wrong = LiveDocument(document, latest=latest), ""
        if there.deployed is not None:
            number = _number(there.deployed)
            try:
                digest, _ = self._versions.identity(profile, number)
            except NotFound:
                digest, wrong = "", f"version {number} is deployed, and no longer stored: clients keep what they have read before"
            live = LiveDocument(document, number, digest, latest=max(latest, number))
        return report_of(live, there, self._told(there), wrong)

    def _told(self, there: Overview) -> str:
        """What became of the newest deployment, where that is more than that it is complete."""
        one = there.own
        if one is None or one.state == COMPLETE:
            return ""
        detail = self._deployments.detail(one)
        alarms: tuple[str, ...] = ()
        if any(event.by == "CLOUDWATCH_ALARM" for event in detail.events) and not any(event.alarm for event in detail.events):
            with suppress(BackendError):
                alarms = self._monitors.names()
        return begun(one, detail, alarms)


_ON_TOP = "Look what changed, and publish on top of it."


def _require_base(wanted: Document, deployed: Deployment | None) -> None:
    """What is published is what it was made from: else it would take back what somebody else deployed meanwhile.

    Raises:
        Conflict: it is not.
    """
    if wanted.before is None or deployed is None or deployed.version in (str(wanted.before), str(wanted.version)):
        return
    raise Conflict(
        f"Version {wanted.version} of config {wanted.name} was made from {wanted.before}, and {deployed.version} is deployed by now. "
        "Nothing was changed.",
        next=_ON_TOP,
    )


def _draft_4(schema: str) -> bytes:
    """A schema that says its draft: AppConfig takes those that say nothing for draft 4."""
    with suppress(ValueError):
        read = json.loads(schema)
        if isinstance(read, dict) and "$schema" not in read:
            return json.dumps({"$schema": "http://json-schema.org/draft-04/schema#", **read}).encode()
    return schema.encode()


def _number(one: Deployment) -> int:
    """A hosted version's number."""
    return int(one.version) if one.version.isdecimal() else 0


def _check(target: Document) -> None:
    """Refuse what can't be published, whatever is live.

    Raises:
        Refused: it can't.
    """
    if not is_name(target.name):
        raise Refused(f"{target.name!r} can't name a config document: letters, digits, dot, dash and underscore are wanted.")
    if target.version < 1:
        raise Refused(f"Versions are numbered from 1, not from {target.version}.")
    if target.share != WHOLE:
        raise Refused(
            f"AppConfig publishes to all clients or none: {percent(target.share)} % of them can't be held. Nothing was changed.",
            next="Publish to all of them: --at-once.",
        )
