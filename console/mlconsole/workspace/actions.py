"""The actions that mlconsole.yaml declares: a plugin's own under a name with its parameters fixed, or a command."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlconsole.core.errors import UsageError
from mlconsole.core.text import did_you_mean
from mlconsole.plugin.validation import Located, Problems, Sort, shown
from mlconsole.workspace.health import check_named

if TYPE_CHECKING:
    from mlconsole.plugin.roles import Parameter

PYTHON = "python"
"""`{python}` in a command stands for the Python that runs mlconsole, so that a script may call `{python} -m mlconsole` in turn."""

_PLACE = re.compile(r"\{([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\}")


@dataclass(frozen=True)
class ActionSettings:
    """An action as the file says it. It either `uses` a plugin's action `with_` these parameters, or it runs a command."""

    name: str
    summary: str
    uses: str | None
    """The plugin's action."""
    with_: Mapping[str, str]
    """What that action is told."""
    run: tuple[str, ...] | None
    """The command and its arguments, `{NAME}` standing for a parameter and `{python}` for our own Python. It is run in the workspace's
    folder, never through a shell."""
    parameters: tuple[Parameter, ...]
    """What the command may be told."""
    safe: bool
    """It needs no typed name in production."""
    time_limit: float
    """s."""
    check_probe: str | None
    """The probe that has to see it repaired afterwards."""
    check_golden: str | None
    """The model whose golden queries have to be answered right afterwards."""
    environments: tuple[str, ...] = ()
    """Where it is offered; none named: everywhere."""
    node: Located | None = field(default=None, repr=False, compare=False)

    def offered(self, environment: str) -> bool:
        """Whether it can be run there."""
        return not self.environments or environment in self.environments

    def command(self, given: Mapping[str, str]) -> tuple[str, ...]:
        """The command with its parameters filled in: each stays one argument, whatever is in it.

        Raises:
            UsageError: a parameter that it does not have, or that it needs and was not given.
        """
        known = {parameter.name: parameter.default for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise UsageError(f'{self.name} has no parameter "{shown(name)}". {did_you_mean(name[:64], known)} Nothing was run.')
            if "\0" in value:
                raise UsageError(f"{self.name}: {shown(name)} holds a NUL character. Nothing was run.")
        values = {PYTHON: sys.executable, **{name: given.get(name, default) for name, default in known.items()}}
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise UsageError(f"{self.name} needs {', '.join(missing)}. Nothing was run.", next=f"Give it: --param {missing[0]}=….")
        return tuple(_PLACE.sub(lambda found: str(values[found[1]]), part) for part in self.run or ())


def build_actions(
    given: Mapping[str, Any],
    node: Located,
    probes: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Any],
    problems: Problems,
) -> dict[str, ActionSettings]:
    """The actions of a workspace; `probes` are those of each environment."""
    return {name: _action(name, one, node.at("actions", name), probes, models, problems) for name, one in given.items()}


def _action(
    name: str,
    given: Mapping[str, Any],
    here: Located,
    probes: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Any],
    problems: Problems,
) -> ActionSettings:
    run, uses = given["run"], given["uses"]
    command = _said(here, "run")
    if command and uses is not None:
        problems.add(here.at("run"), f"{shown(here.path)} uses a plugin's action and runs a command: one of the two.", key=True)
    elif not command and uses is None:
        text = f"{shown(here.path)} does nothing: it needs uses: a plugin's action, or run: a command."
        problems.add(here, text, next="Write uses: NAME, or run: [PROGRAM, ARGUMENT].", key=True)
    if command:
        _check_command(here, run, given["parameters"], problems)
    elif given["parameters"]:
        text = f"{shown(here.path)}.parameters belong to run: what uses is told stands in with."
        problems.add(here.at("parameters"), text, key=True)
    if given["with"] and uses is None:
        problems.add(here.at("with"), f"{shown(here.path)}.with belongs to uses: a command has parameters.", key=True)
    check_named(here.at("parameters"), "a parameter", problems)
    for place, environment in enumerate(given["environments"]):
        if environment not in probes:
            at = here.at("environments", place)
            problems.add(at, f'there is no environment "{shown(environment)}".', meant=environment, known=probes)
    there = [environment for environment in probes if not given["environments"] or environment in given["environments"]]
    known = [probe for environment in there for probe in probes[environment]]
    check = given["check"]
    if check["probe"] is not None and check["probe"] not in known:
        at = here.at("check", "probe")
        problems.add(at, f'check: there is no probe "{shown(check["probe"])}" where this is offered.', meant=check["probe"], known=known)
    if check["golden"] is not None:
        model = models.get(check["golden"])
        at = here.at("check", "golden")
        if model is None:
            problems.add(at, f'check: there is no model "{shown(check["golden"])}".', meant=check["golden"], known=models)
        elif not model["golden"]:
            text = f"check: model {shown(check['golden'])} has no golden queries."
            problems.add(at, text, next=f"Name their file: models: {check['golden']}: golden: FILE.")
    return ActionSettings(
        name,
        given["summary"],
        uses,
        given["with"],
        tuple(run) if command else None,
        _parameters(given["parameters"]),
        given["safe"],
        float(given["time_limit"]),
        check["probe"],
        check["golden"],
        tuple(dict.fromkeys(given["environments"])),
        here,
    )


def _said(node: Located, name: str) -> bool:
    found = node.get(name)
    return found is not None and found.sort is not Sort.NOTHING


def _check_command(here: Located, run: list[str], parameters: Mapping[str, Any], problems: Problems) -> None:
    if not run or not run[0]:
        problems.add(here.at("run"), f"{shown(here.path)}.run names no program.")
        return
    for place, part in enumerate(run):
        at = here.at("run", place)
        if "\0" in part:
            problems.add(at, f"{shown(at.path)} holds a NUL character.")
        for name in _PLACE.findall(part):
            if name == PYTHON:
                continue
            if place == 0:
                problems.add(at, f"{shown(at.path)}: no parameter may choose the program.", next="Write the program itself.")
            elif name not in parameters:
                text = f"{shown(at.path)}: {{{shown(name)}}} is no parameter of this action."
                problems.add(at, text, meant=name, known=parameters)


def _parameters(given: Mapping[str, Any]) -> tuple[Parameter, ...]:
    if not given:
        return ()
    # Roles are imported only by a workspace that needs them: a first frame waits for mlconsole.yaml.
    from mlconsole.plugin.roles import Parameter

    return tuple(Parameter(name, one["help"], one["default"]) for name, one in given.items())
