"""One environment's backend: the roles that its plugins play, asked with deadlines and put together into one live state."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Any, TypeVar, cast

from mlconsole.core.documents import document_of
from mlconsole.core.live import Live
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step, in_order
from mlconsole.core.summaries import WINDOW
from mlconsole.core.text import duration, neutralise
from mlconsole.core.transitions import check_limits
from mlconsole.engine.bound import CHANGE, READ, traffic_document
from mlconsole.engine.offering import Offering
from mlconsole.engine.storing import Storing, joined
from mlconsole.engine.timing import TimedPredictions
from mlconsole.plugin.errors import BackendError, MLConsoleError, Refused, Unavailable, UsageError
from mlconsole.plugin.roles import (
    Answer,
    Coverage,
    Covering,
    Examples,
    HttpExample,
    Invocation,
    Limits,
    Logs,
    Order,
    Packages,
    Predictions,
    Tidies,
)

T = TypeVar("T")

_AT_ONCE = 16
"""Endpoints that are described side by side."""

_PROBES_KEPT = 3600
"""Seconds for which it is known how many questions of our own were put to a variant."""


class Backend(Storing, Offering):
    """The roles of one environment. `plugins` are those its roles name; each role is made when it is first asked for."""

    def _prepare(self) -> None:
        super()._prepare()
        self._describing: dict[str, Future[Live | MLConsoleError]] = {}
        """Endpoints that are being described just now."""
        self._predictions: Predictions | None = None
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
        return cast(Content, self._calls.ask("reading who gets which share", lambda: told(endpoint, content), deadline=READ))

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

    # Reading.

    def list(self) -> Sequence[str]:
        """The endpoints that exist at the backend."""
        if "serving" not in self._environment.roles:
            return ()
        return self._calls.ask("listing the endpoints", self._serving().list, deadline=READ)

    def describe(self, endpoint: str, *, document: str | None = None) -> Live:
        """The endpoint as it is: variants from the serving role, traffic from the role that splits it; with a config `document` that a
        change of it carries. A target that is a config document itself has nothing else.
        """
        own = document_of(endpoint)
        if own is not None:
            return self._described_document(Live(endpoint), own)
        live = self._described_endpoint(endpoint)
        return live if document is None else self._described_document(live, document)

    def _described_endpoint(self, endpoint: str) -> Live:
        serving, traffic = self._serving(), self._traffic()
        live = self._calls.ask(f"describing {endpoint}", lambda: serving.describe(endpoint), deadline=READ)
        if traffic is None:
            return live
        report = self._calls.ask(f"asking for the traffic of {endpoint}", lambda: traffic.report(endpoint), deadline=READ)
        worse = joined(live, report.transition, report.reason)
        return replace(live, traffic=report.traffic, url=report.url or live.url, **worse)

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
        return self._calls.ask(f"reading the log of {variant}", lambda: serving.logs(endpoint, variant, lines), deadline=READ)

    def packages(self, endpoint: str) -> Mapping[str, str] | None:
        """What is installed where a server of this endpoint runs; None where the backend can't tell."""
        serving = self._serving()
        if not isinstance(serving, Packages):
            return None
        return self._calls.ask("asking what is installed", lambda: serving.packages(endpoint), deadline=READ)

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
            self._predictions = TimedPredictions(role, self._calls, self._clock)
        return self._predictions

    def coverage(self, cursor: str) -> Coverage:
        """How much of what was predicted is known, as far as the predictions role can say; asks nobody."""
        role = self._role("predictions")
        return role.coverage(cursor) if isinstance(role, Covering) else Coverage()

    # Changing.

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step; returns when the backend has taken it."""
        if step.role == "config" and step.document is not None:
            store, name = self.config(), step.document.name
            self._calls.change(step.summary, lambda: store.start(name, step, order), deadline=min(CHANGE, step.deadline))
            return
        role = self._serving() if step.role == "serving" else self._traffic()
        if role is None:
            raise Refused(f"No role here carries out {step.role} steps.")
        self._calls.change(step.summary, lambda: role.start(endpoint, step, order), deadline=min(CHANGE, step.deadline))

    def tidy(self, endpoint: str, release: str) -> Sequence[str]:
        """Let the serving role take away what it created for a release that did not come to stand; what that was."""
        serving = None if document_of(endpoint) is not None else self._role("serving")
        if not isinstance(serving, Tidies):
            return ()
        return self._calls.change(f"tidying up after {release}", lambda: serving.tidy(endpoint, release), deadline=CHANGE)
