"""Traffic drawn at random, as the summaries that would be kept of it: for tests and for the count of false pages."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from mlconsole.core.evidence import Cache, Evidence
from mlconsole.core.health import Answer, Baseline, EndpointHealth, Question, Settings
from mlconsole.core.questions import judge
from mlconsole.core.summaries import SAMPLE, WINDOW, Key, Summary, latency_bucket, merged, score_bucket

ENDPOINT = "relevance"
MIX = {"language=en": 0.78, "language=pl": 0.20, "language=de": 0.02}
EDGES = tuple(round(0.05 * i, 2) for i in range(21))
COUNTS = (10, 187, 216, 163, 142, 80, 59, 46, 47, 52, 54, 67, 53, 72, 93, 72, 55, 24, 8, 0)
"""The score histogram of the sample workspace's relevance v3."""
BASELINE = Baseline(
    n=1500,
    edges=EDGES,
    counts=COUNTS,
    distinct_outputs=0.9973,
    over_threshold=0.332,
    over_threshold_by_slice={"language=en": 0.316, "language=de": 0.354, "language=pl": 0.326},
    threshold=0.5,
    cutoff="2025-12-31",
)
NOW = 1_800_000_000.0
Windows = dict[Key, dict[int, Summary]]


@dataclass
class Kind:
    """What the requests of a variant and slice are like at a moment."""

    errors: float = 0.002
    throttled: float = 0.0
    milliseconds: float = 12.0
    spread: float = 0.35
    """Sigma of the logarithm of the latency."""
    collapsed: bool = False
    inputs: int = 3000
    """So many distinct inputs come, in order, again and again."""
    shift: float = 0.0
    """Added to each score."""


