"""The serving role's servers: how each is told, when it is started again, what a stopped one leaves, and that nobody waits for another."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from local.backend import REQUEST, V1, V2, Backend, alone, content, version
from local.kit import until
from mlconsole.core.live import Live, VariantState
from mlconsole.core.releases import NOTHING, Content
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Shadow, SliceSplit, Traffic
from mlconsole.plugin.conformance import as_live
from mlconsole.plugin.errors import Conflict, NotFound, Refused, Unavailable
from mlconsole.plugin.roles import Invocation, Order
from mlconsole_local.gateway import Gateway
from mlconsole_local.state import PREDICTION_LOG, locked, read_json
from mlconsole_local.variants import Variants

pytestmark = pytest.mark.real


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    made = Backend(tmp_path)
    yield made
    for path in made.layout.variants.glob("*/*/process.json"):
        pid = (read_json(path) or {}).get("pid")
        if pid is not None and made.pids().get(str(path.parent.relative_to(made.root))) == pid:
            os.kill(pid, signal.SIGCONT)
    made.close()


def told(steps: Sequence[Step]) -> list[tuple[str, str, Phase]]:
    return [(step.role, step.summary, step.phase) for step in steps]


# Steps, which touch nothing.


@pytest.mark.parametrize(
    ("live", "target", "summaries"),
    [
        (NOTHING, content(V1, V2), ["start v1 (relevance@1, onnx server)", "start v2 (relevance@2, onnx server)"]),
        (content(V1), content(V1, V2), ["start v2 (relevance@2, onnx server)"]),
        (content(V1, V2), content(V1), ["stop v2"]),
        (content(V1, V2), NOTHING, ["stop v1", "stop v2"]),
        (content(V1, V2), content(V1, V2, shares=(5000, 5000)), []),
        (content(V1), content(version("1", "triple.onnx")), ["start v1 (relevance@1, onnx server)"]),
    ],
)
def test_steps_are_worked_out_of_two_values_and_touch_nothing(tmp_path: Path, live: Content, target: Content, summaries: list[str]) -> None:
    backend = Backend(tmp_path)
    there = as_live(live, "rel")
    first = backend.serving.steps(there, target)
    assert [step.summary for step in first] == summaries
    assert first == backend.serving.steps(there, target)
    assert backend.traffic.steps(there, target) == backend.traffic.steps(there, target)
    assert not backend.root.exists()


def test_steps_say_that_replaced_bytes_disrupt(tmp_path: Path) -> None:
    (step,) = Backend(tmp_path).serving.steps(as_live(content(V1), "rel"), content(version("1", "triple.onnx")))
    assert "its requests fail for a moment" in step.disrupts


@pytest.mark.parametrize(
    ("endpoint", "target", "why"),
    [
        ("no/endpoint", content(V1), "can't name an endpoint"),
        ("rel", Content(content(V1).variants, Traffic({"v1": 9000, "v9": 1000})), "'v9' would get traffic"),
        ("rel", Content(content(V1).variants, Traffic({"v1": 10_000}, (SliceSplit("language", "a\nb", {"v1": 10_000}),))), "from a header"),
    ],
)
def test_what_the_gateway_could_not_do_is_refused_in_the_plan(tmp_path: Path, endpoint: str, target: Content, why: str) -> None:
    backend = Backend(tmp_path)
    with pytest.raises(Refused, match=why):
        _ = (backend.serving.steps(Live(endpoint), target), backend.traffic.steps(Live(endpoint), target))


# How a server is told, and mended.


def test_replaced_bytes_are_served_under_the_same_name(backend: Backend) -> None:
    backend.serve(V1)
    before = backend.pid("v1")
    backend.bench = replace(backend.bench, versions=(version("1", "triple.onnx"), V2))
    live = backend.driver.reach(content(version("1", "triple.onnx")))
    assert live.variants[0].digest == V2.artifact.digest
    assert backend.serving.invoke("rel", REQUEST).outputs == {"score": 6.0}
    assert backend.pid("v1") != before


def test_a_dead_variant_says_why_and_is_started_by_the_next_step(backend: Backend) -> None:
    target = backend.serve(V1)
    backend.kill("v1")
    dead = backend.variant("v1")
    assert dead.state is VariantState.FAILED
    assert dead.reason.startswith("its server was killed by signal 9: rel/v1 listens on 127.0.0.1:")
    assert dead.digest == V1.artifact.digest
    assert backend.parts()["rel v1"].state == "dead"
    assert told(backend.driver.steps(backend.driver.live(), target)) == [("serving", "start v1 (relevance@1, onnx server)", Phase.PREPARE)]
    backend.driver.reach(target)
    assert backend.variant("v1").state is VariantState.READY
    assert backend.driver.ask_many(3) == {"v1"}


def test_an_artifact_that_cannot_be_loaded_says_how_it_ended(backend: Backend, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    bad = version("3", broken)
    target = backend.serve(V1)
    step = backend.serving.steps(backend.driver.live(), content(V1, bad))[0]
    backend.serving.start("rel", step, Order(backend.driver.newest_fence(), "rel@test#2", {"v3": bad}))
    until(lambda: backend.variant("v3").state is VariantState.FAILED)
    assert "its server ended with code 4: onnxruntime can't load the graph" in backend.variant("v3").reason
    backend.driver.reach(target)


def test_a_server_that_comes_back_on_another_port_is_found_by_the_gateway(backend: Backend) -> None:
    target = backend.serve(V1)
    port = int(backend.variant("v1").resources["port"])
    backend.kill("v1")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        backend.driver.reach(target)
        assert int(backend.variant("v1").resources["port"]) != port
        assert backend.driver.ask_many(5) == {"v1"}
        backend.kill("v1")
        with socket.socket() as other:
            again = int((read_json(backend.root / "ports.json") or {})["rel/v1"])
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", again))
            other.listen()
            backend.lifecycle.up()
            assert backend.driver.ask_many(5) == {"v1"}


def test_servers_that_hang_delay_nobody_and_are_told_and_mended(backend: Backend) -> None:
    backend.serve(V1, V2)
    pids = {name: backend.pid(name) for name in ("v1", "v2")}
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    live = backend.serving.describe("rel")
    assert {(each.state, each.reason) for each in live.variants} == {(VariantState.FAILED, "it does not answer (for 0.8 s)")}
    assert backend.parts()["rel v1"].state == "not answering"
    variants = Variants(backend.root)
    began = time.monotonic()
    variants.healths(variants.list("rel") * 5)
    assert time.monotonic() - began < 4.0  # One after another they would take 8 s: there is room for a busy machine.
    backend.lifecycle.up()
    assert {each.state for each in backend.serving.describe("rel").variants} == {VariantState.READY}
    assert backend.driver.ask_many(3) == {"v1"}
    assert not set(pids.values()) & {backend.pid("v1"), backend.pid("v2")}


def test_a_server_that_hangs_is_started_again_by_the_next_step(backend: Backend) -> None:
    target = backend.serve(V1)
    pid = backend.pid("v1")
    os.kill(pid, signal.SIGSTOP)
    (step,) = backend.serving.steps(backend.driver.live(), target)
    backend.serving.start("rel", step, backend.driver.order(target))
    until(lambda: backend.variant("v1").state is VariantState.READY)
    assert backend.pid("v1") != pid


def test_a_server_that_was_never_ready_is_coming_up_and_not_failed(backend: Backend) -> None:
    target = backend.serve(V1)
    backend.kill("v1")
    (step,) = backend.serving.steps(backend.serving.describe("rel"), target)
    backend.serving.start("rel", step, backend.driver.order(target))
    os.kill(backend.pid("v1"), signal.SIGSTOP)  # It hangs while it loads.
    assert backend.variant("v1").state in (VariantState.CREATING, VariantState.FAILED)
    if not (backend.layout.variant("rel", "v1") / "ready").exists():
        assert backend.variant("v1").state is VariantState.CREATING
    os.kill(backend.pid("v1"), signal.SIGCONT)
    until(lambda: backend.variant("v1").state is VariantState.READY)


# Readiness before weight.


@pytest.mark.parametrize(
    "traffic",
    [
        Traffic({"v1": 5000, "v2": 5000}),
        Traffic({"v1": 10_000, "v2": 0}, (SliceSplit("language", "de", {"v2": 10_000}),)),
    ],
    ids=["a share", "a slice"],
)
def test_a_variant_that_is_not_ready_gets_no_traffic(backend: Backend, traffic: Traffic) -> None:
    before = backend.serve(V1, V2)
    backend.kill("v2")
    (step,) = backend.traffic.steps(backend.driver.live(), Content(before.variants, traffic))
    with pytest.raises(Refused, match=r"v2 is not ready \(.*\): it gets no traffic"):
        backend.traffic.start("rel", step, backend.driver.order(before))
    assert backend.traffic.report("rel").traffic == before.traffic
    assert backend.driver.ask_many(10) == {"v1"}


def test_traffic_leaves_a_variant_that_is_dead(backend: Backend) -> None:
    """Only who gains has to be ready: the way out of a broken variant is always open."""
    backend.serve(V1, V2, shares=(5000, 5000))
    backend.kill("v1")
    backend.driver.reach(content(V1, V2, shares=(0, 10_000)))
    assert backend.driver.ask_many(10) == {"v2"}


# What is stopped, and what is left of it.


def test_what_a_stopped_variant_wrote_can_still_be_read(backend: Backend) -> None:
    cursor = backend.predictions.cursor_at(backend.context.clock.now())
    backend.serve(V1, V2)
    asked = backend.serving.invoke("rel", REQUEST, "v2")
    backend.driver.reach(content(V1))
    assert backend.serving.describe("rel").variant("v2") is None
    assert "rel/v2 listens on" in backend.serving.logs("rel", "v2", 10)[0]
    assert backend.serving.logs("rel", "v2", 10)[-1] == "ended as asked"
    seen = until(lambda: [each for each in backend.predictions.read(cursor).observations if each.variant == "v2"])
    assert [(each.request_id, each.score, each.pinned) for each in seen] == [(asked.request_id, 6.0, True)]
    with pytest.raises(NotFound):
        backend.serving.invoke("rel", REQUEST, "v2")


def test_a_deleted_endpoint_is_gone_and_its_name_can_be_used_again(backend: Backend) -> None:
    """Nothing of the former one is in the way, but the fence goes on from where it was."""
    backend.serve(V1, V2)
    assert backend.serving.list() == ["rel"]
    newest = backend.driver.newest_fence()
    for step in backend.driver.steps(backend.driver.live(), NOTHING):
        backend.driver.start(step, Order(newest, "rel@test#2", {}))
    assert backend.serving.list() == []
    assert not backend.driver.live().exists
    assert set(read_json(backend.root / "ports.json") or {}) == {"gateway"}
    with pytest.raises(NotFound):
        backend.serving.invoke("rel", REQUEST)
    (step,) = backend.serving.steps(Live("rel"), content(V1))
    with pytest.raises(Conflict):
        backend.serving.start("rel", step, Order(newest - 1, "rel@test#1", {"v1": V1}))
    backend.driver.reach(content(V1))
    assert backend.driver.ask_many(3) == {"v1"}


def test_a_slow_server_that_is_taken_away_holds_nobody_up(backend: Backend) -> None:
    """Its queue would last for many seconds. The gateway sends it nothing more, so nobody waits for those answers."""
    slow = version("9", "slow.onnx")
    backend.bench = replace(backend.bench, versions=(V1, V2, slow))
    backend.lifecycle.up()
    other = alone(backend, "other")
    other.reach(content(V1))
    backend.driver.reach(content(V1, slow))
    askers = [threading.Thread(target=lambda: _probe(backend)) for _ in range(30)]
    for asker in askers:
        asker.start()
    taking = threading.Thread(target=lambda: backend.driver.reach(content(V1)))
    taking.start()
    other.reach(content(V1, V2))  # With the lock held for as long as 30 requests of 0.4 s each take, this were Unavailable.
    taking.join()
    for asker in askers:
        asker.join()
    assert backend.serving.describe("rel").variant("v9") is None


def _probe(backend: Backend) -> None:
    try:
        backend.serving.invoke("rel", REQUEST, "v9", probe=True)
    except (NotFound, Unavailable):
        return


def test_an_answer_that_comes_too_late_is_the_models_own_failure(backend: Backend) -> None:
    """And what nobody waits for any more is not computed: the queue of a slow model is empty as soon as its callers are gone."""
    slow = version("9", "slow.onnx")
    backend.bench = replace(backend.bench, versions=(slow,))
    cursor = backend.predictions.cursor_at(backend.context.clock.now())
    backend.serve(slow)
    gateway = Gateway(backend.root)
    with locked(backend.root):
        gateway.set_endpoint(replace(gateway.desired()[0], timeout=0.1))
    answers = []
    askers = [threading.Thread(target=lambda: answers.append(backend.serving.invoke("rel", REQUEST))) for _ in range(12)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert {(answer.status, answer.variant) for answer in answers} == {(504, "v9")}
    assert backend.serving.invoke("rel", REQUEST, "v9", probe=True).status == 200
    lines = [json.loads(line) for line in (backend.layout.variant("rel", "v9") / PREDICTION_LOG).read_text().splitlines()]
    assert sum(line["status"] == 200 and not line["probe"] for line in lines) <= 3
    assert {line["error"] for line in lines if line["status"] != 200} <= {"the caller hung up before its turn came"}
    seen = until(lambda: (found := backend.predictions.read(cursor).observations) and len(found) >= 12 and found)
    assert {(each.status, each.variant) for each in seen if not each.probe} == {(504, "v9")}


def test_a_shadow_that_is_taken_away_gets_nothing_more(backend: Backend) -> None:
    backend.serve(V1, V2)
    shadowed = replace(content(V1, V2), traffic=Traffic({"v1": 10_000, "v2": 0}, shadow=Shadow("v2", 10_000)))
    backend.driver.reach(shadowed)
    backend.driver.reach(content(V1))
    assert backend.driver.ask_many(5) == {"v1"}
    assert "shadow" not in (backend.layout.gateway / "clusters" / "clusters.json").read_text()


def test_who_is_asked_by_name_has_to_be_there_and_routed(backend: Backend) -> None:
    backend.serve(V1)
    (step,) = backend.serving.steps(backend.driver.live(), content(V1, V2))
    backend.serving.start("rel", step, backend.driver.order(content(V1, V2)))
    until(lambda: backend.variant("v2").state is VariantState.READY)
    with pytest.raises(NotFound, match="v2 is not behind the gateway yet"):
        backend.serving.invoke("rel", REQUEST, "v2")
    assert backend.serving.invoke("rel", REQUEST, "v2", probe=True).variant == "v2"
    assert backend.serving.invoke("rel", REQUEST, probe=True).variant == "v1"
    assert backend.serving.invoke("rel", Invocation({"x": 1.0, "note": "half \ud83d", "none": None})).status == 200
    backend.driver.reach(content(V1))
