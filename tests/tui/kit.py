"""What the tests of the console share: a simulated workspace behind it, Pilot with keys only, and an eye on every frame that is drawn."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textual.geometry import Region
from textual.pilot import Pilot
from textual.widgets import Input

from engine.conftest import ANNA, TOMEK, House, build
from mlconsole.core.models import Actor
from mlconsole.engine import changing, planning, snapshots
from mlconsole.engine.detached import Ended
from mlconsole.engine.session import Session
from mlconsole.engine.views import Snapshot
from mlconsole.engine.watching import Watch
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.simulator import Load
from mlconsole.tui import looking as poller
from mlconsole.tui.app import ConsoleApp
from mlconsole.tui.frame import Bar
from mlconsole.tui.pane import Pane
from mlconsole.tui.start import Start
from mlconsole.tui.table import LiveTable

SIZES = ((120, 40), (100, 30), (80, 24), (60, 20), (48, 20))
"""What people have: a desk, half a desk, an old terminal, a tmux pane, a phone with its keyboard up."""

_SECONDS = 20.0
_MODELS = ("relevance", "severity", "category", "dedupe", "sentiment", "entity")

__all__ = ["ANNA", "SIZES", "TOMEK", "Driver", "House", "Load", "changed", "house_with", "opened", "screen_text", "start_of", "took"]


# A workspace.


def house_with(root: Path, models: Sequence[str] = ("relevance",), **options: object) -> House:
    """A workspace with two simulated environments (`production` is production), these models declared, and versions 3, 4 and 5 of each."""
    house = build(root, **options)  # type: ignore[arg-type]
    file = root / "mlconsole.yaml"
    told = file.read_text().replace("models:\n  relevance: {}\n", "models:\n" + "".join(f"  {model}: {{}}\n" for model in models))
    file.write_text(told)
    for model in models:
        house.register("3", "4", "5", model=model)
    return house


def changed(house: House, *changes: tuple[str, ...], who: Actor = ANNA, environment: str = "staging", reason: str = "") -> None:
    """Changes that are over before the console opens, in few words: `("relevance", "deploy", "3")`, `("relevance", "shift", "v4=2500")`,
    `("relevance", "back")`, `("relevance", "back", "2")`. A minute passes before each.
    """
    session = house.session(who, environment)
    for endpoint, what, *words in changes:
        house.clock.advance(60)
        if what == "deploy":
            share = int(words[1]) if len(words) > 1 else None
            plan = planning.plan_deploy(session, endpoint, words[0], share=share, reason=reason)
        elif what == "shift":
            shares = {name: int(share) for name, _, share in (word.partition("=") for word in words)}
            plan = planning.plan_traffic(session, endpoint, shares, reason=reason)
        else:
            plan = planning.plan_revert(session, endpoint, to=int(words[0]) if words else None, reason=reason)
        changing.run(session, plan)
    session.registry.close()


def took(house: House, environment: str = "staging", who: Actor = ANNA) -> Snapshot:
    """The state of the world, as the console would take it."""
    session = house.session(who, environment)
    snapshot = Watch(session).take()
    session.registry.close()
    return snapshot


def start_of(house: House, environment: str = "staging", *, read_only: bool = False) -> Start:
    """Where the console is opened, with whatever snapshot lies on disk."""
    workspace = house.session(environment=environment).workspace
    kept = snapshots.last(workspace.root / ".mlconsole", environment)
    return Start(workspace, workspace.environments[environment], kept, read_only=read_only)


# The console under test.


def screen_text(app: ConsoleApp) -> list[str]:
    """The screen as a person sees it, line by line."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


