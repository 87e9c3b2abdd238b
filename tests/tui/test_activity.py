"""Activity by key only: what was changed, its steps, the way back to any of it, what happened while one was away, what others made."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import timedelta

import pytest

from mlconsole.core.traffic import Traffic
from mlconsole.engine import history, planning
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.simulator import Fault, FaultKind, simulated_version, variant_of
from mlconsole.tui.table import LiveTable
from tui import kit
from tui.kit import ANNA, SIZES, TOMEK, changed, opened, took


def rows(driver: kit.Driver) -> list[str]:
    """The table's rows as they are drawn."""
    table = driver.app.view.query_one("#main", LiveTable)
    return ["".join(text for text, _ in spans) for spans, _ in table._drawn[1:]]


def style_of(driver: kit.Driver, row: int, word: str) -> str:
    spans, _ = driver.app.view.query_one("#main", LiveTable)._drawn[row + 1]
    return next(words for text, words in spans if word in text)


@pytest.fixture
def lived(house: kit.House) -> kit.House:
    """Besides: #3 shifts v4 to 25 %, #4 went back, #5 is another endpoint's first."""
    changed(house, ("relevance", "shift", "v4=2500"), who=TOMEK, reason="v4 looks well")
    house.sim.world.inject(Fault(FaultKind.REFUSE, on="traffic.start", reason="no room"))
    changed(house, ("relevance", "shift", "v4=5000"))
    changed(house, ("severity", "deploy", "3"))
    return house


@pytest.fixture
def make_house(make_house):  # type: ignore[no-untyped-def]
    return lambda *models, **options: make_house(*(models or ("relevance", "severity")), **options)


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_changed_is_told_newest_first_at_every_size(lived: kit.House, size: tuple[int, int]) -> None:
    async with opened(lived, size, screen="6") as driver:
        await driver.press("home")
        await driver.sees("severity v3")
        if size[0] >= 60:
            told = rows(driver)
            assert "severity v3" in told[0]
            assert "relevance 90/10 → 75/25" in told[2]
            assert "relevance v3 → v3 90" in told[3]
            assert "✖ went back" in told[1]
            assert "✔ #3" in told[2]
            assert "tomek" in told[2] or size[0] == 60
            assert "WHEN" in driver.line("WHAT")
        await driver.press("end", "up", "up")
        await driver.sees("90/10 → 75/25", "ASKED FOR", "to #2: v3 90 · v4 10")
        if size[0] >= 60:
            await driver.sees("relevance v3 90 · v4 10 → v3 75 · v4 25", "set traffic", "way back")
        if size[0] >= 100:
            await driver.sees("who, from where", "tomek (uid 1005) on bastion-1", "v4 looks well")


async def test_a_change_that_went_back_says_why_and_at_which_step(lived: kit.House) -> None:
    async with opened(lived, screen="6") as driver:
        await driver.press("home", "down")
        await driver.sees("✖ failed", "no room", "Live again, read back: v3 75 · v4 25")
        assert style_of(driver, 1, "went back") == "red"
        await driver.press("u")
        assert driver.message == "u is off: #4 never came to stand; there is nothing to go back to here. Choose a row with ✔."
        assert "nothing to go back to here" in driver.text


async def test_u_on_an_older_row_makes_that_state_live_again_as_a_new_release(lived: kit.House) -> None:
    async with opened(lived, screen="6") as driver:
        await driver.press("end")
        await driver.sees("makes #1 live again", "Only relevance is touched")
        await driver.press("u")
        await driver.sees("equals #1", "nothing has happened yet")
        await driver.press("n")
        await driver.sees_not("nothing has happened yet")
        assert "Nothing has happened" in driver.message
        await driver.press("u")
        await driver.sees("Go back to #1?")
        await driver.press("y")
        await driver.until(lambda: "#5 equals #1" in driver.message, "the new release")
        await driver.until(lambda: "#5" in rows(driver)[0], "its row")
        assert driver.app.snapshot is not None
        assert driver.app.snapshot.endpoint("relevance").content == "v3 100 %"  # type: ignore[union-attr]
        assert driver.app.snapshot.endpoint("severity").release == 1  # type: ignore[union-attr]
        # The live release is a revert now: which way a second one leads, the row has to say.
        await driver.press("home", "u")
        assert "#5 went back already" in driver.message


