"""The application's own metric, by slice: CloudWatch knows no languages, but an application may write them as a dimension."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlconsole_aws.clients import Clients

_LISTED = 300.0
"""Seconds for which it is not asked again which dimensions there are: a new language shows up so late."""

_MOST = 2000
"""Series that are asked for at the most; an application that writes user names as a dimension must not become a bill."""

ENDPOINT, VARIANT = "endpoint", "variant"


@dataclass(frozen=True)
class Series:
    """One slice of one variant: where its requests and errors are counted."""

    endpoint: str
    variant: str
    slice: str
    namespace: str
    requests: str
    errors: str
    dimensions: Mapping[str, str]


@dataclass
class ApplicationMetric:
    """Which slices there are, as the metric's dimensions tell them.

    `keys`: the dimension → `endpoint`, `variant`, or the key of a slice. A series counts for a slice where it has the endpoint, the variant
    (unless the endpoint has one only) and exactly one key: what has more, or fewer, is a total of the application's own.
    """

    clients: Clients
    namespace: str
    requests: str
    errors: str
    keys: Mapping[str, str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listed: tuple[float, list[dict[str, str]]] | None = None

    @staticmethod
    def of(clients: Clients, options: Mapping[str, Any] | None) -> ApplicationMetric | None:
        """As the option `application` says; None: there is none."""
        if not options:
            return None
        named = {str(dimension): str(key) for key, dimension in (options.get("dimensions") or {}).items()}
        return ApplicationMetric(clients, str(options["namespace"]), str(options["requests"]), str(options["errors"]), named)

    def series(self, places: Mapping[tuple[str, str], tuple[str, str]]) -> list[Series]:
        """The slices of these variants (endpoint and variant → the SageMaker endpoint and its production variant)."""
        natives: dict[str, list[tuple[str, str]]] = {}
        variants: dict[str, list[str]] = {}
        for (endpoint, variant), (native, _) in places.items():
            natives.setdefault(native, []).append((endpoint, variant))
            variants.setdefault(endpoint, []).append(variant)
        found = []
        for dimensions in self._dimensions():
            told = {self.keys[name]: value for name, value in dimensions.items() if name in self.keys}
            labels = {key: value for key, value in told.items() if key not in (ENDPOINT, VARIANT)}
            if len(labels) != 1 or len(told) != len(dimensions):
                continue
            own = _own(told, natives, variants)
            if own is None:
                continue
            key, value = next(iter(labels.items()))
            found.append(Series(*own, f"{key}={value}", self.namespace, self.requests, self.errors, dimensions))
        return found[:_MOST]

    def _dimensions(self) -> list[dict[str, str]]:
        """Every combination of dimensions that the application has written lately."""
        now = self.clients.clock.elapsed()
        with self._lock:
            if self._listed is not None and now - self._listed[0] < _LISTED:
                return self._listed[1]
        metrics = self.clients.pages("cloudwatch", "list_metrics", "Metrics", Namespace=self.namespace, MetricName=self.requests)
        listed = [{str(one["Name"]): str(one["Value"]) for one in metric.get("Dimensions") or ()} for metric in metrics]
        with self._lock:
            self._listed = now, listed
        return listed


def _own(
    told: Mapping[str, str], natives: Mapping[str, list[tuple[str, str]]], variants: Mapping[str, list[str]]
) -> tuple[str, str] | None:
    """Endpoint and variant of a series: by our names, or by the SageMaker endpoint's where each variant has one; None: it can't be told."""
    endpoint, variant = told.get(ENDPOINT, ""), told.get(VARIANT, "")
    if len(natives.get(variant, ())) == 1:
        return natives[variant][0]
    serving = natives.get(endpoint, [])
    name = endpoint if endpoint in variants else serving[0][0] if serving else ""
    mine = variants.get(name, [])
    if variant:
        return (name, variant) if variant in mine else None
    if len(serving) == 1:
        return serving[0]
    return (name, mine[0]) if len(mine) == 1 else None
