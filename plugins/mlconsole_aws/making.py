"""SageMaker models and endpoint configs, made under names of what is in them: making one twice is making it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlconsole.core.models import ModelVersion
from mlconsole.core.releases import Variant
from mlconsole.plugin.errors import BackendError, InvalidRequest, NotFound, Refused
from mlconsole_aws import marks
from mlconsole_aws.clients import Clients
from mlconsole_aws.looking import Seen
from mlconsole_aws.machines import Machine, required
from mlconsole_aws.naming import made_name, model_digest
from mlconsole_aws.uploading import Uploads

NATIVE = "sagemaker://model/"
"""The location of a version that is a SageMaker model somebody else made: it can't change, so it is used as it is."""

_CARRIED = ("KmsKeyId", "ExplainerConfig", "ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation", "MetricsConfig")
"""What a new config takes from the one before it."""


@dataclass
class Made:
    """What one change created; taken away again where the change is refused."""

    models: list[str] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wish:
    """A variant that is to be brought up: what is known of it, and what it runs on."""

    variant: Variant
    version: ModelVersion
    machine: Machine


class Making:
    """CreateModel and CreateEndpointConfig."""

    def __init__(self, clients: Clients, uploads: Uploads, registry: str) -> None:
        self._clients, self._uploads, self._registry = clients, uploads, registry

    @property
    def _options(self) -> Mapping[str, Any]:
        return self._clients.section("sagemaker")

    def wish(self, variant: Variant, versions: Mapping[str, ModelVersion]) -> Wish:
        """What it takes to bring a variant up, looked at before anything is made.

        Raises:
            Refused: something is missing, or is not what was registered.
        """
        version = versions.get(variant.name)
        if version is None or version.artifact.digest != variant.digest:
            raise Refused(
                f"{variant.model}@{variant.version} is not registered, so nothing tells where its artifact is. Nothing was changed."
            )
        machine = required(self._options, variant.model, variant.version)
        native = version.artifact.location.removeprefix(NATIVE)
        if native != version.artifact.location:
            self._native(native, variant)
            return Wish(variant, version, machine)
        for what, value in (("image", machine.image), ("role", self._options.get("role"))):
            if not value:
                raise Refused(
                    f"Nobody said with which {what} {version.name} runs. Nothing was changed.",
                    next=f"Say {what}: under options → aws → sagemaker.",
                )
        self._uploads.check(version, self._options)
        return Wish(variant, version, machine)

    def model(self, endpoint: str, wish: Wish, release: str, made: Made) -> str:
        """The SageMaker model of a variant, created if it is not there."""
        location = wish.version.artifact.location
        if location.startswith(NATIVE):
            return location.removeprefix(NATIVE)
        variant, options = wish.variant, self._options
        environment = {
            **wish.machine.environment,
            marks.MODEL_DIGEST: variant.digest,
            marks.MODEL_NAME: variant.model,
            marks.MODEL_VERSION: variant.version,
        }
        body: dict[str, Any] = {
            "PrimaryContainer": {
                "Image": wish.machine.image,
                "ModelDataUrl": self._uploads.data(wish.version, options),
                "Environment": environment,
            },
            "ExecutionRoleArn": str(options["role"]),
        }
        if options.get("subnets") and options.get("security_groups"):
            body["VpcConfig"] = {"Subnets": list(options["subnets"]), "SecurityGroupIds": list(options["security_groups"])}
        name = made_name(endpoint, f"{variant.model}-{variant.version}", body)
        tags = {**self._tags(endpoint, release), marks.DIGEST: variant.digest}
        if self._create("create_model", ModelName=name, Tags=marks.as_tags(tags), **body):
            made.models.append(name)
        return name

    def config(self, endpoint: str, body: Mapping[str, Any], release: str, current: str, made: Made) -> str:
        """The endpoint config of that content, created if it is not there. Where the endpoint has that content already and is to be brought
        up anew, it is made once more for this release."""
        names = "-".join(str(one["VariantName"]) for one in body["ProductionVariants"])
        name = made_name(endpoint, names, dict(body))
        if name == current:
            name = made_name(endpoint, names, {**body, "again": release})
        if self._create("create_endpoint_config", EndpointConfigName=name, Tags=marks.as_tags(self._tags(endpoint, release)), **body):
            made.configs.append(name)
        return name

    def undo(self, made: Made) -> None:
        """Take away what was created for a change that was refused. What can't be taken away now is found by its tags later."""
        for operation, key, names in (
            ("delete_endpoint_config", "EndpointConfigName", made.configs),
            ("delete_model", "ModelName", made.models),
        ):
            for name in names:
                try:
                    self._clients.call("sagemaker", operation, change=True, **{key: name})
                except BackendError:
                    continue

    def _native(self, name: str, variant: Variant) -> None:
        try:
            described = self._clients.call("sagemaker", "describe_model", ModelName=name)
        except NotFound as error:
            raise Refused(
                f"The SageMaker model {name} that {variant.model}@{variant.version} is has been deleted. Nothing was changed.",
                next="Register its artifact as a version of its own.",
            ) from error
        if model_digest(described) != variant.digest:
            raise Refused(
                f"ALARM: the SageMaker model {name} is another one than was registered as {variant.model}@{variant.version}. "
                "Nothing was changed.",
                next="Somebody deleted it and made a new one of the same name: register that as a new version.",
            )

    def _create(self, operation: str, **parameters: Any) -> bool:
        """Whether it was created; one that is there already, under a name made of its content, is the same."""
        try:
            self._clients.call("sagemaker", operation, change=True, **parameters)
        except InvalidRequest as error:
            if "already exist" in error.message:
                return False
            raise Refused(f"{error.message} Nothing was changed.") from error
        return True

    def _tags(self, endpoint: str, release: str) -> dict[str, str]:
        return {marks.REGISTRY: self._registry, marks.ENDPOINT: endpoint, marks.RELEASE: release}