async def test_the_live_row_says_where_u_leads_and_the_first_that_it_leads_nowhere(lived: kit.House) -> None:
    async with opened(lived, screen="6") as driver:
        await driver.press("home")
        await driver.sees("nothing to go back to, #1 is")
        await driver.press("u")
        assert driver.message == "u is off: nothing to go back to, #1 is the first release of severity that stood."
        await driver.press("down", "down")
        await driver.sees("to #2: v3 90 · v4 10", "#3 is what is live now")
        await driver.press("u")
        await driver.sees("equals #2")
        await driver.press("escape")


async def test_what_was_changed_outside_stands_on_top_with_its_two_choices(lived: kit.House) -> None:
    lived.sim.world.change_outside("relevance", traffic=Traffic({"v3": 2000, "v4": 8000}))
    async with opened(lived) as driver:
        await driver.sees("changed outside mlconsole")
        await driver.press("!")
        await driver.sees("[6 Activity]", "your choice", "WE WANT", "LIVE NOW")
        assert "75/25 → 20/80" in rows(driver)[0]
        assert style_of(driver, 0, "≠ out of sync") == "magenta"
        assert "75 %" in driver.line("20 %")
        await driver.sees("puts ours back (#3, 75/25)", "keeps theirs", "changes to relevance are refused")
        await driver.press("v")
        assert driver.message.startswith("v is off: no change of ours made this")
        await driver.press("u")
        await driver.sees("equals #3", "changed outside mlconsole; this puts #3 back")
        await driver.press("y")
        await driver.until(lambda: "equals #3" in driver.message, "ours is back")
        await driver.until(lambda: "≠" not in driver.text, "the finding is gone")
        await driver.press("K")
        assert "K is off: relevance is as mlconsole left it" in driver.message


async def test_what_somebody_changed_can_be_kept_with_a_reason(lived: kit.House) -> None:
    lived.sim.world.change_outside("relevance", traffic=Traffic({"v3": 2000, "v4": 8000}))
    async with opened(lived, (80, 24)) as driver:
        await driver.press("!")
        await driver.sees("your choice")
        await driver.press("K")
        await driver.sees("keep what is live of relevance")
        await driver.type("tomek asked")
        await driver.press("enter")
        await driver.until(lambda: "relevance is #5" in driver.message, "kept")
        await driver.until(lambda: "kept: v3 20" in rows(driver)[0], "its row")
        await driver.press("home")
        await driver.sees("Nothing was changed: what was live", "tomek asked")


async def test_an_endpoint_that_nobody_here_made_can_only_be_kept(lived: kit.House) -> None:
    there = variant_of(simulated_version("category", "7"))
    lived.sim.world.change_outside("category", add=[there], traffic=Traffic({there.name: 10_000}))
    async with opened(lived, screen="6") as driver:
        assert "category is there" in rows(driver)[0]
        await driver.press("home", "u")
        assert "mlconsole did not make category" in driver.message
        await driver.press("K")
        await driver.sees("keep what is live of category")
        await driver.press("enter")
        await driver.until(lambda: "category as found" in rows(driver)[0], "adopted")


async def test_while_you_were_away(lived: kit.House) -> None:
    file = lived.root / ".mlconsole" / "seen-anna.json"
    async with opened(lived, screen="6") as driver:
        await driver.sees("changes", "newest first")
        assert "while you were" not in driver.text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {"staging"}
    lived.clock.advance(3 * 86_400)
    changed(lived, ("relevance", "shift", "v4=3000"), who=TOMEK)
    changed(lived, ("relevance", "shift", "v4=3500"))
    async with opened(lived, screen="6") as driver:
        await driver.sees("while you were away", "– now", "space mark as read", "1 unseen")
        marked = [row for row in rows(driver) if row.startswith("*")]
        assert len(marked) == 1
        assert "tomek" in marked[0]
        assert style_of(driver, 1, "relevance") == "bold"
        await driver.press("2", "6")
        await driver.sees("while you were away")
        await driver.press("space")
        await driver.sees_not("while you were away")
        assert "Marked as read" in driver.message
        await driver.press("space")
        assert driver.message == "space is off: nothing here is new to you."
    async with opened(lived, screen="6") as driver:
        assert "while you were" not in driver.text
    async with opened(lived, who=TOMEK, screen="6") as driver:
        assert "while you were" not in driver.text
    assert json.loads(file.read_text()).keys() == {"staging"}


