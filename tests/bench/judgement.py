"""Judgement: simulated rollouts, judged by our guards every ten seconds, and by two rivals' rules on the same random requests.

Each request has its language, a number that says which variant it would get at which share, one that says whether it fails, and a latency;
the windows are counted from them. Ours: stages of 10, 50 and 100 % and a bake, the default guards over all requests and each language. A
fail reverts, and only when all guards pass (and the wait is over) comes the next stage.
"""

from __future__ import annotations

import concurrent.futures
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tests.bench.false_pages import profile
from tests.bench.figures import Figure, Say, at_most, median
from tests.bench.house import ROOT
from tests.bench.rivals import Outcome, argo, flagger

from mlconsole.core.guards import GuardEvidence, results
from mlconsole.core.models import Actor
from mlconsole.core.policies import CAREFUL, Policy, Stage
from mlconsole.core.releases import Content
from mlconsole.core.rollouts import PlannedStage, Rollout, RolloutState
from mlconsole.core.summaries import SAMPLE, WINDOW, Key, Summary
from mlconsole.core.verdicts import Verdict

_MIX = {"language=en": 0.78, "language=pl": 0.20, "language=de": 0.02}
_RATE = 50.0
_ERRORS = 0.002
_MEDIAN, _SPREAD = 20.0, 0.4
"""ms, and sigma of its logarithm: p95 is 39 ms."""
_DRIFT, _DRIFT_SECONDS = 0.15, 600.0
"""The logarithm of the median latency wanders, as in `false_pages`: for both variants alike."""
_BEFORE, _HORIZON = 600, 3600
"""Seconds of traffic before the rollout, and after its begin; what is not decided by then is held."""
_BEGIN = 1_800_000_000
_GROWTH = math.log(1.05)
_BUCKETS = 160
"""Latencies up to 2.4 s."""
_STAGES = ((0.10, 120.0, 150), (0.50, 120.0, 150), (1.0, 120.0, 150), (1.0, 300.0, 0))
"""Share, wait (s), evidence; the last one is the bake."""
_PROFILE = ROOT / "sample_workspace" / "models" / "relevance" / "v3" / "model.yaml"
_CORES = max(1, min(2, os.cpu_count() or 1))


@dataclass(frozen=True)
class Difference:
    """What is truly different in the new variant."""

    name: str
    errors: float = 0.0
    """More failing, 0 to 1."""
    slower: float = 1.0
    broken: str = ""
    """A slice that fails wholly."""
    collapsed: bool = False

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self != Difference(self.name)


DIFFERENCES = (
    Difference("no true difference"),
    Difference("errors +1 pp", errors=0.01),
    Difference("errors +5 pp", errors=0.05),
    Difference("de (2 %) fails wholly", broken="language=de"),
    Difference("latency +20 %", slower=1.2),
    Difference("identical predictions", collapsed=True),
)
_CAUGHT = {"errors +5 pp": 0.99, "de (2 %) fails wholly": 0.99, "latency +20 %": 0.95, "identical predictions": 0.99}
"""The least share that has to be reverted. At +1 pp, which is the margin itself, holding is the right answer: there only few may pass."""

JUDGES = ("ours", "Flagger", "Argo")


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """A few hundred rollouts; with `long` 10 000 without a difference, and 1 000 with each."""
    rows: list[str] = []
    for difference in DIFFERENCES:
        count = (1_000 if difference.any else 10_000) if long else (40 if difference.any else 200)
        found = _simulated(difference, count)
        rows += [_row(difference, judge, found[judge]) for judge in JUDGES]
        for row in rows[-len(JUDGES) :]:
            say(row)
        yield from _figures(difference, found)
    yield Figure("the table", f"{len(rows)} rows", values={"rows": rows})


