"""`rollout` as scripts and people meet it: plans, refusals, steering, waiting, exit codes. Simulated, and once on real servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.kit import Console, Simulated, ended, press_ctrl_c, until
from e2e.test_health_commands import TIME, moments
from mlconsole.plugin.simulator import Behaviour, Load

POLICIES = """
policies:
  quick: {stages: [50, 100], wait: 1, evidence: 20, bake: 1, guards: {errors: {by_slice: false}}}
  patient: {stages: [10, 100], wait: 600, evidence: 20, bake: 10}
"""


@pytest.fixture
def ready(served: Simulated) -> Simulated:
    """relevance@3 serves, there are policies, and nobody watches."""
    with (served.root / "mlconsole.yaml").open("a") as file:
        file.write(POLICIES)
    return served


@pytest.fixture
def guarded(ready: Simulated) -> Iterator[Simulated]:
    """A guardian watches."""
    ready.run("guardian", "start", "--env", "staging")
    yield ready
    ready.run("guardian", "stop", "--env", "staging")


@contextmanager
def asked(console: Simulated, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Consumers who ask all the time."""
    over = threading.Event()

    def serve() -> None:
        seed = 0
        while not over.wait(0.5):
            seed += 1
            console.world().serve("relevance", Load(50, seed=seed, seconds=0.5))
            meanwhile()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)


def breaks(console: Simulated, version: str = "4") -> Callable[[], None]:
    """The version fails as soon as it has traffic."""
    done: list[bool] = []

    def look() -> None:
        live = console.world().live("relevance")
        variant = live.variant(f"v{version}")
        if not done and variant is not None and variant.digest is not None and live.traffic and live.traffic.share(f"v{version}"):
            done.append(True)
            console.world().behave(variant.digest, Behaviour(error_rate=1.0))

    return look


def start(console: Simulated, policy: str = "quick", version: str = "4") -> str:
    body = console.json("rollout", "start", f"relevance@{version}", "--policy", policy, "--yes", "--reason", "better")
    return str(body["rollout"]["id"])


# Plans and refusals.


def test_a_plan_is_shown_and_nothing_happens(ready: Simulated) -> None:
    told = ready.run("rollout", "start", "relevance@4", "--policy", "quick", "--dry-run").out
    for word in (
        "nothing has happened yet",
        "path     50 % → 100 % → bake",
        "back     u at any time",
        "watch    NOBODY",
        "Nothing has happened.",
    ):
        assert word in told
    body = ready.json("rollout", "start", "relevance@4", "--policy", "quick", "--dry-run")
    assert body["rollout"] is None
    plan = body["plan"]
    assert (plan["endpoint"], plan["environment"], plan["confirm"]) == ("relevance", "staging", None)
    assert "Nobody would watch this rollout" in plan["refused"]
    assert plan["command"] == "mlconsole rollout start relevance@4 --endpoint relevance --policy quick --env staging"
    assert ready.json("rollout", "list")["rollouts"] == []
    assert ready.run("rollout", "list").out == "No rollout yet. mlconsole rollout start MODEL@VERSION\n"
    assert "NOBODY" in ready.run("rollout", "start", "relevance@4", "--dry-run", "--read-only").out


def test_what_cannot_begin_is_refused(ready: Simulated) -> None:
    result = ready.run("rollout", "start", "relevance@4", "--policy", "quick", "--yes", code=7)
    assert "Nobody would watch this rollout. Start one: mlconsole guardian install" in result.err
    error = ready.run("rollout", "start", "relevance@4", "--policy", "quick", "--yes", "--json", code=7).error
    assert error["code"] == "refused"
    assert "Did you mean quick?" in ready.refused("rollout", "start", "relevance@4", "--policy", "quik", "--yes")
    assert "Did you mean" in ready.refused("rollout", "start", "relevance@44", "--yes")
    assert "Did you mean" in ready.refused("rollout", "start", "relevanze@4", "--yes")
    assert "has all requests already" in ready.refused("rollout", "start", "relevance@3", "--yes")
    assert "has all requests already" in ready.refused("rollout", "start", "relevance@3", "--yes", "--dry-run")
    assert 'There is no rollout "relevance"' in ready.refused("rollout", "status", "relevance")
    assert "Read only" in ready.run("rollout", "start", "relevance@4", "--yes", "--attended", "--read-only", code=7).err
    result = ready.run("rollout", "start", "relevance@4", "--attended", code=2)
    assert "Nobody said yes to this plan" in result.err
    assert ready.json("rollout", "list")["rollouts"] == []


