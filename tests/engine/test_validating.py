"""Checks of the team's own: programs and functions, what they say, and everything that may be wrong with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.conftest import House, build
from engine.kit import until
from mlconsole.core.findings import Finding, Severity
from mlconsole.core.models import Json
from mlconsole.documents import read
from mlconsole.engine import trusting
from mlconsole.engine.validating import own_findings
from mlconsole.workspace import load
from mlconsole.workspace.trust import executables

BODY = '{"relevance": {"pl": {"threshold": 0.48}}, "note": "zażółć"}\n'.encode()

PLUGIN = """
import subprocess, sys, time
from subprocess import run
from mlconsole.core.findings import Finding, Severity

plugin = None

def floors(value, about):
    pl = value["relevance"]["pl"]
    pl["threshold"] = 9  # what a check does to it is its own business
    yield Finding(Severity.STOP, "floor", f"{about.document} in {about.environment}, {about.format}, {len(about.text)}", "/relevance/pl")
    yield {"severity": "look", "text": "as a mapping"}

def fine(value, about):
    return None

def raises(value, about):
    raise ValueError("no\\x1b[31m such\\nthing")

def leaves(value, about):
    sys.exit(3)

def hangs(value, about):
    time.sleep(60)

def number(value, about):
    return 3

class NotCallable:
    pass

constant = 3
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    root = tmp_path / "house"
    (root / "config").mkdir(parents=True)
    (root / "checks").mkdir()
    (root / "config" / "models.json").write_bytes(BODY)
    return build(root)


def check(house: House, validator: Json, *, trusted: bool = True, program: str | None = None, body: bytes = BODY) -> tuple[Finding, ...]:
    """What this check, alone, says of the document."""
    if program is not None:
        (house.root / "checks" / "look.py").write_text(program)
    text = (house.root / "mlconsole.yaml").read_text().partition("configs:")[0]
    configs = {"models": {"file": "config/models.json", "validators": [validator]}}
    (house.root / "mlconsole.yaml").write_text(f"{text}configs: {json.dumps(configs)}\n")
    if trusted:
        trusting.allow(load(house.root))
    session = house.session()
    config = session.workspace.configs["models"]
    try:
        return own_findings(session, config.validators[0], config, body, read(body, config.format))
    finally:
        session.close()


RUN: Json = {"run": ["{python}", "checks/look.py"]}


def says(house: House, program: str, **how: object) -> list[str]:
    """What a check that runs this program says."""
    return [f"{one.severity} {one.rule} {one.text}" for one in check(house, {**RUN, **how}, program=program)]


def test_a_program_gets_the_document_and_says_what_it_finds(house: House) -> None:
    program = """
import json, os, sys
body = sys.stdin.buffer.read()
about = [os.environ["MLCONSOLE_" + name] for name in ("DOCUMENT", "FORMAT", "ENV")]
print(json.dumps([
    {"severity": "stop", "rule": "floor", "text": " ".join(about), "pointer": "/relevance/pl/threshold", "line": 1},
    {"severity": "look", "text": json.loads(body)["note"]},
    {"severity": "ok", "rule": "size", "text": str(len(body))},
]))
"""
    assert check(house, RUN, program=program) == (
        Finding(Severity.STOP, "floor", "models json staging", "/relevance/pl/threshold", 1),
        Finding(Severity.LOOK, "own", "zażółć"),
        Finding(Severity.OK, "size", str(len(BODY))),
    )


def test_nothing_printed_is_nothing_found(house: House) -> None:
    assert says(house, "") == ["ok own checks/look.py"]
    assert says(house, "print('[]')") == ["ok own checks/look.py"]
    assert says(house, "print('{\"findings\": []}')") == ["ok own checks/look.py"]


