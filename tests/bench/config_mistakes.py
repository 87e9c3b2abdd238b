"""Mistakes in the sample workspace's configuration: how many of twenty what-if names, and together with lint; and what it says of a hundred
correct edits.

What-if names nothing by itself: it shows what would come of a change, and its author sees that it is not what he wanted. So each mistake
has what its author had in mind: which entry, and whether it is to alert more or less. What-if counts as naming a mistake where one of its
rows contradicts that: another entry alerts otherwise; the one that was meant does in the wrong direction, or more than twice as often or
less than half as often as before; or it has no threshold any more. That it can't know what would come of something is no naming.

The observations are the sample's own: its replayed events, a week of days, scored by the version 3 of each model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.bench.config_lint import EDITS, LAYOUT, MOST_FINDINGS, correct, mistakes, sample_known, told
from tests.bench.figures import Figure, Say, at_most
from tests.bench.house import ROOT

from mlconsole.core.configdiff import touched
from mlconsole.core.configlint import lint
from mlconsole.core.entries import entries
from mlconsole.core.pointers import edited
from mlconsole.core.redeciding import DAY, Observation
from mlconsole.core.whatif import Row, Stored, columns, what_if
from mlconsole.plugin.roles import Invocation
from mlconsole_local.artifact import load
from mlconsole_local.asking import infer_body
from mlconsole_local.model import Model

_SAMPLE = ROOT / "sample_workspace"
_BEGIN, _DAYS = 1_800_000_000.0, 7
_LEAST_EITHER = 20
_TWICE = 2.0


@dataclass(frozen=True)
class Meant:
    """What an author has in mind: the entry that he wants to change, and whether it shall alert more (1), less (-1) or as before (0)."""

    pointer: str
    wants: int = 0


_MEANT = (
    Meant("/relevance/de", 1),
    Meant("/relevance/de", -1),
    Meant("/delay-risk/APAC", -1),
    Meant("/relevance/de", -1),
    Meant("/delay-risk/US", 1),
    Meant("/relevance/de"),
    Meant("/relevance/en"),
    Meant("/relevance/de"),
    Meant("/delay-risk/US"),
    Meant("/relevance/pl"),
    Meant("/relevance/de", 1),
    Meant("/relevance/pl", -1),
    Meant("/relevance/en", -1),
    Meant("/delay-risk/APAC", -1),
    Meant("/delay-risk/US", 1),
    Meant("/relevance/pl"),
    Meant("/relevance/de"),
    Meant("/relevance/pl"),
    Meant("/relevance/de"),
    Meant("/relevance/en"),
)
"""What the authors of `config_lint.mistakes` had in mind, in their order."""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """The figures."""
    live = json.loads((_SAMPLE / "config" / "models.json").read_text(encoding="utf-8"))
    known, stored = sample_known(), scored()
    by_lint, by_whatif, neither = [], [], []
    for mistake, meant in zip(mistakes(live), _MEANT, strict=True):
        after = edited(live, mistake.edits)
        said = [one for one in told(lint(after, live, LAYOUT, known, reason=mistake.reason)) if one.rule in mistake.rules]
        seen = contradiction(rows(live, after, stored), meant)
        by_lint += [mistake.name] if said else []
        by_whatif += [mistake.name] if seen else []
        neither += [] if said or seen else [mistake.name]
        say(f"{mistake.name}: {'lint' if said else '–'}, {f'what-if ({seen})' if seen else '–'}")
    total = len(_MEANT)
    either = total - len(neither)
    alone = [name for name in by_whatif if name not in by_lint]
    text = f"{len(by_whatif)}, {len(alone)} of them that lint does not; lint names {len(by_lint)}"
    yield Figure(f"of {total} mistakes, what-if names", text, values={"value": len(by_whatif), "found": by_whatif, "alone": alone})
    text = f"{either}; not: {', '.join(neither)}" if neither else f"{either}"
    yield Figure("one of the two names", text, f"≥ {_LEAST_EITHER}", either >= _LEAST_EITHER, {"value": either, "missed": neither})
    histories = [_correct(live, stored, random.Random(seed)) for seed in range(6, 26 if long else 9)]
    counts, most = [len(one) for one in histories], max(histories, key=len)
    told_ = f"at most {len(most)} of {len(histories)} such histories"
    yield at_most(f"what-if contradicts authors of {EDITS} correct edits", len(most), MOST_FINDINGS, told_, found=most, all=counts)


def rows(before: Any, then: Any, stored: Stored) -> Sequence[Row]:
    """Both documents decided over the week."""
    span = (_BEGIN, _BEGIN + _DAYS * DAY)
    covered = {model: [span] for model in stored}
    pointers = touched(before, then)
    return what_if(entries(before, LAYOUT), entries(then, LAYOUT), stored, covered, span, pointers=pointers, layout=LAYOUT).rows


def contradiction(found: Sequence[Row], meant: Meant) -> str:
    """What of it is not what the author had in mind; empty: nothing."""
    for row in found:
        name = f"{row.model} {row.slice}"
        if row.pointer == meant.pointer and row.old is not None and row.new is None:
            return f"{name} has no threshold any more"
        if row.before is None or row.then is None:
            continue
        change = f"{name} {row.before:.0f} → {row.then:.0f} a day"
        if row.pointer != meant.pointer:
            if row.flips:
                return f"{change}, and that is another one"
        elif row.flips and (row.then - row.before) * meant.wants <= 0:
            return f"{change}, which was not wanted"
        elif row.flips and not 1 / _TWICE <= (row.then + 1) / (row.before + 1) <= _TWICE:
            return change
    return ""


def _correct(live: Any, stored: Stored, draw: random.Random) -> list[str]:
    """What what-if contradicts of a hundred correct edits, each on the one before."""
    found = []
    for number in range(EDITS):
        edits, _ = correct(live, draw)
        after = edited(live, edits)
        seen, live = rows(live, after, stored), after
        for row in seen:
            if row.touched and row.flips:
                wants = 1 if (row.new or 0.0) < (row.old or 0.0) else -1
                text = contradiction([row], Meant(row.pointer, wants))
            else:
                text = contradiction([row], Meant(""))
            if text:
                found.append(f"{number}: {', '.join(edits)}: {text}")
    return found


@cache
def scored() -> Stored:
    """The replayed events as a week of observations: model → slice → column."""
    found = {}
    for model, key, name in (("relevance", "language", "replay"), ("delay-risk", "region", "replay-delay-risk")):
        graph = Model(load(_SAMPLE / "models" / model / "v3" / "artifact"), {})
        with (_SAMPLE / "events" / f"{name}.jsonl").open(encoding="utf-8") as file:
            day = [_scored(graph, json.loads(line)["inputs"], key) for line in file]
        step = DAY / len(day)
        found[model] = columns(_week(day, step))
    return found


def _week(day: Sequence[tuple[str, float | None]], step: float) -> Iterator[Observation]:
    for number in range(_DAYS):
        for place, (value, score) in enumerate(day):
            yield _BEGIN + number * DAY + place * step, value, score, f"r{number}-{place}", ""


def _scored(graph: Model, inputs: Mapping[str, Any], key: str) -> tuple[str, float | None]:
    body = infer_body(Invocation(dict(inputs))).encode()
    return str(inputs[key]), graph.predict(graph.parse(body)).score
