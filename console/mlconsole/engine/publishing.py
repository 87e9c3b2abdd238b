"""Publishing: a config document's draft becomes its next version, by an ordinary change or stage by stage; going back restores only what a
change touched, onto whatever is live then."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlconsole.core.configdiff import restored, touched
from mlconsole.core.documents import WHOLE, Document, LiveDocument, config_target, digest_of, target_told
from mlconsole.core.findings import Severity, stops
from mlconsole.core.live import Live
from mlconsole.core.plans import Plan
from mlconsole.core.pointers import get, told
from mlconsole.core.releases import Content, Release, ReleaseKind, Standing
from mlconsole.core.text import did_you_mean, duration
from mlconsole.documents import splice
from mlconsole.engine import documenting
from mlconsole.engine.access import Deed
from mlconsole.engine.planning import changed_outside, current, make_plan
from mlconsole.plugin.errors import ChangedOutside, Conflict, NotAllowed, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_TOLD = 5
"""Pointers that an error names, at most."""


@dataclass(frozen=True)
class Prepared:
    """A draft that may be published: the document as it would be, and as it is."""

    document: Document
    now: Document | None
    live: LiveDocument
    notes: tuple[str, ...]
    skipped: tuple[str, ...]
    confirm: str
    """What has to be typed in production."""
    reason: str = ""
    """Why: what was said with the publication, else with the draft."""


def plan_publish(session: Session, name: str, *, reason: str = "", break_glass: str = "") -> Plan:
    """The draft of a document becomes its next version, for all clients at once.

    Raises:
        UnknownName: there is no such document.
        UsageError: it has no draft, or one that changes nothing.
        NotAllowed: lint stops it, or nothing goes forward just now.
        Conflict: somebody published since the draft was begun.
        ChangedOutside: what is live is not what was published last.
    """
    target = config_target(documenting.settings(session, name).name)
    live, record = document_now(session, name)
    prepared = prepare(session, name, live, reason=reason, break_glass=break_glass)
    return make_plan(
        session,
        target,
        ReleaseKind.PUBLISH,
        live,
        record,
        Content(document=prepared.document),
        words=["config", "publish", name, "--at-once"],
        reason=prepared.reason,
        break_glass=break_glass,
        skipped=prepared.skipped,
        notes=(*prepared.notes, *guarded(session, name, "all clients at once: no stage in which a guard could stop it")),
        confirm=prepared.confirm if session.environment.production else None,
    )


def guarded(session: Session, name: str, otherwise: str) -> tuple[str, ...]:
    """What the store itself watches while it publishes (invariant 6); where it watches nothing, `otherwise`."""
    return (session.backend.document_watching(name) or otherwise,)


def document_now(session: Session, name: str) -> tuple[Live, Release | None]:
    """What is live of a document and its live release, which have to agree before anything goes forward.

    Raises:
        Locked, ChangedOutside, Conflict: as `planning.current`.
    """
    live, record = current(session, config_target(name))
    there = live.document
    if there is not None and there.share < WHOLE:
        raise Conflict(
            f"config {name} {there.version} is with a part of the clients just now. Nothing was changed.",
            next=f"mlconsole rollout status {config_target(name)}; go back: mlconsole config revert {name}",
        )
    return live, record


def prepare(session: Session, name: str, live: Live, *, reason: str = "", break_glass: str = "") -> Prepared:
    """The draft as a version that may be published; its bytes are kept, so that a plan can be applied later.

    Raises:
        UsageError: there is no draft, or it changes nothing.
        Conflict: it was begun from another version than the one that is live.
        NotAllowed: lint stops it.
    """
    session.access.require(Deed.PLAN)
    draft = session.registry.draft(session.environment.name, name)
    if draft is None:
        begun = (live.document or LiveDocument(name)).version is not None
        how = "POINTER=VALUE" if begun else f"--file {documenting.settings(session, name).file}"
        raise UsageError(f"config {name} has no draft: there is nothing to publish.", next=f"mlconsole config edit {name} {how}")
    there = live.document or LiveDocument(name)
    if draft.base != there.version:
        raise Conflict(
            f"This draft of {name} was begun on version {draft.base or 'none'}, live is {there.version or 'none'}. Nothing was changed.",
            next=f"mlconsole config rebase {name} puts its edits onto what is live.",
        )
    body = documenting.bytes_at(session, draft.digest)
    if draft.digest == there.digest:
        raise UsageError(f"The draft of {name} is what is live already ({there.version}). Nothing to do.")
    judged = documenting.judged(session, name, body, there, reason or draft.reason)
    found = stops(judged)
    if found and (not break_glass or not documenting.readable(session, name, body)):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        where = f" ({told(found[0].pointer)})" if found[0].pointer else ""
        raise NotAllowed(
            f"{found[0].text}{where}{more}: lint stops this. Nothing was published.",
            next=f'mlconsole config lint {name} shows all of it. Break-glass needs a reason: --break-glass "…".',
        )
    document = next_version(session, name, body, there)
    pointers = document.pointers
    slices = documenting.slices_touched(session, name, body, there)
    return Prepared(
        document,
        None if there.version is None else as_document(there),
        there,
        notes=(
            f"{_values(len(pointers))} {'changes' if len(pointers) == 1 else 'change'}: {_few(pointers)}",
            *(one.text for one in judged if one.severity is Severity.LOOK),
            f"clients poll: everywhere {duration(session.backend.config().limits().poll_lag)} after it is published",
        ),
        skipped=tuple(f"lint: {one.text}" for one in found) if break_glass else (),
        confirm=slices[0] if len(slices) == 1 else name,
        reason=reason or draft.reason,
    )


def next_version(session: Session, name: str, body: bytes, there: LiveDocument) -> Document:
    """The document that publishing these bytes makes: one that the store holds already where the bytes are the same, else the next."""
    digest = session.registry.keep_bytes(body) if not session.read_only else digest_of(body)
    stored = next((one.number for one in session.backend.document_versions(name) if one.digest == digest), None)
    before = documenting.live_bytes(session, name, there)
    value = documenting.reading_of(session, name, body).value
    pointers = ("",) if before is None else touched(documenting.reading_of(session, name, before).value, value)
    changes = [[pointer, get(value, pointer, None)] for pointer in pointers]
    effect = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:16]
    return Document(name, stored or there.latest + 1, digest, WHOLE, there.version, there.digest, pointers, effect)


def plan_config_revert(session: Session, name: str, *, to: int | None = None, change: int | None = None, reason: str = "") -> Plan:
    """Back to what a document said before its last publication, or before `change` (the number of that release): only the values that it
    touched, as a new version on what is live. `to`: wholly back to what it said at an earlier release. Where somebody else published since,
    what was published from here is put back.

    Raises:
        UnknownName: no such document or release.
        UsageError: there is nothing to go back to.
        ChangedOutside: later changes touched the same values; they are named, and nothing was changed.
    """
    target = config_target(documenting.settings(session, name).name)
    live = session.backend.describe(target)
    there = live.document or LiveDocument(name)
    recorded = session.registry.live_release(session.environment.name, target)
    if recorded is None or there.version is None:
        raise UsageError(f"Nothing to go back to: config {name} was never published from here.")
    notes: tuple[str, ...] = ()
    if to is None and change is None and _theirs(live, recorded.release):
        to = recorded.release.number
        notes = (f"config {name} was changed outside mlconsole; this puts #{to} back",)
    if to is not None:
        wanted = _release(session, target, to).content.document
        assert wanted is not None  # releases of documents have one
        document = next_version(session, name, documenting.bytes_at(session, wanted.digest), there)
        words, equals = ["config", "revert", name, "--to", str(to)], _equal(session, target, document)
    else:
        undone = _release(session, target, change) if change is not None else _last_published(session, target)
        document, notes = undoing(session, name, undone, there)
        words, equals = ["config", "revert", name, "--change", str(undone.number)], _equal(session, target, document)
    return make_plan(
        session,
        target,
        ReleaseKind.REVERT,
        live,
        recorded.release,
        Content(document=document),
        words=words,
        reason=reason,
        equals=equals,
        notes=notes,
    )


def _theirs(live: Live, release: Release) -> bool:
    """Whether somebody else published what is live. A stage of a rollout is gone back from as a whole, whatever is live."""
    document = release.content.document
    return document is not None and document.share == WHOLE and changed_outside(live, release) is not None


def undoing(session: Session, name: str, undone: Release, there: LiveDocument) -> tuple[Document, tuple[str, ...]]:
    """The document in which exactly what a release touched is as it was before it, on what is live; and what a person should know.

    Raises:
        UsageError: it is the document's first version.
        ChangedOutside: later changes touched the same values.
    """
    live = documenting.live_bytes(session, name, there)
    assert live is not None  # it is published
    body, notes = undone_bytes(session, name, undone, live)
    if body == live:
        raise UsageError(f"Nothing to do: what #{undone.number} of config {name} changed is as it was before it already.")
    return next_version(session, name, body, there), notes


def undone_bytes(session: Session, name: str, undone: Release, live: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Bytes in which exactly what a release touched is as it was before it; and what a person should know of that.

    Raises:
        UsageError, ChangedOutside: as `undoing`.
    """
    done = undone.content.document
    assert done is not None  # releases of documents have one
    if done.before is None:
        raise UsageError(f"Nothing to go back to: #{undone.number} is the first release of config {name}.")
    body, overlaps, later = _without(session, done, live)
    if overlaps:
        raise ChangedOutside(
            f"Later changes of config {name} touched what #{undone.number} changed: {_few(overlaps)}. Nothing was changed.",
            next=f"Look at them: mlconsole config diff {name} {done.version} live; set values yourself: mlconsole config edit {name}",
        )
    notes: tuple[str, ...] = (f"restores {_values(len(done.pointers))}: {_few(done.pointers)}",)
    if later:
        notes += (f"{_values(len(later))} changed later {'stays' if len(later) == 1 else 'stay'}: {_few(later)}",)
    return body, notes


