"""Faults as data: what goes wrong, at which call, how often. They lie in the world's file, so that a child process meets them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from mlconsole.core.models import Json
from mlconsole.plugin.errors import AuthFailed, BackendError, Conflict, Refused, Throttled, Unavailable


class FaultKind(StrEnum):
    """What can go wrong."""

    SILENT_ROLLBACK = "silent rollback"
    """On a start: runs as usual, then says *settled*, and is as it was before (trap 1)."""
    STUCK = "stuck"
    """On a start: in progress for ever, until `World.unstick` (trap 4)."""
    FAIL_VARIANT = "fail variant"
    """On a start: what it brings up goes FAILED with `reason`; on `config.start` the publication does, and clients read what they read."""
    WRONG_BYTES = "wrong bytes"
    """On a start: what it brings up (or publishes) is there, but with another digest."""
    DIES = "dies"
    """On a start: what it brings up is ready, and FAILED `seconds` later with `reason`."""
    LATE_READ = "late read"
    """On a start: for `seconds`, describe and report still give the state before it. On a describe or report: this one does. On
    `predictions.read`: what is younger than `seconds` is not there yet."""
    EMPTY = "empty"
    """On `predictions.read`: nothing, at the end. On `serving.list`: no endpoints. On `config.list`: no documents."""
    THROTTLE = "throttle"
    CONFLICT = "conflict"
    REFUSE = "refuse"
    AUTH = "auth"
    TIMEOUT_BEFORE_EFFECT = "time-out before the effect"
    """Raises `Unavailable`; nothing was done."""
    TIMEOUT_AFTER_EFFECT = "time-out after the effect"
    """Does it, then raises `Unavailable`."""
    HANG = "hang"
    """Blocks until `World.release`, or for `seconds` real seconds; then goes on as if nothing had been, which is what an abandoned call
    does in real life: only the fence keeps it from changing things late."""
    CRASH = "crash"
    """SIGKILLs its own process."""


class When(StrEnum):
    """On which side of the call's effect a HANG or a CRASH comes."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    `on` is a shell pattern; it has to match the call's name (`serving.start`, `traffic.report`, `config.start`, `predictions.read`, …), or
    its action (`start variant`), or both as `serving.start/start variant`. The first `after` matching calls pass; then `times` are hit
    (None: all).
    """

    kind: FaultKind
    on: str = "*.start"
    after: int = 0
    times: int | None = 1
    seconds: float = 0.0
    when: When = When.BEFORE
    endpoint: str = "*"
    variant: str = "*"
    """Narrows a start to steps that bring up or take away a variant of this name (a pattern)."""
    reason: str = ""
    """What the backend says about it; foreign text."""

    def matches(self, name: str, action: str, endpoint: str, variants: Sequence[str]) -> bool:
        """Whether a call is one of those that this fault is about."""
        if not any(fnmatchcase(candidate, self.on) for candidate in (name, action, f"{name}/{action}")):
            return False
        if not fnmatchcase(endpoint, self.endpoint):
            return False
        return self.variant == "*" or any(fnmatchcase(variant, self.variant) for variant in variants)

    def error(self) -> BackendError | None:
        """What it raises before anything is done; None: it does something else."""
        said = self.reason
        match self.kind:
            case FaultKind.THROTTLE:
                return Throttled(said or "Rate exceeded.")
            case FaultKind.CONFLICT:
                return Conflict(said or "Somebody else is changing it.")
            case FaultKind.REFUSE:
                return Refused(said or "The simulator was told to refuse this.")
            case FaultKind.AUTH:
                return AuthFailed(said or "The token has expired.")
            case FaultKind.TIMEOUT_BEFORE_EFFECT:
                return Unavailable(said or "No answer.")
            case _:
                return None


def fault_to_json(fault: Fault) -> dict[str, Json]:
    """A fault as the world's file keeps it."""
    return asdict(fault)


def fault_from_json(body: Mapping[str, Json]) -> Fault:
    """The fault that `fault_to_json` wrote."""
    return Fault(**{**body, "kind": FaultKind(body["kind"]), "when": When(body["when"])})
