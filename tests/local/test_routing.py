"""Routing as values and as Envoy's resources."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.traffic import Shadow, SliceSplit, Traffic
from mlconsole.plugin.errors import InvalidRequest
from mlconsole_local.routing import EndpointRouting, parse, ports_of, render

PORTS = {"v1": 1001, "v2": 1002, "v3": 1003}


@st.composite
def routings(draw: st.DrawFn) -> EndpointRouting:
    share = st.integers(0, 10_000).map(lambda bp: {"v1": bp, "v2": 10_000 - bp, "v3": 0})
    slices = draw(st.lists(st.sampled_from(["de", "pl", "zażółć"]), unique=True))
    traffic = Traffic(
        draw(share),
        tuple(SliceSplit("language", value, {name: bp for name, bp in draw(share).items() if bp}) for value in slices),
        draw(st.none() | st.integers(0, 10_000).map(lambda sample: Shadow("v3", sample))),
    )
    name = draw(st.sampled_from(["rel", "eta.v2", "a-b_c"]))
    return EndpointRouting(name, PORTS, draw(st.none() | st.just(traffic)), draw(st.sampled_from(["", "rel@prod#1"])), ("language",), 12.5)


@given(st.lists(routings(), unique_by=lambda routing: routing.endpoint))
def test_what_is_rendered_reads_back_as_it_was(wanted: list[EndpointRouting]) -> None:
    resources = render(wanted)
    table = json.loads(json.dumps(resources.routes))["resources"][0]
    assert list(parse(table, resources.clusters["resources"])) == sorted(wanted, key=lambda routing: routing.endpoint)


def test_versions_follow_the_content() -> None:
    one = render([EndpointRouting("rel", PORTS, Traffic({"v1": 9000, "v2": 1000}))])
    same = render([EndpointRouting("rel", dict(reversed(PORTS.items())), Traffic({"v2": 1000, "v1": 9000}))])
    other = render([EndpointRouting("rel", PORTS, Traffic({"v1": 8999, "v2": 1001}))])
    assert (one.routes_version, one.clusters_version) == (same.routes_version, same.clusters_version)
    assert one.clusters_version == other.clusters_version
    assert one.routes_version != other.routes_version


def test_a_variant_without_a_server_gets_no_traffic() -> None:
    with pytest.raises(InvalidRequest, match="v9, which has no server"):
        render([EndpointRouting("rel", PORTS, Traffic({"v9": 10_000}))])


def test_a_shares_sum_in_every_route_is_whole() -> None:
    traffic = Traffic({"v1": 1, "v2": 9999, "v3": 0}, (SliceSplit("language", "de", {"v1": 10_000}),))
    table = render([EndpointRouting("rel", PORTS, traffic)]).routes["resources"][0]
    splits = [route["route"]["weighted_clusters"]["clusters"] for route in table["virtual_hosts"][0]["routes"] if "route" in route]
    assert all(sum(entry["weight"] for entry in split) == 10_000 and all(entry["weight"] for entry in split) for split in splits)


def test_clusters_stay_while_they_are_kept() -> None:
    resources = render([EndpointRouting("rel", {"v1": 1001}, Traffic({"v1": 10_000}))], {"rel/v2": 1002})
    assert ports_of(resources.clusters["resources"]) == {"rel/v1": 1001, "rel/v2": 1002}


def test_limits_are_said() -> None:
    with pytest.raises(InvalidRequest, match="at most 4 slices"):
        render([EndpointRouting("rel", PORTS, Traffic({"v1": 10_000}), slice_keys=("a", "b", "c", "d", "e"))])
    with pytest.raises(InvalidRequest):
        render([EndpointRouting("re/l", PORTS)])
    with pytest.raises(InvalidRequest, match="twice"):
        render([EndpointRouting("rel", PORTS), EndpointRouting("rel", PORTS)])
