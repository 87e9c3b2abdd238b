"""An application as it could be yours: it reads its configuration while it runs, and asks a model about events. Standard library only.

    python client/application.py .mlconsole/local/staging/config models --model relevance --url http://127.0.0.1:PORT

For each event it looks up the entry of the event's language (or region): which endpoint to ask, how many of such events at all (`share`),
with which `fields`, and from which score on the answer is an alert (`threshold`). Where the entry has a `split` it chooses the variant
itself, by these shares, and asks for it by its name (`x-mlconsole-variant`); else whoever is asked decides that.

It tells each second what it did. What it reads may change at any time; an event is decided by one version, and never by half of one.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from configclient import ConfigClient, NothingRead

VARIANT = "x-mlconsole-variant"
KEYS = {"relevance": "language", "delay-risk": "region"}
"""By which input a model's entries go."""


@dataclass
class Told:
    """What became of the events so far."""

    version: int = 0
    asked: int = 0
    failed: int = 0
    alerts: Counter[str] = field(default_factory=Counter)
    """By slice."""
    answered: dict[str, Counter[str]] = field(default_factory=dict)
    """Slice → who answered."""
    problem: str = ""


class Application:
    """One worker. `key` is the input by which the entries of `model` go."""

    def __init__(self, config: ConfigClient, model: str, url: str) -> None:
        self._config, self._model, self._key = config, model, KEYS.get(model, "slice")
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=20)
        self.told = Told()

    def decide(self, inputs: Mapping[str, Any]) -> bool | None:
        """Whether an event is an alert; None: nobody was asked, or nobody answered."""
        read = self._config.get()
        self.told.version = read.version
        slice_ = str(inputs.get(self._key, ""))
        entries = read.value.get(self._model, {})
        entry = entries.get(slice_) or entries.get("*")
        if entry is None or random.random() * 100 >= entry.get("share", 100):
            return None
        filled = {name: inputs[name] for name in {*entry["fields"], self._key} if name in inputs}
        score = self._ask(entry["endpoint"], filled, slice_, chosen(entry.get("split")))
        if score is None:
            return None
        alert = bool(score >= entry["threshold"])
        self.told.alerts[slice_] += alert
        return alert

    def _ask(self, endpoint: str, inputs: Mapping[str, Any], slice_: str, variant: str | None) -> float | None:
        headers = {"content-type": "application/json", f"x-slice-{self._key}": slice_, **({VARIANT: variant} if variant else {})}
        rows = [{"name": name, "shape": [1], "datatype": datatype(value), "data": [value]} for name, value in inputs.items()]
        self.told.asked += 1
        try:
            self._connection.request("POST", f"/v2/models/{endpoint}/infer", json.dumps({"inputs": rows}), headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return self._failed(str(error) or type(error).__name__)
        if response.status != 200:
            return self._failed(f"{response.status} from {variant or endpoint}: {body[:120].decode('utf-8', 'replace')}")
        self.told.answered.setdefault(slice_, Counter())[response.headers.get(VARIANT) or "?"] += 1
        return float(next(one["data"][0] for one in json.loads(body)["outputs"] if one["name"] == "score"))

    def _failed(self, problem: str) -> None:
        self.told.failed += 1
        self.told.problem = problem


def chosen(split: Mapping[str, float] | None) -> str | None:
    """A variant, drawn by its share; None: whoever is asked decides."""
    if not split or not any(split.values()):
        return None
    return random.choices(list(split), list(split.values()))[0]


def datatype(value: Any) -> str:
    """A value's type as the Open Inference Protocol calls it."""
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    return "FP64" if isinstance(value, float) else "BYTES"


def events(path: Path) -> Sequence[Mapping[str, Any]]:
    """The inputs of recorded events."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["inputs"] for line in file]


def line(told: Told, *, as_json: bool) -> str:
    """What was done so far."""
    if as_json:
        body = {"version": told.version, "asked": told.asked, "failed": told.failed, "alerts": told.alerts, "problem": told.problem}
        return json.dumps({**body, "answered": told.answered})
    all_of_them: Counter[str] = sum(told.answered.values(), Counter())
    total = all_of_them.total() or 1
    who = " ".join(f"{name} {100 * count / total:.1f} %" for name, count in sorted(all_of_them.items()))
    alerts = " ".join(f"{name} {count}" for name, count in sorted(told.alerts.items()))
    text = f"config {told.version} · {told.asked} asked, {told.failed} failed · {who} · alerts {alerts or 0}"
    return f"{time.strftime('%H:%M:%S')} {text}" + (f" · last problem: {told.problem}" if told.problem else "")


def main() -> int:
    """Ask about recorded events, over and over, until somebody ends it."""
    parser = argparse.ArgumentParser(description="An application that reads its configuration while it runs.")
    parser.add_argument("folder", help="where the documents lie: .mlconsole/local/ENVIRONMENT/config")
    parser.add_argument("document")
    parser.add_argument("--url", required=True, help="the gateway; mlconsole endpoints show tells it")
    parser.add_argument("--model", default="relevance", choices=sorted(KEYS))
    parser.add_argument("--events", type=Path, help="left out, the model's own in events/")
    parser.add_argument("--rate", type=float, default=50.0, metavar="N", help="events a second")
    parser.add_argument("--client", default="", metavar="NAME", help="who reads; left out, this machine's name")
    parser.add_argument("--json", action="store_true", help="tell it as JSON")
    options = parser.parse_args()
    usual = "replay.jsonl" if options.model == "relevance" else f"replay-{options.model}.jsonl"
    recorded = events(options.events or Path(__file__).resolve().parents[1] / "events" / usual)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ConfigClient(options.folder, options.document, client=options.client) as config:
        application = Application(config, options.model, options.url)
        began = said = time.monotonic()
        try:
            for number, inputs in enumerate(itertools.cycle(recorded)):
                application.decide(inputs)
                now = time.monotonic()
                if now - said >= 1.0:
                    said = now
                    print(line(application.told, as_json=options.json), flush=True)
                time.sleep(max(0.0, began + (number + 1) / options.rate - now))
        except NothingRead as why:
            print(f"Nothing to go by: {why}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
