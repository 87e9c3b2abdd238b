"""What the author of a config store gives the suite, and how the suite drives the store: as the engine would, and no better."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from mlconsole.core.clock import Clock
from mlconsole.core.documents import WHOLE, Document, LiveDocument, config_target, digest_of
from mlconsole.core.live import Live, Transition, document_differences
from mlconsole.core.steps import Phase, Step, outstanding
from mlconsole.plugin.errors import BackendError, Conflict, MLConsoleError, Throttled, UsageError
from mlconsole.plugin.roles import ConfigLimits, ConfigStore, DocumentReport, Order

_T = TypeVar("_T")
# Tokens rise from check to check and from run to run, as leases' tokens do: a backend may outlive both.
_TOKENS = itertools.count(time.time_ns() // 1_000_000)
_BODIES = itertools.count(1)
_PATIENCE = 30.0


@dataclass(frozen=True)
class ConfigBench:
    """A store of config documents on its test bench. The first two are needed by every store.

    Versions are for ever, so that every check goes on where the one before it ended: one document serves all of them.
    """

    store: ConfigStore
    clock: Clock
    """The same clock as the store's: on a manual one nothing really waits."""
    document: str = "conformance"
    poll: float = 0.5
    """Seconds of `clock` between two looks."""
    fenced: bool = True
    """The store can keep a fence token in the same critical section as the effect."""
    damage: Callable[[str, int], None] | None = None
    """Damages the bytes of a version of a document, as a disk would."""
    backend_calls: Callable[[], int] | None = None
    """How many calls the backend has got so far."""


