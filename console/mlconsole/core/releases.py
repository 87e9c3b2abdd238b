"""Releases: immutable, numbered snapshots of what an endpoint should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from mlconsole.core.documents import WHOLE, Document
from mlconsole.core.models import Actor
from mlconsole.core.traffic import Traffic, percent


@dataclass(frozen=True)
class Variant:
    """One model version behind an endpoint. Its identity is the artifact's digest; the name is how it is addressed."""

    name: str
    model: str
    version: str
    digest: str
    resources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What a release wants: its variants and their traffic. No variants and no traffic: the endpoint does not exist.

    A config document's own release wants its `document` and nothing else; an endpoint's names the one that it was applied with.
    """

    variants: tuple[Variant, ...] = ()
    traffic: Traffic | None = None
    document: Document | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The variants' names in order."""
        return tuple(variant.name for variant in self.variants)

    def variant(self, name: str) -> Variant | None:
        """The variant of that name."""
        return next((variant for variant in self.variants if variant.name == name), None)

    @property
    def served(self) -> Content:
        """What an endpoint is by itself: without the config document that it was applied with, which goes its own way since."""
        return replace(self, document=None) if self.document is not None and self.variants else self

    def __str__(self) -> str:
        return describe_content(self)


NOTHING = Content()
"""The content of an endpoint that does not exist."""


class ReleaseKind(StrEnum):
    """What made a release."""

    AS_FOUND = "as found"
    DEPLOY = "deploy"
    TRAFFIC = "traffic"
    REVERT = "revert"
    REMOVE = "remove"
    DELETE = "delete"
    PUBLISH = "publish"
    KEPT = "kept"
    """Somebody changed the endpoint outside, and it was decided to keep that."""


class Standing(StrEnum):
    """Where a release is in its life; each line of the history has one."""

    PENDING = "pending"
    LIVE = "live"
    PAST = "past"
    """It was live and stood by itself until the next one."""
    REVERTED = "reverted"
    """It was live and was gone back from."""
    FAILED = "failed"
    """It never came to stand."""


@dataclass(frozen=True)
class Release:
    """`endpoint@environment#number`: what was wanted, by whom, why, and out of which release it was made."""

    environment: str
    endpoint: str
    number: int
    content: Content
    kind: ReleaseKind
    created: datetime
    actor: Actor
    reason: str = ""
    made_from: int | None = None
    equals: int | None = None
    """A revert's release equals an earlier one: its number."""
    operation: str | None = None
    skipped_gates: tuple[str, ...] = ()
    rollout: str = ""
    """The rollout that made it; empty: none did."""
    by: str = ""
    """The endpoint's release that published it, for a document that went with one: `relevance#43`."""

    @property
    def name(self) -> str:
        """`relevance@production#42`."""
        return f"{self.endpoint}@{self.environment}#{self.number}"


def describe_content(content: Content) -> str:
    """One line for people: `v6 90 · v7 10 · shadow v8 20 %`; the slices that differ behind it, and the config it is applied with."""
    config = _describe_document(content.document)
    if content.traffic is None or not content.variants:
        return config or "nothing"
    serving = [name for name in content.names if content.traffic.reaches(name)]
    if len(serving) == 1 and not content.traffic.by_slice:
        text = f"{serving[0]} 100 %"
    else:
        text = " · ".join(f"{name} {percent(content.traffic.share(name))}" for name in serving)
    for entry in content.traffic.by_slice:
        inside = " · ".join(f"{name} {percent(share)}" for name, share in entry.split.items() if share)
        text += f" · {entry.value}: {inside}"
    shadow = content.traffic.shadow
    if shadow:
        text += f" · shadow {shadow.variant} {percent(shadow.sample)} %"
    standing_by = [name for name in content.names if name not in serving and not (shadow and shadow.variant == name)]
    return text + (f" · {', '.join(standing_by)} at 0" if standing_by else "") + (f" · {config}" if config else "")


def _describe_document(document: Document | None) -> str:
    if document is None:
        return ""
    part = f" for {percent(document.share)} % of clients, else {document.before or 'none'}" if document.share < WHOLE else ""
    return f"config {document.version}{part}"
