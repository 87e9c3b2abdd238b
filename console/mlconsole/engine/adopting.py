"""Versions for what was found running: so that an endpoint which somebody else made is known by model and version, and can be gone back to.

Only where the backend says from where it can serve the same bytes again. What nobody ever wrote down is *unknown*, and stays so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlconsole.core.live import READ_ONLY, Live, LiveVariant, VariantState
from mlconsole.core.models import UNKNOWN, Artifact, Data, Metrics, ModelVersion, Signature, check_version
from mlconsole.core.releases import NOTHING
from mlconsole.core.text import is_name, neutralise
from mlconsole.engine.views import ReleaseView
from mlconsole.plugin.errors import BackendError, Conflict, MLConsoleError, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.plugin.discovering import Discovery, Origin

_LONGEST = 128
"""Characters of a version."""


@dataclass(frozen=True)
class Adopted:
    """What became of one endpoint; `problem` says why it was not taken over."""

    endpoint: str
    release: ReleaseView | None = None
    problem: MLConsoleError | None = None
    left: bool = False
    """There was nothing to take over, or nothing that could be."""


def versions_for(session: Session, endpoint: str, live: Live) -> list[ModelVersion]:
    """A version for each variant whose bytes are no registered version's, where the backend can serve them again; none is kept by this."""
    registered = session.registry.versions()
    known = {version.artifact.digest for version in registered}
    taken = {(version.model, version.version) for version in registered}
    made: list[ModelVersion] = []
    for there in live.variants:
        if there.digest is None or there.digest in known or there.state is VariantState.STOPPING:
            continue
        origin = _origin(session, endpoint, there.name)
        if origin is None:
            continue
        version = _version(session, endpoint, there, origin, taken)
        made.append(version)
        known.add(version.artifact.digest)
        taken.add((version.model, version.version))
    return made


def adopt_all(session: Session, *, reason: str = "", only_look: bool = False) -> Iterator[Adopted]:
    """Take over every endpoint that mlconsole.yaml names (or all, where it names none) and nobody has adopted yet.

    Each is taken over for itself: one that can't be holds none of the others up.
    """
    from mlconsole.engine.endpoints import adopt

    for name in sorted(session.backend.list()):
        if session.workspace.endpoints and name not in session.workspace.endpoints:
            # An account has others, and variants that are endpoints by themselves: whoever wrote the file said what is meant.
            yield Adopted(name, problem=UsageError("mlconsole.yaml does not name it."), left=True)
            continue
        recorded = session.registry.live_release(session.environment.name, name)
        if recorded is not None and recorded.release.content != NOTHING:
            yield Adopted(name, left=True)
            continue
        try:
            live = session.backend.describe(name)
            require_known(live)
        except UsageError as error:
            yield Adopted(name, problem=error, left=True)
            continue
        except MLConsoleError as error:
            yield Adopted(name, problem=error)
            continue
        try:
            yield Adopted(name, adopt(session, name, reason=reason, only_look=only_look))
        except MLConsoleError as error:
            yield Adopted(name, problem=error)


def require_known(live: Live) -> None:
    """Nothing is taken over that can only be looked at and of which nobody can tell which bytes run: it is never found as it was left.

    Raises:
        UsageError: that is so, of one of its variants.
        Conflict: requests go to a variant that is not there: what was seen is not all.
    """
    traffic = live.traffic
    gone = [name for name in (traffic.split if traffic else ()) if traffic and traffic.reaches(name) and live.variant(name) is None]
    if gone:
        raise Conflict(
            f"{', '.join(gone)} of {live.endpoint} {'gets' if len(gone) == 1 else 'get'} requests, and nothing of that name is there. "
            "Nothing was adopted.",
            next=f"Look again in a moment: mlconsole endpoints show {live.endpoint}",
        )
    unknown = next((there for there in live.variants if there.digest is None and READ_ONLY in there.resources), None)
    if unknown is None:
        return
    of = "" if len(live.variants) == 1 else f"{unknown.name} of "
    raise UsageError(
        f"{of}{live.endpoint} can only be looked at: {neutralise(unknown.resources[READ_ONLY])}. Nothing was adopted.",
        next=f"mlconsole endpoints show {live.endpoint} tells what it is; the plugin's options can leave it out." if of else "",
    )


def _origin(session: Session, endpoint: str, variant: str) -> Origin | None:
    plays: Sequence[Discovery] = session.backend.played("discovery")
    for role in plays:
        try:
            found = session.backend.asked(f"asking where {variant} comes from", partial(role.origin, endpoint, variant))
        except BackendError as error:
            session.tell("waiting", f"where {variant} of {endpoint} comes from can't be told: {neutralise(error.message)}")
            continue
        if found is not None:
            return found
    return None


def _version(session: Session, endpoint: str, there: LiveVariant, origin: Origin, taken: set[tuple[str, str]]) -> ModelVersion:
    assert there.digest is not None  # who has none is left out
    model = session.workspace.model_for(endpoint) or (there.model if there.model and is_name(there.model) else endpoint)
    name = _valid(origin.version.removeprefix(f"{model}-")) if origin.version else _valid(there.name)
    if (model, name) in taken:
        name = f"{name[: _LONGEST - 9]}-{there.digest.removeprefix('sha256:')[:8]}"
    return ModelVersion(
        model=model,
        version=check_version(name),
        artifact=Artifact(origin.location, there.digest, origin.size),
        signature=Signature((), ()),
        owner=UNKNOWN,
        data=Data(UNKNOWN, UNKNOWN),
        metrics=Metrics(UNKNOWN, {}),
        parameters={},
        baseline={},
        preprocessing=UNKNOWN,
        registered_at=session.clock.now(),
        registered_by=session.actor,
        description=neutralise(origin.description),
    )


def _valid(text: str) -> str:
    """A version of that name: blanks, @, / and what can't be printed become dashes; a floating word is none."""
    name = re.sub(r"-{2,}", "-", "".join("-" if char in "@/" or char.isspace() or not char.isprintable() else char for char in text))
    name = name.strip("-")[:_LONGEST]
    try:
        return check_version(name)
    except UsageError:
        return check_version(f"found-{name}"[:_LONGEST]) if name else "found"
