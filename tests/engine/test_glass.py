"""Freezes, and breaking the glass: nothing goes forward in a freeze, going back always does, and what a reason overruled stays visible."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.conftest import House
from engine.kit import NAME, PLANS, deploy, revert, told
from engine.rollout_kit import POLICIES, World, world
from engine.test_approving import refused, rule, worse
from mlconsole.core.rollouts import RolloutState
from mlconsole.core.traffic import Traffic
from mlconsole.engine import approving, changing, glass, planning, rolling, rolloutplans
from mlconsole.engine.session import Session
from mlconsole.engine.staging import plan_staged
from mlconsole.plugin.errors import Conflict, NotAllowed
from mlconsole.plugin.roles import Invocation

FORWARD: dict[str, Callable[[Session, str], object]] = {
    "deploy": lambda session, why: planning.plan_deploy(session, NAME, "5", share=1000, break_glass=why),
    "shift": lambda session, why: planning.plan_traffic(session, NAME, {"v4": 2500}, break_glass=why),
    "staged": lambda session, why: plan_staged(session, NAME, Traffic({"v3": 5000, "v4": 5000}), break_glass=why),
    "remove": lambda session, why: planning.plan_remove(session, NAME, "v4", break_glass=why),
    "delete": lambda session, why: planning.plan_delete(session, NAME, break_glass=why),
}


def freeze(root: Path, now: datetime, begin: float = -60.0, end: float = 3600.0) -> None:
    """A window in staging, so many seconds from now."""
    moments = [(now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ") for seconds in (begin, end)]
    file = root / "mlconsole.yaml"
    lines = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith("    freeze:")]
    place = next(number for number, line in enumerate(lines) if line.startswith("  staging:")) + 1
    lines.insert(place, f'    freeze: [{{from: "{moments[0]}", until: "{moments[1]}", reason: Black Friday, by: tomek}}]\n')
    file.write_text("".join(lines))


@pytest.fixture
def frozen(ready_house: Callable[..., House], request: pytest.FixtureRequest) -> House:
    """v3 90 %, v4 10 % (for removing: 0 %), in a freeze."""
    house = ready_house(getattr(request, "param", "shift"))
    freeze(house.root, house.clock.now())
    return house


@pytest.mark.parametrize(
    ("frozen", "change"), [("remove", "remove"), *(("shift", one) for one in FORWARD if one != "remove")], indirect=["frozen"]
)
def test_nothing_goes_forward_in_a_freeze_without_a_reason(frozen: House, change: str) -> None:
    session = frozen.session()
    before = told(session)
    with pytest.raises(NotAllowed, match=r'Frozen until .* \("Black Friday", by tomek\)\. Going back, .* still work\. Nothing was') as why:
        FORWARD[change](session, "")
    assert (why.value.glass, why.value.exit_code) == (True, 7)
    assert why.value.next == 'Break-glass needs a reason: --break-glass "…".'
    assert told(session) == before
    plan = FORWARD[change](session, "v3 leaks memory")
    assert plan.skipped_gates == ("freeze (Black Friday)",)  # type: ignore[attr-defined]
    assert "the freeze is skipped (v3 leaks memory); that stays visible on the release" in plan.notes  # type: ignore[attr-defined]
    assert "--break-glass 'v3 leaks memory'" in plan.command or plan.command.startswith("mlconsole apply")  # type: ignore[attr-defined]
    assert changing.run(session, plan).done  # type: ignore[arg-type]
    newest = session.registry.releases("staging", NAME)[0].release
    assert (newest.skipped_gates, newest.reason) == (("freeze (Black Friday)",), "v3 leaks memory")


def test_going_back_is_never_frozen_and_nothing_to_do_is_nothing_to_refuse(frozen: House) -> None:
    assert planning.plan_traffic(frozen.session(), NAME, {"v4": 1000}).nothing_to_do
    assert revert(frozen.session()).done
    recorded = frozen.session().registry.releases("staging", NAME)[0].release
    assert recorded.skipped_gates == ()


def test_a_plan_that_was_made_before_is_not_run_in_it(ready_house: Callable[..., House]) -> None:
    house = ready_house("shift")
    plan = PLANS["shift"](house.session())
    back = planning.plan_revert(house.session(), NAME)
    freeze(house.root, house.clock.now())
    with pytest.raises(NotAllowed, match="Frozen until"):
        changing.run(house.session(), plan)
    assert house.session().registry.leases("staging") == []
    assert changing.run(house.session(), back).done


def test_a_window_that_is_over_or_to_come_refuses_nothing(ready_house: Callable[..., House]) -> None:
    for change, (begin, end) in (("shift", (-120, -60)), ("deploy", (3600, 7200))):
        house = ready_house(change)
        freeze(house.root, house.clock.now(), begin, end)
        plan = PLANS[change](house.session())
        assert plan.skipped_gates == ()
        assert changing.run(house.session(), plan).done


def test_a_reason_for_nothing_leaves_no_trace(ready_house: Callable[..., House]) -> None:
    house = ready_house("shift")
    plan = planning.plan_traffic(house.session(), NAME, {"v4": 2500}, break_glass="just so")
    assert (plan.skipped_gates, plan.notes) == ((), ())


def test_a_reason_overrules_no_colleague_and_binds_what_they_approve(frozen: House) -> None:
    rule(frozen)
    session = frozen.session()
    error = refused(session, planning.plan_traffic(session, NAME, {"v4": 2500}, break_glass="v3 leaks"))
    assert dict(approving.view(session, error.request).parts)["skipped gates"] == "freeze (Black Friday)"


def test_what_could_be_skipped_is_told_before(ready_house: Callable[..., House]) -> None:
    house = golden(ready_house("deploy"))
    plan = planning.plan_deploy(house.session(), NAME, "5", share=1000)
    assert glass.skippable(plan) == "golden queries"
    plan = planning.plan_deploy(house.session(), NAME, "5", share=1000, break_glass="v3 leaks")
    assert glass.skippable(plan) == ""
    assert "golden queries are skipped (v3 leaks); that stays visible on the release" in plan.notes
    assert glass.skippable(PLANS["shift"](house.session())) == ""


def test_all_that_is_overruled_is_named_in_one_sentence(house: House) -> None:
    assert deploy(house.session(), "3").done
    rule(golden(house), "", gates="{evaluation: stop}")
    worse(house, accuracy=0.85)
    with pytest.raises(NotAllowed) as why:
        planning.plan_deploy(house.session(), NAME, "6")
    assert why.value.glass
    freeze(house.root, house.clock.now())
    plan = planning.plan_deploy(house.session(), NAME, "6", break_glass="the set is old")
    assert plan.skipped_gates == ("evaluation (v6)", "golden (v6)", "freeze (Black Friday)")
    assert plan.notes[-1] == "evaluation and golden queries and the freeze are skipped (the set is old); that stays visible on the release"


# Rollouts.


def golden(house: House) -> House:
    """Golden queries that v3 answers right."""
    session = house.session()
    inputs = {"text": "event 1", "language": "de"}
    right = session.backend.invoke(NAME, Invocation(inputs), "v3", probe=True).outputs
    (house.root / "golden.jsonl").write_text(
        json.dumps({"id": "q1", "inputs": inputs, "expect": right, "tolerance": {"score": 1.0}}) + "\n"
    )
    settings = house.root / "mlconsole.yaml"
    settings.write_text(settings.read_text().replace("relevance: {}", "relevance: {golden: golden.jsonl}"))
    return house


@pytest.fixture
def made(tmp_path: Path) -> World:
    made = world(tmp_path, POLICIES)
    golden(made.house)
    return made


def test_what_a_rollouts_plan_offers(made: World) -> None:
    session = made.house.session
    plan = rolloutplans.plan_rollout(session(), NAME, "4", policy="quick")
    assert (plan.refused, plan.glass) == ("", "golden queries")
    plan = rolloutplans.plan_rollout(session(), NAME, "4", policy="quick", break_glass="v3 leaks")
    assert (plan.refused, plan.glass) == ("", "")
    assert plan.rollout.skipped_gates == ("golden (v4)",)
    freeze(made.house.root, made.house.clock.now())
    plan = rolloutplans.plan_rollout(session(), NAME, "4", policy="quick")
    assert plan.refused.startswith("Frozen until")
    assert plan.glass
    plan = rolloutplans.plan_rollout(session(), NAME, "4", policy="quick", break_glass="v3 leaks")
    assert plan.refused == ""
    assert "golden queries and the freeze are skipped (v3 leaks); that stays visible on the release" in plan.notes


def test_what_a_reason_does_not_overrule_is_not_offered(house: House) -> None:
    assert deploy(house.session(), "3").done
    plan = rolloutplans.plan_rollout(house.session(), NAME, "4")
    assert plan.refused.startswith("Nobody would watch")
    assert plan.glass == ""
    freeze(house.root, house.clock.now())
    assert rolloutplans.plan_rollout(house.session(), NAME, "4").glass == "", "first somebody has to watch"
    assert rolloutplans.plan_rollout(house.session(), NAME, "4", attended=True).glass


def test_a_rollout_with_a_broken_glass_goes_on_in_the_freeze_and_each_stage_says_so(made: World) -> None:
    freeze(made.house.root, made.house.clock.now(), end=1e6)
    with pytest.raises(NotAllowed, match="Frozen until"):
        made.begin(policy="quick")
    begun = made.begin(policy="quick", break_glass="v3 leaks memory")
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE
    first, second = (one.release for one in reversed(made.house.session().registry.releases("staging", NAME)[:2]))
    assert set(first.skipped_gates) == {"golden (v4)", "freeze (Black Friday)"}
    assert second.skipped_gates == ("freeze (Black Friday)",)
    assert begun.reason == "v3 leaks memory"


def test_a_stage_that_is_sent_on_in_a_freeze_needs_a_rollout_that_was_begun_so(made: World) -> None:
    made.begin(policy="waits")
    freeze(made.house.root, made.house.clock.now(), end=1e6)
    with pytest.raises(NotAllowed, match="Frozen until") as why:
        rolling.control(made.house.session(), made.rollout().id, "next", "now")
    assert "--break-glass" not in str(why.value), "no command offers that there"
    rolling.control(made.house.session(), made.rollout().id, "revert")
    made.drive()
    made.begin(policy="waits", break_glass="v3 leaks memory")
    with pytest.raises(Conflict, match="is shifting"):  # that is no freeze
        rolling.control(made.house.session(), made.rollout().id, "next", "now")
