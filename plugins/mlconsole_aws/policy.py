"""The least IAM policy for what an environment's roles do: derived from one table of all operations that any of them calls.

A test sees that no operation is called that is not in the table, and none is in it that nobody calls.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mlconsole.core.models import Json
from mlconsole.plugin.errors import BackendError
from mlconsole.plugin.roles import Context
from mlconsole_aws import marks
from mlconsole_aws.clients import clients_of
from mlconsole_aws.naming import Names
from mlconsole_aws.profiles import Places

OURS, NOT_THEIRS, NEW, PASSED, GRANTED, CAPTURED = "ours", "not theirs", "new", "passed", "granted", "captured"
"""Conditions: made by this registry; tagged by no other one; tagged as ours when it is made; handed to SageMaker; used by AWS itself; below
the prefix of captured data."""


@dataclass(frozen=True)
class Need:
    """What one operation needs: actions, on which kinds of resources, under which condition, and for which roles."""

    actions: str
    """One, or several with a space between; empty: everybody may."""
    on: str
    roles: str
    condition: str = ""


_EVERYWHERE = "serving config predictions metrics alarms catalog"

OPERATIONS: Mapping[str, Need] = {
    "sts:get_caller_identity": Need("", "all", _EVERYWHERE),
    "cloudtrail:lookup_events": Need("cloudtrail:LookupEvents", "all", "serving config"),
    # Endpoints.
    "sagemaker:list_endpoints": Need("sagemaker:ListEndpoints", "all", "serving discovery"),
    "sagemaker:describe_endpoint": Need("sagemaker:DescribeEndpoint", "serving", "serving predictions metrics alarms discovery"),
    "sagemaker:describe_endpoint_config": Need("sagemaker:DescribeEndpointConfig", "serving", "serving metrics alarms discovery"),
    "sagemaker:describe_model": Need("sagemaker:DescribeModel", "serving", "serving metrics alarms discovery"),
    "sagemaker:list_endpoint_configs": Need("sagemaker:ListEndpointConfigs", "all", "serving"),
    "sagemaker:list_models": Need("sagemaker:ListModels", "all", "serving"),
    "sagemaker:list_tags": Need("sagemaker:ListTags", "serving", "serving discovery"),
    "sagemaker:add_tags": Need("sagemaker:AddTags", "serving", "serving", NOT_THEIRS),
    "sagemaker:create_model": Need("sagemaker:CreateModel", "endpoint-config model", "serving", NEW),
    "sagemaker:create_endpoint_config": Need("sagemaker:CreateEndpointConfig", "endpoint-config model", "serving", NEW),
    "sagemaker:create_endpoint": Need("sagemaker:CreateEndpoint", "serving", "serving", NOT_THEIRS),
    "sagemaker:update_endpoint": Need("sagemaker:UpdateEndpoint", "serving", "serving", NOT_THEIRS),
    "sagemaker:update_endpoint_weights_and_capacities": Need(
        "sagemaker:UpdateEndpointWeightsAndCapacities", "serving", "serving", NOT_THEIRS
    ),
    "sagemaker:delete_endpoint": Need("sagemaker:DeleteEndpoint", "serving", "serving", NOT_THEIRS),
    "sagemaker:delete_endpoint_config": Need("sagemaker:DeleteEndpointConfig", "endpoint-config model", "serving", OURS),
    "sagemaker:delete_model": Need("sagemaker:DeleteModel", "endpoint-config model", "serving", OURS),
    "sagemaker-runtime:invoke_endpoint": Need("sagemaker:InvokeEndpoint", "endpoint", "serving"),
    "application-autoscaling:describe_scalable_targets": Need("application-autoscaling:DescribeScalableTargets", "all", "serving"),
    "logs:describe_log_streams": Need("logs:DescribeLogStreams", "log", "serving"),
    "logs:get_log_events": Need("logs:GetLogEvents", "log", "serving"),
    # Artifacts and captured data.
    "s3:head_object": Need("s3:GetObject s3:ListBucket", "artifact artifact-bucket", "serving catalog discovery"),
    "s3:upload_fileobj": Need("s3:PutObject s3:AbortMultipartUpload", "put", "serving"),
    "s3:list_objects_v2": Need("s3:ListBucket", "capture-bucket", "predictions", CAPTURED),
    "s3:get_object": Need("s3:GetObject", "capture", "predictions catalog"),
    # Documents.
    "appconfig:list_applications": Need("appconfig:ListApplications", "all", "config serving discovery"),
    "appconfig:list_environments": Need("appconfig:ListEnvironments", "inside", "config serving discovery"),
    "appconfig:list_configuration_profiles": Need("appconfig:ListConfigurationProfiles", "inside", "config serving discovery"),
    "appconfig:get_configuration_profile": Need("appconfig:GetConfigurationProfile", "inside", "config"),
    "appconfig:get_environment": Need("appconfig:GetEnvironment", "inside", "config"),
    "appconfig:list_hosted_configuration_versions": Need("appconfig:ListHostedConfigurationVersions", "inside", "config"),
    "appconfig:get_hosted_configuration_version": Need("appconfig:GetHostedConfigurationVersion", "inside", "config discovery"),
    "appconfig:create_hosted_configuration_version": Need("appconfig:CreateHostedConfigurationVersion", "profile", "config"),
    "appconfig:list_deployment_strategies": Need("appconfig:ListDeploymentStrategies", "all", "config"),
    "appconfig:create_deployment_strategy": Need("appconfig:CreateDeploymentStrategy", "strategy", "config"),
    "appconfig:list_deployments": Need("appconfig:ListDeployments", "inside", "config discovery"),
    "appconfig:get_deployment": Need("appconfig:GetDeployment", "inside", "config discovery"),
    "appconfig:start_deployment": Need("appconfig:StartDeployment", "application environment profile deployment strategy", "config"),
    "appconfig:stop_deployment": Need("appconfig:StopDeployment", "deployment environment", "config"),
    "appconfig:tag_resource": Need("appconfig:TagResource", "deployment", "config"),
    "appconfig:list_tags_for_resource": Need("appconfig:ListTagsForResource", "deployment", "config"),
    # Figures and alarms.
    "cloudwatch:get_metric_data": Need("cloudwatch:GetMetricData", "all", "metrics"),
    "cloudwatch:list_metrics": Need("cloudwatch:ListMetrics", "all", "metrics"),
    "cloudwatch:describe_alarms": Need("cloudwatch:DescribeAlarms", "alarm", "config alarms discovery"),
    "cloudwatch:put_metric_alarm": Need("cloudwatch:PutMetricAlarm", "our-alarm", "alarms"),
    "cloudwatch:set_alarm_state": Need("cloudwatch:SetAlarmState", "our-alarm named-alarm", "alarms"),
    # The model registry.
    "sagemaker:list_model_package_groups": Need("sagemaker:ListModelPackageGroups", "all", "catalog"),
    "sagemaker:list_model_packages": Need("sagemaker:ListModelPackages", "all", "catalog"),
    "sagemaker:describe_model_package": Need("sagemaker:DescribeModelPackage", "model-package", "catalog"),
    "sagemaker:update_model_package": Need("sagemaker:UpdateModelPackage", "own-model-package", "catalog"),
    "sagemaker:describe_training_job": Need("sagemaker:DescribeTrainingJob", "training-job", "catalog"),
}
"""`service:operation` as boto3 calls it → what it needs. What belongs together is one: a managed policy holds 6144 characters."""

_PASSES_ROLE = Need("iam:PassRole", "role", "serving", PASSED)
_GRANTS_KEY = Need("kms:CreateGrant kms:DescribeKey", "key", "serving", GRANTED)
"""What nobody calls, and CreateModel and CreateEndpointConfig want all the same."""

_READS_PACKAGES = Need("s3:GetObject s3:ListBucket", "packaged packaged-bucket", "catalog")
"""The same calls as above, for what packages name: where that lies only mlconsole.yaml can say (`registry: buckets:`)."""


def policy(context: Context, roles: Collection[str]) -> Json:
    """The policy document for these roles of an environment. What mlconsole.yaml names is named in it; ids that it does not say are looked
    up where these credentials may, and are `*` else.
    """
    places = _Resources(context)
    allowed: dict[tuple[tuple[str, ...], str], set[str]] = defaultdict(set)
    for need in (*OPERATIONS.values(), _PASSES_ROLE, _GRANTS_KEY, _READS_PACKAGES):
        if set(need.roles.split()) & set(roles) and need.actions:
            resources = tuple(sorted({one for kind in need.on.split() for one in places.of(kind)}))
            if resources:
                allowed[resources, need.condition] |= set(need.actions.split())
    statements: list[Json] = []
    for (resources, condition), actions in sorted(allowed.items(), key=lambda one: (sorted(one[1]), one[0])):
        statement: dict[str, Json] = {
            "Sid": f"mlconsole{len(statements) + 1}",
            "Effect": "Allow",
            "Action": [*sorted(actions)],
            "Resource": list(resources),
        }
        if condition:
            statement["Condition"] = places.condition(condition)
        statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


class _Resources:
    """ARNs of one environment's resources."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clients = clients_of(context)
        self._sagemaker: Mapping[str, Any] = self._clients.section("sagemaker")
        region = self._clients.region
        self._partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        self._application = self._environment = ""

    def of(self, kind: str) -> list[str]:
        """Of a kind; none where the options name none."""
        if kind == "all":
            return ["*"]
        if kind == "inside":  # of an application, all may be read
            return [self._arn("appconfig", self._config("application")), self._arn("appconfig", f"{self._config('application')}/*")]
        if kind in ("application", "environment", "profile", "deployment", "strategy"):
            return [self._arn("appconfig", self._config(kind))]
        if kind == "serving":  # an endpoint, and what it is made of
            return [one for each in ("endpoint", "endpoint-config", "model") for one in self.of(each)]
        if kind == "endpoint":
            names = Names.of(self._sagemaker, by_name=self._context.by_name)
            adopted = [name for variants in names.adopted.values() for name in variants.values()]
            # ARNs have these names in lower case.
            found = {re.sub(r"\{\w+\}", "*", names.text).lower(), *(name.lower() for name in adopted)}
            return [self._arn("sagemaker", f"endpoint/{name}") for name in sorted(found)]
        if kind in ("endpoint-config", "model", "training-job"):
            return [self._arn("sagemaker", f"{kind}/*")]
        if kind in ("model-package", "own-model-package"):
            return [self._arn("sagemaker", "model-package/*"), *(self._shared_packages() if kind == "model-package" else ())]
        if kind == "log":
            return [self._arn("logs", "log-group:/aws/sagemaker/Endpoints/*")]
        if kind == "alarm":
            return [self._arn("cloudwatch", "alarm:*")]
        if kind == "our-alarm":
            from mlconsole_aws.alarms import CloudWatchAlarms

            return [self._arn("cloudwatch", f"alarm:{CloudWatchAlarms(self._context).prefix}*")]
        if kind == "named-alarm":
            return [self._arn("cloudwatch", f"alarm:{name}") for name in self._clients.section("cloudwatch").get("alarms") or ()]
        if kind == "role":
            role = self._sagemaker.get("role")
            return [str(role)] if role else []
        if kind == "key":
            key = str(self._sagemaker.get("kms_key") or "")
            if not key:
                return []
            return [key if key.startswith("arn:") else self._arn("kms", "key/*" if key.startswith("alias/") else f"key/{key}")]
        return self._stored(kind)

    def condition(self, name: str) -> Json:
        """A condition in IAM's words."""
        registry = marks.registry_of(self._context)
        conditions: dict[str, Json] = {
            OURS: {"StringEquals": {f"aws:ResourceTag/{marks.REGISTRY}": registry}},
            NOT_THEIRS: {"StringEqualsIfExists": {f"aws:ResourceTag/{marks.REGISTRY}": registry}},
            NEW: {"StringEquals": {f"aws:RequestTag/{marks.REGISTRY}": registry}},
            PASSED: {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            GRANTED: {"Bool": {"kms:GrantIsForAWSResource": "true"}},
            CAPTURED: {"StringLike": {"s3:prefix": [f"{prefix}*" for _, prefix in self._captured()]}},
        }
        return conditions[name]

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self._partition}:{service}:{self._clients.region}:{self._clients.account}:{resource}"

    def _stored(self, kind: str) -> list[str]:
        s3 = f"arn:{self._partition}:s3:::"
        bucket, _, inside = str(self._sagemaker.get("bucket") or "").removeprefix("s3://").strip("/").partition("/")
        prefix = "/".join(part for part in (inside, str(self._sagemaker.get("prefix", "mlconsole")).strip("/")) if part)
        if kind in ("put", "artifact") and bucket:
            return [f"{s3}{bucket}/{prefix}/*"]
        if kind == "artifact-bucket" and bucket:
            return [f"{s3}{bucket}"]
        if kind == "capture-bucket":
            return [f"{s3}{name}" for name, _ in self._captured()]
        if kind == "capture":
            return [f"{s3}{name}/{inside}*" for name, inside in self._captured()]
        packaged = [str(name).removeprefix("s3://").strip("/") for name in self._clients.section("registry").get("buckets") or ()]
        if kind == "packaged":
            return [f"{s3}{name}/*" for name in packaged]
        return [f"{s3}{name.partition('/')[0]}" for name in packaged] if kind == "packaged-bucket" else []

    def _shared_packages(self) -> list[str]:
        """Packages of groups that another account shares, which are named by their ARN."""
        groups = [str(group) for group in (self._clients.section("registry").get("groups") or {}).values()]
        return [f"{group.replace(':model-package-group/', ':model-package/', 1)}/*" for group in groups if group.startswith("arn:")]

    def _captured(self) -> list[tuple[str, str]]:
        place = str(self._sagemaker.get("capture") or "").removeprefix("s3://").strip("/")
        bucket, _, prefix = place.partition("/")
        return [(bucket, f"{prefix}/" if prefix else "")] if bucket else []

    def _config(self, kind: str) -> str:
        if kind == "strategy":
            return "deploymentstrategy/*"
        if not self._application:
            self._application, self._environment = self._looked_up()
        inside = {
            "application": "",
            "environment": f"/environment/{self._environment}",
            "deployment": f"/environment/{self._environment}/deployment/*",
            "profile": "/configurationprofile/*",
        }
        return f"application/{self._application}{inside[kind]}"

    def _looked_up(self) -> tuple[str, str]:
        """The ids of application and environment; `*` where they can't be asked for."""
        if not self._clients.section("appconfig").get("application"):
            return "*", "*"
        places = Places(self._clients)
        try:
            return places.application(), places.environment()
        except BackendError:
            return "*", "*"
