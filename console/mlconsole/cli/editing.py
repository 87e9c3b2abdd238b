"""What people type to change a config document: a pointer and a value, or all of it in their own editor."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlconsole.core.documents import MOST_BYTES, Format
from mlconsole.core.findings import stops
from mlconsole.core.models import Json
from mlconsole.core.pointers import REMOVE, join, parse
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import InvalidFile, UsageError

_USUAL = ("nano", "vim", "vi")


def pointer_of(text: str) -> str:
    """The JSON pointer that somebody means: as one (`/relevance/pl/threshold`), or with dots (`relevance.pl.threshold`).

    Raises:
        UsageError: it is neither.
    """
    if text.startswith("/") or not text:
        return join(parse(text))
    parts = text.split(".")
    if not all(parts):
        raise UsageError(
            f'"{neutralise(text)}" names no value: a part between dots is empty. Nothing was changed.',
            next="Write it like relevance.pl.threshold, or /relevance/pl/threshold.",
        )
    return join(parts)


def value_of(text: str) -> Json:
    """The value that somebody means: JSON where it is some, else the text itself.

    Raises:
        UsageError: it was meant as JSON, and is none.
    """
    from mlconsole.documents import read

    if not _meant_as_json(text):
        return text
    reading = read(text.encode("utf-8", "surrogateescape"), Format.JSON)
    wrong = stops(reading.findings)
    if wrong:
        raise UsageError(
            f'"{_short(text)}" is no value: {wrong[0].text} Nothing was changed.',
            next='A text that looks like JSON stands in quotes: "\\"…\\"".',
        )
    return reading.value


def _meant_as_json(text: str) -> bool:
    if text.lstrip()[:1] in ("{", "[", '"'):
        return True
    try:
        json.loads(text)  # NaN is one here, too: it is meant as a number, and told as none
    except (ValueError, RecursionError):
        return False
    return True


def _short(text: str) -> str:
    return neutralise(text if len(text) <= 60 else f"{text[:59]}…")


def edits_of(values: Sequence[str], removed: Sequence[str]) -> dict[str, Json]:
    """`POINTER=VALUE` arguments and `--remove` as edits.

    Raises:
        UsageError: one is none, or two are of the same value.
    """
    edits: dict[str, Json] = {}
    for text in values:
        pointer, equals, value = text.partition("=")
        if not equals or not pointer:
            raise UsageError(
                f'"{_short(text)}" is no edit: POINTER=VALUE is wanted, like relevance.pl.threshold=0.48. Nothing was changed.'
            )
        _add(edits, pointer_of(pointer), value_of(value))
    for text in removed:
        if not text:
            raise UsageError("--remove names no value. Nothing was changed.", next="Write it like --remove relevance.pl.share.")
        _add(edits, pointer_of(text), REMOVE)
    return edits


def _add(edits: dict[str, Json], pointer: str, value: Json) -> None:
    if pointer in edits:
        raise UsageError(f'"{neutralise(pointer)}" is given twice. Nothing was changed.')
    edits[pointer] = value


def bytes_of(name: str) -> bytes:
    """The bytes of a file, or of what is piped in (`-`).

    Raises:
        InvalidFile: it can't be read, or is too large to be a config document.
    """
    try:
        if name == "-":
            body = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                body = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidFile(f"{neutralise(name)} can't be read: {why}. Nothing was changed.") from error
    if len(body) > MOST_BYTES:
        most = f"{MOST_BYTES:,}".replace(",", " ")
        raise InvalidFile(f"{neutralise(name)} has more than {most} bytes, the most that a config document may have. Nothing was changed.")
    return body


def editor_of(environ: Mapping[str, str]) -> list[str]:
    """The command of the editor: $VISUAL, $EDITOR, else a usual one that is there.

    Raises:
        UsageError: there is none.
    """
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environ.get(name, ""))
        except ValueError as error:
            raise UsageError(f"${name} can't be read as a command: {error}.") from error
        if words:
            return words
    found = next((path for name in _USUAL if (path := shutil.which(name, path=environ.get("PATH")))), None)
    if found is None:
        raise UsageError("There is no editor here. Nothing was changed.", next="Set $EDITOR, or write POINTER=VALUE, or give --file FILE.")
    return [found]


@dataclass(frozen=True)
class Sheet:
    """A file of its own in which a document is edited: private, and kept until what was written is kept elsewhere."""

    path: Path

    @classmethod
    def of(cls, body: bytes, name: str) -> Sheet:
        """One with these bytes; editors go by the suffix of its name."""
        path = Path(tempfile.mkdtemp(prefix="mlconsole-edit-")) / name  # 0700: nobody else reads it
        path.write_bytes(body)
        return cls(path)

    def edited(self) -> bytes:
        """Let a person write in it; what they wrote.

        Raises:
            UsageError: the editor can't be started, or ended with an error.
        """
        command = editor_of(os.environ)
        try:
            code = subprocess.run([*command, str(self.path)], check=False).returncode
        except OSError as error:
            told = f"{shlex.join(command)} can't be started: {error.strerror or error}. Nothing was changed."
            raise UsageError(told, next="Set $EDITOR.") from error
        if code:
            raise UsageError(f"{command[0]} ended with code {code}. The draft was not changed.")
        return bytes_of(str(self.path))

    def says(self, body: bytes) -> bool:
        """Whether these bytes stand in it, so that nothing is lost with it."""
        try:
            return self.path.read_bytes() == body
        except OSError:
            return False

    def forget(self) -> None:
        """What was written is kept elsewhere now, or nothing was."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