def config_body(
    seen: Seen | None,
    kept: Sequence[str],
    new: Sequence[tuple[str, str, Machine]],
    weights: Mapping[str, float],
    shadow: tuple[str, float] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of a config: variants that stay as they are declared and run now, and new ones.

    Args:
        kept: those of the present config that stay.
        new: variant, SageMaker model, machine.
        weights: of production variants; one that is not named has none.
        shadow: who gets copies, and its weight.
    """
    before = seen.config if seen is not None else {}
    running = {str(one["VariantName"]): one for key in _KINDS for one in (seen.endpoint.get(key) or () if seen is not None else ())}
    entries: dict[str, dict[str, Any]] = {}
    for key in _KINDS:
        for one in before.get(key) or ():
            name = str(one["VariantName"])
            if name in kept:
                count = (running.get(name) or {}).get("DesiredInstanceCount")
                entries[name] = {**one, **({"InitialInstanceCount": count} if count and "InitialInstanceCount" in one else {})}
    for name, model, machine in new:
        entries[name] = {
            "VariantName": name,
            "ModelName": model,
            "InstanceType": machine.instance_type,
            "InitialInstanceCount": machine.instance_count,
        }
    copies = {} if shadow is None else {shadow[0]: {**entries.pop(shadow[0]), "InitialVariantWeight": shadow[1]}}
    body: dict[str, Any] = {
        "ProductionVariants": [{**one, "InitialVariantWeight": float(weights.get(name, 0.0))} for name, one in entries.items()]
    }
    if copies:
        body["ShadowProductionVariants"] = list(copies.values())
    body.update({key: before[key] for key in _CARRIED if before.get(key)})
    if not before and options.get("kms_key"):
        body["KmsKeyId"] = str(options["kms_key"])
    capture = _capture(options) or before.get("DataCaptureConfig")
    if capture:
        body["DataCaptureConfig"] = capture
    return body


_KINDS = ("ProductionVariants", "ShadowProductionVariants")


def _capture(options: Mapping[str, Any]) -> dict[str, Any] | None:
    if not options.get("capture"):
        return None
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": int(options.get("capture_percent", 100)),
        "DestinationS3Uri": str(options["capture"]).rstrip("/"),
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        # Else they are written as Base64, half as large again.
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"]},
    }
