"""The client that applications copy: only whole, valid versions, the last one kept, and its share of the clients."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.kit import until
from local.test_configstore import NAME, document, folder, publish
from mlconsole.core.documents import WHOLE, Document, digest_of

SCRIPT = Path(__file__).parents[2] / "sample_workspace" / "client" / "configclient.py"


def load() -> ModuleType:
    """The module, from where it lies: an application has its own copy."""
    spec = importlib.util.spec_from_file_location("configclient", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["configclient"] = module
    spec.loader.exec_module(module)
    return module


configclient = load()


def reader(root: Path, **options: Any) -> Any:
    return configclient.ConfigClient(root / "config", NAME, **{"interval": 0.0, "client": "c", **options})


def body(number: int) -> bytes:
    return json.dumps({"version": number}).encode()


def put(root: Path, number: int, share: int = WHOLE) -> None:
    """Version `number` for a share of the clients; the others read the one before it."""
    before = (number - 1, body(number - 1)) if share < WHOLE else None
    publish(root, document(number, body(number), share, before), body(number))


def test_it_reads_what_is_published_and_what_replaces_it(root: Path) -> None:
    put(root, 1)
    client = reader(root)
    found = client.get()
    assert (found.value, found.body, found.version, found.publication, found.digest) == ({"version": 1}, body(1), 1, 1, digest_of(body(1)))
    put(root, 2)
    assert client.value == {"version": 2}
    publish(root, document(1, body(1)))
    assert client.value == {"version": 1}
    assert client.config.publication == 3
    assert client.problem == ""


def test_nothing_is_read_yet(root: Path) -> None:
    client = reader(root)
    with pytest.raises(configclient.NothingRead, match="not there"):
        client.get()
    assert client.config is None
    put(root, 1)
    assert client.value == {"version": 1}


@pytest.mark.parametrize(
    "harm",
    [
        lambda there: (there / "versions/000002.json").unlink(),
        lambda there: (there / "versions/000002.json").write_bytes(b""),
        lambda there: (there / "versions/000002.json").write_bytes(b'{"version"'),
        lambda there: (there / "versions/000002.json").write_bytes(b'{"version": 3}'),
        lambda there: (there / "current.json").unlink(),
        lambda there: (there / "current.json").write_bytes(b""),
        lambda there: (there / "current.json").write_bytes(b"[1]"),
        lambda there: (there / "current.json").write_bytes(b'{"schema": 1}'),
        lambda there: (there / "current.json").write_bytes((there / "current.json").read_bytes()[:90]),
        lambda there: (there / "current.json").write_text((there / "current.json").read_text().replace('"schema": 1', '"schema": 2')),
        lambda there: (there / "current.json").write_text((there / "current.json").read_text().replace("versions/000002", "../../secret")),
        lambda there: (there / "current.json").write_text((there / "current.json").read_text().replace('"models"', '"others"')),
    ],
    ids=["gone", "empty", "cut", "other", "none", "nothing in it", "a list", "no fields", "half", "newer", "outside", "another's"],
)
def test_whatever_is_wrong_the_last_version_is_kept(root: Path, harm: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Trap 32: a client took an empty body for a configuration. Ours says what is wrong, once, and goes on with what it has."""
    put(root, 1)
    client = reader(root)
    client.get()
    put(root, 2)
    kept = (folder(root) / "current.json").read_bytes(), (folder(root) / "versions/000002.json").read_bytes()
    harm(folder(root))
    for _ in range(3):
        assert client.value == {"version": 1}
    assert client.problem
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert "version 1 is kept" in told[0]
    (folder(root) / "current.json").write_bytes(kept[0])
    (folder(root) / "versions/000002.json").write_bytes(kept[1])
    assert client.value == {"version": 2}
    assert client.problem == ""


@pytest.mark.parametrize("text", [b"\xff{}", b"nothing", b"[" * 100_000])
def test_what_does_not_parse_is_no_version(root: Path, text: bytes) -> None:
    put(root, 1)
    client = reader(root)
    client.get()
    publish(root, document(2, text), text)
    assert client.value == {"version": 1}
    assert client.problem


def test_yaml_wants_a_parser(root: Path) -> None:
    text = b"a: 1  # why\n"
    publish(root, document(1, text), text)
    with pytest.raises(configclient.NothingRead, match="wants a parser"):
        reader(root).get()
    found = reader(root, parse=lambda raw: raw.decode().split()).get()
    assert (found.value[0], found.body) == ("a:", text)

    def failing(raw: bytes) -> Any:
        raise RuntimeError("no such tag")

    with pytest.raises(configclient.NothingRead, match="RuntimeError: no such tag"):
        reader(root, parse=failing).get()


def test_the_interval_is_obeyed_after_failures_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(configclient.time, "monotonic", lambda: now[0])
    client = reader(root, interval=15.0)
    assert client.look() is False
    put(root, 1)
    now[0] += 14.9
    with pytest.raises(configclient.NothingRead):
        client.get()
    now[0] += 0.1
    assert client.value == {"version": 1}
    put(root, 2)
    now[0] += 14.9
    assert client.value == {"version": 1}
    now[0] += 0.1
    assert client.value == {"version": 2}


