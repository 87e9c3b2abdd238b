"""Golden queries: requests whose answer is known, chosen so that every sound version passes.

The expected score is that of version 3, the live one. A query is taken where the sound versions agree well within the
tolerance, evenly over the range of scores and, for `relevance`, over the languages.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import make_events
import numpy as np
from artifacts import Artifact, MissingField, read_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from make_events import Event

LIVE = "3"
SOUND = {"relevance": ("2", "3", "4", "7"), "delay-risk": ("1", "2", "3")}
WANTED = {"relevance": {"en": 20, "de": 10, "pl": 10}, "delay-risk": {"EU": 4, "US": 4, "APAC": 4}}
SLICE = {"relevance": "language", "delay-risk": "region"}
TOLERANCE = 0.25
AGREEMENT = 0.2
BINS = 5


def versions(root: Path, model: str) -> dict[str, Artifact]:
    """The artifacts of a model by version."""
    vectors = read_vectors(root / "embeddings" / "vectors.tsv")
    folders = sorted((root / "models" / model).glob("v*"))
    return {folder.name[1:]: Artifact(folder / "artifact", vectors) for folder in folders}


def choose(pool: Sequence[Event], model: str, artifacts: dict[str, Artifact]) -> list[dict[str, Any]]:
    """Golden queries from a pool of events, which is shuffled, because it lies in the order of time."""
    rng = random.Random(make_events.SEED)
    pool = sorted(pool, key=lambda _: rng.random())
    scores = {v: artifacts[v].scores(e["inputs"] for e in pool) for v in SOUND[model]}
    live = scores[LIVE]
    agree = np.max([np.abs(other - live) for other in scores.values()], axis=0) <= AGREEMENT
    queries = []
    for value, wanted in WANTED[model].items():
        bins: list[list[int]] = [[] for _ in range(BINS)]
        for place, event in enumerate(pool):
            if agree[place] and event["inputs"][SLICE[model]] == value:
                bins[min(int(live[place] * BINS), BINS - 1)].append(place)
        taken: list[int] = []
        while len(taken) < wanted:
            for places in bins:
                if places and len(taken) < wanted:
                    taken.append(places.pop(0))
        queries += [(pool[place]["inputs"], round(float(live[place]), 2)) for place in sorted(taken)]
    return [
        {"id": f"g{number:02d}", "inputs": inputs, "expect": {"score": score}, "tolerance": {"score": TOLERANCE}}
        for number, (inputs, score) in enumerate(queries, 1)
    ]


def passed(queries: Sequence[dict[str, Any]], artifact: Artifact) -> int:
    """How many queries an artifact answers as expected."""
    count = 0
    for query in queries:
        try:
            score = artifact.ask(query["inputs"])
        except MissingField:
            continue
        count += abs(score - query["expect"]["score"]) <= query["tolerance"]["score"]
    return count


def write(root: Path) -> None:
    """Choose and write the golden queries of both models, and say which version passes how many."""
    pools = {
        "relevance": make_events.golden_pool(),
        "delay-risk": make_events.shipments("golden", 400, "2026-03-01", "2026-03-08"),
    }
    for model, pool in pools.items():
        artifacts = versions(root, model)
        queries = choose(pool, model, artifacts)
        make_events.write(root / "golden" / f"{model}.jsonl", queries)
        for version, artifact in artifacts.items():
            print(f"{model:<10} v{version}  passes {passed(queries, artifact)} of {len(queries)} golden queries")
