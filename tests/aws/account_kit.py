"""An AWS account as somebody else set it up, by plain boto3, before mlconsole came; and how it is, by the `aws` command line."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws.parts import Servers, until

ROLE = "arn:aws:iam::123456789012:role/sagemaker-execution"
BUCKET = "acme-models"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/onnx-server:1.4"
SAMPLE = Path(__file__).parents[2] / "sample_workspace" / "models"


def archive(version: str, note: str) -> bytes:
    """A model.tar.gz of a version of the sample workspace, with a note in it, so that no two are the same."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as file:
        file.add(SAMPLE / version / "artifact", arcname=".")
        body = note.encode()
        about = tarfile.TarInfo("note.txt")
        about.size = len(body)
        file.addfile(about, io.BytesIO(body))
    return made.getvalue()


@dataclass(frozen=True)
class Account:
    """What somebody else made; every change goes round mlconsole."""

    servers: Servers
    made: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A plain client, made once."""
        if service not in self.made:
            self.made[service] = self.servers.client(service)
        return self.made[service]

    @property
    def sagemaker(self) -> Any:
        """A plain client."""
        return self.client("sagemaker")

    def bucket(self) -> None:
        """Where artifacts lie."""
        s3 = self.client("s3")
        if BUCKET not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": self.servers.region})

    def model(
        self, name: str, *, of: str = "delay-risk/v1", group: str = "", variables: Mapping[str, str] | None = None, **container: Any
    ) -> str:
        """A SageMaker model with an artifact in S3: of a version of the sample workspace (`relevance/v3`), or of a note."""
        self.bucket()
        key = f"models/{name}/model.tar.gz"
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=archive(of, name))
        inside = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key}", "Environment": dict(variables or {}), **container}
        if group:
            inside = {"ModelPackageName": self.package(group, inside)}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=inside, ExecutionRoleArn=ROLE)
        return name

    def package(self, group: str, container: Mapping[str, Any]) -> str:
        """A package in a group of the model registry."""
        if group not in [
            one["ModelPackageGroupName"] for one in self.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
        ]:
            self.sagemaker.create_model_package_group(ModelPackageGroupName=group)
        said = {"Image": container["Image"], "ModelDataUrl": container["ModelDataUrl"]}
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus="Approved",
            InferenceSpecification={"Containers": [said], "SupportedContentTypes": ["application/json"], "SupportedResponseMIMETypes": []},
        )
        return str(made["ModelPackageArn"])

    def endpoint(self, name: str, variants: Mapping[str, tuple[str, float]], *, machine: str = "ml.m5.large", **config: Any) -> None:
        """An endpoint with its variants: name → SageMaker model and weight."""
        declared = [
            {"VariantName": variant, "ModelName": model, "InitialVariantWeight": weight, "InstanceType": machine, "InitialInstanceCount": 1}
            for variant, (model, weight) in variants.items()
        ]
        self.sagemaker.create_endpoint_config(EndpointConfigName=f"{name}-config", ProductionVariants=declared, **config)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")

    def serverless(self, name: str) -> None:
        """One without instances."""
        self.model(f"{name}-model")
        said = {
            "VariantName": "AllTraffic",
            "ModelName": f"{name}-model",
            "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=f"{name}-config", ProductionVariants=[said])
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")

    def settled(self) -> None:
        """Wait until nothing changes anywhere."""
        until(lambda: {one["EndpointStatus"] for one in self.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]} == {"InService"}, 60.0)

    def document(
        self, application: str, environment: str, profile: str, body: bytes, kind: str = "application/json"
    ) -> tuple[str, str, str]:
        """A hosted profile whose first version is deployed; the ids of application, environment and profile."""
        client = self.client("appconfig")
        apps = {one["Name"]: one["Id"] for one in client.list_applications()["Items"]}
        app = apps.get(application) or client.create_application(Name=application)["Id"]
        places = {one["Name"]: one["Id"] for one in client.list_environments(ApplicationId=app)["Items"]}
        place = places.get(environment) or client.create_environment(ApplicationId=app, Name=environment)["Id"]
        profiles = {one["Name"]: one["Id"] for one in client.list_configuration_profiles(ApplicationId=app)["Items"]}
        made = (
            profiles.get(profile)
            or client.create_configuration_profile(ApplicationId=app, Name=profile, LocationUri="hosted", Type="AWS.Freeform")["Id"]
        )
        version = client.create_hosted_configuration_version(
            ApplicationId=app, ConfigurationProfileId=made, Content=body, ContentType=kind
        )["VersionNumber"]
        strategies = {one["Name"]: one["Id"] for one in client.list_deployment_strategies()["Items"]}
        strategy = (
            strategies.get("at-once")
            or client.create_deployment_strategy(
                Name="at-once", DeploymentDurationInMinutes=0, GrowthFactor=100.0, FinalBakeTimeInMinutes=0, ReplicateTo="NONE"
            )["Id"]
        )
        client.start_deployment(
            ApplicationId=app,
            EnvironmentId=place,
            ConfigurationProfileId=made,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=strategy,
        )
        until(lambda: client.list_deployments(ApplicationId=app, EnvironmentId=place)["Items"][0]["State"] == "COMPLETE", 30.0)
        return app, place, made

    # How it is, by the `aws` command line: what a stranger sees.

    def seen(self, names: Sequence[str]) -> dict[str, Any]:
        """Of each endpoint: its status, its variants with their weights and counts, and which models are behind them."""
        found = {}
        for name in names:
            said = self.servers.aws("sagemaker", "describe-endpoint", "--endpoint-name", name)
            config = self.servers.aws("sagemaker", "describe-endpoint-config", "--endpoint-config-name", said["EndpointConfigName"])
            models = {one["VariantName"]: one["ModelName"] for one in config["ProductionVariants"]}
            found[name] = {
                "status": said["EndpointStatus"],
                "variants": {
                    one["VariantName"]: (models[one["VariantName"]], one.get("CurrentWeight"), one.get("CurrentInstanceCount"))
                    for one in said["ProductionVariants"]
                },
            }
        return found

    def everything(self) -> set[str]:
        """The names of all endpoints, endpoint configs and models: what a change left behind is among them."""
        found = set()
        for what, key, name in (
            ("list-endpoints", "Endpoints", "EndpointName"),
            ("list-endpoint-configs", "EndpointConfigs", "EndpointConfigName"),
            ("list-models", "Models", "ModelName"),
        ):
            found |= {f"{key}/{one[name]}" for one in self.servers.aws("sagemaker", what)[key]}
        return found

    def read(self, application: str, environment: str, profile: str) -> bytes:
        """What an application gets that asks now for the first time."""
        data = self.client("appconfigdata")
        token = data.start_configuration_session(
            ApplicationIdentifier=application, EnvironmentIdentifier=environment, ConfigurationProfileIdentifier=profile
        )["InitialConfigurationToken"]
        found: bytes = data.get_latest_configuration(ConfigurationToken=token)["Configuration"].read()
        return found


DOCUMENT = {
    "relevance": {
        language: {"split": {"v3": 80, "v4": 20}, "threshold": threshold}
        for language, threshold in (("en", 0.5), ("de", 0.45), ("pl", 0.55))
    },
    "delay-risk": {language: {"split": {"v1": 100, "v2": 0}, "threshold": 0.3} for language in ("en", "de")},
}


def by_name(servers: Servers, body: Mapping[str, Any] = DOCUMENT) -> tuple[Account, bytes]:
    """Nine endpoints, five of which a document of AppConfig splits requests between; the document's bytes, in somebody's own formatting."""
    account = Account(servers)
    for name, of, package in (
        ("relevance-v3", "relevance/v3", ""),
        ("relevance-v4", "relevance/v4", ""),
        ("delay-risk-v1", "delay-risk/v1", ""),
        ("delay-risk-v2", "delay-risk/v2", ""),
    ):
        account.model(name, of=of, group=package, variables={"WORKERS": "2", "API_TOKEN": "tok-s3cr3t"})
        account.endpoint(name, {"AllTraffic": (name, 1.0)})
    rest(account)
    text = json.dumps(body, indent=3).replace('"threshold": 0.5,', '"threshold":  0.5,') + "\n\n"
    account.document("acme", "production", "models", text.encode())
    account.document("acme", "production", "banner", b'{"text": "hello", "colour": "red"}')
    account.settled()
    return account, text.encode()


def rest(account: Account) -> None:
    """Five that SageMaker itself serves whole: shared, single, of the registry, and two that can only be looked at."""
    account.model("eta-2024")
    account.model("eta-2025")
    account.endpoint("eta", {"blue": ("eta-2024", 9.0), "green": ("eta-2025", 1.0)}, machine="ml.c5.xlarge")
    account.model("fraud-old")
    account.endpoint("fraud-prod", {"AllTraffic": ("fraud-old", 1.0)})
    account.model("churn-1", group="churn-group")
    account.endpoint("churn", {"AllTraffic": ("churn-1", 1.0)})
    account.serverless("ocr-serverless")
    said = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    account.sagemaker.create_endpoint_config(EndpointConfigName="parts-config", ProductionVariants=[said], ExecutionRoleArn=ROLE)
    account.sagemaker.create_endpoint(EndpointName="parts", EndpointConfigName="parts-config")
