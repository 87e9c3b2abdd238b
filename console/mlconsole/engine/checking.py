"""Checking: what lint says of a config document: of its draft, of what is live, or of bytes from elsewhere, with or without a backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlconsole.core.documents import LiveDocument, config_target
from mlconsole.core.findings import Finding, stops
from mlconsole.core.text import neutralise
from mlconsole.documents import read
from mlconsole.engine import configuring, documenting
from mlconsole.engine.documentviews import FindingView
from mlconsole.plugin.errors import MLConsoleError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


@dataclass(frozen=True)
class Checked:
    """What lint says of one text."""

    what: str
    """`draft`, `live` or `file`."""
    findings: tuple[FindingView, ...]
    beside: int | None
    """The live version that it was compared with; None: with none."""
    unknown: str = ""
    """Why it could not be compared with what is live; empty: it was, or nothing is."""


def lint(session: Session, name: str, body: bytes | None = None, *, reason: str | None = None) -> Checked:
    """What lint says of `body`; else of the draft, else of what is live. A `body` is checked also where what is live can't be read: what
    needs that is left out, and said.

    Raises:
        UnknownName: there is no such document.
        UsageError: there is nothing to be checked.
    """
    documenting.settings(session, name)
    there, unknown = LiveDocument(name), ""
    try:
        there = session.backend.describe(config_target(name)).document or there
        documenting.live_bytes(session, name, there)  # it has to be readable, not only named
    except MLConsoleError as error:
        if body is None:
            raise
        there, unknown = LiveDocument(name), f"Compared with nothing that is live: {neutralise(error.message)}"
    what, why = "file", reason or ""
    if body is None:
        draft = session.registry.draft(session.environment.name, name)
        what = "draft" if draft is not None else "live"
        body = configuring.bytes_of(session, name, what)
        why = draft.reason if draft is not None and reason is None else why
    found = documenting.judged(session, name, body, there, why)
    return Checked(what, tuple(_view(one) for one in found), there.version, unknown)


def unreadable(session: Session, name: str) -> FindingView | None:
    """Why the draft can't be read at all; None: it can, or there is none."""
    draft = session.registry.draft(session.environment.name, name)
    if draft is None:
        return None
    reading = read(documenting.bytes_at(session, draft.digest), documenting.settings(session, name).format)
    return _view(stops(reading.findings)[0]) if not reading.readable else None


def _view(one: Finding) -> FindingView:
    return FindingView(str(one.severity), one.rule, neutralise(one.text), one.pointer, one.line)
