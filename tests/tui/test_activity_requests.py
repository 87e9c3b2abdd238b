"""Requests for approval among the changes, by key only: who asked, who said what and when, what it waits for; reading it, a word to it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from mlconsole.core.approvals import Say
from mlconsole.engine import approving, changing, planning
from mlconsole.plugin.errors import ApprovalNeeded
from mlconsole.tui.dialogs import TextBox
from tui import kit
from tui.kit import ANNA, SIZES, TOMEK, House, changed, opened, took
from tui.test_activity import rows, style_of

RULE = "    approvals: {who: [anna, tomek], checklist: [read the 20 worst pairs]}\n"


@pytest.fixture
def house(make_house) -> House:  # type: ignore[no-untyped-def]
    """#1 v3 alone, #2 v4 beside it with 10 %; request 1 was done as #3, 2 was rejected, 3 lapsed, 4 waits for tomek."""
    house = make_house()
    changed(house, ("relevance", "deploy", "3"), ("relevance", "deploy", "4", "1000"))
    file = house.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  staging:\n", f"  staging:\n{RULE}", 1))
    ask(house, 2500, "fresher")
    say(house, 1, Say.APPROVE, "looks fine")
    changed(house, ("relevance", "shift", "v4=2500"))
    ask(house, 3000)
    say(house, 2, Say.REJECT, "pl is worse")
    ask(house, 3500)
    ask(house, 4000)
    return house


def ask(house: House, share: int, reason: str = "") -> None:
    house.clock.advance(60)
    session = house.session(ANNA)
    with suppress(ApprovalNeeded):
        changing.run(session, planning.plan_traffic(session, "relevance", {"v4": share}, reason=reason))
    session.registry.close()


def say(house: House, number: int, what: Say, text: str = "") -> None:
    house.clock.advance(60)
    session = house.session(TOMEK)
    approving.say(session, number, what, text)
    session.registry.close()


@pytest.mark.parametrize("size", SIZES)
async def test_they_stand_among_the_changes_in_order_of_time_at_every_size(house: House, size: tuple[int, int]) -> None:
    async with opened(house, size, screen="6") as driver:
        await driver.press("home")
        await driver.sees("request 4", "Needs 1 of anna, tomek")
        if size[0] >= 60:
            found = rows(driver)
            wanted = ("▲ waits", "▲ lapsed", "✖ rejected", "✔ #3", "✔ approved", "✔ #2", "✔ #1")
            assert len(found) == 7 or size[1] < 30
            assert [result for row, result in zip(found, wanted, strict=False) if not row.rstrip().endswith(result)] == []
            assert style_of(driver, 2, "rejected") == "red"
            assert style_of(driver, 3, "#3") == "green"
            await driver.sees("asks for it")
        await driver.press("down", "down")
        await driver.sees("rejects it", "pl is worse", "Nothing will come of it")
        await driver.press("up")
        await driver.sees("lapsed", "share of v4 changed")
        await driver.press("end", "up", "up")
        await driver.sees("fresher", "approves it", "looks fine", "used for")


async def test_each_says_who_said_what_and_when(house: House) -> None:
    async with opened(house, (120, 40), screen="6") as driver:
        await driver.press("end", "up", "up")
        await driver.sees("request 1 · relevance v3 90 · v4 10 → v3 75 · v4 25 in staging · plan ", "a colleague's word")
        lines = [line for line in driver.lines if "asks for it" in line or "approves it" in line]
        assert [word in line for line, word in zip(lines, ("anna", "tomek"), strict=True)] == [True, True]
        assert all(line.strip("│ ")[2] == ":" for line in lines), "each with its time"
        await driver.sees("share of v4: 25 %", "read the 20 worst pairs: open", "It was good for one change")
        await driver.press("u")
        assert driver.message == "u is off: a request changes nothing. u is on the row of the change that came of it."


async def test_enter_reads_it_and_a_colleague_says_a_word_there(house: House) -> None:
    async with opened(house, who=TOMEK, screen="6") as driver:
        await driver.press("home", "enter")
        await driver.sees("request 4 · relevance", "y approve  n reject", "Recorded, and enforced by this tool only")
        await driver.press("y")
        await driver.sees("request 4: approved")
        await driver.until(lambda: "✔ approved" in rows(driver)[0], "its row")
        await driver.sees("Good for one change:")


async def test_what_is_over_or_ones_own_is_read_and_no_more(house: House) -> None:
    async with opened(house, (120, 40), screen="6") as driver:
        await driver.press("home", "enter")
        await driver.sees("You wrote it, so you can't approve it")
        assert isinstance(driver.app.screen, TextBox)
        await driver.press("escape", "down", "enter")
        await driver.sees("request 3", "state", "lapsed", "Request 3 lapsed: share of v3 changed since (65 % → 60 %)")
        assert isinstance(driver.app.screen, TextBox)
        await driver.press("y", "escape")
        assert house.session().registry.approval(4).state == "waiting"  # type: ignore[union-attr]


async def test_its_report_its_raw_form_and_what_is_off(house: House) -> None:
    async with opened(house, (120, 40), screen="6") as driver:
        await driver.press("home", "down", "down", "y")
        copied = driver.app.clipboard
        assert copied.splitlines()[0].startswith("request 2 (staging): relevance v3 75 · v4 25 → v3 70 · v4 30 in staging   ✖ rejected")
        assert 'rejects it: "pl is worse"' in copied
        assert copied.splitlines()[-1] == "mlconsole approvals show 2 --md"
        await driver.press("v")
        await driver.sees('"number": 2', '"state": "rejected"')
        await driver.press("escape", "f")
        assert len(rows(driver)) == 3, "what waits, lapsed, or was rejected"
        await driver.press("escape", "/")
        await driver.type("rejected")
        assert len(rows(driver)) == 1


async def test_what_waits_needs_somebody_and_the_key_leads_there(house: House) -> None:
    async with opened(house, who=TOMEK) as driver:
        await driver.sees("▲ request 4 (relevance) waits for an approval, yours will do: v3 75 · v4 25")
        await driver.press("end", "!")
        await driver.sees("[6 Activity]", "request 4 · relevance")
        assert kit.row(driver, "#attention").endswith("A read it")
    async with opened(house, (48, 20)) as driver:
        await driver.sees("request 4 waits, not yours")


async def test_a_word_that_was_said_while_one_was_away_is_new_and_ones_own_is_not(house: House) -> None:
    for who in (ANNA, TOMEK):
        async with opened(house, who=who, screen="6") as driver:
            await driver.sees("changes", "newest first")
    house.clock.advance(3 * 86_400)
    say(house, 4, Say.APPROVE, "go")
    async with opened(house, screen="6") as driver:
        await driver.sees("while you were away", "1 unseen")
        await driver.press("home", "down")
        assert [row[:1] for row in rows(driver)[:2]] == ["*", "▸"]
    async with opened(house, who=TOMEK, screen="6") as driver:
        await driver.look()
        assert "while you were away" not in driver.text


async def test_a_request_is_kept_for_the_first_frame(house: House) -> None:
    took(house)
    kept = kit.snapshots.last(house.root / ".mlconsole", "staging")
    assert kept is not None
    assert kept.approvals == took(house).approvals
    assert [one.number for one in kept.approvals] == [4, 3, 2, 1]
