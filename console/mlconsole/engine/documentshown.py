"""Config documents shown: entries, differences, versions and ways back as values for faces."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.configdiff import Difference, differences, text_diff
from mlconsole.core.documents import Document, LiveDocument
from mlconsole.core.entries import Entry
from mlconsole.core.pointers import told
from mlconsole.core.releases import Release, Standing
from mlconsole.core.text import neutralise
from mlconsole.core.traffic import percent
from mlconsole.documents import Reading
from mlconsole.engine.documentviews import DifferenceView, DocumentView, EntryView, TextLineView, VersionView

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.registry import Recorded

_VERSIONS = 50
"""Versions that a view holds, at most."""

_SHORT = 80
"""Characters of a value in a view, at most."""


def about(differing: tuple[DifferenceView, ...], slices: tuple[str, ...], view: DocumentView) -> str:
    """`1 value changes for one language of relevance`."""
    if not differing:
        return "the first version" if view.version is None else "nothing changes"
    count = f"{len(differing)} value{'' if len(differing) == 1 else 's'} {'changes' if len(differing) == 1 else 'change'}"
    if len(slices) == 1:
        model = next((entry.model for entry in view.entries if entry.slice == slices[0]), "")
        return f"{count} for one {view.slice_word}{f' of {model}' if model else ''}"
    return count + (f" for {', '.join(slices[:4])}{f' and {len(slices) - 4} more' if len(slices) > 4 else ''}" if slices else "")


def entry_view(entry: Entry, reading: Reading | None, before: Entry | None = None) -> EntryView:
    place = reading.places.get(entry.pointer) if reading is not None else None
    mine, former = _columns(entry), _columns(before) if before is not None else {}
    return EntryView(
        neutralise(entry.model),
        neutralise(entry.slice),
        mine["endpoint"],
        mine["share"],
        tuple(neutralise(one) for one in entry.fields or ()),
        mine["threshold"],
        entry.pointer,
        place.line if place is not None else None,
        {column: former[column] for column in former if former[column] != mine[column]},
    )


def _columns(entry: Entry) -> dict[str, str]:
    split = " · ".join(f"{name} {percent(share)}" for name, share in (entry.split or {}).items())
    return {
        "endpoint": neutralise(entry.endpoint or ""),
        "share": split or (f"{percent(entry.share)} %" if entry.share is not None else ""),
        "fields": neutralise(", ".join(entry.fields or ())),
        "threshold": f"{entry.threshold:g}" if entry.threshold is not None else "",
    }


def differences_between(one: Reading, two: Reading) -> tuple[DifferenceView, ...]:
    if one.value is None or two.value is None:
        return ()
    return tuple(_difference(each, one, two) for each in differences(one.value, two.value))


def _difference(one: Difference, before: Reading, after: Reading) -> DifferenceView:
    place = after.places.get(one.pointer) or before.places.get(one.pointer)
    old, new = (_short(reading, one.pointer) for reading in (before, after))
    return DifferenceView(
        one.pointer, neutralise(told(one.pointer)), str(one.kind), old, new, one.relative, place.line if place is not None else None
    )


def _short(reading: Reading, pointer: str) -> str:
    """A value as it is written there; a long one is cut."""
    place = reading.places.get(pointer)
    text = " ".join(reading.text[place.start : place.end].split()) if place is not None else ""
    return neutralise(text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…")


def text_between(one: Reading, two: Reading) -> tuple[TextLineView, ...]:
    return tuple(TextLineView(line.sign, neutralise(line.text), line.old, line.new) for line in text_diff(one.text, two.text))


def versions_of(session: Session, target: str, there: LiveDocument) -> tuple[VersionView, ...]:
    """The versions that were ever published from here, newest first: who, why, and what they touched."""
    found: dict[str, VersionView] = {}
    for one in session.registry.releases(session.environment.name, target, limit=4 * _VERSIONS):
        document = one.release.content.document
        if document is None or one.standing is Standing.FAILED:
            continue
        # The oldest release of a version is its publication; of one that grew, its rollout says who wanted it, and why.
        rollout = session.registry.rollout(one.release.rollout) if one.release.rollout else None
        told_by = one.release if rollout is None else replace(one.release, actor=rollout.actor, reason=rollout.reason)
        found[document.digest] = _version(told_by, document, there)
    return tuple(sorted(found.values(), key=lambda one: -one.number)[:_VERSIONS])


def _version(release: Release, document: Document, there: LiveDocument) -> VersionView:
    return VersionView(
        document.version,
        release.created,
        neutralise(release.actor.user),
        neutralise(release.reason),
        document.before,
        tuple(neutralise(told(one)) for one in document.pointers),
        live=document.digest == there.digest,
        digest=document.digest,
    )


def everywhere(session: Session, since: datetime | None, lag: float) -> datetime | None:
    if since is None:
        return None
    at = since + timedelta(seconds=lag)
    return at if at > session.clock.now() else None


def way_back(recorded: Recorded | None, there: LiveDocument, lag: float) -> str:
    document = recorded.release.content.document if recorded is not None else None
    if document is None or document.before is None or there.version is None:
        return ""
    values = len(document.pointers)
    return f"to {document.before}: about {lag:.0f} s, only {'this value' if values == 1 else f'these {values} values'}"
