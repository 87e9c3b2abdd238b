"""Lint of config documents: its time, what it names of twenty mistakes in the sample workspace's configuration, and what it says of a
hundred correct edits.

The mistakes are those that people make: the wrong language's value, the wrong field, an outlier, something pasted and forgotten. Two of
them (a plausible value in the wrong slice, and the reason does not say which) only a what-if can show. The correct edits are a history:
each is made of the one before, as a team tunes its thresholds over months.
"""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from tests.bench.figures import Figure, Say, at_most
from tests.bench.house import ROOT

from mlconsole.core.configlint import Known, ModelFacts, lint
from mlconsole.core.documents import Layout
from mlconsole.core.findings import Finding, Severity
from mlconsole.core.pointers import REMOVE, edited, get

_SAMPLE = ROOT / "sample_workspace"
LAYOUT = Layout(slices=(("relevance", "language"), ("delay-risk", "region")), differ=("/threshold",))
_BOUND_MS = 100.0
_LEAST_NAMED = 18
MOST_FINDINGS = 5
EDITS = 100
_NAMES = {"en": "English", "de": "German", "pl": "Polish", "EU": "Europe", "US": "US", "APAC": "APAC"}


@dataclass(frozen=True)
class Mistake:
    """One mistake: its edits, the reason that its author gives, and by which rules it is named."""

    name: str
    edits: Mapping[str, Any]
    reason: str
    rules: tuple[str, ...]


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """The figures."""
    yield from _speed(100 if long else 15)
    live = json.loads((_SAMPLE / "config" / "models.json").read_text(encoding="utf-8"))
    known = sample_known()
    named, missed = [], []
    for mistake in mistakes(live):
        found = told(lint(edited(live, mistake.edits), live, LAYOUT, known, reason=mistake.reason))
        # Named is what is found at its place and for what it is; another finding beside it is none.
        right = [one for one in found if one.rule in mistake.rules]
        (named if right else missed).append(mistake.name)
        say(f"{mistake.name}: {right[0].text if right else 'not named'}")
    held = len(named) >= _LEAST_NAMED
    values = {"value": len(named), "missed": missed}
    total = len(named) + len(missed)
    yield Figure(f"of {total} mistakes, lint names", f"{len(named)}; not: {', '.join(missed)}", f"≥ {_LEAST_NAMED}", held, values)
    alarms = [f"{edit}: {one.rule}: {one.text}" for edit, one in false_alarms(live, known, random.Random(6))]
    yield at_most(f"findings on {EDITS} correct edits", len(alarms), MOST_FINDINGS, f"{len(alarms)}", found=alarms)
    many = [len(false_alarms(live, known, random.Random(seed))) for seed in range(100, 200 if long else 110)]
    mean = sum(many) / len(many)
    yield at_most(f"the mean of {len(many)} other such histories", mean, MOST_FINDINGS, f"{mean:.1f}, at most {max(many)}", all=many)


def _speed(rounds: int) -> Iterator[Figure]:
    document = {f"model-{i}": {f"s{j}": _entry(f"model-{i}", 0.5 + 0.002 * j) for j in range(10)} for i in range(50)}
    wide = {"model-0": {f"s{j}": _entry("model-0", 0.4 + 0.0002 * j) for j in range(500)}}
    knowns = [
        Known(dict.fromkeys(one, ModelFacts(("title", "body", "language"), {"slice": tuple(next(iter(one.values())))})), tuple(one))
        for one in (document, wide)
    ]
    one = edited(document, {"/model-7/s3/threshold": 0.55})
    all_of_it = {
        name: {value: {**entry, "threshold": entry["threshold"] + 0.01} for value, entry in mine.items()} for name, mine in document.items()
    }
    cases = {
        "one value of 500 entries changed": (one, document),
        "every threshold of 500 entries changed": (all_of_it, document),
        "500 entries, the first version": (document, None),
        "500 slices of one model, the first version": (wide, None),
    }
    for name, (value, parent) in cases.items():
        took = []
        for _ in range(rounds):
            started = time.perf_counter()
            lint(value, parent, Layout(), knowns[value is wide], reason="s3 misses too many")
            took.append(1000 * (time.perf_counter() - started))
        yield at_most(f"lint, {name} (ms)", min(took), _BOUND_MS, f"{min(took):.1f} ms", all=took)


