"""Weighing: what a rollout's guards say in its present stage, from predictions, probes, alarms, golden queries and actions."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlconsole.core.evidence import HOUR
from mlconsole.core.guards import action_result, alarm_result, golden_result, probe_result, results
from mlconsole.core.health import Question, Settings
from mlconsole.core.policies import GuardKind, GuardRule
from mlconsole.core.rollouts import GuardResult, Rollout
from mlconsole.core.staged import DAY, WINDOWS, GuardEvidence
from mlconsole.core.summaries import Key, Summary
from mlconsole.core.text import neutralise
from mlconsole.core.traffic import WHOLE
from mlconsole.core.triage import title
from mlconsole.core.verdicts import Verdict
from mlconsole.core.wording import count, percent
from mlconsole.engine import metering, nativealarms
from mlconsole.engine.evidencing import Gathering
from mlconsole.engine.ingesting import Ingest
from mlconsole.engine.pairing import Pairing
from mlconsole.engine.remembering import Memory
from mlconsole.engine.views import PairsView
from mlconsole.plugin.errors import MLConsoleError, StillRunning

if TYPE_CHECKING:
    from mlconsole.core.live import Difference
    from mlconsole.engine.session import Session

_ASKED = 30.0
"""Seconds between two times that golden queries are asked, or an action is run, for a guard."""

_READING = 0.5
"""Seconds that a look waits for predictions to be read."""

_FRESH = 30.0
"""A probe's sighting that is older tells nothing of now (s), unless it looks more seldom than that."""


@dataclass(frozen=True)
class Weighed:
    """What the guards say, and what there was to judge by."""

    results: tuple[GuardResult, ...]
    seen: int
    """The new variant's requests since the stage began; in a shadow stage, copies."""
    silent: float
    """Seconds for which the endpoint had no request; 0 while it has."""
    usual: float | None
    """How many are usual in that time."""
    rates: Mapping[str, float]
    """Requests a second by slice, `""`: all; of the last ten minutes."""
    last_new: float | None
    """When the newest request of the new variant began (epoch s)."""
    shadow: str = ""
    """In the shadow stage: what the pairs say so far."""


