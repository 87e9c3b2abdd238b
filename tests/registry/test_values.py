"""What is stored comes back equal: versions, releases, plans; names that are taken are refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlconsole.core.models import Actor
from mlconsole.core.operations import OperationState, StepState
from mlconsole.core.releases import NOTHING, ReleaseKind, Standing
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.errors import AlreadyExists, Conflict, InvalidRequest, RegistryUnusable
from mlconsole.registry import EndpointRow, Registry
from mlconsole.registry.bodies import dump, load
from registry.samples import ENV, OLA, TOMEK, SetClock, begun, content, plan, record, release, shadowed, version


def test_a_version_is_registered_once(registry: Registry) -> None:
    assert registry.add_version(version("4", "a")) is True
    assert registry.add_version(version("4", "a")) is False
    with pytest.raises(AlreadyExists, match=r"aaaaaaaaaaaa.*bbbbbbbbbbbb") as refused:
        registry.add_version(version("4", "b"))
    assert refused.value.exit_code == 5
    found = registry.version("relevance", "4")
    assert found is not None
    assert found.artifact.digest == "sha256:" + "a" * 64
    assert registry.version("relevance", "5") is None


def test_versions_come_by_model_then_as_registered(registry: Registry) -> None:
    for name, model in [("10", "relevance"), ("9", "relevance"), ("1", "delay"), ("1.10", "relevance")]:
        registry.add_version(version(name, model=model))
    assert [one.name for one in registry.versions()] == ["delay@1", "relevance@10", "relevance@9", "relevance@1.10"]
    assert [one.version for one in registry.versions("relevance")] == ["10", "9", "1.10"]
    assert registry.models() == ["delay", "relevance"]


def test_a_version_comes_back_equal(registry: Registry) -> None:
    stored = replace(version(), metrics=replace(version().metrics, values={"auc": 0.1 + 0.2}))
    registry.add_version(stored)
    assert registry.versions() == [stored]


def test_nan_and_half_characters_do_not_break_a_row(registry: Registry) -> None:
    registry.add_version(replace(version(), description="half \udc80 a character, ünd \x1b[31m"))
    found = registry.versions()[0]
    assert found.description == "half ? a character, ünd \x1b[31m"
    assert found.metrics.values["nothing"] != found.metrics.values["nothing"]


def test_what_is_no_json_is_refused_before_it_is_written(registry: Registry) -> None:
    lease = begun(registry)
    with pytest.raises(InvalidRequest, match="StepRecord can't be recorded"):
        registry.intend_step(replace(record("7f3a", 0), found={"what": object()}), lease)
    assert registry.steps("7f3a") == []


def test_a_body_that_somebody_edited_is_told(registry: Registry) -> None:
    with pytest.raises(RegistryUnusable, match="holds a Plan that can't be read"):
        load(type(plan()), '{"id": 3}')


@pytest.mark.parametrize("value", [version("1"), release(shadowed()), plan(), record("7f3a", 1), TOMEK, NOTHING])
def test_bodies_round_trip(value: object) -> None:
    again = load(type(value), dump(value))
    assert dump(again) == dump(value)
    assert again == value or "NaN" in dump(value)


@given(
    shares=st.lists(st.integers(0, 10_000), min_size=1, max_size=4),
    words=st.dictionaries(st.text(max_size=5), st.one_of(st.text(), st.none(), st.booleans(), st.integers(-(2**60), 2**60))),
)
@settings(max_examples=60, deadline=None)
def test_any_content_and_details_round_trip(shares: list[int], words: dict[str, object]) -> None:
    shares = [min(share, 10_000 // len(shares)) for share in shares]
    split = {f"v{place}": share for place, share in enumerate(shares)}
    split["v0"] += 10_000 - sum(shares)
    wanted = replace(content("3"), traffic=Traffic(split))
    assert load(type(wanted), dump(wanted)) == wanted
    told = replace(record("7f3a", 0), details=words)
    assert load(type(told), dump(told)) == told


def test_adopting_gives_numbers_and_standings(registry: Registry) -> None:
    first = registry.adopt(release())
    assert (first.number, first.name) == (1, "relevance@production#1")
    second = registry.adopt(release(content("4"), kind=ReleaseKind.KEPT))
    third = registry.adopt(release(content("5"), kind=ReleaseKind.KEPT), former=Standing.REVERTED)
    registry.adopt(release(endpoint="category"))
    standings = {one.release.number: one.standing for one in registry.releases(ENV, "relevance")}
    assert standings == {3: Standing.LIVE, 2: Standing.REVERTED, 1: Standing.PAST}
    assert [one.release.number for one in registry.releases(ENV, "relevance", limit=2)] == [3, 2]
    assert registry.releases(ENV)[0].release.name == "category@production#1"
    assert registry.endpoints(ENV) == [EndpointRow("category", 1), EndpointRow("relevance", 3)]
    assert registry.endpoints("test") == []
    live = registry.live_release(ENV, "relevance")
    assert live is not None
    assert live.release == third
    assert registry.live_release(ENV, "nobody") is None
    recorded = registry.release(ENV, "relevance", 2)
    assert recorded is not None
    assert recorded.release == second
    assert registry.release(ENV, "relevance", 9) is None


def test_as_found_twice_is_one_release(registry: Registry) -> None:
    assert registry.adopt(release()) == registry.adopt(release())
    assert registry.adopt(release(content("4"))).number == 2


def test_nothing_is_adopted_in_the_middle_of_a_change(registry: Registry) -> None:
    begun(registry)
    with pytest.raises(Conflict, match="is being changed"):
        registry.adopt(release())


def test_plan_ids_are_short_free_and_no_numbers(registry: Registry) -> None:
    ids = {registry.new_plan_id() for _ in range(200)}
    assert all(re.fullmatch("[0-9a-f]{4}", one) and not re.fullmatch(r"\d*e?\d*", one) for one in ids)
    first = registry.new_plan_id("seed")
    assert first == registry.new_plan_id("seed")
    taken = set()
    for _ in range(40):
        registry.save_plan(plan(one := registry.new_plan_id("seed")))
        assert one not in taken
        taken.add(one)
    assert {len(one) for one in taken} > {4}


def test_a_plan_is_kept_and_not_overwritten(registry: Registry) -> None:
    registry.save_plan(plan())
    registry.save_plan(plan())
    assert registry.plan("7f3a") == plan()
    assert registry.plan("ffff") is None
    assert not registry.plan_used("7f3a")
    with pytest.raises(AlreadyExists, match="7f3a"):
        registry.save_plan(replace(plan(), reason="another"))
    registry.save_plan(plan("beef"))
    assert [one.id for one in registry.plans(ENV)] == ["beef", "7f3a"]
    assert registry.plans("test") == []
    begun(registry)
    assert registry.plan_used("7f3a")


def test_since_when_it_is_live(registry: Registry, clock: SetClock) -> None:
    assert registry.live_since(ENV, "relevance") is None
    assert registry.traffic_since(ENV, "relevance") is None
    found = registry.adopt(release())
    assert registry.live_since(ENV, "relevance") == registry.traffic_since(ENV, "relevance") == found.created
    lease = begun(registry)
    registry.intend_step(record("7f3a", 2), lease)
    assert registry.traffic_since(ENV, "relevance") == found.created
    shifted = record("7f3a", 2, state=StepState.DONE)
    registry.close_step(shifted, lease)
    registry.intend_step(record("7f3a", 3), lease)
    registry.close_step(record("7f3a", 3, state=StepState.DONE), lease)
    assert registry.traffic_since(ENV, "relevance") == shifted.ended
    assert registry.live_since(ENV, "relevance") == found.created
    clock.sleep(60)
    registry.finish("7f3a", OperationState.DONE, lease)
    assert registry.live_since(ENV, "relevance") == clock.now()
    assert registry.traffic_since(ENV, "relevance") == shifted.ended


def test_actors_keep_everything(registry: Registry) -> None:
    registry.take_lease(ENV, "relevance", replace(OLA, identity="arn:x"), "7f3a", "")
    holder = registry.leases()[0].lease.holder
    assert holder == Actor("ola", "bastion-1", identity="arn:x")
