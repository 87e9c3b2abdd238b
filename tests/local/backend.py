"""All roles of the local plugin over one state folder, as the engine gets them, and tiny versions for them to serve."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.kit import DATA, until
from mlconsole.core.clock import SystemClock
from mlconsole.core.live import LiveVariant
from mlconsole.core.models import Actor, Artifact, Data, Field, Metrics, ModelVersion, Signature, Slice
from mlconsole.core.releases import NOTHING, Content
from mlconsole.core.traffic import Traffic
from mlconsole.plugin import Context
from mlconsole.plugin.artifacts import measure
from mlconsole.plugin.conformance import Bench, Driver, as_variant
from mlconsole.plugin.roles import Invocation, Part
from mlconsole_local import plugin, processes
from mlconsole_local.state import Layout, read_json

ENDPOINT = "rel"
LANGUAGE = Slice("language", "/language", ("de", "en", "pl"))
REQUEST = Invocation({"x": 2.0})


def version(number: str, artifact: str | Path, *, digest: str | None = None, slices: tuple[Slice, ...] = (LANGUAGE,)) -> ModelVersion:
    """A registered version; a relative artifact is one of the tests' own."""
    path = DATA / artifact
    measured = measure(path)
    return ModelVersion(
        "relevance",
        number,
        Artifact(str(path), digest or measured.digest, measured.size, measured.files),
        Signature((Field("x", "FP32"), Field("language", "BYTES", required=False)), (Field("score", "FP32"),), "score", 0.5, slices),
        "tests",
        Data("none", "2026-01-01"),
        Metrics("sha256:none", {"accuracy": 0.9}),
        {},
        {},
        "none",
        datetime(2026, 1, 5, tzinfo=UTC),
        Actor("tests", "localhost"),
    )


V1, V2 = version("1", "double.onnx"), version("2", "triple.onnx")


class Backend:
    """The local plugin in one environment. `driver` goes from release to release with it, as the engine would."""

    def __init__(
        self,
        folder: Path,
        environment: str = "test",
        *more: ModelVersion,
        options: Mapping[str, Any] | None = None,
        by_name: bool = False,
    ) -> None:
        """`folder` is the workspace; `more` are versions beside `V1` and `V2`; `by_name`: applications choose, nobody splits."""
        self.root = folder / ".mlconsole" / environment
        self.layout = Layout(self.root)
        filled = {"log_megabytes": 64, "services": {}, **(options or {})}
        self.context = Context(environment, folder, self.root, filled, SystemClock(), by_name)
        self.serving = plugin.factories["serving"](self.context)
        self.traffic = plugin.factories["traffic"](self.context)
        self.predictions = plugin.factories["predictions"](self.context)
        self.lifecycle = plugin.factories["lifecycle"](self.context)
        self.actions = {action.name: action for action in plugin.factories["actions"](self.context).actions()}
        self.bench = Bench(
            serving=self.serving,
            traffic=self.traffic,
            predictions=self.predictions,
            clock=self.context.clock,
            versions=(V1, V2, *more),
            requests=[Invocation({"x": float(number), "language": "pl"}, {"language": "pl"}) for number in range(20)],
            endpoint=ENDPOINT,
            poll=0.02,
            lag=10.0,
        )

    @property
    def driver(self) -> Driver:
        return Driver(self.bench)

    def serve(self, *versions: ModelVersion, shares: tuple[int, ...] = ()) -> Content:
        """Bring everything up, with these versions behind the endpoint; the first gets all unless `shares` says otherwise."""
        self.lifecycle.up()
        target = content(*versions, shares=shares)
        self.driver.reach(target)
        return target

    def variant(self, name: str, endpoint: str = ENDPOINT) -> LiveVariant:
        found = self.serving.describe(endpoint).variant(name)
        assert found is not None, f"no {name}"
        assert isinstance(found, LiveVariant)
        return found

    def pid(self, name: str, endpoint: str = ENDPOINT) -> int:
        return int(self.variant(name, endpoint).resources["pid"])

    def kill(self, name: str, endpoint: str = ENDPOINT) -> None:
        """A server dies, as by the kernel's hand when memory runs out."""
        os.kill(self.pid(name, endpoint), signal.SIGKILL)
        until(lambda: "pid" not in self.variant(name, endpoint).resources)

    def parts(self) -> dict[str, Part]:
        return {part.name: part for part in self.lifecycle.parts()}

    def pids(self) -> dict[str, int]:
        """Every process of ours, by what it is."""
        found: dict[str, int] = {}
        for record in sorted(self.root.rglob("process.json")):
            process = processes.find(record.parent)
            if process is not None:
                found[str(record.parent.relative_to(self.root))] = process.pid
        envoy = read_json(self.layout.gateway / "envoy.json") or {}
        if envoy.get("pid") and processes.identity(int(envoy["pid"])) is not None:
            found["envoy"] = int(envoy["pid"])
        return found

    def close(self) -> None:
        self.lifecycle.down()


def content(*versions: ModelVersion, shares: tuple[int, ...] = ()) -> Content:
    """A release with these versions; the first gets all unless `shares` says otherwise."""
    if not versions:
        return NOTHING
    variants = tuple(as_variant(one) for one in versions)
    split = dict(zip([one.name for one in variants], shares or (10_000, *(0 for _ in variants[1:])), strict=True))
    return Content(variants, Traffic(split))


def alone(backend: Backend, endpoint: str) -> Driver:
    """A driver of another endpoint of the same environment."""
    return Driver(replace(backend.bench, endpoint=endpoint))
