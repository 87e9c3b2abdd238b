"""Announcing: what people are told of a rollout, and by which channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlconsole.core.documents import target_told
from mlconsole.core.rollouts import Control, Rollout, RolloutState
from mlconsole.core.text import duration, neutralise
from mlconsole.plugin.roles import Notice

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.registry.claims import Telling


def channels_for(session: Session, notice: Notice) -> list[str]:
    """The channels that a notice goes to at once."""
    channels = session.environment.channels.values()
    return [one.name for one in channels if one.after_minutes is None and one.takes(notice.severity)]


def telling(session: Session) -> Telling:
    """How people hear of what becomes of a rollout by somebody else's change, in the transaction in which that begins."""
    from mlconsole.registry.claims import Telling

    return Telling(lambda rollout, event: notice_of(session, rollout, event), lambda notice: channels_for(session, notice))


def notice_of(session: Session, rollout: Rollout, event: tuple[str, str, str | None]) -> Notice | None:
    """What people are told of a transition; taking up and holding tell nobody."""
    kind, text, key = event
    asked = kind == str(Control.REVERT) or (key or "").startswith("back:")
    told = {
        RolloutState.WAITING: "info",
        RolloutState.BAKING: "info",
        # Who asks for it knows; when guards do it somebody has to look.
        RolloutState.GOING_BACK: "info" if asked else "page",
        RolloutState.REVERTED: "recovered",
        RolloutState.DONE: "info",
        RolloutState.FAILED: "page",
        RolloutState.SUPERSEDED: "info",
        RolloutState.PAUSED: "info",
    }
    severity, state = told.get(rollout.state), str(rollout.state)
    if severity is None:
        return None
    where = "PROD" if session.environment.production else rollout.environment.upper()
    stable = " + ".join(rollout.stable)
    took = duration((session.clock.now() - rollout.started).total_seconds())
    titles = {
        "waiting": f"{rollout.variant} at {rollout.present.name}",
        "baking": f"{rollout.variant} has all of it, bakes",
        "going back": f"{rollout.variant} → going back to {stable}",
        "reverted": f"{rollout.variant} → reverted to {stable}",
        "done": f"{rollout.variant} is live, done in {took}",
        "failed": f"{rollout.variant}: stage {rollout.present.name} failed",
    }
    title = neutralise(f"{where} {target_told(rollout.endpoint)} {titles.get(state, f'{rollout.variant}: the rollout is {state}')}")
    more = f"Read: ssh {session.actor.host} mlconsole rollout status {rollout.endpoint} --env {rollout.environment}"
    return Notice(
        key=f"{session.workspace.name}:rollout:{rollout.id}:{key or kind}",
        title=title,
        lines=(neutralise(text), more),
        severity=severity,
        environment=rollout.environment,
        fields={"rollout": rollout.id, "endpoint": rollout.endpoint, "state": state},
    )
