"""Publishing a config document on a simulated backend: versions, drafts, what lint stops, going back to exactly what a change touched."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.config_kit import BODY, DOC, TARGET, ConfigHouse, back, config_house, edited, first, publish
from engine.conftest import TOMEK
from mlconsole.core.operations import OperationState
from mlconsole.core.releases import Standing
from mlconsole.engine import changing, configuring, planning, publishing
from mlconsole.plugin.errors import ChangedOutside, ConfirmationNeeded, Conflict, NotAllowed, PlanOutdated, UnknownName, UsageError
from mlconsole.plugin.simulator import Fault, FaultKind

DE, EN, PL = (f"/relevance/{name}/threshold" for name in ("de", "en", "pl"))


@pytest.fixture
def house(tmp_path: Path) -> ConfigHouse:
    return config_house(tmp_path)


@pytest.fixture
def live(house: ConfigHouse) -> ConfigHouse:
    """The document is published: version 1."""
    first(house.session())
    return house


def test_the_first_version_is_the_file_that_the_workspace_names_byte_for_byte(house: ConfigHouse) -> None:
    session = house.session()
    first(session)
    assert house.text() == BODY
    view = configuring.document(session, DOC)
    assert (view.version, view.release, view.draft) == (1, 1, None)
    assert [(one.slice, one.threshold) for one in view.entries] == [("en", "0.5"), ("de", "0.52"), ("pl", "0.48")]


def test_an_edit_changes_its_value_and_no_other_byte(live: ConfigHouse) -> None:
    outcome = edited(live.session(), PL, 0.55, "pl alerts too often")
    assert outcome.done
    assert live.text() == BODY.replace("0.48", "0.55")
    release = live.session().registry.live_release("staging", TARGET)
    assert release is not None
    assert release.release.content.document is not None
    assert release.release.content.document.pointers == (PL,)
    assert (release.release.number, release.release.reason, release.release.actor.user) == (2, "pl alerts too often", "anna")


def test_a_draft_has_no_number_and_the_published_one_is_gone(live: ConfigHouse) -> None:
    session = live.session()
    view = configuring.edit(session, DOC, {DE: 0.6}, reason="de")
    assert view.version == 1
    assert view.draft is not None
    assert [(one.where, one.old, one.new) for one in view.draft.differences] == [("relevance · de · threshold", "0.52", "0.6")]
    assert live.published().latest == 1
    assert publish(session).done
    assert session.registry.draft("staging", DOC) is None


def test_who_edits_what_somebody_else_edited_meanwhile_is_told(live: ConfigHouse) -> None:
    mine = configuring.edit(live.session(), DOC, {DE: 0.6})
    assert mine.draft is not None
    configuring.edit(live.session(TOMEK), DOC, {EN: 0.4})
    with pytest.raises(Conflict, match="tomek edited the draft of models"):
        configuring.edit(live.session(), DOC, {DE: 0.7}, edition=mine.draft.edition)
    draft = configuring.document(live.session(), DOC).draft
    assert draft is not None
    assert {one.where for one in draft.differences} == {"relevance · de · threshold", "relevance · en · threshold"}


def test_a_draft_on_an_old_version_is_not_published_until_it_is_put_onto_what_is_live(live: ConfigHouse) -> None:
    session = live.session()
    configuring.edit(session, DOC, {DE: 0.6})
    kept = session.registry.draft("staging", DOC)
    assert kept is not None
    body = session.registry.bytes_of(kept.digest)
    assert body is not None
    session.registry.drop_draft("staging", DOC)
    assert edited(live.session(TOMEK), EN, 0.45).done
    session.registry.save_draft(type(kept)(**{**vars(kept), "edition": 0}), body)
    with pytest.raises(Conflict, match="begun on version 1, live is 2"):
        publishing.plan_publish(session, DOC)
    configuring.rebase(session, DOC)
    assert publish(session).done
    assert [live.live()["relevance"][name]["threshold"] for name in ("en", "de")] == [0.45, 0.6]


def test_lint_stops_what_would_break_and_break_glass_leaves_it_on_the_release(live: ConfigHouse) -> None:
    session = live.session()
    configuring.edit(session, DOC, {DE: 1.7})
    with pytest.raises(NotAllowed, match=r"Nothing was published"):
        publishing.plan_publish(session, DOC)
    assert live.published().version == 1
    assert publish(session, break_glass="the model scores up to 2").done
    release = live.session().registry.live_release("staging", TARGET)
    assert release is not None
    assert any("lint" in gate for gate in release.release.skipped_gates)


def test_production_wants_the_slice_typed(live: ConfigHouse) -> None:
    session = live.session(environment="production")
    configuring.edit(session, DOC, {})
    assert changing.run(session, publishing.plan_publish(session, DOC)).done
    configuring.edit(session, DOC, {PL: 0.5})
    plan = publishing.plan_publish(session, DOC)
    assert plan.confirm == "pl"
    with pytest.raises(ConfirmationNeeded, match="You typed de, this change is for pl"):
        changing.confirmed(plan, yes=True, typed="de")
    changing.confirmed(plan, yes=False, typed="pl")


# Going back.


def test_going_back_is_byte_for_byte_what_it_was(live: ConfigHouse) -> None:
    edited(live.session(), PL, 0.55)
    outcome = back(live.session())
    assert outcome.done
    assert live.text() == BODY
    assert live.published().version == 1  # the bytes are there already: no new version is made of them
    with pytest.raises(UsageError, match="a revert already"):
        back(live.session())


def test_going_back_leaves_later_changes_of_others(live: ConfigHouse) -> None:
    edited(live.session(), PL, 0.55)
    edited(live.session(TOMEK), EN, 0.40)
    assert back(live.session(), change=2).done
    assert live.text() == BODY.replace("0.50", "0.4")


def test_where_later_changes_overlap_it_refuses_and_names_them(live: ConfigHouse) -> None:
    edited(live.session(), PL, 0.55)
    edited(live.session(TOMEK), PL, 0.60)
    with pytest.raises(ChangedOutside, match="relevance · pl · threshold"):
        publishing.plan_config_revert(live.session(), DOC, change=2)
    assert live.live()["relevance"]["pl"]["threshold"] == 0.60


def test_to_an_earlier_release_it_goes_back_wholly(live: ConfigHouse) -> None:
    edited(live.session(), PL, 0.55)
    edited(live.session(), EN, 0.40)
    assert back(live.session(), to=1).done
    assert live.text() == BODY


def test_the_same_key_and_command_as_for_endpoints_goes_back(live: ConfigHouse) -> None:
    edited(live.session(), PL, 0.55)
    plan = planning.plan_revert(live.session(), TARGET)
    assert plan.command.startswith("mlconsole config revert models")
    assert changing.run(live.session(), plan).done
    assert live.text() == BODY


def test_the_first_version_has_nothing_to_go_back_to(live: ConfigHouse) -> None:
    with pytest.raises(UsageError, match="the first release of config models"):
        publishing.plan_config_revert(live.session(), DOC)


@pytest.mark.parametrize("seed", range(12))
def test_in_every_order_of_changes_and_reverts_what_others_changed_stays(tmp_path: Path, seed: int) -> None:
    """A model of three independent values beside the document: each is changed and taken back by its owner, in any order."""
    draw = random.Random(seed)
    house = config_house(tmp_path)
    first(house.session())
    now = {DE: 0.52, EN: 0.50, PL: 0.48}
    changes: dict[str, list[tuple[int, float]]] = {pointer: [] for pointer in now}
    for place in range(14):
        pointer = draw.choice(list(now))
        if changes[pointer] and draw.random() < 0.4:
            release, before = changes[pointer].pop()
            assert back(house.session(), change=release).done
            now[pointer] = before
        else:
            value = round(0.3 + place / 100, 2)
            assert edited(house.session(), pointer, value).done
            live = house.session().registry.live_release("staging", TARGET)
            assert live is not None
            changes[pointer].append((live.release.number, now[pointer]))
            now[pointer] = value
        there = house.live()["relevance"]
        assert {one: there[one.split("/")[2]]["threshold"] for one in now} == now


# What goes wrong.


def test_what_was_published_by_somebody_else_refuses_until_one_chooses(live: ConfigHouse) -> None:
    session = live.session()
    configuring.edit(session, DOC, {DE: 0.6})
    live.sim.world.publish_outside(DOC, BODY.replace("0.50", "0.51").encode())
    view = configuring.document(session, DOC)
    assert "changed outside" in view.outside
    with pytest.raises((ChangedOutside, Conflict)):
        publishing.plan_publish(session, DOC)


@pytest.mark.parametrize("kind", [FaultKind.THROTTLE, FaultKind.TIMEOUT_AFTER_EFFECT, FaultKind.CONFLICT])
def test_a_publication_ends_new_or_as_before_whatever_the_store_does(live: ConfigHouse, kind: FaultKind) -> None:
    session = live.session()
    configuring.edit(session, DOC, {PL: 0.55})
    plan = publishing.plan_publish(session, DOC)
    live.sim.world.inject(Fault(kind, on="config.start", times=1))
    outcome = changing.run(session, plan)
    wanted = BODY.replace("0.48", "0.55") if outcome.done else BODY
    assert live.text() == wanted
    operation = session.registry.operation(plan.id)
    assert operation is not None
    assert operation.state in (OperationState.DONE, OperationState.WENT_BACK)
    assert operation.state.terminal


def test_a_plan_that_others_overtook_is_not_run(live: ConfigHouse) -> None:
    session = live.session()
    configuring.edit(session, DOC, {PL: 0.55})
    plan = publishing.plan_publish(session, DOC)
    edited(live.session(TOMEK), EN, 0.40)
    with pytest.raises(PlanOutdated):
        changing.run(session, plan)
    assert live.text() != BODY.replace("0.48", "0.55")


def test_read_only_edits_and_publishes_nothing(live: ConfigHouse) -> None:
    session = live.session(read_only=True)
    with pytest.raises(NotAllowed, match="Read only"):
        configuring.edit(session, DOC, {PL: 0.55})
    assert configuring.document(session, DOC).version == 1


def test_a_document_that_is_not_there_is_named_with_the_nearest(house: ConfigHouse) -> None:
    with pytest.raises(UnknownName, match="models"):
        configuring.document(house.session(), "modles")


def test_moving_a_value_to_another_slice_leaves_the_first_as_it_was(live: ConfigHouse) -> None:
    session = live.session()
    configuring.edit(session, DOC, {PL: 0.58})
    view = configuring.move(session, DOC, PL, "de")
    assert view.draft is not None
    assert [(one.where, one.new) for one in view.draft.differences] == [("relevance · de · threshold", "0.58")]


def test_bytes_that_can_not_be_read_are_kept_as_a_draft_and_never_published(live: ConfigHouse) -> None:
    session = live.session()
    view = configuring.replace(session, DOC, b'{"relevance": {"de": NaN, "de": 1}')
    assert view.draft is not None
    assert any(one.severity == "stop" for one in view.draft.findings)
    with pytest.raises(NotAllowed):
        publishing.plan_publish(session, DOC, break_glass="never mind")
    assert live.text() == BODY
    assert configuring.text_of(session, DOC, "draft").startswith('{"relevance"')


def test_every_release_of_a_document_stands_in_its_history(live: ConfigHouse) -> None:
    edited(live.session(), PL, 0.55, "one")
    edited(live.session(), EN, 0.40, "two")
    back(live.session(), change=2)
    found = live.session().registry.releases("staging", TARGET)
    assert [(one.release.number, str(one.release.kind), one.standing) for one in found] == [
        (4, "revert", Standing.LIVE),
        (3, "publish", Standing.PAST),
        (2, "publish", Standing.PAST),
        (1, "publish", Standing.PAST),
    ]
    assert [row.name for row in live.session().registry.endpoints("staging")] == []