class Weighing:
    """Weighs one endpoint again and again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._memory = Memory(session)
        self._gathering = Gathering(session, self._memory)
        self._gathering.near = True
        self._ingest, self._pairing = Ingest(session), Pairing(session)
        self._reading: threading.Thread | None = None
        self._asked: dict[str, tuple[float, int, GuardResult]] = {}
        self._runs: dict[str, tuple[int, str]] = {}
        """Guard → the stage for which its action runs, and that run's id."""
        self._former: tuple[tuple[str, int, int], Mapping[Key, Mapping[int, Summary]]] | None = None
        """The stage, and what the stable variant did in the last hour in which it answered before that."""

    def look(self, rollout: Rollout) -> Weighed:
        """What there is to be said of the present stage now."""
        session = self._session
        now = session.clock.now().timestamp()
        # Until applications that read in a document whom to ask have looked there, requests go as they did before.
        began = rollout.stage_began.timestamp() + session.backend.reading_lag() if rollout.stage_began else now
        self._read(rollout.endpoint)
        # All of the stage, however long it takes, and the hour before it.
        self._gathering.horizon = max(self._gathering.horizon, min(now - began, DAY) + HOUR)
        self._gathering.refresh()
        if metering.bound(session):
            # A period's figures are of all of it: one that began before the stage tells of what was before it, too.
            period = metering.resolution_of(session).period
            began = math.ceil(began / period) * period
            now = self._gathering.as_of(rollout.endpoint)
        self._memory.refresh()
        evidence = self._gathering.evidence(rollout.endpoint, rollout.present.content, (), {})
        windows = self._with_former(rollout, evidence.windows, began)
        guard_evidence = GuardEvidence(
            endpoint=rollout.endpoint,
            windows=windows,
            new=rollout.variant,
            stable=rollout.stable,
            stage_began=began,
            split=_split(rollout),
            baselines=evidence.baselines,
            shadow=self._shadow(rollout, windows),
            settings=self._settings(rollout.endpoint),
        )
        found: list[GuardResult] = []
        if rollout.stage_began is not None:
            found += results(rollout, guard_evidence, now)
            found += self._others(rollout)
        newest = max((one.last for key, each in windows.items() if not key.slice and not key.shadow for one in each.values()), default=None)
        rates = rates_of(windows, now)
        silent = max(0.0, now - newest) if newest is not None and now - newest > 10.0 else 0.0
        mine = Key(rollout.endpoint, rollout.variant, rollout.present.shadow, rollout.present.slice)
        return Weighed(
            tuple(found),
            sum(one.n for start, one in windows.get(mine, {}).items() if began <= start <= now),
            silent,
            rates.get("", 0.0) * silent if silent else None,
            rates,
            self._last_new(rollout, windows),
            _pairs_told(self._pairing.look(rollout.endpoint, rollout.present.content)) if rollout.present.shadow else "",
        )

    def _with_former(
        self, rollout: Rollout, windows: Mapping[Key, Mapping[int, Summary]], began: float
    ) -> Mapping[Key, Mapping[int, Summary]]:
        """The windows, and where the stable variant gets nothing any more those of the last hour in which it did: a bake takes longer than
        what is kept in memory, and begins anew with each driver that takes it up."""
        traffic = rollout.present.content.traffic
        if traffic is None or rollout.present.shadow or any(traffic.reaches(name) for name in rollout.stable):
            return windows
        mark = rollout.id, rollout.stage, rollout.attempt
        if self._former is None or self._former[0] != mark:
            self._former = mark, self._last_answered(rollout, began)
        return {**windows, **{key: {**former, **windows.get(key, {})} for key, former in self._former[1].items()}}

    def _last_answered(self, rollout: Rollout, began: float) -> Mapping[Key, Mapping[int, Summary]]:
        """The stable variant's windows of the last hour in which it answered before the stage; sought back to the rollout's begin."""
        found: dict[Key, dict[int, Summary]] = {}
        until, first = began, rollout.started.timestamp() - HOUR
        while until > first and len({start for each in found.values() for start in each}) < WINDOWS:
            for stored in self._session.observations.windows(rollout.environment, until - HOUR, until, endpoint=rollout.endpoint):
                if stored.key.variant in rollout.stable and not stored.key.shadow:
                    found.setdefault(stored.key, {})[stored.start] = stored.summary
            until -= HOUR
        return found

    def last_new(self, rollout: Rollout) -> float | None:
        """When the newest request of the new variant began (epoch s); no guard is asked for that."""
        self._read(rollout.endpoint)
        self._gathering.refresh()
        self._memory.refresh()
        return self._last_new(rollout, self._gathering.evidence(rollout.endpoint, None, (), {}).windows)

    def _read(self, *endpoints: str) -> None:
        """Read on what was predicted: what decides does not wait until somebody looks at health. A source that hangs is not waited for."""

        def read() -> None:
            with suppress(MLConsoleError):  # health says so, and what is not known passes no guard
                self._ingest.run(endpoints)

        if self._reading is None or not self._reading.is_alive():
            self._reading = threading.Thread(target=read, daemon=True, name="predictions")
            self._reading.start()
        self._reading.join(_READING)

    def _last_new(self, rollout: Rollout, windows: Mapping[Key, Mapping[int, Summary]]) -> float | None:
        mine = windows.get(Key(rollout.endpoint, rollout.variant, False, ""), {})
        return max((one.last for one in mine.values()), default=None)

    def rates(self, endpoint: str) -> Mapping[str, float]:
        """Requests a second of an endpoint by slice, of the last ten minutes."""
        self._gathering.refresh()
        self._memory.refresh()
        evidence = self._gathering.evidence(endpoint, None, (), {})
        return rates_of(evidence.windows, self._gathering.as_of(endpoint))

    def _settings(self, endpoint: str) -> Settings:
        known = self._session.workspace.endpoints.get(endpoint)
        return known.health if known else Settings()

    def _shadow(self, rollout: Rollout, windows: Mapping[Key, Mapping[int, Summary]]) -> Mapping[Key, Mapping[int, Summary]]:
        """The windows in which the new variant got copies, with what consumers got then."""
        if not rollout.shadow_counts:
            return {}
        copied = {start for key, each in windows.items() if key.shadow and key.variant == rollout.variant for start in each}
        return {key: kept for key, each in windows.items() if (kept := {start: one for start, one in each.items() if start in copied})}

    def _others(self, rollout: Rollout) -> Iterator[GuardResult]:
        rules = list(rollout.policy.guards)
        named = {rule.subject for rule in rules if rule.kind is GuardKind.PROBE}
        # What the new version can't do without is a guard of each rollout, whether the policy names it or not.
        rules += [GuardRule(name, GuardKind.PROBE, subject=name) for name in self._needed(rollout) if name not in named]
        for rule in rules:
            if rule.kind is GuardKind.PROBE:
                yield self._probe(rollout, rule)
            elif rule.kind is GuardKind.ALARM:
                yield self._alarms(rollout, rule)
            elif rule.kind in (GuardKind.GOLDEN, GuardKind.ACTION):
                yield self._now_and_then(rollout, rule)

    def _needed(self, rollout: Rollout) -> tuple[str, ...]:
        settings = self._session.workspace.endpoints.get(rollout.endpoint)
        variant = rollout.present.content.variant(rollout.variant)
        if settings is None or variant is None:
            return ()
        return tuple(name for name in settings.probes((variant.version,)) if name in self._session.environment.probes)

    def _probe(self, rollout: Rollout, rule: GuardRule) -> GuardResult:
        row = next((one for one in self._session.registry.probes(rollout.environment) if one.name == rule.subject), None)
        began, settings = rollout.stage_began, self._session.environment.probes.get(rule.subject)
        fresh = max(_FRESH, 2 * settings.every) if settings is not None else _FRESH
        if row is None or began is None or row.looked < began or (self._session.clock.now() - row.looked).total_seconds() > fresh:
            return probe_result(rule, None, "not asked since the stage began")
        return probe_result(rule, row.ok, neutralise(row.text))  # its figure is keys or ms, and stands in the text

    def _alarms(self, rollout: Rollout, rule: GuardRule) -> GuardResult:
        registry = self._session.registry
        watcher = registry.watcher(rollout.environment)
        if watcher is None or not watcher.alive:
            return alarm_result(rule, None)
        opened = tuple(
            neutralise(f"alarm {one.number}, {title(one)}")
            for one in registry.alarms(rollout.environment, open_only=True)
            if rollout.endpoint in one.endpoints
            and one.opened >= rollout.started
            and _about(one.worst.variants, rollout)
            and one.worst.question is not Question.ALARM  # when that was set off, the backend says
        )
        return self._with_native(rollout, rule, opened, (rollout.endpoint,))

    def _with_native(self, rollout: Rollout, rule: GuardRule, opened: tuple[str, ...], endpoints: Collection[str]) -> GuardResult:
        """Ours, and those of the backend."""
        told = nativealarms.look(self._session)
        if told.alarms is None and not opened:
            return alarm_result(rule, None, why=f"the backend's alarms can't be read: {neutralise(told.trouble)}")
        native, held, known = nativealarms.guarding(told, rollout, endpoints)
        return alarm_result(rule, (*native, *opened), known, held)

    def _now_and_then(self, rollout: Rollout, rule: GuardRule) -> GuardResult:
        """Golden queries and actions cost something: once a stage at least, and then each half minute."""
        now = self._session.clock.elapsed()
        kept = self._asked.get(rule.name)
        mark = rollout.stage * 1000 + rollout.attempt
        if kept is None or kept[1] != mark or now - kept[0] >= _ASKED:
            result = self._golden(rollout, rule) if rule.kind is GuardKind.GOLDEN else self._action(rollout, rule, mark)
            if result.verdict is Verdict.NO_DATA and rule.kind is GuardKind.ACTION:
                return kept[2] if kept is not None and kept[1] == mark else result  # it runs; it is looked at again the next time
            kept = self._asked[rule.name] = now, mark, result
        return kept[2]

    def _golden(self, rollout: Rollout, rule: GuardRule) -> GuardResult:
        from mlconsole.engine.gates import golden_queries, invocation

        session = self._session
        variant = rollout.present.content.variant(rollout.variant)
        if variant is None:
            return golden_result(rule, 0, 0)
        registered = session.registry.version(variant.model, variant.version)
        right = asked = 0
        first: Difference | None = None
        named = ""
        try:
            for query in golden_queries(session, rule.subject or variant.model):
                answer = session.backend.invoke(rollout.endpoint, invocation(dict(query.inputs), registered), variant.name, probe=True)
                differences = query.differences(answer.outputs) if answer.status == 200 else ()
                asked += 1
                right += answer.status == 200 and not differences
                if not named and (answer.status != 200 or differences):
                    named, first = query.id, differences[0] if differences else None
        except MLConsoleError as error:
            return GuardResult(rule.name, Verdict.ERROR, text=error.message, dry_run=rule.dry_run)
        return golden_result(rule, right, asked, first, named)

    def _action(self, rollout: Rollout, rule: GuardRule, mark: int) -> GuardResult:
        """Begun, and looked at again until it is over: whoever drives goes on reading what people ask."""
        from mlconsole.engine import acting

        there = self._runs.get(rule.name)
        try:
            if there is None or there[0] != mark:
                asked = acting.ask(self._session, rule.subject, reason=f"guard of rollout {rollout.id}")
                there = self._runs[rule.name] = mark, asked.id
            run = acting.wait(self._session, there[1], 0.0)
        except StillRunning:
            return action_result(rule, None, "it runs")
        except MLConsoleError as error:
            self._runs.pop(rule.name, None)
            return action_result(rule, Verdict.ERROR, error.message)
        self._runs.pop(rule.name, None)
        return action_result(rule, Verdict.PASS if run.state == "done" else Verdict.FAIL, run.told)


