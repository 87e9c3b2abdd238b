"""Reverting one endpoint in a document in AppConfig that others change: people move the shares of two endpoints, publish past us, go back.

Beside the engine goes a model of a few lines: an endpoint's shares are what its last change made them, going back to an earlier release
makes them what they were in it, and everything else in the document is what whoever changed it last wrote. After each step what an
application reads (over `appconfigdata`) has to be what the model says. Endpoints are simulated; AppConfig is ministack over HTTP, with both
optimistic locks.
"""

from __future__ import annotations

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

if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from aws.appconfig_house import AwsHouse, aws_house, stands
from aws.parts import Servers
from mlconsole.core.models import Actor
from mlconsole.core.plans import Plan
from mlconsole.core.pointers import edited
from mlconsole.engine import changing, planning
from mlconsole.engine.session import Session

_INTERLEAVINGS, _LONG = 200, 1000
_STEPS = 4
_SHARED = 25
"""Interleavings in one workspace: each goes on from where the one before ended."""
_WORKERS = 2
_PEOPLE = tuple(Actor(name, "bastion") for name in ("anna", "tomek"))
_ENDPOINTS: Mapping[str, tuple[str, ...]] = {"relevance": ("en", "pl"), "severity": ("en",)}

_Splits = dict[str, dict[str, int]]
"""Slice → variant → percent, as applications read it, without those that get nothing."""


@dataclass
class Shares:
    """One endpoint's shares, and those of its releases."""

    common: dict[str, int]
    own: dict[str, dict[str, int]] = field(default_factory=dict)
    releases: dict[int, tuple[dict[str, int], dict[str, dict[str, int]]]] = field(default_factory=dict)

    def splits(self, slices: tuple[str, ...]) -> _Splits:
        """As the document says them."""
        return {name: _given(self.own.get(name, self.common)) for name in slices}

    def take(self, slices: tuple[str, ...], common: Mapping[str, int], own: Mapping[str, Mapping[str, int]]) -> None:
        """These from now on. The document has no row for all: that for all is what most rows say, of several the first."""
        rows = {name: _given(own.get(name, common)) for name in slices}
        self.common = max(rows.values(), key=list(rows.values()).count)
        self.own = {name: split for name, split in rows.items() if split != self.common}


@dataclass
class Model:
    """The document as it should be, and what came of it."""

    value: Any
    """Without the shares."""
    shares: dict[str, Shares]
    steps: int = 0
    reverts: int = 0
    others: int = 0
    """Changes of others that stood when an endpoint went back: a whole former version put back would have undone them."""
    wrong: list[str] = field(default_factory=list)
    since: dict[str, int] = field(default_factory=dict)
    """Endpoint → changes of the document by others since its last change."""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """200 interleavings; with `long` 1 000."""
    total = _LONG if long else _INTERLEAVINGS
    say(f"{total} interleavings of {_STEPS} steps each, by {len(_PEOPLE)} people, and by somebody past mlconsole")
    parts = [range(begin, min(begin + _SHARED, total)) for begin in range(0, total, _SHARED)]
    with ProcessPoolExecutor(_WORKERS, mp_context=get_context("forkserver")) as pool:
        models = [model for found in pool.map(_several, [parts[worker::_WORKERS] for worker in range(_WORKERS)]) for model in found]
    wrong = [text for one in models for text in one.wrong]
    steps, reverts, others = (sum(getattr(one, name) for one in models) for name in ("steps", "reverts", "others"))
    yield none_of(
        f"AppConfig: not what the model says, {total} random interleavings",
        wrong,
        f"{len(wrong)} of {steps} steps, {reverts} of them reverts",
        steps=steps,
        reverts=reverts,
    )
    yield Figure("changes of others since, that stayed", f"{others}", values={"value": others})
    yield Figure("beside it: AllowRevert, or the whole former version", f"{others} of them undone", values={"value": others})


def _several(parts: list[range]) -> list[Model]:
    """Some workspaces, one after the other, on servers of their own."""
    from tests.bench.aws_house import servers

    memory = Path("/dev/shm")
    found = []
    with servers() as made:
        for seeds in parts:
            root = Path(tempfile.mkdtemp(prefix="mlconsole-bench-", dir=memory if os.access(memory, os.W_OK) else None))
            try:
                found.append(_workspace(made, root, seeds))
            finally:
                shutil.rmtree(root, ignore_errors=True)
    return found


