"""Rollouts to test with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from mlconsole.core.models import Actor
from mlconsole.core.policies import CAREFUL, Policy, Stage
from mlconsole.core.releases import Content, Variant
from mlconsole.core.rollouts import GuardResult, Rollout, RolloutState
from mlconsole.core.scheduling import planned
from mlconsole.core.traffic import WHOLE, SliceSplit, Traffic
from mlconsole.core.verdicts import Verdict

NOW = datetime(2026, 11, 24, 11, 22, tzinfo=UTC)
ANNA = Actor("anna", "bastion-1")


def variant(name: str) -> Variant:
    return Variant(name, "relevance", name.removeprefix("v"), f"sha256:{name}")


V6, V7, V8 = variant("v6"), variant("v7"), variant("v8")
LIVE = Content((V6,), Traffic({"v6": WHOLE}))


def rollout(policy: Policy = CAREFUL, now: Content = LIVE, **changes: Any) -> Rollout:
    """v7 in its second stage, whose traffic stood ten minutes ago."""
    made = Rollout(
        "r1",
        "production",
        "relevance",
        policy,
        "v7",
        ("v6",),
        planned(policy, now, V7, slice_keys=["language"]),
        now,
        42,
        NOW,
        ANNA,
        state=RolloutState.WAITING,
        stage=1,
        stage_began=NOW,
    )
    return replace(made, **changes)


def passes(policy: Policy = CAREFUL, n: int = 1000) -> list[GuardResult]:
    """Every guard says pass."""
    return [GuardResult(rule.name, Verdict.PASS, n=n) for rule in policy.guards]


def _shares(most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, WHOLE - 1), unique=True, max_size=most).map(lambda shares: (*sorted(shares), WHOLE))


def policies() -> st.SearchStrategy[Policy]:
    """Policies that can work, with and without shadow, bake and an order."""
    return st.builds(
        lambda shares, bake, order, wait, evidence: replace(
            CAREFUL, stages=tuple(Stage(share, wait, evidence) for share in shares), bake=bake, order=order
        ),
        _shares(3),
        st.sampled_from([0.0, 20.0, 3600.0]),
        st.sampled_from([(), ("de",), ("de", "en"), ("language=pl", "de")]),
        st.sampled_from([8.0, 600.0]),
        st.sampled_from([0, 150]),
    )


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Live contents: one or two stable variants, v7 perhaps there already, slices perhaps split for themselves."""
    stable = draw(st.sampled_from([("v6",), ("v6", "v8")]))
    names = (*stable, "v7") if draw(st.booleans()) else stable

    def split() -> dict[str, int]:
        cuts = sorted(draw(st.lists(st.integers(0, WHOLE), min_size=len(names) - 1, max_size=len(names) - 1)))
        parts = [after - before for before, after in zip([0, *cuts], [*cuts, WHOLE], strict=True)]
        made = dict(zip(names, parts, strict=True))
        if made.get("v7") == WHOLE:
            made.update({"v6": 1, "v7": WHOLE - 1})
        return made

    values = draw(st.lists(st.sampled_from(["de", "en", "pl"]), unique=True, max_size=2))
    by_slice = tuple(SliceSplit("language", value, split()) for value in sorted(values))
    return Content(tuple(variant(name) for name in names), Traffic(split(), by_slice))
