"""AppConfig as somebody else set it up: which documents are deployed in which environments of which applications."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlconsole_aws.clients import Clients

_FREE_FORM = "AWS.Freeform"
_SUFFIXES = {"json": ".json", "yaml": ".yaml"}


@dataclass(frozen=True)
class Deployed:
    """What a configuration profile's last complete deployment in an environment is. `why`: it is nothing that can be kept here."""

    application: str
    environment: str
    profile: str
    version: int
    body: bytes = b""
    suffix: str = ".json"
    monitors: int = 0
    why: str = ""


def deployed(clients: Clients) -> Iterator[Deployed]:
    """All of them, in the order of their names."""
    for application in sorted(clients.pages("appconfig", "list_applications", "Items"), key=_name):
        ids = {"ApplicationId": application["Id"]}
        environments = sorted(clients.pages("appconfig", "list_environments", "Items", **ids), key=_name)
        profiles = (
            {one["Id"]: one for one in clients.pages("appconfig", "list_configuration_profiles", "Items", **ids)} if environments else {}
        )
        for environment in environments:
            latest = _latest(clients, application["Id"], environment["Id"], len(profiles))
            for profile in sorted(profiles.values(), key=_name):
                version = latest.get(profile["Id"])
                if version is not None:
                    about = (str(application["Name"]), str(environment["Name"]), str(profile["Name"]))
                    yield _read(clients, about, application["Id"], profile, version, len(environment.get("Monitors") or ()))


def _latest(clients: Clients, application: str, environment: str, profiles: int) -> dict[str, str]:
    """Profile → the version of its last complete deployment; newest first is how the service lists them."""
    found: dict[str, str] = {}
    names: set[str] = set()
    listed = clients.pages("appconfig", "list_deployments", "Items", ApplicationId=application, EnvironmentId=environment)
    for one in sorted(listed, key=lambda said: -int(said["DeploymentNumber"])):
        if len(found) == profiles:
            break
        if one.get("State") != "COMPLETE" or one.get("ConfigurationName") in names:
            continue
        said = clients.call(
            "appconfig", "get_deployment", ApplicationId=application, EnvironmentId=environment, DeploymentNumber=one["DeploymentNumber"]
        )
        found.setdefault(str(said["ConfigurationProfileId"]), str(said["ConfigurationVersion"]))
        if one.get("ConfigurationName"):
            names.add(one["ConfigurationName"])
    return found


def _read(
    clients: Clients, about: tuple[str, str, str], application: str, profile: dict[str, Any], version: str, monitors: int
) -> Deployed:
    if profile.get("LocationUri", "hosted") != "hosted":
        return Deployed(*about, 0, why="its configuration is not hosted by AppConfig")
    if profile.get("Type", _FREE_FORM) != _FREE_FORM:
        return Deployed(*about, 0, why="feature flags are no document")
    said = clients.call(
        "appconfig",
        "get_hosted_configuration_version",
        ApplicationId=application,
        ConfigurationProfileId=profile["Id"],
        VersionNumber=int(version),
    )
    kind = str(said.get("ContentType", "")).casefold()
    suffix = next((suffix for word, suffix in _SUFFIXES.items() if word in kind), "")
    body = said["Content"].read()
    if not suffix:
        return Deployed(*about, int(version), why=f"{kind or 'its content type'} is neither JSON nor YAML")
    return Deployed(*about, int(version), body, suffix, monitors)


def _name(said: dict[str, Any]) -> str:
    return str(said["Name"])
