"""The whole conformance suite against the local plugin, with a real Envoy and real model servers.

One backend serves all checks, as an adapter's author would have it: each check ends with the endpoint deleted, and what it leaves behind
all the same, the next one trips over.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.backend import Backend, version
from local.kit import DATA
from mlconsole.plugin.conformance import Bench, ServingConformance
from mlconsole.plugin.roles import Invocation
from mlconsole_local.state import read_json

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("local-conformance")]

ENDPOINT = "conformance"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The plugin with its gateway up; taken down, nothing of it is left."""
    folder = tmp_path_factory.mktemp("workspace")
    # The third version is a folder: other bytes around the same graph.
    third = folder / "third"
    third.mkdir()
    shutil.copy(DATA / "double.onnx", third / "model.onnx")
    (third / "serving.json").write_text(json.dumps({"schema": 1, "score": "score"}))
    backend = Backend(folder, "conformance", version("3", third))
    backend.lifecycle.up()
    yield backend
    backend.close()
    assert backend.pids() == {}


def leftovers(backend: Backend) -> list[str]:
    """What still serves, listens, routes or is remembered of the endpoint; logs stay for readers who are behind, fences for ever."""
    found = [str(path) for path in backend.layout.variants.glob(f"{ENDPOINT}/*/spec.json")]
    found += [name for name in backend.pids() if name.startswith(f"variants/{ENDPOINT}/")]
    found += [name for name in read_json(backend.root / "ports.json") or {} if name.startswith(f"{ENDPOINT}/")]
    for part in ("clusters/clusters.json", "routes/routes.json"):
        text = (backend.layout.gateway / part).read_text()
        found += [part] if f'"{ENDPOINT}' in text else []
    return found


class TestLocal(ServingConformance):
    """Every check, for real."""

    @pytest.fixture
    def bench(self, local: Backend, tmp_path: Path) -> Bench:
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"no graph")
        return replace(
            local.bench,
            endpoint=ENDPOINT,
            broken=version("broken", broken),
            refused=Invocation({"x": "no number"}),
            kill=lambda name: local.kill(name, ENDPOINT),
            leftovers=lambda: leftovers(local),
            fenced=True,
        )
