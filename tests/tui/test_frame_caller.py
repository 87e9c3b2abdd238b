"""Row 1 tells where one is, as whom, and until when; when those credentials end, the last state stays, dimmed and with its age."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mlconsole.tui import frame
from tui.kit import changed, house_with, main, opened, row, took


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((120, 40), "test · eu-central-1 …4711 · ops/anna until 10:0"),
        ((80, 24), "test · …4711 · ops until 10:0"),
    ],
)
async def test_row_one_says_as_whom_and_until_when(tmp_path: Path, size: tuple[int, int], told: str) -> None:
    house = house_with(tmp_path, caller="ops/anna", account="'123456784711'", region="eu-central-1")
    changed(house, ("relevance", "deploy", "3"))
    ends = house.clock.now() + timedelta(minutes=40)
    house.sim.world.credentials_end(ends)
    async with opened(house, size) as driver:
        wanted = told.replace("10:0", f"{ends.astimezone():%H:%M}")
        await driver.until(lambda: wanted in row(driver, "#where"), "as whom")
        assert "simulator" not in row(driver, "#where")


async def test_when_the_credentials_end_the_last_state_stays_dimmed(tmp_path: Path) -> None:
    house = house_with(tmp_path, caller="ops/anna", account="'123456784711'", region="eu-central-1")
    changed(house, ("relevance", "deploy", "3"))
    house.sim.world.credentials_end(house.clock.now() + timedelta(minutes=40))
    async with opened(house, (120, 40)) as driver:
        await driver.until(lambda: "ops/anna until" in row(driver, "#where"), "as whom")
        house.clock.advance(3600)
        await driver.until(lambda: "ops/anna ended" in row(driver, "#where"), "they are over")
        await driver.until(lambda: "OLD" in row(driver, "#world"), "the data's age")
        assert main(driver).dimmed
        assert driver.has("v3 100")
        house.sim.world.credentials_end(house.clock.now() + timedelta(hours=8))
        await driver.until(lambda: "ops/anna until" in row(driver, "#where"), "renewed ones are picked up")
        await driver.until(lambda: "data live" in row(driver, "#world"), "it is seen again")


def test_a_backend_that_says_nothing_of_that_is_named(tmp_path: Path) -> None:
    house = house_with(tmp_path)
    changed(house, ("relevance", "deploy", "3"))
    snapshot = took(house)
    assert snapshot.caller is None
    left, _ = frame.where(snapshot, "staging", False, "test", snapshot.status.at, 80)
    assert "test · simulator · anna" in "".join(text for text, _ in left)
