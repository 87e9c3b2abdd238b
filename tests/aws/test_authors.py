"""Who changed it outside, by CloudTrail: matched by what each event asked for, never ours, never a failed call, silent when it is late.

ministack records no SageMaker calls and names AppConfig's by their method only, so that events word by word come from a part of ours.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aws.parts import Servers
from aws.parts import context as on_servers
from aws.scripted import ACCOUNT, Reply, Scripted, context, error, profile_text, scripted
from mlconsole.plugin.authoring import Authored, Authors
from mlconsole.plugin.errors import Refused
from mlconsole.plugin.simulator import ManualClock
from mlconsole_aws.authors import CloudTrailAuthors

SINCE = datetime(2026, 11, 15, 13, 0, tzinfo=UTC)
WEIGHTS = "UpdateEndpointWeightsAndCapacities"


@pytest.fixture
def part() -> Iterator[Scripted]:
    with scripted() as one:
        yield one


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def event(name: str, minute: int, *, agent: str = "", who: str = "", **asked: str) -> dict[str, Any]:
    """An event as LookupEvents has it."""
    when = datetime(2026, 11, 15, 14, minute, tzinfo=UTC)
    arn = who or f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/jan"
    failed = asked.pop("errorCode", "")
    body = {
        "userIdentity": {"type": "AssumedRole", "arn": arn},
        "eventName": name,
        "userAgent": agent,
        "requestParameters": asked,
        **({"errorCode": failed} if failed else {}),
    }
    return {
        "EventId": str(minute),
        "EventName": name,
        "EventTime": when.timestamp(),
        "Username": "jan",
        "CloudTrailEvent": json.dumps(body),
    }


def journal(part: Scripted, *events: Mapping[str, Any]) -> None:
    """CloudTrail holds these, and tells them as it does: of one name, since a time, newest first."""

    def answer(asked: Mapping[str, Any]) -> Reply:
        (attribute,) = asked["LookupAttributes"]
        assert attribute["AttributeKey"] == "EventName"
        found = [one for one in events if one["EventName"] == attribute["AttributeValue"] and one["EventTime"] >= asked["StartTime"]]
        return Reply(200, {"Events": sorted(found, key=lambda one: -one["EventTime"])})

    part.answers["LookupEvents"] = answer


def authors(part: Scripted, tmp_path: Path, *, by_name: bool = False, **options: Any) -> CloudTrailAuthors:
    made = context(tmp_path, profile_text(part.url), ManualClock(), **options)
    return CloudTrailAuthors(replace(made, by_name=by_name))


def test_the_newest_that_was_about_this_endpoint(part: Scripted, tmp_path: Path) -> None:
    journal(
        part,
        event("UpdateEndpoint", 1, endpointName="relevance"),
        event(WEIGHTS, 2, endpointName="relevance", agent="console.amazonaws.com"),
        event(WEIGHTS, 3, endpointName="translation"),
        event("UpdateEndpoint", 4, endpointName="relevance-eu"),
    )
    role = authors(part, tmp_path)
    assert isinstance(role, Authors)
    when = datetime(2026, 11, 15, 14, 2, tzinfo=UTC)
    assert role.author("relevance", SINCE) == Authored("admin/jan", when, WEIGHTS, "the AWS console")
    assert role.author("relevance", when + timedelta(seconds=1)) is None
    assert role.author("sentiment", SINCE) is None


def test_neither_ours_nor_what_failed(part: Scripted, tmp_path: Path) -> None:
    role = authors(part, tmp_path)
    ours = event(WEIGHTS, 5, endpointName="relevance", agent=f"Boto3/1.43 {role._clients.mark}")
    failed = event(WEIGHTS, 4, endpointName="relevance", errorCode="ValidationException")
    journal(part, ours, failed)
    assert role.author("relevance", SINCE) is None
    other = event(WEIGHTS, 3, endpointName="relevance", agent="Boto3/1.43 mlconsole/ffffffffffff")
    journal(part, ours, failed, other)
    found = role.author("relevance", SINCE)
    assert found is not None
    assert found.source == "another mlconsole"


def test_our_own_calls_bear_the_mark_that_is_looked_for(part: Scripted, tmp_path: Path) -> None:
    role = authors(part, tmp_path)
    journal(part)
    role.author("relevance", SINCE)
    agents = [headers["User-Agent"] for operation, _, headers in part.asked if operation == "LookupEvents"]
    assert agents
    assert all(role._clients.mark in agent for agent in agents)


def test_where_each_variant_is_an_endpoint_and_a_document_says_the_shares(part: Scripted, tmp_path: Path) -> None:
    part.answers["/applications"] = lambda _: Reply(200, {"Items": [{"Id": "app1", "Name": "nlp"}]})
    part.answers["/applications/app1/environments"] = lambda _: Reply(200, {"Items": [{"Id": "env1", "Name": "prod"}]})
    profile = {"Id": "prof1", "Name": "models", "LocationUri": "hosted", "Type": "AWS.Freeform"}
    part.answers["/applications/app1/configurationprofiles"] = lambda _: Reply(200, {"Items": [profile]})
    ids = {"applicationId": "app1", "environmentId": "env1", "configurationProfileId": "prof1"}
    deployed = event("StartDeployment", 7, agent="aws-cli/2.15.0 Python", **ids)
    journal(
        part,
        event("UpdateEndpoint", 6, endpointName="relevance-v6"),
        deployed,
        event("StartDeployment", 8, **{**ids, "environmentId": "env2"}),
        event("StartDeployment", 9, **{**ids, "configurationProfileId": "prof2"}),
    )
    role = authors(part, tmp_path, by_name=True, appconfig={"application": "nlp", "environment": "prod"})
    found = role.author("config:models", SINCE)
    assert found is not None
    assert (found.what, found.when.minute, found.source) == ("StartDeployment", 7, "the aws command")
    newest = role.author("relevance", SINCE)
    assert newest is not None
    assert newest.when.minute == 9  # of whichever document: one of them says the shares
    assert role.author("rel", SINCE) == newest  # of an endpoint that no event names, only the document speaks


def test_two_questions_a_second_at_most(part: Scripted, tmp_path: Path) -> None:
    journal(part)
    clock = ManualClock()
    role = CloudTrailAuthors(context(tmp_path, profile_text(part.url), clock))
    before = clock.elapsed()
    role.author("relevance", SINCE)
    assert part.count("LookupEvents") == 4
    assert clock.elapsed() - before >= 1.5


def test_who_may_not_ask_is_told_so(part: Scripted, tmp_path: Path) -> None:
    part.say("LookupEvents", error("AccessDeniedException", "not authorized to perform: cloudtrail:LookupEvents"))
    with pytest.raises(Refused, match=r"does not allow lookup events: not authorized"):
        authors(part, tmp_path).author("relevance", SINCE)


def test_as_a_real_server_tells_events(aws: Servers, tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    aws.client("appconfig").create_application(Name="seen")
    role = CloudTrailAuthors(on_servers(aws, tmp_path))
    deadline = time.monotonic() + 15
    while not (found := list(role._events("POST.appconfig", began))):
        assert time.monotonic() < deadline
    body = json.loads(found[0]["CloudTrailEvent"])
    assert body["requestParameters"]["Name"] == "seen"
    assert list(role._events("POST.appconfig", datetime.now(UTC) + timedelta(hours=1))) == []
