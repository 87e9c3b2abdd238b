"""What else an environment's plugins offer: servers on this machine, actions, as whom we act there, what was asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlconsole.core.models import Json
from mlconsole.engine.authoring import Authoring
from mlconsole.engine.bound import CHANGE, READ, Bound
from mlconsole.engine.identifying import Identifying
from mlconsole.plugin.errors import NotFound, UsageError
from mlconsole.plugin.roles import Action, Actions, Addresses, Caller, Lifecycle, Part
from mlconsole.plugin.using import Usage, Using


class Offering(Bound):
    """What lives on this machine, what can be run, and whose credentials are used."""

    def _prepare(self) -> None:
        super()._prepare()
        self._identifying = Identifying(self._identities, self._calls, self._clock)
        knows = any("authors" in plugin.factories for plugin in self._plugins.values())
        self.authoring = Authoring(lambda: self.played("authors"), self._calls, self._clock) if knows else None
        """Who changed something past us; None where no plugin here would know."""

    def lifecycle(self) -> Lifecycle | None:
        """The part that brings servers of this machine up and down; None where nothing of this environment runs here."""
        for plugin in dict.fromkeys(self._environment.roles.values()):
            if "lifecycle" in self._plugins[plugin].factories:
                role: Lifecycle = self._made("lifecycle", plugin)
                return role
        return None

    def parts(self) -> Sequence[Part]:
        """What of this environment runs on this machine."""
        lifecycle = self.lifecycle()
        return self._calls.ask("asking what runs", lifecycle.parts, deadline=READ) if lifecycle else ()

    def address(self, service: str) -> str | None:
        """Where a companion service of this environment is (`127.0.0.1:6379`); None where nothing here knows one of that name."""
        lifecycle = self.lifecycle()
        return lifecycle.address(service) if isinstance(lifecycle, Addresses) else None

    def actions(self) -> Mapping[str, Action]:
        """The actions that the environment's plugins offer, by name."""
        found: dict[str, Action] = {}
        for plugin in dict.fromkeys(self._environment.roles.values()):
            if "actions" in self._plugins[plugin].factories:
                role: Actions = self._made("actions", plugin)
                found.update({action.name: action for action in role.actions()})
        return found

    def action(self, name: str) -> Action:
        """An action that one of the environment's plugins offers, by name."""
        found = self.actions()
        if name not in found:
            raise NotFound(
                f'There is no action "{name}" in {self._environment.name}.', next=f"Known: {', '.join(sorted(found)) or 'none'}."
            )
        return found[name]

    def run_action(self, name: str, parameters: Mapping[str, str], *, deadline: float) -> Mapping[str, Json]:
        """Run an action of a plugin, for `deadline` seconds at most."""
        action = self.action(name)
        return self._calls.change(name, lambda: action.run(parameters), deadline=deadline)

    def caller(self) -> Caller | None:
        """As whom we act there, and until when; None where no role knows.

        Raises:
            AuthFailed: the credentials are missing, wrong, or have run out.
        """
        return self._identifying.caller()

    def usages(self) -> Sequence[Usage]:
        """What was asked of each of the environment's backends today, as far as they count it."""
        counting = [one for one in self.played("account") if isinstance(one, Using)]
        return [self._calls.ask("counting what was asked", one.usage, deadline=READ) for one in counting]

    def policy(self, name: str) -> Json:
        """What a plugin's backend has to allow for the roles that it plays here, in that backend's own words.

        Raises:
            UsageError: it plays none here, or has no such words.
        """
        roles = [role for role, plugin in self._environment.roles.items() if plugin == name]
        if not roles:
            raise UsageError(f"{name} plays no role in {self._environment.name}.", next="Name another environment: --env NAME.")
        told = self._plugins[name].policy
        if told is None:
            raise UsageError(f"The plugin {name} has no policy: its backend asks nobody for leave.")
        context = self._context(name)
        return self._calls.ask("working out what has to be allowed", lambda: told(context, roles), deadline=CHANGE)

    def _identities(self) -> Iterator[Any]:
        yield from self.played("account")
        yield from (self._role(role) for role in self._environment.roles)
