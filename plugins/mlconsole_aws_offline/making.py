"""Models and endpoint configs: made once, never changed, and what the real service refuses about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlconsole_aws_offline.records import Json, Record
from mlconsole_aws_offline.replies import AwsError
from mlconsole_aws_offline.state import State, moment, page, tags_of


class Making:
    """The operations on them."""

    def __init__(self, state: State, has_data: Callable[[str], bool]) -> None:
        """`has_data`: whether something lies at an s3:// address."""
        self._state = state
        self._has_data = has_data

    def create_model(self, body: Json) -> Json:
        """CreateModel."""
        name, arn = body["ModelName"], self._state.arn("model", body["ModelName"])
        if name in self._state.models:
            raise AwsError("ValidationException", f'Cannot create already existing model "{arn}".')
        containers = [*([body["PrimaryContainer"]] if body.get("PrimaryContainer") else []), *(body.get("Containers") or ())]
        if not containers or (body.get("PrimaryContainer") and body.get("Containers")):
            raise AwsError("ValidationException", "Exactly one of PrimaryContainer and Containers must be given.")
        if not body.get("ExecutionRoleArn"):
            raise AwsError("ValidationException", "ExecutionRoleArn is missing.")
        for container in containers:
            self._check(container, body["ExecutionRoleArn"])
        self._state.models[name] = Record(name, arn, _without_tags(body), self._state.now(), tags_of(body))
        return {"ModelArn": arn}

    def _check(self, container: Json, role: str) -> None:
        if not container.get("Image") and not container.get("ModelPackageName"):
            raise AwsError("ValidationException", "Container Image or ModelPackageName is missing.")
        source = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
        for data in (container.get("ModelDataUrl"), source.get("S3Uri")):
            if data and self._state.settings.check_data and not self._has_data(data):
                raise AwsError(
                    "ValidationException",
                    f'Could not access model data at {data}. Please ensure that the role "{role}" exists and that its trust relationship '
                    f'policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". Also ensure that the '
                    f'role has "s3:GetObject" permissions and that the object is located in {self._state.region}.',
                )

    def describe_model(self, body: Json) -> Json:
        """DescribeModel."""
        record = self.model(body["ModelName"])
        return {"EnableNetworkIsolation": False, **record.body, "ModelArn": record.arn, "CreationTime": moment(record.created)}

    def delete_model(self, body: Json) -> Json:
        """DeleteModel: an endpoint that runs with it goes on."""
        del self._state.models[self.model(body["ModelName"]).name]
        return {}

    def list_models(self, body: Json) -> Json:
        """ListModels."""
        return page(body, list(self._state.models.values()), "Models", lambda one: _summary("Model", one))

    def create_config(self, body: Json) -> Json:
        """CreateEndpointConfig."""
        name, arn = body["EndpointConfigName"], self._state.arn("endpoint-config", body["EndpointConfigName"])
        if name in self._state.configs:
            raise AwsError("ValidationException", f'Cannot create already existing endpoint configuration "{arn}".')
        production, shadow = body["ProductionVariants"], body.get("ShadowProductionVariants") or []
        names = [one["VariantName"] for one in (*production, *shadow)]
        if len(set(names)) != len(names):
            raise AwsError("ValidationException", "Variant names must be unique within an endpoint configuration.")
        for one in (*production, *shadow):
            self._check_variant(one, body)
        if shadow:
            _check_shadow(production, shadow, body)
        if not shadow and sum(float(one.get("InitialVariantWeight", 1.0)) for one in production) <= 0 and production[0].get("ModelName"):
            raise AwsError("ValidationException", "The sum of the initial weights of all variants must be greater than zero.")
        filled = {**_without_tags(body), "ProductionVariants": [_filled(one) for one in production]}
        if shadow:
            filled["ShadowProductionVariants"] = [_filled(one) for one in shadow]
        self._state.configs[name] = Record(name, arn, filled, self._state.now(), tags_of(body))
        return {"EndpointConfigArn": arn}

    def _check_variant(self, one: Json, body: Json) -> None:
        if one.get("ModelName"):
            self.model(one["ModelName"])
        elif not body.get("ExecutionRoleArn"):
            raise AwsError("ValidationException", "ExecutionRoleArn is required for variants without a model (inference components).")
        if ("ServerlessConfig" in one) == ("InstanceType" in one or "InstancePools" in one):
            raise AwsError("ValidationException", f"Variant {one['VariantName']} needs either an InstanceType or a ServerlessConfig.")
        if "InstanceType" in one and "InitialInstanceCount" not in one:
            raise AwsError("ValidationException", f"Variant {one['VariantName']} needs an InitialInstanceCount.")

    def describe_config(self, body: Json) -> Json:
        """DescribeEndpointConfig."""
        record = self.config(body["EndpointConfigName"])
        return {"EnableNetworkIsolation": False, **record.body, "EndpointConfigArn": record.arn, "CreationTime": moment(record.created)}

    def delete_config(self, body: Json) -> Json:
        """DeleteEndpointConfig: not refused while an endpoint uses it, as the documentation warns."""
        del self._state.configs[self.config(body["EndpointConfigName"]).name]
        return {}

    def list_configs(self, body: Json) -> Json:
        """ListEndpointConfigs."""
        return page(body, list(self._state.configs.values()), "EndpointConfigs", lambda one: _summary("EndpointConfig", one))

    def model(self, name: str) -> Record:
        """A model.

        Raises:
            AwsError: there is none.
        """
        found = self._state.models.get(name)
        if found is None:
            raise AwsError("ValidationException", f'Could not find model "{self._state.arn("model", name)}".')
        return found

    def config(self, name: str) -> Record:
        """An endpoint config.

        Raises:
            AwsError: there is none.
        """
        found = self._state.configs.get(name)
        if found is None:
            raise AwsError("ValidationException", f'Could not find endpoint configuration "{self._state.arn("endpoint-config", name)}".')
        return found


def _check_shadow(production: list[Json], shadow: list[Json], body: Json) -> None:
    if len(production) != 1 or len(shadow) != 1:
        raise AwsError("ValidationException", "Shadow variants need exactly one production variant and one shadow variant.")
    if body.get("AsyncInferenceConfig") or any("ServerlessConfig" in one or not one.get("ModelName") for one in (*production, *shadow)):
        raise AwsError("ValidationException", "Shadow variants are not supported for serverless, asynchronous or multi-model endpoints.")


def _filled(variant: Json) -> Json:
    return {"InitialVariantWeight": 1.0, **variant}


def _without_tags(body: Json) -> Json:
    return {name: value for name, value in body.items() if name != "Tags"}


def _summary(kind: str, record: Any) -> Json:
    return {f"{kind}Name": record.name, f"{kind}Arn": record.arn, "CreationTime": moment(record.created)}