def test_in_production_the_name_is_wanted(ready: Simulated) -> None:
    file = ready.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  production:\n", "  production:\n    production: true\n"))
    ready.run("deploy", "relevance@3", "--env", "production", "--confirm", "relevance")
    words = ("rollout", "start", "relevance@4", "--env", "production", "--attended")
    assert "it wants the name relevance" in ready.run(*words, "--yes", code=2).err
    assert ready.json("rollout", "list", "--env", "production")["rollouts"] == []


# A whole one.


def test_it_is_steered_and_taken_back(guarded: Simulated) -> None:
    with asked(guarded):
        name = start(guarded, "patient")
        guarded.run("rollout", "wait", name, "--until", "waiting", "--timeout", "60")
        body = guarded.json("rollout", "status", "relevance")["rollout"]
        assert (body["id"], body["state"], body["stage"], body["variant"], body["stable"]) == (name, "waiting", 0, "v4", ["v3"])
        assert [one["name"] for one in body["stages"]][:2] == ["10 %", "100 %"]
        assert body["reason"] == "better"
        assert body["driver"]
        assert all(TIME.fullmatch(one) for _, one in moments(body))
        told = guarded.run("rollout", "status", name).out
        for word in (f"rollout {name} · relevance · v3 → v4 · policy patient · WAITING", "way back to #1: v3 100 %", "may be asked: pause"):
            assert word in told
        assert max(map(len, told.splitlines())) < 250
        again = guarded.run("rollout", "start", "relevance@5", "--yes", code=5)
        assert "is in a rollout already (v4 at 10 %" in again.err
        assert "is in a rollout" in guarded.run("deploy", "relevance@5", "--yes", code=5).err
        timed_out = guarded.run("rollout", "wait", name, "--until", "done", "--timeout", "1", code=8)
        assert "The rollout of relevance is waiting (10 %) after 1 s." in timed_out.err
        assert 'A rollout is never "donne". Did you mean done?' in guarded.refused("rollout", "wait", name, "--until", "donne")

        assert "asked: it holds" in guarded.run("rollout", "pause", "relevance").out
        assert guarded.json("rollout", "wait", name, "--until", "paused", "--timeout", "30")["rollout"]["state"] == "paused"
        assert "can't be asked of it now" in guarded.run("rollout", "pause", name, code=5).err
        assert "wants a reason" in guarded.refused("rollout", "next", name)
        guarded.run("rollout", "resume", name)
        guarded.run("rollout", "wait", name, "--until", "waiting", "--timeout", "30")
        guarded.run("rollout", "next", name, "--reason", "I saw it")
        until(lambda: guarded.json("rollout", "status", name)["rollout"]["stage"] == 1)
        guarded.run("rollout", "wait", name, "--until", "waiting", "--timeout", "30")
        assert "Read only" in guarded.run("rollout", "revert", name, "--read-only", code=7).err
        told = guarded.run("rollout", "revert", name, "--reason", "no").out
        assert "back at #1: v3 100 %; v4 gets no request since" in told
    body = guarded.json("rollout", "status", name)["rollout"]
    assert (body["state"], body["controls"]) == ("reverted", [])
    assert [one["state"] for one in guarded.json("rollout", "list")["rollouts"]] == ["reverted"]
    assert "relevance v3 → v4" in guarded.run("rollout", "list").out
    assert guarded.run("rollout", "wait", name).code == 0, "a person's own word is no guard"
    assert guarded.run("rollout", "wait", name, "--until", "done", code=1).code == 1
    assert "is over" in guarded.run("rollout", "revert", name, code=5).err
    split = guarded.json("traffic", "show", "relevance")
    assert "v4" not in json.dumps(split.get("desired", {}))


