"""`local up|down|status`: the servers of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from mlconsole.cli.common import Run, columns, command

if TYPE_CHECKING:
    from mlconsole.plugin.roles import Part

app = typer.Typer(help="The servers that run on this machine.", no_args_is_help=True)


@command(app, changing=True)
def up(run: Run) -> None:
    """Start what should run here and does not.

    What runs already is found again. Exit 1 when a part does not come up.
    """
    from mlconsole.engine import machine

    if _only_looks(run):
        return
    parts = machine.up(run.session)
    _tell(run, parts)
    if any(not part.healthy for part in parts):
        raise typer.Exit(1)


@command(app, changing=True)
def down(run: Run) -> None:
    """Stop all servers of the environment.

    Nothing is left behind. Releases stay known: local up brings all of it up again.
    """
    from mlconsole.engine import machine

    if _only_looks(run):
        return
    stopped = machine.down(run.session)
    _tell(run, stopped, "stopped")
    if not stopped:
        run.say("Nothing to do: nothing ran.")


@command(app)
def status(run: Run) -> None:
    """What runs here, and how it is. Exit 1 when a part is ill."""
    from mlconsole.engine import machine

    parts = machine.parts(run.session)
    _tell(run, parts)
    if not parts:
        run.say(f"Nothing runs. mlconsole local up --env {run.session.environment.name}")
    if any(not part.healthy for part in parts):
        raise typer.Exit(1)


def _only_looks(run: Run) -> bool:
    """With --dry-run: what there is now, and that nothing has happened."""
    from mlconsole.engine import machine

    if not run.shared.dry_run:
        return False
    _tell(run, machine.parts(run.session))
    run.say("Nothing has happened.")
    return True


def _tell(run: Run, parts: Sequence[Part], stopped: str = "") -> None:
    if run.json:
        run.emit(
            {
                "environment": run.session.environment.name,
                "parts": [{"name": one.name, "state": one.state, "detail": one.detail, "healthy": one.healthy} for one in parts],
            }
        )
        return
    rows = [["✔" if stopped or one.healthy else "✖", one.name, stopped or one.state, one.detail] for one in parts]
    for text in columns(rows, wide=3):
        run.say(text)
