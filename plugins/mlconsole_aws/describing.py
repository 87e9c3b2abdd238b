"""What SageMaker says of an endpoint as the console's live state. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlconsole.core.live import Live, LiveVariant, Transition, VariantState
from mlconsole.core.traffic import Shadow, Traffic
from mlconsole_aws.looking import IN_FLIGHT, Described, Seen, declared
from mlconsole_aws.marks import MODEL_NAME, MODEL_VERSION
from mlconsole_aws.naming import containers, model_digest
from mlconsole_aws.weights import sample, shares

READ_ONLY = "read-only"
"""The resource that says why a variant can't be changed from here."""
MACHINES = "machines"
STATUS = "status"
"""The resource that names an endpoint's status where only deleting it is left."""
SCALING = "autoscaling"

_OVER = frozenset({"Failed", "OutOfService"})
_BROKEN = frozenset({*_OVER, "UpdateRollbackFailed"})
_MACHINES = re.compile(r"(?:\d+ of )?(?P<count>\d+) × (?P<type>\S+)")


def shared(endpoint: str, seen: Seen | None, *, rolled_back_is_failed: bool, scaled: Mapping[str, str], region: str) -> Live:
    """An endpoint whose variants share one SageMaker endpoint."""
    if seen is None:
        return Live(endpoint)
    transition, reason = transition_of(seen, rolled_back_is_failed=rolled_back_is_failed)
    return Live(
        endpoint,
        variants_of(seen, scaled),
        traffic_of(seen),
        transition,
        reason,
        url=f"https://runtime.sagemaker.{region}.amazonaws.com/endpoints/{seen.name}/invocations",
    )


def by_name(endpoint: str, found: Mapping[str, Seen], *, asked: Iterable[str], scaled: Mapping[str, str], region: str) -> Live:
    """An endpoint each of whose variants is a SageMaker endpoint of its own; nobody here splits its traffic.

    Args:
        found: variant → its endpoint.
        asked: the SageMaker endpoints that we changed a moment ago: one of them that rolled back has failed.
    """
    variants, states, reasons = [], [Transition.SETTLED], []
    recent = set(asked)
    for name, seen in found.items():
        transition, reason = transition_of(seen, rolled_back_is_failed=seen.name in recent)
        variants.append(_only(name, seen, scaled))
        states.append(transition)
        reasons += [f"{name}: {reason}"] if reason else []
    worst = next(each for each in (Transition.IN_PROGRESS, Transition.FAILED, Transition.SETTLED) if each in states)
    url = f"https://runtime.sagemaker.{region}.amazonaws.com" if found else None
    return Live(endpoint, tuple(variants), None, worst, "; ".join(reasons), url)


def transition_of(seen: Seen, *, rolled_back_is_failed: bool) -> tuple[Transition, str]:
    """How far it is, and why, in SageMaker's words.

    *InService* with a reason for a failure is an update that was rolled back without a word (trap 1): to whoever asked for it a moment ago
    it has failed; later it is an endpoint that serves, with a remark.
    """
    status, reason = seen.status, str(seen.endpoint.get("FailureReason") or "")
    if status in IN_FLIGHT:
        doing = _swap(seen)
        return Transition.IN_PROGRESS, f"SageMaker is at it ({status}{f', {doing}' if doing else ''})"
    if status == "InService":
        if not reason:
            return Transition.SETTLED, ""
        told = f"SageMaker rolled the last update back: {reason}"
        return (Transition.FAILED if rolled_back_is_failed else Transition.SETTLED), told
    return Transition.FAILED, f"{status}: {reason}" if reason else status


def variants_of(seen: Seen, scaled: Mapping[str, str]) -> tuple[LiveVariant, ...]:
    """The variants of its config, and those that are on their way."""
    now = {str(one["VariantName"]): one for one in declared(seen.config)}
    then = {str(one["VariantName"]): one for one in declared(seen.pending)}
    running = {str(one["VariantName"]): one for one in declared(seen.endpoint)}
    why = read_only(seen)
    found = []
    for name in dict.fromkeys([*now, *running, *then]):
        state, reason = _state(seen, name, running.get(name), now, then)
        said = now.get(name) or then.get(name) or {}
        found.append(_variant(seen, name, state, reason, said, running.get(name) or {}, why, scaled))
    return tuple(found)


