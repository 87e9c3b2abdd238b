"""The operations on endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from mlconsole_aws_offline.describing import described, summary
from mlconsole_aws_offline.making import Making
from mlconsole_aws_offline.moving import Moving
from mlconsole_aws_offline.records import Endpoint, Fleet, Json, Variant
from mlconsole_aws_offline.replies import AwsError
from mlconsole_aws_offline.state import State, page, tags_of

_SETTLED = ("InService", "UpdateRollbackFailed", "OutOfService")


class Endpoints:
    """See the API of SageMaker; each method is an operation."""

    def __init__(self, state: State, making: Making, moving: Moving, warm: Callable[[Fleet], None]) -> None:
        self._state, self._making, self._moving, self._warm = state, making, moving, warm

    def create(self, body: Json) -> Json:
        """CreateEndpoint."""
        name, arn = body["EndpointName"], self._state.arn("endpoint", body["EndpointName"])
        if any(one.arn == arn for one in self._state.endpoints.values()):
            raise AwsError("ValidationException", f'Cannot create already existing endpoint "{arn}".')
        fleet = self._fleet(body["EndpointConfigName"])
        self._within_limits(fleet, None)
        now = self._state.now()
        made = Endpoint(name, arn, "Creating", now, now, fleet.config, tags=tags_of(body))
        made.deployment = body.get("DeploymentConfig")
        self._state.endpoints[name] = made
        self._moving.create(made, fleet)
        self._warm(fleet)
        return {"EndpointArn": arn}

    def describe(self, body: Json) -> Json:
        """DescribeEndpoint."""
        return described(self._state, self.find(body["EndpointName"]))

    def list(self, body: Json) -> Json:
        """ListEndpoints."""
        found = list(self._state.endpoints.values())
        return page(body, found, "Endpoints", lambda one: summary(self._state, one), status=True)

    def update(self, body: Json) -> Json:
        """UpdateEndpoint. Without `RetainAllVariantProperties` weights and counts become the config's: that is how traffic is lost."""
        endpoint = self._changeable(body["EndpointName"])
        old = endpoint.fleet
        fleet = self._fleet(body["EndpointConfigName"])
        deployment = body.get("DeploymentConfig") or (endpoint.deployment if body.get("RetainDeploymentConfig") else None)
        if deployment is not None:
            _check_deployment(deployment, old, fleet)
        if body.get("RetainAllVariantProperties") and old is not None:
            _retain(old, fleet, {one["VariantPropertyType"] for one in body.get("ExcludeRetainedVariantProperties") or ()})
        self._within_limits(fleet, endpoint)
        self._moving.update(endpoint, fleet, deployment)
        self._warm(fleet)
        return {"EndpointArn": endpoint.arn}

    def weights(self, body: Json) -> Json:
        """UpdateEndpointWeightsAndCapacities: what is not said of a variant stays."""
        endpoint = self._changeable(body["EndpointName"])
        fleet = endpoint.fleet
        known = {one.name: one for one in fleet.variants()} if fleet else {}
        wanted = body["DesiredWeightsAndCapacities"]
        for one in wanted:
            if one["VariantName"] not in known:
                raise AwsError("ValidationException", f"The variant name(s) {one['VariantName']} do not exist on endpoint {endpoint.arn}.")
            if "DesiredInstanceCount" in one and known[one["VariantName"]].serverless:
                raise AwsError("ValidationException", f"Variant {one['VariantName']} is serverless and has no instances.")
        said = {one["VariantName"]: one for one in wanted}
        weights = [float(said.get(one.name, {}).get("DesiredWeight", one.wanted_weight)) for one in (fleet.production if fleet else ())]
        if sum(weights) <= 0:
            raise AwsError("ValidationException", "The sum of the weights of all variants must be greater than zero.")
        for name, one in said.items():
            variant = known[name]
            variant.wanted_weight = float(one.get("DesiredWeight", variant.wanted_weight))
            variant.wanted_count = int(one.get("DesiredInstanceCount", variant.wanted_count))
        self._moving.weights(endpoint)
        return {"EndpointArn": endpoint.arn}

    def delete(self, body: Json) -> Json:
        """DeleteEndpoint."""
        endpoint = self.find(body["EndpointName"])
        if endpoint.move is not None:
            raise AwsError("ValidationException", f'Cannot update in-progress endpoint "{endpoint.arn}".')
        self._moving.delete(endpoint)
        return {}

    def find(self, name: str) -> Endpoint:
        """An endpoint, as it is now.

        Raises:
            AwsError: there is none.
        """
        found = self._state.endpoints.get(name)
        if found is not None:
            self._moving.advance(found)
            found = self._state.endpoints.get(name)
        if found is None:
            raise AwsError("ValidationException", f'Could not find endpoint "{self._state.arn("endpoint", name)}".')
        return found

    def _changeable(self, name: str) -> Endpoint:
        endpoint = self.find(name)
        status = self._state.settings.force.get(name, endpoint.status)
        if endpoint.move is not None or status in ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"):
            raise AwsError("ValidationException", f'Cannot update in-progress endpoint "{endpoint.arn}".')
        if status not in _SETTLED:
            raise AwsError("ValidationException", f'Cannot update endpoint "{endpoint.arn}" in status {status}. It can only be deleted.')
        return endpoint

    def _fleet(self, config: str) -> Fleet:
        body = self._making.config(config).body
        return Fleet(
            config,
            [self._variant(one) for one in body["ProductionVariants"]],
            [self._variant(one) for one in body.get("ShadowProductionVariants") or ()],
            body.get("DataCaptureConfig"),
            body.get("AsyncInferenceConfig"),
        )

    def _variant(self, body: Json) -> Variant:
        weight, count = float(body["InitialVariantWeight"]), int(body.get("InitialInstanceCount", 0))
        container: Json | None = None
        if body.get("ModelName"):
            model = self._making.model(body["ModelName"]).body
            container = model.get("PrimaryContainer") or model["Containers"][0]
        return Variant(body, weight, weight, count, count, container)

    def _within_limits(self, fleet: Fleet, replaced: Endpoint | None) -> None:
        """While a fleet is swapped, both are there: so both count."""
        limits = self._state.settings.limits
        used, wanted = Counter[str](), _instances([fleet])
        used.update(_instances([one.fleet for one in self._state.endpoints.values() if one.fleet is not None]))
        for kind, count in wanted.items():
            if kind in limits and used[kind] + count > limits[kind]:
                raise AwsError(
                    "ResourceLimitExceeded",
                    f"The account-level service limit '{kind} for endpoint usage' is {limits[kind]} Instances, with current utilization of "
                    f"{used[kind]} Instances and a request delta of {count} Instances. Please use AWS Service Quotas to request "
                    "an increase for this quota.",
                )


