"""Rollouts when the clock is set, and when what the stable variant did is long ago: they are measured again, and come to their end."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.rollout_kit import World, once, reached, whole, world
from mlconsole.core.rollouts import RolloutState
from mlconsole.plugin.simulator import ManualClock


@pytest.fixture
def made(tmp_path: Path) -> World:
    """A world that was watched, and asked, for longer than an hour."""
    made = world(tmp_path)
    watch = made.house.watch()
    watch.look()
    made.house.passes(5400)
    made.house.serve(5400, 1.0, slices=made.slices)
    made.usual()
    watch.look()
    return made


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
@pytest.mark.parametrize("share", [50, 100])
def test_a_clock_that_is_set_holds_no_rollout_up(made: World, seconds: float, share: int) -> None:
    """The stage is measured again, beside what the stable variant did when it answered last."""

    def jump(one: World) -> None:
        assert isinstance(one.house.clock, ManualClock)
        one.house.clock.jump(seconds)

    made.begin(policy="quick")
    made.happens.append(once(reached("waiting", share), jump))
    ended = made.drive(seconds=600)
    assert ended is not None
    assert ended.state is RolloutState.DONE, made.events()
    assert ("measured again" in made.kinds()) == (seconds < 0)
    whole(made)


def test_a_bake_that_is_taken_up_hours_later_still_knows_the_stable_variant(made: World) -> None:
    made.begin(policy="quick")
    made.happens.append(once(reached("baking"), lambda one: one.stop()))
    left = made.drive()
    assert left is not None
    assert left.state is RolloutState.BAKING
    made.house.passes(3 * 3600)
    later = World(made.house)
    later.usual()
    ended = later.drive(seconds=600)
    assert ended is not None
    assert ended.state is RolloutState.DONE, later.events()
    whole(later)
