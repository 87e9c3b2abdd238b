"""The values of a config document beside those of siblings (the other slices of the same model) and beside their own history.

*Far* is robust: the range of what there was, widened by `WIDE` times its spread. That is the median absolute deviation scaled to a
standard deviation, and at least `LEAST_SCORE` of the score's range (for a threshold) or `LEAST_SHARE` of the median (for any other
number): of a few equal values nobody knows how they spread.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from mlconsole.core.configcase import Case, look, same_name, several, stop, together
from mlconsole.core.entries import Entry, Spot, number, shown, sort_of
from mlconsole.core.findings import Finding
from mlconsole.core.models import Json
from mlconsole.core.pointers import join, parse
from mlconsole.core.text import nearest, neutralise

WIDE = 3.0
FURTHER = 2.0
"""What lies among its siblings has to be so many times further from its own history."""
LEAST_SCORE, LEAST_SHARE = 0.02, 0.10
ENOUGH = 3
"""Values from which a history, or the siblings, are judged by themselves; fewer are put together."""
_SCALE = 1.4826
"""The median absolute deviation of a normal distribution is its standard deviation by this."""
_NEAR = 0.75
"""How alike two keys are of which one is the other, misspelt."""

Inside = Mapping[str, Json]
"""Pointer inside an entry → what stands there, objects too."""


class Sibling(NamedTuple):
    """One entry of a model, taken apart, with what it was before the change; empty where it was not there."""

    spot: Spot
    entry: Entry
    inside: Inside
    before: Inside

    @property
    def slice(self) -> str:
        """Its slice as it may be told."""
        return neutralise(self.spot.slice)


class Group:
    """The entries of one model: siblings of one another. What is the same for each of them is counted once."""

    def __init__(self, case: Case, group: Iterable[tuple[Spot, Entry]]) -> None:
        self.siblings: list[Sibling] = []
        for spot, entry in group:
            before = case.before.get(spot.pointer)
            self.siblings.append(Sibling(spot, entry, inside(spot.value), inside(before.value) if before else {}))
        self.touched = [one for one in self.siblings if case.change.touches(one.spot.pointer)]
        self.by_slice = {same_name(one.spot.slice): one for one in self.siblings}
        self._kinds: dict[str, Counter[str]] = {}
        self._numbers: dict[str, list[float]] = {}

    def others(self, one: Sibling) -> list[Sibling]:
        """All but one of them."""
        return [other for other in self.siblings if other is not one]

    def kinds(self, one: Sibling, pointer: str) -> set[str]:
        """What the others have at a pointer: a number, a text, …."""
        if pointer not in self._kinds:
            self._kinds[pointer] = Counter(sort_of(other.inside[pointer]) for other in self.siblings if pointer in other.inside)
        mine = sort_of(one.inside[pointer]) if pointer in one.inside else ""
        return {kind for kind, count in self._kinds[pointer].items() if count > (kind == mine)}

    def numbers(self, one: Sibling, pointer: str) -> list[float]:
        """The others' numbers at a pointer, in order."""
        if pointer not in self._numbers:
            found = (number(other.inside.get(pointer)) for other in self.siblings)
            self._numbers[pointer] = sorted(value for value in found if value is not None)
        others = list(self._numbers[pointer])
        mine = number(one.inside.get(pointer))
        if mine is not None:
            others.remove(mine)
        return others


def judged(case: Case) -> list[Finding]:
    """What there is to say of the values that a change touches."""
    groups = [Group(case, group) for group in case.groups.values() if any(case.change.touches(spot.pointer) for spot, _ in group)]
    return [finding for rule in _RULES for group in groups for finding in rule(case, group)]


def keys(case: Case) -> list[Finding]:
    """Keys that siblings have and an entry lacks, and those that are misspelt. Asked of a document alone."""
    found: list[Finding] = []
    own = {parse(pointer)[-1] for pointer in _own(case) if pointer}
    # Who splits traffic does so in one slice after the other.
    optional = {parse(pointer)[0] for pointer in (case.layout.share, case.layout.split) if pointer}
    for group in case.groups.values():
        siblings = [(spot, list(spot.value)) for spot, _ in group]
        counts: dict[str, int] = {}
        for _, names in siblings:
            for name in names:
                counts[name] = counts.get(name, 0) + 1
        for spot, names in siblings:
            everywhere = [name for name, count in counts.items() if name not in names and count == len(siblings) - 1 and count > 1]
            before = case.before.get(spot.pointer)
            earlier = [name for name in before.value if name not in names] if before and isinstance(before.value, dict) else []
            wanted = dict.fromkeys([*everywhere, *earlier, *(name for name in counts if name in own and name not in names)])
            taken = set()
            for name in names:
                meant = _meant(name, wanted) if counts[name] == 1 else None
                if meant is not None:
                    taken.add(meant)
                    text = f"{shown(name)} is no key of its siblings; did you mean {neutralise(meant)}?"
                    rule = stop if meant in own else look
                    found.append(rule("key-misspelt", text, spot.pointer + join((name,))))
            for name in everywhere:
                if name not in taken and name not in optional:
                    others = [other.slice for other, _ in siblings if other is not spot]
                    text = f"{neutralise(spot.slice)} has no {neutralise(name)}; {together(others)} have one"
                    found.append(look("key-missing", text, spot.pointer))
    return found


