"""Starting a workspace: an empty one, or a copy of the sample with its versions registered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.models import ModelVersion
from mlconsole.plugin.errors import MLConsoleError, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_MINIMAL = """\
# A workspace of mlconsole. Its state lies beside this file in .mlconsole/.
workspace: {name}
default_environment: staging

environments:
  staging:
    serving: local
    traffic: local
    predictions: local
  production:
    production: true      # names have to be typed before anything goes forward
    serving: local
    traffic: local
    predictions: local

# models:
#   relevance:
#     golden: golden/relevance.jsonl     # queries whose answers are known; they gate a deployment
"""


_LEFT = (".mlconsole", "__pycache__", "mlconsole.*.yaml")
"""What of the sample workspace's folder is not copied: what use left there, and the other kinds of it."""


def free(name: str, *, sample: bool) -> Path:
    """The folder of that name, if a workspace can be made there: it may exist, but must not be one already.

    Raises:
        UsageError: there is something there that would be overwritten.
    """
    folder = Path(name)
    if not name or "\0" in name:
        # Of a script's unset variable; not the folder where we happen to be.
        raise UsageError(f'"{name}" names no folder. Nothing was made.', next="Name one: mlconsole init DIR, or . for this one.")
    try:
        if (folder / "mlconsole.yaml").exists():
            raise UsageError(
                f"{folder} is a workspace already; nothing was changed.", next="Use it with --workspace, or choose another folder."
            )
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; a folder is wanted. Nothing was made.")
        if sample and folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; the sample wants a new or an empty folder. Nothing was changed.")
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def create(folder: Path, *, sample: bool, kind: str = "") -> None:
    """Make a workspace in `folder`, which may exist but must not be one already. What can't be finished is taken away again. `kind`: the
    sample as its mlconsole.KIND.yaml says.

    Raises:
        UsageError: there is something there that it would overwrite.
        MLConsoleError: it can't be written.
    """
    free(str(folder), sample=sample)
    with all_or_nothing(folder, sample=sample):
        _write(folder, sample=sample, kind=kind)


@contextmanager
def all_or_nothing(folder: Path, *, sample: bool) -> Iterator[None]:
    """Half a workspace looks like one and is none: what was begun in `folder` is taken away when it can't be finished."""
    new = not folder.exists()
    try:
        yield
    except BaseException:
        with suppress(OSError):
            ours = [folder] if new else list(folder.iterdir()) if sample else [folder / "mlconsole.yaml", folder / ".mlconsole"]
            for begun in ours:
                if begun.is_dir():
                    shutil.rmtree(begun, ignore_errors=True)
                else:
                    begun.unlink(missing_ok=True)
        raise


def _write(folder: Path, *, sample: bool, kind: str) -> None:
    try:
        if sample:
            shutil.copytree(sample_folder(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LEFT))
            if kind:
                shutil.copyfile(sample_folder() / f"mlconsole.{kind}.yaml", folder / "mlconsole.yaml")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            letters = ("".join(char if char.isascii() and char.isalnum() else "-" for char in folder.resolve().name))[:64]
            (folder / "mlconsole.yaml").write_text(_MINIMAL.format(name=letters.strip("-") or "workspace"), encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> MLConsoleError:
    """The error of a folder that can't be written."""
    why = error.strerror
    if why is None and error.args and isinstance(error.args[0], list):
        why = next((str(one[2]).partition("] ")[2] for one in error.args[0]), None)  # of shutil, which gathers what went wrong
    return MLConsoleError(f"{folder} can't be written: {why or error}. Nothing was made.", next="Choose another folder, or make room.")


def register_all(session: Session) -> list[ModelVersion]:
    """Register every version that the workspace's models have a folder for (`path:`), each with its `model.yaml`."""
    from mlconsole.engine.models import register
    from mlconsole.workspace.metadata import read_metadata

    registered = []
    for name, settings in session.workspace.models.items():
        if not settings.path:
            continue
        for file in sorted((session.workspace.root / settings.path).glob("*/model.yaml")):
            told = read_metadata(file)
            if told.version is None:
                raise UsageError(f"{file} names no version.", next='Add `version: "…"`.')
            registered.append(register(session, name, told.version, file.parent, file)[0])
    return registered


def sample_folder() -> Path:
    """Where the sample workspace lies: inside an installed package, or at the top of a checkout."""
    packaged = Path(str(resources.files("mlconsole"))) / "sample_workspace"
    checkout = Path(__file__).resolve().parents[3] / "sample_workspace"
    for folder in (packaged, checkout):
        if (folder / "mlconsole.yaml").is_file():
            return folder
    raise UsageError("This installation has no sample workspace.", next="Install mlconsole again, or clone its repository.")
