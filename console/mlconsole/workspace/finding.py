"""Which workspace and which environment are meant: the flag, else the variable, else what lies near."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlconsole.core.errors import UsageError
from mlconsole.core.text import neutralise
from mlconsole.workspace.grammar import FILE
from mlconsole.workspace.settings import Environment, Workspace

WORKSPACE_VARIABLE = "MLCONSOLE_WORKSPACE"
ENVIRONMENT_VARIABLE = "MLCONSOLE_ENV"

_NEXT = "cd into a workspace, name one with --workspace, or make one: mlconsole init DIR --sample."


def find_workspace(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """The mlconsole.yaml that is meant: of --workspace, else of $MLCONSOLE_WORKSPACE (file or folder), else of the nearest parent.

    Raises:
        UsageError: there is none where it should be.
    """
    # An empty flag is a script's unset variable: going on with another workspace than the one it meant would be worse than stopping.
    if explicit is not None:
        return _named(explicit, "--workspace", cwd)
    if environ.get(WORKSPACE_VARIABLE):
        return _named(environ[WORKSPACE_VARIABLE], f"${WORKSPACE_VARIABLE}", cwd)
    here = cwd.absolute()
    for folder in (here, *here.parents):
        if _is_file(folder / FILE):
            return folder / FILE
    raise UsageError(f"There is no {FILE} in {neutralise(str(here))} or above it.", next=_NEXT)


def _named(text: str, source: str, cwd: Path) -> Path:
    if not text or "\0" in text:
        raise UsageError(f'{source} names no folder: "{neutralise(text)}".', next=_NEXT)
    path = cwd.absolute() / text
    for candidate in (path / FILE, path):
        if _is_file(candidate):
            return candidate
    raise UsageError(f"There is no {FILE} at {neutralise(str(path))} (from {source}).", next=_NEXT)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be entered, a name too long for the file system
        return False


def environment(workspace: Workspace, explicit: str | None, environ: Mapping[str, str]) -> Environment:
    """The environment that is meant: --env, else $MLCONSOLE_ENV, else `default_environment`, else the only one there is.

    Raises:
        UnknownName: there is none of that name.
        UsageError: none was named and there are several.
    """
    if explicit is not None:
        return workspace.named(explicit, "--env")
    if environ.get(ENVIRONMENT_VARIABLE):
        return workspace.named(environ[ENVIRONMENT_VARIABLE], f"${ENVIRONMENT_VARIABLE}")
    if workspace.default_environment is not None:
        return workspace.named(workspace.default_environment)
    if len(workspace.environments) == 1:
        return next(iter(workspace.environments.values()))
    names = ", ".join(workspace.environments)
    raise UsageError(
        f"No environment was named; there are {names}.", next=f"Say which: --env NAME, or default_environment: NAME in {FILE}."
    )
