"""Metering on a simulated backend that counts itself: each figure once, whoever looks; health, guards and the split as of what it told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.conftest import ANNA, TOMEK
from engine.health_kit import HealthHouse, copied, due, health_house, only
from engine.kit import NAME, deploy
from engine.rollout_kit import POLICIES, World, copied_world, once, reached, watched
from mlconsole.core.figures import histogram, windows_of
from mlconsole.core.rollouts import RolloutState
from mlconsole.core.summaries import Summary, merged
from mlconsole.engine import endpoints, metering, rolloutplans
from mlconsole.engine.health import HealthWatch
from mlconsole.engine.health import look as look_once
from mlconsole.engine.ingesting import Ingest
from mlconsole.engine.metering import Metering
from mlconsole.engine.views import EndpointHealthView, HealthView
from mlconsole.engine.watching import Watch
from mlconsole.engine.weighing import Weighing
from mlconsole.plugin.measuring import Measured, MetricSample
from mlconsole.plugin.roles import Invocation
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind
from mlconsole.plugin.simulator.metrics import SimulatedMetrics

METRICS = ", variant_seconds: 0.05, traffic_seconds: 0.02, stop_seconds: 0.02"
CHANNEL = "    notify: {ops: {kind: told, file: ops.jsonl}}"
WORLD = {"language": {"en": 0.7, "de": 0.3}}
ENDPOINT = "  relevance: {model: relevance}\n  delays: {model: delay-risk}\n"


def bind(house: HealthHouse, *, predictions: bool = True, more: str = "") -> HealthHouse:
    """The same house, whose backend counts itself."""
    house.write(f"    metrics: simulator\n{CHANNEL}", endpoints=ENDPOINT, options=METRICS + more)
    if not predictions:
        text = (house.root / "mlconsole.yaml").read_text()
        before, after = text.split("    predictions: simulator\n", 1)
        (house.root / "mlconsole.yaml").write_text(before + after)
    return house


@pytest.fixture(scope="module")
def _usual(tmp_path_factory: pytest.TempPathFactory) -> HealthHouse:
    house = bind(health_house(tmp_path_factory.mktemp("metered")))
    house.usual(600)
    return house


@pytest.fixture
def house(_usual: HealthHouse, tmp_path: Path) -> HealthHouse:
    """Ten minutes of usual traffic, which the backend has counted and nobody has read."""
    return copied(_usual, tmp_path / "house")


def total(house: HealthHouse, variant: str = "v3", label: str = "") -> Summary:
    """All that the store has of a variant."""
    found = house.session().observations.windows("staging", 0)
    return merged(one.summary for one in found if one.key.variant == variant and one.key.slice == label and one.key.endpoint == NAME)


def asked(house: HealthHouse) -> list[str]:
    """The endpoints of each call of `samples`, in order."""
    return [one.endpoint for one in house.sim.world.calls if one.name == "metrics.samples"]


def counted(house: HealthHouse, until: datetime) -> int:
    """What a backend can have counted of complete minutes before that."""
    border = int(until.timestamp() // 60) * 60
    return sum(one.time.timestamp() < border for one in house.sim.world.observations() if one.endpoint == NAME and not one.shadow)


def lives(house: HealthHouse, seconds: float, watch: HealthWatch, *, rate: float = 5.0) -> HealthView:
    """Time passes, with traffic, and with a look each half minute; the last one."""
    for _ in range(int(seconds / 30)):
        house.passes(30)
        if rate:
            house.serve(30, rate)
        view = watch.look()
    return view


def there(view: HealthView | None) -> EndpointHealthView:
    assert view is not None
    found = view.endpoint(NAME)
    assert found is not None
    return found


# Figures as windows.


def test_windows_add_up_to_what_was_told() -> None:
    for n, failed, throttled in ((0, 0, 0), (1, 1, 0), (7, 2, 3), (600, 3, 30), (12_345, 12_000, 345)):
        windows = windows_of(600, 60.0, n, failed, throttled, {50: 20.0, 95: 80.0, 99: 400.0})
        whole = merged(windows.values())
        assert (whole.n, whole.failed, whole.throttled) == (n, failed, throttled)
        assert sum(whole.latency.values()) == n - failed - throttled
        for at, one in windows.items():
            assert one.failed + one.throttled <= one.n
            assert sum(one.latency.values()) == one.answered
            assert at <= one.first <= one.last < at + 10
        assert windows == windows_of(600, 60.0, n, failed, throttled, {50: 20.0, 95: 80.0, 99: 400.0})


def test_percentiles_are_found_again_to_the_width_of_a_bucket() -> None:
    told = {50.0: 20.0, 95.0: 80.0, 99.0: 400.0}
    for one in (merged(windows_of(0, 60.0, 6000, 0, 0, told).values()), windows_of(0, 60.0, 6000, 0, 0, told)[20]):
        for share, ms in told.items():
            quantile = one.quantile(share / 100)
            assert quantile is not None
            assert ms / 1.06 <= quantile <= ms * 1.06
    assert histogram(100, {}) == {}
    for odd in ({50.0: 0.0, 99.0: 0.0}, {95.0: 10.0}, {50.0: 30.0, 95.0: 20.0, 99.0: 20.0}, {100.0: 5.0}):
        assert sum(histogram(7, odd).values()) == 7
    assert histogram(7, {50.0: float("nan"), 95.0: -1.0, 200.0: 5.0}) == {}
    assert merged(windows_of(0, 60.0, 100, 0, 0, {}).values()).quantile(0.5) is None


def test_failures_that_are_told_late_are_no_new_requests() -> None:
    whole = merged([*windows_of(0, 60.0, 10, 0, 0, {}).values(), *windows_of(0, 60.0, 0, 4, 0, {}).values()])
    assert (whole.n, whole.failed) == (10, 4)


# Each figure once.


def test_each_figure_is_counted_once_by_whoever_looks(house: HealthHouse) -> None:
    """Two who read in turn, for ten minutes, with figures that are read again each time."""
    first, second = Metering(house.session()), Metering(house.session(TOMEK))
    for _ in range(30):
        house.passes(20)
        house.serve(20)
        first.run(None)
        second.run(None)
    until = house.clock.now() - timedelta(seconds=120)
    assert total(house).n == counted(house, until) > 5000
    assert first.trouble is None
    # As many as time passed minutes: the second found it read each time.
    assert len(asked(house)) == 11


def test_two_who_read_at_once_count_it_once(house: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = SimulatedMetrics.samples
    inside: list[bool] = []

    def slower(self: SimulatedMetrics, *args: object) -> Measured:
        found = samples(self, *args)  # type: ignore[arg-type]
        if not inside:
            inside.append(True)
            Metering(house.session(TOMEK)).run(None)  # between the reading and the writing of the first one
        return found

    monkeypatch.setattr(SimulatedMetrics, "samples", slower)
    Metering(house.session()).run(None)
    assert inside
    assert total(house).n == counted(house, house.clock.now() - timedelta(seconds=120))


def test_what_comes_late_is_counted_by_what_it_grew(house: HealthHouse) -> None:
    """A minute is told as half of it first."""
    reading = Metering(house.session())
    reading.run(None)
    before = total(house).n
    border = int((house.clock.now() - timedelta(seconds=120)).timestamp() // 60) * 60
    # The backend has had a part of the last two whole minutes only.
    late = house.clock.now().timestamp() + 60 - (border - 20)
    house.sim.world.inject(Fault(FaultKind.LATE_READ, on="metrics.samples", times=1, seconds=late))
    house.passes(60)
    reading.run(None)
    assert total(house).n == before, "nothing is known of what it has not got yet"
    for _ in range(3):
        house.passes(60)
        reading.run(None)
    assert total(house).n == counted(house, house.clock.now() - timedelta(seconds=120)) > before


def test_what_nobody_looks_at_is_asked_for_every_five_minutes(house: HealthHouse) -> None:
    reading = Metering(house.session())
    for _ in range(30):
        house.passes(20)
        reading.run(())
    assert 2 <= len(asked(house)) <= 3
    near = Metering(house.session())
    before = len(asked(house))
    for _ in range(15):
        house.passes(20)
        near.run({NAME})
    assert len(asked(house)) - before == 5


def test_the_rest_is_left_to_who_watches(house: HealthHouse) -> None:
    """A console beside a guardian reads what is in sight there, and nothing else."""
    Metering(house.session()).run((), only_near=True)
    assert asked(house) == []
    registry = house.session().registry
    registry.watch("staging", TOMEK, 1, every=1e6)
    beside = HealthWatch(house.session())
    beside.look()
    assert asked(house) == []
    beside.near = {NAME}
    beside.look()
    assert asked(house) == [NAME]


def test_who_was_away_for_long_catches_up(house: HealthHouse) -> None:
    reading = Metering(house.session())
    reading.run(None)
    house.passes(5 * 3600)
    house.serve(600)
    calls = len(asked(house))
    reading.run(None)
    assert not reading.caught_up
    reading.run(None)
    assert reading.caught_up
    assert len(asked(house)) - calls == 2
    assert total(house).n == counted(house, house.clock.now() - timedelta(seconds=120))


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT_BEFORE_EFFECT, FaultKind.AUTH, FaultKind.EMPTY])
def test_a_backend_that_does_not_tell_is_no_gap(house: HealthHouse, kind: FaultKind) -> None:
    house.sim.world.inject(Fault(kind, on="metrics.samples", times=1))
    reading = Metering(house.session())
    reading.run(None)
    assert total(house).n == 0
    assert (reading.trouble is not None) == (kind is not FaultKind.EMPTY)
    calls = len(asked(house))
    reading.run(None)
    assert len(asked(house)) == calls, "it is left in peace for a while"
    house.passes(60)
    reading.run(None)
    assert reading.trouble is None
    assert total(house).n == counted(house, house.clock.now() - timedelta(seconds=120))


def test_a_cursor_that_is_nobodys_counts_nothing_twice(house: HealthHouse) -> None:
    Metering(house.session()).run(None)
    before = total(house).n
    store = house.session().observations
    assert store.ingest("staging", "metrics", (), after=store.cursor("staging", "metrics"), cursor="another release's")
    reading = Metering(house.session())
    reading.run(None)
    for _ in range(8):
        house.passes(60)
        house.serve(60)
        reading.run(None)
    # What was counted before it was lost is not read again; everything since is.
    assert total(house).n == counted(house, house.clock.now() - timedelta(seconds=120)) > before
    assert any("read anew" in one.text for one in house.told)


def test_what_an_adapter_makes_up_is_not_counted(house: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    border = datetime.fromtimestamp(int((house.clock.now().timestamp() - 120) // 60) * 60, UTC)

    def samples(self: object, *_: object) -> Measured:
        made = [
            MetricSample(NAME, "v3", "", border - timedelta(seconds=60), 60.0, -5, 0),
            MetricSample(NAME, "v3", "", border - timedelta(seconds=45), 60.0, 100, 0),
            MetricSample(NAME, "v3", "", border + timedelta(seconds=60), 60.0, 100, 0),
            MetricSample(NAME, "other", "", border - timedelta(seconds=60), 60.0, 100, 0),
            MetricSample("nobody", "v3", "", border - timedelta(seconds=60), 60.0, 100, 0),
            MetricSample(NAME, "v3", "", border - timedelta(seconds=120), 60.0, 5, 9, 0, {95.0: 10.0}),
            MetricSample(NAME, "v3", "language=\x1b[31mde", border - timedelta(seconds=120), 60.0, 5, 1, 0),
        ]
        return Measured(made)

    monkeypatch.setattr(SimulatedMetrics, "samples", samples)
    Metering(house.session()).run(None)
    whole = total(house)
    assert (whole.n, whole.failed) == (9, 9)
    labels = house.session().observations.labels("staging", NAME)
    assert all("\x1b" not in value for values in labels.values() for value in values)


# A sample of predictions beside it.


def test_predictions_are_a_sample_where_the_backend_counts(house: HealthHouse) -> None:
    """The same requests, told by both: counted once, and scores, samples and slices are still there."""
    Ingest(house.session()).run(None)
    whole = total(house)
    assert whole.n == counted(house, house.clock.now() - timedelta(seconds=120))
    assert whole.scored == sum(not one.probe for one in house.sim.world.observations())
    assert whole.sample
    assert sum(whole.latency.values()) == whole.n
    german = total(house, label="language=de")
    assert (german.n, german.failed, german.latency) == (0, 0, {})
    assert german.scored > 100
    rows = list(house.session().observations.rows("staging", NAME, 0, 1 << 40))
    assert len(rows) == whole.scored


def test_identical_outputs_of_one_slice_are_found_in_a_sample(house: HealthHouse) -> None:
    watch = house.watch()
    watch.near = None
    assert there(lives(house, 240, watch)).verdict == "pass"
    house.behaves("3", constant=0.5)
    view = lives(house, 600, watch)
    found = only(view)
    assert found.question == "identical"
    assert "language=de" in {name for one in found.findings for name in one.slices} or found.title == "ALL PREDICTIONS IDENTICAL"


# Health.


def test_usual_figures_are_well_though_they_are_late(house: HealthHouse) -> None:
    watch = house.watch()
    watch.near = None
    view = lives(house, 600, watch)
    one = there(view)
    assert one.verdict == "pass", one
    assert view is not None
    assert view.trouble == ""
    assert one.figures.errors == 0
    assert one.figures.rate == pytest.approx(5.0, rel=0.2)
    assert due(house) == []


def test_without_predictions_errors_and_latency_are_judged_and_identical_is_not_known(house: HealthHouse) -> None:
    bind(house, predictions=False)
    watch = house.watch()
    watch.near = None
    one = there(lives(house, 300, watch))
    verdicts = {answer.question: answer.verdict for answer in one.answers if not answer.slice and not answer.variant}
    assert verdicts["errors"] == verdicts["latency"] == "pass"
    assert verdicts["identical"] in ("no_data", "inconclusive")
    assert one.verdict == "pass"


@pytest.mark.parametrize("by_slice", [False, True])
def test_errors_page_and_by_slice_only_where_they_are_counted_so(house: HealthHouse, by_slice: bool) -> None:
    bind(house, more=f", metrics_by_slice: {str(by_slice).lower()}")
    watch = house.watch()
    watch.near = None
    assert there(lives(house, 240, watch)).verdict == "pass"
    house.behaves("3", by_slice={"language=de": Behaviour(error_rate=1.0)})
    view = lives(house, 480, watch)
    found = only(view)
    assert found.question == "errors"
    assert found.title == ("errors in de" if by_slice else "errors")
    german = next((one for one in there(view).slices if one.slice == "language=de"), None)
    answers = [one for one in there(view).answers if one.question == "errors" and one.slice == "language=de"]
    if by_slice:
        assert answers[0].verdict == "fail"
    else:
        assert german is None or german.worst is None or german.worst.question != "errors" or german.worst.verdict != "pass"
        assert all(one.verdict == "no_data" for one in answers), "of a sample nobody knows how many failed"
    house.behaves("3")
    closed = lives(house, 900, watch)
    assert closed is not None
    assert closed.open_alarms == ()


def test_no_request_any_more_is_no_data_and_never_green(house: HealthHouse) -> None:
    bind(house, predictions=False)
    watch = house.watch()
    watch.near = None
    assert there(lives(house, 240, watch)).verdict == "pass"
    quiet = lives(house, 300, watch, rate=0)
    assert there(quiet).verdict == "no_data"


def test_figures_that_can_not_be_read_page_and_are_no_pass(house: HealthHouse) -> None:
    bind(house, predictions=False)
    watch = house.watch()
    watch.near = None
    assert there(lives(house, 240, watch)).verdict == "pass"
    house.sim.world.inject(Fault(FaultKind.AUTH, on="metrics.samples", times=None))
    view = lives(house, 300, watch)
    assert view is not None
    assert view.trouble.startswith("Metrics can't be read: ")
    assert only(view).title == "metrics can't be read"
    assert there(lives(house, 600, watch)).verdict == "no_data", "what is known is too old to say anything of now"
    house.sim.world.clear_faults()
    assert lives(house, 600, watch).open_alarms == ()


# The split.


def test_the_observed_split_is_what_the_backend_counted(house: HealthHouse) -> None:
    session = house.session()
    assert deploy(session, "4", 2500).done
    house.passes(300)
    house.serve(300, 20.0)
    house.passes(150)
    Ingest(house.session()).run(None)
    status = endpoints.overview(house.session(), window=600)
    variants = {one.name: one for one in status.endpoints[0].variants}
    assert variants["v4"].observed == pytest.approx(2500, abs=150)
    assert variants["v3"].observed_n > 3000
    snapshot = Watch(house.session()).take()
    view = snapshot.status.endpoints[0]
    assert {one.name: one.observed for one in view.variants} == {name: one.observed for name, one in variants.items()}
    assert view.recent_seconds == 60


def test_our_own_probes_are_nobodys_requests(house: HealthHouse) -> None:
    """A canary that only its guards ask must not get its evidence from them."""
    session = house.session()
    assert deploy(session, "4", 0).done
    house.passes(60)
    for number in range(40):
        session.backend.invoke(NAME, Invocation({"text": f"probe {number}"}), "v4", probe=True)
    session.backend.invoke(NAME, Invocation({"text": "somebody"}), "v4")
    house.passes(240)
    Metering(session).run(None)
    assert total(house, "v4").n == 1
    Metering(house.session()).run(None)
    for _ in range(3):
        house.passes(60)
        Metering(house.session(TOMEK)).run(None)  # who did not ask them does not count them either
    assert total(house, "v4").n == 1


# Rollouts.


@pytest.fixture(scope="module")
def _stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("metered world")
    house = bind(health_house(root))
    house.usual(300, rate=15.0, slices=WORLD)
    return root


@pytest.fixture
def made(_stage: Path, tmp_path: Path) -> World:
    world = copied_world(_stage, tmp_path / "world")
    world.rate = 15.0
    bind(world.house)
    with (world.house.root / "mlconsole.yaml").open("a") as file:
        file.write(POLICIES)
    with (world.house.root / "mlconsole.yaml").open("a") as file:
        file.write("  two: {stages: [50, 100], wait: 5, evidence: 20, bake: 10}\n")
    watched(world)
    return world


def test_a_good_version_passes_on_figures(made: World) -> None:
    made.begin("4", policy="two")
    made.drive()
    assert made.rollout().state is RolloutState.DONE, made.said[-3:]


@pytest.mark.parametrize(("bad", "guard"), [({"error_rate": 1.0}, "errors"), ({"milliseconds": 900.0}, "latency")])
def test_a_bad_version_goes_back_by_figures(made: World, bad: dict[str, float], guard: str) -> None:
    made.happens.append(once(reached("waiting"), lambda one: one.house.behaves("4", **bad)))
    made.begin("4", policy="short")
    made.drive()
    rollout = made.rollout()
    assert rollout.state is RolloutState.REVERTED
    assert guard in rollout.why or "slow" in rollout.why  # the alarm that health makes of it may be the first
    told = [one.text for one in made.events() if one.kind == "reverted"]
    assert "is seen by" in told[-1], "nothing is claimed that nobody can have seen yet"


def test_figures_that_stop_hold(made: World) -> None:
    """What was known last says nothing of the stage that goes on meanwhile."""

    def stop(one: World) -> None:
        one.house.sim.world.inject(Fault(FaultKind.AUTH, on="metrics.samples", times=None))

    made.happens.append(once(reached("waiting", 10), stop))
    made.happens.append(once(lambda one: one.house.clock.elapsed() > began + 500, lambda one: one.stop()))
    began = made.house.clock.elapsed()
    made.begin("4", policy="short")
    made.drive()
    rollout = made.rollout()
    assert str(rollout.state) == "waiting"
    assert rollout.present.share == 1000


def test_a_period_that_began_before_the_stage_does_not_count(made: World) -> None:
    """It tells of what was before it, too."""
    made.begin("4", policy="waits")
    session = made.session(who=TOMEK)
    weighing = Weighing(made.house.session())
    found: list[tuple[float, int]] = []

    def weighs(one: World) -> None:
        rollout = one.rollout()
        if str(rollout.state) == "waiting" and rollout.stage_began is not None:
            seconds = (one.house.clock.now() - rollout.stage_began).total_seconds()
            if found and seconds < found[-1][0] + 10:
                return
            found.append((seconds, weighing.look(rollout).seen))
            if found[-1][0] > 280:
                one.stop()

    made.happens.append(weighs)
    made.drive(session=session)
    began = made.rollout().stage_began
    assert began is not None
    whole = (60 - began.timestamp() % 60) % 60
    assert all(n == 0 for seconds, n in found if seconds < whole + 60 + 120 - 3)
    assert any(n > 50 for _, n in found)


def test_without_predictions_a_guard_that_needs_them_is_refused(made: World) -> None:
    bind(made.house, predictions=False)
    with (made.house.root / "mlconsole.yaml").open("a") as file:
        file.write("policies:\n  counted: {stages: [10, 100], wait: 5, evidence: 20, bake: 10, guards: {errors: , latency: , alarms: }}\n")
        file.write("  short: {stages: [10, 100], wait: 5, evidence: 20, bake: 10}\n")
    session = made.house.session()
    refused = rolloutplans.plan_rollout(session, NAME, "4", policy="short")
    assert "identical" in refused.refused
    assert rolloutplans.plan_rollout(session, NAME, "4", policy="counted").refused == ""


def test_a_look_of_a_command_reads_the_newest(house: HealthHouse) -> None:
    view = look_once(house.session())
    assert there(view).figures.n > 0
    until = metering.read_until(house.session())[NAME]
    assert house.clock.now().timestamp() - until <= 180
    assert json.loads(house.session().observations.cursor("staging", "metrics") or "")["v"] == 1


def test_nobody_reads_where_nobody_may(house: HealthHouse) -> None:
    session = house.session(ANNA, read_only=True)
    HealthWatch(session).look()
    assert asked(house) == []
