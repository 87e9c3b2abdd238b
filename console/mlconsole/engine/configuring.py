"""Configuring: config documents as they are, and the drafts on which people work until they are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as changed
from typing import TYPE_CHECKING

from mlconsole.core.configdiff import touched
from mlconsole.core.documents import WHOLE, Document, Draft, LiveDocument, config_target, touches
from mlconsole.core.entries import entries
from mlconsole.core.live import Transition, fingerprint
from mlconsole.core.pointers import REMOVE, get, told
from mlconsole.core.releases import Content, Release, ReleaseKind, Standing
from mlconsole.core.text import did_you_mean, neutralise
from mlconsole.documents import Reading, read, splice
from mlconsole.documents import import_env as read_env
from mlconsole.engine import documenting
from mlconsole.engine.access import Deed
from mlconsole.engine.authoring import signed
from mlconsole.engine.documentshown import about, differences_between, entry_view, everywhere, text_between, versions_of, way_back
from mlconsole.engine.documentviews import (
    DifferenceView,
    DocumentView,
    DraftView,
    EntryView,
    FindingView,
    TextLineView,
    WhatIfView,
)
from mlconsole.engine.planning import changed_outside
from mlconsole.engine.telling import release_view
from mlconsole.engine.views import ReleaseView
from mlconsole.plugin.errors import Conflict, InvalidFile, MLConsoleError, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.core.live import Live
    from mlconsole.core.models import Json
    from mlconsole.engine.session import Session
    from mlconsole.registry import Recorded


def documents(session: Session) -> tuple[DocumentView, ...]:
    """Every config document of the environment; one that can't be read just now says why."""
    if not session.workspace.configs or not session.backend.keeps_documents:
        return ()
    return tuple(document(session, name) for name in session.workspace.configs)


def document(session: Session, name: str) -> DocumentView:
    """One document: what is live, its entries and versions, and its draft with what lint says of it.

    Raises:
        UnknownName: there is none of that name.
    """
    documenting.settings(session, name)
    target = config_target(name)
    try:
        live = session.backend.describe(target)
    except MLConsoleError as error:
        return DocumentView(name, session.environment.name, None, "", 0, problem=error.message)
    there = live.document or LiveDocument(name)
    recorded = session.registry.live_release(session.environment.name, target)
    draft = session.registry.draft(session.environment.name, name)
    body = documenting.live_bytes(session, name, there)
    reading = documenting.reading_of(session, name, body) if body is not None else None
    lag = session.backend.config().limits().poll_lag
    since = session.registry.live_since(session.environment.name, target) if recorded is not None else None
    known = documenting.settings(session, name)
    view = DocumentView(
        name,
        session.environment.name,
        there.version,
        there.digest,
        there.latest,
        there.share,
        there.before,
        neutralise(there.publication),
        live.transition is Transition.IN_PROGRESS,
        _outside(session, live, recorded),
        recorded.release.number if recorded is not None else None,
        lag,
        everywhere(session, since, lag),
        tuple(entry_view(one, reading) for one in entries(reading.value, known.layout)) if reading is not None else (),
        versions_of(session, target, there),
        way_back=way_back(recorded, there, lag),
        policy=known.policy,
        slice_word=next((key for _, key in known.layout.slices), "slice"),
        told=neutralise(live.reason),
        watching=session.backend.document_watching(name) or "",
    )
    from mlconsole.engine.forecasting import forecast

    view = changed(view, forecast=forecast(session, name, there.version) if there.version is not None else None)
    return view if draft is None else _with_draft(session, view, draft, there, reading)


# Drafts.


def edit(session: Session, name: str, edits: Mapping[str, Json], *, edition: int | None = None, reason: str | None = None) -> DocumentView:
    """Change values of the draft (pointer → value, `REMOVE` takes one away); a draft is begun where there is none. All else stays as it is,
    byte for byte.

    Raises:
        UsageError: a pointer that leads nowhere, a value that can't stand there.
        Conflict: somebody else's edit came between.
    """
    draft, body = _draft(session, name, edition)
    return _save(session, draft, splice(body, documenting.settings(session, name).format, edits), reason)


def replace(session: Session, name: str, body: bytes, *, edition: int | None = None, reason: str | None = None) -> DocumentView:
    """The draft becomes these bytes, as somebody wrote them in an editor. Bytes that can't be read are kept too; lint tells what is wrong.

    Raises:
        Conflict: somebody else's edit came between.
    """
    draft, _ = _draft(session, name, edition, empty=True)
    return _save(session, draft, body, reason)


