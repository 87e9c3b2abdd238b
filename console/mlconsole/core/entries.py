"""Entries of a config document: what applications read for each model × slice, found by the document's layout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlconsole.core.documents import WHOLE, Layout
from mlconsole.core.errors import UsageError
from mlconsole.core.findings import Finding, Severity
from mlconsole.core.models import Json
from mlconsole.core.pointers import MISSING, get, join, parse
from mlconsole.core.text import neutralise

MODEL, SLICE = "{model}", "{slice}"

_SHOWN = 40
"""So many characters of a foreign value are quoted."""


@dataclass(frozen=True)
class Entry:
    """What an application reads for one model × slice. A field is None where the entry has none, or where it is not as the layout says."""

    model: str
    slice: str
    """The slice's value (`de`); empty where the model has one entry for all."""
    pointer: str
    endpoint: str | None = None
    share: int | None = None
    """bp of the slice's requests that go to `endpoint`."""
    split: Mapping[str, int] | None = None
    """Variant → bp."""
    fields: tuple[str, ...] | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Spot:
    """A place where the layout wants an entry, with whatever stands there. `group` is the pointer up to the model's own name."""

    model: str
    slice: str
    pointer: str
    group: str
    value: Json


def entries(value: Json, layout: Layout) -> tuple[Entry, ...]:
    """All entries in the order of the document; what does not fit the layout is left out, `malformed` tells it.

    Raises:
        UsageError: the layout itself is none.
    """
    return tuple(entry_at(spot, layout) for spot in spots(value, layout) if isinstance(spot.value, dict))


def spots(value: Json, layout: Layout) -> tuple[Spot, ...]:
    """The places of all entries, those too in which something else stands.

    Raises:
        UsageError: the layout itself is none.
    """
    return tuple(one for one in _walk(value, layout) if isinstance(one, Spot))


def entry_at(spot: Spot, layout: Layout) -> Entry:
    """The entry in a place; its malformed fields are None."""
    found = {name: field(spot.value, name, layout) for name in _READERS}
    return Entry(
        spot.model, spot.slice, spot.pointer, **{name: _READERS[name](one)[0] for name, one in found.items() if one is not MISSING}
    )


def field(entry: Json, name: str, layout: Layout) -> Json:
    """A field of an entry (`endpoint`, `share`, …) as it stands there; `MISSING` where the entry, or the layout, has none."""
    pointer = getattr(layout, name)
    return get(entry, pointer, MISSING) if pointer else MISSING


def malformed(value: Json, layout: Layout) -> tuple[Finding, ...]:
    """What is not as the layout says, in the order of the document.

    Raises:
        UsageError: the layout itself is none.
    """
    found: list[Finding] = []
    for one in _walk(value, layout):
        if isinstance(one, Finding):
            found.append(one)
        elif not isinstance(one.value, dict):
            text = f"{shown(one.value)} is {sort_of(one.value)}: an entry is an object"
            found.append(Finding(Severity.STOP, "malformed", text, one.pointer))
        else:
            found += _malformed_fields(one, layout)
    return tuple(found)


def parts_of(layout: Layout) -> tuple[str, ...]:
    """The layout's way to an entry, in parts.

    Raises:
        UsageError: it names no model, or one of both twice.
    """
    try:
        parts = parse(layout.entries)
    except UsageError as error:
        raise UsageError(f'The layout\'s entries "{neutralise(layout.entries)}" are no JSON pointer: {error.message}') from error
    if parts.count(MODEL) != 1 or parts.count(SLICE) > 1:
        raise UsageError(
            f'The layout\'s entries "{neutralise(layout.entries)}" have to name {MODEL} once, and {SLICE} at most once, as whole parts.',
            next="As in entries: /{model}/{slice}, under configs in mlconsole.yaml.",
        )
    return parts


