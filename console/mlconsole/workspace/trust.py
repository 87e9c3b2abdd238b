"""Trust: whether somebody here has looked at the commands that a workspace brings, and allowed them (invariant 11).

It is kept outside of the workspace, where no `git pull` reaches it: in `$XDG_STATE_HOME/mlconsole/trusted.json`, a digest per workspace.
The digest is of what would be run and nothing else, so that another threshold or comment changes nothing, and another argument does. What
a program that the workspace holds does inside is not looked at: whoever trusts `./bin/restart` trusts those who may write it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlconsole.core.errors import MLConsoleError
from mlconsole.core.text import neutralise
from mlconsole.plugin import OWN_KEYS
from mlconsole.plugin.validation import Located, Sort
from mlconsole.workspace.configs import ConfigSettings, ValidatorSettings
from mlconsole.workspace.health import ChannelSettings, ProbeSettings
from mlconsole.workspace.settings import Workspace

_LARGEST = 1_000_000


class TrustUnusable(MLConsoleError):
    """The file of trusted workspaces can't be read or written; nothing is trusted meanwhile."""

    code = "trust"


@dataclass(frozen=True)
class Executable:
    """One thing that a workspace would have run: `what` it is (`the action refill`), and the command, its arguments as they stand there."""

    what: str
    command: tuple[str, ...]
    detail: str = ""
    """All that is said of it in the file, as far as that may change what is run."""


def executables(workspace: Workspace) -> tuple[Executable, ...]:
    """All commands that the workspace brings: actions and validators with `run`, and whatever else has one, as channels of kind `command`.

    Code of plugins is none of them: a workspace brings none, plugins are installed.
    """
    found = []
    for action in workspace.actions.values():
        if action.run is not None:
            defaults = {parameter.name: parameter.default for parameter in action.parameters}
            found.append(Executable(f"the action {action.name}", action.run, _canonical(defaults)))
    for environment in workspace.environments.values():
        for probe in environment.probes.values():
            found += _made(probe, "probe", f"the probe {probe.name} in {environment.name}")
        for channel in environment.channels.values():
            found += _made(channel, "notifier", f"the channel {channel.name} in {environment.name}")
    for config in workspace.configs.values():
        found += [Executable(validator_told(one, config), one.run) for one in config.validators if one.run is not None]
    return tuple(found)


def validator_told(validator: ValidatorSettings, config: ConfigSettings) -> str:
    """What a check that runs a command is called."""
    return f"the validator {validator.name} of config {config.name}"


def runs_command(settings: ProbeSettings | ChannelSettings) -> bool:
    """Whether a probe or a channel would run a command of the workspace's, whatever its plugin is called."""
    run = settings.node.get("run")
    return run is not None and run.sort is not Sort.NOTHING


def digest(found: tuple[Executable, ...]) -> str:
    """What is trusted: `sha256:…` over all of it, in whatever order it stands."""
    body = _canonical(sorted([one.what, list(one.command), one.detail] for one in found))
    return f"sha256:{hashlib.sha256(body.encode('utf-8', 'surrogatepass')).hexdigest()}"


def trust_file(environ: Mapping[str, str]) -> Path:
    """Where trust is kept: under `$XDG_STATE_HOME`, else `~/.local/state`."""
    base = environ.get("XDG_STATE_HOME", "")
    # A relative one is to be ignored, says the standard; it would also lie in the workspace.
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return folder / "mlconsole" / "trusted.json"


def trusted_digest(file: Path, root: Path) -> str | None:
    """The digest that was trusted for the workspace in that folder; None: none ever was.

    Raises:
        TrustUnusable: the file can't be read, or somebody else may write it.
    """
    found = _read(file).get(str(root))
    return found if isinstance(found, str) else None


def remember(file: Path, root: Path, value: str | None) -> None:
    """Trust this digest for the workspace in that folder; None: nothing any more.

    Raises:
        TrustUnusable: the file can't be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(file):
            kept = dict(_read(file))
            kept.pop(str(root), None)
            if value is not None:
                kept[str(root)] = value
            # mkstemp's files are 0600; moved in place, so that a reader sees the old or the new one.
            descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".trusted-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as new:
                    json.dump({"schema": 1, "trusted": kept}, new, indent=1, sort_keys=True)
                    new.flush()
                    os.fsync(new.fileno())
                Path(name).replace(file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _unusable(file, "written", error.strerror or str(error)) from error


def _made(settings: ProbeSettings | ChannelSettings, role: str, what: str) -> list[Executable]:
    if not runs_command(settings):
        return []
    run = settings.node.at("run")
    command = tuple(str(part.raw or part.value) for part in run.value) if run.sort is Sort.LIST else (str(run.raw or run.value),)
    # Numbers are thresholds and limits; every text or flag that its plugin takes may change what is run.
    own = OWN_KEYS[role]
    said = {name: _said(node) for name, node in settings.node.value.items() if name not in (*own, "run") and node.sort is not Sort.NUMBER}
    return [Executable(what, command, _canonical({"kind": settings.kind, **said}))]


def _said(node: Located) -> Any:
    if node.sort is Sort.MAP:
        return {name: _said(child) for name, child in node.value.items()}
    if node.sort is Sort.LIST:
        return [_said(child) for child in node.value]
    return node.raw or str(node.value)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _read(file: Path) -> Mapping[str, Any]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(file, "read", error.strerror or str(error)) from error
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(file, "used", "it is no regular file")
        if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
            raise _unusable(file, "used", "somebody else may write it")
        try:
            body = json.loads(opened.read(_LARGEST))
        except ValueError as error:
            raise _unusable(file, "read", "it is not the JSON that was written") from error
    trusted = body.get("trusted") if isinstance(body, dict) else None
    if not isinstance(trusted, dict):
        raise _unusable(file, "read", "it is not the JSON that was written")
    return trusted


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unusable(file: Path, how: str, why: str) -> TrustUnusable:
    return TrustUnusable(
        f"{neutralise(str(file))} can't be {how}: {neutralise(why)}. No workspace is trusted, and nothing was run.",
        next="Put that right, or remove the file and trust anew: mlconsole trust.",
    )
