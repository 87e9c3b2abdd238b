"""Model, config and traffic in one change: forward as one, back as one, wherever it is broken; and traffic that is held in a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.config_kit import BODY, DOC, SPLIT, TARGET, ConfigHouse, back, config_house, edited, first, publish
from engine.conftest import TOMEK
from mlconsole.core.documents import config_target
from mlconsole.core.live import differences
from mlconsole.core.operations import OperationState
from mlconsole.engine import changing, configuring, planning
from mlconsole.engine.session import Session
from mlconsole.engine.views import Outcome
from mlconsole.plugin.errors import ChangedOutside, MLConsoleError
from mlconsole.plugin.simulator import Fault, FaultKind, When

NAME = "relevance"
PL = "/relevance/pl/threshold"


def deployed(session: Session, version: str, share: int | None = None, **how: Any) -> Outcome:
    return changing.run(session, planning.plan_deploy(session, NAME, version, share=share, **how))


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    """v3 serves, config 1 is published."""
    made = config_house(tmp_path)
    session = made.session()
    first(session)
    assert deployed(session, "3").done
    return made


@pytest.fixture
def held(tmp_path: Path) -> ConfigHouse:
    """v3 serves; applications read who gets which share in config 1."""
    made = config_house(tmp_path, SPLIT, traffic_in=True)
    session = made.session()
    first(session)
    assert deployed(session, "3").done
    return made


# One change.


def test_a_deployment_carries_model_config_and_traffic_and_goes_back_as_one(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6}, reason="v4 scores higher in pl")
    outcome = deployed(session, "4", 2500, config=DOC)
    assert outcome.done, outcome.sentence
    live = session.backend.describe(NAME)
    assert live.traffic is not None
    assert (dict(live.traffic.split), house.live()["relevance"]["pl"]["threshold"]) == ({"v3": 7500, "v4": 2500}, 0.6)
    document = session.registry.live_release("staging", TARGET)
    assert document is not None
    assert document.release.by == "relevance#2"
    assert changing.run(session, planning.plan_revert(session, NAME)).done
    live = session.backend.describe(NAME)
    assert live.traffic is not None
    assert live.traffic.reaches("v3")
    assert not live.traffic.reaches("v4")
    assert house.text() == BODY


def test_the_plan_says_when_both_are_not_consistent_yet_and_what_goes_back(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    plan = planning.plan_deploy(session, NAME, "4", share=2500, config=DOC)
    assert any("config changes before traffic does" in note and "until all clients have polled" in note for note in plan.notes)
    roles = [step.role for step in plan.steps]
    assert roles.index("config") < roles.index("traffic")
    assert set(plan.scopes) == {session.backend.scope(NAME), session.backend.scope(TARGET)}


def test_the_declared_order_is_kept(tmp_path: Path) -> None:
    house = config_house(tmp_path, more="    order: after")
    session = house.session()
    first(session)
    assert deployed(session, "3").done
    configuring.edit(session, DOC, {PL: 0.6})
    plan = planning.plan_deploy(session, NAME, "4", share=2500, config=DOC)
    roles = [step.role for step in plan.steps]
    assert roles.index("traffic") < roles.index("config")
    assert changing.run(session, plan).done


def test_later_changes_of_others_to_the_document_stay_when_it_goes_back(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    assert deployed(session, "4", 2500, config=DOC).done
    assert edited(house.session(TOMEK), "/relevance/en/threshold", 0.4).done
    assert changing.run(session, planning.plan_revert(session, NAME)).done
    assert house.text() == BODY.replace("0.50", "0.4")


def test_where_others_changed_the_same_value_going_back_refuses_and_touches_nothing(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    assert deployed(session, "4", 2500, config=DOC).done
    assert edited(house.session(TOMEK), PL, 0.7).done
    with pytest.raises(ChangedOutside, match="relevance · pl · threshold"):
        planning.plan_revert(session, NAME)
    live = session.backend.describe(NAME)
    assert live.traffic is not None
    assert live.traffic.reaches("v4")


def test_what_an_endpoint_was_applied_with_is_no_part_of_what_it_is(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    assert deployed(session, "4", 2500, config=DOC).done
    assert edited(house.session(TOMEK), PL, 0.7).done
    assert changing.run(session, planning.plan_traffic(session, NAME, {"v4": 5000})).done  # it is not out of sync
    assert house.live()["relevance"]["pl"]["threshold"] == 0.7


@pytest.mark.parametrize("call", ["serving.start", "config.start", "traffic.start"])
@pytest.mark.parametrize("kind", [FaultKind.REFUSE, FaultKind.TIMEOUT_AFTER_EFFECT, FaultKind.THROTTLE, FaultKind.CONFLICT])
@pytest.mark.parametrize("when", list(When))
def test_whichever_step_fails_it_is_wholly_new_or_wholly_as_before(house: ConfigHouse, call: str, kind: FaultKind, when: When) -> None:
    session = house.session()
    before = session.backend.describe(NAME)
    configuring.edit(session, DOC, {PL: 0.6})
    plan = planning.plan_deploy(session, NAME, "4", share=2500, config=DOC)
    house.sim.world.inject(Fault(kind, on=call, times=1, when=when))
    try:
        outcome = changing.run(session, plan)
    except MLConsoleError:
        operation = session.registry.operation(plan.id)
        assert operation is not None
        outcome = changing.recover(house.session(TOMEK), operation)
    operation = session.registry.operation(plan.id)
    assert operation is not None
    assert operation.state.terminal
    live = session.backend.describe(NAME, document=DOC)
    wanted = plan.then if operation.state is OperationState.DONE else operation.revert_to
    assert differences(live, wanted) == (), outcome.sentence
    there = house.live()["relevance"]["pl"]["threshold"], bool(live.traffic and live.traffic.reaches("v4"))
    assert there in ((0.6, True), (0.48, False))
    assert session.backend.describe(NAME).traffic != before.traffic or there == (0.48, False)


def test_both_scopes_are_locked_while_it_runs(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    plan = planning.plan_deploy(session, NAME, "4", share=2500, config=DOC)
    taken = session.registry.take_leases("staging", [session.backend.scope(config_target(DOC))], TOMEK, "other", "publishing")
    with pytest.raises(MLConsoleError, match="tomek"):
        changing.run(session, plan)
    assert session.registry.leases("staging")[0].lease == taken[0]
    assert house.text() == BODY


# Traffic held in a document.


def test_sliders_write_the_document_and_its_other_values_stay(held: ConfigHouse) -> None:
    session = held.session()
    assert deployed(session, "4", 1000).done
    assert held.live()["relevance"]["de"]["split"] == {"v3": 90, "v4": 10}
    assert edited(held.session(TOMEK), PL, 0.6).done
    assert changing.run(session, planning.plan_traffic(session, NAME, {"v4": 2500})).done
    there = held.live()["relevance"]
    assert [there[name]["split"] for name in ("en", "de", "pl")] == [{"v3": 75, "v4": 25}] * 3
    assert there["pl"]["threshold"] == 0.6
    live = session.registry.live_release("staging", TARGET)
    assert live is not None
    assert live.release.by.startswith("relevance#")
    assert configuring.document(session, DOC).outside == ""


def test_a_slice_gets_a_split_of_its_own(held: ConfigHouse) -> None:
    session = held.session()
    assert deployed(session, "4").done
    assert changing.run(session, planning.plan_traffic(session, NAME, {"v4": 2000}, slice_value=("language", "de"))).done
    there = held.live()["relevance"]
    assert [there[name]["split"] for name in ("en", "de", "pl")] == [{"v3": 100, "v4": 0}, {"v3": 80, "v4": 20}, {"v3": 100, "v4": 0}]
    live = session.backend.describe(NAME)
    assert live.traffic is not None
    assert live.traffic.slice_split("language", "de") == {"v3": 8000, "v4": 2000}


def test_going_back_with_the_shares_leaves_the_rest_of_the_document(held: ConfigHouse) -> None:
    session = held.session()
    assert deployed(session, "4", 1000).done
    assert edited(held.session(TOMEK), PL, 0.6).done
    assert changing.run(session, planning.plan_revert(session, NAME)).done
    there = held.live()["relevance"]
    assert there["en"]["split"] == {"v3": 100}
    assert there["pl"]["threshold"] == 0.6


def test_going_back_with_the_document_leaves_the_shares(held: ConfigHouse) -> None:
    session = held.session()
    assert edited(held.session(TOMEK), PL, 0.6).done
    assert deployed(session, "4", 1000).done
    assert back(held.session(TOMEK)).done
    there = held.live()["relevance"]
    assert there["pl"] == {"endpoint": "relevance", "threshold": 0.48, "split": {"v3": 90, "v4": 10}}


def test_model_config_and_shares_go_in_one_publication(held: ConfigHouse) -> None:
    session = held.session()
    configuring.edit(session, DOC, {PL: 0.6})
    before, text = held.published().latest, held.text()
    assert deployed(session, "4", 1000, config=DOC).done
    assert held.published().latest == before + 1
    there = held.live()["relevance"]["pl"]
    assert (there["threshold"], there["split"]) == (0.6, {"v3": 90, "v4": 10})
    assert changing.run(session, planning.plan_revert(session, NAME)).done
    assert held.text() == text


def test_a_slice_that_the_document_does_not_know_is_refused(held: ConfigHouse) -> None:
    session = held.session()
    assert deployed(session, "4").done
    configuring.edit(session, DOC, {"/relevance/pl": configuring.REMOVE})
    assert publish(session, break_glass="pl is over").done
    plan = planning.plan_traffic(session, NAME, {"v4": 2000}, slice_value=("language", "pl"))
    outcome = changing.run(session, plan)
    assert not outcome.done
    assert "no entry for language pl" in outcome.sentence
