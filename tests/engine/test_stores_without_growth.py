"""A store that publishes to all clients or none: a config document's rollout is one stage with guards; a named policy is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config_kit import BODY, DOC, ConfigHouse, config_house, edited, first
from engine.test_growing import PL, Consumers, begun, driven
from mlconsole.core.rollouts import RolloutState
from mlconsole.engine import changing, configuring, planning
from mlconsole.engine.growing import plan_config_rollout
from mlconsole.plugin.errors import UsageError

_NOTE = "this store can't hold a share of the clients: all of them get it in one stage, which guards watch from then on"


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    made = config_house(tmp_path, config_growth="false", config_seconds=90)
    session = made.session()
    first(session)
    assert changing.run(session, planning.plan_deploy(session, "relevance", "3")).done
    return made


def test_it_is_one_stage_and_the_plan_says_so(house: ConfigHouse) -> None:
    Consumers(house).usual()
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    plan = plan_config_rollout(session, DOC, attended=True)
    assert plan.path == "100 % → bake 20 s"
    assert _NOTE in plan.notes
    assert "--policy" not in plan.command, "the line would be refused"
    # The publication itself takes its time, and clients poll after it.
    assert plan.times[0].seconds is not None
    assert plan.times[0].seconds >= 90 + 5 + 20


def test_a_policy_that_is_named_is_refused_with_what_to_do(house: ConfigHouse) -> None:
    """Whoever names one wants its first stage to be small: it is not made the whole in silence."""
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.6})
    with pytest.raises(UsageError, match="published to all clients at once here; the policy short wants 20 %") as caught:
        plan_config_rollout(session, DOC, policy="short", attended=True)
    assert "--at-once" in caught.value.next
    assert edited(session, PL, 0.6).done


def test_it_bakes_and_stands(house: ConfigHouse) -> None:
    consumers = Consumers(house)
    consumers.usual()
    ended = driven(house, consumers, begun(house))
    assert ended.state is RolloutState.DONE, ended.why
    assert house.text() == BODY.replace("0.48", "0.6")
    assert set(consumers.shares) == {10_000}


def test_errors_take_it_back_by_itself(house: ConfigHouse) -> None:
    consumers = Consumers(house)
    consumers.usual()
    rollout = begun(house)

    def breaks(one: Consumers) -> None:
        one.failing = 0.5 if one.house.published().version == 2 else 0.0

    consumers.acts.append(breaks)
    ended = driven(house, consumers, rollout)
    assert ended.state is RolloutState.REVERTED
    assert "errors" in ended.why
    assert house.text() == BODY


def test_where_shares_can_be_held_nothing_is_said_of_it(tmp_path: Path) -> None:
    house = config_house(tmp_path)
    first(house.session())
    configuring.edit(house.session(), DOC, {PL: 0.6})
    plan = plan_config_rollout(house.session(), DOC, attended=True)
    assert plan.path == "20 % → 100 % → bake 20 s"
    assert _NOTE not in plan.notes
