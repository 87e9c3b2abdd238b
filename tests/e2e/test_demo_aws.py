"""`mlconsole demo --aws`: the story of the first demo on AWS's own protocols, walked by itself; and what is said where it can't be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from e2e.kit import PROGRAM, Console

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("demo-aws")]


def test_headless_walks_both_layouts_and_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    before = _servers()
    body = Console(tmp_path_factory.mktemp("headless-aws")).json("demo", "--aws", "--headless", seconds=900.0)
    assert body["held"] is True
    checks = [one["check"] for one in body["checks"]]
    wanted = (
        "v3 serves all of the traffic",
        "deployed v4 at 10 %, in AppConfig",
        "shifted v4 to 25 %",
        "language pl goes to v4 alone",
        "published pl threshold 0.48 → 0.47",
        "reverted the threshold by itself",
        "in production one endpoint serves v3",
        "v4 is a second production variant with 10 %",
        "its weight moved to 50 %",
    )
    assert [one for one in checks if one in wanted] == list(wanted)
    assert checks.count("no request failed in all of this") == 2
    assert checks[-1] == "cleaned up"
    assert not _servers() - before


def test_without_its_extra_it_says_one_line_with_the_command(tmp_path: Path) -> None:
    """moto as somebody has it who installed the console alone: a stand-in first on the path that is no module."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\nreal = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'moto' else real(name, package)\n"
    )
    done = subprocess.run(
        [PROGRAM, "demo", "--aws"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(hidden)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "moto is not installed, so there is no AWS on this machine." in done.stderr
    assert "pip install 'mlconsole[demo-aws]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "demo-aws").exists()


def _servers() -> set[int]:
    """The servers of AWS's protocols that a demo without a person has started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if b"mlconsole_aws_offline." in command and b"/mlconsole-demo-" in command:
            found.add(int(path.parent.name))
    return found
