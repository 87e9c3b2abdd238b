"""What an adapter's author gives the suite, and how the suite drives the adapter: as the engine would, and no better."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, TypeVar

import pytest

from mlconsole.core.clock import Clock
from mlconsole.core.live import Live, LiveVariant, Transition, VariantState, differences
from mlconsole.core.models import ModelVersion, variant_name
from mlconsole.core.releases import NOTHING, Content, Variant
from mlconsole.core.steps import Step, in_order, outstanding
from mlconsole.core.traffic import Shadow, SliceSplit, Traffic
from mlconsole.plugin.errors import BackendError, Conflict, Throttled, UsageError
from mlconsole.plugin.roles import Answer, Invocation, Limits, Observation, Order, Predictions, Serving
from mlconsole.plugin.roles import Traffic as TrafficRole

_T = TypeVar("_T")
# Tokens rise from check to check and from run to run, as leases' tokens do: a backend may outlive both.
_TOKENS = itertools.count(time.time_ns() // 1_000_000)


@dataclass(frozen=True)
class Bench:
    """An adapter on its test bench. Only the first four are needed by every adapter; what is left out skips the checks that need it.

    Each check begins with an endpoint that does not exist and deletes it at its end, so that one backend can serve all of them.
    """

    serving: Serving
    clock: Clock
    """The same clock as the adapter's: on a manual one nothing really waits."""
    versions: Sequence[ModelVersion]
    """At least two, better three versions with different digests that the backend can really serve."""
    requests: Sequence[Invocation]
    """Requests that every one of them answers with 200; different ones, where the backend routes by a hash of the request."""
    traffic: TrafficRole | None = None
    predictions: Predictions | None = None
    broken: ModelVersion | None = None
    """A version that can't come up."""
    refused: Invocation | None = None
    """A request that the versions answer with an error status."""
    slice: tuple[str, str, str] = ("language", "de", "en")
    """A slice that the versions declare, and two of its values."""
    endpoint: str = "conformance"
    poll: float = 0.5
    """Seconds of `clock` between two looks."""
    lag: float = 30.0
    """Seconds of `clock` after which an observation has to be there."""
    fenced: bool = True
    """The backend can keep a fence token in the same critical section as the effect."""
    kill: Callable[[str], None] | None = None
    """Lets the variant of that name die."""
    leftovers: Callable[[], Sequence[str]] | None = None
    """What the backend still has of an endpoint that was deleted: processes, files, routes, configurations."""
    backend_calls: Callable[[], int] | None = None
    """How many calls the backend has got so far."""


