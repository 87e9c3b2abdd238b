"""A config document that grows: planned as a rollout of its own, and weighed by what the endpoints do that it touches."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.documents import WHOLE, config_target, document_of
from mlconsole.core.growing import before_and_after, growth_policy, planned_growth
from mlconsole.core.guards import alarm_result, results
from mlconsole.core.health import Question
from mlconsole.core.policies import GuardRule
from mlconsole.core.releases import ReleaseKind, describe_content
from mlconsole.core.rollouts import GuardResult, Rollout
from mlconsole.core.staged import GuardEvidence
from mlconsole.core.text import duration, neutralise
from mlconsole.core.timetables import timetable, told
from mlconsole.core.triage import title
from mlconsole.engine import documenting, fitting, glass, metering, publishing
from mlconsole.engine.rolloutplans import RolloutPlan, linted, noted, policy_of, refused, watched
from mlconsole.engine.weighing import Weighed, Weighing, rates_of
from mlconsole.plugin.errors import Conflict, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlconsole.engine.session import Session

_AT_ONCE = ("shares of the traffic stand in it too: all clients get it in one stage, so that going back with these never waits",)

_ONE_STAGE = ("this store can't hold a share of the clients: all of them get it in one stage, which guards watch from then on",)

_NO_ALARMS = ("no alarm of the store's own takes it back: the guardian only",)

_WINDOW = 10
"""Seconds of a window of observations: the one in which a rollout started is neither before nor after it."""


def plan_config_rollout(
    session: Session,
    name: str,
    *,
    policy: str | None = None,
    reason: str = "",
    break_glass: str = "",
    attended: bool = False,
) -> RolloutPlan:
    """The draft of a document comes to the clients by the stages of a policy, its own where none is named.

    Raises:
        As `publishing.plan_publish`; UsageError: the policy can't be carried out here; Conflict: it is in a rollout already.
    """
    known = documenting.settings(session, name)
    target = config_target(name)
    chosen = growth_policy(policy_of(session, target, policy or known.policy))
    there = session.registry.claim(session.environment.name, target)
    if there is not None:
        raise Conflict(
            f"config {name} is in a rollout already ({there.variant} at {there.present.name}, by {neutralise(there.actor.user)}). "
            "Nothing was changed.",
            next=f"mlconsole rollout status {target}; go back: mlconsole rollout revert {target}",
        )
    live, record = publishing.document_now(session, name)
    if record is None:
        raise UsageError(
            f"config {name} is published for the first time: there is no version that other clients could read meanwhile.",
            next=f"Publish it at once: mlconsole config publish {name} --at-once",
        )
    prepared = publishing.prepare(session, name, live, reason=reason, break_glass=break_glass)
    limits = session.backend.config().limits()
    held = session.environment.traffic_in == name
    # A document has one policy in all environments; whoever names one wants its stages, and hears that they can't be had.
    whole = not limits.growth and policy is None
    stages = planned_growth(chosen, prepared.document, limits.share_granularity, growth=limits.growth, at_once=held or whole)
    fits, misfits = fitting.require(session, target, ReleaseKind.PUBLISH, record.content, stages[-1].content, break_glass)
    now = session.clock.now()
    rates = Growing(session).rates_of_document(name, prepared.document.pointers, prepared.document.digest)
    publishing_takes = sum(step.seconds for step in session.backend.steps(live, stages[0].content))
    times = timetable(stages, rates, chosen.guards, now, deadline=chosen.deadline, change=publishing_takes + limits.poll_lag)
    skipped = (*prepared.skipped, *misfits, *glass.overruled(session, break_glass))
    rollout = Rollout(
        id=session.registry.new_plan_id(),
        environment=session.environment.name,
        endpoint=target,
        policy=chosen,
        variant=str(prepared.document.version),
        stable=(str(prepared.live.version),) if prepared.live.version is not None else (),
        stages=stages,
        revert_to=record.content,
        revert_to_release=record.number,
        started=now,
        actor=session.acting(),
        reason=glass.reason_with(prepared.reason, break_glass),
        attended=attended,
        skipped_gates=skipped,
    )
    words = ["config", "publish", name, *([] if whole else ["--policy", chosen.name])]
    words += ["--break-glass", break_glass] if break_glass else []
    words += ["--attended"] if attended else []
    words += ["--env", session.environment.name, *(["--reason", prepared.reason] if prepared.reason else [])]
    watching = session.backend.document_watching(name)
    armed = () if watching is None else (watching,) if watching else _NO_ALARMS
    findings, stops = linted(session, chosen)
    ends = times[-1].ends if times else None
    why_not = refused(session, attended, stops, now, break_glass, stages, times)
    return RolloutPlan(
        id=rollout.id,
        endpoint=target,
        environment=session.environment.name,
        production=session.environment.production,
        confirm=prepared.confirm if session.environment.production else None,
        now=f"#{record.number}  {describe_content(record.content)}",
        then=describe_content(stages[-1].content),
        path=" → ".join(stage.name for stage in stages),
        ends=told(times, now),
        back=f"u at any time: to {prepared.live.version}, about {duration(limits.poll_lag)}, only what this changes",
        alone="any FAIL goes back by itself" if not chosen.dry_run else "dry run: guards measure, and hold; none goes back",
        watch=watched(session, attended),
        guards=", ".join(rule.name + (" (dry run)" if rule.dry_run else "") for rule in chosen.guards),
        times=times,
        notes=(
            *prepared.notes,
            *(_AT_ONCE if held else _ONE_STAGE if whole and chosen.stages[0].share != WHOLE else ()),
            *armed,
            *fits,
            *noted(session, chosen, ends, now),
            *glass.skipped_told(skipped, break_glass),
        ),
        findings=findings,
        refused=why_not,
        command=shlex.join(["mlconsole", *words]),
        rollout=rollout,
        glass="" if break_glass else glass.offered(why_not, refused(session, attended, stops, now, "so", stages, times)),
    )


class Growing(Weighing):
    """Weighs a config document's rollout by the endpoints that it touches, all their variants together: since it began, and before."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._touched: dict[str, tuple[str, ...]] = {}

    def look(self, rollout: Rollout) -> Weighed:
        """What there is to be said of the present stage now."""
        now = self._session.clock.now().timestamp()
        self._read(*self.endpoints(rollout))
        self._gathering.refresh()
        self._memory.refresh()
        # What clients did before they could have read this stage's version says nothing of it.
        lag = self._session.backend.config().limits().poll_lag
        began = rollout.stage_began.timestamp() + lag if rollout.stage_began else now
        started = rollout.started.timestamp() + _WINDOW
        found: list[GuardResult] = []
        seen, newest = 0, None
        rates: dict[str, float] = {}
        touched = self.endpoints(rollout)
        if metering.bound(self._session):
            # A period's figures are of all of it: one that began before the stage tells of what was before it, too.
            period = metering.resolution_of(self._session).period
            began, started = math.ceil(began / period) * period, math.ceil(started / period) * period
            now = min((self._gathering.as_of(endpoint) for endpoint in touched), default=now)
        for endpoint in touched:
            windows = self._gathering.evidence(endpoint, None, (), {}).windows
            halves = before_and_after(windows, started=started, before=_before(rollout), after=rollout.variant)
            evidence = GuardEvidence(
                endpoint=endpoint,
                windows=halves,
                new=rollout.variant,
                stable=(_before(rollout),),
                stage_began=began,
                split={"": {rollout.variant: 1.0}},
                settings=self._settings(endpoint),
            )
            if rollout.stage_began is not None:
                several = len(touched) > 1
                found += [_of(one, endpoint) if several else one for one in results(rollout, evidence, now)]
            mine = [each for key, each in halves.items() if key.variant == rollout.variant and not key.slice]
            seen += sum(one.n for each in mine for at, one in each.items() if at >= began)
            last = max((one.last for each in windows.values() for one in each.values()), default=None)
            newest = last if newest is None else max(newest, last or newest)
            for name, rate in rates_of(windows, now).items():
                rates[name] = rates.get(name, 0.0) + rate
        if rollout.stage_began is not None:
            found += self._others(rollout)
        silent = max(0.0, now - newest) if newest is not None and now - newest > 10.0 else 0.0
        return Weighed(tuple(found), seen, silent, rates.get("", 0.0) * silent if silent else None, rates, None)

    def last_new(self, rollout: Rollout) -> float | None:
        """Nobody knows which client made a request: that none reads the version any more is what the store reports."""
        return None

    def rates_of_document(self, name: str, pointers: tuple[str, ...], digest: str) -> Mapping[str, float]:
        """Requests a second, by slice, of all endpoints that a change touches."""
        rates: dict[str, float] = {}
        for endpoint in documenting.endpoints_touched(self._session, name, pointers, digest):
            for slice_, rate in self.rates(endpoint).items():
                rates[slice_] = rates.get(slice_, 0.0) + rate
        return rates

    def endpoints(self, rollout: Rollout) -> tuple[str, ...]:
        """The endpoints that the change touches: those of the entries in which it changes something; all of them where it is elsewhere."""
        document = rollout.stages[-1].content.document
        if document is None:
            return ()
        if rollout.id not in self._touched:
            self._touched[rollout.id] = documenting.endpoints_touched(self._session, document.name, document.pointers, document.digest)
        return self._touched[rollout.id]

    def _alarms(self, rollout: Rollout, rule: GuardRule) -> GuardResult:
        registry = self._session.registry
        watcher = registry.watcher(rollout.environment)
        if watcher is None or not watcher.alive:
            return alarm_result(rule, None)
        touched = set(self.endpoints(rollout))
        opened = tuple(
            neutralise(f"alarm {one.number}, {title(one)}")
            for one in registry.alarms(rollout.environment, open_only=True)
            if touched & set(one.endpoints) and one.opened >= rollout.started and one.worst.question is not Question.ALARM
        )
        return self._with_native(rollout, rule, opened, touched)

    def _needed(self, rollout: Rollout) -> tuple[str, ...]:
        session = self._session
        found: dict[str, None] = {}
        for endpoint in self.endpoints(rollout):
            settings = session.workspace.endpoints.get(endpoint)
            live = session.registry.live_release(rollout.environment, endpoint)
            content = live.release.content if live is not None else None
            if settings is None or content is None or content.traffic is None:
                continue
            serving = [one.version for one in content.variants if content.traffic.reaches(one.name)]
            found.update({name: None for name in settings.probes(serving) if name in session.environment.probes})
        return tuple(found)


def weighing_for(session: Session, target: str) -> Weighing:
    """What weighs a rollout of that target."""
    return Weighing(session) if document_of(target) is None else Growing(session)


def _before(rollout: Rollout) -> str:
    return rollout.stable[0] if rollout.stable else "before"


def _of(result: GuardResult, endpoint: str) -> GuardResult:
    """The result of one of several endpoints: it says which."""
    value = result.slice.partition("=")[2]
    return replace(result, slice=f"{endpoint}={value or 'all'}" if result.slice else f"endpoint={endpoint}")
