"""Rollouts by keys, at every size: where one is, what it waits for, what takes it back. The rollouts are built by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlconsole.engine.views import RolloutView
from mlconsole.tui import rollout_guards, rollout_words
from mlconsole.tui.attention import attentions
from mlconsole.tui.dialogs import Ask, Choice
from mlconsole.tui.plan_box import PlanBox
from mlconsole.tui.rollout_box import ControlBox, RolloutBox
from mlconsole.tui.signs import UNICODE
from mlconsole.tui.table import LiveTable
from tui import kit
from tui.canary_kit import live, show
from tui.kit import House, over
from tui.rollout_kit import (
    FAILED,
    GUARDS,
    HOLD,
    NAME,
    SIZES,
    WHY,
    at_rollout,
    faked,
    going_back,
    guard,
    rollout,
    with_rollouts,
)

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def text_of(lines: Any) -> str:
    return "\n".join("".join(part for part, _ in spans) for spans in lines)


# What is seen.


@pytest.mark.parametrize("size", SIZES)
async def test_a_waiting_rollout_says_where_it_is_and_what_it_waits_for(house: House, size: tuple[int, int]) -> None:
    async with at_rollout(house, size) as driver:
        await driver.sees("relevance · #2 · v3 → v4 · careful", "shadow ✔ ─ 1 % ✔ ─ 10 % ● ─ 50 %", "started", "done about")
        await driver.sees("NEXT: 50 % when all guards pass", "de: 109 requests", "to #1: v3 100 %", "hold: 109 mor")
        assert "~ relevance" in kit.row(driver, "#world")
        assert "waits 1 h 09" in kit.row(driver, "#world")
        assert "▲ relevance waits for evidence in de" in driver.text
        if size[0] >= 60:
            assert driver.has("v4 GETS", "DESIRED", "REPORTED", "OBSERVED", "guards since", "checked 6 s ago", "history", "shadow said")
            assert driver.line("errors · de").startswith("│ ▸?"), "the worst stands first, and has the cursor"
        if size[0] >= 100:
            assert driver.has("way back", "u  to #1", "p  hold here (guards go on)", "guards do it alone on a FAIL")
            assert driver.has("N  now, without it: asks why", "E  lets shadow evidence count", "┬", "┴")
            assert driver.has("pass  worst fr 0.4 %", "too few · only informs", "errors · pl cs", "dry run: would go back", "4 of 4")


@pytest.mark.parametrize("size", SIZES)
async def test_going_back_says_why_and_waits_until_nobody_reaches_it(house: House, size: tuple[int, int]) -> None:
    async with at_rollout(house, size, going_back) as driver:
        await driver.sees("#2 → #1", "GOING BACK", "FAIL", "errors · de")
        assert "← relevance going back" in kit.row(driver, "#world")
        assert "reverse" in over(driver, "#attention")
        assert driver.has("waiting until v4 gets no request")
        assert not driver.has("guards since")
        if size[0] >= 60:
            assert driver.has(
                "nothing for you to do", "field title_de is missing", "en is fine.", "steps", "v4 100 %", "limit +1.0 pt", "n 9"
            )


async def test_that_nobody_reaches_it_any_more_is_seen_not_said(house: House) -> None:
    async with at_rollout(house, (100, 30), going_back) as driver:
        await driver.sees("waiting until v4 gets no request")
        snapshot = driver.app.snapshot
        assert snapshot is not None
        endpoint = snapshot.status.endpoints[0]
        none = tuple(replace(one, observed=0.0, observed_n=90) if one.name == "v4" else one for one in endpoint.variants)
        status = replace(snapshot.status, endpoints=(replace(endpoint, variants=none),))
        show(driver, replace(snapshot, status=status))
        await driver.sees("v4 got none of the last 90 requests")


@pytest.mark.parametrize("size", SIZES)
async def test_one_that_is_over_stays_readable_and_the_rest_is_as_every_day(house: House, size: tuple[int, int]) -> None:
    async with at_rollout(house, size, going_back) as driver:
        await driver.sees("GOING BACK")
        snapshot = driver.app.snapshot
        assert snapshot is not None
        at = snapshot.status.at + timedelta(minutes=1)
        ended = replace(snapshot.rollouts[0], state="reverted", ended=at)
        show(driver, with_rollouts(snapshot, ended))
        await driver.sees_not("GOING BACK")
        await driver.sees("v3 → v4", "went back")
        assert "no change" in kit.row(driver, "#world") or size[0] < 60
        assert driver.has("▲ relevance: errors in de: 100 %")
        if size[0] >= 60:
            assert driver.has("VARIANT", "steps · deploy #2", "what happened here")


@pytest.mark.parametrize("size", SIZES)
async def test_no_guard_yet_and_no_event_is_no_empty_box_of_guesses(house: House, size: tuple[int, int]) -> None:
    async with at_rollout(
        house, size, guards=(), events=(), checked=None, shadow_told="", waits_for=(), why="", driver="", done_about=None
    ) as driver:
        await driver.sees("v3 → v4")
        assert not driver.has("shadow said")
        assert "nobody drives it just now" in driver.text
        if size[0] >= 60:
            assert driver.has("NOT CHECKED YET", "no guard was asked yet")


async def test_with_a_language_only_its_guards_and_shares(house: House) -> None:
    async with at_rollout(house, (140, 40)) as driver:
        driver.app.language = "en"
        driver.app.render_all()
        await driver.sees_not("errors · de")
        assert driver.has("errors · en, all")


async def test_many_stages_are_told_around_the_present_one(house: House) -> None:
    async with at_rollout(house, (80, 24)) as driver:
        snapshot = driver.app.snapshot
        assert snapshot is not None
        one = snapshot.rollouts[0]
        stages = tuple(
            replace(one.stages[0], name=f"{slice_} {share} %", state="done" if place < 7 else "now" if place == 7 else "to come")
            for place, (slice_, share) in enumerate((slice_, share) for slice_ in ("de", "en", "fr", "pl") for share in (10, 50, 100))
        )
        show(driver, with_rollouts(snapshot, replace(one, stages=stages, stage=7)))
        await driver.sees("fr 50 % ●")
        line = driver.line("fr 50 % ●")
        assert "… " in line
        assert line.rstrip(" │").endswith("…")
        assert "stage 8/12" in kit.row(driver, "#world") or "fr 50 %" in kit.row(driver, "#world")


# Keys.


@pytest.mark.parametrize("size", SIZES)
async def test_R_chooses_a_version_shows_the_plan_and_begins(house: House, size: tuple[int, int], monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, size, lambda now: rollout(now, "done", 5)) as driver:
        await driver.press("R")
        await driver.until(lambda: isinstance(driver.app.screen, Choice), "which version")
        await driver.type("relevance@5")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, RolloutBox), "the plan")
        assert asked.calls == [("plan", NAME, "5", {"attended": False})]
        for word in ("now", "then", "path", "ends", "back", "alone", "watch", "guards"):
            assert driver.has(word)
        await driver.press(*["down"] * 12)
        assert driver.has("Cancel", "Start", "y start it")
        assert driver.has('▲ "latency" measures nothing here') or size[1] < 24
        await driver.press("y")
        await driver.until(lambda: ("begin", "7f3a") in asked.calls, "it has begun")
        await driver.until(lambda: "the rollout has begun" in driver.message, "and that is said")


async def test_leaving_the_plan_begins_nothing(house: House, monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, (100, 30), lambda now: rollout(now, "done", 5)) as driver:
        await driver.press("R", "enter")
        await driver.until(lambda: isinstance(driver.app.screen, RolloutBox), "the plan")
        await driver.press("escape")
        await driver.until(lambda: driver.message.startswith("Nothing has happened."), "that is said")
        assert [call[0] for call in asked.calls] == ["plan"]


@pytest.mark.parametrize("size", SIZES)
async def test_a_refused_rollout_is_shown_and_cannot_be_started(house: House, size: tuple[int, int], monkeypatch: Any) -> None:
    asked = faked(monkeypatch, refused="Frozen until Mon 08:00.", confirm=NAME)
    async with at_rollout(house, size, lambda now: rollout(now, "done", 5)) as driver:
        await driver.press("R", "enter")
        await driver.until(lambda: isinstance(driver.app.screen, RolloutBox), "the plan")
        await driver.press(*["down"] * 30)
        await driver.sees("Frozen until Mon 08:00.", "Start is off.")
        await driver.press("tab", "enter", "y")
        assert isinstance(driver.app.screen, RolloutBox)
        await driver.press("escape")
        assert [call[0] for call in asked.calls] == ["plan"]


async def test_one_that_nobody_would_watch_may_be_attended(house: House, monkeypatch: Any) -> None:
    asked = faked(monkeypatch, refused="Nobody would watch this rollout. Start a guardian, or keep this screen open: --attended.")
    async with at_rollout(house, (100, 30), lambda now: rollout(now, "done", 5)) as driver:
        await driver.press("R", "enter")
        await driver.sees("Nobody would watch this rollout", "a: you stay with it")
        await driver.press("a")
        await driver.until(lambda: len(asked.calls) == 2, "planned again")
        assert asked.calls[1][3] == {"attended": True}
        await driver.sees("y start it")
        await driver.press("y")
        await driver.until(lambda: ("begin", "7f3a") in asked.calls, "it has begun")


async def test_in_production_the_name_is_typed(make_house: Any, monkeypatch: Any) -> None:
    house = make_house()
    kit.changed(house, (NAME, "deploy", "3"), environment="production")
    asked = faked(monkeypatch, confirm=NAME, environment="production", production=True)
    async with at_rollout(house, (100, 30), lambda now: rollout(now, "done", 5), environment="production") as driver:
        await driver.press("R", "enter")
        await driver.sees("This changes production. Type relevance to start it.")
        await driver.type("relevence")
        await driver.press("enter")
        assert [call[0] for call in asked.calls] == ["plan"]
        await driver.press(*["backspace"] * 9)
        await driver.type(NAME)
        await driver.press("enter")
        await driver.until(lambda: ("begin", "7f3a") in asked.calls, "it has begun")


@pytest.mark.parametrize("screen", ["1", "2"])
async def test_R_works_on_models_and_endpoints_too(house: House, monkeypatch: Any, screen: str) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, (140, 40), lambda now: rollout(now, "done", 5)) as driver:
        await driver.press(screen)
        await driver.until(lambda: "R rollout" in driver.keys, "the key is there")
        await driver.press("R")
        if screen == "2":
            await driver.until(lambda: isinstance(driver.app.screen, Choice), "which version")
            await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, RolloutBox), "the plan")
        assert asked.calls[0][:2] == ("plan", NAME)


@pytest.mark.parametrize("size", SIZES)
async def test_p_holds_and_lets_go_on(house: House, size: tuple[int, int], monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, size) as driver:
        await driver.press("p")
        await driver.until(lambda: asked.controls == [("r1", "pause", "")], "it is held")
        await driver.until(lambda: "Guards go on" in driver.message, "and that is said")
        snapshot = driver.app.snapshot
        assert snapshot is not None
        show(driver, with_rollouts(snapshot, rollout(snapshot.status.at, "paused", why="")))
        await driver.sees("PAUSED" if size[0] >= 60 else "HELD by hand")
        assert "paused" in kit.row(driver, "#world")
        await driver.press("p")
        await driver.until(lambda: asked.controls[1:] == [("r1", "resume", "")], "it goes on")


@pytest.mark.parametrize("size", SIZES)
async def test_N_asks_why_and_goes_on_without_the_evidence(house: House, size: tuple[int, int], monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, size) as driver:
        await driver.press("N")
        await driver.until(lambda: isinstance(driver.app.screen, Ask), "why")
        assert driver.has("missing: de: 109 requests")
        await driver.press("enter")
        await driver.sees("Without a reason it does not go on.")
        await driver.type("de is asleep")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, ControlBox), "what would be done")
        assert driver.has("50 % at once, without waiting", "de is asleep")
        assert asked.controls == []
        await driver.press("y")
        await driver.until(lambda: asked.controls == [("r1", "next", "de is asleep")], "it is asked for")


@pytest.mark.parametrize("size", SIZES)
async def test_u_takes_the_rollout_back_by_one_letter(house: House, size: tuple[int, int], monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, size) as driver:
        await driver.press("u")
        await driver.until(lambda: isinstance(driver.app.screen, ControlBox), "what would be done")
        assert driver.has("now", "then", "to #1: v3 100 %", "y go back")
        await driver.press("n")  # anything else: cancel
        await driver.until(lambda: not isinstance(driver.app.screen, ControlBox), "the box is gone")
        assert asked.controls == []
        await driver.press("u", "y")
        await driver.until(lambda: asked.controls == [("r1", "revert", "")], "it goes back")


async def test_u_in_production_needs_no_name_and_forward_does(make_house: Any, monkeypatch: Any) -> None:
    house = make_house()
    kit.changed(house, (NAME, "deploy", "3"), environment="production")
    asked = faked(monkeypatch)
    async with at_rollout(house, (100, 30), environment="production") as driver:
        await driver.press("u", "y")
        await driver.until(lambda: asked.controls == [("r1", "revert", "")], "one letter goes back")
        await driver.press("E")
        await driver.sees("This changes staging. Type relevance to do it.")
        await driver.press("y", "escape")
        assert all(call[0] != "shadow" for call in asked.calls)


async def test_E_lets_the_shadow_count(house: House, monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, (100, 30)) as driver:
        await driver.press("E")
        await driver.sees("shadow evidence counts too", "97.1 % within 0.05")
        await driver.press("y")
        await driver.until(lambda: ("shadow", "r1") in asked.calls, "it counts")


async def test_x_offers_what_has_no_key(house: House, monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, (100, 30), stops_old=True) as driver:
        assert driver.has("then v3 stops")
        await driver.press("x")
        await driver.sees("roll forward", "keep the old")
        await driver.type("keep the old")
        await driver.press("enter")
        await driver.until(lambda: asked.controls == [("r1", "keep old", "")], "the old one stays")
        await driver.press("x")
        await driver.type("roll forward")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, Ask), "why")
        await driver.type("incident")
        await driver.press("enter", "y")
        await driver.until(lambda: asked.controls[1:] == [("r1", "forward", "incident")], "all of it")


@pytest.mark.parametrize(
    ("make", "key", "why"),
    [
        (rollout, "R", "R is off: relevance has a rollout already (v3→v4 at 10 %)"),
        (going_back, "u", "u is off: relevance is going back already"),
        (going_back, "p", "p is off: relevance is going back"),
        (going_back, "N", "N is off: relevance goes back to v3 already"),
        (lambda now: rollout(now, "shifting"), "N", "N is off: the change to 10 % is under way"),
        (lambda now: rollout(now, "baking", 5), "N", "N is off: v4 has all of the traffic"),
        (lambda now: rollout(now, shadow_counts=True), "E", "E is off: shadow evidence counts for relevance already"),
        (lambda now: rollout(now, stages=rollout(now).stages[1:], stage=1), "E", "E is off: the rollout of relevance had no shadow stage"),
        (lambda now: rollout(now, "done", 5), "N", "N is off: relevance has no rollout under way"),
        (lambda now: rollout(now, "done", 5), "p", "p is off: relevance has no rollout under way"),
    ],
)
async def test_a_key_that_is_off_says_why(house: House, make: Any, key: str, why: str, monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, (140, 40), make) as driver:
        await driver.press(key)
        assert driver.message.startswith(why)
        assert asked.calls == []


async def test_read_only_nothing_is_told(house: House, monkeypatch: Any) -> None:
    asked = faked(monkeypatch)
    async with at_rollout(house, (100, 30), read_only=True) as driver:
        for key in ("p", "N", "E", "u", "R"):
            await driver.press(key)
            assert "read only" in driver.message
        assert asked.calls == []


async def test_a_slider_that_moves_says_that_it_pauses_the_rollout(house: House) -> None:
    async with at_rollout(house, (100, 30)) as driver:
        await driver.press("right")
        assert "which pauses the rollout" in driver.message
        before = live(house)
        await driver.press("T")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press(*["down"] * 12)
        assert driver.has("▲ this pauses the rollout (v3→v4 at 10 %)")
        await driver.press("escape")
        assert live(house) == before


# The frame, and the other screens.


async def test_leaving_says_that_it_goes_on(house: House) -> None:
    async with at_rollout(house, (100, 30)) as driver:
        driver.app.act_quit()
        (told,) = driver.app.last_words
    assert told.startswith("goes on without you: relevance v3→v4, next look ")
    assert told.endswith("(mlconsole rollout status relevance)")


def test_that_nobody_drives_it_is_not_told_as_going_on() -> None:
    alone = rollout(NOW, driver="")
    assert rollout_words.last_words(alone, NOW, watched=False).startswith("nobody drives relevance v3→v4 just now: it stays at 10 %")
    assert rollout_words.last_words(alone, NOW, watched=True).startswith("goes on without you")


@pytest.mark.parametrize("size", SIZES)
async def test_endpoints_tells_the_rollout(house: House, size: tuple[int, int]) -> None:
    async with at_rollout(house, size) as driver:
        await driver.press("2")
        await driver.until(lambda: driver.app._shown == "endpoints", "the screen")
        await driver.pilot.pause()
        if size[0] >= 60:
            table = driver.app.view.query_one("#main", LiveTable)
            assert table.rows[0].cells["state"] == ("~ waits", "cyan")
            assert driver.has("v3 90 · v4 10")
            assert driver.has("10 % ●") or size[1] < 30
        if size[0] >= 100:
            assert driver.has("u  to #1: v3 100 %")


async def test_attention_leads_to_the_rollout_and_says_what_can_be_done(house: House) -> None:
    async with at_rollout(house, (140, 40)) as driver:
        await driver.press("2")
        await driver.press("!")
        await driver.until(lambda: driver.app._shown == "canary", "there")
        assert driver.message.startswith("Holding at 10 %: de has 41 of the 150 requests")


# Rules, without a screen.


def told_of(one: RolloutView, *, watched: bool = True) -> list[str]:
    from tui.test_tutor import ALONE

    return [found.text for found in attentions(with_rollouts(ALONE, one, watched=watched))]


def test_a_rollout_that_just_takes_its_time_needs_nobody() -> None:
    soon = replace(HOLD, need=5, seconds=12.0)
    assert told_of(rollout(NOW, guards=(soon,))) == []
    assert told_of(rollout(NOW, "shifting")) == []
    assert told_of(rollout(NOW, "baking", 5, guards=())) == []


def test_credentials_that_end_before_it_need_somebody() -> None:
    told = "its driver's credentials end 12:40, it ends 14:00"
    assert told_of(rollout(NOW, credentials=told)) == [f"{NAME}: {told}"]
    assert "nobody drives its rollout" in told_of(rollout(NOW, driver="", credentials=told), watched=False)[0], "which is worse"


def test_what_does_not_come_needs_somebody() -> None:
    silent = guard("errors", "no_data", "language=de", n=0, need=150)
    assert told_of(rollout(NOW, guards=(silent,))) == ["relevance waits for evidence in de: 0 of 150 requests, and none come"]
    asked = guard("redis", "error", text="connection refused")
    assert told_of(rollout(NOW, guards=(asked,))) == ['relevance holds at 10 %: "redis" could not be asked: connection refused']
    late = told_of(rollout(NOW, guards=(), deadline=NOW - timedelta(minutes=1)))
    assert late[0].startswith("relevance holds at 10 %: it was to be through by")
    assert told_of(rollout(NOW, "paused", guards=(), why="")) == ["relevance is paused at 10 %"]


def test_a_dry_run_and_what_is_not_judged_alarm_nobody() -> None:
    dry = replace(FAILED, dry_run=True)
    aside = replace(HOLD, judged=False, need=1000, seconds=None)
    assert told_of(rollout(NOW, guards=(dry, aside))) == []


def test_nobody_drives_and_nobody_watches() -> None:
    assert "nobody drives its rollout" in told_of(rollout(NOW, driver=""), watched=False)[0]
    assert told_of(rollout(NOW, driver="", guards=())) == [], "the guardian takes it up"


def test_what_a_guard_took_back_is_told_until_somebody_does_something() -> None:
    ended = going_back(NOW, state="reverted", ended=NOW - timedelta(hours=3))
    assert told_of(ended)[0].startswith(f"relevance: {WHY} Went back to #1")
    by_hand = rollout(NOW, "reverted", guards=GUARDS, ended=NOW)
    assert told_of(by_hand) == [], "who took it back knows"
    from tui.test_tutor import ALONE

    later = replace(rollout(NOW, guards=()), id="r2", started=NOW)
    snapshot = with_rollouts(ALONE, later, ended)
    assert attentions(snapshot) == []
    changed = replace(ALONE.status.endpoints[0], changed=NOW)
    assert attentions(with_rollouts(ALONE, ended, endpoints=(changed,))) == []


def test_the_worst_guard_stands_first_and_passes_stand_together() -> None:
    one = rollout(NOW, guards=(*GUARDS, FAILED))
    cells = [(str(row.cells["sign"][0]), str(row.cells["guard"][0])) for row in rollout_guards.rows(one, UNICODE)]
    assert cells[0] == ("✖", "errors · de")
    assert cells[1] == ("?", "errors · de")
    assert [sign for sign, _ in cells] == sorted((sign for sign, _ in cells), key="✖?✔▲·".index)
    assert ("✔", "errors · en fr, all") in cells
    styles = {row.cells["verdict"][1] for row in rollout_guards.rows(rollout(NOW), UNICODE)}
    assert "bold red" not in styles
    row = rollout_guards.rows(one, UNICODE)[0]
    assert row.cells["verdict"] == (f"FAIL  {FAILED.text}", "bold red")


def test_a_hold_is_never_green() -> None:
    for verdict in ("inconclusive", "no_data", "error"):
        row = rollout_guards.rows(rollout(NOW, guards=(guard("errors", verdict, need=3),)), UNICODE)[0]
        assert row.cells["verdict"][1] == "yellow"
        assert str(row.cells["verdict"][0]).startswith("hold: ")


@pytest.mark.parametrize("width", range(8, 80))
def test_stages_fit_and_the_present_one_is_always_there(width: int) -> None:
    told = text_of([rollout_words.stages_line(rollout(NOW), width, UNICODE)])
    assert "10 % ●" in told
    assert len(told) <= max(width, len("… 10 % ● …"))


def test_why_lines_tell_what_a_plain_alarm_would_say() -> None:
    from tui.test_tutor import caught

    lines = text_of(rollout_guards.why_lines(going_back(NOW), caught("identical", errors=0.002), 90))
    assert "a plain 5 % error alarm would say OK" in lines
    lines = text_of(rollout_guards.why_lines(going_back(NOW), caught("identical", errors=0.2), 90))
    assert "fires too" in lines


def test_the_stage_began_when_its_events_say_so() -> None:
    one = rollout(NOW, stages=tuple(replace(stage, ends=None) for stage in rollout(NOW).stages))
    assert rollout_words.stage_began(one) == NOW - timedelta(minutes=20)
    assert rollout_words.stage_began(replace(one, stage=0)) == one.started


# With the engine's own plan.


@pytest.mark.parametrize("size", SIZES)
async def test_the_engines_plan_is_shown_whole_and_says_that_nobody_would_watch(house: House, size: tuple[int, int]) -> None:
    async with at_rollout(house, size, lambda now: rollout(now, "done", 5)) as driver:
        await driver.press("R")
        await driver.until(lambda: isinstance(driver.app.screen, Choice), "which version")
        await driver.type("relevance@5")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, RolloutBox), "the plan")
        assert driver.has("now", "then", "path", "#2")
        await driver.press(*["down"] * 40)
        await driver.sees("Nobody would watch this rollout", "Start is off.")
        await driver.press("escape")
        await driver.until(
            lambda: driver.message.startswith("Nothing has happened. mlconsole rollout start relevance@5"), "and that is said"
        )
