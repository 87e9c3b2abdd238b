"""What the gateway should do, as values, and as the resources that Envoy reads. Pure, both ways: `parse(render(x))` tells `x` again.

A request finds its way by the first route that fits: a variant pinned by header, the split of its slice, the split for all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlconsole.core.traffic import WHOLE, Shadow, SliceSplit, Split, Traffic, names_in
from mlconsole.plugin.errors import InvalidRequest
from mlconsole_local.state import LOOPBACK, checked

VARIANT_HEADER = "x-mlconsole-variant"
"""In a request it pins a variant; in a reply it names who answered."""
RELEASE_HEADER = "x-mlconsole-release"
PROBE_HEADER = "x-mlconsole-probe"
KEY_HEADER = "x-mlconsole-key"
"""Requests with the same key get the same variant while the split stands."""
SLICE_HEADER = "x-slice-"
LOGGED_SLICE = "x-mlconsole-slice-"
SLICES = 4
ROUTES = "routes"
TIMEOUT = 15.0
"""Seconds. Shorter than any console waits for an answer: a model that is too slow is an error that is its own, and is counted as one."""

_TYPE = "type.googleapis.com/"
# Each of these happens before a server has seen the request, so that trying again can't make two predictions of one.
_RETRY = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 3,
    "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
}


@dataclass(frozen=True)
class EndpointRouting:
    """One endpoint at the gateway. `ports` holds every variant that can be reached, by name; `traffic` None: nobody is routed yet."""

    endpoint: str
    ports: Mapping[str, int]
    traffic: Traffic | None = None
    release: str = ""
    slice_keys: tuple[str, ...] = ()
    """The slices to be noted in the access log; those with splits of their own are noted anyway."""
    timeout: float = TIMEOUT
    """Seconds after which a request is answered 504."""


@dataclass(frozen=True)
class Resources:
    """What Envoy reads: two documents, each with its version (a hash of its content)."""

    clusters: Mapping[str, Any]
    routes: Mapping[str, Any]

    @property
    def clusters_version(self) -> str:
        """The version that Envoy reports once it has taken the clusters."""
        return str(self.clusters["version_info"])

    @property
    def routes_version(self) -> str:
        """The version that Envoy reports once it has taken the routes."""
        return str(self.routes["version_info"])


def cluster_name(endpoint: str, variant: str, *, shadow: bool = False) -> str:
    """`relevance/v4`, `relevance/v4/shadow`."""
    return f"{endpoint}/{variant}/shadow" if shadow else f"{endpoint}/{variant}"


def render(routings: Iterable[EndpointRouting], keep: Mapping[str, int] | None = None) -> Resources:
    """The resources for all endpoints. `keep`: clusters (name → port) that stay until their last requests are done.

    Raises:
        InvalidRequest: a name that can't be one, a variant without a port, an endpoint twice.
    """
    ordered = sorted(routings, key=lambda routing: routing.endpoint)
    clusters = dict(keep or {})
    routes: list[dict[str, Any]] = []
    for routing in ordered:
        _check(routing)
        for variant, port in routing.ports.items():
            clusters[cluster_name(routing.endpoint, variant)] = port
        if routing.traffic and routing.traffic.shadow:
            shadow = routing.traffic.shadow.variant
            clusters[cluster_name(routing.endpoint, shadow, shadow=True)] = routing.ports[shadow]
        routes += _routes(routing)
    if len({routing.endpoint for routing in ordered}) != len(ordered):
        raise InvalidRequest("An endpoint is routed twice.")
    routes += [
        _says({"path": "/v2/health/live"}, 200, "live"),
        _says({"path": "/v2/health/ready"}, 200, "ready"),
        _says({"prefix": "/"}, 404, "no endpoint of that name is served here"),
    ]
    table = {
        "@type": f"{_TYPE}envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "validate_clusters": False,
        "virtual_hosts": [{"name": "mlconsole", "domains": ["*"], "routes": routes}],
    }
    return Resources(_versioned([_cluster(name, port) for name, port in sorted(clusters.items())]), _versioned([table]))


def parse(table: Mapping[str, Any], clusters: Iterable[Mapping[str, Any]]) -> tuple[EndpointRouting, ...]:
    """What a route table and its clusters really do, by endpoint: weights and ports are read from where Envoy takes them."""
    ports = ports_of(clusters)
    routes = [route for host in table.get("virtual_hosts", ()) for route in host.get("routes", ())]
    found: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for route in routes:
        mark = route.get("metadata", {}).get("filter_metadata", {}).get("mlconsole", {})
        if "endpoint" in mark:
            found.setdefault(mark["endpoint"], []).append((mark, route))
    return tuple(_parsed(endpoint, entries, ports) for endpoint, entries in sorted(found.items()))


def ports_of(clusters: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Cluster name → the loopback port that it leads to."""
    ports = {}
    for cluster in clusters:
        for group in cluster.get("load_assignment", {}).get("endpoints", ()):
            for entry in group.get("lb_endpoints", ()):
                ports[cluster["name"]] = int(entry["endpoint"]["address"]["socket_address"]["port_value"])
    return ports


