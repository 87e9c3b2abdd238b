"""Health, by key only: what a person on call sees on Saturday at 09:14, what helps, how it recovers; and when all is well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mlconsole.engine import acting, alarming, observing, snapshots
from mlconsole.engine.views import ActionRunView, AnswerView, EndpointHealthView, FiguresView, HealthView, MarkView, SliceView, WatcherView
from mlconsole.tui.frame import Bar
from tui import health_kit as kit
from tui.health_kit import shown
from tui.kit import Driver, House, main, over, row, took

WIDE = ((140, 40), (100, 30))
BOXES = (*WIDE, (80, 24))
ALL = (*BOXES, (48, 20))
NASTY = "\x1b[31mred\x1b[0m\u202egnp.exe\x9b2J\u2066\u2029end"


def action(name: str = "refill-embeddings", **given: Any) -> SimpleNamespace:
    base = {"name": name, "summary": "loads the vectors again", "safe": True, "time_limit": 600.0, "checks": "redis-embeddings"}
    return SimpleNamespace(**{**base, "parameters": (), **given})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked of the engine; its actions are one that mends and two drills."""
    calls: list[tuple[Any, ...]] = []
    offered = (action(), action("drill-collapsed-version", summary="v5 answers the same"), action("drill-broken-language"))
    monkeypatch.setattr(acting, "actions", lambda session: offered)

    def ask(session: Any, name: str, parameters: Any, *, alarm: int | None, probe: str, reason: str) -> ActionRunView:
        calls.append(("ask", name, dict(parameters), alarm, probe))
        return ActionRunView("r7", name, "asked", "anna", kit.NOW, None, "", alarm, probe)

    monkeypatch.setattr(acting, "ask", ask)
    monkeypatch.setattr(alarming, "acknowledge", lambda session, number, text: calls.append(("acknowledge", number, text)))
    monkeypatch.setattr(observing, "tail", lambda session, endpoint, limit: [f"09:14:0{place} {endpoint} 0.73" for place in range(9)])
    return calls


# The Saturday incident.


@pytest.mark.parametrize("size", BOXES)
async def test_on_saturday_it_says_what_is_wrong_and_what_would_help(house: House, size: tuple[int, int]) -> None:
    async with shown(house, kit.saturday(), size) as driver:
        assert "[5 Health]" in row(driver, "#screens")
        assert row(driver, "#attention").startswith("✖ relevance, category: all predictions identical for 22 min · nobody has it")
        assert row(driver, "#attention").endswith("a ack")
        assert over(driver, "#attention") == "reverse red"
        assert "guardian ●" in row(driver, "#world")
        assert driver.has("relevance · ALL PREDICTIONS IDENTICAL", "since 08:52:10", "1 148 predictions, all 0.73 · 1 121 inputs")
        assert driver.has("versions   v6 ✖", "languages  de ✖  en ✖  fr ✖  pl ✖", "08:48 redis-embeddings 1 214 883 keys → 0")
        assert driver.has("errors 0.2 %, p95 31 ms: every ordinary alarm says OK", "u would NOT help: nothing was", "run refill-embeddings")
        assert driver.has("08:00 – 09:14", "same output", "over threshold", "usual 3 %", "▲")
        assert "✖ identical" in driver.line("▸relevance")
        assert "100 %" in driver.line("▸relevance")
        assert "08:52" in driver.line("▸relevance")
        if size[0] >= 100:
            assert driver.has("what would help", "acknowledge: tells the team", "usual      3 % equal", "faults 2 of 9")
            assert driver.has("✖ redis-embeddings 0 keys, wanted > 1 M, memory 1 %", "✔ relevance-v6 /ping")


