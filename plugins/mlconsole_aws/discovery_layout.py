"""Where a config document says which endpoint gets what: guessed from the document and the endpoints that there are, or not at all.

Pure. A guess is only given where it is the only one; else the reason why it is not, for a person who then says it in mlconsole.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlconsole.core.documents import Layout
from mlconsole.core.entries import MODEL, SLICE, entries, number
from mlconsole.core.models import Json
from mlconsole.core.pointers import get, join

_LANGUAGE = re.compile(r"[a-z]{2}([-_][A-Za-z]{2,4})?")
_FOR_ALL = frozenset({"*", "default", "other", "all"})
_SHARES = ("share", "percentage", "percent", "weight", "traffic")
_DEEPEST = 12

_Path = tuple[str, ...]


@dataclass(frozen=True)
class Guess:
    """What a document says. `layout` None: not clear, `why` says it; both empty: it names no endpoint at all."""

    layout: Layout | None = None
    splits: bool = False
    """It says who gets which share: variant → percent."""
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Model → variant → the endpoint that is meant, where it splits."""
    names: str | None = None
    """How those endpoints are called, by `{endpoint}` and `{variant}`; None: by no rule."""
    why: str = ""


def guess(value: Json, endpoints: Collection[str], hints: Sequence[str] = ()) -> Guess:
    """What a document says of these endpoints. `hints`: parts of a name (the environment's) by which one of several is meant."""
    splits = {path: split for path, split in _splits(value, ()) if all(_meant(name, endpoints) for name in split)}
    if splits:
        return _of_splits(value, splits, endpoints, hints)
    named = {path: text for path, text in _texts(value, ()) if text in endpoints}
    if named:
        return _of_names(value, named)
    if any(text in endpoints for text in _anywhere(value, 0)):
        return Guess(why="it names endpoints inside lists, where no entry can be looked for")
    return Guess()


def _of_splits(value: Json, splits: Mapping[_Path, Mapping[str, float]], endpoints: Collection[str], hints: Sequence[str]) -> Guess:
    def speaks_of(path: _Path, at: int) -> bool:
        return all(_of(path[at], _meant(name, endpoints)) for name in splits[path])

    exact = all(name in endpoints for split in splits.values() for name in split)
    found = _placed(tuple(splits), speaks_of, trusting=exact)
    if isinstance(found, str):
        return Guess(why=found, splits=True)
    way, field_, keys = found
    layout = Layout(way, keys, split=field_, endpoint="/endpoint", share="/share")
    said = entries(value, layout)
    there = sum(entry.split is not None for entry in said)
    if there != len(splits):
        why = "it gives shares to what is no endpoint here" if there > len(splits) else "its percentages do not all stand in one place"
        return Guess(why=why, splits=True)
    variants: dict[str, dict[str, str]] = {}
    for entry in said:
        for name in entry.split or ():
            candidates = [name] if name in endpoints else _of(entry.model, _meant(name, endpoints))
            for hint in hints:
                candidates = _of(hint, candidates) or candidates
            plain = f"{entry.model}-{name}"
            if plain in candidates:
                candidates = [plain]
            if len(candidates) != 1:
                told = ", ".join(sorted(candidates)[:3]) or "none"
                return Guess(layout, True, why=f'which endpoint is meant by "{name}" of {entry.model} is not clear ({told})')
            variants.setdefault(entry.model, {})[name] = candidates[0]
    return Guess(layout, True, variants, _rule(variants))


def _of_names(value: Json, named: Mapping[_Path, str]) -> Guess:
    found = _placed(tuple(named), lambda path, at: bool(_of(path[at], [named[path]])), trusting=True)
    if isinstance(found, str):
        return Guess(why=found)
    way, field_, keys = found
    beside = [get(value, join(path[:-1]), {}) for path in named]
    share = next((one for one in _SHARES if all(isinstance(entry, dict) and number(entry.get(one)) is not None for entry in beside)), None)
    inside = field_.rpartition("/")[0]
    return Guess(Layout(way, keys, endpoint=field_, share=f"{inside}/{share}" if share else "/share"))