async def test_what_comes_while_one_is_there_is_seen_and_what_comes_later_is_new(lived: kit.House) -> None:
    async with opened(lived, screen="6") as driver:
        changed(lived, ("relevance", "shift", "v4=3000"), who=TOMEK)
        await driver.sees("✔ #5")
        assert "while you were" not in driver.text
        # Nobody pressed a key for long: the console is open, its person is not there.
        lived.clock.advance(3600)
        await driver.look()
        changed(lived, ("relevance", "shift", "v4=3500"), who=TOMEK)
        await driver.sees("✔ #6", "while you were away")
        await driver.press("space")
        await driver.sees_not("while you were away")
        # What comes while one looks elsewhere is new on coming back.
        await driver.press("2")
        changed(lived, ("relevance", "shift", "v4=4000"), who=TOMEK)
        await driver.until(lambda: driver.app.snapshot.changes[0].release == 7, "the change is known")  # type: ignore[union-attr]
        await driver.press("6")
        await driver.sees("while you were away", "1 unseen")


@pytest.mark.parametrize(
    "content", ["", "{", '{"staging": 3}', '["staging"]', '{"staging": "yesterday"}', '{"staging": "2026-01-01T00:00:00"}']
)
async def test_a_broken_place_in_the_history_is_no_trouble(house: kit.House, content: str) -> None:
    (house.root / ".mlconsole" / "seen-anna.json").write_text(content)
    async with opened(house, screen="6") as driver:
        await driver.sees("✔ #2")
        assert "while you were" not in driver.text


async def test_a_read_only_console_writes_no_place_and_goes_nowhere(lived: kit.House) -> None:
    took(lived)
    async with opened(lived, screen="6", read_only=True) as driver:
        await driver.press("end", "u")
        assert "u is off: read only" in driver.message
        await driver.press("K")
        assert "K is off: read only" in driver.message
    assert not (lived.root / ".mlconsole" / "seen-anna.json").exists()


async def test_the_journal_the_report_and_what_is_copied(lived: kit.House) -> None:
    async with opened(lived, (120, 40), screen="6") as driver:
        await driver.press("home", "down")
        await driver.sees("no room")
        await driver.press("enter")
        await driver.sees("mlconsole history show", "anna (uid 1004) on bastion-1", "ASKED FOR")
        await driver.press("escape", "y")
        copied = driver.app.clipboard
        assert copied.splitlines()[0] == "relevance (staging): v3 75 · v4 25 → v3 50 · v4 50   ✖ went back"
        assert "no room" in copied
        assert "\x1b" not in copied
        assert "copied: the report" in driver.message
        await driver.press("v")
        await driver.sees('"change"', '"steps"')
        await driver.press("down")
        await driver.sees('"role"')
        await driver.press("escape", "x")
        await driver.sees("into what the cursor is on", "everything that is known of it")
        await driver.press("escape")


async def test_faults_filter_and_language(lived: kit.House) -> None:
    session = lived.session()
    plan = planning.plan_traffic(session, "relevance", {"v4": 4000}, slice_value=("language", "de"))
    session.registry.close()
    kit.changing.run(lived.session(), plan)
    async with opened(lived, (120, 40), screen="6") as driver:
        assert len(rows(driver)) == 6
        await driver.press("f")
        await driver.sees("faults only")
        assert len(rows(driver)) == 1
        assert "went back" in rows(driver)[0]
        await driver.press("escape")
        assert len(rows(driver)) == 6
        await driver.press("/")
        await driver.type("tomek")
        assert len(rows(driver)) == 1
        await driver.press("enter", "/")
        await driver.press(*["backspace"] * 5)
        await driver.type("@de")
        await driver.sees("@de")
        assert len(rows(driver)) == 1
        assert "+ de: v3 60 · v4 40" in rows(driver)[0]
        await driver.press("escape")
        assert len(rows(driver)) == 6