def _check(routing: EndpointRouting) -> None:
    checked("an endpoint", routing.endpoint)
    for variant in routing.ports:
        checked("a variant", variant)
    for name in sorted(names_in(routing.traffic)):
        if name not in routing.ports:
            raise InvalidRequest(f"{routing.endpoint}: the traffic names {name}, which has no server.", next="Start the variant first.")
    keys = _keys(routing)
    if len(keys) > SLICES:
        raise InvalidRequest(f"{routing.endpoint}: at most {SLICES} slices can be told apart, not {len(keys)}.")
    for key in keys:
        checked("a slice", key)


def _keys(routing: EndpointRouting) -> tuple[str, ...]:
    by_slice = [entry.key for entry in routing.traffic.by_slice] if routing.traffic else []
    return tuple(dict.fromkeys([*routing.slice_keys, *by_slice]))


def _routes(routing: EndpointRouting) -> list[dict[str, Any]]:
    path = {"path_separated_prefix": f"/v2/models/{routing.endpoint}"}
    routes = [
        _route(routing, {**path, "headers": [_is(VARIANT_HEADER, variant)]}, {variant: WHOLE}, "pinned", pin=variant)
        for variant in sorted(routing.ports)
    ]
    any_variant = {"name": VARIANT_HEADER, "present_match": True}
    lost = _says({**path, "headers": [any_variant]}, 404, f"no such variant runs behind {routing.endpoint}")
    routes.append({**lost, "metadata": _mark(routing, "unknown")})
    if routing.traffic is None:
        return [*routes, {**_says(path, 503, f"{routing.endpoint} has no traffic yet"), "metadata": _mark(routing, "default")}]
    for entry in routing.traffic.by_slice:
        match = {**path, "headers": [_is(f"{SLICE_HEADER}{entry.key.lower()}", entry.value)]}
        routes.append(_route(routing, match, entry.split, "slice", slice_of=(entry.key, entry.value)))
    return [*routes, _route(routing, path, routing.traffic.split, "default")]


