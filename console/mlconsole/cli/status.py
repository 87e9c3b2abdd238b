"""`status`: the state of the world, worst first, readable on a phone."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import Run, command
from mlconsole.core.text import neutralise

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.engine.views import AlarmView, CallerView, EndpointView, StatusView

_WIDTH = 46
_SHOWN = 8


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def status(run: Run, line: Annotated[bool, typer.Option("--line", help="One short line, for a tmux status line.")] = False) -> None:
        """Every endpoint of the environment, worst first.

        Exit 1 when one fails, 6 when the backend can't be reached.
        """
        from mlconsole.engine.endpoints import whole
        from mlconsole.engine.views import State

        view = whole(run.session)
        if run.json:
            from mlconsole.cli.endpoints import endpoint_json
            from mlconsole.cli.health import plain

            run.emit(
                {
                    "workspace": view.workspace,
                    "environment": view.environment,
                    "production": view.production,
                    "read_only": view.read_only,
                    "at": view.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    "watched_by": view.watcher.who if view.watcher.alive else None,
                    "acts_as": plain(acts) if (acts := _acts(run.session)) is not None else None,
                    "watches_as": plain(view.watcher.caller) if view.watcher.caller is not None else None,
                    "alarms": [_alarm_json(alarm) for alarm in view.alarms],
                    "trouble": view.trouble or None,
                    "next": view.trouble_next or None,
                    "counts": {str(state): view.count(state) for state in State},
                    "endpoints": [endpoint_json(endpoint) for endpoint in view.endpoints],
                }
            )
        elif line:
            run.say(_line(view))
        else:
            for text in _screen(view, _credentials(run.session), _acts(run.session)):
                run.say(text)
        code = 1 if view.count(State.FAILING) else 6 if view.blind else 0
        if code:
            raise typer.Exit(code)


def _credentials(session: Session) -> list[str]:
    """The rollouts whose driver's credentials end before they do, a line each."""
    running = session.registry.unfinished_rollouts(session.environment.name)
    if not running:
        return []
    from mlconsole.engine.rolloutviews import view_of

    views = [view_of(session, one) for one in running]
    return [f"{one.endpoint}  rollout: {one.credentials}" for one in views if one.credentials]


def _acts(session: Session) -> CallerView | None:
    """As whom the backend takes who asks; None where it does not say, or takes the credentials no more, which is told as trouble."""
    from mlconsole.engine.identifying import caller_view
    from mlconsole.plugin.errors import MLConsoleError

    try:
        return caller_view(session.backend.caller())
    except MLConsoleError:
        return None


def _screen(view: StatusView, credentials: Sequence[str] = (), acts: CallerView | None = None) -> list[str]:
    from mlconsole.engine.identifying import credentials_told
    from mlconsole.engine.views import SIGNS, State

    label = "PROD" if view.production else view.environment.upper()[:16]
    head = f"{label} {neutralise(view.workspace)}"
    lines = [f"{head[: _WIDTH - 10]:<{_WIDTH - 9}}{view.at.astimezone():%a %H:%M}"]
    well = [endpoint for endpoint in view.endpoints if endpoint.state is State.OK]
    if acts is not None:
        place = ", ".join(part for part in (acts.account, acts.region) if part)
        told = f"{acts.name}{f' ({place})' if place else ''}; {credentials_told(acts, view.at)}"
        lines += _wrapped(f"as      {told}", "        ")
    if view.trouble:
        lines += _wrapped(f"{SIGNS[State.NO_DATA][1]} {view.trouble}")
        lines += _wrapped(f"  next: {view.trouble_next}") if view.trouble_next else []
    for endpoint in view.endpoints:
        if view.trouble and endpoint.finding == view.trouble:
            lines.append(_cut(f"{SIGNS[endpoint.state][1]} {endpoint.name}  was {endpoint.content}"))
        elif endpoint.state is not State.OK:
            sign = SIGNS[endpoint.state][1]
            lines += _wrapped(f"{sign} {endpoint.name}  {endpoint.finding}")
            if endpoint.next:
                lines += _wrapped(f"  next: {endpoint.next}")
    lines += [_cut(f"ok {endpoint.name}  {endpoint.content}") for endpoint in well[:_SHOWN]]
    if len(well) > _SHOWN:
        lines.append(f"ok {len(well) - _SHOWN} others")
    if not view.endpoints and not view.trouble:
        lines += _wrapped("no endpoint yet. Deploy a version: mlconsole deploy MODEL@VERSION")
    for alarm in view.alarms:
        lines += _alarm(alarm, view)
    for text in credentials:
        lines += _wrapped(f"{SIGNS[State.LOOK][1]} {text}")
    return [*lines, *_wrapped(_watch(view), "        ")]


