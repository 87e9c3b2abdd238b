"""What the tests of the whole program share: running it as a stranger would, and looking hard at every line it prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pexpect

from mlconsole.core.clock import SystemClock
from mlconsole.plugin.simulator import Fault, FaultKind, When, World

T = TypeVar("T")
PROGRAM = Path(sys.executable).with_name("mlconsole")
EXITS = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 130})

# What a terminal would obey, or what turns text round: nothing of it may come out raw, whoever brought it in.
_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
NASTY = "\x1b[31mred\x1b[0m\u202egnp.exe\x9b2J\u2066\u2029end"
"""Colour, a text turned round, a screen erased (C1), an isolate, a paragraph."""


def until(condition: Callable[[], T], seconds: float = 60.0) -> T:
    """Wait for a condition and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.01)
    return value


def clean(text: str, *, crlf: bool = False) -> None:
    """No traceback, no raw control sequence, none of our own bugs told as somebody else's."""
    assert "Traceback" not in text, text
    assert "a case it was not made for" not in text, text
    raw = _RAW.search(text.replace("\r\n", "\n") if crlf else text)
    assert raw is None, f"raw {raw[0]!r} in {text!r}"


@dataclass(frozen=True)
class Result:
    """One run: exit code, what was said to scripts (stdout) and to people (stderr)."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout, which says that it is schema 1, or what went wrong."""
        lines = self.out.strip().splitlines()
        assert len(lines) == 1, self.out
        body = json.loads(lines[0])
        assert body.get("schema") == 1 or set(body) == {"error"}, body
        return body

    @property
    def error(self) -> Mapping[str, str]:
        """The failure as scripts read it; people read the same sentence on stderr."""
        error: Mapping[str, str] = self.json["error"]
        assert set(error) == {"code", "message", "next"}
        return error

    @property
    def sentence(self) -> str:
        """The one line on stderr."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass
class Console:
    """The program in one workspace; `run` wants exit code 0 unless told otherwise."""

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a run: nothing of the tester's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLCONSOLE", "COLUMNS", "LINES", "NO_COLOR"))}
        return {**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **self.variables, **more}

    def run(
        self,
        *arguments: str,
        code: int | Collection[int] = 0,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        seconds: float = 120.0,
        **more: Any,
    ) -> Result:
        """Run a command, without a terminal."""
        done = subprocess.run(
            [str(PROGRAM), *arguments],
            cwd=cwd or self.root,
            env=self.environ(**(environ or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            **more,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        clean(result.out + result.err)
        wanted = {code} if isinstance(code, int) else set(code)
        assert result.code in wanted, f"{' '.join(arguments)}: exit {result.code}, wanted {wanted}\n{result.out}\n{result.err}"
        assert result.code in EXITS
        return result

    def json(self, *arguments: str, code: int = 0, **more: Any) -> Any:
        """Run a command with --json; its document."""
        return self.run(*arguments, "--json", code=code, **more).json

    def refused(self, *arguments: str, code: int = 2, **more: Any) -> str:
        """Run a command that can't work: one line for people, which is returned."""
        result = self.run(*arguments, code=code, **more)
        return result.sentence

    def refused_plan(self, *arguments: str, code: int = 2, **more: Any) -> str:
        """Run a change that is not confirmed: the plan on stdout, one line on stderr, which is returned."""
        result = self.run(*arguments, code=code, **more)
        assert "nothing has happened yet" in result.out
        return result.sentence

    @contextmanager
    def started(self, *arguments: str, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs beside the test; ended at the end."""
        process = subprocess.Popen(
            [str(PROGRAM), *arguments],
            cwd=self.root,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def terminal(self, *arguments: str, columns: int = 80, lines: int = 24, **variables: str) -> pexpect.spawn:
        """A command in a terminal of its own."""
        return pexpect.spawn(
            str(PROGRAM),
            list(arguments),
            cwd=str(self.root),
            env=self.environ(**variables),  # type: ignore[arg-type]
            dimensions=(lines, columns),
            encoding="utf-8",
            timeout=60,
        )


def ended(process: subprocess.Popen[bytes], seconds: float = 120.0) -> Result:
    """How a started command ended."""
    out, err = process.communicate(timeout=seconds)
    result = Result(process.returncode, out.decode(), err.decode())
    clean(result.out + result.err)
    return result


def screen(child: pexpect.spawn, code: int | None = 0) -> str:
    """Everything that a command in a terminal showed until its end, which is checked."""
    shown = str(child.before or "") if not isinstance(child.before, type) else ""
    child.expect(pexpect.EOF)
    shown += str(child.before)
    child.close()
    clean(shown, crlf=True)
    if code is not None:
        assert child.exitstatus == code, (child.exitstatus, child.signalstatus, shown)
    return shown


# A workspace whose backend is simulated: real processes, a real registry, and faults where one wants them.

_ENTRY = "[mlconsole.plugins]\nsimulator = mlconsole.plugin.simulator:plugin\n"
_WORKSPACE = """\
workspace: test
default_environment: staging
environments:
  staging:
    serving: simulator
    traffic: simulator
    predictions: simulator
    options: {simulator: {world: staging.json, variant_seconds: 0.05, traffic_seconds: 0.02, stop_seconds: 0.02}}
  production:
    serving: simulator
    traffic: simulator
    predictions: simulator
    options: {simulator: {world: production.json, variant_seconds: 0.05, traffic_seconds: 0.02, stop_seconds: 0.02}}
models:
  relevance: {}
  delay-risk: {endpoint: delays}
"""
METADATA = """\
owner: team
parameters: {}
data: {reference: events.jsonl, cutoff: '2026-01-31'}
metrics: {evaluation_set: 'sha256:abc', values: {f1: 0.8}}
preprocessing: artifact
dependencies: [numpy==2.3.1]
signature:
  inputs: [{name: text, datatype: BYTES}, {name: language, datatype: BYTES, required: false}]
  outputs: [{name: score, datatype: FP32}]
  score: score
  slices: [{key: language, path: /language, values: [en, de, pl]}]
baseline: {n: 1}
"""


@dataclass
class Simulated(Console):
    """A workspace with a simulated backend."""

    def world(self, environment: str = "staging") -> World:
        """What the backend knows; faults go in here."""
        return World(self.root / f"{environment}.json", SystemClock())

    def hang(self, on: str, *, when: When = When.BEFORE, after: int = 0) -> World:
        """Let the next call of that kind hang until `release`."""
        world = self.world()
        world.inject(Fault(FaultKind.HANG, on=on, when=when, after=after, seconds=60.0))
        return world

    def reached(self, world: World, name: str, count: int = 1) -> None:
        """Wait until so many calls of that name were begun and have not come back."""
        until(lambda: sum(1 for call in world.calls if call.name == name and call.outcome is None) >= count)


def artifact(folder: Path, content: bytes = b"model", metadata: str = METADATA) -> Path:
    """A folder with an artifact and its metadata; the artifact's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.yaml").write_text(metadata, encoding="utf-8")
    (folder / "model.bin").write_bytes(content)
    return folder / "model.bin"


def make_simulated(folder: Path) -> Simulated:
    """A fresh one, with versions 1.10, 3, 4 and 5 of relevance and 1 of delay-risk registered."""
    plugin = folder / "site" / "simulated-1.dist-info"
    plugin.mkdir(parents=True)
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: simulated\nVersion: 1\n")
    (plugin / "entry_points.txt").write_text(_ENTRY)
    root = folder / "ws"
    root.mkdir()
    (root / "mlconsole.yaml").write_text(_WORKSPACE)
    console = Simulated(root, {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))})
    for name in ("relevance@1.10", "relevance@3", "relevance@4", "relevance@5", "delay-risk@1"):
        console.run("models", "register", name, str(artifact(root / "models" / name, name.encode())))
    return console


def copied(console: Simulated, folder: Path) -> Simulated:
    """The same workspace again, somewhere else."""
    shutil.copytree(console.root, folder / "ws")
    return Simulated(folder / "ws", console.variables)


def press_ctrl_c(process: subprocess.Popen[bytes]) -> None:
    """What a terminal sends to the program in front."""
    process.send_signal(signal.SIGINT)
