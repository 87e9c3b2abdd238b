"""Commands by name, help, and all that can be done with the row under the cursor."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mlconsole.tui.actions import Action, Group
from mlconsole.tui.dialogs import Choice, Option, TextBox
from mlconsole.tui.pane import Line, line
from mlconsole.tui.signs import BOLD, DIM

if TYPE_CHECKING:
    from mlconsole.tui.app import ConsoleApp

_ENVIRONMENT = "env "


def open_palette(app: ConsoleApp) -> None:
    """Every action that exists, and the environments; what is off says why."""
    options = [_option(app, action) for action in app.actions_by_id.values() if action.everywhere or action.id in app.view.actions]
    for name, environment in app.workspace.environments.items():
        here = "you are there" if name == app.environment.name else ""
        options.append(
            Option(
                _ENVIRONMENT + name,
                f"{_ENVIRONMENT}{name}",
                "PRODUCTION" if environment.production else "look at that environment",
                off=here,
            )
        )
    if app.drills:
        options.append(Option("drills", "drills", "break something on purpose, and see it caught"))
    for name, text in (("tutor on", "the tutor of the demo"), ("tutor off", "no tutor")):
        options.append(Option(name, name, text))

    def chosen(name: str | None) -> None:
        if name is None:
            return
        if name.startswith(_ENVIRONMENT):
            app.run_worker(app.switch_environment(name.removeprefix(_ENVIRONMENT)), exit_on_error=False)
        elif name == "drills":
            app.offer_drills()
        elif name.startswith("tutor"):
            app.set_tutor(name == "tutor on")
        else:
            app.do(name)

    app.push_screen(Choice("commands", options), chosen)


def open_row_actions(app: ConsoleApp, title: str = "") -> None:
    """All that can be done with what is under the cursor, which `title` names where it is no endpoint."""
    options = [_option(app, app.actions_by_id[name]) for name in app.view.shown_actions() if name not in ("more", "faults", "sort")]
    app.push_screen(Choice(title or app.subject or "what can be done here", options), lambda name: app.do(name) if name else None)


def open_help(app: ConsoleApp) -> None:
    """What the keys do here: those of this screen, then those everywhere."""
    lines: list[Line] = [*(line(piece) for piece in textwrap.wrap(app.unread, 100)), line("")] if app.unread else []
    lines += [line((app.view.help_text, BOLD)), line("")]
    here = [app.actions_by_id[name] for name in app.view.actions]
    for group, title in (
        (Group.LOOK, "look"),
        (Group.DRAFT, "draft: nothing happens"),
        (Group.BACK, "back: a plan, then y"),
        (Group.FORWARD, "FORWARD: always a plan; in production the name is typed"),
    ):
        inside = [action for action in here if action.group is group]
        if inside:
            lines.append(line((title, DIM)))
            lines += [_help_line(app, action) for action in inside]
    lines += [line(""), line(("everywhere", DIM))]
    lines += [_help_line(app, action) for action in app.actions_by_id.values() if action.everywhere and action not in here]
    lines += [line(""), line(("Keys can be others: keys.json in your configuration folder, by action id.", DIM))]
    app.push_screen(TextBox(f"help · {app.view.screen_name.capitalize()}", lines))


def _help_line(app: ConsoleApp, action: Action) -> Line:
    action = app.view.named(action)
    why = "" if action.everywhere else app.why_off(action.id)
    return line((f"  {action.key or 'x':<10}", BOLD), f"{action.help}", (f"  ({action.id})", DIM), (f"  {why}" if why else "", DIM))


def _option(app: ConsoleApp, action: Action) -> Option:
    action = app.view.named(action)
    return Option(
        action.id, action.label, f"{action.key or ' '}  {action.help}", off=app.why_off(action.id) if not action.everywhere else ""
    )
