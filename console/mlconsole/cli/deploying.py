"""`deploy`, `revert`, `recover`, `apply`, `wait`: the changes themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from mlconsole.cli import publishing
from mlconsole.cli.common import Run, command
from mlconsole.cli.completion import complete_document, complete_endpoint, complete_operation, complete_target, complete_version
from mlconsole.core.documents import document_of, target_named, target_told
from mlconsole.core.models import parse_version_name
from mlconsole.core.traffic import parse_percent


def add(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, changing=True)
    def deploy(
        run: Run,
        version: Annotated[str, typer.Argument(metavar="MODEL@VERSION", autocompletion=complete_version)],
        endpoint: Annotated[
            str | None,
            typer.Option("--endpoint", metavar="NAME", help="Else the workspace's for that model.", autocompletion=complete_endpoint),
        ] = None,
        traffic: Annotated[
            str | None, typer.Option("--traffic", metavar="PERCENT", help="Its share; else ready at 0 %, or 100 % on a new endpoint.")
        ] = None,
        variant: Annotated[
            str | None, typer.Option("--variant", metavar="NAME", help="Its name; else the version with v before it.")
        ] = None,
        config: Annotated[
            str | None,
            typer.Option(
                "--config", metavar="NAME", help="Publish that document's draft in the same change.", autocompletion=complete_document
            ),
        ] = None,
        break_glass: Annotated[
            str, typer.Option("--break-glass", metavar="REASON", help="Overrule gates and a freeze; the release says so for ever.")
        ] = "",
    ) -> None:
        """Bring a version up behind an endpoint.

        It stands ready at 0 %, or gets a share of the traffic while the others keep their proportions; on a new endpoint it gets all of it.
        """
        from mlconsole.cli.changes import carry_out, first_repair
        from mlconsole.engine.planning import plan_deploy

        model, number = parse_version_name(version)
        share = parse_percent(traffic) if traffic is not None else None
        first_repair(run, endpoint or run.workspace.endpoint_for(model))
        plan = plan_deploy(
            run.session,
            model,
            number,
            endpoint=endpoint,
            share=share,
            name=variant,
            reason=run.shared.reason,
            break_glass=break_glass,
            config=config,
        )
        carry_out(run, plan)

    @command(app, changing=True)
    def revert(
        run: Run,
        endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Or config:NAME.", autocompletion=complete_target)],
        to: Annotated[str | None, typer.Option("--to", metavar="RELEASE", help="Else the last one that stood by itself.")] = None,
    ) -> None:
        """Go back to the last release that stood, or to an older one.

        A change that is under way is stopped and goes back.
        """
        _revert(run, endpoint, to)

    for alias in ("rollback", "undo", "abort"):
        command(app, alias, changing=True, hidden=True)(revert)

    @command(app, changing=True)
    def recover(
        run: Run,
        operation: Annotated[
            str | None, typer.Argument(metavar="CHANGE", help="Else every interrupted one.", autocompletion=complete_operation)
        ] = None,
    ) -> None:
        """Finish interrupted changes: fully new, or fully back."""
        from mlconsole.cli.changes import finish, operation_json, stoppable
        from mlconsole.engine import changing
        from mlconsole.engine.telling import operation_view

        session = run.session
        if operation is not None:
            found = changing.find_operation(session, operation)
            left = [] if found.state.terminal else [found]
            if not left:
                run.say(f"Nothing to do: change {found.id} of {target_told(found.endpoint)} is over ({found.state}).")
        else:
            left = [one for one in session.registry.unfinished(session.environment.name) if not changing.is_alive(session, one)]
            if not left:
                run.say(f"Nothing to do: no change in {session.environment.name} was interrupted.")
        if run.shared.dry_run or not left:
            if run.json:
                run.emit({"interrupted": [operation_json(operation_view(one, alive=False)) for one in left]})
            for one in left:
                run.say(f"{one.id}  {target_told(one.endpoint)}  {one.state}  since {one.started:%H:%M:%S}")
            return
        for one in left:
            with stoppable() as stop:
                ended = changing.recover(session, one, stop=stop)
                stop.over = True
                finish(run, ended, back_is_fine=True)

    @command(app, changing=True)
    def apply(run: Run, plan: Annotated[str, typer.Argument(metavar="PLAN", help="The id that a --dry-run printed.")]) -> None:
        """Run a plan that --dry-run has shown.

        Once, and only on the state that it was made from.
        """
        from mlconsole.cli.changes import carry_out
        from mlconsole.engine import changing

        carry_out(run, changing.apply(run.session, plan))

    @command(app)
    def wait(
        run: Run,
        operation: Annotated[
            str,
            typer.Argument(
                metavar="CHANGE",
                help="Its id, ENDPOINT#RELEASE, or ENDPOINT (config:NAME); or a request's number.",
                autocompletion=complete_operation,
            ),
        ],
        until: Annotated[
            str, typer.Option("--until", metavar="STATE", help="`approved`, for a request; a rollout's state, for a rollout.")
        ] = "",
    ) -> None:
        """Wait for a change, an approval, or a rollout.

        Exit 0 when it stands, 1 when it went back, 7 when a request was rejected, 8 when the time ran out.
        """
        from mlconsole.cli import approvals, rollout
        from mlconsole.cli.changes import finish
        from mlconsole.engine import changing

        registry = run.session.registry
        is_change = not until and registry.operation(operation) is not None
        if not is_change and approvals.is_request(run, operation, until):
            approvals.wait_for(run, int(operation))
        elif not is_change and (until or registry.rollout(operation) is not None):
            rollout.wait(run, operation, until or "over")
        else:
            finish(run, changing.wait(run.session, operation, timeout=run.timeout))


def _revert(run: Run, endpoint: str, to: str | None) -> None:
    from mlconsole.cli.changes import carry_out, finish, first_repair, stoppable
    from mlconsole.engine import changing
    from mlconsole.engine.planning import plan_revert

    if (document := document_of(target_named(endpoint))) is not None:
        publishing.go_back(run, document, to=to)
        return
    number = publishing.release_number(endpoint, to)
    if not run.shared.dry_run and not run.session.read_only:
        # A change that runs, or was interrupted, is what is gone back from; the release before it is not the one meant.
        with stoppable() as stop:
            ended = changing.go_back_now(run.session, endpoint, stop=stop)
            if ended is not None and number is None:
                stop.over = True
                finish(run, ended, back_is_fine=True)
                return
        first_repair(run, endpoint)
    carry_out(run, plan_revert(run.session, endpoint, to=number, reason=run.shared.reason))
