"""What is done about an alarm: acknowledge it, run the action that mends it, look at the last predictions; and the demo's drills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mlconsole.core.text import duration
from mlconsole.engine.views import ActionRunView, AlarmView
from mlconsole.tui.confirm import ConfirmBox
from mlconsole.tui.dialogs import Ask, Choice, Option, TextBox
from mlconsole.tui.health_words import folded, spoken
from mlconsole.tui.pane import Line, line
from mlconsole.tui.signs import BOLD, DIM, Signs

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.tui.app import ConsoleApp

DRILL = "drill-"
"""Actions whose name begins so break something on purpose, in the demo."""

_TAIL = 200


class Runnable(Protocol):
    """What is shown of an action before it is run (`engine.acting.Offered`)."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def summary(self) -> str:
        """What it does."""


def acknowledge(app: ConsoleApp, alarm: AlarmView) -> None:
    """Take an alarm: who else is paged for it hears of that."""
    said = [line(f"{', '.join(alarm.endpoints)}: {spoken(alarm.title)}"), line(("What do you do about it? The team reads it.", DIM))]

    def typed(text: str | None) -> None:
        if text is None:
            return

        def call(session: Session) -> object:
            from mlconsole.engine import alarming

            return alarming.acknowledge(session, alarm.number, text)

        app.ask(f"acknowledging alarm {alarm.number}", call, lambda _: _acknowledged(app, alarm))

    app.push_screen(Ask(f"acknowledge alarm {alarm.number}", said, check=lambda text: "" if text else "In a few words, please."), typed)


def _acknowledged(app: ConsoleApp, alarm: AlarmView) -> None:
    app.say(f"{app.signs.ok} You have alarm {alarm.number}; nobody else is paged for it.")
    app.look()


def tail(app: ConsoleApp, endpoint: str) -> None:
    """The last predictions of an endpoint, the newest at the end."""

    def call(session: Session) -> Sequence[str]:
        from mlconsole.engine import observing

        return observing.tail(session, endpoint, _TAIL)

    def shown(lines: Sequence[str]) -> None:
        text = [line(each) for each in lines] or [line(("nobody asked it", DIM))]
        app.push_screen(TextBox(f"predictions of {endpoint}", text, end=True))

    app.ask(f"reading the predictions of {endpoint}", call, shown)


# Actions.


class ActionBox(ConfirmBox):
    """Shows an action before it is run: what it does, for what, how long it may take, and how it is checked."""

    def __init__(self, action: Runnable, signs: Signs, *, about: str, takes: str, environment: str, confirm: str | None) -> None:
        super().__init__(signs, confirm=confirm, yes="y run it")
        self._action, self._about, self._takes, self._environment = action, about, takes, environment

    def heading(self, width: int) -> tuple[Line, str]:
        """Which action, and that nothing has happened."""
        label = f"run {self._action.name}"
        return line((label, BOLD)), "nothing has happened yet" if width >= len(label) + 30 else "nothing done yet"

    def told(self, width: int) -> list[Line]:
        """What it does, line by line."""
        limit, checks = getattr(self._action, "time_limit", None), getattr(self._action, "checks", "")
        takes = ", ".join(part for part in (self._takes, f"at most {duration(limit)}" if limit else "") if part)
        safe = "safe to run again" if getattr(self._action, "safe", False) else ""
        rows = [("does", self._action.summary), ("for", self._about), ("takes", takes), ("check", checks), ("safe", safe)]
        rows.append(("same as", self.command()))
        lines = [each for name, text in rows if text for each in folded(text, width, first=f"{name:<8} ")]
        lines.append(line(""))
        if self.confirm is not None:
            lines += folded(f"This changes {self._environment}. Type {self.confirm} to start it.", width, style=BOLD)
        return lines

    def command(self) -> str:
        """The command that runs it."""
        return f"mlconsole action run {self._action.name} --env {self._environment}"


