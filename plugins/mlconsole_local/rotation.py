"""Logs that are rotated by renaming: `x`, `x.1`, `x.2`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

KEEP = 2
"""How many rotated files stay beside the present one."""


def rotate(path: Path) -> None:
    """Rename `path` to `.1`, `.1` to `.2`, and so on; the oldest goes. Nothing happens when it is not there."""
    for number in range(KEEP, 0, -1):
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        with suppress(FileNotFoundError):
            newer.rename(path.with_name(f"{path.name}.{number}"))


def family(path: Path) -> list[Path]:
    """The log and its rotated files, oldest first; some may not be there."""
    return [path.with_name(f"{path.name}.{number}") for number in range(KEEP, 0, -1)] + [path]
