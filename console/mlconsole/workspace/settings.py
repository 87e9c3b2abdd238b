"""mlconsole.yaml as validated, frozen settings.

Loading a workspace imports no plugin: what it says about a plugin's options is kept as it stands, and validated by `options_for` when that
plugin is loaded for an environment.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.approvals import ApprovalPolicy
from mlconsole.core.errors import UnknownName
from mlconsole.core.evaluation import EvaluationGate
from mlconsole.core.freezes import FreezeWindow
from mlconsole.core.health import Settings as HealthSettings
from mlconsole.core.policies import BLUE_GREEN, CAREFUL, Policy
from mlconsole.core.text import did_you_mean, neutralise
from mlconsole.plugin import ROLES, Plugin
from mlconsole.plugin.validation import Located, Problems, Sort, check, empty_map, shown
from mlconsole.workspace.actions import ActionSettings, build_actions
from mlconsole.workspace.approving import build_approvals, build_gates
from mlconsole.workspace.configs import ConfigSettings, build_configs
from mlconsole.workspace.grammar import DEPENDENCY, FILE, MINIMAL, WORKSPACE
from mlconsole.workspace.health import (
    ApplicationLog,
    ChannelSettings,
    Ping,
    ProbeSettings,
    build_channels,
    build_logs,
    build_ping,
    build_probes,
    build_settings,
    check_named,
    refuse_secrets,
)
from mlconsole.workspace.policies import build_freezes, build_policies
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
    watch: bool = True
    """The guardian watches it."""
    ping: Ping | None = None
    probes: Mapping[str, ProbeSettings] = field(default_factory=dict)
    channels: Mapping[str, ChannelSettings] = field(default_factory=dict)
    """`notify` in the file."""
    application_logs: Mapping[str, ApplicationLog] = field(default_factory=dict)
    freezes: tuple[FreezeWindow, ...] = ()
    """When nothing goes forward; `freeze` in the file."""
    approvals: ApprovalPolicy | None = None
    """Who has to approve what goes forward; None: nobody."""
    evaluation: EvaluationGate = field(default_factory=EvaluationGate)
    """What a version's figures have to be before it goes there; `gates` in the file."""
    traffic_in: str | None = None
    """The config document in which applications read who gets which share; None: a role splits."""
    code: str | None = None
    """The commit of the applications that run there; None: not known."""

    @property
    def looked_at(self) -> bool:
        """Whether there is anything that health could be judged by."""
        return bool(self.probes) or any(role in self.roles for role in ("predictions", "metrics", "alarms"))

    @property
    def guardian_only(self) -> bool:
        """The backend has alarms, and none of them takes shares back: a role splits (SageMaker's weights take no alarms), and no document,
        whose publication may have monitors of its own."""
        return "alarms" in self.roles and self.traffic_in is None

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
class Dependency:
    """What an endpoint can't do without: a probe of at least one environment."""

    probe: str
    versions: tuple[str, ...] = ()
    """Only these versions of its model can't; none named: all of them."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint and the model whose versions run behind it."""

    name: str
    model: str
    description: str = ""
    depends_on: tuple[Dependency, ...] = ()
    health: HealthSettings = field(default_factory=HealthSettings)
    """What its health is judged by."""
    policy: str = CAREFUL.name
    """The name of the policy that its rollouts go by."""

    def probes(self, versions: Iterable[str]) -> tuple[str, ...]:
        """The probes of what it can't do without while these versions of its model get requests."""
        serving = set(versions)
        return tuple(one.probe for one in self.depends_on if not one.versions or serving & set(one.versions))


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
    actions: Mapping[str, ActionSettings] = field(default_factory=dict)
    keep_days: float = 7.0
    """Raw predictions are kept for so many days,"""
    keep_bytes: int = 2 << 30
    """and for as long as they fit into so many bytes."""
    policies: Mapping[str, Policy] = field(default_factory=lambda: {CAREFUL.name: CAREFUL, BLUE_GREEN.name: BLUE_GREEN})
    """Those that the file declares, and the ones that are always there."""
    configs: Mapping[str, ConfigSettings] = field(default_factory=dict)
    """The config documents."""

    def endpoint_for(self, model: str) -> str:
        """The endpoint that serves a model: what the file says, else the model's name (also for a model the file does not know)."""
        known = self.models.get(model)
        return known.endpoint if known else model

    def model_for(self, endpoint: str) -> str | None:
        """The model behind an endpoint, None for an endpoint that the file does not know."""
        known = self.endpoints.get(endpoint)
        return known.model if known else None

    def endpoint_models(self) -> Mapping[str, str]:
        """Endpoint → its model, of all endpoints that the file knows."""
        return {name: endpoint.model for name, endpoint in self.endpoints.items()}

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
    groups = {
        "environments": "an environment",
        "models": "a model",
        "endpoints": "an endpoint",
        "actions": "an action",
        "policies": "a policy",
        "configs": "a config document",
    }
    for group, what in groups.items():
        found = node.get(group)
        if found is not None:
            check_named(found, what, problems)
    for name in values["environments"]:
        for group, what in (("probes", "a probe"), ("notify", "a channel"), ("application_logs", "a log")):
            found = node.get("environments", name, group)
            if found is not None:
                check_named(found, what, problems)
        refuse_secrets(node.at("environments", name), problems)
    refuse_secrets(node, problems)
    root = file.parent.resolve()
    probes = {name: given["probes"] for name, given in values["environments"].items()}
    actions = build_actions(values["actions"], node, probes, values["models"], problems)
    policies = build_policies(values["policies"], node, probes, values["models"], actions, problems)
    endpoints = _endpoints(values, node, problems)
    for endpoint in endpoints.values():
        if endpoint.policy not in policies:
            text = f'there is no policy "{shown(endpoint.policy)}".'
            problems.add(node.at("endpoints", endpoint.name, "policy"), text, meant=endpoint.policy, known=policies)
    environments = _environments(values["environments"], node, where, root, actions, endpoints, problems)
    if not environments:
        problems.add(node.at("environments"), "environments is empty: at least one is needed.", next=f"A minimal file is: {MINIMAL}")
    default = values["default_environment"]
    if default is not None and default not in environments:
        at = node.at("default_environment")
        problems.add(at, f'default_environment "{shown(default)}" is none of the environments.', meant=default, known=environments)
    configs = build_configs(values["configs"], node, root, values["models"], policies, problems)
    for name, environment in environments.items():
        _check_traffic_in(environment, node.at("environments", name), configs, problems)
    models = {name: _model(name, given, root, node, environments, endpoints, problems) for name, given in values["models"].items()}
    problems.raise_first()
    kept = values["observations"] or {}
    return Workspace(
        name=values["workspace"],
        root=root,
        file=file,
        default_environment=default,
        environments=environments,
        models=models,
        endpoints=endpoints,
        actions=actions,
        keep_days=float(kept.get("days", 7)),
        keep_bytes=int(float(kept.get("gigabytes", 2)) * (1 << 30)),
        policies=policies,
        configs=configs,
    )