async def test_the_trend_shows_when_it_began(house: House) -> None:
    async with shown(house, kit.saturday(), (140, 40)) as driver:
        same, errors, keys = driver.line("same output"), driver.line("errors  "), driver.line("redis keys")
        begin = same.index("█")
        assert 0.68 < (begin - 17) / (same.rindex("█") - 16) < 0.73, "52 of 74 minutes"
        assert "█" not in errors
        assert "0.2 %" in errors
        assert keys.rstrip(" │").endswith("was 1 214 883")
        marks = driver.line("· 08:52 alarm")
        assert abs(marks.index("▲") - keys.rindex("█")) <= 2
        assert "08:52 alarm" in marks


async def test_the_phone_says_it_all_in_one_column(house: House) -> None:
    async with shown(house, kit.saturday(), (48, 20)) as driver:
        assert row(driver, "#attention") == "✖ relevance, category: IDENTICAL 22 min"
        assert driver.has("relevance, category · v6 · every slice", "since 08:52 · nobody has it", "GOING BACK WOULD NOT HELP")
        assert driver.has("WHAT WOULD HELP", "F  run refill-embeddings", "a  acknowledge")
        await driver.press("pagedown")
        assert driver.has("t  see predictions", "every ordinary alarm")
        assert "a ack" in driver.keys
        assert "F fix" in driver.keys


async def test_the_cursor_makes_another_endpoint_the_subject_and_enter_goes_in(house: House) -> None:
    async with shown(house, kit.saturday(), (100, 30)) as driver:
        await driver.press("down")
        assert "category · ALL PREDICTIONS IDENTICAL" in driver.text
        await driver.press("down")
        await driver.sees("severity · ✔ ok", "SLICE", "1 148 predictions in 1 h 00")
        assert "what would help" not in driver.text
        await driver.press("home", "enter")
        await driver.sees("relevance · ✖ identical", "VERDICT")
        assert "all endpoints" not in driver.text
        assert "✖ fail" in driver.line(" de ") or "✖" in driver.line(" de ")
        await driver.press("escape")
        await driver.sees("ALL PREDICTIONS IDENTICAL", "all endpoints")


async def test_a_acknowledges_with_what_one_does(house: House, asked: list[tuple[Any, ...]]) -> None:
    async with shown(house, kit.saturday()) as driver:
        await driver.press("a")
        await driver.sees("acknowledge alarm 31", "What do you do about it?")
        await driver.press("enter")
        await driver.sees("In a few words, please.")
        assert asked == []
        await driver.type("refilling redis")
        await driver.press("enter")
        await driver.until(lambda: "You have alarm 31" in driver.message, "it is taken")
        assert asked == [("acknowledge", 31, "refilling redis")]


async def test_a_works_on_every_screen_and_esc_leaves_all_as_it_is(house: House, asked: list[tuple[Any, ...]]) -> None:
    async with shown(house, kit.saturday(), key="2") as driver:
        assert row(driver, "#attention").endswith("! go there")
        await driver.press("a")
        await driver.sees("acknowledge alarm 31")
        await driver.press("escape")
        assert asked == []
        await driver.press("!")
        assert "[5 Health]" in row(driver, "#screens")
        assert driver.app.alarm == 31
        assert driver.app.subject == "relevance"


async def test_f_shows_the_action_before_it_runs_it(house: House, asked: list[tuple[Any, ...]]) -> None:
    async with shown(house, kit.saturday()) as driver:
        await driver.press("F")
        await driver.sees(
            "run refill-embeddings", "nothing has happened yet", "loads the vectors again", "at most 10 min", "dependency redis"
        )
        await driver.sees("check", "mlconsole action run refill-embeddings --env staging", "y run it")
        await driver.press("n")
        await driver.until(lambda: "Nothing has happened." in driver.message, "it is left")
        assert asked == []
        await driver.press("F")
        await driver.sees("y run it")
        await driver.press("y")
        await driver.until(lambda: "refill-embeddings is asked for (run r7)" in driver.message, "it is asked for")
        assert asked == [("ask", "refill-embeddings", {}, 31, "redis-embeddings")]