class ConfigDriver:
    """Drives a bench. Every call to the store goes through `call`, which lets no error escape that is not of the tree."""

    def __init__(self, bench: ConfigBench) -> None:
        self.bench = bench
        self.store = bench.store
        self.name = bench.document

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

    def report(self) -> DocumentReport:
        """What the store tells of the document."""
        report = self.call("report", lambda: self.store.report(self.name))
        assert isinstance(report, DocumentReport), f"report gave {type(report).__name__}"
        assert report.document.name == self.name, f"report({self.name!r}) told of {report.document.name!r}"
        return report

    def live(self) -> LiveDocument:
        """The document as it is."""
        return self.report().document

    def published(self) -> LiveDocument:
        """The document as it is, published to all."""
        live = self.settled(60.0)
        assert live.version is not None, "nothing is published"
        assert live.share == WHOLE
        return live

    def read(self, number: int) -> bytes:
        """A version's bytes."""
        body = self.call("read", lambda: self.store.read(self.name, number))
        assert isinstance(body, bytes), f"read gave {type(body).__name__}"
        return body

    def numbers(self) -> list[int]:
        """The numbers of the newest versions, newest first."""
        return [one.number for one in self.call("versions", lambda: self.store.versions(self.name, 10))]

    @property
    def limits(self) -> ConfigLimits:
        """What the store can do."""
        return self.call("limits", self.store.limits)

    def steps(self, live: LiveDocument, target: Document) -> tuple[Step, ...]:
        """The native steps that are left."""
        return tuple(self.call("steps", lambda: self.store.steps(live, target)))

    def start(self, step: Step, order: Order) -> None:
        """Begin one step."""
        self.call(f"start of {step.summary!r}", lambda: self.store.start(self.name, step, order))

    # What is wanted.

    def body(self) -> bytes:
        """A document that there never was."""
        return json.dumps({"relevance": {"pl": {"threshold": next(_BODIES), "at": time.time_ns()}}}, indent=2).encode() + b"\n"

    def next(self, body: bytes, *, share: int = WHOLE, before: LiveDocument | None = None) -> Document:
        """These bytes as the next version, for `share` of the clients."""
        older = (None, "") if before is None else (before.version, before.digest)
        return Document(self.name, self.live().latest + 1, digest_of(body), share, *older)

    def step(self, target: Document) -> Step:
        """A step that publishes, as the store itself would plan it; made by hand where it sees nothing left to do."""
        planned = self.steps(LiveDocument(self.name), target)
        if planned:
            return planned[-1]
        return Step("config", "publish", f"publish {target.name} {target.version}", Phase.SHIFT, document=target)

    def order(self, documents: Mapping[str, bytes], fence: int | None = None) -> Order:
        """What goes with a step; each order has a newer token unless one is given."""
        return Order(self.newest_fence() if fence is None else fence, f"{config_target(self.name)}@conformance#1", {}, documents)

    def newest_fence(self) -> int:
        """A token newer than all before."""
        return next(_TOKENS)

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

    def settled(self, seconds: float) -> LiveDocument:
        """The document as soon as the backend is no longer changing it by itself."""

        def look() -> LiveDocument | None:
            report = self.report()
            return None if report.transition is Transition.IN_PROGRESS else report.document

        return self.until(look, max(seconds, self._longest), "settled")

    def begin(self, step: Step, documents: Mapping[str, bytes]) -> None:
        """Start a step, waiting for a publication that is under way where the backend takes only one."""

        def take() -> bool:
            try:
                self.start(step, self.order(documents))
            except Conflict as error:
                if self.report().transition is not Transition.IN_PROGRESS:
                    raise AssertionError(f"{step.summary!r} meets a conflict, and yet nothing is under way: {error}") from error
                return False
            return True

        self.until(take, step.deadline, f"{step.summary!r} is taken")

    def wait(self, step: Step) -> None:
        """Wait until a step that was started has worked, and nothing is under way."""

        def worked() -> bool:
            report = self.report()
            assert report.transition is not Transition.FAILED, f"{step.summary}: {report.reason}"
            left = outstanding(step, Live(config_target(self.name), document=report.document))
            return not left and report.transition is Transition.SETTLED

        self.until(worked, step.deadline, lambda: f"{step.summary}; it is {self.live()}")

    def reach(self, target: Document, documents: Mapping[str, bytes]) -> LiveDocument:
        """Go from whatever is published to `target`, and read back: nothing is different, nothing is under way, no step is left."""
        for _ in range(4):  # what was under way when we began may undo what it seemed to be: then the rest is worked out again
            for step in self.steps(self.live(), target):
                self.begin(step, documents)
                self.wait(step)
            live = self.settled(60.0)
            if not document_differences(live, target):
                break
        left = document_differences(live, target)
        assert not left, f"the publication is over, but: {'; '.join(map(str, left))}"
        again = self.steps(live, target)
        assert again == (), f"everything is as wanted, and yet steps are left: {[step.summary for step in again]}"
        return live

    def publish(self, body: bytes) -> Document:
        """These bytes as the next version, for all clients."""
        target = self.next(body)
        self.reach(target, {digest_of(body): body})
        return target

    # Several at once.

    def together(self, calls: Sequence[Callable[[], object]]) -> list[MLConsoleError | None]:
        """Each call in a thread of its own, all begun at the same moment; the error that each ended with."""
        outcomes: list[MLConsoleError | None] = [None] * len(calls)
        wrong: list[BaseException] = []
        barrier = threading.Barrier(len(calls))

        def run(place: int) -> None:
            try:
                barrier.wait(_PATIENCE)
                calls[place]()
            except MLConsoleError as error:
                outcomes[place] = error
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is told in the main thread
                wrong.append(error)

        threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
        assert not any(thread.is_alive() for thread in threads), "a call that another one meets hangs"
        assert not wrong, f"in a second thread: {wrong[0]!r}"
        return outcomes

    @contextmanager
    def meanwhile(self, look: Callable[[], object]) -> Iterator[None]:
        """Look again and again from another thread until the end of the block; what goes wrong there is raised here."""
        wrong: list[BaseException] = []
        looked, over = threading.Event(), threading.Event()

        def run() -> None:
            try:
                while not over.is_set():
                    look()
                    looked.set()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is told in the main thread
                wrong.append(error)
                looked.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert looked.wait(_PATIENCE), "looking hangs"
        try:
            yield
        finally:
            over.set()
            thread.join(_PATIENCE)
        if wrong:
            raise AssertionError(f"who looked meanwhile: {wrong[0]}") from wrong[0]
        assert not thread.is_alive(), "looking hangs"

    @property
    def _longest(self) -> float:
        """So long may what is under way take."""
        return 10 * self.limits.poll_lag + 600.0
