"""What endpoints tell CloudWatch, put into ministack's: `AWS/SageMaker` and `/aws/sagemaker/Endpoints`, units as the real ones (µs!)."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from mlconsole_aws_offline.state import State

_MOST_DATA = 900


@dataclass
class _Minute:
    failed_4: int = 0
    failed_5: int = 0
    model_errors: int = 0
    latencies: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)


class Monitoring:
    """Collects figures, and hands them over often; and asks CloudWatch about alarms, and writes to its logs."""

    def __init__(self, state: State, ministack: int) -> None:
        self._state = state
        self._ministack = ministack
        self._lock = threading.Lock()
        self._minutes: dict[tuple[str, str, int], _Minute] = defaultdict(_Minute)
        self._lines: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        threading.Thread(target=self._flush_often, daemon=True, name="metrics").start()

    def count(self, endpoint: str, variant: str, status: int, model_ms: float, overhead_ms: float) -> None:
        """One invocation; `status` is the container's."""
        with self._lock:
            minute = self._minutes[
                endpoint, variant, int(self._state.now()) // self._state.settings.metrics_period * self._state.settings.metrics_period
            ]
            minute.failed_4 += 400 <= status < 500
            minute.failed_5 += status >= 500
            minute.model_errors += status >= 400
            minute.latencies.append(model_ms * 1000)
            minute.overheads.append(overhead_ms * 1000)

    def say(self, endpoint: str, variant: str, line: str) -> None:
        """A line of its log, `/aws/sagemaker/Endpoints/{endpoint}`."""
        with self._lock:
            self._lines[endpoint, variant].append((int(self._state.now() * 1000), line))

    def firing(self, names: tuple[str, ...]) -> str | None:
        """The first of these alarms that is in ALARM."""
        found = self._ask("monitoring", "GraniteServiceVersion20100801.DescribeAlarms", {"AlarmNames": list(names), "StateValue": "ALARM"})
        every = [*(found.get("MetricAlarms") or ()), *(found.get("CompositeAlarms") or ())]
        return next((str(one["AlarmName"]) for one in every), None)

    def forget(self) -> None:
        """As new."""
        with self._lock:
            self._minutes.clear()
            self._lines.clear()

    def flush(self) -> None:
        """Hand over what there is."""
        with self._lock:
            minutes, self._minutes = dict(self._minutes), defaultdict(_Minute)
            lines, self._lines = dict(self._lines), defaultdict(list)
        data: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for (endpoint, variant, at), minute in minutes.items():
            dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
            for name, unit, figures in _figures(minute):
                data["AWS/SageMaker"].append(_datum(name, unit, figures, dimensions, at))
            busy = min(100.0, sum(minute.latencies) / 1e6 / max(self._state.settings.metrics_seconds, 0.1) * 100)
            for name, value in (("CPUUtilization", busy), ("MemoryUtilization", _memory()), ("DiskUtilization", _disk())):
                data["/aws/sagemaker/Endpoints"].append(_datum(name, "Percent", {round(value, 2): 1}, dimensions, at))
        for namespace, found in data.items():
            for start in range(0, len(found), _MOST_DATA):
                body = {"Namespace": namespace, "MetricData": found[start : start + _MOST_DATA]}
                self._ask("monitoring", "GraniteServiceVersion20100801.PutMetricData", body)
        for (endpoint, variant), said in lines.items():
            self._log(endpoint, variant, said)

    def _log(self, endpoint: str, variant: str, said: list[tuple[int, str]]) -> None:
        names = {"logGroupName": f"/aws/sagemaker/Endpoints/{endpoint}", "logStreamName": f"{variant}/i-0f11e000000000000"}
        self._ask("logs", "Logs_20140328.CreateLogGroup", {"logGroupName": names["logGroupName"]})
        self._ask("logs", "Logs_20140328.CreateLogStream", names)
        events = [{"timestamp": at, "message": line} for at, line in said]
        self._ask("logs", "Logs_20140328.PutLogEvents", {**names, "logEvents": events})

    def _flush_often(self) -> None:
        while True:
            time.sleep(self._state.settings.metrics_seconds)
            self.flush()

    def _ask(self, service: str, target: str, body: dict[str, Any]) -> dict[str, Any]:
        """ministack as the account's own call; what it can't do is nothing."""
        scope = (
            f"AWS4-HMAC-SHA256 Credential=sagemaker/20260101/{self._state.region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
        connection = http.client.HTTPConnection("127.0.0.1", self._ministack, timeout=10)
        try:
            headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0", "Authorization": scope}
            connection.request("POST", "/", json.dumps(body).encode(), headers)
            reply = connection.getresponse()
            text = reply.read()
            found: dict[str, Any] = json.loads(text) if reply.status == 200 and text else {}
            return found
        except (OSError, ValueError, http.client.HTTPException):
            return {}
        finally:
            connection.close()


def _figures(minute: _Minute) -> list[tuple[str, str, dict[float, int]]]:
    count = len(minute.latencies)
    told = [("Invocations", "None", {1.0: count}), ("InvocationsPerInstance", "None", {1.0: count})]
    named = (
        ("Invocation4XXErrors", minute.failed_4),
        ("Invocation5XXErrors", minute.failed_5),
        ("InvocationModelErrors", minute.model_errors),
    )
    for name, failed in named:
        told.append((name, "None", {value: times for value, times in ((0.0, count - failed), (1.0, failed)) if times}))
    for name, values in (("ModelLatency", minute.latencies), ("OverheadLatency", minute.overheads)):
        counted: dict[float, int] = defaultdict(int)
        for value in values:
            counted[float(f"{value:.2g}") if count > 100 else round(value, 1)] += 1
        told.append((name, "Microseconds", dict(counted)))
    return told


def _datum(name: str, unit: str, figures: dict[float, int], dimensions: list[dict[str, str]], at: int) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Dimensions": dimensions,
        "Timestamp": at,
        "Unit": unit,
        "Values": list(figures),
        "Counts": [float(times) for times in figures.values()],
    }


def _memory() -> float:
    """This machine's, since that is what the containers run on."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            found = {line.split(":")[0]: int(line.split()[1]) for line in file}
        return 100 * (1 - found["MemAvailable"] / found["MemTotal"])
    except (OSError, KeyError, ValueError, IndexError):
        return 0.0


def _disk() -> float:
    import shutil

    usage = shutil.disk_usage("/")
    return 100 * usage.used / usage.total
