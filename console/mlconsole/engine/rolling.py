"""Rolling out: a version goes to all of the traffic by the stages of a policy, while guards decide; planned, begun, steered, shown."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.freezes import frozen, frozen_between
from mlconsole.core.models import variant_name
from mlconsole.core.policies import GuardKind, Policy
from mlconsole.core.policy_lint import lint
from mlconsole.core.releases import Variant, describe_content
from mlconsole.core.rollouts import CONTROLS, Control, PlannedStage, Rollout, RolloutState
from mlconsole.core.scheduling import planned
from mlconsole.core.text import did_you_mean, duration, neutralise
from mlconsole.core.timetables import StageTime, timetable, told
from mlconsole.core.traffic import percent
from mlconsole.engine import approving, evaluating
from mlconsole.engine.access import Deed
from mlconsole.engine.artifacts import check_artifact
from mlconsole.engine.planning import current, find_version
from mlconsole.engine.views import GuardView, RolloutView, StageView
from mlconsole.engine.weighing import Weighed, Weighing
from mlconsole.plugin.errors import Conflict, NotAllowed, StillRunning, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.core.rollouts import Decision
    from mlconsole.engine.session import Session

_RECENT = timedelta(days=1)


@dataclass(frozen=True)
class RolloutPlan:
    """What a rollout would do, shown before anything happens."""

    id: str
    endpoint: str
    environment: str
    production: bool
    confirm: str | None
    """The name that has to be typed; None: yes is enough."""
    now: str
    then: str
    path: str
    ends: str
    back: str
    alone: str
    watch: str
    guards: str
    times: tuple[StageTime, ...]
    notes: tuple[str, ...]
    findings: tuple[str, ...]
    """What the lint says of the policy."""
    refused: str
    """Why it can't start; empty when it can."""
    command: str
    rollout: Rollout
    """As it would begin."""


def policy_of(session: Session, endpoint: str, name: str | None = None) -> Policy:
    """The policy that is named, else the endpoint's own.

    Raises:
        UnknownName: there is none of that name.
    """
    policies = session.workspace.policies
    known = session.workspace.endpoints.get(endpoint)
    wanted = name or (known.policy if known else "careful")
    if wanted not in policies:
        raise UnknownName(
            f'There is no policy "{wanted}". {did_you_mean(wanted, policies)}', next="They stand under `policies:` in mlconsole.yaml."
        )
    return policies[wanted]


