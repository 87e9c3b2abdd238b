"""The order of a plan: the backend's steps with the gates between them, what has to be brought up for it, and how one gets back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.live import Live, as_live, variant_differences
from mlconsole.core.plans import WayBack
from mlconsole.core.releases import NOTHING, Content, Release, Variant
from mlconsole.core.steps import Phase, Step, in_order
from mlconsole.core.text import duration
from mlconsole.engine.gates import gate_steps

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


def gated_steps(session: Session, live: Live, now: Content, then: Content, break_glass: str) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps with the gates between them, and the gates that are skipped: what is new answers before any request reaches it.

    A backend whose one update brings up and routes at once is asked twice: first with the new variants at 0 %. On a new endpoint that
    can't be; nobody asks it yet, and the gates come after.
    """
    native = session.backend.steps(live, then)
    brought = _brought(live, native)
    gates, skipped = gate_steps(session, brought.values(), break_glass)
    if all(step.phase is Phase.PREPARE for step in native if any(variant.name in brought for variant in step.ensures)):
        return in_order([*native, *gates]), skipped
    if now.traffic is not None:
        split = {**now.traffic.split, **{name: 0 for name in brought if now.variant(name) is None}}
        standing_by = Content(then.variants, replace(now.traffic, split=split))
        first = session.backend.steps(live, standing_by)
        if {variant.name for step in first for variant in step.ensures} >= set(brought):
            return (*first, *gates, *session.backend.steps(as_live(standing_by, live.endpoint), then)), skipped
    return (*native, *gates), skipped


def way_back(session: Session, endpoint: str, record: Release | None, now: Content, then: Content) -> WayBack:
    """What going back to `now`, the content of `record`, means once `then` stands."""
    if record is None:
        return WayBack(None, NOTHING, 0.0, warm=True)
    there = as_live(then, endpoint)
    steps = session.backend.steps(there, now, back=True)
    return WayBack(record.number, now, sum(step.seconds for step in steps), warm=not _brought(there, steps))


def cold(live: Live, steps: tuple[Step, ...]) -> tuple[str, ...]:
    """The note that going back takes a while, where something has to be brought up for it."""
    names = ", ".join(_brought(live, steps))
    if not names:
        return ()
    seconds = sum(step.seconds for step in steps)
    return (f"{names} is not running: going back takes about {duration(seconds)}; until then what serves now goes on serving.",)


def _brought(live: Live, steps: tuple[Step, ...]) -> dict[str, Variant]:
    """The variants that the steps bring up; one update of a backend may name those that run, too."""
    wanted = [variant for step in steps for variant in step.ensures]
    return {variant.name: variant for variant in wanted if variant_differences(live, (variant,))}