@dataclass
class Driver:
    """A console that runs without a terminal. It is asked by keys, and answers by what stands on its screen."""

    app: ConsoleApp
    pilot: Pilot[None]
    frames: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What a person sees."""
        return screen_text(self.app)

    @property
    def text(self) -> str:
        """The same in one piece."""
        return "\n".join(self.lines)

    @property
    def message(self) -> str:
        """The message line."""
        return self.app.screen_stack[0].query_one("#message", Bar).text

    @property
    def keys(self) -> str:
        """The row of keys."""
        return self.app.screen_stack[0].query_one("#keys", Bar).text

    def has(self, *words: str) -> bool:
        """Whether all these words are on the screen."""
        text = self.text
        return all(word in text for word in words)

    def line(self, word: str) -> str:
        """The first line of the screen that has the word in it."""
        return next((line for line in self.lines if word in line), "")

    async def press(self, *keys: str) -> None:
        """Press keys, and let the console settle."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Press the key of each character."""
        names = {" ": "space", "@": "at", ":": "colon", "!": "exclamation_mark", "/": "slash", "-": "minus", "?": "question_mark"}
        await self.press(*(names.get(char, char) for char in text))

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Wait for a condition, not for a time."""
        end = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < end, f"never happened: {what}\n{self.text}\nmessage: {self.message}"
            await self.pilot.pause(0.01)

    async def sees(self, *words: str) -> None:
        """Wait until all these words are on the screen."""
        await self.until(lambda: self.has(*words), f"{words} on the screen")

    async def sees_not(self, word: str) -> None:
        """Wait until a word is gone from the screen."""
        await self.until(lambda: not self.has(word), f"{word!r} gone from the screen")

    async def look(self) -> None:
        """Wait for a snapshot that was begun after now."""
        before = self.app.snapshot
        await self.until(lambda: self.app.snapshot is not before or self.app.trouble is not None, "a new snapshot")
        before = self.app.snapshot
        await self.until(lambda: self.app.snapshot is not before or self.app.trouble is not None, "a new snapshot")

    def checked(self) -> None:
        """One frame: every line exactly as wide as the screen, nothing beyond its edges, no control character, each widget in its place."""
        self.frames += 1
        width, height = self.app.size
        if self.app.screen._compositor.size != self.app.size:
            return  # not laid out yet: the terminal has just changed its size, or the screen is new
        strips = self.app.screen._compositor.render_strips()
        if len(strips) != height:
            self.faults.append(f"{len(strips)} lines on a screen of {height}")
        for place, strip in enumerate(strips):
            text = "".join(segment.text for segment in strip)
            if strip.cell_length != width:
                self.faults.append(f"line {place} is {strip.cell_length} wide, the screen {width}: {text!r}")
            if any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in text):
                self.faults.append(f"line {place} has a control character: {text!r}")
        inside = Region(0, 0, width, height)
        for widget in self.app.screen.query("*"):
            if (
                isinstance(widget, Bar | Pane | Input)
                and widget.is_on_screen
                and widget.region.area
                and not inside.contains_region(widget.region)
            ):
                self.faults.append(f"{widget!r} lies at {widget.region} on a screen of {width}×{height}")
            if isinstance(widget, Bar | Pane) and widget.is_on_screen and widget.region.area:
                for y in range(widget.size.height):
                    if widget.render_line(y).cell_length != widget.size.width:
                        self.faults.append(f"line {y} of {widget!r} is {widget.render_line(y).cell_length} wide, not {widget.size.width}")


@asynccontextmanager
async def opened(
    house: House,
    size: tuple[int, int] = (100, 30),
    *,
    environment: str = "staging",
    who: Actor = ANNA,
    read_only: bool = False,
    start: Start | None = None,
    blind_start: bool = False,
    screen: str = "",
) -> AsyncIterator[Driver]:
    """The console over a simulated workspace, its first snapshot taken (unless `blind_start`); every frame it draws is checked.

    Changes that it begins run in a thread instead of a process of their own: the simulator is no installed plugin.
    """
    start = start or start_of(house, environment, read_only=read_only)
    app = ConsoleApp(start)
    sessions: dict[str, Session] = {}

    def session_of() -> Session:
        name = app.environment.name
        if name not in sessions:
            sessions[name] = house.session(who, name, read_only=read_only)
        return sessions[name]

    app.session = session_of  # type: ignore[method-assign]
    app._session = session_of()
    held = poller.POLL
    poller.POLL = 0.05
    driver: Driver | None = None
    display = app._display

    def watched(*args: Any) -> None:
        display(*args)
        if driver is not None and app.is_running and app.screen.is_running:
            with suppress(Exception):  # between two layouts there may be nothing to look at
                driver.checked()

    app._display = watched  # type: ignore[method-assign]
    try:
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot)
            if not blind_start:
                await driver.until(lambda: (app.snapshot is not None and not app._looking) or app.trouble is not None, "a first snapshot")
            if screen:
                await driver.press(screen)
            await pilot.pause()
            driver.checked()
            yield driver
            driver.checked()
        assert not driver.faults, "\n".join(driver.faults[:10])
        assert app.drawing_failed is None, app.drawing_failed
        assert driver.frames > 1
    finally:
        poller.POLL = held
        for one in sessions.values():
            with suppress(Exception):
                one.registry.close()


class Threaded:
    """In place of `engine.detached.Detached`: the change in a thread of this process, in a session of its own."""

    house: House
    running: list[threading.Thread]

    def __init__(self, session: Session, plan: Any, *, typed: str | None = None) -> None:
        del typed
        self.what, self.endpoint = f"{plan.kind} {plan.endpoint}", plan.endpoint
        self.made_from = plan.made_from_release
        self._begin(session, lambda own: changing.run(own, plan))

    @classmethod
    def going_back(cls, session: Session, endpoint: str) -> Threaded:
        made = cls.__new__(cls)
        made.what, made.endpoint, made.made_from = f"going back {endpoint}", endpoint, None
        made._begin(session, lambda own: changing.go_back_now(own, endpoint))
        return made

    def _begin(self, session: Session, work: Callable[[Session], Any]) -> None:
        self._ended: Ended | None = None
        own = self.house.session(session.actor, session.environment.name)

        def run() -> None:
            try:
                outcome = work(own)
                self._ended = Ended(outcome.sentence, "", outcome.exit_code) if outcome else Ended("It was over already.", "", 0)
            except MLConsoleError as error:
                self._ended = Ended(error.message, error.next, error.exit_code)
            finally:
                own.registry.close()

        thread = threading.Thread(target=run, daemon=True)
        self.running.append(thread)
        thread.start()

    def ended(self) -> Ended | None:
        return self._ended


def row(driver: Driver, name: str) -> str:
    return driver.app.screen_stack[0].query_one(name, Bar).text


def over(driver: Driver, name: str) -> str:
    """The style that lies over a whole row."""
    return driver.app.screen_stack[0].query_one(name, Bar)._over


def main(driver: Driver) -> LiveTable:
    return driver.app.view.query_one("#main", LiveTable)


def grown(snapshot: Snapshot, **endpoint: Any) -> Snapshot:
    """The snapshot with something else in its first endpoint: absurd data, for instance."""
    first, *rest = snapshot.status.endpoints
    return replace(snapshot, status=replace(snapshot.status, endpoints=(replace(first, **endpoint), *rest)))


def run(story: Any) -> None:
    """An async story from a plain test."""
    asyncio.run(story)
