"""The suite of config stores: run against the simulator in its shapes, and against stores that are broken in one way each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mlconsole.core.documents import WHOLE, Document, LiveDocument
from mlconsole.core.live import Transition
from mlconsole.core.models import Json
from mlconsole.core.steps import Step
from mlconsole.plugin.conformance import ConfigBench, ConfigDriver, ConfigStoreConformance
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.roles import ConfigStore, DocumentReport, Order, StoredVersion
from mlconsole.plugin.simulator import Fault, FaultKind, Simulated, SimulatedConfigStore, simulated

Suite = ConfigStoreConformance
SMALL: dict[str, Json] = {"config_bytes": 5000}


def bench_of(sim: Simulated) -> ConfigBench:
    """The simulated store on the suite's bench."""
    settings = sim.config.settings
    return ConfigBench(
        sim.config,
        sim.clock,
        poll=max(0.5, settings.config_seconds / 3),
        damage=sim.world.damage,
        backend_calls=lambda: len(sim.world.calls),
    )


SETUPS: dict[str, dict[str, Json]] = {
    "growth in whole percents": {},
    "growth to the basis point": {"config_granularity": 1},
    "no growth": {"config_growth": False},
    "one publication at a time, and slow": {"scope": "application/production", "config_seconds": 600.0, "config_poll": 60.0},
    "at once": {"config_seconds": 0},
}


class TestSimulator(ConfigStoreConformance):
    """Every check, for each way in which stores are shaped."""

    @pytest.fixture(params=SETUPS.values(), ids=SETUPS.keys())
    def bench(self, request: pytest.FixtureRequest, tmp_path: Path) -> ConfigBench:
        return bench_of(simulated(tmp_path, **SMALL, **request.param))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return simulated(tmp_path_factory.mktemp("backend"), **SMALL)


class TestOneStoreForAllChecks(ConfigStoreConformance):
    """As an adapter does whose backend is dear to make: what one check leaves, the next one finds."""

    @pytest.fixture
    def bench(self, backend: Simulated) -> ConfigBench:
        return bench_of(backend)


class Wraps(SimulatedConfigStore):
    """A store that is sound but for what a subclass breaks."""


class IgnoresFence(Wraps):
    def start(self, document: str, step: Step, order: Order) -> None:
        with self.world.section() as state:
            order = replace(order, fence=max([order.fence, *state.fences.values()]))
        super().start(document, step, order)


class RewritesVersions(Wraps):
    """Takes other bytes for a number that is there."""

    def start(self, document: str, step: Step, order: Order) -> None:
        wanted = step.document
        if wanted is not None:
            with self.world.section() as state:
                record = state.documents.get(document)
                if record is not None and str(wanted.version) in record.versions:
                    record.add(wanted.version, order.documents[wanted.digest], wanted.digest, "", "")
        super().start(document, step, order)


class TidiesUp(Wraps):
    """Gives bytes as it would have written them."""

    def read(self, document: str, number: int) -> bytes:
        return super().read(document, number).strip()


class SkipsNumbers(Wraps):
    def start(self, document: str, step: Step, order: Order) -> None:
        wanted = step.document
        if wanted is not None and wanted.digest in order.documents:
            latest = self.report(document).document.latest
            if wanted.version > latest + 1:
                step = replace(step, document=replace(wanted, version=latest + 1))
        super().start(document, step, order)


class LastWriterWins(Wraps):
    """Gives a second version of the same number the next one."""

    def start(self, document: str, step: Step, order: Order) -> None:
        quick = SimulatedConfigStore(self.world, replace(self.settings, config_seconds=0.0))
        try:
            quick.start(document, step, order)
        except MLConsoleError:
            wanted = step.document
            assert wanted is not None
            later = replace(wanted, version=self.report(document).document.latest + 1)
            quick.start(document, replace(step, document=later), order)


