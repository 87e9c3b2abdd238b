"""Trust (invariant 11): a workspace's own commands run only after somebody here has allowed them. Every way to them asks here."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import NotAllowed

if TYPE_CHECKING:
    from pathlib import Path

    from mlconsole.engine.session import Session
    from mlconsole.workspace import Workspace
    from mlconsole.workspace.health import ChannelSettings, ProbeSettings
    from mlconsole.workspace.trust import Executable

_SHOWN = 200


@dataclass(frozen=True)
class Trust:
    """How it stands with a workspace."""

    executables: tuple[Executable, ...]
    trusted: bool
    """What it brings may run; true as well where it brings nothing."""
    lapsed: bool
    """It was trusted once, and brings other commands since."""
    file: Path
    """Where that is kept."""


def trust_of(workspace: Workspace) -> Trust:
    """Which commands the workspace brings, and whether they may run.

    Raises:
        TrustUnusable: what was trusted can't be read.
    """
    from mlconsole.workspace import trust

    found = trust.executables(workspace)
    file = trust.trust_file(os.environ)
    if not found:
        return Trust((), True, False, file)
    known = trust.trusted_digest(file, workspace.root)
    good = known == trust.digest(found)
    return Trust(found, good, known is not None and not good, file)


def allow(workspace: Workspace) -> Trust:
    """Let the commands that the workspace brings now run from here on; how it stands then."""
    from mlconsole.workspace import trust

    trust.remember(trust.trust_file(os.environ), workspace.root, trust.digest(trust.executables(workspace)))
    return trust_of(workspace)


def revoke(workspace: Workspace) -> Trust:
    """Let none of them run any more; how it stands then."""
    from mlconsole.workspace import trust

    trust.remember(trust.trust_file(os.environ), workspace.root, None)
    return trust_of(workspace)


def require_trust(session: Session, what: str) -> None:
    """Go on only if what the workspace brings may run; `what` is `the action NAME`, `the channel NAME in ENVIRONMENT`, ….

    Raises:
        NotAllowed: nobody has allowed it here, or it changed since; with what would be run.
        TrustUnusable: what was trusted can't be read.
    """
    found = trust_of(session.workspace)
    if found.trusted and found.executables:
        return
    known = next((one for one in found.executables if one.what == what), None)
    would = f"would run `{told(known)}`" if known is not None else "would run a command"
    why = "which changed since this workspace was trusted" if found.lapsed else "and nobody has trusted this workspace here"
    raise NotAllowed(
        f"{neutralise(what[:1].upper() + what[1:])} {would}, {why}. Nothing was run.",
        next="Look at what it may run, and allow it: mlconsole trust.",
    )


def require_made(session: Session, settings: ProbeSettings | ChannelSettings) -> None:
    """Go on only if this probe or channel runs no command of the workspace's, or may: asked before one is made.

    Raises:
        NotAllowed, TrustUnusable: as `require_trust`.
    """
    from mlconsole.workspace.health import ProbeSettings
    from mlconsole.workspace.trust import runs_command

    if runs_command(settings):
        sort = "probe" if isinstance(settings, ProbeSettings) else "channel"
        require_trust(session, f"the {sort} {settings.name} in {session.environment.name}")


def told(executable: Executable) -> str:
    """Its command as a shell would take it, harmless and short."""
    text = neutralise(shlex.join(executable.command))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
