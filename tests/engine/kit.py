"""What the engine's tests share: changes in one word, and the questions that must be answered well after each of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlconsole.core.live import Live, Transition, VariantState, differences
from mlconsole.core.operations import Operation, OperationState, StepRecord, StepState
from mlconsole.core.plans import Plan
from mlconsole.core.releases import NOTHING, Content, Standing, describe_content
from mlconsole.core.traffic import Shadow
from mlconsole.engine import changing, planning
from mlconsole.engine.holding import Stop
from mlconsole.engine.session import Session
from mlconsole.engine.views import Outcome

if TYPE_CHECKING:
    from engine.conftest import House

NAME = "relevance"


def deploy(session: Session, version: str, share: int | None = None, **how: object) -> Outcome:
    return changing.run(session, planning.plan_deploy(session, NAME, version, share=share, **how))  # type: ignore[arg-type]


def shift(session: Session, **shares: int) -> Outcome:
    return changing.run(session, planning.plan_traffic(session, NAME, shares))


def shadow(session: Session, variant: str, sample: int) -> Outcome:
    return changing.run(session, planning.plan_traffic(session, NAME, {}, shadow=Shadow(variant, sample)))


def revert(session: Session, to: int | None = None) -> Outcome:
    return changing.run(session, planning.plan_revert(session, NAME, to=to))


def remove(session: Session, variant: str) -> Outcome:
    return changing.run(session, planning.plan_remove(session, NAME, variant))


PLANS: dict[str, Callable[[Session], Plan]] = {
    "deploy": lambda session: planning.plan_deploy(session, NAME, "5", share=1000),
    "shift": lambda session: planning.plan_traffic(session, NAME, {"v4": 2500}),
    "shadow": lambda session: planning.plan_traffic(session, NAME, {"v4": 0}, shadow=Shadow("v4", 2000)),
    "revert": lambda session: planning.plan_revert(session, NAME),
    "remove": lambda session: planning.plan_remove(session, NAME, "v4"),
}
"""The five changes, each from the state that `ready_for` makes."""


def ready_for(change: str, session: Session) -> None:
    """#1 v3 alone; #2 v4 beside it, with 10 % except where it is to be removed."""
    assert deploy(session, "3").done
    assert deploy(session, "4", None if change == "remove" else 1000).done


def told(session: Session) -> list[tuple[int, str, str, str]]:
    """Every release, oldest first: number, kind, standing, content."""
    recorded = session.registry.releases(session.environment.name, NAME)
    return [
        (one.release.number, str(one.release.kind), str(one.standing), describe_content(one.release.content)) for one in reversed(recorded)
    ]


def lines(session: Session, outcome: Outcome) -> list[StepRecord]:
    return session.registry.steps(outcome.operation.id)


def stands(house: House, content: Content, environment: str = "staging") -> None:
    """The backend really is as `content` says, at rest, nothing left over (traps 1 and 16)."""
    live: Live = house.sims[environment].world.live(NAME)
    assert differences(live, content) == ()
    assert live.transition is not Transition.IN_PROGRESS
    assert {variant.name for variant in live.variants} == set(content.names)


def whole(house: House, operation: Operation | str, environment: str = "staging") -> Operation:
    """After a change nothing is between (invariant 2): it is at its end, wholly new or wholly in the stored revert target, the history has
    no hole, every step is closed, nobody holds a lock.
    """
    session = house.session(environment=environment)
    registry = session.registry
    ended = registry.operation(operation if isinstance(operation, str) else operation.id)
    assert ended is not None
    assert ended.state.terminal
    assert ended.ended is not None
    done = ended.state is OperationState.DONE
    stands(house, ended.plan.then if done else ended.revert_to, environment)
    recorded = registry.releases(environment, NAME)
    assert [one.release.number for one in reversed(recorded)] == list(range(1, len(recorded) + 1)), "a release is lost"
    assert Standing.PENDING not in {one.standing for one in recorded}
    live = registry.live_release(environment, NAME)
    if live is None:
        assert ended.revert_to == NOTHING
    else:
        assert live.release.number == (ended.release if done else ended.revert_to_release)
    assert [one.standing for one in recorded].count(Standing.LIVE) == (0 if live is None else 1)
    mine = registry.release(environment, NAME, ended.release)
    assert mine is not None
    assert mine.standing is (Standing.LIVE if done else Standing.FAILED)
    for record in registry.steps(ended.id):
        assert record.state is not StepState.INTENDED, record
        assert record.ended is not None
    assert registry.leases(environment) == []
    assert registry.unfinished(environment) == []
    session.registry.close()
    return ended


class Running:
    """A change in a thread of its own, in a session of its own, as another console would run it."""

    def __init__(self, session: Session, plan: Plan, stop: Stop | None = None) -> None:
        self.session, self.plan, self.stop = session, plan, stop or Stop()
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = changing.run(self.session, self.plan, stop=self.stop)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def join(self, seconds: float = 20.0) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the driver does not end"


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait for a condition, not for a time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.005)


def ready(house: House, variant: str) -> bool:
    there = house.sim.world.live(NAME).variant(variant)
    return there is not None and there.state is VariantState.READY
