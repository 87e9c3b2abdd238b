"""Breaking the glass: what a reason overrules (a freeze window, gates), and how a plan and its release tell of it.

Nothing else is overruled by it: neither read-only nor a colleague's word, nor that somebody watches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlconsole.core.freezes import FreezeWindow, frozen
from mlconsole.core.releases import ReleaseKind
from mlconsole.engine.gates import GOLDEN
from mlconsole.plugin.errors import NotAllowed

if TYPE_CHECKING:
    from mlconsole.core.plans import Plan
    from mlconsole.engine.session import Session

FREEZE = "freeze"
NEEDS_A_REASON = "Break-glass needs a reason"

_TOLD = {GOLDEN: "golden queries", FREEZE: "the freeze"}
"""How people read the gates whose names don't say it."""


def frozen_told(window: FreezeWindow, *, glass: bool = True) -> str:
    """Until when nothing goes forward and why, what still works, and what overrules it, where something does."""
    why = f' ("{window.reason}"{f", by {window.by}" if window.by else ""})' if window.reason else ""
    told = f"Frozen until {window.end.astimezone():%a %d %b %H:%M}{why}. Going back, pausing and acknowledging still work."
    return f'{told} {NEEDS_A_REASON}: --break-glass "…".' if glass else told


def thawed(session: Session, kind: ReleaseKind, break_glass: str) -> tuple[str, ...]:
    """The freeze that `break_glass` overrules, as a gate that is skipped; empty where none is, or the change goes back.

    Raises:
        NotAllowed: nothing goes forward just now, and nobody broke the glass.
    """
    window = frozen(session.environment.freezes, session.clock.now()) if kind is not ReleaseKind.REVERT else None
    if window is None:
        return ()
    if not break_glass:
        nothing = f"{frozen_told(window, glass=False)} Nothing was changed."
        raise NotAllowed(nothing, next=f'{NEEDS_A_REASON}: --break-glass "…".', glass=True)
    return (f"{FREEZE} ({window.reason})" if window.reason else FREEZE,)


def overruled(session: Session, break_glass: str) -> tuple[str, ...]:
    """The freeze that `break_glass` overrules just now; empty without a reason, and where nothing is frozen."""
    return thawed(session, ReleaseKind.DEPLOY, break_glass) if break_glass else ()


def require_thawed(session: Session, plan: Plan) -> None:
    """Go on only if nothing is frozen now, or the plan was made with a reason to do it all the same.

    Raises:
        NotAllowed: a window began since it was planned.
    """
    if not any(gate.startswith(FREEZE) for gate in plan.skipped_gates):
        thawed(session, plan.kind, "")


def skippable(plan: Plan) -> str:
    """What a reason would skip of the plan's own steps, for people; empty: nothing."""
    return _TOLD[GOLDEN] if any(step.role == "gate" and step.action == GOLDEN for step in plan.steps) else ""


def reason_with(reason: str, break_glass: str) -> str:
    """The reason that a release keeps: why it is done, and why for all that speaks against it."""
    return f"{reason} · glass broken: {break_glass}" if reason and break_glass else reason or break_glass


def offered(refused: str, with_reason: str, *, asks_golden: bool = False) -> str:
    """What a reason would overrule, or skip, of a rollout that is `refused`, and would be `with_reason`; empty: nothing."""
    if refused:
        return "what refuses it" if with_reason != refused else ""
    return _TOLD[GOLDEN] if asks_golden else ""


def skipped_told(gates: Iterable[str], reason: str) -> tuple[str, ...]:
    """What a plan says of the gates that it skips: `golden queries are skipped (v3 leaks); that stays visible on the release`."""
    gates = [gate.partition(" (")[0].partition(":")[0] for gate in gates]
    names = list(dict.fromkeys(_TOLD.get(gate, gate) for gate in gates))
    if not names:
        return ()
    be = "are" if len(names) > 1 or names[0].endswith("s") else "is"
    return (f"{' and '.join(names)} {be} skipped ({reason}); that stays visible on the release",)
