"""What a model server of this machine has installed: what this Python has."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from mlconsole.core.clock import SystemClock
from mlconsole.plugin import Context
from mlconsole.plugin.roles import Packages
from mlconsole_local.serving import LocalServing


def test_packages_are_those_of_this_python(tmp_path: Path) -> None:
    serving = LocalServing(Context("staging", tmp_path, tmp_path / "state", {"log_megabytes": 1}, SystemClock()))
    assert isinstance(serving, Packages)
    assert serving.packages("relevance")["numpy"] == version("numpy")
