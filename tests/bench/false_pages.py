"""False pages: clean replayed traffic for simulated days, judged all the time. Nobody may be woken by it."""

from __future__ import annotations

import concurrent.futures
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.bench.figures import Figure, Say
from tests.bench.house import ROOT

from mlconsole.core.evidence import Cache, Evidence
from mlconsole.core.health import Baseline
from mlconsole.core.questions import judge
from mlconsole.core.summaries import SAMPLE, WINDOW, Key, Summary, score_bucket

_PROFILE = ROOT / "sample_workspace" / "models" / "relevance" / "v3" / "model.yaml"
_MIX = {"language=en": 0.78, "language=pl": 0.20, "language=de": 0.02}
_RATE = 50.0
_ERRORS = 0.002
_INPUTS = 3_000
_BETWEEN, _SOME = 4.0, 6
"""Every window is judged at its end, and every sixth one also so many seconds after its begin. The guardian looks every 2 s, and in between
sees nearly the same requests."""
_BEGIN = 1_800_000_000
_DRIFT, _DRIFT_SECONDS = 0.15, 600.0
"""The logarithm of the median latency wanders: its standard deviation, and the time after which it has forgotten where it was."""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """A few hours of a few seeds; with `long` 24 hours of 20 seeds."""
    seeds, hours = (20, 24.0) if long else (4, 2.0)
    paged: dict[int, list[str]] = {}
    looks = 0
    with concurrent.futures.ProcessPoolExecutor(max_workers=max(1, min(seeds, os.cpu_count() or 1))) as pool:
        for seed, (count, found) in enumerate(pool.map(simulated, range(1, seeds + 1), [hours] * seeds), 1):
            looks += count
            if found:
                paged[seed] = found
            say(f"seed {seed} of {seeds}: {hours:g} h, {count} looks, {'paged: ' + found[0] if found else 'quiet'}")
    allowed = seeds // 20
    yield Figure(
        f"seeds that paged on clean traffic, {seeds} × {hours:g} h",
        f"{len(paged)} of {seeds}, {looks} looks",
        f"≤ {allowed}",
        len(paged) <= allowed,
        {"value": len(paged), "bound": allowed, "found": [f"seed {seed}: {one}" for seed, told in paged.items() for one in told][:20]},
    )


def simulated(seed: int, hours: float, errors: float = _ERRORS) -> tuple[int, list[str]]:
    """How often one seed's traffic was judged, and what would have paged: the first time of each question and slice."""
    traffic = _Traffic(seed, errors)
    baseline = profile(_PROFILE)
    windows: dict[Key, dict[int, Summary]] = {}
    cache, looks, found = Cache(), 0, dict[tuple[str, str, str], str]()
    end = _BEGIN + int(3600 * hours)
    for begin in range(_BEGIN, end, WINDOW):
        came = 0.0
        between = begin // WINDOW % _SOME == 0
        for until in (_BETWEEN, float(WINDOW)) if between else (float(WINDOW),):
            traffic.add(windows, begin, came, until)
            came = until
            health = judge(Evidence("relevance", begin + until, windows, {"v3": 1.0}, None, {"v3": baseline}), cache)
            looks += 1
            for one in health.failing:
                found.setdefault(
                    (one.question, one.variant, one.slice), f"{(begin - _BEGIN) / 3600:.2f} h {one.question} {one.slice} {one.text}"
                )
        for mine in windows.values():
            mine.pop(begin - 3_700 // WINDOW * WINDOW, None)
    return looks, list(found.values())


def profile(path: Path) -> Baseline:
    """The baseline in a model's card."""
    card: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    told = card["baseline"]
    return Baseline(
        n=told["n"],
        edges=tuple(told["score"]["edges"]),
        counts=tuple(told["score"]["counts"]),
        distinct_outputs=told["distinct_outputs"],
        over_threshold=told["over_threshold"],
        over_threshold_by_slice={f"language={name}": one["over_threshold"] for name, one in told["by_slice"].items()},
        threshold=card["signature"]["threshold"],
        cutoff=str(card["data"]["cutoff"]),
    )


class _Traffic:
    """3 000 distinct inputs, each with its language, its score and its hashes, replayed in order at about 50 a second."""

    def __init__(self, seed: int, errors: float) -> None:
        # It comes with onnxruntime, and only a measurement of long draws needs it.
        import numpy as np

        self.np, self.random = np, np.random.default_rng(seed)
        self.names = list(_MIX)
        self.language = self.random.choice(len(_MIX), _INPUTS, p=list(_MIX.values()))
        baseline = profile(_PROFILE)
        counts = np.array(baseline.counts)
        bins = self.random.choice(len(counts), _INPUTS, p=counts / counts.sum())
        edges = np.array(baseline.edges)
        scores = edges[bins] + self.random.random(_INPUTS) * (edges[bins + 1] - edges[bins])
        self.buckets = np.array([score_bucket(score) for score in scores])
        self.inputs = [zlib.crc32(f"{seed} {i}".encode()) for i in range(_INPUTS)]
        self.outputs = [zlib.crc32(f"{score:.6f}".encode()) for score in scores]
        self.errors = errors
        self.place = 0
        self.wander = 0.0

    def add(self, windows: dict[Key, dict[int, Summary]], begin: int, low: float, high: float) -> None:
        """The requests from `low` to `high` seconds after a window's begin."""
        np, seconds = self.np, high - low
        kept = math.exp(-seconds / _DRIFT_SECONDS)
        self.wander = kept * self.wander + math.sqrt(1 - kept * kept) * self.random.normal(0, _DRIFT)
        n = int(self.random.poisson(_RATE * seconds))
        which = (self.place + np.arange(n)) % _INPUTS
        self.place = (self.place + n) % _INPUTS
        times = begin + np.sort(self.random.uniform(low, high, n))
        failed = self.random.random(n) < self.errors
        milliseconds = np.exp(math.log(12.0) + self.wander + self.random.normal(0, 0.4, n))
        buckets = np.floor(np.log(milliseconds) / math.log(1.05)).astype(int)
        whole = windows.setdefault(Key("relevance", "v3", False, ""), {}).setdefault(begin, Summary())
        for place, name in enumerate(self.names):
            mine = np.flatnonzero(self.language[which] == place)
            if not len(mine):
                continue
            one = Summary(n=len(mine), failed=int(failed[mine].sum()), first=float(times[mine[0]]), last=float(times[mine[-1]]))
            one.latency = _counted(np, buckets[mine])
            answered = which[mine[~failed[mine]]]
            one.scored, one.scores = len(answered), _counted(np, self.buckets[answered])
            hashes = {self.inputs[i]: self.outputs[i] for i in answered.tolist()}
            one.sample = {key: hashes[key] for key in sorted(hashes)[:SAMPLE]}
            windows.setdefault(Key("relevance", "v3", False, name), {}).setdefault(begin, Summary()).merge(one)
            whole.merge(one)


def _counted(np: Any, values: Any) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
