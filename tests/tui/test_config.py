"""Config, by key only: the wrong-language mistake before it is published; reading, comparing, filtering; and what needs a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlconsole.core.errors import MLConsoleError
from mlconsole.engine.documentviews import DocumentView
from mlconsole.engine.views import OperationView
from tui import config_kit as kit
from tui.config_kit import ALL, BOXES, cell, faked, shown, told
from tui.kit import House, main, over, row


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> kit.Asked:
    """An engine that takes notes."""
    return faked(monkeypatch)


# Thursday 14:10: the wrong language, before it is published.


@pytest.mark.parametrize("size", BOXES)
async def test_a_draft_shows_what_it_changes_what_if_and_what_lint_says(house: House, asked: kit.Asked, size: tuple[int, int]) -> None:
    async with shown(house, kit.mistake(), size=size) as driver:
        await driver.sees("what if · last 7 days decided again", "× 4.4", "525", "its record is 31")
        assert "[4 Config]" in row(driver, "#screens")
        assert row(driver, "#attention").startswith("▲ your draft on 126 is not published: 1 value, 2 findings")
        assert driver.has("config models · live 126 · your draft on 126", "0.58→0.48", "title,body")
        assert "0.58→0.48" in driver.line("▸relevance")
        assert ("0.58→0.48", "bold yellow") in [span for span in main(driver).cursor.cells.values() if isinstance(span, tuple)]  # type: ignore[union-attr]
        assert driver.has(
            "▲ the reason speaks of de, the change touches only pl", "line 214", "same place", "✔ schema  ✔ fields exist in pl"
        )
        assert asked.of("what_if") == [("models", {})]
        if size[0] >= 100:
            assert driver.has("if you publish it", "P  1 value changes:", "0.58 → 0.48   (−17 %)", 'reason "de misses too many"')
            assert driver.has("careful: 1 → 10 → 50 → 100 %", "everywhere ~14:", "way back: u to 126, ~45 s,", "this value")
            assert driver.has("de     0.62", "not touched", '214 -         "threshold": 0.58,', "relevance › pl")
        else:
            assert driver.has("P  1 value changes for one language of relevance", "way back  u to 126, ~45 s, only this value, any time")


async def test_the_phone_says_it_in_one_column(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(), size=(48, 20)) as driver:
        assert driver.has("config models · live 126 · your draft on 126", "▸relevance · pl", "0.58→0.48", "P  1 value changes:", "(−17 %)")
        await driver.press("pagedown")
        await driver.sees("what if pl: 22 → 97 alerts a day (× 4.4)", "its record is 31")
        await driver.press("up")
        assert cell(driver)[0] == "/relevance/fr"


async def test_the_cursor_goes_to_what_is_changed_and_then_where_a_person_moves_it(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake()) as driver:
        assert cell(driver) == ("/relevance/pl", "threshold")
        await driver.press("left", "left", "up")
        assert cell(driver) == ("/relevance/fr", "share")
        await driver.press("left", "left", "left")
        assert cell(driver) == ("/relevance/fr", "endpoint")
        await driver.press("right")
        driver.app.render_all()
        await driver.pilot.pause()
        assert cell(driver) == ("/relevance/fr", "share")


async def test_a_draft_that_lint_stops_says_so_and_p_says_why(house: House, asked: kit.Asked) -> None:
    one = kit.mistake(draft=kit.draft(findings=(kit.STOP, *kit.FINDINGS)))
    async with shown(house, one) as driver:
        assert driver.has("✖ can't be published: 1 finding", "✖ threshold has to be at most 1, it is 48", "1 value, 3 findings")
        await driver.press("P")
        assert driver.message == "P is off: threshold has to be at most 1, it is 48. Nothing was published."
        assert asked.of("plan_publish") == []


async def test_what_can_not_be_known_is_said_and_never_guessed(house: House, asked: kit.Asked) -> None:
    rows = tuple(replace(each, before=None, then=None, flips=None, unknown="no raw scores of v7") for each in kit.what_if().rows)
    asked.what_if = kit.what_if(rows=rows, gaps="Tue 3 h")
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("? no raw scores of v7", "gaps: Tue 3 h")
        assert "× " not in driver.text
        assert " 0  " not in driver.line("▸pl")
        await driver.press("tab", "enter")
        assert "no raw scores of v7" in driver.message
    asked.what_if = MLConsoleError("Nothing is captured here.")
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("? it can't be told: Nothing is captured here.")
    asked.what_if = RuntimeError("a bug")
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("it can't be told: RuntimeError: a bug")
    asked.what_if = kit.what_if(rows=(kit.what_if().rows[0],))
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("No decision of the last 7 days depends on what changes.")


async def test_what_if_is_asked_for_once_for_each_edition(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("× 4.4")
        for _ in range(3):
            driver.app.render_all()
            await driver.pilot.pause()
        assert len(asked.of("what_if")) == 1
        snapshot = driver.app.snapshot
        assert snapshot is not None
        driver.app.snapshot = replace(snapshot, documents=(kit.mistake(draft=kit.draft(edition=4)),))
        driver.app.render_all()
        await driver.until(lambda: len(asked.of("what_if")) == 2, "the next edition is decided")


async def test_flips_findings_and_text_are_read_with_enter(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("× 4.4")
        await driver.press("tab")
        assert "enter open" in driver.keys
        await driver.press("enter")
        await driver.sees("525 of 698 000 predictions would be decided otherwise", "12 of them:", "no alert → alert", "tytuł 3", "req-3")
        await driver.press("escape", "up", "enter")
        await driver.sees("0 of 605 000 predictions would be decided otherwise", "There is none to read.")
        await driver.press("escape", "tab", "enter")
        await driver.sees("findings · config models", "the reason speaks of de")
        await driver.press("escape", "tab", "enter")
        await driver.sees("config models · draft", '"relevance": {')
        assert asked.of("text_of")[-1] == ("models", "draft", {})


# Looking: versions, comparisons, the whole file, copying.


async def test_without_a_draft_there_is_the_history_and_how_one_begins(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.document()) as driver:
        assert driver.has("config models · live 126", "nothing is drafted", "way back: u to 125: about 70 s,", "versions of models")
        assert "✔" in driver.line("126 ✔")
        for word in ("what if", "findings", "text", "if you publish it"):
            assert word not in "\n".join(driver.lines[4:-2])
        await driver.press("tab", "enter")
        await driver.sees("config models · 125 → 126, by tomek", "relevance · de · threshold  0.62 → 0.58")
        await driver.press("escape", "end", "enter")
        await driver.sees("config models · 124, the first one", '"relevance": {')
        assert asked.of("compare") == [("models", 125, 126, {})]


@pytest.mark.parametrize(("size", "beside"), [((140, 40), True), ((80, 24), False)])
async def test_c_compares_with_a_version_or_another_environment(
    house: House, asked: kit.Asked, size: tuple[int, int], beside: bool
) -> None:
    async with shown(house, kit.mistake(), size=size) as driver:
        await driver.press("c")
        await driver.sees("compare the draft of models with", "live 126", "version 125", "production, live")
        await driver.press("enter")
        await driver.sees("config models · live → the draft", "relevance · de · threshold  0.62 → 0.58   (−6 %)")
        assert ('-         "threshold": 0.58,' in driver.line('"threshold": 0.48')) is beside
        await driver.press("escape", "c")
        await driver.sees("compare the draft of models with")
        await driver.type("prod")
        await driver.press("enter")
        await driver.until(lambda: len(asked.of("compare")) == 2, "it is compared")
        assert asked.of("compare") == [("models", "live", "draft", {}), ("models", "production", "draft", {})]


async def test_v_shows_the_whole_file_and_marks_what_the_draft_changes(house: House, asked: kit.Asked) -> None:
    text = (kit.TextLineView("-", "old", 8, None), kit.TextLineView("+", '      "threshold": 0.48', None, 8))
    async with shown(house, kit.mistake(draft=kit.draft(text=text))) as driver:
        await driver.press("v")
        await driver.sees("config models · draft", '"relevance": {')
        assert " 8 + " in driver.text
        assert " 9 + " not in driver.text


async def test_y_copies_a_report_of_the_draft_else_the_command(house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    async with shown(house, kit.mistake()) as driver:
        await driver.sees("× 4.4")
        monkeypatch.setattr(driver.app, "copy_to_clipboard", copied.append)
        await driver.press("y")
    assert "config models (staging): draft on 126 is not published: 1 value, 2 findings, by anna" in copied[0]
    assert 'reason: "de misses too many"' in copied[0]
    assert "relevance · pl · threshold  0.58 → 0.48   (−17 %)" in copied[0]
    assert "look: 0.48 lies outside the history of pl (0.55 – 0.61) and of its siblings (line 214 /relevance/pl/threshold)" in copied[0]
    assert "what if relevance pl: 22 → 97 alerts a day (× 4.4), 525 flips of 698 k in 7 days, its record is 31" in copied[0]
    assert copied[0].endswith("mlconsole config diff models --env staging")
    async with shown(house, kit.document()) as driver:
        monkeypatch.setattr(driver.app, "copy_to_clipboard", copied.append)
        await driver.press("y")
    assert copied[1] == "mlconsole config show models --env staging"
    async with shown(house, kit.growing(), rollouts=[kit.rollout()]) as driver:
        monkeypatch.setattr(driver.app, "copy_to_clipboard", copied.append)
        await driver.press("y")
    assert copied[2] == "mlconsole rollout status config:models --env staging"


async def test_filters_by_words_by_language_and_by_what_is_changed(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(), size=(140, 40)) as driver:
        await driver.press("/")
        await driver.type("sev fr")
        await driver.press("enter")
        assert [each.key for each in main(driver).rows] == ["/severity/fr"]
        await driver.press("escape", "/")
        await driver.type("@pl")
        await driver.press("enter")
        assert [each.key for each in main(driver).rows] == ["/relevance/pl", "/severity/pl"]
        assert "not touched" not in driver.text
        await driver.press("escape", "f")
        assert [each.key for each in main(driver).rows] == ["/relevance/pl"]
        await driver.press("f")
        assert len(main(driver).rows) == 8


# What needs a person, and the frame.


async def test_the_exclamation_mark_leads_here(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(), key="2") as driver:
        assert row(driver, "#attention").endswith("! go there")
        await driver.press("!")
        assert "[4 Config]" in row(driver, "#screens")
        assert cell(driver)[0] == "/relevance/pl"
        await driver.press("3")
        assert "relevance" in driver.text


async def test_somebody_elses_draft_is_theirs(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(draft=kit.draft(who="tomek"))) as driver:
        assert driver.has("tomek's draft on 126")
        assert "draft" not in row(driver, "#attention")


async def test_of_several_documents_each_is_reached_and_named(house: House, asked: kit.Asked) -> None:
    other = kit.document(name="limits", version=3, entries=(kit.entry("severity", "de", 0.4),), draft=kit.draft(base=3))
    async with shown(house, kit.document(), other, size=(140, 40)) as driver:
        assert "your draft of limits on 3 is not published" in row(driver, "#attention")
        assert row(driver, "#screens").endswith("models 1 of 2 · 126")
        await driver.press("n")
        await driver.sees("config limits · live 3 · your draft on 3")
        await driver.press("n")
        await driver.sees("config models · live 126")
        await driver.press("2", "!")
        await driver.sees("config limits · live 3")


async def test_an_endpoint_leads_to_the_entries_of_its_model(house: House, asked: kit.Asked) -> None:
    entries = (*kit.entries()[4:], *kit.entries()[:4])
    async with shown(house, kit.document(entries=entries), key="") as driver:
        driver.app.subject = "relevance"
        await driver.press("4")
        assert cell(driver)[0] == "/relevance/de"
        await driver.press("down", "2", "4")
        assert cell(driver)[0] == "/relevance/en"  # it is on one of them


async def test_what_was_changed_outside_leaves_a_choice(house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    one = kit.mistake(outside="config:models was changed outside mlconsole: 128 is live")
    async with shown(house, one, size=(140, 40)) as driver:
        assert row(driver, "#attention").startswith("▲ config models was changed outside mlconsole: 128 is live")
        assert driver.has("≠ changed outside")
        await driver.press("P")
        assert driver.message == "P is off: config models was changed outside mlconsole. u puts ours back, K keeps theirs."
        await driver.press("K")
        await driver.sees("keep what is live of config models", "Why?")
        await driver.type("theirs is right")
        await driver.press("enter")
        await told(driver, 'config models is #11 "kept" now: config 128.')
        assert asked.of("adopt") == [("models", {"reason": "theirs is right"})]
        back: list[Any] = []
        monkeypatch.setattr("mlconsole.tui.deploying.go_back", lambda app, target: back.append(target))
        await driver.press("u")
        assert back == ["config:models"]
    async with shown(house, kit.document(outside="it was published by somebody else")) as driver:
        assert driver.has("your choice", "u  puts ours back", "K  keeps theirs, as a release of")
    async with shown(house, kit.document()) as driver:
        await driver.press("K")
        assert driver.message == "K is off: config models is as mlconsole left it; there is nothing to keep."


async def test_an_ordinary_change_is_told_and_u_stops_it(house: House, asked: kit.Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    change = OperationView(
        "b21c",
        "config:models",
        "staging",
        "publish",
        "running",
        10,
        "config 126",
        "config 127",
        "anna",
        "",
        kit.NOW,
        None,
        "",
        step=1,
        steps=2,
        doing="publishes 127",
        back_to="config 126",
    )
    async with shown(house, kit.mistake(), size=(140, 40), status={"running": (change,)}) as driver:
        assert driver.has("publish under way, step 1 of 2", "publishes 127", "stops it and goes back to config 126")
        assert "~ config models 126 → 127, step 1/2" in row(driver, "#world")
        await driver.press("P")
        assert driver.message == "P is off: config models is changing (publishes 127). u goes back."
        stopped: list[str] = []
        monkeypatch.setattr(driver.app, "go_back_now", stopped.append)
        await driver.press("u")
        assert stopped == ["config:models"]


@pytest.mark.parametrize("size", ALL)
async def test_without_a_document_the_screen_teaches_how_one_is_added(house: House, asked: kit.Asked, size: tuple[int, int]) -> None:
    async with shown(house, size=size) as driver:
        assert driver.has("No config document in this environment yet.", "configs: {models: {file: config/models.json}}")
        for key in ("enter", "e", "m", "c", "v", "P", "u", "p", "K", "X", "space", "x", "n", "left", "f", "f"):
            await driver.press(key)
            await driver.press("escape")
        await driver.press("P")
        assert "Off: there is no config document here." in driver.app._said


async def test_read_only_every_key_says_why(house: House, asked: kit.Asked) -> None:
    async with shown(house, kit.mistake(outside="x"), size=(140, 40), read_only=True) as driver:
        for key in ("enter", "e", "m", "P", "u", "K", "X"):
            await driver.press(key)
            assert driver.message == f"{key} is off: read only. Nothing was changed."
        await driver.press("v")
        await driver.sees("config models · draft")
        await driver.press("escape", "c")
        await driver.sees("compare the draft")
        assert {call[0] for call in asked.calls} <= {"what_if", "text_of", "compare"}
    async with shown(house, kit.growing(), rollouts=[kit.rollout()], read_only=True) as driver:
        await driver.press("p")
        assert driver.message == "p is off: read only. Nothing was changed."


@pytest.mark.parametrize("size", ALL)
async def test_blind_it_is_dim_and_nothing_goes_forward(house: House, asked: kit.Asked, size: tuple[int, int]) -> None:
    blind = {"blind": "credentials ran out 07:58", "blind_next": "aws sso login"}
    async with shown(house, kit.mistake(), size=size, **blind) as driver:
        assert over(driver, "#attention") == "reverse red"
        assert driver.has("credentials ran out 07:58")
        for key in ("P", "u", "X"):
            await driver.press(key)
            assert f"{key} is off: credentials ran out 07:58. aws sso login" in driver.app._said
        if size[0] >= 60:
            assert main(driver).dimmed
    async with shown(house, kit.growing(), size=size, rollouts=[kit.rollout()], **blind):
        pass


async def test_what_cannot_be_read_says_why(house: House, asked: kit.Asked) -> None:
    one = DocumentView("models", "staging", None, "", 0, problem="the folder is gone")
    async with shown(house, one) as driver:
        assert "config models can't be read: the folder is gone" in row(driver, "#attention")
        assert driver.has("it can't be read: the folder is")
        await driver.press("e")
        assert driver.message == "e is off: config models can't be read: the folder is gone"


async def test_a_draft_on_an_older_version_is_put_onto_what_is_live(house: House, asked: kit.Asked) -> None:
    one = kit.mistake(draft=kit.draft(base=125))
    async with shown(house, one) as driver:
        assert driver.has("begun on 125, live is 126")
        await driver.press("P")
        assert "the draft was begun on 125, live is 126. x, then rebase" in driver.app._said
        await driver.press("x")
        await driver.sees("rebase")
        await driver.type("rebase")
        await driver.press("enter")
        await driver.until(lambda: bool(asked.of("rebase")), "it is rebased")
        assert asked.of("rebase") == [("models", {"edition": 3})]
