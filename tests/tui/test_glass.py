"""Breaking the glass by key: D, T, X and R ask for a reason where something stops them, plan again with it, and it stays in sight."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from engine.test_glass import freeze
from mlconsole.core.models import Metrics
from mlconsole.plugin.roles import Invocation
from mlconsole.plugin.simulator import Behaviour, simulated_version
from mlconsole.tui.dialogs import Ask, Choice
from mlconsole.tui.frame import Bar
from mlconsole.tui.plan_box import PlanBox
from mlconsole.tui.rollout_box import RolloutBox
from tui.kit import SIZES, TOMEK, Driver, House, changed, opened

NAME = "relevance"


def settings(house: House, old: str, new: str) -> None:
    file = house.root / "mlconsole.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


@pytest.fixture
def golden(house: House) -> House:
    """Golden queries that v3 answers right, and v5 wrong."""
    session = house.session()
    house.sim.world.behave(simulated_version(NAME, "3"), Behaviour(noise=0.0))
    house.sim.world.behave(simulated_version(NAME, "5"), Behaviour(constant=0.5))
    inputs = {"text": "event 1", "language": "de"}
    right = session.backend.invoke(NAME, Invocation(inputs), "v3", probe=True).outputs
    session.registry.close()
    (house.root / "golden.jsonl").write_text(
        json.dumps({"id": "q1", "inputs": inputs, "expect": right, "tolerance": {"score": 1e-6}}) + "\n"
    )
    settings(house, "relevance: {}", "relevance: {golden: golden.jsonl}")
    return house


def frozen(house: House, environment: str = "staging") -> House:
    freeze(house.root, house.clock.now())
    if environment != "staging":  # the same window there
        text = (house.root / "mlconsole.yaml").read_text()
        window = next(line for line in text.splitlines(keepends=True) if line.startswith("    freeze:"))
        settings(house, window, "")
        settings(house, f"  {environment}:\n", f"  {environment}:\n{window}")
    return house


async def deploys(driver: Driver, version: str = "5") -> None:
    """D, which version, which share."""
    await driver.press("D")
    await driver.until(lambda: isinstance(driver.app.screen, Choice), "which version")
    await driver.type(f"relevance@{version}")
    await driver.press("enter")
    await driver.until(lambda: isinstance(driver.app.screen, Ask), "which share")
    await driver.press("enter")


async def reason(driver: Driver, text: str = "v3 leaks memory") -> None:
    """A reason is asked for, and none is no reason."""
    await driver.sees("Why all the same?", "stays on the release")
    await driver.press("enter")
    await driver.sees("Break-glass needs a reason.")
    await driver.type(text)
    await driver.press("enter")


def live(house: House, environment: str = "staging") -> tuple[int, tuple[str, ...], str]:
    session = house.session(environment=environment)
    recorded = session.registry.live_release(environment, NAME)
    session.registry.close()
    assert recorded is not None
    return recorded.release.number, recorded.release.skipped_gates, recorded.release.reason


@pytest.mark.parametrize("size", SIZES)
async def test_golden_queries_can_be_skipped_for_a_reason_from_the_plan(golden: House, size: tuple[int, int]) -> None:
    async with opened(golden, size) as driver:
        await deploys(driver)
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        assert "[ Break glass ]" in driver.text or size[0] < 80
        await driver.press(*["down"] * 20)
        await driver.sees("without the golden queries")
        await driver.press("b")
        await driver.sees("It would go without the golden queries.")
        await reason(driver)
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan, made anew")
        assert live(golden)[0] == 2, "nothing has happened yet"
        await driver.press(*["down"] * 9)
        await driver.sees("golden queries are skipped", "skipped gate: golden (v5)")
        assert "Glass ]" not in driver.text
        assert "Break glass ]" not in driver.text
        await driver.press("y")
        await driver.until(lambda: live(golden)[0] == 3, "it was done")
    assert live(golden) == (3, ("golden (v5)",), "v3 leaks memory")


async def test_without_a_reason_the_gate_stops_it_and_the_release_that_went_without_says_so(golden: House) -> None:
    async with opened(golden, (120, 40)) as driver:
        await deploys(driver)
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press("b")
        await driver.sees("Why all the same?")
        await driver.press("escape")
        await driver.until(lambda: driver.message == "Nothing has happened.", "left")
        await deploys(driver)
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press("y")
        await driver.until(lambda: "golden queries differ" in driver.message, "it was stopped")
        await deploys(driver)
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press("tab", "tab", "enter")
        await reason(driver)
        await driver.sees("same as  mlconsole deploy relevance@5", "--break-glass 'v3 leaks")
        await driver.press("y")
        await driver.sees("skipped golden (v5)")
        await driver.press("6", "home")
        await driver.sees("▲ skipped, for a reason: golden (v5)", "v3 leaks memory")


async def test_figures_that_are_worse_stop_it_and_a_reason_is_asked_for(house: House) -> None:
    settings(house, "  staging:\n", "  staging:\n    gates: {evaluation: stop}\n")
    session = house.session()
    session.registry.add_version(replace(simulated_version(NAME, "6"), metrics=Metrics("sha256:simulated", {"accuracy": 0.8})))
    session.registry.close()
    async with opened(house) as driver:
        await deploys(driver, "6")
        await driver.sees("refused · break the glass", "relevance@6 is worse than v3 in accuracy", "Nothing was changed.")
        await reason(driver, "the set is old")
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press(*["down"] * 9)
        await driver.sees("evaluation is skipped (the set is old); that stays visible on the release")
        await driver.press("y")
        await driver.until(lambda: live(house)[0] == 3, "it was done")
    assert live(house)[1] == ("evaluation (v6)",)


@pytest.mark.parametrize("size", SIZES)
async def test_in_a_freeze_a_reason_is_asked_for_and_in_production_the_name_as_well(make_house, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    house = make_house()
    changed(house, (NAME, "deploy", "3"), (NAME, "deploy", "4", "1000"), environment="production")
    frozen(house, "production")
    async with opened(house, size, environment="production") as driver:
        await driver.press("3", "right", "T")
        await driver.sees("Frozen until", "Black", "Friday", "acknowledging")
        await reason(driver)
        await driver.until(lambda: isinstance(driver.app.screen, PlanBox), "the plan")
        await driver.press("y", "enter")
        await driver.until(lambda: '"y" is not relevance' in driver.app.screen.query_one("#answers", Bar).text, "a name is wanted")
        assert live(house, "production")[0] == 2
        await driver.press("backspace")
        await driver.type(NAME)
        await driver.press("enter")
        await driver.until(lambda: live(house, "production")[0] == 3, "it was done")
    assert live(house, "production") == (3, ("freeze (Black Friday)",), "v3 leaks memory")


async def test_where_a_name_is_typed_the_third_answer_is_reached_by_tab(make_house) -> None:  # type: ignore[no-untyped-def]
    house = make_house()
    changed(house, (NAME, "deploy", "3"), environment="production")
    (house.root / "golden.jsonl").write_text(
        '{"id": "q", "inputs": {"text": "a"}, "expect": {"score": 0.5}, "tolerance": {"score": 1.0}}\n'
    )
    settings(house, "relevance: {}", "relevance: {golden: golden.jsonl}")
    async with opened(house, environment="production") as driver:
        await deploys(driver)
        await driver.sees("Type relevance to start it.", "[ Break glass ]", "tab to Break glass")
        await driver.press("b")
        assert isinstance(driver.app.screen, PlanBox), "a name may begin so"
        await driver.press("tab", "tab", "enter")
        await reason(driver)
        await driver.sees("skipped gate: golden (v5)", "Type relevance to start it.")
        await driver.press("escape")


@pytest.mark.parametrize("size", SIZES)
async def test_a_freeze_stands_in_the_first_row_until_it_is_over(house: House, size: tuple[int, int]) -> None:
    frozen(house)
    async with opened(house, size) as driver:
        badge = f"FREEZE until {(house.clock.now() + timedelta(hours=1)).astimezone():%H:%M}" if size[0] >= 60 else "FREEZE"
        assert badge in driver.lines[0]
        house.clock.advance(3700)
        await driver.until(lambda: "FREEZE" not in driver.lines[0], "it is over")
    async with opened(house, size, environment="production") as driver:
        assert "FREEZE" not in driver.lines[0]


async def test_going_back_is_never_frozen_and_no_glass_is_offered(house: House) -> None:
    frozen(house)
    async with opened(house) as driver:
        await driver.press("u")
        await driver.sees("y go back")
        assert "lass ]" not in driver.text
        await driver.press("b")
        await driver.until(lambda: "Nothing has happened" in driver.message, "anything else cancels")
        await driver.press("u", "y")
        await driver.until(lambda: live(house)[0] == 3, "it went back")


async def test_leaving_the_question_changes_nothing_and_read_only_asks_none(house: House) -> None:
    frozen(house)
    async with opened(house) as driver:
        await driver.press("X")
        await driver.type("the whole")
        await driver.press("enter")
        await driver.sees("Frozen until", "Why all the same?")
        await driver.press("escape")
        await driver.until(lambda: driver.message == "Nothing has happened.", "left")
    async with opened(house, read_only=True) as driver:
        await driver.press("D")
        assert "read only" in driver.message
    assert live(house)[0] == 2


# Rollouts, with the engine's own plan.


@pytest.fixture
def watched(golden: House) -> House:
    settings(golden, "    options:", "    probes: {}\n    options:")
    session = golden.session(TOMEK)
    session.registry.watch("staging", TOMEK, os.getpid(), every=1e6)
    session.registry.close()
    return golden


async def rolls_out(driver: Driver) -> None:
    await driver.press("R")
    await driver.until(lambda: isinstance(driver.app.screen, Choice), "which version")
    await driver.type("relevance@5")
    await driver.press("enter")
    await driver.until(lambda: isinstance(driver.app.screen, RolloutBox), "the plan")


def begun(house: House) -> tuple[str, ...] | None:
    session = house.session()
    claim = session.registry.claim("staging", NAME)
    session.registry.close()
    return None if claim is None else claim.skipped_gates


@pytest.mark.parametrize("size", SIZES)
async def test_a_rollout_that_is_frozen_is_planned_again_with_a_reason(watched: House, size: tuple[int, int]) -> None:
    frozen(watched)
    async with opened(watched, size, screen="3") as driver:
        await rolls_out(driver)
        await driver.press(*["down"] * 30)
        await driver.sees("Black")
        assert "b: break the glass" in driver.text or size[0] < 60
        await driver.press("y", "tab", "enter")
        assert isinstance(driver.app.screen, RolloutBox), "it can't be started"
        await driver.press("b")
        await driver.sees("Frozen until")
        await reason(driver)
        await driver.until(lambda: isinstance(driver.app.screen, RolloutBox), "the plan, made anew")
        assert begun(watched) is None
        await driver.press(*["down"] * 12)
        await driver.sees("golden queries and the freeze")
        await driver.press("y")
        await driver.until(lambda: begun(watched) is not None, "it has begun")
        await driver.sees("skipped: golden")
    assert begun(watched) == ("golden (v5)", "freeze (Black Friday)")


async def test_one_that_nothing_refuses_can_go_without_its_golden_queries(watched: House) -> None:
    async with opened(watched, (120, 40), screen="3") as driver:
        await rolls_out(driver)
        await driver.sees("b: without the golden queries, for a reason that stays visible on the release", "[ Break glass ]")
        await driver.press("b")
        await reason(driver)
        await driver.sees("golden queries are skipped (v3 leaks memory)", "--break-glass", "'v3 leaks memory'")
        await driver.press("escape")
        await driver.until(lambda: "--break-glass" in driver.message, "how it is begun")
    assert begun(watched) is None
