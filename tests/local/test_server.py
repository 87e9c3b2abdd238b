"""Real model servers over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from local.kit import Client, Held, Place, spec, until
from mlconsole.plugin.errors import InvalidRequest, Unavailable
from mlconsole_local.state import PREDICTION_LOG, Layout, locked
from mlconsole_local.variants import Server, Spec

pytestmark = pytest.mark.real


def start(place: Place, one: Spec) -> Server:
    with locked(place.root):
        server = place.variants.ensure(one)
    place.variants.wait_ready(server)
    return server


def lines(place: Place, variant: str) -> list[dict[str, Any]]:
    text = (Layout(place.root).variant("rel", variant) / PREDICTION_LOG).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_protocol(place: Place) -> None:
    server = start(place, spec("v1"))
    client = Client(server.port)
    assert client.ask("GET", "/v2/health/live").body == {"live": True}
    assert client.ask("GET", "/v2/models/rel/ready").body["digest"] == server.spec.digest
    told = client.ask("GET", "/v2/models/relevance").body
    assert (told["name"], told["versions"], told["inputs"]) == ("rel", ["1"], [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}])
    reply = client.infer(
        json.dumps(
            {"id": "mine", "inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [4]}], "outputs": [{"name": "score"}]}
        ).encode()
    )
    outputs = [{"name": "score", "datatype": "FP32", "shape": [1, 1], "data": [8.0]}]
    assert reply.body == {"model_name": "relevance", "model_version": "1", "id": "mine", "outputs": outputs}
    assert (reply.status, reply.who, reply.headers["x-mlconsole-digest"]) == (200, "v1", server.spec.digest)
    assert client.ask("POST", "/v2/models/rel/versions/1/infer", b"{}").status == 400
    assert client.ask("GET", "/v2/models/rel/infer").status == 405
    assert client.ask("GET", "/v2/models/other").status == 404
    assert client.infer(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": ["a"]}]}').body == {
        "error": 'field "x" is not of type FP32'
    }
    assert client.infer(b" " * (9 << 20)).status == 413


def test_each_prediction_is_a_line_before_the_answer(place: Place) -> None:
    server = start(place, spec("v1", "words", slices={"language": "/language"}))
    client = Client(server.port)
    sent = {"title": "flood", "body": "port", "language": "en"}
    for number in range(3):
        client.infer(sent, {"x-request-id": f"id-{number}"})
        assert [line["request_id"] for line in lines(place, "v1")] == [f"id-{count}" for count in range(number + 1)]
    client.infer({**sent, "language": "de"}, {"x-request-id": "bad", "x-mlconsole-probe": "1", "host": "rel-shadow"})
    good, bad = lines(place, "v1")[2:]
    assert good["slices"] == {"language": "en"}
    assert good["fields"] == {"title": {"length": 5}, "title_de": {"missing": True}, "body": {"length": 4}, "language": "en"}
    assert (good["score"], good["status"], good["error"], good["shadow"], good["probe"]) == (pytest.approx(0.9), 200, "", False, False)
    assert (bad["status"], bad["error"], bad["shadow"], bad["probe"]) == (400, 'field "title_de" is missing', True, True)
    assert "flood" not in json.dumps(lines(place, "v1"))


def test_other_bytes_than_registered_are_not_served(place: Place, tmp_path: Path) -> None:
    wrong = spec("v1")
    with locked(place.root):
        server = place.variants.ensure(Spec(**{**wrong.__dict__, "digest": "sha256:" + "0" * 64}))
    with pytest.raises(Unavailable, match="not what was registered"):
        place.variants.wait_ready(server)
    found = place.variants.find("rel", "v1")
    assert found is not None
    assert (found.pid, found.exit_code, found.stopped) == (None, 3, False)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    broken = spec("v2", str(tmp_path / "broken.onnx"))
    with locked(place.root):
        server = place.variants.ensure(broken)
    with pytest.raises(Unavailable, match="onnxruntime can't load the graph"):
        place.variants.wait_ready(server)


def test_a_server_finishes_what_is_in_flight(place: Place) -> None:
    server = start(place, spec("v1", "slow.onnx"))
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(Client(server.port).infer()))
    thread.start()
    until(lambda: b":%04X" % server.port in Path("/proc/net/tcp").read_bytes() and thread.is_alive())
    assert Client(server.port).ask("GET", "/v2/health/live").status == 200  # While it computes.
    assert place.variants.stop("rel", "v1")
    thread.join()
    assert [reply.status for reply in replies] == [200]
    found = place.variants.find("rel", "v1")
    assert found is not None
    assert (found.pid, found.exit_code, found.stopped) == (None, 0, True)


def test_a_killed_server_comes_back_on_its_port_with_its_log(place: Place) -> None:
    server = start(place, spec("v1"))
    Client(server.port).infer(headers={"x-request-id": "before"})
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: (found := place.variants.find("rel", "v1")) and found.pid is None and found.exit_code == 137)
    with locked(place.root):
        again = place.variants.ensure(server.spec)
    place.variants.wait_ready(again)
    assert again.port == server.port
    Client(again.port).infer(headers={"x-request-id": "after"})
    assert [line["request_id"] for line in lines(place, "v1")] == ["before", "after"]


def test_a_name_never_serves_other_bytes(place: Place) -> None:
    server = start(place, spec("v1"))
    with locked(place.root):
        assert place.variants.ensure(spec("v1")).pid == server.pid
        with pytest.raises(InvalidRequest, match="other bytes"):
            place.variants.ensure(spec("v1", "triple.onnx"))
        moved = place.variants.ensure(spec("v1", slices={"language": "/x"}))
    assert moved.pid != server.pid
    place.variants.wait_ready(moved)
    with locked(place.root):
        place.variants.remove("rel", "v1")
    assert place.variants.list() == ()
    assert not Layout(place.root).variant("rel", "v1").exists()


def test_a_port_that_somebody_took_in_the_last_moment_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("mlconsole_local.variants.port_for", lambda *_: taken.getsockname()[1])
        with locked(place.root):
            server = place.variants.ensure(spec("v1"))
        until(lambda: (found := place.variants.find("rel", "v1")) and found.exit_code == 5)
        assert "can't be used" in place.variants.health(place.variants.find("rel", "v1") or server).reason


def test_a_redis_that_is_away_is_a_503_and_not_ready(place: Place) -> None:
    held = Held()  # Takes connections and never says a word of Redis.
    held.close()
    with locked(place.root):
        server = place.variants.ensure(spec("v1", "vectors", connections={"embeddings": f"127.0.0.1:{held.port}"}))
    health = until(lambda: (told := place.variants.health(server)).reason.startswith("connection") and told)
    assert not health.ready
    assert 'connection "embeddings" does not answer' in health.reason
    assert health.digest == server.spec.digest
    reply = Client(server.port).infer({"title": "flood"})
    assert reply.status == 503
    assert 'connection "embeddings" does not answer' in reply.body["error"]