def _entry(endpoint: str, threshold: float) -> dict[str, Any]:
    return {"endpoint": endpoint, "share": 100, "fields": ["title", "body"], "threshold": round(threshold, 4)}


def sample_known() -> Known:
    """What the sample workspace's own metadata say."""
    models = {}
    for name, version in (("relevance", "v3"), ("delay-risk", "v3")):
        body = yaml.safe_load((_SAMPLE / "models" / name / version / "model.yaml").read_text(encoding="utf-8"))
        signature = body["signature"]
        inputs = tuple(one["name"] for one in signature["inputs"])
        slices = {one["key"]: tuple(one["values"]) for one in signature["slices"]}
        models[name] = ModelFacts(inputs, slices, required=inputs, model=name)
    return Known(models, ("relevance", "delay-risk", "relevance-next"), serving={name: models[name] for name in models})


def mistakes(live: Mapping[str, Any]) -> tuple[Mistake, ...]:
    """Five of each kind."""
    relevance, risk = live["relevance"], live["delay-risk"]
    misspelt = {("treshold" if key == "threshold" else key): value for key, value in relevance["pl"].items()}
    far, signature = ("far",), ("unknown-field",)
    return (
        Mistake("wrong language: de meant, pl changed", {"/relevance/pl/threshold": 0.45}, "de misses too many", ("reason-slice",)),
        Mistake("wrong language: German meant, en changed", {"/relevance/en/threshold": 0.53}, "German: false alerts", ("reason-slice",)),
        Mistake("wrong region: APAC meant, EU changed", {"/delay-risk/EU/threshold": 0.47}, "late alerts in APAC", ("reason-slice",)),
        Mistake("wrong language, a plausible value, no reason", {"/relevance/pl/threshold": 0.53}, "too many alerts", ()),
        Mistake("wrong region, a plausible value, no reason", {"/delay-risk/EU/threshold": 0.46}, "misses too many", ()),
        Mistake("wrong field: misspelt", {"/relevance/de/fields/0": "titel"}, "", signature),
        Mistake("wrong field: none of this model", {"/relevance/en/fields": ["title", "body", "carrier"]}, "", signature),
        Mistake("wrong field: of another language", {"/relevance/de/fields": ["title_de", "body"]}, "de has its own title", signature),
        Mistake("wrong field: cut off", {"/delay-risk/US/fields/2": "distance"}, "", signature),
        Mistake("wrong key: treshold", {"/relevance/pl": misspelt}, "", ("key-misspelt",)),
        Mistake("outlier: a digit lost", {"/relevance/de/threshold": 0.05}, "de misses too many", far),
        Mistake("outlier: digits swapped", {"/relevance/pl/threshold": 0.84}, "pl: fewer alerts", far),
        Mistake("outlier: percent", {"/relevance/en/threshold": 52}, "", ("threshold-range",)),
        Mistake("outlier: the point is missing", {"/delay-risk/APAC/threshold": 4.5}, "", ("threshold-range",)),
        Mistake("outlier: nearly everything alerts", {"/delay-risk/US/threshold": 0.1}, "US misses some", far),
        Mistake("copy-paste: all of de into pl", {"/relevance/pl": copy.deepcopy(relevance["de"])}, "pl as new", ("copied",)),
        Mistake("copy-paste: another model's endpoint", {"/relevance/de/endpoint": "delay-risk"}, "", ("endpoint-model",)),
        Mistake("copy-paste: another model's entry", {"/relevance/pl": copy.deepcopy(risk["EU"])}, "", ("unknown-field", "endpoint-model")),
        Mistake("copy-paste: a language twice", {"/relevance/DE": copy.deepcopy(relevance["de"])}, "", ("slice-twice",)),
        Mistake("copy-paste: a canary's share", {"/relevance/en/share": 10}, "", ("shares-sum",)),
    )


