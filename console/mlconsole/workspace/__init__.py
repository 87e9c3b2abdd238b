"""mlconsole.yaml, metadata files and golden queries → validated settings. Importing this is cheap: YAML is loaded when a file is read."""

from __future__ import annotations

from mlconsole.workspace.finding import environment, find_workspace
from mlconsole.workspace.golden import read_golden
from mlconsole.workspace.grammar import FILE, schema
from mlconsole.workspace.metadata import METADATA_FILE, REQUIRED, Metadata, read_metadata, template
from mlconsole.workspace.settings import Endpoint, Environment, Model, Workspace, check_plugins, load, options_for

__all__ = [
    "FILE",
    "METADATA_FILE",
    "REQUIRED",
    "Endpoint",
    "Environment",
    "Metadata",
    "Model",
    "Workspace",
    "check_plugins",
    "environment",
    "find_workspace",
    "load",
    "options_for",
    "read_golden",
    "read_metadata",
    "schema",
    "template",
]
