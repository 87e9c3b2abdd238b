"""Edits of a document that keep every other byte: comments, order, formatting, line endings.

An edit is a JSON pointer and a new value, or REMOVE. Each becomes the smallest change of the text that says so; then the result is read
again, and only if it says exactly what the edits say it is given out.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlconsole.core.configdiff import same
from mlconsole.core.documents import Format
from mlconsole.core.errors import InvalidFile, UsageError
from mlconsole.core.findings import stops
from mlconsole.core.models import Json
from mlconsole.core.pointers import REMOVE, branches, edited, told
from mlconsole.documents.blocktext import YamlSplicer
from mlconsole.documents.flowtext import JsonSplicer, plain_json
from mlconsole.documents.reading import BOM, Reading, read

__all__ = ["REMOVE", "splice"]


def splice(body: bytes, format: Format, edits: Mapping[str, Json]) -> bytes:  # noqa: A002 - the word of the file's format
    """The document with all edits made: pointers are those of the document as it is. A new member is added to an object that is there,
    in the manner of its siblings; `/-` at the end of a list's pointer appends to it.

    Raises:
        InvalidFile: the document can't be read as it is.
        UsageError: a pointer names nothing, one edit stands inside another, a value can't be written, or the text is written in a way that
            can't be changed safely.
    """
    reading = read(body, format)
    wrong = stops(reading.findings)
    if wrong:
        raise InvalidFile(f"The document can't be changed value by value as it is: {wrong[0].text}", next="Correct its text first.")
    wanted = {pointer: new if new is REMOVE else plain_json(new, pointer) for pointer, new in edits.items()}
    expected = edited(reading.value, wanted)
    if same(reading.value, expected):
        return body
    text = _spliced(reading, wanted)
    return _proven(body, text, reading, expected, wanted)


def _spliced(reading: Reading, edits: Mapping[str, Json]) -> str:
    root = reading.places.root
    assert root is not None  # what can be read has a root
    splicer = JsonSplicer(reading.text, root) if reading.format is Format.JSON else YamlSplicer(reading.text, root)
    splicer.apply(root, None, reading.value, branches(edits))
    return splicer.text()


def _proven(body: bytes, text: str, reading: Reading, expected: Json, edits: Mapping[str, Json]) -> bytes:
    """The new bytes, once they were read and are what was wanted."""
    where = ", ".join(told(pointer) for pointer in list(edits)[:3])
    try:
        spliced = (BOM if body.startswith(BOM) else b"") + text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{where} can't be written: the text holds half a character.", next="Correct the value.") from error
    again = read(spliced, reading.format)
    wrong = stops(again.findings)
    if not wrong and same(again.value, expected):
        return spliced
    why = wrong[0].text if wrong else "the text that came out says something else."
    raise UsageError(f"{where} can't be changed here: {why} Nothing was changed.", next="Change it in the text, with the editor.")