def move(session: Session, name: str, pointer: str, to_slice: str, *, edition: int | None = None) -> DocumentView:
    """What the draft changes at `pointer` was meant for another slice: there it gets the value, here it is as before.

    Raises:
        UsageError: the draft changes nothing there, or there is no such slice.
        Conflict: somebody else's edit came between.
    """
    draft, body = _draft(session, name, edition)
    known = documenting.settings(session, name)
    base = _base_bytes(session, draft)
    value = read(body, known.format).value
    former = read(base, known.format).value if base is not None else None
    found = entries(value, known.layout)
    here = next((one for one in found if touches((one.pointer,), pointer)), None)
    if here is None or former is None or get(value, pointer, None) == get(former, pointer, None):
        raise UsageError(f"The draft of {name} changes nothing at {told(pointer) or pointer}: there is nothing to move.")
    siblings = {one.slice: one for one in found if one.model == here.model and one.slice != here.slice}
    if to_slice not in siblings:
        text = f'{here.model} has no entry for "{neutralise(to_slice)}". {did_you_mean(to_slice, siblings)}'
        raise UsageError(text.rstrip())
    inner = pointer.removeprefix(here.pointer)
    edits = {pointer: get(former, pointer, REMOVE), siblings[to_slice].pointer + inner: get(value, pointer, REMOVE)}
    return _save(session, draft, splice(body, known.format, edits), None)


def rebase(session: Session, name: str, *, edition: int | None = None) -> DocumentView:
    """The draft's edits onto what is live by now.

    Raises:
        UsageError: there is no draft.
        Conflict: others changed the same values since; they are named.
    """
    draft = session.registry.draft(session.environment.name, name)
    if draft is None:
        raise UsageError(f"config {name} has no draft.")
    _check_edition(draft, edition)
    known = documenting.settings(session, name)
    there = session.backend.describe(config_target(name)).document or LiveDocument(name)
    live, base = documenting.live_bytes(session, name, there), _base_bytes(session, draft)
    if live is None or base is None:
        raise UsageError(f"config {name} is not published: its draft is the first version of it.")
    body = documenting.bytes_at(session, draft.digest)
    before, mine, now = (read(one, known.format).value for one in (base, body, live))
    pointers, theirs = touched(before, mine), touched(before, now)
    overlaps = [one for one in pointers if touches(theirs, one) and get(mine, one, REMOVE) != get(now, one, REMOVE)]
    if overlaps:
        raise Conflict(
            f"Since this draft of {name} was begun on {draft.base}, others changed what it changes: "
            f"{', '.join(told(one) for one in overlaps[:5])}. Nothing was changed.",
            next=f"Look at both: mlconsole config diff {name} live draft; then throw the draft away: mlconsole config discard {name}",
        )
    edits = {one: get(mine, one, REMOVE) for one in pointers if get(mine, one, REMOVE) != get(now, one, REMOVE)}
    onto = splice(live, known.format, edits) if edits else live
    return _save(session, changed(draft, base=there.version), onto, None)


def discard(session: Session, name: str, *, edition: int | None = None) -> DocumentView:
    """Throw the draft away; its bytes stay in the registry."""
    documenting.settings(session, name)
    session.access.require(Deed.EDIT)
    session.registry.drop_draft(session.environment.name, name, edition)
    return document(session, name)


def import_env(session: Session, name: str, text: str) -> DocumentView:
    """Values out of an environment file, where people come from: what could be placed is in the draft, the rest is told by lint.

    Raises:
        InvalidFile: nothing of it could be placed.
    """
    draft, body = _draft(session, name, None)
    known = documenting.settings(session, name)
    found = read_env(text, read(body, known.format).value, known.layout)
    if not found.edits:
        why = "; ".join(one.text for one in found.findings[:3])
        raise InvalidFile(
            f"Nothing of this environment file could be placed in config {name}{f': {why}' if why else ''}. Nothing was changed."
        )
    for one in found.findings:
        session.tell("note", one.text)
    return _save(session, draft, splice(body, known.format, found.edits), None)


# Looking.


def what_if(session: Session, name: str, *, days: float = 7.0, body: bytes | None = None) -> WhatIfView:
    """The stored observations of the last days decided again: under the draft (or `body`), beside what is live.

    Raises:
        UsageError: nothing is published, or there is neither draft nor `body`.
    """
    from mlconsole.engine.whatifs import decided_again

    there = session.backend.describe(config_target(name)).document or LiveDocument(name)
    if body is None:
        draft = session.registry.draft(session.environment.name, name)
        if draft is None:
            raise UsageError(f"config {name} has no draft: there is nothing to be tried.", next=f"mlconsole config edit {name}")
        body = documenting.bytes_at(session, draft.digest)
    return decided_again(session, name, documenting.live_bytes(session, name, there), body, days)


def text_of(session: Session, name: str, what: str | int = "draft") -> str:
    """The text of the draft (of what is live, where there is none), of what is `live`, of a version, or of another environment's live one.

    Raises:
        UnknownName: there is no such version.
    """
    reading = read(bytes_of(session, name, what), documenting.settings(session, name).format)
    return reading.text