async def test_steps_that_cannot_be_read_are_said_and_read_again(lived: kit.House, monkeypatch: pytest.MonkeyPatch) -> None:
    real = history.change

    def broken(*_: object) -> None:
        raise MLConsoleError("The registry is locked.")

    monkeypatch.setattr(history, "change", broken)
    async with opened(lived, screen="6") as driver:
        await driver.sees("Its steps can't be read: The registry is locked.")
        monkeypatch.setattr(history, "change", real)
        await driver.sees("ASKED FOR")


async def test_running_and_interrupted_changes_say_what_u_does(lived: kit.House) -> None:
    async with opened(lived, screen="6") as driver:
        driver.app._looking = True  # this state of the world stays
        snapshot = driver.app.snapshot
        assert snapshot is not None
        at = next(place for place, one in enumerate(snapshot.changes) if one.release == 3)
        running = replace(snapshot.changes[at], state="running", ended=None, back_to="v3 90 · v4 10")
        for interrupted, said, sign in (
            (False, "stops it and goes back to v3 90 · v4 10", "~ running"),
            (True, "Nobody drives it any more", "▲ interrupted"),
        ):
            one = replace(running, interrupted=interrupted)
            endpoints = tuple(replace(e, operation=one) if e.name == "relevance" else e for e in snapshot.status.endpoints)
            changes = (*snapshot.changes[:at], one, *snapshot.changes[at + 1 :])
            driver.app.snapshot = replace(snapshot, changes=changes, status=replace(snapshot.status, endpoints=endpoints))
            driver.app.render_all()
            await driver.press("home", "down", "down")
            await driver.sees(said, sign)
            await driver.press("end", "u")
            assert driver.message.startswith("u is off here: relevance is changing.")


async def test_blind_it_still_tells_the_history_and_offers_nothing(lived: kit.House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(lived, screen="6") as driver:
        lived.sim.world.inject(Fault(FaultKind.AUTH, on="serving.*", times=None))
        await driver.sees("blind: ")
        await driver.press("end")
        await driver.sees("off: The token has expired.", "ASKED FOR")
        await driver.press("u")
        assert "u is off: The token has expired." in driver.message
        lived.sim.world.clear_faults()
        await driver.sees("makes #1 live again")


async def test_an_empty_history_teaches_the_next_key(make_house) -> None:  # type: ignore[no-untyped-def]
    for size in SIZES:
        async with opened(make_house(), size, screen="6") as driver:
            await driver.sees("Nothing was changed here yet.")
            await driver.press("u", "enter", "v", "y", "K", "l", "space", "down", "end")
            await driver.press("u")
            assert driver.message == "There is no change under the cursor."


async def test_foreign_text_is_harmless_and_long_text_is_cut_with_a_sign(house: kit.House) -> None:
    changed(house, ("relevance", "shift", "v4=2000"), reason="\x1b[31mred\u202e " + "long " * 60)
    for size in SIZES:
        async with opened(house, size, screen="6") as driver:
            await driver.press("home")
            await driver.sees("v3 80")
            await driver.press("enter")
            await driver.sees("\\x1b[31mred")
            await driver.press("escape")


async def test_the_cursor_stays_with_its_change_while_others_come(lived: kit.House) -> None:
    async with opened(lived, screen="6") as driver:
        await driver.press("end")
        held = driver.app.view.query_one("#main", LiveTable).cursor
        assert held is not None
        changed(lived, ("relevance", "shift", "v4=3000"), who=ANNA)
        await driver.sees("✔ #5")
        now = driver.app.view.query_one("#main", LiveTable).cursor
        assert now is not None
        assert now.key == held.key
        lived.clock.advance(timedelta(days=1).total_seconds())
        await driver.look()
        assert driver.app.view.query_one("#main", LiveTable).cursor.key == held.key  # type: ignore[union-attr]


async def test_what_came_while_the_machine_slept_is_new_though_somebody_pressed_a_key_just_now(lived: kit.House) -> None:
    async with opened(lived, screen="6") as driver:
        await driver.look()
        driver.app._looking = True  # it sleeps: nobody looks
        lived.clock.advance(3600)
        changed(lived, ("relevance", "shift", "v4=3000"), who=TOMEK)
        await driver.press("down")
        driver.app._looking = False
        driver.app.look()
        await driver.sees("✔ #5", "while you were away")
