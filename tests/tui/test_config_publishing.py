"""Config, by key only: why, how, and the word for it; what is being published, its forecast, held and taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tui import config_kit as kit
from tui.config_kit import BOXES, faked, shown, told
from tui.kit import House, row


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> kit.Asked:
    """An engine that takes notes."""
    return faked(monkeypatch)


# Publishing.


async def test_p_asks_why_then_how_then_shows_the_plan(house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(house, kit.mistake()) as driver:
        begun: list[Any] = []
        monkeypatch.setattr(driver.app, "carry_out", lambda plan, typed: begun.append((plan.id, typed)))
        await driver.press("P")
        await driver.sees("publish config models", "Why?", "1 value changes for one language of relevance", "▲ the reason speaks of de")
        await driver.press("end")
        await driver.type(" in pl")
        await driver.press("enter")
        await driver.sees("publish config models how", "by careful", "1 → 10 → 50 → 100 % of clients", "all clients at once")
        assert asked.of("edit") == [("models", {}, {"edition": 3, "reason": "de misses too many in pl"})]
        await driver.press("down", "enter")
        await driver.sees("plan b21c · config models", "changes  relevance · pl · threshold  0.58 → 0.48   (−17 %)", "y do it")
        assert "Which language" not in driver.text  # only production asks
        await driver.press("y")
        await driver.until(lambda: bool(begun), "it is published")
        assert begun == [("b21c", None)]
        assert asked.of("plan_publish") == [("models", {"reason": "de misses too many"})]


async def test_by_stages_it_is_a_rollout(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake()) as driver:
        await driver.press("P", "enter")
        await driver.sees("publish config models how")
        await driver.press("enter")
        await driver.sees("rollout config models", "20 % → 40 % → 60 % → 80 % → 100 % → bake 30 min", "y start it")
        await driver.press("n")
        await told(driver, "Nothing has happened. mlconsole config publish models --policy careful begins it.")
        assert asked.of("begin") == []
        await driver.press("P", "enter")
        await driver.sees("publish config models how")
        await driver.press("enter")
        await driver.sees("y start it")
        await driver.press("y")
        await told(driver, "config models is being published. It goes on when you leave; u takes it back, p holds it.")
        assert len(asked.of("begin")) == 1


@pytest.mark.parametrize("how", ["stages", "once"])
async def test_production_asks_which_language_and_does_not_say_it_before(
    house: House, asked: kit.Asked, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.confirm = "pl"
    async with shown(house, kit.mistake(), size=(140, 40), production=True) as driver:
        begun: list[Any] = []
        monkeypatch.setattr(driver.app, "carry_out", lambda plan, typed: begun.append(typed))
        await driver.press("P", "enter")
        await driver.sees("publish config models how")
        await driver.press(*([] if how == "stages" else ["down"]), "enter")
        await driver.sees("1 value changes for one language of relevance. Which language do you mean?", "type the language")
        assert "type pl" not in driver.text.lower()
        assert "Type models" not in driver.text
        await driver.type("de")
        await driver.press("enter")
        await driver.sees("You typed de, this change is for pl. Nothing was published. m moves the value to de.")
        await driver.press("escape")
        await told(driver, "You typed de, this change is for pl. Nothing was published. m moves the value to de.")
        assert begun == []
        assert asked.of("begin") == []
        await driver.press("m")
        await driver.sees("move relevance · pl · threshold 0.48 to which language")
        assert "▸de" in driver.text  # the one that was meant comes first
        await driver.press("escape")
        await driver.press("P", "enter")
        await driver.sees("publish config models how")
        await driver.press(*([] if how == "stages" else ["down"]), "enter")
        await driver.sees("Which language do you mean?")
        await driver.type("xx")
        await driver.press("enter")
        await driver.sees("You typed xx, this change is for pl. Nothing was published.")
        assert "m moves the value to xx" not in driver.text
        await driver.press("backspace", "backspace")
        await driver.type("pl")
        await driver.press("enter")
        await driver.until(lambda: bool(begun or asked.of("begin")), "it is published")


async def test_a_change_of_several_languages_asks_for_the_documents_name(house: House, asked: kit.Asked) -> None:
    asked.confirm = "models"
    changed = kit.entries({"/relevance/pl": {"threshold": "0.58"}, "/relevance/de": {"threshold": "0.62"}}, pl="0.48", de="0.5")
    one = kit.mistake(entries=changed, draft=kit.draft(confirm="models", about="2 values change for pl, de"))
    async with shown(house, one, production=True) as driver:
        await driver.press("P", "enter")
        await driver.sees("publish config models how")
        await driver.press("down", "enter")
        await driver.sees("This changes staging. Type models to start it.", "type models")
        await driver.type("model")
        await driver.press("enter")
        await driver.sees('"model" is not models. Nothing has happened.')


async def test_a_reason_that_lint_stops_publishes_nothing(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(), production=True) as driver:
        await driver.press("P", *["backspace"] * 18, "enter")
        await driver.sees("In a few words, please.")
        asked.answer = kit.mistake(draft=kit.draft(findings=(kit.STOP,), edition=4, reason="x"))
        await driver.type("x")
        await driver.press("enter")
        await told(driver, "Lint stops this. Nothing was published.")
        assert "how" not in driver.lines[5]
        assert asked.of("plan_publish") == asked.of("plan_config_rollout") == []


async def test_a_first_version_goes_to_all_at_once(house: House, asked: kit.Asked) -> None:
    new = kit.document(
        version=None, latest=0, versions=(), way_back="", draft=kit.draft(base=None, differences=(), text=(), about="the first version")
    )
    async with shown(house, new) as driver:
        assert row(driver, "#attention").startswith("▲ your draft is not published: 2 findings")
        await driver.press("P", "enter")
        await driver.sees("plan b21c · config models")
        assert asked.of("plan_config_rollout") == []


# What is being published.


@pytest.mark.parametrize("size", BOXES)
async def test_what_is_being_published_stands_beside_its_forecast(house: House, asked: kit.Asked, size: tuple[int, int]) -> None:
    async with shown(house, kit.growing(), size=size, rollouts=[kit.rollout()]) as driver:
        await driver.sees("config 127 · relevance · de · threshold 0.62 → 0.58", "everything else in the file equals 126 (7 other entries)")
        assert "config 127 at 40 % of clients" in row(driver, "#world").replace("config models 127", "config 127")
        assert driver.has("20 % ✔ ─ 40 % ● ─ 60 % ─ 80 % ─ 100 % ─ bake 30 min", "not before 15:18", "DEPLOYING 40 % (deployment 66)")
        assert driver.has("clients poll every 45 s", "looked at again until it is proven", "first answer about 23:00", "1 of 3 169")
        assert driver.has(
            "to 126: about 70 s, only this", "guards do it alone on a FAIL", '14:08 published by anna, "de misses too many", plan b21c'
        )
        assert driver.has("? over threshold · de  hold: 300 more, about 8 h 53", "✔ same output 3 %")
        assert "p hold" in driver.keys
        assert "P publish" not in driver.keys
        assert driver.message == "You may leave: it goes on, and goes back by itself on a FAIL."
        await driver.press("enter")
        await driver.sees("config models · live 127", "THRESHOLD")
        assert "DEPLOYING" not in driver.text
        await driver.press("escape")
        await driver.sees("DEPLOYING")


async def test_on_a_phone_too(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.growing(), size=(48, 20), rollouts=[kit.rollout()]) as driver:
        await driver.sees(
            "config 127 · relevance · de", "live 126 → 127", "20 % ✔ ─ 40 % ●", "de  40 → 52 a day; so far 1 of 157", "u  to 126"
        )


async def test_p_holds_it_and_u_takes_it_back(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.growing(), rollouts=[kit.rollout()]) as driver:
        await driver.press("p")
        await told(driver, "config models is held at 40 %.")
        assert asked.of("control") == [("b21c", "pause", "", {})]
        await driver.press("u")
        await driver.sees(
            "go back · config models",
            "to 126: about 70 s, only this value",
            "ends the rollout; only what this version changed goes back",
            "y go back",
        )
        await driver.press("y")
        await told(driver, "config models goes back to 126")
        assert asked.of("control")[-1] == ("b21c", "revert", "", {})
        await driver.press("P")
        assert "config models 127 is at 40 % of clients. u takes it back, p holds it." in driver.app._said
    paused = kit.rollout("paused", controls=("resume", "next", "revert"), why="by anna")
    async with shown(house, kit.growing(), rollouts=[paused]) as driver:
        assert driver.has("PAUSED")
        await driver.press("p")
        await told(driver, "config models goes on from 40 %")
        await driver.press("N")
        await driver.sees("go on without waiting: config models", "Why?")


async def test_n_in_production_asks_for_the_documents_name(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.growing(), rollouts=[kit.rollout()], production=True) as driver:
        await driver.press("N")
        await driver.sees("Why?")
        await driver.type("night")
        await driver.press("enter")
        await driver.sees("Type models to do it.")


async def test_one_that_goes_back_leaves_nothing_to_do(house: House, asked: kit.Asked) -> None:
    going = kit.rollout("going back", controls=(), why="errors in de: 9 of 9 failed.")
    async with shown(house, kit.growing(), rollouts=[going]) as driver:
        assert driver.has("GOING BACK, nothing for you to do", "under way, by itself", "errors in de: 9 of 9 failed.")
        assert "← config models going back" in row(driver, "#world")
        await driver.press("u")
        assert driver.message == "u is off: 127 is going back already; it ends by itself."


async def test_a_forecast_that_is_over_says_how_it_ended(house: House, asked: kit.Asked) -> None:
    rows = (
        replace(kit.forecast().rows[0], verdict="broken", text="9 a day, not 52"),
        replace(kit.forecast().rows[1], verdict="proven", text="117 a day"),
    )
    one = kit.growing(before=None, share=10_000, publication="", moving=False, forecast=kit.forecast(rows=rows, over=True))
    async with shown(house, one, size=(140, 40)) as driver:
        assert driver.has("forecast of 127 · broken in 1", "✖ broken 9 a day, not 52", "✔ proven 117 a day")
        assert row(driver, "#attention").startswith("▲ config models 127 does not as forecast in relevance · de: 9 a day, not 52")
