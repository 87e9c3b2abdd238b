"""Config, by key only: a value changed, moved, put back, discarded; all of it in the editor."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from mlconsole.plugin.errors import Conflict
from tui import config_kit as kit
from tui.config_kit import cell, faked, shown, told
from tui.kit import House, row


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> kit.Asked:
    """An engine that takes notes."""
    return faked(monkeypatch)


# Drafting.


async def test_enter_changes_a_value_and_nothing_has_happened(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.document()) as driver:
        await driver.press("down", "down", "down", "enter")
        await driver.sees("relevance · pl · threshold", "now 0.58", "beside it: de 0.62 · en 0.58 · fr 0.6")
        await driver.press(*["backspace"] * 4)
        for wrong, why in (
            ("abc", "This is no JSON"),
            ("NaN", "NaN is no number"),
            ("1e999", "too large"),
            ('"0.4"', "It is a number, and this is a text"),
        ):
            await driver.type(wrong)
            await driver.press("enter")
            await driver.sees(why)
            await driver.press(*["backspace"] * len(wrong))
        assert asked.of("edit") == []
        await driver.type("0.48")
        await driver.press("enter")
        await told(driver, "Draft kept, nothing has happened: relevance · pl · threshold 0.58 → 0.48")
        assert asked.of("edit") == [("models", {"/relevance/pl/threshold": 0.48}, {"edition": None})]
        await driver.sees("your draft on 126", "0.58→0.48", "× 4.4")
        assert row(driver, "#attention").startswith("▲ your draft on 126 is not published")


async def test_a_text_is_written_without_quotes_and_a_list_as_json(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.document()) as driver:
        await driver.press("left", "left", "left", "enter")
        await driver.sees("relevance · de · endpoint", "now relevance-v7")
        await driver.press("end", "backspace", "8", "enter")
        await driver.until(lambda: bool(asked.of("edit")), "it is drafted")
        assert asked.of("edit")[0][1] == {"/relevance/de/endpoint": "relevance-v8"}
        await driver.press("home", "left", "enter")
        await driver.sees("relevance · de · fields", 'now ["title", "body"]')
        await driver.press("end", *["backspace"] * 8, "]", "enter")
        await driver.sees("This is no JSON")
        await driver.press("escape")
        assert len(asked.of("edit")) == 1


async def test_a_changed_value_goes_back_when_it_is_left_empty(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake()) as driver:
        await driver.press("enter")
        await driver.sees("relevance · pl · threshold", "empty: back to 0.58")
        assert ("models", 126, {}) in asked.of("text_of")
        await driver.press(*["backspace"] * 4, "enter")
        await driver.until(lambda: bool(asked.of("edit")), "it is drafted")
        assert asked.of("edit") == [("models", {"/relevance/pl/threshold": 0.58}, {"edition": 3})]


async def test_the_same_value_is_no_edit(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.document()) as driver:
        await driver.press("enter")
        await driver.sees("now 0.62")
        await driver.press("enter")
        await told(driver, "is 0.62 already. Nothing was changed.")
        assert asked.of("edit") == []


async def test_marked_entries_are_changed_together(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.document()) as driver:
        await driver.press("space", "down", "space")
        await driver.sees("2 marked, esc unmarks")
        await driver.press("enter")
        await driver.sees("threshold of 2 marked entries", "relevance · de: 0.62", "relevance · en: 0.58")
        await driver.type("0.5")
        await driver.press("enter")
        await driver.until(lambda: bool(asked.of("edit")), "it is drafted")
        assert asked.of("edit")[0][1] == {"/relevance/de/threshold": 0.5, "/relevance/en/threshold": 0.5}
        await driver.press("escape")
        await driver.sees_not("2 marked")


async def test_an_edit_that_somebody_came_between_is_refused_with_their_name(house: House, asked: kit.Asked) -> None:
    asked.refuse = Conflict("tomek edited the draft of models meanwhile (edition 4). Nothing was changed.", next="Look at it.")
    async with shown(house, kit.mistake()) as driver:
        await driver.press("enter")
        await driver.sees("now 0.48")
        await driver.press("end", "backspace", "9", "enter")
        await told(driver, "tomek edited the draft of models meanwhile")
        assert asked.of("edit")[0][2] == {"edition": 3}
        assert driver.has("0.58→0.48")


async def test_a_look_that_was_begun_before_does_not_take_the_edit_away(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.document()) as driver:
        await driver.press("enter")
        await driver.sees("now 0.62")
        await driver.press("end", "backspace", "3", "enter")
        await driver.sees("your draft on 126")
        snapshot = driver.app.snapshot
        assert snapshot is not None
        driver.app.snapshot = replace(snapshot, documents=(kit.document(),))  # as it was before
        driver.app.render_all()
        assert driver.has("your draft on 126")
        later = replace(snapshot.status, at=snapshot.status.at.replace(microsecond=1))
        driver.app.snapshot = replace(snapshot, documents=(kit.document(),), status=later)  # somebody discarded it since
        driver.app.render_all()
        await driver.pilot.pause()
        assert "your draft" not in driver.text


async def test_m_moves_a_changed_value_to_the_language_that_was_meant(house: House, asked: kit.Asked) -> None:
    moved = kit.document(entries=kit.entries({"/relevance/de": {"threshold": "0.62"}}, de="0.48"), draft=kit.draft(edition=4))
    async with shown(house, kit.mistake()) as driver:
        assert "m on its row" in driver.message
        await driver.press("up", "m")
        assert driver.message == "m is off: the draft changes nothing of relevance · fr. enter changes a value."
        await driver.press("down", "left", "m")  # the cursor is in another column of the changed row
        await driver.sees("move relevance · pl · threshold 0.48 to which language", "threshold is 0.62 there now")
        asked.answer = moved
        await driver.type("de")
        await driver.press("enter")
        await driver.until(lambda: bool(asked.of("move")), "it is moved")
        assert asked.of("move") == [("models", "/relevance/pl/threshold", "de", {"edition": 3})]
        await driver.until(lambda: cell(driver) == ("/relevance/de", "threshold"), "the cursor goes with it")


async def test_x_discards_the_draft_and_asks_first(house: House, asked: kit.Asked) -> None:
    asked.answer = kit.document()
    async with shown(house, kit.mistake(), size=(140, 40)) as driver:
        assert "X discard" in driver.keys
        await driver.press("X")
        await driver.sees(
            "discard the draft · config models", "nothing has happened yet", "loses    relevance · pl · threshold 0.58 → 0.48", "y discard"
        )
        await driver.press("escape")
        await told(driver, "Nothing has happened. The draft is kept.")
        await driver.press("X")
        await driver.sees("y discard")
        await driver.press("y")
        await told(driver, "The draft of models is gone. Live is 126, as before.")
        assert asked.of("discard") == [("models", {"edition": 3})]
        await driver.press("X")
        assert driver.message == "X is off: config models has no draft that could be discarded."


# The editor.


def _editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    file = tmp_path / "edit.sh"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(file))


async def test_e_opens_the_editor_and_what_was_written_is_the_draft(
    house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _editor(monkeypatch, tmp_path, 'case "$1" in *models.json) sed -i s/0.62/0.48/ "$1";; esac')
    async with shown(house, kit.document()) as driver:
        monkeypatch.setattr(driver.app, "suspend", nullcontext)
        await driver.press("e")
        await driver.until(lambda: bool(asked.of("replace")), "it is drafted")
        name, written, more = asked.of("replace")[0]
        assert (name, more) == ("models", {"edition": None})
        assert written == asked.text.replace("0.62", "0.48").encode()
        await told(driver, "Draft kept, nothing has happened")


async def test_an_editor_that_changes_nothing_drafts_nothing(
    house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with shown(house, kit.document()) as driver:
        monkeypatch.setattr(driver.app, "suspend", nullcontext)
        for script, said in (("exit 0", "Nothing was changed."), ("exit 3", "ended with code 3. Nothing was changed.")):
            _editor(monkeypatch, tmp_path, script)
            await driver.press("e")
            await told(driver, said)
        monkeypatch.setenv("VISUAL", str(tmp_path / "none"))
        await driver.press("e")
        await told(driver, "can't be started")
        assert asked.of("replace") == []


async def test_what_was_written_is_kept_when_it_is_refused(
    house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _editor(monkeypatch, tmp_path, 'echo "{}" > "$1"')
    asked.refuse = Conflict("tomek edited the draft of models meanwhile.")
    async with shown(house, kit.mistake()) as driver:
        monkeypatch.setattr(driver.app, "suspend", nullcontext)
        await driver.press("e")
        await told(driver, "What you wrote lies in ")
        path = Path(driver.app._said.rpartition("lies in ")[2].rstrip("."))
        assert path.read_text() == "{}\n"
        assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0
        path.unlink()
        path.parent.rmdir()


async def test_without_a_terminal_to_hand_over_the_command_is_named(
    house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _editor(monkeypatch, tmp_path, "exit 0")
    async with shown(house, kit.document()) as driver:
        await driver.press("e")  # the test's own driver can't be suspended
        await told(driver, "mlconsole config edit does it from a shell")


async def test_the_first_text_of_a_document_begins_with_a_draft(
    house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _editor(monkeypatch, tmp_path, "exit 0")
    new = kit.document(version=None, latest=0, entries=(), versions=(), way_back="")
    asked.answer = replace(new, entries=kit.entries(), draft=kit.draft(base=None, differences=(), findings=(), text=()))
    async with shown(house, new) as driver:
        monkeypatch.setattr(driver.app, "suspend", nullcontext)
        assert driver.has("config models · nothing is published yet", "Nothing of models is published yet.", "how it begins")
        await driver.press("P")
        assert driver.message == "P is off: there is no draft. enter on a value, or e, begins one."
        await driver.press("e")
        await driver.sees("your draft")
        assert asked.of("edit") == [("models", {}, {})]
        await driver.press("P")
        await driver.sees("publish config models", "Why?")
