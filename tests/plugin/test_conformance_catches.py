"""The conformance suite can fail: each of these simulators is broken in one way, and one check sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlconsole.core.live import Live, Transition, VariantState
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step
from mlconsole.core.traffic import WHOLE
from mlconsole.plugin.conformance import Bench, Driver, ServingConformance
from mlconsole.plugin.roles import Answer, Invocation, Limits, Order, Page, TrafficReport
from mlconsole.plugin.simulator import (
    Fault,
    FaultKind,
    Settings,
    Shape,
    Simulated,
    SimulatedPredictions,
    SimulatedServing,
    SimulatedTraffic,
    World,
    simulated,
)
from plugin.test_conformance_simulator import ENDPOINT, bench_of

Suite = ServingConformance


def newest(world: World, order: Order) -> Order:
    with world.section() as state:
        return replace(order, fence=max([order.fence, *state.fences.values()]))


class IgnoresFence(SimulatedServing):
    def start(self, endpoint: str, step: Step, order: Order) -> None:
        super().start(endpoint, step, newest(self.world, order))


class IgnoresFenceInTraffic(SimulatedTraffic):
    def start(self, endpoint: str, step: Step, order: Order) -> None:
        super().start(endpoint, step, newest(self.world, order))


class LeavesShadow(SimulatedTraffic):
    def start(self, endpoint: str, step: Step, order: Order) -> None:
        now = self.world.live(endpoint).traffic
        if step.traffic is not None and step.traffic.shadow is None and now is not None:
            step = replace(step, traffic=replace(step.traffic, shadow=now.shadow))
        super().start(endpoint, step, order)


class HidesShadow(LeavesShadow):
    """As before, and doesn't even say so."""

    ended = False

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        self.ended = step.traffic is not None and step.traffic.shadow is None
        super().start(endpoint, step, order)

    def report(self, endpoint: str) -> TrafficReport:
        told = super().report(endpoint)
        return replace(told, traffic=replace(told.traffic, shadow=None)) if told.traffic and self.ended else told


class LeavesSlice(SimulatedTraffic):
    def start(self, endpoint: str, step: Step, order: Order) -> None:
        now = self.world.live(endpoint).traffic
        if step.traffic is not None and now is not None and not step.traffic.by_slice:
            step = replace(step, traffic=replace(step.traffic, by_slice=now.by_slice))
        super().start(endpoint, step, order)


class Rounds(SimulatedTraffic):
    def limits(self) -> Limits:
        return replace(super().limits(), share_granularity=100)


class KnowsNoDigest(SimulatedServing):
    def describe(self, endpoint: str) -> Live:
        live = super().describe(endpoint)
        return replace(live, variants=tuple(replace(variant, digest=None) for variant in live.variants))


class SaysReady(SimulatedServing):
    def describe(self, endpoint: str) -> Live:
        live = super().describe(endpoint)
        return replace(live, variants=tuple(replace(variant, state=VariantState.READY) for variant in live.variants))


class GivesNoReason(SimulatedServing):
    def describe(self, endpoint: str) -> Live:
        live = super().describe(endpoint)
        return replace(live, variants=tuple(replace(variant, reason="") for variant in live.variants))


class ForgetsTheEndpoint(SimulatedServing):
    def describe(self, endpoint: str) -> Live:
        live = super().describe(endpoint)
        if not live.exists:
            raise KeyError(endpoint)
        return live


class StillLists(SimulatedServing):
    def list(self) -> Sequence[str]:
        return (*super().list(), *({ENDPOINT} if self.world.started() else ()))


class UsesTheStandby(SimulatedServing):
    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        names = [each.name for each in self.world.live(endpoint).variants]
        return super().invoke(endpoint, request, variant or (names[-1] if names else None), probe=probe)


class AnswersWithNothing(SimulatedServing):
    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        return Answer(404, {}, None, 1.0) if variant else super().invoke(endpoint, request)


class Waits(SimulatedServing):
    def start(self, endpoint: str, step: Step, order: Order) -> None:
        super().start(endpoint, step, order)
        self.world.clock.sleep(step.seconds)


class StartsAnew(SimulatedServing):
    def start(self, endpoint: str, step: Step, order: Order) -> None:
        super().start(endpoint, step, order)
        live = self.world.live(endpoint)
        again = [each for each in step.ensures if (there := live.variant(each.name)) and there.state is VariantState.READY]
        self.world.change_outside(endpoint, add=again)


class Asks(SimulatedServing):
    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        return super().steps(self.describe(live.endpoint), target)


class NeverDone(SimulatedServing):
    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        return super().steps(Live(live.endpoint), target)


class PromisesNothing(SimulatedServing):
    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        return [replace(step, ensures=(), removes=()) for step in super().steps(live, target)]


class TakesAnyName(SimulatedServing):
    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        return SimulatedServing(self.world, replace(self.settings, variant_name=r"(?s).*")).steps(live, target)


