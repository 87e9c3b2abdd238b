"""Who changed it outside: told where it is known, asked in the background, once; nobody waits for it, and a silent one is no trouble."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.conftest import House
from engine.kit import NAME, deploy, shift, until
from mlconsole.core.traffic import Traffic
from mlconsole.engine import endpoints, planning
from mlconsole.engine.session import Session
from mlconsole.engine.views import Progress
from mlconsole.plugin import simulator
from mlconsole.plugin.authoring import Authored
from mlconsole.plugin.errors import ChangedOutside, Throttled
from mlconsole.plugin.simulator import Fault, FaultKind


@dataclass
class Journal:
    """A backend's journal that says what a test says."""

    answer: Authored | Exception | None = None
    hold: threading.Event | None = None
    asked: list[tuple[str, datetime]] = field(default_factory=list)

    def author(self, target: str, since: datetime) -> Authored | None:
        self.asked.append((target, since))
        if self.hold is not None:
            self.hold.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def silence(self) -> str:
        return "the journal lags"


ALICE = Authored("ali\x1b[31mce", datetime(2026, 1, 5, 14, 2, tzinfo=UTC), "UpdateEndpoint", "the AWS console")


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def session(house: House, journal: Journal) -> Session:
    """#2 says v3 90, v4 10; somebody made it 80 and 20."""
    made = house.session()
    factories = {**simulator.plugin.factories, "authors": lambda context: journal}
    made._plugins = {"simulator": replace(simulator.plugin, factories=factories)}
    deploy(made, "3")
    deploy(made, "4", 1000)
    assert endpoints.show(made, NAME).author == ""
    assert journal.asked == []  # nothing was changed outside: nobody is asked
    house.sim.world.change_outside(NAME, traffic=Traffic({"v3": 8000, "v4": 2000}))
    return made


def row(session: Session) -> endpoints.EndpointView:
    return next(one for one in endpoints.overview(session).endpoints if one.name == NAME)


def test_it_is_told_in_the_finding_the_view_and_the_refusal(session: Session, journal: Journal) -> None:
    journal.answer = ALICE
    view = endpoints.show(session, NAME)
    when = ALICE.when.astimezone()
    assert view.author.startswith("by ali")
    assert "\x1b" not in view.author
    assert re.search(rf"\(UpdateEndpoint, (\w+ |\d\d\.\d\d\. )?{when:%H:%M}, the AWS console\)", view.author)
    assert view.finding == f"changed outside {view.author}: share of v3: wanted 90 %, found 80 %; share of v4: wanted 10 %, found 20 %"
    with pytest.raises(ChangedOutside) as refused:
        shift(session, v4=3000)
    assert refused.value.message.startswith(f"relevance was changed outside mlconsole {view.author}: #2 is not what is live")
    assert planning.plan_revert(session, NAME).notes == (f"The endpoint was changed outside mlconsole {view.author}; this puts #2 back.",)
    recorded = session.registry.live_release("staging", NAME)
    assert recorded is not None
    assert journal.asked == [(NAME, recorded.release.created)]  # once


def test_a_look_waits_for_nobody(session: Session, journal: Journal) -> None:
    journal.hold = threading.Event()
    journal.answer = ALICE
    assert "changed outside mlconsole (" in row(session).finding
    assert len(journal.asked) == 1
    assert "changed outside mlconsole (" in row(session).finding
    assert len(journal.asked) == 1  # one question is under way
    journal.hold.set()
    until(lambda: "changed outside by ali" in row(session).finding, "the author is told once he is known")
    assert len(journal.asked) == 1


def test_a_journal_that_lags_is_asked_again_and_says_so_meanwhile(house: House, session: Session, journal: Journal) -> None:
    row(session)
    until(lambda: "changed outside by somebody (the journal lags):" in row(session).finding, "it is said that nothing is known yet")
    assert len(journal.asked) == 1
    journal.answer = ALICE
    row(session)
    assert len(journal.asked) == 1
    house.passes(61)
    until(lambda: "changed outside by ali" in row(session).finding, "it is asked again")
    assert len(journal.asked) == 2


def test_one_that_never_says_is_left_alone(house: House, session: Session, journal: Journal) -> None:
    row(session)
    until(lambda: "by somebody" in row(session).finding, "asked")
    house.passes(timedelta(minutes=21).total_seconds())
    assert "changed outside mlconsole (" in row(session).finding
    assert len(journal.asked) == 1


@pytest.mark.parametrize("problem", [Throttled("slow down"), RuntimeError("a bug")])
def test_one_that_fails_is_no_trouble(session: Session, journal: Journal, problem: Exception) -> None:
    journal.answer = problem
    with pytest.raises(ChangedOutside, match=r"^relevance was changed outside mlconsole: #2"):
        shift(session, v4=3000)
    assert len(journal.asked) == 1


def test_another_change_outside_is_asked_for_anew(house: House, session: Session, journal: Journal) -> None:
    journal.answer = ALICE
    assert "ali" in endpoints.show(session, NAME).author
    journal.answer = replace(ALICE, name="bob")
    house.sim.world.change_outside(NAME, traffic=Traffic({"v3": 7000, "v4": 3000}))
    assert "by bob" in endpoints.show(session, NAME).author


def test_being_throttled_at_the_end_of_a_change_is_not_its_failure(house: House) -> None:
    """For longer than a differing state is borne: what is not answered says nothing of what is live."""
    session = house.session()
    deploy(session, "3")
    began = house.clock.elapsed()
    deploy(session, "4", 1000)

    def hear(progress: Progress) -> None:
        if progress.kind == "done":  # the one step of a shift: what is left is to read it back
            house.sim.world.inject(Fault(FaultKind.THROTTLE, on="serving.describe", times=120))

    session._tell = hear
    outcome = shift(session, v4=3000)
    assert outcome.done, outcome.sentence
    assert house.clock.elapsed() - began > 40
