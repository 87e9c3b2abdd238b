"""Faults on the way: each looks to botocore as the real one does, and the same seed plays the same run."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from aws.parts import Servers
from aws_offline.kit import Sage


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def refused(client: Any) -> str:
    """What a call is refused with; empty: it is not."""
    try:
        client.list_endpoints()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("sagemaker", "list_endpoints", "ExpiredTokenException"),
        ("appconfig", "list_applications", "ExpiredTokenException"),
        ("cloudwatch", "describe_alarms", "ExpiredTokenException"),
        ("sts", "get_caller_identity", "ExpiredTokenException"),
        ("s3", "list_buckets", "ExpiredToken"),
    ],
)
def test_expired_credentials_in_every_protocol(aws: Servers, service: str, operation: str, expected: str) -> None:
    aws.control(expired=True)
    with pytest.raises(ClientError) as caught:
        getattr(aws.client(service), operation)()
    assert code(caught) == expected
    aws.control()
    getattr(aws.client(service), operation)()


def test_throttling_has_its_share_and_its_seed(aws: Servers) -> None:
    client = aws.client("sagemaker")

    def run() -> list[str]:
        aws.control(throttle=0.3, seed=7, services=["sagemaker"])
        return [refused(client) for _ in range(100)]

    first = run()
    assert set(first) == {"", "ThrottlingException"}
    assert 15 <= first.count("ThrottlingException") <= 45
    assert run() == first
    aws.client("sts").get_caller_identity()


def test_only_some_operations_and_only_so_often(aws: Servers) -> None:
    client = aws.client("sagemaker")
    aws.control(http_500=1.0, operations=["ListModels"], times=2)
    client.list_endpoints()
    for _ in range(2):
        with pytest.raises(ClientError, match="InternalFailure"):
            client.list_models()
    client.list_models()


def test_the_effect_happens_and_the_answer_never_comes(aws: Servers) -> None:
    sage = Sage(aws)
    aws.control(timeout_after_effect=1.0)
    with pytest.raises(ConnectionClosedError):
        sage.model("m")
    assert sage.client.list_models()["Models"][0]["ModelName"] == "m"
    aws.control(timeout_after_effect=True, times=1)
    with pytest.raises(ConnectionClosedError):
        aws.client("appconfig").create_application(Name="shop")
    assert [one["Name"] for one in aws.client("appconfig").list_applications()["Items"]] == ["shop"]


def test_it_may_hang_as_well(aws: Servers) -> None:
    import boto3
    from botocore.config import Config

    keys = {"region_name": aws.region, "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    impatient = Config(read_timeout=0.3, retries={"total_max_attempts": 1})
    client = boto3.client("sagemaker", endpoint_url=aws.sagemaker, config=impatient, **keys)
    aws.control(timeout_after_effect=1.0, hang_seconds=1.0)
    with pytest.raises(ReadTimeoutError):
        client.create_model_package_group(ModelPackageGroupName="group")
    assert aws.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"][0]["ModelPackageGroupName"] == "group"


def test_an_unknown_setting_is_refused(aws: Servers) -> None:
    with pytest.raises(ValueError, match="no such setting: trottle"):
        aws.control(trottle=1)
    with pytest.raises(ValueError, match="no such fault: quiet"):
        aws.control(fault="quiet")
    with pytest.raises(ValueError, match="a share between 0 and 1"):
        aws.control(throttle=30)
