"""`local up|down|status`: the servers of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from mlconsole.cli.common import Run, columns, command

if TYPE_CHECKING:
    from mlconsole.plugin.roles import Part

app = typer.Typer(help="The servers that run on this machine.", no_args_is_help=True)


@command(app)
def up(run: Run) -> None:
    """Start what should run here and does not; find again what runs already."""
    from mlconsole.engine import machine

    _tell(run, machine.up(run.session), "runs")


@command(app)
def down(run: Run) -> None:
    """Stop all servers of the environment and leave nothing behind. Releases stay known; deploy or revert brings them up again."""
    from mlconsole.engine import machine

    stopped = machine.down(run.session)
    _tell(run, stopped, "stopped")
    if not stopped:
        run.say("Nothing to do: nothing ran.")


@command(app)
def status(run: Run) -> None:
    """What runs here, and how it is. Exit 1 when a part is ill."""
    from mlconsole.engine import machine

    parts = machine.parts(run.session)
    _tell(run, parts, "")
    if not parts:
        run.say(f"Nothing runs. mlconsole local up --env {run.session.environment.name}")
    if any(not part.healthy for part in parts):
        raise typer.Exit(1)


def _tell(run: Run, parts: Sequence[Part], word: str) -> None:
    if run.json:
        run.emit(
            {
                "environment": run.session.environment.name,
                "parts": [{"name": one.name, "state": one.state, "detail": one.detail, "healthy": one.healthy} for one in parts],
            }
        )
        return
    for text in columns([[("✔" if one.healthy else "✖"), one.name, word or one.state, one.detail] for one in parts]):
        run.say(text)
