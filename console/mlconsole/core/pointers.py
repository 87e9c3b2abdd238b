"""JSON pointers (RFC 6901): where something stands in a document, and documents with other values there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from mlconsole.core.errors import UnknownName, UsageError
from mlconsole.core.models import Json
from mlconsole.core.text import did_you_mean, neutralise


class _Sign(Enum):
    """Values that no document can hold."""

    MISSING = "missing"
    REMOVE = "remove"

    def __repr__(self) -> str:
        return self.name


MISSING: Final = _Sign.MISSING
"""What `get` finds where there is nothing: null is a value."""

REMOVE: Final = _Sign.REMOVE
"""As an edit's new value: the member, or the item, goes."""

APPENDED = "-"
"""The last part of a pointer to the place after a list's last item."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_WRONG_ESCAPE = re.compile(r"~(?![01])")


def parse(pointer: str) -> tuple[str, ...]:
    """The parts of a pointer; the empty pointer, which has none, is the whole document.

    Raises:
        UsageError: it is no JSON pointer.
    """
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise UsageError(
            f'"{neutralise(pointer)}" is no JSON pointer: it has to begin with /.', next="Write it like /relevance/pl/threshold."
        )
    if _WRONG_ESCAPE.search(pointer):
        raise UsageError(
            f'"{neutralise(pointer)}" is no JSON pointer: ~ stands alone in it.', next="Write ~0 for ~, and ~1 for / in a name."
        )
    if "~" not in pointer:
        return tuple(pointer[1:].split("/"))
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def escaped(part: str) -> str:
    """A name as one part of a pointer."""
    return part.replace("~", "~0").replace("/", "~1") if "~" in part or "/" in part else part


def join(parts: Iterable[str]) -> str:
    """The pointer with these parts."""
    return "".join(f"/{escaped(part)}" for part in parts)


def told(pointer: str) -> str:
    """A pointer as people read it: `relevance · pl · threshold`."""
    return " · ".join(neutralise(part) or '""' for part in parse(pointer)) if pointer else "the whole document"


def index_of(part: str, items: Sequence[Json]) -> int | None:
    """The item of a list that a part names; None when there is none."""
    index = int(part) if _INDEX.fullmatch(part) else -1
    return index if 0 <= index < len(items) else None


def get(value: Json, pointer: str, default: Json = MISSING) -> Json:
    """What stands at a pointer; `default` where there is nothing."""
    for part in parse(pointer):
        if isinstance(value, Mapping):
            if part not in value:
                return default
            value = value[part]
        elif isinstance(value, list | tuple):
            index = index_of(part, value)
            if index is None:
                return default
            value = value[index]
        else:
            return default
    return value


def put(value: Json, pointer: str, new: Json) -> Json:
    """A document with `new` at a pointer: in place of what is there, as a new last member, or (`/-`) as a new last item.

    Raises:
        UsageError: it is no pointer, or what it would stand in does not exist.
    """
    return edited(value, {pointer: new})


def remove(value: Json, pointer: str) -> Json:
    """A document without what stands at a pointer.

    Raises:
        UsageError: it is no pointer, names the whole document, or nothing.
    """
    return edited(value, {pointer: REMOVE})


def edited(value: Json, edits: Mapping[str, Json]) -> Json:
    """A document with all edits made: pointer → new value, or REMOVE. Each pointer is one into the document as it was before; what is not
    touched is shared with it, not copied.

    Raises:
        UsageError: one is no pointer, stands inside another, or names what is not there.
    """
    return _edited(value, branches(edits), "")


@dataclass(frozen=True)
class Leaf:
    """An edit, in the tree of all edits."""

    new: Json


Branches = dict[str, Any]
"""A tree of edits: part → `Branches`, or the `Leaf` at its end."""


def branches(edits: Mapping[str, Json]) -> Branches | Leaf:
    """Edits as the tree of their pointers' parts.

    Raises:
        UsageError: one is no pointer, or stands inside another.
    """
    if "" in edits:
        if len(edits) > 1:
            raise UsageError("An edit of the whole document leaves no room for others.", next="Make them one after the other.")
        return Leaf(edits[""])
    root: Branches = {}
    for pointer, new in edits.items():
        *outer, last = parse(pointer)
        place = root
        for part in outer:
            place = place.setdefault(part, {})
            if isinstance(place, Leaf):
                raise _within(pointer)
        if last in place:
            raise _within(pointer)
        place[last] = Leaf(new)
    return root


def _within(pointer: str) -> UsageError:
    return UsageError(f"Two edits are about {told(pointer)}: one stands inside the other.", next="Make them one after the other.")


def _edited(value: Json, tree: Branches | Leaf, pointer: str) -> Json:
    if isinstance(tree, Leaf):
        if tree.new is REMOVE:
            raise UsageError("The whole document can't be removed.", next="Put another in its place.")
        return tree.new
    if not tree:
        return value
    if isinstance(value, Mapping):
        members = dict(value)
        for part, branch in tree.items():
            inside = f"{pointer}/{escaped(part)}"
            if isinstance(branch, Leaf) and branch.new is not REMOVE:
                members[part] = branch.new
            elif part not in value:
                raise _nothing(inside, value)
            elif isinstance(branch, Leaf):
                del members[part]
            else:
                members[part] = _edited(value[part], branch, inside)
        return members
    if isinstance(value, list | tuple):
        return _edited_items(value, tree, pointer)
    raise UsageError(f"{_begun(pointer)} is no object and no list: it has no {', '.join(map(neutralise, tree))}.")


def _edited_items(value: Sequence[Json], tree: Branches, pointer: str) -> list[Json]:
    items: list[Json] = list(value)
    for part, branch in tree.items():
        inside = f"{pointer}/{escaped(part)}"
        index = index_of(part, value)
        if index is not None:
            items[index] = branch.new if isinstance(branch, Leaf) else _edited(value[index], branch, inside)
        elif part not in (APPENDED, str(len(value))) or not isinstance(branch, Leaf) or branch.new is REMOVE or len(items) > len(value):
            raise UnknownName(f"There is no item {neutralise(part)} in {told(pointer)}: it has {len(value)}, counted from 0.")
        else:
            items.append(branch.new)
    return [item for item in items if item is not REMOVE]


def _nothing(pointer: str, value: Mapping[str, Json]) -> UnknownName:
    parts = parse(pointer)
    return UnknownName(f"There is no {told(pointer)} in the document.", next=neutralise(did_you_mean(parts[-1], value)))


def _begun(pointer: str) -> str:
    text = told(pointer)
    return text[:1].upper() + text[1:] if not pointer else text
