"""What was measured and recorded of a version, against what serves: findings for a plan, and whether they stop it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlconsole.core.evaluation import Packages, compare_packages, dependency_findings, evaluate, figures_told, findings
from mlconsole.core.models import ModelVersion
from mlconsole.core.releases import Content, Variant
from mlconsole.engine import cataloguing
from mlconsole.plugin.errors import MLConsoleError, NotAllowed

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

GATE = "evaluation"


@dataclass(frozen=True)
class Weighed:
    """What a plan tells of a version's figures."""

    notes: tuple[str, ...] = ()
    """What a person has to judge."""
    stop: str = ""
    """Why it must not go there, where the environment's gates say so."""
    gates: tuple[str, ...] = ()
    """The gates that say so."""


def serving(content: Content, model: str, new: str) -> Variant | None:
    """The variant that a new version is measured against: of its model, with the most of the requests, and not itself."""
    traffic = content.traffic
    if traffic is None:
        return None
    found = [one for one in content.variants if one.model == model and one.version != new and traffic.reaches(one.name)]
    return max(found, key=lambda one: traffic.share(one.name), default=None)


def weigh(session: Session, endpoint: str, now: Content, registered: ModelVersion) -> Weighed:
    """A version against the one that serves, against what its server has, and what the catalog says of it."""
    notes: list[str] = []
    stop = ""
    there = serving(now, registered.model, registered.version)
    stored = session.registry.version(there.model, there.version) if there is not None else None
    if there is not None and stored is None:
        notes.append(f"evaluation: not comparable with {there.name}: its version is not registered")
    elif there is not None and stored is not None:
        compared = evaluate(stored.metrics, registered.metrics)
        notes += findings(compared, there.name)
        gate = session.environment.evaluation
        beyond = compared.worse(gate.margin) if gate.stops else ()
        if beyond:
            allowed = f" by more than {gate.margin:g}" if gate.margin else ""
            stop = f"{registered.name} is worse than {there.name}{allowed} in {figures_told(beyond)}"
    notes += dependency_findings(registered.dependencies, packages(session, endpoint) if registered.dependencies else {})
    said, rejected = cataloguing.weigh(session, registered)
    stops = {GATE: stop, cataloguing.GATE: rejected}
    return Weighed((*notes, *said), "; ".join(filter(None, stops.values())), tuple(gate for gate, why in stops.items() if why))


def require(session: Session, weighed: Weighed, break_glass: str, variant: str) -> tuple[str, ...]:
    """The gates that `--break-glass` skips because of it.

    Raises:
        NotAllowed: the environment stops a version that is worse, or that the catalog rejected, and nobody broke the glass.
    """
    if not weighed.stop:
        return ()
    if not break_glass:
        raise NotAllowed(
            f"{weighed.stop}: the gates of {session.environment.name} stop that. Nothing was changed.",
            next='With a reason it goes there all the same, and the release says so: --break-glass "…".',
            glass=True,
        )
    return tuple(f"{gate} ({variant})" for gate in weighed.gates)


def packages(session: Session, endpoint: str) -> dict[str, str] | None:
    """What is installed where a server of the endpoint runs; None where that can't be known just now."""
    try:
        found = session.backend.packages(endpoint)
    except MLConsoleError:
        return None
    return None if found is None else dict(found)


def packages_of(session: Session, endpoint: str, registered: ModelVersion) -> Packages | None:
    """What it was made with against what its server has; None where that can't be known."""
    found = packages(session, endpoint)
    return None if found is None else compare_packages(registered.dependencies, found)