def compare(session: Session, name: str, old: str | int, new: str | int) -> tuple[tuple[DifferenceView, ...], tuple[TextLineView, ...]]:
    """Two of them beside each other: the differences, and the text."""
    format_ = documenting.settings(session, name).format
    one, two = (read(bytes_of(session, name, what), format_) for what in (old, new))
    return differences_between(one, two), text_between(one, two)


def bytes_of(session: Session, name: str, what: str | int) -> bytes:
    """As `text_of`, byte for byte; `file` is what mlconsole.yaml lets the document begin with.

    Raises:
        UnknownName: there is no such document or version.
        UsageError: nothing is published.
    """
    documenting.settings(session, name)
    environment, target = session.environment.name, config_target(name)
    if what == "draft":
        draft = session.registry.draft(environment, name)
        if draft is not None:
            return documenting.bytes_at(session, draft.digest)
        what = "live"
    if what == "file":
        return _file(session, name)
    if what in session.workspace.environments and what != environment:
        other = session.elsewhere(str(what))
        try:
            return bytes_of(other, name, "live")
        finally:
            other.close()
    if what in ("live", environment):
        there = session.backend.describe(target).document or LiveDocument(name)
        body = documenting.live_bytes(session, name, there)
        if body is None:
            drafted = session.registry.draft(environment, name) is not None
            how = f"publish {name}" if drafted else f"edit {name} --file {documenting.settings(session, name).file}"
            raise UsageError(f"config {name} is not published in {environment}.", next=f"mlconsole config {how} --env {environment}")
        return body
    try:
        number = int(what)
    except ValueError:
        known = ["draft", "live", "file", *session.workspace.environments]
        raise UnknownName(f'"{neutralise(str(what))}" is no version of config {name}. {did_you_mean(str(what), known)}') from None
    stored = next((one.digest for one in session.backend.document_versions(name) if one.number == number), None)
    if stored is None:
        raise UnknownName(f"config {name} has no version {number}.", next=f"mlconsole config list {name} shows them.")
    return session.registry.bytes_of(stored) or session.backend.document_bytes(name, number)


def entries_of(session: Session, name: str, what: str | int) -> tuple[EntryView, ...]:
    """The entries of one of them; those of the draft say what they were before."""
    if what == "draft" and session.registry.draft(session.environment.name, name) is not None:
        return document(session, name).entries
    known = documenting.settings(session, name)
    reading = read(bytes_of(session, name, what), known.format)
    return tuple(entry_view(one, reading) for one in entries(reading.value, known.layout))


def _file(session: Session, name: str) -> bytes:
    file = documenting.settings(session, name).file
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidFile(f"{file} can't be read: {error.strerror}.", next="It is named in mlconsole.yaml under configs.") from error


def _draft(session: Session, name: str, edition: int | None, *, empty: bool = False) -> tuple[Draft, bytes]:
    """The draft and its bytes; a new one begins with what is live, the document's first with the file that mlconsole.yaml names."""
    documenting.settings(session, name)
    session.access.require(Deed.EDIT)
    draft = session.registry.draft(session.environment.name, name)
    if draft is not None:
        _check_edition(draft, edition)
        return draft, documenting.bytes_at(session, draft.digest)
    if edition:
        raise Conflict(
            f"The draft of {name} was published or thrown away meanwhile. Nothing was changed.",
            next=f"Look at what is live, and begin again: mlconsole config show {name}",
        )
    there = session.backend.describe(config_target(name)).document or LiveDocument(name)
    body = documenting.live_bytes(session, name, there)
    if body is None:
        body = b"" if empty else _file(session, name)
    now = session.clock.now()
    return Draft(session.environment.name, name, there.version, "", 0, session.actor, now), body


def _check_edition(draft: Draft, edition: int | None) -> None:
    if edition is not None and edition != draft.edition:
        raise Conflict(
            f"{neutralise(draft.actor.user)} edited the draft of {draft.document} meanwhile ({draft.edition}). Nothing was changed.",
            next=f"Look at it, and edit it again: mlconsole config diff {draft.document}",
        )


def _save(session: Session, draft: Draft, body: bytes, reason: str | None) -> DocumentView:
    saved = changed(draft, actor=session.actor, changed=session.clock.now(), reason=draft.reason if reason is None else reason)
    session.registry.save_draft(saved, body)
    return document(session, draft.document)


def _base_bytes(session: Session, draft: Draft) -> bytes | None:
    if draft.base is None:
        return None
    stored = next((one.digest for one in session.backend.document_versions(draft.document) if one.number == draft.base), None)
    kept = session.registry.bytes_of(stored) if stored is not None else None
    return kept if kept is not None else session.backend.document_bytes(draft.document, draft.base)


