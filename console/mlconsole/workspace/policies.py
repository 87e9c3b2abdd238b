"""What mlconsole.yaml says of rollouts: policies, and the windows in which nothing goes forward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from mlconsole.core.errors import InvalidTraffic
from mlconsole.core.freezes import FreezeWindow
from mlconsole.core.health import Question
from mlconsole.core.policies import (
    BLUE_GREEN,
    CAREFUL,
    DEFAULT_GUARDS,
    AtDeadline,
    GuardKind,
    GuardRule,
    OnFail,
    Policy,
    ShadowStage,
    Stage,
)
from mlconsole.core.policy_lint import ANSWERABLE, INFORMING, Finding, lint
from mlconsole.core.traffic import parse_percent
from mlconsole.plugin.validation import Located, Problems, Sort, check, shown
from mlconsole.workspace.grammar import STAGE

PRESETS: Mapping[str, Policy] = {one.name: one for one in (CAREFUL, BLUE_GREEN)}

_WAIT, _EVIDENCE = 600.0, 150
"""A stage's own, where the file says none."""

_USUAL: Mapping[str, GuardRule] = {
    **{rule.name: rule for rule in DEFAULT_GUARDS},
    **{str(rule.question): rule for rule in DEFAULT_GUARDS if rule.question},
}
"""What a guard's name alone asks for: the guards that every rollout has that says nothing else, by their names and by their questions."""

_ASKS = {"probe": GuardKind.PROBE, "golden": GuardKind.GOLDEN, "action": GuardKind.ACTION}


def build_policies(
    given: Mapping[str, Any],
    node: Located,
    probes: Mapping[str, Iterable[str]],
    models: Mapping[str, Any],
    actions: Iterable[str],
    problems: Problems,
) -> dict[str, Policy]:
    """The policies of the file, and those that are always there unless the file has others of their name. `probes` are environment → names.

    A policy that can't work is refused here as far as a file alone tells: whether predictions are read is seen when a rollout is planned.
    """
    all_probes = {name for names in probes.values() for name in names}
    golden = {name for name, model in models.items() if model["golden"]}
    all_actions = set(actions)
    result = dict(PRESETS)
    for name, one in given.items():
        here, before = node.at("policies", name), len(problems.found)
        keys, policy = _policy(name, one, here, problems)
        result[name] = policy
        # What is wrong by itself is told once, and not again by what follows from it.
        if len(problems.found) > before:
            continue
        for finding in lint(policy, probes=all_probes, golden=golden, actions=all_actions):
            if finding.stops:
                _add(finding, keys, here, problems)
    return result


def build_freezes(given: Mapping[str, Any], node: Located, problems: Problems) -> tuple[FreezeWindow, ...]:
    """The freeze windows of an environment."""
    windows = []
    for place, one in enumerate(given["freeze"]):
        here = node.at("freeze", place)
        begin, end = (_moment(here.at(key), problems) for key in ("from", "until"))
        if begin is None or end is None:
            continue
        if begin >= end:
            problems.add(here.at("until"), f"{shown(here.path)} ends before it begins.", next="Write until later than from.")
        windows.append(FreezeWindow(begin, end, one["reason"], one["by"]))
    return tuple(windows)


def _moment(node: Located, problems: Problems) -> datetime | None:
    """A moment with its offset; without one it is this machine's local time."""
    if node.sort in (Sort.TEXT, Sort.DATE):
        try:
            return datetime.fromisoformat(node.raw.strip()).astimezone()
        except (ValueError, OverflowError, OSError):
            pass
    if node.sort is not Sort.NOTHING and node.sort is not Sort.MAP:
        problems.add(
            node,
            f'{shown(node.path)} "{shown(node.raw)}" is no moment.',
            next="Write it like 2026-11-27T18:00, or with an offset: …+01:00.",
        )
    return None


def _policy(name: str, given: Mapping[str, Any], node: Located, problems: Problems) -> tuple[dict[str, str], Policy]:
    """The policy, and which key of the file each of its guards has."""
    base = PRESETS[given["preset"]]
    keys, guards = {rule.name: "" for rule in base.guards}, base.guards
    if (said := node.get("guards")) is not None and said.sort is Sort.MAP:
        keys, guards = _guards(given["guards"], said, problems)
    shadow = None
    if (copies := node.get("shadow")) is not None and copies.sort is Sort.MAP and given["shadow"]:
        sample = _share(copies.at("sample"), problems) if copies.get("sample") else 10_000
        shadow = ShadowStage(sample or 10_000, float(given["shadow"]["wait"]), given["shadow"]["evidence"])
    return keys, Policy(
        name,
        _stages(given, node, base, problems),
        guards,
        shadow,
        base.bake if given["bake"] is None else float(given["bake"]),
        _order(given["order"], node.at("order"), problems),
        OnFail(given["on_fail"]),
        None if given["deadline"] is None else float(given["deadline"]),
        AtDeadline(given["at_deadline"]),
        given["stop_old"],
        given["dry_run"],
    )


def _stages(given: Mapping[str, Any], node: Located, base: Policy, problems: Problems) -> tuple[Stage, ...]:
    wait, evidence = given["wait"], given["evidence"]
    listed, grows = node.get("stages"), node.get("growth")
    if listed is not None and listed.sort is Sort.NOTHING:
        listed = None
    if grows is not None and grows.sort is not Sort.MAP:
        grows = None
    if listed is not None and grows is not None:
        problems.add(grows, f"{shown(node.path)} has stages and growth: one of them is wanted.", key=True)
    usual = Stage(0, _WAIT if wait is None else float(wait), _EVIDENCE if evidence is None else evidence)
    if grows is not None and given["growth"]:
        from mlconsole.core.scheduling import Growth, growth

        factor = _share(grows.at("factor"), problems)
        return tuple(replace(usual, share=share) for share in growth(Growth(given["growth"]["kind"]), factor)) if factor else base.stages
    if listed is None:
        return tuple(
            Stage(one.share, one.wait if wait is None else float(wait), one.evidence if evidence is None else evidence)
            for one in base.stages
        )
    stages = [_stage(listed.at(place), usual, problems) for place in range(len(given["stages"]))]
    return tuple(stage for stage in stages if stage is not None)


