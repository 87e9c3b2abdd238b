"""The sample workspace with real servers: the first path that a newcomer walks, and real things that go wrong there."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.kit import Console, ended, press_ctrl_c, until

pytestmark = [pytest.mark.real]


@pytest.fixture(scope="module")
def served(live: Console) -> Console:
    """relevance@3 serves, nothing else is there."""
    live.run("deploy", "relevance@3", "--yes")
    return live


@pytest.fixture
def world(served: Console) -> Iterator[Console]:
    """The module's servers, put back to release #1 after the test."""
    yield served
    served.run("recover")
    served.run("revert", "relevance", "--to", "1", "--yes")


def desired(console: Console, endpoint: str = "relevance") -> dict[str, float]:
    """Desired share of each variant; reported is the same, and all is well."""
    body = console.json("endpoints", "show", endpoint)
    assert body["status"] == "ok", body
    assert all(one["desired"] == one["reported"] for one in body["variants"])
    return {one["name"]: one["desired"] for one in body["variants"]}


def ask(body: Any, headers: dict[str, str] | None = None, count: int = 1) -> Counter[str]:
    """The contract's example, sent as any program would; who answered."""
    example, url = body["example"], urlsplit(body["url"])
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
    who: Counter[str] = Counter()
    for _ in range(count):
        connection.request(example["method"], example["path"], example["body"], {**example["headers"], **(headers or {})})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        assert answer["outputs"][0]["name"] == "score"
        who[response.headers["x-mlconsole-variant"]] += 1
    connection.close()
    return who


