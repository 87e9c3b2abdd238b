"""Servers of the AWS protocols and workspaces on them, for measurements: real processes over HTTP, gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.house import ROOT

if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from aws.account_kit import Account
from aws.parts import Servers, until
from mlconsole.engine.session import Session
from mlconsole.workspace import environment, load
from mlconsole_aws_offline.addresses import PROFILE, Addresses, config_text

__all__ = ["PROFILE", "Account", "Servers", "opened", "servers", "until", "variables"]


@contextmanager
def servers() -> Iterator[Servers]:
    """Moto with our SageMaker part before it, and ministack; they end with us, however we end: their stdin is a pipe of ours."""
    with tempfile.TemporaryDirectory(prefix="mlconsole-aws-") as name:
        folder = Path(name)
        with (folder / "server.log").open("wb") as log:
            command = [sys.executable, "-m", "mlconsole_aws_offline.server", "--folder", str(folder), "--lifeline"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
            try:
                found = until(lambda: Addresses.read(folder / "ready.json") or process.poll(), 60.0)
                assert isinstance(found, Addresses), (folder / "server.log").read_text()
                config = folder / "aws-config"
                config.write_text(config_text(found.front), encoding="utf-8")
                yield Servers(found.front, found.front, found.ministack, found.front, config)
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(20)


def variables(made: Servers, home: Path) -> Mapping[str, str]:
    """The environment of somebody's shell who has credentials for these servers and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLCONSOLE", "PYTHONDONTWRITEBYTECODE"))}
    return {
        **kept,
        "AWS_CONFIG_FILE": str(made.config_file),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "XDG_STATE_HOME": str(home),
    }


def opened(root: Path, name: str) -> Session:
    """The engine in this process, in an environment of a workspace."""
    workspace = load(root / "mlconsole.yaml")
    return Session(workspace, environment(workspace, name, {}))
