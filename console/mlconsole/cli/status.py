"""`status`: the state of the world, worst first, readable on a phone."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import Run, command
from mlconsole.core.text import neutralise

if TYPE_CHECKING:
    from mlconsole.engine.views import EndpointView, StatusView

_WIDTH = 46
_SHOWN = 8


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def status(run: Run, line: Annotated[bool, typer.Option("--line", help="One short line, for a tmux status line.")] = False) -> None:
        """Every endpoint of the environment, worst first.

        Exit 1 when one fails, 6 when the backend can't be reached.
        """
        from mlconsole.engine.endpoints import overview
        from mlconsole.engine.views import State

        view = overview(run.session)
        if run.json:
            from mlconsole.cli.endpoints import endpoint_json

            run.emit(
                {
                    "workspace": view.workspace,
                    "environment": view.environment,
                    "production": view.production,
                    "read_only": view.read_only,
                    "at": view.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    "watched_by": None,
                    "trouble": view.trouble or None,
                    "next": view.trouble_next or None,
                    "counts": {str(state): view.count(state) for state in State},
                    "endpoints": [endpoint_json(endpoint) for endpoint in view.endpoints],
                }
            )
        elif line:
            run.say(_line(view))
        else:
            for text in _screen(view):
                run.say(text)
        code = 1 if view.count(State.FAILING) else 6 if view.blind else 0
        if code:
            raise typer.Exit(code)


def _screen(view: StatusView) -> list[str]:
    from mlconsole.engine.views import SIGNS, State

    label = "PROD" if view.production else view.environment.upper()[:16]
    head = f"{label} {neutralise(view.workspace)}"
    lines = [f"{head[: _WIDTH - 10]:<{_WIDTH - 9}}{view.at.astimezone():%a %H:%M}"]
    well = [endpoint for endpoint in view.endpoints if endpoint.state is State.OK]
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
    return [*lines, "watch   nobody: look here yourself"]


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
    return _cut(f"{sign}{count if count > 1 else ''} {worst.name} {_first_words(worst)}", 40)


def _first_words(endpoint: EndpointView) -> str:
    return neutralise(endpoint.finding).split(":")[0].split(";")[0]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(neutralise(text), _WIDTH, subsequent_indent="  ", break_long_words=True) or [""]


def _cut(text: str, width: int = _WIDTH) -> str:
    text = neutralise(text)
    return text if len(text) <= width else text[: width - 1] + "…"
