"""Summaries: what is kept of the predictions of ten seconds, small, and mergeable by addition.

A summary is of one endpoint × variant × (copies or not) × slice. Two summaries of the same thing add up to the summary of both; the order
does not matter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WINDOW = 10
"""Seconds that one summary is of."""

SAMPLE = 48
"""So many distinct inputs are kept with their outputs: those with the smallest hashes, which is a fair sample of all distinct inputs."""

_ERROR_TEXTS = 20
_CATEGORIES = 200

_OTHER = "c:(other)"

_FINE = 200
"""Score buckets to a unit: a threshold of two decimals lies on a border."""

_SCORE_GROWTH = math.log(1.01)
_LATENCY_GROWTH = math.log(1.05)


class Key(NamedTuple):
    """What a summary is of. `variant` is `""` where no variant was reached, `APPLICATION` for an application's own log; `slice` is `""` for
    all requests, else `KEY=VALUE`.
    """

    endpoint: str
    variant: str
    shadow: bool
    slice: str


APPLICATION = "(application)"
"""In place of a variant: what an application logged itself, before or without any model."""


def score_bucket(value: float) -> int:
    """The bucket of a score or of a field's number: steps of 0.005 from -1 to 1, of 1 % beyond."""
    if -1.0 <= value <= 1.0:
        return math.floor(value * _FINE + 1e-9)
    beyond = _FINE + 1 + math.floor(math.log(abs(value)) / _SCORE_GROWTH)
    return beyond if value > 0 else -beyond


def score_edge(bucket: int) -> float:
    """The lower border of a score's bucket."""
    if -_FINE <= bucket <= _FINE:
        return bucket / _FINE
    beyond = math.exp((abs(bucket) - _FINE - 1) * _SCORE_GROWTH)
    return beyond if bucket > 0 else -beyond * 1.01


def latency_bucket(milliseconds: float) -> int:
    """The bucket of a latency: steps of 5 %."""
    return math.floor(math.log(max(milliseconds, 0.01)) / _LATENCY_GROWTH)


def latency_edge(bucket: int) -> float:
    """The upper border of a latency's bucket (ms)."""
    return math.exp((bucket + 1) * _LATENCY_GROWTH)