def test_an_exit_code_of_one_is_right_with_findings_only(house: House) -> None:
    found = 'print(\'[{"severity": "stop", "text": "bad"}]\')'
    assert says(house, f"import sys; {found}; sys.exit(1)") == ["stop own bad"]
    assert says(house, "import sys; sys.exit('no such file')") == [
        "stop own checks/look.py failed with code 1, and printed no findings: no such file"
    ]
    assert says(house, "import sys; print([]); sys.exit(1)") == ["stop own checks/look.py failed with code 1, and printed no findings"]
    assert says(house, f"import sys; {found}; print('oh', file=sys.stderr); sys.exit(4)") == [
        "stop own checks/look.py failed with code 4: oh"
    ]
    assert says(house, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)") == ["stop own checks/look.py was ended by signal 15"]


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        ("all fine", 'printed no JSON, but "all fine"'),
        ("[" * 100_000, f'printed no JSON, but "{"[" * 59}…"'),
        ('"fine"', "said no list of findings"),
        ('{"found": []}', "said no list of findings"),
        ("[3]", "said no finding, as its number 1: an object with severity and text is wanted"),
        ('[{"severity": "ok", "text": "a"}, {"severity": "bad", "text": "b"}]', "stop, look or ok is wanted"),
        ('[{"text": "b"}]', "stop, look or ok is wanted"),
        ('[{"severity": ["stop"], "text": "b"}]', "stop, look or ok is wanted"),
        ('[{"severity": "stop", "text": " "}]', "said a finding (its number 1) without a text"),
        ('[{"severity": "stop", "text": "a", "pointer": "relevance"}]', 'at "relevance", which is no JSON pointer'),
        ('[{"severity": "stop", "text": "a", "line": 0}]', "on a line that is no number from 1"),
    ],
)
def test_bad_output_is_a_finding(house: House, printed: str, text: str) -> None:
    [told] = says(house, f"print({printed!r})")
    assert told.startswith("stop own checks/look.py ")
    assert told.endswith(text)


def test_what_it_says_is_harmless_short_and_without_secrets(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISK_TOKEN", "hunter2-hunter2")
    program = """
import json, os
print(json.dumps([{"severity": "look", "text": "\\x1b[31m" + os.environ["RISK_TOKEN"] + "x" * 5000, "pointer": "/a\\x07", "rule": "a b"}]))
"""
    [found] = check(house, RUN, program=program)
    assert found.text.startswith("\\x1b[31m…xxx")
    assert len(found.text) <= 500
    assert (found.pointer, found.rule) == ("/a\\x07", "own")
    [told] = says(house, "import os, sys; sys.exit('leaked ' + os.environ['RISK_TOKEN'])")
    assert told.endswith("leaked …")


def test_it_may_say_only_so_much(house: House) -> None:
    many = check(house, RUN, program="import json; print(json.dumps([{'severity': 'ok', 'text': 'x'}] * 250))")
    assert (len(many), many[-1].text) == (201, "checks/look.py found 50 more")
    assert says(house, "print('x' * 2_000_000)") == ["stop own checks/look.py printed more than 1000 kB"]


def test_a_program_that_reads_nothing_or_says_much_on_the_side_holds_nobody_up(house: House) -> None:
    large = b'{"a": "' + b"x" * 900_000 + b'"}'
    assert [one.severity for one in check(house, RUN, program="", body=large)] == [Severity.OK]
    assert says(house, "import sys; sys.stderr.write('y' * 1_000_000)") == ["ok own checks/look.py"]


def test_one_that_hangs_is_ended_with_all_that_it_started(house: House, tmp_path: Path) -> None:
    marks = tmp_path / "pids"
    program = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(marks)!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    began = time.monotonic()
    assert says(house, program, time_limit=1) == ["stop own checks/look.py took longer than its time limit of 1 s and was stopped"]
    assert time.monotonic() - began < 30
    pid = int(marks.read_text())
    until(lambda: not _runs(pid), "its child has ended")


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_a_program_that_is_not_there(house: House) -> None:
    [found] = check(house, {"run": ["checks/nowhere"]})
    assert found.text == "checks/nowhere can't be run: checks/nowhere: No such file or directory"
    own = house.root / "checks" / "own"
    own.write_text("#!/bin/sh\necho '[]'\n")
    own.chmod(0o755)
    assert [one.severity for one in check(house, {"run": ["checks/own"]})] == [Severity.OK]


def test_nothing_runs_before_somebody_trusted_it(house: House) -> None:
    program = "import pathlib; pathlib.Path('ran').touch()"
    [found] = check(house, RUN, program=program, trusted=False)
    assert found.severity is Severity.STOP
    assert "was not run: " in found.text
    assert "mlconsole trust" in found.text
    assert not (house.root / "ran").exists()
    assert [one.severity for one in check(house, RUN, program=program)] == [Severity.OK]
    assert (house.root / "ran").exists()
    # Other arguments are another program.
    [other] = check(house, {"run": ["{python}", "checks/look.py", "--now"]}, trusted=False)
    assert "changed since this workspace was trusted" in other.text
    assert [(one.what, one.command) for one in executables(load(house.root))] == [
        ("the validator {python} checks/look.py --now of config models", ("{python}", "checks/look.py", "--now"))
    ]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stranger's plugin, as pip would leave it."""
    site = tmp_path / "site"
    info = site / "riskteam-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: riskteam\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlconsole.plugins]\nriskteam = riskteam_checks.rules:plugin\n")
    (site / "riskteam_checks").mkdir()
    (site / "riskteam_checks" / "__init__.py").write_text("")
    (site / "riskteam_checks" / "rules.py").write_text(PLUGIN)
    (site / "riskteam_checks" / "broken.py").write_text("raise RuntimeError('at import')")
    (site / "stray.py").write_text("def fine(value, about):\n    return []\n")
    monkeypatch.syspath_prepend(str(site))
    yield
    for name in [name for name in sys.modules if name.startswith(("riskteam_checks", "stray"))]:
        del sys.modules[name]


