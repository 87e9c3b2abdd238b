"""Approvals: a colleague's word on what a plan would make of an endpoint. Recorded, and enforced by this tool only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum

from mlconsole.core.models import Actor
from mlconsole.core.plans import Plan
from mlconsole.core.pointers import told
from mlconsole.core.policies import Policy
from mlconsole.core.releases import Content
from mlconsole.core.text import neutralise
from mlconsole.core.traffic import Split, percent
from mlconsole.core.wording import clock


class RequestState(StrEnum):
    """How far a request is. The last three are terminal; an approved one may still lapse, be withdrawn, or be voted down."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    LAPSED = "lapsed"
    """What it was asked for would have another effect by now."""
    WITHDRAWN = "withdrawn"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self in (RequestState.REJECTED, RequestState.LAPSED, RequestState.WITHDRAWN)


class Say(StrEnum):
    """What a colleague says."""

    APPROVE = "approve"
    REJECT = "reject"


class Covered(StrEnum):
    """A kind of change that an environment's rule may be for. Going back is none of them (invariant 8)."""

    DEPLOY = "deploy"
    TRAFFIC = "traffic"
    ROLLOUT = "rollout"
    """Its begin: its stages are what was approved."""
    REMOVE = "remove"
    """A variant, or the whole endpoint."""
    PUBLISH = "publish"
    """A config document, at once or by stages."""


@dataclass(frozen=True)
class ApprovalPolicy:
    """An environment's rule: how many have to approve what, and who may."""

    needed: int = 1
    who: tuple[str, ...] = ()
    """Users; empty: everybody."""
    author_may: bool = False
    """Whoever wrote it may approve it, too."""
    covers: tuple[Covered, ...] = tuple(Covered)
    checklist: tuple[str, ...] = ()
    """What a reviewer is asked; answers are kept with the request."""


@dataclass(frozen=True)
class Request:
    """A request for approval. It binds to the effect of a plan, not to its id: the same effect planned again is what was approved."""

    number: int
    """0: not stored yet."""
    environment: str
    endpoint: str
    plan: str
    """The plan's id."""
    effect: str
    """`effect` of the plan."""
    parts: Mapping[str, str]
    """`effect_parts` of the plan: what it says when one of them is another."""
    author: Actor
    """Who asks."""
    wrote: str
    """The user who made the plan."""
    asked: datetime
    summary: str = ""
    """`relevance v6 → v7 in production`."""
    reason: str = ""
    report: str = ""
    """Markdown, for a pull request: plan, evaluation, golden outputs side by side."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """The checklist: question → answer, and who gave it; empty: open."""
    command: str = ""
    """What was asked for, as a command line."""
    rollout: str | None = None
    """The rollout that it is about, where that is begun already."""
    state: RequestState = RequestState.WAITING
    ended: datetime | None = None
    why: str = ""
    """Why it lapsed, or was withdrawn; in one sentence."""
    used: str = ""
    """The operation or rollout that it was used for: an approval is good for one."""

    @property
    def authors(self) -> frozenset[str]:
        """The users who can't approve it because it is theirs."""
        return frozenset({self.author.user, self.wrote} - {""})

    @property
    def open(self) -> bool:
        """Whether it waits, or is approved and not used yet."""
        return not self.state.terminal and not self.used


@dataclass(frozen=True)
class Vote:
    """What one colleague said last."""

    actor: Actor
    say: Say
    text: str
    at: datetime


@dataclass(frozen=True)
class Happened:
    """What happened to a request, for those who are told of it."""

    what: str
    """`asked`, `approve`, `reject`, `lapsed`, `withdrawn`."""
    request: Request
    """As it is by now."""
    votes: tuple[Vote, ...] = ()
    """What was said to it, oldest first."""
    vote: Vote | None = None
    """What was said just now."""
    instead: int = 0
    """The request that takes its place, where it lapsed."""

    @property
    def key(self) -> str:
        """The same for the same thing: it is told once."""
        return f"approval:{self.request.number}:{self.what}{f':{self.vote.actor.user}' if self.vote is not None else ''}"


