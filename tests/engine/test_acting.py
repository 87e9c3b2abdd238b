"""Actions: what the workspace and its plugins offer, what they are told, how long they may take, how they are checked, who runs them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.conftest import TOMEK
from engine.health_kit import PLUGINS, HealthHouse, health_house
from engine.kit import until
from mlconsole.core.clock import SystemClock
from mlconsole.core.models import Json
from mlconsole.engine import acting, trusting
from mlconsole.engine.health import look
from mlconsole.engine.session import Session
from mlconsole.engine.views import ActionRunView
from mlconsole.plugin import Context, Plugin
from mlconsole.plugin.errors import Conflict, NotAllowed, StillRunning, UnknownName, UsageError
from mlconsole.plugin.roles import Parameter
from mlconsole.workspace import load


@dataclass
class Do:
    """An action of a plugin: it writes down what it was told; where there is a file `hangs`, it waits until that is gone."""

    context: Context
    name: str = "fill"
    summary: str = "fills it"
    parameters: Sequence[Parameter] = (Parameter("what", "what is filled"), Parameter("count", "how many", "3"))
    safe: bool = False

    def run(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        until(lambda: not (self.context.root / "hangs").exists(), "it may go on")
        (self.context.root / "filled.json").write_text(json.dumps(dict(parameters)))
        return {"keys": int(parameters["count"]), "nothing": ""}


class Doing:
    def __init__(self, context: Context) -> None:
        self._context = context

    def actions(self) -> Sequence[Do]:
        return [Do(self._context)]


NO_OPTIONS = Plugin("doing", "1", "Does things.", {"actions": Doing}, ())

ACTIONS = """\
  refill: {summary: refills, uses: fill, with: {what: vectors, count: "7"}, safe: true, time_limit: 30, check: {probe: embeddings}}
  restart:
    summary: restarts one
    run: ["{python}", say.py, "{name}", "--times={times}"]
    parameters: {name: {help: which}, times: {default: "2"}}
    time_limit: 20
  golden: {run: ["{python}", say.py], check: {golden: relevance}}
  only-staging: {run: ["{python}", say.py], environments: [staging]}
"""
SAY = "import sys; print('first line'); print('last', *sys.argv[1:])\n"


class ActingHouse(HealthHouse):
    """One in which a plugin offers actions, too."""

    def session(self, *arguments: object, **how: object) -> Session:
        session = super().session(*arguments, **how)  # type: ignore[arg-type]
        session._plugins = {**PLUGINS, "doing": NO_OPTIONS}
        return session


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ActingHouse:
    """A house in real time with actions, trusted, and nobody who starts a process of its own for them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(acting, "_in_a_process_of_its_own", lambda session: None)
    monkeypatch.setattr(acting, "_CHECKED", 0.5)
    root = tmp_path / "house"
    root.mkdir()
    made = health_house(root, clock=SystemClock())
    house = ActingHouse(made.root, made.clock, made.sims, made.told)
    (root / "golden.jsonl").write_text('{"id": "q1", "inputs": {"text": "a"}, "expect": {"score": 0.5}, "tolerance": {"score": 0.001}}\n')
    (root / "say.py").write_text(SAY)
    house.write(actions=ACTIONS)
    text = (root / "mlconsole.yaml").read_text().replace("relevance: {}", "relevance: {golden: golden.jsonl}")
    (root / "mlconsole.yaml").write_text(text.replace("    predictions: simulator\n", "    predictions: simulator\n    actions: doing\n"))
    trusting.allow(load(root))
    return house


def ran(house: HealthHouse, action: str, /, **parameters: str) -> ActionRunView:
    """Asked for by one, carried out by another."""
    asked = acting.ask(house.session(), action, parameters)
    assert asked.state == "asked"
    [ended] = acting.carry_out_asked(house.session(TOMEK))
    assert (ended.id, ended.who) == (asked.id, "anna@bastion-1")
    return ended


def test_what_is_offered(house: ActingHouse) -> None:
    offered = {one.name: one for one in acting.actions(house.session())}
    assert list(offered) == ["refill", "restart", "golden", "only-staging", "fill"]
    assert (offered["refill"].source, offered["fill"].source) == ("workspace", "simulator/doing")
    assert (offered["refill"].checks, offered["golden"].checks) == ("embeddings", "golden queries of relevance")
    assert offered["refill"].safe
    assert not offered["restart"].safe
    assert [one.name for one in acting.actions(house.session(environment="production"))].count("only-staging") == 0


def test_one_that_uses_a_plugins_is_told_what_the_workspace_says(house: ActingHouse) -> None:
    ended = ran(house, "refill")
    assert ended.state == "done"
    assert ended.told.startswith("keys 7 · embeddings ✔ well · ")
    assert json.loads((house.root / "filled.json").read_text()) == {"what": "vectors", "count": "7"}
    assert [(one.action, one.state) for one in look(house.session()).runs] == [("refill", "done")]


