"""A colleague's word for config documents: it binds to what changes, and not to where that is put."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config_kit import DOC, ConfigHouse, back, config_house, edited, first, publish
from engine.conftest import ANNA, TOMEK
from mlconsole.core.approvals import Say
from mlconsole.engine import approving, configuring
from mlconsole.engine.growing import plan_config_rollout
from mlconsole.plugin.errors import ApprovalNeeded

PL, EN = "/relevance/pl/threshold", "/relevance/en/threshold"


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    """Published, then covered by a rule: publications need tomek's word."""
    made = config_house(tmp_path)
    first(made.session())
    file = tmp_path / "mlconsole.yaml"
    file.write_text(
        file.read_text().replace("    config: simulator\n", "    config: simulator\n    approvals: {who: [tomek], for: [publish]}\n", 1)
    )
    return made


def asked(house: ConfigHouse) -> int:
    return approving.requests(house.session(), limit=1)[0].number


def test_a_publication_waits_for_a_word_and_goes_forward_with_it(house: ConfigHouse) -> None:
    session = house.session(ANNA)
    with pytest.raises(ApprovalNeeded):
        edited(session, PL, 0.6)
    assert house.live()["relevance"]["pl"]["threshold"] == 0.48
    approving.say(house.session(TOMEK), asked(house), Say.APPROVE)
    assert publish(session).done
    assert house.live()["relevance"]["pl"]["threshold"] == 0.6


def test_it_binds_to_what_changes_and_not_to_the_version_that_it_is_put_on(house: ConfigHouse) -> None:
    session = house.session(ANNA)
    with pytest.raises(ApprovalNeeded):
        edited(session, PL, 0.6)
    number = asked(house)
    approving.say(house.session(TOMEK), number, Say.APPROVE)
    # Something unrelated is published meanwhile, by somebody who needs nobody's word: it came from outside and was kept.
    text = house.text().replace("0.50", "0.51").encode()
    house.sim.world.publish_outside(DOC, text)
    configuring.adopt(house.session(TOMEK), DOC, reason="by hand")
    configuring.rebase(session, DOC)
    assert publish(session).done
    there = house.live()["relevance"]
    assert (there["pl"]["threshold"], there["en"]["threshold"]) == (0.6, 0.51)


def test_another_value_is_another_effect(house: ConfigHouse) -> None:
    session = house.session(ANNA)
    with pytest.raises(ApprovalNeeded):
        edited(session, PL, 0.6)
    approving.say(house.session(TOMEK), asked(house), Say.APPROVE)
    with pytest.raises(ApprovalNeeded):
        edited(session, PL, 0.7)


def test_stages_are_the_same_publication_to_the_rule(house: ConfigHouse) -> None:
    from mlconsole.engine import rolling

    session = house.session(ANNA)
    configuring.edit(session, DOC, {PL: 0.6})
    with pytest.raises(ApprovalNeeded):
        rolling.begin(session, plan_config_rollout(session, DOC, attended=True), stays=True)


def test_going_back_needs_nobody(house: ConfigHouse) -> None:
    session = house.session(ANNA)
    with pytest.raises(ApprovalNeeded):
        edited(session, PL, 0.6)
    approving.say(house.session(TOMEK), asked(house), Say.APPROVE)
    assert publish(session).done
    assert back(session).done


def test_the_report_for_a_pull_request_shows_the_values(house: ConfigHouse) -> None:
    session = house.session(ANNA)
    configuring.edit(session, DOC, {PL: 0.6}, reason="pl alerts too often")
    with pytest.raises(ApprovalNeeded):
        publish(session, "pl alerts too often")
    request = house.session(TOMEK).registry.approval(asked(house))
    assert request is not None
    text = request.report
    assert "relevance · pl · threshold" in text
    assert "0.48" in text
    assert "0.6" in text
