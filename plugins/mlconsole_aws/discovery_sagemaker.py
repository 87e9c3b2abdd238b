"""SageMaker endpoints as somebody else made them: what they are, and what a new version would need to run beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mlconsole.core.models import Json
from mlconsole.core.traffic import percent
from mlconsole.plugin.errors import NotFound
from mlconsole_aws.clients import AT_ONCE, Clients
from mlconsole_aws.naming import containers

T = TypeVar("T")
_PACKAGE = re.compile(r":model-package/(?P<group>[^/]+)(/(?P<version>[0-9]+))?$")
_PROTECTED = frozenset({"production", "prod", "live"})
MACHINE = ("image", "instance_type", "instance_count")
"""What a variant needs to run, as the options call it."""
_ENDINGS = ("endpoint", "ep", "production", "prod", "live", "staging", "stage", "acceptance", "test", "development", "dev")


@dataclass(frozen=True)
class SeenVariant:
    """A production variant with the immutable SageMaker model behind it."""

    name: str
    weight: float
    model: str
    """The SageMaker model's name; empty where there is none."""
    group: str = ""
    package: str = ""
    """The package's version in that group."""
    data: str = ""
    """Where its artifact lies (`s3://…`)."""
    machine: Mapping[str, Json] = field(default_factory=dict)
    role: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    """The names of its container's environment variables; their values may be secrets."""


@dataclass(frozen=True)
class SeenEndpoint:
    """An endpoint; `read_only` says why it can't be changed from here."""

    name: str
    status: str
    variants: tuple[SeenVariant, ...]
    read_only: str = ""
    capture: str = ""
    capture_percent: int = 100
    kms_key: str = ""

    @property
    def told(self) -> str:
        """`blue 90 · green 10`."""
        total = sum(one.weight for one in self.variants)
        if len(self.variants) < 2 or not total:
            return " · ".join(one.name for one in self.variants)
        return " · ".join(f"{one.name} {percent(round(10_000 * one.weight / total))}" for one in self.variants)

    @property
    def model(self) -> str:
        """What a person calls the model: its package group, where all variants agree on one, else the endpoint's name without what it is
        for."""
        groups = {one.group for one in self.variants}
        if len(groups) == 1 and (group := groups.pop()):
            return group
        parts = self.name.split("-")
        while len(parts) > 1 and parts[-1].casefold() in _ENDINGS:
            parts.pop()
        return "-".join(parts)


def survey(clients: Clients) -> list[SeenEndpoint]:
    """All endpoints of the account and region, in the order of their names: a list, then each endpoint, config and model once."""
    names = sorted(str(one["EndpointName"]) for one in clients.pages("sagemaker", "list_endpoints", "Endpoints", MaxResults=100))
    endpoints = _each(names, lambda name: _asked(clients, "describe_endpoint", EndpointName=name))
    used = [str(one["EndpointConfigName"]) for one in endpoints.values()]
    configs = _each(used, lambda name: _asked(clients, "describe_endpoint_config", EndpointConfigName=name))
    models = _each(
        [str(one["ModelName"]) for config in configs.values() for one in config.get("ProductionVariants") or () if one.get("ModelName")],
        lambda name: _asked(clients, "describe_model", ModelName=name),
    )
    return [_endpoint(said, configs.get(str(said["EndpointConfigName"]), {}), models) for said in endpoints.values()]


def model_of(clients: Clients, endpoint: str, variant: str | None) -> tuple[str, Mapping[str, Any]] | None:
    """The SageMaker model behind a production variant (the only one, where none is named) and its description; None: there is none."""
    said = _asked(clients, "describe_endpoint", EndpointName=endpoint)
    config = _asked(clients, "describe_endpoint_config", EndpointConfigName=str(said["EndpointConfigName"])) if said else None
    variants = [*(config or {}).get("ProductionVariants", ()), *(config or {}).get("ShadowProductionVariants", ())]
    name = next((str(one.get("ModelName") or "") for one in variants if variant in (None, one["VariantName"])), "")
    found = _asked(clients, "describe_model", ModelName=name) if name else None
    return None if found is None else (name, found)


def package_of(model: Mapping[str, Any]) -> tuple[str, str]:
    """The package group and the version in it that a model was made from; empty where it was not."""
    for container in containers(model):
        if (found := _PACKAGE.search(str(container.get("ModelPackageName", "")))) is not None:
            return found["group"], found["version"] or ""
    return "", ""


