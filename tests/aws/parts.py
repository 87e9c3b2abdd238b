"""The servers that the AWS tests run on, and what looks at them with other eyes: boto3 by itself and the `aws` command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mlconsole.core.clock import Clock, SystemClock
from mlconsole.plugin import Context
from mlconsole_aws_offline.addresses import ACCOUNT, PROFILE, REGION, Addresses, ask, config_text

T = TypeVar("T")


@dataclass(frozen=True)
class Servers:
    """One set of servers; `sagemaker`, `appconfig` and `moto` are one address (each request finds its part), `ministack` is behind it."""

    sagemaker: str
    appconfig: str
    ministack: str
    moto: str
    config_file: Path
    account: str = ACCOUNT
    region: str = REGION

    def client(self, service: str) -> Any:
        """A plain boto3 client beside ours, to look with independent eyes. It repeats nothing."""
        import boto3
        import botocore.session
        from botocore.config import Config

        core = botocore.session.Session(profile=PROFILE)
        core.set_config_variable("config_file", str(self.config_file))
        session = boto3.Session(botocore_session=core, region_name=self.region)
        return session.client(service, config=Config(retries={"total_max_attempts": 1, "mode": "standard"}))

    def reset(self) -> None:
        """Everything as new, faults and counts too."""
        ask(self.sagemaker, "/_offline/reset", {})

    def control(self, **settings: Any) -> None:
        """How the servers behave from now on; what is not said is as new.

        The settings are those of `mlconsole_aws_offline.settings.Settings` (times, faults of endpoints, limits), those of `faults.KNOWN`
        (throttle, http_500, expired, denied, timeout_after_effect, hang_seconds; only for some `services` or `operations`, only so many
        `times`), and `minute_seconds`: how long a minute of an AppConfig strategy lasts.

        Raises:
            ValueError: there is no such setting.
        """
        ask(self.sagemaker, "/_offline/control", settings)

    def flush(self) -> None:
        """Captured data and figures that were on their way are in S3 and CloudWatch now."""
        ask(self.sagemaker, "/_offline/flush", {})

    def calls(self) -> dict[str, int]:
        """`sagemaker:DescribeEndpoint` → requests that arrived since the last reset, from whomever."""
        return ask(self.sagemaker, "/_offline/calls")

    def aws(self, *arguments: str) -> Any:
        """The `aws` command line; its JSON, parsed. None where it says nothing.

        Raises:
            AssertionError: it failed; with what it said.
        """
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.config_file.parent),
            "AWS_CONFIG_FILE": str(self.config_file),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PROFILE": PROFILE,
            "AWS_PAGER": "",
        }
        command = [sys.executable, str(Path(sys.executable).parent / "aws"), *arguments, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"aws {' '.join(arguments)}: {done.stderr.strip()}"
        return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Started once for each worker; they end with it, however it ends: their stdin is a pipe of ours."""
    folder = tmp_path_factory.mktemp("aws-servers")
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlconsole_aws_offline.server", "--folder", str(folder), "--lifeline"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
    )
    try:
        found = until(lambda: Addresses.read(folder / "ready.json") or process.poll(), 60.0)
        assert isinstance(found, Addresses), (folder / "server.log").read_text() + (folder / "ministack.log").read_text()
        config = folder / "aws-config"
        config.write_text(config_text(found.front), encoding="utf-8")
        yield Servers(found.front, found.front, found.ministack, found.front, config)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)
        log.close()


@pytest.fixture
def aws(servers: Servers) -> Servers:
    """The servers, as new."""
    servers.reset()
    return servers


def context(servers: Servers, tmp_path: Path, clock: Clock | None = None, *, by_name: bool = False, **options: Any) -> Context:
    """What a role of the aws plugin is given: the environment `staging` on these servers, with the plugin's own defaults filled in."""
    from mlconsole.plugin.validation import validate
    from mlconsole.workspace.reading import parse_yaml
    from mlconsole_aws.options import OPTIONS

    said = {
        "region": servers.region,
        "account": servers.account,
        "profile": PROFILE,
        "config_file": str(servers.config_file),
        **options,
    }
    return Context(
        environment="staging",
        root=tmp_path,
        state=tmp_path / "state" / "aws",
        options=validate(OPTIONS, parse_yaml(json.dumps(said).encode(), "options", minimal="{}"), "options"),
        clock=clock or SystemClock(),
        by_name=by_name,
    )


def until(condition: Callable[[], T], seconds: float = 15.0) -> T:
    """Wait for something that is true in the end; what it was then.

    Raises:
        AssertionError: it did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not true within {seconds:g} s"
        time.sleep(0.01)
