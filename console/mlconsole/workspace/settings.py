"""mlconsole.yaml as validated, frozen settings.

Loading a workspace imports no plugin: what it says about a plugin's options is kept as it stands, and validated by `options_for` when that
plugin is loaded for an environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.errors import UnknownName
from mlconsole.core.text import did_you_mean, is_name, neutralise
from mlconsole.plugin import ROLES, Plugin
from mlconsole.plugin.validation import Located, Problems, Sort, check, empty_map, shown
from mlconsole.workspace.grammar import FILE, MINIMAL, WORKSPACE
from mlconsole.workspace.reading import called, read_yaml

if TYPE_CHECKING:
    from mlconsole.core.models import Json

_PRODUCTION = frozenset({"production", "prod", "live"})


@dataclass(frozen=True)
class Environment:
    """Where models are served, and by which plugins."""

    name: str
    production: bool
    """Going forward wants names typed."""
    read_only: bool
    roles: Mapping[str, str]
    """Role → plugin name, for the roles that are bound."""
    options: Mapping[str, Located] = field(repr=False)
    """Plugin name → what the file says about it, not validated yet: `options_for`."""
    node: Located = field(repr=False, compare=False)
    where: str = field(default=FILE, compare=False)
    """How errors call the file."""

    def place(self, role: str) -> str:
        """Where the role is bound, or should be: `mlconsole.yaml:7:14`."""
        node = self.node.at(role)
        return f"{self.where}:{node.line}:{node.column}"


@dataclass(frozen=True)
class Model:
    """A model that the workspace knows: where it is served and where its files are (absolute paths)."""

    name: str
    endpoint: str
    path: Path | None = None
    golden: Path | None = None
    """Its golden queries for every environment that is not in `golden_by_environment`."""
    golden_by_environment: Mapping[str, Path] = field(default_factory=dict)
    replay: Path | None = None


@dataclass(frozen=True)
class Endpoint:
    """An endpoint and the model whose versions run behind it."""

    name: str
    model: str
    description: str = ""


@dataclass(frozen=True)
class Workspace:
    """Everything that mlconsole.yaml says."""

    name: str
    root: Path
    file: Path
    default_environment: str | None
    environments: Mapping[str, Environment]
    models: Mapping[str, Model]
    endpoints: Mapping[str, Endpoint]
    """Those that the file declares, then those of its models."""

    def endpoint_for(self, model: str) -> str:
        """The endpoint that serves a model: what the file says, else the model's name (also for a model the file does not know)."""
        known = self.models.get(model)
        return known.endpoint if known else model

    def model_for(self, endpoint: str) -> str | None:
        """The model behind an endpoint, None for an endpoint that the file does not know."""
        known = self.endpoints.get(endpoint)
        return known.model if known else None

    def golden_for(self, model: str, environment: str) -> Path | None:
        """The file of a model's golden queries in an environment, None where there are none."""
        known = self.models.get(model)
        return known.golden_by_environment.get(environment, known.golden) if known else None

    def named(self, environment: str, source: str = "") -> Environment:
        """The environment of that name; `source` says who asked for it.

        Raises:
            UnknownName: there is none; with the nearest ones.
        """
        if environment not in self.environments:
            asked = f" (from {source})" if source else ""
            raise UnknownName(
                f'There is no environment "{shown(environment)}"{asked}. {did_you_mean(environment[:64], self.environments)}',
                next=f"{called(self.file)} has {', '.join(self.environments)}.",
            )
        return self.environments[environment]


def load(path: Path) -> Workspace:
    """Read and validate mlconsole.yaml; `path` is the file, or the folder that holds it.

    Raises:
        InvalidFile: the first thing that is wrong, with line and column, and how many more there are.
    """
    file = (path / FILE if os.path.isdir(path) else path).absolute()  # noqa: PTH112 - pathlib's raises for a name that is too long
    where = called(file)
    node = read_yaml(file, where, minimal=MINIMAL)
    problems = Problems(where)
    values = check(WORKSPACE, node, problems)
    # What follows reads several values together, and needs each of them to be sound.
    problems.raise_first()
    for group, what in (("environments", "an environment"), ("models", "a model"), ("endpoints", "an endpoint")):
        _check_names(node, group, what, problems)
    root = file.parent.resolve()
    environments = _environments(values["environments"], node, where, problems)
    if not environments:
        problems.add(node.at("environments"), "environments is empty: at least one is needed.", next=f"A minimal file is: {MINIMAL}")
    default = values["default_environment"]
    if default is not None and default not in environments:
        at = node.at("default_environment")
        problems.add(at, f'default_environment "{shown(default)}" is none of the environments.', meant=default, known=environments)
    endpoints = _endpoints(values, node, problems)
    models = {name: _model(name, given, root, node, environments, endpoints, problems) for name, given in values["models"].items()}
    problems.raise_first()
    return Workspace(values["workspace"], root, file, default, environments, models, endpoints)