def _instances(fleets: Sequence[Fleet]) -> Counter[str]:
    found = Counter[str]()
    for fleet in fleets:
        for one in fleet.variants():
            if "InstanceType" in one.body:
                found[one.body["InstanceType"]] += one.wanted_count
    return found


def _retain(old: Fleet, new: Fleet, excluded: set[str]) -> None:
    before = {one.name: one for one in old.variants()}
    for one in new.variants():
        was = before.get(one.name)
        if was is None:
            continue
        if "DesiredWeight" not in excluded:
            one.weight = one.wanted_weight = was.wanted_weight
        if "DesiredInstanceCount" not in excluded and not was.serverless and not one.serverless:
            one.count = one.wanted_count = was.wanted_count
    if "DataCaptureConfig" not in excluded and old.capture is not None:
        new.capture = old.capture


def _check_deployment(deployment: Json, old: Fleet | None, new: Fleet) -> None:
    blue, rolling = deployment.get("BlueGreenUpdatePolicy"), deployment.get("RollingUpdatePolicy")
    if blue and rolling:
        raise AwsError("ValidationException", "Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy may be given.")
    if old is not None and {one.name for one in old.variants()} != {one.name for one in new.variants()}:
        raise AwsError("ValidationException", "The new endpoint configuration must have the same variant names to use a DeploymentConfig.")
    if rolling and len(new.production) > 1:
        raise AwsError("ValidationException", "Rolling updates are not supported for endpoints with more than one variant.")
    routing = (blue or {}).get("TrafficRoutingConfiguration") or {}
    kind = routing.get("Type", "ALL_AT_ONCE")
    size = routing.get({"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind, ""))
    if kind != "ALL_AT_ONCE" and size is None:
        raise AwsError("ValidationException", f"Traffic routing of type {kind} needs a size.")
    if size is not None and size["Type"] == "CAPACITY_PERCENT":
        low = 10 if kind == "LINEAR" else 1
        if not low <= size["Value"] <= 50:
            raise AwsError("ValidationException", f"The size of a {kind} step must be between {low} and 50 percent of the capacity.")
    longest = (blue or {}).get("MaximumExecutionTimeoutInSeconds")
    waits = routing.get("WaitIntervalInSeconds", 0) + (blue or {}).get("TerminationWaitInSeconds", 0)
    if longest is not None and waits > longest:
        raise AwsError("ValidationException", "MaximumExecutionTimeoutInSeconds must be greater than all waits together.")