def test_a_guard_takes_it_back(guarded: Simulated) -> None:
    with asked(guarded, breaks(guarded)):
        name = start(guarded)
        with guarded.started("rollout", "watch", name, "--json", "--every", "0.3") as process:
            result = guarded.run("rollout", "wait", name, "--until", "done", "--timeout", "100", code=3)
            followed = ended(process)
    assert "errors: 100 %" in result.out or "alarm" in result.out, result.out
    assert followed.code == 3
    bodies = [json.loads(line)["rollout"] for line in followed.out.splitlines()]
    assert bodies[-1]["state"] == "reverted"
    assert {body["id"] for body in bodies} == {name}
    assert guarded.run("rollout", "status", name, code=3).code == 3
    assert guarded.run("rollout", "wait", name, "--until", "reverted").code == 0
    said = guarded.run("rollout", "watch", name, code=3).out
    assert "v4 gets no request since" in said
    assert guarded.world().live("relevance").variant("v4") is None


def test_a_good_one_goes_through_while_its_guardian_is_replaced(ready: Simulated) -> None:
    """Who drives it may go: the next one takes it up, and it comes to its end."""
    ready.run("guardian", "start", "--env", "staging")
    with asked(ready):
        name = start(ready)
        ready.run("rollout", "wait", name, "--until", "waiting", "--timeout", "60")
        ready.run("guardian", "stop", "--env", "staging")
        assert "NOBODY DRIVES IT" in ready.run("rollout", "status", name).out
        ready.run("guardian", "start", "--env", "staging")
        try:
            body = ready.json("rollout", "wait", name, "--until", "done", "--timeout", "120")["rollout"]
        finally:
            ready.run("guardian", "stop", "--env", "staging")
    assert body["state"] == "done"
    assert any("is measured again" in text for _, text in body["events"])


def test_attended_it_is_driven_by_whoever_began_it(ready: Simulated) -> None:
    with asked(ready, breaks(ready)):
        result = ready.run("rollout", "start", "relevance@4", "--policy", "quick", "--attended", "--yes", code=3)
    assert "has begun" in result.out
    assert "NOBODY WATCHES" in ready.run("status", code={0, 1}).out, "given back"
    body = ready.json("rollout", "status", "relevance", code=3)["rollout"]
    assert (body["state"], body["attended"]) == ("reverted", True)


def test_attended_and_left_it_is_said_and_can_be_taken_back(ready: Simulated) -> None:
    with asked(ready):
        with ready.started("rollout", "start", "relevance@4", "--policy", "patient", "--attended", "--yes") as process:
            until(lambda: ready.json("rollout", "list")["rollouts"])
            name = ready.json("rollout", "list")["rollouts"][0]["id"]
            ready.run("rollout", "wait", name, "--until", "waiting", "--timeout", "60")
            press_ctrl_c(process)
            assert ended(process).code == 130
        assert "NOBODY DRIVES IT" in ready.run("rollout", "status", name).out
        told: Any = ready.run("rollout", "revert", name).out
    assert "v4 gets no request since" in told


@pytest.mark.real
def test_a_collapsed_version_goes_back_by_itself_on_real_servers(tmp_path: Path) -> None:
    """v5 gives every event the same score: nothing fails, and nobody is there."""
    Console(tmp_path).run("demo", "ws")
    sample = Console(tmp_path / "ws")
    sample.run("guardian", "start", "--env", "staging", code={0, 5})
    try:
        begun = sample.json("rollout", "start", "relevance@5", "--yes", "--break-glass", "a drill")["rollout"]
        body = sample.json("rollout", "wait", begun["id"], "--until", "over", "--timeout", "200", code=3)["rollout"]
        assert "identical" in body["why"].casefold()
        assert any("v5 gets no request since" in text for _, text in body["events"])
    finally:
        sample.run("guardian", "stop", "--env", "staging", code=range(256))
        Console(tmp_path).run("demo", "ws", "--clean", code=range(256))
