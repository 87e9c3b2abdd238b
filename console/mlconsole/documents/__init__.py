"""The texts of config documents: JSON and YAML read strictly with the place of everything, changed without touching what is around, held
against a JSON Schema, and filled from environment files. Importing this is cheap: YAML and schemas are loaded when there are some."""

from __future__ import annotations

from mlconsole.documents.envfiles import EnvFile, Unplaced, import_env
from mlconsole.documents.reading import Place, Places, Reading, format_of, read
from mlconsole.documents.schemas import check_schema, validate
from mlconsole.documents.splicing import REMOVE, splice

__all__ = [
    "REMOVE",
    "EnvFile",
    "Place",
    "Places",
    "Reading",
    "Unplaced",
    "check_schema",
    "format_of",
    "import_env",
    "read",
    "splice",
    "validate",
]
