"""What-if on stored predictions: decided again under a draft, flips with what was answered, and what can't be known of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config_kit import DOC, ConfigHouse, config_house, first
from engine.conftest import TOMEK
from mlconsole.engine import changing, configuring, planning
from mlconsole.engine.documentviews import WhatIfRowView
from mlconsole.engine.health import HealthWatch
from mlconsole.plugin.errors import UsageError
from mlconsole.plugin.simulator import Load

PL = "/relevance/pl/threshold"


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    """v3 has answered for ten minutes, and what it answered is stored."""
    made = config_house(tmp_path)
    session = made.session()
    first(session)
    assert changing.run(session, planning.plan_deploy(session, "relevance", "3")).done
    watch = HealthWatch(made.session(TOMEK), guardian=True)
    for seed in range(60):
        made.passes(10)
        made.sim.world.serve("relevance", Load(100, seed=seed, seconds=10.0, slices={"language": {"en": 0.6, "de": 0.2, "pl": 0.2}}))
        watch.look()
    return made


def row(house: ConfigHouse, slice_: str) -> WhatIfRowView:
    return next(one for one in configuring.what_if(house.session(), DOC).rows if one.slice == slice_)


def test_alerts_a_day_then_and_now_are_counted_of_what_was_really_answered(house: ConfigHouse) -> None:
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.7})
    pl = row(house, "pl")
    now = house.clock.now().timestamp()
    rows = [one for one in session.observations.rows("staging", "relevance", 0, now) if one.slices.get("language") == "pl"]
    scores = [one.score for one in rows if one.score is not None]
    flips = sum(0.48 <= score < 0.7 for score in scores)
    assert (pl.n, pl.flips, pl.touched, pl.threshold) == (len(scores), flips, True, "0.48 → 0.7")
    assert pl.before is not None
    assert pl.then is not None
    assert round((pl.before - pl.then) / pl.before, 6) == round(flips / sum(score >= 0.48 for score in scores), 6)
    known = {one.request_id for one in rows}
    assert pl.examples
    assert all(one.request_id in known and one.before and not one.then for one in pl.examples)
    assert row(house, "en").note == "not touched · of 10 min only" or row(house, "en").note.startswith("not touched")


def test_where_another_model_would_answer_nothing_is_guessed(house: ConfigHouse) -> None:
    configuring.edit(house.session(), DOC, {"/relevance/pl/endpoint": "other"})
    pl = row(house, "pl")
    assert pl.then is None
    assert "another model would answer" in pl.unknown


def test_what_an_earlier_version_answered_is_no_evidence_for_the_one_that_answers_now(house: ConfigHouse) -> None:
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, "relevance", "4", share=10_000)).done
    configuring.edit(session, DOC, {PL: 0.7})
    pl = row(house, "pl")
    assert (pl.n, pl.then) == (0, None)
    assert pl.unknown


def test_without_a_draft_there_is_nothing_to_be_tried(house: ConfigHouse) -> None:
    with pytest.raises(UsageError, match="no draft"):
        configuring.what_if(house.session(), DOC)
