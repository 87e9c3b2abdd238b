"""Who changed an endpoint or a document past us, by CloudTrail's event history: late by minutes, kept for 90 days, there without a trail.

It is looked up by the names of events and matched by what was asked for in each: which resources an event is filed under differs from
service to service, and who deploys a document names it by ids. Failed calls changed nothing, and those of this workspace bear its mark.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mlconsole.core.documents import document_of
from mlconsole.plugin.authoring import Authored
from mlconsole.plugin.errors import BackendError
from mlconsole.plugin.roles import Context
from mlconsole_aws.clients import clients_of
from mlconsole_aws.identity import name_of
from mlconsole_aws.naming import Names
from mlconsole_aws.profiles import Places

ENDPOINT_EVENTS = ("UpdateEndpointWeightsAndCapacities", "UpdateEndpoint", "CreateEndpoint", "DeleteEndpoint")
DOCUMENT_EVENTS = ("StartDeployment", "StopDeployment")

_APART = 0.5
"""Seconds between two questions: CloudTrail takes two a second from an account."""

_MOST_PAGES = 3
"""Of 50 events each, newest first: what is further back is not what is live."""

_TOOLS = (
    ("mlconsole", "another mlconsole"),
    ("console", "the AWS console"),
    ("terraform", "Terraform"),
    ("cloudformation", "CloudFormation"),
    ("aws-cli", "the aws command"),
    ("sagemaker-python-sdk", "the SageMaker SDK"),
    ("boto3", "boto3"),
)


class CloudTrailAuthors:
    """See `plugin.authoring.Authors`."""

    def __init__(self, context: Context) -> None:
        self._clients = clients_of(context)
        self._clock = context.clock
        self._names = Names.of(self._clients.section("sagemaker"), by_name=context.by_name)
        self._by_name = context.by_name
        self._places = Places(self._clients)
        self._asking = threading.Lock()
        self._asked: float | None = None

    def silence(self) -> str:
        """CloudTrail delivers an event within about 15 minutes."""
        return "CloudTrail says nothing yet, it lags up to 15 min"

    def author(self, target: str, since: datetime) -> Authored | None:
        """The newest event that changed it and is not ours."""
        document = document_of(target)
        names: tuple[str, ...] = DOCUMENT_EVENTS if document is not None else ENDPOINT_EVENTS
        if document is None and self._by_name:
            names += DOCUMENT_EVENTS  # where a document says the shares, an endpoint changes with it
        newest: Authored | None = None
        for name in names:
            # Each kind is looked for only behind what was found of the others.
            found = self._last(name, target, document, newest.when if newest is not None else since)
            if found is not None and (newest is None or found.when > newest.when):
                newest = found
        return newest

    def _last(self, name: str, target: str, document: str | None, since: datetime) -> Authored | None:
        for event in self._events(name, since):
            body = _body(event)
            if body is None or body.get("errorCode") or self._clients.mark in str(body.get("userAgent", "")):
                continue
            asked = {str(key).lower(): value for key, value in (body.get("requestParameters") or {}).items()}
            mine = self._deploys(document, asked) if name in DOCUMENT_EVENTS else self._serves(target, asked)
            if mine:
                return Authored(_who(body, event), _when(event["EventTime"]), name, _tool(body))
        return None

    def _events(self, name: str, since: datetime) -> Iterator[Mapping[str, Any]]:
        more: dict[str, Any] = {}
        for _ in range(_MOST_PAGES):
            with self._asking:
                now = self._clock.elapsed()
                if self._asked is not None and now - self._asked < _APART:
                    self._clock.sleep(_APART - (now - self._asked))
                self._asked = self._clock.elapsed()
            by_name = [{"AttributeKey": "EventName", "AttributeValue": name}]
            page = self._clients.call("cloudtrail", "lookup_events", LookupAttributes=by_name, StartTime=since, MaxResults=50, **more)
            yield from page.get("Events") or ()
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _serves(self, endpoint: str, asked: Mapping[str, Any]) -> bool:
        found = self._names.reading(str(asked.get("endpointname", "")))
        return found is not None and found[0] == endpoint

    def _deploys(self, document: str | None, asked: Mapping[str, Any]) -> bool:
        try:
            there = [self._places.application(), self._places.environment()]
            profile = self._places.profile(document) if document is not None else None
        except BackendError:
            return False  # no such place any more: nothing can be said of it
        named = [str(asked.get("applicationid", "")), str(asked.get("environmentid", ""))]
        wanted = str(asked.get("configurationprofileid", ""))
        return named == there and (profile is None or not wanted or wanted == profile.id)


def _body(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        body = json.loads(str(event.get("CloudTrailEvent") or ""))
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _who(body: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    identity = body.get("userIdentity") or {}
    if identity.get("type") == "AWSService":
        return str(identity.get("invokedBy") or "AWS itself")
    arn = str(identity.get("arn") or "")
    return (name_of(arn) if arn else "") or str(identity.get("userName") or event.get("Username") or "somebody")


def _when(told: Any) -> datetime:
    found = told if isinstance(told, datetime) else datetime.fromtimestamp(float(told), UTC)
    return found.astimezone(UTC)


def _tool(body: Mapping[str, Any]) -> str:
    if str(body.get("sessionCredentialFromConsole", "")).lower() == "true":
        return "the AWS console"
    agent = str(body.get("userAgent") or "").lower()
    return next((told for sign, told in _TOOLS if sign in agent), "")
