"""Artifacts on disk: measuring them, so that a version is known by its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mlconsole.plugin.errors import InvalidFile

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Measured:
    """An artifact's identity (`sha256:…`), its size in bytes and its number of files."""

    digest: str
    size: int
    files: int


def measure(path: Path) -> Measured:
    """Read an artifact, a file or a folder, and tell its digest (the format is in `docs/artifact-format.md`).

    Raises:
        InvalidFile: it is not there, is empty, or can't be read.
    """
    if path.is_file():
        digest, size = _hash(path)
        files = 1
    elif path.is_dir():
        outer = hashlib.sha256()
        size = files = 0
        for file in sorted(path.rglob("*"), key=lambda found: found.relative_to(path).as_posix()):
            if file.is_file():
                inner, length = _hash(file)
                outer.update(f"{inner}  {file.relative_to(path).as_posix()}\n".encode())
                size, files = size + length, files + 1
        digest = outer.hexdigest()
    else:
        raise InvalidFile(f"There is no artifact at {path}.", next="Check the path, or `artifact:` in the metadata file.")
    if size == 0:
        raise InvalidFile(f"The artifact at {path} is empty.", next="Export the model again.")
    return Measured(f"sha256:{digest}", size, files)


def _hash(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise InvalidFile(f"The artifact at {path} can't be read: {error.strerror}.") from error
    return digest.hexdigest(), size
