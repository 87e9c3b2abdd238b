"""The command tree. Modules of nouns import nothing heavy, so that `--help` costs nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from mlconsole.cli import demo, deploying, endpoints, history, info, local, models, plugins, releases, starting, status, traffic
from mlconsole.cli.common import Shared

app = typer.Typer(
    name="mlconsole",
    help="Deploy model versions, shift traffic, watch, and revert.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"mlconsole {version('mlconsole')}")
        raise typer.Exit


@app.callback()
def _shared(
    ctx: typer.Context,
    workspace: Annotated[str | None, typer.Option("--workspace", "-w", help="The workspace's folder.")] = None,
    env: Annotated[str | None, typer.Option("--env", "-e", help="The environment.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    ctx.obj = Shared(workspace=workspace, env=env, read_only=read_only)


status.add(app)
deploying.add(app)
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(traffic.app, name="traffic")
app.add_typer(models.app, name="models")
app.add_typer(releases.app, name="releases")
app.add_typer(history.app, name="history")
app.add_typer(local.app, name="local")
app.add_typer(plugins.app, name="plugins")
starting.add(app)
demo.add(app)

info.add(app)
