"""Changes that go on without whoever began them: a process of its own runs the plan, and outlives screen and SSH connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.documents import target_told

if TYPE_CHECKING:
    from mlconsole.core.plans import Plan
    from mlconsole.engine.session import Session


@dataclass(frozen=True)
class Ended:
    """How such a process ended: its sentence and exit code (design §6)."""

    sentence: str
    next: str
    exit_code: int


class Detached:
    """A change that `mlconsole apply` carries out in a session of its own. Its journal is the registry; this only hears how it ended."""

    def __init__(self, session: Session, plan: Plan, *, typed: str | None = None) -> None:
        """Start it. The plan has to be kept in the registry, and `typed` is the name that a person typed for it."""
        words = ["apply", plan.id, "--yes", *(["--confirm", typed] if typed else [])]
        self._start(session, words)
        self.what, self.endpoint = f"{plan.kind} {target_told(plan.endpoint)}", plan.endpoint
        self.made_from = plan.made_from_release

    @classmethod
    def going_back(cls, session: Session, endpoint: str) -> Detached:
        """Make a running or interrupted change on an endpoint go back, in a process of its own."""
        made = cls.__new__(cls)
        made._start(session, ["revert", endpoint, "--yes"])
        made.what, made.endpoint, made.made_from = f"going back {target_told(endpoint)}", endpoint, None
        return made

    def _start(self, session: Session, words: list[str]) -> None:
        runs = session.workspace.root / ".mlconsole" / "runs"
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._out = runs / f"{words[1]}-{os.getpid()}-{session.clock.elapsed():.3f}.json"
        command = [
            sys.executable,
            "-m",
            "mlconsole",
            *words,
            "--workspace",
            str(session.workspace.file),
            "--env",
            session.environment.name,
            "--json",
        ]
        descriptor = os.open(self._out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=subprocess.DEVNULL, start_new_session=True, close_fds=True
            )
        finally:
            os.close(descriptor)

    def ended(self) -> Ended | None:
        """How it ended; None while it goes on."""
        code = self._process.poll()
        if code is None:
            return None
        body = _body(self._out)
        self._out.unlink(missing_ok=True)
        error = body.get("error")
        if isinstance(error, dict):
            return Ended(str(error.get("message", "")), str(error.get("next", "")), code)
        return Ended(str(body.get("sentence", f"It ended with code {code} and said nothing.")), "", code)


def _body(path: Path) -> dict[str, Any]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        body = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
