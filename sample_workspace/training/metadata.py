"""model.yaml as it is written: for people, and the same text for the same content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "# Written by training/train.py; every figure is measured.\n"


class Flat(dict[str, Any]):
    """A mapping that is written on as few lines as it needs."""


class Writer(yaml.SafeDumper):
    """YAML for people: mappings as blocks, lists of plain values on one line, versions quoted by PyYAML itself."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.Node:
        return super().represent_sequence(tag, sequence, flow_style=True)


Writer.add_representer(Flat, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True))


def write(path: Path, document: dict[str, Any]) -> None:
    """Write a version's metadata; the long histograms of its baseline's fields stay on few lines."""
    baseline = document["baseline"]
    if "fields" in baseline:
        fields = {name: Flat(tokens) for name, tokens in baseline["fields"].items()}
        document = {**document, "baseline": {**baseline, "fields": fields}}
    text = yaml.dump(document, Dumper=Writer, sort_keys=False, allow_unicode=True, width=120)
    path.write_text(HEADER + text, "utf-8")
