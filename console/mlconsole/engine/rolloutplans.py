"""The plan of a rollout: what it would do, how long that takes, and why it can't start, shown before anything happens."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.freezes import frozen, frozen_between
from mlconsole.core.models import variant_name
from mlconsole.core.policies import GuardKind, Policy
from mlconsole.core.policy_lint import lint
from mlconsole.core.releases import ReleaseKind, Variant, describe_content
from mlconsole.core.rollouts import PlannedStage, Rollout
from mlconsole.core.scheduling import planned
from mlconsole.core.text import did_you_mean, duration, neutralise
from mlconsole.core.timetables import StageTime, timetable, told
from mlconsole.core.traffic import percent
from mlconsole.engine import evaluating, fitting, glass, metering
from mlconsole.engine.access import Deed
from mlconsole.engine.artifacts import check_artifact
from mlconsole.engine.gates import GOLDEN
from mlconsole.engine.identifying import credentials_told, too_short
from mlconsole.engine.planning import current, find_version
from mlconsole.engine.weighing import Weighing
from mlconsole.plugin.errors import AuthFailed, Conflict, UnknownName

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.plugin.roles import Caller
    from mlconsole.registry import WatcherRow


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
    glass: str = ""
    """What a reason would overrule or skip (`golden queries`); empty: nothing."""


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
    break_glass = break_glass.strip()
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
    stages = tuple(replace(stage, content=session.backend.expressed(endpoint, stage.content)) for stage in stages)
    for stage in stages:
        session.backend.check(endpoint, stage.content)
    fits, misfits = fitting.require(session, endpoint, ReleaseKind.DEPLOY, now, stages[-1].content, break_glass)
    weighed = evaluating.weigh(session, endpoint, now, registered)
    clock_now = session.clock.now()
    rates = Weighing(session).rates(endpoint)
    times = timetable(stages, rates, chosen.guards, clock_now, deadline=chosen.deadline)
    stable = tuple(one.name for one in now.variants if now.traffic and now.traffic.reaches(one.name) and one.name != variant.name)
    asks_golden = session.workspace.golden_for(model, session.environment.name) is not None
    skipped: tuple[str, ...] = ()
    if break_glass:
        golden = (f"{GOLDEN} ({variant.name})",) if asks_golden else ()
        figures = evaluating.require(session, weighed, break_glass, variant.name)
        skipped = (*figures, *golden, *misfits, *glass.overruled(session, break_glass))
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
        actor=session.acting(),
        reason=glass.reason_with(reason, break_glass),
        attended=attended,
        skipped_gates=skipped,
    )
    words = ["rollout", "start", registered.name, "--endpoint", endpoint, "--policy", chosen.name]
    words += ["--break-glass", break_glass] if break_glass else []
    words += ["--attended"] if attended else []
    findings, stops = linted(session, chosen)
    ends = times[-1].ends if times else None
    why_not = refused(session, attended, stops, clock_now, break_glass, stages, times) or _stopped(session, weighed, break_glass)
    with_reason = refused(session, attended, stops, clock_now, "so", stages, times)
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
        watch=watched(session, attended),
        guards=", ".join(rule.name + (" (dry run)" if rule.dry_run else "") for rule in chosen.guards),
        times=times,
        notes=(*weighed.notes, *fits, *glass.skipped_told(skipped, break_glass), *noted(session, chosen, ends, clock_now)),
        findings=findings,
        refused=why_not,
        command=shlex.join(["mlconsole", *words, "--env", session.environment.name, *(["--reason", reason] if reason else [])]),
        rollout=rollout,
        glass="" if break_glass else glass.offered(why_not, with_reason, asks_golden=asks_golden),
    )


# Whether it may begin.


def linted(session: Session, policy: Policy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with the policy here, and what of it stops a rollout."""
    environment = session.environment.name
    found = lint(
        policy,
        probes=tuple(session.environment.probes),
        golden=tuple(name for name in session.workspace.models if session.workspace.golden_for(name, environment) is not None),
        actions=tuple(name for name, one in session.workspace.actions.items() if one.offered(environment)),
        predictions="predictions" in session.environment.roles,
        metrics=metering.bound(session),
    )
    texts = tuple(f"{one.text} {one.next}".strip() for one in found)
    return texts, tuple(text for text, one in zip(texts, found, strict=True) if one.stops)


