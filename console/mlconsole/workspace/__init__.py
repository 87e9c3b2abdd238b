"""mlconsole.yaml, metadata files and golden queries → validated settings. Importing this is cheap: YAML is loaded when a file is read."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlconsole.workspace.actions import ActionSettings
from mlconsole.workspace.configs import ConfigSettings, ValidatorSettings
from mlconsole.workspace.finding import environment, find_workspace
from mlconsole.workspace.grammar import FILE, schema
from mlconsole.workspace.health import ApplicationLog, ChannelSettings, Ping, ProbeSettings, kind_options
from mlconsole.workspace.settings import Dependency, Endpoint, Environment, Model, Workspace, check_plugins, load, options_for

if TYPE_CHECKING:
    from mlconsole.workspace.golden import read_golden
    from mlconsole.workspace.metadata import METADATA_FILE, REQUIRED, Metadata, read_metadata, template

_LATER = {"read_golden": "golden", **dict.fromkeys(("METADATA_FILE", "REQUIRED", "Metadata", "read_metadata", "template"), "metadata")}


def __getattr__(name: str) -> Any:
    # What speaks of versions is imported by who reads some: the console's first frame waits for mlconsole.yaml, and for nothing else here.
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "FILE",
    "METADATA_FILE",
    "REQUIRED",
    "ActionSettings",
    "ApplicationLog",
    "ChannelSettings",
    "ConfigSettings",
    "Dependency",
    "Endpoint",
    "Environment",
    "Metadata",
    "Model",
    "Ping",
    "ProbeSettings",
    "ValidatorSettings",
    "Workspace",
    "check_plugins",
    "environment",
    "find_workspace",
    "kind_options",
    "load",
    "options_for",
    "read_golden",
    "read_metadata",
    "schema",
    "template",
]
