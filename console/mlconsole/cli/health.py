"""`health`: how the endpoints really do: worst slice first, alarms with what would help, dependencies, who watches."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli import native_alarms
from mlconsole.cli.common import DefaultCommand, Run, columns, command
from mlconsole.core.text import neutralise

if TYPE_CHECKING:
    from mlconsole.engine.views import AlarmView, EndpointHealthView, FiguresView, HealthView, SliceView

app = typer.Typer(help="How the endpoints really do, with the console closed or open.", cls=DefaultCommand)

_SIGNS = {"fail": "✖", "error": "✖", "inconclusive": "·", "no_data": "?", "pass": "✔"}
_WATCH = 2.0


@command(app)
def now(
    run: Run,
    endpoint: Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="Else all.")] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=1.0, metavar="MINUTES", help="How long the trends are.")] = 60.0,
) -> None:
    """Every endpoint by its worst slice; alarms and what would help; dependencies.

    Exit 1 when something that pages is found (of ENDPOINT, where one is named), 6 when nothing could be read.
    """
    from mlconsole.engine.health import look

    view = look(run.session, minutes=minutes)
    if endpoint is not None and view.endpoint(endpoint) is None:
        raise run.session.unknown_endpoint(endpoint)
    if run.json:
        run.emit(health_json(view, endpoint))
    else:
        for line in told(view, endpoint):
            run.say(line)
    _leave(view, endpoint)


@command(app)
def watch(run: Run, every: Annotated[float, typer.Option("--every", min=0.5, metavar="SECONDS")] = _WATCH) -> None:
    """The same again and again: one line for each change of state; a stream of JSON lines with --json. Ctrl-C ends it."""
    from mlconsole.engine.health import HealthWatch

    watching = HealthWatch(run.session)
    before: tuple[tuple[str, ...], ...] = ()
    while True:
        view = watching.look()
        if run.json:
            run.emit(health_json(view))
        else:
            states = tuple((one.endpoint, one.verdict, one.title) for one in view.endpoints)
            alarms = tuple((str(one.number), one.state, one.acknowledged_by) for one in view.open_alarms)
            if (*states, *alarms) != before:
                before = (*states, *alarms)
                run.say(f"{view.at.astimezone():%H:%M:%S}  {_in_a_line(view)}")
        run.session.clock.sleep(every)


@command(app)
def ack(
    run: Run,
    alarm: Annotated[int, typer.Argument(metavar="ALARM", help="Its number.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What you do about it.")] = "",
) -> None:
    """Take an alarm: the paging stops, and everybody sees that you have it."""
    from mlconsole.engine.alarming import acknowledge

    view = acknowledge(run.session, alarm, text)
    if run.json:
        run.emit({"alarm": alarm_json(view)})
        return
    run.say(f"✔ {view.acknowledged_by} has alarm {alarm}: {view.acknowledged_text or 'no word about what they do'}")


@command(app)
def close(
    run: Run,
    alarm: Annotated[int, typer.Argument(metavar="ALARM", help="Its number.")],
    reason: Annotated[str, typer.Argument(metavar="REASON", help="Why it is over though not every slice is proven.")],
) -> None:
    """Close an alarm by hand. It closes by itself when each slice is proven well again; this is for slices that get no traffic."""
    from mlconsole.engine.alarming import close_by_hand

    view = close_by_hand(run.session, alarm, reason)
    if run.json:
        run.emit({"alarm": alarm_json(view)})
        return
    run.say(f"✔ alarm {alarm} is closed by hand: {reason}")


@command(app)
def alarm(run: Run, number: Annotated[int, typer.Argument(metavar="ALARM", help="Its number.")]) -> None:
    """One alarm in full: what, since when, what happened in it, what would help."""
    from mlconsole.engine.alarming import alarm_of

    view = alarm_of(run.session, number)
    if run.json:
        run.emit({"alarm": alarm_json(view)})
        return
    for line in alarm_told(view, run.session.environment.name):
        run.say(line, indent=13)


@command(app)
def alarms(run: Run, limit: Annotated[int, typer.Option("--limit", min=1, metavar="COUNT")] = 20) -> None:
    """Alarms, newest first: those that are open, and those that were."""
    from mlconsole.engine.alarming import alarms_of

    found = alarms_of(run.session, limit=limit)
    if run.json:
        run.emit({"alarms": [alarm_json(one) for one in found]})
        return
    if not found:
        run.say("No alarm yet.")
        return
    rows = [["ALARM", "SINCE", "STATE", "ENDPOINTS", "WHAT", "WHO HAS IT"]]
    for one in found:
        since = f"{one.since.astimezone():%d %b %H:%M:%S}"
        rows.append([str(one.number), since, one.state, ", ".join(one.endpoints), one.title, one.acknowledged_by or "nobody"])
    for line in columns(rows, wide=4):
        run.say(line)


@command(app)
def affected(
    run: Run,
    alarm: Annotated[int, typer.Argument(metavar="ALARM", help="Its number.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV (also the default).")] = False,
) -> None:
    """The wrong predictions of an alarm, by id, to score them again."""
    from mlconsole.engine.alarming import affected as of

    found = of(run.session, alarm)
    if run.json and not as_csv:
        for one in found:
            run.emit({key: _time(value) if isinstance(value, datetime) else value for key, value in one.items()})
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names: list[str] | None = None
    for one in found:
        if names is None:
            names = list(one)
            writer.writerow(names)
        writer.writerow(
            [neutralise(_time(value) if isinstance(value, datetime) else str("" if value is None else value)) for value in one.values()]
        )
    if names is None:
        run.warn(f"No stored prediction belongs to alarm {alarm}.")


@command(app)
def trial(run: Run, channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="A name under `notify:`.")]) -> None:
    """Send a trial notice through a channel, so that it is known to work before it is needed."""
    from mlconsole.core.text import did_you_mean
    from mlconsole.engine.notifying import try_channel
    from mlconsole.plugin.errors import UnknownName

    channels = run.session.environment.channels
    if channel not in channels:
        raise UnknownName(
            f'There is no channel "{channel}". {did_you_mean(channel, channels)}', next="They stand under `notify:` in mlconsole.yaml."
        )
    try_channel(run.session, channel)
    if run.json:
        run.emit({"channel": channel, "taken": True})
    run.say(f"✔ {channel} took it")


native_alarms.add(app)


def told(view: HealthView, endpoint: str | None = None) -> list[str]:
    """The health of an environment for people, one line each."""
    lines: list[str] = []
    if view.trouble:
        lines.append(f"? {view.trouble}")
    lines += [f"· {note}" for note in view.notes]
    for one in view.open_alarms:
        lines += alarm_told(one, one.environment)
        lines.append("")
    shown = [one for one in view.endpoints if endpoint in (None, one.endpoint)]
    if shown:
        rows = [["", "ENDPOINT", "STATE", "SAME", "ERR %", "P95", "REQ/S", "WORST", "SINCE"]]
        rows += [_row(one) for one in shown]
        lines += columns(rows, frozenset({3, 4, 5, 6}))
    else:
        lines.append("No endpoint yet: nothing has a health. Deploy a version: mlconsole deploy MODEL@VERSION")
    for there in shown:
        lines += _slices(there) if endpoint is not None or there.verdict == "fail" else []
    if view.probes:
        lines += ["", "dependencies"]
        rows = [["✔" if seen.ok else "✖" if seen.ok is False else "?", seen.name, seen.kind, seen.text] for seen in view.probes]
        lines += columns(rows, wide=3)
    if view.natives:
        lines += ["", "alarms of the backend", *native_alarms.told(view.natives)]
    return [*lines, "", watcher_told(view)]


def watcher_told(view: HealthView) -> str:
    """Who watches, and whom they would tell."""
    watcher = view.watcher
    if not watcher.alive:
        since = f" since {watcher.since.astimezone():%d %b %H:%M}" if watcher.since else ""
        return f"watch   NOBODY WATCHES{since}: health is looked at only while somebody asks. mlconsole guardian install"
    channels = f", tells {', '.join(watcher.channels)}" if watcher.channels else ", tells nobody: no channel under `notify:`"
    return f"watch   {watcher.who}{channels}{f' · {watcher.trouble}' if watcher.trouble else ''}"


def alarm_told(one: AlarmView, environment: str) -> list[str]:
    """An alarm for people."""
    sign = {"firing": "✖", "recovering": "▲"}.get(one.state, "✔")
    state = "" if one.state == "firing" else f" · {one.state.upper()}"
    who = f"{one.acknowledged_by} has it: {one.acknowledged_text}" if one.acknowledged_by else "nobody has it"
    lines = [
        f"{sign} alarm {one.number} · {', '.join(one.endpoints) or environment}: {one.title}"
        f" since {one.since.astimezone():%H:%M:%S}{state} · {who}"
    ]
    lines += [f"  {name:<11}{text}" for name, text in one.triage.lines]
    if one.triage.revert:
        lines.append(f"  {'revert':<11}{one.triage.revert}")
    if one.triage.fix:
        lines.append(f"  {'fix':<11}mlconsole action run {one.triage.fix} --env {environment}   {one.triage.fix_told}".rstrip())
    if one.triage.ordinary:
        lines.append(f"  {'others':<11}{one.triage.ordinary}")
    for finding in one.findings:
        if one.state == "recovering" and finding.proven:
            still = [f"{name or 'all'} {count} of 30" for name, count in finding.proven.items() if count < 30]
            if still:
                lines.append(f"  {'not proven':<11}{finding.endpoint}: {', '.join(still)}")
    lines += [f"  {at.astimezone():%H:%M:%S}   {text}" for at, text in one.events]
    return lines


def _row(one: EndpointHealthView) -> list[str]:
    figures = one.figures
    worst = next((entry.slice for entry in one.slices if entry.slice and entry.verdict == "fail"), "")
    return [
        _SIGNS.get(one.verdict, "?"),
        one.endpoint,
        one.title,
        _percent(figures.same),
        _percent(figures.errors),
        "–" if figures.p95 is None else f"{figures.p95:.0f}",
        "–" if figures.rate is None else f"{figures.rate:.1f}",
        worst.partition("=")[2] or worst or "–",
        f"{one.since.astimezone():%H:%M:%S}" if one.since else "",
    ]


def _slices(one: EndpointHealthView) -> list[str]:
    rows = [["", f"{one.endpoint}", "VERDICT", "SAME", "ERR %", "P95", "OVER %", "N", ""]]
    for entry in one.slices:
        rows.append(
            [
                _SIGNS.get(entry.verdict, "?"),
                _slice_name(entry),
                entry.verdict.replace("_", " "),
                *_figures(entry.figures),
                entry.worst.text if entry.worst else "",
            ]
        )
    return ["", *columns(rows, frozenset({3, 4, 5, 6, 7}), wide=8)]


def _slice_name(entry: SliceView) -> str:
    name = entry.slice or "all"
    return f"{name} ({', '.join(entry.pooled)})" if entry.pooled else name


def _figures(figures: FiguresView) -> list[str]:
    return [
        _percent(figures.same),
        _percent(figures.errors),
        "–" if figures.p95 is None else f"{figures.p95:.0f}",
        _percent(figures.over),
        str(figures.n),
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _in_a_line(view: HealthView) -> str:
    parts = [f"{_SIGNS.get(one.verdict, '?')} {one.endpoint} {one.title}".rstrip() for one in view.endpoints]
    parts += [f"alarm {one.number} {one.state}, {one.acknowledged_by or 'nobody'} has it" for one in view.open_alarms]
    return " · ".join(parts) or "no endpoint yet"


def _leave(view: HealthView, endpoint: str | None) -> None:
    shown = [one for one in view.endpoints if endpoint in (None, one.endpoint)]
    firing = [
        one for one in view.open_alarms if one.state == "firing" and (endpoint is None or not one.endpoints or endpoint in one.endpoints)
    ]
    if firing or any(one.verdict == "fail" for one in shown):
        raise typer.Exit(1)
    # Of what is not known nobody may think that it is well.
    if view.trouble and all(one.verdict == "no_data" for one in shown):
        raise typer.Exit(6)


# JSON.


def health_json(view: HealthView, endpoint: str | None = None) -> Mapping[str, Any]:
    """The whole of it for scripts: the fields of `engine.views.HealthView`, times in UTC."""
    body = plain(view)
    if endpoint is not None:
        body["endpoints"] = [one for one in body["endpoints"] if one["endpoint"] == endpoint]
    return dict(body)


def alarm_json(view: AlarmView) -> Mapping[str, Any]:
    """One alarm for scripts."""
    return dict(plain(view))


def plain(value: Any) -> Any:
    """A view as JSON: frozen dataclasses as objects, times in UTC, what is not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and value != value:
        return None
    return value


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
