"""One environment's backend: the roles that its plugins play, asked with deadlines and put together into one live state."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlconsole.core.clock import Clock
from mlconsole.core.live import Live, Transition
from mlconsole.core.models import Json
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step, in_order
from mlconsole.core.transitions import check_limits
from mlconsole.engine.calls import Calls
from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.errors import MLConsoleError, NotFound, Refused, UsageError
from mlconsole.plugin.roles import (
    Action,
    Actions,
    Addresses,
    Answer,
    Examples,
    HttpExample,
    Invocation,
    Lifecycle,
    Limits,
    Logs,
    Order,
    Page,
    Part,
    Predictions,
    Serving,
    Traffic,
)
from mlconsole.workspace import Environment, Workspace, options_for

_READ, _CHANGE = 10.0, 30.0
"""Seconds after which a reading call counts as not answered, and a changing one as unknown."""
_WORSE = {Transition.SETTLED: 0, Transition.IN_PROGRESS: 1, Transition.FAILED: 2}


class Backend:
    """The roles of one environment. `plugins` are those its roles name; each role is made when it is first asked for."""

    def __init__(self, workspace: Workspace, environment: Environment, plugins: Mapping[str, Plugin], clock: Clock) -> None:
        self.name = "/".join(dict.fromkeys(environment.roles.values())) or "no backend"
        self._workspace, self._environment, self._plugins, self._clock = workspace, environment, plugins, clock
        self._roles: dict[str, Any] = {}
        self._calls = Calls(f"{self.name} ({environment.name})")

    # What it can express, and what would be done: pure.

    def limits(self) -> Limits:
        """The serving role's limits, those of traffic taken from the traffic role where there is one."""
        own = self._serving().limits()
        traffic = self._traffic()
        if traffic is None:
            return own
        split = traffic.limits()
        return replace(own, share_granularity=split.share_granularity, slices=split.slices, shadow=split.shadow)

    def check(self, endpoint: str, content: Content) -> None:
        """Refuse a name or a content that this backend can't express."""
        limits = self.limits()
        if content.variants and not re.fullmatch(limits.endpoint_name, endpoint):
            raise UsageError(
                f"The backend can't take {endpoint!r} as an endpoint's name (it has to match {limits.endpoint_name}). Nothing was changed.",
                next="Name another one: --endpoint NAME.",
            )
        check_limits(
            content,
            granularity=limits.share_granularity,
            slices=limits.slices,
            shadow=limits.shadow,
            variant_pattern=limits.variant_name,
            most_variants=limits.variants,
        )

    def scope(self, endpoint: str) -> str:
        """What is locked while the endpoint changes."""
        traffic = self._traffic()
        return traffic.scope(endpoint) if traffic is not None else endpoint

    def steps(self, live: Live, target: Content) -> tuple[Step, ...]:
        """The native steps of all roles from `live` to `target`, in order."""
        traffic = self._traffic()
        steps = [*self._serving().steps(live, target), *(traffic.steps(live, target) if traffic is not None else ())]
        return in_order(steps)

    # Reading.

    def list(self) -> Sequence[str]:
        """The endpoints that exist at the backend."""
        return self._calls.ask("listing the endpoints", self._serving().list, deadline=_READ)

    def describe(self, endpoint: str) -> Live:
        """The endpoint as it is: variants from the serving role, traffic from the role that splits it."""
        serving, traffic = self._serving(), self._traffic()
        live = self._calls.ask(f"describing {endpoint}", lambda: serving.describe(endpoint), deadline=_READ)
        if traffic is None:
            return live
        report = self._calls.ask(f"asking for the traffic of {endpoint}", lambda: traffic.report(endpoint), deadline=_READ)
        worse = report.transition if _WORSE[report.transition] > _WORSE[live.transition] else live.transition
        return replace(
            live,
            traffic=report.traffic,
            url=report.url or live.url,
            transition=worse,
            reason="; ".join(dict.fromkeys(reason for reason in (live.reason, report.reason) if reason)),
        )

    def describe_all(self, endpoints: Sequence[str]) -> dict[str, Live | MLConsoleError]:
        """Several endpoints side by side; one that can't be described gives its error and holds nobody up."""

        def one(endpoint: str) -> Live | MLConsoleError:
            try:
                return self.describe(endpoint)
            except MLConsoleError as error:
                return error

        if len(endpoints) < 2:
            return {endpoint: one(endpoint) for endpoint in endpoints}
        with ThreadPoolExecutor(max_workers=4) as pool:
            return dict(zip(endpoints, pool.map(one, endpoints), strict=True))

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """The last lines that a variant wrote."""
        serving = self._serving()
        if not isinstance(serving, Logs):
            raise Refused(f"{self.name} keeps no logs that can be read from here.")
        return self._calls.ask(f"reading the log of {variant}", lambda: serving.logs(endpoint, variant, lines), deadline=_READ)

    def example(self, endpoint: str, request: Invocation) -> HttpExample | None:
        """The request for curl, where endpoints can be asked over plain HTTP."""
        serving = self._serving()
        return serving.example(endpoint, request) if isinstance(serving, Examples) else None

    def invoke(
        self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False, deadline: float = 30.0
    ) -> Answer:
        """One prediction, as a consumer (no variant), of a named variant, or as the console's own probe."""
        serving = self._serving()
        return self._calls.ask(
            f"asking {variant or endpoint}", lambda: serving.invoke(endpoint, request, variant, probe=probe), deadline=deadline
        )

    def predictions(self) -> Predictions | None:
        """The role that reads predictions, with deadlines; None where there is none."""
        role: Predictions | None = self._role("predictions")
        return _Timed(role, self._calls) if role is not None else None

    def attended(self, look: Callable[[], None]) -> AbstractContextManager[None]:
        """While in it, `look` is called at least every second while this thread waits for the backend; what it raises ends the waiting."""
        return self._calls.attended(look)

    # Changing.

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step; returns when the backend has taken it."""
        role = self._serving() if step.role == "serving" else self._traffic()
        if role is None:
            raise Refused(f"No role here carries out {step.role} steps.")
        self._calls.change(step.summary, lambda: role.start(endpoint, step, order), deadline=min(_CHANGE, step.deadline))

    # What lives on this machine, and what else a plugin offers.

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
        return self._calls.ask("asking what runs", lifecycle.parts, deadline=_READ) if lifecycle else ()

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

    def _serving(self) -> Serving:
        role: Serving | None = self._role("serving")
        if role is None:
            raise UsageError(
                f"Environment {self._environment.name} has no serving role.", next="Bind one in mlconsole.yaml: `serving: local`."
            )
        return role

    def _traffic(self) -> Traffic | None:
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
            context = Context(
                environment=self._environment.name,
                root=self._workspace.root,
                state=state_folder(self._workspace) / name / self._environment.name,
                options=options_for(self._environment, plugin),
                clock=self._clock,
            )
            self._roles[key] = plugin.factories[role](context)
        return self._roles[key]


class _Timed:
    """A predictions role whose calls have deadlines."""

    def __init__(self, role: Predictions, calls: Calls) -> None:
        self._predictions, self._calls = role, calls

    def cursor_at(self, time: Any) -> str:
        return self._calls.ask("finding predictions", lambda: self._predictions.cursor_at(time), deadline=_READ)

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        return self._calls.ask("reading predictions", lambda: self._predictions.read(cursor, limit), deadline=30.0)


def state_folder(workspace: Workspace) -> Path:
    """Where the workspace keeps its state: `.mlconsole` beside `mlconsole.yaml`."""
    return workspace.root / ".mlconsole"
