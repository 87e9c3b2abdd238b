"""A config document by hand, as in the frames of the wrong-language mistake: what a console is shown, without an engine behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mlconsole import engine
from mlconsole.core.documents import Document, Format, Layout, config_target
from mlconsole.core.models import Actor
from mlconsole.core.plans import Plan, WayBack
from mlconsole.core.releases import NOTHING, Content, ReleaseKind
from mlconsole.engine.documentviews import (
    DifferenceView,
    DocumentView,
    DraftView,
    EntryView,
    FindingView,
    FlipView,
    ForecastRowView,
    ForecastView,
    TextLineView,
    VersionView,
    WhatIfRowView,
    WhatIfView,
)
from mlconsole.engine.views import GuardView, RolloutView, Snapshot, StageView, WatcherView
from tui.kit import Driver, House, main, opened, took

NAME, TARGET = "models", config_target("models")
NOW = datetime.now(UTC).astimezone().replace(hour=14, minute=10, second=33, microsecond=0)
GUARDIAN = WatcherView(True, "guardian anna@bastion-1 (pid 4188)", NOW - timedelta(days=2), NOW, ("ops",))
BOXES = ((140, 40), (100, 30), (80, 24))
ALL = (*BOXES, (48, 20))
LIVE = {
    "relevance": {"de": 0.62, "en": 0.58, "fr": 0.60, "pl": 0.58},
    "severity": {"de": 0.40, "en": 0.41, "fr": 0.42, "pl": 0.40},
}
NASTY = "\x1b[31mred\x1b[0m\u202egnp.exe\x9b2J\u2066\u2029end"


def at(text: str) -> datetime:
    """A time of that day: `14:18`."""
    hour, minute = (int(part) for part in text.split(":"))
    return NOW.replace(hour=hour, minute=minute, second=0)


# The document.


def body(values: Mapping[str, Mapping[str, float]] = LIVE) -> dict[str, Any]:
    """It as a value."""
    return {
        model: {
            slice_: {"endpoint": f"{model}-v7", "share": 100, "fields": ["title", "body"], "threshold": threshold}
            for slice_, threshold in slices.items()
        }
        for model, slices in values.items()
    }


def entry(model: str, slice_: str, threshold: float, **given: Any) -> EntryView:
    base: dict[str, Any] = {
        "endpoint": f"{model}-v7",
        "share": "100 %",
        "fields": ("title", "body"),
        "threshold": f"{threshold:g}",
        "pointer": f"/{model}/{slice_}",
    }
    return EntryView(model, slice_, **{**base, **given})


def entries(changed: Mapping[str, Mapping[str, str]] | None = None, **new: str) -> tuple[EntryView, ...]:
    """All entries; `changed`: pointer → column → before; `new`: the threshold of a relevance entry."""
    found = []
    for model, slices in LIVE.items():
        for slice_, threshold in slices.items():
            one = entry(model, slice_, threshold)
            before = (changed or {}).get(one.pointer, {})
            found.append(replace(one, changed=before, **({"threshold": new[slice_]} if model == "relevance" and slice_ in new else {})))
    return tuple(found)


def version(number: int, **given: Any) -> VersionView:
    base: dict[str, Any] = {
        "created": NOW - timedelta(days=130 - number),
        "who": "tomek",
        "reason": "severity is calmer",
        "parent": number - 1,
        "touched": ("severity · fr · threshold",),
        "live": number == 126,
        "digest": f"sha256:{number}",
    }
    return VersionView(number, **{**base, **given})


VERSIONS = (version(126), version(125, touched=("relevance · en · threshold", "relevance · pl · threshold")), version(124, parent=None))
CHANGE = DifferenceView("/relevance/pl/threshold", "relevance · pl · threshold", "changed", "0.58", "0.48", -0.1724, 214)
FINDINGS = (
    FindingView("look", "reason", "the reason speaks of de, the change touches only pl", CHANGE.pointer, 214),
    FindingView("look", "outlier", "0.48 lies outside the history of pl (0.55 – 0.61) and of its siblings", CHANGE.pointer, 214),
    FindingView("ok", "schema", "schema"),
    FindingView("ok", "fields", "fields exist in pl"),
    FindingView("ok", "shares", "shares sum to 100"),
    FindingView("ok", "slices", "4 of 4 languages"),
    FindingView("ok", "endpoints", "endpoints InService"),
)
STOP = FindingView("stop", "schema", "threshold has to be at most 1, it is 48", CHANGE.pointer, 214)
TEXT = (
    TextLineView("…", ""),
    TextLineView("-", '        "threshold": 0.58,', 214, None, "relevance › pl"),
    TextLineView("+", '        "threshold": 0.48,', None, 214, "relevance › pl"),
)


def draft(**given: Any) -> DraftView:
    """The wrong language: it was meant for de."""
    base: dict[str, Any] = {
        "base": 126,
        "edition": 3,
        "who": "anna",
        "changed": NOW,
        "reason": "de misses too many",
        "differences": (CHANGE,),
        "findings": FINDINGS,
        "text": TEXT,
        "confirm": "pl",
        "about": "1 value changes for one language of relevance",
    }
    return DraftView(**{**base, **given})


def document(**given: Any) -> DocumentView:
    """126 is live, as mlconsole left it; no draft."""
    base: dict[str, Any] = {
        "environment": "staging",
        "version": 126,
        "digest": "sha256:126",
        "latest": 126,
        "release": 9,
        "poll_lag": 45.0,
        "entries": entries(),
        "versions": VERSIONS,
        "way_back": "to 125: about 70 s, only this value",
        "policy": "careful",
        "slice_word": "language",
    }
    return DocumentView(**{"name": NAME, **base, **given})


def mistake(**given: Any) -> DocumentView:
    """The frame of Thursday 14:10: the threshold of pl is changed, and the reason speaks of de."""
    changed = entries({"/relevance/pl": {"threshold": "0.58"}}, pl="0.48")
    return document(**{"entries": changed, "draft": draft(), "way_back": "to 125: about 70 s, only this value", **given})


def what_if(**given: Any) -> WhatIfView:
    """Pl gets 4.4 times as many alerts."""
    figures = {"de": ("0.62", 40.0, 40.0, 0, 158_000), "en": ("0.58", 118.0, 118.0, 0, 3_200_000), "fr": ("0.60", 31.0, 31.0, 0, 605_000)}
    rows = [
        WhatIfRowView("relevance", name, f"/relevance/{name}", told, before, then, flips, n, False, "not touched")
        for name, (told, before, then, flips, n) in figures.items()
    ]
    flips = tuple(FlipView(NOW - timedelta(hours=place), f"req-{place}", "pl", 0.5, False, True, f"tytuł {place}") for place in range(12))
    touched = WhatIfRowView(
        "relevance", "pl", "/relevance/pl", "0.58 → 0.48", 22.0, 97.0, 525, 698_000, True, "its record is 31", examples=flips
    )
    other = WhatIfRowView("severity", "de", "/severity/de", "0.4", 3.0, 3.0, 0, 900, False)
    return WhatIfView(**{"days": 7.0, "rows": (*rows, touched, other), "n": 4_700_000, **given})


# What is being published.


def forecast(**given: Any) -> ForecastView:
    rows = (
        ForecastRowView("relevance", "de", 40.0, 52.0, 1, 157, "open", "first answer about 23:00"),
        ForecastRowView("relevance", "en", 118.0, 118.0, 1, 3169, "not touched"),
        ForecastRowView("relevance", "fr", 31.0, 31.0, 0, 600, "not touched"),
        ForecastRowView("relevance", "pl", 22.0, 22.0, 0, 693, "not touched"),
    )
    return ForecastView(**{"version": 127, "published": at("14:18"), "rows": rows, **given})


STAGES = ("20 %", "40 %", "60 %", "80 %", "100 %", "bake 30 min")


def rollout(state: str = "waiting", stage: int = 1, **given: Any) -> RolloutView:
    """127 is at 40 % of the clients."""
    stages = tuple(
        StageView(
            name,
            (2000, 4000, 6000, 8000, 10_000, 10_000)[place],
            "done" if place < stage else "now" if place == stage else "to come",
            at("14:10") + timedelta(minutes=6 * (place - stage + 1)),
        )
        for place, name in enumerate(STAGES)
    )
    guards = (
        GuardView("errors", "pass", new=0.001, stable=0.001, limit=0.01, n=1204),
        GuardView("errors", "pass", "language=fr", new=0.002, stable=0.001, limit=0.01, n=300),
        GuardView("identical", "pass", new=0.03, limit=0.5, n=1190),
        GuardView("answers in every slice", "pass", new=4.0, n=1204, text="4 of 4"),
        GuardView("over threshold", "inconclusive", "language=de", new=0.006, limit=0.02, n=157, need=300, seconds=32_000.0),
    )
    base: dict[str, Any] = {
        "policy": "linear",
        "variant": "127",
        "stable": ("126",),
        "started": at("14:08"),
        "who": "anna@bastion-1",
        "reason": "de misses too many",
        "guards": guards,
        "controls": ("pause", "next", "revert"),
        "way_back": "to 126: about 70 s, only this value",
        "done_about": at("15:18"),
        "checked": NOW - timedelta(seconds=6),
        "driver": "guardian@bastion-1 (pid 4188)",
        "release": 10,
        "back_to": 9,
        "ended": NOW if state in ("done", "reverted", "failed") else None,
    }
    return RolloutView("b21c", TARGET, "staging", state, stage=stage, **{**base, "stages": stages, **given})


def growing(**given: Any) -> DocumentView:
    """127 beside 126."""
    versions = (version(127, who="anna", reason="de misses too many", touched=("relevance · de · threshold",), live=True), *VERSIONS)
    base: dict[str, Any] = {
        "version": 127,
        "before": 126,
        "share": 4000,
        "latest": 127,
        "publication": "DEPLOYING 40 % (deployment 66)",
        "moving": True,
        "versions": versions,
        "entries": entries(de="0.58"),
        "forecast": forecast(),
        "way_back": "to 126: about 70 s, only this value",
    }
    return document(**{**base, **given})


PUBLISHED = DifferenceView("/relevance/de/threshold", "relevance · de · threshold", "changed", "0.62", "0.58", -0.0645, 7)


# The console with it.


def with_documents(snapshot: Snapshot, *documents: DocumentView, rollouts: Sequence[RolloutView] = (), **given: Any) -> Snapshot:
    status = {"watcher": GUARDIAN, "at": NOW, **given.pop("status", {})}
    more = {"documents": documents, "rollouts": tuple(rollouts), "seen": NOW, "who": "anna@bastion-1", **given}
    return replace(snapshot, status=replace(snapshot.status, **status), **more)


@asynccontextmanager
async def shown(
    house: House,
    *documents: DocumentView,
    size: tuple[int, int] = (100, 30),
    key: str = "4",
    rollouts: Sequence[RolloutView] = (),
    production: bool = False,
    read_only: bool = False,
    **given: Any,
) -> AsyncIterator[Driver]:
    """The console with these documents, on Config; nobody looks further."""
    snapshot = with_documents(took(house), *documents, rollouts=rollouts, **given)
    async with opened(house, size, read_only=read_only) as driver:
        app = driver.app
        await driver.until(lambda: not app._looking, "no look under way")
        app._looking = True  # this state of the world stays
        app.now = lambda: snapshot.status.at  # type: ignore[method-assign]
        settings = SimpleNamespace(layout=Layout(), format=Format.JSON, file=Path("models.json"))
        app.workspace = replace(app.workspace, configs=dict.fromkeys([one.name for one in documents], settings))  # type: ignore[arg-type]
        app.session().workspace = app.workspace
        app.environment = replace(app.environment, production=production)
        app.snapshot = snapshot
        app.subject = ""
        app.render_all()
        if key:
            await driver.press(*key)
        await driver.pilot.pause()
        yield driver


async def told(driver: Driver, words: str) -> None:
    """Wait for a sentence in the message line, which may be cut there."""
    await driver.until(lambda: words in driver.app._said, words)


def cell(driver: Driver) -> tuple[str, str]:
    """The row and the column that the cursor is on."""
    matrix: Any = main(driver)
    return (matrix.cursor.key if matrix.cursor else "", matrix.cell)


# An engine that only takes notes.


def plan(**given: Any) -> Plan:
    base: dict[str, Any] = {
        "id": "b21c",
        "environment": "staging",
        "endpoint": TARGET,
        "scope": TARGET,
        "kind": ReleaseKind.PUBLISH,
        "made_at": NOW,
        "made_by": Actor("anna", "bastion-1"),
        "made_from": "f",
        "made_from_release": 9,
        "now": Content(document=Document(NAME, 126, "sha256:126")),
        "then": Content(document=Document(NAME, 127, "sha256:127", before=126)),
        "steps": (),
        "way_back": WayBack(9, NOTHING, 70.0, True),
        "command": "mlconsole config publish models --at-once",
        "notes": ("clients poll: everywhere 45 s after it is published",),
    }
    return Plan(**{**base, **given})


@dataclass
class Asked:
    """What was asked of the engine, in order; and what it answers."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    answer: DocumentView = field(default_factory=mistake)
    what_if: Any = field(default_factory=what_if)
    """The answer, or what makes it."""
    differences: tuple[DifferenceView, ...] = (PUBLISHED,)
    text: str = json.dumps(body(), indent=2)
    """What is live, and each version."""
    drafted: str = json.dumps(body({**LIVE, "relevance": {**LIVE["relevance"], "pl": 0.48}}), indent=2)
    confirm: str | None = None
    refuse: Exception | None = None
    """Why whatever changes something is refused."""

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


