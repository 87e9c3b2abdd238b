"""The plan box, the same for every change: nothing has happened yet, Cancel has the focus, in production the name is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlconsole.engine import planning
from mlconsole.tui.frame import Bar
from mlconsole.tui.plan_box import PlanBox
from tui.kit import SIZES, Driver, House, changed, opened


@pytest.fixture
def production(make_house) -> House:  # type: ignore[no-untyped-def]
    """`relevance` in production: #1 v3 alone, #2 v4 beside it with 10 %."""
    house = make_house()
    changed(house, ("relevance", "deploy", "3"), ("relevance", "deploy", "4", "1000"), environment="production")
    return house


def answers(driver: Driver) -> str:
    """The line with the two ways out."""
    return driver.app.screen.query_one("#answers", Bar).text


def style_of(driver: Driver, word: str) -> str:
    return next(words for text, words in driver.app.screen.query_one("#answers", Bar)._left if word in text)


def shift(driver: Driver) -> None:
    """Have a plan that goes forward made and shown."""
    driver.app.plan("planning", lambda session: planning.plan_traffic(session, "relevance", {"v4": 2500}))


def releases(driver: Driver) -> int:
    assert driver.app.snapshot is not None
    return len(driver.app.snapshot.releases)


@pytest.mark.parametrize("size", SIZES)
async def test_it_tells_all_of_it_with_its_answers_in_sight_at_every_size(production: House, size: tuple[int, int]) -> None:
    async with opened(production, size, environment="production") as driver:
        shift(driver)
        await driver.sees("nothing has happened yet" if size[0] >= 60 else "nothing done yet", "Cancel", "Start", "type relevance")
        for word in ("now", "then", "path", "takes", "back"):
            assert driver.has(word)
        box = driver.app.screen
        assert isinstance(box, PlanBox)
        bottom = box.query_one("#answers", Bar).region
        assert bottom.bottom <= size[1]
        assert "Cancel" in answers(driver)
        assert style_of(driver, "Cancel") == "reverse"
        assert style_of(driver, "Start") == "dim"
        # All of it can be read, however low the screen is.
        await driver.press(*["down"] * 30)
        await driver.sees("Type relevance")
        await driver.sees("start it.")
        await driver.press("escape")
        await driver.until(lambda: not isinstance(driver.app.screen, PlanBox), "the box is gone")
        assert releases(driver) == 2


async def test_in_production_only_the_right_name_starts_it(production: House) -> None:
    async with opened(production, environment="production") as driver:
        shift(driver)
        await driver.sees("This changes production. Type relevance to start it.")
        await driver.press("enter")
        assert isinstance(driver.app.screen, PlanBox)  # enter alone: nothing
        await driver.type("relevence")
        await driver.press("enter")
        await driver.sees('"relevence" is not relevance. Nothing has happened.')
        await driver.press("tab", "shift+tab")
        assert style_of(driver, "Cancel") == "reverse"
        await driver.press("tab")
        assert "reverse" in style_of(driver, "Start")
        await driver.press(*["backspace"] * 9)
        await driver.type("relevance")
        assert style_of(driver, "Start") == "reverse"
        assert releases(driver) == 2
        await driver.press("enter")
        await driver.until(lambda: releases(driver) == 3, "it was carried out")
        await driver.until(lambda: "✔" in driver.message, "it is said")


async def test_y_does_not_start_what_wants_a_name(production: House) -> None:
    async with opened(production, environment="production") as driver:
        shift(driver)
        await driver.sees("Type relevance to start it.")
        await driver.press("y", "enter")
        await driver.sees('"y" is not relevance. Nothing has happened.')
        await driver.press("escape")
        assert driver.message.startswith("Nothing has happened. The plan is kept: mlconsole apply ")


async def test_going_back_takes_one_letter_even_in_production(production: House) -> None:
    async with opened(production, (48, 20), environment="production") as driver:
        await driver.press("u")
        await driver.sees("y go back", "then", "equals #1")
        await driver.press("y")
        await driver.until(lambda: releases(driver) == 3, "it went back")


@pytest.mark.parametrize("key", ["escape", "n", "q", "space", "x", "Y"])
async def test_anything_else_cancels(house: House, key: str) -> None:
    async with opened(house) as driver:
        await driver.press("u")
        await driver.sees("y go back · anything else: cancel")
        await driver.press(key)
        await driver.until(lambda: not isinstance(driver.app.screen, PlanBox), "the box is gone")
        assert "Nothing has happened. The plan is kept: mlconsole apply" in driver.message
        assert releases(driver) == 2
        assert driver.app.is_running


async def test_enter_on_cancel_cancels_and_on_start_starts(house: House) -> None:
    async with opened(house) as driver:
        await driver.press("u")
        await driver.sees("[ Cancel ]")
        await driver.press("enter")
        await driver.until(lambda: "Nothing has happened" in driver.message, "cancelled")
        await driver.press("u")
        await driver.sees("[ Cancel ]")
        await driver.press("right", "left", "right", "enter")
        await driver.until(lambda: releases(driver) == 3, "started")


async def test_the_command_that_does_the_same_can_be_copied(house: House) -> None:
    async with opened(house) as driver:
        await driver.press("u")
        await driver.sees("same as  mlconsole revert relevance --to 1 --env staging")
        await driver.press("c")
        await driver.sees("copied: the command that applies this plan")
        assert driver.app.clipboard.startswith("mlconsole apply ")
        assert driver.app.clipboard.endswith(" --env staging")
        await driver.press("escape")


async def test_an_outdated_plan_is_refused_and_nothing_happens(house: House) -> None:
    async with opened(house) as driver:
        await driver.press("u")
        await driver.sees("nothing has happened yet")
        changed(house, ("relevance", "shift", "v4=5000"))
        await driver.press("y")
        await driver.until(lambda: "✖" in driver.message, "refused")
        await driver.until(lambda: releases(driver) == 3, "only the other one's change")


async def test_a_plan_that_can_not_be_made_says_why(house: House) -> None:
    async with opened(house) as driver:
        driver.app.plan("planning", lambda session: planning.plan_traffic(session, "relevance", {"v9": 2500}))
        await driver.until(lambda: "v9" in driver.message, "why not")
        driver.app.plan("planning", lambda session: planning.plan_traffic(session, "relevance", {"v4": 1000}))
        await driver.until(lambda: driver.message.startswith("Nothing to do: relevance already is #2"), "nothing to do")
        assert not isinstance(driver.app.screen, PlanBox)


async def test_a_box_stays_laid_out_when_the_terminal_changes_its_size(house: House, tmp_path: Path) -> None:
    async with opened(house, (120, 40)) as driver:
        await driver.press("u")
        await driver.sees("nothing has happened yet")
        for size in ((48, 20), (100, 30), (60, 10), (80, 24)):
            await driver.pilot.resize_terminal(*size)
            await driver.pilot.pause()
            await driver.sees("Cancel", "then")
            driver.checked()
        await driver.press("escape")
