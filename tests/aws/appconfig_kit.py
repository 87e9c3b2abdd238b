"""What the tests of the AppConfig store share: a document that is there, and its store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from aws.parts import Servers, context
from mlconsole.core.clock import Clock
from mlconsole.core.documents import WHOLE, Document, digest_of
from mlconsole.core.steps import Phase, Step
from mlconsole.plugin.roles import Order
from mlconsole_aws.configstore import AppConfigStore

APPLICATION, ENVIRONMENT, DOCUMENT = "acme", "production", "models"


@cache
def _data(servers: Servers) -> Any:
    return servers.client("appconfigdata")


@dataclass(frozen=True)
class Place:
    """An application with one environment and one profile, and a plain client to look with."""

    servers: Servers
    tmp: Path
    client: Any
    application: str
    environment: str
    profile: str

    @property
    def where(self) -> dict[str, str]:
        """Application and environment, as AppConfig's calls want them."""
        return {"ApplicationId": self.application, "EnvironmentId": self.environment}

    @property
    def kept(self) -> dict[str, str]:
        """Application and profile."""
        return {"ApplicationId": self.application, "ConfigurationProfileId": self.profile}

    def store(self, clock: Clock | None = None, *, registry: str = "ours", **appconfig: Any) -> AppConfigStore:
        """A store of its own: nothing that another one remembers helps it. `registry`: the folder of whose workspace it is."""
        root = self.tmp / registry
        said = {"application": APPLICATION, "environment": ENVIRONMENT, "poll": 15, **appconfig}
        return AppConfigStore(context(self.servers, root, clock, appconfig=said))

    def version(self, number: int) -> bytes:
        """What AppConfig itself has as that version."""
        found: bytes = self.client.get_hosted_configuration_version(**self.kept, VersionNumber=number)["Content"].read()
        return found

    def versions(self) -> list[int]:
        """The numbers that AppConfig lists, in order."""
        return sorted(one["VersionNumber"] for one in self.client.list_hosted_configuration_versions(**self.kept)["Items"])

    def deployments(self) -> list[tuple[int, str, str]]:
        """Number, version, state of all deployments, oldest first."""
        items = self.client.list_deployments(**self.where)["Items"]
        return sorted((one["DeploymentNumber"], one["ConfigurationVersion"], one["State"]) for one in items)

    def deployment(self, number: int) -> Mapping[str, Any]:
        """One of them, wholly."""
        found: Mapping[str, Any] = self.client.get_deployment(**self.where, DeploymentNumber=number)
        return found

    def read_by_applications(self) -> bytes:
        """What an application gets that asks now for the first time."""
        data = _data(self.servers)
        token = data.start_configuration_session(
            ApplicationIdentifier=APPLICATION, EnvironmentIdentifier=ENVIRONMENT, ConfigurationProfileIdentifier=DOCUMENT
        )["InitialConfigurationToken"]
        found: bytes = data.get_latest_configuration(ConfigurationToken=token)["Configuration"].read()
        return found

    def publish_outside(self, body: bytes, *, profile: str = "", strategy: str = "", description: str = "by hand") -> int:
        """Somebody else stores and deploys a version; its number."""
        kept = {**self.kept, **({"ConfigurationProfileId": profile} if profile else {})}
        added = self.client.create_hosted_configuration_version(**kept, Content=body, ContentType="application/json")
        number = int(added["VersionNumber"])
        self.deploy_outside(number, profile=profile, strategy=strategy, description=description)
        return number

    def deploy_outside(self, number: int, *, profile: str = "", strategy: str = "", description: str = "by hand") -> int:
        """Somebody else deploys a version; the deployment's number."""
        found = self.client.start_deployment(
            **self.where,
            DeploymentStrategyId=strategy or self.strategy("theirs", 0, 0),
            ConfigurationProfileId=profile or self.profile,
            ConfigurationVersion=str(number),
            Description=description,
        )
        return int(found["DeploymentNumber"])

    def strategy(self, name: str, minutes: int, bake: int, growth: float = 100.0) -> str:
        """A strategy of somebody else's; its id."""
        there = {one["Name"]: one["Id"] for one in self.client.list_deployment_strategies()["Items"]}
        if name in there:
            return str(there[name])
        made = self.client.create_deployment_strategy(
            Name=name, DeploymentDurationInMinutes=minutes, FinalBakeTimeInMinutes=bake, GrowthFactor=growth, ReplicateTo="NONE"
        )
        return str(made["Id"])

    def alarm(self, name: str, state: str = "OK") -> str:
        """An alarm of CloudWatch in that state; its ARN."""
        watch = self.servers.client("cloudwatch")
        watch.put_metric_alarm(
            AlarmName=name,
            MetricName="errors",
            Namespace="acme",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",
        )
        watch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
        return str(watch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["AlarmArn"])

    def monitor(self, *arns: str) -> None:
        """These alarms are the environment's monitors."""
        self.client.update_environment(**self.where, Monitors=[{"AlarmArn": arn} for arn in arns])


def place(servers: Servers, tmp: Path, validators: Sequence[Mapping[str, str]] = (), document: str = DOCUMENT) -> Place:
    """Make application, environment and profile."""
    client = servers.client("appconfig")
    application = client.create_application(Name=APPLICATION)["Id"]
    environment = client.create_environment(ApplicationId=application, Name=ENVIRONMENT)["Id"]
    profile = client.create_configuration_profile(
        ApplicationId=application, Name=document, LocationUri="hosted", Validators=list(validators)
    )["Id"]
    return Place(servers, tmp, client, application, environment, profile)


def wanted(number: int, body: bytes, document: str = DOCUMENT) -> Document:
    """These bytes as that version, for all clients."""
    return Document(document, number, digest_of(body), WHOLE)


def start(
    store: AppConfigStore, number: int, body: bytes, fence: int = 1, *, document: str = DOCUMENT, before: int | None = None, **order: Any
) -> None:
    """Order a version, which was made from `before`."""
    target = replace(wanted(number, body, document), before=before)
    step = Step("config", "StartDeployment", "publish", Phase.SHIFT, document=target)
    store.start(document, step, Order(fence, f"config:{document}@staging#1", {}, {target.digest: body}, **order))


def said(**values: Any) -> bytes:
    """A small document."""
    return json.dumps({"relevance": {"pl": values}}, indent=2).encode()
