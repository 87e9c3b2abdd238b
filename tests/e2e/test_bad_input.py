"""Bad input: each one clear line (what, where, what to do next), an exit code, and nothing lost or changed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.kit import METADATA, NASTY, PROGRAM, Console, Simulated, artifact, clean, copied
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind

_REGISTRY = Path(".mlconsole") / "registry.db"


def intact(console: Console) -> None:
    """What was there before is there still, and all is well."""
    assert console.json("endpoints", "show", "relevance")["release"] == 1
    assert console.json("status")["counts"]["ok"] == 1


# mlconsole.yaml


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", r"mlconsole\.yaml:1:1: the file is empty\. A minimal one is: \{"),
        (b"workspace: [x", r"mlconsole\.yaml:1:\d+: "),
        (b"- a\n- b\n", r"mlconsole\.yaml:1:1: .* is a list"),
        (b"\x00\x01\x02\xff", r"mlconsole\.yaml:1:\d+: .*is this a text file\?"),
        (b"a" * 1_100_000, r"mlconsole\.yaml is larger than 1 MB"),
        (b"workspace: x\nenvironments:\n  a:\n    servng: local\n", r'mlconsole\.yaml:4:5: unknown key "servng" .*Did you mean serving\?'),
        (b"workspace: x\nenvironments:\n  a:\n    serving: locl\n", r'mlconsole\.yaml:4:14: .*no plugin "locl".*Did you mean local\?'),
        (
            b"workspace: x\nenvironments:\n  a: {serving: local, options: {local: {prot: 1}}}\n",
            r':3:41: unknown key "prot".*you mean port\?',
        ),
        (b"workspace: x\nenvironments:\n  a: {serving: local, options: {local: {port: 99999}}}\n", r":3:47: .*65"),
        (b"workspace: \x1b[31mx\nenvironments: {a: {serving: local}}\n", r"mlconsole\.yaml:1:12: the control character \\x1b"),
        (b"[" * 5000, r"mlconsole\.yaml:1:\d+: "),
    ],
    ids=["empty", "broken", "list", "binary", "huge", "unknown key", "unknown plugin", "unknown option", "bad option", "control", "deep"],
)
def test_a_bad_workspace_file(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "mlconsole.yaml").write_bytes(content)
    assert re.search(told, Console(tmp_path).refused("status")), told


def test_a_workspace_file_that_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mlconsole.yaml")
    console = Console(tmp_path)
    assert "mlconsole init" in console.refused("-w", str(tmp_path), "status")
    assert "mlconsole init" in console.refused("-w", "", "status")
    assert "mlconsole init" in console.refused("-w", "x" * 5000, "status")


# init


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    console = Console(tmp_path)
    assert "names no folder" in console.refused("init", "")
    (tmp_path / "file").write_text("mine")
    assert "is a file" in console.refused("init", "file")
    assert "can't be written" in console.refused("init", "file/below", code=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert "is not empty" in console.refused("init", "full", "--sample")
    console.run("init", "full")
    assert "is a workspace already" in console.refused("init", "full")
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["mlconsole.yaml", "notes.txt"]
    assert console.run("init", "späß & co/x y").code == 0
    console.run("init", "--dry-run", "never")
    assert not (tmp_path / "never").exists()


# shares


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        (["v4=-5"], '"-5" is not a share'),
        (["v4=101"], "101 % is more than all"),
        (["v4=10.123"], "at most two places"),
        (["v4=ten"], '"ten" is not a share'),
        (["v4=1e1"], '"1e1" is not a share'),
        (["v4=nan"], '"nan" is not a share'),
        (["v3=50", "v4=60"], "sum to 110 %"),
        (["v3=0", "v4=0"], "sum to 0 %"),
        (["v3=50", "v4=40"], "sum to 90 %"),
        (["v4"], "VARIANT=PERCENT"),
        (["v4=10", "v4=20"], "given twice"),
        ([], "No share was named"),
        (["v9=10"], "Did you mean v"),
        (["--shadow", "v4"], "VARIANT=PERCENT or none"),
        (["--shadow", "v3=10"], "answers requests already"),
        (["v4=10", "--slice", "language"], "KEY=VALUE"),
    ],
)
@pytest.mark.xdist_group("e2e-two")
def test_shares_that_make_no_sense(two: Simulated, shares: list[str], told: str) -> None:
    sentence = two.refused("traffic", "set", "relevance", *shares, "--yes")
    assert told in sentence


@pytest.mark.xdist_group("e2e-two")
def test_after_all_of_them_nothing_has_changed(two: Simulated) -> None:
    assert [one["release"] for one in two.json("history", "list")["changes"]] == [2, 1]


@pytest.fixture(scope="module")
def two(blank: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """v3 serves, v4 stands by; for tests that change nothing."""
    console = copied(blank, tmp_path_factory.mktemp("two"))
    console.run("deploy", "relevance@3", "--yes")
    console.run("deploy", "relevance@4", "--yes")
    return console


# names


@pytest.mark.xdist_group("e2e-two")
def test_unknown_names_are_told_with_the_nearest(two: Simulated) -> None:
    for arguments, told in (
        (["deploy", "relevence@3"], "Did you mean relevance?"),
        (["deploy", "relevance@33"], "Did you mean 3?"),
        (["deploy", "relevance"], "Write MODEL@VERSION"),
        (["deploy", "relevance@"], "Write MODEL@VERSION"),
        (["deploy", "relevance@latest"], '"latest" is no version'),
        (["deploy", "delay-risk@2"], "Known: 1."),
        (["deploy", "relevance@3", "--endpoint", "a b/c"], "can't name an endpoint"),
        (["deploy", "relevance@3", "--env", "prodution"], "Did you mean production?"),
        (["endpoints", "show", "relevanec"], "Did you mean relevance?"),
        (["endpoints", "remove", "relevance", "v44"], "Did you mean v4"),
        (["endpoints", "logs", "relevance", "--variant", "v44"], "Did you mean v4"),
        (["models", "show", "relevance@6"], "Known: 1.10, 3, 4, 5."),
        (["models", "list", "relevanc"], "Did you mean relevance?"),
        (["releases", "show", "relevance#77"], "no release relevance#77"),
        (["apply", "zzzz"], 'no plan "zzzz"'),
        (["wait", "zzzz"], 'no change "zzzz"'),
        (["recover", "zzzz"], 'no change "zzzz"'),
        (["plugins", "show", "locl"], "Did you mean local?"),
        (["statsu"], "Did you mean status?"),
        (["endpoints", "lsit"], "Did you mean list"),
    ):
        sentence = two.refused(*arguments)
        assert told in sentence, sentence
    assert "--help" in two.refused("status", "--nope")
    assert "--help" in two.refused("wait", "relevance", "--timeout", "soon")


def test_a_version_name_that_the_backend_can_not_take(sim: Simulated) -> None:
    sim.run("models", "register", "relevance@7+gpu.", str(artifact(sim.root / "odd")))
    sentence = sim.refused("deploy", "relevance@7+gpu.", "--yes")
    assert "v7-gpu-" in sentence
    assert "--variant" in sentence
    sim.run("deploy", "relevance@7+gpu.", "--variant", "gpu", "--yes")


# artifacts and metadata


def test_register_lists_all_that_is_missing(sim: Simulated) -> None:
    path = artifact(sim.root / "new", metadata="owner: me\n")
    sentence = sim.refused("models", "register", "relevance@6", str(path))
    for name in ("data.reference", "data.cutoff", "metrics.evaluation_set", "metrics.values", "preprocessing", "signature.inputs"):
        assert name in sentence
    assert "Nothing was registered" in sentence
    assert "--template" in sentence
    (sim.root / "new" / "model.yaml").write_text(sim.run("models", "register", "--template").out)
    assert "owner" in sim.refused("models", "register", "relevance@6", str(path))
    (sim.root / "new" / "model.yaml").unlink()
    assert "no metadata file beside" in sim.refused("models", "register", "relevance@6", str(path))
    assert "no artifact at" in sim.refused("models", "register", "relevance@6", "nowhere.onnx")
    assert "Where is the artifact" in sim.refused("models", "register", "relevance@6")
    assert len(sim.json("models", "list", "relevance")["versions"]) == 4


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ("model: relevance\nversion: 1.10\n" + METADATA, r'model\.yaml:2:10: .*1\.10.*"1\.10"'),
        ("version: latest\n" + METADATA, r"model\.yaml:1:10: .*latest"),
        (METADATA.replace("f1: 0.8", "f1: good"), r"model\.yaml:\d+:\d+: "),
        (METADATA.replace("owner", "ownr"), r'unknown key "ownr".*Did you mean owner\?'),
        (METADATA + "version: '9'\n", r"says version .9., the command says .6."),
        ("description: |\n  a\x07b\n" + METADATA, r"control character \\x07"),
    ],
)
def test_metadata_that_is_wrong(sim: Simulated, metadata: str, told: str) -> None:
    path = artifact(sim.root / "new", metadata=metadata)
    assert re.search(told, sim.refused("models", "register", "relevance@6", str(path)))


def test_other_bytes_under_the_same_version(sim: Simulated) -> None:
    path = sim.root / "models" / "relevance@3" / "model.bin"
    assert sim.json("models", "register", "relevance@3", str(path))["new"] is False
    path.write_bytes(b"other bytes")
    sentence = sim.refused("models", "register", "relevance@3", str(path), code=5)
    assert "relevance@3" in sentence
    assert "relevance@latest" not in sentence
    assert '"latest" is no version' in sim.refused("models", "register", "relevance@latest", str(path))
    # The file on disk is no longer what was registered: an alarm, not a deployment.
    sentence = sim.refused("deploy", "relevance@3", "--yes", code=1)
    assert sentence.startswith("ALARM")
    assert "Nothing was deployed" in sentence
    path.unlink()
    assert "no artifact at" in sim.refused("deploy", "relevance@3", "--yes")
    assert sim.json("endpoints", "list")["endpoints"] == []


# control sequences


def test_control_sequences_come_out_harmless_wherever_they_come_from(served: Simulated) -> None:
    """`Console.run` looks for raw ones in all that it prints; here they are put in wherever that is possible."""
    quoted = json.dumps(NASTY)  # YAML reads it so
    path = artifact(served.root / "new", metadata=METADATA.replace("owner: team", f"owner: {quoted}\ndescription: {quoted}"))
    served.run("models", "register", "relevance@6", str(path))
    served.run("models", "list")
    served.json("models", "show", "relevance@6")
    assert "\\x1b[31m" in served.run("models", "show", "relevance@6").out
    served.run("models", "register", f"bad{NASTY}@1", str(path), code=2)
    served.run("models", "register", f"relevance@{NASTY}", str(path), code=2)
    for arguments in (
        ["endpoints", "show", NASTY],
        ["deploy", "relevance@3", "--endpoint", NASTY, "--yes"],
        ["deploy", f"{NASTY}@3"],
        ["deploy", "relevance@3", "--variant", NASTY, "--yes"],
        ["status", "--env", NASTY],
        ["apply", NASTY],
        ["history", "show", NASTY],
        ["plugins", "show", NASTY],
        ["-w", f"/{NASTY}", "status"],
        [NASTY],
        ["traffic", "set", "relevance", f"{NASTY}=10"],
        ["traffic", "set", "relevance", f"v3={NASTY}"],
        ["traffic", "set", "relevance", "v3=10", "--slice", f"language={NASTY}"],
        ["--json", "endpoints", "show", NASTY],
    ):
        served.run(*arguments, code=2)
    served.run("deploy", "relevance@4", "--reason", f"two\nlines {NASTY}", "--yes")
    for arguments in (["history", "list"], ["releases", "list"], ["history", "show", "relevance"], ["releases", "show", "relevance#2"]):
        told = served.run(*arguments).out
        assert "two\nlines" not in told
    world = served.world()
    world.inject(Fault(FaultKind.FAIL_VARIANT, on="serving.start", reason=f"died of {NASTY}\nand more"))
    result = served.run("deploy", "relevance@5", "--yes", code=1)
    assert "died of \\x1b[31m" in result.err
    served.json("history", "show", "relevance")
    world.inject(Fault(FaultKind.REFUSE, on="traffic.start", reason=NASTY))
    served.run("traffic", "set", "relevance", "v4=10", "--yes", code=1)
    world.write_log("relevance", "v3", f"log {NASTY}\r\x08\x7f")
    assert "log \\x1b" in served.run("endpoints", "logs", "relevance").out
    digest = served.json("models", "show", "relevance@3")["version"]["digest"]
    world.behave(digest, Behaviour(refuses={"*": f"no {NASTY}"}))
    served.run("endpoints", "invoke", "relevance", "text=x", code=1)
    served.json("endpoints", "invoke", "relevance", f"text={NASTY}", code=1)
    world.change_outside("relevance", fail={"v3": f"ill {NASTY}"})
    for arguments in (["status"], ["status", "--line"], ["endpoints", "list"], ["endpoints", "show", "relevance"]):
        served.run(*arguments, code=(0, 1))
    served.json("status", code=1)


# the registry


def test_a_registry_that_can_not_be_used(served: Simulated) -> None:
    registry = served.root / _REGISTRY
    good = registry.read_bytes()
    for content, told in (
        (b"", "is empty (0 bytes)"),
        (b"hello, I am a text\n" * 100, "is not an SQLite database"),
        (good[:5000] + b"\xa5" * (len(good) - 5000), "damaged"),
    ):
        registry.write_bytes(content)
        for extra in ("-wal", "-shm"):
            registry.with_name(registry.name + extra).unlink(missing_ok=True)
        sentence = served.refused("releases", "list", code=1)
        assert told in sentence, sentence
        assert str(registry) in sentence
        assert "deploy" not in served.refused("deploy", "relevance@4", "--yes", code=1)
        assert registry.read_bytes() == content
    registry.write_bytes(good)
    intact(served)


def test_a_registry_of_a_newer_release(served: Simulated) -> None:
    registry = served.root / _REGISTRY
    with sqlite3.connect(registry) as database:
        known = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute("PRAGMA user_version = 999")
    database.close()
    sentence = served.refused("status", code=1)
    assert "newer mlconsole (schema 999" in sentence
    assert "Upgrade mlconsole" in sentence
    served.refused("deploy", "relevance@4", "--yes", code=1)
    with sqlite3.connect(registry) as database:
        database.execute(f"PRAGMA user_version = {known}")
    database.close()
    intact(served)


def test_a_registry_locked_by_another_process(served: Simulated) -> None:
    database = sqlite3.connect(served.root / _REGISTRY, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    sentence = served.refused("deploy", "relevance@4", "--yes", "--timeout", "1", code=5)
    assert "locked by another process" in sentence
    served.run("status")  # who only reads is not held up
    database.execute("COMMIT")
    database.close()
    intact(served)


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/self/mounts").exists(), reason="needs a read-only mount, so root")
def test_a_registry_on_a_read_only_disk(served: Simulated) -> None:
    with mounted(served.root / ".mlconsole", "read-only"):
        assert served.json("status")["endpoints"][0]["release"] == 1
        sentence = served.refused("deploy", "relevance@4", "--yes", code=1)
        assert "can only be read" in sentence
    intact(served)


@contextmanager
def mounted(place: Path, kind: str) -> Iterator[None]:
    """A mount over a folder: a small disk of its own, or the folder itself, read-only."""
    steps = {
        "read-only": [["--bind", str(place), str(place)], ["-o", "remount,ro,bind", str(place)]],
        "small": [["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]],
    }[kind]
    for words in steps:
        if subprocess.run(["mount", *words], capture_output=True, check=False).returncode:
            pytest.skip("this machine lets nobody mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


# the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("needs a small disk to mount, so root")
    place = tmp_path / "disk"
    place.mkdir()
    with mounted(place, "small"):
        yield place


def test_init_on_a_full_disk_leaves_nothing_behind(small_disk: Path) -> None:
    sentence = Console(small_disk).refused("init", "ws", "--sample", code=1)
    assert "No space left on device" in sentence
    assert list(small_disk.iterdir()) == []


def test_a_full_disk_under_the_registry(served: Simulated, small_disk: Path) -> None:
    ws = small_disk / "ws"
    shutil.copytree(served.root, ws)
    console = Simulated(ws, served.variables)
    filler = small_disk / "filler"
    free = os.statvfs(small_disk)
    with filler.open("wb") as file:
        file.write(b"\0" * free.f_bavail * free.f_frsize)
    sentence = console.refused("deploy", "relevance@4", "--yes", code=1)
    assert "full" in sentence or "can't be" in sentence
    assert "df " in sentence or "room" in sentence
    filler.unlink()
    intact(console)
    console.run("deploy", "relevance@4", "--yes")


def test_a_file_that_may_not_grow_stops_a_registration_and_nothing_is_lost(sim: Simulated) -> None:
    """As a quota does: each write beyond a size fails."""
    path = artifact(sim.root / "new", b"new")

    def no_larger() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # less than any page of the write-ahead log with its header

    result = sim.run("models", "register", "relevance@6", str(path), code=1, preexec_fn=no_larger)
    assert "registry" in result.sentence
    assert len(sim.json("models", "list", "relevance")["versions"]) == 4
    sim.run("models", "register", "relevance@6", str(path))


@pytest.mark.xdist_group("e2e-two")
def test_an_answer_that_can_not_be_written(two: Simulated) -> None:
    def shell(line: str) -> tuple[int, str]:
        words = ["bash", "-c", f"set -o pipefail; {PROGRAM} {line}"]
        done = subprocess.run(words, capture_output=True, cwd=two.root, env=two.environ(), text=True, check=False)
        return done.returncode, done.stderr

    lost = "The answer can't be written: No space left on device. Nothing more was done.\n"
    assert shell("models list > /dev/full") == (1, lost)
    code, told = shell("traffic set relevance v4=10 --yes > /dev/full")
    assert (code, "Nothing was changed" in told) == (2, True)
    for line in ("models list | head -n 1", "models list >&-", "status >&- 2>&-"):
        assert shell(line) == (0, "")
    assert two.json("endpoints", "show", "relevance")["release"] == 2


# our own bugs


def test_a_case_that_nobody_thought_of_is_told_in_one_line(sim: Simulated, tmp_path: Path) -> None:
    site = tmp_path / "broken"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import mlconsole.engine.endpoints as endpoints\n"
        "def overview(*_, **__): raise KeyError('tell\\x1b[31m me\\nmore')\n"
        "endpoints.overview = overview\n"
    )
    variables = {"PYTHONPATH": f"{site}:{sim.variables['PYTHONPATH']}"}
    done = subprocess.run(
        [PROGRAM, "status", "--json"],
        cwd=sim.root,
        env=sim.environ(**variables, TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("mlconsole met a case it was not made for (KeyError: ")
    assert json.loads(done.stdout)["error"]["code"] == "bug"
    (log,) = tmp_path.glob("mlconsole-*.log")
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    with pytest.raises(AssertionError):
        clean(done.stderr)


# two at once


def test_two_changes_at_once_one_wins_and_the_other_is_told_who(served: Simulated) -> None:
    world = served.hang("serving.start")
    with served.started("deploy", "relevance@4", "--traffic", "10", "--yes", "--json") as first:
        served.reached(world, "serving.start")
        result = served.run("deploy", "relevance@5", "--yes", "--json", code=5)
        assert result.error["code"] == "locked"
        assert re.search(r"relevance is locked by \S+@\S+ since \d\d:\d\d \(", result.error["message"])
        assert "mlconsole wait relevance" in result.error["next"]
        # Another endpoint is nobody's business here.
        served.run("deploy", "delay-risk@1", "--yes")
        # Reading goes on.
        assert served.json("status")["endpoints"][0]["status"] == "changing"
        world.release()
        assert first.wait(20) == 0
    assert [one["desired"] for one in served.json("endpoints", "show", "relevance")["variants"]] == [90.0, 10.0]


def test_a_race_from_the_same_moment(served: Simulated) -> None:
    """A gate opened for all at once; exactly one gets through, nobody sees a lock of SQLite."""
    gate = served.root / "gate"
    gate.touch()
    with gate.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        line = f"flock -s gate true; exec {PROGRAM} deploy relevance@4 --variant $0 --yes"
        racers = [
            subprocess.Popen(["bash", "-c", line, f"r{number}"], cwd=served.root, env=served.environ(), stdout=-1, stderr=-1, text=True)
            for number in range(3)
        ]
        fcntl.flock(held, fcntl.LOCK_UN)
        told = [(racer.communicate(timeout=60), racer.returncode) for racer in racers]
    codes = [code for _, code in told]
    assert codes.count(0) >= 1
    assert set(codes) <= {0, 5}, told
    for (out, err), _ in told:
        clean(out + err)
        assert "database is locked" not in err
    variants = {one["name"] for one in served.json("endpoints", "show", "relevance")["variants"]}
    assert len(variants) == 1 + codes.count(0)
