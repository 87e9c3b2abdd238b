"""Health by hand, as in the frames of the Saturday incident: what a console is shown, without a store or a guardian behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlconsole.engine.views import (
    ActionRunView,
    AlarmView,
    AnswerView,
    EndpointHealthView,
    FiguresView,
    FindingView,
    HealthView,
    HistogramView,
    MarkView,
    PairsView,
    PairView,
    ProbeView,
    SliceView,
    Snapshot,
    State,
    TrendView,
    TriageView,
    WatcherView,
)
from tui.kit import Driver, House, opened, took

LANGUAGES = ("de", "en", "fr", "pl")
NOW = datetime.now(UTC).astimezone().replace(hour=9, minute=14, second=20, microsecond=0)
GUARDIAN = WatcherView(True, "guardian anna@bastion-1 (pid 4188)", NOW - timedelta(days=2), NOW, ("ops",))


def at(text: str) -> datetime:
    """A time of that day: `08:52:10`."""
    hour, minute, *second = (int(part) for part in text.split(":"))
    return NOW.replace(hour=hour, minute=minute, second=second[0] if second else 0)


def figures(**given: Any) -> FiguresView:
    base: dict[str, Any] = {
        "n": 1148,
        "seconds": 3600.0,
        "rate": 0.9,
        "errors": 0.002,
        "p95": 31.0,
        "same": 0.03,
        "over": 0.002,
        "lowest": 0.02,
        "highest": 0.98,
    }
    return FiguresView(**{**base, **given})


USUAL = figures(n=0)
COLLAPSED = figures(same=1.0, over=1.0, lowest=0.73, highest=0.73)


def well(name: str, **given: Any) -> EndpointHealthView:
    slices = [SliceView("", "pass", figures(), USUAL)]
    slices += [SliceView(f"language={one}", "pass", figures(n=280, errors=0.001 * place), USUAL) for place, one in enumerate(LANGUAGES)]
    base: dict[str, Any] = {
        "endpoint": name,
        "verdict": "pass",
        "title": "ok",
        "figures": figures(),
        "usual": USUAL,
        "slices": tuple(slices),
    }
    return EndpointHealthView(**{**base, **given})


def trends() -> tuple[TrendView, ...]:
    begin = at("08:00")
    quiet, loud = (0.03,) * 52, (1.0,) * 22
    return (
        TrendView("same output", "%", begin, 60.0, quiet + loud, 0.03),
        TrendView("over threshold", "%", begin, 60.0, (0.002,) * 52 + loud, 0.002),
        TrendView("errors", "%", begin, 60.0, (0.002,) * 74, 0.002),
        TrendView("redis keys", "", begin, 60.0, (1_214_883.0,) * 48 + (0.0,) * 26),
    )


MARKS = (MarkView(at("08:48:02"), "probe", "redis"), MarkView(at("08:52:10"), "alarm", "alarm"))
REDIS = ProbeView(
    "redis-embeddings",
    "redis",
    False,
    "0 keys, wanted > 1 M, memory 1 %",
    at("08:48:02"),
    at("09:14:18"),
    ("relevance", "category"),
    "refill-embeddings",
)
PING = ProbeView("relevance-v6", "http", True, "/ping", at("08:00"), at("09:14:18"))


def finding(endpoint: str, **given: Any) -> FindingView:
    base: dict[str, Any] = {
        "question": "identical",
        "endpoint": endpoint,
        "variants": ("v6",),
        "slices": ("", *(f"language={one}" for one in LANGUAGES)),
        "since": at("08:52:10"),
        "seen": at("09:14:18"),
        "text": "1 148 predictions, all 0.73 · 1 121 inputs",
        "value": 1.0,
        "usual": 0.03,
        "n": 1148,
        "well": False,
        "proven": {},
    }
    return FindingView(**{**base, **given})


TRIAGE = TriageView(
    title="ALL PREDICTIONS IDENTICAL",
    lines=(
        ("since", "08:52:10 · 1 148 predictions, all 0.73 · 1 121 inputs"),
        ("versions", "v6 ✖  the only one that answers"),
        ("languages", "de ✖  en ✖  fr ✖  pl ✖   all of them"),
        ("endpoints", "relevance ✖  category ✖   same minute"),
        ("usual", "3 % equal, 0.2 % over threshold. Now 100 %, 100 %"),
        ("effect", "1 148 predictions were wrong, 1 148 decisions over the threshold"),
        ("last change", "5 d ago (config 118, severity)   not this"),
        ("just before", "08:48 redis-embeddings 1 214 883 keys → 0"),
    ),
    revert_helps=False,
    revert="would NOT help: nothing was released for 5 d before it, and 2 endpoints broke in the same minute.",
    fix="refill-embeddings",
    fix_told="~6 min, and checks it (keys, golden)",
    effect=1148,
    ordinary="errors 0.2 %, p95 31 ms: every ordinary alarm says OK",
)


def alarm(**given: Any) -> AlarmView:
    base: dict[str, Any] = {
        "number": 31,
        "environment": "staging",
        "state": "firing",
        "title": "ALL PREDICTIONS IDENTICAL",
        "question": "identical",
        "endpoints": ("relevance", "category"),
        "since": at("08:52:10"),
        "opened": at("08:53:01"),
        "findings": (finding("relevance"), finding("category")),
        "triage": TRIAGE,
        "told": ("paged ops 08:53",),
        "events": (
            (at("08:48:02"), "redis-embeddings 1 214 883 keys → 0 (new host 10.0.4.17)"),
            (at("08:52:10"), "first identical window; alarm 08:53:01; paged ops"),
        ),
    }
    return AlarmView(**{**base, **given})


def _collapsed(name: str) -> EndpointHealthView:
    slices = [SliceView("", "fail", COLLAPSED, USUAL, AnswerView("identical", "fail", True, name, text="100 %"))]
    slices += [SliceView(f"language={one}", "fail", replace(COLLAPSED, n=280), USUAL) for one in LANGUAGES]
    return well(
        name,
        verdict="fail",
        title="identical",
        figures=COLLAPSED,
        slices=tuple(slices),
        answers=(AnswerView("identical", "fail", True, name, text="100 %"),),
        trends=trends(),
        marks=MARKS,
        alarm=31,
        since=at("08:52:10"),
    )


QUIET_NAMES = ("severity", "dedupe", "delay-risk", "entity", "sentiment", "supplier", "translation")


def saturday(**given: Any) -> HealthView:
    """09:14, nobody has it."""
    endpoints = (_collapsed("relevance"), _collapsed("category"), *(well(name) for name in QUIET_NAMES))
    base: dict[str, Any] = {
        "at": NOW,
        "as_of": NOW - timedelta(seconds=3),
        "endpoints": endpoints,
        "alarms": (alarm(),),
        "probes": (REDIS, PING),
    }
    return HealthView(**{**base, "watcher": GUARDIAN, **given})


def recovery() -> HealthView:
    """09:25: refilled; one language is proven."""
    now = at("09:25:20")
    proven = {"language=en": 88, "language=pl": 19, "language=fr": 17, "language=de": 3}
    seen = at("09:22:52")
    slices = [SliceView("", "pass", figures(same=0.04), USUAL)]
    for name, good in proven.items():
        shown = figures(n=good, same=0.33 if good < 10 else 0.05, lowest=0.11, highest=0.52, rate=good / 150)
        slices.append(SliceView(name, "inconclusive" if good < 30 else "pass", shown, USUAL, need=max(0, 30 - good)))
    own = finding("relevance", slices=tuple(proven), proven=proven, seen=seen)
    one = alarm(
        state="recovering",
        endpoints=("relevance",),
        findings=(own,),
        triage=replace(TRIAGE, effect=1590, revert="would NOT help: a dependency was the cause, not a release."),
        acknowledged_by="anna@bastion-1",
        acknowledged_at=at("09:15:40"),
        acknowledged_text="refilling redis",
        events=(
            *alarm().events,
            (at("09:15:40"), 'anna acknowledged: "refilling redis"'),
            (at("09:16:02"), "F refill-embeddings by anna, 6 min 50, 1 214 883 keys, golden 40/40"),
            (seen, "first differing predictions"),
        ),
    )
    relevance = well(
        "relevance", title="recovering, 1 of 4 proven", slices=tuple(slices), trends=trends(), marks=MARKS, alarm=31, since=at("08:52:10")
    )
    run = ActionRunView("r1", "refill-embeddings", "done", "anna@bastion-1", at("09:16:02"), at("09:22:52"), "1 214 883 keys", 31)
    probes = (replace(REDIS, ok=True, text="1 214 883 keys"), PING)
    endpoints = (relevance, *(well(name) for name in QUIET_NAMES))
    return HealthView(now, now, endpoints, (one,), probes, GUARDIAN, (run,))


def quiet(**given: Any) -> HealthView:
    """All is well; relevance has a shadow and a baseline."""
    pairs = PairsView(
        "v6",
        "v7",
        13_860,
        1800.0,
        0.971,
        0.05,
        0.002,
        {"language=de": (2, 1000), "language=pl": (9, 1000)},
        3.0,
        12,
        1,
        (PairView("req-1", at("09:10"), "language=pl", 0.2, 0.8, 30.0, 33.0),),
    )
    edges = tuple(place / 10 for place in range(11))
    histogram = HistogramView(edges, (0.3, 0.2, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1), (0.1,) * 10, 1148, 0.03)
    note = AnswerView("data cut-off", "fail", False, "relevance", "v6", text="412 d old")
    relevance = well("relevance", title="ok · note", trends=trends()[2:3], pairs=pairs, histogram=histogram, answers=(note,))
    base: dict[str, Any] = {"at": NOW, "as_of": NOW, "endpoints": (relevance, *(well(name) for name in QUIET_NAMES)), "probes": (PING,)}
    return HealthView(**{**base, "watcher": GUARDIAN, **given})


def no_data() -> HealthView:
    """Nobody asks any more."""
    nothing = FiguresView()
    slices = (SliceView("", "no_data", nothing, USUAL),)
    gap = TrendView("same output", "%", at("08:00"), 60.0, (0.03,) * 40 + (None,) * 34, 0.03)
    one = well("relevance", verdict="no_data", title="no data", figures=nothing, slices=slices, trends=(gap,))
    return quiet(endpoints=(one,), probes=(replace(PING, ok=None, text="not asked yet"),), as_of=at("08:40"))


def with_health(snapshot: Snapshot, health: HealthView | None, names: Sequence[str] = (), **status: Any) -> Snapshot:
    """The snapshot with that health; its endpoints are those of the health, with the state that it gives them."""
    first = snapshot.status.endpoints[0]
    states = {"pass": State.OK, "no_data": State.NO_DATA, "fail": State.FAILING}
    endpoints = snapshot.status.endpoints
    if health is not None:
        endpoints = tuple(
            replace(first, name=one.endpoint, state=states.get(one.verdict, State.OK), finding=one.title if one.verdict != "pass" else "")
            for one in health.endpoints
        )
    watcher = health.watcher if health is not None else WatcherView(alive=False)
    alarms = health.open_alarms if health is not None else ()
    given = {"endpoints": endpoints, "watcher": watcher, "alarms": alarms, "at": health.at if health else snapshot.status.at, **status}
    return replace(snapshot, status=replace(snapshot.status, **given), health=health, seen=given["at"])


@asynccontextmanager
async def shown(
    house: House, health: HealthView | None, size: tuple[int, int] = (100, 30), *, key: str = "5", **status: Any
) -> AsyncIterator[Driver]:
    """The console with that health, on the Health screen; nobody looks further."""
    snapshot = with_health(took(house), health, **status)
    async with opened(house, size) as driver:
        await driver.until(lambda: not driver.app._looking, "no look under way")
        driver.app._looking = True  # this state of the world stays
        driver.app.now = lambda: snapshot.status.at  # type: ignore[method-assign]
        driver.app.snapshot = snapshot
        driver.app.subject = ""
        driver.app.render_all()
        if key:
            await driver.press(*key)
        await driver.pilot.pause()
        yield driver
