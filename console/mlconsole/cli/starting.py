"""`init`: a new workspace."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from mlconsole.cli.common import Run, command, tidying
from mlconsole.plugin.errors import NotAllowed


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, changing=True)
    def init(
        run: Run,
        folder: Annotated[str, typer.Argument(metavar="DIR", help="A new or empty folder.")],
        sample: Annotated[bool, typer.Option("--sample", help="The sample workspace: real small models, golden queries, traffic.")] = False,
    ) -> None:
        """Make a workspace; --sample: a whole one, ready to use."""
        from mlconsole.engine import starting
        from mlconsole.engine.session import Session
        from mlconsole.workspace import environment, load

        place = starting.free(folder, sample=sample)
        if run.shared.read_only:
            raise NotAllowed(f"Read only: {place} was not made.", next="Start it without --read-only.")
        if run.shared.dry_run:
            run.say(f"Nothing has happened: {place} would become a workspace{' with the sample in it' if sample else ''}.")
            if run.json:
                run.emit({"workspace": str(place), "environments": [], "versions": []})
            return
        with tidying(), starting.all_or_nothing(place, sample=sample):
            starting.create(place, sample=sample)
            workspace = load(place / "mlconsole.yaml")
            session = Session(workspace, environment(workspace, None, {}), deadline=run.timeout)
            registered = starting.register_all(session)
        if run.json:
            run.emit({"workspace": str(place), "environments": list(workspace.environments), "versions": [one.name for one in registered]})
            return
        run.say(f"✔ workspace {workspace.name} in {place}: environments {', '.join(workspace.environments)}")
        if registered:
            run.say(f"✔ registered {len(registered)} versions: {', '.join(one.name for one in registered)}", indent=2)
            first = next((one for one in registered if one.version == "3"), registered[0])
            run.say(f"next: cd {shlex.quote(str(place))} && mlconsole local up && mlconsole deploy {first.name} --yes")
        else:
            run.say("next: mlconsole models register MODEL@VERSION PATH")