def traffic_of(seen: Seen) -> Traffic | None:
    """Who gets which share, as it is now; None where nobody is sent anything."""
    if seen.status in ("Creating", *_OVER):
        return None
    weights = {str(one["VariantName"]): float(one.get("CurrentWeight") or 0) for one in seen.endpoint.get("ProductionVariants") or ()}
    split = shares(weights)
    if split is None:
        return None
    copies = {str(one["VariantName"]): float(one.get("CurrentWeight") or 0) for one in seen.endpoint.get("ShadowProductionVariants") or ()}
    name = next(iter(copies), None)
    if name is None or name in split:
        return Traffic(split)
    # A shadow is named at 0 %: it answers nobody. SageMaker has at most one.
    bp = sample(copies[name], weights)
    return Traffic({**split, name: 0}, shadow=Shadow(name, bp) if bp else None)


def read_only(seen: Seen) -> str:
    """What it is that this console shows and does not change; empty: nothing of the kind."""
    said = declared(seen.config)
    if not said:
        return "its endpoint config can't be read" if seen.status not in ("Creating", "Deleting") else ""
    if any(not one.get("ModelName") for one in said):
        return "its models are inference components"
    if any(one.get("ServerlessConfig") for one in said):
        return "it is serverless"
    if seen.config.get("AsyncInferenceConfig") or seen.endpoint.get("AsyncInferenceConfig"):
        return "it answers asynchronously"
    if any(container.get("Mode") == "MultiModel" for model in seen.models.values() for container in containers(model)):
        return "it has several models in a container"
    if any(len(containers(model)) > 1 for model in seen.models.values()):
        return "it has several containers in a model"
    return ""


def machines_of(variant: LiveVariant) -> tuple[str, int] | None:
    """What a live variant runs on: the type of instance and how many; None where it is not told."""
    found = _MACHINES.fullmatch(variant.resources.get(MACHINES, ""))
    return (found["type"], int(found["count"])) if found else None


def artifact_of(container: Mapping[str, Any]) -> str:
    """Where a container's model lies."""
    source = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
    return str(container.get("ModelDataUrl") or source.get("S3Uri") or "")


def _only(name: str, seen: Seen, scaled: Mapping[str, str]) -> LiveVariant:
    """A SageMaker endpoint as the one variant that it serves."""
    inside = variants_of(seen, scaled)
    status, reason = seen.status, str(seen.endpoint.get("FailureReason") or "")
    if len(inside) == 1:
        one = inside[0]
        resources = {"endpoint": seen.name, **one.resources}
        return LiveVariant(name, one.state, one.model, one.version, one.digest, one.reason, resources, one.since)
    state = VariantState.FAILED if status in _OVER else VariantState.STOPPING if status == "Deleting" else VariantState.READY
    why = f"it has {len(inside)} variants of its own" if inside else read_only(seen) or "nothing is known of what it runs"
    resources = {"endpoint": seen.name, READ_ONLY: why} if status != "Creating" else {"endpoint": seen.name}
    state = VariantState.CREATING if status == "Creating" else state
    return LiveVariant(name, state, reason=reason, resources=resources, since=seen.endpoint.get("CreationTime"))


