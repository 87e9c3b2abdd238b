"""Pictures of the running program: starts the sample workspace on real servers, runs real commands, and draws what they printed.

`make screenshots` writes `screenshots/*.svg`. Nothing in a picture is typed in; pids, ports and figures are those of the run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
TOOL = Path(sys.executable).parent / "mlconsole"
WIDTH = 118

CONSOLE = (
    ("endpoints", "staging", (100, 30), ["down"]),
    ("models", "staging", (100, 30), ["down", "1"]),
    ("canary", "staging", (100, 30), ["down", "3", "down", "right", "right", "right"]),
    ("plan", "staging", (80, 24), ["down", "3", "down", "T"]),
    ("activity", "staging", (100, 30), ["6"]),
    ("phone", "staging", (48, 20), ["down"]),
    ("production", "production", (100, 30), []),
)
"""The console's pictures: name, environment, size, and the keys that lead there. A slider staged for one is still there for the next."""

PICTURES = {
    "deploy": (["deploy", "relevance@4", "--traffic", "10", "--yes"],),
    "observed": (["endpoints", "show", "relevance"], ["status"]),
    "gate": (["deploy", "relevance@6", "--traffic", "10", "--yes"],),
    "revert": (["revert", "relevance", "--yes"], ["releases", "list", "relevance"]),
}
"""Picture → the commands that are run for it, in this order."""


def run(workspace: Path, arguments: list[str]) -> str:
    """What a command printed, as a terminal would have shown it."""
    environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONUNBUFFERED": "1"}
    command = [str(TOOL), *arguments]
    done = subprocess.run(
        command, cwd=workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    )
    return f"$ mlconsole {' '.join(arguments)}\n{done.stdout.rstrip()}\n"


def draw(name: str, text: str) -> Path:
    """One picture."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, legacy_windows=False)
        console.print(Text.from_ansi(text), end="")
        path = HERE / f"{name}.svg"
        console.save_svg(str(path), title="mlconsole", unique_id=name)
    return path


async def draw_console(workspace: Path) -> None:
    """The console on the running workspace, driven by key: what a person sees, with the figures of this run."""
    from mlconsole.tui.app import ConsoleApp
    from mlconsole.tui.start import Start
    from mlconsole.workspace import load

    settings = load(workspace)

    def opened(environment: str) -> ConsoleApp:
        return ConsoleApp(Start(settings, settings.environments[environment], None))

    for name, environment, size, keys in CONSOLE:
        app = opened(environment)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda app=app: app.snapshot is not None)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.4)
            if keys and keys[-1] in ("T", "D", "u"):
                await until(pilot, lambda app=app: len(app.screen_stack) > 1)
            await pilot.pause(2.5)
            path = HERE / f"{name}.svg"
            path.write_text(app.export_screenshot(title="mlconsole"), encoding="utf-8")
            print(path)


async def until(pilot: Any, true: Callable[[], bool]) -> None:
    """Wait for something to be on the screen, at most half a minute."""
    for _ in range(300):
        if true():
            return
        await pilot.pause(0.1)
    raise SystemExit("the console did not come so far")


def main() -> None:
    """Make all pictures, and clean up."""
    with tempfile.TemporaryDirectory(prefix="mlconsole-pictures-") as folder:
        workspace = Path(folder) / "demo"
        subprocess.run([TOOL, "demo", str(workspace)], check=True)
        try:
            for name, commands in PICTURES.items():
                text = "\n".join(run(workspace, arguments) for arguments in commands)
                print(f"{draw(name, text)}")
                if name == "deploy":
                    time.sleep(12)  # so that there is something observed to be seen in the next pictures
                    asyncio.run(draw_console(workspace))
        finally:
            subprocess.run([TOOL, "demo", str(workspace), "--clean"], check=True)


if __name__ == "__main__":
    main()
