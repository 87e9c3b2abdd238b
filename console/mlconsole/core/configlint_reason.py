"""Whether the reason of a change speaks of a slice that the change does not touch: the value was set in the wrong place.

Whole words only. A code that is also a common word (`it`, `is`, `no`) speaks of a slice only in capitals, in quotes or beside the word
*language* (whatever slices are called); so do `de`, `en` and `es` in a sentence of a language in which they are such words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from mlconsole.core.configcase import Case, look, same_name, together
from mlconsole.core.entries import Spot
from mlconsole.core.findings import Finding
from mlconsole.core.languages import ABOUT, COMMON, IDIOMS, NAMES, PARTICLES, ROMANCE, VERBAL
from mlconsole.core.text import neutralise

_ASIDE = re.compile(
    r"(?:\b(?:(?<!looks )(?<!seems )like|than|unlike|except|without|not|never|same as|as in|as for|copied from|taken from"
    r"|wie|als|nicht|ohne|außer|jak|bez)(?:\s+(?:in|the|for|von|für|w))*\s+)$",
    re.IGNORECASE,
)
"""Before a slice that is only compared with, or left out on purpose."""

_AND = re.compile(r"[\s\"'`´“”„]*(?:,|and|und|i|oraz|et|y|e|\+|&|/|or|oder|,\s*and)[\s\"'`´“”„]*", re.IGNORECASE)
_LONGEST = 2_000
"""So much of a reason is read."""

_QUOTES = "\"'`´“”„‚‘’«»"
_TOKEN = re.compile(r"[^\W_]+(?:[-_][^\W_]+)*")


def reason_speaks_of(case: Case, reason: str) -> list[Finding]:
    """A finding where the reason names a slice that the change does not touch."""
    reason = reason[:_LONGEST]
    touched = _touched(case)
    if not reason.strip() or not case.change.pointers:
        return []
    slices = {same_name(spot.slice): spot.slice for spot in (*case.before.values(), *case.spots) if spot.slice}
    for model in {spot.model for spot in case.spots}:
        for value in case.declared(model):
            slices.setdefault(same_name(value), value)
    mentions = _mentions(reason, slices, _slice_words(case))
    strange = list(dict.fromkeys(one.name for one in mentions if one.name not in touched))
    also = any(one.name in touched for one in mentions)
    if also:
        # It speaks of what is touched too: another one beside it is compared with, unless both are named in one breath.
        strange = [name for name in strange if _beside(name, mentions, touched, reason)]
    if not strange:
        return []
    what = together([neutralise(slices[name]) for name in strange]) + (" too" if also else "")
    where = sorted(neutralise(one) for one in touched.values())
    text = f"the reason speaks of {what}, the change touches " + (f"only {together(where)}" if where else f"no {_word(case)}")
    return [look("reason-slice", text, _pointer(case))]


def _touched(case: Case) -> Mapping[str, str]:
    """The slices that the change touches, in whatever model."""
    places: Iterable[Spot] = (*case.touched, *(spot for spot in case.before.values() if case.change.touches(spot.pointer)))
    return {same_name(spot.slice): spot.slice for spot in places if spot.slice}


def _pointer(case: Case) -> str:
    return case.change.pointers[0] if len(case.change.pointers) == 1 else ""


def _slice_words(case: Case) -> frozenset[str]:
    words = {case.word(model) for model in {spot.model for spot in case.spots}}
    return frozenset({"language", "region", "locale", "slice", "sprache", "język", "lang", *(word.casefold() for word in words)})


def _word(case: Case) -> str:
    words = {case.word(spot.model) for spot in case.spots}
    return words.pop() if len(words) == 1 else "slice"


class _Mention(NamedTuple):
    """A slice that a text names, and where."""

    name: str
    begin: int
    end: int


def _mentions(reason: str, slices: Mapping[str, str], words: frozenset[str]) -> list[_Mention]:
    by_name = _by_name(slices)
    tokens = [token for whole in _TOKEN.finditer(reason) for token in _parts(whole, reason, by_name, words)]
    said = {reason[begin:end].casefold() for begin, end in tokens}
    romance = bool(said & (ROMANCE - slices.keys()))
    shouted = not any(char.islower() for char in reason)
    found = []
    for place, (begin, end) in enumerate(tokens):
        text, before = reason[begin:end], reason[:begin]
        word = text.casefold()
        name = by_name.get(same_name(text))
        neighbours = [reason[slice(*tokens[near])].casefold() if 0 <= near < len(tokens) else "" for near in (place - 1, place + 1)]
        verb = word == "polish" and (neighbours[0] == "to" or neighbours[1] in VERBAL)
        if name is None or verb or (word, neighbours[1]) in IDIOMS:
            continue
        common = word in COMMON or len(word) == 1 or (romance and word in PARTICLES)
        quoted = before.endswith(tuple(_QUOTES)) and reason[end:].startswith(tuple(_QUOTES))
        plain = (text.isupper() and len(word) > 1 and not shouted) or quoted or not words.isdisjoint(neighbours)
        if (not common or plain) and not _ASIDE.search(before.rstrip(_QUOTES)):
            found.append(_Mention(name, begin, end))
    return found


def _by_name(slices: Mapping[str, str]) -> Mapping[str, str]:
    """Every word by which one of the slices may be named."""
    found: dict[str, str] = {}
    for name in slices:
        language = name.partition("-")[0]
        for other in NAMES.get(name, "").split():
            found[other] = name
        if language != name and language not in slices:  # `pt-br` where there is no other Portuguese
            for other in NAMES.get(language, "").split():
                found.setdefault(other, name)
    return {**found, **{name: name for name in slices}}


def _parts(whole: re.Match[str], reason: str, by_name: Mapping[str, str], words: frozenset[str]) -> list[tuple[int, int]]:
    """Begin and end of a word; of one with hyphens that is no name itself, those of its parts where one of them may be a slice."""
    if same_name(whole[0]) in by_name or not re.search("[-_]", whole[0]):
        return [whole.span()]
    parts = [(whole.start() + one.start(), whole.start() + one.end()) for one in re.finditer(r"[^-_]+", whole[0])]
    told = {reason[begin:end].casefold() for begin, end in parts}
    named = any(len(word) > 3 and word in by_name for word in told)
    return parts if named or told & (ABOUT | words) else [whole.span()]


def _beside(name: str, mentions: list[_Mention], touched: Mapping[str, str], reason: str) -> bool:
    """Whether a slice is named in one breath with a touched one: `de and pl miss too many`."""
    for one, other in pairwise(mentions):
        pair = {one.name, other.name}
        if name in pair and pair & touched.keys() and _AND.fullmatch(reason[one.end : other.begin]):
            return True
    return False
