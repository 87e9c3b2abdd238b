"""A text in the person's own editor: the console steps aside, and comes back with what was written. Nothing that was written is lost."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

if TYPE_CHECKING:
    from mlconsole.tui.app import ConsoleApp

_USUAL = ("nano", "vim", "vi")


@dataclass(frozen=True)
class Written:
    """What came back from the editor, and the file that it still lies in."""

    body: bytes
    path: Path

    def forget(self) -> None:
        """It is kept elsewhere now."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def editor_of(environ: Mapping[str, str]) -> list[str]:
    """The command of the editor: $VISUAL, $EDITOR, else a usual one that is there; empty: none is."""
    for name in ("VISUAL", "EDITOR"):
        words = shlex.split(environ.get(name, ""))
        if words:
            return words
    found = next((path for name in _USUAL if (path := shutil.which(name, path=environ.get("PATH")))), None)
    return [found] if found else []


def in_editor(app: ConsoleApp, text: str, name: str) -> Written | None:
    """Have a text changed in the editor; None when nothing came of it, which is said. `name`: the file's, whose suffix editors go by."""
    command = editor_of(os.environ)
    if not command:
        app.say("There is no editor here: set $EDITOR. Nothing was changed.")
        return None
    folder = Path(tempfile.mkdtemp(prefix="mlconsole-edit-"))  # 0700: nobody else reads it
    path = folder / name
    body = text.encode("utf-8", "surrogateescape")
    path.write_bytes(body)
    written = Written(body, path)
    try:
        with app.suspend():
            code = subprocess.run([*command, str(path)], check=False).returncode
        written = Written(path.read_bytes(), path)
    except SuspendNotSupported:
        written.forget()
        app.say("This terminal can't be handed to an editor. Nothing was changed. mlconsole config edit does it from a shell.")
        return None
    except OSError as error:
        written.forget()
        app.say(f"{shlex.join(command)} can't be started: {error.strerror or error}. Nothing was changed.")
        return None
    if written.body == body:
        written.forget()
        app.say("Nothing was changed." if code == 0 else f"{command[0]} ended with code {code}. Nothing was changed.")
        return None
    return written
