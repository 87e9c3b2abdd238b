"""Values to store, a clock that tests set, and processes to store them from."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlconsole.core.models import Actor, Artifact, Code, Data, Field, Metrics, ModelVersion, Signature, Slice
from mlconsole.core.operations import Lease, StepRecord, StepState
from mlconsole.core.plans import Plan, WayBack
from mlconsole.core.releases import NOTHING, Content, Release, ReleaseKind, Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Shadow, SliceSplit, Traffic
from mlconsole.registry import Registry

ENV = "production"
TOMEK = Actor("tomek", "bastion-1", uid=1000, ssh_client="10.0.0.7")
OLA = Actor("ola", "bastion-1")
START = datetime(2026, 3, 14, 14, 2, tzinfo=UTC)


class SetClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.wall = START
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.wall

    def elapsed(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)


def content(*versions: str) -> Content:
    """All traffic to the last of the versions."""
    variants = tuple(Variant(f"v{version}", "relevance", version, f"sha256:{version * 64}"[:71]) for version in versions)
    return Content(variants, Traffic({variant.name: 10_000 if variant is variants[-1] else 0 for variant in variants}))


def version(name: str = "4", digest: str = "a", model: str = "relevance") -> ModelVersion:
    return ModelVersion(
        model=model,
        version=name,
        artifact=Artifact(f"models/{model}/{name}", "sha256:" + digest * 64, 12_345, 3),
        signature=Signature(
            (Field("title", "BYTES"),), (Field("score", "FP32"),), "score", 0.6, (Slice("language", "/language", ("en", "pl")),)
        ),
        owner="ola",
        data=Data("s3://events/2026-02", "2026-02-28"),
        metrics=Metrics("sha256:eval", {"auc": 0.91, "nothing": float("nan")}),
        parameters={"c": 1.0, "words": ["a", None]},
        baseline={"mean": 0.4},
        preprocessing="in the artifact",
        registered_at=START,
        registered_by=OLA,
        code=Code("9e2b7aa", dirty=False),
        dependencies=("onnxruntime==1.20",),
    )


def release(found: Content | None = None, *, endpoint: str = "relevance", kind: ReleaseKind = ReleaseKind.AS_FOUND) -> Release:
    return Release(ENV, endpoint, 0, content("3") if found is None else found, kind, START, TOMEK)


def step(phase: Phase = Phase.PREPARE, summary: str = "start v4") -> Step:
    return Step("serving", "start server", summary, phase, ensures=content("4").variants, details={"port": 18080})


STEPS = (step(), step(Phase.CHECK, "smoke"), step(Phase.SHIFT, "shift"), step(Phase.CLEAN, "stop v3"))


def plan(plan_id: str = "7f3a", *, endpoint: str = "relevance", scope: str | None = None, kind: ReleaseKind = ReleaseKind.DEPLOY) -> Plan:
    then = Content(
        content("3", "4").variants,
        Traffic({"v3": 9000, "v4": 1000}, (SliceSplit("language", "pl", {"v3": 10_000}),), None),
    )
    return Plan(
        id=plan_id,
        environment=ENV,
        endpoint=endpoint,
        scope=endpoint if scope is None else scope,
        kind=kind,
        made_at=START,
        made_by=TOMEK,
        made_from="abc",
        made_from_release=None,
        now=content("3"),
        then=then,
        steps=STEPS,
        way_back=WayBack(None, NOTHING, 2.5, warm=True),
        command=f"mlconsole deploy {endpoint} 4",
        reason="better on pl",
        notes=("v4 is new",),
    )


def shadowed() -> Content:
    return Content(content("3", "4").variants, Traffic({"v3": 10_000, "v4": 0}, (), Shadow("v4", 2000)))


def record(
    operation: str, index: int, *, place: int | None = None, back: bool = False, state: StepState = StepState.INTENDED
) -> StepRecord:
    """A line of the journal; of the plan's step number `place` (from 0), else of the one that `index` says."""
    ended = START + timedelta(seconds=index + 1) if state is not StepState.INTENDED else None
    return StepRecord(operation, index, STEPS[index if place is None else place], back, {"v3": "ready"}, START, state, ended)


def begun(registry: Registry, plan_id: str = "7f3a", endpoint: str = "relevance", purpose: str = "deploying v4") -> Lease:
    """An operation that has just been started, and its lease."""
    lease = registry.take_lease(ENV, endpoint, TOMEK, plan_id, purpose)
    registry.start_operation(plan(plan_id, endpoint=endpoint), TOMEK, lease, content("3"), None)
    return lease


def processes(work: Callable[..., Any], each: list[tuple[Any, ...]]) -> list[Any]:
    """What `work` returned (or the text of what it raised) in as many forked processes as there are arguments."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    running = [context.Process(target=_report, args=(queue, place, work, args)) for place, args in enumerate(each)]
    for process in running:
        process.start()
    answers = dict(queue.get() for _ in running)
    for process in running:
        process.join()
    return [answers[place] for place in range(len(each))]


def _report(queue: Any, place: int, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        answer = work(*args)
    except BaseException as error:  # noqa: BLE001 - the parent shall see all of them
        answer = f"{type(error).__name__}: {error}"
    queue.put((place, answer))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
