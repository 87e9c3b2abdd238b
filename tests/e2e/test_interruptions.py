"""Ctrl-C once and twice, a hang-up, kill -9: at moments that the simulated backend holds open. And what asks a person, in a terminal."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from e2e.kit import PROGRAM, Console, Simulated, ended, press_ctrl_c, screen, until
from mlconsole.plugin.simulator import Fault, FaultKind, When

MOMENTS = [("serving.start", When.BEFORE), ("serving.start", When.AFTER), ("traffic.start", When.BEFORE), ("traffic.start", When.AFTER)]
DEPLOY = ("deploy", "relevance@4", "--traffic", "10", "--yes")


def variants(console: Simulated) -> dict[str, tuple[float, str]]:
    """Desired share and state of each variant; the endpoint is well and nothing is unfinished."""
    body = console.json("endpoints", "show", "relevance")
    assert (body["status"], body["operation"]) == ("ok", None), body
    assert all(one["desired"] == one["reported"] for one in body["variants"])
    return {one["name"]: (one["desired"], one["state"]) for one in body["variants"]}


BEFORE = {"v3": (100.0, "ready")}
AFTER = {"v3": (90.0, "ready"), "v4": (10.0, "ready")}


def stuck(console: Simulated, times: int | None = 1) -> Callable[[], bool]:
    """Let what comes up next never be ready; whether its start was taken."""
    world = console.world()
    begun = len(world.calls)
    world.inject(Fault(FaultKind.STUCK, on="serving.start", times=times))
    return lambda: any(call.name == "serving.start" and call.outcome for call in world.calls[begun:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_goes_back(served: Simulated, number: signal.Signals) -> None:
    begun = stuck(served)
    with served.started(*DEPLOY) as deploying:
        until(begun)
        deploying.send_signal(number)
        result = ended(deploying)
    assert result.code == 130
    assert "Stopping, and going back. Once more leaves it as it is." in result.err
    assert "stopped by" in result.err
    assert variants(served) == BEFORE
    change = served.json("history", "list")["changes"][0]
    assert change["state"] == "went back"
    assert [one["standing"] for one in served.json("releases", "list")["releases"]] == ["failed", "live"]


@pytest.mark.parametrize("command", [DEPLOY, ("status",)], ids=["a change that is planned", "a look"])
def test_ctrl_c_before_anything_was_begun(served: Simulated, command: tuple[str, ...]) -> None:
    world = served.hang("serving.describe")
    with served.started(*command) as looking:
        served.reached(world, "serving.describe")
        press_ctrl_c(looking)
        result = ended(looking)
    assert (result.code, result.err.strip()) == (130, "Interrupted. Nothing more was done.")
    world.release()
    assert variants(served) == BEFORE


def test_the_second_ctrl_c_leaves_it_and_says_what_resumes(served: Simulated) -> None:
    world, begun = served.world(), stuck(served, times=None)
    with served.started(*DEPLOY) as deploying:
        until(begun)
        press_ctrl_c(deploying)
        until(lambda: served.json("history", "list")["changes"][0]["state"] == "going back")
        press_ctrl_c(deploying)
        result = ended(deploying)
    assert result.code == 130
    resume = re.search(r"mlconsole (recover \w+ --env staging)", result.err.splitlines()[-1])
    assert resume is not None, result.err
    # Reading commands only report it.
    assert "interrupted" in served.run("status").out
    body = served.json("endpoints", "show", "relevance")
    assert (body["status"], body["operation"]["state"]) == ("look", "interrupted")
    assert body["next"].startswith("mlconsole recover")
    world.clear_faults()
    world.unstick("relevance")
    assert served.run(*resume[1].split()).out.startswith("✔")
    assert variants(served) == BEFORE


@pytest.mark.parametrize(("call", "when"), MOMENTS, ids=str)
def test_kill_9_and_recover(served: Simulated, call: str, when: When) -> None:
    world = served.hang(call, when=when)
    with served.started(*DEPLOY) as deploying:
        served.reached(world, call)
        deploying.kill()
        deploying.wait()
    world.release()
    shown = served.json("status")["endpoints"][0]
    assert (shown["status"], shown["operation"]["state"]) == ("look", "interrupted")
    assert served.json("recover", "--dry-run")["interrupted"][0]["endpoint"] == "relevance"
    result = served.run("recover")
    assert result.out.startswith("✔ relevance")
    assert variants(served) in (BEFORE, AFTER)
    assert served.run("recover").out.startswith("Nothing to do")
    states = [one["state"] for one in served.json("history", "list")["changes"]]
    assert states in (["went back", "done"], ["done", "done"])
    served.run("deploy", "relevance@5", "--yes")


def test_the_next_change_finishes_what_was_left_first(served: Simulated) -> None:
    world = served.hang("traffic.start")
    with served.started(*DEPLOY) as deploying:
        served.reached(world, "traffic.start")
        deploying.kill()
        deploying.wait()
    world.release()
    assert served.run("deploy", "relevance@5", "--yes", "--dry-run", code=(0, 5)).code in (0, 5)
    result = served.run("deploy", "relevance@5", "--yes")
    assert "was interrupted; finishing it first" in result.err
    assert set(variants(served)) == {"v3", "v5"}


def test_revert_stops_a_change_that_another_process_drives(served: Simulated) -> None:
    begun = stuck(served)
    with served.started(*DEPLOY) as deploying:
        until(begun)
        result = served.run("revert", "relevance", "--yes")
        assert "asked to go back" in ended(deploying).err
        assert deploying.returncode == 1
    assert result.out.startswith("✔")
    assert variants(served) == BEFORE


def test_a_server_that_dies_while_it_is_deployed(served: Simulated) -> None:
    world = served.world()
    world.inject(Fault(FaultKind.DIES, on="serving.start", seconds=0.0, reason="killed by signal 9"))
    result = served.run(*DEPLOY, code=1)
    assert "v4" in result.err
    assert "It is as before (#1: v3 100 %); what was created is removed." in result.err
    assert variants(served) == BEFORE


def test_ctrl_c_while_a_workspace_is_made_leaves_none(tmp_path: Path) -> None:
    """Half a sample would look like a workspace."""
    console = Console(tmp_path)
    with console.started("init", "ws", "--sample") as making:
        until((tmp_path / "ws").exists)
        press_ctrl_c(making)
        result = ended(making)
    assert result.code in (0, 130)
    assert (tmp_path / "ws").exists() == (result.code == 0)


# In a terminal.


def test_a_terminal_that_hangs_up_stops_nothing(served: Simulated) -> None:
    world = served.hang("serving.start")
    child = served.terminal(*DEPLOY)
    child.expect_exact("1/")
    served.reached(world, "serving.start")
    os.kill(child.pid, signal.SIGHUP)
    os.close(child.child_fd)  # the terminal itself is gone: every write fails from now on
    world.release()
    assert served.json("wait", "relevance")["done"] is True
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 0
    child.closed, child.ptyproc.closed = True, True
    assert variants(served) == AFTER


def test_ctrl_c_typed_once_in_a_terminal(served: Simulated) -> None:
    begun = stuck(served)
    child = served.terminal(*DEPLOY)
    child.expect_exact("1/")
    until(begun)
    child.sendintr()
    shown = screen(child, 130)
    assert "Stopping, and going back" in shown
    assert variants(served) == BEFORE


def test_yes_is_asked_for_and_anything_else_cancels(served: Simulated) -> None:
    for answer in ("n", "", "yess", "\x04"):
        child = served.terminal("deploy", "relevance@4", "--traffic", "10")
        child.expect_exact("y does it, anything else cancels: ")
        child.send("\x04") if answer == "\x04" else child.sendline(answer)
        assert "Cancelled. Nothing has happened." in screen(child, 2)
    child = served.terminal("deploy", "relevance@4", "--traffic", "10")
    child.expect_exact("cancels: ")
    child.sendintr()
    assert "Interrupted. Nothing more was done." in screen(child, 130)
    assert variants(served) == BEFORE
    child = served.terminal("deploy", "relevance@4", "--traffic", "10")
    child.expect_exact("cancels: ")
    child.sendline("y")
    assert "✔ relevance is #2: v3 90 · v4 10" in screen(child)
    child = served.terminal("revert", "relevance")
    child.expect_exact("Go back to #1: v3 100 %. y goes back, anything else cancels: ")
    child.sendline("y")
    screen(child)
    assert variants(served) == BEFORE


def test_the_name_is_typed_in_production(sim: Simulated) -> None:
    sim.run("deploy", "relevance@3", "--env", "production", "--confirm", "relevance")
    child = sim.terminal("deploy", "relevance@4", "--env", "production", "--yes")
    child.expect_exact("This changes production. Type the endpoint's name to start it: ")
    child.sendline("relevence")
    assert '"relevence" is not relevance. Nothing has happened.' in screen(child, 2)
    child = sim.terminal("deploy", "relevance@4", "--env", "production")
    child.expect_exact("to start it: ")
    child.sendline("relevance")
    screen(child)
    child = sim.terminal("endpoints", "remove", "relevance", "v4", "--env", "production")
    child.expect_exact("Type v4: ")
    child.sendline("v4")
    screen(child)
    child = sim.terminal("endpoints", "delete", "relevance", "--env", "production")
    child.expect_exact("Cannot be undone. Type relevance: ")
    child.sendline("")
    assert "Nothing has happened" in screen(child, 2)
    assert [one["name"] for one in sim.json("endpoints", "show", "relevance", "--env", "production")["variants"]] == ["v3"]


def test_a_plan_fits_eighty_columns_and_has_no_colour(served: Simulated) -> None:
    reason = "because it answers better in German, and in Polish, and in English, " * 2
    for variables in ({}, {"TERM": "dumb"}, {"NO_COLOR": "1"}):
        child = served.terminal("deploy", "relevance@4", "--reason", reason, "--dry-run", **variables)
        shown = screen(child)
        told = [line for line in shown.splitlines() if "same as:" not in line]
        assert max(map(len, told)) <= 80, told
    for command in (["endpoints", "list"], ["history", "list"], ["models", "list"], ["releases", "list"], ["history", "show", "relevance"]):
        assert max(map(len, screen(served.terminal(*command)).splitlines())) <= 80, command


def test_no_input_is_asked_for_when_the_output_is_no_terminal(served: Simulated) -> None:
    child = pexpect.spawn("bash", ["-c", f"{PROGRAM} deploy relevance@4 | cat"], cwd=str(served.root), env=served.environ(), timeout=30)  # type: ignore[arg-type]
    child.expect_exact("Add --yes.")
    child.expect(pexpect.EOF)
    child.close()
    assert variants(served) == BEFORE
