"""The simulated store of config documents: time, faults, outsiders, and what it shows of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlconsole.core.documents import WHOLE, Document, LiveDocument, digest_of
from mlconsole.core.live import Transition
from mlconsole.core.steps import Step
from mlconsole.plugin import Context
from mlconsole.plugin.errors import Conflict, NotFound, Refused, Unavailable
from mlconsole.plugin.roles import ConfigStore, Order
from mlconsole.plugin.simulator import Fault, FaultKind, ManualClock, Simulated, World, plugin, simulated

NAME = "models"
ONE, TWO = b'{"a": 1}', b'{"a": 2}'


@pytest.fixture
def sim(tmp_path: Path) -> Simulated:
    return simulated(tmp_path)


def document(number: int, body: bytes, share: int = WHOLE, *, name: str = NAME) -> Document:
    return Document(name, number, digest_of(body), share, 1 if share < WHOLE else None, digest_of(ONE) if share < WHOLE else "")


def order(fence: int = 1) -> Order:
    return Order(fence, "config:models@staging#1", {}, {digest_of(body): body for body in (ONE, TWO)})


def step(sim: Simulated, wanted: Document) -> Step:
    (found,) = sim.config.steps(LiveDocument(wanted.name), wanted)
    return found


def start(sim: Simulated, wanted: Document, fence: int = 1) -> None:
    sim.config.start(wanted.name, step(sim, wanted), order(fence))


def begun(sim: Simulated) -> Simulated:
    """Version 1 for all; the store has come to rest."""
    start(sim, document(1, ONE))
    sim.clock.sleep(1.0)
    assert sim.config.report(NAME).transition is Transition.SETTLED
    return sim


def test_it_plays_the_role_as_any_plugin_does(tmp_path: Path) -> None:
    context = Context("staging", tmp_path, tmp_path / "state", {}, ManualClock())
    assert isinstance(plugin.factories["config"](context), ConfigStore)


def test_a_publication_takes_its_time_and_the_version_is_there_at_once(sim: Simulated) -> None:
    begun(sim)
    start(sim, document(2, TWO, 2000))
    report = sim.config.report(NAME)
    assert (report.transition, report.document.version, report.document.latest) == (Transition.IN_PROGRESS, 1, 2)
    assert report.document.publication == "DEPLOYING (deployment 2)"
    assert sim.config.read(NAME, 2) == TWO
    sim.clock.sleep(1.0)
    report = sim.config.report(NAME)
    assert report.transition is Transition.SETTLED
    assert report.document == LiveDocument(NAME, 2, digest_of(TWO), 2000, 1, digest_of(ONE), 2, "COMPLETE (deployment 2)")
    assert sim.world.document(NAME) == report


def test_one_publication_at_a_time_in_a_scope(tmp_path: Path) -> None:
    sim = simulated(tmp_path, scope="application/production")
    start(sim, document(1, ONE, name="first"))
    with pytest.raises(Conflict, match="first is being published"):
        start(sim, document(1, ONE, name="second"))
    sim.clock.sleep(1.0)
    start(sim, document(1, ONE, name="second"))
    assert sim.config.scope("first") == sim.config.scope("second") == "application/production"


def test_each_document_by_itself_where_nothing_is_said(sim: Simulated) -> None:
    start(sim, document(1, ONE, name="first"))
    start(sim, document(1, ONE, name="second"))
    assert sim.config.scope("first") == "config:first"


def test_going_back_stops_what_is_under_way(sim: Simulated) -> None:
    begun(sim)
    start(sim, document(2, TWO))
    start(sim, document(1, ONE))
    report = sim.config.report(NAME)
    assert (report.transition, report.document.version) == (Transition.SETTLED, 1)
    sim.clock.sleep(60.0)
    assert sim.config.report(NAME).document.version == 1


def test_an_old_token_is_refused_even_when_nothing_is_left_to_do(sim: Simulated) -> None:
    begun(sim)
    start(sim, document(1, ONE), fence=7)
    with pytest.raises(Conflict):
        start(sim, document(1, ONE), fence=6)


def test_a_silent_rollback_says_settled_and_is_as_before(sim: Simulated) -> None:
    begun(sim)
    sim.world.inject(Fault(FaultKind.SILENT_ROLLBACK, "config.start"))
    start(sim, document(2, TWO))
    assert sim.config.report(NAME).transition is Transition.IN_PROGRESS
    sim.clock.sleep(1.0)
    report = sim.config.report(NAME)
    assert (report.transition, report.document.version, report.document.latest) == (Transition.SETTLED, 1, 2)
    start(sim, document(2, TWO))
    sim.clock.sleep(1.0)
    assert sim.config.report(NAME).document.version == 2


def test_stuck_until_somebody_helps(sim: Simulated) -> None:
    begun(sim)
    sim.world.inject(Fault(FaultKind.STUCK, "config.start", endpoint="config:models"))
    start(sim, document(2, TWO))
    sim.clock.sleep(10_000.0)
    assert sim.config.report(NAME).transition is Transition.IN_PROGRESS
    sim.world.unstick("config:models")
    assert sim.config.report(NAME).document.version == 2
    with pytest.raises(NotFound):
        sim.world.unstick("config:nothing")


def test_a_publication_that_fails_says_why_until_the_next(sim: Simulated) -> None:
    begun(sim)
    sim.world.inject(Fault(FaultKind.FAIL_VARIANT, "config.start", reason="ROLLED_BACK: alarm 5xx"))
    start(sim, document(2, TWO))
    sim.clock.sleep(1.0)
    report = sim.config.report(NAME)
    assert (report.transition, report.reason, report.document.version) == (Transition.FAILED, "ROLLED_BACK: alarm 5xx", 1)
    start(sim, document(1, ONE))
    sim.clock.sleep(1.0)
    assert sim.config.report(NAME).transition is Transition.SETTLED


def test_other_bytes_are_seen_by_their_digest(sim: Simulated) -> None:
    begun(sim)
    sim.world.inject(Fault(FaultKind.WRONG_BYTES, "config.start"))
    start(sim, document(2, TWO))
    sim.clock.sleep(1.0)
    live = sim.config.report(NAME).document
    assert live.version == 2
    assert live.digest != digest_of(TWO)
    assert sim.config.steps(live, document(2, TWO))


def test_a_time_out_after_the_effect_has_worked(sim: Simulated) -> None:
    begun(sim)
    sim.world.inject(Fault(FaultKind.TIMEOUT_AFTER_EFFECT, "config.start"))
    with pytest.raises(Unavailable):
        start(sim, document(2, TWO))
    start(sim, document(2, TWO))
    sim.clock.sleep(1.0)
    assert sim.config.report(NAME).document.version == 2
    assert [one.number for one in sim.config.versions(NAME)] == [2, 1]


@pytest.mark.parametrize(("kind", "error"), [(FaultKind.CONFLICT, Conflict), (FaultKind.TIMEOUT_BEFORE_EFFECT, Unavailable)])
def test_what_is_refused_before_the_effect_has_none(sim: Simulated, kind: FaultKind, error: type[Exception]) -> None:
    begun(sim)
    sim.world.inject(Fault(kind, "config.start"))
    with pytest.raises(error):
        start(sim, document(2, TWO))
    assert sim.world.document(NAME).document.latest == 1


def test_reads_may_be_late(sim: Simulated) -> None:
    begun(sim)
    sim.world.inject(Fault(FaultKind.LATE_READ, "config.start", seconds=5.0))
    start(sim, document(2, TWO))
    sim.clock.sleep(4.0)
    late = sim.config.report(NAME)
    assert (late.transition, late.document.version, late.document.latest) == (Transition.SETTLED, 1, 1)
    assert sim.world.document(NAME).document.version == 2
    sim.clock.sleep(1.0)
    assert sim.config.report(NAME).document.version == 2
    sim.world.inject(Fault(FaultKind.LATE_READ, "config.report"))
    assert [sim.config.report(NAME).document.version for _ in range(2)] == [1, 2]


def test_growth_or_none(tmp_path: Path) -> None:
    plain = simulated(tmp_path / "plain", config_growth=False)
    assert not plain.config.limits().growth
    with pytest.raises(Refused, match="all clients at once"):
        step(plain, document(2, TWO, 2000))
    fine = simulated(tmp_path / "fine", config_granularity=1)
    assert step(fine, document(2, TWO, 1)).document == document(2, TWO, 1)
    with pytest.raises(Refused, match="multiples of 1 %"):
        step(simulated(tmp_path / "coarse"), document(2, TWO, 1))


def test_somebody_else_publishes(sim: Simulated) -> None:
    begun(sim)
    assert sim.world.publish_outside(NAME, TWO, share=2000) == 2
    live = sim.config.report(NAME).document
    assert (live.version, live.share, live.before, live.latest) == (2, 2000, 1, 2)
    assert sim.config.read(NAME, 2) == TWO
    with pytest.raises(Conflict, match="is 3, not 4"):
        start(sim, document(4, ONE))


def test_calls_name_the_document_as_its_releases_do(sim: Simulated) -> None:
    begun(sim)
    assert sim.world.started("config:models") == ("publish",)
    assert {call.name for call in sim.world.calls} == {"config.start", "config.report"}


def test_another_process_finds_the_same_documents(sim: Simulated) -> None:
    begun(sim)
    again = World(sim.world.path, sim.clock)
    assert again.document(NAME) == sim.world.document(NAME)


def test_a_world_from_before_there_were_documents_is_read(sim: Simulated) -> None:
    begun(sim)
    body = json.loads(sim.world.path.read_text())
    del body["documents"]
    sim.world.path.write_text(json.dumps(body))
    assert sim.world.document(NAME).document == LiveDocument(NAME)
