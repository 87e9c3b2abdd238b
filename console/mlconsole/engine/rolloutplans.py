"""The plan of a rollout: what it would do, how long that takes, and why it can't start, shown before anything happens."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mlconsole.core.freezes import FreezeWindow, frozen, frozen_between
from mlconsole.core.models import variant_name
from mlconsole.core.policies import GuardKind, Policy
from mlconsole.core.policy_lint import lint
from mlconsole.core.releases import Variant, describe_content
from mlconsole.core.rollouts import Rollout
from mlconsole.core.scheduling import planned
from mlconsole.core.text import did_you_mean, duration
from mlconsole.core.timetables import StageTime, timetable, told
from mlconsole.core.traffic import percent
from mlconsole.engine import evaluating
from mlconsole.engine.access import Deed
from mlconsole.engine.artifacts import check_artifact
from mlconsole.engine.planning import current, find_version
from mlconsole.engine.weighing import Weighing
from mlconsole.plugin.errors import Conflict, UnknownName

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


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


def frozen_told(window: FreezeWindow) -> str:
    """Until when nothing goes forward and why, what still works, and what overrules it."""
    why = f' ("{window.reason}"{f", by {window.by}" if window.by else ""})' if window.reason else ""
    return (
        f"Frozen until {window.end.astimezone():%a %d %b %H:%M}{why}. Going back, pausing and acknowledging still work. "
        'Break-glass needs a reason: --break-glass "…".'
    )


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
        return frozen_told(window)
    return stops[0] if stops else ""


def _stopped(session: Session, weighed: evaluating.Weighed, break_glass: str) -> str:
    if not weighed.stop or break_glass:
        return ""
    return f'{weighed.stop}: the gates of {session.environment.name} stop that. Break-glass needs a reason: --break-glass "…".'


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
