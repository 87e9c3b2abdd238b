"""Where documents are in AppConfig: an application, an environment, a configuration profile for each; and the hosted versions of a profile.

Names are looked up once and kept as ids. A version never changes, so that what is known of one is kept as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlconsole.core.documents import digest_of
from mlconsole.core.text import is_name
from mlconsole.plugin.errors import Conflict, InvalidRequest, NotFound, OutcomeUnknown, Refused
from mlconsole_aws.clients import Clients

_HOSTED = "hosted"
_FREEFORM = "AWS.Freeform"
_DESCRIBED = re.compile(r"mlconsole (sha256:[0-9a-f]{64}) of ([0-9]+) bytes, (\S+), for (.*)", re.DOTALL)
_MOST_DESCRIPTION = 1024


@dataclass(frozen=True)
class Profile:
    """A configuration profile: a document as AppConfig keeps it."""

    id: str
    name: str
    location: str = _HOSTED
    kind: str = _FREEFORM

    @property
    def why_not(self) -> str:
        """Why its versions are not ours to read and write; empty: they are."""
        if self.location != _HOSTED:
            return f"the profile {self.name} is kept in {self.location}, not in AppConfig's own store"
        if self.kind != _FREEFORM:
            return f"the profile {self.name} holds feature flags ({self.kind}), which AppConfig writes in its own way"
        return ""


@dataclass(frozen=True)
class Hosted:
    """One hosted version, as far as listing it tells. `digest` is empty where whoever added it did not say it in the description."""

    number: int
    digest: str = ""
    size: int = 0
    created: datetime | None = None
    note: str = ""


class Places:
    """Application, environment and profiles, by name or id."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._options: Mapping[str, Any] = clients.section("appconfig")
        self._ids: dict[str, str] = {}
        self._profiles: dict[str, Profile] = {}

    @property
    def scope(self) -> str:
        """`application/environment` as mlconsole.yaml names them: one deployment at a time."""
        return f"{self._named('application')}/{self._named('environment')}"

    def application(self) -> str:
        """The application's id."""
        return self._found("application", "list_applications")

    def environment(self) -> str:
        """The environment's id."""
        return self._found("environment", "list_environments", ApplicationId=self.application())

    def profile(self, document: str) -> Profile | None:
        """The profile that keeps a document; None: there is none."""
        if document not in self._profiles:
            wanted = self._wanted(document)
            found = [one for one in self._all() if wanted in (one.id, one.name)]
            if len(found) > 1:
                raise _several("profiles", wanted, f"profiles: {{{document}: ID}}")
            if not found:
                return None
            # A listing says the location, and whether it holds flags; validators only the profile itself.
            self._profiles[document] = found[0]
        return self._profiles[document]

    def needed(self, document: str) -> Profile:
        """The profile that keeps a document.

        Raises:
            Refused: there is none, or none that we could publish in.
        """
        profile = self.profile(document)
        if profile is None:
            name = self._wanted(document)
            create = f"aws appconfig create-configuration-profile --application-id {self.application()} --name {name} --location-uri hosted"
            raise Refused(
                f"AppConfig's {self._named('application')} has no configuration profile {name}. Nothing was changed.", next=create
            )
        if profile.why_not:
            raise Refused(f"Config {document} can't be published from here: {profile.why_not}. Nothing was changed.")
        return profile

    def documents(self) -> list[str]:
        """The names of all documents: profiles by their own name, or by that which mlconsole.yaml gives them."""
        given = {wanted: name for name, wanted in (self._options.get("profiles") or {}).items()}
        names = (given.get(one.id) or given.get(one.name) or one.name for one in self._all())
        return sorted({name for name in names if is_name(name)})

    def validators(self, profile: Profile) -> list[Mapping[str, str]]:
        """The profile's validators as they are just now."""
        found = self._clients.call(
            "appconfig", "get_configuration_profile", ApplicationId=self.application(), ConfigurationProfileId=profile.id
        )
        return list(found.get("Validators") or ())

    def forget(self) -> None:
        """Names are looked up anew: something was made again under the same name."""
        self._ids.clear()
        self._profiles.clear()

    def _wanted(self, document: str) -> str:
        return str((self._options.get("profiles") or {}).get(document) or document)

    def _all(self) -> Iterator[Profile]:
        for one in self._clients.pages("appconfig", "list_configuration_profiles", "Items", ApplicationId=self.application()):
            yield Profile(one["Id"], one["Name"], one.get("LocationUri") or _HOSTED, one.get("Type") or _FREEFORM)

    def _named(self, what: str) -> str:
        name = self._options.get(what)
        if not name:
            raise InvalidRequest(
                f"mlconsole.yaml does not say which AppConfig {what} keeps the documents of {self._clients.environment}.",
                next=f"Name it: options: aws: appconfig: {{{what}: NAME}}.",
            )
        return str(name)

    def _found(self, what: str, operation: str, **parameters: Any) -> str:
        wanted = self._named(what)
        if what not in self._ids:
            there = list(self._clients.pages("appconfig", operation, "Items", **parameters))
            found = [one["Id"] for one in there if wanted in (one["Id"], one["Name"])]
            if len(found) > 1:
                raise _several(f"{what}s", wanted, f"{what}: ID")
            if not found:
                names = ", ".join(sorted(one["Name"] for one in there)[:8]) or "none"
                raise NotFound(
                    f"AppConfig has no {what} {wanted} in {self._clients.account}, {self._clients.region}. It has: {names}.",
                    next=f"Change `{what}:` under options: aws: appconfig: in mlconsole.yaml.",
                )
            self._ids[what] = str(found[0])
        return self._ids[what]


