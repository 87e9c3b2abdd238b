"""The runtime: real models answer, weights are honoured, captured data and figures arrive as they do from the real service."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws.parts import Servers, until
from aws_offline.kit import Sage, production, query


@pytest.fixture
def sage(aws: Servers) -> Iterator[Sage]:
    made = Sage(aws)
    yield made
    assert made.wrong == []


CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://models/captured/here",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
}


def bucket(sage: Sage) -> None:
    sage.s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": sage.servers.region})


def captured(sage: Sage) -> dict[str, list[dict[str, Any]]]:
    """Key → its records."""
    sage.servers.flush()
    found = sage.s3.list_objects_v2(Bucket="models", Prefix="captured/").get("Contents") or ()
    read = {one["Key"]: sage.s3.get_object(Bucket="models", Key=one["Key"])["Body"].read().decode() for one in found}
    return {key: [json.loads(line) for line in text.splitlines()] for key, text in read.items()}


def test_a_sample_model_answers_and_is_read_back(sage: Sage) -> None:
    sage.model("r3", ModelDataUrl=sage.upload("relevance", "v3", "r3.tar.gz"))
    sage.model("r4", ModelDataUrl=sage.upload("relevance", "v4", "r4.tar.gz"))
    variants = [production("v3", 1, 1, "r3"), production("v4", 0, 1, "r4")]
    sage.client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)
    sage.client.create_endpoint(EndpointName="relevance", EndpointConfigName="c")
    sage.settled("relevance")
    told = {}
    for variant in ("v3", "v4"):
        answer = sage.invoke(query("relevance"), "relevance", TargetVariant=variant)
        assert answer["InvokedProductionVariant"] == variant
        (output,) = json.loads(answer["Body"])["outputs"]
        assert (output["name"], output["datatype"]) == ("score", "FP32")
        assert 0 <= output["data"][0] <= 1
        told[variant] = output["data"][0]
    assert told["v3"] != told["v4"]


def test_weights_are_honoured_and_zero_gets_nothing(sage: Sage) -> None:
    sage.serve(("a", 30), ("b", 10), ("c", 0))
    seen = Counter(sage.invoke()["InvokedProductionVariant"] for _ in range(200))
    assert set(seen) == {"a", "b"}
    assert 30 <= seen["b"] <= 75
    assert sage.invoke(TargetVariant="c")["InvokedProductionVariant"] == "c"


def test_errors_are_the_runtimes_own(sage: Sage) -> None:
    sage.serve(("a", 1))
    with pytest.raises(ClientError, match=r"\(ValidationError\).*Endpoint nothing of account 123456789012 not found"):
        sage.invoke(endpoint="nothing")
    with pytest.raises(ClientError, match=r"\(ValidationError\).*Variant z not found"):
        sage.invoke(TargetVariant="z")
    sage.servers.control(model_errors={"a": 1.0})
    with pytest.raises(ClientError) as caught:
        sage.invoke()
    told = caught.value.response
    assert (told["Error"]["Code"], told["OriginalStatusCode"], told["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 500, 424)


def test_a_model_that_takes_no_such_input_is_a_client_error_of_the_model(sage: Sage) -> None:
    sage.model("r3", ModelDataUrl=sage.upload("relevance", "v3", "r3.tar.gz"))
    sage.config("c", ("a", 1), model="r3")
    sage.client.create_endpoint(EndpointName="e", EndpointConfigName="c")
    sage.settled()
    with pytest.raises(ClientError) as caught:
        sage.invoke("{}")
    assert caught.value.response["OriginalStatusCode"] == 400
    assert "inputs" in caught.value.response["OriginalMessage"]


def test_captured_data_lie_under_the_real_keys_in_the_real_form(sage: Sage) -> None:
    bucket(sage)
    sage.serve(("a", 1), DataCaptureConfig=CAPTURE)
    before = datetime.now(UTC).replace(microsecond=0)
    sage.invoke('{"x": 1}', InferenceId="mlc-1", CustomAttributes="probe")
    ((key, (record,)),) = captured(sage).items()
    start, hour, name = key.rsplit("/", 5)[0], "/".join(key.split("/")[-5:-1]), key.rpartition("/")[2]
    assert start == "captured/here/e/a"
    assert before.strftime("%Y/%m/%d") == hour.rpartition("/")[0]
    assert name.endswith(".jsonl")
    side = {"observedContentType": "application/json", "data": '{"x": 1}', "encoding": "JSON"}
    assert record["captureData"] == {"endpointInput": {**side, "mode": "INPUT"}, "endpointOutput": {**side, "mode": "OUTPUT"}}
    told = record["eventMetadata"]
    assert before <= datetime.fromisoformat(told["inferenceTime"]) <= before + timedelta(minutes=1)
    assert (told["inferenceId"], told["customAttributes"], record["eventVersion"]) == ("mlc-1", ["probe"], "0")
    assert told["eventId"]


def test_unnamed_content_types_are_base64_and_sampling_and_sides_are_kept(sage: Sage) -> None:
    bucket(sage)
    config = {**CAPTURE, "CaptureOptions": [{"CaptureMode": "Output"}], "InitialSamplingPercentage": 50}
    del config["CaptureContentTypeHeader"]
    sage.serve(("a", 1), DataCaptureConfig=config)
    for _ in range(100):
        sage.invoke('{"x": 1}')
    records = [one for found in captured(sage).values() for one in found]
    assert 25 <= len(records) <= 75
    assert set(records[0]["captureData"]) == {"endpointOutput"}
    told = records[0]["captureData"]["endpointOutput"]
    assert (told["encoding"], base64.b64decode(told["data"])) == ("BASE64", b'{"x": 1}')


def test_failed_invocations_are_not_captured(sage: Sage) -> None:
    bucket(sage)
    sage.serve(("a", 1), DataCaptureConfig=CAPTURE)
    sage.servers.control(model_errors={"a": 1.0})
    with pytest.raises(ClientError):
        sage.invoke()
    sage.servers.flush()
    assert captured(sage) == {}


def test_captured_data_can_be_made_to_go_by_themselves(sage: Sage) -> None:
    bucket(sage)
    sage.serve(("a", 1), DataCaptureConfig=CAPTURE)
    sage.invoke()
    assert len(captured(sage)) == 1
    sage.servers.control(capture_keep_seconds=0.0)
    until(lambda: captured(sage) == {})


def test_a_shadow_gets_a_copy_and_never_answers(sage: Sage) -> None:
    bucket(sage)
    sage.serve(("a", 1), DataCaptureConfig=CAPTURE, ShadowProductionVariants=[production("s", 1)])
    for _ in range(5):
        assert sage.invoke('{"x": 1}')["InvokedProductionVariant"] == "a"

    def counts() -> Counter[str]:
        return Counter(key.split("/")[3] for key, found in captured(sage).items() for _ in found)

    assert until(lambda: (found := counts())["s"] == 5 and found) == {"a": 5, "s": 5}


def test_figures_reach_cloudwatch_in_the_real_units(sage: Sage) -> None:
    sage.serve(("a", 1))
    sage.servers.control(latency_ms={"a": 20.0})
    for _ in range(4):
        sage.invoke()
    sage.servers.control(model_errors={"a": 1.0})
    with pytest.raises(ClientError):
        sage.invoke()
    sage.servers.flush()
    assert figure(sage, "Invocations", "Sum") == 5
    assert figure(sage, "Invocation5XXErrors", "Sum") == 1
    assert figure(sage, "InvocationModelErrors", "Average") == pytest.approx(0.2)
    assert figure(sage, "Invocation4XXErrors", "Sum") == 0
    assert 20_000 <= figure(sage, "ModelLatency", "Maximum") <= 5_000_000
    assert figure(sage, "ModelLatency", "SampleCount") == 5


def test_what_a_container_says_is_in_the_logs(sage: Sage) -> None:
    sage.serve(("a", 1))
    sage.servers.control(model_errors={"a": 1.0})
    with pytest.raises(ClientError):
        sage.invoke()
    sage.servers.flush()
    logs, group = sage.servers.client("logs"), "/aws/sagemaker/Endpoints/e"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"].startswith("a/i-")
    lines = [one["message"] for one in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]]
    assert lines[-1].startswith("500: ")


def figure(sage: Sage, name: str, statistic: str) -> float:
    now = datetime.now(UTC)
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "a"}]
    points = sage.servers.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=dimensions,
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=7200,
        Statistics=[statistic],
    )["Datapoints"]
    assert len(points) == 1, points
    return float(points[0][statistic])