def test_a_plugins_own_takes_parameters(house: ActingHouse) -> None:
    assert ran(house, "fill", what="vectors").state == "done"
    assert json.loads((house.root / "filled.json").read_text()) == {"what": "vectors", "count": "3"}
    with pytest.raises(UsageError, match=r"fill needs what\. Nothing was done\.") as missing:
        acting.ask(house.session(), "fill")
    assert missing.value.next == "Add --param what=VALUE."
    with pytest.raises(UsageError, match=r'fill has no parameter "whatt"\. Did you mean what'):
        acting.ask(house.session(), "fill", {"whatt": "x"})
    with pytest.raises(UnknownName, match=r'There is no action "refil" in staging\. Did you mean refill'):
        acting.ask(house.session(), "refil")
    assert len(house.session().registry.runs("staging")) == 1, "what can't be run is not asked for"


def test_a_command_gets_its_parameters_as_they_are_and_no_shell(house: ActingHouse) -> None:
    ended = ran(house, "restart", name="a b; touch owned $(id) {times}")
    assert ended.state == "done"
    assert ended.told.startswith("last a b; touch owned $(id) {times} --times=2 · ")
    assert not (house.root / "owned").exists()


def test_what_a_command_says_is_data_and_no_secret(house: ActingHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariants 10 and 11."""
    monkeypatch.setenv("OPS_WEBHOOK", "https://hooks.example/T0123456789abcdef")
    (house.root / "say.py").write_text("import os; print('\\x1b[31mred\\x9b2J', os.environ['OPS_WEBHOOK'])\n")
    trusting.allow(load(house.root))
    ended = ran(house, "restart", name="x")
    assert ended.told.startswith("\\x1b[31mred\\x9b2J … · ")
    stored = (house.root / ".mlconsole" / "registry.db").read_bytes() + (house.root / ".mlconsole" / "registry.db-wal").read_bytes()
    assert b"T0123456789abcdef" not in stored


def test_a_command_that_fails_says_how(house: ActingHouse) -> None:
    (house.root / "say.py").write_text("import sys; print('no such worker'); sys.exit(3)\n")
    ended = ran(house, "restart", name="x")
    assert (ended.state, ended.told.split(" · ")[0]) == ("failed", "restart failed with code 3: no such worker.")
    text = (house.root / "mlconsole.yaml").read_text()
    (house.root / "mlconsole.yaml").write_text(text.replace('golden: {run: ["{python}"', 'golden: {run: ["./nowhere"'))
    trusting.allow(load(house.root))
    ended = ran(house, "golden")
    assert ended.state == "failed"
    assert ended.told.startswith("golden can't run ./nowhere: No such file or directory. Look at `run:` in mlconsole.yaml. · ")


def test_a_command_runs_only_where_somebody_trusts_it(house: ActingHouse) -> None:
    """Asked when it is asked for, and again when it is carried out: that may be somebody else, and later."""
    asked = acting.ask(house.session(), "restart", {"name": "x"})
    trusting.revoke(load(house.root))
    [ended] = acting.carry_out_asked(house.session())
    assert (ended.id, ended.state) == (asked.id, "failed")
    assert "nobody has trusted this workspace here. Nothing was run." in ended.told
    with pytest.raises(NotAllowed, match="The action restart would run"):
        acting.ask(house.session(), "restart", {"name": "x"})
    assert ran(house, "refill").state == "done", "a plugin's action is no command of the workspace's"


def test_whoever_may_only_look_runs_nothing(house: ActingHouse) -> None:
    """Invariant 8."""
    with pytest.raises(NotAllowed, match="Read only"):
        acting.ask(house.session(read_only=True), "refill")
    assert house.session().registry.runs("staging") == []


def test_the_time_limit_ends_all_that_a_command_started(house: ActingHouse) -> None:
    (house.root / "say.py").write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('pids', 'w').write(f'{child.pid}')\n"
        "time.sleep(600)\n"
    )
    text = (house.root / "mlconsole.yaml").read_text()
    (house.root / "mlconsole.yaml").write_text(text.replace("time_limit: 20", "time_limit: 3"))
    trusting.allow(load(house.root))
    ended = ran(house, "restart", name="x")
    assert (ended.state, ended.told.split(" · ")[0]) == ("failed", "restart took longer than its time limit of 3 s and was stopped.")
    child = int((house.root / "pids").read_text())

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2].startswith("Z")
        except (FileNotFoundError, ProcessLookupError):
            return True

    until(gone, "what it started is gone too")


def test_a_plugins_action_that_hangs_is_given_up(house: ActingHouse) -> None:
    (house.root / "hangs").touch()
    text = (house.root / "mlconsole.yaml").read_text()
    (house.root / "mlconsole.yaml").write_text(text.replace("safe: true, time_limit: 30", "safe: true, time_limit: 1"))
    trusting.allow(load(house.root))
    ended = ran(house, "refill")
    (house.root / "hangs").unlink()
    assert ended.state == "failed"
    assert "did not return within 1 s from: fill. It may have worked or not." in ended.told


# What is looked at afterwards.


def test_it_failed_when_the_probe_is_still_not_well(house: ActingHouse) -> None:
    house.sees(ok=False, text="0 keys")
    ended = ran(house, "refill")
    assert (ended.state, ended.told.split(" · ")[0]) == ("failed", "refill ran, but embeddings is still not well: 0 keys.")


def test_golden_queries_are_asked_of_what_serves(house: ActingHouse) -> None:
    house.behaves("3", constant=0.5)
    ended = ran(house, "golden")
    assert ended.state == "done"
    assert ended.told.startswith("last · golden 1/1 ✔ · ")
    house.behaves("3", constant=0.9)
    ended = ran(house, "golden")
    assert ended.state == "failed"
    assert ended.told.startswith("Golden queries of relevance: 0 of 1 right; q1 on v3: ")


# Who runs it.


def test_the_same_one_is_not_asked_for_twice(house: ActingHouse) -> None:
    asked = acting.ask(house.session(), "refill")
    with pytest.raises(Conflict, match=r"refill is asked for already since .* for anna@bastion-1") as error:
        acting.ask(house.session(TOMEK), "refill")
    assert asked.id in (error.value.next or "")
    (house.root / "hangs").touch()
    thread = threading.Thread(target=lambda: acting.carry_out_asked(house.session(TOMEK)), daemon=True)
    thread.start()
    until(lambda: [one.state for one in house.session().registry.runs("staging")] == ["running"], "it runs")
    with pytest.raises(Conflict, match="refill runs already"):
        acting.ask(house.session(), "refill")
    with pytest.raises(StillRunning, match="refill still runs after"):
        acting.wait(house.session(), asked.id, 0.1)
    assert acting.carry_out_asked(house.session()) == [], "who has it has it alone"
    (house.root / "hangs").unlink()
    assert acting.wait(house.session(), asked.id, 30).state == "done"
    thread.join(10)
    assert acting.ask(house.session(), "refill").id != asked.id


def test_where_nobody_watches_a_process_is_started_for_it(house: ActingHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(acting, "_in_a_process_of_its_own", lambda session: started.append(session.environment.name))
    acting.ask(house.session(), "refill")
    assert started == ["staging"]
    with pytest.raises(Conflict):
        acting.ask(house.session(), "refill")
    assert started == ["staging"] * 2, "the one that was started before may be gone"
    acting.carry_out_asked(house.session())
    token = house.session().registry.watch("staging", TOMEK, os.getpid())
    acting.ask(house.session(), "refill")
    assert started == ["staging"] * 2, "the guardian does it"
    house.session().registry.unwatch("staging", token)


def test_one_whose_process_died_is_told_as_failed(house: ActingHouse) -> None:
    from engine.dying import beside

    asked = acting.ask(house.session(), "refill")
    pid = beside(house, lambda session: session.registry.claim_run("staging", TOMEK))
    os.waitpid(pid, 0)
    ended = acting.wait(house.session(), asked.id, 5)
    assert ended.state == "failed"
    assert f"It was cut short: its process {pid} is gone." in ended.told


def test_what_was_asked_for_long_ago_is_not_run_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody came for it; who begins to watch a day later must not do what somebody wanted yesterday."""
    monkeypatch.setattr(acting, "_in_a_process_of_its_own", lambda session: None)
    made = health_house(tmp_path)
    house = ActingHouse(made.root, made.clock, made.sims)
    text = (tmp_path / "mlconsole.yaml").read_text()
    (tmp_path / "mlconsole.yaml").write_text(
        text.replace("    predictions: simulator\n", "    predictions: simulator\n    actions: doing\n")
    )
    acting.ask(house.session(), "fill", {"what": "vectors"})
    house.passes(590)
    assert len(acting.carry_out_asked(house.session())) == 1
    asked = acting.ask(house.session(), "fill", {"what": "vectors"})
    (tmp_path / "filled.json").unlink()
    house.passes(86_400)
    assert acting.carry_out_asked(house.session()) == []
    assert not (tmp_path / "filled.json").exists()
    run = house.session().registry.run(asked.id)
    assert run is not None
    assert (str(run.state), run.told) == ("failed", "Nobody carried it out within 10 min. It was not run.")


def test_a_run_that_is_not_known(house: ActingHouse) -> None:
    with pytest.raises(UnknownName, match="There is no run ffff"):
        acting.wait(house.session(), "ffff", 1)
