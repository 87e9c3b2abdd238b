"""The whole story, in each of the three shapes of a backend: exact releases, standings, journal, and the state that really is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.conftest import House
from engine.kit import NAME, deploy, lines, remove, revert, shadow, shift, stands, told, whole
from mlconsole.core.releases import NOTHING, Content
from mlconsole.core.steps import Phase
from mlconsole.core.traffic import Shadow
from mlconsole.engine import changing, endpoints, planning
from mlconsole.engine.views import Outcome
from mlconsole.plugin.errors import UnknownName, UsageError

SHAPES = ("separate", "staged", "combined")


@pytest.fixture(params=SHAPES)
def shaped(request: pytest.FixtureRequest, make_house: Callable[..., House]) -> House:
    house = make_house(request.param)
    house.register("3", "4", "5")
    return house


def live(house: House) -> Content:
    recorded = house.session().registry.live_release("staging", NAME)
    assert recorded is not None
    return recorded.release.content


def test_from_the_first_version_to_none(shaped: House) -> None:
    """Deploy, stand by, share, shift, slice, shadow, remove, revert, delete, and back from that; each read back (invariant 3)."""
    session = shaped.session()
    changes: tuple[Callable[[], Outcome], ...] = (
        lambda: deploy(session, "3"),
        lambda: deploy(session, "4"),
        lambda: shift(session, v4=1000),
        lambda: deploy(session, "5", 1000),
        lambda: changing.run(session, planning.plan_traffic(session, NAME, {"v4": 10_000}, slice_value=("language", "de"))),
        lambda: changing.run(session, planning.plan_traffic(session, NAME, {}, slice_value=("language", "de"), clear_slice=True)),
        lambda: changing.run(session, planning.plan_traffic(session, NAME, {"v5": 0, "v4": 1000}, shadow=Shadow("v5", 2000))),
        lambda: changing.run(session, planning.plan_traffic(session, NAME, {}, end_shadow=True)),
        lambda: remove(session, "v5"),
        lambda: revert(session),
    )
    for change in changes:
        outcome = change()
        assert outcome.done, outcome.sentence
        assert outcome.exit_code == 0
        stands(shaped, live(shaped))
        whole(shaped, outcome.operation.id)
    assert told(session) == [
        (1, "deploy", "past", "v3 100 %"),
        (2, "deploy", "past", "v3 100 % · v4 at 0"),
        (3, "traffic", "past", "v3 90 · v4 10"),
        (4, "deploy", "past", "v3 81 · v4 9 · v5 10"),
        (5, "traffic", "past", "v3 81 · v4 9 · v5 10 · de: v4 100"),
        (6, "traffic", "past", "v3 81 · v4 9 · v5 10"),
        (7, "traffic", "past", "v3 90 · v4 10 · shadow v5 20 %"),
        (8, "traffic", "past", "v3 90 · v4 10 · v5 at 0"),
        (9, "remove", "reverted", "v3 90 · v4 10"),
        (10, "revert", "live", "v3 90 · v4 10 · v5 at 0"),
    ]
    with pytest.raises(UsageError, match=r"#10 is a revert already \(equal to #8\).*--to RELEASE, one of #8, #7, #6, #5, #4"):
        planning.plan_revert(session, NAME)
    to = revert(session, to=3)
    assert to.sentence == f"{NAME} went back: #11 equals #3: v3 90 · v4 10, read back."
    deleted = changing.run(session, planning.plan_delete(session, NAME))
    assert deleted.done
    stands(shaped, NOTHING)
    assert endpoints.overview(session).endpoints == ()
    with pytest.raises(UnknownName):
        endpoints.show(session, NAME)
    back = revert(session)
    assert back.done
    assert told(session)[-4:] == [
        (10, "revert", "reverted", "v3 90 · v4 10 · v5 at 0"),
        (11, "revert", "past", "v3 90 · v4 10"),
        (12, "delete", "reverted", "nothing"),
        (13, "revert", "live", "v3 90 · v4 10"),
    ]
    stands(shaped, live(shaped))


def test_the_journal_tells_what_was_found_asked_and_read_back(house: House) -> None:
    """Invariant 1, from the outside: each step has what it found, what it asked for, and what was read back."""
    session = house.session()
    deploy(session, "3")
    outcome = deploy(session, "4", 1000)
    records = lines(session, outcome)
    assert [(one.index, one.step.role, one.step.phase, str(one.state), one.back) for one in records] == [
        (0, "serving", Phase.PREPARE, "done", False),
        (1, "gate", Phase.CHECK, "done", False),
        (2, "traffic", Phase.SHIFT, "done", False),
    ]
    digest = house.sim.world.live(NAME).variants[0].digest
    assert records[0].found["variants"] == {"v3": f"ready {digest}"}
    assert records[0].found["traffic"] == {"v3": 10_000}
    assert records[0].read_back == "v4 ready"
    assert records[2].read_back == "v3 90 % v4 10 %"
    assert all(one.ended and one.ended >= one.started for one in records)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gates_come_before_any_request_reaches_the_new_version(make_house: Callable[..., House], shape: str) -> None:
    """Trap 18 and issue 2 §3: also where one update of the backend would bring up and route at once."""
    house = make_house(shape)
    house.register("3", "4")
    session = house.session()
    first = planning.plan_deploy(session, NAME, "3")
    assert [step.action for step in first.steps if step.role == "gate"] == ["load"]
    assert changing.run(session, first).done
    plan = planning.plan_deploy(session, NAME, "4", share=1000)
    gate = next(index for index, step in enumerate(plan.steps) if step.role == "gate")
    reached = [step for step in plan.steps[:gate] if step.traffic is not None and step.traffic.reaches("v4")]
    assert reached == []
    assert any(variant.name == "v4" for step in plan.steps[:gate] for variant in step.ensures)
    assert changing.run(session, plan).done
    assert house.sim.world.live(NAME).traffic == plan.then.traffic


def test_a_share_that_the_backend_cannot_express_is_refused_in_the_plan(make_house: Callable[..., House]) -> None:
    """Invariant 3: before anything is touched, with what is possible."""
    house = make_house(share_granularity=100)
    house.register("3", "4")
    session = house.session()
    deploy(session, "3")
    deploy(session, "4")
    calls = len(house.sim.world.started())
    with pytest.raises(UsageError, match=r"steps of 1 %; 87\.5 % is between two of them\. 87 or 88 is possible"):
        planning.plan_traffic(session, NAME, {"v4": 1250})
    assert len(house.sim.world.started()) == calls


def test_nothing_to_do_calls_nothing(house: House) -> None:
    """screens.md §3.10: a plan without a difference is no release."""
    session = house.session()
    deploy(session, "3")
    deploy(session, "4", 1000)
    plan = planning.plan_traffic(session, NAME, {"v4": 1000})
    assert plan.nothing_to_do
    assert plan.id == ""
    with pytest.raises(UsageError, match="Nothing to do"):
        changing.run(session, plan)
    assert len(told(session)) == 2


def test_the_first_release_has_nothing_before_it(house: House) -> None:
    session = house.session()
    deploy(session, "3")
    with pytest.raises(UsageError, match='Nothing to go back to: #1 "deploy" is the first release of relevance that stood'):
        planning.plan_revert(session, NAME)


def test_a_shadow_ends_with_a_revert(house: House) -> None:
    """Trap 16: every routing artefact is gone after going back, the copies and the splits of slices too."""
    session = house.session()
    deploy(session, "3")
    deploy(session, "4")
    shadow(session, "v4", 2000)
    assert house.sim.world.live(NAME).traffic is not None
    assert revert(session).done
    after = house.sim.world.live(NAME).traffic
    assert after is not None
    assert after.shadow is None
    assert changing.run(session, planning.plan_traffic(session, NAME, {"v4": 5000}, slice_value=("language", "de"))).done
    assert revert(session).done
    after = house.sim.world.live(NAME).traffic
    assert after is not None
    assert after.by_slice == ()


def test_two_endpoints_of_one_model_live_their_own_lives(house: House) -> None:
    session = house.session()
    deploy(session, "3")
    other = changing.run(session, planning.plan_deploy(session, NAME, "4", endpoint="relevance-batch"))
    assert other.operation.release == 1
    assert told(session) == [(1, "deploy", "live", "v3 100 %")]
    assert [view.name for view in endpoints.overview(session).endpoints] == ["relevance", "relevance-batch"]
