"""What a backend has already, told so that a workspace can be made of it (`mlconsole init --from PLUGIN`), and where bytes come from that
nobody registered.

A plugin that plays `discovery` need not be bound in mlconsole.yaml: it is asked before there is one, and whenever something is adopted. Its
factory is then given the options that the person has said (a profile, a region), neither validated nor filled up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from mlconsole.core.documents import Format, Layout
from mlconsole.core.models import Json
from mlconsole.documents import read
from mlconsole.plugin.errors import InvalidRequest


@dataclass(frozen=True)
class FoundEndpoint:
    """An endpoint as the workspace will call it. All texts are foreign."""

    name: str
    model: str
    told: str = ""
    """What is behind it, for people: `blue 90 · green 10`."""
    read_only: str = ""
    """Why it can only be looked at; empty: it can be changed."""


@dataclass(frozen=True)
class FoundDocument:
    """A config document with the bytes that are published. `layout` None: where its entries stand is not clear, `why` says it."""

    name: str
    suffix: str
    """`.json` or `.yaml`: how it is written."""
    body: bytes
    layout: Layout | None = None
    why: str = ""


@dataclass(frozen=True)
class FoundEnvironment:
    """Where endpoints are served, with the plugin's options for it."""

    name: str
    production: bool
    roles: tuple[str, ...]
    """The roles that the plugin would play there."""
    options: Mapping[str, Json]
    endpoints: tuple[FoundEndpoint, ...] = ()
    documents: tuple[str, ...] = ()
    traffic_in: str | None = None
    """The document in which applications read who gets which share."""
    about: str = ""
    """One line for people."""
    comments: Mapping[str, str] = field(default_factory=dict)
    """What is said beside an option in the file, by its path: `sagemaker.role`."""


@dataclass(frozen=True)
class Found:
    """All that a workspace could be made of."""

    place: str
    """Where was looked, and as whom: `account 123456789012, eu-central-1, as ops`."""
    environments: tuple[FoundEnvironment, ...]
    documents: tuple[FoundDocument, ...] = ()
    remarks: tuple[str, ...] = ()
    """What was seen and not taken, or could not be seen, one line each (foreign text inside)."""


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a variant come from, for a version that is registered because it was found running. Foreign text."""

    version: str
    """What a person would call it; made a valid version by who registers it."""
    location: str
    """From where the backend can serve the same bytes again: `sagemaker://model/NAME`."""
    size: int = 0
    description: str = ""


@runtime_checkable
class Discovery(Protocol):
    """Looks, and changes nothing."""

    def found(self) -> Found:
        """What there is.

        Raises:
            AuthFailed: the credentials are missing, wrong, or have run out.
            Refused: it may not be looked at, or what is needed to begin was not said.
            Unavailable: nobody answers.
        """
        ...

    def origin(self, endpoint: str, variant: str) -> Origin | None:
        """Where a variant's bytes come from; None where the same can't be served again from there."""
        ...


def value_of(body: bytes, suffix: str) -> Json:
    """What a document says, read as strictly as the console itself reads it.

    Raises:
        InvalidRequest: it can't be read, or can be understood in two ways.
    """
    reading = read(body, Format.YAML if suffix in (".yaml", ".yml") else Format.JSON)
    if not reading.readable:
        raise InvalidRequest(next((one.text for one in reading.findings), "It can't be read."))
    return reading.value
