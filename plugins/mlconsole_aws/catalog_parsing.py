"""What a model package says, in our words. Pure; everything in it is foreign."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlconsole.core.models import Code, Json
from mlconsole.core.text import neutralise
from mlconsole.plugin.cataloguing import Approval, CatalogVersion

_APPROVALS = {
    "PendingManualApproval": Approval.PENDING,
    "Approved": Approval.APPROVED,
    "Rejected": Approval.REJECTED,
}
NATIVE = {approval: native for native, approval in _APPROVALS.items()}

FACTS = ("owner", "description", "data.reference", "data.cutoff", "evaluation_set", "preprocessing")
"""What a package's own properties may say for us, by these names or with `mlconsole:` before them."""

_METRICS = 200
"""So many figures are taken from a report."""


def approval_of(package: Mapping[str, Any]) -> Approval:
    """Whether it may be used."""
    return _APPROVALS.get(str(package.get("ModelApprovalStatus", "")), Approval.UNKNOWN)


def version_of(package: Mapping[str, Any], model: str) -> CatalogVersion:
    """A package, as a listing or a description tells it."""
    arn = str(package["ModelPackageArn"])
    number = package.get("ModelPackageVersion")
    return CatalogVersion(
        model=model,
        version=str(number) if number is not None else arn.rpartition("/")[2],
        id=arn,
        approval=approval_of(package),
        description=neutralise(str(package.get("ModelPackageDescription") or "")),
        created=moment_of(package.get("CreationTime")),
        usable=package.get("ModelPackageStatus", "Completed") == "Completed",
    )


def moment_of(time: Any) -> datetime | None:
    """In UTC: boto3 tells times in the zone of the machine."""
    return time.astimezone(UTC) if isinstance(time, datetime) else None


def group_of(arn: str) -> str:
    """The group that a package's address names: `arn:…:model-package/GROUP/7`."""
    found = re.fullmatch(r"arn:[^:]*:sagemaker:[^:]*:[^:]*:model-package/([^/]+)/([0-9]+)", arn)
    return found[1] if found else ""


def facts_of(package: Mapping[str, Any]) -> dict[str, str]:
    """The properties that are meant for us, and the rest as it is."""
    properties = package.get("CustomerMetadataProperties") or {}
    return {neutralise(str(key).removeprefix("mlconsole:")): neutralise(str(value)) for key, value in sorted(properties.items()) if value}


def code_of(package: Mapping[str, Any]) -> Code:
    """What trained it, as the package says. Whether there were changes that were not committed it never says."""
    said = package.get("MetadataProperties") or {}
    commit, repository = (neutralise(str(said.get(key) or "")) or None for key in ("CommitId", "Repository"))
    return Code(commit, None, repository)


def lineage_of(package: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, str]:
    """What it came from."""
    said = package.get("MetadataProperties") or {}
    made_by = str(said.get("GeneratedBy") or "")
    found = {
        "training job": _training_job(package, card),
        "made by": made_by if ":training-job/" not in made_by else "",
        "project": str(said.get("ProjectId") or ""),
        "source": str(package.get("SourceUri") or ""),
        "algorithm": next((str(one.get("AlgorithmName", "")) for one in _algorithms(package)), ""),
    }
    return {what: neutralise(address) for what, address in found.items() if address}


def _training_job(package: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    made_by = str((package.get("MetadataProperties") or {}).get("GeneratedBy") or "")
    if ":training-job/" in made_by:
        return made_by
    job = _inside(card, "training_details", "training_job_details")
    return str(job.get("training_arn") or "")


def training_job_name(lineage: Mapping[str, str]) -> str:
    """The name by which the service describes it; empty: none is known."""
    return lineage.get("training job", "").partition(":training-job/")[2]


def _algorithms(package: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (package.get("SourceAlgorithmSpecification") or {}).get("SourceAlgorithms") or ()


def card_of(package: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model card that came with it; empty where there is none, or none that can be read."""
    content = (package.get("ModelCard") or {}).get("ModelCardContent")
    try:
        found = json.loads(content) if content else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def card_parameters(card: Mapping[str, Any]) -> dict[str, Json]:
    """The parameters that the card tells."""
    job = _inside(card, "training_details", "training_job_details")
    told = [*_list(job.get("hyper_parameters")), *_list(job.get("user_provided_hyper_parameters"))]
    return {neutralise(str(one["name"])): _number(one.get("value")) for one in told if isinstance(one, Mapping) and one.get("name")}


def card_data(card: Mapping[str, Any]) -> tuple[str, ...]:
    """The data that the card says it was trained on."""
    job = _inside(card, "training_details", "training_job_details")
    return tuple(neutralise(str(one)) for one in _list(job.get("training_datasets")))


def card_metrics(card: Mapping[str, Any]) -> dict[str, float]:
    """The figures that the card tells."""
    found: dict[str, float] = {}
    for evaluation in _list(card.get("evaluation_details")):
        for group in _list(evaluation.get("metric_groups")) if isinstance(evaluation, Mapping) else ():
            for one in _list(group.get("metric_data")) if isinstance(group, Mapping) else ():
                if isinstance(one, Mapping) and one.get("name") and _is_figure(one.get("value")):
                    found.setdefault(neutralise(str(one["name"])), float(one["value"]))
    return dict(list(found.items())[:_METRICS])


def report_metrics(body: bytes) -> dict[str, float]:
    """The figures of a report on a model's quality: `{"binary_classification_metrics": {"f1": {"value": 0.9, …}}}`, or plain ones.

    Raises:
        ValueError: it is no such report.
    """
    report = json.loads(body)
    if not isinstance(report, Mapping):
        raise ValueError("no object")
    return dict(list(dict(_figures(report, 0)).items())[:_METRICS])


def _figures(inside: Mapping[str, Any], depth: int) -> Iterator[tuple[str, float]]:
    for name, value in inside.items():
        if isinstance(value, Mapping) and _is_figure(value.get("value")):
            yield neutralise(str(name)), float(value["value"])
        elif _is_figure(value):
            yield neutralise(str(name)), float(value)
        elif isinstance(value, Mapping) and depth == 0:  # one level of groups; below are curves and matrices
            yield from _figures(value, 1)


def training_told(job: Mapping[str, Any]) -> tuple[dict[str, Json], tuple[str, ...]]:
    """Parameters and data of a training job."""
    parameters = {
        neutralise(str(key)): _number(value)
        for key, value in sorted((job.get("HyperParameters") or {}).items())
        if not str(key).startswith("sagemaker_")
    }
    sources = ((one.get("DataSource") or {}).get("S3DataSource") or {} for one in job.get("InputDataConfig") or ())
    return parameters, tuple(neutralise(str(one["S3Uri"])) for one in sources if one.get("S3Uri"))


def person_of(context: Mapping[str, Any] | None) -> str:
    """Who a user context is."""
    said = context or {}
    identity = said.get("IamIdentity") or {}
    who = said.get("UserProfileName") or str(identity.get("Arn") or "").rpartition("/")[2] or identity.get("PrincipalId") or ""
    return neutralise(str(who))


def _number(value: Any) -> Json:
    """Parameters are texts at AWS (`"0.1"`, with quotes of their own): as numbers where they read like one."""
    text = str(value).strip('"')
    try:
        number = float(text)
    except ValueError:
        return neutralise(text)
    if not math.isfinite(number):
        return neutralise(text)
    return int(number) if re.fullmatch(r"-?[0-9]+", text) else number


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _inside(body: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = body
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
