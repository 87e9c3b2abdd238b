"""The notifier `command` with real programs."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from checks.kit import made
from mlconsole.plugin.conformance import NotifierBench, NotifierConformance
from mlconsole.plugin.errors import InvalidRequest, Refused, Unavailable
from mlconsole.plugin.roles import Notice
from mlconsole_notify import command_plugin as command

PAGE = Notice("31:page:1", "PROD relevance: IDENTICAL; touch evil", ("line $HOME `id`", "ł"), "page", "production", 31)
HOLD = "import time; time.sleep(600)"


def python(code: str, folder: Path, *arguments: str, **options: Any) -> Any:
    return made(command, folder, run=[sys.executable, "-c", code, *arguments], **options)


def until(condition: Any, seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_notice_is_on_stdin_and_in_variables(tmp_path: Path) -> None:
    code = (
        "import json, os, sys; own = {k: v for k, v in os.environ.items() if k.startswith('MLCONSOLE')}\n"
        "json.dump([sys.stdin.read(), own, sys.argv[1:], os.getcwd()], open('got.json', 'w'))"
    )
    python(code, tmp_path, "a b; touch evil", "$HOME", "*").send(PAGE, 20.0)
    text, variables, arguments, folder = json.loads((tmp_path / "got.json").read_text())
    assert text == "PROD relevance: IDENTICAL; touch evil\nline $HOME `id`\nł\n"
    assert arguments == ["a b; touch evil", "$HOME", "*"]
    assert folder == str(tmp_path)
    assert variables["MLCONSOLE_NOTICE_KEY"] == "31:page:1"
    assert variables["MLCONSOLE_NOTICE_TITLE"] == PAGE.title
    assert variables["MLCONSOLE_NOTICE_SEVERITY"] == "page"
    assert variables["MLCONSOLE_NOTICE_ALARM"] == "31"
    assert variables["MLCONSOLE_ENV"] == "staging"
    assert variables["MLCONSOLE_WORKSPACE"] == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["got.json"]


def test_a_program_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "page"
    program.write_text('#!/bin/sh\ncat > "$1"\n')
    program.chmod(0o755)
    made(command, tmp_path, run=["./bin/page", "got"]).send(PAGE, 20.0)
    assert (tmp_path / "got").read_text().startswith("PROD relevance")


def test_a_failure_is_told_with_its_last_line_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_TOKEN", "hunter2hunter2")
    code = "import sys; sys.stderr.write('x' * 200_000 + '\\nno such pager: hunter2hunter2 \\x1b[2J\\n\\n'); sys.exit(7)"
    with pytest.raises(Unavailable) as caught:
        python(code, tmp_path).send(PAGE, 20.0)
    assert str(caught.value).endswith(r"failed with code 7: no such pager: … \x1b[2J.")
    with pytest.raises(Unavailable, match=r"ended by signal 9\."):
        python("import os; os.kill(os.getpid(), 9)", tmp_path).send(PAGE, 20.0)


def test_what_it_does_not_read_does_not_hold_us(tmp_path: Path) -> None:
    python("pass", tmp_path).send(Notice("k", "t", ["x" * 1_000_000], "info", "e"), 20.0)


def test_too_long_ends_all_of_it(tmp_path: Path) -> None:
    # A child of the child, which holds stderr open, too.
    script = "sleep 600 & echo $$ $! > pids; wait"
    with pytest.raises(Unavailable, match=r"was ended after 2 s\. Nobody may have been told\."):
        made(command, tmp_path, run=["/bin/sh", "-c", script], timeout=2).send(PAGE, 20.0)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    until(lambda: not any(alive(pid) for pid in pids))


def test_one_that_stays_behind_does_not_hold_us(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {HOLD!r}])\n"
        "open('pid', 'w').write(str(child.pid)); sys.stderr.write('half done\\n'); sys.exit(1)"
    )
    try:
        with pytest.raises(Unavailable, match="half done"):
            python(code, tmp_path).send(PAGE, 20.0)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)


def test_what_can_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no program")
    for run, told in ((["./none"], "No such file"), (["./file"], "Permission denied"), (["/bin/sh", "a\0b"], "a NUL character")):
        with pytest.raises(Refused, match=told):
            made(command, tmp_path, run=run).send(PAGE, 5.0)
    for run in ([], [""]):
        with pytest.raises(InvalidRequest, match="names no program"):
            made(command, tmp_path, run=run).send(PAGE, 5.0)


class TestConformance(NotifierConformance):
    @pytest.fixture
    def bench(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NotifierBench:
        monkeypatch.setenv("PAGER_TOKEN", "hunter2hunter2")
        keep = "import os, sys; open('got', 'a').write(os.environ['MLCONSOLE_NOTICE_KEY'] + ' ' + sys.stdin.read())"
        return NotifierBench(
            good=python(keep, tmp_path),
            received=lambda: [(tmp_path / "got").read_text()],
            dead=python("import os, sys; sys.exit(os.environ['PAGER_TOKEN'])", tmp_path),
            hanging=python(HOLD, tmp_path),
            refusing=made(command, tmp_path, run=["./no-such-program"]),
            secrets=["hunter2hunter2"],
        )
