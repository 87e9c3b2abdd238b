"""What is said to a request for approval is told by the environment's channels: each thing once, all or nothing, and nobody is paged."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from engine.conftest import ANNA, TOMEK
from engine.health_kit import HealthHouse, health_house
from engine.kit import NAME, deploy
from engine.test_approving import OLA, refused
from mlconsole.core.approvals import Say
from mlconsole.core.models import Actor
from mlconsole.engine import approving, changing, planning
from mlconsole.engine.notifying import Postman
from mlconsole.plugin.errors import MLConsoleError, NotAllowed
from mlconsole.registry.database import Database

CHANNELS = (
    "    notify: {ops: {kind: told, file: ops.jsonl}, pager: {kind: told, file: pager.jsonl, only: [page]}, "
    "boss: {kind: told, file: boss.jsonl, after: 5}}\n"
)
RULE = "{who: [tomek, ola]}"
ENDPOINTS = "  relevance: {model: relevance}\n"


@pytest.fixture
def house(tmp_path: Path) -> HealthHouse:
    """v3 90 %, v4 10 %; every further change needs a word, and somebody hears of it."""
    made = health_house(tmp_path).write(CHANNELS, production=CHANNELS, endpoints=ENDPOINTS)
    assert deploy(made.session(), "4", 1000).done
    return ruled(made)


def ruled(house: HealthHouse, rule: str = RULE) -> HealthHouse:
    text = f"{CHANNELS}    approvals: {rule}"
    return house.write(text, production=text, endpoints=ENDPOINTS)


def ask(house: HealthHouse, share: int = 2500, who: Actor = ANNA, reason: str = "") -> int:
    session = house.session(who)
    return refused(session, planning.plan_traffic(session, NAME, {"v4": share}, reason=reason)).request


def told(house: HealthHouse) -> list[tuple[str, list[str]]]:
    """Deliver what waits; what was heard since the last time."""
    before = len(house.heard())
    Postman(house.session()).deliver()
    assert house.heard("pager") == house.heard("boss") == [], "none of it is a page"
    heard = house.heard()
    assert {one["severity"] for one in heard} <= {"info"}
    assert {one["alarm"] for one in heard} <= {None}
    assert len({one["key"] for one in heard}) == len(heard)
    return [(one["title"], one["lines"]) for one in heard[before:]]


def test_that_one_is_asked_for_is_told_once_in_the_words_of_the_refusal(house: HealthHouse) -> None:
    session = house.session()
    plan = planning.plan_traffic(session, NAME, {"v4": 2500}, reason="fresher\x1b")
    sentence = refused(session, plan).message
    [(title, lines)] = told(house)
    assert title == f"STAGING Waits for approval: request 1, plan {plan.id}, relevance v3 90 · v4 10 → v3 75 · v4 25 in staging"
    assert lines == [
        "Needs 1 of tomek, ola; not anna.",
        'asked by anna@bastion-1: "fresher\\x1b"',
        "Say: ssh bastion-1 mlconsole approvals approve 1 (or reject)",
        "Read: ssh bastion-1 mlconsole approvals show 1",
    ]
    assert sentence == f"{title.removeprefix('STAGING ')}. Needs 1 of tomek, ola; not you."
    refused(session, plan)
    assert ask(house) == 1
    assert told(house) == [], "asked again it is the same request"


def test_each_word_is_told_once(house: HealthHouse) -> None:
    ruled(house, "{who: [tomek, ola], needed: 2}")
    number = ask(house)
    told(house)
    for text in ("fine", "fine, really"):
        approving.say(house.session(TOMEK), number, Say.APPROVE, text)
    [(title, lines)] = told(house)
    assert title.startswith("STAGING request 1 approved by tomek ")
    assert title.endswith(": relevance v3 90 · v4 10 → v3 75 · v4 25 in staging")
    assert lines[:2] == ["fine", "Needs 1 more of tomek, ola; not anna."]
    approving.say(house.session(OLA), number, Say.APPROVE)
    [(title, lines)] = told(house)
    assert "approved by ola" in title
    assert "It can be done now: mlconsole traffic set relevance v4=25 --env staging" in lines[0]
    approving.say(house.session(TOMEK), number, Say.REJECT, "pl is worse\x1b")
    [(title, lines)] = told(house)
    assert "rejected by tomek" in title
    assert lines[:2] == ["pl is worse\\x1b", "Nothing will come of it."]


def test_that_one_lapses_is_told_with_what_takes_its_place(house: HealthHouse) -> None:
    ask(house, 2000)
    approving.say(house.session(TOMEK), 1, Say.APPROVE)
    told(house)
    assert ask(house, 3000) == 2
    [(lapsed, lines), (asked, _)] = told(house)
    assert lapsed.startswith("STAGING Approval by tomek (")
    assert lapsed.endswith("lapsed: share of v3 changed since (80 % → 70 %), share of v4 changed since (20 % → 30 %)")
    assert lines[0] == "relevance v3 90 · v4 10 → v3 80 · v4 20 in staging. It is asked again: request 2."
    assert "Waits for approval: request 2" in asked


def test_that_one_is_taken_back_is_told(house: HealthHouse) -> None:
    ask(house)
    told(house)
    approving.withdraw(house.session(), 1, "not today")
    [(title, lines)] = told(house)
    assert title.startswith("STAGING request 1 was withdrawn")
    assert lines[0] == "withdrawn by anna@bastion-1: not today."


def test_what_is_refused_is_told_to_nobody(house: HealthHouse) -> None:
    ask(house)
    told(house)
    for who, what in ((ANNA, Say.APPROVE), (Actor("jan", "x"), Say.REJECT)):
        with pytest.raises(NotAllowed):
            approving.say(house.session(who), 1, what, "no")
    with pytest.raises(NotAllowed):
        approving.withdraw(house.session(TOMEK), 1)
    assert told(house) == []


def test_it_is_told_where_it_was_asked_and_not_where_somebody_says_a_word(house: HealthHouse) -> None:
    ask(house)
    approving.say(house.session(TOMEK, "production"), 1, Say.APPROVE)
    registry = house.session().registry
    assert [row.dedupe for row in registry.notices("production")] == []
    assert [row.dedupe for row in registry.notices("staging")] == ["approval:1:approve:tomek", "approval:1:asked"]
    session = house.session(environment="production")
    refused(session, planning.plan_deploy(session, NAME, "3"))
    assert [row.notice.title.split(":")[0] for row in registry.notices("production")] == ["PROD Waits for approval"]


def test_done_and_going_back_tell_nothing_of_approvals(house: HealthHouse) -> None:
    ask(house)
    approving.say(house.session(TOMEK), 1, Say.APPROVE)
    told(house)
    session = house.session()
    assert changing.run(session, planning.plan_traffic(session, NAME, {"v4": 2500})).done
    assert changing.run(session, planning.plan_revert(session, NAME)).done
    assert told(house) == []


def test_the_word_and_its_notice_are_written_together_or_not_at_all(house: HealthHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is killed between the two would have said a word that nobody hears of."""
    ask(house)
    told(house)
    write = Database.write

    def dies(self: Database, work: object) -> object:
        def to_its_end(session: object) -> object:
            work(session)  # type: ignore[operator]
            raise MLConsoleError("the disk is full")

        return write(self, to_its_end)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(Database, "write", dies)
        with suppress(MLConsoleError):
            approving.say(house.session(TOMEK), 1, Say.APPROVE)
    assert approving.view(house.session(), 1).state == "waiting"
    assert told(house) == []
    approving.say(house.session(TOMEK), 1, Say.APPROVE)
    assert len(told(house)) == 1
