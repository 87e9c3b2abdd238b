"""One environment's backend: the roles that its plugins play, asked with deadlines and put together into one live state."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from mlconsole.core.clock import Clock
from mlconsole.core.documents import WHOLE, Document, LiveDocument, document_of
from mlconsole.core.live import Live, Transition
from mlconsole.core.models import Json, ModelVersion
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step, in_order
from mlconsole.core.summaries import WINDOW
from mlconsole.core.text import duration, neutralise
from mlconsole.core.traffic import percent
from mlconsole.core.transitions import check_limits
from mlconsole.engine.authoring import Authoring
from mlconsole.engine.calls import Calls
from mlconsole.engine.identifying import Identifying
from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.errors import BackendError, MLConsoleError, NotFound, Refused, Unavailable, UsageError
from mlconsole.plugin.roles import (
    Action,
    Actions,
    Addresses,
    Answer,
    Caller,
    ConfigStore,
    Coverage,
    Covering,
    Examples,
    HttpExample,
    Invocation,
    Lifecycle,
    Limits,
    Logs,
    Order,
    Packages,
    Page,
    Part,
    Predictions,
    Schemas,
    Serving,
    StoredVersion,
    Tidies,
    Traffic,
    Watching,
)
from mlconsole.plugin.using import Usage, Using
from mlconsole.workspace import Environment, Workspace, options_for

T = TypeVar("T")

_READ, _CHANGE = 10.0, 30.0
"""Seconds after which a reading call counts as not answered, and a changing one as unknown."""
_AT_ONCE = 16
"""Endpoints that are described side by side."""

_RESTS = 30.0
"""Seconds for which predictions are not asked for again after they did not answer: a look must not wait for them each time."""

_PROBES_KEPT = 3600
"""Seconds for which it is known how many questions of our own were put to a variant."""

_WORSE = {Transition.SETTLED: 0, Transition.IN_PROGRESS: 1, Transition.FAILED: 2}


class Backend:
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
        self._describing: dict[str, Future[Live | MLConsoleError]] = {}
        """Endpoints that are being described just now."""
        self._predictions: Predictions | None = None
        self._identifying = Identifying(self._identities, self._calls, clock)
        knows = any("authors" in plugin.factories for plugin in plugins.values())
        self.authoring = Authoring(lambda: self.played("authors"), self._calls, clock) if knows else None
        """Who changed something past us; None where no plugin here would know."""
        self._at_once = threading.BoundedSemaphore(_AT_ONCE)
        self._probes: Counter[tuple[str, str, int]] = Counter()
        """Endpoint, variant, begin of a window → questions of our own, which a backend that counts itself counts with the rest."""

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
        if content.document is not None:
            self._check_document(content.document)
        if document_of(endpoint) is not None:
            return
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
        """What is locked while the endpoint, or the config document, changes."""
        document = document_of(endpoint)
        if document is not None:
            return self.config().scope(document)
        traffic = self._traffic()
        return traffic.scope(endpoint) if traffic is not None else endpoint

    def steps(self, live: Live, target: Content, *, back: bool = False) -> tuple[Step, ...]:
        """The native steps of all roles from `live` to `target`, in order; going `back` what was published last is taken back first."""
        published = self._document_steps(live, target)
        if document_of(live.endpoint) is not None:
            return tuple(published)
        serving = list(self._serving().steps(live, target))
        traffic = self._traffic()
        if traffic is None:
            split: list[Step] = []
        elif published and target.document is not None and traffic_document(traffic) == target.document.name:
            # The version that is published says who gets which share as well: one publication does both.
            split, published = [], [replace(step, traffic=target.traffic) for step in published]
        else:
            split = list(traffic.steps(live, target))
        first = target.document is None or self._workspace.configs[target.document.name].before_traffic
        return in_order([*serving, *published, *split] if first is not back else [*serving, *split, *published])

    def expressed(self, endpoint: str, content: Content) -> Content:
        """A content as the roles here can tell it back: what they have two ways of saying is said in one."""
        traffic = self._traffic() if content.traffic is not None else None
        told = getattr(traffic, "expressed", None)
        if told is None:
            return content
        return cast(Content, self._calls.ask("reading who gets which share", lambda: told(endpoint, content), deadline=_READ))

    def reading_lag(self) -> float:
        """Seconds after a shift until requests go as it says: where applications read in a config document whom to ask, they look there now
        and then."""
        return self.config().limits().poll_lag if self._environment.traffic_in is not None else 0.0

    def split_written(self, endpoint: str, content: Content, body: bytes, document: str) -> bytes | None:
        """A config document's bytes with the endpoint's shares of `content` in it, where applications read them; None: they do not."""
        traffic = self._traffic()
        if traffic_document(traffic) != document or content.traffic is None:
            return None
        written: bytes = cast(Any, traffic).written(endpoint, body, content.traffic)
        return written

    def _document_steps(self, live: Live, target: Content) -> list[Step]:
        if target.document is None:
            return []
        there = live.document or LiveDocument(target.document.name)
        return list(self.config().steps(there, target.document))

    # Reading.

    def list(self) -> Sequence[str]:
        """The endpoints that exist at the backend."""
        if "serving" not in self._environment.roles:
            return ()
        return self._calls.ask("listing the endpoints", self._serving().list, deadline=_READ)

    def describe(self, endpoint: str, *, document: str | None = None) -> Live:
        """The endpoint as it is: variants from the serving role, traffic from the role that splits it; with a config `document` that a
        change of it carries. A target that is a config document itself has nothing else.
        """
        own = document_of(endpoint)
        if own is not None:
            return self._described_document(Live(endpoint), own)
        live = self._described_endpoint(endpoint)
        return live if document is None else self._described_document(live, document)

    def _described_document(self, live: Live, name: str) -> Live:
        store = self.config()
        report = self._calls.ask(f"asking for config {name}", lambda: store.report(name), deadline=_READ)
        return replace(live, document=report.document, **_joined(live, report.transition, report.reason))

    def _described_endpoint(self, endpoint: str) -> Live:
        serving, traffic = self._serving(), self._traffic()
        live = self._calls.ask(f"describing {endpoint}", lambda: serving.describe(endpoint), deadline=_READ)
        if traffic is None:
            return live
        report = self._calls.ask(f"asking for the traffic of {endpoint}", lambda: traffic.report(endpoint), deadline=_READ)
        joined = _joined(live, report.transition, report.reason)
        return replace(live, traffic=report.traffic, url=report.url or live.url, **joined)

    def describe_all(self, endpoints: Sequence[str], *, patience: float | None = None) -> dict[str, Live | MLConsoleError]:
        """Several endpoints side by side; one that can't be described gives its error and holds nobody up.

        With `patience` (s) nobody is waited for longer: what has not answered by then is told as such, and its answer counts for the next
        time. Without it, each is waited for until its own deadline.
        """
        if len(endpoints) < 2 and patience is None:
            return {endpoint: self._described(endpoint) for endpoint in endpoints}
        asked: dict[str, Future[Live | MLConsoleError]] = {}
        for endpoint in endpoints:
            if endpoint not in self._describing:
                self._describing[endpoint] = Future()
                thread = threading.Thread(target=self._describe_into, args=(endpoint, self._describing[endpoint]), daemon=True)
                thread.start()
            asked[endpoint] = self._describing[endpoint]
        wait(asked.values(), timeout=patience)
        found: dict[str, Live | MLConsoleError] = {}
        for endpoint, future in asked.items():
            if future.done():
                found[endpoint] = future.result()
                self._describing.pop(endpoint, None)
            else:
                text = f"{self.name} has not answered for {endpoint} within {duration(patience or 0.0)}."
                found[endpoint] = Unavailable(text, next="It is waited for, and asked again by itself; nothing was changed.")
        return found

    def describing(self, endpoint: str) -> Future[Live | MLConsoleError]:
        """An endpoint that is being described while whoever asks does something else; it ends by its own deadline."""
        future: Future[Live | MLConsoleError] = Future()
        threading.Thread(target=self._describe_into, args=(endpoint, future), daemon=True).start()
        return future

    def _describe_into(self, endpoint: str, future: Future[Live | MLConsoleError]) -> None:
        with self._at_once:
            future.set_result(self._described(endpoint))

    def _described(self, endpoint: str) -> Live | MLConsoleError:
        try:
            return self.describe(endpoint)
        except MLConsoleError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever an adapter gives that can't be put together is no answer
            return BackendError(f"What {self.name} says of {endpoint} can't be read: {type(error).__name__}: {neutralise(str(error))}.")

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """The last lines that a variant wrote."""
        serving = self._serving()
        if not isinstance(serving, Logs):
            raise Refused(f"{self.name} keeps no logs that can be read from here.")
        return self._calls.ask(f"reading the log of {variant}", lambda: serving.logs(endpoint, variant, lines), deadline=_READ)

    def packages(self, endpoint: str) -> Mapping[str, str] | None:
        """What is installed where a server of this endpoint runs; None where the backend can't tell."""
        serving = self._serving()
        if not isinstance(serving, Packages):
            return None
        return self._calls.ask("asking what is installed", lambda: serving.packages(endpoint), deadline=_READ)

    def example(self, endpoint: str, request: Invocation) -> HttpExample | None:
        """The request for curl, where endpoints can be asked over plain HTTP."""
        serving = self._serving()
        return serving.example(endpoint, request) if isinstance(serving, Examples) else None

    def invoke(
        self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False, deadline: float = 30.0
    ) -> Answer:
        """One prediction, as a consumer (no variant), of a named variant, or as the console's own probe."""
        serving = self._serving()
        if probe and variant is not None:
            now = int(self._clock.now().timestamp()) // WINDOW * WINDOW
            self._probes[endpoint, variant, now] += 1
            for old in [key for key in list(self._probes) if key[2] < now - _PROBES_KEPT]:
                self._probes.pop(old, None)
        return self._calls.ask(
            f"asking {variant or endpoint}", lambda: serving.invoke(endpoint, request, variant, probe=probe), deadline=deadline
        )

    def probed(self, endpoint: str, variant: str, begin: int, seconds: float) -> int:
        """So many of this process's own questions were put to that variant from `begin` (epoch s) on, in so many seconds."""
        return sum(self._probes.get((endpoint, variant, at), 0) for at in range(begin, int(begin + seconds), WINDOW))

    def predictions(self) -> Predictions | None:
        """The role that reads predictions, with deadlines; None where there is none."""
        role: Predictions | None = self._role("predictions")
        if role is None:
            return None
        if self._predictions is None:
            self._predictions = _Timed(role, self._calls, self._clock)
        return self._predictions

    def coverage(self, cursor: str) -> Coverage:
        """How much of what was predicted is known, as far as the predictions role can say; asks nobody."""
        role = self._role("predictions")
        return role.coverage(cursor) if isinstance(role, Covering) else Coverage()

    def role(self, name: str) -> Any:
        """The role of that name, made when it is first asked for; None where none is bound. Its calls go through `asked` and `changed`."""
        return self._role(name)

    def played(self, name: str) -> Sequence[Any]:
        """That role of every plugin of the environment that plays it, bound in mlconsole.yaml or not: for what nobody has to name."""
        plugins = dict.fromkeys(self._environment.roles.values())
        return [self._made(name, plugin) for plugin in plugins if name in self._plugins[plugin].factories]

    def asked(self, what: str, call: Callable[[], T], *, deadline: float = _READ) -> T:
        """A reading call of a role, in this backend's pool, with a deadline (s)."""
        return self._calls.ask(what, call, deadline=deadline)

    def changed(self, what: str, call: Callable[[], T], *, deadline: float = _CHANGE) -> T:
        """A changing one."""
        return self._calls.change(what, call, deadline=deadline)

    def caller(self) -> Caller | None:
        """As whom we act there, and until when; None where no role knows.

        Raises:
            AuthFailed: the credentials are missing, wrong, or have run out.
        """
        return self._identifying.caller()

    def usages(self) -> Sequence[Usage]:
        """What was asked of each of the environment's backends today, as far as they count it."""
        counting = [one for one in self.played("account") if isinstance(one, Using)]
        return [self._calls.ask("counting what was asked", one.usage, deadline=_READ) for one in counting]

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
        return self._calls.ask("working out what has to be allowed", lambda: told(context, roles), deadline=_CHANGE)

    def _identities(self) -> Iterator[Any]:
        yield from self.played("account")
        yield from (self._role(role) for role in self._environment.roles)

    def attended(self, look: Callable[[], None]) -> AbstractContextManager[None]:
        """While in it, `look` is called at least every second while this thread waits for the backend; what it raises ends the waiting."""
        return self._calls.attended(look)

    # Changing.

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step; returns when the backend has taken it."""
        if step.role == "config" and step.document is not None:
            store, name = self.config(), step.document.name
            self._calls.change(step.summary, lambda: store.start(name, step, order), deadline=min(_CHANGE, step.deadline))
            return
        role = self._serving() if step.role == "serving" else self._traffic()
        if role is None:
            raise Refused(f"No role here carries out {step.role} steps.")
        self._calls.change(step.summary, lambda: role.start(endpoint, step, order), deadline=min(_CHANGE, step.deadline))

    def tidy(self, endpoint: str, release: str) -> Sequence[str]:
        """Let the serving role take away what it created for a release that did not come to stand; what that was."""
        serving = None if document_of(endpoint) is not None else self._role("serving")
        if not isinstance(serving, Tidies):
            return ()
        return self._calls.change(f"tidying up after {release}", lambda: serving.tidy(endpoint, release), deadline=_CHANGE)

    # Config documents.

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

    @property
    def keeps_documents(self) -> bool:
        """Whether a role for config documents is bound."""
        return "config" in self._environment.roles

    def document_versions(self, document: str, limit: int = 100) -> Sequence[StoredVersion]:
        """The newest versions that the store keeps, newest first."""
        store = self.config()
        return self._calls.ask(f"listing the versions of config {document}", lambda: store.versions(document, limit), deadline=_READ)

    def document_bytes(self, document: str, number: int) -> bytes:
        """The bytes of a version."""
        store = self.config()
        return self._calls.ask(f"reading config {document} {number}", lambda: store.read(document, number), deadline=_READ)

    def document_schemas(self, document: str) -> Sequence[bytes]:
        """The schemas against which the store itself holds what is published."""
        store = self.config()
        if not isinstance(store, Schemas):
            return ()
        return self._calls.ask(f"asking for the schemas of config {document}", lambda: store.schemas(document), deadline=_READ)

    def document_watching(self, document: str) -> str | None:
        """What the store itself watches while it publishes; empty: nothing just now. None: it never does, or can't be asked."""
        store = self.config()
        if not isinstance(store, Watching):
            return None
        try:
            told = self._calls.ask(f"asking what watches config {document}", lambda: store.watching(document), deadline=_READ)
        except BackendError:
            return None
        return neutralise(told)

    def published(self, endpoint: str, document: str | None) -> Document | None:
        """A config document as an endpoint's change has left it: the one that it carried, or the one that says who gets which share. None:
        there is no such document, or nobody could tell.
        """
        if document_of(endpoint) is not None:
            return None
        name = document or traffic_document(self._traffic())
        if name is None:
            return None
        try:
            there = self._described_document(Live(endpoint), name).document
        except MLConsoleError:
            return None  # it is seen as changed outside, and may be kept
        if there is None or there.version is None:
            return None
        return Document(name, there.version, there.digest, there.share, there.before, there.before_digest)

    def _check_document(self, document: Document) -> None:
        limits = self.config().limits()
        whole = document.share == WHOLE
        if not whole and not limits.growth:
            raise UsageError(f"{self.name} publishes to all clients at once, not to {percent(document.share)} %. Nothing was changed.")
        if document.share % limits.share_granularity:
            text = f"{self.name} publishes in steps of {percent(limits.share_granularity)} %; {percent(document.share)} % is between two."
            raise UsageError(f"{text} Nothing was changed.")

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


