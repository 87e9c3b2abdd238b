"""What SageMaker counted itself, from CloudWatch: requests, failures and latency of many variants in few calls, each minute."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlconsole.plugin import Context
from mlconsole.plugin.measuring import Measured, MetricSample, Resolution
from mlconsole_aws.clients import clients_of
from mlconsole_aws.looking import declared, looks_of
from mlconsole_aws.metrics_slices import ApplicationMetric
from mlconsole_aws.naming import Names

QUERIES = 500
"""Queries that one call takes."""

_SETTLED = 120.0
"""Seconds after which a minute's figures are mostly whole; what comes later is counted when it comes."""

_NAMED = 600.0
"""Seconds for which it is not asked again how the only variant of a SageMaker endpoint is called."""

NAMESPACE = "AWS/SageMaker"
REQUESTS, FAILED, REFUSED, BROKEN = "Invocations", "InvocationModelErrors", "Invocation4XXErrors", "Invocation5XXErrors"
MODEL, OVERHEAD = "ModelLatency", "OverheadLatency"
"""Both in µs."""

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
_COUNTS = (REQUESTS, FAILED, REFUSED, BROKEN)

_Place = tuple[str, str]
"""A SageMaker endpoint, and one of its production variants."""


@dataclass
class _Answered:
    """What was told of one query: begin (epoch s) → value, and whether that is all."""

    values: dict[int, float] = field(default_factory=dict)
    complete: bool = False


