"""An alarm of CloudWatch in our words, and what its figures can be at all: by that it is seen that one can never fire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlconsole.core.alarm_rules import AlarmRule, Comparison, Finding, Missing
from mlconsole_aws.metrics import BROKEN, FAILED, MODEL, NAMESPACE, OVERHEAD, REFUSED, REQUESTS

_COMPARED = {
    "GreaterThanThreshold": Comparison.ABOVE,
    "GreaterThanOrEqualToThreshold": Comparison.AT_LEAST,
    "LessThanThreshold": Comparison.BELOW,
    "LessThanOrEqualToThreshold": Comparison.AT_MOST,
}
_MISSING = {"missing": Missing.NO_DATA, "notBreaching": Missing.GOOD, "breaching": Missing.BAD, "ignore": Missing.AS_IT_WAS}

_EACH = frozenset({REQUESTS, FAILED, REFUSED, BROKEN})
"""Metrics of which each request is a 0 or a 1."""

_TIMES = frozenset({MODEL, OVERHEAD})
_LONGEST_ANSWER = 60e6
"""µs: SageMaker waits for a model no longer (serverless and async endpoints aside)."""

_PERCENT = frozenset({"MemoryUtilization", "DiskUtilization"})


def rule_of(told: Mapping[str, Any]) -> AlarmRule | None:
    """By what it goes; None where it is no comparison of one figure with a threshold (a composite, an anomaly band)."""
    comparison = _COMPARED.get(str(told.get("ComparisonOperator")))
    if comparison is None or "Threshold" not in told or "ThresholdMetricId" in told:
        return None
    queries = [one for one in told.get("Metrics") or () if one.get("ReturnData", True)]
    if told.get("MetricName"):
        namespace, metric = str(told.get("Namespace")), str(told["MetricName"])
        statistic = str(told.get("ExtendedStatistic") or told.get("Statistic") or "Average")
        period = int(told.get("Period") or 60)
        lowest, highest = bounds(namespace, metric, statistic)
        figure, unit = f"{statistic} of {metric}", "µs" if namespace == NAMESPACE and metric in _TIMES else ""
    elif len(queries) == 1:
        stats = [one["MetricStat"] for one in told["Metrics"] if "MetricStat" in one]
        period = int(queries[0].get("Period") or (stats[0].get("Period") if stats else 0) or 60)
        figure, unit = str(queries[0].get("Label") or queries[0].get("Expression") or "an expression"), ""
        lowest, highest = None, None
        if queries[0].get("Expression") == "FILL(failed, 0) / requests":
            lowest, highest = 0.0, 1.0
        elif "MetricStat" in queries[0]:
            metric = queries[0]["MetricStat"].get("Metric", {})
            lowest, highest = bounds(str(metric.get("Namespace")), str(metric.get("MetricName")), str(queries[0]["MetricStat"].get("Stat")))
            figure = f"{queries[0]['MetricStat'].get('Stat')} of {metric.get('MetricName')}"
    else:
        return None
    periods = int(told.get("EvaluationPeriods") or 1)
    return AlarmRule(
        str(told["AlarmName"]),
        figure,
        comparison,
        float(told["Threshold"]),
        period,
        periods,
        int(told.get("DatapointsToAlarm") or periods),
        _MISSING.get(str(told.get("TreatMissingData") or "missing"), Missing.NO_DATA),
        lowest,
        highest,
        unit,
        told=bool(told.get("AlarmActions")),
        enabled=bool(told.get("ActionsEnabled", True)),
    )


def bounds(namespace: str, metric: str, statistic: str) -> tuple[float | None, float | None]:
    """The least and the most that a figure can be; None: not bounded, or not known."""
    if namespace not in (NAMESPACE, "/aws/sagemaker/Endpoints"):
        return None, None
    if statistic == "SampleCount" or (statistic == "Sum" and metric in _EACH):
        return 0.0, None
    if metric in _EACH:
        # AWS's own example waits for an Average above 1 of these.
        return 0.0, 1.0
    if metric in _TIMES:
        return 0.0, None if statistic == "Sum" else _LONGEST_ANSWER
    if metric in _PERCENT and statistic != "Sum":
        return 0.0, 100.0
    return (0.0, None) if metric.endswith("Utilization") else (None, None)


def findings_of(told: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What is wrong with it that only CloudWatch can mean so: a time in ms, where it counts in µs."""
    if told.get("Namespace") != NAMESPACE or told.get("MetricName") not in _TIMES or "Threshold" not in told:
        return ()
    threshold = float(told["Threshold"])
    if 0 < threshold < 1000 and str(told.get("ComparisonOperator")).startswith("Greater"):
        text = f"{told['MetricName']} is told in µs: {threshold:g} is {threshold / 1000:g} ms, which nearly every request takes."
        return (Finding(text, f"If {threshold:g} ms were meant, write {threshold * 1000:g}.", stops=False),)
    return ()
