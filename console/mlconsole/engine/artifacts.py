"""Artifacts of registered versions: where they are, and whether they are still the bytes that were registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.live import short_digest
from mlconsole.core.models import ModelVersion
from mlconsole.plugin.artifacts import measure
from mlconsole.plugin.errors import DigestMismatch

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def local_path(root: Path, location: str) -> Path | None:
    """The path of an artifact on this machine; None for one that lies elsewhere (`s3://…`)."""
    if "://" in location:
        return None
    return (root / location).resolve()


def check_artifact(session: Session, version: ModelVersion) -> None:
    """An alarm when the bytes on disk are not the registered ones. An artifact that lies elsewhere is checked by who reads it.

    Raises:
        DigestMismatch: other bytes.
        InvalidFile: missing or unreadable.
    """
    path = local_path(session.workspace.root, version.artifact.location)
    if path is None:
        return
    found = measure(path)
    if found.digest != version.artifact.digest:
        raise DigestMismatch(
            f"ALARM: the artifact of {version.name} was changed after it was registered: {path} is {short_digest(found.digest)}, "
            f"registered was {short_digest(version.artifact.digest)} by {version.registered_by}. Nothing was deployed.",
            next="Find out who changed it; restore the file, or register the new bytes as a new version.",
        )
