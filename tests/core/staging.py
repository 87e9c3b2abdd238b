"""A rollout in one of its stages, and windows for it, exact or drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.core.drawn import BASELINE, ENDPOINT, MIX, NOW, Drawn, Kind, Windows

from mlconsole.core.guards import GuardEvidence, results
from mlconsole.core.models import Actor
from mlconsole.core.policies import CAREFUL, Policy
from mlconsole.core.releases import Content
from mlconsole.core.rollouts import GuardResult, PlannedStage, Rollout, RolloutState
from mlconsole.core.summaries import SAMPLE, Key, Summary, latency_bucket

DE = "language=de"


def rollout(share: int = 1000, evidence: int = 150, policy: Policy = CAREFUL, **changes: Any) -> Rollout:
    """v3 → v4, in the stage with that share, one of five."""
    content = Content(())
    shares = (100, 1000, 5000, 10_000)
    stages = tuple(PlannedStage(f"{one / 100:g} %", content, one, 60.0, evidence) for one in shares)
    stages = (*stages, PlannedStage("bake", content, 10_000, 600.0, 0, bake=True))
    began = datetime.fromtimestamp(NOW, UTC)
    found = Rollout(
        "r1", "test", ENDPOINT, policy, "v4", ("v3",), stages, content, 1, began, Actor("anna", "here"),
        state=RolloutState.WAITING, stage=shares.index(share), stage_began=began,
    )  # fmt: skip
    return replace(found, **changes)


def summary(n: int, failed: int = 0, *, slow: int = 0, outputs: int | None = None, seed: int = 0) -> Summary:
    """So many requests, of which some failed, some took 100 ms instead of 12, with so many distinct outputs."""
    one = Summary(n=n, failed=failed, first=NOW, last=NOW)
    for ms, count in ((12.0, n - slow), (100.0, slow)):
        if count:
            one.latency[latency_bucket(ms)] = count
    answered = min(one.answered, SAMPLE)
    distinct = answered if outputs is None else outputs
    one.scored = one.answered
    one.sample = {seed * 1000 + i: i % max(1, distinct) for i in range(answered)}
    return one


def evidence(windows: Mapping[Key, Mapping[int, Summary]], share: float = 0.1, **changes: Any) -> GuardEvidence:
    """With the stage's begin at `NOW`."""
    baselines = {"v3": BASELINE, "v4": BASELINE}
    split = {"": {"v3": 1 - share, "v4": share}}
    return replace(GuardEvidence(ENDPOINT, windows, "v4", ("v3",), NOW, split, baselines), **changes)


def windows(new: Mapping[str, Summary], stable: Mapping[str, Summary], at: float = NOW) -> Windows:
    """One window of each, by slice; all requests are what is given as `""`, else the sum."""
    found: Windows = {}
    for variant, slices in (("v4", new), ("v3", stable)):
        for name, one in slices.items():
            found[Key(ENDPOINT, variant, False, name)] = {int(at): one}
        if "" not in slices:
            whole = Summary()
            for one in slices.values():
                whole.merge(one)
            found[Key(ENDPOINT, variant, False, "")] = {int(at): whole}
    return found


def the(found: tuple[GuardResult, ...], guard: str, slice_name: str = "") -> GuardResult:
    """The one result of a guard for a slice."""
    (one,) = [one for one in found if (one.guard, one.slice) == (guard, slice_name)]
    return one


class Stage:
    """The sample's traffic in one stage, drawn, after a clean hour of v3 alone."""

    def __init__(
        self, kind: Callable[[str, str, float], Kind | None], share: int = 1000, *, rate: float = 50.0, evidence: int = 150
    ) -> None:
        self.rollout = rollout(share, evidence)
        self.part = share / 10_000
        self.drawn = Drawn(seed=7, rate=rate, variants={"v3": 1 - self.part, "v4": self.part}, mix=MIX, kind=kind)
        self.windows: Windows = {}
        Drawn(seed=6, rate=rate, variants={"v3": 1.0}).fill(self.windows, NOW - 600, NOW)
        self.now = NOW

    def until(self, now: float) -> tuple[GuardResult, ...]:
        """What the guards say when the requests up to then have come."""
        self.drawn.fill(self.windows, self.now, now)
        self.now = now
        return results(self.rollout, evidence(self.windows, self.part), now)

    def fails_after(self, guard: str, longest: float) -> tuple[float, GuardResult]:
        """Seconds until it fails, looking every two, and how."""
        while self.now < NOW + longest:
            for one in self.until(self.now + 2):
                if one.guard == guard and one.verdict == "fail":
                    return self.now - NOW, one
        raise AssertionError(f"{guard} did not fail in {longest} s")
