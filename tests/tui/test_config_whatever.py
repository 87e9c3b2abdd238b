"""Config, whatever comes: five hundred entries, foreign text, other signs, other sizes; and nothing drawn that did not change."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from mlconsole.engine import snapshots
from mlconsole.engine.documentviews import DocumentView
from tui import config_kit as kit
from tui.config_kit import ALL, NASTY, cell, faked, shown
from tui.kit import House, main, took


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> kit.Asked:
    """An engine that takes notes."""
    return faked(monkeypatch)


# Whatever comes.


@pytest.mark.parametrize("size", ALL)
async def test_five_hundred_entries(house: House, asked: kit.Asked, size: tuple[int, int]) -> None:
    many = tuple(
        replace(one, model=f"model-{place:03}", pointer=f"/model-{place:03}/{one.slice}")
        for place in range(123)
        for one in kit.entries()[:4]
    )
    async with shown(house, kit.mistake(entries=(*many, *kit.mistake().entries)), size=size) as driver:
        assert cell(driver)[0] == "/relevance/pl"
        if size[0] >= 60:
            assert "▸relevance" in driver.text
            await driver.press("home")
            assert "▸model-000" in driver.text
            assert "1 of them changed" in driver.text
            await driver.press("pagedown", "pagedown")
            assert "model-000" not in driver.text
        await driver.press("f")
        assert [each.key for each in main(driver).rows] == ["/relevance/pl"]


def _foreign() -> DocumentView:
    odd = kit.EntryView(
        NASTY, NASTY, NASTY * 4, NASTY, (NASTY, NASTY), NASTY, f"/{NASTY}", 1, {"threshold": NASTY * 2, "fields": NASTY, "share": ""}
    )
    change = kit.DifferenceView(NASTY, NASTY * 3, "type changed", NASTY, NASTY * 9, 1e300)
    findings = (
        kit.FindingView("stop", NASTY, NASTY * 9, NASTY * 9, 10**9),
        kit.FindingView("look", NASTY, NASTY, "", None),
        kit.FindingView("ok", NASTY, NASTY * 5),
    )
    text = tuple(kit.TextLineView(sign, f"\t{NASTY * 9}", 10**7, 10**7, NASTY * 4) for sign in "-+ …")
    drafted = kit.draft(who=NASTY, reason=NASTY * 5, differences=(change,) * 9, findings=findings, text=text, about=NASTY, confirm=NASTY)
    row = replace(kit.forecast().rows[0], model=NASTY, slice=NASTY, text=NASTY * 5, verdict=NASTY)
    return kit.growing(
        name="models",
        entries=(odd, *kit.entries()),
        draft=drafted,
        versions=(kit.version(127, who=NASTY, reason=NASTY * 5, touched=(NASTY,) * 9), kit.version(126, created=None)),
        publication=NASTY * 5,
        outside=NASTY * 5,
        way_back=NASTY * 5,
        policy=NASTY,
        slice_word=NASTY,
        forecast=kit.forecast(rows=(row, *kit.forecast().rows)),
    )


@pytest.mark.parametrize("size", [*ALL, (60, 20), (99, 24)])
async def test_foreign_text_breaks_no_frame(house: House, asked: kit.Asked, size: tuple[int, int]) -> None:
    flips = tuple(replace(each, request_id=NASTY, text=NASTY * 9, score=float("1e9")) for each in kit.what_if().rows[3].examples)
    touched = replace(
        kit.what_if().rows[3], model=NASTY, slice=NASTY, threshold=NASTY, note=NASTY * 9, examples=flips, before=0.0, then=1e12
    )
    asked.what_if = kit.what_if(rows=(touched, replace(touched, unknown=NASTY)), gaps=NASTY * 5)
    asked.differences = (replace(kit.PUBLISHED, where=NASTY * 4, old=NASTY, new=NASTY),)
    asked.text = asked.drafted = NASTY * 20
    running = kit.rollout(reason=NASTY, who=NASTY, why=NASTY * 4, variant=NASTY, stable=(NASTY,), way_back=NASTY, waits_for=(NASTY,))
    for rollouts in ([], [running]):
        async with shown(house, _foreign(), size=size, rollouts=rollouts) as driver:
            for key in ("enter", "tab", "enter", "tab", "enter", "c", "v", "x", "P", "m", "u", "y", "?"):
                await driver.press(key)
                await driver.pilot.pause()
                await driver.press("escape", "escape")
            assert "\x1b" not in driver.text


@pytest.mark.parametrize("size", ALL)
async def test_in_ascii_nothing_is_lost(house: House, asked: kit.Asked, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCONSOLE_ASCII", "1")
    for one, rollouts in ((kit.mistake(), []), (kit.growing(), [kit.rollout()]), (kit.document(), [])):
        async with shown(house, one, size=size, rollouts=rollouts) as driver:
            await driver.pilot.pause()
            assert driver.text.isascii(), [line for line in driver.lines if not line.isascii()]


async def test_another_size_is_another_layout(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(), size=(140, 40)) as driver:
        for size in ((48, 20), (100, 30), (60, 20), (80, 24), (48, 20), (140, 40)):
            await driver.pilot.resize_terminal(*size)
            await driver.pilot.pause()
            driver.checked()
            assert ("┌" in driver.text) is (size[0] >= 60), driver.text
            assert ("if you publish it" in driver.text) is (size[0] >= 100)


async def test_only_what_changed_is_drawn(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("× 4.4")
        refreshed: list[Any] = []
        for widget in driver.app.screen.query("*"):
            real = widget.refresh

            def refresh(*regions: Any, widget: Any = widget, real: Any = real, **given: Any) -> Any:
                refreshed.append((widget.id, regions))
                return real(*regions, **given)

            monkey: Any = widget
            monkey.refresh = refresh
        driver.app.render_all()
        assert refreshed == []
        snapshot = driver.app.snapshot
        assert snapshot is not None
        one = kit.mistake()
        entries = tuple(replace(each, share="90 %") if each.pointer == "/severity/de" else each for each in one.entries)
        driver.app.snapshot = replace(snapshot, documents=(replace(one, entries=entries),))
        driver.app.render_all()
        assert [name for name, _ in refreshed] == ["main"], refreshed
        assert refreshed[0][1][0].height == 1


async def test_the_last_state_is_kept_on_disk_with_its_documents(house: House) -> None:
    for one in (kit.mistake(), kit.growing(), kit.document()):
        snapshots.keep(house.root / ".mlconsole", kit.with_documents(took(house), one, rollouts=[kit.rollout()]))
        kept = snapshots.last(house.root / ".mlconsole", "staging")
        assert kept is not None
        assert kept.documents == (one,)


async def test_the_palette_knows_the_keys_of_this_screen(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(), size=(140, 40)) as driver:
        await driver.press(":")
        await driver.type("whole file")
        await driver.sees("v  the whole file, with its line numbers")
        await driver.press("enter")
        await driver.sees("config models · draft", '"relevance": {')
        await driver.press("escape", "?")
        await driver.sees("help · Config", "all of it in your editor ($EDITOR), as a draft")
        await driver.press("escape", "2", "e")
        assert "e (exact share) does nothing on this screen" in driver.message


async def test_nobody_waits_for_what_if(house: House, asked: kit.Asked) -> None:
    decided = threading.Event()

    def slowly() -> Any:
        assert decided.wait(20)
        return kit.what_if()

    asked.what_if = slowly
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("deciding what was predicted again …")
        await driver.press("down", "up", "left")
        assert cell(driver) == ("/relevance/pl", "fields")
        decided.set()
        await driver.sees("× 4.4")
