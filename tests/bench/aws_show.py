"""`mlconsole endpoints show X --json` beside the two `aws` commands that tell a part of the same, as whole processes, by turns in one run.

The workspace is what `init --from aws` makes, its endpoint adopted: ours also tells what is wanted, what was really observed (CloudWatch),
which versions these are, and the way back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench import aws_house
from tests.bench.aws_house import PROFILE, Account
from tests.bench.figures import Figure, Say, at_most, median
from tests.bench.house import console

_TURNS, _SAMPLE = 25, 9
_NAME = "eta"
_LATENCY = 0.05
"""Seconds that each call takes where AWS is not on this machine: ours asks more, for it tells more."""


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Medians of each, and of the ratio of the two that ran one after the other: with AWS on this machine, and a little away."""
    with tempfile.TemporaryDirectory(prefix="mlconsole-show-") as name, aws_house.servers() as servers:
        account = Account(servers)
        account.model("eta-2024")
        account.model("eta-2025")
        account.endpoint(_NAME, {"blue": ("eta-2024", 9.0), "green": ("eta-2025", 1.0)})
        account.settled()
        shell = aws_house.variables(servers, Path(name) / "home")
        root = Path(name) / "ws"
        _run([*console(), "init", "--from", "aws", "--profile", PROFILE, str(root)], shell)
        _run([*console(), "-w", str(root), "endpoints", "adopt", "--all"], shell)
        aws = [sys.executable, str(Path(sys.executable).parent / "aws"), "--profile", PROFILE, "--output", "json", "sagemaker"]
        config = account.sagemaker.describe_endpoint(EndpointName=_NAME)["EndpointConfigName"]
        theirs = (
            [*aws, "describe-endpoint", "--endpoint-name", _NAME],
            [*aws, "describe-endpoint-config", "--endpoint-config-name", config],
        )
        ours = [*console(), "-w", str(root), "endpoints", "show", _NAME, "--json"]
        shown = json.loads(_run(ours, shell))
        assert {one["name"]: one["reported"] for one in shown["variants"]} == {"blue": 90.0, "green": 10.0}, shown
        assert {one["version"] for one in shown["variants"]} == {"2024", "2025"}
        turns = _TURNS if long else _SAMPLE
        yield _figure("endpoints show --json, beside two aws commands", *_by_turns(ours, theirs, shell, turns), bound=1.0)
        servers.control(delay_seconds=_LATENCY)
        name_far = f"the same, each call {_LATENCY * 1000:.0f} ms away"
        yield _figure(name_far, *_by_turns(ours, theirs, shell, max(5, turns // 3)), bound=None)


def _by_turns(
    ours: Sequence[str], theirs: Sequence[Sequence[str]], shell: Mapping[str, str], turns: int
) -> tuple[list[float], list[float]]:
    mine: list[float] = []
    yours: list[float] = []
    for turn in range(turns):
        for times, commands in ((mine, [ours]), (yours, theirs))[:: 1 if turn % 2 else -1]:
            times.append(_seconds(commands, shell))
    return mine, yours


def _figure(name: str, mine: list[float], yours: list[float], *, bound: float | None) -> Figure:
    ratio = median([one / other for one, other in zip(mine, yours, strict=True)])
    told = f"{median(mine):.2f} s against {median(yours):.2f} s ({ratio:.2f} of it, median of {len(mine)})"
    if bound is None:
        return Figure(name, told, values={"value": ratio, "ours": mine, "aws": yours})
    return at_most(name, ratio, bound, told, ours=mine, aws=yours)


def _seconds(commands: Sequence[Sequence[str]], shell: Mapping[str, str]) -> float:
    began = time.perf_counter()
    for command in commands:
        _run(command, shell)
    return time.perf_counter() - began


def _run(command: Sequence[str], shell: Mapping[str, str]) -> str:
    done = subprocess.run(list(command), env=dict(shell), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