def effect_parts(plan: Plan, policy: Policy | None = None, config: int | None = None) -> dict[str, str]:
    """What a plan would make of its endpoint, part by part, for people and without loss: which bytes run, who gets what, the config
    release, how the rollout goes, which gates are skipped. Nothing of from where, when and by whom it is made, nor how it gets there.
    """
    parts = {"target": f"{plan.endpoint}@{plan.environment}", **_content_parts(plan.then)}
    if config is not None:
        parts["config"] = f"#{config}"
    if plan.skipped_gates:
        parts["skipped gates"] = ", ".join(sorted(plan.skipped_gates))
    return parts | (_policy_parts(policy) if policy is not None else {})


def effect(plan: Plan, policy: Policy | None = None, config: int | None = None) -> str:
    """A short hash of `effect_parts`: approvals bind to it."""
    return hashlib.sha256(json.dumps(effect_parts(plan, policy, config), sort_keys=True).encode()).hexdigest()[:16]


def changed_parts(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Which parts of an effect are others by now, one line each: `share of v7 changed since (10 % → 20 %)`."""
    names = [*before, *(name for name in after if name not in before)]
    return tuple(
        f"{name} changed since ({_short(before.get(name, 'none'))} → {_short(after.get(name, 'none'))})"
        for name in names
        if before.get(name) != after.get(name)
    )


def may_vote(user: str, request: Request, policy: ApprovalPolicy) -> bool:
    """Whether that user's word counts."""
    return (not policy.who or user in policy.who) and (policy.author_may or user not in request.authors)


def why_not(user: str, request: Request, policy: ApprovalPolicy) -> str:
    """Why that user may not approve or reject it, in one sentence; empty: they may."""
    if may_vote(user, request, policy):
        return ""
    others = others_told(request, policy)
    if user in request.authors and not policy.author_may:
        return f"You wrote it, so you can't approve it. {others} can."
    return f"You ({neutralise(user)}) are not among those who approve here. {others} can."


def others_told(request: Request, policy: ApprovalPolicy) -> str:
    """Who may approve it, for people: `tomek or ola`."""
    may = [neutralise(user) for user in dict.fromkeys(policy.who) if may_vote(user, request, policy)]
    if not policy.who:
        return "Everybody" if policy.author_may else "Everybody else"
    if not may:
        return "Nobody"
    return may[0] if len(may) == 1 else f"{', '.join(may[:-1])} or {may[-1]}"


def state_of(request: Request, votes: Sequence[Vote], policy: ApprovalPolicy) -> RequestState:
    """Where a request stands after these votes, by the policy of now. One who may vote and rejects, rejects it; a user counts once, by
    what was said last; words of those who may not count nothing. Terminal stays terminal, and what was used stays approved.
    """
    if request.state.terminal or request.used:
        return request.state
    last = _last(votes)
    said = [vote.say for user, vote in last.items() if may_vote(user, request, policy)]
    if Say.REJECT in said:
        return RequestState.REJECTED
    return RequestState.APPROVED if said.count(Say.APPROVE) >= max(1, policy.needed) else RequestState.WAITING


def missing(request: Request, votes: Sequence[Vote], policy: ApprovalPolicy) -> int:
    """How many more have to approve it."""
    approved = sum(vote.say is Say.APPROVE and may_vote(user, request, policy) for user, vote in _last(votes).items())
    return max(0, max(1, policy.needed) - approved)


def needs_told(request: Request, votes: Sequence[Vote], policy: ApprovalPolicy, user: str, name: str = "you") -> str:
    """What is still missing: `Needs 1 of tomek, ola; not you.`; `user` is who is spoken to, or of. Empty where nothing is."""
    left = missing(request, votes, policy)
    if request.state is not RequestState.WAITING or not left:
        return ""
    more = " more" if left < policy.needed else ""
    but = "" if may_vote(user, request, policy) else f"; not {neutralise(name)}"
    if not policy.who:
        return f"Needs {left}{more} of {'all' if policy.author_may else 'the others'}{but}."
    able = [one for one in policy.who if may_vote(one, request, policy)]
    who = ", ".join(neutralise(one) for one in policy.who)
    hopeless = f" Only {len(able)} of them may, for it is their own: it can't be approved." if len(able) < policy.needed else ""
    return f"Needs {left}{more} of {who}{but}.{hopeless}"


def lapse_told(request: Request, votes: Iterable[Vote], parts: Mapping[str, str], now: datetime) -> str:
    """Why a request lapses: `Approval by tomek (09:56) lapsed: share of v7 changed since (10 % → 20 %).`"""
    said = [f"{user} ({clock(vote.at, now)})" for user, vote in _last(votes).items() if vote.say is Say.APPROVE]
    what = f"Approval by {' and '.join(said)}" if said and request.state is RequestState.APPROVED else f"Request {request.number}"
    changed = changed_parts(request.parts, parts)
    more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
    return neutralise(f"{what} lapsed: {', '.join(changed[:3]) or 'its effect changed since'}{more}.")


def _last(votes: Iterable[Vote]) -> dict[str, Vote]:
    return {vote.actor.user: vote for vote in sorted(votes, key=lambda vote: vote.at)}


def _content_parts(content: Content) -> dict[str, str]:
    parts: dict[str, str] = {}
    for variant in sorted(content.variants, key=lambda one: one.name):
        on = "".join(f", {key} {value}" for key, value in sorted(variant.resources.items()))
        parts[f"variant {variant.name}"] = f"{variant.model}@{variant.version} {variant.digest}{on}"
    if content.document is not None:
        one = content.document
        parts[f"config {one.name}"] = f"{', '.join(told(pointer) or 'all of it' for pointer in one.pointers)} ({one.effect or one.digest})"
    traffic = content.traffic
    if traffic is None:
        return parts
    parts |= _share_parts("", traffic.split)
    for entry in sorted(traffic.by_slice, key=lambda one: (one.key, one.value)):
        parts |= _share_parts(f" in {entry.key}={entry.value}", entry.split)
    if traffic.shadow is not None and traffic.shadow.sample:
        parts["shadow"] = f"{traffic.shadow.variant} {percent(traffic.shadow.sample)} %"
    return parts


def _share_parts(where: str, split: Split) -> dict[str, str]:
    return {f"share of {name}{where}": f"{percent(share)} %" for name, share in sorted(split.items()) if share}


def _policy_parts(policy: Policy) -> dict[str, str]:
    parts = {
        "stages": " · ".join(f"{percent(stage.share)} % {_seconds(stage.wait)} {stage.evidence} requests" for stage in policy.stages),
        "bake": _seconds(policy.bake),
        "order": " ".join(policy.order) or "all together",
        "on a fail": policy.on_fail.value,
        "deadline": "none" if policy.deadline is None else f"{_seconds(policy.deadline)}, then {policy.at_deadline}",
        "the old variant": "is stopped" if policy.stop_old else "stands by",
        "guards decide": "no, dry run" if policy.dry_run else "yes",
    }
    if policy.shadow is not None:
        copies = policy.shadow
        parts["shadow stage"] = f"{percent(copies.sample)} % {_seconds(copies.wait)} {copies.evidence} pairs"
    for guard in policy.guards:
        told = {name: value for name, value in asdict(guard).items() if name != "name" and value not in (None, "")}
        parts[f"guard {guard.name}"] = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
    return parts


def _seconds(seconds: float) -> str:
    return f"{seconds!r} s".replace(".0 s", " s")


def _short(text: str) -> str:
    """A digest as people compare it."""
    head, sign, digest = text.partition("sha256:")
    return f"{head}{digest[:12]}{digest[64:]}" if sign else text