def _without(session: Session, done: Document, live: bytes) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    """Live bytes without what a publication did: its values are as they were before it, but those that somebody changed since, which are
    named; and what else was changed since."""
    before = documenting.version_bytes(session, done.name, done.before, done.before_digest)
    if digest_of(live) == done.digest:
        return before, (), ()  # byte for byte as it was
    after = documenting.version_bytes(session, done.name, done.version, done.digest)
    now, was, became = (documenting.reading_of(session, done.name, one).value for one in (live, before, after))
    found = restored(now, was, became, done.pointers)
    body = splice(live, documenting.settings(session, done.name).format, found.edits) if found.edits else live
    return body, found.overlaps, touched(became, now)


def carrying(
    session: Session, name: str, endpoint: str, live: Live, then: Content, *, reason: str, break_glass: str
) -> tuple[Live, Content, Document | None, tuple[str, ...], tuple[str, ...]]:
    """An endpoint's change that carries the draft of a document: the live state with the document in it, the content with its next version,
    the document as it is, what a person should know, and what lint stopped and was passed over.

    Raises:
        As `prepare`; UsageError: the document is not published yet, so that there would be nothing to go back to.
    """
    config, record = document_now(session, name)
    if record is None:
        raise UsageError(
            f"config {name} was never published: there would be nothing to go back to.", next=f"mlconsole config publish {name} --at-once"
        )
    prepared = prepare(session, name, config, reason=reason, break_glass=break_glass)
    document = prepared.document
    held = session.backend.split_written(endpoint, then, documenting.bytes_at(session, document.digest), name)
    if held is not None:  # the same document says who gets which share: one publication says both
        document = next_version(session, name, held, prepared.live)
    known = documenting.settings(session, name)
    first, second = ("config", "traffic") if known.before_traffic else ("traffic", "config")
    lag = duration(session.backend.config().limits().poll_lag)
    together = "config and shares change in one publication" if held is not None else f"{first} changes before {second} does"
    told_ = (
        f"config {name} {prepared.live.version} → {document.version} goes with it, and back with it: {_few(document.pointers)}",
        f"{together}; until all clients have polled ({lag}) some ask with the config of before",
        *prepared.notes[1:-1],
    )
    there = replace(live, document=config.document)
    return there, replace(then, document=document), prepared.now, told_, prepared.skipped