async def test_in_production_a_name_is_typed_unless_the_action_is_safe(
    house: House, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "actions", lambda session: (action(safe=False),))
    async with shown(house, kit.saturday(), production=True) as driver:
        driver.app.environment = replace(driver.app.environment, production=True)
        await driver.press("F")
        await driver.sees("Type redis-embeddings to start it.")
        await driver.type("refill")
        await driver.press("enter")
        await driver.sees('"refill" is not redis-embeddings. Nothing has happened.')
        assert asked == []
        await driver.press(*["backspace"] * 6)
        await driver.type("redis-embeddings")
        await driver.press("enter")
        await driver.until(lambda: bool(asked), "it is asked for")
        monkeypatch.setattr(acting, "actions", lambda session: (action(),))
        await driver.press("F")
        await driver.sees("y run it")
        await driver.press("escape")


async def test_f_says_when_there_is_nothing_that_mends(house: House, asked: list[tuple[Any, ...]]) -> None:
    triage = replace(kit.TRIAGE, fix="", fix_told="")
    health = kit.saturday(alarms=(kit.alarm(triage=triage),), probes=(replace(kit.REDIS, repair=""),))
    async with shown(house, health) as driver:
        await driver.press("F")
        assert driver.message.startswith("F is off: no action is known that mends this.")
        assert "refill" not in driver.text.split("what would help")[1]


