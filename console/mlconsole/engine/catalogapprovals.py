"""Saying in the catalog whether a version may be used: by hand, and after a request for approval was decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlconsole.core.approvals import Request, RequestState, Say
from mlconsole.core.documents import document_of
from mlconsole.core.models import ModelVersion, parse_version_name
from mlconsole.core.text import neutralise
from mlconsole.engine.access import Deed
from mlconsole.engine.cataloguing import Standing, ask, catalog_of
from mlconsole.plugin.cataloguing import Approval
from mlconsole.plugin.errors import MLConsoleError, NotAllowed, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

OURS = "mlconsole: "
"""How what we write into a catalog begins."""

_DECIDED = {RequestState.APPROVED: (Approval.APPROVED, Say.APPROVE), RequestState.REJECTED: (Approval.REJECTED, Say.REJECT)}


def decide(session: Session, version: ModelVersion, approval: Approval, reason: str, *, overrule: bool = False) -> Standing:
    """Write into the catalog whether a version may be used, with who says so and why.

    Raises:
        UsageError: it came from no catalog, or no reason is given.
        NotAllowed: read only; or it is rejected there, and nobody said to overrule that.
        Conflict: somebody else changed it at the same time.
    """
    session.access.require(Deed.APPROVE)
    if not version.origin:
        raise UsageError(f"{version.name} came from no catalog: there is nothing to write it to.", next="mlconsole models catalog")
    if not reason.strip():
        raise UsageError("It wants a reason. Nothing was changed.", next='Say why: --reason "…".')
    return _written(session, version, approval, f"{approval} by {session.actor}: {reason.strip()}", overrule=overrule)


def after_vote(session: Session, request: Request) -> tuple[str, ...]:
    """Tell the catalog of a request that was decided just now, where it would bring a version into production; what was told, and what
    could not be.

    A rejection there that is not ours stays: it may be that who approves here has not seen it.
    """
    environment = session.workspace.environments.get(request.environment)
    if request.state not in _DECIDED or environment is None or not environment.production or "catalog" not in environment.roles:
        return ()
    there = session if request.environment == session.environment.name else session.elsewhere(request.environment)
    try:
        return _after_vote(there, request, *_DECIDED[request.state])
    finally:
        if there is not session:
            there.close()


def _after_vote(session: Session, request: Request, approval: Approval, said: Say) -> tuple[str, ...]:
    votes = [vote for vote in session.registry.approval_votes(request.number) if vote.say is said]
    who = " and ".join(vote.actor.user for vote in votes)
    why = "; ".join(vote.text for vote in votes if vote.text)
    text = f"{approval} by {who} (request {request.number}: {request.summary}){f': {why}' if why else ''}"
    told = []
    for version in _brought(session, request):
        try:
            done = _written(session, version, approval, text)
            told.append(f"the catalog says {done.approval} of {version.name} now")
        except MLConsoleError as error:
            told.append(f"the catalog was not told of {version.name}: {neutralise(error.message)}")
    return tuple(told)


def _brought(session: Session, request: Request) -> list[ModelVersion]:
    """The versions of a catalog that a request would bring, and that do not serve there yet."""
    if document_of(request.endpoint) is not None:
        return []
    live = session.registry.live_release(request.environment, request.endpoint)
    serve = {variant.digest for variant in live.release.content.variants} if live is not None else set()
    names = (value.partition(" ")[0] for part, value in request.parts.items() if part.startswith("variant "))
    found = (session.registry.version(*parse_version_name(name)) for name in names if "@" in name)
    return [one for one in found if one is not None and one.origin and one.artifact.digest not in serve]


def _written(session: Session, version: ModelVersion, approval: Approval, why: str, *, overrule: bool = False) -> Standing:
    catalog = catalog_of(session)
    seen, note = ask(session, f"asking what the catalog says of {version.name}", lambda: catalog.approval(version.origin))
    if seen is approval:
        return Standing(version.origin, seen, neutralise(note))
    if seen is Approval.REJECTED and not overrule and not note.startswith(OURS):
        raise NotAllowed(
            f"The catalog says {seen} of {version.name} ({neutralise(note) or 'no word why'}). Nothing was changed.",
            next=f'Overrule that: mlconsole models approve {version.name} --overrule --reason "…"',
        )
    before = f" (before: {seen}: {note.removeprefix(OURS)})" if seen is Approval.REJECTED else ""
    text = f"{OURS}{why}{before}"
    what = f"writing {approval} of {version.name} into the catalog"
    session.backend.changed(what, lambda: catalog.decide(version.origin, approval, text, seen=seen))
    return Standing(version.origin, approval, neutralise(text))
