#!/usr/bin/env python3
"""Would known answers be decided otherwise? A check of the config document `models`, run by mlconsole before anything is published.

The golden queries of each model say which score is expected. Under the threshold that the models were made for, some of them are alerts and
some are none; a threshold of an entry that turns one of them round is named, with the query. It asks nobody and needs no past requests, so
that it speaks on the first day, and for a language that nobody has asked in yet.

A document on standard input; findings as JSON on standard output. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

MADE_FOR = 0.5
"""The threshold in every model.yaml here."""

KEYS = {"relevance": "language", "delay-risk": "region"}
"""By which input the entries of a model go."""


def main() -> int:
    """Judge the document; 1 where something was found."""
    document = json.load(sys.stdin)
    root = Path(os.environ.get("MLCONSOLE_WORKSPACE", Path(__file__).resolve().parents[1]))
    found = []
    for model, key in KEYS.items():
        expected = scores(root / "golden" / f"{model}.jsonl", key)
        for value, entry in items(document.get(model) if isinstance(document, dict) else None):
            threshold = entry.get("threshold") if isinstance(entry, dict) else None
            if isinstance(threshold, int | float) and not isinstance(threshold, bool):
                found += judged(f"/{model}/{value}/threshold", value, float(threshold), expected.get(value, []))
    json.dump(found, sys.stdout)
    return 1 if found else 0


def judged(pointer: str, value: str, threshold: float, known: list[tuple[str, float]]) -> list[dict[str, str]]:
    """At most one finding for an entry: `stop` where it loses half of the known alerts or more, else `look`."""
    alerts = [query for query, score in known if score >= MADE_FOR]
    lost = [query for query, score in known if MADE_FOR <= score < threshold]
    new = [query for query, score in known if threshold <= score < MADE_FOR]
    told = []
    if lost:
        told.append(f"{len(lost)} of the {len(alerts)} golden queries of {value} that are alerts would be none ({named(lost)})")
    if new:
        told.append(f"{len(new)} of the {len(known) - len(alerts)} golden queries of {value} that are none would be alerts ({named(new)})")
    if not told:
        return []
    severity = "stop" if len(lost) * 2 >= len(alerts) and lost else "look"
    return [{"severity": severity, "rule": "golden", "text": "; ".join(told), "pointer": pointer}]


def named(queries: list[str]) -> str:
    """The first three, and that there are more."""
    return ", ".join(queries[:3]) + (" …" if len(queries) > 3 else "")


def scores(path: Path, key: str) -> dict[str, list[tuple[str, float]]]:
    """Slice value → its golden queries, each with the score that is expected of it."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    with path.open(encoding="utf-8") as file:
        for line in file:
            query = json.loads(line)
            found[query["inputs"][key]].append((query["id"], float(query["expect"]["score"])))
    return found


def items(value: Any) -> list[tuple[str, Any]]:
    """An object's members; nothing of whatever else stands there."""
    return list(value.items()) if isinstance(value, dict) else []


if __name__ == "__main__":
    sys.exit(main())
