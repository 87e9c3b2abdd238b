"""Any change after any other, with anything going wrong: after each of them nothing is between (invariant 2)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from engine.conftest import House
from engine.kit import NAME, deploy, told, whole
from mlconsole.core.errors import MLConsoleError
from mlconsole.core.plans import Plan
from mlconsole.core.traffic import Shadow
from mlconsole.engine import changing, planning
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import StillRunning, UsageError
from mlconsole.plugin.simulator import Fault, FaultKind

KINDS = [
    FaultKind.SILENT_ROLLBACK,
    FaultKind.STUCK,
    FaultKind.FAIL_VARIANT,
    FaultKind.WRONG_BYTES,
    FaultKind.LATE_READ,
    FaultKind.THROTTLE,
    FaultKind.CONFLICT,
    FaultKind.REFUSE,
    FaultKind.AUTH,
    FaultKind.TIMEOUT_BEFORE_EFFECT,
    FaultKind.TIMEOUT_AFTER_EFFECT,
]


def anything(session: Session, chance: random.Random) -> Plan:
    """Some plan that makes sense just now.

    Raises:
        UsageError: this one does not.
    """
    name, share = chance.choice(["v3", "v4", "v5"]), chance.choice([0, 1000, 5000, 10_000])
    match chance.randrange(6):
        case 0:
            return planning.plan_deploy(session, NAME, name[1:], share=chance.choice([None, share]))
        case 1:
            return planning.plan_traffic(session, NAME, {name: share})
        case 2:
            return planning.plan_traffic(session, NAME, {name: 10_000}, slice_value=("language", chance.choice(["de", "pl"])))
        case 3:
            return planning.plan_traffic(session, NAME, {}, shadow=Shadow(name, 2000), end_shadow=chance.random() < 0.3)
        case 4:
            return planning.plan_remove(session, NAME, name)
        case _:
            stood = [number for number, _, standing, _ in told(session) if standing in ("past", "live", "reverted")]
            return planning.plan_revert(session, NAME, to=chance.choice(stood))


@pytest.mark.parametrize("shape", ["separate", "staged", "combined"])
@pytest.mark.parametrize("seed", range(1))
def test_anything(make_house: Callable[..., House], shape: str, seed: int) -> None:
    chance = random.Random(f"{shape} {seed}")
    house = make_house(shape)
    house.register("3", "4", "5")
    session = house.session(deadline=90.0)
    assert deploy(session, "3").done
    changes = 0
    while changes < 6:
        try:
            plan = anything(session, chance)
        except UsageError:
            continue
        if plan.nothing_to_do:
            continue
        changes += 1
        kind = chance.choice(KINDS)
        fault = Fault(kind, on="*.start", after=chance.randrange(2), times=chance.choice([1, 2]), seconds=2.0, reason="so")
        house.sim.world.inject(fault)
        try:
            changing.run(session, plan)
        except StillRunning:
            house.sim.world.clear_faults()
            house.sim.world.unstick(NAME)
            changing.recover(session, session.registry.unfinished("staging")[0])
        except MLConsoleError as error:  # pragma: no cover
            pytest.fail(f"{plan.command} with {fault}: {error}")
        house.sim.world.clear_faults()
        whole(house, plan.id)