def faked(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Asked:
    """In place of `engine.configuring`, `publishing`, `growing` and `rolling`: it takes notes, and answers what it was given."""
    asked = Asked(**given)

    def noted(name: str, result: Any) -> Any:
        def call(session: Any, *words: Any, **more: Any) -> Any:
            del session
            asked.calls.append((name, *words, more))
            if asked.refuse is not None and name not in ("what_if", "text_of", "compare"):
                raise asked.refuse
            found = result(*words) if name == "text_of" else result()
            if isinstance(found, Exception):
                raise found
            return found

        return call

    stages = SimpleNamespace(
        id="b21c",
        endpoint=TARGET,
        environment="staging",
        now="#9  config 126",
        then="config 127",
        path="20 % → 40 % → 60 % → 80 % → 100 % → bake 30 min",
        ends="about 15:18",
        back="u at any time: to 126, about 45 s, only what this changes",
        alone="any FAIL goes back by itself",
        watch="guardian@bastion-1 (pid 4188)",
        guards="errors, identical",
        notes=(),
        findings=(),
        refused="",
        glass="",
        command="mlconsole config publish models --policy careful",
    )
    rooms: dict[str, dict[str, Any]] = {
        "configuring": {
            **{name: noted(name, lambda: asked.answer) for name in ("edit", "replace", "move", "discard", "rebase")},
            "adopt": noted("adopt", lambda: SimpleNamespace(number=11, kind="kept", content="config 128")),
            "what_if": noted("what_if", lambda: asked.what_if() if callable(asked.what_if) else asked.what_if),
            "text_of": noted("text_of", lambda _, what: asked.drafted if what == "draft" else asked.text),
            "compare": noted("compare", lambda: (asked.differences, TEXT)),
        },
        "publishing": {"plan_publish": noted("plan_publish", lambda: plan(confirm=asked.confirm))},
        "growing": {
            "plan_config_rollout": noted("plan_config_rollout", lambda: SimpleNamespace(**{**vars(stages), "confirm": asked.confirm}))
        },
        "rolling": {"begin": noted("begin", rollout), "control": noted("control", rollout)},
    }
    for name, parts in rooms.items():
        module = ModuleType(f"mlconsole.engine.{name}")
        for part, function in parts.items():
            setattr(module, part, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(engine, name, module, raising=False)
    return asked
