"""What somebody else's change makes of a rollout is told once, whether anybody drives it or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.conftest import TOMEK
from engine.kit import revert
from engine.rollout_kit import NAME, World, copied_world, once, reached, whole, world
from mlconsole.core.rollouts import RolloutState
from mlconsole.engine import changing, planning
from mlconsole.engine.conducting import Conductor
from mlconsole.plugin.errors import Conflict


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("announced")).house.root


@pytest.fixture
def made(_template: Path, tmp_path: Path) -> World:
    return copied_world(_template, tmp_path / "house")


def left(made: World) -> None:
    """A rollout that holds in its first stage, and whose driver is gone."""
    made.begin()
    made.happens.append(once(reached("waiting"), World.stop))
    made.drive(seconds=60)
    made.happens.clear()
    driver = made.house.session().registry.rollout_driver(made.rollout().id)
    assert driver is not None
    assert not driver.alive


def told(made: World) -> list[tuple[str, str]]:
    return [(row.notice.title, row.notice.severity) for row in made.notices()]


SUPERSEDED = ("STAGING relevance v4: the rollout is superseded", "info")
BACK = ("STAGING relevance v4 → going back to v3", "info")


def test_superseded_while_nobody_drives_it_people_are_told_at_once_and_once(made: World) -> None:
    left(made)
    before, rollout = told(made), made.rollout()
    session = made.house.session()
    plan = planning.plan_traffic(session, NAME, {"v3": 7000, "v4": 3000})
    with pytest.raises(Conflict):  # one that does not begin tells nobody
        changing.run(session, plan, supersedes="another")
    assert told(made) == before
    assert changing.run(session, plan, supersedes=rollout.id).done
    assert made.rollout().state is RolloutState.SUPERSEDED
    assert told(made) == [*before, SUPERSEDED]
    row = made.notices()[-1]
    assert row.channel == "ops"
    assert row.notice.lines[0] == f"superseded by anna@bastion-1: traffic (change {plan.id})"
    with pytest.raises(Conflict, match="is over"):
        Conductor(made.session(who=TOMEK), rollout.id).run()
    # A driver of an older program tells it under the same name: it is there already.
    assert not session.registry.enqueue("staging", f"rollout:{rollout.id}:superseded:{plan.id}", "ops", row.notice)
    assert told(made) == [*before, SUPERSEDED]


def test_taken_back_while_nobody_drives_it_people_are_told_at_once_and_once(made: World) -> None:
    left(made)
    before = told(made)
    assert revert(made.house.session(), to=1).done
    assert made.rollout().state is RolloutState.GOING_BACK
    assert told(made) == [*before, BACK]
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert [one for one in told(made) if one == BACK] == [BACK]
    assert told(made)[-1][1] == "recovered"
    whole(made)