def taken_back(session: Session, endpoint: str, target: Release, then: Content) -> tuple[Live, Content, Document | None, tuple[str, ...]]:
    """What going back to `target` does to the document that the releases since then carried: exactly what they touched is as it was before,
    the newest first; later changes of others stay.

    Raises:
        ChangedOutside: others changed the same values since.
    """
    history = session.registry.releases(session.environment.name, endpoint, limit=1000)
    stood = [one.release for one in history if one.standing in (Standing.LIVE, Standing.PAST, Standing.REVERTED)]
    carried = [one for one in stood if one.number > target.number and one.content.document is not None and one.content.document.pointers]
    name = next((one.content.document.name for one in carried if one.content.document is not None), None)
    if name is None:
        return session.backend.describe(endpoint), then, None, ()
    live = session.backend.describe(endpoint, document=name)
    there = live.document or LiveDocument(name)
    body = documenting.live_bytes(session, name, there)
    if body is None:
        return live, then, None, ()
    notes: list[str] = []
    before = body
    for release in carried:
        body, told_ = undone_bytes(session, name, release, body)
        notes += told_
    if body == before:
        return session.backend.describe(endpoint), then, None, ()
    return live, replace(then, document=next_version(session, name, body, there)), as_document(there), tuple(notes)


def stands(session: Session, wanted: Document) -> bool:
    """Whether what is live says what a publication was to say, whoever wrote other values of the document since."""
    live = session.backend.describe(config_target(wanted.name)).document
    if live is None or live.version is None or live.share != wanted.share:
        return False
    if live.digest == wanted.digest:
        return True
    bodies = documenting.live_bytes(session, wanted.name, live), documenting.bytes_at(session, wanted.digest)
    now, meant = (documenting.reading_of(session, wanted.name, body).value if body is not None else None for body in bodies)
    return all(get(now, pointer, None) == get(meant, pointer, None) for pointer in wanted.pointers)


