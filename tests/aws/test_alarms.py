"""CloudWatch's alarms, as ministack keeps them: states really change there. Told, linted, made, set off for a drill."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aws.parts import Servers, context, until
from mlconsole.core.alarm_rules import AlarmRule, Comparison, Missing, lint
from mlconsole.plugin.errors import NotFound, Refused
from mlconsole.plugin.measuring import AlarmLimits, Alarms, Signal
from mlconsole_aws.alarm_words import bounds, findings_of, rule_of
from mlconsole_aws.alarms import CloudWatchAlarms

LIMITS = AlarmLimits(0.05, 800.0)
SERVING = {"relevance": ("v6", "v7")}


def role(servers: Servers, folder: Path, *watched: str, by_name: bool = False, **cloudwatch: Any) -> CloudWatchAlarms:
    return CloudWatchAlarms(context(servers, folder, by_name=by_name, cloudwatch={"alarms": list(watched), **cloudwatch}))


def put(servers: Servers, *names: str, **how: Any) -> None:
    """Alarms of somebody's."""
    client = servers.client("cloudwatch")
    for name in names:
        client.put_metric_alarm(**alarm(name, **how))


def alarm(name: str, **how: Any) -> dict[str, Any]:
    body = {
        "AlarmName": name,
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": [{"Name": "EndpointName", "Value": "relevance"}, {"Name": "VariantName", "Value": "v6"}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 2,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": ["arn:aws:sns:eu-central-1:123456789012:ops"],
        **how,
    }
    return {key: value for key, value in body.items() if value is not None}


# How they are.


def test_states_reasons_and_whose_they_are(aws: Servers, tmp_path: Path) -> None:
    put(aws, "fine", "set-off", "no-data")
    cloudwatch = aws.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName="fine", StateValue="OK", StateReason="all is well")
    cloudwatch.set_alarm_state(AlarmName="set-off", StateValue="ALARM", StateReason="9 of 10 failed")
    put(aws, "elsewhere", Dimensions=[{"Name": "EndpointName", "Value": "another"}, {"Name": "VariantName", "Value": "v6"}])
    put(aws, "nobody-asked")
    alarms = role(aws, tmp_path, "set-off", "fine", "no-data", "elsewhere", "not there")
    assert isinstance(alarms, Alarms)
    found = alarms.states(SERVING)
    assert [one.name for one in found] == ["set-off", "fine", "no-data", "elsewhere", "not there"]
    assert [one.signal for one in found] == [Signal.ALARM, Signal.OK, Signal.NO_DATA, Signal.NO_DATA, Signal.MISSING]
    first = found[0]
    assert (first.endpoint, first.variant, first.reason) == ("relevance", "v6", "9 of 10 failed")
    assert first.since is not None
    assert abs((datetime.now(UTC) - first.since).total_seconds()) < 120
    assert first.findings == ()
    assert first.rule is not None
    assert first.rule.condition == "Sum of Invocation5XXErrors > 5, 2 of 2 × 60 s"
    assert found[3].endpoint == ""
    assert found[4].findings[0].stops


def test_an_alarm_that_figures_set_off(aws: Servers, tmp_path: Path) -> None:
    """Nobody sets it: ministack looks at the figures, as CloudWatch does."""
    cloudwatch = aws.client("cloudwatch")
    put(aws, "five-hundreds", Threshold=3.0, EvaluationPeriods=1)
    own = [{"Name": "EndpointName", "Value": "relevance"}, {"Name": "VariantName", "Value": "v6"}]
    for _ in range(2):
        datum = {"MetricName": "Invocation5XXErrors", "Dimensions": own, "Timestamp": datetime.now(UTC), "Values": [1.0], "Counts": [9.0]}
        cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])
    alarms = role(aws, tmp_path, "five-hundreds")
    told = until(lambda: (one := alarms.states(SERVING)[0]).signal is Signal.ALARM and one)
    assert told
    assert "Threshold Crossed" in told.reason