def _workspace(made: Servers, root: Path, seeds: range) -> Model:
    made.reset()
    house = aws_house(made, root)
    stands(house)
    sessions = [house.session(who) for who in _PEOPLE]
    try:
        model = Model(_without_shares(house.live()), {name: Shares({"v3": 100}) for name in _ENDPOINTS}, since=dict.fromkeys(_ENDPOINTS, 0))
        for endpoint in _ENDPOINTS:
            plan = planning.plan_deploy(sessions[0], endpoint, "4", share=0)
            assert changing.run(sessions[0], plan).done
            _released(sessions[0], model, endpoint)
        for seed in seeds:
            draw = random.Random(seed)
            for step in range(_STEPS):
                model.steps += 1
                what = _step(house, draw.choice(sessions), model, draw, last=step == _STEPS - 1)
                _compare(house, model, f"{seed}, step {step}: after {what}")
        return model
    finally:
        for session in sessions:
            session.close()


def _step(house: AwsHouse, session: Session, model: Model, draw: random.Random, *, last: bool) -> str:
    endpoint = draw.choice(list(_ENDPOINTS))
    kind = "revert" if last else draw.choices(("shift", "slice", "outside", "revert"), (30, 15, 35, 20))[0]
    shares = model.shares[endpoint]
    if kind == "outside":
        return _outside(house, model, draw)
    if kind == "revert":
        return _revert(session, model, endpoint, draw)
    share = draw.choice([one for one in range(0, 101, 5) if one != shares.common.get("v4", 0)])
    split = {"v3": 100 - share, "v4": share}
    if kind == "slice":
        name = draw.choice(_ENDPOINTS[endpoint])
        plan = planning.plan_traffic(session, endpoint, _points(split), slice_value=("language", name))
        shares.take(_ENDPOINTS[endpoint], shares.common, {**shares.own, name: split})
    else:
        plan = planning.plan_traffic(session, endpoint, _points(split))
        shares.take(_ENDPOINTS[endpoint], split, shares.own)
    return _done(session, model, endpoint, plan, f"{kind} of {endpoint} to {share}")


def _revert(session: Session, model: Model, endpoint: str, draw: random.Random) -> str:
    shares = model.shares[endpoint]
    target = draw.choice(list(shares.releases)[-6:])
    shares.take(_ENDPOINTS[endpoint], *shares.releases[target])
    model.reverts += 1
    model.others += model.since[endpoint]
    return _done(session, model, endpoint, planning.plan_revert(session, endpoint, to=target), f"{endpoint} went back to #{target}")


def _done(session: Session, model: Model, endpoint: str, plan: Plan, what: str) -> str:
    if not plan.nothing_to_do:
        outcome = changing.run(session, plan)
        if not outcome.done:
            model.wrong.append(f"{what}: {outcome.sentence}")
        _released(session, model, endpoint)
    return what


def _released(session: Session, model: Model, endpoint: str) -> None:
    live = session.registry.live_release("staging", endpoint)
    assert live is not None
    shares = model.shares[endpoint]
    shares.releases[live.release.number] = dict(shares.common), {name: dict(split) for name, split in shares.own.items()}
    model.since[endpoint] = 0
    for other in model.since:
        model.since[other] += other != endpoint


def _outside(house: AwsHouse, model: Model, draw: random.Random) -> str:
    """Somebody writes into the document with a script of their own, and deploys it."""
    endpoint = draw.choice(list(_ENDPOINTS))
    at = f"/{endpoint}/{draw.choice(_ENDPOINTS[endpoint])}"
    pointer, value = draw.choice(
        (
            (f"{at}/threshold", round(draw.uniform(0.40, 0.60), 3)),
            (f"{at}/min_words", draw.randrange(1, 50)),
            ("/owner", draw.choice(("anna", "jan", "ola"))),
        )
    )
    house.there.publish_outside(json.dumps(edited(house.live(), {pointer: value}), indent=draw.choice((None, 1, 4))).encode())
    model.value = edited(model.value, {pointer: value})
    for name in model.since:
        model.since[name] += 1
    return f"somebody set {pointer} to {value}"


def _compare(house: AwsHouse, model: Model, where: str) -> None:
    live = house.live()
    found = {name: {slice_: _given(live[name][slice_].get("split", {})) for slice_ in slices} for name, slices in _ENDPOINTS.items()}
    wanted = {name: model.shares[name].splits(slices) for name, slices in _ENDPOINTS.items()}
    if found != wanted:
        model.wrong.append(f"{where}: shares are {found}, not {wanted}")
    if _without_shares(live) != model.value:
        model.wrong.append(f"{where}: the rest is {_without_shares(live)}, not {model.value}")
        model.value = _without_shares(live)


def _without_shares(live: Any) -> Any:
    return {
        name: {slice_: {key: one for key, one in entry.items() if key != "split"} for slice_, entry in value.items()}
        if isinstance(value, dict)
        else value
        for name, value in live.items()
    }


def _points(split: Mapping[str, int]) -> dict[str, int]:
    return {name: share * 100 for name, share in split.items()}


def _given(split: Mapping[str, int]) -> dict[str, int]:
    return {name: share for name, share in split.items() if share}