def processes(root: Path) -> list[str]:
    """Command lines of what still runs out of a workspace."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(root) in line:
            found.append(line)
    return found


@pytest.mark.xdist_group("e2e-live")
def test_the_walk_of_the_contract(world: Console) -> None:
    """deploy → shift → shadow → revert, each seen in what consumers really got."""
    body = world.json("endpoints", "show", "relevance")
    assert ask(body) == {"v3": 1}
    world.run("deploy", "relevance@4", "--env", "staging", "--traffic", "10", "--yes")
    body = world.json("endpoints", "show", "relevance")
    assert {one["name"]: one["observed"] for one in body["variants"]} == {"v3": None, "v4": None}
    who = ask(body, count=300)
    assert set(who) == {"v3", "v4"}
    assert ask(body, {"x-mlconsole-variant": "v4"}, 5) == {"v4": 5}

    def observed() -> Any:
        shown = world.json("endpoints", "show", "relevance")
        return shown if shown["requests"] >= 305 else None

    shown = until(observed)
    # Pinned requests are counted, but tell nothing about the split.
    assert {one["name"]: (round(300 * one["observed"] / 100), one["observed_n"]) for one in shown["variants"]} == {
        name: (count, 300) for name, count in who.items()
    }
    world.run("traffic", "set", "relevance", "v4=0", "--shadow", "v4=100", "--yes")
    assert ask(shown, count=20) == {"v3": 20}
    copies = until(lambda: (seen := world.json("endpoints", "show", "relevance")["shadow"])["observed"] == 100.0 and seen)
    assert copies == {"variant": "v4", "desired": 100.0, "reported": 100.0, "observed": 100.0}
    world.run("traffic", "set", "relevance", "v4=100", "--slice", "language=pl", "--shadow", "none", "--yes")
    assert ask(shown, {"x-slice-language": "pl"}, 3) == {"v4": 3}
    assert ask(shown, {"x-slice-language": "de"}, 3) == {"v3": 3}
    world.run("revert", "relevance", "--to", "2", "--yes")
    assert desired(world) == {"v3": 90.0, "v4": 10.0}


@pytest.mark.xdist_group("e2e-live")
def test_what_is_copied_out_of_the_terminal_works(world: Console) -> None:
    told = world.run("endpoints", "show", "relevance").out
    line = re.search(r"curl .*", told)
    assert line is not None
    if shutil.which("curl"):
        done = subprocess.run(["bash", "-c", line[0]], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["outputs"][0]["name"] == "score"
    answer = world.run("endpoints", "invoke", "relevance", "title=Port closed", "body=Strike in Gdansk", "language=pl").out
    assert re.match(r"score 0\.\d+ from v3 in \d+ ms\nsame as   curl ", answer)
    assert world.json("endpoints", "logs", "relevance")["lines"]


@pytest.mark.xdist_group("e2e-live")
def test_golden_queries_stop_what_is_broken_for_one_language(world: Console) -> None:
    result = world.run("deploy", "relevance@6", "--traffic", "10", "--yes", code=1)
    assert "golden queries differ on v6" in result.err
    assert "what was created is removed" in result.err
    assert desired(world) == {"v3": 100.0}
    assert "v6" not in world.run("local", "status").out


@pytest.mark.xdist_group("e2e-live")
def test_an_artifact_that_does_not_load_leaves_the_live_state_alone(world: Console) -> None:
    source = world.root / "models" / "relevance" / "v4"
    for version, spoil in (("40", truncate), ("41", not_a_model)):
        folder = world.root / "models" / "relevance" / f"v{version}"
        shutil.copytree(source, folder)
        text = (folder / "model.yaml").read_text().replace("version: '4'", f"version: '{version}'")
        (folder / "model.yaml").write_text(text)
        spoil(folder / "artifact" / "model.onnx")
        world.run("models", "register", f"relevance@{version}", str(folder))
        result = world.run("deploy", f"relevance@{version}", "--traffic", "50", "--yes", code=1)
        assert f"v{version} did not come up" in result.err
        assert "can't" in result.err
        assert desired(world) == {"v3": 100.0}
        assert f"v{version}" not in world.run("local", "status").out
        assert world.json("history", "show", "relevance")["change"]["state"] == "went back"
    # A digest that no longer matches: an alarm, and not even a plan.
    (folder / "artifact" / "model.onnx").write_bytes(b"again others")
    result = world.run("deploy", "relevance@41", "--yes", code=1)
    assert result.out == ""
    assert result.sentence.startswith("ALARM: the artifact of relevance@41 was changed after it was registered")


def truncate(model: Path) -> None:
    """Half of it is missing."""
    model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])


def not_a_model(model: Path) -> None:
    """A web page that was saved in its place."""
    model.write_text("<html><body>404 Not Found</body></html>")


@pytest.mark.xdist_group("e2e-live")
def test_kill_9_of_the_console_while_a_server_starts(world: Console) -> None:
    body = world.json("endpoints", "show", "relevance")
    with world.started("deploy", "relevance@4", "--traffic", "30", "--yes") as deploying:
        # The files tell it at once: a command that asked would see it when it is ready, and gets its share a moment later.
        until((world.root / ".mlconsole/local/staging/variants/relevance/v4/spec.json").exists)
        deploying.kill()
        deploying.wait()
    assert ask(body, count=20) == {"v3": 20}
    shown = world.json("status")["endpoints"][0]
    assert (shown["status"], shown["operation"]["state"]) == ("look", "interrupted")
    assert world.run("recover").out.startswith("✔")
    assert desired(world) in ({"v3": 100.0}, {"v3": 70.0, "v4": 30.0})


@pytest.mark.xdist_group("e2e-live")
def test_ctrl_c_while_a_server_starts(world: Console) -> None:
    with world.started("deploy", "relevance@4", "--traffic", "30", "--yes") as deploying:
        until(lambda: "v4" in world.run("local", "status", code=(0, 1)).out)
        press_ctrl_c(deploying)
        result = ended(deploying)
    assert result.code in (0, 130), result
    if result.code == 130:
        assert "Stopping, and going back" in result.err
        assert desired(world) == {"v3": 100.0}
        assert "v4" not in world.run("local", "status").out


@pytest.mark.xdist_group("e2e-live")
def test_a_server_that_dies_while_it_is_deployed(world: Console) -> None:
    def server() -> int | None:
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = place.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"python" in words[0] and b"mlconsole_local.server" in words and b"v7" in words and str(world.root) in str(words):
                return int(place.parent.name)
        return None

    with world.started("deploy", "relevance@7", "--traffic", "30", "--yes") as deploying:
        os.kill(until(server) or 0, signal.SIGKILL)
        result = ended(deploying)
    assert result.code == 1
    assert "v7" in result.err
    assert "what was created is removed" in result.err
    assert desired(world) == {"v3": 100.0}
    assert "v7" not in world.run("local", "status").out


@pytest.mark.xdist_group("e2e-live")
def test_a_server_that_dies_is_failing_and_named(world: Console) -> None:
    world.run("deploy", "relevance@4", "--traffic", "20", "--yes")
    pid = next(one["resources"]["pid"] for one in world.json("endpoints", "show", "relevance")["variants"] if one["name"] == "v4")
    os.kill(int(pid), signal.SIGKILL)
    told = until(lambda: (seen := world.run("status", code=(0, 1))).code == 1 and seen.out)
    assert "v4" in told
    assert "relevance" in world.run("status", "--line", code=1).out
    assert max(map(len, told.splitlines())) <= 46
    # Back in one command, though what serves is ill.
    world.run("revert", "relevance", "--yes")
    assert desired(world) == {"v3": 100.0}


@pytest.mark.xdist_group("e2e-live")
def test_down_and_up_again_and_everything_is_as_it_was(world: Console) -> None:
    world.run("deploy", "relevance@4", "--traffic", "20", "--yes")
    world.run("local", "down")
    assert processes(world.root) == []
    assert "mlconsole local up" in world.run("status", code=6).out
    assert "mlconsole local up" in world.refused("deploy", "relevance@5", "--yes", code=6)
    assert world.run("local", "down").out == "Nothing to do: nothing ran.\n"
    world.run("local", "up")
    assert desired(world) == {"v3": 80.0, "v4": 20.0}
    ask(world.json("endpoints", "show", "relevance"), count=5)


@pytest.mark.xdist_group("e2e-own")
def test_the_gateways_port_in_use(sample: Console) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = (sample.root / "mlconsole.yaml").read_text()
        (sample.root / "mlconsole.yaml").write_text(text.replace("      local:\n", f"      local:\n        port: {port}\n", 1))
        sentence = sample.refused("local", "up", code=1)
        assert str(port) in sentence
        assert "in use" in sentence or "taken" in sentence
        assert "port" in sentence.lower()
    sample.run("local", "up")
    assert str(port) in sample.run("local", "status").out
    # The legacy version reads its vectors from the workspace's own Redis.
    sample.run("deploy", "relevance@2", "--yes")
    answer = sample.json("endpoints", "invoke", "relevance")
    assert (answer["status"], answer["variant"]) == (200, "v2")


@pytest.mark.xdist_group("e2e-own")
def test_production_beside_staging(sample: Console) -> None:
    sample.run("local", "up", "--env", "production")
    sample.run("deploy", "delay-risk@1", "--env", "production", "--confirm", "delay-risk")
    body = sample.json("endpoints", "show", "delay-risk", "--env", "production")
    assert [one["name"] for one in body["variants"]] == ["v1"]
    assert sample.json("endpoints", "list")["endpoints"] == []
    sample.run("endpoints", "delete", "delay-risk", "--env", "production", "--confirm", "delay-risk")
    sample.run("local", "down", "--env", "production")
    assert processes(sample.root) == []


@pytest.mark.xdist_group("e2e-own")
def test_no_room_for_the_copy_of_an_artifact(sample: Console) -> None:
    """A file that may not grow beyond a size, as a quota or a full disk has it: what was begun is taken away."""
    sample.run("local", "up")
    sample.run("deploy", "relevance@3", "--yes")
    size = (sample.root / "models" / "relevance" / "v5" / "artifact" / "model.onnx").stat().st_size

    def no_larger() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 4096, size - 4096))

    result = sample.run("deploy", "relevance@5", "--break-glass", "a test", "--yes", code=1, preexec_fn=no_larger)
    assert "can't be copied" in result.err
    assert desired(sample) == {"v3": 100.0}
    copies = list((sample.root / ".mlconsole" / "local" / "staging" / "artifacts").iterdir())
    assert len(copies) == 1
