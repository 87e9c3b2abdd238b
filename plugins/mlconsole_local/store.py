"""The plugin's own copies of artifacts, by digest: what was deployed once can be started again, whatever became of its file."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from mlconsole.plugin.artifacts import measure
from mlconsole.plugin.errors import InvalidFile, Refused
from mlconsole_local.state import private


def kept(root: Path, digest: str) -> Path:
    """Where our copy of an artifact with these bytes is, or would be; the same for a file and a folder, whatever it was called."""
    return root / "artifacts" / digest.removeprefix("sha256:") / "artifact"


def keep(root: Path, workspace: Path, location: str, digest: str) -> Path:
    """The path of our copy of an artifact with these bytes, made from `location` (relative to the workspace) when there is no sound one.

    Call it holding `locked(root)`.

    Raises:
        Refused: neither our copy nor what lies at `location` has these bytes, or it can't be copied.
    """
    copy = kept(root, digest)
    if copy.exists() and _is(copy, digest):
        return copy
    if "://" in location:
        raise Refused(f"The artifact lies at {location}; this plugin serves what lies on this machine.", next="Register a local copy.")
    source = workspace / location
    if not _is(source, digest):
        raise Refused(
            f"ALARM: the artifact at {source} is not the bytes that were registered ({digest[:19]}…). It was not started.",
            next="Restore the file, or register the new bytes as a new version.",
        )
    beside = copy.parent.with_name(f".new-{copy.parent.name}")
    try:
        private(beside.parent)
        shutil.rmtree(beside, ignore_errors=True)  # Of a console that was killed while it copied.
        beside.mkdir(mode=0o700)
        if source.is_dir():
            shutil.copytree(source, beside / copy.name)
        else:
            shutil.copyfile(source, beside / copy.name)
        sound = _is(beside / copy.name, digest)
        if sound:
            shutil.rmtree(copy.parent, ignore_errors=True)
            beside.replace(copy.parent)
    except OSError as error:
        raise Refused(
            f"The artifact at {source} can't be copied to {copy.parent}: {_why(error)}.",
            next="Free some space there, or make it yours to write.",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if not sound:
        raise Refused(f"ALARM: the artifact at {source} changed while it was copied. It was not started.", next="Register it anew.")
    return copy


def _why(error: OSError) -> str:
    """Why a copy failed; copying a folder gathers the reasons of all its files, of which the first says enough."""
    number = re.search(r"\[Errno (\d+)\]", str(error)) if isinstance(error, shutil.Error) else None
    return os.strerror(int(number[1])) if number else error.strerror or str(error)


def _is(path: Path, digest: str) -> bool:
    try:
        return measure(path).digest == digest
    except InvalidFile:
        return False
