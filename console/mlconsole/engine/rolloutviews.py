"""Rollouts as the faces are shown them, and the file in which a driver leaves what the guards said last."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.releases import describe_content
from mlconsole.core.rollouts import CONTROLS, PlannedStage, Rollout, RolloutState
from mlconsole.core.text import neutralise
from mlconsole.core.timetables import timetable
from mlconsole.engine.identifying import too_short
from mlconsole.engine.views import GuardView, RolloutView, StageView

if TYPE_CHECKING:
    from mlconsole.core.rollouts import Decision
    from mlconsole.engine.session import Session
    from mlconsole.engine.weighing import Weighed

_RECENT = timedelta(days=1)


def rollouts(session: Session, *, limit: int = 20) -> list[RolloutView]:
    """The newest ones, newest first."""
    return [view_of(session, one) for one in session.registry.rollouts(session.environment.name, limit=limit)]


def shown(session: Session) -> tuple[RolloutView, ...]:
    """Those that run, then those that ended in the last day."""
    now = session.clock.now()
    found = session.registry.rollouts(session.environment.name, limit=20)
    recent = [one for one in found if one.ended is None or one.ended > now - _RECENT]
    return tuple(view_of(session, one) for one in sorted(recent, key=lambda one: one.ended is not None))


def view_of(session: Session, rollout: Rollout) -> RolloutView:
    """A rollout for a face."""
    driver = session.registry.rollout_driver(rollout.id)
    last = _last_seen(session, rollout)
    seen = _of_this_stage(last, rollout)
    over = rollout.state.terminal
    guards = tuple(GuardView(**one) for one in seen.get("guards", ())) if not over or rollout.state is not RolloutState.DONE else ()
    ends = seen.get("ends") or []
    return RolloutView(
        id=rollout.id,
        endpoint=rollout.endpoint,
        environment=rollout.environment,
        state=str(rollout.state),
        policy=rollout.policy.name,
        variant=rollout.variant,
        stable=rollout.stable,
        stages=tuple(_stage(rollout, place, stage, ends) for place, stage in enumerate(rollout.stages)),
        stage=rollout.stage,
        started=rollout.started,
        who=neutralise(rollout.actor.user),
        reason=neutralise(rollout.reason),
        # Why it holds changes every second, and is worth no transaction; why it ended is in the registry.
        why=neutralise(rollout.why if over or not seen.get("why") or rollout.state is RolloutState.GOING_BACK else seen["why"]),
        waits_for=() if over else tuple(seen.get("waits_for", ())),
        guards=guards,
        controls=tuple(str(one) for one in CONTROLS[rollout.state]),
        way_back=f"to #{rollout.revert_to_release}: {describe_content(rollout.revert_to)}",
        done_about=None if over or not ends or ends[-1] is None else datetime.fromisoformat(ends[-1]),
        deadline=rollout.deadline,
        checked=datetime.fromisoformat(seen["at"]) if seen.get("at") else None,
        driver=neutralise(f"{driver.holder} (pid {driver.pid})") if driver is not None and driver.alive else "",
        attended=rollout.attended,
        stops_old=rollout.policy.stop_old and not rollout.keep_old,
        skipped_gates=tuple(neutralise(gate) for gate in rollout.skipped_gates),
        shadow_told=neutralise(str(last.get("shadow", ""))),
        shadow_counts=rollout.shadow_counts,
        events=tuple((one.at, neutralise(one.text)) for one in session.registry.rollout_events(rollout.id)),
        release=rollout.release,
        back_to=rollout.revert_to_release,
        ended=rollout.ended,
        credentials="" if over else _credentials(session, rollout, ends),
    )


def _credentials(session: Session, rollout: Rollout, ends: Sequence[str | None]) -> str:
    """That the credentials of who watches, and so drives it, end before it does; empty where they last, or nobody knows."""
    watcher = session.registry.watcher(rollout.environment)
    if watcher is None or not watcher.alive or watcher.caller is None:
        return ""
    now = session.clock.now()
    told = ends[-1] if ends else None
    waited = (now - rollout.stage_began).total_seconds() if rollout.stage_began is not None else 0.0
    left = sum(stage.wait for stage in rollout.stages[rollout.stage :]) - min(waited, rollout.present.wait)
    end = max(now, datetime.fromisoformat(told)) if told else now + timedelta(seconds=left)
    about = "" if told else " at the earliest"
    return neutralise(too_short(watcher.caller, end, now, whose="its driver's", what="it", about=about))


def _stage(rollout: Rollout, place: int, stage: PlannedStage, ends: Sequence[str | None]) -> StageView:
    state = "done" if place < rollout.stage or rollout.state is RolloutState.DONE else "now" if place == rollout.stage else "to come"
    left = place - rollout.stage
    end = ends[left] if 0 <= left < len(ends) and not rollout.state.terminal else None
    return StageView(stage.name, stage.share, state, datetime.fromisoformat(end) if end else None)


# What the guards said last: in a file, for it changes every second and is worth no transaction.


def _seen_path(session: Session, rollout: Rollout) -> Path:
    return session.workspace.root / ".mlconsole" / "runs" / f"rollout-{rollout.id}.json"


def write_seen(session: Session, rollout: Rollout, weighed: Weighed, decision: Decision) -> None:
    """Leave what the guards said where `view_of` reads it."""
    now = session.clock.now()
    times = timetable(rollout.stages[rollout.stage :], weighed.rates, rollout.policy.guards, now, deadline=rollout.policy.deadline)
    body = {
        "stage": rollout.stage,
        "attempt": rollout.attempt,
        # What is seen while the change to a stage runs is evidence of the one before, and is not shown as that stage's own.
        "shifting": rollout.state is RolloutState.SHIFTING,
        "at": now.isoformat(),
        # What the shadow said stays to be read in the stages after it.
        "shadow": weighed.shadow or _last_seen(session, rollout).get("shadow", ""),
        "why": neutralise(decision.why),
        "waits_for": [neutralise(line) for line in decision.waits_for],
        "ends": [time.ends.isoformat() if time.ends else None for time in times],
        "guards": [
            {
                **{field.name: getattr(one, field.name) for field in dataclasses.fields(one)},
                "verdict": str(one.verdict),
                "text": neutralise(one.text),
                "slice": neutralise(one.slice),
                "pooled": [neutralise(name) for name in one.pooled],
            }
            for one in weighed.results
        ],
    }
    path = _seen_path(session, rollout)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(body, file, separators=(",", ":"))
    beside.replace(path)


def _last_seen(session: Session, rollout: Rollout) -> dict[str, Any]:
    """What was left last, in whatever stage."""
    try:
        body = json.loads(_seen_path(session, rollout).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _of_this_stage(body: dict[str, Any], rollout: Rollout) -> dict[str, Any]:
    if not body or (body.get("stage") != rollout.stage and not rollout.state.terminal):
        return {}
    measured = rollout.state in (RolloutState.WAITING, RolloutState.BAKING, RolloutState.PAUSED)
    if (measured and body.get("shifting", False)) or (rollout.state is RolloutState.SHIFTING and not body.get("shifting", False)):
        return {}
    for one in body.get("guards", ()):
        one["pooled"] = tuple(one.get("pooled", ()))
    return body