def false_alarms(live: Any, known: Known, draw: random.Random) -> list[tuple[str, Finding]]:
    """A hundred correct edits, each on the one before, and what lint says of them."""
    found: list[tuple[str, Finding]] = []
    history: dict[str, list[float]] = {}
    for number in range(EDITS):
        edits, reason = correct(live, draw)
        after = edited(live, edits)
        seen = Known(known.models, known.endpoints, history, known.serving)
        what = f"{number}: {json.dumps({pointer: 'removed' if value is REMOVE else value for pointer, value in edits.items()})} ({reason})"
        found += [(what, one) for one in told(lint(after, live, LAYOUT, seen, reason=reason))]
        for pointer in edits:
            was = get(live, pointer)
            if isinstance(was, float):
                history.setdefault(pointer, []).append(was)
        live = after
    return found


def correct(live: Any, draw: random.Random) -> tuple[dict[str, Any], str]:
    """One edit as people make them: mostly a threshold, now and then something else."""
    model = draw.choice(("relevance", "relevance", "delay-risk"))
    slices = list(live[model])
    value = draw.choice(slices)
    at = f"/{model}/{value}"
    kind = draw.choices(("threshold", "all", "split", "endpoint", "field", "key"), (70, 8, 8, 4, 5, 5))[0]
    name = draw.choice((value, _NAMES[value]))
    if kind == "threshold":
        reason = draw.choice(
            (
                f"{name} misses too many",
                f"too many false alerts in {name}",
                f"{name}: as the risk desk asked, no more than last week",
                "tuned on last week's labels",
                "it is too noisy",
                f"{value} to the level of {draw.choice(slices)}",
                "RISK-231",
                "",
            )
        )
        return {f"{at}/threshold": _moved(live, model, value, draw)}, reason
    if kind == "all":
        step = draw.choice((-0.02, -0.01, 0.01, 0.02))
        return {
            f"/{model}/{one}/threshold": round(live[model][one]["threshold"] + step, 2) for one in slices
        }, f"all of {model}, new version"
    if kind == "split":
        if "split" in live[model][value]:
            return {f"{at}/split": REMOVE}, f"{name}: v4 is off again"
        share = draw.choice((5, 10, 12.5, 50))
        return {f"{at}/split": {"v3": 100 - share, "v4": share}}, f"v4 gets {share} % of {name}"
    if kind == "endpoint":
        if model == "delay-risk":
            return {f"{at}/threshold": _moved(live, model, value, draw)}, f"{name}: fewer alerts"
        other = "relevance-next" if live[model][value]["endpoint"] == "relevance" else "relevance"
        return {f"{at}/endpoint": other}, f"{name} moves to {other}"
    if kind == "field":
        field = {"relevance": "language", "delay-risk": "carrier"}[model]
        has = field in live[model][value]["fields"]
        fields = {one: [name for name in live[model][one]["fields"] if name != field] + ([] if has else [field]) for one in slices}
        return {f"/{model}/{one}/fields": fields[one] for one in slices}, f"{field} {'goes' if has else 'comes'}"
    words = draw.choice((5, 8, 10))
    return {f"/{model}/{one}/min_words": words for one in slices}, "short texts are no events"


def _moved(live: Any, model: str, value: str, draw: random.Random) -> float:
    """Another threshold for a slice, near the present one, mostly by a little, and none that a sibling has."""
    taken = {entry["threshold"] for entry in live[model].values()}
    while True:
        step = draw.gauss(0, 0.06 if draw.random() < 0.1 else 0.02)
        # Teams tune about a level, they do not wander off.
        back = 0.2 * (0.5 - live[model][value]["threshold"])
        found = round(live[model][value]["threshold"] + step + back, 2)
        if found not in taken:
            return float(found)


def told(found: tuple[Finding, ...]) -> list[Finding]:
    """What people are told of it; what is well is none."""
    return [one for one in found if one.severity is not Severity.OK]
