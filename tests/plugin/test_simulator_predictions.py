"""Simulated requests: that shares, slices, shadow and behaviours can be seen in what is observed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mlconsole.core.releases import Content
from mlconsole.core.traffic import WHOLE, Shadow, SliceSplit, Traffic
from mlconsole.plugin.conformance import Driver
from mlconsole.plugin.errors import NotFound
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind, Load, Simulated, simulated, variant_of
from plugin.test_conformance_simulator import ENDPOINT, VERSIONS, bench_of

VARIANTS = tuple(variant_of(version) for version in VERSIONS[:2])
LANGUAGES = {"language": {"en": 0.7, "de": 0.2, "pl": 0.1}}


@pytest.fixture
def sim(tmp_path: Path) -> Simulated:
    return simulated(tmp_path)


def serve_with(sim: Simulated, traffic: Traffic) -> None:
    Driver(bench_of(sim)).reach(Content(VARIANTS, traffic))


def test_observed_shares_follow_the_split(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": 9000, "v2": 1000}))
    seen = Counter(each.variant for each in sim.world.serve(ENDPOINT, Load(5000, seed=3)))
    assert seen["v2"] == pytest.approx(500, abs=90)
    assert sum(seen.values()) == 5000


def test_the_same_seed_gives_the_same(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": 5000, "v2": 5000}))
    loads = [sim.world.serve(ENDPOINT, Load(50, seed=seed, slices=LANGUAGES)) for seed in (1, 1, 2)]
    first, again, other = ([(each.variant, each.score, each.slices) for each in load] for load in loads)
    assert first == again
    assert first != other
    ids = [each.request_id for load in loads for each in load]
    assert len(set(ids)) == 150


def test_a_skewed_split_is_reported_as_it_was_set(sim: Simulated) -> None:
    traffic = Traffic({"v1": 9000, "v2": 1000})
    serve_with(sim, traffic)
    sim.world.skew(ENDPOINT, {"v1": 0, "v2": WHOLE})
    assert {each.variant for each in sim.world.serve(ENDPOINT, 100)} == {"v2"}
    assert sim.world.live(ENDPOINT).traffic == traffic
    sim.world.skew(ENDPOINT, None)
    assert Counter(each.variant for each in sim.world.serve(ENDPOINT, 100)).most_common(1)[0][0] == "v1"


def test_slices_route_and_are_told(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": WHOLE, "v2": 0}, (SliceSplit("language", "de", {"v1": 0, "v2": WHOLE}),)))
    seen = sim.world.serve(ENDPOINT, Load(300, slices=LANGUAGES))
    assert {(each.slices["language"] == "de", each.variant, each.split) for each in seen} == {
        (True, "v2", "language=de"),
        (False, "v1", ""),
    }


def test_shadow_copies_share_the_request_id(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": WHOLE, "v2": 0}, shadow=Shadow("v2", 2500)))
    seen = sim.world.serve(ENDPOINT, 2000)
    copies = [each for each in seen if each.shadow]
    assert len(copies) == pytest.approx(500, abs=90)
    assert {each.variant for each in copies} == {"v2"}
    assert {each.request_id for each in copies} < {each.request_id for each in seen if not each.shadow}


def test_behaviours_show(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": 5000, "v2": 5000}))
    broken = Behaviour(refuses={"language=de": "missing"})
    sim.world.behave(VERSIONS[1], Behaviour(error_rate=0.3, milliseconds=200, by_slice={"language=de": broken}))
    seen = sim.world.serve(ENDPOINT, Load(2000, slices=LANGUAGES))
    second = [each for each in seen if each.variant == "v2"]
    assert {each.status for each in second if each.slices["language"] == "de"} == {400}
    others = [each for each in second if each.slices["language"] != "de"]
    assert sum(each.status == 500 for each in others) / len(others) == pytest.approx(0.3, abs=0.06)
    assert sorted(each.milliseconds for each in others)[len(others) // 2] == pytest.approx(200, rel=0.1)
    assert {each.status for each in seen if each.variant == "v1"} == {200}


def test_two_good_versions_agree_and_distinct_inputs_repeat(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": WHOLE, "v2": 0}, shadow=Shadow("v2", WHOLE)))
    sim.world.behave(VERSIONS[1], Behaviour(noise=0.0))
    sim.world.behave(VERSIONS[0], Behaviour(noise=0.0))
    seen = sim.world.serve(ENDPOINT, Load(100, distinct=5))
    assert len({each.input_hash for each in seen}) == 5
    assert len({each.score for each in seen}) == 5


def test_sticky_keys_stay_with_their_variant(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": 5000, "v2": 5000}))
    seen = sim.world.serve(ENDPOINT, Load(200, keys=10, seconds=0))
    for key in range(10):
        assert len({each.variant for each in seen[key::10]}) == 1


def test_pinned_probes_and_the_dead(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": WHOLE, "v2": 0}))
    assert {(each.variant, each.pinned, each.probe) for each in sim.world.serve(ENDPOINT, Load(3, variant="v2"))} == {("v2", True, False)}
    probes = sim.world.serve(ENDPOINT, Load(3, variant="v2", probe=True))
    assert {(each.pinned, each.probe) for each in probes} == {(False, True)}
    sim.world.change_outside(ENDPOINT, fail={"v1": "killed"})
    assert {(each.variant, each.status) for each in sim.world.serve(ENDPOINT, 5)} == {(None, 503)}
    with pytest.raises(NotFound):
        sim.world.serve("nobody", 5)


def test_predictions_may_be_empty_or_late(sim: Simulated) -> None:
    serve_with(sim, Traffic({"v1": WHOLE, "v2": 0}))
    start = sim.predictions.cursor_at(sim.clock.now())
    sim.world.serve(ENDPOINT, Load(60, seconds=60.0))
    sim.world.inject(Fault(FaultKind.EMPTY, "predictions.read"))
    page = sim.predictions.read(start)
    assert (page.observations, page.cursor, page.at_end) == ((), start, True)
    sim.world.inject(Fault(FaultKind.LATE_READ, "predictions.read", seconds=30))
    page = sim.predictions.read(start)
    assert (len(page.observations), page.at_end) == (30, True)
    assert len(sim.predictions.read(page.cursor).observations) == 30
    assert len(sim.world.observations()) == 60
