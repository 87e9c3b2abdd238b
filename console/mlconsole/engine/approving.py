"""Approvals: a change that an environment's rule covers waits for a colleague's word; asking for it, giving it, waiting for it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.approvals import (
    ApprovalPolicy,
    Covered,
    Request,
    RequestState,
    Say,
    Vote,
    effect,
    effect_parts,
    may_vote,
    needs_told,
    state_of,
    why_not,
)
from mlconsole.core.documents import document_of, target_told
from mlconsole.core.plans import Plan, WayBack
from mlconsole.core.policies import Policy
from mlconsole.core.releases import Content, ReleaseKind, describe_content
from mlconsole.core.text import did_you_mean, duration, neutralise
from mlconsole.core.wording import clock
from mlconsole.engine.access import Access, Deed
from mlconsole.engine.approvalnotices import teller, waits_told
from mlconsole.engine.catalogapprovals import after_vote
from mlconsole.engine.views import ApprovalView, VoteView
from mlconsole.plugin.errors import ApprovalNeeded, NotAllowed, StillRunning, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.rolloutplans import RolloutPlan
    from mlconsole.engine.session import Session
    from mlconsole.registry import Permit
    from mlconsole.registry.approvals import Tell
    from mlconsole.workspace import Environment

_COVERED = {
    ReleaseKind.DEPLOY: Covered.DEPLOY,
    ReleaseKind.TRAFFIC: Covered.TRAFFIC,
    ReleaseKind.REMOVE: Covered.REMOVE,
    ReleaseKind.DELETE: Covered.REMOVE,
    ReleaseKind.PUBLISH: Covered.PUBLISH,
}
"""What going back is, is not here: no rule ever forbids it (invariant 8)."""

_UNTOLD = frozenset({"--reason", "--env"})
"""Options that say nothing of what is asked for."""


def covers(session: Session, kind: ReleaseKind) -> bool:
    """Whether a change of that kind has to be approved in this environment."""
    rule = session.environment.approvals
    return rule is not None and _COVERED.get(kind) in rule.covers


def _by_stages(plan: RolloutPlan) -> Covered:
    """What a rollout is to a rule: a config that grows is a publication, as one at once is."""
    return Covered.ROLLOUT if document_of(plan.endpoint) is None else Covered.PUBLISH


def permit(session: Session, plan: Plan) -> Permit | None:
    """The approval that this plan may begin with; None where it needs none.

    Raises:
        ApprovalNeeded: nobody approved what it would do yet; the request for that is there.
    """
    rule = session.environment.approvals
    if rule is None or not covers(session, plan.kind):
        return None
    return _permit(session, rule, plan)


def permit_rollout(session: Session, plan: RolloutPlan) -> Permit | None:
    """As `permit`, for a whole rollout: its stages are what is approved, and ask nobody again.

    Raises:
        ApprovalNeeded: nobody approved it yet; the request for that is there.
    """
    rule = session.environment.approvals
    if rule is None or _by_stages(plan) not in rule.covers:
        return None
    return _permit(session, rule, as_plan(plan), plan)


def standing(session: Session, plan: Plan | RolloutPlan) -> str:
    """How a plan stands with its approval, for its box: `approved by tomek 09:56 (request 12)`, `needs 1 of tomek, ola; not you (request
    12 waits)`; empty where it needs none. Asks nobody.
    """
    change, policy = (plan, None) if isinstance(plan, Plan) else (as_plan(plan), plan.rollout.policy)
    rule = session.environment.approvals
    kind = _COVERED.get(change.kind) if isinstance(plan, Plan) else _by_stages(plan)
    if rule is None or kind not in rule.covers or change.nothing_to_do:
        return ""
    mark = effect(change, policy)
    found = session.registry.approval_for(change.environment, change.endpoint, mark)
    if found is None:
        asked = _request(session, rule, change, mark, effect_parts(change, policy))
        return f"{_needs(session, rule, asked, ()).rstrip('.').replace('Needs', 'needs', 1)} (starting it asks for it)"
    votes = session.registry.approval_votes(found.number)
    if state_of(found, votes, rule) is RequestState.APPROVED:
        said = [f"{neutralise(vote.actor.user)} {clock(vote.at, session.clock.now())}" for vote in votes if vote.say is Say.APPROVE]
        return f"approved by {', '.join(said)} (request {found.number})"
    return f"{_needs(session, rule, found, votes).rstrip('.').replace('Needs', 'needs', 1)} (request {found.number} waits)"


def as_plan(plan: RolloutPlan) -> Plan:
    """A rollout as the one change that it amounts to."""
    rollout = plan.rollout
    back = WayBack(rollout.revert_to_release, rollout.revert_to, 0.0, warm=True)
    return Plan(
        id=rollout.id,
        environment=rollout.environment,
        endpoint=rollout.endpoint,
        scope=rollout.endpoint,
        kind=ReleaseKind.DEPLOY,
        made_at=rollout.started,
        made_by=rollout.actor,
        made_from="",
        made_from_release=rollout.revert_to_release,
        now=rollout.revert_to,
        then=rollout.stages[-1].content,
        steps=(),
        way_back=back,
        command=plan.command,
        reason=rollout.reason,
        notes=(*plan.findings, *plan.notes),
        skipped_gates=rollout.skipped_gates,
    )


def requests(session: Session, endpoint: str | None = None, *, open_only: bool = True, limit: int = 50) -> list[ApprovalView]:
    """Those of this environment, or of one endpoint in it, newest first."""
    found = session.registry.approvals(session.environment.name, endpoint, open_only=open_only, limit=limit)
    votes = session.registry.votes_on([one.number for one in found]) if found else {}
    return [_view(session, one, votes[one.number]) for one in found]


def view(session: Session, number: int) -> ApprovalView:
    """One request, of any environment.

    Raises:
        UnknownName: there is none of that number.
    """
    return _view(session, find(session, number))


def find(session: Session, number: int) -> Request:
    """One request, of any environment: its number is enough.

    Raises:
        UnknownName: there is none of that number.
    """
    found = session.registry.approval(number)
    if found is None:
        raise UnknownName(f"There is no request {number}. Nothing was changed.", next="See which there are: mlconsole approvals list.")
    return found


def say(session: Session, number: int, what: Say, text: str = "") -> ApprovalView:
    """Approve or reject a request.

    Raises:
        UnknownName: there is none of that number.
        NotAllowed: read only, one's own, or the rule does not name who says it.
        UsageError: whoever rejects has to say why.
        Conflict: it is decided, or used, already.
    """
    request = _changeable(session, number)
    if what is Say.REJECT and not text.strip():
        raise UsageError("A rejection wants a reason. Nothing was changed.", next=f'mlconsole approvals reject {number} "…"')
    rule, tell = _rule(session, request), _teller(session, request)
    decided = session.registry.vote(number, session.actor, what, text, rule, tell=tell)
    return replace(_view(session, decided), notes=after_vote(session, decided))


def check(session: Session, number: int, answers: Mapping[str, str]) -> ApprovalView:
    """Answer questions of the checklist, each by its number from 1, its text, or how it begins.

    Raises:
        UnknownName: there is none of that number, or it does not ask that.
        Conflict: it is decided, or used, already.
    """
    request = _changeable(session, number)
    questions = tuple(request.answers)
    found = {_question(questions, key, number): answer for key, answer in answers.items()}
    return _view(session, session.registry.answer_approval(number, session.actor, found))


def withdraw(session: Session, number: int, reason: str = "") -> ApprovalView:
    """Take one's own request back.

    Raises:
        UnknownName: there is none of that number.
        NotAllowed: it is somebody else's.
        Conflict: it is decided, or used, already.
    """
    tell = _teller(session, _changeable(session, number))
    return _view(session, session.registry.withdraw_approval(number, session.actor, reason, tell=tell))


def wait(session: Session, number: int, timeout: float) -> ApprovalView:
    """Wait until a request is approved.

    Raises:
        UnknownName: there is none of that number.
        NotAllowed: it was rejected, withdrawn, or lapsed.
        StillRunning: neither happened in time; it goes on waiting.
    """
    began = session.clock.elapsed()
    while True:
        found = view(session, number)
        if found.state == RequestState.APPROVED:
            return found
        if found.state != RequestState.WAITING:
            raise NotAllowed(ended_told(found), next=f"mlconsole approvals show {number}")
        if session.clock.elapsed() - began >= timeout:
            raise StillRunning(
                f"Request {number} ({found.summary}) still waits after {duration(timeout)}. {found.needs}",
                next=f"mlconsole wait {number} --until approved --timeout 2h",
            )
        session.clock.sleep(0.2)


def ended_told(found: ApprovalView) -> str:
    """How a request that is not approved ended, in one sentence."""
    rejected = [vote for vote in found.votes if vote.say == Say.REJECT]
    if found.state == RequestState.REJECTED and rejected:
        return f"Request {found.number} ({found.summary}) was rejected by {rejected[-1].who}: {rejected[-1].text}."
    return f"Request {found.number} ({found.summary}) is {found.state}{f': {found.why}' if found.why else '.'}"


def markdown(session: Session, number: int) -> str:
    """A request as markdown, for a pull request: the report as it was when it was asked for, then what was said to it since."""
    from mlconsole.engine.reporting import since

    request = find(session, number)
    return request.report + since(request, session.registry.approval_votes(number))


def _permit(session: Session, rule: ApprovalPolicy, plan: Plan, rollout: RolloutPlan | None = None) -> Permit:
    from mlconsole.registry import Permit

    policy: Policy | None = rollout.rollout.policy if rollout else None
    parts, mark = effect_parts(plan, policy), effect(plan, policy)
    found = session.registry.approval_for(plan.environment, plan.endpoint, mark)
    if found is not None:
        tell = teller(session, session.environment, rule)
        found = session.registry.settle_approval(found.number, mark, parts, rule, tell=tell)  # by the rule of now
    if found is not None and found.state is RequestState.APPROVED:
        return Permit(found.number, mark, rule)
    outdated: list[int] = []
    if found is None or found.state.terminal:
        outdated = _outdated(session, plan, mark, parts)
        found = _ask(session, rule, plan, rollout, mark, parts, outdated)
    earlier = [session.registry.approval(number) for number in outdated]
    raise _needed(session, rule, found, [one for one in earlier if one is not None and one.state is RequestState.LAPSED])


def _outdated(session: Session, plan: Plan, mark: str, parts: Mapping[str, str]) -> list[int]:
    """What this author asked for before, and would come out otherwise by now."""
    earlier = session.registry.approvals(plan.environment, plan.endpoint, open_only=True)
    us = {session.actor.user, plan.made_by.user}
    return [one.number for one in earlier if one.effect != mark and us & one.authors and _same_wish(one, plan, parts)]


def _same_wish(request: Request, plan: Plan, parts: Mapping[str, str]) -> bool:
    """Whether a request was for what is planned now: the same command, or the same kind of change of the same variants."""
    if _bare(request.command) == _bare(plan.command):
        return True

    def of(effects: Mapping[str, str]) -> tuple[bool, set[tuple[str, str]]]:
        return "stages" in effects, {(name, value) for name, value in effects.items() if name.startswith("variant ")}

    return of(request.parts) == of(parts)


def _bare(command: str) -> list[str]:
    """A command without what says nothing of its effect."""
    words = shlex.split(command)
    return [word for place, word in enumerate(words) if word not in _UNTOLD and (place == 0 or words[place - 1] not in _UNTOLD)]


def _ask(
    session: Session,
    rule: ApprovalPolicy,
    plan: Plan,
    rollout: RolloutPlan | None,
    mark: str,
    parts: Mapping[str, str],
    outdated: Sequence[int],
) -> Request:
    """Ask; what was asked for before lapses, in the same transaction."""
    from mlconsole.engine.reporting import report

    request = _request(session, rule, plan, mark, parts)
    asked = replace(request, report=report(session, request, plan, rollout))
    return session.registry.request_approval(asked, instead_of=outdated, tell=teller(session, session.environment, rule))


def _request(session: Session, rule: ApprovalPolicy, plan: Plan, mark: str, parts: Mapping[str, str]) -> Request:
    return Request(
        number=0,
        environment=plan.environment,
        endpoint=plan.endpoint,
        plan=plan.id,
        effect=mark,
        parts=parts,
        author=session.actor,
        wrote=plan.made_by.user,
        asked=session.clock.now(),
        summary=neutralise(f"{target_told(plan.endpoint)} {_short(plan.now)} → {_short(plan.then)} in {plan.environment}"),
        reason=plan.reason,
        answers=dict.fromkeys(rule.checklist, ""),
        command=plan.command,
    )


def _needed(session: Session, rule: ApprovalPolicy, request: Request, lapsed: Sequence[Request]) -> ApprovalNeeded:
    votes = session.registry.approval_votes(request.number)
    told = "".join(f"{one.why} Ask again: it is request {request.number}. " for one in lapsed)
    may = may_vote(session.actor.user, request, rule)
    next_step = f"Ask: mlconsole approvals show {request.number} --md prints the report. "
    if may:
        next_step = f"You may, too: mlconsole approvals approve {request.number}. "
    return ApprovalNeeded(
        f"{told}{waits_told(request)}. {_needs(session, rule, request, votes)}",
        next=f"{next_step}Wait: mlconsole wait {request.number} --until approved --timeout 2h",
        request=request.number,
    )


def _needs(session: Session, rule: ApprovalPolicy, request: Request, votes: Sequence[Vote]) -> str:
    """`Needs 1 of tomek, ola; not you.`"""
    return needs_told(request, votes, rule, session.actor.user)


def _view(session: Session, request: Request, votes: Sequence[Vote] | None = None) -> ApprovalView:
    rule = _rule(session, request)
    if votes is None:
        votes = session.registry.approval_votes(request.number)
    return ApprovalView(
        number=request.number,
        environment=request.environment,
        endpoint=request.endpoint,
        plan=request.plan,
        summary=neutralise(request.summary),
        state=str(request.state),
        author=neutralise(str(request.author)),
        asked=request.asked,
        reason=neutralise(request.reason),
        needs=_needs(session, rule, request, votes) if request.open else "",
        why_not=why_not(session.actor.user, request, rule) if request.open else "",
        votes=tuple(VoteView(neutralise(vote.actor.user), str(vote.say), neutralise(vote.text), vote.at) for vote in votes),
        checklist=tuple((neutralise(question), neutralise(answer)) for question, answer in request.answers.items()),
        parts=tuple((neutralise(name), neutralise(value)) for name, value in request.parts.items()),
        command=neutralise(request.command),
        open=request.open,
        used=neutralise(request.used),
        why=neutralise(request.why),
        ended=request.ended,
    )


def _changeable(session: Session, number: int) -> Request:
    """A request, if this session may change something in its environment."""
    session.access.require(Deed.APPROVE)
    request = find(session, number)
    environment = _environment(session, request)
    if environment is not None:
        Access(environment).require(Deed.APPROVE)
    return request


def _teller(session: Session, request: Request) -> Tell | None:
    return teller(session, _environment(session, request), _rule(session, request))


def _environment(session: Session, request: Request) -> Environment | None:
    return session.workspace.environments.get(request.environment)


def _rule(session: Session, request: Request) -> ApprovalPolicy:
    """The rule of now. Where the environment has none any more nothing needs a word; what was asked is still anybody else's to answer."""
    environment = _environment(session, request)
    return (environment.approvals if environment is not None else None) or ApprovalPolicy()


def _question(questions: Sequence[str], key: str, number: int) -> str:
    if key.isdigit() and 1 <= int(key) <= len(questions):
        return questions[int(key) - 1]
    begins = [one for one in questions if one.casefold().startswith(key.casefold())]
    if key in questions or len(begins) != 1:
        if key in questions:
            return key
        which = "several questions begin so" if begins else did_you_mean(key, questions)
        raise UnknownName(f'Request {number} does not ask "{neutralise(key)}": {which}', next=f"mlconsole approvals show {number}")
    return begins[0]


def _short(content: Content) -> str:
    """`v6` where that has everything, whatever stands by."""
    traffic = content.traffic
    serving = [name for name in content.names if traffic is not None and traffic.reaches(name)]
    if traffic is None or len(serving) != 1 or traffic.by_slice or traffic.shadow is not None:
        return describe_content(content)
    return serving[0]
