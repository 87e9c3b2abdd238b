"""Model versions: what was trained from what, and what it promises. Immutable once registered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlconsole.core.errors import UsageError
from mlconsole.core.text import is_name

Json = Any
"""A value that JSON can hold; what a metadata file or a backend gave, kept as data."""

UNKNOWN = "unknown"
"""What stands in place of what nobody wrote down, as of a version that was found running."""


@dataclass(frozen=True)
class Actor:
    """Who did something, and from where."""

    user: str
    host: str
    uid: int | None = None
    ssh_client: str | None = None
    tool: str = "mlconsole"
    identity: str | None = None
    """The cloud identity that acted, where there is one."""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


@dataclass(frozen=True)
class Artifact:
    """The bytes of a version: where they were found, what they are. `digest` is the identity (`sha256:…`), `size` in bytes."""

    location: str
    digest: str
    size: int
    files: int = 1


@dataclass(frozen=True)
class Code:
    """The commit that made a version; None is *unknown*, which is said and never guessed."""

    commit: str | None = None
    dirty: bool | None = None
    repository: str | None = None


@dataclass(frozen=True)
class Data:
    """What it was trained on, and until when the data reach (ISO date)."""

    reference: str
    cutoff: str


@dataclass(frozen=True)
class Metrics:
    """Figures with the hash of the set they were measured on: two versions compare only where that hash is the same."""

    evaluation_set: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Field:
    """One named input or output; `datatype` in the words of the Open Inference Protocol (BYTES, FP32, INT64, …)."""

    name: str
    datatype: str
    required: bool = True


@dataclass(frozen=True)
class Slice:
    """A label of a request: `path` is the JSON pointer into the named inputs from which it is read."""

    key: str
    path: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signature:
    """What a version takes and gives. `score` names the output that decides, `threshold` the value from which it does."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    score: str | None = None
    threshold: float | None = None
    slices: tuple[Slice, ...] = ()


@dataclass(frozen=True)
class ModelVersion:
    """One immutable version of a model: everything that is needed to serve it again and to judge it beside another."""

    model: str
    version: str
    artifact: Artifact
    signature: Signature
    owner: str
    data: Data
    metrics: Metrics
    parameters: Mapping[str, Json]
    baseline: Mapping[str, Json]
    preprocessing: str
    registered_at: datetime
    registered_by: Actor
    code: Code = field(default_factory=Code)
    dependencies: tuple[str, ...] = ()
    description: str = ""
    works_with: Mapping[str, Json] = field(default_factory=dict)
    """Which config versions and which code it declares to work with, as `core.compatibility` reads it; empty: it declares nothing."""
    origin: str = ""
    """The id of the catalog's version that it was imported from; empty: it was registered from files, or found."""

    @property
    def name(self) -> str:
        """How people write it: `relevance@4`."""
        return f"{self.model}@{self.version}"


_FLOATING = frozenset({"latest", "head", "newest", "current", "stable"})


def parse_version_name(text: str) -> tuple[str, str]:
    """`MODEL@VERSION` in its two parts; the version stays the string it is.

    Raises:
        UsageError: no such form, or a version that would mean something else tomorrow (`latest`).
    """
    model, at, version = text.partition("@")
    if not at or not model or not version:
        raise UsageError(f'"{text}" names no model version. Write MODEL@VERSION, like relevance@4.')
    check_version(version)
    return model, version


def check_version(version: str) -> str:
    """A version that means the same bytes for ever; returned as it is.

    Raises:
        UsageError: empty, too long, unprintable, or a floating word.
    """
    if version.casefold() in _FLOATING:
        raise UsageError(f'"{version}" is no version: it would mean other bytes tomorrow. Name one: mlconsole models list.')
    if not version or len(version) > 128 or not version.isprintable() or any(char.isspace() or char in "@/" for char in version):
        raise UsageError(f"{version!r} is no version: 1 to 128 printable characters without blanks, @ and / are wanted.")
    return version


def check_name(what: str, name: str) -> str:
    """A name of ours; returned as it is.

    Raises:
        UsageError: not of the form that every backend can take.
    """
    if not is_name(name):
        raise UsageError(
            f"{name!r} can't name {what}: letters, digits, dot, dash and underscore, at most 64, a letter or digit at both ends."
        )
    return name


def variant_name(version: str) -> str:
    """A version's default variant name: `v` before it unless it has one, every character outside `[A-Za-z0-9-]` becoming `-`."""
    named = version if version[:1] in ("v", "V") else f"v{version}"
    return re.sub(r"[^A-Za-z0-9-]", "-", named)
