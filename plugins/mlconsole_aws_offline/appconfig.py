"""Ours, on top of ministack's AppConfig: the rules of the real service that it does not have.

- `LatestVersionNumber` is compared (an optimistic lock); a version keeps its description; content has a greatest size.
- `StartDeployment` and `ValidateConfiguration` want a version that exists, and run its JSON-Schema validators (draft 4).
- Listings have pages, and tell the newest deployment and version first.
- A strategy's minute can be made shorter (`minute_seconds`), so that a test sees a whole deployment.

ministack handles one AppConfig request after another on its event loop, so what is compared here still holds when it acts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mlconsole_aws_offline.appconfig_pages import everything, is_listing, paged

MOST_BYTES = 1 << 20
_VERSIONS = re.compile(r"/applications/([^/]+)/configurationprofiles/([^/]+)/hostedconfigurationversions")
_DEPLOYMENTS = re.compile(r"/applications/([^/]+)/environments/([^/]+)/deployments")
_VALIDATORS = re.compile(r"/applications/([^/]+)/configurationprofiles/([^/]+)/validators")

Reply = tuple[int, dict[str, str], bytes]


def set_minute(seconds: float) -> None:
    """How long a strategy's minute lasts."""
    from ministack.services import appconfig

    appconfig._DEPLOYMENT_MINUTE_SECONDS = seconds


def fill_gaps() -> None:
    """Put our rules in front of ministack's."""
    from ministack.services import appconfig

    theirs = appconfig.handle_request

    async def handle(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any) -> Reply:
        refused = _refused(appconfig, method, path, headers, body, query)
        if refused is not None:
            return refused
        if is_listing(method, path):
            return paged(appconfig, path, await theirs(method, path, headers, body, everything(query)), query)
        reply: Reply = await theirs(method, path, headers, body, query)
        if method == "POST" and reply[0] == 201 and _VERSIONS.fullmatch(path):
            return _described(appconfig, reply, headers)
        return reply

    appconfig.handle_request = handle


def _refused(service: Any, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any) -> Reply | None:
    """The refusal that the real service would give; None: ministack may go on."""
    if method != "POST":
        return None
    if found := _VERSIONS.fullmatch(path):
        return _version_refused(service, found[1], found[2], headers, body)
    if found := _DEPLOYMENTS.fullmatch(path):
        wanted = json.loads(body or b"{}")
        return _content_refused(
            service, found[1], str(wanted.get("ConfigurationProfileId", "")), str(wanted.get("ConfigurationVersion", ""))
        )
    if found := _VALIDATORS.fullmatch(path):
        version = query.get("configuration_version", "")
        refused = _content_refused(service, found[1], found[2], version[0] if isinstance(version, list) else version)
        return refused or (204, {}, b"")
    return None


def _version_refused(service: Any, application: str, profile: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
    known = service._config_profiles.get(f"{application}/{profile}")
    if known is None:
        return None
    if len(body) > MOST_BYTES:
        return _error(413, "PayloadTooLargeException", "The configuration is larger than 1 MB.", Limit=MOST_BYTES, Size=len(body))
    expected = headers.get("latest-version-number")
    latest = service._latest_hosted_version_number(application, profile)
    if expected is not None and int(expected) != latest:
        return _error(409, "ConflictException", f"LatestVersionNumber {expected} does not match the latest version number {latest}.")
    label = headers.get("versionlabel")
    if label and any(one.get("VersionLabel") == label for one in _versions(service, application, profile)):
        return _error(409, "ConflictException", f"A version with the label {label} exists already.")
    return None


def _versions(service: Any, application: str, profile: str) -> list[Any]:
    return [one for key, one in service._hosted_versions.items() if key.startswith(f"{application}/{profile}/")]


def _described(service: Any, reply: Reply, headers: Mapping[str, str]) -> Reply:
    status, found, body = reply
    text = headers.get("description", "")
    key = f"{found['Application-Id']}/{found['Configuration-Profile-Id']}/{found['Version-Number']}"
    service._hosted_versions[key]["Description"] = text
    return status, {**found, **({"Description": text} if text else {})}, body


def _content_refused(service: Any, application: str, profile: str, version: str) -> Reply | None:
    known = service._config_profiles.get(f"{application}/{profile}")
    if known is None or known.get("LocationUri") != "hosted":
        return None
    labelled = {str(one.get("VersionLabel")): one for one in _versions(service, application, profile)}
    record = service._hosted_versions.get(f"{application}/{profile}/{version}") or labelled.get(version)
    if record is None:
        return _error(404, "ResourceNotFoundException", f"Configuration version {version} of profile {profile} could not be found.")
    findings = []
    for validator in known.get("Validators") or ():
        if validator.get("Type") == "JSON_SCHEMA":
            findings += _findings(str(validator.get("Content", "")), bytes(record["Content"]))
    if not findings:
        return None
    details = {"InvalidConfiguration": findings}
    return _error(400, "BadRequestException", "Configuration is invalid", Reason="InvalidConfiguration", Details=details)


def _findings(schema: str, content: bytes) -> list[dict[str, str]]:
    from jsonschema import Draft4Validator

    try:
        value = json.loads(content)
    except ValueError as error:
        return [{"Constraint": "", "Location": "", "Reason": f"not JSON: {error}", "Type": "JSON_SCHEMA", "Value": ""}]
    return [
        {
            "Constraint": str(error.validator),
            "Location": "/" + "/".join(str(part) for part in error.absolute_path) if error.absolute_path else "",
            "Reason": error.message[:500],
            "Type": "JSON_SCHEMA",
            "Value": json.dumps(error.instance)[:200],
        }
        for error in Draft4Validator(json.loads(schema)).iter_errors(value)
    ]


def _error(status: int, code: str, message: str, **more: Any) -> Reply:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return status, headers, json.dumps({"__type": code, "Message": message, **more}).encode()