def test_by_name_and_where_each_variant_has_an_endpoint_of_its_own(aws: Servers, tmp_path: Path) -> None:
    put(aws, "mine", Dimensions=[{"Name": "EndpointName", "Value": "relevance-v7"}, {"Name": "VariantName", "Value": "AllTraffic"}])
    found = role(aws, tmp_path, "mine", by_name=True).states(SERVING)
    assert (found[0].endpoint, found[0].variant) == ("relevance", "v7")


def test_two_hundred_alarms_take_few_calls(aws: Servers, tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(205)]
    put(aws, *names)
    alarms = role(aws, tmp_path, *names)
    before = alarms._clients.calls["cloudwatch:DescribeAlarms"]
    assert len(alarms.states(SERVING)) == 205
    # 100 a call by name, and one for ours.
    assert alarms._clients.calls["cloudwatch:DescribeAlarms"] - before == 4


# Which can never fire.


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"Statistic": "Average", "MetricName": "InvocationModelErrors", "Threshold": 1.0}, "can never fire"),  # AWS's own example
        ({"Statistic": "Average", "Threshold": 5.0}, "can never fire"),
        ({"Statistic": "Maximum", "Threshold": 1.0}, "can never fire"),
        ({"Statistic": "Sum", "Threshold": 1.0}, ""),
        ({"Statistic": "Average", "Threshold": 0.05}, ""),
        ({"ComparisonOperator": "GreaterThanOrEqualToThreshold", "Threshold": 0.0}, "always fires"),
        ({"ComparisonOperator": "LessThanThreshold", "Threshold": 0.0}, "can never fire"),
        ({"MetricName": "Invocations", "ComparisonOperator": "LessThanThreshold", "Threshold": 5.0}, "waits for too little"),
        ({"MetricName": "ModelLatency", "Statistic": None, "ExtendedStatistic": "p95", "Threshold": 800.0}, "told in µs"),
        ({"MetricName": "ModelLatency", "Statistic": None, "ExtendedStatistic": "p95", "Threshold": 8e8}, "can never fire"),
        ({"MetricName": "ModelLatency", "Statistic": None, "ExtendedStatistic": "p95", "Threshold": 8e5}, ""),
        ({"TreatMissingData": "breaching"}, "whenever no request comes"),
        ({"TreatMissingData": "ignore"}, "stays so while no request comes"),
        ({"Period": 3600, "EvaluationPeriods": 3}, "at the earliest"),
        ({"ActionsEnabled": False}, "switched off"),
        ({"AlarmActions": []}, "notifies nobody"),
        (
            {"Dimensions": [{"Name": "EndpointName", "Value": "relevance"}, {"Name": "VariantName", "Value": "v1"}]},
            "there is no such variant",
        ),
    ],
)
def test_what_can_not_work_is_told(aws: Servers, tmp_path: Path, how: dict[str, Any], words: str) -> None:
    put(aws, "theirs", **how)
    found = role(aws, tmp_path, "theirs").states(SERVING)[0].findings
    assert words in " ".join(one.text for one in found)
    assert bool(found) == bool(words)


def test_more_bad_periods_than_there_are() -> None:
    rule = AlarmRule("a", "errors", Comparison.ABOVE, 0.1, 60, 3, 4, Missing.GOOD, 0.0, 1.0)
    assert [one.stops for one in lint(rule)] == [True]
    assert lint(AlarmRule("a", "errors", Comparison.ABOVE, 0.1, 3600, 25, 1, Missing.GOOD))[0].stops


def test_what_is_no_comparison_is_left_alone() -> None:
    assert rule_of({"AlarmName": "band", "ComparisonOperator": "GreaterThanUpperThreshold", "Threshold": 1.0}) is None
    assert rule_of({"AlarmName": "composite", "AlarmRule": 'ALARM("a")'}) is None
    assert findings_of({"AlarmName": "composite"}) == ()
    assert bounds("Shop", "Errors", "Average") == (None, None)


# Ours.


