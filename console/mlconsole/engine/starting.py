"""Starting a workspace: an empty one, or a copy of the sample with its versions registered."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.models import ModelVersion
from mlconsole.plugin.errors import UsageError

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


def create(folder: Path, *, sample: bool) -> None:
    """Make a workspace in `folder`, which may exist but must not be one already.

    Raises:
        UsageError: there is something there that it would overwrite.
    """
    if (folder / "mlconsole.yaml").exists():
        raise UsageError(
            f"{folder} is a workspace already; nothing was changed.", next="Use it with --workspace, or choose another folder."
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a folder is wanted.")
    if sample and folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; the sample wants a new or an empty folder. Nothing was changed.")
    try:
        if sample:
            shutil.copytree(sample_folder(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".mlconsole", "__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            name = "".join(char if char.isalnum() or char in "._-" else "-" for char in folder.resolve().name).strip("._-") or "workspace"
            (folder / "mlconsole.yaml").write_text(_MINIMAL.format(name=name[:64]), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder} can't be written: {error.strerror or error}.", next="Choose another folder, or free some space."
        ) from error


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