def options_for(environment: Environment, plugin: Plugin) -> Mapping[str, Json]:
    """A plugin's options in an environment, validated against its own declaration, defaults filled in.

    Raises:
        InvalidFile: with the line of what is wrong.
    """
    at = environment.node
    node = environment.options.get(plugin.name) or empty_map(at.line, at.column, f"{at.path}.options.{plugin.name}")
    problems = Problems(environment.where)
    values = check(plugin.options, node, problems)
    problems.raise_first()
    return values


def check_plugins(environments: Workspace | Environment, known: Iterable[str] | None = None) -> None:
    """Refuse plugin names that are not installed; `known` are those that are, looked up when left out (which imports none).

    Raises:
        InvalidFile: with the line of the role and the nearest name.
    """
    if known is None:
        from mlconsole.plugin.loading import names

        known = names()
    names_known = tuple(known)
    several = environments.environments.values() if isinstance(environments, Workspace) else (environments,)
    problems = Problems(next((environment.where for environment in several), FILE))
    for environment in several:
        for role, name in environment.roles.items():
            if name not in names_known:
                text = f'{role}: there is no plugin "{shown(name)}".'
                then = "mlconsole plugins list shows what is installed."
                problems.add(environment.node.at(role), text, next=then, meant=name, known=names_known)
    problems.raise_first()


def _check_names(node: Located, group: str, what: str, problems: Problems) -> None:
    found = node.get(group)
    for name, child in found.value.items() if found is not None and found.sort is Sort.MAP else ():
        if not is_name(name):
            rule = "letters, digits, dot, dash and underscore, at most 64, a letter or digit at both ends."
            problems.add(child, f'"{shown(name)}" can\'t name {what}: {rule}', key=True)


def _environments(values: Mapping[str, Any], node: Located, where: str, problems: Problems) -> dict[str, Environment]:
    result = {}
    for name, given in values.items():
        here = node.at("environments", name)
        roles = {role: given[role] for role in ROLES if given[role] is not None}
        options: dict[str, Located] = {}
        said = here.get("options")
        for plugin, option in said.value.items() if said is not None and said.sort is Sort.MAP else ():
            options[plugin] = option
            if plugin not in roles.values():
                text = f'options for "{shown(plugin)}", which plays no role in {shown(name)}.'
                problems.add(option, text, meant=plugin, known=set(roles.values()), key=True)
        production = given["production"] if given["production"] is not None else name.casefold() in _PRODUCTION
        result[name] = Environment(name, production, given["read_only"], roles, options, here, where)
    return result


def _endpoints(values: Mapping[str, Any], node: Located, problems: Problems) -> dict[str, Endpoint]:
    """The declared endpoints, then one for each model that no declared one serves."""
    models: Mapping[str, Any] = values["models"]
    endpoints = {name: Endpoint(name, given["model"], given["description"]) for name, given in values["endpoints"].items()}
    for endpoint in endpoints.values():
        if endpoint.model not in models:
            text = f'there is no model "{shown(endpoint.model)}" in models.'
            problems.add(node.at("endpoints", endpoint.name, "model"), text, meant=endpoint.model, known=models)
    for model, given in models.items():
        declared = any(endpoint.model == model for endpoint in endpoints.values())
        name = given["endpoint"] or (None if declared else model)
        if name is None:
            continue
        taken = endpoints.setdefault(name, Endpoint(name, model))
        if taken.model != model:
            text = f'endpoint "{shown(name)}" serves {shown(taken.model)} already, and {shown(model)} would be behind it too.'
            at = node.at("models", model, "endpoint")
            problems.add(at, text, next=f"Give {neutralise(model)} an endpoint of its own: endpoint: NAME.", key=at.path.endswith(model))
    return endpoints


def _model(
    name: str,
    given: Mapping[str, Any],
    root: Path,
    node: Located,
    environments: Iterable[str],
    endpoints: Mapping[str, Endpoint],
    problems: Problems,
) -> Model:
    serving = [endpoint.name for endpoint in endpoints.values() if endpoint.model == name]
    endpoint = given["endpoint"] or (name if name in serving or not serving else serving[0])
    golden: Path | None = None
    each: dict[str, Path] = {}
    match given["golden"]:
        case None:
            pass
        case dict() as files:
            for environment in files:
                at = node.at("models", name, "golden", environment)
                if environment not in environments:
                    problems.add(at, f'there is no environment "{shown(environment)}".', meant=environment, known=environments, key=True)
                file = _path(at, root, problems)
                if file is not None:
                    each[environment] = file
        case _:
            golden = _path(node.at("models", name, "golden"), root, problems)
    path, replay = (root / given[key] if given[key] else None for key in ("path", "replay"))
    return Model(name, endpoint, path, golden, each, replay)


def _path(node: Located, root: Path, problems: Problems) -> Path | None:
    if node.sort is Sort.TEXT and node.value and "\0" not in node.value:
        return root / str(node.value)
    problems.add(node, f"{shown(node.path)} has to be a path, or environment → path.")
    return None
