"""What the tests of config documents share: a simulated workspace that keeps one, and how it is looked at."""

from __future__ import annotations

import json
import re
from typing import Any

from e2e.kit import Simulated

POLICIES = """
policies:
  quick: {stages: [50, 100], wait: 1, evidence: 20, bake: 1, guards: {errors: {by_slice: false}}}
  patient: {stages: [10, 100], wait: 600, evidence: 20, bake: 10}
"""
MODELS = """\
{
  "relevance": {
    "en": {"endpoint": "relevance", "share": 100, "fields": ["text", "language"], "threshold": 0.58},
    "de": {"endpoint": "relevance", "share": 100, "fields": ["text", "language"], "threshold": 0.62},
    "pl": {"endpoint": "relevance",  "share": 100, "fields": ["text", "language"], "threshold": 0.61}
  },
  "note": "kept as it is:   spaces, order, \\u00e9"
}
"""
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "relevance": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": {"threshold": {"type": "number", "minimum": 0, "maximum": 1}}},
        }
    },
}
CONFIGS = """
configs:
  models:
    file: config/models.json
    schema: config/models.schema.json
    slices: {relevance: language}
    policy: quick
"""
KEEPS = "    config: simulator\n    predictions: simulator\n"
SECONDS = "config_seconds: 0.02, config_poll: 0.1, "


def configured(console: Simulated) -> Simulated:
    """Its environments keep documents; `models` is declared, and published nowhere."""
    (console.root / "config").mkdir()
    (console.root / "config" / "models.json").write_text(MODELS)
    (console.root / "config" / "models.schema.json").write_text(json.dumps(SCHEMA))
    file = console.root / "mlconsole.yaml"
    text = file.read_text().replace("    predictions: simulator\n", KEEPS).replace("{world:", f"{{{SECONDS}world:")
    file.write_text(text.replace("  production:\n", "  production:\n    production: true\n") + POLICIES + CONFIGS)
    return console


def live(console: Simulated, *more: str) -> str:
    """What applications read."""
    return console.run("config", "show", "models", *more).out


def draft(console: Simulated) -> Any:
    """What is worked on."""
    return console.json("config", "list", "models")["documents"][0]["draft"]


def changed(text: str, slice_: str, value: str) -> str:
    """The document with another threshold, and nothing else."""
    return re.sub(rf'("{slice_}": .*"threshold": )[0-9.]+', rf"\g<1>{value}", text)


def outside(console: Simulated, number: int, text: str) -> None:
    """Somebody else publishes, past mlconsole."""
    assert console.world().publish_outside("models", text.encode()) == number