class Driver:
    """Drives a bench. Every call to the adapter goes through `call`, which lets no error escape that is not of the tree."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.endpoint = bench.endpoint

    # Calls.

    def call(self, what: str, function: Callable[[], _T]) -> _T:
        """One call, again a few times where the backend throttles."""
        for _ in range(20):
            try:
                return function()
            except Throttled:
                self.bench.clock.sleep(self.bench.poll)
            except (BackendError, UsageError):
                raise
            except Exception as error:
                raise AssertionError(f"{what} let {type(error).__name__} escape, which is no error of the tree: {error}") from error
        raise AssertionError(f"{what} was throttled 20 times in a row")

    def live(self) -> Live:
        """The endpoint as serving and traffic tell it together, put together as the engine does."""
        live = self.call("describe", lambda: self.bench.serving.describe(self.endpoint))
        assert isinstance(live, Live), f"describe gave {type(live).__name__}"
        assert live.endpoint == self.endpoint, f"describe({self.endpoint!r}) told of {live.endpoint!r}"
        role = self.bench.traffic
        if role is None:
            return live
        report = self.call("report", lambda: role.report(self.endpoint))
        states = (live.transition, report.transition)
        worst = next(each for each in (Transition.FAILED, Transition.IN_PROGRESS, Transition.SETTLED) if each in states)
        return replace(live, traffic=report.traffic, transition=worst, reason=live.reason or report.reason)

    def steps(self, live: Live, target: Content) -> tuple[Step, ...]:
        """The steps of all roles, in order."""
        found = [*self.call("steps", lambda: self.bench.serving.steps(live, target))]
        role = self.bench.traffic
        if role is not None:
            found += self.call("traffic.steps", lambda: role.steps(live, target))
        return in_order(found)

    def order(self, target: Content, fence: int | None = None) -> Order:
        """What goes with a step; each order has a newer token unless one is given."""
        by_digest = {version.artifact.digest: version for version in (*self.bench.versions, *filter(None, [self.bench.broken]))}
        versions = {variant.name: by_digest[variant.digest] for variant in target.variants if variant.digest in by_digest}
        for there in self.live().variants:
            if there.digest in by_digest:
                versions.setdefault(there.name, by_digest[there.digest])
        return Order(self.newest_fence() if fence is None else fence, f"{self.endpoint}@conformance#1", versions)

    def newest_fence(self) -> int:
        """A token newer than all before."""
        return next(_TOKENS)

    def start(self, step: Step, order: Order) -> None:
        """Begin one step at the role that it belongs to."""
        role = self.bench.serving if step.role == "serving" else self.bench.traffic
        assert role is not None, f"a step of the role {step.role!r} has nobody to carry it out"
        self.call(f"start of {step.summary!r}", lambda: role.start(self.endpoint, step, order))

    # Whole transitions.

    def until(self, condition: Callable[[], _T | None], seconds: float, what: Callable[[], str] | str) -> _T:
        """What `condition` gives as soon as it is true; looked at every `poll` seconds of the bench's clock."""
        clock = self.bench.clock
        deadline = clock.elapsed() + seconds
        while True:
            found = condition()
            if found:
                return found
            if clock.elapsed() >= deadline:
                raise AssertionError(f"after {seconds:g} s still not: {what if isinstance(what, str) else what()}")
            clock.sleep(self.bench.poll)

    def settled(self, seconds: float) -> Live:
        """The live state as soon as the backend is no longer changing it by itself."""

        def look() -> Live | None:
            live = self.live()
            return None if live.transition is Transition.IN_PROGRESS else live

        return self.until(look, seconds, "settled")

    def begin(self, step: Step, target: Content) -> None:
        """Start a step, waiting for a change that is under way already where the backend takes only one."""

        def take() -> bool:
            try:
                self.start(step, self.order(target))
            except Conflict as error:
                if self.live().transition is not Transition.IN_PROGRESS:
                    raise AssertionError(f"{step.summary!r} meets a conflict, and yet nothing is under way: {error}") from error
                return False
            return True

        self.until(take, step.deadline, f"{step.summary!r} is taken")

    def run(self, step: Step, target: Content) -> None:
        """Start a step unless it has worked already, and wait until it has."""
        live = self.live()
        if live.transition is Transition.SETTLED and not outstanding(step, live):
            return
        self.begin(step, target)
        self.wait(step)

    def wait(self, step: Step) -> None:
        """Wait until a step that was started has worked, and nothing is under way."""

        def worked() -> bool:
            now = self.live()
            left = outstanding(step, now)
            if left and now.transition is Transition.SETTLED:
                self._says_it_failed(step, now)
            return not left and now.transition is not Transition.IN_PROGRESS

        self.until(worked, step.deadline, lambda: f"{step.summary}: {_told(outstanding(step, self.live()))}")

    def reach(self, target: Content) -> Live:
        """Go from whatever there is to `target`, and read back: nothing is different, nothing is under way, no step is left."""
        for _ in range(4):  # what was under way when we began may undo what it seemed to be: then the rest is worked out again
            live = self.live()
            for step in self.steps(live, target):
                self.run(step, target)
            live = self.settled(60.0)
            if not differences(live, target):
                break
        left = differences(live, target)
        assert not left, f"the transition is over, but: {_told(left)}"
        again = self.steps(live, target)
        assert again == (), f"everything is as wanted, and yet steps are left: {[step.summary for step in again]}"
        return live

    def _says_it_failed(self, step: Step, live: Live) -> None:
        for variant in step.ensures:
            there = live.variant(variant.name)
            if there is not None and there.state is VariantState.FAILED:
                raise AssertionError(f"{variant.name} did not come up: {there.reason}")

    # What is wanted.

    def variant(self, index: int, name: str | None = None) -> Variant:
        """The bench's n-th version as a variant; the check is skipped when it has not so many."""
        if index >= len(self.bench.versions):
            self.skip(f"the bench has only {len(self.bench.versions)} versions")
        return as_variant(self.bench.versions[index], name)

    def content(self, *shares: int, shadow: tuple[int, int] | None = None, by_slice: Mapping[str, Sequence[int]] | None = None) -> Content:
        """The bench's first versions with these shares (bp); `shadow` is (index, sample); `by_slice` gives a value's own shares."""
        variants = tuple(self.variant(index) for index in range(len(shares)))
        names = [variant.name for variant in variants]
        slices = tuple(
            SliceSplit(self.bench.slice[0], value, dict(zip(names, own, strict=True))) for value, own in (by_slice or {}).items()
        )
        copies = Shadow(names[shadow[0]], shadow[1]) if shadow else None
        return Content(variants, Traffic(dict(zip(names, shares, strict=True)), slices, copies))

    @property
    def limits(self) -> Limits:
        """Both roles' limits as one, as the engine reads them."""
        own, role = self.call("limits", self.bench.serving.limits), self.bench.traffic
        if role is None:
            return own
        split = self.call("traffic.limits", role.limits)
        return replace(own, share_granularity=split.share_granularity, slices=split.slices, shadow=split.shadow)

    def skip(self, why: str) -> NoReturn:
        """This check can't be made on this bench."""
        pytest.skip(why)

    # Asking.

    def ask(self, variant: str | None = None, *, number: int = 0, value: str | None = None, probe: bool = False) -> Answer:
        """One of the bench's requests; `value` makes it one of that value of the slice."""
        request = self.bench.requests[number % len(self.bench.requests)]
        if value is not None:
            key = self.bench.slice[0]
            inputs = {**request.inputs, key: value} if key in request.inputs else request.inputs
            request = replace(request, inputs=inputs, slices={**request.slices, key: value})
        answer = self.call("invoke", lambda: self.bench.serving.invoke(self.endpoint, request, variant, probe=probe))
        assert isinstance(answer, Answer), f"invoke gave {type(answer).__name__}"
        return answer

    def ask_many(self, count: int, *, value: str | None = None) -> set[str]:
        """Who answers so many consumers' requests; every one of them has to be answered with 200."""
        answers = [self.ask(number=number, value=value) for number in range(count)]
        failed = [answer for answer in answers if answer.status != 200]
        assert not failed, f"{len(failed)} of {count} consumers' requests failed: {failed[0].status} {failed[0].error}"
        return {answer.variant for answer in answers if answer.variant is not None}

    def read_all(self, cursor: str, *, limit: int = 10_000) -> tuple[list[Observation], str]:
        """The endpoint's observations behind a cursor, page by page to the end, and the last cursor."""
        role = self.bench.predictions
        assert role is not None
        found: list[Observation] = []
        for _ in range(100_000):
            page = self.call("read", partial(role.read, cursor, limit))
            assert len(page.observations) <= limit, f"a page of at most {limit} has {len(page.observations)} observations"
            found += [each for each in page.observations if each.endpoint == self.endpoint]
            moved = page.cursor != cursor
            cursor = page.cursor
            if page.at_end:
                return found, cursor
            assert moved, "a page that is not the last one leaves its cursor where it was"
        raise AssertionError("the predictions never come to an end")

    def clean(self) -> None:
        """Delete the endpoint, whatever it is in."""
        live = self.settled(600.0)
        if live.exists:
            self.reach(NOTHING)


def as_variant(version: ModelVersion, name: str | None = None) -> Variant:
    """A version as a release names it."""
    return Variant(variant_name(version.version) if name is None else name, version.model, version.version, version.artifact.digest)


def as_live(content: Content, endpoint: str) -> Live:
    """A live state in which `content` stands."""
    variants = tuple(LiveVariant(each.name, VariantState.READY, each.model, each.version, each.digest) for each in content.variants)
    return Live(endpoint, variants, content.traffic)


def _told(items: Sequence[object]) -> str:
    return "; ".join(str(item) for item in items) or "nothing"
