"""Golden queries: requests whose right answer is known, and the rule by which an answer counts as right."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlconsole.core.live import Difference
from mlconsole.core.models import Json
from mlconsole.core.text import neutralise

DEFAULT_TOLERANCE = 1e-6
"""How far a number may be from the expected one where the query says nothing else."""

_SHOWN = 60


@dataclass(frozen=True)
class GoldenQuery:
    """One request with its expected outputs; `tolerance` is absolute, per output."""

    id: str
    inputs: Mapping[str, Json]
    expect: Mapping[str, Json]
    tolerance: Mapping[str, float] = field(default_factory=dict)

    def differences(self, answer: Mapping[str, Json]) -> tuple[Difference, ...]:
        """Where `answer` is not what is expected; none: it is right."""
        return compare(self.expect, self.tolerance, answer)


def compare(expect: Mapping[str, Json], tolerance: Mapping[str, float], answer: Mapping[str, Json]) -> tuple[Difference, ...]:
    """Where an answer differs from what is expected; outputs that nobody expects are no difference.

    Numbers may differ by the output's tolerance, everything else has to be equal; lists and groups are compared part by part. A number that
    is not finite is never right: a model that answers NaN is broken, whatever was expected.
    """
    result: list[Difference] = []
    for name, wanted in expect.items():
        if name in answer:
            _compare(neutralise(name), wanted, answer[name], tolerance.get(name, DEFAULT_TOLERANCE), result)
        else:
            result.append(Difference(neutralise(name), _told(wanted), "not there"))
    return tuple(result)


def _compare(what: str, wanted: Json, found: Json, tolerance: float, result: list[Difference]) -> None:
    if _is_number(wanted) and _is_number(found):
        if not _near(wanted, found, tolerance):
            result.append(Difference(what, f"{_told(wanted)} ± {tolerance:g}", _told(found)))
    elif isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name, part in wanted.items():
            inside = f"{what}.{neutralise(str(name))}"
            if name in found:
                _compare(inside, part, found[name], tolerance, result)
            else:
                result.append(Difference(inside, _told(part), "not there"))
    elif isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        if len(wanted) != len(found):
            result.append(Difference(what, f"{len(wanted)} values", f"{len(found)} values"))
        else:
            for index, (left, right) in enumerate(zip(wanted, found, strict=True)):
                _compare(f"{what}[{index}]", left, right, tolerance, result)
    elif type(wanted) is not type(found) or wanted != found:
        # The types too: for Python, True is 1, and a model that answers 1 where a flag is expected has changed.
        result.append(Difference(what, _told(wanted), _told(found)))


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _near(wanted: float, found: float, tolerance: float) -> bool:
    try:
        if not (math.isfinite(wanted) and math.isfinite(found)):
            return False
        # A hair more than the tolerance, so that 0.93 ± 0.25 takes 1.18: binary fractions miss the border by their last bit.
        return abs(wanted - found) <= tolerance * (1 + 1e-9)
    except OverflowError:  # integers beyond what a float holds
        return wanted == found


def _told(value: Json) -> str:
    try:
        text = f"{value:.6g}" if isinstance(value, float) and math.isfinite(value) else json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return neutralise(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
