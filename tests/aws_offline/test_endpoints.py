"""Endpoints as field notes §3 describe the real ones: statuses over time, weights, what is refused, what a played fault looks like."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws.parts import Servers, until
from aws_offline.kit import IMAGE, ROLE, Sage, production


@pytest.fixture
def sage(aws: Servers) -> Iterator[Sage]:
    made = Sage(aws)
    yield made
    assert made.wrong == []


def refused(call: Any, *words: str, code: str = "ValidationException", **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    told = caught.value.response["Error"]
    assert told["Code"] == code, told
    for word in words:
        assert word in told["Message"], told
    return str(told["Message"])


def test_a_new_endpoint_is_creating_first_and_says_what_comes(sage: Sage) -> None:
    sage.model("m")
    sage.config("c1", ("a", 90), ("b", 0), count=2)
    sage.client.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    found = sage.describe()
    assert found["EndpointStatus"] == "Creating"
    assert "ProductionVariants" not in found
    assert found["PendingDeploymentSummary"]["EndpointConfigName"] == "c1"
    refused(sage.client.update_endpoint, "Cannot update in-progress endpoint", EndpointName="e", EndpointConfigName="c1")
    refused(sage.client.delete_endpoint, "Cannot update in-progress endpoint", EndpointName="e")
    found, seen = sage.settled()
    assert seen == ["Creating", "InService"]
    assert found["LastModifiedTime"] > found["CreationTime"]
    assert "PendingDeploymentSummary" not in found
    assert sage.weights() == {"a": (90.0, 2), "b": (0.0, 2)}


def test_weights_move_asynchronously_and_counts_stay(sage: Sage) -> None:
    sage.serve(("a", 90), ("b", 10), count=3)
    before = sage.describe()["LastModifiedTime"]
    wanted = [{"VariantName": "a", "DesiredWeight": 25}, {"VariantName": "b", "DesiredWeight": 75}]
    sage.client.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=wanted)
    moving = sage.describe()
    assert moving["EndpointStatus"] == "Updating"
    assert [(one["CurrentWeight"], one["DesiredWeight"]) for one in moving["ProductionVariants"]] == [(90, 25), (10, 75)]
    found, seen = sage.settled()
    assert seen == ["Updating", "InService"]
    assert sage.weights() == {"a": (25.0, 3), "b": (75.0, 3)}
    assert found["LastModifiedTime"] > before


def test_an_update_without_retain_resets_weights_and_counts_to_the_config(sage: Sage) -> None:
    sage.serve(("a", 90), ("b", 10), count=1)
    live = [{"VariantName": "a", "DesiredWeight": 50, "DesiredInstanceCount": 4}, {"VariantName": "b", "DesiredWeight": 50}]
    sage.client.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=live)
    sage.settled()
    sage.config("c2", ("a", 1), ("b", 1), ("c", 0), count=2)
    sage.client.update_endpoint(EndpointName="e", EndpointConfigName="c2", RetainAllVariantProperties=True)
    assert sage.describe()["EndpointConfigName"] == "c1"
    sage.settled()
    assert sage.weights() == {"a": (50.0, 4), "b": (50.0, 1), "c": (0.0, 2)}
    assert sage.describe()["EndpointConfigName"] == "c2"
    sage.config("c3", ("a", 7), ("b", 1), count=2)
    excluded = [{"VariantPropertyType": "DesiredWeight"}]
    sage.client.update_endpoint(
        EndpointName="e", EndpointConfigName="c3", RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=excluded
    )
    sage.settled()
    assert sage.weights() == {"a": (7.0, 4), "b": (1.0, 1)}
    sage.config("c4", ("a", 1), ("b", 1), count=2)
    sage.client.update_endpoint(EndpointName="e", EndpointConfigName="c4")
    sage.settled()
    assert sage.weights() == {"a": (1.0, 2), "b": (1.0, 2)}


def test_a_missing_endpoint_is_a_validation_error(sage: Sage) -> None:
    for call in (sage.client.describe_endpoint, sage.client.delete_endpoint):
        refused(call, "Could not find endpoint", "endpoint/nothing", EndpointName="nothing")
    refused(sage.client.describe_endpoint_config, "Could not find endpoint configuration", EndpointConfigName="nothing")
    refused(sage.client.describe_model, "Could not find model", ModelName="nothing")
    refused(sage.client.create_endpoint, "Could not find endpoint configuration", EndpointName="e", EndpointConfigName="nothing")


def test_models_and_configs_never_change(sage: Sage) -> None:
    sage.serve(("a", 1))
    container = {"Image": IMAGE}
    refused(sage.client.create_model, "already existing model", ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    refused(sage.client.create_endpoint_config, "already existing", EndpointConfigName="c1", ProductionVariants=[production("other", 1)])
    refused(sage.client.create_endpoint, "already existing endpoint", EndpointName="e", EndpointConfigName="c1")
    refused(
        sage.client.create_endpoint_config,
        "Could not find model",
        EndpointConfigName="c9",
        ProductionVariants=[production("a", 1, 1, "no")],
    )


def test_what_an_endpoint_uses_may_be_deleted_and_it_goes_on(sage: Sage) -> None:
    sage.serve(("a", 1))
    sage.client.delete_endpoint_config(EndpointConfigName="c1")
    sage.client.delete_model(ModelName="m")
    assert sage.invoke('{"x": 1}')["Body"] == b'{"x": 1}'
    refused(sage.client.describe_endpoint_config, "Could not find endpoint configuration", EndpointConfigName="c1")


def test_a_deleted_endpoint_is_deleting_then_gone(sage: Sage) -> None:
    sage.serve(("a", 1))
    sage.client.delete_endpoint(EndpointName="e")
    assert sage.describe()["EndpointStatus"] == "Deleting"
    until(lambda: sage.client.list_endpoints()["Endpoints"] == [])
    refused(sage.client.describe_endpoint, "Could not find endpoint", EndpointName="e")


def test_a_silent_rollback_ends_in_service_with_the_old_config_and_no_reason(sage: Sage) -> None:
    sage.serve(("a", 90), ("b", 10))
    sage.config("c2", ("a", 1), ("b", 9))
    sage.servers.control(fault="silent_rollback")
    sage.client.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    found, seen = sage.settled()
    assert seen == ["Updating", "RollingBack", "InService"]
    assert (found["EndpointConfigName"], found.get("FailureReason")) == ("c1", None)
    assert sage.weights() == {"a": (90.0, 1), "b": (10.0, 1)}


@pytest.mark.parametrize(
    ("fault", "status"), [("update_rollback_failed", "UpdateRollbackFailed"), ("no_capacity", "InService"), ("failed", "Failed")]
)
def test_other_failures_give_their_reason(sage: Sage, fault: str, status: str) -> None:
    sage.serve(("a", 90))
    sage.config("c2", ("a", 1))
    sage.servers.control(fault=fault, fault_times=1)
    sage.client.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    found, _ = sage.settled()
    assert found["EndpointStatus"] == status
    assert found["FailureReason"]
    assert found["EndpointConfigName"] == "c1"
    if status == "Failed":
        refused(sage.client.update_endpoint, "can only be deleted", EndpointName="e", EndpointConfigName="c2")
    else:
        sage.client.update_endpoint(EndpointName="e", EndpointConfigName="c2")
        found, _ = sage.settled()
        assert (found["EndpointStatus"], found["EndpointConfigName"], found.get("FailureReason")) == ("InService", "c2", None)


def test_weights_roll_back_too(sage: Sage) -> None:
    sage.serve(("a", 90), ("b", 10))
    sage.servers.control(fault="silent_rollback")
    sage.client.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 0}]
    )
    sage.settled()
    assert sage.weights() == {"a": (90.0, 1), "b": (10.0, 1)}


def test_stuck_stays_updating(sage: Sage) -> None:
    sage.serve(("a", 90))
    sage.config("c2", ("a", 1))
    sage.servers.control(fault="stuck", updating_seconds=0.01)
    sage.client.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    sage.servers.control(updating_seconds=0.01)
    sage.client.create_endpoint(EndpointName="later", EndpointConfigName="c1")
    assert sage.settled("later")[1][-1] == "InService"
    assert sage.describe()["EndpointStatus"] == "Updating"


def test_a_container_that_cannot_come_up_fails_the_endpoint(sage: Sage) -> None:
    address = sage.upload("relevance", "v3", "v3.tar.gz")
    sage.s3.put_object(Bucket="models", Key="broken.tar.gz", Body=b"no archive")
    sage.model("m", ModelDataUrl="s3://models/broken.tar.gz")
    sage.config("c1", ("a", 1))
    sage.client.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    found, seen = sage.settled()
    assert seen == ["Creating", "Failed"]
    assert "variant a did not pass the ping health check" in found["FailureReason"]
    sage.model("good", ModelDataUrl=address)
    sage.config("c2", ("a", 1), model="good")
    sage.client.create_endpoint(EndpointName="f", EndpointConfigName="c2")
    assert sage.settled("f")[0]["EndpointStatus"] == "InService"
    sage.client.update_endpoint(EndpointName="f", EndpointConfigName="c1")
    found, seen = sage.settled("f")
    assert (seen, found["EndpointConfigName"]) == (["Updating", "RollingBack", "InService"], "c2")
    assert "did not pass the ping health check" in found["FailureReason"]


def test_model_data_that_are_not_there_are_refused(sage: Sage) -> None:
    data = {"Image": IMAGE, "ModelDataUrl": "s3://models/nothing.tar.gz"}
    refused(sage.client.create_model, "Could not access model data at", ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=data)
    sage.servers.control(check_data=False)
    sage.client.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=data)


def test_shadow_variants_are_kept_and_one_of_each_is_wanted(sage: Sage) -> None:
    sage.model("m")
    shadow = [production("shadow", 0.5)]
    refused(
        sage.client.create_endpoint_config,
        "exactly one production variant",
        EndpointConfigName="c1",
        ProductionVariants=[production("a", 1), production("b", 1)],
        ShadowProductionVariants=shadow,
    )
    sage.config("c1", ("a", 1), ShadowProductionVariants=shadow)
    assert [one["VariantName"] for one in sage.client.describe_endpoint_config(EndpointConfigName="c1")["ShadowProductionVariants"]] == [
        "shadow"
    ]
    sage.client.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    found, _ = sage.settled()
    assert [(one["VariantName"], one["CurrentWeight"]) for one in found["ShadowProductionVariants"]] == [("shadow", 0.5)]


def test_all_weights_zero_are_refused(sage: Sage) -> None:
    sage.serve(("a", 1), ("b", 0))
    refused(
        sage.client.update_endpoint_weights_and_capacities,
        "greater than zero",
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 0}],
    )
    refused(
        sage.client.update_endpoint_weights_and_capacities,
        "do not exist",
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "z", "DesiredWeight": 1}],
    )


def test_a_guarded_swap_is_rolled_back_by_its_alarm(sage: Sage) -> None:
    sage.serve(("a", 1))
    sage.config("c2", ("a", 1))
    watch = sage.servers.client("cloudwatch")
    metric = {"MetricName": "m", "Namespace": "n", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1, "Statistic": "Sum"}
    watch.put_metric_alarm(AlarmName="guard", ComparisonOperator="GreaterThanThreshold", **metric)
    deployment = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 600,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 30},
            },
            "TerminationWaitInSeconds": 60,
            "MaximumExecutionTimeoutInSeconds": 1800,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "guard"}]},
    }
    sage.client.update_endpoint(EndpointName="e", EndpointConfigName="c2", DeploymentConfig=deployment)
    assert sage.describe()["EndpointStatus"] == "Updating"
    watch.set_alarm_state(AlarmName="guard", StateValue="ALARM", StateReason="a test")
    found, seen = sage.settled()
    assert seen[-2:] == ["RollingBack", "InService"]
    assert (found["EndpointConfigName"], found["LastDeploymentConfig"]) == ("c1", deployment)
    assert "guard" in found["FailureReason"]


def test_a_guarded_swap_keeps_the_variants_names(sage: Sage) -> None:
    sage.serve(("a", 1))
    sage.config("c2", ("b", 1))
    deployment = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}}
    refused(sage.client.update_endpoint, "same variant names", EndpointName="e", EndpointConfigName="c2", DeploymentConfig=deployment)


def test_limits_of_the_account(sage: Sage) -> None:
    sage.serve(("a", 1), count=2)
    sage.servers.control(limits={"ml.m5.large": 4})
    sage.config("c2", ("a", 1), count=3)
    message = refused(sage.client.update_endpoint, code="ResourceLimitExceeded", EndpointName="e", EndpointConfigName="c2")
    assert "'ml.m5.large for endpoint usage' is 4 Instances, with current utilization of 2 Instances and a request delta of 3" in message


def test_forced_statuses(sage: Sage) -> None:
    sage.serve(("a", 1))
    sage.servers.control(force={"e": "SystemUpdating"})
    assert sage.describe()["EndpointStatus"] == "SystemUpdating"
    sage.config("c2", ("a", 1))
    refused(sage.client.update_endpoint, "Cannot update in-progress endpoint", EndpointName="e", EndpointConfigName="c2")


def test_listing_pages_filters_and_sorts(sage: Sage) -> None:
    sage.model("m")
    sage.config("c1", ("a", 1))
    for index in range(12):
        sage.client.create_endpoint(EndpointName=f"e-{index:02}", EndpointConfigName="c1")
    assert len(sage.client.list_endpoints()["Endpoints"]) == 10
    pages = sage.client.get_paginator("list_endpoints").paginate(SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 5})
    assert [one["EndpointName"] for page in pages for one in page["Endpoints"]] == [f"e-{index:02}" for index in range(12)]
    assert len(sage.client.list_endpoints(NameContains="-1")["Endpoints"]) == 2
    assert sage.client.list_endpoints(StatusEquals="Failed")["Endpoints"] == []
    assert len(sage.client.list_endpoint_configs()["EndpointConfigs"]) == len(sage.client.list_models()["Models"]) == 1


def test_tags_on_all_three_sorts(sage: Sage) -> None:
    tags = [{"Key": "mlconsole:registry", "Value": "shop/staging"}]
    sage.client.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE}, Tags=tags)
    sage.config("c1", ("a", 1), Tags=tags)
    sage.client.create_endpoint(EndpointName="e", EndpointConfigName="c1", Tags=tags)
    for kind, name in (("model", "m"), ("endpoint-config", "c1"), ("endpoint", "e")):
        arn = f"arn:aws:sagemaker:{sage.servers.region}:{sage.servers.account}:{kind}/{name}"
        assert sage.client.list_tags(ResourceArn=arn)["Tags"] == tags
        sage.client.add_tags(ResourceArn=arn, Tags=[{"Key": "k", "Value": "2"}])
        sage.client.delete_tags(ResourceArn=arn, TagKeys=["mlconsole:registry"])
        assert sage.client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "2"}]
    assert "Tags" not in sage.client.describe_endpoint_config(EndpointConfigName="c1")


def test_requests_are_held_against_the_service_model(sage: Sage) -> None:
    """With the client's own checks switched off, as another tool's would be."""
    import boto3
    from botocore.config import Config

    free = boto3.client(
        "sagemaker",
        endpoint_url=sage.servers.sagemaker,
        region_name=sage.servers.region,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )
    refused(free.create_model, "at 'modelName'", "regular expression", ModelName="under_score", ExecutionRoleArn=ROLE)
    refused(free.create_endpoint, "'endpointConfigName'", "must not be null", EndpointName="e")
    variant = {**production("a", -1), "InstanceType": "ml.none"}
    refused(free.create_endpoint_config, "enum value set", "greater than or equal", EndpointConfigName="c", ProductionVariants=[variant])
    refused(free.list_endpoints, "maxResults", MaxResults=101)


def test_members_that_no_model_knows_are_refused(sage: Sage) -> None:
    """botocore drops them before sending; a newer or another client would not."""
    scope = f"AWS4-HMAC-SHA256 Credential=A/20260101/{sage.servers.region}/sagemaker/aws4_request, SignedHeaders=host, Signature=0"
    request = urllib.request.Request(
        sage.servers.sagemaker,
        b'{"EndpointName": "e", "Colour": "red"}',
        {"Authorization": scope, "X-Amz-Target": "SageMaker.DescribeEndpoint"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 400
    assert "Unknown member 'colour'" in json.loads(caught.value.read())["message"]


def test_the_command_line_sees_the_same(sage: Sage) -> None:
    sage.serve(("a", 3))
    found = sage.servers.aws("sagemaker", "describe-endpoint", "--endpoint-name", "e")
    assert (found["EndpointStatus"], found["ProductionVariants"][0]["CurrentWeight"]) == ("InService", 3.0)


def test_cloudtrail_knows_who_changed_it(sage: Sage) -> None:
    sage.serve(("a", 3))
    trail = sage.servers.client("cloudtrail")
    named = [{"AttributeKey": "ResourceName", "AttributeValue": "e"}]
    events = until(lambda: trail.lookup_events(LookupAttributes=named)["Events"])
    assert [one["EventName"] for one in events] == ["CreateEndpoint"]
    assert events[0]["EventSource"] == "sagemaker.amazonaws.com"


def test_the_registry_is_moto_s(sage: Sage) -> None:
    sage.client.create_model_package_group(ModelPackageGroupName="relevance")
    groups = sage.client.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [one["ModelPackageGroupName"] for one in groups] == ["relevance"]
