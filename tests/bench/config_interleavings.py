"""Reverting in a document that others change: four people publish and take back their changes in random orders, through the whole engine.

Beside the engine goes a model of a few lines: a value of the document is what whoever changed it last made of it, and taking a change back
makes its values what they were before it, or is refused where somebody changed one of them since. After each step the published document
has to be what the model says. The store is the simulator; plans, journal, releases and bytes are the engine's own.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Say, none_of
from tests.bench.house import ROOT

from mlconsole.core.documents import WHOLE
from mlconsole.core.models import Actor
from mlconsole.core.pointers import MISSING, REMOVE, edited, get
from mlconsole.engine import changing, configuring, publishing
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import ChangedOutside, UsageError

if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from engine.config_kit import DOC, TARGET, ConfigHouse, config_house, first

_INTERLEAVINGS, _LONG = 200, 1000
_STEPS = 5
_SHARED = 25
"""Interleavings in one workspace: each goes on from where the one before ended, so that histories get long as well."""
_PEOPLE = tuple(Actor(name, "bastion") for name in ("anna", "tomek", "ola", "jan"))
_REVERTS = 0.45
_SLICES = ("en", "de", "pl", "es", "it", "nl", "cs", "pt")


@dataclass
class Change:
    """What somebody published and has not taken back: pointer → (before, after)."""

    who: Actor
    release: int
    values: Mapping[str, tuple[Any, Any]]


@dataclass
class Model:
    """The document as it should be, and what came of it."""

    value: Any
    standing: list[Change] = field(default_factory=list)
    steps: int = 0
    reverts: int = 0
    later: int = 0
    """Values that others had changed after what was taken back, and that stood: they stay, or the model says so."""
    refused: int = 0
    nothing: int = 0
    wrong: list[str] = field(default_factory=list)


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """200 interleavings; with `long` 1 000."""
    total = _LONG if long else _INTERLEAVINGS
    say(f"{total} interleavings of {_STEPS} steps each, by {len(_PEOPLE)} people")
    parts = [range(begin, min(begin + _SHARED, total)) for begin in range(0, total, _SHARED)]
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1), mp_context=get_context("forkserver")) as pool:
        models = list(pool.map(_several, parts))
    wrong = [text for one in models for text in one.wrong]
    steps, reverts, refused, nothing, later = (
        sum(getattr(one, name) for one in models) for name in ("steps", "reverts", "refused", "nothing", "later")
    )
    yield none_of(
        f"not what the model says, {total} random interleavings",
        wrong,
        f"{len(wrong)} of {steps} steps, {reverts} of them reverts",
        steps=steps,
        reverts=reverts,
    )
    yield Figure("values that others had changed since, and that stayed", f"{later}", values={"value": later})
    yield Figure("beside it: the whole former version put back", f"{later} of them undone", values={"value": later})
    yield Figure("refused, for somebody changed the same value since", f"{refused}; {nothing} had nothing left to take back")


def _several(seeds: range) -> Model:
    """Some interleavings in one workspace, each on the document that the one before left."""
    # In memory where that can be had: it is not the disk that is measured.
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="mlconsole-bench-", dir=memory if os.access(memory, os.W_OK) else None))
    sessions: dict[str, Session] = {}
    try:
        house = config_house(root, _body())
        sessions = {who.user: house.session(who) for who in _PEOPLE}
        first(sessions["anna"])
        model = Model(_live(house))
        for seed in seeds:
            _interleave(house, sessions, model, random.Random(seed), seed)
        return model
    finally:
        for session in sessions.values():
            session.close()
        shutil.rmtree(root, ignore_errors=True)


def _body() -> str:
    entries = {name: {"endpoint": "relevance", "share": 100, "threshold": 0.5 + place / 1000} for place, name in enumerate(_SLICES)}
    return json.dumps({"relevance": entries}, indent=2)


def _interleave(house: ConfigHouse, sessions: Mapping[str, Session], model: Model, draw: random.Random, seed: int) -> None:
    for step in range(_STEPS):
        model.steps += 1
        who = draw.choice(_PEOPLE)
        mine = [one for one in model.standing if one.who == who]
        if mine and draw.random() < _REVERTS:
            what = _take_back(sessions[who.user], model, mine[-1] if draw.random() < 0.5 else draw.choice(mine))
        else:
            what = _publish(sessions[who.user], model, who, draw)
        live = _live(house)
        if live != model.value:
            model.wrong.append(f"{seed}, step {step}: after {what}")
            model.value = live


def _publish(session: Session, model: Model, who: Actor, draw: random.Random) -> str:
    edits: dict[str, Any] = {}
    while not edits:
        drawn = _edits(model.value, draw).items()
        edits = {pointer: to for pointer, to in drawn if get(model.value, pointer, MISSING) != (MISSING if to is REMOVE else to)}
    configuring.edit(session, DOC, edits)
    outcome = changing.run(session, publishing.plan_publish(session, DOC, break_glass="a bench"))
    live = session.registry.live_release("staging", TARGET)
    assert outcome.done, outcome.sentence
    assert live is not None
    values = {pointer: (get(model.value, pointer, MISSING), MISSING if to is REMOVE else to) for pointer, to in edits.items()}
    model.standing.append(Change(who, live.release.number, values))
    model.value = edited(model.value, edits)
    return f"{who.user} published {', '.join(edits)}"


def _take_back(session: Session, model: Model, change: Change) -> str:
    before = copy.deepcopy(model.value)
    overlaps = [pointer for pointer, (was, became) in change.values.items() if get(before, pointer, MISSING) not in (was, became)]
    left = {
        pointer: REMOVE if was is MISSING else was
        for pointer, (was, became) in change.values.items()
        if get(before, pointer, MISSING) == became
    }
    what = f"{change.who.user} took #{change.release} back"
    try:
        plan = publishing.plan_config_revert(session, DOC, change=change.release)
        if overlaps:
            model.wrong.append(f"{what}, though others changed {', '.join(overlaps)} since")
        outcome = changing.run(session, plan)
        assert outcome.done, outcome.sentence
    except ChangedOutside as error:
        if not overlaps:
            model.wrong.append(f"{what}: refused, and nobody had changed it: {error.message}")
        model.refused += 1
        return f"{what}, which was refused"
    except UsageError as error:
        if left and not overlaps:
            model.wrong.append(f"{what}: {error.message}")
        model.nothing += 1
        model.standing.remove(change)
        return f"{what}, of which nothing was left"
    model.reverts += 1
    model.standing.remove(change)
    model.value = edited(before, left)
    theirs = [
        pointer
        for one in model.standing
        if one.who != change.who and one.release > change.release
        for pointer, (was, became) in one.values.items()
        if get(before, pointer, MISSING) == became != was
    ]
    model.later += len(theirs)
    return what


def _edits(value: Any, draw: random.Random) -> dict[str, Any]:
    """One to three values: a threshold, a member that comes, changes or goes, a whole entry that comes or goes."""
    slices = list(value["relevance"])
    found: dict[str, Any] = {}
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = f"/relevance/{draw.choice(slices)}"
        kind = draw.choices(("threshold", "member", "entry"), (70, 20, 10))[0]
        if kind == "threshold":
            found[f"{at}/threshold"] = round(draw.uniform(0.40, 0.60), 3)
        elif kind == "member":
            gone = get(value, f"{at}/min_words", MISSING) is not MISSING and draw.random() < 0.4
            found[f"{at}/min_words"] = REMOVE if gone else draw.randrange(1, 50)
        elif "fr" in slices and draw.random() < 0.5:
            return {"/relevance/fr": REMOVE}
        elif "fr" not in slices:
            return {"/relevance/fr": {"endpoint": "relevance", "share": 100, "threshold": round(draw.uniform(0.40, 0.60), 3)}}
    return found or {f"/relevance/{slices[0]}/threshold": round(draw.uniform(0.40, 0.60), 3)}


def _live(house: ConfigHouse) -> Any:
    published = house.published()
    assert published.share == WHOLE
    return house.live()
