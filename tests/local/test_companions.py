"""Redis with word vectors, and recorded events as real traffic."""

from __future__ import annotations

import base64
import json
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.kit import Client, Place, spec, until
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.errors import InvalidRequest, NotFound
from mlconsole.plugin.resp import Redis
from mlconsole_local.replay import read_events
from mlconsole_local.replays import Replays
from mlconsole_local.routing import EndpointRouting
from mlconsole_local.services import Services
from mlconsole_local.state import locked

pytestmark = pytest.mark.real

VECTORS = {"flood": (1.0, 0.0, 0.0, 0.0), "port": (0.0, 3.0, 0.0, 0.0), "łódź": (0.0, 0.0, 0.0, 8.0)}


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.tsv"
    lines = [f"{word}\t{base64.b64encode(struct.pack('<4f', *vector)).decode()}" for word, vector in VECTORS.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def services(root: Path) -> Iterator[Services]:
    made = Services(root)
    yield made
    for service in made.list():
        made.remove(service.name)


def test_a_model_reads_its_words_from_a_real_redis(place: Place, services: Services, vectors: Path) -> None:
    with locked(place.root):
        service = services.ensure_redis("embeddings", vectors, prefix="w:")
    assert (service.keys, service.wanted) == (3, 3)
    server = place.up([spec("v1", "vectors", connections={"embeddings": service.address})])["v1"]
    client = Client(server.port)

    def score(text: str) -> float:
        return float(client.infer({"title": text}).body["outputs"][0]["data"][0])

    assert (score("Flood, PORT!"), score("Łódź"), score("nothing known"), score("flood 12")) == (2.0, 8.0, 0.0, 1.0)
    assert service.pid is not None
    os.kill(service.pid, signal.SIGKILL)
    until(lambda: services.describe("embeddings").pid is None)
    assert client.infer({"title": "flood"}).status == 503
    with locked(place.root):
        again = services.ensure_redis("embeddings", vectors, prefix="w:")
    assert (again.port, again.keys) == (service.port, 3)
    assert score("flood") == 1.0


def test_vectors_are_loaded_again_only_when_they_changed(root: Path, services: Services, vectors: Path) -> None:
    with locked(root):
        service = services.ensure_redis("embeddings", vectors)
    Redis("127.0.0.1", service.port).call(b"DEL", b"flood")
    with locked(root):
        assert services.ensure_redis("embeddings", vectors).keys == 2  # Found as it is: what somebody deleted is theirs to refill.
        vectors.write_text("sea\tAAAAAA==\n")
        assert services.ensure_redis("embeddings", vectors).keys == 1
        vectors.write_text("no tab\n")
        with pytest.raises(InvalidRequest, match="line 1"):
            services.ensure_redis("embeddings", vectors)
        assert services.stop("embeddings")
    assert services.describe("embeddings").pid is None
    with pytest.raises(NotFound):
        services.describe("other")


def test_recorded_events_become_traffic_that_survives_a_gateway_that_is_away(place: Place, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(
        "".join(json.dumps({"id": f"e{number}", "inputs": {"x": number, "language": "de"}, "label": 1}) + "\n" for number in range(5))
    )
    place.up([spec("v1")], lambda ports: EndpointRouting("rel", ports, Traffic({"v1": 10_000}), slice_keys=("language",)))
    info = place.gateway.info()
    assert info is not None
    replays = Replays(place.root)
    assert replays.status("rel") is None
    with locked(place.root):
        begun = replays.start("rel", events, info.url, rate=200, slices={"language": "language"})
    try:
        assert begun.pid is not None
        good = until(lambda: (told := replays.status("rel")) and told.sent > 100 and told)
        assert (good.failed, good.rate, good.pid) == (0, 200, begun.pid)
        with locked(place.root):
            place.gateway.stop()
        until(lambda: (told := replays.status("rel")) and told.failed > 50)
        with locked(place.root):
            place.gateway.ensure()
        back = until(lambda: (told := replays.status("rel")) and told.by_status["200"] > good.by_status["200"] + 50 and told)
        assert back.sent == sum(back.by_status.values())
        assert "Refused" in back.last_error
    finally:
        assert replays.stop("rel")
    ended = replays.status("rel")
    assert ended is not None
    assert ended.pid is None
    access = [json.loads(line) for line in (place.root / "gateway" / "access.log").read_text().splitlines()]
    assert {line["slice0"] for line in access} == {"language=de"}
    assert len({line["request_id"] for line in access}) == len(access)


def test_events_that_are_none_are_told(root: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text('{"inputs": {"a": "x", "b": null}}\n\n{"inputs": {"a": [1]}}\n')
    with pytest.raises(ValueError, match="line 3"):
        read_events(events, {})
    events.write_text('{"inputs": {"a": "x", "b": null, "c": 1.5}}\n')
    (event,) = read_events(events, {"k": "a", "other": "b"})
    assert event.headers == {"x-slice-k": b"x"}
    assert [(entry["name"], entry["datatype"]) for entry in json.loads(event.body)["inputs"]] == [("a", "BYTES"), ("c", "FP64")]
    replays = Replays(root)
    with pytest.raises(InvalidRequest):
        replays.start("rel", tmp_path / "none", "http://127.0.0.1:1", rate=1)
    with pytest.raises(InvalidRequest):
        replays.start("rel", events, "http://127.0.0.1:1", rate=0)
