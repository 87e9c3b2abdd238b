"""What the lint of a config document knows, and what it looks at: the shared values of its rules."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlconsole.core.documents import Layout
from mlconsole.core.entries import Entry, Spot, entry_at, spots
from mlconsole.core.findings import Finding, Severity
from mlconsole.core.models import Json

PROBABILITY = (0.0, 1.0)
"""The range of a score that is a probability."""

REST = frozenset({"*", "default", "other", "others", "rest"})
"""Slices by which an application means all those that it does not name."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model: the signature of the version that answers, as far as lint asks."""

    inputs: tuple[str, ...]
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Slice key → its declared values; none declared: not known."""
    score: tuple[float, float] | None = PROBABILITY
    """The lowest and the highest score; None: not known."""
    missing: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Slice value → inputs that requests of that slice do not have."""
    required: Collection[str] = ()
    """Inputs without which it does not answer."""
    model: str = ""
    """The model's name; needed where it is known by the endpoint."""


@dataclass(frozen=True)
class Known:
    """What is true outside of the document. What is not known is not asked."""

    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    """Model → facts; empty: no model is known."""
    endpoints: Collection[str] | None = None
    """All endpoints of the environment; None: not known."""
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """JSON pointer → the numbers that stood there in earlier versions."""
    serving: Mapping[str, ModelFacts] = field(default_factory=dict)
    """Endpoint → facts of what answers there: before those of the model, for that is what the entry points to."""
    variants: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Endpoint → its variants."""
    word: str = ""
    """What slices are called; empty: as the layout calls the slice of each model."""


class Change:
    """Which places a change touches."""

    def __init__(self, pointers: Iterable[str]) -> None:
        self.pointers = tuple(pointers)
        self._at = frozenset(self.pointers)
        self._above = frozenset(above for pointer in self._at for above in _above(pointer))

    def touches(self, pointer: str) -> bool:
        """Whether it changes the value there, all of it or something inside."""
        return pointer in self._above or self.replaces(pointer)

    def replaces(self, pointer: str) -> bool:
        """Whether it changes that value as a whole, or something around it."""
        return pointer in self._at or "" in self._at or any(above in self._at for above in _above(pointer))


def _above(pointer: str) -> Iterable[str]:
    while pointer:
        pointer = pointer[: pointer.rindex("/")] if "/" in pointer else ""
        yield pointer


@dataclass(frozen=True)
class Case:
    """One document to be judged. `before` is the version that it was made from, by pointer; empty where it is the first."""

    spots: tuple[Spot, ...]
    layout: Layout
    known: Known
    change: Change
    before: Mapping[str, Spot] = field(default_factory=dict)
    first: bool = True
    """There is no version before it."""

    @cached_property
    def entries(self) -> tuple[tuple[Spot, Entry], ...]:
        """Those places that hold an entry."""
        return tuple((spot, entry_at(spot, self.layout)) for spot in self.spots if isinstance(spot.value, dict))

    @cached_property
    def groups(self) -> Mapping[str, list[tuple[Spot, Entry]]]:
        """Model → its entries: siblings of one another."""
        found: dict[str, list[tuple[Spot, Entry]]] = {}
        for spot, entry in self.entries:
            found.setdefault(spot.model, []).append((spot, entry))
        return found

    def facts(self, entry: Entry) -> ModelFacts | None:
        """What is known of the model that an entry points to."""
        return self.known.serving.get(entry.endpoint or "") or self.known.models.get(entry.model)

    def at(self, spot: Spot, name: str) -> str:
        """The pointer of a field of an entry."""
        return spot.pointer + str(getattr(self.layout, name))

    def word(self, model: str) -> str:
        """What the slices of a model are called."""
        return self.known.word or self.layout.slice_key(model)

    def declared(self, model: str) -> tuple[str, ...]:
        """The slice values that a model's signature declares; none: not known."""
        facts = self.known.models.get(model)
        if facts is None:
            return ()
        key = self.layout.slice_key(model)
        if key not in facts.slices and len(facts.slices) == 1 and key == "slice":
            return next(iter(facts.slices.values()))
        return facts.slices.get(key, ())

    @cached_property
    def touched(self) -> tuple[Spot, ...]:
        """The places that the change touches."""
        return tuple(spot for spot in self.spots if self.change.touches(spot.pointer))


def case_of(value: Json, layout: Layout, known: Known, change: Change, before: Json = None) -> Case:
    """The document as a case.

    Raises:
        UsageError: the layout is none.
    """
    earlier = {} if before is None else {spot.pointer: spot for spot in spots(before, layout)}
    return Case(spots(value, layout), layout, known, change, earlier, before is None)


def same_name(name: str) -> str:
    """Names that people take for the same have the same: `de`, `DE`, ` de`; `pt-BR`, `pt_br`."""
    return unicodedata.normalize("NFKC", name).strip().casefold().replace("_", "-")


def several(word: str) -> str:
    """More than one of it: `languages`, `countries`."""
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}{'es' if word.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def together(names: Sequence[str], most: int = 4) -> str:
    """`de, en and pl`; of many only the first ones and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def stop(rule: str, text: str, pointer: str) -> Finding:
    """It can't be published so."""
    return Finding(Severity.STOP, rule, text, pointer)


def look(rule: str, text: str, pointer: str) -> Finding:
    """A person has to judge it."""
    return Finding(Severity.LOOK, rule, text, pointer)


def passed(rule: str, text: str) -> Finding:
    """A check that was made."""
    return Finding(Severity.OK, rule, text)


Rule = Callable[[Case], list[Finding]]
