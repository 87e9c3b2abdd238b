"""Corners of deploying and observing that a person runs into on a bad day."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlconsole.core.live import VariantState
from mlconsole.core.traffic import Traffic
from mlconsole.engine import changing
from mlconsole.engine.endpoints import adopt
from mlconsole.engine.planning import plan_deploy
from mlconsole.plugin.errors import UsageError
from mlconsole.plugin.simulator import Fault, FaultKind

from .conftest import House


@pytest.mark.parametrize("shape", ["separate", "staged", "combined"])
def test_a_version_that_stands_by_dead_is_brought_up_when_it_is_deployed_again(make_house: Callable[..., House], shape: str) -> None:
    """At 0 % nothing else would mend it, and "nothing to do" would be a lie."""
    house = make_house(shape=shape)
    house.register("3", "4")
    session = house.session()
    for version in ("3", "4"):
        assert changing.run(session, plan_deploy(session, "relevance", version)).done
    house.sim.world.change_outside("relevance", fail={"v4": "out of memory"})
    plan = plan_deploy(session, "relevance", "4")
    assert not plan.nothing_to_do
    assert changing.run(session, plan).done
    assert {there.name: there.state for there in house.sim.world.live("relevance").variants} == dict.fromkeys(
        ("v3", "v4"), VariantState.READY
    )


def test_an_endpoint_name_that_the_backend_cannot_take_is_wrong_usage(house: House) -> None:
    with pytest.raises(UsageError, match="can't take 'under_score'"):
        plan_deploy(house.session(), "relevance", "3", endpoint="under_score")


def test_what_is_observed_is_counted_from_the_adoption_of_a_foreign_split(house: House) -> None:
    """Requests under the split before would be told as if the kept one had gone wrong."""
    session = house.session()
    for version in ("3", "4"):
        assert changing.run(session, plan_deploy(session, "relevance", version)).done
    before = session.registry.traffic_since("staging", "relevance")
    house.clock.advance(100)
    house.sim.world.change_outside("relevance", traffic=Traffic({"v3": 5000, "v4": 5000}))
    house.clock.advance(100)
    adopt(session, "relevance")
    after = session.registry.traffic_since("staging", "relevance")
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() >= 200


def test_a_change_that_takes_longer_than_it_was_given_goes_back(house: House) -> None:
    """`--timeout` bounds the whole change, not each of its steps; what had been created is removed."""
    session = house.session()
    assert changing.run(session, plan_deploy(session, "relevance", "3")).done
    house.sim.world.inject(Fault(FaultKind.STUCK, on="serving.start"))
    session.limit = 5.0
    began = house.clock.elapsed()
    outcome = changing.run(session, plan_deploy(session, "relevance", "4"))
    assert not outcome.done
    assert outcome.exit_code == 1
    assert "did not come to stand within 5 s" in outcome.sentence
    assert house.clock.elapsed() - began < 60
    assert [there.name for there in house.sim.world.live("relevance").variants] == ["v3"]
