"""A colleague's word: what the rule covers waits for it, what was approved goes forward once, and going back never waits for anybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.conftest import ANNA, TOMEK, House
from engine.kit import NAME, PLANS, deploy, revert, shift, stands, told
from engine.rollout_kit import POLICIES, world
from mlconsole.core.approvals import Request, Say
from mlconsole.core.models import Actor, Metrics
from mlconsole.core.plans import Plan
from mlconsole.core.rollouts import RolloutState
from mlconsole.engine import approving, changing, planning, rolling, rolloutplans
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import (
    ApprovalNeeded,
    Conflict,
    NotAllowed,
    PlanOutdated,
    StillRunning,
    UnknownName,
    UsageError,
)
from mlconsole.plugin.roles import Invocation
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind, simulated_version

OLA = Actor("ola", "laptop", 1006)
RULE = "{who: [tomek, ola], checklist: [read the 20 worst pairs, asked the risk team]}"


def rule(house: House, text: str = RULE, **gates: str) -> None:
    """From now on staging wants approvals."""
    file = house.root / "mlconsole.yaml"
    lines = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith(("    approvals:", "    gates:"))]
    place = next(number for number, line in enumerate(lines) if line.startswith("  staging:")) + 1
    lines[place:place] = [f"    approvals: {text}\n"] if text else []
    lines[place:place] = [f"    {name}: {value}\n" for name, value in gates.items()]
    file.write_text("".join(lines))


@pytest.fixture
def ruled(ready_house: Callable[..., House]) -> House:
    """v3 90 %, v4 10 %; from now on every change needs tomek's or ola's word."""
    house = ready_house("shift")
    rule(house)
    return house


def refused(session: Session, plan: Plan) -> ApprovalNeeded:
    with pytest.raises(ApprovalNeeded) as caught:
        changing.run(session, plan)
    assert caught.value.exit_code == 4
    return caught.value


def request_of(session: Session, number: int = 1) -> Request:
    found = session.registry.approval(number)
    assert found is not None
    return found


def approved(house: House, number: int = 1, who: Actor = TOMEK) -> None:
    assert approving.say(house.session(who), number, Say.APPROVE, "fine").state == "approved"


@pytest.mark.parametrize("change", ["deploy", "shift", "shadow", "remove"])
def test_what_the_rule_covers_waits_and_goes_forward_once(ready_house: Callable[..., House], change: str) -> None:
    house = ready_house(change)
    rule(house)
    session = house.session()
    before, plan = told(session), PLANS[change](session)
    first = refused(session, plan)
    assert (told(session), first.request) == (before, 1)
    assert session.registry.leases("staging") == []
    assert refused(session, plan).request == 1, "asked again it is the same request"
    approved(house)
    outcome = changing.run(session, plan)
    assert outcome.done
    assert request_of(session).used == outcome.operation.id
    assert approving.requests(session) == []
    assert len(told(session)) == len(before) + 1


def test_the_words_of_a_plan_that_waits(ruled: House) -> None:
    session = ruled.session()
    plan = planning.plan_traffic(session, NAME, {"v4": 10_000})
    error = refused(session, plan)
    assert (
        error.message
        == f"Waits for approval: request 1, plan {plan.id}, relevance v3 90 · v4 10 → v4 in staging. Needs 1 of tomek, ola; not you."
    )
    assert error.next.endswith("Wait: mlconsole wait 1 --until approved --timeout 2h")


@pytest.mark.parametrize("covered", ["deploy", "traffic", "remove"])
def test_only_what_it_is_for(ready_house: Callable[..., House], covered: str) -> None:
    changes = {"deploy": "deploy", "traffic": "shift", "remove": "remove"}
    house = ready_house(changes[covered])
    rule(house, f"{{for: [{', '.join(one for one in ('deploy', 'traffic', 'remove', 'rollout') if one != covered)}]}}")
    session = house.session()
    assert approving.standing(session, PLANS[changes[covered]](session)) == ""
    assert changing.run(session, PLANS[changes[covered]](session)).done
    assert approving.requests(session, open_only=False) == []


def test_deleting_is_removing_and_adopting_is_nothing_of_it(ruled: House) -> None:
    session = ruled.session()
    assert "→ nothing in staging" in refused(session, planning.plan_delete(session, NAME)).message


def test_going_back_needs_nobody(ruled: House) -> None:
    session = ruled.session()
    plan = planning.plan_revert(session, NAME)
    assert approving.standing(session, plan) == ""
    assert revert(session).done
    assert approving.requests(session, open_only=False) == []


def test_ones_own_word_counts_nothing(ruled: House) -> None:
    refused(ruled.session(), PLANS["shift"](ruled.session()))
    with pytest.raises(NotAllowed, match=r"You wrote it, so you can't approve it\. tomek or ola can\."):
        approving.say(ruled.session(), 1, Say.APPROVE)
    with pytest.raises(NotAllowed, match="not among those"):
        approving.say(ruled.session(Actor("jan", "x")), 1, Say.APPROVE)
    assert approving.view(ruled.session(), 1).why_not
    assert approving.view(ruled.session(TOMEK), 1).why_not == ""


def test_who_asks_with_a_plan_that_another_made_is_not_the_other_who_approves(ruled: House) -> None:
    plan = PLANS["shift"](ruled.session(TOMEK))
    refused(ruled.session(ANNA), plan)
    for who in (ANNA, TOMEK):
        with pytest.raises(NotAllowed):
            approving.say(ruled.session(who), 1, Say.APPROVE)
    approved(ruled, who=OLA)
    assert changing.run(ruled.session(ANNA), plan).done


def test_two_are_two(ruled: House) -> None:
    rule(ruled, "{needed: 2, who: [tomek, ola]}")
    session = ruled.session()
    plan = PLANS["shift"](session)
    refused(session, plan)
    found = approving.say(ruled.session(TOMEK), 1, Say.APPROVE)
    assert (found.state, found.needs) == ("waiting", "Needs 1 more of tomek, ola.")
    assert "Needs 1 more" in refused(session, plan).message
    approved(ruled, who=OLA)
    assert changing.run(session, plan).done


def test_a_rule_that_nobody_can_fulfil_says_so(ruled: House) -> None:
    rule(ruled, "{who: [anna]}")
    assert "it can't be approved" in refused(ruled.session(), PLANS["shift"](ruled.session())).message


def test_an_author_who_may(ruled: House) -> None:
    rule(ruled, "{author_may: true}")
    session = ruled.session()
    plan = PLANS["shift"](session)
    assert "approvals approve 1" in refused(session, plan).next
    approved(ruled, who=ANNA)
    assert changing.run(session, plan).done


def test_a_rejection_wants_a_reason_and_ends_it(ruled: House) -> None:
    session = ruled.session()
    plan = PLANS["shift"](session)
    refused(session, plan)
    with pytest.raises(UsageError):
        approving.say(ruled.session(OLA), 1, Say.REJECT, "  ")
    approving.say(ruled.session(OLA), 1, Say.REJECT, "pl is worse\x1b")
    with pytest.raises(NotAllowed, match=r"was rejected by ola: pl is worse\\x1b\."):
        approving.wait(session, 1, 0.0)
    with pytest.raises(Conflict):
        approving.say(ruled.session(TOMEK), 1, Say.APPROVE)
    assert refused(session, plan).request == 2, "asked again it is another request"


def test_another_effect_lapses_what_was_approved_and_says_what_changed(ruled: House) -> None:
    session = ruled.session()
    refused(session, planning.plan_traffic(session, NAME, {"v4": 2000}))
    approved(ruled)
    error = refused(session, planning.plan_traffic(session, NAME, {"v4": 3000}))
    assert error.request == 2
    assert error.message.startswith("Approval by tomek (")
    assert (
        "lapsed: share of v3 changed since (80 % → 70 %), share of v4 changed since (20 % → 30 %). Ask again: it is request 2."
        in error.message
    )
    assert approving.view(session, 1).state == "lapsed"
    with pytest.raises(NotAllowed, match="is lapsed: Approval by tomek"):
        approving.wait(session, 1, 0.0)


def test_the_same_command_from_another_state_lapses_too(ruled: House) -> None:
    session = ruled.session()
    refused(session, planning.plan_deploy(session, NAME, "5", share=1000, reason="one"))
    approved(ruled)
    rule(ruled, "")
    assert shift(ruled.session(), v3=5000).done
    rule(ruled)
    error = refused(ruled.session(), planning.plan_deploy(ruled.session(), NAME, "5", share=1000, reason="another"))
    assert "Approval by tomek" in error.message
    assert error.request == 2


def test_what_is_unrelated_lapses_nothing(ruled: House) -> None:
    session = ruled.session()
    plan = PLANS["shift"](session)
    refused(session, plan)
    refused(session, planning.plan_deploy(session, NAME, "5", share=0))
    refused(ruled.session(TOMEK), planning.plan_traffic(ruled.session(TOMEK), NAME, {"v4": 4000}))
    assert [one.state for one in approving.requests(session)] == ["waiting"] * 3
    approved(ruled)
    assert changing.run(session, PLANS["shift"](session)).done, "the same effect planned again is what was approved"


def test_the_rule_of_now_decides(ruled: House) -> None:
    session = ruled.session()
    plan = PLANS["shift"](session)
    refused(session, plan)
    approved(ruled)
    rule(ruled, "{who: [ola]}")
    with pytest.raises(ApprovalNeeded, match="Needs 1 of ola"):
        changing.run(ruled.session(), plan)
    rule(ruled, "")
    assert changing.run(ruled.session(), plan).done


def test_a_plan_of_another_state_asks_nobody(ruled: House) -> None:
    session = ruled.session()
    plan = PLANS["shift"](session)
    rule(ruled, "")
    assert shift(ruled.session(), v4=4000).done
    rule(ruled)
    with pytest.raises(PlanOutdated):
        changing.run(ruled.session(), plan)
    assert approving.requests(session, open_only=False) == []


def test_one_approval_is_good_for_one_of_two(ruled: House) -> None:
    session = ruled.session()
    one, other = PLANS["shift"](session), PLANS["shift"](session)
    refused(session, one)
    approved(ruled)
    assert changing.run(session, one).done
    assert revert(session).done
    with pytest.raises(PlanOutdated):
        changing.run(session, other)
    assert refused(session, PLANS["shift"](session)).request == 2


def test_the_checklist_is_kept_with_who_answered(ruled: House) -> None:
    session = ruled.session()
    refused(session, PLANS["shift"](session))
    approving.check(session, 1, {"1": "yes"})
    found = approving.check(ruled.session(TOMEK), 1, {"asked": "no: \x1bthey sleep"})
    assert found.checklist == (("read the 20 worst pairs", "yes (anna)"), ("asked the risk team", "no: \\x1bthey sleep (tomek)"))
    assert found.unanswered == ()
    for unknown in ("3", "0", "x", ""):
        with pytest.raises(UnknownName):
            approving.check(session, 1, {unknown: "yes"})
    markdown = approving.markdown(session, 1)
    assert "- [x] read the 20 worst pairs: yes (anna)" in markdown


def test_withdrawn_by_who_asked(ruled: House) -> None:
    refused(ruled.session(), PLANS["shift"](ruled.session()))
    with pytest.raises(NotAllowed):
        approving.withdraw(ruled.session(TOMEK), 1)
    assert approving.withdraw(ruled.session(), 1, "not now").state == "withdrawn"
    with pytest.raises(NotAllowed, match="withdrawn by anna@bastion-1: not now"):
        approving.wait(ruled.session(), 1, 0.0)


def test_waiting(ruled: House) -> None:
    refused(ruled.session(), PLANS["shift"](ruled.session()))
    with pytest.raises(StillRunning, match="Needs 1 of tomek, ola") as late:
        approving.wait(ruled.session(), 1, 3.0)
    assert late.value.exit_code == 8
    approved(ruled)
    assert approving.wait(ruled.session(), 1, 0.0).state == "approved"
    with pytest.raises(UnknownName):
        approving.wait(ruled.session(), 2, 0.0)


def test_a_number_is_enough_from_any_environment_and_its_own_rule_counts(ruled: House) -> None:
    refused(ruled.session(), PLANS["shift"](ruled.session()))
    elsewhere = ruled.session(ANNA, "production")
    with pytest.raises(NotAllowed, match="You wrote it"):
        approving.say(elsewhere, 1, Say.APPROVE)
    assert approving.say(ruled.session(TOMEK, "production"), 1, Say.APPROVE).state == "approved"


def test_read_only_says_nothing(ruled: House) -> None:
    refused(ruled.session(), PLANS["shift"](ruled.session()))
    reader = ruled.session(TOMEK, read_only=True)
    for do in (
        lambda: approving.say(reader, 1, Say.APPROVE),
        lambda: approving.check(reader, 1, {"1": "yes"}),
        lambda: approving.withdraw(reader, 1),
    ):
        with pytest.raises(NotAllowed, match="Read only"):
            do()
    assert approving.view(reader, 1).state == "waiting"
    file = ruled.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  staging:\n", "  staging:\n    read_only: true\n"))
    with pytest.raises(NotAllowed, match="Read only"):
        approving.say(ruled.session(TOMEK, "production"), 1, Say.APPROVE)


def test_how_a_plan_stands_is_told_and_asks_nobody(ruled: House) -> None:
    session = ruled.session()
    plan = PLANS["shift"](session)
    assert approving.standing(session, plan) == "needs 1 of tomek, ola; not you (starting it asks for it)"
    assert approving.requests(session) == []
    refused(session, plan)
    assert approving.standing(session, plan) == "needs 1 of tomek, ola; not you (request 1 waits)"
    approved(ruled)
    assert approving.standing(session, plan).startswith("approved by tomek ")


# The report.


@pytest.fixture
def golden(ruled: House) -> House:
    """Golden queries that v3 answers right, and v4 otherwise."""
    session = ruled.session()
    ruled.sim.world.behave(simulated_version(NAME, "3"), Behaviour(noise=0.0))
    queries = []
    for number in range(7):
        inputs = {"text": f"event {number}|", "language": "de"}
        right = session.backend.invoke(NAME, Invocation(inputs), "v3", probe=True).outputs
        queries.append({"id": f"q{number}|", "inputs": inputs, "expect": right, "tolerance": {"score": 1e-6}})
    (ruled.root / "golden.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    settings = ruled.root / "mlconsole.yaml"
    settings.write_text(settings.read_text().replace("relevance: {}", "relevance: {golden: golden.jsonl}"))
    return ruled


def test_the_report_puts_both_versions_side_by_side(golden: House) -> None:
    golden.sim.world.behave(simulated_version(NAME, "4"), Behaviour(noise=0.0, constant=0.5))
    session = golden.session()
    refused(session, planning.plan_traffic(session, NAME, {"v4": 10_000}, reason="fresher\x1b | data"))
    report = approving.markdown(session, 1)
    rows = [
        [cell.strip() for cell in line.replace("\\|", "!").strip("|").split("|")] for line in report.splitlines() if line.startswith("|")
    ]
    assert ["metric", "v3", "v4 (new)", ""] in rows
    assert ["accuracy", "0.900", "0.900", "✔ the same"] in rows
    assert ["query", "expected", "v3 answers", "v4 answers"] in rows
    shown = [row for row in rows if row[0].startswith("q") and row[0] != "query"]
    assert [row[0] for row in shown] == ["q0!", "q1!", "q2!", "q3!", "q4!"]
    assert all("▲" not in row[2] for row in shown)
    assert any("▲" in row[3] and "0.5" in row[3] for row in shown)
    assert ["reason", "fresher\\\\x1b ! data"] in rows
    assert "The first 5 of 7 golden queries" in report
    assert "enforced by mlconsole only" in report
    assert "- [ ] read the 20 worst pairs" in report
    assert all(char.isprintable() for line in report.splitlines() for char in line)


def test_a_version_that_does_not_run_has_what_is_expected_of_it(golden: House) -> None:
    session = golden.session()
    refused(session, planning.plan_deploy(session, NAME, "5", share=1000))
    report = approving.markdown(session, 1)
    assert "| query | expected | v3 answers |" in report
    assert "v5 does not run yet" in report
    assert "before any request reaches it" in report


def test_figures_of_another_set_are_not_beside_each_other(ruled: House) -> None:
    session = ruled.session()
    session.registry.add_version(replace(simulated_version(NAME, "6"), metrics=Metrics("sha256:other", {"accuracy": 0.1})))
    refused(session, planning.plan_deploy(session, NAME, "6"))
    assert "not comparable with v3: other evaluation set" in approving.markdown(session, 1)


def test_a_report_is_made_though_nobody_answers_and_frozen(golden: House) -> None:
    session = golden.session()
    plan = PLANS["shift"](session)
    golden.sim.world.inject(Fault(FaultKind.TIMEOUT_BEFORE_EFFECT, on="serving.invoke", times=None))
    refused(session, plan)
    before = request_of(session).report
    assert "no answer" in before
    assert "not asked" in before
    approved(golden)
    assert request_of(session).report == before
    assert "tomek@bastion-1 approved it" in approving.markdown(session, 1)


# The gate of the figures.


def worse(house: House, **values: float) -> None:
    """v6 is as v3, but for these figures."""
    metrics = Metrics("sha256:simulated", {"accuracy": 0.9, **values})
    house.session().registry.add_version(replace(simulated_version(NAME, "6"), metrics=metrics))


def test_worse_figures_are_to_be_judged_and_stop_nothing(house: House) -> None:
    assert deploy(house.session(), "3").done
    worse(house, accuracy=0.85)
    plan = planning.plan_deploy(house.session(), NAME, "6")
    assert plan.notes == ("worse than v3 in accuracy (0.900 → 0.850): the reviewer has to say why",)
    assert plan.skipped_gates == ()
    assert planning.plan_deploy(house.session(), NAME, "4").notes == ()


def test_worse_figures_stop_where_the_environment_says_so(house: House) -> None:
    assert deploy(house.session(), "3").done
    rule(house, "", gates="{evaluation: stop, margin: 0.01}")
    worse(house, accuracy=0.85)
    with pytest.raises(NotAllowed, match=r"relevance@6 is worse than v3 by more than 0.01 in accuracy") as stopped:
        planning.plan_deploy(house.session(), NAME, "6")
    assert "--break-glass" in stopped.value.next
    plan = planning.plan_deploy(house.session(), NAME, "6", break_glass="the set is old")
    assert plan.skipped_gates == ("evaluation (v6)",)
    rule(house, "", gates="{evaluation: stop, margin: 0.1}")
    assert planning.plan_deploy(house.session(), NAME, "6").notes, "within the margin it is told all the same"


def test_a_broken_glass_stays_visible_on_the_release(house: House) -> None:
    assert deploy(house.session(), "3").done
    rule(house, "", gates="{evaluation: stop}")
    worse(house, accuracy=0.85)
    assert deploy(house.session(), "6", break_glass="the set is old").done
    live = house.session().registry.live_release("staging", NAME)
    assert live is not None
    assert live.release.skipped_gates == ("evaluation (v6)",)


def test_what_serves_is_what_it_is_measured_against(house: House) -> None:
    """Not the one that stands by, and nothing where nothing serves."""
    session = house.session()
    worse(house, accuracy=0.85)
    assert planning.plan_deploy(session, NAME, "6").notes == ()
    session.registry.add_version(replace(simulated_version(NAME, "7"), metrics=Metrics("sha256:simulated", {"accuracy": 0.8})))
    assert deploy(session, "7").done
    assert deploy(session, "3").done, "at 0 %"
    assert planning.plan_deploy(session, NAME, "6").notes == (), "better than v7, which serves"


def test_recorded_dependencies_are_told_as_not_known_where_the_backend_can_not_say(house: House) -> None:
    session = house.session()
    session.registry.add_version(replace(simulated_version(NAME, "6"), dependencies=("numpy==1.0",)))
    assert "not known here" in planning.plan_deploy(session, NAME, "6").notes[0]


# Rollouts.


def test_a_rollout_is_approved_as_a_whole(tmp_path: Path) -> None:
    made = world(tmp_path, POLICIES, staging=f"    notify: {{ops: {{kind: told, file: ops.jsonl}}}}\n    approvals: {RULE}")
    session = made.house.session()
    with pytest.raises(ApprovalNeeded, match=r"request 1, plan \w+, relevance v3 → v4 in staging"):
        made.begin(policy="quick")
    assert session.registry.claim("staging", NAME) is None
    report = approving.markdown(session, 1)
    assert "| policy | quick |" in report
    assert "- stages: 50 %" in report
    approving.say(made.house.session(TOMEK), 1, Say.APPROVE)
    with pytest.raises(ApprovalNeeded, match=r"lapsed: .*stages changed since"):
        made.begin(policy="short")
    assert [one.state for one in approving.requests(session, open_only=False)] == ["waiting", "lapsed"]
    approving.say(made.house.session(TOMEK), 2, Say.APPROVE)
    plan = rolloutplans.plan_rollout(session, NAME, "4", policy="short")
    assert approving.standing(session, plan).startswith("approved by tomek")
    begun = made.begin(policy="short")
    assert request_of(session, 2).used == begun.id
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE, "its stages ask nobody again"


def test_a_rollout_of_a_worse_version_is_refused_where_gates_stop_it(house: House) -> None:
    assert deploy(house.session(), "3").done
    rule(house, "", gates="{evaluation: stop}")
    worse(house, accuracy=0.85)
    plan = rolloutplans.plan_rollout(house.session(), NAME, "6", attended=True)
    assert "relevance@6 is worse than v3 in accuracy" in plan.refused
    assert any("the reviewer has to say why" in note for note in plan.notes)
    with pytest.raises(NotAllowed, match="worse than v3"):
        rolling.begin(house.session(), plan)
    glass = rolloutplans.plan_rollout(house.session(), NAME, "6", attended=True, break_glass="the set is old")
    assert glass.refused == ""
    assert "evaluation (v6)" in glass.rollout.skipped_gates


def test_nothing_is_left_between_where_approval_is_needed(ruled: House) -> None:
    session = ruled.session()
    before = planning.current(session, NAME)[1]
    assert before is not None
    refused(session, PLANS["shift"](session))
    stands(ruled, before.content)
    assert session.registry.unfinished("staging") == []