def test_a_growing_share_takes_nobody_back_and_is_about_as_large_as_said(root: Path) -> None:
    put(root, 1)
    clients = [reader(root, client=f"host-{number}") for number in range(400)]
    assert {client.get().version for client in clients} == {1}
    reached: set[int] = set()
    for share in (0, 1000, 2000, 5000, 9000, WHOLE):
        put(root, 2, share)
        now = {place for place, client in enumerate(clients) if client.get().version == 2}
        assert reached <= now, "somebody went back to the old version while its share grew"
        assert abs(len(now) - 400 * share / WHOLE) <= 40
        reached = now
    assert len(reached) == 400


def test_other_clients_are_the_first_next_time(root: Path) -> None:
    put(root, 1)
    clients = [reader(root, client=f"host-{number}") for number in range(200)]
    firsts = []
    for number in (2, 3):
        put(root, number, 2000)
        firsts.append({place for place, client in enumerate(clients) if client.get().version == number})
        put(root, number)
    assert firsts[0] != firsts[1]


def test_the_rule_of_shares_is_the_one_that_is_written_down() -> None:
    """docs/roles.md tells it, for clients in other languages: changing it would move everybody."""
    assert [configclient.bucket("models", seed, "host-1") for seed in (1, 2, 3)] == [6113, 3513, 5187]
    assert configclient.bucket("models", 1, "host-2") == 91


def test_changes_are_told_in_order_and_only_changes(root: Path) -> None:
    told: list[tuple[int, int | None]] = []
    put(root, 1)
    client = reader(root, on_change=lambda new, old: told.append((new.version, old and old.version)))
    for _ in range(3):
        client.look()
    put(root, 2, 0)
    client.look()
    assert client.config.publication == 2
    put(root, 2)
    client.look()
    assert told == [(1, None), (2, 1)]


def test_a_callback_that_fails_ends_nothing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    def failing(new: Any, old: Any) -> None:
        raise ZeroDivisionError

    put(root, 1)
    client = reader(root, on_change=failing)
    assert client.value == {"version": 1}
    assert "on_change failed for version 1" in caplog.text
    put(root, 2)
    assert client.value == {"version": 2}


def test_a_thread_looks_and_ends(root: Path) -> None:
    put(root, 1)
    changed = threading.Event()
    with reader(root, interval=0.01, on_change=lambda new, old: new.version == 2 and changed.set()) as client:
        assert client.config.version == 1, "the first look is over when it has started"
        before = threading.active_count()
        client.start()
        assert threading.active_count() == before, "a second thread was started"
        put(root, 2)
        assert changed.wait(10)
    assert not [thread for thread in threading.enumerate() if thread.name == f"config {NAME}"]
    put(root, 3)
    assert client.config.version == 2
    client.start()
    until(lambda: client.config.version == 3)
    client.close()


def test_many_threads_read_one_client(root: Path) -> None:
    put(root, 1)
    client = reader(root)
    seen: list[list[int]] = []
    over = threading.Event()

    def read() -> None:
        mine = []
        while not over.is_set():
            found = client.get()
            assert found.value == {"version": found.version}
            mine.append(found.publication)
        seen.append(mine)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 30):
        put(root, number)
    until(lambda: client.config is not None and client.config.version == 29)
    over.set()
    for thread in threads:
        thread.join()
    assert len(seen) == 4, "a thread broke off"
    assert all(mine == sorted(mine) for mine in seen)


def test_a_folder_that_was_put_back_is_read_and_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever restores a backup means it: a client that refused it would read nothing new for a long time."""
    put(root, 1)
    first = (folder(root) / "current.json").read_bytes()
    put(root, 2)
    client = reader(root)
    client.get()
    (folder(root) / "current.json").write_bytes(first)
    assert client.value == {"version": 1}
    assert "publication 1 after 2" in caplog.text


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-I", str(SCRIPT), str(root / "config"), NAME, *arguments], capture_output=True, check=False)


def test_people_print_it(root: Path) -> None:
    done = run(root)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is not there" in done.stderr
    text = b"a: 1  # a comment\n"
    publish(root, Document(NAME, 1, digest_of(text)), text)
    done = run(root)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, b"")


def _heeds_ctrl_c() -> None:
    """Tests that run in the background of a shell are deaf to it, and so is what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_people_watch_it(root: Path) -> None:
    put(root, 1)
    command = [sys.executable, "-I", str(SCRIPT), str(root / "config"), NAME, "--watch", "--interval", "0.01"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        preexec_fn=_heeds_ctrl_c,  # noqa: PLW1509 - it takes no lock
    ) as process:
        assert process.stdout is not None
        assert "models 1, publication 1, 14 bytes" in process.stdout.readline()
        put(root, 2)
        assert "models 2, publication 2" in process.stdout.readline()
        (folder(root) / "current.json").write_bytes(b"")
        line = process.stdout.readline()
        assert "models 2, publication 2" in line
        assert "JSONDecodeError" in line
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(10) == 130
        finally:
            process.kill()