@dataclass
class Drawn:
    """Draws windows. `kind` says what requests of a variant and slice are like at a time; `rate` is of all of them (requests a second)."""

    seed: int = 1
    rate: float = 50.0
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))
    variants: Mapping[str, float] = field(default_factory=lambda: {"v3": 1.0})
    kind: Callable[[str, str, float], Kind | None] = lambda variant, name, at: Kind()
    """None: no such requests come."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        middles = [(low + high) / 2 for low, high in pairwise(EDGES)]
        # One score for each input, always the same: a model is a function.
        self.scores = self.random.choices(middles, COUNTS, k=6000)
        self.scores = [score + self.random.uniform(-0.025, 0.025) for score in self.scores]

    def fill(self, windows: Windows, begin: float, until: float) -> None:
        """Add the requests from `begin` to `until` (epoch seconds)."""
        at = math.floor(begin / WINDOW) * WINDOW
        while at < until:
            low, high = max(begin, at), min(until, at + WINDOW)
            for variant, part in self.variants.items():
                found: list[Summary] = []
                for name, share in self.mix.items():
                    one = self.window(variant, name, low, high, self.rate * part * share)
                    if one.n:
                        _put(windows, Key(ENDPOINT, variant, False, name), at, one)
                        found.append(one)
                if found:
                    _put(windows, Key(ENDPOINT, variant, False, ""), at, merged(found))
            at += WINDOW

    def window(self, variant: str, name: str, low: float, high: float, rate: float) -> Summary:
        """One summary of the requests between two times."""
        kind = self.kind(variant, name, (low + high) / 2)
        if kind is None or high <= low:
            return Summary()
        expected = rate * (high - low)
        n = self.poisson(expected)
        if not n:
            return Summary()
        one = Summary(n=n, first=low, last=high - (high - low) / (n + 1))
        one.failed = self.binomial(n, kind.errors)
        one.throttled = self.binomial(n - one.failed, kind.throttled)
        one.scored = one.answered
        start = int(low * self.rate) % kind.inputs
        step = max(1, round(self.rate / rate)) if rate else 1
        for i in range(one.answered):
            ms = kind.milliseconds * math.exp(self.random.gauss(0, kind.spread))
            bucket = latency_bucket(ms)
            one.latency[bucket] = one.latency.get(bucket, 0) + 1
            which = (start + i * step) % kind.inputs
            score = 0.73 if kind.collapsed else min(1.0, max(0.0, self.scores[which] + kind.shift))
            where = score_bucket(score)
            one.scores[where] = one.scores.get(where, 0) + 1
            one.sample[zlib.crc32(f"{name} {which}".encode())] = zlib.crc32(f"{score:.6f}".encode())
        if len(one.sample) > SAMPLE:
            one.sample = {key: one.sample[key] for key in sorted(one.sample)[:SAMPLE]}
        return one

    def poisson(self, mean: float) -> int:
        """How many come."""
        if mean > 60:
            return max(0, round(self.random.gauss(mean, math.sqrt(mean))))
        limit, product, n = math.exp(-mean), self.random.random(), 0
        while product > limit:
            product *= self.random.random()
            n += 1
        return n

    def binomial(self, n: int, p: float) -> int:
        """How many of n."""
        if p <= 0:
            return 0
        return sum(self.random.random() < p for _ in range(n)) if p < 1 else n


def _put(windows: Windows, key: Key, at: int, one: Summary) -> None:
    windows.setdefault(key, {}).setdefault(at, Summary()).merge(one)


def evidence(
    windows: Windows,
    now: float,
    *,
    settings: Settings | None = None,
    exclude: Sequence[tuple[float, float]] = (),
    baselines: Mapping[str, Baseline] | None = None,
    serving: Mapping[str, float] | None = None,
    split_since: float | None = None,
) -> Evidence:
    """What an endpoint is judged by, of such windows."""
    return Evidence(
        ENDPOINT,
        now,
        windows,
        serving={"v3": 1.0} if serving is None else serving,
        split_since=split_since,
        baselines={"v3": BASELINE} if baselines is None else baselines,
        settings=Settings() if settings is None else settings,
        exclude=exclude,
    )


ON = NOW + 4
"""When a trouble begins: within a window, as they do."""
DE = "language=de"
CANARY = {"v3": 0.9, "v4": 0.1}


def clean(variant: str, name: str, at: float) -> Kind | None:
    return Kind()


@cache
def _hour(rate: float, variants: tuple[tuple[str, float], ...], mix: tuple[tuple[str, float], ...], inputs: int, until: float) -> Windows:
    windows: Windows = {}
    Drawn(seed=3, rate=rate, variants=dict(variants), mix=dict(mix), kind=lambda *_: Kind(inputs=inputs)).fill(windows, NOW - 3_500, until)
    return windows


class Story:
    """A clean hour, and what comes after it."""

    def __init__(
        self,
        kind: Callable[[str, str, float], Kind | None] = clean,
        *,
        rate: float = 50.0,
        variants: Mapping[str, float] | None = None,
        mix: Mapping[str, float] | None = None,
        inputs: int = 3_000,
    ) -> None:
        variants, mix = variants or {"v3": 1.0}, mix or MIX
        before = _hour(rate, tuple(variants.items()), tuple(mix.items()), inputs, NOW)
        self.windows: Windows = {key: dict(mine) for key, mine in before.items()}
        self.drawn = Drawn(seed=4, rate=rate, variants=variants, mix=mix, kind=kind)
        self.now = NOW
        self.cache = Cache()
        self.baselines: Mapping[str, Baseline] = dict.fromkeys(variants, BASELINE)
        self.serving = variants
        self.settings = Settings()
        self.exclude: tuple[tuple[float, float], ...] = ()

    def until(self, now: float) -> Story:
        """Let the requests up to then come."""
        self.drawn.fill(self.windows, self.now, now)
        self.now = now
        return self

    @property
    def evidence(self) -> Evidence:
        return evidence(
            self.windows, self.now, settings=self.settings, exclude=self.exclude, baselines=self.baselines, serving=self.serving
        )

    def health(self) -> EndpointHealth:
        return judge(self.evidence, self.cache)

    def found_after(self, question: Question, longest: float = 60.0, slice_name: str | None = None) -> float:
        """Seconds from the trouble's begin to the first look that finds it, looking every two seconds."""
        self.until(ON)
        while self.now < ON + longest:
            self.until(self.now + 2)
            if any(one.question is question and slice_name in (None, one.slice) for one in self.health().failing):
                return self.now - ON
        raise AssertionError(f"{question} was not found in {longest} s")


def the(health: EndpointHealth, question: Question, slice_name: str = "", variant: str = "") -> Answer:
    """The one answer to a question about a slice and variant."""
    (answer,) = [one for one in health.answers if (one.question, one.slice, one.variant) == (question, slice_name, variant)]
    return answer


def of(kind: Kind | None, name: str = "", variant: str = "") -> Callable[[str, str, float], Kind | None]:
    """From `ON` on requests of that slice and variant are of this kind."""
    return lambda v, s, at: kind if at > ON and s.endswith(name) and v.endswith(variant) else Kind()