class MendsTheIll(SimulatedServing):
    """Wants every variant ready, whoever needs it."""

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        missing = [replace(each, state=VariantState.CREATING) if each.state is VariantState.FAILED else each for each in live.variants]
        return super().steps(replace(live, variants=tuple(missing)), target)


class ReadsTwice(SimulatedPredictions):
    def read(self, cursor: str, limit: int = 10_000) -> Page:
        page = super().read(cursor, limit)
        behind = super().read(cursor, len(page.observations) - 1).cursor if len(page.observations) > 1 else page.cursor
        return replace(page, cursor=behind)


class Loses(SimulatedPredictions):
    def read(self, cursor: str, limit: int = 10_000) -> Page:
        page = super().read(cursor, limit)
        return replace(page, observations=[each for each in page.observations if each.status < 400])


class Blurs(SimulatedPredictions):
    """Gives each observation some fields that are not so."""

    def __init__(self, world: World, wrong: dict[str, Any]) -> None:
        super().__init__(world)
        self.wrong = wrong

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        page = super().read(cursor, limit)
        return replace(page, observations=[replace(each, **self.wrong) for each in page.observations])


Break = Callable[[Simulated, Bench], Bench]


def serving(kind: type[SimulatedServing]) -> Break:
    return lambda sim, bench: replace(bench, serving=kind(sim.world, sim.serving.settings))


def traffic(kind: type[SimulatedTraffic]) -> Break:
    return lambda sim, bench: replace(bench, traffic=kind(sim.world, sim.serving.settings))


def predictions(**wrong: object) -> Break:
    return lambda sim, bench: replace(bench, predictions=Blurs(sim.world, wrong))


def fault(kind: FaultKind, on: str = "*.start") -> Break:
    def broken(sim: Simulated, bench: Bench) -> Bench:
        sim.world.inject(Fault(kind, on, times=None))
        return bench

    return broken


def skewed(sim: Simulated, bench: Bench) -> Bench:
    class Skews(SimulatedTraffic):
        def start(self, endpoint: str, step: Step, order: Order) -> None:
            super().start(endpoint, step, order)
            self.world.skew(endpoint, {"v1": WHOLE})

    return replace(bench, traffic=Skews(sim.world, sim.serving.settings))


BROKEN: list[tuple[str, Break, Callable[[Suite, Driver], None]]] = [
    ("silent rollback", fault(FaultKind.SILENT_ROLLBACK), Suite.test_a_created_endpoint_runs_the_bytes_that_were_asked_for),
    ("stuck", fault(FaultKind.STUCK), Suite.test_a_created_endpoint_runs_the_bytes_that_were_asked_for),
    ("wrong bytes", fault(FaultKind.WRONG_BYTES), Suite.test_a_created_endpoint_runs_the_bytes_that_were_asked_for),
    ("unknown bytes", serving(KnowsNoDigest), Suite.test_a_created_endpoint_runs_the_bytes_that_were_asked_for),
    ("wrong bytes in a swap", fault(FaultKind.WRONG_BYTES), Suite.test_the_same_name_with_other_bytes_is_another_variant),
    ("ignores the fence", serving(IgnoresFence), Suite.test_an_old_fence_token_changes_nothing),
    ("ignores the fence in traffic", traffic(IgnoresFenceInTraffic), Suite.test_an_old_fence_token_changes_nothing),
    ("leaves the shadow", traffic(LeavesShadow), Suite.test_a_shadow_is_set_moved_and_removed),
    ("hides the shadow it leaves", traffic(HidesShadow), Suite.test_a_shadow_that_was_ended_gets_no_copies),
    ("leaves a slice", traffic(LeavesSlice), Suite.test_a_slice_has_a_split_of_its_own_and_loses_it_again),
    ("rounds shares in silence", traffic(Rounds), Suite.test_shares_between_two_steps_are_refused_by_steps),
    ("splits otherwise than it says", skewed, Suite.test_both_halves_of_a_split_are_reached),
    ("raises a KeyError", serving(ForgetsTheEndpoint), Suite.test_an_endpoint_that_does_not_exist_is_described_as_nothing),
    ("lists what is gone", serving(StillLists), Suite.test_deleting_leaves_nothing),
    ("says ready too soon", serving(SaysReady), Suite.test_a_variant_that_cannot_come_up_says_why_and_harms_nobody),
    ("fails without a reason", serving(GivesNoReason), Suite.test_a_variant_that_cannot_come_up_says_why_and_harms_nobody),
    ("sends consumers to the standby", serving(UsesTheStandby), Suite.test_a_variant_at_zero_stands_by_and_is_reached_only_by_name),
    ("can't be asked by name", serving(AnswersWithNothing), Suite.test_a_variant_at_zero_stands_by_and_is_reached_only_by_name),
    ("waits in start", serving(Waits), Suite.test_start_returns_before_the_transition_is_over),
    ("starts anew", serving(StartsAnew), Suite.test_starting_a_step_twice_is_harmless),
    ("calls in steps", serving(Asks), Suite.test_steps_are_worked_out_without_any_call),
    ("is never done", serving(NeverDone), Suite.test_a_created_endpoint_runs_the_bytes_that_were_asked_for),
    ("promises nothing", serving(PromisesNothing), Suite.test_steps_say_what_will_be_true_after_them),
    ("takes any name", serving(TakesAnyName), Suite.test_what_the_limits_exclude_is_refused_by_steps),
    ("mends the ill first", serving(MendsTheIll), Suite.test_steps_leave_an_ill_standby_alone),
    (
        "reads twice",
        lambda sim, bench: replace(bench, predictions=ReadsTwice(sim.world)),
        Suite.test_each_observation_is_read_exactly_once,
    ),
    ("loses failures", lambda sim, bench: replace(bench, predictions=Loses(sim.world)), Suite.test_a_failed_request_is_an_observation),
    ("no observations", fault(FaultKind.EMPTY, "predictions.read"), Suite.test_each_observation_is_read_exactly_once),
    ("attributes to the stable one", predictions(variant="v1"), Suite.test_observations_are_attributed_to_who_answered),
    ("doesn't mark pinned requests", predictions(pinned=False), Suite.test_pinned_requests_and_probes_are_marked),
    ("doesn't mark probes", predictions(probe=False), Suite.test_pinned_requests_and_probes_are_marked),
    ("doesn't mark copies", predictions(shadow=False), Suite.test_a_shadows_copies_are_marked),
]


