"""Pictures of the running program: starts the sample workspace on real servers, runs real commands, and draws what they printed.

`make screenshots` writes `screenshots/*.svg`, and `*.png` where `rsvg-convert` is installed (the README shows those: they look the same
everywhere). Nothing in a picture is typed in; pids, ports and figures are those of the run.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
TOOL = Path(sys.executable).parent / "mlconsole"
WIDTH = 118

CONSOLE = (
    ("endpoints", "staging", (100, 30), ["down"]),
    ("endpoints-80x24", "staging", (80, 24), ["down"]),
    ("models", "staging", (100, 30), ["down", "1"]),
    ("canary", "staging", (100, 30), ["down", "3", "down", "right", "right", "right"]),
    ("plan", "staging", (80, 24), ["down", "3", "down", "T"]),
    ("phone", "staging", (48, 20), ["down"]),
    ("canary-going", "staging", (100, 30), ["down", "3", "escape"]),
    ("activity", "staging", (100, 30), ["6", "home"]),
    ("production", "production", (100, 30), []),
)
"""The console's pictures: name, environment, size, and the keys that lead there. A slider staged for one is still there for the next."""

TROUBLE = (
    ("health", "staging", (100, 30), ["5"]),
    ("health-phone", "staging", (48, 20), ["5"]),
)
"""The same, taken while the cache of the live version is empty (drill `emptied-redis`)."""

ROLLING = (("rollout", "staging", (100, 30), ["3", "n:relevance"]),)
"""The same, while a rollout waits for evidence. `n:NAME` presses `n` until that endpoint is the subject: the worst stands first on 2."""

GOING = ["deploy", "relevance@6", "--traffic", "10", "--yes"]
"""The change that the picture `canary-going` is taken in the middle of. It goes back by itself: afterwards all is as it was."""

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
        return keep(name, console.export_svg(title="mlconsole", unique_id=name))


def keep(name: str, svg: str) -> Path:
    """Write a picture, and the same as PNG."""
    path = HERE / f"{name}.svg"
    path.write_text(steady(svg), encoding="utf-8")
    if shutil.which("rsvg-convert"):
        subprocess.run(["rsvg-convert", "--zoom", "0.8", str(path), "--output", str(path.with_suffix(".png"))], check=True)
    return path


def steady(svg: str) -> str:
    """Each word in its own place: what draws an SVG may drop blanks at an edge, know no `textLength`, and have another font."""

    def placed(found: re.Match[str]) -> str:
        head, x, middle, length, tail, text = found.groups()
        chars = re.findall(r"&[^;]+;|.", text)
        cell = float(length) / max(1, len(chars))
        pieces, begin = [], 0
        for blank, run in groupby(chars, lambda char: char == "&#160;"):
            word = list(run)
            if not blank:
                pieces.append(f"{head}{float(x) + begin * cell:g}{middle}{len(word) * cell:g}{tail}{''.join(word)}</text>")
            begin += len(word)
        return "".join(pieces)

    svg = re.sub(r'(<text class="[^"]*" x=")([\d.]+)(" y="[^"]*" textLength=")([\d.]+)("[^>]*>)([^<]*)</text>', placed, svg)
    # The size at which DejaVu Sans Mono, where there is no Fira Code, is as wide as a cell.
    svg = svg.replace("font-family: Fira Code, monospace;", "font-family: Fira Code, DejaVu Sans Mono, monospace;")
    return svg.replace("font-size: 20px", "font-size: 20.26px")


async def draw_console(workspace: Path, pictures: Sequence[tuple[str, str, tuple[int, int], list[str]]]) -> None:
    """The console on the running workspace, driven by key: what a person sees, with the figures of this run."""
    from mlconsole.tui.app import ConsoleApp
    from mlconsole.tui.start import Start
    from mlconsole.workspace import load

    settings = load(workspace)

    def opened(environment: str) -> ConsoleApp:
        return ConsoleApp(Start(settings, settings.environments[environment], None))

    for name, environment, size, keys in pictures:
        app = opened(environment)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda app=app: app.snapshot is not None)
            for key in keys:
                press, _, subject = key.partition(":")
                await pilot.press(press)
                await pilot.pause(0.4)
                for _ in range(20 if subject else 0):
                    if app.subject == subject:
                        break
                    await pilot.press(press)
                    await pilot.pause(0.4)
            if keys and keys[-1] in ("T", "D", "u"):
                await until(pilot, lambda app=app: len(app.screen_stack) > 1)
            going = None
            if name == "canary-going":
                going = subprocess.Popen([TOOL, *GOING], cwd=workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                while "under" not in app.export_screenshot(simplify=True):
                    await pilot.press("r")
                    await pilot.pause(0.1)
            else:
                await pilot.pause(2.5)
            print(keep(name, app.export_screenshot(title="mlconsole")))
            if going is not None:
                going.wait(60)


def seen(workspace: Path, arguments: list[str], there: Callable[[Any], bool]) -> None:
    """Wait until a command says so, at most two minutes."""
    for _ in range(120):
        done = subprocess.run([str(TOOL), *arguments], cwd=workspace, capture_output=True, text=True, check=False, timeout=60)
        if done.stdout.startswith("{") and there(json.loads(done.stdout)):
            return
        time.sleep(1.0)  # between two looks
    raise SystemExit(f"not seen: {' '.join(arguments)}")


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
                    run(workspace, ["--env", "production", "local", "up"])
                    run(workspace, ["--env", "production", "deploy", "relevance@3", "--confirm", "relevance", "--reason", "first version"])
                    asyncio.run(draw_console(workspace, CONSOLE))
            subprocess.run([TOOL, "demo", str(workspace), "--drill", "emptied-redis"], check=True)
            seen(workspace, ["health", "--json"], lambda body: any(one["question"] == "identical" for one in body["alarms"]))
            print(draw("status", run(workspace, ["status"])))
            asyncio.run(draw_console(workspace, TROUBLE))
            subprocess.run([TOOL, "demo", str(workspace), "--drill", "end"], check=True)
            run(workspace, ["rollout", "start", "relevance@4", "--yes"])
            seen(workspace, ["rollout", "status", "relevance", "--json"], lambda body: any(one["n"] for one in body["rollout"]["guards"]))
            time.sleep(15)  # so that the guards have some evidence to show
            asyncio.run(draw_console(workspace, ROLLING))
            print(draw("rollout-status", run(workspace, ["rollout", "status", "relevance"])))
            run(workspace, ["rollout", "revert", "relevance"])
        finally:
            subprocess.run([TOOL, "demo", str(workspace), "--clean"], check=True)


if __name__ == "__main__":
    main()