def watched(session: Session, attended: bool) -> str:
    """Who would drive it, and as whom, until when."""
    now, watcher = session.clock.now(), _guardian(session)
    if watcher is not None:
        who = neutralise(f"guardian {watcher.holder}")
        caller = watcher.caller
        return f"{who} as {caller.name} ({credentials_told(caller, now)})" if caller is not None else f"{who} (pid {watcher.pid})"
    if not attended:
        return "NOBODY"
    caller, _ = _own(session)
    acts = f", as {caller.name} ({credentials_told(caller, now, 'your')})" if caller is not None else ""
    return f"you: keep this open, nobody else watches{acts}"


def refused(
    session: Session,
    attended: bool,
    stops: tuple[str, ...],
    now: datetime,
    break_glass: str,
    stages: Sequence[PlannedStage] = (),
    times: Sequence[StageTime] = (),
) -> str:
    """Why it can't start; empty when it can. `times` is the timetable of its `stages`."""
    watcher = _guardian(session)
    if watcher is None and not attended:
        return (
            "Nobody would watch this rollout. Start one: mlconsole guardian install (systemd) or mlconsole guardian start, "
            "or keep this screen open: --attended."
        )
    caller, problem = (watcher.caller, "") if watcher is not None else _own(session)
    if problem:
        return f"Nobody else watches, and the backend does not take your credentials: {problem} Not started."
    short = _too_short(caller, watcher is not None, stages, times, now)
    if short:
        return short
    window = frozen(session.environment.freezes, now)
    if window is not None and not break_glass:
        return glass.frozen_told(window)
    return stops[0] if stops else ""


def _guardian(session: Session) -> WatcherRow | None:
    watcher = session.registry.watcher(session.environment.name)
    return watcher if watcher is not None and watcher.alive else None


def _own(session: Session) -> tuple[Caller | None, str]:
    """As whom the backend takes whoever asks, where it can tell; and why it does not take them."""
    try:
        return session.backend.caller(), ""
    except AuthFailed as error:
        return None, f"{error.message} {error.next}".strip()


def _too_short(caller: Caller | None, guardian: bool, stages: Sequence[PlannedStage], times: Sequence[StageTime], now: datetime) -> str:
    """Whoever drives it has to be able to take it back until its end. An end that can't be told is no sooner than all that it waits."""
    if not stages or not times:
        return ""
    ends = times[-1].ends
    least = sum(stage.wait if time.seconds is None else time.seconds for stage, time in zip(stages, times, strict=True))
    last, shorter = ("the bake", "a shorter bake") if stages[-1].bake else ("the rollout", "another policy")
    whose, about = "The guardian's" if guardian else "Your", "" if ends is not None else " at the earliest"
    problem = too_short(caller, ends or now + timedelta(seconds=least), now, whose=whose, what=last, about=about)
    if not problem:
        return ""
    longer = "Run the guardian with credentials that last" if guardian else "Renew them, or let a guardian drive it"
    return f"{problem}. Not started. {longer} (mlconsole guardian install), or choose {shorter}."


def _stopped(session: Session, weighed: evaluating.Weighed, break_glass: str) -> str:
    if not weighed.stop or break_glass:
        return ""
    return f'{weighed.stop}: the gates of {session.environment.name} stop that. Break-glass needs a reason: --break-glass "…".'


def noted(session: Session, policy: Policy, ends: datetime | None, now: datetime) -> list[str]:
    """What a person has to know of such a policy, and of freezes until its end."""
    notes = []
    if len(policy.stages) == 1:
        notes.append("all of the traffic at once: 0 → 100 %")
    if policy.stop_old:
        notes.append("after the bake the old variant is taken away; `rollout keep` keeps it")
    if session.environment.guardian_only:
        notes.append("guardian only: no alarm of the backend takes shares back, the guardian does")
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
