"""Growing: the stages in which a config document's version comes to all clients, and what they are compared with.

Nobody knows which client made a request, so a stage is judged by all requests of the endpoints that the change touches, compared with the
last hour before the rollout. What goes wrong for a part of the clients is diluted by that part: a stage at 20 % sees a fifth of the harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlconsole.core.documents import Document
from mlconsole.core.errors import UsageError
from mlconsole.core.health import Question
from mlconsole.core.policies import GuardKind, Policy
from mlconsole.core.releases import Content
from mlconsole.core.rollouts import PlannedStage
from mlconsole.core.summaries import Key, Summary
from mlconsole.core.text import duration
from mlconsole.core.traffic import WHOLE, percent

_NOT_ASKED = frozenset({Question.SPLIT})
"""Questions of one variant beside another; a config has none."""


def planned_growth(
    policy: Policy, document: Document, granularity: int = 1, *, growth: bool = True, at_once: bool = False
) -> tuple[PlannedStage, ...]:
    """All stages in which `document` is published, in order; a policy's shadow and order are about variants, and are left out.

    `at_once`: the same document says who gets which share of the traffic. Were it with a part of the clients only, going back with that
    would have to wait for it: so all of them get it in one stage, which lasts as the policy's last one, and guards watch it from then on.

    Raises:
        UsageError: the stages do not rise to 100 %, or are between the store's steps.
    """
    shares = [stage.share for stage in policy.stages]
    if not shares or shares[-1] != WHOLE or any(before >= after for before, after in zip([0, *shares], shares, strict=False)):
        raise UsageError(
            f"The stages of the policy {policy.name} have to rise, and to end at 100 %.",
            next="Correct them in mlconsole.yaml under policies.",
        )
    for share in (WHOLE,) if at_once else shares:
        if share % granularity or (not growth and share != WHOLE):
            steps = f"in steps of {percent(granularity)} %" if growth else "to all clients at once"
            raise UsageError(
                f"Config is published {steps} here; the policy {policy.name} wants {percent(share)} %.",
                next="Name a policy with other stages, or publish it at once: --at-once.",
            )
    given = policy.stages[-1:] if at_once else policy.stages
    stages = [
        PlannedStage(
            f"{percent(stage.share)} %", Content(document=replace(document, share=stage.share)), stage.share, stage.wait, stage.evidence
        )
        for stage in given
    ]
    if policy.bake > 0:
        length = f"{round(policy.bake / 60)} min" if policy.bake % 60 == 0 and policy.bake >= 120 else duration(policy.bake)
        stages.append(PlannedStage(f"bake {length}", stages[-1].content, WHOLE, policy.bake, 0, bake=True))
    return tuple(stages)


def growth_policy(policy: Policy) -> Policy:
    """A policy as far as it is about a config: without what is asked of one variant beside another, of copies, or slice by slice."""
    guards = tuple(rule for rule in policy.guards if rule.question not in _NOT_ASKED and rule.kind is not GuardKind.GOLDEN)
    return replace(policy, guards=guards, shadow=None, order=(), stop_old=False)


def before_and_after(
    windows: Mapping[Key, Mapping[int, Summary]], *, started: float, before: str, after: str
) -> dict[Key, dict[int, Summary]]:
    """An endpoint's windows as those of two variants: what consumers got before the rollout `started` (epoch s), and since; copies are left
    out. The windows in which it started are neither."""
    found: dict[Key, dict[int, Summary]] = {}
    for key, each in windows.items():
        if key.shadow or not key.variant:
            continue
        for at, one in each.items():
            name = after if at >= started else before
            own = found.setdefault(Key(key.endpoint, name, False, key.slice), {})
            if at in own:
                merged = Summary()
                merged.merge(own[at])
                merged.merge(one)
                own[at] = merged
            else:
                own[at] = one
    return found
