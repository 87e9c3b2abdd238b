"""`plugins list|show`: which backends are installed, and their options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli.common import Run, columns, command
from mlconsole.plugin import KINDS

if TYPE_CHECKING:
    from mlconsole.plugin import Plugin

app = typer.Typer(help="Installed backends and what they can do.", no_args_is_help=True)


@command(app, "list")
def list_plugins(run: Run) -> None:
    """Installed plugins; a broken one is named and set aside."""
    from mlconsole.plugin import loading

    good, broken = loading.load_all()
    if run.json:
        run.emit(
            {
                "plugins": [
                    {"name": one.name, "version": one.version, "summary": one.summary, "roles": sorted(one.factories)} for one in good
                ],
                "broken": [{"name": one.name, "problem": one.problem} for one in broken],
            }
        )
        return
    for text in columns([[one.name, one.version, ", ".join(sorted(one.factories)), one.summary] for one in good], wide=3):
        run.say(text)
    for one in broken:
        run.say(f"✖ {one.name}: {one.problem}")


@command(app)
def show(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    policy: Annotated[
        bool, typer.Option("--policy", help="What its backend has to allow for the roles of the environment: the least IAM policy, JSON.")
    ] = False,
) -> None:
    """One plugin: its roles and its options.

    As mlconsole.yaml takes them; or, with --policy, what its backend has to allow.
    """
    from mlconsole.plugin import loading
    from mlconsole.plugin.options import json_schema

    if policy:
        # As it is handed to the backend's own tools, with --json and without.
        print(json.dumps(run.session.backend.policy(name), indent=2))
        return
    plugin = loading.load(name)
    if run.json:
        run.emit(
            {
                "name": plugin.name,
                "version": plugin.version,
                "summary": plugin.summary,
                "roles": sorted(plugin.factories),
                "options": json_schema(plugin.options),
            }
        )
        return
    run.say(f"{plugin.name} {plugin.version}: {plugin.summary}")
    run.say(f"roles: {', '.join(sorted(plugin.factories))}")
    run.say(f"options ({_place(plugin)}):")
    for text in columns(_rows(plugin.options, "  "), wide=3):
        run.say(text)


def _place(plugin: Plugin) -> str:
    """Where in mlconsole.yaml its options stand."""
    kind = next((role for role in plugin.factories if role in KINDS), None)
    if kind is None:
        return f"environments → NAME → options → {plugin.name}"
    return f"environments → NAME → {'probes' if kind == 'probe' else 'notify'} → NAME, beside kind: {plugin.name}"


def _rows(options: Any, indent: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for option in options:
        default = "required" if option.required else f"default {option.default}" if option.default is not None else ""
        rows.append([f"{indent}{option.name}", str(option.kind), default, option.help])
        inner = option.of.fields if option.of is not None else option.fields
        rows += _rows(inner, indent + "  ")
    return rows