def _stage(node: Located, usual: Stage, problems: Problems) -> Stage | None:
    if node.sort is not Sort.MAP:
        share = _share(node, problems)
        return None if share is None else replace(usual, share=share)
    before = len(problems.found)
    values = check(STAGE, node, problems)
    share = _share(node.at("share"), problems) if len(problems.found) == before else None
    if share is None:
        return None
    wait = usual.wait if values["wait"] is None else float(values["wait"])
    return Stage(share, wait, usual.evidence if values["evidence"] is None else values["evidence"])


def _share(node: Located, problems: Problems) -> int | None:
    """A number with at most two places as basis points, above 0."""
    if node.sort is not Sort.NUMBER:
        found = f'{node.sort} ("{shown(node.raw)}")' if node.raw else str(node.sort)
        problems.add(node, f"{shown(node.path)} has to be a share in percent, like 10 or 12.5, and is {found}.")
        return None
    try:
        share = parse_percent(node.raw)
    except InvalidTraffic as error:
        problems.add(node, f"{shown(node.path)}: {error.message}")
        return None
    if share == 0:
        problems.add(node, f"{shown(node.path)} is 0: a stage gives the new variant something.")
        return None
    return share


def _order(order: Sequence[str], node: Located, problems: Problems) -> tuple[str, ...]:
    keys: set[str] = set()
    for place, one in enumerate(order):
        key, separator, value = one.partition("=")
        keys |= {key} if separator else set()
        if (separator and not (key and value)) or not one.strip():
            problems.add(node.at(place), f'{shown(node.path)}: "{shown(one)}" is neither a slice\'s value nor KEY=VALUE.')
        elif one in order[:place]:
            problems.add(node.at(place), f'{shown(node.path)} names "{shown(one)}" twice.')
    if len(keys) > 1:
        problems.add(node, f"{shown(node.path)} goes by several slices at once ({shown(', '.join(sorted(keys)))}); it can go by one.")
    return tuple(order)


def _guards(given: Mapping[str, Any], node: Located, problems: Problems) -> tuple[dict[str, str], tuple[GuardRule, ...]]:
    keys: dict[str, str] = {}
    rules = []
    for key, one in given.items():
        rule = _guard(key, one, node.at(key), problems)
        if rule is None:
            continue
        if rule.name in keys:
            text = f'{shown(node.path)} has the guard "{shown(rule.name)}" twice: as {shown(keys[rule.name])} and as {shown(key)}.'
            problems.add(node.at(key), text, key=True)
            continue
        keys[rule.name] = key
        rules.append(rule)
    return keys, tuple(rules)


def _guard(key: str, given: Mapping[str, Any], node: Located, problems: Problems) -> GuardRule | None:
    asks = [name for name in ("question", *_ASKS) if given[name] is not None]
    if len(asks) > 1:
        problems.add(node, f"{shown(node.path)} asks several things ({', '.join(asks)}): a guard asks one.", key=True)
        return None
    if given["limit"] is not None and given["margin"] is not None:
        problems.add(node.at("limit"), f"{shown(node.path)} has a limit and a margin: one of them is wanted.", key=True)
        return None
    questions = {str(question): question for question in Question if question in ANSWERABLE | INFORMING}
    rule = GuardRule(key, GuardKind.QUESTION)
    if asks and asks[0] in _ASKS:
        rule = GuardRule(key, _ASKS[asks[0]], subject=given[asks[0]], by_slice=False)
    elif asks:
        asked = given["question"]
        rule = replace(_USUAL.get(asked, GuardRule(key, GuardKind.QUESTION, questions[asked])), name=key)
    elif key in _USUAL:
        rule = _USUAL[key]
    elif key in questions:
        rule = GuardRule(key, GuardKind.QUESTION, questions[key])
    else:
        known = sorted({*questions, "alarms"})
        text = f"{shown(node.path)} asks nothing: question, probe, golden or action is wanted, or a name that says it."
        problems.add(node, text, meant=key, known=known, key=True)
        return None
    return _with_figures(rule, given)


def _with_figures(rule: GuardRule, given: Mapping[str, Any]) -> GuardRule:
    """The rule with what the file says of it; a limit of one's own, or all slices together, takes the usual margins with it."""
    limit, margin, slice_margin, by_slice = (given[name] for name in ("limit", "margin", "slice_margin", "by_slice"))
    by_slice = rule.by_slice if by_slice is None else by_slice
    usual = rule if limit is None else replace(rule, margin=None, slice_margin=None)
    if slice_margin is None:
        slice_margin = usual.slice_margin if by_slice else None
    return replace(
        rule,
        limit=limit,
        margin=usual.margin if margin is None else margin,
        slice_margin=slice_margin,
        by_slice=by_slice,
        dry_run=given["dry_run"],
    )


def _add(finding: Finding, keys: Mapping[str, str], node: Located, problems: Problems) -> None:
    """A finding at the line that it is about, as near as the file has one."""
    key = keys.get(finding.guard, "")
    at = node.at("guards", key, finding.field) if key else node.at(finding.field) if finding.field else node
    problems.add(at, f"{shown(node.path)}: {finding.text}", next=finding.next, key=at is node)
