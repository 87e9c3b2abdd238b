"""Profiles: what a version's metadata say of the set that it was measured on, as the baseline that health compares with."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mlconsole.core.health import Baseline
from mlconsole.core.models import Json, ModelVersion, Signature
from mlconsole.core.summaries import score_bucket

_TOKEN = re.compile(r"m|c:.*|[nl]:-?[0-9]{1,6}", re.DOTALL)
_WORDLIKE = re.compile(r"[\w.+:/-]{0,24}")
_ENOUGH, _ENUMERATION = 100, 20


def baseline_of(version: ModelVersion) -> Baseline:
    """What the version's profile says (docs/artifact-format.md). What is malformed in it, or left out, is absent: nothing is guessed."""
    said = _mapping(version.baseline)
    score = _mapping(said.get("score"))
    edges, counts = histogram(score.get("edges"), score.get("counts"))
    return Baseline(
        n=_count(said.get("n")) or sum(counts),
        edges=edges,
        counts=counts,
        distinct_outputs=_share(said.get("distinct_outputs")),
        over_threshold=_share(said.get("over_threshold")),
        over_threshold_by_slice=_by_slice(_mapping(said.get("by_slice")), version.signature),
        fields={str(name): tokens for name, found in _mapping(said.get("fields")).items() if (tokens := _tokens(found))},
        threshold=version.signature.threshold,
        cutoff=version.data.cutoff,
    )


def histogram(edges: Json, counts: Json) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Edges that rise, and one count for each bin between two of them; both empty where it is no such thing."""
    if not isinstance(edges, Sequence) or not isinstance(counts, Sequence) or len(counts) < 1 or len(edges) != len(counts) + 1:
        return (), ()
    borders, filled = [_number(edge) for edge in edges], [_count(one) for one in counts]
    known = [border for border in borders if border is not None]
    if len(known) < len(borders) or None in filled or any(later <= earlier for earlier, later in pairwise(known)):
        return (), ()
    return tuple(known), tuple(one for one in filled if one is not None)


def is_token(text: str) -> bool:
    """Whether that is how a value of an input field is counted: see `summaries.Summary.fields`."""
    return _TOKEN.fullmatch(text) is not None


def measured_fields(
    rows: Sequence[Mapping[str, Json]], names: Iterable[str], categories: Collection[str] = ()
) -> dict[str, dict[str, int]]:
    """The profile of input fields over a set of requests: name → token → count, as the model server's log will show them.

    A text counts by its length, unless it is a category: named in `categories`, or at least 100 requests have at most 20 different short
    words without blanks. (A server that has just been started does not know that of the first 100.)
    """
    found: dict[str, dict[str, int]] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        category = name in categories or _is_category([value for value in values if isinstance(value, str)])
        counts: dict[str, int] = {}
        for value in values:
            token = _token(value, category=category)
            counts[token] = counts.get(token, 0) + 1
        found[name] = dict(sorted(counts.items(), key=lambda pair: _order(pair[0])))
    return found


def _token(value: Json, *, category: bool) -> str:
    if isinstance(value, bool):
        return f"c:{str(value).lower()}"
    if isinstance(value, str):
        return f"c:{value[:64]}" if category else f"l:{score_bucket(len(value))}"
    number = _number(value)
    return "m" if number is None else f"n:{score_bucket(number)}"


def _is_category(texts: Collection[str]) -> bool:
    return len(texts) >= _ENOUGH and len(set(texts)) <= _ENUMERATION and all(_WORDLIKE.fullmatch(text) for text in texts)


def _order(token: str) -> tuple[str, int, str]:
    kind, _, rest = token.partition(":")
    return (kind, int(rest), "") if kind in ("n", "l") else (kind, 0, rest)


def _by_slice(said: Mapping[Any, Json], signature: Signature) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, of in said.items():
        share, label = _share(_mapping(of).get("over_threshold")), _label(str(name), signature)
        if share is not None and label:
            found[label] = share
    return found


def _label(name: str, signature: Signature) -> str:
    """`KEY=VALUE`. The file may say the value alone where one slice only can have it; else it means nothing."""
    key, equals, _ = name.partition("=")
    if equals and any(one.key == key for one in signature.slices):
        return name
    holders = [one.key for one in signature.slices if name in one.values or not one.values]
    return f"{holders[0]}={name}" if len(holders) == 1 else ""


def _tokens(said: Json) -> dict[str, int]:
    """A field's counts; empty when one of them is none: a histogram with holes would be another one."""
    counts = {str(token): _count(count) for token, count in _mapping(said).items()}
    if not all(count is not None and is_token(token) for token, count in counts.items()):
        return {}
    return {token: count for token, count in counts.items() if count}


def _mapping(value: Json) -> Mapping[Any, Json]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _share(value: Json) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None
