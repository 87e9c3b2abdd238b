"""CloudWatch's figures, as ministack keeps them: units, places, whole minutes, few calls; by slice from the application's own metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aws.parts import Servers, context
from mlconsole.plugin.errors import Throttled
from mlconsole.plugin.measuring import Measured, Metrics, MetricSample
from mlconsole_aws.metrics import QUERIES, CloudWatchMetrics

NATIVE = "AWS/SageMaker"
APPLICATION = {
    "namespace": "Shop",
    "requests": "Requests",
    "errors": "Errors",
    "dimensions": {"endpoint": "Endpoint", "variant": "Variant", "language": "Lang"},
}
MINUTE = datetime.fromtimestamp(int(datetime.now(UTC).timestamp() // 60 - 10) * 60, UTC)
"""Ten minutes ago: all figures of it are whole."""


class Writer:
    """Writes figures as SageMaker and the application would, with their own times."""

    def __init__(self, servers: Servers) -> None:
        self._client = servers.client("cloudwatch")

    def put(self, namespace: str, metric: str, dimensions: Mapping[str, str], values: Mapping[float, int], at: datetime) -> None:
        """`values`: a value → how often it was seen."""
        self._client.put_metric_data(Namespace=namespace, MetricData=[_datum(metric, dimensions, values, at)])

    def minute(self, endpoint: str, variant: str, at: datetime, good: int, *, failed: int = 0) -> None:
        """A minute of a variant: each request a 1 (or 0), 20 ms in the model (a tenth of them 200 ms) and 5 ms on the way, in µs."""
        own = {"EndpointName": endpoint, "VariantName": variant}
        slow, bad = max(1, good // 20), {0: good, 1: failed} if failed else {0: good}
        figures: Mapping[str, Mapping[float, int]] = {
            "Invocations": {1: good + failed},
            "InvocationModelErrors": bad,
            "Invocation5XXErrors": bad,
            "Invocation4XXErrors": {0: good + failed},
            "ModelLatency": {20_000.0: max(1, good - 2 * slow), 200_000.0: 2 * slow},
            "OverheadLatency": {5_000.0: good + failed},
        }
        data = [_datum(metric, own, values, at) for metric, values in figures.items()]
        self._client.put_metric_data(Namespace=NATIVE, MetricData=data)


def _datum(metric: str, dimensions: Mapping[str, str], values: Mapping[float, int], at: datetime) -> dict[str, Any]:
    return {
        "MetricName": metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Timestamp": at,
        "Values": list(map(float, values)),
        "Counts": [float(count) for count in values.values()],
    }


@pytest.fixture
def writer(aws: Servers) -> Writer:
    return Writer(aws)


def role(servers: Servers, folder: Path, *, by_name: bool = False, **more: Any) -> CloudWatchMetrics:
    return CloudWatchMetrics(context(servers, folder, by_name=by_name, **more))


def asked(found: Measured, variant: str, label: str = "") -> list[MetricSample]:
    return sorted((one for one in found.samples if one.variant == variant and one.slice == label), key=lambda one: one.begin)


def test_requests_failures_and_latency_in_our_units(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    for number in range(3):
        writer.minute("relevance", "v6", MINUTE + timedelta(minutes=number, seconds=7), 300, failed=3 * number)
    writer.minute("relevance", "v7", MINUTE + timedelta(minutes=1), 40)
    writer.minute("other", "v6", MINUTE, 999)
    metrics = role(aws, tmp_path)
    assert isinstance(metrics, Metrics)
    found = metrics.samples({"relevance": ("v6", "v7")}, MINUTE, MINUTE + timedelta(minutes=3))
    assert not found.incomplete
    assert not found.by_slice
    first, second, third = asked(found, "v6")
    assert (first.begin, first.seconds, first.requests, first.failed, first.throttled) == (MINUTE, 60.0, 300, 0, 0)
    assert (second.requests, second.failed) == (303, 3)
    assert (third.requests, third.failed) == (306, 6)
    # 20 ms in the model and 5 ms on the way; µs at CloudWatch.
    assert first.latency[50.0] == pytest.approx(25.0)
    assert first.latency[99.0] == pytest.approx(205.0)
    assert [one.begin for one in asked(found, "v7")] == [MINUTE + timedelta(minutes=1)]
    # Another pair of eyes.
    told = aws.aws(
        "cloudwatch", "get-metric-statistics", "--namespace", NATIVE, "--metric-name", "Invocations", "--start-time", MINUTE.isoformat(),
        "--end-time", (MINUTE + timedelta(minutes=3)).isoformat(), "--period", "60", "--statistics", "Sum",
        "--dimensions", "Name=EndpointName,Value=relevance", "Name=VariantName,Value=v6",
    )  # fmt: skip
    assert sorted(one["Sum"] for one in told["Datapoints"]) == [300.0, 303.0, 306.0]


def test_only_the_minutes_that_were_asked_for(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    for number in range(4):
        writer.minute("relevance", "v6", MINUTE + timedelta(minutes=number), 60)
    found = role(aws, tmp_path).samples({"relevance": ("v6",)}, MINUTE + timedelta(minutes=1), MINUTE + timedelta(minutes=3))
    assert [one.begin for one in asked(found, "v6")] == [MINUTE + timedelta(minutes=1), MINUTE + timedelta(minutes=2)]


def test_a_minute_without_a_figure_is_no_sample(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    writer.minute("relevance", "v6", MINUTE + timedelta(minutes=2), 60)
    found = role(aws, tmp_path).samples({"relevance": ("v6",), "nobody": ("v1",)}, MINUTE, MINUTE + timedelta(minutes=5))
    assert [one.begin for one in found.samples] == [MINUTE + timedelta(minutes=2)]
    assert not found.incomplete


def test_many_endpoints_are_asked_for_in_few_calls(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    """100 endpoints of two variants: 1 600 queries."""
    for number in (0, 63, 99):
        writer.minute(f"e{number}", "v1", MINUTE, 10 + number)
    metrics = role(aws, tmp_path)
    before = metrics._clients.calls["cloudwatch:GetMetricData"]
    found = metrics.samples({f"e{number}": ("v1", "v2") for number in range(100)}, MINUTE, MINUTE + timedelta(minutes=1))
    assert metrics._clients.calls["cloudwatch:GetMetricData"] - before == -(-1600 // QUERIES)
    assert {one.endpoint: one.requests for one in found.samples} == {"e0": 10, "e63": 73, "e99": 109}


def test_names_follow_the_workspace(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    writer.minute("prod-relevance", "v6", MINUTE, 12)
    writer.minute("old-name", "v3", MINUTE, 34)
    metrics = role(aws, tmp_path, sagemaker={"names": "prod-{endpoint}", "adopted": {"delays": {"v3": "old-name"}}})
    found = metrics.samples({"relevance": ("v6",), "delays": ("v3",)}, MINUTE, MINUTE + timedelta(minutes=1))
    assert {(one.endpoint, one.variant): one.requests for one in found.samples} == {("relevance", "v6"): 12, ("delays", "v3"): 34}


def test_by_name_each_variant_is_an_endpoint_with_whatever_variant_it_has(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    sagemaker = aws.client("sagemaker")
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "i"}, ExecutionRoleArn="arn:aws:iam::123456789012:role/serving")
    for native, production in (("relevance-v6", "AllTraffic"), ("theirs", "variant-1")):
        variant = {
            "VariantName": production,
            "ModelName": "m",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1.0,
        }
        sagemaker.create_endpoint_config(EndpointConfigName=native, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=native, EndpointConfigName=native)
        writer.minute(native, production, MINUTE, len(native))
    metrics = role(aws, tmp_path, by_name=True, sagemaker={"adopted": {"relevance": {"v5": "theirs"}}})
    wanted = {"relevance": ("v5", "v6", "v7")}
    found = metrics.samples(wanted, MINUTE, MINUTE + timedelta(minutes=1))
    assert {one.variant: one.requests for one in found.samples} == {"v6": 12, "v5": 6}
    before = metrics._clients.calls["sagemaker:DescribeEndpoint"]
    metrics.samples({"relevance": ("v5", "v6")}, MINUTE, MINUTE + timedelta(minutes=1))
    assert metrics._clients.calls["sagemaker:DescribeEndpoint"] == before, "how it is called does not change each minute"


# What is not whole.


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Callable[[CloudWatchMetrics, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Pages of GetMetricData that ministack never gives: *PartialData*, and a figure that goes over two pages."""

    def give(metrics: CloudWatchMetrics, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def call(service: str, operation: str, **parameters: Any) -> dict[str, Any]:
            assert (service, operation) == ("cloudwatch", "get_metric_data")
            calls.append(parameters)
            return told[len(calls) - 1]

        monkeypatch.setattr(metrics._clients, "call", call)
        return calls

    return give


def result(number: int, value: float, status: str = "Complete", minute: int = 0) -> dict[str, Any]:
    return {"Id": f"q{number}", "StatusCode": status, "Timestamps": [MINUTE + timedelta(minutes=minute)], "Values": [value]}


def test_what_is_partial_is_incomplete_and_never_a_figure(aws: Servers, tmp_path: Path, pages: Any) -> None:
    """Eight queries for `a`, eight for `b`: the third of `b` is not all there."""
    metrics = role(aws, tmp_path)
    told = [result(number, 5.0, "PartialData" if number == 10 else "Complete") for number in range(16)]
    pages(metrics, [{"MetricDataResults": told}])
    found = metrics.samples({"a": ("v1",), "b": ("v1",)}, MINUTE, MINUTE + timedelta(minutes=1))
    assert found.incomplete == ("b",)
    assert {one.endpoint for one in found.samples} == {"a"}


def test_a_query_that_is_not_answered_is_incomplete(aws: Servers, tmp_path: Path, pages: Any) -> None:
    metrics = role(aws, tmp_path)
    pages(metrics, [{"MetricDataResults": [result(number, 5.0) for number in range(15)]}])
    assert metrics.samples({"a": ("v1",), "b": ("v1",)}, MINUTE, MINUTE + timedelta(minutes=1)).incomplete == ("b",)


def test_a_figure_over_two_pages_is_read_to_its_end(aws: Servers, tmp_path: Path, pages: Any) -> None:
    metrics = role(aws, tmp_path)
    first = [result(number, 5.0, "PartialData") for number in range(8)]
    second = [result(number, 7.0, minute=1) for number in range(8)]
    calls = pages(metrics, [{"MetricDataResults": first, "NextToken": "more"}, {"MetricDataResults": second}])
    found = metrics.samples({"a": ("v1",)}, MINUTE, MINUTE + timedelta(minutes=2))
    assert calls[1]["NextToken"] == "more"
    assert not found.incomplete
    assert [(one.begin, one.requests) for one in found.samples] == [(MINUTE, 10), (MINUTE + timedelta(minutes=1), 14)]


def test_throttling_is_no_failure_of_anything(aws: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = role(aws, tmp_path)

    def call(*_: Any, **__: Any) -> Iterator[Any]:
        raise Throttled("AWS throttles (get metric data).")

    monkeypatch.setattr(metrics._clients, "call", call)
    with pytest.raises(Throttled):
        metrics.samples({"a": ("v1",)}, MINUTE, MINUTE + timedelta(minutes=1))


# By slice.


def application(writer: Writer, at: datetime, requests: int, errors: int, **dimensions: str) -> None:
    writer.put("Shop", "Requests", dimensions, {1: requests}, at)
    if errors:
        writer.put("Shop", "Errors", dimensions, {1: errors}, at)


def test_slices_come_from_the_applications_own_metric(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    writer.minute("relevance", "v6", MINUTE, 100)
    application(writer, MINUTE, 60, 0, Endpoint="relevance", Variant="v6", Lang="en")
    application(writer, MINUTE, 40, 9, Endpoint="relevance", Variant="v6", Lang="de")
    # Totals of its own, and what is of nobody here.
    application(writer, MINUTE, 100, 9, Endpoint="relevance", Variant="v6")
    application(writer, MINUTE, 40, 9, Endpoint="relevance", Variant="v6", Lang="de", Host="h1")
    application(writer, MINUTE, 77, 0, Endpoint="elsewhere", Variant="v6", Lang="de")
    application(writer, MINUTE, 77, 0, Endpoint="relevance", Variant="v5", Lang="de")
    metrics = role(aws, tmp_path, cloudwatch={"application": APPLICATION})
    found = metrics.samples({"relevance": ("v6",)}, MINUTE, MINUTE + timedelta(minutes=1))
    assert found.by_slice
    assert {one.slice: (one.requests, one.failed, bool(one.latency)) for one in found.samples} == {
        "": (100, 0, True),
        "language=en": (60, 0, False),
        "language=de": (40, 9, False),
    }


def test_an_application_that_names_no_variant_is_believed_where_there_is_one_only(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    application(writer, MINUTE, 60, 6, Endpoint="relevance", Lang="en")
    metrics = role(aws, tmp_path, cloudwatch={"application": APPLICATION})
    alone = metrics.samples({"relevance": ("v6",)}, MINUTE, MINUTE + timedelta(minutes=1))
    assert [(one.slice, one.variant, one.failed) for one in alone.samples] == [("language=en", "v6", 6)]
    beside = metrics.samples({"relevance": ("v6", "v7")}, MINUTE, MINUTE + timedelta(minutes=1))
    assert not beside.samples, "nobody can tell whose they are"


def test_an_application_may_name_the_sagemaker_endpoint_of_a_variant(aws: Servers, writer: Writer, tmp_path: Path) -> None:
    metrics = role(aws, tmp_path, by_name=True, cloudwatch={"application": APPLICATION})
    found = metrics._application
    assert found is not None
    application(writer, MINUTE, 60, 6, Endpoint="relevance-v6", Lang="en")
    application(writer, MINUTE, 50, 5, Endpoint="relevance", Variant="relevance-v7", Lang="en")
    places = {("relevance", "v6"): ("relevance-v6", "AllTraffic"), ("relevance", "v7"): ("relevance-v7", "AllTraffic")}
    assert {(one.variant, one.slice) for one in found.series(places)} == {("v6", "language=en"), ("v7", "language=en")}


@pytest.mark.parametrize(("said", "taken"), [(60, 60), (10, 10), (45, 30), (90, 60), (300, 300)])
def test_the_period_is_one_that_cloudwatch_knows(aws: Servers, tmp_path: Path, said: int, taken: int) -> None:
    assert role(aws, tmp_path, cloudwatch={"period": said}).resolution().period == taken