def _pairs_told(pairs: PairsView | None) -> str:
    """`13 860 pairs, 97.1 % within 0.05 · flips over threshold de 0.2 % pl 0.9 % · 3 ms slower`."""
    if pairs is None or not pairs.n:
        return ""
    told = [f"{count(pairs.n)} pairs" + (f", {percent(pairs.agree)} within {pairs.tolerance:g}" if pairs.agree is not None else "")]
    flips = [f"{name.partition('=')[2]} {percent(flips / n)}" for name, (flips, n) in pairs.flips.items() if name and n]
    told += [f"flips over threshold {'  '.join(flips)}"] if flips else []
    if pairs.slower_ms is not None and abs(pairs.slower_ms) >= 1:
        told.append(f"{abs(pairs.slower_ms):.0f} ms {'slower' if pairs.slower_ms > 0 else 'faster'}")
    told += [f"{count(pairs.failed)} copies failed"] if pairs.failed else []
    told += [f"{count(pairs.unpaired)} unpaired"] if pairs.unpaired else []
    return neutralise(" · ".join(told))


def _about(variants: tuple[str, ...], rollout: Rollout) -> bool:
    """An alarm that is about the stable variants only says nothing against the new one."""
    named = {one for one in variants if one}
    return not named or rollout.variant in named


def _split(rollout: Rollout) -> Mapping[str, Mapping[str, float]]:
    traffic = rollout.present.content.traffic
    if traffic is None:
        return {}
    found = {"": {name: share / WHOLE for name, share in traffic.split.items()}}
    for entry in traffic.by_slice:
        found[f"{entry.key}={entry.value}"] = {name: share / WHOLE for name, share in entry.split.items()}
    return found


def rates_of(windows: Mapping[Key, Mapping[int, Summary]], now: float) -> dict[str, float]:
    """Requests a second by slice in the last ten minutes, or since there were any."""
    since = now - 600.0
    counts: dict[str, int] = {}
    first = now
    for key, each in windows.items():
        if key.shadow:
            continue
        for start, one in each.items():
            if start >= since:
                counts[key.slice] = counts.get(key.slice, 0) + one.n
                first = min(first, start)
    seconds = max(10.0, now - first)
    return {name: n / seconds for name, n in counts.items()}
