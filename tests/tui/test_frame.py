"""The frame around every screen, by key only: what a person reads in the four rows above and the two below, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import Input

from mlconsole.core.errors import InvalidFile
from mlconsole.plugin.simulator import Fault, FaultKind
from mlconsole.tui import frame, start
from mlconsole.tui.actions import load_actions, our_actions
from mlconsole.tui.frame import Bar
from mlconsole.tui.signs import ASCII, UNICODE, signs_for
from tui.kit import SIZES, House, Load, changed, main, opened, over, row, took


def counts(text: str) -> int:
    """The five figures of row 2, added up."""
    return sum(int(part[1:]) for part in text.partition("│")[0].split() if part[1:].isdigit())


@pytest.mark.parametrize("size", SIZES)
async def test_the_counts_add_up_to_all_endpoints_at_every_size(busy: House, size: tuple[int, int]) -> None:
    async with opened(busy, size) as driver:
        await driver.until(lambda: "✖1" in row(driver, "#world"), "all of it is seen")
        assert counts(row(driver, "#world")) == 6
        assert driver.app.snapshot is not None
        assert len(driver.app.snapshot.status.endpoints) == 6
        if size[0] >= 60:
            assert row(driver, "#world").startswith("✔2 ~0 ▲2 ✖1 ?1")
            assert "no change" in row(driver, "#world")
        await driver.sees("STAGING", "data live")


async def test_what_needs_you_is_the_worst_and_the_next_and_the_next(busy: House) -> None:
    async with opened(busy) as driver:
        await driver.until(lambda: "✖1" in row(driver, "#world"), "all of it is seen")
        assert row(driver, "#attention").startswith("✖ dedupe: v3 serves and is failed (out of memory)")
        assert row(driver, "#attention").endswith("+3 ! go there")
        assert over(driver, "#attention") == "reverse red"
        seen = []
        for _ in range(5):
            await driver.press("!")
            seen.append((driver.app.subject, driver.line("[").strip().partition("[")[2].partition("]")[0]))
        assert seen[0] == ("dedupe", "2 Endpoints")
        assert ("category", "6 Activity") in seen
        assert {name for name, _ in seen} == {"dedupe", "category", "entity", "sentiment"}
        assert seen[4] == seen[0]
        assert "out of memory" in driver.message


async def test_when_nothing_needs_you_it_says_so(house: House) -> None:
    async with opened(house) as driver:
        assert row(driver, "#attention") == "✔ nothing needs you"
        await driver.press("!")
        assert driver.message == "Nothing needs you."


async def test_production_says_so_in_red_and_staging_does_not(house: House) -> None:
    changed(house, ("relevance", "deploy", "3"), environment="production")
    async with opened(house, environment="production") as driver:
        bar = driver.app.query_one("#where", Bar)
        assert ("  PRODUCTION ".strip(), "bold white on red") in [(text.strip(), words) for text, words in bar._left]
        assert "READ ONLY" not in bar.text
    async with opened(house) as driver:
        bar = driver.app.query_one("#where", Bar)
        assert bar.text.startswith("STAGING")
        assert "red" not in " ".join(words for _, words in bar._left)


async def test_read_only_has_a_badge_and_each_key_says_why_it_is_off(house: House) -> None:
    took(house)
    before = house.sim.world.started()
    async with opened(house, read_only=True) as driver:
        await driver.sees("READ ONLY")
        for key in ("u", "D", "T", "K", "X"):
            await driver.press(key)
            assert driver.message == f"{key} is off: read only. Nothing was changed."
        for key in ("6", "3", "1"):
            await driver.press(key)
            await driver.press("u" if key != "1" else "D")
            assert "is off: read only" in driver.message
            await driver.sees("READ ONLY")
    assert house.sim.world.started() == before


@pytest.mark.parametrize("key", ["W", "7", "z", "f5"])
async def test_a_key_that_means_nothing_does_nothing(house: House, key: str) -> None:
    async with opened(house) as driver:
        before = driver.text
        await driver.press(key)
        assert driver.text == before
        assert driver.app.is_running


async def test_a_key_of_another_screen_says_that_it_does_nothing_here(house: House) -> None:
    async with opened(house, screen="6") as driver:
        for key, label in (("D", "deploy"), ("e", "exact share"), ("i", "invoke")):
            await driver.press(key)
            assert driver.message == f"{key} ({label}) does nothing on this screen. ? tells what the keys do here."


async def test_screens_and_the_one_before(house: House) -> None:
    async with opened(house) as driver:
        for key, label in (("1", "1 Models"), ("3", "3 Canary"), ("6", "6 Activity"), ("2", "2 Endpoints")):
            await driver.press(key)
            assert f"[{label}]" in row(driver, "#screens")
        await driver.press("6", "-")
        assert "[2 Endpoints]" in row(driver, "#screens")
        await driver.press("-")
        assert "[6 Activity]" in row(driver, "#screens")


async def test_every_screen_at_every_size_keeps_the_frame_in_its_place(busy: House) -> None:
    for size in SIZES:
        async with opened(busy, size) as driver:
            for key in ("2", "6", "3", "1"):
                await driver.press(key, "down", "down", "up", "tab", "down", "shift+tab", "end", "home")
                assert "STAGING" in driver.lines[0]
                assert "✔" in driver.lines[1] or "✖" in driver.lines[1]
                assert driver.keys in driver.lines[-1].strip()
                assert "?" in driver.keys or size[0] < 60
            for other in ((60, 20), (48, 20), (120, 40), (80, 24)):
                await driver.pilot.resize_terminal(*other)
                await driver.pilot.pause()
                driver.checked()


async def test_filter_by_words_and_by_language(busy: House) -> None:
    async with opened(busy) as driver:
        await driver.until(lambda: len(main(driver).rows) == 6, "all of them")
        await driver.press("/")
        await driver.type("sev")
        assert [one.key for one in main(driver).rows] == ["severity"]
        assert "1 of 6" in row(driver, "#screens")
        await driver.press("enter")
        assert not isinstance(driver.app.focused, Input)
        assert [one.key for one in main(driver).rows] == ["severity"]
        await driver.press("/")
        await driver.press(*["backspace"] * 3)
        await driver.type("@de v4")
        assert driver.app.language == "de"
        assert "@de" in row(driver, "#screens")
        await driver.press("escape")
        assert driver.app.language == ""
        assert len(main(driver).rows) == 6
        await driver.press("/")
        await driver.type("nothing like it")
        await driver.sees("nothing fits")
        await driver.press("enter", "escape")
        assert len(main(driver).rows) == 6


async def test_faults_only(busy: House) -> None:
    async with opened(busy) as driver:
        await driver.until(lambda: len(main(driver).rows) == 6, "all of them")
        await driver.press("f")
        assert {one.key for one in main(driver).rows} == {"category", "dedupe", "entity", "sentiment"}
        assert "faults only" in row(driver, "#screens")
        await driver.press("f")
        assert len(main(driver).rows) == 6


async def test_help_tells_each_key_and_why_it_is_off(house: House) -> None:
    async with opened(house, (100, 40)) as driver:
        await driver.press("K", "?")
        await driver.sees("help · Endpoints", "go back: a plan, then y", "K is off: relevance is as mlconsole left it")
        await driver.press("end")
        await driver.sees("everywhere")
        await driver.press("escape")
        await driver.sees_not("help · Endpoints")
        await driver.press("6", "?")
        await driver.sees("help · Activity")
        await driver.press("q")
        assert driver.app.is_running


@pytest.mark.parametrize("key", [":", "ctrl+p"])
async def test_the_palette_finds_commands_and_environments(house: House, key: str) -> None:
    changed(house, ("relevance", "deploy", "5"), environment="production")
    async with opened(house) as driver:
        await driver.press(key)
        await driver.type("env")
        await driver.sees("env production", "env staging", "you are there")
        await driver.type(" prod")
        await driver.press("enter")
        await driver.sees("PRODUCTION", "v5 100 %")
        assert driver.message == "this is production now"
        await driver.press(key)
        await driver.type("activity")
        await driver.press("enter")
        await driver.sees("[6 Activity]", "relevance v5")
        await driver.press(key)
        await driver.type("keep")
        await driver.press("enter")
        await driver.sees("K is off")
        await driver.press("escape", key, "escape")
        assert driver.app.is_running


async def test_another_environment_shows_nothing_of_the_one_before(house: House) -> None:
    async with opened(house) as driver:
        await driver.press(":")
        await driver.type("env production")
        await driver.press("enter")
        await driver.sees("PRODUCTION", "No endpoint yet.")
        assert "relevance" not in driver.text
        await driver.press("6")
        await driver.sees("Nothing was changed here yet.")


async def test_another_environment_is_seen_at_once_though_the_one_before_hangs(house: House) -> None:
    changed(house, ("relevance", "deploy", "5"), environment="production")
    async with opened(house) as driver:
        house.sim.world.inject(Fault(FaultKind.HANG, on="serving.*", times=None, seconds=60))
        await driver.until(lambda: any(call.outcome is None for call in house.sim.world.calls), "it hangs")
        await driver.press(":")
        await driver.type("env production")
        await driver.press("enter")
        await driver.sees("v5 100 %")
        house.sim.world.clear_faults()
        house.sim.world.release()


async def test_quitting_never_asks_and_says_what_goes_on(house: House) -> None:
    house.sim.world.inject(Fault(FaultKind.HANG, on="traffic.start", seconds=60))
    async with opened(house) as driver:
        await driver.press("u")
        await driver.sees("y go back")
        await driver.press("y")
        await driver.until(lambda: bool(driver.app.snapshot and driver.app.snapshot.status.running), "it runs")
        await driver.sees("~ relevance v3 90 · v4 10 → v3 100 %")
        assert "~1" in row(driver, "#world")
        await driver.press("q")
        assert driver.app.last_words
        assert driver.app.last_words[0].startswith("goes on without you: ~ relevance")
        assert "mlconsole wait" in driver.app.last_words[0]
        house.sim.world.release()
    house.sim.world.clear_faults()


# Keys of one's own.


async def test_keys_of_ones_own(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"go_back": "b", "activity": "g", "quit": "f10"}))
    monkeypatch.setenv("MLCONSOLE_KEYS", str(file))
    async with opened(house) as driver:
        assert "b back" in driver.keys
        await driver.press("g")
        assert "[6 Activity]" in row(driver, "#screens")
        await driver.press("2", "u")
        assert "nothing has happened yet" not in driver.text
        await driver.press("b")
        await driver.sees("nothing has happened yet")
        await driver.press("escape")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "can't be read as JSON"),
        ("[1]", "is not an object"),
        ('{"go_bakc": "b"}', 'there is no action "go_bakc". Did you mean go_back?'),
        ('{"go_back": "D"}', 'the key "D" is for go_back and deploy'),
        ('{"go_back": 3}', "is not an object of action ids and keys"),
    ],
)
async def test_a_broken_keys_file_is_told_and_our_own_keys_work(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content)
    monkeypatch.setenv("MLCONSOLE_KEYS", str(file))
    with pytest.raises(InvalidFile):
        load_actions()
    async with opened(house, (140, 30), blind_start=True) as driver:
        assert said in driver.message
        await driver.press("u")
        await driver.until(lambda: "nothing has happened yet" in driver.text or "is off" in driver.message, "u is u")


# Without colours, without Unicode, without a terminal.


async def test_without_unicode_the_same_is_said_in_ascii(busy: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCONSOLE_ASCII", "1")
    for size in SIZES:
        async with opened(busy, size) as driver:
            await driver.until(lambda: "X1" in row(driver, "#world"), "all of it is seen")
            for key in ("2", "6", "1", "3"):
                await driver.press(key, "down")
                assert driver.text.isascii(), [line for line in driver.lines if not line.isascii()]
            await driver.press("2", "?")
            assert driver.text.isascii()
            await driver.press("escape", "2", "home")
            if size[0] >= 60:
                assert "ok2 ~0 !2 X1 ?1" in row(driver, "#world")
                assert "X failing" in driver.line("dedupe  "), driver.text
            await driver.press(":")
            assert driver.text.isascii()
            await driver.press("escape")


async def test_without_colours_not_a_word_is_lost(busy: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(busy, environment="staging") as driver:
        await driver.until(lambda: "✖1" in row(driver, "#world"), "all of it is seen")
        coloured = driver.lines[1:]
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(busy, environment="staging") as driver:
        await driver.until(lambda: "✖1" in row(driver, "#world"), "all of it is seen")
        assert driver.lines[1:] == coloured
        assert driver.app.no_color


@pytest.mark.parametrize(("environ", "signs"), [({"TERM": "vt100"}, ASCII), ({"TERM": "linux"}, ASCII), ({"MLCONSOLE_ASCII": "1"}, ASCII)])
def test_old_terminals_get_ascii(environ: dict[str, str], signs: object) -> None:
    assert signs_for(environ) is signs
    assert UNICODE.plain("✔") == "✔"


@pytest.mark.parametrize("term", ["", "dumb"])
def test_where_nothing_can_be_drawn_it_says_which_commands_there_are(term: str) -> None:
    with pytest.raises(start.NoTerminal) as refused:
        start.check_terminal({"TERM": term})
    assert "mlconsole status" in refused.value.next


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (47, 8), (300, 100), (59, 20), (99, 24)])
async def test_any_size_of_terminal_is_survived(busy: House, size: tuple[int, int]) -> None:
    async with opened(busy, (100, 30)) as driver:
        await driver.pilot.resize_terminal(*size)
        await driver.pilot.pause()
        for key in ("6", "1", "3", "2", "?", "escape", ":", "escape", "end", "home"):
            await driver.press(key)
        assert driver.app.is_running
        driver.faults.clear()  # what does not fit in 20×5 lies beyond its edges
        await driver.pilot.resize_terminal(100, 30)
        await driver.pilot.pause()
        await driver.sees("relevance", "STAGING")


@pytest.mark.parametrize("width", range(10, 140))
def test_the_row_of_keys_fits_and_keeps_the_way_to_help(width: int) -> None:
    names = ("enter", "logs", "invoke", "raw", "more", "faults", "sort", "go_back", "deploy", "traffic", "keep", "remove")
    for off in (set(), {"keep", "remove"}, set(names)):
        shown = [(our_actions()[name], name in off) for name in (*names, "help")]
        told = "".join(text for text, _ in frame.keys(shown, width, UNICODE))
        if width >= 40:
            assert len(told.rstrip()) <= width
            assert "? help" in told
            assert "u back" in told or "go_back" in off
        if width >= 60:
            assert "D deploy" in told or "deploy" in off


async def test_predictions_move_the_figures(house: House) -> None:
    async with opened(house) as driver:
        await driver.look()
        house.sim.world.serve("relevance", Load(300, seed=9, seconds=5))
        await driver.until(lambda: (driver.app.snapshot or took(house)).status.endpoints[0].recent > 0, "they are counted")
        await driver.sees("OBSERVED")


@pytest.mark.parametrize("size", SIZES)
async def test_the_landing_screen_shows_endpoints_first_however_low_it_is(busy: House, size: tuple[int, int]) -> None:
    async with opened(busy, size) as driver:
        await driver.until(lambda: "✖1" in row(driver, "#world"), "all of it is seen")
        names = ("relevance", "severity", "category", "dedupe", "sentiment", "entity")
        assert sum(1 for line in driver.lines[4:] if any(f"{name} " in line for name in names)) >= 3
