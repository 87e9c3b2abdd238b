"""What can be done by key: each action has a stable id (so that keys can be remapped), one key everywhere, and a group.

Lower case looks, drafts or goes back; CAPITALS go forward and always open a plan.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from mlconsole.core.errors import InvalidFile
from mlconsole.core.text import did_you_mean


class Group(StrEnum):
    """What kind of thing an action is; the keys are shown in this order, the kinds apart."""

    LOOK = "look"
    DRAFT = "draft"
    BACK = "back"
    FORWARD = "forward"


@dataclass(frozen=True)
class Action:
    """Something that a key does. `label` stands in the row of keys, `help` in `?`. With an empty key it is only offered by `x` and `:`."""

    id: str
    key: str
    label: str
    help: str
    group: Group = Group.LOOK
    everywhere: bool = False
    """It works on every screen, and is not listed among the screen's keys."""


_ALL = (
    Action("models", "1", "Models", "the screen Models", everywhere=True),
    Action("endpoints", "2", "Endpoints", "the screen Endpoints", everywhere=True),
    Action("canary", "3", "Canary", "the screen Canary", everywhere=True),
    Action("config", "4", "Config", "the screen Config", everywhere=True),
    Action("health", "5", "Health", "the screen Health", everywhere=True),
    Action("activity", "6", "Activity", "the screen Activity", everywhere=True),
    Action("attention", "!", "go there", "go to what needs you; again: to the next", everywhere=True),
    Action("next_pane", "tab", "pane", "the next pane", everywhere=True),
    Action("previous_pane", "shift+tab", "pane back", "the pane before", everywhere=True),
    Action("down", "down", "down", "down (also j)", everywhere=True),
    Action("up", "up", "up", "up (also k)", everywhere=True),
    Action("page_down", "pagedown", "page down", "a page down", everywhere=True),
    Action("page_up", "pageup", "page up", "a page up", everywhere=True),
    Action("first", "home", "first", "the first row", everywhere=True),
    Action("last_row", "end", "last", "the last row", everywhere=True),
    Action("enter", "enter", "open", "into what the cursor is on"),
    Action("out", "escape", "out", "out; the filter away; the tutor off", everywhere=True),
    Action("last_screen", "-", "last", "the screen before", everywhere=True),
    Action("filter", "/", "filter", "only rows with these words; @de only that language", everywhere=True),
    Action("faults", "f", "faults only", "only what is not well"),
    Action("sort", "s", "sort", "another order"),
    Action("mark", "space", "mark", "mark the row", group=Group.DRAFT),
    Action("compare", "c", "compare", "compare two"),
    Action("logs", "l", "logs", "what the variant wrote"),
    Action("tail", "t", "tail", "the last predictions of the endpoint"),
    Action("shorter", "[", "time", "trends of a shorter time"),
    Action("longer", "]", "time", "trends of a longer time"),
    Action("invoke", "i", "invoke", "ask for a prediction"),
    Action("raw", "v", "raw", "everything that is known of it"),
    Action("copy", "y", "copy", "copy the command, the request or the report", everywhere=True),
    Action("more", "x", "all", "all that can be done with this row"),
    Action("refresh", "r", "refresh", "look again now", everywhere=True),
    Action("command", ":", "command", "a command by name", everywhere=True),
    Action("palette", "ctrl+p", "commands", "all commands", everywhere=True),
    Action("help", "?", "help", "what the keys do here", everywhere=True),
    Action("quit", "q", "quit", "leave; everything goes on", everywhere=True),
    Action("less", "left", "slide", "slide down by 5 % (with shift: 1 %)", group=Group.DRAFT),
    Action("greater", "right", "slide", "slide up by 5 % (with shift: 1 %)", group=Group.DRAFT),
    Action("edit", "e", "exact share", "an exact share; a shadow's share", group=Group.DRAFT),
    Action("move", "m", "move", "move a changed value to another slice", group=Group.DRAFT),
    Action("rebase", "", "rebase", "the draft's edits onto what is live by now", group=Group.DRAFT),
    Action("as_for_all", "backspace", "as for all", "take a slice's own split away (also delete)", group=Group.DRAFT),
    Action("next_endpoint", "n", "next endpoint", "the next endpoint, here"),
    Action("go_back", "u", "back", "go back: a plan, then y", group=Group.BACK),
    Action("pause", "p", "pause", "pause the rollout, or let it go on; its guards go on either way", group=Group.BACK),
    Action("acknowledge", "a", "ack", "acknowledge the alarm: you have it", group=Group.BACK, everywhere=True),
    Action("deploy", "D", "deploy", "deploy a version: opens a plan", group=Group.FORWARD),
    Action("traffic", "T", "traffic", "make the staged shares live: opens a plan", group=Group.FORWARD),
    Action("rollout", "R", "rollout", "roll a version out in stages that guard themselves: opens a plan", group=Group.FORWARD),
    Action("next_stage", "N", "next", "the rollout's next stage, without its evidence: asks why", group=Group.FORWARD),
    Action("evidence", "E", "evidence", "let the rollout's shadow evidence count", group=Group.FORWARD),
    Action("roll_forward", "", "roll forward", "all of the traffic to the new variant now: asks why", group=Group.FORWARD),
    Action("keep_old", "", "keep the old one", "the rollout takes nothing away after its bake", group=Group.BACK),
    Action("approve", "A", "approve", "read what a colleague asks for, and approve or reject it", group=Group.FORWARD, everywhere=True),
    Action("publish", "P", "publish", "publish the draft of a config document: opens a plan", group=Group.FORWARD),
    Action("register", "G", "register", "register a version", group=Group.FORWARD),
    Action("keep", "K", "keep", "keep what is live, as a release of ours", group=Group.FORWARD),
    Action("fix", "F", "fix", "run the action that mends it: shown first", group=Group.FORWARD),
    Action("remove", "X", "remove", "remove by name: opens a plan", group=Group.FORWARD),
)

ALSO: Mapping[str, str] = {"j": "down", "k": "up", "delete": "as_for_all"}
"""Second keys, which are not remapped."""


def keys_file(environ: Mapping[str, str]) -> Path:
    """Where a person's own keys are: `$MLCONSOLE_KEYS`, else `keys.json` in the configuration folder."""
    named = environ.get("MLCONSOLE_KEYS")
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    return Path(named) if named else Path(base) / "mlconsole" / "keys.json"


def our_actions() -> Mapping[str, Action]:
    """All actions by id, with our own keys."""
    return {action.id: action for action in _ALL}


def load_actions(environ: Mapping[str, str] | None = None) -> Mapping[str, Action]:
    """All actions by id, with a person's own keys (`{"go_back": "b"}`) in place of ours.

    Raises:
        InvalidFile: no JSON object, an unknown action, or one key for two actions.
    """
    environ = os.environ if environ is None else environ
    actions = dict(our_actions())
    path = keys_file(environ)
    try:
        own = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return actions
    except (OSError, ValueError) as error:
        raise InvalidFile(f"{path} can't be read as JSON: {error}.", next="Mend or remove it; our own keys are used.") from error
    if not isinstance(own, dict) or not all(isinstance(key, str) for key in own.values()):
        raise InvalidFile(f"{path} is not an object of action ids and keys.", next='Like {"go_back": "b"}.')
    for name, key in own.items():
        if name not in actions:
            raise InvalidFile(f'{path}: there is no action "{name}". {did_you_mean(name, actions)}', next="? lists the actions.")
        actions[name] = replace(actions[name], key=key)
    taken: dict[str, str] = {}
    for action in actions.values():
        if action.key and action.key in taken:
            raise InvalidFile(
                f'{path}: the key "{action.key}" is for {taken[action.key]} and {action.id}.', next="Give one of them another."
            )
        taken[action.key] = action.id
    return actions
