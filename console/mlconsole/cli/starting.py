"""`init`: a new workspace."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mlconsole.cli.common import Run, command, tidying
from mlconsole.plugin.errors import NotAllowed, UsageError


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, changing=True)
    def init(
        run: Run,
        folder: Annotated[str | None, typer.Argument(metavar="DIR", help="A new or empty folder; with --from, else this one.")] = None,
        sample: Annotated[bool, typer.Option("--sample", help="The sample workspace: real small models, golden queries, traffic.")] = False,
        found: Annotated[str, typer.Option("--from", metavar="PLUGIN", help="Of what is there already: aws.")] = "",
        profile: Annotated[str, typer.Option("--profile", metavar="NAME", help="With --from: the profile of ~/.aws/config.")] = "",
        region: Annotated[str, typer.Option("--region", metavar="NAME", help="With --from: the region; else the profile's.")] = "",
    ) -> None:
        """Make a workspace; --sample: a whole one, ready to use.

        --from aws looks at what an account has already: endpoints, documents, shares. It changes nothing there.
        """
        from mlconsole.engine import starting
        from mlconsole.engine.session import Session
        from mlconsole.workspace import environment, load

        if found:
            if sample:
                raise UsageError("--sample and --from are two workspaces. Nothing was made.", next="Leave one of the two out.")
            _from(run, found, "." if folder is None else folder, {"profile": profile, "region": region})
            return
        if profile or region:
            raise UsageError("--profile and --region say where --from looks. Nothing was made.", next="mlconsole init --from aws DIR")
        if folder is None:
            raise UsageError("Missing argument 'DIR'.", next="mlconsole init --help tells more.")
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


def _from(run: Run, plugin: str, folder: str, said: dict[str, str]) -> None:
    """A workspace of what a plugin finds."""
    from mlconsole.engine import discovering, starting

    place = starting.free(folder, sample=False)
    if run.shared.read_only and not run.shared.dry_run:
        raise NotAllowed(f"Read only: {place} was not made.", next="Start it without --read-only.")
    options = {key: value for key, value in said.items() if value}
    made = discovering.sketch(plugin, Path(place), options, environment=run.shared.env or "")
    if not run.shared.dry_run:
        with tidying():
            discovering.create(place, made)
    if run.json:
        run.emit(
            {
                "workspace": str(place),
                "environments": [one.name for one in made.found.environments],
                "endpoints": sorted({one.name for environment in made.found.environments for one in environment.endpoints}),
                "documents": [one.name for one in made.found.documents],
                "remarks": list(made.found.remarks),
                "versions": [],
                **({"text": made.text} if run.shared.dry_run else {}),
            }
        )
        return
    if run.shared.dry_run:
        for line in made.text.splitlines():
            run.say(line)
        run.say(f"# Nothing has happened: {place} would become this workspace.")
        return
    run.say(f"✔ workspace in {place}, made of {made.found.place}", indent=2)
    for line in discovering.tells(made):
        run.say(line, indent=2)
    if folder != ".":
        run.say(f"next: cd {shlex.quote(str(place))}")
    run.say("next: read mlconsole.yaml, then take over what is there; from then on whatever is changed can be reverted:")
    several = len(made.found.environments) > 1
    for environment in made.found.environments:
        named = f" --env {environment.name}" if several else ""
        run.say(f"      mlconsole endpoints adopt --all{named}")
        for document in environment.documents:
            run.say(f"      mlconsole config adopt {document}{named}")
