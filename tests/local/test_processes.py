"""Processes that outlive their starter, and are found again whenever it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.kit import until
from mlconsole.plugin.errors import Refused
from mlconsole_local import processes
from mlconsole_local.state import private, read_json, write_json


@pytest.fixture
def folder(root: Path) -> Iterator[Path]:
    made = private(root / "it")
    yield made
    processes.stop(made, grace=0.1)


def sleep(folder: Path, *arguments: str) -> processes.Process:
    return processes.start(folder, arguments or ("sleep", "60"), folder / "log")


def test_it_is_started_once_found_and_stopped(folder: Path) -> None:
    process = sleep(folder)
    assert sleep(folder) == process
    assert processes.find(folder) == process
    assert os.getsid(process.pid) != os.getsid(0)
    assert processes.stop(folder) == processes.Ended(128 + signal.SIGTERM, asked=True)
    assert processes.find(folder) is None
    assert not process.alive


def test_its_exit_code_is_known(folder: Path) -> None:
    sleep(folder, "sh", "-c", "echo no such model >&2; exit 3")
    until((folder / "process.exit").exists)
    assert processes.ended(folder) == processes.Ended(3)
    assert processes.last_line(folder / "log") == "no such model"


def test_one_that_ignores_term_is_killed(folder: Path) -> None:
    sleep(folder, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    until(lambda: processes.last_line(folder / "log") == "ready")
    assert processes.stop(folder, grace=0.05) == processes.Ended(128 + signal.SIGKILL, asked=True)


def test_a_recycled_pid_is_never_taken_for_ours(folder: Path) -> None:
    process = sleep(folder)
    record = read_json(folder / "process.json")
    assert record is not None
    processes.stop(folder)
    write_json(folder / "process.json", {**record, "pid": os.getpid()})  # The same record, but the pid is somebody else's now.
    assert processes.find(folder) is None
    assert processes.stop(folder) is None
    write_json(
        folder / "process.json", {**record, "pid": os.getpid(), "start": str(processes.identity(os.getpid())), "boot": "another boot"}
    )
    assert processes.find(folder) is None
    assert not process.alive


def test_a_starter_killed_before_the_record_loses_nothing(folder: Path) -> None:
    """The starter dies right after the launch, without having looked at anything: the process is found by what its own shell wrote."""
    code = (
        "import os, sys, subprocess; from pathlib import Path; from mlconsole_local import processes\n"
        "def run(*a, **k): subprocess.Popen(*a, **{**k, 'close_fds': True} if not k.pop('check') else k); os.kill(os.getpid(), 9)\n"
        "processes.subprocess = type('S', (), {'run': run, 'DEVNULL': subprocess.DEVNULL, 'SubprocessError': subprocess.SubprocessError})\n"
        "processes.start(Path(sys.argv[1]), ['sleep', '60'], Path(sys.argv[1]) / 'log')"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert killed.returncode == -9
    process = processes.find(folder)
    assert process is not None
    assert sleep(folder) == process


def test_an_intent_of_a_starter_killed_before_the_launch_is_given_up(folder: Path) -> None:
    write_json(folder / "process.intent.x", {"token": "x"})
    assert processes.find(folder) is None
    assert sleep(folder).alive


def test_a_shell_that_comes_too_late_starts_nothing(folder: Path) -> None:
    process = sleep(folder)
    late = ["/bin/sh", "-c", processes._LAUNCH, "launcher", "late", "touch", "started"]
    subprocess.run(late, cwd=folder, check=True, capture_output=True)  # The pipe stays open until the last shell has ended.
    assert processes.find(folder) == process
    assert not (folder / "started").exists()


def test_credentials_are_not_handed_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    sleep(folder, "env")
    until((folder / "process.exit").exists)
    log = (folder / "log").read_text()
    assert "PATH=" in log
    assert "hidden" not in log


def test_a_program_that_is_not_there_says_so(folder: Path) -> None:
    sleep(folder, "/nowhere/at/all")
    until((folder / "process.exit").exists)
    assert processes.ended(folder) == processes.Ended(127)
    assert "not found" in processes.last_line(folder / "log")


def test_somebody_elses_process_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = sleep(folder)

    def forbid(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", forbid)
        with pytest.raises(Refused, match="somebody else"):
            processes.stop(folder)
    assert process.alive