def _joined(live: Live, transition: Transition, reason: str) -> dict[str, Any]:
    """Transition and reason of two roles as one: the worse decides."""
    worse = transition if _WORSE[transition] > _WORSE[live.transition] else live.transition
    return {"transition": worse, "reason": "; ".join(dict.fromkeys(one for one in (live.reason, reason) if one))}


def traffic_document(traffic: Traffic | None) -> str | None:
    """The config document in which a traffic role writes who gets which share; None where it splits by other means."""
    return getattr(traffic, "document", None)


class _Timed:
    """A predictions role whose calls have deadlines."""

    def __init__(self, role: Predictions, calls: Calls, clock: Clock) -> None:
        self._predictions, self._calls, self._clock = role, calls, clock
        self._silent: float | None = None
        """When it did not answer in time (elapsed)."""

    def cursor_at(self, time: Any) -> str:
        return self._asked("finding predictions", lambda: self._predictions.cursor_at(time), _READ)

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        return self._asked("reading predictions", lambda: self._predictions.read(cursor, limit), 30.0)

    def _asked(self, what: str, call: Callable[[], T], deadline: float) -> T:
        now = self._clock.elapsed()
        if self._silent is not None and now - self._silent < _RESTS:
            text = f"Predictions did not answer {duration(now - self._silent)} ago ({what})."
            raise Unavailable(text, next="They are asked again by themselves.")
        try:
            result = self._calls.ask(what, call, deadline=deadline)
        except Unavailable:
            # Only one that hangs costs time: one that says at once that it can't is asked again at once.
            self._silent = self._clock.elapsed() if self._clock.elapsed() - now >= deadline else None
            raise
        self._silent = None
        return result


def state_folder(workspace: Workspace) -> Path:
    """Where the workspace keeps its state: `.mlconsole` beside `mlconsole.yaml`."""
    return workspace.root / ".mlconsole"
