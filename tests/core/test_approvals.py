"""Approvals: what an effect is made of and what not, who may say what, and what becomes of a request by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core import approvals
from mlconsole.core.approvals import ApprovalPolicy, Request, RequestState, Say, Vote, changed_parts, effect, effect_parts
from mlconsole.core.models import Actor
from mlconsole.core.plans import Plan, WayBack
from mlconsole.core.policies import BLUE_GREEN, CAREFUL, AtDeadline, OnFail, Policy, ShadowStage
from mlconsole.core.releases import NOTHING, Content, ReleaseKind, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Shadow, SliceSplit, Traffic

AT = datetime(2026, 3, 14, 9, 56, tzinfo=UTC)
ANNA, OLA, TOMEK = (Actor(user, "bastion-1") for user in ("anna", "ola", "tomek"))
V6 = Variant("v6", "relevance", "6", "sha256:" + "6" * 64, {"machines": "2", "memory": "1 GB"})
V7 = Variant("v7", "relevance", "7", "sha256:" + "7" * 64)
THEN = Content((V6, V7), Traffic({"v6": 9000, "v7": 1000}, (SliceSplit("language", "pl", {"v6": 10_000}),), None))
PLAN = Plan(
    "7f3a", "production", "relevance", "relevance", ReleaseKind.TRAFFIC, AT, ANNA, "abc", 42, NOTHING, THEN,
    (Step("traffic", "shift", "shift", Phase.SHIFT),), WayBack(42, NOTHING, 2.0, warm=True), "mlconsole traffic set",
)  # fmt: skip
RULE = ApprovalPolicy(1, ("tomek", "ola"))


def request(**more: object) -> Request:
    asked = Request(12, "production", "relevance", "7f3a", effect(PLAN), effect_parts(PLAN), ANNA, "anna", AT)
    return replace(asked, **more)  # type: ignore[arg-type]


def vote(who: Actor, say: Say = Say.APPROVE, minutes: int = 0) -> Vote:
    return Vote(who, say, "", AT + timedelta(minutes=minutes))


def split(**shares: int) -> Plan:
    return replace(PLAN, then=Content((V6, V7), Traffic(shares)))


@pytest.mark.parametrize(
    "unrelated",
    [
        replace(PLAN, id="beef", made_at=AT + timedelta(days=1), made_by=OLA, made_from="xyz", made_from_release=43),
        replace(PLAN, steps=(), notes=("slow",), reason="another", command="mlconsole apply", scope="other", kind=ReleaseKind.DEPLOY),
        replace(PLAN, then=Content((V7, V6), Traffic({"v7": 1000, "v6": 9000}, (SliceSplit("language", "pl", {"v7": 0, "v6": 10_000}),)))),
    ],
)
def test_what_is_unrelated_does_not_change_an_effect(unrelated: Plan) -> None:
    assert effect(unrelated) == effect(PLAN)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(PLAN, endpoint="category"), "target"),
        (replace(PLAN, environment="staging"), "target"),
        (replace(PLAN, then=Content((V6, replace(V7, digest="sha256:" + "8" * 64)), THEN.traffic)), "variant v7"),
        (replace(PLAN, then=Content((replace(V6, resources={"machines": "1"}), V7), THEN.traffic)), "variant v6"),
        (replace(PLAN, then=Content((V6,), Traffic({"v6": 10_000}))), "variant v7"),
        (split(v6=8999, v7=1001), "share of v7"),
        (split(v6=9000, v7=1000), "share of v6 in language=pl"),
        (replace(PLAN, then=Content((V6, V7), Traffic({"v6": 10_000, "v7": 0}, (), Shadow("v7", 100)))), "shadow"),
        (replace(PLAN, then=NOTHING), "variant v6"),
        (replace(PLAN, skipped_gates=("golden",)), "skipped gates"),
    ],
)
def test_what_an_endpoint_would_become_is_its_effect(other: Plan, told: str) -> None:
    assert effect(other) != effect(PLAN)
    changed = changed_parts(effect_parts(PLAN), effect_parts(other))
    assert any(line.startswith(f"{told} changed since (") for line in changed), changed


@pytest.mark.parametrize(
    "other",
    [
        replace(CAREFUL, stages=CAREFUL.stages[1:]),
        replace(CAREFUL, stages=(replace(CAREFUL.stages[0], wait=600.5), *CAREFUL.stages[1:])),
        replace(CAREFUL, stages=(replace(CAREFUL.stages[0], evidence=149), *CAREFUL.stages[1:])),
        replace(CAREFUL, guards=CAREFUL.guards[1:]),
        replace(CAREFUL, guards=(replace(CAREFUL.guards[0], margin=0.02), *CAREFUL.guards[1:])),
        replace(CAREFUL, guards=(replace(CAREFUL.guards[0], dry_run=True), *CAREFUL.guards[1:])),
        replace(CAREFUL, shadow=ShadowStage(2000, 600, 100)),
        replace(CAREFUL, bake=3600.25),
        replace(CAREFUL, order=("language=de",)),
        replace(CAREFUL, on_fail=OnFail.SLICE),
        replace(CAREFUL, deadline=7200.0),
        replace(CAREFUL, stop_old=True),
        replace(CAREFUL, dry_run=True),
        BLUE_GREEN,
        None,
    ],
)
def test_how_a_rollout_goes_belongs_to_it(other: Policy | None) -> None:
    assert effect(PLAN, other) != effect(PLAN, CAREFUL)


def test_nothing_of_a_policy_is_forgotten() -> None:
    """Whoever adds a field to a policy decides here whether an approval covers it (`at_deadline` goes with `deadline`)."""
    told = {"stages", "guards", "shadow", "bake", "order", "on_fail", "deadline", "at_deadline", "stop_old", "dry_run"}
    assert {one.name for one in fields(Policy)} == {"name"} | told
    late = replace(CAREFUL, deadline=7200.0)
    assert effect(PLAN, late) != effect(PLAN, replace(late, at_deadline=AtDeadline.REVERT))


def test_what_a_policy_is_called_does_not_and_the_config_release_does() -> None:
    assert effect(PLAN, replace(CAREFUL, name="mine")) == effect(PLAN, CAREFUL)
    assert len({effect(PLAN), effect(PLAN, None, 118), effect(PLAN, None, 119)}) == 3


def test_changed_parts_are_told_shortly() -> None:
    other = replace(PLAN, then=Content((V6, replace(V7, digest="sha256:" + "8" * 64)), THEN.traffic))
    assert changed_parts(effect_parts(PLAN), effect_parts(other)) == (
        "variant v7 changed since (relevance@7 777777777777 → relevance@7 888888888888)",
    )
    assert changed_parts(effect_parts(PLAN), effect_parts(PLAN)) == ()


def test_ones_own_is_refused_and_who_can_is_told() -> None:
    assert approvals.why_not("anna", request(), RULE) == "You wrote it, so you can't approve it. tomek or ola can."
    assert approvals.why_not("tomek", request(author=TOMEK), RULE) == "You wrote it, so you can't approve it. ola can."
    assert approvals.why_not("anna", request(author=TOMEK), RULE).startswith("You wrote it")  # the plan is hers
    assert approvals.why_not("anna", request(), ApprovalPolicy()) == "You wrote it, so you can't approve it. Everybody else can."
    assert approvals.why_not("jan", request(), RULE) == "You (jan) are not among those who approve here. tomek or ola can."
    assert approvals.why_not("anna", request(), ApprovalPolicy(1, ("anna",))).endswith("Nobody can.")
    assert approvals.why_not("ola", request(), RULE) == ""
    assert approvals.why_not("anna", request(), ApprovalPolicy(author_may=True)) == ""


@pytest.mark.parametrize(
    ("votes", "needed", "state", "missing"),
    [
        ([], 1, RequestState.WAITING, 1),
        ([vote(TOMEK)], 1, RequestState.APPROVED, 0),
        ([vote(TOMEK)], 2, RequestState.WAITING, 1),
        ([vote(TOMEK), vote(TOMEK, minutes=1)], 2, RequestState.WAITING, 1),
        ([vote(TOMEK), vote(OLA)], 2, RequestState.APPROVED, 0),
        ([vote(ANNA)], 1, RequestState.WAITING, 1),
        ([vote(Actor("jan", "bastion-1"))], 1, RequestState.WAITING, 1),
        ([vote(Actor("jan", "bastion-1"), Say.REJECT), vote(OLA)], 1, RequestState.APPROVED, 0),
        ([vote(TOMEK), vote(OLA, Say.REJECT)], 1, RequestState.REJECTED, 0),
        ([vote(TOMEK, Say.REJECT, 5), vote(TOMEK, minutes=1)], 1, RequestState.REJECTED, 1),
        ([vote(TOMEK, Say.REJECT), vote(TOMEK, minutes=1)], 1, RequestState.APPROVED, 0),
        ([], 0, RequestState.WAITING, 1),
    ],
)
def test_votes_decide(votes: list[Vote], needed: int, state: RequestState, missing: int) -> None:
    rule = replace(RULE, needed=needed)
    assert approvals.state_of(request(), votes, rule) is state
    assert approvals.missing(request(), votes, rule) == missing


SAID = st.lists(st.builds(vote, st.sampled_from([ANNA, OLA, TOMEK]), st.sampled_from(Say), st.integers(0, 9)), max_size=6)


@given(SAID, st.sampled_from([state for state in RequestState if state.terminal]), st.integers(0, 3))
def test_terminal_is_terminal(votes: list[Vote], state: RequestState, needed: int) -> None:
    assert approvals.state_of(request(state=state), votes, replace(RULE, needed=needed)) is state


@given(SAID, st.integers(0, 3))
def test_the_author_alone_decides_nothing(votes: list[Vote], needed: int) -> None:
    rule = replace(RULE, needed=needed)
    without = [one for one in votes if one.actor is not ANNA]
    assert approvals.state_of(request(), votes, rule) is approvals.state_of(request(), without, rule)


@given(st.dictionaries(st.sampled_from(["v6", "v7"]), st.integers(0, 10_000), min_size=1), st.integers(1, 10_000))
def test_two_splits_have_one_effect_only_when_they_are_the_same(some: dict[str, int], share: int) -> None:
    first = some.get("v6", 0)
    one, other = split(v6=first, v7=10_000 - first), split(v6=share, v7=10_000 - share)
    assert (effect(one) == effect(other)) == (first == share)


def test_why_it_lapsed_is_told() -> None:
    parts = effect_parts(split(v6=8000, v7=2000))
    approved = request(state=RequestState.APPROVED)
    when = AT.astimezone().strftime("%H:%M")
    told = approvals.lapse_told(approved, [vote(TOMEK), vote(OLA, Say.REJECT)], parts, AT)
    assert told.startswith(f"Approval by tomek ({when}) lapsed: ")
    assert "share of v7 changed since (10 % → 20 %)" in told
    assert approvals.lapse_told(request(), [], parts, AT).startswith("Request 12 lapsed: ")


def test_foreign_text_in_what_is_told_is_harmless() -> None:
    rule = ApprovalPolicy(1, ("to\x1bmek",))
    told: list[Callable[[], str]] = [
        lambda: approvals.why_not("ev\x1bil", request(), rule),
        lambda: approvals.lapse_told(request(), [], {"sh\x1bare": "1"}, AT),
    ]
    assert not [one for one in told if "\x1b" in one()]