def _simulated(difference: Difference, count: int) -> Mapping[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {judge: [] for judge in JUDGES}
    size = max(1, min(50, count // (2 * _CORES)))
    begins = range(0, count, size)
    with concurrent.futures.ProcessPoolExecutor(max_workers=_CORES) as pool:
        for some in pool.map(_some, [difference] * len(begins), begins, [min(size, count - begin) for begin in begins]):
            for three in some:
                for judge, one in zip(JUDGES, three, strict=True):
                    found[judge].append(one)
    return found


def _some(difference: Difference, first: int, count: int) -> list[tuple[Outcome, ...]]:
    traffics = (Drawn(difference, seed) for seed in range(first, first + count))
    return [(ours(traffic), flagger(traffic), argo(traffic)) for traffic in traffics]


def _figures(difference: Difference, found: Mapping[str, Sequence[Outcome]]) -> Iterator[Figure]:
    mine = Counter(one.end for one in found["ours"])
    n = len(found["ours"])
    told = "; ".join(_short(judge, found[judge]) for judge in JUDGES)
    values = {judge: {**Counter(one.end for one in found[judge]), "bad": _bad(found[judge])} for judge in JUDGES}
    why = [f"{one.at:.0f} s: {one.why}" for one in found["ours"] if one.end == "reverted"][:20]
    if not difference.any:
        yield at_most(f"{difference.name}: reverted, {n} rollouts", mine["reverted"] / n, 0.05, told, found=why, **values)
        return
    yield at_most(f"{difference.name}: wrongly passed", mine["passed"] / n, 0.05, told, **values)
    if difference.name in _CAUGHT:
        least = _CAUGHT[difference.name]
        share = mine["reverted"] / n
        yield Figure(f"{difference.name}: caught", f"{100 * share:.1f} %", f"≥ {100 * least:g} %", share >= least, {"value": share})


def _short(judge: str, outcomes: Sequence[Outcome]) -> str:
    ends = Counter(one.end for one in outcomes)
    n = len(outcomes)
    return f"{judge} back {_percent(ends['reverted'], n)} passed {_percent(ends['passed'], n)}"


def _row(difference: Difference, judge: str, outcomes: Sequence[Outcome]) -> str:
    ends, n = Counter(one.end for one in outcomes), len(outcomes)
    shares = "  ".join(f"{end} {_percent(ends[end], n):>6}" for end in ("reverted", "held", "passed"))
    reverted = [one for one in outcomes if one.end == "reverted"]
    after = f"  after {median([one.at for one in reverted]):5.0f} s, {_bad(outcomes):6.0f} bad requests" if reverted else ""
    return f"{difference.name:<22} {judge:<8} {shares}{after if difference.any else ''}"


def _bad(outcomes: Sequence[Outcome]) -> float:
    """The median of bad requests until the revert; not a number where none was reverted."""
    return median([one.bad for one in outcomes if one.end == "reverted"])


def _percent(count: int, n: int) -> str:
    return f"{100 * count / n:.1f} %"


class Drawn:
    """All requests of one simulated rollout, and what each would get."""

    def __init__(self, difference: Difference, seed: int) -> None:
        # It comes with onnxruntime, and only a measurement of long draws needs it.
        import numpy as np

        self.np, self.difference, self.horizon = np, difference, float(_HORIZON)
        random = np.random.default_rng(seed)
        windows = (_BEFORE + _HORIZON) // WINDOW
        counts = random.poisson(_RATE * WINDOW, windows)
        self.window = np.repeat(np.arange(windows), counts)
        n = len(self.window)
        self.language = random.choice(len(_MIX), n, p=list(_MIX.values())).astype(np.int8)
        self.lot = random.random(n)
        fate = random.random(n)
        step = math.exp(-WINDOW / _DRIFT_SECONDS)
        noise = random.normal(0, _DRIFT * math.sqrt(1 - step * step), windows)
        wander = np.empty(windows)
        at = random.normal(0, _DRIFT)
        for i in range(windows):
            at = step * at + noise[i]
            wander[i] = at
        logarithm = math.log(_MEDIAN) + wander[self.window] + random.normal(0, _SPREAD, n)
        self.stable_bucket = np.clip(np.floor(logarithm / _GROWTH), 0, _BUCKETS - 1).astype(np.int16)
        self.new_bucket = np.clip(np.floor((logarithm + math.log(difference.slower)) / _GROWTH), 0, _BUCKETS - 1).astype(np.int16)
        self.stable_failed = fate < _ERRORS
        self.new_failed = fate < _ERRORS + difference.errors
        if difference.broken:
            self.new_failed |= self.language == list(_MIX).index(difference.broken)
        self.first = np.concatenate(([0], np.cumsum(counts)))

    def between(self, begin: float, end: float) -> slice:
        """The requests from `begin` to `end` seconds after the rollout's begin, to the window."""
        return slice(int(self.first[round((begin + _BEFORE) / WINDOW)]), int(self.first[round((end + _BEFORE) / WINDOW)]))

    def minute(self, begin: float, end: float, share: float) -> tuple[int, int, float]:
        """What a rival measures of the new variant."""
        np, some = self.np, self.between(begin, end)
        new = self.lot[some] < share
        n = int(new.sum())
        p99 = math.exp(float(np.quantile(self.new_bucket[some][new], 0.99)) * _GROWTH) if n else math.nan
        return n, int(self.new_failed[some][new].sum()), p99

    def harmed(self, begin: float, end: float, share: float) -> int:
        """Failed requests; where every answer is worse, all that the new variant answered."""
        some = self.between(begin, end)
        new = self.lot[some] < share
        if self.difference.collapsed or self.difference.slower > 1:
            return int(new.sum())
        return int(self.new_failed[some][new].sum())

    def counted(self, share: float, begin: float, end: float) -> Any:
        """Window × variant (stable, new) × language: requests, failed ones; and window × variant × latency bucket."""
        np, some = self.np, self.between(begin, end)
        windows = round((end - begin) / WINDOW)
        new = self.lot[some] < share
        place = (self.window[some] - round((begin + _BEFORE) / WINDOW)) * 2 + new
        by_language = place * len(_MIX) + self.language[some]
        failed = np.where(new, self.new_failed[some], self.stable_failed[some])
        bucket = np.where(new, self.new_bucket[some], self.stable_bucket[some])
        shape = (windows, 2, len(_MIX))
        return (
            np.bincount(by_language, minlength=math.prod(shape)).reshape(shape),
            np.bincount(by_language[failed], minlength=math.prod(shape)).reshape(shape),
            np.bincount(place * _BUCKETS + bucket, minlength=windows * 2 * _BUCKETS).reshape(windows, 2, _BUCKETS),
        )


def ours(traffic: Drawn) -> Outcome:
    """Our guards over a rollout, looked at after each window."""
    windows: dict[Key, dict[int, Summary]] = {}
    counts, failed, buckets = (one.sum(0) for one in traffic.counted(0.0, -_BEFORE, 0.0))
    _fill(windows, _BEGIN - _BEFORE, traffic, counts, failed, buckets, share=0.0)
    rollout, began, bad, place = _rollout(), 0.0, 0, 0
    baseline = profile(_PROFILE)
    while place < len(_STAGES):
        share, wait, _ = _STAGES[place]
        rollout = replace(rollout, stage=place)
        counts, failed, buckets = (one.cumsum(0) for one in traffic.counted(share, began, _HORIZON))
        split = {"": {"v3": 1 - share, "v4": share}} if share < 1 else {"": {"v4": 1.0}}
        for i in range(len(counts)):
            now = began + (i + 1) * WINDOW
            # The newest window has all of the stage in it: summaries add up, and the guards ask for no more.
            for mine in windows.values() if i else ():
                mine.pop(_BEGIN + int(now) - 2 * WINDOW, None)
            _fill(windows, _BEGIN + int(now) - WINDOW, traffic, counts[i], failed[i], buckets[i], share=share)
            held = GuardEvidence("relevance", windows, "v4", ("v3",), _BEGIN + began, split, {"v3": baseline, "v4": baseline})
            found = [one for one in results(rollout, held, _BEGIN + now) if one.judged and not one.dry_run]
            fails = [one for one in found if one.verdict is Verdict.FAIL]
            if fails:
                why = f"{rollout.present.name} {fails[0].guard} {fails[0].slice} {fails[0].text}"
                return Outcome("reverted", now, bad + traffic.harmed(began, now, share), why)
            if now - began >= wait and all(one.verdict is Verdict.PASS for one in found):
                break
        else:
            return Outcome("held", now, bad + traffic.harmed(began, now, share), rollout.present.name)
        bad += traffic.harmed(began, now, share)
        began, place = now, place + 1
        if began >= _HORIZON:
            return Outcome("held" if place < len(_STAGES) else "passed", now, bad)
    return Outcome("passed", began, bad)


def _rollout() -> Rollout:
    stages = tuple(
        PlannedStage(f"{100 * share:g} %", Content(), round(10_000 * share), wait, evidence, bake=place == len(_STAGES) - 1)
        for place, (share, wait, evidence) in enumerate(_STAGES)
    )
    policy: Policy = replace(CAREFUL, stages=tuple(Stage(one.share, one.wait, one.evidence) for one in stages))
    began = datetime.fromtimestamp(_BEGIN, UTC)
    actor = Actor("bench", "here")
    return Rollout("r", "bench", "relevance", policy, "v4", ("v3",), stages, Content(), 1, began, actor, state=RolloutState.WAITING)


def _fill(windows: dict[Key, dict[int, Summary]], at: int, traffic: Drawn, counts: Any, failed: Any, buckets: Any, share: float) -> None:
    """The summaries of both variants, as they would be added up since `at`."""
    for arm, variant in enumerate(("v3", "v4")):
        if (arm and not share) or (not arm and share >= 1):
            continue
        sample: dict[int, int] = {}
        for place, name in enumerate(_MIX):
            one = _summary(at, int(counts[arm, place]), int(failed[arm, place]))
            # So many distinct inputs are known of it; which ones does not matter to what they got.
            inputs = range(place * 1000, place * 1000 + min(SAMPLE, one.answered))
            one.sample = dict.fromkeys(inputs, 7) if arm and traffic.difference.collapsed else {number: number for number in inputs}
            sample.update(one.sample)
            windows.setdefault(Key("relevance", variant, False, name), {})[at] = one
        whole = _summary(at, int(counts[arm].sum()), int(failed[arm].sum()))
        filled = buckets[arm].nonzero()[0]
        whole.latency = dict(zip(filled.tolist(), buckets[arm][filled].tolist(), strict=True))
        whole.sample = {key: sample[key] for key in sorted(sample)[:SAMPLE]}
        windows.setdefault(Key("relevance", variant, False, ""), {})[at] = whole


def _summary(at: int, n: int, failed: int) -> Summary:
    return Summary(n=n, failed=failed, scored=n - failed, first=at, last=at)
