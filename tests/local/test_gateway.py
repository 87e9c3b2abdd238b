"""A real Envoy in front of real servers: who answers, and that nobody is dropped."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.kit import Client, Held, Load, Place, spec, until
from mlconsole.core.traffic import Shadow, SliceSplit, Traffic
from mlconsole.plugin.errors import InvalidRequest, Refused, Unavailable
from mlconsole_local import processes
from mlconsole_local.gateway import Gateway
from mlconsole_local.keeper import envoy_state
from mlconsole_local.routing import EndpointRouting
from mlconsole_local.state import Layout, locked, read_json

pytestmark = pytest.mark.real


@pytest.fixture
def two(place: Place) -> dict[str, int]:
    """`v1` doubles with 70 %, `v2` triples with 30 %."""
    servers = place.up(
        [spec("v1"), spec("v2", "triple.onnx")],
        lambda ports: EndpointRouting("rel", ports, Traffic({"v1": 7000, "v2": 3000}), "rel@test#1", ("language",)),
    )
    return {name: server.port for name, server in servers.items()}


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.close()


def test_split_pin_and_who_answered(place: Place, two: dict[str, int]) -> None:
    client = place.client()
    replies = [client.infer() for _ in range(400)]
    assert {(reply.status, reply.who, reply.body["outputs"][0]["data"][0]) for reply in replies} == {(200, "v1", 4.0), (200, "v2", 6.0)}
    assert 200 < Counter(reply.who for reply in replies)["v1"] < 360
    assert replies[0].headers["x-mlconsole-release"] == "rel@test#1"
    assert {client.infer(headers={"x-mlconsole-variant": "v2"}).who for _ in range(20)} == {"v2"}
    assert len({client.infer(headers={"x-mlconsole-key": "anna"}).who for _ in range(20)}) == 1
    missing = client.infer(headers={"x-mlconsole-variant": "v9"})
    assert (missing.status, missing.body) == (404, {"error": "no such variant runs behind rel"})
    assert place.client().ask("GET", "/v2/models/rel").body["name"] == "rel"
    assert place.client().ask("GET", "/v2/models/related").status == 404
    assert place.client().ask("GET", "/v2/health/ready").status == 200


def test_ids_are_the_callers_or_new_and_always_told(place: Place, two: dict[str, int]) -> None:
    client = place.client()
    assert client.infer(headers={"x-request-id": "mine/1"}).headers["x-request-id"] == "mine/1"
    assert len({client.infer().headers["x-request-id"] for _ in range(10)}) == 10


def test_slices_have_splits_of_their_own(place: Place, two: dict[str, int]) -> None:
    traffic = Traffic(
        {"v1": 10_000, "v2": 0}, (SliceSplit("language", "de", {"v2": 10_000}), SliceSplit("language", "zażółć", {"v2": 10_000}))
    )
    place.route(EndpointRouting("rel", two, traffic))
    client = place.client()
    assert {client.infer().who for _ in range(10)} == {"v1"}
    assert {client.infer(headers={"x-slice-language": "de"}).who for _ in range(10)} == {"v2"}
    assert client.infer(headers={"x-slice-language": "pl"}).who == "v1"
    assert client.infer(headers={"x-slice-language": "de", "x-mlconsole-variant": "v1"}).who == "v1"
    assert client.infer(headers={"x-slice-language": "zażółć".encode().decode("latin-1")}).who == "v2"
    assert place.gateway.live() == place.gateway.desired() == (EndpointRouting("rel", two, traffic),)


def test_no_request_is_dropped_while_weights_change_and_a_variant_comes_and_goes(place: Place, two: dict[str, int]) -> None:
    with Load(place.port) as load:
        for number in range(20):
            share = 500 * number
            place.route(EndpointRouting("rel", two, Traffic({"v1": 10_000 - share, "v2": share}), f"rel@test#{number}"))
            load.more(20)
        with locked(place.root):
            third = place.variants.ensure(spec("v3", "triple.onnx"))
        place.variants.wait_ready(third)
        three = {**two, "v3": third.port}
        place.route(EndpointRouting("rel", three, Traffic({"v1": 5000, "v2": 0, "v3": 5000})))
        load.more(100)
        applied = place.route(EndpointRouting("rel", two, Traffic({"v1": 10_000, "v2": 0})))
        assert applied.draining == ()
        assert not place.gateway.in_use("rel", "v3")
        with locked(place.root):
            place.variants.remove("rel", "v3")
        load.more(100)
    assert load.dropped == []
    assert set(load.who) == {"v1", "v2", "v3"}


def test_a_variant_goes_only_when_its_last_request_is_answered(place: Place, held: Held) -> None:
    place.up()
    place.route(EndpointRouting("rel", {"v1": held.port, "v2": held.port}, Traffic({"v1": 10_000})))
    replies: list[int] = []
    thread = threading.Thread(target=lambda: replies.append(Client(place.port).infer().status))
    thread.start()
    assert held.seen.acquire(timeout=5)
    assert place.route(EndpointRouting("rel", {"v2": held.port}, Traffic({"v2": 10_000})), drain=0.05).draining == ("rel/v1",)
    assert place.gateway.in_use("rel", "v1")
    assert place.client().infer(headers={"x-mlconsole-variant": "v1"}).status == 404
    held.go.set()
    thread.join()
    assert replies == [200]
    with locked(place.root):
        assert place.gateway.tidy(drain=2.0) == ()
    assert not place.gateway.in_use("rel", "v1")
    with locked(place.root):
        place.gateway.remove_endpoint("rel")
    assert place.client().infer().status == 404
    assert place.gateway.live() == ()


def test_a_refused_routing_is_noticed_and_the_old_one_stays(place: Place, two: dict[str, int]) -> None:
    before = place.gateway.live()
    with pytest.raises(InvalidRequest, match=r"refused the new routes: .*regex pattern.*It goes on with the former ones"):
        place.route(EndpointRouting("rel", two, Traffic({"v1": 10_000}), "a line\nbreak"))
    assert place.gateway.live() == place.gateway.desired() == before
    assert place.client().infer().status == 200
    place.route(EndpointRouting("rel", two, Traffic({"v1": 10_000}), "100 % %REQ(x)% sure"))
    assert place.client().infer().headers["x-mlconsole-release"] == "100 % %REQ(x)% sure"


def test_a_server_that_is_gone_is_an_error_that_names_it(place: Place, two: dict[str, int]) -> None:
    place.variants.stop("rel", "v2")
    reply = place.client().infer(headers={"x-mlconsole-variant": "v2"})
    assert (reply.status, reply.who) == (503, "v2")
    assert "error" in reply.body


def test_a_shadow_that_hangs_disturbs_nobody(place: Place, held: Held) -> None:
    servers = place.up([spec("v1")])
    ports = {"v1": servers["v1"].port, "v2": held.port}
    place.route(EndpointRouting("rel", ports, Traffic({"v1": 10_000, "v2": 0}, shadow=Shadow("v2", 10_000))))
    client = place.client()
    for _ in range(100):
        assert client.infer().status == 200
    assert held.seen.acquire(timeout=5)
    assert place.route(EndpointRouting("rel", {"v1": ports["v1"]}, Traffic({"v1": 10_000}))).draining == ()


def test_the_admin_socket_is_the_owners_only(place: Place) -> None:
    place.up()
    record = read_json(Layout(place.root).gateway / "admin.json")
    assert record is not None
    assert stat.S_IMODE(Path(record["socket"]).stat().st_mode) == 0o600
    assert all(not path.stat().st_mode & 0o077 for path in Layout(place.root).root.rglob("*"))


def test_a_long_root_gets_a_short_private_socket(tmp_path: Path) -> None:
    place = Place(tmp_path / ("long" * 30))
    place.up()
    record = read_json(Layout(place.root).gateway / "admin.json")
    assert record is not None
    made = Path(record["made"])
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert place.gateway.live() == ()
    place.down()
    assert not made.exists()


def test_a_dead_envoy_is_started_again_as_it_was(place: Place, two: dict[str, int]) -> None:
    before = place.gateway.info()
    assert before is not None
    assert before.envoy is not None
    os.kill(before.envoy, signal.SIGKILL)
    after = until(lambda: (info := place.gateway.info()) and info.ready and info.envoy != before.envoy and info)
    assert (after.restarts, after.port, after.keeper) == (1, before.port, before.keeper)
    assert place.client().infer().status == 200
    place.route(EndpointRouting("rel", two, Traffic({"v2": 10_000})))
    assert place.client().infer().who == "v2"


def test_a_killed_keeper_is_replaced_and_nobody_notices(place: Place, two: dict[str, int]) -> None:
    before = place.gateway.info()
    assert before is not None
    assert before.keeper is not None
    with Load(place.port) as load:
        os.kill(before.keeper, signal.SIGKILL)
        until(lambda: (info := place.gateway.info()) and info.keeper is None)
        with locked(place.root):
            after = place.gateway.ensure()
        load.more(50)
    assert load.dropped == []
    assert (after.ready, after.port, after.envoy) == (True, before.port, before.envoy)
    assert after.keeper not in (None, before.keeper)
    assert after.envoy is not None
    os.kill(after.envoy, signal.SIGKILL)
    until(lambda: (info := place.gateway.info()) and info.ready and info.envoy != before.envoy)
    assert place.client().infer().status == 200


def test_stop_ends_an_envoy_that_outlived_its_keeper(place: Place) -> None:
    place.up()
    info = place.gateway.info()
    assert info is not None
    assert info.keeper is not None
    assert info.envoy is not None
    os.kill(info.keeper, signal.SIGKILL)
    until(lambda: processes.identity(info.keeper or 0) is None)
    with locked(place.root):
        assert place.gateway.stop()
    assert processes.identity(info.envoy) is None


def test_another_port_moves_an_envoy_that_outlived_its_keeper(place: Place) -> None:
    place.up()
    info = place.gateway.info()
    assert info is not None
    assert info.keeper is not None
    os.kill(info.keeper, signal.SIGKILL)
    until(lambda: processes.identity(info.keeper or 0) is None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with locked(place.root):
        moved = place.gateway.ensure(port=port)
    assert (moved.port, moved.ready) == (port, True)
    assert place.client().ask("GET", "/v2/health/live").status == 200


def test_another_console_finds_everything_and_stop_leaves_nothing(place: Place, two: dict[str, int]) -> None:
    other = Gateway(place.root)
    assert other.info() == place.gateway.info()
    assert other.live() == place.gateway.live()
    info = other.info()
    shared = set(Path("/dev/shm").iterdir())
    with locked(place.root):
        assert other.stop()
        assert not other.stop()
    assert info is not None
    assert [processes.identity(pid) for pid in (info.keeper, info.envoy) if pid] == [None, None]
    assert not [name for name in set(Path("/dev/shm").iterdir()) - shared if "envoy" in name.name]
    stopped = place.gateway.info()
    assert stopped is not None
    assert (stopped.ready, stopped.reason) == (False, "it does not run")
    with pytest.raises(Unavailable):
        place.gateway.live()


def test_a_port_that_is_taken_is_said_and_not_evaded(root: Path) -> None:
    place = Place(root)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with locked(root), pytest.raises(Refused, match=f"port {port} on 127.0.0.1 is taken"):
            place.gateway.ensure(port=port)
    with locked(root):
        assert place.gateway.ensure(port=port).port == port
    place.down()


def test_a_broken_bootstrap_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlconsole_local.gateway.bootstrap", lambda *_: {"nonsense": 1})
    place = Place(root)
    try:
        with locked(root), pytest.raises(Refused, match=r"does not start.*nonsense"):
            place.gateway.ensure()
        state = envoy_state(Layout(root).gateway)
        assert state is not None
        assert state.process is None
    finally:
        place.down()


def test_no_envoy_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "envoy", None)
    with locked(root), pytest.raises(Refused, match="not installed here"):
        Gateway(root).ensure()