def plan_rollout(
    session: Session,
    endpoint: str,
    version: str,
    *,
    policy: str | None = None,
    reason: str = "",
    break_glass: str = "",
    attended: bool = False,
) -> RolloutPlan:
    """A rollout of a version (its name, of the endpoint's model) behind an endpoint.

    Raises:
        UnknownName: no such endpoint, version or policy.
        UsageError: nothing serves there yet, or this version has all of it already; the policy can't be carried out here.
        Conflict: the endpoint is in a rollout already.
    """
    session.access.require(Deed.PLAN)
    model = session.workspace.model_for(endpoint) or endpoint
    registered = find_version(session, model, version)
    check_artifact(session, registered)
    chosen = policy_of(session, endpoint, policy)
    there = session.registry.claim(session.environment.name, endpoint)
    if there is not None:
        raise Conflict(
            f"{endpoint} is in a rollout already ({there.variant} at {there.present.name}, by {there.actor.user}). Nothing was changed.",
            next=f"mlconsole rollout status {endpoint}; go back: mlconsole rollout revert {endpoint}",
        )
    _, record = current(session, endpoint)
    if record is None:
        raise session.unknown_endpoint(endpoint)
    now = record.content
    variant = Variant(variant_name(version), model, version, registered.artifact.digest)
    stages = planned(
        chosen,
        now,
        variant,
        session.backend.limits().share_granularity,
        slice_keys=tuple(one.key for one in registered.signature.slices),
    )
    for stage in stages:
        session.backend.check(endpoint, stage.content)
    weighed = evaluating.weigh(session, endpoint, now, registered)
    clock_now = session.clock.now()
    rates = Weighing(session).rates(endpoint)
    times = timetable(stages, rates, chosen.guards, clock_now, deadline=chosen.deadline)
    stable = tuple(one.name for one in now.variants if now.traffic and now.traffic.reaches(one.name) and one.name != variant.name)
    rollout = Rollout(
        id=session.registry.new_plan_id(),
        environment=session.environment.name,
        endpoint=endpoint,
        policy=chosen,
        variant=variant.name,
        stable=stable,
        stages=stages,
        revert_to=now,
        revert_to_release=record.number,
        started=clock_now,
        actor=session.actor,
        reason=reason or break_glass,
        attended=attended,
        skipped_gates=(*((f"{evaluating.GATE} ({variant.name})",) if weighed.stop else ()), f"golden ({variant.name})")
        if break_glass
        else (),
    )
    words = ["rollout", "start", registered.name, "--endpoint", endpoint, "--policy", chosen.name]
    words += ["--break-glass", break_glass] if break_glass else []
    words += ["--attended"] if attended else []
    findings, stops = _linted(session, chosen)
    ends = times[-1].ends if times else None
    return RolloutPlan(
        id=rollout.id,
        endpoint=endpoint,
        environment=session.environment.name,
        production=session.environment.production,
        confirm=endpoint if session.environment.production else None,
        now=f"#{record.number}  {describe_content(now)}",
        then=describe_content(stages[-1].content),
        path=" → ".join(stage.name for stage in stages),
        ends=told(times, clock_now),
        back=f"u at any time: to #{record.number}, {', '.join(stable)} {'stays' if len(stable) == 1 else 'stay'} warm",
        alone="any FAIL goes back by itself" if not chosen.dry_run else "dry run: guards measure, and hold; none goes back",
        watch=_watched(session, attended),
        guards=", ".join(rule.name + (" (dry run)" if rule.dry_run else "") for rule in chosen.guards),
        times=times,
        notes=(*weighed.notes, *_notes(session, chosen, ends, clock_now, break_glass)),
        findings=findings,
        refused=_refused(session, attended, stops, clock_now, break_glass) or _stopped(session, weighed, break_glass),
        command=shlex.join(["mlconsole", *words, "--env", session.environment.name, *(["--reason", reason] if reason else [])]),
        rollout=rollout,
    )


def begin(session: Session, plan: RolloutPlan) -> RolloutView:
    """Begin it: from now on the endpoint carries its claim, and a guardian drives it.

    Raises:
        NotAllowed: read only, frozen, or nobody would watch it.
        ApprovalNeeded: the environment wants a colleague's word first; the request for it is made.
        Conflict: somebody was faster; the endpoint is no longer what it was planned from.
    """
    session.access.require(Deed.GO_FORWARD)
    if plan.refused:
        raise NotAllowed(plan.refused)
    permit = approving.permit_rollout(session, plan)
    begun = session.registry.begin_rollout(replace(plan.rollout, started=session.clock.now()), approval=permit)
    watcher = session.registry.watcher(session.environment.name)
    if (watcher is None or not watcher.alive) and not begun.attended:  # who attends it drives it: `attend`
        _in_a_process_of_its_own(session, begun)
    return view_of(session, begun)


