"""An endpoint as DescribeEndpoint and ListEndpoints tell it."""

from __future__ import annotations

import hashlib

from mlconsole_aws_offline.records import Endpoint, Fleet, Json, Variant
from mlconsole_aws_offline.state import State, moment


def summary(state: State, endpoint: Endpoint) -> Json:
    """A line of ListEndpoints."""
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": moment(endpoint.created),
        "LastModifiedTime": moment(endpoint.modified),
        "EndpointStatus": state.settings.force.get(endpoint.name, endpoint.status),
    }


def described(state: State, endpoint: Endpoint) -> Json:
    """DescribeEndpoint. The config that it names is the one that answers; of one on its way only `PendingDeploymentSummary` tells."""
    told = {**summary(state, endpoint), "EndpointConfigName": endpoint.config}
    move, fleet = endpoint.move, endpoint.fleet
    if fleet is not None:
        told["ProductionVariants"] = [_variant(state, one, move.kind if move else "", endpoint.created) for one in fleet.production]
        if fleet.shadow:
            told["ShadowProductionVariants"] = [_variant(state, one, move.kind if move else "", endpoint.created) for one in fleet.shadow]
        if fleet.capture:
            told["DataCaptureConfig"] = _capture(fleet.capture)
        if fleet.asynchronous:
            told["AsyncInferenceConfig"] = fleet.asynchronous
    if endpoint.reason:
        told["FailureReason"] = endpoint.reason
    if endpoint.deployment:
        told["LastDeploymentConfig"] = endpoint.deployment
    if move is not None and move.coming is not None:
        told["PendingDeploymentSummary"] = _pending(state, move.coming, move.began, "Creating" if fleet is None else "Updating")
    return told


def _variant(state: State, variant: Variant, moving: str, began: float) -> Json:
    told: Json = {"VariantName": variant.name, **_images(variant, began)}
    told.update(CurrentWeight=variant.weight, DesiredWeight=variant.wanted_weight)
    if variant.serverless:
        told.update(CurrentServerlessConfig=variant.body["ServerlessConfig"], DesiredServerlessConfig=variant.body["ServerlessConfig"])
    else:
        told.update(CurrentInstanceCount=variant.count, DesiredInstanceCount=variant.wanted_count)
    told.update({name: variant.body[name] for name in ("ManagedInstanceScaling", "RoutingConfig") if name in variant.body})
    if moving == "weights" and (variant.weight, variant.count) != (variant.wanted_weight, variant.wanted_count):
        told["VariantStatus"] = [{"Status": "Updating", "StartTime": moment(state.now())}]
    return told


def _pending(state: State, fleet: Fleet, began: float, status: str) -> Json:
    def told(variant: Variant) -> Json:
        own = _variant(state, variant, "", began)
        own["VariantStatus"] = [{"Status": status, "StartTime": moment(began)}]
        own.update({name: variant.body[name] for name in ("InstanceType", "AcceleratorType") if name in variant.body})
        if not variant.serverless:
            own["CurrentInstanceCount"] = 0
        return own

    found: Json = {
        "EndpointConfigName": fleet.config,
        "ProductionVariants": [told(one) for one in fleet.production],
        "StartTime": moment(began),
    }
    if fleet.shadow:
        found["ShadowProductionVariants"] = [told(one) for one in fleet.shadow]
    return found


def _images(variant: Variant, began: float) -> Json:
    image = (variant.container or {}).get("Image")
    if not image:
        return {}
    untagged = image.partition("@")[0]
    repository = untagged.rpartition(":")[0] if ":" in untagged.rpartition("/")[2] else untagged
    digest = image.partition("@")[2] or f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
    resolved = {"SpecifiedImage": image, "ResolvedImage": f"{repository}@{digest}", "ResolutionTime": moment(began)}
    return {"DeployedImages": [resolved]}


def _capture(capture: Json) -> Json:
    on = bool(capture.get("EnableCapture"))
    return {
        "EnableCapture": on,
        "CaptureStatus": "Started" if on else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }
