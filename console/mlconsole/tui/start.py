"""Starting the console: everything a first frame needs, and nothing else. Textual's app is imported after this has said yes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.errors import MLConsoleError, UsageError
from mlconsole.engine import snapshots
from mlconsole.engine.views import Snapshot

if TYPE_CHECKING:
    from mlconsole.workspace import Environment, Workspace


@dataclass(frozen=True)
class Start:
    """Where the console is opened, and the last known state of it."""

    workspace: Workspace
    environment: Environment
    snapshot: Snapshot | None
    read_only: bool = False
    tutor: bool = False


class NoTerminal(UsageError):
    """There is no terminal that the console could be drawn on; the command line works everywhere."""

    code = "no_terminal"


def is_for_console(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for the console: no command, at most the options that say where."""
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word in ("--workspace", "-w", "--env", "-e"):
            if not words:
                return False
            words.pop(0)
        elif word not in ("--read-only", "--tutor") and not word.startswith(("--workspace=", "--env=")):
            return False
    return True


def check_terminal(environ: Mapping[str, str]) -> None:
    """Refuse to draw where nothing could be seen: Textual writes escapes even without a terminal.

    Raises:
        NoTerminal: no TTY, or `TERM=dumb`.
    """
    if environ.get("TERM", "") in ("", "dumb"):
        raise NoTerminal(
            "This terminal can't draw the console (TERM is dumb).", next="Use the commands: mlconsole status, mlconsole --help."
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NoTerminal("There is no terminal to draw the console on.", next="Use the commands: mlconsole status, mlconsole --help.")


def prepare(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Start:
    """Find workspace, environment and the last snapshot.

    Raises:
        MLConsoleError: no terminal, no workspace, an invalid file, an unknown environment.
    """
    from mlconsole.workspace import environment, find_workspace, load

    environ = os.environ if environ is None else environ
    check_terminal(environ)
    given: dict[str, str] = {}
    flags: set[str] = set()
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--workspace", "-w", "--env", "-e"):
            given["workspace" if name in ("--workspace", "-w") else "env"] = value if equals else words.pop(0)
        else:
            flags.add(word)
    workspace = load(find_workspace(given.get("workspace"), environ, Path.cwd()))
    chosen = environment(workspace, given.get("env"), environ)
    return Start(
        workspace=workspace,
        environment=chosen,
        snapshot=snapshots.last(workspace.root / ".mlconsole", chosen.name),
        read_only="--read-only" in flags or bool(environ.get("MLCONSOLE_READ_ONLY")),
        tutor="--tutor" in flags,
    )


def run(arguments: Sequence[str]) -> int:
    """Open the console; the exit code."""
    import gc

    # What is imported and made before the first frame stays; looking through it for garbage would hold it up. The app turns it on again.
    gc.disable()
    try:
        start = prepare(arguments)
    except MLConsoleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    from mlconsole.tui.app import ConsoleApp

    app = ConsoleApp(start)
    app.run(mouse=os.environ.get("MLCONSOLE_NO_MOUSE") is None)
    for text in app.last_words:
        print(text)
    return app.return_code or 0