def attend(
    session: Session, rollout_id: str, say: Callable[[str], None] = lambda text: None, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Drive a rollout in this process until it is over.

    Where nobody watches the environment, this process watches it as a guardian does for as long: without predictions, probes and alarms
    that somebody looks at, a rollout would hold for ever. `meanwhile` is called again and again.
    """
    from mlconsole.engine.guarding import Guard

    guard = Guard(session.again(), say)
    try:
        with suppress(Conflict):  # somebody watches by now, and drives it
            guard.begin()
        while not find(session, rollout_id).state.terminal and not guard.lost:
            meanwhile()
            session.clock.sleep(0.2)
    finally:
        guard.end()


def control(session: Session, rollout_id: str, what: str, reason: str = "") -> RolloutView:
    """Ask something of a rollout; its driver obeys within a second.

    Raises:
        UnknownName: there is no such rollout.
        Conflict: it is over, or that can't be asked of it now.
    """
    wanted = Control(what)
    forward = wanted in (Control.NEXT, Control.FORWARD, Control.RESUME, Control.COUNT_SHADOW)
    session.access.require(Deed.GO_FORWARD if forward else Deed.GO_BACK)
    if forward:
        _require_no_freeze(session, f"{what} of the rollout")
    rollout = find(session, rollout_id)
    session.registry.ask_control(rollout.id, wanted, session.actor, reason)
    if wanted is Control.REVERT:
        from mlconsole.core.operations import Wanted

        for operation in session.registry.unfinished(session.environment.name):
            if operation.endpoint == rollout.endpoint:
                with suppress(Conflict):  # it came to its end just now
                    session.registry.ask(operation.id, Wanted.GO_BACK, session.actor)
    driver = session.registry.rollout_driver(rollout.id)
    watcher = session.registry.watcher(session.environment.name)
    if (driver is None or not driver.alive) and (watcher is None or not watcher.alive):
        _in_a_process_of_its_own(session, rollout)
    return view_of(session, find(session, rollout.id))


def let_shadow_count(session: Session, rollout_id: str) -> RolloutView:
    """What the shadow stage said counts as evidence for errors, latency and identical predictions."""
    return control(session, rollout_id, Control.COUNT_SHADOW)


def find(session: Session, what: str) -> Rollout:
    """A rollout by its id, or the latest one of an endpoint.

    Raises:
        UnknownName: there is none.
    """
    environment = session.environment.name
    rollout = session.registry.rollout(what)
    if rollout is not None and rollout.environment == environment:
        return rollout
    latest = session.registry.rollouts(environment, what, limit=1)
    if latest:
        return latest[0]
    recent = session.registry.rollouts(environment, limit=20)
    known = [*(one.id for one in recent), *(one.endpoint for one in recent)]
    raise UnknownName(
        f'There is no rollout "{what}" in {environment}. {did_you_mean(what, known)}', next="mlconsole rollout list shows them."
    )


def wait(session: Session, what: str, until: str, timeout: float) -> RolloutView:
    """Wait until a rollout is in a state, or over.

    Raises:
        UsageError: there is no such state.
        StillRunning: neither happened in time.
    """
    states = [*(str(state) for state in RolloutState), "over"]
    if until and until not in states:
        raise UsageError(f'A rollout is never "{neutralise(until)}". {did_you_mean(until, states)}')
    began = session.clock.elapsed()
    while True:
        rollout = find(session, what)
        if str(rollout.state) == until or (rollout.state.terminal and until in ("over", "")):
            return view_of(session, rollout)
        if rollout.state.terminal:
            return view_of(session, rollout)
        if session.clock.elapsed() - began >= timeout:
            raise StillRunning(
                f"The rollout of {rollout.endpoint} is {rollout.state} ({rollout.present.name}) after {duration(timeout)}.",
                next=f"mlconsole rollout status {rollout.endpoint}",
            )
        session.clock.sleep(0.2)


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
    seen = _read_seen(session, rollout)
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
        shadow_told=neutralise(str(_last_seen(session, rollout).get("shadow", ""))),
        shadow_counts=rollout.shadow_counts,
        events=tuple((one.at, neutralise(one.text)) for one in session.registry.rollout_events(rollout.id)),
        release=rollout.release,
        back_to=rollout.revert_to_release,
        ended=rollout.ended,
    )


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


def _read_seen(session: Session, rollout: Rollout) -> dict[str, Any]:
    body = _last_seen(session, rollout)
    if not body or (body.get("stage") != rollout.stage and not rollout.state.terminal):
        return {}
    for one in body.get("guards", ()):
        one["pooled"] = tuple(one.get("pooled", ()))
    return body


# Whether it may begin.


def _linted(session: Session, policy: Policy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with the policy here, and what of it stops a rollout."""
    environment = session.environment.name
    found = lint(
        policy,
        probes=tuple(session.environment.probes),
        golden=tuple(name for name in session.workspace.models if session.workspace.golden_for(name, environment) is not None),
        actions=tuple(name for name, one in session.workspace.actions.items() if one.offered(environment)),
        predictions="predictions" in session.environment.roles,
    )
    texts = tuple(f"{one.text} {one.next}".strip() for one in found)
    return texts, tuple(text for text, one in zip(texts, found, strict=True) if one.stops)


def _watched(session: Session, attended: bool) -> str:
    watcher = session.registry.watcher(session.environment.name)
    if watcher is not None and watcher.alive:
        return f"guardian {watcher.holder} (pid {watcher.pid})"
    return "you: keep this open, nobody else watches" if attended else "NOBODY"


def _refused(session: Session, attended: bool, stops: tuple[str, ...], now: datetime, break_glass: str) -> str:
    watcher = session.registry.watcher(session.environment.name)
    if (watcher is None or not watcher.alive) and not attended:
        return (
            "Nobody would watch this rollout. Start one: mlconsole guardian install (systemd) or mlconsole guardian start, "
            "or keep this screen open: --attended."
        )
    window = frozen(session.environment.freezes, now)
    if window is not None and not break_glass:
        return _frozen_told(window.end, window.reason, window.by)
    return stops[0] if stops else ""


def _stopped(session: Session, weighed: evaluating.Weighed, break_glass: str) -> str:
    if not weighed.stop or break_glass:
        return ""
    return f'{weighed.stop}: the gates of {session.environment.name} stop that. Break-glass needs a reason: --break-glass "…".'


def _require_no_freeze(session: Session, what: str) -> None:
    window = frozen(session.environment.freezes, session.clock.now())
    if window is not None:
        raise NotAllowed(f"{what}: {_frozen_told(window.end, window.reason, window.by)}")


def _frozen_told(end: datetime, reason: str, by: str) -> str:
    why = f' ("{reason}"{f", by {by}" if by else ""})' if reason else ""
    return (
        f"Frozen until {end.astimezone():%a %d %b %H:%M}{why}. Going back, pausing and acknowledging still work. "
        'Break-glass needs a reason: --break-glass "…".'
    )


def _notes(session: Session, policy: Policy, ends: datetime | None, now: datetime, break_glass: str) -> list[str]:
    notes = []
    if break_glass:
        notes.append(f"golden queries are skipped ({break_glass}); that stays visible on the release")
    if len(policy.stages) == 1:
        notes.append("all of the traffic at once: 0 → 100 %")
    if policy.stop_old:
        notes.append("after the bake the old variant is taken away; `rollout keep` keeps it")
    if not any(rule.kind is GuardKind.QUESTION for rule in policy.guards):
        notes.append("no guard looks at predictions")
    if ends is not None:
        window = frozen_between(session.environment.freezes, now, ends)
        if window is not None:
            notes.append(
                f"it would run into the freeze of {window.begin.astimezone():%a %d %b %H:%M}: it holds there, and goes back if it has to"
            )
    stages = " ".join(percent(stage.share) for stage in policy.stages)
    return [*notes, *([] if policy.deadline is None else [f"deadline {duration(policy.deadline)}, then {policy.at_deadline} ({stages} %)"])]


def _in_a_process_of_its_own(session: Session, rollout: Rollout) -> None:
    command = [sys.executable, "-m", "mlconsole", "rollout", "drive", rollout.id, "--workspace", str(session.workspace.file)]
    subprocess.Popen(
        [*command, "--env", session.environment.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


__all__ = [
    "RolloutPlan",
    "begin",
    "control",
    "find",
    "let_shadow_count",
    "plan_rollout",
    "policy_of",
    "rollouts",
    "shown",
    "view_of",
    "wait",
    "write_seen",
]
