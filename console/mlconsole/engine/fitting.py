"""Fitting: whether what would serve works with the configuration and the code beside it, as model versions declare it.

A pair that is known not to work is refused, forward and back; what is not known is said. A rollout that takes itself back is never stopped
by it: what fails is worse than what is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlconsole.core.compatibility import WorksWith, compatible, judge, works_with
from mlconsole.core.documents import config_target, document_of
from mlconsole.core.releases import Content, ReleaseKind, Standing, Variant
from mlconsole.plugin.errors import NotAllowed

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

GATE = "works with"


def require(session: Session, target: str, kind: ReleaseKind, now: Content, then: Content, break_glass: str) -> tuple[tuple[str, ...], ...]:
    """What a person should know of a change's pairs, and the gates that `break_glass` skips.

    Raises:
        NotAllowed: a pair is known not to work, with the nearest that does.
    """
    notes: list[str] = []
    skipped: list[str] = []
    versions = published(session)
    if then.document is not None:
        versions[then.document.name] = then.document.version
    for endpoint, variants in _pairs(session, target, kind, now, then).items():
        for variant in variants:
            registered = session.registry.version(variant.model, variant.version)
            mine = works_with(registered.works_with or None) if registered is not None else WorksWith()
            if not mine.says_something:
                continue
            found = compatible(mine, versions, session.environment.code, model=f"{variant.model}@{variant.version}")
            if found.ok is False and not break_glass:
                next_ = _nearest(session, variant, mine, versions)
                raise NotAllowed(f"{endpoint}: {found.text}. Nothing was changed.", next=next_, glass=kind is not ReleaseKind.REVERT)
            if found.ok is False:
                skipped.append(f"{GATE} ({variant.name})")
            elif found.ok is None:
                notes.append(found.text)
    return tuple(dict.fromkeys(notes)), tuple(skipped)


def published(session: Session) -> dict[str, int | None]:
    """Document → the version that is published here; None: nothing is."""
    found: dict[str, int | None] = {}
    for name in session.workspace.configs:
        live = session.registry.live_release(session.environment.name, config_target(name))
        document = live.release.content.document if live is not None else None
        found[name] = document.version if document is not None else None
    return found


def _pairs(session: Session, target: str, kind: ReleaseKind, now: Content, then: Content) -> Mapping[str, tuple[Variant, ...]]:
    """Endpoint → the variants that would get requests and did not, or (a document changes) that get them anyhow."""
    if document_of(target) is not None:
        found = {}
        for row in session.registry.endpoints(session.environment.name):
            live = session.registry.live_release(session.environment.name, row.name)
            if live is not None:
                found[row.name] = _reached(live.release.content)
        return found
    reached = _reached(then)
    if kind is ReleaseKind.REVERT or then.document is not None:
        return {target: reached}
    before = {variant.digest for variant in _reached(now)}
    return {target: tuple(variant for variant in reached if variant.digest not in before)}


def _reached(content: Content) -> tuple[Variant, ...]:
    traffic = content.traffic
    return tuple(one for one in content.variants if traffic is not None and traffic.reaches(one.name))


def _nearest(session: Session, variant: Variant, mine: WorksWith, versions: Mapping[str, int | None]) -> str:
    """What would work in place of a pair that does not. Only for that all versions of the model are read: they may be ten thousand."""
    registered = session.registry.versions(variant.model)
    return judge(
        {one.version: works_with(one.works_with or None) for one in registered},
        [one.version for one in registered],
        variant.version,
        versions,
        session.environment.code,
        model=variant.model,
        available={name: _numbers(session, name) for name in mine.config},
    ).next


def _numbers(session: Session, name: str) -> list[int]:
    """The versions of a document that ever stood here."""
    releases = session.registry.releases(session.environment.name, config_target(name), limit=500)
    stood = (one.release.content.document for one in releases if one.standing is not Standing.FAILED)
    return sorted({one.version for one in stood if one is not None})
