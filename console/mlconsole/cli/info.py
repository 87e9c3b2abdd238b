"""`info`: every path and version that one asks for when something is odd."""

from __future__ import annotations

import platform
import sys

import typer

from mlconsole.cli.common import Run, columns, command


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def info(run: Run) -> None:
        """Where everything lies, and which versions are at work."""
        from importlib.metadata import version

        from mlconsole.engine.session import registry_path, whoami

        workspace = run.workspace
        registry = registry_path(workspace)
        actor = whoami()
        rows = [
            ["mlconsole", version("mlconsole")],
            ["python", f"{platform.python_version()} ({sys.executable})"],
            ["platform", f"{platform.system()} {platform.machine()}"],
            ["you", f"{actor} uid {actor.uid}{f', ssh from {actor.ssh_client}' if actor.ssh_client else ''}"],
            ["workspace", f"{workspace.name} ({workspace.file})"],
            ["environment", f"{run.environment.name}{' PRODUCTION' if run.environment.production else ''}"],
            ["roles", ", ".join(f"{role}: {plugin}" for role, plugin in run.environment.roles.items())],
            *([["acts as", acts]] if (acts := _acts(run)) else []),
            ["registry", f"{registry} ({f'{registry.stat().st_size / 1024:.0f} KB' if registry.exists() else 'not there yet'})"],
            ["state", str(registry.parent)],
        ]
        if run.json:
            run.emit({"info": dict(rows)})
            return
        for text in columns(rows):
            run.say(text)


def _acts(run: Run) -> str:
    """As whom the environment's backend takes who asks; empty where it does not know."""
    from mlconsole.engine.identifying import credentials_told
    from mlconsole.plugin.errors import MLConsoleError

    try:
        caller = run.session.backend.caller()
    except MLConsoleError as error:
        return error.message
    return "" if caller is None else f"{caller}; {credentials_told(caller, run.session.clock.now())}"
