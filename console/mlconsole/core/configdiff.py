"""What differs between two values of a document, and which edits take a change back without touching what others changed since."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType

from mlconsole.core.models import Json
from mlconsole.core.pointers import MISSING, REMOVE, escaped, get, join, parse
from mlconsole.core.textdiff import TextLine, text_diff

__all__ = [
    "Difference",
    "Kind",
    "Restored",
    "TextLine",
    "aligned",
    "differences",
    "relative",
    "restored",
    "same",
    "text_diff",
    "touched",
]


class Kind(StrEnum):
    """How a value differs."""

    CHANGED = "changed"
    TYPE_CHANGED = "type changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True)
class Difference:
    """One difference, told as high up as it can be: an added object is one. `old` is None where it was added, `new` where it was removed.

    In lists, the pointer of what was removed is one into the old document, every other one into the new one.
    """

    pointer: str
    kind: Kind
    old: Json = None
    new: Json = None
    relative: float | None = None
    """(new − old) / |old| of numbers; None where there is no such figure."""


@dataclass(frozen=True)
class Restored:
    """How a change is taken back: the edits of what is live, and the pointers where somebody changed it since, which have no edit."""

    edits: Mapping[str, Json]
    overlaps: tuple[str, ...] = ()


_SHORT = 20
"""Lists below that many items are compared as a whole before they are gone into."""


class _Sort(StrEnum):
    OBJECT = "object"
    LIST = "list"
    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    NOTHING = "nothing"


_SORTS: dict[type, _Sort] = {
    dict: _Sort.OBJECT,
    list: _Sort.LIST,
    tuple: _Sort.LIST,
    str: _Sort.TEXT,
    int: _Sort.NUMBER,
    float: _Sort.NUMBER,
    bool: _Sort.FLAG,
    NoneType: _Sort.NOTHING,
}


def same(old: Json, new: Json) -> bool:
    """Whether two values are the same in JSON: 1 is 1.0, and is not true; the order of members does not matter. MISSING is like itself."""
    if old is new or old is MISSING or new is MISSING:
        return old is new
    sort = _sort(old)
    if sort is not _sort(new):
        return False
    if sort is _Sort.OBJECT:
        return len(old) == len(new) and all(name in new and same(value, new[name]) for name, value in old.items())
    if sort is _Sort.LIST:
        return len(old) == len(new) and all(map(same, old, new))
    return bool(old == new)


def differences(old: Json, new: Json) -> tuple[Difference, ...]:
    """Where two values differ, in the order of the new document, what was removed in its old place.

    Lists are compared item by item; where their lengths differ, what is the same at their beginnings and ends is left out first, so that an
    item that was put in is one difference.
    """
    found: list[Difference] = []
    _compare(old, new, "", found)
    return tuple(found)


def touched(old: Json, new: Json) -> tuple[str, ...]:
    """The pointers that a change from `old` to `new` touched. Of a list that became longer or shorter it is the list: its items have
    other numbers now."""
    return tuple(dict.fromkeys(_stable(difference.pointer, old, new) for difference in differences(old, new)))


def restored(live: Json, before: Json, after: Json, pointers: Collection[str]) -> Restored:
    """Which edits of `live` make the values at `pointers` what they were in `before`, the change having made them what they are in `after`.

    Where somebody made it something else since, it is an overlap; where it is what it was before already, nothing is left to do.
    """
    edits: dict[str, Json] = {}
    overlaps: list[str] = []
    for pointer in _outermost(_narrowed(before, after, pointers)):
        was, became, is_now = get(before, pointer), get(after, pointer), get(live, pointer)
        if not _alike(before, after, live, pointer):
            overlaps.append(pointer)
        elif same(is_now, was):
            continue
        elif same(is_now, became) and _has_room(live, pointer):
            edits[pointer] = REMOVE if was is MISSING else was
        else:
            overlaps.append(pointer)
    return Restored(edits, tuple(overlaps))


def _compare(old: Json, new: Json, pointer: str, found: list[Difference]) -> None:
    sort, other = _sort(old), _sort(new)
    if sort is not other:
        found.append(Difference(pointer, Kind.TYPE_CHANGED, old, new))
    elif sort is _Sort.OBJECT:
        _compare_members(old, new, pointer, found)
    elif sort is _Sort.LIST:
        _compare_items(old, new, pointer, found)
    elif old != new:
        found.append(Difference(pointer, Kind.CHANGED, old, new, relative(old, new)))


def _sort(value: Json) -> _Sort:
    found = _SORTS.get(type(value))
    if found is None:
        # Rare: values that were not parsed, but made by a program.
        found = next((sort for kind, sort in _SORTS.items() if isinstance(value, kind)), None)
    if found is None:
        found = _Sort.OBJECT if isinstance(value, Mapping) else _Sort.LIST
    return found


def relative(old: Json, new: Json) -> float | None:
    """How much a number changed, as a share of what it was; None where there is no such figure."""
    if _sort(old) is not _Sort.NUMBER or _sort(new) is not _Sort.NUMBER or not old:
        return None
    try:
        return float((new - old) / abs(old))
    except OverflowError:
        return None


def _compare_members(old: Mapping[str, Json], new: Mapping[str, Json], pointer: str, found: list[Difference]) -> None:
    gone = {} if old.keys() <= new.keys() else _gone(old, new)
    if gone:
        found += _removed(gone, None, old, pointer)
    for name, value in new.items():
        was = old.get(name, MISSING)
        if was is MISSING:
            found.append(Difference(f"{pointer}/{escaped(name)}", Kind.ADDED, None, value))
        elif not _surely_same(was, value):
            _compare(was, value, f"{pointer}/{escaped(name)}", found)
        if gone:
            found += _removed(gone, name, old, pointer)


def _surely_same(old: Json, new: Json) -> bool:
    """Whether two values are the same without doubt: most of a document did not change, and is left out before a pointer is made of its
    name. An object is gone into anyway."""
    kind = type(new)
    if old is new:
        return True
    if kind is not type(old) or kind is dict:
        return False
    return same(old, new) if kind is list and len(new) < _SHORT else kind is not list and bool(old == new)


def _gone(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str | None, list[str]]:
    """The names that are gone, each by the last one before it that stayed."""
    gone: dict[str | None, list[str]] = {}
    stayed: str | None = None
    for name in old:
        if name in new:
            stayed = name
        else:
            gone.setdefault(stayed, []).append(name)
    return gone


def _removed(gone: Mapping[str | None, list[str]], after: str | None, old: Mapping[str, Json], pointer: str) -> Iterator[Difference]:
    for name in gone.get(after, ()):
        yield Difference(f"{pointer}/{escaped(name)}", Kind.REMOVED, old[name])


def _compare_items(old: Sequence[Json], new: Sequence[Json], pointer: str, found: list[Difference]) -> None:
    begin, end = aligned(old, new)
    middle = min(len(old), len(new)) - begin - end
    for index in range(begin, begin + middle):
        if not _surely_same(old[index], new[index]):
            _compare(old[index], new[index], f"{pointer}/{index}", found)
    for index in range(begin + middle, len(old) - end):
        found.append(Difference(f"{pointer}/{index}", Kind.REMOVED, old[index]))
    for index in range(begin + middle, len(new) - end):
        found.append(Difference(f"{pointer}/{index}", Kind.ADDED, None, new[index]))


def aligned(old: Sequence[Json], new: Sequence[Json]) -> tuple[int, int]:
    """How many items are the same at the beginning and at the end of two lists; (0, 0) for lists of one length, where each item has its
    counterpart anyway."""
    if len(old) == len(new):
        return 0, 0
    shorter = min(len(old), len(new))
    begin = 0
    while begin < shorter and same(old[begin], new[begin]):
        begin += 1
    end = 0
    while end < shorter - begin and same(old[-1 - end], new[-1 - end]):
        end += 1
    return begin, end


def _stable(pointer: str, old: Json, new: Json) -> str:
    """The pointer, or that of the outermost list on its way whose length is not the same in both."""
    parts = parse(pointer)
    for count, part in enumerate(parts):
        if _sort(old) is _Sort.LIST and _sort(new) is _Sort.LIST and len(old) != len(new):
            return join(parts[:count])
        # Each holds one part: that they differ in nothing is what `get` says of values that are in neither.
        old, new = get(old, f"/{escaped(part)}"), get(new, f"/{escaped(part)}")
        if old is MISSING or new is MISSING:
            break
    return pointer


def _narrowed(before: Json, after: Json, pointers: Collection[str]) -> Iterator[str]:
    """The pointers; those that are told too high up as what really changed inside them."""
    for given in pointers:
        pointer = _stable(given, before, after)
        was, became = get(before, pointer), get(after, pointer)
        if was is MISSING or became is MISSING:
            yield pointer
        else:
            yield from (pointer + inside for inside in touched(was, became))


def _outermost(pointers: Iterator[str]) -> list[str]:
    """Without those that stand inside another one, and each once."""
    wanted = dict.fromkeys(pointers)
    return [pointer for pointer in wanted if not any(join(parse(pointer)[:count]) in wanted for count in range(len(parse(pointer))))]


def _alike(before: Json, after: Json, live: Json, pointer: str) -> bool:
    """Whether all lists on the way to a pointer have one length: else its numbers may mean other items by now."""
    parts = parse(pointer)
    lengths: list[int] = []
    for value in (before, after, live):
        for count in range(len(parts)):
            outer = get(value, join(parts[:count]))
            lengths.append(len(outer) if outer is not MISSING and _sort(outer) is _Sort.LIST else -1)
    count = len(parts)
    return lengths[:count] == lengths[count : 2 * count] == lengths[2 * count :] or not any(length >= 0 for length in lengths)


def _has_room(live: Json, pointer: str) -> bool:
    """Whether something can stand at the pointer: what it stands in is there."""
    parts = parse(pointer)
    return not parts or get(live, pointer) is not MISSING or isinstance(get(live, join(parts[:-1])), Mapping)