def data_of(container: Mapping[str, Any]) -> str:
    """Where a container's artifact lies."""
    source = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
    return str(container.get("ModelDataUrl") or source.get("S3Uri") or "")


def is_protected(name: str) -> bool:
    """Whether a name says that it is where consumers are."""
    return bool(_PROTECTED & set(re.split(r"[^a-z]+", name.casefold())))


def needed(variants: Iterable[SeenVariant]) -> dict[str, Json]:
    """What new variants would need, as most of these have it: the options of `sagemaker`."""
    seen = list(variants)
    found: dict[str, Json] = {}
    buckets = [one.data.removeprefix("s3://").partition("/")[0] for one in seen if one.data.startswith("s3://")]
    for key, value in (
        ("role", usual(one.role for one in seen)),
        ("bucket", usual(buckets)),
        *((name, usual(one.machine.get(name) for one in seen)) for name in MACHINE),
    ):
        if value is not None:
            found[key] = value
    for key, several in (("subnets", [one.subnets for one in seen]), ("security_groups", [one.security_groups for one in seen])):
        if (chosen := usual(several)) is not None:
            found[key] = list(chosen)
    return found


def usual(values: Iterable[T]) -> T | None:
    """The value that most have; None where nobody has one."""
    counted = Counter(value for value in values if value)
    return counted.most_common(1)[0][0] if counted else None


def _each(names: Iterable[str], ask: Callable[[str], dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """Each name once, side by side; what is gone meanwhile is left out."""
    distinct = list(dict.fromkeys(names))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {name: said for name, said in zip(distinct, pool.map(ask, distinct), strict=True) if said is not None}


def _asked(clients: Clients, operation: str, **parameters: Any) -> dict[str, Any] | None:
    try:
        return clients.call("sagemaker", operation, **parameters)
    except NotFound:
        return None


def _endpoint(said: Mapping[str, Any], config: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> SeenEndpoint:
    weights = {one["VariantName"]: float(one.get("CurrentWeight") or 0) for one in said.get("ProductionVariants") or ()}
    declared = list(config.get("ProductionVariants") or ())
    capture = said.get("DataCaptureConfig") or config.get("DataCaptureConfig") or {}
    captures = capture.get("EnableCapture", capture.get("CaptureStatus") == "Started")
    return SeenEndpoint(
        str(said["EndpointName"]),
        str(said.get("EndpointStatus", "")),
        tuple(_variant(one, weights, models.get(str(one.get("ModelName", "")), {})) for one in declared),
        _read_only(said, config, [models.get(str(one.get("ModelName", "")), {}) for one in declared]),
        str(capture.get("DestinationS3Uri") or "") if captures else "",
        int(capture.get("CurrentSamplingPercentage") or capture.get("InitialSamplingPercentage") or 100),
        str(config.get("KmsKeyId") or ""),
    )


def _variant(declared: Mapping[str, Any], weights: Mapping[str, float], model: Mapping[str, Any]) -> SeenVariant:
    group, package = package_of(model)
    first: Mapping[str, Any] = next(iter(containers(model)), {})
    network = model.get("VpcConfig") or {}
    machine = {
        "image": first.get("Image"),
        "instance_type": declared.get("InstanceType"),
        "instance_count": declared.get("InitialInstanceCount"),
    }
    name = str(declared["VariantName"])
    return SeenVariant(
        name,
        weights.get(name, 0.0),
        str(declared.get("ModelName") or ""),
        group,
        package,
        data_of(first),
        {key: value for key, value in machine.items() if value},
        str(model.get("ExecutionRoleArn") or ""),
        tuple(network.get("Subnets") or ()),
        tuple(network.get("SecurityGroupIds") or ()),
        tuple(sorted(first.get("Environment") or ())),
    )


def _read_only(said: Mapping[str, Any], config: Mapping[str, Any], models: Iterable[Mapping[str, Any]]) -> str:
    declared = list(config.get("ProductionVariants") or ())
    if not declared:
        return "its endpoint config can't be read"
    if any(not one.get("ModelName") for one in declared):
        return "inference components"
    if any(one.get("ServerlessConfig") for one in declared):
        return "serverless"
    if config.get("AsyncInferenceConfig") or said.get("AsyncInferenceConfig"):
        return "asynchronous"
    if any(len(containers(model)) > 1 for model in models):
        return "several containers in a model"
    if any(container.get("Mode") == "MultiModel" for model in models for container in containers(model)):
        return "several models in a container"
    return ""
