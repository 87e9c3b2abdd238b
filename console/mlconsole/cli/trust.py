"""`trust`: which commands the workspace brings, and whether they may run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import Run, columns, command

if TYPE_CHECKING:
    from mlconsole.engine.trusting import Trust


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, changing=True)
    def trust(run: Run, revoke: Annotated[bool, typer.Option("--revoke", help="Let none of them run any more.")] = False) -> None:
        """Show the commands that this workspace brings, and allow them.

        Actions with `run` and channels of kind `command` run only after this; it lapses when one of them changes.
        """
        from mlconsole.engine import trusting
        from mlconsole.plugin.errors import NotAllowed

        workspace = run.workspace
        found = trusting.trust_of(workspace)
        if run.shared.dry_run:
            _tell(run, found)
            run.say("Nothing has happened.")
            return
        if run.shared.read_only:
            raise NotAllowed("Read only: who is trusted was not changed.", next="Start it without --read-only.")
        if revoke:
            found = trusting.revoke(workspace)
            _tell(run, found)
            run.say(f"✔ none of them runs any more ({found.file})" if found.executables else "✔ not trusted")
            return
        if not found.executables:
            _tell(run, found)
            run.say("Nothing to do: this workspace brings no commands.")
            return
        if found.trusted:
            _tell(run, found)
            run.say("Nothing to do: they are trusted, and may run.")
            return
        if not run.json:
            _tell(run, found)
        _ask(run, len(found.executables))
        found = trusting.allow(workspace)
        if run.json:
            _tell(run, found)
        run.say(f"✔ they may run ({found.file}). It lapses when one of them changes; mlconsole trust --revoke ends it.")


def _tell(run: Run, found: Trust) -> None:
    from mlconsole.engine.trusting import told

    if run.json:
        run.emit(
            {
                "workspace": str(run.workspace.root),
                "trusted": found.trusted,
                "lapsed": found.lapsed,
                "commands": [{"what": one.what, "command": list(one.command)} for one in found.executables],
            }
        )
        return
    state = "trusted" if found.trusted else "changed since they were trusted" if found.lapsed else "not trusted"
    if found.executables:
        run.say(f"{run.workspace.file} brings {_count(len(found.executables))} ({state}):")
    for text in columns([["", one.what, told(one)] for one in found.executables], wide=2):
        run.say(text)


def _ask(run: Run, count: int) -> None:
    """Go on only with a yes.

    Raises:
        ConfirmationNeeded: nobody said it.
    """
    import sys

    from mlconsole.plugin.errors import ConfirmationNeeded

    if run.shared.yes:
        return
    if run.json or not sys.stdin.isatty() or not sys.stdout.isatty():
        raise ConfirmationNeeded(
            f"This workspace wants to run {_count(count)}, and nobody said yes. Nothing was allowed.",
            next="Look at them (mlconsole trust --dry-run), then say so: mlconsole trust --yes.",
        )
    try:
        answer = input("Let them run, as you, whenever this workspace says so? y allows it, anything else cancels: ")
    except EOFError:
        print()
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise ConfirmationNeeded("Nothing was allowed.", next="mlconsole trust asks again.")


def _count(number: int) -> str:
    return "one command" if number == 1 else f"{number} commands"
