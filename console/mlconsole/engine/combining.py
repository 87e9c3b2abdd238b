"""Combining: what the backend says of an endpoint and how it really does, in one state; the worse of the two decides."""

from __future__ import annotations

from dataclasses import replace

from mlconsole.engine.views import AlarmView, EndpointHealthView, EndpointView, HealthView, State, StatusView

_ORDER = {state: place for place, state in enumerate(State)}


def with_health(status: StatusView, health: HealthView) -> StatusView:
    """The state of the world with health in it: who watches, what is wrong, and each endpoint's state."""
    by_number = {one.number: one for one in health.open_alarms}
    endpoints = []
    for endpoint in status.endpoints:
        there = health.endpoint(endpoint.name)
        alarm = by_number.get(there.alarm) if there is not None and there.alarm is not None else None
        endpoints.append(combined(endpoint, there, alarm))
    endpoints.sort(key=lambda one: (_ORDER[one.state], one.name))
    return replace(status, endpoints=tuple(endpoints), watcher=health.watcher, alarms=health.open_alarms)


def combined(endpoint: EndpointView, health: EndpointHealthView | None, alarm: AlarmView | None) -> EndpointView:
    """One endpoint's state. What can't be seen at all stays so: old answers say nothing of now."""
    if health is None or endpoint.state is State.NO_DATA:
        return endpoint
    if health.verdict == "fail":
        state = State.LOOK if health.title.startswith("slow") else State.FAILING
        if _ORDER[state] <= _ORDER[endpoint.state]:
            return replace(endpoint, state=state, finding=_finding(health, alarm), next=_next(endpoint, alarm))
        return endpoint
    if alarm is not None and alarm.state == "recovering" and endpoint.state in (State.OK, State.CHANGING):
        told = f"{health.title}; was: {alarm.title.lower()}"
        return replace(endpoint, state=State.LOOK, finding=told, next=_next(endpoint, alarm))
    if health.verdict == "no_data" and endpoint.state is State.OK:
        text = next((one.text for one in health.answers if one.verdict == "no_data" and one.text), "no request comes")
        told = "; ".join(one for one in (endpoint.finding, text) if one)
        return replace(endpoint, state=State.NO_DATA, idle=True, finding=told, next="")
    return endpoint


def _finding(health: EndpointHealthView, alarm: AlarmView | None) -> str:
    worst = next((one for one in health.answers if one.verdict == "fail" and one.pages), None)
    title = alarm.title if alarm is not None else health.title
    since = f" since {health.since.astimezone():%H:%M:%S}" if health.since else ""
    return f"{title}{since}{f' ({worst.text})' if worst is not None and worst.text else ''}"


def _next(endpoint: EndpointView, alarm: AlarmView | None) -> str:
    if alarm is None:
        return f"mlconsole health now {endpoint.name}"
    if alarm.state == "firing" and alarm.triage.fix:
        return f"mlconsole action run {alarm.triage.fix} --env {alarm.environment}"
    return f"mlconsole health alarm {alarm.number}"