def called(house: House, target: str, **how: object) -> list[str]:
    return [f"{one.severity} {one.rule} {one.pointer} {one.text}" for one in check(house, {"call": target, **how}, trusted=False)]


@pytest.mark.usefixtures("installed")
def test_a_function_of_an_installed_plugin_says_what_it_finds(house: House) -> None:
    assert called(house, "riskteam_checks.rules:floors") == [
        f"stop floor /relevance/pl models in staging, json, {len(BODY.decode())}",
        "look own  as a mapping",
    ]
    assert called(house, "riskteam_checks.rules:fine") == ["ok own  riskteam_checks.rules:fine"]


@pytest.mark.usefixtures("installed")
def test_a_function_changes_only_its_own_copy(house: House) -> None:
    called(house, "riskteam_checks.rules:floors")
    session = house.session()
    config = session.workspace.configs["models"]
    reading = read(BODY, config.format)
    assert own_findings(session, config.validators[0], config, BODY, reading)[0].severity is Severity.STOP
    assert reading.value["relevance"]["pl"]["threshold"] == 0.48


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("riskteam_checks.rules:raises", "failed: ValueError: no\\x1b[31m such thing"),
        ("riskteam_checks.rules:leaves", "failed: SystemExit: 3"),
        ("riskteam_checks.rules:number", "said no list of findings"),
        ("riskteam_checks.rules:nowhere", "is not there: riskteam_checks.rules has no nowhere"),
        ("riskteam_checks.rules:constant", "is no function of riskteam_checks"),
        ("riskteam_checks.rules:run", "is no function of riskteam_checks"),
        ("riskteam_checks.rules:subprocess", "is no function of riskteam_checks"),
        ("riskteam_checks.broken:fine", "can't be imported: RuntimeError: at import"),
        ("riskteam_checks.nowhere:fine", "can't be imported: ModuleNotFoundError: No module named 'riskteam_checks.nowhere'"),
        ("stray:fine", "is not called: no installed plugin brings the package stray"),
        ("os:system", "is not called: no installed plugin brings the package os"),
        ("mlconsole.engine.trusting:allow", "is not called: no installed plugin brings the package mlconsole"),
    ],
)
def test_a_function_that_can_not_be_called_or_fails_is_a_finding(house: House, target: str, text: str) -> None:
    assert called(house, target) == [f"stop own  {target} {text}"]


@pytest.mark.usefixtures("installed")
def test_a_function_that_hangs_is_not_waited_for(house: House) -> None:
    assert called(house, "riskteam_checks.rules:hangs", time_limit=1) == [
        "stop own  riskteam_checks.rules:hangs took longer than its time limit of 1 s and is not waited for"
    ]


def test_the_environment_of_a_program_is_ours(house: House) -> None:
    program = "import json, os, sys; print(json.dumps([{'severity': 'ok', 'text': sys.executable + ' ' + os.getcwd()}]))"
    [found] = check(house, RUN, program=program)
    assert found.text == f"{sys.executable} {os.path.realpath(house.root)}"
