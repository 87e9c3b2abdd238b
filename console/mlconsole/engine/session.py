"""A session: a workspace opened in one environment by one person. Every use case starts here."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.clock import Clock, SystemClock
from mlconsole.core.documents import config_target, document_of
from mlconsole.core.models import Actor
from mlconsole.core.text import did_you_mean, neutralise
from mlconsole.engine.access import Access
from mlconsole.engine.views import Progress
from mlconsole.plugin.errors import MLConsoleError, UnknownName

if TYPE_CHECKING:
    from mlconsole.engine.backend import Backend
    from mlconsole.observations import Store
    from mlconsole.plugin import Plugin
    from mlconsole.registry import Registry
    from mlconsole.workspace import Environment, Workspace
    from mlconsole.workspace.health import ChannelSettings, ProbeSettings


class Session:
    """What a use case needs: settings, registry, backend, clock, who is asking, and what they may do.

    Registry and backend are opened when they are first used, so that a command that needs neither costs neither.

    Args:
        workspace: the validated settings.
        environment: the one that is worked in.
        read_only: refuse every change (invariant 8), and open the registry for reading only.
        plugins: plugins by name in place of the installed ones, for tests.
        tell: is told what happens in a running change.
        deadline: seconds that going back, and waiting for others, may take.
        limit: seconds after which a change that has not come to stand goes back; None: each of its steps has its own deadline only.
        guardian: it is the guardian's: a backend may have other credentials for it.
    """

    def __init__(
        self,
        workspace: Workspace,
        environment: Environment,
        *,
        actor: Actor | None = None,
        clock: Clock | None = None,
        read_only: bool = False,
        plugins: Mapping[str, Plugin] | None = None,
        tell: Callable[[Progress], None] | None = None,
        deadline: float = 600.0,
        limit: float | None = None,
        guardian: bool = False,
    ) -> None:
        self.workspace = workspace
        self.environment = environment
        self.actor = actor or whoami()
        self.clock: Clock = clock or SystemClock()
        self.access = Access(environment, read_only=read_only)
        self.deadline = deadline
        self.limit = limit
        self.guardian = guardian
        self._plugins = plugins
        self._tell = tell

    def again(self) -> Session:
        """Another session of the same person in the same environment, with connections of its own."""
        return Session(
            self.workspace,
            self.environment,
            actor=self.actor,
            clock=self.clock,
            read_only=self.read_only,
            plugins=self._plugins,
            deadline=self.deadline,
            guardian=self.guardian,
        )

    def elsewhere(self, environment: str) -> Session:
        """A session of the same person in another environment of the workspace, for looking only.

        Raises:
            UnknownName: there is no such environment.
        """
        return Session(
            self.workspace,
            self.workspace.named(environment),
            actor=self.actor,
            clock=self.clock,
            read_only=True,
            plugins=self._plugins,
            deadline=self.deadline,
            guardian=self.guardian,
        )

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed."""
        return self.access.read_only

    @cached_property
    def registry(self) -> Registry:
        """The workspace's registry."""
        from mlconsole.registry import open_registry

        path = self.workspace.root / ".mlconsole" / "registry.db"
        return open_registry(path, clock=self.clock, read_only=self.read_only, deadline=min(30.0, self.deadline))

    @cached_property
    def observations(self) -> Store:
        """The workspace's store of predictions; nothing is written to it in a read-only session."""
        from mlconsole.observations import open_store

        return open_store(
            self.workspace.root / ".mlconsole" / "observations.db",
            clock=self.clock,
            read_only=self.read_only,
            keep_days=self.workspace.keep_days,
            keep_bytes=self.workspace.keep_bytes,
        )

    def close(self) -> None:
        """Give the connections of registry and observations back, where they were opened."""
        if "registry" in self.__dict__:
            self.registry.close()
        if "observations" in self.__dict__:
            self.observations.close()

    @cached_property
    def backend(self) -> Backend:
        """The environment's backend; loads the plugins that its roles name, and no other."""
        from mlconsole.engine.backend import Backend
        from mlconsole.engine.released import Released

        names = dict.fromkeys(self.environment.roles.values())
        if self._plugins is not None:
            plugins = {name: self._plugins[name] for name in names}
        else:
            from mlconsole.plugin import loading
            from mlconsole.workspace import check_plugins

            check_plugins(self.environment, kinds=False)
            plugins = {name: loading.load(name) for name in names}
        return Backend(self.workspace, self.environment, plugins, self.clock, guardian=self.guardian, released=Released(self))

    def made(self, settings: ProbeSettings | ChannelSettings, role: str) -> Any:
        """A probe or a notifier as mlconsole.yaml says it. An address `@NAME` is that of a companion service, asked for each time.

        Raises:
            InvalidFile: its options are wrong, with their line.
            Unavailable: the companion service is not known here.
            NotAllowed: it would run a command of the workspace's, and nobody has allowed that.
        """
        from mlconsole.engine.bound import state_folder
        from mlconsole.engine.trusting import require_made
        from mlconsole.plugin import Context
        from mlconsole.plugin.errors import Unavailable
        from mlconsole.workspace.health import kind_options

        require_made(self, settings)
        plugin = self._kind(settings)
        options = dict(kind_options(settings, plugin))
        for name, value in options.items():
            # Other options may begin with @ for reasons of their own: a pattern of keys, a text that has to be there.
            if name == "address" and isinstance(value, str) and value.startswith("@"):
                address = self.backend.address(value[1:])
                if address is None:
                    raise Unavailable(f"There is no service {value[1:]} in {self.environment.name} just now.", next="mlconsole local up")
                options[name] = address
        state = state_folder(self.workspace) / settings.kind / self.environment.name
        return plugin.factories[role](Context(self.environment.name, self.workspace.root, state, options, self.clock))

    def check(self) -> None:
        """See that plugins can be used as mlconsole.yaml says it: those of the roles, of each probe and of each channel.

        Raises:
            MLConsoleError: one can't, with the line where it is named or told something wrong.
        """
        from mlconsole.workspace import check_plugins
        from mlconsole.workspace.health import kind_options

        if self._plugins is None:
            check_plugins(self.environment)
        self.backend.predictions()
        for role in ("metrics", "alarms"):
            self.backend.role(role)
        made: tuple[ProbeSettings | ChannelSettings, ...] = (*self.environment.probes.values(), *self.environment.channels.values())
        for settings in made:
            kind_options(settings, self._kind(settings))

    def _kind(self, settings: ProbeSettings | ChannelSettings) -> Plugin:
        """The plugin that a probe or a channel is of."""
        from mlconsole.plugin import loading

        return (self._plugins or {}).get(settings.kind) or loading.load(settings.kind)

    def tell(self, kind: str, text: str, step: int | None = None, steps: int | None = None) -> None:
        """Say what happens, to whoever listens. A listener that is gone (a closed pipe, a dropped terminal) ends no change."""
        if self._tell is not None:
            with suppress(OSError):
                self._tell(Progress(self.clock.now(), kind, text, step, steps))

    def acting(self) -> Actor:
        """Who is asking, and as whom the backend takes them, where it can tell: for the journal."""
        try:
            caller = self.backend.caller()
        except MLConsoleError:
            return self.actor  # what can't be told is told as such by whoever needs it
        if caller is None:
            return self.actor
        until = f", until {caller.expires:%Y-%m-%d %H:%M}Z" if caller.expires is not None else ""
        return replace(self.actor, identity=f"{caller}{until}")

    def known_endpoints(self) -> list[str]:
        """Every endpoint name that a person may mean here: released ones and those the workspace declares."""
        released = [row.name for row in self.registry.endpoints(self.environment.name)]
        declared = [self.workspace.endpoint_for(model) for model in self.workspace.models]
        return list(dict.fromkeys([*released, *declared, *self.workspace.endpoints]))

    def known_targets(self) -> list[str]:
        """Everything that releases may be of: endpoints, and config documents (`config:models`)."""
        return [*self.known_endpoints(), *map(config_target, self.workspace.configs)]

    def unknown_endpoint(self, name: str) -> UnknownName:
        """The error for an endpoint, or a config document, that is nowhere."""
        document = document_of(name)
        if document is not None:
            return UnknownName(
                f'There is no config document "{neutralise(document)}". {did_you_mean(document, self.workspace.configs)}',
                next="mlconsole config list shows them.",
            )
        return UnknownName(
            f'There is no endpoint "{name}" in {self.environment.name}. {did_you_mean(name, self.known_endpoints())}',
            next="mlconsole endpoints list shows them.",
        )


def whoami() -> Actor:
    """Who runs this process, and from where: the OS user, the host, and the SSH client if there is one.

    The user is who the system says it is, and no variable: approvals go by it.
    """
    client = os.environ.get("SSH_CONNECTION", "").split(" ")[0] or None
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    return Actor(user=user, host=socket.gethostname().split(".")[0], uid=os.getuid(), ssh_client=client)


def registry_path(workspace: Workspace) -> Path:
    """Where the workspace's registry lies."""
    return workspace.root / ".mlconsole" / "registry.db"
