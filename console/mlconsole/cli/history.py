"""`history list|show`: every change, who, why, and what each step asked and read back."""

from __future__ import annotations

from typing import Annotated

import typer

from mlconsole.cli.changes import operation_json, time_json
from mlconsole.cli.common import Run, columns, command
from mlconsole.cli.completion import complete_endpoint, complete_operation
from mlconsole.core.text import duration

app = typer.Typer(help="What was changed, by whom, and how it went.", no_args_is_help=True)


@command(app, "list")
def list_changes(
    run: Run,
    endpoint: Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="Else all.", autocompletion=complete_endpoint)] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="COUNT", min=1)] = 50,
) -> None:
    """Changes, newest first."""
    from mlconsole.engine.history import changes

    found = changes(run.session, endpoint, limit=limit)
    if run.json:
        run.emit({"changes": [operation_json(change) for change in found]})
        return
    if not found:
        run.say("No change yet.")
        return
    rows = [["CHANGE", "WHEN", "WHO", "WHAT", "RESULT"]]
    for one in found:
        state = "interrupted" if one.interrupted else one.state
        result = {"done": f"✔ #{one.release}", "went back": "✖ went back"}.get(state, f"~ {state}")
        rows.append([one.id, f"{one.started.astimezone():%d %b %H:%M:%S}", one.who, f"{one.endpoint}: {one.kind} → {one.then}", result])
    for text in columns(rows, wide=3):
        run.say(text)


@command(app)
def show(
    run: Run,
    change: Annotated[
        str, typer.Argument(metavar="CHANGE", help="Its id, ENDPOINT#RELEASE, or ENDPOINT.", autocompletion=complete_operation)
    ],
) -> None:
    """One change, step by step: asked, found, read back."""
    from mlconsole.engine.history import change as look

    view, steps = look(run.session, change)
    if run.json:
        run.emit(
            {
                "change": operation_json(view),
                "steps": [
                    {
                        "index": step.index,
                        "role": step.role,
                        "action": step.action,
                        "asked": step.asked,
                        "found": step.found,
                        "read_back": step.read_back,
                        "state": step.state,
                        "problem": step.problem,
                        "back": step.back,
                        "started": time_json(step.started),
                        "seconds": step.seconds,
                    }
                    for step in steps
                ],
            }
        )
        return
    run.say(f"change {view.id} · {view.endpoint} · {view.environment} · {'interrupted' if view.interrupted else view.state}")
    run.say(
        f"  {view.now}  →  {view.then}   by {view.who}, {view.started:%Y-%m-%d %H:%M:%S} UTC{f', {view.reason!r}' if view.reason else ''}"
    )
    if view.problem:
        run.say(f"  ✖ {view.problem}", indent=4)
    rows = [["", "STEP", "ASKED FOR", "READ BACK", "TOOK", ""]]
    for step in steps:
        sign = {"done": "✔", "failed": "✖", "unknown": "?"}.get(step.state, "~")
        took = duration(step.seconds) if step.seconds is not None else "–"
        back = "back: " if step.back else ""
        rows.append([str(step.index), f"{back}{step.action}", step.asked, step.read_back or step.problem or "–", took, sign])
    for text in columns(rows, frozenset({4}), wide=3):
        run.say(text)
