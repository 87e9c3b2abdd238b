"""`local up`, `down`, `status`: found again after any crash, nothing left behind, environments apart."""

from __future__ import annotations

import base64
import os
import signal
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.backend import REQUEST, V1, V2, Backend, content, version
from local.kit import until
from mlconsole.core.live import VariantState
from mlconsole.core.models import ModelVersion
from mlconsole.core.releases import NOTHING
from mlconsole.plugin.errors import BackendError, InvalidRequest, Refused, Unavailable
from mlconsole.plugin.roles import Invocation
from mlconsole_local.gateway import Gateway
from mlconsole_local.services import Services
from mlconsole_local.state import port_is_free, read_json

pytestmark = pytest.mark.real

WORDS: ModelVersion = version("7", "vectors", slices=())
FLOOD = Invocation({"title": "flood"})
VECTORS = {"services": {"embeddings": {"kind": "redis", "load": "vectors.tsv", "prefix": "w:"}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with word vectors in it."""
    encoded = base64.b64encode(struct.pack("<4f", 1.0, 2.0, 0.0, 0.0)).decode()
    (tmp_path / "vectors.tsv").write_text(f"flood\t{encoded}\n")
    return tmp_path


@pytest.fixture
def backend(folder: Path) -> Iterator[Backend]:
    made = Backend(folder, "test", WORDS, options=VECTORS)
    yield made
    made.close()


@pytest.fixture
def serving(backend: Backend) -> Backend:
    """`v7` reads its words from Redis; `v1` needs nobody."""
    backend.serve(WORDS, V1)
    return backend


def answers(backend: Backend) -> None:
    """Everything serves as it did."""
    assert backend.serving.invoke("rel", FLOOD).outputs == {"score": 3.0}
    assert backend.serving.invoke("rel", REQUEST, "v1").outputs == {"score": 4.0}
    assert all(part.healthy for part in backend.lifecycle.parts())


def listening() -> set[int]:
    """The loopback ports that anybody listens on."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {int(fields[1].rpartition(":")[2], 16) for fields in map(str.split, lines) if fields[3] == "0A"}


def ours(root: Path) -> list[str]:
    """Every process, of whatever kind, that works in the folder or was told its name."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and (
                str(process.joinpath("cwd").readlink()).startswith(str(root)) or str(root).encode() in (process / "cmdline").read_bytes()
            ):
                found.append((process / "cmdline").read_bytes().decode())
        except OSError:
            continue
    return found


def test_up_twice_changes_nothing(serving: Backend) -> None:
    before, listed = serving.pids(), serving.lifecycle.parts()
    again = serving.lifecycle.up()
    assert serving.pids() == before
    assert {part.name: part.state for part in again} == {part.name: part.state for part in listed}
    assert {part.name: part.state for part in again} == {
        "gateway": "running", "rel v1": "running", "rel v7": "running", "embeddings": "running"
    }  # fmt: skip


@pytest.mark.parametrize("victims", ["gateway", "envoy", "variants/", "services/embeddings", ""], ids=lambda name: name or "the whole lot")
def test_what_was_killed_is_found_again(serving: Backend, victims: str) -> None:
    killed = {name: pid for name, pid in serving.pids().items() if name.startswith(victims)}
    assert killed
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not set(killed.items()) & set(serving.pids().items()))
    serving.lifecycle.up()
    answers(serving)
    after = serving.pids()
    assert set(after) == {"gateway", "envoy", "variants/rel/v1", "variants/rel/v7", "services/embeddings"}
    assert not set(killed.values()) & set(after.values())


@pytest.mark.parametrize(
    "killed", [(), ("gateway",), ("gateway", "envoy")], ids=["whole", "without its keeper", "without keeper and envoy"]
)
def test_down_leaves_nothing(serving: Backend, killed: tuple[str, ...]) -> None:
    shared, ports = set(Path("/dev/shm").iterdir()), {int(port) for port in (read_json(serving.root / "ports.json") or {}).values()}
    assert ports <= listening()
    pids = serving.pids()
    for name in killed:
        os.kill(pids[name], signal.SIGKILL)
        if name == "gateway":
            until(lambda: Gateway(serving.root)._layout and "gateway" not in serving.pids())
    stopped = serving.lifecycle.down()
    assert {part.name for part in stopped} >= {"rel v1", "rel v7", "embeddings"}
    until(lambda: not ours(serving.root))
    assert serving.pids() == {}
    assert not ports & listening()
    assert not [path for path in serving.root.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
    assert not [path for path in set(Path("/dev/shm").iterdir()) - shared if "envoy" in path.name]
    assert {part.state for part in serving.lifecycle.parts()} == {"stopped"}
    assert serving.lifecycle.down() == []
    assert {(each.state, each.reason) for each in serving.serving.describe("rel").variants} == {(VariantState.FAILED, "it was stopped")}
    with pytest.raises(Unavailable, match="local up"):
        serving.traffic.report("rel")


def test_down_and_up_is_as_before(serving: Backend) -> None:
    release = serving.traffic.report("rel")
    serving.lifecycle.down()
    serving.lifecycle.up()
    assert serving.traffic.report("rel") == release
    answers(serving)


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        backend = Backend(folder, options={"port": port})
        try:
            with pytest.raises(Refused, match=f"port {port} on 127.0.0.1 is taken by another process"):
                backend.lifecycle.up()
        finally:
            backend.close()
    assert backend.pids() == {}


def test_a_service_that_moved_is_found_by_its_servers(serving: Backend) -> None:
    before = serving.pids()
    old = next(service for service in Services(serving.root).list())
    os.kill(before["services/embeddings"], signal.SIGKILL)
    until(lambda: port_is_free(old.port))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", old.port))
        taken.listen()
        assert serving.variant("v7").state is VariantState.FAILED
        assert 'connection "embeddings" does not answer' in serving.variant("v7").reason
        serving.lifecycle.up()
        (new,) = Services(serving.root).list()
        assert new.port != old.port
        answers(serving)


def test_a_service_that_hangs_is_told_by_who_needs_it(serving: Backend) -> None:
    """By the server's own word: it answers, quickly, that its connection does not. And it is not started again for that."""
    redis, server = serving.pids()["services/embeddings"], serving.pid("v7")
    os.kill(redis, signal.SIGSTOP)
    try:
        told = serving.variant("v7")
        assert told.state is VariantState.FAILED
        assert 'connection "embeddings" does not answer' in told.reason
        assert serving.parts()["embeddings"].state == "not answering"
    finally:
        os.kill(redis, signal.SIGCONT)
    serving.lifecycle.up()
    assert serving.pid("v7") == server
    answers(serving)


def test_a_service_that_cannot_be_had_keeps_nothing_else_down(serving: Backend, folder: Path) -> None:
    serving.lifecycle.down()
    (folder / "vectors.tsv").unlink()
    with pytest.raises(InvalidRequest, match=r"vectors\.tsv can't be read: No such file or directory\. Everything else is up\."):
        serving.lifecycle.up()
    assert serving.serving.invoke("rel", REQUEST, "v1").status == 200


def test_a_service_that_is_configured_no_more_is_taken_away(serving: Backend, folder: Path) -> None:
    serving.driver.reach(content(V1))
    plain = Backend(folder, "test")
    plain.lifecycle.up()
    assert set(plain.pids()) == {"gateway", "envoy", "variants/rel/v1"}
    assert set(read_json(plain.root / "ports.json") or {}) == {"gateway", "rel/v1"}


def test_a_server_that_cannot_come_up_keeps_the_others_up(serving: Backend) -> None:
    serving.lifecycle.down()
    copy = Path((read_json(serving.layout.variant("rel", "v1") / "spec.json") or {})["artifact"])
    copy.write_bytes(b"rot")
    parts = {part.name: part for part in serving.lifecycle.up()}
    assert parts["rel v7"].healthy
    assert (parts["rel v1"].state, parts["rel v1"].healthy) == ("dead", False)
    assert "is not what was registered" in parts["rel v1"].detail
    serving.driver.reach(content(WORDS, V1, shares=(0, 10_000)))  # The step mends our copy from its source.
    answers_of_v1 = serving.serving.invoke("rel", REQUEST)
    assert answers_of_v1.outputs == {"score": 4.0}


def test_a_workspace_that_was_moved_comes_up_where_it_is(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = Backend(folder)
    first.serve(V1)
    first.lifecycle.down()
    moved = tmp_path_factory.mktemp("elsewhere") / "workspace"
    folder.rename(moved)
    second = Backend(moved)
    try:
        second.lifecycle.up()
        assert second.serving.invoke("rel", REQUEST).outputs == {"score": 4.0}
    finally:
        second.close()


def test_a_platform_without_envoy_is_one_sentence_and_starts_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "envoy", None)
        with pytest.raises(Refused, match="Envoy, the local gateway, is not installed here") as caught:
            backend.lifecycle.up()
        assert "mlconsole[local]" in caught.value.next
        assert backend.lifecycle.parts() == []
        assert backend.lifecycle.down() == []
    assert backend.pids() == {}


def test_nothing_of_it_is_a_state_too(backend: Backend) -> None:
    """Before the first `up`: looking makes nothing, and says what is missing."""
    assert backend.serving.list() == []
    assert backend.serving.describe("rel").variants == ()
    for call in (lambda: backend.traffic.report("rel"), lambda: backend.serving.invoke("rel", REQUEST)):
        with pytest.raises(BackendError, match="local up"):
            call()
    assert not backend.root.exists()


def test_two_environments_do_not_meet(folder: Path) -> None:
    staging, production = Backend(folder, "staging"), Backend(folder, "production")
    try:
        staging.serve(V1)
        production.bench = staging.bench.__class__(**{**vars(production.bench), "versions": (V2, V1)})
        production.serve(V2)
        assert staging.serving.invoke("rel", REQUEST).outputs == {"score": 4.0}
        assert production.serving.invoke("rel", REQUEST).outputs == {"score": 6.0}
        used = [{int(port) for port in (read_json(one.root / "ports.json") or {}).values()} for one in (staging, production)]
        assert not used[0] & used[1]
        before = production.pids()
        cursor = production.predictions.cursor_at(production.context.clock.now())
        assert staging.serving.invoke("rel", REQUEST).status == 200
        staging.driver.reach(NOTHING)
        staging.lifecycle.down()
        assert production.pids() == before
        sent = production.serving.invoke("rel", REQUEST)
        seen = until(lambda: production.predictions.read(cursor).observations)
        assert {each.request_id for each in seen} == {sent.request_id}
        assert production.serving.list() == ["rel"]
        assert staging.serving.list() == []
    finally:
        staging.close()
        production.close()
