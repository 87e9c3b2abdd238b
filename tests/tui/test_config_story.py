"""Config by key with the real engine behind it: from the first version to a change of one language, and back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from engine.config_kit import BODY, DOC, ConfigHouse, config_house, first
from mlconsole.engine import detached, rolling
from tui import kit
from tui.kit import Driver, opened, row


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigHouse:
    """A workspace with one config document, of which nothing is published; what the console begins runs in a thread."""
    made = config_house(tmp_path)
    monkeypatch.setattr(kit.Threaded, "house", made, raising=False)
    monkeypatch.setattr(kit.Threaded, "running", [], raising=False)
    monkeypatch.setattr(detached, "Detached", kit.Threaded)
    return made


@pytest.fixture
def published(house: ConfigHouse) -> ConfigHouse:
    """Version 1 is live."""
    session = house.session()
    first(session)
    session.registry.close()
    return house


async def changes(driver: Driver, language: str, value: str) -> None:
    """Draft another threshold for a language."""
    await driver.press("home", *["down"] * ["en", "de", "pl"].index(language), "enter")
    await driver.sees(f"relevance · {language} · threshold", "now ")
    await driver.type(value)
    await driver.press("enter")
    await driver.sees(f"→{value}", "if you publish it")


async def publishes(driver: Driver, reason: str, *, at_once: bool = True) -> None:
    """P, why, how; up to the box."""
    await driver.press("P")
    await driver.sees("Why?")
    await driver.type(reason)
    await driver.press("enter")
    await driver.sees("publish config models how")
    await driver.press(*(["down"] if at_once else []), "enter")


async def test_the_first_version_is_begun_in_the_editor_and_published(house: ConfigHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "true")
    async with opened(house, screen="4") as driver:
        monkeypatch.setattr(driver.app, "suspend", nullcontext)
        await driver.sees("Nothing of models is published yet.")
        await driver.press("e")
        await driver.sees("your draft", "relevance", "0.52")
        await driver.press("P")
        await driver.sees("Why?")
        await driver.type("the first")
        await driver.press("enter")
        await driver.sees("config models", "nothing has happened yet", "y do it")
        assert house.published().version is None
        await driver.press("y")
        await driver.sees("config models · live 1", "versions of models", "the first")
        assert house.published().version == 1


async def test_a_value_is_changed_published_and_taken_back(published: ConfigHouse) -> None:
    async with opened(published, screen="4") as driver:
        await driver.sees("config models · live 1")
        await changes(driver, "pl", "0.4")
        assert row(driver, "#attention").startswith("▲ your draft on 1 is not published: 1 value")
        assert published.live()["relevance"]["pl"]["threshold"] == 0.48
        await publishes(driver, "pl misses too many")
        await driver.sees("changes  relevance · pl · threshold  0.48 → 0.4", "y do it")
        await driver.press("y")
        await driver.sees("config models · live 2")
        assert published.live()["relevance"]["pl"]["threshold"] == 0.4
        assert '"threshold": 0.4}' in published.text()
        await driver.sees_not("your draft")
        await driver.press("u")
        await driver.sees("y go back", "relevance · pl · threshold")
        await driver.press("y")
        await driver.until(lambda: published.live()["relevance"]["pl"]["threshold"] == 0.48, "it is taken back")
        await driver.sees("config models · live")
        await driver.press("6")
        await driver.sees("config models 1 → 2", "config models")


async def test_the_reason_speaks_of_another_language_and_the_value_moves_there(published: ConfigHouse) -> None:
    async with opened(published, screen="4") as driver:
        await driver.sees("config models · live 1")
        await changes(driver, "pl", "0.45")
        await publishes(driver, "de misses too many")
        await driver.sees("y do it", "de")
        await driver.press("escape")
        await driver.until(lambda: "speaks of de" in driver.text or "de," in driver.line("▲ the reason"), "lint names it")
        await driver.press("m")
        await driver.sees("move relevance · pl · threshold 0.45 to which language")
        await driver.type("de")
        await driver.press("enter")
        await driver.sees("0.52→0.45")
        assert "0.48→" not in driver.text
        await driver.press("x")
        await driver.type("discard")
        await driver.press("enter")
        await driver.sees("y discard")
        await driver.press("y")
        await driver.sees_not("your draft")
        assert published.published().version == 1


async def test_production_wants_the_language(published: ConfigHouse) -> None:
    session = published.session(environment="production")
    first(session)
    session.registry.close()
    async with opened(published, environment="production", screen="4") as driver:
        await driver.sees("config models · live 1")
        await changes(driver, "pl", "0.4")
        await publishes(driver, "pl misses too many")
        await driver.sees("1 value changes for one language of relevance. Which language do you mean?")
        await driver.type("de")
        await driver.press("enter")
        await driver.sees("You typed de, this change is for pl. Nothing was published. m moves the value to de.")
        assert published.published("production").version == 1
        await driver.press("backspace", "backspace")
        await driver.type("pl")
        await driver.press("enter")
        await driver.until(lambda: published.published("production").version == 2, "it is published")


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who drives a rollout where nobody watches is a process of its own: none of them outlives the test."""
    begun: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **how: Any) -> subprocess.Popen[bytes]:
        begun.append(start(*arguments, **how))
        return begun[-1]

    monkeypatch.setattr(rolling.subprocess, "Popen", noted)
    yield
    for one in begun:
        one.kill()
        one.wait()


@pytest.mark.usefixtures("drivers")
async def test_it_grows_by_stages_is_held_and_taken_back(published: ConfigHouse) -> None:
    async with opened(published, screen="4") as driver:
        await driver.sees("config models · live 1")
        await changes(driver, "pl", "0.4")
        await publishes(driver, "pl misses too many", at_once=False)
        await driver.sees("rollout config models", "20 % → 100 %")
        if driver.has("a: you stay with it"):
            await driver.press("a")
        await driver.sees("y start it")
        await driver.press("y")
        await driver.sees("config 2 · relevance · pl · threshold 0.48 → 0.4", "20 %", "way back")
        assert "config models 2 at 20 % of clients" in row(driver, "#world") or "config 2 at 20 %" in row(driver, "#world")
        assert "your draft" not in row(driver, "#attention")
        await driver.press("p")
        await driver.sees("config models is held at 20 %")
        await driver.press("u")
        await driver.sees("y go back")
        await driver.press("y")
        await driver.until(lambda: "goes back" in driver.app._said or "going back" in driver.text.lower(), "it goes back")


async def test_what_somebody_else_published_is_kept_or_put_back(published: ConfigHouse) -> None:
    async with opened(published, screen="4") as driver:
        await driver.sees("config models · live 1")
        published.sim.world.publish_outside(DOC, BODY.replace("0.50", "0.51").encode())
        published.passes(31)  # while nothing of ours happens, all is looked at every half a minute
        await driver.sees("≠ changed outside", "your choice", "u  puts ours back", "0.51")
        await driver.press("K")
        await driver.sees("keep what is live of config models", "Why?")
        await driver.type("it is right")
        await driver.press("enter")
        await driver.sees_not("≠ changed outside")
        assert published.live()["relevance"]["en"]["threshold"] == 0.51
        published.sim.world.publish_outside(DOC, BODY.replace("0.50", "0.99").encode())
        published.passes(31)
        await driver.sees("≠ changed outside")
        await driver.press("u")
        await driver.sees("y go back")
        await driver.press("y")
        await driver.until(lambda: published.live()["relevance"]["en"]["threshold"] != 0.99, "ours is back")
        await driver.sees_not("≠ changed outside")
