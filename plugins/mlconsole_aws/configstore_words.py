"""What AppConfig says of deployments, in sentences."""

from __future__ import annotations

from dataclasses import replace

from mlconsole.core.documents import LiveDocument
from mlconsole.core.live import Transition
from mlconsole.core.text import neutralise
from mlconsole.plugin.roles import DocumentReport
from mlconsole_aws.deployments import TAKEN_BACK, Deployment, Detail, Event, Overview

_BACK = frozenset({"ROLLBACK_STARTED", "ROLLBACK_COMPLETED", "REVERT_COMPLETED"})


def report_of(live: LiveDocument, there: Overview, told: str, wrong: str) -> DocumentReport:
    """What is deployed, whether that is changing, and why it is as it is. `told`: of the deployment that runs, or ended otherwise."""
    own, running = there.own, there.running
    if running is not None and own is not None and running.number == own.number:
        publication = f"version {running.version}: {running.told}"
        return DocumentReport(replace(live, publication=publication), Transition.IN_PROGRESS, told)
    publication = f"deployment {there.deployed.number}" if there.deployed is not None else ""
    if own is not None and own.state in TAKEN_BACK:
        publication = "; ".join(one for one in (publication, f"version {own.version} was {own.told}") if one)
    if running is not None:
        publication = "; ".join(one for one in (publication, f"the environment is taken by {running.name}: {running.told}") if one)
        told = told if own is not None and own.state in TAKEN_BACK else ""
    live = replace(live, publication=publication)
    if wrong:
        return DocumentReport(live, Transition.FAILED, wrong)
    return DocumentReport(live, Transition.SETTLED, told)


def begun(one: Deployment, detail: Detail, alarms: tuple[str, ...] = ()) -> str:
    """A deployment that runs, or was taken back: how far, and who triggered what happened last. `alarms`: where the service names none."""
    what = f"AppConfig deployment {one.number} of {one.name} {one.version}"
    if one.state in TAKEN_BACK:
        events = [event for event in detail.events if event.kind in _BACK]
        # Of several events only that which began it names the alarm.
        back = next((event for event in events if event.alarm), events[0] if events else None)
        return f"{what} was {one.state}{_by(back, alarms)}"
    last = detail.events[0] if detail.events else None
    text = f"{what} is {one.state}, {one.percent:g} %"
    return text if last is None else f"{text}; last {last.kind}{_by(last, alarms)}"


def busy(one: Deployment, detail: Detail, *, ours: bool) -> str:
    """Why nothing else can be deployed just now."""
    whose = (
        "" if ours else f", which mlconsole did not start here{f' ({neutralise(detail.description)[:80]})' if detail.description else ''}"
    )
    return f"The environment is taken by deployment {one.number} of {one.name} {one.version}: {one.told}{whose}. Nothing was changed."


def _by(event: Event | None, alarms: tuple[str, ...]) -> str:
    if event is None:
        return ""
    if event.alarm:
        return f" by {event.by}: alarm {event.alarm}"
    if event.by == "CLOUDWATCH_ALARM" and alarms:
        return f" by {event.by}: one of {', '.join(alarms)} ({event.text})"
    at = f" at {event.at} UTC" if event.at else ""
    return f" by {event.by}{at}{f': {event.text}' if event.text else ''}"