def sort_of(value: Json) -> str:
    """What a value is, in a person's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list | tuple) else "an object"


def shown(value: Json) -> str:
    """A value as a short, harmless JSON text."""
    text = neutralise(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def number(value: Json) -> float | None:
    """A finite number; None for everything else, true and false too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _walk(value: Json, layout: Layout) -> Iterator[Spot | Finding]:
    yield from _down(value, parts_of(layout), (), {}, "")


def _down(value: Json, ahead: tuple[str, ...], behind: tuple[str, ...], names: Mapping[str, str], group: str) -> Iterator[Spot | Finding]:
    if not ahead:
        yield Spot(names[MODEL], names.get(SLICE, ""), join(behind), group, value)
        return
    part, rest = ahead[0], ahead[1:]
    if not isinstance(value, dict):
        # Beside the models many a document has a version or a comment: nobody reads it as an entry, and nothing breaks.
        what = {MODEL: "an object of models", SLICE: "an object of slices"}.get(part, f'an object with "{part}"')
        yield Finding(Severity.LOOK, "layout", f"{shown(value)} is {sort_of(value)}: {what} is looked for here", join(behind))
    elif part not in (MODEL, SLICE):
        if part in value:
            yield from _down(value[part], rest, (*behind, part), names, group)
        else:
            yield Finding(Severity.LOOK, "layout", f'there is no "{part}" here, where entries are looked for', join(behind))
    else:
        for key, child in value.items():
            if key.startswith("$"):  # `$schema`, `$comment`: JSON Schema's own words
                continue
            way = (*behind, key)
            yield from _down(child, rest, way, {**names, part: key}, join(way) if part == MODEL else group)


def _malformed_fields(spot: Spot, layout: Layout) -> list[Finding]:
    found = []
    for name, reader in _READERS.items():
        value = field(spot.value, name, layout)
        if value is MISSING:
            continue
        problem, inside = reader(value)[1:]
        if problem:
            found.append(Finding(Severity.STOP, "malformed", problem, spot.pointer + getattr(layout, name) + inside))
    return found


_Read = tuple[Any, str, str]
"""What was read, or None; else what is wrong, and where inside of the value."""


def _endpoint(value: Json) -> _Read:
    if isinstance(value, str) and value.strip():
        return value, "", ""
    return None, f"{shown(value)} is {'empty' if isinstance(value, str) else sort_of(value)}: an endpoint is named by a text", ""


def _share(value: Json) -> _Read:
    found = number(value)
    if found is None:
        return None, f"{shown(value)} is {sort_of(value)}: a share is a number of percent, from 0 to 100", ""
    if not 0 <= found <= 100:
        return None, f"{shown(value)} % is no share: from 0 to 100 is wanted", ""
    bp = round(found * WHOLE / 100)
    if abs(found * WHOLE / 100 - bp) > 1e-6:
        return None, f"{shown(value)} % has more than two places after the point", ""
    return bp, "", ""


def _split(value: Json) -> _Read:
    if not isinstance(value, dict):
        return None, f"{shown(value)} is {sort_of(value)}: a split is an object, variant to percent", ""
    shares = {}
    for name, share in value.items():
        bp, problem, _ = _share(share)
        if problem:
            return None, problem, join((name,))
        shares[name] = bp
    return shares, "", ""


def _fields(value: Json) -> _Read:
    if not isinstance(value, list):
        return None, f"{shown(value)} is {sort_of(value)}: fields are a list of names", ""
    for place, name in enumerate(value):
        if not isinstance(name, str):
            return None, f"{shown(name)} is {sort_of(name)}: a field is named by a text", f"/{place}"
    return tuple(value), "", ""


def _threshold(value: Json) -> _Read:
    found = number(value)
    if found is None:
        return None, f"{shown(value)} is {sort_of(value)}: a threshold is a number", ""
    return found, "", ""


_READERS = {"endpoint": _endpoint, "share": _share, "split": _split, "fields": _fields, "threshold": _threshold}
