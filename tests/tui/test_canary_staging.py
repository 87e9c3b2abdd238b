"""Staging on Canary by keys (and once by the mouse): shares, slices, copies, drafts, and why something is off."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from mlconsole.core.traffic import WHOLE, Shadow
from mlconsole.tui.plan_box import PlanBox
from mlconsole.tui.slider import BAR, Sliders
from mlconsole.tui.staging import Exact
from tui.canary_kit import NAME, at_canary, canary, kept, live, quiet, row, show, staged, with_endpoint
from tui.kit import House, Load, changed, took

# Staging.


async def test_a_digit_begins_an_exact_share(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "7")
        assert isinstance(driver.app.screen, Exact)
        assert driver.has("exact share of v4", "10 % live")
        await driver.type("2.25")
        await driver.press("enter")
        assert "10 → 72.25 %" in row(driver, "v4")
        assert "90 → 27.75 %" in row(driver, "v3")
        await driver.press("0", "enter")
        assert "10 → 0 %" in row(driver, "v4")
        await driver.press("8", "escape")
        assert "10 → 0 %" in row(driver, "v4")


@pytest.mark.parametrize("wrong", ["101", "-1", "1.234", "x", "", "1e1"])
async def test_what_is_no_share_stays_in_the_dialog_and_says_so(house: House, wrong: str) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "e", "backspace")
        await driver.type(wrong)
        await driver.press("enter")
        assert driver.has("exact share of v4")
        assert driver.has("is not a share") or driver.has("more than all")
        await driver.press("escape")
        assert staged(driver) is None


async def test_moved_back_to_live_nothing_is_staged(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right", "shift+left")
        assert driver.message == "Nothing is staged: this is what is live."
        assert staged(driver) is None
        await driver.press("T")
        assert driver.message.startswith("T is off: nothing is staged.")


async def test_a_slider_stops_at_its_ends(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "e", "4", "enter", *["left"] * 3)  # 1 to 6 are the screens
        assert staged(driver) == {"v3": WHOLE, "v4": 0}
        await driver.press("up", "e", "9", "8", "enter", *["shift+right"] * 4)
        assert staged(driver) == {"v3": WHOLE, "v4": 0}


async def test_a_slice_of_its_own_all_in_one_plan_and_away_again(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right", "down", "down")
        assert canary(driver).sliders.cursor.key == "v4|language=de"  # type: ignore[union-attr]
        await driver.press("backspace")
        assert driver.message == "de is served as all are already."
        await driver.press("e", "4", "0", "enter")
        assert "10 → 40 %" in row(driver, "de")
        assert "as for all" in row(driver, "en")
        assert driver.has("v4 10 → 11 %", "de v4 10 → 40 %")
        await driver.press("T")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        assert driver.has("v3 89 · v4 11 · de: v3 60 · v4 40", "same as", "mlconsole apply ")
        await driver.press("y")
        await driver.sees("· #3 ·")
        traffic = house.sim.world.live(NAME).traffic
        assert traffic is not None
        assert traffic.slice_split("language", "de") == {"v3": 6000, "v4": 4000}
        assert row(driver, "de").count("40 %") == 2, "desired, and reported"
        await driver.press("delete")
        assert "→ as for all" in row(driver, "de")
        await driver.press("T")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        assert driver.has("traffic clear relevance --slice language=de")
        await driver.press("y")
        await driver.sees("· #4 ·", "✔ relevance is #4")
        assert "as for all" in row(driver, "de")
        await driver.press("up", "up", "backspace")
        assert driver.message.startswith("Only a slice can lose a split of its own")


async def test_the_observed_share_of_a_slice(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.sees("failed 0 of 400")
        seen = took(house).endpoint(NAME)
        assert seen is not None
        counts = seen.seen_by_slice["language=de"]
        assert f"{100 * counts['v4'] / sum(counts.values()):.1f} %" in row(driver, "de")


async def test_copies_for_a_shadow(house: House) -> None:
    changed(house, (NAME, "deploy", "5"))
    async with at_canary(house, (120, 40)) as driver:
        await driver.sees("v5", "copies")
        await driver.press("end", "shift+right")
        assert driver.message == "Nobody gets copies. e names who shall, like v5=20."
        await driver.press("e")
        await driver.type("v4=20")
        await driver.press("enter")
        assert driver.has("v4 answers requests already")
        await driver.press("escape", "e")
        await driver.type("v5=20")
        await driver.press("enter")
        assert "off → 20 %" in row(driver, "copies v5")
        await driver.press("shift+right")
        assert "off → 21 %" in row(driver, "copies v5")
        await driver.press("T")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        assert driver.has("shadow v5 21 %", "traffic set relevance --shadow v5=21")
        await driver.press("y")
        await driver.sees("· #4 ·")
        traffic = house.sim.world.live(NAME).traffic
        assert traffic is not None
        assert traffic.shadow == Shadow("v5", 2100)
        house.clock.advance(30)
        house.sim.world.serve(NAME, Load(400, seconds=20))
        await driver.until(lambda: "none" not in row(driver, "copies v5"), "copies observed")
        for _ in range(20):
            if canary(driver).sliders.cursor.key == "v5|":  # type: ignore[union-attr]
                break
            await driver.press("up")
        await driver.press("shift+right")
        assert "v5 is no shadow any more" in driver.message
        assert "21 % → off" in row(driver, "copies v5")


async def test_only_one_language(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("/")
        await driver.type("@de")
        await driver.press("enter")
        assert [one.key for one in canary(driver).sliders.rows] == ["v3|", "v4|", "v4|language=de", "|copies"]
        await driver.press("down", "shift+right", "escape")
        assert len(canary(driver).sliders.rows) == 6
        assert staged(driver), "esc first leaves the filter"
        await driver.press("escape")
        assert staged(driver) is None


async def test_the_mouse_takes_hold_of_a_bar(house: House) -> None:
    async with at_canary(house, (120, 40)) as driver:
        await driver.sees("v4 beside v3")
        sliders = canary(driver).sliders
        left, width = sliders._bar_left, sliders._widths[BAR]
        await driver.pilot.click(Sliders, offset=(left + width - 1, 3))
        assert staged(driver) == {"v3": 0, "v4": WHOLE}
        assert sliders.cursor is not None
        assert sliders.cursor.key == "v4|"
        assert not isinstance(driver.app.screen, Exact), "the end of a drag is no click on the row"
        await driver.pilot.mouse_down(Sliders, offset=(left, 3))
        await driver.pilot.hover(Sliders, offset=(left + (width - 1) // 2, 3))
        await driver.pilot.mouse_up(Sliders, offset=(left + (width - 1) // 2, 3))
        await driver.pilot.pause()
        share = staged(driver)
        assert share is not None
        assert 4500 <= share["v4"] <= 5500
        assert share["v4"] % 100 == 0
        await driver.pilot.click(Sliders, offset=(5, 2))
        assert sliders.cursor.key == "v3|"


# Drafts.


async def test_a_draft_is_found_again(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right", "shift+right", "2", "3")
        assert "10 → 12 %" in row(driver, "v4"), "after looking at another screen"
    async with at_canary(house) as driver:
        await driver.sees("10 → 12 %")
        await driver.press("escape")
        assert "→" not in row(driver, "v4")
        assert driver.message == "The draft for relevance is dropped. Nothing had happened."
    assert kept(house) == {}


async def test_a_draft_on_another_release_has_to_be_touched_again(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "8", "0", "enter")
    changed(house, (NAME, "shift", "v4=2000"))
    async with at_canary(house) as driver:
        await driver.sees("20 → 80 %", "made on #2, live is #3")
        await driver.press("T")
        assert driver.message.startswith("T is off: the draft was made on #2, live is #3.")
        await driver.press("down", "shift+left")
        assert "20 → 79 %" in row(driver, "v4")
        await driver.press("T")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press("y")
        await driver.sees("· #4 ·")
        assert live(house) == {"v3": 2100, "v4": 7900}


async def test_a_draft_that_was_overtaken_between_two_looks_makes_no_plan(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right")
        await quiet(driver)
        changed(house, (NAME, "shift", "v4=2000"))
        await driver.press("T")
        await driver.until(lambda: "staged on #2" in driver.message, "the refusal")
        assert "live is #3" in driver.message
        assert live(house) == {"v3": 8000, "v4": 2000}


async def test_a_draft_of_variants_that_are_gone_shows_what_is_live(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right")
    changed(house, (NAME, "deploy", "5"))
    async with at_canary(house) as driver:
        await driver.sees("made on #2, live is #3")
        assert "→" not in row(driver, "v4")
        await driver.press("down", "shift+right")
        assert staged(driver) == {"v3": 8900, "v4": 1100, "v5": 0}


async def test_read_only_drafts_are_not_kept_and_make_no_plan(house: House) -> None:
    async with at_canary(house, read_only=True) as driver:
        await driver.press("down", "shift+right")
        assert "10 → 11 %" in row(driver, "v4")
        await driver.press("T")
        assert driver.message == "T is off: read only. Nothing was changed."
    assert kept(house) == {}


# What is off, and the rest of the keys.


async def test_one_variant_alone_cannot_be_moved(make_house: Any) -> None:
    house = make_house()
    changed(house, (NAME, "deploy", "3"))
    async with at_canary(house) as driver:
        await driver.sees("v3 alone")
        for key in ("shift+right", "shift+left", "e", "7", "right", "enter"):
            await driver.press(key)
            assert driver.message == "v3 is the only variant of relevance and answers all. D deploys another one beside it."
        await driver.press("D")
        await driver.sees("deploy which version behind relevance")


async def test_no_endpoint_at_all(make_house: Any) -> None:
    async with at_canary(make_house()) as driver:
        await driver.sees("No endpoint yet.")
        for key in ("shift+right", "T", "u", "7", "backspace"):
            await driver.press(key)
            assert driver.message == "There is no endpoint yet. 1 shows versions, D deploys one."
        await driver.press("n")
        assert driver.message == "There is no endpoint yet."


async def test_changed_outside(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right")
        await quiet(driver)
        assert driver.app.snapshot is not None
        outside = with_endpoint(driver.app.snapshot, finding="changed outside mlconsole (v4 has 30 %, not 10 %)")
        reported = tuple(replace(one, reported=3000 if one.name == "v4" else 7000) for one in outside.status.endpoints[0].variants)
        show(driver, with_endpoint(outside, variants=reported))
        await driver.sees("30 %", "changed outside mlconsole (v4 has 30 %")
        await driver.press("T")
        assert "was changed outside mlconsole. u puts ours back" in driver.message
        show(driver, with_endpoint(outside, release=None, variants=tuple(replace(one, desired=None) for one in reported)))
        await driver.sees("not adopted")
        for key in ("T", "shift+right", "u"):
            await driver.press(key)
            assert "did not make relevance" in driver.message


async def test_from_one_endpoint_to_the_next(make_house: Any) -> None:
    house = make_house("relevance", "severity")
    changed(house, ("relevance", "deploy", "3"), ("relevance", "deploy", "4", "1000"), ("severity", "deploy", "4"))
    async with at_canary(house) as driver:
        await driver.sees("relevance · #2", "steps · deploy #2")
        await driver.press("down", "shift+right", "n")
        await driver.sees("severity · #1 · v4 alone", "steps · deploy #1")
        assert "→" not in row(driver, "v4")
        await driver.press("n")
        await driver.sees("relevance · #2", "10 → 11 %")
        await driver.press("2")
        assert driver.app.subject == "relevance"


async def test_looking_keys(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.sees("v4 beside v3")
        await driver.press("y")
        assert driver.app.clipboard == "mlconsole endpoints show relevance --env staging"
        await driver.press("down", "shift+right", "y")
        assert driver.app.clipboard == "mlconsole traffic set relevance v4=11 --env staging"
        await driver.press("v")
        await driver.sees('"name": "relevance"')
        await driver.press("escape", "l")
        await driver.sees("log of relevance v4")
        await driver.press("escape", "x")
        await driver.sees("exact share", "go back: a plan")
        await driver.press("escape", "question_mark")
        await driver.sees("What each variant gets.")
        await driver.press("escape", "i")
        await driver.sees("ask relevance")
        await driver.press("escape")
        assert staged(driver) == {"v3": 8900, "v4": 1100}


async def test_blind_shows_the_last_state_and_lets_nothing_go_forward(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right")
        await quiet(driver)
        assert driver.app.snapshot is not None
        show(driver, replace(driver.app.snapshot, blind="credentials ran out at 07:58", blind_next="Log in again."))
        await driver.sees("off: credentials ran out")
        assert "10 → 11 %" in row(driver, "v4")
        await driver.press("T")
        assert driver.message.startswith("T is off: credentials ran out")


@pytest.mark.parametrize(("size", "seed"), [((100, 30), 1), ((100, 30), 2), ((48, 20), 3)])
async def test_whatever_is_pressed_staged_splits_stay_whole(house: House, size: tuple[int, int], seed: int) -> None:
    """Keys at random; each draft is whole and in range, in memory and in the file."""
    changed(house, (NAME, "deploy", "5"))
    chance = random.Random(seed)
    keys = ["shift+left", "shift+right", "left", "right", "up", "down", "backspace", "0", "8", "7", "9", "e", "enter", "escape", "T", "n"]
    weights = [4, 4, 4, 4, 3, 5, 2, 1, 1, 1, 1, 2, 3, 2, 1, 1]
    async with at_canary(house, size) as driver:
        await driver.sees("v3", "v5")
        for key in chance.choices(keys, weights, k=45):
            await driver.press(key)
            draft = canary(driver)._drafts.get("staging", NAME)
            if draft is None:
                continue
            for split in (draft.traffic.split, *(entry.split for entry in draft.traffic.by_slice)):
                assert sum(split.values()) == WHOLE
                assert all(0 <= share <= WHOLE for share in split.values())
        for one in kept(house).values():
            assert sum(one["split"].values()) == WHOLE
    assert sum(live(house).values()) == WHOLE