# Keeping what others published.


def adopt(session: Session, name: str, *, reason: str = "", only_look: bool = False) -> ReleaseView:
    """Take over what is published as it is: release #1 *as found*; or, where somebody else published, keep that as a release of its own.

    With `only_look` nothing is kept; the release is the one that would be.

    Raises:
        UsageError: nothing to adopt; nothing is published, or what was published from here.
        Conflict: it is being published just now.
    """
    target = config_target(documenting.settings(session, name).name)
    session.access.require(Deed.LOOK if only_look else Deed.ADOPT)
    live = session.backend.describe(target)
    there = live.document
    if there is None or there.version is None:
        raise UsageError(f"Nothing to adopt: config {name} is not published in {session.environment.name}.")
    if live.transition is Transition.IN_PROGRESS or there.share < WHOLE:
        doing = neutralise(there.publication) or "somebody publishes it"
        raise Conflict(
            f"config {name} is being published just now ({doing}). Nothing was adopted.", next="Try again when all clients have it."
        )
    recorded = session.registry.live_release(session.environment.name, target)
    if recorded is not None and changed_outside(live, recorded.release) is None:
        raise UsageError(f"Nothing to adopt: config {name} is #{recorded.release.number}, as mlconsole left it.")
    running = next((one for one in session.registry.unfinished(session.environment.name) if one.endpoint == target), None)
    if running is not None:
        raise Conflict(f"config {name} has an unfinished change, {running.id}.", next=f"mlconsole recover {running.id}")
    body = session.backend.document_bytes(name, there.version)
    found = Release(
        environment=session.environment.name,
        endpoint=target,
        number=0,
        content=Content(document=_theirs(session, name, there, body, recorded)),
        kind=ReleaseKind.KEPT if recorded else ReleaseKind.AS_FOUND,
        created=session.clock.now(),
        actor=session.acting(),
        reason=reason,
        made_from=recorded.release.number if recorded else None,
    )
    if only_look:
        newest = session.registry.releases(session.environment.name, target, limit=1)
        return release_view(changed(found, number=newest[0].release.number + 1 if newest else 1), Standing.PENDING)
    session.registry.keep_bytes(body)
    return release_view(session.registry.adopt(found), Standing.LIVE)


def _theirs(session: Session, name: str, there: LiveDocument, body: bytes, recorded: Recorded | None) -> Document:
    """What somebody else published, as a release of ours would have it: going back from it restores what they touched."""
    assert there.version is not None  # it is published
    ours = recorded.release.content.document if recorded is not None else None
    former = session.registry.bytes_of(ours.digest) if ours is not None else None
    if ours is None or former is None:
        return Document(name, there.version, there.digest, pointers=("",))
    format_ = documenting.settings(session, name).format
    pointers = touched(read(former, format_).value, read(body, format_).value)
    return Document(name, there.version, there.digest, WHOLE, ours.version, ours.digest, pointers)


# Views.


def _with_draft(session: Session, view: DocumentView, draft: Draft, there: LiveDocument, live: Reading | None) -> DocumentView:
    known = documenting.settings(session, view.name)
    body = documenting.bytes_at(session, draft.digest)
    reading = documenting.reading_of(session, view.name, body)
    base = _base_bytes(session, draft)
    before = documenting.reading_of(session, view.name, base) if base is not None else None
    found = documenting.judged(session, view.name, body, there, draft.reason)
    differing = differences_between(before, reading) if before is not None and reading.value is not None else ()
    slices = documenting.slices_touched(session, view.name, body, there) if reading.value is not None else ()
    drafted = DraftView(
        draft.base,
        draft.edition,
        neutralise(draft.actor.user),
        draft.changed,
        neutralise(draft.reason),
        differing,
        tuple(FindingView(str(one.severity), one.rule, neutralise(one.text), one.pointer, one.line) for one in found),
        text_between(before, reading) if before is not None else (),
        confirm=slices[0] if len(slices) == 1 else view.name,
        about=about(differing, slices, view),
    )
    shown = entries(reading.value, known.layout) if reading.value is not None else ()
    former = {one.pointer: one for one in entries(before.value, known.layout)} if before is not None else {}
    return changed(view, draft=drafted, entries=tuple(entry_view(one, reading, former.get(one.pointer)) for one in shown) or view.entries)


def _outside(session: Session, live: Live, recorded: Recorded | None) -> str:
    if recorded is None:
        return "it was published by somebody else" if live.exists else ""
    if fingerprint(live) == "" or live.transition is Transition.IN_PROGRESS:
        return ""
    found = changed_outside(live, recorded.release)
    return "" if found is None else neutralise(signed(session, found, recorded.release, live, wait=0.0).message)
