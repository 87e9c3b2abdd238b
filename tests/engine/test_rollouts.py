"""Rollouts, driven whole on the simulator: forward only by an explicit pass, back by themselves, safe when their driver is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.rollout_kit import World, once, reached, whole, world
from mlconsole.core.rollouts import RolloutState


@pytest.fixture
def made(tmp_path: Path) -> World:
    return world(tmp_path)


def test_a_good_version_goes_through_all_stages(made: World) -> None:
    made.begin()
    ended = made.drive()
    assert ended is not None
    assert ended.state is RolloutState.DONE, made.events()
    assert made.kinds_of_releases() == [("traffic", 10.0), ("traffic", 50.0), ("traffic", 100.0)]
    whole(made)