def _check_traffic_in(environment: Environment, here: Located, configs: Mapping[str, ConfigSettings], problems: Problems) -> None:
    name = environment.traffic_in
    if name is None:
        return
    at = here.at("traffic_in")
    if name not in configs:
        problems.add(at, f'traffic_in: there is no config document "{shown(name)}".', meant=name, known=configs)
    elif not configs[name].layout.split:
        problems.add(at, f"traffic_in: the entries of {shown(name)} have no place for a split (fields.split).")
    if "traffic" in environment.roles:
        problems.add(at, "traffic_in stands in place of a traffic role: leave one of the two out.")
    if "config" not in environment.roles:
        problems.add(at, "traffic_in needs a role that keeps config documents: config: local.")


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


def check_plugins(environments: Workspace | Environment, known: Iterable[str] | None = None, *, kinds: bool = True) -> None:
    """Refuse plugin names that are not installed; `known` are those that are, looked up when left out (which imports none).

    Without `kinds` only the roles are looked at: a misspelt probe stops nobody from going back.

    Raises:
        InvalidFile: with the line of the role, or of the probe's or channel's kind, and the nearest name.
    """
    if known is None:
        from mlconsole.plugin.loading import names

        known = names()
    names_known = tuple(known)
    several = environments.environments.values() if isinstance(environments, Workspace) else (environments,)
    problems = Problems(next((environment.where for environment in several), FILE))
    for environment in several:
        named = [(role, name, environment.node.at(role)) for role, name in environment.roles.items()]
        if kinds:
            made: tuple[ProbeSettings | ChannelSettings, ...] = (*environment.probes.values(), *environment.channels.values())
            named += [("kind", one.kind, one.node.at("kind")) for one in made]
        for what, name, node in named:
            if name not in names_known:
                text = f'{what}: there is no plugin "{shown(name)}".'
                problems.add(node, text, next="mlconsole plugins list shows what is installed.", meant=name, known=names_known)
    problems.raise_first()


def _environments(
    values: Mapping[str, Any],
    node: Located,
    where: str,
    root: Path,
    actions: Mapping[str, ActionSettings],
    endpoints: Mapping[str, Endpoint],
    problems: Problems,
) -> dict[str, Environment]:
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
        result[name] = Environment(
            name,
            production,
            given["read_only"],
            roles,
            options,
            here,
            where,
            given["watch"],
            build_ping(given, here, problems),
            build_probes(given, here, where, [one.name for one in actions.values() if one.offered(name)], problems),
            build_channels(given, here, where),
            build_logs(given, here, root, endpoints, problems),
            build_freezes(given, here, problems),
            build_approvals(given, here, problems),
            build_gates(given),
            given["traffic_in"],
            given["code"],
        )
    return result


def _endpoints(values: Mapping[str, Any], node: Located, problems: Problems) -> dict[str, Endpoint]:
    """The declared endpoints, then one for each model that no declared one serves."""
    models: Mapping[str, Any] = values["models"]
    probes = {probe for given in values["environments"].values() for probe in given["probes"]}
    endpoints = {
        name: Endpoint(
            name,
            given["model"],
            given["description"],
            _dependencies(given["depends_on"], node.at("endpoints", name, "depends_on"), probes, problems),
            build_settings(given["health"]),
            given["policy"],
        )
        for name, given in values["endpoints"].items()
    }
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


def _dependencies(given: Iterable[Any], node: Located, probes: Collection[str], problems: Problems) -> tuple[Dependency, ...]:
    found: dict[str, Dependency] = {}
    for place, one in enumerate(given):
        at = node.at(place)
        if at.sort is not Sort.MAP and not isinstance(one, str):
            problems.add(at, f"{shown(at.path)} has to be a probe, or {{probe: NAME, versions: [VERSION]}}, and is {at.sort}.")
            continue
        values = check(DEPENDENCY, at, problems) if at.sort is Sort.MAP else {"probe": one, "versions": []}
        probe = values["probe"]
        if probe is not None and probe not in probes:
            where = at.at("probe") if at.sort is Sort.MAP else at
            problems.add(where, f'there is no probe "{shown(probe)}" in any environment.', meant=probe, known=probes)
        elif probe in found and found[probe] != Dependency(probe, tuple(values["versions"])):
            problems.add(at, f'"{shown(probe)}" stands in {shown(node.path)} twice, and not the same.')
        elif probe is not None:
            found[probe] = Dependency(probe, tuple(values["versions"]))
    return tuple(found.values())


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
