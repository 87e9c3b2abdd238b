"""Envoy's admin interface, over its unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlconsole.plugin.errors import Unavailable


@dataclass(frozen=True)
class Taken:
    """What Envoy says it has taken from its files: versions, and how often it refused one since it started."""

    clusters: str
    routes: str
    clusters_rejected: int
    routes_rejected: int


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("envoy", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Admin:
    """Questions to one Envoy; each opens a connection of its own, so that a restarted Envoy is simply asked again."""

    def __init__(self, path: Path, *, seconds: float = 3.0) -> None:
        """`seconds` is how long each answer may take."""
        self._path = path
        self._seconds = seconds

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return self._call("GET", "/ready")[0] == 200
        except Unavailable:
            return False

    def reopen_logs(self) -> None:
        """Let it open its access log anew, after that was renamed.

        Raises:
            Unavailable: it does not answer.
        """
        self._call("POST", "/reopen_logs")

    def taken(self) -> Taken:
        """Which versions it has taken.

        Raises:
            Unavailable: it does not answer.
        """
        names = "^(cluster_manager.cds|http.gateway.rds.routes).(version_text|update_rejected)$"
        found = self._stats(names)
        clusters, routes = "cluster_manager.cds.", "http.gateway.rds.routes."
        return Taken(
            str(found.get(f"{clusters}version_text", "")),
            str(found.get(f"{routes}version_text", "")),
            int(found.get(f"{clusters}update_rejected", 0)),
            int(found.get(f"{routes}update_rejected", 0)),
        )

    def active(self) -> dict[str, int]:
        """Cluster → its requests in flight or waiting.

        Raises:
            Unavailable: it does not answer.
        """
        result: dict[str, int] = {}
        for name, value in self._stats(r"^cluster\..*\.upstream_rq_(active|pending_active)$").items():
            cluster = name.removeprefix("cluster.").rpartition(".")[0]
            result[cluster] = result.get(cluster, 0) + int(value)
        return result

    def routes(self) -> Mapping[str, Any]:
        """The route table in use; empty before there is one.

        Raises:
            Unavailable: it does not answer.
        """
        for entry in self._dump("dynamic_route_configs"):
            return dict(entry.get("route_config", {}))
        return {}

    def clusters(self) -> list[Mapping[str, Any]]:
        """The clusters in use.

        Raises:
            Unavailable: it does not answer.
        """
        return [entry.get("cluster", {}) for entry in self._dump("dynamic_active_clusters")]

    def _dump(self, resource: str) -> list[dict[str, Any]]:
        return list(self._json(f"/config_dump?resource={resource}").get("configs", ()))

    def _stats(self, pattern: str) -> dict[str, Any]:
        body = self._json(f"/stats?format=json&filter={quote(pattern)}")
        return {entry["name"]: entry["value"] for entry in body.get("stats", ()) if "name" in entry and "value" in entry}

    def _json(self, path: str) -> dict[str, Any]:
        status, body = self._call("GET", path)
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if status != 200 or not isinstance(value, dict):
            raise Unavailable(f"The gateway's admin interface answered {status} to {path.partition('?')[0]}.")
        return value

    def _call(self, method: str, path: str) -> tuple[int, bytes]:
        connection = _Connection(self._path, self._seconds)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("The gateway (Envoy) does not answer.", next="mlconsole local up") from error
        finally:
            connection.close()
