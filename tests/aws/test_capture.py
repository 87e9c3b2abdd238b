"""Captured data in a real S3: layout, names, slices, copies and our own questions, and how few calls that takes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aws.capture_kit import BUCKET, PREFIX, URI, all_of, ids, key, line, put
from aws.parts import PROFILE, Servers, context, until
from mlconsole.core.clock import SystemClock
from mlconsole.core.models import Field, ModelVersion, Signature, Slice
from mlconsole.plugin.errors import InvalidRequest, NotFound, UsageError
from mlconsole.plugin.roles import Observation
from mlconsole.plugin.simulator import ManualClock, simulated_version
from mlconsole_aws.capture import CapturedPredictions

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SIGNATURE = Signature(
    (Field("language", "BYTES"), Field("n", "INT64")), (Field("score", "FP32"),), "score", slices=(Slice("language", "/language"),)
)

Make = Callable[..., CapturedPredictions]


def serves(aws: Servers, *, percent: int = 100) -> None:
    """A SageMaker endpoint `relevance` with the variant v6, that captures; its container says what it was asked."""
    sagemaker = aws.client("sagemaker")
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=f"arn:aws:iam::{aws.account}:role/serving", PrimaryContainer={"Image": f"{aws.account}.dkr.ecr/m:1"}
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName="c",
        ProductionVariants=[{"VariantName": "v6", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": percent,
            "DestinationS3Uri": URI,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        },
    )
    sagemaker.create_endpoint(EndpointName="relevance", EndpointConfigName="c")
    until(lambda: sagemaker.describe_endpoint(EndpointName="relevance")["EndpointStatus"] == "InService")


@pytest.fixture
def s3(aws: Servers) -> Any:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.region})
    return client


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def make(aws: Servers, s3: Any, tmp_path: Path, clock: ManualClock) -> Make:
    def made(*released: tuple[str, str], by_name: bool = False, **options: Any) -> CapturedPredictions:
        given = context(aws, tmp_path, clock, by_name=by_name, sagemaker={"capture": URI, **options})
        if released:
            versions: dict[tuple[str, str], ModelVersion | None] = {
                pair: replace(simulated_version(pair[0], pair[1]), signature=SIGNATURE) for pair in released
            }
            given = replace(given, released=lambda: versions)
        return CapturedPredictions(given)

    return made


def test_what_was_asked_and_answered(make: Make, s3: Any) -> None:
    put(s3, key("relevance/v6", NOON, 1), line("a", NOON, score=0.25), line("b", NOON + timedelta(seconds=9), language="pl"))
    reader = make(("relevance", "v6"))
    one, other = all_of(reader, reader.cursor_at(NOON))[0]
    assert (one.endpoint, one.variant, one.request_id, one.score, one.slices) == ("relevance", "v6", "a", 0.25, {"language": "de"})
    assert (one.fields, one.output, one.pinned, one.probe, one.shadow) == ({"language": "de", "n": 1}, {"score": 0.25}, False, False, False)
    assert (other.slices, other.time) == ({"language": "pl"}, NOON + timedelta(seconds=9))
    assert one.input_hash != other.input_hash


def test_only_what_was_released_here_is_read_and_others_share_the_place(make: Make, s3: Any) -> None:
    for stream in ("relevance/v6", "relevance/v7", "somebody-elses/v6"):
        put(s3, key(stream, NOON, 1), line(stream, NOON))
    assert ids(all_of(make(("relevance", "v6")), make().cursor_at(NOON))[0]) == ["relevance/v6"]
    assert ids(all_of(make(), make().cursor_at(NOON))[0]) == ["relevance/v6", "relevance/v7", "somebody-elses/v6"]


def test_the_folder_of_a_variant_released_a_moment_ago_is_looked_into_again_soon(make: Make, s3: Any, clock: ManualClock) -> None:
    """A rollout waits for what comes: that nothing was there when it began, says nothing of half a minute later."""
    reader = make(("relevance", "v6"))
    found, cursor = all_of(reader, reader.cursor_at(NOON))
    assert found == []
    put(s3, key("relevance/v6", NOON + timedelta(seconds=5), 1), line("a", NOON + timedelta(seconds=5)))
    clock.advance(31)
    assert ids(all_of(reader, cursor)[0]) == ["a"]


def test_each_variant_an_endpoint_of_its_own(make: Make, s3: Any) -> None:
    put(s3, key("acme-relevance-v6/AllTraffic", NOON, 1), line("a", NOON))
    put(s3, key("old-one/variant-1", NOON, 2), line("b", NOON))
    put(s3, key("acme-translation-qc-v3/AllTraffic", NOON, 3), line("c", NOON))
    reader = make(
        ("relevance", "v6"),
        ("relevance", "v5"),
        ("translation-qc", "v3"),
        by_name=True,
        names="acme-{endpoint}-{variant}",
        adopted={"relevance": {"v5": "old-one"}},
    )
    found = {one.request_id: one for one in all_of(reader, reader.cursor_at(NOON))[0]}
    assert {name: (one.endpoint, one.variant) for name, one in found.items()} == {
        "a": ("relevance", "v6"),
        "b": ("relevance", "v5"),
        "c": ("translation-qc", "v3"),
    }
    assert all(one.pinned for one in found.values()), "nothing splits: who asks, asks for one by its name"
    assert found["a"].slices == {"language": "de"}


def test_names_that_follow_no_pattern_when_nobody_says_what_was_released(make: Make, s3: Any) -> None:
    put(s3, key("old-one/variant-1", NOON, 2), line("b", NOON))
    put(s3, key("relevance-v6/AllTraffic", NOON, 1), line("a", NOON))
    reader = make(by_name=True, adopted={"relevance": {"v5": "old-one"}})
    found = all_of(reader, reader.cursor_at(NOON))[0]
    assert sorted((one.endpoint, one.variant or "") for one in found) == [("relevance", "v5"), ("relevance", "v6")]


def test_our_own_questions_are_marked(make: Make, s3: Any) -> None:
    names = ("mlconsole-probe-1", "mlconsole-pinned-2", "order-3")
    put(s3, key("relevance/v6", NOON, 1), *(line(name, NOON, inferenceId=name) for name in names))
    found = {one.request_id: (one.probe, one.pinned) for one in all_of(make(), make().cursor_at(NOON))[0]}
    assert found == {"mlconsole-probe-1": (True, False), "mlconsole-pinned-2": (False, True), "order-3": (False, False)}


def test_a_big_file_in_many_pages_and_by_many_processes(make: Make, s3: Any) -> None:
    names = [f"r{number:05}" for number in range(3000)]
    put(s3, key("relevance/v6", NOON, 1), *(line(name, NOON) for name in names))
    cursor, found = make().cursor_at(NOON), []
    for _ in range(7):
        page = make().read(cursor, 700)
        assert len(page.observations) <= 700
        found += page.observations
        cursor = page.cursor
        if page.at_end:
            break
    assert [one.request_id for one in found] == names
    assert page.at_end


def test_late_files_come_once_and_the_cursor_is_taken_over(make: Make, s3: Any, clock: ManualClock) -> None:
    put(s3, key("relevance/v6", NOON, 1), line("a", NOON))
    found, cursor = all_of(make(), make().cursor_at(NOON))
    assert ids(found) == ["a"]
    clock.advance(4000)
    put(s3, key("relevance/v6", NOON - timedelta(minutes=1), 2), line("late", NOON + timedelta(seconds=1)))
    put(s3, key("relevance/v6", NOON + timedelta(hours=1), 3), line("c", NOON + timedelta(hours=1)))
    found, cursor = all_of(make(), cursor)
    assert ids(found) == ["c", "late"]
    assert all_of(make(), cursor)[0] == []


def test_calls_are_as_few_as_there_are_folders(make: Make, s3: Any, aws: Servers, clock: ManualClock) -> None:
    for number in range(40):
        put(s3, key("relevance/v6", NOON - timedelta(days=3, minutes=number), number), line("x", NOON))
    put(s3, key("relevance/v6", NOON, 99), line("a", NOON))
    reader = make(("relevance", "v6"), ("relevance", "v7"))
    found, cursor = all_of(reader, reader.cursor_at(NOON))
    assert ids(found) == ["a"]

    def asked() -> int:
        return sum(count for name, count in aws.calls().items() if name.startswith("s3:"))

    before = asked()
    assert reader.read(cursor).at_end
    assert asked() == before, "captured data come minutes late: it is not asked again at once"
    for _ in range(8):
        clock.advance(31)
        page = reader.read(cursor)
        assert page.at_end
        cursor = page.cursor
    assert asked() == before + 8 + 4, "v7 captured nothing: it is looked for less and less often, after 31, 62, 124 and 248 s"


def test_a_file_that_changed_meanwhile_is_not_read_on(make: Make, s3: Any) -> None:
    name = key("relevance/v6", NOON, 1)
    put(s3, name, line("a", NOON), line("b", NOON))
    page = make().read(make().cursor_at(NOON), 1)
    put(s3, name, line("c", NOON), line("d", NOON))
    found, cursor = all_of(make(), page.cursor)
    assert (ids(page.observations), ids(found)) == (["a"], [])
    assert make().coverage(cursor).trouble == ("1 captured file changed or went away before the end was read",)


def test_garbage_costs_nothing_else(make: Make, s3: Any) -> None:
    packed = gzip.compress(line("packed", NOON).encode())
    s3.put_object(Bucket=BUCKET, Key=key("relevance/v6", NOON, 1), Body=packed)
    put(s3, key("relevance/v6", NOON, 2), "{}\n", line("a", NOON))
    found, cursor = all_of(make(), make().cursor_at(NOON))
    assert ids(found) == ["a"]
    assert "could not be understood" in make().coverage(cursor).trouble[0]


def test_a_bucket_that_is_not_there_is_said(make: Make, s3: Any) -> None:
    reader = make(("relevance", "v6"), capture="s3://nobodys/place")
    with pytest.raises(NotFound, match="knows nothing"):
        reader.read(reader.cursor_at(NOON))
    with pytest.raises(InvalidRequest):
        make().read("{}")
    with pytest.raises(UsageError, match="is not said"):
        make(capture=None)


def test_the_aws_command_sees_the_same_files(make: Make, s3: Any, aws: Servers) -> None:
    """What an operator would look at: a file that the command line wrote is read, and lies where ours is."""
    folder = key("relevance/v6", NOON, 1).rpartition("/")[0]
    put(s3, key("relevance/v6", NOON, 1), line("a", NOON))
    listed = aws.aws("s3api", "list-objects-v2", "--bucket", BUCKET, "--prefix", f"{PREFIX}/relevance/v6/")
    assert [one["Key"] for one in listed["Contents"]] == [key("relevance/v6", NOON, 1)]
    copied = f"{folder}/59-59-000-{listed['Contents'][0]['ETag'].strip(chr(34))}.jsonl"
    aws.aws("s3api", "copy-object", "--bucket", BUCKET, "--copy-source", f"{BUCKET}/{listed['Contents'][0]['Key']}", "--key", copied)
    assert ids(all_of(make(), make().cursor_at(NOON))[0]) == ["a", "a"]


def test_what_an_endpoint_captures_is_read(aws: Servers, s3: Any, tmp_path: Path) -> None:
    """The other way round: requests go to an endpoint, and its own capture writes them (as Base64, for nobody told it the types)."""
    serves(aws)
    runtime = aws.client("sagemaker-runtime")
    versions = {("relevance", "v6"): replace(simulated_version("relevance", "6"), signature=SIGNATURE)}
    given = replace(context(aws, tmp_path, sagemaker={"capture": URI}), released=lambda: versions)
    began = CapturedPredictions(given).cursor_at(SystemClock().now() - timedelta(seconds=5))
    for number, language in enumerate(("de", "pl", "de")):
        body = json.dumps({"language": language, "n": number})
        asked = {"EndpointName": "relevance", "ContentType": "application/json", "Body": body}
        runtime.invoke_endpoint(**asked, InferenceId=f"mlconsole-probe-{number}" if number == 2 else f"order-{number}")

    def read() -> list[Observation]:
        found = CapturedPredictions(given).read(began).observations  # each time as another process would
        return list(found) if len(found) == 3 else []

    found = sorted(until(read), key=lambda one: one.request_id)
    assert [(one.request_id, one.variant, one.slices, one.fields["n"], one.probe) for one in found] == [
        ("mlconsole-probe-2", "v6", {"language": "de"}, 2, True),
        ("order-0", "v6", {"language": "de"}, 0, False),
        ("order-1", "v6", {"language": "pl"}, 1, False),
    ]


def test_an_environment_takes_them_in_and_says_what_they_are(aws: Servers, s3: Any, tmp_path: Path) -> None:
    """Whole: released by mlconsole, read by its signature, kept in the store, and told with what is missing."""
    from engine.kit import deploy
    from mlconsole.engine.health import HealthWatch
    from mlconsole.engine.session import Session
    from mlconsole.plugin import simulator
    from mlconsole.workspace import load
    from mlconsole_aws import plugin

    options = {"region": aws.region, "account": aws.account, "profile": PROFILE, "config_file": str(aws.config_file)}
    environment = {
        "serving": "simulator",
        "predictions": "aws",
        "options": {"simulator": {"world": "world.json", "shape": "staged"}, "aws": {**options, "sagemaker": {"capture": URI}}},
    }
    body = {"workspace": "test", "default_environment": "staging", "environments": {"staging": environment}, "models": {"relevance": {}}}
    (tmp_path / "mlconsole.yaml").write_text(json.dumps(body))
    clock = ManualClock(NOON)
    workspace = load(tmp_path)
    plugins = {"simulator": simulator.plugin, "aws": plugin}
    session = Session(workspace, workspace.environments["staging"], clock=clock, plugins=plugins)
    session.registry.add_version(replace(simulated_version("relevance", "6"), signature=SIGNATURE))
    assert deploy(session, "6").done
    serves(aws, percent=20)
    now = clock.now()
    put(s3, key("relevance/v6", now, 1), "no json\n", *(line(f"r{number}", now, language="pl") for number in range(3)))
    clock.advance(240)
    view = HealthWatch(session).look()
    assert view.as_of == now.replace(microsecond=0)
    assert "1 captured line could not be understood" in view.trouble
    assert view.notes == (
        "20 of 100 requests of SageMaker endpoint relevance are captured",
        "captured predictions came up to 4 min late",
    )
    kept = session.observations.rows("staging", "relevance", now.timestamp() - 60, now.timestamp() + 60)
    assert {(one.request_id, tuple(one.slices.items()), one.score) for one in kept} == {
        (f"r{n}", (("language", "pl"),), 0.5) for n in range(3)
    }
    session.close()
