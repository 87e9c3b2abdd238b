"""The command tree. Modules of nouns import nothing heavy, so that `--help` costs nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from mlconsole.cli import (
    action,
    approvals,
    config,
    demo,
    deploying,
    endpoints,
    guardian,
    health,
    history,
    info,
    local,
    models,
    plugins,
    releases,
    rollout,
    starting,
    status,
    traffic,
    trust,
)
from mlconsole.cli.common import shared_options

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


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None: ...


shared_options(app, _root)
status.add(app)
deploying.add(app)
for _name, _noun in {
    "endpoints": endpoints.app,
    "traffic": traffic.app,
    "models": models.app,
    "releases": releases.app,
    "rollout": rollout.app,
    "config": config.app,
    "approvals": approvals.app,
    "health": health.app,
    "guardian": guardian.app,
    "action": action.app,
    "history": history.app,
    "local": local.app,
    "plugins": plugins.app,
}.items():
    shared_options(_noun)
    app.add_typer(_noun, name=_name)
starting.add(app)
demo.add(app)
trust.add(app)

info.add(app)
