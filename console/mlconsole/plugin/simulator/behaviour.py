"""How a simulated version answers: always the same for the same bytes and the same inputs, in every process."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from mlconsole.core.models import Json


@dataclass(frozen=True)
class Behaviour:
    """What a version is like.

    Scores lie within `mean` ± `spread` and depend on the inputs; two versions differ by `noise` (0: alike, 1: unrelated). `constant` makes
    it collapsed: every input gets that score. `error_rate` (0–1) answers `error_status`. `milliseconds` is the median latency, `jitter` the
    sigma of its logarithm. `refuses` answers 400 with a text for `KEY=VALUE` of a slice or an input, or for `*`.
    """

    mean: float = 0.5
    spread: float = 0.4
    noise: float = 0.1
    constant: float | None = None
    error_rate: float = 0.0
    error_status: int = 500
    milliseconds: float = 20.0
    jitter: float = 0.3
    refuses: Mapping[str, str] = field(default_factory=dict)
    fails_to_load: str = ""
    """Not empty: it never comes up, and this is the reason that the backend gives (foreign text)."""
    by_slice: Mapping[str, Behaviour] = field(default_factory=dict)
    """`KEY=VALUE` → how it is for those requests instead, in all respects."""


@dataclass(frozen=True)
class Reply:
    """A version's answer to one row of inputs."""

    status: int
    score: float | None
    milliseconds: float
    error: str = ""


def reply(digest: str, behaviour: Behaviour, inputs: Mapping[str, Json], slices: Mapping[str, str]) -> Reply:
    """What the version with these bytes answers: a pure function of its arguments."""
    labels = {f"{key}={value}" for key, value in (*inputs.items(), *slices.items())}
    for label, special in behaviour.by_slice.items():
        if label in labels:
            behaviour = special
            break
    asked = canonical(inputs)
    own = random.Random(f"{digest}|{asked}")
    common = random.Random(asked)
    milliseconds = round(behaviour.milliseconds * own.lognormvariate(0.0, behaviour.jitter), 3)
    for label, text in behaviour.refuses.items():
        if label == "*" or label in labels:
            return Reply(400, None, milliseconds, text)
    if own.random() < behaviour.error_rate:
        return Reply(behaviour.error_status, None, milliseconds, "the model failed")
    if behaviour.constant is not None:
        return Reply(200, behaviour.constant, milliseconds)
    lean = (1 - behaviour.noise) * common.uniform(-1, 1) + behaviour.noise * own.uniform(-1, 1)
    return Reply(200, round(min(1.0, max(0.0, behaviour.mean + behaviour.spread * lean)), 9), milliseconds)


def canonical(inputs: Mapping[str, Json]) -> str:
    """Inputs as one text that is the same for the same values."""
    return json.dumps(inputs, sort_keys=True, default=str)


def input_hash(inputs: Mapping[str, Json]) -> str:
    """A short hash of the inputs, to tell distinct ones from repeated ones."""
    return hashlib.sha256(canonical(inputs).encode()).hexdigest()[:16]


def behaviour_to_json(behaviour: Behaviour) -> dict[str, Json]:
    """A behaviour as the world's file keeps it."""
    return asdict(behaviour)


def behaviour_from_json(body: Mapping[str, Json]) -> Behaviour:
    """The behaviour that `behaviour_to_json` wrote."""
    return Behaviour(**{**body, "by_slice": {label: behaviour_from_json(inner) for label, inner in body["by_slice"].items()}})
