"""The roles that an environment's plugins play: made when they are first asked for, and asked in one pool with deadlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from mlconsole.core.clock import Clock
from mlconsole.core.models import ModelVersion
from mlconsole.engine.calls import Calls
from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.errors import UsageError
from mlconsole.plugin.roles import ConfigStore, Serving, Traffic
from mlconsole.workspace import Environment, Workspace, options_for

T = TypeVar("T")

READ, CHANGE = 10.0, 30.0
"""Seconds after which a reading call counts as not answered, and a changing one as unknown."""


class Bound:
    """The roles of one environment. `plugins` are those its roles name; each role is made when it is first asked for."""

    def __init__(
        self,
        workspace: Workspace,
        environment: Environment,
        plugins: Mapping[str, Plugin],
        clock: Clock,
        *,
        guardian: bool = False,
        released: Callable[[], Mapping[tuple[str, str], ModelVersion | None]] | None = None,
    ) -> None:
        self.name = "/".join(dict.fromkeys(environment.roles.values())) or "no backend"
        self._workspace, self._environment, self._plugins, self._clock = workspace, environment, plugins, clock
        self._guardian, self._released = guardian, released
        self._roles: dict[str, Any] = {}
        self._calls = Calls(f"{self.name} ({environment.name})")
        self._prepare()

    def _prepare(self) -> None:
        """What whoever extends it keeps; made once the rest is there."""

    def role(self, name: str) -> Any:
        """The role of that name, made when it is first asked for; None where none is bound. Its calls go through `asked` and `changed`."""
        return self._role(name)

    def played(self, name: str) -> Sequence[Any]:
        """That role of every plugin of the environment that plays it, bound in mlconsole.yaml or not: for what nobody has to name."""
        plugins = dict.fromkeys(self._environment.roles.values())
        return [self._made(name, plugin) for plugin in plugins if name in self._plugins[plugin].factories]

    def asked(self, what: str, call: Callable[[], T], *, deadline: float = READ) -> T:
        """A reading call of a role, in this backend's pool, with a deadline (s)."""
        return self._calls.ask(what, call, deadline=deadline)

    def changed(self, what: str, call: Callable[[], T], *, deadline: float = CHANGE) -> T:
        """A changing one."""
        return self._calls.change(what, call, deadline=deadline)

    def attended(self, look: Callable[[], None]) -> AbstractContextManager[None]:
        """While in it, `look` is called at least every second while this thread waits for the backend; what it raises ends the waiting."""
        return self._calls.attended(look)

    def config(self) -> ConfigStore:
        """The role that keeps config documents.

        Raises:
            UsageError: the environment has none.
        """
        store: ConfigStore | None = self._role("config")
        if store is None:
            raise UsageError(
                f"Environment {self._environment.name} keeps no config documents.", next="Bind a role in mlconsole.yaml: `config: local`."
            )
        return store

    def _serving(self) -> Serving:
        role: Serving | None = self._role("serving")
        if role is None:
            raise UsageError(
                f"Environment {self._environment.name} has no serving role.", next="Bind one in mlconsole.yaml: `serving: local`."
            )
        return role

    def _traffic(self) -> Traffic | None:
        if self._environment.traffic_in is not None:
            if "config traffic" not in self._roles:
                from mlconsole.engine.configtraffic import ConfigTraffic

                settings = self._workspace.configs[self._environment.traffic_in]
                self._roles["config traffic"] = ConfigTraffic(self.config(), settings, self._workspace.endpoint_models())
            held: Traffic = self._roles["config traffic"]
            return held
        role: Traffic | None = self._role("traffic")
        return role

    def _role(self, role: str) -> Any:
        plugin = self._environment.roles.get(role)
        return None if plugin is None else self._made(role, plugin)

    def _made(self, role: str, name: str) -> Any:
        key = f"{role}:{name}"
        if key not in self._roles:
            plugin = self._plugins[name]
            if role not in plugin.factories:
                raise UsageError(
                    f"The plugin {name} can't play {role} (it plays {', '.join(sorted(plugin.factories))}).",
                    next=f"Change `{role}:` of environment {self._environment.name} in mlconsole.yaml.",
                )
            self._roles[key] = plugin.factories[role](self._context(name))
        return self._roles[key]

    def _context(self, name: str) -> Context:
        return Context(
            environment=self._environment.name,
            root=self._workspace.root,
            state=state_folder(self._workspace) / name / self._environment.name,
            options=options_for(self._environment, self._plugins[name]),
            clock=self._clock,
            by_name=self._environment.traffic_in is not None,
            guardian=self._guardian,
            released=self._released,
        )


def traffic_document(traffic: Traffic | None) -> str | None:
    """The config document in which a traffic role writes who gets which share; None where it splits by other means."""
    return getattr(traffic, "document", None)


def state_folder(workspace: Workspace) -> Path:
    """Where the workspace keeps its state: `.mlconsole` beside `mlconsole.yaml`."""
    return workspace.root / ".mlconsole"