def kinds(case: Case, group: Group) -> list[Finding]:
    """Whether each touched value is of the kind that its siblings, or it itself before, have."""
    found = []
    for one in group.touched:
        told: list[str] = []
        for pointer, value in one.inside.items():
            at = one.spot.pointer + pointer
            if not pointer or not case.change.touches(at) or any(pointer.startswith(f"{above}/") for above in told):
                continue
            have = group.kinds(one, pointer)
            named = [other.slice for other in group.others(one) if pointer in other.inside] if have and sort_of(value) not in have else []
            if not have and pointer in one.before:
                have = {sort_of(one.before[pointer])}
            if len(have) != 1 or sort_of(value) in have:
                continue
            told.append(pointer)
            where = f"{together(named, 3)} {'have' if len(named) > 1 else 'has'}" if named else "before it was"
            text = f"{shown(value)} is {sort_of(value)}; {where} {have.pop()}"
            found.append((look if value is None else stop)("kind-differs", text, at))
    return found


def missing_fields(case: Case, group: Group) -> list[Finding]:
    """Fields that all siblings fill and a touched entry does not."""
    found = []
    filling = [one for one in group.siblings if one.entry.fields is not None]
    counts = Counter(name for one in filling for name in set(one.entry.fields or ()))
    for one in group.touched:
        pointer = case.at(one.spot, "fields")
        if one.entry.fields is None or not case.change.touches(pointer):
            continue
        facts = case.facts(one.entry)
        absent = () if facts is None else facts.missing.get(one.entry.slice, ())
        strange = [name for name in one.entry.fields if facts is not None and name not in facts.inputs]
        for name in sorted(name for name, count in counts.items() if count == len(filling) - 1 and name not in one.entry.fields):
            needed = facts is not None and name in facts.required
            if name in absent or any(name in nearest(other, (name,)) for other in strange):
                continue  # that one is misspelt, is told already
            if len(filling) > 2 or needed:
                whose = together([other.slice for other in filling if other is not one], 3)
                text = f"{neutralise(name)} is left out; {whose} {'fill' if len(filling) > 2 else 'fills'} it"
                found.append(look("field-missing", text + (f", and {one.entry.model} needs it" if needed else ""), pointer))
    return found


def copied(case: Case, group: Group) -> list[Finding]:
    """Fields that have to differ between siblings and, since this change, do not. Of a first version nobody knows what was copied."""
    found: list[Finding] = []
    for pointer in case.layout.differ if not case.first else ():
        by_value: dict[str, list[Sibling]] = {}
        for one in group.siblings:
            if pointer in one.inside:
                by_value.setdefault(_canonical(one.inside[pointer]), []).append(one)
        for alike in by_value.values():
            for one in alike if len(alike) > 1 else ():
                at = one.spot.pointer + pointer
                if not case.change.touches(at):
                    continue
                # Of two that this change made equal, the later one is told.
                twin = next((other for other in alike if _newly_equal(one, other, pointer)), None)
                if twin is None or (case.change.touches(twin.spot.pointer + pointer) and alike.index(twin) > alike.index(one)):
                    continue
                what, word = neutralise(" ".join(parse(pointer))), several(case.word(one.spot.model))
                text = f"{shown(one.inside[pointer])} is the {what} of {twin.slice} too, and {word} have to differ in it"
                found.append(look("copied", text, at))
    return found


def _newly_equal(one: Sibling, other: Sibling, pointer: str) -> bool:
    if same_name(one.spot.slice) == same_name(other.spot.slice):
        return False  # itself, or itself twice, which is told already
    if pointer not in one.before or pointer not in other.before:
        return True
    return _canonical(one.before[pointer]) != _canonical(other.before[pointer])


def foreign(case: Case, group: Group) -> list[Finding]:
    """Texts that name another slice, where siblings' texts, or this one before, name their own: `relevance-de` in the entry of pl."""
    found = []
    slices = {name: one.spot.slice for name, one in group.by_slice.items() if name}
    for value in case.declared(group.siblings[0].spot.model):
        slices.setdefault(same_name(value), value)
    for one in group.touched if slices else ():
        mine = same_name(one.spot.slice)
        for pointer, value in one.inside.items():
            at = one.spot.pointer + pointer
            if not mine or not isinstance(value, str | list) or not case.change.touches(at):
                continue
            for text in [value] if isinstance(value, str) else value:
                named = _names(text)
                wrong = [slices[name] for name in named if name in slices and name != mine]
                if mine in named or not wrong or _was_there(text, one.before.get(pointer)):
                    continue
                if mine in _names(one.before.get(pointer)) or any(
                    same_name(other.spot.slice) in _names(other.inside.get(pointer)) for other in group.others(one)
                ):
                    says = f"{shown(text)} names {together(sorted(wrong))}, and this is the entry of {one.slice}"
                    found.append(look("other-slice", says, at))
    return found