class CloudWatchMetrics:
    """See `plugin.measuring.Metrics`. Eight queries for each variant, whatever the stretch, and two for each of its slices."""

    def __init__(self, context: Context) -> None:
        self._clients = clients_of(context)
        self._looks = looks_of(self._clients)
        self._clock = context.clock
        self._names = Names.of(self._clients.section("sagemaker"), by_name=context.by_name)
        options = self._clients.section("cloudwatch")
        self._period = _allowed(int(options.get("period") or 60))
        self._application = ApplicationMetric.of(self._clients, options.get("application"))
        self._lock = threading.Lock()
        self._only: dict[str, tuple[float, str]] = {}
        """SageMaker endpoint → when it was asked, and what its only variant is called."""

    def resolution(self) -> Resolution:
        """A minute, or what the endpoints' own metrics config writes."""
        return Resolution(self._period, _SETTLED)

    def samples(self, endpoints: Mapping[str, Sequence[str]], since: datetime, until: datetime) -> Measured:
        """The figures of these variants. An endpoint of which CloudWatch does not tell everything is incomplete, and is asked for again."""
        places = {
            (name, variant): place for name, variants in endpoints.items() for variant in variants if (place := self._place(name, variant))
        }
        slices = self._application.series(places) if self._application is not None else []
        asked: dict[str, dict[str, Any]] = {}
        meant: dict[str, tuple[str, str, str, str]] = {}
        """Query → endpoint, variant, slice, which figure."""
        for (name, variant), (native, production) in places.items():
            dimensions = {"EndpointName": native, "VariantName": production}
            for metric, statistic in _figures():
                number = f"q{len(asked)}"
                asked[number] = _query(number, NAMESPACE, metric, dimensions, statistic, self._period)
                meant[number] = name, variant, "", f"{metric} {statistic}"
        for one in slices:
            for metric, figure in ((one.requests, REQUESTS), (one.errors, FAILED)):
                number = f"q{len(asked)}"
                asked[number] = _query(number, one.namespace, metric, one.dimensions, "Sum", self._period)
                meant[number] = one.endpoint, one.variant, one.slice, f"{figure} Sum"
        answered = self._ask(list(asked.values()), since, until)
        incomplete = {meant[number][0] for number, one in answered.items() if not one.complete}
        found: dict[tuple[str, str, str], dict[str, Mapping[int, float]]] = {}
        for number, told in answered.items():
            endpoint, variant, label, figure = meant[number]
            found.setdefault((endpoint, variant, label), {})[figure] = told.values
        samples = [
            sample
            for (endpoint, variant, label), figures in found.items()
            if endpoint not in incomplete
            for sample in _samples(endpoint, variant, label, figures, self._period, since)
        ]
        return Measured(tuple(samples), tuple(sorted(incomplete)), self._application is not None)

    def _ask(self, queries: Sequence[dict[str, Any]], since: datetime, until: datetime) -> dict[str, _Answered]:
        """All of them, 500 a call, each read to its last page."""
        answered = {str(query["Id"]): _Answered() for query in queries}
        for start in range(0, len(queries), QUERIES):
            told = self._clients.pages(
                "cloudwatch",
                "get_metric_data",
                "MetricDataResults",
                MetricDataQueries=queries[start : start + QUERIES],
                StartTime=since,
                EndTime=until,
                ScanBy="TimestampAscending",
            )
            for one in told:
                mine = answered.get(str(one["Id"]))
                if mine is None:
                    continue
                # A figure may go over several pages: only the last one says whether it is all there.
                mine.complete = one.get("StatusCode") == "Complete"
                for time, value in zip(one.get("Timestamps") or (), one.get("Values") or (), strict=True):
                    mine.values[int(time.timestamp()) // self._period * self._period] = float(value)
        return answered

    def _place(self, endpoint: str, variant: str) -> _Place | None:
        """Where a variant serves; None: nowhere."""
        native = self._names.native(endpoint, variant)
        if not self._names.by_name:
            return native, variant
        now = self._clock.elapsed()
        with self._lock:
            known = self._only.get(native)
        if known is None or now - known[0] > _NAMED:
            seen = self._looks.seen(native)
            inside = declared(seen.config) if seen is not None else []
            if not inside:
                return None
            known = now, str(inside[0]["VariantName"])
            with self._lock:
                self._only[native] = known
        return native, known[1]


def _allowed(period: int) -> int:
    """A period that CloudWatch knows, and that is made of whole windows."""
    return max(60, period // 60 * 60) if period >= 60 else max(one for one in (10, 20, 30) if one <= max(10, period))


def _figures() -> Iterator[tuple[str, str]]:
    """What is asked of each variant."""
    yield from ((metric, "Sum") for metric in _COUNTS)
    yield from ((MODEL, statistic) for statistic in PERCENTILES)
    yield OVERHEAD, "Average"


def _query(number: str, namespace: str, metric: str, dimensions: Mapping[str, str], statistic: str, period: int) -> dict[str, Any]:
    told = [{"Name": name, "Value": value} for name, value in sorted(dimensions.items())]
    return {
        "Id": number,
        "MetricStat": {
            "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": told},
            "Period": period,
            "Stat": statistic,
        },
        "ReturnData": True,
    }


def _samples(
    endpoint: str, variant: str, label: str, figures: Mapping[str, Mapping[int, float]], period: int, since: datetime
) -> list[MetricSample]:
    def at(figure: str, begin: int) -> float:
        return figures.get(figure, {}).get(begin, 0.0)

    found = []
    for begin in sorted({begin for metric in _COUNTS for begin in figures.get(f"{metric} Sum", {})}):
        # Whatever was no 2xx is a model error, time-outs and broken answers too; some containers are counted by the status alone. What
        # SageMaker itself throws back because it is asked too often reaches no model, and is in none of these.
        failed = max(at(f"{FAILED} Sum", begin), at(f"{REFUSED} Sum", begin) + at(f"{BROKEN} Sum", begin))
        requests = max(at(f"{REQUESTS} Sum", begin), failed)
        # The consumer waits for both; of percentiles there is no sum, so that the usual overhead is added to each.
        overhead = at(f"{OVERHEAD} Average", begin)
        latency = {
            share: (told + overhead) / 1000
            for name, share in PERCENTILES.items()
            if (told := figures.get(f"{MODEL} {name}", {}).get(begin)) is not None
        }
        moment = datetime.fromtimestamp(begin, since.tzinfo)
        found.append(MetricSample(endpoint, variant, label, moment, float(period), round(requests), round(failed), 0, latency))
    return found