@dataclass(slots=True)
class Summary:
    """Counts and histograms. `failed` is every answer that is no prediction, `throttled` (429) apart; what a model said is of the rest.

    Where a backend counts itself, `n`, `failed`, `throttled` and `latency` are its figures, and what a model said is of a sample of the
    requests: then there may be scores in a window in which nothing is counted (yet).

    `latency` and `scores`: bucket → count. `sample`: an input's hash → its output's hash, of the `SAMPLE` inputs with the smallest hashes.
    `errors`: why it failed → how often, the most frequent ones. `fields`: an input field → token → count, where a token is `m` (missing),
    `c:VALUE` (a category), `n:BUCKET` (a number, by `score_bucket`), `l:BUCKET` (a text's length, by `score_bucket`).
    """

    n: int = 0
    failed: int = 0
    throttled: int = 0
    scored: int = 0
    first: float = math.inf
    """When the earliest of them began (epoch seconds); infinite for none."""
    last: float = -math.inf
    latency: dict[int, int] = field(default_factory=dict)
    scores: dict[int, int] = field(default_factory=dict)
    sample: dict[int, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    fields: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Predictions that were really made."""
        return self.n - self.failed - self.throttled

    def merge(self, other: Summary) -> None:
        """Add what another one counted; the other stays as it is."""
        self.n += other.n
        self.failed += other.failed
        self.throttled += other.throttled
        self.scored += other.scored
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        _add(self.latency, other.latency)
        _add(self.scores, other.scores)
        _add(self.errors, other.errors)
        if len(self.errors) > _ERROR_TEXTS:
            self.errors = _frequent(self.errors, _ERROR_TEXTS)
        if other.sample:
            sample = self.sample
            for key, output in other.sample.items():
                # An input that got two outputs keeps the smaller hash, so that the order of merging does not matter.
                if output < sample.get(key, output + 1):
                    sample[key] = output
            self.sample = _smallest(sample)
        for name, tokens in other.fields.items():
            _add(self.fields.setdefault(name, {}), tokens)

    def tidied(self) -> Summary:
        """Itself, cut to what is kept: the smallest sample, the most frequent errors and categories. Numbers and lengths are not cut: their
        buckets are few, and a histogram with holes would be another one.
        """
        self.sample = _smallest(self.sample)
        if len(self.errors) > _ERROR_TEXTS:
            self.errors = _frequent(self.errors, _ERROR_TEXTS)
        for name, tokens in self.fields.items():
            if len(tokens) > _CATEGORIES:
                categories = {token: count for token, count in tokens.items() if token.startswith("c:")}
                if len(categories) > _CATEGORIES:
                    left = categories.pop(_OTHER, 0)
                    frequent = _frequent(categories, _CATEGORIES - 1)
                    rest = {token: count for token, count in tokens.items() if not token.startswith("c:")}
                    left += sum(categories.values()) - sum(frequent.values())
                    self.fields[name] = {**rest, **frequent, _OTHER: left}
        return self

    def slower_than(self, milliseconds: float) -> int:
        """How many answers took longer, to the width of a bucket (5 %)."""
        border = latency_bucket(milliseconds)
        return sum(count for bucket, count in self.latency.items() if bucket > border)

    def quantile(self, share: float) -> float | None:
        """The latency (ms) below which that share of the answers lies, to the width of a bucket; None without answers."""
        total = sum(self.latency.values())
        if not total:
            return None
        left = share * total
        for bucket in sorted(self.latency):
            left -= self.latency[bucket]
            if left <= 0:
                return latency_edge(bucket)
        return latency_edge(max(self.latency))

    def over(self, threshold: float) -> int:
        """How many scores are at or above the threshold, to the width of a bucket."""
        border = score_bucket(threshold)
        return sum(count for bucket, count in self.scores.items() if bucket >= border)

    def to_json(self) -> str:
        """As it is stored."""
        body: dict[str, Any] = {"n": self.n, "t": [self.first, self.last] if math.isfinite(self.first) else None}
        for short, value in (("f", self.failed), ("h", self.throttled), ("s", self.scored)):
            if value:
                body[short] = value
        for short, counts in (("l", self.latency), ("c", self.scores), ("x", self.sample)):
            if counts:
                body[short] = [list(counts), list(counts.values())]
        if self.errors:
            body["e"] = self.errors
        if self.fields:
            body["i"] = self.fields
        return json.dumps(body, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> Summary:
        """What `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        body = json.loads(text)
        times = body["t"] or (math.inf, -math.inf)
        pairs: dict[str, dict[int, int]] = {
            short: dict(zip(*body[short], strict=True)) if short in body else {} for short in ("l", "c", "x")
        }
        return Summary(
            n=body["n"],
            failed=body.get("f", 0),
            throttled=body.get("h", 0),
            scored=body.get("s", 0),
            first=times[0],
            last=times[1],
            latency=pairs["l"],
            scores=pairs["c"],
            sample=pairs["x"],
            errors=body.get("e", {}),
            fields=body.get("i", {}),
        )


class Sameness(NamedTuple):
    """How alike the outputs of distinct inputs are. `inputs` and `outputs` are distinct ones, counted in a sample of at most `SAMPLE`
    inputs; `modal` is how many of these inputs got the most frequent output.
    """

    inputs: int
    outputs: int
    modal: int

    @property
    def same(self) -> float | None:
        """0: every input got an output of its own; 1: all got the same one. None below two distinct inputs: *unknown*, not collapsed."""
        return None if self.inputs < 2 else 1 - (self.outputs - 1) / (self.inputs - 1)


def sameness(summary: Summary) -> Sameness:
    """How alike the outputs are."""
    counts: dict[int, int] = {}
    for output in summary.sample.values():
        counts[output] = counts.get(output, 0) + 1
    return Sameness(len(summary.sample), len(counts), max(counts.values(), default=0))


def merged(summaries: Iterable[Summary]) -> Summary:
    """All of them in one."""
    result = Summary()
    for one in summaries:
        result.merge(one)
    return result


def _add(to: dict[Any, int], counts: Mapping[Any, int]) -> None:
    for key, count in counts.items():
        to[key] = to.get(key, 0) + count


def _frequent(counts: Mapping[str, int], number: int) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:number])


def _smallest(sample: dict[int, int]) -> dict[int, int]:
    if len(sample) <= SAMPLE:
        return sample
    return {key: sample[key] for key in sorted(sample)[:SAMPLE]}
