"""What model versions declare to work with: a pair that is known not to work is refused, forward and back, with the nearest that does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.config_kit import DOC, ConfigHouse, back, config_house, edited, first, publish
from mlconsole.engine import changing, configuring, planning
from mlconsole.plugin.errors import NotAllowed
from mlconsole.plugin.simulator import simulated_version

NAME = "relevance"
PL = "/relevance/pl/threshold"


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    """v3 serves beside config 1; v6 works with config 2 and later, v7 with config 1 only, v8 with a code that nobody knows of."""
    made = config_house(tmp_path)
    session = made.session()
    declared = {"6": {"config": {DOC: ">=2"}}, "7": {"config": {DOC: "1"}}, "8": {"code": ["4f2c91a"]}}
    for version, works in declared.items():
        session.registry.add_version(replace(simulated_version(NAME, version), works_with=works))
    first(session)
    assert changing.run(session, planning.plan_deploy(session, NAME, "3")).done
    return made


def test_a_version_that_does_not_work_with_what_is_published_is_refused_with_the_nearest_that_does(house: ConfigHouse) -> None:
    session = house.session()
    with pytest.raises(NotAllowed, match=r"relevance@6 does not work with config models 1: it declares >=2") as caught:
        planning.plan_deploy(session, NAME, "6", share=1000)
    assert "relevance@7 works with what is live" in caught.value.next
    assert changing.run(session, planning.plan_deploy(session, NAME, "6")).done  # it stands by, and gets no request
    with pytest.raises(NotAllowed, match="does not work with"):
        planning.plan_traffic(session, NAME, {"v6": 1000})


def test_a_publication_beside_which_what_serves_does_not_work_is_refused(house: ConfigHouse) -> None:
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, NAME, "7", share=1000)).done
    with pytest.raises(NotAllowed, match="relevance@7 does not work with config models 2"):
        edited(session, PL, 0.6)
    assert publish(session, break_glass="v7 goes away tonight").done
    live = session.registry.live_release("staging", "config:models")
    assert live is not None
    assert "works with (v7)" in live.release.skipped_gates


def test_model_and_config_go_together_where_they_need_each_other(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    assert changing.run(session, planning.plan_deploy(session, NAME, "6", share=1000, config=DOC)).done


def test_going_back_into_such_a_pair_is_refused_too(house: ConfigHouse) -> None:
    session = house.session()
    assert edited(session, PL, 0.6).done
    assert changing.run(session, planning.plan_deploy(session, NAME, "6", share=1000)).done
    with pytest.raises(NotAllowed, match="relevance@6 does not work with config models 1") as caught:
        back(session)
    assert "config models 2 works with it" in caught.value.next


def test_what_is_not_known_is_said_and_refuses_nothing(house: ConfigHouse) -> None:
    plan = planning.plan_deploy(house.session(), NAME, "8", share=1000)
    assert any("which code runs is not known" in note for note in plan.notes)