def before_it(session: Session, wanted: Document, revert_to: Content) -> Content:
    """What taking a publication back leads to: the release before it, or, where the document was written since, what is live with exactly
    what the publication touched as it was. A value that somebody else changed again is theirs, and stays.
    """
    live = session.backend.describe(config_target(wanted.name)).document
    before = revert_to.document
    if live is None or before is None or live.digest in (wanted.digest, before.digest) or live.share < WHOLE:
        return revert_to
    body = documenting.live_bytes(session, wanted.name, live)
    if body is None:
        return revert_to
    taken_out, _, _ = _without(session, wanted, body)
    return Content(document=as_document(live) if taken_out == body else next_version(session, wanted.name, taken_out, live))


def as_document(there: LiveDocument) -> Document:
    """What is published, as a release wants it."""
    return Document(there.name, there.version or 0, there.digest, there.share, there.before, there.before_digest)


def _release(session: Session, target: str, number: int) -> Release:
    found = session.registry.release(session.environment.name, target, number)
    if found is None or found.release.content.document is None:
        known = [str(one.release.number) for one in session.registry.releases(session.environment.name, target, limit=20)]
        raise UnknownName(
            f"There is no release #{number} of {target_told(target)}. {did_you_mean(str(number), known)}",
            next=f"mlconsole releases list {target}",
        )
    if found.standing is Standing.FAILED:
        raise NotAllowed(f"#{number} never came to stand; there is nothing to go back to.", next=f"mlconsole releases list {target}")
    return found.release


def _last_published(session: Session, target: str) -> Release:
    """What going back takes back by itself: the last publication that stands. The shares that endpoints wrote since are not part of it."""
    history = session.registry.releases(session.environment.name, target, limit=200)
    for one in history:
        if one.standing not in (Standing.LIVE, Standing.PAST) or one.release.by:
            continue
        if one.release.kind is ReleaseKind.REVERT:
            raise UsageError(
                f"#{one.release.number} is a revert already: a second one in a row needs to know where to.",
                next=f"Name it: --to RELEASE or --change RELEASE (mlconsole releases list {target}).",
            )
        if one.release.kind is ReleaseKind.PUBLISH:
            return one.release
        break
    raise UsageError(f"Nothing to go back to: no publication of {target_told(target)} stands.", next=f"mlconsole releases list {target}")


def _equal(session: Session, target: str, document: Document) -> int | None:
    for one in session.registry.releases(session.environment.name, target, limit=200):
        there = one.release.content.document
        if there is not None and there.digest == document.digest and one.standing is not Standing.FAILED and there.share == WHOLE:
            return one.release.number
    return None


def _values(number: int) -> str:
    return f"{number} value{'' if number == 1 else 's'}"


def _few(pointers: tuple[str, ...]) -> str:
    named = ", ".join(told(pointer) or "the whole document" for pointer in pointers[:_TOLD])
    return named + (f" and {len(pointers) - _TOLD} more" if len(pointers) > _TOLD else "")