def run_fix(app: ConsoleApp, name: str, *, alarm: AlarmView | None, probe: str, subject: str) -> None:
    """Show the action that would mend it, and run it when a person says so. `subject` is what has to be typed in production."""
    of = f"alarm {alarm.number}: {', '.join(alarm.endpoints)}" if alarm else ""
    about = " · ".join(part for part in (of, f"dependency {probe}" if probe else "") if part)

    def found(action: Runnable | None) -> None:
        if action is None:
            app.say(f'There is no action "{name}" in {app.environment.name}. Nothing was done. mlconsole action list shows them.')
            return
        _shown(app, action, about=about, told=alarm.triage.fix_told if alarm else "", subject=subject, alarm=alarm, probe=probe)

    app.ask(f"looking for the action {name}", lambda session: next((one for one in _actions(session) if one.name == name), None), found)


def _shown(app: ConsoleApp, action: Runnable, *, about: str, told: str, subject: str, alarm: AlarmView | None, probe: str) -> None:
    needed = app.environment.production and not getattr(action, "safe", False)
    box = ActionBox(
        action, app.signs, about=about, takes=told, environment=app.environment.name, confirm=(subject or action.name) if needed else None
    )

    def said(typed: str | None) -> None:
        if typed is None:
            app.say(f"Nothing has happened. {action.name} was not run.")
        else:
            _with_parameters(app, action, lambda given: _run(app, action.name, given, alarm=alarm.number if alarm else None, probe=probe))

    app.push_screen(box, said)


def _with_parameters(app: ConsoleApp, action: Runnable, then: Callable[[dict[str, str]], None]) -> None:
    """Ask for what the action can't do without, one after the other."""
    missing = [one for one in getattr(action, "parameters", ()) if getattr(one, "default", None) is None]
    given: dict[str, str] = {}

    def next_one(place: int) -> None:
        if place == len(missing):
            then(given)
            return
        one = missing[place]

        def typed(text: str | None) -> None:
            if text is None:
                app.say(f"Nothing has happened. {action.name} was not run.")
                return
            given[one.name] = text
            next_one(place + 1)

        app.push_screen(Ask(f"{action.name}: {one.name}", [line(getattr(one, "help", "") or one.name)]), typed)

    next_one(0)


def _run(app: ConsoleApp, name: str, parameters: dict[str, str], *, alarm: int | None, probe: str) -> None:
    def call(session: Session) -> Any:
        from mlconsole.engine import acting

        return acting.ask(session, name, parameters, alarm=alarm, probe=probe, reason="")

    app.ask(f"asking for {name}", call, lambda run: _asked(app, name, run))


def _asked(app: ConsoleApp, name: str, run: object) -> None:
    number = f" (run {run.id})" if isinstance(run, ActionRunView) else ""
    app.say(f"{name} is asked for{number}: it goes on when you leave; Health shows how it went.")
    app.look()


def _actions(session: Session) -> Sequence[Runnable]:
    from mlconsole.engine import acting

    return acting.actions(session)


# Drills.


def find_drills(app: ConsoleApp, then: Callable[[Sequence[Runnable]], None]) -> None:
    """What can be broken on purpose here; nothing outside of the demo."""
    app.ask_quietly(lambda session: [one for one in _actions(session) if one.name.startswith(DRILL)], then)


def choose_drill(app: ConsoleApp, drills: Sequence[Runnable]) -> None:
    """Which of them; it is run at once, but in production."""
    options = [Option(one.name, one.name.removeprefix(DRILL).replace("-", " "), one.summary) for one in drills]

    def chosen(name: str | None) -> None:
        drill = next((one for one in drills if one.name == name), None)
        if drill is None:
            return
        if app.environment.production:
            _shown(app, drill, about="a drill", told="", subject=drill.name, alarm=None, probe="")
        else:
            _with_parameters(app, drill, lambda given: _run(app, drill.name, given, alarm=None, probe=""))

    app.push_screen(Choice("drills: something breaks on purpose, and is caught", options), chosen)
