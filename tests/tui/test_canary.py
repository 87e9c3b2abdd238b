"""Canary by keys: what a person sees after each of them. The backend is simulated; nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlconsole.engine import changing, planning
from mlconsole.plugin.simulator import Fault, FaultKind
from mlconsole.tui.plan_box import PlanBox
from tui.canary_kit import NAME, at_canary, canary, kept, live, quiet, row, show, staged, with_endpoint
from tui.kit import SIZES, House, Load, changed

# What is seen.


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_who_gets_what(house: House, size: tuple[int, int]) -> None:
    async with at_canary(house, size) as driver:
        await driver.sees("relevance · #2 · v4 beside v3", "u  to #1: v3 100 %", "failed 0 of 400")
        assert "90 %" in row(driver, "v3")
        assert "10 %" in row(driver, "v4")
        assert "as for all" in row(driver, "en")
        if size[0] >= 60:
            assert driver.has("DESIRED", "REPORTED", "OBSERVED", "[3 Canary]", "steps", "deploy #2", "what happened here")
            assert "█" in row(driver, "v3")
            assert "░" in row(driver, "v4")
        if size[0] >= 100:
            assert driver.has("way back", "┬", "┴")


@pytest.mark.parametrize("size", SIZES)
async def test_slide_plan_live_and_back(house: House, size: tuple[int, int]) -> None:
    """The story of the screen: an arrow stages, T plans, y does it, u and y take it back. Until y nothing has happened."""
    async with at_canary(house, size) as driver:
        await driver.sees("v4 beside v3")
        await driver.press("down", "shift+right", "shift+right", "shift+right")
        assert "10 → 13 %" in row(driver, "v4")
        assert "90 → 87 %" in row(driver, "v3")
        assert driver.message.startswith("Staged: v4 10 → 13 %.")
        await driver.press("right")
        assert "10 → 18 %" in row(driver, "v4")
        await driver.press("shift+left")
        assert "10 → 17 %" in row(driver, "v4")
        assert live(house) == {"v3": 9000, "v4": 1000}
        assert kept(house)[NAME]["split"] == {"v3": 8300, "v4": 1700}
        await driver.press("T")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        assert driver.has("then", "v3 83 · v4 17")
        assert "traffic set relevance v4=17" in driver.text or size[0] < 60
        assert live(house) == {"v3": 9000, "v4": 1000}
        await driver.press("y")
        await driver.sees("relevance · #3 · v4 beside v3")
        assert live(house) == {"v3": 8300, "v4": 1700}
        await driver.until(lambda: kept(house) == {}, "the draft is live, and no draft any more")
        assert "17 %" in row(driver, "v4")
        assert "→" not in row(driver, "v4")
        await driver.press("u")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the way back")
        await driver.press("y")
        await driver.sees("relevance · #4")
        assert live(house) == {"v3": 9000, "v4": 1000}


async def test_observed_walks_to_desired(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.sees("v4 beside v3")
        await driver.press("down", "e", "5", "0", "enter")
        assert "10 → 50 %" in row(driver, "v4")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "enter makes the plan when something is staged")
        await driver.press("y")
        await driver.sees("· #3 ·")
        await driver.look()
        assert "–" in row(driver, "v4"), "not observed yet: a dash, never 0"
        house.clock.advance(30)
        house.sim.world.serve(NAME, Load(500, seconds=20))
        await driver.until(lambda: "failed 0 of 500" in driver.text, "the requests")
        seen = float(row(driver, "v4").split("%")[-2])
        assert 40 < seen < 60


async def test_steps_and_history_of_the_last_change(house: House) -> None:
    async with at_canary(house, (120, 40)) as driver:
        await driver.sees("steps · deploy #2 · done", "ASKED FOR", "READ BACK", "TOOK", "start variant", "set traffic")
        line = driver.line("set traffic")
        assert "✔" in line
        assert line.count("v3 90 % v4 10 %") == 2, "asked, and read back"
        assert driver.has("deploy   v3 90 · v4 10", "✔ #2", "anna")


async def test_a_change_that_failed_says_why_and_shows_how_it_went_back(house: House) -> None:
    house.sim.world.inject(Fault(FaultKind.REFUSE, on="traffic.start", reason="no such route"))
    session = house.session()
    changing.run(session, planning.plan_traffic(session, NAME, {"v4": 5000}))
    session.registry.close()
    async with at_canary(house, (120, 40)) as driver:
        await driver.sees("steps · traffic #3 · went back", "✖", "no such route")
        assert driver.has("relevance · #2 · v4 beside v3", "✖ went back")


async def test_a_running_change_says_what_it_does_and_u_stops_it(house: House) -> None:
    """The backend's call hangs, so that the change stays under way until it is let go."""
    house.sim.world.inject(Fault(FaultKind.HANG, on="traffic.start"))
    async with at_canary(house) as driver:
        await driver.press("down", "shift+right", "T")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press("y")
        await driver.sees("under way", "#2 → #3", "u  stops the change")
        await driver.press("T")
        assert "relevance is changing" in driver.message
        await driver.press("shift+right")
        assert "relevance is changing" in driver.message
        assert staged(driver) == {"v3": 8900, "v4": 1100}, "it stays until it is live: a change that goes back loses nobody's draft"
        await driver.press("u")
        house.sim.world.release()
        await driver.sees("went back", "relevance · #2 · v4 beside v3")
        assert live(house) == {"v3": 9000, "v4": 1000}


@pytest.mark.parametrize("size", SIZES)
async def test_going_back_needs_nobody(house: House, size: tuple[int, int]) -> None:
    async with at_canary(house, size) as driver:
        await driver.sees("v4 beside v3")
        await quiet(driver)
        snapshot = driver.app.snapshot
        assert snapshot is not None
        going = replace(
            snapshot.changes[0], state="going back", ended=None, release=3, problem="errors in de 100 % on v4", back_to="v3 90 · v4 10"
        )
        show(driver, with_endpoint(replace(snapshot, changes=(going, *snapshot.changes)), going, operation=going))
        await driver.sees("GOING BACK, nothing for you to do", "errors in de 100 % on v4")
        assert driver.has("#3 → #2") or size[0] < 60
        assert driver.has("why") or size[0] < 60


async def test_slices_the_backend_cannot_split_are_not_shown(make_house: Any) -> None:
    house = make_house(slices=False, shadow=False)
    changed(house, (NAME, "deploy", "3"), (NAME, "deploy", "4", "1000"))
    async with at_canary(house) as driver:
        await driver.sees("v4 beside v3")
        assert [one.key for one in canary(driver).sliders.rows] == ["v3|", "v4|"]


async def test_what_does_not_change_is_not_drawn(house: House) -> None:
    async with at_canary(house) as driver:
        await driver.sees("steps · deploy #2 · done")
        await driver.look()
        await driver.pilot.pause()
        drawn: list[object] = []
        sliders = canary(driver).sliders
        refresh = sliders.refresh
        sliders.refresh = lambda *regions, **how: (drawn.append(regions), refresh(*regions, **how))[1]  # type: ignore[method-assign]
        await driver.look()
        assert drawn == []
        house.sim.world.serve(NAME, Load(100, seconds=5, seed=3))
        await driver.sees("of 500")
        assert drawn
        assert all(regions and regions[0].width < 100 for regions in drawn), "parts, never all of it"  # type: ignore[index]