async def test_an_action_that_needs_something_asks_for_it(
    house: House, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = (SimpleNamespace(name="host", help="which host", default=None), SimpleNamespace(name="keys", help="", default="all"))
    monkeypatch.setattr(acting, "actions", lambda session: (action(parameters=needs),))
    async with shown(house, kit.saturday()) as driver:
        await driver.press("F")
        await driver.sees("y run it")
        await driver.press("y")
        await driver.sees("refill-embeddings: host", "which host")
        await driver.type("r2")
        await driver.press("enter")
        await driver.until(lambda: bool(asked), "it is asked for")
        assert asked[0][2] == {"host": "r2"}


async def test_t_reads_predictions_and_y_copies_the_report(
    house: House, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shown(house, kit.saturday()) as driver:
        copied: list[str] = []
        monkeypatch.setattr(driver.app, "copy_to_clipboard", copied.append)
        await driver.press("t")
        await driver.sees("predictions of relevance", "09:14:08 relevance 0.73")
        await driver.press("escape", "y")
        assert "ALL PREDICTIONS IDENTICAL (alarm 31, firing)" in copied[0]
        assert "u would NOT help: nothing was released" in copied[0]
        assert "fix: mlconsole action run refill-embeddings --env staging" in copied[0]


async def test_brackets_change_the_time_and_the_watch_is_told(house: House) -> None:
    async with shown(house, kit.saturday()) as driver:
        await driver.press("]")
        assert driver.app.health_minutes == 120.0
        assert "2 h 00" in driver.message
        await driver.press("[", "[")
        assert driver.app.health_minutes == 30.0
        for _ in range(5):
            await driver.press("[")
        assert driver.app.health_minutes == 10.0
        assert "no other time" in driver.message
        driver.app._looking = False
        driver.app.look()
        await driver.until(lambda: not driver.app._looking, "it is looked")
        assert driver.app._watched().minutes == 10.0


# It recovers.


@pytest.mark.parametrize("size", BOXES)
async def test_recovery_is_proven_slice_by_slice(house: House, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(house, kit.recovery(), size) as driver:
        assert row(driver, "#attention").startswith("▲ relevance: recovering, 1 of 4 proven again · anna has it")
        assert "F refill-embeddings ✔ done" in row(driver, "#world")
        assert driver.has("relevance · RECOVERING · was: all predictions identical", "SAME NOW", "n SINCE FIX")
        assert "✔ well again" in driver.line("en  ")
        assert "? 27 more, 22 min" in driver.line("de  ")
        assert "✔" not in driver.line("de  ")
        assert driver.has("what happened", "09:15:40  anna acknowledged", "09:22:52  first differing predictions", "left to do")
        assert driver.has(
            "1 590 predictions between 08:52:10 and 09:22:52 are wrong (relevance)", "closes by itself once de is proven (22 min)"
        )
        copied: list[str] = []
        monkeypatch.setattr(driver.app, "copy_to_clipboard", copied.append)
        await driver.press("y")
        assert copied == ["mlconsole health affected 31 --csv --env staging"]


async def test_recovery_on_a_phone(house: House) -> None:
    async with shown(house, kit.recovery(), (48, 20)) as driver:
        assert driver.has("relevance · RECOVERING · anna has it", "? 27 more", "✔ well again")


# All is well, nothing is known, nothing is judged.


@pytest.mark.parametrize("size", BOXES)
async def test_quiet_it_shows_slices_scores_and_pairs(house: House, size: tuple[int, int]) -> None:
    async with shown(house, kit.quiet(), size) as driver:
        assert row(driver, "#attention") == "✔ nothing needs you"
        assert driver.has("relevance · ✔ ok · note", "v6 beside its shadow v7 · 13 860 pairs in 30 min", "97 % within 0.05")
        assert "what would help" not in driver.text
        assert driver.has("412 d old")
        if size[0] >= 100:
            assert driver.has("scores beside usual · PSI 0.03")
        await driver.press("enter")
        assert driver.has("PSI 0.03")
        if size[1] >= 30:
            assert driver.has("req-1", ".20 → .80")


@pytest.mark.parametrize("size", ALL)
async def test_no_data_is_a_grey_question_mark_and_never_green(house: House, size: tuple[int, int]) -> None:
    async with shown(house, kit.no_data(), size) as driver:
        assert "? no data" in driver.text
        below = "\n".join(driver.lines[4:])
        assert "✔" not in below
        if size[0] >= 60:
            assert "newest prediction 34 min old" in driver.text
            state = main(driver).rows[0].cells["state"]
            assert state == ("? no data", "dim")


@pytest.mark.parametrize("size", ALL)
async def test_where_health_is_not_judged_the_screen_teaches_what_it_takes(house: House, size: tuple[int, int]) -> None:
    async with shown(house, None, size) as driver:
        assert driver.has("Health is not judged in this environment.", "application_logs", "probes:")
        for key in ("t", "F", "]"):
            await driver.press(key)
            assert "health is not judged here" in driver.message
        await driver.press("a", "enter", "escape", "y", "x", "escape", "n", "f", "f")
        assert "only you watch" in row(driver, "#world") or size[0] < 60


async def test_a_region_that_has_nothing_is_absent(house: House) -> None:
    health = kit.quiet(endpoints=(kit.well("relevance"),), probes=())
    async with shown(house, health, (140, 40)) as driver:
        for word in ("dependencies", "pairs", "scores", "shorter", "what happened", "left to do", "to know"):
            assert word not in driver.text
        assert driver.lines[-3].startswith("└")


# Whatever comes.


@pytest.mark.parametrize("size", ALL)
async def test_forty_endpoints(house: House, size: tuple[int, int]) -> None:
    many = tuple(kit.well(f"endpoint-{place:02}", trends=kit.trends()) for place in range(40))
    async with shown(house, kit.quiet(endpoints=many), size) as driver:
        await driver.press("end")
        assert driver.app.subject == "endpoint-39"
        assert "endpoint-39" in driver.text
        await driver.press("n")
        assert driver.app.subject == "endpoint-00"


def _foreign() -> HealthView:
    answer = AnswerView(NASTY, "fail", True, NASTY, NASTY, NASTY, NASTY, 1.0, text=NASTY * 9)
    slices = (
        SliceView("", "fail", FiguresView(), FiguresView(), answer),
        SliceView(NASTY, "fail", kit.COLLAPSED, kit.USUAL, answer, (NASTY,)),
    )
    marks = (MarkView(kit.NOW + timedelta(days=900), NASTY, NASTY), MarkView(kit.at("08:50"), NASTY, NASTY * 5))
    trend = replace(kit.trends()[3], name=NASTY, unit=NASTY, values=(1e300, None, -5.0, float("1e-9")))
    one = EndpointHealthView(NASTY, "fail", NASTY, FiguresView(), FiguresView(), slices, (answer,), trends=(trend,), marks=marks, alarm=1)
    found = kit.finding(NASTY, text=NASTY * 9, slices=(NASTY, ""), subject=NASTY, proven={NASTY: 3})
    triage = replace(kit.TRIAGE, title=NASTY, lines=((NASTY, NASTY * 9),) * 9, revert=NASTY * 9, fix=NASTY, fix_told=NASTY, ordinary=NASTY)
    events = ((kit.NOW, NASTY * 9),) * 30
    given: dict[str, Any] = {"title": NASTY, "question": NASTY, "endpoints": (NASTY,), "findings": (found,), "triage": triage}
    probe = replace(kit.REDIS, name=NASTY, text=NASTY * 9, endpoints=(NASTY,))
    alarm = kit.alarm(number=1, events=events, acknowledged_by=NASTY, acknowledged_text=NASTY, **given)
    return kit.saturday(endpoints=(one, kit.well("b" * 300)), alarms=(alarm,), probes=(probe,) * 9, trouble=NASTY)


@pytest.mark.parametrize("size", [*ALL, (60, 20), (99, 24)])
async def test_foreign_text_breaks_no_frame(house: House, size: tuple[int, int]) -> None:
    firing = _foreign()
    recovering = replace(firing, alarms=(replace(firing.alarms[0], state="recovering"),))
    for health in (firing, recovering):
        async with shown(house, health, size) as driver:
            await driver.press("enter", "down", "escape", "down", "up", "y", "?", "escape", "2", "5")
            assert "\x1b" not in driver.text


@pytest.mark.parametrize("make", [kit.saturday, kit.recovery, kit.quiet, kit.no_data])
async def test_in_ascii_nothing_is_lost(house: House, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCONSOLE_ASCII", "1")
    for size in ALL:
        async with shown(house, make(), size) as driver:
            await driver.press("enter", "escape")
            assert driver.text.isascii(), [line for line in driver.lines if not line.isascii()]


async def test_only_what_changed_is_drawn(house: House) -> None:
    async with shown(house, kit.saturday(), (100, 30)) as driver:
        health = kit.saturday()
        first, *rest = health.endpoints
        other = replace(health, endpoints=(replace(first, figures=replace(first.figures, rate=1.1)), *rest))
        refreshed: list[Any] = []
        screen = driver.app.screen
        for widget in screen.query("*"):
            real = widget.refresh

            def refresh(*regions: Any, widget: Any = widget, real: Any = real, **given: Any) -> Any:
                refreshed.append((widget.id, regions))
                return real(*regions, **given)

            monkey: Any = widget
            monkey.refresh = refresh
        assert driver.app.snapshot is not None
        driver.app.snapshot = replace(driver.app.snapshot, health=other)
        driver.app.render_all()
        assert [name for name, _ in refreshed] == ["main"], refreshed
        assert refreshed[0][1][0].height == 1
        assert refreshed[0][1][0].width < 12


async def test_the_first_frame_shows_the_last_known_alarm(house: House) -> None:
    for health in (kit.saturday(), kit.recovery(), kit.quiet(), kit.no_data()):
        snapshots.keep(house.root / ".mlconsole", kit.with_health(took(house), health))
        kept = snapshots.last(house.root / ".mlconsole", "staging")
        assert kept is not None
        assert kept.health == health


# The frame.


def _told(driver: Driver) -> Sequence[tuple[str, str]]:
    return driver.app.screen_stack[0].query_one("#world", Bar)._left


async def test_row_two_says_who_watches(house: House) -> None:
    nobody = WatcherView(alive=False, since=kit.at("07:58"))
    for health, status, said, style in (
        (kit.quiet(watcher=nobody), {}, "NOBODY WATCHES since 07:58", "yellow"),
        (kit.saturday(watcher=nobody), {}, "NOBODY WATCHES since 07:58", "reverse red"),
        (kit.quiet(watcher=WatcherView(alive=False)), {}, "NOBODY WATCHES", "yellow"),
        (kit.quiet(), {}, "guardian ●", ""),
    ):
        async with shown(house, health, **status) as driver:
            assert (said, style) in _told(driver), _told(driver)


async def test_when_nobody_watches_it_is_said_once_in_a_while_and_not_in_red(house: House) -> None:
    nobody = WatcherView(alive=False)
    seen = set()
    for minute in range(10):
        async with shown(house, kit.quiet(watcher=nobody, at=kit.NOW + timedelta(minutes=minute)), (120, 30)) as driver:
            seen.add(row(driver, "#attention"))
            assert over(driver, "#attention") == ""
    assert len(seen) == 2
    assert any("Nobody pages you at night. mlconsole guardian install" in text for text in seen)


async def test_row_two_drops_what_matters_least_and_keeps_the_counts(house: House) -> None:
    health = kit.quiet(watcher=WatcherView(alive=False, since=kit.at("07:58")))
    async with shown(house, health, (100, 30)) as driver:
        assert driver.app.snapshot is not None
        change = replace(driver.app.snapshot.changes[0], state="running", now="v3 90 · v4 10", then="v3 50 · v4 50 in de en fr pl", steps=9)
        snapshot = driver.app.snapshot
        driver.app.snapshot = replace(snapshot, status=replace(snapshot.status, running=(change, change)))
        for width in (140, 100, 80, 60, 48):
            await driver.pilot.resize_terminal(width, 30)
            await driver.pilot.pause()
            told = driver.lines[1]
            assert "…" not in told
            assert "NOBODY WATCHES" in told
            assert "data live" in told
            assert "✔8" in told
            assert width < 80 or "~ relevance" in told


async def test_a_long_refusal_can_be_read_in_whole(house: House) -> None:
    long = "relevance is locked by tomek@bastion-1 since 14:02. " * 4 + "Wait: mlconsole wait relevance."
    async with shown(house, kit.quiet(), (80, 24)) as driver:
        driver.app.say(long)
        await driver.pilot.pause()
        assert driver.lines[-2].rstrip().endswith("? all of it")
        await driver.press("?")
        await driver.sees("Wait: mlconsole wait relevance.")
        await driver.press("escape")
        driver.app.say("short")
        await driver.pilot.pause()
        assert "all of it" not in driver.lines[-2]


async def test_the_clock_goes_on_under_a_dialog(house: House) -> None:
    async with shown(house, kit.saturday()) as driver:
        await driver.press("a")
        await driver.sees("acknowledge alarm 31")
        later = kit.NOW + timedelta(minutes=31)
        driver.app.now = lambda: later  # type: ignore[method-assign]
        driver.app._tick()
        await driver.sees("09:45", "DATA 31 MIN OLD")


# Endpoints.


async def test_endpoints_says_it_in_its_state_and_columns(house: House) -> None:
    async with shown(house, kit.saturday(), (120, 40), key="2") as driver:
        line = driver.line("▸relevance")
        assert "✖ identical" in line
        assert "100 %" in line
        assert " all " in line
        assert driver.has("WORST", "P95", "SAME", "all predictions identical  ✖ alarm 31  nobody has it")
        assert "✔ ok" in driver.line(" severity")
    async with shown(house, None, (120, 40), key="2") as driver:
        assert "WORST" not in driver.text


async def test_what_cannot_be_seen_says_how_it_was(house: House) -> None:
    async with shown(house, None, key="2") as driver:
        assert driver.app.snapshot is not None
        snapshot = driver.app.snapshot
        from mlconsole.engine.views import State

        blind = replace(snapshot.status.endpoints[0], state=State.NO_DATA, was=State.OK, as_of=kit.NOW)
        driver.app.snapshot = replace(snapshot, status=replace(snapshot.status, endpoints=(blind,)))
        driver.app.render_all()
        await driver.sees("? was ✔ ok")


async def test_after_a_revert_u_says_that_a_release_has_to_be_named(house: House) -> None:
    async with shown(house, None, key="2") as driver:
        assert driver.app.snapshot is not None
        snapshot = driver.app.snapshot
        back = replace(snapshot.status.endpoints[0], way_back="this is a revert already; name a release with --to")
        driver.app.snapshot = replace(snapshot, status=replace(snapshot.status, endpoints=(back,)))
        driver.app.render_all()
        await driver.press("u")
        assert "went back already, so a release has to be named" in driver.message
        assert "6, then u" in driver.message


# Drills.


async def test_with_nothing_wrong_the_demo_offers_drills(house: House, asked: list[tuple[Any, ...]]) -> None:
    async with shown(house, kit.quiet()) as driver:
        await driver.press("!")
        await driver.sees("drills: something breaks on purpose", "collapsed version", "broken language", "v5 answers the same")
        await driver.type("broken")
        await driver.press("enter")
        await driver.until(lambda: bool(asked), "it is begun")
        assert asked == [("ask", "drill-broken-language", {}, None, "")]


async def test_whom_it_was_told_stands_in_the_message_line(house: House) -> None:
    async with shown(house, kit.saturday()) as driver:
        assert driver.message == "paged ops 08:53. a stops the paging."
    async with shown(house, kit.quiet()) as driver:
        assert driver.message == ""
        await driver.press("a")
        assert driver.message == "a is off: there is no open alarm."


async def test_an_alarm_about_no_endpoint_is_shown_where_the_exclamation_mark_leads(house: House) -> None:
    found = kit.finding("", question="dependency", subject="kafka", slices=(), variants=())
    alone = kit.alarm(endpoints=(), title="kafka failing", findings=(found,), triage=replace(kit.TRIAGE, title="kafka failing"))
    async with shown(house, kit.quiet(alarms=(alone,)), key="2") as driver:
        assert row(driver, "#attention").startswith("✖ kafka: kafka failing for 22 min")
        await driver.press("!")
        assert driver.has("kafka · kafka failing", "what would help", "[5 Health]")
        await driver.press("down", "up")
        assert driver.has("relevance · ✔ ok · note")


async def test_an_alarm_that_is_over_is_still_told_for_a_day(house: House) -> None:
    over_now = kit.alarm(state="closed", closed=kit.at("09:10"))
    async with shown(house, kit.quiet(alarms=(over_now,)), (100, 40)) as driver:
        assert driver.has("what happened · alarm 31, well again 09:10", "08:48:02  redis-embeddings", "✔ nothing needs you")
        await driver.press("2")
        await driver.sees("all predictions identical  ✔ well again")


async def test_without_drills_nothing_is_offered(house: House, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "actions", lambda session: (action(),))
    async with shown(house, kit.quiet()) as driver:
        await driver.press("!")
        assert driver.message == "Nothing needs you."
        assert "drills" not in driver.text


async def test_what_to_know_of_the_predictions_stands_below(house: House) -> None:
    """A sample is no count: who reads figures has to see that they are of one."""
    note = "20 of 100 requests of SageMaker endpoint relevance are captured"
    for size in WIDE:
        async with shown(house, replace(kit.quiet(), notes=(note,), probes=()), size) as driver:
            assert driver.has(f"· {note}")
