"""Config documents: which bytes are live, in which version, and for which share of the clients."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mlconsole.core.models import Actor

WHOLE = 10_000
"""All clients (bp)."""

_TARGET = "config:"

MOST_BYTES = 1_000_000
"""A document is never larger (AppConfig's hosted versions are not either)."""


def config_target(document: str) -> str:
    """What a release of a document is of: `config:models`. No endpoint can be called so."""
    return _TARGET + document


def document_of(target: str) -> str | None:
    """The document that a target is; None for an endpoint."""
    return target.removeprefix(_TARGET) if target.startswith(_TARGET) else None


def target_told(target: str) -> str:
    """A target as people read it: `config models`, or the endpoint's name."""
    document = document_of(target)
    return target if document is None else f"config {document}"


def target_named(text: str) -> str:
    """The target that people mean, who may write what they read: `config models` is `config:models`."""
    return _TARGET + text.removeprefix("config ").strip() if text.startswith("config ") else text


def digest_of(body: bytes) -> str:
    """The identity of a version's bytes: `sha256:…`."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Format(StrEnum):
    """How a document is written."""

    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Document:
    """What a release wants of a config document: one version, and which share of the clients (bp) reads it.

    While `share` is below `WHOLE` the others read version `before`. `pointers` are the JSON pointers that the change touched: going back
    restores only those, onto whatever is live then.
    """

    name: str
    version: int
    digest: str
    share: int = WHOLE
    before: int | None = None
    before_digest: str = ""
    pointers: tuple[str, ...] = ()
    effect: str = ""
    """A short hash of what it changes, which is those pointers and their new values: the same on whatever version it is put."""


@dataclass(frozen=True)
class LiveDocument:
    """A document as its store reports it. `version` None: nothing is published. `latest` is the highest version number that the store
    holds (0: none), published or not; what is added next has to be one more (the optimistic lock)."""

    name: str
    version: int | None = None
    digest: str = ""
    share: int = WHOLE
    before: int | None = None
    before_digest: str = ""
    latest: int = 0
    publication: str = ""
    """The store's own words for what is going on: `DEPLOYING 40 % (deployment 66)`; foreign text."""


@dataclass(frozen=True)
class DocumentVersion:
    """One immutable version: who wrote it, why, from which one. Its bytes lie beside, under their digest."""

    environment: str
    document: str
    number: int
    digest: str
    size: int
    created: datetime
    actor: Actor
    reason: str = ""
    parent: int | None = None
    pointers: tuple[str, ...] = ()
    """Which JSON pointers differ from the parent; `("",)`: all of it."""


@dataclass(frozen=True)
class Draft:
    """Bytes that somebody works on; they have no number until they are published. `edition` rises with every edit (optimistic lock)."""

    environment: str
    document: str
    base: int | None
    """The version it was begun from; None: the document's first."""
    digest: str
    edition: int
    actor: Actor
    changed: datetime
    reason: str = ""


@dataclass(frozen=True)
class Layout:
    """How applications read a document: where its entries stand, and what their fields mean.

    `entries` is a JSON pointer with `{model}` and, where there is one for each slice, `{slice}`: `/{model}/{slice}`. `slices` names the
    slice key of each model (`{"relevance": "language"}`). The others are pointers *inside* an entry, empty where entries have none.
    """

    entries: str = "/{model}/{slice}"
    slices: tuple[tuple[str, str], ...] = ()
    endpoint: str = "/endpoint"
    share: str = "/share"
    split: str = "/split"
    """An object variant → percent, by which applications split traffic themselves."""
    fields: str = "/fields"
    """The list of the model's inputs that the application fills."""
    threshold: str = "/threshold"
    differ: tuple[str, ...] = ()
    """Pointers inside an entry whose values have to differ between sibling slices: an equal one was copied and forgotten."""

    def slice_key(self, model: str) -> str:
        """The slice key of a model's entries; `slice` where none is named."""
        return dict(self.slices).get(model, "slice")


def touches(pointers: Sequence[str], pointer: str) -> bool:
    """Whether a change of `pointers` touches the value at `pointer`: one is the other, or lies inside it."""
    return any(_within(one, pointer) or _within(pointer, one) for one in pointers)


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/") or outer == ""