@pytest.mark.parametrize(("broken", "check"), [entry[1:] for entry in BROKEN], ids=[entry[0] for entry in BROKEN])
def test_a_broken_adapter_is_caught(broken: Break, check: Callable[[Suite, Driver], None], tmp_path: Path) -> None:
    sim = simulated(tmp_path)
    driver = Driver(broken(sim, bench_of(sim)))
    try:
        _run(check, driver)
    except (AssertionError, pytest.fail.Exception) as error:
        assert str(error), "caught, but without a word why"  # noqa: PT017 - its text is what is checked
        return
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"the check was skipped: {skipped}") from skipped
    raise AssertionError("the suite did not see it")


@pytest.mark.parametrize(
    "check", sorted({entry[2] for entry in BROKEN}, key=lambda check: check.__name__), ids=lambda check: check.__name__
)
def test_the_same_check_passes_on_a_sound_adapter(check: Callable[[Suite, Driver], None], tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    sim = simulated(tmp_path, **({"share_granularity": 100} if "between" in check.__name__ else {}))
    _run(check, Driver(bench_of(sim)))


def test_a_combined_backend_that_rolls_back_in_silence_is_caught(tmp_path: Path) -> None:
    """SageMaker's own: `InService`, and the old configuration (trap 1)."""
    sim = simulated(tmp_path, shape=Shape.COMBINED)
    driver = Driver(bench_of(sim))
    before = driver.reach(driver.content(WHOLE))
    sim.world.inject(Fault(FaultKind.SILENT_ROLLBACK, "UpdateEndpoint", times=None))
    with pytest.raises(AssertionError):
        driver.reach(driver.content(WHOLE // 2, WHOLE // 2))
    assert driver.live() == before


def test_a_combined_backend_that_says_settled_while_it_is_not_is_caught(tmp_path: Path) -> None:
    """It looks as if it were back already, and arrives at the other state a little later."""

    class AlwaysSettled(SimulatedServing):
        def describe(self, endpoint: str) -> Live:
            return replace(super().describe(endpoint), transition=Transition.SETTLED)

    sim = simulated(tmp_path, shape=Shape.COMBINED)
    bench = replace(bench_of(sim), serving=AlwaysSettled(sim.world, sim.serving.settings))
    with pytest.raises(AssertionError):
        Suite.test_going_back_while_it_is_under_way(Suite(), Driver(bench))


def test_a_bench_that_lacks_a_part_skips_its_checks(tmp_path: Path) -> None:
    sim = simulated(tmp_path)
    poor = replace(bench_of(sim), predictions=None, broken=None, refused=None, kill=None, fenced=False, versions=bench_of(sim).versions[:2])
    for check in (
        Suite.test_each_observation_is_read_exactly_once,
        Suite.test_a_variant_that_cannot_come_up_says_why_and_harms_nobody,
        Suite.test_a_request_that_the_model_refuses_is_an_answer,
        Suite.test_an_ill_standby_does_not_hold_the_way_forward,
        Suite.test_an_old_fence_token_changes_nothing,
        Suite.test_three_variants_share,
    ):
        with pytest.raises(pytest.skip.Exception):
            check(Suite(), Driver(poor))


def _run(check: Callable[[Suite, Driver], None], driver: Driver) -> None:
    if check is Suite.test_steps_are_worked_out_without_any_call:
        with pytest.MonkeyPatch.context() as patched:
            Suite.test_steps_are_worked_out_without_any_call(Suite(), driver, patched)
        return
    check(Suite(), driver)


def test_settings_have_a_default_for_everything() -> None:
    assert Settings().limits == Limits(slices=True, shadow=True)
