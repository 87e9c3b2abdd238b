"""Two documents of 1 MB that differ in 200 values: what their structural diff costs, beside `deepdiff` and `jsonpatch` in the same run."""

from __future__ import annotations

import copy
import gc
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.figures import Figure, Say, at_most, median, none_of

from mlconsole.core.configdiff import Kind, differences, restored, text_diff, touched
from mlconsole.core.documents import MOST_BYTES, Format
from mlconsole.core.pointers import REMOVE, edited
from mlconsole.documents import read, splice

_CHANGES = 200
_BOUND = 150.0


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """The median of 7 runs; with `long` of 31. The rivals, which take seconds, run once; with `long` 3 times."""
    runs, rival_runs = (31, 3) if long else (7, 1)
    old, new, changed = _documents()
    # Two parsed documents share nothing: what is equal has to be compared, not only recognised.
    before, after = json.loads(old), json.loads(new)
    say(f"two documents of {len(old)} bytes, {len(changed)} changes")
    found = differences(before, after)
    missed = sorted(changed.symmetric_difference(one.pointer for one in found))
    yield none_of(f"of {_CHANGES} changes not told, or told without one", missed, f"{len(missed)}")
    ours = _timed(lambda: differences(before, after), runs)
    yield at_most("structural diff of 1 MB, 200 changes, in ms", ours, _BOUND, f"{ours:.0f}")
    for name, compare, told in _rivals(before, after):
        say(name)
        theirs = _timed(compare, rival_runs)
        values = {"ms": theirs, "ratio": theirs / ours, "differences": told()}
        yield Figure(f"the same with {name}, in ms", f"{theirs:.0f} ({theirs / ours:.1f} × ours)", values=values)
    back = restored(after, before, after, touched(before, after))
    left = [*back.overlaps, *touched(before, edited(after, back.edits))]
    yield none_of("of these changes not taken back by a revert", left, f"{len(left)}")
    yield from _texts(old, new, before, after, runs)


def _texts(old: bytes, new: bytes, before: Any, after: Any, runs: int) -> Iterator[Figure]:
    """What a screen does with such a document: no bounds of their own, but nobody may wait."""
    text_old, text_new = json.dumps(before, indent=1), json.dumps(after, indent=1)
    found = differences(before, after)
    edits = {one.pointer: REMOVE if one.kind is Kind.REMOVED else one.new for one in found}

    def placed() -> None:
        reading = read(new, Format.JSON)
        assert all(reading.line(one.pointer) for one in found if one.kind is not Kind.REMOVED)

    for name, work in (
        ("reading 1 MB of JSON", lambda: read(new, Format.JSON)),
        ("reading it and finding 200 lines", placed),
        ("the text diff of its lines", lambda: text_diff(text_old, text_new)),
        ("making the 200 edits in its text", lambda: splice(old, Format.JSON, edits)),
    ):
        took = _timed(work, max(3, runs // 3))
        yield Figure(f"{name}, in ms", f"{took:.0f}", values={"ms": took})


def _documents() -> tuple[bytes, bytes, set[str]]:
    """Entries of model × slice up to 1 MB, the same with changes, and the pointers of these."""
    chance = random.Random(126)
    entry: dict[str, Any] = {"endpoint": "relevance-v7", "share": 100, "fields": ["title", "body"], "threshold": 0.5, "active": True}
    slices = [f"s{number:02d}" for number in range(20)]
    document: dict[str, Any] = {}
    size = 2
    while True:
        model = {name: {**copy.deepcopy(entry), "threshold": round(chance.random(), 2)} for name in slices}
        size += len(json.dumps(model)) + len(f'"model-{len(document):03d}": , ')
        if size > MOST_BYTES - 20_000:
            break
        document[f"model-{len(document):03d}"] = model
    other = copy.deepcopy(document)
    places = [(model, name, what) for model in document for name in slices for what in ("threshold", "endpoint", "fields", "new", "gone")]
    changed: set[str] = set()
    for model, name, what in chance.sample(places, 2 * _CHANGES):
        if len(changed) == _CHANGES:
            break
        target = other[model][name]
        if what == "threshold":
            target["threshold"] = target["threshold"] + 1
        elif what == "endpoint":
            target["endpoint"] = "relevance-v8"
        elif what == "fields":
            target["fields"][1] = "tags"
        elif what == "new":
            target["note"] = "why"
        else:
            del target["active"]
        changed.add(f"/{model}/{name}/" + {"fields": "fields/1", "new": "note", "gone": "active"}.get(what, what))
    return json.dumps(document).encode(), json.dumps(other).encode(), changed


def _rivals(before: Any, after: Any) -> Iterator[tuple[str, Callable[[], object], Callable[[], int]]]:
    import jsonpatch
    from deepdiff import DeepDiff

    yield "deepdiff", lambda: DeepDiff(before, after), lambda: sum(len(found) for found in DeepDiff(before, after).values())
    yield "jsonpatch", lambda: jsonpatch.make_patch(before, after), lambda: len(jsonpatch.make_patch(before, after).patch)


def _timed(work: Callable[[], object], runs: int) -> float:
    """The median in ms; what another measurement left behind is collected before the clock starts."""
    took = []
    for _ in range(runs):
        gc.collect()
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)
