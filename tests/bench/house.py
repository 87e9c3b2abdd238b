"""A sample workspace of its own with real servers, driven through the engine or the command line, gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from mlconsole.core.plans import Plan
from mlconsole.core.traffic import Shadow
from mlconsole.engine import changing, machine, starting
from mlconsole.engine.endpoints import show
from mlconsole.engine.planning import plan_deploy, plan_remove, plan_revert, plan_traffic
from mlconsole.engine.session import Session
from mlconsole.engine.views import EndpointView, Outcome
from mlconsole.workspace import environment, load

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "relevance"
SLICES = {"language": "language"}


def console() -> list[str]:
    """The installed command, as a person calls it."""
    script = Path(sys.executable).parent / "mlconsole"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "mlconsole"]


def variables() -> dict[str, str]:
    """The environment of a person's shell: nothing that keeps Python from caching its bytecode, nothing of another workspace."""
    left_out = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    return {name: value for name, value in os.environ.items() if name not in left_out and not name.startswith("MLCONSOLE")}


class House:
    """The workspace, and what is done in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: Path | None = None

    @cached_property
    def session(self) -> Session:
        """The engine, in this process."""
        workspace = load(self.root / "mlconsole.yaml")
        return Session(workspace, environment(workspace, None, {}))

    def command(self, *arguments: str) -> list[str]:
        """The command line for `mlconsole …` in this workspace."""
        return [*console(), "-w", str(self.root), *arguments]

    def cli(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Run a command with `--json`; its answer.

        Raises:
            AssertionError: it left with another exit code.
        """
        done = subprocess.run(self.command(*arguments, "--json"), capture_output=True, text=True, env=variables(), timeout=300, check=False)
        if done.returncode not in codes:
            raise AssertionError(f"mlconsole {' '.join(arguments)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
        lines = done.stdout.strip().splitlines()
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return answer

    def run(self, plan: Plan) -> Outcome:
        """Carry a plan out; it has to come to stand."""
        outcome = changing.run(self.session, plan)
        if not outcome.done:
            raise AssertionError(outcome.sentence)
        return outcome

    def deploy(self, version: str, share: int | None = None) -> Outcome:
        """A version behind the endpoint, with `share` (bp) of the traffic."""
        return self.run(plan_deploy(self.session, ENDPOINT, version, share=share))

    def traffic(self, shares: Mapping[str, int], *, shadow: Shadow | None = None, end_shadow: bool = False) -> Outcome:
        """Shares (bp), and a shadow."""
        return self.run(plan_traffic(self.session, ENDPOINT, shares, shadow=shadow, end_shadow=end_shadow))

    def remove(self, variant: str) -> Outcome:
        """A variant goes."""
        return self.run(plan_remove(self.session, ENDPOINT, variant))

    def revert(self, to: int | None = None) -> Outcome:
        """Back."""
        return self.run(plan_revert(self.session, ENDPOINT, to=to))

    def view(self, window: float = 600.0) -> EndpointView:
        """The endpoint as the engine sees it."""
        return show(self.session, ENDPOINT, window=window)

    @property
    def port(self) -> int:
        """The gateway's."""
        return int((self.view(1.0).url or "").rpartition(":")[2])

    def server(self, variant: str) -> Mapping[str, str]:
        """`pid` and `port` of a variant's server."""
        return next(one for one in self.view(1.0).variants if one.name == variant).resources

    @property
    def events(self) -> Path:
        """The recorded events."""
        path = self.session.workspace.models[ENDPOINT].replay
        assert path is not None
        return path

    def replay(self, rate: int) -> None:
        """Replayed traffic, by the product's own means."""
        given = {"endpoint": ENDPOINT, "events": str(self.events), "rate": str(rate), "slices": "language=language"}
        machine.run_action(self.session, "traffic-start", given)
        until("the first replayed request", 15.0, lambda: int(self.replayed()["sent"]) > 0)

    def replayed(self) -> Mapping[str, Any]:
        """What the replay says of itself: `sent`, `failed`, `last_error`; a second old at most."""
        return machine.run_action(self.session, "traffic-status", {"endpoint": ENDPOINT})

    def processes(self) -> dict[int, list[str]] | None:
        """Every process that works inside this workspace's state: pid → arguments. None where the system does not tell (no /proc)."""
        if not Path("/proc/self/cwd").exists():
            return None
        found: dict[int, list[str]] = {}
        state = str((self.root / ".mlconsole").resolve())
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if str((entry / "cwd").readlink()).startswith(state):
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
        return {pid: arguments for pid, arguments in found.items() if arguments}

    def close(self) -> None:
        """Stop everything, remove everything."""
        try:
            machine.down(self.session)
        finally:
            self.session.registry.close()
            shutil.rmtree(self.root.parent, ignore_errors=True)


@contextmanager
def house(*, version: str | None = "3") -> Iterator[House]:
    """A sample workspace whose servers run, with `version` behind its endpoint."""
    made = House(Path(tempfile.mkdtemp(prefix="mlconsole-bench-")) / "workspace")
    starting.create(made.root, sample=True)
    starting.register_all(made.session)
    try:
        machine.up(made.session)
        if version is not None:
            made.deploy(version)
        yield made
    finally:
        made.close()


def until(what: str, seconds: float, true: Callable[[], bool]) -> None:
    """Wait for something that is to be seen.

    Raises:
        AssertionError: it was not seen in time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {seconds:g} s: {what}")
        time.sleep(0.05)