def _placed(paths: Sequence[_Path], speaks_of: Any, *, trusting: bool) -> tuple[str, str, tuple[tuple[str, str], ...]] | str:
    """The way to an entry, the field inside it, and the slice key of each model; or why that is not clear. `trusting`: a model's name need
    not be part of its endpoints' names."""
    if len({len(path) for path in paths}) > 1:
        return "its percentages or endpoints stand at different depths"
    places = range(len(paths[0]))
    differing = [at for at in places if len({path[at] for path in paths}) > 1]
    languages = [at for at in places if _languages({path[at] for path in paths})]
    models = [at for at in places if at not in languages and all(speaks_of(path, at) for path in paths)]
    if not models and trusting:
        models = [at for at in differing if at not in languages][:1]
    if len(models) != 1:
        return "which part of it names the model is not clear"
    [model] = models
    others = [at for at in differing if at != model] or [at for at in languages if at != model]
    if len(others) > 1:
        return "it goes by more than model and one slice"
    last = max(model, *others) if others else model
    if last == len(places) - 1:
        return "the percentages stand in the entry itself; a field of their own is wanted"
    first = paths[0]
    parts = [MODEL if at == model else SLICE if at in others else first[at] for at in range(last + 1)]
    keys: tuple[tuple[str, str], ...] = ()
    if others and others[0] in languages:
        keys = tuple((name, "language") for name in dict.fromkeys(path[model] for path in paths))
    return _pointer(parts), join(first[last + 1 :]), keys


def _pointer(parts: Sequence[str]) -> str:
    return "".join(f"/{part}" if part in (MODEL, SLICE) else join((part,)) for part in parts)


def _rule(variants: Mapping[str, Mapping[str, str]]) -> str | None:
    """The rule that all names follow; where the variants are the endpoints' own names, that."""
    pairs = [(model, name, there) for model, known in variants.items() for name, there in known.items()]
    if all(name == there for _, name, there in pairs):
        return "{variant}"
    model, name, there = max(pairs, key=lambda one: len(one[1]))
    before, _, after = there.partition(model)
    rules = [
        there.replace(model, "{endpoint}", 1).replace(name, "{variant}", 1),
        f"{before}{{endpoint}}{after.replace(name, '{variant}', 1)}",
    ]
    for rule in dict.fromkeys(rules):
        try:
            if all(rule.format(endpoint=one, variant=other) == there for one, other, there in pairs):
                return rule
        except (KeyError, IndexError, ValueError):
            continue
    return None


def _splits(value: Json, path: _Path) -> Iterator[tuple[_Path, dict[str, float]]]:
    if not isinstance(value, dict) or len(path) > _DEEPEST:
        return
    figures = {name: number(share) for name, share in value.items()}
    known = {name: share for name, share in figures.items() if share is not None and 0 <= share <= 100}
    if value and len(known) == len(value) and abs(sum(known.values()) - 100) < 1e-6:
        yield path, known
        return
    for name, inside in value.items():
        yield from _splits(inside, (*path, name))


def _texts(value: Json, path: _Path) -> Iterator[tuple[_Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict) and len(path) <= _DEEPEST:
        for name, inside in value.items():
            yield from _texts(inside, (*path, name))


def _anywhere(value: Json, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list) and depth <= _DEEPEST:
        for one in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _anywhere(one, depth + 1)


def _languages(keys: Collection[str]) -> bool:
    said = [key for key in keys if key.casefold() not in _FOR_ALL]
    return bool(said) and all(_LANGUAGE.fullmatch(key) for key in said)


def _meant(name: str, endpoints: Collection[str]) -> list[str]:
    """The endpoints that a name may mean: the one called so, else those that have it as a part of their name."""
    return [name] if name in endpoints else _of(name, endpoints)


def _of(name: str, endpoints: Collection[str]) -> list[str]:
    part = _dashed(name)
    return [one for one in endpoints if part and f"-{part}-" in f"-{_dashed(one)}-"]


def _dashed(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")
