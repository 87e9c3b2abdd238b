"""How often a backend is asked while one waits: at first at once, then twice a second, and more and more calmly; never out of reach."""

from __future__ import annotations

from itertools import pairwise

from mlconsole.engine.patience import Patience, jittered
from mlconsole.plugin.simulator import ManualClock


def test_minutes_are_waited_for_calmly_and_control_is_read_each_second() -> None:
    clock = ManualClock()
    began = clock.elapsed()
    patience = Patience(clock, 600.0)
    looked = [began]
    polls: list[float] = []
    while clock.elapsed() - began < 420:  # an update of a SageMaker endpoint
        patience.rest(lambda: looked.append(clock.elapsed()))
        polls.append(clock.elapsed() - began)
        looked.append(clock.elapsed())
    early = [one for one in polls if one < 10]
    assert len(early) >= 20  # what is quick is seen quickly
    assert len(polls) < 300  # twice a second would be 840
    assert max(after - before for before, after in pairwise(looked)) <= 1.0  # invariant 5
    assert max(after - before for before, after in pairwise(polls)) < 3.0


def test_pollers_drift_apart() -> None:
    each = {jittered(2.0) for _ in range(50)}
    assert len(each) == 50
    assert all(1.8 <= one <= 2.2 for one in each)
