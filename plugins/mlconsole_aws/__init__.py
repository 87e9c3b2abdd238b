"""SageMaker, AppConfig, CloudWatch, S3 data capture and the model registry: the same console on AWS.

Importing this package imports no boto3: factories do, when they are called.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mlconsole.plugin import Context, Plugin
from mlconsole_aws.options import OPTIONS


def _serving(context: Context) -> Any:
    from mlconsole_aws.serving import SageMakerServing

    return SageMakerServing(context)


def _config(context: Context) -> Any:
    from mlconsole_aws.configstore import AppConfigStore

    return AppConfigStore(context)


def _predictions(context: Context) -> Any:
    from mlconsole_aws.capture import CapturedPredictions

    return CapturedPredictions(context)


def _metrics(context: Context) -> Any:
    from mlconsole_aws.metrics import CloudWatchMetrics

    return CloudWatchMetrics(context)


def _alarms(context: Context) -> Any:
    from mlconsole_aws.alarms import CloudWatchAlarms

    return CloudWatchAlarms(context)


def _catalog(context: Context) -> Any:
    from mlconsole_aws.catalog import ModelRegistry

    return ModelRegistry(context)


def _authors(context: Context) -> Any:
    from mlconsole_aws.authors import CloudTrailAuthors

    return CloudTrailAuthors(context)


def _account(context: Context) -> Any:
    from mlconsole_aws.account import AwsAccount

    return AwsAccount(context)


def _policy(context: Context, roles: Collection[str]) -> Any:
    from mlconsole_aws.policy import policy

    return policy(context, roles)


def _discovery(context: Context) -> Any:
    from mlconsole_aws.discovery import AwsDiscovery

    return AwsDiscovery(context)


plugin = Plugin(
    name="aws",
    version="0.1.0",
    summary="SageMaker endpoints, AppConfig documents, CloudWatch metrics and alarms.",
    factories={
        "serving": _serving,
        "config": _config,
        "predictions": _predictions,
        "metrics": _metrics,
        "alarms": _alarms,
        "catalog": _catalog,
        "authors": _authors,
        "account": _account,
        "discovery": _discovery,
    },
    options=OPTIONS,
    policy=_policy,
)
