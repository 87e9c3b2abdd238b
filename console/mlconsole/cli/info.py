"""`info`: every path and version that one asks for when something is odd."""

from __future__ import annotations

import platform
import sys

import typer

from mlconsole.cli.common import Run, columns, command

_MOST = 12
"""Operations that are told one by one."""


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
            *_asked(run),
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


def _asked(run: Run) -> list[list[str]]:
    """What the environment's backends were asked today, by all processes of this workspace; nothing where nobody counts."""
    from mlconsole.plugin.errors import MLConsoleError

    try:
        usages = run.session.backend.usages()
    except MLConsoleError as error:
        return [["asked today", error.message]]
    rows = []
    for usage in usages:
        most = sorted(usage.calls.items(), key=lambda one: (-one[1], one[0]))
        each = ", ".join(f"{name.replace(':', ' ')} {count}" for name, count in most[:_MOST])
        more = f", {len(most) - _MOST} more" if len(most) > _MOST else ""
        rows.append(["asked today", f"{usage.backend}: {sum(usage.calls.values())} calls{f' ({each}{more})' if each else ''}"])
        thrown = ", ".join(f"{name.replace(':', ' ')} {count}" for name, count in sorted(usage.throttled.items()))
        rows.append(["throttled", f"{usage.backend}: {sum(usage.throttled.values())}{f' ({thrown})' if thrown else ''}"])
        if usage.dollars_a_day is not None:
            rows.append(["asking costs", f"{usage.backend}: about ${usage.dollars_a_day:.2f} a day ({usage.priced})"])
    return rows
