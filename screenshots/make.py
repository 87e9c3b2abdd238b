"""Pictures of the running program: starts the sample workspace on real servers, runs real commands, and draws what they printed.

`make screenshots` writes `screenshots/*.svg`. Nothing in a picture is typed in; pids, ports and figures are those of the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
TOOL = Path(sys.executable).parent / "mlconsole"
WIDTH = 118

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
                    time.sleep(12)  # so that there is something observed to be seen in the next picture
        finally:
            subprocess.run([TOOL, "demo", str(workspace), "--clean"], check=True)


if __name__ == "__main__":
    main()
