"""Steps: the native calls a transition is made of, each saying what must be true after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mlconsole.core.documents import Document
from mlconsole.core.live import (
    Difference,
    Live,
    LiveVariant,
    VariantState,
    document_differences,
    live_document,
    traffic_differences,
    variant_differences,
)
from mlconsole.core.models import Json
from mlconsole.core.releases import Variant
from mlconsole.core.traffic import Traffic


class Phase(StrEnum):
    """When in a transition a step comes. What consumers get changes in SHIFT only."""

    PREPARE = "prepare"
    """Bring up what is new; nobody's request reaches it yet."""
    CHECK = "check"
    """Gates: may this get traffic at all?"""
    SHIFT = "shift"
    CLEAN = "clean"
    """Take away what nobody's request reaches any more."""


_ORDER = {phase: place for place, phase in enumerate(Phase)}


@dataclass(frozen=True)
class Step:
    """One idempotent call to a backend. `ensures`, `removes`, `traffic` and `gone` say what is true once it has worked: a backend that does
    all at once (SageMaker's update) fills several of them in one step.
    """

    role: str
    """Who carries it out: `serving`, `traffic`, `config`, or `gate` (the engine itself)."""
    action: str
    """The backend's own name for the call: `start server`, `UpdateEndpoint`."""
    summary: str
    """For people: `start v4 (onnx server)`."""
    phase: Phase
    ensures: tuple[Variant, ...] = ()
    removes: tuple[str, ...] = ()
    traffic: Traffic | None = None
    document: Document | None = None
    """After it, this version is published, to this share of the clients."""
    gone: bool = False
    """After it, the endpoint has no traffic at all (it is being deleted)."""
    seconds: float = 1.0
    """How long it usually takes."""
    deadline: float = 60.0
    """Seconds after which it counts as failed."""
    cost_per_hour: float | None = None
    """What it adds to the bill, in the backend's currency per hour; None: unknown or nothing."""
    disrupts: str = ""
    """What consumers may feel of it; empty: nothing."""
    irreversible: bool = False
    details: Mapping[str, Json] = field(default_factory=dict)
    """The plugin's own arguments."""


def outstanding(step: Step, live: Live) -> tuple[Difference, ...]:
    """What of a step's effect is not there yet. Empty: it has worked, or was never needed (invariant 2)."""
    found = variant_differences(live, step.ensures)
    found += [Difference(f"variant {name}", "gone", there.state) for name in step.removes if (there := live.variant(name)) is not None]
    if step.traffic is not None:
        found += traffic_differences(live.traffic, step.traffic)
    elif step.gone and live.traffic is not None:
        found += traffic_differences(live.traffic, None)
    found += document_differences(live.document, step.document)
    return tuple(found)


def after(step: Step, live: Live) -> Live:
    """The live state as it would be once the step had worked."""
    touched = {*step.removes, *(variant.name for variant in step.ensures)}
    kept = [variant for variant in live.variants if variant.name not in touched]
    new = [LiveVariant(v.name, VariantState.READY, v.model, v.version, v.digest) for v in step.ensures]
    document = live.document if step.document is None else live_document(step.document)
    return replace(live, variants=(*kept, *new), traffic=None if step.gone else step.traffic or live.traffic, document=document)


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Steps of several roles as one sequence: by phase, within a phase as given."""
    return tuple(sorted(steps, key=lambda step: _ORDER[step.phase]))
