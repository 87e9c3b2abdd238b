"""The plugin's own copies of artifacts, by digest: what was deployed once can be started again, whatever became of its file."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from mlconsole.plugin.artifacts import measure
from mlconsole.plugin.errors import InvalidFile, Refused
from mlconsole_local.state import private


def keep(root: Path, workspace: Path, location: str, digest: str) -> Path:
    """The path of our copy of an artifact with these bytes, made from `location` (relative to the workspace) when there is none yet.

    Raises:
        Refused: neither our copy nor what lies at `location` has these bytes, or it can't be copied.
    """
    if "://" in location:
        raise Refused(f"The artifact lies at {location}; this plugin serves what lies on this machine.", next="Register a local copy.")
    source = workspace / location
    name = digest.removeprefix("sha256:")
    folder = private(root / "artifacts") / name
    kept = folder / source.name
    if kept.exists() and _is(kept, digest):
        return kept
    if not _is(source, digest):
        raise Refused(
            f"ALARM: the artifact at {source} is not the bytes that were registered ({digest[:19]}…). It was not started.",
            next="Restore the file, or register the new bytes as a new version.",
        )
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        if source.is_dir():
            shutil.copytree(source, beside / source.name)
        else:
            shutil.copyfile(source, beside / source.name)
        shutil.rmtree(folder, ignore_errors=True)
        beside.replace(folder)
    except OSError as error:
        with suppress(OSError):
            shutil.rmtree(beside)
        raise Refused(f"The artifact can't be copied to {folder}: {error.strerror or error}.", next="Free some space there.") from error
    return kept


def _is(path: Path, digest: str) -> bool:
    try:
        return measure(path).digest == digest
    except InvalidFile:
        return False