def _route(
    routing: EndpointRouting, match: Mapping[str, Any], split: Split, kind: str, *, pin: str = "", slice_of: tuple[str, str] | None = None
) -> dict[str, Any]:
    weighted = [
        {
            "name": cluster_name(routing.endpoint, variant),
            "weight": share,
            # The server names itself; this speaks for one that gave no answer.
            "response_headers_to_add": [_header(VARIANT_HEADER, variant, "ADD_IF_ABSENT")],
        }
        for variant, share in sorted(split.items())
        if share > 0
    ]
    action: dict[str, Any] = {
        "weighted_clusters": {"clusters": weighted, "use_hash_policy": True},
        "hash_policy": [{"header": {"header_name": KEY_HEADER}}],
        "timeout": f"{routing.timeout:.3f}s",
        "retry_policy": _RETRY,
        # A copy's host is this with `-shadow` behind it: so the server knows it as one, and no consumer can pretend.
        "host_rewrite_literal": routing.endpoint,
    }
    if routing.traffic and routing.traffic.shadow and kind != "pinned":
        shadow = routing.traffic.shadow
        share = {"numerator": shadow.sample, "denominator": "TEN_THOUSAND"}
        name = cluster_name(routing.endpoint, shadow.variant, shadow=True)
        action["request_mirror_policies"] = [{"cluster": name, "runtime_fraction": {"default_value": share}}]
    route: dict[str, Any] = {
        "match": match,
        "metadata": _mark(routing, kind, pin=pin, slice_of=slice_of),
        "route": action,
        "request_headers_to_add": [
            _header(f"{LOGGED_SLICE}{number}", f"{key}=%REQ({SLICE_HEADER}{key.lower()}):64%") for number, key in enumerate(_keys(routing))
        ],
    }
    if routing.release:
        route["response_headers_to_add"] = [_header(RELEASE_HEADER, routing.release.replace("%", "%%"))]
    return route


def _mark(routing: EndpointRouting, kind: str, *, pin: str = "", slice_of: tuple[str, str] | None = None) -> dict[str, Any]:
    """What the access log and `parse` read of a route."""
    key, value = slice_of or ("", "")
    body = {
        "endpoint": routing.endpoint,
        "kind": kind,
        "split": f"{key}={value}" if slice_of else "",
        "key": key,
        "value": value,
        "pin": pin,
        "release": routing.release,
        "slice_keys": list(routing.slice_keys),
        "timeout": routing.timeout,
    }
    return {"filter_metadata": {"mlconsole": body}}


def _is(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "string_match": {"exact": value}}


def _header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


def _says(match: Mapping[str, Any], status: int, text: str) -> dict[str, Any]:
    return {"match": dict(match), "direct_response": {"status": status, "body": {"inline_string": text}}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    # A shadow that hangs must not pile up copies; consumers' requests are only bounded by what a machine can hold.
    most = 64 if name.endswith("/shadow") else 8192
    limits = {"max_connections": most, "max_pending_requests": most, "max_requests": most, "max_retries": most}
    return {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": LOOPBACK, "port_value": port}}}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                # Well before the server would: two ends that hang up at once lose a request.
                "common_http_protocol_options": {"idle_timeout": "600s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _versioned(resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    text = json.dumps(resources, sort_keys=True)
    return {"version_info": hashlib.sha256(text.encode()).hexdigest()[:16], "resources": list(resources)}


def _parsed(endpoint: str, entries: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], ports: Mapping[str, int]) -> EndpointRouting:
    pinned = [mark["pin"] for mark, _ in entries if mark.get("kind") == "pinned"]
    split: Split | None = None
    by_slice: list[SliceSplit] = []
    shadow: Shadow | None = None
    for mark, route in entries:
        if "route" not in route or mark.get("kind") not in ("default", "slice"):
            continue
        shares = {_variant(entry["name"]): int(entry.get("weight", 0)) for entry in route["route"]["weighted_clusters"]["clusters"]}
        if mark["kind"] == "slice":
            by_slice.append(SliceSplit(mark["key"], mark["value"], shares))
        else:
            split = {**dict.fromkeys(pinned, 0), **shares}
        for policy in route["route"].get("request_mirror_policies", ()):
            shadow = Shadow(_variant(policy["cluster"]), int(policy["runtime_fraction"]["default_value"].get("numerator", 0)))
    mark = entries[0][0]
    return EndpointRouting(
        endpoint,
        {variant: ports[cluster_name(endpoint, variant)] for variant in pinned if cluster_name(endpoint, variant) in ports},
        Traffic(split, tuple(by_slice), shadow) if split is not None else None,
        mark.get("release", ""),
        tuple(mark.get("slice_keys", ())),
        float(mark.get("timeout", TIMEOUT)),
    )


def _variant(cluster: str) -> str:
    return cluster.split("/")[1]
