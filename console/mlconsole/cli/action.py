"""`action list|run|runs`: what plugins and the workspace offer beside serving, above all repairs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import Run, columns, command, pairs
from mlconsole.cli.completion import complete_action
from mlconsole.core.text import duration

if TYPE_CHECKING:
    from mlconsole.engine.acting import Offered

app = typer.Typer(help="Repairs and other things that can be run here.", no_args_is_help=True)


@command(app, "list")
def list_actions(run: Run) -> None:
    """What can be run in this environment."""
    from mlconsole.engine.acting import actions

    found = actions(run.session)
    if run.json:
        run.emit({"actions": [_json(one) for one in found]})
        return
    if not found:
        run.say("No action here. They stand under `actions:` in mlconsole.yaml, or come with a plugin.")
        return
    rows = [["ACTION", "FROM", "MENDS", "WHAT IT DOES"]]
    rows += [[one.name, one.source, ", ".join(one.repairs) or "–", _told(one)] for one in found]
    for line in columns(rows, wide=3):
        run.say(line)


@command(app, "run", changing=True)
def run_action(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_action)],
    param: Annotated[list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A parameter; several times.")] = None,
    alarm: Annotated[int | None, typer.Option("--alarm", metavar="ALARM", help="The alarm that it is to mend.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask for it, and leave.")] = False,
) -> None:
    """Run an action under the guardian (a dropped connection does not stop it), and wait for its check.

    Exit 0 when it ran and its check came out well, 1 when not, 8 when it still runs.
    """
    from mlconsole.engine import acting
    from mlconsole.engine.access import Deed
    from mlconsole.plugin.errors import ConfirmationNeeded

    session = run.session
    offered = acting.find(session, name)
    parameters = acting.checked_parameters(offered, pairs(param or [], "a parameter: KEY=VALUE"))
    session.access.require(Deed.ACT)
    told = ", ".join(f"{key}={value}" for key, value in parameters.items())
    run.say(f"{name} in {session.environment.name}: {offered.summary}{f' ({told})' if told else ''}", indent=2)
    if offered.checks:
        run.say(f"afterwards {offered.checks} is looked at")
    if run.shared.dry_run:
        run.say("Nothing has happened.")
        if run.json:
            run.emit({"action": _json(offered), "parameters": parameters, "done": False})
        return
    if session.environment.production and not offered.safe:
        if run.shared.confirm != name:
            raise ConfirmationNeeded(
                f"{name} changes production and is not marked safe: it wants its name. Nothing was done.", next=f"Add --confirm {name}."
            )
    elif not run.shared.yes and run.shared.confirm != name:
        interactive = sys.stdin.isatty() and sys.stdout.isatty() and not run.json
        if not (interactive and typer.confirm("Run it?", default=False)):
            raise ConfirmationNeeded("Nobody said yes to this. Nothing was done.", next="Add --yes.")
    asked = acting.ask(session, name, parameters, alarm=alarm, reason=run.shared.reason)
    if not no_wait:
        limit = run.shared.timeout if run.shared.timeout is not None else offered.time_limit + 60.0
        asked = acting.wait(session, asked.id, limit)
    if run.json:
        from mlconsole.cli.health import plain

        run.emit({"run": plain(asked)})
    elif no_wait:
        run.say(f"~ asked for (run {asked.id}): mlconsole action runs shows how it goes")
    else:
        run.say(f"{'✔' if asked.state == 'done' else '✖'} {name}: {asked.told}", indent=2)
    if asked.state not in ("done", "asked", "running"):
        raise typer.Exit(1)


@command(app)
def runs(run: Run, limit: Annotated[int, typer.Option("--limit", min=1, metavar="COUNT")] = 20) -> None:
    """What was run, by whom, and how it went; newest first."""
    from mlconsole.engine.acting import view_of

    found = [view_of(one) for one in run.session.registry.runs(run.session.environment.name, limit=limit)]
    if run.json:
        from mlconsole.cli.health import plain

        run.emit({"runs": [plain(one) for one in found]})
        return
    if not found:
        run.say("No action was run yet.")
        return
    rows = [["RUN", "WHEN", "WHO", "ACTION", "STATE", "RESULT"]]
    rows += [[one.id, f"{one.started.astimezone():%d %b %H:%M:%S}", one.who, one.action, one.state, one.told] for one in found]
    for line in columns(rows, wide=5):
        run.say(line)


@command(app, "carry-out", hidden=True)
def carry_out(run: Run) -> None:
    """Run what was asked for while nobody watches. Started by the console and by `action run` themselves."""
    from mlconsole.engine.acting import carry_out_asked

    for ended in carry_out_asked(run.session):
        run.say(f"{ended.action}: {ended.told}")


def _told(one: Offered) -> str:
    parameters = ", ".join(f"{entry.name}={entry.default if entry.default is not None else '…'}" for entry in one.parameters)
    notes = [*([] if one.safe else ["not marked safe"]), f"at most {duration(one.time_limit)}"]
    return " · ".join([f"{one.summary}{f' ({parameters})' if parameters else ''}", *notes])


def _json(one: Offered) -> dict[str, object]:
    return {
        "name": one.name,
        "summary": one.summary,
        "from": one.source,
        "safe": one.safe,
        "time_limit": one.time_limit,
        "checks": one.checks or None,
        "repairs": list(one.repairs),
        "parameters": [{"name": entry.name, "help": entry.help, "default": entry.default} for entry in one.parameters],
    }
