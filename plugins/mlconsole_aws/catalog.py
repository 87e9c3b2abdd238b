"""The SageMaker Model Registry as a catalog: package groups are models, packages are versions, with what they came from and their approval.

A package is never made or changed by us but for its approval, and that only with who says so and why.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from mlconsole.core.models import Artifact, Json
from mlconsole.core.text import neutralise
from mlconsole.plugin import Context
from mlconsole.plugin.cataloguing import Approval, CatalogEntry, CatalogModel, CatalogVersion
from mlconsole.plugin.errors import BackendError, Conflict, InvalidRequest, NotFound, Refused, UsageError
from mlconsole_aws import catalog_parsing as parsing
from mlconsole_aws.clients import clients_of
from mlconsole_aws.errors import translated

_REPORT = 4 << 20
"""Bytes of a report or a metadata file that are read."""
_NOTE = 1024
"""Characters that an approval's description may have."""
_CHUNK = 1 << 20
_METADATA = "model.yaml"


class ModelRegistry:
    """The model package groups of one account."""

    def __init__(self, context: Context) -> None:
        self._clients = clients_of(context)
        self._groups: Mapping[str, str] = self._clients.section("registry").get("groups") or {}
        sagemaker = self._clients.section("sagemaker")
        self._ours = f"s3://{sagemaker.get('bucket')}/{str(sagemaker.get('prefix') or '').strip('/')}"

    def models(self) -> Sequence[CatalogModel]:
        """All groups, by name: those of models that are named in mlconsole.yaml under our name of them."""
        found = self._clients.pages(
            "sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", SortBy="Name", SortOrder="Ascending", MaxResults=100
        )
        return [
            CatalogModel(
                name=self._model(str(one["ModelPackageGroupName"])),
                group=str(one["ModelPackageGroupName"]),
                description=neutralise(str(one.get("ModelPackageGroupDescription") or "")),
                created=parsing.moment_of(one.get("CreationTime")),
            )
            for one in found
        ]

    def versions(self, model: str, limit: int = 50) -> Sequence[CatalogVersion]:
        """The newest packages of a model's group."""
        found: list[CatalogVersion] = []
        try:
            for one in self._packages(self._groups.get(model, model), limit):
                found.append(parsing.version_of(one, model))
                if len(found) >= limit:
                    break
        except NotFound:
            return ()
        return found

    def entry(self, key: str) -> CatalogEntry:
        """Everything about a package: described, with its report, its training job, and a metadata file beside its artifact."""
        package = self._described(key)
        version = parsing.version_of(package, self._model(str(package.get("ModelPackageGroupName") or parsing.group_of(key))))
        container: Mapping[str, Any] = next(iter((package.get("InferenceSpecification") or {}).get("Containers") or ()), {})
        notes: list[str] = []
        card = parsing.card_of(package)
        lineage = parsing.lineage_of(package, card)
        parameters, data = self._training(parsing.training_job_name(lineage), notes)
        location = _location(container)
        image = str(container.get("Image") or "")
        if image:
            notes.append(f"its image is {neutralise(image)}: options → aws → sagemaker → machines → {version.name} → image says that")
        return CatalogEntry(
            version=version,
            approval_note=neutralise(str(package.get("ApprovalDescription") or "")),
            changed_by=parsing.person_of(package.get("LastModifiedBy")) or parsing.person_of(package.get("CreatedBy")),
            location=location,
            image=neutralise(image),
            lineage=lineage,
            code=parsing.code_of(package),
            data=data or parsing.card_data(card),
            parameters=parameters or parsing.card_parameters(card),
            metrics=self._metrics(package, notes) or parsing.card_metrics(card),
            facts=parsing.facts_of(package),
            metadata=self._beside(location, notes),
            notes=tuple(notes),
        )

    def approval(self, key: str) -> tuple[Approval, str]:
        """As the package says it now."""
        package = self._described(key)
        note = neutralise(str(package.get("ApprovalDescription") or ""))
        who = parsing.person_of(package.get("LastModifiedBy"))
        # Ours says itself who it was: to AWS all of us may be one role.
        return parsing.approval_of(package), note if not who or note.startswith("mlconsole: ") else ", ".join(filter(None, (who, note)))

    def measured(self, entry: CatalogEntry) -> Artifact:
        """The artifact's digest: S3's own SHA-256 of the whole object where it keeps one, else of the bytes, read through.

        What mlconsole put there lies under the digest of what it was made from.
        """
        location = entry.location
        if not location:
            raise Refused(f"{entry.version.name} has no artifact in the catalog.")
        bucket, key = _place(location)
        if not key or key.endswith("/"):
            raise Refused(f"The artifact of {entry.version.name} is no single file: {location}.", next="Register it as a model.tar.gz.")
        head = self._clients.call("s3", "head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        size = int(head.get("ContentLength", 0))
        made = re.fullmatch(rf"{re.escape(self._ours)}/sha256/([0-9a-f]{{64}})/[^/]+", location)
        digest = made[1] if made else _checksum(head) or self._hashed(bucket, key, str(head.get("ETag", "")))
        return Artifact(location, f"sha256:{digest}", size)

    def decide(self, key: str, approval: Approval, note: str, *, seen: Approval) -> None:
        """Write the approval down. The service has no lock for it: it is read before, and read back."""
        if approval not in parsing.NATIVE:
            raise UsageError(f"{approval} is nothing that can be written down. Nothing was changed.")
        now, told = self.approval(key)
        if now is not seen:
            raise Conflict(f"The catalog says {now} of it now ({told or 'no word why'}), not {seen} any more. Nothing was changed.")
        self._clients.call(
            "sagemaker",
            "update_model_package",
            change=True,
            ModelPackageArn=key,
            ModelApprovalStatus=parsing.NATIVE[approval],
            ApprovalDescription=_one_line(note)[:_NOTE],
        )
        written, _ = self.approval(key)
        if written is not approval:
            raise Conflict(f"The catalog says {written} of it, though {approval} was written: somebody else changed it at the same time.")

    def _packages(self, group: str, limit: int) -> Iterator[Mapping[str, Any]]:
        return self._clients.pages(
            "sagemaker",
            "list_model_packages",
            "ModelPackageSummaryList",
            ModelPackageGroupName=group,
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=max(1, min(100, limit)),
        )

    def _described(self, arn: str) -> Mapping[str, Any]:
        try:
            return self._clients.call("sagemaker", "describe_model_package", ModelPackageName=arn)
        except InvalidRequest as error:
            if "not found" in error.message.lower():  # a ValidationException, as so often here
                raise NotFound(error.message, next=error.next) from error
            raise

    def _model(self, group: str) -> str:
        return next((model for model, named in self._groups.items() if group in (named, named.rpartition("/")[2])), group)

    # What lies beside it. A part that can't be read is said, and makes the rest no less true.

    def _training(self, name: str, notes: list[str]) -> tuple[dict[str, Json], tuple[str, ...]]:
        if not name:
            return {}, ()
        try:
            return parsing.training_told(self._clients.call("sagemaker", "describe_training_job", TrainingJobName=name))
        except BackendError as error:
            notes.append(f"its training job can't be read: {neutralise(error.message)}")
            return {}, ()

    def _metrics(self, package: Mapping[str, Any], notes: list[str]) -> dict[str, float]:
        quality = (package.get("ModelMetrics") or {}).get("ModelQuality") or {}
        uri = str((quality.get("Statistics") or {}).get("S3Uri") or "")
        if not uri:
            return {}
        try:
            return parsing.report_metrics(self._small(uri))
        except (BackendError, ValueError) as error:
            why = error.message if isinstance(error, BackendError) else "it is no report on a model's quality"
            notes.append(f"its metrics can't be read ({neutralise(uri)}): {neutralise(why)}")
            return {}

    def _beside(self, location: str, notes: list[str]) -> str:
        """The metadata file in the folder of the artifact, as beside one on a disk."""
        if not location.startswith("s3://") or location.endswith("/"):
            return ""
        try:
            return self._small(f"{location.rpartition('/')[0]}/{_METADATA}").decode()
        except NotFound:
            return ""
        except (BackendError, UnicodeDecodeError) as error:
            why = error.message if isinstance(error, BackendError) else "it is no text"
            notes.append(f"{_METADATA} beside its artifact is not there, or can't be read: {neutralise(why)}")
            return ""

    def _small(self, uri: str) -> bytes:
        bucket, key = _place(uri)
        body = self._clients.call("s3", "get_object", Bucket=bucket, Key=key)["Body"]
        try:
            read: bytes = body.read(_REPORT + 1)
        except Exception as error:
            raise translated(error, f"reading {uri}", change=False) from error
        finally:
            body.close()
        if len(read) > _REPORT:
            raise Refused(f"{uri} is larger than {_REPORT >> 20} MB.")
        return read

    def _hashed(self, bucket: str, key: str, etag: str) -> str:
        wanted: dict[str, Any] = {"IfMatch": etag} if etag else {}
        body = self._clients.call("s3", "get_object", Bucket=bucket, Key=key, **wanted)["Body"]
        digest = hashlib.sha256()
        try:
            for chunk in body.iter_chunks(_CHUNK):
                digest.update(chunk)
        except Exception as error:
            raise translated(error, f"reading s3://{bucket}/{key}", change=False) from error
        finally:
            body.close()
        return digest.hexdigest()


def _location(container: Mapping[str, Any]) -> str:
    source = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
    return neutralise(str(container.get("ModelDataUrl") or source.get("S3Uri") or ""))


def _place(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise Refused(f"{neutralise(uri)} is no place in S3.")
    return parts.netloc, uri[len(f"s3://{parts.netloc}") :].lstrip("/")


def _checksum(head: Mapping[str, Any]) -> str:
    """S3's SHA-256 of the whole object, in hexadecimal; empty where it keeps none (one of parts is no digest of the bytes)."""
    told = str(head.get("ChecksumSHA256") or "")
    if not told or "-" in told or head.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return ""
    try:
        raw = base64.b64decode(told, validate=True)
    except binascii.Error:
        return ""
    return raw.hex() if len(raw) == 32 else ""


def _one_line(text: str) -> str:
    return neutralise(" ".join(text.split()))
