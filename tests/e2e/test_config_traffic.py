"""Traffic that is held in a config document, with real servers: applications read in it whom to ask, and ask for a variant by its name."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.kit import Console, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("e2e-own")]

_RATE = 60
_SHORT = """\
policies:
  short:
    {stages: [50, 100], wait: 2, evidence: 40, bake: 2, guards: {errors: {by_slice: false}, identical: {by_slice: false}, split: {}}}
  patient: {stages: [50, 100], wait: 600, bake: 2}
"""


class Application:
    """`client/application.py` of the workspace, as its own process; what it told last."""

    def __init__(self, console: Console) -> None:
        folder = console.root / ".mlconsole" / "local" / "staging" / "config"
        script = console.root / "client" / "application.py"
        url = console.json("endpoints", "show", "relevance")["url"]
        words = [sys.executable, str(script), str(folder), "models", "--url", url, "--rate", str(_RATE), "--client", "tests", "--json"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.told: dict[str, Any] = {"asked": 0, "failed": 0, "version": 0, "problem": ""}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told = json.loads(line)

    def reads(self, version: int) -> None:
        """Wait until it decides by that version."""
        until(lambda: self.told["version"] == version, 20.0)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self._thread.join(10)


@pytest.fixture
def held(sample: Console) -> Console:
    """The sample workspace, its staging with traffic in the document; config 1 is published, v3 serves."""
    text = (sample.root / "mlconsole.yaml").read_text()
    text = text.replace("    traffic: local\n", "    traffic_in: models\n", 1).replace("policies:\n", _SHORT, 1)
    (sample.root / "mlconsole.yaml").write_text(text)
    sample.run("trust", "--yes")
    sample.run("local", "up")
    sample.run("config", "edit", "models", "--file", "config/models.json", "--reason", "the first")
    sample.run("config", "publish", "models", "--at-once", "--yes")
    sample.run("deploy", "relevance@3", "--yes")
    return sample


@pytest.fixture
def application(held: Console) -> Iterator[Application]:
    made = Application(held)
    until(lambda: made.told["asked"] >= 20, 30.0)
    yield made
    made.end()


def document(console: Console) -> Any:
    return json.loads(console.run("config", "show", "models").out)


def splits(console: Console) -> dict[str, Any]:
    return {name: entry["split"] for name, entry in document(console)["relevance"].items()}


def observed(console: Console, least: int = 200) -> Any:
    """The endpoint, once so many requests were seen since its traffic last changed."""

    def seen() -> Any:
        body = console.json("endpoints", "show", "relevance")
        return body if body["variants"][0]["observed_n"] >= least else None

    body = until(seen)
    assert body["status"] == "ok", body
    assert all(one["desired"] == one["reported"] for one in body["variants"])
    return body


def share(body: Any, variant: str = "v4") -> float:
    return float(next(one["observed"] for one in body["variants"] if one["name"] == variant))


def edited(console: Console, value: str, reason: str) -> None:
    """Publish another value; where shares are written just then, on top of them."""
    console.run("config", "edit", "models", value, "--reason", reason)
    while console.run("config", "publish", "models", "--at-once", "--yes", code=(0, 5)).code:
        console.run("config", "rebase", "models", code=(0, 5))


def test_sliders_slices_reverts_and_deletion_work_as_anywhere(held: Console, application: Application) -> None:
    held.run("deploy", "relevance@4", "--traffic", "20", "--yes")
    assert splits(held) == {name: {"v3": 80, "v4": 20} for name in ("en", "de", "pl")}
    assert 8 < share(observed(held)) < 32  # 4 standard errors of 200 requests

    # A language has a split of its own, which is no part of what all others are split by.
    held.run("traffic", "set", "relevance", "v4=100", "--slice", "language=pl", "--yes")
    assert splits(held)["pl"] == {"v3": 0, "v4": 100}
    body = observed(held)
    assert body["observed_by_slice"]["pl"]["v4"] == 100.0
    assert 8 < share(body) < 32

    # Somebody else changes a threshold; going back with the shares leaves it.
    edited(held, "relevance.en.threshold=0.47", "en misses some")
    held.run("revert", "relevance", "--yes")
    assert splits(held) == {name: {"v3": 80, "v4": 20} for name in ("en", "de", "pl")}
    assert document(held)["relevance"]["en"]["threshold"] == 0.47
    application.reads(held.json("config", "list")["documents"][0]["version"])
    assert 8 < share(observed(held)) < 32

    # The one that serves is replaced by another: nobody asks for it any more when it goes.
    held.run("revert", "relevance", "--to", "1", "--yes")
    assert [one["name"] for one in observed(held)["variants"]] == ["v3"]
    assert (application.told["failed"], application.told["problem"]) == (0, "")

    application.end()
    held.run("endpoints", "delete", "relevance", "--confirm", "relevance", "--yes")
    assert held.json("endpoints", "list")["endpoints"] == []
    assert all("split" not in entry for entry in document(held)["relevance"].values())
    assert document(held)["relevance"]["en"]["threshold"] == 0.47
    routes = next((held.root / ".mlconsole" / "local" / "staging" / "gateway" / "routes").iterdir()).read_text()
    assert "/v2/models/relevance" not in routes


def test_a_rollout_goes_through_the_document_guards_and_all(held: Console, application: Application) -> None:
    held.run("guardian", "start")
    try:
        _rolled_out(held, application)
    finally:
        held.run("guardian", "stop", code=range(256))


def _rolled_out(held: Console, application: Application) -> None:
    until(lambda: application.told["asked"] >= 300, 30.0)
    held.run("rollout", "start", "relevance@4", "--policy", "short", "--yes")
    held.run("rollout", "wait", "relevance", "--until", "done", "--timeout", "200", seconds=220.0)
    assert splits(held)["en"] == {"v3": 0, "v4": 100}
    assert share(observed(held, 50)) == 100.0
    assert (application.told["failed"], application.told["problem"]) == (0, "")

    # In the middle of another one somebody else changes a threshold: it stays when the rollout is taken back.
    held.run("rollout", "start", "relevance@3", "--policy", "patient", "--yes")
    until(lambda: splits(held)["en"] == {"v3": 50, "v4": 50}, 60.0)
    edited(held, "relevance.pl.threshold=0.47", "pl misses some")
    held.run("rollout", "revert", "relevance", "--yes")
    assert (splits(held)["pl"]["v4"], document(held)["relevance"]["pl"]["threshold"]) == (100, 0.47)

    # A version that gives every event the same score goes back by itself.
    held.run("rollout", "start", "relevance@5", "--policy", "short", "--break-glass", "a test", "--yes")
    held.run("rollout", "wait", "relevance", "--until", "reverted", "--timeout", "200", code=(0, 3), seconds=220.0)
    assert splits(held)["en"].get("v5", 0) == 0
    assert (splits(held)["pl"]["v4"], document(held)["relevance"]["pl"]["threshold"]) == (100, 0.47)
    assert held.json("rollout", "status", "relevance", code=3)["rollout"]["why"].startswith("identical: ")
    assert (application.told["failed"], application.told["problem"]) == (0, "")


def test_an_application_that_never_read_anything_says_so_and_ends(sample: Console, tmp_path: Path) -> None:
    words = [sys.executable, str(sample.root / "client" / "application.py"), str(tmp_path), "models", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Nothing to go by: ")
    assert "Traceback" not in done.stderr