def _state(
    seen: Seen, name: str, running: Described | None, now: Mapping[str, Described], then: Mapping[str, Described]
) -> tuple[VariantState, str]:
    status, reason = seen.status, str(seen.endpoint.get("FailureReason") or "")
    phases = {str(one.get("Status")) for one in (running or {}).get("VariantStatus") or ()}
    if status == "Deleting":
        return VariantState.STOPPING, ""
    if status == "Creating":
        return VariantState.CREATING, ""
    if status in _OVER:
        return VariantState.FAILED, reason or status
    leaving = name not in now if status == "RollingBack" else bool(then) and name not in then
    if leaving or "Deleting" in phases:
        return VariantState.STOPPING, ""
    if name not in now or "Creating" in phases or (running is None and status in IN_FLIGHT):
        return VariantState.CREATING, ""
    count = (running or {}).get("CurrentInstanceCount")
    if running is None or (count == 0 and (running.get("DesiredInstanceCount") or 0) > 0):
        return (VariantState.CREATING if status in IN_FLIGHT else VariantState.FAILED), "no instance of it runs"
    return VariantState.READY, ""


def _variant(
    seen: Seen,
    name: str,
    state: VariantState,
    reason: str,
    said: Described,
    running: Described,
    why: str,
    scaled: Mapping[str, str],
) -> LiveVariant:
    described = seen.models.get(str(said.get("ModelName") or ""))
    first: Mapping[str, Any] = next(iter(containers(described)), {}) if described else {}
    marks = first.get("Environment") or {}
    resources = _resources(seen, name, said, running, first, scaled)
    if why:
        resources[READ_ONLY] = why
    if seen.status in _BROKEN:
        resources[STATUS] = seen.status
    return LiveVariant(
        name,
        state,
        str(marks.get(MODEL_NAME) or "") or None,
        str(marks.get(MODEL_VERSION) or "") or None,
        model_digest(described) if described else None,
        reason,
        resources,
        _since(seen, described),
    )


def _since(seen: Seen, described: Described | None) -> datetime | None:
    """Since when those bytes may have run: SageMaker tells of no variant when it came up, and its model is made just before."""
    found: datetime | None = (described or seen.endpoint).get("CreationTime")
    return found


def _resources(
    seen: Seen, name: str, said: Described, running: Described, container: Mapping[str, Any], scaled: Mapping[str, str]
) -> dict[str, str]:
    """For people, and for `steps`, which may ask nobody."""
    found: dict[str, str] = {}
    kind = str(said.get("InstanceType") or "")
    wanted = running.get("DesiredInstanceCount") or said.get("InitialInstanceCount")
    there = running.get("CurrentInstanceCount")
    if kind and wanted:
        found[MACHINES] = f"{wanted} × {kind}" if there in (None, wanted) else f"{there} of {wanted} × {kind}"
    serverless = running.get("CurrentServerlessConfig") or said.get("ServerlessConfig")
    if serverless:
        found["serverless"] = f"{serverless.get('MemorySizeInMB')} MB, at most {serverless.get('MaxConcurrency')} at once"
    bounds = scaled.get(f"endpoint/{seen.name}/variant/{name}")
    if bounds:
        found[SCALING] = bounds
    managed = running.get("ManagedInstanceScaling") or said.get("ManagedInstanceScaling")
    if managed and managed.get("Status") == "ENABLED":
        found["managed scaling"] = f"{managed.get('MinInstanceCount', 0)} to {managed.get('MaxInstanceCount', '?')}"
    images = running.get("DeployedImages") or ()
    found["image"] = next((str(one["ResolvedImage"]) for one in images if one.get("ResolvedImage")), str(container.get("Image") or ""))
    found["artifact"] = artifact_of(container)
    found["model"] = str(said.get("ModelName") or "")
    policy = (seen.endpoint.get("LastDeploymentConfig") or {}).get("BlueGreenUpdatePolicy")
    if policy:
        found["guardrails"] = str((policy.get("TrafficRoutingConfiguration") or {}).get("Type") or "").lower().replace("_", " ")
    return {key: value for key, value in found.items() if value}


def _swap(seen: Seen) -> str:
    """What a fleet that is being exchanged is at: `ActivatingTraffic 3 min`."""
    going = seen.endpoint.get("PendingDeploymentSummary") or {}
    variants: Sequence[Described] = going.get("ProductionVariants") or ()
    phases = [str(one.get("StatusMessage") or one.get("Status")) for variant in variants for one in variant.get("VariantStatus") or ()]
    return ", ".join(dict.fromkeys(phases))