def _alarm(alarm: AlarmView, view: StatusView) -> list[str]:
    """What a phone has to say of an alarm: the likely cause, what would help, who has it."""
    told = dict(alarm.triage.lines)
    state = "" if alarm.state == "firing" else f", {alarm.state}"
    lines = _wrapped(f"alarm   {alarm.number}{state}: {alarm.title} for {_age(alarm, view)}", "        ")
    cause = told.get("dependency") or told.get("just before", "")
    if cause and not cause.startswith("nothing"):
        lines += _wrapped(f"cause?  {cause}", "        ")
    if alarm.state == "firing":
        lines += _wrapped(f"revert  {alarm.triage.revert}", "        ")
    if alarm.triage.fix and alarm.state == "firing":
        lines += _wrapped(f"fix     mlconsole action run {alarm.triage.fix} --env {alarm.environment}", "        ")
    who = f"{alarm.acknowledged_by} has it" if alarm.acknowledged_by else f"nobody: mlconsole health ack {alarm.number}"
    return [*lines, *_wrapped(f"has it  {who}", "        ")]


def _age(alarm: AlarmView, view: StatusView) -> str:
    from mlconsole.core.text import duration

    return duration((view.at - alarm.since).total_seconds())


def _watch(view: StatusView) -> str:
    watcher = view.watcher
    if watcher.alive:
        trouble = f", {watcher.trouble}" if watcher.trouble else ""
        return f"watch   {watcher.who.split('@')[0].split(' ')[0]} ok{'' if watcher.channels else ', pages nobody'}{trouble}"
    since = f" since {watcher.since.astimezone():%a %H:%M}" if watcher.since else ""
    return f"watch   NOBODY WATCHES{since}: mlconsole guardian install"


def _alarm_json(alarm: AlarmView) -> dict[str, object]:
    return {
        "number": alarm.number,
        "state": alarm.state,
        "title": alarm.title,
        "question": alarm.question,
        "endpoints": list(alarm.endpoints),
        "since": alarm.since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "acknowledged_by": alarm.acknowledged_by or None,
        "revert_helps": alarm.triage.revert_helps,
        "revert": alarm.triage.revert,
        "fix": alarm.triage.fix or None,
    }


def _line(view: StatusView) -> str:
    from mlconsole.engine.views import SIGNS, State

    ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
    worst = view.endpoints[0] if view.endpoints else None
    if worst is None and view.trouble:
        return _cut(f"{SIGNS[State.NO_DATA][ascii_only]} blind: {view.trouble}", 40)
    if worst is None or worst.state is State.OK:
        return f"{SIGNS[State.OK][ascii_only]}{len(view.endpoints)}"
    sign = SIGNS[worst.state][ascii_only]
    count = view.count(worst.state)
    alarm = next((one for one in view.alarms if worst.name in one.endpoints), None)
    if alarm is not None and alarm.state == "firing":
        what = _first_words(worst).split(" since ")[0]
        return _cut(f"{sign}{count if count > 1 else ''} {worst.name} {what} {_age(alarm, view).replace(' ', '')}", 40)
    return _cut(f"{sign}{count if count > 1 else ''} {worst.name} {_first_words(worst)}", 40)


def _first_words(endpoint: EndpointView) -> str:
    return neutralise(endpoint.finding).split(":")[0].split(";")[0]


def _wrapped(text: str, below: str = "  ") -> list[str]:
    """In the width of a phone; a column's second line begins under its first."""
    return textwrap.wrap(neutralise(text), _WIDTH, subsequent_indent=below, break_long_words=True, break_on_hyphens=False) or [""]


def _cut(text: str, width: int = _WIDTH) -> str:
    text = neutralise(text)
    return text if len(text) <= width else text[: width - 1] + "…"
