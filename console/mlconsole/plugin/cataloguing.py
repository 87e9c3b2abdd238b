"""The role `catalog`: a registry of models beside ours, where training leaves what it made and people say what may be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from mlconsole.core.models import Artifact, Code, Json


class Approval(StrEnum):
    """What a catalog says of whether a version may be used."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """It keeps no such state, or one that we don't know."""


@dataclass(frozen=True)
class CatalogModel:
    """A model as a catalog has it. `name` is ours, `group` its own; all of it is foreign text."""

    name: str
    group: str
    description: str = ""
    created: datetime | None = None


@dataclass(frozen=True)
class CatalogVersion:
    """A version as a listing tells it; all of it is foreign text."""

    model: str
    """Our name of its model."""
    version: str
    id: str
    """The catalog's own name for it, which never means another one: its key."""
    approval: Approval = Approval.UNKNOWN
    description: str = ""
    created: datetime | None = None
    usable: bool = True
    """It is whole: the catalog is not still making or checking it, and did not fail to."""

    @property
    def name(self) -> str:
        """`relevance@7`."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class CatalogEntry:
    """Everything that a catalog knows of a version. What it does not know is empty or None, and never guessed."""

    version: CatalogVersion
    approval_note: str = ""
    """Why it was approved or rejected, and by whom, as far as the catalog keeps it."""
    changed_by: str = ""
    """Who changed it last, or made it."""
    location: str = ""
    """Where its artifact is."""
    image: str = ""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """What it came from: `training job` → its name or address, `pipeline`, `project`, …"""
    code: Code = field(default_factory=Code)
    data: Sequence[str] = ()
    """What it was trained on."""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    """What whoever registered it wrote beside it, by our own words where it is meant for us: `owner`, `data.reference`, `data.cutoff`,
    `evaluation_set`, `preprocessing`."""
    metadata: str = ""
    """A metadata file (`model.yaml`) that lies beside the artifact."""
    notes: Sequence[str] = ()
    """What could not be read, or has to be set up before it can be served."""


@runtime_checkable
class Catalog(Protocol):
    """What there is, where it came from, and whether it may be used."""

    def models(self) -> Sequence[CatalogModel]:
        """All models, by name."""
        ...

    def versions(self, model: str, limit: int = 50) -> Sequence[CatalogVersion]:
        """The newest versions of a model (our name of it), newest first; none where the catalog has no such model."""
        ...

    def entry(self, key: str) -> CatalogEntry:
        """Everything about a version.

        Raises:
            NotFound: there is none of that key.
        """
        ...

    def approval(self, key: str) -> tuple[Approval, str]:
        """Whether it may be used now, and what was said about it: one call.

        Raises:
            NotFound: there is none of that key.
        """
        ...

    def measured(self, entry: CatalogEntry) -> Artifact:
        """The artifact with its digest: of the bytes that lie there. It may have to read all of them.

        Raises:
            NotFound: it is not there.
            Refused: it is nothing that has one digest.
        """
        ...

    def decide(self, key: str, approval: Approval, note: str, *, seen: Approval) -> None:
        """Write down whether it may be used, and who says so and why. `seen` is what it was when that was decided.

        Raises:
            Conflict: it is not `seen` any more.
        """
        ...
