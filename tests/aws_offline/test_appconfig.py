"""What we add to ministack's AppConfig: its own locks, versions that have to exist, validators that are run, and shorter minutes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws.parts import Servers, until

SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "properties": {"threshold": {"type": "number", "maximum": 1}},
}


class Place:
    def __init__(self, servers: Servers, *validators: dict[str, str]) -> None:
        self.client = servers.client("appconfig")
        self.application = self.client.create_application(Name="shop")["Id"]
        self.environment = self.client.create_environment(ApplicationId=self.application, Name="staging")["Id"]
        self.profile = self.client.create_configuration_profile(
            ApplicationId=self.application, Name="models", LocationUri="hosted", Validators=list(validators)
        )["Id"]

    def put(self, value: Any, **more: Any) -> Any:
        where = {"ApplicationId": self.application, "ConfigurationProfileId": self.profile}
        content = json.dumps(value).encode()
        return self.client.create_hosted_configuration_version(Content=content, ContentType="application/json", **where, **more)

    def deploy(self, version: int, strategy: str = "AppConfig.AllAtOnce", **more: Any) -> Any:
        return self.client.start_deployment(
            ApplicationId=self.application,
            EnvironmentId=self.environment,
            ConfigurationProfileId=self.profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=strategy,
            **more,
        )

    def look(self, number: int) -> Any:
        return self.client.get_deployment(ApplicationId=self.application, EnvironmentId=self.environment, DeploymentNumber=number)


def test_latest_version_number_is_a_lock(aws: Servers) -> None:
    place = Place(aws)
    assert place.put({}, LatestVersionNumber=0, Description="the first")["VersionNumber"] == 1
    with pytest.raises(ClientError, match=r"\(ConflictException\).*LatestVersionNumber 0"):
        place.put({}, LatestVersionNumber=0)
    assert place.put({}, LatestVersionNumber=1)["VersionNumber"] == 2
    listed = place.client.list_hosted_configuration_versions(ApplicationId=place.application, ConfigurationProfileId=place.profile)["Items"]
    assert {one["VersionNumber"]: one.get("Description", "") for one in listed} == {1: "the first", 2: ""}


def test_a_version_that_is_not_there_can_not_be_deployed(aws: Servers) -> None:
    place = Place(aws)
    place.put({})
    with pytest.raises(ClientError, match=r"\(ResourceNotFoundException\).*version 2"):
        place.deploy(2)
    assert place.deploy(1)["DeploymentNumber"] == 1


def test_validators_are_run_at_start_and_when_asked(aws: Servers) -> None:
    place = Place(aws, {"Type": "JSON_SCHEMA", "Content": json.dumps(SCHEMA)})
    place.put({"threshold": 2})
    where = {"ApplicationId": place.application, "ConfigurationProfileId": place.profile, "ConfigurationVersion": "1"}
    for call in (lambda: place.deploy(1), lambda: place.client.validate_configuration(**where)):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "BadRequestException"
        (finding,) = caught.value.response["Details"]["InvalidConfiguration"]
        assert (finding["Location"], finding["Constraint"], finding["Type"]) == ("/threshold", "maximum", "JSON_SCHEMA")
    place.put({"threshold": 1})
    place.client.validate_configuration(**{**where, "ConfigurationVersion": "2"})
    assert place.deploy(2)["DeploymentNumber"] == 1


def test_minutes_can_be_short(aws: Servers) -> None:
    aws.control(minute_seconds=0.05)
    place = Place(aws)
    place.put({})
    number = place.deploy(1, "AppConfig.Linear50PercentEvery30Seconds")["DeploymentNumber"]
    done = until(lambda: (found := place.look(number))["State"] == "COMPLETE" and found)
    assert [one["EventType"] for one in done["EventLog"]][-1] == "DEPLOYMENT_STARTED"
    assert done["EventLog"][0]["EventType"] == "DEPLOYMENT_COMPLETED"


def test_content_has_a_greatest_size(aws: Servers) -> None:
    place = Place(aws)
    with pytest.raises(ClientError, match="PayloadTooLargeException"):
        place.put("x" * (1 << 20))


def test_listings_have_pages_and_the_newest_comes_first(aws: Servers) -> None:
    aws.control(minute_seconds=0.001)
    place = Place(aws)
    for index in range(53):
        place.put({"n": index})
    where = {"ApplicationId": place.application, "ConfigurationProfileId": place.profile}
    first = place.client.list_hosted_configuration_versions(**where)
    assert [one["VersionNumber"] for one in first["Items"]] == list(range(53, 3, -1))
    rest = place.client.list_hosted_configuration_versions(**where, NextToken=first["NextToken"])
    assert [one["VersionNumber"] for one in rest["Items"]] == [3, 2, 1]
    assert "NextToken" not in rest
    for version in (1, 2, 3):
        number = place.deploy(version)["DeploymentNumber"]
        until(lambda number=number: place.look(number)["State"] == "COMPLETE")
    here = {"ApplicationId": place.application, "EnvironmentId": place.environment}
    page = place.client.list_deployments(**here, MaxResults=2)
    assert [one["DeploymentNumber"] for one in page["Items"]] == [3, 2]
    assert [one["DeploymentNumber"] for one in place.client.list_deployments(**here, NextToken=page["NextToken"])["Items"]] == [1]
    assert place.client.list_environments(ApplicationId=place.application)["Items"][0]["Name"] == "staging"
