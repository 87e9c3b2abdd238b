"""Measure the profile of the input fields on the evaluation set, into `baseline: fields:` of each model.yaml; nothing else changes.

`train.py` does this for what it writes. By itself it needs neither scikit-learn nor ONNX, so that a version that was trained before
anybody asked for such profiles gets one without being trained again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import metadata
import yaml

from mlconsole.core.profiles import measured_fields

WORKSPACE = Path(__file__).resolve().parent.parent
EVALUATION = {"relevance": "evaluation.jsonl", "delay-risk": "evaluation-delay-risk.jsonl"}


def profile(rows: list[dict[str, Any]], names: list[str], slices: list[str]) -> dict[str, dict[str, int]]:
    """Field → token → count. What a slice is read from is left out: how many there are of each was chosen by who made the set, and says
    nothing of traffic.
    """
    return measured_fields(rows, [name for name in names if name not in slices])


def update(path: Path, events: Path) -> None:
    """Measure and write the profile of one model.yaml."""
    document = yaml.safe_load(path.read_text("utf-8"))
    lines = (events / EVALUATION[document["model"]]).read_text("utf-8").splitlines()
    signature = document["signature"]
    names, slices = [one["name"] for one in signature["inputs"]], [one["path"].strip("/") for one in signature["slices"]]
    document["baseline"]["fields"] = profile([json.loads(line)["inputs"] for line in lines], names, slices)
    metadata.write(path, document)
    print(f"{document['model']:<10} v{document['version']}  {', '.join(document['baseline']['fields'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=Path, default=WORKSPACE / "events", help="folder with the event files")
    parser.add_argument("--out", type=Path, default=WORKSPACE, help="workspace whose model.yaml files are updated")
    options = parser.parse_args()
    for path in sorted(options.out.glob("models/*/*/model.yaml")):
        update(path, options.events)


if __name__ == "__main__":
    main()
