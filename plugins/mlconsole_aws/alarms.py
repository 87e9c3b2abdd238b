"""CloudWatch's alarms: how they are, those that a policy needs, and drills."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mlconsole.core.alarm_rules import AlarmRule, Comparison, Finding, Missing, lint
from mlconsole.plugin import Context
from mlconsole.plugin.errors import NotFound, Refused
from mlconsole.plugin.measuring import AlarmLimits, NativeAlarm, Signal
from mlconsole_aws import marks
from mlconsole_aws.alarm_words import findings_of, rule_of
from mlconsole_aws.clients import clients_of
from mlconsole_aws.looking import declared, looks_of
from mlconsole_aws.metrics import FAILED, MODEL, NAMESPACE, REQUESTS
from mlconsole_aws.naming import Names, slug

_AT_ONCE = 100
"""Alarms that one call tells of by name."""

_APART = 0.12
"""Seconds between two calls: CloudWatch takes nine a second of everybody in the account."""

_PERIOD, _PERIODS, _BAD = 60, 3, 2
"""An alarm of ours: two bad minutes of three."""

ERRORS, LATENCY = "errors", "latency"
_SIGNALS = {"OK": Signal.OK, "ALARM": Signal.ALARM, "INSUFFICIENT_DATA": Signal.NO_DATA}
_MADE = "Made by mlconsole"


class CloudWatchAlarms:
    """See `plugin.measuring.Alarms`."""

    def __init__(self, context: Context) -> None:
        self._clients = clients_of(context)
        self._looks = looks_of(self._clients)
        self._names = Names.of(self._clients.section("sagemaker"), by_name=context.by_name)
        options = self._clients.section("cloudwatch")
        self._watched = tuple(dict.fromkeys(str(name) for name in options.get("alarms") or ()))
        self._actions = [str(action) for action in options.get("alarm_actions") or ()]
        self._registry = marks.registry_of(context)
        self.prefix = f"mlconsole-{slug(context.environment)[:24]}-{sha256(self._registry.encode()).hexdigest()[:8]}-"
        """How the names of all alarms begin that were made from here."""
        self._lock = threading.Lock()
        self._asked = 0.0

    def states(self, endpoints: Mapping[str, Sequence[str]]) -> Sequence[NativeAlarm]:
        """Those that the option `alarms` names, in its order, then ours."""
        watched = self._named(self._watched)
        ours = {str(one["AlarmName"]): one for one in self._pages(AlarmNamePrefix=self.prefix)}
        made = {
            rule.name: (endpoint, variant)
            for endpoint, variants in endpoints.items()
            for variant in variants
            for rule in self.rules(endpoint, (variant,), AlarmLimits(1.0, 1.0))
        }
        natives = self._natives(endpoints)
        found = [self._alarm(name, watched.get(name), natives, endpoints) for name in self._watched]
        for name, one in sorted(ours.items()):
            if name in self._watched:
                continue
            endpoint, variant = made.get(name, ("", ""))
            told = self._alarm(name, one, natives, endpoints)
            found.append(replace(told, endpoint=endpoint, variant=variant, ours=True) if endpoint else _left(told))
        return tuple(found)

    def rules(self, endpoint: str, variants: Sequence[str], limits: AlarmLimits) -> Sequence[AlarmRule]:
        """Too many failures, and too slow, for each variant."""
        found = []
        for variant in variants:
            mark = sha256(f"{endpoint}\n{variant}".encode()).hexdigest()[:8]
            name = f"{self.prefix}{slug(endpoint)[:60]}-{slug(variant)[:40]}-{mark}"
            both = {
                "comparison": Comparison.ABOVE,
                "period": _PERIOD,
                "periods": _PERIODS,
                "bad": _BAD,
                "missing": Missing.GOOD,
                "lowest": 0.0,
                "variant": variant,
                "told": bool(self._actions),
            }
            found += [
                AlarmRule(f"{name}-{ERRORS}", "share of failed requests", threshold=limits.errors, highest=1.0, **both),  # type: ignore[arg-type]
                AlarmRule(f"{name}-{LATENCY}", "p95 latency of the model", threshold=limits.latency_ms, unit="ms", **both),  # type: ignore[arg-type]
            ]
        return tuple(found)

    def create(self, endpoint: str, rule: AlarmRule) -> None:
        """Make it, or bring it up to date."""
        there = self._named((rule.name,)).get(rule.name)
        if there is not None and not str(there.get("AlarmDescription") or "").startswith(_MADE):
            raise Refused(
                f"There is an alarm {rule.name} that mlconsole did not make. Nothing was changed.", next="Delete or rename it at AWS first."
            )
        dimensions = self._dimensions(endpoint, rule.variant)
        body: dict[str, Any] = {
            "AlarmName": rule.name,
            "AlarmDescription": f"{_MADE} for {rule.variant} of {endpoint}, from {self._registry}: {rule.condition}.",
            "ActionsEnabled": True,
            "AlarmActions": self._actions,
            "OKActions": self._actions,
            "EvaluationPeriods": rule.periods,
            "DatapointsToAlarm": rule.bad,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        if rule.name.endswith(f"-{LATENCY}"):
            body |= {
                "Namespace": NAMESPACE,
                "MetricName": MODEL,
                "Dimensions": dimensions,
                "ExtendedStatistic": "p95",
                "Period": rule.period,
                "Threshold": rule.threshold * 1000,  # µs
            }
        else:
            body |= {"Threshold": rule.threshold, "Metrics": _share(dimensions, rule.period)}
        self._clients.call("cloudwatch", "put_metric_alarm", change=True, **body)

    def drill(self, name: str, reason: str) -> None:
        """Set it off; CloudWatch puts it right when it looks at the figures again, within its period."""
        there = self._named((name,)).get(name)
        if there is None:
            raise NotFound(
                f'There is no alarm "{name}" in {self._clients.region}.', next="mlconsole health native shows those that are watched."
            )
        if "AlarmRule" in there:
            raise Refused(
                f"{name} is made of other alarms, and would stay set off until one of them changes. Nothing was changed.",
                next="Set off one of those.",
            )
        self._clients.call(
            "cloudwatch",
            "set_alarm_state",
            change=True,
            AlarmName=name,
            StateValue="ALARM",
            StateReason=f"mlconsole drill: {reason}"[:1000],
        )

    def _alarm(
        self,
        name: str,
        told: Mapping[str, Any] | None,
        natives: Mapping[tuple[str, str], tuple[str, str]],
        endpoints: Mapping[str, Sequence[str]],
    ) -> NativeAlarm:
        if told is None:
            text = f'The workspace names the alarm "{name}", and there is none of that name in {self._clients.region}.'
            return NativeAlarm(
                name, Signal.MISSING, text, findings=(Finding(text, "Make it, or take it off options → aws → cloudwatch → alarms."),)
            )
        rule = rule_of(told)
        endpoint, variant, gone = self._about(told, natives, endpoints)
        found = (*(lint(rule) if rule is not None else ()), *findings_of(told))
        if gone:
            found = (Finding(gone, "Let it watch what serves now, or delete it."), *found)
        since = told.get("StateTransitionedTimestamp") or told.get("StateUpdatedTimestamp")
        signal = _SIGNALS.get(str(told.get("StateValue")), Signal.NO_DATA)
        reason = str(told.get("StateReason") or "")
        return NativeAlarm(name, signal, reason, since, endpoint, variant, replace(rule, variant=variant) if rule else None, False, found)

    def _about(
        self, told: Mapping[str, Any], natives: Mapping[tuple[str, str], tuple[str, str]], endpoints: Mapping[str, Sequence[str]]
    ) -> tuple[str, str, str]:
        """Endpoint and variant of ours that it watches, as its dimensions say; and what is wrong where it watches what is not there."""
        metrics = [one.get("MetricStat", {}).get("Metric", {}) for one in told.get("Metrics") or ()] or [told]
        each = [{str(one["Name"]): str(one["Value"]) for one in metric.get("Dimensions") or ()} for metric in metrics]
        named = {(one.get("EndpointName", ""), one.get("VariantName", "")) for one in each if one}
        if len(named) != 1:
            return "", "", ""
        native, production = next(iter(named))
        if (native, production) in natives:
            return *natives[native, production], ""
        mine = {own[0] for place, own in natives.items() if place[0] == native}
        if not native or not mine:
            return "", "", ""
        endpoint = next(iter(mine))
        if not production:
            return endpoint, "", ""
        return endpoint, "", f"It can never fire: it watches {production} of {native}, and there is no such variant."

    def _natives(self, endpoints: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], tuple[str, str]]:
        """SageMaker endpoint and production variant → endpoint and variant of ours."""
        found = {}
        for endpoint, variants in endpoints.items():
            for variant in variants:
                place = {one["Name"]: one["Value"] for one in self._dimensions(endpoint, variant)}
                found[place["EndpointName"], place["VariantName"]] = endpoint, variant
        return found

    def _dimensions(self, endpoint: str, variant: str) -> list[dict[str, str]]:
        native = self._names.native(endpoint, variant)
        production = variant
        if self._names.by_name:
            seen = self._looks.seen(native)
            inside = declared(seen.config) if seen is not None else []
            production = str(inside[0]["VariantName"]) if inside else "AllTraffic"
        return [{"Name": "EndpointName", "Value": native}, {"Name": "VariantName", "Value": production}]

    def _named(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(names), _AT_ONCE):
            found |= {str(one["AlarmName"]): one for one in self._pages(AlarmNames=list(names[start : start + _AT_ONCE]))}
        return found

    def _pages(self, **asked: Any) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        parameters = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": _AT_ONCE, **asked}
        while True:
            self._slowly()
            page = self._clients.call("cloudwatch", "describe_alarms", **parameters)
            found += [*(page.get("MetricAlarms") or ()), *(page.get("CompositeAlarms") or ())]
            if not page.get("NextToken"):
                return found
            parameters["NextToken"] = page["NextToken"]

    def _slowly(self) -> None:
        """At most eight calls a second from here."""
        with self._lock:
            now = time.monotonic()
            wait = max(0.0, self._asked + _APART - now)
            self._asked = now + wait
        if wait:
            time.sleep(wait)


def _left(told: NativeAlarm) -> NativeAlarm:
    """An alarm that was made here for a variant that is not there any more."""
    finding = Finding(
        "It was made here for a variant that is not there any more.",
        f"Delete it: aws cloudwatch delete-alarms --alarm-names {told.name}",
        stops=False,
    )
    return replace(told, endpoint="", variant="", ours=True, findings=(finding,))


def _share(dimensions: list[dict[str, str]], period: int) -> list[dict[str, Any]]:
    """Failed requests of all of them, from 0 to 1. Without a request there is no figure, which counts as good."""

    def counted(number: str, metric: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions}, "Period": period, "Stat": "Sum"}
        return {"Id": number, "MetricStat": stat, "ReturnData": False}

    share = {"Id": "share", "Expression": "FILL(failed, 0) / requests", "Label": "share of failed requests", "ReturnData": True}
    return [share, counted("requests", REQUESTS), counted("failed", FAILED)]