def far(case: Case, group: Group) -> list[Finding]:
    """Touched numbers that lie far from their siblings and their own history; shares and splits are meant to go far."""
    found = []
    shared = tuple(pointer for pointer in (case.layout.share, case.layout.split) if pointer)
    for one in group.touched:
        facts = case.facts(one.entry)
        for pointer, raw in one.inside.items():
            at, value = one.spot.pointer + pointer, number(raw)
            if value is None or not case.change.touches(at) or any(pointer == own or pointer.startswith(f"{own}/") for own in shared):
                continue
            was = number(one.before.get(pointer))
            score = facts.score if facts and pointer == case.layout.threshold else None
            if was == value or (score and not score[0] < value < score[1]):
                continue  # the second is said already, and more plainly
            history = [*case.known.history.get(at, ()), *([was] if was is not None else [])]
            text = _far(value, history, group.numbers(one, pointer), score, one.slice or neutralise(one.spot.model))
            if text:
                found.append(look("far", text, at))
    return found


class _Range(NamedTuple):
    """What there was, from `low` to `high`, and how much further something may lie (`wide`)."""

    low: float
    high: float
    wide: float

    def holds(self, value: float, times: float = 1.0) -> bool:
        """Whether a value is none to look at."""
        return self.low - times * self.wide <= value <= self.high + times * self.wide

    def told(self, places: int) -> str:
        """`0.55 – 0.61`."""
        low, high = _number(self.low, places), _number(self.high, places)
        return low if low == high else f"{low} – {high}"


def _far(value: float, history: Sequence[float], siblings: Sequence[float], score: tuple[float, float] | None, whose: str) -> str:
    """What makes a value one to look at; empty when nothing does."""
    if not history and not siblings:
        return ""
    of_both = len(history) < ENOUGH or len(siblings) < ENOUGH - 1
    known = [*history, *siblings] if of_both else history
    if min(known) <= value <= max(known):
        return ""  # so it mostly is, and nothing has to be reckoned
    past, around = (_range(history, score) if history else None), (_range(siblings, score) if siblings else None)
    places = max(_places(one) for one in (value, *(past[:2] if past else ()), *(around[:2] if around else ())))
    own = f"the history of {whose} ({past.told(places)})" if past else ""
    theirs = f"its siblings ({around.told(places)})" if around else ""
    both = f"{_number(value, places)} lies outside {' and of '.join(one for one in (own, theirs) if one)}"
    if past is None or around is None or of_both:
        # Too few of either to say how it spreads: what is known of both is one range.
        return "" if _range(known, score).holds(value) else both
    if not past.holds(value) and not around.holds(value):
        return both
    if not past.holds(value, FURTHER) and len(history) > ENOUGH:
        return f"{_number(value, places)} lies outside {own}, though not of {theirs}"
    return ""


def _range(values: Sequence[float], score: tuple[float, float] | None) -> _Range:
    middle = median(values)
    spread = _SCALE * median([abs(value - middle) for value in values])
    least = LEAST_SCORE * (score[1] - score[0]) if score else LEAST_SHARE * abs(middle)
    return _Range(min(values), max(values), WIDE * max(spread, least))


def _places(value: float) -> int:
    """Digits after the point that a number is told with, at most six."""
    return len(f"{value:.6f}".rstrip("0").partition(".")[2])


def _number(value: float, places: int) -> str:
    return f"{value:.{places}f}" if abs(value) < 1e15 else f"{value:g}"


def inside(value: Json) -> Inside:
    """All that an entry holds, by the pointer inside of it; a list is one value."""
    found: dict[str, Json] = {}
    waiting: list[tuple[str, Json]] = [("", value)]
    while waiting:
        pointer, one = waiting.pop()
        found[pointer] = one
        if isinstance(one, dict):
            waiting += [(pointer + join((name,)), child) for name, child in reversed(one.items())]
    return found


def _own(case: Case) -> tuple[str, ...]:
    layout = case.layout
    return (layout.endpoint, layout.share, layout.split, layout.fields, layout.threshold)


def _meant(name: str, wanted: Iterable[str]) -> str | None:
    """The key that was meant by one that nobody else has."""
    names = list(wanted)
    same = [other for other in names if same_name(other).replace("-", "") == same_name(name).replace("-", "")]
    close = same or difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
    return close[0] if close else None


def _names(value: Json) -> frozenset[str]:
    """The words of a text, or of the texts of a list, as slices may be named by them: single ones, and neighbours joined."""
    if isinstance(value, list):
        return frozenset().union(*(_names(one) for one in value if isinstance(one, str)))
    if not isinstance(value, str):
        return frozenset()
    words = [word for word in re.split(r"[^0-9a-z]+", value.casefold()) if word]
    return frozenset([*words, *(f"{one}-{other}" for one, other in pairwise(words))])


def _was_there(text: Json, before: Json) -> bool:
    return text in before if isinstance(before, list) else text == before


def _canonical(value: Json) -> str:
    found = number(value)  # 1 is 1.0
    return repr(found) if found is not None else json.dumps(value, sort_keys=True, default=str)


_RULES = (kinds, missing_fields, copied, foreign, far)