class RoundsShares(Wraps):
    def steps(self, live: LiveDocument, target: Document) -> Sequence[Step]:
        grain = self.settings.config_granularity
        return super().steps(live, replace(target, share=target.share // grain * grain))


class GrowsToAll(Wraps):
    def start(self, document: str, step: Step, order: Order) -> None:
        if step.document is not None:
            step = replace(step, document=replace(step.document, share=WHOLE))
        super().start(document, step, order)


class NeverDone(Wraps):
    def steps(self, live: LiveDocument, target: Document) -> Sequence[Step]:
        return super().steps(LiveDocument(live.name), target)


class TakesAnySize(Wraps):
    def start(self, document: str, step: Step, order: Order) -> None:
        roomy = SimulatedConfigStore(self.world, replace(self.settings, config_bytes=10**9))
        roomy.start(document, step, order)


class TakesNothingForSomething(Wraps):
    """A body that is empty, or missing, is no body: it leaves the version as it is, and says that all is well."""

    def start(self, document: str, step: Step, order: Order) -> None:
        if any(order.documents.values()) or (step.document is not None and step.document.version <= self.report(document).document.latest):
            super().start(document, step, order)


class PublishesBeforeItHasTheBytes(Wraps):
    """The first reads of each version find half of it: however seldom somebody looks, whoever looks at all sees that."""

    def read(self, document: str, number: int) -> bytes:
        reads: Counter[int] = self.__dict__.setdefault("reads", Counter())
        reads[number] += 1
        return b"{" if reads[number] <= 5 else super().read(document, number)


class ListsOldestFirst(Wraps):
    def versions(self, document: str, limit: int = 100) -> Sequence[StoredVersion]:
        return tuple(reversed(super().versions(document, limit)))


class ReadsDamaged(Wraps):
    def read(self, document: str, number: int) -> bytes:
        try:
            return super().read(document, number)
        except MLConsoleError:
            return super().read(document, self.report(document).document.latest)


class KnowsEverybody(Wraps):
    def report(self, document: str) -> DocumentReport:
        found = super().report(document)
        return found if found.document.version else DocumentReport(LiveDocument(document, 1, "sha256:0", latest=1))


class ForgetsTheKey(Wraps):
    def report(self, document: str) -> DocumentReport:
        if document not in self.list():
            raise KeyError(document)
        return super().report(document)


class ScopesByCall(Wraps):
    def scope(self, document: str) -> str:
        return f"{document}/{len(self.world.started())}"


class SettledTooSoon(Wraps):
    """Says that nothing is under way, whatever is."""

    def report(self, document: str) -> DocumentReport:
        return replace(super().report(document), transition=Transition.SETTLED)


Break = Callable[[Simulated], ConfigStore]


def store(kind: type[SimulatedConfigStore]) -> Break:
    return lambda sim: kind(sim.world, sim.config.settings)


def fault(kind: FaultKind, on: str = "config.start") -> Break:
    def broken(sim: Simulated) -> ConfigStore:
        sim.world.inject(Fault(kind, on, times=None))
        return sim.config

    return broken


BROKEN: list[tuple[str, Break, Callable[[Suite, ConfigDriver], None]]] = [
    ("silent rollback", fault(FaultKind.SILENT_ROLLBACK), Suite.test_what_is_published_is_read_back),
    ("stuck", fault(FaultKind.STUCK), Suite.test_what_is_published_is_read_back),
    ("other bytes", fault(FaultKind.WRONG_BYTES), Suite.test_what_is_published_is_read_back),
    ("a publication that fails", fault(FaultKind.FAIL_VARIANT), Suite.test_what_is_published_is_read_back),
    ("lists nothing", fault(FaultKind.EMPTY, "config.list"), Suite.test_documents_are_listed),
    ("ignores the fence", store(IgnoresFence), Suite.test_an_old_fence_token_changes_nothing),
    ("rewrites versions", store(RewritesVersions), Suite.test_a_version_never_changes),
    ("tidies bytes up", store(TidiesUp), Suite.test_a_version_is_read_back_to_the_byte),
    ("renumbers in silence", store(SkipsNumbers), Suite.test_only_the_next_number_is_taken),
    ("the last writer wins", store(LastWriterWins), Suite.test_two_writers_at_once_and_one_wins),
    ("rounds shares", store(RoundsShares), Suite.test_shares_between_two_steps_are_refused_by_steps),
    ("grows to all at once", store(GrowsToAll), Suite.test_a_share_grows_and_is_read_back),
    ("grows to all at once, and back", store(GrowsToAll), Suite.test_a_growing_version_goes_back),
    ("is never done", store(NeverDone), Suite.test_steps_say_what_will_be_true),
    ("takes any size", store(TakesAnySize), Suite.test_too_large_is_refused),
    ("says yes to nothing", store(TakesNothingForSomething), Suite.test_an_empty_document_is_refused),
    ("says yes to no bytes", store(TakesNothingForSomething), Suite.test_bytes_that_are_not_those_of_the_version_are_refused),
    ("publishes before the bytes are there", store(PublishesBeforeItHasTheBytes), Suite.test_nobody_sees_half_of_it),
    ("lists the oldest first", store(ListsOldestFirst), Suite.test_versions_are_listed_newest_first),
    ("reads another version", store(ReadsDamaged), Suite.test_a_damaged_version_is_an_error),
    ("knows what is not there", store(KnowsEverybody), Suite.test_what_is_not_there_is_not_found),
    ("raises a KeyError", store(ForgetsTheKey), Suite.test_what_is_not_there_is_not_found),
    ("locks each publication by itself", store(ScopesByCall), Suite.test_the_scope_of_a_document_is_always_the_same),
    ("settled too soon", store(SettledTooSoon), Suite.test_a_change_of_mind_while_it_is_under_way),
]


@pytest.mark.parametrize(("broken", "check"), [entry[1:] for entry in BROKEN], ids=[entry[0] for entry in BROKEN])
def test_a_broken_store_is_caught(broken: Break, check: Callable[[Suite, ConfigDriver], None], tmp_path: Path) -> None:
    sim = simulated(tmp_path, **SMALL)
    driver = ConfigDriver(bench_of(sim))
    driver.publish(driver.body())  # while it is sound: what is to fail is the check
    driver.store = broken(sim)
    try:
        check(Suite(), driver)
    except (AssertionError, pytest.fail.Exception) as error:
        assert str(error), "caught, but without a word why"  # noqa: PT017 - its text is what is checked
        return
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"the check was skipped: {skipped}") from skipped
    raise AssertionError("the suite did not see it")


@pytest.mark.parametrize(
    "check", sorted({entry[2] for entry in BROKEN}, key=lambda check: check.__name__), ids=lambda check: check.__name__
)
def test_the_same_check_passes_on_a_sound_store(check: Callable[[Suite, ConfigDriver], None], tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    sim = simulated(tmp_path, **SMALL)
    driver = ConfigDriver(bench_of(sim))
    driver.publish(driver.body())
    check(Suite(), driver)


def test_a_bench_that_lacks_a_part_skips_its_checks(tmp_path: Path) -> None:
    sim = simulated(tmp_path, config_growth=False, **SMALL)
    driver = ConfigDriver(replace(bench_of(sim), damage=None, backend_calls=None, fenced=False))
    driver.publish(driver.body())
    for check in (
        Suite.test_a_damaged_version_is_an_error,
        Suite.test_steps_are_worked_out_without_any_call,
        Suite.test_an_old_fence_token_changes_nothing,
        Suite.test_a_growing_version_goes_back,
    ):
        with pytest.raises(pytest.skip.Exception):
            check(Suite(), driver)