def test_what_the_limits_want_is_made_once_and_seen_by_others(aws: Servers, tmp_path: Path) -> None:
    alarms = role(aws, tmp_path, alarm_actions=["arn:aws:sns:eu-central-1:123456789012:ops"])
    rules = alarms.rules("relevance", ("v6",), LIMITS)
    assert [rule.condition for rule in rules] == [
        "share of failed requests > 0.05, 2 of 3 × 60 s",
        "p95 latency of the model > 800 ms, 2 of 3 × 60 s",
    ]
    assert all(lint(rule) == () for rule in rules)
    for rule in (*rules, *rules):
        alarms.create("relevance", rule)
    told = aws.aws("cloudwatch", "describe-alarms", "--alarm-name-prefix", "mlconsole-")["MetricAlarms"]
    assert len(told) == 2
    latency = next(one for one in told if one["AlarmName"].endswith("latency"))
    assert (latency["MetricName"], latency["ExtendedStatistic"], latency["Threshold"]) == ("ModelLatency", "p95", 800_000.0)
    assert {one["Name"]: one["Value"] for one in latency["Dimensions"]} == {"EndpointName": "relevance", "VariantName": "v6"}
    assert latency["TreatMissingData"] == "notBreaching"
    found = alarms.states(SERVING)
    assert {(one.endpoint, one.variant, one.ours) for one in found} == {("relevance", "v6", True)}
    assert role(aws, tmp_path / "another").states(SERVING) == (), "another workspace's are not ours"


def test_the_share_of_failures_is_metric_math_that_aws_would_take(aws: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ministack leaves the expression out; what is sent is checked against the service's own model, and read back in our words."""
    alarms = role(aws, tmp_path)
    sent: list[dict[str, Any]] = []
    call = alarms._clients.call

    def noting(service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        if operation == "put_metric_alarm":
            sent.append({key: value for key, value in parameters.items() if key != "change"})
        return call(service, operation, **parameters)

    monkeypatch.setattr(alarms._clients, "call", noting)
    rule = alarms.rules("relevance", ("v6",), LIMITS)[0]
    alarms.create("relevance", rule)
    read = rule_of(sent[0])
    assert read is not None
    assert (read.figure, read.comparison, read.threshold) == ("share of failed requests", Comparison.ABOVE, 0.05)
    assert (read.lowest, read.highest) == (0.0, 1.0)
    assert (read.period, read.periods, read.bad) == (60, 3, 2)
    never = rule_of({**sent[0], "Threshold": 1.0})
    assert never is not None
    assert "never fire" in lint(never)[0].text


def test_an_alarm_of_ours_whose_variant_is_gone_is_told(aws: Servers, tmp_path: Path) -> None:
    alarms = role(aws, tmp_path)
    for rule in alarms.rules("relevance", ("v5",), LIMITS):
        alarms.create("relevance", rule)
    found = alarms.states(SERVING)
    assert [(one.endpoint, one.findings[0].stops) for one in found] == [("", False)] * 2
    assert "not there any more" in found[0].findings[0].text


def test_somebody_elses_alarm_of_that_name_is_left_alone(aws: Servers, tmp_path: Path) -> None:
    alarms = role(aws, tmp_path)
    rule = alarms.rules("relevance", ("v6",), LIMITS)[1]
    put(aws, rule.name, AlarmDescription="by hand")
    with pytest.raises(Refused, match="did not make"):
        alarms.create("relevance", rule)
    assert aws.client("cloudwatch").describe_alarms(AlarmNames=[rule.name])["MetricAlarms"][0]["MetricName"] == "Invocation5XXErrors"


# Drills.


def test_a_drill_sets_an_alarm_off_and_says_whose_it_is(aws: Servers, tmp_path: Path) -> None:
    put(aws, "five-hundreds")
    alarms = role(aws, tmp_path, "five-hundreds")
    alarms.drill("five-hundreds", "by anna, nothing is wrong")
    told = alarms.states(SERVING)[0]
    assert told.signal is Signal.ALARM
    assert told.reason == "mlconsole drill: by anna, nothing is wrong"
    with pytest.raises(NotFound):
        alarms.drill("nobody's", "by anna")


def test_a_composite_would_stay_set_off(aws: Servers, tmp_path: Path) -> None:
    put(aws, "child")
    aws.client("cloudwatch").put_composite_alarm(AlarmName="both", AlarmRule='ALARM("child")')
    alarms = role(aws, tmp_path, "both")
    with pytest.raises(Refused, match="made of other alarms"):
        alarms.drill("both", "by anna")
    assert alarms.states(SERVING)[0].rule is None
