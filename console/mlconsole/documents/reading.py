"""Bytes of a document → its value, where everything in it stands, and what is wrong with it: bad input is a finding, never an error."""

from __future__ import annotations

from dataclasses import dataclass

from mlconsole.core.documents import MOST_BYTES, Format
from mlconsole.core.findings import Finding, Severity, stops
from mlconsole.core.models import Json
from mlconsole.documents.jsontext import read_json
from mlconsole.documents.nodes import Lines, Place, Places
from mlconsole.documents.yamltext import read_yaml

__all__ = ["BOM", "Place", "Places", "Reading", "format_of", "read"]

BOM = b"\xef\xbb\xbf"
"""The mark that some editors put before UTF-8; it is kept, and belongs to no value."""


@dataclass(frozen=True)
class Reading:
    """A document as it was read. With a finding that stops, `value` is None and `places` may be empty."""

    value: Json
    text: str
    """Without the byte order mark."""
    places: Places
    format: Format
    findings: tuple[Finding, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether it has a value: null is one, too."""
        return not stops(self.findings)

    def line(self, pointer: str) -> int | None:
        """The line on which the value at a pointer begins; None where there is none."""
        place = self.places.get(pointer)
        return place.line if place else None


def format_of(name: str) -> Format | None:
    """The format that a file's name promises; None for other endings than .json, .yaml and .yml."""
    ending = name.lower().rpartition(".")[2]
    return {"json": Format.JSON, "yaml": Format.YAML, "yml": Format.YAML}.get(ending)


def read(body: bytes, format: Format) -> Reading:  # noqa: A002 - the word of the file's format
    """A document's bytes, read strictly: UTF-8, at most 1 MB, and nothing that two readers could understand in two ways."""
    problem = _bytes_problem(body)
    if problem is not None:
        return Reading(None, "", Places("", lambda: None), format, (problem,))
    text = body.removeprefix(BOM).decode("utf-8")
    value, places, findings = read_json(text) if format is Format.JSON else read_yaml(text)
    found = findings.all()
    if format is Format.JSON and body.startswith(BOM):
        marked = "It begins with a byte order mark, which many readers of JSON refuse: save it without."
        found = (Finding(Severity.LOOK, "bom", marked, line=1), *found)
    return Reading(value, text, places, format, found)


def _bytes_problem(body: bytes) -> Finding | None:
    if len(body) > MOST_BYTES:
        told = f"The document has {len(body):,} bytes: at most {MOST_BYTES:,} are possible.".replace(",", " ")
        return Finding(Severity.STOP, "size", told)
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Finding(Severity.STOP, "utf-8", "The document is UTF-16: save it as UTF-8.", line=1)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        before = body[: error.start].removeprefix(BOM).decode("utf-8")
        place = Lines(before).place(len(before))
        where = f"line {place.line}, column {place.column}"
        told = f"The byte 0x{body[error.start]:02x} at offset {error.start} is no UTF-8 ({where}): save it as UTF-8."
        return Finding(Severity.STOP, "utf-8", told, line=place.line)
    return None
