"""Approvals in the registry: asked, said, lapsed, and used once, by whoever begins first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlconsole.core.approvals import ApprovalPolicy, Request, RequestState, Say, effect, effect_parts
from mlconsole.core.clock import SystemClock
from mlconsole.core.models import Actor
from mlconsole.core.plans import Plan
from mlconsole.plugin.errors import Conflict, NotAllowed, UnknownName
from mlconsole.registry import Permit, Registry, open_registry
from registry.samples import ENV, OLA, START, TOMEK, SetClock, content, plan, processes

ANNA = Actor("anna", "bastion-1")
RULE = ApprovalPolicy(1, ("tomek", "ola"))
PLAN = replace(plan(), made_by=ANNA)


def ask(registry: Registry, of: Plan = PLAN) -> Request:
    asked = Request(
        0, ENV, of.endpoint, of.id, effect(of), effect_parts(of), ANNA, "anna", START, summary="v3 → v4", answers={"Ok?": "yes"}
    )
    return registry.request_approval(asked)


def permit(request: Request, rule: ApprovalPolicy = RULE) -> Permit:
    return Permit(request.number, request.effect, rule)


def start(registry: Registry, shown: Permit | None, plan_id: str = "7f3a") -> None:
    lease = registry.take_lease(ENV, "relevance", ANNA, plan_id, "")
    try:
        registry.start_operation(replace(PLAN, id=plan_id), ANNA, lease, content("3"), None, approval=shown)
    except BaseException:
        registry.drop(lease)
        raise


def test_a_request_gets_a_number_and_comes_back_equal(registry: Registry) -> None:
    first = ask(registry)
    assert first.number == 1
    assert registry.approval(1) == first
    assert registry.approval(2) is None
    other = ask(registry, replace(PLAN, endpoint="category"))
    assert [one.number for one in registry.approvals(ENV)] == [2, 1]
    assert registry.approvals(ENV, "category") == [other]
    assert registry.approvals("staging") == []


def test_the_same_effect_asked_again_is_the_same_request(registry: Registry) -> None:
    first = ask(registry)
    assert ask(registry, replace(PLAN, id="beef", made_from="another")) == first
    registry.withdraw_approval(1, ANNA)
    assert ask(registry).number == 2


def test_a_colleague_approves(registry: Registry, clock: SetClock) -> None:
    number = ask(registry).number
    before = registry.revision()
    approved = registry.vote(number, TOMEK, Say.APPROVE, " fine\x1b ", RULE)
    assert (approved.state, approved.ended) == (RequestState.APPROVED, clock.now())
    assert registry.revision() > before
    assert [(one.actor, one.say, one.text) for one in registry.approval_votes(number)] == [(TOMEK, Say.APPROVE, "fine\\x1b")]
    assert registry.approvals(ENV, open_only=True) == [approved]
    assert registry.approval_for(ENV, "relevance", approved.effect) == approved
    assert registry.approval_for(ENV, "relevance", "else") is None


def test_ones_own_and_strangers_are_refused(registry: Registry) -> None:
    number = ask(registry).number
    for who, told in ((ANNA, "You wrote it, so you can't approve it. tomek or ola can."), (Actor("jan", "x"), "not among those")):
        with pytest.raises(NotAllowed, match=told) as refused:
            registry.vote(number, who, Say.APPROVE, "", RULE)
        assert refused.value.exit_code == 7
    assert registry.approval_votes(number) == []
    assert registry.approvals(ENV)[0].state is RequestState.WAITING


def test_two_are_needed_and_one_counts_once(registry: Registry, clock: SetClock) -> None:
    number, rule = ask(registry).number, replace(RULE, needed=2)
    for _ in range(2):
        assert registry.vote(number, TOMEK, Say.APPROVE, "", rule).state is RequestState.WAITING
        clock.sleep(1)
    assert registry.vote(number, OLA, Say.APPROVE, "", rule).state is RequestState.APPROVED
    assert registry.vote(number, TOMEK, Say.REJECT, "stop", rule).state is RequestState.REJECTED
    with pytest.raises(Conflict, match="rejected already"):
        registry.vote(number, OLA, Say.APPROVE, "", rule)
    assert registry.approvals(ENV, open_only=True) == []


def test_it_lapses_when_the_effect_is_another_and_says_what_changed(registry: Registry) -> None:
    number = ask(registry).number
    registry.vote(number, TOMEK, Say.APPROVE, "", RULE)
    again = replace(PLAN, id="beef", made_from="later")
    assert registry.settle_approval(number, effect(again), effect_parts(again), RULE).state is RequestState.APPROVED
    other = replace(PLAN, then=content("3", "4"))
    lapsed = registry.settle_approval(number, effect(other), effect_parts(other), RULE)
    assert lapsed.state is RequestState.LAPSED
    assert lapsed.why.startswith("Approval by tomek (")
    assert "share of v4 changed since (10 % → 100 %)" in lapsed.why
    assert registry.settle_approval(number, effect(again), effect_parts(again), RULE) == lapsed
    with pytest.raises(Conflict, match=r"lapsed already \(Approval by tomek"):
        registry.vote(number, OLA, Say.APPROVE, "", RULE)
    assert ask(registry).number == 2


def test_a_stricter_policy_wants_more(registry: Registry) -> None:
    asked = ask(registry)
    registry.vote(asked.number, TOMEK, Say.APPROVE, "", RULE)
    strict = replace(RULE, needed=2)
    with pytest.raises(Conflict, match="it is waiting"):
        start(registry, permit(asked, strict))
    assert registry.settle_approval(asked.number, asked.effect, asked.parts, strict).state is RequestState.WAITING


def test_only_its_authors_take_it_back(registry: Registry) -> None:
    number = ask(registry).number
    with pytest.raises(NotAllowed, match="anna's"):
        registry.withdraw_approval(number, TOMEK)
    assert registry.withdraw_approval(number, ANNA, "not yet").why == "withdrawn by anna@bastion-1: not yet"
    for late in (lambda: registry.withdraw_approval(number, ANNA), lambda: registry.vote(number, TOMEK, Say.APPROVE, "", RULE)):
        with pytest.raises(Conflict, match="withdrawn already"):
            late()


def test_there_is_no_such_request(registry: Registry) -> None:
    for work in (
        lambda: registry.vote(9, TOMEK, Say.APPROVE, "", RULE),
        lambda: registry.withdraw_approval(9, TOMEK),
        lambda: registry.settle_approval(9, "", {}, RULE),
        lambda: start(registry, Permit(9, "", RULE)),
    ):
        with pytest.raises(UnknownName, match="no request 9"):
            work()


def test_it_is_good_for_one_change(registry: Registry) -> None:
    asked = ask(registry)
    with pytest.raises(Conflict, match="does not hold: it is waiting"):
        start(registry, permit(asked))
    registry.vote(asked.number, TOMEK, Say.APPROVE, "", RULE)
    with pytest.raises(Conflict, match="another effect"):
        start(registry, replace(permit(asked), effect="else"))
    assert registry.operations(ENV) == []
    assert not registry.plan_used("7f3a")
    start(registry, permit(asked))
    used = registry.approval(asked.number)
    assert used is not None
    assert (used.state, used.used, used.open) == (RequestState.APPROVED, "7f3a", False)
    assert registry.approval_for(ENV, "relevance", asked.effect) is None
    assert registry.approvals(ENV, open_only=True) == []
    with pytest.raises(Conflict, match="used already"):
        registry.vote(asked.number, OLA, Say.REJECT, "", RULE)
    assert registry.settle_approval(asked.number, "else", {}, RULE) == used


def test_it_is_of_one_endpoint(registry: Registry) -> None:
    asked = ask(registry, replace(PLAN, endpoint="category"))
    registry.vote(asked.number, TOMEK, Say.APPROVE, "", RULE)
    with pytest.raises(Conflict, match="is for category in production, not for relevance"):
        start(registry, permit(asked))


def use(path: str, place: int) -> str:
    with open_registry(Path(path), clock=SystemClock()) as registry:
        request = registry.approval(1)
        assert request is not None
        endpoint_plan = replace(PLAN, id=f"aa{place}a", scope=f"scope-{place}")
        lease = registry.take_lease(ENV, endpoint_plan.scope, ANNA, endpoint_plan.id, "")
        try:
            registry.start_operation(endpoint_plan, ANNA, lease, content("3"), None, approval=permit(request))
        except Conflict as error:
            return str(error)
        return "used"


def test_two_processes_do_not_use_one_approval_twice(path: Path) -> None:
    with open_registry(path, clock=SystemClock()) as registry:
        ask(registry)
        registry.vote(1, TOMEK, Say.APPROVE, "", RULE)
    answers = processes(use, [(str(path), place) for place in range(4)])
    assert answers.count("used") == 1, answers
    assert sum("used already" in one for one in answers) == 3, answers