class Versions:
    """The hosted versions of profiles."""

    def __init__(self, clients: Clients, places: Places) -> None:
        self._clients, self._places = clients, places
        self._known: dict[tuple[str, int], tuple[str, int]] = {}
        """Profile and number → digest and size, of versions whose bytes were read."""

    def listed(self, profile: Profile, limit: int) -> list[Hosted]:
        """The newest versions, newest first; of those that somebody else added the digest is that of their bytes."""
        return [one if one.digest else self._read_for(profile, one) for one in self._newest(profile, limit)]

    def latest(self, profile: Profile) -> int:
        """The highest number of a version; 0: there is none."""
        return max((one.number for one in self._newest(profile, 1)), default=0)

    def identity(self, profile: Profile, number: int) -> tuple[str, int]:
        """Digest and size of a version's bytes, whatever its description says.

        Raises:
            NotFound: there is none of that number.
        """
        key = (profile.id, number)
        if key not in self._known:
            self.read(profile, number)
        return self._known[key]

    def read(self, profile: Profile, number: int) -> bytes:
        """The bytes of a version.

        Raises:
            NotFound: there is none of that number.
        """
        found = self._clients.call(
            "appconfig",
            "get_hosted_configuration_version",
            ApplicationId=self._places.application(),
            ConfigurationProfileId=profile.id,
            VersionNumber=number,
        )
        content = found["Content"]
        body: bytes = content if isinstance(content, bytes) else content.read()
        self._known[(profile.id, number)] = digest_of(body), len(body)
        return body

    def add(self, profile: Profile, number: int, body: bytes, release: str, now: datetime) -> None:
        """Add the next version, under the optimistic lock: the number before it has to be the newest.

        Raises:
            Conflict: somebody else added one meanwhile; theirs stays as it is.
            OutcomeUnknown: AWS did not answer, and it is not there (yet).
        """
        # Sent with the first version there is nothing to compare with, which the service does not say how it takes.
        lock = {"LatestVersionNumber": number - 1} if number > 1 else {}
        try:
            added = self._clients.call(
                "appconfig",
                "create_hosted_configuration_version",
                change=True,
                ApplicationId=self._places.application(),
                ConfigurationProfileId=profile.id,
                Description=_description(body, release, now),
                Content=body,
                ContentType=_content_type(body),
                **lock,
            )
        except (Conflict, OutcomeUnknown):
            # What did not answer in time may have worked, and then the request that botocore sent again met our own version.
            if self._has(profile, number, digest_of(body)):
                return
            raise
        given = int(added["VersionNumber"])
        self._known[(profile.id, given)] = digest_of(body), len(body)
        if given != number:
            raise Conflict(
                f"AppConfig stored it as version {given} of {profile.name}, not {number}: others were added, or taken away, meanwhile. "
                "It is not published.",
                next="Look what changed, and publish on top of it.",
            )

    def _read_for(self, profile: Profile, one: Hosted) -> Hosted:
        digest, size = self.identity(profile, one.number)
        return Hosted(one.number, digest, size, one.created, one.note)

    def _has(self, profile: Profile, number: int, digest: str) -> bool:
        try:
            return self.identity(profile, number)[0] == digest
        except NotFound:
            return False

    def _newest(self, profile: Profile, limit: int) -> list[Hosted]:
        found: list[Hosted] = []
        parameters: dict[str, Any] = {"ApplicationId": self._places.application(), "ConfigurationProfileId": profile.id}
        while True:
            page = self._clients.call("appconfig", "list_hosted_configuration_versions", **parameters)
            found += [_hosted(one) for one in page.get("Items") or ()]
            numbers = [one.number for one in found]
            # The service lists the newest first; where that is seen, older pages need no look.
            enough = len(found) > 1 and len(found) >= limit and numbers == sorted(numbers, reverse=True)
            if enough or not page.get("NextToken"):
                return sorted(found, key=lambda one: one.number, reverse=True)[: max(0, limit)]
            parameters["NextToken"] = page["NextToken"]


def _hosted(one: Mapping[str, Any]) -> Hosted:
    described = str(one.get("Description") or "")
    ours = _DESCRIBED.fullmatch(described)
    number = int(one["VersionNumber"])
    if ours is None:
        return Hosted(number, note=described or str(one.get("VersionLabel") or ""))
    try:
        created = datetime.fromisoformat(ours[3])
    except ValueError:
        created = None
    return Hosted(number, ours[1], int(ours[2]), created, ours[4])


def _description(body: bytes, release: str, now: datetime) -> str:
    """A header, so ASCII: `mlconsole sha256:… of 1204 bytes, 2026-11-20T15:12:00+00:00, for config:models@staging#3`."""
    text = f"mlconsole {digest_of(body)} of {len(body)} bytes, {now.isoformat(timespec='seconds')}, for {release}"
    return text.encode("ascii", "replace").decode()[:_MOST_DESCRIPTION]


def _content_type(body: bytes) -> str:
    try:
        json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return "application/x-yaml"
    return "application/json"


def _several(what: str, name: str, how: str) -> Refused:
    return Refused(f"AppConfig has several {what} called {name}.", next=f"Say which by its id: options: aws: appconfig: {{{how}}}.")
